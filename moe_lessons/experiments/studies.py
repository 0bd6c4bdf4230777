"""What the studies share: a file of results with a line for each run, processes for the runs, an interval."""

import json
import multiprocessing
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

from moe_lessons.support.storage import write_atomically
from moe_lessons.support.validation import refuse

RESULTS = Path(__file__).parent / "results"


def read(path: Path) -> dict[str, Any]:
    """Return what `write` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, settings: Mapping[str, Any], name: str, rows: Iterable[Any], **more: Any) -> None:
    """Write settings, the versions of Python and torch, what else there is, and under `name` one line a row."""
    versions = {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}
    head = json.dumps({"settings": settings, "versions": versions, **more})[:-1]
    lines = ",\n".join(map(json.dumps, rows))
    write_atomically(path, f'{head}, "{name}": [\n{lines}\n]}}\n'.encode())


def workers() -> ProcessPoolExecutor:
    """Return processes, one for each core, that start afresh: a forked torch may hang in its threads."""
    return ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))


def interval(differences: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Return the 95 % t-interval of the mean of differences, seed by seed (S,), of at least two seeds."""
    d = np.asarray(differences, dtype=float)  # (S,)
    reach = scipy.stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5
    return float(d.mean() - reach), float(d.mean() + reach)


# --- a study that may be interrupted ------------------------------------------------------------------------------


def resumed(
    part: Path, settings: Mapping[str, Any], jobs: Sequence[Any], run: Callable[[Any], dict[str, Any]], pool: Executor
) -> Iterator[dict[str, Any]]:
    """Yield the rows of all jobs: those that an interrupted study left in the file `part`, then those that are missing.

    jobs: named tuples, whose fields are in the row that `run` makes of them. Each row is written as it is finished.
    Raises ValueError for a file that was begun with other settings.
    """
    done = finished(part, settings)
    yield from done
    rest = missing(jobs, done)
    with part.open("a", encoding="utf-8") as file:
        for future in as_completed([pool.submit(run, job) for job in rest]):
            row = future.result()
            file.write(json.dumps(row) + "\n")
            file.flush()
            yield row


def finished(part: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows in a file as of `resumed`, which is begun with its settings if it is not there.

    A last line that is cut off is taken out: whoever was interrupted while writing begins that job again.
    """
    head = json.dumps(settings)
    whole = part.read_text(encoding="utf-8").rpartition("\n")[0].splitlines() if part.exists() else []
    if whole and whole[0] != head:
        raise refuse("settings", settings, f"those that {part.name} was begun with; remove it to begin anew")
    write_atomically(part, ("\n".join(whole or [head]) + "\n").encode())
    return [json.loads(line) for line in whole[1:]]


def missing(jobs: Iterable[Any], rows: Iterable[dict[str, Any]]) -> list[Any]:
    """Return the jobs that none of the rows is of."""
    done = list(rows)
    return [job for job in jobs if not any(json.loads(json.dumps(job._asdict())).items() <= r.items() for r in done)]
