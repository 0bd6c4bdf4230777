"""Choices that tokens make together: the loads are balanced, and what a token gets depends on the others.

The pool is the last axis but one: of tokens (B, L, d) each sequence is one, of (T, d) all tokens are. Letters as in
`routing`: T tokens of a pool, N experts, k experts a token on average, h logits.
"""

import math

import numpy as np
import scipy
import torch
from torch import Tensor

from moe_lessons.balancing import expert_capacity
from moe_lessons.layer import Router, Routing, top_k_indices
from moe_lessons.support.validation import positive_number, refuse, whole_number
from moe_lessons.variants.padded import padded

MOST_ROUNDS = 1000


class ExpertChoiceRouter(Router):
    """Each expert takes the C tokens that it scores highest: loads are equal, and a token has 0 to N experts.

    S = softmax(x W_g) over the experts; expert i takes the C = ⌈k·T/N⌉ largest S_ti of its column, of equal ones the
    earlier token, and weighs them by S_ti as it is. k is their capacity factor c: experts a token on average.
    Who reads on takes others' places away, so it is not causal, in training or later.
    Source: Zhou et al. 2022 (arXiv:2202.09368), Section 3.2.
    """

    def decide(self, logits: Tensor) -> Routing:
        """Let each expert choose among the tokens of logits (..., T, N)."""
        T, N = pool_of(logits)
        S, C = logits.softmax(dim=-1), expert_capacity(T, N, self.top_k, 1)  # (..., T, N), and at most T
        taken = S.detach().mT.sort(dim=-1, descending=True, stable=True).indices[..., :C]  # (..., N, C), tokens
        chosen = torch.zeros_like(S.mT, dtype=torch.bool).scatter(-1, taken, True).mT  # (..., T, N)
        return padded(logits, S, chosen)


class BaseRouter(Router):
    """BASE: in training the assignment with the largest sum of logits in which every expert has the same load.

    max Σ_t h_{t, a(t)}, each expert with T/N tokens (⌈T/N⌉ at most, where N does not divide T). The weight is
    sigmoid(h_{t, a(t)}). In evaluation each token takes its largest logit, so the loads are as they come, and the model
    may write. Theirs has k = 1; here k assignments follow each other, none with an expert that the token has.
    Raises ValueError as `Router`, and for k above N/2 + 1, where the last assignment may be impossible.
    Source: Lewis et al. 2021 (arXiv:2103.16716), Section 3.2.
    """

    def __init__(self, d_model: int, num_experts: int, top_k: int = 1) -> None:
        super().__init__(d_model, num_experts, top_k)
        whole_number("top_k", top_k, least=1, most=num_experts // 2 + 1)

    def decide(self, logits: Tensor) -> Routing:
        """Assign the tokens of logits (..., T, N) in training; let each choose for itself in evaluation."""
        selected = balanced_assignment(logits, self.top_k) if self.training else top_k_indices(logits, self.top_k)
        return Routing(logits, selected, logits.sigmoid().gather(-1, selected))  # (..., k)


def balanced_assignment(logits: Tensor, k: int = 1) -> Tensor:
    """Return the experts (..., k) of the assignment with the largest sum of logits (..., T, N) under equal loads.

    For k > 1 one assignment after the other. Raises ValueError for a single token without a pool.
    """
    T, N = pool_of(logits)
    chosen = torch.zeros((*logits.shape[:-1], k), dtype=torch.int64, device=logits.device)  # (..., T, k)
    if chosen.numel():
        pools = logits.detach().double().cpu().reshape(-1, T, N).numpy()  # (pools, T, N)
        chosen.copy_(torch.from_numpy(np.stack([_assign(scores.copy(), k) for scores in pools])).reshape(chosen.shape))
    return chosen


def _assign(scores: np.ndarray, k: int) -> np.ndarray:
    """Assign the tokens of one pool, (T, N) -> (T, k). Every expert is offered as often as it has places."""
    T, N = scores.shape
    places, chosen = math.ceil(T / N), []
    for _ in range(k):
        offered = scores.repeat(places, axis=1)  # (T, N·places)
        _, place = scipy.optimize.linear_sum_assignment(offered, maximize=True)  # (T,)
        chosen.append(place // places)  # (T,)
        scores[np.arange(T), chosen[-1]] = -np.inf  # none twice
    return np.stack(chosen, axis=1)


class SinkhornRouter(Router):
    """Selects in training on logits that are balanced first; weighs by the logits as they are.

    `sinkhorn` turns exp(h) into a plan in which all tokens and all experts get their share. Of a row, the k largest are
    selected: loads come near balance, without a guarantee. Weights: sigmoid of the logit for k = 1, else the softmax
    over all experts, not normalised. In evaluation the logits select, and the model may write.
    Sources: Clark et al. 2022 (arXiv:2202.01169), S-BASE; weights and evaluation as in Megatron-LM.
    """

    def decide(self, logits: Tensor) -> Routing:
        """Select by the plan of logits (..., T, N) in training, by each token's own in evaluation."""
        order = sinkhorn(logits) if self.training else logits  # (..., T, N)
        selected = top_k_indices(order, self.top_k)  # (..., k)
        scores = logits.sigmoid() if self.top_k == 1 else logits.softmax(dim=-1)  # (..., N)
        return Routing(logits, selected, scores.gather(-1, selected))


@torch.no_grad()
def sinkhorn(logits: Tensor, tolerance: float = 1e-4) -> Tensor:
    """Return P = diag(a) exp(h) diag(b), whose rows sum to 1 and whose columns sum to T/N, (..., T, N).

    Of all such P it has the largest Σ P h + entropy of P: a soft BASE. Columns and rows are scaled in turn, on
    logarithms, until no column is off by more than `tolerance` of its sum; at most 1000 times, so for logits that lie
    hundreds apart columns may be further off. No gradient.
    Raises ValueError for a tolerance that is not above 0, and a single token without a pool.
    Source: Sinkhorn 1964; Cuturi 2013 (arXiv:1306.0895), Algorithm 1.
    """
    T, N = pool_of(logits)
    positive_number("tolerance", tolerance)
    log_p = logits.log_softmax(dim=-1)  # (..., T, N)
    for _ in range(MOST_ROUNDS if logits.numel() else 0):
        off = log_p.logsumexp(dim=-2, keepdim=True) - math.log(T / N)  # (..., 1, N): of the columns
        if off.abs().max() < tolerance:
            break
        log_p = (log_p - off).log_softmax(dim=-1)  # the columns are right, then the rows again
    return log_p.exp()


def pool_of(logits: Tensor) -> tuple[int, int]:
    """Return T and N of logits (..., T, N). Raises ValueError for a single token, which has nobody to choose with."""
    if logits.ndim < 2:
        raise refuse("logits.shape", tuple(logits.shape), "(..., T, N): the tokens that choose together")
    return logits.shape[-2], logits.shape[-1]
