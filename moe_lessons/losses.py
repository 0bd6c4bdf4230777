"""Auxiliary losses of a router: Switch balance, importance and load CV² (Shazeer), z-loss. torch, to be trained with.

All compute in float32 when the logits are bfloat16 or float16, and take any leading shape: (T, N), (batch, T, N), …
Letters as in `routing`: T tokens, N experts, k active, h logits, p probabilities.
"""

from typing import Any

import torch
from torch import Tensor

from moe_lessons.support.validation import refuse, whole_number

EPSILON = 1e-10  # of CV², as in the code published with Shazeer et al. 2017
LEAST_NOISE = 1e-6  # below it the float32 logits themselves are no more exact than their noise


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
    if selected is None:
        return balance_of_layers(h, stable_top_k(h, top_k))
    chosen = check_selected(selected, logits.shape[:-1], h.shape[-1], top_k, mask)  # (..., k), or (real tokens, k)
    return balance_of_layers(h, chosen.reshape(-1, top_k))


def balance_of_layers(logits: Tensor, selected: Tensor) -> Tensor:
    """Return N Σ_i f_i P_i of every layer (or run) of a stack. logits: (..., T, N), selected: (..., T, k) -> (...).

    Unlike `load_balancing_loss` it checks nothing and leaves no token out: for experiments that train many routers.
    """
    N = logits.shape[-1]
    P = torch.softmax(_wide(logits), dim=-1).mean(dim=-2)  # (..., N)
    chosen = selected.flatten(-2)  # (..., T·k)
    counts = torch.zeros_like(P).scatter_add(-1, chosen, torch.ones_like(chosen, dtype=P.dtype))  # (..., N)
    f = counts / chosen.shape[-1]  # (..., N): counts have no gradient
    return N * (f * P).sum(dim=-1)  # (...)


