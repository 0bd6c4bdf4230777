"""Runs the cells of a notebook inside the worker, and finds the answers in what they leave behind."""

import __future__

import ast
import contextlib
import copy
import dis
import inspect
import io
import linecache
import re
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from moe_lessons.checks.attempt import Status, untouched
from moe_lessons.checks.engine import Result

FUNCTIONS, IMPORTS = (ast.FunctionDef, ast.AsyncFunctionDef), (ast.Import, ast.ImportFrom)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef, *IMPORTS)
LEAVE_NOTHING = (ast.Expr, ast.Assert, ast.Raise, ast.Delete, ast.Pass)
MOST_ERRORS = 3  # of one cell that are told
RAISING = {"RESUME", "LOAD_GLOBAL", "RAISE_VARARGS", "PUSH_NULL", "PRECALL", "CALL", "NOP"}
TIMED = re.compile(r"^(\s*)%time (?=\S)", re.MULTILINE)
TRANSPARENT = ("%%time", "%%timeit", "%%capture", "%%prun")  # cell magics whose cell is code all the same
FUTURES = [getattr(__future__, name).compiler_flag for name in __future__.all_feature_names]


@dataclass
class Ran:
    """What became of a cell. notes: what was passed over, in words. errors: in words, as they came: "raised ...".

    costly: the first error may have cost something, an import, an answer, or what followed it.
    went_on: statements that leave something behind followed it. Jupyter stops at an error; here they were run.
    """

    number: int
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    costly: bool = False
    went_on: bool = False

    def told(self) -> dict[str, Any]:
        """Return notes, and apart from them the error that may be the cause of lost marks, as plain data."""
        cause, others = ("", self.errors) if not self.costly else (self.errors[0], self.errors[1:])
        said = [*self.notes, *(f"cell {self.number} {error}" for error in others[:MOST_ERRORS])]
        more = len(others) - MOST_ERRORS
        said += [f"cell {self.number}: {more} more of its statements raised"] if more > 0 else []
        return {"notes": said, "cause": cause, "went_on": self.went_on}


class Notebook:
    """The state of a running notebook: its names, and what was handed to `check`.

    asked: the name and the points of each question. A stub never takes the place of what such a name holds already.
    """

    def __init__(self, asked: dict[str, tuple[str, int]]) -> None:
        self.asked = asked
        self.answers = frozenset(name for name, _points in asked.values())
        self.checked: dict[str, Any] = {}  # by name: several questions may ask for the same
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.names = vars(module)
        self.names["get_ipython"] = Shell
        self.names["display"] = lambda *_things, display_id=None, **_how: Shell() if display_id else None
        self.flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.last: Any = None

    def run(self, source: str, number: int, definitions_only: bool) -> Ran:
        """Run one cell, statement by statement. After one that raises, the later ones are run all the same.

        For it may raise here alone, where there is no network, no keyboard, no file and no library of the learner's.
        """
        ran = Ran(number)
        try:
            with _quiet():
                tree = _parsed(source, ran)
                filename = _remembered(source, number)
                nodes = [one for node in tree.body if not definitions_only or _defines(node) for one in _singly(node)]
                value = None
                for i, node in enumerate(nodes):
                    value = self._attempted(node, filename, ran, nodes[i + 1 :])
                self._show(value)
        except BaseException as error:
            ran.errors.append(f"raised {_words(error)}")
        return ran

    def _attempted(self, node: ast.stmt, filename: str, ran: Ran, later: list[ast.stmt]) -> Any:
        """Execute a statement. Note the error that it raises, and what that may cost."""
        try:
            return self._execute(_guarded(node, self.answers), filename)
        except BaseException as error:  # SystemExit too: in Jupyter it does not end the notebook either
            first, words = not ran.errors, f"raised {_words(error)}"
            ran.errors.append(words)
        if first:
            ran.went_on = not all(isinstance(other, LEAVE_NOTHING) for other in later)
            ran.costly = ran.went_on or isinstance(node, IMPORTS) or not self.answers.isdisjoint(_named(node))
        if first and ran.costly:
            ran.errors[0] = f"{words} (line {node.lineno}: {_line(filename, node.lineno)})"
        if isinstance(node, FUNCTIONS):
            with contextlib.suppress(BaseException):
                self._execute(_bare(node), filename)

    def _execute(self, node: ast.stmt, filename: str) -> Any:
        """Execute a statement as Jupyter does: with all future imports, awaited. Return the value of an expression."""
        mode = "eval" if isinstance(node, ast.Expr) else "exec"
        whole = ast.Expression(node.value) if isinstance(node, ast.Expr) else ast.Module([node], [])
        code = compile(whole, filename, mode, self.flags, dont_inherit=True)
        self.flags |= sum(flag for flag in FUTURES if code.co_flags & flag)
        value = eval(code, self.names)
        if not code.co_flags & inspect.CO_COROUTINE:
            return value
        import asyncio  # here: few notebooks await anything

        return asyncio.run(value)

    def _show(self, value: Any) -> None:
        """Name a cell's last value `_`, unless the notebook has a use of its own for that name."""
        if value is not None and self.names.get("_", self.last) is self.last:
            self.names["_"] = self.last = value

    def check(self, question_id: Any, answer: Any = ..., **_settings: Any) -> Result:
        """Stand in for the course's `check`: remember the last answer that was more than a stub, and be content."""
        name, points = self.asked.get(str(question_id), ("", 0))
        if is_stub(answer):
            return Result(str(question_id), Status.NOT_ATTEMPTED)
        if name:
            self.checked[name] = _as_given(answer)
        return Result(str(question_id), Status.CORRECT, points=points)

    def answer(self, name: str) -> Any:
        """Return what a name holds; if that is a stub, what `check` was last given for it."""
        held = self.names.get(name, ...)
        return self.checked.get(name, held) if is_stub(held) else held

    def other_answer(self, name: str) -> Any:
        """Return what `check` was last given for a name, where that is not the `answer`; else `...`."""
        given = self.checked.get(name, ...)
        return ... if given is self.answer(name) else given


