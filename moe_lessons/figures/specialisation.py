"""The pictures of lesson 11: a count table and its information, measures layer by layer, experts against domains."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moe_lessons.figures.chart import Axes
from moe_lessons.figures.heat import signed_cell
from moe_lessons.figures.palette import AMOUNT, FAINT_INK, INK, PAPER, RULE, SERIES, filled
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.metrics import mutual_information
from moe_lessons.support.validation import float_array, positive_number, refuse, whole_number

WIDTH = 480
MOST_SERIES = 4  # lines that dashes and marks still tell apart
MOST_LAYERS = 12
MOST_CELLS = 10  # rows or columns of a matrix

_RIM: dict[str, Any] = {"stroke": PAPER, "stroke_width": 5, "paint_order": "stroke"}

# --- a count table and its information ----------------------------------------------------------------------------

TOKENS = 100  # of each of the two domains


def counts_svg(code_to_first: int = 80, prose_to_first: int = 20) -> str:
    """Draw a 2×2 count table, 100 tokens of code and 100 of prose against E1 and E2, and its information in bits.

    code_to_first, prose_to_first: how many of the 100 tokens go to E1. Returns an SVG string.
    Raises ValueError for counts outside 0..100.
    """
    names = {"code_to_first": code_to_first, "prose_to_first": prose_to_first}
    first = [whole_number(name, value, least=0, most=TOKENS) for name, value in names.items()]
    counts = np.array([[value, TOKENS - value] for value in first])  # (domains, experts)
    bits = table_information(counts)
    expected = counts.sum(axis=0) / 2  # (experts,): alike for both domains, which are equally large
    return picture(
        WIDTH,
        276,
        "A count table and its mutual information",
        f"Code: {counts[0].tolist()}, prose: {counts[1].tolist()} to E1 and E2. I(domain; expert) = {bits:.3f} bits.",
        *(text(250 + 130 * i, 30, f"E{i + 1}", anchor="middle", font_weight="bold") for i in (0, 1)),
        *(text(20, 84 + 74 * row, name, font_weight="bold") for row, name in enumerate(("code", "prose"))),
        *(part for row in (0, 1) for column in (0, 1) for part in _count(counts, row, column, expected[column])),
        text(20, 218, "information, 0 to 1 bit"),
        element("rect", x=185, y=204, width=260, height=18, fill="none", stroke=RULE),
        element("rect", x=185, y=204, width=260 * bits, height=18, **AMOUNT),
        text(20, 256, f"I(domain; expert) = {bits:.3f} bits", size=15, font_weight="bold"),
        state=f"code={first[0]} prose={first[1]} bits={bits:.3f}",
    )


def table_information(counts: Any) -> float:
    """Return the mutual information in bits of a table of counts (rows, columns), at least one token in it.

    Raises ValueError for anything but whole counts of at least 0, or a table without a token.
    """
    table = np.asarray(counts)
    if table.ndim != 2 or table.dtype.kind not in "iu" or table.size == 0 or table.min() < 0 or table.sum() == 0:
        raise refuse("counts", counts, "a table of whole numbers (rows, columns), at least 0 and one above it")
    rows, columns = np.nonzero(table)
    times = table[rows, columns]  # (cells that occur,)
    return mutual_information(np.repeat(rows, times), np.repeat(columns, times), base=2)


def _count(counts: np.ndarray, row: int, column: int, expected: float) -> list[str]:
    """Draw one cell: its count, and the count it would have if the domain said nothing."""
    x, y, share = 190 + 130 * column, 44 + 74 * row, counts[row, column] / TOKENS
    return [
        element("rect", x=x, y=y, width=120, height=64, **filled(column), fill_opacity=0.45 * share, stroke=RULE),
        text(x + 60, y + 28, str(counts[row, column]), size=18, anchor="middle", font_weight="bold"),
        text(x + 60, y + 52, f"if unrelated {expected:g}", size=13, anchor="middle"),
    ]


# --- measures layer by layer --------------------------------------------------------------------------------------


def layers_svg(series: Mapping[str, Any], title: str, unit: str, null: Any = None, top: float | None = None) -> str:
    """Draw a measure against the layer: for each kind of model the mean over seeds, and each seed as a mark.

    series: name -> (seeds, layers), at most four; the first is the one that matters. null: (layers,), the upper end of
    a band from 0 in which nothing is known, say the 95th percentile of a permutation null. top: where the y axis ends,
    at the largest number if not given. Returns an SVG string. Raises ValueError for shapes that do not fit.
    """
    runs = _runs(series)
    L = next(iter(runs.values())).shape[1]
    band = _null(null, L)  # (layers,) or (0,)
    y_range = _y_range([*runs.values(), band], top)
    above = 46 + 24 * (len(runs) + bool(band.size))
    axes = Axes(54, above + 26, 410, 190, (0.7, L + 0.3), y_range)
    told = "; ".join(f"{name} {_listed(values.mean(axis=0))}" for name, values in runs.items())
    return picture(
        WIDTH,
        above + 268,
        title,
        f"{title}, in {unit}, layers 1 to {L}, means over seeds: {told}.",
        text(14, 24, title, size=15, font_weight="bold"),
        *_legend(runs, bool(band.size)),
        axes.frame(range(1, L + 1), _ticks(*y_range), "layer", unit),
        _band(axes, band) if band.size else "",
        *(part for i, values in enumerate(runs.values()) for part in _series(axes, values, i, len(runs))),
        state=" ".join(f"{name.replace(' ', '_')}={_listed(values.mean(axis=0))}" for name, values in runs.items()),
    )


def _y_range(drawn: Sequence[np.ndarray], top: float | None) -> tuple[float, float]:
    """Return the ends of the y axis: 0, or the lowest number below it; `top`, or a round number above them all."""
    numbers = np.concatenate([values.ravel() for values in drawn])
    return float(numbers.min(initial=0)), top or _round_up(float(numbers.max()))


def _null(null: Any, layers: int) -> np.ndarray:
    """Return the upper end of the band for each layer, or nothing where there is no band."""
    band = np.zeros(0) if null is None else float_array("null", null)
    if null is not None and band.shape != (layers,):
        raise refuse("null.shape", band.shape, f"({layers},), one number a layer")
    return band


def _runs(series: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return every series as (seeds, layers)."""
    if not 1 <= len(series) <= MOST_SERIES:
        raise refuse("series", list(series), f"from 1 to {MOST_SERIES} names")
    runs = {name: float_array(f"series[{name!r}]", values) for name, values in series.items()}
    layers = {values.shape[1:] for values in runs.values()}
    if any(values.ndim != 2 or values.size == 0 for values in runs.values()) or len(layers) > 1:
        raise refuse("series", {name: v.shape for name, v in runs.items()}, "(seeds, layers), the same layers in all")
    whole_number("layers", layers.pop()[0], least=1, most=MOST_LAYERS)
    return runs


