"""The comparison of lesson 12b: ways to choose at equal active FLOPs, on two tasks, with five seeds and two lengths.

`python -m moe_lessons.experiments.choice_study` trains the arms of `choice_runs` and writes results/choice.json: some
110 minutes of computing, shared out among the cores. It may be interrupted: what is finished stands in
results/choice.part, and the same command goes on from there.

On the clustered task a long run is a short one, continued, for the learning rate is constant; on the text it falls
to a tenth by the last step, so each length is a run of its own. Nothing was tuned on these seeds: the rates are those
of `balancing_runs` and of lesson 11, and how much hangs on them is asked beside: of every arm on the clustered task,
of token choice with one and with two layers on the text. All runs of a seed share task, batches and, where arms have
the same modules, first weights.
"""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.experiments import choice_runs, studies
from moe_lessons.experiments import specialisation as sp
from moe_lessons.experiments.balancing_runs import LEARNING_RATE
from moe_lessons.experiments.choice_runs import ARMS, FACTOR, WITHOUT_IDS, K, N, U
from moe_lessons.experiments.core import mean_sd
from moe_lessons.experiments.specialisation_study import rounded

SEEDS, RATE_SEEDS = range(5), range(3)  # the second: of other rates on the text
LENGTHS = {"clusters": (300, 1200), "text": (250, 750)}  # steps
RATES = {"clusters": LEARNING_RATE, "text": sp.LR}
FACTORS = {"clusters": (1 / 4, 4, 16), "text": (1 / 4, 4)}  # of the rate, where it is asked how much hangs on it
OF_RATES = {"clusters": WITHOUT_IDS, "text": ("token_choice", "two_layer")}  # the arms that are asked
ROUNDS = 15  # of the timing
RESULTS = studies.RESULTS / "choice.json"
SETTINGS: dict[str, Any] = {
    "seeds": [*SEEDS], "rate_seeds": [*RATE_SEEDS], "lengths": LENGTHS, "rates": RATES, "factors": FACTORS,
    "balance": sp.BALANCE, "z": sp.Z, "u": U, "capacity": FACTOR, "rounds": ROUNDS,
}  # fmt: skip


class Job(NamedTuple):
    """What one process does: a run on "clusters" or "text", or "ahead" (who looks ahead) or "costs" (of all arms)."""

    task: str
    arm: str = "all"
    seed: int = 0
    steps: int = 0
    rate: float = 0.0


def jobs() -> list[Job]:
    """Return all jobs: what is quick first, then the table, then the other rates."""
    quick = [Job("costs"), *(Job("ahead", arm) for arm in ARMS)]
    layers = [Job("clusters", arm, s, LENGTHS["clusters"][-1], RATES["clusters"]) for s in SEEDS for arm in WITHOUT_IDS]
    models = [Job("text", arm, s, n, RATES["text"]) for n in LENGTHS["text"] for s in SEEDS for arm in ARMS]
    return [*quick, *layers, *models, *other_rates("clusters", SEEDS), *other_rates("text", RATE_SEEDS)]


def other_rates(task: str, seeds: Iterable[int]) -> list[Job]:
    """Return the short runs of a task at other rates than its own."""
    return [
        Job(task, arm, seed, LENGTHS[task][0], factor * RATES[task])
        for factor, arm, seed in product(FACTORS[task], OF_RATES[task], seeds)
    ]


def run(job: Job) -> dict[str, Any]:
    """Do a job. Returns its fields, and "found": what `choice_runs` measures, of a run by length.

    A run whose loss is no longer finite has None there: it failed, and that is a result.
    """
    return job._asdict() | {"found": rounded(_found(job))}


def _found(job: Job) -> dict[str, Any] | None:
    if job.task == "ahead":
        return choice_runs.looks_ahead(job.arm)
    if job.task == "costs":
        return choice_runs.costs(ROUNDS)
    try:
        if job.task == "clusters":
            lengths = tuple(n for n in LENGTHS["clusters"] if n <= job.steps)
            return choice_runs.on_clusters(job.arm, job.seed, lengths, job.rate)
        return {str(job.steps): choice_runs.on_text(job.arm, job.seed, job.steps, job.rate)}
    except ValueError as error:
        if "a finite number" not in str(error) and "finite floating-point numbers" not in str(error):
            raise
        return None


# --- reading ------------------------------------------------------------------------------------------------------


def load_results() -> dict[str, Any]:
    """Return the results that ship with the course: settings, versions, and a dict as of `run` for each job."""
    return studies.read(RESULTS)


def values(study: dict[str, Any], task: str, arm: str, steps: int, what: str = "loss", factor: float = 1) -> np.ndarray:
    """Return a measure after `steps`, seed by seed (S,), on the text by layer (S, layers) but for the loss.

    factor: of the rate. A run that failed is NaN. Raises KeyError for what the study has not.
    """
    rate = factor * RATES[task]
    rows = [row for row in study["rows"] if (row["task"], row["arm"]) == (task, arm)]
    mine = [row["found"] for row in rows if math.isclose(row["rate"], rate) and _reaches(row, task, steps)]
    if not mine:
        raise KeyError((task, arm, steps, factor))
    return np.array([np.nan if found is None else found[str(steps)][what] for found in mine])


