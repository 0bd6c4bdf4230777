"""What newer Python has, for an older one: a learner's Python may be newer than the grader's.

Of its syntax: generics, aliases of types, quotes and backslashes inside f-strings (3.12), several exceptions without
brackets (3.14). What is meant stays the same; annotations are not read.
"""

import ast
import contextlib
import itertools
import math
import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any

GENERIC = re.compile(r"^([ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+\w+)[ \t]*\[", re.MULTILINE)
ALIAS = re.compile(r"^([ \t]*)type[ \t]+(\w+)[ \t]*(?:\[[^\]\n]*\])?[ \t]*=", re.MULTILINE)
CAUGHT = re.compile(r"^([ \t]*except\*?[ \t]+)([\w.]+(?:[ \t]*,[ \t]*[\w.]+)+)([ \t]*:)", re.MULTILINE)
OPENING = re.compile(r"""(?i:(?<!\w)([rbuf]{0,2}))(\"{3}|'{3}|"|')""")


def lend() -> None:
    """Give the library what that of Python 3.12 has and learners may use."""
    newer: tuple[tuple[Any, str, Any], ...] = (
        (itertools, "batched", _batched),
        (math, "sumprod", lambda p, q: sum(a * b for a, b in zip(p, q, strict=True))),
        (typing, "override", lambda method: method),
    )
    for module, name, function in newer:
        if not hasattr(module, name):
            setattr(module, name, function)


def _batched(values: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    """Return tuples of n values; the last one may be shorter."""
    rest = iter(values)
    return iter(lambda: tuple(itertools.islice(rest, n)), ())


def older(source: str) -> str:
    """Return the same program in older syntax, as far as it can be told. What it cannot read stays as it is."""
    with contextlib.suppress(IndexError):  # a string without an end
        source = _with_plain_f_strings(source)
    return CAUGHT.sub(r"\1(\2)\3", ALIAS.sub(r"\1\2 = lambda:", _without_generics(source)))


def _without_generics(source: str) -> str:
    """Leave out the parameters of types behind the names of functions and classes."""
    while found := GENERIC.search(source):
        end, depth = found.end(), 1
        while depth and end < len(source):
            depth += {"[": 1, "]": -1}.get(source[end], 0)
            end += 1
        source = source[: found.end(1)] + source[end:]
    return source


def _with_plain_f_strings(source: str) -> str:
    """Return a source whose f-strings have nothing inside that only Python 3.12 allows there."""
    made, i = [], 0
    while i < len(source):
        if source[i] == "#":
            end = source.find("\n", i) % (len(source) + 1)
            made.append(source[i:end])
        elif opening := OPENING.match(source, i):
            text, end = _string(source, opening)
            made.append(text)
        else:
            end = i + 1
            made.append(source[i])
        i = end
    return "".join(made)


def _string(source: str, opening: re.Match[str]) -> tuple[str, int]:
    """Return a string of a source as it may be written in older Python, and where it ends. Raises IndexError."""
    prefix, quote = opening.groups()
    if "f" in prefix.lower():
        body, end = _body(source, opening.end(), quote)
        wide = next((wide for wide in (quote, '"""', "'''") if _fits(body, wide)), quote)
        return f"{prefix}{wide}{body}{wide}", end
    end = opening.end()
    while not source.startswith(quote, end):
        end += 2 if source[end] == "\\" else 1
    return source[opening.start() : end + len(quote)], end + len(quote)


def _fits(body: str, quote: str) -> bool:
    """Tell whether a string may stand between these quotes: a single kind, if none of them is inside."""
    return quote not in body and not body.endswith(quote[0]) if len(quote) == 3 else quote not in body


def _body(source: str, i: int, quote: str) -> tuple[str, int]:
    """Return what is inside an f-string, or a format in it (its `quote` is `}`), and where it ends."""
    made = ""
    while not source.startswith(quote, i):
        if source[i] == "{" and not source.startswith("{{", i):
            field, i = _field(source, i + 1)
            made += "{" + field
            continue
        step = 2 if source[i] == "\\" or source.startswith(("{{", "}}"), i) else 1
        made, i = made + source[i : i + step], i + step
    return made, i + len(quote)


def _field(source: str, i: int) -> tuple[str, int]:
    """Return the rest of a replacement field, with its closing bracket, and where it ends."""
    made, depth = "", 0
    while depth or source[i] not in ":}":
        if opening := OPENING.match(source, i):
            text, i = _string(source, opening)
            made += _without_backslash(text)
            continue
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(source[i], 0)
        made, i = made + source[i], i + 1
    if source[i] == "}":
        return made + "}", i + 1
    form, i = _body(source, i + 1, "}")
    return f"{made}:{form}}}", i


def _without_backslash(text: str) -> str:
    """Return an expression for a string, without a backslash in it."""
    if "\\" not in text:
        return text
    value = ast.literal_eval(text)
    return f"''.join(map(chr, {[*map(ord, value)]}))"
