"""The picture of lessons 00 and 05: where a sparse layer sits in a transformer block, and what it is made of."""

from typing import Any

import numpy as np

from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, expert_colour
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import float_array, refuse

WIDTH, HEIGHT = 480, 388
MOST_EXPERTS = 6

Point = tuple[float, float]

_STREAM, _NORM, _INNER = 34, (68, 54), (150, 320)  # x of the stream; left edge and width of the norms, of the layer
_ATTENTION, _ADDED, _LAYER, _SUM = 60, 100, 164, 316  # heights: the first branch, its end; the second, its end
_BUS, _EXPERT, _WEIGHT = 212, 228, 286  # heights: x on its way to the experts; their boxes; their gate weights
_BOX = 32  # a box is so high


def block_svg(weights: Any) -> str:
    """Draw a transformer block whose feed-forward half is a sparse layer, for one token. Returns an SVG string.

    weights: the token's gate weights (N,), N up to 6, at least 0, and 0 for the experts that are not selected.
    Raises ValueError for other shapes, a negative weight, and weights that are all 0.
    """
    w = _checked(weights)  # (N,)
    kept = np.flatnonzero(w).tolist()
    shares = ", ".join(f"E{i + 1} with weight {w[i]:.2f}" for i in kept)
    return picture(
        WIDTH,
        HEIGHT,
        "A transformer block with a sparse layer",
        "The residual stream r runs through the block. First half: attention reads norm(r), and its result is added to "
        "r. Second half: x = norm(r) goes to the router and to the experts that it keeps. "
        f"Of {len(w)} experts these are {shares}. Their weighted sum y is added to r.",
        *_stream(),
        *_first_half(),
        *_second_half(),
        *(part for i in range(len(w)) for part in _expert(i, w)),
        *_ways(_centre(kept[-1], len(w))),
        state=f"N={len(w)} kept={','.join(str(i + 1) for i in kept)}",
    )


def _checked(weights: Any) -> np.ndarray:
    """Return gate weights as (N,) floats."""
    w = float_array("weights", weights)
    if w.ndim != 1 or not 1 <= w.size <= MOST_EXPERTS:
        raise refuse("weights.shape", w.shape, f"(N,): one weight an expert, N up to {MOST_EXPERTS}")
    if w.min() < 0 or not w.any():
        raise refuse("weights", weights, "numbers from 0, not all of them 0")
    return w


def _stream() -> list[str]:
    """Draw the stream from top to bottom, and the two places where something is added to it."""
    end = HEIGHT - 12
    return [
        text(14, 24, "r, the residual stream: a vector of width d for each token"),
        _line((_STREAM, 34), (_STREAM, end - 14), stroke_width=5),
        _head((_STREAM, end), (0, 1), 18),
        *(part for y in (_ADDED, _SUM) for part in _plus(y)),
        text(_STREAM + 18, HEIGHT - 12, "r goes on to the next block"),
    ]


def _first_half() -> list[str]:
    """Draw norm and attention, and the way back to the stream."""
    left, width = 148, 262
    out = left + width + 22
    return [
        *_normed(_ATTENTION),
        *_arrow((sum(_NORM), _ATTENTION), (left, _ATTENTION)),
        *_box(left, _ATTENTION, width, "attention: tokens look at others"),
        _line((left + width, _ATTENTION), (out, _ATTENTION)),
        _line((out, _ATTENTION), (out, _ADDED)),
        *_arrow((out, _ADDED), (_STREAM + 12, _ADDED)),
    ]


def _second_half() -> list[str]:
    """Draw norm, the frame of the layer, and in it the router with the way of its weights (dashed)."""
    (left, width), router, right = _INNER, 180, sum(_INNER) - 12
    frame = {"x": left, "y": _LAYER - 42, "width": width, "height": _SUM - _LAYER + 66, "rx": 8}
    dashed = {"stroke_dasharray": "4 4"}
    return [
        element("rect", **frame, fill="none", stroke=FAINT_INK, stroke_width=1.5),
        text(left + 10, _LAYER - 24, "sparse layer: a router and its experts", size=13),
        *_normed(_LAYER),
        *_arrow((sum(_NORM), _LAYER), (router, _LAYER)),
        text(sum(_NORM) + 10, _LAYER - 8, "x", font_weight="bold"),
        *_box(router, _LAYER, 120, "router: x W_g"),
        text(right - 6, _LAYER - 8, "gate weights w", size=13, anchor="end"),
        _line((router + 120, _LAYER), (right, _LAYER), **dashed),
        _line((right, _LAYER), (right, _WEIGHT - 5), **dashed),
        *_arrow((right, _WEIGHT - 5), (right - 16, _WEIGHT - 5), **dashed),
    ]


