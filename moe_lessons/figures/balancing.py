"""The balancing simulator of lessons 09 and 10b: who gets the tokens during a training run, and what it costs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_lessons.figures.chart import Axes
from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, filled
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import one_of, refuse, whole_number

if TYPE_CHECKING:  # the experiment needs torch, its picture does not
    from moe_lessons.experiments.balancing_runs import Result

WIDTH = 480
BASELINE = "none"  # the method that every other is drawn against
DEAD = 0.01  # of the mean load, as `metrics.dead_experts` has it
_LOADS, _LEFT, _RIGHT = (46, 96, 388, 190), (46, 386, 176, 120), (290, 386, 176, 120)  # left, top, width, height
_LINE = 15  # the least distance of two names, where there is room


def balancing_svg(runs: Mapping[tuple[str, float], "Result"], method: str, strength: int = 1, step: int = 0) -> str:
    """Draw one training run: the loads of all experts over time, and MaxVio and task error of every seed.

    runs: as `balancing_runs.run_all` returns them. method: a name among them. strength: from 1, the weakest coefficient
    of the method, to the strongest; beyond it the strongest is shown. step: a training step, marked in the picture; the
    last measurement up to it is written out. The loads are those of the first seed. Where `runs` holds "none", its mean
    is drawn beside the others, dashed. Returns an SVG string.
    Raises ValueError for no runs, an unknown method, a strength below 1 and a step beyond the last.
    """
    result = _result(runs, method, strength)
    whole_number("step", step, least=0, most=int(result.steps[-1]))
    frame = int(np.searchsorted(result.steps, step, side="right")) - 1
    baseline = next((found for (name, _), found in runs.items() if name == BASELINE != method), None)
    load = result.load[frame, 0]  # (N,)
    numbers = _numbers(result, frame)
    return picture(
        WIDTH,
        600,
        "The loads of the experts in training, and what balance costs",
        f"{result.setting}, after {result.steps[frame]} of {result.steps[-1]} steps. Loads of E1 to E{load.size}: "
        f"{', '.join(f'{share:.2f}' for share in load)}. {numbers}.",
        text(10, 26, result.setting, size=16, font_weight="bold"),
        text(10, 48, f"after {result.steps[frame]} of {result.steps[-1]} steps; {numbers}", size=13),
        *_loads(result, frame),
        *_curves(result, baseline, frame),
        *_key(result, baseline),
        state=f"method={method} coefficient={result.coefficient:g} step={result.steps[frame]} {_dead(load)}",
    )


def _result(runs: Mapping[tuple[str, float], Any], method: str, strength: int) -> Any:
    """Return the result of a method with its coefficient number `strength`, counted from 1."""
    if not runs:
        raise refuse("runs", runs, "at least one result")
    names = list(dict.fromkeys(name for name, _ in runs))
    one_of("method", method, names)
    tried = sorted(coefficient for name, coefficient in runs if name == method)
    return runs[method, tried[min(whole_number("strength", strength, least=1, most=99), len(tried)) - 1]]


def idle_strength(runs: Mapping[tuple[str, float], Any], method: str, **_others: object) -> dict[str, str]:
    """Return "strength" with the reason, for a method of which `runs` holds one coefficient only."""
    return {"strength": "this method has only one"} if sum(name == method for name, _ in runs) == 1 else {}


def _numbers(result: "Result", frame: int) -> str:
    """Write the means over the runs."""
    dead, violation, error = (getattr(result, n)[frame].mean() for n in ("dead", "max_violation", "error"))
    return f"means: MaxVio {violation:.2f}, dead {dead:.1f}, error {error:.2f}"


def _dead(load: np.ndarray) -> str:
    """Name the experts that are all but unused."""
    dead = [f"E{i + 1}" for i in np.flatnonzero(load < DEAD * load.mean())]
    return "dead: " + (", ".join(dead) or "none")


# --- loads --------------------------------------------------------------------------------------------------------


def _loads(result: "Result", frame: int) -> list[str]:
    """Draw the loads of the first run as bands on top of each other, E1 lowest, with all names at their ends."""
    steps, load = result.steps, result.load[:, 0]  # (F,), (F, N)
    axes = Axes(*_LOADS, (0, int(steps[-1])), (0, 1))
    upper = np.concatenate([np.zeros((len(steps), 1)), load.cumsum(axis=1)], axis=1)  # (F, N + 1)
    bands = [_band(axes, steps, upper[:, i], upper[:, i + 1], i) for i in range(load.shape[1])]
    ends = _apart(axes, [axes.y(middle) for middle in (upper[-1, 1:] + upper[-1, :-1]) / 2])
    ticks = [0, int(steps[-1]) // 2, int(steps[-1])]
    fair = [_dashed(axes, i / load.shape[1]) for i in range(1, load.shape[1])]
    return [
        axes.frame(ticks, (0, 0.5, 1), "training step", "share of the tokens, run 1 (dashed: fair shares)"),
        *bands,
        *fair,
        *[_name(axes, y, i) for i, y in enumerate(ends)],
        _mark(axes, steps[frame]),
        text(12, 348, f"run 1, under 1 % of the mean load ({_dead(load[frame])})", size=13),
    ]


def _band(axes: Axes, steps: np.ndarray, low: np.ndarray, high: np.ndarray, i: int) -> str:
    """Draw one expert's share over time."""
    ends = [*zip(steps, high, strict=True), *zip(steps[::-1], low[::-1], strict=True)]
    points = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in ends)
    return element("polygon", points=points, **filled(i), fill_opacity=0.55, stroke=PAPER)


