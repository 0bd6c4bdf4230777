"""Question 7r.3: a gradient with gaps."""

from functools import cache

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.verdicts import by_value

LOGITS = np.array([0.4, 1.6, -0.5, 0.1, 2.0, -1.2])  # (N,)
SLOPES = np.array([-0.3, 1.4, 0.8, -2.0, 0.5, 0.9])  # (N,), a_i = v · E_i(x)
K, CUT, OTHER_CUT, KEPT, OTHER_KEPT = 2, 3, 0, 1, 4  # E4 and E1 are cut, E2 and E5 kept


@cache
def gradient_column() -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities (N,) of the token and ∂L/∂h (N,) in form B, both as they are logged."""
    p, on = routing.softmax(LOGITS), routing.gate_weights(LOGITS, K) > 0  # (N,) each
    a = np.where(on, SLOPES, 0)  # (N,)
    return p.round(4), (p * (a - p @ a)).round(4)


def right() -> dict[str, float]:
    """Return the entries that are asked for."""
    E4, E2 = heard_as(OTHER_CUT), float(gradient_column()[1][KEPT])
    return {"E4": E4, "E4, ten times its output": E4, "E4 in form A": 0.0, "E2": E2}


def heard_as(other: int, expert: int = CUT) -> float:
    """Return what an expert hears if it hears the same number as another, each times its own p."""
    p, g = gradient_column()
    return float(p[expert] * g[other] / p[other])


COLUMN = ValuesQuestion(
    **about("7r.3", "A gradient with two gaps", "read a log", "hard", points=1, minutes=3),
    hints=(
        "Divide the gradients of the cut experts by their probabilities. What do you see? And what is the sum of a gradient that came through a softmax over all six?",
        "In form B every cut logit hears −p times the same number, and nothing of its own expert. The six entries sum to 0, so the second gap is minus the sum of the other five.",
    ),
    idea="In form B cut logits hear their own p times one common number; all entries sum to 0; in form A cut logits hear exactly 0.",
    takeaway="Entries of a router's gradient are tied to one another, so two numbers of a log can show that a layer is not the form it claims to be.",
    answer="my_gaps",
    expected=right,
    tolerance=0.0006,
    advice={
        "E4": "Divide the gradients of the other cut experts by their p. What is it for E4, then?",
        "E4, ten times its output": "E4 did not run for this token. Can its output enter anything?",
        "E4 in form A": "In form A the softmax runs over the kept logits only. Does E4's logit enter the output?",
        "E2": "First fill in E4. A gradient that came through a softmax over all six logits has a known sum.",
    },
    parts={
        "E4": by_value(
            "as another cut one: This is the gradient of another cut expert. They hear the same number, but each times its own p.",
            (
                lambda: gradient_column()[1][0],
                lambda: gradient_column()[1][2],
                lambda: gradient_column()[1][5],
            ),
            "nothing heard: So it would be in form A. Here the other cut experts hear something, and so does E4.",
            lambda: 0.0,
            "sign turned: The size is right. All cut logits of a token are moved the same way.",
            lambda: -right()["E4"],
            "from a kept one: You took the number from a kept expert. There its own output enters: take it from another cut one.",
            (lambda: heard_as(OTHER_KEPT), lambda: heard_as(KEPT)),
            "a kept one in the mean: You averaged the quotients of cut and kept experts. E5 was kept, its own output enters its gradient: take the cut ones alone, which all show the same number.",
            lambda: np.mean([heard_as(i) for i in (0, 2, OTHER_KEPT, 5)]),
            "without p: This is the number that all cut logits share. Each hears it times its own p.",
            lambda: gradient_column()[1][OTHER_CUT] / gradient_column()[0][OTHER_CUT],
            "p turned round: You multiplied by E1's p and divided by E4's. It is the other way round.",
            lambda: gradient_column()[1][OTHER_CUT] * gradient_column()[0][OTHER_CUT] / gradient_column()[0][CUT],
            "rounded: Near, but rounded too far: three decimals are asked.",
            lambda: round(right()["E4"], 2),
            "mean of the cut: You took the mean of the other cut experts. They do not hear the same: each hears one number times its own p.",
            lambda: gradient_column()[1][[0, 2, 5]].mean(),
            "sum of the cut: You added up the other cut experts. E4's gradient is not made of theirs: each hears one number times its own p.",
            lambda: gradient_column()[1][[0, 2, 5]].sum(),
            "both gaps: This is what closes the sum to 0 for E4 and E2 together. First find E4 from another cut expert.",
            lambda: right()["E2"] + right()["E4"],
            "p of a kept one: You multiplied the common number by the p of a kept expert. E4 hears it times its own p.",
            (lambda: heard_as(OTHER_CUT, KEPT), lambda: heard_as(OTHER_CUT, OTHER_KEPT)),
            "p alone: This is E4's p. It is multiplied by a number that all cut experts share: divide another one's gradient by its p.",
            (lambda: -gradient_column()[0][CUT], lambda: gradient_column()[0][CUT]),
        ),
        "E4, ten times its output": by_value(
            "ten times heard: E4 was cut, so it did not run: nothing of its output is in this gradient, however large it is.",
            (lambda: 10 * right()["E4"], lambda: -10 * right()["E4"]),
            "rounded: Near, but rounded too far: three decimals are asked.",
            lambda: round(right()["E4"], 2),
            "a tenth heard: E4 was cut, so it did not run: nothing of its output is in this gradient, and nothing is divided by it.",
            lambda: right()["E4"] / 10,
            "sign turned then: The size is right. Its sign is what it was, too: E4's output does not enter.",
            lambda: -right()["E4"],
            "then nothing: Its logit hears what it heard before: whether the whole output should shrink. E4's own output does not enter.",
            lambda: 0.0,
        ),
        "E4 in form A": by_value(
            "as in form B: In form A E4's logit does not enter the output: the softmax runs over the kept logits only.",
            lambda: right()["E4"],
            "renormalised: You divided form B's gradient by what the kept experts hold. That is for the kept ones: in form A a cut logit does not enter the softmax at all.",
            lambda: right()["E4"] / gradient_column()[0][[KEPT, OTHER_KEPT]].sum(),
            "without p, in form A: That is the number that all cut logits share in form B. In form A a cut logit does not enter the softmax at all.",
            lambda: gradient_column()[1][OTHER_CUT] / gradient_column()[0][OTHER_CUT],
        ),
        "E2": by_value(
            "mirror of E5: The two kept ones cancel each other in form A. Here the cut logits have a part in the sum, too.",
            lambda: -gradient_column()[1][OTHER_KEPT],
            "E5 left out: E5 has its part in the sum, too.",
            lambda: right()["E2"] + gradient_column()[1][OTHER_KEPT],
            "E4 left out: E4 has its part in the sum, too.",
            lambda: right()["E2"] + right()["E4"],
            "sign turned: All six sum to 0: this is the sum of the other five, so the gap is minus that.",
            lambda: -right()["E2"],
            "like a cut one: E2 was kept: its own expert enters its gradient, and p times the common number is not all.",
            lambda: heard_as(OTHER_CUT, KEPT),
            "like E5: You took E5's gradient, in proportion to p. So it goes for the cut ones: of the kept, each hears its own output.",
            lambda: heard_as(OTHER_KEPT, KEPT),
            "E4's sign: In your sum E4 has the wrong sign. It is below 0, as for all cut experts here.",
            lambda: right()["E2"] + 2 * right()["E4"],
            "rounded: Near, but rounded too far: three decimals are asked.",
            lambda: round(right()["E2"], 2),
            "E4 twice: You counted E4 twice in the sum.",
            lambda: right()["E2"] - right()["E4"],
            "E4 left out, sign: This is the sum of four. E4 has its part in it, too, and E2 is minus the sum of the other five.",
            lambda: -right()["E2"] - right()["E4"],
            "E4 and E5 left out: These are the three cut ones that can be read. E4 and E5 have their part in the sum, too.",
            lambda: -gradient_column()[1][[0, 2, 5]].sum(),
            "E5's sign: In your sum E5 has the wrong sign: in the log it is below 0.",
            lambda: right()["E2"] + 2 * gradient_column()[1][OTHER_KEPT],
            "nothing for E2: E2 was kept: its own expert enters its gradient. All six sum to 0, and the other five do not.",
            lambda: 0.0,
            "E2 left to 1: The six gradients sum to 0, not to 1: they came through a softmax, whose weights always sum to 1.",
            lambda: 1 + right()["E2"],
        ),
    },
)
