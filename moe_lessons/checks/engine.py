"""`check`: run one question on a learner's answer and say, in plain words, how it went. It never raises."""

import contextlib
import difflib
import io
import secrets
import threading
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moe_lessons.checks import cards, records
from moe_lessons.checks.attempt import Attempt, Status, attempted, described
from moe_lessons.checks.deadline import OutOfTime
from moe_lessons.checks.parts import Part
from moe_lessons.checks.question import Data, Question, Reply
from moe_lessons.checks.registry import questions
from moe_lessons.checks.saying import one_output, say, say_at_once
from moe_lessons.checks.verdicts import Verdict

PRINTED_LINES, PRINTED_CHARACTERS = 10, 2_000


@dataclass(frozen=True)
class Result:
    """What `check` returns: the status, the message that was printed, and the mistake that was recognised.

    parts: of an answer that is not right, what of it is. verdict: what the message was made of, if it was judged.
    """

    question: str
    status: Status
    message: str = ""
    mistake: str | None = None
    points: int = 0
    seed: int | None = None
    parts: tuple[Part, ...] = ()
    verdict: Verdict | None = field(default=None, repr=False)

    def _ipython_display_(self) -> None:
        """Show nothing: `check` has printed its verdict already."""


class Printed(io.StringIO):
    """Keeps the beginning of what a learner's code prints, and counts the rest."""

    dropped = 0

    def write(self, text: str) -> int:
        """Keep `text` up to the limit."""
        kept = text[: max(0, PRINTED_CHARACTERS - self.tell())]
        self.dropped += len(text) - len(kept)
        super().write(kept)
        return len(text)

    def close(self) -> None:
        """Stay open, whatever the learner's code does with `sys.stdout`."""


def check(question_id: Any, answer: Any = ..., *, seed: int | None = None) -> Result:
    """Check an answer, print the verdict, count the attempt. `seed` repeats a check with the very same inputs.

    A notebook shows the verdict as a card, over the same lines as plain text.
    """
    seed = secrets.randbits(32) if seed is None else seed
    name, printed = _name(question_id), Printed()
    counted: Question | None = None
    try:
        counted, result = _examined(name, answer, seed, printed)
    except KeyboardInterrupt:
        raise
    except BaseException as fault:
        message = f"A fault of the course, not yours. Please report it with seed {seed}: {described(fault)}"
        result = Result(name, Status.FAULT, message, seed=seed)
    with one_output() as output:
        _say(result)
        count = _say_counted(counted, result) if counted is not None else ""
        lines = _say_printed(printed)
        output.html = lambda: cards.verdict_card(result, questions().get(result.question), count, lines)
    return result


_running = threading.Lock()


def _name(question_id: Any) -> str:
    """Return a question's id as text: `check(1.1, …)` means "1.1"."""
    try:
        return str.__str__(str(question_id))[:80]
    except KeyboardInterrupt:
        raise
    except BaseException:  # an object that does not let itself be written
        return "?"


def _examined(name: str, answer: Any, seed: int, printed: Printed) -> tuple[Question | None, Result]:
    """Draw, probe and judge. Returns the question, if the attempt counts, and the result."""
    question = questions().get(name)
    if question is None:
        return None, Result(name, Status.UNKNOWN, _nearest(name))
    if _running.locked():
        return None, Result(name, Status.NOT_YET, "Call `check` in a cell of its own, not inside an answer.")
    try:
        with _running, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            data, attempt = attempted(question, answer, lambda: question.made_ready().draw(np.random.default_rng(seed)))
            return question, judged(question, data, attempt, seed)
    except OutOfTime:  # an alarm that rang just as the answer returned
        return question, Result(name, Status.NOT_YET, "Your code took too long. Run the check again.", seed=seed)


def judged(question: Question, data: Data, attempt: Attempt, seed: int | None = None) -> Result:
    """Turn an attempt on `data` into a result. Whatever `judge` raises passes."""
    if attempt.reply is None:
        return Result(question.id, attempt.status, attempt.message, seed=seed)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what the judge computes on is the learner's, the warning would be ours
        if attempt.status == Status.RAISED:
            found = (attempt.message, _wrong_before(question, data, attempt.reply))
            return Result(question.id, attempt.status, "\n".join(filter(None, found)), seed=seed)
        verdict = question.verdict(data, attempt.reply)
    if verdict.correct:
        return Result(question.id, Status.CORRECT, verdict.message, points=question.points, seed=seed, verdict=verdict)
    message, name, parts = verdict.message, verdict.mistake, verdict.parts
    return Result(question.id, Status.NOT_YET, message, name, seed=seed, parts=parts, verdict=verdict)


def _wrong_before(question: Question, data: Data, reply: Reply) -> str:
    """Show the first wrong case of those before the one that raised. Which mistake it is, only all cases tell."""
    with contextlib.suppress(Exception):  # the reply may be forged, and not every question judges some of its cases
        cases = data["cases"][: len(reply["values"])]
        verdict = question.judge({**data, "cases": cases}, reply)
        if not verdict.correct and verdict.seen and verdict.case:
            return f"Before it raised, what came was wrong already:\n{verdict.seen}\n{verdict.case}"
    return ""


def _nearest(question_id: str) -> str:
    near = difflib.get_close_matches(question_id, questions(), n=5, cutoff=0.3) or list(questions())[:5]
    return f"Questions are named by set and number. Near yours: {', '.join(sorted(near))}."


def _say_counted(question: Question, result: Result) -> str:
    """Keep the attempt and say so; return what is said of the count. A verdict does not wait until it is kept."""
    if result.status == Status.NOT_ATTEMPTED:
        return ""
    if result.status == Status.CORRECT and question.takeaway:
        _say_line(f"Worth keeping: {question.takeaway}")
    try:
        attempts = records.record(question.id, result.status == Status.CORRECT, _say_line_at_once)["attempts"]
    except Exception as error:
        count = f"(Your progress could not be saved: {described(error)}; {records.place()})"
        _say_line(count)
        return count
    if result.status == Status.CORRECT:
        count = f"{result.points} of {question.points} points. Attempts: {attempts}."
        _say_line(count)
        return count
    again = f" (Same inputs again: check(..., seed={result.seed}))" if question.random_inputs else ""
    _say_line(f"Attempt {attempts}. Hints are folded above.{again}")
    return f"Attempt {attempts}.{again}"


def _say(result: Result) -> None:
    """Print the verdict."""
    mark = {Status.CORRECT: "✓", Status.NOT_ATTEMPTED: "·"}.get(result.status, "✗")
    say(f"{mark} {result.question}: {result.status}")
    for line in filter(None, result.message.split("\n")):
        _say_line(line)


def _say_line(line: str) -> None:
    say(f"  {line}")


def _say_line_at_once(line: str) -> None:
    say_at_once(f"  {line}")


def _say_printed(printed: Printed) -> list[str]:
    """Print the beginning of what the learner's code printed; return these lines."""
    if not printed.getvalue().strip():
        return []
    lines = printed.getvalue().splitlines()
    more = ["... and more"] if len(lines) > PRINTED_LINES or printed.dropped else []
    shown = [*lines[:PRINTED_LINES], *more]
    for line in ["Your code printed:", *(f"| {line}" for line in shown)]:
        _say_line(line)
    return shown
