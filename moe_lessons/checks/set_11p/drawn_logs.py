"""Drawn logs for the functions of 11p.1 and 11p.2: numbers that no run need have made; and slips in the frames."""

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from moe_lessons.checks.set_11p.measures import LATE, Log, alone
from moe_lessons.checks.values import agree, unpack
from moe_lessons.checks.verdicts import Mistake, by_test, by_value


def draw_log(rng: np.random.Generator, F: int, layers: int, N: int, way: int = 1) -> Log:
    """Return a log of F frames: layers that lean differently, an idle expert, counts beyond the real tokens, more or
    fewer in each layer.

    way: 1 where entropy is lost, the test error is the lower one, and the logged loss hides something; −1 where it is
    the other way round. No difference is so small that its rounding would show.
    """
    real = rng.integers(70, 140, size=F)  # (F,)
    log = {"balanced by": "loss", "step": 20 * np.arange(F), "real": real}
    log |= {"counts": draw_counts(rng, real, layers, N), "P": rng.dirichlet(np.full(N, 4.0), size=(F, layers))}
    level = 0.65 + way * np.linspace(0.15, -0.15, F)[:, None] + rng.uniform(-0.1, 0.1, size=(F, layers))  # (F, layers)
    training = rng.uniform(0.2, 0.5, size=F)  # (F,)
    return log | {
        "entropy": np.log(N) * level,
        "balance": alone(log, F).mean(axis=-1) - way * rng.uniform(0.0, 0.4, size=F),
        "bias": rng.normal(size=(F, layers, N)).cumsum(axis=0) / 50,
        "training error": training,
        "test error": training * (1 - way * rng.uniform(0.05, 0.45, size=F)),
    }


def draw_counts(rng: np.random.Generator, real: np.ndarray, layers: int, N: int) -> np.ndarray:
    """Return the loads of all frames (F, layers, N). One expert is idle."""
    lean = rng.dirichlet(np.full(N, 2.0), size=layers)  # (layers, N)
    lean[0] += 1 / N  # so evenly that no expert is as far above the mean as the idle one is below it
    lean[:, rng.integers(N)] = 0
    lean /= lean.sum(axis=-1, keepdims=True)
    tokens = real[:, None] + rng.integers(5, 60, size=(real.size, layers))  # (F, layers)
    return np.stack([[rng.multinomial(n, row) for n, row in zip(frame, lean, strict=True)] for frame in tokens])


def log_cases(rng: np.random.Generator) -> list[tuple]:
    """Three logs: of other lengths, with two and with three layers, with other numbers of experts, and of both ways."""
    return [(draw_log(rng, F, layers, N, way),) for F, layers, N, way in ((14, 2, 6, 1), (21, 3, 5, -1), (17, 2, 8, 1))]


def written(log: Log) -> str:
    """Write a case."""
    F, layers, N = log["counts"].shape
    return f"a log of {F} frames, {layers} layers, {N} experts"


def cut(log: Log, frames: slice) -> Log:
    """Return some frames of a log."""
    return {name: value[frames] if isinstance(value, np.ndarray) else value for name, value in log.items()}


def of_one_layer(measure: Callable[[Log], float]) -> tuple[Mistake, ...]:
    """Return what comes of a measure if one layer alone is looked at: the first, or the last."""
    return by_value(
        "one layer: This is one layer alone. Take all layers, and the mean over them.",
        tuple(lambda log, at=at: measure(alone_in_log(log, at)) for at in (slice(1), slice(-1, None))),
    )


def alone_in_log(log: Log, layers: slice) -> Log:
    """Return a log with some of its layers."""
    return log | {name: log[name][:, layers] for name in ("counts", "P", "entropy", "bias")}


def other_frames(measure: Callable[[Log, int], float]) -> tuple[Mistake, ...]:
    """Return what comes of a measure of so many late frames where other frames are taken than the last 10."""
    return by_value(
        "last frame: This is the last frame alone. One batch is luck: take the mean of the last 10.",
        lambda log: measure(log, 1),
        "all frames: You took all frames. The first ones tell how the run began: take the last 10.",
        lambda log: measure(log, len(log["step"])),
        "first frames: You took the first 10 frames, as `[:10]` does. The last 10 are `[-10:]`.",
        lambda log: measure(cut(log, slice(LATE)), LATE),
        "eleven frames: You took 11 frames. The last 10 are `[-10:]`.",
        lambda log: measure(log, LATE + 1),
        "one length only: That are the last 10 frames of a log of 20 or 21 only, as with `[10:]` or `[11:]`. The last 10 of any log are `[-10:]`.",
        (lambda log: measure(log, len(log["step"]) - 10), lambda log: measure(log, len(log["step"]) - 11)),
        "last half: You took the last half of the frames. The last 10 are `[-10:]`.",
        lambda log: measure(log, len(log["step"]) // 2),
        "last frame left out: You took the 9 frames before the last, as `[-10:-1]` does. The last 10 are `[-10:]`.",
        lambda log: measure(cut(log, slice(-1)), LATE - 1),
        "last frame left out: Your 10 frames end one before the last, as `[-11:-1]` does. The last 10 are `[-10:]`.",
        lambda log: measure(cut(log, slice(-1)), LATE),
    )


def in_another_order(reference: Callable[[Log], tuple[float, ...]], names: Sequence[str]) -> tuple[Mistake, ...]:
    """Return the slip that all numbers are right, and in another order than that of their names."""

    def is_so(value: Any, log: Log) -> bool:
        came, right = unpack(value, names), reference(log)
        return came is not None and any(all(map(agree, order, right)) for order in permutations(came))

    asked = ", ".join(names)
    return by_test(f"another order: Right numbers, in another order. Asked are, one after the other: {asked}.", is_so)
