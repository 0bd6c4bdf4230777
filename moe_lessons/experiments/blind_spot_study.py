"""The remedies of lesson 07 in many worlds: which bring E8 back whatever the optimiser, the rate and the start?

`python -m moe_lessons.experiments.blind_spot_study` trains every method of `blind_spot` under three optimisers from
three starts, and writes the file of results, results/blind_spot.json, that the lesson shows: five minutes of
computing, shared out among the cores. The lesson itself trains a few of them with the same functions.
The worlds are others than those of the lesson's live run (seed 0): nothing was chosen on them.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import log
from typing import Any, NamedTuple

from moe_lessons.experiments import blind_spot, studies
from moe_lessons.experiments.blind_spot import METHODS, wilson

WORLDS, SEED = 32, 1
SHORT, LONG = LENGTHS = (300, 900)  # steps: a long run is the short one, continued
OPTIMIZERS = (("adam", 0.02), ("sgd", 1.0), ("sgd", 10.0))  # with their learning rates
STARTS = (-2.0, -4.0, -6.0)  # E8's logit at the start
STRONGER = {"balance": (0.1, 1.0), "noise": (2 * log(2), 4 * log(2)), "random": (0.3,)}  # than the method's own
RESULTS = studies.RESULTS / "blind_spot.json"


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
    return studies.read(RESULTS)


# --- reading them ------------------------------------------------------------------------------------------------

Counts = dict[tuple[str, float, float], int]  # by optimizer, learning rate and start: the worlds that found E8


def counts(
    study: dict[str, Any], length: int = SHORT, methods: Iterable[str] = tuple(METHODS), opposite: bool = False
) -> dict[str, Counts]:
    """Return in how many worlds E8 was found after `length` steps, by the label of method and coefficient.

    study: as of `load_results`. methods: keys of METHODS, in the order of the rows. opposite: with the harmful E8.
    Form B with a fair start is a row of its own.
    """
    rows: dict[str, Counts] = {}
    for name in methods:
        for trial in study["trials"]:
            if (trial["method"], trial["opposite"]) == (name, opposite) and str(length) in trial["found"]:
                setting = (trial["optimizer"], trial["learning_rate"], trial["start"])
                rows.setdefault(_label(trial), {})[setting] = trial["found"][str(length)].count("1")
    return rows


def _label(trial: dict[str, Any]) -> str:
    """Write what the row of a trial is called."""
    label, value = METHODS[trial["method"]].label, trial["coefficient"]
    if not trial["start"] and "fair" not in label:
        return f"{label}, fair start"
    return f"{label} {value:.2g}" if trial["method"] in STRONGER else label


def most(row: Counts, worlds: int = WORLDS) -> int:
    """Return in how many settings E8 was found in most worlds: the 95 % interval lies above a half."""
    return sum(wilson(count, worlds)[0] > 0.5 for count in row.values())


def table(rows: dict[str, Counts]) -> str:
    """Return rows as of `counts` as text: a column for each setting, and in how many settings most worlds found E8."""
    heads = "".join(f"{f'{name} {rate:g}':>18}" for name, rate in OPTIMIZERS)
    starts = "".join(f"{'':>3}" + "".join(f"{start:>5g}" for start in STARTS) for _ in OPTIMIZERS)
    lines = [f"{'optimiser, rate':<24}{heads}", f"{'first logit of E8':<24}{starts}   most worlds in"]
    for label, row in rows.items():
        cells = "".join(_cells(row, *optimizer) for optimizer in OPTIMIZERS)
        lines.append(f"{label:<24}{cells}   {most(row)} of {len(row)}")
    return "\n".join(lines)


def _cells(row: Counts, optimizer: str, rate: float) -> str:
    """Write the counts of one optimiser: one for each start, or a single one where E8 started like the others."""
    found = [f"{row[optimizer, rate, start]:>5}" for start in (0.0, *STARTS) if (optimizer, rate, start) in row]
    return "".join(found).rjust(18)


def save(found: Sequence[dict[str, Any]]) -> None:
    """Write the results file, one line a trial."""
    settings = {"worlds": WORLDS, "seed": SEED, "lengths": LENGTHS, "optimizers": OPTIMIZERS, "starts": STARTS}
    studies.write(RESULTS, settings, "trials", found)


def main() -> None:
    """Run everything and write the results file."""
    found = []
    with studies.workers() as pool:
        for row in pool.map(tried, trials()):
            found.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    save(found)


if __name__ == "__main__":
    main()
