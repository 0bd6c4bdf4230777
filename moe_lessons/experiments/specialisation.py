"""The measures of lesson 11: train a small language model, route held-out text, and ask what the experts know.

`specialisation_study` trains many with these functions, for the results that the lesson shows.
"""

import zlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from moe_lessons import metrics
from moe_lessons.corpus import text
from moe_lessons.experiments.core import drawn
from moe_lessons.layer import Routing
from moe_lessons.losses import balance_of_layers, z_loss
from moe_lessons.model import Config, LanguageModel, next_token_loss, without_expert, without_layer
from moe_lessons.support.validation import float_array, refuse, whole_number
from moe_lessons.training import History, Losses, train
from moe_lessons.variants import HashRouter

# As many steps as fit into a minute on two slow cores; the rate with the lowest loss on the selection part.
STEPS, BATCH, LR = 500, 8, 8e-3
BALANCE, Z = 0.01, 1e-3
BALANCED = (
    "moe",
    "two_layer",
    "hierarchical",
)  # kinds of layer whose tokens choose freely, so that a loss must balance
UNEVEN = ("threshold", "expert_choice")  # whose tokens have different numbers of experts


class Routes(NamedTuple):
    """How a model routed a part of the text: selected (layers, S, L, k), best first; entropy (layers, S, L) of the
    probabilities, in bits; loss (S, L) of the token that follows, in nats.

    Where tokens have different numbers of experts, −1 stands in the places that are left."""

    selected: np.ndarray
    entropy: np.ndarray
    loss: np.ndarray


# --- training -----------------------------------------------------------------------------------------------------


def build(vocabulary: int, kind: str = "moe", seed: int = 0, **sizes: Any) -> LanguageModel:
    """Return an untrained model of lesson 11; kind: a key of `model.FEED_FORWARDS`."""
    return drawn(seed, LanguageModel, Config(vocabulary, feed_forward=kind, seed=seed, **sizes))


def by_table(label: np.ndarray, values: int, seed: int) -> np.ndarray:
    """Return what a fixed random table of a label (S, L) selects, (S, L, k). values: how many the label can take."""
    ids = torch.from_numpy(np.ascontiguousarray(label))
    return HashRouter(values, Config.num_experts, Config.top_k, seed)(ids).selected.numpy()


def language_losses(model: Any, ids: Tensor, balance_coef: float = BALANCE, z_coef: float = Z) -> Losses:
    """Return the next-token loss of ids (B, L + 1) and what is added to it for routers of BALANCED, a mean over layers.

    balance_coef, z_coef: of the Switch balance loss and of the z-loss.
    """
    ids = ids.to(model.tokens.weight.device)
    logits, decisions = model(ids[:, :-1], return_routing=True)
    task = next_token_loss(logits, ids)
    if model.config.feed_forward not in BALANCED:
        return {"loss": task, "task": task}
    h = torch.stack([d.logits for d in decisions]).flatten(1, 2)  # (layers, B·L, N)
    selected = torch.stack([d.selected for d in decisions]).flatten(1, 2)  # (layers, B·L, k)
    balance, z = balance_of_layers(h, selected).mean(), z_loss(h)
    return {"loss": task + balance_coef * balance + z_coef * z, "task": task, "balance": balance, "z": z}


