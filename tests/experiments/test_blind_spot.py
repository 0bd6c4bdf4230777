"""`blind_spot`, small: the same numbers for the same seed, measured as by hand, and gate A as the failing control."""

import numpy as np
import pytest
import torch

from moe_lessons.experiments import blind_spot
from moe_lessons.experiments.blind_spot import BLIND, METHODS, K, N, Result

LEARNS_ABOUT_E8 = ["top_k_b", "balance", "random", "straight_through", "default_vector"]
ADAM = {"optimizer": torch.optim.Adam, "lr": blind_spot.LEARNING_RATES["adam"]}


@pytest.fixture(scope="module")
def results():
    return {name: blind_spot.run(name, runs=6, steps=12) for name in METHODS}


@pytest.fixture(scope="module")
def trained():
    return {name: blind_spot.run(name, runs=8, steps=150) for name in ["top_k_a", "straight_through", "relu"]}


def router_after(name, steps=5, runs=3):
    """Return the world before and after some steps of training, with its route."""
    method = METHODS[name]
    world = blind_spot._World(runs, 0, method.start, 1)
    before = world.routers.W_g.detach().clone()
    route = method.build(runs, method.coefficient)
    blind_spot._train(world, route, steps, method.relu, **ADAM)
    return before, world, route


# --- what the experiment says --------------------------------------------------------------------------------------


def test_gate_a_never_finds_it_and_straight_through_does(trained):
    assert trained["top_k_a"].found_rate == 0
    assert trained["relu"].found_rate == 0
    assert trained["straight_through"].found_rate == 1
    assert trained["straight_through"].final_loss[0] < 0.5 * trained["top_k_a"].final_loss[0]


@pytest.mark.parametrize("name", [n for n, method in METHODS.items() if method.start])
def test_at_the_start_nobody_asks_e8(name, results):
    assert (results[name].share[0] == 0).all()
    assert (results[name].margin[0] < -3).all()


@pytest.mark.parametrize("name", ["fair", "relu_fair"])
def test_in_the_nulls_e8_starts_among_the_others(name, results):
    assert 0 < results[name].share[0].mean() < 0.9
    assert (abs(results[name].margin[0]) < 1).all()


@pytest.mark.parametrize("name", METHODS)
def test_whose_prototype_of_e8_can_move(name):
    before, world, _ = router_after(name)
    moved = not torch.equal(before[:, :, BLIND], world.routers.W_g.detach()[:, :, BLIND])
    assert moved == (name in [*LEARNS_ABOUT_E8, "fair", "relu_fair"])
    assert not torch.equal(before[:, :, 0], world.routers.W_g.detach()[:, :, 0])


def test_gate_b_lifts_e8_where_the_chosen_experts_do_harm_and_lowers_it_elsewhere():
    """Its gradient −p_8 Σ p_i a_i knows nothing of E8, only whether those that were chosen help."""
    world = blind_spot._World(16, 0, blind_spot.START, 1)
    x, E, target = world.tokens(32)
    h = (x @ world.routers.W_g).detach().requires_grad_()
    y, _ = METHODS["top_k_b"].build(16, 0.0)(h, E, None)
    (y - target).square().sum().backward()
    by_group = h.grad[..., BLIND].reshape(16, N, 32).mean(dim=(0, 2))  # (N,)
    assert by_group[BLIND] < 0
    assert (by_group[:BLIND] > 0).all()


def test_a_nearer_start_and_plain_gradient_descent_do_not_help_gate_a():
    slow = blind_spot.run("top_k_a", runs=4, steps=60, start=-2.0, optimizer="sgd")
    assert (slow.share[-1] <= slow.share[0]).all()


@pytest.mark.parametrize("name", ["top_k_a", "top_k_b", "balance", "default_vector", "relu", "straight_through"])
def test_who_can_tell_a_harmful_expert_from_a_perfect_one_before_it_is_asked(name):
    good, harmful = (blind_spot.run(name, runs=4, steps=20, opposite=opposite) for opposite in (False, True))
    assert (good.share == 0).all()
    assert np.array_equal(good.margin, harmful.margin) == (name != "straight_through")


# --- how it measures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["top_k_a", "straight_through", "fair"])
def test_share_loss_margin_and_active_by_hand(name):
    _, world, route = router_after(name, steps=20)
    share, loss, margin, active = blind_spot._measure(world, route, relu=False).values()
    x, E, target = (t.detach().double().numpy() for t in world.test)
    W_g = world.routers.W_g.detach().double().numpy()
    for r in range(3):
        losses, chosen, gaps = [], [], []
        for t in range(x.shape[1]):
            h = x[r, t] @ W_g[r]
            best = np.argsort(-h, kind="stable")[:K]
            w = np.exp(h[best]) / np.exp(h[best]).sum()
            losses.append(np.mean((w @ E[r, t, best] - target[r, t]) ** 2))
            if t // blind_spot.TEST_PER_GROUP == BLIND:
                chosen.append(BLIND in best)
                gaps.append(h[BLIND] - np.sort(h[:BLIND])[-K])
        assert loss[r] == pytest.approx(np.mean(losses), rel=1e-4)
        assert share[r] == np.mean(chosen)
        assert margin[r] == pytest.approx(np.mean(gaps), abs=1e-4)
        assert active[r] == K


