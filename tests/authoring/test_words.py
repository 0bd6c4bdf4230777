"""Words are explained at their first use and listed at the end; the sources stay plain, and nothing else changes."""

import pytest
from minutes import words
from words import ID

GLOSSARY = """\
[expert]
says = "A small network."
level = "newcomer"
lesson = "01"
section = "Experts"
forms = ["experts"]

[softmax]
says = "Scores to shares."
level = "practitioner"
lesson = "02"
section = "Softmax"
"""
FIRST = """\
# %% [markdown]
# # 01 · Experts
#
# **Who are the experts?** `expert` and $expert$ are no prose. Experts stand in for **experts**.
#
# **Time:** {{minutes}}.

# %% name="code"
expert = "a softmax of experts"

# %% [markdown] name="end"
# Before the softmax
# and after the softmax.
"""
SECOND = "# %% [markdown]\n# # 02 · Softmax\n#\n# **What is a softmax?** No more.\n#\n# **Time:** {{minutes}}.\n"


@pytest.fixture
def explained(empty_course):
    empty_course.write("README.md", "<!-- the map: x -->\n<!-- end of the map -->\n")
    empty_course.write("authoring/lessons/01_experts.py", FIRST)
    empty_course.write("authoring/lessons/02_softmax.py", SECOND)
    empty_course.build()
    before = empty_course.notebook("notebooks/01_experts.ipynb")
    empty_course.write("moe_lessons/glossary.toml", GLOSSARY)
    assert empty_course.build() == 0
    return before, empty_course.notebook("notebooks/01_experts.ipynb")


def test_the_first_use_alone_is_explained(explained):
    _, notebook = explained
    text = "\n".join(cell.source for cell in notebook.cells[:-1])
    assert text.count("<abbr") == 2
    assert 'the <abbr title="A small network.">experts</abbr>?** `expert` and $expert$' in text
    assert 'Before the <abbr title="Scores to shares.">softmax</abbr>\nand after the softmax.' in text


def test_nothing_else_changes(explained):
    before, notebook = explained
    kept = notebook.cells[:-1]
    assert [cell.id for cell in kept] == [cell.id for cell in before.cells]
    assert [words(cell.source) for cell in kept] == [words(cell.source) for cell in before.cells]
    assert kept[1].source == before.cells[1].source


def test_the_last_cell_lists_the_words_by_level(explained):
    _, notebook = explained
    assert notebook.cells[-1].id == ID
    assert notebook.cells[-1].source == (
        "## Words of this lesson\n\n"
        "<details><summary>If you are new here: 1 word</summary>\n\n- **expert**: A small network.\n\n</details>\n\n"
        "<details><summary>If you train models: 1 word</summary>\n\n"
        "- **softmax**: Scores to shares. ([lesson 02](02_softmax.ipynb))\n\n</details>"
    )


def test_a_course_without_a_glossary_and_a_lesson_without_its_words_get_no_list(course):
    course.build()
    before = course.bytes()
    course.write("moe_lessons/glossary.toml", GLOSSARY)
    course.build()
    assert course.bytes() == before


def test_a_broken_glossary_is_told(course):
    course.write("moe_lessons/glossary.toml", GLOSSARY.replace("newcomer", "guru"))
    with pytest.raises(ValueError, match="guru"):
        course.build()
