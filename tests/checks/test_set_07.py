"""The gradients of set 07 are those of autograd, what is said of the three routers is so, and tensors are judged."""

import subprocess
import sys

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
from moe_lessons.checks.set_07.q1_jacobian import jacobian
from moe_lessons.checks.set_07.q2_gradients import FORM_A, gradient_a, gradient_b, other_selections
from moe_lessons.checks.set_07.q4_diagnosis import (
    BUILDS,
    DELIVERED,
    GIVEN_A,
    GIVEN_LOGITS,
    against,
    delivered_gradients,
)
from moe_lessons.checks.set_07.q5_z_loss import z_loss_and_gradient
from moe_lessons.checks.set_07.q6_estimator import ESTIMATOR

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


def test_jacobian_and_z_loss_are_those_of_autograd():
    h = torch.tensor(np.random.default_rng(0).normal(size=(4, 5)), requires_grad=True)
    losses.z_loss(h).backward()
    loss, gradient = z_loss_and_gradient(h.detach().numpy())
    assert loss == pytest.approx(losses.z_loss(h).item())
    assert gradient == pytest.approx(h.grad.numpy())
    expected = torch.autograd.functional.jacobian(lambda row: torch.softmax(row, -1), h[0].detach())
    assert jacobian(h[0].detach().numpy()) == pytest.approx(expected.numpy())


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


def test_no_draw_of_the_gates_is_tied_by_accident():
    for seed in range(200):
        for h, a, _ in FORM_A.draw(np.random.default_rng(seed))["cases"][:-1]:  # (T, N) each
            assert np.diff(np.sort(h)).min() > 0.1
            assert np.diff(np.sort(a)).min() > 0.1


def test_the_batch_with_a_tie_is_one_token():
    h, _, k = FORM_A.draw(np.random.default_rng(0))["cases"][-1]
    assert h.shape == (1, 5)
    assert len(list(other_selections(h[0], k))) == 3


def judged(answer, seed=0):
    data = ESTIMATOR.draw(np.random.default_rng(seed))
    return ESTIMATOR.judge(data, ESTIMATOR.probe(answer, data))


@pytest.mark.parametrize("seed", range(5))
def test_the_package_s_estimator_is_right_and_plain_top_k_is_not(seed):
    assert judged(estimators.straight_through, seed).correct
    verdict = judged(estimators.sparse_mixture, seed)
    assert (verdict.correct, verdict.mistake) == (False, "form A's gradient")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("7.5", lambda logits: losses.z_loss(torch.tensor(logits))),
        ("7.6", lambda logits, outputs, k: estimators.straight_through(logits, outputs, k)),
    ],
)
def test_the_package_s_own_functions_are_refused(question, answer):
    result = check(question, answer)
    assert result.status == Status.NOT_YET
    assert "which is the answer" in result.message


def test_an_error_while_differentiating_is_the_learner_s():
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits, outputs, k):
            w = torch.tensor(routing.gate_weights(logits.numpy(), k))
            return w @ outputs

        @staticmethod
        def backward(ctx, v):
            raise RuntimeError("not written")

    result = check("7.6", Broken.apply)
    assert result.status == Status.RAISED
    assert "not written" in result.message
    assert "a tensor of shape (4, 3)" in result.message


def test_numpy_inside_the_estimator_is_met_with_advice():
    result = check("7.6", lambda logits, outputs, k: routing.gate_weights(logits, k) @ outputs)
    assert result.status == Status.RAISED
    assert "use torch's own" in result.message


def test_the_questions_are_read_without_torch():
    code = "import sys; from moe_lessons.checks import questions; print('7.6' in questions(), 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "False"]
