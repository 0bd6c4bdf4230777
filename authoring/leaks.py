"""Finds solutions that would reach learners: solution lines that stay, and answers that no marker hides.

What `check` is given must be a stub: a definition with a marker inside, or a form whose every value is `...` and which
a solution cell defines again.
"""

import ast
from collections.abc import Collection, Iterable, Iterator

from markers import Versions
from percent import Cell, SourceError

SHORTEST_TELLING = 12  # characters

_COMPUTES = (ast.BinOp, ast.Call, ast.Compare, ast.IfExp, ast.Subscript)
_COMMON_CALLS = {"asarray", "check", "copy", "default_rng", "empty", "len", "ones", "print", "zeros", "zeros_like"}
_COMMON_STATEMENTS = (ast.Import, ast.ImportFrom, ast.Raise)


def refuse_kept_lines(versions: Iterable[Versions], solution_cells: Iterable[Cell]) -> None:
    """Raise SourceError where a telling line of a solution is also in a cell that learners get."""
    versions = list(versions)
    removed = [line for version in versions for line in version.removed]
    removed += [text.strip() for cell in solution_cells if cell.kind == "code" for _, text in cell.lines]
    telling = [line for line in dict.fromkeys(removed) if is_telling(line)]
    for version in versions:
        for line, text in version.stub:
            for solution in telling:
                if solution in text:
                    raise SourceError(line, f"the solution's line `{solution}` stays in exercises/")


def is_telling(line: str) -> bool:
    """Tell whether a line of a solution gives it away: not `return result`, `for t in range(T):`, `y = np.zeros(T)`."""
    if len(line) < SHORTEST_TELLING or line.startswith("#"):
        return False
    try:
        (statement,) = ast.parse(line).body
    except (SyntaxError, ValueError):
        # A block's first line, several statements, or part of a statement that spans several lines.
        return not line.endswith((":", "(", "[", "{"))
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    if is_text or isinstance(statement, _COMMON_STATEMENTS):
        return False
    return _gives_away(statement)


def _gives_away(node: ast.AST) -> bool:
    """Tell whether a part of a statement computes something, or is a value other than 0, True, None or empty."""
    if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in _COMMON_CALLS:
        return False
    if isinstance(node, ast.Constant):
        return bool(node.value) and node.value is not True
    return isinstance(node, _COMPUTES) or any(map(_gives_away, ast.iter_child_nodes(node)))


def refuse_given_answers(
    versions: Iterable[Versions], solution_cells: Iterable[Cell], question_ids: Collection[str]
) -> None:
    """Raise SourceError for a `check("1.2", name)` whose question is unknown or whose `name` is not a stub."""
    versions = list(versions)
    stubs, given = _defined_names(versions)
    solved = {name for cell in solution_cells if cell.kind == "code" for name in _names(ast.parse(cell.source))}
    forms = {name for _, statement, _ in _statements(versions) if _is_form(statement) for name in _names(statement)}
    for line, question, name in _checks(versions):
        if question not in question_ids:
            raise SourceError(line, f"unknown question {question}")
        if name in given:
            raise SourceError(line, f"`{name}` is given away: line {given[name]} defines it without a marker")
        if name in forms - solved:
            raise SourceError(line, f"`{name}` is a form to fill in, but no solution cell defines it")
        if name not in stubs:
            where = "only in a solution cell" if name in solved else "nowhere in this source"
            raise SourceError(line, f"`{name}` is defined {where}: learners need a stub")


def _defined_names(versions: list[Versions]) -> tuple[set[str], dict[str, int]]:
    """Return the names that stubs define, and those that learners are given, with their lines."""
    stubs: set[str] = set()
    given: dict[str, int] = {}
    for version, statement, line in _statements(versions):
        length = (statement.end_lineno or statement.lineno) - statement.lineno
        is_marked = any(line <= marked <= line + length for marked in version.marked)
        # In a cell with markers, `answers = [a, b]` made of marked answers is as unknown as they are.
        if is_marked or _is_form(statement) or (version.marked and stubs & _read_names(statement)):
            stubs |= _names(statement)
        else:
            given |= dict.fromkeys(_names(statement), line)
    return stubs, given


def _is_form(node: ast.AST | None) -> bool:
    """Tell whether a statement assigns nothing but `...`, as in `answers = {"p": ..., "load": [..., ...]}`."""
    match node:
        case ast.Assign(value=value):
            return _is_form(value)
        case ast.List(elts=[_, *_] as parts) | ast.Tuple(elts=[_, *_] as parts) | ast.Dict(values=[_, *_] as parts):
            return all(map(_is_form, parts))
    return isinstance(node, ast.Constant) and node.value is ...


def _checks(versions: list[Versions]) -> Iterator[tuple[int, str, str]]:
    """Yield line, question and name of every `check("1.2", name)`."""
    for _, statement, line in _statements(versions):
        for node in ast.walk(statement):
            match node:
                case ast.Call(
                    func=ast.Name(id="check") | ast.Attribute(attr="check"),
                    args=[ast.Constant(value=question), ast.Name(id=name)],
                ):
                    yield line + node.lineno - statement.lineno, str(question), name


def _statements(versions: list[Versions]) -> Iterator[tuple[Versions, ast.stmt, int]]:
    """Yield every top-level statement of the code cells with its line in the source."""
    for version in versions:
        if version.cell.kind == "code":
            for statement in ast.parse(version.cell.source).body:
                yield version, statement, version.cell.first_line + statement.lineno - 1


def _names(node: ast.AST) -> set[str]:
    """Return the names that a top-level statement (or a whole cell) defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.alias):
        return {(node.asname or node.name).split(".")[0]}
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Store) else set()
    return set().union(*map(_names, ast.iter_child_nodes(node)))


def _read_names(node: ast.AST) -> set[str]:
    """Return the names that a statement reads."""
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Load)}
