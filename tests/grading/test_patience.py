"""A deadline must not depend on what else the machine does: standing in line is not counted, sleeping is."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from moe_lessons.grading import forks, patience
from moe_lessons.grading.patience import Patience

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who stands in line")
SPIN = [sys.executable, "-S", "-c", "while True: pass"]


@contextlib.contextmanager
def started(*commands):
    processes = [subprocess.Popen(command) for command in commands]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def forked(work):
    """Return the id of a child that does `work` and ends."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def pinned(work):
    """Return `work` kept to one processor, where others are put too."""

    def on_one():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        work()

    return on_one


def spin():
    while True:
        pass


@pytest.mark.slow
@linux
def test_standing_in_line_is_not_counted():
    one = min(os.sched_getaffinity(0))
    with started(SPIN, *[["taskset", "-c", str(one), *SPIN]] * 3) as (first, *_):
        os.sched_setaffinity(first.pid, {one})
        clock = Patience(first.pid)
        time.sleep(2)
        elapsed = time.monotonic() - clock.begin
        assert clock.spent() < 0.7 * elapsed
        assert clock.spent() >= elapsed / patience.MOST


@linux
def test_sleeping_is_counted():
    with started(["sleep", "60"]) as (sleeper,):
        clock = Patience(sleeper.pid)
        time.sleep(0.5)
        assert clock.spent() > 0.9 * 0.5


@pytest.mark.slow
@linux
def test_a_process_gains_nothing_from_children_that_stand_in_each_others_way():
    code = "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        while True: pass\ntime.sleep(60)"
    with started([sys.executable, "-S", "-c", code]) as (parent,):
        time.sleep(0.3)
        clock = Patience(parent.pid)
        time.sleep(1.5)
        members = patience.family(parent.pid)
        before, spent = clock.first, clock.spent()
        line, work = (now - then for now, then in zip(clock._totals(), before, strict=True))
        for member in members[1:]:
            os.kill(member, signal.SIGKILL)
    assert len(members) == 9
    assert line > 1.5  # more than has passed: by the line alone, no time at all would be counted
    assert spent >= work > 0


@linux
def test_a_process_that_is_gone_keeps_what_it_stood_and_never_runs_backwards():
    with started(SPIN) as (process,):
        time.sleep(0.3)
        clock = Patience(process.pid)
    before = clock._totals()
    clock.spent()
    assert clock._totals() >= before
    assert patience.line_and_work(process.pid) == (0, 0)


def test_a_clock_that_is_asked_often_looks_now_and_then_and_goes_on_meanwhile(monkeypatch):
    looks = []
    clock = Patience(os.getpid())
    monkeypatch.setattr(patience, "family", lambda pid: looks.append(pid) or [pid])
    monkeypatch.setattr(patience, "LOOK_SECONDS", 60.0)
    clock.looked = -60.0
    first = clock.spent()
    time.sleep(0.05)
    assert clock.spent() >= first + 0.05
    assert len(looks) == 1


@linux
def test_work_is_that_of_all_descendants_and_what_the_dead_did_stays():
    def works():
        if child := os.fork():
            os.waitpid(child, 0)
        while time.process_time() < 0.2:
            pass

    work = patience.Work(os.getpid())
    before = work.spent()
    child = forked(works)
    time.sleep(0.3)
    os.waitpid(child, 0)
    after = work.spent()
    assert after - before > 0.35
    assert patience.own_and_waited_for(child) == (0, 0)
    assert work.spent([child]) == after  # where nothing is told, it stays


@linux
def test_a_process_may_end_while_it_is_looked_at(monkeypatch):
    def gone(path):
        raise FileNotFoundError(path)

    assert patience.family(os.getpid()) != []
    monkeypatch.setattr(os, "scandir", gone)
    assert patience.family(os.getpid()) == [os.getpid()]
    assert patience.line_and_work(os.getpid()) == (0, 0)


@linux
@pytest.mark.parametrize("send", [signal.SIGXCPU, signal.SIGKILL, signal.SIGTERM])
def test_the_kernels_own_signal_says_that_time_was_up(send):
    """However few seconds the exact clock shows: the limit counts ticks. The controls: other signals do not say so."""
    child = forked(lambda: os.kill(os.getpid(), send))
    ended, _, code = forks.watched(child, 1.0, 60.0)
    assert (ended, code) == ("timed out" if send == signal.SIGXCPU else "killed", -send)


@pytest.mark.slow
@linux
def test_a_loop_is_timed_out_by_its_own_seconds_whatever_else_runs(monkeypatch):
    monkeypatch.setattr(patience, "MOST", 100.0)  # of another dozen processes it has seen no end in 30 seconds

    def limited():
        forks.limit_cpu(1.0)
        spin()

    one = str(min(os.sched_getaffinity(0)))
    with started(*[["taskset", "-c", one, *SPIN]] * 3):
        ended, used, code = forks.watched(forked(pinned(limited)), 1.0, 3.0)  # alone it takes one of these seconds
    assert (ended, code) == ("timed out", -signal.SIGXCPU)
    assert used > 0.5


def test_a_statement_that_is_reached_is_reported_as_the_wire_writes_it():
    with forks.report() as report:
        for where in ((0, 1), (12, 123_456_789)):
            forks.write_reached(report, *where)
            assert forks.read(report) == {"reached": [*where]}


def test_an_heir_that_comes_late_still_gets_what_was_sent():
    """A cell that writes into every descriptor leaves something unread; closed at once, the socket would be reset."""
    for close, late in ((forks.drain, b"channel"), (socket.socket.close, b"")):
        mine, theirs = socket.socketpair()
        theirs.sendall(b"forged")
        assert forks.greeted(mine)  # not by the heir
        mine.sendall(b"channel")
        child = forked(lambda theirs=theirs, mine=mine: (mine.close(), time.sleep(0.3), take(theirs)))
        theirs.close()
        close(mine)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == (7 if late else 1)


def take(theirs):
    """Greet; end with 7 if what was sent arrived, else with 1."""
    with contextlib.suppress(OSError):
        theirs.sendall(b".")
        os._exit(7 if theirs.recv(100) == b"channel" else 1)
    os._exit(1)