def _round_up(largest: float) -> float:
    """Return a round number at or above `largest`, the end of an axis."""
    if largest <= 0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(largest))
    return float(next(unit * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if unit * step >= largest * 0.999))


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers from `low` to `high`."""
    step = _round_up((high - low) / 6)
    return [float(round(i * step, 10)) for i in range(int(np.ceil(low / step)), int(np.floor(high / step + 1e-9)) + 1)]


def _listed(values: np.ndarray) -> str:
    """Write numbers with a comma between them."""
    return ",".join(f"{value:.3f}" for value in values)


def _legend(runs: Mapping[str, np.ndarray], has_band: bool) -> list[str]:
    """Name each line beside a piece of it, and the band."""
    parts = []
    for i, (name, values) in enumerate(runs.items()):
        y, (colour, dash) = 48 + 24 * i, SERIES[i]
        sample = {"stroke_dasharray": dash} if dash else {}
        parts.append(element("line", x1=14, x2=58, y1=y, y2=y, stroke=colour, stroke_width=3, **sample))
        parts.append(_marker(i, 36, y, colour))
        seeds = f"{len(values)} seeds and their mean" if len(values) > 1 else "one seed"
        parts.append(text(68, y + 5, f"{name} ({seeds})"))
    if has_band:
        y = 48 + 24 * len(runs)
        parts.append(element("rect", x=14, y=y - 8, width=44, height=16, fill=FAINT_INK, fill_opacity=0.3))
        parts.append(text(68, y + 5, "what chance reaches (95 % of shuffles)"))
    return parts


def _band(axes: Axes, null: np.ndarray) -> str:
    """Fill from 0 to the null's upper end."""
    places = [0.7, *range(1, len(null) + 1), len(null) + 0.3]
    upper = [null[0], *null, null[-1]]
    corners = [*zip(places, upper, strict=True), (places[-1], 0.0), (places[0], 0.0)]
    points = " ".join(f"{axes.x(x):.1f},{axes.y(value):.1f}" for x, value in corners)
    return element("polygon", points=points, fill=FAINT_INK, fill_opacity=0.3)


