"""Honest notebooks get what they deserve, whatever tool saved them, in whatever order they are graded."""

import ast
import json
from dataclasses import dataclass, replace
from pathlib import Path

import hostile
import pytest

from moe_lessons.checks import questions
from moe_lessons.checks.engine import Status
from moe_lessons.checks.question import FunctionQuestion
from moe_lessons.grading.grade import grade_submission
from moe_lessons.grading.records import Ended
from moe_lessons.grading.session import probing_class

ROOT = Path(__file__).parents[2]
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
pytestmark = pytest.mark.slow


def graded(path, folder, sandbox, secret=b"secret", asked=None):
    return grade_submission(path, folder, asked or questions(), secret, sandbox)


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_a_solution_has_full_marks(path, sandbox):
    record = graded(path, path.parent, sandbox)
    assert (record.ended, record.total) == (Ended.OK, record.possible), record
    assert {mark.question.split(".")[0].zfill(2) for mark in record.marks} == {path.name[:2]}
    assert record.notes == ()


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_an_untouched_notebook_is_not_attempted(path, sandbox):
    record = graded(ROOT / "exercises" / path.name, ROOT / "exercises", sandbox)
    assert record.ended == Ended.OK
    assert {mark.status for mark in record.marks} == {str(Status.NOT_ATTEMPTED)}
    assert (record.total, record.possible) == (0, sum(mark.possible for mark in record.marks))


def vs_code(cells):
    """Return a notebook as VS Code saves it: ids, its own metadata, sources in lines, outputs kept."""
    mine = {"vscode": {"languageId": "python"}}
    listed = [
        cell | {"id": f"{i:08x}", "metadata": mine, "source": cell["source"].splitlines(keepends=True)}
        for i, cell in enumerate(plain(cells))
    ]
    info = {"name": "python", "version": "3.12.1", "codemirror_mode": {"name": "ipython", "version": 3}}
    kernel = {"display_name": ".venv", "language": "python", "name": "python3"}
    return {"cells": listed, "metadata": {"kernelspec": kernel, "language_info": info}}


def colab(cells):
    """Return a notebook as Colab saves it: no cell ids, its own metadata, a cell that installs the course."""
    install = {"cell_type": "code", "source": ["!pip install -q moe-lessons\n", "%matplotlib inline"], "outputs": []}
    listed = [install, *plain(cells)]
    listed = [cell | {"metadata": {"id": "x7Yz", "colab": {"base_uri": "https://localhost"}}} for cell in listed]
    return {"cells": listed, "metadata": {"colab": {"provenance": []}, "kernelspec": {"name": "python3"}}}


def plain(cells):
    """Return the cells without ids, each source as one text."""
    kept = [{key: value for key, value in cell.items() if key != "id"} for cell in cells]
    return [cell | {"source": "".join(cell["source"])} for cell in kept]


def split(cells):
    """Return the same with every top-level statement in a cell of its own."""
    trees = [ast.parse(cell["source"]) for cell in plain(cells) if cell["cell_type"] == "code"]
    return {"cells": [{"cell_type": "code", "source": ast.unparse(node)} for tree in trees for node in tree.body]}


def merged(cells):
    code = "\n\n".join(cell["source"] for cell in plain(cells) if cell["cell_type"] == "code")
    return {"cells": [{"cell_type": "code", "source": code}]}


def duplicated(cells):
    """Return the same with every cell twice, and the untouched stubs of the exercise behind."""
    untouched = cells_of(ROOT / "exercises" / SOLUTIONS[0].name)
    return {"cells": [copy for cell in plain(cells) for copy in (cell, cell)] + plain(untouched)}


def reordered(cells):
    """Return the same with the checks first, the answers backwards, the first cell and the last answer in place."""
    code = [cell for cell in plain(cells) if cell["cell_type"] == "code"]
    setup, values = code[0], [cell for cell in code if "doubling" in cell["source"]]
    others = [cell for cell in code[1:] if cell not in values]
    return {"cells": [setup, *reversed(others), *values]}


def without_checks(cells):
    return {"cells": [cell for cell in plain(cells) if "check(" not in cell["source"]]}


