"""Reads the worked solution of every question from authoring/exercises/, as code that can be run and changed."""

import ast
import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "authoring"))

from ipynb import SOLUTION_TAG, TAGS  # noqa: E402
from markers import split_code  # noqa: E402
from percent import read_cells  # noqa: E402


@dataclass(frozen=True)
class Worked:
    """One question's solution: `code` makes the variable `name`; `before` is what the code needs to run."""

    question: str
    name: str
    before: str
    code: str

    @cached_property
    def space(self) -> dict[str, Any]:
        """The names that `code` finds in the notebook."""
        return run(self.before, {})

    def answer(self, code: str) -> Any:
        """Return what `code`, the solution's own or a changed one, hands to `check`."""
        return run(code, dict(self.space))[self.name]


def run(code: str, space: dict[str, Any]) -> dict[str, Any]:
    """Run code in `space` without its output, and return the space."""
    space["__name__"] = "__main__"
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "<worked solution>", "exec"), space)
    return space


def worked_solutions(path: Path) -> Iterator[Worked]:
    """Yield the solution of each question that an exercise source checks."""
    cells = [
        _solution(cell) for cell in read_cells(path.read_text("utf-8"), (*TAGS, SOLUTION_TAG)) if cell.kind == "code"
    ]
    placed = [(number, node) for number, text in enumerate(cells) for node in ast.parse(text).body]
    for position, (_, node) in enumerate(placed):
        match node:
            case ast.Expr(ast.Call(ast.Name("check"), [ast.Constant(question), ast.Name(name)])):
                yield _worked(question, name, placed[:position])


def _solution(cell: Any) -> str:
    return cell.source if SOLUTION_TAG in cell.tags else split_code(cell).solution_source


def _worked(question: str, name: str, placed: list[tuple[int, ast.stmt]]) -> Worked:
    """Keep the statements that the answer needs, and part those of its own cell from the others."""
    needed, kept = {name}, []
    for cell, node in reversed(placed):
        if bound := bound_names(node) & needed:
            needed = (needed - bound) | loaded_names(node)
            kept.insert(0, (cell, node))
    own = kept[-1][0]
    before, code = ([node for cell, node in kept if (cell == own) is mine] for mine in (False, True))
    return Worked(question, name, *(ast.unparse(ast.Module(nodes, [])) for nodes in (before, code)))


def bound_names(node: ast.stmt) -> set[str]:
    """Return the names that a top-level statement gives a value to."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {alias.asname or alias.name.split(".")[0] for alias in names}
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.With():
            return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return set()


def loaded_names(node: ast.stmt) -> set[str]:
    """Return the names that a statement reads; those of a function's own variables are not among them."""
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    loaded = {n.id for n in names if isinstance(n.ctx, ast.Load)}
    if not isinstance(node, ast.FunctionDef):
        return loaded
    arguments = {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    return loaded - arguments - {n.id for n in names if isinstance(n.ctx, ast.Store)}
