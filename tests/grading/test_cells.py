"""Cells as the worker runs them: what counts as a stub, what is passed over, which definition counts."""

import ast
import sys
import threading

import pytest
from cell_runs import ATTEMPT, STUB, run

from moe_lessons.grading.cells import is_stub
from moe_lessons.grading.statements import defines


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


class StubClass:
    """A class whose methods are to be written"""

    def __init__(self, d):
        """d"""
        raise NotImplementedError

    def forward(self, x):
        raise NotImplementedError


class BegunClass(StubClass):
    def __init__(self, d):
        self.d = d

    def forward(self, x):
        raise NotImplementedError


class EmptyClass:
    pass


@pytest.mark.parametrize("value", [..., [..., ...], {"a": ...}, stub, StubClass])
def test_stubs_are_told(value):
    assert is_stub(value)


@pytest.mark.parametrize(
    "value", [begun, refuses, lambda x: x, None, 0, [1, ...], {}, len, is_stub, int, BegunClass, EmptyClass]
)
def test_attempts_are_told(value):
    assert not is_stub(value)


@pytest.mark.parametrize(
    "cells", [[ATTEMPT, STUB], [f"{ATTEMPT}\n{STUB}"], [STUB, ATTEMPT, STUB], [ATTEMPT, "f = ..."]]
)
def test_a_stub_does_not_take_the_place_of_an_attempt(notebook, cells):
    for number, cell in enumerate(cells):
        assert run(notebook, cell, number) == []
    assert notebook.answer("f")(1) == 2


CLASS = "class f:\n    size = 1\n    def g(self, x):\n        return x + self.size"
STUB_CLASS = (
    'class f:\n    """A module"""\n    def g(self, x):\n        """x -> y"""\n        raise NotImplementedError'
)


@pytest.mark.parametrize("cells", [[CLASS, STUB_CLASS], [STUB_CLASS, CLASS, STUB_CLASS], [CLASS, "class f:\n    pass"]])
def test_a_stub_of_a_class_does_not_take_the_place_of_an_attempt(notebook, cells):
    for number, cell in enumerate(cells):
        assert run(notebook, cell, number) == []
    assert notebook.answer("f")().g(1) == 2


def test_a_class_that_is_only_begun_does(notebook):
    run(notebook, CLASS, 1)
    run(notebook, STUB_CLASS + "\n    def h(self):\n        return 3", 2)
    assert notebook.answer("f")().h() == 3


def test_of_several_attempts_the_last_counts_even_a_wrong_one(notebook):
    run(notebook, ATTEMPT, 1)
    run(notebook, "def f(x):\n    return None", 2)
    assert notebook.answer("f")(1) is None


@pytest.mark.parametrize("dots", ["values = ...", 'values = {"a": ..., "b": ...}', "values = [..., ...]"])
def test_values_too(notebook, dots):
    run(notebook, dots, 1)
    assert is_stub(notebook.answer("values"))
    run(notebook, 'values = {"a": 1, "b": ...}', 2)
    run(notebook, dots, 3)
    assert notebook.answer("values") == {"a": 1, "b": ...}


def test_a_stub_of_another_name_is_as_python_has_it(notebook):
    run(notebook, "g = 3", 1)
    run(notebook, "g = ...", 2)
    assert notebook.names["g"] is ...


def test_an_answer_of_another_name_counts_if_it_was_checked(notebook):
    run(notebook, STUB, 1)
    notebook.check("1.1", len)
    notebook.check("1.1", stub)
    assert notebook.answer("f") is len
    run(notebook, ATTEMPT, 2)
    assert notebook.answer("f")(1) == 2


def test_no_answer_at_all_is_a_stub(notebook):
    assert notebook.answer("f") is notebook.answer_when_checked("f") is ...


