"""Question 3.2: the τ for a wanted entropy."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy

from moe_lessons import metrics, routing
from moe_lessons.checks.forms import Numbers
from moe_lessons.checks.question import Data, PropertyQuestion, Reply, about
from moe_lessons.checks.verdicts import Facts, Fault, Verdict, by_test, by_trace

LOWEST = 745.13  # e to the power of minus this is the smallest number above 0
CLOSE, NEAR = 1e-4, 5e-3  # nats: of a right answer; of a mistake, as a search may find it


def tempered_entropy(h: np.ndarray, tau: float) -> float:
    """Return the entropy of softmax(h/τ) in nats."""
    return float(metrics.entropy(routing.softmax(h, tau)))


def temperature_for(h: np.ndarray, target: float) -> float:
    """Return the τ whose softmax of h (N,) has the entropy `target`, in nats."""
    middle = np.log(np.ptp(h))
    return float(
        np.exp(scipy.optimize.brentq(lambda u: tempered_entropy(h, np.exp(u)) - target, middle - 12, middle + 12))
    )


def entropy_cases(rng: np.random.Generator) -> list[tuple]:
    """Logits of ordinary, wide and narrow spread, each with an entropy between nearly none and nearly all of ln N.

    Five cases are fixed. Two need a τ above 100 and one below 0.01: no search from 0.01 to 100 passes by chance. One
    needs a τ of four times the spread of its logits, more than a guess from the spread alone would allow. In one
    the two best are nearly alike, and all N have to share: the gap at the top tells nothing of the τ. In the last
    one, some p are 0 at the τ that is wanted: p ln p is NaN there for who computes it as it stands.
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
    far = (np.array([-1.0, -290.0, 0.0, -300.0]), 0.225)  # τ is 0.36, and e^(−290 / 0.36) is 0
    alike = (np.array([5.0, 5.02, -100.0, -300.0]), 1.0)  # ln 2, which two can have, is 0.69
    wide, narrow = (np.array([-300.0, 0.0, 200.0, 100.0]), 1.2), (np.array([0.02, 0.0, 0.05, 0.01]), 0.2)
    return [*cases, wide, narrow, even, alike, far]


def temperature_found(value: Any, h: np.ndarray, target: float) -> dict[str, Any] | Fault:
    """Return τ, the right one, and by how far the entropy that τ gives misses the target; a fault if it is no number."""
    if isinstance(value, dict) and {"root", "x"} & set(value):
        return Fault("whole report", "You return the solver's whole report. The number is in its `.root` (or `.x`).")
    number = Numbers("one number, the temperature", lambda array: array.size == 1, returned=True).read(value)
    if isinstance(number, Fault):
        return number
    tau = number.item()
    possible = 0 < tau < np.inf
    entropy = tempered_entropy(h, tau) if possible else np.inf
    gives = f"gives an entropy of {entropy:.5f} nats" if possible else "is no temperature"
    known = {"h": h, "target": target, "tau": tau, "right": temperature_for(h, target)}
    return {**known, "possible": possible, "gives": gives, "entropy": entropy, "off": abs(entropy - target)}


def gives(wrong: Callable) -> Callable:
    """Return the test that the entropy is wrong(target, ln N), or the largest there is, if that lies below."""

    def test(found: Any) -> bool:
        most = np.log(len(found.h))
        return bool(abs(found.entropy - min(wrong(found.target, most), most)) < NEAR)

    return test


def lost_to_nan(found: Any) -> bool:
    """Tell whether τ is right, or a p is 0 at the right one and the search ran to where none is, or down to nothing."""
    if found.off <= CLOSE:
        return True
    spread = np.ptp(found.h)
    p = routing.softmax(found.h, found.right)  # (N,)
    return bool(not p.all() and (found.tau < 1e-6 * spread or abs(found.tau * LOWEST / spread - 1) < 0.02))


def at_an_end(found: Any) -> bool:
    """Tell whether all experts are alike or one has everything: where a search ends that keeps the wrong half."""
    return found.possible and min(found.entropy, np.log(len(found.h)) - found.entropy) < 2e-3


