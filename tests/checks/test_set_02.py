"""What question 2.4 promises of its routers holds: eight tokens show every fault, and a good router has none."""

import numpy as np
import pytest

from moe_lessons.checks.set_02.q4_test import CROWD, CROWDS, GOOD, KINDS, PAIRS, PLACES, HiddenRouter, hidden_cases

SEEDS = range(30)


def moved(entry, x):
    """The largest change of a probability against what the same token gets alone."""
    route = HiddenRouter(entry).argument
    alone = np.concatenate([route(x[t : t + 1]) for t in range(len(x))])
    return np.abs(route(x) - alone).max()


def moved_of(kinds, T=8):
    """What moves in T random tokens of every drawn router of these kinds."""
    drawn = [case for seed in SEEDS for case in hidden_cases(np.random.default_rng(seed)) if case[1][0] in kinds]
    rng = np.random.default_rng(0)
    return np.array([moved(entry, rng.normal(size=(T, d))) for d, entry in drawn])


def test_a_good_router_moves_by_rounding_only():
    assert moved_of(GOOD).max() < 1e-6


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - GOOD.keys()))
def test_eight_tokens_show_each_fault(kind):
    assert moved_of([kind]).min() > 0.001


def test_in_a_small_crowd_some_faults_hide():
    hidden = {kind for kind in KINDS.keys() - GOOD.keys() if moved_of([kind], CROWD).max() < 1e-6}
    assert hidden == CROWDS.keys() | set(list(PLACES)[CROWD:])


@pytest.mark.parametrize("place", range(8))
def test_no_row_may_be_left_out(place):
    for seed in SEEDS:
        passed = []
        for d, entry in hidden_cases(np.random.default_rng(seed)):
            route, x = HiddenRouter(entry).argument, np.random.default_rng(seed).normal(size=(8, d))
            others = [t for t in range(8) if t != place]
            passed.append(np.allclose(route(x)[others], [route(x[t : t + 1])[0] for t in others]))
        assert sum(passed) > len(GOOD)


def test_halves_of_a_batch_keep_pairs_together():
    for seed in SEEDS:
        for d, entry in hidden_cases(np.random.default_rng(seed)):
            route, x = HiddenRouter(entry).argument, np.random.default_rng(seed).normal(size=(8, d))
            halves = np.concatenate([route(x[:4]), route(x[4:])])
            assert np.allclose(route(x), halves) == (entry[0] in GOOD | PAIRS)


def test_every_fault_is_drawn_each_time():
    for seed in SEEDS:
        assert {entry[0] for _, entry in hidden_cases(np.random.default_rng(seed))} == set(KINDS)
