"""The table of lesson 09: every method from a fair start and from an uneven one, after 300 and after 1,200 steps.

`python -m moe_lessons.experiments.balancing_study` trains them with 20 seeds and writes results/balancing.json: six
minutes of computing, shared out among the cores. The lesson itself trains a few of them for a few seconds. Beside the
table stand `CONTROLS`: other learning rates, a larger head start, and noise that is on when it is measured.

Nothing was chosen on these seeds. The coefficients that the lesson speaks of, `CHOSEN`, are those with the lowest task
error on seeds 0 to 4, from the uneven start, after 300 steps: `choose` prints that table. A long run is a short one,
continued. All runs of a seed share task, first weights and batches, so that methods are compared in pairs.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.experiments import balancing_runs, capacity_runs, studies
from moe_lessons.experiments.balancing_runs import HEAD_START, LEARNING_RATE, MEASURES, Method, Result
from moe_lessons.experiments.core import mean_sd

SEEDS, CHOOSING = range(20, 40), range(5)
BLOCK = 10  # seeds that are trained side by side
SHORT, LONG = LENGTHS = (300, 1200)  # steps
STARTS = {"fair": 0.0, "uneven": HEAD_START}  # the bias of E1 and E2 before the first step
FARTHER = {"farther": 2 * HEAD_START}  # of a control
DIGITS = {"error": 5, "max_violation": 3, "cv": 3, "dead": 0, "entropy": 3}
CELLS = (("error", 3, 16), ("max_violation", 2, 14), ("dead", 1, 12), ("entropy", 2, 14))  # digits and width in tables
RESULTS = studies.RESULTS / "balancing.json"

METHODS: dict[str, Method] = {
    "none": balancing_runs.METHODS["none"],
    "switch": replace(balancing_runs.METHODS["switch"], coefficients=(0.01, 0.1, 1.0)),
    "importance": replace(balancing_runs.METHODS["importance"], coefficients=(0.1, 1.0)),
    "importance_load": replace(balancing_runs.METHODS["importance_load"], coefficients=(0.01, 0.1)),
    "noise": replace(balancing_runs.METHODS["noise"], coefficients=(1.0, 4.0)),
    "bias": replace(capacity_runs.METHODS["bias"], coefficients=(0.01,)),
    "top_2": balancing_runs.METHODS["top_2"],
    "top_2_b": replace(balancing_runs.METHODS["top_2"], label="top-2, form B", gate="softmax_topk"),
}
"""The methods of the table. The last one tells apart what k = 2 does and what form A does."""

NOISE_ON = replace(METHODS["noise"], label="noise, measured with it on", build=balancing_runs.noise_left_on)

SHOWN = (
    ("none", 0.0), ("switch", 0.1), ("switch", 1.0), ("bias", 0.01), ("importance", 1.0), ("noise", 4.0),
    ("top_2", 0.0), ("top_2_b", 0.0),
)  # fmt: skip
"""The methods and coefficients that the lesson's overview has."""

CHOSEN = {"switch": 0.1, "importance_load": 0.01}


class Setting(NamedTuple):
    """A start, a key of STARTS; a method, a key of METHODS; one of its coefficients; the learning rate."""

    start: str
    method: str
    coefficient: float = 0.0
    rate: float = LEARNING_RATE

    def __str__(self) -> str:
        """Write it as the tables have it, such as "fair: Switch loss, α = 0.1"."""
        method = _method(self.method)
        value = f", {method.symbol} = {self.coefficient:g}" if method.symbol else ""
        return f"{self.start}: {method.label}{value}" + (f", rate {self.rate:g}" if self.rate != LEARNING_RATE else "")


CONTROLS = (
    *(Setting("fair", *arm, rate) for rate in (0.01, 0.02) for arm in (("none", 0.0), ("switch", 0.1))),
    *(Setting("farther", name) for name in ("top_2", "top_2_b")),
    *(Setting("uneven", "noise_on", factor) for factor in METHODS["noise"].coefficients),
    *(Setting("farther", name, rate=0.02) for name in ("top_2", "top_2_b")),
)
"""What is trained beside the table, with the first block of seeds: is it the rate, the head start, the noise that is
off in tests?"""


