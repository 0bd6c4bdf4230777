"""Functions that an answer is given to call, and must not look into: they work outside the sandbox.

Inside there is a stand-in, which asks for each call. So neither what a function is made of nor what is noted of the
calls is where an answer can read or rewrite it.
"""

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from moe_lessons.checks.calls import Lender, lent
from moe_lessons.checks.question import Data, Question
from moe_lessons.grading import wire

MOST_BYTES = 256 * 2**20  # of arguments, in one try: what is noted is kept
BYTES_A_CALL = 1000  # beside its argument


def lends(question: Question) -> bool:
    """Tell whether a question gives an answer functions that work outside."""
    helper = getattr(question, "helper", None)
    return isinstance(helper, type) and issubclass(helper, Lender)


def borrowed(question: Any, data: Data) -> Data:
    """Return the data for the sandbox: in each case what the stand-in needs, in the place of what functions are of."""
    how = question.helper
    cases = [(*case[:-1], [i, how.many(case[-1]), how.as_given]) for i, case in enumerate(data["cases"])]
    return {**data, "cases": cases}


class Lending:
    """The functions of one try, outside. seconds: the CPU time that they took."""

    def __init__(self, question: Any, data: Data, most_seconds: float) -> None:
        self.helpers = [question.helper(case[-1]) for case in data["cases"]]
        self.seconds, self.most_seconds, self.room = 0.0, most_seconds, MOST_BYTES

    def answer(self, call: Any) -> dict[str, Any]:
        """Return what a call gives, or the error that it raises.

        Raises wire.Malformed for what is no call, or too many, and TimeoutError where they take too long.
        """
        number, index, given = call if isinstance(call, list) and len(call) == 3 else (None, None, None)
        if type(number) is not int or type(index) is not int or not 0 <= number < len(self.helpers):
            raise wire.Malformed("it calls what it was not lent")
        self.room -= BYTES_A_CALL + (given.nbytes if isinstance(given, np.ndarray) else len(wire.dumps(given)))
        if self.room < 0:
            raise wire.Malformed("it calls what it was lent with more than anybody needs")
        before = time.process_time()
        with np.errstate(all="ignore"):
            said = _outcome(partial(self.helpers[number].work, index, given))
        self.seconds += time.process_time() - before
        if self.seconds > self.most_seconds:
            raise TimeoutError
        return said

    def noted(self) -> list[Any]:
        """Return what was noted, case by case."""
        return [helper.noted() for helper in self.helpers]


def _outcome(work: Any) -> dict[str, Any]:
    """Return what came of a call, or what it raised, in words."""
    try:
        return {"value": work()}
    except Exception as error:
        return {"raised": str(error)[:500]}


class Borrowed:
    """Stands in for a `Lender` in the sandbox: its functions ask on the worker's channel."""

    channel: ClassVar[socket.socket]
    alone: ClassVar[Lock] = Lock()

    def __init__(self, entry: Any) -> None:
        number, many, as_given = entry
        self.argument = lent(partial(self._ask, number), many, as_given)

    def _ask(self, number: int, index: int, given: Any) -> Any:
        with self.alone, _undisturbed():
            said = wire.exchange(self.channel, {"call": [number, index, given]})
        if "raised" in said:
            raise ValueError(said["raised"])
        return said["value"]

    def noted(self) -> None:
        """Return nothing: notes are taken outside."""


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let alarms wait: one in the midst of a frame would leave the rest of it to the next who reads."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF, signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
