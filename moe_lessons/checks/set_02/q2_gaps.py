"""Question 2.2: gaps and ratios."""

import numpy as np

from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.verdicts import Mistake, by_value


def gap_mistakes(ratio: float) -> tuple[Mistake, ...]:
    """Return the mistakes that are made with the gap of any ratio: its natural logarithm is asked for."""
    return by_value(
        "ratio itself: That is the ratio. The gap is its natural logarithm.",
        lambda: ratio,
        "near: Near: two decimals, please, rounded.",
        lambda: np.round(np.log(ratio), 1),
        "near: Near: two decimals, please, rounded and not cut off.",
        lambda: np.trunc(100 * np.log(ratio)) / 100,
        "base 2: That is the logarithm to base 2. The softmax uses e, so take the natural one.",
        lambda: np.log2(ratio),
        "base 10: That is the logarithm to base 10. The softmax uses e, so take the natural one.",
        lambda: np.log10(ratio),
    )


GAPS = ValuesQuestion(
    **about("2.2", "Which gap does it take?", "predict a number", "easy", points=2, minutes=6),
    hints=(
        "The ratio of two probabilities is e to the gap, so the gap is the natural logarithm of the ratio. A ratio below 1 has a negative logarithm.",
        "One half for E1 leaves one half for the 63 others together. How many times as likely as *one* of them is E1, then?",
    ),
    idea="Gap and ratio are each other's logarithm and exponential; against many rivals the ratio to each of them must be as large as their number.",
    answer="gaps",
    expected=lambda: {"7 times": np.log(7), "a quarter": np.log(1 / 4), "half of 64": np.log(63), "doubled": 49.0},
    parts={
        "7 times": gap_mistakes(7)
        + by_value(
            "exponential: That is e⁷, the ratio that a *gap* of 7 would give. Here the ratio is 7.",
            lambda: np.exp(7),
        ),
        "a quarter": gap_mistakes(1 / 4)
        + by_value(
            "sign: The right size, but this gap makes E1 four times as likely. To be *less* likely, its logit must be the lower one.",
            lambda: np.log(4),
            "share for ratio: That gap gives E1 a quarter of *the two together*, so a third of E2's probability. Asked is a quarter of E2's.",
            lambda: np.log(1 / 3),
        ),
        "half of 64": gap_mistakes(63)
        + by_value(
            "itself a rival: Near, but you counted E1 among its own rivals: there are 63 others.",
            lambda: np.log(64),
            "one rival: That would do against a single rival. Here 63 others share the other half.",
            lambda: 0.0,
            "half of the experts: That is ln 32. E1 must outweigh all 63 others together, not half of the experts.",
            lambda: np.log(32),
            "two to one: That is ln 2, a ratio of 2 to each rival. All 63 together would still have far more than E1.",
            lambda: np.log(2),
        ),
        "doubled": by_value(
            "ratio doubled: The *gap* doubles, and the gap sits in the exponent.",
            lambda: 14.0,
            "ratio unchanged: Adding to all logits changes nothing; multiplying all of them multiplies every gap.",
            lambda: 7.0,
            "gap: That is the new gap. Asked is the ratio: e to that gap.",
            lambda: 2 * np.log(7),
        ),
    },
    advice={
        "7 times": "p1/p2 = e^(h1 − h2). Which gap makes this 7?",
        "a quarter": "p1/p2 = e^(h1 − h2). Which gap makes this one quarter? Mind the sign.",
        "half of 64": "E1 has as much as the 63 others together. How many times as much as one of them?",
        "doubled": "Write the ratio as e to the gap, double the gap, and compute.",
    },
)
