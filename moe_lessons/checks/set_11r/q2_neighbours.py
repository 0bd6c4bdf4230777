"""Question 11r.2: how often neighbours agree by chance, when all that is known of the loads is their spread."""

from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.verdicts import by_value

N, CV, SHARE = 16, 0.6, 0.2
PAIR_LOG = {"experts": N, "cv": CV, "share": SHARE}
BY_LOADS = (1 + CV**2) / N  # Σ load²: the mean square is the squared mean and the variance
NEEDED = (N * SHARE - 1) ** 0.5


NEIGHBOURS = ValuesQuestion(
    **about("11r.2", "Neighbours that agree", "predict a number", "hard", points=1, minutes=6),
    hints=(
        "Two tokens that choose without looking at each other agree on expert i with probability load_i². Add that up over the experts. What has the sum of squares to do with the spread?",
        "The mean of load² is the mean load squared, 1/N², plus the variance, which is CV²/N². There are N experts: Σ load² = (1 + CV²)/N. Put in the numbers, and solve for CV.",
    ),
    idea="What two tokens agree on by chance is Σ load² = (1 + CV²)/N: uneven loads alone make neighbours agree.",
    takeaway="1/N is the baseline of a balanced router only: before neighbours that agree mean anything, take the agreement that uneven loads give for nothing.",
    answer="my_agreement",
    expected=lambda: {"by chance": BY_LOADS, "times": SHARE / BY_LOADS, "cv for all of it": NEEDED},
    tolerance={"by chance": 0.00051, "times": 0.01, "cv for all of it": 0.0051},
    advice={
        "by chance": "Two independent tokens both choose expert i with probability load_i². Write the sum of the squares with the mean load, 1/N, and the variance.",
        "times": "Divide what was measured by what the loads alone give.",
        "cv for all of it": "Set (1 + CV²)/N equal to the measured share, and solve for CV.",
    },
    parts={
        "by chance": by_value(
            "even loads: 1/N is what an even router gives. These loads are uneven, and that lifts the chance.",
            lambda: 1 / N,
            "CV not squared: The variance is the *square* of CV times the mean.",
            lambda: (1 + CV) / N,
            "spread alone: The spread is one part. Even loads agree sometimes, too: add 1/N.",
            (lambda: CV**2 / N, lambda: CV**2),
            "squared together: You squared 1 + CV. The mean square is the squared mean and the variance, each squared by itself: 1 + CV².",
            lambda: (1 + CV) ** 2 / N,
            "root: You took a root. Agreement is a sum of squares, and no root is in it.",
            lambda: (1 + CV**2) ** 0.5 / N,
            "not divided: The variance is CV² times the *squared mean*, and there are N experts: it is divided by N, as the 1 is.",
            lambda: 1 / N + CV**2,
            "N − 1: You divided by N − 1. The loads are all N of them, and 1/N is their mean.",
            (lambda: (1 + CV**2) / (N - 1), lambda: 1 / N + CV**2 / (N - 1)),
            "not agreed: This is how often they differ. Asked is how often they agree.",
            lambda: 1 - BY_LOADS,
            "squares lost: You multiplied 1/N by CV. Agreement is a sum of squares of loads: mean squared and variance.",
            lambda: CV / N,
            "below 1/N: This is less than 1/N, which even loads give. Uneven loads agree more often: the variance is added.",
            lambda: (1 - CV**2) / N,
            "one expert: This is one expert's part. Add up all N.",
            lambda: (1 + CV**2) / N**2,
            "near: Right, but rounded too far. Give three decimals, please.",
            (lambda: 0.09, lambda: 0.08),
            "percent: This is percent. Asked is a share from 0 to 1.",
            lambda: 100 * BY_LOADS,
        ),
        "times": by_value(
            "beside 1/N: You compared with 1/N. The loads alone give more than that.",
            lambda: SHARE * N,
            "difference: This is a difference. Asked is how many times as often.",
            lambda: SHARE - BY_LOADS,
            "how much more: This is by how much more often. Asked is how many times as often: with nothing more it would be 1.",
            lambda: SHARE / BY_LOADS - 1,
            "from a rounded number: You divided by the share rounded to two decimals. Divide by the unrounded one, and round at the end.",
            (lambda: SHARE / 0.09, lambda: SHARE / 0.08),
            "with CV not squared: You divided by (1 + CV)/N. The variance is the *square* of CV times the mean.",
            lambda: SHARE * N / (1 + CV),
            "by the spread alone: You divided by what the spread adds. Even loads agree sometimes, too.",
            lambda: SHARE * N / CV**2,
            "upside down: This is chance divided by what was measured.",
            lambda: BY_LOADS / SHARE,
        ),
        "cv for all of it": by_value(
            "squared: This is CV², for CV enters squared, (1 + CV²)/N: take the root.",
            lambda: NEEDED**2,
            "1 forgotten: Even loads, with CV 0, give 1/N already: subtract that first.",
            lambda: (N * SHARE) ** 0.5,
            "times for the sum: You put in how many *times* as often. The share itself is what (1 + CV²)/N must be equal to.",
            lambda: (SHARE / BY_LOADS - 1) ** 0.5,
            "what is added: This is the spread that would have to be added to the one that is there. Asked is the whole.",
            lambda: (NEEDED**2 - CV**2) ** 0.5,
            "N forgotten: You took 1/N off the share, and a root of that. CV counts in units of the mean load: multiply the share by N first.",
            lambda: (SHARE - 1 / N) ** 0.5,
            "1 taken off after the root: Subtract 1 first, then take the root.",
            lambda: (N * SHARE) ** 0.5 - 1,
            "times the CV: This is how many times the CV it would be. Asked is the CV itself.",
            lambda: NEEDED / CV,
            "in proportion: Twice the agreement does not need twice the CV: CV enters squared, beside a 1.",
            lambda: CV * SHARE / BY_LOADS,
            "the 1 scaled, too: You scaled CV² as the agreement grows. But 1 + CV² grows with it, and the 1 stays as it is.",
            lambda: CV * (SHARE / BY_LOADS) ** 0.5,
        ),
    },
)
