"""The ways to choose of lesson 12b on two tasks, at equal active FLOPs: a clustered task, and the text of lesson 11.

A token runs k = 2 of N = 8 experts; where their number differs from token to token, it is k on average. Soft MoE has
k·T/N slots an expert, with T the tokens that choose together, so its experts read as many rows as the others'. A hash
needs token ids, so the clustered task has none. Letters: T tokens, d width, f expert width, N experts, k active.
"""

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from moe_lessons import metrics
from moe_lessons.balancing import BiasBalancer, expert_capacity
from moe_lessons.causality import FUTURES, leak
from moe_lessons.corpus import text
from moe_lessons.data import clustered_regression
from moe_lessons.experiments import specialisation as sp
from moe_lessons.experiments.core import BATCH, batches, drawn, frames, squared_error, tensors, to_the_end, trained
from moe_lessons.layer import MoELayer, Routing
from moe_lessons.losses import balance_of_layers
from moe_lessons.model import Config, LanguageModel, sparse_layer
from moe_lessons.routing import Gate
from moe_lessons.support.threads import one_thread
from moe_lessons.support.timing import interleaved, spread
from moe_lessons.training import Losses, constant
from moe_lessons.variants import VARIANTS

N, K = 8, 2
D, WIDTH, CLUSTERS = 16, 16, 16  # of the clustered task: width d, expert width f, clusters
TOKENS, TEST_TOKENS = 8192, 2048
U = 0.01  # of the bias, in units of sigmoid scores
FACTOR = 1.25  # of the capacity that is asked about; nothing is dropped for want of room

Build = Callable[[int, int, int], MoELayer]  # (d, f, T) -> a layer whose tokens choose in pools of T


class Arm(NamedTuple):
    """One way to choose.

    build: makes the layer; None for a hash, which decides by token ids. kind: the `feed_forward` of its language model.
    alpha: of the Switch loss, where tokens choose freely. biased: a `BiasBalancer` moves the selection.
    """

    label: str
    build: Build | None
    kind: str = "moe"
    alpha: float = 0.0
    biased: bool = False


def _token_choice(d: int, f: int, T: int) -> MoELayer:
    return MoELayer(d, f, N, K)


def _frozen(d: int, f: int, T: int) -> MoELayer:
    layer = MoELayer(d, f, N, K)
    layer.router.requires_grad_(False)
    return layer


def _sigmoid(d: int, f: int, T: int) -> MoELayer:
    return MoELayer(d, f, N, K, gate=Gate("sigmoid"), balancer=BiasBalancer(N, U))


