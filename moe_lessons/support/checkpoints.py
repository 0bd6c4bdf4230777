"""Checkpoints: a training run goes on where it was, only if it is the same run, and two runs never share a file.

One file a name, written whole or not at all, and read without running anything that it holds.
"""

import copy
import io
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from moe_lessons.support.fingerprint import described, fingerprint
from moe_lessons.support.storage import file_name, home, write_atomically
from moe_lessons.support.validation import refuse

SAVE_EVERY = 30.0  # seconds between checkpoints
SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))
FIRST_BATCH, FIRST_WEIGHTS, SEED = "first batch", "first weights", "torch.manual_seed"
CPU = torch.device("cpu")
NAMED = 3  # settings that differ, in the sentence about them
# What numpy's own arrays are made of: a snapshot may hold some. No other code runs when a checkpoint is read.
ARRAYS: list[Any] = [np.ndarray, np.dtype, np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0],
          *{type(np.dtype(code)) for code in np.typecodes["All"]}]  # fmt: skip


class Keeper:
    """Reads the checkpoint, if there is one; writes it now and then, so that a kernel that dies costs half a minute.

    A run goes on only where it is the same run: all settings of `train` (a function counts by its code and by the
    numbers that it uses), what the model is made of, and the first batch. Every run draws that one, so noting it takes
    no random number more; other data, seeds and sizes of batches show in it. First weights may differ (a fresh kernel
    without a seed); then a warning says so, or, where torch's seed differs too, the checkpoint is refused.
    """

    def __init__(
        self,
        checkpoint: str | Path | None,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        history: Any,
        draw: Callable[[int], Any],
        settings: dict[str, Any],
    ) -> None:
        self.path, self.kept, self.draw = checkpoint_path(checkpoint), (model, optimizer), draw
        self.history, self.settings = history, {name: _written(value) for name, value in settings.items()}
        if self.path is not None:
            self.settings |= {"optimizer": type(optimizer).__name__, **described(model)}
            self.settings |= {FIRST_WEIGHTS: fingerprint(model.state_dict()), SEED: str(torch.initial_seed())}
            if self.path.exists():
                self.go_on(self.path)
        self.last = time.perf_counter()
        self.started = self.last - self.history.seconds

    def go_on(self, path: Path) -> None:
        """Put everything back to where the checkpoint was written, if it is one of this run."""
        with _undisturbed():
            self.settings[FIRST_BATCH] = fingerprint(self.draw(0))
        self.history, self.settings = load_checkpoint(path, *self.kept, self.history, self.settings)

    def batch(self, step: int) -> Any:
        """Return the batch of a step, and note what the first one was."""
        found = self.draw(step)
        if step == 0 and self.path is not None:
            self.settings[FIRST_BATCH] = fingerprint(found)
        return found

    def fit(self, snapshot: Any) -> Any:
        """Return what `watch` saw. If no checkpoint could give it back, say so now and keep none."""
        try:
            if self.path is not None:
                _read(_bytes(copy.deepcopy(snapshot)))
        except Exception as error:
            self.path = None
            what = f"watch returned {type(snapshot).__name__} ({type(error).__name__})"
            _warn(f"No checkpoint is kept from here on: {what}. It can hold numbers, texts, tensors, arrays, and lists "
                  "and dicts of them.")  # fmt: skip
        return snapshot

    def write(self) -> None:
        """Write it. Raises OSError."""
        self.last = time.perf_counter()
        self.history.seconds = self.last - self.started
        if self.path is not None:
            save_checkpoint(self.path, *self.kept, self.history, self.settings)

    def now_and_then(self) -> None:
        """Write it if the last time is long ago. What fails here is tried again."""
        if time.perf_counter() - self.last >= SAVE_EVERY:
            with suppress(OSError):
                self.write()

    def at_the_end(self) -> None:
        """Write it, or warn: model and history are there, and must not be lost for want of a file."""
        try:
            self.write()
        except OSError as error:
            _warn(str(error))


def _warn(words: str) -> None:
    """Warn at the line that called `train`."""
    depth, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("moe_lessons."):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(words, RuntimeWarning, stacklevel=depth)


