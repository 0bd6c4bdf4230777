"""The pictures of lesson 00b: numbers in, an SVG string out. Those of `networks` are known here too."""

from collections.abc import Iterable, Mapping
from math import cos, exp, hypot, log, radians, sin
from typing import Any

import numpy as np

from moe_lessons.figures.marks import Point, arrow, box, dot, labelled_box, line
from moe_lessons.figures.networks import feed_forward, residual_block
from moe_lessons.figures.palette import AMOUNT, FAINT_INK, INK, RULE, filled
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.figures.words import bracketed, number
from moe_lessons.routing import router_logits, softmax
from moe_lessons.support.validation import float_array, number_within, refuse

WIDTH = 480  # narrow, so that text of size 14 can still be read on a page 400 wide

__all__ = [
    "chain_factors", "chain_rule", "dot_product", "entropy_rulers", "feed_forward", "gap_ratio", "matrix_axes",
    "residual_block",
]  # fmt: skip

# --- 1. dot product --------------------------------------------------------------------------------------------------

X_LENGTH = 2.0
_ORIGIN, _UNIT = (240.0, 214.0), 60  # _UNIT: pixels per unit of length


def dot_product(angle: float, length: float) -> str:
    """Draw a fixed x of length 2, a w that is turned and stretched, and their dot product.

    angle: degrees from x to w, 0 to 180. length: of w, 0 to 3. Raises ValueError outside these ranges.
    """
    angle, length = number_within("angle", angle, 0, 180), number_within("length", length, 0, 3)
    cosine = cos(radians(angle))
    dot = X_LENGTH * length * cosine
    factors = f"{X_LENGTH:g} × {length:.1f} × {bracketed(cosine, '.2f')}"
    sentence = f"x · w = |x| |w| cos {angle:g}° = {factors} = {number(dot)}"
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
        line((24, y0), (456, y0), RULE),
        line(tip, (tip[0], y0), FAINT_INK, stroke_dasharray="4 4"),
        line((x0, y0 + 9), (tip[0], y0 + 9), FAINT_INK, stroke_width=5),
        text((x0 + tip[0]) / 2, y0 + 32, f"shadow of w: {number(length * cos(turn))}", anchor="middle"),
        arrow(_ORIGIN, (x0 + _UNIT * X_LENGTH, y0), INK),
        arrow(_ORIGIN, tip, INK),
        text(x0 + _UNIT * X_LENGTH + 6, y0 - 10, "x", size=16, font_weight="bold"),
        text(*label, "w", size=16, anchor="middle", font_weight="bold"),
    ]


def _direction(dot: float) -> str:
    """Say in words what the sign of a dot product means."""
    if abs(dot) < 5e-3:
        return "zero: w leans neither way, its shadow is a point"
    return "positive: the shadow lies on x's side" if dot > 0 else "negative: the shadow lies on the far side"


