"""Axes for SVG pictures: from numbers to places, with ticks, lines, bars and marks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from moe_lessons.figures.palette import FAINT_INK, RULE
from moe_lessons.figures.svg import element, text


@dataclass(frozen=True)
class Axes:
    """A rectangle of a picture (left, top, width, height in its units) that shows the ranges x_range and y_range.

    Numbers beyond a range are drawn at its edge. `x_log` spaces x by its logarithm.
    """

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_log: bool = False

    def x(self, value: float) -> float:
        """Return where `value` lies across the picture."""
        scale = np.log if self.x_log else float
        low, high, here = scale(self.x_range[0]), scale(self.x_range[1]), scale(np.clip(value, *self.x_range))
        return float(self.left + (here - low) / (high - low) * self.width)

    def y(self, value: float) -> float:
        """Return where `value` lies down the picture."""
        low, high = self.y_range
        return float(self.top + (high - np.clip(value, low, high)) / (high - low) * self.height)

    def frame(self, x_ticks: Iterable[float], y_ticks: Iterable[float], x_label: str, y_label: str) -> str:
        """Draw grid lines with their numbers, and the two labels (y above the axis, x below)."""
        right, bottom = self.left + self.width, self.top + self.height
        parts = [text(self.left + self.width / 2, bottom + 38, x_label, anchor="middle")]
        parts.append(text(self.left - 34, self.top - 12, y_label))
        for tick in y_ticks:
            y = self.y(tick)
            parts.append(element("line", x1=self.left, x2=right, y1=y, y2=y, stroke=RULE))
            parts.append(text(self.left - 6, y + 5, _number(tick), size=13, anchor="end", fill=FAINT_INK))
        for tick in x_ticks:
            x = self.x(tick)
            parts.append(element("line", x1=x, x2=x, y1=bottom, y2=bottom + 5, stroke=FAINT_INK))
            parts.append(text(x, bottom + 20, _number(tick), size=13, anchor="middle", fill=FAINT_INK))
        return "".join(parts)

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: str, dash: str = "", **more: object) -> str:
        """Draw a line through the points (xs, ys); `dash` as in SVG's stroke-dasharray tells lines apart."""
        points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        dashed = {"stroke_dasharray": dash} if dash else {}
        return element("polyline", points=points, fill="none", stroke=colour, stroke_width=2.5, **dashed, **more)

    def bars(self, edges: Sequence[float], heights: Sequence[float], **look: object) -> str:
        """Draw bars from zero, bar i between edges i and i + 1: a histogram."""
        zero = self.y(max(0.0, self.y_range[0]))
        drawn = []
        for low, high, height in zip(edges[:-1], edges[1:], heights, strict=True):
            x, width, y = self.x(low), self.x(high) - self.x(low), self.y(height)
            drawn.append(element("rect", x=x, y=min(y, zero), width=width, height=abs(zero - y), **look))
        return "".join(drawn)

    def mark(self, x: float, label: str, colour: str = FAINT_INK) -> str:
        """Draw an upright line at x with a label on top, kept inside the picture."""
        place = self.x(x)
        anchor = "start" if place < self.left + self.width / 2 else "end"
        near = place + (5 if anchor == "start" else -5)
        upright = element("line", x1=place, x2=place, y1=self.top, y2=self.top + self.height, stroke=colour,
                          stroke_width=2, stroke_dasharray="2 3")  # fmt: skip
        return upright + text(near, self.top + 14, label, anchor=anchor)


def _number(tick: float) -> str:
    """Write a tick briefly, with a true minus sign, which is as wide as a plus."""
    return f"{tick + 0.0:g}".replace("-", "−")  # + 0.0 turns −0 into 0
