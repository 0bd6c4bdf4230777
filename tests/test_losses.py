"""`losses` against sums by hand in numpy, finite differences, values worked out on paper, and broken copies."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from moe_lessons.losses import (
    balance_of_layers,
    cv_squared,
    importance_loss,
    load_balancing_loss,
    load_loss,
    smooth_load,
    stable_top_k,
    z_loss,
)


def balance_by_hand(logits, k, selected=None, mask=None):
    """N Σ f_i P_i, counted token by token."""
    h = np.asarray(logits, float).reshape(-1, np.shape(logits)[-1])
    T, N = h.shape
    chosen = np.argsort(-h, axis=-1, kind="stable")[:, :k] if selected is None else np.asarray(selected).reshape(T, k)
    real = [True] * T if mask is None else np.asarray(mask).ravel()
    f, P, tokens = np.zeros(N), np.zeros(N), 0
    for t in np.flatnonzero(real):
        p = np.exp(h[t] - h[t].max())
        P += p / p.sum()
        f[chosen[t]] += 1 / k
        tokens += 1
    return N * (f / tokens) @ (P / tokens)


def broken_balance_k(h, k):
    """Of another convention: f sums to k, so that balance gives k."""
    return k * load_balancing_loss(h, k)


def broken_balance_gradient(h, k):
    """Gradient through f as well: soft counts by accident. The same value where p is one-hot."""
    p = torch.softmax(h, -1)
    return p.shape[-1] * (p.mean(0) * p.mean(0)).sum()


def random_logits(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def log_p(rows):
    return torch.tensor(rows, dtype=torch.float64).log()


# --- the balance loss ----------------------------------------------------------------------------------------------


@given(T=st.integers(1, 9), N=st.integers(1, 7), data=st.data())
def test_it_is_the_sum_by_hand(T, N, data):
    k = data.draw(st.integers(1, N))
    scale = data.draw(st.sampled_from([0.0, 1.0, 30.0]))
    h = scale * random_logits(T, N, seed=data.draw(st.integers(0, 99))).round(decimals=1)  # rounded: ties happen
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=T, max_size=T).filter(any)))
    selected = torch.stack([torch.randperm(N)[:k] for _ in range(T)])
    assert float(load_balancing_loss(h, k)) == pytest.approx(balance_by_hand(h, k), rel=1e-12)
    ours = float(load_balancing_loss(h, k, selected, mask))
    assert ours == pytest.approx(balance_by_hand(h, k, selected, mask), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_balance_is_one_for_every_k(k):
    N = 8
    h = torch.stack([torch.roll(torch.arange(N, dtype=torch.float64), i) for i in range(N)])  # each expert k times
    assert float(load_balancing_loss(h, k)) == pytest.approx(1, abs=1e-12)
    if k > 1:
        assert float(broken_balance_k(h, k)) != pytest.approx(1, abs=0.5)


def test_below_one_although_one_expert_gets_three_quarters():
    h = log_p([[0.51, 0.49]] * 75 + [[1e-300, 1.0]] * 25)
    assert float(load_balancing_loss(h, 1)) == pytest.approx(0.8825, abs=1e-12)


@pytest.mark.parametrize(("N", "dead", "expected"), [(4, 1, 2 / 3), (8, 3, 0.40), (64, 31, 64 / (33 * 32))])
def test_dead_experts_make_it_smaller_still(N, dead, expected):
    alive = N - dead
    rows = torch.full((alive, N), -torch.inf, dtype=torch.float64)
    rows[range(alive), range(alive)] = 1e-9  # the own expert, by a hair
    rows[:, alive:] = 0.0
    assert float(load_balancing_loss(rows, 1)) == pytest.approx(expected, abs=1e-8)
    assert expected == pytest.approx({4: 0.667, 8: 0.40, 64: 0.061}[N], abs=5e-4)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_zero_router_sends_all_to_the_first_experts_and_costs_one(k):
    h = torch.zeros(32, 6)
    assert (stable_top_k(h, k) == torch.arange(k)).all()
    assert float(load_balancing_loss(h, k)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (2, 1, 4, 5)])
def test_any_leading_shape(shape):
    h = random_logits(*shape)
    flat = h.reshape(-1, 5)
    assert float(load_balancing_loss(h, 2)) == float(load_balancing_loss(flat, 2))
    assert float(z_loss(h)) == float(z_loss(flat))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_gradient_is_the_formula(k):
    T, N = 12, 5
    h = random_logits(T, N).requires_grad_()
    load_balancing_loss(h, k).backward()
    p = torch.softmax(h.detach(), -1)
    f = torch.bincount(stable_top_k(h, k).flatten(), minlength=N) / (T * k)
    expected = N / T * p * (f - (f * p).sum(-1, keepdim=True))
    torch.testing.assert_close(h.grad, expected.to(h.dtype), rtol=1e-6, atol=1e-9)
    assert torch.autograd.gradcheck(lambda h: load_balancing_loss(h, k), random_logits(T, N).requires_grad_())
    broken = random_logits(T, N).requires_grad_()
    broken_balance_gradient(broken, k).backward()
    assert not torch.allclose(broken.grad, expected.to(h.dtype), atol=1e-4)


def test_the_selection_and_the_mask_carry_the_gradient_to_the_right_places():
    mask = torch.tensor([True, False, True, False])
    selected = torch.tensor([[0], [1], [2], [0]])
    h = random_logits(4, 3).requires_grad_()
    load_balancing_loss(h, 1, selected, mask).backward()
    assert (h.grad[~mask] == 0).all()
    assert (h.grad[mask] != 0).all()
    assert torch.autograd.gradcheck(
        lambda h: load_balancing_loss(h, 1, selected, mask), random_logits(4, 3).requires_grad_()
    )


def test_padding_may_hold_anything():
    h = random_logits(4, 3)
    mask = torch.tensor([True, True, False, True])
    expected = load_balancing_loss(h[mask], 2)
    h[2] = torch.nan
    assert load_balancing_loss(h, 2, mask=mask) == expected
    assert load_balancing_loss(random_logits(4, 3), 2) != expected  # counted, the padding would show


def test_the_selection_from_outside_counts():
    h = random_logits(64, 4) + torch.tensor([1.0, 0, 0, 0])
    chosen = stable_top_k(h - torch.tensor([3.0, 0, 0, 0]), 2)  # a bias against the expert that the router prefers
    assert float(load_balancing_loss(h, 2, chosen)) == pytest.approx(balance_by_hand(h, 2, chosen), rel=1e-12)
    assert float(load_balancing_loss(h, 2, chosen)) != pytest.approx(float(load_balancing_loss(h, 2)), rel=1e-2)
    assert load_balancing_loss(h, 2, chosen.int()) == load_balancing_loss(h, 2, chosen)


def test_a_stack_of_layers_is_each_layer_alone():
    h = random_logits(2, 3, 16, 5)
    values = balance_of_layers(h, stable_top_k(h, 2))
    assert values.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        torch.testing.assert_close(values[i, j], load_balancing_loss(h[i, j], 2))
    assert float(values.mean()) != pytest.approx(float(load_balancing_loss(h, 2)), rel=1e-3)  # pooled: another number


# --- the z-loss ----------------------------------------------------------------------------------------------------


def test_the_worked_example():
    assert float(z_loss(torch.tensor([-0.18, 0.30, 0.52, -0.26]))) == pytest.approx(2.3542, abs=5e-5)


@given(T=st.integers(1, 6), N=st.integers(1, 6), shift=st.floats(-50, 50), seed=st.integers(0, 99))
def test_z_is_the_mean_square_by_hand(T, N, shift, seed):
    h = random_logits(T, N, seed=seed) + shift
    lse = np.array([np.log(np.exp(row - shift).sum()) + shift for row in h.numpy()])
    assert float(z_loss(h)) == pytest.approx(np.mean(lse**2), rel=1e-9, abs=1e-12)


def test_z_is_zero_where_the_log_sum_exp_is_and_at_a_saturated_token():
    assert float(z_loss(torch.full((3, 8), -np.log(8)))) == pytest.approx(0, abs=1e-12)
    assert float(z_loss(torch.zeros(3, 64))) == pytest.approx(np.log(64) ** 2, rel=1e-6)
    assert float(z_loss(torch.tensor([0.0, -100, -100, -100]))) == 0


def test_the_gradient_of_z_is_the_formula():
    h = random_logits(7, 4).requires_grad_()
    z_loss(h).backward()
    lse = torch.logsumexp(h.detach(), -1, keepdim=True)
    torch.testing.assert_close(h.grad, 2 / 7 * lse * torch.softmax(h.detach(), -1))
    assert torch.autograd.gradcheck(z_loss, random_logits(7, 4).requires_grad_())
    wrong = random_logits(7, 4).requires_grad_()
    torch.logsumexp(wrong, -1).mean().backward()  # the square forgotten
    assert not torch.allclose(wrong.grad, h.grad, atol=1e-3)


# --- importance and load -------------------------------------------------------------------------------------------


def noisy_router(T=40, N=6, k=2, seed=0):
    """Clean and noisy logits and the size of the noise (T, N), as softplus noise makes them."""
    clean, eps = random_logits(T, N, seed=seed), random_logits(T, N, seed=seed + 1)
    sd = torch.nn.functional.softplus(random_logits(T, N, seed=seed + 2))
    return clean, clean + sd * eps, sd


def chance_by_hand(clean, noisy, sd, k):
    """Φ((clean_i − k-th largest noisy of the others) / sd_i), token by token and expert by expert."""
    P = np.ones(clean.shape)
    for t, i in np.ndindex(clean.shape):
        others = np.sort(np.delete(noisy[t], i))[::-1]
        if k <= len(others):
            P[t, i] = norm.cdf((clean[t, i] - others[k - 1]) / sd[t, i])
    return P


def broken_threshold(clean, noisy, sd, k):
    """The k-th largest of all, the expert itself included."""
    return torch.special.ndtr((clean - noisy.topk(k).values[..., -1:]) / sd)


def inclusion(noisy, k):
    return torch.zeros_like(noisy).scatter(-1, stable_top_k(noisy, k), 1.0)


@given(values=st.lists(st.floats(0, 100), min_size=1, max_size=9))
def test_cv_is_the_population_variance_over_the_square_of_the_mean(values):
    expected = np.var(values) / (np.mean(values) ** 2 + 1e-10)
    assert float(cv_squared(torch.tensor(values, dtype=torch.float64))) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_cv_from_balance_to_collapse():
    assert float(cv_squared(torch.full((8,), 3.0))) == 0
    assert float(cv_squared(torch.tensor([5.0]))) == 0
    assert float(cv_squared(torch.eye(8)[0])) == pytest.approx(7, rel=1e-6)  # N − 1
    sample = torch.eye(8)[0].var() / torch.eye(8)[0].mean() ** 2  # divided by N − 1, the broken copy
    assert float(sample) == pytest.approx(8)
    assert cv_squared(torch.zeros(4)) == 0  # the 1e-10: no division by zero
    assert cv_squared(random_logits(2, 3, 4)).shape == (2, 3)
    assert cv_squared(torch.tensor([1.0, 2], dtype=torch.bfloat16)).dtype == torch.float32


def test_importance_is_cv_of_the_column_sums_and_no_count_of_tokens():
    w = torch.tensor([[0.9, 0.1, 0], [0.9, 0.1, 0], [0, 0.1, 0.9], [0, 0.1, 0.9]], dtype=torch.float64)
    sums = w.sum(0).numpy()
    assert float(importance_loss(w)) == pytest.approx(np.var(sums) / np.mean(sums) ** 2, rel=1e-9)
    equal = torch.tensor([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]).double()
    assert float(importance_loss(equal)) == 0
    faint = torch.tensor([[0.8, 0.2]] * 4 + [[0.0, 1.0]] * 2).double()  # sums 3.2 and 2.8, tokens 4 and 6
    assert float(importance_loss(faint)) < 0.01 < float(cv_squared((faint > 0).double().sum(0)))


def test_importance_leaves_padding_out_and_takes_any_leading_shape():
    w = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert importance_loss(w) == importance_loss(w.reshape(10, 4))
    mask = torch.tensor([[True] * 5, [True, False, True, False, True]])
    expected = importance_loss(w[mask])
    assert float(importance_loss(w)) != pytest.approx(float(expected), rel=1e-3)
    w[~mask] = torch.nan
    assert importance_loss(w, mask) == expected


def test_the_gradient_of_importance():
    w = torch.rand(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(importance_loss, w.requires_grad_())
    assert torch.autograd.gradcheck(cv_squared, (w.detach() + 0.1).requires_grad_())


@settings(max_examples=40)
@given(T=st.integers(1, 5), N=st.integers(1, 7), seed=st.integers(0, 99), data=st.data())
def test_the_smooth_load_is_the_formula_by_hand(T, N, seed, data):
    k = data.draw(st.integers(1, N))
    clean, noisy, sd = noisy_router(T, N, seed=seed)
    if data.draw(st.booleans()):
        noisy = noisy.round(decimals=0)  # ties
    P = smooth_load(clean, noisy, sd, k)
    np.testing.assert_allclose(P, chance_by_hand(clean.numpy(), noisy.numpy(), sd.numpy(), k), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_smooth_load_is_how_often_an_expert_is_selected(k):
    draws = 40_000
    clean, _, sd = (a[:1] for a in noisy_router(N=6))
    noisy = clean + sd * random_logits(draws, 6, seed=9)
    frequency = inclusion(noisy, k).mean(0)
    expected = smooth_load(clean.expand(draws, 6), noisy, sd, k).mean(0)
    assert float(expected.sum()) == pytest.approx(k, abs=0.03)  # on average k experts, though not for each draw
    assert (expected - frequency).abs().max() < 4 * 0.5 / np.sqrt(draws)
    wrong = broken_threshold(clean, noisy, sd, k).mean(0)
    assert (wrong - frequency).abs().max() > 4 * 0.5 / np.sqrt(draws)


def test_it_is_the_chance_when_only_the_own_noise_is_drawn_again():
    draws, k = 40_000, 2
    clean, noisy, sd = (a[:1] for a in noisy_router(N=5))
    P = smooth_load(clean, noisy, sd, k)[0]
    for i in range(5):
        again = noisy.repeat(draws, 1)
        again[:, i] = clean[0, i] + sd[0, i] * random_logits(draws, seed=i)
        frequency = float(inclusion(again, k)[:, i].mean())
        assert float(P[i]) == pytest.approx(frequency, abs=4 * 0.5 / np.sqrt(draws))


@pytest.mark.parametrize("k", [1, 2])
def test_the_gradient_of_the_smooth_load(k):
    def loss(clean, eps, sd):
        return load_loss(clean, clean + sd * eps, sd, k)

    clean, noisy, sd = noisy_router(8, 5)
    eps = (noisy - clean) / sd
    assert noisy.sort(-1).values.diff().min() > 1e-3  # away from ties
    inputs = (clean.clone().requires_grad_(), eps, sd.clone().requires_grad_())
    assert torch.autograd.gradcheck(loss, inputs)
    loss(*inputs).backward()
    assert (inputs[0].grad != 0).any()
    hard = inclusion(noisy.requires_grad_(), k).sum(0)  # a count: no gradient at all
    assert not cv_squared(hard).requires_grad


@pytest.mark.parametrize("sd", [0.0, 1e-9, 1e-30, torch.zeros(40, 6)])
def test_without_noise_it_is_the_count_and_has_no_gradient(sd):
    clean = random_logits(40, 6).round(decimals=1).requires_grad_()  # ties: the lower index is selected
    P = smooth_load(clean, clean, sd, 2)
    assert P.equal(inclusion(clean.detach(), 2))
    (load_loss(clean, clean, sd, 2) + 0 * clean.sum()).backward()
    assert (clean.grad == 0).all()


def test_noise_of_zero_spoils_no_gradient():
    clean, sd = random_logits(40, 6), torch.zeros(40, 6, dtype=torch.float64, requires_grad=True)
    smooth_load(clean, clean, sd, 2).sum().backward()
    assert (sd.grad == 0).all()
    naive = torch.special.ndtr((clean - clean.mean()) / sd)
    assert torch.autograd.grad(naive.sum(), sd)[0].isnan().any()


def test_little_noise_comes_close_to_the_count():
    clean, _, _ = noisy_router()
    for sd in (1e-2, 1e-4, 2e-6):
        noisy = (clean + sd * random_logits(40, 6, seed=3)).requires_grad_()
        P = smooth_load(clean, noisy, sd, 2)
        P.sum().backward()
        assert noisy.grad.isfinite().all()
    assert (P - inclusion(clean, 2)).abs().max() < 1e-6


def test_with_all_experts_selected_nothing_is_left_to_chance():
    clean, noisy, sd = noisy_router(N=3)
    assert (smooth_load(clean.requires_grad_(), noisy, sd, 3) == 1).all()
    assert load_loss(clean, noisy, sd, 3) == 0
    assert (smooth_load(clean[:, :1], noisy[:, :1], sd[:, :1], 1) == 1).all()


def test_a_masked_expert_has_no_chance():
    clean, noisy, sd = noisy_router(N=4)
    hidden = torch.full((40, 1), -torch.inf, dtype=clean.dtype)
    sd = torch.cat([sd, sd[:, :1]], -1).requires_grad_()
    more = [torch.cat([a, hidden], -1).requires_grad_() for a in (clean, noisy)]
    for k in (1, 2, 4, 5):
        P = smooth_load(*more, sd, k)
        expected = torch.ones_like(clean) if k >= 4 else smooth_load(clean, noisy, sd[:, :4], k)
        torch.testing.assert_close(P[:, :4], expected)
        assert (P[:, 4] == 0).all()
        gradients = torch.autograd.grad(P.square().sum() + 0 * sd.sum(), [*more, sd], allow_unused=True)
        assert all(g is None or g.isfinite().all() for g in gradients)


def test_the_load_loss_leaves_padding_out_and_takes_any_leading_shape():
    clean, noisy, sd = noisy_router()
    expected = load_loss(clean[:30], noisy[:30], sd[:30], 2)
    by_hand = chance_by_hand(clean[:30].numpy(), noisy[:30].numpy(), sd[:30].numpy(), 2).sum(0)
    assert float(expected) == pytest.approx(np.var(by_hand) / np.mean(by_hand) ** 2, rel=1e-8)
    mask = torch.arange(40) < 30
    assert float(load_loss(clean, noisy, sd, 2)) != pytest.approx(float(expected), rel=1e-3)
    spoilt = [torch.where(mask[:, None], a, torch.nan) for a in (clean, noisy, sd)]
    assert load_loss(*spoilt, 2, mask) == expected
    assert load_loss(clean, noisy, 0.5, 2, mask) == load_loss(clean[:30], noisy[:30], 0.5, 2)
    folded = [a.reshape(4, 10, 6) for a in (clean, noisy, sd)]
    assert load_loss(*folded, 2) == load_loss(clean, noisy, sd, 2)
    of_expert = sd.mean(0)  # (N,): broadcast to all tokens
    assert load_loss(clean, noisy, of_expert, 2) == load_loss(clean, noisy, of_expert.expand(40, 6), 2)


def test_short_floats_become_long_for_the_load():
    clean, noisy, sd = (a.bfloat16() for a in noisy_router(4000))
    value = load_loss(clean, noisy, sd, 2)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(load_loss(clean.double(), noisy.double(), sd.double(), 2)), rel=1e-4)


# --- all -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [z_loss, lambda h: load_balancing_loss(h, 2)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_are_summed_in_float32(loss, dtype):
    h = random_logits(5000, 8).to(dtype)
    value = loss(h)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(loss(h.double())), rel=1e-5)
    naive = torch.logsumexp(h, -1).square().mean()
    assert float(naive) != pytest.approx(float(z_loss(h.double())), rel=1e-5)  # computed in 8 bits it would show


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_long_floats_stay(dtype):
    h = random_logits(3, 4).to(dtype)
    assert load_balancing_loss(h, 1).dtype == z_loss(h).dtype == dtype


def test_minus_infinity_masks_an_expert():
    h = random_logits(6, 4)
    masked = torch.cat([h, torch.full((6, 1), -torch.inf, dtype=h.dtype)], -1)
    assert float(z_loss(masked)) == pytest.approx(float(z_loss(h)), rel=1e-12)
    assert float(load_balancing_loss(masked, 2)) == pytest.approx(5 / 4 * float(load_balancing_loss(h, 2)), rel=1e-12)
    masked.requires_grad_()
    (z_loss(masked) + load_balancing_loss(masked, 2)).backward()
    assert (masked.grad[:, -1] == 0).all()


def test_of_equal_logits_the_lower_index_comes_first():
    h = torch.tensor([[1.0, 2, 2, 1, 2]])
    assert stable_top_k(h, 4).tolist() == [[1, 2, 4, 0]]


H = torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: load_balancing_loss(H, 0), "top_k = 0"),
        (lambda: load_balancing_loss(H, 5), "top_k = 5"),
        (lambda: load_balancing_loss(H, 1.0), "top_k = 1.0"),
        (lambda: load_balancing_loss(H, True), "top_k = True"),
        (lambda: load_balancing_loss(H.long(), 1), "logits = "),
        (lambda: load_balancing_loss(H.numpy(), 1), "logits = "),
        (lambda: load_balancing_loss(H / 0, 1), "logits = "),
        (lambda: load_balancing_loss(H + torch.inf, 1), "logits = "),
        (lambda: load_balancing_loss(H - torch.inf, 1), "logits = "),
        (lambda: load_balancing_loss(H[:0], 1), "logits.shape = (0, 4)"),
        (lambda: load_balancing_loss(torch.tensor(1.0), 1), "logits.shape = ()"),
        (lambda: load_balancing_loss(H, 1, torch.zeros(3, 2, dtype=torch.long)), "selected.shape = (3, 2)"),
        (lambda: load_balancing_loss(H, 1, torch.zeros(3, 1)), "selected = "),
        (lambda: load_balancing_loss(H, 1, torch.full((3, 1), 4)), "selected = "),
        (lambda: load_balancing_loss(H, 1, torch.full((3, 1), -1)), "selected = "),
        (lambda: load_balancing_loss(H, 4, torch.eye(3, 4).long()), "selected = "),  # a mask over the experts
        (lambda: load_balancing_loss(H, 1, mask=torch.zeros(3, dtype=torch.bool)), "mask = "),
        (lambda: load_balancing_loss(H, 1, mask=torch.ones(3)), "mask = "),
        (lambda: load_balancing_loss(H, 1, mask=torch.ones(4, dtype=torch.bool)), "mask.shape = (4,)"),
        (lambda: z_loss(H / 0), "logits = "),
        (lambda: z_loss(H[:0]), "logits.shape = (0, 4)"),
        (lambda: z_loss([1.0]), "logits = "),
        (lambda: stable_top_k(H, 5), "k = 5"),
        (lambda: stable_top_k(H / 0, 1), "logits = "),
        (lambda: cv_squared(H.long()), "values = "),
        (lambda: cv_squared(H / 0), "values = "),
        (lambda: cv_squared(H[:, :0]), "values.shape = (3, 0)"),
        (lambda: importance_loss(H - 1), "weights = "),
        (lambda: importance_loss(H / 0), "weights = "),
        (lambda: importance_loss(H.numpy()), "weights = "),
        (lambda: importance_loss(H, torch.zeros(3, dtype=torch.bool)), "mask = "),
        (lambda: importance_loss(H, torch.ones(4, dtype=torch.bool)), "mask.shape = (4,)"),
        (lambda: smooth_load(H / 0, H, 1.0, 2), "clean_logits = "),
        (lambda: smooth_load(H, H / 0, 1.0, 2), "noisy_logits = "),
        (lambda: smooth_load(H, H[:2], 1.0, 2), "noisy_logits = "),
        (lambda: smooth_load(H, H.masked_fill(torch.eye(3, 4) > 0, -torch.inf), 1.0, 2), "noisy_logits = "),
        (lambda: smooth_load(H, H, -1.0, 2), "noise_sd = "),
        (lambda: smooth_load(H, H, torch.nan, 2), "noise_sd = "),
        (lambda: smooth_load(H, H, torch.ones(3), 2), "noise_sd = "),
        (lambda: smooth_load(H, H, "large", 2), "noise_sd = 'large'"),
        (lambda: smooth_load(H, H, 1.0, 5), "k = 5"),
        (lambda: load_loss(H, H[:2], 1.0, 2), "noisy_logits.shape = (2, 4)"),
        (lambda: load_loss(H, None, 1.0, 2), "noisy_logits = None"),
        (lambda: load_loss(H, H, 1.0, 0), "k = 0"),
        (lambda: load_loss(H, H, 1.0, 2, torch.ones(4, dtype=torch.bool)), "mask.shape = (4,)"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
