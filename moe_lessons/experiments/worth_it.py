"""Is a sparse layer worth it? One layer learns a regression task, beside dense layers of equal cost (lesson 06).

`python -m moe_lessons.experiments.worth_it` trains every layer on every task, with learning rates chosen on seeds of
their own, and writes the results that the lesson shows, results/worth_it.json.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lessons.data import clustered_regression
from moe_lessons.experiments.core import Column, batches, drawn, mean_sd, table, tensors, trained
from moe_lessons.experiments.side_by_side import SideBySide
from moe_lessons.layer import Experts, MoELayer
from moe_lessons.support.storage import write_atomically
from moe_lessons.support.validation import positive_number, refuse, whole_number

TASKS: dict[str, dict[str, Any]] = {
    "own map in each cluster": {},
    "control 1: one map": {"own_maps": False},
    "control 2: no clusters": {"clusters": 1},
}
LENGTHS = (400, 1000)  # steps
RATES = (0.01, 0.02, 0.04, 0.08, 0.16)  # the highest of a run; with the last one training fails
CHOOSING, SEEDS = (100, 101), tuple(range(10, 18))  # seeds that choose the rate, and those that are reported
RESULTS = Path(__file__).parent / "results" / "worth_it.json"


@dataclass(frozen=True)
class Run:
    """One trained layer. flops: forward, one token; error: test error as a share of the target's variance.

    kind: "sparse", "sparse, softmax first", "constant gates", "dense, equal FLOPs" or "dense, equal total". top_k: 0
    where nothing is chosen.
    seconds: of one training step, where somebody measured it, else 0.
    """

    kind: str
    top_k: int
    seed: int
    steps: int
    learning_rate: float
    parameters: int
    flops: int
    error: float
    train_error: float
    seconds: float = 0.0


# --- the layers ---------------------------------------------------------------------------------------------------


class Dense(nn.Module):
    """A SwiGLU FFN without biases: a single expert that every token uses, started as the experts are."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.experts = Experts(d_model, d_ff, 1, "swiglu", storage="stacked")

    def forward(self, x: Tensor) -> Tensor:
        """x (T, d) -> (T, d)."""
        return self.experts.one(0, x)


class ConstantGates(nn.Module):
    """N experts that all run for every token, each with the weight 1/N: sparse with k = N, but for the router."""

    def __init__(self, d_model: int = 32, d_ff: int = 32, num_experts: int = 8) -> None:
        super().__init__()
        self.experts = Experts(d_model, d_ff, num_experts, "swiglu", storage="stacked")

    def forward(self, x: Tensor) -> Tensor:
        """x (T, d) -> (T, d)."""
        return torch.stack([E_i(x) for E_i in self.experts.functions()]).mean(dim=0)


