"""The study of lessons 10 and 10b: its file holds the trials it says, a short fresh run agrees, its table adds up."""

from statistics import fmean

import numpy as np
import pytest

from moe_lessons.experiments import bias_study as study_of
from moe_lessons.experiments.bias_study import CHOOSING, GRIDS, LENGTHS, MEASURES, SEEDS, STARTS, Trial


@pytest.fixture(scope="module")
def shipped():
    return study_of.load_results()


def test_no_seed_both_chooses_and_is_reported():
    assert not set(CHOOSING) & {*SEEDS, *study_of.FURTHER_SEEDS, *study_of.FASTER_SEEDS}
    assert not set(SEEDS) & {*study_of.FURTHER_SEEDS, *study_of.FASTER_SEEDS}


def test_the_further_seeds_have_the_shorter_length_of_every_trial_once(shipped):
    rows = shipped["further"]
    asked = [(trial.start, trial.method, *trial.coefficients) for trial in study_of.further(shipped["trials"])]
    assert [(row["start"], row["method"], row["coefficient"]) for row in rows] == asked
    assert [pair[:2] for pair in asked] == [*study_of.FURTHER]
    for row in rows:
        for measure in MEASURES:
            assert [*row[measure]] == [str(LENGTHS[0])]
            assert len(row[measure][str(LENGTHS[0])]) == len(study_of.FURTHER_SEEDS)
    start, method, coefficient = asked[0]
    values = study_of.values(shipped, "error", start, LENGTHS[0], method, coefficient, "further")
    assert values.tolist() == rows[0]["error"][str(LENGTHS[0])]


def test_the_faster_part_has_both_lengths_of_its_trials_at_another_rate(shipped):
    rows = shipped["faster"]
    assert [(row["start"], row["method"]) for row in rows] == [*study_of.FASTER]
    for row in rows:
        for measure in MEASURES:
            assert [*row[measure]] == [str(length) for length in LENGTHS]
            assert {len(numbers) for numbers in row[measure].values()} == {len(study_of.FASTER_SEEDS)}
    trial = study_of.faster()[0]
    (fast,) = study_of.tried(trial, seeds=(0,), lengths=(2,))
    (usual,) = study_of.tried(trial._replace(faster=False), seeds=(0,), lengths=(2,))
    assert fast["error"] != usual["error"]


def test_unequal_clusters_take_the_coefficients_of_the_fair_start(shipped):
    rows = shipped["trials"]
    for name in ("switch", "bias"):
        assert study_of.chosen(rows, study_of.UNEQUAL, name, 300) == study_of.best(rows, "fair", name, 300)
    (row,) = study_of.tried(Trial(study_of.UNEQUAL, "none", (0.0,), False), seeds=(0,), lengths=(2,))
    (fair,) = study_of.tried(Trial("fair", "none", (0.0,), False), seeds=(0,), lengths=(2,))
    assert row["error"] != fair["error"]


def test_the_file_holds_every_trial_once(shipped):
    rows = shipped["trials"]
    held = [(row["start"], row["method"], row["coefficient"], row["chooses"]) for row in rows]
    trials = [*study_of.choosing(), *study_of.reported(rows)]
    asked = [(trial.start, trial.method, value, trial.chooses) for trial in trials for value in trial.coefficients]
    assert sorted(held) == sorted(asked)
    assert len(set(held)) == len(held)
    settings = {"lengths": [*LENGTHS], "starts": STARTS, "choosing": [*CHOOSING], "seeds": [*SEEDS]}
    settings |= {"power": study_of.POWER, "further seeds": [*study_of.FURTHER_SEEDS]}
    settings |= {"faster rate": study_of.FASTER_RATE, "faster seeds": [*study_of.FASTER_SEEDS]}
    assert shipped["settings"] == settings
    assert set(shipped["versions"]) == {"python", "torch"}


def test_each_row_has_a_number_for_each_seed(shipped):
    for row in shipped["trials"]:
        for measure in MEASURES:
            assert [*row[measure]] == [str(length) for length in LENGTHS]
            for numbers in row[measure].values():
                assert len(numbers) == len(CHOOSING if row["chooses"] else SEEDS)


def test_the_chosen_coefficient_has_the_lowest_mean_error_of_the_choosing_seeds(shipped):
    rows = shipped["trials"]
    for start in STARTS:
        for name, grid in GRIDS.items():
            errors = {row["coefficient"]: fmean(row["error"]["1200"]) for row in rows
                      if (row["start"], row["method"], row["chooses"]) == (start, name, True)}  # fmt: skip
            assert set(errors) == set(grid)
            assert study_of.best(rows, start, name, 1200) == min(errors, key=errors.get)


