"""Layers side by side compute what each computes alone: outputs, selections and gradients."""

import pytest
import torch

from moe_lessons.experiments.side_by_side import SideBySide
from moe_lessons.layer import MoELayer

CASES = [(2, "topk_softmax", "relu"), (1, "softmax_topk", "gelu"), (3, "softmax_topk_renorm", "swiglu")]


def drawn(top_k, gate, activation, count=3):
    torch.manual_seed(0)
    return [MoELayer(8, 4, 5, top_k, gate, activation).double() for _ in range(count)]


@pytest.fixture(params=CASES, ids=lambda case: "-".join(map(str, case)))
def alone(request):
    return drawn(*request.param)


def run(together, x):
    routing = together.decide(together.logits(x))
    return together(x, routing), routing


def test_outputs_selections_and_gradients_are_those_of_the_layers_alone(alone):
    together, x = SideBySide(alone).double(), torch.randn(3, 20, 8, dtype=torch.float64)  # (R, T, d)
    slopes = torch.randn_like(x)
    y, routing = run(together, x)
    y.backward(slopes)
    for r, layer in enumerate(alone):
        expected, decided = layer(x[r], return_routing=True)
        expected.backward(slopes[r])
        torch.testing.assert_close(y[r], expected, rtol=1e-10, atol=1e-12)
        assert torch.equal(routing.selected[r], decided.selected)
        torch.testing.assert_close(together.W_g.grad[r], layer.router.W_g.grad, rtol=1e-10, atol=1e-12)
        for name in layer.experts.names:  # stacks (N, …): experts as small as these are kept so
            mine, its = getattr(together.experts, name), getattr(layer.experts, name)
            assert torch.equal(mine[5 * r : 5 * (r + 1)], its)
            torch.testing.assert_close(mine.grad[5 * r : 5 * (r + 1)], its.grad, rtol=1e-10, atol=1e-12)


def test_no_layer_hears_of_anothers_tokens(alone):
    together, x = SideBySide(alone).double(), torch.randn(3, 20, 8, dtype=torch.float64)  # (R, T, d)
    before, _ = run(together, x)
    x[1] = torch.randn_like(x[1])
    after, _ = run(together, x)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.equal(before[1], after[1])


def test_it_draws_nothing_from_the_callers_random_numbers():
    layers = drawn(*CASES[0])
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    SideBySide(layers)
    assert torch.equal(torch.rand(3), expected)
