"""Question 1.3: as many experts as a token needs."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.calls import Lender
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree
from moe_lessons.checks.verdicts import Fault, by_test, by_value

NEAR = 1e-3  # no sum of the largest probabilities lies as near to a share as this: rounding decides nothing

# Width, number of experts, how many of them the token needs, and the share.
SIZES = ((3, 5, 1, 0.7), (2, 6, 2, 0.6), (4, 7, 3, 0.65), (3, 4, 4, 0.95))


def needed(probs: np.ndarray, share: float, order: np.ndarray | None = None) -> np.ndarray:
    """Return the first experts of an order that together hold `share` of probs (N,); the most probable come first."""
    order = np.argsort(-probs) if order is None else order  # (N,)
    before = np.cumsum(probs[order]) - probs[order]  # (N,), what those before hold
    return order[before < share]


def tells_orders_apart(probs: np.ndarray, share: float) -> bool:
    """Tell whether each order of going down the list selects others, and none selects all."""
    orders = (-probs).argsort(), probs.argsort(), np.arange(len(probs))
    selections = {frozenset(needed(probs, share, order)) for order in orders} | {frozenset(range(len(probs)))}
    return len(selections) == 4


def tells_shares_apart(probs: np.ndarray, share: float) -> bool:
    """Tell whether 1 − share takes two experts, `share` of the largest probability neither two nor three, 1 − share of
    it not the three that are needed, and going down by index another number than `share` of the experts."""
    by_index, of_experts = len(needed(probs, share, np.arange(len(probs)))), share * len(probs)
    apart = by_index not in (int(of_experts), np.ceil(of_experts))
    within, within_rest = (len(within_largest(probs, part)) for part in (share, 1 - share))
    return apart and len(needed(probs, 1 - share)) == 2 and within not in (2, 3) and within_rest != 3


def within_largest(probs: np.ndarray, share: float) -> np.ndarray:
    """Return the indices of the experts with at least `share` of the largest of probs (N,)."""
    return np.flatnonzero(probs >= share * probs.max())


Calls = list[tuple[int, np.ndarray]]  # of each the expert's index and what it was given

TELLING = {2: tells_orders_apart, 3: tells_shares_apart}  # by how many experts a token needs


def drawn_probabilities(rng: np.random.Generator, N: int, many: int, share: float) -> np.ndarray:
    """Return probabilities (N,) of which the `many` largest reach the share; the first is not the largest."""
    while True:
        probs = routing.softmax(rng.uniform(0.5, 1.5) * rng.normal(size=N))  # (N,)
        sums = np.cumsum(-np.sort(-probs))  # (N,)
        apart = np.abs(sums[:-1] - share).min() > NEAR and np.diff(np.sort(probs)).min() > NEAR
        telling = many not in TELLING or TELLING[many](probs, share)
        if apart and telling and len(needed(probs, share)) == many and probs.argmax():
            return probs


def share_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (x, probs, share, matrices): tokens that need one, two, three and all N experts.

    Of two or three the first hands back x itself: going down the list, and then by index.
    """
    cases = []
    for d, N, many, share in SIZES:
        probs, x = (
            drawn_probabilities(rng, N, many, share),
            rng.uniform(-0.9, 0.8, size=d).round(1) + 0.05,
        )  # (N,), (d,)
        matrices = rng.normal(size=(N, d, d))
        if many in (2, 3):
            first = needed(probs, share)[0] if many == 2 else needed(probs, share).min()
            matrices[first] = np.outer(np.arctanh(x), x) / (x @ x)
        cases.append((x, probs, share, matrices))
    return cases


class CountedExperts(Lender):
    """Experts made from matrices (N, d, d): expert i is tanh(M_i x). Notes the index of each that is called, and what it is given."""

    def __init__(self, entry: np.ndarray) -> None:
        self.matrices, self.calls = entry, list[tuple[int, np.ndarray]]()
        super().__init__(entry)

    @staticmethod
    def many(entry: np.ndarray) -> int:
        """Return the number of experts."""
        return len(entry)

    def work(self, index: int, given: Any) -> np.ndarray:
        """Return what an expert makes of x (d,)."""
        x = np.asarray(given, dtype=float)
        self.calls.append((index, x))
        return np.tanh(self.matrices[index] @ x)

    def noted(self) -> list[tuple[int, np.ndarray]]:
        """Return of each call the expert's index and what it was given, in order."""
        return self.calls


def of_outputs(weights: Callable) -> Callable:
    """Return the function of a case that weights all outputs (N, d) by `weights` of the probabilities and the share."""
    return lambda x, probs, share, matrices: weights(probs, share) @ np.tanh(matrices @ x)


