"""Every notebook is run in a kernel without a network, once, and its copy kept by content (keeping.py)."""

import re

import nbformat
import pytest
from checked import Course, as_notebook, lesson_cells
from running import ROOT, errors, executed, executed_once, kept_back, on_a_card, printed, run

from moe_lessons.checks import questions
from moe_lessons.checks.predictions import REQUEST

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = sorted((ROOT / "exercises").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
WITHOUT_TORCH = ("00_", "01", "02", "03", "04")  # 00b shows one torch gradient on purpose

pytestmark = pytest.mark.slow


def by_name(paths):
    return [pytest.param(path, id=path.stem) for path in paths]


def stderr(notebook):
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stderr")


@pytest.mark.parametrize("path", by_name(reversed(LESSONS)))  # the longest first: what looks at them need not wait
def test_a_lesson_runs_to_its_end_without_a_warning(path, shared):
    notebook = executed(path, shared)
    assert errors(notebook) == []
    assert stderr(notebook) == ""
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code" and cell.source)


@pytest.mark.parametrize("path", by_name(p for p in LESSONS if p.name.startswith(WITHOUT_TORCH)))
def test_the_first_lessons_do_not_load_torch(path, shared):
    assert executed(path, shared).metadata["loaded_torch"] is False


@pytest.mark.parametrize("path", by_name(p for p in LESSONS if p.name.startswith(("00", *WITHOUT_TORCH))))
def test_every_cell_can_be_run_again(path, shared):
    """A learner runs a cell twice, or all cells twice; without the promises the cells print the same."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    twice = [nbformat.v4.new_code_cell(cell.source) for cell in code for _ in range(2)]
    again = [nbformat.v4.new_code_cell(cell.source) for cell in code]
    for number, cell in enumerate(twice + again):
        cell.id = f"cell-{number}"
    repeated = nbformat.v4.new_notebook(cells=twice + again)
    result = executed_once(repeated, path, shared, f"{path.stem}-again")
    assert errors(result) == []
    assert printed(nbformat.v4.new_notebook(cells=result.cells[len(twice) :])) == printed(executed(path, shared))


BAR = re.compile(r"[^\n\r]*\d+/\d+ \[[^\]\n]*\][^\n\r]*[\n\r]*")


def answered_before_asked(notebook):
    """Name the cells with a `compare` that show more than the request while their prediction is open."""
    found = []
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code" and "compare(" in cell.source):
        shown = [o.get("text") or on_a_card(o) or kept_back(o)[:1] or str(o) for o in cell.outputs]
        if BAR.sub("", "".join(shown)).lstrip("\r") != f"{REQUEST}\n<":
            found.append(cell.id)
    return found


@pytest.mark.parametrize("path", by_name(LESSONS))
def test_a_prediction_comes_before_its_answer(path, shared):
    assert answered_before_asked(executed(path, shared)) == []


@pytest.mark.parametrize("told", ["print(3)\ncompare(..., 3)", "display(3)\ncompare(..., 3)", "compare(3, 3)"])
def test_broken_control_an_answer_before_the_prediction_is_found(told, tmp_path):
    cell = nbformat.v4.new_code_cell(f"from moe_lessons.checks import compare\n{told}")
    calm = nbformat.v4.new_code_cell("compare(..., 3)\nprint(3)")
    assert answered_before_asked(run(nbformat.v4.new_notebook(cells=[cell, calm]), tmp_path, tmp_path)) == [cell.id]


VIEW = "application/vnd.jupyter.widget-view+json"
IMAGE = re.compile(r'<img src="data:image/svg\+xml;base64,[^"]{1000,}" alt="[^"]{20,}" width="\d+" height="\d+"')

STAYS = re.compile(rf"{IMAGE.pattern}|Quiz of lesson \d")  # a quiz stays in words: its questions are printed below it


def perishable(notebook):
    """Name the cells whose picture is gone once the kernel is, or in a notebook that is not trusted."""
    found = []
    for cell in notebook.cells:
        shown = [output.get("data", {}) for output in cell.get("outputs", ())]
        for data, following in zip(shown, [*shown, {}][1:], strict=True):
            left = following.get("text/html", "") if VIEW in data else data.get("text/html", "")
            if (VIEW in data and not STAYS.search(left)) or "<svg" in left:
                found.append(cell.id)
    return found


@pytest.mark.parametrize("path", [*LESSONS, *SOLUTIONS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_picture_is_there_another_day(path, shared):
    assert perishable(executed(path, shared)) == []


@pytest.mark.parametrize(
    "code",
    [
        "import ipywidgets; ipywidgets.IntSlider()",
        "from IPython.display import HTML; HTML('<svg><text>0.1 0.2</text></svg>')",
        "from tqdm.notebook import tqdm; [i for i in tqdm(range(3))]",
    ],
)
def test_broken_control_a_picture_that_does_not_last_is_found(code, tmp_path):
    cell = nbformat.v4.new_code_cell(code)
    assert perishable(run(nbformat.v4.new_notebook(cells=[cell]), tmp_path, tmp_path)) == [cell.id]


@pytest.mark.parametrize("path", by_name(EXERCISES))
def test_untouched_exercises_are_calm(path, shared):
    notebook = executed(path, shared)
    assert errors(notebook) == []
    assert verdicts(notebook) == [(question, "not attempted yet") for question in of_set(path)]


@pytest.mark.parametrize("path", by_name(SOLUTIONS))
def test_every_solution_is_correct(path, shared):
    notebook = executed(path, shared)
    assert errors(notebook) == []
    assert verdicts(notebook) == [(question, "correct") for question in of_set(path)]


def verdicts(notebook):
    """Return (question, verdict) for every check that a notebook ran, in order."""
    return re.findall(r"^. (\w+\.\d+): (.*)$", printed(notebook), re.MULTILINE)


def of_set(path):
    return [question.id for question in questions().values() if question.set == number(path)]


def number(path):
    return path.stem.partition("_")[0]


def test_every_set_has_its_three_notebooks():
    sets = sorted({question.set for question in questions().values()})
    assert [number(path) for path in EXERCISES] == sets
    assert [path.name for path in EXERCISES] == [path.name for path in SOLUTIONS]


WANT_THE_NETWORK = (
    "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)",
    "import urllib.request; urllib.request.urlopen('http://example.invalid', timeout=1)",
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 53))",
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'?', ('192.0.2.1', 53))",
)


def test_broken_control_cells_that_want_the_network_fail(tmp_path):
    cells = [nbformat.v4.new_code_cell(code) for code in WANT_THE_NETWORK]
    found = errors(run(nbformat.v4.new_notebook(cells=cells), tmp_path, tmp_path))
    assert ["this notebook tried to" in error for error in found] == [True] * len(cells)


PROMISES = """\
# %%
import numpy as np

rng = np.random.default_rng(0)
i = 7


# %%
def draw():
    return rng.normal()


for i in range(3):
    assert i >= 0
print("i is", i)

# %%
low = i - 1
assert low == 6
assert (
    i
    == 8
)

# %%
assert draw() < 100
"""


def test_broken_control_a_broken_promise_names_its_line_in_the_source(tmp_path):
    source = tmp_path / "authoring" / "lessons" / "01_demo.py"
    source.parent.mkdir(parents=True)
    source.write_text(PROMISES, encoding="utf-8")
    cells = lesson_cells(PROMISES, Course(tmp_path, dict), "01", checked=True)
    notebook = run(as_notebook(source, cells), tmp_path, tmp_path)
    assert printed(notebook) == "i is 7\n"
    assert errors(notebook) == [
        "authoring/lessons/01_demo.py:21, `i`: AssertionError: ",
        "authoring/lessons/01_demo.py:26, `assert draw() < 100`: RuntimeError: this promise draws random numbers",
    ]


def test_broken_control_an_error_in_a_cell_is_found(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0"), nbformat.v4.new_code_cell("2")])
    assert "ZeroDivisionError" in errors(run(notebook, tmp_path, tmp_path))[0]
