"""The pictures of lesson 00b: numbers in, an SVG string out."""

from collections.abc import Iterable, Mapping
from math import cos, exp, hypot, log, radians, sin
from typing import Any

import numpy as np

from moe_lessons.figures.palette import ACCENT, FAINT_INK, INK, PAPER, RULE, WARNING, expert_colour
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.routing import router_logits, softmax
from moe_lessons.support.validation import float_array, number_within, refuse

WIDTH = 480  # narrow, so that text of size 14 can still be read on a page 400 wide

Point = tuple[float, float]

# --- 1. dot product -----------------------------------------------------------------------------------------------

X_LENGTH = 2.0
_ORIGIN, _UNIT = (240.0, 214.0), 60  # _UNIT: pixels per unit of length


def dot_product(angle: float, length: float) -> str:
    """Draw a fixed x of length 2, a w that is turned and stretched, and their dot product.

    angle: degrees from x to w, 0 to 180. length: of w, 0 to 3. Raises ValueError outside these ranges.
    """
    angle, length = number_within("angle", angle, 0, 180), number_within("length", length, 0, 3)
    cosine = cos(radians(angle))
    dot = X_LENGTH * length * cosine
    factors = f"{X_LENGTH:g} × {length:.1f} × {_bracketed(cosine, '.2f')}"
    sentence = f"x · w = |x| |w| cos {angle:g}° = {factors} = {_number(dot)}"
    return picture(
        WIDTH,
        316,
        "The dot product of two arrows",
        f"x has length {X_LENGTH:g}; w has length {length:.1f} and is turned {angle:g}° away from x. {sentence}.",
        *_two_arrows(radians(angle), length),
        _headline(274, sentence),
        text(240, 300, _direction(dot), anchor="middle", fill=FAINT_INK),
        state=f"angle={angle:g} length={length:.1f}",
    )


def _two_arrows(turn: float, length: float) -> list[str]:
    """The arrows x and w, and the shadow that w throws on the line of x."""
    x0, y0 = _ORIGIN
    tip = (x0 + _UNIT * length * cos(turn), y0 - _UNIT * length * sin(turn))
    side = 16 if turn <= radians(90) else -16  # the label stands above the middle of the arrow
    label = ((x0 + tip[0]) / 2 - side * sin(turn), (y0 + tip[1]) / 2 - side * cos(turn) + 4)
    return [
        _line((24, y0), (456, y0), RULE),
        _line(tip, (tip[0], y0), FAINT_INK, stroke_dasharray="4 4"),
        _line((x0, y0 + 9), (tip[0], y0 + 9), WARNING, stroke_width=5),
        text((x0 + tip[0]) / 2, y0 + 32, f"shadow of w: {_number(length * cos(turn))}", anchor="middle"),
        _arrow(_ORIGIN, (x0 + _UNIT * X_LENGTH, y0), INK),
        _arrow(_ORIGIN, tip, ACCENT),
        text(x0 + _UNIT * X_LENGTH + 6, y0 - 10, "x", size=16, font_weight="bold"),
        text(*label, "w", size=16, anchor="middle", font_weight="bold"),
    ]


def _direction(dot: float) -> str:
    """Say in words what the sign of a dot product means."""
    if abs(dot) < 5e-3:
        return "zero: w leans neither way, its shadow is a point"
    return "positive: the shadow lies on x's side" if dot > 0 else "negative: the shadow lies on the far side"


# --- 2. shapes and axes -------------------------------------------------------------------------------------------

_CELL = (34, 30)
_AXIS_WORDS = {
    -1: "each row sums to 1: a token shares 1 among the experts",
    0: "each column sums to 1: tokens compete for an expert",
}


