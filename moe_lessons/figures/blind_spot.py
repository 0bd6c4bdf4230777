"""The picture of the blind spot in lesson 07: a film of what each method does for an expert that nobody asks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, RULE
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import refuse, whole_number

if TYPE_CHECKING:  # the experiment needs torch, its picture does not
    from moe_lessons.experiments.blind_spot import Result

WIDTH = 480
CHANCE = 0.25  # k/N: how often two of eight experts, drawn blindly, hold a certain one
_TOP, _ROW = 92, 29  # the first row's upper edge, and the height of a row
_NARROWEST = 4  # of a band: where the middle half of the runs agree it would vanish, far from a mean that it explains
_TOKENS, _RUNS = (146, 150), (330, 92)  # the left edge and the width of the two columns


def blind_spot_svg(results: Mapping[str, "Result"], step: int = 0) -> str:
    """Draw, for each method at one training step, how many of E8's tokens reach E8 and how many runs found it.

    results: by name, each as `blind_spot.run` returns it. step: from 0 to the last one; the last measurement up to it
    is shown. Returns an SVG string. Raises ValueError for no results, runs measured at other times, another step.
    """
    shown = list(results.values())
    steps = _same_steps(shown)
    frame = _frame(steps, step)
    bottom = _TOP + _ROW * len(shown)
    rows = [part for i, result in enumerate(shown) for part in _row(_TOP + _ROW * i, result, frame)]
    found = [f"{r.label} {r.share[frame].mean():.2f}, {_count(r, frame)} runs" for r in shown]
    return picture(
        WIDTH,
        bottom + 138,
        "Which methods bring back an expert that nobody asks",
        f"After {steps[frame]} of {steps[-1]} steps, the share of E8's tokens that reach E8: {'; '.join(found)}.",
        text(10, 26, f"after {steps[frame]} of {steps[-1]} training steps", size=16, font_weight="bold"),
        *_columns(bottom),
        *_chance(shown),
        *rows,
        *_key(bottom + 44, shown[0].share.shape[1]),
        state=f"step={steps[frame]} methods={len(shown)}",
    )


def _same_steps(results: Sequence["Result"]) -> np.ndarray:
    """Return the measured steps, if all results share them. (frames,)."""
    if not results:
        raise refuse("results", results, "at least one result")
    for result in results:
        if not np.array_equal(result.steps, results[0].steps):
            raise refuse("results", result.name, "results that were measured at the same steps")
    return results[0].steps


def _frame(steps: np.ndarray, step: int) -> int:
    """Return the index of the last measurement up to `step`."""
    whole_number("step", step, least=0, most=int(steps[-1]))
    return int(np.searchsorted(steps, step, side="right")) - 1


def _count(result: "Result", frame: int) -> str:
    """Write how many of the runs have found E8."""
    found = result.found_at(frame)  # (R,)
    return f"{int(found.sum())}/{found.size}"


def _across(column: tuple[float, float], share: float) -> float:
    """Return where a share from 0 to 1 lies in a column."""
    return column[0] + column[1] * share


def _columns(bottom: float) -> list[str]:
    """Draw the heads of both columns and their scales."""
    parts = [
        text(_TOKENS[0], 54, "share of E8's tokens", size=13),
        text(_TOKENS[0], 71, "that select E8", size=13),
        text(_RUNS[0], 54, "runs that found E8", size=13),
        text(_RUNS[0], 71, "(half of its tokens)", size=13),
    ]
    for column in (_TOKENS, _RUNS):
        for share in (0, 0.5, 1):
            x = _across(column, share)
            parts.append(element("line", x1=x, x2=x, y1=_TOP - 8, y2=bottom, stroke=RULE))
            parts.append(text(x, bottom + 18, f"{share:g}", size=13, anchor="middle", fill=FAINT_INK))
    return parts


def _chance(results: Sequence["Result"]) -> list[str]:
    """Draw the dashed line of chance through each row but those of ReLU routing, which does not choose k of N."""
    x, style = _across(_TOKENS, CHANCE), {"stroke": INK, "stroke_width": 2, "stroke_dasharray": "3 4"}
    tops = [_TOP + _ROW * i for i, result in enumerate(results) if not result.relu]
    return [element("line", x1=x, x2=x, y1=top, y2=top + _ROW, **style) for top in tops]


def _row(top: float, result: "Result", frame: int) -> list[str]:
    """Draw one method: its mean over runs with the middle half of the runs; its found runs with their interval."""
    y, share = top + _ROW / 2, result.share[frame]  # (R,)
    low, high = (_across(_TOKENS, q) for q in np.quantile(share, [0.25, 0.75]))
    wide = max(high - low, _NARROWEST)
    left, right = (_across(_RUNS, end) for end in result.interval_at(frame))
    colour, fill = (FAINT_INK, PAPER) if result.is_null else (INK, INK)
    rate = _RUNS[1] * float(result.found_at(frame).mean())
    return [
        text(10, y + 5, result.label),
        element("rect", x=(low + high - wide) / 2, y=y - 5, width=wide, height=10, rx=3, fill=colour, fill_opacity=0.3),
        element("circle", cx=_across(_TOKENS, share.mean()), cy=y, r=5.5, fill=fill, stroke=colour, stroke_width=2),
        element("rect", x=_RUNS[0], y=y - 7, width=rate, height=14, fill=fill, fill_opacity=0.55, stroke=colour,
                stroke_width=1.5),
        _whisker(left, right, y),
        text(470, y + 5, _count(result, frame), size=13, anchor="end"),
    ]  # fmt: skip


def _whisker(left: float, right: float, y: float) -> str:
    """Draw an interval as a line with two ends."""
    path = f"M{left:.1f} {y - 4:.1f}v8m0 -4H{right:.1f}m0 -4v8"
    return element("path", d=path, stroke=INK, stroke_width=1.5, fill="none")


def _key(top: float, runs: int) -> list[str]:
    """Say what the marks mean."""
    return [
        element("circle", cx=18, cy=top - 5, r=5.5, fill=INK),
        text(32, top, f"mean over {runs} runs; its band: the middle half of the runs"),
        text(32, top + 22, "(no band: that half of the runs agrees exactly)"),
        element("line", x1=10, x2=26, y1=top + 39, y2=top + 39, stroke=INK, stroke_width=2, stroke_dasharray="3 4"),
        text(32, top + 44, f"chance: two of eight drawn blindly, {CHANCE:g} (not for ReLU)"),
        _whisker(10, 26, top + 61),
        text(32, top + 66, "95 % interval of the share of runs (Wilson)"),
        element("circle", cx=18, cy=top + 83, r=5.5, fill=PAPER, stroke=FAINT_INK, stroke_width=2),
        text(32, top + 88, "hollow: E8 had a fair start (null)"),
    ]