def test_of_the_experts_each_is_right_for_its_group():
    world = blind_spot._World(2, 0, blind_spot.START, 1)
    x, E, target = world.tokens(3)
    for t in range(3 * N):
        torch.testing.assert_close(E[:, t, t // 3], target[:, t])
        torch.testing.assert_close(target[0, t], x[0, t] @ world.experts[0, t // 3])
    assert (x[..., -1] == 1).all()


def test_the_harmful_expert_says_the_opposite_and_the_others_what_they_said():
    (x, E, target), (same_x, other, same_target) = (
        blind_spot._World(2, 0, blind_spot.START, 1, sign).tokens(3) for sign in (1.0, -1.0)
    )
    assert torch.equal(x, same_x)
    assert torch.equal(target, same_target)
    assert torch.equal(E[:, :, :BLIND], other[:, :, :BLIND])
    assert torch.equal(E[:, :, BLIND], -other[:, :, BLIND])
    torch.testing.assert_close(E[:, -1, BLIND], target[:, -1])


def test_relu_routing_counts_its_active_experts(results):
    assert results["relu"].active[-1].mean() != K
    assert all((result.active == K).all() for name, result in results.items() if not METHODS[name].relu)


# --- that it can be trusted ----------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers():
    torch.manual_seed(1)
    first = blind_spot.run("random", runs=3, steps=6, seed=4)
    torch.manual_seed(2)
    again, other = (blind_spot.run("random", runs=3, steps=6, seed=seed) for seed in (4, 5))
    for field in ("share", "loss", "margin", "active"):
        assert np.array_equal(getattr(first, field), getattr(again, field))
    assert not np.array_equal(first.loss, other.loss)


def test_all_methods_see_the_same_worlds_and_tokens(results):
    for name in ["balance", "noise", "random", "straight_through"]:
        assert np.array_equal(results[name].loss[0], results["top_k_a"].loss[0])
    first, second = router_after("random", steps=2)[1], router_after("top_k_a", steps=2)[1]
    assert torch.equal(first.tokens(2)[0], second.tokens(2)[0])


@pytest.mark.parametrize("name", METHODS)
def test_no_run_touches_another(name):
    method, worlds = METHODS[name], [blind_spot._World(3, 0, METHODS[name].start, 1) for _ in range(2)]
    worlds[1].experts[0] += 1.0
    for world in worlds:
        blind_spot._train(world, method.build(3, method.coefficient), 3, **ADAM)
    one, other = (world.routers.W_g for world in worlds)
    assert torch.equal(one[1:], other[1:])
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize(("steps", "times"), [(1, [0, 1]), (7, [*range(8)]), (60, [*range(0, 61, 2)]), (61, 22)])
def test_the_times_of_measurement(steps, times):
    at = blind_spot._times(steps)
    assert at[0] == 0
    assert at[-1] == steps
    assert at == times if isinstance(times, list) else len(at) == times


def test_histories_have_a_row_for_each_measurement(results):
    for result in results.values():
        assert result.steps.tolist() == [*range(13)]
        assert result.share.shape == result.loss.shape == result.margin.shape == result.active.shape == (13, 6)


def made_up(share):
    share = np.array([share, share], dtype=float)
    return Result("fair", "made up", 0.0, np.array([0, 1]), share, share, share, share)


def test_found_and_its_wilson_interval_by_hand():
    result = made_up([0.5, 0.49, 1.0, 0.0, 0.9, 0.8, 0.7, 0.6])
    p, n, z = 6 / 8, 8, 1.959964
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert result.found_rate == p
    assert result.interval == pytest.approx(((middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)))
    assert result.final_loss == pytest.approx((np.mean(result.loss[-1]), np.std(result.loss[-1], ddof=1)))
    assert made_up([1.0]).final_loss == (1.0, 0.0)
    assert made_up([1.0] * 64).interval[0] == pytest.approx(0.943, abs=5e-4)


def test_a_coefficient_changes_what_happens():
    small, large = (blind_spot.run("balance", runs=2, steps=10, coefficient=alpha) for alpha in (1e-6, 1.0))
    assert not np.array_equal(small.margin[-1], large.margin[-1])


def test_the_learning_rate_stands_in_for_that_of_the_optimizer():
    usual, given, other = (
        blind_spot.run("fair", runs=2, steps=3, optimizer="sgd", learning_rate=rate) for rate in (None, 1.0, 3.0)
    )
    assert np.array_equal(usual.margin, given.margin)
    assert not np.array_equal(usual.margin[-1], other.margin[-1])


def test_several_experts_can_start_idle():
    result = blind_spot.run("top_k_a", runs=4, steps=3, idle=4)
    assert (result.loss[0] > 2 * blind_spot.run("top_k_a", runs=4, steps=3).loss[0]).all()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: blind_spot.run("nonsense"), "name = 'nonsense'"),
        (lambda: blind_spot.run("fair", runs=0), "runs = 0"),
        (lambda: blind_spot.run("fair", steps=0), "steps = 0"),
        (lambda: blind_spot.run("fair", seed=-1), "seed = -1"),
        (lambda: blind_spot.run("fair", idle=7), "idle = 7"),
        (lambda: blind_spot.run("fair", runs=1, steps=1, optimizer="lion"), "optimizer = 'lion'"),
        (lambda: blind_spot.run("random", coefficient=7), "coefficient = 7"),
        (lambda: blind_spot.run("balance", coefficient=-1), "coefficient = -1"),
        (lambda: blind_spot.run("noise", coefficient=np.nan), "coefficient = nan"),
        (lambda: blind_spot.run("noise", coefficient="1"), "coefficient = '1'"),
        (lambda: blind_spot.run("default_vector", coefficient=1.0), "decay = 1.0"),
        (lambda: blind_spot.run("fair", start=np.nan), "start = nan"),
        (lambda: blind_spot.run("fair", start="low"), "start = 'low'"),
        (lambda: blind_spot.run("fair", learning_rate=0), "learning_rate = 0"),
        (lambda: blind_spot.run("top_k_a", coefficient=1.0), "coefficient = 1.0"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
