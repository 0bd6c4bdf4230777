"""The quiz: its order tells nothing, a wrong choice leads to the sister question, and what is shown is kept."""

import json
from collections import Counter

import pytest
import traitlets

from moe_lessons.checks import records
from moe_lessons.checks.quiz import kept_as, lessons
from moe_lessons.widgets import quiz as module
from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.quiz import LessonQuiz, quiz

QUIZ = source("dom.js", "quiz.js")
FUNCTIONS = "shuffled, begun, steps, score, standing, keptAfter, told"


def question(right):
    return {"asks": "Which?", "options": [{"text": str(i), "why": "So.", "right": i == right} for i in range(3)]}


# The right options: of the first idea 0, then 1; of the second 2, then 0; the third has no sister, and its is 1.
IDEAS = [
    {"name": name, "says": "A sentence.", "section": "Here", "questions": [question(right) for right in rights]}
    for name, rights in {"a": (0, 1), "b": (2, 0), "c": (1,)}.items()
]


def attempt(*answers, asked=(0, 1, 2), left=None):
    left = len(answers) if left is None else left
    return {"seed": 1, "asked": list(asked), "answers": list(answers), "left": left}


@pytest.fixture
def run(load_module):
    loaded = load_module(QUIZ, FUNCTIONS)
    return lambda function, *arguments: loaded.map(function, [list(arguments)])[0]


# The order


def places(load_module, text):
    """Return how often the first of four options comes to each place, over many attempts and questions."""
    cases = [[4, seed, idea, which] for seed in range(400) for idea in range(5) for which in range(2)]
    orders = load_module(text, FUNCTIONS).map("shuffled", cases)
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    return [Counter(order.index(0) for order in orders)[place] / len(orders) for place in range(4)]


def test_an_option_comes_to_every_place_equally_often(load_module):
    assert places(load_module, QUIZ) == pytest.approx([0.25] * 4, abs=0.02)  # four standard errors are 0.027


def test_broken_control_an_order_that_prefers_a_place_is_found(load_module):
    biased = QUIZ.replace("draw() * (last + 1)", "draw() * last")  # never leaves an option where it is
    assert biased != QUIZ
    assert min(places(load_module, biased)) < 0.05


def test_an_attempt_keeps_its_order_and_another_one_has_others(run):
    assert run("shuffled", 4, 7, 2, 0) == run("shuffled", 4, 7, 2, 0)
    assert len({tuple(run("shuffled", 4, seed, 2, 0)) for seed in range(60)}) > 15


# The way through the questions


def way(run, *answers, **more):
    return [
        (step["idea"], step["question"], step.get("right")) for step in run("steps", IDEAS, attempt(*answers, **more))
    ]


def test_a_right_choice_leads_to_the_next_idea(run):
    assert way(run, 0) == [(0, 0, True), (1, 0, None)]


def test_a_wrong_choice_leads_to_the_sister_question_and_that_to_the_next_idea(run):
    assert way(run, 2) == [(0, 0, False), (0, 1, None)]
    assert way(run, 2, 1) == [(0, 0, False), (0, 1, True), (1, 0, None)]
    assert way(run, 2, 0) == [(0, 0, False), (0, 1, False), (1, 0, None)]


def test_broken_control_without_the_sister_question_the_way_is_another(load_module):
    broken = QUIZ.replace("right || question + 1 === questions.length", "true")
    assert broken != QUIZ
    steps = load_module(broken, FUNCTIONS).map("steps", [[IDEAS, attempt(2)]])[0]
    assert (steps[1]["idea"], steps[1]["question"]) == (1, 0)


def test_an_idea_without_a_sister_is_asked_once(run):
    assert way(run, 0, 2, 0) == [(0, 0, True), (1, 0, True), (2, 0, False)]


def test_only_what_is_asked_again_is_asked(run):
    assert way(run, asked=[1]) == [(1, 0, None)]
    assert way(run, 2, asked=[1]) == [(1, 0, True)]


def test_an_answer_is_shown_until_it_is_left(run):
    shown = [run("standing", IDEAS, attempt(0, 1, 0, left=left)) for left in range(4)]
    assert [(one["step"]["idea"], one["step"]["question"]) for one in shown] == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert not any(one["over"] for one in shown)
    assert run("standing", IDEAS, attempt(0, 2, 1)) == {"over": True}


# The score


@pytest.mark.parametrize(
    ("answers", "results", "told"),
    [
        ((), ["open", "open", "open"], "0 of 3 ideas at once."),
        ((2,), ["open", "open", "open"], "0 of 3 ideas at once."),
        ((0, 2, 1), ["at once", "at once", "at once"], "3 of 3 ideas at once."),
        ((1, 1, 0, 1, 0), ["then", "missed", "missed"], "0 of 3 ideas at once, 1 at the second question, 2 not yet."),
    ],
)
def test_the_score_is_by_idea(run, answers, results, told):
    assert run("score", IDEAS, attempt(*answers)) == results
    assert run("told", results) == told


