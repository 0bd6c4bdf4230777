"""What the experiments share: seeded draws, batches, one way to train to the end, histories, and tables of results.

Letters: T tokens, d width, R runs side by side, B tokens in a batch, F measurements, S seeds.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from moe_lessons.data import Regression
from moe_lessons.support.validation import whole_number
from moe_lessons.training import History, Losses, train

BATCH = 256  # tokens in a training step
Made = TypeVar("Made")

# --- what a seed decides ------------------------------------------------------------------------------------------


def drawn(seed: int, make: Callable[..., Made], *sizes: Any, **options: Any) -> Made:
    """Return make(*sizes, **options), say a layer: `seed` decides its weights, the caller's random numbers stay."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(*sizes, **options)


@lru_cache(maxsize=4096)
def rows_of_step(step: int, T: int) -> Tensor:
    """Draw which of T tokens are in the batch of a step (B,): the same ones whenever, and wherever, it is taken."""
    return torch.randint(T, (BATCH,), generator=torch.Generator().manual_seed(step))


# --- a task -------------------------------------------------------------------------------------------------------


def tensors(part: Regression) -> tuple[Tensor, Tensor]:
    """Return tokens and targets in single precision. (T, d) each."""
    return torch.tensor(part.x, dtype=torch.float32), torch.tensor(part.y, dtype=torch.float32)


def batches(
    x: Tensor, y: Tensor, rows: Callable[[int], Tensor] | None = None
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return a function from a step to its batch.

    x: (T, d), or (R, T, d) for R tasks, of which each gives the same rows. y: what goes with them, (T, …) or (R, T, …).
    rows: from a step to its rows (B,); by default those of `rows_of_step`.
    """
    tokens = x.ndim - 2  # the axis of the tokens
    rows = rows or partial(rows_of_step, T=x.shape[tokens])

    def batch(step: int) -> tuple[Tensor, Tensor]:
        chosen = rows(step)  # (B,)
        return x.index_select(tokens, chosen), y.index_select(tokens, chosen)

    return batch


def squared_error(layer: nn.Module, batch: tuple[Tensor, Tensor]) -> Losses:
    """Return the task loss of a batch, tokens x (B, d) and targets (B, d): the mean squared error."""
    x, target = batch
    return {"loss": (layer(x) - target).square().mean()}


# --- training -----------------------------------------------------------------------------------------------------


def trained(
    model: nn.Module, batch: Callable[[int], Any], losses: Callable[[Any, Any], Losses], steps: int, **options: Any
) -> History:
    """Train as `training.train`, which takes the options, to the end and by default without a bar.

    Raises ValueError for steps below 1 and for what `train` refuses; KeyboardInterrupt as `to_the_end`.
    """
    whole_number("steps", steps, least=1, most=10**6)
    return to_the_end(train(model, batch, losses, steps, **{"record_every": steps, "progress": False} | options))


def to_the_end(history: History) -> History:
    """Return the history of a run that went to its end.

    Half an experiment is no result: raises KeyboardInterrupt where `train` was stopped by hand and kept what there was.
    """
    if history.stopped_by_hand:
        raise KeyboardInterrupt
    return history


def frames(history: History) -> dict[str, np.ndarray]:
    """Return what `watch` measured, a dict of arrays each time, as one array (F, …) each; "steps" (F,) says when."""
    steps, taken = zip(*history.snapshots, strict=True)
    return {"steps": np.array(steps), **{name: np.stack([frame[name] for frame in taken]) for name in taken[0]}}


# --- tables -------------------------------------------------------------------------------------------------------


class Column(NamedTuple):
    """One column of a table of text. form: where head and cells stand, say "{:>8}". cell(result): what is written."""

    head: str
    form: str
    cell: Callable[[Any], object]


def table(columns: Sequence[Column], results: Iterable[Any]) -> str:
    """Return the results as text: a line of heads, then a line for each result."""
    lines: list[list[object]] = [[column.head for column in columns]]
    lines += [[column.cell(result) for column in columns] for result in results]
    return "\n".join("".join(c.form.format(cell) for c, cell in zip(columns, line, strict=True)) for line in lines)


def mean_sd(values: Sequence[float] | np.ndarray, digits: int) -> str:
    """Write mean ± standard deviation of values (S,): that of a sample, 0 for a single one."""
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {spread:.{digits}f}"