@pytest.mark.parametrize("saved", [vs_code, colab, split, merged, duplicated, reordered, without_checks])
def test_however_it_was_saved_or_rearranged_the_marks_are_the_same(saved, sandbox, tmp_path):
    path = tmp_path / "renamed by the learner (1).ipynb"
    path.write_text(json.dumps(saved(cells_of(SOLUTIONS[0])), ensure_ascii=False), encoding="utf-8")
    record = graded(path, tmp_path, sandbox)
    assert (record.ended, record.total) == (Ended.OK, record.possible), record
    assert record.possible == 10


def test_marks_are_the_same_in_any_order_and_hang_on_the_secret(sandbox, tmp_path):
    paths = [tmp_path / f"{name}.ipynb" for name in ("a", "b")]
    paths[0].write_bytes(hostile.notebook([hostile.SETUP, hostile.WRONG, hostile.PROTOTYPE]))
    paths[1].write_bytes(hostile.notebook([hostile.SETUP, hostile.STUB, "my_prototype = [0, 1.0]"]))
    first = [graded(path, tmp_path, sandbox) for path in paths]
    again = [graded(path, tmp_path, sandbox) for path in reversed(paths)][::-1]
    assert [record.marks for record in first] == [record.marks for record in again]
    other = graded(paths[0], tmp_path, sandbox, secret=b"another")
    assert other.marks[0].points == first[0].marks[0].points == 0
    assert other.marks[0].message != first[0].marks[0].message  # the inputs, which the message shows


def test_the_mistake_and_the_message_are_those_of_home(sandbox, tmp_path):
    path = tmp_path / "a.ipynb"
    wrong = "def my_logits(x, W_g):\n    h = x @ W_g\n    e = np.exp(h)\n    return e / e.sum(-1, keepdims=True)"
    raising = "def my_trace(x, W_g, k):\n    scores = W_g @ x\n    return scores"
    path.write_bytes(hostile.notebook([hostile.SETUP, wrong, raising]))
    marks = {mark.question: mark for mark in graded(path, tmp_path, sandbox).marks}
    assert (marks["1.1"].status, marks["1.1"].mistake) == (str(Status.NOT_YET), "probabilities")
    assert marks["1.2"].status == str(Status.RAISED)
    assert "line 2 of its cell, in my_trace: scores = W_g @ x" in marks["1.2"].message


@pytest.mark.parametrize("step", ["draw", "judge"])
def test_a_fault_of_a_question_is_said_and_costs_no_other_question(step, sandbox, tmp_path):
    class Faulty(FunctionQuestion):
        pass

    setattr(Faulty, step, lambda *_: 1 / 0)
    faulty = object.__new__(Faulty)
    for name, value in vars(questions()["1.1"]).items():
        object.__setattr__(faulty, name, value)
    path = tmp_path / "a.ipynb"
    path.write_bytes(hostile.notebook(hostile.honest()))
    record = graded(path, tmp_path, sandbox, asked={"1.1": faulty, "1.4": questions()["1.4"]})
    assert (record.ended, [mark.points for mark in record.marks]) == (Ended.PARTIAL, [0, 2])
    assert record.marks[0].status == str(Status.FAULT)


def test_a_private_question_needs_only_its_answer_in_the_sandbox(sandbox, tmp_path):
    """Its cases, reference and mistakes stay here: the worker has no way to load them."""
    private = replace(questions()["1.1"], id="1.P", answer="my_twice", reference=lambda x, W_g: 2 * (x @ W_g))
    path = tmp_path / "a.ipynb"
    path.write_bytes(hostile.notebook([hostile.SETUP, hostile.WRONG.replace("my_logits", "my_twice")]))
    record = graded(path, tmp_path, sandbox, asked={"1.P": private})
    assert (record.ended, record.total) == (Ended.OK, 1)


def test_a_question_whose_probe_the_worker_has_not_got_is_the_teachers_error():
    @dataclass(frozen=True, kw_only=True)
    class Own(FunctionQuestion):
        def probe(self, answer, data):
            return {}

    own = object.__new__(Own)
    object.__setattr__(own, "id", "1.P")
    with pytest.raises(ValueError, match=r"1\.P: its probe must be"):
        probing_class(own)
