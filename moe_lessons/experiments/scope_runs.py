"""Over which tokens is the balance loss counted? A layer that learns a task, batches of whole texts (lesson 10b).

The task is `data.clustered_regression`. A text is `LENGTH` tokens of one cluster, a batch is `TEXTS` texts. The layer
(8 experts, k = 1, gate form B, nobody ahead) learns the task and the Switch loss, in which f and P are counted in parts
of the batch, and the parts averaged. `SCOPES` says what a part holds. All runs are trained at once and share nothing.
`python -m moe_lessons.experiments.scope_runs` trains on seeds other than the lesson's, at two lengths, in two minutes
of computing, and writes results/scopes.json.
Letters: R runs, S seeds, B tokens in a batch, T tokens, d width, N experts.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from moe_lessons import metrics
from moe_lessons.data import Regression, clustered_regression
from moe_lessons.experiments import core
from moe_lessons.experiments.core import Column, drawn, mean_sd, tensors, trained
from moe_lessons.experiments.side_by_side import SideBySide
from moe_lessons.layer import MoELayer
from moe_lessons.losses import balance_of_layers
from moe_lessons.support.storage import write_atomically
from moe_lessons.support.validation import whole_number
from moe_lessons.training import Losses, constant

N, D, WIDTH, CLUSTERS = 8, 16, 16, 16
TEXTS, LENGTH = 16, 16  # texts in a batch, tokens in a text
TOKENS, TEST_TOKENS = 8192, 2048
LEARNING_RATE = 5e-3
SEEDS, LENGTHS = range(10, 22), (300, 1200)  # of the results that ship
MEASURES = ("error", "bits", "max_violation", "within")
RESULTS = Path(__file__).parent / "results" / "scopes.json"


class Scope(NamedTuple):
    """Where f and P are counted: in parts of so many texts; mixed: of as many tokens, drawn from all texts.

    once: in this scope's batches each cluster has just one text. Otherwise dice say which clusters come.
    """

    label: str
    texts: int
    alpha: float
    mixed: bool = False
    once: bool = False


SCOPES = {
    "none": Scope("no balance loss", TEXTS, 0.0),
    "batch": Scope("the whole batch", TEXTS, 0.1),
    "micro": Scope("4 texts at a time", 4, 0.1),
    "text": Scope("each text", 1, 0.1),
    "mixed": Scope("as many mixed tokens", 1, 0.1, True),
    "faint": Scope("each text, α = 0.001", 1, 0.001),
}
FURTHER = {
    "fainter": Scope("each text, α = 0.0001", 1, 0.0001),
    "none_once": Scope("each cluster once: none", TEXTS, 0.0, once=True),
    "batch_once": Scope("  the whole batch", TEXTS, 0.1, once=True),
    "batch_weak": Scope("whole batch, α = 0.03", TEXTS, 0.03),
    "batch_weaker": Scope("whole batch, α = 0.01", TEXTS, 0.01),
}
"""In the results that ship, beside SCOPES."""
ALL = SCOPES | FURTHER


@dataclass(frozen=True, eq=False)
class Result:
    """What one scope did in S runs, on fresh tokens, (S,) each.

    error: the share of the target's variance that is left. bits: mutual information of cluster and expert; at most
    3, log2 of N. max_violation: over all fresh tokens. within: MaxVio within the tokens of one cluster, a mean.
    """

    scope: Scope
    error: np.ndarray
    bits: np.ndarray
    max_violation: np.ndarray
    within: np.ndarray


def run(seeds: Sequence[int] = range(5), steps: int = 300, scopes: Mapping[str, Scope] = SCOPES) -> dict[str, Result]:
    """Train a layer for each scope and seed, and return the results by the name of the scope.

    seeds: draw task, first weights and which texts come. Raises ValueError for steps below 1.
    """
    whole_number("steps", steps, least=1, most=100_000)
    tasks = [clustered_regression(TOKENS, D, CLUSTERS, test_T=TEST_TOKENS, seed=seed) for seed in seeds]
    layers = SideBySide([drawn(s, MoELayer, D, WIDTH, N, 1, "softmax_topk") for s in seeds] * len(scopes))
    once = [scope.once for scope in scopes.values() for _ in seeds]
    batch = texts_of([train for train, _ in tasks] * len(scopes), once)

    def losses(model: Any, tokens: tuple[Tensor, Tensor]) -> Losses:
        routing = model.decide(model.logits(tokens[0]))
        errors = (model(tokens[0], routing) - tokens[1]).square().mean(dim=(1, 2))  # (R,)
        penalty = balance(routing.logits, routing.selected, [*scopes.values()])  # (R,)
        return {
            "loss": (errors / 0.4 + penalty).sum()
        }  # about the variance of a target; a sum: no run feels the others

    trained(layers, batch, losses, steps, lr=LEARNING_RATE, schedule=constant)
    measured = [_measured(part) for part in _tested(layers, [test for _, test in tasks] * len(scopes))]
    per_scope = [measured[i * len(seeds) : (i + 1) * len(seeds)] for i in range(len(scopes))]
    return {name: Result(scope, *np.array(found).T) for (name, scope), found in
            zip(scopes.items(), per_scope, strict=True)}  # fmt: skip


def texts_of(parts: Sequence[Regression], once: Sequence[bool] = ()) -> Any:
    """Return a function from a step to its batch: x and y, (R, B, d) each, text after text, each of one cluster.

    once: of each run, whether each cluster has just one text. By default dice say which clusters come, in every run.
    """
    order = [np.argsort(part.cluster, kind="stable") for part in parts]  # R times (T,)
    counts = [np.bincount(part.cluster, minlength=CLUSTERS) for part in parts]  # R times (CLUSTERS,)
    pairs = [tensors(part) for part in parts]
    x, y = (torch.stack(side) for side in zip(*pairs, strict=True))  # (R, T, d)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(step)
        diced, place = rng.integers(CLUSTERS, size=TEXTS).repeat(LENGTH), rng.random(TEXTS * LENGTH)  # (B,) each
        dealt = rng.permutation(CLUSTERS)[:TEXTS].repeat(LENGTH)  # (B,)
        clusters = [dealt if run else diced for run in once or [False] * len(parts)]
        rows = np.stack([o[(c.cumsum() - c)[chosen] + (place * c[chosen]).astype(int)] for o, c, chosen in
                         zip(order, counts, clusters, strict=True)])  # (R, B)  # fmt: skip
        chosen = torch.from_numpy(rows).unsqueeze(-1).expand(-1, -1, D)  # (R, B, d)
        return x.gather(1, chosen), y.gather(1, chosen)

    return batch


def balance(logits: Tensor, selected: Tensor, scopes: Sequence[Scope]) -> Tensor:
    """Return α times the Switch loss of each run, a mean over the parts of its batch. (R,).

    logits: (R, B, N), text after text; selected: (R, B, 1). scopes: of the first R / len(scopes) runs, of the next …
    """
    B, N = logits.shape[1:]
    stride = torch.arange(B).reshape(TEXTS, -1).T.flatten()  # (B,): one token of each text after the other
    blocks = zip(logits.chunk(len(scopes)), selected.chunk(len(scopes)), scopes, strict=True)
    losses = []
    for h, chosen, scope in blocks:  # (S, B, N), (S, B, 1)
        order = stride if scope.mixed else torch.arange(B)
        parts = (len(h), TEXTS // scope.texts, -1)
        loss = balance_of_layers(h[:, order].reshape(*parts, N), chosen[:, order].reshape(*parts, 1))  # (S, parts)
        losses.append(scope.alpha * loss.mean(dim=1))
    return torch.cat(losses)


@torch.no_grad()
def _tested(layers: SideBySide, parts: Sequence[Regression]) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Return of each run its error, and the expert and cluster of each fresh token (T,)."""
    x, y = (torch.stack(side) for side in zip(*map(tensors, parts), strict=True))  # (R, T, d)
    routing = layers.decide(layers.logits(x))
    left = (layers(x, routing) - y).square().mean(dim=(1, 2)) / y.var(dim=(1, 2), correction=0)  # (R,)
    experts = routing.selected[..., 0].numpy()  # (R, T)
    return [(float(e), expert, part.cluster) for e, expert, part in zip(left, experts, parts, strict=True)]


