"""The methods of lessons 10 and 10b do what `balancing` defines, and share nothing between runs."""

import math

import numpy as np
import pytest
import torch

from moe_lessons.balancing import BiasBalancer, drop_rate, quantile_bias, tanh_step, within_capacity
from moe_lessons.experiments import balancing_runs
from moe_lessons.experiments.balancing_runs import Layers, Result, run
from moe_lessons.experiments.capacity_runs import METHODS, drop_rates, limited, loads, table

N, D = balancing_runs.N, balancing_runs.D


def layers(count=2):
    return Layers([0, 1], count, 1, "softmax_topk", 1.0)


def tokens(runs=4, T=64, seed=0):
    return torch.randn(runs, T, D, generator=torch.Generator().manual_seed(seed))


def result(load, label="x"):
    """One measurement of one method: load (F, S, N)."""
    load = np.asarray(load, dtype=float)
    numbers = np.full(load.shape[:2], 0.5)
    return Result("x", label, "", 0.0, np.arange(len(load)), load, numbers, numbers)


# --- bias ---------------------------------------------------------------------------------------------------------


def test_the_bias_of_each_run_moves_and_selects_as_a_balancer_does():
    stack, x, u = layers(), tokens(), torch.tensor([0.01, 0.01, 0.3, 0.3])
    route = METHODS["bias"].build(u)
    balancers = [BiasBalancer(N, size) for size in u.tolist()]
    for step in range(5):
        x = tokens(seed=step)
        routing, penalty = route(stack, x)
        assert penalty == 0
        for r, balancer in enumerate(balancers):
            p = stack.logits(x)[r].softmax(dim=-1)
            selected = balancer.select(p, 1)
            assert torch.equal(routing.selected[r], selected)
            assert torch.allclose(routing.weights[r], p.gather(-1, selected))
            balancer.update(torch.bincount(selected.flatten(), minlength=N))


def test_the_bias_rests_in_tests():
    stack, x = layers(), tokens()
    route = METHODS["bias"].build(torch.full((4,), 0.5))
    stack.eval()
    first = route(stack, x)[0].selected
    assert torch.equal(route(stack, x)[0].selected, first)
    stack.train()
    route(stack, x)
    assert not torch.equal(route(stack, x)[0].selected, first)


def test_loads_count_the_assignments_of_each_run():
    selected = torch.tensor([[0, 0, 0, 1, 2, 3, 4, 5], list(range(8))]).unsqueeze(-1)
    assert loads(selected).tolist() == [[3, 1, 1, 1, 1, 1, 0, 0], [1] * 8]


@pytest.mark.parametrize("name", ["tanh", "quantile"])
def test_the_other_updates_are_those_of_balancing_for_each_run(name):
    stack, values = layers(), torch.tensor([0.01, 0.01, 0.3, 0.3])
    route = METHODS[name].build(values)
    bias, momentum = torch.zeros(4, N), torch.zeros(4, N)
    for step in range(4):
        x = tokens(seed=step)
        routing, _ = route(stack, x)
        for r, value in enumerate(values.tolist()):
            p = stack.logits(x)[r].softmax(dim=-1).detach()
            selected = (p + bias[r]).argmax(dim=-1)
            assert torch.equal(routing.selected[r, :, 0], selected)
            if name == "tanh":
                momentum[r] = tanh_step(torch.bincount(selected, minlength=N).float(), momentum[r], value)
                bias[r] += momentum[r]
            else:
                bias[r] = value * bias[r] + (1 - value) * quantile_bias(p, bias[r], 1)
    assert bias.abs().max() > 0


def test_the_bias_gets_no_gradient_and_the_router_does():
    stack, x = layers(), tokens()
    routing, _ = METHODS["bias"].build(torch.full((4,), 0.1))(stack, x)
    stack(x, routing).square().sum().backward()
    assert stack.W_g.grad.abs().sum() > 0


# --- capacity -----------------------------------------------------------------------------------------------------


def test_each_run_has_its_own_capacity_and_keeps_its_selection():
    stack, x = layers(), tokens()
    routing = stack.decide(stack.logits(x))
    factors = torch.tensor([0.5, 1.0, 1.25, 8.0])
    found = limited(routing, factors)
    assert torch.equal(found.selected, routing.selected)
    for r, factor in enumerate(factors.tolist()):
        kept = within_capacity(routing.selected[r], routing.weights[r], math.ceil(factor * 64 / N), N)
        assert torch.equal(found.weights[r], torch.where(kept, routing.weights[r], 0.0))
    assert (found.weights[0] == 0).any()
    assert (found.weights[3] > 0).all()


