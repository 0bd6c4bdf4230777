"""Question 11p.1: what a log says of the loads."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_11p.drawn_logs import in_another_order, log_cases, of_one_layer, other_frames, written
from moe_lessons.checks.set_11p.measures import LATE, Log, counted, max_vio, pooled_max_vio
from moe_lessons.checks.verdicts import Mistake, by_formula, by_test
from moe_lessons.metrics import coefficient_of_variation, max_violation


def of_counts(formula: Callable[[np.ndarray, np.ndarray], object]) -> Callable[[Log], object]:
    """Return a measure from a formula of the late counts (late, layers, N) and real tokens (late,)."""
    return lambda log: formula(log["counts"][-LATE:], log["real"][-LATE:])


# Slips in MaxVio itself, of loads (late, …, N).
UNEVEN = (
    "without minus 1: This is the largest load in units of the mean, as from an idle expert to the fullest. MaxVio is by how much the largest is *above* the mean: 1 less.",
    lambda load: max_violation(load).mean() + 1,
    "in tokens: This is by how many tokens the largest load is above the mean. MaxVio is in units of the mean: divide by it.",
    lambda load: (load.max(axis=-1) - load.mean(axis=-1)).mean(),
    "in shares: This is about the largest *share* of the tokens. MaxVio compares the largest load with the mean load: (largest − mean) / mean.",
    (
        lambda load: (load.max(axis=-1) / load.sum(axis=-1)).mean(),
        lambda load: (load.max(axis=-1) / load.sum(axis=-1)).mean() - 1 / load.shape[-1],
    ),
    "CV: This is the coefficient of variation, which is about all experts. MaxVio is about the fullest.",
    lambda load: coefficient_of_variation(load).mean(),
    "number of experts fixed: You took 6 experts for granted, in the mean load. Other logs have other numbers: take the mean over the last axis.",
    lambda load: (load.max(axis=-1) * 6 / load.sum(axis=-1) - 1).mean(),
    "emptiest: This is about the emptiest expert. MaxVio is about the fullest: (largest − mean) / mean.",
    lambda load: (load.min(axis=-1) / load.mean(axis=-1) - 1).mean(),
    "largest: This is the largest of all MaxVio. Asked is the mean.",
    lambda load: max_violation(load).max(),
    "either way: You took the largest distance from the mean, either way. MaxVio looks at the fullest expert only, not at the emptiest.",
    lambda load: (np.abs(load / load.mean(axis=-1, keepdims=True) - 1).max(axis=-1)).mean(),
)


def uneven(loads: Callable[[np.ndarray], np.ndarray]) -> tuple[Mistake, ...]:
    """Return the slips in MaxVio, of the loads (late, …, N) that are made of the late counts."""
    return by_formula(lambda formula: of_counts(lambda counts, real: formula(loads(counts))), *UNEVEN)


def in_a_row(counts: np.ndarray) -> np.ndarray:
    """Return the loads of all layers in one row, (late, layers · N)."""
    return counts.reshape(len(counts), -1)


def loads_of(log: Log) -> tuple[float, float, float]:
    """Return MaxVio, pooled MaxVio and what is counted for each real token."""
    return max_vio(log), pooled_max_vio(log), counted(log)


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
    reference=loads_of,
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
            lambda counts, real: max_violation(in_a_row(counts)).mean(),
            "layers added: You added up the MaxVio of the layers. Asked is their mean.",
            lambda counts, real: max_violation(counts).sum(axis=-1).mean(),
            "fullest layer: You took the layer with the larger MaxVio in each frame. Asked is the mean over the layers.",
            lambda counts, real: max_violation(counts).max(axis=-1).mean(),
            "mean of the real tokens: Your mean load is that of the real tokens. MaxVio is about the counts alone: the mean load is the mean of the *counts* of a layer, and here more are counted than are real.",
            lambda counts, real: (counts.max(axis=-1) * counts.shape[-1] / real[:, None] - 1).mean(),
        )
        + uneven(lambda counts: counts)
        + of_one_layer(max_vio)
        + other_frames(max_vio)
        + by_test(
            "no number: NaN: somewhere the mean load is 0. One expert has no token in any frame or layer, so a mean over these (axis 0 or 1) is 0 for it. The experts are the last axis: `axis=-1`.",
            lambda value, log: np.isnan(value).any(),
        ),
        "pooled MaxVio": by_formula(
            of_counts,
            "not pooled: This is MaxVio of each layer. Here add the loads of the layers first, expert by expert.",
            lambda counts, real: max_violation(counts).mean(),
            "MaxVio added: You added up the MaxVio of the layers. Add up their *loads*, expert by expert, and take MaxVio of these.",
            lambda counts, real: max_violation(counts).sum(axis=-1).mean(),
            "experts added: You added up the experts, so each layer has one number, all that it counts. Add up the *layers*, expert by expert: axis 1.",
            lambda counts, real: max_violation(counts.sum(axis=-1)).mean(),
            "frames added: You added up the frames, too. Add the layers only: each frame has a MaxVio of its own.",
            lambda counts, real: max_violation(counts.sum(axis=(0, 1))),
            "frames for layers: You added up the frames, not the layers: axis 0 in the place of axis 1.",
            lambda counts, real: max_violation(counts.sum(axis=0)).mean(),
            "layers in a row: You put the layers' loads in one long row. Add them up, expert by expert: E1 of one layer to E1 of the next.",
            lambda counts, real: max_violation(in_a_row(counts)).mean(),
            "mean of the real tokens: Your mean load is that of the real tokens, of one layer or of all. MaxVio is about the counts alone: the mean load is the mean of the added *counts*.",
            (
                lambda counts, real: (counts.sum(axis=1).max(axis=-1) * counts.shape[-1] / real - 1).mean(),
                lambda counts, real: (counts.mean(axis=1).max(axis=-1) * counts.shape[-1] / real - 1).mean(),
            ),
        )
        + uneven(lambda counts: counts.sum(axis=1))
        + other_frames(pooled_max_vio),
        "counted": by_formula(
            of_counts,
            "layers added: You added up what all layers count. Each layer sees every token once.",
            lambda counts, real: (counts.sum(axis=(1, 2)) / real).mean(),
            "number of layers fixed: You added up all layers and divided by 2. Other logs have more layers: take the mean over them.",
            lambda counts, real: (counts.sum(axis=(1, 2)) / 2 / real).mean(),
            "number of experts fixed: You divided the mean load, times 6, by the real tokens. Other logs have other numbers of experts: add up the experts of a layer.",
            lambda counts, real: (6 * counts.mean(axis=-1) / real[:, None]).mean(),
            "fullest expert: This is the largest load for each real token. Add up the experts of a layer.",
            lambda counts, real: (counts.max(axis=-1) / real[:, None]).mean(),
            "largest: This is the largest of all. Asked is the mean over frames and layers.",
            lambda counts, real: (counts.sum(axis=-1) / real[:, None]).max(),
            "upside down: This is real tokens for each counted one. Asked is counted for each real one.",
            lambda counts, real: (real[:, None] / counts.sum(axis=-1)).mean(),
            "difference: This is how many more are counted. Asked is how many are counted for each real token.",
            lambda counts, real: (counts.sum(axis=-1) - real[:, None]).mean(),
            "surplus: This is how many *too many* are counted for each real token. Asked is how many are counted in all: 1 more.",
            lambda counts, real: (counts.sum(axis=-1) / real[:, None]).mean() - 1,
            "not divided: This is how many tokens are counted. Divide by the real ones, in each frame.",
            lambda counts, real: counts.sum(axis=-1).mean(),
            "an expert's share: You divided by the number of experts, too. Add up the experts of a layer.",
            lambda counts, real: (counts.mean(axis=-1) / real[:, None]).mean(),
            "sums divided: You divided the sum over frames by the sum over frames. Divide in each frame, then take the mean.",
            lambda counts, real: counts.sum() / real.sum() / counts.shape[1],
        )
        + of_one_layer(counted)
        + other_frames(counted),
    },
    mistakes=in_another_order(loads_of, ("MaxVio", "pooled MaxVio", "counted")),
)
