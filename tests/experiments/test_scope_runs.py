"""The scopes of lesson 10b: parts of a batch are what their names say, and runs share nothing."""

import numpy as np
import pytest
import torch

from moe_lessons.data import clustered_regression
from moe_lessons.experiments import scope_runs
from moe_lessons.experiments.scope_runs import (
    CLUSTERS,
    FURTHER,
    LENGTH,
    SCOPES,
    TEXTS,
    Scope,
    balance,
    run,
    table,
    texts_of,
)
from moe_lessons.losses import load_balancing_loss

N, B = scope_runs.N, TEXTS * LENGTH


def task(seed):
    return clustered_regression(500, scope_runs.D, CLUSTERS, test_T=50, seed=seed)[0]


def routed(runs, seed=0):
    h = torch.randn(runs, B, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return h, h.argmax(dim=-1, keepdim=True)


def test_a_text_is_of_one_cluster_and_the_same_clusters_come_in_every_run():
    parts = [task(0), task(1)]
    x, y = texts_of(parts)(3)
    assert x.shape == y.shape == (2, B, scope_runs.D)
    cluster_of = [{tuple(np.float32(row)): c for row, c in zip(part.x, part.cluster, strict=True)} for part in parts]
    clusters = np.array(
        [[find[tuple(token)] for token in tokens] for find, tokens in zip(cluster_of, x.numpy(), strict=True)]
    )
    texts = clusters.reshape(2, TEXTS, LENGTH)
    assert (texts == texts[:, :, :1]).all()
    assert (texts[0] == texts[1]).all()
    assert len(np.unique(texts)) > 5
    again = texts_of(parts)(3)[0]
    assert torch.equal(x, again)
    assert not torch.equal(x, texts_of(parts)(4)[0])


def test_where_each_cluster_comes_once_it_does_and_the_other_runs_are_as_before():
    parts = [task(0), task(0)]
    x, y = texts_of(parts, [False, True])(3)
    assert torch.equal(x[:1], texts_of(parts[:1])(3)[0])
    cluster_of = {tuple(np.float32(row)): c for row, c in zip(parts[1].x, parts[1].cluster, strict=True)}
    texts = np.array([cluster_of[tuple(token)] for token in x[1].numpy()]).reshape(TEXTS, LENGTH)
    assert (texts == texts[:, :1]).all()
    assert sorted(texts[:, 0]) == list(range(CLUSTERS))
    assert y.shape == x.shape


def by_hand(h, rows):
    return float(np.mean([load_balancing_loss(h[part], 1) for part in rows]))


@pytest.mark.parametrize(
    ("scope", "rows"),
    [
        (Scope("all", TEXTS, 1.0), [range(B)]),
        (Scope("four", 4, 1.0), [range(i, i + 4 * LENGTH) for i in range(0, B, 4 * LENGTH)]),
        (Scope("one", 1, 1.0), [range(i, i + LENGTH) for i in range(0, B, LENGTH)]),
        (Scope("mixed", 1, 1.0, True), [range(i, B, LENGTH) for i in range(LENGTH)]),
    ],
)
def test_the_parts_are_those_of_the_scope(scope, rows):
    h, selected = routed(2)
    expected = [by_hand(one, [list(part) for part in rows]) for one in h]
    assert balance(h, selected, [scope]).tolist() == pytest.approx(expected)


def test_each_block_of_runs_has_the_scope_and_the_coefficient_of_its_own():
    h, selected = routed(6)
    scopes = [SCOPES["none"], SCOPES["batch"], Scope("x", 1, 0.3)]
    together = balance(h, selected, scopes)
    assert together[:2].tolist() == [0, 0]
    apart = [balance(h[i : i + 2], selected[i : i + 2], [scope]) for i, scope in zip((0, 2, 4), scopes, strict=True)]
    torch.testing.assert_close(together, torch.cat(apart))


def test_a_run_does_not_feel_its_neighbours():
    both = run((0, 1), 4, {"batch": SCOPES["batch"], "text": SCOPES["text"]})["text"]
    alone = run((1,), 4, {"text": SCOPES["text"]})["text"]
    assert both.error[1] == pytest.approx(alone.error[0], rel=1e-3)
    assert both.bits[1] == pytest.approx(alone.bits[0], abs=0.05)


def test_results_lie_where_they_can():
    results = run((0,), 2)
    assert list(results) == list(SCOPES)
    for result in results.values():
        assert 0 < result.error[0] < 2
        assert 0 <= result.bits[0] <= 3
        assert 0 <= result.max_violation[0] <= N - 1
        assert result.max_violation[0] <= result.within[0] + 1e-9 <= N
    assert len(table(results).splitlines()) == 1 + len(SCOPES)


@pytest.mark.parametrize("steps", [0, -1, 1.5])
def test_bad_steps(steps):
    with pytest.raises(ValueError, match="steps"):
        run((0,), steps)


@pytest.mark.slow
def test_the_shipped_results_agree_with_a_short_fresh_run():
    fresh, held = run(range(20, 23), 300), scope_runs.load_results(300)
    assert [*fresh, *FURTHER] == list(held)
    for name, result in fresh.items():
        gap = abs(held[name].error.mean() - result.error.mean())
        assert gap < 3 * held[name].error.std(ddof=1) * (1 / 3 + 1 / len(scope_runs.SEEDS)) ** 0.5 + 0.01
    assert fresh["text"].error.min() > held["batch"].error.max()  # the control: the wrong scope would be noticed


@pytest.mark.parametrize("steps", scope_runs.LENGTHS)
def test_the_shipped_results_hold_a_number_for_each_seed(steps):
    held = scope_runs.load_results(steps)
    assert list(held) == [*SCOPES, *FURTHER]
    for result in held.values():
        assert {len(getattr(result, measure)) for measure in scope_runs.MEASURES} == {len(scope_runs.SEEDS)}
