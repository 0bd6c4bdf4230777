"""Predict cells answer calmly whatever was typed, and keep the answer back until something was."""

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from moe_lessons.checks import compare, reveal, withheld


@pytest.mark.parametrize(
    ("prediction", "actual", "words"),
    [
        (..., 1.246, "No prediction yet"),
        (None, 1.246, "No prediction yet"),
        (object(), 1.0, "No prediction yet"),
        ([..., 1], np.array([2, 1]), "No prediction yet"),
        (1.25, 1.246, "That is it."),
        (1.73, 1.246, "Too high."),
        ([2, 1], np.array([2, 1]), "That is it."),
        ([49], np.array([50]), "Close: a little too low."),
        (0.004, 0.0001, "Too high."),
        ([1, 2, 3], np.array([2, 1]), "different shapes"),
        ("Rises", "rises", "That is it."),
        ("falls", "rises", "They differ"),
        (3, "rises", "They differ"),
        ("1.25", 1.246, "That is it."),
    ],
)
def test_the_computed_answer_is_always_shown(capsys, prediction, actual, words):
    compare(prediction, actual)
    printed = capsys.readouterr().out
    assert words in printed
    assert "Computed: " in printed  # outside a notebook, where no cell could keep it back


def test_units_are_shown(capsys):
    compare(1.3, 1.3341, "nats")
    assert "1.3341 nats" in capsys.readouterr().out


@pytest.mark.parametrize("within", ["10", "ten per cent", -1, "a factor of 0.5", "-3 %", [1]])
def test_a_tolerance_that_is_none_is_the_authors_mistake(within):
    with pytest.raises(ValueError, match=r"within must be .*, got "):
        compare(..., 1.0, within=within)


class Notebook:
    """A shell that runs cells, and what they show."""

    def __init__(self):
        InteractiveShell.clear_instance()
        self.shell = InteractiveShell.instance()
        self.run("from IPython.display import HTML, Image, display\nfrom moe_lessons.checks import compare, reveal")

    def run(self, cell):
        with capture_output() as shown:
            self.shell.run_cell(cell)
        return shown


@pytest.fixture
def notebook(monkeypatch):
    monkeypatch.setattr(withheld, "_kept_back", [])
    yield Notebook()
    InteractiveShell.clear_instance()


def test_without_a_prediction_the_cell_shows_nothing_but_the_request(notebook):
    shown = notebook.run("compare(..., 1.246)\nprint('ratio 1.246')\ndisplay(HTML('<b>1.246</b>'))\n1.246")
    assert shown.stdout.startswith("No prediction yet")
    assert "1.246" not in shown.stdout
    (fold,) = shown.outputs
    assert fold.data["text/plain"] == ""
    html = fold.data["text/html"]
    assert html.startswith("<style>.jp-NotebookPanel .moe-withheld { display: none } ")
    assert "<pre>Computed: 1.246.\nratio 1.246\n</pre><b>1.246</b><pre>1.246</pre></details>" in html
    assert " open" not in html


def test_the_next_cell_shows_what_it_shows(notebook):
    notebook.run("compare(..., 1)")
    shown = notebook.run("print('on')\ndisplay('and on')")
    assert shown.stdout == "on\n"
    assert [output.data["text/plain"] for output in shown.outputs] == ["'and on'"]


def test_reveal_shows_what_was_kept_back_once(notebook):
    notebook.run("compare(..., 1)\nprint('one')\ndisplay(HTML('<b>one</b>'))")
    shown = notebook.run("reveal()")
    assert shown.stdout == "Computed: 1.\none\n"
    assert [output.data["text/html"] for output in shown.outputs] == ["<b>one</b>"]
    assert notebook.run("reveal()").stdout.startswith("Nothing is kept back.")


def test_reveal_is_about_the_latest_cell(notebook):
    notebook.run("compare(..., 1)")
    notebook.run("compare(..., 2)")
    assert notebook.run("reveal()").stdout == "Computed: 2.\n"


def test_two_predictions_of_a_cell_are_asked_for_one_by_one(notebook):
    shown = notebook.run("compare(5, 5)\ncompare(..., 6)\ncompare(..., 7)")
    assert "You predicted 5. Computed: 5." in shown.stdout
    assert shown.stdout.count("No prediction yet") == 1
    assert "6" not in shown.stdout
    assert "7" not in shown.stdout


def test_a_cell_that_breaks_gives_the_screen_back(notebook):
    notebook.run("compare(..., 1)\n1 / 0")
    assert notebook.run("print('on')").stdout == "on\n"
    assert "Computed: 1." in notebook.run("reveal()").stdout


def test_names_are_bound_all_the_same(notebook):
    notebook.run("compare(..., 1)\nx = 42")
    assert notebook.run("print(x)").stdout == "42\n"


def test_a_page_gets_pictures_in_the_fold():
    class Captured:
        stdout, outputs = "1 < 2\n", []

    def output(data):
        return type("Output", (), {"data": data})

    Captured.outputs = [output({"image/png": "QUJD\n"}), output({"image/svg+xml": "<svg/>"}), output({})]
    html = withheld.fold(Captured)
    assert "<pre>1 &lt; 2\n</pre>" in html
    assert 'src="data:image/png;base64,QUJD"' in html
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in html


def test_outside_a_notebook_nothing_is_kept_back(capsys, monkeypatch):
    monkeypatch.setattr(withheld, "_kept_back", [])
    reveal()
    assert capsys.readouterr().out.startswith("Nothing is kept back.")
