"""The pictures of networks in lesson 00b: a feed-forward network, and the residual stream that blocks add to."""

from typing import Any

import numpy as np

from moe_lessons.figures.marks import Point, arrow, labelled_box, line
from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, RULE
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.figures.words import number, vector
from moe_lessons.support.validation import float_array, refuse

WIDTH = 480  # narrow, so that text of size 14 can still be read on a page 400 wide

# --- feed-forward network --------------------------------------------------------------------------------------------


def feed_forward(x: Any, W_1: Any, W_2: Any) -> str:
    """Draw y = relu(x W_1) W_2 as a network; hidden units that the ReLU closes are dashed.

    x: (d,), W_1: (d, d_ff), W_2: (d_ff, d), with d up to 3 and d_ff up to 4. Raises ValueError for other shapes.
    """
    x, W_1, W_2 = float_array("x", x), float_array("W_1", W_1), float_array("W_2", W_2)
    _check_network(x.shape, W_1.shape, W_2.shape)
    before = x @ W_1  # (d_ff,)
    hidden = np.maximum(before, 0)  # (d_ff,)
    y = hidden @ W_2  # (d,)
    return picture(
        WIDTH,
        292,
        "A feed-forward network: two matrices with a ReLU between",
        f"Input {vector(x)}; hidden before ReLU {vector(before)}, after {vector(hidden)}; output {vector(y)}.",
        *_edges(W_1, (76, 188), np.ones_like(x)),
        *_edges(W_2, (292, 404), hidden),
        *_units(14, x, "x"),
        *_hidden_units(before),
        *_units(404, y, "y"),
        text(132, 280, f"W_1 {W_1.shape}", anchor="middle"),
        text(348, 280, f"W_2 {W_2.shape}", anchor="middle"),
        state=f"y={vector(y)}",
    )


def _check_network(x: tuple[int, ...], W_1: tuple[int, ...], W_2: tuple[int, ...]) -> None:
    """Refuse shapes that do not fit each other, or the picture."""
    if len(x) != 1 or len(W_1) != 2 or W_1[0] != x[0] or W_1[::-1] != W_2:
        raise refuse("x.shape, W_1.shape, W_2.shape", (x, W_1, W_2), "(d,), (d, d_ff), (d_ff, d)")
    if not (1 <= W_1[0] <= 3 and 1 <= W_1[1] <= 4):
        raise refuse("W_1.shape", W_1, "(d, d_ff) with d from 1 to 3 and d_ff from 1 to 4")


def _middles(count: int) -> list[float]:
    """Heights of the middles of `count` units in a column."""
    return [148 + 54 * (i - (count - 1) / 2) for i in range(count)]


def _units(left: float, values: np.ndarray, name: str) -> list[str]:
    """A column of boxes with one number each, under its name and shape."""
    parts = [text(left + 31, 30, f"{name} ({len(values)},)", anchor="middle", font_weight="bold")]
    for y, value in zip(_middles(len(values)), values, strict=True):
        parts += labelled_box(left, y - 16, 62, number(value, ".3g"))
    return parts


def _hidden_units(before: np.ndarray) -> list[str]:
    """A column of boxes: each number before and after the ReLU; closed ones are dashed."""
    parts = [text(240, 30, f"ReLU, hidden ({len(before)},)", anchor="middle", font_weight="bold")]
    for y, value in zip(_middles(len(before)), before, strict=True):
        words = f"{number(value, '.3g')} → {number(max(value, 0.0), '.3g')}"
        style = {"stroke_width": 3} if value > 0 else {"stroke_dasharray": "4 4"}
        parts += labelled_box(188, y - 16, 104, words, INK if value > 0 else FAINT_INK, **style)
    return parts


def _edges(weights: np.ndarray, ends: Point, sources: np.ndarray) -> list[str]:
    """A line for every weight that is not 0; dashed and faint where its source sends 0."""
    y_from, y_to = (_middles(count) for count in weights.shape)
    lines = []
    for i, j in np.argwhere(weights != 0).tolist():
        start, end = (ends[0], y_from[i]), (ends[1], y_to[j])
        sends = sources[i] != 0
        lines.append(line(start, end, INK if sends else RULE, stroke_dasharray="none" if sends else "4 4"))
    return lines


# --- residual stream -------------------------------------------------------------------------------------------------


def residual_block(x: Any, normed: Any, update: Any) -> str:
    """Draw y = x + f(norm(x)): the stream runs straight on, the block adds to it.

    x, normed = norm(x), update = f(norm(x)): (d,) each, with d up to 3. Raises ValueError for other shapes.
    """
    parts = [float_array(name, v) for name, v in (("x", x), ("normed", normed), ("update", update))]  # (d,) each
    if any(part.shape != parts[0].shape for part in parts) or parts[0].ndim != 1 or not 1 <= parts[0].size <= 3:
        shapes = tuple(part.shape for part in parts)
        raise refuse("x.shape, normed.shape, update.shape", shapes, "(d,) three times, d from 1 to 3")
    words = [vector(values) for values in (*parts, parts[0] + parts[2])]
    return picture(
        WIDTH,
        238,
        "A residual stream: the block adds to what passes",
        f"x = {words[0]}; norm(x) = {words[1]}; f(norm(x)) = {words[2]}; y = x + f(norm(x)) = {words[3]}.",
        *_stream(),
        *_branch_labels(words[1], words[2]),
        text(14, 210, f"x = {words[0]}", size=15),
        text(466, 210, f"y = {words[3]}", size=15, anchor="end"),
        state=f"y={words[3]}",
    )


def _stream() -> list[str]:
    """The straight line from x to y, and the branch that leaves it and joins it again at the plus sign."""
    plus = element("circle", cx=384, cy=176, r=15, fill=PAPER, stroke=INK, stroke_width=2)
    return [
        line((14, 176), (369, 176), INK, stroke_width=6),
        arrow((399, 176), (466, 176), INK),
        text(210, 166, "the stream: x passes unchanged", anchor="middle"),
        line((48, 176), (48, 62), INK, stroke_width=2),
        arrow((48, 62), (84, 62), INK),
        arrow((180, 62), (236, 62), INK),
        line((340, 62), (384, 62), INK, stroke_width=2),
        arrow((384, 62), (384, 161), INK),
        plus,
        text(384, 182, "+", size=20, anchor="middle"),
    ]


def _branch_labels(normed: str, update: str) -> list[str]:
    """The two boxes of the branch, each with what leaves it."""
    return [
        *labelled_box(84, 46, 96, "norm", INK),
        *labelled_box(236, 46, 104, "f: a network", INK),
        text(132, 34, f"norm(x) = {normed}", anchor="middle"),
        text(376, 102, f"f(…) = {update}", anchor="end"),
    ]
