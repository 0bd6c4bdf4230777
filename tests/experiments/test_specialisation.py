"""The evidence of lesson 11: its measures on planted routes, its models, and the results that ship with the course."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_language import CONTEXT, VOCABULARY, a_part

from moe_lessons.experiments import specialisation as study_of
from moe_lessons.losses import load_balancing_loss, z_loss
from moe_lessons.model import next_token_loss, without_layer
from moe_lessons.training import device

# --- measures -----------------------------------------------------------------------------------------------------


def planted(part, kind):
    """Return a selection (S, L, 1) of four experts that follows the domain, the token, or nothing."""
    labels, rng = study_of.labels_of(part), np.random.default_rng(3)
    follow = {
        "domain": labels["domain"],
        "token": labels["token"] % 4,
        "nothing": rng.integers(0, 4, labels["token"].shape),
    }
    return follow[kind][..., None], labels


def test_experts_that_follow_the_domain_know_it(task):
    found = study_of.information(*planted(task.report, "domain"), "domain", draws=50)
    assert found["bits"] == pytest.approx(1)
    assert found["null_95"] < 0.2
    assert found["excess"] == pytest.approx(found["bits"] - found["null_mean"])


def test_experts_that_follow_the_token_know_nothing_beyond_it(task):
    selected, labels = planted(task.report, "token")
    assert study_of.information(selected, labels, "domain", draws=5)["bits"] > 1e-3
    assert study_of.information(selected, labels, "domain", "token", draws=5)["bits"] == pytest.approx(0, abs=1e-12)


def test_experts_that_follow_nothing_stay_within_the_null(task):
    selected, labels = planted(task.report, "nothing")
    found = study_of.information(selected, labels, "domain", "token", draws=50)
    assert found["bits"] > 0.02  # the bias of the estimate
    assert abs(found["excess"]) < 0.05
    assert abs(study_of.information(selected, labels, "domain", draws=50)["excess"]) < 0.02


def test_a_pair_is_the_token_and_the_one_before_it(task):
    labels = study_of.labels_of(task.report)
    pairs = {}
    for pair, token, previous in zip(*(labels[name].ravel() for name in ("pair", "token", "previous")), strict=True):
        assert pairs.setdefault(pair, (token, previous)) == (token, previous)
    assert len(set(pairs.values())) == len(pairs)
    assert (labels["previous"][:, 0] == -1).all()
    np.testing.assert_array_equal(labels["previous"][:, 1:], labels["token"][:, :-1])


def test_experts_that_follow_the_token_before_know_nothing_beyond_the_pair(task):
    labels = study_of.labels_of(task.report)
    selected = ((labels["previous"] + 1) // 8)[..., None]
    assert study_of.information(selected, labels, "domain", "token", draws=5)["bits"] > 0.05
    assert study_of.information(selected, labels, "domain", "pair", draws=5)["bits"] == pytest.approx(0, abs=1e-12)


def test_a_random_gate_tells_what_its_states_hold_at_even_loads():
    """Control: on states of the domain it tells the domain, though it never learned; on noise it tells nothing."""
    chance = np.random.default_rng(0)
    domain = chance.integers(0, 2, (300, 40))
    noise = torch.from_numpy(chance.normal(5, 1, size=(300, 40, 16))).float()  # uncentred: the mean would pick for all
    of_domain = noise + 3 * torch.from_numpy(domain)[..., None] * torch.linspace(-1, 1, 16)
    labels = {"domain": domain, "sequence": np.broadcast_to(np.arange(300)[:, None], domain.shape)}
    for states, least, most in ((of_domain, 0.1, 1), (noise, -0.005, 0.005)):
        gate = study_of.random_gate(states, seed=3)
        assert gate.shape == (300, 40, 2)
        assert (gate[..., 0] != gate[..., 1]).all()
        assert max(np.bincount(gate.ravel(), minlength=8)) < 2 * gate.size / 8
        assert least < study_of.information(gate, labels, "domain", draws=5)["excess"] < most
    assert (study_of.random_gate(noise, seed=3) != study_of.random_gate(noise, seed=4)).mean() > 0.5
    assert study_of.random_gate(noise[0], num_experts=4, top_k=1).shape == (40, 1)


def test_the_routers_see_what_their_own_choice_was_made_of(task):
    model = study_of.build(VOCABULARY, context=CONTEXT, layers=2, d_model=16, heads=2, d_ff=16)
    seen, chosen = study_of.router_inputs(model, task.report.ids), study_of.record(model, task.report.ids).selected
    for states, block, selected in zip(seen, model.blocks, chosen, strict=True):
        assert states.shape == (*selected.shape[:2], 16)
        with torch.no_grad():
            np.testing.assert_array_equal(block.feed_forward.router(states).selected, selected)
        assert not block.feed_forward.router._forward_pre_hooks


def test_shuffled_tokens_see_ties_that_are_not_there_and_shuffled_sequences_hardly_ever():
    by_token, by_sequence = np.sum([study_of.false_alarms(seed) for seed in range(100, 115)], axis=0)
    assert by_token == 15
    assert by_sequence <= 4


def test_the_best_layer_is_the_one_with_the_largest_excess():
    layers = [{"domain_given_token": {"excess": value}} for value in (0.1, 0.3, 0.2)]
    assert study_of.best_layer(layers) == 1


# --- models -------------------------------------------------------------------------------------------------------


def test_the_batch_of_a_step_is_always_the_same_and_balanced(task):
    one, other = study_of.batches_of(task.train, 0, 8), study_of.batches_of(task.train, 0, 8)
    late_first = other(40)
    batches = [one(step) for step in range(41)]
    assert torch.equal(batches[40], late_first)
    assert all(batch.shape == (8, CONTEXT + 1) for batch in batches)
    assert not torch.equal(batches[0], study_of.batches_of(task.train, 1, 8)(0))
    rows = torch.cat(batches[:15]).tolist()  # an epoch: 15 batches of 8
    assert len({tuple(row) for row in rows}) == 120


@pytest.mark.usefixtures("tiny")
def test_a_record_is_what_the_model_does(task):
    model = study_of.build(VOCABULARY)
    ids = task.report.ids[:7]
    routes = study_of.record(model, ids, size=3)
    logits, decisions = model(torch.from_numpy(ids)[:, :-1], return_routing=True)
    assert routes.selected.shape == (2, 7, CONTEXT, 2)
    np.testing.assert_array_equal(routes.selected[1], decisions[1].selected.numpy())
    assert routes.loss.mean() == pytest.approx(next_token_loss(logits, torch.from_numpy(ids)).item(), abs=1e-5)
    assert (routes.entropy <= 2 + 1e-6).all()


@pytest.mark.usefixtures("tiny")
def test_an_expert_that_nobody_chose_can_be_switched_off_for_nothing(task):
    model = study_of.build(VOCABULARY)
    used = np.unique(study_of.record(model, task.report.ids).selected[0])
    closed = study_of.ablation(model, task.report, 0)
    assert closed.shape == (4, 2)
    for expert in range(4):
        assert (np.abs(closed[expert]) > 1e-9).any() == (expert in used)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("kind", ["moe", "hash", "dense"])
def test_without_a_layer_the_stream_passes_it_by(task, kind):
    model = study_of.build(VOCABULARY, kind)
    rise = study_of.layer_ablation(model, task.report)
    assert rise.shape == (2, 2)
    assert (np.abs(rise) > 1e-6).all()
    with torch.no_grad():
        for parameter in model.blocks[1].feed_forward.parameters():
            parameter.zero_()
    np.testing.assert_allclose(study_of.layer_ablation(model, task.report)[1], 0, atol=1e-6)


@pytest.mark.usefixtures("tiny")
def test_a_layer_that_is_off_may_be_stood_in_for_by_its_mean_output_for_a_token(task):
    model, outputs = study_of.build(VOCABULARY), []
    tables = study_of.mean_outputs(model, task.report)  # (layers, V, d)
    keep = model.blocks[1].feed_forward.register_forward_hook(lambda _layer, _input, output: outputs.append(output[0]))
    ids = torch.from_numpy(task.report.ids[:, :-1])
    with torch.no_grad():
        model(ids)
    keep.remove()
    torch.testing.assert_close(tables[1, 12], outputs[0][ids == 12].mean(dim=0))
    rises = [study_of.layer_ablation(model, task.report, instead) for instead in (None, 0 * tables, tables)]
    np.testing.assert_array_equal(rises[0], rises[1])
    assert (np.abs(rises[2] - rises[0]) > 1e-6).all()
    with pytest.raises(ValueError, match="instead"), without_layer(model, 0, torch.zeros(3)):
        pass


@pytest.mark.usefixtures("tiny")
def test_a_layer_that_is_a_table_is_stood_in_for_without_loss(task):
    model = study_of.build(VOCABULARY, "dense")
    with torch.no_grad():  # what the first layer sees is the token's embedding, and nothing of the others
        model.positions.weight.zero_()
        model.blocks[0].attention.out.weight.zero_()
    tables = study_of.mean_outputs(model, task.report)
    np.testing.assert_allclose(study_of.layer_ablation(model, task.report, tables)[0], 0, atol=1e-5)
    assert (np.abs(study_of.layer_ablation(model, task.report)[0]) > 1e-4).all()  # control: it does add something


@pytest.mark.usefixtures("tiny")
def test_layers_may_be_off_together(task):
    model = study_of.build(VOCABULARY)
    alone, both = (
        study_of.layer_ablation(model, task.report),
        study_of.layer_ablation(model, task.report, groups=[[0, 1]]),
    )
    assert both.shape == (1, 2)
    np.testing.assert_array_equal(alone[1], study_of.layer_ablation(model, task.report, groups=[[1]])[0])


def test_a_splice_takes_the_beginning_of_another_document_and_no_more(task):
    part = task.report
    for same in (True, False):
        ids = study_of.splice(part, 5, same)
        np.testing.assert_array_equal(ids[:, 5:], part.ids[:, 5:])
        for row, begin in enumerate(ids[:, :5]):
            donors = np.flatnonzero((part.ids[:, :5] == begin).all(axis=1))
            assert any((part.domain[d] == part.domain[row]) == same and d != row for d in donors)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("kind", ["moe", "hash"])
def test_choices_that_hang_on_the_token_alone_are_all_kept(task, kind):
    kept = study_of.kept_choices(study_of.build(VOCABULARY, kind), task.report, at=6, gap=2)
    for share in kept.values():
        assert share.shape == (2,)
        assert (share == 1).all() if kind == "hash" else (share < 1).any()


def test_what_is_left_to_know_falls_with_what_is_given(task):
    labels = study_of.labels_of(task.report)
    none, token, pair = (study_of.left_to_know(labels, "domain", given) for given in (None, "token", "pair"))
    assert none == pytest.approx(1)
    assert none > token > pair >= 0
    assert study_of.left_to_know(labels, "domain", "domain") == pytest.approx(0, abs=1e-9)


def shares(seed=0, N=16):
    """Return which share of each of four domains an expert serves, (N, 4); every expert has a favourite."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.05, 0.3, (N, 4))
    share[np.arange(N), rng.integers(0, 4, N)] += 0.4
    return share


