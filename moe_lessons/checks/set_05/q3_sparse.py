"""Question 5.3: the sparse forward."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_05.q1_expert import LAYER
from moe_lessons.checks.set_05.q2_dispatch import stable_order
from moe_lessons.checks.values import agree, describe, plain, stacked
from moe_lessons.checks.verdicts import Facts, Fault, always, by_test, by_value


def routed(rng: np.random.Generator, T: int, N: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Route T tokens at random, best first, weights that do not sum to 1. Returns selected and weights, (T, k) each."""
    p = routing.softmax(1.5 * rng.normal(size=(T, N)))  # (T, N)
    weights, selected = routing.top_k(p, k)  # (T, k) each
    return selected, weights


def sparse_cases(rng: np.random.Generator) -> list[tuple]:
    """x, selected, weights, and matrices (N, d, d) that make the experts.

    In the second case experts stay empty, always the last, and there are more of them than tokens.
    """
    cases = []
    for T, d, N, k, idle in ((6, 2, 4, 2, 0), (3, 4, 12, 3, 1), (9, 3, 5, 1, 0)):
        x, matrices = rng.normal(size=(T, d)).round(1) + 0.05, rng.normal(size=(N, d, d))
        cases.append((x, *routed(rng, T, N - idle, k), matrices))
    return cases


