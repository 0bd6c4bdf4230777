"""A teacher's own questions: of what is right, and of what they are called, nothing is in the sandbox."""

import json
from dataclasses import replace
from pathlib import Path

import hostile
import pytest

from moe_lessons.grading import sandbox as sandboxes
from moe_lessons.grading.grade import grade_submission
from moe_lessons.grading.questions import chosen
from moe_lessons.grading.records import Ended
from moe_lessons.grading.sandbox import trusted

SECRET_WORD = "quagga"  # in every text of the question, and as a number in what is right
OWN = """
import numpy as np

from moe_lessons.checks.question import FunctionQuestion, Mistake
from moe_lessons.checks.verdicts import by_value

quagga = 31337.0625


class Own(FunctionQuestion):
    def draw(self, rng):
        return {**super().draw(rng), "quagga": [self.reference(*case) for case in self.cases(rng)]}


def cases(rng):
    return [(rng.normal(size=2), rng.normal(size=(3, 2)), rng.normal(size=3))]


OWN = Own(
    id="1.quagga", title="quagga", kind="quagga", points=7, minutes=0, difficulty="hard", hints=("quagga", "quagga"),
    idea="quagga", takeaway="quagga", answer="my_logits", parameters=("x", "weight", "bias"), cases=cases,
    reference=lambda x, weight, bias: quagga + x @ weight.T + bias,
    mistakes=by_value("quagga: quagga", lambda x, weight, bias: quagga + x @ weight.T),
)
QUESTIONS = (OWN,)
"""

# Looks through frames, all objects, modules, processes and files, and raises where it has found something.
# What it looks for it holds only backwards.
# Its home is /tmp in the sandbox; without one it is a folder of its own, not all of the machine's /tmp.
HUNT = """
import gc, os, sys

def words(thing):
    try:
        return " ".join(map(repr, vars(thing).items() if hasattr(thing, "__dict__") else [thing]))
    except Exception:
        return ""

def texts():
    frame = sys._getframe(2)
    while frame:
        yield "frames", " ".join(map(words, frame.f_locals.values()))
        frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing) in (dict, list, tuple, set):
            for entry in [*thing, *(thing.values() if type(thing) is dict else ())]:
                yield "objects", entry if type(entry) in (str, float) else ""
    yield "modules", " ".join(sys.modules)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "cmdline", "maps"):
            try:
                yield f"/proc/{name}", open(f"/proc/{pid}/{name}", errors="replace").read()
            except OSError:
                pass
    for top in (os.environ["HOME"], "/dev/shm", PACKAGE):
        for folder, inner, names in os.walk(top):
            inner[:] = [name for name in inner if not os.path.ismount(os.path.join(folder, name))]
            for path in (os.path.join(folder, name) for name in names):
                if os.path.isfile(path):  # a pipe would be waited for
                    yield "files", open(path, errors="replace").read()

def is_it(text):
    return 31337.06 < text < 31337.07 if type(text) is float else "aggauq" in text[::-1]

def hunt():
    return sorted({place for place, text in texts() if is_it(text)})

def my_logits(x, weight, bias):
    raise ValueError(f"found: {hunt()} and before: {before}")
"""


@pytest.fixture
def asked(tmp_path):
    """A question of the course, and a private one about the same answer."""
    file = tmp_path / "own.py"
    file.write_text(OWN, encoding="utf-8")
    known = chosen(["01"], file)
    return {id: replace(known[id], seconds=20.0) for id in ("1.1", "1.quagga")}


def graded(folder, asked, sandbox, planted=""):
    """Grade a notebook that hunts; `planted` is put into a cell before."""
    cells = [f"PACKAGE = {str(sandboxes.PACKAGE / 'grading')!r}\n{HUNT}", "before = hunt()", planted, hostile.CHECKS]
    (folder / "eve").mkdir()
    path = folder / "eve" / "01.ipynb"
    path.write_bytes(hostile.notebook(cells))
    return grade_submission(path, folder, asked, b"secret", sandbox)


@pytest.mark.slow
def test_nothing_of_a_private_question_is_found_in_the_sandbox(tmp_path, asked, sandbox):
    record = graded(tmp_path, asked, sandbox)
    course, private = record.marks
    assert (course.question, private.question, private.possible) == ("1.1", "1.quagga", 7)
    for mark in record.marks:
        assert "found: [] and before: []" in mark.message, record


@pytest.mark.slow
def test_what_is_there_would_be_found(tmp_path, asked, sandbox):
    """The control: words that a cell puts into an object, a module, its environment and a file."""
    planted = "import os, types\nw = 'quag' + 'ga'\nkept = [w]\nsys.modules[w] = types.ModuleType(w)\n"
    planted += "open('/tmp/note', 'w').write(w)"
    record = graded(tmp_path, asked, sandbox, planted)
    assert "found: ['files', 'modules', 'objects'] and before: []" in record.marks[0].message.replace("'frames', ", "")


@pytest.mark.slow
def test_without_a_sandbox_the_worker_is_told_no_more(tmp_path, asked):
    """What it is told is the same; but there the teacher's file itself could be read."""
    record = graded(tmp_path, asked, trusted())
    assert record.ended == Ended.OK
    assert "objects" not in json.dumps(record.as_json())


def test_what_lies_where_submissions_can_read_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sandboxes, "_visible", lambda: ["/usr", str(tmp_path / "venv")])
    (tmp_path / "venv").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "venv")
    assert sandboxes.in_sight(tmp_path / "venv" / "own.py") == str(tmp_path / "venv")
    assert sandboxes.in_sight(tmp_path / "link" / "new" / "marks.csv") == str(tmp_path / "venv")
    assert sandboxes.in_sight(Path("/usr")) == "/usr"
    assert sandboxes.in_sight(tmp_path / "venv2" / "own.py") == ""
