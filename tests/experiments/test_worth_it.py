"""The comparison of lesson 06 is fair: equal counts, equal training, and errors that a second computation confirms."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_lessons.accounting import layer_counts
from moe_lessons.data import clustered_regression
from moe_lessons.experiments import worth_it
from moe_lessons.experiments.core import drawn
from moe_lessons.experiments.worth_it import (
    ConstantGates,
    Dense,
    contenders,
    dense_width,
    sparse,
    summary,
    together,
    train_and_test,
)

TASK = {"T": 600, "d": 6, "clusters": 3, "test_T": 200}
OWN = "own map in each cluster"


def small(top_k=2):
    return contenders(top_k, d_model=6, d_ff=5, num_experts=4)


quickly = partial(train_and_test, steps=4, **TASK)


# --- the layers ---------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.integers(2, 9))
def test_the_dense_layers_never_have_less_and_hardly_more(data, d, f, N):
    k = data.draw(st.integers(1, N))
    layers = {kind: make() for kind, make in contenders(k, d, f, N).items()}
    counts = layer_counts(d, f, N, k)
    assert worth_it.flops(layers["sparse"]) == counts.flops
    assert worth_it.parameters(layers["sparse"]) == counts.parameters
    one_more = 3 * d  # weights of one unit of width
    assert 0 <= worth_it.flops(layers["dense, equal FLOPs"]) - counts.flops < 2 * one_more
    assert 0 <= worth_it.parameters(layers["dense, equal total"]) - counts.parameters < one_more


def test_broken_control_a_dense_layer_without_the_routers_share_is_cheaper():
    assert worth_it.flops(Dense(32, 2 * 32)) < worth_it.flops(sparse(2))
    assert worth_it.flops(sparse(2)) < worth_it.flops(Dense(32, dense_width(32, 8, 2)))


def test_a_dense_layer_is_swiglu():
    torch.manual_seed(0)
    layer = Dense(5, 7)
    W1, W2, W3 = (weight.squeeze(0) for weight in layer.parameters())
    x = torch.randn(11, 5)
    assert W1.shape == (5, 7)
    torch.testing.assert_close(layer(x), (F.silu(x @ W1) * (x @ W3)) @ W2)


LAYERS = {**small(), "k = 1": small(1)["sparse"], "k = N": small(4)["sparse"],
          "form B": partial(sparse, 2, 6, 5, 4, "softmax_topk"),
          "constant gates": partial(ConstantGates, 6, 5, 4)}  # fmt: skip


def test_constant_gates_are_a_sparse_layer_with_all_experts_and_a_router_of_zeros():
    constant, layer, x = ConstantGates(6, 5, 4), sparse(4, 6, 5, 4), torch.randn(11, 6)
    layer.experts.load_state_dict(constant.experts.state_dict())
    with torch.no_grad():
        assert not torch.allclose(constant(x), layer(x))  # broken control: a router that was drawn
        layer.router.W_g.zero_()
    torch.testing.assert_close(constant(x), layer(x))
    assert worth_it.parameters(layer) - worth_it.parameters(constant) == 6 * 4


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_layers_together_compute_what_each_computes_alone(make):
    layers, x = [drawn(seed, make) for seed in (3, 4, 5)], torch.randn(3, 20, 6)
    expected = torch.stack([layer(tokens) for layer, tokens in zip(layers, x, strict=True)])
    torch.testing.assert_close(together(layers)(x), expected)
    assert not torch.allclose(together(layers[::-1])(x), expected)  # broken control


def test_the_router_of_a_single_expert_is_trained():
    """Gate form B, since forms A and B′ give a router with k = 1 no gradient."""
    torch.manual_seed(0)
    layer = sparse(1, 6, 5, 4)
    layer(torch.randn(20, 6)).square().sum().backward()
    grads = {name: weight.grad.abs().max() for name, weight in layer.named_parameters()}
    assert grads["router.W_g"] > 0


# --- errors -------------------------------------------------------------------------------------------------------


def test_the_error_is_a_share_of_the_variance():
    task = clustered_regression(**TASK)[1]
    x, y = (torch.tensor(a, dtype=torch.float32) for a in (task.x, task.y))
    assert worth_it.errors(lambda x: y[None], x[None], y[None]) == [0]
    torch.manual_seed(3)
    layer = Dense(6, 5)
    with torch.no_grad():
        expected = np.mean((layer(x).numpy() - task.y) ** 2) / task.y.var(axis=0).mean()
    assert worth_it.errors(layer, x, y[None]) == pytest.approx([expected], rel=1e-4)


@pytest.mark.parametrize("task", worth_it.TASKS.values(), ids=worth_it.TASKS)
def test_guessing_the_mean_vector_is_an_error_of_1_in_every_task(task):
    y = torch.tensor(clustered_regression(seed=0, **task)[1].y, dtype=torch.float32)
    guesses = y.mean(dim=0).expand_as(y)
    assert worth_it.errors(lambda x: guesses, y[None], y[None]) == pytest.approx([1], rel=1e-5)
    pooled = ((guesses - y) ** 2).mean() / y.var(correction=0)  # broken control: one mean for all coordinates
    assert pooled < 0.95


# --- training -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYERS)
def test_each_layer_learns_at_its_own_rate_as_it_would_alone(kind):
    train = partial(quickly, kind, LAYERS[kind], steps=20)
    several = train((1, 1, 2), learning_rate=(0.01, 0.04, 0.01))
    for run in several:
        (alone,) = train((run.seed,), learning_rate=run.learning_rate)
        assert run.error == pytest.approx(alone.error, rel=1e-3)
    assert len({round(run.error, 3) for run in several}) == 3  # broken control: they do differ


@pytest.mark.parametrize("kind", small())
def test_training_lowers_the_error_and_the_seed_decides_it(kind):
    make = small()[kind]
    short, long, again = (quickly(kind, make, (1, 2), steps=steps) for steps in (1, 150, 150))
    for before, after in zip(short, long, strict=True):
        assert after.error < 0.8 * before.error
        assert after.train_error < 0.8 * before.train_error
    assert long == again
    assert long[0].error != long[1].error
    assert long[0].kind == kind
    assert long[0].top_k == (2 if kind == "sparse" else 0)


def test_every_layer_sees_the_same_rows_in_the_same_order(monkeypatch):
    """Whatever numbers its weights took: two layers of other sizes, and what the first step is given."""
    seen = []

    def watched(model, batch, losses, steps, **options):
        seen.append([batch(step)[0] for step in range(steps)])

    monkeypatch.setattr(worth_it, "trained", watched)
    for kind, make in small().items():
        quickly(kind, make, (1, 2))
    assert all(torch.equal(a, b) for other in seen[1:] for a, b in zip(seen[0], other, strict=True))
    assert not torch.equal(seen[0][0], seen[0][1])  # broken control: steps differ
    assert not torch.equal(seen[0][0][0], seen[0][0][1])  # and so do the tasks of two seeds


def test_training_sees_only_the_training_part(monkeypatch):
    def other_way(**options):
        train, test = clustered_regression(**options)
        return train, type(test)(test.x, -test.y, test.cluster)

    (plain,) = quickly("sparse", small()["sparse"], (1,))
    monkeypatch.setattr(worth_it, "clustered_regression", other_way)
    (turned,) = quickly("sparse", small()["sparse"], (1,))
    assert plain.train_error == turned.train_error
    assert plain.error != turned.error


# --- results ------------------------------------------------------------------------------------------------------


def test_the_summary_shows_mean_and_spread():
    groups = [quickly(kind, make, (0, 1, 2)) for kind, make in small().items()]
    header, *lines = summary(groups).splitlines()
    assert header.split()[0] == "layer"
    assert len(lines) == 3
    errors = [run.error for run in groups[0]]
    assert f"{np.mean(errors):.3f} ± {np.std(errors, ddof=1):.3f}" in lines[0]
    assert f"{groups[0][0].parameters:,}" in lines[0]
    assert "± 0.000" in summary([groups[0][:1]])


def test_the_results_are_those_of_the_present_settings():
    content = worth_it.read_results()
    assert content["settings"] == {
        "lengths": list(worth_it.LENGTHS), "rates": list(worth_it.RATES),
        "choosing": list(worth_it.CHOOSING), "seeds": list(worth_it.SEEDS),
    }  # fmt: skip
    assert not set(worth_it.CHOOSING) & set(worth_it.SEEDS)
    results = worth_it.load_results()
    assert list(results) == [(task, steps) for task in worth_it.TASKS for steps in worth_it.LENGTHS]
    for (task, steps), groups in results.items():
        assert list(groups) == list(worth_it.arms(task))
        for label, (kind, make) in worth_it.arms(task).items():
            layer = make()
            counts = worth_it.parameters(layer), worth_it.flops(layer)
            for seed, run in zip(worth_it.SEEDS, groups[label], strict=True):
                assert (run.kind, run.seed, run.steps, run.parameters, run.flops) == (kind, seed, steps, *counts)


def test_the_rate_of_every_layer_is_the_one_that_did_best_on_the_choosing_seeds():
    for part in worth_it.read_results()["studies"]:
        assert part["runs"][0]["learning_rate"] == worth_it.RATES[int(np.argmin(part["tried"]))]


@pytest.mark.slow
@pytest.mark.parametrize("label", worth_it.arms("control 1: one map"))
def test_a_fresh_short_run_is_consistent_with_the_results(label):
    """Two seeds of one task again: on another machine rounding differs, and a choice of experts can go another way."""
    shipped = worth_it.load_results()[OWN, 400][label][:2]
    kind, make = worth_it.arms(OWN)[label]
    fresh = train_and_test(kind, make, worth_it.SEEDS[:2], steps=400, learning_rate=shipped[0].learning_rate)
    for mine, its in zip(fresh, shipped, strict=True):
        assert mine.error == pytest.approx(its.error, rel=0.15)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: dense_width(32, 8.0, 2), "num_experts = 8.0"),
        (lambda: dense_width(32, 8, 9), "experts = 9"),
        (lambda: dense_width(0, 8, 2), "d_ff = 0"),
        (lambda: contenders(9), "top_k = 9"),
        (lambda: train_and_test("sparse", sparse, ()), "seeds = ()"),
        (lambda: train_and_test("sparse", sparse, (0,), steps=0), "steps = 0"),
        (lambda: train_and_test("sparse", sparse, (0,), learning_rate=0.0), "learning_rate = 0.0"),
        (lambda: train_and_test("sparse", sparse, (0, 1), learning_rate=(0.1,)), "learning_rate = (0.1,)"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
