"""Question 5.2: who chose whom, from the sorted list."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_05.q1_expert import LAYER
from moe_lessons.checks.verdicts import by_value


def chosen(rng: np.random.Generator) -> list[tuple[np.ndarray, int]]:
    """Return selections (T, k) and the number of experts: the first, the last and some in the middle have no rows.

    In the third the last expert has some. They are not sorted already, nor is each token's row, and nobody's order is
    its own inverse.
    """
    few = np.stack([rng.permutation([0, 1, 3, 4, 5])[:2] for _ in range(6)])  # (6, 2)
    many = 1 + np.stack([rng.permutation(5)[:3] for _ in range(20)])  # (20, 3)
    single = np.array([5, *rng.permutation([1, 3]), 3, 1])[:, None]  # (5, 1)
    few[:3] = [[5, 0], [4, 1], [3, 0]]
    return [(few, 7), (many, 7), (single, 6)]


def stable_order(selected: np.ndarray) -> np.ndarray:
    """Return the assignments t·k + j sorted by expert, equal ones as they came. selected (T, k). Returns (T·k,)."""
    return np.argsort(selected, axis=None, kind="stable")  # (T·k,)


def dispatch(selected: np.ndarray, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the order (T·k,) of the assignments by expert, and the offsets (N + 1,) of each expert's rows."""
    counts = np.bincount(selected.ravel(), minlength=N)  # (N,)
    return stable_order(selected), np.append(0, np.cumsum(counts))


def sorted_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (order (T·k,), offsets (N + 1,), k) of each selection."""
    return [(*dispatch(selected, N), selected.shape[1]) for selected, N in chosen(rng)]


def of_row(offsets: np.ndarray) -> np.ndarray:
    """Return the expert of each sorted row. offsets (N + 1,). Returns (T·k,)."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def sent_back(rows: np.ndarray, order: np.ndarray, k: int) -> np.ndarray:
    """Return what the sorted rows (T·k,) hold, by token and choice. (T, k)."""
    return rows[np.argsort(order)].reshape(-1, k)


