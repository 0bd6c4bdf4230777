"""Makes mutants: copies of a worked solution with one small mistake, such as a learner or a typing slip would make.

Each operator takes a node of the syntax tree and yields nodes to put in its place.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

Node = ast.AST

ARITHMETIC: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mod, ast.Div), ast.Mod: (ast.FloorDiv,), ast.Pow: (ast.Mult,), ast.MatMult: (ast.Mult,),
}  # fmt: skip
COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.Is: (ast.IsNot,),
}  # fmt: skip
ORDERED = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)  # a op b differs from b op a
RENAMED = {
    "max": "min", "min": "max", "argmax": "argmin", "argmin": "argmax", "mean": "sum", "sum": "mean", "std": "var",
    "var": "std", "any": "all", "all": "any", "exp": "expm1", "log": "log2", "log2": "log", "zeros": "ones",
    "zeros_like": "ones_like", "ones": "zeros", "argsort": "sort", "ravel": "squeeze", "isneginf": "isfinite",
    "isfinite": "isneginf", "softmax": "log_softmax", "logaddexp": "maximum", "square": "abs",
    "standard_normal": "random", "normal": "uniform", "uniform": "normal", "repeat": "tile", "outer": "multiply",
    "permutation": "sort", "cumsum": "cumprod",
}  # fmt: skip
HARMLESS = {"strict"}  # keywords that only guard against a mistake
BLOCKS = ("body", "orelse", "finalbody")


@dataclass(frozen=True)
class Mutant:
    """A changed solution. `name` is the changed line as it now reads, which tells the mutants of a question apart."""

    operator: str
    code: str
    was: str
    name: str


def mutants(code: str) -> Iterator[Mutant]:
    """Yield every mutant of a piece of code that reads differently, each once."""
    tree = ast.parse(code)
    original = ast.unparse(tree)
    seen = {original}
    for operator, changed in _changed_codes(tree):
        if changed not in seen:
            seen.add(changed)
            yield Mutant(operator, changed, *_changed_lines(original, changed))


def _changed_codes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Put each alternative into its place, write the code, and put the original back."""
    places = list(_places(tree))
    words = [node.value for _, node in places if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    inputs = [argument.arg for node in tree.body if isinstance(node, ast.FunctionDef) for argument in node.args.args]
    operators = (*OPERATORS, partial(text, words=list(dict.fromkeys(words))), partial(name, inputs=inputs))
    for put, node in places:
        for operator in operators:
            for other in operator(node):
                put(other)
                yield getattr(operator, "func", operator).__name__, ast.unparse(tree)
                put(node)


def _places(parent: Node) -> Iterator[tuple[Callable[[Node], None], Node]]:
    """Yield every node below `parent` with a function that replaces it; docstrings, keys and signs are left out."""
    for field, value in ast.iter_fields(parent):
        if field in ("args", "decorator_list") and isinstance(parent, ast.FunctionDef):
            continue
        if field == "keys" or (field == "operand" and _number(parent) is not None):
            continue
        nodes = value if isinstance(value, list) else [value]
        for index, node in enumerate(nodes):
            if isinstance(node, ast.AST) and not _is_docstring(node):
                yield _putter(parent, field, index if isinstance(value, list) else None), node
                yield from _places(node)


def _putter(parent: Node, field: str, index: int | None) -> Callable[[Node], None]:
    def put(node: Node) -> None:
        if index is None:
            setattr(parent, field, node)
        else:
            getattr(parent, field)[index] = node

    return put


def _is_docstring(node: Node) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changed_lines(original: str, changed: str) -> tuple[str, str]:
    """Return the lines that differ, as they were and as they are now."""
    old, new = original.split("\n"), changed.split("\n")
    start = next(i for i in range(len(old)) if i >= len(new) or old[i] != new[i])
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    was, now = ("; ".join(line.strip() for line in lines[start : len(lines) - end]) for lines in (old, new))
    return was, now if now not in ("", "pass") else f"without {was}"


def _with(node: Any, **fields: Any) -> Any:
    """Return a copy of a node with other fields."""
    other = copy.copy(node)
    for field, value in fields.items():
        setattr(other, field, value)
    return other


def _number(node: Node) -> int | float | None:
    """Return the number that a node writes, with its sign, or None."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    return None


def _swapped(items: list) -> Iterator[list]:
    """Yield the list with each pair of neighbours exchanged."""
    for i in range(len(items) - 1):
        yield [*items[:i], items[i + 1], items[i], *items[i + 2 :]]


# --- the operators ------------------------------------------------------------------------------------------------


def arithmetic(node: Node) -> Iterator[Node]:
    """Take another of + - * / // % ** @."""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        for op in ARITHMETIC.get(type(node.op), ()):
            yield _with(node, op=op())


def left_out(node: Node) -> Iterator[Node]:
    """Leave out one side of an operation: a normalisation, a factor, a term."""
    match node:
        case ast.BinOp(op=ast.Div() | ast.FloorDiv() | ast.Sub() | ast.Pow()):
            yield node.left
        case ast.BinOp():
            yield node.left
            yield node.right
        case ast.AugAssign():
            yield ast.Assign([node.target], node.value, lineno=0)


def order(node: Node) -> Iterator[Node]:
    """Exchange operands, arguments, or the parts of a tuple or an index."""
    match node:
        case ast.BinOp(op=op) if isinstance(op, ORDERED):
            yield _with(node, left=node.right, right=node.left)
        case ast.Call():
            yield from (_with(node, args=args) for args in _swapped(node.args))
        case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()):
            yield from (_with(node, elts=elts) for elts in _swapped(node.elts))
        case ast.IfExp():
            yield _with(node, body=node.orelse, orelse=node.body)


