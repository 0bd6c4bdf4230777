"""The picture of lesson 07: what each expert's logit hears from the loss, by gate form."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from moe_lessons.figures.marks import grip, line
from moe_lessons.figures.palette import FAINT_INK, RULE, chosen, expert_colour, filled
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.routing import GATE_FORMS, SCORES, Gate, gate_weights, sigmoid, softmax, top_k
from moe_lessons.support.validation import float_array, one_of, refuse, score_array

WIDTH = 480  # narrow, so that text of size 14 can still be read on a page 400 wide
SOURCES = (*GATE_FORMS, "straight_through")


def logit_gradient(logits: Any, usefulness: Any, k: int, source: str = "topk_softmax") -> np.ndarray:
    """Return ∂L/∂h for one token, by formula.

    logits: (N,). usefulness: (N,), a_i = ∂L/∂y · E_i(x); below 0 means that more of E_i would lower the loss.
    source: a key of GATE_FORMS, or "straight_through" (the gradient of the dense softmax over all N). Returns (N,).
    Raises ValueError for shapes that do not match, and for what `routing.gate_weights` refuses.
    Source: chain rule through ∂p_i/∂h_j = p_i (δ_ij − p_j); the indices of the top k are constants.
    """
    one_of("source", source, SOURCES)
    h, a = _one_token(logits, usefulness)  # (N,), (N,)
    p, is_kept = softmax(h), _kept(h, k)  # (N,), (N,)
    if source == "straight_through":
        return p * (a - p @ a)  # (N,)
    if source == "softmax_topk":
        return p * (is_kept * a - p @ (is_kept * a))  # (N,)
    w = gate_weights(h, k, source)  # (N,)
    return w * (a - w @ a)  # (N,)


def gate_gradient(gate: Gate, logits: Any, usefulness: Any, k: int, bias: Any = None) -> np.ndarray:
    """Return ∂L/∂h of any gate, by formula: first ∂L/∂s, along the scores, then through each score to its logit.

    w_i = c s_i / Z with Z = Σ_{j ∈ S} s_j:  ∂L/∂s_j = (c a_j − Σ_i w_i a_i) / Z for j in S, 0 outside.
    w_i = c s_i:                             ∂L/∂s_j = c a_j for j in S, 0 outside.
    Softmax passes on s_j (g_j − Σ_i s_i g_i), g = ∂L/∂s: over all experts this sums to 0. Other scores pass on
    s'_j g_j, each to its own logit alone: the sum is free, all kept logits may rise at once. The bias gets no gradient.
    gate: a `routing.Gate`. logits, usefulness: (..., N), as in `logit_gradient`. bias: (N,), in the selection only.
    Returns (..., N). Raises ValueError for shapes that do not match, and for what `Gate.weights` refuses.
    """
    h, a = score_array("logits", logits), float_array("usefulness", usefulness)  # (..., N) each
    if a.shape != h.shape:
        raise refuse("usefulness.shape", a.shape, f"the shape of the logits, {h.shape}")
    kept, w = gate.selected(h, k, bias), gate.weights(h, k, bias)  # (..., N) each
    if gate.after_selection:
        h = np.where(kept, h, -np.inf)  # (..., N)
    s = SCORES[gate.score](h)  # (..., N)
    along_s = np.where(kept, gate.scale * a, 0)  # (..., N)
    if gate.normalise:
        Z = np.where(kept, s, 0).sum(axis=-1, keepdims=True)  # (..., 1)
        along_s = np.where(kept, along_s - (w * a).sum(axis=-1, keepdims=True), 0) / np.where(Z > 0, Z, np.inf)
    if gate.score == "softmax":
        return s * (along_s - (s * along_s).sum(axis=-1, keepdims=True))  # (..., N)
    return _SLOPES[gate.score](h, s) * along_s  # (..., N)


# The slope of a score s at its logit h; √softplus has the slope sigmoid(h) / (2 s), which ends as e^(h/2) / 2.
_SLOPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "sigmoid": lambda _, s: s * (1 - s),
    "sqrtsoftplus": lambda h, s: sigmoid(h) / np.where(s > 0, 2 * s, 1),
}


def _one_token(logits: Any, usefulness: Any, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return both as arrays of the same shape, of at most so many experts. (N,) each."""
    h, a = score_array("logits", logits), float_array("usefulness", usefulness)  # (N,), (N,)
    if h.ndim != 1:
        raise refuse("logits.shape", h.shape, "(N,): the logits of one token")
    if a.shape != h.shape:
        raise refuse("usefulness.shape", a.shape, f"the shape of the logits, {h.shape}")
    if most is not None and h.size > most:
        raise refuse("logits.shape", h.shape, f"(N,) with N from 1 to {most}")
    return h, a