# --- 2. shapes and axes ----------------------------------------------------------------------------------------------

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
    sentence = f"outlined: h[0, 1] = row 0 of x · column 1 of W_g = {number(h[0, 1], '.3g')}"
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
        text(left + wide * (j + 0.5), top + high * i + 20, number(value, ".2g"), anchor="middle")
        for (i, j), value in np.ndenumerate(values)
    ]
    return [
        text(left, 32, name, font_weight="bold"),
        box(left, top, wide * columns, high * rows),
        box(left + wide * column, top + high * row, wide * broad, high * tall, INK, stroke_width=3),
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
        return [box(82, 246 + 36 * t, 70 * columns - 10, 28, INK, rx=8) for t in range(rows)]
    return [box(84 + 70 * i, 246, 56, 36 * rows - 8, INK, rx=8) for i in range(columns)]


def _sum(x: float, y: float, total: float) -> str:
    """One sum, in bold where it is 1."""
    weight = "bold" if abs(total - 1) < 1e-6 else "normal"
    return text(x, y, f"{total:.2f}", anchor="middle", font_weight=weight)


# --- 3. exp and log --------------------------------------------------------------------------------------------------


def gap_ratio(gap: float, shift: float) -> str:
    """Draw two logits h_2 = shift and h_1 = shift + gap, their exponentials, and how the two share 1.

    gap: 0 to 4. shift: −3 to 3, added to both logits. Raises ValueError outside these ranges.
    """
    gap, shift = number_within("gap", gap, 0, 4), number_within("shift", shift, -3, 3)
    h = np.array([shift + gap, shift])  # (2,)
    p = softmax(h)  # (2,)
    sentence = f"E1 is exp({gap:.1f}) = {exp(gap):.2f} times as likely as E2"
    logits = f"Logits {number(h[0], '.1f')} and {number(h[1], '.1f')}"
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
    ticks = [text(40 + 40 * (v + 3), 94, number(v, "g"), anchor="middle", fill=FAINT_INK) for v in range(-3, 8)]
    return [
        text(14, 26, "logits", font_weight="bold"),
        line((30, 72), (450, 72), RULE),
        *ticks,
        line((x[1], 72), (x[0], 72), INK, stroke_width=5),
        dot((x[0], 72), **filled(0)),
        dot((x[1], 72), **filled(1)),
        text(x[0], 56, f"E1 {number(h[0], '.1f')}", anchor="middle"),
        text(x[1], 116, f"E2 {number(h[1], '.1f')}", anchor="middle"),
    ]


def _exponentials(h: np.ndarray) -> list[str]:
    """The exponentials of both logits as numbers."""
    return [
        text(14, 150, "exponentials", font_weight="bold"),
        text(14, 174, f"E1: exp({number(h[0], '.1f')}) = {exp(h[0]):.3f}"),
        text(466, 174, f"E2: exp({number(h[1], '.1f')}) = {exp(h[1]):.3f}", anchor="end"),
    ]


def _shares(p: np.ndarray) -> list[str]:
    """One bar of length 1, cut in two."""
    cut = 14 + 452 * p[0]
    return [
        text(14, 208, f"E1 gets {p[0]:.3f}", font_weight="bold"),
        text(466, 208, f"E2 gets {p[1]:.3f}", anchor="end", font_weight="bold"),
        element("rect", x=14, y=218, width=cut - 14, height=32, **filled(0)),
        element("rect", x=cut, y=218, width=466 - cut, height=32, **filled(1)),
    ]


# --- 4. chain rule ---------------------------------------------------------------------------------------------------

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
    factors = " × ".join(bracketed(at[name]) for name in ("dL/dr", "dr/dh", "dh/dw"))
    sentence = f"dL/dw = {factors} = {number(at['dL/dw'], '.1f')}"
    return picture(
        WIDTH,
        324,
        "The slope of a chain is the product of the slopes of its links",
        f"At w = {number(w)} the loss is {at['L']:.2f}. {sentence}.",
        *_links(at),
        *_loss_axes(),
        *_loss_curve(at),
        _headline(306, sentence),
        state=f"w={w:.2f}",
    )


def _links(at: dict[str, float]) -> list[str]:
    """The chain from top to bottom: a box for each value, an arrow with its slope for each link."""
    boxes = [
        f"w = {number(at['w'])}",
        f"h = 2w = {number(at['h'])}",
        f"r = max(h, 0) = {at['r']:.2f}",
        f"L = (r − 4)² = {at['L']:.2f}",
    ]
    parts = []
    for i, words in enumerate(boxes):
        parts += labelled_box(14, 16 + 76 * i, 194, words)
    for i, name in enumerate(("dh/dw", "dr/dh", "dL/dr")):
        y = 48 + 76 * i
        dashed = {"stroke_dasharray": "4 4"} if at[name] == 0 else {}
        parts.append(arrow((48, y), (48, y + 44), INK, **dashed))
        parts.append(text(66, y + 27, f"{name} = {number(at[name], '.1f')}"))
    return parts


def _loss_axes() -> list[str]:
    """Ticks and names of the plot of the loss."""
    ticks = [(_on_plot(w, 0)[0], 256.0, number(w, "g")) for w in range(-1, 5)]
    ticks += [(266.0, _on_plot(0, loss)[1] + 5, f"{loss}") for loss in (0, 4, 16)]
    return [
        text(362, 30, "L against w, with its slope", anchor="middle"),
        line(_on_plot(-1, 0), _on_plot(4, 0), RULE),
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
        line(ends[0], ends[1], FAINT_INK, stroke_width=4),
        dot(here, fill=INK),
    ]


def _on_plot(w: float, loss: float) -> Point:
    """Return the pixel of a point of the loss curve."""
    return 282.0 + _PER_W * (w + 1), 236.0 - _PER_LOSS * loss


# --- 5. nats and bits ------------------------------------------------------------------------------------------------

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
        box(18, top + 24, 2 * _PER_BIT, 16, stroke_width=1),
        element("rect", x=18, y=top + 24, width=_PER_BIT * nats / log(2), height=16, **AMOUNT),
    ]


def _ruler(y: float, scale: float, ticks: Iterable[float], unit: str, label_below: float) -> list[str]:
    """A ruler of two bits with numbered ticks; its unit stands at its right end."""
    parts = [line((18, y), (18 + 2 * _PER_BIT, y), INK)]
    for value in ticks:
        x = 18 + scale * value
        parts.append(line((x, y - 4), (x, y + 4), INK))
        parts.append(text(x, y + label_below, f"{value:.4g}", anchor="middle"))
    return [
        *parts,
        text(466, y + label_below + (-16 if label_below < 0 else 16), unit, anchor="end", font_weight="bold"),
    ]


# --- shared --------------------------------------------------------------------------------------------------------


def _headline(y: float, words: str) -> str:
    """The sentence under a picture that says its result."""
    return text(WIDTH / 2, y, words, size=15, anchor="middle", font_weight="bold")
