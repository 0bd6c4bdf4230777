"""The pictures of lesson 04: how much weight the kept experts hold, and what a mask of 0 leaks."""

from functools import lru_cache
from typing import Any

import numpy as np

from moe_lessons.figures.chart import Axes
from moe_lessons.figures.marks import grip, line
from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, RULE, chosen
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.routing import gate_weights, softmax, top_k
from moe_lessons.support.validation import positive_number, refuse, score_array, whole_number

WIDTH = 480  # narrow, so that text of size 14 can still be read on a page 400 wide
TOKENS = 1000

# --- kept mass and the sum of the weights -------------------------------------------------------------------------

_SOLID, _DASHED, _DOTTED = "", "9 6", "2 5"


def kept_mass(num_experts: int, logit_scale: float) -> np.ndarray:
    """Return the probability that the k largest of N logits hold, for each of 1,000 random tokens and k = 1..N.

    The logits are independent normal numbers of standard deviation `logit_scale`: a stand-in for a router, no more.
    num_experts: N, from 1 to 256. Returns (1000, N); column k − 1 belongs to k. Always the same sample.
    Raises ValueError for other N, or a scale that is not above 0.
    """
    whole_number("num_experts", num_experts, least=1, most=256)
    scale = positive_number("logit_scale", logit_scale)
    return softmax(scale * _sorted_sample(num_experts)).cumsum(axis=-1)  # (1000, N)


@lru_cache(maxsize=16)
def _sorted_sample(num_experts: int) -> np.ndarray:
    """Draw normal numbers, the largest of each row first. (1000, N)."""
    sample = np.random.default_rng(0).standard_normal((TOKENS, num_experts))  # (1000, N)
    return -np.sort(-sample, axis=-1)


def kept_mass_svg(num_experts: int = 8, logit_scale: float = 1.0, k: int = 2) -> str:
    """Draw the sum of the gate weights against k, for the three gate forms. Returns an SVG string.

    Where k is above num_experts, all experts are kept. Raises ValueError for what `kept_mass` refuses, and k < 1.
    """
    kept = kept_mass(num_experts, logit_scale)  # (1000, N)
    k = min(whole_number("k", k, least=1, most=256), num_experts)
    axes = Axes(54, 132, 400, 190, (1, max(num_experts, 2)), (0, 1), x_log=True)
    mean, (low, high) = kept[:, k - 1].mean(), _most_tokens(kept[:, k - 1])
    sentence = f"B {mean:.3f}; 90 % of the tokens lie between {low:.2f} and {high:.2f}"
    return picture(
        WIDTH,
        446,
        "The sum of the gate weights for each gate form",
        f"N = {num_experts}, k = {k}, logit scale {logit_scale:g}: A and B′ sum to 1; {sentence}.",
        *_legend(),
        axes.frame(_ticks(num_experts), [0, 0.25, 0.5, 0.75, 1], "k, experts kept of N", "sum of the weights"),
        *_curves(axes, kept),
        *_mark(axes, k),
        text(14, 394, f"k = {k} of N = {num_experts}, logit scale {logit_scale:g}. Sum of the weights:"),
        text(14, 414, "A and B′ 1.000", font_weight="bold"),
        text(14, 434, sentence, font_weight="bold"),
        state=f"N={num_experts} scale={logit_scale:g} k={k} kept={mean:.3f}",
    )


def _mark(axes: Axes, k: int) -> list[str]:
    """Draw an upright line at k; its label has a rim of paper, since a curve may pass behind it."""
    x, anchor = axes.x(k), "start" if axes.x(k) < axes.left + axes.width / 2 else "end"
    near = x + (5 if anchor == "start" else -5)
    return [
        element("line", x1=x, x2=x, y1=axes.top, y2=axes.top + axes.height, stroke=INK, stroke_width=2,
                stroke_dasharray="2 3"),
        text(near, axes.top + 22, f"k = {k}", anchor=anchor, stroke=PAPER, stroke_width=5, paint_order="stroke"),
    ]  # fmt: skip


