"""The blind spot, as an experiment: an expert that would be perfect but is never chosen, and what brings it back.

The world: 8 groups of tokens, equally many of each, and 8 experts; expert i is exactly right for group i. The experts
are frozen and only the router W_g (d, N) learns, from the task loss: whatever happens is the router's doing.
The prototypes of E1 to E7 start near their groups: a router that has learnt seven groups. Every token shares one
direction (its last coordinate is 1), as hidden states do, and the prototype of E8 points away from it: E8's logit
starts at `START` = −4 for every token, far below the others, and with k = 2 it is in nobody's top 2.
The groups are equally large, so a balanced load is the right one here: no test of what balance costs elsewhere.
Each method trains the same `runs` routers on the same tokens, all at once: tensors (R, T, …), R runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf, log
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor, nn

from moe_lessons.estimators import AdaptiveL1, DefaultVector, relu_weights, sparse_mixture, straight_through
from moe_lessons.experiments.core import frames, trained
from moe_lessons.experiments.side_by_side import LinearRouters
from moe_lessons.losses import balance_of_layers, stable_top_k
from moe_lessons.support.threads import one_thread
from moe_lessons.support.validation import number_within, one_of, positive_number, refuse, whole_number
from moe_lessons.training import Losses, constant

N, D, K = 8, 9, 2  # experts (and groups of tokens), width, active experts
BLIND = N - 1  # the index of E8, the expert that nobody asks
START = -4.0  # its logit at the start, for every token
HEAD_START, SPREAD = 1.0, 0.1  # W_g at the start: a known group's own coordinate, and the sd around it
CENTRE, WITHIN = 2.0, 0.5  # the length of a group's centre, and the sd of its tokens around it
OPTIMIZERS: dict[str, Any] = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
LEARNING_RATES = {"adam": 0.02, "sgd": 1.0}
PER_GROUP, TEST_PER_GROUP = 4, 16  # tokens of each group in a training step, and in the test set
FRAMES = 30  # measurements after the first
FOUND = 0.5  # found: selected for at least this share of its tokens. Chance is k/N = 0.25

Route = Callable[[Tensor, Tensor, torch.Generator | None], tuple[Tensor, Tensor | float]]


@dataclass(frozen=True)
class Method:
    """One way to train the router.

    label: two or three words. recipe: one sentence. build(runs, coefficient) returns a route: a function of logits
    (R, T, N), outputs (R, T, N, d) and a generator (None in a test: nothing random then) that returns y (R, T, d) and
    a penalty (R,). coefficient: its one number, set before the experiment; `why` says from where, `bounds` what it
    may be (None: the method has none).
    start: E8's first logit, 0 for a fair start. relu: active where a logit is above 0, instead of among the k largest.
    """

    label: str
    recipe: str
    build: Callable[[int, float], Route]
    coefficient: float = 0.0
    why: str = "no coefficient"
    bounds: tuple[float, float] | None = None
    start: float = START
    relu: bool = False


@dataclass(frozen=True)
class Result:
    """What one method did in R runs, measured on fresh tokens, without noise or random choice.

    steps: (frames,), the training steps done at each measurement, 0 first. Each history is (frames, R):
    share: of E8's own tokens, the share that selects E8. loss: task loss, the mean squared error per coordinate.
    margin: E8's mean logit on its tokens minus the logit it would have to beat (0 for ReLU routing).
    active: mean number of experts used for a token. is_null: whether E8 had a fair start. relu: as in `Method`.
    """

    name: str
    label: str
    coefficient: float
    steps: np.ndarray
    share: np.ndarray
    loss: np.ndarray
    margin: np.ndarray
    active: np.ndarray
    is_null: bool = False
    relu: bool = False

    @property
    def found(self) -> np.ndarray:
        """Whether each run ended with E8 selected for at least half of its tokens. (R,) booleans."""
        return self.found_at(-1)

    @property
    def found_rate(self) -> float:
        """The share of the runs that found E8."""
        return float(self.found.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson interval (95 %) of the found rate: what this number of runs allows to say."""
        return self.interval_at(-1)

    def found_at(self, frame: int) -> np.ndarray:
        """Return whether each run selects E8 for at least half of its tokens at this measurement. (R,) booleans."""
        return self.share[frame] >= FOUND

    def interval_at(self, frame: int) -> tuple[float, float]:
        """Return the Wilson interval (95 %) of the share of runs that have found E8 at this measurement."""
        found = self.found_at(frame)  # (R,)
        return wilson(int(found.sum()), found.size)

    @property
    def final_loss(self) -> tuple[float, float]:
        """The mean and the standard deviation over runs of the last task loss."""
        last = self.loss[-1]  # (R,)
        return float(last.mean()), float(last.std(ddof=1)) if last.size > 1 else 0.0


