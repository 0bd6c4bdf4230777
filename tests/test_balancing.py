"""`balancing` against queues simulated token by token, exact expectations, properties, and broken copies."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_lessons.balancing import (
    BiasBalancer,
    drop_rate,
    drop_weights,
    expert_capacity,
    places_in_queue,
    quantile_bias,
    random_second_expert,
    sign_step,
    tanh_step,
    uniform_drop_rate,
    within_capacity,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw_routing(T, N, k, seed=0, skew=1.0, decimals=None):
    """A skewed router's selected experts and weights (T, k), best first."""
    h = torch.randn(T, N, generator=generator(seed)) + skew * torch.linspace(1, -1, N)
    weights, selected = h.softmax(-1).topk(k, dim=-1)
    return selected, weights if decimals is None else weights.round(decimals=decimals)  # rounded: ties happen


def queue_by_hand(selected, weights, C, N, priority, wanted=None):
    """Let the assignments come one after the other; each takes a place while there is one."""
    T, k = selected.shape
    arrivals = [(t, c) for c in range(k) for t in range(T) if wanted is None or wanted[t, c]]
    if priority == "probability":
        arrivals.sort(key=lambda a: -weights[a])  # list.sort is stable
    free, kept = [C] * N, np.zeros((T, k), bool)
    for t, c in arrivals:
        if free[selected[t, c]] > 0:
            free[selected[t, c]] -= 1
            kept[t, c] = True
    return kept


def broken_token_major(selected, weights, C, N, priority="position"):
    """Each token's second choice before the next token's first."""
    return (places_in_queue(selected.flatten(), N) < C).reshape(selected.shape)


def broken_one_too_many(selected, weights, C, N, priority="position"):
    return within_capacity(selected, weights, C + 1, N, priority)


def load_of(selected, N, kept=None):
    chosen = selected if kept is None else selected[kept]
    return torch.bincount(chosen.flatten(), minlength=N)


# --- the capacity --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("T", "N", "k", "factor", "C"),
    [
        (64, 8, 1, 1.0, 8),
        (64, 8, 2, 1.25, 20),
        (65, 8, 1, 1.0, 9),  # rounded up
        (1000, 10, 1, 1.1, 110),  # in floats 110.00000000000001, which would give 111
        (1, 64, 2, 1.25, 1),  # rounded down it would be 0: one token, and both its experts refuse it
        (1, 64, 1, 0.01, 1),
        (0, 64, 1, 1.0, 0),
        (np.int64(64), 8, 1, np.float32(1.5), 12),
    ],
)
def test_the_capacity(T, N, k, factor, C):
    assert expert_capacity(T, N, k, factor) == C
    assert type(expert_capacity(T, N, k, factor)) is int


def test_the_capacity_of_floats_would_be_another():
    assert math.ceil(1000 / 10 * 1.1) == 111
    assert int(1 * 2 / 64 * 1.25) == 0


# --- who finds a place ---------------------------------------------------------------------------------------------


@given(
    T=st.integers(0, 12), N=st.integers(1, 6), C=st.integers(0, 8), seed=st.integers(0, 99),
    priority=st.sampled_from(["position", "probability"]), data=st.data(),
)  # fmt: skip
def test_it_is_the_queue_by_hand_and_has_its_properties(T, N, C, seed, priority, data):
    k = data.draw(st.integers(1, N))
    selected, weights = draw_routing(T, N, k, seed, decimals=data.draw(st.sampled_from([1, 6])))
    wanted = None
    if data.draw(st.booleans()):
        wanted = torch.rand(T, k, generator=generator(seed)) < 0.7
    kept = within_capacity(selected, weights, C, N, priority, wanted)
    assert kept.dtype == torch.bool
    assert (kept.numpy() == queue_by_hand(selected.numpy(), weights.numpy(), C, N, priority, wanted)).all()
    asks = torch.ones_like(kept) if wanted is None else wanted
    assert not (kept & ~asks).any()
    load = load_of(selected, N, kept)
    assert (load <= C).all()
    refused = selected[asks & ~kept]
    assert (load[refused] == C).all()  # an expert with a free place refuses nobody
    if priority == "probability":
        for i in range(N):
            mine = asks & (selected == i)
            if (mine & ~kept).any() and C > 0:
                assert weights[mine & kept].min() >= weights[mine & ~kept].max()


