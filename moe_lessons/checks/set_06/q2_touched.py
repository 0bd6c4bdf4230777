"""Question 6.2: how many experts a batch touches."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.accounting import experts_touched
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_test, by_value


def touched(N: int, k: int, batch: int) -> float:
    """Return the expected number of experts that at least one of `batch` tokens selects."""
    return N * experts_touched(N, k, batch)


def touched_cases(rng: np.random.Generator) -> list[tuple]:
    """One token; a few, which touch some; many, which ask for more than N; a batch between."""
    cases = [(int(rng.integers(8, 20)), 2, 1)]
    for low, high in ((3, 6), (10, 16), (40, 60)):
        N = int(rng.integers(24, 65))
        cases.append((N, int(rng.integers(2, 7)), int(rng.integers(low, high))))
    return cases


def within(room: Callable) -> Callable:
    """Return the test whether a value is off by less than room(what is right); one token touches exactly k."""

    def near(value: Any, N: int, k: int, batch: int) -> bool:
        if not isinstance(value, np.ndarray) or value.ndim:
            return False
        right = touched(N, k, batch)
        return abs(float(value) - right) < (1e-9 if batch == 1 else room(right))

    return near


TOUCHED = FunctionQuestion(
    **about("6.2", "How many experts a batch touches", "write it", "medium", points=2, minutes=7),
    hints=(
        "Look at one expert and one token. With what chance does the token *not* choose it? And with what chance do all B tokens not choose it?",
        "One token leaves an expert out with probability 1 − k/N, and B independent tokens with (1 − k/N)^B. An expectation of a count is the sum of the chances: N times the rest to 1.",
    ),
    idea="Count the experts that nobody chose: each of the N is missed by all B tokens with probability (1 − k/N)^B.",
    answer="my_touched",
    parameters=("N", "k", "batch"),
    stands_for=("accounting.experts_touched", "accounting.parameters_read"),
    cases=touched_cases,
    reference=touched,
    mistakes=by_value(
        "added up: You added k for each token. Two tokens may choose the same expert, and it is touched once.",
        lambda N, k, batch: batch * k,
        "added up to N: You added k for each token, up to N. Two tokens may choose the same expert: some experts are chosen twice, and others still not at all.",
        lambda N, k, batch: min(N, batch * k),
        "with replacement: You let the k choices of one token fall on the same expert. A token's k experts are different: it misses an expert with probability 1 − k/N, not (1 − 1/N)^k.",
        lambda N, k, batch: N * (1 - (1 - 1 / N) ** (k * batch)),
        "one choice each: You took k = 1: each token chooses k experts, so it misses one with probability 1 − k/N.",
        lambda N, k, batch: N * (1 - (1 - 1 / N) ** batch),
        "untouched: These are the experts that no token chose. Take them from N.",
        lambda N, k, batch: N * (1 - k / N) ** batch,
        "fraction: This is the fraction of the experts. Asked is how many: times N.",
        experts_touched,
        "fraction untouched: This is the fraction of experts that no token chose. Asked is how many are chosen.",
        lambda N, k, batch: (1 - k / N) ** batch,
        "percent: This is in percent of the experts. Asked is how many experts.",
        lambda N, k, batch: 100 * experts_touched(N, k, batch),
        "batch ignored: You return k, whatever the batch is. Other tokens choose other experts.",
        lambda N, k, batch: k,
        "all: You return N, whatever the batch is. A small batch leaves experts out.",
        lambda N, k, batch: N,
        "all chosen: (k/N)^B is the chance that every token chooses an expert. One token is enough to touch it.",
        lambda N, k, batch: N * (k / N) ** batch,
        "all chosen, turned round: (k/N)^B is the chance that every token chooses an expert, and you took it from 1. An expert stays untouched if every token misses it: (1 − k/N)^B.",
        lambda N, k, batch: N * (1 - (k / N) ** batch),
        "times k: The chance in the brackets is right, and each of all N experts has it: times N, not k.",
        lambda N, k, batch: k * experts_touched(N, k, batch),
        "nothing: You return 0. Did you write k // N? That drops the fraction: k / N keeps it.",
        lambda N, k, batch: 0,
        "rounded: You rounded to whole experts. An expectation need not be whole: return it as it is.",
        lambda N, k, batch: np.rint(touched(N, k, batch)),
    )
    + by_test(
        ": Right to two decimals. Return it as it is: an expectation has more of them.",
        within(lambda right: 0.006),
        "simulated: Near, but not equal. Did you simulate? Asked is a formula: what is the chance that one expert is missed by all?",
        within(lambda right: 0.05 * right),
    ),
)
