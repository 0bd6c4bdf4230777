"""Every hostile kind gets the status and the marks it must get, and reaches nothing outside its sandbox."""

import importlib
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
STOPPED = {name: kind for name, kind in KINDS.items() if kind.ended == Ended.TIMED_OUT}
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def secret_in_the_environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEACHERS_SECRET", MARKER)
        yield


@contextmanager
def place_in(base):
    """A submission's place, with a neighbour's file, a folder anyone may write to, and a port that is listened on."""
    base.chmod(0o755)
    outside = base / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    folder = base / "submissions"
    (folder / "ada").mkdir(parents=True)
    neighbour = folder / "ada" / "homework.ipynb"
    neighbour.write_bytes(hostile.notebook([f"# {MARKER}", *hostile.honest()]))
    (folder / "eve").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        yield Place(folder / "eve" / "homework.ipynb", outside, neighbour, server.getsockname()[1]), server


@pytest.fixture
def place(tmp_path):
    with place_in(tmp_path) as made:
        yield made


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


def outcome(kind, base, sandbox):
    """Return the record of a kind's submission, and what it reached."""
    with place_in(base) as (where, server):
        write(where, kind.make(where))
        record = graded(where, sandbox)
        return record, escapes(where, server, record)


@pytest.fixture(scope="module")
def stopped(hostile_sandbox, tmp_path_factory):
    """The outcomes of the kinds that go on until they are stopped, by name: these run side by side."""
    bases = [tmp_path_factory.mktemp("stopped") for _ in STOPPED]
    with ThreadPoolExecutor(4) as pool:
        outcomes = pool.map(outcome, STOPPED.values(), bases, [hostile_sandbox] * len(STOPPED))
        return dict(zip(STOPPED, outcomes, strict=True))


def assert_harmless(kind, record, reached):
    assert (record.ended, tuple(mark.points for mark in record.marks)) == (kind.ended, kind.points), record
    assert kind.words in json.dumps(record.as_json(), ensure_ascii=False), record
    assert reached == []
    assert Record.from_json(json.loads(json.dumps(record.as_json()))) == record
    assert record.learner == "eve"


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS.values() if kind.name not in STOPPED], ids=lambda kind: kind.name
)
def test_a_hostile_submission_gets_its_mark_and_harms_nothing(kind, tmp_path, hostile_sandbox):
    assert_harmless(kind, *outcome(kind, tmp_path, hostile_sandbox))


@pytest.mark.xdist_group("stopped")
@pytest.mark.parametrize("kind", STOPPED.values(), ids=STOPPED)
def test_a_submission_that_has_to_be_stopped_gets_its_mark_and_harms_nothing(kind, stopped):
    assert_harmless(kind, *stopped[kind.name])


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


def test_all_time_is_kept_by_processes_that_leave_and_the_neighbour_has_her_marks(tmp_path, hostile_sandbox):
    """Each cell lets 11 seconds burn where nobody's child works. The limit of all stops that after two cells."""
    running = importlib.import_module("hostile.running")
    sandbox = replace(hostile_sandbox, limits=replace(hostile_sandbox.limits, all_seconds=6.0))
    with place_in(tmp_path) as (where, _), ThreadPoolExecutor(2) as pool:
        write(where, hostile.honest(*["burn(12, 0.9)"] * 6, before=running.ORPHANS))
        neighbour = pool.submit(graded, replace(where, path=where.neighbour), sandbox)
        eve = pool.submit(graded, where, sandbox).result()
    assert eve.ended == Ended.TIMED_OUT
    assert "all time was used up" in eve.reason
    assert 6.0 < eve.seconds < 6.0 + 2 * 5.0 + 2
    assert (neighbour.result().ended, neighbour.result().total) == (Ended.OK, 3)
