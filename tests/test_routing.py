"""`routing` against torch, against properties that must hold, at extremes, and against broken copies of itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from moe_lessons import routing

DTYPES = [np.float32, np.float64]
X = np.array([1.0, -0.5, 0.8])
W_G = np.array([[-0.4, 0.6, 0.3, -0.3], [0.2, -0.2, 0.2, 0.4], [0.4, -0.5, 0.4, 0.3]])


def close(ours, oracle, dtype=np.float64):
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(np.asarray(ours, float), np.asarray(oracle, float), rtol=tolerance, atol=tolerance)


def torch_top_k(scores, k):
    """The oracle for ties: a stable descending sort (torch.topk promises no order among equals)."""
    values, indices = torch.sort(torch.tensor(scores), dim=-1, descending=True, stable=True)
    return values[..., :k].numpy(), indices[..., :k].numpy()


def torch_gate(logits, k, form, temperature):
    h = torch.tensor(logits)
    selected = torch.zeros_like(h).scatter(-1, torch.tensor(torch_top_k(logits, k)[1]), 1.0)
    if form == "topk_softmax":
        return torch.softmax(h.masked_fill(selected == 0, -torch.inf) / temperature, dim=-1).numpy()
    kept = torch.softmax(h / temperature, dim=-1) * selected
    return (kept / kept.sum(-1, keepdim=True) if form == "softmax_topk_renorm" else kept).numpy()


@st.composite
def logit_arrays(draw, most=30.0):
    """Up to 4 tokens, up to 9 experts; whole numbers now and then, so that ties happen."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 9)))
    dtype = draw(st.sampled_from(DTYPES))
    numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-most, most, width=32))
    return draw(hnp.arrays(dtype, shape, elements=numbers))


# --- logits -----------------------------------------------------------------------------------------------------


def test_worked_example_logits():
    close(routing.router_logits(X, W_G), [-0.18, 0.30, 0.52, -0.26])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [(), (5,), (2, 3), (0,)])
def test_logits_agree_with_torch_for_any_leading_shape(dtype, lead):
    rng = np.random.default_rng(0)
    x, W_g = rng.normal(size=(*lead, 6)).astype(dtype), rng.normal(size=(6, 4)).astype(dtype)
    h = routing.router_logits(x, W_g)
    assert h.shape == (*lead, 4)
    assert h.dtype == dtype
    close(h, torch.tensor(x) @ torch.tensor(W_g), dtype)


def test_broken_control_logits_transposed_matrix_is_noticed():
    rng = np.random.default_rng(0)
    square = rng.normal(size=(3, 3))  # with d = N a transpose raises nothing: only the numbers tell
    with pytest.raises(AssertionError):
        close(X @ square.T, routing.router_logits(X, square))


@pytest.mark.parametrize(
    ("x", "W_g", "start"),
    [
        ([1.0, 2.0], W_G, "x.shape = (2,): expected a last axis of 3"),
        ([1.0, np.nan, 0.0], W_G, "x[1] = nan: expected a finite number"),
        (X, np.full((3, 4), np.inf), "W_g[0, 0] = inf"),
        (X, np.ones(3), "W_g.shape = (3,): expected (d, N)"),
        (X, np.ones((3, 0)), "W_g.shape = (3, 0): expected (d, N)"),
        ("words", W_G, "x = 'words'"),
        (1.0, W_G, "x = 1.0"),
    ],
)
def test_bad_input_logits(x, W_g, start):
    with pytest.raises(ValueError, match="expected") as error:
        routing.router_logits(x, W_g)
    assert str(error.value).startswith(start)


# --- softmax ----------------------------------------------------------------------------------------------------


@given(logit_arrays(), st.sampled_from([1e-3, 0.25, 1.0, 7.0, 1e3]))
def test_softmax_agrees_with_torch(h, temperature):
    p = routing.softmax(h, temperature)
    assert p.dtype == h.dtype
    close(p, torch.softmax(torch.tensor(h, dtype=torch.float64) / temperature, -1), h.dtype)


