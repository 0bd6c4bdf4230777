"""Question 4r.1: the temperature of a log."""

from collections.abc import Callable
from functools import cache

import numpy as np

from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.verdicts import by_value
from moe_lessons.routing import softmax

WORDS, SCORES, TAU = ("red", "blue", "green"), np.array([4.1, 3.2, 1.4]), 0.6
DRAWS = 100_000
ROOM = 0.035  # 0.03 off is right: off from 0.6, and off from what the log gives, 0.604
GAP = SCORES[0] - SCORES[1]


@cache
def drawn_log() -> dict[str, int]:
    """Return how often each word was drawn from the scores at a temperature that the log does not tell."""
    counts = np.random.default_rng(0).multinomial(DRAWS, softmax(SCORES, TAU))  # (N,)
    return dict(zip(WORDS, counts.tolist(), strict=True))


def ratio() -> float:
    """Return how many times as often as blue red was drawn."""
    return drawn_log()["red"] / drawn_log()["blue"]


def drawn_share(word: str = "blue") -> float:
    """Return the percentage of the draws that were this word."""
    return 100 * drawn_log()[word] / DRAWS


def gap_over(first: int, second: int, more: str, less: str) -> Callable[[], float]:
    """Return what τ would be with the gap of two scores and the counts of a pair of words that they may not belong to."""
    return lambda: (SCORES[first] - SCORES[second]) / np.log(drawn_log()[more] / drawn_log()[less])


def in_units(percent: Callable[[], float]) -> tuple[Callable[[], float], ...]:
    """Return how a percentage may be given: also rounded, as a share, or as so many of the thousand tokens."""
    units = (percent, lambda: percent() / 100, lambda: 10 * percent())
    return (*units, lambda: round(percent()), lambda: round(10 * percent()))


DRAWN = ValuesQuestion(
    **about("4r.1", "The temperature of a log", "read a log", "medium", points=1, minutes=3),
    hints=(
        "Two words are enough for τ: how many times as often as blue was red drawn, and what is the gap of their scores? For the router ask what its last step is.",
        "A gap g at the temperature τ makes the ratio e^(g/τ). So g/τ is the logarithm of the ratio that the log shows. And a router without noise draws nothing.",
    ),
    idea="Frequencies of a draw hold the ratio e^(gap/τ), and so τ. A selection of the largest holds no τ at all.",
    takeaway="From two frequencies and one gap you can read the temperature of any sampler; from a top-k router's choices nobody can.",
    answer="my_readings",
    expected=lambda: {"tau": TAU, "to blue": 0.0},
    tolerance={"tau": ROOM, "to blue": 0.05},
    advice={
        "tau": "Take the ratio of two counts. Which gap, divided by which τ, makes e to that power this ratio?",
        "to blue": "Which expert does top-1 keep for logits 4.1, 3.2, 1.4? Does the answer differ from token to token?",
    },
    parts={
        "tau": by_value(
            "one over tau: This is 1/τ. Gaps are divided by τ: the ratio is larger than e to the gap, so τ is below 1.",
            lambda: 1 / TAU,
            "gap over tau: This is the logarithm of the ratio, so it is gap/τ. The gap is 0.9, not 1.",
            lambda: np.log(ratio()),
            "ratio of the counts: This is the ratio of the counts. It is e to the power gap/τ: take its logarithm first.",
            ratio,
            "ratio of the scores: This is one score divided by the other. Add 10 to all scores: it changes, and no draw does. Only the gap counts.",
            lambda: SCORES[0] / SCORES[1],
            "scores divided: You divided the scores, where their gap belongs. Add 10 to all scores: this quotient changes, and no draw does.",
            lambda: SCORES[0] / SCORES[1] / np.log(ratio()),
            "no temperature: At τ = 1 the ratio would be e to the gap, about 2.5. The log shows more.",
            lambda: 1.0,
            "only the gap: This is the gap of the scores. What does it have to be divided by to make the ratio of the log?",
            lambda: GAP,
            "logarithm to base 10: You took the logarithm to base 10. A softmax is made of powers of e: `np.log`.",
            lambda: GAP / np.log10(ratio()),
            "logarithm to base 2: Either you took the logarithm to base 2, where a softmax is made of powers of e (`np.log`). Or your gap and your counts belong to different pairs of words.",
            lambda: GAP / np.log2(ratio()),
            "two pairs: You took the gap of one pair of words with the counts of another. Gap and ratio belong to the same pair.",
            (gap_over(0, 2, "red", "blue"), gap_over(1, 2, "red", "blue"), gap_over(0, 1, "blue", "green")),
            "a share for the ratio: You took the logarithm of a share of the draws. The gap belongs to the *ratio* of two of them.",
            (
                lambda: -GAP / np.log(drawn_share() / 100),
                lambda: -SCORES[1] / np.log(drawn_share() / 100),
                lambda: -GAP / np.log(drawn_share("red") / 100),
            ),
            "multiplied: You multiplied the gap and the logarithm of the ratio. The logarithm is gap/τ: which of the two divides the other?",
            lambda: GAP * np.log(ratio()),
            "ratio at 1: This is e to the gap, the ratio that τ = 1 would make. What τ makes the ratio of the log?",
            lambda: np.exp(GAP),
            "sign: A temperature is above 0: blue over red has a ratio below 1, and a gap below 0.",
            lambda: -TAU,
            "gap over the ratio: Either you divided the gap by the ratio of the counts, which is e to the power gap/τ: divide by its logarithm. Or your gap and your counts belong to different pairs of words.",
            lambda: GAP / ratio(),
            "ratio for the gap: You took the logarithm of one score divided by the other, where their gap belongs. Add 10 to all scores: this quotient changes, and no draw does.",
            lambda: np.log(SCORES[0] / SCORES[1]) / np.log(ratio()),
            "counts rounded: Near. Did you round the ratio of the counts to a whole number? Leave it as it is until the end.",
            lambda: GAP / np.log(np.round(ratio())),
        ),
        "to blue": by_value(
            "as drawn: This is what the draws give. A router without noise does not draw: it keeps the largest logit, for every one of these tokens the same.",
            in_units(drawn_share),
            "drawn of two: This is blue's part of the draws of red and blue. A router without noise does not draw: it keeps the largest logit, for every one of these tokens the same.",
            in_units(lambda: 100 / (1 + ratio())),
            "first expert's: This is red's part of the draws. A router without noise does not draw; and asked is the second expert.",
            in_units(lambda: drawn_share("red")),
            "an even share: A third each would need three equal logits and a blind choice. Top-1 keeps the largest.",
            in_units(lambda: 100 / 3),
            "everything: This expert is second for every token. With k = 1 the first is kept.",
            in_units(lambda: 100.0),
            "without a temperature: This is blue's probability at τ = 1. No probability is drawn here: top-1 keeps the largest.",
            in_units(lambda: 100 * softmax(SCORES)[1]),
        ),
    },
)