def selections(order: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """Return the experts that each token selected. (T, k)."""
    return sent_back(of_row(offsets), order, k)


def with_experts(rule: Callable) -> Callable:
    """Return the function that takes rule(offsets), (T·k,), for the experts of the sorted rows."""
    return lambda order, offsets, k: sent_back(rule(offsets), order, k)


def with_rows(rule: Callable) -> Callable:
    """Return the function that is rule(the expert of each sorted row (T·k,), order, k)."""
    return lambda order, offsets, k: rule(of_row(offsets), order, k)


def without_the_last(elsewhere: int) -> Callable:
    """Return the function that leaves out the last expert: `elsewhere` stands in its places."""
    return with_experts(lambda offsets: np.where(of_row(offsets) == len(offsets) - 2, elsewhere, of_row(offsets)))


def left_of_the_border(offsets: np.ndarray) -> np.ndarray:
    """Return the experts of the rows if a row that stands on an offset counted as before it. (T·k,)."""
    return np.searchsorted(offsets, np.arange(offsets[-1]), side="left") - 1  # (T·k,)


def without_rows(which: Callable, elsewhere: int) -> Callable:
    """Return the function that leaves out the row which(offsets), (N,), of each expert: `elsewhere` stands there."""

    def rule(offsets: np.ndarray) -> np.ndarray:
        out = which(offsets)[np.diff(offsets) > 0]  # one row of each expert that has some
        return np.where(np.isin(np.arange(offsets[-1]), out), elsewhere, of_row(offsets))

    return with_experts(rule)


def sliced_short(elsewhere: int) -> Callable:
    """Return the function whose slices end one row early; before row 0 such a slice holds nearly all."""

    def experts(order: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
        found = np.full(len(order), elsewhere)  # (T·k,)
        for i, (start, end) in enumerate(pairwise(offsets.tolist())):
            found[order[start : end - 1]] = i
        return found.reshape(-1, k)

    return experts


def row_for_assignment(elsewhere: int) -> Callable:
    """Return the function that takes r // k for the token of sorted row r, and order[r] % k for its choice."""

    def experts(order: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
        found = np.full((len(order) // k, k), elsewhere)  # (T, k)
        for r, expert in enumerate(of_row(offsets)):
            found[r // k, order[r] % k] = expert
        return found

    return experts


def marked(order: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """Return 1 where a token selected an expert. (T, N)."""
    return (selections(order, offsets, k)[..., None] == np.arange(len(offsets) - 1)).any(axis=1).astype(int)


def columns_first(experts: np.ndarray, order: np.ndarray, k: int) -> np.ndarray:
    """Return the experts by assignment number, cut as if the numbers went through the tokens first. (T, k)."""
    return experts[np.argsort(order)].reshape(k, -1).T


SELECTED = FunctionQuestion(
    **about("5.2", "Who chose whom, from the sorted list", "write it", "medium", points=2, minutes=6),
    hints=(
        "The start is right also for an expert without rows: it comes `offsets[i + 1] - offsets[i]` times, which is 0 then. What is left is the order: which assignment does sorted row r belong to?",
        "Row r of that list is assignment order[r]: put it *there*, with the index on the left of the equals sign. Then cut the T·k entries into rows of k: number t·k + j is choice j of token t.",
    ),
    idea="offsets says whose a sorted row is, order says where it came from: write each row's expert to the place that order names. `back[order] = rows` undoes `rows = flat[order]`.",
    takeaway="A permutation as an index gathers on the right of the equals sign and scatters on the left: dispatch does the first, combine the second.",
    answer="my_selected",
    parameters=("order", "offsets", "k"),
    stands_for=LAYER,
    when_raised="order is (T·k,), so T is `len(order) // k`, and rows of k are `reshape(-1, k)`, whatever k is. offsets is (N + 1,): one more than there are experts.",
    cases=sorted_cases,
    reference=selections,
    mistakes=by_value(
        "gathered: You used order the wrong way round: `experts[order]` sorts once more. Row r belongs to assignment order[r], so its expert goes *to* that place: `back[order] = experts`.",
        with_rows(lambda experts, order, k: experts[order].reshape(-1, k)),
        "not sent back: You cut the sorted list into rows of k. There the experts stand in ascending order, whoever chose them; order says where each came from.",
        with_rows(lambda experts, order, k: experts.reshape(-1, k)),
        "choices lost: Every token has its experts, but each row is sorted by expert. Which *choice* an expert was is lost: assignment t·k + j is choice j of token t, so it belongs in column j, `order % k`.",
        with_rows(lambda experts, order, k: np.sort(experts[np.argsort(order)].reshape(-1, k), axis=1)),
        "choices first: You counted as if all first choices came first: a reshape to (k, T), or order % T for the token. Assignments are numbered t·k + j: a token's k choices stand together, so the shape is (T, k), the token order // k and the choice order % k.",
        (with_rows(columns_first), with_rows(lambda experts, order, k: columns_first(experts, order, k).T)),
        "empty left out: You numbered only the experts that have rows. An expert without rows has the same offset twice, and it still counts: the next one has the next number.",
        with_experts(lambda offsets: np.unique(of_row(offsets), return_inverse=True)[1]),
        "last left out: You left out the expert with the highest index. offsets has N + 1 entries, so there are `len(offsets) - 1` experts: a loop over them is `range(len(offsets) - 1)`.",
        (without_the_last(0), without_the_last(-1)),
        'counted from 1: Every expert is one too high. Experts are indices from 0: rows `offsets[0]` to `offsets[1]` are those of index 0. (After `np.searchsorted` with `side="right"`, subtract 1.)',
        with_experts(lambda offsets: of_row(offsets) + 1),
        'border to the left: The first row of every expert goes to the one before. Expert i\'s rows begin *at* offsets[i]: with `np.searchsorted`, take `side="right"`, and subtract 1.',
        (with_experts(left_of_the_border), with_experts(lambda offsets: left_of_the_border(offsets[1:]) + 1)),
        "last rows left out: The last row of every expert is missing. A slice ends *before* its second number: `order[offsets[i]:offsets[i + 1]]` has them all.",
        (
            *(without_rows(lambda offsets: offsets[1:] - 1, elsewhere) for elsewhere in (0, -1)),
            *map(sliced_short, (0, -1)),
        ),
        "first rows left out: The first row of every expert is missing. A slice begins *at* its first number: `order[offsets[i]:offsets[i + 1]]` has them all.",
        tuple(without_rows(lambda offsets: offsets[:-1], elsewhere) for elsewhere in (0, -1)),
        "places: These say at which place of the sorted list each assignment stands. Asked is whose that place is: offsets says it.",
        (
            lambda order, offsets, k: np.argsort(order).reshape(-1, k),
            lambda order, offsets, k: np.argsort(order).reshape(-1, k) // k,
        ),
        "choices turned round: Each token has its experts, the last choice first. Assignment t·k + j is choice j of token t.",
        with_rows(lambda experts, order, k: sent_back(experts, order, k)[:, ::-1]),
        "a mask: This marks which experts each token selected, (T, N). Asked are their indices, choice by choice: (T, k).",
        (marked, lambda *case: marked(*case).astype(bool)),
        "token of the place: You took r // k for the token of sorted row r. Row r is assignment order[r]: it is choice order[r] % k of token order[r] // k.",
        tuple(map(row_for_assignment, (0, -1))),
        "order itself: This is made of order alone, or of a quotient or remainder of it, cut into rows of k. Asked are the experts, and they are in offsets: row r is that of expert i if offsets[i] <= r < offsets[i + 1].",
        (
            lambda order, offsets, k: order.reshape(-1, k),
            lambda order, offsets, k: (order // k).reshape(-1, k),
            lambda order, offsets, k: (order % k).reshape(-1, k),
            lambda order, offsets, k: (order % (len(offsets) - 1)).reshape(-1, k),
        ),
        "not cut: The T·k numbers are right. Cut them into rows of k: selected is (T, k).",
        with_rows(lambda experts, order, k: experts[np.argsort(order)]),
        "tokens as columns: The numbers are right, but your result is (k, T). Tokens are rows: (T, k).",
        with_rows(lambda experts, order, k: sent_back(experts, order, k).T),
    ),
)
