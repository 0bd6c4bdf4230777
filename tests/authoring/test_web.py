"""The pages that are filled in: the landing page, the words, the table of contents, and notebooks for Colab."""

from pathlib import Path

import nbformat
import pytest
import web
from course import Course
from landing import landing, words

from moe_lessons.checks import questions

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def course():
    return Course(ROOT, questions)


def test_the_landing_page_leads_along_all_lessons(course):
    template = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    page = landing(template, course, "<p>A widget</p>", "")
    assert "{{" not in page
    for step in (*course.lessons.values(), *course.standalone.values()):
        assert f"{step.stem}.html" in page
    places = [page.index(f'<span class="number">{number}</span>') for number in course.order]
    assert places == sorted(places)
    assert "git clone <this repository>" in page
    assert "git clone https://example.org/course" in landing(template, course, "", "https://example.org/course")


def test_every_word_stands_under_its_level_with_its_lesson(course):
    page = words(course.glossary, course)
    assert all(
        f"\n{term.name}\n  {term.says} Explained in [lesson {term.lesson}]" in page
        for term in course.glossary.terms.values()
    )


def test_a_notebook_for_colab_begins_with_installing_the_course():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title")])
    copy = web.for_colab(notebook, "https://example.org/course", "main")
    assert [cell.source for cell in copy.cells] == [
        '%pip install --quiet "git+https://example.org/course@main"',
        "# Title",
    ]


def test_solutions_have_a_title_of_their_own():
    text = web.as_solutions("# Exercises 04 · Gates\n\nThe story.", "04_gates.ipynb")
    assert text.startswith("# Solutions 04 · Gates\n\n*One way")
    assert text.endswith("\n\nThe story.")


def test_every_notebook_is_in_the_table_of_contents(course):
    paths = web._notebooks(course)
    made = web.contents(paths)
    assert {path.name for path in paths} == {path.name for f in web.FOLDERS for path in (ROOT / f).glob("*.ipynb")}
    assert all(f"\n{path.parent.name}/{path.stem}\n" in made for path in paths)


def test_pages_that_no_source_makes_any_more_go(tmp_path, monkeypatch):
    monkeypatch.setattr(web, "PAGES", tmp_path)
    for name in ("kept.md", "old.md", "old.ipynb", "data.json"):
        (tmp_path / name).write_text("", encoding="utf-8")
    web.keep_only({tmp_path / "kept.md"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.json", "kept.md"]
