"""What a notebook's saved outputs say of its answers: nothing vouches for it, and a person should know."""

import json

import pytest

from moe_lessons.grading import claims


def cell(*texts, source="x = 1", **more):
    outputs = [{"output_type": "stream", "name": "stdout", "text": text} for text in texts]
    return {"cell_type": "code", "source": source, "outputs": outputs, **more}


def claimed(*cells):
    return set(claims.claimed(json.dumps({"cells": list(cells), "nbformat": 4}).encode()))


def test_the_last_verdict_on_each_question_counts():
    assert claimed(cell("✓ 4.1: correct\n  Worth keeping: …\n", "✗ 4.2: not yet\n")) == {"4.1"}
    assert claimed(cell("✓ 4.1: correct\n"), cell("✗ 4.1: not yet\n")) == set()
    assert claimed(cell("✗ 4.1: not yet\n"), cell("✓ 4.1: correct\n")) == {"4.1"}
    assert claimed(cell("? 4r.1: correct\n"), cell("✓ 11p.3: correct\n  Case 7.\n")) == {"4r.1", "11p.3"}


def test_outputs_in_lines_and_in_the_old_format():
    assert claimed(cell(["✓ 4.1: correct\n", "  3 of 3 points.\n"])) == {"4.1"}
    old = {
        "worksheets": [{"cells": [{"cell_type": "code", "input": "x", "outputs": [{"text": ["✓ 4.1: correct\n"]}]}]}]
    }
    assert claims.claimed(json.dumps(old).encode()) == {"4.1"}


def test_the_plain_text_beneath_a_card_counts():
    shown = {
        "output_type": "display_data",
        "data": {"text/plain": "✓ 4.1: correct", "text/html": "<b>✓ 4.2: correct</b>"},
    }
    lines = {"output_type": "display_data", "data": {"text/plain": ["✓ 4.3: correct\n", "  3 of 3 points."]}}
    assert claimed({"cell_type": "code", "source": "x", "outputs": [shown, lines]}) == {"4.1", "4.3"}


@pytest.mark.parametrize(
    "text", ["4.1: correct", "the ✓ 4.1: correct", "✓ 4.1: corrected", "✓ : correct", "✓ 4.1: not yet"]
)
def test_what_is_no_verdict(text):
    assert claimed(cell(text)) == set()


@pytest.mark.parametrize(
    "outputs", [None, 3, "✓ 4.1: correct", [None, 3, {"text": 3}, {"text": [1, None]}, {"data": 3}], {}]
)
def test_outputs_of_any_shape_can_be_read(outputs):
    assert claimed({"cell_type": "code", "source": "x = 1", "outputs": outputs}) == set()
