"""Tokens that choose together: equal loads, the best sum, the right margins, and a pool for each sequence."""

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_lessons import metrics
from moe_lessons.layer import Router, Routing
from moe_lessons.losses import stable_top_k
from moe_lessons.variants import BaseRouter, ExpertChoiceRouter, SinkhornRouter
from moe_lessons.variants.pooled import balanced_assignment, sinkhorn

POOLED = (ExpertChoiceRouter, BaseRouter, SinkhornRouter)
sizes = {"T": st.integers(1, 9), "N": st.integers(1, 6), "seed": st.integers(0, 99)}


def logits_of(*shape, seed=0, lean=0.0):
    """Return logits (..., T, N); `lean` makes the first experts the favourites of all."""
    h = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return h + lean * torch.arange(shape[-1], 0, -1)


def loads(decided, N):
    """Return how many tokens each expert has, (N,): weights of 0 fill up and do not count."""
    return torch.bincount(decided.selected[decided.weights > 0], minlength=N)


# expert choice


def test_every_expert_takes_the_largest_of_its_column():
    h = logits_of(12, 4, lean=1.0)
    decided, S = ExpertChoiceRouter(8, 4, 2).decide(h), torch.softmax(h, dim=-1)
    dense = torch.zeros(12, 4, dtype=h.dtype).scatter(-1, decided.selected, decided.weights)  # (T, N)
    for i in range(4):
        best = sorted(range(12), key=lambda t: -float(S[t, i]))[:6]  # C = 2 · 12 / 4
        assert sorted(dense[:, i].nonzero()[:, 0].tolist()) == sorted(best)
        assert torch.equal(dense[best, i], S[best, i])
    per_token = (dense > 0).sum(dim=1)
    assert per_token.float().mean() == 2
    assert len(per_token.unique()) > 1  # some tokens have more experts than others
    assert loads(Router(8, 4, 2).decide(h), 4).tolist() != [6, 6, 6, 6]  # control: token choice is not balanced