def wilson(found: int, runs: int) -> tuple[float, float]:
    """Return the Wilson interval (95 %) of a rate of which `found` of `runs` were seen."""
    ends = scipy.stats.binomtest(found, runs).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)


# --- the methods ---------------------------------------------------------------------------------------------------


def _top_k(runs: int, _: float, gate: str = "topk_softmax") -> Route:
    return lambda h, E, rng: (sparse_mixture(h, E, K, gate), 0.0)


def _balance(runs: int, alpha: float) -> Route:
    return lambda h, E, rng: (sparse_mixture(h, E, K), alpha * balance_of_layers(h, stable_top_k(h, K)))


def _noise(runs: int, sd: float) -> Route:
    def route(h: Tensor, E: Tensor, rng: torch.Generator | None) -> tuple[Tensor, float]:
        noisy = h if rng is None else h + sd * torch.randn(h.shape, generator=rng)  # (R, T, N)
        return sparse_mixture(noisy, E, K), 0.0

    return route


def _random(runs: int, epsilon: float) -> Route:
    def route(h: Tensor, E: Tensor, rng: torch.Generator | None) -> tuple[Tensor, float]:
        selected = stable_top_k(h, K)  # (R, T, k)
        if rng is not None:
            anyone = torch.rand(h.shape, generator=rng).argsort(dim=-1)[..., :K]  # (R, T, k), all pairs alike
            at_random = torch.rand(*h.shape[:-1], 1, generator=rng) < epsilon  # (R, T, 1)
            selected = torch.where(at_random, anyone, selected)
        return sparse_mixture(h, E, K, selected=selected), 0.0

    return route


def _straight_through(runs: int, _: float) -> Route:
    return lambda h, E, rng: (straight_through(h, E, K), 0.0)


def _default_vector(runs: int, decay: float) -> Route:
    layer = DefaultVector(N, D, decay, batch=(runs,))
    return lambda h, E, rng: (layer.train(rng is not None)(h, E, K), 0.0)


