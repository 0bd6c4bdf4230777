"""Question 5.5: combine without a loop."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_05.q1_expert import LAYER
from moe_lessons.checks.set_05.q2_dispatch import stable_order
from moe_lessons.checks.set_05.q3_sparse import routed, summed
from moe_lessons.checks.verdicts import by_value


def combine_cases(rng: np.random.Generator) -> list[tuple]:
    """Outputs (T·k, d) of the sorted rows, the order (T·k,) and the weights (T, k). In the last case k = 1."""
    cases = []
    for T, d, N, k in ((4, 3, 5, 2), (7, 2, 6, 3), (6, 4, 3, 1)):
        selected, weights = routed(rng, T, N, k)
        outputs = rng.normal(size=(T * k, d)).round(1) + 0.05
        cases.append((outputs, stable_order(selected), weights))
    return cases


def combined(outputs: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return y (T, d) of the sorted rows' outputs (T·k, d), the order (T·k,) and the weights (T, k)."""
    return summed(outputs[np.argsort(order)], weights)


def weighted(outputs: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sorted rows times their weights. (T·k, d)."""
    return weights.ravel()[order, None] * outputs


def with_weights(rule: Callable) -> Callable:
    """Return the combination that uses rule(order, weights), (T, k), for its weights."""
    return lambda outputs, order, w: combined(outputs, order, rule(order, w))


def with_tokens(rule: Callable) -> Callable:
    """Return the combination that adds the sorted rows to the tokens rule(order, T, k), (T·k,)."""

    def wrong(outputs: np.ndarray, order: np.ndarray, w: np.ndarray) -> np.ndarray:
        y = np.zeros((len(w), outputs.shape[1]))  # (T, d)
        np.add.at(y, rule(order, *w.shape), weighted(outputs, order, w))
        return y

    return wrong


def assigned(outputs: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return what `y[order // k] += ...` gives: the last row of each token. (T, d)."""
    y = np.zeros((len(weights), outputs.shape[1]))  # (T, d)
    y[order // weights.shape[1]] = weighted(outputs, order, weights)
    return y


COMBINE = FunctionQuestion(
    **about("5.5", "Combine without a loop", "write it", "medium", points=2, minutes=8),
    hints=(
        "Row r of the outputs is assignment order[r], which is choice order[r] % k of token order[r] // k. Its weight is `weights.ravel()[order[r]]`.",
        "Either `np.add.at(y, tokens, ...)`, which adds every row even where a token comes twice; or bring the rows back (`back = np.empty_like(outputs)`, `back[order] = outputs`), reshape to (T, k, d) and sum with the weights.",
    ),
    idea="The order says where every row came from; so it says which token to add it to and which weight it has. Adding at repeated indices needs `np.add.at` (`index_add` in torch), because `+=` keeps only one of them.",
    answer="my_combine",
    parameters=("outputs", "order", "weights"),
    stands_for=LAYER,
    when_raised="The shapes: outputs (T·k, d), order (T·k,), weights (T, k), y (T, d). Weights for rows need the shape (T·k, 1). T and k come from `weights.shape`.",
    cases=combine_cases,
    reference=combined,
    mistakes=by_value(
        "duplicates lost: Each token has only one of its k rows, the last: `y[tokens] = ...` overwrites, and even `y[tokens] += ...` does not add twice where a token comes twice. `np.add.at(y, tokens, ...)` does (`y.index_add_(0, tokens, ...)` in torch).",
        assigned,
        "weights not sorted: The rows are sorted by expert, your weights still by token, so rows have each other's weights. The weight of row r is weights.ravel()[order[r]].",
        with_weights(lambda order, w: w.ravel()[np.argsort(order)].reshape(w.shape)),
        "modulo T: Your tokens are order % T, written out or by a reshape to (k, T, d). Assignments are numbered t·k + j, so the token is order // k, and the reshape is (T, k, d).",
        with_tokens(lambda order, T, k: order % T),
        "modulo k: You took order % k for the token: that is which of its choices a row is. Assignments are numbered t·k + j, so the token is order // k.",
        with_tokens(lambda order, T, k: order % k),
        "first choice's weight: Every row has the weight of its token's first choice. Choice j has weights[t, j]: row r has weights.ravel()[order[r]].",
        with_weights(lambda order, w: np.broadcast_to(w[:, :1], w.shape)),
        "reshaped to (k, T): You brought the rows back to their places, and then cut them as (k, T, d). Assignments are numbered t·k + j: a token's k rows stand together, so the shape is (T, k, d).",
        lambda outputs, order, w: np.einsum("tk,ktd->td", w, outputs[np.argsort(order)].reshape(*w.T.shape, -1)),
        "divided by T: You took order // T for the token. Each token has k assignments, so its number is order // k.",
        with_tokens(lambda order, T, k: order // T),
        "not sent back: You added up k neighbours in the sorted order. A token's k rows lie far apart there: order says whose each is.",
        with_tokens(lambda order, T, k: np.arange(T * k) // k),
        "order not used: Your result does not depend on order: you took the rows for sorted by token. They are sorted by expert.",
        lambda outputs, order, w: summed(outputs, w),
        "wrong way round: You used the order the wrong way round. Row r of the outputs is assignment order[r]; `outputs[order]` sorts once more. To bring rows back: `back[order] = outputs`, or `outputs[np.argsort(order)]`.",
        lambda outputs, order, w: summed(outputs[order], w),
        "unweighted: You added up the rows without their weights.",
        with_weights(lambda order, w: np.ones_like(w)),
        "mean: You averaged each token's rows. Each counts with its weight.",
        with_weights(lambda order, w: np.full_like(w, 1 / w.shape[1])),
        "divided by k: The weighted sum is right up to a factor: you took the mean over the k choices. The weights already say how much each counts.",
        with_weights(lambda order, w: w / w.shape[1]),
        "renormalised: You divided the weights by their sum. They are used as they come: whether they are renormalised was the gate's decision.",
        with_weights(lambda order, w: w / w.sum(axis=1, keepdims=True)),
        "not added: These are the weighted rows of each choice. Add them up: y is (T, d).",
        lambda outputs, order, w: weighted(outputs, order, w)[np.argsort(order)].reshape(*w.shape, -1),
        "still rows: These are the weighted rows, still sorted by expert. Add each token's k rows: y is (T, d).",
        weighted,
    ),
)
