"""What a declared question does: parts, tests, words, readings, helpers; properties, variables, entries of a dict."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from moe_lessons.checks.calls import SeededGenerator
from moe_lessons.checks.forms import Fields, Name, Truth, row, whole
from moe_lessons.checks.question import (
    EntriesQuestion,
    FunctionQuestion,
    PropertyQuestion,
    ValuesQuestion,
    VariableQuestion,
    about,
)
from moe_lessons.checks.values import agree, unbracketed
from moe_lessons.checks.verdicts import Fault, always, by_test, by_trace, by_value

RECORD = {**about("1.x", "A title", "write it", "easy", points=1, minutes=4), "hints": ("", ""), "idea": ""}
ask = partial(FunctionQuestion, **RECORD, answer="f", parameters=("x",), cases=lambda rng: [(1.0,), (2.0,)])


def judged(question, answer, seed=0):
    data = question.draw(np.random.default_rng(seed))
    return question.verdict(data, question.probe(answer, data))


def test_the_record_is_one_line():
    question = ask(reference=lambda x: x)
    assert (question.id, question.title, question.kind) == ("1.x", "A title", "write it")
    assert (question.difficulty, question.points, question.minutes, question.set) == ("easy", 1, 4, "01")


def test_a_mistake_must_show_in_every_case_or_leave_a_trace_in_one():
    is_even = lambda value, x: value % 2 == 0  # noqa: E731
    every = ask(reference=lambda x: x / 4, mistakes=by_test("even: Even.", is_even))
    once = ask(reference=lambda x: x / 4, mistakes=by_trace("even: Even.", is_even))
    told = [
        [judged(question, answer).mistake for question in (every, once)] for answer in (lambda x: 2 * x, lambda x: x)
    ]
    assert told == [["even", "even"], [None, "even"]]


def test_a_value_is_tried_before_a_test_and_the_first_of_them_is_told():
    mistakes = by_value("twice: Twice.", lambda x: 2 * x) + by_test("any: Anything.", always, "late: Late.", always)
    question = ask(reference=lambda x: x, mistakes=mistakes)
    assert [judged(question, answer).mistake for answer in (lambda x: 2 * x, lambda x: 5 * x)] == ["twice", "any"]


def test_each_part_has_its_own_mistakes_and_the_whole_those_of_no_part():
    parts = {"half": by_value("whole: Not halved.", lambda x: x), "sign": ()}
    swapped = by_test("swapped: Swapped.", lambda value, x: agree(value, [1, x / 2]))
    question = ask(reference=lambda x: (x / 2, 1), parts=parts, mistakes=swapped)
    assert judged(question, lambda x: (x / 2, 1)).correct
    assert judged(question, lambda x: {"half": x / 2, "sign": 1}).correct
    assert judged(question, lambda x: (x, 1)).mistake == "whole"
    assert judged(question, lambda x: (1, x / 2)).mistake == "swapped"
    assert "sign: expected 1, came 0" in judged(question, lambda x: (x / 2, 0)).message
    assert "Expected 2 things: half, sign" in judged(question, lambda x: x).message
    assert [(m.name, m.part) for m in question.known_mistakes] == [("whole", "half"), ("swapped", "")]


def test_every_part_is_marked_whatever_is_wrong_before_it():
    parts = ("one", "many", "text")
    right = lambda x: (x, np.arange(4.0), x + 1)  # noqa: E731
    question = ask(reference=right, parts=parts)
    off = np.array([0, 0, 0, 1])
    message = judged(question, lambda x: (x + 1, right(x)[1] + off, x + 1)).message
    assert message.startswith("Every number is 1 more than what is right.\none: expected 1, came 2\nfor x = 1\n")
    assert message.endswith("\nRight: text. Not yet: one; many (1 of 4 numbers is off: [3]).")
    once = judged(question, lambda x: (x, right(x)[1] + off * (x > 1), x + 1))
    assert once.message.endswith("\nRight: one; text. Not yet: many (1 of 2 cases right).")
    assert [(part.right, part.of) for part in once.parts] == [(2, 2), (1, 2), (2, 2)]
    lost = judged(question, lambda x: {"one": x, "text": 0}).message
    assert lost.startswith("Expected 3 things")
    assert lost.endswith("\nRight: one. Not yet: many; text.")
    assert judged(question, lambda x: x).message.endswith("\nNot yet: one; many; text.")
    assert judged(question, lambda x: (0, [1, 2], 0)).message.endswith("Not yet: one; many (another shape); text.")


def test_what_is_right_in_part_for_another_reason_is_not_marked():
    """All values are right: that they came about in a wrong way is said, and nothing else."""
    question = ask(reference=lambda x: (x, x), parts=("a", "b"), afterwards=lambda *_: Fault("how", "Wrong way."))
    assert judged(question, lambda x: (x, x)).message == "Wrong way."


def test_words_of_a_test_take_the_place_of_the_difference():
    question = ask(reference=lambda x: x, mistakes=by_test("off: Off.", lambda value, x: f"off by {value - x:g}"))
    assert judged(question, lambda x: x + 3).message == "Off.\noff by 3\nfor x = 1\nRight: 0 of 2 cases."
    plainly = ask(reference=lambda x: x, shown=lambda value, right, x: f"{value:g} for {right:g}")
    assert judged(plainly, lambda x: x + 3 / x).message.startswith("4 for 1\nfor x = 1\n")


def test_what_is_compared_may_be_read_first():
    question = ask(reference=lambda x: 0, read=lambda value, x: np.where(np.abs(value) < 1e-3, 0, value))
    assert judged(question, lambda x: np.array(1e-4)).correct
    assert not judged(question, lambda x: np.array(1e-2)).correct


def test_right_values_may_have_come_about_in_a_wrong_way():
    fault = Fault("unused", "Right, but nothing was drawn.", "seen")
    question = ask(
        reference=lambda x, seed: x,
        parameters=("x", "rng"),
        cases=lambda rng: [(1.0, 7)],
        helper=SeededGenerator,
        afterwards=lambda value, drawn, x, seed: None if drawn else fault,
        mistakes=by_test("unused, wrong: Nothing was drawn.", lambda value, drawn, x, seed: not drawn),
    )
    assert judged(question, lambda x, rng: x).message == "Right, but nothing was drawn.\nseen"
    assert judged(question, lambda x, rng: rng.normal() * 0 + x).correct
    wrong = judged(question, lambda x, rng: 2 * x)
    assert wrong.mistake == "unused, wrong"
    assert wrong.message.endswith("for x = 1, rng = np.random.default_rng(7)")  # one case: it is not counted


def test_the_arguments_that_are_named_come_as_tensors():
    cases = {"parameters": ("x", "y"), "cases": lambda rng: [(np.ones(2), np.ones(2))], "reference": lambda x, y: x}
    kinds = []

    def answer(x, y):
        kinds.append((type(x), type(y)))
        return x

    assert judged(ask(**cases), answer).correct
    assert judged(ask(**cases, tensors=("y",)), answer).correct
    assert kinds == [(np.ndarray, np.ndarray), (np.ndarray, torch.Tensor)]


def test_a_property_may_be_had_by_many_values():
    question = PropertyQuestion(
        **RECORD,
        answer="f",
        parameters=("x",),
        cases=lambda rng: [(1.0,), (2.0,)],
        measured=lambda value, x: {"gap": float(value) - x} if np.ndim(value) == 0 else Fault(None, "No number."),
        right=lambda found: found.gap > 0,
        mistakes=by_test(
            "equal: The gap is 0.", lambda found: found.gap == 0, "below: Below.", lambda found: found.gap < 0
        )
        + by_trace("once far: Once {gap:g} below.", lambda found: found.gap < -5),
        report="gap {gap:.1f}",
    )
    assert judged(question, lambda x: x + 1).correct
    assert judged(question, lambda x: x).message == "The gap is 0.\ngap 0.0\nRight: 0 of 2 cases."
    mixed = judged(question, lambda x: x if x < 2 else x - 9)
    assert (mixed.mistake, mixed.message) == ("once far", "Once 0 below.\ngap 0.0\nRight: 0 of 2 cases.")
    assert judged(question, lambda x: [x, x]).message == "No number.\nRight: 0 of 2 cases."
    some = judged(question, lambda x: 2 * x - 1.5)  # below once, above once: no reason fits
    assert some.message == "gap -0.5\nRight: 1 of 2 cases."
    assert judged(question, lambda x: x + 1 if x < 2 else [x]).message == "No number.\nRight: 1 of 2 cases."


def test_a_changed_argument_is_remarked_on_whether_the_property_is_there_or_not():
    question = PropertyQuestion(
        **RECORD,
        answer="f",
        parameters=("x",),
        cases=lambda rng: [(np.ones(2),)],
        measured=lambda value, x: {"value": float(value)},
        right=lambda found: found.value > 0,
        mistakes=(),
    )
    for factor in (1, -1):

        def answer(x, factor=factor):
            x *= factor * 2
            return x.sum()

        verdict = judged(question, answer)
        assert verdict.correct == (factor > 0)
        assert "changes its input x in place" in verdict.remark


def test_a_variable_is_read_measured_and_weighed():
    question = VariableQuestion(
        **RECORD,
        answer="v",
        form=row("a list of numbers"),
        measured=lambda array: {"sum": array.sum()},
        right=lambda found: found.sum == 1,
        mistakes=by_test("more: {sum:g} is more than 1.", lambda found: found.sum > 1),
        report="sum {sum:g}",
    )
    told = [question.judge({}, question.probe(value, {})).message for value in ([0.5, 0.5], [1, 1], [0.1], "x")]
    expected = "Expected a list of numbers. Came a piece of text."
    assert told == ["sum 1", "2 is more than 1.\nsum 2", "sum 0.1", expected]
    with pytest.raises(NotImplementedError, match=r"1\.x needs form and measured"):
        VariableQuestion(**RECORD, answer="v").judge({}, {"value": 1})


CHOICES = EntriesQuestion(
    **RECORD,
    answer="v",
    form=Fields(dict.fromkeys("ABC", Name(("up", "down", "neither")))),
    expected=lambda: {"A": "up", "B": "up", "C": "down"},
    against=lambda entry, name: Fault(f"{entry}: {name}", f"{entry} is not {name}."),
)


def test_the_first_wrong_entry_is_refuted_and_every_entry_is_marked():
    verdict = judged(CHOICES, {"A": "up", "B": "Down", "C": "up"})
    assert (verdict.mistake, verdict.message) == ("B: down", "B is not down.\nRight: A. Not yet: B; C.")


def test_what_any_answer_may_hold_is_told_where_the_question_knows_no_better():
    three = replace(CHOICES, expected=lambda: {"A": "up", "B": "neither", "C": "down"})
    crossed = judged(three, {"A": "up", "B": "down", "C": "neither"})
    assert crossed.message.startswith("B is not down.\n'B' and 'C': each of them has the answer of the other.\n")
    numbers = ValuesQuestion(
        **RECORD, answer="v", expected=lambda: {"a": 0.6285, "b": 3.21}, advice={"a": "Count.", "b": "Add."}
    )
    near = judged(numbers, {"a": 0.6, "b": 3.21})
    assert (near.mistake, near.message.splitlines()[1]) == (
        "near",
        "Near: 0.6 is rounded too far. Give 2 decimals, please.",
    )
    assert "each of them has the answer of the other" in judged(numbers, {"a": 3.21, "b": 0.63}).message
    rounded = judged(ask(reference=lambda x: x / 7), lambda x: round(x / 7, 3))
    assert (rounded.mistake, rounded.message.splitlines()[0][:36]) == (
        "rounded",
        "Right, but rounded to 3 decimals. Re",
    )
    read = ask(reference=lambda x: x / 7, read=lambda value, x: unbracketed(value))
    assert judged(read, lambda x: [round(x / 7, 3)]).mistake == "rounded"
    other_scale = ask(reference=lambda x: np.log(x + 6), read=lambda value, x: np.log(value))
    assert judged(other_scale, lambda x: 2 * (x + 6)).message.startswith("expected")  # not "0.69 more"
    assert judged(CHOICES, {"A": "up", "B": "up", "C": "down"}).message == ""
    assert judged(CHOICES, {"A": "neither", "B": "down", "C": "up"}).message.endswith("\nNot yet: A; B; C.")
    same = replace(CHOICES, same=lambda name, right: name == right or right == "up")
    assert judged(same, {"A": "down", "B": "up", "C": "down"}).correct
    assert not judged(same, {"A": "down", "B": "up", "C": "up"}).correct


def test_beside_an_entry_that_cannot_be_read_or_is_missing_the_others_are_marked():
    left = judged(CHOICES, {"A": "left", "B": "up", "C": "right"}).message
    assert left.splitlines() == [
        "'A': expected one of 'up', 'down', 'neither'. Came 'left'.",
        "'C': expected one of 'up', 'down', 'neither'. Came 'right'.",
        "Right: B. Not yet: A; C.",
    ]
    missing = judged(CHOICES, {"A": "left", "B": "up"}).message.splitlines()
    assert missing[0] == "Expected a dict with the keys 'A', 'B', 'C'. Came a dict with the keys 'A', 'B'."
    assert missing[1:] == [left.splitlines()[0], "Right: B. Not yet: A; C."]


def test_of_choices_between_two_only_the_number_of_right_ones_is_told():
    """To say which is wrong would be to say what is right."""
    two = replace(CHOICES, form=Fields(dict.fromkeys("ABC", Name(("up", "down")))))
    for wrong in ({"B": "down"}, {"C": "up"}):
        assert (
            judged(two, {"A": "down", "B": "up", "C": "down", **wrong}).message
            == "A is not down.\nRight: 1 of 3 entries."
        )
    rows = replace(
        CHOICES,
        form=Fields({row: Fields({"x": Truth(), "y": Truth()}) for row in "AB"}),
        expected=lambda: {row: {"x": True, "y": False} for row in "AB"},
        against=lambda entry, cells: Fault(None, f"{entry}."),
    )
    answer = {"A": {"x": True, "y": False}, "B": {"x": True, "y": True}}
    assert judged(rows, answer).message == "B.\nRight: A. Not yet: B (1 of 2 entries right)."


def test_a_row_of_several_choices_is_marked_entry_by_entry():
    form = Fields({"x": Name(("a", "b", "c")), "y": whole(0, 9)})
    rows = replace(
        CHOICES,
        form=Fields({"one": form, "two": form}),
        expected=lambda: {"one": {"x": "a", "y": 3}, "two": {"x": "b", "y": 4}},
        against=lambda entry, cells: Fault(None, f"{entry}."),
    )
    verdict = judged(rows, {"one": {"x": "a", "y": 2}, "two": {"x": "c", "y": 4}})
    assert verdict.message == "one.\nRight: one: x; two: y. Not yet: one: y; two: x."
    assert [part.chance for part in verdict.parts] == [1 / 3, 1 / 10] * 2
    whole_rows = judged(rows, {"one": {"x": "b", "y": 2}, "two": {"x": "b", "y": 4}})
    assert whole_rows.message == "one.\nRight: two. Not yet: one."


def test_each_number_of_a_dict_has_its_own_mistakes():
    question = ValuesQuestion(
        **RECORD,
        answer="v",
        expected=lambda: {"a": 1.0, "b": 2.0},
        parts={"b": by_value("half: Doubled?", lambda: 4.0)},
        advice={"a": "Think of a.", "b": "Think of b."},
    )
    told = [judged(question, {"a": 1, "b": b}) for b in (2, 4, 5)]
    assert [(v.correct, v.mistake) for v in told] == [(True, None), (False, "half"), (False, None)]
    assert told[2].message == "'b' is not 5.\nThink of b.\nRight: a. Not yet: b."
    assert judged(question, {"a": 3, "b": 5}).message == "'a' is not 3.\nThink of a.\nNot yet: a; b."
    assert judged(question, {"b": 2}).message == "The key 'a' is missing; yours are 'b'.\nRight: b. Not yet: a."
    assert judged(question, {"c": 2}).message == "The keys 'a', 'b' are missing; yours are 'c'.\nNot yet: a; b."
    words = judged(question, {"a": "one", "b": "two"}).message.splitlines()
    assert words == [f"{part!r}: expected a number, came a piece of text." for part in "ab"] + ["Not yet: a; b."]
    assert judged(question, {"a": "one", "b": 2}).message.endswith("text.\nRight: b. Not yet: a.")
    roomy = replace(question, tolerance={"a": 0.1, "b": 0.005})
    assert [judged(roomy, {"a": a, "b": b}).correct for a, b in ((1.09, 2), (1, 2.09))] == [True, False]


def test_a_review_and_a_project_are_sets_of_their_own():
    question = replace(ask(reference=lambda x: x), id="4r.1")
    assert (question.set, question.kind_of_set) == ("04r", "review")
    others = [replace(question, id=id) for id in ("10.2", "11p.1", "4p.1")]
    assert [(one.set, one.kind_of_set) for one in others] == [("10", "lesson"), ("11p", "project"), ("04p", "project")]
