"""Questions of exercise set 03: temperature."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, entr, ndtr

from moe_lessons import routing
from moe_lessons.checks.question import (
    Data,
    FunctionQuestion,
    Mistake,
    Question,
    Reply,
    VariableQuestion,
    Verdict,
    call_answer,
)
from moe_lessons.checks.values import describe, show, stacked

# --- 3.1 tempered softmax -----------------------------------------------------------------------------------------


def tempered_cases(rng: np.random.Generator) -> list[tuple]:
    """Pairs of logits and τ: easy ones, then masks, rows far apart, exact ties, and float32 gaps as small as τ."""
    apart = np.array([[1e4], [-1e4], [0.0]]) + rng.normal(size=(3, 4)).round(2)  # (3, 4)
    masked = rng.normal(size=(2, 5)).round(2) - 1  # (2, 5)
    masked[[0, 1], rng.permutation(5)[:2]] = -np.inf
    tied = rng.normal(size=(2, 6)).round(2) - np.array([[0.0], [30.0]])  # (2, 6)
    tied[:, rng.permutation(6)[:2]] = tied.max(axis=1, keepdims=True)
    near = 0.9 - 1e-6 * rng.uniform(0.2, 2.5, size=(3, 4))  # (3, 4)
    near[:, 0] = -0.5
    return [
        (rng.normal(size=4).round(2), round(float(rng.uniform(0.4, 0.8)), 2)),
        (rng.normal(size=(3, 5)).round(2), round(float(rng.uniform(1.5, 3)), 1)),
        (masked, 0.5),
        (apart, 0.5),
        (tied, 1e-6),
        (near.astype(np.float32), 1e-6),
    ]


def naive_softmax(z: np.ndarray, axis: int | None = -1) -> np.ndarray:
    """Divide exponentials by their sum, with no care for large numbers: NaN where they overflow or all vanish."""
    with np.errstate(all="ignore"):
        e = np.exp(z)
        return e / e.sum(axis=axis, keepdims=True)


def less_mean(h: np.ndarray) -> np.ndarray:
    """Subtract the mean of each row instead of its maximum; a row with −∞ becomes NaN."""
    with np.errstate(invalid="ignore"):
        return h - h.mean(axis=-1, keepdims=True)


def divided_first(h: np.ndarray, tau: float) -> np.ndarray:
    """Divide by τ, round to the dtype of h, and only then subtract the maximum."""
    z = h / h.dtype.type(tau)  # (..., N)
    return naive_softmax(z - z.max(axis=-1, keepdims=True))


def one_hot(h: np.ndarray) -> np.ndarray:
    """Give everything to the first of the largest logits. h: (..., N)."""
    return np.eye(h.shape[-1])[h.argmax(axis=-1)]  # (..., N)


def power_of_probabilities(h: np.ndarray, tau: float) -> np.ndarray:
    """Raise probabilities to the power 1/τ and divide by their sum."""
    with np.errstate(all="ignore"):
        powers = routing.softmax(h) ** (1 / tau)
        return powers / powers.sum(axis=-1, keepdims=True)


def log_probabilities(h: np.ndarray, tau: float) -> np.ndarray:
    """Return ln p instead of p."""
    with np.errstate(divide="ignore"):
        return np.log(routing.softmax(h, tau))


TEMPERED = FunctionQuestion(
    id="3.1",
    title="Tempered softmax, down to τ = 0.000001",
    kind="write it",
    points=2,
    minutes=8,
    difficulty="medium",
    hints=(
        "Only gaps between logits count. So you may subtract the largest logit of each row, and then no exponent is above 0.",
        "Subtract first, then divide by τ, then take exponentials. `keepdims=True` keeps the maxima in a shape that fits the rows.",
    ),
    idea="The gaps to the largest logit are exact and at most 0; divided by any τ they stay at most 0, so nothing overflows.",
    answer="my_softmax",
    parameters=("h", "tau"),
    stands_for=("routing.softmax", "routing.gate_weights", "routing.route"),
    when_raised="If it is about shapes: sums and maxima of a batch need `axis=-1, keepdims=True`, so that they fit its rows.",
    cases=tempered_cases,
    reference=routing.softmax,
    mistakes=(
        Mistake("overflow", "NaN: the exponential of something large is ∞, and ∞/∞ is not a number. Subtract each row's largest logit first, then divide by τ.",
                lambda h, tau: naive_softmax(h / tau)),
        Mistake("one maximum for the whole batch", "You subtracted the largest logit of the whole batch. A row far below it vanishes: 0/0. Each row needs its own maximum.",
                lambda h, tau: naive_softmax((h - h.max()) / tau)),
        Mistake("one sum for the whole batch", "The whole batch sums to 1 here. Each row is one token: it needs its own sum, along the last axis.",
                lambda h, tau: naive_softmax((h - h.max(axis=-1, keepdims=True)) / tau, axis=None)),
        Mistake("one maximum and one sum for the whole batch", "The whole batch sums to 1 here. Each row is one token: it needs its own maximum and its own sum, along the last axis.",
                lambda h, tau: naive_softmax((h - h.max()) / tau, axis=None)),
        Mistake("overflow, one sum for the whole batch", "The whole batch sums to 1 where it does not overflow. Each row is one token: subtract its largest logit first, and divide by its own sum, along the last axis.",
                lambda h, tau: naive_softmax(h / tau, axis=None)),
        Mistake("wrong axis", "Each column sums to 1 here: your softmax runs over the tokens. The experts are the last axis.",
                lambda h, tau: routing.softmax(h, tau, axis=0)),
        Mistake("mean subtracted", "You subtracted the mean. That leaves positive exponents, which overflow, and a row with −∞ has no mean. Subtract the maximum.",
                lambda h, tau: naive_softmax(less_mean(h) / tau)),
        Mistake("rounded away", "Right except in float32, where you divided by τ before you subtracted: 0.9 / 0.000001 is 900000, which float32 stores in steps of 0.06. Subtract first: the gap is exact.", divided_first),
        Mistake("multiplied", "You multiplied the logits by τ. A small τ must sharpen: divide.", lambda h, tau: routing.softmax(h, 1 / tau)),
        Mistake("τ ignored", "These are the probabilities for τ = 1, whatever τ is.", lambda h, tau: routing.softmax(h)),
        Mistake("divided afterwards", "You divided the probabilities by τ. They no longer sum to 1: divide the logits.", lambda h, tau: routing.softmax(h) / tau),
        Mistake("power of probabilities", "p to the power 1/τ, over its sum, is right on paper. But 0.3 to the power 1000000 is 0 in any float, and 0/0 is NaN. Divide the gaps between logits instead.", power_of_probabilities),
        Mistake("shortcut", "For a small τ you give everything to one expert. But small means small against the gaps: equal logits share, and so do logits whose gap is about τ.",
                lambda h, tau: one_hot(h) if tau < 1e-3 else routing.softmax(h, tau)),
        Mistake("mask lost", "A logit of −∞ is a mask: its probability is 0. You replaced it by 0, and e⁰ is 1.",
                lambda h, tau: routing.softmax(np.where(np.isinf(h), 0, h), tau)),
        Mistake("logarithms", "These are logarithms of the probabilities. Take the exponential.", log_probabilities),
    ),
)  # fmt: skip


# --- 3.2 τ for a wanted entropy -----------------------------------------------------------------------------------

CLOSE = 1e-4  # nats


def tempered_entropy(h: np.ndarray, tau: float) -> float:
    """Return the entropy of softmax(h/τ) in nats."""
    return float(entr(routing.softmax(h, tau)).sum())


def temperature_for(h: np.ndarray, target: float) -> float:
    """Return the τ whose softmax of h (N,) has the entropy `target`, in nats."""
    middle = np.log(np.ptp(h))
    return float(np.exp(brentq(lambda u: tempered_entropy(h, np.exp(u)) - target, middle - 12, middle + 12)))


def entropy_cases(rng: np.random.Generator) -> list[tuple]:
    """Logits of ordinary, wide and narrow spread, each with an entropy between nearly none and nearly all of ln N.

    Three cases are fixed. Two need a τ above 100 and one below 0.01: no search from 0.01 to 100 passes by chance. One
    needs a τ of four times the spread of its logits, more than a guess from the spread alone would allow.
    """
    cases: list[tuple] = []
    for scale, share in ((1, 0.6), (40, 0.25), (0.02, 0.8)):
        while True:
            N = int(rng.integers(4, 9))
            h = scale * rng.normal(size=N).round(2)
            if np.diff(np.sort(h))[-1] > 0.1 * scale:  # no near tie at the top: low entropies can be reached
                break
        cases.append((h, round(float(rng.uniform(share - 0.1, share + 0.1) * np.log(N)), 3)))
    even = (np.array([1.2, -0.5, 0.3, 0.1]), 1.3816)  # ln 4 is 1.3863
    return [*cases, (np.array([-300.0, 0.0, 200.0, 100.0]), 1.2), (np.array([0.02, 0.0, 0.05, 0.01]), 0.2), even]


@dataclass(frozen=True, kw_only=True)
class EntropyQuestion(FunctionQuestion):
    """Right is every τ that has the property: the entropy is computed anew from what came."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare entropies, not temperatures."""
        cases, values = data["cases"], reply["values"]
        taus = [tau for value in values if (tau := single_number(value)) is not None]
        if len(taus) < len(values):
            return not_a_number(next(value for value in values if single_number(value) is None))
        missed = [self._miss(case, tau) for case, tau in zip(cases, taus, strict=True)]
        if max(missed) <= CLOSE:
            return Verdict(True)
        name, why = self._fault(cases, taus, missed)
        worst = next(i for i, miss in enumerate(missed) if miss > CLOSE)
        return Verdict(False, f"{why}\n{self._report(cases[worst], taus[worst])}".strip(), name)

    def _miss(self, case: tuple, tau: float) -> float:
        """Return how far the entropy is from its target; ∞ for a τ that is none."""
        h, target = case
        return abs(tempered_entropy(h, tau) - target) if 0 < tau < np.inf else np.inf

    def _fault(self, cases: list[tuple], taus: list[float], missed: list[float]) -> tuple[str | None, str]:
        """Name what is wrong with temperatures that miss."""
        for mistake in self.mistakes:
            if np.allclose(taus, [mistake.wrong(*case) for case in cases], rtol=2e-3, atol=0):
                return mistake.name, mistake.why
        if np.isnan(taus).any():
            return "not a number", "NaN: in a hand-written entropy p ln p is NaN at p = 0, where it should be 0. Use scipy.special.entr."  # fmt: skip
        if max(missed) < 0.05:
            return "too coarse", f"Close, but not there: ask for {CLOSE:g} nats. A grid must be refined, a root finder takes fewer steps."  # fmt: skip
        if not all(0 < tau < np.inf for tau in taus):
            return "not a temperature", "A temperature is finite and above 0. Searching over ln τ keeps it there."
        if np.ptp(taus) <= 1e-9 * taus[0]:
            return "always the same", "You return the same τ whatever the logits and the target are. Did the search stop at the end of its interval?"  # fmt: skip
        return None, ""

    def _report(self, case: tuple, tau: float) -> str:
        h, target = case
        got = f"gives an entropy of {tempered_entropy(h, tau):.5f} nats" if 0 < tau < np.inf else "is no temperature"
        return f"Your τ = {tau:.6g} {got}; wanted: {target:.5f}.\nfor h = {show(h)}"


