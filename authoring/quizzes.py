"""Puts the quiz of a lesson into its notebook: it stands once, in `moe_lessons/checks/quizzes/`.

In the place of its field comes a code cell that asks it, and below that, in a fold, what is printed of it for who runs
nothing: a few questions in Markdown, with folded answers.
"""

import re
from dataclasses import replace
from pathlib import Path

from percent import Cell, SourceError

from moe_lessons.checks.quiz import Question, quiz

FOLDER = "moe_lessons/checks/quizzes"
FIELD = re.compile(r"\{\{quiz(?: ([1-9]))?\}\}")
NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PRINTED = 3  # ideas, where the field names no number
LIVE, PAPER = "quiz", "quiz-on-paper"  # ids of both cells
FOLD = "<summary>Without running it: {count} of the questions, with folded answers</summary>"


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


def live(cell: Cell, lesson: str) -> list[Cell]:
    """Return a Markdown cell with the field of the quiz as up to four: before it, what asks it, paper, and after it.

    The field itself stays, in the cell that is to be paper.
    """
    at = next((i for i, text in enumerate(cell.source.split("\n")) if FIELD.fullmatch(text)), None)
    if cell.kind != "markdown" or at is None:
        return [cell]
    lines = cell.source.split("\n")
    line = cell.first_line + at
    asks = f'from moe_lessons.widgets.quiz import quiz\n\nquiz("{lesson}")'
    middle = [Cell("code", asks, line, line, LIVE), Cell("markdown", lines[at], line, line, PAPER, cell.tags)]
    rest = replace(cell, name=None, first_line=line + 1)
    parts = (replace(cell, source="\n".join(lines[:at])), *middle, replace(rest, source="\n".join(lines[at + 1 :])))
    return [_stripped(part) for part in parts if part.source.strip()]


def _stripped(cell: Cell) -> Cell:
    """Return a cell without blank lines at its ends."""
    leading = len(cell.source) - len(cell.source.lstrip("\n"))
    return replace(cell, source=cell.source.strip("\n"), first_line=cell.first_line + leading)


def on_paper(text: str) -> str:
    """Return what is printed of a quiz in a fold."""
    count = NUMBERS[len(re.findall(r"^\*\*\d\. ", text, re.MULTILINE))]
    return f"<details>{FOLD.format(count=count)}\n\n{text}\n\n</details>"


def with_quiz(cells: list[Cell], root: Path, lesson: str) -> list[Cell]:
    """Return cells with the quiz in the place of its field, for whoever counts what there is to read."""
    return [replace(cell, source=_filled(cell, root, lesson)) if FIELD.search(cell.source) else cell for cell in cells]


def _filled(cell: Cell, root: Path, lesson: str) -> str:
    try:
        return FIELD.sub(lambda field: printed(root, lesson, field[1]), cell.source)
    except ValueError as error:
        line = next(number for number, text in cell.lines if FIELD.search(text))
        raise SourceError(line, str(error)) from None
