"""A quiz is printed where its lesson has `{{quiz}}`, with folded answers, and counts as reading."""

from pathlib import Path

import pytest
from course import read_lesson
from quizzes import PRINTED, printed

from moe_lessons.checks.quiz import quiz

ROOT = Path(__file__).parents[2]
QUESTION = """
[[idea.question]]
asks = "Which is {name}?"
options = [
    {{ text = "one", why = "No.", mistake = "x" }},
    {{ text = "two", why = "Yes: $2$.", }},
    {{ text = "three", why = "No more.", mistake = "y" }},
]
"""
LESSON = """\
# %% [markdown]
# # 01 · A
#
# **Why?** **Time:** {{minutes}}.

# %% [markdown]
# ## Quiz
#
# {{quiz}}
#
# ## Next
"""


def idea(name):
    head = f'[[idea]]\nname = "{name}"\nsays = "A sentence."\nsection = "Here"\n'
    return head + 2 * QUESTION.format(name=name).replace(", }", " }")


@pytest.fixture
def quizzed(empty_course):
    empty_course.write("README.md", "<!-- the map: x -->\n<!-- end of the map -->\n")
    empty_course.write("authoring/lessons/01_a.py", LESSON)
    empty_course.write("moe_lessons/checks/quizzes/01.toml", "\n".join(map(idea, ("a", "b", "c", "d"))))
    return empty_course


def test_the_first_question_of_the_first_ideas_is_printed(quizzed):
    assert quizzed.build() == 0
    text = quizzed.notebook("notebooks/01_a.ipynb").cells[1].source
    assert text.startswith(
        "## Quiz\n\n**1. Which is a?**\n\n- (a) one\n- (b) two\n- (c) three\n\n"
        "<details><summary>Answer</summary>\n\n- **(b)** Yes: $2$.\n- (a) No.\n- (c) No more.\n\n</details>\n\n**2. "
    )
    assert text.endswith("</details>\n\n## Next")
    assert text.count("<summary>Answer</summary>") == PRINTED == text.count("Which is ")


def test_a_field_may_say_how_many(quizzed):
    quizzed.write("authoring/lessons/01_a.py", LESSON.replace("{{quiz}}", "{{quiz 4}}"))
    assert quizzed.build() == 0
    assert quizzed.notebook("notebooks/01_a.ipynb").cells[1].source.count("Which is ") == 4


def test_its_words_count_as_reading(quizzed):
    with_it = read_lesson(quizzed.root / "authoring/lessons/01_a.py").minutes.core
    quizzed.write("authoring/lessons/01_a.py", LESSON.replace("{{quiz}}", "x"))
    assert with_it > read_lesson(quizzed.root / "authoring/lessons/01_a.py").minutes.core + 0.1


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("moe_lessons/checks/quizzes/01.toml", "[[idea]]\n", "01_a.py:9: 01.toml, line 1: idea = {}: expected name"),
        ("moe_lessons/checks/quizzes/01.toml", None, "01_a.py:9: lesson = '01': expected one of"),
        ("authoring/lessons/01_a.py", LESSON.replace("{{quiz}}", "{{quizz}}"), "no field and no link"),
        ("authoring/lessons/01_a.py", LESSON.replace("{{quiz}}", "{{quiz 12}}"), "no field and no link"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(quizzed, capsys, path, text, message):
    if text is None:
        (quizzed.root / path).unlink()
    else:
        quizzed.write(path, text)
    assert quizzed.build() == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "authoring/lessons").glob("*.py")), ids=lambda path: path.stem)
def test_a_lesson_with_a_quiz_section_prints_its_quiz(path):
    text, number = path.read_text(encoding="utf-8"), path.stem.partition("_")[0]
    assert ("# ## Quiz\n" in text) == ("# {{quiz}}\n" in text)
    assert text.count("<summary>Answer</summary>") == 0, "a quiz is written in its own file"
    assert all(idea.questions[0].asks in printed(ROOT, number) for idea in quiz(number).ideas[:PRINTED])
