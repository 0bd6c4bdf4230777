"""Splits a cell of an exercise source into what learners get and the worked solution.

    # BEGIN SOLUTION          inside a function; learners get `raise NotImplementedError`
    # END SOLUTION
    answer = 2 * x  # SOLUTION          learners get `answer = ...`

Markers are comments, spelt exactly so: a misspelt one would publish the solution, so whatever resembles one is refused.
"""

import ast
import difflib
import io
import re
import tokenize
from dataclasses import dataclass, field
from typing import NamedTuple

from percent import Cell, SourceError, refuse_bad_syntax

PEN = "# ✎"  # begins the cells that learners fill in
BEGIN, END, ANSWER = "# BEGIN SOLUTION", "# END SOLUTION", "# SOLUTION"
MARKER_TEXT = re.compile(r"(BEGIN|END) SOLUTION|# SOLUTION")

_ALMOST = [f"{verb}solution" for verb in ("", "begin", "end", "start", "stop")]


class Marker(NamedTuple):
    """A marker comment and where it is; `line` counts in the source file."""

    line: int
    column: int
    comment: str
    alone: bool


@dataclass
class Versions:
    """A cell as learners get it (`stub`) and with the solution: texts with their lines in the source."""

    cell: Cell
    stub: list[tuple[int, str]] = field(default_factory=list)
    solution: list[tuple[int, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    marked: list[int] = field(default_factory=list)

    @property
    def solution_source(self) -> str:
        """The cell's content in solutions/."""
        return "\n".join(text for _, text in self.solution)


def split_code(cell: Cell) -> Versions:
    """Return both versions of a code cell. Raises SourceError for markers that are misspelt or misplaced."""
    markers = find_markers(cell)
    tree = ast.parse(cell.source)
    blocks = dict(_blocks(cell, tree, markers))
    answers = {m.line: (m.column, _answer_name(cell, tree, m)) for m in markers if m.comment == ANSWER}
    versions = Versions(cell, marked=[m.line for m in markers])
    if markers:
        versions.stub.append((cell.first_line, f"{PEN} Your answer"))
    _distribute(versions, blocks, answers)
    refuse_bad_syntax(versions.stub, "syntax error in what learners get")
    return versions


def _distribute(versions: Versions, blocks: dict[int, int], answers: dict[int, tuple[int, str]]) -> None:
    """Give each line of the cell to the version, or both, that it belongs to."""
    end = 0
    for line, text in versions.cell.lines:
        if line in blocks:
            end = blocks[line]
            versions.stub.append((line, f"{_indent(text)}raise NotImplementedError"))
        elif line < end:
            versions.solution.append((line, text))
            versions.removed.append(text.strip())
        elif line in answers:
            _split_answer(versions, line, text, *answers[line])
        elif line != end:
            versions.stub.append((line, text))
            versions.solution.append((line, text))


def find_markers(cell: Cell) -> list[Marker]:
    """Return the markers of a code cell in order; refuse misspelt ones and marker text in strings."""
    markers = []
    for token in tokenize.generate_tokens(io.StringIO(cell.source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, text = cell.lines[token.start[0] - 1]
        column, comment = token.start[1], token.string.rstrip()
        if comment in (BEGIN, END, ANSWER):
            markers.append(Marker(line, column, comment, not text[:column].strip()))
        elif _resembles_a_marker(comment):
            raise SourceError(line, f"`{comment}` resembles a marker: write `{BEGIN}`, `{END}` or `{ANSWER}`")
    columns = {marker.line: marker.column for marker in markers}
    for line, text in cell.lines:
        refuse_marker_text(line, text[: columns.get(line)])
    return markers


def refuse_marker_text(line: int, text: str) -> None:
    """Raise SourceError if text that reaches a notebook holds a marker."""
    if found := MARKER_TEXT.search(text):
        raise SourceError(line, f"`{found[0]}` is not a comment in code here and would reach the notebook")


def _resembles_a_marker(comment: str) -> bool:
    """Tell whether a comment is a marker with a typing mistake, in another case, or with words added."""
    if "SOLUTION" in comment or re.match(r"#+\s*solutions?\s*:", comment, re.IGNORECASE):
        return True
    letters = re.sub(r"[^a-z]", "", comment.lower())
    return letters != "resolution" and bool(difflib.get_close_matches(letters, _ALMOST, n=1, cutoff=0.85))


def _blocks(cell: Cell, tree: ast.Module, markers: list[Marker]) -> list[tuple[int, int]]:
    """Return the lines of each BEGIN and its END."""
    blocks: list[tuple[int, int]] = []
    opened: Marker | None = None
    for marker in markers:
        if opened and marker.comment != END:
            raise SourceError(marker.line, f"`{marker.comment}` inside the solution begun on line {opened.line}")
        if marker.comment == ANSWER:
            continue
        _refuse_misplaced(marker)
        if not opened:
            opened = _begin(cell, tree, marker)
        else:
            blocks.append((opened.line, _end(cell, opened, marker)))
            opened = None
    if opened:
        raise SourceError(opened.line, f"`{BEGIN}` without `{END}` in this cell")
    return blocks


def _refuse_misplaced(marker: Marker) -> None:
    """Refuse a BEGIN or END behind code or outside an indented block."""
    if not marker.alone:
        raise SourceError(marker.line, f"`{marker.comment}` stands alone on its line")
    if marker.column == 0:
        raise SourceError(marker.line, f"`{marker.comment}` at column 0: solution blocks belong inside functions")


def _begin(cell: Cell, tree: ast.Module, marker: Marker) -> Marker:
    """Return the marker if it begins a solution inside a function: only there may the stub raise."""
    if marker.comment == END:
        raise SourceError(marker.line, f"`{END}` without `{BEGIN}`")
    row = marker.line - cell.first_line + 1
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if not any(node.lineno < row < (node.end_lineno or 0) for node in functions):
        raise SourceError(marker.line, f"`{BEGIN}` outside a function")
    return marker


def _end(cell: Cell, begin: Marker, end: Marker) -> int:
    """Return the line of an END that closes `begin` at the same indentation, with code between them."""
    if end.column != begin.column:
        raise SourceError(end.line, f"`{END}` is not indented like its `{BEGIN}` on line {begin.line}")
    between = [text.strip() for line, text in cell.lines if begin.line < line < end.line]
    if not any(text and not text.startswith("#") for text in between):
        raise SourceError(begin.line, "no code in this solution")
    return end.line


def _answer_name(cell: Cell, tree: ast.Module, marker: Marker) -> str:
    """Return the name that a `# SOLUTION` line assigns; refuse any other statement there."""
    row = marker.line - cell.first_line + 1
    match [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno == row]:
        case [ast.Assign(targets=[ast.Name(id=name)], end_lineno=last)] if last == row:
            return name
    raise SourceError(marker.line, f"`{ANSWER}` belongs behind a one-line assignment `name = …`")


def _split_answer(versions: Versions, line: int, text: str, column: int, name: str) -> None:
    """Add a `# SOLUTION` line: `name = ...` for learners, the assignment without its marker for the solution."""
    assignment = text[:column].rstrip()
    versions.stub.append((line, f"{_indent(text)}{name} = ..."))
    versions.solution.append((line, assignment))
    versions.removed.append(assignment.strip())


def _indent(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]
