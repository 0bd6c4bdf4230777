"""Seven measures of a log, the range of the healthy runs, and where a case lies: what the questions of 11p share."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from moe_lessons.experiments.case_files import Kind, healthy_logs, kind_of, open_log
from moe_lessons.metrics import max_violation

LATE = 10  # frames at the end, over which a measure is taken
ROOM = 0.02  # a range is widened by its own width, and by this at least
HARDLY = 0.1  # nats: a router that hears the task loses several times as much
PLACES = ("lower", "as healthy", "higher")

Log = dict[str, Any]
Measured = dict[str, float]


def max_vio(log: Log, late: int = LATE) -> float:
    """Return MaxVio of each late frame and layer, then the mean."""
    return float(np.mean(max_violation(log["counts"][-late:])))


def pooled_max_vio(log: Log, late: int = LATE) -> float:
    """Return MaxVio of the loads of all layers, added expert by expert, in each late frame, then the mean."""
    return float(np.mean(max_violation(log["counts"][-late:].sum(axis=1))))


def counted(log: Log, late: int = LATE) -> float:
    """Return how many tokens a layer counts for each real one, in each late frame and layer, then the mean."""
    return float((log["counts"][-late:].sum(axis=-1) / log["real"][-late:, None]).mean())


def entropy_lost(log: Log, late: int = LATE) -> float:
    """Return the entropy of the first frame less that of the late ones, mean over layers, in nats."""
    return float(log["entropy"][0].mean() - log["entropy"][-late:].mean())


def bias_path(log: Log, late: int = LATE) -> float:
    """Return how far a bias went in the late steps from frame to frame, to and fro; mean over experts and layers."""
    return float(np.abs(np.diff(log["bias"][-late - 1 :], axis=0)).sum(axis=0).mean())


def gain(log: Log, late: int = LATE) -> float:
    """Return by what share the test error is lower than the training error, means over the late frames."""
    return float(1 - log["test error"][-late:].mean() / log["training error"][-late:].mean())


def hidden_loss(log: Log, late: int = LATE) -> float:
    """Return the mean balance loss of the layers, each computed alone, less the logged one; mean over the late frames."""
    return float((alone(log, late).mean(axis=-1) - log["balance"][-late:]).mean())


def alone(log: Log, late: int = LATE) -> np.ndarray:
    """Return N Σ f_i P_i of each late frame and layer (late, layers)."""
    counts, P = log["counts"][-late:], log["P"][-late:]  # (late, layers, N) each
    f = counts / counts.sum(axis=-1, keepdims=True)  # (late, layers, N)
    return counts.shape[-1] * (f * P).sum(axis=-1)


MEASURES: dict[str, Callable[..., float]] = {
    "MaxVio": max_vio,
    "pooled MaxVio": pooled_max_vio,
    "counted": counted,
    "entropy lost": entropy_lost,
    "bias path": bias_path,
    "gain": gain,
    "hidden loss": hidden_loss,
}
# What a fault does to a measure by itself, where the layers lean differently and there are noise and padding.
SIGNS = {
    "renormalised k = 1": ("entropy lost", "lower"),
    "pooled loss": ("hidden loss", "higher"),
    "noise left on": ("gain", "lower"),
    "frozen bias": ("bias path", "lower"),
    "mask lost": ("counted", "higher"),
}


def measured(log: Log) -> Measured:
    """Return all measures of a log."""
    return {name: measure(log) for name, measure in MEASURES.items()}


@cache
def of_case(case: int) -> Measured:
    """Return the measures of a case."""
    return measured(open_log(case))


def ranges(rows: Sequence[Measured]) -> dict[str, tuple[float, float]]:
    """Return the lowest and the highest value of each measure among these rows."""
    return {name: (min(row[name] for row in rows), max(row[name] for row in rows)) for name in MEASURES}


@cache
def healthy_rows(balanced_by: str) -> tuple[Measured, ...]:
    """Return the measures of the healthy runs with this recipe."""
    return tuple(map(measured, healthy_logs(balanced_by)))


@cache
def healthy(balanced_by: str) -> dict[str, tuple[float, float]]:
    """Return the lowest and the highest value of each measure among the healthy runs with this recipe."""
    return ranges(healthy_rows(balanced_by))


def usual_room(width: float) -> float:
    """Return by how much a value must be outside of a range of this width: by more than that, and than ROOM."""
    return max(width, ROOM)


def place(value: float, low: float, high: float, room: Callable[[float], float] = usual_room) -> str:
    """Say where a value lies: "higher" or "lower" only if it is outside by more than the room for this range."""
    wide = room(high - low)
    return PLACES[1 + (value > high + wide) - (value < low - wide)]


def places(found: Measured, balanced_by: str) -> dict[str, str]:
    """Return where each measure of a run lies."""
    return {name: place(value, *healthy(balanced_by)[name]) for name, value in found.items()}


def apart(case: int) -> dict[str, str]:
    """Return where each measure of a case lies, beside the healthy runs with its recipe."""
    return places(of_case(case), kind_of(case).balanced_by)


def diagnosed(found: Measured, balanced_by: str) -> str | None:
    """Return the fault that the measures of a run show, or None.

    First the three that are exact: a count, a recomputed loss, a bias that goes no way. Then the two that are judged
    beside healthy runs: a router that grew no surer, and a gain that is gone.
    """
    shows = {
        "mask lost": found["counted"] > 1 + ROOM,
        "pooled loss": found["hidden loss"] > ROOM,
        "frozen bias": balanced_by == "bias" and found["bias path"] == 0,
        "renormalised k = 1": found["entropy lost"] < HARDLY,
        "noise left on": place(found["gain"], *healthy(balanced_by)["gain"]) == "lower",
    }
    return next((fault for fault, shown in shows.items() if shown), None)


def kind_shown(log: Log) -> Kind:
    """Return the kind of a run as its log shows it."""
    return Kind(log["balanced by"], diagnosed(measured(log), log["balanced by"]))
