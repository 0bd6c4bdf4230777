"""What is right in a wrong answer, and what that earns."""

import numpy as np
import pytest

from moe_lessons.checks import questions
from moe_lessons.checks.parts import Part
from moe_lessons.grading.shares import earned

ALL = questions()


@pytest.mark.parametrize("id", ["5.5", "6.1", "7.2", "7.5", "8.3", "9.1", "10.2", "10.3"])
@pytest.mark.parametrize("constant", [0.0, 1.0, np.nan])
def test_what_says_nothing_earns_nothing(id, constant):
    """By cases it would earn something: a share of experts that are empty is 0 now and then."""
    for seed in range(3):
        data = ALL[id].draw(np.random.default_rng(seed))
        values = [[np.full(np.shape(part), constant) for part in ALL[id].reference(*case)] for case in data["cases"]]
        assert earned(ALL[id].rights(data, {"values": values, "changed": []}), "parts") == 0


def test_what_parts_earn():
    parts = (Part("load", 4, 4), Part("cv", 2, 4), Part("dead", 0, 4))
    assert [earned(parts, by) for by in ("parts", "cases", "none")] == [1 / 3, 0.5, 0]
    assert earned((Part("", 3, 4),), "parts") == 0
    assert earned((Part("", 3, 4),), "cases") == 0.75
    assert earned((), "cases") == earned((), "parts") == 0


def test_all_parts_right_and_yet_not_correct_earns_nothing():
    assert earned((Part("load", 4, 4), Part("cv", 4, 4)), "parts") == 0


def test_guessing_earns_nothing_on_average():
    rng = np.random.default_rng(0)
    guessed = rng.random((4000, 6)) < 0.5  # (learners, entries)
    beaten = [sum(int(right) - 0.5 for right in row) / 3 for row in guessed]
    assert abs(np.mean(beaten)) < 0.02
    half = [earned(tuple(Part(str(i), int(right), 1, 0.5) for i, right in enumerate(row)), "parts") for row in guessed]
    assert np.mean([share > 0 for share in half]) < 0.4
    assert earned(tuple(Part(str(i), int(i < 5), 1, 0.5) for i in range(6)), "parts") == pytest.approx(2 / 3)
    assert earned(tuple(Part(str(i), int(i < 3), 1, 0.5) for i in range(6)), "parts") == 0
