"""The training runs of the closing project: two sparse layers on a small task, each run sound or with one fault.

`python -m moe_lessons.experiments.faulty_runs` trains them all and writes results/faulty_runs.npz: a few minutes on two
cores. What a fault is stands in `PARTS`: one small function in the place of another. Which run has which fault is in no
file; `case_files` says how it is decided, and reads the logs without torch.

The task is a clustered regression on sequences of unequal length, filled up with padding. All tokens have a part in
common, along which the routers of both layers lean at the start, in opposite directions: there is something to balance.
k = 1 in form B (the weight is the probability), noise on the logits in training, and one of two recipes: a balance loss
in each layer, or a bias in each layer. Letters: B sequences, L places, d width, N experts, F frames of the log.
"""

import io
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lessons.experiments import case_files
from moe_lessons.experiments.case_files import EVERY, LAYERS, PLACES, RECIPES, STEPS, WEIGHTS, Kind, N
from moe_lessons.layer import Experts
from moe_lessons.losses import load_balancing_loss
from moe_lessons.support.progress import tqdm
from moe_lessons.support.storage import write_atomically
from moe_lessons.support.validation import one_of

D, D_FF, SEQUENCES, SHORTEST = 8, 8, 16, 3
CLUSTERS, COMMON, LEAN = 12, 1.5, 0.8
NOISE, ALPHA, U, LEARNING_RATE = 0.8, 0.3, 0.005, 1e-2
THAWED = 40  # steps after which a frozen bias stays
SURE = 60.0  # by which a router's logits are larger where it is sure of what it knows nothing about


class Batch(NamedTuple):
    """Tokens x (B, L, d), their targets (B, L, d), and the mask (B, L), True for a real token, False for padding."""

    x: Tensor
    target: Tensor
    mask: Tensor


class Pass(NamedTuple):
    """What a model did with a batch: y (B, L, d), and of both layers the logits (layers, B, L, N), with noise if there
    was any, the selected expert and its weight (layers, B, L), the counted loads (layers, N), and the balance loss."""

    y: Tensor
    logits: Tensor
    selected: Tensor
    weights: Tensor
    counts: Tensor
    balance: Tensor


# --- what a run is made of, and what can be wrong with it ---------------------------------------------------------


def of_each_layer(logits: Tensor, selected: Tensor, counted: Tensor) -> Tensor:
    """Return the balance loss, computed in each layer, then averaged. logits (layers, B, L, N)."""
    one = [load_balancing_loss(h, 1, s[..., None], counted) for h, s in zip(logits, selected, strict=True)]
    return torch.stack(one).mean()


def of_all_layers(logits: Tensor, selected: Tensor, counted: Tensor) -> Tensor:
    """Return one balance loss of the tokens of all layers, taken together."""
    return load_balancing_loss(logits, 1, selected[..., None], counted.expand(len(logits), -1, -1))


@dataclass(frozen=True)
class Parts:
    """Five decisions of a program: the weight of the selected expert from its probability, whether there is noise,
    which places count, what is balanced, and the step of the bias after so many updates."""

    weighed: Callable[[Tensor], Tensor] = lambda kept: kept
    noisy: Callable[[bool], bool] = lambda training: training
    counted: Callable[[Tensor], Tensor] = lambda mask: mask
    balance: Callable[[Tensor, Tensor, Tensor], Tensor] = of_each_layer
    step: Callable[[int], float] = lambda updates: U


PARTS = {
    None: Parts(),
    "renormalised k = 1": Parts(weighed=lambda kept: kept / kept.sum(dim=-1, keepdim=True)),
    "pooled loss": Parts(balance=of_all_layers),
    "noise left on": Parts(noisy=lambda training: True),
    "frozen bias": Parts(step=lambda updates: U if updates < THAWED else 0.0),
    "mask lost": Parts(counted=torch.ones_like),
}


