"""The study of lesson 09: its file holds what it says, a short fresh run agrees with it, pairs and table add up."""

import numpy as np
import pytest
import torch

from moe_lessons.experiments import balancing_runs, capacity_runs
from moe_lessons.experiments import balancing_study as study_of
from moe_lessons.experiments.balancing_runs import MEASURES
from moe_lessons.experiments.balancing_study import BLOCK, CHOOSING, LENGTHS, METHODS, SEEDS, SHORT, STARTS, Setting

FRESH = (50, 51, 52)  # seeds of no other test and no study


@pytest.fixture(scope="module")
def shipped():
    return study_of.load_results()


# --- the file -----------------------------------------------------------------------------------------------------


def test_the_file_holds_every_setting_once_with_every_seed(shipped):
    held = [Setting(*(row[field] for field in Setting._fields)) for row in shipped["rows"]]
    assert held == study_of.settings()
    assert len(set(held)) == len(held)
    for setting, row in zip(held, shipped["rows"], strict=True):
        seeds = SEEDS[:BLOCK] if setting in study_of.CONTROLS else SEEDS
        assert row["seeds"] == [*seeds]
        for length in map(str, LENGTHS):
            assert tuple(row[length]) == MEASURES
            assert {len(values) for values in row[length].values()} == {len(seeds)}


def test_the_file_says_how_it_was_made(shipped):
    assert shipped["settings"] == {
        "seeds": [*SEEDS],
        "lengths": [*LENGTHS],
        "starts": STARTS,
        "chosen": study_of.CHOSEN,
    }
    assert set(shipped["versions"]) == {"python", "torch"}


def test_no_seed_that_a_coefficient_was_chosen_on_is_reported():
    assert not set(SEEDS) & set(CHOOSING)
    assert len(SEEDS) >= 20
    assert len(SEEDS) % BLOCK == 0


def test_the_methods_are_those_of_lessons_09_and_10():
    known = balancing_runs.METHODS | capacity_runs.METHODS
    for name in METHODS.keys() - {"top_2_b"}:
        assert METHODS[name].recipe == known[name].recipe
        assert set(METHODS[name].coefficients) <= set(known[name].coefficients)


@pytest.mark.slow
@pytest.mark.parametrize(("start", "name"), [("uneven", "switch"), ("fair", "none")])
def test_a_short_fresh_run_is_consistent_with_the_file(start, name, shipped):
    """The mean of three fresh seeds lies within four standard errors of that of the file."""
    other = {"fair": "uneven", "uneven": "fair"}[start]
    for coefficient, result in study_of.trained(start, name, FRESH, SHORT).items():
        for measure in ("error", "max_violation"):
            ours = study_of.values(shipped, Setting(start, name, coefficient), SHORT, measure)
            error = ours.std(ddof=1) * (1 / len(FRESH) + 1 / len(SEEDS)) ** 0.5
            assert abs(getattr(result, measure)[-1].mean() - ours.mean()) < 4 * error
        if name == "none":  # the control: the other start would be noticed
            theirs = study_of.values(shipped, Setting(other, name, coefficient), SHORT, "max_violation")
            assert abs(result.max_violation[-1].mean() - theirs.mean()) > 4 * error


# --- making it ----------------------------------------------------------------------------------------------------


def test_blocks_are_put_together_in_the_order_of_the_table(monkeypatch):
    monkeypatch.setattr(study_of, "LENGTHS", (2, 4))
    monkeypatch.setattr(study_of, "LONG", 4)
    monkeypatch.setattr(study_of, "trained", lambda start, name, seeds: trained_for(start, name, seeds))
    rows = [row for seeds in ((1,), (2, 3)) for row in study_of.block_of(("uneven", "switch", seeds))]
    found = study_of.joined(rows[::-1] if rows[0]["coefficient"] else rows)
    assert [row["coefficient"] for row in found] == list(METHODS["switch"].coefficients)
    assert all(sorted(row["seeds"]) == [1, 2, 3] for row in found)
    assert all(len(row["4"]["error"]) == 3 for row in found)


def trained_for(start, name, seeds):
    """Train for four steps only."""
    whole = balancing_runs.run(name, seeds, 4, METHODS[name].coefficients)
    return {coefficient: result for (_, coefficient), result in whole.items()}


def test_the_start_is_fair_or_uneven():
    loads = {start: study_of.trained(start, "none", (0,), 1)[0.0].load[0, 0] for start in STARTS}
    assert loads["uneven"][:2].sum() > 0.5 > loads["fair"][:2].sum()


def test_every_block_is_a_job():
    jobs = list(study_of.jobs())
    assert len(jobs) == len(STARTS) * len(METHODS) * len(SEEDS) // BLOCK
    assert sorted({seed for *_, seeds in jobs for seed in seeds}) == [*SEEDS]


