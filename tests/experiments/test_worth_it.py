"""The comparison of lesson 06 is fair: equal counts, equal training, and errors that a second computation confirms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_lessons.accounting import layer_counts
from moe_lessons.data import clustered_regression
from moe_lessons.experiments import worth_it
from moe_lessons.experiments.worth_it import Dense, contenders, dense_width, sparse, summary, train_and_test

TASK = clustered_regression(600, 6, 3, test_T=200)


def small(top_k=2):
    return contenders(top_k, d_model=6, d_ff=5, num_experts=4)


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.sampled_from([2, 4, 6]))
def test_the_contenders_are_equal_in_what_their_names_say(data, d, f, N):
    k = data.draw(st.integers(1, N))
    layers = {kind: make() for kind, make in contenders(k, d, f, N).items()}
    counts = layer_counts(d, f, N, k, matrices=2)
    assert worth_it.flops(layers["sparse"]) == worth_it.flops(layers["dense, equal FLOPs"]) == counts.flops
    assert worth_it.parameters(layers["sparse"]) == worth_it.parameters(layers["dense, equal total"])
    assert worth_it.parameters(layers["sparse"]) == counts.parameters


def test_broken_control_a_dense_layer_without_the_routers_share_is_cheaper():
    assert (
        worth_it.flops(Dense(32, 2 * 32))
        < worth_it.flops(sparse(2))
        == worth_it.flops(Dense(32, dense_width(32, 8, 2)))
    )


def test_a_dense_layer_is_two_products_and_a_relu():
    torch.manual_seed(0)
    layer = Dense(5, 7)
    W1, W2 = (weight.squeeze(0) for weight in layer.parameters())
    x = torch.randn(11, 5)
    assert W1.shape == (5, 7)
    torch.testing.assert_close(layer(x), torch.clamp(x @ W1, min=0) @ W2)


def test_the_error_is_a_share_of_the_variance():
    task = TASK[1]
    x, y = (torch.tensor(a, dtype=torch.float32) for a in (task.x, task.y))
    assert worth_it.error(lambda x: y, x, y) == 0
    torch.manual_seed(3)
    layer = Dense(6, 5)
    W1, W2 = (weight.detach().squeeze(0).numpy() for weight in layer.parameters())
    expected = np.mean((np.maximum(task.x @ W1, 0) @ W2 - task.y) ** 2) / task.y.var(axis=0).mean()
    assert worth_it.error(layer, x, y) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("task", [{}, {"own_maps": False}, {"clusters": 1}])
def test_guessing_the_mean_vector_is_an_error_of_1_in_every_task(task):
    y = torch.tensor(clustered_regression(seed=0, **task)[1].y, dtype=torch.float32)
    guesses = y.mean(dim=0).expand_as(y)
    assert worth_it.error(lambda x: guesses, y, y) == pytest.approx(1, rel=1e-5)
    pooled = ((guesses - y) ** 2).mean() / y.var(correction=0)  # broken control: one mean for all coordinates
    assert pooled < 0.95


class Witness(Dense):
    """A dense layer that keeps the tokens it saw in training, and draws some random numbers before it starts."""

    def __init__(self, d_ff):
        torch.rand(d_ff)
        super().__init__(6, d_ff)
        self.seen = []

    def forward(self, x):
        if torch.is_grad_enabled():
            self.seen.append(x)
        return super().forward(x)


def seen(d_ff, seed):
    layers = []
    train_and_test("sparse", lambda: layers.append(Witness(d_ff)) or layers[0], TASK, seed, steps=4, batch=9)
    return torch.stack(layers[0].seen)  # (steps, batch, d)


def test_layers_of_one_seed_see_the_same_batches():
    assert seen(5, seed=1).shape == (4, 9, 6)
    assert torch.equal(seen(5, seed=1), seen(11, seed=1))
    assert not torch.equal(seen(5, seed=1), seen(5, seed=2))  # broken control


@pytest.mark.parametrize("kind", ["sparse", "dense, equal FLOPs", "dense, equal total"])
def test_training_lowers_the_error_and_the_seed_decides_it(kind):
    make = small()[kind]
    short, long, again = (train_and_test(kind, make, TASK, 1, steps=steps, batch=64) for steps in (1, 150, 150))
    assert long.error < 0.8 * short.error
    assert long.train_error < 0.8 * short.train_error
    assert replace(long, seconds=0) == replace(again, seconds=0)
    assert train_and_test(kind, make, TASK, 2, steps=150, batch=64).error != long.error
    assert long.kind == kind
    assert long.top_k == (2 if kind == "sparse" else 0)
    assert long.seconds >= 0


def test_training_sees_only_the_training_part():
    train, test = TASK
    other = replace(test, y=-test.y)
    runs = [train_and_test("sparse", small()["sparse"], (train, t), steps=30, batch=64) for t in (test, other)]
    assert runs[0].train_error == runs[1].train_error
    assert runs[0].error != runs[1].error


def test_the_router_of_a_single_expert_is_trained():
    """Gate form B, since forms A and B′ give a router with k = 1 no gradient."""
    torch.manual_seed(0)
    layer = sparse(1, 6, 5, 4)
    layer(torch.randn(20, 6)).square().sum().backward()
    grads = {name: weight.grad.abs().max() for name, weight in layer.named_parameters()}
    assert grads["router.W_g"] > 0


def test_the_summary_shows_mean_and_spread():
    runs = [train_and_test(kind, make, TASK, seed, steps=3, batch=8)
            for kind, make in small().items() for seed in range(3)]  # fmt: skip
    header, *lines = summary(runs).splitlines()
    assert header.split()[0] == "layer"
    assert len(lines) == 3
    errors = [run.error for run in runs[:3]]
    assert f"{np.mean(errors):.3f} ± {np.std(errors, ddof=1):.3f}" in lines[0]
    assert f"{runs[0].parameters:,}" in lines[0]
    assert "± 0.000" in summary(runs[:1])


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: dense_width(4, 3, 2), "num_experts = 3"),
        (lambda: dense_width(32, 8.0, 2), "num_experts = 8.0"),
        (lambda: dense_width(32, 8, 9), "experts = 9"),
        (lambda: dense_width(0, 8, 2), "d_ff = 0"),
        (lambda: contenders(9), "top_k = 9"),
        (lambda: train_and_test("sparse", sparse, TASK, steps=0), "steps = 0"),
        (lambda: train_and_test("sparse", sparse, TASK, batch=0), "batch = 0"),
        (lambda: train_and_test("sparse", sparse, TASK, learning_rate=0.0), "learning_rate = 0.0"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
