"""Questions 1.4 and 1.5: what the length of a prototype does, and the length of a token."""

from typing import Any

import numpy as np
import scipy

from moe_lessons import routing
from moe_lessons.checks.forms import Numbers
from moe_lessons.checks.question import ValuesQuestion, VariableQuestion, about
from moe_lessons.checks.set_01.q1_checkpoint import cosines
from moe_lessons.checks.verdicts import always, by_test, by_value
from moe_lessons.data import worked_example


def angles(x: np.ndarray, W_g: np.ndarray) -> np.ndarray:
    """Return the angle between x (d,) and every column of W_g (d, N), in degrees. (N,).

    Without the last digits: those of equal directions may differ.
    """
    return np.degrees(np.arccos(np.clip(cosines(x, W_g), -1, 1))).round(9)


# The token and the two prototypes (columns) that question 1.4 gives, with their logits and angles.
GIVEN_TOKEN = np.array([2.0, 1.0])
GIVEN_PROTOTYPES = np.array([[1.0, 0.2], [0.6, 1.2]])
OTHER_LOGITS, OTHER_ANGLES = GIVEN_TOKEN @ GIVEN_PROTOTYPES, angles(GIVEN_TOKEN, GIVEN_PROTOTYPES)  # (2,) each
NEAR = 1e-9  # logits that differ by less of the best count as equal
LONGEST, ROUNDING = 3.0, 1e-6  # a prototype of length 3 in float32 may come out a little longer
# From this angle on, in degrees, even the longest prototype does not beat the best of the others.
TOO_FAR = float(np.degrees(np.arccos(OTHER_LOGITS.max() / (LONGEST * np.linalg.norm(GIVEN_TOKEN)))))


def is_polar(low: float, high: float) -> bool:
    """Tell whether two numbers may be meant for a length and an angle in degrees, such as 3 and 57."""
    return bool(0.5 <= low <= LONGEST and 10 < high <= 90)


def is_polar_in_radians(length: float, angle: float) -> bool:
    """Tell whether two numbers, as a length and an angle in radians, would be right, such as 2.9 and 0.995."""
    found, least = GIVEN_TOKEN @ GIVEN_TOKEN, np.radians(OTHER_ANGLES.max())
    wins = np.sqrt(found) * length * np.cos(angle) > OTHER_LOGITS.max()
    return bool(length <= LONGEST and least < angle < np.pi / 2 and wins)


def prototype_found(w: np.ndarray) -> dict[str, Any]:
    """Return length, logit and angle of a prototype w (2,), and how they compare with those of the others."""
    w = w.ravel()  # (2,), in whatever brackets
    turned = w / np.abs(w).max()  # (2,), of a size that squares well
    logit, best, angle = float(GIVEN_TOKEN @ w), OTHER_LOGITS.max(), float(angles(GIVEN_TOKEN, turned[:, None])[0])
    length = float(np.hypot(*w))
    return {
        "logit": logit,
        "lead": logit / best - 1,
        "wins": logit / best > 1 + NEAR,
        "angle": angle,
        "aligned": angle <= OTHER_ANGLES.min() + 1e-3,
        "level": abs(angle - OTHER_ANGLES.max()) <= 1e-3,
        "least": angle > OTHER_ANGLES.max() + 1e-3,
        "length": length,
        "fits": length <= LONGEST * (1 + ROUNDING),
        "polar": is_polar(*np.sort(np.abs(w))) or is_polar_in_radians(*w),
        "from_axis": float(np.degrees(np.arctan2(w[1], w[0]))),
        "copied": bool((angles(turned, GIVEN_PROTOTYPES) < 0.1).any()),
    }


