"""`check`: run one question on a learner's answer and say, in plain words, how it went. It never raises."""

import contextlib
import difflib
import io
import secrets
import threading
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons.checks import records
from moe_lessons.checks.attempt import Attempt, Status, refused, tried
from moe_lessons.checks.deadline import OutOfTime
from moe_lessons.checks.question import Data, Question
from moe_lessons.checks.registry import questions
from moe_lessons.support.storage import home

PRINTED_LINES, PRINTED_CHARACTERS = 10, 2_000


@dataclass(frozen=True)
class Result:
    """What `check` returns: the status, the message that was printed, and the mistake that was recognised."""

    question: str
    status: Status
    message: str = ""
    mistake: str | None = None
    points: int = 0
    seed: int | None = None

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
    """Check an answer, print the verdict, count the attempt. `seed` repeats a check with the very same inputs."""
    question = questions().get(str(question_id))
    if question is None:
        return _say(Result(str(question_id), Status.UNKNOWN, _nearest(str(question_id))))
    if _running.locked():
        return _say(Result(question.id, Status.NOT_YET, "Call `check` in a cell of its own, not inside an answer."))
    seed = secrets.randbits(32) if seed is None else seed
    printed = Printed()
    try:
        with _running, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            result = _examine(question, answer, seed)
    except OutOfTime:  # an alarm that rang just as the answer returned
        result = Result(question.id, Status.NOT_YET, "Your code took too long. Run the check again.", seed=seed)
    except Exception as fault:
        message = (
            f"A fault of the course, not yours. Please report it with seed {seed}: {type(fault).__name__}: {fault}"
        )
        result = Result(question.id, Status.FAULT, message, seed=seed)
    return _say(result, _counted(question, result), printed)


_running = threading.Lock()


def _examine(question: Question, answer: Any, seed: int) -> Result:
    """Draw, probe and judge; turn whatever happens into a result."""
    attempt = refused(question, answer)
    if attempt:
        return judged(question, {}, attempt, seed)
    data = question.made_ready().draw(np.random.default_rng(seed))
    return judged(question, data, tried(question, answer, data, question.seconds), seed)


def judged(question: Question, data: Data, attempt: Attempt, seed: int | None = None) -> Result:
    """Turn an attempt on `data` into a result. Whatever `judge` raises passes."""
    if attempt.reply is None:
        return Result(question.id, attempt.status, attempt.message, seed=seed)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what the judge computes on is the learner's, the warning would be ours
        verdict = question.judge(data, attempt.reply)
    if verdict.correct:
        return Result(question.id, Status.CORRECT, verdict.message, points=question.points, seed=seed)
    return Result(question.id, Status.NOT_YET, verdict.message, verdict.mistake, seed=seed)


def _nearest(question_id: str) -> str:
    near = difflib.get_close_matches(question_id, questions(), n=5, cutoff=0.3) or list(questions())[:5]
    return f"Questions are named by set and number. Near yours: {', '.join(sorted(near))}."


def _counted(question: Question, result: Result) -> str:
    """Keep the attempt and return a line about it."""
    if result.status in (Status.NOT_ATTEMPTED, Status.FAULT):
        return ""
    try:
        known = records.record(question.id, result.status == Status.CORRECT)
    except OSError as error:
        return f"(Your progress could not be saved in {home()}: {error.strerror or error})"
    if result.status == Status.CORRECT:
        return f"{result.points} of {question.points} points. Attempts: {known['attempts']}."
    again = f" (Same inputs again: check(..., seed={result.seed}))" if question.random_inputs else ""
    return f"Attempt {known['attempts']}. Hints are folded above.{again}"


def _say(result: Result, counted: str = "", printed: Printed | None = None) -> Result:
    """Print the verdict, then the beginning of what the learner's code printed."""
    mark = {Status.CORRECT: "✓", Status.NOT_ATTEMPTED: "·"}.get(result.status, "✗")
    print(f"{mark} {result.question}: {result.status}")
    for line in [*result.message.split("\n"), counted]:
        if line:
            print(f"  {line}")
    if printed and printed.getvalue().strip():
        print("  Your code printed:")
        _say_printed(printed)
    return result


def _say_printed(printed: Printed) -> None:
    lines = printed.getvalue().splitlines()
    for line in lines[:PRINTED_LINES]:
        print(f"  | {line}")
    if len(lines) > PRINTED_LINES or printed.dropped:
        print("  | ... and more")
