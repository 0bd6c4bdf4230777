"""Is a sparse layer worth it? One layer learns a regression task, beside dense layers of equal cost (lesson 06)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn

from moe_lessons.data import Regression
from moe_lessons.experiments.core import Column, batches, drawn, mean_sd, squared_error, table, tensors, trained
from moe_lessons.layer import Experts, MoELayer
from moe_lessons.support.timing import CLOCK
from moe_lessons.support.validation import positive_number, refuse, whole_number
from moe_lessons.training import constant


@dataclass(frozen=True)
class Run:
    """One trained layer. flops: forward, one token; error: test error as a share of the target's variance.

    kind: "sparse", "dense, equal FLOPs" or "dense, equal total". seconds: of training, on the clock of `timing`.
    """

    kind: str
    top_k: int
    seed: int
    parameters: int
    flops: int
    error: float
    train_error: float
    seconds: float


class Dense(nn.Module):
    """A ReLU FFN without biases: a single expert that every token uses, started as the experts are."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.experts = Experts(d_model, d_ff, 1, storage="separate")

    def forward(self, x: Tensor) -> Tensor:
        """x (T, d) -> (T, d)."""
        return self.experts.one(0, x)


def dense_width(d_ff: int, num_experts: int, experts: int) -> int:
    """Return the width of a dense FFN that costs exactly as much as so many ReLU experts and the router.

    An expert has 2·d·f weights and the router d·N, so the width is experts·f + N/2.
    Raises ValueError for sizes that are not whole numbers above 0, more experts than there are, or an odd N, since
    then no whole width costs the same.
    """
    whole_number("d_ff", d_ff, least=1, most=10**6)
    whole_number("experts", experts, least=1, most=whole_number("num_experts", num_experts, least=1, most=10**6))
    if num_experts % 2:
        raise refuse("num_experts", num_experts, "an even number")
    return experts * d_ff + num_experts // 2


def sparse(top_k: int, d_model: int = 32, d_ff: int = 32, num_experts: int = 8) -> MoELayer:
    """Return a fresh MoE layer with gate form B, in which the router can learn for every k, 1 included (lesson 04)."""
    return MoELayer(d_model, d_ff, num_experts, top_k, gate="softmax_topk")


def contenders(
    top_k: int = 2, d_model: int = 32, d_ff: int = 32, num_experts: int = 8
) -> dict[str, Callable[[], nn.Module]]:
    """Return kind -> a function that makes a fresh layer: sparse, and the two dense ones it is measured against."""
    whole_number("top_k", top_k, least=1, most=num_experts)
    active, stored = (dense_width(d_ff, num_experts, experts) for experts in (top_k, num_experts))
    return {
        "sparse": lambda: sparse(top_k, d_model, d_ff, num_experts),
        "dense, equal FLOPs": lambda: Dense(d_model, active),
        "dense, equal total": lambda: Dense(d_model, stored),
    }


def parameters(layer: nn.Module) -> int:
    """Return how many numbers the layer stores."""
    return sum(weight.numel() for weight in layer.parameters())


def flops(layer: nn.Module) -> int:
    """Return the forward FLOPs of one token: 2 for each weight it meets, those of the router included."""
    if not isinstance(layer, MoELayer):
        return 2 * parameters(layer)
    dormant = 1 - layer.router.top_k / layer.experts.num_experts
    return round(2 * (parameters(layer) - dormant * parameters(layer.experts)))


def train_and_test(
    kind: str,
    make: Callable[[], nn.Module],
    task: tuple[Regression, Regression],
    seed: int = 0,
    *,
    steps: int = 400,
    batch: int = 512,
    learning_rate: float = 0.01,
) -> Run:
    """Train a fresh layer on task[0] with Adam and the squared error, and test it on task[1].

    make: returns the layer; `seed` decides its weights. The batches have a generator of their own with that seed, so
    that layers of one seed see the same tokens, whatever numbers their weights took.
    Raises ValueError for a number of steps or a batch below 1, a learning rate that is not above 0, and a loss that is
    not finite any more.
    """
    whole_number("steps", steps, least=1, most=10**5)
    whole_number("batch", batch, least=1, most=10**6)
    positive_number("learning_rate", learning_rate)
    layer, (train, test) = drawn(seed, make), [tensors(part) for part in task]
    rows = rows_of(seed, len(train[0]), steps, batch)  # (steps, B)
    start = CLOCK()
    trained(layer, batches(*train, rows.__getitem__), squared_error, steps, lr=learning_rate, schedule=constant)
    seconds = CLOCK() - start
    top_k = layer.router.top_k if isinstance(layer, MoELayer) else 0
    return Run(kind, top_k, seed, parameters(layer), flops(layer), error(layer, *test), error(layer, *train), seconds)


def error(layer: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the mean squared error as a share of the variance of y: 0 is perfect, 1 is guessing the mean vector.

    x, y: (T, d). The variance is that of each coordinate around its own mean, averaged over coordinates.
    """
    with torch.no_grad():
        return float(((layer(x) - y) ** 2).mean() / y.var(dim=0, correction=0).mean())


def rows_of(seed: int, T: int, steps: int, batch: int) -> Tensor:
    """Draw for each step which of T tokens are in its batch, with replacement. (steps, batch)."""
    return torch.randint(T, (steps, batch), generator=torch.Generator().manual_seed(seed))


COLUMNS = (
    Column("layer", "{:<19}", lambda runs: runs[0].kind),
    Column("k", "{:>2}", lambda runs: runs[0].top_k or ""),
    Column("parameters", "{:>12}", lambda runs: f"{runs[0].parameters:,}"),
    Column("FLOPs", "{:>8}", lambda runs: f"{runs[0].flops:,}"),
    Column("test error", "   {:<15}", lambda runs: mean_sd([run.error for run in runs], 3)),
    Column("train", "  {:<5}", lambda runs: f"{fmean(run.train_error for run in runs):.3f}"),
    Column("seconds", "  {}", lambda runs: f"{fmean(run.seconds for run in runs):.2f}"),
)


def summary(runs: Sequence[Run]) -> str:
    """Lay the runs out as text, a line for each layer: counts, mean error ± standard deviation over seeds, seconds."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.kind, run.top_k), []).append(run)
    return table(COLUMNS, groups.values())
