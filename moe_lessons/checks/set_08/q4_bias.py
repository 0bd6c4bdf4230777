"""Question 8.4: where a router needs a bias."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import scipy

from moe_lessons.checks.forms import Fields, Numbers, row
from moe_lessons.checks.question import VariableQuestion, about
from moe_lessons.checks.values import describe
from moe_lessons.checks.verdicts import Facts, Fault, always, by_test

DIRECTIONS = 240  # wedges by steps of 1.5°, a third of the angle that a token at distance LARGEST·√2 varies by
LARGEST = 10.0  # of a mean's coordinates
WITHOUT, WITH = 0.85, 0.95  # accuracy that no router without a bias may exceed, and one that yours must reach
CLOUD = 10_000  # tokens of each domain, to measure a given bias with


def angular_mass(mean: np.ndarray) -> np.ndarray:
    """Return how much of a Gaussian around mean (2,), standard deviation 1, lies in each direction. (DIRECTIONS,)."""
    phi = (np.arange(DIRECTIONS) + 0.5) * 2 * np.pi / DIRECTIONS
    r = mean @ np.stack([np.cos(phi), np.sin(phi)])  # (DIRECTIONS,): how far the mean reaches in this direction
    across = mean @ mean - r**2
    density = np.exp(-mean @ mean / 2) / np.sqrt(2 * np.pi) + r * np.exp(-across / 2) * scipy.special.ndtr(r)
    return density / density.sum()


def best_without_bias(means: np.ndarray) -> float:
    """Return the largest accuracy that a linear router without a bias can have. means (2 or 3, 2), σ = 1.

    Without a bias the winner depends on a token's direction only, and each expert wins in one wedge of at most 180°:
    all such wedges are tried. The domains are equally likely.
    """
    mass = np.stack([angular_mass(mean) for mean in means])  # (D, directions)
    twice = np.concatenate([np.zeros((len(means), 1)), np.cumsum(np.tile(mass, 2), axis=1)], axis=1)
    start, half = np.arange(DIRECTIONS)[:, None], DIRECTIONS // 2
    if len(means) == 2:
        first, second = np.array([half]), np.array([half])
    else:
        first, second = (a.ravel() for a in np.mgrid[: half + 1, : half + 1])
        first, second = first[first + second >= half], second[first + second >= half]
    ends = [start, start + first, start + first + second, start + DIRECTIONS]
    orders = [(0, 1)] if len(means) == 2 else [(0, 1, 2), (0, 2, 1)]
    won = [sum(twice[i][b] - twice[i][a] for i, a, b in zip(order, ends, ends[1:], strict=False)) for order in orders]
    return float(max(w.max() for w in won) / len(means))


def accuracy_with(means: np.ndarray, bias: np.ndarray) -> float:
    """Return how often the largest x·μ_i + b_i belongs to the domain of x, over fixed draws. means (D, 2), bias (D,)."""
    noise = np.random.default_rng(84).normal(size=(CLOUD, 2))
    noise = np.concatenate([noise, -noise])  # (2 · CLOUD, 2)
    right = [((mean + noise) @ means.T + bias).argmax(axis=1) == i for i, mean in enumerate(means)]
    return float(np.mean(right))


class Counterexample(Fields):
    """Means and a bias that fits them."""

    def read(self, value: Any) -> dict[str, Any] | Fault:
        """Return both, or a `Fault`."""
        found = super().read(value)
        if not isinstance(found, Fault) and len(found["bias"]) != len(found["means"]):
            many, came = len(found["means"]), describe(found["bias"])
            return Fault(None, f"'bias': expected one finite number for each of your {many} domains. Came {came}.")
        return found


def measured(value: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the best accuracy with a bias and without, that with the learner's, and what explains them."""
    means, bias = value["means"], value["bias"]  # (D, 2), (D,)
    squares = (means**2).sum(axis=1)  # (D,)
    nearest = min(np.linalg.norm(a - b) for i, a in enumerate(means) for b in means[:i])
    best, free, reached = accuracy_with(means, -squares / 2), best_without_bias(means), accuracy_with(means, bias)
    found = {"means": means, "bias": bias, "squares": squares, "norms": np.sqrt(squares), "nearest": nearest}
    return {**found, "best": best, "free": free, "reached": reached, "odd": odd_one(means, bias)}