def test_the_null_of_the_causal_test_holds_what_serving_does_by_itself():
    share, rng = shares(), np.random.default_rng(1)
    rise = share * rng.uniform(0.5, 1.5, share.shape)  # no expert is made for its favourite domain
    null = study_of.hits_by_serving(share, rise, draws=500)
    assert study_of.hits(share, rise) > 10  # guessing gives 16 / 4
    assert (null >= study_of.hits(share, rise)).mean() > 0.1
    assert study_of.hits(share, study_of.per_served_token(rise, share)) < 9


def test_broken_control_experts_made_for_their_favourite_domain_leave_the_null():
    share, rng = shares(), np.random.default_rng(1)
    favourite = share == share.max(axis=1, keepdims=True)
    rise = share * rng.uniform(0.5, 1.5, share.shape) * np.where(favourite, 3, 0.5)
    assert study_of.hits(share, study_of.per_served_token(rise, share)) == len(share)
    assert (study_of.hits_by_serving(share, rise, draws=500) < len(share)).mean() > 0.95


def test_an_expert_that_serves_nothing_of_a_domain_costs_it_nothing():
    share, rise = np.array([[0.5, 0.0], [0.2, 0.1]]), np.array([[0.1, 0.0], [0.1, -0.2]])
    np.testing.assert_allclose(study_of.per_served_token(rise, share), [[0.2, 0], [0.5, -2]])


