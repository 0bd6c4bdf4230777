"""A question that remembers judges as the question itself does."""

import numpy as np
import pytest
from remembered import drawn_once, once, remembered

from moe_lessons.checks import questions
from moe_lessons.checks.attempt import Attempt
from moe_lessons.checks.engine import judged
from moe_lessons.checks.question import FunctionQuestion
from moe_lessons.checks.values import plain

ASKED = [question for question in questions().values() if isinstance(question, FunctionQuestion)]


def verdicts(question, judge):
    """Return what a judge says to the truth and to the first mistake, of two draws by turns."""
    made = [question.reference, *(m.wrong for m in question.mistakes if m.wrong)][:2]
    found = []
    for seed in (0, 1, 0):
        data = question.draw(np.random.default_rng(seed))
        for answer in made:
            values = [plain(answer(*case)) for case in data["cases"]]
            noted = [True] * len(values) if question.slopes else values
            found.append(judged(judge, data, Attempt({"values": values, "changed": [], "noted": noted})))
    return found


@pytest.mark.parametrize("question", [q for q in ASKED if not (q.afterwards or q.helper)], ids=lambda q: q.id)
def test_it_says_what_the_question_says(question):
    again = remembered(question)
    assert verdicts(again, again) == verdicts(question, question)


def test_broken_control_what_is_remembered_for_every_case_is_noticed():
    question, again = ASKED[0], remembered(ASKED[0])
    first = question.reference(*question.draw(np.random.default_rng(0))["cases"][0])
    object.__setattr__(again, "reference", lambda *case: first)
    assert verdicts(question, again) != verdicts(question, question)


def test_the_same_objects_are_asked_about_once():
    asked = []
    double = once(lambda x: asked.append(x) or 2 * x)
    x, equal = np.ones(2), np.ones(2)
    assert [double(y).tolist() for y in (x, x, equal)] == [[2, 2]] * 3
    assert len(asked) == 2


def test_a_draw_leaves_the_generator_where_it_would_be():
    draw, (one, other) = drawn_once(lambda rng: [(rng.normal(),)]), (np.random.default_rng(3) for _ in range(2))
    assert draw(one) == draw(other)
    assert one.normal() == other.normal()
    assert draw(one) != draw(np.random.default_rng(4))