def dense_width(d_ff: int, num_experts: int, experts: int) -> int:
    """Return the width of a dense FFN that costs as much as so many SwiGLU experts and the router, or barely more.

    An expert has 3·d·d_ff weights and the router d·N, so the width is experts·d_ff + N/3, rounded up.
    Raises ValueError for sizes that are not whole numbers above 0, and more experts than there are.
    """
    whole_number("d_ff", d_ff, least=1, most=10**6)
    whole_number("experts", experts, least=1, most=whole_number("num_experts", num_experts, least=1, most=10**6))
    return experts * d_ff + -(-num_experts // 3)


def sparse(top_k: int, d_model: int = 32, d_ff: int = 32, num_experts: int = 8, gate: str | None = None) -> MoELayer:
    """Return a fresh MoE layer, by default with the softmax over the k kept logits; for k = 1, where that is always 1,
    with the probability as it is (gate forms A and B of lesson 04)."""
    gate = gate or ("topk_softmax" if top_k > 1 else "softmax_topk")
    return MoELayer(d_model, d_ff, num_experts, top_k, gate=gate, activation="swiglu")


def contenders(
    top_k: int = 2, d_model: int = 32, d_ff: int = 32, num_experts: int = 8
) -> dict[str, Callable[[], nn.Module]]:
    """Return kind -> a function that makes a fresh layer: sparse, and the two dense ones it is measured against."""
    whole_number("top_k", top_k, least=1, most=num_experts)
    active, stored = (dense_width(d_ff, num_experts, experts) for experts in (top_k, num_experts))
    return {
        "sparse": partial(sparse, top_k, d_model, d_ff, num_experts),
        "dense, equal FLOPs": partial(Dense, d_model, active),
        "dense, equal total": partial(Dense, d_model, stored),
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


class Wide(nn.Module):
    """R layers of one kind in which all experts run, each layer on tokens of its own: dense ones, or sparse with k = N.

    All experts of a layer side by side are one wide FFN. Where there is a router, its probabilities weigh the hidden
    units of each expert: with k = N that is what gate forms A and B say. Without one each expert weighs 1/N.
    """

    W1: Tensor
    W3: Tensor

    def __init__(self, layers: Sequence[Dense | ConstantGates | MoELayer]) -> None:
        super().__init__()
        self.share = 1 / layers[0].experts.num_experts
        stacks = [layer.experts.state_dict() for layer in layers]  # matrices of N experts each
        for name in ("W1", "W3"):
            setattr(
                self, name, _parameter(stack[name].transpose(0, 1).flatten(1) for stack in stacks)
            )  # (R, d, N·d_ff)
        self.W2 = _parameter(stack["W2"].flatten(0, 1) for stack in stacks)  # (R, N·d_ff, d)
        routers = [layer.router.W_g for layer in layers if isinstance(layer, MoELayer)]
        self.W_g = _parameter(routers) if routers else None  # (R, d, N)

    def forward(self, x: Tensor) -> Tensor:
        """x (R, T, d) -> (R, T, d)."""
        hidden = F.silu(x @ self.W1) * (x @ self.W3)  # (R, T, N·d_ff)
        if self.W_g is None:
            return self.share * (hidden @ self.W2)
        p = (x @ self.W_g).softmax(dim=-1)[..., None]  # (R, T, N, 1)
        return (hidden.unflatten(-1, (p.shape[-2], -1)) * p).flatten(-2) @ self.W2


def _parameter(matrices: Iterable[Tensor]) -> nn.Parameter:
    """Stack one matrix of each layer."""
    return nn.Parameter(torch.stack([W.detach() for W in matrices]))


def together(layers: Sequence[Any]) -> nn.Module:
    """Return R layers of one kind as a module, (R, T, d) -> (R, T, d): they compute and learn what each would alone."""
    first = layers[0]
    some_sleep = isinstance(first, MoELayer) and first.router.top_k < first.experts.num_experts
    return SideBySide(layers) if some_sleep else Wide(layers)


# --- training -----------------------------------------------------------------------------------------------------


def train_and_test(
    kind: str,
    make: Callable[[], nn.Module],
    seeds: Sequence[int],
    *,
    steps: int = 400,
    learning_rate: float | Sequence[float] = 0.02,
    **task: Any,
) -> list[Run]:
    """Train a fresh layer for each seed, side by side, with Adam and the squared error, and test each on other tokens.

    make: returns the layer; its seed decides its weights and its task, of which `task` are the options
    (`data.clustered_regression`). Every layer sees the same rows of its task in the same order. learning_rate: the
    highest; it rises to that within a tenth of the steps and falls to a tenth of it. With several,
    each seed has its own.
    Raises ValueError for no seeds, a number of steps below 1, rates that are not above 0 or not one for each seed, and
    a loss that is not finite any more.
    """
    rates = [learning_rate] * len(seeds) if isinstance(learning_rate, float) else learning_rate
    _check(seeds, steps, rates)
    train, test = _tokens(seeds, task)
    layers = [drawn(seed, make) for seed in seeds]
    model = together(layers)
    pace = own_rates(model, torch.tensor(rates) / max(rates))
    trained(model, batches(*train), sum_of_errors, steps, lr=max(rates), after_step=pace)
    found = zip(seeds, rates, errors(model, *test), errors(model, *train), strict=True)
    top_k = layers[0].router.top_k if isinstance(layers[0], MoELayer) else 0
    counts = parameters(layers[0]), flops(layers[0])
    return [Run(kind, top_k, seed, steps, rate, *counts, error, seen) for seed, rate, error, seen in found]


def _tokens(seeds: Sequence[int], task: dict[str, Any]) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return tokens and targets to train on, and those to test on: a pair (R, T, d) each."""
    parts = [[tensors(part) for part in clustered_regression(seed=seed, **task)] for seed in seeds]
    return tuple((torch.stack([p[i][0] for p in parts]), torch.stack([p[i][1] for p in parts])) for i in (0, 1))


def _check(seeds: Sequence[int], steps: int, rates: Sequence[float]) -> None:
    """Refuse what cannot be trained."""
    if not len(seeds):
        raise refuse("seeds", seeds, "at least one")
    whole_number("steps", steps, least=1, most=10**5)
    if len(rates) != len(seeds):
        raise refuse("learning_rate", rates, f"{len(seeds)} of them, one for each seed")
    for rate in rates:
        positive_number("learning_rate", rate)


def own_rates(model: nn.Module, share: Tensor) -> Callable[[nn.Module, int], None] | None:
    """Return what makes each layer go only its share (R,) of every step, which for Adam is a rate of its own."""
    if (share == 1).all():
        return None
    R, before = len(share), [weight.detach().clone() for weight in model.parameters()]

    def go_back(_model: nn.Module, _step: int) -> None:
        with torch.no_grad():
            for old, weight in zip(before, model.parameters(), strict=True):
                old.view(R, -1).lerp_(weight.view(R, -1), share[:, None])
                weight.copy_(old)

    return go_back


def sum_of_errors(layers: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Return the sum over layers of their mean squared errors: each gets the gradient it would get alone."""
    x, y = batch  # (R, B, d) each
    return {"loss": (layers(x) - y).square().mean(dim=(1, 2)).sum()}


def errors(layers: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> list[float]:
    """Return mean squared errors as shares of the variance of y: 0 is perfect, 1 is guessing the mean vector.

    x, y: (R, T, d). The variance is that of each coordinate around its own mean, averaged over coordinates.
    """
    with torch.no_grad():
        squares = (layers(x) - y).square().mean(dim=(1, 2))  # (R,)
        return (squares / y.var(dim=1, correction=0).mean(dim=1)).tolist()


# --- the study ----------------------------------------------------------------------------------------------------


def arms(task: str) -> dict[str, tuple[str, Callable[[], nn.Module]]]:
    """Return label -> (kind, a function that makes the layer): what the study compares on a task of `TASKS`."""
    everywhere = {kind: (kind, make) for kind, make in contenders().items() if kind != "sparse"}
    everywhere |= {f"sparse, k = {k}": ("sparse", partial(sparse, k)) for k in (2, 8)}
    everywhere |= {"constant gates": ("constant gates", ConstantGates)}
    if TASKS[task]:
        return everywhere
    softmax_first = {"sparse, softmax first": ("sparse, softmax first", partial(sparse, 2, gate="softmax_topk"))}
    return everywhere | {f"sparse, k = {k}": ("sparse", partial(sparse, k)) for k in (1, 4)} | softmax_first


def study(job: tuple[str, str, int]) -> dict[str, Any]:
    """Choose the learning rate of one layer on one task for one length, then train it on the seeds that are reported.

    job: a key of `TASKS`, a label of `arms`, steps. Returns all that was tried, and the runs as dicts.
    """
    task, label, steps = job
    kind, make = arms(task)[label]
    options = {"steps": steps, **TASKS[task]}
    seeds = [seed for seed in CHOOSING for _ in RATES]
    tried = train_and_test(kind, make, seeds, learning_rate=RATES * len(CHOOSING), **options)
    means = [fmean(run.error for run in tried if run.learning_rate == rate) for rate in RATES]
    runs = train_and_test(kind, make, SEEDS, learning_rate=RATES[means.index(min(means))], **options)
    return {"task": task, "label": label, "tried": means, "runs": [asdict(run) for run in runs]}


def read_results() -> dict[str, Any]:
    """Return what ships with the course: settings, versions, and one study for each task, length and layer."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def load_results() -> dict[tuple[str, int], dict[str, list[Run]]]:
    """Return the runs that ship with the course: (task, steps) -> label -> its runs, one for each seed."""
    found: dict[tuple[str, int], dict[str, list[Run]]] = {}
    for part in read_results()["studies"]:
        runs = [Run(**run) for run in part["runs"]]
        found.setdefault((part["task"], runs[0].steps), {})[part["label"]] = runs
    return found


def main() -> None:
    """Run everything, on every core, and write the results file (some ten minutes of one core, five of two)."""
    jobs = [(task, label, steps) for task, steps in product(TASKS, LENGTHS) for label in arms(task)]
    found = []
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for job, result in zip(jobs, pool.map(study, jobs), strict=True):
            found.append(result)
            print(*job, mean_sd([run["error"] for run in result["runs"]], 4), file=sys.stderr)
    settings = {"lengths": LENGTHS, "rates": RATES, "choosing": CHOOSING, "seeds": SEEDS}
    versions = {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}
    content = {"settings": settings, "versions": versions, "studies": found}
    write_atomically(RESULTS, (json.dumps(content, indent=1) + "\n").encode())


# --- a table ------------------------------------------------------------------------------------------------------

COLUMNS = (
    Column("layer", "{:<19}", lambda runs: runs[0].kind),
    Column("k", "{:>2}", lambda runs: runs[0].top_k or ""),
    Column("parameters", "{:>12}", lambda runs: f"{runs[0].parameters:,}"),
    Column("FLOPs", "{:>8}", lambda runs: f"{runs[0].flops:,}"),
    Column("rate", "{:>7}", lambda runs: f"{runs[0].learning_rate:g}"),
    Column("test error", "   {:<15}", lambda runs: mean_sd([run.error for run in runs], 3)),
    Column("train", "  {}", lambda runs: f"{fmean(run.train_error for run in runs):.3f}"),
)


def summary(groups: Iterable[Sequence[Run]]) -> str:
    """Lay groups of runs out as text, a line for each layer: counts, rate, mean error ± standard deviation."""
    return table(COLUMNS, groups)


if __name__ == "__main__":
    main()
