"""Honest styles of writing a notebook get the marks that a human would give, and nothing is lost in silence."""

import json
from dataclasses import replace

import pytest
from nursery import Nursery
from styles import STYLES, as_saved

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


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.did)
def test_a_style_gets_its_marks(style, nursery, tmp_path):
    record = graded(style, tmp_path, nursery)
    right = {mark.question for mark in record.marks if mark.points == mark.possible > 0}
    said = "\n".join([record.reason, *record.notes])
    assert (right, sum(mark.points > 0 for mark in record.marks)) == (set(style.right), len(style.right)), record
    assert style.note in said, record
    assert style.note or (record.ended, said.strip()) == (Ended.OK, ""), record


def test_there_are_enough_styles():
    assert len({style.did for style in STYLES}) == len(STYLES) >= 60
