"""Finds the author's promises in a source: its asserts, which tests run and learners do not get.

With the asserts goes what serves them alone: an assignment or an import whose names only promises read, and a `for`,
`with` or `if` in which nothing else is left. All other lines stay as they are written, less `# fmt: skip`. A cell
tagged "teaches" keeps its asserts.

A notebook must do the same without them. So a promise binds no name, draws no random numbers, prints and changes
nothing: the words in `DRAWING` and `CHANGING` are refused, and so are functions of the source that print. Tests compare
the state of every generator before and after each promise.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator

from percent import TEACHES_TAG, Cell, SourceError

DRAWING = re.compile(
    r"rng|random|generator|default_rng|manual_seed|rand(n|int|perm)?(_like)?|normal|standard_normal|uniform|integers"
    r"|exponential|dirichlet|gumbel|choice|shuffle|permutation|permuted|multinomial|bernoulli|dropout"
)
CHANGING = re.compile(
    r"open|exec|setattr|append|extend|insert|pop|remove|clear|update|setdefault|discard|backward|zero_grad|\w*[a-z0-9]_"
)
PRINTING = {"print", "compare", "display"}

_BLOCKS = (ast.For, ast.With, ast.If)
_LISTS = ("body", "orelse", "finalbody")
_FMT_SKIP = re.compile(r"\s*# fmt: skip$")


class Source:
    """The code cells of a source: every node of their syntax trees, and the statements found to be promises."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self.code = [(cell, ast.parse(cell.source)) for cell in cells if cell.kind == "code"]
        self.nodes: list[tuple[Cell, ast.AST]] = []  # in the order of the source
        self.end: dict[ast.AST, int] = {}  # where in `nodes` what is inside a node ends
        for cell, tree in self.code:
            self._list(cell, tree)
        self.promises: set[ast.AST] = set()
        self.printing, self.silent = set(PRINTING), set(PRINTING)  # functions that print; that return nothing

    def _list(self, cell: Cell, node: ast.AST) -> None:
        self.nodes.append((cell, node))
        for child in ast.iter_child_nodes(node):
            self._list(cell, child)
        self.end[node] = len(self.nodes)

    def walk(self) -> Iterator[tuple[Cell, ast.AST]]:
        """Yield every node with its cell, in the order of the source; of promises nothing that is inside."""
        position = 0
        while position < len(self.nodes):
            cell, node = self.nodes[position]
            yield cell, node
            position = self.end[node] if node in self.promises else position + 1

    def kept(self) -> list[tuple[Cell, ast.AST]]:
        """Return every node outside the promises with its cell, in the order of the source."""
        return [(cell, node) for cell, node in self.walk() if node not in self.promises]


def promised(cells: Iterable[Cell]) -> dict[ast.AST, range]:
    """Return the statements that learners do not get, outermost only, with their lines. Raises SourceError."""
    source = Source(cells)
    _look_at_functions(source)
    source.promises = set(_asserts(source))
    while more := set(_serving(source)):
        source.promises |= more
    _refuse_what_cannot_go(source)
    _refuse_left_behind(source)
    return {node: lines_of(cell, node) for cell, node in source.walk() if node in source.promises}


def published(lines: Iterable[tuple[int, str]], left_out: Collection[int]) -> list[tuple[int, str]]:
    """Return numbered lines less those left out and `# fmt: skip`; of two blank gaps that meet the larger stays."""
    kept: list[tuple[int, str]] = []
    above = blank = 0  # blank lines above the promise just passed, and since
    for line, text in lines:
        if line in left_out:
            above, blank = max(above, blank), 0
        elif not text.strip():
            blank += 1
        else:
            kept += [(line, "")] * (max(above, blank) if kept else 0)
            kept.append((line, _FMT_SKIP.sub("", text)))
            above = blank = 0
    return kept


def lines_of(cell: Cell, node: ast.AST) -> range:
    """Return the numbers of a statement's lines in the source."""
    return range(cell.first_line + node.lineno - 1, cell.first_line + node.end_lineno)


def _look_at_functions(source: Source) -> None:
    """Note which functions of the source print, and which return nothing."""
    for _, node in source.kept():
        if isinstance(node, ast.FunctionDef):
            parts = list(ast.walk(node))
            if any(_called(part) in source.printing for part in parts):
                source.printing.add(node.name)
            if not any(isinstance(part, ast.Return | ast.Yield) and part.value for part in parts):
                source.silent.add(node.name)


def _asserts(source: Source) -> Iterator[ast.AST]:
    """Yield the asserts of cells that do not teach by them; refuse those with side effects."""
    for cell, node in source.nodes:
        if isinstance(node, ast.Assert) and TEACHES_TAG not in cell.tags:
            if effect := _side_effect(source, node):
                raise SourceError(lines_of(cell, node)[0], f"{effect} in an assert, which learners do not get")
            yield node


