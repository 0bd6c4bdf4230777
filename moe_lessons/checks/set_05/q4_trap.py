"""Question 5.4: the same trap, in columns."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons.checks.calls import AnswerRaised, Called, asked_with, each_called
from moe_lessons.checks.parts import Part
from moe_lessons.checks.question import Data, PropertyQuestion, Reply, about
from moe_lessons.checks.set_05.q1_expert import LAYER
from moe_lessons.checks.values import (
    MISSING,
    Opaque,
    agree,
    describe,
    difference,
    how_many_off,
    plain,
    shown_apart,
    stacked,
)
from moe_lessons.checks.verdicts import Fault, by_test

# Rows of the layer; more than the width d and than N, so that a tensor of all rows and all experts, or of a weight for
# each row, is larger than the weights. At most 10 rows an expert: a padded batch is smaller than the weights.
ROWS, MOST_ROWS, MOST_FULL = 48, 10, 4
GRADIENTS = ("rows", "W1", "W2")
NOT_LOOKED_AT = {"unseen": False, "slow": [], "some": False, "large": False}


def slow_cases(rng: np.random.Generator) -> list[tuple]:
    """Rows (R, d), sizes (N,) with zeros among them, W1 (d, N·d_ff), W2 (N·d_ff, d), and v = ∂L/∂y (R, d)."""
    cases = []
    for N, d, d_ff in ((12, 24, 40), (20, 16, 28)):
        sizes = np.clip(rng.multinomial(ROWS, np.full(N - 1, 1 / (N - 1))), 0, MOST_ROWS)  # (N - 1,)
        sizes = np.insert(sizes, rng.integers(N - 1), 0)  # (N,), one at least is empty, and not the last alone
        shapes = ((sizes.sum(), d), (d, N * d_ff), (N * d_ff, d), (sizes.sum(), d))
        # Eighths: float32 computes x W1 exactly, so that no rounding decides on which side of ReLU's kink it lies. And
        # never on it, where torch's ways to write a ReLU have slopes of their own: each sum holds one odd 128th.
        rows, W1, W2, v = (np.round(8 * rng.normal(size=shape)) / 8 for shape in shapes)
        rows[:, 0] = rng.choice([-1, 1], size=len(rows))
        W1[0] += 1 / 128
        cases.append((rows, sizes, W1, W2, v))
    return cases


def by_expert(W1: np.ndarray, W2: np.ndarray, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return views of the matrices of each expert, (N, d, d_ff) and (N, d_ff, d), of W1 (d, N·d_ff) and W2 (N·d_ff, d)."""
    d = len(W1)
    return W1.reshape(d, N, -1).transpose(1, 0, 2), W2.reshape(N, -1, d)


def loop_values(rows: np.ndarray, sizes: np.ndarray, W1: np.ndarray, W2: np.ndarray, v: np.ndarray) -> dict:
    """Return y (R, d) of the ReLU experts and the gradients of Σ y·v to rows, W1 and W2."""
    y, by_rows, by_W1, by_W2 = np.zeros_like(rows), np.zeros_like(rows), np.zeros_like(W1), np.zeros_like(W2)
    matrices, slopes = by_expert(W1, W2, len(sizes)), by_expert(by_W1, by_W2, len(sizes))
    ends = np.cumsum(sizes)  # (N,)
    for start, end, A, B, by_A, by_B in zip(ends - sizes, ends, *matrices, *slopes, strict=True):
        part, before = rows[start:end], rows[start:end] @ A  # (r, d), (r, d_ff)
        hidden = np.maximum(before, 0)  # (r, d_ff)
        y[start:end] = hidden @ B  # (r, d)
        slope = (before > 0) * (v[start:end] @ B.T)  # (r, d_ff)
        by_rows[start:end] = slope @ A.T  # (r, d)
        by_A[:], by_B[:] = part.T @ slope, hidden.T @ v[start:end]  # (d, d_ff), (d_ff, d)
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
    import torch

    backward, leaves_of = Backward([], []), leaves_behind(y.grad_fn)
    for node in leaves_of:
        if node is None or hasattr(node, "variable"):
            continue

        def keep(made: tuple, given: tuple, ways: tuple = node.next_functions) -> None:
            pairs = zip(made, ways, strict=True)
            backward.made.extend((g, leaves_of[after]) for g, (after, _) in pairs if g is not None)
            backward.given.extend(g for g in given if g is not None)

        node.register_hook(keep)
    torch.autograd.backward(y, v)
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