def test_what_was_checked_is_there_beside_what_a_name_holds_in_the_end(notebook):
    run(notebook, ATTEMPT, 1)
    notebook.names["check"] = notebook.check
    run(notebook, "check('1.1', f)\ncheck('1.2', [1, 2])\ncheck('9.9', 3)", 2)
    assert notebook.answer_when_checked("f") is ...  # it is the answer itself
    run(notebook, "checked = f\nfor f in (1, 2):\n    pass\nfor values in [[1, 1], [2, 2]]:\n    pass", 3)
    assert (notebook.answer("f"), notebook.answer("values")) == (2, [2, 2])
    assert notebook.answer_when_checked("f") is notebook.names["checked"]
    assert notebook.answer_when_checked("values") == [1, 2]
    notebook.check("1.2", ...)
    notebook.check("1.2", [3, 3])
    assert notebook.answer_when_checked("values") == [3, 3]
    assert set(notebook.checked) == {"1.1", "1.2"}


def test_two_questions_of_one_name_have_a_check_each(notebook):
    notebook.check("1.1", len)
    notebook.check("1.p1", max)
    run(notebook, "f = 3", 1)
    found = [notebook.answer_when_checked("f", question) for question in ("1.1", "1.p1", "1.p2", "")]
    assert found == [len, max, max, max]
    notebook.check("1.1", len)
    assert notebook.answer_when_checked("f") is len


def test_what_was_checked_is_tried_with_the_names_as_they_were_then(notebook):
    notebook.names["check"] = notebook.check
    run(notebook, "scale = 2\ndef f(x):\n    return scale * x\ncheck('1.1', f)\nother = 3", 1)
    assert notebook.answer_when_checked("f") is ...
    run(notebook, "other = 4\nscale = 5", 2)
    assert notebook.answer("f")(1) == 5
    assert notebook.answer_when_checked("f")(1) == 2
    assert notebook.names["other"] == 4  # it was not there yet


@pytest.mark.parametrize("change", ["values.append(3)", "values += [3]", "values[1] = 3"])
def test_values_are_kept_as_they_were_when_they_were_checked(notebook, change):
    run(notebook, "values = [1, 2]", 1)
    notebook.check("1.2", notebook.answer("values"))
    run(notebook, change, 2)
    assert notebook.answer("values") != [1, 2]
    assert notebook.answer_when_checked("values") == [1, 2]


def test_what_has_no_copy_is_kept_as_it_is(notebook):
    for values in ((n for n in [1]), sys, len):
        notebook.check("1.2", values)
        assert notebook.answer("values") is values


def test_check_is_content_with_an_attempt_so_that_a_cell_goes_on(notebook):
    notebook.names["check"] = notebook.check
    cell = "r = check('1.2', [0])\nassert r.points == 2 and r.status == 'correct'\nvalues = 1"
    assert run(notebook, cell, 1) == []
    assert notebook.answer("values") == 1
    assert notebook.check("1.2").points == notebook.check("9.9", 1).points == 0


def test_an_error_at_the_end_of_a_cell_is_a_note(notebook):
    ran = notebook.run("a = 1\nb = 1 / 0", 7, False)
    assert ran.told() == {"notes": ["cell 7 raised ZeroDivisionError: division by zero"], "cause": "", "went_on": False}
    assert notebook.names["a"] == 1


# Each of these lines works on somebody's computer.
ELSEWHERE = [
    "import no_such_library as pd",
    "from google.colab import drive",
    "import no_such_library as pd, math",
    "from math import no_such_name, floor",
    "name = input('Your name? ')",
    "get_ipython().kernel.do_shutdown(True)",
    "files = !ls\nfirst = files[0]",
    "open('/no/such/folder/data.csv')",
    "with open('/no/such/file') as f:\n    text = f.read()",
    "import os\nos.chdir('/content/drive/MyDrive')",
    "import os\nkey = os.environ['NO_SUCH_VARIABLE']",
    "import subprocess\nsubprocess.run(['/no/such/program'], check=True)",
    "df.plot()",
    "here = __file__",
    "import sys\nsys.exit()",
    "raise KeyboardInterrupt",
    "for word in ('a', 'b'):\n    int(word)",
    "assert False",
    "await 3",
    "return 3",
]


