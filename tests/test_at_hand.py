"""What a learner has at hand is taken as it is: lists, columns, views, half precision, tensors with a gradient.

Every public function of the reference code that takes numbers gets them in each of these forms, and must give what it
gives for a plain array of the same numbers; a form that it cannot take must be called by its name.
"""

import numpy as np
import pytest
import torch

from moe_lessons import balancing, losses, metrics, precision, routing

RNG = np.random.default_rng(0)
H = RNG.integers(-20, 20, (4, 3)) / 8  # (T, N): exact in bfloat16 and float16
P = np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])  # (T, N)
X, W_G = np.round(RNG.normal(size=(4, 2)) * 4) / 4, np.round(RNG.normal(size=(2, 3)) * 4) / 4  # (T, d), (d, N)
SELECTED, LABELS, SEQUENCE = np.array([[0, 1], [2, 0], [1, 2], [0, 2]]), np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])


class Column:
    """A column of a table: no array, but it can be made one."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


def view(a):
    """Return the numbers in memory that is neither contiguous nor writable."""
    wide = np.repeat(a, 2, axis=0)[::2]
    wide.flags.writeable = False
    return wide


ANY_FORM = {
    "list": np.ndarray.tolist,
    "tuple": lambda a: tuple(a.tolist()),
    "column": Column,
    "view": view,
    "tensor": torch.tensor,
    "list of tensors": lambda a: list(torch.tensor(a)),
    "int32": lambda a: a.astype(np.int32) if a.dtype.kind == "i" else a.astype(np.float32),
}
FRACTIONS = {
    "float16": lambda a: a.astype(np.float16),
    "with a gradient": lambda a: torch.tensor(a, requires_grad=True),
    "its function": lambda a: torch.tensor(a, requires_grad=True) * 1,
    "bfloat16": lambda a: torch.tensor(a, dtype=torch.bfloat16, requires_grad=True),
    "half": lambda a: torch.tensor(a, dtype=torch.float16),
}
OF_NUMBERS = {
    "entropy": (metrics.entropy, P),
    "coefficient_of_variation": (metrics.coefficient_of_variation, P),
    "max_violation": (metrics.max_violation, P),
    "dead_experts": (metrics.dead_experts, P[0]),
    "excess": (lambda null: metrics.excess(0.5, null), P[0]),
    "p_value": (lambda null: metrics.p_value(0.25, null), P[0]),
    "bootstrap_interval": (metrics.bootstrap_interval, P[:, 0]),
    "softmax": (routing.softmax, H),
    "log_sum_exp": (routing.log_sum_exp, H),
    "top_k": (lambda h: routing.top_k(h, 2), H),
    "gate_weights": (lambda h: routing.gate_weights(h, 2), H),
    "router_logits, x": (lambda x: routing.router_logits(x, W_G), X),
    "router_logits, W_g": (lambda W_g: routing.router_logits(X, W_g), W_G),
    "to_float32": (precision.to_float32, H),
    "to_bfloat16": (precision.to_bfloat16, H),
    "softmax_steps": (lambda h: precision.softmax_steps(h).probs, H[0]),
}
OF_INDICES = {
    "expert_load": (lambda s: metrics.expert_load(s, 3), SELECTED),
    "saturation": (lambda s: metrics.saturation(s, SELECTED[::-1]), SELECTED),
    "saturation, final": (lambda s: metrics.saturation(SELECTED[::-1], s), SELECTED),
    "co_activation": (lambda s: metrics.co_activation(s, 3), SELECTED),
    "consecutive_repetition": (lambda s: metrics.consecutive_repetition(s, SEQUENCE, 3), SELECTED[:, 0]),
    "domain_specialisation": (lambda s: metrics.domain_specialisation(s, LABELS, 3), SELECTED),
    "domain_specialisation, domain": (lambda d: metrics.domain_specialisation(SELECTED, d, 3), LABELS),
    "per_assignment": (lambda s: metrics.per_assignment(s, LABELS), SELECTED),
    "mutual_information": (lambda a: metrics.mutual_information(a, SEQUENCE), LABELS),
    "permutation_null": (lambda a: metrics.permutation_null(LABELS, SELECTED[:, 0], a, draws=3), SEQUENCE),
}


@pytest.mark.parametrize("call", OF_NUMBERS | OF_INDICES)
def test_every_form_at_hand_gives_what_the_plain_array_gives(call):
    function, plain = (OF_NUMBERS | OF_INDICES)[call]
    expected = np.atleast_1d(function(plain))
    for form, made in (ANY_FORM | FRACTIONS if call in OF_NUMBERS else ANY_FORM).items():
        for ours, theirs in zip(np.atleast_1d(function(made(plain))), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, err_msg=form)  # half precision is returned rounded


@pytest.mark.parametrize("call", OF_NUMBERS | OF_INDICES)
def test_a_sparse_tensor_is_called_one(call):
    function, plain = (OF_NUMBERS | OF_INDICES)[call]
    with pytest.raises(ValueError, match=r"expected a dense tensor: to_dense\(\) makes one"):
        function(torch.tensor(plain).to_sparse())


def test_broken_control_a_form_with_other_numbers_would_be_noticed():
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(metrics.max_violation(P + 0.01), metrics.max_violation(P), rtol=2e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_a_batch_in_half_precision_do_not_overflow(dtype):
    """100,000 assignments of one expert are more than float16 can count."""
    h = torch.tensor(H[:1]).repeat(100_000, 1).to(dtype)  # (T, N)
    selected = h.argmax(dim=-1, keepdim=True)  # (T, k)
    weights = torch.nn.functional.one_hot(selected[:, 0], 3).to(dtype)  # (T, N)
    for loss, narrow in (
        (lambda h: losses.load_balancing_loss(h, 1), h),
        (lambda h: losses.balance_of_layers(h, selected), h),
        (losses.z_loss, h),
        (losses.importance_loss, weights),
    ):
        torch.testing.assert_close(loss(narrow), loss(narrow.float()))


def test_the_z_loss_leaves_padding_out():
    h, mask = torch.tensor(H), torch.tensor([True, False, True, True])
    spoilt = h.masked_fill(~mask[:, None], torch.nan).requires_grad_()
    losses.z_loss(spoilt, mask).backward()
    assert losses.z_loss(spoilt, mask) == losses.z_loss(h[mask])
    assert (spoilt.grad[~mask] == 0).all()
    assert losses.z_loss(h) != losses.z_loss(h[mask])  # control: the padding would count


def test_what_wants_tensors_says_so():
    for call in (losses.z_loss, losses.cv_squared, losses.importance_loss, lambda h: losses.load_balancing_loss(h, 1),
                 balancing.random_second_expert):  # fmt: skip
        with pytest.raises(ValueError, match="tensor"):
            call(P)
