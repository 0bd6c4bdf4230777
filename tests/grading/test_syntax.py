"""Cells are read as Jupyter reads them; of what is no Python, all that can be read is."""

import ast

import pytest

from moe_lessons.grading.syntax import MOST_UNREAD, read


def lines(source):
    return {ast.unparse(node): node.lineno for node in read(source).nodes}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = 1\ny = 2", {"x = 1": 1, "y = 2": 2}),
        ("In [3]: x = 1\n   ...: y = 2", {"x = 1": 1, "y = 2": 2}),
        (
            "\n\n%%time -n\n%matplotlib inline\nx = 1",
            {"get_ipython().run_line_magic('matplotlib', 'inline')": 4, "x = 1": 5},
        ),
        ("%%capture --no-stderr out\nx = 1", {"out = get_ipython()": 1, "x = 1": 2}),
        ("x = %time f(1)\ny = [3 %time for time in (1,)]", {"x = f(1)": 1, "y = [3 % time for time in (1,)]": 2}),
        ("%%time\nx = 1\ny = = 2", {"x = 1": 2}),
        ("x = 1\ndef f(:\n    pass\n\n@g\ndef h():\n    pass\ny y", {"x = 1": 1, "@g\ndef h():\n    pass": 6}),
        ("x = (1,\nz = 2\n\ny = '''\na b\n'''\nc d", {"z = 2": 2, "y = '\\na b\\n'": 4}),
        ("match x\nmatch y:\n    case 1:\n        pass", {"match y:\n    case 1:\n        pass": 2}),
    ],
)
def test_what_can_be_read_is_found_in_its_line(source, found):
    assert lines(source) == found


def test_errors_are_those_of_the_pieces_with_their_lines():
    errors = read("x = 1\ndef f(:\n    pass\ny = 2\nz = = 3").errors
    assert [error.lineno for error in errors] == [2, 5]
    assert len(read("a b\n" * 500).errors) == MOST_UNREAD


def test_newer_syntax_is_told():
    assert read("def f[T](x: T): return x").newer or not read("def f[T](x: T): return x").errors
    assert not read("x = 1").newer
    assert not read("!ls").newer


def test_another_language_is_one_call():
    for source in ("%%bash\nls", "%%unknown\nselect all", "%%writefile a.py\nx = 1"):
        assert [ast.unparse(node)[:28] for node in read(source).nodes] == ["get_ipython().run_cell_magic"]


def test_what_is_nested_too_deeply_raises():
    with pytest.raises(SyntaxError, match="too many nested"):
        read("(" * 1000 + ")" * 1000)
