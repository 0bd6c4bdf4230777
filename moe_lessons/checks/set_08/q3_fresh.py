"""Question 8.3: a rate for each arm, on seeds of its own."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.apart import told_apart
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree, stacked
from moe_lessons.checks.verdicts import by_test, by_value

Choice = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (choosing, fresh) -> the rate of each arm (arms,)
BROKEN = np.inf  # the error of a run that broke down


def by_mean(choosing: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Return the rate with the lowest mean error on the choosing seeds, for each arm. Both (arms, rates, seeds)."""
    return choosing.mean(axis=2).argmin(axis=1)


def gain(choosing: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Return the rate at which each arm's mean error is farthest below that of arm 0 at the same rate."""
    means = choosing.mean(axis=2)  # (arms, rates)
    return (means - means[0]).argmin(axis=1)


def most_frequent(rates: np.ndarray) -> int:
    """Return the rate that comes most often, the first of several."""
    return int(np.bincount(rates).argmax())


def at_place(place: int) -> Choice:
    """Return the choice of the rate at this place for every arm."""
    return lambda choosing, fresh: np.full(len(choosing), range(choosing.shape[1])[place])


OTHER_CHOICES: dict[str, tuple[Choice, ...]] = {  # by the mistake
    "fresh": (lambda choosing, fresh: fresh.mean(axis=2).argmin(axis=1),),
    "all": (
        lambda choosing, fresh: np.concatenate([choosing, fresh], axis=2).mean(axis=2).argmin(axis=1),
        lambda choosing, fresh: (choosing.mean(axis=2) + fresh.mean(axis=2)).argmin(axis=1),
    ),
    "baseline's": (lambda choosing, fresh: np.full(len(choosing), by_mean(choosing, fresh)[0]),),
    "one": (
        lambda choosing, fresh: np.full(len(choosing), choosing.mean(axis=(0, 2)).argmin()),
        at_place(0),
        at_place(-1),
    ),
    "single": (lambda choosing, fresh: choosing.min(axis=2).argmin(axis=1),),
    "median": (lambda choosing, fresh: np.median(choosing, axis=2).argmin(axis=1),),
    "highest": (lambda choosing, fresh: choosing.mean(axis=2).argmax(axis=1),),
    "broken": (
        lambda choosing, fresh: np.ma.masked_invalid(choosing).mean(axis=2).argmin(axis=1),
        lambda choosing, fresh: np.where(np.isinf(choosing), 0, choosing).mean(axis=2).argmin(axis=1),
    ),
    "wins": (lambda choosing, fresh: np.apply_along_axis(most_frequent, 1, choosing.argmin(axis=1)),),
    "worst run": (lambda choosing, fresh: choosing.max(axis=2).argmin(axis=1),),
    "gain": (gain, lambda choosing, fresh: np.append(by_mean(choosing, fresh)[0], gain(choosing, fresh)[1:])),
}


def study(
    rng: np.random.Generator, arms: int, rates: int, few: int, many: int, unit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return errors (arms, rates, seeds), about 0.1 `unit`, of seeds that choose and of fresh ones.

    One run of each arm but the first broke down, at a rate that would else look best.
    """
    while True:
        best = rng.integers(1, rates - 1, size=(arms, 1))  # (arms, 1)
        curve = 0.1 + 0.004 * (np.arange(rates) - best) ** 2  # (arms, rates)
        noise = rng.normal(scale=0.006, size=(arms, rates, few + many))
        errors = curve[..., None] + noise + rng.normal(scale=0.01, size=few + many)  # (arms, rates, seeds)
        choosing, fresh = errors[..., :few].round(4), errors[..., few:].round(4)
        for arm in range(1, arms):
            choosing[arm, choosing.mean(axis=2)[arm].argmin(), rng.integers(few)] = BROKEN
        if _will_do(choosing, fresh):
            return unit * choosing, unit * fresh


def _will_do(choosing: np.ndarray, fresh: np.ndarray) -> bool:
    """Whether the right rates are clear, no other choice names them all, and some trick helps."""
    right = by_mean(choosing, fresh)  # (arms,)
    best, second = np.sort(choosing.mean(axis=2), axis=1)[:, :2].T  # (arms,) each
    others = (choice(choosing, fresh) for choices in OTHER_CHOICES.values() for choice in choices)
    helps = differences(choosing, fresh).mean(axis=1).min() < -1e-3
    return bool(helps and (second > best + 1e-4).all() and all((other != right).any() for other in others))


def fresh_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (choosing, fresh) three times: three arms, four arms, and fewer fresh seeds than rates.

    The last has errors so large that no number which stands for ∞ is large enough by chance.
    """
    sizes = ((3, 4, 3, 8, 1.0), (4, 5, 3, 6, 1.0), (3, 6, 3, 5, 100.0))
    while True:
        cases = [study(rng, *size) for size in sizes]
        some_arm_loses = any(differences(*case).mean(axis=1).max() > 1e-3 for case in cases)  # so that signs show
        if some_arm_loses and told_apart(OTHER_CHOICES, cases):
            return cases


def against(choice: Choice) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the comparison with arm 0 when the rates are chosen so: mean difference and its standard error (arms,)."""

    def compared(choosing: np.ndarray, fresh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d = differences(choosing, fresh, choice)  # (arms, seeds)
        return d.mean(axis=1), d.std(axis=1, ddof=1) / np.sqrt(d.shape[1])

    return compared


def at_rates(errors: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Return each arm's errors (arms, seeds) at its rate. errors: (arms, rates, seeds); rates: (arms,)."""
    return errors[np.arange(len(errors)), rates]


def differences(choosing: np.ndarray, fresh: np.ndarray, choice: Choice = by_mean) -> np.ndarray:
    """Return, seed by seed, the fresh errors of each arm minus those of arm 0 (arms, seeds)."""
    found = at_rates(fresh, choice(choosing, fresh))  # (arms, seeds)
    return found - found[0]


def mean_by(mistake: str) -> tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...]:
    """Return the mean differences when the rates are chosen in the ways of this mistake."""
    return tuple(
        lambda choosing, fresh, choice=choice: against(choice)(choosing, fresh)[0] for choice in OTHER_CHOICES[mistake]
    )


def error_of(formula: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a formula of the fresh errors (arms, seeds) and of their differences (arms, seeds), at the right rates."""
    return lambda choosing, fresh: formula(at_rates(fresh, by_mean(choosing, fresh)), differences(choosing, fresh))


def best_of_each(choosing: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Return the mean difference when every fresh seed takes its own best rate."""
    found = fresh.min(axis=1)  # (arms, seeds)
    return (found - found[0]).mean(axis=1)


def reported_on(seeds: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable:
    """Return the mean difference on other errors (arms, rates, seeds) than the fresh ones, at the right rates."""

    def compared(choosing: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        found = at_rates(seeds(choosing, fresh), by_mean(choosing, fresh))  # (arms, seeds)
        return (found - found[0]).mean(axis=1)

    return compared


def beside_arm_0(rates: Choice) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the mean difference from arm 0 when arm 0 runs at these rates, one for each arm, not at its own."""
    return lambda choosing, fresh: (at_rates(fresh, by_mean(choosing, fresh)) - fresh[0, rates(choosing, fresh)]).mean(
        axis=1
    )


def without_arm_0(formula: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """Return the error that is 0 for arm 0, and for the others formula(fresh errors at the right rates (arms, seeds))."""
    return error_of(lambda found, d: np.append(0, formula(found)[1:]))


def independent(found: np.ndarray) -> np.ndarray:
    """Return the standard error of the difference of independent means. found (arms, seeds). (arms,)."""
    return np.sqrt((found.var(axis=1, ddof=1) + found[0].var(ddof=1)) / found.shape[1])


def of_the_arm(found: np.ndarray) -> np.ndarray:
    """Return the standard error of each arm's own errors. found (arms, seeds). (arms,)."""
    return found.std(axis=1, ddof=1) / np.sqrt(found.shape[1])


def with_seeds(number: Callable[[int, int, int, int], int]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the standard error over number(choosing seeds, fresh seeds, arms, rates)."""

    def error(choosing: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        n = number(choosing.shape[2], fresh.shape[2], *fresh.shape[:2])
        return differences(choosing, fresh).std(axis=1, ddof=1) / np.sqrt(n)

    return error


def on_choosing_seeds(choosing: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Return the standard error of the differences on the seeds that chose the rates. (arms,)."""
    return against(by_mean)(choosing, choosing)[1]


@np.errstate(invalid="ignore")
def in_standard_errors(found: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Return the mean differences in standard errors, NaN for arm 0. found, d (arms, seeds). (arms,)."""
    return d.mean(axis=1) / (d.std(axis=1, ddof=1) / np.sqrt(d.shape[1]))


def are_pairs(value: Any, choosing: np.ndarray, fresh: np.ndarray) -> bool:
    """Tell whether the two numbers of each arm come in pairs, an arm in a row."""
    right = np.stack(against(by_mean)(choosing, fresh), axis=1)  # (arms, 2)
    return agree(stacked(value), right)


FRESH = FunctionQuestion(
    **about("8.3", "A rate for each arm", "write it", "medium", points=3, minutes=10),
    hints=(
        "Three steps: each arm's rate, from `choosing` alone; each arm's errors on the fresh seeds at that rate; then, seed by seed, arm minus arm 0.",
        "`rate = choosing.mean(axis=2).argmin(axis=1)` has a rate for each arm. `fresh[np.arange(len(fresh)), rate]` are the errors (arms, seeds). From each row take off row 0: call that `d`. Then `d.mean(axis=1)`, and `d.std(axis=1, ddof=1) / np.sqrt(d.shape[1])`.",
    ),
    idea="A setting that was chosen on some seeds looks too good on them. So each arm gets its best rate on seeds of its own, is reported on others, and is compared seed by seed.",
    takeaway="Before you believe that a trick helps, ask three things: was the baseline's learning rate tuned as well, on which seeds, and were those the ones reported?",
    answer="my_comparison",
    parameters=("choosing", "fresh"),
    when_raised="Both arrays have the shape (arms, rates, seeds); the numbers of seeds differ. Arms are axis 0, rates axis 1.",
    quiet=True,
    cases=fresh_cases,
    reference=against(by_mean),
    parts={
        "difference": by_value(
            "chosen on the fresh seeds: You chose the rates on the seeds that you report. The luckiest rate then looks like the best one. Choose on `choosing`, report on `fresh`.",
            mean_by("fresh"),
            "chosen on all seeds: You chose the rates on both sets of seeds together. What is reported must not have helped to choose.",
            mean_by("all"),
            "reported on the choosing seeds: You report the seeds that chose the rate, alone or with the others. They flatter it: take the rate to `fresh`.",
            (
                reported_on(lambda choosing, fresh: choosing),
                reported_on(lambda choosing, fresh: np.concatenate([choosing, fresh], axis=2)),
            ),
            "the baseline's rate for all: Every arm ran at the rate that is best for arm 0, so only arm 0 was tuned. Each arm has its own best rate.",
            mean_by("baseline's"),
            "one rate for all: All arms ran at one rate, as in the lesson's first comparison. An arm may want another rate: choose for each arm alone.",
            mean_by("one"),
            "best single run: You chose the rate of the best single run. One lucky seed decides that: take the lowest mean over the seeds.",
            mean_by("single"),
            "median: You chose by the median over the seeds, which does not see that a run broke down. Asked is the lowest mean: a rate at which a run breaks down is not chosen.",
            mean_by("median"),
            "highest error: You chose the rate with the largest error.",
            mean_by("highest"),
            "broken runs left out: You left the runs that broke down out of the mean, or took their error for 0: so the rate at which a run breaks down looks best. Its mean is ∞.",
            mean_by("broken"),
            "most wins: You counted on how many seeds a rate is best. Asked is the lowest mean over the seeds.",
            mean_by("wins"),
            "worst run: You chose the rate whose worst run is best. Asked is the lowest mean over the seeds.",
            mean_by("worst run"),
            "chosen by the gain: You chose the rate at which the trick gains most on arm 0 at the same rate. Each arm takes the rate that is best for itself, and so does arm 0.",
            mean_by("gain"),
            "arm 0 at another rate: You compare each arm with arm 0 at another rate than arm 0's best, such as the arm's own. Arm 0 is reported at its own best rate, like every arm.",
            (beside_arm_0(by_mean), beside_arm_0(at_place(0))),
            "no rate chosen: You averaged over the rates. Each arm is reported at one rate, the best on `choosing`.",
            lambda choosing, fresh: (fresh - fresh[0]).mean(axis=(1, 2)),
            "rates: These are the rates that were chosen. Asked is how the arms do there, on `fresh`.",
            by_mean,
            "without a sign: You took the size of the difference. Its sign tells whether the trick helps.",
            (error_of(lambda found, d: np.abs(d.mean(axis=1))), error_of(lambda found, d: np.abs(d).mean(axis=1))),
            "exchanged: These are the standard errors. Return the differences first.",
            lambda choosing, fresh: against(by_mean)(choosing, fresh)[1],
            "a rate for each seed: Every seed takes its own best rate. On a fresh seed nobody knows it before: one rate for each arm, chosen before.",
            best_of_each,
            "wrong way round: You took arm minus arm 0 the wrong way round: above 0 must mean that the arm's error is larger.",
            error_of(lambda found, d: -d.mean(axis=1)),
            "no difference: These are the mean errors themselves. Take off those of arm 0.",
            error_of(lambda found, d: found.mean(axis=1)),
            "from other arms: You took off something else than arm 0: the arm before, the best one, or the mean of all. Every arm is compared with arm 0.",
            (
                error_of(lambda found, d: np.diff(found.mean(axis=1), prepend=found[0].mean())),
                error_of(lambda found, d: found.mean(axis=1) - found.mean(axis=1).min()),
                error_of(lambda found, d: found.mean(axis=1) - found.mean()),
                error_of(lambda found, d: found.mean(axis=1) - found[-1].mean()),
            ),
            "not the mean: You took the median of the differences, their sum, or the difference of the best runs. Asked is their mean over the seeds.",
            (
                error_of(lambda found, d: np.median(d, axis=1)),
                error_of(lambda found, d: d.sum(axis=1)),
                error_of(lambda found, d: found.min(axis=1) - found[0].min()),
                error_of(lambda found, d: np.median(found, axis=1) - np.median(found[0])),
            ),
            "seeds counted: This is on how many seeds the arm does better or worse than arm 0, or their share. Asked is by how much, on average.",
            (
                error_of(lambda found, d: (d < 0).sum(axis=1)),
                error_of(lambda found, d: (d > 0).sum(axis=1)),
                error_of(lambda found, d: (d < 0).mean(axis=1)),
                error_of(lambda found, d: (d > 0).mean(axis=1)),
            ),
            "not averaged: These are the differences seed by seed. Average them over the fresh seeds.",
            error_of(lambda found, d: d),
            "averaged over the arms: You averaged over the arms, and have a number for each seed. Average over the seeds.",
            error_of(lambda found, d: d.mean(axis=0)),
            "arm 0 left out: Arm 0 is missing. It has a number as well: 0, as it differs from itself by nothing.",
            error_of(lambda found, d: d.mean(axis=1)[1:]),
            "share: You divided by the error of arm 0, or took the difference of logarithms. Asked is the difference.",
            (
                error_of(lambda found, d: np.log(found / found[0]).mean(axis=1)),
                error_of(lambda found, d: d.mean(axis=1) / found[0].mean()),
                error_of(lambda found, d: (d / found[0]).mean(axis=1)),
                error_of(lambda found, d: found.mean(axis=1) / found[0].mean()),
                error_of(lambda found, d: (found / found[0]).mean(axis=1)),
            ),
        ),
        "standard error": by_value(
            "not paired: You treated the arms as independent. A seed draws one task for all arms: take the differences seed by seed first, then their standard error.",
            (
                error_of(lambda found, d: independent(found)),
                without_arm_0(independent),
                without_arm_0(lambda found: of_the_arm(found) + of_the_arm(found)[0]),
                without_arm_0(lambda found: np.sqrt((found.var(axis=1) + found[0].var()) / found.shape[1])),
            ),
            "of the choosing seeds: These are the standard errors on the seeds that chose the rate. Asked are those on the fresh ones.",
            on_choosing_seeds,
            "difference of the errors: You took the standard error of each arm less that of arm 0. First take the differences, seed by seed, then their standard error.",
            error_of(lambda found, d: of_the_arm(found) - of_the_arm(found)[0]),
            "standard deviation: This is the standard deviation of the differences. Divide it by the root of the number of seeds.",
            (error_of(lambda found, d: d.std(axis=1, ddof=1)), error_of(lambda found, d: d.std(axis=1))),
            "divided by n: The deviations are divided by the number of seeds. Of a sample it is one less: `ddof=1`.",
            error_of(lambda found, d: d.std(axis=1) / np.sqrt(d.shape[1])),
            "of the arm alone: This is the standard error of the arm's own errors, as it comes out too if you take off the *mean* of arm 0. Take off its error of the same seed.",
            (error_of(lambda found, d: of_the_arm(found)), without_arm_0(of_the_arm)),
            "sorted: You sorted the errors of each arm. Then it is no longer two errors of the same seed that you compare.",
            error_of(lambda found, d: of_the_arm(np.sort(found) - np.sort(found[0]))),
            "one for all arms: You have one standard error for all arms together. Each arm has its own, over its own differences.",
            (
                error_of(lambda found, d: np.full(len(d), d[1:].std(ddof=1) / np.sqrt(d.shape[1]))),
                error_of(lambda found, d: np.full(len(d), d.std(ddof=1) / np.sqrt(d.shape[1]))),
                error_of(lambda found, d: np.full(len(d), d.std(ddof=1) / np.sqrt(d.size))),
            ),
            "over the arms: Your deviation runs over the arms (axis 0). It runs over the seeds of each arm.",
            error_of(lambda found, d: d.std(axis=0, ddof=1) / np.sqrt(d.shape[1])),
            "no root: You divided by the number of seeds, not by its root.",
            error_of(lambda found, d: d.std(axis=1, ddof=1) / d.shape[1]),
            "variance: This is a variance, or one over the number of seeds: take the root.",
            (
                error_of(lambda found, d: d.var(axis=1, ddof=1) / d.shape[1]),
                error_of(lambda found, d: d.var(axis=1, ddof=1)),
            ),
            "1 taken off twice: You divided by the root of n − 1. `ddof=1` has taken the 1 off already: divide by the root of n.",
            error_of(lambda found, d: d.std(axis=1, ddof=1) / np.sqrt(d.shape[1] - 1)),
            "other seeds counted: You divided by the root of another number than that of the fresh seeds, which the mean is over.",
            (
                with_seeds(lambda few, many, arms, rates: few),
                with_seeds(lambda few, many, arms, rates: few + many),
                with_seeds(lambda few, many, arms, rates: arms),
                with_seeds(lambda few, many, arms, rates: rates),
            ),
            "interval: This is about half the width of a 95 % interval. Asked is the standard error itself.",
            (
                error_of(lambda found, d: 2 * d.std(axis=1, ddof=1) / np.sqrt(d.shape[1])),
                error_of(lambda found, d: 1.96 * d.std(axis=1, ddof=1) / np.sqrt(d.shape[1])),
            ),
            "t: This is the difference in standard errors. Asked is the standard error itself.",
            error_of(in_standard_errors),
        ),
    },
    mistakes=by_test(
        "pairs: The right numbers, in pairs, a row for each arm. Return two arrays: first all differences, then all standard errors.",
        are_pairs,
    ),
)
