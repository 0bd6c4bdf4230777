"""Which balancing keeps experts alive, and what does it cost? The experiment of lessons 09 to 10b, real gradients.

The task is `data.clustered_regression`: 16 clusters, each with a target map of its own, and 8 experts that learn, like
their router, by Adam. Unless a method says otherwise, the layer is Switch's (k = 1, gate form B), and the start is
uneven: the router's bias, a parameter like any other, begins at `HEAD_START` for E1 and E2 and at 0 for the others.

Each method is one entry of `METHODS`: a name, and a function that decides who gets which token, and what is added to
the loss. A coefficient and a seed make one run; all runs of a method are trained at once, R of them side by side, and
share nothing: the experts of run r are the experts r·N to r·N + N − 1 of one large `Experts`.
Letters: R runs, S seeds, T tokens, d width, N experts, k active, F measurements.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lessons import metrics
from moe_lessons.data import clustered_regression
from moe_lessons.experiments import core
from moe_lessons.experiments.core import Column, batches, drawn, frames, mean_sd, tensors, trained
from moe_lessons.experiments.side_by_side import SideBySide
from moe_lessons.layer import MoELayer, Routing
from moe_lessons.losses import balance_of_layers, cv_squared, smooth_load
from moe_lessons.support.validation import one_of, refuse, whole_number
from moe_lessons.training import Losses, constant

N, D, WIDTH, CLUSTERS = 8, 16, 16, 16  # experts, width d, expert width f, clusters
AHEAD, HEAD_START = 2, 1.0  # how many experts start ahead, and by how much their logits do
TOKENS, TEST_TOKENS = 8192, 2048
LEARNING_RATE = 5e-3
FRAMES = 20  # measurements after the first

# From the layers and their tokens x (R, T, d) to what is decided, and a penalty (R,) for the loss.
Route = Callable[["Layers", Tensor], tuple[Routing, Tensor | float]]


@dataclass(frozen=True)
class Method:
    """One way to balance.

    label: two or three words. recipe: one sentence. build(coefficient) returns a route; coefficient: (R,), one for each
    run, and `route(layers, x)` is called in training and, with `layers.training` False, in tests: then nothing is
    random. A method that learns without a gradient may change what it keeps, in training only. symbol: what the
    coefficient is called, "" for none. coefficients: those that are tried, weakest first. start: the bias of E1 and E2
    before the first step. power: 0 where all clusters are equally frequent; with 1 the n-th comes as often as 1/n.
    """

    label: str
    recipe: str
    build: Callable[[Tensor], Route]
    symbol: str = ""
    coefficients: tuple[float, ...] = (0.0,)
    start: float = HEAD_START
    top_k: int = 1
    gate: str = "softmax_topk"
    power: float = 0.0


@dataclass(frozen=True, eq=False)
class Result:
    """What one method with one coefficient did in S runs, measured on fresh tokens, without noise and jitter.

    steps: (F,) training steps done at each measurement, 0 first. load: (F, S, N), shares of the assignments.
    error: (F, S), the share of the target's variance that is left: 1 is guessing the mean. entropy: (F, S), of p in
    nats, mean over tokens.
    """

    name: str
    label: str
    symbol: str
    coefficient: float
    steps: np.ndarray
    load: np.ndarray
    error: np.ndarray
    entropy: np.ndarray

    @property
    def max_violation(self) -> np.ndarray:
        """MaxVio of every measurement and run, (F, S)."""
        return metrics.max_violation(self.load)

    @property
    def cv(self) -> np.ndarray:
        """Coefficient of variation of the loads, (F, S)."""
        return metrics.coefficient_of_variation(self.load)

    @property
    def dead(self) -> np.ndarray:
        """How many experts get less than 1 % of the mean load, (F, S)."""
        return np.array([[len(metrics.dead_experts(load)) for load in frame] for frame in self.load])

    @property
    def setting(self) -> str:
        """The method with its coefficient, such as "Switch loss, α = 0.1"."""
        return self.label + (f", {self.symbol} = {self.coefficient:g}" if self.symbol else "")

    def at_end(self) -> dict[str, np.ndarray]:
        """Return the last measurement of everything in the table, (S,) each."""
        return {name: getattr(self, name)[-1] for name in MEASURES}


MEASURES = ("error", "max_violation", "cv", "dead", "entropy")

Results = dict[tuple[str, float], Result]


# --- R layers at once ---------------------------------------------------------------------------------------------


class Layers(SideBySide):
    """R layers with a bias and learned noise, for the coefficients of one method, each with every seed: R = C · S.

    Run r has seed r mod S. Runs of one seed start with the same weights, see the same tokens and draw the same noise,
    so they can be compared in pairs. start: the first bias of E1 and E2.
    """

    def __init__(self, seeds: Sequence[int], coefficients: int, top_k: int, gate: str, start: float) -> None:
        layers = [drawn(seed, MoELayer, D, WIDTH, N, top_k, gate, bias=True) for seed in seeds] * coefficients  # R
        super().__init__(layers)
        self.coefficients = coefficients
        ahead = start * (torch.arange(N) < AHEAD)  # (N,)
        self.bias = nn.Parameter(ahead.repeat(len(layers), 1))  # (R, N)
        self.W_noise = nn.Parameter(torch.zeros_like(self.W_g))  # (R, d, N)
        self.noise = [torch.Generator().manual_seed(seed) for seed in seeds]

    def logits(self, x: Tensor) -> Tensor:
        """Return the routers' logits (R, T, N), without noise, for x (R, T, d)."""
        return super().logits(x) + self.bias.unsqueeze(1)

    def noise_sd(self, x: Tensor) -> Tensor:
        """Return the learned size of the noise (R, T, N), softplus(x W_noise), for x (R, T, d)."""
        return F.softplus(x @ self.W_noise)

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal noise (R, *shape)."""
        return self._random(torch.randn, shape)

    def uniform(self, *shape: int) -> Tensor:
        """Draw numbers between 0 and 1 (R, *shape)."""
        return self._random(torch.rand, shape)

    def _random(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        of_seeds = torch.stack([draw(*shape, generator=rng) for rng in self.noise])  # (S, *shape)
        return of_seeds.repeat(self.coefficients, *(1 for _ in shape))  # (R, *shape)


# --- the methods --------------------------------------------------------------------------------------------------


def _none(_: Tensor) -> Route:
    return lambda layers, x: (layers.decide(layers.logits(x)), 0.0)


def _switch(alpha: Tensor) -> Route:
    def route(layers: Layers, x: Tensor) -> tuple[Routing, Tensor]:
        routing = layers.decide(layers.logits(x))
        return routing, alpha * balance_of_layers(routing.logits, routing.selected)

    return route


def _importance(coefficient: Tensor) -> Route:
    def route(layers: Layers, x: Tensor) -> tuple[Routing, Tensor]:
        routing = layers.decide(layers.logits(x))
        return routing, coefficient * cv_squared(importance(routing))

    return route


def _importance_and_load(coefficient: Tensor) -> Route:
    def route(layers: Layers, x: Tensor) -> tuple[Routing, Tensor]:
        clean, sd = layers.logits(x), layers.noise_sd(x)  # (R, T, N) each
        noisy = clean + sd * layers.normal(*clean.shape[1:]) if layers.training else clean  # (R, T, N)
        routing = layers.decide(noisy)
        load = smooth_load(clean, noisy, sd, layers.top_k).sum(dim=-2)  # (R, N)
        return routing, coefficient * (cv_squared(importance(routing)) + cv_squared(load))

    return route


def _noise(factor: Tensor) -> Route:
    def route(layers: Layers, x: Tensor) -> tuple[Routing, float]:
        h = layers.logits(x)  # (R, T, N)
        if layers.training:
            h = h + factor[:, None, None] * layers.noise_sd(x) * layers.normal(*h.shape[1:])
        return layers.decide(h), 0.0

    return route


def noise_left_on(factor: Tensor) -> Route:
    """Return the route of `noise` with noise in tests too: the same training, measured as the devices see it."""

    def route(layers: Layers, x: Tensor) -> tuple[Routing, float]:
        states = [rng.get_state() for rng in layers.noise]
        h = layers.logits(x)  # (R, T, N)
        h = h + factor[:, None, None] * layers.noise_sd(x) * layers.normal(*h.shape[1:])
        if not layers.training:  # what is drawn in a test takes nothing from the training
            for rng, state in zip(layers.noise, states, strict=True):
                rng.set_state(state)
        return layers.decide(h), 0.0

    return route


def _jitter(epsilon: Tensor) -> Route:
    def route(layers: Layers, x: Tensor) -> tuple[Routing, float]:
        if layers.training:
            x = x * (1 + epsilon[:, None, None] * (2 * layers.uniform(*x.shape[1:]) - 1))  # (R, T, d)
        return layers.decide(layers.logits(x)), 0.0

    return route


def importance(routing: Routing) -> Tensor:
    """Return the sum of each expert's gate weights (R, N), with a gradient. routing: (R, T, …)."""
    flat = routing.selected.flatten(-2), routing.weights.flatten(-2)  # (R, T·k) each
    return torch.zeros_like(routing.logits[..., 0, :]).scatter_add(-1, *flat)  # (R, N)


