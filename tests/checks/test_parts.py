"""Every part of an answer is marked by itself, in every question that has several: it is said, and counts."""

import contextlib

import numpy as np
import pytest

from moe_lessons.checks import questions
from moe_lessons.checks.attempt import Attempt
from moe_lessons.checks.engine import judged
from moe_lessons.checks.forms import Fields, Name, Number, Truth
from moe_lessons.checks.parts import COIN, Part, written
from moe_lessons.checks.question import FunctionQuestion, ValuesQuestion
from moe_lessons.checks.values import plain

ALL = questions()
IN_PARTS = [q.id for q in ALL.values() if isinstance(q, FunctionQuestion) and q.parts]
VALUES = [q.id for q in ALL.values() if isinstance(q, ValuesQuestion)]
CHOSEN = [q.id for q in ALL.values() if isinstance(getattr(q, "form", None), Fields) and hasattr(q, "expected")]


def drawn(id):
    """Return a question, its data, and the values of a right answer."""
    question = ALL[id]
    data = question.draw(np.random.default_rng(3))
    return question, data, [plain(question.reference(*case)) for case in data["cases"]]


def told(id, change):
    """Return the parts and the message of a right answer with something changed in its values by `change`."""
    question, data, values = drawn(id)
    values = [list(value) for value in values]
    change(values)
    reply = {"values": values, "changed": [], "noted": [True for _ in values]}
    return question.rights(data, reply), judged(question, data, Attempt(reply)).message


def spoil(parts, cases):
    """Return a change that makes parts wrong in some cases."""

    def change(values):
        for i in cases:
            for part in parts:
                values[i][part] = np.asarray(values[i][part]) + 17.0

    return change


def marks(message):
    """Return which entries a verdict calls right, and which not yet."""
    line = message.rstrip(".").splitlines()[-1]
    right, _, wrong = line.removeprefix("Right: ").partition("Not yet: ")
    return [{entry.split(" (")[0] for entry in part.rstrip(". ").split("; ") if entry} for part in (right, wrong)]


@pytest.mark.parametrize("id", IN_PARTS)
def test_each_part_counts_by_itself(id):
    question, data, _ = drawn(id)
    names, many = tuple(question.parts), len(data["cases"])
    assert told(id, spoil([], []))[0] == tuple(Part(name, many, many) for name in names)
    for i, name in enumerate(names):
        parts, message = told(id, spoil([i], range(many)))
        assert [part.right for part in parts] == [many * (j != i) for j in range(len(names))]
        assert marks(message) == [{*names} - {name}, {name}]
    assert [part.right for part in told(id, spoil([0], [0]))[0]] == [many - 1] + [many] * (len(names) - 1)


@pytest.mark.parametrize("id", IN_PARTS)
def test_no_part_goes_unjudged_because_another_is_wrong(id):
    _, data, _ = drawn(id)
    names, many = tuple(ALL[id].parts), len(data["cases"])
    _, message = told(id, spoil([0, len(names) - 1], range(many)))
    assert marks(message) == [{*names[1:-1]}, {names[0], names[-1]}]


def test_an_answer_in_one_piece_is_told_by_cases():
    question, data, values = drawn("4.2")
    values[1] = values[1] * 0
    reply = {"values": values, "changed": []}
    assert question.rights(data, reply) == (Part("", len(values) - 1, len(values)),)
    message = judged(question, data, Attempt(reply)).message
    assert message.endswith(f"\nRight: {len(values) - 1} of {len(values)} cases.")


@pytest.mark.parametrize(
    "reply",
    [{}, {"values": None}, {"values": []}, {"values": [None] * 3}, {"values": "abc"}, {"values": [[1], {}, "x"] * 9}],
)
@pytest.mark.parametrize("id", ["9.1", "4.2", "2.2", "4r.4", "11p.3", "2.6", "1.4", "3.3", "4.5", "5.6"])
def test_a_forged_reply_is_right_in_nothing(id, reply):
    question = ALL[id]
    data = question.draw(np.random.default_rng(0))
    for forged in (reply, {"value": 3}, {"value": {"case": 99}}):
        with contextlib.suppress(Exception):
            assert sum(part.right for part in question.rights(data, forged | {"changed": []})) == 0
            assert not question.verdict(data, forged | {"changed": []}).correct


@pytest.mark.parametrize("id", VALUES)
def test_numbers_of_a_dict_count_one_by_one(id):
    question = ALL[id]
    right = {name: plain(value) for name, value in question.expected().items()}
    first, *others = right
    assert question.rights({}, {"value": right}) == tuple(Part(name, 1) for name in right)
    spoilt = [right | {first: plain(broken)} for broken in (1e9, "many", None)]
    for value in (*spoilt, {name: right[name] for name in others}):
        assert [part.right for part in question.rights({}, {"value": value})] == [0] + [1] * len(others)
        assert marks(question.verdict({}, {"value": value}).message) == [{*others}, {first}]


