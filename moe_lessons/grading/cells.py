"""Runs the cells of a notebook inside the worker, and finds the answers in what they leave behind."""

import __future__

import ast
import contextlib
import copy
import dis
import inspect
import io
import linecache
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from moe_lessons.checks.attempt import Status, untouched
from moe_lessons.checks.engine import Result
from moe_lessons.grading import syntax
from moe_lessons.grading.shell import Shell, find_files_here
from moe_lessons.grading.statements import (
    DO_NOTHING,
    FUNCTIONS,
    IMPORTS,
    LEAVE_NOTHING,
    bare,
    brings,
    defines,
    guarded,
    named,
    singly,
)

MOST_ERRORS = 3  # of one cell that are told
RAISING = {"RESUME", "LOAD_GLOBAL", "RAISE_VARARGS", "PUSH_NULL", "PRECALL", "CALL", "NOP"}
CONCURRENT = ("multiprocessing", "concurrent")  # where pools come from
LEFT_SECONDS = 2.0  # of the clock's, for threads and tasks that a cell leaves running
MISSING = object()
PYTHON = f"; read by Python {sys.version_info[0]}.{sys.version_info[1]}"
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


@dataclass
class Waiting:
    """A statement that missed a name. held: what the names that it gives held then."""

    node: ast.stmt
    filename: str
    missing: str
    held: dict[str, Any]


@dataclass
class Checked:
    """What a check was given for the name of an answer, and all names as they were then."""

    name: str
    given: Any
    names: dict[str, Any]


class Kept(dict):
    """What cells showed, `Out`, or held, `In`, by their counts. What is not there yet can be waited for as a name."""

    def __init__(self, names: dict[str, Any], prefix: str) -> None:
        self.names, self.prefix = names, prefix

    def keep(self, count: int, value: Any) -> None:
        """Keep what belongs to a cell, here and under a name: `_7`, `_i7`."""
        self[count] = self.names[f"{self.prefix}{count}"] = value

    def __missing__(self, count: Any) -> Any:
        raise NameError(f"no cell has the number {count} yet", name=f"{self.prefix}{count}")


