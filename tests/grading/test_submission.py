"""What is read from a notebook's bytes, and whose and of which set it is."""

import json
from dataclasses import replace
from pathlib import Path

import hostile
import pytest

from moe_lessons.checks import questions
from moe_lessons.grading import submission
from moe_lessons.grading.grade import clean
from moe_lessons.grading.submission import (
    Submission,
    Unreadable,
    another_order,
    not_found,
    other_sets,
    parse,
    read_bytes,
    wanted,
)

EXERCISES = sorted((Path(__file__).parents[2] / "exercises").glob("*.ipynb"))
IMPORTS = ("from moe_lessons.checks import check, progress",)


def ids(*cells, titled=()):
    return [question.id for question in wanted(cells, questions(), frozenset(titled))]


SHARED = questions()["3.1"].answer


def with_a_shared_name():
    """All questions, and one more of set 02 whose answer has the name of one of set 03."""
    return questions() | {"2.p1": replace(questions()["2.1"], id="2.p1", answer=SHARED)}


def test_sources_come_in_order_as_text_or_lines():
    cells = [
        {"cell_type": "code", "source": "a = 1"},
        {"cell_type": "markdown", "source": "text"},
        {"cell_type": "code", "source": ["b = 2\n", "c = 3"]},
        {"cell_type": "code", "source": [1]},
    ]
    found = parse(json.dumps({"cells": cells}).encode())
    assert found.cells == ("a = 1", "b = 2\nc = 3")
    assert found.notes == ("1 cells without a source were passed over",)


def test_a_notebook_of_the_old_format_has_input_for_source():
    sheet = {"cells": [{"cell_type": "code", "input": ["x = ", "1"]}]}
    assert parse(json.dumps({"worksheets": [sheet, {}, None]}).encode()).cells == ("x = 1",)


@pytest.mark.parametrize("content", [b"", b"\n", b"{", b"[]", b"3", b'{"cells": 3}', b'{"cells": []}', b"\x00" * 9])
def test_what_is_no_notebook_is_unreadable(content):
    with pytest.raises(Unreadable):
        parse(content)


def test_links_are_not_followed_anywhere_below_the_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.ipynb").write_text("text")
    (tmp_path / "link").symlink_to("real")
    assert read_bytes(tmp_path / "real" / "a.ipynb", tmp_path) == b"text"
    for folder, path in ((tmp_path, "link/a.ipynb"), (tmp_path / "real", "../real2/a.ipynb")):
        with pytest.raises(Unreadable):
            read_bytes(folder / path, folder)
    with pytest.raises(Unreadable, match="not inside"):
        read_bytes(tmp_path / "real" / "a.ipynb", tmp_path / "link")


def test_too_large_a_file_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "a.ipynb").write_bytes(bytes(100))
    monkeypatch.setattr(submission, "MOST_BYTES", 99)
    with pytest.raises(Unreadable, match="at most"):
        read_bytes(tmp_path / "a.ipynb", tmp_path)


def test_the_set_is_told_by_checks_then_by_names():
    assert ids('check("1.1", f)') == ["1.1", "1.2", "1.3", "1.4", "1.5"]
    assert ids("check( '4.2' ,g)", "my_logits = 3")[0] == "4.1"
    assert ids("def my_expert(x):\n    return x\nmy_layer: int = 3")[0] == "5.1"
    assert ids("class MyRouter(torch.nn.Module):\n    pass", "my_layer = 3")[0] == "5.1"


def test_one_foreign_check_does_not_change_the_set():
    assert ids('check("2.1", a)', 'check("2.2", a)', 'check("3.1", a)')[0] == "2.1"


def test_a_notebook_of_another_set_is_no_poor_answer_to_this_one():
    of_02 = {id: question for id, question in with_a_shared_name().items() if question.set == "02"}
    third = ('check("3.1", f)', f"{SHARED} = 1")
    with pytest.raises(Unreadable, match="about set 03, which is not marked"):
        wanted(third, of_02)
    assert wanted(third, questions())[0].set == "03"
    assert wanted((*IMPORTS, f"{SHARED} = 1"), of_02)[0].set == "02"


