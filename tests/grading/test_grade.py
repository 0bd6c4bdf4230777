"""Honest notebooks get what they deserve, whatever tool saved them, in whatever order they are graded."""

import ast
import json
from dataclasses import dataclass, replace
from pathlib import Path

import hostile
import pytest
from nursery import Nursery

from moe_lessons.checks import questions
from moe_lessons.checks.engine import Status
from moe_lessons.checks.question import FunctionQuestion
from moe_lessons.checks.set_10 import right_measures
from moe_lessons.grading.grade import _torch, grade_submission
from moe_lessons.grading.records import Ended
from moe_lessons.grading.session import probing_class
from moe_lessons.grading.submission import Submission

ROOT = Path(__file__).parents[2]
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
pytestmark = pytest.mark.slow


def graded(path, folder, sandbox, secret=b"secret", asked=None):
    return grade_submission(path, folder, asked or questions(), secret, sandbox)


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def nursery(sandbox):
    """Workers with torch, of which each would take longer to load it than a set takes."""
    made = Nursery(limits=sandbox.limits, modules=("torch", "moe_lessons.checks.question"))
    yield made
    made.close()


@pytest.mark.xdist_group("solutions")
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_a_solution_has_full_marks(path, nursery):
    record = graded(path, path.parent, nursery)
    assert (record.ended, record.total) == (Ended.OK, record.possible), record
    assert {questions()[mark.question].set for mark in record.marks} == {path.stem.partition("_")[0]}
    assert record.notes == ()


@pytest.mark.xdist_group("solutions")
@pytest.mark.parametrize("path", SOLUTIONS[::5], ids=lambda path: path.stem)  # the kernels of notebooks/ run them all
def test_an_untouched_notebook_is_not_attempted(path, nursery):
    record = graded(ROOT / "exercises" / path.name, ROOT / "exercises", nursery)
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
    setup, values = code[0], [cell for cell in code if "scaled" in cell["source"]]
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


