"""The experiment of lesson 09, continued: capacity in training and tests (10), and a bias instead of a loss (10b).

`METHODS` has the form of `balancing_runs.METHODS`, so `balancing_runs.run_all(capacity_runs.METHODS)` trains them, from
the same uneven start, with the same batches. `table` adds a column to the table of lesson 09: how much a capacity would
drop. Letters: R runs, S seeds, T tokens, N experts, k active, C capacity.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moe_lessons.balancing import expert_capacity, quantile_bias, sign_step, tanh_step, within_capacity
from moe_lessons.experiments import balancing_runs, core
from moe_lessons.experiments.balancing_runs import Layers, Method, Result, Route
from moe_lessons.experiments.core import Column, mean_sd
from moe_lessons.layer import Routing, gate_selected, top_k_indices

Update = Callable[[Tensor, Tensor, Tensor], Tensor]  # bias (R, N), probabilities (R, T, N), loads (R, N) -> bias (R, N)

# --- the methods --------------------------------------------------------------------------------------------------


def _biased(runs: int, updated: Update) -> Route:
    """Return the route that selects by p + b, weighs by p, and sets b to updated(b, p, loads) after each step."""
    bias = torch.zeros(runs, balancing_runs.N)  # (R, N)

    def route(layers: Layers, x: Tensor) -> tuple[Routing, float]:
        h = layers.logits(x)  # (R, T, N)
        p = h.detach().softmax(dim=-1)  # (R, T, N)
        selected = top_k_indices(p + bias.unsqueeze(1), layers.top_k)  # (R, T, k)
        if layers.training:
            bias.copy_(updated(bias, p, loads(selected)))
        return Routing(h, selected, gate_selected(h, selected, layers.gate)), 0.0

    return route


def loads(selected: Tensor) -> Tensor:
    """Return how many assignments each expert of R layers has, (R, N). selected: (R, T, k), of `balancing_runs.N`."""
    chosen = selected.flatten(1)  # (R, T·k)
    return torch.zeros(len(chosen), balancing_runs.N).scatter_add(1, chosen, torch.ones(chosen.shape))  # (R, N)


def _sign(u: Tensor) -> Route:
    """Return the route of `balancing.BiasBalancer`, for R layers at once."""
    return _biased(len(u), lambda bias, p, load: bias + sign_step(load, u.unsqueeze(1)))


def _tanh(u: Tensor) -> Route:
    momentum = torch.zeros(len(u), balancing_runs.N)  # (R, N)

    def updated(bias: Tensor, _: Tensor, load: Tensor) -> Tensor:
        momentum.copy_(tanh_step(load, momentum, u.unsqueeze(1)))
        return bias + momentum

    return _biased(len(u), updated)


def _quantile(memory: Tensor) -> Route:
    kept = memory.unsqueeze(1)  # (R, 1)
    return _biased(len(memory), lambda bias, p, _: kept * bias + (1 - kept) * quantile_bias(p, bias, 1))


def _capacity(factor: Tensor) -> Route:
    def route(layers: Layers, x: Tensor) -> tuple[Routing, float]:
        return limited(layers.decide(layers.logits(x)), factor), 0.0

    return route


def _capacity_in_training(factor: Tensor) -> Route:
    def route(layers: Layers, x: Tensor) -> tuple[Routing, float]:
        routing = layers.decide(layers.logits(x))
        return limited(routing, factor) if layers.training else routing, 0.0

    return route


def _random_drops(rate: Tensor) -> Route:
    def route(layers: Layers, x: Tensor) -> tuple[Routing, float]:
        routing = layers.decide(layers.logits(x))
        if not layers.training:
            return routing, 0.0
        kept = layers.uniform(*routing.weights.shape[1:]) >= rate[:, None, None]  # (R, T, k)
        return routing._replace(weights=torch.where(kept, routing.weights, 0.0)), 0.0

    return route


def limited(routing: Routing, factor: Tensor) -> Routing:
    """Return the routing of R layers with weight 0 where an expert was full; earlier tokens come first.

    The selection stays as it is: capacity sends nobody elsewhere. factor: (R,), the capacity factor of each.
    """
    T, k = routing.selected.shape[1:]
    weights = []
    for selected, w, f in zip(routing.selected, routing.weights, factor.tolist(), strict=True):  # (T, k), (T, k)
        places = expert_capacity(T, balancing_runs.N, k, round(f, 6))
        kept = within_capacity(selected, w, places, balancing_runs.N)  # (T, k)
        weights.append(torch.where(kept, w, 0.0))
    return routing._replace(weights=torch.stack(weights))


METHODS: dict[str, Method] = {
    "bias": Method("bias, sign", "a bias in the selection, moved by u after each step; no loss.", _sign, "u",
                   (0.001, 0.003, 0.01, 0.03, 0.1)),
    "tanh": Method("bias, tanh", "the same, moved by u times a tanh of what is missing, with momentum.", _tanh, "u",
                   (0.003, 0.01, 0.03, 0.1)),
    "quantile": Method("bias, quantile", "the bias that would have met the quotas; the memory is the old one's share.",
                       _quantile, "memory", (0.0, 0.9)),
    "capacity": Method("capacity", "at most C tokens for each expert, in training and in tests; no loss.", _capacity,
                       "c", (1.0, 2.0)),
    "capacity_in_training": Method("capacity in training", "the same in training; in tests nothing is dropped.",
                                   _capacity_in_training, "c", (1.0,)),
    "random_drops": Method("random drops in training", "in training a coin drops tokens, whoever they chose.",
                           _random_drops, "share", (0.5,)),
}  # fmt: skip
"""Every method by its name, in the order of the table; c is the capacity factor."""


# --- the table ----------------------------------------------------------------------------------------------------


def drop_rates(result: Result, factor: float, top_k: int = 1) -> np.ndarray:
    """Return the share of the test's assignments that a capacity would drop, at every measurement, (F, S).

    From the loads, which count what is asked for: an expert with n assignments drops max(n − C, 0) of them.
    factor: of the capacity, above 0; the 2,048 fresh tokens are one batch. top_k: k of the method.
    Raises ValueError as `balancing.expert_capacity` does.
    """
    places = expert_capacity(balancing_runs.TEST_TOKENS, result.load.shape[-1], top_k, factor)
    asked = (result.load * balancing_runs.TEST_TOKENS * top_k).round()  # (F, S, N)
    return np.maximum(asked - places, 0).sum(axis=-1) / asked.sum(axis=-1)


def table(results: Mapping[Any, Result], factor: float = 1.25) -> str:
    """Return the table of lesson 09 with one more column: what a capacity with this factor drops at the end, in %.

    It is computed for every row, also where nothing was dropped in training. k = 1. Raises ValueError as `drop_rates`.
    """
    over = Column(f"% over {factor:g}", "{:>15}", lambda result: mean_sd(100 * drop_rates(result, factor)[-1], 1))
    return core.table((*balancing_runs.COLUMNS, over), results.values())
