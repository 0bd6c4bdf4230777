"""The worked example and the planted kinds keep the numbers that the lessons tell; the clustered task is as planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_lessons import routing
from moe_lessons.data import (
    EXPERT_NAMES,
    clustered_regression,
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


@settings(max_examples=25, deadline=None)
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
    [({"T": 0}, "T = 0"), ({"d": 1}, "d = 1"), ({"clusters": 0}, "clusters = 0"), ({"test_T": 2.5}, "test_T = 2.5")],
)
def test_a_task_of_no_size_is_refused(settings, named):
    with pytest.raises(ValueError, match="expected a whole number") as error:
        clustered_regression(**settings)
    assert str(error.value).startswith(named)
