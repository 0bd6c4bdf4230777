"""Question 3.3: a Gumbel-max sampler."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtri

from moe_lessons import routing
from moe_lessons.checks.calls import call_answer
from moe_lessons.checks.question import Data, Question, Reply, about
from moe_lessons.checks.values import describe, show, stacked
from moe_lessons.checks.verdicts import Fault, Mistake, Verdict, by_value

DRAWS, SHORT, SEEDS = 20_000, 20, 30
FALSE_ALARM = 1e-9  # for the sum of the three statistics; tests/checks/test_set_03.py measures its tail

GRID = np.linspace(-40, 40, 16_001)  # where the densities of the noises are summed up


def race(positions: np.ndarray, noise: str) -> np.ndarray:
    """Return how often position i plus its noise is the largest, the noises being independent. (N,) -> (N,).

    `noise` is the name of a distribution in scipy.stats: "norm", "gumbel_l" (that of subtracted Gumbel noise), ...
    """
    from scipy import stats  # here, because its import takes longer than the rest of this module's

    z, law = GRID[:, None] - positions, getattr(stats, noise)  # (grid, N)
    below = law.cdf(z)  # (grid, N): that noisy position j lies below the grid point
    others = np.stack([np.delete(below, i, axis=1).prod(axis=1) for i in range(len(positions))], axis=1)
    won = (law.pdf(z) * others).sum(axis=0)  # (N,)
    return won / won.sum()


def misfit(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return Pearson's statistic of counts (N,) against probabilities (N,); tiny expectations count as 1."""
    expected = counts.sum() * probabilities
    return float(((counts - expected) ** 2 / np.maximum(expected, 1)).sum())


def fits(counts: list[np.ndarray], cases: list[tuple], frequencies: Callable[..., np.ndarray]) -> bool:
    """Tell whether counts (N,) of every case can come from these frequencies; wrong with a chance of FALSE_ALARM."""
    total = sum(misfit(count, frequencies(*case)) for count, case in zip(counts, cases, strict=True))
    return total < chdtri(sum(len(h) - 1 for h, _ in cases), FALSE_ALARM)


def draws_fault(drawn: Any, n: int, N: int) -> Fault | None:
    """Return what is wrong with the form of n draws among N experts, or None."""
    unfit = Fault(None, f"Expected {n} indices, whole numbers of shape ({n},). Came {describe(drawn)}.")
    if not isinstance(drawn, np.ndarray) or drawn.dtype.kind not in "iu":
        return unfit
    if drawn.shape == (N,) and drawn.sum() == n:
        why = f"{N} numbers for n = {n}: these are counts, one for each expert. Return the draws themselves."
        return Fault("counts", why)
    if drawn.shape == (N,):
        why = f"{N} numbers for n = {n}: one for each expert, not for each draw. Was it `argmax(axis=0)`? A draw is a row: `axis=1`."
        return Fault("wrong axis", why)
    if drawn.shape != (n,):
        return unfit
    low, high = drawn.min(), drawn.max()
    if n == DRAWS and (low, high) == (1, N):
        return Fault("counted from one", f"You counted the experts from 1. Indices go from 0 to {N - 1}.")
    if low < 0 or high >= N:
        return Fault(None, f"Indices go from 0 to {N - 1}; yours go from {low} to {high}.")
    return None


def form_fault(cases: list[tuple], found: Reply) -> Fault | None:
    """Return the first fault in the form of any call's draws."""
    sizes = [len(h) for h, _ in cases]
    asked = [(drawn, DRAWS, N) for drawn, N in zip(found["many"], sizes, strict=True)]
    asked += [(drawn, SHORT, sizes[0]) for drawn in found["few"] + found["again"]]
    return next(filter(None, (draws_fault(*call) for call in asked)), None)


def constant_fault(cases: list[tuple], found: Reply) -> Fault | None:
    """Return a fault if all draws of a call are alike, in every call."""
    if any(np.ptp(drawn) for drawn in found["many"] + found["few"]):
        return None
    tops = [h.argmax() for h, _ in cases]
    if [drawn[0] for drawn in found["many"]] == tops and all(drawn[0] == tops[0] for drawn in found["few"]):
        why = "Always the expert with the largest logit. Each expert needs noise of its own before you compare."
        return Fault("always the largest", why)
    why = "All draws of one call are alike: the noise must be new for each of the n draws, shape (n, N)."
    return Fault("one noise for all draws", why)


def seeding_fault(cases: list[tuple], found: Reply) -> Fault | None:
    """Return a fault if the seed of the rng does not decide the draws, or something else does."""
    few = found["few"]
    if all((drawn == few[0]).all() for drawn in few):
        why = "The frequencies are right, but every seed gives the same draws. Take all randomness from the `rng` that is passed in."
        return Fault("rng not used", why)
    if (found["again"][0] != few[0]).any():
        why = "The frequencies are right, but the same seed gives different draws. Some randomness does not come from the `rng` that is passed in."
        return Fault("another source", why)
    return None


