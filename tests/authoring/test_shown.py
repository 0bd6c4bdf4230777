"""What a page shows of an executed notebook, what it leaves out, and where its links lead."""

from base64 import b64encode

import nbformat
import pytest
from quizzes import LIVE, PAPER
from shown import MEASURED, NOTE, VIEW, Pictures, page_of, shown, text_of

from moe_lessons.support.glossary import Glossary, Term

WORDS = Glossary({"gate": Term("gate", "What weighs experts.", "expert", "02", "Gates")})


def printed(text):
    return nbformat.v4.new_output("stream", text=text)


def html(text):
    return nbformat.v4.new_output("display_data", data={"text/html": text, "text/plain": ""})


def told(*outputs):
    """Return what is shown of outputs, as texts."""
    return [output.get("text") or next(iter(output.data.values())) for output in shown(list(outputs))]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("N = 3\n", "N = 3\n"),
        ("  0%|    | 0/6 [00:00<?, ?it/s]\rdone: 100%|##| 6/6 [00:03<00:00, 2.1it/s]\nN = 3\n", "N = 3\n"),
        ("Python 3.11.7 on Linux (/srv/course/.venv/bin/python)\n", "Python 3.11.7 on Linux\n"),
        ("kept in /srv/course/data.npz now\n", "kept in  now\n"),
        ("p and/or q, 1/2, experts 3/4\n", "p and/or q, 1/2, experts 3/4\n"),
    ],
)
def test_printed_text_is_shown_without_bars_and_paths(text, left):
    assert told(printed(text)) == [left]


def test_a_bar_inside_a_kept_back_answer_goes_and_the_fold_stays():
    fold = "<details><summary>The answer</summary><pre>{}loss 3\n</pre></details>"
    assert told(html(fold.format(" 0%| | 0/4 [00:00&lt;?, ?it/s]\n"))) == [fold.format("")]


def test_pieces_of_one_print_are_shown_as_one():
    assert told(printed("seed 0: 3"), printed("\n")) == ["seed 0: 3\n"]


def test_measured_times_are_said_to_be_of_another_computer():
    assert MEASURED in told(printed("sparse: 20.9 ms\n"))[1]
    assert told(printed("20 milestones\n")) == ["20 milestones\n"]


def test_styles_go_and_cards_on_the_reader_s_own_progress():
    assert told(html("<style>a { }</style><div class='moe-card moe-correct'>Correct</div>")) == [
        "<div class='moe-card moe-correct'>Correct</div>"
    ]
    assert told(html('<div class="moe-card moe-untouched x">Not attempted</div>')) == []


def test_of_a_widget_what_it_left_is_shown():
    view = nbformat.v4.new_output("display_data", data={VIEW: {"model_id": "a"}, "text/plain": ""})
    left = f'<div class="live" data-widget="frames"><img src="x" alt="y"><p>{NOTE}</p></div>'
    (alone,) = told(view, html(left))
    assert alone == left.replace(NOTE, "In the notebook you can move it.")


def test_a_plot_has_a_text_alternative():
    (plot,) = told(nbformat.v4.new_output("display_data", data={"image/png": "AAAA", "text/plain": "<Figure>"}))
    assert plot.startswith('<img src="data:image/png;base64,AAAA" alt="The plot')


def test_pictures_become_files_once(tmp_path):
    picture = f'<img src="data:image/svg+xml;base64,{b64encode(b"<svg/>").decode()}">'
    moved = Pictures(tmp_path).moved_out(picture + picture)
    (file,) = tmp_path.iterdir()
    assert moved == f'<img src="../pictures/{file.name}">' * 2
    assert file.read_bytes() == b"<svg/>"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("[a](../moe_lessons/gate.py)", "[a](../moe_lessons/gate.md)"),
        ("[a](../docs/cheat_sheet.html)", "[a](../docs/cheat_sheet.md)"),
        ("[a](../exercises/01_x.ipynb)", "[a](../exercises/01_x.ipynb)"),
        ("## 4.2 Three forms", '<span id="4.2-Three-forms"></span>\n\n## 4.2 Three forms'),
        ("# A title", "# A title"),
        (
            '<abbr title="What weighs experts.">gate</abbr>',
            '<abbr title="What weighs experts." data-level="expert">gate</abbr>',
        ),
    ],
)
def test_links_lead_to_pages_and_words_know_their_level(source, text):
    assert text_of(source, WORDS) == text


def test_of_a_quiz_the_page_has_what_asks_it_without_code_and_paper(tmp_path):
    asks = nbformat.v4.new_code_cell('quiz("04")', id=LIVE, outputs=[html("<div>asked</div>")])
    paper = nbformat.v4.new_markdown_cell("**1. Why?**", id=PAPER)
    notebook = nbformat.v4.new_notebook(cells=[asks, paper])
    (cell,) = page_of(notebook, notebook, WORDS, Pictures(tmp_path)).cells
    assert cell.metadata.tags == ["remove-input"]
    assert cell.outputs[0].data["text/html"] == "<div>asked</div>"


def test_a_page_has_the_published_cells_with_the_outputs_of_the_same_cells(tmp_path):
    code = nbformat.v4.new_code_cell("print(3)", id="a")
    solved = nbformat.v4.new_code_cell("print(3)\nassert True", id="solved-a", outputs=[printed("3\n")])
    other = nbformat.v4.new_code_cell("1", id="b", outputs=[printed("1\n")])
    page = page_of(
        nbformat.v4.new_notebook(cells=[code]),
        nbformat.v4.new_notebook(cells=[other, solved]),
        WORDS,
        Pictures(tmp_path),
    )
    assert [(cell.source, [output.text for output in cell.outputs]) for cell in page.cells] == [("print(3)", ["3\n"])]
