"""Question 9.1: measuring the load."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import metrics
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree, unbracketed
from moe_lessons.checks.verdicts import by_test, by_value

# T, k, the counts of the experts, and `below`. The first is small enough to be shown. In the second an expert is nearly
# dead and the last has nothing; there the emptiest is farther from the mean than the fullest, later it is the other way
# round. In the third the empty one is in the middle, and the median far below the mean. In the last a count lies on the
# threshold, and all shares there are exact in binary; elsewhere none does. In the fourth two counts lie between `below`
# times the mean and `below` times the mean of those who have any.
LOADS = (
    (6, 2, (4, 3, 3, 2), 0.8),
    (20, 2, (12, 10, 1, 9, 8, 0), 0.25),
    (12, 1, (7, 3, 0, 1, 1), 0.5),
    (10, 3, (9, 7, 5, 2, 4, 2, 0, 1), 0.5),
    (16, 2, (9, 8, 1, 6, 4, 0, 2, 2), 0.25),
)


def statistics_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (selected (T, k), N, below) for each of LOADS, one token moved at random between the two fullest."""
    cases = []
    for T, k, template, below in LOADS:
        counts = np.array(template)  # (N,)
        counts[:2] += rng.integers(2) * np.array([-1, 1])
        cases.append((tokens_with(counts, T, k, rng), len(counts), below))
    return cases