def batches_of(part: text.Part, seed: int, size: int = BATCH) -> Callable[[int], Tensor]:
    """Return a function from a step to its batch (B, L + 1), the same one every time, all domains alike."""
    per_epoch = len(part.ids) // size

    @lru_cache(maxsize=1)
    def in_epoch(epoch: int) -> list[np.ndarray]:
        stream = text.batches(part, size, np.random.default_rng([seed, epoch]))
        return [next(stream) for _ in range(per_epoch)]

    return lambda step: torch.from_numpy(in_epoch(step // per_epoch)[step % per_epoch])


def train_language_model(
    model: LanguageModel, task: text.TextTask, steps: int = STEPS, where: Any = "cpu", **options: Any
) -> History:
    """Train a model of lesson 11 in place and return its history; the model's seed decides the order of the batches.

    where: the device to train on, say `training.device()`; the model comes back to the CPU. options: for
    `training.train`, and `losses` other than `language_losses`. A checkpoint of another kind, seed or text (it depends
    on the Python version) is refused.
    """
    kind, seed = model.config.feed_forward, model.config.seed
    belongs_to = {"kind": kind, "seed": seed, "text": zlib.crc32(task.train.ids.tobytes())}
    options = {"losses": language_losses, "lr": LR, "belongs_to": belongs_to, **options}
    model.to(where)
    try:
        return train(model, batches_of(task.train, seed), steps=steps, **options)
    finally:
        model.cpu()


# --- recording ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def record(model: LanguageModel, ids: np.ndarray, size: int = 50) -> Routes:
    """Route sequences ids (S, L + 1) and return what every layer decided, with the loss of every token."""
    model.eval()
    found = [_record_some(model, torch.from_numpy(ids[start : start + size])) for start in range(0, len(ids), size)]
    selected, entropy, loss = zip(*found, strict=True)
    return Routes(np.concatenate(widened(selected), axis=1), np.concatenate(entropy, axis=1), np.concatenate(loss))


def widened(selected: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Return choices (..., k) of different k with the largest k of all, −1 in the places that are left."""
    found = list(selected)
    most = max(chosen.shape[-1] for chosen in found)
    return [
        np.pad(chosen, [(0, 0)] * (chosen.ndim - 1) + [(0, most - chosen.shape[-1])], constant_values=-1)
        for chosen in found
    ]


def chosen_of(decided: Routing, uneven: bool) -> np.ndarray:
    """Return the experts that a router selected, (..., k); if uneven, −1 for those whose weight is 0."""
    if not uneven:
        return decided.selected.numpy()
    return torch.where(decided.weights > 0, decided.selected, -1).numpy()


def _record_some(model: LanguageModel, ids: Tensor) -> Routes:
    """Record one batch (B, L + 1)."""
    logits, decisions = model(ids[:, :-1], return_routing=True)
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")  # (B, L)
    if decisions[0] is None:
        empty = np.zeros((0, *loss.shape))
        return Routes(empty, empty, loss.numpy())
    uneven = model.config.feed_forward in UNEVEN
    selected = np.stack(widened(chosen_of(d, uneven) for d in decisions))  # (layers, B, L, k)
    entropy = np.stack([metrics.entropy(d.probs.double().numpy(), base=2) for d in decisions])  # (layers, B, L)
    return Routes(selected, entropy, loss.numpy())


def router_inputs(model: LanguageModel, ids: np.ndarray) -> list[Tensor]:
    """Return for each layer what its router sees of sequences ids (S, L + 1): the normalised stream, (S, L, d)."""
    routers = [block.feed_forward.router for block in model.blocks]  # type: ignore[union-attr]
    seen = _while_reading(model, ids, routers, lambda given, _decided: given)
    return [states.view(len(ids), ids.shape[1] - 1, -1) for states in seen]


@torch.no_grad()
def _while_reading(
    model: LanguageModel, ids: np.ndarray, modules: Iterable[Any], take: Callable[[Tensor, Any], Tensor]
) -> list[Tensor]:
    """Return for each module take(its input, its output) while the model reads sequences ids (S, L + 1), (S·L, d)."""
    modules = list(modules)
    kept: list[list[Tensor]] = [[] for _ in modules]
    with ExitStack() as watched:
        for module, taken in zip(modules, kept, strict=True):
            handle = module.register_forward_hook(
                lambda _, given, output, taken=taken: taken.append(take(given[0], output).flatten(0, -2))
            )
            watched.callback(handle.remove)
        record(model, ids)
    return [torch.cat(taken) for taken in kept]


def random_gate(states: Tensor, num_experts: int = 8, top_k: int = 2, seed: int = 0) -> np.ndarray:
    """Return what a router that has learned nothing selects from what a trained one sees, (..., k), best first.

    states (..., d): as `router_inputs` returns for a layer. The matrix is drawn from a normal distribution. So that
    loads are nearly even, as those of a router trained with a balance loss, each expert's logits are standardised: less
    their mean over all tokens, over their standard deviation. What its experts tell, the stream holds; none chose it.
    """
    drawn_matrix = torch.randn(states.shape[-1], num_experts, generator=torch.Generator().manual_seed(seed))  # (d, N)
    h = (states @ drawn_matrix).flatten(0, -2)  # (T, N)
    h = (h - h.mean(dim=0)) / h.std(dim=0, correction=0).clamp_min(1e-9)
    return h.topk(top_k, dim=-1).indices.view(*states.shape[:-1], top_k).numpy()


# --- measuring ----------------------------------------------------------------------------------------------------


def labels_of(part: text.Part) -> dict[str, np.ndarray]:
    """Return the labels of the tokens that are routed, (S, L) each: token, sequence, and the classes of the text.

    previous: the token before, or −1. pair: a number for every combination of the two.
    """
    ids = part.ids[:, :-1]
    previous = np.concatenate([np.full((len(ids), 1), -1), ids[:, :-1]], axis=1)  # (S, L)
    sequence = np.broadcast_to(np.arange(len(ids))[:, None], ids.shape)
    pair = np.unique((previous + 1) * (ids.max() + 1) + ids, return_inverse=True)[1].reshape(ids.shape)  # (S, L)
    own = {"token": ids, "previous": previous, "pair": pair, "sequence": sequence}
    return own | {name: values[:, :-1] for name, values in part.classes.items()}


def information(
    selected: np.ndarray, labels: dict[str, np.ndarray], about: str, given: str | None = None, draws: int = 100
) -> dict[str, float]:
    """Return in bits what the expert of an assignment tells about a class, with its null and the excess over its bias.

    selected: (S, L, k). The null deals the sequences' labels out anew. With `given`, the excess takes the bias off that
    remains when each token keeps its sequences (`metrics.permutation_null`, within_given).
    """
    wanted = [labels[about], labels["sequence"]] + ([labels[given]] if given else [])
    expert, a, sequence, *rest = metrics.per_assignment(selected, *wanted)
    condition = rest[0] if rest else None
    value = metrics.mutual_information(a, expert, condition, base=2)
    null = metrics.permutation_null(a, expert, sequence, condition, draws=draws, base=2)
    within = given and (a.reshape(selected.shape).min(axis=(1, 2)) == a.reshape(selected.shape).max(axis=(1, 2))).all()
    bias = (
        metrics.permutation_null(a, expert, sequence, condition, draws=20, base=2, within_given=True)
        if within
        else null
    )
    return {
        "bits": value,
        "null_mean": float(null.mean()),
        "null_95": float(np.quantile(null, 0.95)),
        "excess": metrics.excess(value, bias),
    }


ABOUT = ("domain", "shape", "python", "function", "position", "frequency")
GIVEN = {"domain_given_token": "token", "domain_given_pair": "pair"}  # what else is known when the domain is asked


def measure(routes: Routes, part: text.Part, num_experts: int, draws: int = 100) -> list[dict[str, Any]]:
    """Return for each layer all measures of lesson 11, ready for JSON."""
    labels = labels_of(part)
    return [
        _measure_layer(chosen, entropy, labels, num_experts, draws)
        for chosen, entropy in zip(routes.selected, routes.entropy, strict=True)
    ]


def _measure_layer(
    chosen: np.ndarray, entropy: np.ndarray, labels: dict, num_experts: int, draws: int
) -> dict[str, Any]:
    """chosen: (S, L, k). entropy: (S, L)."""
    load = metrics.expert_load(chosen, num_experts)
    first, sequence = chosen[..., 0].ravel(), labels["sequence"].ravel()
    together = metrics.co_activation(chosen, num_experts)
    off = together[~np.eye(num_experts, dtype=bool)]
    return {
        "load": load.tolist(),
        "max_violation": float(metrics.max_violation(load)),
        "dead": len(metrics.dead_experts(load)),
        "entropy_bits": float(entropy.mean()),
        "repetition": metrics.consecutive_repetition(first, sequence, num_experts)._asdict(),
        "co_activation_max": float(np.nanmax(off)),
        "domain_specialisation": metrics.domain_specialisation(chosen, labels["domain"], num_experts).tolist(),
        "information": {name: information(chosen, labels, name, draws=draws) for name in ABOUT},
        "token": information(chosen, labels, "token", draws=5),
        **{name: information(chosen, labels, "domain", given, draws) for name, given in GIVEN.items()},
    }


def false_alarms(seed: int, S: int = 40, L: int = 64, N: int = 8) -> list[bool]:
    """Return whether shuffled tokens, and shuffled sequences, see a tie of domain and expert where there is none.

    S sequences of L tokens each have favourites of their own among N experts; their domains are drawn without a look at
    them. An alarm: the information is above 95 % of the shuffles.
    """
    rng = np.random.default_rng(seed)
    favourites = rng.dirichlet(np.ones(N), size=S)  # (S, N)
    expert = np.concatenate([rng.choice(N, size=L, p=row) for row in favourites])  # (S·L,)
    domain, sequence = np.repeat(rng.integers(4, size=S), L), np.repeat(np.arange(S), L)  # (S·L,) each
    value = metrics.mutual_information(domain, expert, base=2)
    units = (np.arange(S * L), sequence)  # each token by itself; each sequence as a whole
    nulls = [metrics.permutation_null(domain, expert, unit, draws=60, base=2, rng=seed) for unit in units]
    return [bool(value > np.quantile(null, 0.95)) for null in nulls]


def best_layer(layers: list[dict[str, Any]]) -> int:
    """Return the layer whose experts know most of the domain beyond the token: to be chosen on the selection part."""
    return int(np.argmax([layer["domain_given_token"]["excess"] for layer in layers]))


@torch.no_grad()
def loss_by_domain(model: LanguageModel, part: text.Part) -> list[float]:
    """Return the mean loss in nats per token of each domain."""
    loss = record(model, part.ids).loss.mean(axis=1)  # (S,)
    return [float(loss[part.domain == i].mean()) for i in range(int(part.domain.max()) + 1)]


def ablation(model: LanguageModel, part: text.Part, layer: int) -> np.ndarray:
    """Return (N, domains): by how much the loss of each domain rises, in nats per token, when one expert is off."""
    whole = np.array(loss_by_domain(model, part))
    rows = []
    for expert in range(model.config.num_experts):
        with without_expert(model, layer, expert):
            rows.append(np.array(loss_by_domain(model, part)) - whole)
    return np.array(rows)


def layer_ablation(
    model: LanguageModel,
    part: text.Part,
    instead: Tensor | None = None,
    groups: Iterable[Iterable[int]] | None = None,
) -> np.ndarray:
    """Return (groups, domains): by how much the loss of each domain rises, in nats per token, without whole layers.

    groups: layers that are off together; by default each by itself. instead (layers, V, d): what a layer adds by token
    id in place of nothing, as of `mean_outputs`.
    """
    whole, rows = np.array(loss_by_domain(model, part)), []
    for group in groups or [[layer] for layer in range(model.config.layers)]:
        with ExitStack() as off:
            for layer in group:
                off.enter_context(without_layer(model, layer, None if instead is None else instead[layer]))
            rows.append(np.array(loss_by_domain(model, part)) - whole)
    return np.array(rows)


def mean_outputs(model: LanguageModel, part: text.Part) -> Tensor:
    """Return (layers, V, d): what each feed-forward layer adds to the stream of a token id, on average; 0 if unseen."""
    ids = torch.from_numpy(np.ascontiguousarray(part.ids[:, :-1])).flatten()  # (S·L,)
    V, d = model.tokens.weight.shape
    layers = [block.feed_forward for block in model.blocks]
    outputs = _while_reading(model, part.ids, layers, lambda _given, output: output[0])  # (S·L, d) each
    sums = torch.stack([torch.zeros(V, d).index_add(0, ids, y) for y in outputs])  # (layers, V, d)
    return sums / torch.bincount(ids, minlength=V).clamp(min=1)[:, None]


def splice(part: text.Part, at: int, same_domain: bool, rng: int = 0) -> np.ndarray:
    """Return ids (S, L + 1) whose first `at` tokens are another document's, of the same domain or of another one."""
    alike = part.domain[:, None] == part.domain  # (S, S)
    fits = (alike == same_domain) & (part.document[:, None] != part.document)  # (S, S)
    chance = np.random.default_rng(rng)
    donor = np.array([chance.choice(np.flatnonzero(row)) for row in fits])  # (S,)
    return np.concatenate([part.ids[donor, :at], part.ids[:, at:]], axis=1)


def kept_choices(model: LanguageModel, part: text.Part, at: int = 64, gap: int = 32) -> dict[str, np.ndarray]:
    """Return what share of the choices stays, (layers,), when the first `at` tokens are another document's.

    Only choices more than `gap` tokens after the seam are compared, and only the text before it differs: by another
    document of the same domain, or of another one.
    """
    usual = record(model, part.ids).selected[:, :, at + gap :]  # (layers, S, l, k)
    found = {}
    for name, same in (("of the same domain", True), ("of another domain", False)):
        now = record(model, splice(part, at, same)).selected[:, :, at + gap :]
        found[name] = np.array([metrics.saturation(*pair) for pair in zip(now, usual, strict=True)])
    return found


def left_to_know(labels: dict[str, np.ndarray], about: str, given: str | None = None) -> float:
    """Return H(about | given) in bits, from the counts of all tokens."""
    values = labels[about].ravel()
    all_of_it = metrics.mutual_information(values, values, base=2)  # H(about)
    return all_of_it - (0.0 if given is None else metrics.mutual_information(values, labels[given].ravel(), base=2))


def per_served_token(rise: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return (N, domains): what an expert's absence costs per token that it serves, in nats.

    rise: (N, domains), the `ablation`. share: (N, domains), the share of a domain's tokens that the expert serves, from
    0 to 1. An expert that serves no token of a domain costs it nothing: 0.
    Raises ValueError for tables of other shapes, for a share outside 0 to 1, and for a rise that is not finite.
    """
    rise = float_array("rise", rise)
    share = float_array("share", share, allow=lambda a: (a >= 0) & (a <= 1), expected="a share from 0 to 1")
    if rise.ndim != 2 or share.shape != rise.shape:
        raise refuse("share.shape", share.shape, f"(N, domains), as that of rise, {rise.shape}")
    return np.divide(rise, share, out=np.zeros(rise.shape), where=share > 0)


def hits(share: np.ndarray, cost: np.ndarray) -> int:
    """Return how many experts cost that domain most which they serve most. share, cost: (N, domains)."""
    return int((share.argmax(axis=1) == cost.argmax(axis=1)).sum())


def hits_by_serving(
    share: np.ndarray,
    rise: np.ndarray,
    draws: int = 2000,
    rng: int = 0,
    within: bool = False,
    per_token: bool = False,
) -> np.ndarray:
    """Return the null of `hits(share, rise)`, (draws,): what serving explains by itself.

    An expert can only hurt tokens that it serves, so the rise grows with the share even if no expert is better at one
    domain than at another. Each draw deals the damage per served token out at random among all experts and domains,
    or within each domain among its experts, and multiplies it by the shares again; or, per_token, leaves it as it is,
    as the null of hits that are counted per served token. share, rise: (N, domains). rng: a seed.
    Raises ValueError as `per_served_token`, and for draws below 1.
    """
    whole_number("draws", draws, least=1, most=10**6)
    damage, dealer = per_served_token(rise, share), np.random.default_rng(rng)  # (N, domains)
    deal = partial(dealer.permuted, axis=0 if within else None)
    factor = 1.0 if per_token else share
    return np.array([hits(share, factor * deal(damage)) for _ in range(draws)])


def some_of(part: text.Part, sequences: int) -> text.Part:
    """Return the first sequences of a part: their domains alternate, so all keep equal shares."""
    rows = slice(0, sequences)
    classes = {name: values[rows] for name, values in part.classes.items()}
    return text.Part(part.ids[rows], part.domain[rows], part.document[rows], classes)
