"""Sentences with short formulas as HTML, for texts that no MathJax reaches: `$w_i w_j (a_i - a_j)$` and its like.

Letters, numbers, signs, indices and powers; what else LaTeX knows is refused. (MathML would do, but without a font for
mathematics a browser hardly lowers an index.) A formula carries its words, for who has the page read aloud.
"""

import re
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from moe_lessons.support.markup import element, tag
from moe_lessons.support.validation import refuse

THIN = "\N{THIN SPACE}"


class Part(NamedTuple):
    """A part of a formula: as HTML, and in words."""

    html: str
    words: str


def _sign(written: str, words: str) -> Part:
    return Part(f"{THIN}{escape(written)}{THIN}", words)


SIGNS = {
    r"\cdot": _sign("·", "times"),
    r"\times": _sign("×", "times"),
    "+": _sign("+", "plus"),
    "-": _sign("−", "minus"),
    "=": _sign("=", "equals"),
    "<": _sign("<", "is less than"),
    ">": _sign(">", "is greater than"),
    r"\sum": Part(f"∑{THIN}", "the sum of"),
    r"\,": Part(THIN, ""),
    "/": Part("/", "over"),
    ",": Part(", ", ","),
    **{name: Part(f"<i>{letter}</i>", name[1:]) for name, letter in ((r"\tau", "τ"), (r"\lambda", "λ"))},
    r"\ln": Part(f"ln{THIN}", "the logarithm of"),
}
SCRIPTS = {"_": ("sub", ""), "^": ("sup", "to the ")}
TOKEN = re.compile(r"\s*(\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|[A-Za-z]|[-+=/(),|<>]|[{}_^])\s*")


def inline(text: str) -> str:
    """Return a sentence of Markdown as HTML: `code`, *emphasis* and formulas in `$…$`; all else is text.

    Raises ValueError for a formula that is not known.
    """
    pieces = re.split(r"(`[^`]+`|\$[^$]+\$|\*[^*\s][^*]*\*)", text)
    return "".join(_piece(piece) if i % 2 else escape(piece) for i, piece in enumerate(pieces))


def _piece(piece: str) -> str:
    if piece[0] == "$":
        return formula(piece[1:-1])
    return tag("code" if piece[0] == "`" else "em", piece[1:-1])


def formula(tex: str) -> str:
    """Return a formula, written as between two dollars, as HTML. Raises ValueError for what it does not know."""
    tokens = list(_tokens(tex))
    html, words = _row(tex, tokens)
    if tokens:
        raise refuse("tex", tex, "no brace that closes nothing")
    return element("span", html.strip(THIN), class_="moe-formula", role="math", aria_label=words)


def _tokens(tex: str) -> Iterator[str]:
    """Yield the parts of a formula, the last one first."""
    found, end = [], 0
    while end < len(tex):
        part = TOKEN.match(tex, end)
        if part is None or (part[1].startswith("\\") and part[1] not in SIGNS):
            raise refuse("tex", tex, f"letters, numbers, braces, _, ^, and {' '.join(SIGNS)}")
        found.append(part[1])
        end = part.end()
    yield from reversed(found)


def _row(tex: str, tokens: list[str]) -> Part:
    """Take what stands before a closing brace, or before the end, from the tokens."""
    parts: list[Part] = []
    while tokens and tokens[-1] != "}":
        token = tokens.pop()
        if token in SCRIPTS and not parts:
            raise refuse("tex", tex, f"something before {token}")
        is_first_minus = token == "-" and not parts
        parts.append(Part("−", "minus") if is_first_minus else _part(tex, token, tokens))
    return Part("".join(part.html for part in parts), " ".join(part.words for part in parts if part.words))


def _part(tex: str, token: str, tokens: list[str]) -> Part:
    """Return one token as a part; the rest of a group, an index or a power is taken from the tokens."""
    if token in SCRIPTS:
        return _script(tex, token, tokens)
    if token == "{":
        row = _row(tex, tokens)
        if not tokens:
            raise refuse("tex", tex, "a brace that closes each one that opens")
        tokens.pop()
        return row
    return SIGNS.get(token) or Part(f"<i>{token}</i>" if token.isalpha() else token, token)


def _script(tex: str, token: str, tokens: list[str]) -> Part:
    if not tokens or tokens[-1] in ("}", *SCRIPTS):
        raise refuse("tex", tex, "something after _ and ^")
    (name, words), inside = SCRIPTS[token], _part(tex, tokens.pop(), tokens)
    return Part(element(name, inside.html), f"{words}{inside.words}")