def needs_none(found: Facts) -> bool:
    """Tell whether a router without a bias is good enough."""
    return found.free > WITHOUT


def will_do(found: Facts) -> bool:
    """Tell whether means and bias are as asked."""
    return found.best >= WITH and found.reached >= WITH and not needs_none(found)


def bias_is(formula: Callable[[np.ndarray], np.ndarray]) -> Callable[[Facts], bool]:
    """Return the test of a bias that is formula(|μ|²), but for one number for all, which no argmax sees."""

    def seen(found: Facts) -> bool:
        expected = formula(found.squares)  # (D,)
        return bool(np.ptp(found.bias - expected) <= 0.01 * max(1.0, np.ptp(expected)))

    return seen


def favours_long_means(found: Facts) -> bool:
    """Tell whether of any two means that differ in length the longer one has the larger bias."""
    longer = found.squares[:, None] > found.squares + 1e-6  # (D, D)
    return bool((found.bias[:, None] - found.bias)[longer].min(initial=np.inf) > 0)


def is_border(found: Facts) -> bool:
    """Tell whether the bias differs between two means by how far their border is from the origin, in their direction."""
    if len(found.means) > 2:
        return False
    apart = found.means[1] - found.means[0]  # (2,)
    place = float(found.means.mean(axis=0) @ apart) / np.linalg.norm(apart)
    return bool(abs(found.bias[0] - found.bias[1] - place) <= 0.01 * abs(place))


def in_other_order(found: Facts) -> bool:
    """Tell whether the right bias of three means stands in another order."""
    orders = map(list, permutations(range(3))) if len(found.bias) == 3 else []
    return any(bias_is(lambda q: -q / 2)(Facts(bias=found.bias, squares=found.squares[order])) for order in orders)


def fits_columns(found: Facts) -> bool:
    """Tell whether means in columns would be right with this bias, which is not that of rows with the wrong sign."""
    if found.means.shape != (2, 2) or bias_is(lambda q: q / 2)(found):
        return False
    turned = Facts(**measured({"means": found.means.T, "bias": found.bias}))
    return bias_is(lambda q: -q / 2)(turned) and will_do(turned)


def times_too_large(found: Facts) -> float:
    """Return by what factor the bias is larger than −|μ|²/2 asks for, up to one number for all; NaN if by none."""
    wanted, came = (each - each.mean() for each in (-found.squares / 2, found.bias))  # (D,) each
    times = float(came @ wanted / (wanted @ wanted))
    return times if np.allclose(came, times * wanted, atol=0.02 * np.ptp(came), rtol=0) else np.nan


def odd_one(means: np.ndarray, bias: np.ndarray) -> int | None:
    """Return which of three means (3, 2) the bias does not fit, where it is right between the other two; or None."""
    off = bias + (means**2).sum(axis=1) / 2  # (D,): one number for all where the bias is right
    pairs = [(i, j) for i in range(len(off)) for j in range(i) if abs(off[i] - off[j]) <= 0.01 * np.ptp(off)]
    return 3 - sum(pairs[0]) if len(off) == 3 and len(pairs) == 1 else None


NAMED = "The means are a counterexample."

