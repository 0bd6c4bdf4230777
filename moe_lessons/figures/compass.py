"""The prototype compass standing still: a token and the experts' prototypes in a plane, and the numbers beside it."""

from typing import Any

import numpy as np

from moe_lessons.figures import plane
from moe_lessons.figures.chart import Axes
from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, RULE, chosen, lined
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.routing import Trace, route

WIDTH, HEIGHT = 640, 348
_SIDE, _LEFT, _TOP = 300, 24, 24  # the square of the plane
_COLUMNS = ((404, "expert"), (476, "logit"), (548, "prob"), (620, "weight"))  # where their numbers end


def compass_svg(token: Any, prototypes: Any, k: int, reach: float) -> str:
    """Draw the token (2,) and the prototypes (N, 2) in the square from −reach to reach. Returns an SVG string.

    Raises ValueError for what `routing.route` refuses.
    """
    token, prototypes = np.asarray(token, float), np.asarray(prototypes, float)  # (2,), (N, 2)
    trace = route(token, prototypes.T, k)
    axes = Axes(_LEFT, _TOP, _SIDE, _SIDE, (-reach, reach), (-reach, reach))
    rows = [[f"E{i + 1}", *map(_number, values)] for i, values in enumerate(zip(*_measured(trace), strict=True))]
    said = "; ".join(f"{name} logit {h}, weight {w}" for name, h, _, w in rows)
    return picture(
        WIDTH,
        HEIGHT,
        "Prototype compass: a token and the experts' prototypes as arrows",
        f"x = ({', '.join(map(_number, token))}), k = {k}. {said}. Selected: "
        + ", ".join(f"E{i + 1}" for i in trace.selected),
        *plane.regions(axes, prototypes.T, [(axes.x(x), axes.y(y)) for x, y in (token, *prototypes)]),
        *_cross(axes),
        *_arrows(axes, prototypes, trace),
        *_token(axes, token),
        *_table(rows, trace),
        state=f"token={token.tolist()} k={k}",
    )


def _measured(trace: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return trace.logits, trace.probs, trace.weights  # (N,) each


def _number(value: float) -> str:
    """Write with three decimals, a true minus sign, and none before zero."""
    return f"{round(float(value), 3) + 0.0:.3f}".replace("-", "−")


def _cross(axes: Axes) -> list[str]:
    """Draw the square and its two axes."""
    (left, right), (bottom, top) = map(axes.x, axes.x_range), map(axes.y, axes.y_range)
    return [
        element("rect", x=left, y=top, width=_SIDE, height=_SIDE, fill="none", stroke=RULE),
        element("line", x1=left, x2=right, y1=axes.y(0), y2=axes.y(0), stroke=FAINT_INK),
        element("line", x1=axes.x(0), x2=axes.x(0), y1=top, y2=bottom, stroke=FAINT_INK),
        text(right + 4, axes.y(0) + 5, "x₁", fill=FAINT_INK),
        text(axes.x(0), top - 8, "x₂", anchor="middle", fill=FAINT_INK),
    ]


def _arrows(axes: Axes, prototypes: np.ndarray, trace: Trace) -> list[str]:
    """Draw an arrow to each prototype, thick with a filled tip where it is selected; equal ones share their name."""
    parts: list[str] = []
    names: dict[tuple[float, float], list[str]] = {}
    for i, (x, y) in enumerate(prototypes.tolist()):
        kept = i in trace.selected
        ends = {"x1": axes.x(0), "y1": axes.y(0), "x2": axes.x(x), "y2": axes.y(y)}
        parts.append(element("line", **ends, **lined(i), stroke_width=6 if kept else 2.5))
        parts.append(element("circle", cx=axes.x(x), cy=axes.y(y), r=6, stroke_width=2, **chosen(kept, i)))
        names.setdefault((x, y), []).append(f"E{i + 1} ✓" if kept else f"E{i + 1}")
    return [*parts, *(_name(axes, x, y, " = ".join(words)) for (x, y), words in names.items())]


def _name(axes: Axes, x: float, y: float, words: str) -> str:
    """Write a name behind the tip (x, y), as seen from the middle; at the rim it stands above or below."""
    size = float(np.hypot(x, y)) or 1.0
    behind = axes.x(x) + 28 * x / size
    across = float(np.clip(behind, _LEFT + 22, _LEFT + _SIDE - 22))
    down = axes.y(y) - 20 * (y / size or 1.0) - np.copysign(18 * (across != behind), y)
    return plane.name(across, float(np.clip(down, _TOP + 12, _TOP + _SIDE - 12)), words, size=15)


def _token(axes: Axes, token: np.ndarray) -> list[str]:
    """Draw the token as a diamond, and the dashed line through it."""
    angle, (x, y) = np.arctan2(token[1], token[0]), (axes.x(token[0]), axes.y(token[1]))
    (x1, y1), (x2, y2) = plane.at_rim(axes, angle), plane.at_rim(axes, angle + np.pi)
    mark = f"M{x:.1f} {y - 9:.1f}l9 9l-9 9l-9 -9z"
    line = element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=INK, stroke_dasharray="7 5")
    named = plane.name(x - 17 * np.sin(angle), y - 17 * np.cos(angle), "x", size=16)
    return [line * bool(token.any()), element("path", d=mark, fill=INK, stroke=PAPER, stroke_width=1.5), named]


def _table(rows: list[list[str]], trace: Trace) -> list[str]:
    """Write the numbers of every expert, and a mark beside those that are selected."""
    parts = [text(x, _TOP + 18, head, anchor="end", fill=FAINT_INK) for x, head in _COLUMNS]
    for i, row in enumerate(rows):
        y, kept = _TOP + 50 + 30 * i, i in trace.selected
        weight = "bold" if kept else "normal"
        parts.append(element("rect", x=346, y=y - 14, width=10, height=18, stroke_width=2, **chosen(kept, i)))
        shown = [f"{row[0]} ✓" if kept else row[0], *row[1:]]
        parts += [
            text(x, y, word, anchor="end", font_weight=weight) for (x, _), word in zip(_COLUMNS, shown, strict=True)
        ]
    return parts
