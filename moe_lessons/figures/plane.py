"""The plane in which tokens and prototypes are arrows, tinted by the expert that has the first choice there."""

from collections.abc import Sequence
from math import dist
from typing import Any

import numpy as np

from moe_lessons.figures.chart import Axes
from moe_lessons.figures.palette import FAINT_INK, PAPER, filled, lined
from moe_lessons.figures.svg import element, text

Point = tuple[float, float]


def region_of(angles: np.ndarray, W_g: np.ndarray) -> np.ndarray:
    """Return which expert is first for tokens in these directions (A,): without a bias, length does not count."""
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (A, 2)
    return (directions @ W_g).argmax(axis=1)


def regions(axes: Axes, W_g: np.ndarray, avoid: Sequence[Point] = ()) -> list[str]:
    """Tint each expert's region and write its name at the rim, away from the points to avoid. axes: of a square."""
    angles = np.linspace(0, 2 * np.pi, 361)[:-1]  # (A,)
    winner = region_of(angles, W_g)  # (A,)
    starts = np.flatnonzero(winner != np.roll(winner, 1))  # (regions,); none where one expert has all
    starts = starts if len(starts) else np.zeros(1, dtype=int)
    ends = [*starts[1:], starts[0] + len(angles)]
    turn = 2 * np.pi / len(angles)
    return [
        _sector(axes, turn * low, turn * high, int(winner[low]), avoid) for low, high in zip(starts, ends, strict=True)
    ]


def name(x: float, y: float, words: str, **how: Any) -> str:
    """Write an expert's name around (x, y), outlined so that it can be read on tokens."""
    outline = {"stroke": PAPER, "stroke_width": 3, "paint_order": "stroke", "font_weight": "bold"}
    return text(x, y + 5, words, anchor="middle", **{**outline, **how})


def at_rim(axes: Axes, angle: float, share: float = 1.0) -> Point:
    """Return where a direction leaves the square, in the picture's units, or this share of the way there."""
    x, y = np.cos(angle), np.sin(angle)
    far = share * axes.x_range[1] / max(abs(x), abs(y))
    return axes.x(far * x), axes.y(far * y)


def _sector(axes: Axes, low: float, high: float, expert: int, avoid: Sequence[Point]) -> str:
    """Draw a region as a tinted polygon that ends at the square, with its name near the rim."""
    turns = np.arange(-np.pi / 4, 4 * np.pi, np.pi / 2)  # the square's corners
    rim = [at_rim(axes, angle) for angle in [low, *turns[(turns > low) & (turns < high)], high]]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(axes.x(0), axes.y(0)), *rim])
    look = {**filled(expert), **lined(expert), "fill_opacity": 0.13, "stroke_width": 1}
    tint = element("polygon", points=points, **look)
    spots = [at_rim(axes, low + share * (high - low), 0.92) for share in (0.5, 0.25, 0.75)]  # the first of the best
    free = max(spots, key=lambda spot: min((dist(spot, point) for point in avoid), default=0.0))
    return tint + name(*free, f"E{expert + 1}", size=13, fill=FAINT_INK)
