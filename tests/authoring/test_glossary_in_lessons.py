"""The words of the field and the lessons: each is used, explained where it says, and not used before that.

A lesson may name a word before the lesson that explains it if the paragraph of its first use there names that lesson
("lesson 07"), or if the glossary gives a reason (`early`). Lessons 00 and 00b may use any: see `OVERVIEWS`.
"""

import re
from functools import cache
from pathlib import Path

import pytest
from percent import TAGS, read_cells
from quizzes import with_quiz

from moe_lessons.support.glossary import Glossary, Term, read

ROOT = Path(__file__).parents[2]
OVERVIEWS = {
    "00": "it shows a router at work, and says that lesson 01 builds it",
    "00b": "it says which tool serves what in a router, and may be skipped",
}
MOST_EARLY = 10  # reasons in all
NAMED = re.compile(r"lessons?[ :]((?:\d\db?(?:, | and | to | or )?)+)|\((\d\db?)[,)]", re.IGNORECASE)


@cache
def texts():
    """Return the Markdown of each lesson, cell by cell, in the order of the course."""
    found = {}
    for path in sorted((ROOT / "authoring/lessons").glob("*.py")):
        number = path.stem.partition("_")[0]
        cells = with_quiz(read_cells(path.read_text(encoding="utf-8"), TAGS), ROOT, number)
        found[number] = [cell.source for cell in cells if cell.kind == "markdown"]
    return dict(sorted(found.items()))


def first_uses(glossary, lessons):
    """Return the paragraph of the first use of each term in each lesson."""
    found = {}
    for number, cells in lessons.items():
        for paragraph in re.split(r"\n\s*\n", "\n\n".join(cells)):
            for term in glossary.used(paragraph):
                found.setdefault((term.name, number), paragraph)
    return found


@cache
def uses():
    return first_uses(read(), texts())


def lessons_named(paragraph):
    return {number for found in NAMED.findall(paragraph) for number in re.findall(r"\d\db?", "".join(found))}


def used_early(glossary, lessons, found, overviews=OVERVIEWS):
    """Return (term, lesson) for each use before the lesson that explains it, without a word of that lesson."""
    order = list(lessons)
    return {
        (name, number)
        for (name, number), paragraph in found.items()
        if order.index(number) < order.index(glossary.terms[name].lesson)
        and number not in overviews
        and glossary.terms[name].lesson not in lessons_named(paragraph)
    }


def test_every_word_is_used_in_the_lesson_that_explains_it_or_after_it():
    used = {name for name, number in uses() if number >= read().terms[name].lesson}
    assert set(read().terms) - used == set()


def test_no_word_is_used_before_it_is_explained_without_a_reason():
    reasons = {(term.name, number) for term in read().terms.values() for number in term.early}
    assert used_early(read(), texts(), uses()) == reasons
    assert len(reasons) <= MOST_EARLY


def test_each_word_is_explained_where_it_says():
    glossary = read()
    sections = {term: section_of("\n\n".join(texts()[term.lesson]), term.section) for term in glossary.terms.values()}
    missing = [f"{t.name}: no section {t.section!r} in lesson {t.lesson}" for t, text in sections.items() if not text]
    untold = [t.name for t, text in sections.items() if not explains(text, t, glossary)]
    assert (missing, untold) == ([], [])


def explains(section, term, glossary):
    """Tell whether a section names a term or, where the glossary has them, holds the words by which it is told."""
    return term.told in " ".join(section.split()) if term.told else term in glossary.used(section)


def section_of(text, title):
    """Return what stands under a heading, with it, to the next one; "" if there is no such heading."""
    head = rf"^#+ (?:\d\d[a-z]? · )?{re.escape(title)}(?: \(optional\).*)?$"
    found = re.search(rf"{head}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def test_there_are_about_eighty_words():
    assert 75 <= len(read().terms) <= 95


# Broken controls

TERM = Term("gate", "A sentence.", "expert", "02", "Gates")
SMALL = Glossary({"gate": TERM})


@pytest.mark.parametrize(
    ("first", "early"),
    [
        ("A gate opens.", {("gate", "01")}),
        ("A gate (lesson 02) opens.\n\nThe gate closes.", set()),
        ("A gate opens.\n\nSee lessons 01 and 02 for the gate.", {("gate", "01")}),
        ("A `gate` opens.", set()),
        ("Nothing opens.", set()),
    ],
)
def test_broken_control_an_early_use_is_found(first, early):
    lessons = {"01": [first], "02": ["## Gates\n\nA gate."]}
    assert used_early(SMALL, lessons, first_uses(SMALL, lessons)) == early
    assert used_early(SMALL, lessons, first_uses(SMALL, lessons), overviews={"01": "why"}) == set()


def test_broken_control_a_word_that_nobody_uses_is_found():
    assert first_uses(SMALL, {"02": ["## Gates\n\nNothing."]}) == {}


def test_a_section_ends_at_the_next_heading():
    text = "# 02 · Title\n\nA.\n\n## Gates\n\nB.\n\n## More\n\nC."
    assert [section_of(text, title).strip() for title in ("Title", "Gates", "More", "None")] == ["A.", "B.", "C.", ""]