def _expert(i: int, w: np.ndarray) -> list[str]:
    """Draw an expert with its weight: a kept one is filled, gets x and gives its output; others are hollow."""
    x, colour, kept = _centre(i, len(w)), expert_colour(i), w[i] > 0
    wide = min(56.0, 250 / len(w))
    look = {"fill": colour, "fill_opacity": 0.3} if kept else {"fill": PAPER, "stroke_dasharray": "4 3"}
    parts = [
        element("rect", x=x - wide / 2, y=_EXPERT, width=wide, height=_BOX, rx=6, stroke=colour, stroke_width=2,
                data_expert=i, data_kept="yes" if kept else "no", **look),
        text(x, _EXPERT + 21, f"E{i + 1}", anchor="middle"),
        text(x, _WEIGHT, f"×{w[i]:.2f}" if kept else "0", anchor="middle", size=13),
    ]  # fmt: skip
    if not kept:
        return parts
    return [
        *parts,
        *_arrow((x, _BUS), (x, _EXPERT)),
        _line((x, _EXPERT + _BOX), (x, _WEIGHT - 13)),
        _line((x, _WEIGHT + 5), (x, _SUM)),
    ]


def _ways(last: float) -> list[str]:
    """Draw the way of x to the experts and that of the sum to the stream. last: where the last kept expert stands."""
    start = _INNER[0] + 14
    return [
        _line((start, _LAYER), (start, _BUS)),
        _line((start, _BUS), (last, _BUS)),
        *_arrow((last, _SUM), (_STREAM + 12, _SUM)),
        text(sum(_NORM) + 10, _SUM - 8, "y", font_weight="bold"),
    ]


def _centre(i: int, num_experts: int) -> float:
    """Return the middle of an expert's column."""
    return _INNER[0] + 28 + 260 / num_experts * (i + 0.5)


# --- marks --------------------------------------------------------------------------------------------------------


def _normed(y: float) -> list[str]:
    """Draw how a branch leaves the stream through a norm."""
    return [*_arrow((_STREAM, y), (_NORM[0], y)), *_box(_NORM[0], y, _NORM[1], "norm")]


def _box(left: float, middle: float, width: float, words: str) -> list[str]:
    """Draw a box with words in its middle."""
    paint: dict[str, Any] = {"fill": PAPER, "stroke": INK, "stroke_width": 2}
    outline = element("rect", x=left, y=middle - _BOX / 2, width=width, height=_BOX, rx=6, **paint)
    return [outline, text(left + width / 2, middle + 5, words, anchor="middle")]


def _plus(y: float) -> list[str]:
    """Draw where a result is added to the stream."""
    circle = element("circle", cx=_STREAM, cy=y, r=12, fill=PAPER, stroke=INK, stroke_width=2)
    return [circle, text(_STREAM, y + 6, "+", size=18, anchor="middle")]


def _line(start: Point, end: Point, **style: object) -> str:
    style = {"stroke": INK, "stroke_width": 2, **style}
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], **style)


def _arrow(start: Point, end: Point, **style: object) -> list[str]:
    """Draw a line along one axis, with a head at its end."""
    (dx, dy) = (np.sign(end[0] - start[0]), np.sign(end[1] - start[1]))
    return [_line(start, (end[0] - 8 * dx, end[1] - 8 * dy), **style), _head(end, (dx, dy))]


def _head(end: Point, towards: Point, size: float = 10) -> str:
    """Draw the head of an arrow that ends at a point. towards: its direction, a unit step along one axis."""
    (x, y), (dx, dy), half = end, towards, size / 2
    neck = (x - size * dx, y - size * dy)
    corners = ((x, y), (neck[0] - half * dy, neck[1] + half * dx), (neck[0] + half * dy, neck[1] - half * dx))
    return element("polygon", points=" ".join(f"{a:g},{b:g}" for a, b in corners), fill=INK)
