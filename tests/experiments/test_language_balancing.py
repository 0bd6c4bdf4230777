"""The language model of lesson 09: its file is whole, a fresh run agrees with it, the bias selects and moves."""

import numpy as np
import pytest
import torch
from tiny_language import CONTEXT, VOCABULARY, N

from moe_lessons.balancing import BiasBalancer, drop_rate, expert_capacity, within_capacity
from moe_lessons.corpus import text
from moe_lessons.experiments import language_balancing as study_of
from moe_lessons.experiments import specialisation, specialisation_study
from moe_lessons.experiments.language_balancing import ARMS, FACTOR, LENGTHS, SEEDS, U
from moe_lessons.layer import gate_selected


@pytest.fixture(scope="module")
def shipped():
    return study_of.load_results()


# --- the file -----------------------------------------------------------------------------------------------------


def test_the_file_holds_every_run_once(shipped):
    held = sorted((row["arm"], row["seed"], row["steps"]) for row in shipped["runs"])
    assert held == sorted(study_of.runs())
    for row in shipped["runs"]:
        assert np.sum(row["load"], axis=1) == pytest.approx(1, abs=1e-3)
        assert len(row["load"]) == len(row["dropped"]) == len(row["entropy"]) == 4


def test_the_file_says_how_it_was_made(shipped):
    settings = shipped["settings"]
    assert (settings["lengths"], settings["seeds"]) == ([*LENGTHS], [*SEEDS])
    assert (settings["alpha"], settings["u"], settings["factor"]) == (specialisation.BALANCE, U, FACTOR)


def test_its_switch_arm_is_lesson_11_s_model(shipped):
    """Up to what rounding makes of 500 steps: far nearer than another kind of model would be."""
    ours = study_of.of(shipped, "switch", 500, "loss").mean()
    results = specialisation_study.load_results()
    moe, hashed = (
        np.mean([s["loss"] for s in specialisation_study.of(results, kind, 500)]) for kind in ("moe", "hash")
    )
    assert ours == pytest.approx(moe, abs=0.03)
    assert ours != pytest.approx(hashed, abs=0.03)


@pytest.mark.slow
def test_a_short_fresh_run_is_consistent_with_the_file(shipped):
    """What sets the arms apart at the end shows after 60 steps: with a bias the load is even, without it is not."""
    task, uneven = text.prepare(), {}
    for name in ("none", "bias"):
        model = study_of.trained(task, ARMS[name], 5, 60)
        found = study_of.measured(specialisation.record(model, task.report.ids[:200]), 8)
        uneven[name] = np.max(found["load"], axis=1).mean()
    for steps in LENGTHS:
        ends = {name: study_of.of(shipped, name, steps, "load").max(axis=-1).mean() for name in uneven}
        assert ends["bias"] < ends["none"]
    assert uneven["bias"] < uneven["none"]


# --- training -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
def test_a_bias_decides_who_is_selected_and_not_how_much_they_weigh(task):
    model = specialisation.build(VOCABULARY)
    ids = torch.from_numpy(task.report.ids[:3, :-1])
    _, before = model(ids, return_routing=True)
    biases = study_of.with_biases(model, 0.5)
    biases[0].bias[3] = 2.0  # more than any probability
    _, after = model(ids, return_routing=True)
    assert (after[0].selected == 3).any(dim=-1).all()
    assert not (before[0].selected == 3).any(dim=-1).all()
    assert torch.equal(after[0].logits, before[0].logits)
    assert torch.allclose(after[0].weights, gate_selected(after[0].logits, after[0].selected, "topk_softmax"))


