"""Made records and folders, for tests that need no sandbox."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import pytest

from moe_lessons.checks.attempt import Status
from moe_lessons.checks.registry import questions
from moe_lessons.grading.cells import Notebook
from moe_lessons.grading.learners import learner
from moe_lessons.grading.records import Ended, Mark, Record
from moe_lessons.grading.sandbox import Limits, available

sys.path.insert(0, str(Path(__file__).parent))  # for the package `hostile`


def sandbox_or_skip(limits):
    """Return a sandbox. Without bubblewrap the tests are skipped, but where CI is set they fail."""
    sandbox = available(limits)
    if isinstance(sandbox, str):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sandbox)
    return sandbox


@pytest.fixture(scope="session")
def sandbox():
    """The sandbox, with the limits of everyday use."""
    return sandbox_or_skip(Limits())


@pytest.fixture(scope="session")
def hostile_limits():
    """Limits under which a loop without end costs a second, not a minute."""
    quick = {"cell_seconds": 1.0, "all_seconds": 60.0, "wall": 6.0, "slack_seconds": 2.0, "start_seconds": 60.0}
    return Limits(**quick, restarts=4, all_memory=2**30)


@pytest.fixture(scope="session")
def hostile_sandbox(hostile_limits):
    """A sandbox with those limits."""
    return sandbox_or_skip(hostile_limits)


def mark(question, status=Status.CORRECT, message="", mistake=None):
    possible = questions()[question].points
    points = possible if status == Status.CORRECT else 0
    return Mark(question, str(status), points, possible, message, mistake)


def record(file, *marks, ended=Ended.OK, **more):
    digest = hashlib.sha256(file.encode("utf-8", "surrogateescape")).hexdigest()
    return Record(file=file, learner=learner(file).name, digest=digest, ended=ended, marks=marks, **more)


@pytest.fixture
def notebook():
    """A notebook that runs here, with two answers: f, a function, and values."""
    before, path = sys.modules["__main__"], list(sys.path)
    made = Notebook({"1.1": ("f", 1), "1.2": ("values", 2), "1.p1": ("f", 5)})
    yield made
    sys.modules["__main__"], sys.path[:] = before, path
    if made.loop:
        made.loop.close()
        asyncio.set_event_loop(None)


@pytest.fixture
def made():
    """`made.record(file, made.mark("4.1"), ...)`: a record as the grader would return it."""

    class Made:
        pass

    Made.mark, Made.record = staticmethod(mark), staticmethod(record)
    return Made


@pytest.fixture
def submissions(tmp_path):
    """A function that writes files (path: text) into a folder and returns it."""
    folder = tmp_path / "submissions"

    def write(files):
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder

    return write
