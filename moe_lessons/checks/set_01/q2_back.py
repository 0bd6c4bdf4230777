"""Question 1.2: from the gate weights back to the logits."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import draw_logits
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree, is_floats
from moe_lessons.checks.verdicts import by_test, by_trace, by_value

SMALL = 1e-4  # weights below it are lost by a threshold, or by a number added inside the logarithm


def log_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (weights, largest) for k = 2, 1, N and 4; the first logit is neither the largest nor the smallest, and so is
    the last where all are selected. The largest is once negative.

    In the last log the weights lie up to 15 orders of magnitude apart.
    """
    apart = np.r_[0, rng.uniform(1, 2), rng.uniform(10, 12), rng.uniform(25, 35), rng.uniform(40, 60, size=3)]
    drawn = [(draw_logits(rng, 5) + 2, 2), (draw_logits(rng, 4), 1), (draw_logits(rng, 6) - 9, 6)]
    cases = []
    for h, k in (*drawn, (3 - rng.permutation(apart).round(2), 4)):
        inner = (h < h.max()) & (h > h.min())  # (N,)
        first = inner & (np.roll(inner, 1) if k == len(h) else True)  # (N,), which may come first
        h = np.roll(h, -rng.choice(np.flatnonzero(first)))  # (N,)
        cases.append((routing.gate_weights(h, k), float(h.max())))
    return cases


def back(w: np.ndarray, largest: float) -> np.ndarray:
    """Return the logits of the selected experts from their weights w (k,) and the largest logit. (k,)."""
    return largest + np.log(w / w.max())  # (k,)


def with_cut(cut: float | Callable) -> Callable:
    """Return the function of (weights, largest) with the right logits, and `cut` (of them) for the others. (N,)."""

    def logits(weights: np.ndarray, largest: float) -> np.ndarray:
        known = back(weights[weights > 0], largest)  # (k,)
        found = np.full(len(weights), cut(known) if callable(cut) else cut, dtype=float)  # (N,)
        found[weights > 0] = known
        return found

    return logits


def without_smallest(weights: np.ndarray, largest: float) -> np.ndarray:
    """Return the right logits of all whose weight is above the smallest. (N,)."""
    return np.where(weights > weights.min(), with_cut(np.nan)(weights, largest), np.nan)


def next_better(w: np.ndarray) -> np.ndarray:
    """Return for each of w (k,) the next larger one; for the largest itself. (k,)."""
    order = np.argsort(-w)  # (k,)
    better = w.copy()
    better[order[1:]] = w[order[:-1]]
    return better


def of_selected(formula: Callable) -> Callable:
    """Return a test: is an answer `formula` of the selected weights (k,) and the largest logit, whatever the cut get?"""

    @np.errstate(all="ignore")  # a lone weight is 1: its logarithm is 0
    def seen(value: Any, weights: np.ndarray, largest: float) -> bool:
        chosen = weights > 0  # (N,)
        return is_floats(value, weights.shape) and agree(value[chosen], formula(weights[chosen], largest))

    return seen


def two_only(value: Any, weights: np.ndarray, largest: float) -> bool:
    """Tell whether an answer knows the two largest weights and no other, whatever it gives the rest."""
    two = np.argsort(-weights)[:2]  # (2,)
    right = with_cut(np.nan)(weights, largest)[two]  # (2,)
    return is_floats(value, weights.shape) and (
        agree(value[two[weights[two] > 0]], right[weights[two] > 0]) and not np.isfinite(np.delete(value, two)).any()
    )


def in_size_order(value: Any, weights: np.ndarray, largest: float) -> bool:
    """Tell whether an answer has the right logits, the largest first, in the first places or in those of the selected."""
    chosen = weights > 0  # (N,)
    logits = -np.sort(-back(weights[chosen], largest))  # (k,)
    return is_floats(value, weights.shape) and (agree(value[chosen], logits) or agree(value[: len(logits)], logits))


def some_number(value: Any, weights: np.ndarray, largest: float) -> bool:
    """Tell whether the selected of ordinary weight are right, and an expert that was cut got a finite number."""
    ordinary, cut = weights >= SMALL, weights == 0  # (N,) each
    right = with_cut(np.nan)(weights, largest)  # (N,)
    return is_floats(value, weights.shape) and agree(value[ordinary], right[ordinary]) and np.isfinite(value[cut]).all()


