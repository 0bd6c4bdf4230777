"""Question 5.2: offsets of the sorted dispatch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_05.q1_expert import LAYER
from moe_lessons.checks.values import agree
from moe_lessons.checks.verdicts import by_test, by_value


def dispatch_cases(rng: np.random.Generator) -> list[tuple]:
    """Empty experts in the middle and at the end; so many assignments that an unstable sort shows; k = 1."""
    busy = [0, 1, 3, 4, 5]  # of 7 experts E3 and the last are empty
    few = np.stack([rng.permutation(busy)[:2] for _ in range(6)])  # (6, 2)
    many = np.stack([rng.permutation(5)[:3] for _ in range(40)])  # (40, 3)
    single = rng.permutation([1, 1, 3, 3, 5])[:, None]  # (5, 1)
    few[:3], single[-1] = [[5, 0], [4, 1], [3, 0]], 1  # not sorted already, and nobody's order is its own inverse
    return [(few, 7), (many, 6), (single, 6)]


def stable_order(selected: np.ndarray) -> np.ndarray:
    """Return the assignments t·k + j sorted by expert, equal ones as they came. selected (T, k). Returns (T·k,)."""
    return np.argsort(selected, axis=None, kind="stable")  # (T·k,)


def ends_of(counts: np.ndarray) -> np.ndarray:
    """Return a 0, then where each of these groups of rows ends. counts (n,). Returns (n + 1,)."""
    return np.append(0, np.cumsum(counts))


def dispatch(selected: np.ndarray, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the order (T·k,) of the assignments by expert, and the offsets (N + 1,) of each expert's rows."""
    return stable_order(selected), ends_of(np.bincount(selected.ravel(), minlength=N))


def of_offsets(wrong: Callable) -> Callable:
    """Return the function of (selected, N) that is wrong(the right offsets)."""
    return lambda selected, N: wrong(dispatch(selected, N)[1])


def is_swapped(value: Any, selected: np.ndarray, N: int) -> bool:
    """Tell whether an answer of two parts is the right offsets, then the right order."""
    order, offsets = dispatch(selected, N)
    return isinstance(value, list) and len(value) == 2 and agree(value[0], offsets) and agree(value[1], order)


def is_sorted_by_expert(order: Any, selected: np.ndarray, N: int) -> bool | str:
    """Tell whether `order` holds every assignment once, E1's first; in words, if rows of an expert are exchanged."""
    if not isinstance(order, np.ndarray) or order.dtype.kind not in "iu" or order.shape != (selected.size,):
        return False
    every = np.array_equal(np.sort(order), np.arange(selected.size))
    return every and bool((np.diff(selected.ravel()[order]) >= 0).all()) and (exchanged_rows(order, selected) or True)


def exchanged_rows(order: np.ndarray, selected: np.ndarray) -> str:
    """Name the first two neighbouring rows of one expert that stand in the wrong order; nothing if there are none."""
    experts = selected.ravel()[order]  # (T·k,)
    wrong = np.flatnonzero((np.diff(experts) == 0) & (np.diff(order) < 0))
    if not wrong.size:
        return ""
    r = wrong[0]
    return f"order[{r}] = {order[r]} and order[{r + 1}] = {order[r + 1]} both go to E{experts[r] + 1}: the smaller comes first"


DISPATCH = FunctionQuestion(
    **about("5.2", "Offsets of the sorted dispatch", "write it", "medium", points=2, minutes=8),
    hints=(
        '`selected.ravel()` lists the T·k assignments token by token, so that number t·k + j is choice j of token t. `np.argsort(..., kind="stable")` of that list is the order.',
        "`np.bincount(..., minlength=num_experts)` counts each expert's rows, also where there are none. `np.cumsum` of the counts says where each expert ends; with a 0 in front it also says where it begins.",
    ),
    idea="After the sort each expert's rows lie side by side, so two numbers, where they begin and where they end, are all that is needed to find them; an expert without rows has the same number twice.",
    answer="my_dispatch",
    parameters=("selected", "num_experts"),
    stands_for=LAYER,
    when_raised="selected is (T, k). Flatten it first (`selected.ravel()`), then sort and count its T·k entries.",
    cases=dispatch_cases,
    reference=dispatch,
    parts={
        "order": by_value(
            "not flattened: You sorted within each token. The experts need all assignments sorted together: flatten first.",
            lambda s, N: np.argsort(s, axis=-1, kind="stable"),
            "flattened after the sort: You sorted within each token and flattened afterwards. Flatten first, then sort all T·k together.",
            lambda s, N: np.argsort(s, axis=-1, kind="stable").ravel(),
            "not sorted: These are the assignments as they came, token by token. Sort them by expert.",
            lambda s, N: np.arange(s.size),
            "sorted experts: These are the sorted experts themselves. Asked is *which* assignment stands where: `np.argsort` instead of `np.sort`.",
            lambda s, N: np.sort(s, axis=None),
            "tokens: These are the tokens of the sorted rows (order // k). Asked is the order itself: it also says which of the k choices a row is.",
            lambda s, N: stable_order(s) // s.shape[1],
            "inverse: This is the inverse: to which row each assignment goes. Asked is which assignment each row holds.",
            lambda s, N: np.argsort(stable_order(s)),
            "last expert first: The last expert comes first here. E1's rows come first.",
            lambda s, N: np.argsort(-s.ravel(), kind="stable"),
            "column by column: You flattened column by column: all first choices, then all second ones. Assignment t·k + j is choice j of token t: row by row.",
            lambda s, N: np.argsort(s.T.ravel(), kind="stable"),
        )
        + by_test(
            'not as they came: Every expert has its own rows, but not in the order in which they came, by assignment number. Either the sort is not stable (`np.argsort` promises that with `kind="stable"` only; on short arrays it may look stable by accident), or something else than the number decides among the rows of an expert, such as which choice a row is.',
            is_sorted_by_expert,
        ),
        "offsets": by_value(
            "not minlength: Your offsets end with the last expert that has rows. Experts after it count too: `np.bincount(..., minlength=num_experts)`.",
            lambda s, N: ends_of(np.bincount(s.ravel())),
            "empty left out: Experts without rows have no place in your offsets, so every expert after them gets another's rows. `np.bincount(..., minlength=num_experts)` counts them as 0.",
            lambda s, N: ends_of(np.unique(s, return_counts=True)[1]),
            "no leading 0: The first entry is missing. These are the ends; E1 begins at 0, so a 0 stands in front.",
            of_offsets(lambda o: o[1:]),
            "no end: The last entry is missing. These are the beginnings; the last expert ends at T·k, so T·k stands at the end.",
            of_offsets(lambda o: o[:-1]),
            'one place on: Your entry i is where expert i ends. It should be where it begins: every expert gets the next one\'s rows. With `np.searchsorted`, take `side="left"`.',
            of_offsets(lambda o: np.append(o[1:], o[-1])),
            "counts: These are the numbers of rows. Add them up along the experts (`np.cumsum`), with a 0 in front.",
            of_offsets(np.diff),
            "counts and 0: These are the numbers of rows with a 0 in front. Add them up along the experts: `np.cumsum`.",
            of_offsets(lambda o: np.append(0, np.diff(o))),
            "by token: These are offsets by token: every k rows. After the sort the rows are grouped by expert.",
            lambda s, N: np.arange(0, s.size + 1, s.shape[1]),
        ),
    },
    mistakes=by_test(
        "swapped parts: Both parts are right, but they come in the wrong order: return `order` first, then `offsets`.",
        is_swapped,
    ),
)