def _relu(runs: int, factor: float) -> Route:
    control = AdaptiveL1(K / N, factor=factor, runs=True)

    def route(h: Tensor, E: Tensor, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        w = relu_weights(h)  # (R, T, N)
        penalty = control.penalty(w)  # (R,)
        if rng is not None:
            control.update(w)
        return (w.unsqueeze(-1) * E).sum(dim=-2), penalty

    return route


METHODS: dict[str, Method] = {
    "fair": Method("fair start", "null: gate A, and E8 starts like a newcomer, near 0.", _top_k, start=0.0),
    "top_k_a": Method("gate A", "top-k, then softmax over the k selected logits.", _top_k),
    "top_k_b": Method("gate B", "softmax over all, then keep k.", partial(_top_k, gate="softmax_topk")),
    "balance": Method("balance loss", "gate A, plus α times the Switch balance loss.", _balance, 0.01,
                      "α = 0.01, Fedus et al. 2021", (0, inf)),
    "noise": Method("noise", "gate A; in training, normal noise on every logit.", _noise, log(2),
                    "sd = ln 2 = softplus(0): Shazeer's noise where W_noise starts at 0", (0, inf)),
    "random": Method("random choice", "gate A; in training, with probability ε a token's k experts are drawn blindly.",
                     _random, 0.1, "ε = 0.1, the usual first value of an ε-greedy choice", (0, 1)),
    "straight_through": Method("straight-through", "forward gate A; the router gets the dense mixture's gradient.",
                               _straight_through),
    "default_vector": Method("default vector", "unselected experts are stood in for by the mean of their past outputs.",
                             _default_vector, 0.9, "decay = 0.9: a memory of about ten batches", (0, 1)),
    "relu": Method("ReLU routing", "weights max(h, 0), no top-k; an adaptive L1 penalty aims at k of N.", _relu, 1.2,
                   "factor 1.2 and λ = 1e-8 at the start, Wang et al. 2024", (1, inf), relu=True),
    "relu_fair": Method("ReLU, fair start", "null of ReLU routing: E8 starts near 0.", _relu, 1.2,
                        "as ReLU routing", (1, inf), start=0.0, relu=True),
}  # fmt: skip
"""Every method by its name, in the order of the lesson's table. `fair` and `relu_fair` are the nulls: no blind spot."""


# --- running them --------------------------------------------------------------------------------------------------


@one_thread()
def run(
    name: str,
    runs: int = 64,
    seed: int = 0,
    steps: int = 300,
    *,
    coefficient: float | None = None,
    start: float | None = None,
    optimizer: str = "adam",
    learning_rate: float | None = None,
    idle: int = 1,
    opposite: bool = False,
) -> Result:
    """Train `runs` routers with one method; measure at the start and about 30 times, evenly spread over the steps.

    name: a key of METHODS. coefficient, start: instead of the method's own. optimizer: "adam" or "sgd" (Adam divides
    by the size of a gradient, so a tiny one counts as much as a large one; SGD does not).
    learning_rate: of the optimizer, instead of LEARNING_RATES.
    idle: how many experts, the last ones, begin at `start`; E8 is always among them.
    opposite: E8 says the opposite of what is right. A control: what brings E8 back here does not ask what it is worth.
    Raises ValueError for an unknown name or optimizer, for counts and numbers out of range, for a coefficient that the
    method does not have, and for a loss that is not finite any more.
    """
    method, make = METHODS[one_of("name", name, METHODS)], OPTIMIZERS[one_of("optimizer", optimizer, OPTIMIZERS)]
    whole_number("steps", steps, least=1, most=100_000)
    rate = LEARNING_RATES[optimizer] if learning_rate is None else positive_number("learning_rate", learning_rate)
    coefficient = method.coefficient if coefficient is None else _coefficient(name, coefficient)
    start = method.start if start is None else number_within("start", start, -1e6, 1e6)
    world = _World(runs, seed, start, idle, -1.0 if opposite else 1.0)
    found = _train(world, method.build(runs, coefficient), steps, method.relu, optimizer=make, lr=rate)
    return Result(name, method.label, coefficient, is_null=not start, relu=method.relu, **found)


def _coefficient(name: str, value: Any) -> float:
    """Check a coefficient that stands in for a method's own."""
    bounds = METHODS[name].bounds
    if bounds is None:
        raise refuse("coefficient", value, f"None: {name!r} has no coefficient")
    return number_within("coefficient", value, *bounds)


class _World:
    """R worlds at once: frozen experts (R, N, d, d), routers, and test tokens."""

    def __init__(self, runs: int, seed: int, start: float, idle: int, sign: float = 1.0) -> None:
        whole_number("runs", runs, least=1, most=10_000)
        whole_number("seed", seed, least=0, most=2**62)
        whole_number("idle", idle, least=1, most=N - K)
        self.rng = torch.Generator().manual_seed(2 * seed)
        self.noise_rng = torch.Generator().manual_seed(2 * seed + 1)  # noise of a method must not change the tokens
        self.experts = torch.randn(runs, N, D, D, generator=self.rng) / D**0.5
        self.sign = sign  # of what E8 says: 1 is right for its group, -1 the opposite
        self.routers = LinearRouters(self._first_router(start, idle))
        self.test = self.tokens(TEST_PER_GROUP)

    def _first_router(self, start: float, idle: int) -> Tensor:
        """Draw a router that knows its groups, but for the last `idle` experts. (R, d, N)."""
        known = N - idle
        W_g = SPREAD * torch.randn(len(self.experts), D, N, generator=self.rng)  # (R, d, N)
        W_g[:, range(known), range(known)] += HEAD_START
        if start:  # through the last coordinate, which all tokens share
            W_g[:, :, known:] = 0.0
            W_g[:, -1, known:] = start
        return W_g

    def tokens(self, per_group: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw tokens, group after group: x (R, T, d), all outputs (R, T, N, d), the right one (R, T, d)."""
        group = torch.arange(N).repeat_interleave(per_group)  # (T,)
        x = WITHIN * torch.randn(len(self.experts), len(group), D, generator=self.rng)  # (R, T, d)
        x = x + CENTRE * torch.eye(N, D)[group]
        x[..., -1] = 1.0
        outputs = torch.einsum("rtd,rnde->rtne", x, self.experts)  # (R, T, N, d)
        target = outputs[:, torch.arange(len(group)), group]  # (R, T, d), a copy
        outputs[:, :, BLIND] *= self.sign
        return x, outputs, target


def _times(steps: int) -> list[int]:
    """Return the steps at which to measure: 0, the last, and evenly between."""
    return sorted({*range(0, steps, -(-steps // FRAMES)), steps})


def _train(world: _World, route: Route, steps: int, relu: bool = False, **options: Any) -> dict[str, np.ndarray]:
    """Train and measure on the way. options: `optimizer` and `lr` of `train`. Returns steps and histories (F, R)."""

    def losses(routers: nn.Module, batch: tuple[Tensor, ...]) -> Losses:
        x, E, target = batch
        y, penalty = route(routers(x), E, world.noise_rng)  # (R, T, d), (R,)
        each = _task_loss(y, target).mean(dim=-1) + penalty  # (R,)
        return {"loss": each.sum()}  # a sum: no run touches another's gradient

    history = trained(world.routers, lambda _: world.tokens(PER_GROUP), losses, steps, schedule=constant,
                      watch=lambda *_: _measure(world, route, relu), watch_at=_times(steps), **options)  # fmt: skip
    return frames(history)


def _task_loss(y: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of each token. (R, T, d) twice -> (R, T)."""
    return (y - target).square().mean(dim=-1)


@torch.no_grad()
def _measure(world: _World, route: Route, relu: bool) -> dict[str, np.ndarray]:
    """Return share, loss, margin and active experts of each run, without noise. (R,) each."""
    x, E, target = world.test
    h = world.routers(x)  # (R, T, N)
    active = h > 0 if relu else torch.zeros_like(h, dtype=torch.bool).scatter(-1, stable_top_k(h, K), True)
    own = h[:, BLIND * TEST_PER_GROUP :]  # (R, T/N, N): E8's tokens come last
    cut = 0.0 if relu else own[..., :BLIND].topk(K, dim=-1).values[..., -1]  # (R, T/N)
    measured = {
        "share": active[:, BLIND * TEST_PER_GROUP :, BLIND].float().mean(dim=-1),
        "loss": _task_loss(route(h, E, None)[0], target).mean(dim=-1),
        "margin": (own[..., BLIND] - cut).mean(dim=-1),
        "active": active.sum(dim=-1).float().mean(dim=-1),
    }
    return {name: value.double().numpy() for name, value in measured.items()}