def is_about(wrong: Callable) -> Callable:
    """Return the test that τ is wrong(found), as nearly as a search may find it."""
    return lambda found: np.isclose(found.tau, wrong(found), rtol=2e-3, atol=0)


def is_rounded(found: Any) -> bool:
    """Tell whether τ is the right one with a few decimals."""
    return any(np.isclose(found.tau, np.round(found.right, n), rtol=1e-9, atol=0) for n in range(1, 5)) or (
        found.tau in (0.1, 0.01, 0.001) and found.right < found.tau
    )


def is_exponential(found: Any) -> bool:
    """Tell whether e to the entropy is the target, or the entropy next to 0 where that cannot be."""
    room = NEAR if found.target > 1 else 0.02
    return bool(abs(found.entropy - max(np.log(found.target), 0)) < room)


def of_the_best_two(found: Any) -> bool:
    """Tell whether τ gives the entropy to the two best logits alone, or the most that two can have, at a large τ."""
    entropy = tempered_entropy(np.sort(found.h)[-2:], found.tau) if found.possible else np.inf
    return abs(entropy - min(found.target, np.log(2))) < NEAR


def by_the_best(found: Any) -> bool:
    """Tell whether −ln p of the best expert is the target."""
    return found.possible and abs(np.log(routing.softmax(found.h, found.tau).max()) + found.target) < NEAR


# What an interval of τ may be measured by, and how it is called.
SCALES: dict[str, Callable] = {
    "": lambda h: 1.0,
    " times the spread of the logits": np.ptp,
    " times the smallest gap": lambda h: np.diff(np.unique(h)).min(),
    " times the largest gap": lambda h: np.diff(np.sort(h)).max(),
    " times the gap between the two best": lambda h: np.diff(np.sort(h)[-2:]).item(),
    " times the standard deviation": np.std,
}


def measured_by(scale: Callable, found: list[Facts]) -> np.ndarray:
    """Return the temperatures that came and the right ones, measured by a scale of the logits. (2, cases)."""
    return np.array([(f.tau / scale(f.h), f.right / scale(f.h)) for f in found]).T


def fixed_share(found: list[Facts]) -> str:
    """Say what τ always is, measured by one of the SCALES; nothing if it is not."""
    for words, scale in SCALES.items():
        tau, _ = measured_by(scale, found)
        if np.ptp(tau) <= 1e-9 * tau.max():
            return f"{tau[0]:.3g}{words}"
    return ""


def end_of_interval(found: list[Facts]) -> str:
    """Say where a search ends that is right in between, measured by one of the SCALES; nothing if it does not."""
    for words, scale in SCALES.items():
        tau, right = measured_by(scale, found)
        low, high = tau.min(), tau.max()
        stopped = ((low, tau > 1.01 * right), (high, tau < 0.99 * right))
        ends = [end for end, off in stopped if is_end(end, off & np.isclose(tau, end, rtol=1e-6, atol=0))]
        if ends and np.allclose(tau, np.clip(right, low, high), rtol=1e-2, atol=0):
            return " and at ".join(f"{end:.3g}" for end in ends) + words
    return ""


def one_sided(found: list[Facts]) -> str:
    """Say whether τ is too low or too high wherever it misses, if it is right in half of the cases or more."""
    missed = [f.tau < f.right for f in found if f.off > CLOSE]
    if len(set(missed)) != 1 or 2 * len(missed) > len(found):
        return ""
    return "low" if missed[0] else "high"


def is_end(end: float, there: np.ndarray) -> bool:
    """Tell whether a search ends here: it stopped several times, or at a power of ten."""
    return bool(there.sum() > 1 or (there.any() and np.isclose(np.log10(end) % 1, [0, 1], atol=1e-9).any()))


