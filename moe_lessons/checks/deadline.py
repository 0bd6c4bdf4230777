"""Stop a Python loop that does not end, without swallowing the learner's own interrupt."""

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

REPEAT_SECONDS = 0.05  # a bare `except:` may swallow one alarm, so it rings until the block is left
LEAST = 1e-3  # seconds; less is not worth another alarm
PATIENCE = 3  # alarms before the code is watched for catching them


class OutOfTime(BaseException):
    """The code under the deadline took too long. Not an Exception, so that `except Exception` lets it pass."""


def deadline(seconds: float, cpu: bool = False, load: float = 1.0) -> AbstractContextManager[None]:
    """Raise OutOfTime inside the block after `seconds`. One long C call is noticed only when it returns.

    `cpu` counts the CPU time of this process, not the clock's (in the main thread, on Linux and macOS). By the clock,
    a block that others kept from the processor may take up to `load` times as long, while its own CPU time lasts.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and hasattr(signal, "setitimer"):
        return _Alarm(seconds, cpu, load)
    return _timer_thread(seconds, load)


def _allowance(seconds: float, load: float) -> Callable[[], float]:
    """Return what tells how many seconds are left to a block that begins now, by its CPU time and by the clock."""
    began, used = time.monotonic(), time.process_time()

    def left() -> float:
        own, by_the_clock = seconds - (time.process_time() - used), load * seconds - (time.monotonic() - began)
        return min(own, by_the_clock)

    return left


class _Alarm:
    """Uses the operating system's timer (Linux, macOS).

    A class, since an alarm may ring at any moment: raised in a generator's clean-up, or before it, it would leave the
    timer on and nobody to hear it, which ends the process.
    """

    def __init__(self, seconds: float, cpu: bool = False, load: float = 1.0) -> None:
        self.seconds, self.load, self.rings, self.over = seconds, load, 0, False
        self.clock, self.alarm = (signal.ITIMER_PROF, signal.SIGPROF) if cpu else (signal.ITIMER_REAL, signal.SIGALRM)

    def __enter__(self) -> None:
        self.left = _allowance(self.seconds, self.load)
        self.outside, self.tracer = _stack(sys._getframe()), sys.gettrace()
        self.handler = signal.signal(self.alarm, self.ring)
        self.timer = signal.setitimer(self.clock, self.seconds)

    def __exit__(self, *_: object) -> None:
        self.over = True
        signal.setitimer(self.clock, *self.timer)
        signal.signal(self.alarm, self.handler)
        sys.settrace(self.tracer)

    def ring(self, _signal: int, frame: FrameType | None) -> None:
        """Raise in the block, and set the timer anew: only now, for alarms must not ring inside alarms."""
        if self.over:
            return
        if (left := self.left()) > LEAST:
            signal.setitimer(self.clock, left)
            return
        inside = frame is None or frame.f_code not in (_Alarm.__enter__.__code__, _Alarm.__exit__.__code__)
        self.rings += inside
        if self.rings > PATIENCE:
            _raise_again_when_caught(frame, self.outside)
        signal.setitimer(self.clock, REPEAT_SECONDS)
        if inside:
            raise OutOfTime


def _stack(frame: FrameType | None) -> list[FrameType]:
    """Return a frame and all that called it, the innermost first."""
    frames = []
    while frame:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _raise_again_when_caught(frame: FrameType | None, outside: list[FrameType]) -> None:
    """Raise once more where an alarm was caught: inside `except` the loop's own `try` no longer protects it."""

    def trace(here: FrameType, _event: str, _argument: Any) -> Any:
        if here not in watched:  # called anew, perhaps by the clean-up that follows the deadline
            return None
        if isinstance(sys.exc_info()[1], OutOfTime):
            raise OutOfTime
        return trace

    watched = set(_stack(frame)) - set(outside)
    for inner in watched:
        inner.f_trace, inner.f_trace_opcodes = trace, True
    sys.settrace(trace)


@contextmanager
def _timer_thread(seconds: float, load: float = 1.0) -> Iterator[None]:
    """Use a thread that raises in the watched one (Windows, or a check that runs outside the main thread)."""
    watched = ctypes.c_ulong(threading.get_ident())
    finished, allowed = threading.Event(), _allowance(seconds, load)

    def ring() -> None:
        wait = seconds
        while not finished.wait(wait):
            if (left := allowed()) > LEAST:
                wait = left
                continue
            ctypes.pythonapi.PyThreadState_SetAsyncExc(watched, ctypes.py_object(OutOfTime))
            wait = REPEAT_SECONDS

    bell = threading.Thread(target=ring, daemon=True)
    bell.start()
    try:
        yield
    finally:
        finished.set()
        bell.join()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(watched, None)  # an alarm that rang at the very end