def _kept(h: np.ndarray, k: int) -> np.ndarray:
    """Mark the k largest logits: by index, since the weight of a kept expert can underflow to 0. (N,) booleans."""
    return np.isin(np.arange(h.size), top_k(h, k)[1])  # (N,)


# --- the picture --------------------------------------------------------------------------------------------------

_LEFT, _ROOM = 42, 424  # of the columns, one an expert: left edge and total width
_HEAD, _PANEL, _REACH = 190, 128, 31  # heights: of the table on top, of a panel, of its longest bar
_STEM = 22  # the longest stem of the table, to either side of 0
_LEAST = {"h": 2.0, "a": 5.0}  # what the longest stem stands for, where no value is larger
_MOST = 8  # experts: more would leave no room for the numbers

_PANELS = (
    ("topk_softmax", "A and B′, cut and renormalised (the same)"),
    ("softmax_topk", "B, probabilities kept as they are"),
    ("straight_through", "Dense straight-through: runs all experts"),
)


def gradient_bars_svg(logits: Any, usefulness: Any, k: int = 2, grips: Collection[str] = ()) -> str:
    """Draw ∂L/∂h of one token as bars, one panel a way to get it, each on its own scale. Returns an SVG string.

    logits, usefulness: (N,) as in `logit_gradient`, N from 1 to 8. Kept experts are filled, cut ones hollow.
    grips: the controls among h1, h2, … and a1, a2, … that are moved on the picture.
    Raises ValueError for other N, and for what `logit_gradient` refuses.
    """
    h, a = _one_token(logits, usefulness, _MOST)  # (N,), (N,)
    is_kept = _kept(h, k)  # (N,)
    gradients = {source: _without_dust(logit_gradient(h, a, k, source), a) for source, _ in _PANELS}
    largest = max(float(np.abs(g).max()) for g in gradients.values()) or 1.0
    panels = [
        _panel(_HEAD + _PANEL * i, title, gradients[source], is_kept) for i, (source, title) in enumerate(_PANELS)
    ]
    return picture(
        WIDTH,
        _HEAD + _PANEL * len(_PANELS) + 54,
        "The gradient of the loss along each expert's logit",
        _description(gradients, is_kept),
        *_names(is_kept),
        *_stems("h", 66, h, grips),
        *_stems("a", 142, a, grips),
        *panels,
        *_reading(_HEAD + _PANEL * len(_PANELS)),
        state=f"N={h.size} k={k} kept={'+'.join(f'E{i + 1}' for i in top_k(h, k)[1])} largest={largest:.3f} "
        f"h={_listed(h)} a={_listed(a)}",
    )