def test_a_control_is_a_run_with_its_rate_or_its_start(monkeypatch):
    monkeypatch.setattr(study_of, "LENGTHS", (2, 4))
    whole = study_of.trained
    monkeypatch.setattr(
        study_of, "trained", lambda start, name, seeds, **options: whole(start, name, seeds, 4, **options)
    )
    usual, faster, again = (
        study_of.control_of(Setting("fair", "switch", 0.1, rate), (1, 2))[0] for rate in (0.005, 0.02, 0.005)
    )
    assert (usual["coefficient"], usual["rate"], usual["seeds"]) == (0.1, 0.005, [1, 2])
    assert usual == again
    assert usual["4"]["error"] != faster["4"]["error"]
    assert str(Setting("fair", "switch", 0.1, 0.02)) == "fair: Switch loss, α = 0.1, rate 0.02"
    near, far = (study_of.control_of(Setting(start, "top_2"), (1, 2))[0] for start in ("uneven", "farther"))
    assert min(far["2"]["cv"]) > max(near["2"]["cv"])


def test_noise_that_is_left_on_changes_what_is_measured_and_not_the_training():
    on, off = (study_of.trained("uneven", name, (1, 2), 4, coefficients=(4.0,))[4.0] for name in ("noise_on", "noise"))
    assert (on.entropy != off.entropy).any()  # of the noisy logits
    assert on.max_violation[0].mean() < off.max_violation[0].mean()
    layers, x = balancing_runs.Layers((1,), 1, 1, "softmax_topk", 1.0), torch.zeros(1, 5, balancing_runs.D)
    route = study_of.NOISE_ON.build(torch.tensor([4.0]))
    before = layers.noise[0].get_state()
    layers.eval()
    route(layers, x)
    assert layers.noise[0].get_state().equal(before)
    layers.train()
    route(layers, x)
    assert not layers.noise[0].get_state().equal(before)


# --- reading it ---------------------------------------------------------------------------------------------------


def made_up():
    """A study in which the Switch loss lowers the error of every seed by 0.01 and a little."""
    rng, rows = np.random.default_rng(0), []
    task = rng.normal(0.1, 0.03, size=8)
    for setting in study_of.settings():
        error = task - (0.01 + rng.normal(0, 0.001, size=8)) * (setting.method == "switch")
        measures = dict.fromkeys(MEASURES, [0.5] * 8) | {"error": error.tolist(), "cv": [0.9, 1.0] * 4}
        rows.append(setting._asdict() | {str(length): measures for length in LENGTHS})
    return {"rows": rows}


def test_pairs_are_compared_seed_by_seed():
    study, switch, none = made_up(), Setting("fair", "switch", 0.1), Setting("fair", "none")
    found = study_of.gap(study, switch, none, SHORT)
    assert found.smaller == found.seeds == 8
    assert found.low < -0.01 < found.high < -0.008  # far narrower than the spread of the tasks
    apart = study_of.values(study, switch, SHORT)[::-1] - study_of.values(study, none, SHORT)  # the broken control
    assert study_of.gap_of(apart).high > 0
    with pytest.raises(KeyError):
        study_of.values(study, Setting("fair", "switch", 0.2), SHORT)


def test_the_interval_is_that_of_student():
    found = study_of.gap_of(np.array([1.0, 2.0, 3.0, 4.0]))
    assert (found.mean, found.smaller) == (2.5, 0)
    assert found.high - found.mean == pytest.approx(3.182446 * np.std([1, 2, 3, 4], ddof=1) / 2, rel=1e-5)


def test_the_table_has_a_line_for_each_setting_of_a_start_and_counts_collapses():
    lines = study_of.table(made_up(), SHORT, "fair").splitlines()
    assert lines[0].startswith("fair start, 300 steps")
    of_table = [setting for setting in study_of.settings() if setting not in study_of.CONTROLS]
    assert len(lines) == 1 + sum(setting.start == "fair" for setting in of_table)
    assert len({len(line) for line in lines[1:]}) == 1
    assert all(line.endswith("4 of 8") for line in lines[1:])  # a CV of exactly 1 counts
    assert str(Setting("fair", "switch", 0.1)) == "fair: Switch loss, α = 0.1"


def test_the_overview_has_the_means_after_both_lengths_of_what_is_shown():
    study = made_up()
    head, *lines = study_of.overview(study, "fair").splitlines()
    assert head.startswith("fair start, 300 → 1,200 steps")
    assert len(lines) == len(study_of.SHOWN)
    means = [study_of.values(study, Setting("fair", "switch", 0.1), steps).mean() for steps in LENGTHS]
    assert lines[1].startswith("Switch loss, α = 0.1")
    assert f"{means[0]:.3f} → {means[1]:.3f}" in lines[1]
    assert all("4 → 4 of 8" in line for line in lines)
    assert {len(line) for line in (head, *lines)} == {len(head)}
    with pytest.raises(KeyError):
        study_of.overview(study, "fair", [("switch", 0.2)])