def settings() -> list[Setting]:
    """Return every start with every method and coefficient, in the order of the table, then the controls."""
    of_table = [Setting(start, name, c) for start in STARTS for name in METHODS for c in METHODS[name].coefficients]
    return [*of_table, *CONTROLS]


def _method(name: str) -> Method:
    """Return a method of the table or of the controls."""
    return (METHODS | {"noise_on": NOISE_ON})[name]


def trained(
    start: str, name: str, seeds: Sequence[int], steps: int = LONG, rate: float = LEARNING_RATE,
    coefficients: Sequence[float] | None = None,
) -> dict[float, Result]:  # fmt: skip
    """Train one method, by default with all its coefficients, from one start; return the results by coefficient."""
    method = replace(_method(name), start=(STARTS | FARTHER)[start])
    found = balancing_runs.run(name, seeds, steps, coefficients, {name: method}, rate)
    return {coefficient: result for (_, coefficient), result in found.items()}


def measured(result: Result, lengths: Iterable[int]) -> dict[str, dict[str, list[float]]]:
    """Return what the file keeps of a result: after each length, the measures of every seed."""
    frames = {length: list(result.steps).index(length) for length in lengths}
    return {
        str(length): {name: getattr(result, name)[at].astype(float).round(DIGITS[name]).tolist() for name in MEASURES}
        for length, at in frames.items()
    }


def block_of(job: tuple[str, str, Sequence[int]]) -> list[dict[str, Any]]:
    """Train one start and method with a block of seeds; return a row for each coefficient."""
    start, name, seeds = job
    rows = trained(start, name, seeds).items()
    return [Setting(start, name, c)._asdict() | {"seeds": [*seeds]} | measured(result, LENGTHS) for c, result in rows]


def control_of(setting: Setting, seeds: Sequence[int] = SEEDS[:BLOCK]) -> list[dict[str, Any]]:
    """Train one control; return its row."""
    start, name, coefficient, rate = setting
    result = trained(start, name, seeds, rate=rate, coefficients=(coefficient,))[coefficient]
    return [setting._asdict() | {"seeds": [*seeds]} | measured(result, LENGTHS)]


def jobs() -> Iterator[tuple[str, str, Sequence[int]]]:
    """Yield every block of seeds with every start and method."""
    for first in range(0, len(SEEDS), BLOCK):
        for start in STARTS:
            for name in METHODS:
                yield start, name, SEEDS[first : first + BLOCK]


