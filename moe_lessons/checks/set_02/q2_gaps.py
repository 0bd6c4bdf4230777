"""Question 2.2: gaps and ratios."""

import numpy as np

from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.verdicts import Mistake, by_value


def gap_mistakes(ratio: float) -> tuple[Mistake, ...]:
    """Return the mistakes that are made with the gap of any ratio: its natural logarithm is asked for."""
    return by_value(
        f"ratio itself: That is the ratio to one rival, {ratio}. The gap is its natural logarithm.",
        lambda: ratio,
        "near: Near: two decimals, please, rounded.",
        lambda: np.round(np.log(ratio), 1),
        "near: Near: two decimals, please, rounded and not cut off.",
        lambda: np.trunc(100 * np.log(ratio)) / 100,
        "base 2: That is the logarithm to base 2. The softmax uses e, so take the natural one.",
        lambda: np.log2(ratio),
        "base 10: That is the logarithm to base 10. The softmax uses e, so take the natural one.",
        lambda: np.log10(ratio),
        "sign: The right size, but this gap puts the others in front.",
        lambda: -np.log(ratio),
    )


GAPS = ValuesQuestion(
    **about("2.2", "Which gap does it take?", "predict a number", "easy", points=2, minutes=6),
    hints=(
        "Write down the shares first: what all in front hold together, and what all the others hold together. Divide each by how many they are. The ratio of *one* to *one* is e to the gap.",
        "Three quarters against one quarter over 63: a ratio of 189. Halving every logit halves the gap, and the ratio becomes its square root. A gap of 3 is a ratio of e³ to each rival.",
    ),
    idea="Share by share, head by head: the ratio between one expert in front and one behind is e to the gap, and how many stand on each side decides what the sides hold together.",
    takeaway="A gap says what one expert has against one other, never what share it gets: for that you need to know how many stand on either side.",
    answer="gaps",
    expected=lambda: {
        "three quarters of 64": np.log(189),
        "two against thirty": np.log(135),
        "halved": 2 / 3,
        "room at a gap of 3": np.floor(np.exp(3)),
    },
    parts={
        "three quarters of 64": gap_mistakes(189)
        + by_value(
            "one half: That is the lesson's gap for one *half*, ln 63. E1 is to hold three quarters here: three times as much as the 63 others together.",
            lambda: np.log(63),
            "itself a rival: Near, but you counted E1 among its own rivals: there are 63 others.",
            lambda: np.log(3 * 64),
            "one rival: That would do against a single rival. Here 63 others share the last quarter.",
            lambda: np.log(3),
            "share for ratio: You took three quarters of 63. But E1 has three quarters and the others one quarter: three *times* what they have together.",
            lambda: np.log(0.75 * 63),
            "share for ratio: You took the ratio between three quarters of all and one rival's even share. The rivals share what is left, one quarter.",
            lambda: np.log(0.75 * 64),
            "four times: You took E1 for four times the others together. It has three quarters, they have one quarter.",
            lambda: np.log(4 * 63),
        ),
        "two against thirty": gap_mistakes(135)
        + by_value(
            "one in front: You gave one expert all of the 0.9. Two share it: each has 0.45.",
            lambda: np.log(270),
            "two to one rival: That is ln 9, as if one stood against one. Each of the two has 0.45, each of the thirty 0.1/30.",
            lambda: np.log(9),
            "twenty-eight others: There are 30 others beside the two, 32 experts in all.",
            lambda: np.log(9 * 28 / 2),
            "ratio of numbers: That is ln 15, where each side would hold one half. The two are to hold nine times what the thirty hold.",
            lambda: np.log(15),
            "ten to one: You took 0.9 for ten times 0.1.",
            lambda: np.log(150),
        ),
        "halved": by_value(
            "share halved: You halved the probability. The gap is halved, so the *ratio* 4 becomes its square root.",
            lambda: 0.4,
            "unchanged: Adding to all logits changes nothing; multiplying all of them multiplies every gap.",
            lambda: 0.8,
            "ratio: That is the new ratio. Asked is the probability of E1.",
            lambda: 2.0,
            "part halved: You halved the part of E1 that is above one half. It is the *gap* that is halved, ln 4.",
            lambda: 0.65,
            "gap: That is the new gap, ln 2. Asked is the probability of E1.",
            lambda: np.log(2),
            "other expert: That is the probability of E2.",
            lambda: 1 / 3,
            "roots: You took the roots of the probabilities and left it at that: they do not sum to 1.",
            lambda: np.sqrt(0.8),
            "doubled: That is the probability with all logits *doubled*: the ratio squared. Here they are halved.",
            lambda: 16 / 17,
            "percent: That is in percent. Give it as a number between 0 and 1.",
            lambda: 200 / 3,
            "near: Near: two decimals, rounded and not cut off.",
            lambda: 0.66,
        ),
        "room at a gap of 3": by_value(
            "E1 counted: You counted E1 too. Asked are the others.",
            lambda: 21.0,
            "not whole: That is e³. A number of experts is whole: which is the largest with which E1 still holds one half?",
            lambda: np.exp(3),
            "E1 subtracted: With 20 others E1 holds e³/(e³ + 20): is that less than one half?",
            lambda: 19.0,
            "forward: With the lesson's ln(N − 1) you went forward. Here the gap is known: N − 1 is e to it.",
            lambda: np.log(3),
            "gap for ratio: You took the gap of 3 for a ratio. The ratio to each rival is e³.",
            lambda: 3.0,
            "base 2: You took 2³. The softmax uses e.",
            lambda: 8.0,
            "base 10: You took 10³. The softmax uses e.",
            lambda: 1000.0,
        ),
    },
    advice={
        "three quarters of 64": "E1 has three times what the 63 others have together. How many times as much as one of them?",
        "two against thirty": "What does each of the two hold, what does each of the thirty? Their ratio is e to the gap.",
        "halved": "0.8 and 0.2: which ratio, and which gap? Halve the gap, and go back to a share.",
        "room at a gap of 3": "E1 outweighs each other expert e³ times. How many of them weigh as much as E1? It is a whole number.",
    },
)
