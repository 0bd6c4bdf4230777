"""The evidence of lesson 11: train small language models, route held-out text, and measure what the experts know.

`python -m moe_lessons.experiments.specialisation` trains every kind of model with three seeds and writes the file of
results, results/specialisation.json, that the lesson shows. The lesson itself trains one model with the same functions.
"""

import json
import platform
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from moe_lessons import metrics
from moe_lessons.corpus import text
from moe_lessons.experiments.core import drawn, to_the_end
from moe_lessons.losses import load_balancing_loss, z_loss
from moe_lessons.model import Config, LanguageModel, next_token_loss, without_expert
from moe_lessons.support.storage import write_atomically
from moe_lessons.support.validation import float_array, refuse, whole_number
from moe_lessons.training import History, Losses, train

# As many steps as fit into a minute on two slow cores; the rate with the lowest loss on the selection part.
STEPS, BATCH, LR = 500, 8, 8e-3
BALANCE, Z = 0.01, 1e-3
SEEDS = (0, 1, 2)
RESULTS = Path(__file__).parent / "results" / "specialisation.json"
SNAPSHOTS = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
PROBES = 200  # sequences on which snapshots are compared


class Routes(NamedTuple):
    """How a model routed a part of the text: selected (layers, S, L, k), best first; entropy (layers, S, L) of the
    probabilities, in bits; loss (S, L) of the token that follows, in nats."""

    selected: np.ndarray
    entropy: np.ndarray
    loss: np.ndarray


# --- training -----------------------------------------------------------------------------------------------------


def build(vocabulary: int, kind: str = "moe", seed: int = 0, **sizes: Any) -> LanguageModel:
    """Return an untrained model of lesson 11; kind: a key of `model.FEED_FORWARDS`."""
    return drawn(seed, LanguageModel, Config(vocabulary, feed_forward=kind, seed=seed, **sizes))


def language_losses(model: Any, ids: Tensor) -> Losses:
    """Return the next-token loss of ids (B, L + 1) and what is added to it for a learned router, a mean over layers."""
    ids = ids.to(model.tokens.weight.device)
    logits, decisions = model(ids[:, :-1], return_routing=True)
    task = next_token_loss(logits, ids)
    if model.config.feed_forward != "moe":
        return {"loss": task, "task": task}
    balance = torch.stack([load_balancing_loss(d.logits, model.config.top_k, d.selected) for d in decisions]).mean()
    z = torch.stack([z_loss(d.logits) for d in decisions]).mean()
    return {"loss": task + BALANCE * balance + Z * z, "task": task, "balance": balance, "z": z}


