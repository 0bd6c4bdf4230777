"""The worked example and the planted kinds keep the numbers of the lessons; the clustered tasks are as planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from moe_lessons import routing
from moe_lessons.data import (
    EXPERT_NAMES,
    clustered_regression,
    gaussian_domains,
    planted_router,
    token_kinds,
    worked_example,
    worked_experts,
)

LOGITS = {  # as the docstring of `planted_router` lists them
    kind: [float(number) for number in numbers]
    for kind, *numbers in (line.split() for line in planted_router.__doc__.splitlines()[4:9])
}


def test_worked_example_numbers():
    x, W_g = worked_example()
    trace = routing.route(x, W_g, 2)
    np.testing.assert_allclose(trace.logits, [-0.18, 0.30, 0.52, -0.26], atol=1e-12)
    np.testing.assert_allclose(np.exp(trace.logits).sum(), 4.6382, atol=5e-5)
    np.testing.assert_allclose(trace.probs, [0.1801, 0.2910, 0.3626, 0.1662], atol=5e-5)
    np.testing.assert_allclose(trace.weights[trace.selected], [0.5548, 0.4452], atol=5e-5)


def test_experts_keep_the_width_and_differ():
    x, _ = worked_example()
    outputs = np.array([expert(x) for expert in worked_experts()])
    assert outputs.shape == (4, 3)
    assert len({tuple(y) for y in outputs.tolist()}) == 4


def test_each_call_returns_fresh_arrays():
    worked_example()[0][0] = 99
    assert worked_example()[0][0] == 1.0


def test_the_five_kinds_and_experts():
    assert list(token_kinds()) == list(LOGITS) == ["code", "maths", "language", "logic", "factual"]
    assert EXPERT_NAMES == ("Code", "Math", "Language", "Logic", "Factual")


@pytest.mark.parametrize("kind", LOGITS)
def test_the_planted_router_gives_the_logits_it_promises(kind):
    h = routing.router_logits(token_kinds()[kind].x, planted_router())
    np.testing.assert_allclose(h, LOGITS[kind], rtol=0, atol=1e-12)
    assert h.argmax() == list(LOGITS).index(kind)
    assert np.diff(np.sort(h)).min() > 0.05  # no tie that rounding could decide


def test_the_planted_router_is_no_table_of_answers():
    W_g = planted_router()
    assert W_g.shape == (6, 5)
    assert np.linalg.matrix_rank(W_g) == 5
    assert (W_g == 0).sum() <= 1
    for i, kind in enumerate(token_kinds().values()):
        other = planted_router()
        other[:, i] = 0
        assert routing.route(kind.x, other, 1).selected[0] != i


def test_top_2_of_the_code_token():
    trace = routing.route(token_kinds()["code"].x, planted_router(), 2)
    assert trace.selected.tolist() == [0, 3]
    np.testing.assert_allclose(trace.weights, [0.8808, 0, 0, 0.1192, 0], atol=5e-5)


def test_every_token_stands_in_its_text_once():
    for kind in token_kinds().values():
        assert kind.text.count(kind.token) == 1
        assert kind.x.shape == (6,)


def test_the_kinds_are_fresh_in_each_call():
    token_kinds()["code"].x[0] = 99
    assert token_kinds()["code"].x[0] == -2.1


def fitted_map(task, rows):
    """The matrix of a tanh-linear map, from its tokens and targets; exact when there is one map and enough tokens."""
    return np.linalg.lstsq(task.x[rows], np.arctanh(task.y[rows]), rcond=None)[0]


def is_one_map(task, rows, tolerance=1e-6):
    return np.abs(np.tanh(task.x[rows] @ fitted_map(task, rows)) - task.y[rows]).max() < tolerance


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(2, 12), st.integers(1, 6), st.booleans(), st.integers(0, 2**32))
def test_the_task_has_the_shapes_and_the_lengths_it_promises(T, d, clusters, own_maps, seed):
    for task, tokens in zip(
        clustered_regression(T, d, clusters, own_maps=own_maps, test_T=7, seed=seed), (T, 7), strict=True
    ):
        assert task.x.shape == task.y.shape == (tokens, d)
        assert task.cluster.shape == (tokens,)
        assert set(task.cluster.tolist()) <= set(range(clusters))
        np.testing.assert_allclose((task.x**2).mean(axis=1), 1, rtol=1e-12)
        assert np.abs(task.y).max() <= 1


def test_train_and_test_have_no_token_in_common_but_the_same_clusters_and_maps():
    train, test = clustered_regression(2000, 8, 4, test_T=2000)
    together = np.concatenate([train.x, test.x])
    assert len(np.unique(together, axis=0)) == 4000
    for c in range(4):
        here, there = train.cluster == c, test.cluster == c
        np.testing.assert_allclose(train.x[here].mean(axis=0), test.x[there].mean(axis=0), atol=0.2)
        np.testing.assert_allclose(fitted_map(train, here), fitted_map(test, there), atol=1e-5)


def test_each_cluster_has_a_map_of_its_own():
    train, _ = clustered_regression(2000, 8, 4)
    assert all(is_one_map(train, train.cluster == c) for c in range(4))
    assert not is_one_map(train, slice(None))
    assert not is_one_map(train, train.cluster < 2)


@pytest.mark.parametrize("settings", [{"clusters": 4, "own_maps": False}, {"clusters": 1}])
def test_the_controls_have_one_map(settings):
    assert is_one_map(clustered_regression(2000, 8, **settings)[0], slice(None))


def test_the_clusters_are_planted_and_the_control_keeps_them():
    train, test = clustered_regression(4000, 32, 16)
    means = np.stack([train.x[train.cluster == c].mean(axis=0) for c in range(16)])  # (C, d)
    nearest = ((test.x[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)  # (T,)
    assert np.mean(nearest == test.cluster) > 0.99
    control, _ = clustered_regression(4000, 32, 16, own_maps=False)
    assert np.abs(control.x - train.x).max() < 1e-12
    assert np.abs(control.y - train.y).max() > 0.1


def test_with_a_power_the_clusters_come_as_often_as_their_rank_says():
    for part in clustered_regression(20000, 4, 5, test_T=20000, power=1.0):
        wanted = 1 / np.arange(1, 6)
        assert np.bincount(part.cluster) / 20000 == pytest.approx(wanted / wanted.sum(), abs=0.015)
    even = clustered_regression(20000, 4, 5)[0]
    assert np.bincount(even.cluster) / 20000 == pytest.approx(np.full(5, 0.2), abs=0.015)
    with pytest.raises(ValueError, match="power"):
        clustered_regression(power=-1)


def test_the_seed_decides_the_task_and_the_number_of_tokens_does_not():
    first, again = clustered_regression(500, 6, 3, seed=1), clustered_regression(500, 6, 3, seed=1)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)
    longer, other = clustered_regression(900, 6, 3, seed=1)[0], clustered_regression(500, 6, 3, seed=2)[0]
    A = fitted_map(first[0], first[0].cluster == 0)
    np.testing.assert_allclose(A, fitted_map(longer, longer.cluster == 0), atol=1e-4)
    assert np.abs(A - fitted_map(other, other.cluster == 0)).max() > 0.1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"T": 0}, "T = 0"),
        ({"d": 1}, "d = 1"),
        ({"clusters": 0}, "clusters = 0"),
        ({"test_T": 2.5}, "test_T = 2.5"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": "q"}, "seed = 'q'"),
        ({"seed": None}, "seed = None"),
    ],
)
def test_a_task_of_no_size_is_refused(settings, named):
    with pytest.raises(ValueError, match="expected a whole number") as error:
        clustered_regression(**settings)
    assert str(error.value).startswith(named)


def distances(means):
    """The distances between all pairs of means, the slow way."""
    return [np.linalg.norm(a - b) for i, a in enumerate(means) for b in means[:i]]


@settings(max_examples=40)
@given(
    st.integers(1, 50),
    st.integers(2, 12),
    st.integers(2, 7),
    st.floats(0.1, 9),
    st.sampled_from(["equal", "unequal"]),
    st.integers(0, 2**32),
)
def test_the_domains_have_the_shapes_and_the_means_they_promise(T, d, domains, separation, norms, seed):
    parts = gaussian_domains(T, d, domains, separation=separation, norms=norms, test_T=9, seed=seed)
    for task, tokens in zip(parts, (T, 9), strict=True):
        assert task.x.shape == (tokens, d)
        assert task.domain.shape == (tokens,)
        assert set(task.domain.tolist()) <= set(range(domains))
        assert task.means.shape == (domains, d)
    means = parts[0].means
    np.testing.assert_array_equal(means, parts[1].means)
    np.testing.assert_allclose(min(distances(means)), separation, rtol=1e-6)
    lengths = np.linalg.norm(means, axis=1)
    np.testing.assert_allclose(lengths[::2], lengths[0])
    np.testing.assert_allclose(lengths[1::2], lengths[0] * (1 if norms == "equal" else 1 + np.sqrt(2)))


def test_the_means_are_orthogonal_where_they_fit():
    means = gaussian_domains(1, 16, 4, separation=3.0)[0].means
    np.testing.assert_allclose(means @ means.T, 4.5 * np.eye(4), atol=1e-9)
    np.testing.assert_allclose(distances(means), 3.0)
    flat = gaussian_domains(1, 2, 4)[0].means
    assert np.ptp(np.sort(distances(flat))[:4]) < 1e-9  # a square


@pytest.mark.parametrize("norms", ["equal", "unequal"])
def test_the_tokens_lie_around_their_mean_with_the_promised_spread(norms):
    task, _ = gaussian_domains(40_000, 6, 4, noise_std=0.7, norms=norms)
    noise = task.x - task.means[task.domain]
    np.testing.assert_allclose(noise.std(axis=0), 0.7, rtol=0.02)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(noise.T), 0.49 * np.eye(6), atol=0.02)
    np.testing.assert_allclose(np.bincount(task.domain) / 40_000, 0.25, atol=0.01)


@pytest.mark.parametrize("norms", ["equal", "unequal"])
def test_the_best_guess_is_the_domain_of_the_highest_density(norms):
    task, _ = gaussian_domains(500, 5, 4, separation=1.0, noise_std=0.8, norms=norms)
    density = [multivariate_normal(mean, 0.64 * np.eye(5)).logpdf(task.x) for mean in task.means]  # (D, T)
    np.testing.assert_array_equal(task.best_guess(task.x), np.argmax(density, axis=0))


@pytest.mark.parametrize("norms", ["equal", "unequal"])
@pytest.mark.parametrize("domains", [2, 3, 4])
def test_the_best_rule_reaches_its_accuracy_on_the_test_part(domains, norms):
    _, test = gaussian_domains(1, 8, domains, separation=2.0, norms=norms, test_T=50_000)
    best, error = test.bayes_accuracy()
    assert (error == 0) == (domains == 2)
    reached = np.mean(test.best_guess(test.x) == test.domain)
    assert abs(reached - best) < 4 * np.hypot(error, np.sqrt(best * (1 - best) / 50_000))
    assert np.mean(test.best_guess(test.x + 0.5 * test.means[0]) == test.domain) < best - 0.01  # another rule is worse


def test_the_exact_accuracy_of_two_domains():
    task, _ = gaussian_domains(1, 3, 2, separation=2.0, noise_std=1.0)
    assert task.bayes_accuracy() == (pytest.approx(0.8413447, abs=1e-6), 0)
    assert gaussian_domains(1, 3, 2, separation=2.0, noise_std=0.5)[0].bayes_accuracy()[0] > 0.97


def test_the_sampled_accuracy_is_repeatable_and_its_error_shrinks():
    task, _ = gaussian_domains(1, 8, 4, separation=2.0)
    assert task.bayes_accuracy() == task.bayes_accuracy()
    assert task.bayes_accuracy(1000)[1] == pytest.approx(14 * task.bayes_accuracy(200_000)[1], rel=0.1)
    assert abs(task.bayes_accuracy(seed=1)[0] - task.bayes_accuracy(seed=2)[0]) < 0.006


@pytest.mark.parametrize(("norms", "enough"), [("equal", True), ("unequal", False)])
def test_without_a_bias_the_best_rule_is_reached_for_equal_norms_alone(norms, enough):
    _, test = gaussian_domains(1, 8, 4, norms=norms, test_T=20_000)
    without = (test.x @ test.means.T).argmax(axis=1)
    assert np.array_equal(without, test.best_guess(test.x)) == enough
    assert (np.mean(without == test.domain) > 0.9) == enough


def test_a_pair_of_unequal_means_shares_its_direction():
    means = gaussian_domains(1, 8, 6, norms="unequal")[0].means
    directions = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(directions[::2], directions[1::2])
    np.testing.assert_allclose(directions[::2] @ directions[::2].T, np.eye(3), atol=1e-9)


def test_train_and_test_tokens_of_the_domains_are_independent_and_the_seed_decides():
    train, test = gaussian_domains(3000, 4, 4, test_T=3000)
    again = gaussian_domains(3000, 4, 4, test_T=10)[0]
    np.testing.assert_array_equal(train.x, again.x)
    assert len(np.unique(np.concatenate([train.x, test.x]), axis=0)) == 6000
    residuals = [(part.x - part.means[part.domain]).ravel() for part in (train, test)]
    assert abs(np.corrcoef(*residuals)[0, 1]) < 0.04
    other = gaussian_domains(10, 4, 4, seed=1)[0]
    assert np.abs(other.means - train.means).max() > 0.1
    np.testing.assert_array_equal(gaussian_domains(10, 4, 4, noise_std=3.0)[0].means, train.means)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"T": 0}, "T = 0"),
        ({"test_T": 1.5}, "test_T = 1.5"),
        ({"d": 1}, "d = 1"),
        ({"domains": 1}, "domains = 1"),
        ({"separation": 0}, "separation = 0"),
        ({"noise_std": -1.0}, "noise_std = -1.0"),
        ({"noise_std": float("nan")}, "noise_std = nan"),
        ({"norms": "different"}, "norms = 'different'"),
        ({"seed": None}, "seed = None"),
    ],
)
def test_domains_that_make_no_sense_are_refused(settings, named):
    with pytest.raises(ValueError, match="expected") as error:
        gaussian_domains(**settings)
    assert str(error.value).startswith(named)


def test_a_switch_that_is_a_word_is_refused():
    with pytest.raises(ValueError, match="own_maps = 'no': expected True or False"):
        clustered_regression(own_maps="no")


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="draws = 1: expected"):
        gaussian_domains(1, 4, 3)[0].bayes_accuracy(1)
