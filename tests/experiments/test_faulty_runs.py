"""The runs of the closing project: each fault does what it is called, a mended run recovers, fresh cases are told."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from moe_lessons.checks.set_11p.measures import kind_shown, measured, of_case
from moe_lessons.experiments import case_files, faulty_runs
from moe_lessons.experiments.case_files import CASES, FAULTY, SOUND, WEIGHTS, Kind
from moe_lessons.experiments.faulty_runs import NOISE, PARTS, U, begun, draw_batch, error, restored, trained_on
from moe_lessons.losses import load_balancing_loss
from moe_lessons.metrics import max_violation

KINDS = [*SOUND, *FAULTY]


def bank():
    """Return the bank of the project, which has a test of a run for each fault."""
    spec = importlib.util.spec_from_file_location("bank_11p", Path(__file__).parents[1] / "checks" / "bank_11p.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TESTS = bank().TESTS


def name(kind):
    return f"{kind.balanced_by}-{kind.fault or 'sound'}"


@pytest.fixture
def batch():
    return draw_batch(np.random.default_rng(5))


def test_the_batches_of_a_seed_are_the_same_and_have_padding_of_one_vector(batch):
    again = draw_batch(np.random.default_rng(5))
    assert all(torch.equal(a, b) for a, b in zip(batch, again, strict=True))
    padding = batch.x[~batch.mask]  # (places, d)
    assert 0.1 < (~batch.mask).float().mean() < 0.6
    assert torch.equal(padding, padding[:1].expand_as(padding))
    assert not batch.target[~batch.mask].any()
    assert batch.mask[:, :3].all()


def test_a_sound_pass_weighs_by_the_probability_counts_real_tokens_and_balances_each_layer(batch):
    found = begun(Kind("loss"), 0).eval()(batch.x, batch.mask)
    p = found.logits.softmax(-1)  # (layers, B, L, N)
    assert torch.equal(found.selected, p.argmax(-1))
    assert torch.allclose(found.weights, p.amax(-1))
    assert (found.counts.sum(-1) == batch.mask.sum()).all()
    layers = [load_balancing_loss(h, 1, mask=batch.mask) for h in found.logits]
    assert torch.allclose(found.balance, torch.stack(layers).mean())


def test_a_bias_moves_in_training_by_its_step_and_only_where_there_is_one(batch):
    for recipe, step in (("bias", U), ("loss", 0.0)):
        model = begun(Kind(recipe), 0)
        load = model.train()(batch.x, batch.mask).counts.float()  # (layers, N)
        assert torch.allclose(model.bias, step * (load.mean(-1, keepdim=True) - load).sign())
        before = model.bias.clone()
        model.eval()(batch.x, batch.mask)
        assert torch.equal(model.bias, before)


def test_noise_has_its_size(batch):
    model = begun(Kind("loss"), 0)
    noisy, clean = model.train()(batch.x, batch.mask).logits[0], model.eval()(batch.x, batch.mask).logits[0]
    assert abs(float((noisy - clean).detach().std()) - NOISE) < 0.1 * NOISE


def test_the_layers_lean_against_each_other_at_the_start(batch):
    counts = begun(Kind("loss"), 0).eval()(batch.x, batch.mask).counts  # (layers, N)
    assert (counts[0, :3].sum() > 2 * counts[0, 3:].sum()).item()
    assert (counts[1, 3:].sum() > 2 * counts[1, :3].sum()).item()


@pytest.mark.parametrize("kind", KINDS, ids=name)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_test_of_a_fault_finds_it_and_no_other(kind, weights):
    made = dict(case_files.held_back())[kind] if weights == "trained" else faulty_runs.drawn_anew(kind, weights, 3)
    runs = {fault: faulty_runs.run_from(made, kind, 7) for fault in TESTS}
    assert [fault for fault, test in TESTS.items() if test(runs[fault])] == ([kind.fault] if kind.fault else [])


def test_routers_drawn_anew_are_unsure_or_sure_and_do_not_tell_the_fault(batch):
    for recipe in ("loss", "bias"):
        same = [faulty_runs.drawn_anew(kind, "unsure", 3) for kind in KINDS if kind.balanced_by == recipe]
        assert all(np.array_equal(same[0][name], other[name]) for other in same for name in other)
    p = {w: faulty_runs.healthy_run("loss", 3, w).model(batch.x, batch.mask).weights.mean() for w in WEIGHTS}
    assert p["unsure"] < p["trained"] < 0.95 < p["sure"] < 1


def test_a_checkpoint_comes_back(batch):
    model = begun(Kind("bias"), 1)
    model.train()(batch.x, batch.mask)
    weights = faulty_runs.checkpoint(model)
    again = restored(weights, Kind("bias"))
    assert all(np.array_equal(weights[key], value) for key, value in faulty_runs.checkpoint(again).items())
    assert torch.allclose(again(batch.x, batch.mask).y, model.eval()(batch.x, batch.mask).y)


def test_the_open_runs_are_those_of_the_file():
    run = faulty_runs.open_run(3, seed=1)
    assert np.allclose(run.model.W_g[1].detach(), case_files.checkpoint_of(2)["W_g"][1])
    assert not torch.equal(run.x, faulty_runs.open_run(3).x)
    assert run.model.balanced_by == case_files.kind_of(3).balanced_by
    assert faulty_runs.healthy_run("bias").model.balanced_by == "bias"
    for wrong in (
        lambda: faulty_runs.open_run(0),
        lambda: faulty_runs.healthy_run("luck"),
        lambda: faulty_runs.open_run(1, 0, "big"),
    ):
        with pytest.raises(ValueError, match="expected"):
            wrong()


@pytest.mark.slow
def test_a_fresh_run_begins_as_the_file_says_and_ends_near():
    _, log = faulty_runs.train_run(case_files.runs()[0], seed=0)
    kept = case_files.open_log(1)
    assert np.allclose(log["P"][:2], kept["P"][:2], atol=0.02)
    assert np.array_equal(log["real"], kept["real"])
    assert kind_shown({**log, "balanced by": kept["balanced by"]}) == case_files.kind_of(1)
    found, before = measured(log), of_case(1)
    assert all(abs(found[name] - before[name]) < 0.1 for name in found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_a_fresh_case_is_told_by_its_log_and_by_its_checkpoint(kind):
    model, log = faulty_runs.train_run(kind, seed=1000)
    assert kind_shown({**log, "balanced by": kind.balanced_by}) == kind
    weights = faulty_runs.checkpoint(model)
    runs = {fault: faulty_runs.run_from(weights, kind, 1) for fault in TESTS}
    assert [fault for fault, test in TESTS.items() if test(runs[fault])] == ([kind.fault] if kind.fault else [])


@torch.no_grad()
def error_and_loads(model):
    """Return the test error of a model, and its mean MaxVio over the layers, on many held-out tokens."""
    part = draw_batch(np.random.default_rng(98), 200)
    found = model.eval()(part.x, part.mask)
    return np.array([float(error(found, part, part.mask)), np.mean(max_violation(found.counts.numpy()))])


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTY, ids=name)
def test_a_mended_program_needs_more_training_unless_the_fault_was_in_evaluation(kind):
    """What 11p.6 says of `train on`: error and loads are those of sound runs at once, or only after further steps."""
    sound_kind = Kind(kind.balanced_by)
    of_kind = [i for i, other in enumerate(case_files.runs()) if other == sound_kind]
    sound = np.array([error_and_loads(restored(case_files.checkpoint_of(i), sound_kind)) for i in of_kind])  # (runs, 2)
    limits = sound.max(axis=0) + np.ptp(sound, axis=0)
    mended = restored(dict(case_files.held_back())[kind], sound_kind)
    at_once = error_and_loads(mended)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trained_on(mended, np.random.default_rng(7), 400)
    assert (at_once < limits).all() == (kind.fault == "noise left on"), (at_once, sound)
    assert (error_and_loads(mended) < limits).all(), (error_and_loads(mended), sound)


def test_every_fault_is_one_part_that_differs():
    sound = vars(PARTS[None])
    for fault, parts in PARTS.items():
        differ = [name for name, part in vars(parts).items() if part is not sound[name]]
        assert len(differ) == bool(fault)
    assert set(PARTS) == {None, *case_files.FAULTS}
    assert CASES == 20
