"""What the worker needs to fork with a deadline: watching a child, and the memory in which a child reports."""

import contextlib
import math
import mmap
import os
import resource
import signal
import socket
import time

from moe_lessons.grading import wire
from moe_lessons.grading.patience import Patience

REACHED = b'{"dict": [["reached", [%9d, %9d]]]}'  # as `wire` writes it
REACHED_HEAD = wire.HEAD.pack(len(REACHED % (0, 0)))
GRACE = 2.0  # seconds of CPU time beyond the alarm, after which the kernel ends a process
TICKS = 1.0  # seconds of CPU time by which the kernel's limit and the exact clock may differ
GREETING_SECONDS = 10.0  # of the clock's: a fork of a process that has just come to its end greets at once


def greeted(mine: socket.socket) -> bool:
    """Tell whether an heir is there."""
    mine.settimeout(GREETING_SECONDS)
    try:
        return bool(mine.recv(1))
    except OSError:
        return False


def drain(mine: socket.socket) -> None:
    """Close a socket once the heir has closed its end. Before, it would lose what is still on its way to the heir.

    (A socket closed with something unread in it resets the connection, and a cell can write into this one.)
    """
    mine.settimeout(GREETING_SECONDS)
    with contextlib.suppress(OSError):
        while mine.recv(2**16):
            pass
    mine.close()


def reap() -> None:
    """Bury this process's own dead children, which count as processes until then."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def try_to_fork() -> None:
    """Raise OSError, or whatever a hook raises, in a process that cannot do what an heir must be able to do."""
    with report():
        for end in socket.socketpair():
            end.close()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def limit_cpu(seconds: float) -> None:
    """Let the kernel end this process once it has used its CPU time; a handler can put that off to the hard limit."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = math.ceil(seconds) if hard == resource.RLIM_INFINITY else min(math.ceil(seconds), hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def watched(child: int, seconds: float, wall: float) -> tuple[str, float, int]:
    """Wait for a child. Return how it ended, the CPU seconds that it used, and its exit code."""
    patience, pause = Patience(child), 0.001
    until = patience.begin + wall
    pid, status, usage = os.wait4(child, os.WNOHANG)
    while not pid:
        if time.monotonic() > until and patience.spent() > wall:
            os.kill(child, signal.SIGKILL)
            return "timed out", os.wait4(child, 0)[2].ru_utime, -signal.SIGKILL
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
        pid, status, usage = os.wait4(child, os.WNOHANG)
    used, code = usage.ru_utime + usage.ru_stime, os.waitstatus_to_exitcode(status)
    if used > seconds + GRACE + TICKS:  # it, or what it waited for, heard no signal: what it did then does not count
        return "timed out", used, -signal.SIGXCPU
    return ("timed out" if _ended_by_limit(code, used, seconds) else "killed"), used, code


def _ended_by_limit(code: int, used: float, seconds: float) -> bool:
    """Tell whether the kernel ended a process for its use of CPU time.

    Its signal says so. A process that handles this signal is killed later, at the hard limit: then the seconds say so.
    They alone would not do: the limit counts clock ticks, the seconds are exact, and on a busy machine they part.
    """
    return code == -signal.SIGXCPU or (code == -signal.SIGKILL and used >= 0.8 * seconds)


def report() -> mmap.mmap:
    """Return memory that this process and its forks share. No file: the disk may be full."""
    return mmap.mmap(-1, wire.HEAD.size + wire.MOST_BYTES)


def write(report: mmap.mmap, message: dict) -> None:
    """Let a message be what a report holds. Raises ValueError for too large a one."""
    content = wire.dumps(message)
    report.seek(0)
    report.write(wire.HEAD.pack(len(content)) + content)


def write_reached(report: mmap.mmap, statement: int, line: int) -> None:
    """Let a report say {"reached": [statement, line]}, by nothing that a cell may have put out of order."""
    report.seek(0)
    report.write(REACHED_HEAD + REACHED % (statement, line))


def read(report: mmap.mmap) -> dict:
    """Return what a child wrote, or nothing if that is no dict of plain data."""
    report.seek(0)
    (length,) = wire.HEAD.unpack(report.read(wire.HEAD.size))
    try:
        said = wire.loads(report.read(length))
    except wire.Malformed:
        return {}
    return said if isinstance(said, dict) else {}


def address_space() -> int:
    """Return the bytes of address space in use: the limit counts from here."""
    try:
        with open("/proc/self/statm") as stream:
            return int(stream.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
