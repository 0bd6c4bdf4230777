"""Routers in training, the experiments of lesson 08: on labels, and end to end together with their experts.

On labels (`label_runs`) cross-entropy tells the router which expert each domain belongs to; there are no experts at
all. End to end (`regression_runs`) router and experts learn a regression whose tokens fall into clusters, and neither
ever sees a cluster's name: it is used afterwards, to measure what the router does. `film_run` is that in the plane.

Letters: T tokens, d width, N experts, k active experts a token, R runs at once, F measurements.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lessons import metrics
from moe_lessons.data import GaussianDomains, Regression, clustered_regression, gaussian_domains
from moe_lessons.experiments.core import batches, drawn, frames, squared_error, tensors, trained
from moe_lessons.experiments.side_by_side import LinearRouters, SideBySide
from moe_lessons.layer import MoELayer, Routing
from moe_lessons.losses import balance_of_layers
from moe_lessons.support.validation import refuse, whole_number
from moe_lessons.training import Losses, constant

DOMAINS = 4  # and experts, one for each
SIZE = 32  # width d of the regression's tokens, and f of its experts
CLUSTERS, EXPERTS = 16, 8  # of the regression: two clusters an expert, if they are shared out evenly

# --- on labels ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One supervised run. noise_std: of the tokens around their domain's mean; the nearest means are 4 apart.

    prototype_scale: standard deviation of W_g at the start. z_loss_coef: what the z-loss is multiplied by.
    norms: of the means, see `data.gaussian_domains`. seed: draws task and W_g.
    """

    noise_std: float = 1.0
    prototype_scale: float = 0.1
    z_loss_coef: float = 0.0
    seed: int = 0
    norms: str = "equal"


@dataclass(frozen=True)
class LabelRun:
    """What one supervised router did, on test tokens. The histories are (F,), `steps` says after how many steps.

    loss: cross-entropy in nats. gap: largest logit minus the second, mean over tokens. entropy: of p, in nats.
    z: the z-loss, without coefficient. largest: the largest |logit|. accuracy: share of tokens whose domain is named.
    W_g: (d, N) at the end. best_accuracy, best_entropy: of the best rule that exists, on the same tokens.
    """

    setting: Setting
    means: np.ndarray
    W_g: np.ndarray
    steps: np.ndarray
    loss: np.ndarray
    gap: np.ndarray
    entropy: np.ndarray
    z: np.ndarray
    largest: np.ndarray
    accuracy: np.ndarray
    best_accuracy: float
    best_entropy: float


def label_runs(
    settings: Sequence[Setting], steps: int = 300, measure_at: Sequence[int] = (), lr: float = 0.01,
    progress: bool = True,
) -> list[LabelRun]:  # fmt: skip
    """Train one router on labels for each setting, all at once, and return the runs in the same order.

    The runs share nothing but the row numbers of their batches: summed losses and Adam, which treats each entry on its
    own, leave them independent. measure_at: numbers of steps done; the last step is always measured.
    Raises ValueError for no setting and for what `gaussian_domains` and `train` refuse.
    """
    if not len(settings):
        raise refuse("settings", settings, "at least one Setting")
    tasks = [gaussian_domains(noise_std=s.noise_std, norms=s.norms, seed=s.seed) for s in settings]
    first = [_first_prototypes(s, task.x.shape[1]) for s, (task, _) in zip(settings, tasks, strict=True)]
    model, world = LinearRouters(torch.stack(first)), _Labelled(settings, tasks)
    history = trained(model, batches(world.x, world.domain), world.losses, steps, lr=lr, schedule=constant,
                      progress=progress, watch=lambda model, _: world.measured(model),
                      watch_at=(*measure_at, steps))  # fmt: skip
    found = frames(history)
    done = found.pop("steps")  # (F,)
    return [
        _label_run(setting, task, model.W_g[r], done, {name: values[:, r] for name, values in found.items()})
        for r, (setting, task) in enumerate(zip(settings, tasks, strict=True))
    ]


