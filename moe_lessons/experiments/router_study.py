"""Schedules, k, factors and frozen routers at their own best rates, at two lengths, on seeds that chose nothing.

`python -m moe_lessons.experiments.router_study` trains the layers of `router_training.regression_runs` (8 experts, 16
clusters, no labels) and writes results/router_study.json, which lesson 08 shows: nine minutes of computing, shared
out among the cores. Each arm is first trained at each rate on CHOOSING; the rate with the lowest mean error there is
then trained on SEEDS, and that is reported. Frozen routers choose no rate: each is reported.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from moe_lessons import metrics
from moe_lessons.experiments import studies
from moe_lessons.experiments.router_training import regression_runs

LENGTHS = (400, 1200)  # steps
CHOOSING, SEEDS = (100, 101), tuple(range(200, 208))  # seeds that choose the rate, and those that are reported
RESULTS = studies.RESULTS / "router_study.json"
A, B = "topk_softmax", "softmax_topk"


class Arm(NamedTuple):
    """What is trained: k, gate form, τ from `start` to `end` (geometric), and the options of `regression_runs`."""

    top_k: int = 2
    gate: str = A
    start: float = 1.0
    end: float = 1.0
    output_scale: float = 1.0
    expert_scale: float = 1.0
    balance: float = 0.0
    frozen: bool = False

    def tau(self, done: float) -> float:
        """Return τ when a share of the training is done, 0 to 1."""
        return self.start * (self.end / self.start) ** done


QUESTIONS: dict[str, dict[str, Arm]] = {
    "schedules": {
        "4": Arm(start=4, end=4),
        "1": Arm(),
        "1/4": Arm(start=1 / 4, end=1 / 4),
        "1/16": Arm(start=1 / 16, end=1 / 16),
        "4 to 1/4": Arm(start=4, end=1 / 4),
        "1 to 1/4": Arm(start=1, end=1 / 4),
        "1 to 1/16": Arm(start=1, end=1 / 16),
        "1/4 to 1": Arm(start=1 / 4, end=1),
    },
    "active": {
        "k = 1, B": Arm(1, B),
        "k = 1, B, balanced": Arm(1, B, balance=0.03),
        "k = 2, B": Arm(2, B),
        "k = 2, B, balanced": Arm(2, B, balance=0.03),
        "k = 4, B": Arm(4, B),
    },
    "factor": {
        "1": Arm(2, B),
        "1/16, same weights": Arm(2, B, output_scale=1 / 16),
        "16, same weights": Arm(2, B, output_scale=16),
        "1/16, same outputs": Arm(2, B, output_scale=1 / 16, expert_scale=16),
        "16, same outputs": Arm(2, B, output_scale=16, expert_scale=1 / 16),
    },
    "frozen": {"A": Arm(2, A, frozen=True), "B": Arm(2, B, frozen=True)},
}
RATES = {400: (0.01, 0.02, 0.04, 0.08), 1200: (0.0025, 0.005, 0.01, 0.02, 0.04)}  # by length
FACTOR_RATES = {"1/16": (0.02, 0.08, 0.32), "1": (0.005, 0.02, 0.08), "16": (0.00125, 0.005, 0.02, 0.08)}  # by factor
BALANCED_RATES = {400: (0.01, 0.02, 0.04), 1200: (0.005, 0.01, 0.02)}
FROZEN_RATES = {400: (0.005, 0.02, 0.04), 1200: (0.005, 0.04)}  # nothing is chosen: each is reported


class Trial(NamedTuple):
    """An arm of a question, trained at one rate for so many steps, a layer for each seed."""

    question: str
    arm: str
    steps: int
    rate: float
    seeds: tuple[int, ...]


def tried(trial: Trial) -> dict[str, Any]:
    """Run a trial. Returns its settings and, a number for each seed: the error, the error of the first choice alone,
    the largest load of an expert, and how many experts are dead."""
    arm = QUESTIONS[trial.question][trial.arm]
    runs = regression_runs(arm.top_k, arm.gate, trial.seeds, steps=trial.steps, lr=trial.rate, temperature=arm.tau,
                           output_scale=arm.output_scale, expert_scale=arm.expert_scale, balance=arm.balance,
                           frozen=arm.frozen)  # fmt: skip
    return trial._asdict() | {
        "error": [round(run.error, 5) for run in runs],
        "alone": [round(run.alone, 5) for run in runs],
        "largest": [round(float(run.load.max()), 4) for run in runs],
        "dead": [len(metrics.dead_experts(run.load)) for run in runs],
    }


def rates(question: str, arm: str, steps: int) -> tuple[float, ...]:
    """Return the rates of which an arm takes the best."""
    if question == "factor":
        return FACTOR_RATES[arm.partition(",")[0]]
    if question == "frozen":
        return FROZEN_RATES[steps]
    return (BALANCED_RATES if arm.endswith("balanced") else RATES)[steps]


def choosing(question: str, steps: int) -> list[Trial]:
    """Return the trials that choose the rates: each arm at each of its rates."""
    arms = QUESTIONS[question] if question != "frozen" else ()
    return [Trial(question, arm, steps, rate, CHOOSING) for arm in arms for rate in rates(question, arm, steps)]


def reporting(question: str, steps: int, rows: Iterable[dict[str, Any]]) -> list[Trial]:
    """Return the trials that are reported: each arm at its best rate of `rows`, as of `tried`; if frozen, at each."""
    if question == "frozen":
        return [
            Trial(question, arm, steps, rate, SEEDS)
            for arm in QUESTIONS[question]
            for rate in rates(question, arm, steps)
        ]
    chosen = list(rows)
    return [Trial(question, arm, steps, best_rate(chosen, question, arm, steps), SEEDS) for arm in QUESTIONS[question]]


def studied(run: Callable[..., Iterable[dict[str, Any]]] = map) -> Iterator[dict[str, Any]]:
    """Yield the rows of all trials, as of `tried`. run: maps a function over trials, in order."""
    for question, steps in product(QUESTIONS, LENGTHS):
        chosen = list(run(tried, choosing(question, steps)))
        yield from chosen
        yield from run(tried, reporting(question, steps, chosen))


# --- reading it ---------------------------------------------------------------------------------------------------


def load_results() -> dict[str, Any]:
    """Return the results that ship with the course: settings, versions, and a dict as of `tried` for each trial."""
    return studies.read(RESULTS)


def _rows(rows: Iterable[dict[str, Any]], seeds: Sequence[int], *where: Any) -> list[dict[str, Any]]:
    """Return the rows of one set of seeds, and of a question, an arm and a length."""
    return [r for r in rows if (*r["seeds"],) == (*seeds,) and (r["question"], r["arm"], r["steps"]) == where]


def by_rate(rows: Iterable[dict[str, Any]], question: str, arm: str, steps: int) -> dict[float, float]:
    """Return the mean error at each rate, of the seeds that choose."""
    return {row["rate"]: float(np.mean(row["error"])) for row in _rows(rows, CHOOSING, question, arm, steps)}


def best_rate(rows: Iterable[dict[str, Any]], question: str, arm: str, steps: int) -> float:
    """Return the rate with the lowest mean error of the seeds that choose."""
    means = by_rate(rows, question, arm, steps)
    return min(means, key=means.__getitem__)


def reported(study: dict[str, Any], question: str, arm: str, steps: int, what: str = "error") -> np.ndarray:
    """Return what the fresh seeds show at the best rate (S,): error, alone, largest or dead."""
    (row,) = _rows(study["trials"], SEEDS, question, arm, steps)
    return np.array(row[what])


def at_rate(study: dict[str, Any], question: str, arm: str, steps: int, rate: float) -> np.ndarray:
    """Return the errors of the fresh seeds (S,) at one rate of those that are reported."""
    (row,) = (r for r in _rows(study["trials"], SEEDS, question, arm, steps) if r["rate"] == rate)
    return np.array(row["error"])


def table(study: dict[str, Any], question: str, baseline: str) -> str:
    """Return a question as text, a part for each length: an arm's best rate, its error on fresh seeds, how much that is
    above the baseline's, seed by seed, with the 95 % interval, and the error of the first choice alone."""
    arms = QUESTIONS[question]
    width = max(map(len, arms)) + 2
    head = f"{'rate':>8}   {'error ± sd':<18}{f'above {baseline}':<16}{'95 % from … to':<20}{'first alone':>11}"
    lines = []
    for steps in LENGTHS:
        lines.append(f"{f'{steps:,} steps':<{width}}{head}")
        lines += [_line(study, question, arm, baseline, steps, width) for arm in arms]
    return "\n".join(lines)


def _line(study: dict[str, Any], question: str, arm: str, baseline: str, steps: int, width: int) -> str:
    """Write what one arm did at one length."""
    rate, error = best_rate(study["trials"], question, arm, steps), reported(study, question, arm, steps)
    d = error - reported(study, question, baseline, steps)  # (S,)
    low, high = studies.interval(d)
    above = f"{d.mean():<+16.4f}{f'{low:+.4f} to {high:+.4f}':<20}" if arm != baseline else " " * 36
    alone = reported(study, question, arm, steps, "alone").mean()
    return f"{arm:<{width}}{rate:>8g}   {f'{error.mean():.4f} ± {error.std(ddof=1):.4f}':<18}{above}{alone:>11.4f}"


# --- making it ----------------------------------------------------------------------------------------------------


def save(found: Sequence[dict[str, Any]]) -> None:
    """Write the results file, one line a trial."""
    settings = {"lengths": LENGTHS, "choosing": CHOOSING, "seeds": SEEDS}
    studies.write(RESULTS, settings, "trials", found)


def main() -> None:
    """Run everything and write the results file."""
    found = []
    with studies.workers() as pool:
        for row in studied(pool.map):
            found.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    save(found)


if __name__ == "__main__":
    main()