def _written(value: Any) -> str:
    """Return a setting as text: of a function its name and what it computes."""
    if callable(value):
        return f"{getattr(value, '__name__', type(value).__name__)} {fingerprint(value)}"
    return repr(dict(sorted(value.items(), key=str)) if isinstance(value, dict) else value)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave the random numbers of torch, numpy and Python as they were."""
    before = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def checkpoint_path(checkpoint: str | Path | None) -> Path | None:
    """Return where a checkpoint is kept: at a path, or for a name without a folder in a file of the course's folder.

    Any two names get two files. None for None, and where the course's folder cannot be used: then it warns.
    Raises ValueError for what can be no file.
    """
    if checkpoint is None:
        return None
    name = str(checkpoint) if isinstance(checkpoint, Path) else checkpoint
    if not isinstance(name, str) or not name.strip() or "\0" in name or name.endswith(SEPARATORS):
        raise refuse("checkpoint", checkpoint, "a name, or the path of a file")
    try:
        if any(separator in name for separator in SEPARATORS):
            return _a_file(Path(name))
        path = home() / "checkpoints" / file_name(name, ".pt")
        _tell_of_earlier(path, name)
    except OSError as error:
        _warn(f"No checkpoint is kept: {error}")
        return None
    return path


def _a_file(path: Path) -> Path:
    """Return a path that is not a folder's, and not too long."""
    try:
        folder = path.is_dir()
    except OSError as error:
        raise refuse("checkpoint", str(path), f"the path of a file ({error.strerror})") from None
    if folder:
        raise refuse("checkpoint", str(path), "the path of a file; this is a folder")
    return path


def _tell_of_earlier(path: Path, name: str) -> None:
    """Say what becomes of the file of an earlier version of the course, where "lr_0.001" and "lr_0.003" shared one."""
    earlier = path.parent / f"{Path(name).stem}.pt"
    if not path.exists() and earlier.exists():
        _warn(f"{earlier}, from an earlier version of the course, is not taken for {name!r}: it does not say which run "
              "it holds. It stays as it is.")  # fmt: skip


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, history: Any, settings: dict[str, str]
) -> None:
    """Write everything that going on needs. Raises OSError when it cannot be written; the older file stays whole."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": asdict(history),
        "random": torch.get_rng_state(),
        "settings": settings,
    }
    try:
        write_atomically(path, _bytes(state).getvalue())
    except OSError as error:
        kept = "the older one there is still whole" if path.exists() else "nothing was written"
        raise OSError(
            error.errno, f"The checkpoint could not be written ({error.strerror or error}); {kept}. "
            f"The model in memory is trained and usable", str(path)
        ) from error  # fmt: skip


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, history: Any, settings: dict[str, str]
) -> tuple[Any, dict[str, str]]:
    """Put model, optimizer and random numbers back to where a checkpoint was written; return its history and settings.

    Raises ValueError for a file that cannot be read or was made with other settings, and says what to do; the model is
    then as it was.
    """
    state = _state(path, next((p.device for p in model.parameters()), CPU))
    try:
        found, made_with = replace(history, **state["history"]), state["settings"]
        other = _differences(made_with, settings, fingerprint(state["model"]))
        if not other:
            optimizer.load_state_dict(state["optimizer"])
            model.load_state_dict(state["model"])
            torch.set_rng_state(state["random"].cpu())
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _unfit(path, f"a file written by train ({type(error).__name__})") from error
    if other:
        raise _unfit(path, f"one of this run; it was made with {other}")
    return found, made_with


def _state(path: Path, device: torch.device) -> dict[str, Any]:
    """Return what a checkpoint holds, of this version of the course."""
    try:
        state = _read(path, device)
    except Exception as error:
        raise _unfit(path, f"a file written by train ({type(error).__name__})") from error
    if isinstance(state, dict) and "belongs_to" in state:
        words = "is from an earlier version of the course, which did not note its settings"
        raise _unfit(path, f"one that says how it was made; this {words} (its weights: torch.load(path)['model'])")
    return state


def _unfit(path: Path, expected: str) -> ValueError:
    return refuse("checkpoint", str(path), f"{expected}; to start afresh, delete {path} or name another checkpoint")


def _differences(made_with: dict[str, str], asked: dict[str, str], last_weights: str) -> str:
    """Name the settings that differ, the first few of them; warn where another start alone is what differs."""
    passed = {FIRST_WEIGHTS, SEED} | ({FIRST_BATCH} - set(made_with))  # before its first step a run has no batch
    names = [name for name in {**made_with, **asked} if made_with.get(name) != asked.get(name) and name not in passed]
    if not names and asked[FIRST_WEIGHTS] not in (made_with[FIRST_WEIGHTS], last_weights):
        names = [SEED] if made_with[SEED] != asked[SEED] else []
        if not names:
            _warn("The run in the checkpoint began with other weights than this model has; it goes on with its own. "
                  "Another run needs another name.")  # fmt: skip
    named = [f"{name} = {made_with.get(name, 'nothing')} (now {asked.get(name, 'nothing')})" for name in names[:NAMED]]
    return ", ".join(named) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _bytes(content: Any) -> io.BytesIO:
    """Return content as torch writes it."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    return buffer


def _read(file: Path | io.BytesIO, device: torch.device = CPU) -> Any:
    """Return what is in a file of torch; nothing in it is run."""
    with torch.serialization.safe_globals(ARRAYS):
        return torch.load(file, map_location=device, weights_only=True)
