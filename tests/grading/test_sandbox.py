"""What the sandbox shows and forbids, and what is said where there is none."""

import ast
import os
import sys

import pytest

from moe_lessons.grading import sandbox as module
from moe_lessons.grading import wire
from moe_lessons.grading.sandbox import Limits, Sandbox, available, beginning, trusted


@pytest.fixture(scope="module")
def seen(hostile_sandbox):
    """A function that evaluates an expression in a worker and returns its value, as far as its text tells."""
    running = hostile_sandbox.start()
    running.ask(beginning(hostile_sandbox, [], []), 60)

    def evaluate(expression):
        cell = f"import os, socket, resource, sys\nraise ValueError('<' + repr({expression}) + '>')"
        request = {"do": "cell", "source": cell, "number": 1, "definitions": False, "seconds": 5.0, "wall": 30.0}
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
    monkeypatch.setattr(module, "_bubblewrap", lambda limits: ["/bin/sh", "-c", "echo no namespaces here >&2; exit 1"])
    assert "no namespaces here" in available(Limits(start_seconds=10))


def test_a_trusted_sandbox_runs_cells_too(hostile_limits):
    sandbox = trusted(hostile_limits)
    assert isinstance(sandbox, Sandbox)
    running = sandbox.start()
    try:
        assert running.ask(beginning(sandbox, [], []), 60) == {"ended": "ready"}
        request = {"do": "cell", "source": "1 / 0", "number": 4, "definitions": False, "seconds": 1.0, "wall": 10.0}
        assert running.ask(request, 20)["notes"] == ["cell 4 raised ZeroDivisionError: division by zero"]
    finally:
        running.stop()
    with pytest.raises(wire.Closed):
        running.ask({}, 1)