BIAS = VariableQuestion(
    **about("8.4", "Where a router needs a bias", "build a counterexample", "hard", points=3, minutes=9),
    hints=(
        "Without a bias, x and 2x go to the same expert. So the router sees only the direction of a token. Which two domains look alike to someone who sees only directions?",
        "Put two means on one ray from the origin, far enough apart. For the bias: the nearest mean is the one with the smallest |x − μ|² = |x|² − 2x·μ + |μ|². |x|² is the same for all experts.",
    ),
    idea="A linear router without a bias cuts space into wedges from the origin, so it cannot tell a short mean from a long one in the same direction; −|μ|²/2 moves the border between them.",
    takeaway="Without a bias a linear router's choice sees the direction of a token and never its length (its weights do see it); a bias, or a norm that evens out lengths, decides whether that matters.",
    answer="my_counterexample",
    form=Counterexample(
        {
            "means": Numbers(
                f"two or three rows of two numbers from −{LARGEST:g} to {LARGEST:g}",
                lambda means: means.shape in ((2, 2), (3, 2)),
                unlike=by_test(
                    f": each number must lie between −{LARGEST:g} and {LARGEST:g}. Yours: {{value}}.",
                    lambda means: not (np.abs(means) <= LARGEST).all(),
                ),
            ),
            "bias": row("one finite number for each domain"),
        }
    ),
    measured=measured,
    right=will_do,
    mistakes=by_test(
        "means as columns: Your bias is right for means that stand in *columns*. Each mean is a row of two numbers.",
        fits_columns,
        "too close: Your domains overlap: even the best rule confuses them too often. The nearest two means are {nearest:.2f} apart; the tokens spread by 1.",
        lambda found: found.best < WITH,
        "equal norms: Your means have equal norms, {norms[0]:.2f}. Then the bias −|μ|²/2 is the same for all, and can be left out: a router without one is as good.",
        lambda found: needs_none(found) and np.ptp(found.norms) <= 0.01 * found.norms.max(),
        "opposite sides: Your two means lie on opposite sides of the origin, so a line through the origin separates them. No bias is needed.",
        lambda found: needs_none(found) and len(found.means) == 2 and found.means[0] @ found.means[1] < 0,
        "different directions: The norms differ, but so do the directions: a router without a bias sees directions, and that is enough here. Which means can it not tell apart, however long they are?",
        needs_none,
        f"bias of equals: {NAMED} But your bias is the same for all domains, so it changes nothing.",
        bias_is(lambda q: 0 * q),
        f"another order: {NAMED} But the entries of your bias stand in another order than your means.",
        in_other_order,
        f"bias with the wrong sign: {NAMED} But your bias has the wrong sign, or its entries are swapped: a long mean wins too often by itself, and must be held back. (Each mean is a *row*.)",
        favours_long_means,
        f"half forgotten: {NAMED} But your bias is −|μ|²; it is half of that. Write out |x − μ|² and see what remains beside x·μ.",
        bias_is(lambda q: -q),
        f"a length: {NAMED} But your bias goes with lengths: with |μ|, or with how far the border is from the origin. Write out |x − μ|²: what remains beside x·μ is a *square*.",
        (bias_is(lambda q: -np.sqrt(q)), bias_is(lambda q: -np.sqrt(q) / 2), is_border),
        f"bias too strong: {NAMED} But your bias holds the long mean back too much. Where is a token as near to one mean as to the other? There both must have the same h.",
        lambda found: times_too_large(found) > 1,
        f"bias too weak: {NAMED} But your bias does not hold the long mean back enough. Where is a token as near to one mean as to the other? There both must have the same h.",
        lambda found: times_too_large(found) < 1,
        f"one entry off: {NAMED} And your bias is right between two of them. But its entry {{odd}}, counted from 0, does not fit: a token that is as near to that mean as to another must have the same h for both.",
        lambda found: found.odd is not None,
        f": {NAMED} But your bias does not fit them. A token that is as near to one mean as to another must have the same h for both: try each pair.",
        always,
    ),
    report=f"Best accuracy with a bias {{best:.3f|{WITH}}} (at least {WITH:g}), without {{free:.3f|{WITHOUT}}} (at most {WITHOUT:g}). With yours: {{reached:.3f|{WITH}}}.",
)
