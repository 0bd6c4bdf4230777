"""A quiz is printed where its lesson has `{{quiz}}`, with folded answers, and counts as reading."""

from pathlib import Path

import pytest
from course import read_lesson
from percent import Cell
from quizzes import LIVE, PAPER, PRINTED, live, printed

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


def cells(course):
    return {cell.id: cell for cell in course.notebook("notebooks/01_a.ipynb").cells}


def test_a_cell_asks_it_between_its_heading_and_paper(quizzed):
    assert quizzed.build() == 0
    title, head, live, paper, after = quizzed.notebook("notebooks/01_a.ipynb").cells
    assert (title.source[:8], head.source, after.source) == ("# 01 · A", "## Quiz", "## Next")
    assert (live.cell_type, live.id, paper.id) == ("code", LIVE, PAPER)
    assert live.source == 'from moe_lessons.widgets.quiz import quiz\n\nquiz("01")'


def test_only_the_field_makes_a_cell_of_the_quiz():
    text = Cell("markdown", "## Quiz\n\nThe field {{quiz}} stands alone.", 1, 2)
    assert live(text, "01") == [text]
    code = Cell("code", "x = 1", 1, 2)
    assert live(code, "01") == [code]
    alone = Cell("markdown", "{{quiz}}", 1, 2)
    assert [cell.id for cell in live(alone, "01")] == [LIVE, PAPER]


def test_the_cells_know_the_lines_of_their_source():
    text = Cell("markdown", "## Quiz\n\n{{quiz 4}}\n\n## Next\n\nMore.", 1, 2, name="end", tags=("deeper",))
    parts = live(text, "01")
    assert [(part.source.split("\n")[0][:9], part.first_line) for part in parts] == [
        ("## Quiz", 2), ("from moe_", 4), ("{{quiz 4}", 4), ("## Next", 6),
    ]  # fmt: skip
    assert [part.name for part in parts] == ["end", LIVE, PAPER, None]
    assert [part.tags for part in parts] == [("deeper",), (), ("deeper",), ("deeper",)]


def test_the_first_question_of_the_first_ideas_is_printed_in_a_fold(quizzed):
    assert quizzed.build() == 0
    text = cells(quizzed)[PAPER].source
    assert text.startswith(
        "<details><summary>Without running it: three of the questions, with folded answers</summary>\n\n"
        "**1. Which is a?**\n\n- (a) one\n- (b) two\n- (c) three\n\n"
        "<details><summary>Answer</summary>\n\n- **(b)** Yes: $2$.\n- (a) No.\n- (c) No more.\n\n</details>\n\n**2. "
    )
    assert text.endswith("</details>\n\n</details>")
    assert text.count("<summary>Answer</summary>") == PRINTED == text.count("Which is ")


def test_a_field_may_say_how_many(quizzed):
    quizzed.write("authoring/lessons/01_a.py", LESSON.replace("{{quiz}}", "{{quiz 4}}"))
    assert quizzed.build() == 0
    assert quizzed.notebook("notebooks/01_a.ipynb").cells[3].source.count("Which is ") == 4
    assert "four of the questions" in cells(quizzed)[PAPER].source


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
