"""A submission's stay in the sandbox: cells, then answers; when a worker dies, another takes up where it was."""

from dataclasses import dataclass, field
from typing import Any

from moe_lessons.checks.question import Data, Question
from moe_lessons.checks.registry import questions
from moe_lessons.grading import wire
from moe_lessons.grading.lending import Borrowed, Lending, borrowed, lends
from moe_lessons.grading.records import Ended
from moe_lessons.grading.sandbox import TOO_MUCH_MEMORY, Running, Sandbox, beginning

DEFINITION_SECONDS = 5.0  # of CPU time, for the definitions of a cell
LATE_SECONDS = 60.0  # for definitions, once all time is used up
AROUND_SECONDS = 4.0  # of CPU time beyond a step's own: where nothing is amiss, the worker ends it before
LENT = 2.0  # times as much time where each call of what is lent goes outside and back
BROKEN = (TimeoutError, wire.Closed, wire.Malformed)  # how asking a worker may fail


class Lost(Exception):
    """No worker can be had any more; the message says why."""


@dataclass
class Step:
    """How a step ended. why: "ran for more than ..."; said: the worker's reply, which nothing vouches for.

    kept: what was kept of a cell that did not come through, in words.
    """

    ended: Ended
    why: str = ""
    said: dict[str, Any] = field(default_factory=dict)
    kept: str = ""

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

    @property
    def reached(self) -> tuple[int, int] | None:
        """Return the statement that a cell had reached when it was stopped, and its line, if the reply tells."""
        reached: Any = self.said.get("reached")
        known = isinstance(reached, list) and len(reached) == 2 and all(type(n) is int and n >= 0 for n in reached)
        return (reached[0], reached[1]) if known else None