def matrix_axes(x: Any, W_g: Any, axis: int) -> str:
    """Draw x W_g = h with its shapes, and the softmax of h along one axis, with the sums along both.

    x: (T, d), W_g: (d, N), with T from 1 to 3, d 2 or 3, N 3 or 4; entries are
    written with two digits. axis: −1 (over experts) or 0 (over tokens).
    Raises ValueError for other shapes, another axis, or what `routing.router_logits` refuses.
    """
    x, W_g = float_array("x", x), float_array("W_g", W_g)  # (T, d), (d, N)
    h = router_logits(x, W_g)  # (T, N)
    if h.ndim != 2 or h.shape[0] not in (1, 2, 3) or x.shape[1] not in (2, 3) or h.shape[1] not in (3, 4):
        raise refuse("x.shape, W_g.shape", (x.shape, W_g.shape), "(T, d), (d, N): T to 3, d 2 or 3, N 3 or 4")
    if isinstance(axis, bool) or axis not in (-1, 0):
        raise refuse("axis", axis, "-1 or 0")
    p = softmax(h, axis=axis)  # (T, N)
    return picture(
        WIDTH,
        306 + 36 * len(p),
        "Matrix shapes, and the axis of a softmax",
        f"x {x.shape} times W_g {W_g.shape} is h {h.shape}. Softmax along axis {axis}: {_AXIS_WORDS[axis]}.",
        *_product(x, W_g, h),
        *_probability_table(p, axis),
        state=f"axis={axis}",
    )


def _product(x: np.ndarray, W_g: np.ndarray, h: np.ndarray) -> list[str]:
    """The three matrices in a row; one entry of h is outlined, with the row and the column that make it."""
    left = [14, 48 + _CELL[0] * x.shape[1], 82 + _CELL[0] * (x.shape[1] + h.shape[1])]
    sentence = f"outlined: h[0, 1] = row 0 of x · column 1 of W_g = {_number(h[0, 1], '.3g')}"
    return [
        *_matrix(left[0], x, "x (T, d)", (0, 0, 1, x.shape[1])),
        *_matrix(left[1], W_g, "W_g (d, N)", (0, 1, W_g.shape[0], 1)),
        *_matrix(left[2], h, "h (T, N)", (0, 1, 1, 1)),
        text(left[1] - 17, 66, "@", size=16, anchor="middle"),
        text(left[2] - 17, 66, "=", size=16, anchor="middle"),
        text(14, 184, sentence),
    ]


def _matrix(left: float, values: np.ndarray, name: str, outlined: tuple[int, int, int, int]) -> list[str]:
    """One matrix with its shape. `outlined`: first row, first column, number of rows, number of columns."""
    (wide, high), top = _CELL, 44
    rows, columns = values.shape
    row, column, tall, broad = outlined
    numbers = [
        text(left + wide * (j + 0.5), top + high * i + 20, _number(value, ".2g"), anchor="middle")
        for (i, j), value in np.ndenumerate(values)
    ]
    return [
        text(left, 32, name, font_weight="bold"),
        _box(left, top, wide * columns, high * rows),
        _box(left + wide * column, top + high * row, wide * broad, high * tall, ACCENT, stroke_width=3),
        *numbers,
        text(left, top + high * rows + 18, f"({rows}, {columns})", fill=FAINT_INK),
    ]


def _probability_table(p: np.ndarray, axis: int) -> list[str]:
    """The probabilities under their expert, a band round every group that sums to 1, and all sums."""
    rows, columns = p.shape
    x = [112 + 70 * i for i in range(columns + 1)]  # middles of the columns; the last holds the sums
    y = [260 + 36 * t for t in range(rows + 1)]  # middles of the rows; the last holds the sums
    return [
        text(14, 218, f"softmax(h, axis={axis})", font_weight="bold"),
        text(14, y[rows] + 32, _AXIS_WORDS[axis]),
        *(text(x[i], 240, f"E{i + 1}", anchor="middle") for i in range(columns)),
        *(text(14, y[t] + 5, f"token {t}") for t in range(rows)),
        *_bands(p.shape, axis),
        *(text(x[i], y[t] + 5, f"{value:.2f}", anchor="middle") for (t, i), value in np.ndenumerate(p)),
        text(x[columns], 240, "sum", anchor="middle", fill=FAINT_INK),
        text(14, y[rows] + 5, "sum", fill=FAINT_INK),
        *(_sum(x[columns], y[t] + 5, total) for t, total in enumerate(p.sum(axis=1))),
        *(_sum(x[i], y[rows] + 5, total) for i, total in enumerate(p.sum(axis=0))),
    ]


