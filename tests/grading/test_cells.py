"""Cells as the worker runs them: what counts as a stub, what is passed over, which definition counts."""

import sys

import pytest

from moe_lessons.grading.cells import Notebook, is_stub


@pytest.fixture
def notebook():
    before = sys.modules["__main__"]
    yield Notebook({"1.1": ("f", 1), "1.2": ("values", 2), "1.p1": ("f", 5)})
    sys.modules["__main__"] = before


ATTEMPT, STUB = "def f(x):\n    return x + 1", 'def f(x):\n    """x -> y"""\n\n    raise NotImplementedError'


def stub(x):
    raise NotImplementedError


def documented_stub(x, *more):
    """x -> y"""
    raise NotImplementedError


def begun(x):
    y = x + 1  # noqa: F841
    raise NotImplementedError


def refuses(x):
    if x:
        return x
    raise NotImplementedError


@pytest.mark.parametrize("value", [..., [..., ...], {"a": ...}, stub])
def test_stubs_are_told(value):
    assert is_stub(value)


@pytest.mark.parametrize("value", [begun, refuses, lambda x: x, None, 0, [1, ...], {}, len, is_stub])
def test_attempts_are_told(value):
    assert not is_stub(value)


@pytest.mark.parametrize(
    "cells", [[ATTEMPT, STUB], [f"{ATTEMPT}\n{STUB}"], [STUB, ATTEMPT, STUB], [ATTEMPT, "f = ..."]]
)
def test_a_stub_does_not_take_the_place_of_an_attempt(notebook, cells):
    for number, cell in enumerate(cells):
        assert notebook.run(cell, number, False) == []
    assert notebook.answer("f")(1) == 2


def test_of_several_attempts_the_last_counts_even_a_wrong_one(notebook):
    notebook.run(ATTEMPT, 1, False)
    notebook.run("def f(x):\n    return None", 2, False)
    assert notebook.answer("f")(1) is None


@pytest.mark.parametrize("dots", ["values = ...", 'values = {"a": ..., "b": ...}', "values = [..., ...]"])
def test_values_too(notebook, dots):
    notebook.run(dots, 1, False)
    assert is_stub(notebook.answer("values"))
    notebook.run('values = {"a": 1, "b": ...}', 2, False)
    notebook.run(dots, 3, False)
    assert notebook.answer("values") == {"a": 1, "b": ...}


def test_a_stub_of_another_name_is_as_python_has_it(notebook):
    notebook.run("g = 3", 1, False)
    notebook.run("g = ...", 2, False)
    assert notebook.names["g"] is ...


def test_an_answer_of_another_name_counts_if_it_was_checked(notebook):
    notebook.run(STUB, 1, False)
    notebook.check("1.1", len)
    notebook.check("1.1", stub)
    assert notebook.answer("f") is len
    notebook.run(ATTEMPT, 2, False)
    assert notebook.answer("f")(1) == 2


def test_no_answer_at_all_is_a_stub(notebook):
    assert notebook.answer("f") is notebook.other_answer("f") is ...


def test_what_was_checked_is_there_beside_what_a_name_holds_in_the_end(notebook):
    notebook.run(ATTEMPT, 1, False)
    notebook.names["check"] = notebook.check
    notebook.run("check('1.1', f)\ncheck('1.2', [1, 2])\ncheck('9.9', 3)", 2, False)
    assert notebook.other_answer("f") is ...  # it is the answer itself
    notebook.run("checked = f\nfor f in (1, 2):\n    pass\nfor values in [[1, 1], [2, 2]]:\n    pass", 3, False)
    assert (notebook.answer("f"), notebook.answer("values")) == (2, [2, 2])
    assert notebook.other_answer("f") is notebook.names["checked"]
    assert notebook.other_answer("values") == [1, 2]
    notebook.check("1.2", ...)
    notebook.check("1.2", [3, 3])
    assert notebook.other_answer("values") == [3, 3]
    assert set(notebook.checked) == {"f", "values"}


@pytest.mark.parametrize("change", ["values.append(3)", "values += [3]", "values[1] = 3"])
def test_values_are_kept_as_they_were_when_they_were_checked(notebook, change):
    notebook.run("values = [1, 2]", 1, False)
    notebook.check("1.2", notebook.answer("values"))
    notebook.run(change, 2, False)
    assert notebook.answer("values") != [1, 2]
    assert notebook.other_answer("values") == [1, 2]


def test_what_has_no_copy_is_kept_as_it_is(notebook):
    for values in ((n for n in [1]), sys, len):
        notebook.check("1.2", values)
        assert notebook.answer("values") is values


def test_check_is_content_with_an_attempt_so_that_a_cell_goes_on(notebook):
    notebook.names["check"] = notebook.check
    cell = "r = check('1.2', [0])\nassert r.points == 2 and r.status == 'correct'\nvalues = 1"
    assert notebook.run(cell, 1, False) == []
    assert notebook.answer("values") == 1
    assert notebook.check("1.2").points == notebook.check("9.9", 1).points == 0


