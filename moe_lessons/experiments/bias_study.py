"""The updates of a bias, and the Switch loss, with coefficients chosen on seeds of their own (lessons 10 and 10b).

`python -m moe_lessons.experiments.bias_study` trains the layers of `balancing_runs` with every coefficient on the
seeds that choose, then with the chosen ones on the seeds that are reported: from a fair and from an uneven start, read
after 300 and after 1,200 steps. It writes results/bias.json: seven minutes of computing, shared out among the cores.
A coefficient is chosen for each method, start and length: the one with the lowest mean error.

Three things beside that. "unequal": a fair start, in a task whose n-th cluster comes as often as 1/n, with the
coefficients that are chosen where all come alike, and with smaller ones. Further seeds, for the shorter length, where
twelve cannot tell. And "faster": is it the learning rate that lets a capacity soften a collapse?
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.experiments import balancing_runs, capacity_runs, studies
from moe_lessons.experiments.core import mean_sd

LENGTHS = (300, 1200)  # steps: the long run is the short one, continued
STARTS = {"fair": 0.0, "uneven": balancing_runs.HEAD_START}
CHOOSING, SEEDS = tuple(range(5)), tuple(range(10, 22))
GRIDS = {
    "switch": (0.01, 0.03, 0.1, 0.3),
    **{name: capacity_runs.METHODS[name].coefficients for name in ("bias", "tanh", "quantile")},
}
FIXED = {"none": (0.0,), "capacity": (1.0,), "capacity_in_training": (1.0,)}
ALSO = {"bias": (0.001, 0.1), "tanh": (0.1,), "quantile": (0.0,)}  # also where others are chosen
WEAKER = {"switch": (0.01,), "bias": (0.003,)}  # also, where the clusters are not equally frequent
UNEQUAL, POWER = "unequal", 1.0  # a third start: a fair one, where the clusters are not equally frequent
OF_UNEQUAL = ("none", "switch", "bias")
FURTHER_SEEDS = tuple(range(50, 80))
FURTHER = (("fair", "none"), ("fair", "switch"), ("fair", "bias"),
           ("uneven", "none"), ("uneven", "capacity_in_training"), ("uneven", "random_drops"))  # fmt: skip
FASTER_RATE, FASTER_SEEDS = 0.02, tuple(range(50, 70))  # four times the usual rate
FASTER = (("uneven", "none"), ("uneven", "capacity_in_training"))
METHODS = balancing_runs.METHODS | capacity_runs.METHODS
HEADS = {"error": "task error", "max_violation": "MaxVio", "cv": "CV", "dead": "dead experts"}
MEASURES = ("error", "max_violation", "dead")
WITH_CV = (*FIXED, "random_drops")  # also the CV: of these lesson 10 asks whether their load has collapsed
RESULTS = studies.RESULTS / "bias.json"


class Trial(NamedTuple):
    """A method with its coefficients from one start; chooses: on the seeds that choose, not on those reported."""

    start: str
    method: str
    coefficients: tuple[float, ...]
    chooses: bool
    further: bool = False  # on the further seeds, after the shorter length alone
    faster: bool = False  # at the higher rate


def choosing() -> list[Trial]:
    """Return the trials that choose: every tuned method with its whole grid, from each start."""
    return [Trial(start, name, grid, True) for start, (name, grid) in product(STARTS, GRIDS.items())]


def reported(rows: Iterable[dict[str, Any]]) -> list[Trial]:
    """Return the trials that are reported, with what the rows of the first ones choose."""
    rows = list(rows)
    pairs = (*product(STARTS, FIXED | GRIDS), *((UNEQUAL, name) for name in OF_UNEQUAL))
    also = dict.fromkeys(STARTS, ALSO) | {UNEQUAL: WEAKER}
    return [Trial(start, name, tuple(sorted({*(chosen(rows, start, name, length) for length in LENGTHS),
                                             *also.get(start, {}).get(name, ())})), False)
            for start, name in pairs]  # fmt: skip


def further(rows: Iterable[dict[str, Any]]) -> list[Trial]:
    """Return the trials on the further seeds, with what the rows of the choosing ones choose."""
    rows = list(rows)
    return [Trial(start, name, (chosen(rows, start, name, LENGTHS[0]),), False, True) for start, name in FURTHER]


def faster() -> list[Trial]:
    """Return the trials at the higher rate."""
    return [Trial(start, name, METHODS[name].coefficients[:1], False, faster=True) for start, name in FASTER]


def tried(trial: Trial, seeds: Sequence[int] = (), lengths: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Train a trial, and return for each coefficient its settings and, by measure and length, a number for each seed.

    seeds, lengths: by default those that the trial is for. Each length must be a measurement of the longest.
    """
    power = POWER if trial.start == UNEQUAL else 0.0
    methods = {trial.method: replace(METHODS[trial.method], power=power, start=STARTS.get(trial.start, 0.0))}
    usual = FURTHER_SEEDS if trial.further else FASTER_SEEDS if trial.faster else SEEDS
    seeds = seeds or (CHOOSING if trial.chooses else usual)
    lengths = lengths or (LENGTHS[:1] if trial.further else LENGTHS)
    rate = FASTER_RATE if trial.faster else balancing_runs.LEARNING_RATE
    found = balancing_runs.run(trial.method, seeds, max(lengths), trial.coefficients, methods, rate)
    head = {"start": trial.start, "method": trial.method, "chooses": trial.chooses}
    names = measures(trial.method)
    return [head | {"coefficient": value} | _read(result, lengths, names) for (_, value), result in found.items()]


