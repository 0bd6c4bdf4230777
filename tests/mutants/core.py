"""`make mutants ARGS=core`: tries the mutants of core.txt, small mistakes in the course's own code, against its tests.

Each file's tests must first pass on the code as it is (the control). Then every mutant is written into a copy of the
tree and the tests run there, in a process forked when torch and pytest were loaded and nothing of the course was.
A mutant is killed by a test that fails twice in a row.
Exits with 1 if a mutant survives that is not listed with a reason, if a listed one is killed after all, or if fewer
than 95 % are killed; with 2 if there is nothing to go by: a control fails, or a mutant has no place any more.

    python tests/mutants/run.py core                        the whole list
    python tests/mutants/run.py core routing grading/       the files with these words in their paths
    python tests/mutants/run.py core --root ../older        another tree; what has no place there is only counted
"""

import argparse
import ast
import contextlib
import importlib
import os
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LEAST = 0.95  # share of the mutants that must be killed
# What tests load beside the course, once for all mutants.
LOADED = ("pytest", "hypothesis.strategies", "numpy", "scipy.stats", "torch", "tokenizers", "IPython.display")
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
NOT_COPIED = (".git", ".venv", ".executed", ".*_cache", ".hypothesis", "__pycache__", "build", "screenshots")
MOST_MEMORY = 16 * 2**30  # bytes of address space
KILLED, BROKEN, ENDED, SURVIVED, FAULT, ABSENT = (
    "killed", "killed: nothing can be loaded", "killed: it does not end, or ends all", "survived", "fault", "no place",
)  # fmt: skip
Stages = dict[str, list[str]]  # by file: what pytest is given, one call after the other until one fails
KILLS = (KILLED, BROKEN, ENDED)


@dataclass(frozen=True)
class Mutant:
    """One line of one function that is changed. `reason` says why no test can tell, where none can."""

    file: str
    function: str = ""
    old: str = ""
    new: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant, by which test, and what it cost: seconds of the clock and of the processors."""

    mutant: Mutant
    fate: str
    by: str = ""
    clock: float = 0.0
    cpu: float = 0.0


# --- the list -----------------------------------------------------------------------------------------------------


def listed(text: str) -> tuple[Stages, list[Mutant]]:
    """Read the list: for each file its tests, in stages, and all mutants. Raises ValueError for a line of no kind."""
    stages: Stages = {}
    found: list[Mutant] = []
    file = function = ""
    for number, line in enumerate(text.splitlines(), start=1):
        kind, _, rest = line.partition(" ")
        if kind == "==":
            stages[file := rest] = []
        elif kind == "$":
            stages[file].append(rest)
        elif kind == "@":
            function = rest
        elif kind == "-":
            found.append(Mutant(file, function, rest))
        elif kind in ("+", "="):
            found[-1] = replace(found[-1], **{"new" if kind == "+" else "reason": rest})
        elif kind not in ("", "#"):
            raise ValueError(f"line {number} of the list is of no kind: {line}")
    return stages, found


def changed(source: str, mutant: Mutant) -> str:
    """Return the source with the mutant in its place. Raises ValueError unless there is exactly one."""
    spans = [span for name, span in _functions(ast.parse(source), "") if name == mutant.function]
    lines = source.split("\n")
    places = [n for span in spans for n in span if _code(lines[n]) == mutant.old]
    if len(places) != 1:
        raise ValueError(f"{mutant.file}, {mutant.function}: {len(places)} places for: {mutant.old}")
    lines[places[0]] = lines[places[0]].replace(mutant.old, mutant.new, 1)
    return "\n".join(lines)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, range]]:
    """Yield the name of every function and class, with those around it, and its lines, counted from 0."""
    for child in ast.iter_child_nodes(node):
        inner = prefix
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield prefix + child.name, range(child.lineno - 1, child.end_lineno or child.lineno)
            inner = f"{prefix}{child.name}."
        yield from _functions(child, inner)


def _code(line: str) -> str:
    """Return a line without indentation and comment."""
    return line.strip().partition("  # ")[0]


# --- trying -------------------------------------------------------------------------------------------------------


class Twice:
    """Has a test that fails run once more: a mutant fails both times, a busy machine seldom does."""

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> bool:
        """Run a test, and a failing one again, and report the last run."""
        from _pytest.runner import runtestprotocol

        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if any(report.failed for report in reports):
            item._initrequest()
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        return True


@dataclass
class Tree:
    """A copy of the tree, in which one mutant at a time is tried."""

    root: Path
    folder: Path
    file: str = ""
    serial: int = 0

    def __post_init__(self) -> None:
        shutil.copytree(self.root, self.folder, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)

    def put(self, mutant: Mutant) -> None:
        """Write a mutant, and the file of the last one as it was."""
        self._write(self.file or mutant.file, None)
        self._write(mutant.file, mutant if mutant.old else None)
        self.file = mutant.file

    def _write(self, file: str, mutant: Mutant | None) -> None:
        """Write a file. Its time is one of its own: Python knows compiled code by time and size of the source."""
        source = (self.root / file).read_text("utf-8")
        (self.folder / file).write_text(changed(source, mutant) if mutant else source, "utf-8")
        self.serial += 1
        os.utime(self.folder / file, (time.time() + self.serial,) * 2)

    def start(self, mutant: Mutant, stages: list[str], cpu: float) -> int:
        """Begin to try a mutant, for so many CPU seconds at most; return the number of the process."""
        self.put(mutant)
        process = os.fork()
        if process:
            return process
        status = 3
        try:
            self._enter(cpu)
            status = self._tested(stages)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _enter(self, cpu: float) -> None:
        """Make this process one that finds the copy, writes into a log, and ends when it takes far too much."""
        os.setsid()
        os.chdir(self.folder)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.path.insert(0, str(self.folder))
        os.environ |= {"PYTHONPATH": str(self.folder), "SEEDS": "0", "COLUMNS": "160"}
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu), resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, resource.RLIM_INFINITY))

    def _tested(self, stages: list[str]) -> int:
        """Run the tests, stage after stage until one fails; return pytest's exit status."""
        import pytest
        from hypothesis import Phase, settings

        # The same examples in every run; a failing one need not be made small.
        settings.register_profile("once", phases=[Phase.explicit, Phase.generate], derandomize=True, database=None)
        settings.load_profile("once")
        status = 0
        for stage in stages:
            where = f"--basetemp={self.folder}-tmp"
            status = status or int(pytest.main([*OPTIONS, where, *shlex.split(stage)], plugins=[Twice()]))
        package = sys.modules.get("moe_lessons")
        ours = package is None or str(package.__file__).startswith(str(self.folder))
        return status if ours else 3

    @property
    def log(self) -> Path:
        """Where the tests' output is."""
        return self.folder.with_suffix(".log")

    def outcome(self, mutant: Mutant, status: int) -> Outcome:
        """Return what an exit status says. Where the control passes, a test that cannot be loaded is the mutant's."""
        if status < 0:
            return Outcome(mutant, ENDED)
        log = self.log.read_text(errors="replace") if status else ""
        failed, error = (re.search(rf"^{word} (.+)", log, re.M) for word in ("FAILED", "ERROR"))
        if failed:  # whatever pytest's own end was: a thread may have raised, too
            return Outcome(mutant, KILLED, failed[1])
        fate = {0: SURVIVED, 1: KILLED, 2: BROKEN, 4: BROKEN}.get(status, FAULT)
        return Outcome(mutant, fate, error[1] if error else log[-1000:])