def another(form, right):
    """Return another answer of this form."""
    if isinstance(form, Fields):
        name = next(iter(form.forms))
        return {**right, name: another(form.forms[name], right[name])}
    if isinstance(form, Truth):
        return not right
    if isinstance(form, Name):
        return next(name for name in form.names if name != right)
    assert isinstance(form, Number)
    return (right or 0) + 1 if (right or 0) < form.high else right - 1


def case_of(id):
    """Return a right answer, with the number of a case where there is one."""
    question = ALL[id]
    return {"case": 1, **question.expected(1)} if "case" in question.form.forms else dict(question.expected())


@pytest.mark.parametrize("id", CHOSEN)
def test_choices_count_one_by_one_and_beside_one_that_cannot_be_read(id):
    question, right = ALL[id], case_of(id)
    first, *others = (name for name in right if name != "case")
    expected = {name: right[name] for name in (first, *others)}
    every = question.rights({}, {"value": plain(right)})
    assert every
    assert all(part.right for part in every)
    of_first = len(question.form.rights(None, {first: expected[first]}, lambda *_: True))
    for broken in (right | {first: "no such name"}, {name: right[name] for name in right if name != first}):
        found = question.rights({}, {"value": plain(broken)})
        assert [part.right for part in found] == [0] * of_first + [1] * (len(every) - of_first)
    changed = plain(right | {first: another(question.form.forms[first], right[first])})
    verdict = question.verdict({}, {"value": changed})
    assert sum(part.right for part in verdict.parts) == len(every) - 1
    assert sum(part.of for part in verdict.parts) == len(every)


@pytest.mark.parametrize("id", CHOSEN)
def test_a_choice_between_two_is_not_given_away(id):
    """Of several such choices in a row none is named; every other entry is."""
    question, right = ALL[id], case_of(id)
    value = {name: another(form, right[name]) for name, form in question.form.forms.items() if name != "case"}
    verdict = question.verdict({}, {"value": plain(right | value)})
    for part in verdict.parts:
        twins = [other for other in verdict.parts if other.row == part.row and other.chance >= COIN]
        named = any(part.name in names for names in marks(verdict.message))
        assert named == (part.chance < COIN or len(twins) == 1)


def test_a_case_is_judged_by_its_own_key():
    question = ALL["11p.3"]
    for case in (1, 7):
        right = plain({"case": case, **question.expected(case)})
        assert all(part.right for part in question.rights({}, {"value": right}))
    no_case = right | {"case": np.asarray(10**6)}
    assert question.rights({}, {"value": no_case}) == ()
    assert "Right:" not in question.verdict({}, {"value": no_case}).message


def tried(id, answer):
    """Return the parts of a function's answer, and what the verdict says of them."""
    question = ALL[id]
    data = question.draw(np.random.default_rng(5))
    verdict = question.verdict(data, question.probe(answer, data))
    return {part.name: (part.right, part.of) for part in verdict.parts}, verdict.message.splitlines()[-1]


def test_tokens_and_their_domains_are_marked_each():
    def drawn_with(noise=1.0, of=lambda rng, means, T: rng.integers(len(means), size=T)):
        def my_domains(means, noise_std, T, rng):
            domain = of(rng, means, T)
            return means[domain] + noise * noise_std * rng.normal(size=(T, means.shape[1])), domain

        return my_domains

    assert tried("8.1", drawn_with(noise=2.0)) == ({"x": (0, 1), "domain": (1, 1)}, "Right: domain. Not yet: x.")
    alike = drawn_with(of=lambda rng, means, T: np.arange(T) % len(means))
    assert tried("8.1", alike) == ({"x": (1, 1), "domain": (0, 1)}, "Right: x. Not yet: domain.")
    assert tried("8.1", drawn_with(of=lambda rng, means, T: np.zeros(T, int)))[0]["domain"] == (0, 1)


def test_a_sampler_and_a_gate_are_marked_by_cases():
    def backwards(h, tau, k, n, rng):
        return np.argsort(-(h / tau + rng.gumbel(size=(n, len(h)))))[:, :k][:, ::-1]

    right, line = tried("3.3", backwards)
    assert right == {"": (1, 4)}  # of a lone expert the order cannot be wrong
    assert line == "Right: 1 of 4 cases."

    def flat_above_one(h):
        return np.where(np.arange(len(h)) == np.argmax(h), 1 / (1 + np.exp(-min(np.max(h), 1.0))), 0)

    right, line = tried("4.5", flat_above_one)
    assert right == {"": (3, 6)}  # flat where the best logit is above 1
    assert line == "Right: 3 of 6 cases."


def test_what_is_said_of_parts():
    parts = (Part("load", 4, 4), Part("cv", 2, 4), Part("dead", 0, 4))
    assert written(parts) == "Right: load. Not yet: cv (2 of 4 cases right); dead."
    assert written((Part("a", 0, seen="3 off"), Part("b", 0, 2, seen="4 off"))) == "Not yet: a; b (4 off)."
    assert written((Part("", 3, 4),)) == "Right: 3 of 4 cases."
    assert [written(nothing) for nothing in ((), (Part("", 0),), (Part("a", 1), Part("b", 2, 2)))] == ["", "", ""]