class Model(nn.Module):
    """Two sparse layers in a residual stream. `model(x, mask)` returns a `Pass`; `model.W_g` holds both routers (d, N).

    In training (`model.train()`) a call adds noise to the logits and, in a run that is balanced by a bias, moves
    `model.bias` (layers, N); in evaluation (`model.eval()`) it does neither.
    """

    def __init__(self, balanced_by: str, parts: Parts) -> None:
        super().__init__()
        self.balanced_by, self._parts = balanced_by, parts
        self.W_g = nn.ParameterList(0.3 * torch.randn(D, N) for _ in range(LAYERS))
        self.experts = nn.ModuleList(Experts(D, D_FF, N) for _ in range(LAYERS))
        self.bias: Tensor
        self.updates = 0
        self.register_buffer("bias", torch.zeros(LAYERS, N))
        lean = LEAN * torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])  # (N,)
        with torch.no_grad():
            for W_g, sign in zip(self.W_g, (1, -1), strict=True):
                W_g += sign * torch.outer(common(), lean)

    def forward(self, x: Tensor, mask: Tensor) -> Pass:
        """Run both layers on x (B, L, d); mask (B, L), True for a real token."""
        found: list[tuple[Tensor, ...]] = []
        for layer in range(LAYERS):
            y, *decided = self._layer(layer, F.rms_norm(x, (D,)))
            x = x + y  # (B, L, d)
            found.append(tuple(decided))
        logits, selected, weights = (torch.stack(of_layers) for of_layers in zip(*found, strict=True))
        counted = self._parts.counted(mask)  # (B, L)
        counts = torch.stack([torch.bincount(s[counted], minlength=N) for s in selected])  # (layers, N)
        if self.training and self.balanced_by == "bias":
            self._move_bias(counts)
        return Pass(x, logits, selected, weights, counts, self._parts.balance(logits, selected, counted))

    def _layer(self, layer: int, x: Tensor) -> tuple[Tensor, ...]:
        """Return a layer's output (B, L, d), logits (B, L, N), selected expert and its weight (B, L) each."""
        h = x @ self.W_g[layer]  # (B, L, N)
        if self._parts.noisy(self.training):
            h = h + NOISE * torch.randn_like(h)
        p = h.softmax(dim=-1)  # (B, L, N)
        selected = (p.detach() + self.bias[layer]).argmax(dim=-1, keepdim=True)  # (B, L, 1)
        w = self._parts.weighed(p.gather(-1, selected))  # (B, L, 1)
        y = self.experts[layer](x.flatten(0, 1), selected.flatten(0, 1), w.flatten(0, 1))  # (B·L, d)
        return y.view_as(x), h, selected[..., 0], w[..., 0]

    @torch.no_grad()
    def _move_bias(self, counts: Tensor) -> None:
        """Raise the bias of experts below the mean load, lower that of the others. counts (layers, N)."""
        load = counts.float()
        self.bias += self._parts.step(self.updates) * (load.mean(dim=-1, keepdim=True) - load).sign()
        self.updates += 1


# --- the task -----------------------------------------------------------------------------------------------------


@cache
def _world() -> dict[str, np.ndarray]:
    """Return the means and maps of the clusters, the direction that all tokens share, and the vector of padding."""
    rng = np.random.default_rng(16)
    c = rng.normal(size=D)
    means, maps = rng.normal(size=(CLUSTERS, D)), rng.normal(size=(CLUSTERS, D, D)) / np.sqrt(D)
    return {"common": c / np.linalg.norm(c), "means": means, "maps": maps, "padding": rng.normal(size=D)}


def common() -> Tensor:
    """Return the direction that all tokens share (d,)."""
    return torch.tensor(_world()["common"], dtype=torch.float32)


