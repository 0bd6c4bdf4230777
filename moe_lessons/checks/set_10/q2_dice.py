"""Question 10.2: the drop rate of dice."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.gates import normal_cdf
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_test, by_value


def rate_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (T, N, C): few tokens, about 8 and 64 per expert, too little room for all, and room for nearly all at one.

    N·C never equals T, and C is below T: an expected 0 would hang on rounding.
    """
    few, eight, many = int(rng.integers(8, 12)), int(rng.integers(8, 11)), int(rng.integers(64, 69))
    return [(few, 4, 2), (509, 64, eight), (515, 8, many), (int(rng.integers(50, 70)), 5, 8), (7, 3, 6)]


def binomial(T: int, N: int) -> np.ndarray:
    """Return the probabilities that an expert gets 0, 1, …, T of T tokens, each with probability 1/N. (T + 1,)."""
    ways = [math.lgamma(T + 1) - math.lgamma(x + 1) - math.lgamma(T - x + 1) for x in range(T + 1)]
    x = np.arange(T + 1)
    return np.exp(np.array(ways) - x * math.log(N) + (T - x) * math.log1p(-1 / N))  # (T + 1,)


def of_load(wrong: Callable) -> Callable:
    """Return the function of (T, N, C) that is wrong(probabilities (T + 1,), loads (T + 1,), T, N, C)."""
    return lambda T, N, C: float(wrong(binomial(T, N), np.arange(T + 1), T, N, C))


beyond = of_load(lambda p, x, T, N, C: p @ np.maximum(x - C, 0))  # how many tokens one expert turns away


def dice_drop_rate(T: int, N: int, C: int) -> float:
    """Return the expected share of tokens that find no place when each picks one of N experts by dice."""
    return N * beyond(T, N, C) / T


def poisson_rate(T: int, N: int, C: int) -> float:
    """Return the rate when the load is taken for Poisson with the mean T/N."""
    mean, x = T / N, np.arange(6 * T + 100)
    p = np.exp(x * math.log(mean) - mean - np.array([math.lgamma(y + 1) for y in x]))
    return float(N * (p @ np.maximum(x - C, 0)) / T)


def normal_rate(T: int, N: int, C: int) -> float:
    """Return the rate when the load is taken for normal."""
    sd = math.sqrt(T / N * (1 - 1 / N))
    z = (T / N - C) / sd
    density = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float(N * sd * (density + z * normal_cdf(np.asarray(z))) / T)


def is_near(value: Any, T: int, N: int, C: int) -> bool:
    """Tell whether a number is as near to the exact one as a simulation or an approximation is."""
    number = isinstance(value, np.ndarray) and value.shape == ()
    return number and bool(np.isclose(value, dice_drop_rate(T, N, C), rtol=0.1, atol=0.005))


RATE = FunctionQuestion(
    **about("10.2", "What dice drop", "write it", "medium", points=1, minutes=8),
    hints=(
        "Look at one expert. Its load X is the number of tokens, out of T, that picked it, each with probability 1/N: a binomial. It turns away max(X − C, 0) of them.",
        "P(X = x) is `math.comb(T, x) * p**x * (1 - p)**(T - x)` with p = 1/N. Sum (x − C)·P(X = x) over x > C for one expert, times N for all of them, divided by T for a share.",
    ),
    idea="Balance on average is not balance in each batch. The average of max(X − C, 0) is not the max of the average: every load above C costs, and none below C pays it back.",
    takeaway="Even a perfectly fair router drops tokens, because a batch is a sample: compare a drop rate with dice before you blame the router.",
    answer="my_drop_rate",
    parameters=("T", "N", "capacity"),
    stands_for=("balancing.uniform_drop_rate",),
    when_raised="T, N and capacity are whole numbers. The loads run from 0 to T.",
    cases=rate_cases,
    reference=dice_drop_rate,
    mistakes=by_value(
        "the mean load: You compared the *mean* load, T/N, with the capacity. Loads scatter around it, and all that is above C is dropped: take the mean of max(X − C, 0), not the max of the mean.",
        lambda T, N, C: max(T / N - C, 0) * N / T,
        "percent: This is in percent. Between 0 and 1 is asked.",
        lambda T, N, C: 100 * dice_drop_rate(T, N, C),
        "T forgotten: Your sum ends at x = T − 1. All T tokens can pick one expert: it runs to x = T included, as in `range(C + 1, T + 1)`.",
        of_load(lambda p, x, T, N, C: N * (p * np.maximum(x - C, 0))[:-1].sum() / T),
        "p = 1/T: You took p = 1/T. A token picks one of N experts: p = 1/N.",
        lambda T, N, C: N * beyond(T, T, C) / T,
        "absolute: You added up |x − C|, so that empty places count as drops. Asked is what is too much, max(x − C, 0).",
        of_load(lambda p, x, T, N, C: N * (p * np.abs(x - C)).sum() / T),
        "kept: This is the share that is kept. Asked is the share that is dropped.",
        lambda T, N, C: 1 - dice_drop_rate(T, N, C),
        "not divided: This is how many tokens are dropped. Divide by T for the share.",
        lambda T, N, C: N * beyond(T, N, C),
        "one expert, not divided: This is how many tokens *one* expert turns away. Times N for all experts, divided by T for the share.",
        beyond,
        "one expert: You divided what one expert turns away by all T tokens. N experts turn tokens away: times N.",
        lambda T, N, C: beyond(T, N, C) / T,
        "not weighted: This is the probability that an expert overflows. It matters by how much: weigh each load x with x − C.",
        of_load(lambda p, x, T, N, C: p[x > C].sum()),
        "not weighted, full counts: This is the probability that an expert is full. Full is not too many, and it matters by how much: weigh each load x with x − C.",
        of_load(lambda p, x, T, N, C: p[x >= C].sum()),
        "all of an overflowing expert: You count *all* tokens of an expert that overflows as dropped. The first C of them have a place: x − C, not x.",
        of_load(lambda p, x, T, N, C: N * (p * x)[x > C].sum() / T),
        "one place too few: You count one too many in each expert that is full: x − C + 1. With load C everyone has a place.",
        lambda T, N, C: dice_drop_rate(T, N, C - 1),
        "one place too many: You count one too few in each expert that overflows: x − C − 1. With load C + 1 one token is dropped.",
        lambda T, N, C: dice_drop_rate(T, N, C + 1),
        "of the places: You divided by the N·C places. Asked is the share of the T tokens.",
        lambda T, N, C: beyond(T, N, C) / C,
        "empty places: This is the share of the N·C places that stay empty. Asked is the share of the tokens that find none.",
        of_load(lambda p, x, T, N, C: (p * np.maximum(C - x, 0)).sum() / C),
        "empty places per token: You added up the places that stay empty, max(C − X, 0). Asked is what is too much, max(X − C, 0).",
        of_load(lambda p, x, T, N, C: N * (p * np.maximum(C - x, 0)).sum() / T),
        "signed: You let empty places pay for overflows: x − C also where x < C. What is free at one expert helps nobody at another.",
        lambda T, N, C: 1 - N * C / T,
        "Poisson: You took the load for Poisson. That is near when N is large, and not exact: a load cannot exceed T. Use the binomial, with T trials and p = 1/N.",
        poisson_rate,
        "normal: You took the load for normal. That is near when T/N is large, and not exact. Sum over the binomial's own values.",
        normal_rate,
    )
    + by_test(
        ": Near, in every case, but not exact. Did you simulate, or use an approximation? The load of one expert is exactly binomial: sum over its values.",
        is_near,
    ),
)
