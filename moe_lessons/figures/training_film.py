"""The film of lesson 08: a router in training, in the plane: tokens, prototypes, regions, loads and curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from moe_lessons.figures.chart import Axes
from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, RULE, filled
from moe_lessons.figures.plane import name, regions
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import refuse

if TYPE_CHECKING:
    from moe_lessons.experiments.router_training import (
        Film,  # that module loads torch; a picture needs only the numbers
    )

WIDTH, HEIGHT = 480, 590
SHOWN = 160  # tokens drawn; all of them are measured
LOSSES = 1.75  # the height of the loss curve's axis; films whose loss starts higher have a higher one
_LEFT, _TOP, _SIDE = 12, 34, 292  # the square of the plane
_RIGHT = _LEFT + _SIDE + 18  # where loads and numbers begin
_SHAPES: dict[str, list[tuple[float, float]]] = {
    "circle": [],
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "triangle": [(0, -1.3), (1.2, 1), (-1.2, 1)],
    "diamond": [(0, -1.5), (1.5, 0), (0, 1.5), (-1.5, 0)],
}


def training_film_svg(film: Film, step: int) -> str:
    """Draw one moment of a film, and its curves up to there: the last measurement at or before `step`.

    film: of at most 4 clusters and 8 experts. step: from 0 to the film's last. Returns an SVG string.
    Raises ValueError for another step.
    """
    if not film.steps[0] <= step <= film.steps[-1]:
        raise refuse("step", step, f"a number from {film.steps[0]} to {film.steps[-1]}, the steps of this film")
    frame = int(np.searchsorted(film.steps, step, side="right")) - 1
    return picture(
        WIDTH,
        HEIGHT,
        "A router in training, in the plane",
        _description(film, frame),
        text(_LEFT, 22, f"step {film.steps[frame]} of {film.steps[-1]}", size=15, font_weight="bold"),
        *_plane(film, frame),
        *_loads(film, frame),
        *_numbers(film, frame),
        *_curves(film, frame),
        state=f"step={film.steps[frame]} load={','.join(f'{share:.3f}' for share in film.load[frame])} "
        f"loss={film.loss[frame]:.3f} entropy={film.entropy[frame]:.3f} information={film.information[frame]:.3f}",
    )


def _description(film: Film, frame: int) -> str:
    """Say in words what the picture shows."""
    shares = ", ".join(f"E{i + 1} {share:.0%}" for i, share in enumerate(film.load[frame]))
    return (
        f"After {film.steps[frame]} steps: {film.loss_name} {film.loss[frame]:.3f}, entropy {film.entropy[frame]:.3f}, "
        f"cluster and expert share {film.information[frame]:.3f} nats. Tokens: {shares}."
    )


# --- the plane ----------------------------------------------------------------------------------------------------


def _plane(film: Film, frame: int) -> list[str]:
    """Draw the regions, the tokens on them, and the prototypes on top."""
    reach = float(np.ceil(2.1 * np.abs(film.x[:SHOWN]).max()) / 2)  # by halves, so that most films share one scale
    axes = Axes(_LEFT, _TOP, _SIDE, _SIDE, (-reach, reach), (-reach, reach))
    border = element("rect", x=_LEFT, y=_TOP, width=_SIDE, height=_SIDE, fill="none", stroke=RULE)
    return [
        *regions(axes, film.W_g[frame]),
        border,
        *_tokens(axes, film, frame),
        *_prototypes(axes, film, frame),
        text(_LEFT, _TOP + _SIDE + 18, "a token's colour: its expert, shape: its cluster", size=13, fill=FAINT_INK),
    ]


def _tokens(axes: Axes, film: Film, frame: int) -> list[str]:
    """Draw the first tokens: the shape tells the cluster, the colour the expert that serves it."""
    parts = []
    for x, cluster, expert in zip(film.x[:SHOWN], film.cluster, film.selected[frame], strict=False):
        shape = list(_SHAPES)[int(cluster) % len(_SHAPES)]
        parts.append(_token(axes.x(x[0]), axes.y(x[1]), shape, **filled(int(expert))))
    return parts


def _token(x: float, y: float, shape: str, **look: object) -> str:
    """Draw one token."""
    if shape == "circle":
        return element("circle", cx=x, cy=y, r=3.2, stroke=PAPER, stroke_width=0.5, **look)
    points = " ".join(f"{x + 2.9 * right:.1f},{y + 2.9 * down:.1f}" for right, down in _SHAPES[shape])
    return element("polygon", points=points, stroke=PAPER, stroke_width=0.5, **look)


def _prototypes(axes: Axes, film: Film, frame: int) -> list[str]:
    """Draw the columns of W_g as arrows from the origin, on the tokens' scale, with the experts' names.

    Where the longest arrow of the film would leave the square, all of the film are shortened alike.
    """
    longest = float(np.linalg.norm(film.W_g, axis=1).max())
    unit = min(_SIDE / 2 / axes.x_range[1], 0.4 * _SIDE / max(longest, 1e-9))  # of the picture, for a length of 1
    parts: list[str] = []
    taken: list[tuple[float, float]] = []
    for i, w in enumerate(film.W_g[frame].T):
        length = unit * float(np.linalg.norm(w))
        angle = np.arctan2(w[1], w[0])
        x, y = axes.x(0) + length * np.cos(angle), axes.y(0) - length * np.sin(angle)
        parts.append(element("line", x1=axes.x(0), y1=axes.y(0), x2=x, y2=y, stroke=INK, stroke_width=2.5))
        parts.append(element("circle", cx=x, cy=y, r=4.5, **filled(i), stroke=INK, stroke_width=1.5))
        out = length + 15
        while any(np.hypot(out * np.cos(angle) - a, out * np.sin(angle) - b) < 25 for a, b in taken):
            out += 3
        taken.append((out * np.cos(angle), out * np.sin(angle)))
        parts.append(name(axes.x(0) + taken[-1][0], axes.y(0) - taken[-1][1], f"E{i + 1}", size=15))
    return parts


# --- beside and below it ------------------------------------------------------------------------------------------


def _loads(film: Film, frame: int) -> list[str]:
    """Draw each expert's share of the tokens as a bar, with an upright line at the even share."""
    N = film.load.shape[1]
    row, room = min(26, 150 / N), WIDTH - _RIGHT - 26 - 44
    even = _RIGHT + 26 + room / N
    parts = [text(_RIGHT, _TOP + 12, "share of tokens", size=14, font_weight="bold")]
    for i, share in enumerate(film.load[frame]):
        y = _TOP + 24 + row * i
        bar = {"x": _RIGHT + 26, "y": y, "width": room * share, "height": row - 8}
        parts += [
            text(_RIGHT, y + row / 2 + 1, f"E{i + 1}", size=13, font_weight="bold"),
            element("rect", **bar, **filled(i)),
            text(WIDTH - 8, y + row / 2 + 1, f"{share:.0%}", size=13, anchor="end"),
        ]
    line = {"y1": _TOP + 20, "y2": _TOP + 20 + row * N}
    return [*parts, element("line", x1=even, x2=even, **line, stroke=INK, stroke_dasharray="3 3")]