class Notebook:
    """The state of a running notebook: its names, and what was handed to `check`.

    asked: the name and the points of each question. A stub never takes the place of what such a name holds already.
    """

    def __init__(self, asked: dict[str, tuple[str, int]]) -> None:
        self.asked = asked
        self.answers = frozenset(name for name, _points in asked.values())
        self.checked: dict[str, Checked] = {}  # by question, the last check last
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.names = vars(module)
        self.shell = Shell(self.names)
        self.inputs, self.outputs = Kept(self.names, "_i"), Kept(self.names, "_")
        self.given = {
            "get_ipython": lambda: self.shell,
            "display": lambda *_things, display_id=None, **_how: self.shell if display_id else None,
        }
        self.names |= self.given | {"In": self.inputs, "Out": self.outputs}
        self.flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.last: Any = None
        self.loop: Any = None
        self.waiting: list[Waiting] = []

    def run(
        self,
        source: str,
        number: int,
        definitions_only: bool = False,
        count: int | None = None,
        skipped: int | None = None,
        reached: Callable[[int, int], None] = lambda _statement, _line: None,
    ) -> Ran:
        """Run one cell, statement by statement. After one that raises, the later ones are run all the same.

        For it may raise here alone, where there is no network, no keyboard, no file and no library of the learner's.
        count: under which the cell's value is kept in `Out`. skipped: the statement that is left out; the number
        of all means what comes after them. reached: is told which statement comes next, and its line.
        """
        ran, count = Ran(number), count or number
        try:
            self.inputs.keep(count, source)
            with _quiet():
                nodes, filename = self._read(source, ran)
                nodes = [one for node in nodes if not definitions_only or defines(node) for one in singly(node)]
                value = None
                for i, node in enumerate(nodes):
                    reached(i, node.lineno)
                    if i != skipped:
                        value = self._attempted(node, filename, ran, nodes[i + 1 :])
                reached(len(nodes), 0)
                self._show(value, count)
                self._finish(ran, skipped == len(nodes))
            ran.notes += [f"cell {number}: {said}" for said in [self.shell.told()] if said]
        except BaseException as error:
            ran.errors.append(f"raised {_words(error)}")
        return ran

    def _read(self, source: str, ran: Ran) -> tuple[list[ast.stmt], str]:
        """Return the statements of a cell, and the name under which its lines are found. Note what cannot be read."""
        filename = _remembered(source, ran.number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = syntax.read(source)
        if read.newer:
            self.flags |= __future__.annotations.compiler_flag
        for error in read.errors:
            line = error.lineno or 1
            ran.errors.append(f"raised SyntaxError: {error.msg} (line {line}: {_line(filename, line)}{PYTHON})")
        ran.costly = bool(read.errors)
        return read.nodes, filename

    def _attempted(self, node: ast.stmt, filename: str, ran: Ran, later: list[ast.stmt]) -> Any:
        """Execute a statement. Note the error that it raises, and what that may cost."""
        try:
            return self._execute(guarded(node, self.answers), filename)
        except BaseException as error:  # SystemExit too: in Jupyter it does not end the notebook either
            first, words = not ran.errors, f"raised {_words(error)}"
            ran.errors.append(words)
            self._wait(node, filename, error)
        if first:
            ran.went_on = not all(isinstance(other, LEAVE_NOTHING) for other in later)
            ran.costly = ran.went_on or brings(node) or not self.answers.isdisjoint(named(node))
        if first and ran.costly:
            ran.errors[0] = f"{words} (line {node.lineno}: {_line(filename, node.lineno)})"
        if isinstance(node, FUNCTIONS):
            with contextlib.suppress(BaseException):
                self._execute(bare(node), filename)

    def _execute(self, node: ast.stmt, filename: str) -> Any:
        """Execute a statement as Jupyter does: with all future imports, awaited. Return the value of an expression."""
        if isinstance(node, IMPORTS):
            return self._import(node, filename)
        mode = "eval" if isinstance(node, ast.Expr) else "exec"
        whole = ast.Expression(node.value) if isinstance(node, ast.Expr) else ast.Module([node], [])
        code = compile(whole, filename, mode, self.flags, dont_inherit=True)
        value = eval(code, self.names) if self.loop is None else self._evaluated(code)
        return self._in_loop(value) if code.co_flags & inspect.CO_COROUTINE else value

    def _evaluated(self, code: types.CodeType) -> Any:
        """Evaluate code while the event loop runs, as in Jupyter; and without, where it will not have a loop."""
        try:
            return self._in_loop(_later(code, self.names))
        except RuntimeError as error:
            if "running" not in str(error):
                raise
            return eval(code, self.names)

    def _import(self, node: Any, filename: str) -> None:
        """Execute an import: of pools, those that outlast a cell; of what stands in for IPython's own, nothing."""
        find_files_here()
        imported = getattr(node, "module", None) or node.names[0].name
        if imported.partition(".")[0] in CONCURRENT:
            from moe_lessons.grading import pools  # here: few notebooks use any

            pools.take_over()
        code = compile(ast.Module([node], []), filename, "exec", self.flags, dont_inherit=True)
        self.flags |= sum(flag for flag in FUTURES if code.co_flags & flag)
        eval(code, self.names)
        if imported.partition(".")[0] == "asyncio":
            self._event_loop()
        if imported.partition(".")[0] == "IPython":
            self.names |= {name: self.given[name] for name in self.given if name in self.names}

    def _in_loop(self, awaited: Any) -> Any:
        """Await something in the notebook's own event loop, in which its tasks live on from cell to cell."""
        return self._event_loop().run_until_complete(awaited)

    def _event_loop(self) -> Any:
        """Return the notebook's event loop, and let it be that of new tasks."""
        import asyncio  # here: few notebooks await anything

        self.loop = self.loop or asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        return self.loop

    def _wait(self, node: ast.stmt, filename: str, error: BaseException) -> None:
        """Remember a statement that missed a name, if it may do something: cells may have been run in another order."""
        held = {name: self.names.get(name, MISSING) for name in named(node)}
        if isinstance(error, NameError) and error.name and not isinstance(node, DO_NOTHING):
            self.waiting.append(Waiting(node, filename, error.name, held))

    def _finish(self, ran: Ran, at_once: bool) -> None:
        """Run what waited for the cell, and let end what it leaves running; or, `at_once`, give that up."""
        if at_once:
            self.waiting.clear()
        else:
            self._catch_up(ran)
            self._settle()

    def _catch_up(self, ran: Ran) -> None:
        """Execute what waited for a name that is there now, unless a later cell gave its names to something else."""
        for one in list(self.waiting):
            if one.missing not in self.names or one not in self.waiting:
                continue
            self.waiting.remove(one)
            if any(self.names.get(name, MISSING) is not held for name, held in one.held.items()):
                continue
            self._caught_up(one, ran)

    def _caught_up(self, one: Waiting, ran: Ran) -> None:
        """Execute one statement that waited, and what waited for that."""
        try:
            self._execute(guarded(one.node, self.answers), one.filename)
        except BaseException as error:
            return self._wait(one.node, one.filename, error)
        if isinstance(one.node, ast.Expr):  # a plot, a check: no note is needed
            return self._catch_up(ran)
        where = f"{one.filename.strip('<>')}: line {one.node.lineno} was run after cell {ran.number}"
        ran.notes.append(f"{where}, where `{one.missing}` is defined")
        return self._catch_up(ran)

    def _show(self, value: Any, count: int) -> None:
        """Name a cell's last value `_`, `__`, `Out[...]`, unless the notebook has a use of its own for such a name."""
        if value is None:
            return
        self.outputs.keep(count, value)
        if self.names.get("_", self.last) is self.last:
            self.names["___"], self.names["__"] = self.names.get("__"), self.last
            self.names["_"] = self.last = value

    def _settle(self) -> None:
        """Give what a cell leaves running a little time: in the next cell's process it would be gone."""
        until = time.monotonic() + LEFT_SECONDS
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(max(until - time.monotonic(), 0))
        if self.loop:
            import asyncio

            tasks = asyncio.all_tasks(self.loop)
            self._in_loop(asyncio.wait(tasks, timeout=LEFT_SECONDS) if tasks else asyncio.sleep(0))

    def check(self, question_id: Any, answer: Any = ..., **_settings: Any) -> Result:
        """Stand in for the course's `check`: remember the last answer that was more than a stub, and be content."""
        name, points = self.asked.get(str(question_id), ("", 0))
        if is_stub(answer):
            return Result(str(question_id), Status.NOT_ATTEMPTED)
        if name:
            self.checked.pop(str(question_id), None)
            self.checked[str(question_id)] = Checked(name, _as_given(answer), dict(self.names))
        return Result(str(question_id), Status.CORRECT, points=points)

    def answer(self, name: str) -> Any:
        """Return what a name holds; if that is a stub, what `check` was last given for it."""
        held, last = self.names.get(name, ...), self._last_check(name)
        return last.given if last and is_stub(held) else held

    def answer_when_checked(self, name: str, question_id: str = "") -> Any:
        """Return what `check` was last given for a question, or else for its name, and let all names be as they were.

        A function may need what has changed since. Where it is the `answer`, and nothing has changed, return `...`.
        """
        last = self._last_check(name, question_id)
        if last is None:
            return ...
        names = last.names.items() if callable(last.given) else ()
        changed = {other: held for other, held in names if self._changed(other, held)}
        same = last.given is self.answer(name) and not changed
        self.names.update(changed)
        return ... if same else last.given

    def _last_check(self, name: str, question_id: str = "") -> Checked | None:
        """Return the last check of a question, or of any that asks for the same name; None if there was none."""
        of_name = (check for check in reversed(self.checked.values()) if check.name == name)
        return self.checked.get(question_id) or next(of_name, None)

    def _changed(self, name: str, held: Any) -> bool:
        """Tell whether a name holds something else now; those that begin with a line are Python's and Jupyter's."""
        return not name.startswith("_") and self.names.get(name, MISSING) is not held


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


async def _later(code: types.CodeType, names: dict[str, Any]) -> Any:
    """Evaluate code while an event loop runs."""
    return eval(code, names)


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
    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)


def _words(error: BaseException) -> str:
    """Return an error in one line."""
    try:
        return " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(": ")
    except BaseException:  # an error of the learner's own making that cannot be written
        return "an error that cannot be written"
