"""Question 5.5: combine, backwards."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.gates import through_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_05.q1_expert import LAYER
from moe_lessons.checks.set_05.q2_selected import stable_order
from moe_lessons.checks.set_05.q3_sparse import routed, summed
from moe_lessons.checks.values import agree
from moe_lessons.checks.verdicts import Mistake, by_test, by_value


def combine_cases(rng: np.random.Generator) -> list[tuple]:
    """Outputs (T·k, d) of the sorted rows, the order (T·k,), the weights (T, k), and v = ∂L/∂y (T, d).

    In the last case k = 1. In each, one weight and one number of v are exactly 0.
    """
    cases = []
    for T, d, N, k in ((4, 3, 5, 2), (7, 2, 6, 3), (6, 4, 3, 1)):
        selected, weights = routed(rng, T, N, k)
        outputs, v = (rng.normal(size=shape).round(1) + 0.05 for shape in ((T * k, d), (T, d)))
        weights[rng.integers(T), -1] = v[rng.integers(T), 0] = 0
        cases.append((outputs, stable_order(selected), weights, v))
    return cases


def combined(outputs: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return y (T, d) of the sorted rows' outputs (T·k, d), the order (T·k,) and the weights (T, k)."""
    return summed(outputs[np.argsort(order)], weights)


def of_tokens(order: np.ndarray, T: int, k: int) -> np.ndarray:
    """Return the token of each sorted row. (T·k,)."""
    return order // k


def to_weights(
    outputs: np.ndarray, order: np.ndarray, weights: np.ndarray, v: np.ndarray, tokens: Callable = of_tokens
) -> np.ndarray:
    """Return ∂L/∂weights (T, k): of each choice the product of its own row with v of its token."""
    return dots(outputs, v[tokens(order, *weights.shape)])[np.argsort(order)].reshape(weights.shape)


def to_outputs(
    outputs: np.ndarray, order: np.ndarray, weights: np.ndarray, v: np.ndarray, tokens: Callable = of_tokens
) -> np.ndarray:
    """Return ∂L/∂outputs (T·k, d): of each sorted row v of its token, times the row's weight."""
    return weights.ravel()[order, None] * v[tokens(order, *weights.shape)]


