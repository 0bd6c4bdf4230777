"""Runs the cells of a notebook inside the worker, and finds the answers in what they leave behind."""

import ast
import contextlib
import dis
import io
import linecache
import re
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

from moe_lessons.checks.attempt import untouched

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
RAISING = {"RESUME", "LOAD_GLOBAL", "RAISE_VARARGS", "PUSH_NULL", "PRECALL", "CALL", "NOP"}
MAGIC = re.compile(r"^\s*[%!]|=\s*[%!]|\?\s*$", re.MULTILINE)
TRANSPARENT = ("%%time", "%%timeit", "%%capture", "%%prun")  # cell magics whose cell is code all the same


class Notebook:
    """The state of a running notebook: its names, and what was handed to `check`.

    answers: the names that questions ask for. A stub never takes the place of what such a name holds already.
    """

    def __init__(self, answers: list[str]) -> None:
        self.answers = frozenset(answers)
        self.checked: dict[str, Any] = {}
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.names = vars(module)
        self.names["get_ipython"] = Shell
        self.names["display"] = lambda *_things, **_how: None

    def run(self, source: str, number: int, definitions_only: bool) -> list[str]:
        """Run one cell. Return notes: what was passed over, and the error it ended with."""
        notes: list[str] = []
        try:
            with _quiet():
                tree = _parsed(source, number, notes)
                body = [_guarded(node, self.answers) for node in tree.body if not definitions_only or _defines(node)]
                filename = _remembered(source, number)
                exec(compile(ast.Module(body, []), filename, "exec"), self.names)
        except BaseException as error:  # SystemExit too: in Jupyter it does not end the notebook either
            notes.append(f"cell {number} raised {_words(error)}")
        return notes

    def check(self, question_id: Any, answer: Any = ..., **_settings: Any) -> None:
        """Stand in for the course's `check`: remember the last answer that was more than a stub."""
        if not is_stub(answer):
            self.checked[str(question_id)] = answer

    def answer(self, question_id: str, name: str) -> Any:
        """Return what a name holds; if that is a stub, what `check` was last given for the question."""
        held = self.names.get(name, ...)
        return self.checked.get(question_id, held) if is_stub(held) else held


class Shell:
    """Stands in for IPython: magics and shell lines do nothing."""

    def __init__(self) -> None:
        pass

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments, **_settings: None


def is_stub(value: Any) -> bool:
    """Tell what an untouched exercise holds: `...`, or a function with no more in it than NotImplementedError."""
    if not isinstance(value, types.FunctionType):
        return untouched(value)
    steps = {step.opname for step in dis.get_instructions(value)}
    return value.__code__.co_names == ("NotImplementedError",) and steps <= RAISING


def _parsed(source: str, number: int, notes: list[str]) -> ast.Module:
    """Parse a cell; only one that is no Python is searched for magics and shell lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except SyntaxError:
            if not MAGIC.search(source):
                raise
            tree = ast.parse(_without_magics(source))
    notes.append(f"cell {number}: magics and shell lines were passed over")
    return tree


def _without_magics(source: str) -> str:
    """Return a cell with IPython's own syntax turned into calls of `get_ipython()`, which do nothing here."""
    first, _, rest = source.lstrip().partition("\n")
    if first.startswith(TRANSPARENT):
        return "\n" + rest
    from IPython.core.inputtransformer2 import TransformerManager  # here: it takes half a second to load

    return TransformerManager().transform_cell(re.sub(r"^(\s*)%time (?=\S)", r"\1", source, flags=re.MULTILINE))


def _guarded(node: ast.stmt, answers: frozenset[str]) -> ast.stmt:
    """Let an untouched stub of an answer define its name only where nothing holds it yet."""
    name = _stub_name(node)
    if name not in answers:
        return node
    missing = ast.parse(f"{name!r} not in globals()", mode="eval").body
    return ast.fix_missing_locations(ast.copy_location(ast.If(missing, [node], []), node))


def _stub_name(node: ast.stmt) -> str | None:
    """Return the name that a statement gives to a stub, or None when it is no stub."""
    if isinstance(node, ast.FunctionDef):
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        return node.name if all(map(_does_nothing, body)) else None
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


def _defines(node: ast.stmt) -> bool:
    """Tell a statement that only defines something, or names a literal value, from one that computes."""
    if isinstance(node, ast.Assign):
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            ast.literal_eval(node.value)
            return True
    return isinstance(node, DEFINITIONS)


def _remembered(source: str, number: int) -> str:
    """Return the file name of a cell, under which a traceback finds its lines."""
    filename = f"<cell {number}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    return filename


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let what a cell prints, warns of or plots vanish."""
    with contextlib.redirect_stdout(_Nowhere()), contextlib.redirect_stderr(_Nowhere()):
        yield


class _Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


def _words(error: BaseException) -> str:
    """Return an error in one line."""
    try:
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    except BaseException:  # an error of the learner's own making that cannot be written
        return "an error that cannot be written"