Running = dict[int, tuple[Tree, Mutant, float]]  # by number of the process: since when
Limits = dict[str, tuple[float, float]]  # by file: seconds of the clock and of the processors


def trials(wanted: list[Mutant], stages: Stages, limits: Limits, trees: list[Tree]) -> Iterator[Outcome]:
    """Yield what becomes of each mutant, one in each tree at a time."""
    running: Running = {}
    try:
        yield from _trials(wanted[::-1], stages, limits, list(trees), running)
    finally:
        for process in running:
            _end(process)


def _trials(
    queue: list[Mutant], stages: Stages, limits: Limits, free: list[Tree], running: Running
) -> Iterator[Outcome]:
    while queue or running:
        while queue and free:
            mutant, tree = queue.pop(), free.pop()
            running[tree.start(mutant, stages[mutant.file], limits[mutant.file][1])] = tree, mutant, time.monotonic()
        time.sleep(0.02)
        for process, (tree, mutant, begun) in list(running.items()):
            clock = time.monotonic() - begun
            if clock > limits[mutant.file][0]:
                _end(process)
            done, status, used = os.wait4(process, os.WNOHANG)
            if done:
                free.append(running.pop(process)[0])
                outcome = tree.outcome(mutant, os.waitstatus_to_exitcode(status))
                yield replace(outcome, clock=clock, cpu=used.ru_utime + used.ru_stime)


