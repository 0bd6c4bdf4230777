"""What it costs to run a trained layer in another gate form than the one it was trained with.

`python -m moe_lessons.experiments.changed_form` trains layers in form A and in form B on the task of lesson 08, tests
each in both forms, and writes results/changed_form.json: about a minute of computing. Lesson 04 shows that file, and
does without torch, so this module imports torch only to train.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moe_lessons.support.storage import write_atomically

FORMS = {"A": "topk_softmax", "B": "softmax_topk"}
LENGTHS = (400, 1200)  # steps
SEEDS = range(20, 30)  # nothing in the course was chosen on them
RESULTS = Path(__file__).parent / "results" / "changed_form.json"


def changed(form: str, steps: int, seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """Train a layer for each seed in a form, a key of FORMS (8 experts, k = 2, as `router_training.regression_runs`).

    Returns a dict for each form that the layers are then run in. "plain", "scaled": test errors of the seeds, as shares
    of the target's variance, as the output is and times the constant that is best on the training tokens.
    """
    from moe_lessons.data import clustered_regression
    from moe_lessons.experiments.core import batches, drawn, tensors, trained
    from moe_lessons.experiments.router_training import CLUSTERS, EXPERTS, SIZE
    from moe_lessons.experiments.side_by_side import SideBySide
    from moe_lessons.layer import MoELayer

    tasks = [clustered_regression(T=8192, d=SIZE, clusters=CLUSTERS, seed=seed) for seed in seeds]
    known, fresh = (_stacked([tensors(task[part]) for task in tasks]) for part in (0, 1))
    layers = SideBySide([drawn(seed, MoELayer, SIZE, SIZE, EXPERTS, 2, FORMS[form]) for seed in seeds])
    trained(layers, batches(*known), _losses, steps, lr=5e-3)
    return [{"trained": form, "run": run, "steps": steps} | _errors(layers, run, known, fresh) for run in FORMS]


def _stacked(parts: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Return the tokens and targets (R, T, d) of R tasks."""
    import torch

    x, y = zip(*parts, strict=True)
    return torch.stack(x), torch.stack(y)


def _output(layers: Any, x: Any) -> Any:
    """Route and run tokens x (R, T, d). Returns (R, T, d)."""
    return layers(x, layers.decide(layers.logits(x)))


def _losses(layers: Any, batch: tuple[Any, Any]) -> dict[str, Any]:
    """Return the sum of the layers' mean squared errors: no layer feels how many others there are."""
    return {"loss": (_output(layers, batch[0]) - batch[1]).square().mean(dim=(1, 2)).sum()}


def _errors(layers: Any, run: str, known: tuple[Any, Any], fresh: tuple[Any, Any]) -> dict[str, list[float]]:
    """Return the layers' errors on fresh tokens in a form, without and with the constant that is best on known ones."""
    layers.gate = FORMS[run]
    seen, out = (_output(layers, part[0]).detach().double().numpy() for part in (known, fresh))  # (R, T, d) each
    target = fresh[1].double().numpy()  # (R, T, d)
    best = np.einsum("rtd,rtd->r", seen, known[1].numpy()) / np.einsum("rtd,rtd->r", seen, seen)  # (R,)
    scaled = best[:, None, None] * out  # (R, T, d)
    return {
        name: (np.square(y - target).mean(axis=(1, 2)) / target.var(axis=(1, 2))).round(5).tolist()
        for name, y in (("plain", out), ("scaled", scaled))
    }


def load_results() -> list[dict[str, Any]]:
    """Return the results that ship with the course, a dict as of `changed` for each form, length and form run in."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def main() -> None:
    """Run everything and write the results file, one line a row."""
    rows = [row for steps in LENGTHS for form in FORMS for row in changed(form, steps)]
    write_atomically(RESULTS, ("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n").encode())


if __name__ == "__main__":
    main()
