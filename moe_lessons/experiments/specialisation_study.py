"""The study of lesson 11: every kind of model with five seeds, after a short and a long training.

`python -m moe_lessons.experiments.specialisation_study` writes the file of results, results/specialisation.json, that
the lesson shows: most of an hour on two cores, shared out among them. The lesson itself trains one model with the same
functions. A long training is no short one continued: its learning rate falls more slowly.
"""

import json
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from moe_lessons import metrics
from moe_lessons.corpus import text
from moe_lessons.experiments import specialisation as sp
from moe_lessons.experiments import studies
from moe_lessons.experiments.core import to_the_end
from moe_lessons.model import LanguageModel
from moe_lessons.training import History

SEEDS = (0, 1, 2, 3, 4)
SHORT, LONG = LENGTHS = (sp.STEPS, 3 * sp.STEPS)  # steps
RATES, RATE_SEEDS = (sp.LR / 2, sp.LR, 2 * sp.LR), SEEDS[:3]
RESULTS = studies.RESULTS / "specialisation.json"
SNAPSHOTS = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
PROBES = 200  # sequences on which snapshots are compared
ABLATED = 400  # sequences on which experts and layers are switched off
ROUTERS = {
    "untrained": ("untrained", 0),
    "table of the token": ("hash", SHORT),
    "table of the one before": ("previous", 0),
    f"learned, {SHORT} steps": ("moe", SHORT),
    f"learned, {LONG} steps": ("moe", LONG),
}
"""Kind and steps of what the lesson sets side by side."""
KINDS = {"learned": "moe", "hash": "hash", "dense": "dense"}


class Run(NamedTuple):
    """A training of the study. kind: a key of `model.FEED_FORWARDS`; free: without balance loss and z-loss.

    rate: of Adam. measured: whether its routes are measured, not its loss alone.
    """

    kind: str
    seed: int
    steps: int
    rate: float = sp.LR
    free: bool = False
    measured: bool = True


def runs() -> list[Run]:
    """Return all trainings, the long ones first: the last to end are then short."""
    every = [Run(kind, seed, steps) for steps in (LONG, SHORT) for seed in SEEDS for kind in ("moe", "hash", "dense")]
    arms = [("moe", False), ("moe", True), ("hash", False)]
    tuned = [
        Run(kind, seed, steps, rate, free, measured=False)
        for steps in (LONG, SHORT) for seed in RATE_SEEDS for kind, free in arms for rate in RATES
        if free or rate != sp.LR
    ]  # fmt: skip
    return sorted(every + tuned, key=lambda run: -run.steps)


# --- one model ----------------------------------------------------------------------------------------------------


def trained(run: Run, task: text.TextTask, draws: int = 100) -> dict[str, Any]:
    """Train one model and return its settings and all that the lesson reports of it."""
    model = sp.build(len(task.token_bytes), run.kind, run.seed)
    losses = partial(sp.language_losses, balance_coef=0.0, z_coef=0.0) if run.free else sp.language_losses
    watched = run.measured and run.kind == "moe"
    watch = partial(_snapshot, probes=task.selection.ids[:PROBES]) if watched else None
    history = to_the_end(
        sp.train_language_model(
            model, task, run.steps, losses=losses, lr=run.rate, progress=False, watch=watch,
            watch_at=tuple(round(share * run.steps) for share in SNAPSHOTS),
        )
    )  # fmt: skip
    found = run._asdict() | {"loss": sp.loss_by_domain(model, task.report)}
    found |= {"selection_loss": float(np.mean(sp.loss_by_domain(model, task.selection)))}
    return found | measured(run, model, history, task, draws) if run.measured else found


def measured(run: Run, model: LanguageModel, history: History, task: text.TextTask, draws: int) -> dict[str, Any]:
    """Return all that is reported of a trained model beside its losses."""
    found = {"step": history.step, "train": history.losses["task"], "layers_off": layers_off(model, task)}
    if run.kind != "dense":
        found |= routed(model, task, draws)
    if run.kind == "moe":
        found |= {"saturation": saturation_of(history), "ablation": ablations(model, task)}
        found |= reach(model, task) if run.seed in RATE_SEEDS else {}
    return found


