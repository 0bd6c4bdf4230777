"""Answers to set 04: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import numpy as np
import torch

GENERATOR = np.random.default_rng(0)


def softmax(h, axis=-1):
    e = np.exp(h - h.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def order(h, k):
    return np.argsort(-h, axis=-1, kind="stable")[..., :k]


def mask(h, k):
    rank = np.argsort(order(h, h.shape[-1]), axis=-1)
    return rank < k


# --- 4.1 ----------------------------------------------------------------------------------------------------------


def keep_by_index(logits, k):
    kept = np.full(logits.shape, -np.inf)
    chosen = order(logits, k)
    np.put_along_axis(kept, chosen, np.take_along_axis(logits, chosen, -1), -1)
    return kept


def keep_by_loop(logits, k):
    def row(h):
        best = sorted(range(len(h)), key=lambda i: (-h[i], i))[:k]
        return [h[i] if i in best else -float("inf") for i in range(len(h))]

    return row(logits) if logits.ndim == 1 else [row(h) for h in logits]


def keep_in_place(logits, k):
    np.put_along_axis(logits, np.argsort(-logits, axis=-1, kind="stable")[..., k:], -np.inf, -1)
    return logits


def keep_in_torch(logits, k):
    h = torch.tensor(logits)
    chosen = torch.sort(h, dim=-1, descending=True, stable=True).indices[..., :k]
    return torch.full_like(h, -torch.inf).scatter(-1, chosen, h.gather(-1, chosen))


def keep_by_repeated_argmax(logits, k):
    rest, kept = logits.copy(), np.full_like(logits, -np.inf)
    for _ in range(k):
        best = rest.argmax(-1)[..., None]
        np.put_along_axis(kept, best, np.take_along_axis(logits, best, -1), -1)
        np.put_along_axis(rest, best, -np.inf, -1)
    return kept


def keep_with_a_bonus_for_odd_places(logits, k):
    """As an unstable sort might: of equal logits now the lower, now the higher index."""
    chosen = order(logits + 1e-9 * (np.arange(logits.shape[-1]) % 2), k)
    kept = np.full(logits.shape, -np.inf)
    np.put_along_axis(kept, chosen, np.take_along_axis(logits, chosen, -1), -1)
    return kept


def keep_last_of_the_tied(logits, k):
    chosen = np.argsort(logits, axis=-1, kind="stable")[..., ::-1][..., :k]
    kept = np.full(logits.shape, -np.inf)
    np.put_along_axis(kept, chosen, np.take_along_axis(logits, chosen, -1), -1)
    return kept


def keep_over_the_batch(logits, k):
    flat = logits.reshape(-1)
    return np.where(np.isin(np.arange(flat.size), order(flat, k)), flat, -np.inf).reshape(logits.shape)


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


def gate_by_the_kth_probability(logits, k, form):
    p = softmax(logits)
    kept = np.where(p >= np.sort(p, -1)[..., -k, None], p, 0)
    if form == "topk_softmax":
        return gate(logits, k, form)
    return kept if form == "softmax_topk" else kept / kept.sum(-1, keepdims=True)


def gate_of_the_last_of_the_tied(logits, k, form):
    return gate(logits[..., ::-1], k, form)[..., ::-1]


def gate_in_torch(logits, k, form):
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
    e = [np.exp(value) for value in logits]
    whole = sum(e) if form == "softmax_topk" else sum(e[i] for i in best)
    return [e[i] / whole if i in best else 0.0 for i in range(len(e))]


def gate_that_renormalises_twice(logits, k, form):
    e = np.exp(logits) * mask(logits, k)
    total = np.exp(logits) if form == "softmax_topk" else e
    return np.einsum("...n,...->...n", e, 1 / total.sum(-1))


# --- 4.4 ----------------------------------------------------------------------------------------------------------


def leak_by_loop(logits, weights, k):
    leaks = []
    for h, w in zip(logits, weights, strict=True):
        best = sorted(range(len(h)), key=lambda i: -h[i])[:k]
        leaks.append(sum(w[i] for i in range(len(h)) if i not in best))
    return leaks


def leak_in_torch(logits, weights, k):
    chosen = torch.topk(torch.tensor(logits), k).indices
    return torch.tensor(weights).scatter(-1, chosen, 0).sum(-1)


def leak_by_difference(logits, weights, k):
    chosen = order(logits, k)
    return weights.sum(-1) - np.take_along_axis(weights, chosen, -1).sum(-1)


# --- 4.5 ----------------------------------------------------------------------------------------------------------


def one_hot(logits, value=1.0, best=None):
    w = np.zeros(len(logits))
    w[np.argmax(logits) if best is None else best] = value
    return w


def live_in_torch(logits):
    p = torch.softmax(torch.tensor(logits), -1)
    value, chosen = p.max(-1)
    return torch.zeros_like(p).index_fill(-1, chosen, 1) * value


def negative_gate(logits):
    return one_hot(logits, logits.max()) if logits.max() < 0 else gate(logits, 1, "softmax_topk")


WRONG = {
    "4.1": {
        "masked with 0": lambda logits, k: np.where(mask(logits, k), logits, 0.0),
        "more than k": lambda logits, k: np.where(
            logits >= np.partition(logits, -k, axis=-1)[..., -k, None], logits, -np.inf
        ),
        "strictly above": lambda logits, k: np.where(
            logits > np.sort(logits, -1)[..., -k : logits.shape[-1] - k + 1], logits, -np.inf
        ),
        "last of the tied": keep_last_of_the_tied,
        "another of the tied": keep_with_a_bonus_for_odd_places,
        "smallest": lambda logits, k: np.where(mask(-logits, k), logits, -np.inf),
        "smallest by value": lambda logits, k: np.where(
            logits <= np.partition(logits, k - 1, -1)[..., k - 1, None], logits, -np.inf
        ),
        "k cut": lambda logits, k: keep_by_index(logits, logits.shape[-1] - k),
        "one too many": lambda logits, k: keep_by_index(logits, k + 1),
        "k is 2": lambda logits, k: keep_by_index(logits, 2),
        "of the probabilities": lambda logits, k: keep_by_index(softmax(logits), k),
        "finite cut": lambda logits, k: np.where(mask(logits, k), logits, -1e9),
        "along the tokens": lambda logits, k: (
            keep_by_index(logits.T, k).T if logits.ndim > 1 else keep_by_index(logits, k)
        ),
        "over the whole batch": keep_over_the_batch,
        "only the kept": lambda logits, k: np.sort(logits, axis=-1)[..., ::-1][..., :k],
        "indices": order,
        "mask": mask,
        "softmax taken": lambda logits, k: gate(logits, k, "topk_softmax"),
    },
    "4.2": {
        "masked with 0": broken_gate(topk_softmax=lambda h, m, **_: softmax(h * m)),
        "second softmax": broken_gate(softmax_topk_renorm=lambda p, m, **_: softmax(np.where(m, p, -np.inf))),
        "second softmax over all": broken_gate(softmax_topk_renorm=lambda p, m, **_: softmax(p * m)),
        "always renormalised": lambda logits, k, form: gate(logits, k, "topk_softmax"),
        "never renormalised": broken_gate(softmax_topk_renorm=lambda p, m, **_: p * m),
        "forms swapped": lambda logits, k, form: gate(
            logits, k, {"topk_softmax": "softmax_topk", "softmax_topk": "topk_softmax"}.get(form, form)
        ),
        "divided by k": broken_gate(softmax_topk_renorm=lambda p, m, k, **_: p * m / k),
        "sum over the batch": broken_gate(softmax_topk_renorm=lambda p, m, **_: p * m / (p * m).sum()),
        "softmax over the batch": broken_gate(topk_softmax=lambda h, m, **_: np.exp(h) * m / (np.exp(h) * m).sum()),
        "more than k": gate_by_the_kth_probability,
        "−∞ left": broken_gate(softmax_topk=lambda p, m, **_: np.where(m, p, -np.inf)),
        "divided logits": broken_gate(softmax_topk_renorm=lambda h, m, **_: h * m / (h * m).sum(-1, keepdims=True)),
        "nothing cut": broken_gate(softmax_topk=lambda p, **_: p),
        "first places": lambda logits, k, form: np.sort(gate(logits, k, form), axis=-1)[..., ::-1],
        "only the selected": lambda logits, k, form: -np.sort(-gate(logits, k, form), axis=-1)[..., :k],
    },
    "4.3": {
        "nothing cut": [3.0, 0.0],
        "probabilities": [0.8, 0.1, 0.1],
        "too little cut": [5.0, 4.0, 0.0, 0.0],
        "too few equals": [1.0, 1.0, 1.0],
        "shared out": [0.7, 0.7, 0.0, 0.0],
    },
    "4.4": {
        "what is missing from 1": lambda logits, weights, k: 1 - weights.sum(-1),
        "smallest weights": lambda logits, weights, k: np.sort(weights, -1)[:, : logits.shape[-1] - k].sum(-1),
        "all weights": lambda logits, weights, k: weights.sum(-1),
        "kept weight": lambda logits, weights, k: (weights * mask(logits, k)).sum(-1),
        "number of experts": lambda logits, weights, k: np.count_nonzero(weights, axis=-1) - k,
        "average": lambda logits, weights, k: (weights * ~mask(logits, k)).sum(-1) / (logits.shape[-1] - k),
        "largest": lambda logits, weights, k: (weights * ~mask(logits, k)).max(-1),
        "one number": lambda logits, weights, k: (weights * ~mask(logits, k)).sum(),
        "expert by expert": lambda logits, weights, k: weights * ~mask(logits, k),
        "ties left out": lambda logits, weights, k: (weights * (logits < np.sort(logits, -1)[:, -k, None])).sum(-1),
        "1 minus the kept": lambda logits, weights, k: 1 - (weights * mask(logits, k)).sum(-1),
        "number cut": lambda logits, weights, k: np.full(len(logits), logits.shape[-1] - k),
        "mean over the tokens": lambda logits, weights, k: leak_by_difference(logits, weights, k).mean(),
        "sum over the tokens": lambda logits, weights, k: (weights * ~mask(logits, k)).sum(0),
        "should have been": lambda logits, weights, k: (softmax(logits) * ~mask(logits, k)).sum(-1),
    },
    "4.5": {
        "still 1": lambda logits: softmax(np.where(mask(logits, 1), logits / 0.1, -np.inf)),
        "constant": lambda logits: np.where(mask(logits, 2), 0.5, 0.0),
        "random": lambda logits: one_hot(logits, softmax(logits).max() * GENERATOR.uniform(0.9, 1.1)),
        "nothing runs": lambda logits: one_hot(logits, max(0.0, logits.max())),
        "negative": negative_gate,
        "masked with 0": lambda logits: softmax(np.where(mask(logits, 1), logits, 0)),
        "too many run": softmax,
        "wrong expert": lambda logits: one_hot(logits, softmax(logits).max(), best=0 if logits.argmax() else 1),
        "backwards": lambda logits: one_hot(logits, 1 - softmax(logits).max()),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "4.1": [
        lambda logits, k: logits,
        lambda logits, k: None,
        lambda logits, k: keep_by_index(logits, k) + 0.01,
        lambda logits, k: keep_by_index(logits, k)[..., ::-1],
        lambda logits, k: keep_by_index(logits, k).astype(str).tolist(),
    ],
    "4.2": [
        lambda logits, k, form: logits,
        lambda logits, k, form: None,
        lambda logits, k, form: gate(logits, k, form) ** 2,
        lambda logits, k, form: gate(logits, max(1, k - 1), form),
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
        lambda logits, weights, k: None,
        lambda logits, weights, k: np.zeros(len(logits)),
        lambda logits, weights, k: weights[:, k:].sum(-1),
        lambda logits, weights, k: "a leak",
        lambda logits, weights, k: 2 * leak_by_difference(logits, weights, k),
    ],
    "4.5": [
        lambda logits: None,
        lambda logits: softmax(logits).max(),
        lambda logits: [softmax(logits).max()],
        lambda logits: np.full(len(logits), np.nan),
        lambda logits: "p",
    ],
}

RIGHT = {
    "4.1": [
        keep_by_index,
        keep_by_loop,
        keep_in_place,
        keep_in_torch,
        keep_by_repeated_argmax,
        lambda logits, k: np.where(mask(logits, k), logits, -np.inf),
        lambda logits, k: np.float32(keep_by_index(logits, k)),
    ],
    "4.2": [gate, gate_in_torch, gate_by_loop, gate_that_renormalises_twice, gate_of_the_last_of_the_tied],
    "4.3": [
        [0] * 8,
        np.zeros(4),
        [float(np.log(3)), 0.0, 0.0, 0.0],
        torch.zeros(5) - 100,
        (1.0, 0.9, 0.8, 0.7, 0.6, 0.5),
        np.float32([3, 3] + 60 * [2]),
        [0.25, 0.25, 0.25, 0.25],
    ],
    "4.4": [
        leak_by_loop,
        leak_in_torch,
        leak_by_difference,
        lambda logits, weights, k: np.einsum("tn,tn->t", weights, ~mask(logits, k)),
    ],
    "4.5": [
        lambda logits: gate(logits, 1, "softmax_topk"),
        lambda logits: gate(logits, 2, "topk_softmax"),
        lambda logits: gate(logits, 2, "softmax_topk_renorm"),
        lambda logits: gate(logits, 2, "softmax_topk"),
        lambda logits: one_hot(logits, 1 / (1 + np.exp(-logits.max()))),
        lambda logits: one_hot(logits, np.exp(logits.max())),
        lambda logits: 2.5 * gate(logits, 1, "softmax_topk"),
        lambda logits: np.float32(gate(logits, 1, "softmax_topk")),
        lambda logits: gate(logits, 1, "softmax_topk").tolist(),
        live_in_torch,
    ],
}