def backwards(
    outputs: np.ndarray, order: np.ndarray, weights: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of combine, to the weights (T, k) and to the outputs (T·k, d)."""
    return to_weights(outputs, order, weights, v), to_outputs(outputs, order, weights, v)


def dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the dot product of each pair of rows. a, b (..., d). (...)."""
    return (a * b).sum(axis=-1)


def with_tokens(part: Callable, rule: Callable) -> Callable:
    """Return the gradient that takes rule(order, T, k) for the tokens of the sorted rows."""
    return lambda *case: part(*case, rule)


def with_weights(rule: Callable) -> Callable:
    """Return the gradient to the outputs that uses rule(order, weights), (T, k), for its weights."""
    return lambda outputs, order, w, v: to_outputs(outputs, order, rule(order, w), v)


@np.errstate(all="ignore")
def of_their_sum(weights: np.ndarray) -> np.ndarray:
    """Return the weights (..., k), each divided by its token's sum: NaN where that is 0."""
    return weights / weights.sum(axis=-1, keepdims=True)


def of_rows(rule: Callable) -> Callable:
    """Return the gradient that is rule(the products of the sorted rows with their v (T·k,), order, weights (T, k))."""
    return lambda outputs, order, w, v: rule(dots(outputs, v[order // w.shape[1]]), order, w)


def with_v(part: Callable, rule: Callable) -> Callable:
    """Return the gradient that takes rule(y, v), (T, d), for v, where y is what combine returns."""
    return lambda outputs, order, w, v: part(outputs, order, w, rule(combined(outputs, order, w), v))


def of_other_losses(part: Callable) -> tuple[Mistake, ...]:
    """Return what a gradient becomes if the loss is another than that of which v is the slope."""
    return by_value(
        TARGET,
        tuple(with_v(part, lambda y, v, c=c: c * (y - v)) for c in (2, 1, -2, -1)),
        TARGET,
        with_v(part, lambda y, v: 2 * (y - v) / v.size),
        SQUARED,
        tuple(with_v(part, lambda y, v, c=c: c * y) for c in (2, 1)),
        MEAN,
        with_v(part, lambda y, v: v / v.size),
    )


def is_swapped(value: Any, *case: np.ndarray) -> bool:
    """Tell whether an answer of two parts is the right gradients in the wrong order."""
    wrong = zip(value, backwards(*case)[::-1], strict=True) if isinstance(value, list) and len(value) == 2 else ()
    return bool(wrong) and all(agree(part, right) for part, right in wrong)


TARGET = "v as a target: You took v for a target, and the distance of y from it for the loss. v is dL/dy already: in torch, `y.backward(v)`, or the slopes of `(y * v).sum()`."
SQUARED = "y for v: This is the gradient of a loss made of y² alone: v is not in it. v is dL/dy: in torch, `y.backward(v)`, or the slopes of `(y * v).sum()`."
MEAN = "mean of y·v: Right up to a factor: you took the mean of y · v, over T·d numbers. v holds the slopes of L itself: nothing is averaged."
REMAINDER = "modulo k: You took order % k for the token: that is which of its choices a row is. Assignments are numbered t·k + j, so the token is order // k."
BY_T = "counted by T: You took order % T or order // T for the token. Each token has k assignments, numbered t·k + j, so the token is order // k."
INVERSE = "wrong way round: You used the order the wrong way round, and so each row has the v of another's token. Row r of the outputs is assignment order[r]: it is the row of token order[r] // k."
IN_PLACE = "order not used: You took row r for that of token r // k. The rows are sorted by expert: row r is assignment order[r], of token order[r] // k."

BACKWARDS = FunctionQuestion(
    **about("5.5", "Combine, backwards", "write it", "medium", points=2, minutes=7),
    hints=(
        "Bring v to the rows first: `v[order // k]` has the v of each row's token, (T·k, d). A row's gradient is that times its weight, and the weight of row r is `weights.ravel()[order[r]]`.",
        "The gradient of a weight is the dot product of that v with the row itself: `(outputs * v[order // k]).sum(axis=1)`. These T·k numbers are sorted by expert: write them to the places that `order` names, then cut them into rows of k.",
    ),
    idea="Combine scattered rows to tokens; backwards, v is gathered from tokens to rows, with the same order. Each row gets v times its weight, each weight gets v times its row.",
    takeaway="In the backward the roles are swapped: combine's backward gathers rows as dispatch does, and dispatch's backward adds them up as combine does.",
    answer="my_combine_backward",
    parameters=("outputs", "order", "weights", "v"),
    stands_for=LAYER,
    when_raised="The shapes: outputs (T·k, d), order (T·k,), weights (T, k), v (T, d). Weights for rows need the shape (T·k, 1). T and k come from `weights.shape`.",
    cases=combine_cases,
    reference=backwards,
    parts={
        "dL/dweights": of_other_losses(to_weights)
        + by_value(
            "still sorted: These are the right T·k numbers, but in the order of the sorted rows, cut into rows of k. Send each back to its assignment first: `back[order] = ...`.",
            of_rows(lambda rows, order, w: rows.reshape(w.shape)),
            "sorted twice: These are the right T·k numbers, but sent the wrong way: `rows[order]` sorts once more. `back[order] = rows` sends them back.",
            of_rows(lambda rows, order, w: rows[order].reshape(w.shape)),
            "cut as (k, T): You brought the numbers back to their places and cut them as (k, T). Assignments are numbered t·k + j: a token's k numbers stand together, so the shape is (T, k).",
            of_rows(lambda rows, order, w: rows[np.argsort(order)].reshape(w.T.shape).T),
            "not cut: These are T·k numbers. A gradient has the shape of what it belongs to: (T, k).",
            tuple(
                of_rows(
                    lambda rows, order, w, cut=cut, back=back: (rows[np.argsort(order)] if back else rows).reshape(cut)
                )
                for cut in (-1, (-1, 1))
                for back in (True, False)
            ),
            "not summed: You multiplied v and the rows entry by entry and did not add up over d. A weight is one number, which multiplies all d entries of its row: its gradient is the dot product.",
            (
                lambda outputs, order, w, v: outputs * v[order // w.shape[1]],
                lambda outputs, order, w, v: (outputs * v[order // w.shape[1]])[np.argsort(order)].reshape(
                    *w.shape, -1
                ),
            ),
            "mean over d: You took the mean over d. The sum of the products is the dot product.",
            lambda outputs, *case: to_weights(outputs, *case) / outputs.shape[1],
            "divided by k, dL/dweights: Right up to a factor: you divided by k. y is a sum over the choices, not a mean.",
            lambda *case: to_weights(*case) / case[2].shape[1],
            "divided by T: Right up to a factor: you divided by T. v holds the slopes of L itself: nothing is averaged.",
            lambda *case: to_weights(*case) / len(case[2]),
            "sign turned: Every sign is turned round. This is the direction of a descent step; the gradient is its opposite.",
            lambda *case: -to_weights(*case),
            "through a softmax: This is the gradient of the logits of a softmax. The weights are given as numbers: how they came about is not asked.",
            lambda outputs, order, w, v: through_softmax(w, to_weights(outputs, order, w, v)),
            "weights in it: You took the weighted rows. y is weight times row, so the derivative by the weight is the row alone.",
            lambda outputs, order, w, v: w * to_weights(outputs, order, w, v),
            "product with y: You took the product of v with the token's y: then all its choices get the same. Each weight gets the product of v with its *own* row.",
            lambda outputs, order, w, v: np.broadcast_to(dots(combined(outputs, order, w), v)[:, None], w.shape),
            "summed over the tokens: You added up the gradients of all tokens, one number for each choice. Each token has weights of its own, and so gradients of its own: (T, k).",
            (
                lambda *case: np.broadcast_to(to_weights(*case).sum(axis=0), case[2].shape),
                lambda *case: to_weights(*case).sum(axis=0),
            ),
            "v left out: You added up the rows' own entries: v is not in it. How much L rises with y is what v says.",
            lambda outputs, order, w, v: to_weights(outputs, order, w, np.ones_like(v)),
            INVERSE,
            with_tokens(to_weights, lambda order, T, k: np.argsort(order) // k),
            IN_PLACE,
            with_tokens(to_weights, lambda order, T, k: np.arange(T * k) // k),
            IN_PLACE,
            lambda outputs, order, w, v: to_weights(outputs, np.arange(len(order)), w, v),
            REMAINDER,
            with_tokens(to_weights, lambda order, T, k: order % k),
            BY_T,
            with_tokens(to_weights, lambda order, T, k: order % T),
            BY_T,
            with_tokens(to_weights, lambda order, T, k: order // T),
        ),
        "dL/doutputs": of_other_losses(to_outputs)
        + by_value(
            "weights forgotten: You gathered v, without the weights. y is weight times row, so the derivative by the row is the weight.",
            with_weights(lambda order, w: np.ones_like(w)),
            "weights not sorted: Each row has v of its token, but another row's weight: the rows are sorted by expert, your weights still by token. The weight of row r is weights.ravel()[order[r]].",
            with_weights(lambda order, w: w.ravel()[np.argsort(order)].reshape(w.shape)),
            "weights by columns: Each row has v of its token, but another row's weight: you read the weights column by column. Assignment t·k + j is weights[t, j]: `weights.ravel()` reads them so.",
            with_weights(lambda order, w: w.T.reshape(w.shape)),
            "first choice's weight: Every row has the weight of its token's first choice. Choice j has weights[t, j]: row r has weights.ravel()[order[r]].",
            with_weights(lambda order, w: np.broadcast_to(w[:, :1], w.shape)),
            "by assignment: These are the right rows, but in the order of the assignments, token by token. A gradient has the shape and the order of what it belongs to: row r belongs to row r of `outputs`.",
            lambda *case: to_outputs(*case)[np.argsort(case[1])],
            "by token and choice: These are the right rows, as (T, k, d). A gradient has the shape and the order of what it belongs to: (T·k, d), sorted as `outputs` is.",
            lambda *case: to_outputs(*case)[np.argsort(case[1])].reshape(*case[2].shape, -1),
            "weights turned, too: v and the weights are both taken with the order the wrong way round. Row r of the outputs is assignment order[r]: `weights.ravel()[order]`, `v[order // k]`.",
            lambda outputs, order, w, v: to_outputs(outputs, np.argsort(order), w, v),
            INVERSE,
            with_tokens(to_outputs, lambda order, T, k: np.argsort(order) // k),
            IN_PLACE,
            with_tokens(to_outputs, lambda order, T, k: np.arange(T * k) // k),
            REMAINDER,
            with_tokens(to_outputs, lambda order, T, k: order % k),
            BY_T,
            with_tokens(to_outputs, lambda order, T, k: order % T),
            BY_T,
            with_tokens(to_outputs, lambda order, T, k: order // T),
            "outputs in it: You multiplied by the outputs as well. y is a weighted sum of them, so the derivative by a row is its weight.",
            lambda *case: to_outputs(*case) * case[0],
            "v left out: These are the weights, without v. How much L rises with y is what v says: each row gets its weight times v of its token.",
            lambda outputs, order, w, v: to_outputs(outputs, order, w, np.ones_like(v)),
            "divided by k: Right up to a factor: you divided by k. y is a sum over the choices, not a mean.",
            lambda *case: to_outputs(*case) / case[2].shape[1],
            "divided by T, dL/doutputs: Right up to a factor: you divided by T. v holds the slopes of L itself: nothing is averaged.",
            lambda *case: to_outputs(*case) / len(case[2]),
            "sign turned, dL/doutputs: Every sign of this gradient is turned round.",
            lambda *case: -to_outputs(*case),
            "weights divided by their sum: You divided the weights of each token by their sum. y is made with the weights as they are.",
            with_weights(lambda order, w: of_their_sum(w)),
            "one for each token: This is v, one row for each token. Each of the T·k rows has a gradient of its own: v of its token times its weight.",
            lambda outputs, order, w, v: v,
        ),
    },
    mistakes=by_test(
        "swapped parts: Both gradients are right, but they come in the wrong order: return the one to the weights first, then the one to the outputs.",
        is_swapped,
    ),
)
