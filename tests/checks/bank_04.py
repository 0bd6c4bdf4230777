"""Answers to set 04: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import math

import numpy as np
import torch

GENERATOR = np.random.default_rng(0)


def softmax(h, axis=-1):
    e = np.exp(h - h.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def order(h, k):
    return np.argsort(-h, axis=-1, kind="stable")[..., :k]


def ranks(h, axis=-1):
    return np.argsort(np.argsort(-h, axis=axis, kind="stable"), axis=axis)


def column(k):
    return np.reshape(k, (*np.shape(k), 1))


def mask(h, k, axis=-1):
    return ranks(h, axis) < column(k)


# --- 4.1 ----------------------------------------------------------------------------------------------------------


def cut(h, kept):
    return np.where(kept, h, -np.inf)


def keep(h, k):
    return cut(h, mask(h, k))


def kth(h, k):
    ks = np.broadcast_to(k, h.shape[:-1])
    return np.take_along_axis(np.sort(h, axis=-1), h.shape[-1] - column(ks), axis=-1)


def keep_by_index(logits, k):
    if np.ndim(k):
        return np.stack([keep_by_index(h, int(one)) for h, one in zip(logits, k, strict=True)])
    kept = np.full(logits.shape, -np.inf)
    chosen = order(logits, k)
    np.put_along_axis(kept, chosen, np.take_along_axis(logits, chosen, -1), -1)
    return kept


def keep_by_loop(logits, k):
    def row(h, k):
        best = sorted(range(len(h)), key=lambda i: (-h[i], i))[:k]
        return [h[i] if i in best else -float("inf") for i in range(len(h))]

    if logits.ndim == 1:
        return row(logits, k)
    return [row(h, one) for h, one in zip(logits, np.broadcast_to(k, len(logits)), strict=True)]


def keep_in_place(logits, k):
    logits[ranks(logits) >= column(k)] = -np.inf
    return logits


def keep_in_torch(logits, k):
    h = torch.tensor(logits)
    places = torch.argsort(torch.argsort(h, dim=-1, descending=True, stable=True), dim=-1)
    return h.masked_fill(places >= torch.as_tensor(k).unsqueeze(-1), -torch.inf)


def keep_by_repeated_argmax(logits, k):
    rest, kept = logits.copy(), np.full_like(logits, -np.inf)
    for i in range(np.max(k)):
        best = rest.argmax(-1)[..., None]
        wanted = i < column(k)
        here = np.take_along_axis(kept, best, -1)
        np.put_along_axis(kept, best, np.where(wanted, np.take_along_axis(logits, best, -1), here), -1)
        np.put_along_axis(rest, best, -np.inf, -1)
    return kept


def keep_by_counting(logits, k):
    """The rank of an expert is the number of those that come before it."""
    i = np.arange(logits.shape[-1])
    a, b = logits[..., :, None], logits[..., None, :]
    before = ((b > a) | ((b == a) & (i[None, :] < i[:, None]))).sum(-1)
    return cut(logits, before < column(k))


def keep_with_a_bonus_for_odd_places(logits, k):
    """As an unstable sort might: of equal logits now the lower, now the higher index."""
    return cut(logits, mask(logits + 1e-9 * (np.arange(logits.shape[-1]) % 2), k))


def keep_nudged(step):
    """Of equal logits the lower index comes first, for all are lowered by their index."""
    return lambda logits, k: cut(logits, mask(logits - step * np.arange(logits.shape[-1]), k))


def keep_last_of_the_tied(logits, k):
    upwards = np.argsort(np.argsort(logits, axis=-1, kind="stable"), axis=-1)
    return cut(logits, logits.shape[-1] - 1 - upwards < column(k))


def keep_by_topk(logits, k):
    kept = torch.full(logits.shape, -torch.inf, dtype=torch.float64)
    for row, h, many in zip(
        np.ndindex(logits.shape[:-1]), rows_of(logits), np.ravel(k + 0 * logits[..., 0]), strict=True
    ):
        values, chosen = torch.topk(torch.tensor(h), int(many))
        kept[row][chosen] = values
    return kept


def keep_by_value(logits, k):
    kept = np.full(rows_of(logits).shape, -np.inf)
    for row, h, many in zip(kept, rows_of(logits).tolist(), np.ravel(k + 0 * logits[..., 0]), strict=True):
        for value in sorted(h, reverse=True)[: int(many)]:
            row[h.index(value)] = value
    return kept.reshape(logits.shape)


def rows_of(logits):
    return logits.reshape(-1, logits.shape[-1])


def keep_all_but_the_smallest(logits, k):
    """Right: what is set to −∞ are the last N − k of those that are sorted downwards."""
    kept = rows_of(logits.astype(float))
    for h, many in zip(kept, np.ravel(k + 0 * logits[..., 0]).astype(int), strict=True):
        h[np.argsort(-h, kind="stable")[many:]] = -np.inf
    return kept.reshape(logits.shape)


def keep_over_the_batch(logits, k):
    return cut(logits, ranks(logits.reshape(-1)).reshape(logits.shape) < column(k))


# --- 4.2 ----------------------------------------------------------------------------------------------------------


def gate(logits, k, form, **changes):
    """A right gate in which single forms can be replaced by functions of h, k, p and the mask."""
    selected, p = mask(logits, k), softmax(logits)
    if form in changes:
        return changes[form](h=logits, k=k, p=p, m=selected)
    if form == "topk_softmax":
        return softmax(np.where(selected, logits, -np.inf))
    kept = np.where(selected, p, 0)
    return kept if form == "softmax_topk" else kept / kept.sum(-1, keepdims=True)


def broken_gate(**changes):
    return lambda logits, k, form: gate(logits, k, form, **changes)


def softmax_by_sum(h, axis=-1, less=0.0):
    """Without, or with another than each row's largest logit subtracted."""
    with np.errstate(all="ignore"):
        return np.exp(h - less) / np.exp(h - less).sum(axis=axis, keepdims=True)