def draw_batch(rng: np.random.Generator, sequences: int = SEQUENCES) -> Batch:
    """Draw sequences of the task: tokens around the means, targets tanh(x A_c), padding behind each sequence."""
    world = _world()
    lengths = rng.integers(SHORTEST, PLACES + 1, size=sequences)  # (B,)
    mask = np.arange(PLACES) < lengths[:, None]  # (B, L)
    cluster = rng.integers(CLUSTERS, size=mask.shape)  # (B, L)
    x = world["means"][cluster] + 0.5 * rng.normal(size=(*mask.shape, D)) + COMMON * world["common"]  # (B, L, d)
    x = np.where(mask[..., None], x, world["padding"])
    x /= np.sqrt((x**2).mean(axis=-1, keepdims=True))
    target = np.where(mask[..., None], np.tanh(np.einsum("bld,blde->ble", x, world["maps"][cluster])), 0.0)
    return Batch(torch.tensor(x).float(), torch.tensor(target).float(), torch.tensor(mask))


def error(found: Pass, batch: Batch, counted: Tensor) -> Tensor:
    """Return the mean squared error over the places that count, as a share of the mean square of the targets."""
    return (found.y - batch.x - batch.target)[counted].square().mean() / batch.target[batch.mask].square().mean()


# --- training -----------------------------------------------------------------------------------------------------


def begun(kind: Kind, seed: int) -> Model:
    """Return the model of a run before its first step; a seed gives all kinds the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Model(kind.balanced_by, PARTS[kind.fault])


def train_run(kind: Kind, seed: int, steps: int = STEPS) -> tuple[Model, dict[str, np.ndarray]]:
    """Train a run. Returns its model and its log; the batches and the noise are those of the seed."""
    model = begun(kind, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        return model, trained_on(model, np.random.default_rng(seed), steps)


def trained_on(model: Model, rng: np.random.Generator, steps: int) -> dict[str, np.ndarray]:
    """Train a model for so many steps on fresh batches; return the log, a frame every EVERY steps, from step 0 on."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    held_out, frames, errors = draw_batch(np.random.default_rng(99), 64), [], []
    for step in range(steps + 1):
        batch = draw_batch(rng)
        found = model.train()(batch.x, batch.mask)
        task = error(found, batch, model._parts.counted(batch.mask))
        errors.append(float(task.detach()))
        if step % EVERY == 0:
            frames.append(frame(model, step, found, batch, errors, held_out))
            errors = []
        optimizer.zero_grad()
        (task + ALPHA * found.balance if model.balanced_by == "loss" else task).backward()
        optimizer.step()
    return {name: np.array([one[name] for one in frames]) for name in frames[0]}


@torch.no_grad()
def frame(model: Model, step: int, found: Pass, batch: Batch, errors: list[float], held_out: Batch) -> dict[str, Any]:
    """Return one frame of the log. errors: those of the steps since the last frame."""
    counted = model._parts.counted(batch.mask)  # (B, L)
    p = found.logits.softmax(dim=-1)[:, counted]  # (layers, tokens, N)
    tested = model.eval()(held_out.x, held_out.mask)
    return {
        "step": step,
        "real": int(batch.mask.sum()),
        "counts": found.counts.numpy(),
        "P": p.mean(dim=1).numpy(),
        "entropy": torch.special.entr(p).sum(dim=-1).mean(dim=1).numpy(),
        "balance": float(found.balance),
        "bias": model.bias.numpy().copy(),
        "training error": np.mean(errors),
        "test error": float(error(tested, held_out, held_out.mask)),
    }


# --- checkpoints, and the file -----------------------------------------------------------------------------------


