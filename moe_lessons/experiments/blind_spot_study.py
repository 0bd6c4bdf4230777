"""The remedies of lesson 07 in many worlds: which bring E8 back whatever the optimiser, the rate and the start?

`python -m moe_lessons.experiments.blind_spot_study` trains every method of `blind_spot` under three optimisers from
three starts, and writes the file of results, results/blind_spot.json, that the lesson shows: seven minutes of
computing, shared out among the cores. The lesson itself trains a few of them with the same functions.
The worlds are others than those of the lesson's live run (seed 0): nothing was chosen on them.
"""

import json
import multiprocessing
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import torch

from moe_lessons.experiments import blind_spot
from moe_lessons.experiments.blind_spot import METHODS
from moe_lessons.support.storage import write_atomically

WORLDS, SEED = 32, 1
SHORT, LONG = LENGTHS = (300, 900)  # steps: a long run is the short one, continued
OPTIMIZERS = (("adam", 0.02), ("sgd", 1.0), ("sgd", 10.0))  # with their learning rates
STARTS = (-2.0, -4.0, -6.0)  # E8's logit at the start
STRONGER = {"balance": (0.1, 1.0), "noise": (2 * log(2), 4 * log(2)), "random": (0.3,)}  # than the method's own
RESULTS = Path(__file__).parent / "results" / "blind_spot.json"


class Trial(NamedTuple):
    """What WORLDS routers are trained with; start 0: E8 starts like the others. opposite: as in `blind_spot.run`."""

    method: str
    coefficient: float
    optimizer: str
    learning_rate: float
    start: float
    opposite: bool = False
    steps: int = LONG


def trials() -> list[Trial]:
    """Return all trials: every method, the control in which E8 is harmful, and (short) the stronger coefficients."""
    hidden = [(name, method.coefficient) for name, method in METHODS.items() if method.start]
    fair = [(name, METHODS[name].coefficient) for name in ("fair", "relu_fair", "top_k_b")]
    stronger = [(name, value) for name, values in STRONGER.items() for value in values]
    return [
        *_grid(fair, (0.0,)),
        *_grid(hidden, STARTS),
        *_grid(hidden + stronger, (blind_spot.START,), opposite=True, steps=SHORT),
        *_grid(stronger, STARTS, steps=SHORT),
    ]


def _grid(methods: Iterable[tuple[str, float]], starts: Sequence[float], **options: Any) -> Iterator[Trial]:
    """Yield a trial for each method with its coefficient, optimiser and start."""
    for (name, value), (optimizer, rate), start in product(methods, OPTIMIZERS, starts):
        yield Trial(name, value, optimizer, rate, start, **options)


def tried(trial: Trial, worlds: int = WORLDS, seed: int = SEED) -> dict[str, Any]:
    """Run a trial. Returns its settings and, for each length up to its steps: which worlds found E8 ("0" or "1" each),
    in how many one of E8's tokens had selected it at some measurement ("asked"), and the mean task loss."""
    own = METHODS[trial.method].coefficient
    result = blind_spot.run(
        trial.method,
        worlds,
        seed,
        trial.steps,
        coefficient=None if trial.coefficient == own else trial.coefficient,
        start=trial.start,
        optimizer=trial.optimizer,
        learning_rate=trial.learning_rate,
        opposite=trial.opposite,
    )
    frames = {length: list(result.steps).index(length) for length in LENGTHS if length <= trial.steps}
    return trial._asdict() | {
        "found": {str(length): "".join(map(str, map(int, result.found_at(at)))) for length, at in frames.items()},
        "asked": {str(length): int((result.share[: at + 1] > 0).any(axis=0).sum()) for length, at in frames.items()},
        "loss": {str(length): round(float(result.loss[at].mean()), 4) for length, at in frames.items()},
    }


def load_results() -> dict[str, Any]:
    """Return the results that ship with the course: settings, versions, and a dict as of `tried` for each trial."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def main() -> None:
    """Run everything and write the results file."""
    found = []
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        for row in pool.map(tried, trials()):
            found.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    save(found)


def save(found: Sequence[dict[str, Any]]) -> None:
    """Write the results file, one line a trial."""
    settings = {"worlds": WORLDS, "seed": SEED, "lengths": LENGTHS, "optimizers": OPTIMIZERS, "starts": STARTS}
    versions = {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}
    head = json.dumps({"settings": settings, "versions": versions})[:-1]
    rows = ",\n".join(map(json.dumps, found))
    write_atomically(RESULTS, f'{head}, "trials": [\n{rows}\n]}}\n'.encode())


if __name__ == "__main__":
    main()