def report(layer: Callable, R: int = 256, d: int = 64, d_ff: int = 128) -> None:
    """Print for growing N the milliseconds of a layer, forward and backward, and its full-size gradients. R rows (R, d)."""
    import torch

    for N in (8, 16, 32):
        rows, sizes, times = torch.randn(R, d), [R // N] * N, []
        W1, W2 = torch.randn(d, N * d_ff, requires_grad=True), torch.randn(N * d_ff, d, requires_grad=True)
        for _ in range(5):
            start = time.perf_counter()
            layer(rows, sizes, W1, W2).sum().backward()
            times.append(1000 * (time.perf_counter() - start))
        full = full_size_gradients(layer(rows, sizes, W1, W2), W1, W2)
        print(f"N = {N:2}: {min(times):5.1f} ms; gradients as large as W1: {full[0]}, as large as W2: {full[1]}")


def measured_layer(answer: Callable, parameters: tuple[str, ...], case: tuple) -> Called:
    """Run a learner's layer forward and backward. Of it come y, the gradients, and what the backward made."""
    import torch

    rows, W1, W2, v = (torch.tensor(case[i], dtype=torch.float32, requires_grad=i < 4) for i in (0, 2, 3, 4))
    given, backward = (rows, case[1].tolist(), W1, W2), Backward([], [])
    try:
        y = answer(*given)
        if not isinstance(y, torch.Tensor):
            return Called({"not a tensor": plain(y)}, [])
        with torch._C.DisableTorchFunctionSubclass():  # whatever class y is of, torch's own backward shall run
            y = torch.Tensor.as_subclass(y, torch.Tensor)
        if y.requires_grad and y.shape == v.shape:
            backward = run_backward(y, v.to(y.dtype))
    except Exception as error:
        raise AnswerRaised(asked_with(parameters, given)) from error
    made = {"full": [backward.full(W) for W in (W1, W2)], "largest": backward.largest()}
    return Called(plain({"y": y, "rows": rows.grad, "W1": W1.grad, "W2": W2.grad, **made}), [])


def worst_entry(value: Any, expected: np.ndarray, name: str) -> str:
    """Say where a value is farthest from what was expected: the arrays are too large to be shown."""
    value = stacked(value)
    if not isinstance(value, np.ndarray) or value.shape != expected.shape:
        return difference(value, expected, name)
    far = np.nan_to_num(np.abs(value - expected), nan=np.inf)
    place = np.unravel_index(far.argmax(), far.shape)
    came, right = shown_apart(value[place], expected[place])
    where = f"{name}[{', '.join(map(str, place))}]"
    return f"{where}: expected {right}, came {came}; {how_many_off(value, expected)}"


def relu_experts(rows: np.ndarray, A: np.ndarray, B: np.ndarray, of_row: np.ndarray, relu: bool = True) -> np.ndarray:
    """Return ReLU(row A_i) B_i, or without ReLU row A_i B_i, each row with the matrices of its expert i. (R, d)."""
    hidden = np.einsum("rd,rdf->rf", rows, A[of_row])  # (R, d_ff)
    return np.einsum("rf,rfd->rd", np.maximum(hidden, 0) if relu else hidden, B[of_row])  # (R, d)


def equal_parts(R: int, N: int) -> list[np.ndarray]:
    """Return the expert of each row if R rows are cut into N equal parts, as `tensor_split` and as `chunk` do it."""
    sizes = [len(part) for part in np.array_split(np.arange(R), N)]
    return [np.repeat(np.arange(N), sizes), np.arange(R) // math.ceil(R / N)]


def every_nth(W1: np.ndarray, W2: np.ndarray, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, (N, d, d_ff) and (N, d_ff, d), every N-th column of W1 and row of W2 for each expert."""
    return W1.reshape(len(W1), -1, N).transpose(2, 0, 1), W2.reshape(-1, N, len(W1)).transpose(1, 0, 2)


def of_width_n(W1: np.ndarray, W2: np.ndarray, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first N pieces of N columns of W1, (N, d, N), and of N rows of W2, (N, N, d)."""
    return W1.reshape(len(W1), -1, N).transpose(1, 0, 2)[:N], W2.reshape(-1, N, len(W1))[:N]


def mistaken(rows: np.ndarray, sizes: np.ndarray, W1: np.ndarray, W2: np.ndarray) -> dict:
    """Return what y would be by mistake. (R, d) each."""
    N = len(sizes)
    C, D = every_nth(W1, W2, N)  # (N, d, d_ff), (N, d_ff, d)
    (A, B), of_row = by_expert(W1, W2, N), np.repeat(np.arange(N), sizes)  # (N, d, d_ff), (N, d_ff, d), (R,)
    return {
        "linear": relu_experts(rows, A, B, of_row, relu=False),
        "in_equal_parts": [relu_experts(rows, A, B, parts) for parts in equal_parts(len(rows), N)],
        "reshaped": relu_experts(rows, W1.reshape(A.shape), B, of_row),
        "alternating": [relu_experts(rows, *pair, of_row) for pair in ((C, D), (C, B), (A, D))],
        "in_narrow_pieces": relu_experts(rows, *of_width_n(W1, W2, N), of_row),
        "shifted": relu_experts(rows, A, B, np.unique(of_row, return_inverse=True)[1]),
    }


def values_found(layer: dict, *case: np.ndarray) -> dict:
    """Return facts about y and the gradients: which is the first that is wrong, and what y would be by mistake."""
    right = loop_values(*case)
    wrong = next((name for name in right if not agree(layer[name], right[name])), "")
    unreached = [name for name in GRADIENTS if layer[name] is None or isinstance(layer[name], Opaque)]
    lost = "" if wrong == "y" else ", ".join(unreached)
    place = "y" if wrong == "y" else f"the gradient to {wrong}, at "
    seen = worst_entry(layer[wrong], right[wrong], place) if wrong and not lost else ""
    return {"y": layer["y"], "right": right["y"], "wrong": wrong, "lost": lost, "seen": seen, **mistaken(*case[:4])}


def sizes_found(layer: dict, rows: np.ndarray, sizes: np.ndarray, W1: np.ndarray) -> dict:
    """Return facts about the backward: gradients of full size, then the largest tensor of all."""
    (R, d), N, width, shape = rows.shape, len(sizes), W1.shape[1], tuple(map(int, layer["largest"]))
    full, numbers = dict(zip(GRADIENTS[1:], map(int, layer["full"]), strict=True)), math.prod(shape)
    slow = [name for name, count in full.items() if count > MOST_FULL]
    if slow:
        one = "gradient" if full["W1"] == 1 else "gradients"
        seen = f"N = {N}: the backward made {full['W1']} {one} as large as W1, {W1.shape}, and {full['W2']} as large as W2. At most {MOST_FULL} of each are allowed."
    else:
        seen = f"the largest tensor has {numbers} numbers, shape {shape}; a weight has {W1.size}, shape {W1.shape}"
    return {
        "unseen": not all(full.values()),  # then the gradients are right, and yet no step of torch's made one
        "slow": slow,
        "some": any(full[name] < np.count_nonzero(sizes) for name in slow),
        "large": not slow and numbers > W1.size,
        "per_row": numbers == R * W1.size // N,
        "dense": numbers in (R * width, R * N * d),
        "seen": seen,
    }


def layer_found(layer: dict, rows: np.ndarray, sizes: np.ndarray, W1: np.ndarray, *case: np.ndarray) -> dict | Fault:
    """Return facts about a layer; about what its backward makes, if values and gradients are right."""
    if "not a tensor" in layer:
        came = describe(layer["not a tensor"]) + (MISSING if layer["not a tensor"] is None else "")
        return Fault(None, f"Expected a tensor (R, d), through which torch can go backward. Came {came}.")
    found = values_found(layer, rows, sizes, W1, *case)
    return found | (NOT_LOOKED_AT if found["wrong"] else sizes_found(layer, rows, sizes, W1))


@dataclass(frozen=True, kw_only=True)
class TrapQuestion(PropertyQuestion):
    """Any layer is right whose y and gradients are, and whose backward makes no full-size gradient per expert."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Run every layer forward and backward."""
        calls = each_called(lambda case: measured_layer(answer, self.parameters, case), data["cases"])
        return {"values": [call.value for call in calls], "changed": []}

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell of y and of each gradient in how many cases it is right."""
        right = [loop_values(*case) for case in data["cases"]]
        runs = list(zip(reply["values"], right, strict=True))
        names = {name: name if name == "y" else f"gradient to {name}" for name in ("y", *GRADIENTS)}
        counts = {name: sum(agree(layer.get(name), wanted[name]) for layer, wanted in runs) for name in names}
        return tuple(Part(names[name], count, len(runs)) for name, count in counts.items())


RIGHT = "Values and gradients are right"

TRAP = TrapQuestion(
    **about("5.4", "The same trap, in columns", "find the bug", "hard", points=2, minutes=7),
    needs_torch="tensors",
    hints=(
        "The forward is not the problem. Ask what the backward of `W1[:, mine]` must return: a gradient with the shape of W1, whichever columns were taken. How many of those does the loop cause? And what does `W2[mine]` cause?",
        "Take both matrices apart once, before the loop, in a step whose backward is one step: as `rows.split(sizes)` does with the rows. Such a split also takes one size for all pieces, and an axis: columns are axis 1.",
    ),
    idea="Autograd answers every slice with a full-size gradient of zeros around one expert's part, and adds them all up: N times N. Cutting all parts in one step (`W1.split(d_ff, dim=1)`, or `unbind` of a view that puts the experts on an axis of their own) has a backward of one step, which joins their gradients once.",
    takeaway="Whatever takes a part out of a large tensor inside a loop, by row or by column, pays for the whole tensor in the backward, every turn.",
    answer="my_layer",
    parameters=("rows", "sizes", "W1", "W2"),
    stands_for=LAYER,
    when_raised="W1 and W2 are matrices: `unbind(0)`, or a loop over W1, gives their single rows, not the experts. Expert i owns d_ff columns of W1 and d_ff rows of W2, with d_ff = W1.shape[1] // len(sizes). `rows.split(sizes)` gives one piece of rows for each expert, also for those with none. Your layer is called with float32 tensors and run backward.",
    seconds=20,
    cases=slow_cases,
    measured=layer_found,
    right=lambda found: not (found.wrong or found.unseen or found.slow or found.large),
    mistakes=by_test(
        "no ReLU: Your experts have no ReLU between the two products.",
        lambda found: agree(found.y, found.linear),
        "ReLU after W2: Your ReLU stands after W2. It belongs between the two products.",
        lambda found: agree(found.y, np.maximum(found.linear, 0)),
        "second ReLU: Your experts have a second ReLU, after W2.",
        lambda found: agree(found.y, np.maximum(found.right, 0)),
        "equal parts: You gave every expert equally many rows. How many each has is in `sizes`, which you did not use.",
        lambda found: any(agree(found.y, wrong) for wrong in found.in_equal_parts),
        "empty left out: You left out the experts without rows, and those behind them got the matrices of others. Each expert has its place, with rows or without.",
        lambda found: agree(found.y, found.shifted),
        "every N-th: An expert got every N-th column of W1, or row of W2. Its d_ff columns stand side by side, and its d_ff rows one below the other: in a view the experts' axis comes first, (N, d_ff).",
        lambda found: any(agree(found.y, wrong) for wrong in found.alternating),
        "reshaped to (N, d, d_ff): You gave W1 the shape (N, d, d_ff) at once. A reshape goes row by row, and a row of W1 holds d_ff numbers of *every* expert: so they got each other's. First (d, N, d_ff), then move the axis of the experts to the front.",
        lambda found: agree(found.y, found.reshaped),
        "width N: Your experts are N units wide, where d_ff belong to each. `chunk` takes the *number* of pieces, which is N; `split` takes their size, which is d_ff.",
        lambda found: agree(found.y, found.in_narrow_pieces),
        "gradient lost: y is right, but no gradient reaches {lost}, so training would get nothing there. `.detach()`, `.data`, `torch.no_grad()`, `torch.tensor(...)` and numpy all cut the way back.",
        lambda found: found.lost,
        ": y is right, but the gradient to {wrong} is not.",
        lambda found: found.wrong in GRADIENTS,
        f": {RIGHT}, but torch's backward of y makes no gradient of a weight: what does? Return y as the layer computes it, and leave the backward to torch.",
        lambda found: found.unseen,
        f": {RIGHT}, but too many full-size gradients are made.",
        lambda found: found.some,
        "one weight mended: One weight is mended; {slow[0]} still gets a full-size gradient from every expert. Take its experts apart in one step, too. (`tensor_split` is none: it takes slices inside.)",
        lambda found: len(found.slow) == 1 and not found.some,
        f"a full gradient per expert: {RIGHT}, and the trap is still there. Whatever takes one expert out of the whole weight (`W1[:, a:b]`, `V[i]` of a view V, `narrow`, `index_select`, `split` anew for each expert, or `tensor_split`, which takes slices inside) makes, in the backward, a gradient of the *whole* weight's size that is 0 but for that expert. Take all experts apart once, in one step. (A list of slices that is made before the loop is a loop, too.)",
        lambda found: len(found.slow) == 2 and not found.some,
        f"a weight per row: {RIGHT}, and no expert makes a full-size gradient, but you copy a whole expert's matrix for every row.",
        lambda found: found.large and found.per_row,
        f"every expert for every row: {RIGHT}, and no expert makes a full-size gradient, but now every expert computes every row.",
        lambda found: found.large and found.dense,
        f": {RIGHT}, but a tensor is larger than the weights.",
        lambda found: found.large,
    ),
    report="{seen}",
)
