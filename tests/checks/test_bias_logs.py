"""The logs of exercise 10.5 come from the rule of `balancing.BiasBalancer`, and their null from counting."""

import numpy as np
import pytest
import torch

from moe_lessons.balancing import BiasBalancer, expert_capacity
from moe_lessons.checks import bias_logs
from moe_lessons.checks.bias_logs import (
    EXPERTS,
    LATE,
    LAYERS,
    STEPS,
    K,
    Setting,
    dice_violation,
    dropped,
    outcome,
    simulate,
)

SHARED = Setting(T=64, u=1e-2, factor=1.5, pooled=True, opposite=True)
OWN = Setting(T=64, u=1e-2, factor=1.5, opposite=True)


@pytest.mark.parametrize("setting", [SHARED, OWN], ids=["pooled", "per layer"])
def test_the_loads_are_those_of_the_package_s_balancer(setting):
    loads, scores = simulate(setting), torch.tensor(bias_logs._scores(setting.T, setting.opposite))
    balancers = [BiasBalancer(EXPERTS, setting.u).double() for _ in range(LAYERS)]
    for step in range(100):
        chosen = [b.select(s.double(), K) for b, s in zip(balancers, scores[step], strict=True)]
        load = torch.stack([torch.bincount(c.flatten(), minlength=EXPERTS) for c in chosen])  # (layers, N)
        assert load.tolist() == loads[step].tolist()
        for layer, balancer in enumerate(balancers):
            balancer.update(load.sum(dim=0) if setting.pooled else load[layer])
    assert simulate(SHARED).tolist() != simulate(OWN).tolist()  # the broken control: the scope matters


def test_opposite_leanings_cancel_when_pooled_and_only_then():
    still = Setting(T=512, u=0.0, factor=1.5, opposite=True)
    mean = simulate(still).mean(axis=0)  # (layers, N)
    assert np.corrcoef(mean)[0, 1] < -0.8
    alike = simulate(Setting(T=512, u=0.0, factor=1.5)).mean(axis=0)
    assert abs(np.corrcoef(alike)[0, 1]) < 0.8


def test_every_token_asks_for_k_experts_at_every_step():
    loads = simulate(OWN)
    assert loads.shape == (STEPS, LAYERS, EXPERTS)
    assert (loads.sum(axis=-1) == OWN.T * K).all()


def test_dice_are_as_uneven_as_counting_says():
    rng = np.random.default_rng(5)
    found = []
    for _ in range(300):
        counts = np.zeros(EXPERTS)
        for _ in range(64):
            counts[rng.choice(EXPERTS, K, replace=False)] += 1
        found.append(counts.max() / counts.mean() - 1)
    assert dice_violation(64) == pytest.approx(np.mean(found), abs=0.04)
    assert dice_violation(512) < 0.6 * dice_violation(64)


def test_what_is_dropped_is_what_lies_above_the_capacity():
    setting = Setting(T=16, u=0.0, factor=1.25)
    C = expert_capacity(16, EXPERTS, K, 1.25)
    load = np.array([10, 6] + [1] * 13 + [3])
    assert dropped(load, setting) == pytest.approx(((10 - C) + (6 - C)) / 32)


def test_the_outcome_is_the_mean_of_the_last_steps():
    loads = simulate(OWN)[-LATE:]
    found = outcome(OWN)
    by_hand = [np.mean([load.max() / load.mean() - 1 for load in loads[:, layer]]) for layer in range(LAYERS)]
    np.testing.assert_allclose(found.violation, by_hand)
    assert found.dropped == pytest.approx(dropped(loads, OWN).mean())
    assert found.dice == dice_violation(64)


def test_a_log_has_a_line_for_each_stretch():
    lines = bias_logs.written_log("Z", OWN).splitlines()
    assert lines[0] == f"run Z: 64 tokens per step, 16 experts, k = 2; MaxVio of dice {dice_violation(64):.2f}"
    assert len(lines) == 3 + len(bias_logs.LOGGED)
    first = simulate(OWN)[:20]
    violation = (first.max(axis=-1) / first.mean(axis=-1) - 1).mean(axis=0)
    assert [float(x) for x in lines[2].split()[3:5]] == pytest.approx(violation, abs=0.006)


def test_the_last_stretch_of_a_log_is_what_is_judged():
    line, judged = bias_logs.written_log("Z", OWN).splitlines()[-2].split(), outcome(OWN)
    assert line[:3] == [str(STEPS - LATE), "-", str(STEPS - 1)]
    assert [float(x) for x in line[3:5]] == pytest.approx(judged.violation, abs=0.006)
    assert float(line[-1].strip("%")) / 100 == pytest.approx(judged.dropped, abs=0.0006)
