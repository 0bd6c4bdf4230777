"""The pictures of lesson 03: what τ does to one token's probabilities, and three ways to lower it in training."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import scipy

from moe_lessons import routing
from moe_lessons.figures.chart import Axes
from moe_lessons.figures.palette import EXPERTS, FAINT_INK, INK, PAPER, RULE, SERIES, chosen, expert_colour
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import number_within, positive_number, refuse, score_array, whole_number

WIDTH = 520
TABLE = 332  # left edge of the table beside the charts
# Colours tell experts, dashes their rank (the best is solid): no line is told by its colour alone.
DASHES = ("", "9 4", "2 3", "9 3 2 3", "5 3", "14 4", "2 6", "9 3 2 3 2 3")

# --- 1. probabilities and entropy over τ --------------------------------------------------------------------------

TAU_RANGE = (0.01, 100.0)
_TAUS = np.geomspace(*TAU_RANGE, 81)
_PROBABILITIES = Axes(44, 64, 268, 150, TAU_RANGE, (0.0, 1.0), x_log=True)


def temperature_svg(logits: Any, temperature: float = 1.0, k: int = 2) -> str:
    """Draw softmax(h/τ) and its entropy (nats) over τ, with a marker at `temperature` and the k kept experts.

    logits: (N,) with N from 2 to 8, finite. temperature: 0.01 to 100. Returns an SVG string.
    Raises ValueError outside these ranges, and for a k that `routing.top_k` refuses.
    """
    h = _logits(logits)  # (N,)
    tau = number_within("temperature", temperature, *TAU_RANGE)
    kept = routing.top_k(h, k)[1]  # (k,)
    p = routing.softmax(h, tau)  # (N,)
    sentences = _sentences(h, p, tau, kept)
    return picture(
        WIDTH,
        444,
        "Probabilities and entropy over the temperature",
        " ".join(sentences),
        text(10, 26, f"τ = {tau:.3g}", size=17, font_weight="bold"),
        *_probability_chart(h, p, tau, kept),
        *_entropy_chart(h, p, tau),
        *_expert_table(h, p, routing.gate_weights(h, k, temperature=tau), kept),
        *(text(10, 408 + 22 * i, sentence, size=15) for i, sentence in enumerate(sentences[:2])),
        state=f"tau={tau:.4g}|k={k}|kept={kept.tolist()}|h={h.tolist()}",
    )


def _logits(logits: Any) -> np.ndarray:
    """Return the logits of one token as an array that the picture has room for."""
    h = score_array("logits", logits)
    if h.ndim != 1 or not 2 <= len(h) <= len(EXPERTS) or not np.isfinite(h).all():
        raise refuse("logits", logits, f"2 to {len(EXPERTS)} finite numbers, the logits of one token")
    return h


def _sentences(h: np.ndarray, p: np.ndarray, tau: float, kept: np.ndarray) -> list[str]:
    """Say what is kept, how even the probabilities are, and every number of the table."""
    names = ", ".join(f"E{i + 1}" for i in kept)
    shares = ", ".join(f"E{i + 1} {value:.3f}" for i, value in enumerate(p))
    return [
        f"✓ Kept at this τ: {names}.",
        f"Entropy: {scipy.special.entr(p).sum():.3f} nats, of at most ln {len(h)} = {np.log(len(h)):.3f}.",
        f"Probabilities at τ = {tau:.3g}: {shares}.",
    ]


def _probability_chart(h: np.ndarray, p: np.ndarray, tau: float, kept: np.ndarray) -> list[str]:
    """Draw one line for each expert, the level 1/N, and a dot on each line at the marker: hollow for a cut one."""
    axes = _PROBABILITIES
    frame = axes.frame([], [0, 1], "", "probability")
    even = text(axes.left - 6, axes.y(1 / len(h)) + 5, f"1/{len(h)}", size=13, anchor="end", fill=FAINT_INK)
    dots = [_dot(axes, tau, value, **chosen(i in kept, i)) for i, value in enumerate(p.tolist())]
    return [frame, even, _level(axes, 1 / len(h)), axes.mark(tau, ""), *_curves(tuple(h.tolist())), *dots]


@lru_cache(maxsize=16)
def _curves(h: tuple[float, ...]) -> list[str]:
    """Draw the probabilities of these logits over τ. They stay while the marker moves, so they are kept."""
    probs = _probabilities_over_tau(np.array(h))  # (taus, N)
    return [
        _PROBABILITIES.line(_TAUS.tolist(), probs[:, i].tolist(), expert_colour(i), dash, data_expert=i)
        for i, dash in zip(routing.top_k(h, len(h))[1], DASHES, strict=False)
    ]


def _probabilities_over_tau(h: np.ndarray) -> np.ndarray:
    """Return softmax(h/τ) for every τ of the charts: (taus, N)."""
    return routing.softmax((h - h.max()) / _TAUS[:, None])


def _entropy_chart(h: np.ndarray, p: np.ndarray, tau: float) -> list[str]:
    """Draw the entropy in nats, and its limit ln N."""
    most = float(np.log(len(h)))
    axes = Axes(44, 256, 268, 84, TAU_RANGE, (0.0, 1.08 * most), x_log=True)
    return [
        axes.frame([0.01, 0.1, 1, 10, 100], [0, round(most, 2)], "τ (logarithmic)", "entropy (nats)"),
        _level(axes, most),
        axes.mark(tau, ""),
        axes.line(_TAUS.tolist(), scipy.special.entr(_probabilities_over_tau(h)).sum(axis=-1).tolist(), INK),
        _dot(axes, tau, float(scipy.special.entr(p).sum()), fill=INK, stroke=RULE),
    ]


def _level(axes: Axes, y: float) -> str:
    """Draw a faint line across the chart at height y."""
    right, height = axes.left + axes.width, axes.y(y)
    return element("line", x1=axes.left, x2=right, y1=height, y2=height, stroke=FAINT_INK, stroke_dasharray="1 4")


def _dot(axes: Axes, x: float, y: float, **look: object) -> str:
    return element("circle", cx=axes.x(x), cy=axes.y(y), r=4.5, stroke_width=2, **look)


def _expert_table(h: np.ndarray, p: np.ndarray, w: np.ndarray, kept: np.ndarray) -> list[str]:
    """List every expert with the sample of its line, its probability, its gate weight, and whether it is kept."""
    parts = _table_header(("p", TABLE + 94), ("weight", TABLE + 146), ("kept", TABLE + 182))
    for i, dash in zip(routing.top_k(h, len(h))[1], DASHES, strict=False):
        y = 76 + 26 * i
        parts += _named_sample(y, f"E{i + 1}", expert_colour(i), dash, data_expert=i)
        parts.append(text(TABLE + 94, y, f"{p[i]:.3f}", anchor="end"))
        parts.append(text(TABLE + 146, y, f"{w[i]:.3f}", anchor="end"))
        parts.append(text(TABLE + 174, y, "✓" if i in kept else "–", size=16, anchor="end"))
    return parts


def _table_header(*columns: tuple[str, float]) -> list[str]:
    """Write the titles of the table's columns, each ending at its place."""
    return [text(right, 48, title, size=13, anchor="end", fill=FAINT_INK) for title, right in columns]