FIRST = ("my_logits = 3\nmy_logits_back = 3", 'check("1.1", my_logits)')
BORROWED = ("my_merged = 3\nmy_entropy = 3",)
SECOND = (*BORROWED, "my_mixture = 3")


def test_a_second_set_counts_too():
    asked = wanted((*FIRST, *SECOND), questions())
    assert [question.id for question in asked] == [
        id for id, question in questions().items() if question.set in ("01", "02")
    ]
    assert other_sets(asked) == ["it holds work on set 02 too, which counts as well"]
    assert [question.set for question in wanted((*SECOND, 'check("2.1", f)', *FIRST), questions())][::8] == ["02", "01"]
    assert other_sets(wanted(FIRST, questions())) == []


def test_two_borrowed_helpers_are_no_second_set():
    assert {question.set for question in wanted((*FIRST, *BORROWED), questions())} == {"01"}


def test_of_two_sets_that_one_counts_which_is_marked():
    of_02 = {id: question for id, question in questions().items() if question.set == "02"}
    assert wanted((*FIRST, *SECOND), of_02) == list(of_02.values())
    with pytest.raises(Unreadable, match="about set 01, which is not marked"):
        wanted((*FIRST, *BORROWED), of_02)


@pytest.mark.parametrize(
    "call", ['check("1.1", f)', "check(1.1, f)", "c.check( '1.1',f)", "check(question_id='1.1', answer=f)"]
)
def test_a_check_is_evidence_however_it_is_written(call):
    assert ids(call)[0] == "1.1"


@pytest.mark.parametrize(
    "cells",
    [
        ("example = 3",),
        ("gaps = scaled = [1, 2]",),
        ("def my_softmax(x):\n    return x", "example = my_softmax([1, 2])"),
        ("def my_layer(x):\n    return x",),
        (*IMPORTS, "example = 3"),
        ("import moe_lessons", "my_logits = 3"),
        (*IMPORTS, "my_layer == my_expert"),
        ("class MyRouter:\n    pass",),
    ],
)
def test_what_may_be_chance_is_no_evidence(cells):
    with pytest.raises(Unreadable, match=r"no question of the course is found in it(, but for the name \w+, which|$)"):
        ids(*cells)


def test_a_name_that_may_be_chance_is_a_questions_own():
    with pytest.raises(Unreadable, match=r"but for the name example, which"):
        ids("aaa = 1", "example = 3")
    with pytest.raises(Unreadable, match=r"is found in it$"):
        ids("aaa = 1")


def test_a_name_is_evidence_beside_a_check_another_name_an_import_of_check_or_the_title():
    name = "def my_keep_top_k(logits, k):\n    return logits"
    for more in (["check('4.1', f)"], ["my_gate = 3"], IMPORTS):
        assert ids(name, *more)[0] == "4.1"
    assert ids(name, titled=["04"])[0] == "4.1"
    assert ids("check('3.5', example)")[0] == "3.1"


def test_the_title_decides_where_sets_share_a_name_and_is_nothing_alone():
    cells, asked = (f"def {SHARED}(x):\n    return x", *IMPORTS), with_a_shared_name()
    assert [wanted(cells, asked, frozenset([of]))[0].id for of in ("02", "03")] == ["2.1", "3.1"]
    with pytest.raises(Unreadable):
        ids("print(1)", titled=["03"])


def test_the_title_is_read_from_the_first_line_of_a_text():
    texts = [
        "# Exercises 03 · Temperature\nText",
        ["\n", "#  Exercises 04"],
        "See # Exercises 05",
        "## Exercises 06",
        "# Exercises 04r · Review",
        "# Exercises 11p · Closing project",
        7,
    ]
    cells = [{"cell_type": "markdown", "source": text} for text in texts] + [{"cell_type": "code", "source": "x = 1"}]
    assert parse(json.dumps({"cells": cells}).encode()).titled == {"03", "04", "04r", "11p"}


@pytest.mark.parametrize("cells", [(), ("print(1)",), ('check("99.1", a)',), ("x == my_expert",)])
def test_a_notebook_of_no_set_is_unreadable(cells):
    with pytest.raises(Unreadable):
        ids(*cells)


def said(*cells, asides=(), attempted=False):
    return not_found(Submission(cells, asides=asides), questions()["1.1"], attempted)