def single_number(value: Any) -> float | None:
    """Return a plain value as one real number (an array of one entry counts), or None."""
    value = stacked(value)
    array = np.asarray(None if isinstance(value, list) else value)
    return float(array.reshape(())) if array.size == 1 and array.dtype.kind in "fiu" else None


def not_a_number(value: Any) -> Verdict:
    """Say what came instead of a temperature."""
    if isinstance(value, dict) and {"root", "x"} & set(value):
        return Verdict(False, "You return the solver's whole report. The number is in its `.root` (or `.x`).", "whole report")  # fmt: skip
    return Verdict(False, f"Expected one number, the temperature. Came {describe(value)}.")


WANTED_ENTROPY = EntropyQuestion(
    id="3.2",
    title="The temperature for a wanted entropy",
    kind="write it",
    points=3,
    minutes=9,
    difficulty="medium",
    hints=(
        "The entropy grows with τ and never turns back. So a τ that gives too little is too low, one that gives too much is too high: halve the interval between them, again and again.",
        "Search over u = ln τ, from `np.log(np.ptp(h)) - 12` to `np.log(np.ptp(h)) + 12`: what is a low τ depends on the gaps. `brentq(f, a, b)` finds where f changes its sign. For the entropy use `from scipy.special import entr` and `entr(p).sum()`: a hand-written p ln p is NaN at p = 0.",
    ),
    idea="A quantity that only grows meets each value in between exactly once, so bisection cannot fail; the spread of the logits sets the scale of τ.",
    answer="my_temperature",
    parameters=("h", "target"),
    when_raised="If it is about NaN: p ln p is NaN at p = 0, where it should be 0; use scipy.special.entr. If it is about signs: the function must be below 0 at one end of the interval and above 0 at the other. What counts as a small τ depends on the gaps between the logits.",
    cases=entropy_cases,
    reference=temperature_for,
    mistakes=(
        Mistake("bits", "Your entropy is in bits (log2). The target is in nats: use the natural logarithm.",
                lambda h, target: temperature_for(h, target * np.log(2))),
        Mistake("inverse", "This is 1/τ: you searched for the number that multiplies the logits. τ divides them.",
                lambda h, target: 1 / temperature_for(h, target)),
        Mistake("natural logarithm", "This is ln τ: you searched over the logarithm, which is wise. Return its exponential.",
                lambda h, target: np.log(temperature_for(h, target))),
        Mistake("decimal logarithm", "This is log₁₀ τ: you searched over the logarithm, which is wise. Return 10 to its power.",
                lambda h, target: np.log10(temperature_for(h, target))),
        Mistake("target returned", "This is the target itself. It is an entropy; find the τ that gives it.", lambda h, target: target),
        Mistake("straight line", "This is target / ln N. The entropy is not proportional to τ, and how fast it grows depends on the gaps: search.",
                lambda h, target: target / np.log(len(h))),
    ),
)  # fmt: skip