def _named_sample(y: float, name: str, colour: str, dash: str, **more: object) -> list[str]:
    """Draw a short piece of a line with its name, as a key to the chart."""
    dashed = {"stroke_dasharray": dash} if dash else {}
    line = element("line", x1=TABLE, x2=TABLE + 22, y1=y - 5, y2=y - 5, stroke=colour, stroke_width=3, **dashed, **more)
    return [line, text(TABLE + 27, y, name, font_weight="bold")]


# --- 2. annealing schedules ---------------------------------------------------------------------------------------

STYLES = dict(zip(("linear", "geometric", "cosine"), SERIES, strict=False))


def schedules(start: float, end: float, steps: int) -> dict[str, np.ndarray]:
    """Return three ways from τ = start to τ = end: linear, geometric and cosine, each (steps,), both ends included.

    Raises ValueError unless start and end are finite and above 0, and steps is a whole number of at least 2.
    """
    start, end = positive_number("start", start), positive_number("end", end)
    steps = whole_number("steps", steps, least=2, most=10**9)
    done = np.linspace(0, 1, steps)  # (steps,), the share of the way
    return {
        "linear": start + (end - start) * done,
        "geometric": start * (end / start) ** done,
        "cosine": end + (start - end) * (1 + np.cos(np.pi * done)) / 2,
    }


def schedules_svg(start: float = 4.0, end: float = 0.25, steps: int = 21) -> str:
    """Draw the three `schedules` over the steps, with their value half-way and their steps above τ = 1.

    start, end: 0.01 to 100. steps: 2 to 100. Returns an SVG string. Raises ValueError outside these ranges.
    """
    start, end = number_within("start", start, *TAU_RANGE), number_within("end", end, *TAU_RANGE)
    steps = whole_number("steps", steps, least=2, most=100)
    shown = schedules(start, end, steps)
    rows = {name: (schedules(start, end, 3)[name][1], int((taus > 1).sum())) for name, taus in shown.items()}
    words = [f"{name}: {middle:.3f} half-way, {above} steps above 1" for name, (middle, above) in rows.items()]
    return picture(
        WIDTH,
        318,
        "Three schedules for the temperature",
        f"From τ = {start:g} to τ = {end:g} in {steps} steps. {'; '.join(words)}.",
        text(10, 26, f"from τ = {start:g} to {end:g} in {steps} steps", size=16, font_weight="bold"),
        *_schedule_chart(shown, max(start, end), steps),
        *_schedule_table(rows, steps),
        state=f"start={start:g}|end={end:g}|steps={steps}",
    )


def _schedule_chart(shown: dict[str, np.ndarray], highest: float, steps: int) -> list[str]:
    """Draw a line for each schedule, with a dot for each step while there are few."""
    top = max(highest, 1.0)
    axes = Axes(44, 66, 268, 194, (0, steps - 1), (0.0, 1.05 * top))
    ends = [0, steps - 1] if steps < 4 else [0, (steps - 1) // 2, steps - 1]
    parts = [axes.frame(ends, [0, *_height_ticks(top)], "step (the first is 0)", "τ"), _level(axes, 1.0)]
    for name, taus in shown.items():
        colour, dash = STYLES[name]
        parts.append(axes.line(range(steps), taus.tolist(), colour, dash))
        if steps <= 12:
            parts += [_dot(axes, step, tau, fill=colour, stroke=PAPER) for step, tau in enumerate(taus)]
    return parts


def _height_ticks(top: float) -> Sequence[float]:
    """Return 1 and the highest τ as ticks, or the highest alone where the two would collide."""
    return [1, round(top, 2)] if top > 1.2 else [round(top, 2)]


def _schedule_table(rows: dict[str, tuple[float, int]], steps: int) -> list[str]:
    """List the schedules with the sample of their line and two numbers each."""
    parts = []
    for i, (name, (middle, above)) in enumerate(rows.items()):
        y = 78 + 66 * i
        parts += _named_sample(y, name, *STYLES[name])
        parts.append(text(TABLE, y + 21, f"half-way τ = {middle:.3f}"))
        parts.append(text(TABLE, y + 41, f"{above} of {steps} above τ = 1"))
    return parts