def routed(model: LanguageModel, task: text.TextTask, draws: int) -> dict[str, Any]:
    """Measure how a model routes the report text, and choose the layer on the selection text."""
    N = model.config.num_experts
    on_selection = sp.measure(sp.record(model, task.selection.ids), task.selection, N, draws=5)
    return {
        "layers": sp.measure(sp.record(model, task.report.ids), task.report, N, draws),
        "best": sp.best_layer(on_selection),
    }


def layers_off(model: LanguageModel, task: text.TextTask) -> list[list[float]]:
    """Return (layers, domains): by how much the loss rises, in nats a token, when a whole feed-forward layer is off."""
    return sp.layer_ablation(model, sp.some_of(task.report, ABLATED)).tolist()


def ablations(model: LanguageModel, task: text.TextTask) -> list[list[list[float]]]:
    """Return (layers, N, domains): by how much the loss rises, in nats a token, when one expert is off."""
    some = sp.some_of(task.report, ABLATED)
    return [sp.ablation(model, some, layer).tolist() for layer in range(model.config.layers)]


def _snapshot(model: LanguageModel, _step: int, probes: np.ndarray) -> Tensor:
    """Return the selection of every layer on the probes, small: (layers, S, L, k) as int8."""
    return torch.from_numpy(sp.record(model, probes).selected.astype(np.int8))


def saturation_of(history: History) -> dict[str, list]:
    """Return the steps of the snapshots, and for each layer the share of choices that are already the final ones."""
    steps, taken = zip(*history.snapshots, strict=True)
    layers = range(len(taken[-1]))
    kept = [[metrics.saturation(t[i].numpy(), taken[-1][i].numpy()) for t in taken] for i in layers]
    return {"step": list(steps), "share": kept}


