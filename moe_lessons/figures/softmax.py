"""The pictures of lesson 02: a softmax with everything that can go wrong in it, and the entropy of many tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from moe_lessons.figures.chart import Axes
from moe_lessons.figures.marks import grip
from moe_lessons.figures.palette import AMOUNT, FAINT_INK, INK, PAPER, RULE, filled
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.precision import SoftmaxSteps, softmax_steps
from moe_lessons.routing import log_sum_exp, softmax
from moe_lessons.support.validation import float_array, one_of, refuse

WIDTH = 480  # narrow, so that text of size 14 can still be read on a page 400 wide

# --- 1. the softmax explorer --------------------------------------------------------------------------------------

FORMS = {"stable": "e^(h − max)", "naive": "e^h"}
_TOP, _ROW = 62, 34
_ZERO, _HALF, _REACH = 85, 45, 4.0  # of the logits' bars: where 0 is, room to either side, what fills it at least
_LOGIT, _EXPONENTIAL, _BAR, _NUMBER = 188, 272, 286, 466  # right edges of two columns; the bar; its number's right edge
_VISIBLE = 5e-4  # a difference that shows in three decimals
_SMALLEST = {"float16": np.finfo(np.float16).tiny}  # below it a number loses bits; the others have float32's range


def softmax_svg(
    logits: Any, shift: float = 0.0, form: str = "stable", precision: str = "float32", grips: Sequence[str] = ()
) -> str:
    """Draw the softmax of logits + shift, computed in one form and one precision, beside the exact probabilities.

    logits: (N,), N from 2 to 8. shift: is added to every logit. form: a key of FORMS. precision: a key of PRECISIONS
    in `moe_lessons.precision`. grips: the controls that the bars of the logits move, one an expert, "" for none. Where
    no number comes out, the picture says so. Raises ValueError for other arguments.
    """
    h = _few_logits(logits)  # (N,)
    meant = h + float_array("shift", [shift])[0]  # (N,)
    steps = softmax_steps(meant, precision, stable=one_of("form", form, FORMS) == "stable")
    exact = softmax(h)  # (N,)
    sentences = [*_what_happened(steps, exact, precision), _about_the_shift(shift, steps, exact)]
    bottom = _TOP + _ROW * (len(h) + 1)
    return picture(
        WIDTH,
        bottom + 178,
        f"Softmax in {precision}, {form} form",
        f"{' '.join(sentences)} {_lse_words(meant)}",
        *_headings(form),
        *[_expert_row(steps, exact, i) for i in range(len(h))],
        *_logit_bars(h, grips),
        _sums(steps, bottom - _ROW),
        *[text(14, bottom + 22 + 22 * i, sentence, size=15) for i, sentence in enumerate(sentences)],
        *_lse_ruler(meant, bottom + 106),
        state=f"shift={shift:g}|form={form}|precision={precision}|h={h.tolist()}|p={np.round(steps.probs, 4).tolist()}",
    )


def _few_logits(logits: Any) -> np.ndarray:
    """Return logits (N,) for which the picture has room."""
    h = float_array("logits", logits)  # (N,)
    if h.ndim != 1 or not 2 <= len(h) <= 8:
        raise refuse("logits.shape", h.shape, "(N,) with N from 2 to 8")
    return h


def _headings(form: str) -> list[str]:
    """Name the columns."""
    marker = element("line", x1=_BAR + 4, x2=_BAR + 4, y1=35, y2=47, stroke=INK, stroke_width=3)
    return [
        text(_ZERO - _HALF, 24, "logit h", size=15, font_weight="bold"),
        text(_LOGIT, 46, "as stored", anchor="end", fill=FAINT_INK),
        text(_EXPONENTIAL, 24, FORMS[form], size=15, anchor="end", font_weight="bold"),
        text(_BAR, 24, "probability, computed", size=15, font_weight="bold"),
        marker,
        text(_BAR + 12, 46, "exact value", fill=FAINT_INK),
        element("line", x1=8, x2=WIDTH - 8, y1=_TOP - 6, y2=_TOP - 6, stroke=RULE),
    ]


def _expert_row(steps: SoftmaxSteps, exact: np.ndarray, i: int) -> str:
    """Draw one expert: its logit, its exponential, the bar of its probability with the exact value marked."""
    room = _NUMBER - 58 - _BAR
    p, mark, column = steps.probs[i], _BAR + room * float(exact[i]), steps.total
    parts = [
        text(14, 22, f"E{i + 1}", size=16, font_weight="bold"),
        text(_LOGIT, 22, f"{steps.logits[i]:.5g}".replace("-", "−"), size=15, anchor="end"),
        text(_EXPONENTIAL, 22, _written(steps.exponentials[i], column), size=15, anchor="end"),
        element("line", x1=_BAR, x2=_BAR, y1=4, y2=30, stroke=FAINT_INK),
    ]
    if np.isfinite(p):
        parts.append(element("rect", x=_BAR, y=8, width=room * float(p), height=18, **filled(i)))
        parts.append(element("line", x1=mark, x2=mark, y1=3, y2=31, stroke=INK, stroke_width=3))
    parts.append(_probability(steps, i))
    return element("g", *parts, transform=f"translate(0 {_TOP + _ROW * i})")


def _logit_bars(h: np.ndarray, grips: Sequence[str]) -> list[str]:
    """Draw each logit as a bar from 0, before any shift, with its grip where it has one. h: (N,)."""
    grips = grips or [""] * len(h)
    if len(grips) != len(h):
        raise refuse("len(grips)", len(grips), f"0, or one for each of {len(h)} logits")
    unit = _HALF / max(_REACH, float(np.abs(h).max()))
    middles = [_TOP + _ROW * i + 17 for i in range(len(h))]
    zero = element("line", x1=_ZERO, x2=_ZERO, y1=_TOP + 4, y2=middles[-1] + 13, stroke=FAINT_INK)
    parts = [zero]
    for i, (y, control) in enumerate(zip(middles, grips, strict=True)):
        end, looks = _ZERO + unit * float(h[i]), filled(i)
        parts.append(element("rect", x=min(end, _ZERO), y=y - 4, width=abs(end - _ZERO), height=8, **looks))
        if control:
            parts.append(grip((end, y), control, along="x", zero=_ZERO, unit=unit, **looks))
    return parts


def _probability(steps: SoftmaxSteps, i: int) -> str:
    """Write a probability, or the reason why there is none, on a halo that keeps it clear of the marks."""
    halo = {"stroke": PAPER, "stroke_width": 6, "paint_order": "stroke", "stroke_linejoin": "round"}
    if np.isfinite(steps.probs[i]):
        return text(_NUMBER, 22, f"{steps.probs[i]:.3f}", size=15, anchor="end", **halo)
    words = "underflow: no number" if steps.total == 0 else "overflow: no number"
    return text(_NUMBER, 22, words, size=15, anchor="end", font_weight="bold", **halo)


def _sums(steps: SoftmaxSteps, top: float) -> str:
    """Draw the last row: the sum of the exponentials and that of the probabilities."""
    total = float(steps.probs.sum())
    words = f"{total:.3f}" if np.isfinite(total) else "no number"
    return element(
        "g",
        element("line", x1=8, x2=WIDTH - 8, y1=2, y2=2, stroke=RULE),
        text(14, 24, "sum", size=15, font_weight="bold"),
        text(_EXPONENTIAL, 24, _written(steps.total, steps.total), size=15, anchor="end"),
        text(_NUMBER, 24, words, size=15, anchor="end", font_weight="bold"),
        transform=f"translate(0 {top})",
    )


def _written(value: Any, total: Any) -> str:
    """Write a number of the column with this sum in at most six characters; what is too large for the format is ∞."""
    if np.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    if 1e-3 <= total < 1e3 and value >= 1e-3:
        return f"{value:.3f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def _what_happened(steps: SoftmaxSteps, exact: np.ndarray, precision: str) -> tuple[str, str]:
    """Say whether the numbers came out, and if not, what stood in the way."""
    if np.isinf(steps.exponentials).any():
        return f"Overflow: e^{steps.logits.max():.5g} is too large for {precision},", "and ∞/∞ is no number."
    if np.isinf(steps.total):
        return f"Overflow: the sum is too large for {precision},", "so every share becomes 0."
    if steps.total == 0:
        return f"Underflow: every exponential is 0 in {precision},", "and 0/0 is no number."
    error = float(np.abs(steps.probs - exact).max())
    if error < _VISIBLE:
        return f"Computed in {precision}.", "Every probability is exact to three decimals."
    lost_bits = steps.exponentials.min() < _SMALLEST.get(precision, np.finfo(np.float32).tiny)
    cause = "Underflow" if lost_bits else "Round-off"
    return f"Computed in {precision}.", f"{cause}: a probability is wrong by {error:.3f}."


def _about_the_shift(shift: float, steps: SoftmaxSteps, exact: np.ndarray) -> str:
    """Say what the shift did to the probabilities."""
    if shift == 0:
        return "No shift."
    added = f"Added {shift:+g} to every logit".replace("-", "−")
    unmoved = np.isfinite(steps.probs).all() and np.abs(steps.probs - exact).max() < _VISIBLE
    return f"{added}: no probability moved." if unmoved else f"{added}. On paper no probability moves."


def _lse_words(h: np.ndarray) -> str:
    """Say where the log-sum-exp lies. h: (N,)."""
    lse, largest = float(log_sum_exp(h)), float(h.max())
    bound = largest + np.log(len(h))
    return f"max = {largest:.2f} ≤ LSE = {lse:.2f} ≤ max + ln {len(h)} = {bound:.2f}".replace("-", "−")


def _lse_ruler(h: np.ndarray, y: float) -> list[str]:
    """Draw the log-sum-exp (exact) on a ruler from max h to max h + ln N. h: (N,)."""
    low, high = 24, WIDTH - 24
    part = float(log_sum_exp(h) - h.max()) / np.log(len(h))  # from 0 to 1
    place = low + part * (high - low)
    ends = [element("line", x1=x, x2=x, y1=y - 7, y2=y + 7, stroke=INK, stroke_width=2) for x in (low, high)]
    return [
        element("line", x1=low, x2=high, y1=y, y2=y, stroke=INK, stroke_width=2),
        *ends,
        element("circle", cx=place, cy=y, r=7, fill=INK),
        text(place - 7 if part < 0.5 else place + 7, y - 14, "exact LSE", anchor="start" if part < 0.5 else "end"),
        text(low - 10, y + 26, "max: one expert has all", fill=FAINT_INK),
        text(high + 10, y + 26, f"max + ln {len(h)}: all alike", anchor="end", fill=FAINT_INK),
        text(WIDTH / 2, y + 52, _lse_words(h), anchor="middle"),
    ]


# --- 2. the entropy of many tokens --------------------------------------------------------------------------------

_BINS = 20
_PLOT = (54.0, 40.0, 402.0, 196.0)  # left, top, width, height


def entropy_svg(logits: Any, scale: float = 1.0) -> str:
    """Draw how decided a router is: a histogram over tokens of the entropy (nats) of softmax(scale · logits).

    logits: (T, N), T at least 1, N at least 2. scale: 0 or more; it stands for a router matrix scale · W_g.
    Raises ValueError for other arguments.
    """
    h, scale = _batch(logits), float(float_array("scale", [scale])[0])  # (T, N)
    if scale < 0:
        raise refuse("scale", scale, "0 or more")
    p = softmax(scale * h)  # (T, N)
    entropies = scipy.special.entr(p).sum(axis=-1)  # (T,)
    moved = int((p.argmax(axis=-1) != h.argmax(axis=-1)).sum())
    sentences = _entropy_words(p, entropies, moved if scale else None)
    return picture(
        WIDTH,
        364,
        f"Routing entropy of {len(h)} tokens, router matrix times {scale:g}",
        " ".join(sentences),
        *_histogram(entropies, h.shape[1]),
        *[text(14, 302 + 24 * i, sentence, size=15) for i, sentence in enumerate(sentences)],
        state=f"scale={scale:g}|mean={entropies.mean():.4f}|moved={moved}",
    )


def _batch(logits: Any) -> np.ndarray:
    """Return logits (T, N) of at least one token and two experts."""
    h = float_array("logits", logits)  # (T, N)
    if h.ndim != 2 or len(h) == 0 or h.shape[1] < 2:
        raise refuse("logits.shape", h.shape, "(T, N) with at least one token and two experts")
    return h


def _entropy_words(p: np.ndarray, entropies: np.ndarray, moved: int | None) -> list[str]:
    """Say what the histogram shows. p: (T, N), entropies: (T,), moved: changed first choices, None where all tie."""
    mean, most = float(entropies.mean()), float(np.log(p.shape[1]))
    return [
        f"Mean {mean:.3f} of at most {most:.3f} nats: {mean / most:.1%}.",
        f"Mean of the largest probability: {p.max(axis=-1).mean():.3f}.",
        "All logits tie: E1 comes first."
        if moved is None
        else f"First choices that the scale changed: {moved} of {len(p)}.",
    ]


def _histogram(entropies: np.ndarray, num_experts: int) -> list[str]:
    """Draw the bars, with ln N and the mean marked. entropies: (T,)."""
    most = float(np.log(num_experts))
    counts, edges = np.histogram(np.clip(entropies, 0, most), bins=_BINS, range=(0, most))
    shares = counts / len(entropies)  # (_BINS,)
    axes = Axes(*_PLOT, (0, most), (0, 1.3))  # the same at every scale; a quarter is left free for the labels
    return [
        axes.frame(_ticks(most), (0, 0.5, 1), "entropy of a token's probabilities (nats)", "share of tokens"),
        axes.bars(edges.tolist(), shares.tolist(), **AMOUNT),
        axes.mark(most, f"ln {num_experts}: all alike", INK),
        *_mean_mark(axes, float(entropies.mean())),
    ]


def _ticks(most: float) -> list[float]:
    """Return round numbers of nats up to `most`."""
    return np.arange(0, most, 0.5 if most < 3 else 1.0).tolist()


def _mean_mark(axes: Axes, mean: float) -> list[str]:
    """Mark the mean by an upright line with a label below the one of ln N."""
    x, middle = axes.x(mean), axes.left + axes.width / 2
    anchor, beside = ("start", x + 6) if x < middle else ("end", x - 6)
    foot = axes.top + axes.height
    return [
        element("line", x1=x, x2=x, y1=axes.top + 20, y2=foot, stroke=INK, stroke_width=3),
        text(beside, axes.top + 34, f"mean {mean:.3f}", anchor=anchor, font_weight="bold"),
    ]