class Shell:
    """Stands in for IPython and its displays: magics, shell lines and updates do nothing."""

    def __init__(self) -> None:
        pass

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments, **_settings: None


def is_stub(value: Any) -> bool:
    """Tell what an untouched exercise holds: `...`, a function with no more in it than NotImplementedError.

    Or a class with no functions but such.
    """
    if inspect.isclass(value):
        methods = [method for method in vars(value).values() if isinstance(method, types.FunctionType)]
        return bool(methods) and all(map(is_stub, methods))
    if not isinstance(value, types.FunctionType):
        return untouched(value)
    steps = {step.opname for step in dis.get_instructions(value)}
    return value.__code__.co_names == ("NotImplementedError",) and steps <= RAISING


def _as_given(answer: Any) -> Any:
    """Return a copy of values, which a later cell may change in place; a function, or what has no copy, as it is."""
    if not callable(answer):
        with contextlib.suppress(Exception):
            return copy.deepcopy(answer)
    return answer


def _parsed(source: str, ran: Ran) -> ast.Module:
    """Parse a cell, and note what is passed over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree, passed_over = _python(source)
    if passed_over:
        ran.notes.append(f"cell {ran.number}: magics and shell lines were passed over")
    return tree


def _python(source: str) -> tuple[ast.Module, bool]:
    """Return a cell's syntax tree, and whether magics or shell lines in it became calls that do nothing here.

    Only a cell that is no Python is read as IPython reads it: prompts and common indentation go, too.
    """
    try:
        return ast.parse(source), False
    except SyntaxError as error:
        if "too many nested" in str(error):  # IPython would read it for long, to the same end
            raise
    first, _, rest = source.lstrip().partition("\n")
    if first.startswith(TRANSPARENT):
        tree, _ = _python(rest)
        return ast.increment_lineno(tree, source.count("\n") - rest.count("\n")), True
    from IPython.core.inputtransformer2 import TransformerManager  # here: it takes half a second to load

    untimed, timed = TIMED.subn(r"\1", source)
    python = TransformerManager().transform_cell(untimed)
    return ast.parse(python), bool(timed) or python.count("get_ipython()") > source.count("get_ipython()")


def _singly(node: ast.stmt) -> list[ast.stmt]:
    """Return an import of several names as one of each: where one is missing, the others still come."""
    if not isinstance(node, IMPORTS):
        return [node]
    singles = [copy.copy(node) for _name in node.names]
    for single, name in zip(singles, node.names, strict=True):
        single.names = [name]
    return list(singles)


def _bare(node: ast.stmt) -> ast.stmt:
    """Return a function's definition without decorators and annotations, which may need what could not be imported."""
    bare: Any = copy.deepcopy(node)
    bare.decorator_list, bare.returns = [], None
    for part in ast.walk(bare.args):
        if isinstance(part, ast.arg):
            part.annotation = None
    return bare


def _named(node: ast.stmt) -> set[str]:
    """Return the names that a statement gives to something, at any depth."""
    parts = list(ast.walk(node))
    stored = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return stored | {part.name for part in parts if isinstance(part, (*FUNCTIONS, ast.ClassDef))}


def _guarded(node: ast.stmt, answers: frozenset[str]) -> ast.stmt:
    """Let an untouched stub of an answer define its name only where nothing holds it yet."""
    name = _stub_name(node)
    if name not in answers:
        return node
    missing = ast.parse(f"{name!r} not in globals()", mode="eval").body
    return ast.fix_missing_locations(ast.copy_location(ast.If(missing, [node], []), node))


def _stub_name(node: ast.stmt) -> str | None:
    """Return the name that a statement gives to a stub, or None when it is no stub."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
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


def _line(filename: str, number: int) -> str:
    return linecache.getline(filename, number).strip()[:80]


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
        return " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(": ")
    except BaseException:  # an error of the learner's own making that cannot be written
        return "an error that cannot be written"