@pytest.mark.parametrize(
    ("rise", "share", "draws", "message"),
    [
        ([[0.1, np.nan]], [[0.5, 0.5]], 2, r"rise\[0, 1\] = nan"),
        ([[0.1, 0.2]], [[0.5, 1.5]], 2, r"share\[0, 1\] = 1.5: expected a share from 0 to 1"),
        ([[0.1, 0.2]], [[0.5], [0.5]], 2, r"share.shape = \(2, 1\): expected .* \(1, 2\)"),
        ([[0.1, 0.2]], [[0.5, 0.5]], 0, "draws = 0"),
    ],
)
def test_the_causal_test_names_bad_tables(rise, share, draws, message):
    with pytest.raises(ValueError, match=message):
        study_of.hits_by_serving(np.array(share), np.array(rise), draws)


@pytest.mark.usefixtures("tiny")
def test_only_a_learned_router_pays_for_balance(task):
    ids = torch.from_numpy(task.train.ids[:4])
    assert {"loss", "task", "balance", "z"} == set(study_of.language_losses(study_of.build(VOCABULARY), ids))
    dense = study_of.language_losses(study_of.build(VOCABULARY, "dense"), ids)
    assert dense["loss"] is dense["task"]


@pytest.mark.usefixtures("tiny")
def test_the_coefficients_of_balance_and_z_can_be_others(task):
    model, ids = study_of.build(VOCABULARY), torch.from_numpy(task.train.ids[:4])
    free = study_of.language_losses(model, ids, balance_coef=0, z_coef=0)
    heavy = study_of.language_losses(model, ids, balance_coef=2, z_coef=3)
    assert free["loss"] == free["task"]
    assert (heavy["loss"] - free["loss"]).item() == pytest.approx(2 * heavy["balance"].item() + 3 * heavy["z"].item())


