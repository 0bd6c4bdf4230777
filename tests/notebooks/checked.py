"""What tests execute: notebooks with the promises of their sources, which learners do not get."""

import re
import sys
from functools import cache
from pathlib import Path

import nbformat

from moe_lessons.checks import questions

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
sys.path.insert(0, str(ROOT / "authoring"))

from course import Course  # noqa: E402
from folds import unfolded as unfolded  # noqa: E402
from ipynb import SOLUTION_TAG, Numbered, exercise_cells, lesson_cells  # noqa: E402
from minutes import words as words  # noqa: E402
from percent import TAGS, read_cells  # noqa: E402
from promises import promised  # noqa: E402
from quizzes import LIVE, PAPER  # noqa: E402
from words import ID as WORDS  # noqa: E402, F401

QUIZ = (LIVE, PAPER)  # ids of the cells of a quiz


@cache
def course() -> Course:
    """Return the course as its sources have it: read once, for to read all lessons takes seconds."""
    return Course(ROOT, questions)


def checked(path: Path) -> nbformat.NotebookNode:
    """Return the notebook at `path` as its source has it, with the promises."""
    folder = "lessons" if path.parent.name == "notebooks" else "exercises"
    source = ROOT / "authoring" / folder / f"{path.stem}.py"
    text = source.read_text(encoding="utf-8")
    number = path.stem.partition("_")[0]
    if folder == "lessons":
        return as_notebook(source, lesson_cells(text, course(), number, checked=True))
    return as_notebook(source, exercise_cells(text, course(), number, checked=True)[path.parent.name == "solutions"])


def as_notebook(source: Path, cells: list[Numbered]) -> nbformat.NotebookNode:
    """Return a notebook that knows its source, the line of each row of its cells, and where promises begin."""
    every = read_cells(source.read_text(encoding="utf-8"), (*TAGS, SOLUTION_TAG))
    promises = {lines[0] for lines in promised(every).values()}
    notebook = nbformat.v4.new_notebook(metadata={"source": str(source)})
    for cell, lines in cells:
        new = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}[cell.kind]
        numbers = [number for number, _ in lines]
        rows = {"lines": numbers, "promises": [number for number in numbers if number in promises]}
        notebook.cells.append(new("\n".join(text for _, text in lines), id=cell.id, metadata=rows))
    return notebook


def startup(notebook: nbformat.NotebookNode) -> str:
    """Return what a kernel runs before the first cell of a checked notebook; of another notebook nothing."""
    if "source" not in notebook.metadata:
        return ""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and "lines" in cell.metadata]
    rows = {cell.source: (cell.metadata["lines"], cell.metadata["promises"]) for cell in code}
    return (
        f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport in_kernel\nsys.path.pop(0)\n"
        f"in_kernel.read_as_source(get_ipython(), {notebook.metadata['source']!r}, {rows!r})\ndel in_kernel, sys\n"
    )


def place(notebook: nbformat.NotebookNode, error: nbformat.NotebookNode) -> str | None:
    """Return the line of the source, with its text, that an error of a checked notebook names."""
    source = Path(notebook.metadata.get("source", " "))
    lines = re.findall(rf"{re.escape(source.name)}:(\d+)", re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error.traceback)))
    if not lines:
        return None
    text = source.read_text(encoding="utf-8").split("\n")[int(lines[-1]) - 1].strip()
    return f"{'/'.join(source.parts[-3:])}:{lines[-1]}, `{text}`"