def checkpoint(model: Model) -> dict[str, np.ndarray]:
    """Return the weights of a model as `case_files.checkpoint_of` does."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    stacked = {name: np.stack([state[f"experts.{layer}.{name}"] for layer in range(LAYERS)]) for name in ("W1", "W2")}
    W_g = np.stack([state[f"W_g.{layer}"] for layer in range(LAYERS)])  # (layers, d, N)
    return {"W_g": W_g, **stacked, "bias": state["bias"]}


def restored(weights: dict[str, np.ndarray], kind: Kind, updates: int = STEPS + 1) -> Model:
    """Return the model of a checkpoint, in evaluation."""
    model = begun(kind, 0)
    by_layer = {f"experts.{layer}.{name}": weights[name][layer] for name in ("W1", "W2") for layer in range(LAYERS)}
    by_layer |= {f"W_g.{layer}": weights["W_g"][layer] for layer in range(LAYERS)} | {"bias": weights["bias"]}
    model.load_state_dict({name: torch.tensor(np.asarray(value)) for name, value in by_layer.items()})
    model.updates = updates
    return model.eval()


class Run(NamedTuple):
    """A model, in evaluation, and a batch for it: tokens x (B, L, d), mask (B, L), True for a real token."""

    model: Model
    x: Tensor
    mask: Tensor


def run_from(weights: dict[str, np.ndarray], kind: Kind, seed: int) -> Run:
    """Return a run from its checkpoint, with a batch of this seed."""
    batch = draw_batch(np.random.default_rng(seed))
    return Run(restored(weights, kind), batch.x, batch.mask)


def drawn_anew(kind: Kind, routers: str, seed: int) -> dict[str, np.ndarray]:
    """Return weights that no training has made: those of a first step, with "unsure" or "sure" routers, and a bias that
    went to and fro for a few steps, if there is one. A seed gives all kinds the same, but for the bias."""
    weights = checkpoint(begun(kind, seed))
    weights["W_g"] = (SURE if routers == "sure" else 1) * weights["W_g"]
    if kind.balanced_by == "bias":
        weights["bias"] = np.float32(U) * np.random.default_rng(seed).integers(-THAWED, THAWED + 1, size=(LAYERS, N))
    return weights


def open_run(case: int, seed: int = 0, weights: str = "trained") -> Run:
    """Return the run of a case, 1 to CASES, from its checkpoint, or its program with "unsure" or "sure" routers.

    seed: of the batch, and of weights that are drawn anew. ValueError for another case or other weights.
    """
    return _opened(case_files.kind_of(case), case - 1, seed, weights)


def healthy_run(balanced_by: str, seed: int = 0, weights: str = "trained") -> Run:
    """Return the first sound run with this recipe, "loss" or "bias". seed and weights: as in `open_run`."""
    kind = Kind(one_of("balanced_by", balanced_by, RECIPES))
    return _opened(kind, case_files.runs().index(kind), seed, weights)


def _opened(kind: Kind, run: int, seed: int, weights: str) -> Run:
    trained = one_of("weights", weights, WEIGHTS) == "trained"
    return run_from(case_files.checkpoint_of(run) if trained else drawn_anew(kind, weights, seed), kind, seed)


def made(run: int) -> dict[str, np.ndarray]:
    """Train a run of `case_files.runs()`; return its log and its checkpoint as the file keeps them."""
    torch.set_num_threads(1)
    model, log = train_run(case_files.runs()[run], seed=run)
    small = {f"log {name}": a.astype(np.int16 if a.dtype.kind == "i" else np.float16) for name, a in log.items()}
    return small | {name: a.astype(np.float16) for name, a in checkpoint(model).items()}


def main() -> None:
    """Train all runs, side by side, and write the file."""
    context, count = multiprocessing.get_context("spawn"), range(len(case_files.runs()))
    with ProcessPoolExecutor(int(os.environ.get("WORKERS", os.cpu_count() or 1)), mp_context=context) as pool:
        found = list(tqdm(pool.map(made, count), total=len(count), desc="runs"))
    content = io.BytesIO()
    np.savez_compressed(content, **{name: np.stack([run[name] for run in found]) for name in found[0]})  # type: ignore[arg-type]
    write_atomically(case_files.RESULTS, content.getvalue())


if __name__ == "__main__":
    main()