def _side_effect(source: Source, node: ast.AST) -> str | None:
    """Name what a part of a promise would do to the rest of the notebook."""
    for part in ast.walk(node):
        if isinstance(part, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom):
            return f"`{ast.unparse(part)}`"
        if DRAWING.fullmatch(name := _name(part)):
            return f"`{name}`, which draws random numbers,"
        if (called := _called(part)) in source.printing or CHANGING.fullmatch(called):
            return f"`{called}(…)`"
    return None


def _name(node: ast.AST) -> str:
    """Return the name that a node reads or looks up, or ""."""
    return str(getattr(node, "id", getattr(node, "attr", "")))


def _called(node: ast.AST) -> str:
    """Return the name of the function or method that a node calls, or ""."""
    return _name(node.func) if isinstance(node, ast.Call) else ""


def _serving(source: Source) -> Iterator[ast.AST]:
    """Yield statements that serve only promises and go with them."""
    kept = source.kept()
    free = {_name(part) for node in source.promises for part in ast.walk(node) if _is_read(part)}
    free -= {_name(node) for _, node in kept if _is_read(node)}
    free -= {_name(node.target) for _, node in kept if isinstance(node, ast.AugAssign)}  # `x += 1` reads x
    for cell, node in kept:
        if TEACHES_TAG not in cell.tags and (_is_helper(source, node, free) or _is_empty_block(source, node)):
            yield node


def _is_read(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)


def _is_helper(source: Source, node: ast.AST, free: set[str]) -> bool:
    """Tell whether a statement only gives values to names in `free`, without a side effect."""
    match node:
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {alias.asname or alias.name for alias in names} <= free
        case ast.Assign(targets=[ast.Name() | ast.Tuple() as target], value=value):
            parts = target.elts if isinstance(target, ast.Tuple) else [target]
            bound = {part.id if isinstance(part, ast.Name) else "" for part in parts}
            return bound <= free and not _side_effect(source, value)
    return False


def _is_empty_block(source: Source, node: ast.AST) -> bool:
    """Tell whether a block holds only promises, and what heads it has no side effect."""
    if not isinstance(node, _BLOCKS) or getattr(node, "orelse", []) or not source.promises.issuperset(node.body):
        return False
    return not any(_side_effect(source, part) for part in ast.iter_child_nodes(node) if part not in source.promises)


def _refuse_what_cannot_go(source: Source) -> None:
    """Raise SourceError where leaving out the promises would break a cell or show something new."""
    for cell, node in source.walk():
        if node in source.promises:
            _refuse_shared_line(cell, node)
            continue
        for part in map(node.__dict__.get, _LISTS):
            if isinstance(part, list) and part and type(node) is not ast.Module and source.promises.issuperset(part):
                raise SourceError(lines_of(cell, part[0])[0], "asserts alone in a block that cannot go with them")
    for cell, tree in source.code:
        _refuse_new_last_line(source, cell, tree.body)


def _refuse_shared_line(cell: Cell, node: ast.AST) -> None:
    """Refuse a promise that shares a line with other code."""
    rows = cell.source.encode().split(b"\n")
    before = rows[node.lineno - 1][: node.col_offset].strip()
    after = rows[node.end_lineno - 1][node.end_col_offset :].strip()
    if before or (after and not after.startswith(b"#")):
        raise SourceError(lines_of(cell, node)[0], "an assert shares its line with other code")


def _refuse_new_last_line(source: Source, cell: Cell, body: list[ast.stmt]) -> None:
    """Refuse a value before the asserts that end a cell: without them the notebook would show it."""
    kept = [node for node in body if node not in source.promises]
    if not kept or kept[-1] is body[-1] or not isinstance(kept[-1], ast.Expr):
        return
    if _called(kept[-1].value) not in source.silent:
        raise SourceError(lines_of(cell, kept[-1])[0], "learners would see this value: put the asserts before it")


def _refuse_left_behind(source: Source) -> None:
    """Refuse a line that would stay although only asserts look at what it makes."""
    kept = source.kept()
    unread = _looked_at(source.nodes) - _looked_at(kept)
    for cell, node in kept:
        for name in {alias.asname or alias.name for alias in getattr(node, "names", [])} | {_stored(node)}:
            if name in unread:
                line = lines_of(cell, node)[0]
                raise SourceError(line, f"only asserts read `{name}`, but this line would stay: see promises.py")


def _looked_at(nodes: Iterable[tuple[Cell, ast.AST]]) -> set[str]:
    """Return the names that are read, without those that are only filled: `x[i] = …`, `x.append(…)`."""
    names, filled = set(), set()
    for _, node in nodes:
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            filled.add(node.value)
        if isinstance(node, ast.Expr) and _called(node.value) == "append":
            filled.add(node.value.func.value)
        if _is_read(node) and node not in filled:
            names.add(_name(node))
    return names


def _stored(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else ""
