"""Runs in the kernel of a checked notebook: its cells compile as lines of their source, and its promises are watched.

A promise that draws random numbers or prints is an error here: learners do not get it, and would see other numbers.
What a promised loop leaves behind, its variable, is gone after it, as it is for learners.
"""

import ast
import builtins
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

import numpy as np

Rows = tuple[Sequence[int], Sequence[int]]  # the source line of each row of a cell; the first lines of its promises


def read_as_source(shell: Any, path: str, cells: Mapping[str, Rows]) -> None:
    """Let `shell` compile each of `cells` (by its text) as the lines of the file `path` that it comes from."""
    usual, rows = shell.compile.cache, ([], [])

    def cache(transformed: str, number: int = 0, raw_code: str | None = None) -> str:
        nonlocal rows
        rows = cells.get((raw_code or "").strip("\n"), ([], []))
        return path if rows[0] else usual(transformed, number, raw_code)

    class Placed(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            for place in ("lineno", "end_lineno"):
                if rows[0] and hasattr(node, place):
                    setattr(node, place, rows[0][getattr(node, place) - 1])
            self.generic_visit(node)
            if isinstance(node, ast.Module):
                return shown_last(node)
            return watch(node) if isinstance(node, ast.stmt) and node.lineno in rows[1] else node

    builtins._promise = lambda *names: promise(shell.user_ns, names)
    shell.compile.cache = cache
    shell.ast_transformers.append(Placed())


def watch(node: ast.stmt) -> ast.With:
    """Return `with _promise(…): node`; the names are those that a loop or a `with` binds."""
    targets = [node.target] if isinstance(node, ast.For) else []
    targets += [item.optional_vars for item in node.items if item.optional_vars] if isinstance(node, ast.With) else []
    names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
    call = ast.parse(f"_promise({', '.join(map(repr, names))})", mode="eval").body
    return ast.fix_missing_locations(ast.copy_location(ast.With([ast.withitem(call)], [node]), node))


def shown_last(cell: ast.Module) -> ast.Module:
    """Let a cell show what it shows without its promises: its last expression, if only promises come after it."""
    body = cell.body
    last = next((i for i in reversed(range(len(body))) if not _is_watched(body[i])), len(body) - 1)
    if last < len(body) - 1 and isinstance(shown := body[last], ast.Expr):
        later = ast.parse("_shown = _shown\n_shown").body
        later[0].value = shown.value
        body[last], added = (ast.copy_location(node, shown) for node in later)
        body.append(added)
    return ast.fix_missing_locations(cell)


def _is_watched(node: ast.stmt) -> bool:
    return isinstance(node, ast.With) and ast.unparse(node.items[0]).startswith("_promise(")


@contextmanager
def promise(space: dict[str, Any], names: Sequence[str]) -> Iterator[None]:
    """Run a promise; raise RuntimeError if it prints or draws random numbers. Give `names` their old values again."""
    states, bound = generator_states(space), {name: space[name] for name in names if name in space}
    with redirect_stdout(StringIO()) as said:
        yield
    for name in names:
        space.pop(name, None)
    space |= bound
    if said.getvalue():
        raise RuntimeError(f"this promise prints: {said.getvalue()}")
    now = generator_states(space)
    if any(now.get(name) != state for name, state in states.items()):
        raise RuntimeError("this promise draws random numbers")


def generator_states(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of every generator: the global ones and those with a name in the notebook."""
    _, keys, *rest = np.random.get_state(legacy=True)
    states: dict[str, Any] = {"random": random.getstate(), "numpy": (keys.tobytes(), rest)}
    for name, value in [*space.items()]:
        if isinstance(value, np.random.Generator):
            states[name] = str(value.bit_generator.state)
    if torch := sys.modules.get("torch"):
        generators = {name: value for name, value in space.items() if isinstance(value, torch.Generator)}
        for name, value in {"torch": torch.default_generator, **generators}.items():
            states[name] = value.get_state().numpy().tobytes()
    return states
