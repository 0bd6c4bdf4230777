"""A text in the colours and numbers of the experts that its tokens were sent to."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np

from moe_lessons.figures.palette import EXPERTS, INK, filled, lined
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import refuse, whole_number

WIDTH = 720
SHOWN = 100  # tokens drawn, around the chosen one: a longer text would make the notebook heavy
LONGEST = 24  # characters of a token
_LEFT, _TOP, _ROW = 14, 34, 30
_LETTER, _LABEL = 8.0, 8.5  # width of a character of the text, and of an expert's number
_LINE_END = "⏎"


class _Placed(NamedTuple):
    """A token on the page: its box begins at (x, y) and is as wide as its text and its expert's number."""

    piece: str
    expert: int
    x: float
    y: float
    width: float


def routed_text_svg(pieces: Sequence[str], experts: Any, token: int = 1) -> str:
    """Draw the tokens around `token`, each with its expert's colour and number.

    pieces: T tokens as text. experts: (T,) indices, the first choices. token: the one that is framed, counted from 1.
    Returns an SVG string. Raises ValueError for other shapes, and for a token that is not there.
    """
    experts = _indices(experts, len(pieces))  # (T,)
    whole_number("token", token, least=1, most=len(pieces))
    first = max(0, min(token - SHOWN // 2, len(pieces) - SHOWN))
    some = range(first, min(first + SHOWN, len(pieces)))
    placed = _placed([pieces[at] for at in some], experts[some.start : some.stop].tolist())
    return picture(
        WIDTH,
        int(placed[-1].y) + _ROW + 12,
        "A text and the experts of its tokens",
        f"Tokens {some.start + 1} to {some.stop} of {len(pieces)}, each with the expert of its first choice: "
        + ", ".join(f"{one.piece} E{one.expert + 1}" for one in placed),
        text(_LEFT, 20, f"Tokens {some.start + 1} to {some.stop} of {len(pieces)}", size=13, font_weight="bold"),
        *_tints(placed),
        element("g", *map(_piece, placed), fill=INK, font_size=13, font_family="monospace"),
        element("g", *map(_number, placed), fill=INK, font_size=13, font_weight="bold", text_anchor="end"),
        _frame(placed[token - 1 - first]),
        state=f"tokens={some.start + 1}-{some.stop} token={token}",
    )


def _indices(experts: Any, count: int) -> np.ndarray:
    """Return an index of an expert for each of `count` pieces. (T,)."""
    indices = np.asarray(experts)
    if indices.shape != (count,) or indices.dtype.kind not in "iu" or indices.min(initial=0) < 0:
        raise refuse("experts", indices, f"an index for each of the {count} pieces")
    return indices


def _placed(pieces: Sequence[str], experts: Sequence[int]) -> list[_Placed]:
    """Set the tokens in lines, a new one where the page or a line of the text ends."""
    placed: list[_Placed] = []
    x, y = float(_LEFT), float(_TOP)
    for piece, expert in zip(pieces, experts, strict=True):
        said = piece if len(piece) <= LONGEST else piece[: LONGEST - 1] + "…"
        width = _LETTER * len(said) + _LABEL * len(f"E{expert + 1}") + 8
        if x + width > WIDTH - _LEFT:
            x, y = float(_LEFT), y + _ROW
        placed.append(_Placed(said, expert, x, y, width))
        x, y = (float(_LEFT), y + _ROW) if _LINE_END in piece else (x + width + 3, y)
    return placed


def _tints(placed: Sequence[_Placed]) -> list[str]:
    """Draw the boxes and the lines below them; all of a colour are one path, which is short."""
    parts = []
    for i in range(len(EXPERTS)):
        own = [one for one in placed if one.expert % len(EXPERTS) == i]
        boxes = "".join(f"M{one.x:.0f} {one.y:.0f}h{one.width:.0f}v22h-{one.width:.0f}z" for one in own)
        lines = "".join(f"M{one.x:.0f} {one.y + 22:.0f}h{one.width:.0f}" for one in own)
        if own:
            parts.append(element("path", d=boxes, **filled(i), fill_opacity=0.2))
            parts.append(element("path", d=lines, **lined(i), stroke_width=3))
    return parts


def _piece(one: _Placed) -> str:
    return element("text", escape(one.piece), x=one.x + 2, y=one.y + 16)


def _number(one: _Placed) -> str:
    return element("text", f"E{one.expert + 1}", x=one.x + one.width - 2, y=one.y + 16)


def _frame(one: _Placed) -> str:
    box = {"x": one.x - 1, "y": one.y - 1, "width": one.width + 2, "height": 26, "rx": 3}
    return element("rect", **box, fill="none", stroke=INK, stroke_width=2)