def measures(method: str) -> tuple[str, ...]:
    """Return what is read of a method's layers."""
    return MEASURES + ("cv",) * (method in WITH_CV)


def _read(result: balancing_runs.Result, lengths: Sequence[int], names: Iterable[str]) -> dict[str, Any]:
    """Read these measures of every seed at these lengths."""
    at = {str(length): list(result.steps).index(length) for length in lengths}
    return {name: {length: getattr(result, name)[frame].astype(float).round(4).tolist() for length, frame in at.items()}
            for name in names}  # fmt: skip


# --- reading them -------------------------------------------------------------------------------------------------


def best(rows: Iterable[dict[str, Any]], start: str, method: str, length: int) -> float:
    """Return the coefficient that the choosing seeds choose: the one with the lowest mean error."""
    tried = [row for row in rows if row["chooses"] and (row["start"], row["method"]) == (start, method)]
    return min(tried, key=lambda row: fmean(row["error"][str(length)]))["coefficient"]


def chosen(rows: Iterable[dict[str, Any]], start: str, method: str, length: int) -> float:
    """Return the coefficient with which a method is reported: of unequal clusters that of the fair start."""
    if method not in GRIDS:
        return METHODS[method].coefficients[0]
    return best(rows, "fair" if start == UNEQUAL else start, method, length)


def at_ends(study: dict[str, Any]) -> list[str]:
    """Name each chosen coefficient that is the lowest or the highest of those that were tried."""
    picked = {case: best(study["trials"], *case) for case in product(STARTS, GRIDS, LENGTHS)}
    ends = {case: value for case, value in picked.items() if value in (min(GRIDS[case[1]]), max(GRIDS[case[1]]))}
    return [f"{METHODS[name].label}, {start}, {length:,} steps: {METHODS[name].symbol} {value:g}"
            for (start, name, length), value in ends.items()]  # fmt: skip


def values(study: dict[str, Any], measure: str, start: str, length: int, method: str,
           coefficient: float | None = None, part: str = "trials") -> np.ndarray:  # fmt: skip
    """Return a measure of the reported seeds (S,), of the coefficient that was chosen for this start and length.

    coefficient: another one, for methods that are not tuned or are reported with more than the chosen one.
    part: "further" for the further seeds, "faster" for the higher rate.
    """
    if coefficient is None:
        coefficient = chosen(study["trials"], start, method, length)
    wanted = (start, method, coefficient, False)
    (row,) = (r for r in study[part] if (r["start"], r["method"], r["coefficient"], r["chooses"]) == wanted)
    return np.array(row[measure][str(length)])


def by_row(study: dict[str, Any], measure: str = "error", methods: Sequence[tuple[str, float | None]] = (),
           starts: Sequence[str] = tuple(STARTS)) -> dict[str, list[np.ndarray]]:  # fmt: skip
    """Return what `table` shows, seed by seed: from the name of a row to the values (S,) after each length."""
    rows: list[tuple[str, float | None]] = [("none", None), *(methods or ((name, None) for name in GRIDS))]
    shown = {(name, value): "" if value is None else f", {METHODS[name].symbol} = {value:g}" for name, value in rows}
    return {
        f"{start}: {METHODS[name].label}{said}": [values(study, measure, start, n, name, value) for n in LENGTHS]
        for start, ((name, value), said) in product(starts, shown.items())
    }


