"""Puts cells together as notebooks: one for a lesson, two for an exercise set."""

import re
from collections.abc import Iterable
from typing import Any

import nbformat
from course import Course
from fields import fill
from folds import folded
from hints import expand, refuse_directive
from leaks import refuse_given_answers, refuse_kept_lines
from markers import MARKER_TEXT, PEN, Versions, find_markers, refuse_marker_text, split_code
from percent import PREDICT_TAG, RUNNING, TAGS, TEACHES_TAG, Cell, SourceError, read_cells, refuse_long_code
from promises import promised, published
from quizzes import PAPER, live, on_paper
from words import explained

SOLUTION_TAG = "solution"  # on cells that learners do not get

_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
Numbered = tuple[Cell, list[tuple[int, str]]]  # a cell, and lines with their numbers in the source

_FILE_NAME = re.compile(r"\d\d[brp]?_[a-z0-9]+(_[a-z0-9]+)*\.py")


def refuse_file_name(name: str) -> None:
    """Raise SourceError for a source not named like 01_worked_example.py, 00b_…, 04r_review.py or 11p_project.py."""
    if not _FILE_NAME.fullmatch(name):
        raise SourceError(
            1, "file name: expected NN_slug.py, or NNb_, NNr_ for a review, NNp_ for a project (a-z, 0-9 and _)"
        )


def lesson_notebook(text: str, course: Course, number: str) -> str:
    """Return the notebook of lesson `number` as text. Raises SourceError."""
    texts = [(cell, _text(lines)) for cell, lines in lesson_cells(text, course, number)]
    return _notebook(explained(texts, course.glossary, course.addresses, number))


def lesson_cells(text: str, course: Course, number: str, checked: bool = False) -> list[Numbered]:
    """Return a lesson's cells with their numbered lines: what learners get or, if `checked`, with the promises too."""
    cells = [part for cell in read_cells(text, TAGS) for part in live(cell, number)]
    versions = []
    for cell in cells:
        lines = cell.lines if cell.kind == "code" else fill(cell.lines, course, "notebooks", number)
        for line, content in lines:
            if found := MARKER_TEXT.search(content):
                raise SourceError(line, f"`{found[0]}` in a lesson: markers belong in exercise sources")
            refuse_directive(line, content)
        versions.append((cell, _dressed(cell, lines)))
    return _without_promises(versions, _promised_lines(cells), checked)


def _dressed(cell: Cell, lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the lines of a cell as learners see them."""
    if cell.kind == "code":
        return _pencilled(cell)
    return [(lines[0][0], on_paper(_text(lines)))] if cell.name == PAPER else folded(lines)


def _pencilled(cell: Cell) -> list[tuple[int, str]]:
    """Return the lines of a code cell, those of a prediction under the sign of what learners fill in."""
    label = [(cell.first_line, f"{PEN} Your prediction")] if PREDICT_TAG in cell.tags else []
    return [*label, *cell.lines]


def exercise_notebooks(text: str, course: Course, number: str) -> tuple[str, str]:
    """Return what learners get of set `number` and the same with the solutions, as text. Raises SourceError."""
    stubs, solved = exercise_cells(text, course, number)
    return tuple(_notebook([(cell, _text(lines)) for cell, lines in cells]) for cells in (stubs, solved))


def exercise_cells(
    text: str, course: Course, number: str, checked: bool = False
) -> tuple[list[Numbered], list[Numbered]]:
    """Return the cells of both notebooks of an exercise set, as `lesson_cells` does."""
    cells = read_cells(text, (*TAGS, SOLUTION_TAG))
    every = [_versions(cell, course, number) for cell in cells]
    given = [version for version in every if SOLUTION_TAG not in version.cell.tags]
    solution_cells = [cell for cell in cells if SOLUTION_TAG in cell.tags]
    refuse_given_answers(given, solution_cells, course.questions)
    refuse_kept_lines(given, solution_cells)
    left_out = _promised_lines(cells)
    stubs = _without_promises([(version.cell, version.stub) for version in given], left_out, checked)
    return stubs, _without_promises([(version.cell, version.solution) for version in every], left_out, checked)


def _promised_lines(cells: list[Cell]) -> set[int]:
    return {line for lines in promised(cells).values() for line in lines}


def _without_promises(versions: list[Numbered], left_out: set[int], checked: bool) -> list[Numbered]:
    """Leave lines out of versions of cells, and a cell that then holds nothing; refuse long cells."""
    kept = [(cell, published(lines, left_out) if cell.kind == "code" else lines) for cell, lines in versions]
    for cell, lines in kept:
        refuse_long_code(cell, _text(lines))
    if checked:
        return versions
    return [(cell, lines) for cell, lines in kept if lines or not cell.source]


def _text(lines: Iterable[tuple[int, str]]) -> str:
    return "\n".join(text for _, text in lines)


def _versions(cell: Cell, course: Course, number: str) -> Versions:
    """Return a cell as learners get it and with its solution."""
    if cell.kind == "code" and SOLUTION_TAG not in cell.tags:
        return split_code(cell)
    if cell.kind == "code":
        for marker in find_markers(cell):
            raise SourceError(marker.line, f"`{marker.comment}` in a solution cell: learners do not get it anyway")
        return Versions(cell, cell.lines, cell.lines)
    lines = expand(fill(cell.lines, course, "exercises", number), course.questions)
    for line, text in lines:
        refuse_marker_text(line, text)
    return Versions(cell, lines, lines)


def _notebook(cells: list[tuple[Cell, str]]) -> str:
    """Return the notebook file for cells and their contents: always the same bytes, whatever the tools' defaults."""
    notebook = nbformat.from_dict(
        {"cells": [_cell(*pair) for pair in cells], "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5}
    )
    nbformat.validate(notebook)
    style = {"indent": 1, "sort_keys": True, "ensure_ascii": False, "separators": (",", ": ")}
    return nbformat.writes(notebook, version=4, **style).rstrip("\n") + "\n"


def _cell(cell: Cell, content: str) -> dict[str, Any]:
    """Return one cell of the notebook format; of its metadata only the tags stay."""
    tags = [tag for tag in cell.tags if tag not in (SOLUTION_TAG, TEACHES_TAG) and not RUNNING.fullmatch(tag)]
    written = {
        "id": cell.id,
        "cell_type": cell.kind,
        "source": content,
        "metadata": {"tags": tags} if tags else {},
    }
    return {**written, "outputs": [], "execution_count": None} if cell.kind == "code" else written