METHODS: dict[str, Method] = {
    "fair": Method("fair start", "null: no balancing, and nobody starts ahead.", _none, start=0.0),
    "none": Method("no balancing", "the task loss alone.", _none),
    "switch": Method("Switch loss", "the task loss plus α N Σ f_i P_i.", _switch, "α", (0.001, 0.01, 0.1, 1.0)),
    "importance": Method("importance", "plus λ CV² of the sums of gate weights.", _importance, "λ",
                         (0.01, 0.1, 1.0)),
    "importance_load": Method("importance + load", "Shazeer's noise, plus λ CV² of importance and of the smooth load.",
                              _importance_and_load, "λ", (0.001, 0.01, 0.1, 1.0)),
    "noise": Method("noise", "Shazeer's noise, its learned size times a factor; no loss.", _noise, "factor",
                    (1.0, 2.0, 4.0)),
    "jitter": Method("jitter", "the router's input times U(1 − ε, 1 + ε).", _jitter, "ε", (0.01, 0.5)),
    "top_2": Method("top-2, no balancing", "gate form A with k = 2, the task loss alone.", _none, top_k=2,
                    gate="topk_softmax"),
}  # fmt: skip
"""Every method by its name, in the order of the table. `fair` is the null. Lesson 10b adds methods without a loss."""