def _numbers(film: Film, frame: int) -> list[str]:
    """Write what is measured, and name the shapes."""
    top = _TOP + 24 + min(26 * film.load.shape[1], 150)
    words = [
        (f"1/N = {1 / film.load.shape[1]:.0%} (dashed)", FAINT_INK),
        (f"loss {film.loss[frame]:.3f}", INK),
        (f"entropy {film.entropy[frame]:.3f} nats", INK),
        (f"information {film.information[frame]:.3f}", INK),
    ]
    parts = [text(_RIGHT, top + 14 + 20 * i, line, size=13, fill=colour) for i, (line, colour) in enumerate(words)]
    for i, shape in enumerate(list(_SHAPES)[: int(film.cluster.max()) + 1]):
        x, y = _RIGHT + 6 + 78 * (i % 2), _TOP + _SIDE - 22 + 20 * (i // 2)
        parts += [_token(x, y - 4, shape, fill=FAINT_INK), text(x + 9, y, f"cluster {i + 1}", size=13)]
    return parts


def _curves(film: Film, frame: int) -> list[str]:
    """Draw loss, and entropy with information, up to this moment; axes do not change in a film, and hardly between."""
    top, steps = _TOP + _SIDE + 66, film.steps[: frame + 1].tolist()
    last, most = float(film.steps[-1]), np.log(film.load.shape[1])
    left = Axes(46, top, 176, 124, (0, last), (0, max(LOSSES, 1.05 * float(film.loss.max()))))
    right = Axes(290, top, 176, 124, (0, last), (0, 1.05 * float(max(most, film.information.max()))))
    parts = [
        left.frame([0, last / 2, last], _ticks(left.y_range[1]), "steps", film.loss_name),
        right.frame([0, last / 2, last], _ticks(right.y_range[1]), "steps", "nats"),
        left.line(steps, film.loss[: frame + 1].tolist(), INK),
        right.line(steps, film.entropy[: frame + 1].tolist(), INK),  # in ink: every colour belongs to an expert
        right.line(steps, film.information[: frame + 1].tolist(), INK, "6 4"),
    ]
    for axes, values in ((left, film.loss), (right, film.entropy), (right, film.information)):
        parts.append(element("circle", cx=axes.x(steps[-1]), cy=axes.y(values[frame]), r=4, fill=INK))
    return [*parts, *_curve_names(top - 32)]


def _curve_names(legend: float) -> list[str]:
    """Name the two lines that share axes."""
    return [
        element("line", x1=258, x2=280, y1=legend, y2=legend, stroke=INK, stroke_width=2.5),
        text(285, legend + 5, "entropy", size=13),
        element("line", x1=346, x2=372, y1=legend, y2=legend, stroke=INK, stroke_width=2.5, stroke_dasharray="6 4"),
        text(377, legend + 5, "information", size=13),
    ]


def _ticks(highest: float) -> list[float]:
    """Return round numbers from 0 up, at most five."""
    step = next(d * 10.0**e for e in range(-9, 10) for d in (1, 2, 5) if highest <= 5 * d * 10.0**e)
    return [round(i * step, 9) for i in range(int(highest / step) + 1)]