def test_an_error_ends_the_cell_but_not_what_it_did_before(notebook):
    (note,) = notebook.run("a = 1\nb = 1 / 0\nc = 1", 7, False)
    assert note == "cell 7 raised ZeroDivisionError: division by zero"
    assert notebook.names["a"] == 1
    assert "c" not in notebook.names


def test_of_a_cell_that_died_definitions_are_kept_and_nothing_is_computed(notebook):
    cell = f"import math\n{ATTEMPT}\nclass C: pass\nvalues = [1, 2]\ncomputed = math.sqrt(4)\nwhile True: pass"
    assert notebook.run(cell, 1, True) == []
    assert {"math", "f", "C", "values"} <= set(notebook.names)
    assert "computed" not in notebook.names


@pytest.mark.parametrize(
    ("cell", "name", "value"),
    [
        ("%matplotlib inline\nx = 1", "x", 1),
        ("!ls -la\nx = 1", "x", 1),
        ("files = !ls\nx = 1", "files", None),
        ("%%time\nx = 1", "x", 1),
        ("%time x = 1", "x", 1),
        ("for i in [1]:\n    %time x = i", "x", 1),
        ("x = 1\nx?", "x", 1),
        ("x = 1\n?np.dot", "x", 1),
        ("def f(x):\n    return x\n\n??f\nx = f(1)", "x", 1),
        ("%%capture\n!pip install numpy\nimport math\nx = math.floor(1.5)", "x", 1),
        ("%%time\n%matplotlib inline\ndef f(x):\n    return x\nx = f(1)", "x", 1),
        ("\n%%capture\n%%time\nx = 1", "x", 1),
    ],
)
def test_magics_and_shell_lines_are_passed_over_with_a_note(notebook, cell, name, value):
    assert notebook.run(cell, 2, False) == ["cell 2: magics and shell lines were passed over"]
    assert notebook.names[name] == value


@pytest.mark.parametrize(
    "cell",
    [
        "  x = 1\n  def f():\n      return x",
        ">>> x = 1\n>>> def f():\n...     return x",
        "In [3]: def f():\n   ...:     return x\n   ...: x = 1",
    ],
)
def test_indentation_and_prompts_are_taken_off_as_in_jupyter(notebook, cell):
    assert notebook.run(cell, 1, False) == []
    assert notebook.names["x"] == 1


def test_an_error_below_a_magic_is_found_in_its_line(notebook):
    notebook.run("\n%%time\n%matplotlib inline\ndef f():\n    return 1 / 0", 1, False)
    with pytest.raises(ZeroDivisionError) as raised:
        notebook.names["f"]()
    assert raised.traceback[-1].lineno + 1 == 5


def test_cells_may_await(notebook):
    cell = "import asyncio\nasync def g():\n    await asyncio.sleep(0)\n    return 3\nx = await g()\nawait g()"
    assert notebook.run(cell, 1, False) == []
    assert notebook.names["x"] == notebook.names["_"] == 3
    assert notebook.run("await 3", 2, False)[0].startswith("cell 2 raised TypeError")


@pytest.mark.parametrize("before", ["", "import math\n", "%matplotlib inline\n"])
def test_a_future_import_holds_in_all_later_cells(notebook, before):
    assert "NameError" in notebook.run("def f(x: Missing): return x", 1, False)[0]  # the control
    notebook.run(f"{before}from __future__ import annotations", 2, False)
    assert notebook.run("def f(x: Missing): return x", 3, False) == []
    assert notebook.answer("f").__annotations__ == {"x": "Missing"}


def test_the_last_result_has_its_name_unless_the_notebook_uses_that(notebook):
    notebook.run("2\n3", 1, False)
    notebook.run("x = _\nNone", 2, False)
    assert notebook.names["x"] == notebook.names["_"] == 3
    notebook.run("_ = 7", 3, False)
    notebook.run("4", 4, False)
    assert notebook.names["_"] == 7


@pytest.mark.parametrize("cell", ["x = (7\n     % 4)", 'x = """\n%time 3\n!ls\n""" and 3'])
def test_python_that_looks_like_magics_is_python(notebook, cell):
    assert notebook.run(cell, 1, False) == []
    assert notebook.names["x"] == 3


def test_bad_syntax_is_a_note(notebook):
    assert notebook.run("def f(:", 3, False)[0].startswith("cell 3 raised SyntaxError")


def test_a_cell_of_another_language_is_passed_over(notebook):
    assert len(notebook.run("%%bash\nrm -rf something", 4, False)) == 1


def test_get_ipython_is_there_and_does_nothing(notebook):
    assert notebook.run("get_ipython().run_line_magic('matplotlib', 'inline')\ndisplay(3)", 1, False) == []


def test_a_display_can_be_updated(notebook):
    assert notebook.run("h = display(1, display_id=True)\nh.update(2)\nx = display(3)", 1, False) == []
    assert notebook.names["x"] is None


def test_what_a_cell_prints_is_not_seen(notebook, capsys):
    notebook.run("import sys\nprint('secret')\nprint('secret', file=sys.stderr)", 1, False)
    assert capsys.readouterr() == ("", "")