# --- running them -------------------------------------------------------------------------------------------------


def run_all(
    methods: Mapping[str, Method] = METHODS, seeds: Sequence[int] = range(5), steps: int = 300,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> Results:  # fmt: skip
    """Train every method with each of its coefficients and return the results by (name, coefficient).

    progress: wraps the names, such as `tqdm`. Raises ValueError as `run`.
    """
    found: Results = {}
    for name in progress(methods) if progress else methods:
        found |= run(name, seeds, steps, methods=methods)
    return found


def run(
    name: str, seeds: Sequence[int] = range(5), steps: int = 300, coefficients: Sequence[float] | None = None,
    methods: Mapping[str, Method] = METHODS, rate: float = LEARNING_RATE,
) -> Results:  # fmt: skip
    """Train the layers of one method, every coefficient with every seed, and return the results by (name, coefficient).

    seeds: draw task, first weights and noise; the rows of the batches are the same in every run.
    steps: at least 1; the layers are measured before the first, after the last and at up to 19 steps between.
    rate: the learning rate of Adam.
    Raises ValueError for an unknown name, no or repeated seeds and coefficients, and other steps.
    """
    method = methods[one_of("name", name, methods)]
    whole_number("steps", steps, least=1, most=100_000)
    tried = _distinct("coefficients", method.coefficients if coefficients is None else coefficients)
    layers = Layers(_distinct("seeds", seeds), len(tried), method.top_k, method.gate, method.start)
    route = method.build(torch.tensor(tried, dtype=torch.float32).repeat_interleave(len(seeds)))
    measured = _train(layers, route, [_task(seed, method.power) for seed in seeds], steps, rate)
    done = measured.pop("steps")  # (F,)
    by_c = {what: v.reshape(len(v), len(tried), len(seeds), *v.shape[2:]) for what, v in measured.items()}
    return {
        (name, c): Result(name, method.label, method.symbol, c, done, **{what: v[:, i] for what, v in by_c.items()})
        for i, c in enumerate(tried)
    }


def _train(
    layers: Layers, route: Route, parts: list[tuple[Tensor, ...]], steps: int, rate: float
) -> dict[str, np.ndarray]:
    """Train all runs at once; return steps (F,) and measures (F, R, …). parts: of each seed x, y and fresh x, y."""
    x, y, fresh, target = (torch.stack(part).repeat(layers.coefficients, 1, 1) for part in zip(*parts, strict=True))
    variance = target.var(dim=(1, 2), correction=0)  # (R,)

    def errors(layers: Any, routing: Routing, x: Tensor, y: Tensor) -> Tensor:
        return (layers(x, routing) - y).square().mean(dim=(1, 2)) / variance  # (R,)

    def losses(layers: Any, batch: tuple[Tensor, Tensor]) -> Losses:
        routing, penalty = route(layers, batch[0])
        return {"loss": (errors(layers, routing, *batch) + penalty).sum()}  # a sum: no run feels the others

    def watch(layers: Any, step: int) -> dict[str, np.ndarray]:
        layers.eval()
        routing, _ = route(layers, fresh)
        layers.train()
        return {"error": errors(layers, routing, fresh, target).numpy(), **_measured(routing)}

    at = tuple(sorted({round(i * steps / FRAMES) for i in range(FRAMES + 1)}))
    history = trained(layers, batches(x, y), losses, steps, lr=rate, schedule=constant,
                      watch=watch, watch_at=at)  # fmt: skip
    return frames(history)


def _measured(routing: Routing) -> dict[str, np.ndarray]:
    """Return load (R, N) and entropy (R,) of a routing (R, T, …)."""
    p = routing.probs.double().numpy()  # (R, T, N)
    load = [metrics.expert_load(selected, N) for selected in routing.selected.numpy()]
    return {"load": np.stack(load), "entropy": metrics.entropy(p).mean(axis=1)}


@lru_cache(maxsize=16)
def _task(seed: int, power: float = 0.0) -> tuple[Tensor, ...]:
    """Draw the task of one seed: tokens and targets (T, d) to train on, and fresh ones."""
    train_part, test_part = clustered_regression(TOKENS, D, CLUSTERS, test_T=TEST_TOKENS, seed=seed, power=power)
    return *tensors(train_part), *tensors(test_part)


def _distinct(name: str, values: Sequence[Any]) -> list[Any]:
    """Return the values as a list, if there is one and none comes twice."""
    found = list(values)
    if not found or len(set(found)) < len(found):
        raise refuse(name, values, "at least one, and none twice")
    return found


def _column(head: str, form: str, name: str, digits: int) -> Column:
    """Return the column of one measure at the end: mean ± standard deviation over seeds."""
    return Column(head, form, lambda result: mean_sd(getattr(result, name)[-1], digits))


COLUMNS = (
    Column("", "{:<28}", lambda result: result.setting),
    _column("task error", "{:>15}", "error", 3),
    _column("MaxVio", "{:>13}", "max_violation", 2),
    _column("CV", "{:>13}", "cv", 2),
    _column("dead", "{:>11}", "dead", 1),
    _column("entropy", "{:>13}", "entropy", 2),
)


def table(results: Mapping[Any, Result]) -> str:
    """Return the table of the last measurements as text, one row a result: mean ± standard deviation over seeds."""
    return core.table(COLUMNS, results.values())
