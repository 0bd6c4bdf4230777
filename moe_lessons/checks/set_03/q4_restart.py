"""Question 3.4: a geometric annealing schedule."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value


def schedule_cases(rng: np.random.Generator) -> list[tuple]:
    """Start, end and number of steps: falling, then rising, then the shortest."""
    return [
        (4.0, 0.25, 5),
        (round(float(rng.uniform(2, 8)), 1), round(float(rng.uniform(0.05, 0.5)), 2), int(rng.integers(6, 12))),
        (0.5, round(float(rng.uniform(2, 4)), 1), 7),
        (3.0, 1.0, 2),
    ]


def with_exponents(exponents: Callable) -> Callable:
    """Return the function of (start, end, n) that is start · (end/start)^exponents(i, n), for i from 0 to n − 1."""
    return lambda start, end, n: start * (end / start) ** exponents(np.arange(n), n)


SCHEDULE = FunctionQuestion(
    **about("3.4", "A geometric schedule with two bugs", "find the bug", "easy", points=2, minutes=6),
    hints=(
        "Work out the three values from 4 to 1 by hand: which number takes you from each to the next?",
        "How many times is the ratio applied between the first and the last of `steps` values? And must it be above or below 1 for τ to fall?",
    ),
    idea="From the first to the last of n values there are n − 1 equal ratios, so each is (end/start)^(1/(n − 1)).",
    answer="my_schedule",
    parameters=("start", "end", "steps"),
    cases=schedule_cases,
    reference=np.geomspace,
    mistakes=by_value(
        "both bugs: This is still what the given code returns. Print it from 4 to 1 in three steps: both bugs show.",
        with_exponents(lambda i, n: -i / n),
        "one ratio too many: It starts right and never arrives: between n values lie n − 1 ratios, not n.",
        with_exponents(lambda i, n: i / n),
        "two ratios too many: It starts right and never arrives: between n values lie n − 1 ratios, not n + 1.",
        with_exponents(lambda i, n: i / (n + 1)),
        "ratio upside down: It moves away from the end instead of towards it: the ratio is upside down.",
        with_exponents(lambda i, n: -i / (n - 1)),
        "starts late: It arrives at the end, but the first value is not the start: step 0 has taken a ratio already.",
        with_exponents(lambda i, n: (i + 1) / n),
        "one ratio ahead: The ratio is right, but each value has taken one too many: the first is not the start, and the last goes past the end. Count the exponents from 0.",
        with_exponents(lambda i, n: (i + 1) / (n - 1)),
        "one value too few: Right as far as it goes, but the last value, the end, is missing: return `steps` values.",
        lambda start, end, n: np.geomspace(start, end, n)[:-1],
        "one value too many: The values are right for one step more: you return steps + 1 of them. Both ends are among the `steps` values.",
        lambda start, end, n: np.geomspace(start, end, n + 1),
        "linear: Both ends are right, but these values have equal differences. Geometric means equal ratios.",
        np.linspace,
        "cosine: Both ends are right, but this is the cosine schedule. Geometric means equal ratios.",
        lambda start, end, n: end + (start - end) * (1 + np.cos(np.linspace(0, np.pi, n))) / 2,
        "decays towards the end: The distance to the end shrinks by a constant ratio, so the end is never reached. The value itself must shrink by one.",
        lambda start, end, n: end + (start - end) * np.geomspace(1, end / start, n),
        "turned round: Right values, from the end to the start.",
        lambda start, end, n: np.geomspace(end, start, n),
        "logarithms: These are the logarithms of the values. Take the exponential.",
        lambda start, end, n: np.log(np.geomspace(start, end, n)),
        "without the start: These are the powers of the ratio alone. Multiply by the start.",
        lambda start, end, n: np.geomspace(1, end / start, n),
    ),
)
