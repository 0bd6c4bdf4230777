"""The picture of lesson 05: measured times as bars that begin at the time of the work that nobody can avoid."""

from collections.abc import Mapping, Sequence
from typing import Any

from moe_lessons.figures.chart import Axes
from moe_lessons.figures.palette import AMOUNT, FAINT_INK, INK, PAPER, RULE
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.timing import Spread, spread
from moe_lessons.support.validation import positive_number, refuse

WIDTH = 480
MOST_ROWS = 10

_LEFT, _ACROSS, _TOP, _ROW = 20, 440, 78, 50  # the axis: its left edge and length; the first row; one row
_RIM: dict[str, Any] = {"stroke": PAPER, "stroke_width": 5, "paint_order": "stroke"}  # lines pass behind the words


def speed_svg(
    times: Mapping[str, Sequence[float]], limit: str, title: str = "Time of one step", reach: float = 10.0
) -> str:
    """Draw each median as a bar that starts at the limit's median, on a log axis, with quartiles. Returns SVG.

    times: name -> measured seconds, as `timing.interleaved` returns them, at most 10 names, drawn in their order.
    limit: the name of the unavoidable work; it becomes the line at 1, and the axis counts in multiples of it.
    reach: a multiple that the axis shows in any case; the same for several pictures makes their bars comparable.
    Raises ValueError for a limit that is not among the times, too many names, no other name, a reach not above 0, and
    times that are not finite and above 0.
    """
    spreads = _spreads(times, limit)
    unit = spreads[limit].median
    rows = {name: spreads[name] for name in times if name != limit}
    axes = _axes(rows, unit, positive_number("reach", reach))
    ratios = {name: row.median / unit for name, row in rows.items()}
    return picture(
        WIDTH,
        int(axes.top + axes.height + 52),
        title,
        f"The limit takes {_short(1000 * unit)} ms. "
        + ", ".join(f"{n}: {_short(r)} times that" for n, r in ratios.items()),
        text(_LEFT, 24, title, size=15, font_weight="bold"),
        _grid(axes),
        *_limit(axes, f"{limit}, {_short(1000 * unit)} ms"),
        *(part for i, (name, row) in enumerate(rows.items()) for part in _bar(axes, i, name, row, unit)),
        state=" ".join(f"{name.replace(' ', '_')}={ratio:.4g}" for name, ratio in ratios.items()),
    )


def _spreads(times: Mapping[str, Sequence[float]], limit: str) -> dict[str, Spread]:
    """Return the spread of each row's times, the limit's among them."""
    if limit not in times:
        raise refuse("limit", limit, f"one of {list(times)}")
    if not 2 <= len(times) <= MOST_ROWS:
        raise refuse("times", list(times), f"from 2 to {MOST_ROWS} names")
    return {name: _positive(name, seconds) for name, seconds in times.items()}


def _positive(name: str, seconds: Sequence[float]) -> Spread:
    """Return the spread of times that have a logarithm."""
    found = spread(seconds)
    if min(seconds) <= 0:
        raise refuse(f"times[{name!r}]", list(seconds), "seconds above 0: repeat the work, it is too short")
    return found


def _axes(rows: Mapping[str, Spread], unit: float, reach: float) -> Axes:
    """Return a log axis in multiples of the limit, which goes beyond `reach` and all rows."""
    most = max(reach, *(row.high / unit for row in rows.values()))
    least = min(row.low for row in rows.values()) / unit
    x_range = (min(0.7, 0.9 * least), 1.3 * max(1.0, most))
    return Axes(_LEFT, _TOP, _ACROSS, _ROW * len(rows), x_range, (0, 1), x_log=True)


def _grid(axes: Axes) -> str:
    """Draw upright lines at 0.1, 1, 2, 5, 10, …, with their numbers below."""
    bottom, parts = axes.top + axes.height, []
    candidates = [m * 10.0**e for e in range(-6, 9) for m in (1, 2, 5)]
    shown = [c for c in candidates if axes.x_range[0] <= c <= axes.x_range[1]]
    decades = [c for c in shown if f"{c:e}"[0] == "1"]
    for tick in shown if len(shown) <= 9 else decades:
        x = axes.x(tick)
        parts.append(element("line", x1=x, x2=x, y1=axes.top, y2=bottom, stroke=RULE))
        parts.append(text(x, bottom + 18, f"{tick:,.6g}", size=13, anchor="middle", fill=FAINT_INK))
    parts.append(text(_LEFT + _ACROSS / 2, bottom + 40, "multiples of the limit (log scale)", anchor="middle"))
    return "".join(parts)


def _bar(axes: Axes, i: int, name: str, row: Spread, unit: float) -> list[str]:
    """Draw one row: its name and numbers, below them the bar from the limit and a whisker for the quartiles."""
    y = axes.top + _ROW * i
    start, end = sorted((axes.x(1), axes.x(row.median / unit)))
    low, high = axes.x(row.low / unit), axes.x(row.high / unit)
    words = f"{_short(1000 * row.median)} ms, × {_short(row.median / unit)}"
    return [
        text(_LEFT, y + 18, name, **_RIM),
        text(_LEFT + _ACROSS, y + 18, words, anchor="end", font_weight="bold", **_RIM),
        element("rect", x=start, y=y + 26, width=end - start, height=16, **AMOUNT),
        element("line", x1=low, x2=high, y1=y + 34, y2=y + 34, stroke=INK, stroke_width=2),
        *(element("line", x1=x, x2=x, y1=y + 29, y2=y + 39, stroke=INK, stroke_width=2) for x in (low, high)),
    ]


def _short(number: float) -> str:
    """Write a number with three digits, larger ones in full."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _limit(axes: Axes, words: str) -> list[str]:
    """Draw the line of the limit, with its time on top."""
    x = axes.x(1)
    return [
        element("line", x1=x, x2=x, y1=axes.top - 14, y2=axes.top + axes.height, stroke=INK, stroke_width=3,
                stroke_dasharray="7 4"),
        text(_LEFT, axes.top - 24, f"dashed line = 1: {words}"),
    ]  # fmt: skip
