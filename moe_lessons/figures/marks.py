"""The marks that pictures of lines and boxes are made of: each is an SVG element, or a few of them."""

from math import hypot
from typing import Any

from moe_lessons.figures.palette import PAPER, RULE
from moe_lessons.figures.svg import element, text

Point = tuple[float, float]


def line(start: Point, end: Point, colour: str, **style: object) -> str:
    """A straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], stroke=colour, **style)


def box(left: float, top: float, width: float, height: float, colour: str = RULE, **style: object) -> str:
    """The outline of a rectangle."""
    style = {"stroke_width": 2, **style}
    return element("rect", x=left, y=top, width=width, height=height, fill="none", stroke=colour, **style)


def labelled_box(left: float, top: float, width: float, words: str, colour: str = RULE, **style: Any) -> list[str]:
    """A box 32 high with one line of text in its middle."""
    outline = box(left, top, width, 32, colour, rx=6, **style)
    return [outline, text(left + width / 2, top + 21, words, anchor="middle")]


def dot(at: Point, **look: Any) -> str:
    """A marked point."""
    return element("circle", cx=at[0], cy=at[1], r=7, stroke=PAPER, stroke_width=2, **look)


def grip(at: Point, control: str, *, along: str, zero: float, unit: float, **look: Any) -> str:
    """A point by which a control is moved on the picture itself, where there is a kernel to draw it anew.

    control: the name of a slider of its `Live`. along: "x" or "y". zero, unit: where the value 0 lies along it, and
    how far from there the value 1.
    """
    halo = element("circle", cx=at[0], cy=at[1], r=13, fill="none", pointer_events="all", class_="halo")
    held = {"data_grip": control, "data_along": along, "data_zero": zero, "data_unit": unit}
    return element("g", halo, dot(at, **look), **held)


def arrow(start: Point, end: Point, colour: str, **style: Any) -> str:
    """A line with a head at `end`; the head shrinks with a short arrow, and vanishes with one of no length."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = hypot(dx, dy)
    if length == 0:
        return dot(start, fill=colour)
    head = min(12.0, length)
    ux, uy = dx / length, dy / length
    neck = (end[0] - head * ux, end[1] - head * uy)
    corners = (
        end,
        (neck[0] - head * uy / 2, neck[1] + head * ux / 2),
        (neck[0] + head * uy / 2, neck[1] - head * ux / 2),
    )
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return line(start, neck, colour, stroke_width=3, **style) + element("polygon", points=points, fill=colour)
