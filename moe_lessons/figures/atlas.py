"""The pictures of lesson 12: what a gate sees when it selects and when it weighs, and the family tree of gates."""

from functools import lru_cache
from typing import Any

import numpy as np

from moe_lessons import atlas
from moe_lessons.figures.marks import line
from moe_lessons.figures.palette import FAINT_INK, INK, PAPER, RULE, chosen
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.figures.words import number
from moe_lessons.routing import SCORES, Gate
from moe_lessons.support.validation import float_array, one_of, refuse, score_array

WIDTH, LEFT, ROOM = 480, 14, 452  # narrow, so that its words can still be read on a page 400 wide

# --- what the selection sees, and what the weights see ------------------------------------------------------------

_ZERO, _UNIT = 196, 88  # the zero line of the upper bars, and how far up 1 lies
_WEIGHTS_ZERO, _WEIGHTS_UNIT = 386, 70
_LEAST, _MOST = 0.15, 1.5  # what is drawn to scale: from −_LEAST to _MOST


def selection_svg(logits: Any, bias: Any, gate: Gate, k: int = 2) -> str:
    """Draw for one token what the selection sees, group by group, and the weights below. Returns an SVG string.

    logits, bias: (N,) with N up to 8. Bars that go beyond −0.15 or 1.5 are cut there.
    Raises ValueError for other shapes, and what `routing.Gate` refuses.
    """
    h, b = _one_token(logits), float_array("bias", bias)  # (N,) each
    weights, kept = gate.weights(h, k, b), gate.selected(h, k, b)  # (N,) each
    s = h if gate.after_selection else SCORES[gate.score](h)  # (N,)
    names = ", ".join(f"E{i + 1}" for i in np.flatnonzero(kept))
    return picture(
        WIDTH,
        430,
        "What the selection sees, and what the weights see",
        f"{h.size} experts, k = {k}, {gate.groups} groups of which {gate.kept_groups} are kept. Selected: {names}.",
        text(LEFT, 22, "The selection sees s + b (a tick: s alone)", size=15, font_weight="bold"),
        *_groups(s + b, gate, np.isfinite(gate.seen(h, b))),
        *_seen_bars(s, s + b, kept),
        text(LEFT, 282, f"The weights, made of s. Sum {number(weights.sum(), '.3f')}", size=15, font_weight="bold"),
        *_weight_bars(weights, kept, _WEIGHTS_ZERO, 0.3 * ROOM / h.size),
        state=f"k={k} groups={gate.groups} kept={gate.kept_groups} by={gate.group_score} b={_state(b)} "
        f"selected={names.replace(', ', '+')}",
    )


def _one_token(logits: Any) -> np.ndarray:
    """Return logits if they are those of one token with up to eight experts. (N,)."""
    h = score_array("logits", logits)  # (N,)
    if h.ndim != 1 or h.size > 8:
        raise refuse("logits.shape", h.shape, "(N,) with N from 1 to 8")
    return h


def _state(values: Any) -> str:
    """Write numbers so that a test can read them."""
    return "|".join(f"{value:.3f}" for value in np.asarray(values))


def _middles(N: int) -> np.ndarray:
    """Return where the experts stand across the picture. (N,)."""
    return LEFT + ROOM / N * (np.arange(N) + 0.5)


def _groups(values: np.ndarray, gate: Gate, in_reach: np.ndarray) -> list[str]:
    """Draw a box around each group, with what it is worth. values (N,), in_reach (N,) booleans."""
    if gate.groups == 1:
        return []
    size, wide = values.size // gate.groups, ROOM / gate.groups
    parts = []
    for g, members in enumerate(values.reshape(gate.groups, size)):
        worth = np.sort(members)[-(1 if gate.group_score == "max" else 2) :].sum()
        stays = bool(in_reach[g * size])
        look = {"stroke": INK, "stroke_width": 2} if stays else {"stroke": FAINT_INK, "stroke_dasharray": "4 4"}
        parts.append(
            element("rect", x=LEFT + g * wide + 2, y=34, width=wide - 4, height=216, rx=6, fill="none", **look)
        )
        middle = LEFT + (g + 0.5) * wide
        parts.append(text(middle, 52, f"{number(worth)} {'kept' if stays else 'out'}", size=13, anchor="middle"))
    return parts


