"""The picture of lesson 05: tokens are copied to their experts, computed in slices, and added up again."""

from typing import Any

import numpy as np

from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, RULE, filled, lined
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import float_array, refuse, whole_number

WIDTH, HEIGHT = 480, 600  # whatever it shows: a picture that is moved may not jump
STEPS = ("choose", "sort", "compute", "combine")
MOST_ASSIGNMENTS, MOST_EXPERTS = 24, 8

_TOP, _FOOT = 62, 62  # above the first row, below the last one
_TALLEST, _GAP = 28, 1 / 3  # of a row; between two groups of rows, in rows
_TOKEN, _ASSIGNED, _SORTED, _EXPERT, _WEIGHED, _OUTPUT = (  # left edge and width of each column
    (12, 28), (43, 64), (154, 32), (188, 78), (268, 54), (430, 38),
)  # fmt: skip


def dispatch_svg(selected: Any, weights: Any, step: int = 4, num_experts: int | None = None) -> str:
    """Draw the first `step` steps of a sparse layer: choose, sort, compute, combine. Returns an SVG string.

    selected: (T, k) indices of experts, counted from 0, no expert twice in a row. weights: (T, k), in the same order.
    num_experts: N, by default the smallest that fits; experts without tokens are drawn too, as empty.
    Raises ValueError for other shapes, indices outside 0..N−1, repeated experts, more than 24 assignments (T·k), more
    than 8 experts, weights that are not finite, and a step outside 1..4.
    """
    chosen, num_experts = _assignments(selected, num_experts)  # (T, k)
    shares = _weights(weights, chosen)  # (T, k)
    whole_number("step", step, least=1, most=len(STEPS))
    plan = _Plan(chosen, shares, num_experts)
    sentences = _sentences(plan)
    layers = (_choose, _sort, _compute, _combine)
    return picture(
        WIDTH,
        HEIGHT,
        f"A sparse layer, step {step} of 4: {STEPS[step - 1]}",
        " ".join(line for lines in sentences[:step] for line in lines),
        *_headers(step),
        *(part for layer in layers[:step] for part in layer(plan)),
        *(text(12, HEIGHT - 34 + 20 * i, line) for i, line in enumerate(sentences[step - 1])),
        state=f"step={step} T={len(chosen)} k={chosen.shape[1]} chosen={_chosen(chosen)} "
        f"loads={','.join(map(str, plan.loads))}",
    )


def _chosen(chosen: np.ndarray) -> str:
    """Write which experts each token has chosen: 2+4,1+3 for two tokens."""
    return ",".join("+".join(str(expert + 1) for expert in row) for row in chosen)


class _Plan:
    """Where everything is drawn: assignment a of the token order lies in row `place[a]` of the sorted order."""

    def __init__(self, chosen: np.ndarray, shares: np.ndarray, num_experts: int) -> None:
        tokens, self.k = chosen.shape
        self.experts, self.weights = chosen.ravel(), shares.ravel()  # (T·k,) each
        self.tokens = np.repeat(np.arange(tokens), self.k)  # (T·k,)
        self.order = np.argsort(self.experts, kind="stable")  # (T·k,)
        self.place = np.argsort(self.order)  # (T·k,): the inverse of `order`
        self.loads = np.bincount(self.experts, minlength=num_experts)  # (N,)
        self.starts = np.cumsum(self.loads) - self.loads  # (N,)
        rows_above = np.cumsum(np.maximum(self.loads, 1)) - np.maximum(self.loads, 1)  # (N,): an empty one takes a row
        left = np.arange(len(self.experts)) + _GAP * self.tokens  # (T·k,): in rows, in token order
        right = rows_above + _GAP * np.arange(num_experts)  # (N,): in rows
        lowest = max(left[-1] + 1, right[-1] + max(self.loads[-1], 1))
        self.row = min(_TALLEST, (HEIGHT - _TOP - _FOOT) / lowest)
        self.left_y, self.expert_y = _TOP + self.row * left, _TOP + self.row * right  # (T·k,), (N,)
        within = np.arange(len(self.order)) - self.starts[self.experts[self.order]]  # (T·k,)
        self.right_y = self.expert_y[self.experts[self.order]] + self.row * within  # (T·k,), in sorted order

    def box(self, column: tuple[int, int], y: float, words: str, line: dict[str, Any], rows: int = 1) -> str:
        """Draw a box over `rows` rows of a column, with words in its middle."""
        (left, width), height = column, self.row * rows - 2
        paint = {"fill": PAPER, "stroke_width": 2, **line}
        middle = text(left + width / 2, y + height / 2 + 5, words, size=13, anchor="middle")
        return element("rect", x=left, y=y, width=width, height=height, rx=3, **paint) + middle

    def link(self, x1: float, y1: float, x2: float, y2: float, line: dict[str, Any]) -> str:
        """Draw a line from the middle of one row to the middle of another."""
        half = self.row / 2 - 1
        return element("line", x1=x1, x2=x2, y1=y1 + half, y2=y2 + half, stroke_width=2, **line)