def z_loss(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the router z-loss, without its coefficient: the mean over tokens of LSE(h)², LSE(h) = log Σ_j exp(h_j).

    It fixes what softmax leaves free, the common shift of the logits. Gradient: ∂L/∂h_tj = (2/T) LSE_t p_tj.
    logits: (..., N), floating; −∞ masks an expert. mask: (...) booleans, True for a real token; T counts these alone.
    Returns a scalar in nats² (float32, or float64 for float64 logits).
    Raises ValueError for NaN or +∞ logits, a row of −∞ only, another shape of mask, and when no token is left.
    Source: Zoph et al. 2022 (arXiv:2202.08906), Eq. 5.
    """
    return torch.logsumexp(_tokens(logits, mask), dim=-1).square().mean()


def cv_squared(values: Tensor) -> Tensor:
    """Return the squared coefficient of variation along the last axis: variance / (mean² + 1e-10).

    The population variance (divided by N, not N − 1), as in the code of the paper. 0 when all N values are equal or
    there is one; N − 1 when one expert has everything. The same for loads, shares and percentages, but for the 1e-10.
    values: (..., N), floating, finite. Returns (...), float32 or float64.
    Raises ValueError for whole numbers (a count has no gradient), NaN, ∞ and an empty axis.
    Source: Shazeer et al. 2017 (arXiv:1701.06538), Section 4; in torch, `var()` alone would divide by N − 1.
    """
    v = _wide(_finite("values", values))  # (..., N)
    return v.var(dim=-1, correction=0) / (v.mean(dim=-1).square() + EPSILON)


def importance_loss(weights: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return CV² of the importance, Importance_i = Σ_t w_ti, without its coefficient w_importance.

    It balances the sums of gate weights, not the numbers of tokens: many faint weights weigh as much as one strong.
    weights: (..., N), dense, 0 for an expert that is not selected. mask: (...), False for padding.
    Returns a scalar, 0 at balance. Gradients reach the weights of selected experts only: a plain 0 passes none on.
    Raises ValueError for weights below 0, NaN, ∞, other shapes, and when no token is left.
    Source: Shazeer et al. 2017 (arXiv:1701.06538), Eq. 6-7.
    """
    real = _real(_rows("weights", weights), mask, weights.shape[:-1])  # (..., N)
    if (_finite("weights", real).detach() < 0).any():
        raise refuse("weights", real.detach(), "gate weights of at least 0")
    return cv_squared(_wide(real).reshape(-1, weights.shape[-1]).sum(dim=0))


def smooth_load(clean_logits: Tensor, noisy_logits: Tensor, noise_sd: Tensor | float, k: int) -> Tensor:
    """Return Pr(x, i): how likely expert i is selected if its own noise is drawn afresh, that of the others kept.

    Pr(x, i) = Φ((clean_i − threshold_i) / sd_i), threshold_i the k-th largest noisy logit of the OTHER experts: the
    next best of all for a selected expert, the last selected for another. So counts of tokens get a gradient.
    Without noise (sd below 1e-6, or k = N) it is 1 for the k selected, 0 for the others, and has no gradient.

    clean_logits, noisy_logits: (..., N), finite; or −∞ in both, for a masked expert, whose chance is 0.
    noise_sd: (..., N), or anything that broadcasts to it, at least 0. k: from 1 to N. Returns (..., N), from 0 to 1.
    Raises ValueError for NaN or +∞, shapes that differ, a negative noise_sd, k outside 1..N.
    Source: Shazeer et al. 2017 (arXiv:1701.06538), Appendix A, Eq. 8-9.
    """
    clean = _wide(check_logits(clean_logits, name="clean_logits"))  # (..., N)
    noisy = _wide(check_logits(noisy_logits, name="noisy_logits"))  # (..., N)
    if noisy.shape != clean.shape or not torch.equal(clean.isfinite(), noisy.isfinite()):
        raise refuse("noisy_logits", noisy.detach(), f"the shape {tuple(clean.shape)} and the −∞ of clean_logits")
    k, sd = whole_number("k", k, least=1, most=clean.shape[-1]), _spread(noise_sd, clean)  # (..., N)
    if not (sd.detach().isfinite() & (sd.detach() >= 0)).all():
        raise refuse("noise_sd", sd.detach(), "finite numbers of at least 0")
    gap = clean - _threshold(noisy, k)  # (..., N)
    fixed = (sd < LEAST_NOISE) | ~gap.isfinite()  # (..., N): nothing here for a derivative
    # where twice: a division by zero that is not chosen would still spoil the gradient with NaN.
    likely = torch.special.ndtr(torch.where(fixed, 0.0, gap) / torch.where(fixed, 1.0, sd))  # (..., N)
    selected = torch.zeros_like(fixed).scatter(-1, stable_top_k(noisy, k), True) & clean.isfinite()  # (..., N)
    return torch.where(fixed, selected.to(likely.dtype), likely)


def load_loss(
    clean_logits: Tensor, noisy_logits: Tensor, noise_sd: Tensor | float, k: int, mask: Tensor | None = None
) -> Tensor:
    """Return CV² of the smooth load, Load_i = Σ_t Pr(x_t, i), without its coefficient w_load.

    It balances numbers of tokens, as far as noise decides: without noise it has a value and no gradient.
    Arguments as in `smooth_load`; mask: (...), False for padding. Returns a scalar, 0 at balance.
    Source: Shazeer et al. 2017 (arXiv:1701.06538), Appendix A, Eq. 10-11.
    """
    clean = check_logits(clean_logits, mask, name="clean_logits")  # (..., N), or (real tokens, N)
    if _rows("noisy_logits", noisy_logits).shape != clean_logits.shape:
        raise refuse("noisy_logits.shape", tuple(noisy_logits.shape), f"{tuple(clean_logits.shape)}, as clean_logits")
    noisy, sd = (_real(a, mask, a.shape[:-1]) for a in (noisy_logits, _spread(noise_sd, clean_logits)))  # as clean
    return cv_squared(smooth_load(clean, noisy, sd, k).reshape(-1, clean.shape[-1]).sum(dim=0))


def stable_top_k(logits: Tensor, k: int) -> Tensor:
    """Return the indices of the k largest of each row, best first; of equal ones the lower index comes first.

    logits: (..., N) -> (..., k). Raises ValueError for k outside 1..N, and NaN. (`torch.topk` promises no order among
    equals.)
    """
    k = whole_number("k", k, least=1, most=logits.shape[-1])
    if logits.detach().isnan().any():
        raise refuse("logits", logits.detach(), "numbers that can be put in order, without NaN")
    return logits.detach().sort(dim=-1, descending=True, stable=True).indices[..., :k]


def check_logits(logits: Any, mask: Tensor | None = None, name: str = "logits") -> Tensor:
    """Return `logits` where `mask` is True, if they are floating scores: finite or −∞, one finite entry in each row."""
    real = _real(_rows(name, logits), mask, logits.shape[:-1])  # (..., N), or (real tokens, N)
    largest = real.detach().amax(dim=-1)  # (...); NaN passes through amax
    if not largest.isfinite().all():
        raise refuse(name, real.detach(), "finite numbers, or −∞ as a mask with a finite entry in every row")
    return real


def check_selected(
    selected: Any, lead: tuple[int, ...], num_experts: int, k: int | None = None, mask: Tensor | None = None
) -> Tensor:
    """Return expert indices (*lead, k) as int64, where `mask` is True, if they are whole numbers from 0 to N − 1.

    lead: the shape of the tokens. k: how many experts a token has, by default any number from 1 to N.
    """
    if not isinstance(selected, Tensor) or selected.dtype not in (torch.int64, torch.int32):
        raise refuse("selected", selected, "a tensor of whole numbers (int64 or int32)")
    found = selected.shape[-1] if selected.ndim else 0
    if selected.shape[:-1] != lead or not (1 <= found <= num_experts if k is None else found == k):
        raise refuse("selected.shape", tuple(selected.shape), f"{(*lead, k or 'k')}: k experts for each token")
    real = _real(selected.long(), mask, selected.shape[:-1])  # (..., k)
    low, high = map(int, real.aminmax()) if real.numel() else (0, 0)
    if low < 0 or high >= num_experts:
        raise refuse("selected", real, f"indices from 0 to {num_experts - 1}")
    if found == num_experts and (real.sort(dim=-1).values != torch.arange(num_experts, device=real.device)).any():
        raise refuse("selected", real, "every expert once where k = N (is it a mask over the experts?)")
    return real


def _rows(name: str, values: Any) -> Tensor:
    """Check that `values` is a floating-point tensor (..., N) that is not empty."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise refuse(name, values, "a floating-point torch tensor")
    if values.ndim == 0 or values.numel() == 0:
        raise refuse(f"{name}.shape", tuple(values.shape), "(..., N) with at least one token and one expert")
    return values


def _finite(name: str, values: Any) -> Tensor:
    """Check that `values` is such a tensor of finite numbers."""
    if not _rows(name, values).detach().isfinite().all():
        raise refuse(name, values.detach(), "finite numbers")
    return values


def _wide(values: Tensor) -> Tensor:
    """Return bfloat16 and float16 as float32: sums over thousands of tokens need the digits."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def _spread(noise_sd: Any, logits: Tensor) -> Tensor:
    """Return the standard deviations of the noise in the shape and type of the logits (..., N)."""
    try:
        return torch.as_tensor(noise_sd, dtype=logits.dtype, device=logits.device).broadcast_to(logits.shape)
    except (RuntimeError, TypeError, ValueError):
        raise refuse("noise_sd", noise_sd, f"a number, or a tensor that broadcasts to {tuple(logits.shape)}") from None


def _threshold(noisy: Tensor, k: int) -> Tensor:
    """Return for each expert the k-th largest logit of the others (..., N); −∞ where there are fewer than k others."""
    if k == noisy.shape[-1]:
        return torch.full_like(noisy, -torch.inf)
    best = noisy.topk(k + 1, dim=-1).values  # (..., k + 1)
    last, following = best[..., k - 1 : k], best[..., k:]  # (..., 1) each
    return torch.where(noisy > following, following, last)  # at a tie the two are equal


def _tokens(logits: Any, mask: Tensor | None = None) -> Tensor:
    """Check the logits and put the real tokens into one row each, in float32 or float64. (T, N)."""
    return _wide(check_logits(logits, mask)).reshape(-1, logits.shape[-1])  # (T, N)


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
