"""The leak detector: what it finds in functions that are known, and which of the ways to choose may write text."""

import copy
from functools import partial

import numpy as np
import pytest
import torch

from moe_lessons.balancing import drop_weights, expert_capacity, within_capacity
from moe_lessons.causality import FUTURES, leak
from moe_lessons.layer import MoELayer
from moe_lessons.model import Config, LanguageModel
from moe_lessons.variants import VARIANTS, BigramHashRouter

every_future = pytest.mark.parametrize("future", FUTURES)
TOKENS, IDS = np.random.default_rng(0).normal(size=(9, 4)), np.arange(9) * 7 % 5


# functions that are known


@every_future
@pytest.mark.parametrize("x", [TOKENS, IDS[:, None] * 1.0, np.stack([IDS, IDS[::-1]]), TOKENS.reshape(3, 3, 4)])
def test_what_looks_back_leaks_nothing_and_what_looks_ahead_does(x, future):
    axis = x.ndim - (1 if x.dtype.kind == "i" else 2)
    assert not leak(lambda x: x.cumsum(axis) / 2, x, future).found
    found = leak(lambda x: np.flip(np.flip(x, axis).cumsum(axis), axis), x, future)
    assert found.found
    assert np.array_equal(found.moved[:-1], found.tries[:-1])  # every earlier output, on every try
    assert found.moved[-1] == found.tries[-1] == 0  # nothing comes after the last


def test_it_tells_which_positions_moved_how_often_and_how_far():
    def peek(x):
        y = np.zeros(len(x))
        y[2], y[5] = x[7], x[6]
        return y

    found = leak(peek, IDS, tries=24)  # eight positions, three times each
    assert np.flatnonzero(found.moved).tolist() == [2, 5]
    assert found.tries.tolist() == [24, 21, 18, 15, 12, 9, 6, 3, 0]
    assert found.moved[[2, 5]].tolist() == [15, 3]  # whatever follows 3, 4, … or 7; only where 6 changed, too
    assert str(found).startswith("leak: outputs moved at 2 (15 of 18 tries), 5 (3 of 9 tries), by up to ")
    assert "4 (4 of 4 tries) and 3 more, by" in str(leak(lambda x: x + x.sum(), TOKENS, tries=8))
    assert str(leak(np.cumsum, IDS, tries=8)) == "no leak: on 8 tries no earlier output moved"


def test_how_far_is_told_in_standard_deviations():
    def total(x):
        return x[..., 0] + 0 * x[..., 1] + (np.arange(len(x)) == 0) * x[-1, 1]

    x = np.stack([np.tile([1.0, -1.0], 4), np.zeros(8)], axis=1)  # (8, 2)
    far, near = leak(lambda x: 1000 * total(x), x), leak(total, x)
    np.testing.assert_allclose(far.by, near.by)
    assert near.by[0] > 0.1
    assert (near.by[1:] == 0).all()


def test_the_length_alone_can_leak():
    assert not leak(lambda x: x * len(x), TOKENS, "other").found
    assert leak(lambda x: x * len(x), TOKENS, "none").found


def test_rounding_is_no_leak_unless_the_tolerance_says_so():
    def shaky(x):
        return x + 1e-7 * x[-1]

    assert not leak(shaky, TOKENS).found
    assert leak(shaky, TOKENS, tolerance=1e-9).found


def test_tensors_stay_tensors_and_the_input_stays_as_it_is():
    x, seen = torch.randn(3, 5, 2, dtype=torch.bfloat16), []
    before = x.clone()
    leak(lambda x: seen.append(x.dtype) or x.float(), x)
    assert set(seen) == {torch.bfloat16}
    assert torch.equal(x, before)
    mine = IDS.copy()
    leak(lambda x: np.add(x, 1, out=x), mine)  # a function that writes into what it gets
    assert np.array_equal(mine, IDS)


