"""A small language model whose feed-forward layers are sparse, and its dense twin of equal active FLOPs.

Letters: B sequences, L tokens each, V vocabulary, d width, f expert width, N experts, k active.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lessons.layer import MoELayer, Routing, feed_forward
from moe_lessons.support.validation import one_of, refuse, whole_number
from moe_lessons.variants import VARIANTS

FEED_FORWARDS = {
    "moe": "a sparse layer with a learned router",
    "hash": "the same experts, chosen by a fixed hash of the token id",
    "dense": "one feed-forward network of width k·f: the same active FLOPs, no router",
}


@dataclass(frozen=True)
class Config:
    """The sizes of a `LanguageModel`. feed_forward: a key of FEED_FORWARDS or of `variants.VARIANTS`, which go without
    gate. seed: of the hash, if there is one."""

    vocabulary: int
    context: int = 128
    layers: int = 4
    d_model: int = 64
    heads: int = 4
    d_ff: int = 128
    num_experts: int = 8
    top_k: int = 2
    gate: str = "topk_softmax"
    activation: str = "relu"
    feed_forward: str = "moe"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that make no model; the layers check their own."""
        for name in ("vocabulary", "context", "layers", "d_model", "heads", "d_ff"):
            whole_number(name, getattr(self, name), least=1, most=2**31)
        one_of("feed_forward", self.feed_forward, FEED_FORWARDS | VARIANTS)
        if self.d_model % self.heads:
            raise refuse("heads", self.heads, f"a divisor of d_model = {self.d_model}")


def dense_twin(config: Config) -> Config:
    """Return the configuration of the dense model with the same active FLOPs (the router's left out)."""
    return replace(config, feed_forward="dense")


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, L, d). Returns (B, L, d)."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, heads, L, d / heads)
        return self.out(mixed.transpose(1, 2).flatten(2))  # (B, L, d)


class DenseLayer(nn.Module):
    """A feed-forward network with the interface of `MoELayer`; it routes nothing."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.activation, width = config.activation, config.top_k * config.d_ff
        shapes = [(config.d_model, width), (width, config.d_model), (config.d_model, width)]
        bounds = [rows**-0.5 for rows, _ in shapes]
        matrices = [torch.empty(shape).uniform_(-b, b) for shape, b in zip(shapes, bounds, strict=True)]
        self.matrices = nn.ParameterList(matrices[: 3 if config.activation == "swiglu" else 2])

    def forward(self, x: Tensor, return_routing: bool = False, routing: Routing | None = None) -> Any:
        """x: (..., d). Returns (..., d), and None for the routing that there is not."""
        y = feed_forward(x, self.activation, list(self.matrices))  # (..., d)
        return (y, None) if return_routing else y


def sparse_layer(config: Config) -> nn.Module:
    """Return the feed-forward layer that a configuration asks for."""
    if config.feed_forward == "dense":
        return DenseLayer(config)
    sizes = config.d_model, config.d_ff, config.num_experts, config.top_k
    variant = VARIANTS.get(config.feed_forward)
    if variant and variant.layer:
        return variant.layer(*sizes, activation=config.activation)
    layer = MoELayer(*sizes, config.gate, config.activation)
    if variant:
        layer.router.requires_grad_(False)  # it is never asked
    return layer


class Block(nn.Module):
    """Attention, then the feed-forward layer, each on the normalised stream and added to it."""

    def __init__(self, config: Config, make_layer: Callable[[Config], nn.Module]) -> None:
        super().__init__()
        self.norm_1, self.attention = nn.RMSNorm(config.d_model), Attention(config)
        self.norm_2, self.feed_forward = nn.RMSNorm(config.d_model), make_layer(config)

    def forward(self, x: Tensor, routing: Routing | None) -> tuple[Tensor, Routing | None]:
        """x: (B, L, d). Returns the stream (B, L, d) and what the router decided."""
        x = x + self.attention(self.norm_1(x))  # (B, L, d)
        y, decided = self.feed_forward(self.norm_2(x), return_routing=True, routing=routing)
        return x + y, decided


class LanguageModel(nn.Module):
    """A decoder: token and position vectors, blocks, and logits for the next token from the token vectors.

    make_layer: builds the feed-forward layer of a block, for comparisons with other layers.
    """

    def __init__(self, config: Config, make_layer: Callable[[Config], nn.Module] = sparse_layer) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary, config.d_model)
        self.positions = nn.Embedding(config.context, config.d_model)
        self.blocks = nn.ModuleList(Block(config, make_layer) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.d_model)
        for embedding in (self.tokens, self.positions):
            nn.init.normal_(embedding.weight, std=config.d_model**-0.5)
        sizes = config.vocabulary, config.num_experts, config.top_k, config.seed
        by_ids = VARIANTS[config.feed_forward].by_ids if config.feed_forward in VARIANTS else None
        self.hash = by_ids(*sizes) if by_ids else None

    def forward(self, ids: Tensor, return_routing: bool = False) -> Any:
        """Return the next token's logits (B, L, V) for ids (B, L); with `return_routing`, also a Routing per layer."""
        self._check(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)  # (L,)
        x = self.tokens(ids) + self.positions(positions)  # (B, L, d)
        routing, decisions = self.hash(ids) if self.hash else None, []
        for block in self.blocks:
            x, decided = block(x, routing)
            decisions.append(decided)
        logits = self.norm(x) @ self.tokens.weight.T  # (B, L, V)
        return (logits, decisions) if return_routing else logits

    def _check(self, ids: Tensor) -> None:
        """Refuse what are no token ids of this model."""
        config = self.config
        if not isinstance(ids, Tensor) or ids.is_floating_point() or ids.ndim != 2:
            raise refuse("ids", getattr(ids, "shape", ids), "whole numbers (B, L): one row of token ids a sequence")
        if not 1 <= ids.shape[1] <= config.context:
            raise refuse(
                "ids.shape", tuple(ids.shape), f"at most context = {config.context} tokens a row, and one at least"
            )
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < config.vocabulary:
            raise refuse("ids", [int(ids.min()), int(ids.max())], f"ids from 0 to {config.vocabulary - 1}")


