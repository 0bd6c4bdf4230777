"""Training logs to read in exercise 10.5: two fixed, skewed routers that a bias balances, with u, capacity and scope.

Nothing learns here but the bias, by the rule of `balancing.BiasBalancer`: numpy alone, so that questions can be read
without torch. Letters: T tokens per step and layer, N experts, k active, u the step of the bias, C capacity.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from moe_lessons.metrics import max_violation

STEPS, LAYERS, EXPERTS, K = 300, 2, 16, 2
LATE = 100  # steps at the end, over which an outcome is averaged
SKEW = 0.5  # standard deviation of the experts' leanings
LOGGED = (
    (0, 20),
    (50, 70),
    (100, 120),
    (150, 170),
    (STEPS - LATE, STEPS),
)  # stretches that a log shows; the last is LATE


@dataclass(frozen=True)
class Setting:
    """One run. pooled: one bias for both layers, from their summed loads. opposite: layer 2 leans against layer 1."""

    T: int
    u: float
    factor: float
    pooled: bool = False
    opposite: bool = False


@dataclass(frozen=True)
class Outcome:
    """Means over the last steps. violation: MaxVio of each layer, (layers,). dice: MaxVio where all is chance."""

    violation: np.ndarray
    dropped: float
    dice: float


@lru_cache(maxsize=4)
def _scores(T: int, opposite: bool) -> np.ndarray:
    """Return sigmoid scores (steps, layers, T, N), the same draws for every setting: differences are the setting's."""
    rng = np.random.default_rng(10)
    skew = SKEW * rng.standard_normal((LAYERS, 1, EXPERTS))  # (layers, 1, N)
    if opposite:
        skew[1] = -skew[0]
    h = rng.standard_normal((STEPS, LAYERS, T, EXPERTS), dtype=np.float32)  # (steps, layers, T, N)
    return 1 / (1 + np.exp(-(h + skew.astype(np.float32))))


@lru_cache(maxsize=64)
def simulate(setting: Setting) -> np.ndarray:
    """Return how many assignments each expert was asked for, (steps, layers, N). Do not write to it."""
    b = np.zeros((LAYERS, EXPERTS))  # (layers, N)
    loads = np.zeros((STEPS, LAYERS, EXPERTS), dtype=int)  # (steps, layers, N)
    for load, s in zip(loads, _scores(setting.T, setting.opposite), strict=True):  # s (layers, T, N)
        best = np.argpartition(-(s + b[:, None]), K - 1, axis=-1)[..., :K]  # (layers, T, k)
        for layer, selected in enumerate(best):
            load[layer] = _counts(selected)
        seen = load.sum(axis=0, keepdims=True) if setting.pooled else load  # (1 or layers, N)
        b += setting.u * np.sign(seen.mean(axis=-1, keepdims=True) - seen)
    return loads


def _counts(selected: np.ndarray) -> np.ndarray:
    return np.bincount(selected.ravel(), minlength=EXPERTS)  # (N,)


@lru_cache(maxsize=8)
def dice_violation(T: int) -> float:
    """Return the mean MaxVio when each of T tokens picks k different experts by dice: the null."""
    rng = np.random.default_rng(0)
    picks = np.argpartition(rng.random((400, T, EXPERTS)), K - 1, axis=-1)[..., :K]  # (draws, T, k)
    return float(np.mean([max_violation(_counts(pick)) for pick in picks]))


def dropped(loads: np.ndarray, setting: Setting) -> np.ndarray:
    """Return the share of the assignments that find no place. loads: (..., N), counts. Returns (...)."""
    C = math.ceil(setting.factor * setting.T * K / EXPERTS)
    return np.maximum(loads - C, 0).sum(axis=-1) / (setting.T * K)


def outcome(setting: Setting) -> Outcome:
    """Return what a setting leads to in the end."""
    loads = simulate(setting)[-LATE:]  # (late, layers, N)
    violation = np.array(max_violation(loads)).mean(axis=0)  # (layers,)
    return Outcome(violation, float(dropped(loads, setting).mean()), dice_violation(setting.T))


def written_log(name: str, setting: Setting) -> str:
    """Return the log of a run as text, ready to print."""
    loads = simulate(setting)  # (steps, layers, N)
    lines = [
        f"run {name}: {setting.T} tokens per step, {EXPERTS} experts, k = {K}; "
        f"MaxVio of dice {dice_violation(setting.T):.2f}",
        "    steps     MaxVio layer 1   layer 2   both pooled   dropped",
    ]
    for start, end in LOGGED:
        part = loads[start:end]  # (steps, layers, N)
        one, two = np.array(max_violation(part)).mean(axis=0)
        pooled, lost = np.mean(max_violation(part.sum(axis=1))), dropped(part, setting).mean()
        lines.append(f"    {start:>3} - {end - 1:<3}{one:>14.2f}{two:>10.2f}{pooled:>14.2f}{lost:>10.1%}")
    last = loads[-6:, 0, 0] / loads[-6:, 0].mean(axis=-1)  # (6,)
    lines.append(f"    load / mean of E1 in layer 1, last six steps: {'  '.join(f'{load:.2f}' for load in last)}")
    return "\n".join(lines)
