"""What the build knows of the course: the map, links, and how much there is to do."""

from types import SimpleNamespace

import pytest
from course import Course

README = """\
# A course

<!-- the map: written -->
| an old row |
<!-- end of the map -->

After it.
"""

FIRST = """\
# %% [markdown] tags=["{seconds} s"]
# # {number} · {title}
#
# **Why {title}
# at all?** Because.
#
# **Time:** {{{{minutes}}}}.
"""


def lesson(number, title="Gates: a part", minutes=20, more=""):
    return FIRST.format(number=number, title=title, seconds=60 * minutes) + more


@pytest.fixture
def mapped(course):
    """The small course with a README that has a place for the map, and three lessons that say what they are."""
    course.write("README.md", README)
    course.write("authoring/lessons/00_start.py", lesson("00", "Start", 5, "#\n# {{map}}\n"))
    course.write("authoring/lessons/01_demo.py", lesson("01", minutes=35))
    course.write("authoring/lessons/02_more.py", lesson("02", "More"))
    for path in ("moe_lessons/layer.py", "moe_lessons/figures/layer.py", "moe_lessons/figures/heat.py"):
        course.write(path, "")
    course.write("moe_lessons/a/twice.py", "")
    course.write("moe_lessons/b/twice.py", "")
    return course


def readme(course):
    return (course.root / "README.md").read_text(encoding="utf-8")


# The map


def test_the_maps_are_written_from_the_lessons(mapped):
    assert mapped.build() == 0
    assert readme(mapped) == README.replace(
        "| an old row |",
        "\n| lesson | question | time | exercises |\n|---|---|---|---|\n"
        "| [00 Start](notebooks/00_start.ipynb) | Why Start at all? | 5 min | |\n"
        "| [01 Gates](notebooks/01_demo.ipynb) | Why Gates: a part at all? | 35 min "
        "| [6 min](exercises/01_demo.ipynb) |\n"
        "| [02 More](notebooks/02_more.ipynb) | Why More at all? | 20 min | |\n",
    )
    text = mapped.sources("notebooks/00_start.ipynb")
    assert "| 00 Start | Why Start at all? | 5 min | |\n" in text
    assert (
        "| [01 Gates](01_demo.ipynb) | Why Gates: a part at all? | 35 min | [6 min](../exercises/01_demo.ipynb) |"
        in text
    )


def test_a_new_lesson_is_one_new_file(mapped, capsys):
    mapped.build()
    mapped.write("authoring/lessons/03_new.py", lesson("03", "New"))
    capsys.readouterr()
    assert mapped.build("--check") == 1
    stale = {line.partition(": ")[0] for line in capsys.readouterr().err.splitlines()}
    assert stale == {"README.md", "notebooks/00_start.ipynb", "notebooks/03_new.ipynb"}
    assert mapped.build() == 0
    assert "| [03 New](notebooks/03_new.ipynb) | Why New at all? | 20 min | |" in readme(mapped)
    assert mapped.build("--check") == 0


def test_a_typed_row_is_stale(mapped, capsys):
    mapped.build()
    mapped.write("README.md", readme(mapped).replace("35 min", "40 min"))
    capsys.readouterr()
    assert mapped.build("--check") == 1
    assert capsys.readouterr().err == 'README.md: stale: run "make notebooks"\n'


@pytest.mark.parametrize(
    "change",
    [("· ", "- "), ("# # 02", "# # 03"), ("**Why", "Why"), ("all?", "all"), ("{{minutes}}", "20"), ("**Time", "Time")],
)
def test_a_lesson_that_does_not_say_what_it_is_is_named(mapped, capsys, change):
    mapped.write("authoring/lessons/02_more.py", lesson("02", "More").replace(*change))
    assert mapped.build() == 1
    assert capsys.readouterr().err == (
        "authoring/lessons/02_more.py:1: a lesson begins with `# # 02 · Title`, `**its question?**` and "
        "`**Time:** {{minutes}}`\n"
    )
    assert "02" not in readme(mapped)


def test_without_a_place_for_the_map_nothing_is_asked_and_the_readme_stays(mapped):
    mapped.write("README.md", "# A course\n")
    mapped.write("authoring/lessons/02_more.py", "# %%\nx = 1\n")
    assert mapped.build() == 0
    assert readme(mapped) == "# A course\n"


REVIEW = "# %% [markdown]\n# # Exercises 01r · Review: a part\n#\n# **Which one?** {{questions}}.\n"


@pytest.fixture
def reviewed(mapped):
    """The small course with a review behind lesson 01."""
    mapped.questions = mapped.questions | {"1r.1": SimpleNamespace(set="01r", minutes=4)}
    mapped.write("authoring/exercises/01r_review.py", REVIEW)
    return mapped


def test_a_review_has_a_row_of_its_own_behind_its_lesson_and_can_be_linked(reviewed):
    reviewed.write("authoring/lessons/02_more.py", lesson("02", "More", more="#\n# [](exercises:01r)\n"))
    assert reviewed.build() == 0
    rows = [line for line in readme(reviewed).splitlines() if line.startswith("| ")][1:]
    assert [row.split()[1].lstrip("[") for row in rows] == ["00", "01", "01r", "02"]
    assert rows[2] == "| 01r Review | Which one? | | [4 min](exercises/01r_review.ipynb) |"
    assert "[exercises/01r_review.ipynb](../exercises/01r_review.ipynb)" in reviewed.sources("notebooks/02_more.ipynb")
    assert "**Which one?** one question, about 4 minutes." in reviewed.sources("exercises/01r_review.ipynb")


