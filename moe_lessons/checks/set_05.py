"""Questions of exercise set 05: the sparse layer."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import (
    AnswerRaised,
    Data,
    FunctionQuestion,
    Mistake,
    Question,
    Reply,
    Verdict,
    call_answer,
    difference,
)
from moe_lessons.checks.values import Opaque, agree, describe, plain, stacked

LAYER = tuple(f"layer.{name}" for name in ("MoELayer", "Experts", "feed_forward", "per_token", "per_expert"))


# --- 5.1 an expert ------------------------------------------------------------------------------------------------


def expert_cases(rng: np.random.Generator) -> list[tuple]:
    """Several tokens, one token, and an expert that is narrower than its input. Returns (x, W1, W2, W3) of each."""
    cases = []
    for T, d, f in ((4, 3, 5), (1, 4, 6), (6, 5, 2)):
        shapes = ((T, d), (d, f), (f, d), (d, f))
        cases.append(tuple(rng.normal(size=shape).round(1) + 0.05 for shape in shapes))
    return cases


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-z), same shape."""
    return 1 / (1 + np.exp(-z))


def silu(z: np.ndarray) -> np.ndarray:
    """Return z · sigmoid(z), same shape."""
    return z * sigmoid(z)


def gelu(z: np.ndarray) -> np.ndarray:
    """Return z times the normal distribution function at z, same shape."""
    return z * np.vectorize(lambda value: 0.5 * math.erfc(-value / math.sqrt(2)))(z)


def tanh_gelu(z: np.ndarray) -> np.ndarray:
    """Return the usual approximation of `gelu`, same shape."""
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def softmax_silu(z: np.ndarray) -> np.ndarray:
    """Return z · softmax(z) over the last axis, same shape."""
    return z * routing.softmax(z)


def with_hidden(hidden: Callable) -> Callable:
    """Return the expert whose hidden layer is hidden(x W1, x W3)."""
    return lambda x, W1, W2, W3: hidden(x @ W1, x @ W3) @ W2


def swiglu(x: np.ndarray, W1: np.ndarray, W2: np.ndarray, W3: np.ndarray) -> np.ndarray:
    """Return (silu(x W1) * x W3) W2. x (T, d), W1 and W3 (d, f), W2 (f, d). Returns (T, d)."""
    return (silu(x @ W1) * (x @ W3)) @ W2  # (T, d)


EXPERT = FunctionQuestion(
    id="5.1",
    title="An expert",
    kind="write it",
    points=1,
    minutes=6,
    difficulty="easy",
    hints=(
        "Two products go from width d to width f: `x @ W1` and `x @ W3`. The first of them passes through silu.",
        "silu(z) is z times sigmoid(z), which is `z / (1 + np.exp(-z))`. Multiply the two branches entry by entry (`*`), then `@ W2` leads back to width d.",
    ),
    idea="One branch carries numbers and the other decides how much of each passes; W2 brings the result back to the width d of the token, so that the outputs of several experts can be added.",
    answer="my_expert",
    parameters=("x", "W1", "W2", "W3"),
    stands_for=LAYER,
    when_raised="Go through the shapes: x (T, d), W1 and W3 (d, f), so both branches are (T, f), and W2 (f, d) leads back. Nothing is transposed (torch's nn.Linear stores the transpose). The product of the branches is entry by entry, and comes before W2.",
    cases=expert_cases,
    reference=swiglu,
    mistakes=(
        Mistake("ReLU", "You used ReLU. SwiGLU's activation is silu(z) = z · sigmoid(z): smooth, and a little below 0 for negative z.",
                with_hidden(lambda a, b: np.maximum(a, 0) * b)),
        Mistake("sigmoid", "You used the sigmoid alone: that is the older GLU. silu is z · sigmoid(z); the factor z is missing.",
                with_hidden(lambda a, b: sigmoid(a) * b)),
        Mistake("GELU", "You used GELU: that is GEGLU, a relative. silu is z · sigmoid(z).", with_hidden(lambda a, b: gelu(a) * b)),
        Mistake("GELU by tanh", "You used GELU, in its approximation by tanh: that is GEGLU, a relative. silu is z · sigmoid(z).",
                with_hidden(lambda a, b: tanh_gelu(a) * b)),
        Mistake("sign", "The sigmoid is the wrong way round: your silu is z / (1 + e^z). It should be z / (1 + e^-z), which passes large positive z.",
                with_hidden(lambda a, b: a * sigmoid(-a) * b)),
        Mistake("softmax", "You used a softmax where the sigmoid belongs. In a softmax the f hidden units compete; the sigmoid looks at each alone.",
                with_hidden(lambda a, b: softmax_silu(a) * b)),
        Mistake("no activation", "You multiplied the branches without silu.", with_hidden(lambda a, b: a * b)),
        Mistake("gate on the other branch", "Your silu is on x W3. It belongs on x W1; x W3 is the branch that stays as it is.",
                with_hidden(lambda a, b: a * silu(b))),
        Mistake("both activated", "You applied silu to both branches. x W3 stays as it is.", with_hidden(lambda a, b: silu(a) * silu(b))),
        Mistake("activated product", "You multiplied the branches first and applied silu to the product. silu belongs on x W1 alone.",
                with_hidden(lambda a, b: silu(a * b))),
        Mistake("plain ReLU expert", "This is the older expert, ReLU(x W1) W2. SwiGLU has a second branch, x W3, and silu in place of ReLU.",
                with_hidden(lambda a, b: np.maximum(a, 0))),
        Mistake("silu after W2", "You applied silu to the result, after W2. It belongs on x W1, before the branches are multiplied.",
                lambda x, W1, W2, W3: silu(((x @ W1) * (x @ W3)) @ W2)),
        Mistake("W3 forgotten", "This is silu(x W1) W2. The second branch, x W3, is not in it.", with_hidden(lambda a, b: silu(a))),
        Mistake("added", "You added the branches. The gate multiplies: silu(x W1) * (x W3).", with_hidden(lambda a, b: silu(a) + b)),
        Mistake("W2 forgotten", "This is the hidden layer, of width f. W2 leads back to width d.",
                lambda x, W1, W2, W3: silu(x @ W1) * (x @ W3)),
        Mistake("with residual", "You added x. The residual connection is around the whole layer, not part of an expert: k experts would add x k times, weighted.",
                lambda x, W1, W2, W3: x + swiglu(x, W1, W2, W3)),
        Mistake("tokens as columns", "The numbers are right, but your result is (d, T). Tokens are rows: (T, d).",
                lambda x, W1, W2, W3: swiglu(x, W1, W2, W3).T),
    ),
)  # fmt: skip