def _bands(shape: tuple[int, ...], axis: int) -> list[str]:
    """An outline round every row (axis −1) or every column (axis 0) of the table of probabilities."""
    rows, columns = shape
    if axis == -1:
        return [_box(82, 246 + 36 * t, 70 * columns - 10, 28, ACCENT, rx=8) for t in range(rows)]
    return [_box(84 + 70 * i, 246, 56, 36 * rows - 8, ACCENT, rx=8) for i in range(columns)]


def _sum(x: float, y: float, total: float) -> str:
    """One sum, in bold where it is 1."""
    weight = "bold" if abs(total - 1) < 1e-6 else "normal"
    return text(x, y, f"{total:.2f}", anchor="middle", font_weight=weight)


# --- 3. exp and log -----------------------------------------------------------------------------------------------


def gap_ratio(gap: float, shift: float) -> str:
    """Draw two logits h_2 = shift and h_1 = shift + gap, their exponentials, and how the two share 1.

    gap: 0 to 4. shift: −3 to 3, added to both logits. Raises ValueError outside these ranges.
    """
    gap, shift = number_within("gap", gap, 0, 4), number_within("shift", shift, -3, 3)
    h = np.array([shift + gap, shift])  # (2,)
    p = softmax(h)  # (2,)
    sentence = f"E1 is exp({gap:.1f}) = {exp(gap):.2f} times as likely as E2"
    logits = f"Logits {_number(h[0], '.1f')} and {_number(h[1], '.1f')}"
    return picture(
        WIDTH,
        304,
        "A difference of logits becomes a ratio of probabilities",
        f"{logits}: probabilities {p[0]:.3f} and {p[1]:.3f}. {sentence}.",
        *_logit_line(h),
        *_exponentials(h),
        *_shares(p),
        _headline(284, sentence),
        state=f"gap={gap:.1f} shift={shift:.1f}",
    )


def _logit_line(h: np.ndarray) -> list[str]:
    """Both logits on a number line from −3 to 7; E1 is labelled above it, E2 below."""
    x = [40 + 40 * (value + 3) for value in h]
    ticks = [text(40 + 40 * (v + 3), 94, _number(v, "g"), anchor="middle", fill=FAINT_INK) for v in range(-3, 8)]
    return [
        text(14, 26, "logits", font_weight="bold"),
        _line((30, 72), (450, 72), RULE),
        *ticks,
        _line((x[1], 72), (x[0], 72), INK, stroke_width=5),
        _dot((x[0], 72), expert_colour(0)),
        _dot((x[1], 72), expert_colour(1)),
        text(x[0], 56, f"E1 {_number(h[0], '.1f')}", anchor="middle"),
        text(x[1], 116, f"E2 {_number(h[1], '.1f')}", anchor="middle"),
    ]


def _exponentials(h: np.ndarray) -> list[str]:
    """The exponentials of both logits as numbers."""
    return [
        text(14, 150, "exponentials", font_weight="bold"),
        text(14, 174, f"E1: exp({_number(h[0], '.1f')}) = {exp(h[0]):.3f}"),
        text(466, 174, f"E2: exp({_number(h[1], '.1f')}) = {exp(h[1]):.3f}", anchor="end"),
    ]


def _shares(p: np.ndarray) -> list[str]:
    """One bar of length 1, cut in two."""
    cut = 14 + 452 * p[0]
    return [
        text(14, 208, f"E1 gets {p[0]:.3f}", font_weight="bold"),
        text(466, 208, f"E2 gets {p[1]:.3f}", anchor="end", font_weight="bold"),
        element("rect", x=14, y=218, width=cut - 14, height=32, fill=expert_colour(0)),
        element("rect", x=cut, y=218, width=466 - cut, height=32, fill=expert_colour(1)),
    ]


# --- 4. chain rule ------------------------------------------------------------------------------------------------

CHAIN_X, CHAIN_TARGET = 2.0, 4.0
_PER_W, _PER_LOSS = 33, 9.5  # pixels per unit of the plot


