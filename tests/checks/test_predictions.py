"""Predict cells answer calmly whatever was typed."""

import numpy as np
import pytest

from moe_lessons.checks import compare


@pytest.mark.parametrize(
    ("prediction", "actual", "words"),
    [
        (..., 1.246, "No prediction yet"),
        (None, 1.246, "No prediction yet"),
        (1.25, 1.246, "That is it."),
        (1.73, 1.246, "They differ"),
        ([2, 1], np.array([2, 1]), "That is it."),
        ([49], np.array([50]), "They differ"),
        (0.004, 0.0001, "They differ"),
        ([1, 2, 3], np.array([2, 1]), "different shapes"),
        ("Rises", "rises", "That is it."),
        ("falls", "rises", "They differ"),
        ("(c)", "c", "That is it."),
        (3, "rises", "They differ"),
        ("1.25", 1.246, "without quotes"),
        (object(), 1.0, "No prediction yet"),
        ([..., 1], np.array([2, 1]), "different shapes"),
    ],
)
def test_the_computed_answer_is_always_shown(capsys, prediction, actual, words):
    compare(prediction, actual)
    printed = capsys.readouterr().out
    assert words in printed
    assert "Computed: " in printed


def test_units_are_shown(capsys):
    compare(1.3, 1.3341, "nats")
    assert "1.3341 nats" in capsys.readouterr().out