def choices(x: np.ndarray, selected: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return tanh(x M_i) of every token for each of its k experts, the rows by assignment. (T·k, d)."""
    return np.tanh(np.einsum("td,tkde->tke", x, matrices[selected])).reshape(selected.size, -1)


def summed(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return for each token the sum of its k rows, weighted. rows (T·k, d) by assignment, weights (T, k). (T, d)."""
    return np.einsum("tk,tkd->td", weights, rows.reshape(*weights.shape, -1))


def sparse(x: np.ndarray, selected: np.ndarray, weights: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the weighted sum of each token's k expert outputs. (T, d)."""
    return summed(choices(x, selected, matrices), weights)


def with_weights(rule: Callable) -> Callable:
    """Return the layer that uses rule(selected, weights), (T, k) of (T, k), for its weights."""
    return lambda x, s, w, M: sparse(x, s, rule(s, w), M)


def with_rows(wrong: Callable) -> Callable:
    """Return the layer that is wrong(the weighted outputs (T·k, d) by assignment, their order (T·k,), weights)."""
    return lambda x, s, w, M: wrong(w.reshape(-1, 1) * choices(x, s, M), stable_order(s), w)


class RowCountingExperts:
    """Experts made from matrices (N, d, d); notes which rows each of them was given."""

    def __init__(self, matrices: np.ndarray) -> None:
        self.calls: list[tuple[int, np.ndarray]] = []
        self.argument = [self._expert(i, M) for i, M in enumerate(matrices)]

    def _expert(self, index: int, M: np.ndarray) -> Callable:
        def expert(rows: Any) -> Any:
            given, d = stacked(plain(rows)), len(M)
            if not isinstance(given, np.ndarray) or given.ndim not in (1, 2) or given.shape[-1] != d:
                raise ValueError(f"an expert takes rows (r, d) with d = {d}; came {describe(given)}")
            self.calls.append((index, given.reshape(-1, d)))
            y = np.tanh(given @ M)
            return rows.new_tensor(y) if hasattr(rows, "new_tensor") else y

        return expert

    def noted(self) -> list[tuple[int, np.ndarray]]:
        """Return of each call the expert's index and the rows; calls without rows cost nothing."""
        return [(index, rows) for index, rows in self.calls if len(rows)]

    @staticmethod
    def written(name: str, entry: Any) -> str:
        """Return nothing: the learner never sees the matrices."""
        return ""


def rows_fault(
    y: Any, calls: list[tuple[int, np.ndarray]], x: np.ndarray, selected: np.ndarray, *_: Any
) -> Fault | None:
    """Say which rows were computed in vain, or in too many calls; None when all is well."""
    rows = sum(len(given) for _, given in calls)
    if rows == selected.size and len(calls) == len({index for index, _ in calls}):
        return None
    found = Facts(calls=calls, x=x, selected=selected, rows=rows)
    mistake = next(mistake for mistake in IN_VAIN if mistake.seen(found))
    seen = f"T = {len(x)}, k = {selected.shape[1]}: {rows} rows computed in {len(calls)} calls; needed are T·k = {selected.size} rows, in {len(set(selected.ravel()))} calls"
    return Fault(mistake.name, mistake.why, seen)


def choice_by_choice(found: Facts) -> bool:
    """Tell whether every call holds just the rows of one expert and one of the k choices."""
    wanted = [(i, found.x[column == i]) for column in found.selected.T for i in range(found.selected.max() + 1)]
    return all(any(i == index and agree(given, rows) for i, rows in wanted) for index, given in found.calls)


IN_VAIN = by_test(
    "dense: y is right, but every expert that you call computes all T tokens, and what a token did not select is thrown away (or multiplied by 0). Give each expert only the rows that selected it.",
    lambda found: found.rows > found.selected.size and all(agree(given, found.x) for _, given in found.calls),
    ": y is right, but the number of rows that the experts computed is not T·k.",
    lambda found: found.rows != found.selected.size,
    "row by row: y is right and no row is computed in vain, but your experts get one row at a time. One product with many rows is much faster than many products with one: gather all rows of an expert, and call it once.",
    lambda found: all(len(given) == 1 for _, given in found.calls),
    "choice by choice: y is right and no row is computed in vain, but you go through the choices one after the other, and an expert that is first choice for some and second for others is called for each. Gather its rows of all choices, and call it once.",
    choice_by_choice,
    ": y is right and no row is computed in vain, but an expert was called more than once. Gather all its rows first.",
    always,
)

SPARSE = FunctionQuestion(
    **about("5.3", "The sparse forward", "write it", "hard", points=3, minutes=10),
    hints=(
        "For one expert i, `tokens, slots = np.nonzero(selected == i)` finds its tokens and which of their choices it is. `x[tokens]` are its rows, `weights[tokens, slots]` their weights.",
        "Start with `y = np.zeros_like(x)`. For each expert with rows: `y[tokens] += weights[tokens, slots][:, None] * experts[i](x[tokens])`. The `None` makes one weight a row of one.",
    ),
    idea="Gather the rows that selected an expert, run it once on all of them, and add its weighted outputs to the tokens they came from: T·k rows in all, however many experts there are.",
    answer="my_sparse_forward",
    parameters=("x", "selected", "weights", "experts"),
    stands_for=LAYER,
    when_raised="selected and weights are (T, k), with one column for each choice, not for each expert: weights[t, j] belongs to expert selected[t, j]. To multiply rows (r, d) by r weights, give those the shape (r, 1).",
    cases=sparse_cases,
    reference=sparse,
    helper=RowCountingExperts,
    afterwards=rows_fault,
    mistakes=by_value(
        "unweighted: You added the outputs of the selected experts without their weights.",
        with_weights(lambda s, w: np.ones_like(w)),
        "mean: You averaged the outputs of the selected experts. Each counts with its own weight.",
        with_weights(lambda s, w: np.full_like(w, 1 / w.shape[1])),
        "divided by k: The weighted sum is right up to a factor: you divided it by k. The weights already say how much each counts.",
        with_weights(lambda s, w: w / w.shape[1]),
        "renormalised: You divided the weights by their sum. They are used as they come: whether they are renormalised was the gate's decision.",
        with_weights(lambda s, w: w / w.sum(axis=1, keepdims=True)),
        "first choice only: Only each token's first choice is in y. All k count.",
        with_weights(lambda s, w: w * np.eye(w.shape[1])[0]),
        "last choice only: Only each token's last choice is in y. Does a later choice replace the earlier ones? Add with `+=`.",
        with_weights(lambda s, w: w * np.eye(w.shape[1])[-1]),
        "overwritten: Each token keeps the output of one expert only, the one with the highest index. Either y is assigned (`=`) where it should be added to (`+=`), or one `y[tokens] += ...` names a token twice: then only the last counts. `np.add.at` adds them all.",
        with_weights(lambda s, w: np.where(s == s.max(axis=1, keepdims=True), w, 0)),
        "first choice's weight: You used the first choice's weight for every choice. Choice j has weights[t, j].",
        with_weights(lambda s, w: np.broadcast_to(w[:, :1], w.shape)),
        "weights not sorted: The outputs are right, but they have each other's weights: the rows are sorted by expert, the weights still by token. Sort them with the same order.",
        with_weights(lambda s, w: w.ravel()[np.argsort(stable_order(s))].reshape(w.shape)),
        "weighted inputs: You multiplied the input by the weight. The weight multiplies the output: experts are not linear, so that is not the same.",
        lambda x, s, w, M: np.tanh(w[..., None] * np.einsum("td,tkde->tke", x, M[s])).sum(axis=1),
        "not sent back: You added up neighbours in the sorted order. There, a token's k rows lie far apart: bring each row back to its token (`order // k`) first.",
        with_rows(lambda rows, order, w: summed(rows[order], np.ones_like(w))),
        "all experts: You added up all N experts without weights. Each token has k of them.",
        lambda x, s, w, M: np.tanh(x @ M).sum(axis=0),
        "with residual: You added x. The residual connection is outside this layer.",
        lambda x, s, w, M: x + sparse(x, s, w, M),
        "not added: These are the weighted outputs choice by choice. Add them up: y is (T, d).",
        with_rows(lambda rows, order, w: rows.reshape(*w.shape, -1)),
        "still rows: These are the T·k weighted rows, sorted by expert. Add each token's k rows: y is (T, d), and row r belongs to token `order[r] // k`.",
        with_rows(lambda rows, order, w: rows[order]),
        "still rows, unweighted: These are the experts' T·k rows, sorted by expert. Give each its weight and add each token's k rows: y is (T, d), and row r belongs to token `order[r] // k`.",
        with_rows(lambda rows, order, w: (rows / w.reshape(-1, 1))[order]),
        "rows by token: These are the T·k weighted rows, token by token. Add up the k rows of each token: y is (T, d).",
        with_rows(lambda rows, order, w: rows),
    ),
)