def chain_factors(w: float) -> dict[str, float]:
    """Return the values and slopes of h = 2w, r = max(h, 0), L = (r − 4)² at w.

    Where h is 0 the slope of max counts as 0, as in torch. Raises ValueError unless w is finite.
    """
    h = CHAIN_X * number_within("w", w, -float("inf"), float("inf"))
    r = max(h, 0.0)
    slopes = {"dL/dr": 2 * (r - CHAIN_TARGET), "dr/dh": float(h > 0), "dh/dw": CHAIN_X}
    product = slopes["dL/dr"] * slopes["dr/dh"] * slopes["dh/dw"] + 0.0  # + 0.0 turns −0 into 0
    return {"w": w, "h": h, "r": r, "L": (r - CHAIN_TARGET) ** 2, **slopes, "dL/dw": product}


def chain_rule(w: float) -> str:
    """Draw the chain w -> h -> r -> L with the slope of every link, and the loss curve with its tangent.

    w: −1 to 4. Raises ValueError outside this range.
    """
    at = chain_factors(number_within("w", w, -1, 4))
    factors = " × ".join(_bracketed(at[name]) for name in ("dL/dr", "dr/dh", "dh/dw"))
    sentence = f"dL/dw = {factors} = {_number(at['dL/dw'], '.1f')}"
    return picture(
        WIDTH,
        324,
        "The slope of a chain is the product of the slopes of its links",
        f"At w = {_number(w)} the loss is {at['L']:.2f}. {sentence}.",
        *_links(at),
        *_loss_axes(),
        *_loss_curve(at),
        _headline(306, sentence),
        state=f"w={w:.2f}",
    )


def _links(at: dict[str, float]) -> list[str]:
    """The chain from top to bottom: a box for each value, an arrow with its slope for each link."""
    boxes = [
        f"w = {_number(at['w'])}",
        f"h = 2w = {_number(at['h'])}",
        f"r = max(h, 0) = {at['r']:.2f}",
        f"L = (r − 4)² = {at['L']:.2f}",
    ]
    parts = []
    for i, words in enumerate(boxes):
        parts += _labelled_box(14, 16 + 76 * i, 194, words)
    for i, name in enumerate(("dh/dw", "dr/dh", "dL/dr")):
        y = 48 + 76 * i
        parts.append(_arrow((48, y), (48, y + 44), WARNING if at[name] == 0 else ACCENT))
        parts.append(text(66, y + 27, f"{name} = {_number(at[name], '.1f')}"))
    return parts


def _loss_axes() -> list[str]:
    """Ticks and names of the plot of the loss."""
    ticks = [(_on_plot(w, 0)[0], 256.0, _number(w, "g")) for w in range(-1, 5)]
    ticks += [(266.0, _on_plot(0, loss)[1] + 5, f"{loss}") for loss in (0, 4, 16)]
    return [
        text(362, 30, "L against w, with its slope", anchor="middle"),
        _line(_on_plot(-1, 0), _on_plot(4, 0), RULE),
        *(text(x, y, words, anchor="middle", fill=FAINT_INK) for x, y, words in ticks),
        text(362, 274, "w", anchor="middle", fill=FAINT_INK),
        text(256, 130, "L", anchor="middle", fill=FAINT_INK),
    ]


def _loss_curve(at: dict[str, float]) -> list[str]:
    """The loss against w, with the tangent at the present w."""
    curve = [_on_plot(w, chain_factors(w)["L"]) for w in np.linspace(-1, 4, 101).tolist()]
    here = _on_plot(at["w"], at["L"])
    along = (_PER_W, -_PER_LOSS * at["dL/dw"])  # the tangent's direction in pixels
    part = 40 / hypot(*along)  # 40 pixels to either side, but not beyond the plot's left edge
    ends = [(here[0] + t * along[0], here[1] + t * along[1]) for t in (max(-part, -1 - at["w"]), part)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in curve)
    return [
        element("polyline", points=points, fill="none", stroke=INK, stroke_width=2),
        _line(ends[0], ends[1], WARNING, stroke_width=4),
        _dot(here, ACCENT),
    ]


def _on_plot(w: float, loss: float) -> Point:
    """Return the pixel of a point of the loss curve."""
    return 282.0 + _PER_W * (w + 1), 236.0 - _PER_LOSS * loss