@given(logit_arrays(), st.floats(0.1, 10), st.integers(-50, 50))
def test_softmax_sums_to_one_keeps_order_and_ignores_a_shift(h, temperature, shift):
    p = routing.softmax(h, temperature)
    close(p.sum(-1), 1, np.float32)
    assert (np.diff(np.take_along_axis(p, np.argsort(h, -1), -1), axis=-1) >= 0).all()
    close(
        routing.softmax(h.astype(float) + shift, temperature),
        routing.softmax(h.astype(float), temperature),
        np.float32,
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_along_any_axis(axis):
    h = np.random.default_rng(1).normal(size=(3, 5))
    close(routing.softmax(h, axis=axis), torch.softmax(torch.tensor(h), axis))


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_at_extremes(dtype):
    top = np.finfo(dtype).max
    for h in ([1e4, -1e4], [top, -top], [-1e4, -1e4], [1e4, 1e4 - 1]):
        p = routing.softmax(np.array(h, dtype))
        assert np.isfinite(p).all()
        close(p.sum(), 1, dtype)
    for temperature in (1e-300, 5e-324, 1e-6, 1e6, 1e300):
        p = routing.softmax(np.array([2.0, 2.0, 1.0], dtype), temperature)
        close(p, [0.5, 0.5, 0] if temperature < 1 else [1 / 3] * 3, np.float32)


def test_a_masked_expert_gets_exactly_zero_and_one_expert_gets_everything():
    assert routing.softmax([0.0, -np.inf, 1.0])[1] == 0
    assert routing.softmax([-7.0]) == 1


def test_empty_batch_stays_empty():
    empty = np.zeros((0, 4), np.float32)
    assert routing.softmax(empty).shape == (0, 4)
    assert routing.log_sum_exp(empty).shape == (0,)
    assert routing.gate_weights(empty, 2).shape == (0, 4)
    assert routing.route(np.zeros((0, 3)), W_G, 2).selected.shape == (0, 2)


def test_broken_control_softmax_naive_form_overflows():
    h = np.array([1e4, 0.0])
    with np.errstate(all="ignore"):
        naive = np.exp(h) / np.exp(h).sum()
    with pytest.raises(AssertionError):
        close(naive, routing.softmax(h))


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf, "1", None, True])
def test_softmax_bad_temperature(temperature):
    with pytest.raises(ValueError, match=r"^temperature = .*above 0"):
        routing.softmax([0.0, 1.0], temperature)


A_SELECTION, BEHIND_A_MASK = [True, False], np.ma.masked_array([1.0, 2.0], mask=[True, False])


@pytest.mark.parametrize(
    "h",
    [
        [np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf], [], [[0.0], []], "ab", 3.0, A_SELECTION, BEHIND_A_MASK,
    ],
)  # fmt: skip
@pytest.mark.parametrize("function", [routing.softmax, routing.log_sum_exp, lambda h: routing.gate_weights(h, 1)])
def test_bad_logits(function, h):
    with pytest.raises(ValueError, match=r"^logits.*expected"):
        function(h)


@pytest.mark.parametrize("axis", [1, -2, 0.0, None])
def test_bad_axis(axis):
    with pytest.raises(ValueError, match=r"^axis = .*whole number"):
        routing.softmax([0.0, 1.0], axis=axis)


# --- log-sum-exp --------------------------------------------------------------------------------------------------


@given(logit_arrays(most=1e4))
def test_log_sum_exp_agrees_with_torch_and_lies_within_its_bounds(h):
    lse = routing.log_sum_exp(h)
    assert lse.dtype == h.dtype
    close(lse, torch.logsumexp(torch.tensor(h), -1), h.dtype)
    slack = 1e-6 * (1 + np.abs(lse))
    assert (h.max(-1) - slack <= lse).all()
    assert (lse <= h.max(-1) + np.log(h.shape[-1]) + slack).all()


def test_log_sum_exp_of_a_mask_and_of_one_expert():
    assert routing.log_sum_exp([3.0, -np.inf]) == 3.0
    assert routing.log_sum_exp([-2.5]) == -2.5
    close(routing.log_sum_exp(np.zeros((2, 8)), axis=0), np.full(8, np.log(2)))


def test_broken_control_log_sum_exp_without_the_shift():
    with np.errstate(all="ignore"), pytest.raises(AssertionError):
        close(np.log(np.exp(np.array([1e4, 0.0])).sum()), routing.log_sum_exp([1e4, 0.0]))


# --- top-k --------------------------------------------------------------------------------------------------------


@given(logit_arrays(), st.data())
def test_top_k_agrees_with_a_stable_sort(h, data):
    k = data.draw(st.integers(1, h.shape[-1]))
    values, indices = routing.top_k(h, k)
    expected_values, expected_indices = torch_top_k(h, k)
    np.testing.assert_array_equal(values, expected_values)
    np.testing.assert_array_equal(indices, expected_indices)