# --- 3.3 Gumbel-max sampler ---------------------------------------------------------------------------------------

DRAWS, SHORT, SEEDS = 20_000, 20, 30
FALSE_ALARM = 1e-9  # for the sum of the three statistics; tests/checks/test_set_03.py measures its tail

_GRID = np.linspace(-40, 40, 16_001)  # where the densities below are summed up


def race(positions: np.ndarray, density: Callable, cumulative: Callable) -> np.ndarray:
    """Return how often position i plus its noise is the largest, the noises being independent. (N,) -> (N,)."""
    below = cumulative(_GRID[:, None] - positions)  # (grid, N): that noisy position j lies below the grid point
    others = np.stack([np.delete(below, i, axis=1).prod(axis=1) for i in range(len(positions))], axis=1)
    won = (density(_GRID[:, None] - positions) * others).sum(axis=0)  # (N,)
    return won / won.sum()


def gaussian_race(positions: np.ndarray) -> np.ndarray:
    """Return who wins with standard normal noise. (N,) -> (N,)."""
    return race(positions, lambda z: np.exp(-(z**2) / 2), ndtr)


def mirrored_race(positions: np.ndarray) -> np.ndarray:
    """Return who wins when Gumbel noise is subtracted. (N,) -> (N,)."""

    def growth(z: np.ndarray) -> np.ndarray:
        return np.exp(np.minimum(z, 30))  # beyond 30 the density is 0 and the cumulative 1 in any float

    return race(positions, lambda z: growth(z) * np.exp(-growth(z)), lambda z: -np.expm1(-growth(z)))


