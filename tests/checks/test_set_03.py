"""The sampler's statistics are sound, and a counterexample is right exactly when the two selections differ."""

from functools import cache
from itertools import permutations

import numpy as np
import pytest
from scipy.special import chdtri
from scipy.stats import poisson

from moe_lessons import routing
from moe_lessons.checks import check
from moe_lessons.checks.engine import Status
from moe_lessons.checks.set_03.q3_sampler import (
    DRAWS,
    FALSE_ALARM,
    SAMPLER,
    counted,
    fits,
    misfit,
    one_by_one,
    ordered,
    race,
    right_shares,
)


def cases_of(seed):
    return SAMPLER.draw(np.random.default_rng(seed))["cases"]


def shares_of(seed):
    return [right_shares(*case) for case in cases_of(seed)]


def statistics(shares, repeats, rng):
    """The summed statistic of a right sampler, many times over."""
    total = np.zeros(repeats)
    for p in shares:
        expected = DRAWS * p
        counts = rng.multinomial(DRAWS, p, size=repeats)
        total += ((counts - expected) ** 2 / np.maximum(expected, 1)).sum(axis=1)
    return total


def tail(shares, thresholds, step=0.01, cells=2**16):
    """The chance that Pearson's statistic is above each threshold, where counts are Poisson's: computed, not drawn.

    The number of draws is then free: one more degree of freedom a case. The cells are independent, so that their
    distributions multiply after a Fourier transform.
    """
    product = np.ones(cells // 2 + 1, dtype=complex)
    for expected in DRAWS * np.concatenate(shares):
        reach = 20 * np.sqrt(expected) + 20
        counts = np.arange(max(0, int(expected - reach)), expected + reach)
        places = np.rint((counts - expected) ** 2 / expected / step).astype(int)
        product *= np.fft.rfft(np.bincount(places, poisson.pmf(counts, expected), minlength=cells)[:cells])
    above = np.fft.irfft(product)[::-1].cumsum()[::-1]
    return [above[int(threshold / step)] for threshold in thresholds]


def test_shares_are_those_of_drawing_one_after_the_other():
    scores = np.log([0.5, 0.3, 0.2])
    assert ordered(3, 2).tolist() == [list(way) for way in permutations(range(3), 2)]
    pairs = [0.5 * 0.3 / 0.5, 0.5 * 0.2 / 0.5, 0.3 * 0.5 / 0.7, 0.3 * 0.2 / 0.7, 0.2 * 0.5 / 0.8, 0.2 * 0.3 / 0.8]
    assert one_by_one(scores, 2) == pytest.approx(pairs)
    assert one_by_one(scores, 1) == pytest.approx([0.5, 0.3, 0.2])
    assert one_by_one(scores, 3) == pytest.approx(pairs)  # who comes last is certain
    assert counted(np.array([[0, 1], [2, 0], [0, 1]]), 3).tolist() == [2, 0, 0, 0, 1, 0]


def test_the_statistic_has_the_tail_that_the_false_alarm_rate_assumes():
    rng = np.random.default_rng(0)
    seen = np.concatenate([statistics(shares_of(seed), 5_000, rng) for seed in range(10)])
    degrees = sum(len(p) - 1 for p in shares_of(0))
    for rate, room in ((1e-2, 0.3), (1e-3, 0.5)):
        assert (seen > chdtri(degrees, rate)).mean() == pytest.approx(rate, rel=room)
    assert seen.max() < chdtri(degrees, FALSE_ALARM)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_right_sampler_fails_less_than_once_in_a_million_checks(seed):
    shares = shares_of(seed)
    degrees = sum(map(len, shares))
    often, seldom = tail(shares, chdtri(degrees, [1e-3, FALSE_ALARM]))
    assert often == pytest.approx(1e-3, rel=0.15)  # as a chi-square
    assert FALSE_ALARM / 10 < seldom < 1e-8


def test_expected_counts_enter_the_statistic():
    assert misfit(np.array([60, 40]), np.array([0.5, 0.5])) == pytest.approx(4)
    assert misfit(np.array([100, 0]), np.array([1.0, 0.0])) == 0


@cache
def mistaken(seed):
    """The shares of each mistake, by its name."""
    return {m.name: [m.wrong(*case) for case in cases_of(seed)] for m in SAMPLER.mistakes}


@pytest.mark.parametrize("name", [mistake.name for mistake in SAMPLER.mistakes])
def test_each_mistake_fits_its_own_frequencies_alone(name):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        counts = [rng.multinomial(DRAWS, share / share.sum()) for share in mistaken(seed)[name]]
        assert [other for other, shares in mistaken(seed).items() if fits(counts, shares)] == [name]
        assert not fits(counts, shares_of(seed))


@pytest.mark.parametrize(
    ("law", "noise"),
    [
        ("norm", lambda rng, shape: rng.normal(size=shape)),
        ("gumbel_l", lambda rng, shape: -rng.gumbel(size=shape)),
        ("expon", lambda rng, shape: rng.exponential(size=shape)),
        ("uniform", lambda rng, shape: rng.uniform(size=shape)),
    ],
)
@pytest.mark.parametrize("k", [1, 2])
def test_a_computed_race_agrees_with_a_run_one(law, noise, k):
    positions = np.array([0.0, 0.7, 1.5, -0.4])
    drawn = np.argsort(-(positions + noise(np.random.default_rng(1), (200_000, 4))), axis=1)[:, :k]
    frequencies = counted(drawn, 4) / len(drawn)
    assert frequencies == pytest.approx(race(positions, law, k), abs=5e-3)
    assert frequencies != pytest.approx(one_by_one(positions, k), abs=5e-3)  # the broken control


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_verdict(seed):
    def unlucky(h, tau, k, n, rng):
        return np.argsort(-(h / (1.02 * tau) + rng.gumbel(size=(n, len(h)))), axis=1)[:, :k]

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