@pytest.mark.parametrize("line", ELSEWHERE)
def test_what_follows_a_line_that_fails_here_alone_counts(notebook, line):
    ran = notebook.run(f"{line}\nimport math\nhelper = 2\n{ATTEMPT}\nvalues = [helper, math.floor(2.5)]", 4, False)
    assert (notebook.answer("f")(1), notebook.answer("values")) == (2, [2, 2])
    said = ran.told()
    assert said["went_on"]
    assert said["cause"].startswith("raised ")
    assert not any("raised" in note for note in said["notes"])


def test_the_cause_is_told_with_its_line_and_what_came_of_it_apart(notebook):
    ran = notebook.run("x = 1\nimport no_such as pd\ny = pd.a\nz = pd.b\npd.c\npd.d\npd.e\nvalues = [1]", 4, False)
    assert ran.told() == {
        "cause": "raised ModuleNotFoundError: No module named 'no_such' (line 2: import no_such as pd)",
        "went_on": True,
        "notes": ["cell 4 raised NameError: name 'pd' is not defined"] * 3
        + ["cell 4: 2 more of its statements raised"],
    }
    assert notebook.answer("values") == [1]


@pytest.mark.parametrize("rest", ["f(1)", "print(3)\nassert True", "pass", "raise ValueError"])
def test_an_error_that_no_definition_follows_costs_nothing(notebook, rest):
    said = notebook.run(f"{ATTEMPT}\n1 / 0\n{rest}", 4, False).told()
    assert (said["cause"], said["went_on"]) == ("", False)
    assert said["notes"][0] == "cell 4 raised ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "last", ["import no_such", "values = missing", "for values in missing:\n    pass", "@missing\nclass f: pass"]
)
def test_an_error_in_an_import_or_an_answer_may_cost_something(notebook, last):
    said = notebook.run(f"x = 1\n{last}", 4, False).told()
    assert (said["cause"][:7], said["went_on"], said["notes"]) == ("raised ", False, [])


@pytest.mark.parametrize("line", ["import math, no_such, re", "from math import floor, no_such, ceil"])
def test_of_an_import_of_several_names_all_that_are_there_come(notebook, line):
    run(notebook, line, 1)
    assert {"math", "re"} <= set(notebook.names) or {"floor", "ceil"} <= set(notebook.names)


@pytest.mark.parametrize(
    "definition",
    [
        "@njit\ndef f(x):\n    return x + 1",
        "@njit(fastmath=True)\n@other\ndef f(x):\n    return x + 1",
        "def f(x: pd.DataFrame, *more: pd.Series, key: pd.Index = 0) -> pd.DataFrame:\n    return x + 1",
        "@njit\ndef inner(x: pd.Series):\n    return x\ndef f(x):\n    return inner(x) + 1",
    ],
)
def test_a_function_that_only_its_decoration_fails_is_defined_without_it(notebook, definition):
    assert run(notebook, f"import no_such as pd\n{definition}", 1) != []
    assert notebook.answer("f")(1) == 2


def test_broken_control_a_function_that_cannot_be_defined_is_not(notebook):
    run(notebook, "def f(x, y=missing):\n    return x + 1", 1)
    assert notebook.answer("f") is ...


def test_after_an_error_a_stub_still_takes_no_place_and_a_check_still_counts(notebook):
    notebook.names["check"] = notebook.check
    run(notebook, f"{ATTEMPT}\nmissing\n{STUB}\ncheck('1.2', [7])", 1)
    assert notebook.answer("f")(1) == 2
    assert notebook.answer("values") == [7]


def test_thousands_of_errors_are_few_words(notebook):
    said = notebook.run("missing\n" * 5000 + ATTEMPT, 1, False).told()
    assert len(str(said)) < 1000
    assert notebook.answer("f")(1) == 2


def test_of_a_cell_that_died_definitions_are_kept_and_nothing_is_computed(notebook):
    cell = f"import math\n{ATTEMPT}\nclass C: pass\nvalues = [1, 2]\ncomputed = math.sqrt(4)\nwhile True: pass"
    assert run(notebook, cell, 1, definitions_only=True) == []
    assert {"math", "f", "C", "values"} <= set(notebook.names)
    assert "computed" not in notebook.names


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("lambda x: x + 1", True),
        ("partial(pow, 2)", True),
        ("np.array([1 / 3, -2])", True),
        ("{'a': [g, math.pi]}", True),
        ("jit(g, fast=True)", True),
        ("find()", False),
        ("np.array(find())", False),
        ("[find() for _ in range(3)]", False),
    ],
)
def test_what_is_cheap_to_have_is_a_definition(value, kept):
    for statement in (f"f = {value}", f"f: object = {value}"):
        assert defines(ast.parse(statement).body[0]) is kept