def exponential_race(positions: np.ndarray) -> np.ndarray:
    """Return who wins with noise −ln U. (N,) -> (N,)."""
    return race(positions, lambda z: (z > 0) * np.exp(-np.abs(z)), lambda z: -np.expm1(-np.maximum(z, 0)))


def uniform_race(positions: np.ndarray) -> np.ndarray:
    """Return who wins with noise U between 0 and 1. (N,) -> (N,)."""
    return race(positions, lambda z: (z > 0) & (z < 1), lambda z: np.clip(z, 0, 1))


def misfit(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return Pearson's statistic of counts (N,) against probabilities (N,); tiny expectations count as 1."""
    expected = counts.sum() * probabilities
    return float(((counts - expected) ** 2 / np.maximum(expected, 1)).sum())


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
        arrays = {name: [stacked(drawn) for drawn in calls] for name, calls in reply.items()}
        steps = (self._form, self._constant, self._counts, self._seeding)
        return next((verdict for step in steps if (verdict := step(data, arrays))), Verdict(True))

    def _form(self, data: Data, reply: Reply) -> Verdict | None:
        first = data["cases"][0]
        asked = [(case, DRAWS, drawn) for case, drawn in zip(data["cases"], reply["many"], strict=True)]
        asked += [(first, SHORT, drawn) for drawn in reply["few"] + reply["again"]]
        faults = (draws_fault(drawn, n, len(h)) for (h, _), n, drawn in asked)
        return next((Verdict(False, *fault) for fault in faults if fault), None)

    def _constant(self, data: Data, reply: Reply) -> Verdict | None:
        if any(np.ptp(drawn) for drawn in reply["many"] + reply["few"]):
            return None
        tops = [int(h.argmax()) for h, _ in data["cases"]]
        always_top = [int(drawn[0]) for drawn in reply["many"]] == tops
        if always_top and all(drawn[0] == tops[0] for drawn in reply["few"]):
            return Verdict(False, "Always the expert with the largest logit. Each expert needs noise of its own before you compare.", "always the largest")  # fmt: skip
        return Verdict(False, "All draws of one call are alike: the noise must be new for each of the n draws, shape (n, N).", "one noise for all draws")  # fmt: skip

    def _counts(self, data: Data, reply: Reply) -> Verdict | None:
        cases = data["cases"]
        counts = [np.bincount(drawn, minlength=len(h)) for (h, _), drawn in zip(cases, reply["many"], strict=True)]
        if fits(counts, cases, routing.softmax):
            return None
        found = [mistake for mistake in self.mistakes if fits(counts, cases, mistake.wrong)]
        mistake = found[0] if len(found) == 1 else None  # two that fit: rather no reason than a wrong one
        why = mistake.why if mistake else "The frequencies are not the softmax's."
        (h, tau), shares = cases[0], counts[0] / DRAWS
        lines = [why, f"expected shares {show(routing.softmax(h, tau))}, came {show(shares)}"]
        lines.append(f"for h = {show(h)}, tau = {tau:g}, n = {DRAWS}")
        return Verdict(False, "\n".join(lines), mistake.name if mistake else None)

    def _seeding(self, data: Data, reply: Reply) -> Verdict | None:
        few = reply["few"]
        if all((drawn == few[0]).all() for drawn in few):
            return Verdict(False, "The frequencies are right, but every seed gives the same draws. Take all randomness from the `rng` that is passed in.", "rng not used")  # fmt: skip
        if (reply["again"][0] != few[0]).any():
            return Verdict(False, "The frequencies are right, but the same seed gives different draws. Some randomness does not come from the `rng` that is passed in.", "another source")  # fmt: skip
        return None


def fits(counts: list[np.ndarray], cases: list[tuple], frequencies: Callable[..., np.ndarray]) -> bool:
    """Tell whether counts (N,) of every case can come from these frequencies; wrong with a chance of FALSE_ALARM."""
    total = sum(misfit(count, frequencies(*case)) for count, case in zip(counts, cases, strict=True))
    return total < chdtri(sum(len(h) - 1 for h, _ in cases), FALSE_ALARM)


def draws_fault(drawn: Any, n: int, num_experts: int) -> tuple[str, str | None] | None:
    """Say what is wrong with the form of n draws among `num_experts`, and name it; None when nothing is."""
    if not isinstance(drawn, np.ndarray) or drawn.dtype.kind not in "iu":
        return f"Expected {n} indices, whole numbers of shape ({n},). Came {describe(drawn)}.", None
    if drawn.shape == (num_experts,):
        if drawn.sum() == n:
            return f"{num_experts} numbers for n = {n}: these are counts, one for each expert. Return the draws themselves.", "counts"  # fmt: skip
        return f"{num_experts} numbers for n = {n}: one for each expert, not for each draw. Was it `argmax(axis=0)`? A draw is a row: `axis=1`.", "wrong axis"  # fmt: skip
    if drawn.shape != (n,):
        return f"Expected {n} indices, of shape ({n},). Came {describe(drawn)}.", None
    if n == DRAWS and drawn.min() == 1 and drawn.max() == num_experts:
        return f"You counted the experts from 1. Indices go from 0 to {num_experts - 1}.", "counted from one"
    if drawn.min() < 0 or drawn.max() >= num_experts:
        return f"Indices go from 0 to {num_experts - 1}; yours go from {drawn.min()} to {drawn.max()}.", None
    return None


SAMPLER = SamplerQuestion(
    id="3.3",
    title="A Gumbel-max sampler",
    kind="write it",
    points=3,
    minutes=9,
    difficulty="medium",
    hints=(
        "`rng.gumbel(size=(n, len(h)))` gives noise for n draws: one row for each draw, one column for each expert.",
        "Divide h by τ, add the noise, and take the index of the largest number of each row: `argmax(axis=1)`. The order matters: noise after the division.",
    ),
    idea="With Gumbel noise the largest of h/τ + noise is expert i exactly as often as the softmax of h/τ says; other noise gives other frequencies.",
    answer="my_sample",
    parameters=("h", "tau", "n", "rng"),
    when_raised="If it is about shapes: h has shape (N,) and the noise (n, N); numpy adds h to each row.",
    mistakes=(
        Mistake("τ after the noise", "These are the frequencies for τ = 1, whatever τ is. Either τ was left out, or you divided logits and noise together, which changes no order.",
                lambda h, tau: routing.softmax(h)),
        Mistake("noise times τ", "The noise grows with τ on top of the division: these are the frequencies for τ². Divide the logits, and leave the noise as it is.",
                lambda h, tau: routing.softmax(h, tau**2)),
        Mistake("multiplied", "These are the frequencies of h·τ + noise: you multiplied the logits by τ, or divided the noise in their place. Divide the logits, and leave the noise as it is.",
                lambda h, tau: routing.softmax(h, 1 / tau)),
        Mistake("noise on probabilities", "You added the noise to probabilities. It belongs on the logits h/τ (or on ln p).",
                lambda h, tau: routing.softmax(routing.softmax(h, tau))),
        Mistake("Gaussian noise", "These are the frequencies of Gaussian noise. Only Gumbel noise, −ln(−ln U), gives the softmax's.",
                lambda h, tau: gaussian_race(h / tau)),
        Mistake("wrong sign", "Your Gumbel noise has the wrong sign. It is −ln(−ln U), and it is added.", lambda h, tau: mirrored_race(h / tau)),
        Mistake("one logarithm", "Your noise is −ln U. Gumbel noise takes the logarithm twice: −ln(−ln U).", lambda h, tau: exponential_race(h / tau)),
        Mistake("uniform noise", "These are the frequencies of uniform noise between 0 and 1. Turn U into Gumbel noise: −ln(−ln U).",
                lambda h, tau: uniform_race(h / tau)),
        Mistake("logits not used", "All experts come equally often: the logits play no part.", lambda h, tau: np.full(len(h), 1 / len(h))),
        Mistake("logits turned round", "The expert with the smallest logit comes most often: a sign is turned round.",
                lambda h, tau: routing.softmax(-h, tau)),
        Mistake("smallest taken", "You took the smallest noisy logit. Take the largest: argmax.", lambda h, tau: mirrored_race(-h / tau)),
    ),
)  # fmt: skip


# --- 3.4 a geometric annealing schedule ---------------------------------------------------------------------------


def schedule_cases(rng: np.random.Generator) -> list[tuple]:
    """Start, end and number of steps: falling, then rising, then the shortest."""
    return [
        (4.0, 0.25, 5),
        (round(float(rng.uniform(2, 8)), 1), round(float(rng.uniform(0.05, 0.5)), 2), int(rng.integers(6, 12))),
        (0.5, round(float(rng.uniform(2, 4)), 1), 7),
        (3.0, 1.0, 2),
    ]


def way(steps: int) -> np.ndarray:
    """Return the share of the way at each step, from 0 to 1. (steps,)."""
    return np.arange(steps) / (steps - 1)


def buggy_schedule(start: float, end: float, steps: int) -> np.ndarray:
    """Return what the code in the exercise returns, with both of its bugs. (steps,)."""
    return start * (start / end) ** (np.arange(steps) / steps)


SCHEDULE = FunctionQuestion(
    id="3.4",
    title="A geometric schedule with two bugs",
    kind="find the bug",
    points=2,
    minutes=6,
    difficulty="easy",
    hints=(
        "Work out the three values from 4 to 1 by hand: which number takes you from each to the next?",
        "How many times is the ratio applied between the first and the last of `steps` values? And must it be above or below 1 for τ to fall?",
    ),
    idea="From the first to the last of n values there are n − 1 equal ratios, so each is (end/start)^(1/(n − 1)).",
    answer="my_schedule",
    parameters=("start", "end", "steps"),
    cases=schedule_cases,
    reference=np.geomspace,
    mistakes=(
        Mistake("both bugs", "This is still what the given code returns. Print it from 4 to 1 in three steps: both bugs show.", buggy_schedule),
        Mistake("one ratio too many", "It starts right and never arrives: between n values lie n − 1 ratios, not n.",
                lambda start, end, steps: start * (end / start) ** (np.arange(steps) / steps)),
        Mistake("two ratios too many", "It starts right and never arrives: between n values lie n − 1 ratios, not n + 1.",
                lambda start, end, steps: start * (end / start) ** (np.arange(steps) / (steps + 1))),
        Mistake("ratio upside down", "It moves away from the end instead of towards it: the ratio is upside down.",
                lambda start, end, steps: start * (start / end) ** way(steps)),
        Mistake("starts late", "It arrives at the end, but the first value is not the start: step 0 has taken a ratio already.",
                lambda start, end, steps: start * (end / start) ** (np.arange(1, steps + 1) / steps)),
        Mistake("one ratio ahead", "The ratio is right, but each value has taken one too many: the first is not the start, and the last goes past the end. Count the exponents from 0.",
                lambda start, end, steps: start * (end / start) ** ((np.arange(steps) + 1) / (steps - 1))),
        Mistake("one value too few", "Right as far as it goes, but the last value, the end, is missing: return `steps` values.",
                lambda start, end, steps: np.geomspace(start, end, steps)[:-1]),
        Mistake("one value too many", "The values are right for one step more: you return steps + 1 of them. Both ends are among the `steps` values.",
                lambda start, end, steps: np.geomspace(start, end, steps + 1)),
        Mistake("linear", "Both ends are right, but these values have equal differences. Geometric means equal ratios.", np.linspace),
        Mistake("cosine", "Both ends are right, but this is the cosine schedule. Geometric means equal ratios.",
                lambda start, end, steps: end + (start - end) * (1 + np.cos(np.pi * way(steps))) / 2),
        Mistake("decays towards the end", "The distance to the end shrinks by a constant ratio, so the end is never reached. The value itself must shrink by one.",
                lambda start, end, steps: end + (start - end) * (end / start) ** way(steps)),
        Mistake("turned round", "Right values, from the end to the start.", lambda start, end, steps: np.geomspace(end, start, steps)),
        Mistake("logarithms", "These are the logarithms of the values. Take the exponential.",
                lambda start, end, steps: np.log(np.geomspace(start, end, steps))),
        Mistake("without the start", "These are the powers of the ratio alone. Multiply by the start.",
                lambda start, end, steps: (end / start) ** way(steps)),
    ),
)  # fmt: skip


# --- 3.5 probabilities that select otherwise than the logits --------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SelectionQuestion(VariableQuestion):
    """Any logits and τ are right for which the float32 probabilities have another top-2 than the logits."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Take the softmax of the learner's logits in float32, and both selections."""
        value = reply["value"]
        if not isinstance(value, dict) or not {"logits", "tau"} <= set(value):
            return Verdict(False, f"Expected a dict with the keys 'logits' and 'tau'. Came {describe(value)}.")
        given, tau = stacked(value["logits"]), single_number(value["tau"])
        if tau is None or not np.isfinite(tau):
            return Verdict(False, "'tau' should be one finite number.")
        fault = example_fault(given, tau)
        if fault:
            return Verdict(False, *fault)
        h = given.astype(np.float32)  # (N,)
        p = routing.softmax(h, tau)  # (N,)
        why, name = selection_fault(given, h, p, tau)
        return Verdict(not name, f"{why}\n{selections(h, p)}".strip(), name)


def example_fault(given: Any, tau: float) -> tuple[str, str | None] | None:
    """Say why logits and τ cannot be tried at all, and name it; None when they can."""
    if tau <= 0:
        return f"τ = {tau:g}: a temperature is above 0. (At 0 you would divide by 0; below 0 the order turns round.)", "τ not positive"  # fmt: skip
    if not isinstance(given, np.ndarray) or given.ndim != 1 or given.dtype.kind not in "fiu":
        return f"'logits' should be a list of numbers, one for each expert. Came {describe(given)}.", None
    with np.errstate(over="ignore"):
        if not np.isfinite(given.astype(np.float32)).all():
            return "Every logit should be a finite number, also in float32 (at most about 3e38).", None
    if len(given) < 3:
        return f"With {len(given)} experts there is no third one that could slip in. Take at least 3.", "too few experts"  # fmt: skip
    return None


def selection_fault(given: np.ndarray, h: np.ndarray, p: np.ndarray, tau: float) -> tuple[str, str | None]:
    """Say why the two selections do not differ, and name it; two empties when they do."""
    order, by_probability = routing.top_k(h, len(h))[1], routing.top_k(p, 2)[1]
    second, third = order[1], order[2]
    if set(order[:2]) != set(by_probability):
        return "", None
    if given[second] == given[third]:
        return "The second and the third logit are equal, so the logits themselves do not say which two are best. Pull them apart.", "tie in the logits"  # fmt: skip
    if h[second] == h[third]:
        return "Your second and third logit differ, but not in float32: it keeps about 7 digits. Widen their gap; the tie should arise in the softmax.", "tie before the softmax"  # fmt: skip
    if list(order[:2]) != list(by_probability):
        return "The same two experts, only in another order: as a set, nothing changed. The tie must lie between the second and the third.", "only the order"  # fmt: skip
    if p[second] == p[third]:
        return "Nearly: second and third do tie in the probabilities. But of equals the lower index comes first, and here that is the right one. Exchange the two.", "tie falls right"  # fmt: skip
    if tau > 1:
        return "A higher τ evens the probabilities out, but keeps their order, as long as float32 can tell them apart. Go much further, or the other way.", "still in order, high τ"  # fmt: skip
    return "Second and third are still told apart by their probabilities. Make both so small that float32 has nothing but 0 for them.", "still in order"  # fmt: skip


def selections(h: np.ndarray, p: np.ndarray) -> str:
    """Write down both selections and the first probabilities."""
    by_logit, by_probability = (", ".join(f"E{i + 1}" for i in routing.top_k(s, 2)[1]) for s in (h, p))
    shown = ", ".join(f"{value:.3g}" for value in p[:8]) + (", ..." if len(p) > 8 else "")
    return f"By logits: {by_logit}. By probabilities: {by_probability}. Probabilities in float32: {shown}."


SELECTION = SelectionQuestion(
    id="3.5",
    title="Probabilities that choose otherwise",
    kind="build a counterexample",
    points=2,
    minutes=8,
    difficulty="hard",
    hints=(
        "The softmax keeps the order, so nothing can overtake. But two different logits can end in the *same* float32 probability. Which of the two is then taken?",
        "Below about 1e-45 float32 has only 0, and e^(−104) is below that. Let E1 lead by so much that the others are 0, and put the better of the others last.",
    ),
    idea="Rounding maps different logits to equal probabilities, and a tie goes to the lower index: so select on logits, where the difference is still there.",
    answer="example",
)

QUESTIONS = (TEMPERED, WANTED_ENTROPY, SAMPLER, SCHEDULE, SELECTION)