def test_a_project_stands_behind_the_review_of_its_number(reviewed):
    reviewed.questions = reviewed.questions | {"1p.1": SimpleNamespace(set="01p", minutes=50)}
    reviewed.write("authoring/exercises/01p_project.py", REVIEW.replace("01r · Review", "01p · Project"))
    assert reviewed.build() == 0
    rows = [line for line in readme(reviewed).splitlines() if line.startswith("| ")][1:]
    assert [row.split()[1].lstrip("[") for row in rows] == ["00", "01", "01r", "01p", "02"]
    assert rows[3] == "| 01p Project | Which one? | | [50 min](exercises/01p_project.ipynb) |"
    reviewed.write("authoring/exercises/01p_project.py", REVIEW)
    assert reviewed.build() == 1


@pytest.mark.parametrize("change", [("01r ·", "01 ·"), ("**Which", "Which"), ("one?", "one")])
def test_a_review_that_does_not_say_what_it_is_is_named(reviewed, capsys, change):
    reviewed.write("authoring/exercises/01r_review.py", REVIEW.replace(*change))
    assert reviewed.build() == 1
    begin = "a review begins with `# # Exercises 01r · Title` and `**its question?**`"
    assert capsys.readouterr().err == f"authoring/exercises/01r_review.py:1: {begin}\n"
    assert "01r" not in readme(reviewed)


# Links and fields

WRITTEN = {
    "lesson": ("See [](lesson:02).", "See [lesson 02](02_more.ipynb).", "See [lesson 02](../notebooks/02_more.ipynb)."),
    "its text": ("[the *next*](lesson:02)", "[the *next*](02_more.ipynb)", "[the *next*](../notebooks/02_more.ipynb)"),
    "exercises": (
        "[](exercises:01)",
        "[exercises/01_demo.ipynb](../exercises/01_demo.ipynb)",
        "[exercises/01_demo.ipynb](01_demo.ipynb)",
    ),
    "solutions": ("[them](solutions:01)", "[them](../solutions/01_demo.ipynb)", "[them](../solutions/01_demo.ipynb)"),
    "module": ("[](module:heat)", *2 * ["[moe_lessons/figures/heat.py](../moe_lessons/figures/heat.py)"]),
    "at the top": ("[](module:layer)", *2 * ["[moe_lessons/layer.py](../moe_lessons/layer.py)"]),
    "by its path": ("[x](module:figures/layer)", *2 * ["[x](../moe_lessons/figures/layer.py)"]),
    "two": ("[](lesson:00), [](lesson:00)", "[lesson 00](00_start.ipynb), [lesson 00](00_start.ipynb)", None),
    "minutes": ("Time: {{minutes}}.", *2 * ["Time: about 20 minutes."]),
    "questions": ("with {{questions}}.", *2 * ["with two questions, about 6 minutes."]),
    "at the beginning": ("{{questions}}.", *2 * ["Two questions, about 6 minutes."]),
    "left alone": ("$\\frac{{a}}{b}^{{c}}$ [web](https://a.b) [f](02_x.ipynb)", *2 * [None]),
}


@pytest.mark.parametrize(("source", "in_lesson", "in_exercises"), WRITTEN.values(), ids=WRITTEN)
def test_links_and_fields_are_filled_in(mapped, source, in_lesson, in_exercises):
    mapped.write("authoring/lessons/01_demo.py", lesson("01", more=f"#\n# {source}\n"))
    mapped.write("authoring/exercises/01_demo.py", f"# %% [markdown]\n# Text\n#\n# {source}\n")
    assert mapped.build() == 0
    assert mapped.sources("notebooks/01_demo.ipynb").split("\n")[-1] == (in_lesson or source)
    for folder in ("exercises", "solutions") if in_exercises else ():
        assert mapped.sources(f"{folder}/01_demo.ipynb").split("\n")[-1] == in_exercises


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("[](lesson:07)", "no lesson 07 in this course"),
        ("[](exercises:02)", "no exercises 02 in this course"),
        ("[](module:nowhere)", "0 modules are called nowhere"),
        ("[](module:twice)", "2 modules are called twice"),
        ("[x](lessons:02)", "`](lessons:` is no field and no link"),
        ("[](02_more.ipynb)", "`[](` is no field and no link"),
        ("{{question}}", "`{{q` is no field and no link"),
        ("about {{ minutes }}", "`{{ m` is no field and no link"),
    ],
)
def test_a_broken_link_or_field_is_named_with_its_line(mapped, capsys, source, message):
    mapped.write("authoring/lessons/01_demo.py", lesson("01", more=f"#\n# Text\n# {source}\n"))
    assert mapped.build() == 1
    error = capsys.readouterr().err
    assert error.startswith(f"authoring/lessons/01_demo.py:10: {message}")


def test_a_set_without_questions_has_no_amount(mapped, capsys):
    mapped.write("authoring/lessons/02_more.py", lesson("02", "More", more="#\n# {{questions}}\n"))
    assert mapped.build() == 1
    assert capsys.readouterr().err == "authoring/lessons/02_more.py:9: no questions in set 02\n"


def test_the_minutes_of_no_lesson(mapped, capsys):
    mapped.write("authoring/exercises/03_none.py", "# %% [markdown]\n# {{minutes}}\n")
    assert mapped.build() == 1
    assert capsys.readouterr().err == "authoring/exercises/03_none.py:2: no lesson 03 in this course\n"


def test_one_question_of_one_minute(tmp_path):
    course = Course(tmp_path, lambda: {"3.1": SimpleNamespace(set="03", minutes=1)})
    assert course.amount("03") == "one question, about 1 minute"
    many = Course(tmp_path, lambda: {str(n): SimpleNamespace(set="03", minutes=2.5) for n in range(13)})
    assert many.amount("03") == "13 questions, about 32.5 minutes"
