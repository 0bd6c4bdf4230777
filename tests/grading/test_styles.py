"""Honest styles of writing a notebook get the marks that a human would give, and nothing is lost in silence."""

import json
from dataclasses import replace

import pytest
from hostile import PROTOTYPE, SETUP, WRONG
from nursery import Nursery
from styles import STYLES, Style, as_saved

from moe_lessons.checks import questions
from moe_lessons.grading.grade import grade_submission
from moe_lessons.grading.records import Ended
from moe_lessons.grading.sandbox import Limits

ASKED = ("1.1", "1.4", "2.1", "2.3", "4.3")
MODULES = ("moe_lessons.checks.question", "IPython.core.inputtransformer2", "moe_lessons.checks.set_01")
HURRIED = replace(Limits(), cell_seconds=1.0, all_seconds=2.5)
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("styles")]


@pytest.fixture(scope="module")
def nursery(sandbox):
    made = Nursery(limits=sandbox.limits, modules=MODULES)
    yield made
    made.close()


def graded(style, folder, nursery):
    path = folder / "a.ipynb"
    saved = {"cells": [*map(as_saved, style.cells)], "metadata": style.info, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(saved), encoding="utf-8")
    asked = {id: questions()[id] for id in ASKED}
    return grade_submission(path, folder, asked, b"secret", nursery.hurried(HURRIED) if style.hurried else nursery)


def as_it_should(style, record):
    """Tell whether a record has the marks of a style, and says what it should: its note, or nothing."""
    right = {mark.question for mark in record.marks if mark.points == mark.possible > 0}
    said = "\n".join([record.reason, *record.notes])
    marked = (right, sum(mark.points > 0 for mark in record.marks)) == (set(style.right), len(style.right))
    return marked and (style.note in said if style.note else (record.ended, said.strip()) == (Ended.OK, ""))


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.did)
def test_a_style_gets_its_marks(style, nursery, tmp_path):
    record = graded(style, tmp_path, nursery)
    assert as_it_should(style, record), record


@pytest.mark.parametrize(("right", "note"), [(("1.1", "1.4"), ""), (("1.4",), "a note")])
def test_broken_control_other_marks_and_other_words_are_seen(right, note, nursery, tmp_path):
    wrong = Style("a wrong answer", (SETUP, WRONG, PROTOTYPE), right=right, note=note)
    record = graded(wrong, tmp_path, nursery)
    assert not as_it_should(wrong, record)
    assert as_it_should(replace(wrong, right=("1.4",), note=""), record)


def test_there_are_enough_styles():
    assert len({style.did for style in STYLES}) == len(STYLES) >= 60
