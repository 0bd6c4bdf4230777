"""Questions 1.4 and 1.5: what the length of a prototype does, and the length of a token."""

from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import Numbers
from moe_lessons.checks.question import ValuesQuestion, VariableQuestion, about
from moe_lessons.checks.set_01.q1_trace import cosines
from moe_lessons.checks.verdicts import always, by_test, by_value
from moe_lessons.data import worked_example


def angles(x: np.ndarray, W_g: np.ndarray) -> np.ndarray:
    """Return the angle between x (d,) and every column of W_g (d, N), in degrees. (N,)."""
    return np.degrees(np.arccos(np.clip(cosines(x, W_g), -1, 1)))


# The token and the two prototypes (columns) that question 1.4 gives, with their logits and angles.
GIVEN_TOKEN = np.array([2.0, 1.0])
GIVEN_PROTOTYPES = np.array([[1.0, 0.2], [0.6, 1.2]])
OTHER_LOGITS, OTHER_ANGLES = GIVEN_TOKEN @ GIVEN_PROTOTYPES, angles(GIVEN_TOKEN, GIVEN_PROTOTYPES)  # (2,) each
NEAR = 1e-9  # logits that differ by less of the best count as equal


def prototype_found(w: np.ndarray) -> dict[str, Any]:
    """Return logit and angle of a prototype w (2,), and how they compare with the best of the others."""
    logit, best, angle = float(GIVEN_TOKEN @ w), OTHER_LOGITS.max(), float(angles(GIVEN_TOKEN, w[:, None])[0])
    aligned = angle <= OTHER_ANGLES.min() + 1e-3
    return {
        "logit": logit,
        "lead": logit / best - 1,
        "wins": logit / best > 1 + NEAR,
        "angle": angle,
        "aligned": aligned,
    }


PROTOTYPE = VariableQuestion(
    **about("1.4", "Win without being the most aligned", "build a counterexample", "medium", points=2, minutes=6),
    hints=(
        "The logit is |x|·|c|·cos(angle), where c is the prototype. You must lose on the angle. What is left to win with?",
        "Pick any direction at 20° to 60° from x, then make the vector longer until its logit passes the others.",
    ),
    idea="A dot product rewards length as well as direction, so a long prototype beats a better aligned short one.",
    answer="my_prototype",
    form=Numbers(
        "a prototype: two numbers up to a million in size",
        lambda w: w.shape == (2,) and (np.abs(w) <= 1e6).all(),
        unlike=by_test(
            "zero vector: The zero vector has logit 0 with every token, and no direction at all.",
            lambda w: w.shape == (2,) and not w.any(),
        ),
    ),
    measured=prototype_found,
    right=lambda found: found.wins and not found.aligned,
    mistakes=by_test(
        "points away: It points away from the token: its logit is not even positive.",
        lambda found: found.logit < 0,
        "most aligned: It wins, but no other prototype is better aligned. Turn it away from x, and see what must grow.",
        lambda found: found.wins,
        "tie: A tie: the lower index wins it, and yours is the last. Go a little beyond.",
        lambda found: abs(found.lead) <= NEAR,
        "aligned but short: Well aligned, but too short: it loses. And the task is to win with a worse angle.",
        lambda found: found.aligned,
        "too short: It is not the most aligned, as asked, but it does not win: its logit is too small.",
        always,
    ),
    report=f"Your logit: {{logit:.3f}} (the others: {', '.join(f'{h:.3f}' for h in OTHER_LOGITS)}). Your angle: {{angle:.1f}}° (the others: {', '.join(f'{a:.1f}°' for a in OTHER_ANGLES)}).",
)

# What the worked example gives for x and for 2x. Logits in their own unit, the rest pure numbers.
ONCE, TWICE = (routing.route(scale * worked_example()[0], worked_example()[1], k=2) for scale in (1, 2))
RATIO_ONCE, RATIO_TWICE = (trace.probs[2] / trace.probs[1] for trace in (ONCE, TWICE))

DOUBLING = ValuesQuestion(
    **about("1.5", "What doubling the token changes", "predict a number", "medium", points=2, minutes=6),
    hints=(
        "A dot product is linear: what happens to x·c when x becomes 2x? The softmax then sees only differences of logits.",
        "The gap between E3 and E2 was 0.22. The ratio of two probabilities is e to the gap.",
    ),
    idea="Doubling x doubles every logit, so it doubles every gap: the order stays, every ratio is squared, the gate gets sharper.",
    answer="doubling",
    expected=lambda: {
        "logit of E3": TWICE.logits[2],
        "selected": TWICE.selected,
        "p3 / p2": RATIO_TWICE,
        "weight of E3": TWICE.weights[2],
    },
    advice={
        "logit of E3": "It is the dot product of 2x with the third column of W_g. Multiply and add once more.",
        "selected": "It is a list of two indices, counted from 0, the expert with the larger logit first.",
        "p3 / p2": "Take the logits of E3 and E2 for 2x, their gap, then e to the gap. Round at the very end.",
        "weight of E3": "Take E3's probability for 2x, divided by the sum of the two selected probabilities.",
    },
    parts={
        "logit of E3": by_value(
            "logit unchanged: That is the logit of x itself. Nothing in this router scales x back: 2x has another logit.",
            lambda: ONCE.logits[2],
            "logit quadrupled: That is four times the logit. Only x was doubled, W_g stayed.",
            lambda: 4 * ONCE.logits[2],
        ),
        "selected": by_value(
            "counted from one: You counted the experts from 1. `selected` holds indices, and the first index is 0.",
            lambda: ONCE.selected + 1,
            "order turned: The right two, in the wrong order: the best one comes first.",
            lambda: ONCE.selected[::-1],
        ),
        "p3 / p2": by_value(
            "ratio unchanged: That is the ratio for x itself. The softmax divides a common factor of the *exponentials* out, not of the logits.",
            lambda: RATIO_ONCE,
            "ratio doubled: You doubled the ratio. The gap doubles, and the gap sits in the exponent.",
            lambda: 2 * RATIO_ONCE,
            "ratio of logits: That is the ratio of the two logits. Probabilities have the ratio e^gap.",
            lambda: ONCE.logits[2] / ONCE.logits[1],
            "gap: That is the gap between the two logits. The ratio is e to that gap.",
            lambda: TWICE.logits[2] - TWICE.logits[1],
            "inverse: That is E2's probability divided by E3's. It was asked the other way round.",
            lambda: 1 / RATIO_TWICE,
        ),
        "weight of E3": by_value(
            "other expert: That is the weight of E2. E3 has the larger one.",
            lambda: 1 - TWICE.weights[2],
            "percent: That is in percent. Give it as a number between 0 and 1.",
            lambda: 100 * TWICE.weights[2],
            "ratio: That is the ratio of the two weights. They sum to 1, so neither is above 1.",
            lambda: RATIO_TWICE,
            "weight unchanged: That is the weight for x itself. A ratio that changed changes both weights.",
            lambda: ONCE.weights[2],
            "weight doubled: That is above 1. The two weights still sum to 1.",
            lambda: 2 * ONCE.weights[2],
            "probability: That is the probability among all four. The weight is shared by the two selected only.",
            lambda: TWICE.probs[2],
        ),
    },
)
