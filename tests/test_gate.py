"""`routing.Gate` against a loop written from its formula, and its gradient against autograd and differences."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_lessons import routing
from moe_lessons.balancing import BiasBalancer
from moe_lessons.figures.gradients import gate_gradient, logit_gradient
from moe_lessons.gate import SCORES as SCORES_OF_TENSORS
from moe_lessons.gate import selection_scores
from moe_lessons.layer import MoELayer, Router, feed_forward, gate_selected, per_expert, per_token
from moe_lessons.routing import GATE_FORMS, GATES, Gate

DEEPSEEK_V3 = Gate("sigmoid", scale=2.5, groups=4, kept_groups=2, group_score="top2")
EVERY = [
    Gate(score, after_selection, normalise, scale, groups, kept, group_score)
    for score in routing.SCORES
    for after_selection in (False, True)
    for normalise in (False, True)
    for scale, groups, kept, group_score in [
        (1.0, 1, 1, "max"), (2.5, 4, 2, "max"), (0.5, 2, 1, "top2"), (1.0, 4, 4, "top2"),
    ]
]  # fmt: skip
SCORES = {
    "softmax": lambda h: np.exp(h) / np.exp(h).sum(),
    "sigmoid": lambda h: np.exp(h) / (np.exp(h) + 1),
    "sqrtsoftplus": lambda h: np.sqrt(np.log1p(np.exp(h))),
}


def by_the_formula(gate, h, k, bias):
    """The weights of one token, expert by expert. h, bias: (N,)."""
    seen = (h if gate.after_selection else SCORES[gate.score](h)) + bias
    size = len(h) // gate.groups
    groups = [range(g * size, (g + 1) * size) for g in range(gate.groups)]
    worth = [sum(sorted(seen[i] for i in group)[-(1 if gate.group_score == "max" else 2) :]) for group in groups]
    allowed = [i for g in sorted(range(len(groups)), key=lambda g: -worth[g])[: gate.kept_groups] for i in groups[g]]
    S = sorted(sorted(allowed), key=lambda i: -seen[i])[:k]
    s = np.zeros(len(h))
    s[S] = SCORES[gate.score](h[S]) if gate.after_selection else SCORES[gate.score](h)[S]
    return gate.scale * (s / s.sum() if gate.normalise else s)


def far_from_ties(gate, h, bias):
    """Whether nothing that is compared with anything lies so near that rounding could decide."""
    seen = (h if gate.after_selection else SCORES[gate.score](h)) + bias
    best = np.sort(seen.reshape(gate.groups, -1))[:, -routing.GROUP_SCORES[gate.group_score] :].sum(-1)
    return all(np.diff(np.sort(values)).min(initial=1) > 1e-9 for values in (seen, best))


logits_of_eight = st.lists(st.floats(-20, 20), min_size=8, max_size=8).map(np.array)
biases = st.one_of(st.just(np.zeros(8)), st.lists(st.floats(-3, 3), min_size=8, max_size=8).map(np.array))


@settings(max_examples=300)
@given(st.sampled_from(EVERY), logits_of_eight, biases, st.integers(1, 4))
def test_every_gate_is_its_formula(gate, h, bias, k):
    if far_from_ties(gate, h, bias):
        np.testing.assert_allclose(gate.weights(h, k, bias), by_the_formula(gate, h, k, bias), rtol=1e-9, atol=1e-12)


@given(st.sampled_from(EVERY), st.integers(1, 4), st.sampled_from([np.float32, np.float64]), st.integers(0, 99))
def test_tokens_are_independent_of_each_other_and_keep_shape_and_dtype(gate, k, dtype, seed):
    rng = np.random.default_rng(seed)
    h, bias = rng.normal(size=(2, 3, 8)).astype(dtype), rng.normal(size=8)
    w, kept = gate.weights(h, k, bias), gate.selected(h, k, bias)
    assert (w.shape, w.dtype, kept.shape, kept.dtype) == (h.shape, dtype, h.shape, bool)
    assert (kept.sum(-1) == k).all()
    assert (w[~kept] == 0).all()
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(w[place], gate.weights(h[place], k, bias))
    if gate.constant_sum:
        np.testing.assert_allclose(w.sum(-1), gate.scale, rtol=1e-5)
    assert gate.weights(h[:0], k).shape == (0, 3, 8)


@given(st.sampled_from([np.float32, np.float64]), st.integers(0, 999), st.sampled_from([1, 30, 1e4]))
def test_the_three_forms_are_three_gates_to_the_last_bit(dtype, seed, size):
    rng = np.random.default_rng(seed)
    N = int(rng.integers(1, 9))
    h, k = (rng.normal(size=(3, N)) * size).astype(dtype), int(rng.integers(1, N + 1))
    for form in GATE_FORMS:
        np.testing.assert_array_equal(GATES[form].weights(h, k), routing.gate_weights(h, k, form))


def test_gates_have_the_names_of_the_forms():
    assert list(GATES) == list(GATE_FORMS)
    assert routing.as_gate("softmax_topk") == Gate(normalise=False)
    assert routing.as_gate(DEEPSEEK_V3) is DEEPSEEK_V3
    with pytest.raises(ValueError, match="gate = 'sigmoid': expected one of 'topk_softmax'"):
        routing.as_gate("sigmoid")


def test_a_bias_moves_who_is_selected_and_no_weight():
    h, up = np.array([2.0, 1.0, 0.0, -1.0]), np.array([0.0, 0.0, 0.0, 1.0])
    plain, biased = (Gate("sigmoid", normalise=False).weights(h, 2, b) for b in (None, up))
    assert np.flatnonzero(plain).tolist() == [0, 1]
    assert np.flatnonzero(biased).tolist() == [0, 3]
    assert biased[3] == 1 / (1 + np.e)  # the score of its logit, not 1 more
    assert biased[0] == plain[0]
    # After the selection the bias is one of logits: there 1 is too little to pass 1.0 from −1.0.
    late = Gate("sigmoid", after_selection=True, normalise=False)
    assert np.flatnonzero(late.weights(h, 2, up)).tolist() == [0, 1]
    assert np.flatnonzero(late.weights(h, 2, 2.5 * up)).tolist() == [0, 3]


def test_scores_of_one_logit_do_not_hear_of_the_others_and_softmax_does():
    h, raised = np.array([1.0, 0.0, -1.0]), np.array([3.0, 0.0, -1.0])
    for score in ("sigmoid", "sqrtsoftplus"):
        gate = Gate(score, normalise=False)
        assert gate.weights(h, 2)[1] == gate.weights(raised, 2)[1]
    assert Gate(normalise=False).weights(h, 2)[1] > Gate(normalise=False).weights(raised, 2)[1]


def test_dropped_groups_are_out_however_negative_the_kept_ones_are():
    h = np.array([3.0, 2.9, 2.0, 1.9, -5.0, -5.0, -5.0, -5.0])
    bias = np.array([-30.0, -30, -30, -30, -31, -31, -31, -31])
    gate = Gate("sigmoid", groups=4, kept_groups=2, group_score="top2")
    assert np.flatnonzero(gate.selected(h, 4, bias)).tolist() == [0, 1, 2, 3]


def test_a_group_is_as_good_as_its_best_expert_or_its_best_two():
    h = np.array([2.0, -9.0, 1.0, 0.9])
    one, two = (Gate("sigmoid", groups=2, kept_groups=1, group_score=score) for score in ("max", "top2"))
    assert np.flatnonzero(one.selected(h, 1)).tolist() == [0]
    assert np.flatnonzero(two.selected(h, 1)).tolist() == [2]  # two of .73 and .71 beat .88 and .0001


def test_ties_go_to_the_lower_index_among_groups_too():
    assert np.flatnonzero(Gate("sigmoid", groups=4, kept_groups=2).selected(np.zeros(8), 3)).tolist() == [0, 1, 2]


def test_without_a_bias_logits_decide_where_scores_tie():
    h = np.array([50.0, 60.0, 0.0])  # both sigmoids are 1 to the last bit
    assert routing.sigmoid(h)[0] == routing.sigmoid(h)[1] == 1
    assert np.flatnonzero(Gate("sigmoid").selected(h, 1)).tolist() == [1]


def test_a_mask_stays_a_mask_under_a_large_bias():
    h = np.array([1.0, -np.inf, 0.0, -1.0])
    for gate in (
        Gate("sigmoid"),
        Gate(),
        Gate("sqrtsoftplus", after_selection=True),
        Gate("sigmoid", groups=2, kept_groups=2),
    ):
        w = gate.weights(h, 2, [0.0, 9.0, 0.0, 0.0])
        assert np.flatnonzero(w).tolist() == [0, 2]
        assert np.isfinite(w).all()
    assert Gate("sigmoid").weights(h, 4)[1] == 0  # selected for want of others, and still without weight


@pytest.mark.parametrize("score", routing.SCORES)
def test_gates_at_extremes(score):
    h = np.array([[1e4, -1e4, 0.0, 200.0], [-1e4, -2e4, -3e4, -4e4]], np.float32)
    for after_selection in (False, True):
        w = Gate(score, after_selection).weights(h, 2)
        assert np.isfinite(w).all()
        assert w[0].sum() == pytest.approx(1)
    # All scores of the second token underflow to 0, but for a softmax, which is relative: nothing to divide by.
    assert w[1].sum() == (1 if score == "softmax" else 0)


def test_broken_control_a_bias_in_the_weights_and_zeros_for_dropped_groups_are_noticed():
    rng = np.random.default_rng(0)
    h, bias = rng.normal(size=8), rng.normal(size=8)
    kept = DEEPSEEK_V3.selected(h, 3, bias)
    s = np.where(kept, routing.sigmoid(h) + bias, 0)
    assert not np.allclose(2.5 * s / s.sum(), DEEPSEEK_V3.weights(h, 3, bias))
    seen = routing.sigmoid(h) - 5  # all below 0: with zeros in their places, the dropped groups win
    in_kept_groups = np.repeat(DEEPSEEK_V3.selected(h, 4).reshape(4, 2).any(-1), 2)
    zeros = np.where(in_kept_groups, seen, 0.0)
    assert not (routing._selection_mask(zeros, 4) == DEEPSEEK_V3.selected(h, 4, -5 * np.ones(8))).all()


@pytest.mark.parametrize(
    ("settings", "start"),
    [
        ({"score": "tanh"}, "score = 'tanh': expected one of 'softmax', 'sigmoid', 'sqrtsoftplus'"),
        ({"group_score": "top3"}, "group_score = 'top3': expected one of 'max', 'top2'"),
        ({"after_selection": 1}, "after_selection = 1: expected True or False"),
        ({"normalise": None}, "normalise = None: expected True or False"),
        ({"scale": 0}, "scale = 0: expected a finite number above 0"),
        ({"groups": 0}, "groups = 0: expected a whole number from 1"),
        ({"groups": 2, "kept_groups": 3}, "kept_groups = 3: expected a whole number from 1 to 2"),
    ],
)
def test_bad_settings(settings, start):
    with pytest.raises(ValueError, match="expected") as error:
        Gate(**settings)
    assert str(error.value).startswith(start)


@pytest.mark.parametrize(
    ("gate", "logits", "k", "bias", "start"),
    [
        (Gate(), [0.0, np.nan], 1, None, "logits[1] = nan"),
        (Gate(), np.zeros(4), 5, None, "k = 5: expected a whole number from 1 to 4"),
        (DEEPSEEK_V3, np.zeros(8), 5, None, "k = 5: expected a whole number from 1 to 4"),
        (Gate(groups=4), np.zeros(6), 1, None, "groups = 4: expected a divisor of the number of experts, 6"),
        (Gate(groups=8), np.zeros(4), 1, None, "groups = 8: expected a divisor of the number of experts, 4"),
        (DEEPSEEK_V3, np.zeros(4), 1, None, "group_score = 'top2': expected 'max': a group of 1 has no two experts"),
        (Gate(), np.zeros(4), 1, np.zeros(3), "bias.shape = (3,): expected (4,)"),
        (Gate(), np.zeros((2, 4)), 1, np.zeros((2, 4)), "bias.shape = (2, 4): expected (4,)"),
        (Gate(), np.zeros(4), 1, [0, 0, 0, np.inf], "bias[3] = inf"),
    ],
)
def test_bad_input(gate, logits, k, bias, start):
    for method in (gate.weights, gate.selected):
        with pytest.raises(ValueError, match="expected") as error:
            method(logits, k, bias)
        assert str(error.value).startswith(start)


def test_a_gate_cannot_be_changed_and_can_be_a_key():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEEPSEEK_V3.scale = 1.0
    assert {Gate(): "B′"}[Gate("softmax")] == "B′"


# --- the gradient -------------------------------------------------------------------------------------------------


def torch_weights(gate, h, kept):
    """The kept weights as torch computes them, the choice being constant. h: (N,) with a gradient."""
    score = {
        "softmax": lambda h: h.softmax(-1),
        "sigmoid": torch.sigmoid,
        "sqrtsoftplus": lambda h: torch.log1p(h.exp()).sqrt(),
    }
    s = score[gate.score](h[kept]) if gate.after_selection else score[gate.score](h)[kept]
    return gate.scale * (s / s.sum() if gate.normalise else s)


@pytest.mark.parametrize("gate", EVERY, ids=str)
def test_the_gradient_is_that_of_autograd_and_of_differences(gate):
    rng = np.random.default_rng(7)
    for k in (1, 3):
        h, a, bias = rng.normal(size=(3, 8)) * 2
        kept = gate.selected(h, k, bias)
        leaf = torch.tensor(h, requires_grad=True)
        (torch_weights(gate, leaf, torch.tensor(kept)) @ torch.tensor(a[kept])).backward()
        ours = gate_gradient(gate, h, a, k, bias)
        np.testing.assert_allclose(ours, leaf.grad.numpy(), rtol=1e-9, atol=1e-12)
        step = 1e-6 * np.eye(8)
        slopes = (gate.weights(h + step, k, bias) - gate.weights(h - step, k, bias)) @ a / 2e-6
        np.testing.assert_allclose(ours, slopes, atol=1e-7)


def test_the_forms_have_the_gradients_of_lesson_07():
    rng = np.random.default_rng(1)
    h, a = rng.normal(size=(2, 6))
    for form in GATE_FORMS:
        np.testing.assert_allclose(gate_gradient(GATES[form], h, a, 2), logit_gradient(h, a, 2, form), atol=1e-15)


def test_a_softmax_gradient_sums_to_zero_and_that_of_independent_scores_need_not():
    rng = np.random.default_rng(2)
    h, a = rng.normal(size=(2, 50, 8))
    for gate in EVERY:
        total = gate_gradient(gate, h, a, 3).sum(-1)  # (50,)
        assert (np.abs(total).max() < 1e-12) == (gate.score == "softmax")
    alone = gate_gradient(Gate("sigmoid"), h, a, 1)
    np.testing.assert_allclose(alone, 0, atol=1e-15)  # k = 1, normalised: the weight is always 1


def test_the_gradient_takes_any_leading_shape_and_is_finite_where_scores_underflow():
    h = np.array([[[-1e4, -2e4, -3e4], [1.0, 2.0, 0.0]]])
    for gate in (Gate("sigmoid"), Gate("sqrtsoftplus"), Gate("sqrtsoftplus", normalise=False), Gate()):
        gradient = gate_gradient(gate, h, np.ones_like(h), 2)
        assert gradient.shape == h.shape
        assert np.isfinite(gradient).all()


def test_the_gradient_refuses_another_shape():
    with pytest.raises(ValueError, match=r"usefulness.shape = \(2,\): expected the shape of the logits, \(3,\)"):
        gate_gradient(Gate(), np.zeros(3), np.zeros(2), 1)


# --- in the layer -------------------------------------------------------------------------------------------------


def spread(routing_, N):
    """The weights of a decision of the layer, dense: (T, N)."""
    zeros = torch.zeros(*routing_.weights.shape[:-1], N, dtype=routing_.weights.dtype)
    return zeros.scatter(-1, routing_.selected, routing_.weights).detach().numpy()


@pytest.mark.parametrize("gate", [*EVERY, *GATES], ids=str)
def test_the_layer_selects_and_weighs_as_the_gate_does(gate):
    torch.manual_seed(0)
    balancer = BiasBalancer(8)
    for shift in (0.0, -10.0):
        balancer.bias.copy_(torch.randn(8) + shift)
        layer = MoELayer(6, 5, 8, 3, gate=gate, balancer=balancer)
        _, decided = layer(torch.randn(4, 7, 6), return_routing=True)
        ours = routing.as_gate(gate).weights(decided.logits.detach().numpy(), 3, balancer.bias.numpy())
        np.testing.assert_allclose(spread(decided, 8), ours, atol=1e-6)
    plain = MoELayer(6, 5, 8, 3, gate=gate)
    _, decided = plain(torch.randn(40, 6), return_routing=True)
    ours = routing.as_gate(gate).weights(decided.logits.detach().numpy(), 3)
    np.testing.assert_allclose(spread(decided, 8), ours, atol=1e-6)


def test_the_forms_weigh_to_the_last_bit_as_written_out_in_torch():
    h = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    selected = h.argsort(descending=True)[:, :3]
    kept = h.softmax(-1).gather(-1, selected)
    assert torch.equal(gate_selected(h, selected, "topk_softmax"), h.gather(-1, selected).softmax(-1))
    assert torch.equal(gate_selected(h, selected, "softmax_topk"), kept)
    assert torch.equal(gate_selected(h, selected, "softmax_topk_renorm"), kept / kept.sum(-1, keepdim=True))


def test_without_a_bias_the_layer_selects_on_the_logits_where_scores_tie():
    h = torch.tensor([[50.0, 60.0, 0.0]])
    assert torch.equal(selection_scores(h, Gate("sigmoid")), h)
    assert selection_scores(h, Gate("sigmoid"), torch.zeros(3))[0, :2].tolist() == [1, 1]


def test_scores_that_underflow_have_a_finite_slope():
    for score in SCORES_OF_TENSORS.values():
        h = torch.tensor([[-200.0, -300.0, 0.0], [-400.0, -500.0, -600.0]], requires_grad=True)
        s = score(h)
        (s / s.sum(-1, keepdim=True).clamp(min=1e-30)).square().sum().backward()
        assert torch.isfinite(h.grad).all()


@pytest.mark.parametrize("gate", [DEEPSEEK_V3, Gate("sqrtsoftplus", normalise=False), Gate("sigmoid", True, False)])
def test_the_layers_gradient_is_that_of_the_formula_and_the_bias_has_none(gate):
    torch.manual_seed(1)
    layer = MoELayer(6, 5, 8, 3, gate=gate, balancer=BiasBalancer(8)).double()
    layer.router.balancer.bias.copy_(torch.randn(8))
    x, v = torch.randn(2, 6, dtype=torch.float64).unbind(0)
    y, decided = layer(x, return_routing=True)
    (y @ v).backward()
    a = np.array([(E(x[None])[0] @ v).item() for E in layer.experts.functions()])
    along_h = gate_gradient(gate, decided.logits.detach().numpy(), a, 3, layer.router.balancer.bias.numpy())
    np.testing.assert_allclose(layer.router.W_g.grad, np.outer(x, along_h), atol=1e-12)


def test_a_balancer_brings_a_sigmoid_router_to_balance_and_never_touches_a_weight():
    torch.manual_seed(2)
    layer = MoELayer(8, 4, 8, 2, gate=Gate("sigmoid"), balancer=BiasBalancer(8, u=0.02))
    x = torch.randn(2000, 8) + 1  # tokens with a mean: some experts are liked by all
    loads = []
    for _ in range(200):
        _, decided = layer(x, return_routing=True)
        loads.append(torch.bincount(decided.selected.flatten(), minlength=8))
        layer.router.balancer.update(loads[-1])
    assert loads[-1].max() < 0.6 * loads[0].max()
    assert loads[-1].max() < 1.2 * loads[-1].double().mean()
    s = torch.sigmoid(decided.logits).gather(-1, decided.selected)
    torch.testing.assert_close(decided.weights, s / s.sum(-1, keepdim=True))
    assert "router.balancer.bias" in layer.state_dict()


def test_only_a_gate_that_leaves_the_router_without_a_gradient_warns():
    for gate in (Gate("sigmoid"), Gate(), Gate(after_selection=True, normalise=False), "topk_softmax"):
        with pytest.warns(UserWarning, match="the router gets no gradient"):
            MoELayer(4, 4, 3, 1, gate=gate)
    for gate in (Gate("sigmoid", normalise=False), Gate("sigmoid", True, False), "softmax_topk"):
        MoELayer(4, 4, 3, 1, gate=gate)


def test_shared_experts_run_for_every_token_with_and_without_a_gate_of_their_own():
    torch.manual_seed(3)
    x = torch.randn(2, 5, 4)
    for activation in ("relu", "swiglu"):
        layer = MoELayer(4, 6, 3, 2, activation=activation, shared_experts=2, shared_gate=True)
        y = layer(x)
        alone = MoELayer(4, 6, 3, 2, activation=activation)
        alone.load_state_dict({k: v for k, v in layer.state_dict().items() if "shared" not in k})
        added = (y - alone(x)).reshape(-1, 4)
        W = [layer.shared.state_dict()[name] for name in layer.shared.names]  # (1, 4, 12), (1, 12, 4), (1, 4, 12)
        halves = [
            [w[0, :, cut] if name != "W2" else w[0, cut] for name, w in zip(layer.shared.names, W, strict=True)]
            for cut in (slice(6), slice(6, 12))
        ]
        tokens = x.reshape(-1, 4)
        two = sum(feed_forward(tokens, activation, matrices) for matrices in halves)
        torch.testing.assert_close(added, torch.sigmoid(tokens @ layer.W_shared) * two)
        layer.W_shared = None
        torch.testing.assert_close((layer(x) - alone(x)).reshape(-1, 4), two)


@pytest.mark.parametrize("storage", ["separate", "stacked"])
@pytest.mark.parametrize("width", [4, 6])  # with 6 the rows are no whole 16 bytes: another way to multiply
def test_experts_without_computation_return_the_token(storage, width):
    torch.manual_seed(4)
    layer = MoELayer(width, 8, 3, 2, gate=Gate(normalise=False, scale=6.0), storage=storage, zero_experts=2)
    x = torch.randn(50, width, requires_grad=True)
    y, decided = layer(x, return_routing=True)
    assert decided.logits.shape == (50, 5)
    w, E = torch.tensor(spread(decided, 5)), layer.experts
    by_hand = sum(w[:, i, None] * E.one(i, x) for i in range(3)) + w[:, 3:].sum(-1, keepdim=True) * x
    torch.testing.assert_close(y, by_hand)
    for way in (per_token, per_expert):
        torch.testing.assert_close(y, way(E, x, decided.selected, decided.weights))
    assert (decided.selected > 2).any()
    all_zero = torch.full((50, 1), 4), torch.ones(50, 1)
    torch.testing.assert_close(E(x, *all_zero), x)
    y.sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    ("call", "start"),
    [
        (lambda: MoELayer(4, 4, 8, 2, gate="sigmoid"), "gate = 'sigmoid': expected one of 'topk_softmax'"),
        (lambda: MoELayer(4, 4, 8, 5, gate=DEEPSEEK_V3), "top_k = 5: expected a whole number from 1 to 4"),
        (lambda: MoELayer(4, 4, 6, 2, gate=DEEPSEEK_V3), "groups = 4: expected a divisor of the number of experts, 6"),
        (
            lambda: MoELayer(4, 4, 8, 2, balancer=BiasBalancer(7)),
            "balancer = BiasBalancer(): expected a BiasBalancer(8)",
        ),
        (
            lambda: MoELayer(4, 4, 8, 2, router=Router(4, 8, 2), balancer=BiasBalancer(8)),
            "gate, bias, jitter, noise, bal",
        ),
        (lambda: MoELayer(4, 4, 8, 2, shared_experts=-1), "shared_experts = -1: expected a whole number from 0"),
        (lambda: MoELayer(4, 4, 8, 2, shared_gate=True), "shared_experts = 0: expected a whole number from 1"),
        (lambda: MoELayer(4, 4, 8, 2, zero_experts=-1), "zero_experts = -1: expected a whole number from 0"),
    ],
)
def test_bad_layers(call, start):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(start)
