"""Every hostile kind gets the status and the marks it must get, and reaches nothing outside its sandbox."""

import importlib
import json
import socket
from dataclasses import replace

import hostile
import pytest
from hostile import KINDS, Place, write

from moe_lessons.checks import questions
from moe_lessons.checks.engine import Status
from moe_lessons.grading.grade import grade_submission
from moe_lessons.grading.records import Ended, Record
from moe_lessons.grading.sandbox import trusted

for _module in ("cheating", "files", "reaching_out", "running"):
    importlib.import_module(f"hostile.{_module}")

ASKED = {id: replace(questions()[id], seconds=0.5) for id in ("1.1", "1.4")}
SECRET = b"the teacher's secret"
MARKER = "marker-of-another's-work"
pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A submission's place, with a neighbour's file, a folder anyone may write to, and a port that is listened on."""
    monkeypatch.setenv("TEACHERS_SECRET", MARKER)
    tmp_path.chmod(0o755)
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    folder = tmp_path / "submissions"
    (folder / "ada").mkdir(parents=True)
    neighbour = folder / "ada" / "homework.ipynb"
    neighbour.write_bytes(hostile.notebook([f"# {MARKER}", *hostile.honest()]))
    (folder / "eve").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        yield Place(folder / "eve" / "homework.ipynb", outside, neighbour, server.getsockname()[1]), server


def graded(place, sandbox):
    return grade_submission(place.path, place.path.parents[1], ASKED, SECRET, sandbox)


def escapes(place, server, record):
    """Return everything in which a submission reached what it should not."""
    found = [path.name for path in place.outside.iterdir()]
    try:
        server.accept()[0].close()
        found.append("network")
    except TimeoutError:
        pass
    text = json.dumps(record.as_json())
    return found + [word for word in (MARKER, SECRET.decode()) if word in text]


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_hostile_submission_gets_its_mark_and_harms_nothing(kind, place, hostile_sandbox):
    where, server = place
    write(where, kind.make(where))
    record = graded(where, hostile_sandbox)
    came = (record.ended, tuple(mark.points for mark in record.marks))
    assert came == (kind.ended, kind.points), f"{record.reason} ({record.seconds} s)"
    assert kind.words in json.dumps(record.as_json(), ensure_ascii=False), record
    assert escapes(where, server, record) == []
    assert Record.from_json(json.loads(json.dumps(record.as_json()))) == record
    assert record.learner == "eve"


def test_there_are_enough_kinds():
    assert len(KINDS) >= 40


@pytest.mark.parametrize("name", ["writes outside its folder", "uses the network", "reads anothers submission"])
def test_without_the_sandbox_an_escape_would_be_noticed(name, place, hostile_limits):
    """The control: harmless kinds, run as `--trusted` runs them, do what the sandbox prevents."""
    where, server = place
    write(where, KINDS[name].make(where))
    record = graded(where, trusted(hostile_limits))
    assert escapes(where, server, record) != []


def test_marks_that_are_right_by_chance_would_be_noticed(place, hostile_sandbox):
    """The control of the other half: an honest notebook has full marks, so a kind without any says something."""
    where, _ = place
    write(where, hostile.honest())
    record = graded(where, hostile_sandbox)
    assert (record.ended, record.total, record.possible) == (Ended.OK, 3, 3)
    assert {mark.status for mark in record.marks} == {str(Status.CORRECT)}
