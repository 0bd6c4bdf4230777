"""No reply that is forged, cut short or of another form turns a wrong answer into a right one, for any question.

The worker is in the learner's hands. So one wrong answer to each question is probed, its reply is bent in every place,
and judged. `changed` and `noted` serve diagnoses; bending them must not help either.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from remembered import remembered

from moe_lessons.checks import questions
from moe_lessons.checks.attempt import Attempt, refused, tried
from moe_lessons.checks.engine import Status, judged
from moe_lessons.checks.question import FunctionQuestion
from moe_lessons.checks.values import Opaque

pytestmark = pytest.mark.slow  # a minute: hundreds of replies for each question
OTHERS = (None, "text", True, 0.0, [], {}, np.zeros(0), np.array(np.nan), Opaque(object()))


def bent(value: Any) -> Iterator[Any]:
    """Yield the value with one place in it changed: replaced, emptied, cut short, made longer, filled with NaN."""
    yield from OTHERS
    if isinstance(value, np.ndarray):
        yield from (value[:0] if value.ndim else value, value.astype(float) * np.nan, value[None], value.astype(object))
    if isinstance(value, (list, tuple)):
        yield from (value[:-1], value[1:], [*value, *value[-1:]], value[:1] * len(value))
        for i, entry in enumerate(value[:2]):
            yield from ([*value[:i], other, *value[i + 1 :]] for other in bent(entry))
    if isinstance(value, dict):
        for key, entry in value.items():
            yield {other: kept for other, kept in value.items() if other != key}
            yield from (value | {key: other} for other in bent(entry))


def outcome(question: Any, data: dict, reply: Any) -> Status:
    """Judge as the grader does: a judge that raises gives no points."""
    try:
        return judged(question, data, Attempt(reply)).status
    except Exception:
        return Status.FAULT


def wrong_answers() -> list:
    """Return the first wrong answer of every question in the banks."""
    found = []
    for path in sorted((Path(__file__).parents[1] / "checks").glob("bank_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        bank = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(bank)
        found += [pytest.param(id, next(iter(answers.values())), id=id) for id, answers in bank.WRONG.items()]
    return found


def probed(question: Any, answer: Any) -> tuple[dict, Any]:
    data = question.draw(np.random.default_rng(0))
    attempt = refused(question, answer) or tried(question, answer, data, 60)
    return data, attempt.reply


@pytest.mark.parametrize(("id", "answer"), wrong_answers())
def test_no_bent_reply_makes_a_wrong_answer_right(id, answer):
    question = remembered(questions()[id])
    data, reply = probed(question, answer)
    if reply is None:
        reply = {"values": [np.zeros(3)], "changed": []}
    assert outcome(question, data, reply) != Status.CORRECT
    passed = [other for other in bent(reply) if outcome(question, data, other) == Status.CORRECT]
    assert passed == []


def test_a_judge_that_stops_at_the_shorter_list_would_be_noticed():
    """The control: this is how a list of no values once passed."""

    class Careless(FunctionQuestion):
        def judge(self, data, reply):
            values = [*reply["values"], *[self.reference(*case) for case in data["cases"]][len(reply["values"]) :]]
            return super().judge(data, reply | {"values": values})

    question = questions()["1.1"]
    careless = object.__new__(Careless)
    for name, value in vars(question).items():
        object.__setattr__(careless, name, value)
    data, reply = probed(careless, lambda x, weight, bias: 2 * (x @ weight.T) + bias)
    assert any(outcome(careless, data, other) == Status.CORRECT for other in bent(reply))