def _variant(name: str, d: int, f: int, T: int) -> MoELayer:
    make: Any = VARIANTS[name].layer
    return make(d, f, N, K * T // N if name == "soft" else K, activation="relu")


def _arm(label: str, name: str, alpha: float = 0.0) -> Arm:
    """Return a way to choose of `variants`."""
    return Arm(label, partial(_variant, name) if VARIANTS[name].layer else None, name, alpha)


ARMS = {
    "token_choice": Arm("token choice, Switch loss", _token_choice, alpha=sp.BALANCE),
    "unbalanced": Arm("token choice, no balancing", _token_choice),
    "sigmoid_bias": Arm("sigmoid with a bias", _sigmoid, biased=True),
    "frozen": Arm("router frozen at random", _frozen),
    "hash": _arm("hash of the token", "hash"),
    "bigram": _arm("hash of two tokens", "bigram"),
    "two_layer": _arm("two layers, Switch loss", "two_layer", sp.BALANCE),
    "hierarchical": _arm("two levels, Switch loss", "hierarchical", sp.BALANCE),
    "threshold": _arm("thresholds", "threshold"),
    "expert_choice": _arm("expert choice", "expert_choice"),
    "base": _arm("BASE", "base"),
    "sinkhorn": _arm("Sinkhorn", "sinkhorn"),
    "soft": _arm("soft", "soft"),
}
"""Every arm by its name: token choice and its relatives, then the registry of `variants`."""
WITHOUT_IDS = tuple(name for name, arm in ARMS.items() if arm.build)


# --- what a router did --------------------------------------------------------------------------------------------


def chosen_by(arm: Arm, decided: Routing) -> np.ndarray:
    """Return the experts of each token, (..., k), best first; −1 where it has fewer than others."""
    return sp.chosen_of(decided, arm.kind in sp.UNEVEN)


def measured(arm: Arm, chosen: np.ndarray, pool: int) -> dict[str, float]:
    """Return how even the loads are, experts a token, and who goes without, of choices (T, k), pool after pool.

    max_violation; without: the share of tokens that no expert runs for; over: the share of assignments that a capacity
    of FACTOR would drop in pools of `pool` tokens. Soft experts have equal loads by construction, and drop nothing.
    """
    if arm.kind == "soft":
        return {"max_violation": 0.0, "experts": float(K), "without": 0.0, "over": 0.0}
    load = np.bincount(chosen[chosen >= 0], minlength=N)  # (N,)
    return {
        "max_violation": float(metrics.max_violation(load)) if load.any() else float(N - 1),
        "experts": float((chosen >= 0).sum() / len(chosen)),
        "without": float((chosen < 0).all(axis=-1).mean()),
        "over": over_capacity(chosen, pool),
    }


def over_capacity(chosen: np.ndarray, pool: int) -> float:
    """Return the share of assignments (T, k) beyond each pool's capacity; a last pool that is not full is left out."""
    places = expert_capacity(pool, N, K, FACTOR)
    whole = chosen[: len(chosen) // pool * pool].reshape(-1, pool * chosen.shape[1])  # (pools, assignments)
    asked = np.stack([np.bincount(some[some >= 0], minlength=N) for some in whole])  # (pools, N)
    return float(np.maximum(asked - places, 0).sum() / max(asked.sum(), 1))


def first_choice(chosen: np.ndarray) -> np.ndarray:
    """Return the best expert of each token (...), N for one without."""
    return np.where(chosen[..., 0] < 0, N, chosen[..., 0])


# --- the clustered task -------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _regression(seed: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], np.ndarray]:
    """Draw the task of a seed: tokens and targets to train on, fresh ones, and the clusters of those."""
    train_part, fresh = clustered_regression(TOKENS, D, CLUSTERS, test_T=TEST_TOKENS, seed=seed)
    return tensors(train_part), tensors(fresh), fresh.cluster


@one_thread()
def on_clusters(name: str, seed: int, lengths: tuple[int, ...], rate: float) -> dict[str, Any]:
    """Train one layer and measure it on fresh tokens after each of `lengths` steps.

    The tokens of a batch choose together, BATCH of them, in training and when it is measured.
    """
    arm, (data, fresh, cluster) = ARMS[name], _regression(seed)
    layer = drawn(seed, arm.build, D, WIDTH, BATCH)  # type: ignore[arg-type]
    steps = max(lengths)
    history = trained(
        layer, batches(*data), partial(_layer_losses, arm), steps, lr=rate, schedule=constant, watch_at=lengths,
        watch=partial(_layer_measured, arm, fresh, cluster), after_step=after_step(arm, [layer]),
    )  # fmt: skip
    seen = frames(history)
    return {str(n): {what: round(float(v[i]), 5) for what, v in seen.items() if what != "steps"}
            for i, n in enumerate(seen["steps"])}  # fmt: skip


def _layer_losses(arm: Arm, layer: Any, batch: tuple[Tensor, Tensor]) -> Losses:
    """Return the squared error of a batch, with the Switch loss where tokens choose freely."""
    if not arm.alpha:
        return squared_error(layer, batch)
    y, decided = layer(batch[0], return_routing=True)
    balance = balance_of_layers(decided.logits[None], decided.selected[None]).mean()
    return {"loss": (y - batch[1]).square().mean() + arm.alpha * balance}


def _layer_measured(
    arm: Arm, fresh: tuple[Tensor, Tensor], cluster: np.ndarray, layer: Any, step: int
) -> dict[str, Any]:
    """Return error (in variances of the targets), balance, entropy (nats), what experts tell of the cluster (bits)."""
    layer.eval()
    x, target = fresh
    y, decided = layer(x.unflatten(0, (-1, BATCH)), return_routing=True)  # pools of BATCH tokens
    layer.train()
    chosen = chosen_by(arm, decided).reshape(len(x), -1)  # (T, k)
    return {
        "loss": np.array(float((y.flatten(0, 1) - target).square().mean() / target.var(correction=0))),
        "entropy": np.array(metrics.entropy(decided.probs.double().numpy()).mean()),
        "tells": np.array(metrics.mutual_information(cluster, first_choice(chosen), base=2)),
        **{what: np.array(value) for what, value in measured(arm, chosen, BATCH).items()},
    }


def after_step(arm: Arm, layers: list[Any]) -> Callable[[nn.Module, int], None] | None:
    """Return what moves the biases after a step, by what each router selected in it; None without biases."""
    if not arm.biased:
        return None
    last: dict[Any, Tensor] = {}
    for layer in layers:
        layer.router.register_forward_hook(lambda router, _x, decided: last.__setitem__(router, decided.selected))

    def move(_model: nn.Module, _step: int) -> None:
        for router, selected in last.items():
            router.balancer.update(torch.bincount(selected.flatten(), minlength=N))

    return move


# --- the text -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def corpus() -> text.TextTask:
    """Prepare the text once in each process."""
    return text.prepare()


def language_model(name: str, vocabulary: int, seed: int = 0, **sizes: Any) -> LanguageModel:
    """Return the untrained model of lesson 11 with one way to choose; sizes: other ones than its own."""
    config = Config(vocabulary, feed_forward=ARMS[name].kind, num_experts=N, top_k=K, seed=seed, **sizes)
    return drawn(seed, LanguageModel, config, partial(_layer_of, ARMS[name]))


def _layer_of(arm: Arm, config: Config) -> nn.Module:
    """Return the layer of a block: tokens of one sequence choose together."""
    return arm.build(config.d_model, config.d_ff, config.context) if arm.build else sparse_layer(config)


def losses_of(arm: Arm) -> Callable[..., Losses]:
    """Return the losses of a language model: the z-loss for every plain softmax router, the Switch loss where asked."""
    return partial(sp.language_losses, balance_coef=arm.alpha, z_coef=0.0 if arm.biased else sp.Z)


@one_thread()
def on_text(name: str, seed: int, steps: int, rate: float, task: text.TextTask | None = None) -> dict[str, Any]:
    """Train one language model and measure it on the report part of the text, layer by layer."""
    task, arm = task or corpus(), ARMS[name]
    model = language_model(name, len(task.token_bytes), seed, context=task.train.ids.shape[1] - 1)
    layers = [block.feed_forward for block in model.blocks]
    options = {"losses": losses_of(arm), "after_step": after_step(arm, layers), "lr": rate}
    to_the_end(sp.train_language_model(model, task, steps, record_every=steps, progress=False, **options))
    routes = sp.record(model, task.report.ids)
    return {"loss": round(float(routes.loss.mean()), 5)} | _by_layer(arm, routes, sp.labels_of(task.report))


def _by_layer(arm: Arm, routes: sp.Routes, labels: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    """Return every measure of the routes, a number a layer. Entropy in nats; what the first choice tells, in bits."""
    found: dict[str, list[float]] = {"entropy": (routes.entropy.mean(axis=(1, 2)) * np.log(2)).tolist()}
    for chosen in routes.selected:  # (S, L, k)
        first = first_choice(chosen)[..., None]  # (S, L, 1)
        told = {
            "tells": sp.information(first, dict(labels), "domain", "token", draws=5)["excess"],
            "tells_token": sp.information(first, dict(labels), "token", draws=5)["excess"],
        }
        pool = sp.BATCH * chosen.shape[1]
        for what, value in (measured(arm, chosen.reshape(-1, chosen.shape[-1]), pool) | told).items():
            found.setdefault(what, []).append(value)
    return {what: [round(float(v), 5) for v in values] for what, values in found.items()}


# --- without training ---------------------------------------------------------------------------------------------


@one_thread()
def looks_ahead(name: str) -> dict[str, bool]:
    """Return whether an untrained model moves earlier outputs when what follows is replaced or left out, in training
    and in evaluation: keys such as "training, other"."""
    model = language_model(name, 20, context=24, layers=2, d_model=16, heads=2, d_ff=16).double()
    ids = np.random.default_rng(0).integers(20, size=24)  # (L,)
    found, state = {}, copy.deepcopy(model.state_dict())
    for mode in ("training", "evaluation"):
        model.train(mode == "training")
        for future in FUTURES:
            found[f"{mode}, {future}"] = leak(partial(_logits, model, state), ids, future, tries=12).found
    return found


@torch.no_grad()
def _logits(model: LanguageModel, state: dict[str, Any], ids: Any) -> np.ndarray:
    """Return the logits (L, V) of ids (L,), each time from the same state: thresholds move in training."""
    model.load_state_dict(state)
    return model(torch.as_tensor(ids)[None])[0].numpy()


@one_thread()
def costs(rounds: int, names: tuple[str, ...] = tuple(ARMS), task: text.TextTask | None = None) -> dict[str, float]:
    """Return the CPU seconds of a training step on the text, the median of rounds in which all arms take turns."""
    task = task or corpus()
    times = interleaved({name: _stepper(name, task) for name in names}, rounds)
    return {name: spread(seconds).median for name, seconds in times.items()}


def _stepper(name: str, task: text.TextTask) -> Callable[[], None]:
    """Return a function that takes one training step, always with the same batch."""
    model = language_model(name, len(task.token_bytes), context=task.train.ids.shape[1] - 1)
    ids, losses = sp.batches_of(task.train, 0)(0), losses_of(ARMS[name])
    update = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)

    def step() -> None:
        update.zero_grad()
        losses(model, ids)["loss"].backward()
        update.step()

    return step
