"""Soft MoE: nothing is chosen. Every expert reads mixtures of all tokens, every token gets a mixture of all outputs."""

from typing import Any

import torch
from torch import Tensor

from moe_lessons.layer import MoELayer, Router, Routing
from moe_lessons.support.validation import refuse, whole_number
from moe_lessons.variants.pooled import pool_of


class SoftMoELayer(MoELayer):
    """N experts with p slots each. Dispatch is a softmax over the tokens, combine a softmax over the slots.

    h = x Φ, (T, N·p). D = softmax of h over the tokens: slot s reads Σ_t D_ts x_t, and goes through the expert
    that it belongs to. C = softmax of h over the slots: y_t = Σ_s C_ts E(slot s). No token is dropped, every weight has
    a gradient, the work is set by N·p, not by T. But each slot reads every token: not causal, in training or later.
    The pool of tokens is the last axis but one: a sequence of (B, L, d), all of (T, d). slots: p.
    Raises ValueError as `MoELayer`; for a single token without a pool, and for a decision that was made elsewhere.
    Source: Puigcerver et al. 2023 (arXiv:2308.00951), Eq. 1-2, without the normalisation of its Section 2.3.
    """

    def __init__(self, d_model: int, d_ff: int, num_experts: int, slots: int, activation: str = "relu") -> None:
        whole_number("slots", slots, least=1, most=2**20)
        scores = Router(d_model, num_experts * slots, 1)  # its W_g is Φ; what it selects is not asked
        super().__init__(d_model, d_ff, num_experts, 1, activation=activation, router=scores)

    def forward(self, x: Tensor, return_routing: bool = False, routing: Routing | None = None) -> Any:
        """Return y (..., T, d) for tokens x (..., T, d); with `return_routing`, also each expert's share in y."""
        if routing is not None:
            raise refuse("routing", routing, "None: soft experts read mixtures, and nothing is selected")
        self._tokens(x)
        h = self.router(x).logits  # (..., T, N·p)
        pool_of(h)
        D, C = h.softmax(dim=-2).to(x.dtype), h.softmax(dim=-1).to(x.dtype)  # (..., T, N·p) each
        y = C @ self._experts_on(D.mT @ x)  # (..., T, d)
        return (y, self._shares(h)) if return_routing else y

    def _experts_on(self, slots: Tensor) -> Tensor:
        """Run each expert on its slots (..., N·p, d). Returns the same shape."""
        N, d = self.experts.num_experts, slots.shape[-1]
        by_expert = slots.reshape(-1, N, slots.shape[-2] // N, d).transpose(0, 1)  # (N, pools, p, d)
        load = torch.full((N,), by_expert[0].numel() // d, device=slots.device)  # (N,)
        out = self.experts.sorted_rows(by_expert.reshape(-1, d), load)  # (N·pools·p, d)
        return out.reshape(by_expert.shape).transpose(0, 1).reshape(slots.shape)

    def _shares(self, h: Tensor) -> Routing:
        """Return every expert's share, best first: C summed over its slots, the softmax of the logits that are told."""
        logits = h.unflatten(-1, (self.experts.num_experts, -1)).logsumexp(dim=-1)  # (..., T, N)
        weights, selected = logits.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)  # (..., T, N) each
        return Routing(logits, selected, weights)