def _seen_bars(s: np.ndarray, values: np.ndarray, kept: np.ndarray) -> list[str]:
    """Draw s + b as bars, with a tick at s and the number. All (N,)."""
    parts = [element("line", x1=LEFT, x2=LEFT + ROOM, y1=_ZERO, y2=_ZERO, stroke=FAINT_INK)]
    half = 0.3 * ROOM / len(s)
    for i, x in enumerate(_middles(len(s))):
        value, score = (float(np.clip(n[i], -_LEAST, _MOST)) for n in (values, s))
        place = {"y": _ZERO - max(value, 0) * _UNIT, "height": abs(value) * _UNIT}
        parts.append(element("rect", x=x - half, width=2 * half, **place, **chosen(bool(kept[i]), i)))
        tick = _ZERO - score * _UNIT
        parts.append(line((x - half - 4, tick), (x + half + 4, tick), INK, stroke_width=2))
        parts.append(text(x, 226, number(values[i]), size=13, anchor="middle"))
        parts.append(text(x, 244, f"E{i + 1}", size=13, anchor="middle"))
    return parts


def _weight_bars(weights: np.ndarray, kept: np.ndarray, zero: float, half: float) -> list[str]:
    """Draw the weights (N,) with their numbers, as bars 2 · half wide that stand on `zero`."""
    largest = max(1.0, float(weights.max()))
    parts = [element("line", x1=LEFT, x2=LEFT + ROOM, y1=zero, y2=zero, stroke=FAINT_INK)]
    for i, x in enumerate(_middles(len(weights))):
        tall = float(weights[i]) / largest * _WEIGHTS_UNIT
        if kept[i]:
            parts.append(element("rect", x=x - half, y=zero - tall, width=2 * half, height=tall, **chosen(True, i)))
        parts.append(text(x, zero - tall - 5, number(weights[i], ".3f"), size=13, anchor="middle"))
        parts.append(text(x, zero + 18, f"E{i + 1}", size=13, anchor="middle"))
    return parts


# --- the family tree ----------------------------------------------------------------------------------------------

_FIRST, _COLUMN = 180, 48  # where the years begin, and how wide one is
_DOTS, _DOT = 5, 9  # dots beside each other in a year, and the way from one to the next
_TOP = 52


def function_name(family: atlas.Family) -> str:
    """Say in a few words what the gate of a family computes when its factors are 1: alike means the same function."""
    gate = atlas.common_gate(family)
    score = {"sqrtsoftplus": "√softplus"}.get(gate.score, gate.score)
    late = gate.after_selection and not gate.softmax_of_kept
    whole = gate.constant_sum
    parts = ["h + b, then " if late and family.kind.bias else "", score, " + b" * (family.kind.bias and not late)]
    return "".join([*parts, ", groups" * (gate.groups > 1), ", undivided" * (not whole)])


@lru_cache(maxsize=1)
def _rows() -> list[tuple[str, list[str]]]:
    """Return the functions with their families, the largest first."""
    return [(function_name(atlas.FAMILIES[names[0]]), names) for names in atlas.functions()]


