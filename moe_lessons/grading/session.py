"""A submission's stay in the sandbox: cells, then answers; when a worker dies, another takes up where it was."""

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from moe_lessons.checks.question import Data, Question
from moe_lessons.grading import wire
from moe_lessons.grading.records import Ended
from moe_lessons.grading.sandbox import TOO_MUCH_MEMORY, Running, Sandbox, beginning

BROKEN = (TimeoutError, wire.Closed, wire.Malformed)  # how asking a worker may fail


class Lost(Exception):
    """No worker can be had any more; the message says why."""


class Run(StrEnum):
    """How much of a cell is run."""

    ALL = "all"
    DEFINITIONS = "definitions"
    NOTHING = "nothing"


@dataclass
class Step:
    """How a step ended. why: "ran for more than ..."; said: the worker's reply, which nothing vouches for."""

    ended: Ended
    why: str = ""
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """Return the notes in the reply."""
        notes = self.said.get("notes")
        return [note for note in notes if isinstance(note, str)][:20] if isinstance(notes, list) else []

    @property
    def cause(self) -> str:
        """Return the error that may have cost marks, or nothing."""
        cause = self.said.get("cause")
        return cause if isinstance(cause, str) else ""


class Session:
    """Runs cells and tries answers. Use it as a context: at its end the worker is stopped."""

    def __init__(
        self, sandbox: Sandbox, cells: tuple[str, ...], asked: list[Question], modules: list[str], torch: str = ""
    ) -> None:
        self.sandbox, self.limits, self.cells = sandbox, sandbox.limits, cells
        longest = max((question.seconds for question in asked), default=0.0) * self.limits.patience
        self.first = beginning(sandbox, modules, {q.id: (q.answer, q.points) for q in asked}, longest, torch)
        self.done: list[tuple[int, Run]] = []
        self.seconds, self.starts = 0.0, 0
        self.until = time.monotonic() + self.limits.all_wall_seconds
        self.running: Running | None = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run_cell(self, number: int) -> Step:
        """Run a cell. Where it does not come through, run its definitions alone; the step is that of the cell."""
        step = self._asked(self._cell(number, Run.ALL))
        kept = Run.ALL
        if step.ended is not Ended.OK:
            again = self._asked(self._cell(number, Run.DEFINITIONS))
            kept = Run.DEFINITIONS if again.ended is Ended.OK else Run.NOTHING
        self.done.append((number, kept))
        return step

    def try_answer(self, question: Question, data: Data, checked: bool = False) -> Step:
        """Have one answer tried on `data`; if `checked`, what else the notebook's last check of it was given."""
        seconds = question.seconds * self.limits.patience
        description = describe(question)
        return self._asked(
            {"do": "try", "question": description, "checked": checked, "data": data, **self._timed(seconds)}
        )

    def _cell(self, number: int, run: Run) -> dict[str, Any]:
        source, definitions = self.cells[number - 1], run is Run.DEFINITIONS
        request = {"do": "cell", "number": number, "source": source, "definitions": definitions}
        return request | self._timed(self.limits.cell_seconds)

    def _timed(self, seconds: float) -> dict[str, float]:
        return {"seconds": seconds, "wall": seconds * self.limits.wall}

    def _asked(self, request: dict[str, Any]) -> Step:
        """Ask a worker; whatever breaks it is a step that did not end well, and the next one gets a new worker."""
        running = self._ready()
        if running is None or self._used_up():
            return Step(Ended.TIMED_OUT, "was not reached: all time was used up before")
        try:
            return _step(self._told(running, request), request["seconds"])
        except BROKEN as error:
            self._stop()
            return _broken(error)

    def _used_up(self) -> bool:
        return self.seconds > self.limits.all_seconds or time.monotonic() >= self.until

    def _told(self, running: Running, request: dict[str, Any]) -> dict[str, Any]:
        """Return the reply to a request, within its own time and what is left of all time."""
        if self._used_up():
            raise TimeoutError
        left = self.until - time.monotonic()
        said = running.ask(request, min(request["wall"] + self.limits.slack_seconds, left))
        self.seconds += _seconds(said)
        return said

    def _ready(self) -> Running | None:
        """Return a worker that has run the cells so far, or None when time is used up. Raises Lost."""
        while self.running is None and not self._used_up():
            self.starts += 1
            if self.starts > self.limits.restarts + 1:
                raise Lost(f"its code ended the worker {self.limits.restarts + 1} times")
            self.running = self._begun(self.sandbox.start())
            try:
                for number, run in self.done:
                    if run is not Run.NOTHING:
                        self._told(self.running, self._cell(number, run))
            except BROKEN:
                self._stop()
        return self.running

    def _begun(self, running: Running) -> Running:
        """Let a new worker load what it needs: no code of the learner's runs yet. Raises RuntimeError."""
        try:
            running.ask(self.first, self.limits.start_seconds)
        except BROKEN as error:
            complaint = running.complaint() or str(error)
            running.stop()
            raise RuntimeError(f"the worker does not start: {complaint}") from None
        return running

    def _stop(self) -> None:
        if self.running is not None:
            self.running.stop()
        self.running = None


def _broken(error: Exception) -> Step:
    """Return the step after which a worker was no more."""
    if isinstance(error, TimeoutError):
        return Step(Ended.TIMED_OUT, "did not end in time")
    if isinstance(error, wire.Closed):
        why = "took too much memory" if str(error) == TOO_MUCH_MEMORY else "ended the process in which it ran"
        return Step(Ended.KILLED, why)
    return Step(Ended.PARTIAL, f"left a reply that is none ({error})")


def _step(said: dict[str, Any], seconds: float) -> Step:
    """Read how a step ended from what the worker says."""
    ended = said.get("ended")
    if ended == "ran":
        return Step(Ended.OK, said=said)
    if ended == "timed out":
        return Step(Ended.TIMED_OUT, f"was stopped after {seconds:g} seconds")
    if ended == "killed":
        return Step(Ended.KILLED, "ended its own process, or was ended for want of memory")
    return Step(Ended.PARTIAL, "left a reply that is none")


def _seconds(said: dict[str, Any]) -> float:
    """Return the CPU time that a reply speaks of, if it is a time."""
    seconds = said.get("seconds")
    return float(seconds) if isinstance(seconds, (int, float)) and 0 <= seconds < 1e5 else 0.0


def probing_class(question: Question) -> type[Question]:
    """Return the class whose `probe` a question uses. Raises ValueError for one that the worker has not got."""
    cls = next(cls for cls in type(question).__mro__ if "probe" in vars(cls))
    helper = getattr(question, "helper", None)
    if any(used.__module__.split(".")[0] != "moe_lessons" for used in (cls, helper or cls)):
        raise ValueError(f"question {question.id}: its probe must be that of a class of moe_lessons.checks")
    return cls


def describe(question: Question) -> dict[str, Any]:
    """Return what a worker needs to probe a question, and nothing of what is right."""
    cls = probing_class(question)
    fields = {name: getattr(question, name) for name in cls.probed_with}
    if helper := fields.pop("helper", None):
        fields["helper"] = [helper.__module__, helper.__qualname__]
    return {"module": cls.__module__, "class": cls.__qualname__, "fields": fields}