def comparison(node: Node) -> Iterator[Node]:
    """Take another of < <= > >= == !=, and the other of `and` and `or`."""
    match node:
        case ast.Compare(ops=[op]):
            yield from (_with(node, ops=[other()]) for other in COMPARISONS.get(type(op), ()))
        case ast.BoolOp(op=op):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())


def constant(node: Node) -> Iterator[Node]:
    """Take a number near by, 0, 1 or the other sign."""
    number = _number(node)
    if number is None:
        return
    near = (
        [number - 1, number + 1]
        if isinstance(number, int)
        else [float(f"{scale * number:.6g}") for scale in (0.9, 1.1)]
    )
    for other in dict.fromkeys([*near, -number, 0, 1]):
        if other != number:
            yield ast.Constant(other)


def text(node: Node, words: list[str]) -> Iterator[Node]:
    """Take another string of the same solution; of einsum's axes, another order or one fewer."""
    match node:
        case ast.Constant(value=str(spelt)) if "->" in spelt:
            head, _, tail = spelt.partition("->")
            yield from (ast.Constant(f"{head}->{other}") for other in (tail[::-1], tail[1:], tail[:-1]))
        case ast.Constant(value=str(spelt)):
            yield from (ast.Constant(word) for word in words if word != spelt)


def name(node: Node, inputs: list[str]) -> Iterator[Node]:
    """Take another argument of the function."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in inputs:
        yield from (ast.Name(other, ast.Load()) for other in inputs if other != node.id)


def axis(node: Node) -> Iterator[Node]:
    """Take the other axis."""
    match node:
        case ast.keyword(arg="axis" | "dim", value=value):
            yield _with(node, value=ast.Constant(0 if _number(value) else -1))


def keyword(node: Node) -> Iterator[Node]:
    """Leave out a keyword argument: `keepdims`, `axis`, `kind`, …"""
    if isinstance(node, ast.Call):
        for dropped in node.keywords:
            if dropped.arg not in HARMLESS:
                yield _with(node, keywords=[k for k in node.keywords if k is not dropped])


def sign(node: Node) -> Iterator[Node]:
    """Leave out -, ~ or `not`."""
    if isinstance(node, ast.UnaryOp) and _number(node) is None:
        yield node.operand


def condition(node: Node) -> Iterator[Node]:
    """Turn a condition round."""
    if isinstance(node, ast.If | ast.While):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))


def mask(node: Node) -> Iterator[Node]:
    """Mask with 0 for infinity, and turn a boolean index round."""
    match node:
        case ast.Attribute(attr="inf"):
            yield ast.Constant(0)
        case ast.Call(func=ast.Attribute(attr="where"), args=[first, *others]) if others:
            yield _with(node, args=[ast.UnaryOp(ast.Invert(), first), *others])
        case ast.Subscript(slice=ast.Name()):
            yield _with(node, slice=ast.UnaryOp(ast.Invert(), node.slice))


def bound(node: Node) -> Iterator[Node]:
    """Begin or end one place too early or too late: slices, indices, `range`."""
    match node:
        case ast.Slice():
            for side in ("lower", "upper"):
                end = getattr(node, side)
                if end is not None and _number(end) is None:
                    yield from (_with(node, **{side: other}) for other in _one_off(end))
        case ast.Subscript(slice=ast.Name() as index):
            yield from (_with(node, slice=other) for other in _one_off(index))
        case ast.Call(func=ast.Name(id="range")):
            for i, end in enumerate(node.args):
                yield from (_with(node, args=[*node.args[:i], other, *node.args[i + 1 :]]) for other in _one_off(end))


def _one_off(node: Any) -> Iterator[Node]:
    for op in (ast.Add, ast.Sub):
        yield ast.BinOp(node, op(), ast.Constant(1))


def function(node: Node) -> Iterator[Node]:
    """Call a neighbour of the function: the minimum for the maximum, the sum for the mean."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name) as called) if name in RENAMED:
            yield _with(node, func=_with(called, attr=RENAMED[name]))
        case ast.Call(func=ast.Name(id=name) as called) if name in RENAMED:
            yield _with(node, func=_with(called, id=RENAMED[name]))


