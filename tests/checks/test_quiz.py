"""The quizzes: what their loader refuses, and what is asked of every quiz of the course."""

import ast
import re
from collections import Counter
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pytest

import moe_lessons.checks
from moe_lessons.checks.quiz import FOLDER, Idea, Option, Question, Quiz, lessons, misconceptions, quiz

CHECKS = Path(moe_lessons.checks.__file__).parent
LESSONS = CHECKS.parents[1] / "authoring/lessons"
GOOD = """\
[[idea]]
name = "gap"
says = "A gap is a ratio."
section = "Gaps"

[[idea.question]]
asks = "Which?"
options = [
    { text = "this", why = "It is right." },
    { text = "that", why = "It is not.", mistake = "ratio of logits" },
    { text = "none", why = "One is.", mistake = "nothing" },
]
"""


def questions():
    """Yield (lesson, idea, question) for every question of the course."""
    for number in lessons():
        for idea in quiz(number).ideas:
            yield from ((number, idea, question) for question in idea.questions)


def options():
    return [option for _, _, question in questions() for option in question.options]


@cache
def names_of_checks():
    """Return the names of mistakes that the checks know: "name: What the learner is told."."""
    names = set()
    for path in CHECKS.glob("set_*/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names |= set(re.findall(r"^([^:.\n]{2,60}): (?=[A-Z0-9`{$])", node.value))
    return names


# The loader


def write(tmp_path, text=GOOD, name="01.toml"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_quiz_is_read_as_it_stands(tmp_path):
    right = Option("this", "It is right.")
    wrong = [Option("that", "It is not.", "ratio of logits"), Option("none", "One is.", "nothing")]
    question = Question("Which?", (right, *wrong))
    read = quiz("01", write(tmp_path))
    assert read == Quiz("01", (Idea("gap", "A gap is a ratio.", "Gaps", (question,)),))
    assert question.right is right


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("that", "this", "expected options that differ"),
        (
            'why = "It is right."',
            'why = "It is right.", mistake = "x"',
            "all but one with a mistake",
        ),
        (', mistake = "nothing"', "", "three or four options, all but one with a mistake"),
        ('    { text = "none", why = "One is.", mistake = "nothing" },\n', "", "three or four options"),
        ("It is not.", "As (a).", "no letter of an option: they are shuffled"),
        ('section = "Gaps"', "", "expected section = …, too"),
        ('name = "gap"', 'names = "gap"', "expected the name name"),
        ('asks = "Which?"', "asks = 1", "expected words in quotation marks"),
        (GOOD, GOOD + GOOD, "two are called 'gap'"),
        (GOOD, GOOD + 2 * GOOD[GOOD.index("[[idea.q") :], "one [[idea.question]] or two, and no 3"),
        ("[[idea]]", "[idea]", "expected [[idea]] before each"),
    ],
)
def test_what_is_wrong_in_a_quiz_is_told(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        quiz("01", write(tmp_path, GOOD.replace(old, new)))
    assert "01.toml" in str(error.value)


def test_a_lesson_without_a_quiz_is_told():
    with pytest.raises(ValueError, match="lesson = '99': expected one of '00', '00b'"):
        quiz("99")


# The quizzes of the course


def test_every_lesson_has_a_quiz():
    assert set(lessons()) == {path.stem.partition("_")[0] for path in LESSONS.glob("*.py")}


@pytest.mark.parametrize("number", lessons())
def test_a_quiz_has_four_to_six_ideas_each_with_a_sister_question(number):
    ideas = quiz(number).ideas
    assert 4 <= len(ideas) <= 6
    assert [idea.name for idea in ideas if len(idea.questions) != 2] == []
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", idea.name) for idea in ideas)


@pytest.mark.parametrize("number", lessons())
def test_an_idea_names_a_section_of_its_lesson(number):
    (path,) = LESSONS.glob(f"{number}_*.py")
    headings = set(re.findall(r"^# ##+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert {idea.section for idea in quiz(number).ideas} - headings == set()


def test_every_mistake_has_a_name_that_the_checks_or_the_list_know():
    used, own = {option.mistake for option in options() if option.mistake}, set(misconceptions())
    assert used - names_of_checks() - own == set()
    assert own - used == set(), "nobody makes it"
    assert own & names_of_checks() == set(), "two meanings under one name"


def test_broken_control_a_name_that_nobody_knows_is_found():
    assert "masked with 0" in names_of_checks()
    assert "Questions of exercise set 01" not in names_of_checks() & {option.mistake for option in options()}
    assert "no such mistake" not in names_of_checks() | set(misconceptions())


def test_a_question_gives_itself_away_neither_by_place_nor_by_length():
    """Guessing the last, the first, or the longest option is right no more often than a little above chance."""
    every = [question for _, _, question in questions()]
    places = Counter(question.options.index(question.right) for question in every)
    longest = sum(question.right is max(question.options, key=lambda o: len(o.text)) for question in every)
    assert min(places[place] for place in range(3)) > 0.2 * len(every)
    assert longest < 0.5 * len(every)


def test_texts_are_sentences_and_no_question_is_asked_twice():
    assert [option for option in options() if not option.why.endswith((".", ".)", '?"'))] == []
    assert [idea.says for number in lessons() for idea in quiz(number).ideas if not idea.says.endswith(".")] == []
    asked = Counter(question.asks for _, _, question in questions())
    assert [text for text, times in asked.items() if times > 1] == []


def test_a_quiz_is_plain_data_for_a_page():
    data = asdict(quiz("01"))
    assert data["ideas"][0]["questions"][0]["options"][0]["mistake"] == "level for gap"


def test_quizzes_ship_with_the_package():
    project = (CHECKS.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"checks/quizzes/*.toml"' in project
    assert FOLDER.is_relative_to(CHECKS)
