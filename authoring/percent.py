"""Reads a py:percent source into cells that know their line numbers, and refuses what the course does not use.

A cell's id is its `name`, or else a hash of its type and content; never its position. So inserting one cell changes one
cell of the notebook. The name lives on in the id only; of the other metadata only the tags reach the notebook.
"""

import hashlib
import re
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

import jupytext
import nbformat

LONGEST_CODE = 25  # non-blank lines
TEACHES_TAG = "teaches"  # on cells that keep their asserts
PREDICT_TAG = "predict"  # on cells in which learners commit themselves before they see
TAGS = (PREDICT_TAG, "deeper", "setup", TEACHES_TAG)

_FORMAT = {"extension": ".py", "format_name": "percent", "comment_magics": False}
_HEADER = re.compile(r"# %%( .*)?$")
_ALMOST_A_HEADER = re.compile(r"\s*#\s*(%%|<codecell>|In\[[0-9 ]*\])")
_NAME = re.compile(r"[a-z0-9-]{1,64}")

RUNNING = re.compile(r"\d+ s")  # a tag: how long a cell runs on two quiet cores


class SourceError(Exception):
    """What is wrong with a source, and on which of its lines."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Cell:
    """One cell of a source. `line` is that of its header, `first_line` that of its first line of content."""

    kind: str
    source: str
    line: int
    first_line: int
    name: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The cell's id in the notebook."""
        return self.name or hashlib.sha256(f"{self.kind}\n{self.source}".encode()).hexdigest()[:16]

    @property
    def lines(self) -> list[tuple[int, str]]:
        """The content, each line with its number in the source file."""
        return list(enumerate(self.source.split("\n"), self.first_line))


def read_cells(text: str, tags: Collection[str]) -> list[Cell]:
    """Return the cells of a py:percent source. Raises SourceError; `tags` are the tags that a cell may carry."""
    cells = [_read_cell(line, lines, tags) for line, lines in _split(text)]
    _refuse_equal_ids(cells)
    for cell in cells:
        if cell.kind == "code":
            refuse_bad_syntax(cell.lines)
    return cells


def _split(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each cell's header line number and its lines: jupytext alone would lose the numbers."""
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if _ALMOST_A_HEADER.match(line) and not _HEADER.match(line):
            raise SourceError(number, f"`{line.strip()}`: write a cell header as `# %%` or `# %% [markdown]`")
        if "\0" in line or len(f"{line}.".splitlines()) > 1:
            raise SourceError(number, "a control character, or a line separator that is not a line end")
    starts = [index for index, line in enumerate(lines) if _HEADER.match(line)]
    _refuse_text(lines[: starts[0]] if starts else lines)
    if not starts:
        raise SourceError(1, "no cells: write a cell header as `# %%` or `# %% [markdown]`")
    for start, end in pairwise([*starts, len(lines)]):
        yield start + 1, lines[start:end]


def _refuse_text(preamble: list[str]) -> None:
    """Allow nothing before the first cell but blank lines and the header that JupyterLab's jupytext writes."""
    fences = [index for index, line in enumerate(preamble) if line.rstrip() == "# ---"]
    after_header = fences[1] + 1 if len(fences) > 1 and not any(preamble[: fences[0]]) else 0
    for index, line in enumerate(preamble):
        if index >= after_header and line.strip():
            raise SourceError(index + 1, "text before the first cell header `# %%`")


def _read_cell(line: int, lines: list[str], tags: Collection[str]) -> Cell:
    """Let jupytext read one cell; keep its content, name and tags."""
    try:
        (read,) = jupytext.reads("\n".join(lines), fmt=_FORMAT).cells
    except (nbformat.ValidationError, TypeError, AttributeError) as error:
        raise SourceError(line, f"cell header: {getattr(error, 'message', 'it cannot be read')}") from None
    if read.cell_type not in ("code", "markdown"):
        raise SourceError(line, f"a {read.cell_type} cell: only code and Markdown cells are used")
    _refuse_metadata(line, read.metadata, tags)
    if read.cell_type == "markdown":
        _refuse_bare_text(line, lines)
    content = read.source.strip("\n")
    first_line = line + 1 + len(read.source) - len(read.source.lstrip("\n"))
    own_tags = tuple(read.metadata.get("tags", ()))
    return Cell(read.cell_type, content, line, first_line, read.metadata.get("name"), own_tags)


def _refuse_metadata(line: int, metadata: dict, tags: Collection[str]) -> None:
    """Refuse every key but `name` and `tags` (`lines_to_next_cell` is jupytext's own note), and unknown tags."""
    for key, value in metadata.items():
        if key == "incorrectly_encoded_metadata":
            raise SourceError(line, f'cannot read `{value}` in the cell header: write name="…" tags=["…"]')
        if key not in ("lines_to_next_cell", "name", "tags"):
            raise SourceError(line, f'unknown cell metadata "{key}": only name and tags are used')
    if "name" in metadata and not _NAME.fullmatch(metadata["name"]):
        raise SourceError(line, f'invalid cell name "{metadata["name"]}": use 1 to 64 of a-z, 0-9 and -')
    for tag in metadata.get("tags", ()):
        if tag not in tags and not RUNNING.fullmatch(tag):
            raise SourceError(line, f'unknown tag "{tag}": expected one of {", ".join(tags)}, or seconds, as in "20 s"')


def _refuse_bare_text(header: int, lines: list[str]) -> None:
    """Refuse a Markdown line that is not a comment: jupytext takes it, but the source is then not Python."""
    for number, line in enumerate(lines[1:], header + 1):
        if line.strip() and not line.startswith("#"):
            raise SourceError(number, "a line of a Markdown cell starts with `# `")


def _refuse_equal_ids(cells: list[Cell]) -> None:
    """Refuse two cells with the same name, or two without a name and with the same content."""
    lines: dict[str, int] = {}
    for cell in cells:
        if cell.id in lines:
            what = f'name "{cell.name}"' if cell.name else "content"
            advice = "another name" if cell.name else "a name"
            message = f"same {what} as the cell on line {lines[cell.id]}: give one of them {advice}"
            raise SourceError(cell.line, message)
        lines[cell.id] = cell.line


def refuse_bad_syntax(lines: list[tuple[int, str]], what: str = "syntax error") -> None:
    """Raise SourceError where code, given as numbered lines, is not Python that compiles without a warning."""
    try:
        with warnings.catch_warnings():
            # An invalid escape such as "\d" would print a warning in the learner's notebook.
            warnings.simplefilter("error")
            compile("\n".join(text for _, text in lines), "cell", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        row = getattr(error, "lineno", None) or 1
        line, text = lines[min(row, len(lines)) - 1]
        if text.lstrip().startswith(("%", "!")):
            raise SourceError(line, f"IPython magic `{text.strip()}`: cells are plain Python") from None
        raise SourceError(line, f"{what}: {getattr(error, 'msg', error)}") from None


def refuse_long_code(cell: Cell, source: str) -> None:
    """Raise SourceError if a code cell, as the learner sees it, has more than 25 non-blank lines."""
    count = sum(bool(line.strip()) for line in source.split("\n"))
    if cell.kind == "code" and count > LONGEST_CODE:
        raise SourceError(cell.line, f"{count} lines of code in one cell: at most {LONGEST_CODE}, split it")
