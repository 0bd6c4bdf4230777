"""The case files of the closing project: logs and checkpoints of training runs, as plain arrays. numpy.

There are CASES open cases, each with one of FAULTS, and HEALTHY sound runs for each recipe; `faulty_runs` trains and
writes them. Which fault a case has stands in no file: `kind_of` decides it by dealing the kinds out.
Letters: F frames of a log, N experts, d width.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.support.validation import one_of, whole_number

RESULTS = Path(__file__).parent / "results" / "faulty_runs.npz"
FAULTS = ("renormalised k = 1", "pooled loss", "noise left on", "frozen bias", "mask lost")
RECIPES = ("loss", "bias")
ANEW = ("unsure", "sure")  # routers, where the weights of a program are drawn anew
WEIGHTS = ("trained", *ANEW)
LAYERS, N, PLACES = 2, 6, 12
STEPS, EVERY = 400, 20
CASES, HEALTHY = 20, 8  # open cases; sound runs of each recipe
LOGGED = ("step", "real", "counts", "P", "entropy", "balance", "bias", "training error", "test error")
KEPT = ("W_g", "W1", "W2", "bias")  # of a checkpoint


class Kind(NamedTuple):
    """How a run is balanced, by a "loss" or a "bias", and its fault, if it has one."""

    balanced_by: str
    fault: str | None = None


SOUND = tuple(Kind(recipe) for recipe in RECIPES)
FAULTY = tuple(
    Kind(recipe, fault)
    for fault in FAULTS
    for recipe in {"pooled loss": ("loss",), "frozen bias": ("bias",)}.get(fault, RECIPES)
)


@cache
def kinds() -> tuple[Kind, ...]:
    """Return the kinds of the open cases, case 1 first: each fault four times."""
    dealt: list[Kind] = []
    for fault in FAULTS:
        of_fault = [kind for kind in FAULTY if kind.fault == fault]
        dealt += of_fault * (CASES // len(FAULTS) // len(of_fault))
    return tuple(dealt[i] for i in np.random.default_rng(11).permutation(CASES))


def kind_of(case: int) -> Kind:
    """Return what kind of run a case is. Raises ValueError for another number than 1 to CASES."""
    return kinds()[whole_number("case", case, least=1, most=CASES) - 1]


def runs() -> list[Kind]:
    """Return the kinds of all runs in the file: the open cases, HEALTHY sound ones of each recipe, and one of each kind
    that no case opens."""
    return [*kinds(), *(kind for kind in SOUND for _ in range(HEALTHY)), *SOUND, *FAULTY]


@cache
def _file() -> dict[str, np.ndarray]:
    with np.load(RESULTS) as file:
        return {name: file[name] for name in file.files}


def log_of(run: int) -> dict[str, Any]:
    """Return the log of a run of `runs()`, its arrays as floats or whole numbers."""
    arrays = {name: _file()[f"log {name}"][run] for name in LOGGED if name != "step"}
    arrays = {name: a.astype(np.int64 if a.dtype.kind == "i" else np.float64) for name, a in arrays.items()}
    return {"balanced by": runs()[run].balanced_by, "step": np.arange(0, STEPS + 1, EVERY), **arrays}


def checkpoint_of(run: int) -> dict[str, np.ndarray]:
    """Return the weights of a run of `runs()`: W_g (layers, d, N), W1 (layers, N, d, d_ff), W2 (layers, N, d_ff, d),
    bias (layers, N)."""
    return {name: _file()[name][run].astype(np.float32) for name in KEPT}


def open_log(case: int) -> dict[str, Any]:
    """Return the log of a case, a frame every EVERY steps. Raises ValueError for another number than 1 to CASES.

    "balanced by": "loss" or "bias". "step" (F,). "real" (F,): real tokens in the batch of that step. "counts"
    (F, layers, N): the load as the run counted it. "P" (F, layers, N): mean probabilities. "entropy" (F, layers), in
    nats. "balance" (F,): the balance loss, which a run with a bias computes, too. "bias" (F, layers, N). "training
    error" (F,): the mean since the last frame. "test error" (F,): on the same held-out tokens, in evaluation.
    """
    return log_of(whole_number("case", case, least=1, most=CASES) - 1)


def healthy_logs(balanced_by: str) -> list[dict[str, Any]]:
    """Return the logs of HEALTHY sound runs with this recipe, "loss" or "bias"."""
    first = CASES + HEALTHY * RECIPES.index(one_of("balanced_by", balanced_by, RECIPES))
    return [log_of(run) for run in range(first, first + HEALTHY)]


def held_back() -> list[tuple[Kind, dict[str, np.ndarray]]]:
    """Return kind and checkpoint of the runs that no case opens: two sound ones, and one of each kind with a fault."""
    first = len(runs()) - len(SOUND) - len(FAULTY)
    return [(runs()[run], checkpoint_of(run)) for run in range(first, len(runs()))]


def key() -> str:
    """Return which fault each case has, for teachers, a line for each."""
    return "\n".join(f"case {case:>2}: {kind_of(case).fault}" for case in range(1, CASES + 1))