def test_the_coefficients_at_an_end_of_their_grid_are_named(shipped):
    named = study_of.at_ends(shipped)
    assert "Switch loss, uneven, 1,200 steps: α 0.3" in named
    assert not any(name.startswith("bias, sign") for name in named)
    assert len(study_of.at_ends(made_up())) == len(GRIDS) * len(STARTS) * len(LENGTHS)


def test_the_cv_is_there_where_it_is_asked_whether_a_load_has_collapsed(shipped):
    for row in (*shipped["trials"], *shipped["further"], *shipped["faster"]):
        assert ("cv" in row) == (row["method"] in study_of.WITH_CV and not row["chooses"])
        if "cv" in row:
            for length, numbers in row["cv"].items():
                pairs = zip(numbers, row["max_violation"][length], strict=True)
                assert all(violation / 7**0.5 - 1e-3 < cv < violation * 7**0.5 for cv, violation in pairs)
    heads = {start: study_of.further_table(shipped, start).splitlines()[0].split() for start in STARTS}
    assert "CV" in heads["uneven"]
    assert "CV" not in heads["fair"]
    (control,) = study_of.tried(Trial("uneven", "none", (0.0,), False), seeds=(0,), lengths=(2,))
    assert control["cv"]["2"] != control["max_violation"]["2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "method", "coefficient"),
    [("uneven", "none", 0.0), ("uneven", "bias", 0.001), ("fair", "capacity", 1.0)],
)
def test_a_short_fresh_run_is_consistent_with_the_file(shipped, start, method, coefficient):
    (fresh,) = study_of.tried(Trial(start, method, (coefficient,), False), seeds=range(40, 45), lengths=(300,))
    held = study_of.values(shipped, "error", start, 300, method, coefficient)  # (S,)
    gap = abs(np.mean(fresh["error"]["300"]) - held.mean())
    assert gap < 3 * held.std(ddof=1) * (1 / 5 + 1 / len(held)) ** 0.5
    if method == "capacity":  # the control: that a third of the tokens is lost would be noticed
        none = study_of.values(shipped, "error", start, 300, "none")
        assert np.mean(fresh["error"]["300"]) - none.mean() > 3 * none.std(ddof=1)


def test_a_trial_reads_the_lengths_that_it_is_asked_for():
    rows = study_of.tried(Trial("fair", "bias", (0.01, 0.1), True), seeds=(0, 1), lengths=(2, 4))
    assert [row["coefficient"] for row in rows] == [0.01, 0.1]
    for row in rows:
        assert (row["start"], row["method"], row["chooses"]) == ("fair", "bias", True)
        assert all([*row[measure]] == ["2", "4"] for measure in MEASURES)
        assert all(len(row["error"][length]) == 2 for length in ("2", "4"))


def made_up():
    """A study in which every coefficient of a grid has an error of its own, and none has 0.5."""
    rows = []
    for start in STARTS:
        for name, grid in {**GRIDS, "none": (0.0,)}.items():
            for place, value in enumerate(grid):
                for chooses in (True, False):
                    error = [0.5, 0.5] if name == "none" else [0.4 + 0.1 * place, 0.6]
                    measures = {m: {str(length): error for length in LENGTHS} for m in MEASURES}
                    rows.append({"start": start, "method": name, "coefficient": value, "chooses": chooses} | measures)
    return {"trials": rows}


def test_the_table_holds_mean_spread_coefficient_and_wins():
    lines = study_of.table(made_up()).splitlines()
    assert lines[0].split() == ["300", "steps", "1,200", "steps"]
    assert lines[1].split() == ["fair", "no", "balancing", *["0.500", "±", "0.000"] * 2]
    first = GRIDS["switch"][0]
    assert lines[2].split() == ["Switch", "loss", *["0.500", "±", "0.141", "α", f"{first:g}", "1"] * 2]
    assert lines[2 + len(GRIDS)].split()[0] == "uneven"
    assert len(lines) == 1 + len(STARTS) * (1 + len(GRIDS))
    assert max(map(len, lines)) < 100


def test_reported_trials_hold_what_was_chosen_and_what_is_reported_anyway():
    trials = {(t.start, t.method): t.coefficients for t in study_of.reported(made_up()["trials"])}
    assert trials["fair", "switch"] == (GRIDS["switch"][0],)
    assert 0.001 in trials["fair", "bias"]
    assert trials["uneven", "capacity"] == study_of.FIXED["capacity"]
