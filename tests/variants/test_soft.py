"""Soft MoE: its two softmaxes against loops, its pools, and that every score gets a gradient."""

import pytest
import torch

from moe_lessons.variants import SoftMoELayer

T, D, N, P = 7, 8, 3, 2


def layer_of(**options):
    torch.manual_seed(0)
    return SoftMoELayer(D, 16, N, P, **options).double()


def tokens(*shape):
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def by_loops(layer, x, over_tokens=0, over_slots=1):
    """Compute one pool slot by slot, token by token. x: (T, d). Returns (T, d)."""
    h = x @ layer.router.W_g  # (T, N·p)
    dispatch, combine = h.softmax(dim=over_tokens), h.softmax(dim=over_slots)
    outputs = []
    for s in range(N * P):
        mixture = sum(dispatch[t, s] * x[t] for t in range(len(x)))  # (d,)
        outputs.append(layer.experts.one(s // P, mixture[None])[0])
    return torch.stack([sum(combine[t, s] * outputs[s] for s in range(N * P)) for t in range(len(x))])


@pytest.mark.parametrize("activation", ["relu", "swiglu"])
def test_slots_are_mixtures_of_tokens_and_outputs_mixtures_of_slots(activation):
    layer, x = layer_of(activation=activation), tokens(T)
    torch.testing.assert_close(layer(x), by_loops(layer, x))
    exchanged = by_loops(layer, x, over_tokens=1, over_slots=0)  # control: each softmax in the other's place
    assert (layer(x) - exchanged).abs().max() > 0.01


def test_each_sequence_is_a_pool_of_its_own():
    layer, x = layer_of(), tokens(4, T)
    torch.testing.assert_close(layer(x), torch.stack([by_loops(layer, part) for part in x]))
    assert (layer(x).reshape(-1, D) - layer(x.reshape(-1, D))).abs().max() > 0.01  # control: one pool of all tokens


def test_every_score_gets_a_gradient():
    layer = layer_of()
    layer(tokens(T)).square().sum().backward()
    assert (layer.router.W_g.grad.abs().amax(dim=0) > 0).all()  # (N·p,): no slot is left out
    assert all((W.grad != 0).any() for W in layer.experts.parameters())


def test_the_routing_tells_each_experts_share_in_a_token():
    layer, x = layer_of(), tokens(T)
    y, shares = layer(x, return_routing=True)
    torch.testing.assert_close(y, layer(x))
    by_slot = (x @ layer.router.W_g).softmax(dim=1).reshape(T, N, P).sum(dim=-1)  # (T, N)
    torch.testing.assert_close(torch.zeros(T, N).double().scatter(-1, shares.selected, shares.weights), by_slot)
    torch.testing.assert_close(shares.probs, by_slot)
    assert (shares.weights.diff(dim=-1) <= 0).all()  # best first


def test_numbers_of_16_bits_pass_through():
    layer = layer_of().bfloat16()
    y = layer(tokens(2, T).bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.double(), layer_of()(tokens(2, T)), rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SoftMoELayer(D, 16, N, 0), "slots = 0"),
        (lambda: SoftMoELayer(D, 16, 0, P), "num_experts = 0"),
        (lambda: layer_of()(tokens()), r"logits.shape = \(6,\)"),
        (lambda: layer_of()(tokens(T)[:, :3]), "a last axis of 8"),
        (lambda: layer_of()(tokens(T), routing=layer_of()(tokens(T), return_routing=True)[1]), "routing = "),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