def joined(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as of `block_of` with the blocks of each setting put together, in the order of `settings`."""
    found: dict[Setting, dict[str, Any]] = {}
    for row in rows:
        setting = Setting(*(row[field] for field in Setting._fields))
        whole = found.setdefault(setting, setting._asdict() | {"seeds": []} | {str(n): {} for n in LENGTHS})
        whole["seeds"] += row["seeds"]
        for length in map(str, LENGTHS):
            for name, values in row[length].items():
                whole[length].setdefault(name, []).extend(values)
    return [found[setting] for setting in settings() if setting in found]


def choose() -> None:
    """Print the task errors and MaxVio that the coefficients were chosen by: seeds 0 to 4, uneven start, 300 steps."""
    for name in METHODS:
        for result in trained("uneven", name, CHOOSING, SHORT).values():
            print(f"{result.setting:<32} {mean_sd(result.error[-1], 3)}  {mean_sd(result.max_violation[-1], 2)}")


# --- reading ------------------------------------------------------------------------------------------------------


def load_results() -> dict[str, Any]:
    """Return the results that ship with the course: settings, versions, and a row for each setting."""
    return studies.read(RESULTS)


def values(study: dict[str, Any], setting: Setting, steps: int, measure: str = "error") -> np.ndarray:
    """Return a measure of one setting after `steps`, seed by seed (S,). Raises KeyError for what the study has not."""
    for row in study["rows"]:
        if tuple(row[field] for field in Setting._fields) == tuple(setting):
            return np.array(row[str(steps)][measure])
    raise KeyError(setting)


class Gap(NamedTuple):
    """A paired difference: its mean with its 95 % interval (Student's t), and in how many of S seeds it is below 0."""

    mean: float
    low: float
    high: float
    smaller: int
    seeds: int

    def __str__(self) -> str:
        """Write it in a line."""
        return (
            f"{self.mean:+.3f}  [{self.low:+.3f}, {self.high:+.3f}]   smaller in {self.smaller} of {self.seeds} seeds"
        )


def gap(study: dict[str, Any], left: Setting, right: Setting, steps: int, measure: str = "error") -> Gap:
    """Return by how much a measure of `left` is above that of `right`, seed by seed."""
    return gap_of(values(study, left, steps, measure) - values(study, right, steps, measure))


def gap_of(difference: np.ndarray) -> Gap:
    """Return the mean of differences (S,), at least two, with its interval."""
    low, high = studies.interval(difference)
    return Gap(float(difference.mean()), low, high, int((difference < 0).sum()), difference.size)


def table(study: dict[str, Any], steps: int, start: str) -> str:
    """Return a line for each method from one start: mean ± standard deviation over seeds, and how many collapsed."""
    heads = f"{'task error':>16}{'MaxVio':>14}{'dead':>12}{'entropy':>14}{'collapsed':>12}"
    lines = [f"{f'{start} start, {steps:,} steps':<30}{heads}"]
    for setting in settings():
        if setting.start == start and setting not in CONTROLS:
            cell = partial(values, study, setting, steps)
            cells = [mean_sd(cell(name), digits).rjust(width) for name, digits, width in CELLS]
            collapsed = f"{(cell('cv') >= 1).sum():>9} of {cell('cv').size}"
            lines.append(f"{str(setting).partition(': ')[2]:<30}" + "".join(cells) + collapsed)
    return "\n".join(lines)


def overview(study: dict[str, Any], start: str, shown: Sequence[tuple[str, float]] = SHOWN) -> str:
    """Return a line for each method and coefficient of `shown`, from one start: the means after both lengths."""
    heads = "".join(f"{head:>16}" for head in ("task error", "MaxVio", "dead", "collapsed", "entropy"))
    lines = [f"{f'{start} start, {SHORT} → {LONG:,} steps':<32}{heads}"]
    for name, coefficient in shown:
        setting = Setting(start, name, coefficient)
        cells = [_both(study, setting, measure, digits) for measure, digits, _ in CELLS]
        collapsed = [values(study, setting, steps, "cv") >= 1 for steps in LENGTHS]  # (S,) each
        cells.insert(3, " → ".join(str(c.sum()) for c in collapsed) + f" of {collapsed[0].size}")
        lines.append(f"{str(setting).partition(': ')[2]:<32}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


def _both(study: dict[str, Any], setting: Setting, measure: str, digits: int) -> str:
    """Write the mean of a measure after both lengths."""
    return " → ".join(f"{values(study, setting, steps, measure).mean():.{digits}f}" for steps in LENGTHS)


def save(rows: Sequence[dict[str, Any]]) -> None:
    """Write the results file, one line a setting."""
    settings = {"seeds": [*SEEDS], "lengths": LENGTHS, "starts": STARTS, "chosen": CHOSEN}
    studies.write(RESULTS, settings, "rows", rows)


def main() -> None:
    """Run everything and write the results file."""
    found: list[dict[str, Any]] = []
    with studies.workers() as pool:
        for rows in chain(pool.map(block_of, jobs()), pool.map(control_of, CONTROLS)):
            found += rows
            print(json.dumps(rows), file=sys.stderr, flush=True)
    save(joined(found))


if __name__ == "__main__":
    main()
