"""Question 4r.3: how long the column must be."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.forms import Number
from moe_lessons.checks.question import VariableQuestion, about
from moe_lessons.checks.verdicts import Facts, by_test

X, OTHER, ANGLE, TIMES = 3.0, 1.0, 60.0, 3.0  # lengths of x and of E2's column, degrees of E1's, wanted ratio
RIVAL = X * OTHER  # E2's logit
PER_LENGTH = X * np.cos(np.radians(ANGLE))  # E1's logit for each unit of length
NEEDED = (RIVAL + np.log(TIMES)) / PER_LENGTH


def near(length: float, room: float = 0.0101) -> Callable[[Facts], bool]:
    """Return the test whether an answer is this length: of what is computed by mistake, the last decimal may be off."""
    return lambda found: abs(found.length - length) < room


LENGTH = VariableQuestion(
    **about("4r.3", "How long must the column be?", "predict a number", "easy", points=1, minutes=3),
    hints=(
        "First write both logits as length times length times cosine. Then ask which *gap* makes a probability three times another.",
        "E2's logit is 3. E1's is 3 · length · cos 60°, and cos 60° is a half. The gap that makes a ratio of 3 is ln 3.",
    ),
    idea="A logit is length · length · cosine, and a ratio of probabilities is e to a gap of logits: so E1 has to lead by ln 3.",
    takeaway="How much louder one expert is than another is set by a difference of dot products, so a column pays for a bad angle with its length.",
    answer="my_length",
    form=Number("one number, a length"),
    measured=lambda length: {
        "length": length,
        "logit": PER_LENGTH * length,
        "ratio": np.exp(min(PER_LENGTH * length - RIVAL, 600)),
    },
    right=near(NEEDED, 0.0051),
    mistakes=by_test(
        "ratio of logits: With this length E1's logit is three times E2's. Probabilities do not follow the ratio of the logits, but e to their gap.",
        near(TIMES * RIVAL / PER_LENGTH),
        "gap of 3: With this length E1 leads by a gap of 3. The probability is then e³ times as large, about 20.",
        near((RIVAL + TIMES) / PER_LENGTH),
        "level: With this length both logits are equal, and so are both probabilities.",
        near(RIVAL / PER_LENGTH),
        "three times the length: Three times as long as E2's column. E1's logit is then 4.5 and leads by 1.5, so its probability is e to the 1.5 times E2's, about 4.5.",
        near(TIMES * OTHER),
        "angle left out: You took E1's column for one along x. At 60° only half of its length counts.",
        near((RIVAL + np.log(TIMES)) / X),
        "x left out: You left out that x has length 3. It makes both logits three times as large.",
        near((OTHER + np.log(TIMES)) / np.cos(np.radians(ANGLE))),
        "x left out for E1: You left out that x has length 3 in E1's logit. It makes both logits three times as large.",
        near((RIVAL + np.log(TIMES)) / np.cos(np.radians(ANGLE))),
        "x left out for E2: You left out that x has length 3 in E2's logit. It makes both logits three times as large.",
        near((OTHER + np.log(TIMES)) / PER_LENGTH),
        "multiplied by the cosine: You multiplied by the cosine. E1's logit is 3 · length · a half: to get the length, divide by the half.",
        (
            near((RIVAL + np.log(TIMES)) * np.cos(np.radians(ANGLE)) / X),
            near((RIVAL + np.log(TIMES)) * PER_LENGTH),
            near((RIVAL + np.log(TIMES)) * np.cos(np.radians(ANGLE))),
        ),
        "gap as a length: You added ln 3 to a length. It is a gap between logits: E1's logit is E2's, 3, and ln 3 more; then ask for the length.",
        (near(OTHER + np.log(TIMES)), near(RIVAL / PER_LENGTH + np.log(TIMES))),
        "the logit: This is the logit that E1 needs. Its length is less: x has length 3, and of E1's length half counts.",
        near(RIVAL + np.log(TIMES)),
        "turned round: With this length E2 has three times E1's probability.",
        near((RIVAL - np.log(TIMES)) / PER_LENGTH),
        "only the gap: This is the gap that E1 needs, ln 3. It is a gap above E2's logit.",
        near(np.log(TIMES)),
        "logarithm to base 10: You took the logarithm to base 10. A softmax is made of powers of e: `np.log`.",
        near((RIVAL + np.log10(TIMES)) / PER_LENGTH),
        "logarithm to base 2: You took the logarithm to base 2. A softmax is made of powers of e: `np.log`.",
        near((RIVAL + np.log2(TIMES)) / PER_LENGTH),
        "E2 left out: With this length E1's logit is ln 3. It has to be ln 3 *more* than E2's logit, which is 3.",
        near(np.log(TIMES) / PER_LENGTH),
        "multiplied: You multiplied by ln 3. A gap is added: E1's logit is E2's, 3, and ln 3 more.",
        near(RIVAL * np.log(TIMES) / PER_LENGTH),
        "four times: Three times as much as E2 is three quarters of what the two hold: a ratio of 3, not of 4.",
        near((RIVAL + np.log(TIMES + 1)) / PER_LENGTH),
        "sine: You took 0.866 for the cosine of 60°: that is its sine, or the cosine of 30°. cos 60° is a half.",
        near((RIVAL + np.log(TIMES)) / (X * np.sin(np.radians(ANGLE)))),
        "power for logarithm: You took e³ for the logit. The *ratio* is 3, and the gap is its logarithm.",
        near(np.exp(TIMES) / PER_LENGTH),
        "radians: `np.cos(60)` takes 60 for radians. `np.cos(np.radians(60))` is a half.",
        near((RIVAL + np.log(TIMES)) / (X * np.cos(ANGLE))),
    )
    + by_test(
        "negative: A length is not below 0. Is an angle in radians, or a gap turned round?",
        lambda found: found.length < 0,
        "near: Near. Give two decimals, rounded at the very end.",
        (near(np.round(NEEDED, 1), 0.0051), near(NEEDED)),
    ),
    report="With your length E1's logit is {logit:.3f}, and its probability {ratio:.4g} times E2's.",
)
