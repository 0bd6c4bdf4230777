"""`estimators`: the value each promises, the gradient each promises, and broken copies that these tests refuse."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_lessons import routing
from moe_lessons.estimators import AdaptiveL1, DefaultVector, relu_weights, sparse_mixture, straight_through

GATES = list(routing.GATE_FORMS)
T, N, D, K = 6, 5, 3, 2


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def world(*lead, seed=0):
    """Logits (*lead, N), outputs (*lead, N, D) and an incoming gradient v (*lead, D)."""
    return draw(*lead, N, seed=seed), draw(*lead, N, D, seed=seed + 1), draw(*lead, D, seed=seed + 2)


def gradients(estimator, h, E, v):
    """Return y, ∂L/∂h and ∂L/∂E for L = v·y."""
    h, E = h.clone().requires_grad_(), E.clone().requires_grad_()
    y = estimator(h, E)
    (v * y).sum().backward()
    return y.detach(), h.grad, E.grad


def reference_weights(h, gate, k=K):
    flat = h.reshape(-1, h.shape[-1]).numpy()
    return torch.tensor(routing.gate_weights(flat, k, gate)).reshape(h.shape)


def dense_gradient(p, a):
    """p_j (a_j − Σ_i p_i a_i)."""
    return p * (a - (p * a).sum(-1, keepdim=True))


def usefulness(E, v):
    return torch.einsum("...nd,...d->...n", E, v)


# --- the sparse mixture --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("lead", [(), (T,), (2, T)])
def test_the_sparse_mixture_is_the_gate_of_routing(gate, lead):
    h, E, _ = world(*lead)
    expected = (reference_weights(h, gate).unsqueeze(-1) * E).sum(-2)
    torch.testing.assert_close(sparse_mixture(h, E, K, gate), expected)


@pytest.mark.parametrize("gate", GATES)
def test_the_sparse_mixture_has_the_gradient_of_its_form(gate):
    h, E, v = world(T)
    _, router, experts = gradients(lambda h, E: sparse_mixture(h, E, K, gate), h, E, v)
    p, w, a = torch.softmax(h, -1), reference_weights(h, gate), usefulness(E, v)
    inside = (w > 0).double()
    expected = dense_gradient(w, a)
    if gate == "softmax_topk":
        expected = p * (inside * a - (inside * p * a).sum(-1, keepdim=True))
    torch.testing.assert_close(router, expected)
    torch.testing.assert_close(experts, w.unsqueeze(-1) * v.unsqueeze(-2))
    assert torch.autograd.gradcheck(lambda h, E: sparse_mixture(h, E, K, gate), [t.requires_grad_() for t in (h, E)])


def test_the_sparse_mixture_takes_a_selection_from_outside():
    h, E, _ = world(T)
    selected = torch.tensor([[0, 4]]).expand(T, 2)
    expected = (torch.softmax(h[:, [0, 4]], -1).unsqueeze(-1) * E[:, [0, 4]]).sum(-2)
    torch.testing.assert_close(sparse_mixture(h, E, K, selected=selected), expected)


# --- straight-through ----------------------------------------------------------------------------------------------


def promises_of_straight_through(estimator, gate, h, E, v, k=K):
    """Return for each promise whether the estimator keeps it."""
    y, router, experts = gradients(estimator, h, E, v)
    w, p = reference_weights(h, gate, k), torch.softmax(h, -1)
    return {
        "forward": torch.equal(y, sparse_mixture(h, E, k, gate)),
        "router": torch.allclose(router, dense_gradient(p, usefulness(E, v)), rtol=1e-9, atol=1e-12),
        "experts": torch.allclose(experts, w.unsqueeze(-1) * v.unsqueeze(-2), rtol=1e-9, atol=1e-12),
    }


@given(
    gate=st.sampled_from(GATES), k=st.integers(1, N), seed=st.integers(0, 999), lead=st.sampled_from([(), (4,), (2, 3)])
)
def test_straight_through_keeps_its_promises(gate, k, seed, lead):
    h, E, v = world(*lead, seed=seed)
    kept = promises_of_straight_through(lambda h, E: straight_through(h, E, k, gate), gate, h, E, v, k)
    assert all(kept.values()), kept


def dense_forward(h, E):
    return (torch.softmax(h, -1).unsqueeze(-1) * E).sum(-2)


def leaks_into_experts(h, E):
    """The usual one-liner: the experts get the dense gradient on top of their own."""
    dense = dense_forward(h, E)
    return sparse_mixture(h.detach(), E, K) + dense - dense.detach()


def without_the_bracket(h, E):
    """(w + p) − p is not w in floating point: unselected experts keep a crumb of weight."""
    w, p = reference_weights(h.detach(), "topk_softmax"), torch.softmax(h, -1)
    return ((w + p - p.detach()).unsqueeze(-1) * E).sum(-2)


def counts_the_router_twice(h, E):
    dense = dense_forward(h, E.detach())
    return sparse_mixture(h, E, K) + (dense - dense.detach())


@pytest.mark.parametrize(
    ("broken", "fails"),
    [
        (dense_forward, {"forward", "experts"}),
        (leaks_into_experts, {"experts"}),
        (without_the_bracket, {"forward"}),
        (counts_the_router_twice, {"router"}),
        (lambda h, E: sparse_mixture(h, E, K), {"router"}),
    ],
)
def test_broken_control_naive_estimators_break_a_promise(broken, fails):
    kept = promises_of_straight_through(broken, "topk_softmax", *world(T))
    assert fails <= {name for name, ok in kept.items() if not ok}


def test_straight_through_takes_the_gradient_at_the_sparse_output():
    h, E, target = world(T)
    h.requires_grad_()
    y = straight_through(h, E, K)
    (y - target).square().sum().backward()
    v = 2 * (y.detach() - target)
    torch.testing.assert_close(h.grad, dense_gradient(torch.softmax(h.detach(), -1), usefulness(E, v)))
    at_dense = 2 * (dense_forward(h.detach(), E) - target)
    assert not torch.allclose(h.grad, dense_gradient(torch.softmax(h.detach(), -1), usefulness(E, at_dense)))


# --- the default vector --------------------------------------------------------------------------------------------


def test_before_anything_was_seen_unselected_experts_count_as_zero():
    h, E, _ = world(T)
    layer = DefaultVector(N, D).double()
    torch.testing.assert_close(layer(h, E, K), sparse_mixture(h, E, K, "softmax_topk"))


def filled_layer(training=True, seed=9):
    layer = DefaultVector(N, D, decay=0.9).double().train(training)
    layer.average = draw(N, D, seed=seed)
    return layer


@pytest.mark.parametrize("training", [True, False])
def test_the_default_vector_stands_in_for_the_unselected(training):
    h, E, v = world(T)
    layer = filled_layer(training)
    m, p = layer.average.clone(), torch.softmax(h, -1)
    inside = (reference_weights(h, "topk_softmax") > 0).unsqueeze(-1)  # (T, N, 1)
    stand_in = torch.where(inside, E, m)  # (T, N, D)
    y, router, experts = gradients(lambda h, E: layer(h, E, K), h, E, v)
    torch.testing.assert_close(y, (p.unsqueeze(-1) * stand_in).sum(-2))
    torch.testing.assert_close(router, dense_gradient(p, usefulness(stand_in, v)))
    assert (router != 0).all()
    torch.testing.assert_close(experts, inside * p.unsqueeze(-1) * v.unsqueeze(-2))
    still = filled_layer(training=False)
    assert torch.autograd.gradcheck(lambda h, E: still(h, E, K), [t.requires_grad_() for t in (h, E)])


@pytest.mark.parametrize("layer", [filled_layer(), filled_layer(training=False)])
def test_only_selected_outputs_are_read(layer):
    h, E, v = world(T)
    inside = (reference_weights(h, "topk_softmax") > 0).unsqueeze(-1)
    poisoned = torch.where(inside, E, torch.nan)
    start = layer.average
    y, router, _ = gradients(lambda h, E: layer(h, E, K), h, E, v)
    after, layer.average = layer.average, start
    y_poisoned, router_poisoned, _ = gradients(lambda h, E: layer(h, E, K), h, poisoned, v)
    assert torch.equal(y, y_poisoned)
    assert torch.equal(router, router_poisoned)
    assert torch.equal(layer.average, after)
    assert straight_through(h, poisoned, K).isnan().any()  # one that reads them all would show it


def test_the_average_follows_the_mean_of_what_was_selected():
    layer, expected = DefaultVector(N, D, decay=0.75).double(), torch.zeros(N, D, dtype=torch.float64)
    for step in range(5):
        h, E, _ = world(T, seed=10 * step)
        h[:, 4] = -9.0  # never selected
        layer(h, E, K)
        inside = reference_weights(h, "topk_softmax") > 0
        for i in range(N):
            if inside[:, i].any():
                expected[i] = 0.75 * expected[i] + 0.25 * E[inside[:, i], i].mean(0)
    torch.testing.assert_close(layer.average, expected)
    assert (layer.average[4] == 0).all()


def test_the_average_rests_in_evaluation_and_is_saved():
    layer = filled_layer(training=False)
    before = layer.average.clone()
    layer(*world(T)[:2], K)
    assert torch.equal(layer.average, before)
    layer.train()(*world(T)[:2], K)
    assert not torch.equal(layer.average, before)
    assert list(layer.state_dict()) == ["average"]
    assert not layer.average.requires_grad


def test_a_batch_of_layers_is_each_layer_alone():
    together = DefaultVector(N, D, batch=(3,)).double()
    alone = [DefaultVector(N, D).double() for _ in range(3)]
    for step in range(3):
        h, E, _ = world(3, T, seed=step)
        y = together(h, E, K)
        for r in range(3):
            torch.testing.assert_close(y[r], alone[r](h[r], E[r], K))
            torch.testing.assert_close(together.average[r], alone[r].average)


@pytest.mark.parametrize("lead", [(), (T,), (2, T)])
def test_the_default_vector_takes_any_leading_shape(lead):
    layer, flat = filled_layer(), filled_layer()
    h, E, _ = world(*lead)
    y = layer(h, E, K)
    assert y.shape == (*lead, D)
    torch.testing.assert_close(y.reshape(-1, D), flat(h.reshape(-1, N), E.reshape(-1, N, D), K))
    torch.testing.assert_close(layer.average, flat.average)


def test_two_steps_in_a_row_can_be_differentiated():
    layer, (h, E, _) = filled_layer(), world(T)
    h.requires_grad_()
    (layer(h, E, K) + layer(h, E, K)).sum().backward()  # an update in place would raise here
    assert h.grad.isfinite().all()


# --- ReLU routing --------------------------------------------------------------------------------------------------


def test_relu_weights_and_their_gradient():
    h, E, v = world(T)
    _, router, experts = gradients(lambda h, E: (relu_weights(h).unsqueeze(-1) * E).sum(-2), h, E, v)
    torch.testing.assert_close(relu_weights(h), h * (h > 0))
    torch.testing.assert_close(router, usefulness(E, v) * (h > 0))
    torch.testing.assert_close(experts, relu_weights(h).unsqueeze(-1) * v.unsqueeze(-2))
    assert torch.autograd.gradcheck(relu_weights, h.requires_grad_())


def test_relu_weights_are_continuous_where_top_k_jumps():
    _, E, _ = world()
    sides = [torch.tensor([1.0, 0.5 + s * 1e-9, 0.5, -1, s * 1e-9], dtype=torch.float64) for s in (-1, 1)]
    relu = [(relu_weights(h).unsqueeze(-1) * E).sum(-2) for h in sides]
    top = [sparse_mixture(h, E, K) for h in sides]
    assert (relu[0] - relu[1]).abs().max() < 1e-7
    assert (top[0] - top[1]).abs().max() > 0.1


def test_a_dead_expert_stays_dead_under_relu_and_its_penalty():
    h, E, v = world(T)
    h[:, 2] = -1.0
    control = AdaptiveL1(K / N, coefficient=1.0)

    def loss(h, E):
        w = relu_weights(h)
        return (w.unsqueeze(-1) * E).sum(-2) + control.penalty(w)

    assert (gradients(loss, h, E, v)[1][:, 2] == 0).all()


def test_the_penalty_is_the_mean_size_times_its_coefficient():
    w = relu_weights(draw(2, T, N))
    assert float(AdaptiveL1(0.4, coefficient=0.5).penalty(w)) == pytest.approx(0.5 * float(w.sum()) / (2 * T))
    each = AdaptiveL1(0.4, coefficient=0.5, runs=True).penalty(w)
    torch.testing.assert_close(each, 0.5 * w.sum(dim=(1, 2)) / T)


def test_the_coefficient_moves_against_the_surplus():
    control = AdaptiveL1(0.25, coefficient=1.0, factor=1.2)
    for active, expected in [(4, 1.2), (2, 1.44), (1, 1.44), (0, 1.2), (0, 1.0), (0, 1 / 1.2)]:
        control.update((torch.arange(4) < active).float().expand(3, 4))
        assert control.coefficient == pytest.approx(expected, rel=1e-12)
    assert isinstance(control.coefficient, float)


def test_runs_have_a_coefficient_each():
    control = AdaptiveL1(0.25, coefficient=1.0, factor=2.0, runs=True)
    active = torch.tensor([4, 1, 0]).view(3, 1, 1)
    control.update((torch.arange(4) < active).float().expand(3, 5, 4))
    torch.testing.assert_close(control.coefficient, torch.tensor([2.0, 1.0, 0.5]))
    torch.testing.assert_close(control.penalty(torch.ones(3, 5, 4)), torch.tensor([8.0, 4.0, 2.0]))


def trained_share(control_factor):
    """Adapt to random logits whose mean can be lowered: the share of active experts after 300 steps."""
    shift = torch.zeros(1, requires_grad=True)
    control = AdaptiveL1(0.25, coefficient=1e-3, factor=control_factor)
    update = torch.optim.SGD([shift], lr=0.05)
    for step in range(300):
        w = relu_weights(draw(200, 8, seed=step).float() + shift)
        loss = (w.sum(-1) - 8.0).square().mean() * 0.01 + control.penalty(w)  # the task wants many experts
        update.zero_grad()
        loss.backward()
        update.step()
        control.update(w)
    return float((w > 0).float().mean())


def test_the_coefficient_brings_the_share_of_active_experts_to_its_target():
    assert trained_share(1.2) == pytest.approx(0.25, abs=0.1)
    assert trained_share(1.0 + 1e-9) > 0.4  # a coefficient that does not adapt would miss it


# --- bad input -----------------------------------------------------------------------------------------------------

H, E0 = torch.zeros(T, N), torch.zeros(T, N, D)
MASKED = H.clone().index_fill(-1, torch.tensor([0]), -torch.inf)


def updated_for_one_run():
    control = AdaptiveL1(0.5, runs=True)
    control.update(H[:1])
    return control


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: sparse_mixture(H, E0, 0), "k = 0"),
        (lambda: straight_through(H, E0, N + 1), "k = 6"),
        (lambda: straight_through(H, E0, 2, "nonsense"), "gate = 'nonsense'"),
        (lambda: straight_through(H / 0, E0, 2), "logits = "),
        (lambda: straight_through(H, E0[:, :-1], 2), "outputs.shape = (6, 4, 3)"),
        (lambda: straight_through(H, E0[..., 0], 2), "outputs.shape = (6, 5)"),
        (lambda: straight_through(H, E0.long(), 2), "outputs = "),
        (lambda: sparse_mixture(H, E0, 2, selected=torch.full((T, 2), 9)), "selected = "),
        (lambda: sparse_mixture(H, E0, 2, selected=torch.zeros(T, 2)), "selected = "),
        (lambda: sparse_mixture(H, E0, 2, selected=[[0, 1]] * T), "selected = "),
        (lambda: sparse_mixture(H, E0, 2, selected=torch.zeros(T, 1).long()), "selected.shape = (6, 1)"),
        (lambda: sparse_mixture(H, E0, 99, selected=torch.zeros(T, 2).long()), "k = 99"),
        (lambda: sparse_mixture(MASKED, E0, 1, selected=torch.zeros(T, 1).long()), "selected = "),
        (lambda: DefaultVector(0, D), "num_experts = 0"),
        (lambda: DefaultVector(N, 0), "d_model = 0"),
        (lambda: DefaultVector(N, D, 1.0), "decay = 1.0"),
        (lambda: DefaultVector(N, D, -0.1), "decay = -0.1"),
        (lambda: DefaultVector(N, D, "a"), "decay = 'a'"),
        (lambda: DefaultVector(N, D, batch=3), "batch = 3"),
        (lambda: DefaultVector(N, D, batch=(2.5,)), "batch = 2.5"),
        (lambda: AdaptiveL1("a"), "target_active = 'a'"),
        (lambda: DefaultVector(N, D + 1)(H, E0, 2), "outputs.shape = (6, 5, 3)"),
        (lambda: DefaultVector(N, D, batch=(4,))(H, E0, 2), "outputs.shape = (6, 5, 3)"),
        (lambda: DefaultVector(N, D)(H, E0, 9), "k = 9"),
        (lambda: relu_weights(H / 0), "logits = "),
        (lambda: AdaptiveL1(0.0), "target_active = 0.0"),
        (lambda: AdaptiveL1(1.0), "target_active = 1.0"),
        (lambda: AdaptiveL1(0.5, factor=1.0), "factor = 1.0"),
        (lambda: AdaptiveL1(0.5, coefficient=0), "coefficient = 0"),
        (lambda: AdaptiveL1(0.5).penalty(H - 1), "weights = "),  # logits
        (lambda: AdaptiveL1(0.5).penalty(H > 0), "weights = "),
        (lambda: AdaptiveL1(0.5).update(H / 0), "weights = "),
        (lambda: updated_for_one_run().penalty(H), "weights.shape = (6, 5)"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