class _Labelled:
    """The tokens of R tasks, and the losses of R routers on them."""

    def __init__(self, settings: Sequence[Setting], tasks: Sequence[tuple[GaussianDomains, GaussianDomains]]) -> None:
        self.x, self.domain = _stacked([task[0] for task in tasks])  # (R, T, d), (R, T)
        self.fresh, self.named = _stacked([task[1] for task in tasks])  # (R, T', d), (R, T')
        self.coefficient = torch.tensor([s.z_loss_coef for s in settings])  # (R,)

    def losses(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Losses:
        h = model(batch[0])  # (R, B, N)
        lse = h.logsumexp(dim=-1)  # (R, B)
        z = lse.square().mean(dim=1)  # (R,)
        return {"loss": (_cross_entropy(h, batch[1], lse) + self.coefficient * z).sum()}

    def measured(self, model: nn.Module) -> dict[str, np.ndarray]:
        """Measure each router on its test tokens; every number (R,)."""
        h = model(self.fresh)  # (R, T', N)
        lse = h.logsumexp(dim=-1)  # (R, T')
        first, second = h.topk(2, dim=-1).values.unbind(dim=-1)  # (R, T') each
        found = {
            "loss": _cross_entropy(h, self.named, lse),
            "gap": (first - second).mean(dim=1),
            "entropy": torch.special.entr(h.softmax(dim=-1)).sum(dim=-1).mean(dim=1),
            "z": lse.square().mean(dim=1),
            "largest": h.abs().amax(dim=(1, 2)),
            "accuracy": (h.argmax(dim=-1) == self.named).double().mean(dim=1),
        }
        return {name: value.double().numpy() for name, value in found.items()}


def _cross_entropy(h: Tensor, domain: Tensor, lse: Tensor) -> Tensor:
    """Return the mean over tokens of −log p of the right domain (R,). h: (R, T, N). domain and lse: (R, T)."""
    right = h.gather(-1, domain.unsqueeze(-1)).squeeze(-1)  # (R, T)
    return (lse - right).mean(dim=1)


def _label_run(
    setting: Setting,
    task: tuple[GaussianDomains, GaussianDomains],
    W_g: Tensor,
    done: np.ndarray,
    found: dict[str, np.ndarray],
) -> LabelRun:
    """Put together what one run left: W_g (d, N), steps done (F,), and the measures (F,) of then."""
    right, entropy = _best_rule(task[1])
    return LabelRun(setting=setting, means=task[0].means, W_g=W_g.detach().double().numpy(), steps=done,
                    best_accuracy=right, best_entropy=entropy, **found)  # fmt: skip


def _best_rule(task: GaussianDomains) -> tuple[float, float]:
    """Return accuracy and entropy of the rule that knows means and spread: none is right more often (Bayes)."""
    h = (task.x @ task.means.T - (task.means**2).sum(axis=1) / 2) / task.noise_std**2  # (T, N)
    p = np.exp(h - h.max(axis=1, keepdims=True))  # (T, N)
    p /= p.sum(axis=1, keepdims=True)
    right = float(np.mean(task.best_guess(task.x) == task.domain))
    return right, float(metrics.entropy(p).mean())


def _first_prototypes(setting: Setting, d: int) -> Tensor:
    """Draw W_g (d, N) at the start."""
    draw = torch.randn(d, DOMAINS, generator=torch.Generator().manual_seed(setting.seed))
    return setting.prototype_scale * draw


def _stacked(tasks: Sequence[GaussianDomains]) -> tuple[Tensor, Tensor]:
    """Return the tokens (R, T, d) and domains (R, T) of R tasks."""
    x = torch.tensor(np.stack([task.x for task in tasks]), dtype=torch.float32)
    return x, torch.tensor(np.stack([task.domain for task in tasks]))


# --- end to end ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RegressionRun:
    """What one layer did, on test tokens.

    error: share of the target's variance that is left. before, information: I(cluster; first choice) in nats, with
    the first W_g and with the last. load: (N,) shares of the assignments. entropy: of p, in nats, mean over tokens.
    moved: how far W_g went, the length of the difference between start and end.
    cluster, first: (T,), for a null of the information. load_before: (N,), with the first W_g.
    alone: the error when only the first choice answers, with the weight that all k had together.
    """

    error: float
    alone: float
    before: float
    information: float
    load_before: np.ndarray
    load: np.ndarray
    entropy: float
    moved: float
    seconds: float
    cluster: np.ndarray = field(repr=False)
    first: np.ndarray = field(repr=False)


def regression_runs(
    top_k: int, gate: str, seeds: Sequence[int], *, frozen: bool = False, steps: int = 500, router_scale: float = 1.0,
    expert_scale: float = 1.0, output_scale: float = 1.0, temperature: Callable[[float], float] | None = None,
    lr: float = 5e-3, balance: float = 0.0, own_maps: bool = True,
) -> list[RegressionRun]:  # fmt: skip
    """Train layers of 8 experts on 16 clusters, each with a target map of its own, and measure them on fresh tokens.

    One layer for each seed, all at once, as if each were alone. A seed draws clusters, maps, tokens, and the layer's
    first weights; the batches are the same in every run. So runs of one seed can be compared in pairs.
    frozen: the routers stay as they were drawn. router_scale: multiplies their first W_g. expert_scale: multiplies the
    experts' first W2. output_scale: multiplies the layer's output, in training and in tests.
    temperature: τ from the share of the training that is done, 0 to 1; the logits are divided by it, at the end too.
    lr: the largest learning rate of Adam; it rises in the first tenth of the steps, then falls to a tenth.
    balance: α of a Switch loss beside the squared error. own_maps: False, the control, gives all clusters one map.
    Raises ValueError for no seed and for what `MoELayer` and `train` refuse.
    """
    if not len(seeds):
        raise refuse("seeds", seeds, "at least one")
    tasks = [_task(seed, own_maps) for seed in seeds]
    (x, y), test = (_side_by_side([task[part] for task in tasks]) for part in (0, 1))
    layers = [drawn(seed, MoELayer, SIZE, SIZE, EXPERTS, top_k, gate) for seed in seeds]
    world = _Regressions(layers, temperature, output_scale, balance)
    start = world.scaled(router_scale, expert_scale, frozen)  # (R, d, N)
    _, before = world.outcomes(*test)
    history = trained(world.layers, batches(x, y), world.losses, steps, lr=lr,
                      after_step=lambda _, step: world.warm((step + 1) / steps))  # fmt: skip
    errors, after = world.outcomes(*test)
    alone, moved = world.first_alone(*test, after), (world.layers.W_g.detach() - start).norm(dim=(1, 2))  # (R,) each
    return [
        _regression_run(float(errors[r]), float(alone[r]), _of_run(r, before), _of_run(r, after), float(moved[r]),
                        history.seconds / len(seeds), task[1].cluster)
        for r, task in enumerate(tasks)
    ]  # fmt: skip


def _of_run(r: int, routing: Routing) -> Routing:
    """Return the routing of one run, (T, …), out of that of R runs."""
    return Routing(*(part[r] for part in routing))


class _Regressions:
    """R layers side by side, the temperature of their routers, and their losses."""

    def __init__(
        self,
        layers: list[MoELayer],
        temperature: Callable[[float], float] | None,
        output_scale: float,
        balance: float = 0.0,
    ) -> None:
        self.layers, self.temperature = SideBySide(layers), temperature or (lambda done: 1.0)
        self.output_scale, self.balance = output_scale, balance
        self.warm(0.0)

    def warm(self, done: float) -> None:
        """Set τ for the share of the training that is done."""
        self.tau = self.temperature(done)

    def __call__(self, x: Tensor) -> tuple[Tensor, Routing]:
        """Route and run tokens x (R, T, d). Returns y (R, T, d) and the routing, (R, T, …) each."""
        routing = self.layers.decide(self.layers.logits(x) / self.tau)
        return self.output_scale * self.layers(x, routing), routing

    def losses(self, _: nn.Module, batch: tuple[Tensor, Tensor]) -> Losses:
        """Return the sum of the layers' mean squared errors, each with its balance loss: no layer feels the others."""
        y, routing = self(batch[0])
        errors = (y - batch[1]).square().mean(dim=(1, 2))  # (R,)
        if self.balance:
            errors = errors + self.balance * balance_of_layers(routing.logits, routing.selected)
        return {"loss": errors.sum()}

    def scaled(self, router_scale: float, expert_scale: float, frozen: bool) -> Tensor:
        """Multiply the first weights, freeze the routers or not, and return their W_g as it starts, (R, d, N)."""
        W_g = self.layers.W_g
        with torch.no_grad():
            W_g.mul_(router_scale).requires_grad_(not frozen)
            self.layers.experts.get_parameter("W2").mul_(expert_scale)
        return W_g.detach().clone()

    @torch.no_grad()
    def outcomes(self, x: Tensor, target: Tensor) -> tuple[Tensor, Routing]:
        """Return the errors (R,), as shares of the targets' variances, and the routing of all tokens."""
        y, routing = self(x)
        return _errors(y, target), routing

    @torch.no_grad()
    def first_alone(self, x: Tensor, target: Tensor, routing: Routing) -> Tensor:
        """Return the errors (R,) when each token's first choice alone answers, with the weight of all k."""
        first = Routing(routing.logits, routing.selected[..., :1], routing.weights.sum(dim=-1, keepdim=True))
        return _errors(self.output_scale * self.layers(x, first), target)


def _errors(y: Tensor, target: Tensor) -> Tensor:
    """Return the errors (R,) of outputs y, as shares of the variances of the targets, (R, T, d) each."""
    return (y - target).square().mean(dim=(1, 2)) / target.var(dim=(1, 2), correction=0)


def _side_by_side(parts: Sequence[Regression]) -> tuple[Tensor, Tensor]:
    """Return the tokens and targets (R, T, d) of R tasks."""
    x, y = zip(*(tensors(part) for part in parts), strict=True)
    return torch.stack(x), torch.stack(y)


def _regression_run(
    error: float, alone: float, before: Routing, after: Routing, moved: float, seconds: float, cluster: np.ndarray
) -> RegressionRun:
    """Measure the routing of the same tokens before and after training."""
    first = after.selected[:, 0].numpy()  # (T,)
    return RegressionRun(
        error=error,
        alone=alone,
        before=metrics.mutual_information(cluster, before.selected[:, 0].numpy()),
        information=metrics.mutual_information(cluster, first),
        load_before=metrics.expert_load(before.selected.numpy(), EXPERTS),
        load=metrics.expert_load(after.selected.numpy(), EXPERTS),
        entropy=float(metrics.entropy(after.probs.double().numpy()).mean()),
        moved=moved,
        seconds=seconds,
        cluster=cluster,
        first=first,
    )


@lru_cache(maxsize=16)
def _task(seed: int, own_maps: bool = True) -> tuple[Regression, Regression]:
    return clustered_regression(T=8192, d=SIZE, clusters=CLUSTERS, own_maps=own_maps, seed=seed)


@torch.no_grad()
def _outcome(layer: MoELayer, part: tuple[Tensor, Tensor]) -> tuple[float, Routing]:
    """Return the error, as a share of the target's variance, and the routing of all tokens."""
    x, target = part
    y, routing = layer(x, return_routing=True)
    return float((y - target).square().mean() / target.var(correction=0)), Routing(*routing)


# --- the film -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Film:
    """A training run in the plane, measured F times on the same tokens; one expert a token, experts counted from 0.

    x: (T, 2) tokens; cluster: (T,); means: (C, 2) of the clusters. steps: (F,) training steps done. W_g: (F, 2, N).
    selected: (F, T). load: (F, N) shares. entropy: (F,) of p in nats, mean over tokens. loss: (F,), what `loss_name`
    says. information: (F,), I(cluster; expert) in nats.
    """

    x: np.ndarray
    cluster: np.ndarray
    means: np.ndarray
    loss_name: str
    steps: np.ndarray
    W_g: np.ndarray
    selected: np.ndarray
    load: np.ndarray
    entropy: np.ndarray
    loss: np.ndarray
    information: np.ndarray


def film_run(labels: bool, seed: int = 0, steps: int = 400, every: int = 10) -> Film:
    """Train a router for four clusters in the plane and keep what it does every `every` steps.

    labels: True trains the router by cross-entropy on the clusters' names, and no expert takes part. False trains
    router and experts (k = 1, form B) on targets tanh(x A_c), each cluster c with its own matrix A_c, and no names.
    Both start with the same W_g. Raises ValueError for steps that `every` does not divide.
    """
    whole_number("steps", steps, least=1, most=100_000)
    if steps % whole_number("every", every, least=1, most=steps):
        raise refuse("every", every, f"a divisor of steps, {steps}")
    train_part, test_part, means = _plane(seed)
    x, target = tensors(train_part)  # (T, 2) each
    name = torch.tensor(train_part.cluster)  # (T,)
    layer = drawn(seed, MoELayer, 2, 8, DOMAINS, 1, "softmax_topk")
    batch, losses = (batches(x, name), naming_error) if labels else (batches(x, target), squared_error)
    history = trained(layer, batch, losses, steps, lr=5e-3, watch=lambda model, _: _frame(model, test_part, labels),
                      watch_at=range(0, steps + 1, every))  # fmt: skip
    loss_name = "cross-entropy, nats" if labels else "error, share of the variance"
    return Film(test_part.x, test_part.cluster, means, loss_name, **frames(history))


def naming_error(layer: Any, batch: tuple[Tensor, Tensor]) -> Losses:
    """Return the cross-entropy of a layer's router, tokens x (B, d) and the names of their clusters (B,)."""
    x, name = batch
    return {"loss": F.cross_entropy(layer.router(x).logits, name)}


def _plane(seed: int) -> tuple[Regression, Regression, np.ndarray]:
    """Draw four clusters in the plane, scaled to root mean square 1 about, each with a target map. And their means."""
    parts = gaussian_domains(d=2, domains=DOMAINS, noise_std=0.8, test_T=1024, seed=seed)
    size = np.sqrt((parts[0].means ** 2).mean() + parts[0].noise_std ** 2)
    maps = np.random.default_rng([seed, 8]).normal(size=(DOMAINS, 2, 2))  # (C, 2, 2)
    train_part, test_part = (
        Regression(p.x / size, np.tanh(np.einsum("td,tde->te", p.x / size, maps[p.domain])), p.domain) for p in parts
    )
    return train_part, test_part, parts[0].means / size


def _frame(layer: Any, part: Regression, labels: bool) -> dict[str, Any]:
    """Measure a layer on the film's tokens."""
    error, routing = _outcome(layer, tensors(part))
    chosen = routing.selected.numpy()  # (T, 1)
    named = naming_error(layer, (tensors(part)[0], torch.tensor(part.cluster)))["loss"]
    return {
        "W_g": layer.router.W_g.detach().double().numpy().copy(),
        "selected": chosen[:, 0],
        "load": metrics.expert_load(chosen, DOMAINS),
        "entropy": metrics.entropy(routing.probs.double().numpy()).mean(),
        "loss": float(named) if labels else error,
        "information": metrics.mutual_information(part.cluster, chosen[:, 0]),
    }
