"""Grades one submission: the sandbox runs it and tries its answers, what comes back is judged here."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from moe_lessons.checks.attempt import LOAD, Attempt, Status
from moe_lessons.checks.deadline import OutOfTime, deadline
from moe_lessons.checks.engine import judged
from moe_lessons.checks.question import Data, Question
from moe_lessons.grading import published, submission, wire
from moe_lessons.grading.claims import claimed
from moe_lessons.grading.companions import Companions, packed
from moe_lessons.grading.learners import learner
from moe_lessons.grading.records import Ended, Mark, Record
from moe_lessons.grading.sandbox import Sandbox
from moe_lessons.grading.session import Lost, Session, Step, probing_class
from moe_lessons.grading.submission import Submission, Unreadable

JUDGE_SECONDS = 120.0  # of CPU time, for one reply: some judges train
MOST_TEXT = 4000
KEPT = "\n\t\u200c\u200d"  # the last two join or part letters: names of many people have them
FROM_THE_WORKER = {Status.NOT_ATTEMPTED, Status.NOT_YET, Status.RAISED}


def grade_submission(
    path: Path,
    folder: Path,
    questions: Mapping[str, Question],
    secret: bytes,
    sandbox: Sandbox,
    beside: Companions | None = None,
) -> Record:
    """Return what became of one file below `folder`. Nothing that the submission holds or does makes this raise.

    The marks are those of the exercise set that the notebook is about. Inputs are drawn from `secret`, the file's bytes
    and the question: the same in every run, unknown to the learner. beside: what was handed in with it.
    """
    name = clean(_inside(path, folder), 1000)
    whose = clean(learner(name).name, 200)
    content = b""
    try:
        content = submission.read_bytes(path, folder)
        notebook = submission.parse(content)
        asked = _asked(name, notebook, questions)
    except (published.Own, Unreadable) as reason:
        return _unmarked(name, whose, content, reason)
    digest = submission.digest(content)
    grading = Grading(notebook, asked, secret + bytes.fromhex(digest), sandbox)
    grading.notes += submission.other_sets(asked)
    _run(grading, beside or Companions(), content)
    return grading.record(name, whose, digest)


def _run(grading: "Grading", beside: Companions, content: bytes) -> None:
    """Run the cells and try the answers; what goes wrong is in the row."""
    try:
        grading.bring(beside, claimed(content))
        grading.run()
    except Lost as reason:
        grading.trouble(Ended.KILLED, str(reason))
    except Exception as fault:  # of the grader, or of the machine; the row is kept, and says so
        grading.unreached = Status.FAULT
        grading.trouble(Ended.PARTIAL, f"the grader itself failed: {type(fault).__name__}: {fault}")


def _asked(name: str, notebook: Submission, questions: Mapping[str, Question]) -> list[Question]:
    """Return the questions that a notebook answers. Raises Unreadable, and Own for one of the course's.

    In a lesson only what a learner added tells of a set: its own cells use names of answers, too.
    """
    published.refuse_own(name, notebook.cells)
    given = published.lesson(notebook.cells)
    added = tuple(cell for cell in notebook.cells if not published.plain((cell,)) <= given)
    if given and not submission.evidence(added, questions):
        raise published.Own("a lesson of the course, without answers to an exercise set: it is not marked")
    return submission.wanted(added, questions, notebook.titled)


def _unmarked(name: str, whose: str, content: bytes, reason: Exception) -> Record:
    """Return the record of a file that has no marks: the course's own, or one that cannot be read."""
    digest = submission.digest(content) if content else ""
    if isinstance(reason, published.Own):
        return Record(name, whose, digest, Ended.OK, notes=(str(reason),))
    return Record(name, whose, digest, Ended.UNREADABLE, reason=clean(str(reason), 500))


def _inside(path: Path, folder: Path) -> str:
    """Return the path of a file inside the folder of submissions."""
    try:
        return path.absolute().relative_to(folder.absolute()).as_posix()
    except ValueError:
        return path.name


