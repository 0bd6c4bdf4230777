"""Any number of experts a token, in the form that the layer takes: the same number for all."""

import torch
from torch import Tensor

from moe_lessons.layer import Routing
from moe_lessons.losses import stable_top_k


def padded(logits: Tensor, weights: Tensor, chosen: Tensor) -> Routing:
    """Return the decision of a router whose tokens have different numbers of experts, 0 to N.

    logits, weights: (..., N). chosen: booleans (..., N). Returns selected (..., k), with k the largest number that a
    token has, 1 at least. The places of a token that has fewer go to others with weight 0: they are run, and add
    nothing. How many experts a token has is then the number of weights that are not 0.
    """
    k = max(1, int(chosen.sum(dim=-1).amax())) if chosen.numel() else 1
    order = torch.where(chosen, weights, -torch.inf)  # (..., N)
    selected = stable_top_k(order, k)  # (..., k): the chosen ones first, best first
    return Routing(logits, selected, torch.where(chosen, weights, 0).gather(-1, selected))
