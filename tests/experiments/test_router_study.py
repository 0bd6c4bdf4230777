"""The study of lesson 08: its file holds the trials it says, a short fresh run agrees with it, its tables add up."""

import numpy as np
import pytest

from moe_lessons.experiments import router_study as study_of
from moe_lessons.experiments.router_study import CHOOSING, LENGTHS, QUESTIONS, SEEDS, Arm, Trial
from moe_lessons.experiments.studies import interval


@pytest.fixture(scope="module")
def shipped():
    return study_of.load_results()


def trial(row):
    return Trial(*(row[field] for field in Trial._fields[:-1]), tuple(row["seeds"]))


def test_the_file_holds_every_trial_once(shipped):
    expected = []
    for question in QUESTIONS:
        for steps in LENGTHS:
            expected += study_of.choosing(question, steps)
            expected += study_of.reporting(question, steps, shipped["trials"])
    assert [trial(row) for row in shipped["trials"]] == expected
    assert len(set(expected)) == len(expected)


def test_the_file_says_how_it_was_made(shipped):
    assert shipped["settings"] == {"lengths": [*LENGTHS], "choosing": [*CHOOSING], "seeds": [*SEEDS]}
    assert set(shipped["versions"]) == {"python", "torch"}


def test_no_seed_both_chooses_and_is_reported():
    assert not set(CHOOSING) & set(SEEDS)


def test_the_best_rate_of_a_schedule_and_of_a_k_has_a_lower_and_a_higher_one_beside_it(shipped):
    for question in ("schedules", "active"):
        for arm in QUESTIONS[question]:
            for steps in LENGTHS:
                best = study_of.best_rate(shipped["trials"], question, arm, steps)
                tried = study_of.rates(question, arm, steps)
                assert min(tried) < best < max(tried), (arm, steps)


def test_each_trial_has_a_number_for_each_seed(shipped):
    for row in shipped["trials"]:
        assert {len(row[what]) for what in ("error", "alone", "largest", "dead")} == {len(row["seeds"])}
        assert min(row["error"]) > 0
        assert min(row["largest"]) >= 1 / 8


def test_frozen_routers_are_reported_at_each_rate_and_choose_nothing(shipped):
    assert study_of.choosing("frozen", 400) == []
    for steps, tried in study_of.FROZEN_RATES.items():
        found = [study_of.at_rate(shipped, "frozen", "A", steps, rate) for rate in tried]
        assert {len(errors) for errors in found} == {len(SEEDS)}
        assert found[0].mean() > found[-1].mean()  # the lowest rate is not the best
    with pytest.raises(ValueError, match="unpack"):
        study_of.at_rate(shipped, "frozen", "A", 400, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "arm"),
    [
        ("schedules", "1 to 1/4"),
        ("active", "k = 1, B"),
        ("active", "k = 1, B, balanced"),
        ("factor", "16, same outputs"),
    ],
)
def test_a_short_fresh_run_is_consistent_with_the_file(question, arm, shipped):
    steps = LENGTHS[0]
    rate = study_of.best_rate(shipped["trials"], question, arm, steps)
    fresh = study_of.tried(Trial(question, arm, steps, rate, SEEDS[:2]))["error"]
    assert fresh == pytest.approx(study_of.reported(shipped, question, arm, steps)[:2], rel=0.1)
    found = study_of.by_rate(shipped["trials"], question, arm, steps)
    worse = max(found, key=found.__getitem__)
    control = study_of.tried(Trial(question, arm, steps, worse, SEEDS[:2]))["error"]
    assert np.mean(control) > 1.02 * np.mean(fresh)  # at the worst rate it would be noticed


def test_tau_goes_from_start_to_end_by_equal_factors():
    arm = Arm(start=4, end=1 / 4)
    assert [arm.tau(done) for done in (0, 0.5, 1)] == pytest.approx([4, 1, 0.25])
    assert {Arm().tau(done) for done in (0, 0.3, 1)} == {1}


def made_up(errors, seeds, question="active", arm="k = 1, B", steps=400, rate=0.01):
    """A row with these errors."""
    return Trial(question, arm, steps, rate, seeds)._asdict() | {"error": errors, "largest": [0.2] * len(seeds)}


ROWS = [
    made_up([0.1, 0.3], CHOOSING, rate=0.01),
    made_up([0.05, 0.25], CHOOSING, rate=0.02),
    made_up([0.01, 0.9], CHOOSING, rate=0.04),
    made_up([0.2] * len(SEEDS), SEEDS, rate=0.02),
]


def test_the_best_rate_has_the_lowest_mean_and_not_the_lowest_run():
    assert study_of.by_rate(ROWS, "active", "k = 1, B", 400) == pytest.approx({0.01: 0.2, 0.02: 0.15, 0.04: 0.455})
    assert study_of.best_rate(ROWS, "active", "k = 1, B", 400) == 0.02
    assert study_of.reported({"trials": ROWS}, "active", "k = 1, B", 400, "largest").tolist() == [0.2] * len(SEEDS)


def test_the_interval_is_students():
    low, high = interval([1.0, 2.0, 3.0])
    assert (low + high) / 2 == pytest.approx(2)
    assert high - 2 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)


def test_the_table_has_a_part_for_each_length_and_a_line_for_each_arm(shipped):
    lines = study_of.table(shipped, "schedules", "1").splitlines()
    arms = list(QUESTIONS["schedules"])
    width = max(map(len, (*arms, "1,200 steps")))
    assert [line[:width].strip() for line in lines] == [n for steps in LENGTHS for n in (f"{steps:,} steps", *arms)]
    hot, one = (study_of.reported(shipped, "schedules", arm, 400) for arm in ("4", "1"))
    assert f"{hot.mean():.4f} ± {hot.std(ddof=1):.4f}" in lines[1]
    assert f"{(hot - one).mean():+.4f}" in lines[1]
    assert " to " not in lines[2]  # the baseline is not compared with itself
