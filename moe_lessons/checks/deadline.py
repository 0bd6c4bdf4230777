"""Stop a Python loop that does not end, without swallowing the learner's own interrupt."""

import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

REPEAT_SECONDS = 0.05  # a bare `except:` may swallow one alarm, so it rings until the block is left
PATIENCE = 3  # alarms before the code is watched for catching them


class OutOfTime(BaseException):
    """The code under the deadline took too long. Not an Exception, so that `except Exception` lets it pass."""


@contextmanager
def deadline(seconds: float, cpu: bool = False) -> Iterator[None]:
    """Raise OutOfTime inside the block after `seconds`. One long C call is noticed only when it returns.

    `cpu` counts the CPU time of this process, not the clock's (in the main thread, on Linux and macOS).
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    with _alarm(seconds, cpu) if in_main_thread and hasattr(signal, "setitimer") else _timer_thread(seconds):
        yield


@contextmanager
def _alarm(seconds: float, cpu: bool = False) -> Iterator[None]:
    """Use the operating system's timer (Linux, macOS)."""
    clock, alarm = (signal.ITIMER_PROF, signal.SIGPROF) if cpu else (signal.ITIMER_REAL, signal.SIGALRM)
    outside, rings, tracer = _stack(sys._getframe()), 0, sys.gettrace()

    def ring(_signal: int, frame: FrameType | None) -> None:
        nonlocal rings
        rings += 1
        if rings > PATIENCE:
            _raise_again_when_caught(frame, outside)
        signal.setitimer(clock, REPEAT_SECONDS)  # only now: alarms must not ring inside alarms
        raise OutOfTime

    handler = signal.signal(alarm, ring)
    timer = signal.setitimer(clock, seconds)
    try:
        yield
    finally:
        try:
            signal.setitimer(clock, *timer)
        finally:  # also when a last alarm rings on the line above
            signal.signal(alarm, handler)
            sys.settrace(tracer)


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
def _timer_thread(seconds: float) -> Iterator[None]:
    """Use a thread that raises in the watched one (Windows, or a check that runs outside the main thread)."""
    watched = ctypes.c_ulong(threading.get_ident())
    finished = threading.Event()

    def ring() -> None:
        wait = seconds
        while not finished.wait(wait):
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
