"""Newer syntax means the same in the older one, and what is not newer stays as it is."""

import ast
import itertools
import math
import typing
from types import SimpleNamespace

import pytest

from moe_lessons.grading.older import lend, older

NAMES = {"d": {"a": 1.5, "b": "it's"}, "n": 3}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('x = f"{d["a"]}"', "1.5"),
        ('x = f"{d["a"]:.2f} of {n}"', "1.50 of 3"),
        ("x = f'{d['b']} said \"{d['a']}\"'", 'it\'s said "1.5"'),
        ('x = f"{"\\n".join(["1", "2"])}"', "1\n2"),
        ('x = f"{"\\"".join(d)} \\"q\\" {{n}}"', 'a"b "q" {n}'),
        ('x = f"{f"{f"{n}"}"}"', "3"),
        ('x = f"{n!r:>{len("aaaa")}}"', "   3"),
        ('x = rf"\\d{d["a"]}" + "a" f"{", ".join(d)}"', "\\d1.5aa, b"),
        ('x = f"{ {"k": 1}["k"] }" # it\'s {', "1"),
        ("def f[T: (int, list[int])](x: T) -> T:\n    return x\nx = f(2)", 2),
        ("class A[T, *U]:\n    y: T = 4\nx = A.y", 4),
        ("async  def f[T](): pass\nx = 1", 1),
        ("type A = int | str\ntype B[T] = list[T]\nx = 5", 5),
        ("type = 3\nx = type", 3),
        ("try:\n    d['c']\nexcept KeyError, TypeError:\n    x = 6", 6),
    ],
)
def test_newer_syntax_means_the_same(source, value):
    names = dict(NAMES)
    exec(compile("from __future__ import annotations\n" + older(source), "cell", "exec"), names)
    assert names["x"] == value


SAME = [
    "x = f'{n!r}' + \"it's\" + '''a 'b' \"c\"'''  # f'{",
    "x = f\"{n:{n}d} {{}} {d!s}\" f'{n:%H:%M}'",
    "x = [f(a)[0] for a in b'it' if a]\ntry:\n    x\nexcept (A, B):\n    pass\nexcept C:\n    pass",
    'x = "an end that is not there',
    'x = f"{n',
    "type(x)[0] = 3",
]


@pytest.mark.parametrize("source", SAME)
def test_what_is_not_newer_stays_as_it_is(source):
    assert older(source) == source


def test_what_the_library_lacks_is_lent(monkeypatch):
    for module, name in ((itertools, "batched"), (math, "sumprod"), (typing, "override")):
        monkeypatch.delattr(module, name, raising=False)
        monkeypatch.setattr(module, name, None, raising=False)
        monkeypatch.delattr(module, name)
    lend()
    assert list(itertools.batched("abcde", 2)) == [("a", "b"), ("c", "d"), ("e",)]
    assert (math.sumprod([1, 2], [3, 4]), typing.override(len)) == (11, len)
    lend()  # what is there stays


def test_the_same_lines_are_there():
    source = 'def f[T](\n    x: T,\n):\n    return f"{d["a"]}"\n\nx = 1'
    assert [node.lineno for node in ast.parse(older(source)).body] == [1, 6]


def test_broken_control_some_of_it_is_newer_than_the_oldest_python_of_the_course():
    with pytest.raises(SyntaxError):
        ast.parse("def f[T](x: T): pass", feature_version=(3, 11))
    assert SimpleNamespace(**NAMES).n == 3