def clean(text: str, most: int) -> str:
    """Return a stranger's text so that any file can hold it: no lone surrogates or control characters, not too long."""
    text = text[: most + 1].encode("utf-8", "replace").decode("utf-8")
    text = "".join(sign if sign.isprintable() or sign in KEPT else " " if sign.isspace() else "�" for sign in text)
    return text if len(text) <= most else text[: most - 1] + "…"


class Grading:
    """One submission on its way through the sandbox."""

    claimed: frozenset[str] = frozenset()  # the questions that its own outputs call correct

    def __init__(self, notebook: Submission, asked: list[Question], salt: bytes, sandbox: Sandbox) -> None:
        self.asked, self.salt, self.limits = asked, salt, sandbox.limits
        self.session = Session(
            sandbox, notebook.cells, asked, _modules(asked), _torch(notebook, asked), notebook.counts
        )
        self.notebook, self.notes = notebook, list(notebook.notes)
        self.troubles: list[tuple[Ended, str]] = []
        self.costly: list[str] = []  # errors that are to blame if marks are missing
        self.marks: dict[str, Mark] = {}
        self.unreached = Status.NOT_YET

    def bring(self, beside: Companions, claimed: frozenset[str]) -> None:
        """Keep what was handed in beside the notebook, for the sandbox, and what its saved outputs say."""
        self.session.first["files"] = packed(beside.content)
        self.notes += beside.notes
        self.claimed = claimed

    def run(self) -> None:
        """Run the cells, then try every answer."""
        with self.session:
            for number in range(1, len(self.session.cells) + 1):
                self._cell(number)
            for question in self.asked:
                self.marks[question.id] = self._mark(question)
        self._explain()

    def _explain(self) -> None:
        """Note what may have kept an answer from being found or from being right."""
        missed = [question for question in self.asked if self.marks[question.id].points < question.points]
        for question in missed:
            attempted = self.marks[question.id].status != Status.NOT_ATTEMPTED
            self.notes += submission.not_found(self.notebook, question, attempted)
        if missed:
            self.notes += submission.another_order(self.notebook.counts)

    def trouble(self, ended: Ended, reason: str) -> None:
        """Keep what kept the grading from going its usual way."""
        self.troubles.append((ended, reason))

    def record(self, file: str, whose: str, digest: str) -> Record:
        """Return the result. A question without a mark was not reached: it counts as nothing, and `reason` says why."""
        found = [self.marks.get(q.id) or _mark(q, self.unreached, "Not reached.") for q in self.asked]
        marks = tuple(replace(mark, claimed=mark.question in self.claimed) for mark in found)
        if any(mark.points < mark.possible for mark in marks):
            self.troubles += [(Ended.PARTIAL, error) for error in self.costly]
        else:
            self.notes += self.costly
        ended = _ended([end for end, _ in self.troubles])
        reasons = "; ".join(dict.fromkeys(reason for _, reason in self.troubles))
        notes = tuple(clean(note, 300) for note in self.notes[:100])
        return Record(file, whose, digest, ended, clean(reasons, 1000), marks, notes, round(self.session.seconds, 3))

    def _cell(self, number: int) -> None:
        """Run a cell; of one that does not come through, keep the definitions."""
        step = self.session.run_cell(number)
        self.notes += step.notes
        if step.ended is not Ended.OK:
            self.trouble(step.ended, f"cell {number} {step.why}; {step.kept}")
        elif step.said.get("went_on") and step.cause:
            self.trouble(Ended.PARTIAL, f"cell {number} {step.cause}; what follows there was run all the same")
        elif step.cause:
            self.costly.append(f"cell {number} {step.cause}")

    def _mark(self, question: Question) -> Mark:
        """Draw, and mark the answer; where it is not correct, what the last check was given may be."""
        try:
            data = question.made_ready().draw(np.random.default_rng(_seed(self.salt, question.id)))
        except Exception as fault:
            return self._fault(question, f"{question.id} has no inputs", fault)
        mark = self._tried(question, data)
        other = mark if mark.points else self._tried(question, data, checked=True)
        if mark.points == other.points:
            return mark
        self.notes.insert(
            0, f"{question.id}: {question.answer} is not correct in the end; what was checked last is, and counts"
        )
        return other

    def _tried(self, question: Question, data: Data, checked: bool = False) -> Mark:
        """Have an answer tried, and judge it."""
        step = self.session.try_answer(question, data, checked)
        if step.ended is not Ended.OK:
            self.trouble(step.ended, f"the answer to {question.id} {step.why}")
            return _mark(question, Status.NOT_YET, f"Your code {step.why}.")
        try:
            return self._judged(question, data, _attempt(step))
        except wire.Malformed as fault:
            self.trouble(Ended.PARTIAL, f"the reply to {question.id} is none: {fault}")
            return _mark(question, Status.NOT_YET, "What came back from your code is no answer.")

    def _judged(self, question: Question, data: Data, attempt: Attempt) -> Mark:
        """Judge an attempt. A judge that cannot cope with it, which a forged reply may bring about, gives no points.

        Its time is taken from that of the answers: a reply may be made so that judging it takes long.
        """
        before = time.process_time()
        try:
            with deadline(JUDGE_SECONDS, cpu=True, load=LOAD):
                result = judged(question, data, attempt)
        except (Exception, OutOfTime) as fault:
            return self._fault(question, f"the reply to {question.id} could not be judged", fault)
        finally:
            self.session.seconds += time.process_time() - before
        mark = _mark(question, result.status, result.message, result.points, result.mistake)
        return replace(mark, parts=result.parts)

    def _fault(self, question: Question, what: str, fault: BaseException) -> Mark:
        """Give no points where the check itself fails, and let the teacher know."""
        self.trouble(Ended.PARTIAL, f"{what}: {type(fault).__name__}")
        return _mark(question, Status.FAULT, f"The check itself failed: {type(fault).__name__}: {fault}")


