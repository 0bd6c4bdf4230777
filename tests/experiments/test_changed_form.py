"""A layer in another form than its own: the file that ships is complete and agrees with a short fresh run."""

import numpy as np
import pytest

from moe_lessons.experiments.changed_form import FORMS, LENGTHS, SEEDS, changed, load_results

STEPS, FEW = LENGTHS[0], SEEDS[:2]


@pytest.fixture(scope="module")
def fresh():
    return {row["run"]: row for row in changed("B", STEPS, FEW)}


def shipped(run, trained="B", steps=STEPS):
    """Return the one row of the file."""
    (row,) = (r for r in load_results() if (r["trained"], r["run"], r["steps"]) == (trained, run, steps))
    return row


def test_the_file_holds_every_case_with_every_seed():
    assert len(load_results()) == len(LENGTHS) * len(FORMS) ** 2
    for trained in FORMS:
        for steps in LENGTHS:
            for run in FORMS:
                row = shipped(run, trained, steps)
                assert len(row["plain"]) == len(row["scaled"]) == len(SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("run", FORMS)
@pytest.mark.parametrize("name", ["plain", "scaled"])
def test_a_fresh_run_agrees_with_the_file(fresh, run, name):
    assert fresh[run][name] == pytest.approx(shipped(run)[name][: len(FEW)], rel=0.03)


def test_broken_control_a_run_in_the_other_form_does_not_agree(fresh):
    assert fresh["B"]["plain"] != pytest.approx(shipped("A")["plain"][: len(FEW)], rel=0.03)
    assert fresh["A"]["plain"] != pytest.approx(shipped("A", trained="A")["plain"][: len(FEW)], rel=0.03)


def test_a_constant_changes_little_in_the_own_form_and_mends_much_of_the_other(fresh):
    plain, scaled = (np.array(fresh["B"][name]) for name in ("plain", "scaled"))
    assert scaled == pytest.approx(plain, rel=0.01)
    assert (np.array(fresh["A"]["scaled"]) < np.array(fresh["A"]["plain"]) - 0.02).all()