def test_one_statement_can_be_left_out_and_all_are_told_as_they_are_reached(notebook):
    reached = []
    cell = "import math, re\nx = 1\n\nx = 1 / 0\nvalues = [x]"
    ran = notebook.run(cell, 1, skipped=3, reached=lambda *which: reached.append(which))
    assert (ran.errors, notebook.answer("values")) == ([], [1])
    assert reached == [(0, 1), (1, 1), (2, 2), (3, 4), (4, 5), (5, 0)]


def test_of_a_cell_that_died_definitions_are_kept_after_an_import_that_fails_too(notebook):
    run(notebook, f"import no_such\n{ATTEMPT}\nvalues = [1, 2]\nwhile True: pass", 1, definitions_only=True)
    assert (notebook.answer("f")(1), notebook.answer("values")) == (2, [1, 2])


@pytest.mark.parametrize(
    "cell",
    [
        "  x = 1\n  def f():\n      return x",
        ">>> x = 1\n>>> def f():\n...     return x",
        "In [3]: def f():\n   ...:     return x\n   ...: x = 1",
    ],
)
def test_indentation_and_prompts_are_taken_off_as_in_jupyter(notebook, cell):
    assert run(notebook, cell, 1) == []
    assert notebook.names["x"] == 1


def test_an_error_below_a_magic_is_found_in_its_line(notebook):
    run(notebook, "\n%%time\n%matplotlib inline\ndef f():\n    return 1 / 0", 1)
    with pytest.raises(ZeroDivisionError) as raised:
        notebook.names["f"]()
    assert raised.traceback[-1].lineno + 1 == 5


def test_cells_may_await(notebook):
    cell = "import asyncio\nasync def g():\n    await asyncio.sleep(0)\n    return 3\nx = await g()\nawait g()"
    assert run(notebook, cell, 1) == []
    assert notebook.names["x"] == notebook.names["_"] == 3
    assert run(notebook, "await 3", 2)[0].startswith("cell 2 raised TypeError")


@pytest.mark.parametrize("before", ["", "import math\n", "%matplotlib inline\n"])
def test_a_future_import_holds_in_all_later_cells(notebook, before):
    assert "NameError" in run(notebook, "def f(x: Missing): return x", 1)[0]  # the control
    run(notebook, f"{before}from __future__ import annotations", 2)
    assert run(notebook, "def f(x: Missing): return x", 3) == []
    assert notebook.answer("f").__annotations__ == {"x": "Missing"}


def test_the_last_result_has_its_name_unless_the_notebook_uses_that(notebook):
    run(notebook, "2\n3", 1)
    run(notebook, "x = _\nNone", 2)
    assert notebook.names["x"] == notebook.names["_"] == 3
    run(notebook, "_ = 7", 3)
    run(notebook, "4", 4)
    assert notebook.names["_"] == 7


def test_results_are_kept_by_the_counts_that_the_notebook_shows(notebook):
    notebook.run("[1]", 1, count=7)
    notebook.run("[2]", 2)
    assert run(notebook, "x = Out[7], _7, Out[2], _, __", 3) == []
    assert notebook.names["x"] == ([1], [1], [2], [2], [1])
    assert "no cell has the number 8 yet" in run(notebook, "Out[8]", 4)[0]
    assert run(notebook, "x = In[7], _i2, In[5]", 5) == []
    assert notebook.names["x"] == ("[1]", "[2]", "x = In[7], _i2, In[5]")


# Cells in another order

