"""What is right in an answer that is not right as a whole: part by part, and in how many of the cases."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.forms import Fields, Form, Name, Number, Truth
from moe_lessons.checks.question import Data, EntriesQuestion, FunctionQuestion, PropertyQuestion, Reply, ValuesQuestion
from moe_lessons.checks.set_11p.case_question import CASE, CaseQuestion
from moe_lessons.checks.values import agree, stacked, unpack
from moe_lessons.checks.verdicts import Facts, Fault
from moe_lessons.grading.records import Part

Parts = tuple[Part, ...]


def shares(question: Any, data: Data, reply: Reply) -> Parts:
    """Tell what is right in an answer that was found wrong. Nothing, where a question judges in a way of its own.

    The reply may be forged: whatever goes wrong, nothing is right.
    """
    tell = TELLERS.get(type(question).judge)
    with contextlib.suppress(Exception):
        return tell(question, data, reply) if tell else ()
    return ()


def of_function(question: FunctionQuestion, data: Data, reply: Reply) -> Parts:
    """Tell of each part in how many cases it is right."""
    cases, values = data["cases"], reply["values"]
    names = tuple(question.parts) or ("",)
    right = dict.fromkeys(names, 0)
    for value, case in zip(values, cases, strict=True):
        came = unpack(value, names) if question.parts else [value]
        wanted = question.reference(*case) if question.parts else [question.reference(*case)]
        for name, got, expected in zip(names, came or [], wanted, strict=False):
            right[name] += _same(question, got, expected, case)
    return tuple(Part(name, count, len(cases)) for name, count in right.items())


def _same(question: FunctionQuestion, value: Any, expected: Any, case: tuple) -> bool:
    """Tell whether a value is right. One that cannot even be read, beside a wrong part, is not."""
    with contextlib.suppress(Exception):
        return agree(question.read(value, *case) if question.read else value, expected)
    return False


def of_property(question: PropertyQuestion, data: Data, reply: Reply) -> Parts:
    """Tell in how many cases the value will do."""
    found = [question.measured(value, *case) for value, case in zip(reply["values"], data["cases"], strict=True)]
    right = [not isinstance(facts, Fault) and bool(question.right(Facts(**facts))) for facts in found]
    return (Part("", sum(right), len(right)),)


def of_values(question: ValuesQuestion, data: Data, reply: Reply) -> Parts:
    """Tell which numbers of a dict are right; one that is missing costs itself alone."""
    value, expected = reply["value"], question.expected()
    numbers = {name for name in expected if isinstance(stacked(value.get(name)), np.ndarray)}
    near = {name for name in numbers if question._near(name, value[name], expected[name])}
    return tuple(Part(name, int(name in near)) for name in expected)


def of_entries(question: EntriesQuestion, data: Data, reply: Reply) -> Parts:
    """Tell which choices of a dict are right."""
    return _chosen(question.form, reply["value"], question.expected(), question.same)


def of_case(question: CaseQuestion, data: Data, reply: Reply) -> Parts:
    """Tell which entries are right in the case that the answer names."""
    case = CASE.read(reply["value"]["case"])
    return (
        () if isinstance(case, Fault) else _chosen(question.form, reply["value"], question.expected(int(case)), agreed)
    )


def agreed(came: Any, right: Any) -> bool:
    """Tell whether an entry is the one that was expected."""
    return bool(came == right)


def _chosen(form: Form | None, value: Any, expected: dict[str, Any], same: Callable[[Any, Any], bool]) -> Parts:
    """Tell which entries are right, each read by itself: beside one that cannot be read, the others count."""
    forms = form.forms if isinstance(form, Fields) else {}

    def right(name: str) -> bool:
        with contextlib.suppress(Exception):  # missing, or nothing that this form can look at
            came = forms[name].read(value[name])
            return not isinstance(came, Fault) and same(came, expected[name])
        return False

    return tuple(Part(name, int(right(name)), chance=chance(forms[name])) for name in expected)


def chance(form: Form) -> float:
    """Return how often a guess in this form is right: 1/3 for one of three names, 0 where guesses have no end."""
    if isinstance(form, Truth):
        return 1 / 2
    if isinstance(form, Name):
        return 1 / len(form.names)
    if isinstance(form, Number) and form.whole and np.isfinite([form.low, form.high]).all():
        return 1 / (form.high - form.low + 1)
    return math.prod(map(chance, form.forms.values())) if isinstance(form, Fields) else 0.0


# By how a question judges: a kind with a `judge` of its own has its own idea of what is right.
TELLERS: dict[Any, Callable[[Any, Data, Reply], Parts]] = {
    FunctionQuestion.judge: of_function,
    PropertyQuestion.judge: of_property,
    ValuesQuestion.judge: of_values,
    EntriesQuestion.judge: of_entries,
    CaseQuestion.judge: of_case,
}


def earned(parts: Parts, by: str) -> float:
    """Return the share of a question's points that parts earn: `by` "parts" those right in all cases, by "cases" each.

    Guessing earns nothing on average: of choices, what counts is by how much they beat chance. By "none" nothing does.
    """
    if by == "none" or not parts or all(part.right == part.of for part in parts):
        return 0.0  # all right, and yet not correct: then what is wrong lies elsewhere
    got = [part.right / part.of if by == "cases" else float(part.right == part.of) for part in parts]
    room = sum(1 - part.chance for part in parts)
    beaten = sum(share - part.chance for share, part in zip(got, parts, strict=True))
    return max(0.0, beaten / room) if room else 0.0
