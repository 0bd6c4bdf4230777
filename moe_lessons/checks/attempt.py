"""Try an answer: all that touches a learner's code, for the kernel at home and the worker of the grader alike."""

import functools
import inspect
import linecache
import sysconfig
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from moe_lessons.checks.blocking import UsesReference, blocked
from moe_lessons.checks.calls import AnswerRaised
from moe_lessons.checks.deadline import OutOfTime, deadline
from moe_lessons.checks.question import Data, Question, Reply
from moe_lessons.checks.values import describe, plain

PACKAGE = Path(__file__).parents[1]
LOAD = 10  # as many times as long a check may take beside others, as the grader's backstop allows
LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))


class Status(StrEnum):
    """How a check ended."""

    NOT_ATTEMPTED = "not attempted yet"
    RAISED = "your code raised"
    NOT_YET = "not yet"
    CORRECT = "correct"
    UNKNOWN = "no such question"
    FAULT = "the check itself failed"


@dataclass(frozen=True)
class Attempt:
    """What came of trying an answer: the reply of `probe`, or else the status and the message that say why not.

    Of an answer that raised, the reply holds what came before.
    """

    reply: Reply | None = None
    status: Status = Status.NOT_YET
    message: str = ""


def attempted(question: Question, answer: Any, draw: Callable[[], Data]) -> tuple[Data, Attempt]:
    """Look at an answer, then try it on drawn data. Whatever an answer does while it is looked at, counts as raised."""
    try:
        with deadline(question.seconds):
            attempt = refused(question, answer)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        attempt = _told(question, error, question.seconds)
    if attempt:
        return {}, attempt
    data = draw()
    return data, tried(question, answer, data, question.seconds)


def refused(question: Question, answer: Any) -> Attempt | None:
    """Say why an answer is not tried at all: nothing was filled in, or it cannot be called as asked."""
    if untouched(answer):
        return Attempt(status=Status.NOT_ATTEMPTED)
    unfit = _unfit(question, answer)
    return Attempt(message=unfit) if unfit else None


def tried(question: Question, answer: Any, data: Data, seconds: float, cpu: bool = False) -> Attempt:
    """Let the question probe the answer for at most `seconds` (of CPU time if `cpu`); say what came or went wrong.

    By the clock it may take LOAD times as long where other programs kept it waiting: what is right does not depend on
    them.

    KeyboardInterrupt passes: it is the learner's own.
    """
    try:
        with blocked(question.stands_for), warnings.catch_warnings(), deadline(seconds, cpu, LOAD):
            warnings.simplefilter("default")  # shown once, as something that the learner's code printed
            return Attempt(question.probe(answer, data))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _told(question, error, seconds)


def untouched(answer: Any) -> bool:
    """Tell whether nothing was filled in: `...`, or a collection of nothing but `...`."""
    if isinstance(answer, (dict, list, tuple)) and answer:
        return all(untouched(entry) for entry in (answer.values() if isinstance(answer, dict) else answer))
    return answer is ...


def _unfit(question: Question, answer: Any) -> str:
    """Say why the answer cannot be tried at all, or return nothing."""
    if not question.parameters:
        return "Expected values, not a function. Call it first?" if inspect.isroutine(answer) else ""
    wanted = f"{question.answer}({', '.join(question.parameters)})"
    is_class, kind = inspect.isclass(answer), question.asks_for
    if not (is_class if kind == "class" else callable(answer)):
        return f"Expected the {kind} {wanted}, not called: came {describe(plain(answer))}."
    if is_class and kind != "class":
        return f"Expected the function {wanted}, came the class {answer.__name__}."
    if original := next(filter(_is_own, inspect.getmro(answer) if is_class else (_unwrapped(answer),)), None):
        return f"This is the course's `{getattr(original, '__name__', original)}`. Write {wanted} yourself."
    try:
        inspect.signature(answer).bind(*question.parameters)
    except TypeError:
        return f"Expected a {kind} to call as {wanted}; yours is {question.answer}{inspect.signature(answer)}."
    except Exception:  # built-in functions that tell nothing of their arguments, or an odd `__signature__`
        return ""
    return ""


def _is_own(original: Any) -> bool:
    """Tell whether a function or a class is the course's."""
    return str(getattr(original, "__module__", "")).split(".")[0] == "moe_lessons"


def _unwrapped(answer: Any) -> Any:
    """Return the function inside `functools.partial` and `functools.wraps`."""
    while isinstance(answer, functools.partial):
        answer = answer.func
    return inspect.unwrap(answer)


def _told(question: Question, error: BaseException, seconds: float) -> Attempt:
    """Say what stopped the learner's code. The error may be of a class that does not let itself be looked at."""
    try:
        with deadline(seconds):
            return _stopped(question, error, seconds)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return Attempt(status=Status.RAISED, message="It raised an error that cannot be shown.")


def _stopped(question: Question, error: BaseException, seconds: float) -> Attempt:
    """Say what stopped the learner's code, and where."""
    inputs, cause = (str(error), error.__cause__) if isinstance(error, AnswerRaised) else ("", error)
    where = _learner_line(cause) if cause else ""
    if _is_stub(cause):
        return Attempt(status=Status.NOT_ATTEMPTED)
    if isinstance(cause, UsesReference):
        return Attempt(message=str(cause))
    if isinstance(cause, OutOfTime):
        return Attempt(message=f"Stopped after {seconds:g} seconds: a loop that does not end?\n{where}")
    lines = [
        where,
        described(cause),
        f"It was called with {inputs}." if inputs else "",
    ]
    if inputs and isinstance(cause, (ValueError, TypeError, IndexError, RuntimeError, ZeroDivisionError)):
        lines.append(question.when_raised)
    message = "\n".join(line for line in lines if line)
    return Attempt(error.reply if isinstance(error, AnswerRaised) else None, Status.RAISED, message)


def _is_stub(error: BaseException | None) -> bool:
    """Tell the exercise's own `raise NotImplementedError` from one of a library."""
    if not isinstance(error, NotImplementedError) or error.args:
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    return not _is_foreign(last.filename)


def _is_foreign(filename: str) -> bool:
    """Tell whether a file is the course's or a library's, not the learner's."""
    return Path(filename).is_relative_to(PACKAGE) or filename.startswith(LIBRARIES)


def _learner_line(error: BaseException) -> str:
    """Return the last line of the learner's own code in a traceback, with its number."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not _is_foreign(frame.filename) and frame.lineno:
            line = linecache.getline(frame.filename, frame.lineno).strip()
            return f"line {frame.lineno} of its cell, in {frame.name}: {line}"
    # An alarm that rang once more while the first one was on its way knows the line no longer; that one does.
    return _learner_line(error.__context__) if error.__context__ else ""


def described(error: BaseException | None) -> str:
    """Name an error with its words, on one line."""
    return f"{type(error).__name__}: {_one_line(error)}"


def _one_line(error: BaseException | None) -> str:
    try:
        words = " ".join(str(error).split())
    except Exception:  # an error class of the learner's that cannot be written
        return ""
    return words if len(words) <= 300 else words[:297] + "..."
