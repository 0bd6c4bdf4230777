"""The registry: every way fits the layer and the model, computes what the loop says, and learns."""

from dataclasses import replace

import pytest
import torch

from moe_lessons.layer import MoELayer, per_token
from moe_lessons.model import FEED_FORWARDS, Config, LanguageModel, next_token_loss
from moe_lessons.variants import VARIANTS
from moe_lessons.variants.padded import padded

SMALL = Config(vocabulary=20, context=12, layers=2, d_model=8, heads=2, d_ff=16, num_experts=4, top_k=2)
LAYERS = [name for name, variant in VARIANTS.items() if variant.layer]
every_layer = pytest.mark.parametrize("name", LAYERS)
every_way = pytest.mark.parametrize("name", VARIANTS)


def layer_of(name, **options):
    torch.manual_seed(0)
    return VARIANTS[name].layer(8, 16, 4, 2, activation="relu", **options)


def model_of(name, seed=0):
    torch.manual_seed(seed)
    return LanguageModel(replace(SMALL, feed_forward=name))


def some_ids(B=3, L=12):
    return torch.randint(0, 20, (B, L), generator=torch.Generator().manual_seed(1))


def test_every_way_is_a_layer_or_a_hash_and_says_in_one_line_what_it_does():
    assert all((variant.layer is None) != (variant.by_ids is None) for variant in VARIANTS.values())
    assert all(0 < len(variant.says) < 80 and "\n" not in variant.says for variant in VARIANTS.values())
    assert set(VARIANTS) & set(FEED_FORWARDS) == {"hash"}


@every_layer
@pytest.mark.parametrize("training", [True, False])
def test_a_layer_computes_what_the_loop_says_of_its_decision(name, training):
    layer, x = layer_of(name).train(training), torch.randn(2, 12, 8)
    y, decided = layer(x, return_routing=True)
    assert isinstance(layer, MoELayer)
    assert decided.logits.shape == (2, 12, 4)
    assert decided.selected.shape == decided.weights.shape
    if name == "soft":  # its experts read no single token
        return
    by_loop = per_token(layer.experts, x.reshape(24, 8), decided.selected.flatten(0, 1), decided.weights.flatten(0, 1))
    torch.testing.assert_close(y.reshape(24, 8), by_loop)


@every_layer
@pytest.mark.parametrize("shape", [(0, 8), (2, 0, 8), (0, 5, 8), (1, 8)])
def test_no_tokens_at_all_and_a_single_one_pass_through(name, shape):
    y, decided = layer_of(name)(torch.randn(shape), return_routing=True)
    assert y.shape == shape
    assert decided.selected.shape[:-1] == shape[:-1]


@every_layer
def test_the_router_learns_from_the_task(name):
    layer = layer_of(name)
    layer(torch.randn(2, 12, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 1e-5 for p in layer.router.parameters())


@every_way
def test_a_model_has_it_in_every_layer_and_learns(name):
    model, ids = model_of(name), some_ids()
    logits, decisions = model(ids[:, :-1], return_routing=True)
    assert logits.shape == (3, 11, 20)
    assert len(decisions) == 2
    steps = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(15):
        steps.zero_grad()
        losses.append(next_token_loss(model(ids[:, :-1]), ids))
        losses[-1].backward()
        steps.step()
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in LAYERS])
def test_a_hash_decides_for_all_layers_and_their_own_routers_are_not_asked(name):
    model, ids = model_of(name), some_ids()
    _, decisions = model(ids, return_routing=True)
    assert all(torch.equal(decided.selected, model.hash(ids).selected) for decided in decisions)
    assert not any(p.requires_grad for block in model.blocks for p in block.feed_forward.router.parameters())


# different numbers of experts a token


def test_tokens_with_fewer_experts_are_filled_up_with_weight_0():
    weights = torch.tensor([[0.5, 0.1, 0.9], [0.3, 0.2, 0.1], [0.2, 0.7, 0.4]])
    chosen = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])
    decided = padded(weights, weights, chosen)
    assert decided.selected[0].tolist() == [2, 0]
    assert decided.selected[1, 0] == 1
    torch.testing.assert_close(decided.weights, torch.tensor([[0.9, 0.5], [0.2, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("T", [0, 3])
def test_without_any_choice_there_is_still_one_place(T):
    decided = padded(torch.ones(T, 4), torch.ones(T, 4), torch.zeros(T, 4, dtype=torch.bool))
    assert decided.selected.shape == (T, 1)
    assert (decided.weights == 0).all()