def _series(axes: Axes, values: np.ndarray, i: int, of: int) -> list[str]:
    """Draw the mean as a line and every seed as a mark. Neighbours stand aside, so that equal numbers can be seen."""
    colour, dash = SERIES[i]
    places = np.arange(1, values.shape[1] + 1) + 0.05 * (i - (of - 1) / 2)  # (layers,)
    line = axes.line(places.tolist(), values.mean(axis=0).tolist(), colour, dash)
    marks = [_marker(i, axes.x(x), axes.y(y), colour) for run in values for x, y in zip(places, run, strict=True)]
    return [line, *marks]


def _marker(i: int, x: float, y: float, colour: str) -> str:
    """Draw a mark of the i-th form: circle, square, diamond, triangle; every other one is hollow."""
    forms = [
        None,
        f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8Z",
        f"M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6Z",
        f"M{x:.1f} {y - 5:.1f}l5 9h-10Z",
    ]
    look = {"fill": PAPER if i % 2 else colour, "stroke": colour if i % 2 else PAPER, "stroke_width": 1 + i % 2}
    return element("circle", cx=x, cy=y, r=4.5, **look) if i == 0 else element("path", d=forms[i] or "", **look)


# --- saturation ---------------------------------------------------------------------------------------------------


def saturation_svg(steps: Sequence[int], share: Any, chance: float) -> str:
    """Draw how much of the final choice each layer had made at earlier steps (OLMoE, arXiv:2409.02060, Eq. 5).

    steps: (snapshots,), ascending from 0. share: (layers, snapshots), from 0 to 1, at most four layers.
    chance: k/N, what two unrelated balanced choices share. Returns an SVG string.
    Raises ValueError for shapes that do not fit.
    """
    shares = _shares(share, len(steps))  # (layers, snapshots)
    last = positive_number("the last step", float(max(steps, default=0)))
    axes = Axes(54, 92, 410, 210, (0, last), (0, 1))
    return picture(
        WIDTH,
        358,
        "Router saturation during training",
        "; ".join(f"layer {i + 1}: {_listed(row)}" for i, row in enumerate(shares)),
        text(14, 24, "Share of choices that are already the final ones", size=15, font_weight="bold"),
        *(part for i in range(len(shares)) for part in _layer_name(i)),
        axes.frame(_ticks(0, last), [0, 0.25, 0.5, 0.75, 1], "training step", "share"),
        axes.line([0, last], [chance, chance], FAINT_INK, "1 4"),
        text(axes.left + 200, axes.y(chance) - 6, f"chance k/N = {chance:g}", fill=FAINT_INK, **_RIM),
        *(axes.line(list(steps), row.tolist(), *SERIES[i]) for i, row in enumerate(shares)),
        *(_marker(i, axes.x(s), axes.y(v), SERIES[i][0]) for i, row in enumerate(shares)
          for s, v in zip(steps, row, strict=True)),
        state=" ".join(f"layer{i + 1}={_listed(row)}" for i, row in enumerate(shares)),
    )  # fmt: skip


def _shares(share: Any, snapshots: int) -> np.ndarray:
    """Return the shares as (layers, snapshots)."""
    shares = float_array("share", share)
    if shares.ndim != 2 or shares.shape[1] != snapshots or not 1 <= len(shares) <= MOST_SERIES:
        raise refuse("share.shape", shares.shape, f"(layers, {snapshots}), at most {MOST_SERIES} layers")
    return shares


def _layer_name(i: int) -> list[str]:
    """Name the line of a layer."""
    x, (colour, dash) = 14 + 116 * i, SERIES[i]
    sample = {"stroke_dasharray": dash} if dash else {}
    line = element("line", x1=x, x2=x + 40, y1=52, y2=52, stroke=colour, stroke_width=3, **sample)
    return [line, _marker(i, x + 20, 52, colour), text(x + 48, 57, f"layer {i + 1}")]


# --- experts against domains --------------------------------------------------------------------------------------