def _without_dust(gradient: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return 0 where only rounding is left: on a scale of its own, dust would fill the panel. (N,)."""
    return np.where(np.abs(gradient) > 1e-12 * np.abs(a).max(), gradient, 0.0)  # (N,)


def _description(gradients: dict[str, np.ndarray], is_kept: np.ndarray) -> str:
    """Say in words what the bars show."""
    kept = ", ".join(f"E{i + 1}" for i in np.flatnonzero(is_kept))
    rows = [f"{title}: {', '.join(_signed(g) for g in gradients[source])}" for source, title in _PANELS]
    return f"Kept: {kept}. Gradients for E1 to E{is_kept.size}. " + ". ".join(rows) + "."


def _listed(values: np.ndarray) -> str:
    return ",".join(f"{value:g}" for value in values)


def _signed(value: float, digits: int = 3) -> str:
    """Write a number with its sign; a bare 0 is zero, ±0.000 something smaller than its digits."""
    return "0" if value == 0 else f"{value:+.{digits}f}".replace("-", "−")


def _middle(place: int, count: int) -> float:
    """Return the middle of an expert's column."""
    return _LEFT + _ROOM / count * (place + 0.5)


def _names(is_kept: np.ndarray) -> list[str]:
    """Name the columns, and say which expert is kept."""
    count = is_kept.size
    said = [(f"E{i + 1}", "kept", "bold") if is_kept[i] else (f"E{i + 1}", "cut", "normal") for i in range(count)]
    places = [_middle(i, count) for i in range(count)]
    return [
        part
        for x, (name, word, weight) in zip(places, said, strict=True)
        for part in (
            text(x - 2, 24, name, size=15, anchor="end", font_weight="bold"),
            text(x + 2, 24, word, size=13, font_weight=weight),
        )
    ]


def _stems(name: str, zero: float, values: np.ndarray, grips: Collection[str]) -> list[str]:
    """Draw one row of what goes in: a stem for each expert's number, up where positive, with a grip if it has one."""
    shown = np.where(np.isfinite(values), values, 0)  # (N,); −∞ has no stem
    unit, count = -_STEM / max(_LEAST[name], float(np.abs(shown).max())), values.size
    parts = [
        text(12, zero + 5, name, font_weight="bold"),
        element("line", x1=_LEFT, x2=_LEFT + _ROOM, y1=zero, y2=zero, stroke=RULE),
    ]
    for i, value in enumerate(shown):
        x, end, control = _middle(i, count), zero + unit * float(value), f"{name}{i + 1}"
        number = "−∞" if np.isneginf(values[i]) else _signed(float(value), 2 if count <= 6 else 1)
        parts += [
            line((x, zero), (x, end), expert_colour(i), stroke_width=4, data_expert=i),
            text(x, zero + _STEM + 20, number, anchor="middle"),
        ]
        if control in grips:
            parts.append(grip((x, end), control, along="y", zero=zero, unit=unit, **filled(i)))
    return parts


def _panel(top: float, title: str, gradient: np.ndarray, is_kept: np.ndarray) -> str:
    """Draw one way to get ∂L/∂h: a line at zero, a bar for each expert, its number at the bar's end."""
    zero = top + 26 + 17 + _REACH  # room for the title and a number over the tallest bar
    largest = float(np.abs(gradient).max()) or 1.0  # of this panel: what changes another must not move its bars
    parts = [
        element("line", x1=12, x2=WIDTH - 12, y1=top, y2=top, stroke=RULE),
        text(12, top + 20, title, size=15, font_weight="bold"),
        element("line", x1=_LEFT, x2=_LEFT + _ROOM, y1=zero, y2=zero, stroke=FAINT_INK),
        text(_LEFT - 8, zero + 5, "0", size=13, anchor="end", fill=FAINT_INK),
    ]
    for i, value in enumerate(gradient):
        paint = chosen(bool(is_kept[i]), i)
        parts += _bar(_middle(i, gradient.size), zero, float(value), largest, paint, gradient.size)
    return "".join(parts)


def _bar(x: float, zero: float, value: float, largest: float, paint: dict[str, Any], count: int) -> list[str]:
    """Draw one expert's gradient: up where positive."""
    tall, wide = _REACH * value / largest, 0.5 * _ROOM / max(count, 3)
    number_at = zero - tall - 5 if value >= 0 else zero - tall + 15
    top = zero - max(tall, 0)
    bar = element("rect", x=x - wide / 2, y=top, width=wide, height=abs(tall), stroke_width=1.5, **paint)
    number = text(x, number_at, _signed(value, 3 if count <= 6 else 2), size=13, anchor="middle")
    return [bar, number] if value else [number]


def _reading(top: float) -> list[str]:
    """Say how to read a bar."""
    rule = element("line", x1=12, x2=WIDTH - 12, y1=top, y2=top, stroke=RULE)
    rows = (
        "∂L/∂h. Up: descent lowers the logit; down: raises it. Hollow: cut.",
        "Each panel has its own scale: compare panels by their numbers.",
    )
    return [rule, *(text(12, top + 22 + 20 * i, row, size=13) for i, row in enumerate(rows))]