def test_ties_go_to_the_lower_index():
    assert routing.top_k(np.zeros(6), 3)[1].tolist() == [0, 1, 2]
    assert routing.top_k([1.0, 2.0, 2.0, 0.0, 2.0], 2)[1].tolist() == [1, 2]
    assert routing.top_k([0.0, -0.0, 0.0], 3)[1].tolist() == [0, 1, 2]
    assert routing.top_k([-np.inf, 0.0, -np.inf], 2)[1].tolist() == [1, 0]


def test_broken_control_top_k_ascending_sort_reverses_ties():
    scores = np.array([1.0, 1.0, 0.0])
    assert np.argsort(scores, kind="stable")[::-1][:2].tolist() != routing.top_k(scores, 2)[1].tolist()


@pytest.mark.parametrize("k", [0, 5, -1, 2.0, True, None, "2"])
@pytest.mark.parametrize("function", [routing.top_k, routing.gate_weights])
def test_bad_k(function, k):
    with pytest.raises(ValueError, match=r"^k = .*from 1 to 4"):
        function(np.zeros(4), k)


# --- gates --------------------------------------------------------------------------------------------------------


@given(logit_arrays(), st.sampled_from(list(routing.GATE_FORMS)), st.sampled_from([0.5, 1.0, 3.0]), st.data())
def test_gates_agree_with_torch(h, form, temperature, data):
    k = data.draw(st.integers(1, h.shape[-1]))
    w = routing.gate_weights(h, k, form, temperature)
    assert w.dtype == h.dtype
    close(w, torch_gate(h.astype(float), k, form, temperature), h.dtype)


@given(logit_arrays(), st.data())
def test_gate_forms_keep_their_promises(h, data):
    k = data.draw(st.integers(1, h.shape[-1]))
    forms = {form: routing.gate_weights(h, k, form) for form in routing.GATE_FORMS}
    close(forms["topk_softmax"], forms["softmax_topk_renorm"], np.float32)
    close(forms["topk_softmax"].sum(-1), 1, np.float32)
    assert (forms["softmax_topk"].sum(-1) <= 1 + 1e-6).all()
    outside = ~routing._selection_mask(h, k)
    assert all((w[outside] == 0).all() for w in forms.values())


def test_worked_example_weights():
    w = routing.gate_weights([-0.18, 0.30, 0.52, -0.26], 2)
    np.testing.assert_allclose(w, [0, 1 / (1 + np.exp(0.22)), 1 / (1 + np.exp(-0.22)), 0], rtol=1e-12)


def test_all_experts_selected_is_the_dense_softmax_and_k_one_renormalised_is_one():
    h = np.random.default_rng(2).normal(size=(3, 5))
    for form in routing.GATE_FORMS:
        close(routing.gate_weights(h, 5, form), routing.softmax(h))
    assert (routing.gate_weights(h, 1).max(-1) == 1).all()


@pytest.mark.parametrize("form", routing.GATE_FORMS)
def test_gates_at_extremes(form):
    h = np.array([[1e4, -1e4, 0.0, -np.inf], [-np.inf, 2.0, -np.inf, -np.inf]], np.float32)
    for temperature in (1e-6, 1.0, 1e6):
        w = routing.gate_weights(h, 2, form, temperature)
        assert np.isfinite(w).all()
        assert w[1].tolist() == [0, 1, 0, 0]
    assert routing.gate_weights(h, 4, form).shape == h.shape


def test_selection_is_made_on_the_logits_where_float32_probabilities_tie():
    h = np.array([0.0, -200.0, -150.0], np.float32)  # both small probabilities underflow to 0
    assert routing.softmax(h)[1] == routing.softmax(h)[2] == 0
    assert routing.route(np.ones(1), h[None], 2).selected.tolist() == [0, 2]


def test_broken_control_gates_masking_with_zero_leaks_weight():
    h = np.array([-0.18, 0.30, 0.52, -0.26])
    leaky = routing.softmax(np.where(routing._selection_mask(h, 2), h, 0.0))
    with pytest.raises(AssertionError):
        close(leaky, routing.gate_weights(h, 2))


def test_bad_form():
    with pytest.raises(ValueError, match=r"^form = 'softmax': expected one of 'topk_softmax'"):
        routing.gate_weights([0.0, 1.0], 1, "softmax")


# --- noise --------------------------------------------------------------------------------------------------------


