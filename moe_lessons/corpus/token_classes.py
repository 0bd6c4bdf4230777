"""What is known of every token of lesson 11 without a model: its shape, its class in Python, its place in the line."""

import io
import keyword
import re
import tokenize
import unicodedata
from typing import NamedTuple

import numpy as np

from moe_lessons.corpus.sources import DOMAINS, FUNCTION_WORDS, Document

CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "domain": DOMAINS,
    "shape": ("word", "piece of a word", "number", "punctuation", "space", "other"),
    "python": ("name", "keyword", "operator", "number", "string", "comment", "layout", "not code"),
    "function": ("function word", "other word", "not a word", "not prose"),
    "position": ("1st", "2nd-3rd", "4th-7th", "8th-15th", "16th or later"),
    "frequency": ("rank 1-10", "rank 11-50", "rank 51-200", "rank 201 or later"),
}
POSITION_STARTS = (1, 3, 7, 15)  # tokens since the start of the line or sentence, from 0: where each next bucket begins


class _Tokens(NamedTuple):
    """The tokens of a text, by the characters they cover."""

    text: str
    kinds: np.ndarray  # (characters,) in the letters of `_kind`
    start: np.ndarray  # (T,) the first character
    end: np.ndarray  # (T,) the place after the last character
    core: np.ndarray  # (T,) the first character after the space in front
    torn: np.ndarray  # (T,) whether it begins or ends inside a character


def _kind(sign: str) -> str:
    """Return the kind of a character: L letter, D digit, S space, C control sign or unassigned, P any other."""
    if sign.isspace():
        return "S"
    return {"L": "L", "N": "D", "C": "C"}.get(unicodedata.category(sign)[0], "P")


def _tokens(text: str, ends: np.ndarray) -> _Tokens:
    """Return the tokens of a text; `ends` (T,) are the byte offsets at which they end."""
    codes, where = np.unique(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), return_inverse=True)
    kinds = np.array([_kind(chr(code)) for code in codes])[where]  # (characters,)
    widths = np.array([len(chr(code).encode()) for code in codes])[where]  # (characters,) in bytes
    borders = np.concatenate([[0], np.cumsum(widths)])  # (characters + 1,)
    begins = np.concatenate([[0], ends[:-1]])  # (T,)
    start = np.searchsorted(borders, begins, side="right") - 1  # (T,)
    end = np.searchsorted(borders, ends)  # (T,)
    core = start + ((kinds[start] == "S") & (kinds[end - 1] != "S"))  # (T,)
    return _Tokens(text, kinds, start, end, core, (borders[start] != begins) | (borders[end] != ends))


def labels_of_tokens(document: Document, ends: np.ndarray) -> dict[str, np.ndarray]:
    """Return the classes of each token from the text and the byte offsets (T,) at which its tokens end."""
    tokens = _tokens(document.text, ends)
    core, T = tokens.core, len(ends)
    labels = {
        "domain": np.full(T, DOMAINS.index(document.domain)),
        "shape": _shapes(tokens),
        "python": np.full(T, CLASS_NAMES["python"].index("not code")),
        "function": np.full(T, CLASS_NAMES["function"].index("not prose")),
        "position": _positions(tokens, sentences=document.domain == "prose"),
    }
    if document.domain == "code":
        labels["python"] = _python_classes(document.text)[core]
    if document.domain == "prose":
        labels["function"] = _function_words(document.text)[core]
    return labels


def _shapes(tokens: _Tokens) -> np.ndarray:
    """Return the shape class (T,) of tokens."""
    is_letter = np.concatenate([[False], tokens.kinds == "L", [False]])  # (characters + 2,) with a place on each side
    count = np.cumsum(is_letter)  # (characters + 2,)
    has_letters = count[tokens.end] > count[tokens.start]  # (T,)
    whole = ~is_letter[tokens.core] & ~is_letter[tokens.end + 1]  # (T,) no letter before, none after
    kind = tokens.kinds[tokens.core]  # (T,)
    cases = [tokens.torn, has_letters & whole, has_letters, kind == "D", kind == "P", kind == "S"]
    names = ("other", "word", "piece of a word", "number", "punctuation", "space")
    values = [CLASS_NAMES["shape"].index(name) for name in names]
    return np.select(cases, values, default=CLASS_NAMES["shape"].index("other"))


def _python_classes(source: str) -> np.ndarray:
    """Return the Python token class of each character (characters,); layout is whatever stands between the tokens."""
    classes = np.full(len(source), CLASS_NAMES["python"].index("layout"))
    lines = np.cumsum([0, *(len(line) + 1 for line in source.split("\n"))])
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = _python_class(token)
        begin, end = (lines[row - 1] + column for row, column in (token.start, token.end))
        classes[begin:end] = CLASS_NAMES["python"].index(name)
    return classes


def _python_class(token: tokenize.TokenInfo) -> str:
    """Return the name of the class of one token of `tokenize`."""
    if token.type == tokenize.NAME:
        return "keyword" if keyword.iskeyword(token.string) else "name"
    name = tokenize.tok_name[token.type]
    if name.startswith(("FSTRING", "TSTRING")):  # from Python 3.12 and 3.14 on, strings with {} come in parts
        return "string"
    known = {"OP": "operator", "NUMBER": "number", "STRING": "string", "COMMENT": "comment"}
    return known.get(name, "layout")


def _function_words(prose: str) -> np.ndarray:
    """Return for each character (characters,) whether it belongs to a function word, another word, or none."""
    function, other, none = (CLASS_NAMES["function"].index(n) for n in ("function word", "other word", "not a word"))
    classes = np.full(len(prose), none)
    for word in re.finditer(r"[^\W\d_]+", prose):
        classes[word.start() : word.end()] = function if word[0].lower() in FUNCTION_WORDS else other
    return classes


def _positions(tokens: _Tokens, sentences: bool) -> np.ndarray:
    """Return the position class (T,) of tokens: how many came before it since its line or sentence began."""
    ends = r"[.!?][\")\]]*(?=\s)|\n" if sentences else r"\n"
    begins = np.zeros(len(tokens.text) + 1, dtype=int)  # (characters + 1,)
    begins[[end.end() for end in re.finditer(ends, tokens.text)]] = 1
    unit = np.cumsum(begins)[tokens.core]  # (T,)
    first = np.searchsorted(unit, unit)  # (T,) where the unit's first token is
    return np.searchsorted(POSITION_STARTS, np.arange(len(unit)) - first, side="right")