def next_token_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """Return the mean cross-entropy in nats. logits: (B, L, V) for ids[:, :-1]. ids: (B, L + 1). Returns a scalar.

    Raises ValueError for ids of another shape or outside 0..V − 1: torch would pass over −100 without a word.
    """
    if logits.ndim != 3 or ids.ndim != 2 or logits.shape[:2] != ids[:, 1:].shape:
        raise refuse("logits.shape", tuple(logits.shape), f"(B, L, V) for ids (B, L + 1), here {tuple(ids.shape)}")
    if ids.numel() and not 0 <= ids.min() <= ids.max() < logits.shape[-1]:
        raise refuse("ids", [int(ids.min()), int(ids.max())], f"ids from 0 to {logits.shape[-1] - 1}")
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


@contextmanager
def without_expert(model: LanguageModel, layer: int, expert: int) -> Iterator[None]:
    """Switch one expert off: within the block, the layer adds nothing for it. The other weights stay as they are.

    Raises ValueError for a layer or expert that is not there, and for a model whose layers' routers are not asked.
    """
    if model.config.feed_forward != "moe":
        raise refuse("model.config.feed_forward", model.config.feed_forward, "'moe', where a router is asked")
    whole_number("layer", layer, least=0, most=len(model.blocks) - 1)
    whole_number("expert", expert, least=0, most=model.config.num_experts - 1)

    def close(_router: nn.Module, _input: Any, decided: Routing) -> Routing:
        return decided._replace(weights=decided.weights.masked_fill(decided.selected == expert, 0))

    block: Any = model.blocks[layer]
    handle = block.feed_forward.router.register_forward_hook(close)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def without_layer(model: LanguageModel, layer: int, instead: Tensor | None = None) -> Iterator[None]:
    """Switch a whole feed-forward layer off: within the block, it adds nothing to the stream of any token.

    instead (vocabulary, d): what it adds in place of that, by token id, such as its mean output for each.
    Raises ValueError for a layer that is not there, or `instead` of another shape.
    """
    whole_number("layer", layer, least=0, most=len(model.blocks) - 1)
    table = torch.zeros(model.tokens.weight.shape) if instead is None else instead  # (V, d)
    if table.shape != model.tokens.weight.shape:
        raise refuse("instead.shape", tuple(table.shape), f"{tuple(model.tokens.weight.shape)}")
    read: list[Tensor] = []

    def keep(_model: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        read[:] = arguments[:1]  # ids (B, L)

    def silent(_layer: nn.Module, _input: Any, output: Any) -> Any:
        y, decided = output
        return table.to(y)[read[0]], decided

    block: Any = model.blocks[layer]
    handles = (model.register_forward_pre_hook(keep), block.feed_forward.register_forward_hook(silent))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