def _ended(ends: list[Ended]) -> Ended:
    """Return how all ended: what ended before its time says more than what merely was not whole."""
    return next((end for end in ends if end is not Ended.PARTIAL), Ended.PARTIAL) if ends else Ended.OK


def _mark(question: Question, status: Status, message: str, points: int = 0, mistake: str | None = None) -> Mark:
    known = None if mistake is None else clean(mistake, 200)
    return Mark(question.id, str(status), points, question.points, clean(message, MOST_TEXT), known)


def _attempt(step: Step) -> Attempt:
    """Return the attempt that the worker reports. Raises Malformed unless it looks like one."""
    said, status, message = step.said, step.said.get("status"), step.said.get("message", "")
    if status not in list(FROM_THE_WORKER) or not isinstance(message, str):
        raise wire.Malformed("it has no status")
    reply = said.get("reply")
    if reply is not None and not isinstance(reply, dict):
        raise wire.Malformed("it is no reply")
    return Attempt(reply, Status(status), message)


def _seed(salt: bytes, question_id: str) -> int:
    return int.from_bytes(hashlib.sha256(salt + question_id.encode()).digest())


def _modules(asked: list[Question]) -> list[str]:
    """Return what the worker loads before the first cell: the modules of the code that probes."""
    used = [kind for question in asked for kind in (probing_class(question), getattr(question, "helper", None))]
    return sorted({kind.__module__ for kind in used if kind})


def _torch(notebook: Submission, asked: list[Question]) -> str:
    """Return how much of torch the worker loads, before anybody's time counts: as `needs_torch` of a question says."""
    needs = {question.needs_torch for question in asked}
    if "optimiser" in needs:
        return "optimiser"
    return "tensors" if "tensors" in needs or any("torch" in cell for cell in notebook.cells) else ""
