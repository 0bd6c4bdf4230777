"""Stop a Python loop that does not end, without swallowing the learner's own interrupt."""

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REPEAT_SECONDS = 0.05  # a bare `except:` may swallow one alarm, so it rings until the block is left


class OutOfTime(BaseException):
    """The code under the deadline took too long. Not an Exception, so that `except Exception` lets it pass."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise OutOfTime inside the block after `seconds`. One long C call is noticed only when it returns."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    with _alarm(seconds) if in_main_thread and hasattr(signal, "setitimer") else _timer_thread(seconds):
        yield


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Use the operating system's timer (Linux, macOS)."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
