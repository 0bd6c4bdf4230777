"""Draws that tell mistakes apart."""

import numpy as np

from moe_lessons.checks import questions
from moe_lessons.checks.apart import tells_apart, told_apart
from moe_lessons.checks.question import FunctionQuestion
from moe_lessons.checks.verdicts import by_value


def asked(mistakes=(), parts=(), reference=lambda x: x**2):
    known = {field: getattr(questions()["10.2"], field) for field in ("id", "title", "kind", "points", "minutes")}
    said = {"difficulty": "easy", "hints": ("", ""), "idea": "", "answer": "f", "parameters": ("x",)}
    return FunctionQuestion(**known, **said, cases=lambda rng: [], reference=reference, mistakes=mistakes, parts=parts)


DOUBLED = by_value("doubled: 2x.", lambda x: 2 * x)
ADDED = by_value("added: x + 1.", lambda x: x + 1)


def test_a_mistake_that_is_right_in_all_cases_is_not_told_apart():
    question = asked(DOUBLED)
    assert tells_apart(question, [(3.0,)])
    assert not tells_apart(question, [(2.0,), (0.0,)])
    assert tells_apart(question, [(2.0,), (0.0,), (1.0,)])  # one case is enough


def test_nor_are_two_mistakes_that_come_to_the_same():
    assert not tells_apart(asked(DOUBLED + ADDED), [(1.0,)])
    assert tells_apart(asked(DOUBLED + ADDED), [(3.0,)])
    assert tells_apart(asked(DOUBLED + by_value("doubled: 2x.", lambda x: x + 1)), [(1.0,)])  # two ways to make it


def test_what_checks_take_for_equal_is_equal_and_nothing_else():
    near = by_value("near: Nearly.", lambda x: x**2 * (1 + 1e-7))
    assert not tells_apart(asked(near), [(3.0,)])
    assert tells_apart(asked(by_value("far: Not so near.", lambda x: x**2 * 1.001)), [(3.0,)])
    assert tells_apart(asked(by_value("row: In brackets.", lambda x: [x**2])), [(3.0,)])
    assert not tells_apart(asked(by_value("minus nothing: −0.", lambda x: -0.0)), [(0.0,)])
    assert tells_apart(asked(by_value("nothing: NaN.", lambda x: np.nan)), [(3.0,)])


def test_a_part_is_compared_with_itself():
    question = asked(parts={"square": DOUBLED, "sum": ADDED}, reference=lambda x: (x**2, 2 * x))
    assert tells_apart(question, [(3.0,)])
    assert not tells_apart(question, [(2.0,)])
    assert not tells_apart(question, [(1.0,)])


def test_two_mistakes_that_give_the_same_in_all_cases_are_not_told_apart():
    double, square = (lambda n: [2 * n],), (lambda n: [n**2],)
    assert told_apart({"double": double, "square": square}, [(2,), (3,)])
    assert not told_apart({"double": double, "square": square}, [(2,), (0,)])
    assert told_apart({"double": (*double, *square)}, [(2,)])
