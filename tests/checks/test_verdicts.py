"""Mistakes are declared in pairs, facts are filled into texts, and a verdict joins what is said of an answer once."""

import numpy as np
import pytest

from moe_lessons.checks.parts import Part
from moe_lessons.checks.verdicts import (
    Facts,
    Fault,
    Verdict,
    always,
    by_formula,
    by_test,
    by_trace,
    by_value,
    filled,
    weighed,
)


def test_a_pair_is_a_named_reason_and_what_comes_of_it():
    (twice, half) = by_value(
        "twice: You doubled it: once is enough.", lambda x: 2 * x, "half: Too small.", lambda x: x / 2
    )
    assert (twice.name, twice.why, twice.wrong(3), twice.seen) == ("twice", "You doubled it: once is enough.", 6, None)
    assert (half.name, half.wrong(3)) == ("half", 1.5)


def test_several_ways_to_make_one_mistake_share_its_text():
    mistakes = by_value("off by one: Count from 0.", (lambda x: x + 1, lambda x: x - 1))
    assert [(m.name, m.wrong(0)) for m in mistakes] == [("off by one", 1), ("off by one", -1)]


def test_a_formula_becomes_a_function_of_the_case():
    mistakes = by_formula(lambda formula: lambda x: formula(x, x * x), "sum: Added.", lambda x, square: x + square)
    assert [(m.name, m.why, m.wrong(3)) for m in mistakes] == [("sum", "Added.", 12)]


def test_a_reason_may_have_no_name():
    (mistake,) = by_test(": Near, but not equal.", always)
    assert (mistake.name, mistake.why, mistake.wrong, mistake.anywhere) == (None, "Near, but not equal.", None, False)
    assert by_trace(": Near.", always)[0].anywhere


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (("name: why",), "come in pairs"),
        ((always, "name: why"), 'a text "name: why" and a function'),
        (("name: why", "no function"), 'a text "name: why" and a function'),
        (("name: why", (always, 1)), 'a text "name: why" and a function'),
        (("no colon", always), 'says "name: why"'),
        (("name: ", always), 'says "name: why"'),
    ],
)
def test_what_is_no_pair_is_refused_when_it_is_written(pairs, sentence):
    for declare in (by_value, by_test):
        with pytest.raises(ValueError, match=sentence):
            declare(*pairs)


def test_arrays_are_filled_in_as_verdicts_show_them():
    facts = Facts(loss=0.12345, load=np.array([0.5, 0.25]), name="E1", shape=(2, 3))
    assert filled("{loss:.2f} {load} {name} {shape}", facts) == "0.12 [0.5, 0.25] E1 (2, 3)"


def test_a_number_beside_its_limit_shows_the_digits_that_tell_them_apart():
    told = [filled("{loss:.3f|1.02}", Facts(loss=loss)) for loss in (1.5, 1.0203, 1.02, 1.01999999)]
    assert told == ["1.500", "1.0203", "1.020", "1.01999999"]
    assert filled("{size:.4g|24} {part:.1%|0.02}", Facts(size=24.0001, part=0.0201)) == "24.0001 2.01%"


def test_the_first_test_that_holds_is_told_unless_the_answer_is_right():
    mistakes = by_test("small: {x} is small.", lambda found: found.x < 3, "large: {x} is large.", always)
    right = lambda found: found.x == 2  # noqa: E731
    told = [weighed(Facts(x=x), right, mistakes, "x = {x}") for x in (1, 2, 5)]
    assert [(v.correct, v.mistake, v.message) for v in told] == [
        (False, "small", "1 is small.\nx = 1"),
        (True, None, "x = 2"),
        (False, "large", "5 is large.\nx = 5"),
    ]


def test_without_a_rule_right_is_what_shows_no_mistake():
    mistakes = by_test("small: Too small.", lambda found: found.x < 3)
    assert [weighed(Facts(x=x), None, mistakes).correct for x in (1, 5)] == [False, True]
    assert not weighed(Facts(x=5), lambda found: False, mistakes).correct


def test_a_verdict_says_why_before_what_was_seen_and_where():
    parts = (Part("a", 1), Part("b", 0))
    verdict = Verdict(False, "why", "name", seen="seen", case="case", remark="remark", parts=parts)
    assert verdict.message == "why\nseen\ncase\nremark\nRight: a. Not yet: b."
    assert Verdict(True, case="case").message == "case"
    assert Verdict.of(Fault("name", "why", "seen")) == Verdict(False, "why", "name", "seen")
