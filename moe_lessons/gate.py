"""`routing.Gate` for tensors: what the selection sees, what the selected experts weigh. torch, to be trained with."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_lessons.losses import stable_top_k
from moe_lessons.routing import GROUP_SCORES, Gate


def sqrt_softplus(h: Tensor) -> Tensor:
    """Return √ln(1 + e^h). Below the smallest normal number it stays at its root, for there √ has an infinite slope."""
    return F.softplus(h).clamp(min=torch.finfo(h.dtype).tiny).sqrt()


SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": partial(torch.softmax, dim=-1),
    "sigmoid": torch.sigmoid,
    "sqrtsoftplus": sqrt_softplus,
}


def selection_scores(logits: Tensor, gate: Gate, bias: Tensor | None = None) -> Tensor:
    """Return the numbers of which the k largest are selected, −∞ for experts of dropped groups; no gradient.

    logits: (..., N). bias: (N,), in units of the scores (of the logits, with `after_selection`). Returns (..., N).
    Without bias and groups these are the logits: float scores can tie where logits do not.
    """
    plain = gate.after_selection or (bias is None and gate.groups == 1)
    seen = logits.detach() if plain else SCORES[gate.score](logits.detach())  # (..., N)
    if bias is not None:
        seen = seen + bias
    if gate.groups == 1:
        return seen
    groups = seen.unflatten(-1, (gate.groups, -1))  # (..., groups, N / groups)
    best = groups.topk(GROUP_SCORES[gate.group_score], dim=-1).values.sum(dim=-1)  # (..., groups)
    kept = torch.zeros_like(best, dtype=torch.bool).scatter(-1, stable_top_k(best, gate.kept_groups), True)
    return groups.masked_fill(~kept.unsqueeze(-1), -torch.inf).flatten(-2)


def selected_weights(logits: Tensor, selected: Tensor, gate: Gate) -> Tensor:
    """Return the weights of the selected experts (..., k). logits: (..., N). selected: (..., k) indices, constants."""
    if gate.after_selection:
        s = SCORES[gate.score](logits.gather(-1, selected))  # (..., k)
    else:
        s = SCORES[gate.score](logits).gather(-1, selected)  # (..., k)
    if gate.normalise and not gate.softmax_of_kept:
        s = s / s.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(s.dtype).tiny)
    return s if gate.scale == 1 else gate.scale * s
