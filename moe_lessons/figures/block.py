"""The picture of lessons 00 and 05: where a sparse layer sits in a transformer block, and what it is made of."""

from typing import Any

import numpy as np

from moe_lessons.figures.marks import Point, arrow, labelled_box, line
from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, chosen
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import float_array, refuse

WIDTH, HEIGHT = 480, 388  # narrow, so that text of size 14 can still be read on a page 400 wide
MOST_EXPERTS = 6

_STREAM, _NORM, _LAYER = 34, (68, 54), (150, 320)  # x of the stream; left edge and width of the norms, of the layer
_FIRST, _FIRST_END, _SECOND, _SECOND_END = 60, 100, 164, 316  # heights of the two branches, and where they come back
_BUS, _EXPERT, _WEIGHT = 212, 228, 286  # heights: x on its way to the experts; their boxes; their gate weights
_DASHED = {"stroke_dasharray": "4 4"}


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
        *_router(),
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
        line((_STREAM, 34), (_STREAM, end - 12), INK, stroke_width=6),
        arrow((_STREAM, end - 14), (_STREAM, end), INK),
        *(part for y in (_FIRST_END, _SECOND_END) for part in _plus(y)),
        text(_STREAM + 18, end, "r goes on to the next block"),
    ]


def _plus(y: float) -> list[str]:
    """Draw where a result is added to the stream."""
    circle = element("circle", cx=_STREAM, cy=y, r=12, fill=PAPER, stroke=INK, stroke_width=2)
    return [circle, text(_STREAM, y + 6, "+", size=18, anchor="middle")]


def _first_half() -> list[str]:
    """Draw norm and attention, and the way back to the stream."""
    left, width = 148, 262
    out = left + width + 22
    return [
        *_branch(_FIRST, left),
        *labelled_box(left, _FIRST - 16, width, "attention: tokens look at others", INK),
        _way((left + width, _FIRST), (out, _FIRST)),
        _way((out, _FIRST), (out, _FIRST_END)),
        arrow((out, _FIRST_END), (_STREAM + 12, _FIRST_END), INK),
    ]


def _second_half() -> list[str]:
    """Draw norm, what it gives, and the frame of the layer."""
    left, width = _LAYER
    frame = {"x": left, "y": _SECOND - 42, "width": width, "height": _SECOND_END - _SECOND + 66, "rx": 8}
    return [
        element("rect", **frame, fill="none", stroke=FAINT_INK, stroke_width=1.5),
        text(left + 10, _SECOND - 24, "sparse layer: a router and its experts", size=13),
        *_branch(_SECOND, left + 30),
        text(sum(_NORM) + 10, _SECOND - 8, "x", font_weight="bold"),
        text(sum(_NORM) + 10, _SECOND_END - 8, "y", font_weight="bold"),
    ]


def _branch(y: float, end: float) -> list[str]:
    """Draw how a branch leaves the stream through a norm."""
    box = labelled_box(_NORM[0], y - 16, _NORM[1], "norm", INK)
    return [arrow((_STREAM, y), (_NORM[0], y), INK), *box, arrow((sum(_NORM), y), (end, y), INK)]


def _router() -> list[str]:
    """Draw the router, and the way of its weights (dashed) to where the experts' outputs are."""
    left, right, y = _LAYER[0] + 30, sum(_LAYER) - 12, _WEIGHT - 5
    return [
        *labelled_box(left, _SECOND - 16, 120, "router: x W_g", INK),
        text(right - 6, _SECOND - 8, "gate weights w", size=13, anchor="end"),
        _way((left + 120, _SECOND), (right, _SECOND), **_DASHED),
        _way((right, _SECOND), (right, y), **_DASHED),
        arrow((right, y), (right - 16, y), INK),
    ]


def _expert(i: int, w: np.ndarray) -> list[str]:
    """Draw an expert with its weight: a kept one is filled, gets x and gives its output; others are hollow."""
    x, kept = _centre(i, len(w)), bool(w[i] > 0)
    wide = min(56.0, 250 / len(w))
    look = {**chosen(kept, i), "stroke_width": 2, **({"fill_opacity": 0.3} if kept else {"stroke_dasharray": "4 3"})}
    parts = [
        element("rect", x=x - wide / 2, y=_EXPERT, width=wide, height=32, rx=6, **look),
        text(x, _EXPERT + 21, f"E{i + 1}", anchor="middle"),
        text(x, _WEIGHT, f"×{w[i]:.2f}" if kept else "0", anchor="middle", size=13),
    ]
    if kept:
        parts += [
            arrow((x, _BUS), (x, _EXPERT), INK),
            _way((x, _EXPERT + 32), (x, _WEIGHT - 13)),
            _way((x, _WEIGHT + 5), (x, _SECOND_END)),
        ]
    return parts


def _ways(last: float) -> list[str]:
    """Draw the way of x to the experts and that of the sum to the stream. last: where the last kept expert stands."""
    start = _LAYER[0] + 14
    return [
        _way((start, _SECOND), (start, _BUS)),
        _way((start, _BUS), (last, _BUS)),
        arrow((last, _SECOND_END), (_STREAM + 12, _SECOND_END), INK),
    ]


def _way(start: Point, end: Point, **style: str) -> str:
    """Draw a piece of a way."""
    return line(start, end, INK, stroke_width=3, **style)


def _centre(i: int, num_experts: int) -> float:
    """Return the middle of an expert's column."""
    return _LAYER[0] + 28 + 260 / num_experts * (i + 0.5)
