"""How long a lesson takes, computed from what it holds.

In a minute a person reads 200 words of prose or ten lines of code; each prediction and each picture takes one and a
half; a cell tagged `20 s` runs that long. Readers who timed six lessons of the first edition needed 58 (05), 54 (06),
60 (07), 46 (08), 55 (10) and 64 (11) minutes.
"""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

from percent import RUNNING, Cell
from promises import promised, published

WORDS, LINES, ACT, SECONDS = 200, 10, 1.5, 60  # a minute's worth; ACT is the minutes of one prediction or picture
STEP = 5  # said no finer than this


def words(text: str) -> int:
    """Count the words of prose: code, formulas and addresses are one each; a word that is explained is still one."""
    plain = re.sub(r"</?abbr[^>]*>", "", text)
    prose = re.sub(r"\$[^$]*\$|<[^>]*>|https?://\S+|`[^`]*`", " x ", plain)
    return len(re.findall(r"[A-Za-zÀ-ÿ][\w'’-]*", prose))


@dataclass(frozen=True)
class Minutes:
    """Minutes of a lesson: of its core, and of the cells tagged `deeper`."""

    core: float
    deeper: float

    @property
    def rounded(self) -> tuple[int, int]:
        """Both as they are said; a core takes STEP at least."""
        return max(STEP, STEP * round(self.core / STEP)), STEP * round(self.deeper / STEP)

    @property
    def short(self) -> str:
        """For a table: "40", or "40 + 10" with the deeper parts."""
        return " + ".join(str(part) for part in self.rounded if part)

    def __str__(self) -> str:
        core, deeper = self.rounded
        return f"about {core} minutes" + (f", and {deeper} more for the *deeper* parts" if deeper else "")


def minutes(cells: list[Cell]) -> Minutes:
    """Return how long the cells of a lesson take, as learners get them: without the author's promises."""
    promises = {line for lines in promised(cells).values() for line in lines}
    pictures = set(_pictures(cells))
    spent = {False: 0.0, True: 0.0}
    for cell in cells:
        spent["deeper" in cell.tags] += _text(cell, promises) + _acts(cell, pictures)
    return Minutes(core=spent[False], deeper=spent[True])


def _text(cell: Cell, promises: set[int]) -> float:
    """Return the minutes that reading a cell takes."""
    if cell.kind == "markdown":
        return words(cell.source) / WORDS
    return sum(bool(text.strip()) for _, text in published(cell.lines, promises)) / LINES


def _acts(cell: Cell, pictures: set[str]) -> float:
    """Return the minutes of predicting, of moving a picture, and of waiting."""
    calls = (node.func for node in ast.walk(_tree(cell)) if isinstance(node, ast.Call))
    called = {function.id for function in calls if isinstance(function, ast.Name)}
    running = sum(float(tag.removesuffix(" s")) for tag in cell.tags if RUNNING.fullmatch(tag))
    return ACT * (("predict" in cell.tags) + bool(called & pictures)) + running / SECONDS


def _pictures(cells: list[Cell]) -> Iterable[str]:
    """Yield the names of the widgets that a lesson imports; what begins with a small letter is a control of one."""
    for node in (node for cell in cells for node in ast.walk(_tree(cell))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("moe_lessons.widgets"):
            yield from (alias.name for alias in node.names if alias.name[0].isupper())


def _tree(cell: Cell) -> ast.Module:
    return ast.parse(cell.source if cell.kind == "code" else "")