def small_lost(value: Any, weights: np.ndarray, largest: float) -> bool:
    """Tell whether an answer is right but for what it gives the experts of very small weight."""
    ordinary = (weights == 0) | (weights >= SMALL)  # (N,)
    return is_floats(value, weights.shape) and agree(value[ordinary], with_cut(np.nan)(weights, largest)[ordinary])


BACK = FunctionQuestion(
    **about("1.2", "What the log still knows", "write it", "medium", points=3, minutes=10),
    hints=(
        "A gap between two logits is a ratio between two weights. Of the best expert you know the logit. How far below it does another one lie?",
        "The gap to the best expert is the logarithm of `weights / weights.max()`, for all experts with a weight above 0. Begin with `np.full(len(weights), np.nan)` and fill those in.",
    ),
    idea="The sum that the weights were divided by cancels in every ratio, so log(w_i / w_j) = h_i − h_j. One known logit fixes the level. An expert that was cut is in no ratio: its logit is gone.",
    takeaway="Renormalised weights look the same whether the selected experts held nearly all of the probability or only a little: to know that, log the probabilities too.",
    answer="my_logits_back",
    parameters=("weights", "largest"),
    cases=log_cases,
    quiet=True,
    reference=with_cut(np.nan),
    mistakes=by_value(
        "0 for the cut: The selected are right. But 0 is a logit like any other, and the log does not say that a cut expert had it. What nobody can know is `np.nan`.",
        with_cut(0),
        "−∞ for the cut: The selected are right. But a cut expert had an ordinary logit: it only came after the k largest. The log does not say which: `np.nan`.",
        with_cut(-np.inf),
        "border for the cut: The selected are right. For the cut you returned the smallest selected logit: theirs lie somewhere below it, and nothing tells where. Return `np.nan`.",
        with_cut(np.min),
        "largest for the cut: The selected are right. For the cut you returned the largest logit. Theirs are lower, and nothing tells by how much. Return `np.nan`.",
        with_cut(np.max),
        "smallest lost: Right, but where all N were selected the one with the smallest weight is lost. Selected is whose weight is above 0, not above the smallest.",
        without_smallest,
        "only the selected: The right logits, but only those of the selected. Return one for each of the N experts, `np.nan` for the others.",
        lambda weights, largest: back(weights[weights > 0], largest),
        "forward: This is the lesson's softmax, taken once more. That leads from logits to probabilities. Asked is the way back.",
        (
            lambda weights, largest: routing.softmax(weights),
            lambda weights, largest: np.exp(weights) / np.exp(weights[weights > 0]).sum() * (weights > 0),
        ),
    )
    + by_test(
        "nan everywhere: All of yours are nan, those of the selected, too. One nan or −∞ in a sum or a maximum spreads to all; and what is assigned to a copy, as in `h[chosen][:] = ...`, is lost.",
        lambda value, weights, largest: is_floats(value, weights.shape) and np.isnan(value).all(),
        "weights returned: These are the weights themselves. Gaps between logits are logarithms of their ratios.",
        of_selected(lambda w, largest: w),
        "no level: You took the logarithms of the weights and no more. Their gaps are right, their level is not: the largest of your logits should be `largest`.",
        of_selected(lambda w, largest: np.log(w)),
        "largest at 0: Your gaps are right, and your largest logit is 0. It was logged: add `largest`.",
        of_selected(lambda w, largest: np.log(w / w.max())),
        "weight for probability: You added `largest` to the logarithms of the weights. But the best expert's weight is not 1, so its logarithm is not 0: the largest of your logits should be `largest`.",
        of_selected(lambda w, largest: largest + np.log(w)),
        "level for the best only: The best expert has `largest`, the others have the logarithm of their weight alone. All are raised by the same amount.",
        of_selected(lambda w, largest: np.where(w == w.max(), largest, np.log(w))),
        "sign of the logarithm: You subtracted the logarithm of the weight. It is below 0, and lower for a smaller weight: the smaller the weight, the lower the logit.",
        (of_selected(lambda w, largest: largest - np.log(w)), of_selected(lambda w, largest: -np.log(w))),
        "inverse of the sigmoid: You took ln(w / (1 − w)), which undoes a sigmoid. These weights come from a softmax: it is the ratio of two *weights* that counts.",
        (
            of_selected(lambda w, largest: np.log(w / (1 - w))),
            of_selected(lambda w, largest: largest + np.log(w / (1 - w))),
        ),
        "log forgotten: You scaled the weights so that the largest becomes `largest`. A ratio of weights is no ratio of logits: it is a gap between them.",
        of_selected(lambda w, largest: largest * w / w.max()),
        "ratio for gap: You subtracted from `largest` the ratio of the weights itself. The gap is its logarithm.",
        of_selected(lambda w, largest: largest - w.max() / w),
        "gap added: You added the gaps. The known logit is the largest one: all others lie below it.",
        of_selected(lambda w, largest: largest - np.log(w / w.max())),
        "next for best: You took the gap of each to the next better one, and subtracted that from `largest`. Add the gaps up, or divide by the largest weight.",
        of_selected(lambda w, largest: largest + np.log(w / next_better(w))),
        "even share for best: You compared each weight with an even share, so all logits are too high by one number. `largest` belongs to the largest weight: compare with that.",
        of_selected(lambda w, largest: largest + np.log(w * len(w))),
        "gap of the weights: You took the difference between two weights for the gap between two logits. The gap is the logarithm of their *ratio*.",
        of_selected(lambda w, largest: largest + w - w.max()),
        "weight added: You added the weight itself to `largest`. The gap to the best is the logarithm of a ratio of weights.",
        of_selected(lambda w, largest: largest + w),
        "base 2: You took the logarithm to base 2. The softmax uses e, so take the natural one.",
        of_selected(lambda w, largest: largest + np.log2(w / w.max())),
        "base 10: You took the logarithm to base 10. The softmax uses e, so take the natural one.",
        of_selected(lambda w, largest: largest + np.log10(w / w.max())),
        "first for best: You gave `largest` to the first or the last expert with a weight. It belongs to the one with the largest weight.",
        (
            of_selected(lambda w, largest: largest + np.log(w / w[0])),
            of_selected(lambda w, largest: largest + np.log(w / w[-1])),
        ),
        "smallest for best: You gave `largest` to the expert with the smallest weight. The larger a weight, the larger the logit.",
        of_selected(lambda w, largest: largest + np.log(w / w.min())),
        "mean for best: You gave `largest` to the mean of the selected logits. It belongs to the best of them.",
        of_selected(lambda w, largest: largest + np.log(w) - np.log(w).mean()),
        "exponential: You took exponentials. The softmax did so on the way to the weights; the way back takes the logarithm.",
        (of_selected(lambda w, largest: np.exp(w)), of_selected(lambda w, largest: largest + np.exp(w))),
        "level multiplied: You multiplied by `largest`. It sets the level: it is added to the gaps.",
        (
            of_selected(lambda w, largest: largest * np.log(w)),
            of_selected(lambda w, largest: largest * np.log(w / w.max())),
            of_selected(lambda w, largest: largest * np.log(w) / np.log(w).max()),
            of_selected(lambda w, largest: largest * w),
        ),
        "k is 2: Right for two selected experts only. How many there are, from one to all N, you see from the weights.",
        two_only,
        "small weights lost: Right, but for very small weights. They are small and not 0, so their experts were selected: ask for `weights > 0`, and add nothing inside the logarithm.",
        small_lost,
        "number for the cut: The selected are right, those of very small weight aside. The cut got a number, though the log does not say which logit they had: return `np.nan`. If you add a small number inside the logarithm, leave it out: it also changes very small weights.",
        some_number,
        "order lost: These are the right logits in the order of their size. Each belongs in the place of its own weight.",
        in_size_order,
    )
    + by_trace(
        "None for the cut: What nobody can know is a number that is none, `np.nan`. `None` makes no array of numbers.",
        lambda value, *_: isinstance(value, list) and any(entry is None for entry in value),
    ),
)
