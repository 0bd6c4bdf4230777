"""One training loop for the whole course: seeded, watched, stopped by hand without loss, and resumed from a file."""

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from moe_lessons.support.checkpoints import Keeper
from moe_lessons.support.progress import tqdm
from moe_lessons.support.threads import one_thread
from moe_lessons.support.validation import number_within, positive_number, refuse, whole_number

Losses = dict[str, Tensor]
DRAW_EVERY = 0.5  # seconds between two looks of the progress bar: a notebook's bar takes time from the training
ADAM = partial(torch.optim.Adam, fused=True)
SMALL_MODEL = 100_000  # numbers in a model; up to here one thread trains it


@dataclass
class History:
    """What a training run left: the step of each record, the losses then, and how it ended.

    losses: name -> one number per record; "loss" is what was minimised. snapshots: what `watch` returned, with its
    step; of a run with a checkpoint they may hold numbers, texts, tensors, arrays, and lists and dicts of them.
    """

    step: list[int] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)
    snapshots: list[tuple[int, Any]] = field(default_factory=list)
    steps_done: int = 0
    seconds: float = 0.0
    stopped_by_hand: bool = False

    def record(self, step: int, losses: Losses) -> None:
        """Keep the losses of one step, counted from 1."""
        self.step.append(step)
        for name, value in losses.items():
            self.losses.setdefault(name, []).append(float(value))


def device() -> torch.device:
    """Return the GPU if there is one that torch can use, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def warmup_cosine(step: int, steps: int, warmup: float = 0.1) -> float:
    """Return the factor of the learning rate: up to 1 within the first tenth of the steps, then down to 0.1."""
    start = max(1, round(warmup * steps))
    if step < start:
        return (step + 1) / start
    return 0.55 + 0.45 * math.cos(math.pi * (step - start) / max(1, steps - start))


def constant(step: int, steps: int) -> float:
    """Return 1: the learning rate stays as it is."""
    return 1.0


def train(
    model: nn.Module,
    batch: Callable[[int], Any],
    losses: Callable[[nn.Module, Any], Losses],
    steps: int,
    *,
    lr: float = 3e-3,
    optimizer: Callable[..., torch.optim.Optimizer] = ADAM,
    schedule: Callable[[int, int], float] = warmup_cosine,
    checkpoint: str | Path | None = None,
    record_every: int = 10,
    watch: Callable[[nn.Module, int], Any] | None = None,
    watch_at: tuple[int, ...] = (),
    after_step: Callable[[nn.Module, int], None] | None = None,
    belongs_to: dict[str, int | str] | None = None,
    progress: bool = True,
) -> History:
    """Train `model`, by default with Adam, and return what happened; the model is changed in place.

    batch(step) returns the batch of a step, counted from 0, the same one every time: a resumed run then equals one that
    was never stopped. losses(model, batch) returns numbers by name; "loss" is minimised, the others are kept.
    steps: in all, those of an earlier call with the same checkpoint included. schedule(step, steps): factor of lr.
    optimizer(parameters, lr=lr) makes the optimiser, say `torch.optim.SGD`.
    checkpoint: a file to go on from, if it is there, and to write to every half minute, at the end and when stopped; a
    name without a folder gets a file of its own in the course's folder. belongs_to: what the run depends on besides
    what can be seen (`support.checkpoints.Keeper`), say a seed. watch(model, step) is called, without gradients, when
    `watch_at` many steps are done; after_step(model, step) after each one. Interrupting (in JupyterLab: the square)
    ends the run after its present step: the model stays usable, the checkpoint is written, and a second call goes on.
    Raises ValueError for bad settings, a loss that is not finite, and a checkpoint that was made with other settings or
    cannot be read. Warns when it cannot be written at the end (an older one is then still whole).
    """
    steps = whole_number("steps", steps, least=0, most=10**9)
    record_every = whole_number("record_every", record_every, least=1, most=10**9)
    update = optimizer([p for p in model.parameters() if p.requires_grad], lr=positive_number("lr", lr))
    settings = {"steps": steps, "lr": float(lr), "schedule": schedule, "losses": losses, "watch": watch,
                "watch_at": sorted(watch_at), "record_every": record_every, "after_step": after_step,
                "optimizer options": update.defaults | {"lr": None}, "belongs_to": belongs_to}  # fmt: skip
    keeper = Keeper(checkpoint, model, update, History(), batch, settings)
    history, was_training = keeper.history, model.training
    run = _Run(model, keeper.batch, losses, update, lambda step: lr * _factor(schedule, step, steps), after_step)
    threads = one_thread() if _trainable(model) <= SMALL_MODEL else nullcontext()
    bar = tqdm(total=steps, initial=history.steps_done, disable=not progress, mininterval=DRAW_EVERY)
    with threads, bar, _stop_after_step() as stop:
        for _ in run.through(history, steps, stop, bar, record_every):
            if watch is not None and history.steps_done in watch_at:
                history.snapshots.append((history.steps_done, keeper.fit(_seen(watch, model, history.steps_done))))
            keeper.now_and_then()
    model.train(was_training)
    history.stopped_by_hand = bool(stop)
    keeper.at_the_end()
    return history


def _trainable(model: nn.Module) -> int:
    """Return how many numbers of a model are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _seen(watch: Callable[[nn.Module, int], Any], model: nn.Module, step: int) -> Any:
    """Return what `watch` returns, whatever it computes without gradients."""
    with torch.no_grad():
        return watch(model, step)


def _factor(schedule: Callable[[int, int], float], step: int, steps: int) -> float:
    """Return the schedule's factor of a step: below 0 the loss would be climbed, without a word."""
    return number_within(f"schedule({step}, {steps})", float(schedule(step, steps)), 0, math.inf)


@dataclass
class _Run:
    """What one step needs."""

    model: nn.Module
    batch: Callable[[int], Any]
    losses: Callable[[nn.Module, Any], Losses]
    optimizer: torch.optim.Optimizer
    lr: Callable[[int], float]
    after_step: Callable[[nn.Module, int], None] | None

    def through(self, history: History, steps: int, stop: list, bar: Any, record_every: int) -> Iterator[None]:
        """Take the steps that are left, until the wish to stop. Yields before the first of all and after each one."""
        self.model.train()
        if not history.steps_done:
            yield
        while history.steps_done < steps and not stop:
            found = self.step(history.steps_done)
            history.steps_done += 1
            if history.steps_done % record_every == 0 or history.steps_done == steps or stop:
                history.record(history.steps_done, found)
                bar.set_postfix(loss=f"{history.losses['loss'][-1]:.3f}", refresh=False)
            bar.update()
            yield

    def step(self, step: int) -> Losses:
        """Take one step and return its losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(step)
        found = self.losses(self.model, self.batch(step))
        if "loss" not in found:
            raise refuse("losses(model, batch)", list(found), 'an entry "loss", the number to minimise')
        if not torch.isfinite(found["loss"]):
            raise refuse(f"the loss of step {step}", found["loss"].item(), "a finite number: is lr too large?")
        self.optimizer.zero_grad()
        found["loss"].backward()
        self.optimizer.step()
        if self.after_step is not None:
            self.after_step(self.model, step)
        return {name: value.detach() for name, value in found.items()}


@contextmanager
def _stop_after_step() -> Iterator[list[bool]]:
    """Turn an interrupt into a wish to stop, so that no step is left half done; a second one breaks in at once."""
    stop: list[bool] = []

    def ask(_signal: int, _frame: Any) -> None:
        stop.append(True)
        signal.signal(signal.SIGINT, before)

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not the main thread: there, nobody interrupts
        yield stop
        return
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
