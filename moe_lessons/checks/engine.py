"""`check`: run one question on a learner's answer and say, in plain words, how it went. It never raises."""

import contextlib
import difflib
import functools
import importlib
import inspect
import io
import linecache
import secrets
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from moe_lessons.checks import records
from moe_lessons.checks.deadline import OutOfTime, deadline
from moe_lessons.checks.question import AnswerRaised, Question, Verdict
from moe_lessons.checks.registry import questions
from moe_lessons.checks.values import describe, plain
from moe_lessons.storage import home

PACKAGE = Path(__file__).parents[1]
LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
PRINTED_LINES, PRINTED_CHARACTERS = 10, 2_000


class Status(StrEnum):
    """How a check ended."""

    NOT_ATTEMPTED = "not attempted yet"
    RAISED = "your code raised"
    NOT_YET = "not yet"
    CORRECT = "correct"
    UNKNOWN = "no such question"
    FAULT = "the check itself failed"


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


class UsesReference(BaseException):
    """The answer calls the package's function that it was asked to write. No `except Exception` hides it."""


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
        result = _not_yet(question, "Your code took too long. Run the check again.", seed)
    except Exception as fault:
        message = (
            f"A fault of the course, not yours. Please report it with seed {seed}: {type(fault).__name__}: {fault}"
        )
        result = Result(question.id, Status.FAULT, message, seed=seed)
    return _say(result, _counted(question, result), printed)


_running = threading.Lock()


def _examine(question: Question, answer: Any, seed: int) -> Result:
    """Draw, probe and judge; turn whatever happens into a result."""
    if _untouched(answer):
        return Result(question.id, Status.NOT_ATTEMPTED)
    unfit = _unfit(question, answer)
    if unfit:
        return _not_yet(question, unfit, seed)
    data = question.draw(np.random.default_rng(seed))
    try:
        with _reference_blocked(question, answer), warnings.catch_warnings(), deadline(question.seconds):
            warnings.simplefilter("default")  # shown once, as something that the learner's code printed
            reply = question.probe(answer, data)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _stopped(question, error, seed)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what the judge computes on is the learner's, the warning would be ours
        return _judged(question, question.judge(data, reply), seed)


def _untouched(answer: Any) -> bool:
    """Tell whether nothing was filled in: `...`, or a collection of nothing but `...`."""
    if isinstance(answer, (dict, list, tuple)) and answer:
        return all(_untouched(entry) for entry in (answer.values() if isinstance(answer, dict) else answer))
    return answer is ...


def _unfit(question: Question, answer: Any) -> str:
    """Say why the answer cannot be tried at all, or return nothing."""
    if not question.parameters:
        return "Expected values, not a function. Call it first?" if inspect.isroutine(answer) else ""
    wanted = f"{question.answer}({', '.join(question.parameters)})"
    if not callable(answer):
        return f"Expected the function {wanted}, not called: came {describe(plain(answer))}."
    if inspect.isclass(answer):
        return f"Expected the function {wanted}, came the class {answer.__name__}."
    original = _unwrapped(answer)
    if str(getattr(original, "__module__", "")).split(".")[0] == "moe_lessons":
        return f"This is the course's `{getattr(original, '__name__', original)}`. Write {wanted} yourself."
    try:
        inspect.signature(answer).bind(*question.parameters)
    except TypeError:
        return f"Expected a function to call as {wanted}; yours is {question.answer}{inspect.signature(answer)}."
    except ValueError:  # built-in functions that tell nothing of their arguments
        return ""
    return ""


def _unwrapped(answer: Any) -> Any:
    """Return the function inside `functools.partial` and `functools.wraps`."""
    while isinstance(answer, functools.partial):
        answer = answer.func
    return inspect.unwrap(answer)


@contextlib.contextmanager
def _reference_blocked(question: Question, answer: Any) -> Iterator[None]:
    """Put a function that raises in place of the package's own answers, in the package and in the notebook."""
    restore: list[tuple[dict, str, Any]] = []
    for name in question.stands_for:
        module_name, _, function = name.rpartition(".")
        module = importlib.import_module(f"moe_lessons.{module_name}")
        original = getattr(module, function)
        for space in (vars(module), getattr(_unwrapped(answer), "__globals__", {})):
            for key in [key for key, value in space.items() if value is original]:
                restore.append((space, key, original))
                space[key] = _blocked(function)
    try:
        yield
    finally:
        for space, key, original in restore:
            space[key] = original


def _blocked(name: str) -> Callable[..., None]:
    def stub(*_args: Any, **_kwargs: Any) -> None:
        raise UsesReference(f"This uses the course's `{name}`, which is the answer. Write yours without it.")

    return stub


def _stopped(question: Question, error: BaseException, seed: int) -> Result:
    """Turn what stopped the learner's code into a result."""
    inputs, cause = (str(error), error.__cause__) if isinstance(error, AnswerRaised) else ("", error)
    where = _learner_line(cause) if cause else ""
    if _is_stub(cause):
        return Result(question.id, Status.NOT_ATTEMPTED)
    if isinstance(cause, UsesReference):
        return _not_yet(question, str(cause), seed)
    if isinstance(cause, OutOfTime):
        return _not_yet(
            question, f"Stopped after {question.seconds:g} seconds: a loop that does not end?\n{where}", seed
        )
    lines = [
        where,
        f"{type(cause).__name__}: {_one_line(cause)}",
        f"It was called with {inputs}." if inputs else "",
    ]
    if inputs and isinstance(cause, (ValueError, IndexError, RuntimeError)):
        lines.append(question.when_raised)
    return Result(question.id, Status.RAISED, "\n".join(line for line in lines if line), seed=seed)


def _is_stub(error: BaseException | None) -> bool:
    """Tell the exercise's own `raise NotImplementedError` from one of a library."""
    if not isinstance(error, NotImplementedError) or error.args:
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    return not _is_foreign(last.filename)


def _is_foreign(filename: str) -> bool:
    """Tell whether a file is the course's or a library's, not the learner's."""
    return Path(filename).is_relative_to(PACKAGE) or filename.startswith(LIBRARIES)


def _judged(question: Question, verdict: Verdict, seed: int) -> Result:
    if verdict.correct:
        return Result(question.id, Status.CORRECT, verdict.message, points=question.points, seed=seed)
    return _not_yet(question, verdict.message, seed, verdict.mistake)


def _not_yet(question: Question, message: str, seed: int, mistake: str | None = None) -> Result:
    return Result(question.id, Status.NOT_YET, message, mistake, seed=seed)


def _learner_line(error: BaseException) -> str:
    """Return the last line of the learner's own code in a traceback, with its number."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not _is_foreign(frame.filename) and frame.lineno:
            line = linecache.getline(frame.filename, frame.lineno).strip()
            return f"line {frame.lineno} of its cell, in {frame.name}: {line}"
    return ""


def _one_line(error: BaseException | None) -> str:
    words = " ".join(str(error).split())
    return words if len(words) <= 300 else words[:297] + "..."


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
