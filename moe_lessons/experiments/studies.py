"""What the studies share: a file of results with a line for each run, processes for the runs, an interval."""

import json
import multiprocessing
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

from moe_lessons.support.storage import write_atomically

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