class Session:
    """Runs cells and tries answers. Use it as a context: at its end the worker is stopped.

    counts: the number under which Jupyter ran each cell, where the notebook tells. seconds, clock: used so far, as seen
    from outside: a worker's own word does not count.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        cells: tuple[str, ...],
        asked: list[Question],
        modules: list[str],
        torch: str = "",
        counts: tuple[int | None, ...] = (),
    ) -> None:
        self.sandbox, self.limits, self.cells, self.counts = sandbox, sandbox.limits, cells, counts
        longest = max(map(self._allowed, asked), default=0.0)
        self.first = beginning(sandbox, modules, _names(asked), longest, torch)
        self.done: list[dict[str, Any]] = []  # the requests for cells that came through
        self.seconds, self.clock, self.starts = 0.0, 0.0, 0
        self.most_seconds, self.until = 0.0, 0.0
        self.answering = False
        self._allow_time()
        self.running: Running | None = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _allowed(self, question: Question) -> float:
        """Return the CPU time that an answer may take."""
        return question.seconds * self.limits.patience * (LENT if lends(question) else 1)

    def _allow_time(self) -> None:
        """Allow the time of a notebook, to its cells at first, then as much to its answers."""
        self.most_seconds = self.seconds + self.limits.all_seconds
        self.until = self.clock + self.limits.all_wall_seconds

    def run_cell(self, number: int) -> Step:
        """Run a cell. Where it does not come through, run what can be; the step is that of the cell.

        That is all but the statement that it had reached, or else its definitions.
        """
        request = self._cell(number)
        step = self._tried(request)
        if step.ended is Ended.OK:
            return step
        statement, line = step.reached or (None, 0)
        if statement is not None and self._tried(request | {"skipped": statement}).ended is Ended.OK:
            what = f"what stands in line {line}" if line else "what had waited for it, or went on after it"
            step.kept = f"all of it was run but {what}"
        elif self._tried(self._cell(number, definitions=True), late=True).ended is Ended.OK:
            step.kept = "of it only definitions were kept"
        else:
            step.kept = "nothing of it was kept"
        return step

    def _tried(self, request: dict[str, Any], late: bool = False) -> Step:
        """Ask for a cell, and remember the request if it came through."""
        step = self._asked(request, late)
        if step.ended is Ended.OK:
            self.done.append(request)
        return step

    def try_answer(self, question: Question, data: Data, checked: bool = False) -> Step:
        """Have one answer tried on `data`; if `checked`, what else the notebook's last check of it was given."""
        if not self.answering:
            self.answering = True
            self._allow_time()
        seconds = self._allowed(question)
        told = {"question": describe(question), "data": described(question, data)}
        request = {"do": "try", "checked": checked, **told, **self._timed(seconds)}
        return self._lent(request, Lending(question, data, seconds)) if lends(question) else self._asked(request)

    def _lent(self, request: dict[str, Any], lending: Lending) -> Step:
        """Have an answer tried that is lent functions; what was noted of their calls is in the reply."""
        step = self._asked(request, lending=lending)
        self.seconds += lending.seconds
        reply = step.said.get("reply")
        if isinstance(reply, dict):
            reply["noted"] = lending.noted()
        if step.ended is not Ended.OK:  # it may have ended in the midst of a call
            self._stop()
        return step

    def _cell(self, number: int, definitions: bool = False) -> dict[str, Any]:
        """Return the request for a cell, or for its definitions: these take little time."""
        count = self.counts[number - 1] if self.counts else None
        how = {"definitions_only": definitions, "count": count, "skipped": None}
        seconds = min(self.limits.cell_seconds, DEFINITION_SECONDS) if definitions else self.limits.cell_seconds
        return {"do": "cell", "number": number, "source": self.cells[number - 1], **how, **self._timed(seconds)}

    def _timed(self, seconds: float) -> dict[str, float]:
        return {"seconds": seconds, "wall": seconds * self.limits.wall}

    def _asked(self, request: dict[str, Any], late: bool = False, lending: Lending | None = None) -> Step:
        """Ask a worker; whatever breaks it is a step that did not end well, and the next one gets a new worker.

        late: also a little after all time was used up, as long as there is a worker.
        """
        running = self._ready()
        if running is None or self._used_up(late):
            return Step(Ended.TIMED_OUT, "was not reached: all time was used up before")
        try:
            return _step(self._told(running, request, late, lending), request["seconds"])
        except BROKEN as error:
            self._stop()
            return _broken(error)

    def _used_up(self, late: bool = False) -> bool:
        more = LATE_SECONDS * late
        return self.seconds > self.most_seconds + more or self.clock >= self.until + more

    def _told(
        self, running: Running, request: dict[str, Any], late: bool = False, lending: Lending | None = None
    ) -> dict[str, Any]:
        """Return the reply to a request, within its own time and what is left of all time."""
        if self._used_up(late):
            raise TimeoutError
        left = self.until + LATE_SECONDS * late - self.clock
        clock = min(request["wall"] + self.limits.slack_seconds, left)
        try:
            return running.ask(request, clock, request["seconds"] + AROUND_SECONDS, lending)
        finally:
            self.seconds += running.used.cpu
            self.clock += running.used.clock

    def _ready(self) -> Running | None:
        """Return a worker that has run the cells so far, or None when time is used up. Raises Lost."""
        while self.running is None and not self._used_up():
            self.starts += 1
            if self.starts > self.limits.restarts + 1:
                raise Lost(f"its code ended the worker {self.limits.restarts + 1} times")
            self.running = self._begun(self.sandbox.start())
            try:
                for request in self.done:
                    self._told(self.running, request)
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
        return Step(Ended.TIMED_OUT, f"was stopped after {seconds:g} seconds", said)
    if ended == "killed":
        return Step(Ended.KILLED, "ended its own process, or was ended for want of memory", said)
    return Step(Ended.PARTIAL, "left a reply that is none")


def probing_class(question: Question) -> type[Question]:
    """Return the class whose `probe` a question uses. Raises ValueError for one that the worker has not got."""
    cls = next(cls for cls in type(question).__mro__ if "probe" in vars(cls))
    helper = getattr(question, "helper", None)
    if any(used.__module__.split(".")[0] != "moe_lessons" for used in (cls, helper or cls)):
        raise ValueError(f"question {question.id}: its probe must be that of a class of moe_lessons.checks")
    return cls


def _names(asked: list[Question]) -> dict[str, tuple[str, int]]:
    """Return the names of the answers and the points, by question: of a teacher's own the names alone."""
    return {
        q.id if _is_public(q) else f"own {i}": (q.answer, q.points if _is_public(q) else 0) for i, q in enumerate(asked)
    }


def _is_public(question: Question) -> bool:
    return question.id in questions()


def described(question: Question, data: Data) -> Data:
    """Return what a worker needs of the drawn data. What else a teacher's `draw` returns may be what is right."""
    needed = {name: data[name] for name in probing_class(question).probed_on}
    return borrowed(question, needed) if lends(question) else needed


def describe(question: Question) -> dict[str, Any]:
    """Return what a worker needs to probe a question, and nothing of what is right."""
    cls = probing_class(question)
    fields = {name: getattr(question, name) for name in cls.probed_with}
    fields["id"] = question.id if _is_public(question) else ""
    if helper := fields.pop("helper", None):
        used = Borrowed if lends(question) else helper
        fields["helper"] = [used.__module__, used.__qualname__]
    return {"module": cls.__module__, "class": cls.__qualname__, "fields": fields}
