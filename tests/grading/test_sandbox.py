"""What the sandbox shows and forbids, and what is said where there is none."""

import ast
import ctypes
import errno
import os
import platform
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from moe_lessons.grading import patience, syscalls, wire
from moe_lessons.grading import sandbox as module
from moe_lessons.grading.sandbox import AS_IT_IS, Limits, Sandbox, available, beginning, trusted


@pytest.fixture(scope="module")
def seen(hostile_sandbox):
    """A function that evaluates an expression in a worker and returns its value, as far as its text tells."""
    running = hostile_sandbox.start()
    running.ask(beginning(hostile_sandbox, [], {}), 60)

    def evaluate(expression):
        cell = f"import os, socket, resource, sys\nraise ValueError('<' + repr({expression}) + '>')"
        request = {"do": "cell", "source": cell, "number": 1, **AS_IT_IS, "seconds": 5.0, "wall": 30.0}
        (note,) = running.ask(request, 60)["notes"]
        return ast.literal_eval(note[note.index("<") + 1 : note.rindex(">")])

    yield evaluate
    running.stop()


def test_the_worker_is_no_user_that_owns_anything(seen):
    assert seen("os.getuid()") not in (0, os.getuid())
    assert seen("os.getgroups()") in ([], [65534])
    assert seen("open('/proc/self/status').read().split('CapEff:')[1].split()[0]") == "0" * 16
    assert seen("open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0]") == "1"


def test_two_workers_are_two_users_where_root_starts_them():
    if os.geteuid() == 0:
        numbers = {module.next_uid() for _ in range(10)}
        assert len(numbers) == 10
        assert min(numbers) >= 2**30


def test_it_sees_the_course_and_not_the_home_of_the_user(seen):
    assert seen("os.path.isdir(os.path.dirname(os.__file__))")
    assert seen("os.listdir('/')") and "home" not in seen("os.listdir('/')")  # noqa: PT018
    assert seen("[p for p in os.listdir('/proc') if p.isdigit()].__len__()") < 8
    assert seen(f"os.path.exists({str(module.PACKAGE.parent / 'tests')!r})") is False
    assert seen(f"os.path.exists({str(module.PACKAGE)!r})") is True


def test_it_has_no_network_but_its_own_loop(seen):
    assert [name for _, name in seen("socket.if_nameindex()")] == ["lo"]


def test_its_environment_holds_nothing_of_the_users(seen, monkeypatch):
    assert set(seen("sorted(os.environ)")) <= {*module.ENVIRONMENT, "PWD", "LC_CTYPE"}


def test_its_limits_are_hard(seen, hostile_limits):
    assert seen("resource.getrlimit(resource.RLIMIT_FSIZE)") == (hostile_limits.file_bytes,) * 2
    assert seen("resource.getrlimit(resource.RLIMIT_NPROC)") == (hostile_limits.processes,) * 2
    space = seen("resource.getrlimit(resource.RLIMIT_AS)")
    assert space[0] == space[1] < 2 * hostile_limits.memory + 2**30


