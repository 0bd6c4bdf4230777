"""What happens to a language model without balancing? The model of lesson 11, trained in several ways, for lesson 09.

`python -m moe_lessons.experiments.language_balancing` trains every arm with three seeds at two lengths and writes
results/language_balancing.json: half an hour of computing, shared out among the cores.

All arms of a seed start with the same weights and see the same batches. The z-loss of lesson 11 stays in all: it
holds the size of the logits, not the load. α is lesson 11's, u that of `balancing_study`: neither was tuned here.
Letters: B sequences, L tokens each, N experts, k active, S seeds.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from moe_lessons import metrics
from moe_lessons.balancing import BiasBalancer, expert_capacity
from moe_lessons.corpus import text
from moe_lessons.experiments import specialisation, studies
from moe_lessons.experiments.core import mean_sd, to_the_end
from moe_lessons.experiments.specialisation import BALANCE, BATCH, Routes, Z
from moe_lessons.layer import Routing, gate_selected
from moe_lessons.model import LanguageModel
from moe_lessons.support.threads import one_thread

LENGTHS = (500, 1500)  # steps: the learning rate falls to a tenth by the last one, so each length is a run of its own
SEEDS = (0, 1, 2)
U = 0.01  # of the bias, in units of probabilities
FACTOR = 1.25  # of the capacity that is asked about; nothing is dropped in training
RESULTS = studies.RESULTS / "language_balancing.json"


class Arm(NamedTuple):
    """One way to train: the coefficient of the Switch loss (a mean over layers), and u of the bias, 0 for none."""

    label: str
    alpha: float = 0.0
    u: float = 0.0


ARMS = {
    "none": Arm("no balancing"),
    "switch": Arm("Switch loss", alpha=BALANCE),
    "bias": Arm("bias", u=U),
    "both": Arm("loss and bias", alpha=BALANCE, u=U),
}
"""Every arm by its name."""


# --- training -----------------------------------------------------------------------------------------------------


def with_biases(model: LanguageModel, u: float) -> list[BiasBalancer]:
    """Let a bias of its own decide with every router, and return these biases: selection by p + b, weights by the
    logits alone. Each keeps what it selected last, in `last` (B, L, k)."""
    routers: list[Any] = [block.feed_forward.router for block in model.blocks]  # type: ignore[union-attr]
    biases = [BiasBalancer(model.config.num_experts, u) for _ in routers]
    for router, bias in zip(routers, biases, strict=True):
        router.register_forward_hook(partial(_select, bias))
    return biases


def _select(bias: Any, router: Any, _input: Any, decided: Routing) -> Routing:
    """Return the decision of a router with its bias."""
    bias.last = bias.select(decided.probs, router.top_k)  # (B, L, k)
    return Routing(decided.logits, bias.last, gate_selected(decided.logits, bias.last, router.gate))


def _move(biases: Iterable[Any], N: int, _model: nn.Module, _step: int) -> None:
    """Move every bias by what its router selected in the step that is just done."""
    for bias in biases:
        bias.update(torch.bincount(bias.last.flatten(), minlength=N))


@one_thread()
def trained(task: text.TextTask, arm: Arm, seed: int, steps: int, **options: Any) -> LanguageModel:
    """Train the model of lesson 11 in the way of an arm and return it; options: for `training.train`."""
    model = specialisation.build(len(task.token_bytes), "moe", seed)
    biases = with_biases(model, arm.u) if arm.u else []
    after = partial(_move, biases, model.config.num_experts) if biases else None
    losses = partial(specialisation.language_losses, balance_coef=arm.alpha)
    options = {"losses": losses, "progress": False, "after_step": after, **options}
    to_the_end(specialisation.train_language_model(model, task, steps, **options))
    return model


# --- measuring ----------------------------------------------------------------------------------------------------


def measured(routes: Routes, N: int) -> dict[str, Any]:
    """Return loss (nats per token), and of each layer load (N,), entropy (bits) and what a capacity would drop, a share
    of the assignments of batches as in training."""
    return {
        "loss": round(float(routes.loss.mean()), 5),
        "load": [metrics.expert_load(chosen, N).round(5).tolist() for chosen in routes.selected],
        "entropy": routes.entropy.mean(axis=(1, 2)).round(4).tolist(),
        "dropped": [round(dropped(chosen, N), 5) for chosen in routes.selected],
    }


def dropped(selected: np.ndarray, N: int, factor: float = FACTOR, size: int = BATCH) -> float:
    """Return the share of a layer's assignments beyond a capacity, in batches of `size` sequences. selected: (S, L, k).

    The sequences that fill no whole batch are left out. Raises ValueError as `balancing.expert_capacity` does.
    """
    S, L, k = selected.shape
    batches = selected[: S // size * size].reshape(-1, size * L * k)  # (batches, assignments)
    places = expert_capacity(size * L, N, k, factor)
    asked = np.stack([np.bincount(batch, minlength=N) for batch in batches])  # (batches, N)
    return float(np.maximum(asked - places, 0).sum() / asked.sum())


def run(name: str, seed: int, steps: int) -> dict[str, Any]:
    """Train one arm with one seed and measure it on the report part of the text."""
    task, arm = _task(), ARMS[name]
    model = trained(task, arm, seed, steps, record_every=steps)
    found = measured(specialisation.record(model, task.report.ids), model.config.num_experts)
    return {"arm": name, "seed": seed, "steps": steps, **found}


@lru_cache(maxsize=1)
def _task() -> text.TextTask:
    """Prepare the text once in each process."""
    return text.prepare()


def runs() -> list[tuple[str, int, int]]:
    """Return arm, seed and steps of all runs, the short ones first."""
    return [(name, seed, steps) for steps in LENGTHS for seed in SEEDS for name in ARMS]


# --- reading ------------------------------------------------------------------------------------------------------


def load_results() -> dict[str, Any]:
    """Return the results that ship with the course: settings, versions, and a dict as of `run` for each run."""
    return studies.read(RESULTS)


def of(study: dict[str, Any], arm: str, steps: int, what: str) -> np.ndarray:
    """Return a measure of an arm after `steps`, with a row for each seed: loss (S,); load (S, layers, N); entropy,
    dropped, max_violation and dead (S, layers)."""
    rows = [row for row in study["runs"] if (row["arm"], row["steps"]) == (arm, steps)]
    if what == "max_violation":
        return np.array([metrics.max_violation(row["load"]) for row in rows])
    if what == "dead":
        return np.array([[len(metrics.dead_experts(load)) for load in row["load"]] for row in rows])
    return np.array([row[what] for row in rows])


def table(study: dict[str, Any], arms: Iterable[str] = tuple(ARMS), lengths: Iterable[int] = LENGTHS) -> str:
    """Return a line for each arm and length: loss (mean ± standard deviation over seeds), then means by layer."""
    heads = ("MaxVio, layers 1 to 4", "dead of 8", "dropped at 1.25, %")
    lines = [f"{'steps':>5}  {'':<24}{'loss':>15}" + "".join(f"{head:>25}" for head in heads)]
    for steps in lengths:
        for name in arms:
            cells = (
                _by_layer(of(study, name, steps, "max_violation"), 2),
                _by_layer(of(study, name, steps, "dead"), 1),
                _by_layer(100 * of(study, name, steps, "dropped"), 1),
            )
            loss = mean_sd(of(study, name, steps, "loss"), 3)
            lines.append(f"{steps:>5}  {ARMS[name].label:<24}{loss:>15}" + "".join(f"{cell:>25}" for cell in cells))
    return "\n".join(lines)


def _by_layer(values: np.ndarray, digits: int) -> str:
    """Write the mean over seeds of each layer. values: (S, layers)."""
    return " ".join(f"{mean:5.{digits}f}" for mean in values.mean(axis=0))


def save(found: Sequence[dict[str, Any]]) -> None:
    """Write the results file, one line a run."""
    settings = {"lengths": LENGTHS, "seeds": SEEDS, "alpha": BALANCE, "u": U, "z": Z, "factor": FACTOR}
    studies.write(RESULTS, settings, "runs", found)


def main() -> None:
    """Run everything and write the results file."""
    found = []
    with studies.workers() as pool:
        for row in pool.map(run, *zip(*runs(), strict=True)):
            found.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    save(found)


if __name__ == "__main__":
    main()
