"""Tries mutants, each in a process forked after torch is loaded, with a deadline; `check` gives the verdict."""

import os
import resource
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

from operators import Mutant
from worked import Worked

from moe_lessons.checks import check, engine
from moe_lessons.checks.engine import Status
from moe_lessons.checks.question import Question

FORK = get_context("fork")
MOST_MEMORY = 4 * 2**30  # bytes of address space, above what the parent has

# What became of a mutant, from the best known to the worst.
NAMED, NOT_YET, RAISED, TIMEOUT, REMARKED, SAME, SURVIVED, FAULT = (
    "named", "not yet", "raised", "timeout", "remarked", "same value", "survived", "fault of the check",
)  # fmt: skip
KILLED = (NAMED, NOT_YET, RAISED, TIMEOUT, REMARKED)


@dataclass(frozen=True)
class Outcome:
    """How a mutant fared: its fate, the diagnoses it was given, and on how many of the draws it passed."""

    mutant: Mutant
    fate: str
    mistakes: tuple[str, ...] = ()
    passed: int = 0
    draws: int = 0
    message: str = ""


def trials(worked: Worked, question: Question, tried: Iterable[Mutant], draws: int, jobs: int) -> Iterator[Outcome]:
    """Yield the outcome of each mutant, `jobs` at a time. A mutant counts as killed if no draw lets it pass."""
    limit = draws * question.seconds + 20
    running: dict[Any, tuple[Any, Mutant, float]] = {}
    queue = list(tried)[::-1]
    while queue or running:
        while queue and len(running) < jobs:
            mutant = queue.pop()
            mine, theirs = FORK.Pipe(duplex=False)
            process = FORK.Process(target=_try, args=(theirs, worked, question, mutant, draws))
            process.start()
            theirs.close()
            running[mine] = process, mutant, time.monotonic() + limit
        connection.wait(list(running), timeout=0.2)
        for pipe in [pipe for pipe, (_, _, end) in running.items() if pipe.poll() or time.monotonic() > end]:
            process, mutant, _ = running.pop(pipe)
            yield _received(pipe, process, mutant)


def _received(pipe: Any, process: Any, mutant: Mutant) -> Outcome:
    """Return what a child sent; one that sends nothing in time is killed, one that died has raised."""
    try:
        outcome = pipe.recv() if pipe.poll() else Outcome(mutant, TIMEOUT)
    except EOFError:
        outcome = Outcome(mutant, RAISED, message="the process died")
    process.kill()
    process.join()
    pipe.close()
    return outcome


def _try(pipe: Any, worked: Worked, question: Question, mutant: Mutant, draws: int) -> None:
    """Run a mutant in this process, and send its outcome."""
    _limit_memory()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        pipe.send(examine(worked, question, mutant, draws))


def _limit_memory() -> None:
    """Let a mutant that asks for far too much fail instead of filling the machine (Linux)."""
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        used = int(statistics.read_text().split()[0]) * resource.getpagesize()  # bytes
        resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def examine(worked: Worked, question: Question, mutant: Mutant, draws: int) -> Outcome:
    """Check a mutant on several draws."""
    try:
        answer = worked.answer(mutant.code)
    except Exception as error:
        return Outcome(mutant, RAISED, message=f"{type(error).__name__}: {error}")
    changed = mutant.code != worked.code
    if changed and not question.parameters and _as_lists(answer) == _as_lists(worked.answer(worked.code)):
        return Outcome(mutant, SAME)
    results = [check(question.id, answer, seed=seed) for seed in range(draws)]
    passed = [r for r in results if r.status == Status.CORRECT]
    faults = [r for r in results if r.status not in (Status.CORRECT, Status.NOT_YET, Status.RAISED)]
    if faults:
        return Outcome(mutant, FAULT, message=f"{faults[0].status}: {faults[0].message}")
    failed = [r for r in results if r.status != Status.CORRECT]
    names = tuple(dict.fromkeys(r.mistake for r in failed if r.mistake))
    return Outcome(mutant, _fate(results), names, len(passed), draws, (failed or passed)[0].message)


def _as_lists(value: Any) -> Any:
    """Return a variable's value so that two can be compared, whether they hold arrays or lists."""
    if isinstance(value, dict):
        return {key: _as_lists(entry) for key, entry in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def _fate(results: list[engine.Result]) -> str:
    """Sum up the verdicts on several draws."""
    correct = [r for r in results if r.status == Status.CORRECT]
    if correct:
        return REMARKED if all("in place" in r.message for r in correct) else SURVIVED
    if all(r.mistake for r in results):
        return NAMED
    if all(r.status == Status.RAISED for r in results):
        return RAISED
    return NOT_YET