def domains_svg(share: Any, domains: Sequence[str], chance: float, title: str = "Who serves which domain?") -> str:
    """Draw for each domain the share of its tokens that every expert serves, with the baseline k/N.

    share: (domains, N), from 0 to 1, as `metrics.domain_specialisation` returns it. chance: k/N. Returns an SVG string.
    Raises ValueError for shapes that do not fit.
    """
    shares = _matrix("share", share, domains)
    if shares.min() < 0 or shares.max() > 1:
        raise refuse("share", share, "shares from 0 to 1")
    rows = [
        _domain_row(row, name, 44 + 92 * i, chance) for i, (row, name) in enumerate(zip(shares, domains, strict=True))
    ]
    return picture(
        WIDTH,
        92 * len(rows) + 84,
        title,
        "; ".join(f"{name}: {_listed(row)}" for row, name in zip(shares, domains, strict=True)),
        text(14, 24, title, size=15, font_weight="bold"),
        *(part for row in rows for part in row),
        text(14, 92 * len(rows) + 68, f"Bars: share of the domain's tokens. Dashed: k/N = {chance:g}."),
        state=" ".join(f"{name}={_listed(row)}" for row, name in zip(shares, domains, strict=True)),
    )


def _matrix(name: str, value: Any, rows: Sequence[str]) -> np.ndarray:
    """Return a matrix with as many rows as names, and few enough cells to be read."""
    matrix = float_array(name, value)
    if matrix.ndim != 2 or len(matrix) != len(rows) or not 1 <= len(rows) <= MOST_CELLS:
        raise refuse(f"{name}.shape", matrix.shape, f"({len(rows)}, columns), from 1 to {MOST_CELLS} rows")
    whole_number(f"columns of {name}", matrix.shape[1], least=1, most=MOST_CELLS)
    return matrix


def _domain_row(row: np.ndarray, name: str, top: float, chance: float) -> list[str]:
    """Draw the bars of one domain: bar i belongs to expert i, its number stands above it."""
    height, step, base = 52, 368 / len(row), top + 70
    level = base - height * chance
    parts = [text(14, base - 20, name), element("line", x1=100, x2=470, y1=base, y2=base, stroke=RULE)]
    for i, value in enumerate(row):
        x, y = 104 + step * i, base - height * value
        parts.append(element("rect", x=x, y=y, width=step - 8, height=height * value, **filled(i)))
        parts.append(text(x + (step - 8) / 2, base + 15, f"E{i + 1}", size=13, anchor="middle", fill=FAINT_INK))
    dashed = {"stroke": INK, "stroke_width": 1.5, "stroke_dasharray": "5 4"}
    parts.append(element("line", x1=100, x2=470, y1=level, y2=level, **dashed))
    for i, value in enumerate(row):  # on top of the dashed line
        at = 104 + step * i + (step - 8) / 2
        parts.append(text(at, base - height * value - 3, f"{value:.2f}", size=13, anchor="middle", **_RIM))
    return parts


def ablation_svg(rise: Any, domains: Sequence[str], title: str = "Loss when one expert is off") -> str:
    """Draw the ablation matrix: by how much each domain's loss rises when one expert is switched off.

    rise: (N, domains), in nats per token, as `specialisation.ablation` returns it. Returns an SVG string.
    Raises ValueError for shapes that do not fit.
    """
    rises = _matrix("rise", np.asarray(rise).T, domains)  # (domains, N)
    most = max(float(np.abs(rises).max()), 1e-9)
    step = 372 / len(domains)
    cells = [part for d, row in enumerate(rises) for i, value in enumerate(row)
             for part in signed_cell(100 + step * d, 66 + 34 * i, step - 4, value, most)]  # fmt: skip
    N = rises.shape[1]
    return picture(
        WIDTH,
        34 * N + 122,
        title,
        "; ".join(f"{name}: {_listed(row)}" for name, row in zip(domains, rises, strict=True)),
        text(14, 24, title, size=15, font_weight="bold"),
        *(text(100 + step * (d + 0.5) - 2, 56, name, size=13, anchor="middle") for d, name in enumerate(domains)),
        *(text(14, 88 + 34 * i, f"E{i + 1} off") for i in range(N)),
        *cells,
        text(14, 34 * N + 92, "Rise of the loss on that domain, nats per token."),
        text(14, 34 * N + 112, "Shade: distance from 0. Dashed, with a minus: the loss falls."),
        state=" ".join(f"{name}={_listed(row)}" for name, row in zip(domains, rises, strict=True)),
    )