def _end(process: int) -> None:
    """End a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def controls(stages: Stages, trees: list[Tree]) -> Limits:
    """Show that the code as it is passes; return the time that a mutant of each file gets. Raises RuntimeError."""
    plenty = dict.fromkeys(stages, (3600.0, 1200.0))
    limits = {}
    for outcome in trials([Mutant(file) for file in stages], stages, plenty, trees):
        file = outcome.mutant.file
        print(f"control {file}: {outcome.fate}, {outcome.clock:.0f} s, {outcome.cpu:.0f} s CPU", flush=True)
        if outcome.fate != SURVIVED:
            raise RuntimeError(f"the tests of {file} do not pass on the code as it is: {outcome.by}")
        limits[file] = 60 + 10 * outcome.clock, 20 + 3 * outcome.cpu
    return limits


# --- telling ------------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Try the list, or the files named, and print what became of it; return the exit status."""
    options = _parser().parse_args(arguments)
    stages, mutants = listed(options.list.read_text("utf-8"))
    wanted = [m for m in mutants if not options.only or any(word in m.file for word in options.only)]
    root = (options.root or HERE.parents[1]).resolve()
    stages = {file: _there(root, stages[file]) for file in dict.fromkeys(m.file for m in wanted)}
    absent = [m for m in wanted if not (stages[m.file] and _has_place(root, m))]
    if (absent and not options.root) or not wanted:
        print("\n".join(f"no place for {_words(m)}" for m in absent) or "The list has no such file.")
        return 2
    try:
        outcomes = _tried(root, [m for m in wanted if m not in absent], stages, options)
    except RuntimeError as reason:
        print(reason)
        return 2
    _tell([*outcomes, *(Outcome(m, ABSENT) for m in absent)])
    return int(any(map(_troubling, outcomes)) or (len(wanted) == len(mutants) and _score(outcomes) < LEAST))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("only", nargs="*", metavar="FILE", help="a part of a path, such as routing; default: all")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at once")
    parser.add_argument("--root", type=Path, help="another tree to try them in")
    parser.add_argument("--list", type=Path, default=HERE / "core.txt", help="another list")
    parser.add_argument("--show", action="store_true", help="show every mutant, and the test that kills it")
    return parser


def _there(root: Path, stages: list[str]) -> list[str]:
    """Return the stages without the test files that a tree lacks."""
    found = [" ".join(w for w in stage.split() if "/" not in w or (root / w).exists()) for stage in stages]
    return [stage for stage in found if "/" in stage]


def _has_place(root: Path, mutant: Mutant) -> bool:
    try:
        changed((root / mutant.file).read_text("utf-8"), mutant)
    except (OSError, ValueError):
        return False
    return True


def _tried(root: Path, mutants: list[Mutant], stages: Stages, options: argparse.Namespace) -> list[Outcome]:
    """Run the controls and the mutants; print those that matter as they end."""
    for name in LOADED:
        importlib.import_module(name)
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # the grader's worker is no user that owns anything
        trees = [Tree(root, Path(folder, f"tree{job}")) for job in range(options.jobs)]
        limits = controls({m.file: stages[m.file] for m in mutants}, trees)
        for outcome in trials(mutants, stages, limits, trees):
            outcomes.append(outcome)
            if options.show or _troubling(outcome):
                print(f"{outcome.fate} {outcome.by}\n  {_words(outcome.mutant)}", flush=True)
    return outcomes


def _words(mutant: Mutant) -> str:
    listed = f"\n  = {mutant.reason}" if mutant.reason else ""
    return f"{mutant.file}, {mutant.function}\n  - {mutant.old}\n  + {mutant.new}{listed}"


def _troubling(outcome: Outcome) -> bool:
    """Tell a survivor that is not listed, a listed one that is killed, and what says nothing."""
    return outcome.fate == FAULT or (outcome.fate == SURVIVED) is not bool(outcome.mutant.reason)


def _score(outcomes: list[Outcome]) -> float:
    return sum(o.fate in KILLS for o in outcomes) / max(1, len(outcomes))


HEAD = f"{'':<36}{'mutants':>8}{'killed':>8}{'listed':>8}{'survivors':>11}{'no place':>10}{'score':>8}{'CPU s':>8}"


def _tell(outcomes: list[Outcome]) -> None:
    """Print a row for each file, and one for all."""
    print(f"\n{HEAD}")
    files = sorted({o.mutant.file for o in outcomes})
    for name, rows in [*((f, [o for o in outcomes if o.mutant.file == f]) for f in files), ("all", outcomes)]:
        here = [o for o in rows if o.fate != ABSENT]
        listed = sum(o.fate == SURVIVED and bool(o.mutant.reason) for o in here)
        survivors = sum(o.fate in (SURVIVED, FAULT) for o in here) - listed
        numbers = f"{len(rows):>8}{sum(o.fate in KILLS for o in here):>8}{listed:>8}{survivors:>11}"
        cpu = sum(o.cpu for o in here)
        print(f"{name:<36}{numbers}{len(rows) - len(here):>10}{_score(here):>8.1%}{cpu:>8.0f}")


if __name__ == "__main__":
    sys.exit(main())