def test_noise_has_the_mean_and_the_spread_of_the_paper():
    rng = np.random.default_rng(3)
    W_noise = rng.normal(size=(3, 4))
    draws = np.stack([routing.noisy_logits(X, W_G, W_noise, rng) for _ in range(20_000)])  # (draws, N)
    scale = torch.nn.functional.softplus(torch.tensor(X @ W_noise)).numpy()
    np.testing.assert_allclose(draws.mean(0), X @ W_G, atol=4 * scale.max() / np.sqrt(20_000))
    np.testing.assert_allclose(draws.std(0), scale, rtol=0.03)


def test_noise_is_independent_between_experts_and_tokens_and_repeats_with_its_seed():
    x = np.repeat(X[None], 4_000, axis=0)
    noise = routing.noisy_logits(x, W_G, np.zeros((3, 4)), np.random.default_rng(4)) - x @ W_G
    assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < 0.07
    again = routing.noisy_logits(x, W_G, np.zeros((3, 4)), np.random.default_rng(4)) - x @ W_G
    np.testing.assert_array_equal(noise, again)
    np.testing.assert_allclose(noise.std(), np.log(2), rtol=0.02)  # softplus(0), Shazeer's starting point


def test_broken_control_noise_one_global_scale():
    rng = np.random.default_rng(5)
    W_noise = np.array([[3.0, -3.0, 0.0, 0.0], [0, 0, 0, 0], [0, 0, 0, 0]])
    ours = np.stack([routing.noisy_logits(X, W_G, W_noise, rng) for _ in range(2_000)]).std(0)
    assert ours[0] > 10 * ours[1]  # a single scale could not do this


@pytest.mark.parametrize(
    ("W_noise", "rng", "named"),
    [(np.zeros((3, 3)), np.random.default_rng(0), "W_noise.shape"), (np.zeros((3, 4)), 0, "rng = 0")],
)
def test_bad_noise(W_noise, rng, named):
    with pytest.raises(ValueError, match="expected") as error:
        routing.noisy_logits(X, W_G, W_noise, rng)
    assert str(error.value).startswith(named)


def test_noise_keeps_float32():
    f32 = [a.astype(np.float32) for a in (X, W_G, W_G)]
    assert routing.noisy_logits(*f32, np.random.default_rng(0)).dtype == np.float32


# --- route --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", routing.GATE_FORMS)
@pytest.mark.parametrize("lead", [(), (5,), (2, 3)])
def test_route_is_its_parts(form, lead):
    rng = np.random.default_rng(6)
    x, noise = rng.normal(size=(*lead, 3)), rng.normal(size=(*lead, 4))
    trace = routing.route(x, W_G, 2, form, 0.7, noise)
    h = x @ W_G + noise
    close(trace.logits, h)
    close(trace.probs, torch.softmax(torch.tensor(h) / 0.7, -1))
    close(trace.weights, torch_gate(h, 2, form, 0.7))
    np.testing.assert_array_equal(trace.selected, torch_top_k(h, 2)[1])


def test_broken_control_route_noise_after_selection_is_noticed():
    noise = np.array([5.0, 0.0, 0.0, 0.0])
    late = routing.gate_weights(X @ W_G, 2)
    assert not np.allclose(late, routing.route(X, W_G, 2, noise=noise).weights)


@pytest.mark.parametrize("noise", [np.zeros(3), np.zeros((1, 4)), [np.nan] * 4, "loud"])
def test_bad_noise_array(noise):
    with pytest.raises(ValueError, match=r"^noise.*expected"):
        routing.route(X, W_G, 2, noise=noise)


def test_trace_prints_a_table_with_every_number():
    table = repr(routing.route(X, W_G, 2))
    assert "k = 2" in table
    line = next(line for line in table.splitlines() if line.split()[0] == "E3")
    assert line.split()[:5] == ["E3", "2", "0.520", "0.363", "0.555"]
    assert "yes, rank 1" in line
    assert sum("yes" in row for row in table.splitlines()) == 2


def test_trace_of_many_tokens_is_cut_and_says_so():
    table = repr(routing.route(np.ones((50, 3)), W_G, 2))
    assert len(table.splitlines()) == 23
    assert "30 more tokens" in table


V3 = routing.Gate("sigmoid", scale=2.5, groups=2, kept_groups=1, group_score="top2")


