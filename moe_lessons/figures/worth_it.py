"""The picture of lesson 06: what each layer costs, in the coin you choose, against the error it reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import floor, inf, log10
from statistics import fmean, stdev
from typing import TYPE_CHECKING, NamedTuple

from moe_lessons.figures.chart import Axes
from moe_lessons.figures.palette import FAINT_INK, INK, PAPER
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import number_within, one_of, positive_number, refuse

if TYPE_CHECKING:
    from moe_lessons.experiments.worth_it import Run  # that module loads torch; a picture needs only the numbers

WIDTH = 480  # narrow, so that text of size 14 can still be read on a page 400 wide
LABEL = 36  # width of "k = 8"
Box = tuple[float, float, float, float]
COINS = {
    "active FLOPs": "thousand FLOPs per token, forward",
    "parameters": "thousand parameters stored",
    "seconds": "milliseconds of one training step, here",
}
# The coin in a run, and how much of it is drawn as 1.
COUNTED = {"active FLOPs": ("flops", 1e3), "parameters": ("parameters", 1e3), "seconds": ("seconds", 1e-3)}
KINDS = {  # kind of layer: the words of the legend, which name its mark
    "sparse": "sparse: k of N experts (circles, joined)",
    "dense, equal FLOPs": "dense, as many active FLOPs (square)",
    "dense, equal total": "dense, as many parameters (diamond)",
}


class Point(NamedTuple):
    """The runs of one layer: what it costs, its mean error, and the standard deviation over the seeds."""

    kind: str
    label: str
    cost: float
    error: float
    sd: float


def worth_it_svg(runs: Sequence[Run], pay: str = "active FLOPs") -> str:
    """Draw error against cost, one mark for each layer: mean and standard deviation over its seeds. Returns an SVG.

    runs: of one task, each with kind (a key of `KINDS`), top_k, flops, parameters, seconds and error.
    pay: a key of `COINS`. Raises ValueError for no runs, another kind or coin, a cost that is not above 0, or an error
    that is not a finite number from 0 up.
    """
    points = points_of(runs, pay)
    axes = _axes(points)
    best = min(points, key=lambda point: point.error)
    found = f"lowest mean error: {best.label}, {_written(best.error)} ± {_written(best.sd)}"
    return picture(
        WIDTH,
        424,
        "Error of each layer against what it costs",
        _description(points, pay),
        *_legend(),
        axes.frame(_ticks(axes.x_range), _steps(axes.y_range[1]), COINS[pay], "test error, share of the variance"),
        *_marks(axes, points),
        *_labels(axes, points),
        text(14, 412, found, font_weight="bold"),
        state=f"pay={pay.replace(' ', '_')} layers={len(points)} best={_written(best.error)}",
    )


def _description(points: list[Point], pay: str) -> str:
    """Say in words what each layer costs, and its error."""
    return (
        f"Paid in {pay}: " + "; ".join(f"{p.label} costs {p.cost:.3g}, error {_written(p.error)}" for p in points) + "."
    )


def _written(error: float) -> str:
    """Write an error with three decimals, or a huge one, of a training that went astray, with three digits."""
    return f"{error:.3f}" if error < 1000 else f"{error:.3g}"


def points_of(runs: Sequence[Run], pay: str) -> list[Point]:
    """Return the mean over seeds for each layer, cheapest k first; a single seed has standard deviation 0."""
    counted, unit = COUNTED[one_of("pay", pay, COINS)]
    if not len(runs):
        raise refuse("runs", runs, "at least one run")
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        positive_number(counted, getattr(run, counted))
        number_within("error", run.error, 0, inf)
        groups.setdefault((one_of("kind", run.kind, KINDS), run.top_k), []).append(run)
    return [_point(groups[key], counted, unit) for key in sorted(groups)]


def _point(runs: list[Run], counted: str, unit: float) -> Point:
    """Average the runs of one layer."""
    kind, errors = runs[0].kind, [run.error for run in runs]
    cost = fmean(getattr(run, counted) for run in runs) / unit
    label = f"sparse, k = {runs[0].top_k}" if kind == "sparse" else kind
    return Point(kind, label, cost, fmean(errors), stdev(errors) if len(errors) > 1 else 0.0)


def _axes(points: list[Point]) -> Axes:
    """Leave room around the points, at the right for labels too; zero is always in sight."""
    costs = [point.cost for point in points]
    highest = max(point.error + point.sd for point in points) or 1.0
    return Axes(54, 126, 400, 220, (min(costs) / 1.3, max(costs) * 1.6), (0, 1.08 * highest), x_log=True)


def _ticks(ends: tuple[float, float]) -> list[float]:
    """Return 1, 2, 5 times powers of ten between the two ends, or at most five of them; 3 where there are none."""
    low, high = ends
    exponents = range(floor(log10(low)), floor(log10(high)) + 1)
    ticks = [d * 10.0**e for e in exponents for d in (1, 2, 5) if low <= d * 10.0**e <= high]
    ticks = ticks or [3 * 10.0**e for e in exponents if low <= 3 * 10.0**e <= high]
    return ticks[:: max(1, -(-len(ticks) // 5))]


def _steps(highest: float) -> list[float]:
    """Return round numbers from 0 up, at most six."""
    step = next(d * 10.0**e for e in range(-9, 309) for d in (1, 2, 5) if highest <= 6 * d * 10.0**e)
    return [round(i * step, 9) for i in range(int(highest / step) + 1)]


def _legend() -> list[str]:
    """Name each kind beside its mark."""
    parts = []
    for i, (kind, words) in enumerate(KINDS.items()):
        y = 20 + 22 * i
        parts += [_mark(kind, 24, y), text(42, y + 5, words)]
    return [*parts, text(42, 91, "upright line: ± one standard deviation over the seeds", fill=FAINT_INK)]


def _mark(kind: str, x: float, y: float) -> str:
    """Draw the shape of this kind at (x, y); dense ones are hollow, so that no mark hides another."""
    if kind == "sparse":
        return element("circle", cx=x, cy=y, r=5, fill=INK)
    reach = 7 if kind == "dense, equal FLOPs" else 9
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)] if reach == 7 else [(0, -1), (1, 0), (0, 1), (-1, 0)]
    points = " ".join(f"{x + reach * right:.1f},{y + reach * down:.1f}" for right, down in corners)
    return element("polygon", points=points, fill="none", stroke=INK, stroke_width=2.5)


def _marks(axes: Axes, points: list[Point]) -> list[str]:
    """Draw the spread, then the line through the sparse layers, then the marks on top."""
    parts = []
    for p in points:
        x = axes.x(p.cost)
        ends = {"y1": axes.y(p.error - p.sd), "y2": axes.y(p.error + p.sd)}
        parts.append(element("line", x1=x, x2=x, **ends, stroke=INK, stroke_width=2.5))
    line = [p for p in points if p.kind == "sparse"]
    if len(line) > 1:
        parts.append(axes.line([p.cost for p in line], [p.error for p in line], INK, "2 4"))
    return parts + [_mark(p.kind, axes.x(p.cost), axes.y(p.error)) for p in points]


def _labels(axes: Axes, points: list[Point]) -> list[str]:
    """Write k beside each sparse layer where it covers nothing; tie it by a line where marks are crowded."""
    parts: list[str] = []
    places = {p: axes.x(p.cost) for p in points if p.kind == "sparse"}
    crowds = {p: sum(abs(x - other) < 12 for other in places.values()) > 1 for p, x in places.items()}
    marks = [(axes.x(p.cost), axes.y(p.error)) for p in points]
    taken = [(x - 10, y - 10, x + 10, y + 10) for x, y in marks] + _drawn(axes, points)
    for p in sorted(places, key=lambda p: (crowds[p], -p.error)):
        x, y = axes.x(p.cost), axes.y(p.error)
        free = (place for place in _places(x, y, crowds[p]) if _is_free(_box(*place), taken))
        left, base = next(free, (x + 15, y + 5))
        taken.append(_box(left, base))
        parts += [_leader(x, y, left, base)] if crowds[p] else []
        parts.append(text(left, base, f"k = {p.label.split()[-1]}", size=13, stroke=PAPER, stroke_width=4,
                          paint_order="stroke"))  # fmt: skip
    return parts


def _leader(x: float, y: float, left: float, base: float) -> str:
    """Tie the mark at (x, y) to the nearer end of its label."""
    near = left - 2 if left > x else left + LABEL + 2
    return element("line", x1=x, y1=y, x2=near, y2=base - 5, stroke=FAINT_INK, stroke_width=1.5)


def _places(x: float, y: float, crowded: bool) -> Iterator[tuple[float, float]]:
    """Yield where a label of the mark at (x, y) may begin, left end and baseline: the nearest places first.

    Where marks of the sparse layers are crowded, first those at one side, from above down: labels keep their order.
    """
    if crowded:
        yield from ((side, y - 12 + down) for side in (x + 30, x - 30 - LABEL) for down in range(40)
                    if side + LABEL < WIDTH - 4 and 140 <= y - 12 + down <= 342)  # fmt: skip
    below_and_above = ((x - LABEL / 2, y + 24), (x - LABEL / 2, y - 14))
    beside = [(side, y + 5 + down) for far in range(0, 120, 8) for down in (far, -far)
              for side in (x + 15 + far / 4, x - 15 - far / 4 - LABEL)]  # fmt: skip
    yield from (place for place in (*below_and_above, *beside) if 56 <= place[0] <= WIDTH - LABEL - 4
                and 140 <= place[1] <= 342)  # fmt: skip


def _box(left: float, base: float) -> Box:
    """Return the left, upper, right and lower ends of a label."""
    return left, base - 11, left + LABEL, base + 3


def _is_free(box: Box, taken: list[Box]) -> bool:
    """Tell whether a box overlaps none of the taken ones."""
    return not any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken)


def _drawn(axes: Axes, points: list[Point]) -> list[Box]:
    """Return small boxes along the upright lines and the dotted one, which labels must not cover."""
    ends = [((axes.x(p.cost), axes.y(p.error - p.sd)), (axes.x(p.cost), axes.y(p.error + p.sd))) for p in points]
    circles = [(axes.x(p.cost), axes.y(p.error)) for p in points if p.kind == "sparse"]
    steps = [i / 24 for i in range(25)]
    along = [(a + t * (c - a), b + t * (d - b)) for (a, b), (c, d) in [*ends, *pairwise(circles)] for t in steps]
    return [(x - 2, y - 2, x + 2, y + 2) for x, y in along]