@pytest.mark.parametrize("broken", [broken_token_major, broken_one_too_many])
def test_broken_queues_are_noticed(broken):
    selected, weights = draw_routing(64, 4, 2)
    expected = queue_by_hand(selected.numpy(), weights.numpy(), 20, 4, "position")
    assert (within_capacity(selected, weights, 20, 4).numpy() == expected).all()
    assert not (broken(selected, weights, 20, 4).numpy() == expected).all()


def test_first_choices_go_before_second_choices():
    selected = torch.tensor([[0, 1], [0, 1], [1, 0]])
    weights = torch.tensor([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1]])
    by_position = within_capacity(selected, weights, 1, 2)
    assert by_position.tolist() == [[True, False], [False, False], [True, False]]
    assert broken_token_major(selected, weights, 1, 2).tolist() == [[True, True], [False, False], [False, False]]


def test_by_probability_the_largest_weights_stay_and_ties_go_to_the_first():
    selected = torch.tensor([[0], [0], [0], [0]])
    weights = torch.tensor([[0.3], [0.9], [0.3], [0.8]])
    assert within_capacity(selected, weights, 3, 2, "probability").tolist() == [[True], [True], [False], [True]]
    assert within_capacity(selected, weights, 3, 2, "position").tolist() == [[True], [True], [True], [False]]
    # sorted by assignment: a strong second choice passes a weak first one
    selected, weights = torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0.3, 0.2], [0.6, 0.4]])
    assert within_capacity(selected, weights, 1, 2, "probability").tolist() == [[False, False], [True, True]]


def test_padding_takes_no_place():
    selected, weights = torch.zeros(4, 1, dtype=torch.long), torch.ones(4, 1)
    real = torch.tensor([[False], [False], [True], [True]])
    assert within_capacity(selected, weights, 2, 3, wanted=real).equal(real)
    assert within_capacity(selected, weights, 2, 3).equal(~real)  # asked to compete, the padding drops the text


@pytest.mark.parametrize("priority", ["position", "probability"])
def test_room_for_all_drops_nobody_and_no_room_drops_all(priority):
    selected, weights = draw_routing(50, 5, 2)
    assert within_capacity(selected, weights, 50, 5, priority).all()
    assert not within_capacity(selected, weights, 0, 5, priority).any()
    assert within_capacity(selected.int(), weights.requires_grad_(), 50, 5, priority).all()
    assert within_capacity(selected[:0], weights[:0], 1, 5, priority).shape == (0, 2)


def test_a_capacity_neither_re_routes_nor_cures_collapse():
    selected, weights = torch.zeros(64, 1, dtype=torch.long), torch.full((64, 1), 0.9)
    C = expert_capacity(64, 8, 1, 1.25)
    kept = within_capacity(selected, weights, C, 8)
    assert load_of(selected, 8, kept).tolist() == [10, 0, 0, 0, 0, 0, 0, 0]
    assert drop_rate(kept) == pytest.approx(54 / 64)


@given(experts=st.lists(st.integers(0, 4), max_size=30))
def test_places_count_those_before(experts):
    given = torch.tensor(experts, dtype=torch.long)
    assert places_in_queue(given, 5).tolist() == [experts[:i].count(e) for i, e in enumerate(experts)]
    assert given.tolist() == experts


# --- what is left --------------------------------------------------------------------------------------------------