def not_called(node: Node) -> Iterator[Node]:
    """Take what a function is given for what it returns: no softmax, no `detach`, no copy."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and not _is_module(node.func.value):
            yield node.func.value
        elif node.args and not isinstance(node.args[0], ast.Starred | ast.GeneratorExp):
            yield node.args[0]


def _is_module(node: Node) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in ("np", "torch", "functional", "F", "math")


def statement(node: Node) -> Iterator[Node]:
    """Leave out a statement, unless the next lines could not even run without it."""
    if isinstance(node, ast.FunctionDef):
        yield from _without_one(node, {argument.arg for argument in node.args.args})


def _without_one(node: Any, known: set[str]) -> Iterator[Node]:
    """Yield a function or a block of it without one of its statements; `known` are the names bound so far."""
    for block in BLOCKS:
        lines = getattr(node, block, [])
        for i, line in enumerate(lines):
            names = {n.id for n in ast.walk(line) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            if not isinstance(line, ast.Return | ast.FunctionDef) and not _is_docstring(line) and names <= known:
                yield _with(node, **{block: [*lines[:i], *(lines[i + 1 :] or [ast.Pass()] * (len(lines) == 1))]})
            if not isinstance(line, ast.FunctionDef):
                for other in _without_one(line, known | names):
                    yield _with(node, **{block: [*lines[:i], other, *lines[i + 1 :]]})
            known = known | names


def in_place(node: Node) -> Iterator[Node]:
    """Change an array in place instead of making a new one."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name) as target], value=ast.BinOp(ast.Name(id=left), op, right)):
            if name == left:
                yield ast.AugAssign(target, op, right)


OPERATORS: tuple[Callable[[Node], Iterator[Node]], ...] = (
    arithmetic, left_out, order, comparison, constant, axis, keyword, sign, condition, mask, bound, function,
    not_called, statement, in_place,
)  # fmt: skip