def test_other_ids_are_known_ones_and_really_others():
    seen = []
    leak(lambda x: seen.append(x) or x, IDS)
    assert {int(i) for x in seen for i in x} <= set(IDS.tolist())
    for x in seen[2:]:
        cut = np.flatnonzero(x != IDS)[0]
        assert (x[cut:] != IDS[cut:]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: leak(abs, TOKENS, "past"), "future = 'past': expected one of 'other', 'none'"),
        (lambda: leak(abs, TOKENS[:1]), "two positions at least"),
        (lambda: leak(abs, TOKENS[:, 0]), "whole numbers"),
        (lambda: leak(abs, TOKENS > 0), "whole numbers"),
        (lambda: leak(abs, np.ones(5, dtype=int)), "at least two different ids"),
        (lambda: leak(abs, TOKENS, tries=0), "tries = 0"),
        (lambda: leak(abs, TOKENS, tolerance=0), "tolerance = 0"),
        (lambda: leak(lambda x: x[:3], TOKENS), r"function\(x\).shape = \(3, 4\): expected \(9,\) first"),
        (lambda: leak(lambda x: x * np.nan, TOKENS), r"function\(x\)\[0, 0\] = nan"),
        (lambda: leak(lambda x: np.random.default_rng().normal(size=9), TOKENS), "the same answer to the same input"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# capacity: who is dropped


def kept_weights(x, priority, k, length):
    """Return what is left of the weights (T, k) of tokens x (T, d) when experts have room for balance."""
    torch.manual_seed(0)
    decided = MoELayer(8, 8, 4, 2, gate="softmax_topk").double().router(torch.as_tensor(x))
    w, selected = decided.weights[:, :k].detach(), decided.selected[:, :k]
    C = expert_capacity(length or len(x), 4, k, 1)
    return drop_weights(w, within_capacity(selected, w, C, 4, priority))


@pytest.mark.parametrize(
    ("priority", "k", "other", "none"),
    [
        ("position", 1, False, False),
        ("position", 2, True, True),  # all first choices come before all second ones
        ("probability", 1, True, True),
    ],
)
def test_capacity_leaks_where_later_tokens_can_come_first(priority, k, other, none):
    x = np.random.default_rng(0).normal(size=(24, 8))
    given = partial(kept_weights, priority=priority, k=k, length=24)
    assert [leak(given, x, future).found for future in FUTURES] == [other, none]
    assert leak(partial(kept_weights, priority="position", k=1, length=None), x, "none").found  # C grows with the text


# which may write text


def answers(name, training):
    """Return a function from ids to the logits of a small model; each call finds the model as it was."""
    torch.manual_seed(0)
    config = Config(20, context=24, layers=2, d_model=16, heads=2, d_ff=16, num_experts=4, top_k=2, feed_forward=name)
    model = LanguageModel(config).double().train(training)
    return lambda ids: copy.deepcopy(model)(ids).detach()


# In training and in evaluation, with another future and with none: does anything earlier move?
WRITES = {
    "moe": "    ",
    "dense": "    ",
    "hash": "    ",
    "bigram": "    ",
    "two_layer": "    ",
    "hierarchical": "    ",
    "threshold": "    ",
    "expert_choice": "LLLL",
    "base": "LL  ",
    "sinkhorn": "LL  ",
    "soft": "LLLL",
}


@pytest.mark.parametrize("name", WRITES)
def test_which_models_may_write_text(name):
    ids = torch.randint(0, 20, (2, 24), generator=torch.Generator().manual_seed(0))
    found = [
        leak(answers(name, training), ids, future, tries=8, tolerance=1e-6)
        for training in (True, False)
        for future in FUTURES
    ]
    assert "".join("L" if leaks.found else " " for leaks in found) == WRITES[name]


def test_the_table_knows_every_way():
    assert set(WRITES) == {"moe", "dense", *VARIANTS}


def test_broken_control_a_hash_by_the_token_that_follows_leaks():
    router = BigramHashRouter(5, 16, 1)

    def by_the_next(ids):
        return router(ids.flip(-1)).selected.flip(-2)

    assert leak(by_the_next, torch.from_numpy(IDS)).found
    assert not leak(lambda ids: router(ids).selected, torch.from_numpy(IDS)).found
