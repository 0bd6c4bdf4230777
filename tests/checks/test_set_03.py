"""The sampler's statistics are sound, and a counterexample is right exactly when the two selections differ."""

import numpy as np
import pytest
from scipy.special import chdtri

from moe_lessons import routing
from moe_lessons.checks import check
from moe_lessons.checks.engine import Status
from moe_lessons.checks.set_03.q3_sampler import DRAWS, FALSE_ALARM, SAMPLER, fits, misfit, race


def cases_of(seed):
    return SAMPLER.draw(np.random.default_rng(seed))["cases"]


def statistics(cases, repeats, rng):
    """The summed statistic of a right sampler, many times over."""
    total = np.zeros(repeats)
    for h, tau in cases:
        p = routing.softmax(h, tau)
        counts = rng.multinomial(DRAWS, p, size=repeats)
        expected = DRAWS * p
        total += ((counts - expected) ** 2 / np.maximum(expected, 1)).sum(axis=1)
    return total


def test_the_statistic_has_the_tail_that_the_false_alarm_rate_assumes():
    rng = np.random.default_rng(0)
    seen = np.concatenate([statistics(cases_of(seed), 20_000, rng) for seed in range(10)])
    degrees = sum(len(h) - 1 for h, _ in cases_of(0))
    for rate in (1e-2, 1e-3):
        assert (seen > chdtri(degrees, rate)).mean() == pytest.approx(rate, rel=0.3)
    assert seen.max() < chdtri(degrees, FALSE_ALARM)
    assert FALSE_ALARM <= 1e-6


def test_expected_counts_enter_the_statistic():
    assert misfit(np.array([60, 40]), np.array([0.5, 0.5])) == pytest.approx(4)
    assert misfit(np.array([100, 0]), np.array([1.0, 0.0])) == 0


@pytest.mark.parametrize("mistake", SAMPLER.mistakes, ids=lambda mistake: mistake.name)
def test_each_mistake_fits_its_own_frequencies_alone(mistake):
    for seed in range(5):
        cases, rng = cases_of(seed), np.random.default_rng(seed)
        counts = [rng.multinomial(DRAWS, mistake.wrong(*case)) for case in cases]
        assert [other.name for other in SAMPLER.mistakes if fits(counts, cases, other.wrong)] == [mistake.name]
        assert not fits(counts, cases, routing.softmax)


@pytest.mark.parametrize(
    ("law", "noise"),
    [
        ("norm", lambda rng, shape: rng.normal(size=shape)),
        ("gumbel_l", lambda rng, shape: -rng.gumbel(size=shape)),
        ("expon", lambda rng, shape: rng.exponential(size=shape)),
        ("uniform", lambda rng, shape: rng.uniform(size=shape)),
    ],
)
def test_a_computed_race_agrees_with_a_run_one(law, noise):
    positions = np.array([0.0, 0.7, 1.5, -0.4])
    wins = (positions + noise(np.random.default_rng(1), (200_000, 4))).argmax(axis=1)
    frequencies = np.bincount(wins, minlength=4) / len(wins)
    assert frequencies == pytest.approx(race(positions, law), abs=5e-3)
    assert frequencies != pytest.approx(routing.softmax(positions), abs=5e-3)  # the broken control


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_verdict(seed):
    unlucky = lambda h, tau, n, rng: rng.choice(len(h), size=n, p=routing.softmax(h, 1.01 * tau))  # noqa: E731
    assert check("3.3", unlucky, seed=seed).message == check("3.3", unlucky, seed=seed).message


def test_a_counterexample_is_right_exactly_when_the_selections_differ():
    rng, found = np.random.default_rng(0), set()
    for _ in range(150):
        h, tau = rng.normal(size=rng.integers(3, 7)).astype(np.float32), float(10 ** rng.uniform(-3, 9))
        differs = set(routing.top_k(h, 2)[1]) != set(routing.top_k(routing.softmax(h, tau), 2)[1])
        result = check("3.5", {"logits": h, "tau": tau})
        assert (result.status == Status.CORRECT) == differs, result.message
        found.add(differs)
    assert found == {True, False}
