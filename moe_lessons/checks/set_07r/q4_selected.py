"""Question 7r.4: from the sorted rows back to the choices."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value


def expert_of_row(loads: np.ndarray) -> np.ndarray:
    """Return whose slice each sorted row lies in. loads (N,). Returns (T·k,)."""
    return np.repeat(np.arange(len(loads)), loads)


def chosen(order: np.ndarray, loads: np.ndarray, k: int) -> np.ndarray:
    """Return the experts of each token. order (T·k,), loads (N,). Returns (T, k)."""
    flat = np.empty(len(order), dtype=int)  # (T·k,)
    flat[order] = expert_of_row(loads)
    return flat.reshape(-1, k)  # (T, k)


def sorted_choices(selected: np.ndarray, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return order (T·k,) and loads (N,) of choices (T, k), as a layer sorts them."""
    flat = selected.ravel()  # (T·k,)
    return np.argsort(flat, kind="stable"), np.bincount(flat, minlength=N)


def draw_choices(rng: np.random.Generator, T: int, N: int, k: int, idle: int) -> np.ndarray:
    """Return choices (T, k) in which expert `idle` is nobody's, and the last one somebody's."""
    busy = np.setdiff1d(np.arange(N), [idle])  # (N - 1,)
    selected = np.array([rng.permutation(busy)[:k] for _ in range(T)])  # (T, k)
    if (selected != N - 1).all():
        selected[rng.integers(T), 0] = N - 1
    return selected


def selected_cases(rng: np.random.Generator) -> list[tuple]:
    """One expert a token, two and three; an idle expert in each, now the first, now between others."""
    cases = []
    for T, N, k, idle in ((9, 5, 1, 2), (7, 6, 2, 0), (6, 5, 3, 1)):
        cases.append((*sorted_choices(draw_choices(rng, T, N, k, idle), N), k))
    return cases


def of_flat(flat: Callable) -> Callable:
    """Return the answer that cuts flat(order, loads) into tokens."""
    return lambda order, loads, k: flat(order, loads).reshape(-1, k)


def without_idle(order: np.ndarray, loads: np.ndarray, k: int) -> np.ndarray:
    """Number only the experts that have rows. (T, k)."""
    return chosen(order, loads[loads > 0], k)


SELECTED = FunctionQuestion(
    **about("7r.4", "From the rows back to the choices", "write it", "medium", points=1, minutes=4),
    hints=(
        "Two questions for each sorted row: whose slice does it lie in, and which assignment was it? `order` answers the second, `loads` the first.",
        "`np.repeat(np.arange(len(loads)), loads)` is the expert of each sorted row. Row j was assignment `order[j]`: so that is where its expert belongs. Then T rows of k.",
    ),
    idea="The loads say where each expert's slice lies, the order says where each row came from; writing to `flat[order]` undoes the sort.",
    takeaway="Sorting for the experts loses nothing: order and loads hold every choice, and `flat[order] = ...` is what combine does with the outputs.",
    answer="my_selected",
    parameters=("order", "loads", "k"),
    cases=selected_cases,
    reference=chosen,
    mistakes=by_value(
        "sort not undone: These are the experts in the order of the sorted rows. Row j was assignment `order[j]`: put its expert there.",
        of_flat(lambda order, loads: expert_of_row(loads)),
        "turned round: You read at `order` where you have to write: `experts[order]` sorts once more, `flat[order] = experts` undoes it.",
        of_flat(lambda order, loads: expert_of_row(loads)[order]),
        "tokens: order // k is the token of each row. Asked is which experts each token chose.",
        lambda order, loads, k: (order // k).reshape(-1, k),
        "order itself: These are the numbers of assignments, not of experts.",
        of_flat(lambda order, loads: order),
        "idle left out: You numbered only the experts that have rows. An expert without rows keeps its number.",
        without_idle,
        "counted from 1: You counted experts from 1. Indices begin at 0, as in `loads`.",
        lambda order, loads, k: chosen(order, loads, k) + 1,
        "by places: You filled all first choices, then all second ones. Assignment t·k + j is choice j of token t: one token after the other.",
        lambda order, loads, k: chosen(order, loads, k).reshape(k, -1).T,
        "not cut into tokens: Right, but flat. Asked is a row for each token: T rows of k.",
        lambda order, loads, k: chosen(order, loads, k).ravel(),
        "rows sorted: The right experts for each token, but sorted. The k choices of a token have an order: its assignments' own.",
        lambda order, loads, k: np.sort(chosen(order, loads, k), axis=-1),
        "one hot: You return a mask. Asked are the indices of the experts.",
        lambda order, loads, k: np.eye(len(loads), dtype=int)[chosen(order, loads, k)].sum(axis=1),
    ),
)