def unguarded_softmax(h, axis=-1):
    with np.errstate(all="ignore"):
        return softmax(h, axis)


def gate_keeping(marked, take_softmax=unguarded_softmax):
    """A gate that keeps whatever is marked, and takes the softmax that is given."""

    def gate_of(logits, k, form):
        kept = marked(logits, k)
        if form == "topk_softmax":
            return take_softmax(np.where(kept, logits, -np.inf))
        p = np.where(kept, take_softmax(logits), 0)
        with np.errstate(all="ignore"):
            return p if form == "softmax_topk" else p / p.sum(-1, keepdims=True)

    return gate_of


def gate_by_the_kth_probability(logits, k, form):
    p = softmax(logits)
    kept = np.where(p >= np.sort(p, -1)[..., -k, None], p, 0)
    if form == "topk_softmax":
        return gate(logits, k, form)
    return kept if form == "softmax_topk" else kept / kept.sum(-1, keepdims=True)


def gate_of_the_last_of_the_tied(logits, k, form):
    return gate(logits[..., ::-1], k, form)[..., ::-1]


def divided_by_columns(w):
    with np.errstate(all="ignore"):
        return w / w.sum(axis=0)


def divided_by_rows(w):
    with np.errstate(all="ignore"):
        return w / w.sum(axis=-1, keepdims=True)


def gate_in_torch(logits, k, form):
    h = torch.tensor(logits)
    kept = torch.zeros_like(h).scatter(-1, torch.sort(h, dim=-1, descending=True, stable=True).indices[..., :k], 1)
    if form == "topk_softmax":
        return torch.softmax(h.masked_fill(kept == 0, -torch.inf), -1)
    p = torch.softmax(h, -1) * kept
    return p if form == "softmax_topk" else torch.nn.functional.normalize(p, p=1, dim=-1)


def gate_in_torch_by_topk(logits, k, form):
    """Of equal logits `torch.topk` promises none."""
    h = torch.tensor(logits)
    p = torch.softmax(h, -1)
    values, chosen = torch.topk(h if form == "topk_softmax" else p, k)
    if form == "topk_softmax":
        values = torch.softmax(values, -1)
    elif form == "softmax_topk_renorm":
        values = values / values.sum(-1, keepdim=True)
    return torch.zeros_like(p).scatter(-1, chosen, values)


def gate_by_loop(logits, k, form):
    if logits.ndim > 1:
        return [gate_by_loop(row, k, form) for row in logits]
    best = sorted(range(len(logits)), key=lambda i: -logits[i])[:k]
    e = [np.exp(value - max(logits)) for value in logits]
    whole = sum(e) if form == "softmax_topk" else sum(e[i] for i in best)
    return [e[i] / whole if i in best else 0.0 for i in range(len(e))]


def gate_that_renormalises_twice(logits, k, form):
    every = np.exp(logits - logits.max(axis=-1, keepdims=True))
    e = every * mask(logits, k)
    total = every if form == "softmax_topk" else e
    return np.einsum("...n,...->...n", e, 1 / total.sum(-1))


# --- 4.4 ----------------------------------------------------------------------------------------------------------


def revealed(logits, layer):
    """The weights, one expert at a time."""
    return np.array([float(layer(np.eye(len(logits))[:, [i]])[0]) for i in range(len(logits))])


def of_weights(measure):
    """An answer that is `measure` of the weights and the mask of the selected."""
    return lambda logits, k, layer: measure(layer(np.eye(len(logits))), mask(logits, k))