LATER = [
    ("values = g()", "def g():\n    return [3]"),
    ("values = ...\nvalues = g()", "def g():\n    return [3]"),
    ("start = g()\nvalues = start", "def g():\n    return [3]"),
    ("values = Out[9]", "[3]"),
    ("for i in range(n):\n    values = [i]", "n = 4"),
    ("values = np.array([3])", "import numpy as np"),
    ("x = {}\nx['a'] = g()\nvalues = g()", "def g():\n    return [3]"),
    ("values[0] = 3", "values = [2]"),
    ("x = 1\nvalues.append(3)\ny = missing", "values = []\nmissing = 2"),
]


@pytest.mark.parametrize(("first", "later"), LATER)
def test_a_statement_waits_for_a_name_that_a_later_cell_defines(notebook, first, later):
    assert "NameError" in run(notebook, first, 1)[0]
    said = notebook.run(later, 2, count=9).told()["notes"]
    assert said[0].startswith("cell 1: line ")
    assert " was run after cell 2, where `" in said[0]
    assert notebook.answer("values") == [3]


def test_what_waited_takes_no_place_of_a_later_attempt(notebook):
    run(notebook, "values = g()\nother = h()", 1)
    run(notebook, "values = [4]", 2)
    run(notebook, "def g():\n    return [3]", 3)
    run(notebook, "def h():\n    return missing", 4)
    run(notebook, "missing = 5", 5)
    assert (notebook.answer("values"), notebook.names["other"]) == ([4], 5)
    assert notebook.waiting == []


def test_what_waited_or_goes_on_can_be_given_up(notebook):
    run(notebook, "values = g()", 1)
    cell = "import threading\ngo_on = threading.Event()\nthreading.Thread(target=go_on.wait).start()\ng = int"
    assert notebook.run(cell, 2, skipped=4).told()["notes"] == []
    assert (notebook.waiting, threading.active_count() > 1) == ([], True)
    notebook.names["go_on"].set()
    assert notebook.answer("values") is ...


def test_a_value_that_a_task_or_thread_finds_is_there_in_the_next_cell(notebook):
    cell = "import asyncio, threading, time\nfound = []\nasync def g():\n    await asyncio.sleep(0)\n    return 3\n"
    cell += "async def h():\n    found.append(await g())\n"
    cell += "task, other = asyncio.create_task(g()), asyncio.create_task(h())\nboth = asyncio.gather(g(), g())\n"
    cell += "def find():\n    time.sleep(0.01)\n    found.append(4)\nthreading.Thread(target=find).start()"
    assert run(notebook, cell, 1) == []
    assert sorted(notebook.names["found"]) == [3, 4]
    assert run(notebook, "values = [await task, *await both]", 2) == []
    assert notebook.answer("values") == [3, 3, 3]


def test_del_spares_answers(notebook):
    assert run(notebook, f"{ATTEMPT}\nx, y = 1, 2\ndel f, x\ndel f", 1) == []
    assert notebook.answer("f")(1) == 2
    assert "x" not in notebook.names


def test_a_decorated_stub_is_none(notebook):
    cell = f"from functools import singledispatch\n{STUB}\n@singledispatch\n{STUB}\n"
    cell += "@f.register\ndef _(x: int):\n    return x + 1"
    assert run(notebook, cell, 1) == []
    assert notebook.answer("f")(1) == 2


def test_what_cannot_be_read_costs_itself_alone_and_is_told_with_its_line(notebook):
    cell = f"x = 1\nThis was x\n{ATTEMPT}\nprint('x'\n\ny = 2\nif y\n    z = 3\nvalues = [y]"
    said = notebook.run(cell, 3).told()
    assert said["cause"].startswith("raised SyntaxError: invalid syntax (line 2: This was x; read by Python 3")
    assert [note[:26] for note in said["notes"]] == ["cell 3 raised SyntaxError:"] * 2
    assert (notebook.answer("f")(1), notebook.answer("values"), notebook.names["x"]) == (2, [2], 1)


def test_of_many_that_cannot_be_read_few_are_told(notebook):
    said = notebook.run("a b\n" * 1000, 3).told()
    assert len(said["notes"]) == 4


def test_what_a_cell_prints_is_not_seen(notebook, capsys):
    run(notebook, "import sys\nprint('secret')\nprint('secret', file=sys.stderr)", 1)
    assert capsys.readouterr() == ("", "")