def _measured(found: tuple[float, np.ndarray, np.ndarray]) -> tuple[float, float, float, float]:
    """Return error, bits, MaxVio over all, and the mean MaxVio within a cluster."""
    error, expert, cluster = found
    within = [metrics.max_violation(_load(expert[cluster == c])) for c in np.unique(cluster)]
    bits = float(metrics.mutual_information(cluster, expert, base=2))
    return error, bits, float(metrics.max_violation(_load(expert))), float(np.mean(within))


def _load(expert: np.ndarray) -> np.ndarray:
    return metrics.expert_load(expert[:, None], N)


def table(results: Mapping[str, Result]) -> str:
    """Return the results as text, one row a scope: mean ± standard deviation over seeds."""
    columns = (
        Column("f and P counted over", "{:<24}", lambda r: r.scope.label),
        Column("task error", "{:>15}", lambda r: mean_sd(r.error, 3)),
        Column("bits of 3", "{:>14}", lambda r: mean_sd(r.bits, 2)),
        Column("MaxVio, all", "{:>14}", lambda r: mean_sd(r.max_violation, 2)),
        Column("in a cluster", "{:>14}", lambda r: mean_sd(r.within, 2)),
    )
    return core.table(columns, results.values())


def load_results(steps: int) -> dict[str, Result]:
    """Return the results that ship with the course, after so many steps, by the name of the scope."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"][str(steps)]
    return {name: Result(ALL[name], *(np.array(row[measure]) for measure in MEASURES)) for name, row in rows.items()}


def main() -> None:
    """Train at both lengths and write the results file."""
    runs = {
        steps: {name: {m: getattr(found, m).round(4).tolist() for m in MEASURES} for name, found in
                run(SEEDS, steps, ALL).items()}
        for steps in LENGTHS
    }  # fmt: skip
    versions = {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}
    write_atomically(
        RESULTS, f"{json.dumps({'seeds': [*SEEDS], 'versions': versions, 'runs': runs}, indent=1)}\n".encode()
    )


if __name__ == "__main__":
    main()