@pytest.mark.usefixtures("tiny")
def test_the_bias_moves_after_each_step_as_a_balancer_does_and_rests_in_tests(task):
    model = specialisation.build(VOCABULARY)
    biases, expected = study_of.with_biases(model, 0.1), BiasBalancer(N, 0.1)
    model(torch.from_numpy(task.report.ids[:3, :-1]))
    assert (biases[0].bias == 0).all()
    expected.update(torch.bincount(biases[0].last.flatten(), minlength=N))
    study_of._move(biases, N, model, 0)
    assert torch.equal(biases[0].bias, expected.bias)
    assert biases[0].bias.abs().max() > 0
    specialisation.record(model, task.report.ids)
    assert torch.equal(biases[0].bias, expected.bias)


@pytest.mark.usefixtures("tiny")
def test_each_arm_is_trained_with_the_loss_it_says(task, monkeypatch):
    taken = []
    monkeypatch.setattr(specialisation, "train_language_model", lambda *_, losses, **__: taken.append(losses))
    monkeypatch.setattr(study_of, "to_the_end", lambda history: history)
    for arm in ARMS.values():
        study_of.trained(task, arm, 0, 4)
    model, ids = specialisation.build(VOCABULARY), torch.from_numpy(task.train.ids[:4])
    whole = specialisation.language_losses(model, ids)
    losses = {name: loss(model, ids)["loss"].item() for name, loss in zip(ARMS, taken, strict=True)}
    assert losses["switch"] == pytest.approx(whole["loss"].item())
    assert losses["none"] == losses["bias"] == pytest.approx((whole["task"] + specialisation.Z * whole["z"]).item())
    assert losses["both"] == losses["switch"] != losses["none"]


@pytest.mark.usefixtures("tiny")
def test_a_strong_bias_evens_the_load_of_a_training(task):
    found = {}
    for u in (0.0, 0.002):  # small steps: the probabilities are close to 1/N
        model = study_of.trained(task, ARMS["none"]._replace(u=u), 0, 40)
        found[u] = study_of.measured(specialisation.record(model, task.report.ids), N)
    assert np.max(found[0.002]["load"]) < np.max(found[0.0]["load"]) - 0.05


# --- measuring ----------------------------------------------------------------------------------------------------


def test_drops_are_those_of_the_batches_themselves():
    selected = np.random.default_rng(0).choice(N, size=(9, CONTEXT, 1), p=[0.55, 0.15, 0.15, 0.15])
    rates = []
    for batch in selected[:8].reshape(2, -1, 1):
        chosen = torch.from_numpy(batch)
        kept = within_capacity(chosen, torch.ones(chosen.shape), expert_capacity(len(batch), N, 1, FACTOR), N)
        rates.append(drop_rate(kept))
    assert study_of.dropped(selected, N, size=4) == pytest.approx(np.mean(rates))
    assert study_of.dropped(selected, N, size=4) > 0.1
    even = np.tile(np.arange(N), (9, CONTEXT // N))[..., None]
    assert study_of.dropped(even, N, size=4) == 0


def made_up():
    """Two seeds of one arm: in the first layer one expert of four has all, in the second all have the same."""
    row = {
        "arm": "none",
        "steps": 500,
        "load": [[1, 0, 0, 0], [0.25] * 4],
        "dropped": [0.7, 0.0],
        "entropy": [0.1, 2.0],
    }
    return {"runs": [row | {"seed": seed, "loss": 3.0 + seed} for seed in (0, 1)]}


def test_measures_by_seed_and_layer():
    study = made_up()
    assert study_of.of(study, "none", 500, "loss").tolist() == [3, 4]
    assert study_of.of(study, "none", 500, "max_violation").tolist() == [[3, 0]] * 2
    assert study_of.of(study, "none", 500, "dead").tolist() == [[3, 0]] * 2


def test_the_table_has_a_line_for_each_arm_and_length():
    head, line = study_of.table(made_up(), ("none",), (500,)).splitlines()
    assert "MaxVio" in head
    assert line.split() == [
        "500",
        "no",
        "balancing",
        "3.500",
        "±",
        "0.707",
        "3.00",
        "0.00",
        "3.0",
        "0.0",
        "70.0",
        "0.0",
    ]
