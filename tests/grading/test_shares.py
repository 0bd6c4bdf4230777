"""What is right in a wrong answer, and what that earns."""

import numpy as np
import pytest

from moe_lessons.checks import questions
from moe_lessons.checks.forms import Fields, Name, Number, Truth, whole
from moe_lessons.checks.question import EntriesQuestion, ValuesQuestion
from moe_lessons.checks.values import plain
from moe_lessons.grading.records import Part
from moe_lessons.grading.shares import chance, earned, shares

ALL = questions()
IN_PARTS = ["5.5", "6.1", "7.2", "7.5", "8.3", "9.1", "10.2", "10.3"]
VALUES = [question.id for question in ALL.values() if type(question) is ValuesQuestion]
ENTRIES = [id for id in ("4r.2", "4r.4", "4r.6", "7.4", "7r.2", "7r.6", "11r.5") if type(ALL[id]) is EntriesQuestion]


def drawn(id):
    """Return a question, its data, and the values of a right answer."""
    question = ALL[id]
    data = question.draw(np.random.default_rng(3))
    return question, data, [plain(question.reference(*case)) for case in data["cases"]]


def told(id, change):
    """Return the parts of a right answer with something changed in its values: change(values) does it."""
    question, data, values = drawn(id)
    values = [list(value) for value in values]
    change(values)
    return shares(question, data, {"values": values, "changed": []})


def spoil(part, cases):
    """Return a change that makes a part wrong in some cases."""

    def change(values):
        for i in cases:
            values[i][part] = np.asarray(values[i][part]) + 17.0

    return change


@pytest.mark.parametrize("id", IN_PARTS)
def test_each_part_counts_by_itself(id):
    question, data, _ = drawn(id)
    names, many = tuple(question.parts), len(data["cases"])
    assert told(id, spoil(0, [])) == tuple(Part(name, many, many) for name in names)
    for i in range(len(names)):
        assert [part.right for part in told(id, spoil(i, range(many)))] == [many * (j != i) for j in range(len(names))]
    assert [part.right for part in told(id, spoil(0, [0]))] == [many - 1] + [many] * (len(names) - 1)


@pytest.mark.parametrize("id", IN_PARTS)
@pytest.mark.parametrize("constant", [0.0, 1.0, np.nan])
def test_what_says_nothing_earns_nothing(id, constant):
    """By cases it would earn something: a share of experts that are empty is 0 now and then."""
    for seed in range(3):
        data = ALL[id].draw(np.random.default_rng(seed))
        values = [[np.full(np.shape(part), constant) for part in ALL[id].reference(*case)] for case in data["cases"]]
        assert earned(shares(ALL[id], data, {"values": values, "changed": []}), "parts") == 0


def test_an_answer_in_one_piece_is_told_by_cases():
    question, data, values = drawn("4.2")
    values[1] = values[1] * 0
    assert shares(question, data, {"values": values, "changed": []}) == (Part("", len(values) - 1, len(values)),)


@pytest.mark.parametrize(
    "reply",
    [{}, {"values": None}, {"values": []}, {"values": [None] * 3}, {"values": "abc"}, {"values": [[1], {}, "x"] * 9}],
)
@pytest.mark.parametrize("id", ["9.1", "4.2", "2.2", "4r.4", "11p.3", "2.6", "1.4"])
def test_a_forged_reply_is_right_in_nothing(id, reply):
    question = ALL[id]
    data = question.draw(np.random.default_rng(0))
    for forged in (reply, {"value": 3}, {"value": {"case": 99}}):
        assert sum(part.right for part in shares(question, data, forged | {"changed": []})) == 0


@pytest.mark.parametrize("id", VALUES)
def test_numbers_of_a_dict_count_one_by_one(id):
    question = ALL[id]
    right = {name: plain(value) for name, value in question.expected().items()}
    names = list(right)
    assert shares(question, {}, {"value": right}) == tuple(Part(name, 1) for name in names)
    for broken in ({names[0]: 1e9}, {names[0]: "many"}, {names[0]: None}):
        found = shares(question, {}, {"value": right | broken})
        assert [part.right for part in found] == [0] + [1] * (len(names) - 1)
    missing = {name: right[name] for name in names[1:]}
    assert [part.right for part in shares(question, {}, {"value": missing})] == [0] + [1] * (len(names) - 1)


@pytest.mark.parametrize("id", ENTRIES)
def test_choices_count_one_by_one_and_beside_one_that_cannot_be_read(id):
    question = ALL[id]
    right = plain(dict(question.expected()))
    first = next(iter(right))
    assert all(part.right for part in shares(question, {}, {"value": right}))
    for broken in (right | {first: "no such name"}, {name: right[name] for name in right if name != first}):
        found = shares(question, {}, {"value": broken})
        assert [part.right for part in found] == [0] + [1] * (len(right) - 1)


def test_a_case_is_judged_by_its_own_key():
    question = ALL["11p.3"]
    for case in (1, 7):
        right = plain({"case": case, **question.expected(case)})
        assert all(part.right for part in shares(question, {}, {"value": right}))
        assert shares(question, {}, {"value": right | {"case": np.asarray(10**6)}}) == ()


def test_a_question_with_its_own_idea_of_right_tells_nothing():
    assert shares(ALL["3.3"], {}, {"values": []}) == ()


def test_what_parts_earn():
    parts = (Part("load", 4, 4), Part("cv", 2, 4), Part("dead", 0, 4))
    assert [earned(parts, by) for by in ("parts", "cases", "none")] == [1 / 3, 0.5, 0]
    assert earned((Part("", 3, 4),), "parts") == 0
    assert earned((Part("", 3, 4),), "cases") == 0.75
    assert earned((), "cases") == earned((), "parts") == 0


def test_all_parts_right_and_yet_not_correct_earns_nothing():
    assert earned((Part("load", 4, 4), Part("cv", 4, 4)), "parts") == 0


def test_guessing_earns_nothing_on_average():
    rng = np.random.default_rng(0)
    guessed = rng.random((4000, 6)) < 0.5  # (learners, entries)
    beaten = [sum(int(right) - 0.5 for right in row) / 3 for row in guessed]
    assert abs(np.mean(beaten)) < 0.02
    half = [earned(tuple(Part(str(i), int(right), 1, 0.5) for i, right in enumerate(row)), "parts") for row in guessed]
    assert np.mean([share > 0 for share in half]) < 0.4
    assert earned(tuple(Part(str(i), int(i < 5), 1, 0.5) for i in range(6)), "parts") == pytest.approx(2 / 3)
    assert earned(tuple(Part(str(i), int(i < 3), 1, 0.5) for i in range(6)), "parts") == 0


def test_the_chance_of_a_guess():
    forms = [
        Truth(),
        Name(("a", "b", "c")),
        whole(0, 4),
        Number("a number"),
        Fields({"x": Truth(), "y": Name(("a", "b"))}),
    ]
    assert [chance(form) for form in forms] == [1 / 2, 1 / 3, 1 / 5, 0, 1 / 4]