def _most_tokens(kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the range that holds 90 % of the tokens (axis 0); quicker than np.quantile."""
    ordered = np.sort(kept, axis=0)  # (1000, ...)
    return ordered[TOKENS // 20], ordered[-TOKENS // 20]


def _ticks(num_experts: int) -> list[int]:
    """Powers of two up to N, and N itself where it has room."""
    ticks = [2**i for i in range(num_experts.bit_length())]
    return [*ticks, num_experts] if num_experts >= 1.4 * ticks[-1] else ticks


def _curves(axes: Axes, kept: np.ndarray) -> list[str]:
    """Draw the constant sum of A and B′, the mean of B with a band of tokens, and the sum for equal logits."""
    N = kept.shape[1]
    ks = np.unique(np.geomspace(1, N, 33).round().astype(int))  # 33 places along the axis are enough for the eye
    low, high = _most_tokens(kept[:, ks - 1])  # (places,) each
    around = zip([*ks, *ks[::-1]], [*low, *high[::-1]], strict=True)
    points = " ".join(f"{axes.x(k):.1f},{axes.y(value):.1f}" for k, value in around)
    return [
        element("polygon", points=points, fill=FAINT_INK, fill_opacity=0.25),
        axes.line(ks.tolist(), (ks / N).tolist(), FAINT_INK, _DOTTED),
        axes.line(ks.tolist(), kept[:, ks - 1].mean(axis=0).tolist(), INK, _DASHED),
        axes.line([1, N], [1, 1], INK, _SOLID),
    ]


def _legend() -> list[str]:
    """Name each line beside a piece of it."""
    entries = [
        (INK, _SOLID, "A topk_softmax, B′ softmax_topk_renorm"),
        (INK, _DASHED, "B softmax_topk: mean; band: 90 % of the tokens"),
        (FAINT_INK, _DOTTED, "B if all logits were equal: k/N"),
    ]
    parts = []
    for i, (colour, dash, words) in enumerate(entries):
        y = 22 + 24 * i
        sample = {"stroke_dasharray": dash} if dash else {}
        parts.append(element("line", x1=14, x2=58, y1=y, y2=y, stroke=colour, stroke_width=3, **sample))
        parts.append(text(68, y + 5, words))
    return parts


# --- a mask of 0 against a mask of −∞ -----------------------------------------------------------------------------

_LEFT, _ROOM = 14, 452  # of a panel: its left edge, and the width of a bar that stands for all the weight
_PANEL, _TALL = 216, 84  # the height of a panel, and of the tallest bar of an expert
_MOST_NUMBERS, _MOST_NAMES = 8, 14  # with more experts there is no room for numbers on the bars, or names under them


def masks_svg(logits: Any, k: int = 2, shift: float = 0.0, cut_by: str = "") -> str:
    """Draw the weights of one token's experts, best first, with cut logits at −∞ and at 0. Returns an SVG string.

    logits: (N,) with N from 1 to 64. shift: a number added to every logit first. cut_by: the control that the line
    between kept and cut experts moves, "" for none.
    Raises ValueError for other shapes, a shift that is not finite, and what `routing.gate_weights` refuses.
    """
    h = _shifted(logits, shift)  # (N,)
    order = top_k(h, h.size)[1]  # (N,), best first
    right = gate_weights(h, k)[order]  # (N,)
    wrong = softmax(np.where(right > 0, h[order], 0))  # (N,): e to 0 is 1, so cut experts keep weight
    scale = max(right.max(), wrong.max())
    return picture(
        WIDTH,
        2 * _PANEL + 4,
        "Cut logits set to minus infinity, and to 0",
        f"{h.size} experts, k = {k}, shift {shift:+g}. Minus infinity: cut experts hold 0. "
        f"Zero: cut experts hold {wrong[k:].sum():.3f} of the weight.",
        *_panel(28, "Cut logits become −∞", right / scale, right, order, k),
        element("line", x1=_LEFT, x2=WIDTH - _LEFT, y1=_PANEL, y2=_PANEL, stroke=RULE),
        *_panel(28 + _PANEL, "Cut logits become 0", wrong / scale, wrong, order, k),
        *_cuts(h.size, k, cut_by),
        state=f"N={h.size} k={k} shift={shift:g} leak={wrong[k:].sum():.3f}",
    )


def _shifted(logits: Any, shift: float) -> np.ndarray:
    """Return the logits plus `shift`, if they are those of one token. (N,)."""
    h = score_array("logits", logits)  # (N,)
    if h.ndim != 1 or h.size > 64:
        raise refuse("logits.shape", h.shape, "(N,) with N from 1 to 64")
    if not np.isfinite(shift):
        raise refuse("shift", shift, "a finite number")
    return h + shift  # (N,)


def _panel(top: float, title: str, heights: np.ndarray, weights: np.ndarray, order: np.ndarray, k: int) -> list[str]:
    """Draw one gate: all the weight as one bar, kept and cut, then a bar for each expert."""
    zero = top + 48 + 20 + _TALL
    bars = [
        _expert(zero, place, len(order), float(_TALL * heights[place]), chosen(place < k, int(i)))
        for place, i in enumerate(order)
    ]
    return [
        text(_LEFT, top, title, size=15, font_weight="bold"),
        *_whole(top + 10, min(float(weights[:k].sum()), 1.0)),
        *bars,
        *_names_and_weights(zero, zero - _TALL * heights, weights, order),
        element("line", x1=_LEFT, x2=_LEFT + _ROOM, y1=zero, y2=zero, stroke=FAINT_INK),
    ]


def _cuts(count: int, k: int, control: str) -> list[str]:
    """Draw the line between kept and cut experts in both panels, with a grip where a control follows it."""
    unit, parts = _ROOM / count, []
    x = _LEFT + unit * k
    for top in (28, 28 + _PANEL):
        head, foot = top + 50, top + 68 + _TALL
        parts.append(line((x, head), (x, foot), INK, stroke_width=2, stroke_dasharray="5 3"))
        if control:
            parts.append(grip((x, head), control, along="x", zero=_LEFT, unit=unit, fill=INK))
    return parts


def _whole(top: float, kept: float) -> list[str]:
    """Draw one bar for all the weight, filled as far as the kept experts hold it, with both shares in words."""
    edge, place = _ROOM * kept, {"y": top, "height": 14, "stroke_width": 1.5}
    return [
        element("rect", x=_LEFT, width=edge, **place, **chosen(True)),
        element("rect", x=_LEFT + edge, width=_ROOM - edge, **place, **chosen(False)),
        text(_LEFT, top + 32, f"kept experts (filled): {kept:.3f}"),
        text(_LEFT + _ROOM, top + 32, f"cut experts (hollow): {1 - kept:.3f}", anchor="end"),
    ]  # fmt: skip


def _expert(zero: float, place: int, count: int, tall: float, paint: dict[str, Any]) -> str:
    """Draw the bar of one expert."""
    step = _ROOM / count
    share, thick = (0.8, 1.5) if count <= _MOST_NAMES else (0.6, 0.75)  # else the rims of many bars run together
    left, wide = _LEFT + step * (place + (1 - share) / 2), share * step
    return element("rect", x=left, y=zero - tall, width=wide, height=tall, stroke_width=thick, **paint)


def _names_and_weights(zero: float, heads: np.ndarray, weights: np.ndarray, order: np.ndarray) -> list[str]:
    """Write the name of each expert under its bar and its weight over it, where there is room."""
    middles = [_LEFT + _ROOM / len(order) * (place + 0.5) for place in range(len(order))]
    names = [text(x, zero + 17, f"E{i + 1}", size=13, anchor="middle") for x, i in zip(middles, order, strict=True)]
    if len(order) > _MOST_NUMBERS:
        return names if len(order) <= _MOST_NAMES else _ends(zero + 17, order)
    numbered = zip(middles, heads, weights, strict=True)
    return names + [text(x, head - 5, f"{weight:.3f}", size=13, anchor="middle") for x, head, weight in numbered]


def _ends(y: float, order: np.ndarray) -> list[str]:
    """Name the first and the last expert, and say how all are ordered."""
    return [
        text(_LEFT, y, f"E{order[0] + 1}", size=13),
        text(_LEFT + _ROOM / 2, y, f"{len(order)} experts, the largest logit first", size=13, anchor="middle"),
        text(_LEFT + _ROOM, y, f"E{order[-1] + 1}", size=13, anchor="end"),
    ]