def _reaches(row: dict[str, Any], task: str, steps: int) -> bool:
    """Tell whether a run has been measured after so many steps: on the clustered task on the way, too."""
    return row["steps"] >= steps if task == "clusters" else row["steps"] == steps


def costs(study: dict[str, Any]) -> dict[str, float]:
    """Return the CPU time of a training step on the text, as a multiple of token choice's."""
    (found,) = (row["found"] for row in study["rows"] if row["task"] == "costs")
    return {arm: seconds / found["token_choice"] for arm, seconds in found.items()}


def leaks(study: dict[str, Any], mode: str = "evaluation") -> dict[str, bool]:
    """Return whether each arm looks ahead, whatever takes the place of what follows, in "training" or "evaluation"."""
    return {
        row["arm"]: any(found for case, found in row["found"].items() if case.startswith(mode))
        for row in study["rows"]
        if row["task"] == "ahead"
    }


def failed(study: dict[str, Any], task: str, arm: str, factor: float = 1) -> tuple[int, int]:
    """Return how many short runs failed, and of how many: no finite loss, or no better than one that knows nothing.

    That is the targets' variance on the clustered task, and the loss of even odds on the text.
    """
    loss = values(study, task, arm, LENGTHS[task][0], factor=factor)  # (S,)
    nothing = 1.0 if task == "clusters" else math.log(study["vocabulary"])
    return int((~(loss < nothing)).sum()), len(loss)


COLUMNS = (("loss", 3, 16), ("max_violation", 2, 15), ("entropy", 2, 15), ("experts", 2, 15), ("without", 3, 16),
           ("over", 3, 16), ("tells", 3, 16))  # fmt: skip
"""What the table shows, with digits and width: on the text means over the layers."""


def table(study: dict[str, Any], task: str, steps: int) -> str:
    """Return a line for each arm: mean ± standard deviation over seeds, the cost of a step, and who may write."""
    heads = "".join(f"{what:>{width}}" for what, _, width in COLUMNS)
    lines = [f"{f'{task}, {steps:,} steps':<30}{heads}{'cost':>8}  looks ahead in evaluation, in training"]
    for name in WITHOUT_IDS if task == "clusters" else ARMS:
        cells = [f"{_cell(values(study, task, name, steps, what), digits):>{width}}" for what, digits, width in COLUMNS]
        ahead = ", ".join("yes" if leaks(study, mode)[name] else "no" for mode in ("evaluation", "training"))
        lines.append(f"{ARMS[name].label:<30}{''.join(cells)}{costs(study)[name]:>8.2f}  {ahead}")
    return "\n".join(lines)


def _cell(found: np.ndarray, digits: int) -> str:
    """Write a measure (S,) or (S, layers)."""
    return mean_sd(found if found.ndim == 1 else found.mean(axis=1), digits)


def rates_table(study: dict[str, Any], task: str) -> str:
    """Return a line for each arm that was trained at other rates: the mean loss at each, and how many runs failed."""
    factors = sorted((1, *FACTORS[task]))
    lines = [f"{f'{task}, rate times':<30}" + "".join(f"{factor:>22g}" for factor in factors)]
    for name in OF_RATES[task]:
        cells = []
        for factor in factors:
            bad, many = failed(study, task, name, factor)
            loss = values(study, task, name, LENGTHS[task][0], factor=factor)  # (S,)
            cells.append(f"{np.nanmean(loss) if bad < many else math.nan:.3f}, {bad} of {many} failed")
        lines.append(f"{ARMS[name].label:<30}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


# --- making it ----------------------------------------------------------------------------------------------------


def save(rows: Sequence[dict[str, Any]]) -> None:
    """Write the results file, one line a job, in the order of `jobs`."""
    order = {json.dumps(job): place for place, job in enumerate(jobs())}
    in_order = sorted(rows, key=lambda row: order[json.dumps(Job(*(row[field] for field in Job._fields)))])
    sizes = {"experts": N, "k": K, "vocabulary": len(choice_runs.corpus().token_bytes)}
    studies.write(RESULTS, SETTINGS, "rows", in_order, **sizes)


def main() -> None:
    """Run what is missing, write the results file, and take the file of what was finished away."""
    found, part = [], RESULTS.with_suffix(".part")
    with studies.workers() as pool:
        for row in studies.resumed(part, SETTINGS, jobs(), run, pool):
            found.append(row)
            print(f"{len(found)} of {len(jobs())}", json.dumps(row), file=sys.stderr, flush=True)
    save(found)
    part.unlink()


if __name__ == "__main__":
    main()
