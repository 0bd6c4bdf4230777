"""Every notebook that learners open keeps the rules of `form.py`, and CONTRIBUTING names them all."""

import re
from functools import partial

import nbformat
import pytest
from checked import Course, questions
from course import read_lesson
from form import ANSWERS, PROJECT, REVIEW, ROOT, RULES, Page, table
from ipynb import lesson_notebook

PAGES = [
    Page(path, nbformat.read(path, as_version=4))
    for folder in ("notebooks", "exercises", "solutions")
    for path in sorted((ROOT / folder).glob("*.ipynb"))
]


def lesson(name):
    return next(page for page in PAGES if page.is_lesson and page.path.stem == name)


def rules_broken_by(page):
    """Return what is wrong with a page, by the words of each rule that it breaks."""
    found = {rule.words: list(rule.faults(page)) for rule in RULES if page.is_one_of(rule.kind)}
    return {words: faults for words, faults in found.items() if faults}


@pytest.mark.parametrize("page", PAGES, ids=[f"{page.path.parent.name}-{page.path.stem}" for page in PAGES])
def test_a_notebook_keeps_the_rules(page):
    assert rules_broken_by(page) == {}


def test_contributing_holds_every_rule():
    assert table() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), f"put this table there:\n{table()}"


def test_the_lesson_in_contributing_keeps_every_rule(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("```python\n# %% [markdown]")[2]
    source = "# %% [markdown]" + text.partition("```")[0]
    (tmp_path / "20_title.py").write_text(source, encoding="utf-8")
    course = Course(ROOT, questions)
    course.lessons["20"] = read_lesson(tmp_path / "20_title.py")
    notebook = nbformat.reads(lesson_notebook(source, course, "12"), as_version=4)
    page = Page(ROOT / "notebooks" / "20_title.ipynb", notebook)
    rules = [rule for rule in RULES if page.is_one_of(rule.kind) and rule.faults.__name__ != "mapped"]
    assert {rule.faults.__name__: list(rule.faults(page)) for rule in rules} == {r.faults.__name__: [] for r in rules}
    assert not any("assert" in cell.source for cell in page.code)
    exec("\n".join(cell.source for cell in page.code), {})


# Broken controls. The short lesson keeps all rules; each change breaks one.

SHORT = """\
# 01 · A short lesson

**Why is it short?**

You will be able to

1. do this;
2. do that;
3. and more.

**Before:** nothing. **Time:** about 5 minutes.
---
> **Myth: "short lessons are empty."** You should see [the code](../moe_lessons/routing.py).

[Exercises](../exercises/01_worked_example.ipynb)
---
## Recap

1. This.
2. That.
3. And more.

## Quiz

**1. A?**

<details><summary>Answer</summary>A</details>

**2. B?**

<details><summary>Answer</summary>B</details>

**3. C?**

<details><summary>Answer</summary>C</details>
"""


def short_lesson():
    text = [nbformat.v4.new_markdown_cell(part.strip()) for part in SHORT.split("---\n")]
    code = [nbformat.v4.new_code_cell(f"guess_{n} = ...", metadata={"tags": ["predict"]}) for n in range(2)]
    code.append(
        nbformat.v4.new_code_cell("compare(guess_0, 0)\nfor n in range(2):\n    compare(guess_1, n)\n    print(n)")
    )
    code.append(nbformat.v4.new_code_cell('quiz("01")'))
    notebook = nbformat.v4.new_notebook(cells=[text[0], *code, *text[1:]])
    return Page(ROOT / "notebooks" / "01_worked_example.ipynb", notebook)


def change(old, new, page):
    for cell in page.notebook.cells:
        cell.source = cell.source.replace(old, new)


def add(kind, source, page, times=1):
    cell = nbformat.from_dict({"cell_type": kind, "source": source, "metadata": {}, "id": "x"})
    page.notebook.cells += [cell] * times


def untag(page):
    for cell in page.notebook.cells:
        cell.metadata.clear()


BREAKS = {
    "short_cells": [partial(add, "code", "x = 1\n" * 26)],
    "closed_folds": [partial(add, "markdown", "<details>")],
    "links": [partial(add, "markdown", "[no](nowhere.ipynb)")],
    "lessons_named": [partial(add, "markdown", "as in lessons 01, 02 and 98")],
    "opening": [
        partial(change, *pair)
        for pair in (
            ("# 01", "# 02"),
            ("?**", ".**"),
            ("be able", "know"),
            ("**Before", "Before"),
            ("about 5", "about 41"),
        )
    ],
    "length": [partial(add, "markdown", "word " * 2500), partial(add, "markdown", "x", times=61)],
    "mapped": [partial(change, "about 5", "about 6")],
    "predictions": [untag],
    "asked_first": [
        partial(change, *pair)
        for pair in (
            ("guess_1 = ...", "guess_1 = guess_3 = ..."),
            ("compare(guess_0, 0)", "print(0)\ncompare(guess_0, 0)"),
            ("compare(guess_0, 0)", "def told():\n    print(0)\n\n\nx = told()\ncompare(guess_0, 0)"),
        )
    ],
    "picture": [partial(change, "You should see", "See")],
    "recap": [partial(change, "3. And more.", ""), partial(change, "## Recap", "## End")],
    "module": [partial(change, "../moe_lessons", "moe_lessons")],
    "substance": [untag, partial(change, "3. and more.", "")],
    "myth": [partial(change, "Myth", "Fact")],
    "quiz": [
        partial(change, "**3. C?**", ""),
        partial(change, "<details><summary>Answer</summary>C</details>", ""),
        partial(change, 'quiz("01")', 'quiz("02")'),
    ],
    "exercises": [partial(change, "](../exercises/01_worked_example", "](../exercises/02_softmax_gating")],
}


def faults(name, page):
    (rule,) = (rule for rule in RULES if rule.faults.__name__ == name)
    return list(rule.faults(page))


@pytest.mark.parametrize("name", sorted(set(BREAKS) - {"mapped"}))
def test_a_short_lesson_is_allowed(name):
    assert faults(name, short_lesson()) == []
    assert ANSWERS in short_lesson().text


@pytest.mark.parametrize(("name", "broken"), [(name, broken) for name, every in BREAKS.items() for broken in every])
def test_broken_control_each_rule_can_fail(name, broken):
    page = short_lesson()
    broken(page)
    assert faults(name, page) != []


def test_broken_control_a_check_of_another_variable_is_found():
    page = next(page for page in PAGES if page.path.parent.name == "exercises")
    page = Page(page.path, nbformat.from_dict(page.notebook))
    change('check("1.1", ', 'check("1.1", not_', page)
    assert len(faults("checks", page)) == 1


@pytest.mark.parametrize(
    ("pattern", "fault"), [(r"(?m)^\*Write it · ", "2 records of 4 questions"), ("Write down one layer", "6.1")]
)
def test_broken_control_a_question_without_its_record_or_hints_is_found(pattern, fault):
    page = next(page for page in PAGES if page.path.parent.name == "exercises" and page.number == "06")
    page = Page(page.path, nbformat.from_dict(page.notebook))
    for cell in page.notebook.cells:
        cell.source = re.sub(pattern, "", cell.source)
    assert fault in faults("records", page)


def review(name=None, added="", cell=2):
    """Return a review, under another name or with something added to one of its texts."""
    page = next(page for page in PAGES if page.is_one_of(REVIEW))
    page = Page(page.path.with_name(name or page.path.name), nbformat.from_dict(page.notebook))
    page.notebook.cells[cell].source += added
    return page


def test_broken_control_a_review_that_is_long_tells_its_lessons_or_is_led_to_by_none_is_found():
    assert [faults(name, review()) for name in ("brief", "unnamed", "led_to")] == [[], [], []]
    assert faults("unnamed", review(added="\n\nSee lesson 04.", cell=-1)) == []
    assert faults("unnamed", review(added="\n\nThink of Lesson 04.")) == ["Think of Lesson 04."]
    assert [len(faults(name, review("05r_other.ipynb"))) for name in ("brief", "led_to")] == [1, 3]


def test_broken_control_a_project_that_is_short_is_found():
    page = next(page for page in PAGES if page.is_one_of(PROJECT))
    assert faults("an_hour_at_most", page) == []
    assert faults("led_to", page) == []
    short = Page(page.path.with_name("04r_review.ipynb"), page.notebook)
    assert faults("an_hour_at_most", short) == ["20 minutes"]


def test_every_rule_has_a_broken_control():
    others = {"checks", "records", "brief", "unnamed", "an_hour_at_most", "led_to"}
    assert {rule.faults.__name__ for rule in RULES} == {*BREAKS, *others}


def test_the_lesson_types_the_worked_example_that_the_package_holds():
    from moe_lessons.data import worked_example

    cell = next(cell for cell in lesson("01_worked_example").code if cell.source.startswith("x = np"))
    space = {}
    exec("import numpy as np\n" + cell.source, space)
    x, W_g = worked_example()
    assert space["x"].tolist() == x.tolist()
    assert space["W_g"].tolist() == W_g.tolist()
