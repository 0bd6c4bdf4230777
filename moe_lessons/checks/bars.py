"""Two answers side by side: a table in which vectors have bars. Bars are borders, which every theme draws in ink."""

import math
from collections.abc import Iterable

from moe_lessons.checks.values import Entry
from moe_lessons.support.markup import element, prose, tag

# Hollow for what was expected, filled for what came: told apart without a colour.
HOLLOW, FILLED = "border: 2px solid; height: 6px; box-sizing: border-box", "border-top: 6px solid"


def sides(entries: tuple[Entry, ...], heads: tuple[str, str], name: str = "") -> str:
    """Return a table of entries, what was expected in the column before what came. name: what all of it is of."""
    several = len(entries) > 1
    scale = _scale(entries) if several else None
    marked = several and not all(entry.off for entry in entries)
    columns = [*([name or "entry"] if several or name else []), *heads, *(["" for _ in range(marked)])]
    head = element("tr", *(tag("th", column, scope="col") for column in columns))
    rows = [_row(entry, name, scale, several, marked) for entry in entries]
    return element("table", element("thead", head), element("tbody", *rows), class_="moe-sides", style="width: 100%")


def _row(entry: Entry, name: str, scale: tuple[float, float] | None, several: bool, marked: bool) -> str:
    """Return one row: the place, both values with their bars, and whether they differ."""
    place = [tag("th", entry.place, scope="row")] if several or name else []
    numbers = entry.numbers if scale else None
    values = [
        element("td", element("span", prose(words)), _bar(number, scale, style))
        for words, number, style in zip(
            (entry.expected, entry.came), numbers or (None, None), (HOLLOW, FILLED), strict=True
        )
    ]
    mark = [tag("td", "✗ off" if entry.off else "", class_="moe-mark")] if marked else []
    return element("tr", *place, *values, *mark, **({"class_": "moe-off"} if entry.off else {}))


def _scale(entries: Iterable[Entry]) -> tuple[float, float] | None:
    """Return the ends of the axis that all bars share, 0 among them; None where no bar has a length."""
    finite = [number for entry in entries for number in entry.numbers or () if math.isfinite(number)]
    low, high = float(min([0.0, *finite])), float(max([0.0, *finite]))
    return (low, high) if high - low > 0 and math.isfinite(high - low) else None


def _bar(number: float | None, scale: tuple[float, float] | None, style: str) -> str:
    """Return a bar from 0 to a number, or nothing for what has no length."""
    if number is None or scale is None or not math.isfinite(number):
        return ""
    low, high = scale
    start, length = (min(number, 0) - low) / (high - low), abs(number) / (high - low)
    place = f"margin-left: {100 * start:.4g}%; width: {100 * length:.4g}%; min-width: 2px"
    return element("div", class_="moe-bar", style=f"{place}; {style}")