@pytest.mark.parametrize("gate", [*routing.GATES.values(), routing.Gate("sigmoid"), V3])
@pytest.mark.parametrize("bias", [None, [0.0, 0.3, -0.2, 0.1]])
def test_route_keeps_every_step_of_a_gate(gate, bias):
    x = np.random.default_rng(6).normal(size=(5, 3))
    trace = routing.route(x, W_G, 2, gate, bias=bias)
    close(trace.logits, x @ W_G)
    np.testing.assert_array_equal(trace.weights, gate.weights(x @ W_G, 2, bias))
    np.testing.assert_array_equal(trace.selected, torch_top_k(trace.seen, 2)[1])
    kept = np.take_along_axis(trace.weights, trace.selected, axis=-1)
    s = np.take_along_axis(trace.scores, trace.selected, axis=-1)
    close(kept, gate.scale * (s / s.sum(-1, keepdims=True) if gate.normalise else s))
    assert ((trace.weights > 0).sum(-1) == 2).all()


def test_a_gates_trace_prints_what_the_selection_sees_and_what_the_weights_see_apart():
    table = repr(routing.route(X, W_G, 2, V3, bias=[0.0, 0.0, -0.2, 0.1])).splitlines()
    first = "k = 2, form = Gate(score='sigmoid', scale=2.5, groups=2, kept_groups=1, group_score='top2')"
    assert table[0] == first
    s = 1 / (1 + np.exp(-(X @ W_G)))
    weights = 2.5 * s / s[:2].sum()
    for i, row in enumerate(table[2:]):
        seen, written = (f"{s[i]:.3f}", f"{weights[i]:.3f}") if i < 2 else ("-inf", "0.000")
        assert row.split()[:5] == [f"E{i + 1}", f"{X @ W_G[:, i]:.3f}", seen, f"{s[i]:.3f}", written]
    assert [row.split()[5] for row in table[2:]] == ["yes,", "yes,", "no", "no"]
    assert max(map(len, table)) < 100


def test_broken_control_a_bias_in_the_weights_would_show_in_a_gates_trace():
    trace = routing.route(X, W_G, 2, routing.Gate("sigmoid"), bias=[0.0, 0.5, 0.0, 0.0])
    wrong = np.where(trace.weights > 0, trace.seen, 0)
    assert np.abs(wrong / wrong.sum() - trace.weights).max() > 0.05
    assert not np.allclose(trace.seen, trace.scores)


@pytest.mark.parametrize(
    ("more", "start"),
    [
        ({"bias": [0.0] * 4}, "bias = [0.0, 0.0, 0.0, 0.0]: expected None, or a Gate"),
        ({"form": routing.Gate("sigmoid"), "temperature": 2.0}, "temperature = 2.0: expected 1"),
        ({"form": routing.Gate("sigmoid"), "bias": [0.0] * 3}, "bias.shape = (3,)"),
        ({"form": routing.Gate("sigmoid", groups=3)}, "groups = 3: expected a divisor"),
        ({"form": "sigmoid"}, "form = 'sigmoid'"),
    ],
)
def test_route_refuses_what_a_gate_refuses_and_what_belongs_to_none(more, start):
    with pytest.raises(ValueError, match="expected") as error:
        routing.route(X, W_G, 2, **more)
    assert str(error.value).startswith(start)


def test_inputs_are_left_alone():
    x, W_g = X.copy(), W_G.copy()
    routing.route(x, W_g, 2, noise=np.ones(4))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(W_g, W_G)


def test_overflow_and_a_bad_noise_matrix_name_the_argument():
    with pytest.raises(ValueError, match=r"^x @ W_g.* = inf: expected products that fit"):
        routing.router_logits([1e200, 0.0, 0.0], np.full((3, 4), 1e200))
    for bad in (np.full((3, 4), np.nan), [[1.0], [1.0, 2.0]]):
        with pytest.raises(ValueError, match=r"^W_noise"):
            routing.noisy_logits(X, W_G, bad, np.random.default_rng(0))
    assert np.isfinite(routing.noisy_logits(X, W_G, np.full((3, 4), 800.0), np.random.default_rng(0))).all()
    with pytest.raises(ValueError, match=r"^x = .*a dense tensor"):
        routing.router_logits(torch.ones(3).to_sparse(), W_G)


def test_half_precision_log_sum_exp_of_many_experts_does_not_overflow():
    lse = routing.log_sum_exp(np.zeros(100_000, np.float16))
    assert lse.dtype == np.float16
    np.testing.assert_allclose(lse, np.log(100_000), rtol=1e-3)


def test_huge_logits_print_in_a_short_line():
    assert max(map(len, repr(routing.route([1e300], [[1.0, 2.0]], 1)).splitlines())) < 80


def test_logits_print_with_three_decimals_up_to_ten_thousand():
    table = repr(routing.route([9999.9994], [[1.0, 2.0]], 1))
    assert [row.split()[2] for row in table.splitlines()[2:]] == ["9999.999", "2.0e+04"]
