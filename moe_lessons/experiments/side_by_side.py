"""Several routers or sparse layers trained at once: small ones wait for the calls, not for the products."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from moe_lessons.layer import Experts, MoELayer, Routing, gate_selected, top_k_indices


class LinearRouters(nn.Module):
    """R routers, each on tokens of its own: W_g (R, d, N), x (R, T, d) -> logits (R, T, N)."""

    def __init__(self, W_g: Tensor) -> None:
        super().__init__()
        self.W_g = nn.Parameter(W_g)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (R, T, N)."""
        return x @ self.W_g


class SideBySide(nn.Module):
    """R `MoELayer`s of one kind, each on tokens of its own, with one sort and one grouped product for all experts.

    layers: at least one; sizes, k, gate form and activation are those of the first. Outputs and gradients are those of
    the layers alone. A sum of their losses and an optimiser that treats each number on its own, such as Adam, then
    train each as if it were alone.
    """

    def __init__(self, layers: Sequence[MoELayer]) -> None:
        super().__init__()
        self.top_k, self.gate = layers[0].router.top_k, layers[0].router.gate
        first = layers[0].experts
        self.num_experts = first.num_experts  # N, of each layer
        self.W_g = nn.Parameter(torch.stack([layer.router.W_g.detach() for layer in layers]))  # (R, d, N)
        with torch.random.fork_rng(devices=[]), torch.no_grad():  # the caller's random numbers stay as they were
            count = first.num_experts * len(layers)
            self.experts = Experts(first.d_model, first.d_ff, count, first.activation, storage="stacked")
            stacks = [layer.experts.state_dict() for layer in layers]
            for name in self.experts.names:
                getattr(self.experts, name).copy_(torch.cat([stack[name] for stack in stacks]))

    def logits(self, x: Tensor) -> Tensor:
        """Return the routers' logits (R, T, N) for x (R, T, d)."""
        return x @ self.W_g

    def decide(self, logits: Tensor) -> Routing:
        """Select and weigh as the layers do. logits: (R, T, N)."""
        selected = top_k_indices(logits, self.top_k)  # (R, T, k)
        return Routing(logits, selected, gate_selected(logits, selected, self.gate))

    def forward(self, x: Tensor, routing: Routing | None = None) -> Tensor:
        """Run the experts, by default as the layers' own routers decide. x: (R, T, d). Returns (R, T, d)."""
        routing = self.decide(self.logits(x)) if routing is None else routing
        first = self.num_experts * torch.arange(len(x)).reshape(-1, 1, 1)  # (R, 1, 1): the first expert of each layer
        selected, weights = routing.selected + first, routing.weights  # (R, T, k) each
        rows = (part.reshape(-1, part.shape[-1]) for part in (x, selected, weights))
        return self.experts(*rows).reshape(x.shape)