def leak_by_loop(logits, k, layer):
    best = sorted(range(len(logits)), key=lambda i: -logits[i])[:k]
    total = 0.0
    for i in range(len(logits)):
        outputs = [[1.0 if i == j else 0.0] for j in range(len(logits))]
        total += 0 if i in best else layer(outputs)[0]
    return total


def leak_in_torch(logits, k, layer):
    chosen = torch.sort(torch.as_tensor(logits), descending=True, stable=True).indices[:k]
    weights = torch.tensor(layer(torch.eye(len(logits))))
    return weights.scatter(-1, chosen, 0).sum()


def leak_by_solving(logits, k, layer):
    """Outputs at random tell the experts apart as well."""
    outputs = np.random.default_rng(0).normal(size=(len(logits), len(logits)))
    return np.linalg.solve(outputs.T, layer(outputs))[~mask(logits, k)].sum()


# --- 4.5 ----------------------------------------------------------------------------------------------------------


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def one_hot(logits, value=1.0, best=None):
    w = np.zeros(len(logits))
    w[np.argmax(logits) if best is None else best] = value
    return w


def lone(score):
    return lambda logits: one_hot(logits, score(logits.max()))


def live_in_torch(logits):
    h = torch.tensor(logits)
    return torch.nn.functional.one_hot(h.argmax(), len(h)) * torch.sigmoid(h.max())


def divided_by_its_sum(logits):
    w = one_hot(logits, sigmoid(logits.max()))
    return w / w.sum()


