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

GREETING_SECONDS = 10.0  # of the clock's: a fork of a process that has just come to its end greets at once


def greeted(mine: socket.socket) -> bool:
    """Tell whether an heir is there."""
    mine.settimeout(GREETING_SECONDS)
    try:
        return bool(mine.recv(1))
    except OSError:
        return False


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
    until, pause = time.monotonic() + wall, 0.001
    pid, status, usage = os.wait4(child, os.WNOHANG)
    while not pid:
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            return "timed out", os.wait4(child, 0)[2].ru_utime, -signal.SIGKILL
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
        pid, status, usage = os.wait4(child, os.WNOHANG)
    used = usage.ru_utime + usage.ru_stime
    return ("timed out" if used >= 0.9 * seconds else "killed"), used, os.waitstatus_to_exitcode(status)


def report() -> mmap.mmap:
    """Return memory that this process and its forks share. No file: the disk may be full."""
    return mmap.mmap(-1, wire.HEAD.size + wire.MOST_BYTES)


def write(report: mmap.mmap, message: dict) -> None:
    """Let a message be what a report holds. Raises ValueError for too large a one."""
    content = wire.dumps(message)
    report.seek(0)
    report.write(wire.HEAD.pack(len(content)) + content)


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