BURN = """
import os, signal, time
inlet, outlet = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        {leave}
        while time.process_time() < 0.5:
            pass
        os._exit(0)
    {wait}
os.close(outlet)
while os.read(inlet, 1):
    pass
"""
WAYS = {
    "children that are waited for": BURN.format(leave="pass", wait="os.wait()"),
    "orphans in a session of their own": BURN.format(leave="os.setsid()\n        if os.fork(): os._exit(0)", wait=""),
    "children whose death is told to nobody": "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    + BURN.format(leave="pass", wait=""),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_cpu_time_of_all_processes_is_seen_from_outside(sandbox, way):
    """Two seconds of it; of the last kind only what was seen while they lived, a little less."""
    running = sandbox.start()
    try:
        running.ask(beginning(sandbox, [], {}), 60)
        request = {"do": "cell", "source": WAYS[way], "number": 1, **AS_IT_IS, "seconds": 60.0, "wall": 600.0}
        assert running.ask(request, 600)["ended"] == "ran"
        assert 1.2 < running.used.cpu < 4
        assert running.used.clock > 0
        with pytest.raises(TimeoutError):
            running.ask(request, 600, 0.5)
    finally:
        running.stop()


def called(number, *arguments):
    """Return the error of a system call, as an expression; 0 where there is none."""
    call = f"c.CDLL(None, use_errno=True).syscall{(number, *arguments)}"
    return f"(lambda c: 0 if {call} >= 0 else c.get_errno())(__import__('ctypes'))"


@pytest.mark.parametrize("name", syscalls.FORBIDDEN)
def test_a_forbidden_call_fails(seen, name):
    assert seen(called(syscalls.FORBIDDEN[name][platform.machine()], -1, -1, -1, -1, -1)) == errno.EPERM


def test_a_call_that_is_not_forbidden_fails_otherwise(seen):
    """The control: the same call outside, and another inside."""
    number = syscalls.FORBIDDEN["memfd_create"][platform.machine()]
    assert ctypes.CDLL(None, use_errno=True).syscall(number, -1, -1) == -1
    assert ctypes.get_errno() in (errno.EINVAL, errno.EFAULT)
    assert seen(called(syscalls.SOCKET[platform.machine()], -2, 1, 0)) == errno.EPERM
    assert seen(called(syscalls.SOCKET[platform.machine()], 2, 99, 0)) == errno.EINVAL


@pytest.mark.parametrize("family", [17, 38, 40])
def test_sockets_of_unused_families_cannot_be_had(seen, family):
    assert seen(called(syscalls.SOCKET[platform.machine()], family, 1, 0)) == errno.EPERM


def test_an_unknown_machine_has_no_sandbox(hostile_sandbox, monkeypatch):
    monkeypatch.setattr(module.platform, "machine", lambda: "abacus")
    assert "not known for this machine, abacus" in available()


def test_when_memory_runs_out_it_is_the_first_to_go(seen):
    assert seen("open('/proc/self/oom_score_adj').read()") == "1000\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_memory_is_counted_of_children_of_threads_and_of_shared_mappings():
    """A process with a child of a thread's, which keeps a mapping that it never touched."""
    keep = "import mmap, os, threading, time\nkept = mmap.mmap(-1, 2**28)\n"
    fork = "def fork():\n    if os.fork():\n        print('forked', flush=True)\n    time.sleep(60)\n"
    source = f"{keep}{fork}threading.Thread(target=fork).start()\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            process.stdout.readline()
            family = patience.family(process.pid)
            assert len(family) == 2
            assert 2**28 < module._memory(family) < 2**29
            assert 2**28 < module._memory(family[1:]) < 2**29
            assert module._memory([]) == 0
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_sandbox_that_cannot_fork_is_noticed(hostile_sandbox, hostile_limits):
    said = available(replace(hostile_limits, processes=1))
    assert isinstance(said, str)
    assert "runs no cell" in said


@pytest.mark.parametrize("place", ["/", "/dev", "/usr", "/proc", str(module.PACKAGE), sys.prefix])
def test_nothing_can_be_written_but_its_own_disk(seen, place):
    assert seen(f"os.access({place!r}, os.W_OK)") is False
    assert seen("os.access('/tmp', os.W_OK)") is True


def test_without_bubblewrap_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    assert "bubblewrap is not installed" in available()


def test_elsewhere_than_on_linux_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert "for Linux" in available()


def test_a_bubblewrap_that_fails_is_quoted(monkeypatch):
    monkeypatch.setattr(module, "_bubblewrap", lambda *_: ["/bin/sh", "-c", "echo no namespaces here >&2; exit 1"])
    assert "no namespaces here" in available(Limits(start_seconds=10))


def test_a_trusted_sandbox_runs_cells_too(hostile_limits):
    sandbox = trusted(hostile_limits)
    assert isinstance(sandbox, Sandbox)
    running = sandbox.start()
    try:
        assert running.ask(beginning(sandbox, [], {}), 60) == {"ended": "ready"}
        request = {"do": "cell", "source": "1 / 0", "number": 4, **AS_IT_IS, "seconds": 1.0, "wall": 10.0}
        assert running.ask(request, 20)["notes"] == ["cell 4 raised ZeroDivisionError: division by zero"]
    finally:
        running.stop()
    with pytest.raises(wire.Closed):
        running.ask({}, 1)
