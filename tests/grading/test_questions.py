"""A teacher's own questions are tried before they are asked; sets are chosen by number."""

import numpy as np
import pytest

from moe_lessons.checks.registry import questions
from moe_lessons.grading.questions import chosen, private_questions
from moe_lessons.grading.session import described

GOOD = """
import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import FunctionQuestion, Mistake, ValuesQuestion

GATE = FunctionQuestion(
    id="4.p1", title="Three gate forms, large logits", kind="write it", points=2, minutes=0, difficulty="hard",
    hints=("Look at large logits.", "Subtract the largest first."), idea="As in lesson 02.",
    answer="my_gate", parameters=("logits", "k", "form"), stands_for=("routing.gate_weights",),
    cases=lambda rng: [(rng.normal(size=(3, 5)) * 300, 2, "topk_softmax")],
    reference=routing.gate_weights,
    mistakes=(),
)
QUESTIONS = (GATE,)
"""

OWN_PROBE = """
class Own(FunctionQuestion):
    def probe(self, answer, data):
        return {}

GATE = Own("""


@pytest.fixture
def own(tmp_path):
    def write(text):
        path = tmp_path / "own.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_private_questions_join_those_of_the_course(own):
    asked = chosen(["04"], own(GOOD))
    assert list(asked) == ["4.1", "4.2", "4.3", "4.4", "4.5", "4.p1"]
    assert asked["4.p1"].set == "04"
    assert list(chosen([], own(GOOD))) == [*questions(), "4.p1"]
    assert list(chosen(["04r"], own(GOOD.replace('"4.p1"', '"4r.p1"'))))[-2:] == ["4r.6", "4r.p1"]


def test_a_class_of_its_own_may_judge(own):
    judging = OWN_PROBE.replace("probe(self, answer, data)", "judge(self, data, reply)")
    assert "4.p1" in private_questions(own(GOOD.replace("GATE = FunctionQuestion(", judging)))


DRAWING = """
class Own(FunctionQuestion):
    def draw(self, rng):
        return {"cases": super().draw(rng)["cases"], "expected": [1.0]}

GATE = Own("""


def test_what_a_class_of_its_own_draws_beyond_the_cases_stays_outside(own):
    question = private_questions(own(GOOD.replace("GATE = FunctionQuestion(", DRAWING)))["4.p1"]
    data = question.draw(np.random.default_rng(0))
    assert list(data) == ["cases", "expected"]
    assert list(described(question, data)) == ["cases"]
    without = DRAWING.replace('"cases": super', '"case": super')
    with pytest.raises(ValueError, match=r"draw of 4\.p1 fails: KeyError: 'cases'"):
        private_questions(own(GOOD.replace("GATE = FunctionQuestion(", without)))


def test_without_a_choice_all_are_asked():
    assert chosen([]) == questions()
    assert {question.set for question in chosen(["01", "04"]).values()} == {"01", "04"}
    assert {question.set for question in chosen(["04r"]).values()} == {"04r"}


@pytest.mark.parametrize("sets", [["99"], ["04", "4"], ["x"]])
def test_a_set_that_is_not_there_is_refused(sets):
    with pytest.raises(ValueError, match=r"set = .* expected one of 01, 02"):
        chosen(sets)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("QUESTIONS = (GATE,)", ""), "expected a list of questions under that name"),
        (("QUESTIONS = (GATE,)", "QUESTIONS = ()"), "at least one question"),
        (("QUESTIONS = (GATE,)", "QUESTIONS = 3"), "does not run: TypeError"),
        (("QUESTIONS = (GATE,)", "QUESTIONS = (GATE, 1)"), "questions only"),
        (("QUESTIONS = (GATE,)", "QUESTIONS = (GATE, GATE)"), "an id of its own"),
        (("QUESTIONS = (GATE,)", "QUESTIONS = ("), "does not run: SyntaxError"),
        (("QUESTIONS = (GATE,)", "raise SystemExit"), "does not run: SystemExit"),
        (("import numpy", "import no_such_module"), "does not run: ModuleNotFoundError"),
        (('id="4.p1"', 'id="4.1"'), "an id of its own"),
        (('id="4.p1"', 'id="<b>"'), "the number of a set"),
        (("points=2", "points=0"), "a whole number from 1"),
        (("points=2", "points=True"), "a whole number from 1"),
        (("points=2", "points=1.5"), "a whole number from 1"),
        (('answer="my_gate"', 'answer="my gate"'), "a name that Python accepts"),
        (('"routing.gate_weights"', '"routing.no_such"'), "stands_for of 4.p1"),
        (('"routing.gate_weights"', '"no.such.module"'), "stands_for of 4.p1"),
        (('"routing.gate_weights"', '"routing.np"'), "stands_for of 4.p1"),
        (("rng.normal", "rng.no_such"), "draw of 4.p1 fails: AttributeError"),
        (("rng.normal(size=(3, 5))", "np.random.default_rng().normal(size=(3, 5))"), "the same data from the same"),
        (("GATE = FunctionQuestion(", OWN_PROBE), "its probe must be that of a class of moe_lessons"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(own, change, sentence):
    assert change[0] in GOOD
    with pytest.raises(ValueError, match=sentence):
        private_questions(own(GOOD.replace(*change)))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        private_questions(tmp_path / "none.py")