# --- 5. feed-forward network --------------------------------------------------------------------------------------


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
        f"Input {_vector(x)}; hidden before ReLU {_vector(before)}, after {_vector(hidden)}; output {_vector(y)}.",
        *_edges(W_1, (76, 188), np.ones_like(x)),
        *_edges(W_2, (292, 404), hidden),
        *_units(14, x, "x"),
        *_hidden_units(before),
        *_units(404, y, "y"),
        text(132, 280, f"W_1 {W_1.shape}", anchor="middle"),
        text(348, 280, f"W_2 {W_2.shape}", anchor="middle"),
        state=f"y={_vector(y)}",
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
        parts += _labelled_box(left, y - 16, 62, _number(value, ".3g"))
    return parts


def _hidden_units(before: np.ndarray) -> list[str]:
    """A column of boxes: each number before and after the ReLU; closed ones are dashed."""
    parts = [text(240, 30, f"ReLU, hidden ({len(before)},)", anchor="middle", font_weight="bold")]
    for y, value in zip(_middles(len(before)), before, strict=True):
        words = f"{_number(value, '.3g')} → {_number(max(value, 0.0), '.3g')}"
        style = {"stroke_width": 3} if value > 0 else {"stroke_dasharray": "4 4"}
        parts += _labelled_box(188, y - 16, 104, words, ACCENT if value > 0 else WARNING, **style)
    return parts


def _edges(weights: np.ndarray, ends: Point, sources: np.ndarray) -> list[str]:
    """A line for every weight that is not 0; dashed and faint where its source sends 0."""
    y_from, y_to = (_middles(count) for count in weights.shape)
    lines = []
    for i, j in np.argwhere(weights != 0).tolist():
        start, end = (ends[0], y_from[i]), (ends[1], y_to[j])
        sends = sources[i] != 0
        lines.append(_line(start, end, INK if sends else RULE, stroke_dasharray="none" if sends else "4 4"))
    return lines


# --- 6. residual stream -------------------------------------------------------------------------------------------


def residual_block(x: Any, normed: Any, update: Any) -> str:
    """Draw y = x + f(norm(x)): the stream runs straight on, the block adds to it.

    x, normed = norm(x), update = f(norm(x)): (d,) each, with d up to 3. Raises ValueError for other shapes.
    """
    parts = [float_array(name, v) for name, v in (("x", x), ("normed", normed), ("update", update))]  # (d,) each
    if any(part.shape != parts[0].shape for part in parts) or parts[0].ndim != 1 or not 1 <= parts[0].size <= 3:
        shapes = tuple(part.shape for part in parts)
        raise refuse("x.shape, normed.shape, update.shape", shapes, "(d,) three times, d from 1 to 3")
    words = [_vector(values) for values in (*parts, parts[0] + parts[2])]
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
        _line((14, 176), (369, 176), ACCENT, stroke_width=6),
        _arrow((399, 176), (466, 176), ACCENT),
        text(210, 166, "the stream: x passes unchanged", anchor="middle"),
        _line((48, 176), (48, 62), INK, stroke_width=2),
        _arrow((48, 62), (84, 62), INK),
        _arrow((180, 62), (236, 62), INK),
        _line((340, 62), (384, 62), INK, stroke_width=2),
        _arrow((384, 62), (384, 161), INK),
        plus,
        text(384, 182, "+", size=20, anchor="middle"),
    ]


def _branch_labels(normed: str, update: str) -> list[str]:
    """The two boxes of the branch, each with what leaves it."""
    return [
        *_labelled_box(84, 46, 96, "norm", INK),
        *_labelled_box(236, 46, 104, "f: a network", INK),
        text(132, 34, f"norm(x) = {normed}", anchor="middle"),
        text(376, 102, f"f(…) = {update}", anchor="end"),
    ]


# --- 7. nats and bits ---------------------------------------------------------------------------------------------

_PER_BIT = 215  # pixels


def entropy_rulers(nats: Mapping[str, float]) -> str:
    """Draw entropies as bars between two rulers, one in bits and one in nats.

    nats: name -> entropy in nats, from 0 to ln 4, in one to six rows. Raises ValueError otherwise.
    """
    if not isinstance(nats, Mapping) or not 1 <= len(nats) <= 6:
        raise refuse("nats", nats, "one to six entropies by name")
    for name, value in nats.items():
        number_within(f"nats[{name!r}]", value, 0, log(4) + 1e-9)
    bottom = 62 + 58 * len(nats)
    rows = [part for i, (name, value) in enumerate(nats.items()) for part in _entropy_row(66 + 58 * i, name, value)]
    return picture(
        WIDTH,
        bottom + 52,
        "One length, two rulers: entropy in bits and in nats",
        "; ".join(f"{name}: {_both_units(value)}" for name, value in nats.items()) + ".",
        *_ruler(50, _PER_BIT, (0, 0.5, 1, 1.5, 2), "bits", -8),
        *rows,
        *_ruler(bottom, _PER_BIT / log(2), (0, 0.5, 1, log(4)), "nats", 20),
        state=f"rows={len(nats)}",
    )


