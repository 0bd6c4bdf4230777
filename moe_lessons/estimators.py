"""How a router can learn from experts that it did not choose: three estimators, each a few lines of torch.

Top-k gives the router a gradient about the experts it chose, and none that knows what another would have answered.
Most functions here take the logits (..., N) and the outputs of all experts (..., N, d), and mix them into y (..., d).
Letters: h logits, p = softmax(h), S selected, w gate weights, v = ∂L/∂y, a_i = v·E_i(x).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from moe_lessons.losses import check_logits, check_selected, stable_top_k
from moe_lessons.routing import GATE_FORMS
from moe_lessons.support.state import WideState
from moe_lessons.support.validation import one_of, positive_number, refuse, whole_number


def sparse_mixture(
    logits: Tensor, outputs: Tensor, k: int, gate: str = "topk_softmax", selected: Tensor | None = None
) -> Tensor:
    """Return the ordinary sparse output y = Σ_{i in S} w_i E_i(x), with the ordinary gradient.

    logits: (..., N). outputs: (..., N, d), those of all experts. gate: a key of `routing.GATE_FORMS`.
    selected: (..., k) indices, when something else than the k largest logits decided. Returns (..., d).
    Raises ValueError for logits that are not finite (or −∞), widths that differ, k outside 1..N, an unknown gate, and
    a selection of another shape or type, with an index outside 0..N − 1, or of −∞ logits only.
    """
    outputs = _check(logits, outputs)
    chosen = stable_top_k(logits, k) if selected is None else _from_outside(selected, logits, k)  # (..., k)
    w = _gate(logits, chosen, gate)  # (..., N)
    return _mix(w, outputs)


def straight_through(logits: Tensor, outputs: Tensor, k: int, gate: str = "topk_softmax") -> Tensor:
    """Return exactly the sparse output, with the router gradient of the dense mixture: a straight-through estimator.

    Forward: y = Σ_{i in S} w_i E_i(x). Backward, with v = ∂L/∂y taken at this sparse output:
    ∂L/∂h_j = p_j (a_j − Σ_i p_i a_i) for all N experts, and w_i v for the outputs of the selected, 0 for the others.
    All N experts must be computed, so nothing is saved: a yardstick, not a way to train a large model.

    logits: (..., N). outputs: (..., N, d), those of all experts. Returns (..., d). Raises as `sparse_mixture` does.
    Source: the estimator of Bengio et al. 2013 (arXiv:1308.3432), applied to the dense mixture as in
    Panda et al. 2025 (arXiv:2504.12463).
    """
    outputs = _check(logits, outputs)
    p = torch.softmax(logits, dim=-1)  # (..., N)
    w = _gate(logits.detach(), stable_top_k(logits, k), gate)  # (..., N), constants
    return _mix(w + (p - p.detach()), outputs)  # the bracket is 0, with the gradient of p


class DefaultVector(WideState):
    """Top-k in which an unselected expert is stood in for by the mean of its own past outputs (Default MoE).

    y = Σ_{i in S} p_i E_i(x) + Σ_{j not in S} p_j m_j: the forward pass changes too. Every logit gets a gradient,
    ∂L/∂h_j = p_j (a_j − Σ_i p_i a_i) with v·m_j for a_j where j is not selected. Only selected outputs are read.
    m_j, the buffer `average`, is an exponential moving average of E_j's mean output over the tokens that selected it:
    m_j ← decay·m_j + (1 − decay)·mean. It starts at 0, is used before it is updated, changes in training mode only,
    and an expert that is never selected keeps m_j = 0: then the router learns nothing about it. It stays in float32
    (float64 in a model of doubles) when the model goes to 16 bits; y has the format of logits and outputs.

    num_experts: N. d_model: d. decay: at least 0, below 1. batch: leading axes with an average each, (runs,) for
    `runs` separate routers at once. Raises ValueError for sizes below 1 or not whole, and for another decay.
    Source: Panda et al. 2025 (arXiv:2504.12463).
    """

    average: Tensor

    def __init__(self, num_experts: int, d_model: int, decay: float = 0.9, batch: tuple[int, ...] = ()) -> None:
        super().__init__()
        N = whole_number("num_experts", num_experts, least=1, most=10**6)
        d = whole_number("d_model", d_model, least=1, most=10**9)
        if not (_is_number(decay) and 0 <= decay < 1):
            raise refuse("decay", decay, "a number from 0 to below 1")
        if not isinstance(batch, (tuple, list)):
            raise refuse("batch", batch, "a tuple of sizes")
        self.decay = float(decay)
        self.batch = tuple(whole_number("batch", size, least=1, most=10**6) for size in batch)
        self.register_buffer("average", torch.zeros(*self.batch, N, d, dtype=torch.float32))

    def forward(self, logits: Tensor, outputs: Tensor, k: int) -> Tensor:
        """Return y (*batch, ..., d) from logits (*batch, ..., N) and outputs (*batch, ..., N, d), of which k are read.

        Raises ValueError as `sparse_mixture` does, and where N, d or batch are not those of this layer.
        """
        outputs = _check(logits, outputs)
        if outputs.shape[-2:] != self.average.shape[-2:] or outputs.shape[: len(self.batch)] != self.batch:
            raise refuse("outputs.shape", tuple(outputs.shape), f"{(*self.batch, '...', *self.average.shape[-2:])}")
        chosen = _mark(logits, stable_top_k(logits, k)).unsqueeze(-1)  # (*batch, ..., N, 1)
        m = self.average.to(outputs.dtype)  # (*batch, N, d)
        between = (1,) * (outputs.ndim - m.ndim)
        m = m.reshape(*self.batch, *between, *m.shape[-2:])  # (*batch, 1..., N, d)
        filled = torch.where(chosen, outputs, m)  # (*batch, ..., N, d)
        if self.training:
            self._update(chosen, outputs.detach())
        return _mix(torch.softmax(logits, dim=-1), filled)

    @torch.no_grad()
    def _update(self, chosen: Tensor, outputs: Tensor) -> None:
        """Move the average of each expert that was selected towards its mean output over these tokens."""
        tokens = tuple(range(len(self.batch), outputs.ndim - 2))
        wide = torch.promote_types(outputs.dtype, self.average.dtype)  # 16 bits count to 256 or 2,048, then stop
        read = torch.where(chosen, outputs, 0.0).to(wide)  # (*batch, ..., N, d): where, since 0 · NaN is NaN
        count, total = chosen.to(wide), read
        if tokens:
            count, total = count.sum(dim=tokens), read.sum(dim=tokens)  # (*batch, N, 1) and (*batch, N, d)
        moved = torch.lerp(total / count.clamp(min=1), self.average.to(wide), self.decay)  # (*batch, N, d)
        # A new tensor, not an update in place: the backward pass still needs the old one.
        self.average = torch.where(count > 0, moved, self.average.to(wide)).to(self.average.dtype)


def relu_weights(logits: Tensor) -> Tensor:
    """Return the gate weights of ReLU routing: w_i = max(h_i, 0), with no top-k and no softmax.

    The number of active experts differs from token to token; `AdaptiveL1` holds its mean at k. w is continuous in h.
    An active expert's logit gets a_i, its own usefulness; a logit at or below 0 gets exactly 0.
    logits: (..., N). Returns the same shape. Raises ValueError for NaN or +∞, or a row of −∞ only.
    Source: Wang, Zhu and Chen 2024 (arXiv:2412.14711), ReMoE.
    """
    return torch.relu(check_logits(logits))


class AdaptiveL1:
    """The L1 penalty that keeps ReLU routing sparse, with a coefficient that looks after itself.

    `penalty(w)` is λ times the mean over tokens of Σ_i w_i. `update(w)`, once a step after it, compares the sparsity
    (the share of weights that are 0) with its target 1 − target_active: λ ← λ·factor where too many experts are
    active, λ ← λ/factor where too few, unchanged where exactly right.

    target_active: k/N, between 0 and 1. coefficient: λ at the start. factor: above 1.
    runs: True when the first axis of w counts separate routers; each then has its own λ, in a tensor (runs,).
    Raises ValueError for numbers outside these ranges.
    Source: Wang, Zhu and Chen 2024 (arXiv:2412.14711), ReMoE: λ = 1e-8 at the start, factor 1.2.
    """

    def __init__(
        self, target_active: float, coefficient: float = 1e-8, factor: float = 1.2, runs: bool = False
    ) -> None:
        if not (_is_number(target_active) and 0 < target_active < 1):
            raise refuse("target_active", target_active, "a number between 0 and 1: k/N")
        if positive_number("factor", factor) <= 1:
            raise refuse("factor", factor, "a number above 1")
        self.target_active, self.factor, self.runs = target_active, factor, runs
        self.coefficient: Any = positive_number("coefficient", coefficient)  # a float, or a tensor (runs,)

    def penalty(self, weights: Tensor) -> Tensor:
        """Return λ · mean over tokens of Σ_i w_i: a scalar, or (runs,). weights: (..., N), none negative."""
        self._check(weights)
        size = weights.sum(dim=-1)  # (...)
        return self.coefficient * (size.flatten(1).mean(dim=1) if self.runs else size.mean())

    def update(self, weights: Tensor) -> None:
        """Raise λ where more than the target share of the weights is above 0, lower it where less."""
        self._check(weights)
        active = weights.detach() > 0  # (..., N)
        if self.runs:
            active = active.flatten(1)  # (runs, ...)
        surplus = active.double().mean(dim=-1 if self.runs else None) - self.target_active  # () or (runs,)
        moved = self.coefficient * self.factor ** surplus.sign()
        self.coefficient = moved.float() if self.runs else float(moved)

    def _check(self, weights: Any) -> None:
        """Refuse what are no gate weights (..., N), or of another number of runs than before."""
        if not isinstance(weights, Tensor) or not weights.is_floating_point() or not (weights.detach() >= 0).all():
            raise refuse("weights", weights, "a tensor of gate weights of at least 0 (not the logits)")
        if isinstance(self.coefficient, Tensor) and weights.shape[:1] != self.coefficient.shape:
            raise refuse("weights.shape", tuple(weights.shape), f"{len(self.coefficient)} runs, as before")


def _check(logits: Any, outputs: Any) -> Tensor:
    """Check that there is one output for each logit. Returns the outputs (..., N, d)."""
    check_logits(logits)
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        raise refuse("outputs", outputs, "a floating-point torch tensor")
    if outputs.shape[:-1] != logits.shape:
        raise refuse("outputs.shape", tuple(outputs.shape), f"{(*logits.shape, 'd')}: one output for each logit")
    return outputs


def _from_outside(selected: Any, logits: Tensor, k: int) -> Tensor:
    """Check the experts that something else than the largest logits selected. Returns them as int64 (..., k)."""
    N = logits.shape[-1]
    chosen = check_selected(selected, logits.shape[:-1], N, whole_number("k", k, least=1, most=N))  # (..., k)
    if logits.detach().gather(-1, chosen).isneginf().all(dim=-1).any():
        raise refuse("selected", selected, "at least one expert whose logit is above −∞ for each token")
    return chosen


def _is_number(value: Any) -> bool:
    """Tell whether `value` is a real number, and no boolean."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _mark(logits: Tensor, selected: Tensor) -> Tensor:
    """Mark the selected experts. selected: (..., k). Returns booleans (..., N)."""
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, selected, True)


def _gate(logits: Tensor, selected: Tensor, gate: str) -> Tensor:
    """Return the gate weights of the selected experts, 0 for the others. (..., N)."""
    one_of("gate", gate, GATE_FORMS)
    if gate == "softmax_topk":
        return torch.softmax(logits, dim=-1) * _mark(logits, selected)  # (..., N)
    # Over the survivors alone, topk_softmax and softmax_topk_renorm are the same function (lesson 04).
    return torch.softmax(logits.masked_fill(~_mark(logits, selected), -torch.inf), dim=-1)  # (..., N)


def _mix(weights: Tensor, outputs: Tensor) -> Tensor:
    """Return Σ_i w_i E_i. weights: (..., N), outputs: (..., N, d) -> (..., d)."""
    return (weights.unsqueeze(-1) * outputs).sum(dim=-2)
