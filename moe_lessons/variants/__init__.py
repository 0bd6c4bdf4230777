"""Other ways to choose experts, each beside its formula, and one registry of them.

`hashes`: fixed by the token id. `alone`: learned, every token for itself. `pooled`: tokens choose together. `soft`:
nothing is chosen. A hash decides by ids, for all layers of a model at once; every other way is a `MoELayer`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from moe_lessons.layer import MoELayer, Router
from moe_lessons.variants.alone import HierarchicalRouter, ThresholdRouter, TwoLayerRouter
from moe_lessons.variants.hashes import BigramHashRouter, HashRouter
from moe_lessons.variants.pooled import BaseRouter, ExpertChoiceRouter, SinkhornRouter
from moe_lessons.variants.soft import SoftMoELayer

__all__ = [
    "VARIANTS", "BaseRouter", "BigramHashRouter", "ExpertChoiceRouter", "HashRouter", "HierarchicalRouter",
    "SinkhornRouter", "SoftMoELayer", "ThresholdRouter", "TwoLayerRouter", "Variant",
]  # fmt: skip


class Variant(NamedTuple):
    """A way to choose, and what builds it: a layer, or a hash that decides by token ids for all layers of a model.

    says: in one line. layer: (d_model, d_ff, num_experts, top_k, activation=…) -> MoELayer.
    by_ids: (vocabulary, num_experts, top_k, seed) -> a module from ids (B, L) to a `Routing`.
    """

    says: str
    layer: Callable[..., MoELayer] | None = None
    by_ids: Callable[..., HashRouter] | None = None


def layer_with(
    router: Callable[[int, int, int], Router], d_model: int, d_ff: int, num_experts: int, top_k: int, activation: str
) -> MoELayer:
    """Return a sparse layer whose router is router(d_model, num_experts, top_k)."""
    own = router(d_model, num_experts, top_k)
    return MoELayer(d_model, d_ff, num_experts, top_k, activation=activation, router=own)


VARIANTS = {
    "hash": Variant("k experts by the token's id, from a fixed table", by_ids=HashRouter),
    "bigram": Variant("k experts by the ids of the token and the one before it", by_ids=BigramHashRouter),
    "two_layer": Variant("top-k of logits from a small network", partial(layer_with, TwoLayerRouter)),
    "hierarchical": Variant("first a group, then k experts in it", partial(layer_with, HierarchicalRouter)),
    "threshold": Variant("every expert whose threshold is passed", partial(layer_with, ThresholdRouter)),
    "expert_choice": Variant("each expert takes its best tokens", partial(layer_with, ExpertChoiceRouter)),
    "base": Variant("in training the best assignment of equal loads", partial(layer_with, BaseRouter)),
    "sinkhorn": Variant("in training top-k of balanced logits", partial(layer_with, SinkhornRouter)),
    "soft": Variant("nothing is chosen: k slots an expert read mixtures of all tokens", SoftMoELayer),
}
"""Every other way by its name, which is also a `feed_forward` of `model.Config`."""