@pytest.mark.parametrize("name", ["my_l\u043egits", "my_lo\u0261its"])
def test_names_of_another_alphabet_are_noticed(name):
    for attempted in (False, True):
        (note,) = said(f"{name} = 3", attempted=attempted)
        assert note.startswith(f"{name!a} is not 'my_logits': it has letters of another alphabet")


@pytest.mark.parametrize("name", ["My_Logits", "mylogits", "my_logit", "my_logtis", "my_logits2", "my_logits_v2"])
def test_a_slip_in_a_name_is_noticed_where_nothing_else_was_found(name):
    assert said(f"def {name}(x):\n    return x") == [f"{name!r} is not 'my_logits', for which the check looks"]
    assert said(f"{name} = 3", attempted=True) == []


@pytest.mark.parametrize("name", ["my_𝑙𝑜𝑔𝑖𝑡𝑠", "ma_größe", "my_logits_back", "my_gate", "logits", "x"])
def test_what_python_reads_as_the_name_and_what_is_another_one_are_not(name):
    assert [note for note in said(f"{name} = 3") if " is not 'my_logits'" in note] == []


ATTEMPT, STUB = "def my_logits(x):\n    return x", "def my_logits(x):\n    raise NotImplementedError"


def test_an_answer_that_is_no_code_is_noticed():
    notes = said(STUB, asides=(("markdown", "text"), ("markdown", f"```\n{ATTEMPT}\n```"), ("raw", ATTEMPT)))
    assert notes == [f"my_logits stands in a {kind} cell, which is not run" for kind in ("Markdown", "raw")]
    assert said(STUB, asides=(("raw", STUB), ("raw", "my_logits = ..."))) == []


def test_an_answer_that_is_a_comment_or_inside_of_something_else_is_noticed():
    for cell in ("# def my_logits(x):\n#     return x", "def main():\n    my_logits = 3", f'"""\n{ATTEMPT}\n"""'):
        assert "my_logits is written in a cell, but never got there" in said(STUB, cell)[0]


def test_what_is_left_of_a_stub_is_noticed():
    begun = 'def my_logits(x):\n    """x"""\n    h = x + 1\n    # h\n    raise NotImplementedError'
    assert said(begun) == ["my_logits is begun, but still raises NotImplementedError"]
    assert said(STUB) == said(begun.replace("    h = x + 1\n", "")) == []


@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.stem)
def test_an_untouched_exercise_says_nothing(path):
    notebook = parse(path.read_bytes())
    asked = wanted(notebook.cells, questions(), notebook.titled)
    assert [note for question in asked for note in not_found(notebook, question, False)] == []


@pytest.mark.parametrize(
    ("counts", "note"),
    [
        ((1, 2, None, 5), ""),
        ((), ""),
        ((None, None), ""),
        ((4, None, 2, 1), "cell 1 after cell 3"),
        ((1, 3, 2), "cell 2 after cell 3"),
    ],
)
def test_cells_that_were_run_in_another_order_are_noted(counts, note):
    assert [words.split(": ")[1] for words in another_order(counts)] == [note] * bool(note)


def test_counts_and_what_is_no_code_are_read():
    cells = [
        {"cell_type": "code", "source": "a", "execution_count": 3},
        {"cell_type": "raw", "source": "b"},
        {"cell_type": "code", "source": "c", "execution_count": None},
        {"cell_type": "markdown", "source": ["d"]},
        {"cell_type": "code", "source": "e", "prompt_number": 5},
        {"cell_type": "code", "source": "f", "execution_count": "6"},
    ]
    found = parse(json.dumps({"cells": cells}).encode())
    assert found.counts == (3, None, 5, None)
    assert found.asides == (("raw", "b"), ("markdown", "d"))


def test_text_of_strangers_can_be_written_anywhere():
    text = clean("ü\ud800\x00\x1b[31m\u202e\n" + "x" * 100, 50)
    text.encode()
    assert len(text) == 50
    assert text.startswith("ü?")
    assert not any(sign in text for sign in "\x00\x1b\u202e\ud800")


def test_honest_cells_are_what_the_kinds_build_on():
    assert parse(hostile.notebook(hostile.honest())).cells == tuple(hostile.honest())