def is_about_any(*scales: Callable) -> Callable:
    """Return the test that τ is one of these scales of the logits times the target, or times target / ln N."""

    def test(found: Any) -> bool:
        tried = np.outer([scale(found.h) for scale in scales], found.target / np.array([1, np.log(len(found.h))]))
        return bool(np.isclose(found.tau, tried, rtol=2e-3, atol=0).any())

    return test


@dataclass(frozen=True, kw_only=True)
class TemperatureQuestion(PropertyQuestion):
    """Adds a diagnosis that compares what came for different cases."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the entropies; where nothing explains them, tell whether every τ is the same or stops at an end."""
        verdict = super().judge(data, reply)
        if verdict.correct or verdict.why:
            return verdict
        found = [temperature_found(value, *case) for value, case in zip(reply["values"], data["cases"], strict=True)]
        known = [Facts(**facts) for facts in found if isinstance(facts, dict)]  # a fault in its form has been told
        if share := fixed_share(known):
            return replace(verdict, why=SAME.format(share=share), mistake="always the same")
        if end := end_of_interval(known):
            return replace(verdict, why=STOPPED.format(end=end), mistake="end of the interval")
        if all(facts.off <= CLOSE or at_an_end(facts) for facts in known):
            return replace(verdict, why=RAN_OFF, mistake="ran off")
        if side := one_sided(known):
            return replace(verdict, why=TOO_SHORT.format(side=side), mistake="interval too short")
        return verdict


SAME = "Your τ is always {share}, whatever the target is. It must depend on the target. Or did a search stop at the end of its interval?"
STOPPED = "Right in between, but your search ends at {end}, and some need a τ beyond. What is a low τ, and a high one, depends on the spread of the logits: measure the interval by that, and make it wide."
TOO_SHORT = "Right for most. Where it misses, your τ is too {side}: does your search end before it is there? How far it must reach depends on the spread of the logits: take more than enough."
RAN_OFF = "Right in some cases. In others your τ ran to where one expert has everything, or where all are alike: there the entropy no longer changes, and steps along its slope, as Newton's, lead nowhere. Halving an interval cannot run off."


