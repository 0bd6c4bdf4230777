"""Question 5.3: the sparse forward, with dropped assignments."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.calls import Lender
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_05.q1_expert import LAYER
from moe_lessons.checks.set_05.q2_selected import stable_order
from moe_lessons.checks.values import agree, describe
from moe_lessons.checks.verdicts import Facts, Fault, always, by_test, by_value


def routed(rng: np.random.Generator, T: int, N: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Route T tokens at random, in no order, with weights that do not sum to 1. Returns selected and weights, (T, k)."""
    p = routing.softmax(1.5 * rng.normal(size=(T, N)))  # (T, N)
    selected = rng.permuted(routing.top_k(p, k)[1], axis=1)  # (T, k)
    return selected, np.take_along_axis(p, selected, axis=1) * rng.uniform(0.5, 3, size=(T, 1))


def lost(rng: np.random.Generator, T: int, k: int) -> np.ndarray:
    """Draw which choices were dropped: none of one token's, one's first, one's last, all of one's. Booleans (T, k)."""
    drop = rng.random((T, k)) < 0.2  # (T, k)
    none, first, last, *every = rng.permutation(T)[:4]
    drop[[none, first, last]] = False
    drop[first, 0] = drop[last, -1] = drop[every] = True
    return drop


def thinned(rng: np.random.Generator, T: int, N: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Route T tokens and drop some of their choices. Returns selected, with −1 for those, and weights, (T, k) each."""
    selected, weights = routed(rng, T, N, k)
    return np.where(lost(rng, T, k), -1, selected), weights


def shows_choices(selected: np.ndarray) -> bool:
    """Tell whether an expert is first choice of one and later choice of another, and some expert first choice of two."""
    first, later = selected[selected[:, 0] >= 0, 0], selected[:, 1:]  # (tokens,), (T, k - 1)
    return bool(np.isin(first, later).any() and np.bincount(first).max() > 1)


def hides_the_dropped(selected: np.ndarray, expert: int) -> bool:
    """Tell whether a token that chose this expert lost a later choice: who lets it run for that one writes over it."""
    return bool(((selected == expert).cumsum(axis=1) * (selected < 0)).any())


def shows_much(selected: np.ndarray, N: int) -> bool:
    """Tell whether what is asked of the first case can be seen in these selections."""
    return shows_choices(selected) and all(hides_the_dropped(selected, expert) for expert in (0, N - 1))


def sparse_cases(rng: np.random.Generator) -> list[tuple]:
    """x, selected with −1 for what was dropped, weights, and matrices (N, d, d) that make the experts.

    In the first case a layer that goes choice by choice shows, and one that writes over. In the second experts stay empty, always the last, and
    there are more of them than tokens; nobody loses all.
    """
    cases: list[tuple] = []
    for T, d, N, k, idle in ((8, 2, 4, 2, 0), (3, 4, 12, 3, 1), (9, 3, 5, 1, 0), (7, 2, 3, 3, 0)):
        x, matrices = rng.normal(size=(T, d)).round(1) + 0.05, rng.normal(size=(N, d, d))
        selected, weights = thinned(rng, T, N - idle, k)
        while not cases and not shows_much(selected, N):
            selected, weights = thinned(rng, T, N - idle, k)
        cases.append((x, selected, weights, matrices))
    return cases


def choices(x: np.ndarray, selected: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return tanh(x M_i) of every token for each of its k experts, the rows by assignment. (T·k, d)."""
    return np.tanh(np.einsum("td,tkde->tke", x, matrices[selected])).reshape(selected.size, -1)


def summed(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return for each token the sum of its k rows, weighted. rows (T·k, d) by assignment, weights (T, k). (T, d)."""
    return np.einsum("tk,tkd->td", weights, rows.reshape(*weights.shape, -1))


def left(selected: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights with 0 for what was dropped. selected, weights (T, k). (T, k)."""
    return np.where(selected >= 0, weights, 0)


def rescaled(selected: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights that are left, divided by their sum; 0 where none is. selected, weights (T, k). (T, k)."""
    kept = left(selected, weights)  # (T, k)
    total = kept.sum(axis=1, keepdims=True)  # (T, 1)
    return kept / np.where(total > 0, total, 1)


def of_each_expert(selected: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights that are left, each divided by the sum over its expert's tokens. (T, k) each."""
    kept = left(selected, weights)  # (T, k)
    totals = np.bincount(selected.ravel() + 1, kept.ravel())  # (N + 1,) at most, first of those dropped
    return kept / np.where(totals > 0, totals, 1)[selected + 1]


def unguarded(selected: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the same without the guard: NaN where nothing is left. selected, weights (T, k). (T, k)."""
    every = (selected < 0).all(axis=1, keepdims=True)  # (T, 1)
    return np.where(every, np.nan, rescaled(selected, weights))


def sparse(x: np.ndarray, selected: np.ndarray, weights: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the weighted sum of the expert outputs that each token has left. (T, d)."""
    return summed(choices(x, selected, matrices), rescaled(selected, weights))


def with_weights(rule: Callable) -> Callable:
    """Return the layer that uses rule(selected, weights), (T, k) of (T, k), for its weights."""
    return lambda x, s, w, M: summed(choices(x, s, M), rule(s, w))


def last_of_each(selected: np.ndarray) -> np.ndarray:
    """Mark the choices after which their token has none of the same expert. selected (T, k). Booleans (T, k)."""
    same = selected[:, :, None] == selected[:, None, :]  # (T, k, k)
    return ~np.triu(same, k=1).any(axis=2)


def written_over(run: Callable, rule: Callable) -> Callable:
    """Return the layer that runs run(selected, N), with rule(selected, weights), and of an expert that a token has twice
    keeps only the last output, as `y[tokens] += ...` does."""
    return lambda x, s, w, M: summed(choices(x, s, M), rule(s, w) * last_of_each(run(s, len(M))))


def of_the_sum(selected: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights of all choices, lost or not, divided by their sum. selected, weights (T, k). (T, k)."""
    return weights / weights.sum(axis=1, keepdims=True)


def has_others_weights(
    value: Any, calls: Any, x: np.ndarray, selected: np.ndarray, weights: np.ndarray, matrices: np.ndarray
) -> bool:
    """Tell whether each token's y is right for its weights in some order."""
    orders = map(list, permutations(range(weights.shape[1])))
    made = [sparse(x, selected, weights[:, order], matrices) for order in orders]  # (T, d) each
    rows = zip(*made, strict=True)
    return np.shape(value) == x.shape and all(
        any(agree(y, one) for one in ys) for y, ys in zip(value, rows, strict=True)
    )


def with_rows(wrong: Callable) -> Callable:
    """Return the layer that is wrong(the weighted outputs (T·k, d) by assignment, selected (T, k))."""
    return lambda x, s, w, M: wrong(rescaled(s, w).reshape(-1, 1) * choices(x, s, M), s)


class RowCountingExperts(Lender):
    """Experts made from matrices (N, d, d); notes which rows each of them was given."""

    as_given = True

    def __init__(self, matrices: np.ndarray) -> None:
        self.matrices, self.calls = matrices, list[tuple[int, np.ndarray]]()
        super().__init__(matrices)

    @staticmethod
    def many(entry: np.ndarray) -> int:
        """Return the number of experts."""
        return len(entry)

    def work(self, index: int, given: Any) -> np.ndarray:
        """Return what an expert makes of rows (r, d)."""
        M = self.matrices[index]
        if not isinstance(given, np.ndarray) or given.ndim not in (1, 2) or given.shape[-1] != len(M):
            raise ValueError(f"an expert takes rows (r, d) with d = {len(M)}; came {describe(given)}")
        self.calls.append((index, given.reshape(-1, len(M))))
        return np.tanh(given @ M)

    def noted(self) -> list[tuple[int, np.ndarray]]:
        """Return of each call the expert's index and the rows; calls without rows cost nothing."""
        return [(index, rows) for index, rows in self.calls if len(rows)]


def rows_fault(
    y: Any, calls: list[tuple[int, np.ndarray]], x: np.ndarray, selected: np.ndarray, *_: Any
) -> Fault | None:
    """Say which rows were computed in vain, or in too many calls; None when all is well."""
    rows, needed = sum(len(given) for _, given in calls), int((selected >= 0).sum())
    if rows == needed and len(calls) == len({index for index, _ in calls}):
        return None
    found = Facts(calls=calls, x=x, selected=selected, rows=rows, needed=needed)
    mistake = next(mistake for mistake in IN_VAIN if mistake.seen(found))
    busy = len(set(selected[selected >= 0]))
    seen = f"T = {len(x)}, k = {selected.shape[1]}: {rows} rows computed in {len(calls)} calls; {selected.size - needed} of T·k = {selected.size} choices were dropped, so needed are {needed} rows, in {busy} calls"
    return Fault(mistake.name, mistake.why, seen)


def choice_by_choice(found: Facts) -> bool:
    """Tell whether every call holds just the rows of one expert and one of the k choices."""
    wanted = [(i, found.x[column == i]) for column in found.selected.T for i in range(found.selected.max() + 1)]
    return all(any(i == index and agree(given, rows) for i, rows in wanted) for index, given in found.calls)


def computes_the_dropped(found: Facts) -> bool:
    """Tell whether one expert computes as many rows too many as choices were dropped, and the others none."""
    given = np.repeat([index for index, _ in found.calls], [len(rows) for _, rows in found.calls])  # (rows,)
    kept = found.selected[found.selected >= 0]  # (needed,)
    spare = np.bincount(given, minlength=kept.max() + 1)  # (N,) at most
    spare[: kept.max() + 1] -= np.bincount(kept)
    return spare.max() == found.selected.size - found.needed > 0 and np.count_nonzero(spare) == 1


IN_VAIN = by_test(
    "dense: y is right, but every expert that you call computes all T tokens, and what a token did not select is thrown away (or multiplied by 0). Give each expert only the rows that selected it.",
    lambda found: found.rows > found.needed and all(agree(given, found.x) for _, given in found.calls),
    "dropped computed: y is right, but an expert computes rows for the choices that were dropped, and they are thrown away (or multiplied by 0). A −1 is no expert, neither the first nor the last, which `experts[-1]` is. Leave those rows out before the call.",
    computes_the_dropped,
    ": y is right, but the number of rows that the experts computed is not the number of choices that are left.",
    lambda found: found.rows != found.needed,
    "row by row: y is right and no row is computed in vain, but your experts get one row at a time. One product with many rows is much faster than many products with one: gather all rows of an expert, and call it once.",
    lambda found: all(len(given) == 1 for _, given in found.calls),
    "choice by choice: y is right and no row is computed in vain, but an expert that is first choice for some and second for others is called once for the first choices and once more for the second. Gather its rows of all choices, and call it once.",
    choice_by_choice,
    ": y is right and no row is computed in vain, but an expert was called more than once. Gather all its rows first.",
    always,
)

AS_THE_LAST = "−1 as the last expert: You took −1 for an index: in Python it is the last entry, so the last expert ran for every dropped choice. Leave out what is −1 before you gather rows or call experts."

SPARSE = FunctionQuestion(
    **about("5.3", "The sparse forward, with dropped assignments", "write it", "hard", points=3, minutes=10),
    hints=(
        "First the weights: `np.where(selected >= 0, weights, 0)` has a 0 for what was dropped. Divide by the sum of each row, but where that is 0 divide by 1. Then go expert by expert: `tokens, slots = np.nonzero(selected == i)` never finds a −1.",
        "Start with `y = np.zeros_like(x)`. For each expert with rows: `y[tokens] += left[tokens, slots][:, None] * experts[i](x[tokens])`, where `left` are the new weights. The `None` makes one weight a row of one.",
    ),
    idea="A dropped choice is no row and no weight: it is left out of the gathering, and out of the sum that the other weights are divided by. A token without any row keeps the 0 that y began with.",
    takeaway="−1 is a valid index in Python: a mark for “no expert” that nobody masks runs the last expert, and raises nothing.",
    answer="my_sparse_forward",
    parameters=("x", "selected", "weights", "experts"),
    stands_for=LAYER,
    when_raised="selected and weights are (T, k), with one column for each choice, not for each expert: weights[t, j] belongs to expert selected[t, j], and where that is −1 to none. `bincount` refuses a −1, and a sorted list begins with all of them: leave them out first. To multiply rows (r, d) by r weights, give those the shape (r, 1).",
    quiet=True,
    cases=sparse_cases,
    reference=sparse,
    helper=RowCountingExperts,
    afterwards=rows_fault,
    mistakes=by_value(
        "weights as they came: You used the weights that are left as they are: that is the lesson's layer. Here they are divided by their sum, token by token, because something was dropped after they were made.",
        with_weights(left),
        "divided before the drop: You divided the weights by the sum of all k. The dropped ones count nothing: divide by the sum of those that are left.",
        with_weights(lambda s, w: left(s, of_the_sum(s, w))),
        "0 / 0: y is right but for the tokens that lost all their choices: there the sum of the weights is 0, and 0 / 0 is no number. Their y is 0.",
        with_weights(unguarded),
        "x for the lost: A token that lost all its choices comes out as x. The layer returns 0 for it; that x is kept is the residual connection's work, outside this layer.",
        lambda x, s, w, M: np.where((s < 0).all(axis=1, keepdims=True), x, sparse(x, s, w, M)),
        AS_THE_LAST,
        (
            with_weights(lambda s, w: w),
            with_weights(of_the_sum),
            written_over(lambda s, N: s % N, lambda s, w: w),
            written_over(lambda s, N: s % N, of_the_sum),
        ),
        "dropped and written over: For what was dropped an expert runs with weight 0: the first, or the last, which −1 is. Where a token has that expert already, it comes twice in one `y[tokens] += ...`, and only the last of the two counts: the 0. Leave out what is −1 before you gather rows.",
        (
            written_over(lambda s, N: np.maximum(s, 0), rescaled),
            written_over(lambda s, N: s % N, rescaled),
        ),
        "first column alone: You look for −1 among the first choices alone: where that one is dropped the token gets 0, and a −1 in another column is not seen. Any choice may be dropped: `selected >= 0` is left.",
        with_weights(lambda s, w: np.where(s[:, :1] < 0, 0, left(s, of_the_sum(s, w)))),
        "scaled to the old sum: The weights that are left sum to what all k had before. Divided by their own sum they sum to 1, whatever was dropped.",
        with_weights(lambda s, w: rescaled(s, w) * w.sum(axis=1, keepdims=True)),
        "unweighted: You added the outputs of the experts that are left without their weights.",
        with_weights(lambda s, w: left(s, np.ones_like(w))),
        "mean: You averaged the outputs of the experts that are left. Each counts with its own weight.",
        with_weights(lambda s, w: rescaled(s, np.ones_like(w))),
        "divided by the number left: You divided by *how many* choices are left. Divide by the sum of their weights.",
        with_weights(lambda s, w: left(s, w) / np.maximum((s >= 0).sum(axis=1, keepdims=True), 1)),
        "divided by k: You divided by k. Divide by the sum of the weights that are left.",
        with_weights(lambda s, w: left(s, w) / w.shape[1]),
        "divided by the largest: You divided by the largest weight that is left. Divide by their sum.",
        with_weights(lambda s, w: left(s, w) / np.maximum(left(s, w).max(axis=1, keepdims=True), 1e-300)),
        "scaled up: You multiplied by k over the number of choices that are left, as dropout does. Divide by the sum of the weights that are left.",
        with_weights(lambda s, w: left(s, w) * w.shape[1] / np.maximum((s >= 0).sum(axis=1, keepdims=True), 1)),
        "sum of each expert: You divided by the sum of an expert's weights over its tokens. Each token has its own sum, over its choices: `axis=1, keepdims=True`.",
        with_weights(of_each_expert),
        "sum of the batch: You divided by one sum, of the weights of all tokens. Each token has its own: `axis=1, keepdims=True`.",
        with_weights(lambda s, w: left(s, w) / left(s, w).sum()),
        "sum over the tokens: Your sums run over the tokens (axis 0). Each token has its own sum, over its choices: `axis=1, keepdims=True`.",
        with_weights(lambda s, w: left(s, w) / np.where((s >= 0).any(axis=0), left(s, w).sum(axis=0), 1)),
        "expert 0 left out: The expert with index 0 is missing, as if 0 were the mark for what was dropped. That is −1: `selected >= 0` is left.",
        with_weights(lambda s, w: rescaled(np.where(s > 0, s, -1), w)),
        "weight of the first choice: Every choice has the weight of its token's first. Choice j has weights[t, j].",
        with_weights(lambda s, w: left(s, np.broadcast_to(rescaled(s, w)[:, :1], w.shape))),
        "softmax of the weights: You put the weights that are left through a softmax. They are weights already: divide each by their sum.",
        with_weights(lambda s, w: rescaled(s, np.exp(w))),
        "incomplete tokens lost: A token that lost one choice has lost all of them in your layer. The choices that are left still run.",
        with_weights(lambda s, w: np.where((s < 0).any(axis=1, keepdims=True), 0, rescaled(s, w))),
        "first choice only: Only each token's first choice is in y. All that are left count.",
        with_weights(lambda s, w: rescaled(s, w) * np.eye(w.shape[1])[0]),
        "last choice only: Only each token's last choice is in y. Does a later choice replace the earlier ones? Add with `+=`.",
        with_weights(lambda s, w: rescaled(s, w) * np.eye(w.shape[1])[-1]),
        "overwritten: Each token keeps the output of one expert only, the one with the highest index. Either y is assigned (`=`) where it should be added to (`+=`), or one `y[tokens] += ...` names a token twice: then only the last counts. `np.add.at` adds them all.",
        with_weights(lambda s, w: np.where(s == s.max(axis=1, keepdims=True), rescaled(s, w), 0)),
        "weighted inputs: You multiplied the input by the weight. The weight multiplies the output: experts are not linear, so that is not the same.",
        lambda x, s, w, M: np.tanh(rescaled(s, w)[..., None] * np.einsum("td,tkde->tke", x, M[s])).sum(axis=1),
        "all experts: You added up all N experts without weights. Each token has k of them at most.",
        lambda x, s, w, M: np.tanh(x @ M).sum(axis=0),
        "with residual: You added x. The residual connection is outside this layer.",
        lambda x, s, w, M: x + sparse(x, s, w, M),
        "not added: These are the weighted outputs choice by choice. Add them up: y is (T, d).",
        with_rows(lambda rows, s: rows.reshape(*s.shape, -1)),
        "still rows: These are the weighted rows, sorted by expert. Add each token's rows: y is (T, d), and row r belongs to token `order[r] // k`.",
        with_rows(lambda rows, s: rows[stable_order(s)][(s < 0).sum() :]),
    )
    + by_test(
        "weights of other choices: Every token has the right experts, but its weights belong to other choices: weights[t, j] belongs to selected[t, j]. Is one of the two sorted or turned round, and the other not?",
        has_others_weights,
    ),
)
