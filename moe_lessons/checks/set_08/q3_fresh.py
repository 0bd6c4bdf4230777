"""Question 8.3: a rate for each arm, on seeds of its own."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value

Choice = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (choosing, fresh) -> the rate of each arm (arms,)
BROKEN = np.inf  # the error of a run that broke down


def by_mean(choosing: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Return the rate with the lowest mean error on the choosing seeds, for each arm. Both (arms, rates, seeds)."""
    return choosing.mean(axis=2).argmin(axis=1)


OTHER_CHOICES: dict[str, Choice] = {
    "fresh": lambda choosing, fresh: fresh.mean(axis=2).argmin(axis=1),
    "all": lambda choosing, fresh: np.concatenate([choosing, fresh], axis=2).mean(axis=2).argmin(axis=1),
    "baseline's": lambda choosing, fresh: np.full(len(choosing), by_mean(choosing, fresh)[0]),
    "one": lambda choosing, fresh: np.full(len(choosing), choosing.mean(axis=(0, 2)).argmin()),
    "single": lambda choosing, fresh: choosing.min(axis=2).argmin(axis=1),
    "median": lambda choosing, fresh: np.median(choosing, axis=2).argmin(axis=1),
    "highest": lambda choosing, fresh: choosing.mean(axis=2).argmax(axis=1),
    "first": lambda choosing, fresh: np.zeros(len(choosing), dtype=int),
}


def study(rng: np.random.Generator, arms: int, rates: int, few: int, many: int) -> tuple[np.ndarray, np.ndarray]:
    """Return errors (arms, rates, seeds) of seeds that choose and of fresh ones: the choices above all name other rates.

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
        if _tells_apart(choosing, fresh):
            return choosing, fresh


def _tells_apart(choosing: np.ndarray, fresh: np.ndarray) -> bool:
    """Whether no two choices name the same rates, and the right ones are clear and did not break down."""
    chosen = {tuple(choice(choosing, fresh)) for choice in (by_mean, *OTHER_CHOICES.values())}
    best, second = np.sort(choosing.mean(axis=2), axis=1)[:, :2].T  # (arms,) each
    return len(chosen) == 1 + len(OTHER_CHOICES) and bool((second > best + 1e-4).all())


def fresh_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (choosing, fresh) three times: three arms, four arms, and fewer fresh seeds than rates."""
    return [study(rng, *sizes) for sizes in ((3, 4, 3, 8), (4, 5, 3, 6), (3, 6, 3, 5))]


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


def mean_by(choice: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the mean difference when the rates are chosen in another way."""
    return lambda choosing, fresh: against(OTHER_CHOICES[choice])(choosing, fresh)[0]


def error_of(formula: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a formula of the fresh errors (arms, seeds) and of their differences (arms, seeds), at the right rates."""
    return lambda choosing, fresh: formula(at_rates(fresh, by_mean(choosing, fresh)), differences(choosing, fresh))


def best_of_each(choosing: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Return the mean difference when every fresh seed takes its own best rate."""
    found = fresh.min(axis=1)  # (arms, seeds)
    return (found - found[0]).mean(axis=1)


def on_choosing(choosing: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Return the mean difference on the seeds that chose."""
    found = at_rates(choosing, by_mean(choosing, fresh))  # (arms, seeds)
    return (found - found[0]).mean(axis=1)


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
            "reported on the choosing seeds: You report the seeds that chose the rate. They flatter it: take the rate to `fresh`.",
            on_choosing,
            "the baseline's rate for all: Every arm ran at the rate that is best for arm 0, so only arm 0 was tuned. Each arm has its own best rate.",
            mean_by("baseline's"),
            "one rate for all: All arms ran at one rate, as in the lesson's first comparison. An arm may want another rate: choose for each arm alone.",
            (mean_by("one"), mean_by("first")),
            "best single run: You chose the rate of the best single run. One lucky seed decides that: take the lowest mean over the seeds.",
            mean_by("single"),
            "median: You chose by the median over the seeds, which does not see that a run broke down. Asked is the lowest mean: a rate at which a run breaks down is not chosen.",
            mean_by("median"),
            "highest error: You chose the rate with the largest error.",
            mean_by("highest"),
            "a rate for each seed: Every seed takes its own best rate. On a fresh seed nobody knows it before: one rate for each arm, chosen before.",
            best_of_each,
            "wrong way round: You took arm minus arm 0 the wrong way round: above 0 must mean that the arm's error is larger.",
            error_of(lambda found, d: -d.mean(axis=1)),
            "no difference: These are the mean errors themselves. Take off those of arm 0.",
            error_of(lambda found, d: found.mean(axis=1)),
            "share: You divided by the error of arm 0. Asked is the difference.",
            error_of(lambda found, d: d.mean(axis=1) / found[0].mean()),
        ),
        "standard error": by_value(
            "not paired: You treated the arms as independent. A seed draws one task for all arms: take the differences seed by seed first, then their standard error.",
            error_of(lambda found, d: np.sqrt((found.var(axis=1, ddof=1) + found[0].var(ddof=1)) / found.shape[1])),
            "standard deviation: This is the standard deviation of the differences. Divide it by the root of the number of seeds.",
            error_of(lambda found, d: d.std(axis=1, ddof=1)),
            "divided by n: The deviations are divided by the number of seeds. Of a sample it is one less: `ddof=1`.",
            error_of(lambda found, d: d.std(axis=1) / np.sqrt(d.shape[1])),
            "of the arm alone: This is the standard error of the arm's own errors. Asked is that of its differences from arm 0.",
            error_of(lambda found, d: found.std(axis=1, ddof=1) / np.sqrt(found.shape[1])),
            "no root: You divided by the number of seeds, not by its root.",
            error_of(lambda found, d: d.std(axis=1, ddof=1) / d.shape[1]),
            "variance: This is the variance over the number of seeds: take the root.",
            error_of(lambda found, d: d.var(axis=1, ddof=1) / d.shape[1]),
        ),
    },
)