def family_tree_svg(family: str, logits: Any, bias: Any) -> str:
    """Draw all families by year and function, mark one, and weigh a token of four logits with its gate (k = 2).

    family: a key of `atlas.FAMILIES`. logits, bias: (4,); groups, where there are, are two of two experts, one kept.
    Returns an SVG string. Raises ValueError for an unknown family and other shapes.
    """
    row = atlas.FAMILIES[one_of("family", family, atlas.FAMILIES)]
    h = _one_token(logits)  # (4,)
    if h.shape != (4,):
        raise refuse("logits.shape", h.shape, "(4,)")
    gate, k = atlas.common_gate(row, groups=2, kept_groups=1), row.fixed_k or 2
    weights = gate.weights(h, k, bias if row.kind.bias else None)  # (4,)
    body, bottom = _tree(family)
    return picture(
        WIDTH,
        round(bottom) + 238,
        "Families of models by year and by the function of their gate",
        f"{len(atlas.FAMILIES)} families, {len(_rows())} functions. {row.model}, {row.year}: {function_name(row)}. "
        f"Weights {', '.join(number(w, '.3f') for w in weights)}.",
        *body,
        *_words_about(row, bottom + 24),
        text(LEFT, bottom + 108, _your_token(gate, k), size=13),
        *_weight_bars(weights, weights > 0, bottom + 200, 24),
        state=f"family={family} h={_state(h)} b={_state(bias)} weights={_state(weights)}",
    )


def _your_token(gate: Gate, k: int) -> str:
    """Say how the learner's token is routed."""
    groups = "; of the groups E1 E2 and E3 E4 one" if gate.groups > 1 else ""
    return f"Your token: {k} of 4 experts{groups}"


def _tree(family: str) -> tuple[list[str], float]:
    """Draw the rows of the tree; return them and where they end."""
    years = sorted({row.year for row in atlas.FAMILIES.values()})
    years = list(range(years[0], years[-1] + 1))
    parts = [text(LEFT, 22, f"{len(atlas.FAMILIES)} families, {len(_rows())} functions", size=15, font_weight="bold")]
    parts += [text(_FIRST + _COLUMN * (i + 0.5), _TOP - 8, str(year), size=13, anchor="middle", fill=FAINT_INK)
              for i, year in enumerate(years)]  # fmt: skip
    y = float(_TOP)
    for words, names in _rows():
        per_year = [[name for name in names if atlas.FAMILIES[name].year == year] for year in years]
        tall = max(22, _DOT * max(-(-len(cell) // _DOTS) for cell in per_year) + 8)
        weight = {"font_weight": "bold"} if family in names else {}
        parts.append(element("line", x1=LEFT, x2=WIDTH - LEFT, y1=y, y2=y, stroke=RULE))
        parts.append(text(LEFT, y + tall / 2 + 5, words, size=13, **weight))
        for i, cell in enumerate(per_year):
            parts += _dots(cell, family, _FIRST + _COLUMN * i + 6, y + tall / 2)
        y += tall
    parts.append(element("line", x1=LEFT, x2=WIDTH - LEFT, y1=y, y2=y, stroke=RULE))
    return parts, y


def _dots(names: list[str], family: str, left: float, middle: float) -> list[str]:
    """Draw a dot for each family of a year, the marked one filled and larger."""
    rows = -(-len(names) // _DOTS)
    parts = []
    for place, name in enumerate(names):
        x, y = left + _DOT * (place % _DOTS), middle + _DOT * (place // _DOTS - (rows - 1) / 2)
        here = name == family
        look = {"fill": INK, "stroke": PAPER} if here else {"fill": PAPER, "stroke": FAINT_INK}
        parts.append((here, element("circle", cx=x, cy=y, r=6 if here else 3.5, stroke_width=1.5, **look)))
    return [dot for _, dot in sorted(parts, key=lambda pair: pair[0])]  # the marked one last, on top


def _words_about(row: atlas.Family, top: float) -> list[str]:
    """Write what is known of a family, line by line."""
    keys = [atlas.KEYS[setting][0] for setting in row.kind.reads]
    factor = f", then times {row.gate.scale:g}" if row.gate.scale != 1 else ""
    lines = [
        f"N = {row.experts}, k = {row.k}; {function_name(row)}{factor}",
        f"reads: {', '.join(keys[:3])}{',' if len(keys) > 3 else ''}" if keys else "no key decides anything more",
        ", ".join(keys[3:]),
    ]
    head = text(LEFT, top, f"● {row.model} ({row.year})", size=15, font_weight="bold")
    return [head, *(text(LEFT, top + 20 * (i + 1), said, size=13) for i, said in enumerate(lines) if said)]
