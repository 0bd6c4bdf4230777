"""Prints the quiz of a lesson as Markdown, with folded answers: it stands once, in `moe_lessons/checks/quizzes/`."""

import re
from dataclasses import replace
from pathlib import Path

from percent import Cell, SourceError

from moe_lessons.checks.quiz import Question, quiz

FOLDER = "moe_lessons/checks/quizzes"
FIELD = re.compile(r"\{\{quiz(?: ([1-9]))?\}\}")
PRINTED = 3  # ideas, where the field names no number


def printed(root: Path, lesson: str, count: str | None = None) -> str:
    """Return the first question of its first ideas. Raises ValueError where there is no quiz, or a broken one."""
    ideas = quiz(lesson, root / FOLDER).ideas[: int(count or PRINTED)]
    return "\n\n".join(_question(number, idea.questions[0]) for number, idea in enumerate(ideas, 1))


def _question(number: int, question: Question) -> str:
    """Return a question with its options, and their reasons, the right one first, in a fold."""
    lettered = list(zip("abcd", question.options, strict=False))
    options = "\n".join(f"- ({letter}) {option.text}" for letter, option in lettered)
    reasons = sorted(lettered, key=lambda pair: pair[1] is not question.right)
    answer = "\n".join(f"- {_letter(letter, option is question.right)} {option.why}" for letter, option in reasons)
    fold = f"<details><summary>Answer</summary>\n\n{answer}\n\n</details>"
    return f"**{number}. {question.asks}**\n\n{options}\n\n{fold}"


def _letter(letter: str, is_right: bool) -> str:
    return f"**({letter})**" if is_right else f"({letter})"


def with_quiz(cells: list[Cell], root: Path, lesson: str) -> list[Cell]:
    """Return cells with the quiz in the place of its field, for whoever counts what there is to read."""
    return [replace(cell, source=_filled(cell, root, lesson)) if FIELD.search(cell.source) else cell for cell in cells]


def _filled(cell: Cell, root: Path, lesson: str) -> str:
    try:
        return FIELD.sub(lambda field: printed(root, lesson, field[1]), cell.source)
    except ValueError as error:
        line = next(number for number, text in cell.lines if FIELD.search(text))
        raise SourceError(line, str(error)) from None