def reach(model: LanguageModel, task: text.TextTask) -> dict[str, Any]:
    """Measure how far back the choices reach, and what layers are needed for: a table by token id, or more."""
    some, half = sp.some_of(task.report, ABLATED), model.config.context // 2
    tables = sp.mean_outputs(model, task.selection)
    return {
        "kept": {name: share.tolist() for name, share in sp.kept_choices(model, task.report, half, half // 2).items()},
        "by_token": sp.layer_ablation(model, some, tables).tolist(),
        "off_together": sp.layer_ablation(model, some, groups=[range(1, model.config.layers)]).tolist(),
    }


# --- what needs no training ---------------------------------------------------------------------------------------


def untrained(seed: int, task: text.TextTask, draws: int = 100) -> dict[str, Any]:
    """Measure the model of a seed as it begins."""
    model = sp.build(len(task.token_bytes), "moe", seed)
    loss = sp.loss_by_domain(model, task.report)
    return {"kind": "untrained", "seed": seed, "steps": 0, "loss": loss, **routed(model, task, draws)}


def previous(seed: int, task: text.TextTask, draws: int = 100) -> dict[str, Any]:
    """Measure a router that knows nothing but the token *before* this one: a fixed random table, drawn by the seed."""
    labels = sp.labels_of(task.report)
    before = labels["previous"] + 1  # (S, L): 0 where there is none
    selected = sp.by_table(before, len(task.token_bytes) + 1, seed)  # (S, L, k)
    alone = {"information": {"domain": sp.information(selected, labels, "domain", draws=draws)}}
    found = {name: sp.information(selected, labels, "domain", given, draws) for name, given in sp.GIVEN.items()}
    return {"kind": "previous", "seed": seed, "steps": 0, "layers": [alone | found]}


# --- reading the results ------------------------------------------------------------------------------------------


def load_results() -> dict[str, Any]:
    """Return the results that ship with the course: settings, versions, domains, and a dict for each study."""
    return studies.read(RESULTS)


def of(results: dict[str, Any], kind: str, steps: int) -> list[dict[str, Any]]:
    """Return the measured studies of one kind and length, one for each seed. Of "untrained", "previous" steps is 0."""
    return [s for s in results["studies"] if (s["kind"], s["steps"]) == (kind, steps) and s.get("measured", True)]


def reaching(results: dict[str, Any], steps: int) -> list[dict[str, Any]]:
    """Return the studies of learned routers of one length that hold what `reach` measures: those of RATE_SEEDS."""
    return [s for s in of(results, "moe", steps) if "kept" in s]


def by_layer(results: dict[str, Any], kind: str, steps: int, measure: Callable[[dict[str, Any]], float]) -> np.ndarray:
    """Return (seeds, layers): a measure of every layer, taken from what `specialisation.measure` holds of it."""
    return np.array([[measure(layer) for layer in s["layers"]] for s in of(results, kind, steps)])


def losses(results: dict[str, Any]) -> dict[tuple[str, int], np.ndarray]:
    """Return the mean loss on the report text, in nats a token, (seeds,), by kind, a key of KINDS, and steps."""
    return {
        (name, steps): np.array([np.mean(s["loss"]) for s in of(results, kind, steps)])
        for steps in LENGTHS
        for name, kind in KINDS.items()
    }


def tuned(results: dict[str, Any], steps: int, kind: str, free: bool = False) -> tuple[float, np.ndarray]:
    """Return the rate with the lowest mean loss on the selection text, and its losses on the report text, (seeds,).

    Of RATE_SEEDS alone, which were trained with every rate. free: without balance loss and z-loss.
    """
    runs = [s for s in results["studies"] if (s["kind"], s["steps"], s.get("free")) == (kind, steps, free)]
    arms = {rate: [s for s in runs if s["rate"] == rate and s["seed"] in RATE_SEEDS] for rate in RATES}
    best = min(arms, key=lambda rate: np.mean([s["selection_loss"] for s in arms[rate]]))
    return best, np.array([np.mean(s["loss"]) for s in arms[best]])


def table(
    results: dict[str, Any],
    measure: Callable[[dict[str, Any]], float],
    routers: Iterable[str] = tuple(ROUTERS),
    digits: int = 3,
) -> str:
    """Return a line for each router, a key of ROUTERS: mean over seeds, lowest and highest, layer by layer; a table has
    the same in all layers, so one is shown."""
    lines = []
    for name in routers:
        values = by_layer(results, *ROUTERS[name], measure)[:, : 1 if "table" in name else None]  # (seeds, layers)
        lines.append(f"  {name:<25}{_over_seeds(values, digits)}")
    return "\n".join(lines)


def _over_seeds(values: np.ndarray, digits: int) -> str:
    """Write values (seeds, layers), layer by layer: their mean, lowest and highest."""
    cells = (f"{v.mean():.{digits}f} ({v.min():.{digits}f} to {v.max():.{digits}f})" for v in values.T)
    return "".join(f"{cell:>23}" for cell in cells)


class Served(NamedTuple):
    """Whether experts are needed most where they serve most, in one layer of each seed.

    hits: experts that hurt most the domain that they serve most, (seeds,); dealt: hits in all, if the damage per served
    token is dealt out at random, (draws,), and dealt_within: if it is, among the experts of each domain; per_token: as
    hits, by the damage per served token, and dealt_per_token: in all, if that is dealt out; rise: (seeds, N, domains),
    in nats.
    """

    hits: np.ndarray
    dealt: np.ndarray
    dealt_within: np.ndarray
    per_token: np.ndarray
    dealt_per_token: np.ndarray
    rise: np.ndarray


def served(results: dict[str, Any], steps: int, layer: int) -> Served:
    """Return whether serving and being needed go together in a layer of the learned routers of one length."""
    found = of(results, "moe", steps)
    shares = [np.array(s["layers"][layer]["domain_specialisation"]).T for s in found]  # (N, domains) each
    rises = [np.array(s["ablation"][layer]) for s in found]  # (N, domains) each
    pairs = list(zip(shares, rises, strict=True))

    def dealt(**how: Any) -> np.ndarray:
        return np.sum([sp.hits_by_serving(*pair, rng=seed, **how) for seed, pair in enumerate(pairs)], axis=0)

    return Served(
        np.array([sp.hits(share, rise) for share, rise in pairs]),
        dealt(),
        dealt(within=True),
        np.array([sp.hits(share, sp.per_served_token(rise, share)) for share, rise in pairs]),
        dealt(per_token=True),
        np.array(rises),
    )


def served_table(found: dict[tuple[int, int], Served]) -> str:
    """Return a line for each length and layer: hits, and how many there are if damage is dealt out among all experts
    and domains, or among the experts of each domain; then hits per served token, and the same. p: the share of deals
    with as many hits."""
    beside = f"{'dealt out':>12}{'p':>7}"
    lines = [f"{'':21}{'hits':>6}{beside}{'by domain':>12}{'p':>7}   | per served token{beside}"]
    for (steps, layer), s in found.items():
        hits, per_token = s.hits.sum(), s.per_token.sum()
        nulls = ((s.dealt, hits), (s.dealt_within, hits), (s.dealt_per_token, per_token))
        whole, domain, token = (f"{null.mean():>12.1f}{np.mean(null >= count):>7.3f}" for null, count in nulls)
        lines.append(f"{steps:>5} steps, layer {layer + 1}{hits:>7}{whole}{domain}   |{per_token:>17}{token}")
    return "\n".join(lines)


ARMS = {"learned": ("moe", False), "learned, losses off": ("moe", True), "hash": ("hash", False)}


def losses_table(results: dict[str, Any]) -> str:
    """Return the losses of all seeds, in nats a token, and those at the best learning rate."""
    lines = []
    for (kind, steps), loss in losses(results).items():
        lines.append(f"{steps:>5} steps, {kind:<20}{'':12}{loss.mean():.3f}, seed by seed {loss.round(3)}")
    lines.append("best of three learning rates (chosen on the selection text), three seeds")
    for steps in LENGTHS:
        for name, arm in ARMS.items():
            rate, loss = tuned(results, steps, *arm)
            lines.append(f"{steps:>5} steps, {name:<20}rate {rate:<7g}{loss.mean():.3f}, seed by seed {loss.round(3)}")
    return "\n".join(lines)


def layers_off_table(results: dict[str, Any]) -> str:
    """Return by how much the loss rises, in nats a token, when a whole layer is off, layer by layer: a line for each
    kind and length, mean over all seeds; then, of three seeds, with its mean output by token id in its place, and
    without all layers but the first."""
    lines = []
    for kind in ("learned", "dense"):
        for steps in LENGTHS:
            off = np.mean([s["layers_off"] for s in of(results, KINDS[kind], steps)], axis=(0, 2))  # (layers,)
            lines.append(f"five seeds,  {steps:>4} steps, {kind + ':':<9}{off.round(3)}")
    for steps in LENGTHS:
        by_token, together = (
            np.mean([s[name] for s in reaching(results, steps)], axis=(0, 2)) for name in ("by_token", "off_together")
        )  # (layers,) and (1,)
        lines.append(
            f"three seeds, {steps:>4} steps, a table in its place {by_token.round(3)}, "
            f"layers 2 to {len(by_token)} off together {together[0]:.3f}"
        )
    return "\n".join(lines)


def kept_table(results: dict[str, Any]) -> str:
    """Return what share of the choices stays when the text far back is another document's, layer by layer: a line for
    each length and kind of document, mean over three seeds, and lowest and highest of them."""
    lines = []
    for steps in LENGTHS:
        again = reaching(results, steps)
        for name in again[0]["kept"]:
            shares = np.array([s["kept"][name] for s in again])  # (seeds, layers)
            lines.append(f"{steps:>5} steps, a document {name:<20}{_over_seeds(shares, 2)}")
    return "\n".join(lines)


# --- all of them --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _task() -> text.TextTask:
    """Return the text, once in each process."""
    torch.set_num_threads(1)
    return text.prepare()


def _one(run: Run) -> dict[str, Any]:
    return trained(run, _task())


def _simple(measure: Callable[..., dict[str, Any]], seed: int) -> dict[str, Any]:
    return measure(seed, _task())


def rounded(value: Any, digits: int = 5) -> Any:
    """Return JSON content with its fractions rounded: what is beyond differs from machine to machine."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, dict):
        return {key: rounded(part, digits) for key, part in value.items()}
    return [rounded(part, digits) for part in value] if isinstance(value, list | tuple) else value


def save(found: Iterable[dict[str, Any]]) -> None:
    """Write the results file, one line a study."""
    settings = {"lengths": LENGTHS, "batch": sp.BATCH, "lr": sp.LR, "balance": sp.BALANCE, "z": sp.Z, "seeds": SEEDS,
                "rates": RATES, "rate_seeds": RATE_SEEDS}  # fmt: skip
    studies.write(RESULTS, settings, "studies", map(rounded, found), domains=text.DOMAINS)


def main() -> None:
    """Run everything and write the results file."""
    found = []
    with studies.workers() as pool:
        simple = [pool.submit(_simple, measure, seed) for measure in (untrained, previous) for seed in SEEDS]
        for future in [pool.submit(_one, run) for run in runs()] + simple:
            found.append(future.result())
            told = {key: found[-1].get(key) for key in Run._fields} | {"loss": found[-1].get("loss")}
            print(json.dumps(rounded(told)), file=sys.stderr, flush=True)
    save(found)


if __name__ == "__main__":
    main()
