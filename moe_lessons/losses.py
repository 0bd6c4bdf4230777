"""Auxiliary losses of a router: the Switch balance loss and the router z-loss. torch, to be trained with.

Both compute in float32 when the logits are bfloat16 or float16, and take any leading shape: (T, N), (batch, T, N), …
Letters as in `routing`: T tokens, N experts, k active, h logits, p probabilities.
"""

from typing import Any

import torch
from torch import Tensor

from moe_lessons.validation import refuse, whole_number


def load_balancing_loss(
    logits: Tensor, top_k: int, selected: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """Return the Switch balance loss of one layer: N Σ_i f_i P_i, without its coefficient α.

    f_i is expert i's share of the T·k assignments, P_i the mean probability of expert i. At balance the value is 1
    for every k; it is no measure of balance (it can fall below 1). The gradient flows through P only:
    ∂L/∂h_tj = (N/T) p_tj (f_j − Σ_i f_i p_ti).

    logits: (..., N), floating; −∞ masks an expert. top_k: k, from 1 to N.
    selected: (..., k) whole numbers from 0 to N − 1, when noise, a bias or capacity decided; by default the k largest
        logits, of equal ones the lower index first.
    mask: (...) booleans, True for a real token; padding (False) counts in neither f nor P and may hold anything.
    Returns a scalar (float32, or float64 for float64 logits).
    Raises ValueError for NaN or +∞ logits, a row of −∞ only, other shapes or types, and when no token is left.
    Sources: Fedus et al. 2021 (arXiv:2101.03961), Eq. 4-6; the division by k as in Dai et al. 2024 (arXiv:2401.06066).
    """
    h = _tokens(logits, mask)  # (T, N)
    whole_number("top_k", top_k, least=1, most=h.shape[-1])
    chosen = stable_top_k(h, top_k) if selected is None else _chosen(selected, logits, top_k, mask)  # (T, k)
    return balance_of_layers(h, chosen)


def balance_of_layers(logits: Tensor, selected: Tensor) -> Tensor:
    """Return N Σ_i f_i P_i of every layer (or run) of a stack. logits: (..., T, N), selected: (..., T, k) -> (...).

    Unlike `load_balancing_loss` it checks nothing and leaves no token out: for experiments that train many routers.
    """
    N = logits.shape[-1]
    P = torch.softmax(logits, dim=-1).mean(dim=-2)  # (..., N)
    chosen = selected.flatten(-2)  # (..., T·k)
    counts = torch.zeros_like(P).scatter_add(-1, chosen, torch.ones_like(chosen, dtype=P.dtype))  # (..., N)
    f = counts / chosen.shape[-1]  # (..., N): counts have no gradient
    return N * (f * P).sum(dim=-1)  # (...)


def z_loss(logits: Tensor) -> Tensor:
    """Return the router z-loss, without its coefficient: the mean over tokens of LSE(h)², LSE(h) = log Σ_j exp(h_j).

    It fixes what softmax leaves free, the common shift of the logits. Gradient: ∂L/∂h_tj = (2/T) LSE_t p_tj.
    logits: (..., N), floating; −∞ masks an expert. Returns a scalar in nats² (float32, or float64 for float64 logits).
    Raises ValueError for NaN or +∞ logits, a row of −∞ only, and an empty batch.
    Source: Zoph et al. 2022 (arXiv:2202.08906), Eq. 5.
    """
    return torch.logsumexp(_tokens(logits), dim=-1).square().mean()


def stable_top_k(logits: Tensor, k: int) -> Tensor:
    """Return the indices of the k largest of each row, best first; of equal ones the lower index comes first.

    logits: (..., N) -> (..., k). Raises ValueError for k outside 1..N. (`torch.topk` promises no order among equals.)
    """
    k = whole_number("k", k, least=1, most=logits.shape[-1])
    return logits.detach().sort(dim=-1, descending=True, stable=True).indices[..., :k]


def check_logits(logits: Any, mask: Tensor | None = None) -> Tensor:
    """Return `logits` where `mask` is True, if they are floating scores: finite or −∞, one finite entry in each row."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise refuse("logits", logits, "a floating-point torch tensor")
    if logits.ndim == 0 or logits.numel() == 0:
        raise refuse("logits.shape", tuple(logits.shape), "(..., N) with at least one token and one expert")
    real = _real(logits, mask, logits.shape[:-1])  # (..., N), or (real tokens, N)
    largest = real.detach().amax(dim=-1)  # (...); NaN passes through amax
    if not largest.isfinite().all():
        raise refuse("logits", real.detach(), "finite numbers, or −∞ as a mask with a finite entry in every row")
    return real


def _tokens(logits: Any, mask: Tensor | None = None) -> Tensor:
    """Check the logits and put the real tokens into one row each, in float32 or float64. (T, N)."""
    real = check_logits(logits, mask)
    wide = real.float() if real.dtype in (torch.bfloat16, torch.float16) else real
    return wide.reshape(-1, logits.shape[-1])  # (T, N)


def _chosen(selected: Any, logits: Tensor, top_k: int, mask: Tensor | None) -> Tensor:
    """Check the experts that were selected from outside and leave padding out. (T, k)."""
    N, expected = logits.shape[-1], (*logits.shape[:-1], top_k)
    if not isinstance(selected, Tensor) or selected.dtype not in (torch.int64, torch.int32):
        raise refuse("selected", selected, "a tensor of whole numbers (int64 or int32)")
    if tuple(selected.shape) != expected:
        raise refuse("selected.shape", tuple(selected.shape), f"{expected}: k experts for each token")
    real = _real(selected.long(), mask, logits.shape[:-1]).reshape(-1, top_k)  # (T, k)
    if real.min() < 0 or real.max() >= N:
        raise refuse("selected", real, f"indices from 0 to {N - 1}")
    return real


def _real(values: Tensor, mask: Any, shape: torch.Size) -> Tensor:
    """Return the rows of `values` (*shape, ...) where the mask is True."""
    if mask is None:
        return values
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise refuse("mask", mask, "a tensor of booleans, True for a real token")
    if mask.shape != shape:
        raise refuse("mask.shape", tuple(mask.shape), f"{tuple(shape)}: one entry for each token")
    if not mask.any():
        raise refuse("mask", mask, "at least one real token")
    return values[mask]  # (real tokens, ...)