@dataclass(frozen=True, kw_only=True)
class SamplerQuestion(Question):
    """Draws are compared with the softmax by their counts; then seeds are tried for what the rng decides."""

    mistakes: tuple[Mistake, ...]

    def draw(self, rng: np.random.Generator) -> Data:
        """Return three cases (h, τ), and seeds for the learner's rng."""
        cases = []
        for tau, N in ((0.5, 4), (2.0, 6), (1.25, 5)):
            h = rng.permutation(np.linspace(0, 2.2, N)) + rng.uniform(-0.1, 0.1, N)  # (N,)
            cases.append((h.round(2), tau))
        return {"cases": cases, "seeds": rng.choice(2**31, SEEDS, replace=False)}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Draw many for each case; a few with every seed; a few again with the first seed."""

        def drawn(case: tuple, n: int, seed: int) -> Any:
            return call_answer(answer, self.parameters, (*case, n), np.random.default_rng(seed))[0]

        first, seeds = data["cases"][0], [int(seed) for seed in data["seeds"]]
        return {
            "many": [drawn(case, DRAWS, seeds[i]) for i, case in enumerate(data["cases"])],
            "few": [drawn(first, SHORT, seed) for seed in seeds],
            "again": [drawn(first, SHORT, seeds[0])],
        }

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the form, then draws that never vary, then the counts, then what the rng decides."""
        found = {name: [stacked(drawn) for drawn in calls] for name, calls in reply.items()}
        steps = (form_fault, constant_fault, self._frequency_fault, seeding_fault)
        fault = next(filter(None, (step(data["cases"], found) for step in steps)), None)
        return Verdict.of(fault) if fault else Verdict(True)

    def _frequency_fault(self, cases: list[tuple], found: Reply) -> Fault | None:
        """Return a fault if the counts are not the softmax's: the one mistake that fits, if one does."""
        counts = [np.bincount(drawn, minlength=len(h)) for (h, _), drawn in zip(cases, found["many"], strict=True)]
        if fits(counts, cases, routing.softmax):
            return None
        fitting = [mistake for mistake in self.mistakes if fits(counts, cases, mistake.wrong)]
        alone = len(fitting) == 1  # of two that fit, rather neither than the wrong one
        name, why = (fitting[0].name, fitting[0].why) if alone else (None, "The frequencies are not the softmax's.")
        h, tau = cases[0]
        shares = f"expected shares {show(routing.softmax(h, tau))}, came {show(counts[0] / DRAWS)}"
        return Fault(name, why, f"{shares}\nfor h = {show(h)}, tau = {tau:g}, n = {DRAWS}")


SAMPLER = SamplerQuestion(
    **about("3.3", "A Gumbel-max sampler", "write it", "medium", points=3, minutes=9),
    hints=(
        "`rng.gumbel(size=(n, len(h)))` gives noise for n draws: one row for each draw, one column for each expert.",
        "Divide h by τ, add the noise, and take the index of the largest number of each row: `argmax(axis=1)`. The order matters: noise after the division.",
    ),
    idea="With Gumbel noise the largest of h/τ + noise is expert i exactly as often as the softmax of h/τ says; other noise gives other frequencies.",
    answer="my_sample",
    parameters=("h", "tau", "n", "rng"),
    when_raised="If it is about shapes: h has shape (N,) and the noise (n, N); numpy adds h to each row.",
    mistakes=by_value(
        "τ after the noise: These are the frequencies for τ = 1, whatever τ is. Either τ was left out, or you divided logits and noise together, which changes no order.",
        lambda h, tau: routing.softmax(h),
        "noise times τ: The noise grows with τ on top of the division: these are the frequencies for τ². Divide the logits, and leave the noise as it is.",
        lambda h, tau: routing.softmax(h, tau**2),
        "multiplied: These are the frequencies of h·τ + noise: you multiplied the logits by τ, or divided the noise in their place. Divide the logits, and leave the noise as it is.",
        lambda h, tau: routing.softmax(h, 1 / tau),
        "noise on probabilities: You added the noise to probabilities. It belongs on the logits h/τ (or on ln p).",
        lambda h, tau: routing.softmax(routing.softmax(h, tau)),
        "Gaussian noise: These are the frequencies of Gaussian noise. Only Gumbel noise, −ln(−ln U), gives the softmax's.",
        lambda h, tau: race(h / tau, "norm"),
        "wrong sign: Your Gumbel noise has the wrong sign. It is −ln(−ln U), and it is added.",
        lambda h, tau: race(h / tau, "gumbel_l"),
        "one logarithm: Your noise is −ln U. Gumbel noise takes the logarithm twice: −ln(−ln U).",
        lambda h, tau: race(h / tau, "expon"),
        "uniform noise: These are the frequencies of uniform noise between 0 and 1. Turn U into Gumbel noise: −ln(−ln U).",
        lambda h, tau: race(h / tau, "uniform"),
        "logits not used: All experts come equally often: the logits play no part.",
        lambda h, tau: np.full(len(h), 1 / len(h)),
        "logits turned round: The expert with the smallest logit comes most often: a sign is turned round.",
        lambda h, tau: routing.softmax(-h, tau),
        "smallest taken: You took the smallest noisy logit. Take the largest: argmax.",
        lambda h, tau: race(-h / tau, "gumbel_l"),
    ),
)
