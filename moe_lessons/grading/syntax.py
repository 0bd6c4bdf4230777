"""Reads the text of a cell as Jupyter does, magics and all, and of one that is no Python what can be read of it."""

import ast
import re
from dataclasses import dataclass, field

from moe_lessons.grading.older import older

CODE = {"time", "timeit", "capture", "prun", "memit"}  # cell magics whose cell is code all the same
NO_CODE = {
    "writefile",
    "file",
    "bash",
    "sh",
    "script",
    "html",
    "HTML",
    "javascript",
    "js",
    "latex",
    "markdown",
    "svg",
} | {
    *("SVG", "perl", "ruby", "python", "python2", "python3", "pypy", "cmd", "system", "sx", "sql", "R", "skip", "false")
}
CELL_MAGIC = re.compile(r"(\s*)%%(\w+)([^\n]*)")
TIMED = re.compile(r"^([ \t]*(?:[^=\n'\"#%]+=[ \t]*)?)%time[ \t]+(?=\S)", re.MULTILINE)
PROMPT = re.compile(r"\s*In \[\d+\]:")
BEGINS = re.compile(r"(?!(?:else|elif|except|finally|case)\b)[^\s#)\]}]")  # a line that may begin a statement
MOST_UNREAD = 20  # pieces of a cell


@dataclass
class Read:
    """A cell as it was read. errors: of the pieces that could not be. newer: its syntax is newer than Python's here."""

    nodes: list[ast.stmt]
    errors: list[SyntaxError] = field(default_factory=list)
    newer: bool = False


def read(source: str) -> Read:
    """Return the statements of a cell. Raises SyntaxError for one that is nested too deeply, ValueError for null bytes.

    Only a cell that is no Python is read as IPython reads it: prompts and common indentation go, magics become calls.
    """
    try:
        if not PROMPT.match(source):
            return Read(ast.parse(source).body)
    except SyntaxError as error:
        if "too many nested" in str(error):  # IPython would read it for long, to the same end
            raise
    return _under_magic(source) or _as_ipython(source)


def _under_magic(source: str) -> Read | None:
    """Return the code below a cell magic, or None where there is none, or what is below is no code."""
    found = CELL_MAGIC.match(source)
    if not found or found[2] in NO_CODE:
        return None
    name = next((word for word in found[3].split() if word.isidentifier()), "") if found[2] == "capture" else ""
    below = read(found[1] + (f"{name} = get_ipython()" if name else "") + source[found.end() :])
    return None if below.errors and found[2] not in CODE else below


def _as_ipython(source: str) -> Read:
    """Read a cell as IPython does; where that fails, in newer syntax; where that fails too, piece by piece."""
    from IPython.core.inputtransformer2 import TransformerManager  # here: it takes half a second to load

    python = TransformerManager().transform_cell(TIMED.sub(r"\1", source))
    try:
        return Read(ast.parse(python).body)
    except SyntaxError:
        newer = older(python)
    try:
        return Read(ast.parse(newer).body, newer=True)
    except SyntaxError:
        return _in_pieces(newer)


def _in_pieces(source: str) -> Read:
    """Read all statements that can be read, each with its line, and leave out what lies between."""
    lines, found = source.splitlines(keepends=True), Read([], newer=True)
    begins = [i for i, line in enumerate(lines) if BEGINS.match(line) and not (i and lines[i - 1][0] == "@")]
    begins.append(len(lines))
    at = 0
    while at < len(begins) - 1 and len(found.errors) < MOST_UNREAD:
        whole = _parsed(lines, begins[at], len(lines))
        if not isinstance(whole, SyntaxError):
            found.nodes += whole
            return found
        nodes, bad = _before(lines, begins, at, whole.lineno or 1)
        found.nodes += nodes
        found.errors.append(_error_in(lines, begins[bad], begins[bad + 1], whole))
        at = bad + 1
    return found


def _before(lines: list[str], begins: list[int], at: int, wrong: int) -> tuple[list[ast.stmt], int]:
    """Return the statements from `at` that stand before an error in line `wrong`, and which piece it is in."""
    last = max((i for i in range(at, len(begins) - 1) if begins[i] < wrong), default=at)
    for bad in range(last, at, -1):
        nodes = _parsed(lines, begins[at], begins[bad])
        if not isinstance(nodes, SyntaxError):
            return nodes, bad
    return [], at


def _parsed(lines: list[str], begin: int, end: int) -> list[ast.stmt] | SyntaxError:
    """Return the statements in some lines, or the error."""
    try:
        return ast.parse("\n" * begin + "".join(lines[begin:end])).body
    except SyntaxError as error:
        return error


def _error_in(lines: list[str], begin: int, end: int, otherwise: SyntaxError) -> SyntaxError:
    """Return the error of one piece by itself; of one that is whole by itself, what it was with the others."""
    alone = _parsed(lines, begin, end)
    return alone if isinstance(alone, SyntaxError) else otherwise