def kept(probs: np.ndarray, selected: Any) -> np.ndarray:
    """Return probs (N,) with 0 in place of all that are not selected (indices or a mask)."""
    weights = np.zeros(len(probs))  # (N,)
    weights[selected] = probs[selected]
    return weights


def renormalised(probs: np.ndarray, selected: Any) -> np.ndarray:
    """Return the weights (N,) of the selected: their probabilities divided by their sum, NaN if there are none."""
    weights = kept(probs, selected)
    with np.errstate(all="ignore"):
        return weights / weights.sum()


def of_selection(selection: Callable) -> tuple[Callable, Callable]:
    """Return what comes of another selection: NaN where it is empty, or 0, as of a sum of nothing."""
    weights = lambda probs, share: renormalised(probs, selection(probs, share))  # noqa: E731
    return of_outputs(weights), of_outputs(lambda probs, share: np.nan_to_num(weights(probs, share)))


def best(probs: np.ndarray, many: int) -> np.ndarray:
    """Return the indices of the `many` largest of probs (N,), the largest first."""
    return np.argsort(-probs)[:many]


def before_the_share(probs: np.ndarray, share: float) -> np.ndarray:
    """Return the indices of the experts that are added while the sum still stays below the share."""
    order = np.argsort(-probs)  # (N,)
    return order[np.cumsum(probs[order]) < share]


def in_wrong_places(probs: np.ndarray, share: float) -> np.ndarray:
    """Return the right weights, the largest first, in the first places. (N,)."""
    return -np.sort(-renormalised(probs, needed(probs, share)))


def in_order_of_index(probs: np.ndarray, share: float) -> np.ndarray:
    """Return the right weights, the largest first, given to the selected experts in the order of their indices. (N,)."""
    selected = needed(probs, share)
    weights = np.zeros(len(probs))  # (N,)
    weights[np.sort(selected)] = renormalised(probs, selected)[selected]
    return weights


def weights_by_index(probs: np.ndarray, share: float) -> np.ndarray:
    """Return the right weights in the order of their experts' indices, given to the experts by probability. (N,)."""
    selected = needed(probs, share)
    weights = np.zeros(len(probs))  # (N,)
    weights[selected] = renormalised(probs, selected)[np.sort(selected)]
    return weights


def of_the_sorted(weigh: Callable) -> Callable:
    """Return what comes where those that run, the largest first, get the weights `weigh(their probabilities, share)`."""

    def weights(probs: np.ndarray, share: float) -> np.ndarray:
        selected = needed(probs, share)
        found = np.zeros(len(probs))  # (N,)
        found[selected] = weigh(probs[selected], share)
        return found

    return of_outputs(weights)


# What is asked for.
combined = of_outputs(lambda probs, share: renormalised(probs, needed(probs, share)))


def to_the_last(p: np.ndarray, whole: float) -> np.ndarray:
    """Return weights (k,) that are probabilities p (k,), but for the last: it gets what is missing to a whole."""
    return np.append(p[:-1], whole - p[:-1].sum())


def writes_into_x(value: Any, calls: Calls, x: np.ndarray, probs: np.ndarray, share: float, matrices: Any) -> bool:
    """Tell whether a value is right, or experts were given another x after one of them had handed back x itself."""
    same = [agree(given, x) for _, given in calls]
    if all(same):
        return agree(value, combined(x, probs, share, matrices))
    before = [index for index, _ in calls[: same.index(False)]]
    return any(agree(np.tanh(matrices[index] @ x), x) for index in before)


def not_summed(value: Any, calls: Calls, x: np.ndarray, probs: np.ndarray, share: float, matrices: Any) -> bool:
    """Tell whether an answer holds the weighted outputs one by one, which add up to what was asked."""
    rows = isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[1] == len(x)
    return rows and agree(value.sum(axis=0), combined(x, probs, share, matrices))


def scaled_inputs(x: np.ndarray, probs: np.ndarray, share: float, matrices: np.ndarray) -> np.ndarray:
    """Return the sum of experts that were given w·x instead of x. (d,)."""
    weights = renormalised(probs, needed(probs, share))  # (N,)
    return np.tanh(weights[:, None] * (matrices @ x)).sum(axis=0)


def chained(x: np.ndarray, probs: np.ndarray, share: float, matrices: np.ndarray) -> np.ndarray:
    """Return the weighted sum of outputs where each expert was given what the one before it made. (d,)."""
    out, weights, y = x, renormalised(probs, needed(probs, share)), np.zeros(len(x))
    for i in needed(probs, share):
        out = np.tanh(matrices[i] @ out)  # (d,)
        y = y + weights[i] * out
    return y