@given(**sizes, k=st.integers(1, 6))
@settings(max_examples=40)
def test_expert_choice_is_always_balanced(T, N, seed, k):
    decided = ExpertChoiceRouter(4, N, min(k, N)).decide(logits_of(T, N, seed=seed, lean=1.0))
    assert loads(decided, N).tolist() == [min(T, -(-min(k, N) * T // N))] * N


def test_of_equal_tokens_the_earlier_is_taken():
    decided = ExpertChoiceRouter(4, 2, 1).decide(torch.zeros(6, 2))
    assert (decided.weights > 0).any(dim=1).tolist() == [True] * 3 + [False] * 3


# BASE


def test_the_assignment_is_the_best_of_all_balanced_ones():
    for seed in range(5):
        h = logits_of(6, 3, seed=seed, lean=0.5)
        found = balanced_assignment(h)[:, 0]
        best = max(h[range(6), list(a)].sum() for a in set(permutations([0, 0, 1, 1, 2, 2])))
        torch.testing.assert_close(h[range(6), found].sum(), best)
        assert torch.bincount(found, minlength=3).tolist() == [2, 2, 2]
        greedy = h.argmax(dim=1)  # control: each for itself gets more, and the experts are not balanced
        assert h[range(6), greedy].sum() > best
        assert torch.bincount(greedy, minlength=3).tolist() != [2, 2, 2]


@given(**sizes, k=st.integers(1, 4))
@settings(max_examples=40)
def test_every_round_of_the_assignment_has_equal_loads_and_no_expert_comes_twice(T, N, seed, k):
    k = min(k, N // 2 + 1)
    chosen = balanced_assignment(logits_of(T, N, seed=seed, lean=2.0) - 20, k)
    assert chosen.shape == (T, k)
    assert all(torch.bincount(chosen[:, j], minlength=N).max() <= -(-T // N) for j in range(k))
    assert all(len(set(row)) == k for row in chosen.tolist())


def test_base_assigns_in_training_and_lets_each_choose_later():
    router, h = BaseRouter(8, 4, 1), logits_of(12, 4, lean=1.0)
    trained, later = router.train().decide(h), router.eval().decide(h)
    assert loads(trained, 4).tolist() == [3, 3, 3, 3]
    assert torch.equal(later.selected, h.argmax(dim=-1, keepdim=True))
    assert loads(later, 4).max() > 3
    for decided in (trained, later):
        torch.testing.assert_close(decided.weights, torch.sigmoid(h.gather(-1, decided.selected)))


# Sinkhorn


@pytest.mark.parametrize(("T", "N"), [(12, 4), (5, 8), (1, 3), (7, 1)])
def test_every_token_and_every_expert_gets_its_share(T, N):
    h = logits_of(T, N, lean=1.0)
    P = sinkhorn(h, tolerance=1e-9)
    torch.testing.assert_close(P.sum(dim=1), torch.ones(T, dtype=h.dtype))
    torch.testing.assert_close(P.sum(dim=0), torch.full((N,), T / N, dtype=h.dtype), rtol=1e-8, atol=0)
    ratio = P.log() - h  # ln a_t + ln b_i: the only change is a factor for each row and column
    torch.testing.assert_close(ratio - ratio[:1] - ratio[:, :1] + ratio[0, 0], torch.zeros_like(h), rtol=0, atol=1e-9)


def test_broken_control_a_softmax_gives_the_experts_no_share():
    assert (logits_of(12, 4, lean=1.0).softmax(dim=-1).sum(dim=0) - 3).abs().max() > 1


def test_large_logits_stay_numbers():
    P = sinkhorn(100 * logits_of(12, 4).float())
    torch.testing.assert_close(P.sum(dim=1), torch.ones(12))
    assert sinkhorn(torch.zeros(2, 0, 4)).shape == (2, 0, 4)


@pytest.mark.parametrize(("k", "score"), [(1, torch.sigmoid), (2, lambda h: torch.softmax(h, dim=-1))])
def test_sinkhorn_selects_by_the_plan_in_training_and_weighs_by_the_logits(k, score):
    router, h = SinkhornRouter(8, 4, k), logits_of(200, 4, lean=1.0)
    trained, later = router.train().decide(h), router.eval().decide(h)
    assert torch.equal(trained.selected, stable_top_k(sinkhorn(h), k))
    assert torch.equal(later.selected, stable_top_k(h, k))
    for decided in (trained, later):
        torch.testing.assert_close(decided.weights, score(h).gather(-1, decided.selected))
    off, off_alone = (metrics.max_violation(loads(decided, 4).numpy()) for decided in (trained, later))
    assert off < 0.25 < 0.8 < off_alone


# the pool


@pytest.mark.parametrize("make", POOLED)
def test_each_sequence_is_a_pool_of_its_own(make):
    router, h = make(8, 4, 2), logits_of(3, 12, 4, lean=1.0)
    together = dense(router.decide(h))  # (3, 12, 4)
    alone = torch.stack([dense(router.decide(part)) for part in h])
    torch.testing.assert_close(together, alone)
    in_one = dense(router.decide(h.reshape(36, 4))).reshape(3, 12, 4)  # control: one pool of all tokens
    assert not torch.allclose(together, in_one)


def dense(decided: Routing):
    """Return the weights of all experts, (..., N)."""
    return torch.zeros_like(decided.logits).scatter(-1, decided.selected, decided.weights)


@pytest.mark.parametrize("make", POOLED)
def test_a_single_token_has_nobody_to_choose_with(make):
    with pytest.raises(ValueError, match=r"logits.shape = \(4,\): expected \(..., T, N\)"):
        make(8, 4, 2)(torch.randn(8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BaseRouter(8, 4, 4), "top_k = 4: expected a whole number from 1 to 3"),
        (lambda: ExpertChoiceRouter(8, 4, 5), "top_k = 5"),
        (lambda: sinkhorn(torch.zeros(3, 2), tolerance=0), "tolerance = 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