def test_the_weights_of_what_is_left():
    weights = torch.tensor([[0.6, 0.2], [0.5, 0.3], [0.7, 0.1]], dtype=torch.float64)
    kept = torch.tensor([[True, True], [False, True], [False, False]])
    plain, again = drop_weights(weights, kept), drop_weights(weights, kept, renormalise=True)
    assert plain.tolist() == [[0.6, 0.2], [0, 0.3], [0, 0]]
    torch.testing.assert_close(again, torch.tensor([[0.75, 0.25], [0, 1], [0, 0]], dtype=torch.float64))
    naive = weights * kept
    assert (naive / naive.sum(-1, keepdim=True)).isnan().any()  # a token that lost all: 0 / 0


@pytest.mark.parametrize("renormalise", [False, True])
def test_the_gradient_of_the_weights_that_are_left(renormalise):
    kept = torch.tensor([[True, True], [False, True], [False, False]])
    w = torch.tensor([[0.6, 0.2], [0.5, 0.3], [0.7, 0.1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: drop_weights(w, kept, renormalise), w)
    (drop_weights(w, kept, renormalise) * torch.tensor([1.0, 2.0])).sum().backward()
    assert (w.grad[~kept] == 0).all()
    assert (w.grad[0] != 0).all()
    assert (w.grad[1, 1] == 0) == renormalise  # alone, a renormalised weight is always 1


def test_the_drop_rate_counts_wanted_assignments():
    kept = torch.tensor([[True, False], [True, True], [False, False]])
    assert drop_rate(kept) == 0.5
    assert drop_rate(kept, torch.tensor([[True, True], [True, True], [False, False]])) == 0.25
    assert drop_rate(kept, torch.tensor([[False, True], [True, True], [False, False]])) == pytest.approx(1 / 3)


# --- uniform routing drops too -------------------------------------------------------------------------------------


def uniform_choices(T, N, k, seed):
    return torch.rand(T, N, generator=generator(seed)).topk(k).indices


@pytest.mark.parametrize(
    ("per_expert", "N", "factor", "percent"),
    [(64, 64, 1.0, 4.94), (64, 64, 1.25, 0.127), (64, 8, 1.0, 4.66),
     (8, 8, 1.0, 13.05), (8, 8, 1.25, 4.53), (8, 8, 2.0, 0.0344),
     (8, 64, 1.0, 13.85), (8, 64, 1.25, 5.23), (8, 64, 2.0, 0.0726)],
)  # fmt: skip
def test_drop_rates_of_uniform_routing_as_the_lesson_tells_them(per_expert, N, factor, percent):
    digits = 0.005 if percent > 1 else 0.0005
    assert 100 * uniform_drop_rate(per_expert * N, N, factor) == pytest.approx(percent, abs=digits)


@pytest.mark.parametrize(("T", "N", "factor", "k"), [(4096, 64, 1.0, 1), (64, 8, 1.25, 1), (512, 16, 1.0, 2)])
def test_the_expected_drop_rate_is_what_random_routing_gives(T, N, factor, k):
    C, rates = expert_capacity(T, N, k, factor), []
    for seed in range(160_000 // T):
        kept = within_capacity(uniform_choices(T, N, k, seed), torch.ones(T, k), C, N)
        rates.append(drop_rate(kept))
    error = np.std(rates, ddof=1) / np.sqrt(len(rates))
    expected = uniform_drop_rate(T, N, factor, k)
    assert abs(np.mean(rates) - expected) < 4 * error
    assert 4 * error < 0.15 * expected  # a rate that is wrong by more would show


def test_the_expected_drop_rate_by_enumeration():
    # three tokens, two experts of ⌈3/2⌉ = 2 places: in 2 of 8 ways all three meet at one, and one of them is dropped
    assert uniform_drop_rate(3, 2, 1.0) == pytest.approx(2 / 8 / 3, abs=1e-12)
    assert uniform_drop_rate(10, 4, 4.0) == 0
    assert uniform_drop_rate(10, 1, 1.0) == 0
    assert uniform_drop_rate(10, 3, 1.0, top_k=3) == 0  # all experts for all tokens: nothing scatters


# --- the random second expert --------------------------------------------------------------------------------------


def test_the_second_expert_is_used_in_proportion_to_its_weight():
    T, threshold = 40_000, 0.2
    second = torch.tensor([0.0, 0.05, 0.1, 0.2, 0.45]).repeat(T // 5)
    send = random_second_expert(torch.stack([1 - second, second], -1), threshold, generator(0))
    assert send[:, 0].all()
    for w, p in ((0.0, 0), (0.05, 0.25), (0.1, 0.5), (0.2, 1), (0.45, 1)):
        rate = float(send[second == w, 1].float().mean())
        assert rate == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / (T / 5)))


def test_the_random_second_expert_is_repeatable_and_saves_places():
    selected, weights = draw_routing(400, 4, 2, skew=2.0)
    weights = weights / weights.sum(-1, keepdim=True)
    send = random_second_expert(weights, 0.5, generator(3))
    assert send.equal(random_second_expert(weights, 0.5, generator(3)))
    assert not send.equal(random_second_expert(weights, 0.5, generator(4)))
    C = expert_capacity(400, 4, 2, 1.0)
    with_all, with_some = (within_capacity(selected, weights, C, 4, wanted=w) for w in (None, send))
    assert drop_rate(with_some, send) < drop_rate(with_all)


@pytest.mark.parametrize("k", [1, 3])
def test_one_choice_always_stays_and_later_ones_follow_the_rule(k):
    send = random_second_expert(torch.full((1000, k), 0.01), 0.2, generator())
    assert send[:, 0].all()
    if k == 3:
        assert send[:, 1:].float().mean(0).tolist() == pytest.approx([0.05, 0.05], abs=0.03)


# --- the bias ------------------------------------------------------------------------------------------------------


def skewed_scores(seed, T=512, N=16):
    g = generator(seed)
    return torch.sigmoid(torch.randn(T, N, generator=g) + 0.5 * torch.randn(N, generator=g))


def violations(scores, u, k=2, steps=400):
    """MaxVio = (max − mean)/mean after each step of a router that does not learn."""
    balancer, history = BiasBalancer(scores.shape[-1], u), []
    for _ in range(steps):
        load = load_of(balancer.select(scores, k), scores.shape[-1])
        history.append(float(load.max() / load.double().mean() - 1))
        balancer.update(load)
    return np.array(history)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_small_step_is_slow_and_a_large_one_oscillates(seed):
    scores = skewed_scores(seed)
    slow, good, coarse, wild = (violations(scores, u) for u in (1e-4, 1e-3, 1e-2, 1e-1))
    start, late = slow[0], slice(-100, None)
    assert start > 0.8
    assert (np.diff(slow) <= 0.05).all()  # steady
    assert slow[-1] > 0.45 * start  # and far from done
    assert good[late].max() < 0.1
    assert good[late].mean() < coarse[late].mean() < wild[late].mean()
    assert wild[late].mean() > 0.4  # it never settles
    assert violations(scores, 0.0)[-1] == start  # the null: without steps nothing changes


def test_the_update_is_the_sign():
    balancer = BiasBalancer(4, u=0.5)
    balancer.update(torch.tensor([7, 1, 4, 4]))
    assert balancer.bias.tolist() == [-0.5, 0.5, 0, 0]
    balancer.update(np.array([0.7, 0.1, 0.1, 0.1]))
    assert balancer.bias.tolist() == [-1.0, 1.0, 0.5, 0.5]
    balancer.u = 0.0
    balancer.update([1, 0, 0, 0])
    assert balancer.bias.tolist() == [-1.0, 1.0, 0.5, 0.5]


@pytest.mark.parametrize("N", [3, 6, 7, 49])
def test_equal_shares_move_nothing(N):
    balancer = BiasBalancer(N, u=1.0)
    for dtype in (np.float32, np.float64):
        balancer.update(np.full(N, 1 / N, dtype))
    assert (balancer.bias == 0).all()
    balancer.update([100_001] + [100_000] * (N - 1))  # one token too many is a difference
    assert balancer.bias.tolist() == [-1.0] + [1.0] * (N - 1)


def test_the_bias_selects_and_never_weighs():
    scores = torch.tensor([[0.9, 0.5, 0.4], [0.6, 0.3, 0.5]])
    balancer = BiasBalancer(3)
    assert balancer.select(scores, 2).tolist() == [[0, 1], [0, 2]]
    balancer.bias.copy_(torch.tensor([-0.45, 0.0, 0.2]))
    chosen = balancer.select(scores, 2)
    assert chosen.tolist() == [[2, 1], [2, 1]]  # by s + b: 0.6 and 0.5, 0.7 and 0.3
    weights = scores.gather(-1, chosen)
    torch.testing.assert_close(weights, torch.tensor([[0.4, 0.5], [0.5, 0.3]]))
    biased = (scores + balancer.bias).gather(-1, chosen)  # the mistake
    assert not torch.allclose(biased, weights)


def test_the_bias_is_state_without_a_gradient():
    balancer = BiasBalancer(4, 0.1)
    balancer.update([1, 0, 0, 0])
    assert not list(balancer.parameters())
    copy = BiasBalancer(4)
    copy.load_state_dict(balancer.state_dict())
    assert copy.bias.equal(balancer.bias)
    scores = torch.rand(2, 3, 4, generator=generator(), requires_grad=True)
    chosen = balancer.select(scores, 2)
    assert chosen.shape == (2, 3, 2)
    scores.gather(-1, chosen).sum().backward()
    assert scores.grad.sum() == chosen.numel()


def test_the_bias_is_added_in_float32_and_respects_a_mask():
    balancer = BiasBalancer(3, 1e-3)
    balancer.bias[1] = 1e-3
    scores = torch.full((1, 3), 0.9, dtype=torch.bfloat16)  # bfloat16 knows no 0.901
    assert balancer.select(scores, 1).item() == 1
    assert (scores + balancer.bias.bfloat16()).argmax().item() == 0
    balancer.bias[1] = 100
    assert balancer.select(torch.tensor([[0.1, -torch.inf, 0.2]]), 2).tolist() == [[2, 0]]


# --- three updates -------------------------------------------------------------------------------------------------


def test_a_stack_of_sign_steps_is_that_of_each_router():
    load = torch.tensor([[6.0, 1, 1, 0], [2, 2, 2, 2], [1, 2, 3, 2]])
    u = torch.tensor([[0.1], [0.2], [0.3]])
    steps = sign_step(load, u)
    assert steps.tolist() == [pytest.approx(row) for row in [[-0.1, 0.1, 0.1, 0.1], [0] * 4, [0.3, 0, -0.3, 0]]]
    for row, size, mine in zip(load, u, steps, strict=True):
        balancer = BiasBalancer(4, size.item())
        balancer.update(row)
        torch.testing.assert_close(balancer.bias, mine)


def momentum_by_hand(load, before, u, kappa, beta):
    mean = sum(load) / len(load)
    change = [u * math.tanh(kappa * (mean - n) / mean) for n in load]
    centre = sum(change) / len(change)
    return [beta * m + (1 - beta) * (c - centre) for m, c in zip(before, change, strict=True)]


@given(load=st.lists(st.integers(0, 20), min_size=2, max_size=6), seed=st.integers(0, 99))
def test_the_tanh_step_by_hand(load, seed):
    load[0] += 1  # not all 0
    before = torch.randn(len(load), generator=generator(seed), dtype=torch.float64)
    for kappa, beta in ((2.0, 0.5), (0.5, 0.9)):
        found = tanh_step(torch.tensor(load, dtype=torch.float64), before, 0.1, kappa, beta)
        assert found.tolist() == pytest.approx(momentum_by_hand(load, before.tolist(), 0.1, kappa, beta))


def test_the_tanh_step_of_a_steep_tanh_without_memory_is_the_sign_less_its_mean():
    load = torch.tensor([[6.0, 1, 1, 0], [4, 1, 2, 1]])
    sign = sign_step(load, 0.1)
    found = tanh_step(load, torch.ones(2, 4), 0.1, kappa=1e4, beta=0.0)
    torch.testing.assert_close(found, sign - sign.mean(dim=-1, keepdim=True))
    assert tanh_step(torch.full((4,), 2.0), torch.zeros(4), 0.1).tolist() == [0] * 4  # at balance nothing moves


def needs(scores, bias, k):
    """What bias each expert would need for each token, (T, N), while the bars stay."""
    biased = np.sort(scores.numpy() + bias.numpy(), axis=1)
    return biased[:, [-k - 1]] - scores.numpy()


@given(N=st.integers(2, 6), per=st.integers(1, 12), seed=st.integers(0, 99), data=st.data())
def test_with_the_bars_fixed_the_quantile_bias_lets_in_the_quota(N, per, seed, data):
    k = data.draw(st.integers(1, N - 1))
    T = N * per  # so that the quota is whole
    scores = torch.rand(T, N, generator=generator(seed), dtype=torch.float64)
    bias = 0.3 * torch.randn(N, generator=generator(seed + 1), dtype=torch.float64)
    new = quantile_bias(scores, bias, k)
    assert new.mean().item() == pytest.approx(0, abs=1e-12)
    need = needs(scores, bias, k)  # (T, N)
    let_in = new.numpy() + np.quantile(need, k / N, axis=0).mean()  # the common shift put back
    assert meets_quota(need, let_in, k * per)
    wrong = np.quantile(need, 1 - k / N, axis=0)  # the broken control: the quantile from the other end
    assert 2 * k == N or per == 1 or not meets_quota(need, wrong, k * per) or np.allclose(wrong, let_in)


def meets_quota(need, bias, quota):
    """Whether just `quota` tokens of each expert need less than its bias, or as much: needs can be equal."""
    below, up_to = ((need < bias + gap).sum(axis=0) for gap in (-1e-9, 1e-9))
    return (below <= quota).all() and (up_to >= quota).all()


@pytest.mark.parametrize("k", [1, 2, 4])
def test_a_few_rounds_balance_a_batch_and_a_common_shift_changes_nothing(k):
    scores, bias = skewed_scores(0), torch.zeros(16)
    before = load_of(top_of(scores + bias, k), 16)
    for _ in range(8):
        bias = quantile_bias(scores, bias, k)
    after = load_of(top_of(scores + bias, k), 16)
    assert before.max() > 1.5 * before.double().mean()
    assert after.max() < 1.1 * after.double().mean()
    torch.testing.assert_close(quantile_bias(scores, bias + 5, k), quantile_bias(scores, bias, k), atol=1e-5, rtol=0)


def top_of(biased, k):
    return biased.topk(k, dim=-1).indices


def test_a_stack_of_quantile_biases_is_that_of_each_router():
    scores, bias = torch.rand(3, 40, 5, generator=generator()), torch.randn(3, 5, generator=generator(1)) / 5
    stack = quantile_bias(scores, bias, 2)
    for one, s, b in zip(stack, scores, bias, strict=True):
        torch.testing.assert_close(one, quantile_bias(s, b, 2))


@pytest.mark.parametrize("k", [0, 4, 1.5])
def test_a_quantile_needs_an_expert_that_is_left_out(k):
    with pytest.raises(ValueError, match=f"k = {k}"):
        quantile_bias(torch.rand(8, 4), torch.zeros(4), k)


# --- bad input -----------------------------------------------------------------------------------------------------

S, W = torch.zeros(3, 2, dtype=torch.long), torch.full((3, 2), 0.5)
B = BiasBalancer(4)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: expert_capacity(-1, 8, 1, 1.0), "num_tokens = -1"),
        (lambda: expert_capacity(1.0, 8, 1, 1.0), "num_tokens = 1.0"),
        (lambda: expert_capacity(8, 0, 1, 1.0), "num_experts = 0"),
        (lambda: expert_capacity(8, 8, 9, 1.0), "top_k = 9"),
        (lambda: expert_capacity(8, 8, 1, 0), "factor = 0"),
        (lambda: expert_capacity(8, 8, 1, math.inf), "factor = inf"),
        (lambda: uniform_drop_rate(0, 8, 1.0), "num_tokens = 0"),
        (lambda: uniform_drop_rate(8, 8, -1.0), "factor = -1.0"),
        (lambda: uniform_drop_rate(8, 8, 1.0, 0), "top_k = 0"),
        (lambda: within_capacity(S.float(), W, 1, 4), "selected = "),
        (lambda: within_capacity(S[0], W[0], 1, 4), "selected.shape = (2,)"),
        (lambda: within_capacity(S, W, 1, 1), "selected.shape = (3, 2)"),
        (lambda: within_capacity(S + 4, W, 1, 4), "selected = "),
        (lambda: within_capacity(S - 1, W, 1, 4), "selected = "),
        (lambda: within_capacity(S, W[:2], 1, 4), "weights.shape = (2, 2)"),
        (lambda: within_capacity(S, W / 0, 1, 4), "weights = "),
        (lambda: within_capacity(S, S, 1, 4), "weights = "),
        (lambda: within_capacity(S, W, -1, 4), "capacity = -1"),
        (lambda: within_capacity(S, W, 1.5, 4), "capacity = 1.5"),
        (lambda: within_capacity(S, W, 1, 0), "num_experts = 0"),
        (lambda: within_capacity(S, W, 1, 4, "random"), "priority = 'random'"),
        (lambda: within_capacity(S, W, 1, 4, wanted=W), "wanted = "),
        (lambda: within_capacity(S, W, 1, 4, wanted=W[0] > 0), "wanted.shape = (2,)"),
        (lambda: drop_weights(-W, W > 0), "weights = "),
        (lambda: drop_weights(W, W), "kept = "),
        (lambda: drop_weights(W, None), "kept = None"),
        (lambda: drop_weights(W[0], W[0] > 0), "weights.shape = (2,)"),
        (lambda: drop_rate(W), "kept = "),
        (lambda: drop_rate(W[:0] > 0), "wanted = "),
        (lambda: drop_rate(W > 0, W < 0), "wanted = "),
        (lambda: random_second_expert(-W), "weights = "),
        (lambda: random_second_expert(torch.eye(3)), "weights = "),  # dense (T, N), not best first
        (lambda: random_second_expert(W, 0.0), "threshold = 0.0"),
        (lambda: random_second_expert(W[:, :0]), "weights.shape = (3, 0)"),
        (lambda: BiasBalancer(0), "num_experts = 0"),
        (lambda: BiasBalancer(4, -1e-3), "u = -0.001"),
        (lambda: BiasBalancer(4, math.nan), "u = nan"),
        (lambda: BiasBalancer(4, True), "u = True"),
        (lambda: B.select(torch.zeros(2, 3), 1), "scores.shape = (2, 3)"),
        (lambda: B.select(torch.zeros(2, 4), 5), "k = 5"),
        (lambda: B.select(torch.zeros(2, 4) / 0, 1), "scores = "),
        (lambda: B.select(torch.zeros(2, 4).long(), 1), "scores = "),
        (lambda: B.update([1, 2, 3]), "load = [1, 2, 3]"),
        (lambda: B.update([1, 2, 3, -1]), "load = [1, 2, 3, -1]"),
        (lambda: B.update([1, 2, 3, math.nan]), "load = "),
        (lambda: B.update("abcd"), "load = 'abcd'"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