def test_one_idea_is_one_idea(run):
    assert run("told", ["missed"]) == "0 of 1 idea at once, 1 not yet."


# What is kept


def test_an_idea_counts_when_it_is_settled_and_stays_shown(run):
    kept = run("keptAfter", IDEAS, attempt(1), {})
    assert kept == {}
    kept = run("keptAfter", IDEAS, attempt(1, 1), kept)
    assert kept == {"a": {"attempts": 1, "correct": True}}
    kept = run("keptAfter", IDEAS, attempt(1, 2, asked=[0]), kept)
    assert kept == {"a": {"attempts": 2, "correct": True}}
    assert run("keptAfter", IDEAS, attempt(0, asked=[2]), kept)["c"] == {"attempts": 1, "correct": False}


def test_a_new_attempt_asks_what_is_not_shown_yet(run):
    assert run("begun", IDEAS, {}, 5) == {"seed": 5, "asked": [0, 1, 2], "answers": [], "left": 0}
    shown, tried = {"attempts": 1, "correct": True}, {"attempts": 3, "correct": False}
    assert run("begun", IDEAS, {"a": shown, "b": tried}, 5)["asked"] == [1, 2]
    assert run("begun", IDEAS, dict.fromkeys("abc", shown), 5)["asked"] == [0, 1, 2]


def test_what_the_browser_adds_is_kept_with_the_progress():
    shown = quiz("04")
    names = list(shown.kept)
    shown.set_state({"kept": {**shown.kept, names[0]: {"attempts": 1, "correct": False}}})
    shown.set_state({"kept": {**shown.kept, names[0]: {"attempts": 2, "correct": True}}})
    shown.set_state({"kept": {**shown.kept, names[0]: {"attempts": 2, "correct": True}}})
    known = records.load(kept_as("04", names[0]))
    assert (known["attempts"], known["correct"]) == (2, True)
    assert records.load(kept_as("04", names[1]))["attempts"] == 0
    assert quiz("04").kept[names[0]] == {"attempts": 2, "correct": True}
    assert records.load(kept_as("04", names[0]))["attempts"] == 2, "to open a quiz is no attempt"


def test_two_notebooks_with_the_same_quiz_lose_nothing():
    first, second = quiz("04"), quiz("04")
    name = next(iter(first.kept))
    first.set_state({"kept": {**first.kept, name: {"attempts": 1, "correct": True}}})
    second.set_state({"kept": {**second.kept, name: {"attempts": 1, "correct": False}}})
    assert {**records.load(kept_as("04", name)), "last": ""} == {"attempts": 2, "correct": True, "last": ""}


def test_exercises_are_kept_beside_it_as_before():
    records.record("1.1", True)
    quiz("01").set_state({"kept": {"no such idea": {"attempts": 1, "correct": True}}})
    assert records.load("1.1")["correct"] is True
    assert "1.1 ✓ (1)" in repr(records.progress())


def test_what_cannot_be_kept_is_said_in_the_quiz(monkeypatch):
    shown = quiz("04")
    assert shown.place.startswith("Kept in ")

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(records, "record", full)
    shown.set_state({"kept": {next(iter(shown.kept)): {"attempts": 1, "correct": True}}})
    assert shown.place == "This could not be kept: no space left"


# The widget


@pytest.mark.parametrize("number", lessons())
def test_every_lesson_has_one_that_the_browser_can_ask(number):
    asked = json.loads(LessonQuiz(number).get_state(["setting"])["setting"])
    for idea in asked["ideas"]:
        assert [sum(option["right"] for option in one["options"]) for one in idea["questions"]] == [1, 1]


def test_a_lesson_without_one_is_refused():
    with pytest.raises(ValueError, match="lesson = '99': expected one of '00'"):
        quiz("99")


def test_a_page_knows_nothing_of_who_built_it(progress_home):
    records.record(kept_as("04", "leak"), True)
    state = quiz("04").page_state()
    assert (state["kept"], state["attempt"], state["place"]) == ({}, {}, module.IN_BROWSER)
    assert str(progress_home) not in json.dumps(state)
    assert quiz("04").kept["leak"]["correct"] is True


def test_the_style_of_the_words_follows_the_reader(monkeypatch):
    shown = []
    monkeypatch.setattr(module, "display", lambda data, **_: shown.append(data["text/html"]))
    monkeypatch.setattr("moe_lessons.widgets.lasting.display", lambda *_, **__: None)
    quiz("04")._ipython_display_()
    assert shown == []
    monkeypatch.setattr(module.reading, "chosen", lambda: "little")
    quiz("04")._ipython_display_()
    assert "text-decoration: none" in shown[0]


def test_what_is_sent_must_be_a_dict():
    with pytest.raises(traitlets.TraitError):
        quiz("04").kept = 3
