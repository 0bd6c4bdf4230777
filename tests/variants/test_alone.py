"""Tokens that choose alone: two levels against loops, a network where a matrix must fail, thresholds that balance."""

import pytest
import torch

from moe_lessons.layer import Router
from moe_lessons.variants import HierarchicalRouter, ThresholdRouter, TwoLayerRouter

D, N = 6, 12


def tokens(T, seed=1):
    return torch.randn(T, D, generator=torch.Generator().manual_seed(seed))


def drawn(make, *arguments, **options):
    torch.manual_seed(0)
    return make(*arguments, **options)


# two levels


def two_levels(router, x, gate):
    """Compute the dense weights of one token (d,) as the double sum says, (N,)."""
    a, b = router.groups, N // router.groups
    first, second = x @ router.primary.W_g, (x @ router.W_g).reshape(a, b)
    dense = torch.zeros(a, b)
    groups = first.topk(router.kept_groups)
    for i, outer in zip(groups.indices.tolist(), weigh(first, groups, gate), strict=True):
        experts = second[i].topk(router.top_k // router.kept_groups)
        for j, inner in zip(experts.indices.tolist(), weigh(second[i], experts, gate), strict=True):
            dense[i, j] = outer * inner
    return dense.flatten()


def weigh(scores, kept, gate):
    """Return the weights of the kept scores: their softmax, or their part of the softmax over all."""
    return kept.values.softmax(0) if gate == "topk_softmax" else scores.softmax(0)[kept.indices]


@pytest.mark.parametrize("gate", ["topk_softmax", "softmax_topk"])
@pytest.mark.parametrize(("groups", "kept", "k"), [(4, 2, 4), (3, 1, 2), (4, 4, 4), (1, 1, 3), (12, 3, 3)])
def test_two_levels_are_the_double_sum(groups, kept, k, gate):
    router, x = drawn(HierarchicalRouter, D, N, k, groups, kept, gate), tokens(40)
    decided = router(x)
    dense = torch.zeros(40, N).scatter(-1, decided.selected, decided.weights)
    torch.testing.assert_close(dense, torch.stack([two_levels(router, x_t, gate) for x_t in x]))
    outer, inner = (x @ router.primary.W_g).softmax(-1), (x @ router.W_g).unflatten(-1, (groups, -1)).softmax(-1)
    torch.testing.assert_close(decided.probs, (outer[..., None] * inner).flatten(-2))  # the dense product


def test_experts_come_from_the_kept_groups_alone_and_a_flat_router_takes_them_from_more():
    groups_of = [
        max(len(row.unique()) for row in router(tokens(40)).selected // 3)
        for router in (drawn(HierarchicalRouter, D, N, 4, 4, 2), drawn(Router, D, N, 4))
    ]
    assert groups_of[0] == 2
    assert groups_of[1] > 2  # control


def test_both_levels_get_a_gradient_unless_a_single_one_has_weight_1():
    def slopes(gate):
        router = drawn(HierarchicalRouter, D, N, 2, 2, 1, gate)
        (router(tokens(40)).weights[:, 0] * torch.arange(40)).sum().backward()
        return [float(W.grad.abs().max()) for W in (router.W_g, router.primary.W_g)]

    assert min(slopes("softmax_topk")) > 0.1
    assert slopes("topk_softmax")[0] > 0.1
    assert slopes("topk_softmax")[1] < 1e-5  # control: the first level learns nothing


# two layers

CORNERS = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
ALIKE = torch.tensor([0, 0, 1, 1])  # the expert of equal signs, and that of different ones


def test_a_network_tells_equal_signs_from_different_ones_and_a_matrix_gets_half_at_most():
    router = TwoLayerRouter(2, 2, 1, width=4)
    with torch.no_grad():
        router.hidden.weight.copy_(CORNERS)
        router.hidden.bias.zero_()
        router.W_g.copy_(torch.eye(2).repeat_interleave(2, dim=0))
    assert torch.equal(router(CORNERS).selected[:, 0], ALIKE)
    W = torch.randn(2000, 2, 2, generator=torch.Generator().manual_seed(0))
    right = (torch.einsum("td,mdn->mtn", CORNERS, W).argmax(dim=-1) == ALIKE).sum(dim=-1)  # (2000,)
    assert right.max() == 2  # control: x and −x lie on different sides of every face


def test_the_two_layers_are_what_the_formula_says():
    router, x = drawn(TwoLayerRouter, D, N, 2, width=5), tokens(20)
    inner = torch.nn.functional.gelu(x @ router.hidden.weight.T + router.hidden.bias)  # (T, 5)
    torch.testing.assert_close(router(x).logits, inner @ router.W_g)
    assert drawn(TwoLayerRouter, D, N, 2).hidden.weight.shape == (D, D)
    narrow = drawn(TwoLayerRouter, D, N, 2).bfloat16()
    assert narrow(x.bfloat16()).logits.dtype == torch.float32  # as `Router` computes


# thresholds


def after_training(memory, k=3, steps=150):
    """Return the load (N,), in experts a token, of a router that met many tokens whose scores lean."""
    router = drawn(ThresholdRouter, D, N, k, memory=memory)
    for step in range(steps):
        router(tokens(256, seed=step) + 1)
    decided = router.eval()(tokens(4000, seed=-1) + 1)
    return torch.bincount(decided.selected[decided.weights > 0], minlength=N) / 4000


def test_thresholds_balance_the_experts_without_a_loss():
    load = after_training(0.9)
    assert (load - 3 / 12).abs().max() < 0.03
    assert abs(load.sum() - 3) < 0.1  # k on average
    still = after_training(1.0, steps=2)  # control: thresholds that stay
    assert still.max() - still.min() > 0.2


def test_a_token_has_as_many_experts_as_pass_and_the_weight_is_the_score():
    router = drawn(ThresholdRouter, D, N, 3).eval()
    router.threshold.uniform_(0.4, 0.7)
    decided = router(tokens(50))
    s = decided.logits.sigmoid()
    dense = torch.zeros(50, N).scatter(-1, decided.selected, decided.weights)
    torch.testing.assert_close(dense, torch.where(s > router.threshold, s, 0))
    assert len((dense > 0).sum(dim=1).unique()) > 3
    router.threshold.fill_(1.0)
    nobody = router(tokens(5))
    assert nobody.selected.shape == (5, 1)
    assert (nobody.weights == 0).all()


def test_a_decision_comes_before_the_step_and_evaluation_takes_none():
    router = drawn(ThresholdRouter, D, N, 3, memory=0.5)
    later = router.eval()(tokens(50)).weights
    assert (router.threshold == 0.5).all()
    assert torch.equal(router.train()(tokens(50)).weights, later)
    wanted = (tokens(50) @ router.W_g).sigmoid().quantile(0.75, dim=0)
    torch.testing.assert_close(router.threshold, (0.5 + wanted.detach()) / 2)
    assert "threshold" in router.state_dict()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HierarchicalRouter(D, N, 2, groups=5), "groups, kept_groups = \\(5, 1\\)"),
        (lambda: HierarchicalRouter(D, N, 3, groups=4, kept_groups=2), "kept groups that divide k = 3"),
        (lambda: HierarchicalRouter(D, N, 6, groups=6, kept_groups=2), "hold as many"),
        (lambda: HierarchicalRouter(D, N, 2, groups=2, kept_groups=3), "kept_groups = 3"),
        (lambda: HierarchicalRouter(D, N, 2, groups=0), "groups = 0"),
        (lambda: HierarchicalRouter(D, N, 2, gate="softmax"), "gate = 'softmax'"),
        (lambda: TwoLayerRouter(D, N, 2, width=0), "width = 0"),
        (lambda: ThresholdRouter(D, N, 2, memory=1.5), "memory = 1.5"),
        (lambda: ThresholdRouter(D, N, 13), "top_k = 13"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