def _both_units(nats: float) -> str:
    """One entropy in both units."""
    return f"{nats / log(2):.3f} bits = {nats:.3f} nats"


def _entropy_row(top: float, name: str, nats: float) -> list[str]:
    """One bar under its name and its length in both units."""
    return [
        text(18, top + 16, f"{name}: {_both_units(nats)}"),
        _box(18, top + 24, 2 * _PER_BIT, 16, stroke_width=1),
        element("rect", x=18, y=top + 24, width=_PER_BIT * nats / log(2), height=16, fill=ACCENT),
    ]


def _ruler(y: float, scale: float, ticks: Iterable[float], unit: str, label_below: float) -> list[str]:
    """A ruler of two bits with numbered ticks; its unit stands at its right end."""
    parts = [_line((18, y), (18 + 2 * _PER_BIT, y), INK)]
    for value in ticks:
        x = 18 + scale * value
        parts.append(_line((x, y - 4), (x, y + 4), INK))
        parts.append(text(x, y + label_below, f"{value:.4g}", anchor="middle"))
    return [
        *parts,
        text(466, y + label_below + (-16 if label_below < 0 else 16), unit, anchor="end", font_weight="bold"),
    ]


# --- shared -------------------------------------------------------------------------------------------------------


def _number(value: float, spec: str = ".2f") -> str:
    """Format with a real minus sign, and never as minus zero."""
    words = format(value, spec)
    return (words.lstrip("-") if float(words) == 0 else words).replace("-", "−")


def _bracketed(value: float, spec: str = ".1f") -> str:
    """Format a factor of a product; negative ones get brackets."""
    words = _number(value, spec)
    return f"({words})" if words.startswith("−") else words


def _vector(values: np.ndarray) -> str:
    """Write a vector on one line. values: (n,)."""
    return "(" + ", ".join(_number(value, ".3g") for value in values) + ")"


def _headline(y: float, words: str) -> str:
    """The sentence under a picture that says its result."""
    return text(WIDTH / 2, y, words, size=15, anchor="middle", font_weight="bold")


def _line(start: Point, end: Point, colour: str, **style: object) -> str:
    """A straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], stroke=colour, **style)


def _box(left: float, top: float, width: float, height: float, colour: str = RULE, **style: object) -> str:
    """The outline of a rectangle."""
    style = {"stroke_width": 2, **style}
    return element("rect", x=left, y=top, width=width, height=height, fill="none", stroke=colour, **style)


def _labelled_box(left: float, top: float, width: float, words: str, colour: str = RULE, **style: Any) -> list[str]:
    """A box 32 high with one line of text in its middle."""
    box = _box(left, top, width, 32, colour, rx=6, **style)
    return [box, text(left + width / 2, top + 21, words, anchor="middle")]


def _dot(at: Point, colour: str) -> str:
    """A marked point."""
    return element("circle", cx=at[0], cy=at[1], r=7, fill=colour, stroke=PAPER, stroke_width=2)


def _arrow(start: Point, end: Point, colour: str) -> str:
    """A line with a head at `end`; the head shrinks with a short arrow, and vanishes with one of no length."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = hypot(dx, dy)
    if length == 0:
        return _dot(start, colour)
    head = min(12.0, length)
    ux, uy = dx / length, dy / length
    neck = (end[0] - head * ux, end[1] - head * uy)
    corners = (
        end,
        (neck[0] - head * uy / 2, neck[1] + head * ux / 2),
        (neck[0] + head * uy / 2, neck[1] - head * ux / 2),
    )
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return _line(start, neck, colour, stroke_width=3) + element("polygon", points=points, fill=colour)
