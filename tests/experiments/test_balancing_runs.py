"""The balancing experiment: runs side by side against one `MoELayer` trained alone, penalties against `losses`."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from moe_lessons import metrics
from moe_lessons.experiments import balancing_runs
from moe_lessons.experiments.balancing_runs import (
    AHEAD,
    HEAD_START,
    METHODS,
    D,
    Layers,
    Method,
    N,
    importance,
    run,
    table,
)
from moe_lessons.layer import MoELayer
from moe_lessons.losses import importance_loss, load_balancing_loss, load_loss
from moe_lessons.training import constant, train

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def short():
    return balancing_runs.run_all(seeds=SEEDS, steps=4)


@pytest.fixture(scope="module")
def trained():
    found = {}
    for name, coefficients in (("none", None), ("switch", (0.1,)), ("fair", None)):
        found |= run(name, SEEDS, 150, coefficients)
    return {name: result for (name, _), result in found.items()}


def layers_and_tokens(name, coefficients=2):
    method = METHODS[name]
    torch.manual_seed(3)
    layers = Layers(SEEDS, coefficients, method.top_k, method.gate, method.start)
    return layers, torch.randn(2 * coefficients, 64, D)


def routed(name, values):
    layers, x = layers_and_tokens(name, len(values))
    route = METHODS[name].build(torch.tensor(values).repeat_interleave(2))
    return layers, x, route


# --- what the experiment says --------------------------------------------------------------------------------------


def test_without_balancing_experts_die_and_the_switch_loss_keeps_them(trained):
    assert (trained["none"].dead[-1] > trained["none"].dead[0]).all()
    assert (trained["switch"].dead[-1] == 0).all()
    assert (trained["switch"].max_violation[-1] < 0.7 * trained["none"].max_violation[-1]).all()
    assert (trained["none"].error[-1] < 0.5).all()


def test_only_the_fair_start_is_fair(trained):
    assert (trained["fair"].max_violation[0] < trained["none"].max_violation[0]).all()
    assert (trained["none"].load[0, :, :AHEAD].sum(axis=-1) > 0.5).all()


# --- side by side is the same as alone ------------------------------------------------------------------------------


def alone(seed, alpha, steps):
    """One `MoELayer`, trained by the course's loop with the course's loss."""
    x, y, fresh, target = balancing_runs._task(seed)
    torch.manual_seed(seed)
    layer = MoELayer(D, balancing_runs.WIDTH, N, 1, "softmax_topk", bias=True)
    with torch.no_grad():
        layer.router.bias[:AHEAD] = HEAD_START

    def batch(step):
        rows = torch.randint(len(x), (256,), generator=torch.Generator().manual_seed(step))
        return x[rows], y[rows]

    def losses(layer, batch):
        out, routing = layer(batch[0], return_routing=True)
        error = (out - batch[1]).square().mean() / target.var(correction=0)
        return {"loss": error + alpha * load_balancing_loss(routing.logits, 1)}

    train(layer, batch, losses, steps, lr=balancing_runs.LEARNING_RATE, schedule=constant, progress=False)
    with torch.no_grad():
        out, routing = layer(fresh, return_routing=True)
    error = float((out - target).square().mean() / target.var(correction=0))
    return error, metrics.expert_load(routing.selected.numpy(), N)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_among_others_is_the_layer_trained_alone(seed):
    found = run("switch", SEEDS, 6, (0.01, 1.0))
    for alpha in (0.01, 1.0):
        error, load = alone(seed, alpha, 6)
        assert found["switch", alpha].error[-1, seed] == pytest.approx(error, abs=1e-4)
        assert found["switch", alpha].load[-1, seed] == pytest.approx(load, abs=2e-3)
    assert alone(seed, 0.01, 6)[0] != pytest.approx(alone(seed, 1.0, 6)[0], abs=1e-4)  # so that the test can fail


@pytest.mark.parametrize("name", METHODS)
def test_other_coefficients_in_the_same_call_change_nothing(name):
    c = METHODS[name].coefficients[-1]
    together, by_itself = run(name, SEEDS, 4, (c, 5.0 + c)), run(name, SEEDS, 4, (c,))
    assert together[name, c].error == pytest.approx(by_itself[name, c].error, abs=1e-5)
    assert together[name, c].load == pytest.approx(by_itself[name, c].load, abs=2e-3)


def test_the_forward_pass_is_that_of_single_layers():
    layers, x = layers_and_tokens("none", 1)
    routing = layers.decide(layers.logits(x))
    y = layers(x, routing)
    for r, seed in enumerate(SEEDS):
        torch.manual_seed(seed)
        layer = MoELayer(D, balancing_runs.WIDTH, N, 1, "softmax_topk", bias=True)
        with torch.no_grad():
            layer.router.bias[:AHEAD] = HEAD_START
        assert torch.allclose(y[r], layer(x[r]), atol=1e-6)
    assert not torch.allclose(y[0], layer(x[0]), atol=1e-3)  # another run's layer


# --- the methods ----------------------------------------------------------------------------------------------------


def dense(routing, r):
    return torch.zeros_like(routing.logits[r]).scatter(-1, routing.selected[r], routing.weights[r])  # (T, N)


def test_the_penalties_are_those_of_losses():
    layers, x, route = routed("switch", (0.1, 2.0))
    routing, penalty = route(layers, x)
    expected = [c * load_balancing_loss(routing.logits[r], 1) for r, c in enumerate((0.1, 0.1, 2.0, 2.0))]
    assert torch.allclose(penalty, torch.stack(expected))
    layers, x, route = routed("importance", (0.1, 2.0))
    routing, penalty = route(layers, x)
    expected = [c * importance_loss(dense(routing, r)) for r, c in enumerate((0.1, 0.1, 2.0, 2.0))]
    assert torch.allclose(penalty, torch.stack(expected))


def test_importance_and_load_is_the_sum_of_both_on_the_same_noise():
    layers, x, route = routed("importance_load", (0.5, 1.0))
    routing, penalty = route(layers, x)
    clean, sd = layers.logits(x), layers.noise_sd(x)
    for r, w in enumerate((0.5, 0.5, 1.0, 1.0)):
        expected = importance_loss(dense(routing, r)) + load_loss(clean[r], routing.logits[r], sd[r], 1)
        assert penalty[r].item() == pytest.approx(w * expected.item(), rel=1e-5)
    assert not torch.allclose(clean, routing.logits)


def test_importance_adds_up_the_weights_for_two_experts_a_token_too():
    layers, x = layers_and_tokens("top_2", 1)
    routing = layers.decide(layers.logits(x))
    assert torch.allclose(importance(routing)[1], dense(routing, 1).sum(dim=0))
    assert importance(routing).sum().item() == pytest.approx(2 * 64, rel=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_random_in_a_test(name):
    layers, x, route = routed(name, (0.5,))
    first, second = (route(layers, x)[0].logits for _ in range(2))
    assert torch.equal(first, second) == (name not in ("noise", "jitter", "importance_load"))
    layers.eval()
    assert torch.equal(route(layers, x)[0].logits, layers.logits(x))


@pytest.mark.parametrize("name", ["noise", "jitter"])
def test_runs_of_one_seed_draw_the_same_noise_and_the_coefficient_scales_it(name):
    layers, x, route = routed(name, (0.25, 0.5))
    x = x[:2].repeat(2, 1, 1)
    moved = route(layers, x)[0].logits - layers.logits(x)  # (R, T, N)
    assert torch.allclose(2 * moved[:2], moved[2:], atol=1e-5)
    assert not torch.allclose(moved[0], moved[1], atol=1e-2)
    if name == "noise":
        assert (moved[2:] / 0.5).std().item() == pytest.approx(np.log(2), rel=0.1)  # softplus(0)


def test_only_methods_with_noise_learn_its_size():
    for name in ("switch", "noise", "importance_load"):
        layers, x, route = routed(name, (1.0,))
        routing, penalty = route(layers, x)
        (layers(x, routing).square().sum() + torch.as_tensor(penalty).sum()).backward()
        assert (layers.W_noise.grad is None) == (name == "switch")


def test_a_method_of_one_s_own_can_be_added_and_may_keep_a_state():
    def build(u):
        pushed = torch.zeros(2, 1, N)

        def route(layers, x):
            routing = layers.decide(layers.logits(x) + pushed)
            if layers.training:
                pushed.add_(u[:, None, None])
            return routing, 0.0

        return route

    own = {"own": Method("own", "pushes everybody", build, "u", (0.1,))}
    found = run("own", SEEDS, 4, methods=own)["own", 0.1]
    assert found.load == pytest.approx(run("none", SEEDS, 4)["none", 0.0].load, abs=2e-3)


# --- results --------------------------------------------------------------------------------------------------------


def test_a_result_per_method_and_coefficient_with_its_measures(short):
    assert list(short) == [(name, c) for name, method in METHODS.items() for c in method.coefficients]
    for result in short.values():
        assert result.steps.tolist() == [0, 1, 2, 3, 4]
        assert result.load.shape == (5, 2, N)
        assert result.load.sum(axis=-1) == pytest.approx(1)
        assert (result.entropy > 0).all()
        assert (result.entropy <= np.log(N)).all()
        assert result.error.shape == result.max_violation.shape == result.cv.shape == result.dead.shape == (5, 2)
        assert set(result.at_end()) == set(balancing_runs.MEASURES)


def test_a_run_leaves_the_caller_s_random_numbers_alone_and_repeats():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = run("noise", (0,), 2)["noise", 1.0]
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(first.error, run("noise", (0,), 2)["noise", 1.0].error)


def test_the_table_has_a_row_for_each_result(short):
    rows = table(short).splitlines()
    assert len(rows) == len(short) + 1
    assert len({len(row) for row in rows}) == 1
    assert "Switch loss, α = 0.01" in table(short)
    one = replace(short["none", 0.0], error=np.full((5, 2), 0.25))
    assert "0.250 ± 0.000" in table({"one": one})


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (partial(run, "nothing"), "name = 'nothing'"),
        (partial(run, "none", ()), "seeds = ()"),
        (partial(run, "none", (0, 0)), "seeds = (0, 0)"),
        (partial(run, "switch", (0,), 3, ()), "coefficients = ()"),
        (partial(run, "switch", (0,), 3, (0.1, 0.1)), "coefficients = (0.1, 0.1)"),
        (partial(run, "none", (0,), 0), "steps = 0"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
