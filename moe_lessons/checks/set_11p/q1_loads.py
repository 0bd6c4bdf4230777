"""Question 11p.1: what a log says of the loads. The logs are drawn: whole numbers that no run need have made."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_11p.measures import LATE, Log, counted, max_vio, pooled_max_vio
from moe_lessons.checks.verdicts import by_formula
from moe_lessons.metrics import coefficient_of_variation, max_violation


def draw_log(rng: np.random.Generator, F: int, layers: int, N: int) -> Log:
    """Return a log of F frames: layers that lean differently, an idle expert, counts beyond the real tokens."""
    real = rng.integers(70, 140, size=F)  # (F,)
    lean = rng.dirichlet(np.full(N, 2.0), size=layers)  # (layers, N)
    lean[:, rng.integers(N)] = 0
    lean /= lean.sum(axis=-1, keepdims=True)
    tokens = real + rng.integers(5, 60, size=F)  # (F,)
    counts = np.stack([np.stack([rng.multinomial(n, row) for row in lean]) for n in tokens])  # (F, layers, N)
    P = rng.dirichlet(np.full(N, 4.0), size=(F, layers))  # (F, layers, N)
    return {
        "balanced by": "loss",
        "step": 20 * np.arange(F),
        "real": real,
        "counts": counts,
        "P": P,
        "entropy": np.log(N) * rng.uniform(0.3, 1.0, size=(F, layers)),
        "balance": rng.uniform(0.7, 1.3, size=F),
        "bias": rng.normal(size=(F, layers, N)).cumsum(axis=0) / 50,
        "training error": rng.uniform(0.2, 0.5, size=F),
        "test error": rng.uniform(0.1, 0.4, size=F),
    }


def log_cases(rng: np.random.Generator) -> list[tuple]:
    """Three logs: of other lengths, with two and with three layers, with other numbers of experts."""
    return [(draw_log(rng, F, layers, N),) for F, layers, N in ((14, 2, 6), (21, 3, 5), (17, 2, 8))]


def written(log: Log) -> str:
    """Write a case."""
    F, layers, N = log["counts"].shape
    return f"a log of {F} frames, {layers} layers, {N} experts"


def of_counts(formula: Callable[[np.ndarray, np.ndarray], object]) -> Callable[[Log], object]:
    """Return a measure from a formula of the late counts (late, layers, N) and real tokens (late,)."""
    return lambda log: formula(log["counts"][-LATE:], log["real"][-LATE:])


def of_all(formula: Callable[[np.ndarray, np.ndarray], object]) -> Callable[[Log], object]:
    """Return a measure from a formula of all counts (F, layers, N) and real tokens (F,)."""
    return lambda log: formula(log["counts"], log["real"])


LOADS = FunctionQuestion(
    **about("11p.1", "What the log says of the loads", "write it", "medium", points=2, minutes=8),
    hints=(
        "Cut the log first: `log['counts'][-10:]` is (10, layers, N). MaxVio is one number for each frame and layer, so take it along the last axis and the mean at the very end.",
        "`max_violation` takes it along the last axis: of `log['counts'][-10:]` it gives (10, layers). Pooled, the sum over axis 1 comes first. And what a layer counts is `log['counts'][-10:].sum(axis=-1)`, (10, layers); `log['real'][-10:, None]` has an axis that fits.",
    ),
    idea="Measure in each frame and layer, average last: an average of loads is more even than any of the loads.",
    takeaway="A log's first check costs one line: do the counts add up to the tokens that there were?",
    answer="my_loads",
    parameters=("log",),
    cases=log_cases,
    written=written,
    reference=lambda log: (max_vio(log), pooled_max_vio(log), counted(log)),
    parts={
        "MaxVio": by_formula(
            of_counts,
            "loads averaged first: You averaged the loads over frames and took MaxVio of the mean. Ups and downs cancel in it: take MaxVio in each frame, and average at the end.",
            (
                lambda counts, real: max_violation(counts.mean(axis=0)).mean(),
                lambda counts, real: max_violation(counts.sum(axis=(0, 1))),
            ),
            "pooled: This is MaxVio of the layers taken together, the second number. E1 of one layer and E1 of the next share only their name.",
            lambda counts, real: max_violation(counts.sum(axis=1)).mean(),
            "layers in a row: You took all experts of all layers as one long row, with one mean. Each layer has its own largest load.",
            lambda counts, real: (counts.max(axis=(1, 2)) / counts.mean(axis=(1, 2)) - 1).mean(),
            "without minus 1: This is the largest load in units of the mean. MaxVio is by how much it is *above* the mean: 1 less.",
            lambda counts, real: max_violation(counts).mean() + 1,
            "CV: This is the coefficient of variation, which is about all experts. MaxVio is about the fullest.",
            lambda counts, real: coefficient_of_variation(counts).mean(),
            "last frame: This is the last frame alone. One batch is luck: take the mean over the last 10.",
            lambda counts, real: max_violation(counts[-1]).mean(),
            "largest: This is the largest of all MaxVio. Asked is the mean over frames and layers.",
            lambda counts, real: max_violation(counts).max(),
        )
        + by_formula(
            of_all,
            "all frames: You took all frames. The first ones tell how the run began: take the last 10.",
            lambda counts, real: max_violation(counts).mean(),
        ),
        "pooled MaxVio": by_formula(
            of_counts,
            "not pooled: This is MaxVio of each layer. Here add the loads of the layers first, expert by expert.",
            lambda counts, real: max_violation(counts).mean(),
            "frames added: You added up the frames, too. Add the layers only: each frame has a MaxVio of its own.",
            lambda counts, real: max_violation(counts.sum(axis=(0, 1))),
            "without minus 1: This is the largest load in units of the mean. MaxVio is 1 less.",
            lambda counts, real: max_violation(counts.sum(axis=1)).mean() + 1,
        )
        + by_formula(
            of_all,
            "all frames: You took all frames. Take the last 10.",
            lambda counts, real: max_violation(counts.sum(axis=1)).mean(),
        ),
        "counted": by_formula(
            of_counts,
            "layers added: You added up what all layers count. Each layer sees every token once.",
            lambda counts, real: (counts.sum(axis=(1, 2)) / real).mean(),
            "upside down: This is real tokens for each counted one. Asked is counted for each real one.",
            lambda counts, real: (real[:, None] / counts.sum(axis=-1)).mean(),
            "difference: This is how many more are counted. Asked is how many are counted for each real token.",
            lambda counts, real: (counts.sum(axis=-1) - real[:, None]).mean(),
            "an expert's share: You divided by the number of experts, too. Add up the experts of a layer.",
            lambda counts, real: (counts.mean(axis=-1) / real[:, None]).mean(),
            "sums divided: You divided the sum over frames by the sum over frames. Divide in each frame, then take the mean.",
            lambda counts, real: counts.sum() / real.sum() / counts.shape[1],
        )
        + by_formula(
            of_all,
            "all frames: You took all frames. Take the last 10.",
            lambda counts, real: (counts.sum(axis=-1) / real[:, None]).mean(),
        ),
    },
)