def table(study: dict[str, Any], measure: str = "error", methods: Sequence[tuple[str, float | None]] = (),
          starts: Sequence[str] = tuple(STARTS)) -> str:  # fmt: skip
    """Return a measure as text: a row for each start and method, a column for each length.

    A cell is mean ± standard deviation over the reported seeds, the coefficient, and in how many seeds it is below no
    balancing. methods: with coefficients, None for the chosen one; by default all that are tuned.
    """
    rows: list[tuple[str, float | None]] = [("none", None), *(methods or ((name, None) for name in GRIDS))]
    lines = [f"{'':<32}" + "".join(f"{f'{length:,} steps':<32}" for length in LENGTHS)]
    for start, (name, value) in product(starts, rows):
        head = f"{start if name == 'none' else '':<8}{METHODS[name].label:<24}"
        lines.append(head + "".join(_cell(study, measure, start, length, name, value) for length in LENGTHS))
    return "\n".join(line.rstrip() for line in lines)


def _cell(study: dict[str, Any], measure: str, start: str, length: int, method: str, value: float | None) -> str:
    """Write one cell of the table."""
    found = values(study, measure, start, length, method, value)
    text = mean_sd(found, 3 if measure == "error" else 2)
    if method == "none":
        return text.ljust(32)
    shown = chosen(study["trials"], start, method, length) if value is None else value
    wins = int((found < values(study, measure, start, length, "none")).sum())
    return f"{text}  {f'{METHODS[method].symbol} {shown:g}':<11}{wins:>2}".ljust(32)


def further_table(study: dict[str, Any], start: str) -> str:
    """Return what the further seeds show from one start: a row for each method, a column for each measure.

    A cell is mean ± standard deviation over these seeds, and in how many of them it is below no balancing. The CV is
    there if all methods have it.
    """
    names, length = [name for begun, name in FURTHER if begun == start], LENGTHS[0]
    shared = [name for name in HEADS if all(name in measures(method) for method in names)]
    lines = [" " * 36 + "".join(f"{HEADS[name]:<20}" for name in shared).rstrip()]
    for name in names:
        value = chosen(study["trials"], start, name, length)
        setting = f"{METHODS[name].symbol} {value:g}" if METHODS[name].symbol else ""
        cells = "".join(f"{_of_further(study, measure, start, name):<20}" for measure in shared)
        lines.append(f"{METHODS[name].label:<25}{setting:<11}{cells}".rstrip())
    return "\n".join(lines)


def _of_further(study: dict[str, Any], measure: str, start: str, method: str) -> str:
    """Write one cell of the table of the further seeds."""
    found, none = (values(study, measure, start, LENGTHS[0], name, part="further") for name in (method, "none"))
    wins = "" if method == "none" else f"{int((found < none).sum()):>4}"
    return mean_sd(found, 3 if measure == "error" else 2) + wins


def load_results() -> dict[str, Any]:
    """Return the results that ship with the course: settings, versions, and a dict as of `tried` for each trial."""
    return studies.read(RESULTS)


def save(rows: Sequence[dict[str, Any]], **more: Sequence[dict[str, Any]]) -> None:
    """Write the results file, one line a row. more: the rows of the parts `further` and `faster`."""
    settings = {"lengths": LENGTHS, "starts": STARTS, "choosing": CHOOSING, "seeds": SEEDS, "power": POWER,
                "further seeds": FURTHER_SEEDS, "faster rate": FASTER_RATE, "faster seeds": FASTER_SEEDS}  # fmt: skip
    studies.write(RESULTS, settings, "trials", rows, **more)


def main() -> None:
    """Run everything and write the results file."""
    rows: list[dict[str, Any]] = []
    with studies.workers() as pool:
        for found in pool.map(tried, choosing()):
            rows += found
        for found in pool.map(tried, reported(rows)):
            rows += found
        parts = {name: [row for found in pool.map(tried, trials) for row in found]
                 for name, trials in (("further", further(rows)), ("faster", faster()))}  # fmt: skip
    save(rows, **parts)


if __name__ == "__main__":
    main()
