"""The gradients of set 07 are those of autograd, what is said of the three routers is so, and tensors are judged."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from moe_lessons import estimators, losses, routing
from moe_lessons.checks import check
from moe_lessons.checks.engine import Status
from moe_lessons.checks.gates import selected_mask
from moe_lessons.checks.set_07.q1_jacobian import JACOBIAN, SATURATED, TINY, jacobian, jacobian_cases
from moe_lessons.checks.set_07.q2_chain import CHAIN, chain
from moe_lessons.checks.set_07.q3_inversion import INVERSION, usefulness_found
from moe_lessons.checks.set_07.q4_diagnosis import (
    BUILDS,
    DELIVERED,
    GIVEN_A,
    GIVEN_LOGITS,
    against,
    delivered_gradients,
)
from moe_lessons.checks.set_07.q5_z_loss import Z_LOSS, z_loss_and_gradient
from moe_lessons.checks.set_07.q6_estimator import ESTIMATOR, value_and_slopes
from moe_lessons.checks.set_07.slopes import gradient_a, gradient_b, other_selections

numbers = st.floats(-3, 3, width=32)
tokens = hnp.arrays(np.float64, st.integers(2, 7), elements=numbers, unique=True)


def differentiated(weights, h, a, k):
    """dL/dh by autograd for L = Σ a_i w_i, where weights(h, mask, k) gives w."""
    leaf = torch.tensor(h, requires_grad=True)
    mask = torch.tensor(selected_mask(h, k))
    (weights(leaf, mask) @ torch.tensor(a)).backward()
    return leaf.grad.numpy()


def form_a(h, mask):
    return torch.softmax(h.masked_fill(~mask, -torch.inf), -1)


def form_b(h, mask):
    return torch.softmax(h, -1) * mask


def masked_with_zero(h, mask):
    return torch.softmax(h.masked_fill(~mask, 0), -1)


def straight_through(h, mask):
    p = torch.softmax(h, -1)
    return form_a(h, mask).detach() + p - p.detach()


BUILT = {
    "as ordered": (form_a, 2),
    "k = 1": (form_a, 1),
    "k = 3": (form_a, 3),
    "form B": (form_b, 2),
    "masked with 0": (masked_with_zero, 2),
    "straight-through": (straight_through, 2),
}


@given(tokens, st.data())
def test_the_gradients_are_those_of_autograd(h, data):
    a = data.draw(hnp.arrays(np.float64, h.shape, elements=numbers))
    k = data.draw(st.integers(1, h.size))
    assert gradient_a(h, a, k) == pytest.approx(differentiated(form_a, h, a, k), abs=1e-12)
    assert gradient_b(h, a, k) == pytest.approx(differentiated(form_b, h, a, k), abs=1e-12)


def test_the_comparison_with_autograd_can_fail():
    h, a = np.array([0.3, -0.2, 1.0]), np.array([1.0, 2.0, -1.0])
    assert gradient_a(h, a, 2) != pytest.approx(differentiated(form_b, h, a, 2), abs=1e-3)


def draws(question, seeds=200):
    return (question.draw(np.random.default_rng(seed))["cases"] for seed in range(seeds))


def test_the_jacobian_is_that_of_autograd_and_what_is_said_of_its_sums_is_so():
    def gate(h):
        scores = torch.sigmoid(h)
        return scores / scores.sum()

    for (s,) in jacobian_cases(np.random.default_rng(0)):
        J = jacobian(s)  # (N, N)
        assert pytest.approx(torch.autograd.functional.jacobian(gate, torch.tensor(s).logit()).numpy()) == J
        assert pytest.approx(0, abs=1e-12) == J.sum(axis=0)
        assert np.abs(J.sum(axis=1)).max() > 1e-3
    assert all(((s >= TINY) & (s <= SATURATED)).all() for cases in draws(JACOBIAN) for (s,) in cases)


def test_the_chain_is_that_of_autograd():
    for x, W_g, a, k in CHAIN.draw(np.random.default_rng(0))["cases"]:
        leaves = [torch.tensor(leaf, requires_grad=True) for leaf in (x, W_g)]
        selected = torch.tensor(selected_mask(x @ W_g, k))
        (form_a(leaves[0] @ leaves[1], selected) * torch.tensor(a)).sum().backward()
        matrix, token = chain(x, W_g, a, k)
        assert matrix == pytest.approx(leaves[1].grad.numpy(), abs=1e-12)
        assert token == pytest.approx(leaves[0].grad.numpy(), abs=1e-12)


@given(tokens, st.data())
def test_form_b_s_gradient_gives_back_what_it_was_made_of(h, data):
    a = data.draw(hnp.arrays(np.float64, h.shape, elements=numbers))
    k = data.draw(st.integers(1, h.size - 1))
    found = usefulness_found(h[None], gradient_b(h, a, k)[None], k)[0]
    assert found == pytest.approx(np.where(selected_mask(h, k), a, np.nan), abs=1e-6, nan_ok=True)


def test_form_a_s_gradient_does_not_know_a_number_added_to_all():
    h, a = np.array([0.3, -0.2, 1.0, 0.6]), np.array([1.0, 2.0, -1.0, 0.5])
    assert gradient_a(h, a + 7, 3) == pytest.approx(gradient_a(h, a, 3))
    assert gradient_b(h, a + 7, 3) != pytest.approx(gradient_b(h, a, 3))


def test_the_z_loss_is_that_of_autograd():
    for h, mask in Z_LOSS.draw(np.random.default_rng(0))["cases"]:
        real = torch.tensor(h[mask], requires_grad=True)
        losses.z_loss(real).backward()
        loss, gradient = z_loss_and_gradient(h, mask)
        assert loss == pytest.approx(losses.z_loss(real).item())
        assert gradient[mask] == pytest.approx(real.grad.numpy())
        assert (gradient[~mask] == 0).all()


def test_the_draws_of_the_z_loss_hold_the_hard_cases():
    for cases in draws(Z_LOSS):
        assert all(mask.any() for _, mask in cases)
        assert sum(mask.all() for _, mask in cases) == 1
        assert sum(mask.sum() == 1 for _, mask in cases) == 1
        padded = [h[~mask] for h, mask in cases if not mask.all()]
        assert any(np.isfinite(rows).all() for rows in padded)
        assert any(np.isneginf(rows).all(axis=1).any() for rows in padded)
        assert any(np.isneginf(h[mask]).any() for h, mask in cases)
        assert any((np.isneginf(h) & (h.min(axis=1, where=np.isfinite(h), initial=0) < -9000)[:, None])[mask].any()
                   for h, mask in cases)  # fmt: skip


@pytest.mark.parametrize("build", BUILDS)
def test_each_router_gives_what_autograd_gives(build):
    weights, k = BUILT[build]
    expected = differentiated(weights, GIVEN_LOGITS, GIVEN_A, k)
    assert BUILDS[build](GIVEN_LOGITS, GIVEN_A) == pytest.approx(expected, abs=1e-12)


def test_the_three_routers_can_be_told_apart():
    for router, g in delivered_gradients().items():
        for build, gradient in BUILDS.items():
            same = np.abs(g - gradient(GIVEN_LOGITS, GIVEN_A)).max() < 5e-3
            assert same == (build == DELIVERED[router])


def test_what_is_said_against_a_build_is_so():
    p, columns = routing.softmax(GIVEN_LOGITS), delivered_gradients()
    unselected = np.sort(np.argsort(-GIVEN_LOGITS)[2:])
    assert len(unselected) == 4
    assert np.ptp((columns["router 1"] / p)[unselected]) < 1e-12
    assert np.ptp(columns["router 1"] / p - GIVEN_A) > 0.1
    assert np.ptp(columns["router 3"] / p - GIVEN_A) < 1e-12
    assert np.diff(np.sort((columns["router 3"] / p)[unselected])).min() > 0.1
    assert [int((column == 0).sum()) for column in columns.values()] == [0, 4, 0]
    assert f"These sum to {columns['router 2'].sum():.4f}" in against("as ordered", columns["router 2"])
    assert BUILDS["as ordered"](GIVEN_LOGITS, GIVEN_A).sum() == pytest.approx(0, abs=1e-12)
    assert abs(columns["router 2"].sum()) > 0.1


def test_a_tie_has_as_many_selections_as_it_should():
    assert len(list(other_selections(np.array([1.2, 0.4, 0.4, 0.4, -0.7]), 2))) == 3
    assert len(list(other_selections(np.array([1.2, 0.4, 0.3]), 2))) == 1


def test_no_draw_is_tied_by_accident_and_every_logit_is_exact():
    for cases in draws(CHAIN):
        for x, W_g, a, _ in cases:
            assert np.array_equal(np.einsum("td,dn->tn", x.astype(np.float32), W_g.astype(np.float32)), x @ W_g)
            assert np.diff(np.sort(a)).min() > 0.1
        assert all(np.diff(np.sort(x @ W_g)).min() > 0.05 for x, W_g, *_ in cases[:-1])
    for cases in draws(INVERSION):
        assert all(np.diff(np.sort(h)).min() > 0.1 for h, *_ in cases[:-1])
        assert min(routing.softmax(h).min() for h, *_ in cases) > 1e-4


def test_the_batch_with_a_tie_is_one_token():
    x, W_g, _, k = CHAIN.draw(np.random.default_rng(0))["cases"][-1]
    h, _, kept = INVERSION.draw(np.random.default_rng(0))["cases"][-1]
    assert len(x) == len(h) == 1
    assert len(list(other_selections((x @ W_g)[0], k))) == len(list(other_selections(h[0], kept))) == 3


def test_a_logit_that_is_kept_is_exactly_0_and_no_luck_makes_torch_right_about_ties():
    for chains, inversions, estimators_ in zip(*map(draws, (CHAIN, INVERSION, ESTIMATOR)), strict=True):
        x, W_g, *_ = chains[-1]
        for h in ((x @ W_g)[0], inversions[-1][0][0]):
            assert (h[selected_mask(h, 2)] == 0).sum() == 1
            assert set(torch.tensor(h).topk(2).indices.tolist()) != set(np.flatnonzero(selected_mask(h, 2)))
        assert all((h[selected_mask(h, k + m)] == 0).sum() == 1 for h, _, k, m, _ in estimators_)


def judged(answer, seed=0):
    data = ESTIMATOR.draw(np.random.default_rng(seed))
    return ESTIMATOR.judge(data, ESTIMATOR.probe(answer, data))


@pytest.mark.parametrize("seed", range(5))
def test_the_dense_estimator_and_plain_top_k_are_named(seed):
    verdict = judged(lambda logits, outputs, k, m: estimators.straight_through(logits, outputs, k), seed)
    assert (verdict.correct, verdict.mistake) == (False, "dense")
    verdict = judged(lambda logits, outputs, k, m: estimators.sparse_mixture(logits, outputs, k), seed)
    assert (verdict.correct, verdict.mistake) == (False, "m ignored")


def test_half_dense_runs_from_form_a_to_the_dense_estimator():
    for h, outputs, k, m, v in ESTIMATOR.draw(np.random.default_rng(0))["cases"]:
        gradient = value_and_slopes(h, outputs, k, m, v)[1]
        a = outputs.astype(float) @ v
        assert gradient == pytest.approx(gradient_a(h.astype(float), a, k + m), abs=1e-6)
        assert (gradient[~selected_mask(h, k + m)] == 0).all()


def test_the_package_s_z_loss_is_refused():
    result = check("7.5", lambda logits, mask: losses.z_loss(torch.tensor(logits[mask])))
    assert result.status == Status.NOT_YET
    assert "which is the answer" in result.message


def test_an_error_while_differentiating_is_the_learner_s():
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits, outputs, k, m):
            w = torch.tensor(routing.gate_weights(logits.numpy(), k))
            return w @ outputs

        @staticmethod
        def backward(ctx, v):
            raise RuntimeError("not written")

    result = check("7.6", Broken.apply)
    assert result.status == Status.RAISED
    assert "not written" in result.message
    assert "a tensor of shape (6, 3)" in result.message


def test_numpy_inside_the_estimator_is_met_with_advice():
    result = check("7.6", lambda logits, outputs, k, m: routing.gate_weights(logits, k) @ outputs)
    assert result.status == Status.RAISED
    assert "use torch's own" in result.message


def test_one_array_in_the_place_of_two_is_named_if_it_is_known():
    verdicts = [check("7.2", lambda x, W_g, a, k, c=c: c * gradient_a(x @ W_g, a, k)) for c in (1, 2)]
    assert [verdict.mistake for verdict in verdicts] == ["only the logits", None]
    assert all("Expected 2 things: ∂L/∂W_g, ∂L/∂x." in verdict.message for verdict in verdicts)


def test_what_the_courses_functions_say_of_padding_comes_with_advice():
    result = check("7.5", lambda logits, mask: ((routing.log_sum_exp(logits) ** 2).mean(), logits))
    assert result.status == Status.RAISED
    assert "padded rows may hold anything" in result.message


def test_what_was_wrong_before_an_answer_raised_is_shown():
    def padding_for_tokens(logits, mask):
        if mask.all():
            return 0.0, np.zeros_like(logits)
        return (routing.log_sum_exp(logits[~mask]) ** 2).mean(), np.zeros_like(logits)

    result = check("7.5", padding_for_tokens)
    assert (result.status, result.points) == (Status.RAISED, 0)
    assert "(2 before raised nothing)" in result.message
    assert "Before it raised, what came was wrong already:" in result.message
    assert "came 0" in result.message
