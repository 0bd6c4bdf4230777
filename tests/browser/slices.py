"""What of a lesson its moving pictures need: the statements that lead to them, and no others."""

import ast
import symtable
from collections.abc import Iterator
from pathlib import Path

import nbformat


def statements(lesson: Path) -> list[ast.stmt]:
    """Return the statements of a notebook's code cells."""
    cells = [cell.source for cell in nbformat.read(lesson, 4).cells if cell.cell_type == "code"]
    return [statement for source in cells for statement in ast.parse(source).body]


def is_live(statement: ast.stmt) -> bool:
    """Tell whether a statement shows a picture with controls."""
    return isinstance(statement, ast.Expr) and ast.unparse(statement).startswith("Live(")


def replaced(body: list[ast.stmt], stand_ins: list[str]) -> list[ast.stmt]:
    """Return the statements with each stand-in where its names first get a value, and without what changes these."""
    body = list(body)
    for source in stand_ins:
        (stand_in,) = ast.parse(source).body
        names = whole(stand_in)
        first, *others = [n for n, other in enumerate(body) if names & (whole(other) | changed(other))]
        body[first] = stand_in
        body = [statement for number, statement in enumerate(body) if number not in others]
    return body


def leading_to(body: list[ast.stmt], last: int) -> set[int]:
    """Return which statements the one at `last` needs, itself included: by the names that it reads, one behind another.

    A name is followed back to where it gets its whole value; what changes a part of it on the way counts too.
    """
    kept, wanted = {last}, read(body[last])
    for number in reversed(range(last)):
        if wanted & (whole(body[number]) | changed(body[number])):
            kept.add(number)
            wanted = (wanted - whole(body[number])) | read(body[number])
    return kept


def read(statement: ast.stmt) -> set[str]:
    """Return the names that a statement reads from what was there before it."""
    module = symtable.symtable(ast.unparse(statement), "<statement>", "exec")
    names = {name for table in _tables(module) for name in _read_globally(table)}
    return names - (whole(statement) if isinstance(statement, ast.For) else set())


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _read_globally(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
            yield symbol.get_name()


def whole(statement: ast.stmt) -> set[str]:
    """Return the names that a statement gives a whole new value, whatever they held."""
    match statement:
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {(alias.asname or alias.name).split(".")[0] for alias in names}
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {name for target in targets for name in _stored(target)}
        case ast.For(target=target):
            return set(_stored(target))
    return set()


def changed(statement: ast.stmt) -> set[str]:
    """Return the names of which a statement, a loop say, may change a part: an entry, an attribute, by `|=`."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return set()
    parts = [n for n in ast.walk(statement) if isinstance(n, ast.Subscript | ast.Attribute) and _is_store(n)]
    owners = {node.id for part in parts for node in ast.walk(part.value) if isinstance(node, ast.Name)}
    return owners | set(_stored(statement))


def _stored(node: ast.AST) -> Iterator[str]:
    return (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _is_store(n))


def _is_store(node: ast.AST) -> bool:
    return isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)
