"""In the sandbox: files handed in beside a notebook, parts of an answer, and what saved outputs claim."""

import io
import json

import hostile
import numpy as np
import pytest

from moe_lessons.checks import questions
from moe_lessons.grading.companions import companions
from moe_lessons.grading.grade import grade_submission
from moe_lessons.grading.records import Ended, Part

pytestmark = pytest.mark.slow

HELPERS = "def logits(x, weight, bias):\n    return x @ weight.T + bias\n"
CELLS = [
    hostile.SETUP,
    "import helpers\nfrom tables.reading import table",
    "my_logits = helpers.logits",
    "my_prototype = table('table.npy')",
    hostile.CHECKS,
]


def table():
    stream = io.BytesIO()
    np.save(stream, np.array([2.5, -1.5]))
    return stream.getvalue()


def hand_in(folder, cells, files, outputs=()):
    """Write a notebook and files beside it; return the notebook's path."""
    notebook = json.loads(hostile.notebook(cells))
    for cell, text in zip(reversed(notebook["cells"]), outputs, strict=False):
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text}]
    (folder / "ann").mkdir()
    for name, content in files.items():
        path = folder / "ann" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "ann" / "01.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return folder / "ann" / "01.ipynb"


def marks(record):
    return {mark.question: mark.points for mark in record.marks if mark.points}


def test_a_notebook_finds_what_was_handed_in_with_it(tmp_path, sandbox):
    reading = b"import numpy as np\n\ndef table(name):\n    return np.load(name).tolist()\n"
    files = {"helpers.py": HELPERS.encode(), "tables/reading.py": reading, "table.npy": table()}
    path = hand_in(tmp_path, CELLS, files)
    beside = companions(tmp_path, "ann/01.ipynb")
    record = grade_submission(path, tmp_path, questions(), b"secret", sandbox, beside)
    assert marks(record) == {"1.1": 1, "1.4": 2}
    assert record.notes[0].startswith("files handed in beside it, and there when it ran: helpers.py, table.npy")
    alone = grade_submission(path, tmp_path, questions(), b"secret", sandbox)
    assert (marks(alone), alone.ended) == ({}, Ended.PARTIAL)  # the control


def test_a_file_beside_it_takes_the_place_of_no_module(tmp_path, sandbox):
    broken = b"raise RuntimeError('not the real one')\n"
    names = ("json.py", "numpy.py", "random.py", "moe_lessons.py", "sitecustomize.py", "torch.py", "pathlib.py")
    path = hand_in(tmp_path, [*hostile.honest(), "import json, random"], dict.fromkeys(names, broken))
    record = grade_submission(path, tmp_path, questions(), b"secret", sandbox, companions(tmp_path, "ann/01.ipynb"))
    assert record.ended == Ended.OK
    assert marks(record)["1.1"] == 1


def test_files_come_back_with_a_new_worker(tmp_path, hostile_sandbox):
    dies = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos._exit(1)"
    cells = [CELLS[0], dies, "import helpers\nmy_logits = helpers.logits", hostile.CHECKS]
    path = hand_in(tmp_path, cells, {"helpers.py": HELPERS.encode()})
    beside = companions(tmp_path, "ann/01.ipynb")
    record = grade_submission(path, tmp_path, questions(), b"secret", hostile_sandbox, beside)
    assert marks(record) == {"1.1": 1}


def test_parts_and_claims_are_in_the_record(tmp_path, sandbox):
    question = questions()["1.5"]
    right = {name: np.asarray(value).tolist() for name, value in question.expected().items()}
    first, *others = right
    cells = [*hostile.honest(), f"{question.answer} = {right | {first: -77.0}!r}", "my_prototype = [0.0, 0.0]", "1"]
    path = hand_in(tmp_path, cells, {}, ["✓ 1.4: correct\n", "✗ 1.5: not yet\n"])
    found = {mark.question: mark for mark in grade_submission(path, tmp_path, questions(), b"secret", sandbox).marks}
    assert found["1.5"].parts == (Part(first, 0), *(Part(name, 1) for name in others))
    assert found["1.1"].parts == ()
    assert {id for id, mark in found.items() if mark.claimed} == {"1.4"}
