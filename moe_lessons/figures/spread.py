"""Dots and spread: what a printed table of seeds would say, a row for each setting, as a picture."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.figures.chart import Axes
from moe_lessons.figures.marks import line
from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, RULE
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import refuse

WIDTH = 480  # narrow, so that text of size 14 can still be read on a page 400 wide
_LEFT, _ROOM = 22, 436  # of the axis
_TOP, _NAME, _LINE, _FOOT = 58, 18, 12, 52  # above the rows; of a row's name; of one of its series; below the rows
_LOOKS = ((INK, INK), (FAINT_INK, PAPER))  # line and ground of the marks of the first series and the second


class Spread(NamedTuple):
    """A number with the ends of its spread or interval, and the single values that it is the mean of, if they count."""

    middle: float
    low: float
    high: float
    dots: tuple[float, ...] = ()


def of_seeds(values: Sequence[float] | np.ndarray) -> Spread:
    """Return the mean of the seeds' values (S,), between the smallest and the largest."""
    found = np.asarray(values, dtype=float)  # (S,)
    return Spread(float(found.mean()), float(found.min()), float(found.max()), tuple(found.tolist()))


def spread_svg(named: Mapping[str, Sequence[Spread | np.ndarray]], series: Sequence[str], axis: str) -> str:
    """Draw each row's numbers on one axis, one line for each of one or two series. Returns an SVG string.

    named: from a row's name to a Spread for each series, or its seeds' values (S,). axis: what the numbers are.
    Raises ValueError for no rows, for none or more than two series, a row with others, and what is not finite.
    """
    rows = _read(named, series)
    step = _NAME + _LINE * len(series) + 6
    axes = Axes(_LEFT, _TOP, _ROOM, step * len(rows), _range(rows), (0, 1))
    return picture(
        WIDTH,
        _TOP + step * len(rows) + _FOOT,
        f"{axis}: {', '.join(series)}",
        " ".join(f"{name}: {', '.join(f'{one.middle:.3g}' for one in found)}." for name, found in rows.items()),
        *_legend(series, any(one.dots for found in rows.values() for one in found)),
        *_ticks(axes, axis),
        *(part for i, (name, found) in enumerate(rows.items()) for part in _row(axes, _TOP + step * i, name, found)),
        state=f"rows={len(rows)}|series={len(series)}|range={axes.x_range[0]:.4g},{axes.x_range[1]:.4g}",
    )


def _read(named: Mapping[str, Sequence[Spread | np.ndarray]], series: Sequence[str]) -> dict[str, list[Spread]]:
    """Return all rows as spreads."""
    if not named or not 1 <= len(series) <= len(_LOOKS):
        raise refuse("named and series", (len(named), len(series)), "at least one row, and one or two series")
    for name, found in named.items():
        if len(found) != len(series):
            raise refuse(f"named[{name!r}]", found, f"{len(series)} of them: {', '.join(series)}")
    return {name: [x if isinstance(x, Spread) else of_seeds(x) for x in found] for name, found in named.items()}


def _range(rows: Mapping[str, Sequence[Spread]]) -> tuple[float, float]:
    """Return the ends of the axis: all numbers with a little room, and 0 where it is not far."""
    ends = np.array([(one.low, one.high) for found in rows.values() for one in found])  # (rows · series, 2)
    low, high = float(ends.min()), float(ends.max())
    if not np.isfinite([low, high]).all():
        raise refuse("named", (low, high), "finite numbers")
    room = 0.03 * (high - low or 1.0)
    near_zero = low > 0 and low < 0.6 * high
    return (0.0 if near_zero else low - room), high + room


def _legend(series: Sequence[str], seeds: bool) -> list[str]:
    """Name the series beside their marks, and say what the marks are."""
    said = "mean, and a ring for each seed" if seeds else "mean, and its interval"
    parts = [text(14, 44, said, size=13, fill=FAINT_INK)]
    for i, (name, (ink, ground)) in enumerate(zip(series, _LOOKS, strict=False)):
        x = 18 + 150 * i
        parts += [_mark(x, 17, ink, ground), text(x + 12, 22, name)]
    return parts


def _mark(x: float, y: float, ink: str, ground: str) -> str:
    return element("rect", x=x - 4, y=y - 5, width=8, height=10, fill=ground, stroke=ink, stroke_width=2)


def _ticks(axes: Axes, name: str) -> list[str]:
    """Draw upright lines at round numbers, the one at 0 in ink, with the axis below."""
    low, high = axes.x_range
    size = 10.0 ** np.floor(np.log10((high - low) / 3))
    size = float(next(size * n for n in (1, 2, 5, 10) if (high - low) / (size * n) <= 5))
    ticks = np.arange(np.ceil(low / size), np.floor(high / size) + 1) * size
    bottom, parts = axes.top + axes.height, []
    for tick in ticks.tolist():
        x, colour = axes.x(tick), INK if abs(tick) < size / 2 else RULE
        written = f"{tick + 0.0:.6g}".replace("-", "−")
        parts += [
            line((x, axes.top), (x, bottom), colour),
            text(x, bottom + 16, written, size=13, anchor="middle", fill=FAINT_INK),
        ]
    return [*parts, text(WIDTH / 2, bottom + 38, name, anchor="middle")]


def _row(axes: Axes, top: float, name: str, found: Sequence[Spread]) -> list[str]:
    """Draw one setting: its name, and a line for each series."""
    halo: dict[str, Any] = {"stroke": PAPER, "stroke_width": 4, "paint_order": "stroke"}
    parts = [text(_LEFT, top + 15, name, **halo)]
    for i, (one, (ink, ground)) in enumerate(zip(found, _LOOKS, strict=False)):
        y = top + _NAME + _LINE * (i + 0.5)
        parts.append(line((axes.x(one.low), y), (axes.x(one.high), y), ink, stroke_width=2))
        rings = {"r": 2.5, "fill": PAPER, "stroke": ink, "stroke_width": 1}
        parts += [element("circle", cx=axes.x(dot), cy=y, **rings) for dot in one.dots]
        parts.append(_mark(axes.x(one.middle), y, ink, ground))
    return parts