WRONG = {
    "4.1": {
        "largest k": lambda logits, k: keep_by_index(logits, int(np.max(k))),
        "smallest k": lambda logits, k: keep_by_index(logits, int(np.min(k))),
        "first token's k": lambda logits, k: keep_by_index(logits, int(np.atleast_1d(k)[0])),
        "last token's k": lambda logits, k: keep_by_index(logits, int(np.atleast_1d(k)[-1])),
        "masked with 0": lambda logits, k: np.where(mask(logits, k), logits, 0.0),
        "more than k": lambda logits, k: cut(logits, logits >= kth(logits, k)),
        "strictly above": lambda logits, k: cut(logits, logits > kth(logits, k)),
        "last of the tied": keep_last_of_the_tied,
        "another of the tied": keep_with_a_bonus_for_odd_places,
        "smallest": lambda logits, k: cut(logits, mask(-logits, k)),
        "order for rank": lambda logits, k: cut(logits, order(logits, None) < column(k)),
        "k cut": lambda logits, k: keep(logits, logits.shape[-1] - k),
        "one too many": lambda logits, k: cut(logits, ranks(logits) <= column(k)),
        "one too few": lambda logits, k: cut(logits, ranks(logits) + 1 < column(k)),
        "k is 2": lambda logits, k: keep_by_index(logits, 2),
        "of the probabilities": lambda logits, k: keep(softmax(logits), k),
        "finite cut": lambda logits, k: np.where(mask(logits, k), logits, -1e9),
        "along the tokens": lambda logits, k: cut(logits, mask(logits, k, axis=0)),
        "over the whole batch": keep_over_the_batch,
        "over the whole batch (2)": lambda logits, k: cut(
            logits, ranks(logits.reshape(-1)).reshape(logits.shape) < np.broadcast_to(k, logits.shape[:-1]).sum()
        ),
        "looked up by value": keep_by_value,
        "k values": lambda logits, k: cut(
            logits,
            np.reshape([[np.sum(np.unique(h) > v) for v in h] for h in rows_of(logits)], logits.shape) < column(k),
        ),
        "first k": lambda logits, k: cut(logits, (np.arange(logits.shape[-1]) + 0 * logits) < column(k)),
        "kept 0 lost": lambda logits, k: np.where(logits * mask(logits, k), logits, -np.inf),
        "largest sizes": lambda logits, k: cut(logits, mask(np.abs(logits), k)),
        "nudged": keep_nudged(1e-3),
        "nudged (2)": keep_nudged(1e-6),
        "another token's k": lambda logits, k: keep(logits, k[::-1] if np.ndim(k) else k),
        "another token's k (2)": lambda logits, k: keep_by_index(logits, np.sort(k, axis=None) if np.ndim(k) else k),
        "NaN for the cut": lambda logits, k: np.where(mask(logits, k), logits, np.nan),
        "only the kept": lambda logits, k: -np.sort(-logits, axis=-1)[..., : np.max(k)],
        "whole numbers": lambda logits, k: np.where(mask(logits, k), logits.astype(int), -np.inf),
        "another of the tied (2)": keep_by_topk,
        "best alone": lambda logits, k: cut(logits, mask(logits, 1)),
        "shifted": lambda logits, k: keep(logits - logits.max(-1, keepdims=True), k),
        "finite cut (2)": lambda logits, k: np.where(mask(logits, k), logits, -1.0),
        "sorted": lambda logits, k: np.sort(keep(logits, k), axis=-1)[..., ::-1],
        "sorted (2)": lambda logits, k: np.sort(keep(logits, k), axis=-1),
        "indices": lambda logits, k: order(logits, None),
        "only the kept (2)": lambda logits, k: (
            keep(logits, k)[mask(logits, k)]
            if logits.ndim == 1
            else [row[chosen] for row, chosen in zip(logits, mask(logits, k), strict=True)]
        ),
        "plus infinity": lambda logits, k: np.where(mask(logits, k), logits, np.inf),
        "turned round": lambda logits, k: cut(logits, ~mask(logits, k)),
        "fewer than k": lambda logits, k: cut(
            logits, np.sum(logits[..., None, :] >= logits[..., None], -1) <= column(k)
        ),
        "batch of one": lambda logits, k: keep(np.atleast_2d(logits), k),
        "one k for all": lambda logits, k: keep_by_index(logits, int(np.mean(k))),
        "smallest (2)": lambda logits, k: cut(logits, np.argsort(np.argsort(logits, axis=-1), axis=-1) < column(k)),
        "smallest (3)": lambda logits, k: cut(logits, mask(-logits[..., ::-1], k)[..., ::-1]),
        "smallest (4)": lambda logits, k: cut(logits, ranks(logits) >= logits.shape[-1] - column(k)),
        "order for rank (2)": lambda logits, k: cut(logits, np.argsort(-logits, axis=-1) < column(k)),
        "largest k (2)": lambda logits, k: keep_last_of_the_tied(logits, np.max(k)),
        "masked with 0 (2)": lambda logits, k: np.where(np.isinf(keep_last_of_the_tied(logits, k)), 0, logits),
        "one too many (2)": lambda logits, k: keep_last_of_the_tied(logits, k + 1),
        "masked with 0 (3)": lambda logits, k: np.where(mask(logits, k), logits, -np.inf if logits.ndim == 1 else 0.0),
        "ranks": lambda logits, k: ranks(logits),
        "mask": mask,
        "softmax taken": lambda logits, k: softmax(keep(logits, k)),
    },
    "4.2": {
        "masked with 0": broken_gate(topk_softmax=lambda h, m, **_: softmax(h * m)),
        "masked with 0 (8)": broken_gate(
            topk_softmax=lambda h, m, **_: softmax(h * m), softmax_topk_renorm=lambda p, m, **_: p * m
        ),
        "always renormalised (8)": broken_gate(
            softmax_topk=lambda p, m, **_: p * m / (p * m).sum(-1, keepdims=True),
            softmax_topk_renorm=lambda p, m, **_: p * m / (p * m).max(),
        ),
        "selected by probability": gate_keeping(lambda h, k: mask(softmax(h), k), softmax),
        "overflow": gate_keeping(mask, softmax_by_sum),
        "overflow (2)": broken_gate(softmax_topk=lambda h, m, **_: softmax_by_sum(h) * m),
        "overflow (3)": gate_keeping(mask, lambda h: softmax_by_sum(h, less=h.max())),
        "overflow (4)": lambda logits, k, form: softmax_by_sum(logits) * mask(logits, k),
        "nudged": gate_keeping(lambda h, k: np.isfinite(keep_nudged(1e-3)(h, k))),
        "leak cut off": broken_gate(topk_softmax=lambda h, m, **_: softmax(h * m) * m),
        "divided logits (2)": broken_gate(topk_softmax=lambda h, m, **_: h * m / (h * m).sum(-1, keepdims=True)),
        "second softmax": broken_gate(softmax_topk_renorm=lambda p, m, **_: softmax(np.where(m, p, -np.inf))),
        "second softmax over all": broken_gate(softmax_topk_renorm=lambda p, m, **_: softmax(p * m)),
        "always renormalised": lambda logits, k, form: gate(logits, k, "topk_softmax"),
        "never renormalised": broken_gate(softmax_topk_renorm=lambda p, m, **_: p * m),
        "forms swapped": lambda logits, k, form: gate(
            logits, k, {"topk_softmax": "softmax_topk", "softmax_topk": "topk_softmax"}.get(form, form)
        ),
        "the wrong one renormalised": lambda logits, k, form: gate(
            logits, k, {"softmax_topk": "topk_softmax", "softmax_topk_renorm": "softmax_topk"}.get(form, form)
        ),
        "always the probabilities": lambda logits, k, form: gate(logits, k, "softmax_topk"),
        "second softmax (2)": broken_gate(topk_softmax=lambda p, m, **_: softmax(np.where(m, p, -np.inf))),
        "second softmax (3)": broken_gate(topk_softmax=lambda h, m, **_: softmax(softmax(np.where(m, h, -np.inf)))),
        "second softmax (4)": broken_gate(topk_softmax=lambda h, m, **_: softmax(softmax(np.where(m, h, -np.inf))) * m),
        "divided by the largest": broken_gate(
            softmax_topk_renorm=lambda p, m, **_: p * m / (p * m).max(-1, keepdims=True)
        ),
        "smallest": gate_keeping(lambda h, k: mask(-h, k)),
        "one too many": gate_keeping(lambda h, k: mask(h, k + 1)),
        "one too many (2)": gate_keeping(lambda h, k: ranks(h) <= k),
        "one too few": gate_keeping(lambda h, k: ranks(h) + 1 < k),
        "strictly above": gate_keeping(lambda h, k: h > kth(h, k)),
        "first k": gate_keeping(lambda h, k: np.arange(h.shape[-1]) + 0 * h < k),
        "largest sizes": gate_keeping(lambda h, k: mask(np.abs(h), k)),
        "best alone": gate_keeping(lambda h, k: mask(h, 1)),
        "sigmoid": gate_keeping(mask, lambda h: sigmoid(h)),
        "order for rank": gate_keeping(lambda h, k: np.argsort(-h) < k),
        "turned round": gate_keeping(lambda h, k: ~mask(h, k)),
        "along the tokens": gate_keeping(lambda h, k: mask(h, k, axis=0)),
        "over the whole batch": gate_keeping(lambda h, k: ranks(h.reshape(-1)).reshape(h.shape) < k),
        "smallest (2)": gate_keeping(lambda h, k: mask(-h[..., ::-1], k)[..., ::-1]),
        "smallest (3)": lambda logits, k, form: gate(
            logits, k, form, softmax_topk=lambda h, k, p, **_: p * mask(-h, k)
        ),
        "last of the tied": gate_of_the_last_of_the_tied,
        "another of the tied": gate_in_torch_by_topk,
        "another of the tied (2)": gate_keeping(lambda h, k: mask(h + 1e-9 * (np.arange(h.shape[-1]) % 2), k)),
        "fewer than k": gate_keeping(lambda h, k: h > (kth(h, k + 1) if k < h.shape[-1] else -np.inf)),
        "looked up by value": gate_keeping(lambda h, k: np.isfinite(keep_by_value(h, k))),
        "kept 0 lost": gate_keeping(lambda h, k: h * mask(h, k) != 0),
        "k is 2": gate_keeping(lambda h, k: mask(h, 2)),
        "over the tokens": gate_keeping(mask, lambda h: unguarded_softmax(h, axis=0)),
        "over the tokens (2)": broken_gate(softmax_topk=lambda h, m, **_: softmax(h, axis=0) * m),
        "over the tokens (3)": broken_gate(
            softmax_topk=lambda h, m, **_: softmax(h, axis=0) * m,
            softmax_topk_renorm=lambda h, m, **_: divided_by_rows(softmax(h, axis=0) * m),
        ),
        "sum over the tokens": broken_gate(softmax_topk_renorm=lambda p, m, **_: divided_by_columns(p * m)),
        "shared equally": broken_gate(
            softmax_topk_renorm=lambda p, m, k, **_: m * (p + (1 - (p * m).sum(-1, keepdims=True)) / k)
        ),
        "shared equally (2)": broken_gate(
            softmax_topk_renorm=lambda p, m, **_: p * m + (1 - (p * m).sum(-1, keepdims=True)) / p.shape[-1]
        ),
        "multiplied by the sum": broken_gate(
            softmax_topk_renorm=lambda p, m, **_: p * m * (p * m).sum(-1, keepdims=True)
        ),
        "not divided": broken_gate(topk_softmax=lambda h, m, **_: np.exp(np.where(m, h, -np.inf))),
        "logits as weights": broken_gate(topk_softmax=lambda h, m, **_: h * m),
        "batch of one": lambda logits, k, form: gate(np.atleast_2d(logits), k, form),
        "B for A": broken_gate(topk_softmax=lambda p, m, **_: p * m),
        "forms mixed up": lambda logits, k, form: gate(
            logits, k, "topk_softmax" if form == "softmax_topk" else "softmax_topk"
        ),
        "nothing cut (2)": lambda logits, k, form: softmax(
            np.where(mask(logits, k) | (form != "topk_softmax"), logits, -np.inf)
        ),
        "nothing cut (3)": lambda logits, k, form: softmax(logits),
        "divided by k": broken_gate(softmax_topk_renorm=lambda p, m, k, **_: p * m / k),
        "sum over the batch": broken_gate(softmax_topk_renorm=lambda p, m, **_: p * m / (p * m).sum()),
        "softmax over the batch": broken_gate(
            topk_softmax=lambda h, m, **_: (e := np.exp(h - h.max()) * m) / e.sum(),
        ),
        "more than k": gate_by_the_kth_probability,
        "−∞ left": broken_gate(softmax_topk=lambda p, m, **_: np.where(m, p, -np.inf)),
        "divided logits": broken_gate(softmax_topk_renorm=lambda h, m, **_: h * m / (h * m).sum(-1, keepdims=True)),
        "nothing cut": broken_gate(softmax_topk=lambda p, **_: p),
        "first places": lambda logits, k, form: np.sort(gate(logits, k, form), axis=-1)[..., ::-1],
        "only the selected": lambda logits, k, form: -np.sort(-gate(logits, k, form), axis=-1)[..., :k],
    },
    "4.3": {
        "the lesson's row": np.log([0.3, 0.2, 0.19, 0.16, 0.15]),
        "the lesson's row (2)": [-1.204, -1.609, -1.661, -1.833, -1.897],
        "probabilities": [0.25, 0.25, 0.2, 0.2, 0.05, 0.05],
        "probabilities (2)": [0.25, 0.25, 0.25, 0.25, 0.0, 0.0],
        "probabilities (3)": [0.24, 0.24, 0.24, 0.24, 0.02, 0.01],
        "per cent": [30, 25, 20, 20, 3, 2],
        "signs turned": -np.log([0.24, 0.24, 0.24, 0.24, 0.02, 0.02]),
        "too little cut (2)": [-3.0, -3.0, -3.0, -3.0, 2.0, 2.0],
        "several tokens": [[0.0] * 6, [1.0, 1.0, 1.0, 1.0, -5.0, -5.0]],
        "shared out (2)": [1.0, 1.0, 1.0, -5.0, -5.0, -5.0],
        "too few experts": [3.0, 0.0],
        "too few experts (2)": [0.0, 0.0, 0.0, 0.0],
        "too few experts (3)": [0.0, 0.0, 0.0, 0.0, -5.0],
        "all equal": [0.0] * 8,
        "all equal (2)": [1.5] * 6,
        "too little cut": [5.0, 4.0, 0.0, 0.0, 0.0, 0.0],
        "shared out": [0.8, 0.8, 0.0, 0.0, -4.0, -5.0],
        "too much cut with k = 4": np.log([0.3, 0.2] + 5 * [0.1]),
        "too much cut with k = 4 (2)": np.log([0.3, 0.2, 0.19, 0.16, 0.10, 0.05]),
    },
    "4.4": {
        "what is missing from 1": lambda logits, k, layer: 1 - layer(np.ones((len(logits), 1)))[0],
        "1 minus the kept": of_weights(lambda w, selected: 1 - w[selected].sum()),
        "smallest weights": lambda logits, k, layer: np.sort(revealed(logits, layer))[: len(logits) - k].sum(),
        "all weights": lambda logits, k, layer: layer(np.ones((len(logits), 1))),
        "kept weight": lambda logits, k, layer: layer(mask(logits, k)[:, None]),
        "more than k": lambda logits, k, layer: revealed(logits, layer)[logits < np.sort(logits)[-k]].sum(),
        "strictly above": lambda logits, k, layer: revealed(logits, layer)[logits <= np.sort(logits)[-k]].sum(),
        "smallest": lambda logits, k, layer: revealed(logits, layer)[np.argsort(logits, kind="stable")[k:]].sum(),
        "one too few": lambda logits, k, layer: revealed(logits, layer)[order(logits, None)[k - 1 :]].sum(),
        "order for rank": lambda logits, k, layer: revealed(logits, layer)[order(logits, None) >= k].sum(),
        "looked up by value": lambda logits, k, layer: revealed(logits, layer)[
            np.isinf(keep_by_value(logits, k))
        ].sum(),
        "rounded": of_weights(lambda w, selected: w.round(2)[~selected].sum()),
        "rounded (2)": of_weights(lambda w, selected: w[~selected].round(3).sum()),
        "kept weight computed": lambda logits, k, layer: (
            layer(np.ones((len(logits), 1))) - (softmax(logits) * mask(logits, k)).sum()
        ),
        "ratio to the kept": of_weights(lambda w, selected: w[~selected].sum() / w[selected].sum()),
        "truth value (2)": of_weights(lambda w, selected: int(w[~selected].sum() > 1e-9)),
        "what is missing from 1 (2)": lambda logits, k, layer: float(layer(np.ones((len(logits), 1)))[0]) - 1,
        "another of equals (2)": lambda logits, k, layer: np.delete(
            revealed(logits, layer), np.argsort(logits, kind="stable")[::-1][:k]
        ).sum(),
        "another of equals": lambda logits, k, layer: np.delete(
            revealed(logits, layer), torch.topk(torch.tensor(logits), k).indices.numpy()
        ).sum(),
        "k is 2": lambda logits, k, layer: revealed(logits, layer)[~mask(logits, 2)].sum(),
        "one too many": lambda logits, k, layer: revealed(logits, layer)[ranks(logits) > k].sum(),
        "first k": lambda logits, k, layer: layer(np.eye(len(logits)))[k:].sum(),
        "k smallest": lambda logits, k, layer: revealed(logits, layer)[np.argsort(logits, kind="stable")[:k]].sum(),
        "computed, not measured": lambda logits, k, layer: (
            softmax(np.where(mask(logits, k), logits, 0.0)) * ~mask(logits, k)
        ).sum(),
        "nothing found": lambda logits, k, layer: 0.0,
        "squares": of_weights(lambda w, selected: np.linalg.norm(w[~selected])),
        "truth value": of_weights(lambda w, selected: w[~selected].sum() > 1e-9),
        "average (3)": of_weights(lambda w, selected: w[~selected].mean() if not selected.all() else np.nan),
        "small leaks lost": of_weights(lambda w, selected: w[~selected & (w > 0.01)].sum()),
        "small leaks lost (2)": of_weights(lambda w, selected: w[~selected & (w > 1e-3)].sum()),
        "expert by expert (3)": lambda logits, k, layer: revealed(logits, layer)[order(logits, None)[k:]],
        "average": of_weights(lambda w, selected: w[~selected].mean() if not selected.all() else 0),
        "average (2)": of_weights(lambda w, selected: np.where(selected, 0, w).mean()),
        "share": of_weights(lambda w, selected: w[~selected].sum() / w.sum()),
        "largest": of_weights(lambda w, selected: (w * ~selected).max()),
        "number of experts": of_weights(lambda w, selected: np.count_nonzero(w * ~selected)),
        "number of experts (2)": lambda logits, k, layer: np.count_nonzero(revealed(logits, layer)) - k,
        "number of experts (3)": lambda logits, k, layer: len(logits) - k,
        "the weights": lambda logits, k, layer: layer(np.eye(len(logits))),
        "expert by expert": lambda logits, k, layer: layer(np.diag(1.0 - mask(logits, k))),
        "should have been": lambda logits, k, layer: (softmax(logits) * ~mask(logits, k)).sum(),
        "logits as outputs": lambda logits, k, layer: layer(logits[:, None]),
        "expert by expert (2)": of_weights(lambda w, selected: w[~selected]),
        "distance from form A": lambda logits, k, layer: np.abs(
            revealed(logits, layer) - gate(logits, k, "topk_softmax")
        ).sum(),
        "distance from form A (2)": lambda logits, k, layer: (
            np.abs(revealed(logits, layer) - gate(logits, k, "topk_softmax")).sum() / 2
        ),
        "nudged": lambda logits, k, layer: revealed(logits, layer)[
            ~mask(logits - 1e-6 * np.arange(len(logits)), k)
        ].sum(),
        "distance from form B": lambda logits, k, layer: np.abs(
            revealed(logits, layer) - gate(logits, k, "softmax_topk")
        ).sum(),
    },
    "4.5": {
        "form B": lambda logits: gate(logits, 1, "softmax_topk"),
        "hears the others": lambda logits: one_hot(logits, sigmoid(logits.max() - logits.mean())),
        "hears the others (2)": lambda logits: one_hot(logits, gate(logits, 2, "topk_softmax").max()),
        "still 1": divided_by_its_sum,
        "still 1 (2)": lambda logits: softmax(np.where(mask(logits, 1), logits / 0.1, -np.inf)),
        "constant": lone(lambda h: 0.5),
        "constant (3)": lone(lambda h: 1 / (1 + np.exp(-100 * h))),
        "constant (4)": lone(lambda h: np.round(sigmoid(h), 2)),
        "constant (2)": lone(lambda h: np.clip(h / 4 + 0.5, 0.01, 0.99)),
        "random": lambda logits: one_hot(logits, sigmoid(logits.max()) * GENERATOR.uniform(0.9, 1.0)),
        "nothing runs": lone(lambda h: max(0.0, h / 6)),
        "negative": lone(np.tanh),
        "masked with 0": lambda logits: softmax(np.where(mask(logits, 1), logits, 0)),
        "several run": lambda logits: gate(logits, 2, "topk_softmax"),
        "several run (2)": softmax,
        "equals run": lambda logits: np.where(logits == logits.max(), sigmoid(logits), 0),
        "later of equals": lambda logits: one_hot(logits[::-1], sigmoid(logits.max()))[::-1],
        "smallest runs": lambda logits: one_hot(logits, sigmoid(logits.min()), best=np.argmin(logits)),
        "smallest runs (2)": lambda logits: one_hot(logits, sigmoid(logits.max()), best=np.abs(logits).argmax()),
        "wrong expert": lambda logits: one_hot(logits, sigmoid(logits.max()), best=np.argsort(logits)[-2]),
        "too large": lone(np.exp),
        "too large (2)": lone(lambda h: 2 * sigmoid(h)),
        "backwards": lone(lambda h: 1 - sigmoid(h)),
        "falls below 0": lone(lambda h: sigmoid(abs(h))),
        "falls below 0 (2)": lone(lambda h: h**2 / (1 + h**2)),
        "rounded": lone(lambda h: np.round(sigmoid(h), 1)),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "4.1": [
        lambda logits, k: logits,
        lambda logits, k: None,
        lambda logits, k: keep(logits, k) + 0.01,
        lambda logits, k: keep(logits, k)[..., ::-1],
        lambda logits, k: keep(logits, k).astype(str).tolist(),
        lambda logits, k: keep(logits, np.minimum(k + 2, logits.shape[-1])),
    ],
    "4.2": [
        lambda logits, k, form: logits,
        lambda logits, k, form: None,
        lambda logits, k, form: gate(logits, k, form) ** 2,
        lambda logits, k, form: gate(logits, max(1, k - 2), form),
        lambda logits, k, form: form,
    ],
    "4.3": [
        [[0.0, 0.0, 0.0]],
        [1.0],
        "equal",
        [0.0, np.nan, 0.0],
        [np.inf, 1.0, 1.0, 1.0],
        None,
        3.0,
        {"logits": [0, 0, 0]},
    ],
    "4.4": [
        lambda logits, k, layer: None,
        lambda logits, k, layer: 0.1,
        lambda logits, k, layer: layer(np.eye(len(logits)))[-1],
        lambda logits, k, layer: "a leak",
        lambda logits, k, layer: 2 * leak_by_loop(logits, k, layer),
        lambda logits, k, layer: layer(np.arange(len(logits))[:, None]),
    ],
    "4.5": [
        lambda logits: None,
        lambda logits: sigmoid(logits).max(),
        lambda logits: [sigmoid(logits).max()],
        lambda logits: np.full(len(logits), np.nan),
        lambda logits: "p",
    ],
}

RIGHT = {
    "4.1": [
        keep_all_but_the_smallest,
        keep,
        keep_by_index,
        keep_by_loop,
        keep_in_place,
        keep_in_torch,
        keep_by_repeated_argmax,
        keep_by_counting,
        lambda logits, k: np.float32(keep(logits, k)),
    ],
    "4.2": [gate, gate_in_torch, gate_by_loop, gate_that_renormalises_twice],
    "4.3": [
        [0, 0, 0, 0, -5, -5],
        np.log([0.3, 0.2, 0.2, 0.2, 0.05, 0.05]),
        torch.tensor([1.0, 1.0, 1.0, 1.0, -3.0, -3.0, -3.0, -9.0]),
        (-9.0, 2.0, -8.0, 1.8, 1.9, 1.7),
        np.float32(60 * [-8] + 4 * [3]),
        [100.0, 99.9, 99.8, 99.8, 0.0, 0.0, 0.0],
    ],
    "4.4": [
        leak_by_loop,
        leak_in_torch,
        leak_by_solving,
        of_weights(lambda w, selected: w[~selected].sum()),
        lambda logits, k, layer: layer(1.0 - mask(logits, k)[:, None]),
        lambda logits, k, layer: [float(w) for w in layer(~mask(logits, k)[:, None])],
        lambda logits, k, layer: revealed(logits, layer).sum() - revealed(logits, layer)[order(logits, k)].sum(),
        lambda logits, k, layer: np.float32(of_weights(lambda w, selected: w @ ~selected)(logits, k, layer)),
    ],
    "4.5": [
        lone(sigmoid),
        lone(lambda h: 0.5 + np.arctan(h) / np.pi),
        lone(lambda h: (h + 6) / 12),
        lone(lambda h: (1 + np.tanh(h)) / 2),
        lone(lambda h: (1 + math.erf(h / math.sqrt(2))) / 2),
        lone(lambda h: np.exp(h - 5.5)),
        lone(lambda h: 0.9 * softmax(np.array([h, 0.0]))[0]),
        lambda logits: mask(logits, 1) * sigmoid(logits),
        lambda logits: np.float32(one_hot(logits, sigmoid(logits.max()))),
        lambda logits: one_hot(logits, sigmoid(logits.max())).tolist(),
        live_in_torch,
    ],
}