def test_broken_control_one_capacity_for_all_would_be_noticed():
    stack, x = layers(), tokens()
    routing = stack.decide(stack.logits(x))
    tight, wide = (limited(routing, torch.full((4,), factor)).weights for factor in (0.5, 8.0))
    assert not torch.equal(tight, wide)


@pytest.mark.parametrize(("name", "in_tests"), [("capacity", True), ("capacity_in_training", False)])
def test_where_tokens_are_dropped(name, in_tests):
    stack, x = layers(), tokens()
    route = METHODS[name].build(torch.full((4,), 0.5))
    assert (route(stack, x)[0].weights == 0).any()
    stack.eval()
    assert (route(stack, x)[0].weights == 0).any() == in_tests


def test_a_coin_drops_its_share_whoever_was_chosen_and_rests_in_tests():
    stack, x = layers(), tokens(T=2000)
    route = METHODS["random_drops"].build(torch.tensor([0.5, 0.5, 0.0, 1.0]))
    routing, penalty = route(stack, x)
    lost = (routing.weights[..., 0] == 0).float()  # (R, T)
    assert penalty == 0
    assert lost.mean(dim=1).tolist() == [pytest.approx(0.5, abs=0.05), pytest.approx(0.5, abs=0.05), 0, 1]
    first = lost[0, routing.selected[0, :, 0] == routing.selected[0, :, 0].mode().values]
    assert first.mean() == pytest.approx(0.5, abs=0.08)  # the favourite loses no more than its share
    assert torch.equal(routing.selected, stack.decide(stack.logits(x)).selected)
    stack.eval()
    assert (route(stack, x)[0].weights > 0).all()


# --- the table ----------------------------------------------------------------------------------------------------


def test_drops_are_those_of_the_tokens_themselves():
    T = balancing_runs.TEST_TOKENS
    selected = torch.tensor(np.random.default_rng(0).choice(N, size=(T, 1), p=[0.5] + [0.5 / 7] * 7))
    load = np.bincount(selected[:, 0], minlength=N) / T
    for factor in (0.5, 1.0, 1.25, 3.0):
        kept = within_capacity(selected, torch.ones(T, 1), math.ceil(factor * T / N), N)
        assert drop_rates(result([[load]]), factor)[0, 0] == pytest.approx(drop_rate(kept))


def test_nothing_is_dropped_at_balance_and_most_in_a_collapse():
    even, collapsed = np.full(N, 1 / N), np.eye(N)[0]
    assert drop_rates(result([[even, collapsed]]), 1.0).tolist() == [[0, 1 - 1 / N]]


def test_the_table_has_one_more_column_than_that_of_lesson_09():
    results = {("x", 0.0): result([[np.full(N, 1 / N)] * 3]), ("y", 0.0): result([[np.eye(N)[0]] * 3], "y")}
    ours, theirs = table(results).splitlines(), balancing_runs.table(results).splitlines()
    assert all(line.startswith(before) for line, before in zip(ours, theirs, strict=True))
    assert ours[0].endswith("% over 1.25")
    assert ours[1].endswith(" 0.0 ± 0.0")
    assert ours[2].endswith(f" {100 * (1 - 1.25 / N):.1f} ± 0.0")
    assert len({len(line) for line in ours}) == 1


@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan])
def test_bad_factors(factor):
    with pytest.raises(ValueError, match="factor"):
        drop_rates(result([[np.full(N, 1 / N)]]), factor)


# --- runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_a_run_does_not_feel_its_neighbours(name):
    coefficients = METHODS[name].coefficients
    together = run(name, (0, 1), 4, methods=METHODS)
    alone = run(name, (1,), 4, coefficients[-1:], methods=METHODS)[name, coefficients[-1]]
    both = together[name, coefficients[-1]]
    assert both.load[-1, 1] == pytest.approx(alone.load[-1, 0], abs=2e-3)
    assert both.error[-1, 1] == pytest.approx(alone.error[-1, 0], rel=1e-3)
    assert len(together) == len(coefficients)


def test_a_capacity_that_never_binds_changes_nothing():
    free = run("capacity", (0,), 5, (8.0,), methods=METHODS)["capacity", 8.0]
    none = run("none", (0,), 5)["none", 0.0]
    assert free.load == pytest.approx(none.load)
    assert free.error == pytest.approx(none.error)


def test_a_bias_that_never_moves_changes_nothing_and_one_that_does_evens_the_load():
    none = run("none", (0,), 30)["none", 0.0]
    biased = run("bias", (0,), 30, (0.0, 0.02), methods=METHODS)
    assert biased["bias", 0.0].load == pytest.approx(none.load, abs=2e-3)
    assert biased["bias", 0.02].max_violation[-1, 0] < none.max_violation[-1, 0] - 0.5