PROTOTYPE = VariableQuestion(
    **about("1.4", "Win as the least aligned", "build a counterexample", "medium", points=2, minutes=6),
    hints=(
        "The logit is |x|·|c|·cos(angle), where c is the prototype. You must have the worst angle of the three, so length has to make up for it. Which of the given angles must you pass?",
        "Turn the vector until its angle with x is a little more than E2's, say 57°, on either side of x. Then make it longer, up to 3, until its logit passes E1's.",
    ),
    idea="A dot product rewards length as well as direction, so a long prototype wins from the worst angle of all. But length pays for the cosine only so far: the more you turn, the longer it must be.",
    takeaway="Where the columns of a router differ in length, a table of cosines between tokens and columns does not tell who was chosen: read the logits.",
    answer="my_prototype",
    form=Numbers(
        "a prototype: two finite numbers",
        lambda w: w.size == 2 and np.isfinite(w).all(),
        unlike=by_test(
            "zero vector: The zero vector has logit 0 with every token, and no direction at all.",
            lambda w: w.size == 2 and not w.any(),
        ),
    ),
    measured=prototype_found,
    right=lambda found: found.wins and found.least and found.fits,
    mistakes=by_test(
        "length and angle: It is {length:.2f} long. Are these two numbers a length and an angle? A prototype is its two coordinates, as E1 and E2 are given.",
        lambda found: found.polar and not found.copied,
        "points away: It points away from the token: its logit is not even positive.",
        lambda found: found.logit < 0,
        "scaled copy: This is a given prototype, made longer or shorter, as in the lesson. That keeps its angle, and yours must be larger than both. Give E3 a direction of its own.",
        lambda found: found.copied,
        "tie: A tie: the lower index wins it, and yours is the last. Go a little beyond.",
        lambda found: abs(found.lead) <= NEAR,
        "most aligned: It wins, but no other prototype is better aligned. Yours must be the *least* aligned of the three: turn it away from x, and see what must grow.",
        lambda found: found.wins and found.aligned,
        "as far as E2: It wins, but its angle is the same as E2's, on the other side of x. It must be larger than both: turn it a little further.",
        lambda found: found.wins and found.level,
        "angle with the axis: It wins, and E1 is better aligned. But E2's angle is larger than yours: turn it further. It is the angle with the *token* that counts, {angle:.1f}°, and not the one with the first axis, {from_axis:.1f}°.",
        lambda found: found.wins and not found.least and OTHER_ANGLES.max() < found.from_axis < TOO_FAR,
        "second best aligned: It wins, and E1 is better aligned. But E2's angle is larger than yours, and you must have the largest of the three. Turn it further.",
        lambda found: found.wins and not found.least,
        f"too long: It wins from the largest angle, but it is {{length:.2f|{LONGEST}}} long, and {LONGEST:g} is the limit. Shorten it. If it then loses, turn it a little nearer to x.",
        lambda found: found.wins,
        "aligned but short: Well aligned, but too short: it loses. And the task is to win with the largest angle of the three.",
        lambda found: found.aligned,
        f"turned too far: It is the least aligned, as asked. But at {{angle:.1f|{OTHER_ANGLES.max()}}}° even a prototype of length {LONGEST:g} loses: turn it nearer to x, not further than you must.",
        lambda found: found.angle >= TOO_FAR,
        "right angle, too short: Its angle is the largest, as asked, and will do. It is only too short: keep the direction, and make it longer.",
        lambda found: found.least and found.fits,
        "too short: It does not win: its logit is too small. Turn it to an angle a little larger than E2's, and make it longer.",
        always,
    ),
    report=f"Your logit: {{logit:.3f|{OTHER_LOGITS.max()}}} (the others: {', '.join(f'{h:.3f}' for h in OTHER_LOGITS)}). Your angle: {{angle:.1f|{OTHER_ANGLES.max()}}}° (the others: {', '.join(f'{a:.1f}°' for a in OTHER_ANGLES)}). Your length: {{length:.2f|{LONGEST}}} (at most {LONGEST:g}).",
)

# Logits of the worked example's token, its gap between E3 and E2, and the factor that makes the weight of E3 0.9.
LESSON = routing.route(*worked_example(), k=2)
GAP = LESSON.logits[2] - LESSON.logits[1]
FACTOR = np.log(9) / GAP
OPPOSITE = routing.route(-worked_example()[0], worked_example()[1], k=2)


def factor_among_all() -> float:
    """Return the factor on the token with which E3 has 0.9 of the probability of all four experts."""
    return float(scipy.optimize.brentq(lambda c: routing.softmax(c * LESSON.logits)[2] - 0.9, 1, 60))


