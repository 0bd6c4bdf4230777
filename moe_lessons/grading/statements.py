"""What a statement of a cell is: what it gives names to, whether it only defines, whether it is a stub."""

import ast
import copy
from typing import Any

FUNCTIONS, IMPORTS = (ast.FunctionDef, ast.AsyncFunctionDef), (ast.Import, ast.ImportFrom)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef, *IMPORTS)
DO_NOTHING = (ast.Assert, ast.Raise, ast.Delete, ast.Pass)
LEAVE_NOTHING = (ast.Expr, *DO_NOTHING)
PLAIN = (ast.Constant, ast.Name, ast.Attribute, ast.Subscript)
CHEAP = {"partial", "array", "asarray", "tensor", "as_tensor", "vectorize", "jit", "njit", "compile", "float", "int"}
RUNS_A_FILE = "get_ipython().run_line_magic('run'"


def brings(node: ast.stmt) -> bool:
    """Tell whether a statement brings names from elsewhere: an import, or `%run`."""
    return isinstance(node, IMPORTS) or ast.unparse(node).startswith(RUNS_A_FILE)


def singly(node: ast.stmt) -> list[ast.stmt]:
    """Return an import of several names as one of each: where one is missing, the others still come."""
    if not isinstance(node, IMPORTS):
        return [node]
    singles = [copy.copy(node) for _name in node.names]
    for single, name in zip(singles, node.names, strict=True):
        single.names = [name]
    return list(singles)


def bare(node: ast.stmt) -> ast.stmt:
    """Return a function's definition without decorators and annotations, which may need what could not be imported."""
    plain: Any = copy.deepcopy(node)
    plain.decorator_list, plain.returns = [], None
    for part in ast.walk(plain.args):
        if isinstance(part, ast.arg):
            part.annotation = None
    return plain


def named(node: ast.stmt) -> set[str]:
    """Return the names that a statement gives to something, at any depth."""
    parts = list(ast.walk(node))
    stored = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return stored | {part.name for part in parts if isinstance(part, (*FUNCTIONS, ast.ClassDef))}


def guarded(node: ast.stmt, answers: frozenset[str]) -> ast.stmt:
    """Let an untouched stub of an answer define its name only where nothing holds it yet, and `del` spare answers."""
    if isinstance(node, ast.Delete):
        kept = [target for target in node.targets if not (isinstance(target, ast.Name) and target.id in answers)]
        return ast.copy_location(ast.Delete(kept) if kept else ast.Pass(), node)
    name = _stub_name(node)
    if name not in answers:
        return node
    missing = ast.parse(f"{name!r} not in globals()", mode="eval").body
    return ast.fix_missing_locations(ast.copy_location(ast.If(missing, [node], []), node))


def _stub_name(node: ast.stmt) -> str | None:
    """Return the name that a statement gives to a stub, or None when it is no stub."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.decorator_list:
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        methods = isinstance(node, ast.ClassDef)
        empty = (_does_nothing(part) or (methods and _stub_name(part)) for part in body)
        return node.name if all(empty) else None
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _only_dots(node.value):
        return node.targets[0].id
    return None


def _does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise) and node.exc is not None:
        return ast.unparse(node.exc) in ("NotImplementedError", "NotImplementedError()")
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and _only_dots(node.value))


def _only_dots(node: ast.expr) -> bool:
    """Tell whether an expression is `...`, or a dict, list or tuple of nothing else."""
    if isinstance(node, (ast.Dict, ast.List, ast.Tuple)):
        entries = node.values if isinstance(node, ast.Dict) else node.elts
        return bool(entries) and all(map(_only_dots, entries))
    return isinstance(node, ast.Constant) and node.value is ...


def defines(node: ast.stmt) -> bool:
    """Tell a statement that only defines something, or names what is cheap to have, from one that computes."""
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return node.value is None or _is_cheap(node.value)
    return isinstance(node, DEFINITIONS)


def _is_cheap(value: ast.expr) -> bool:
    """Tell whether an expression is a function, or made of literals and names, with no more than `CHEAP` calls."""
    if isinstance(value, ast.Lambda):
        return True
    if isinstance(value, ast.Call):
        called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        parts = [*value.args, *(keyword.value for keyword in value.keywords)]
        return called in CHEAP and all(map(_is_cheap, parts))
    if isinstance(value, (*PLAIN, ast.Dict, ast.List, ast.Tuple, ast.Set, ast.UnaryOp, ast.BinOp)):
        return all(_is_cheap(part) for part in ast.iter_child_nodes(value) if isinstance(part, ast.expr))
    return False
