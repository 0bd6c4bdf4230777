"""Choices that every token makes for itself, but not by one matrix and a top-k: two levels, two layers, thresholds."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lessons.layer import Router, Routing, gate_selected, top_k_indices
from moe_lessons.support.state import WideState
from moe_lessons.support.validation import number_within, refuse, whole_number
from moe_lessons.variants.padded import padded


class HierarchicalRouter(Router):
    """Chooses groups first, then experts in each kept group: two small decisions instead of a large one.

    y = Σ_i Σ_j G_primary(x)_i G_i(x)_j E_ij(x). Of `groups` equal groups `kept_groups` are kept, in each of them
    k / kept_groups experts. gate: of both levels, a key of `routing.GATE_FORMS`. The paper has "topk_softmax", and more
    than one on each level: a level that keeps a single one would then give it weight 1, and get no gradient.
    The logits are ln(softmax over groups) + ln(softmax within the group): their softmax is the dense product.
    Raises ValueError as `Router`, and for groups or kept groups that do not divide N, or k.
    Source: Shazeer et al. 2017 (arXiv:1701.06538), Appendix B, Eq. 12.
    """

    def __init__(
        self, d_model: int, num_experts: int, top_k: int, groups: int = 2, kept_groups: int = 1,
        gate: str = "softmax_topk",
    ) -> None:  # fmt: skip
        super().__init__(d_model, num_experts, top_k, gate)
        self.groups = whole_number("groups", groups, least=1, most=num_experts)
        self.kept_groups = whole_number("kept_groups", kept_groups, least=1, most=groups)
        if num_experts % groups or top_k % kept_groups or top_k // kept_groups > num_experts // groups:
            expected = f"groups that divide N = {num_experts}, kept groups that divide k = {top_k} and hold as many"
            raise refuse("groups, kept_groups", (groups, kept_groups), expected)
        self.primary = Router(d_model, groups, kept_groups)

    def logits(self, x: Tensor) -> Tensor:
        """Return the logarithm of the product of both softmaxes, (..., N), for x (..., d)."""
        first = self.primary.logits(x).log_softmax(dim=-1)  # (..., groups)
        second = super().logits(x).unflatten(-1, (self.groups, -1)).log_softmax(dim=-1)  # (..., groups, N/groups)
        return (first[..., None] + second).flatten(-2)

    def decide(self, logits: Tensor) -> Routing:
        """Keep groups, then experts in them. logits: (..., N), of both levels together."""
        by_group = logits.unflatten(-1, (self.groups, -1))  # (..., groups, N/groups)
        first = by_group.logsumexp(dim=-1)  # (..., groups): ln of the group's probability
        kept = top_k_indices(first, self.kept_groups)  # (..., kept)
        second = by_group.take_along_dim(kept[..., None], dim=-2)  # (..., kept, N/groups)
        within = top_k_indices(second, self.top_k // self.kept_groups)  # (..., kept, j)
        selected = kept[..., None] * by_group.shape[-1] + within  # (..., kept, j), counted over all groups
        weights = gate_selected(first, kept, self.gate)[..., None] * gate_selected(second, within, self.gate)
        return Routing(logits, selected.flatten(-2), weights.flatten(-2))


class TwoLayerRouter(Router):
    """Scores the experts by a small network: h = gelu(x W_1 + b) W_g; one matrix alone cuts space by flat faces.

    width: of the hidden layer, d_model unless given. The rest is as in `Router`.
    Source: Zaya's router is of this kind, with a state besides that goes from layer to layer (transformers 5.23).
    """

    def __init__(self, d_model: int, num_experts: int, top_k: int, width: int | None = None) -> None:
        width = d_model if width is None else whole_number("width", width, least=1, most=2**31)
        super().__init__(width, num_experts, top_k)
        self.hidden = nn.Linear(d_model, width)

    def logits(self, x: Tensor) -> Tensor:
        """Return h (..., N) for x (..., d)."""
        weight, bias = (part.to(x.dtype) for part in (self.hidden.weight, self.hidden.bias))  # (width, d), (width,)
        return super().logits(F.gelu(F.linear(x, weight, bias)))


class ThresholdRouter(Router, WideState):
    """Expert i runs for every token whose score passes its threshold: any number of experts a token, k on average.

    s = sigmoid(h); expert i is chosen if s_ti > c_i, and weighs s_ti. In training, after it has decided, c_i moves by
    1 − memory towards the score above which k·T/N of these tokens lie: an expert that was chosen too often becomes
    choosier. So loads are balanced over many steps as in expert choice, and a token needs to know of no other.
    threshold: a buffer (N,), saved with the model, and 0.5 at first. memory: from 0 to 1 (a threshold that stays).
    Source: "Expert Threshold" 2026 (arXiv:2603.11535), its abstract; sigmoid, start and quantile are this course's.
    """

    threshold: Tensor

    def __init__(self, d_model: int, num_experts: int, top_k: int, memory: float = 0.99) -> None:
        super().__init__(d_model, num_experts, top_k)
        self.memory = number_within("memory", memory, 0, 1)
        self.register_buffer("threshold", torch.full((num_experts,), 0.5))

    def decide(self, logits: Tensor) -> Routing:
        """Choose every expert whose threshold is passed. logits: (..., N). Then, in training, move the thresholds."""
        s = logits.sigmoid()  # (..., N)
        decided = padded(logits, s, s > self.threshold)
        if self.training and s.numel():
            self.follow(s.detach())
        return decided

    @torch.no_grad()
    def follow(self, scores: Tensor) -> None:
        """Move the thresholds towards the 1 − k/N quantile of each expert's scores (..., N)."""
        N = scores.shape[-1]
        wanted = scores.reshape(-1, N).quantile(1 - self.top_k / N, dim=0)  # (N,)
        self.threshold.lerp_(wanted.to(self.threshold), 1 - self.memory)
