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
    *(
        "SVG",
        "perl",
        "ruby",
        "python",
        "python2",
        "python3",
        "pypy",
        "cmd",
        "system",
        "sx",
        "sql",
        "R",
        "skip",
        "false",
        "shell",
    )
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

    blank = re.match(r"(?:[ \t]*\n)*", source)[0]  # type: ignore[index]  # IPython would take it off, and shift the lines
    python = "\n" * blank.count("\n") + TransformerManager().transform_cell(TIMED.sub(r"\1", source[len(blank) :]))
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
    _read_pieces(lines, [*begins, len(lines)], found)
    return found


def _read_pieces(lines: list[str], begins: list[int], found: Read) -> None:
    """Read the pieces that begin in these lines, of which the last is where they end: together, or else apart."""
    try:
        found.nodes += ast.parse("\n" * begins[0] + "".join(lines[begins[0] : begins[-1]])).body
    except SyntaxError as error:
        if len(begins) == 2:
            found.errors.append(error)
            return
        bad = max((i for i, begin in enumerate(begins[:-1]) if begin < (error.lineno or 1)), default=0)
        for part in (begins[: bad + 1], begins[bad : bad + 2], begins[bad + 1 :]):
            if len(part) > 1 and len(found.errors) < MOST_UNREAD:
                _read_pieces(lines, part, found)