WANTED_ENTROPY = TemperatureQuestion(
    **about("3.2", "The temperature for a wanted entropy", "write it", "medium", points=3, minutes=10),
    hints=(
        "The entropy grows with τ and never turns back. So a τ that gives too little is too low, one that gives too much is too high: halve the interval between them, again and again.",
        "Search over u = ln τ, from `np.log(np.ptp(h)) - 12` to `np.log(np.ptp(h)) + 12`: what is a low τ depends on the gaps. `brentq(f, a, b)` finds where f changes its sign.",
    ),
    idea="A quantity that only grows meets each value in between exactly once, so bisection cannot fail; the spread of the logits sets the scale of τ.",
    takeaway="A τ says nothing without the spread of its logits: the same entropy may take τ = 0.01 or τ = 100, so compare routers by their entropy.",
    answer="my_temperature",
    parameters=("h", "target"),
    when_raised="If it is about NaN: p ln p is NaN at p = 0, where it should be 0; `entropy`, which the first cell imports, knows that. If it is about signs: the function must be below 0 at one end of the interval and above 0 at the other. What counts as a small τ depends on the gaps between the logits.",
    cases=entropy_cases,
    measured=temperature_found,
    right=lambda found: found.off <= CLOSE,
    mistakes=by_test(
        "bits: Your entropy is in bits (log2). The target is in nats: use the natural logarithm.",
        is_about(lambda found: temperature_for(found.h, found.target * np.log(2))),
        "inverse: This is 1/τ: you searched for the number that multiplies the logits. τ divides them.",
        is_about(lambda found: 1 / found.right),
        "natural logarithm: This is ln τ: you searched over the logarithm, which is wise. Return its exponential.",
        is_about(lambda found: np.log(found.right)),
        "decimal logarithm: This is log₁₀ τ: you searched over the logarithm, which is wise. Return 10 to its power.",
        is_about(lambda found: np.log10(found.right)),
        "scaled back: This is the right τ, divided by the spread of the logits or their standard deviation: you scaled the logits first. Scale τ back.",
        (is_about(lambda found: found.right / np.ptp(found.h)), is_about(lambda found: found.right / np.std(found.h))),
        "target returned: This is the target itself. It is an entropy; find the τ that gives it.",
        is_about(lambda found: found.target),
        "p ln p at 0: Right, except where a p is 0. In a hand-written entropy p ln p is NaN there, and a comparison with NaN is always false: the search runs the wrong way. `entropy`, which the first cell imports, knows that it is 0.",
        lost_to_nan,
        "share of ln N: You took the target for a share of ln N. It is the entropy itself, in nats.",
        gives(lambda target, most: target * most),
        "divided by ln N: Your entropy is the target divided by ln N. The target is in nats already: nothing has to be divided.",
        gives(lambda target, most: target / most),
        "nats to nats: Your entropy is the target divided by ln 2. The target is in nats, and so is `entropy(p)`: nothing has to be converted.",
        gives(lambda target, most: target / np.log(2)),
        "exponential of the entropy: You took e to the entropy, the number of experts that would be as undecided, and made that the target. The target is the entropy itself, in nats.",
        is_exponential,
        "best expert only: You took −ln p of the best expert for the entropy. It is −Σ p ln p, over all experts.",
        by_the_best,
        "best two only: Your τ is right for the two best logits by themselves. The others have their share as well: all N count.",
        of_the_best_two,
        "rounded: Right, but rounded. What is exact enough depends on the logits: return every digit.",
        is_rounded,
        "turned round: Your entropy is ln N less the target: you solved for how *decided* the router is.",
        gives(lambda target, most: most - target),
        "wrong half: Your search ends where all experts are alike, or where one has everything. Does it keep the right half? The entropy grows with τ: where it is too small, τ must rise.",
        at_an_end,
        "scaled once: You took the entropy at τ = 1 and scaled τ by what is missing. The entropy is not proportional to τ: search.",
        (
            is_about(lambda found: found.target / tempered_entropy(found.h, 1.0)),
            is_about(lambda found: tempered_entropy(found.h, 1.0) / found.target),
        ),
        "straight line: This is target / ln N. The entropy is not proportional to τ, and how fast it grows depends on the gaps: search.",
        is_about(lambda found: found.target / np.log(len(found.h))),
        "in proportion: Your τ is in proportion to the target. The entropy does not grow in proportion to τ: slowly at first, then fast, and hardly at all near ln N. Search.",
        is_about_any(np.ptp, np.std, np.max, lambda h: np.abs(h).max(), lambda h: np.diff(np.sort(h)[-2:]).item()),
        "exponential: You took the exponential of τ once more. If you search over τ itself, return it as it is.",
        is_about(lambda found: np.exp(found.right)),
    )
    + by_trace(
        "not a number: NaN: in a hand-written entropy p ln p is NaN at p = 0, where it should be 0. Use scipy.special.entr.",
        lambda found: np.isnan(found.tau),
    )
    + by_test(
        f"too coarse: Close, but not there: ask for {CLOSE:g} nats. A grid must be refined, halving must go on, and a root finder takes fewer steps. Or does your interval end a little too early?",
        lambda found: found.off < 0.05,
        "too coarse: Your τ is within a tenth of the spread of the logits each time, and that is not near enough: a search by halving must go on, a grid must be finer. Over ln τ it takes fewer steps.",
        lambda found: abs(found.tau - found.right) < 0.1 * np.ptp(found.h),
        "steps in τ: Your τ is within 0.02 of the right one each time. Where the logits differ by hundredths, that is far off: stop when the *entropy* is right, or search over ln τ.",
        lambda found: abs(found.tau - found.right) < 0.02,
    )
    + by_trace(
        "not a temperature: A temperature is finite and above 0. Search over ln τ, which keeps it there, and return the *exponential* of what you find.",
        lambda found: not found.possible,
    ),
    report="Your τ = {tau:.6g} {gives}; wanted: {target:.5f}.\nfor h = {h}",
)