def _assignments(selected: Any, num_experts: int | None) -> tuple[np.ndarray, int]:
    """Return the chosen experts as (T, k) integers, and N."""
    chosen = np.asarray(selected)
    if chosen.ndim != 2 or not 1 <= chosen.size <= MOST_ASSIGNMENTS or chosen.dtype.kind not in "iu":
        raise refuse("selected", selected, f"whole numbers (T, k), from 1 to {MOST_ASSIGNMENTS} of them")
    least = int(max(chosen.max(), 0)) + 1
    N = least if num_experts is None else num_experts
    whole_number("num_experts", N, least=1, most=MOST_EXPERTS)
    if chosen.min() < 0 or least > N:
        raise refuse("selected", selected, f"indices from 0 to {N - 1}")
    if any(len(set(row)) < len(row) for row in chosen.tolist()):
        raise refuse("selected", selected, "different experts for each token")
    return chosen.astype(int), N


def _weights(weights: Any, chosen: np.ndarray) -> np.ndarray:
    """Return the gate weights as (T, k) floats."""
    shares = float_array("weights", weights)
    if shares.shape != chosen.shape:
        raise refuse("weights.shape", shares.shape, f"the shape of selected, {chosen.shape}")
    return shares


def _headers(step: int) -> list[str]:
    """Name the four steps; those still to come are faint."""
    parts = []
    for i, (x, anchor) in enumerate(((12, "start"), (154, "start"), (268, "middle"), (468, "end"))):
        paint = {"fill": INK, "font_weight": "bold"} if i < step else {"fill": FAINT_INK}
        parts.append(text(x, 24, f"{i + 1} {STEPS[i]}", size=15, anchor=anchor, **paint))
    return [*parts, element("line", x1=12, x2=WIDTH - 12, y1=36, y2=36, stroke=RULE)]


def _sentences(plan: _Plan) -> list[tuple[str, str]]:
    """Say what each step did, in two lines."""
    rows, tokens = len(plan.experts), len(plan.experts) // plan.k
    loads = ", ".join(f"E{i + 1} {load}" for i, load in enumerate(plan.loads))
    busy = int((plan.loads > 0).sum())
    return [
        (f"T = {tokens} tokens, k = {plan.k}: assignments {rows},", "in the order of the tokens."),
        ("Sorted by expert. Each expert's rows are one slice. Rows:", f"{loads}."),
        (
            f"Rows computed: {rows}. Experts with work: {busy} of {len(plan.loads)}.",
            "Each multiplies its whole slice at once.",
        ),
        ("Each row times its gate weight, then added", "to the output of the token that it came from."),
    ]


def _choose(plan: _Plan) -> list[str]:
    """Draw the tokens, and beside each the experts that it chose."""
    parts = [plan.box(_TOKEN, plan.left_y[a], f"t{plan.tokens[a]}", {"stroke": FAINT_INK}, plan.k)
             for a in range(0, len(plan.tokens), plan.k)]  # fmt: skip
    for a, expert in enumerate(plan.experts):
        parts.append(plan.box(_ASSIGNED, plan.left_y[a], f"t{plan.tokens[a]} → E{expert + 1}", lined(expert)))
    return parts


def _sort(plan: _Plan) -> list[str]:
    """Draw the rows sorted by expert, the way each has come, and the slice of each expert."""
    ways, rows = [], []
    for a, expert in enumerate(plan.experts):
        y, line = plan.right_y[plan.place[a]], lined(expert)
        ways.append(plan.link(sum(_ASSIGNED), plan.left_y[a], _SORTED[0], y, line))
        rows.append(plan.box(_SORTED, y, f"t{plan.tokens[a]}", line))
    return [*ways, *rows, *(_slice(plan, i) for i in range(len(plan.loads)))]


def _slice(plan: _Plan, i: int) -> str:
    """Draw the place of expert i: its name and its slice, or that it is empty."""
    start, load = plan.starts[i], plan.loads[i]
    if load == 0:
        dashed = {"stroke": FAINT_INK, "stroke_dasharray": "4 3", "stroke_width": 1.5}
        return plan.box(_EXPERT, plan.expert_y[i], f"E{i + 1} empty", dashed)
    return plan.box(_EXPERT, plan.expert_y[i], f"E{i + 1} [{start}:{start + load}]", lined(i), load)


def _compute(plan: _Plan) -> list[str]:
    """Fill the experts that have work, and draw the row that each assignment gives."""
    parts = []
    for i in np.flatnonzero(plan.loads):
        paint = {"x": _EXPERT[0], "y": plan.expert_y[i], "width": _EXPERT[1], "height": plan.row * plan.loads[i] - 2}
        parts.append(element("rect", rx=3, **filled(int(i)), fill_opacity=0.25, **paint))
    for row, a in enumerate(plan.order):
        expert, y = plan.experts[a], plan.right_y[row]
        parts.append(plan.box(_WEIGHED, y, f"E{expert + 1}(t{plan.tokens[a]})", lined(expert)))
    return parts


def _combine(plan: _Plan) -> list[str]:
    """Draw the way of each row to its token, with its gate weight, and the outputs."""
    ways, labels = [], []
    for a, expert in enumerate(plan.experts):
        y, line = plan.right_y[plan.place[a]], lined(expert)
        ways.append(plan.link(sum(_WEIGHED) + 46, y, _OUTPUT[0], plan.left_y[a], line))
        labels.append(text(sum(_WEIGHED) + 4, y + plan.row / 2 + 4, f"×{plan.weights[a]:.2f}", size=13))
    outputs = [plan.box(_OUTPUT, plan.left_y[a], f"y{plan.tokens[a]}", {"stroke": INK}, plan.k)
               for a in range(0, len(plan.tokens), plan.k)]  # fmt: skip
    return [*ways, *labels, *outputs]