# --- 5.2 offsets of the sorted dispatch ---------------------------------------------------------------------------


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


def dispatch(selected: np.ndarray, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the order (T·k,) of the assignments by expert, and the offsets (N + 1,) of each expert's rows."""
    counts = np.bincount(selected.ravel(), minlength=N)  # (N,)
    return stable_order(selected), np.concatenate([[0], np.cumsum(counts)])  # (T·k,), (N + 1,)


def of_order(wrong: Callable) -> Callable:
    """Return the function of (selected, N) that is wrong(selected)."""
    return lambda selected, N: wrong(selected)


def of_offsets(wrong: Callable) -> Callable:
    """Return the function of (selected, N) that is wrong(the right offsets)."""
    return lambda selected, N: wrong(dispatch(selected, N)[1])


def unique_offsets(selected: np.ndarray, N: int) -> np.ndarray:
    """Return the offsets of only those experts that have rows."""
    return np.concatenate([[0], np.cumsum(np.unique(selected, return_counts=True)[1])])


def short_offsets(selected: np.ndarray, N: int) -> np.ndarray:
    """Return the offsets up to the last expert that has rows."""
    return np.concatenate([[0], np.cumsum(np.bincount(selected.ravel()))])


@dataclass(frozen=True, kw_only=True)
class DispatchQuestion(FunctionQuestion):
    """Recognises the two parts in the wrong order, and any order that is by expert but not as they came."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare; where no known mistake fits, see whether parts, or only rows of the same expert, are exchanged."""
        verdict = super().judge(data, reply)
        if verdict.correct or verdict.mistake:
            return verdict
        if all(map(is_swapped, reply["values"], data["cases"])):
            return Verdict(False, "Both parts are right, but they come in the wrong order: return `order` first, then `offsets`.", "swapped parts")  # fmt: skip
        orders = [first_part(value) for value in reply["values"]]
        pairs = list(zip(orders, data["cases"], strict=True))
        if not all(is_sorted_by_expert(order, *case) for order, case in pairs):
            return verdict
        exchanged = (exchanged_rows(order, *case) for order, case in pairs)
        seen = next(filter(None, exchanged), "")
        if not seen:  # the order is right; the offsets are what differs
            return verdict
        why = "Every expert has its own rows, but not in the order in which they came, by assignment number. Either the sort is not stable (`np.argsort` promises that with `kind=\"stable\"` only; on short arrays it may look stable by accident), or something else than the number decides among the rows of an expert, such as which choice a row is."  # fmt: skip
        return Verdict(False, f"{why}\n{seen}", "not as they came")


def is_swapped(value: Any, case: tuple) -> bool:
    """Tell whether an answer of two parts is the right offsets, then the right order."""
    order, offsets = dispatch(*case)
    return isinstance(value, list) and len(value) == 2 and agree(value[0], offsets) and agree(value[1], order)


def first_part(value: Any) -> Any:
    """Return the order out of an answer of two parts."""
    parts = value.get("order") if isinstance(value, dict) else value[0] if isinstance(value, list) and value else None
    return stacked(parts)


def is_sorted_by_expert(order: Any, selected: np.ndarray, N: int) -> bool:
    """Tell whether `order` holds every assignment once, and those of each expert together, E1 first."""
    if not isinstance(order, np.ndarray) or order.dtype.kind not in "iu" or order.shape != (selected.size,):
        return False
    every = np.array_equal(np.sort(order), np.arange(selected.size))
    return every and bool((np.diff(selected.ravel()[order]) >= 0).all())


def exchanged_rows(order: np.ndarray, selected: np.ndarray, N: int) -> str:
    """Name the first two neighbouring rows of one expert that stand in the wrong order; nothing if there are none."""
    experts = selected.ravel()[order]  # (T·k,)
    wrong = np.flatnonzero((np.diff(experts) == 0) & (np.diff(order) < 0))
    if not wrong.size:
        return ""
    r = wrong[0]
    return f"order[{r}] = {order[r]} and order[{r + 1}] = {order[r + 1]} both go to E{experts[r] + 1}: the smaller comes first"  # fmt: skip


DISPATCH = DispatchQuestion(
    id="5.2",
    title="Offsets of the sorted dispatch",
    kind="write it",
    points=2,
    minutes=8,
    difficulty="medium",
    hints=(
        "`selected.ravel()` lists the T·k assignments token by token, so that number t·k + j is choice j of token t. `np.argsort(..., kind=\"stable\")` of that list is the order.",
        "`np.bincount(..., minlength=num_experts)` counts each expert's rows, also where there are none. `np.cumsum` of the counts says where each expert ends; with a 0 in front it also says where it begins.",
    ),
    idea="After the sort each expert's rows lie side by side, so two numbers, where they begin and where they end, are all that is needed to find them; an expert without rows has the same number twice.",
    answer="my_dispatch",
    parameters=("selected", "num_experts"),
    stands_for=LAYER,
    when_raised="selected is (T, k). Flatten it first (`selected.ravel()`), then sort and count its T·k entries.",
    parts=("order", "offsets"),
    cases=dispatch_cases,
    reference=dispatch,
    mistakes=(
        Mistake("not flattened", "You sorted within each token. The experts need all assignments sorted together: flatten first.",
                of_order(lambda s: np.argsort(s, axis=-1, kind="stable")), "order"),
        Mistake("flattened after the sort", "You sorted within each token and flattened afterwards. Flatten first, then sort all T·k together.",
                of_order(lambda s: np.argsort(s, axis=-1, kind="stable").ravel()), "order"),
        Mistake("not sorted", "These are the assignments as they came, token by token. Sort them by expert.",
                of_order(lambda s: np.arange(s.size)), "order"),
        Mistake("sorted experts", "These are the sorted experts themselves. Asked is *which* assignment stands where: `np.argsort` instead of `np.sort`.",
                of_order(lambda s: np.sort(s, axis=None)), "order"),
        Mistake("tokens", "These are the tokens of the sorted rows (order // k). Asked is the order itself: it also says which of the k choices a row is.",
                of_order(lambda s: stable_order(s) // s.shape[1]), "order"),
        Mistake("inverse", "This is the inverse: to which row each assignment goes. Asked is which assignment each row holds.",
                of_order(lambda s: np.argsort(stable_order(s))), "order"),
        Mistake("last expert first", "The last expert comes first here. E1's rows come first.",
                of_order(lambda s: np.argsort(-s.ravel(), kind="stable")), "order"),
        Mistake("column by column", "You flattened column by column: all first choices, then all second ones. Assignment t·k + j is choice j of token t: row by row.",
                of_order(lambda s: np.argsort(s.T.ravel(), kind="stable")), "order"),
        Mistake("not minlength", "Your offsets end with the last expert that has rows. Experts after it count too: `np.bincount(..., minlength=num_experts)`.",
                short_offsets, "offsets"),
        Mistake("empty left out", "Experts without rows have no place in your offsets, so every expert after them gets another's rows. `np.bincount(..., minlength=num_experts)` counts them as 0.",
                unique_offsets, "offsets"),
        Mistake("no leading 0", "The first entry is missing. These are the ends; E1 begins at 0, so a 0 stands in front.",
                of_offsets(lambda o: o[1:]), "offsets"),
        Mistake("no end", "The last entry is missing. These are the beginnings; the last expert ends at T·k, so T·k stands at the end.",
                of_offsets(lambda o: o[:-1]), "offsets"),
        Mistake("one place on", "Your entry i is where expert i ends. It should be where it begins: every expert gets the next one's rows. With `np.searchsorted`, take `side=\"left\"`.",
                of_offsets(lambda o: np.append(o[1:], o[-1])), "offsets"),
        Mistake("counts", "These are the numbers of rows. Add them up along the experts (`np.cumsum`), with a 0 in front.",
                of_offsets(np.diff), "offsets"),
        Mistake("counts and 0", "These are the numbers of rows with a 0 in front. Add them up along the experts: `np.cumsum`.",
                of_offsets(lambda o: np.append(0, np.diff(o))), "offsets"),
        Mistake("by token", "These are offsets by token: every k rows. After the sort the rows are grouped by expert.",
                of_order(lambda s: np.arange(0, s.size + 1, s.shape[1])), "offsets"),
    ),
)  # fmt: skip


# --- 5.3 the sparse forward ---------------------------------------------------------------------------------------


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
    """Return tanh(x M_i) of every token for each of its k experts. (T, k, d)."""
    return np.tanh(np.einsum("td,tkde->tke", x, matrices[selected]))  # (T, k, d)


def sparse(x: np.ndarray, selected: np.ndarray, weights: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the weighted sum of each token's k expert outputs. (T, d)."""
    return np.einsum("tk,tkd->td", weights, choices(x, selected, matrices))  # (T, d)


def by_wrong_weights(rule: Callable) -> Callable:
    """Return the layer that uses rule(selected, weights), (T, k) or less, for its weights."""
    return lambda x, selected, weights, matrices: sparse(x, selected, rule(selected, weights), matrices)


def keep_last_expert(selected: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weights (T, k) that are 0 but for each token's expert of the highest index."""
    return np.where(selected == selected.max(axis=1, keepdims=True), weights, 0)


def keep_choice(j: int) -> Callable:
    """Return the rule that keeps the weight of choice j alone."""
    return lambda selected, weights: weights * (np.arange(weights.shape[1]) == j % weights.shape[1])


def unsorted_weights(selected: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights that each choice gets if row r of the sorted rows takes the r-th weight as it came. (T, k)."""
    taken = np.empty(weights.size)
    taken[stable_order(selected)] = weights.ravel()
    return taken.reshape(weights.shape)  # (T, k)


def scaled_rows(x: np.ndarray, selected: np.ndarray, weights: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the sum of experts that were given w·x instead of x. (T, d)."""
    return np.tanh(weights[..., None] * np.einsum("td,tkde->tke", x, matrices[selected])).sum(axis=1)


def not_sent_back(x: np.ndarray, selected: np.ndarray, weights: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Add up each k neighbours of the sorted rows, as if they were one token's. (T, d)."""
    weighted = (weights[..., None] * choices(x, selected, matrices)).reshape(weights.size, -1)  # (T·k, d)
    return weighted[stable_order(selected)].reshape(*weights.shape, -1).sum(axis=1)


def sorted_choices(x: np.ndarray, selected: np.ndarray, weights: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the outputs times their weights, sorted by expert, not combined. (T·k, d)."""
    weighted = weights[..., None] * choices(x, selected, matrices)  # (T, k, d)
    return weighted.reshape(weights.size, -1)[stable_order(selected)]  # (T·k, d)


class RowCountingExperts:
    """Experts made from matrices (N, d, d); remembers which rows each of them was given."""

    def __init__(self, matrices: np.ndarray) -> None:
        self.calls: list[tuple[int, np.ndarray]] = []
        self.functions = [self._expert(i, M) for i, M in enumerate(matrices)]

    def _expert(self, index: int, M: np.ndarray) -> Callable:
        def expert(rows: Any) -> Any:
            given, d = stacked(plain(rows)), len(M)
            if not isinstance(given, np.ndarray) or given.ndim not in (1, 2) or given.shape[-1] != d:
                raise ValueError(f"an expert takes rows (r, d) with d = {d}; came {describe(given)}")
            self.calls.append((index, given.reshape(-1, d)))
            return like(rows, np.tanh(given @ M))

        return expert


def like(given: Any, array: np.ndarray) -> Any:
    """Return the array as a torch tensor if that is what was given, of the same dtype."""
    return given.new_tensor(array) if hasattr(given, "new_tensor") else array


@dataclass(frozen=True, kw_only=True)
class SparseQuestion(FunctionQuestion):
    """Adds to the comparison of values which rows the experts computed."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer with experts that keep what they are given."""
        values, calls, changed = [], [], set()
        for x, selected, weights, matrices in data["cases"]:
            experts = RowCountingExperts(matrices)
            value, names = call_answer(answer, self.parameters, (x, selected, weights), experts.functions)
            values.append(value)
            calls.append([(index, rows) for index, rows in experts.calls if len(rows)])
            changed.update(names)
        return {"values": values, "calls": calls, "changed": sorted(changed)}

    def _write_case(self, case: tuple) -> str:
        return super()._write_case(case[:3])  # the fourth would be the matrices, which the learner never sees

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge y first, then the rows that were computed for it."""
        verdict = super().judge(data, reply)
        if not verdict.correct:
            return verdict
        pairs = list(zip(data["cases"], reply["calls"], strict=True))
        faults = [rows_fault(calls, *case[:2]) for case, calls in pairs]
        worst = next((i for i, (why, _) in enumerate(faults) if why), None)
        if worst is None:
            return verdict
        (x, selected, *_), calls = pairs[worst]
        rows = sum(len(given) for _, given in calls)
        seen = f"T = {len(x)}, k = {selected.shape[1]}: {rows} rows computed in {len(calls)} calls; needed are T·k = {selected.size} rows, in {len(set(selected.ravel()))} calls"  # fmt: skip
        return Verdict(False, f"{faults[worst][0]}\n{seen}", faults[worst][1])


def rows_fault(calls: list[tuple[int, np.ndarray]], x: np.ndarray, selected: np.ndarray) -> tuple[str, str | None]:
    """Say which rows were computed in vain, or in too many calls, and name it; two empties when all is well."""
    rows = sum(len(given) for _, given in calls)
    if rows != selected.size:
        if rows > selected.size and all(agree(given, x) for _, given in calls):
            return "y is right, but every expert that you call computes all T tokens, and what a token did not select is thrown away (or multiplied by 0). Give each expert only the rows that selected it.", "dense"  # fmt: skip
        return "y is right, but the number of rows that the experts computed is not T·k.", None
    if len(calls) == len({index for index, _ in calls}):
        return "", None
    if all(len(given) == 1 for _, given in calls):
        return "y is right and no row is computed in vain, but your experts get one row at a time. One product with many rows is much faster than many products with one: gather all rows of an expert, and call it once.", "row by row"  # fmt: skip
    if choice_by_choice(calls, x, selected):
        return "y is right and no row is computed in vain, but you go through the choices one after the other, and an expert that is first choice for some and second for others is called for each. Gather its rows of all choices, and call it once.", "choice by choice"  # fmt: skip
    return "y is right and no row is computed in vain, but an expert was called more than once. Gather all its rows first.", None  # fmt: skip


def choice_by_choice(calls: list[tuple[int, np.ndarray]], x: np.ndarray, selected: np.ndarray) -> bool:
    """Tell whether every call holds just the rows of one expert and one of the k choices."""
    wanted = [(i, x[column == i]) for column in selected.T for i in range(selected.max() + 1)]
    return all(any(i == index and agree(given, rows) for i, rows in wanted) for index, given in calls)


SPARSE = SparseQuestion(
    id="5.3",
    title="The sparse forward",
    kind="write it",
    points=3,
    minutes=10,
    difficulty="hard",
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
    mistakes=(
        Mistake("unweighted", "You added the outputs of the selected experts without their weights.",
                by_wrong_weights(lambda selected, weights: np.ones_like(weights))),
        Mistake("mean", "You averaged the outputs of the selected experts. Each counts with its own weight.",
                by_wrong_weights(lambda selected, weights: np.full_like(weights, 1 / weights.shape[1]))),
        Mistake("divided by k", "The weighted sum is right up to a factor: you divided it by k. The weights already say how much each counts.",
                by_wrong_weights(lambda selected, weights: weights / weights.shape[1])),
        Mistake("renormalised", "You divided the weights by their sum. They are used as they come: whether they are renormalised was the gate's decision.",
                by_wrong_weights(lambda selected, weights: weights / weights.sum(axis=1, keepdims=True))),
        Mistake("first choice only", "Only each token's first choice is in y. All k count.", by_wrong_weights(keep_choice(0))),
        Mistake("last choice only", "Only each token's last choice is in y. Does a later choice replace the earlier ones? Add with `+=`.",
                by_wrong_weights(keep_choice(-1))),
        Mistake("overwritten", "Each token keeps the output of one expert only, the one with the highest index. Either y is assigned (`=`) where it should be added to (`+=`), or one `y[tokens] += ...` names a token twice: then only the last counts. `np.add.at` adds them all.",
                by_wrong_weights(keep_last_expert)),
        Mistake("first choice's weight", "You used the first choice's weight for every choice. Choice j has weights[t, j].",
                by_wrong_weights(lambda selected, weights: np.repeat(weights[:, :1], weights.shape[1], axis=1))),
        Mistake("weights not sorted", "The outputs are right, but they have each other's weights: the rows are sorted by expert, the weights still by token. Sort them with the same order.",
                by_wrong_weights(unsorted_weights)),
        Mistake("weighted inputs", "You multiplied the input by the weight. The weight multiplies the output: experts are not linear, so that is not the same.", scaled_rows),
        Mistake("not sent back", "You added up neighbours in the sorted order. There, a token's k rows lie far apart: bring each row back to its token (`order // k`) first.", not_sent_back),
        Mistake("all experts", "You added up all N experts without weights. Each token has k of them.",
                lambda x, selected, weights, matrices: np.tanh(np.einsum("td,nde->nte", x, matrices)).sum(axis=0)),
        Mistake("with residual", "You added x. The residual connection is outside this layer.",
                lambda x, selected, weights, matrices: x + sparse(x, selected, weights, matrices)),
        Mistake("not added", "These are the weighted outputs choice by choice. Add them up: y is (T, d).",
                lambda x, selected, weights, matrices: weights[..., None] * choices(x, selected, matrices)),
        Mistake("still rows", "These are the T·k weighted rows, sorted by expert. Add each token's k rows: y is (T, d), and row r belongs to token `order[r] // k`.", sorted_choices),
        Mistake("still rows, unweighted", "These are the experts' T·k rows, sorted by expert. Give each its weight and add each token's k rows: y is (T, d), and row r belongs to token `order[r] // k`.",
                lambda x, selected, weights, matrices: sorted_choices(x, selected, np.ones_like(weights), matrices)),
        Mistake("rows by token", "These are the T·k weighted rows, token by token. Add up the k rows of each token: y is (T, d).",
                lambda x, selected, weights, matrices: (weights[..., None] * choices(x, selected, matrices)).reshape(weights.size, -1)),
    ),
)  # fmt: skip


# --- 5.4 find the trap in a slow layer ----------------------------------------------------------------------------

# Rows of the layer; more than the width d and than N, so that a tensor of all rows and all experts, or of a weight for
# each row, is larger than the weights. At most 10 rows an expert: a padded batch is smaller than the weights.
ROWS, MOST_ROWS, MOST_FULL = 48, 10, 4
GRADIENTS = ("rows", "W1", "W2")


def slow_cases(rng: np.random.Generator) -> list[tuple]:
    """Rows (R, d), sizes (N,) with zeros among them, W1 (N, d, f), W2 (N, f, d), and v = ∂L/∂y (R, d)."""
    cases = []
    for N, d, f in ((12, 24, 40), (20, 16, 28)):
        sizes = np.clip(rng.multinomial(ROWS, np.full(N - 1, 1 / (N - 1))), 0, MOST_ROWS)  # (N - 1,)
        sizes = np.insert(sizes, rng.integers(N), 0)  # (N,), one at least is empty
        shapes = ((sizes.sum(), d), (N, d, f), (N, f, d), (sizes.sum(), d))
        # Eighths: float32 computes x W1 exactly, so that no rounding decides on which side of ReLU's kink it lies.
        rows, W1, W2, v = (np.round(8 * rng.normal(size=shape)) / 8 for shape in shapes)
        cases.append((rows, sizes, W1, W2, v))
    return cases


def loop_values(rows: np.ndarray, sizes: np.ndarray, W1: np.ndarray, W2: np.ndarray, v: np.ndarray) -> dict:
    """Return y (R, d) of the ReLU experts and the gradients of Σ y·v to rows, W1 and W2."""
    y, by_rows, by_W1, by_W2 = np.zeros_like(rows), np.zeros_like(rows), np.zeros_like(W1), np.zeros_like(W2)
    ends = np.cumsum(sizes)  # (N,)
    for i, (start, end) in enumerate(zip(ends - sizes, ends, strict=True)):
        part, before = rows[start:end], rows[start:end] @ W1[i]  # (r, d), (r, f)
        hidden = np.maximum(before, 0)  # (r, f)
        y[start:end] = hidden @ W2[i]  # (r, d)
        slope = (before > 0) * (v[start:end] @ W2[i].T)  # (r, f)
        by_rows[start:end], by_W1[i], by_W2[i] = slope @ W1[i].T, part.T @ slope, hidden.T @ v[start:end]
    return {"y": y, "rows": by_rows, "W1": by_W1, "W2": by_W2}


@dataclass(frozen=True)
class Backward:
    """The gradients of one backward: `made` by a step on the way to `leaves`, and `given` to a step.

    All are kept, so that no two share a place in memory by coincidence.
    """

    made: list[tuple[Any, frozenset[int]]]
    given: list[Any]

    def full(self, leaf: Any) -> int:
        """Count the gradients of a leaf's full size on the way to it; a view of another is not counted."""
        sized = (gradient for gradient, leaves in self.made if id(leaf) in leaves and gradient.numel() == leaf.numel())
        return len({gradient.data_ptr() for gradient in sized})

    def largest(self) -> tuple[int, ...]:
        """Return the shape of the largest gradient."""
        gradients = [gradient for gradient, _ in self.made] + self.given
        return tuple(max(gradients, key=lambda gradient: gradient.numel()).shape) if gradients else ()


def run_backward(y: Any, v: Any) -> Backward:
    """Run the backward of Σ y·v and watch its steps. y and v: tensors of the same shape."""
    backward, leaves_of = Backward([], []), leaves_behind(y.grad_fn)
    for node in leaves_of:
        if node is None or hasattr(node, "variable"):
            continue

        def keep(made: tuple, given: tuple, ways: tuple = node.next_functions) -> None:
            pairs = zip(made, ways, strict=True)
            backward.made.extend((g, leaves_of[after]) for g, (after, _) in pairs if g is not None)
            backward.given.extend(g for g in given if g is not None)

        node.register_hook(keep)
    y.backward(v)
    return backward


def leaves_behind(root: Any) -> dict[Any, frozenset[int]]:
    """Return the leaves (their ids) that each step of torch's backward leads to, from the grad_fn `root` on."""
    found: dict[Any, frozenset[int]] = {None: frozenset()}
    waiting = [root]
    while waiting:
        node = waiting[-1]
        if node in found:
            waiting.pop()
            continue
        following = [after for after, _ in node.next_functions]
        unknown = [after for after in following if after not in found]
        waiting += unknown
        if not unknown:
            own = {id(node.variable)} if hasattr(node, "variable") else set()
            found[node] = frozenset(own.union(*(found[after] for after in following)))
    return found


def full_size_gradients(y: Any, *weights: Any) -> list[int]:
    """Run the backward of the sum of y; count for each weight the gradients of its full size that the steps make."""
    backward = run_backward(y, y.detach().new_ones(y.shape))
    return [backward.full(weight) for weight in weights]


def measured_layer(answer: Callable, rows: Any, sizes: Any, W1: Any, W2: Any, v: Any) -> Any:
    """Run a learner's layer forward and backward. Returns y, the gradients, and what the backward made."""
    import torch

    leaves = [torch.tensor(array, dtype=torch.float32, requires_grad=True) for array in (rows, W1, W2)]
    y = answer(leaves[0], [int(size) for size in sizes], *leaves[1:])
    if not isinstance(y, torch.Tensor):
        return {"not a tensor": y}
    backward = Backward([], [])
    if y.requires_grad and y.shape == v.shape:
        backward = run_backward(y, torch.tensor(v, dtype=y.dtype))
    return {
        "y": y,
        **{name: leaf.grad for name, leaf in zip(GRADIENTS, leaves, strict=True)},
        "full": [backward.full(leaf) for leaf in leaves[1:]],
        "largest": backward.largest(),
    }


@dataclass(frozen=True, kw_only=True)
class TrapQuestion(Question):
    """Any layer is right whose y and gradients are, and whose backward makes no full-size gradient per expert."""

    def draw(self, rng: np.random.Generator) -> Data:
        """Return the layers."""
        return {"cases": slow_cases(rng)}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Run every layer forward and backward."""
        layers = []
        for case in data["cases"]:
            try:
                layers.append(plain(measured_layer(answer, *case)))
            except Exception as error:
                rows, _, W1, W2, _ = (np.shape(array) for array in case)
                raise AnswerRaised(f"rows {rows}, sizes (a list of {W1[0]} numbers), W1 {W1}, W2 {W2}") from error
        return {"layers": layers}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge y, then the gradients, then how they were made."""
        for fault in (value_fault, gradient_fault, size_fault):
            found = [fault(layer, case) for layer, case in zip(reply["layers"], data["cases"], strict=True)]
            if any(found):
                first = next(filter(None, found))
                same = all(verdict and verdict.mistake == first.mistake for verdict in found)
                return first if same or not first.mistake else Verdict(False, first.message.split("\n")[-1])
        return Verdict(True)


def value_fault(layer: dict, case: tuple) -> Verdict | None:
    """Return a verdict on a wrong y, or None."""
    if "not a tensor" in layer:
        forgotten = " (is a `return` missing?)" if layer["not a tensor"] is None else ""
        return Verdict(False, f"Expected a tensor (R, d), through which torch can go backward. Came {describe(layer['not a tensor'])}{forgotten}.")  # fmt: skip
    expected = loop_values(*case)["y"]  # (R, d)
    if agree(layer["y"], expected):
        return None
    why, name = wrong_layer(layer["y"], *case[:-1])
    return Verdict(False, f"{why}\n{worst_entry(layer['y'], expected, 'y')}".strip(), name)


def worst_entry(value: Any, expected: np.ndarray, name: str) -> str:
    """Say where a value is farthest from what was expected: the arrays are too large to be shown."""
    value = stacked(value)
    if not isinstance(value, np.ndarray) or value.shape != expected.shape:
        return difference(value, expected, name)
    far = np.nan_to_num(np.abs(value - expected), nan=np.inf)
    place = np.unravel_index(far.argmax(), far.shape)
    wrong = int((far > 1e-3 * np.abs(expected).max()).sum())
    return f"{name}[{', '.join(map(str, place))}]: expected {expected[place]:.4f}, came {value[place]:.4f}; {wrong} of {far.size} numbers are off"  # fmt: skip


def wrong_layer(y: Any, rows: np.ndarray, sizes: np.ndarray, W1: np.ndarray, W2: np.ndarray) -> tuple[str, str | None]:
    """Explain a wrong y and name the mistake; two empties when none is recognised."""
    of_row = np.repeat(np.arange(len(sizes)), sizes)  # (R,)
    after = relu_experts(rows, W1, W2, of_row, relu=False)  # (R, d)
    if agree(y, after):
        return "Your experts have no ReLU between the two products.", "no ReLU"
    if agree(y, np.maximum(after, 0)):
        return "Your ReLU stands after W2. It belongs between the two products.", "ReLU after W2"
    if agree(y, np.maximum(relu_experts(rows, W1, W2, of_row), 0)):
        return "Your experts have a second ReLU, after W2.", "second ReLU"
    if any(agree(y, relu_experts(rows, W1, W2, equal)) for equal in equal_parts(len(rows), len(sizes))):
        return "You gave every expert equally many rows. How many each has is in `sizes`, which you did not use.", "equal parts"  # fmt: skip
    return "", None


def relu_experts(rows: np.ndarray, W1: np.ndarray, W2: np.ndarray, of_row: np.ndarray, relu: bool = True) -> np.ndarray:
    """Return ReLU(row W1) W2, or without ReLU row W1 W2, each row with the matrices of its expert. (R, d)."""
    hidden = np.einsum("rd,rdf->rf", rows, W1[of_row])  # (R, f)
    return np.einsum("rf,rfd->rd", np.maximum(hidden, 0) if relu else hidden, W2[of_row])  # (R, d)


def equal_parts(R: int, N: int) -> list[np.ndarray]:
    """Return the expert of each row if R rows are cut into N equal parts, as `tensor_split` and as `chunk` do it."""
    sizes = [len(part) for part in np.array_split(np.arange(R), N)]
    return [np.repeat(np.arange(N), sizes), np.arange(R) // math.ceil(R / N)]


def gradient_fault(layer: dict, case: tuple) -> Verdict | None:
    """Return a verdict on a missing or wrong gradient, or None."""
    missing = [name for name in GRADIENTS if layer[name] is None or isinstance(layer[name], Opaque)]
    if missing:
        return Verdict(False, f"y is right, but no gradient reaches {', '.join(missing)}, so training would get nothing there. `.detach()`, `.data`, `torch.no_grad()`, `torch.tensor(...)` and numpy all cut the way back.", "gradient lost")  # fmt: skip
    expected = loop_values(*case)
    wrong = next((name for name in GRADIENTS if not agree(layer[name], expected[name])), None)
    if wrong is None:
        return None
    return Verdict(False, f"y is right, but the gradient to {wrong} is not.\n{worst_entry(layer[wrong], expected[wrong], f'the gradient to {wrong}, at ')}")  # fmt: skip


def size_fault(layer: dict, case: tuple) -> Verdict | None:
    """Return a verdict on a backward that makes too much, or None."""
    (W1, full), busy = (case[2], [int(count) for count in layer["full"]]), np.count_nonzero(case[1])
    seen = f"N = {len(W1)}: the backward made {full[0]} gradients as large as W1, {W1.shape}, and {full[1]} as large as W2. At most {MOST_FULL} of each are allowed."  # fmt: skip
    slow = [(name, count) for name, count in zip(GRADIENTS[1:], full, strict=True) if count > MOST_FULL]
    if not slow:
        return largest_fault(layer, case)
    if any(count < busy for _, count in slow):
        return Verdict(False, f"Values and gradients are right, but too many full-size gradients are made.\n{seen}")
    if len(slow) == 1:
        return Verdict(False, f"One weight is mended; {slow[0][0]} still gets a full-size gradient from every expert.\n{seen}", "one weight mended")  # fmt: skip
    return Verdict(False, f"Values and gradients are right, and the trap is still there. Whatever takes one expert out of the whole weight (`W1[i]`, `W1[i:i+1]`, `select`, `index_select`, or `unbind` anew for each expert) makes, in the backward, a gradient of the *whole* weight's size that is 0 but for that expert. Take all experts apart once, in one step.\n{seen}", "a full gradient per expert")  # fmt: skip


def largest_fault(layer: dict, case: tuple) -> Verdict | None:
    """Return a verdict on a tensor that is larger than a weight, or None."""
    (R, d), (N, _, f) = case[0].shape, case[2].shape
    numbers = int(np.prod(layer["largest"], dtype=int))
    if numbers <= N * d * f:
        return None
    seen = f"the largest tensor has {numbers} numbers, shape {tuple(map(int, layer['largest']))}; a weight has {N * d * f}, shape {(N, d, f)}"  # fmt: skip
    if numbers == R * d * f:
        return Verdict(False, f"Values and gradients are right, and no expert makes a full-size gradient, but you copy a whole weight matrix for every row (`W1[expert_of_row]`).\n{seen}", "a weight per row")  # fmt: skip
    if numbers in (R * N * f, R * N * d):
        return Verdict(False, f"Values and gradients are right, and no expert makes a full-size gradient, but now every expert computes every row.\n{seen}", "every expert for every row")  # fmt: skip
    return Verdict(False, f"Values and gradients are right, but a tensor is larger than the weights.\n{seen}")


TRAP = TrapQuestion(
    id="5.4",
    needs_torch="tensors",
    title="The trap in a slow layer",
    kind="find the bug",
    points=2,
    minutes=8,
    difficulty="hard",
    hints=(
        "The forward is not the problem. Ask what the backward of `W1[i]` must return: a gradient with the shape of W1, whatever i is. How many of those does the loop cause?",
        "Take the weights apart once, before the loop, in a way whose backward is one step: as `rows.split(sizes)` does with the rows. Look for the tensor method that returns all slices along an axis at once.",
    ),
    idea="Autograd answers every `W1[i]` with a full-size gradient of zeros around one slice, and adds them all up: N times N. `W1.unbind(0)` gives all slices in one step, and its backward stacks their gradients once.",
    answer="my_layer",
    parameters=("rows", "sizes", "W1", "W2"),
    stands_for=LAYER,
    when_raised="`rows.split(sizes)` gives one piece of rows for each expert, also for those with none: its k-th piece goes with the k-th matrices. Your layer is called with float32 tensors and run backward.",
    seconds=20,
)  # fmt: skip


# --- 5.5 combine without a loop -----------------------------------------------------------------------------------


def combine_cases(rng: np.random.Generator) -> list[tuple]:
    """Outputs (T·k, d) of the sorted rows, the order (T·k,) and the weights (T, k). In the last case k = 1."""
    cases = []
    for T, d, N, k in ((4, 3, 5, 2), (7, 2, 6, 3), (6, 4, 3, 1)):
        selected, weights = routed(rng, T, N, k)
        outputs = rng.normal(size=(T * k, d)).round(1) + 0.05
        cases.append((outputs, stable_order(selected), weights))
    return cases


def weighted_sums(outputs: np.ndarray, tokens: np.ndarray, row_weights: np.ndarray, T: int) -> np.ndarray:
    """Return for every token the sum of its rows times their weights. outputs (R, d), the others (R,). (T, d)."""
    y = np.zeros((T, outputs.shape[1]))
    np.add.at(y, tokens, row_weights[:, None] * outputs)
    return y  # (T, d)


def combined(outputs: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return y (T, d) of the sorted rows' outputs (T·k, d), the order (T·k,) and the weights (T, k)."""
    return weighted_sums(outputs, order // weights.shape[1], weights.ravel()[order], len(weights))


def by_rows(tokens: Callable, row_weights: Callable) -> Callable:
    """Return the combination that uses tokens(order, k, T) and row_weights(order, weights), (T·k,) each."""

    def wrong(outputs: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
        T, k = weights.shape
        return weighted_sums(outputs, tokens(order, k, T), row_weights(order, weights), T)

    return wrong


def its_token(order: np.ndarray, k: int, T: int) -> np.ndarray:
    """Return the token of each sorted row. (T·k,)."""
    return order // k


def its_weight(order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weight of each sorted row. (T·k,)."""
    return weights.ravel()[order]


def plus_at_once(outputs: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return what `y[order // k] += ...` gives: the last row of each token. (T, d)."""
    y = np.zeros((len(weights), outputs.shape[1]))
    y[order // weights.shape[1]] = its_weight(order, weights)[:, None] * outputs
    return y


def wrong_way_round(outputs: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sums over outputs[order], which is not the way back. (T, d)."""
    return np.einsum("tk,tkd->td", weights, outputs[order].reshape(*weights.shape, -1))


def cut_choice_first(outputs: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sums if the rows, back in their places, are taken for (k, T, d). (T, d)."""
    T, k = weights.shape
    return np.einsum("tk,ktd->td", weights, outputs[np.argsort(order)].reshape(k, T, -1))


COMBINE = FunctionQuestion(
    id="5.5",
    title="Combine without a loop",
    kind="write it",
    points=2,
    minutes=8,
    difficulty="medium",
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
    mistakes=(
        Mistake("duplicates lost", "Each token has only one of its k rows, the last: `y[tokens] = ...` overwrites, and even `y[tokens] += ...` does not add twice where a token comes twice. `np.add.at(y, tokens, ...)` does (`y.index_add_(0, tokens, ...)` in torch).", plus_at_once),
        Mistake("weights not sorted", "The rows are sorted by expert, your weights still by token, so rows have each other's weights. The weight of row r is weights.ravel()[order[r]].",
                by_rows(its_token, lambda order, weights: weights.ravel())),
        Mistake("modulo T", "Your tokens are order % T, written out or by a reshape to (k, T, d). Assignments are numbered t·k + j, so the token is order // k, and the reshape is (T, k, d).",
                by_rows(lambda order, k, T: order % T, its_weight)),
        Mistake("modulo k", "You took order % k for the token: that is which of its choices a row is. Assignments are numbered t·k + j, so the token is order // k.",
                by_rows(lambda order, k, T: order % k, its_weight)),
        Mistake("first choice's weight", "Every row has the weight of its token's first choice. Choice j has weights[t, j]: row r has weights.ravel()[order[r]].",
                by_rows(its_token, lambda order, weights: weights[order // weights.shape[1], 0])),
        Mistake("reshaped to (k, T)", "You brought the rows back to their places, and then cut them as (k, T, d). Assignments are numbered t·k + j: a token's k rows stand together, so the shape is (T, k, d).", cut_choice_first),
        Mistake("divided by T", "You took order // T for the token. Each token has k assignments, so its number is order // k.",
                by_rows(lambda order, k, T: order // T, its_weight)),
        Mistake("not sent back", "You added up k neighbours in the sorted order. A token's k rows lie far apart there: order says whose each is.",
                by_rows(lambda order, k, T: np.arange(order.size) // k, its_weight)),
        Mistake("order not used", "Your result does not depend on order: you took the rows for sorted by token. They are sorted by expert.",
                by_rows(lambda order, k, T: np.arange(order.size) // k, lambda order, weights: weights.ravel())),
        Mistake("wrong way round", "You used the order the wrong way round. Row r of the outputs is assignment order[r]; `outputs[order]` sorts once more. To bring rows back: `back[order] = outputs`, or `outputs[np.argsort(order)]`.", wrong_way_round),
        Mistake("unweighted", "You added up the rows without their weights.", by_rows(its_token, lambda order, weights: np.ones(order.size))),
        Mistake("mean", "You averaged each token's rows. Each counts with its weight.",
                by_rows(its_token, lambda order, weights: np.full(order.size, 1 / weights.shape[1]))),
        Mistake("divided by k", "The weighted sum is right up to a factor: you took the mean over the k choices. The weights already say how much each counts.",
                lambda outputs, order, weights: combined(outputs, order, weights) / weights.shape[1]),
        Mistake("renormalised", "You divided the weights by their sum. They are used as they come: whether they are renormalised was the gate's decision.",
                lambda outputs, order, weights: combined(outputs, order, weights / weights.sum(axis=1, keepdims=True))),
        Mistake("not added", "These are the weighted rows of each choice. Add them up: y is (T, d).",
                lambda outputs, order, weights: (its_weight(order, weights)[:, None] * outputs)[np.argsort(order)].reshape(*weights.shape, -1)),
        Mistake("still rows", "These are the weighted rows, still sorted by expert. Add each token's k rows: y is (T, d).",
                lambda outputs, order, weights: its_weight(order, weights)[:, None] * outputs),
    ),
)  # fmt: skip

QUESTIONS = (EXPERT, DISPATCH, SPARSE, TRAP, COMBINE)