def tokens_with(counts: np.ndarray, T: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return a selection (T, k) with these counts (N,), no expert twice in a row; no count may be above T."""
    columns = np.repeat(np.arange(len(counts)), counts).reshape(k, T)  # sorted: equal ones lie less than T apart
    return rng.permuted(rng.permutation(columns.T), axis=1)  # (T, k)


def statistics(selected: np.ndarray, N: int, below: float) -> tuple[np.ndarray, ...]:
    """Return the shares (N,), their CV, MaxVio, and the number of experts with less than `below` times the mean."""
    load = metrics.expert_load(selected, N)  # (N,)
    dead = metrics.dead_experts(load, below)  # (dead,)
    numbers = metrics.coefficient_of_variation(load), metrics.max_violation(load), dead.size
    return load, *map(np.array, numbers)


def of_counts(wrong: Callable) -> Callable:
    """Return the function of (selected, N, below) that is `wrong` of the counts (N,), T, k and below."""

    def answer(selected: np.ndarray, N: int, below: float) -> Any:
        return wrong(np.bincount(selected.ravel(), minlength=N), *selected.shape, below)

    return answer


def of_load(wrong: Callable) -> Callable:
    """Return the function of (selected, N, below) that is `wrong` of the shares f (N,), the fair share m and k/N."""
    return lambda selected, N, below: wrong(metrics.expert_load(selected, N), 1 / N, selected.shape[1] / N)


def of_threshold(limit: Callable) -> Callable:
    """Return the function that counts the shares below limit(shares (N,), k, below)."""
    return lambda selected, N, below: int(
        ((load := metrics.expert_load(selected, N)) < limit(load, selected.shape[1], below)).sum()
    )


def weighted_load(selected: np.ndarray, N: int, weights: np.ndarray) -> np.ndarray:
    """Return the shares (N,) when a token's j-th choice counts weights[j]. weights (k,)."""
    each = np.broadcast_to(weights, selected.shape).ravel()  # (T·k,)
    return np.bincount(selected.ravel(), weights=each, minlength=N) / each.sum()


def below_the_threshold(selected: np.ndarray, N: int, below: float) -> np.ndarray:
    """Mark the dead experts. (N,)."""
    return metrics.expert_load(selected, N) < below / N


def of_used(wrong: Callable) -> Callable:
    """Return the function of (selected, N, below) that is wrong(shares (N,), shares of those who have any, below)."""

    def answer(selected: np.ndarray, N: int, below: float) -> Any:
        load = metrics.expert_load(selected, N)  # (N,)
        return wrong(load, load[load > 0], below)

    return answer


def is_out_of_order(value: Any, *case: Any) -> bool:
    """Tell whether all four are there and right, in another order."""
    right = [np.asarray(part) for part in statistics(*case)]
    if not isinstance(value, list) or len(value) != len(right):
        return False
    places = [[i for i, came in enumerate(value) if agree(unbracketed(came), part)] for part in right]
    return all(places) and len({place[0] for place in places}) == len(right)


MEAN_OF_USED = "The mean is over all N experts, also those that got nothing: 1/N. You took only those that have tokens, which hides the empty ones."
AROUND_K = "You measure from k/N. Your shares sum to 1, so their mean is 1/N, whatever k is; k/N is the mean only of shares that sum to k. Measured from k/N, even perfect balance does not give 0 when k > 1. (A popular demo does this.)"

STATISTICS = FunctionQuestion(
    **about("9.1", "Measuring the load", "write it", "easy", points=1, minutes=7),
    hints=(
        "`np.bincount(selected.ravel(), minlength=num_experts)` counts each expert's assignments, also where there are none. Divide by their number, T·k.",
        "CV is `load.std() / load.mean()`, MaxVio is `load.max() / load.mean() - 1`. An expert is dead where `load < below * load.mean()`: count those.",
    ),
    idea="All four compare the load with the fair share, which is 1/N of the assignments for every k: on average (CV), at the fullest expert (MaxVio), and at the empty ones (dead experts).",
    takeaway="Where each expert has a machine of its own, all wait for the fullest one: so MaxVio, not the average, tells what an uneven load costs.",
    answer="my_statistics",
    parameters=("selected", "num_experts", "below"),
    stands_for=(
        "metrics.expert_load",
        "metrics.coefficient_of_variation",
        "metrics.max_violation",
        "metrics.dead_experts",
    ),
    when_raised="selected is (T, k): flatten it (`selected.ravel()`) before `np.bincount`.",
    cases=statistics_cases,
    reference=statistics,
    read=lambda value, *case: unbracketed(value),
    parts={
        "load": by_value(
            "divided by T: Your shares sum to k: you divided by the number of tokens. Asked are shares of all T·k assignments, which sum to 1.",
            of_counts(lambda c, T, k, below: c / T),
            "counts: These are the counts. Divide them by their sum, T·k.",
            of_counts(lambda c, T, k, below: c),
            "divided by N: You divided the counts by the number of experts. Divide by the number of assignments, T·k, so that the shares sum to 1.",
            of_counts(lambda c, T, k, below: c / len(c)),
            "first choice only: You counted one choice of each token alone, such as its first. All k count.",
            (
                lambda s, N, below: np.bincount(s[:, 0], minlength=N) / len(s),
                lambda s, N, below: np.bincount(s[:, -1], minlength=N) / len(s),
            ),
            "first choices weigh more: Your choices weigh differently, the first one most. Every assignment counts the same, first choice or last.",
            (
                lambda s, N, below: weighted_load(s, N, np.arange(s.shape[1], 0, -1)),
                lambda s, N, below: weighted_load(s, N, 1 / np.arange(1, s.shape[1] + 1)),
                lambda s, N, below: weighted_load(s, N, 0.5 ** np.arange(s.shape[1])),
            ),
            "counted once: Each expert counts once, however many tokens it has: `load[selected] += 1` adds 1 to an entry once, not for every time that its index comes. `np.bincount` or `np.add.at` count them all.",
            (
                of_counts(lambda c, T, k, below: (c > 0) / (T * k)),
                of_counts(lambda c, T, k, below: (c > 0) / (c > 0).sum()),
            ),
            "expert 0 left out: Experts are numbered from 0 to N − 1. You leave out expert 0, or count from 1.",
            (
                lambda s, N, below: np.bincount(s.ravel(), minlength=N + 1)[1:] / s.size,
                lambda s, N, below: np.bincount(s.ravel(), minlength=N)[1:] / s.size,
                of_counts(lambda c, T, k, below: c * (np.arange(len(c)) > 0) / (T * k)),
            ),
            "per cent: These are per cent. Asked are shares, which sum to 1.",
            of_counts(lambda c, T, k, below: 100 * c / c.sum()),
            "no minlength: Your loads end with the last expert that has any. Experts after it have load 0: `np.bincount(..., minlength=num_experts)`.",
            lambda s, N, below: np.bincount(s.ravel()) / s.size,
            "empty left out: Experts without tokens are missing from your loads, so those after them move up. Their load is 0: `np.bincount(..., minlength=num_experts)`.",
            lambda s, N, below: np.unique(s, return_counts=True)[1] / s.size,
            "sorted: Your loads stand in the order of their size. Each stands at the index of its expert.",
            (
                of_counts(lambda c, T, k, below: np.sort(c)[::-1] / (T * k)),
                of_counts(lambda c, T, k, below: np.sort(c) / (T * k)),
            ),
            "relative to the largest: You divided by the largest count. Divide by the number of assignments, T·k, so that the shares sum to 1.",
            of_counts(lambda c, T, k, below: c / c.max()),
            "a row for each choice: You have loads for each choice apart. All choices count together, N numbers in all.",
            lambda s, N, below: np.stack([np.bincount(j, minlength=N) / len(s) for j in s.T]),
            "relative to the mean: You divided by the mean load: these numbers sum to N. Asked are shares, which sum to 1.",
            of_counts(lambda c, T, k, below: c / c.mean()),
        ),
        "cv": by_value(
            "sample deviation: Your standard deviation divides by N − 1 (as torch's `std` and pandas do). The N experts are all there are, not a sample: divide by N.",
            of_load(lambda f, m, km: f.std(ddof=1) / m),
            "squared: This is CV², which the importance loss uses. Take the root.",
            of_load(lambda f, m, km: f.var() / m**2),
            "deviation of the shares: This is the standard deviation alone. Divide it by the mean, so that it can be compared between different N.",
            of_load(lambda f, m, km: f.std()),
            "deviation of the counts: This is the standard deviation of the counts. Divide it by their mean.",
            of_counts(lambda c, T, k, below: c.std()),
            "range: This is (largest − smallest) / mean. CV takes the standard deviation, to which every expert adds.",
            of_load(lambda f, m, km: np.ptp(f) / m),
            "divided by another load: You divided by the median or by the largest load. Divide by the mean.",
            (
                of_load(lambda f, m, km: f.std() / np.median(f)),
                of_load(lambda f, m, km: f.std() / f.max()),
            ),
            "CV in per cent: This is in per cent. Asked is deviation / mean, as it is.",
            of_load(lambda f, m, km: 100 * f.std() / m),
            "turned over: This is mean / deviation. CV is deviation / mean.",
            of_load(lambda f, m, km: m / f.std()),
            "variance: You divided the variance by the mean. CV is the standard deviation, its root, divided by the mean.",
            of_load(lambda f, m, km: f.var() / m),
            "added, not averaged: You added the squared distances and did not divide by N: that is √N too large. The deviation is the root of their *mean*.",
            of_load(lambda f, m, km: f.std() * math.sqrt(len(f)) / m),
            f"mean of those used: {MEAN_OF_USED}",
            (
                of_used(lambda f, used, below: used.std() / used.mean()),
                of_used(lambda f, used, below: f.std() / used.mean()),
                of_used(lambda f, used, below: used.std() / f.mean()),
            ),
            "absolute distances: You averaged the absolute distances from the mean. The standard deviation is the root of the mean of their squares.",
            of_load(lambda f, m, km: np.abs(f - m).mean() / m),
            f"around k/N: {AROUND_K}",
            of_load(lambda f, m, km: math.sqrt(((f - km) ** 2).mean()) / km),
            "divided by k/N: You divided by k/N. Your shares sum to 1, so their mean is 1/N, whatever k is.",
            of_load(lambda f, m, km: f.std() / km),
        ),
        "max_violation": by_value(
            f"mean of those used: {MEAN_OF_USED}",
            of_used(lambda f, used, below: f.max() / used.mean() - 1),
            "which expert: This is the index of the fullest expert. Asked is by how much its load exceeds the mean.",
            of_load(lambda f, m, km: f.argmax()),
            "one for each expert: This is the violation of every expert. MaxVio is that of the fullest alone.",
            of_load(lambda f, m, km: f / m - 1),
            "compared with another expert: You compared the largest load with the median or with the smallest one. MaxVio compares it with the mean.",
            (
                of_load(lambda f, m, km: f.max() / np.median(f) - 1),
                of_used(lambda f, used, below: f.max() / used.min()),
                of_used(lambda f, used, below: f.max() / used.min() - 1),
            ),
            "second largest: You took the second largest load. MaxVio looks at the fullest expert.",
            of_load(lambda f, m, km: np.sort(f)[-2] / m - 1),
            "in deviations: You divided by the standard deviation. Divide by the mean.",
            of_load(lambda f, m, km: (f.max() - m) / f.std()),
            "ratio: This is largest / mean, which is 1 at balance. MaxVio is by how much it is exceeded: 1 less.",
            of_load(lambda f, m, km: f.max() / m),
            "emptiest: You measured how far the *emptiest* expert is below the mean. MaxVio looks at the fullest: it decides how long all others wait.",
            of_load(lambda f, m, km: 1 - f.min() / m),
            "emptiest, negative: You took the smallest load. MaxVio looks at the largest.",
            of_load(lambda f, m, km: f.min() / m - 1),
            "farthest from the mean: You took the expert that is farthest from the mean on either side; that can be an empty one. MaxVio looks at the fullest alone.",
            of_load(lambda f, m, km: np.abs(f / m - 1).max()),
            "not relative: This is largest − mean. Divide it by the mean.",
            of_load(lambda f, m, km: f.max() - m),
            "not relative, counts: This is largest − mean, in counts. Divide it by the mean.",
            of_counts(lambda c, T, k, below: c.max() - c.mean()),
            "divided by the largest: You divided by the largest load. Divide by the mean.",
            of_load(lambda f, m, km: 1 - m / f.max()),
            "range: This is (largest − smallest) / mean. MaxVio compares the largest with the mean.",
            of_load(lambda f, m, km: np.ptp(f) / m),
            f"MaxVio around k/N: {AROUND_K}",
            of_load(lambda f, m, km: f.max() / km - 1),
        ),
        "dead": by_value(
            f"mean of those used: {MEAN_OF_USED}",
            (
                of_used(lambda f, used, below: int((f < below * used.mean()).sum())),
                of_used(lambda f, used, below: int((used < below * used.mean()).sum())),
            ),
            "empty left out: Experts with nothing at all are dead, too.",
            of_used(lambda f, used, below: int((used < below * f.mean()).sum())),
            "threshold from T/N: The mean of the counts is T·k/N, not T/N: each token is counted k times.",
            of_counts(lambda c, T, k, below: int((c < below * T / len(c)).sum())),
            "exactly zero: You counted experts with nothing at all, or next to nothing. Here an expert with less than `below` times the mean load is dead. Is `below` used, and the mean?",
            of_threshold(lambda f, k, below: 1e-12),
            "at the threshold: You counted an expert with exactly `below` times the mean load as dead. Dead is who has *less*: `<`, not `<=`.",
            lambda s, N, below: int((metrics.expert_load(s, N) <= below / N + 1e-12).sum()),
            "threshold not relative: You compared the shares with `below` itself. The threshold is relative to the mean load: below · 1/N. With many experts even a fair share is a small number.",
            of_threshold(lambda f, k, below: below),
            "below not used: You counted experts with less than the mean load itself. The threshold is `below` times that.",
            of_threshold(lambda f, k, below: f.mean()),
            "below not used: Your threshold is a quarter of the mean load, whatever `below` is.",
            of_threshold(lambda f, k, below: 0.25 * f.mean()),
            "below not used: Your threshold is half the mean load, whatever `below` is.",
            of_threshold(lambda f, k, below: 0.5 * f.mean()),
            "threshold from the median: Your threshold is `below` times the *median* load. Asked is `below` times the mean: where many experts are nearly empty, so is the median, and they would pass.",
            of_threshold(lambda f, k, below: below * np.median(f)),
            "threshold from k/N: Your threshold is below · k/N. The shares sum to 1, so their mean is 1/N.",
            of_threshold(lambda f, k, below: below * k / len(f)),
            "threshold from the fullest: Your threshold is `below` times the largest load. Asked is `below` times the mean.",
            of_threshold(lambda f, k, below: below * f.max()),
            "below turned round: Your threshold is the mean divided by `below`, or 1 − `below` times the mean. It is `below` times the mean.",
            (
                of_threshold(lambda f, k, below: f.mean() / below),
                of_threshold(lambda f, k, below: (1 - below) * f.mean()),
            ),
            "alive: You counted those that are alive.",
            lambda s, N, below: N - statistics(s, N, below)[3],
            "which: These are the indices of the dead experts. Asked is how many there are.",
            (
                lambda s, N, below: np.flatnonzero(below_the_threshold(s, N, below)),
                lambda s, N, below: np.flatnonzero(below_the_threshold(s, N, below))[None],
            ),
            "mask: This marks the dead experts. Asked is how many there are.",
            below_the_threshold,
            "share of the experts: This is the share of the experts that are dead. Asked is how many there are.",
            lambda s, N, below: statistics(s, N, below)[3] / N,
        ),
    },
    mistakes=by_test(
        "out of order: All four are right, but in another order: load, cv, max_violation, dead.",
        is_out_of_order,
    ),
)
