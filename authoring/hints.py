"""Fills in what a question's record says: `{{about 1.2}}` and `{{hints 1.2}}`, alone on a line of a Markdown cell."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from course import plural
from percent import SourceError

_DIRECTIVE = re.compile(r"\{\{(about|hints) (\S+)\}\}")
_ALMOST = re.compile(r"\{\{\s*(about|hint)|^\s*\{\{.*\}\}\s*$", re.IGNORECASE)


def expand(numbered: list[tuple[int, str]], questions: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return a Markdown cell's lines with their line numbers, each directive replaced by what it stands for."""
    lines, texts = [], dict(numbered)
    for line, text in numbered:
        directive = _DIRECTIVE.fullmatch(text.strip())
        if directive and directive[2] not in questions:
            raise SourceError(line, f"unknown question {directive[2]}")
        if not directive:
            refuse_directive(line, text)
        lines.append((line, _fill(texts, line, directive[1], questions[directive[2]]) if directive else text))
    return lines


def refuse_directive(line: int, text: str) -> None:
    """Raise SourceError for a directive that is misspelt, or not alone on a line of an exercise source."""
    if _ALMOST.search(text):
        advice = "`{{about 1.2}}` or `{{hints 1.2}}`, alone on a line of a Markdown cell of an exercise source"
        raise SourceError(line, f"`{text.strip()}`: write {advice}")


def _fill(texts: Mapping[int, str], line: int, directive: str, question: Any) -> str:
    """Return the text for a directive, with blank lines towards its neighbours so that it is its own paragraph."""
    text = _WRITERS[directive](question)
    before = "\n" if texts.get(line - 1, "").strip() else ""
    after = "\n" if texts.get(line + 1, "").strip() else ""
    return before + text + after


def _about(question: Any) -> str:
    """Return one line: kind, difficulty, points and minutes."""
    kind = question.kind[:1].upper() + question.kind[1:]
    minutes = _count(question.minutes, "minute")
    return f"*{kind} · {question.difficulty} · {_count(question.points, 'point')} · about {minutes}*"


def _hints(question: Any) -> str:
    """Return three folded blocks, the first with the anchor that verdicts link to.

    The blank lines inside let Markdown and formulas render everywhere.
    """
    titles = [f'<summary id="hint-{question.id}">Hint 1', "<summary>Hint 2", "<summary>The idea"]
    texts = map(inspect.cleandoc, (*question.hints, question.idea))
    pairs = zip(titles, texts, strict=True)
    return "\n\n".join(f"<details>{title}</summary>\n\n{text}\n\n</details>" for title, text in pairs)


def _count(number: float, unit: str) -> str:
    return plural(f"{number:g}", unit, number)


_WRITERS = {"about": _about, "hints": _hints}