def batches_of(part: text.Part, seed: int, size: int = BATCH) -> Callable[[int], Tensor]:
    """Return a function from a step to its batch (B, L + 1), the same one every time, all domains alike."""
    per_epoch = len(part.ids) // size

    @lru_cache(maxsize=1)
    def in_epoch(epoch: int) -> list[np.ndarray]:
        stream = text.batches(part, size, np.random.default_rng([seed, epoch]))
        return [next(stream) for _ in range(per_epoch)]

    return lambda step: torch.from_numpy(in_epoch(step // per_epoch)[step % per_epoch])


def train_language_model(
    model: LanguageModel, task: text.TextTask, steps: int = STEPS, where: Any = "cpu", **options: Any
) -> History:
    """Train a model of lesson 11 in place and return its history; the model's seed decides the order of the batches.

    where: the device to train on, say `training.device()`; the model comes back to the CPU. options: for
    `training.train`. A checkpoint of another kind, seed or text (it depends on the Python version) is refused.
    """
    kind, seed = model.config.feed_forward, model.config.seed
    belongs_to = {"kind": kind, "seed": seed, "text": zlib.crc32(task.train.ids.tobytes())}
    options = {"lr": LR, "belongs_to": belongs_to, **options}
    model.to(where)
    try:
        return train(model, batches_of(task.train, seed), language_losses, steps, **options)
    finally:
        model.cpu()


# --- recording ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def record(model: LanguageModel, ids: np.ndarray, size: int = 50) -> Routes:
    """Route sequences ids (S, L + 1) and return what every layer decided, with the loss of every token."""
    model.eval()
    found = [_record_some(model, torch.from_numpy(ids[start : start + size])) for start in range(0, len(ids), size)]
    selected, entropy, loss = zip(*found, strict=True)
    return Routes(np.concatenate(selected, axis=1), np.concatenate(entropy, axis=1), np.concatenate(loss))


def _record_some(model: LanguageModel, ids: Tensor) -> Routes:
    """Record one batch (B, L + 1)."""
    logits, decisions = model(ids[:, :-1], return_routing=True)
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")  # (B, L)
    if decisions[0] is None:
        empty = np.zeros((0, *loss.shape))
        return Routes(empty, empty, loss.numpy())
    selected = np.stack([d.selected.numpy() for d in decisions])  # (layers, B, L, k)
    entropy = np.stack([metrics.entropy(d.probs.double().numpy(), base=2) for d in decisions])  # (layers, B, L)
    return Routes(selected, entropy, loss.numpy())


# --- measuring ----------------------------------------------------------------------------------------------------


def labels_of(part: text.Part) -> dict[str, np.ndarray]:
    """Return the labels of the tokens that are routed, (S, L) each: token, sequence, and the classes of the text."""
    ids = part.ids[:, :-1]
    sequence = np.broadcast_to(np.arange(len(ids))[:, None], ids.shape)
    return {"token": ids, "sequence": sequence, **{name: values[:, :-1] for name, values in part.classes.items()}}


def information(
    selected: np.ndarray, labels: dict[str, np.ndarray], about: str, given: str | None = None, draws: int = 100
) -> dict[str, float]:
    """Return in bits what the expert of an assignment tells about a class, with its null and the excess over its bias.

    selected: (S, L, k). The null deals the sequences' labels out anew. With `given`, the excess takes the bias off that
    remains when each token keeps its sequences (`metrics.permutation_null`, within_given).
    """
    wanted = [labels[about], labels["sequence"]] + ([labels[given]] if given else [])
    expert, a, sequence, *rest = metrics.per_assignment(selected, *wanted)
    condition = rest[0] if rest else None
    value = metrics.mutual_information(a, expert, condition, base=2)
    null = metrics.permutation_null(a, expert, sequence, condition, draws=draws, base=2)
    within = given and (a.reshape(selected.shape).min(axis=(1, 2)) == a.reshape(selected.shape).max(axis=(1, 2))).all()
    bias = (
        metrics.permutation_null(a, expert, sequence, condition, draws=20, base=2, within_given=True)
        if within
        else null
    )
    return {
        "bits": value,
        "null_mean": float(null.mean()),
        "null_95": float(np.quantile(null, 0.95)),
        "excess": metrics.excess(value, bias),
    }


ABOUT = ("domain", "shape", "python", "function", "position", "frequency")


def measure(routes: Routes, part: text.Part, num_experts: int, draws: int = 100) -> list[dict[str, Any]]:
    """Return for each layer all measures of lesson 11, ready for JSON."""
    labels = labels_of(part)
    return [
        _measure_layer(chosen, entropy, labels, num_experts, draws)
        for chosen, entropy in zip(routes.selected, routes.entropy, strict=True)
    ]


def _measure_layer(
    chosen: np.ndarray, entropy: np.ndarray, labels: dict, num_experts: int, draws: int
) -> dict[str, Any]:
    """chosen: (S, L, k). entropy: (S, L)."""
    load = metrics.expert_load(chosen, num_experts)
    first, sequence = chosen[..., 0].ravel(), labels["sequence"].ravel()
    together = metrics.co_activation(chosen, num_experts)
    off = together[~np.eye(num_experts, dtype=bool)]
    return {
        "load": load.tolist(),
        "max_violation": float(metrics.max_violation(load)),
        "entropy_bits": float(entropy.mean()),
        "repetition": metrics.consecutive_repetition(first, sequence, num_experts)._asdict(),
        "co_activation_max": float(np.nanmax(off)),
        "domain_specialisation": metrics.domain_specialisation(chosen, labels["domain"], num_experts).tolist(),
        "information": {name: information(chosen, labels, name, draws=draws) for name in ABOUT},
        "token": information(chosen, labels, "token", draws=5),
        "domain_given_token": information(chosen, labels, "domain", "token", draws=draws),
    }


def best_layer(layers: list[dict[str, Any]]) -> int:
    """Return the layer whose experts know most of the domain beyond the token: to be chosen on the selection part."""
    return int(np.argmax([layer["domain_given_token"]["excess"] for layer in layers]))


@torch.no_grad()
def loss_by_domain(model: LanguageModel, part: text.Part) -> list[float]:
    """Return the mean loss in nats per token of each domain."""
    loss = record(model, part.ids).loss.mean(axis=1)  # (S,)
    return [float(loss[part.domain == i].mean()) for i in range(int(part.domain.max()) + 1)]


def ablation(model: LanguageModel, part: text.Part, layer: int) -> np.ndarray:
    """Return (N, domains): by how much the loss of each domain rises, in nats per token, when one expert is off."""
    whole = np.array(loss_by_domain(model, part))
    rows = []
    for expert in range(model.config.num_experts):
        with without_expert(model, layer, expert):
            rows.append(np.array(loss_by_domain(model, part)) - whole)
    return np.array(rows)


def per_served_token(rise: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return (N, domains): what an expert's absence costs per token that it serves, in nats.

    rise: (N, domains), the `ablation`. share: (N, domains), the share of a domain's tokens that the expert serves, from
    0 to 1. An expert that serves no token of a domain costs it nothing: 0.
    Raises ValueError for tables of other shapes, for a share outside 0 to 1, and for a rise that is not finite.
    """
    rise = float_array("rise", rise)
    share = float_array("share", share, allow=lambda a: (a >= 0) & (a <= 1), expected="a share from 0 to 1")
    if rise.ndim != 2 or share.shape != rise.shape:
        raise refuse("share.shape", share.shape, f"(N, domains), as that of rise, {rise.shape}")
    return np.divide(rise, share, out=np.zeros(rise.shape), where=share > 0)


def hits(share: np.ndarray, cost: np.ndarray) -> int:
    """Return how many experts cost that domain most which they serve most. share, cost: (N, domains)."""
    return int((share.argmax(axis=1) == cost.argmax(axis=1)).sum())


def hits_by_serving(share: np.ndarray, rise: np.ndarray, draws: int = 2000, rng: int = 0) -> np.ndarray:
    """Return the null of `hits(share, rise)`, (draws,): what serving explains by itself.

    An expert can only hurt tokens that it serves, so the rise grows with the share even if no expert is better at one
    domain than at another. Each draw deals the damage per served token out at random among all experts and domains,
    and multiplies it by the shares again. share, rise: (N, domains). rng: a seed.
    Raises ValueError as `per_served_token`, and for draws below 1.
    """
    whole_number("draws", draws, least=1, most=10**6)
    damage, dealer = per_served_token(rise, share), np.random.default_rng(rng)  # (N, domains)
    dealt = (dealer.permutation(damage.ravel()).reshape(damage.shape) for _ in range(draws))
    return np.array([hits(share, share * damage) for damage in dealt])


def some_of(part: text.Part, sequences: int) -> text.Part:
    """Return the first sequences of a part: their domains alternate, so all keep equal shares."""
    rows = slice(0, sequences)
    classes = {name: values[rows] for name, values in part.classes.items()}
    return text.Part(part.ids[rows], part.domain[rows], part.document[rows], classes)


# --- all seeds ----------------------------------------------------------------------------------------------------


def study(task: text.TextTask, kind: str, seed: int, steps: int = STEPS, draws: int = 100) -> dict[str, Any]:
    """Train one model and return all that the lesson reports of it; kind "untrained" leaves it as it begins."""
    probes = task.selection.ids[:PROBES]
    watch = partial(_snapshot, probes=probes) if kind == "moe" else None
    watch_at = tuple(round(share * steps) for share in SNAPSHOTS)
    model = build(len(task.token_bytes), "moe" if kind == "untrained" else kind, seed)
    taken = 0 if kind == "untrained" else steps
    history = to_the_end(train_language_model(model, task, taken, progress=False, watch=watch, watch_at=watch_at))
    found: dict[str, Any] = {"kind": kind, "seed": seed, "loss": loss_by_domain(model, task.report)}
    found |= {"seconds": history.seconds, "step": history.step, "train": history.losses.get("task", [])}
    if kind == "dense":
        return found
    N = model.config.num_experts
    on_selection = measure(record(model, task.selection.ids), task.selection, N, draws=5)
    found |= {
        "layers": measure(record(model, task.report.ids), task.report, N, draws),
        "best": best_layer(on_selection),
    }
    if kind == "moe":
        found["ablation"] = ablation(model, some_of(task.report, 400), found["best"]).tolist()
        found["saturation"] = saturation_of(history)
    return found


def _snapshot(model: LanguageModel, _step: int, probes: np.ndarray) -> Tensor:
    """Return the selection of every layer on the probes, small: (layers, S, L, k) as int8."""
    return torch.from_numpy(record(model, probes).selected.astype(np.int8))


def saturation_of(history: History) -> dict[str, list]:
    """Return the steps of the snapshots, and for each layer the share of choices that are already the final ones."""
    steps, taken = zip(*history.snapshots, strict=True)
    layers = range(len(taken[-1]))
    kept = [[metrics.saturation(t[i].numpy(), taken[-1][i].numpy()) for t in taken] for i in layers]
    return {"step": list(steps), "share": kept}


KINDS = ("moe", "untrained", "hash", "dense")


def studies(task: text.TextTask, steps: int = STEPS, seeds: tuple[int, ...] = SEEDS) -> Iterator[dict[str, Any]]:
    """Yield the study of every kind and seed."""
    for seed in seeds:
        for kind in KINDS:
            yield study(task, kind, seed, steps)


def load_results() -> dict[str, Any]:
    """Return the results that ship with the course: settings, machine, and one study per kind and seed."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def main() -> None:
    """Run everything (ten to fifteen minutes on two cores) and write the results file."""
    task, found = text.prepare(), []
    for result in studies(task):
        found.append(result)
        best = f", best layer {result['best'] + 1}" if "best" in result else ""
        print(f"{result['kind']}, seed {result['seed']}: {np.mean(result['loss']):.3f} nats{best}", file=sys.stderr)
    settings = {"steps": STEPS, "batch": BATCH, "lr": LR, "balance": BALANCE, "z": Z, "seeds": list(SEEDS)}
    versions = {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}
    content = {"settings": settings, "versions": versions, "domains": list(task.domains), "studies": found}
    write_atomically(RESULTS, (json.dumps(content, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