SCALED = ValuesQuestion(
    **about("1.5", "Which token would it take?", "predict a number", "medium", points=2, minutes=7),
    hints=(
        "Two weights that sum to 1: if one is 0.9, how many times as large as the other is it? Which gap makes such a ratio, and what does a factor c do to the gap?",
        "The gap between E3 and E2 is 0.22 for x, so it is 0.22·c for c·x, and −0.22 for −x. Going back from a ratio to a gap takes the natural logarithm.",
    ),
    idea="A factor on the token multiplies every gap, so it raises every ratio to that power: the order stays, as long as the factor is above 0. To find the factor, go back: weight, ratio, gap.",
    takeaway="In a model a normalisation keeps x from growing like this: a gate becomes so decided when training makes the columns of the router longer.",
    answer="scaled",
    expected=lambda: {
        "factor": FACTOR,
        "p3 / p2": 9.0,
        "selected for -x": OPPOSITE.selected,
        "p3 / p2 for x/2": np.exp(GAP / 2),
    },
    advice={
        "factor": "Weights 0.9 and 0.1 have a ratio. It is e to the gap, and the gap of c·x is c times 0.22. Solve for c, with three correct digits.",
        "p3 / p2": "The two weights are these two probabilities, both divided by the same sum. Which ratio do the weights have?",
        "selected for -x": "Every logit changes its sign. Write the four down, and take the indices of the two largest, the largest first.",
        "p3 / p2 for x/2": "Halve the token, and every logit and every gap is halved. The ratio is e to the gap.",
    },
    parts={
        "factor": by_value(
            "ratio of 0.9: Either you solved for a *ratio* of the two weights of 1/0.9: the weights are 0.9 and 0.1. Or you multiplied ln 9 by 0.22: c times 0.22 must be ln 9.",
            (lambda: np.log(1 / 0.9) / GAP, lambda: np.log(9) * GAP),
            "one weight: You took the logarithm of the weight 0.9 by itself. A gap is the logarithm of a *ratio*: 0.9 to 0.1.",
            (lambda: np.log(0.9) / GAP, lambda: np.log(0.9), lambda: np.log(0.1) / GAP),
            "weight of E2: With that factor, which is below 0, E3 would get 0.1.",
            lambda: -FACTOR,
            "gap: That is the gap that it takes, ln 9. By which factor is it larger than the gap of x, 0.22?",
            lambda: np.log(9),
            "ratio: That is the ratio of the two weights. Which gap makes that ratio, and how many times 0.22 is it?",
            lambda: 9.0,
            "ratio of the weights: You divided 0.9 by the weight that E3 has for x. A weight does not grow in proportion to the token: go by way of the gap.",
            lambda: 0.9 / LESSON.weights[2],
            "ratio over gap: You divided the ratio 9 by the gap. Take its logarithm first.",
            lambda: 9 / GAP,
            "ratio of ratios: You divided the ratio 9 by the ratio that x has. A factor on the token raises the ratio to a power.",
            lambda: 9 / np.exp(GAP),
            "gap of the logits: You took ln 9 for the logit of E3. It is the *gap* to E2 that must be ln 9.",
            lambda: np.log(9) / LESSON.logits[2],
            "gap of the logits: You took ln 9 for the logit of E2. It is the *gap* between E3 and E2 that must be ln 9.",
            lambda: np.log(9) / LESSON.logits[1],
            "another pair: You took the gap of E3 to an expert that is not selected. Its weight is shared with E2.",
            (
                lambda: np.log(9) / (LESSON.logits[2] - LESSON.logits[0]),
                lambda: np.log(9) / (LESSON.logits[2] - LESSON.logits[3]),
            ),
            "sum of the logits: You divided by the sum of the two logits. The ratio depends on the gap, their difference.",
            lambda: np.log(9) / (LESSON.logits[2] + LESSON.logits[1]),
            "difference of the weights: You divided ln 9 by the difference of two weights. The gap is between logits: 0.52 and 0.30.",
            lambda: np.log(9) / (LESSON.weights[2] - LESSON.weights[1]),
            "gap subtracted: You subtracted the gap of x. A factor multiplies it: how many times 0.22 is ln 9?",
            lambda: np.log(9) - GAP,
            "upside down: You divided 0.22 by ln 9. How many times 0.22 is ln 9?",
            lambda: GAP / np.log(9),
            "ten to one: That is ln 10 / 0.22: a ratio of 10. But 0.9 is 9 times 0.1.",
            lambda: np.log(10) / GAP,
            "base 10: You took the logarithm to base 10. The softmax uses e, so take the natural one.",
            lambda: np.log10(9) / GAP,
            "base 2: You took the logarithm to base 2. The softmax uses e, so take the natural one.",
            lambda: np.log2(9) / GAP,
            "near: Near. Keep three correct digits, rounded at the very end.",
            lambda: np.round(FACTOR),
            "near: Near. Keep three correct digits, rounded and not cut off.",
            lambda: np.trunc(100 * FACTOR) / 100,
            "weight among all: With that factor E3 has 0.9 of the *probability* of all four. The weight is shared by the two selected only.",
            factor_among_all,
        ),
        "p3 / p2": by_value(
            "weight: That is the weight itself. The other one has the rest, 0.1: how many times as large is 0.9?",
            lambda: 0.9,
            "inverse: That is p2 / p3. It was asked the other way round.",
            lambda: 1 / 9,
            "weight of E2: That is the weight of E2. How many times as large is that of E3?",
            lambda: 0.1,
            "factor: That is the factor on the token. Asked is the ratio of two probabilities.",
            lambda: FACTOR,
            "ratio for x: That is the ratio for x itself. Asked is the token whose weights are 0.9 and 0.1.",
            lambda: np.exp(GAP),
            "ratio of logits: That is the ratio of two logits, which no factor changes. The weights are these two probabilities, divided by one sum: which ratio do 0.9 and 0.1 have?",
            lambda: LESSON.logits[2] / LESSON.logits[1],
            "ratio times factor: You multiplied the ratio of x by the factor. The factor multiplies the gap, which sits in the exponent.",
            lambda: FACTOR * np.exp(GAP),
            "gap: That is the gap. The ratio is e to that gap.",
            lambda: np.log(9),
            "ten to one: 0.9 is not 10 times 0.1.",
            lambda: 10.0,
            "difference: You subtracted the weights. Asked is the ratio.",
            lambda: 0.8,
        ),
        "selected for -x": by_value(
            "unchanged: Those are the two of x. For −x every logit changes its sign, so the smallest becomes the largest.",
            lambda: LESSON.selected,
            "order turned: The right two, in the wrong order: the best one comes first.",
            lambda: OPPOSITE.selected[::-1],
            "counted from one: You counted the experts from 1. These are indices, and the first index is 0.",
            lambda: OPPOSITE.selected + 1,
            "counted from one, order turned: Two things. You counted the experts from 1: the first index is 0. And the best one comes first.",
            lambda: OPPOSITE.selected[::-1] + 1,
            "all four: These are all four, best first. Selected are two.",
            lambda: LESSON.logits.argsort(),
            "one only: With k = 2 two are selected. Which one comes second for −x?",
            lambda: OPPOSITE.selected[:1],
            "one of the two: One of them is right. For −x every logit changes its sign: write down all four, and take the two largest.",
            (lambda: [3, 1], lambda: [0, 1], lambda: [3, 2], lambda: [0, 2]),
            "selected turned round: You turned the two selected of x round. For −x every logit changes its sign, also of the two that were cut: these are in front now.",
            lambda: LESSON.selected[::-1],
        ),
        "p3 / p2 for x/2": by_value(
            "excess halved: You halved how far the ratio lies above 1. That comes near. But the gap is halved, and it sits in the exponent: take the root of the ratio.",
            lambda: 1 + (np.exp(GAP) - 1) / 2,
            "ratio halved: You halved the ratio. The gap is halved, and the gap sits in the exponent.",
            lambda: np.exp(GAP) / 2,
            "ratio unchanged: That is the ratio for x itself.",
            lambda: np.exp(GAP),
            "ratio of logits: That is the ratio of the two logits, which no factor changes. Probabilities have the ratio e^gap.",
            lambda: LESSON.logits[2] / LESSON.logits[1],
            "gap: That is the gap of x/2. The ratio is e to that gap.",
            lambda: GAP / 2,
            "inverse: That is p2 / p3. It was asked the other way round.",
            lambda: np.exp(-GAP / 2),
            "gap: That is the gap of x. Half of the token has half of it, and the ratio is e to that.",
            lambda: GAP,
            "half: You took one half, or one quarter. Halve the gap of x, then take e to it.",
            (lambda: 0.5, lambda: 0.25),
            "wrong direction: That is the ratio for 2x. Half a token has half the gap.",
            lambda: np.exp(2 * GAP),
            "of the other token: That is the ratio for c·x. Asked is half of the lesson's x.",
            lambda: 9.0,
            "half of nine: You halved the 9. Asked is the lesson's x, halved; and halving a token halves the gap, not the ratio.",
            lambda: 4.5,
            "root of nine: That is the ratio for half of the token *with the factor*. Asked is half of x itself.",
            lambda: 3.0,
        ),
    },
)