def as_vector(value: Any, x: np.ndarray, *_: Any) -> Any:
    """Return zeros (d,) in place of the number 0, which is what a sum over no experts comes to."""
    is_zero = isinstance(value, np.ndarray) and value.ndim == 0 and value == 0
    return np.zeros(len(x)) if is_zero else value


def needless_calls(y: Any, calls: Calls, x: Any, probs: np.ndarray, share: float, matrices: Any) -> Fault | None:
    """Return a fault if others than the needed experts were called, or one of them twice."""
    many, called = len(needed(probs, share)), {index for index, _ in calls}
    if called - set(needed(probs, share)):
        why = f"y is right, but you called {len(called)} experts where {many} reach the share. Find out who is needed first, then call: an expert that adds nothing must not run."
        return Fault("called too many", why)
    if len(calls) > many:
        return Fault("called twice", f"y is right, but you made {len(calls)} calls for {many} experts: call each once.")
    return None


SHARE = FunctionQuestion(
    **about("1.3", "As many experts as it takes", "write it", "medium", points=2, minutes=9),
    hints=(
        "Sort the experts by probability, the largest first, and go down the list. How much do those *before* an expert hold, and when is the next one still needed?",
        "With `order = np.argsort(-probs)`, the sums `np.cumsum(probs[order])` grow along the list. Count those that are still below `share`: one expert more than that runs.",
    ),
    idea="Go down the sorted probabilities until their sum reaches the share. A decided token needs one expert, an undecided one many; the weights are those probabilities, divided by their own sum.",
    takeaway="With a share in place of k, a decided token is cheap and an undecided one dear: what a batch costs is known only when it is routed (see lesson 03).",
    answer="my_combine",
    parameters=("x", "probs", "share", "experts"),
    cases=share_cases,
    reference=combined,
    read=as_vector,
    helper=CountedExperts,
    mistakes=by_value(
        "always two: This is the lesson's top-2, whatever the token. Here the share decides how many run: one may be enough, and all N may be needed.",
        (
            of_outputs(lambda probs, share: renormalised(probs, best(probs, 2))),
            of_outputs(lambda probs, share: kept(probs, best(probs, 2))),
        ),
        "all experts: Every expert is in your sum. Stop as soon as those that you have hold the share.",
        of_outputs(lambda probs, share: probs),
        "stops too early: You stop before the share is reached. The expert that carries the sum over it belongs to those that run.",
        (
            *of_selection(before_the_share),
            *of_selection(lambda probs, share: best(probs, max(1, len(before_the_share(probs, share))))),
        ),
        "one too many: You run one expert more than are needed: stop as soon as the sum has reached the share.",
        of_selection(lambda probs, share: best(probs, len(needed(probs, share)) + 1)),
        "share turned round: You stop as soon as 1 − share is reached. The share is what those that *run* hold together, not what may be left out.",
        of_selection(lambda probs, share: needed(probs, 1 - share)),
        "share of the largest: You run all experts that have at least `share` of the largest probability. It is the sum of those that run that must reach the share.",
        of_selection(within_largest),
        "threshold for the sum: You run all experts that have at least 1 − share of the largest probability. No threshold on single probabilities will do: it is the sum of those that run that must reach the share.",
        of_selection(lambda probs, share: within_largest(probs, 1 - share)),
        "single probabilities: You compared each probability by itself with the share. It is their *sum*, from the largest down, that must reach it.",
        (*of_selection(lambda probs, share: probs >= share), of_outputs(lambda probs, share: probs * (probs >= share))),
        "smallest first: You began with the smallest probabilities. The most probable experts come first.",
        of_selection(lambda probs, share: needed(probs, share, np.argsort(probs))),
        "index order: You added the probabilities up in the order of the experts' indices. The most probable come first.",
        (
            *of_selection(lambda probs, share: needed(probs, share, np.arange(len(probs)))),
            *of_selection(lambda probs, share: best(probs, len(needed(probs, share, np.arange(len(probs)))))),
        ),
        "not renormalised: The right experts ran, with their probabilities as they are. Divide these by their sum.",
        of_the_sorted(lambda p, share: p),
        "divided by the share: You divided by `share`. What the experts hold together is a little more: divide by their own sum.",
        of_the_sorted(lambda p, share: p / share),
        "divided by the largest: You divided the probabilities by the largest of them. Divide by their sum, so that the weights sum to 1.",
        of_the_sorted(lambda p, share: p / p.max()),
        "divided by all: You divided by how many experts there are. Divide the probabilities of those that ran by their sum.",
        of_outputs(lambda probs, share: kept(probs, needed(probs, share)) / len(probs)),
        "divided too early: You divided by what the experts before the last one hold. The last one that runs counts, too: divide by the sum of all that ran.",
        of_the_sorted(lambda p, share: p / (p[:-1].sum() or p.sum())),
        "running sums: The right experts ran, and you weighted them with the running sums. These tell where to stop. The weights are the probabilities themselves, divided by their sum.",
        (
            of_the_sorted(lambda p, share: np.cumsum(p)),
            of_the_sorted(lambda p, share: np.cumsum(p) / np.cumsum(p).sum()),
            of_the_sorted(lambda p, share: np.cumsum(p) / p.sum()),
        ),
        "last one filled up: The last expert that runs got what was missing to 1, or to the share. It has its own probability, and all are divided by their sum.",
        (
            of_the_sorted(lambda p, share: to_the_last(p, 1)),
            of_the_sorted(lambda p, share: to_the_last(p, share)),
            of_the_sorted(lambda p, share: to_the_last(p, share) / share),
        ),
        "squared: You weighted with the squares of the probabilities: multiplied twice, perhaps. Each output is multiplied once, by p divided by the sum.",
        (
            of_the_sorted(lambda p, share: p**2),
            of_the_sorted(lambda p, share: p**2 / p.sum()),
            of_the_sorted(lambda p, share: p**2 / (p**2).sum()),
        ),
        "second softmax: You took a softmax of the kept probabilities. Divide them by their sum.",
        of_the_sorted(lambda p, share: routing.softmax(p)),
        "equal shares: Every expert that ran got the same weight. The weights follow the probabilities.",
        of_the_sorted(lambda p, share: np.full(len(p), 1 / len(p))),
        "unweighted: You added the outputs without weights.",
        of_the_sorted(lambda p, share: np.ones(len(p))),
        "wrong pairs: The weights went to the wrong experts: sorting made you lose which expert a probability belongs to. `np.argsort` gives the indices.",
        (
            *map(of_outputs, (in_wrong_places, in_order_of_index, weights_by_index)),
            of_the_sorted(lambda p, share: p[::-1] / p.sum()),
        ),
        "first by index: The right number of experts, but the first ones by index. The most probable run.",
        of_selection(lambda probs, share: np.arange(len(needed(probs, share)))),
        "at least two: You always run two experts or more. One is enough where it holds the share.",
        of_selection(lambda probs, share: best(probs, max(2, len(needed(probs, share))))),
        "at most two: You never run more than two experts. Others run, too, where the two do not hold the share.",
        of_selection(lambda probs, share: best(probs, min(2, len(needed(probs, share))))),
        "never all: You never run all N experts. Some tokens need every one to reach the share.",
        of_selection(lambda probs, share: best(probs, min(len(probs) - 1, len(needed(probs, share))))),
        "mean for sum: You divided by the number of experts that ran. The weights sum to 1 already: add up.",
        of_the_sorted(lambda p, share: p / p.sum() / len(p)),
        "mean for sum: You divided by the number of experts that ran. Divide by the sum of their probabilities instead.",
        of_the_sorted(lambda p, share: p / len(p)),
        "share of the experts: You took the share as a part of the N experts. It is a part of the *probability*: go down the sorted list until the sum reaches it.",
        (
            *of_selection(lambda probs, share: best(probs, int(np.ceil(share * len(probs))))),
            *of_selection(lambda probs, share: best(probs, round(share * len(probs)))),
            *of_selection(lambda probs, share: best(probs, int(share * len(probs)))),
        ),
        "best only: Only the most probable expert is in your sum. Where it does not hold the share by itself, the next ones run too: it is the *sum* of their probabilities, from the largest down, that must reach it.",
        (
            *of_selection(lambda probs, share: best(probs, 1)),
            of_outputs(lambda probs, share: kept(probs, best(probs, 1))),
        ),
        "input added: You added x itself to the sum, as a layer of a model does. Asked is the weighted sum of the outputs alone.",
        lambda x, probs, share, matrices: x + combined(x, probs, share, matrices),
        "scaled input: You multiplied the input by the weight. The weight multiplies the output: experts are not linear, so that is not the same.",
        scaled_inputs,
        "chained: You gave each expert what the one before it made. All of them get x itself.",
        chained,
    )
    + by_test(
        "written into: You write into what an expert returned (`*=`, `+=`), and that may be x itself, or a view of it as of the lesson's E2, `x[::-1]`: then the next expert is given another x. Make a new array, `y = w * experts[i](x)`.",
        writes_into_x,
        "not summed: These are the weighted outputs one by one. Add them up: y has the shape of x.",
        not_summed,
    ),
    afterwards=needless_calls,
)