def _apart(axes: Axes, wanted: list[float]) -> list[float]:
    """Move heights (N,), the lowest first, as far apart as names need, and no further; all stay beside the axes."""
    gap = min(_LINE, axes.height / len(wanted))
    placed: list[float] = []
    for y in wanted:
        placed.append(min(y, placed[-1] - gap if placed else axes.top + axes.height - gap / 2))
    highest = axes.top + gap / 2
    return [max(y, highest + gap * above) for y, above in zip(placed, range(len(placed) - 1, -1, -1), strict=True)]


def _name(axes: Axes, y: float, i: int) -> str:
    """Write an expert's name beside the last step, with a patch of its colour: its band may be too thin to see."""
    x = axes.left + axes.width
    patch = element("rect", x=x + 6, y=y - 5, width=10, height=10, **filled(i), fill_opacity=0.55)
    return patch + text(x + 20, y + 5, f"E{i + 1}", size=13, font_weight="bold")


def _dashed(axes: Axes, y: float) -> str:
    """Draw a level line."""
    return element("line", x1=axes.left, x2=axes.left + axes.width, y1=axes.y(y), y2=axes.y(y), stroke=FAINT_INK,
                   stroke_dasharray="2 4")  # fmt: skip


def _mark(axes: Axes, step: float) -> str:
    """Draw the line of the present step."""
    x = axes.x(step)
    return element("line", x1=x, x2=x, y1=axes.top, y2=axes.top + axes.height, stroke=INK, stroke_width=2)


# --- measures -----------------------------------------------------------------------------------------------------


def _curves(result: "Result", baseline: "Result | None", frame: int) -> list[str]:
    """Draw MaxVio and task error, each run as a thin line, their mean and the baseline's as thick ones."""
    last, most = int(result.steps[-1]), result.load.shape[-1] - 1
    panels = (
        (_LEFT, "max_violation", "MaxVio", (0, most), sorted({0, most // 2, most})),
        (_RIGHT, "error", "task error (1: guessing)", (0, 1.2), (0, 0.5, 1)),
    )
    parts = []
    for place, name, label, reach, ticks in panels:
        axes, values = Axes(*place, (0, last), reach), getattr(result, name)  # (F, S)
        parts.append(axes.frame((0, last // 2, last), ticks, "training step", label))
        if baseline is not None:
            parts.append(
                axes.line(baseline.steps.tolist(), getattr(baseline, name).mean(axis=1).tolist(), FAINT_INK, dash="6 4")
            )
        parts += [_thin(axes, result.steps, run) for run in values.T]
        parts += [
            axes.line(result.steps.tolist(), values.mean(axis=1).tolist(), INK),
            _mark(axes, result.steps[frame]),
        ]
    return parts


def _thin(axes: Axes, xs: np.ndarray, ys: np.ndarray) -> str:
    """Draw the line of one run."""
    points = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in zip(xs, ys, strict=True))
    return element("polyline", points=points, fill="none", stroke=INK, stroke_opacity=0.35)


def _key(result: "Result", baseline: "Result | None") -> list[str]:
    """Say what the lines are."""
    rows: list[tuple[str, str, str]] = [(INK, "", f"mean of {result.load.shape[1]} runs (thin: each run)")]
    if baseline is not None:
        rows.append((FAINT_INK, "6 4", baseline.label))
    parts = []
    for x, (colour, dash, words) in zip((46, 312), rows, strict=False):
        dashed = {"stroke_dasharray": dash} if dash else {}
        parts.append(element("line", x1=x, x2=x + 28, y1=572, y2=572, stroke=colour, stroke_width=2.5, **dashed))
        parts.append(text(x + 36, 577, words, size=13))
    return parts
