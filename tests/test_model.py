"""The small language model: causal, of the promised size, with its dense twin, its hash, and experts switched off."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from moe_lessons.layer import MoELayer
from moe_lessons.model import (
    FEED_FORWARDS,
    Attention,
    Config,
    LanguageModel,
    dense_twin,
    next_token_loss,
    without_expert,
)

SMALL = Config(vocabulary=20, context=12, layers=2, d_model=8, heads=2, d_ff=16, num_experts=4, top_k=2)
every_kind = pytest.mark.parametrize("kind", FEED_FORWARDS)


def model_of(seed=0, **changes):
    torch.manual_seed(seed)
    return LanguageModel(replace(SMALL, **changes))


def some_ids(B=3, L=12):
    return torch.randint(0, 20, (B, L), generator=torch.Generator().manual_seed(1))


@every_kind
def test_shapes_and_routing(kind):
    model, ids = model_of(feed_forward=kind), some_ids()
    logits, decisions = model(ids, return_routing=True)
    assert logits.shape == (3, 12, 20)
    assert torch.equal(logits, model(ids))
    assert len(decisions) == 2
    for decided in decisions:
        assert decided is None if kind == "dense" else decided.selected.shape == (3, 12, 2)


@every_kind
def test_no_token_sees_the_future(kind):
    model, ids = model_of(feed_forward=kind), some_ids()
    changed = ids.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 20
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert (before[:, 7] - after[:, 7]).abs().max() > 1e-4


def test_attention_is_what_the_formula_says():
    torch.manual_seed(0)
    attention, x = Attention(SMALL), torch.randn(2, 5, 8)
    q, k, v = (part.unflatten(-1, (2, 4)) for part in (x @ attention.qkv.weight.T).chunk(3, dim=-1))  # (B, L, heads, 4)
    scores = torch.einsum("bihc,bjhc->bhij", q, k) / 4**0.5
    scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    mixed = torch.einsum("bhij,bjhc->bihc", scores.softmax(-1), v).flatten(2)
    torch.testing.assert_close(attention(x), mixed @ attention.out.weight.T)


@every_kind
@pytest.mark.parametrize("activation", ["relu", "swiglu"])
def test_the_layers_have_the_sizes_of_the_configuration(kind, activation):
    model = model_of(feed_forward=kind, activation=activation)
    matrices = 3 if activation == "swiglu" else 2
    layer = sum(p.numel() for p in model.blocks[0].feed_forward.parameters())
    assert layer == (matrices * 8 * 32 if kind == "dense" else matrices * 8 * 16 * 4 + 8 * 4)


def test_the_dense_twin_does_the_same_work_per_token():
    from torch.utils.flop_counter import FlopCounterMode

    def flops(config):
        torch.manual_seed(0)
        layer = LanguageModel(config).blocks[0].feed_forward.double()  # torch does not count grouped products
        with FlopCounterMode(display=False) as counter:
            layer(torch.randn(64, 8).double())
        return counter.get_total_flops()

    router = 2 * 64 * 8 * 4
    assert flops(replace(SMALL)) - router == flops(dense_twin(SMALL))


def test_the_hash_ignores_everything_but_the_token():
    model, ids = model_of(feed_forward="hash"), some_ids()
    _, decisions = model(ids, return_routing=True)
    assert torch.equal(decisions[0].selected, decisions[1].selected)
    assert torch.equal(decisions[0].selected, model.hash(ids).selected)
    assert all(not p.requires_grad for p in model.blocks[0].feed_forward.router.parameters())


def test_the_loss_is_the_mean_cross_entropy_of_the_next_token():
    ids = some_ids()
    logits = torch.randn(3, 11, 20)
    by_hand = -sum(logits[b, t].log_softmax(-1)[ids[b, t + 1]] for b in range(3) for t in range(11)) / 33
    torch.testing.assert_close(next_token_loss(logits, ids), by_hand)
    wrong = F.cross_entropy(logits.flatten(0, 1), ids[:, :-1].flatten())  # control: the token itself as the target
    assert (wrong - by_hand).abs() > 1e-3


def test_an_expert_that_is_off_adds_nothing_in_its_layer_alone():
    model, ids = model_of(), some_ids()
    full, decisions = model(ids, return_routing=True)
    with without_expert(model, 1, 2):
        off, closed = model(ids, return_routing=True)
    assert (closed[1].weights[closed[1].selected == 2] == 0).all()
    torch.testing.assert_close(closed[0].weights, decisions[0].weights)
    untouched = ~(decisions[1].selected == 2).any(dim=-1)  # (B, L): it is the last layer
    assert 0 < untouched.sum() < untouched.numel()
    torch.testing.assert_close(full[untouched], off[untouched])
    assert (full[~untouched] - off[~untouched]).abs().amax(dim=-1).min() > 1e-6
    assert torch.equal(model(ids), full)  # and afterwards it is on again


def test_an_expert_comes_back_after_an_error():
    model, ids = model_of(), some_ids()
    full = model(ids)
    with pytest.raises(ZeroDivisionError), without_expert(model, 0, 0):
        raise ZeroDivisionError
    assert torch.equal(model(ids), full)


def test_another_layer_can_be_built_in():
    model = LanguageModel(SMALL, make_layer=lambda c: MoELayer(c.d_model, c.d_ff, 3, 1, gate="softmax_topk"))
    assert model(some_ids(), return_routing=True)[1][0].selected.shape == (3, 12, 1)


def test_the_same_seed_gives_the_same_model():
    assert torch.equal(model_of(3)(some_ids()), model_of(3)(some_ids()))
    assert not torch.equal(model_of(3)(some_ids()), model_of(4)(some_ids()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": 0}, "vocabulary = 0"),
        ({"heads": 3}, "heads = 3: expected a divisor of d_model = 8"),
        ({"layers": 1.5}, "layers = 1.5"),
        ({"feed_forward": "sparse"}, "feed_forward = 'sparse': expected one of 'moe'"),
        ({"top_k": 5}, "top_k = 5"),
    ],
)
def test_sizes_that_make_no_model(changes, message):
    with pytest.raises(ValueError, match=message):
        model_of(**changes)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.zeros(2, 13, dtype=torch.int64), "at most context = 12"),
        (torch.zeros(2, 0, dtype=torch.int64), "at most context = 12"),
        (torch.full((2, 3), 20), "ids from 0 to 19"),
        (torch.full((2, 3), -1), "ids from 0 to 19"),
        (torch.zeros(2, 3), "whole numbers"),
        (torch.zeros(3, dtype=torch.int64), "whole numbers"),
        ("text", "whole numbers"),
    ],
)
def test_ids_that_are_none(ids, message):
    with pytest.raises(ValueError, match=message):
        model_of()(ids)


@pytest.mark.parametrize(("layer", "expert", "message"), [(2, 0, "layer = 2"), (0, 4, "expert = 4")])
def test_an_expert_that_is_not_there(layer, expert, message):
    with pytest.raises(ValueError, match=message), without_expert(model_of(), layer, expert):
        pass


@pytest.mark.parametrize("feed_forward", ["hash", "dense"])
def test_no_expert_is_off_where_no_router_is_asked(feed_forward):
    model = model_of(feed_forward=feed_forward)
    with pytest.raises(ValueError, match="expected 'moe'"), without_expert(model, 0, 0):
        pass


@pytest.mark.parametrize(
    ("shape", "ids", "message"),
    [
        ((2, 3, 20), torch.zeros(3, 3).long(), r"logits.shape = \(2, 3, 20\)"),  # B and L exchanged
        ((2, 3, 20), torch.zeros(2, 3).long(), r"logits.shape = \(2, 3, 20\)"),
        ((6, 20), torch.zeros(2, 4).long(), r"logits.shape = \(6, 20\)"),
        ((2, 3, 20), torch.full((2, 4), -100), r"ids = \[-100, -100\]: expected ids from 0 to 19"),
        ((2, 3, 20), torch.full((2, 4), 20), "ids = "),
    ],
)
def test_a_loss_of_other_tokens_is_refused(shape, ids, message):
    with pytest.raises(ValueError, match=message):
        next_token_loss(torch.zeros(shape), ids)
