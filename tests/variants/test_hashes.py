"""The hash routers: fixed, spread, deaf to everything but the id, or the pair of ids."""

import pytest
import torch

from moe_lessons.variants import BigramHashRouter, HashRouter


def test_an_id_always_goes_to_the_same_experts():
    router = HashRouter(50, 8, 2)
    ids = torch.randint(0, 50, (4, 30))
    decided = router(ids)
    assert decided.selected.shape == decided.weights.shape == (4, 30, 2)
    assert torch.equal(decided.selected, router(ids).selected)
    for i in range(50):
        assert len({tuple(pair) for pair in decided.selected[ids == i].tolist()}) <= 1
    assert (decided.weights == 0.5).all()
    assert (decided.selected[..., 0] != decided.selected[..., 1]).all()


def test_ids_are_spread_over_the_experts_and_the_seed_decides():
    counts = torch.bincount(HashRouter(8000, 8, 1)(torch.arange(8000)).selected.flatten(), minlength=8)
    assert counts.min() > 880  # 1000 expected, sd 30
    assert counts.max() < 1120
    ids = torch.arange(100)
    assert not torch.equal(HashRouter(100, 8, 2, seed=1)(ids).selected, HashRouter(100, 8, 2, seed=2)(ids).selected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HashRouter(10, 8, 9), "top_k = 9"),
        (lambda: HashRouter(0, 8, 2), "vocabulary = 0"),
        (lambda: HashRouter(10, 8, 2, seed=-1), "seed = -1"),
        (lambda: HashRouter(10, 8, 2)(torch.zeros(3)), "token ids"),
        (lambda: HashRouter(10, 8, 2)(torch.ones(10, dtype=torch.bool)), "token ids"),  # it would pick rows as a mask
        (lambda: HashRouter(10, 8, 2)(torch.tensor([3, -1])), "ids = .*from 0 to 9"),  # it would be the last id
        (lambda: HashRouter(10, 8, 2)(torch.tensor([10])), "ids = .*from 0 to 9"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# pairs of neighbours


def test_a_pair_always_goes_to_the_same_experts():
    router, ids = BigramHashRouter(6, 8, 2), torch.randint(0, 6, (40, 30), generator=torch.Generator().manual_seed(0))
    decided = router(ids)
    assert decided.selected.shape == decided.weights.shape == (40, 30, 2)
    pair = ids[:, :-1] * 6 + ids[:, 1:]  # (40, 29)
    chosen = {i: {tuple(row) for row in decided.selected[:, 1:][pair == i].tolist()} for i in range(36)}
    assert all(len(experts) == 1 for experts in chosen.values())
    assert len(set.union(*chosen.values())) > 18  # of 56 ordered pairs of experts: they are not all alike


def test_with_each_predecessor_a_token_goes_elsewhere_and_the_hash_by_token_does_not():
    V, N = 400, 8
    every = torch.stack([torch.arange(V), torch.full((V,), 7)], dim=1)  # (V, 2): each id before id 7
    counts = torch.bincount(BigramHashRouter(V, N, 1)(every).selected[:, 1, 0], minlength=N)
    assert counts.min() > 25  # 50 expected, sd 6.6
    assert counts.max() < 75
    assert len(HashRouter(V, N, 1)(every).selected[:, 1, 0].unique()) == 1  # control


def test_the_first_token_has_a_predecessor_of_its_own_kind():
    router = BigramHashRouter(5, 64, 1)
    first = router(torch.tensor([3])).selected
    assert all(not torch.equal(router(torch.tensor([i, 3])).selected[1:], first) for i in range(5))


def test_the_seed_decides_on_pairs():
    one, again, other = (BigramHashRouter(50, 8, 2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one(torch.arange(50)).selected, again(torch.arange(50)).selected)
    assert not torch.equal(one.table, other.table)
    assert not torch.equal(one.before, other.before)
    assert not torch.equal(one.before[:-1], one.table)


def test_a_pair_needs_an_order():
    with pytest.raises(ValueError, match=r"ids.shape = \(\)"):
        BigramHashRouter(5, 4, 1)(torch.tensor(3))
    with pytest.raises(ValueError, match="ids from 0 to 4"):
        BigramHashRouter(5, 4, 1)(torch.tensor([5]))  # the row of "nothing before" is no id