@pytest.mark.usefixtures("tiny")
def test_balance_and_z_are_means_over_the_layers(task):
    model, ids = study_of.build(VOCABULARY), torch.from_numpy(task.train.ids[:4])
    decisions = model(ids[:, :-1], return_routing=True)[1]
    balance = [load_balancing_loss(d.logits, d.selected.shape[-1], d.selected).item() for d in decisions]
    z = [z_loss(d.logits).item() for d in decisions]
    found = study_of.language_losses(model, ids)
    assert found["balance"].item() == pytest.approx(np.mean(balance), rel=1e-6)
    assert found["z"].item() == pytest.approx(np.mean(z), rel=1e-6)
    assert np.ptp(balance) > 1e-3  # control: the layers differ


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_of_another_seed_or_text_is_not_taken_for_this_one(task):
    def trained(seed=0, task=task):
        model = study_of.build(VOCABULARY, seed=seed)
        return model, study_of.train_language_model(model, task, 4, checkpoint="lesson 11", progress=False)

    first, history = trained()
    again, resumed = trained()
    assert resumed.losses == history.losses
    assert torch.equal(first.tokens.weight, again.tokens.weight)
    with pytest.raises(ValueError, match=r"belongs_to = .*'seed': 0.*now .*'seed': 1.*name another checkpoint"):
        trained(seed=1)
    with pytest.raises(ValueError, match="to start afresh"):
        trained(task=replace(task, train=a_part(120, 9)))


@pytest.mark.usefixtures("tiny")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_model_trained_on_a_gpu_comes_back_to_the_cpu(task):
    model, on_cpu = study_of.build(VOCABULARY), study_of.build(VOCABULARY)
    history = study_of.train_language_model(model, task, 4, where=device(), progress=False)
    expected = study_of.train_language_model(on_cpu, task, 4, progress=False)
    assert model.tokens.weight.device == on_cpu.tokens.weight.device
    np.testing.assert_allclose(history.losses["loss"], expected.losses["loss"], atol=1e-3)
