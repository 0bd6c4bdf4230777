"""The picture of lesson 10: tokens queue at experts that have a limited number of places."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.figures.palette import FAINT_INK, PAPER, chosen
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.routing import softmax, top_k
from moe_lessons.support.validation import positive_number, refuse, whole_number

WIDTH = 480
TOKENS, EXPERTS = 12, 4  # more tokens would not fit into one column
_LEFT, _STEP, _WIDE = 12, 115, 111  # of the columns: first left edge, distance, width
_TOP, _ROW = 94, 23  # of the first place, and the height of a place
_STRIP = _TOP + TOKENS * _ROW + 30  # where the list of the tokens begins
PRIORITIES = {"position": "earlier tokens first", "probability": "larger weights first"}


class Batch(NamedTuple):
    """Twelve tokens at four experts: selected (T, k), weights (T, k), which of them are kept (T, k), and C."""

    selected: np.ndarray
    weights: np.ndarray
    kept: np.ndarray
    capacity: int


def batch(factor: float, priority: str, k: int, favour: float, seed: int) -> Batch:
    """Draw the logits of 12 tokens for 4 experts, those of E1 raised by `favour`, and let them queue.

    The logits are standard normal, the weights probabilities (gate form B). Raises ValueError as `queue_svg` does.
    """
    if not np.isfinite(favour):
        raise refuse("favour", favour, "a finite number")
    whole_number("k", k, least=1, most=2)
    p = softmax(_logits(whole_number("seed", seed, least=0, most=2**31)) + favour * (np.arange(EXPERTS) == 0))  # (T, N)
    selected = top_k(p, k)[1]  # (T, k)
    weights = np.take_along_axis(p, selected, axis=1)  # (T, k)
    return Batch(selected, weights, *_places(selected, weights, positive_number("factor", factor), priority))


@lru_cache(maxsize=32)
def _logits(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((TOKENS, EXPERTS))  # (T, N)


def _places(selected: np.ndarray, weights: np.ndarray, factor: float, priority: str) -> tuple[np.ndarray, int]:
    """Return who finds a place (T, k), and how many places an expert has."""
    import torch  # here: pictures can be imported without it

    from moe_lessons.balancing import expert_capacity, within_capacity

    capacity = expert_capacity(TOKENS, EXPERTS, selected.shape[1], factor)
    kept = within_capacity(torch.tensor(selected), torch.tensor(weights), capacity, EXPERTS, priority)  # (T, k)
    return kept.numpy(), capacity


def queue_svg(factor: float = 1.0, priority: str = "position", k: int = 1, favour: float = 1.0, seed: int = 0) -> str:
    """Draw who finds a place at each expert and who is dropped, and what becomes of every token. Returns an SVG string.

    factor: of the capacity, above 0. priority: "position" or "probability", as in `balancing.within_capacity`.
    k: 1 or 2. favour: added to the logits of E1. seed: which tokens come.
    Raises ValueError for other values.
    """
    crowd = batch(factor, priority, k, favour, seed)
    lost, empty = int((~crowd.kept).sum()), EXPERTS * crowd.capacity - int(crowd.kept.sum())
    untouched = np.flatnonzero(~crowd.kept.any(axis=1))  # tokens that no expert computes
    sentence = f"dropped: {lost} of {TOKENS * k} assignments ({lost / (TOKENS * k):.0%})"
    passing = ", ".join(f"t{t + 1}" for t in untouched) or "none"
    places = f"C = ⌈{factor:g} · {k} · {TOKENS} / {EXPERTS}⌉ = {_room(crowd.capacity)} at each expert"
    return picture(
        WIDTH,
        _STRIP + 108,
        "Tokens queue at experts with a limited number of places",
        f"{places}, {_rule(priority, k)}; {sentence}; no expert for: {passing}.",
        _head(places, _rule(priority, k)),
        *(part for i in range(EXPERTS) for part in _column(crowd, i, priority)),
        *_strip(crowd),
        text(_LEFT, _STRIP + 76, f"{sentence}; empty places: {empty}", font_weight="bold"),
        text(_LEFT, _STRIP + 98, f"pass unchanged: {passing}", size=13),
        state=f"factor={factor:g} priority={priority} k={k} favour={favour:g} seed={seed} "
        f"capacity={crowd.capacity} dropped={lost} untouched={len(untouched)}",
    )


def _head(places: str, rule: str) -> str:
    return text(_LEFT, 24, places, size=15, font_weight="bold") + text(_LEFT, 46, rule)


def _room(capacity: int) -> str:
    return "1 place" if capacity == 1 else f"{capacity} places"


def _rule(priority: str, k: int) -> str:
    """Say in words who is served first."""
    if priority == "position" and k == 2:
        return f"{PRIORITIES[priority]}; all first choices before all second"
    return PRIORITIES[priority]


def queue_of(crowd: Batch, expert: int, priority: str) -> list[tuple[int, int]]:
    """Return who asks for an expert, as (token, choice), in the order in which places are given."""
    asking = [(t, c) for c in range(crowd.selected.shape[1]) for t in range(TOKENS)
              if crowd.selected[t, c] == expert]  # fmt: skip
    if priority == "probability":
        asking.sort(key=lambda who: -crowd.weights[who])  # stable: equal weights keep their order
    return asking


def _column(crowd: Batch, expert: int, priority: str) -> list[str]:
    """Draw one expert: its places, and its queue on top of them."""
    left, queue = _LEFT + _STEP * expert, queue_of(crowd, expert, priority)
    free = range(len(queue), min(crowd.capacity, TOKENS))
    boxes = [_box(crowd, left, place, who, expert) for place, who in enumerate(queue)]
    return [
        text(left, 78, f"E{expert + 1}: {len(queue)} ask", size=15, font_weight="bold"),
        *(_place(left, place, fill=PAPER, stroke=FAINT_INK) for place in free),
        *(text(left + 5, _TOP + _ROW * place + 16, "empty", size=13, fill=FAINT_INK) for place in free),
        *(part for box in boxes for part in box),
    ]


def _box(crowd: Batch, left: float, place: int, who: tuple[int, int], expert: int) -> tuple[str, str]:
    """Draw one token in the queue, hollow and dashed where it is dropped."""
    kept = bool(crowd.kept[who])
    weight = f"{crowd.weights[who]:.2f}".removeprefix("0")
    words = f"t{who[0] + 1}{' 2nd' if who[1] else ''} {weight}{'' if kept else ' out'}"
    look = chosen(kept, expert) | ({} if kept else {"stroke_dasharray": "4 3"})
    return _place(left, place, **look), text(left + 5, _TOP + _ROW * place + 16, words, size=13)


def _place(left: float, place: int, **look: Any) -> str:
    """Draw the outline of one place."""
    return element("rect", x=left, y=_TOP + _ROW * place, width=_WIDE, height=_ROW - 3, rx=3, fill_opacity=0.3, **look)


def _strip(crowd: Batch) -> list[str]:
    """List under each token the experts that compute it."""
    step = (WIDTH - 2 * _LEFT) / TOKENS
    parts = [text(_LEFT, _STRIP, "Which experts compute each token (1 is E1):")]
    for t in range(TOKENS):
        experts = sorted(int(i) + 1 for i in crowd.selected[t][crowd.kept[t]])
        x, y, nobody = _LEFT + step * (t + 0.5), _STRIP + 10, not experts
        dashed: dict[str, Any] = {"stroke_dasharray": "4 3"} if nobody else {}
        parts.append(element("rect", x=x - step / 2 + 1, y=y, width=step - 2, height=42, rx=3, fill="none",
                             stroke=FAINT_INK, **dashed))  # fmt: skip
        parts.append(text(x, y + 17, f"t{t + 1}", size=13, anchor="middle", font_weight="bold"))
        words = "out" if nobody else "+".join(map(str, experts))
        parts.append(text(x, y + 35, words, size=13, anchor="middle"))
    return parts
