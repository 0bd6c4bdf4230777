"""The layers that the bench compares: ours, the limits it is measured against, and those that can be installed.

Each entry builds a module for one size; called on x (T, d) it returns something of that shape. `active` says how its
experts are made, since a layer is compared with a dense network of the same kind.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lessons.layer import STORAGES, MoELayer, per_expert, per_token


@dataclass(frozen=True)
class Size:
    """T tokens of width d, N experts of width f, k active."""

    T: int
    d: int
    f: int
    N: int
    k: int


class Dense(nn.Module):
    """One feed-forward network, run on T·k rows: the same active work, with nothing to route."""

    def __init__(self, size: Size, kind: str) -> None:
        super().__init__()
        self.act = {"relu": F.relu, "swiglu": F.silu, "geglu": F.gelu}[kind]
        self.W1 = nn.Linear(size.d, size.f, bias=False)
        self.W2 = nn.Linear(size.f, size.d, bias=False)
        self.W3 = None if kind == "relu" else nn.Linear(size.d, size.f, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (T·k, d)."""
        hidden = self.act(self.W1(x))  # (T·k, f)
        return self.W2(hidden if self.W3 is None else hidden * self.W3(x))


class Products:
    """The limit: the six matrix products of T·k rows, forward and backward, into buffers that are there already."""

    def __init__(self, size: Size, dtype: torch.dtype) -> None:
        n, d, f = max(size.T * size.k // size.N, 1), size.d, size.f
        make = lambda *shape: [torch.randn(shape, dtype=dtype) for _ in range(size.N)]  # noqa: E731
        self.x, self.h, self.W1, self.W2 = make(n, d), make(n, f), make(d, f), make(f, d)
        self.out = {shape: torch.empty(shape, dtype=dtype) for shape in ((n, f), (n, d), (d, f), (f, d))}

    def __call__(self) -> None:
        """Run all six for every expert."""
        for x, h, W1, W2 in zip(self.x, self.h, self.W1, self.W2, strict=True):
            for a, b in ((x, W1), (h, W2), (h.T, x), (x, W2.T), (x.T, h), (h, W1.T)):
                torch.mm(a, b, out=self.out[a.shape[0], b.shape[1]])


class Loop(nn.Module):
    """Our layer, run by one of the loops that define it."""

    def __init__(self, size: Size, loop: Callable) -> None:
        super().__init__()
        self.layer, self.loop = MoELayer(size.d, size.f, size.N, size.k), loop

    def forward(self, x: Tensor) -> Tensor:
        """x: (T, d)."""
        routing = self.layer.router(x)
        return self.loop(self.layer.experts, x, routing.selected, routing.weights.to(x.dtype))


class AllExperts(Loop):
    """Every expert on every token, most of it weighted with 0."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (T, d)."""
        routing = self.layer.router(x)
        dense = torch.zeros_like(routing.logits).scatter(-1, routing.selected, routing.weights).to(x.dtype)  # (T, N)
        return sum(w[:, None] * E(x) for w, E in zip(dense.unbind(-1), self.layer.experts.functions(), strict=True))


class Batched(nn.Module):
    """A peer that wants (batch, tokens, width) and may return more than y."""

    def __init__(self, peer: nn.Module) -> None:
        super().__init__()
        self.peer = peer

    def forward(self, x: Tensor) -> Tensor:
        """x: (T, d)."""
        y = self.peer(x[None])
        return (y if isinstance(y, Tensor) else y[0])[0]


def other_storage(size: Size) -> str:
    """Return the storage that the layer would not choose at this size."""
    chosen = MoELayer(size.d, size.f, size.N, size.k).experts.storage
    return next(storage for storage in STORAGES if storage != chosen)


def of_transformers(name: str, size: Size, mode: str) -> nn.Module:
    """Build the block of Mixtral or OLMoE as `transformers` has it; mode: "eager" or "grouped_mm"."""
    from transformers import MixtralConfig, OlmoeConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
    from transformers.models.olmoe.modeling_olmoe import OlmoeSparseMoeBlock

    common = {"hidden_size": size.d, "intermediate_size": size.f, "num_experts_per_tok": size.k}
    if name == "mixtral":
        config, block = MixtralConfig(**common, num_local_experts=size.N), MixtralSparseMoeBlock
    else:
        config, block = OlmoeConfig(**common, num_experts=size.N), OlmoeSparseMoeBlock
    config._experts_implementation = mode
    peer = block(config)
    for parameter in peer.parameters():
        nn.init.normal_(parameter, std=0.02)
    return Batched(peer)


def st_moe(size: Size) -> nn.Module:
    """Build the layer of st-moe-pytorch with its own gated experts, and room for twice the mean load."""
    from st_moe_pytorch.st_moe_pytorch import Expert, MoE

    # Its own rule makes gated experts 2/3 as wide; undo that, so that all have width f.
    experts = nn.ModuleList([Expert(dim=size.d, hidden_mult=1.5 * size.f / size.d) for _ in range(size.N)])
    return Batched(MoE(size.d, size.N, gating_top_n=size.k, capacity_factor_train=2.0, experts=experts))


def mixture_of_experts(size: Size) -> nn.Module:
    """Build the layer of mixture-of-experts, with room for twice the mean load."""
    from mixture_of_experts import MoE

    return Batched(MoE(size.d, size.N, hidden_dim=size.f, capacity_factor_train=2.0))


# name: (kind of expert, build)
LAYERS: dict[str, tuple[str, Callable[[Size], nn.Module]]] = {
    "ours": ("relu", lambda s: MoELayer(s.d, s.f, s.N, s.k)),
    "ours, the other storage": ("relu", lambda s: MoELayer(s.d, s.f, s.N, s.k, storage=other_storage(s))),
    "ours, SwiGLU": ("swiglu", lambda s: MoELayer(s.d, s.f, s.N, s.k, activation="swiglu")),
    "transformers Mixtral, grouped": ("swiglu", lambda s: of_transformers("mixtral", s, "grouped_mm")),
    "transformers Mixtral, eager": ("swiglu", lambda s: of_transformers("mixtral", s, "eager")),
    "transformers OLMoE, grouped": ("swiglu", lambda s: of_transformers("olmoe", s, "grouped_mm")),
    "transformers OLMoE, eager": ("swiglu", lambda s: of_transformers("olmoe", s, "eager")),
    "mixture-of-experts": ("relu", mixture_of_experts),
    "st-moe-pytorch": ("geglu", st_moe),
    "loop over experts": ("relu", lambda s: Loop(s, per_expert)),
    "loop over tokens": ("relu", lambda s: Loop(s, per_token)),
    "all experts on all tokens": ("relu", lambda s: AllExperts(s, per_expert)),
}

# In the further tables (two threads, bfloat16): the layers that come near the dense network.
QUICK = (
    "ours",
    "ours, the other storage",
    "ours, SwiGLU",
    "transformers Mixtral, grouped",
    "transformers OLMoE, grouped",
    "loop over experts",
)


def built(size: Size, dtype: torch.dtype, only: tuple[str, ...]) -> Iterator[tuple[str, str, nn.Module | Exception]]:
    """Yield name, kind of expert and module for each layer of `only`, or all if it is empty.

    Instead of a module, an exception for a layer that is not installed (ImportError) or refuses this size.
    """
    for name, (kind, build) in LAYERS.items():
        if only and name not in only:
            continue
        torch.manual_seed(0)
        try:
            yield name, kind, build(size).to(dtype).train()
        except (ImportError, AssertionError, ValueError) as error:
            yield name, kind, error
