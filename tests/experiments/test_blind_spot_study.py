"""The study of lesson 07: its file holds the trials it says, a short fresh run agrees with it, its table adds up."""

import pytest

from moe_lessons.experiments import blind_spot_study as study_of
from moe_lessons.experiments.blind_spot import METHODS, wilson
from moe_lessons.experiments.blind_spot_study import LENGTHS, LONG, SHORT, WORLDS, Trial


@pytest.fixture(scope="module")
def shipped():
    return study_of.load_results()


def test_the_file_holds_every_trial_once(shipped):
    held = [tuple(row[field] for field in Trial._fields) for row in shipped["trials"]]
    assert held == study_of.trials()
    assert len(set(held)) == len(held)
    assert {trial.method for trial in study_of.trials()} == set(METHODS)


def test_the_file_says_how_it_was_made(shipped):
    settings = {name: tuple(map(tuple, v)) if name == "optimizers" else v for name, v in shipped["settings"].items()}
    assert settings == {"worlds": WORLDS, "seed": study_of.SEED, "lengths": list(LENGTHS),
                        "optimizers": study_of.OPTIMIZERS, "starts": list(study_of.STARTS)}  # fmt: skip
    assert set(shipped["versions"]) == {"python", "torch"}


def test_each_trial_has_a_mark_for_each_world_at_each_length(shipped):
    for row in shipped["trials"]:
        lengths = [str(length) for length in LENGTHS if length <= row["steps"]]
        assert [*row["found"]] == [*row["asked"]] == [*row["loss"]] == lengths
        for length in lengths:
            assert len(row["found"][length]) == WORLDS
            assert set(row["found"][length]) <= {"0", "1"}
            assert row["found"][length].count("1") <= row["asked"][length] <= WORLDS


def agrees(found, worlds, count):
    """Whether a count of WORLDS fits a fresh run that found E8 in `found` of `worlds` others: their intervals meet."""
    (low, high), (shipped_low, shipped_high) = wilson(found, worlds), wilson(count, WORLDS)
    return low <= shipped_high and shipped_low <= high


@pytest.mark.slow
@pytest.mark.parametrize(
    "trial",
    [
        Trial("top_k_a", 0.0, "adam", 0.02, -4.0, steps=SHORT),
        Trial("straight_through", 0.0, "adam", 0.02, -4.0, steps=SHORT),
        Trial("top_k_b", 0.0, "sgd", 1.0, -4.0, steps=SHORT),
        Trial("top_k_b", 0.0, "adam", 0.02, -4.0, True, SHORT),
    ],
    ids=["A", "straight-through", "B by SGD", "B, harmful"],
)
def test_a_short_fresh_run_is_consistent_with_the_file(trial, shipped):
    fresh = study_of.tried(trial, worlds=12, seed=2)["found"][str(SHORT)].count("1")
    (row,) = (r for r in shipped["trials"] if all(r[f] == getattr(trial, f) for f in Trial._fields[:-1]))
    count = row["found"][str(SHORT)].count("1")
    assert agrees(fresh, 12, count)
    assert not agrees(fresh, 12, WORLDS - count)  # the control: the opposite would be noticed


def test_a_trial_is_what_blind_spot_runs_and_a_short_one_has_one_length():
    trial = Trial("noise", 1.0, "sgd", 10.0, -2.0, steps=SHORT)
    row = study_of.tried(trial, worlds=2)
    assert {field: row[field] for field in Trial._fields} == trial._asdict()
    assert [*row["found"]] == [str(SHORT)]


def made_up(**found):
    """A study of gate A and the noises, whose counts are given by optimiser."""
    rows = []
    for method, coefficient in (("top_k_a", 0.0), ("noise", 0.5), ("noise", 2.0)):
        for start in study_of.STARTS:
            for optimizer, rate in study_of.OPTIMIZERS:
                bits = "1" * found[method] + "0" * (WORLDS - found[method])
                trial = Trial(method, coefficient, optimizer, rate, start, False, LONG)
                rows.append(trial._asdict() | {"found": {"300": bits, "900": bits[::-1]}})
    null = Trial("top_k_b", 0.0, "adam", 0.02, 0.0)._asdict() | {"found": {"300": "1" * 7 + "0" * 25}}
    return {"trials": [*rows, null]}


def test_counts_by_label_and_setting():
    rows = study_of.counts(made_up(top_k_a=0, noise=22), 300, ("noise", "top_k_a", "top_k_b"))
    assert [*rows] == ["noise 0.5", "noise 2", "gate A", "gate B, fair start"]
    settings = [(*optimizer, start) for optimizer in study_of.OPTIMIZERS for start in study_of.STARTS]
    assert rows["noise 2"] == dict.fromkeys(settings, 22)
    assert rows["gate B, fair start"] == {("adam", 0.02, 0.0): 7}
    assert study_of.counts(made_up(top_k_a=0, noise=22), 300, opposite=True) == {}
    assert "gate B, fair start" not in study_of.counts(made_up(top_k_a=0, noise=22), 900)


def test_most_worlds_means_an_interval_above_a_half():
    rows = study_of.counts(made_up(top_k_a=21, noise=22), 300)
    assert wilson(21, WORLDS)[0] < 0.5 < wilson(22, WORLDS)[0]
    assert (study_of.most(rows["gate A"]), study_of.most(rows["noise 2"])) == (0, 9)


def test_the_table_has_a_column_for_each_setting():
    lines = study_of.table(study_of.counts(made_up(top_k_a=3, noise=32), 300)).splitlines()
    assert lines[0].split()[2:] == ["adam", "0.02", "sgd", "1", "sgd", "10"]
    assert lines[1].split()[4:-3] == ["-2", "-4", "-6"] * 3
    assert lines[2].split() == ["gate", "A", *["3"] * 9, "0", "of", "9"]
    assert len({len(line) for line in lines[2:]}) == 1
