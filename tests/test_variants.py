"""The hash router: fixed, spread, deaf to everything but the id."""

import pytest
import torch

from moe_lessons.variants import HashRouter


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