def answers_after(line):
    """Return a notebook of one cell: a line, then the whole solution."""
    code = [cell["source"] for cell in plain(cells_of(SOLUTIONS[0])) if cell["cell_type"] == "code"]
    return hostile.notebook(["\n\n".join([line, *code])])


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (
            "import pandas as pd, os\nclient = pd.HDFStore('x')",
            "No module named 'pandas' (line 1: import pandas as pd, os)",
        ),
        (
            "from google.colab import drive\ndrive.mount('/content/drive')\n%cd /content/drive",
            "No module named 'google",
        ),
        ("import os\nos.chdir('/content')\nname = input('Name? ')", "No such file or directory: '/content'"),
    ],
)
def test_a_line_that_fails_here_alone_costs_no_marks_and_is_said(line, cause, sandbox, tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_bytes(answers_after(line))
    record = graded(path, tmp_path, sandbox)
    assert (record.ended, record.total, record.possible) == (Ended.PARTIAL, 10, 10), record
    assert record.reason.startswith("cell 1 raised ")
    assert cause in record.reason
    assert record.reason.endswith("; what follows there was run all the same")


def test_an_error_is_to_blame_only_where_marks_are_missing(sandbox, tmp_path):
    cells = "import no_such as pd", hostile.LOGITS, "def my_logits_back(weights, largest):\n    return pd.log(weights)"
    asked = {id: questions()[id] for id in ("1.1", "1.2")}
    record, _ = of_cells(tmp_path, sandbox, *cells, asked=asked)
    assert (record.ended, record.total, record.notes) == (Ended.PARTIAL, 1, ())
    assert (
        record.reason == "cell 2 raised ModuleNotFoundError: No module named 'no_such' (line 1: import no_such as pd)"
    )
    record, _ = of_cells(tmp_path, sandbox, *cells[:2], hostile.PROTOTYPE, asked={"1.1": questions()["1.1"]})
    assert (record.ended, record.total, record.reason) == (Ended.OK, 1, "")
    assert "No module named 'no_such'" in record.notes[-1]


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


def test_inputs_hang_on_the_secret_and_on_every_byte_of_the_file(monkeypatch, tmp_path):
    salts = []
    monkeypatch.setattr("moe_lessons.grading.grade.Grading", lambda notebook, asked, salt, sandbox: salts.append(salt))
    text = SOLUTIONS[0].read_text(encoding="utf-8")
    for content, secret in ((text, b"a"), (text, b"a"), (text, b"b"), (text + "\n", b"a")):
        (tmp_path / "ann.ipynb").write_text(content, encoding="utf-8")
        with pytest.raises(AttributeError, match="notes"):
            graded(tmp_path / "ann.ipynb", tmp_path, None, secret)
    assert salts[0] == salts[1]
    assert len(set(salts)) == 3


def test_the_mistake_and_the_message_are_those_of_home(sandbox, tmp_path):
    path = tmp_path / "a.ipynb"
    wrong = "def my_logits(x, weight, bias):\n    e = np.exp(x @ weight.T + bias)\n    return e / e.sum(-1)[..., None]"
    raising = "def my_logits_back(weights, largest):\n    scores = weights[largest]\n    return scores"
    path.write_bytes(hostile.notebook([hostile.SETUP, wrong, raising]))
    marks = {mark.question: mark for mark in graded(path, tmp_path, sandbox).marks}
    assert (marks["1.1"].status, marks["1.1"].mistake) == (str(Status.NOT_YET), "probabilities")
    assert marks["1.2"].status == str(Status.RAISED)
    assert "line 2 of its cell, in my_logits_back: scores = weights[largest]" in marks["1.2"].message


def of_cells(folder, sandbox, *cells, asked=None):
    """Grade a notebook of these cells, after the usual first one. Return its record, and its marks by question."""
    path = folder / "a.ipynb"
    path.write_bytes(hostile.notebook([hostile.SETUP, *cells]))
    record = graded(path, folder, sandbox, asked=asked)
    return record, {mark.question: mark for mark in record.marks}


TWICE = hostile.WRONG.replace("my_logits", "my_twice")
OTHER = hostile.LOGITS.replace("my_logits", "my_logits2")
CHECKED_PROTOTYPE = f'{hostile.PROTOTYPE}\ncheck("1.4", my_prototype)'


@pytest.mark.parametrize(
    ("cells", "points"),
    [
        ([CHECKED_PROTOTYPE, "for my_prototype in ([0, 1.0], [1.0, 0]):\n    pass"], (0, 2)),
        ([CHECKED_PROTOTYPE, "my_prototype[0] = 1"], (0, 2)),
        ([CHECKED_PROTOTYPE, "my_prototype = [0, 1.0]", 'check("1.4", my_prototype)'], (0, 0)),
        ([hostile.WRONG, OTHER, 'check("1.1", my_logits2)'], (1, 0)),
        ([hostile.LOGITS, TWICE, 'check("1.1", my_twice)'], (1, 0)),  # what the name holds is right: that counts
        ([hostile.LOGITS, 'check("1.1", my_logits)', TWICE, 'check("1.1", my_twice)', hostile.WRONG], (0, 0)),
        ([hostile.WRONG, 'check("1.1", routing.router_logits)'], (0, 0)),  # the course's own
        ([hostile.WRONG, 'check("1.1", lambda x, weight, bias: routing.router_logits(x, weight.T) + bias)'], (0, 0)),
        ([hostile.WRONG, 'check("1.4", my_logits)', OTHER, 'check("1.2", my_logits2)'], (0, 0)),
    ],
)
def test_what_was_checked_last_counts_where_the_name_is_wrong_in_the_end(cells, points, sandbox, tmp_path):
    record, marks = of_cells(tmp_path, sandbox, *cells)
    assert (record.ended, (marks["1.1"].points, marks["1.4"].points)) == (Ended.OK, points), record


def test_a_note_says_which_answer_counted(sandbox, tmp_path):
    record, marks = of_cells(tmp_path, sandbox, hostile.WRONG, OTHER, 'check("1.1", my_logits2)')
    assert marks["1.1"].status == str(Status.CORRECT)
    assert record.notes == ("1.1: my_logits is not correct in the end; what was checked last is, and counts",)
    record, marks = of_cells(tmp_path, sandbox, hostile.WRONG, TWICE, 'check("1.1", my_twice)')
    assert (marks["1.1"].points, record.notes) == (0, ())


def test_a_private_question_finds_what_was_checked_for_the_same_name(sandbox, tmp_path):
    private = replace(questions()["1.1"], id="1.p1", points=5)
    cells = hostile.STUB, OTHER, 'check("1.1", my_logits2)'
    record, _ = of_cells(tmp_path, sandbox, *cells, asked={"1.1": questions()["1.1"], "1.p1": private})
    assert (record.total, record.notes) == (6, ())


def test_a_second_set_in_a_notebook_counts_and_is_noted(sandbox, tmp_path):
    cells = *hostile.honest(), "def my_mixture(p, outputs):\n    return np.einsum('tn,tnd->td', p, outputs)"
    record, _ = of_cells(tmp_path, sandbox, *cells, 'check("2.3", my_mixture)')
    both = [question for question in questions().values() if question.set in ("01", "02")]
    assert (record.total, record.possible) == (3 + questions()["2.3"].points, sum(one.points for one in both))
    assert record.notes == ("it holds work on set 02 too, which counts as well",)


@pytest.mark.parametrize(
    "cell",
    [
        f"{hostile.LOGITS}\n?np.dot",
        "    " + hostile.LOGITS.replace("\n", "\n    "),
        ">>> " + hostile.LOGITS.replace("\n", "\n... "),
        f"%%capture\n!pip install nothing\nimport math\n{hostile.LOGITS}",
        f"%%time\n%matplotlib inline\n{hostile.LOGITS}",
        f"import asyncio\nawait asyncio.sleep(0)\n{hostile.LOGITS}",
        f"r = check('1.4', [2.5, -1.5])\nassert r.points == 2\n{hostile.LOGITS}",
        f"h = display(1, display_id=True)\nh.update(2)\n{hostile.LOGITS}",
    ],
)
def test_cells_that_jupyter_runs_are_run_here(cell, sandbox, tmp_path):
    record, marks = of_cells(tmp_path, sandbox, cell, hostile.CHECKS)
    assert (record.ended, marks["1.1"].points) == (Ended.OK, 1), record


def test_text_of_any_class_is_taken(sandbox, tmp_path):
    asked = {id: question for id, question in questions().items() if question.set == "10"}
    right = asked["10.5"].answer, right_measures()
    cells = (
        f"{right[0]} = {{np.str_(run): np.str_(name) for run, name in {right[1]}.items()}}",
        "check('10.5', my_measures)",
    )
    _, marks = of_cells(tmp_path, sandbox, *cells, asked=asked)
    assert marks["10.5"].points == 2, marks["10.5"]


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
    private = replace(
        questions()["1.1"], id="1.P", answer="my_twice", reference=lambda x, weight, bias: 2 * (x @ weight.T) + bias
    )
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


@pytest.mark.parametrize(
    ("cell", "question", "loaded"),
    [
        ("x = 1", "1.1", ""),
        ("import torch", "1.1", "tensors"),
        ("x = 1", "5.4", "tensors"),
        ("x = 1", "8.2", "optimiser"),
    ],
)
def test_as_much_of_torch_is_loaded_as_is_needed(cell, question, loaded):
    assert _torch(Submission((cell, "y = 2")), [questions()[question]]) == loaded
