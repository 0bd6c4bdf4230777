"""Answers to set 01: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import numpy as np
import torch

from moe_lessons.data import worked_example


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# --- 1.1 ----------------------------------------------------------------------------------------------------------


def logits_by_loop(x, W_g):
    rows = np.atleast_2d(x)
    h = [[sum(row[a] * W_g[a, i] for a in range(len(row))) for i in range(W_g.shape[1])] for row in rows]
    return np.array(h) if np.ndim(x) > 1 else np.array(h[0])


def logits_by_columns(x, W_g):
    return np.stack([(x * column).sum(-1) for column in W_g.T], axis=-1)


# --- 1.2 ----------------------------------------------------------------------------------------------------------


def trace(x, W_g, k, *, logits=None, probs=None, selected=None, weights=None):
    """A right trace in which single parts can be replaced by functions of the right parts."""
    h = x @ W_g
    p = softmax(h)
    s = np.argsort(-h)[:k]
    w = np.zeros(len(h))
    w[s] = p[s] / p[s].sum()
    parts = {"h": h, "p": p, "s": s, "w": w, "k": k, "x": x, "W_g": W_g}
    replaced = {"logits": logits, "probs": probs, "selected": selected, "weights": weights}
    usual = {"logits": h, "probs": p, "selected": s, "weights": w}
    return tuple(usual[name] if change is None else change(**parts) for name, change in replaced.items())


def broken_trace(**changes):
    return lambda x, W_g, k: trace(x, W_g, k, **changes)


def scatter(s, values, N):
    w = np.zeros(N)
    w[s] = values
    return w


def trace_in_torch(x, W_g, k):
    h = torch.tensor(x) @ torch.tensor(W_g)
    p = torch.softmax(h, -1)
    values, s = torch.topk(p, k)
    return h, p, s, torch.zeros_like(p).scatter(-1, s, values / values.sum())


def trace_by_hand(x, W_g, k):
    h = [float(np.dot(x, W_g[:, i])) for i in range(W_g.shape[1])]
    e = [np.exp(value) for value in h]
    p = [value / sum(e) for value in e]
    order = sorted(range(len(h)), key=lambda i: h[i], reverse=True)[:k]
    kept = sum(p[i] for i in order)
    return h, p, order, [p[i] / kept if i in order else 0.0 for i in range(len(h))]


def trace_with_a_mask(x, W_g, k):
    h = np.einsum("d,dn->n", x, W_g)
    order = np.argsort(h)[::-1][:k]
    masked = np.full_like(h, -np.inf)
    masked[order] = h[order]
    return {"logits": h, "probs": softmax(h), "selected": order, "weights": softmax(masked)}


# --- 1.3 ----------------------------------------------------------------------------------------------------------


def combine_twice(x, weights, experts):
    y = 0
    for i in np.flatnonzero(weights):
        experts[i](x)
        y = y + weights[i] * experts[i](x)
    return y


def combine_and_return_too_early(x, weights, experts):
    y = 0
    for i in np.flatnonzero(weights):
        y = y + weights[i] * experts[i](x)
        return y


def combine_and_replace(x, weights, experts):
    for i in np.flatnonzero(weights):
        y = weights[i] * experts[i](x)
    return y


def combine_in_place(x, weights, experts):
    y = np.zeros_like(x)
    for w, expert in zip(weights, experts, strict=True):
        if w:
            y += w * expert(x)
    return y


def combine_in_torch(x, weights, experts):
    chosen = [i for i, w in enumerate(weights) if w > 0]
    outputs = torch.stack([torch.as_tensor(experts[i](torch.tensor(x))) for i in chosen])
    return torch.einsum("k,kd->d", torch.tensor(weights[chosen]), outputs)


def doubling(**changes):
    right = {"logit of E3": 1.04, "selected": [2, 1], "p3 / p2": np.exp(0.44), "weight of E3": 1 / (1 + np.exp(-0.44))}
    return right | {key.replace("_", " ").replace("p3 p2", "p3 / p2"): value for key, value in changes.items()}


def doubling_computed():
    x, W_g = worked_example()
    h, p, selected, w = trace(2 * x, W_g, 2)
    return {"logit of E3": h[2], "selected": selected, "p3 / p2": p[2] / p[1], "weight of E3": w[2]}


WRONG = {
    "1.1": {
        "probabilities": lambda x, W_g: softmax(x @ W_g),
        "exponentials": lambda x, W_g: np.exp(x @ W_g),
        "rounded": lambda x, W_g: (x @ W_g).round(2),
        "cosine": lambda x, W_g: (
            (x / np.linalg.norm(x, axis=-1, keepdims=True)) @ (W_g / np.linalg.norm(W_g, axis=0, keepdims=True))
        ),
        "distance": lambda x, W_g: np.sqrt(((x[..., None] - W_g) ** 2).sum(-2)),
        "negative distance": lambda x, W_g: -np.sqrt(((x[..., None] - W_g) ** 2).sum(-2)),
        "scaled": lambda x, W_g: x @ W_g / x.shape[-1] ** 0.5,
        "not summed": lambda x, W_g: np.einsum("...d,dn->...dn", x, W_g),
        "reshaped": lambda x, W_g: np.inner(x, W_g.reshape(W_g.shape[1], W_g.shape[0])),
        "transposed result": lambda x, W_g: W_g.T @ x.T,
    },
    "1.2": {
        "cosine": broken_trace(
            logits=lambda h, x, W_g, **_: h / np.linalg.norm(x) / np.linalg.norm(W_g, axis=0),
        ),
        "not normalised": broken_trace(probs=lambda h, **_: np.exp(h)),
        "divided logits": broken_trace(probs=lambda h, **_: h / h.sum()),
        "softmax of the selected": broken_trace(probs=lambda w, **_: w),
        "lowest first": lambda x, W_g, k: trace(x, W_g, k, selected=lambda h, **_: np.argsort(h)[-k:]),
        "index order": broken_trace(selected=lambda s, **_: sorted(s.tolist())),
        "smallest": lambda x, W_g, k: trace(x, W_g, k, selected=lambda h, **_: np.argsort(h)[:k]),
        "counted from one": broken_trace(selected=lambda s, **_: s + 1),
        "values": broken_trace(selected=lambda h, k, **_: np.sort(h)[::-1][:k]),
        "mask": broken_trace(selected=lambda w, **_: w > 0),
        "swapped": broken_trace(selected=lambda w, **_: w, weights=lambda s, **_: s),
        "all probabilities": broken_trace(weights=lambda p, **_: p),
        "first places": broken_trace(weights=lambda p, s, **_: np.pad(p[s] / p[s].sum(), (0, len(p) - len(s)))),
        "not renormalised": broken_trace(weights=lambda p, s, **_: scatter(s, p[s], len(p))),
        "second softmax": broken_trace(weights=lambda p, s, **_: scatter(s, softmax(p[s]), len(p))),
        "masked with 0": broken_trace(weights=lambda h, s, **_: softmax(scatter(s, h[s], len(h)))),
        "only the selected": broken_trace(weights=lambda p, s, **_: p[s] / p[s].sum()),
        "equal shares": broken_trace(weights=lambda p, s, k, **_: scatter(s, 1 / k, len(p))),
    },
    "1.3": {
        "unweighted": lambda x, weights, experts: sum(experts[i](x) for i in np.flatnonzero(weights)),
        "averaged": lambda x, weights, experts: np.mean([experts[i](x) for i in np.flatnonzero(weights)], axis=0),
        "all experts": lambda x, weights, experts: sum(e(x) for e in experts),
        "best only": lambda x, weights, experts: weights.max() * experts[weights.argmax()](x),
        "best only, unweighted": lambda x, weights, experts: experts[int(np.argmax(weights))](x),
        "first only": combine_and_return_too_early,
        "last only": combine_and_replace,
        "summed over d": lambda x, weights, experts: np.sum(
            [weights[i] * experts[i](x) for i in np.flatnonzero(weights)]
        ),
        "scaled input": lambda x, weights, experts: sum(experts[i](weights[i] * x) for i in np.flatnonzero(weights)),
        "wrong pairs": lambda x, weights, experts: sum(
            w * e(x) for w, e in zip(weights[weights > 0], experts, strict=False)
        ),
        "not summed": lambda x, weights, experts: [weights[i] * experts[i](x) for i in np.flatnonzero(weights)],
        "called all": lambda x, weights, experts: sum(w * e(x) for w, e in zip(weights, experts, strict=True)),
        "called twice": combine_twice,
    },
    "1.4": {
        "zero vector": [0.0, 0.0],
        "points away": [-1.0, 0.5],
        "most aligned": [2.0, 1.0],
        "tie": [2.6, -2.6],
        "aligned but short": [0.2, 0.1],
        "too short": [1.0, 0.0],
    },
    "1.5": {
        "logit unchanged": doubling(logit_of_E3=0.52),
        "logit quadrupled": doubling(logit_of_E3=2.08),
        "counted from one": doubling(selected=[3, 2]),
        "order turned": doubling(selected=[1, 2]),
        "ratio unchanged": doubling(p3_p2=1.2461),
        "ratio doubled": doubling(p3_p2=2.492),
        "ratio of logits": doubling(p3_p2=1.733),
        "gap": doubling(p3_p2=0.44),
        "inverse": doubling(p3_p2=0.644),
        "other expert": doubling(weight_of_E3=0.392),
        "percent": doubling(weight_of_E3=60.83),
        "ratio": doubling(weight_of_E3=1.553),
        "weight unchanged": doubling(weight_of_E3=0.5548),
        "weight doubled": doubling(weight_of_E3=1.11),
        "probability": doubling(weight_of_E3=float(softmax(2 * np.array([-0.18, 0.30, 0.52, -0.26]))[2])),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "1.1": [
        lambda x, W_g: 2 * (x @ W_g),
        lambda x, W_g: x @ W_g + 0.01,
        lambda x, W_g: None,
        lambda x, W_g: (x @ W_g).astype(int),
        lambda x, W_g: "logits",
        lambda x, W_g: (x @ W_g)[..., :-1],
        lambda x, W_g: np.squeeze(x @ W_g),
        lambda x, W_g: (x @ W_g).astype(np.float16),
    ],
    "1.2": [
        lambda x, W_g, k: x @ W_g,
        lambda x, W_g, k: trace(x, W_g, k)[:3],
        broken_trace(weights=lambda w, **_: w**2),
        broken_trace(probs=lambda p, **_: p[::-1]),
        broken_trace(selected=lambda s, **_: s * 0),
    ],
    "1.3": [
        lambda x, weights, experts: x,
        lambda x, weights, experts: weights,
        lambda x, weights, experts: -sum(weights[i] * experts[i](x) for i in np.flatnonzero(weights)),
        lambda x, weights, experts: None,
        lambda x, weights, experts: sum(weights[i] * experts[i](x) for i in np.flatnonzero(weights > 0.05)),
    ],
    "1.4": [[True, True], [2e307, 1e307], [1.0, 2.0, 3.0], 3.0, "long", [np.nan, 1.0], {"w": [3, 0]}, None],
    "1.5": [
        doubling(logit_of_E3=0.9),
        doubling(p3_p2=3.3),
        doubling(selected=[0, 1, 2]),
        doubling(weight_of_E3="half"),
        doubling(selected=["E3", "E2"]),
        doubling(p3_p2=...),
        {"logit of E3": 1.04},
        [1.04, [2, 1], 1.55, 0.61],
    ],
}

RIGHT = {
    "1.1": [
        lambda x, W_g: x @ W_g,
        lambda x, W_g: np.einsum("...d,dn->...n", x, W_g),
        lambda x, W_g: torch.tensor(x) @ torch.tensor(W_g),
        lambda x, W_g: torch.nn.functional.linear(torch.tensor(x), torch.tensor(W_g).T),
        lambda x, W_g: (torch.tensor(x).float() @ torch.tensor(W_g).float()).tolist(),
        lambda x, W_g: np.float32(x) @ np.float32(W_g),
        logits_by_loop,
        logits_by_columns,
        lambda x, W_g: (W_g.T @ x.T).T,
    ],
    "1.2": [trace, trace_in_torch, trace_by_hand, trace_with_a_mask],
    "1.3": [
        combine_in_place,
        combine_in_torch,
        lambda x, weights, experts: sum(weights[i] * experts[i](x) for i in np.flatnonzero(weights)),
        lambda x, weights, experts: np.einsum(
            "k,kd->d", weights[weights > 0], np.array([experts[i](x) for i in np.nonzero(weights)[0]])
        ),
    ],
    "1.4": [[3, 0], np.array([1.0, 2.0]), torch.tensor([2.5, -1.0]), (0.0, 3.0), np.float32([3.0, 3.0]), [1e6, 1e6]],
    "1.5": [
        doubling(),
        doubling_computed(),
        doubling(p3_p2=1.55, weight_of_E3=0.608),
        doubling(selected=torch.tensor([2, 1]), logit_of_E3=torch.tensor(1.04)),
        doubling(selected=(2, 1), weight_of_E3=np.float32(0.6083)),
        doubling(logit_of_E3=[1.04]),
    ],
}
