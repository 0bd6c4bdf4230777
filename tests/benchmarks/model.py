"""One training step of lesson 11's model: ours beside the same model built on the layers of the peers, and dense."""

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from bench import Row, summary
from layers import clocked
from peers import Size, mixture_of_experts, of_transformers, st_moe
from torch import nn

from moe_lessons.experiments.specialisation import BATCH, build, language_losses
from moe_lessons.model import Config, LanguageModel

ROUNDS = 12
VOCABULARY = 1000
PEERS: dict[str, Callable[[Size], nn.Module]] = {
    "transformers Mixtral, grouped": lambda size: of_transformers("mixtral", size, "grouped_mm"),
    "transformers Mixtral, eager": lambda size: of_transformers("mixtral", size, "eager"),
    "transformers OLMoE, grouped": lambda size: of_transformers("olmoe", size, "grouped_mm"),
    "mixture-of-experts": mixture_of_experts,
    "st-moe-pytorch": st_moe,
}


class Unrouted(nn.Module):
    """A peer's layer with the interface of ours; it tells nothing of its routing."""

    def __init__(self, peer: nn.Module) -> None:
        super().__init__()
        self.peer = peer

    def forward(self, x: torch.Tensor, return_routing: bool = False, routing: Any = None) -> tuple:
        """x: (B, L, d)."""
        return self.peer(x.flatten(0, 1)).view_as(x), None


def models() -> Iterator[tuple[str, nn.Module]]:
    """Yield our model, with both kinds of experts, its dense and hashed twins, and one on each peer that is there."""
    yield "ours", build(VOCABULARY)
    yield "ours, SwiGLU", build(VOCABULARY, activation="swiglu")
    yield "hash", build(VOCABULARY, "hash")
    yield "dense, equal active FLOPs", build(VOCABULARY, "dense")
    for name, make in PEERS.items():
        # The balance loss needs routings, which peers do not give: their steps are spared it.
        try:
            yield name, LanguageModel(Config(VOCABULARY, feed_forward="dense"), lambda c, make=make: on_peer(c, make))
        except ImportError:
            print(f"  {name}: not installed")


def on_peer(config: Config, make: Callable[[Size], nn.Module]) -> nn.Module:
    """Build a peer's layer of the model's size."""
    return Unrouted(make(Size(BATCH * config.context, config.d_model, config.d_ff, config.num_experts, config.top_k)))


def measure() -> Iterator[Row]:
    """Yield a row for each model: forward, losses, backward and the step of Adam, in turns, one thread."""
    torch.set_num_threads(1)
    ids = torch.randint(0, VOCABULARY, (BATCH, 129), generator=torch.Generator().manual_seed(0))
    steps = {name: training_step(model, ids) for name, model in models()}
    plain = build(VOCABULARY)
    steps["ours, without balance and z-loss"] = training_step(plain, ids, with_routing=False)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(ROUNDS + 1):
        for name, step in steps.items():
            cpu_ms, _ = clocked(step)
            if turn:
                times[name].append(cpu_ms)
    ours = statistics.median(times["ours"])
    for name, ms in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        yield summary(f"step of lesson 11's model, {name}", ms, note=f"{statistics.median(ms) / ours:.2f} of ours")


def training_step(model: nn.Module, ids: torch.Tensor, with_routing: bool = True) -> Callable[[], None]:
    """Return one step of training."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], fused=True)

    def step() -> None:
        if with_routing:
            loss = language_losses(model, ids)["loss"]
        else:
            loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
