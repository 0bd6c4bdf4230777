"""Answers to set 02: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import math

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import entr, logsumexp, rel_entr
from scipy.special import softmax as scipy_softmax

# --- 2.1 ----------------------------------------------------------------------------------------------------------


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def naive(h):
    return np.exp(h) / np.exp(h).sum(axis=-1, keepdims=True)


def naive_with_math(h):
    rows = np.atleast_2d(h)
    e = [[math.exp(value) for value in row] for row in rows]
    return np.array([[value / sum(row) for value in row] for row in e]).reshape(h.shape)


def global_softmax(h):
    e = np.exp(h - np.max(h))
    return e / np.sum(e)


def column_softmax(h):
    e = np.exp(h - h.max(axis=0))
    return e / e.sum(axis=0)


def minus_smallest(h):
    e = np.exp(h - np.min(h, axis=-1)[..., None])
    return e / np.sum(e, axis=-1)[..., None]


def by_loops(h):
    out = np.zeros_like(h)
    for place in np.ndindex(h.shape[:-1]):
        row = h[place]
        total = sum(np.exp(value - max(row)) for value in row)
        out[place] = [np.exp(value - max(row)) / total for value in row]
    return out


def in_place(h):
    h -= h.max(axis=-1, keepdims=True)
    np.exp(h, out=h)
    h /= h.sum(axis=-1, keepdims=True)
    return h


# --- 2.2 ----------------------------------------------------------------------------------------------------------


def gaps(**changes):
    right = {"7 times": 1.946, "a quarter": -1.386, "half of 64": 4.143, "doubled": 49}
    names = {"times": "7 times", "quarter": "a quarter", "half": "half of 64", "doubled": "doubled"}
    return right | {names[key]: value for key, value in changes.items()}


# --- 2.4 ----------------------------------------------------------------------------------------------------------


def buggy(x, W_g):
    h = x @ W_g
    e = np.exp(h - h.max(axis=0))
    return e / e.sum(axis=0)


def only_the_sum(x, W_g):
    h = x @ W_g
    e = np.exp(h - h.max(axis=0))
    return e / e.sum(axis=-1, keepdims=True)


def only_the_maximum(x, W_g):
    h = x @ W_g
    e = np.exp(h - h.max(axis=-1, keepdims=True))
    return e / e.sum(axis=0)


def patched(x, W_g):
    p = buggy(x, W_g)
    return (p.T / p.sum(axis=1)).T


# --- 2.5 ----------------------------------------------------------------------------------------------------------


def over_used(p):
    return entr(p).sum(-1) / np.log(np.count_nonzero(p, axis=-1))


def entropy_by_loops(p):
    out = np.empty(p.shape[:-1])
    for place in np.ndindex(out.shape):
        out[place] = sum(-v * math.log(v) for v in p[place].tolist() if v > 0) / math.log(p.shape[-1])
    return out


def entropy_by_divergence(p):
    """ln N less the divergence from the even distribution."""
    N = p.shape[-1]
    return 1 - rel_entr(p, 1 / N).sum(-1) / np.log(N)


# --- 2.6 ----------------------------------------------------------------------------------------------------------


def entropy_of(h):
    return entr(softmax(np.asarray(h, float))).sum()


def led_by(gap, N):
    return np.array([gap] + [0.0] * (N - 1))


def logits_of(H, N, goal=entropy_of):
    """Logits, one of which leads, with goal(logits) = H; at the end of the range when there are none."""
    low, high = 0.0, 60.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if goal(led_by(middle, N)) > H else (low, middle)
    return led_by(low, N)


def made(logits, x, scale=1.0):
    return np.outer(x, logits) / (x @ x) * scale


def on_one_entry(x, H, N):
    W = np.zeros((len(x), N))
    W[0] = logits_of(H, N) / x[0]
    return W


def scaled_random(x, H, N):
    W = np.random.default_rng(0).normal(size=(len(x), N))
    return W * brentq(lambda scale: entropy_of(scale * x @ W) - H, 0, 1e5, xtol=1e-12)


def in_torch(x, H, N):
    x, h = torch.tensor(x), torch.tensor(logits_of(H, N))
    return torch.linalg.pinv(x[None]) @ h[None]


def ladder(x, H, N):
    steps = np.arange(N)[::-1].astype(float)
    scale = brentq(lambda s: entropy_of(s * steps) - H, 0, 200)
    return np.linalg.lstsq(x[None], (scale * steps)[None])[0]


WRONG = {
    "2.1": {
        "overflow": naive,
        "nan made 0": lambda h: np.nan_to_num(naive(h)),
        "maximum of the batch": lambda h: np.exp(h - h.max()) / np.exp(h - h.max()).sum(-1, keepdims=True),
        "whole batch": global_softmax,
        "over the tokens": column_softmax,
        "not divided": lambda h: np.exp(h - h.max(-1, keepdims=True)),
        "smallest subtracted": minus_smallest,
        "sign swapped": lambda h: naive(h.max(axis=-1, keepdims=True) - h),
        "mean subtracted": lambda h: naive(h - h.mean(axis=-1, keepdims=True)),
        "divided by the largest": lambda h: naive(h / h.max(axis=-1, keepdims=True)),
        "clipped": lambda h: naive(h.clip(-80, 80)),
        "logarithms": lambda h: h - logsumexp(h, axis=-1, keepdims=True),
        "dtype": lambda h: softmax(h.astype(np.float64)),
    },
    "2.2": {
        "ratio itself": gaps(times=7),
        "near": gaps(times=1.9),
        "base 2": gaps(times=2.807),
        "base 10": gaps(times=0.845),
        "exponential": gaps(times=1096.633),
        "sign": gaps(quarter=1.386),
        "share for ratio": gaps(quarter=-1.0986),
        "itself a rival": gaps(half=np.log(64)),
        "one rival": gaps(half=0),
        "half of the experts": gaps(half=3.466),
        "two to one": gaps(half=0.693),
        "ratio doubled": gaps(doubled=14),
        "ratio unchanged": gaps(doubled=7),
        "gap": gaps(doubled=3.892),
    },
    "2.3": {
        "unweighted": lambda p, outputs: outputs.sum(axis=1),
        "plain mean": lambda p, outputs: outputs.mean(1),
        "divided by N": lambda p, outputs: (p[:, :, None] * outputs).mean(axis=1),
        "first token's weights": lambda p, outputs: np.array([p[0] @ out for out in outputs]),
        "best only": lambda p, outputs: np.array([out[row.argmax()] for row, out in zip(p, outputs, strict=True)]),
        "best only, weighted": lambda p, outputs: np.array(
            [row.max() * out[row.argmax()] for row, out in zip(p, outputs, strict=True)]
        ),
        "softmax again": lambda p, outputs: np.einsum("tn,tnd->td", softmax(p), outputs),
        "not summed": lambda p, outputs: p[..., None] * outputs,
        "summed over tokens": lambda p, outputs: np.einsum("tn,tnd->nd", p, outputs),
        "summed over d": lambda p, outputs: p * outputs.sum(-1),
        "every pair": lambda p, outputs: p @ outputs,
        "tokens added up": lambda p, outputs: np.tensordot(p, outputs, axes=2),
    },
    "2.4": {
        "unchanged": buggy,
        "only the sum": only_the_sum,
        "only the maximum": only_the_maximum,
        "patched": patched,
        "stability lost": lambda x, W_g: naive(x @ W_g),
        "maximum of the batch": lambda x, W_g: naive(x @ W_g - (x @ W_g).max()),
        "smallest subtracted": lambda x, W_g: minus_smallest(x @ W_g),
        "whole batch": lambda x, W_g: global_softmax(x @ W_g),
        "logits": lambda x, W_g: x @ W_g,
        "transposed": lambda x, W_g: column_softmax(W_g.T @ x.T),
    },
    "2.5": {
        "0 log 0": lambda p: -np.sum(p * np.log(p), axis=-1) / np.log(p.shape[-1]),
        "not normalised": lambda p: entr(p).sum(-1),
        "bits": lambda p: -(p * np.log2(np.where(p > 0, p, 1))).sum(-1),
        "mixed bases": lambda p: entr(p).sum(-1) / np.log2(p.shape[-1]),
        "divided by N": lambda p: entr(p).sum(-1) / p.shape[-1],
        "sign": lambda p: (p * np.log(np.where(p > 0, p, 1))).sum(-1) / np.log(p.shape[-1]),
        "turned round": lambda p: 1 - entr(p).sum(-1) / np.log(p.shape[-1]),
        "mean for sum": lambda p: entr(p).mean(-1) / np.log(p.shape[-1]),
        "divided by ln of the used": over_used,
        "over the tokens": lambda p: entr(p).sum(0) / np.log(p.shape[-1]),
        "ln T": lambda p: entr(p).sum(-1) / np.log(p.shape[0]),
        "one number for all": lambda p: np.mean(entr(p).sum(-1)) / np.log(p.shape[-1]),
        "no axis": lambda p: -(p * np.log(np.where(p > 0, p, 1))).sum() / np.log(p.shape[-1]),
        "flat": lambda p: -(p[p > 0] * np.log(p[p > 0])).sum() / np.log(len(p[p > 0])),
        "all the used": lambda p: entr(p).sum(-1) / np.log(np.count_nonzero(p)),
        "keepdims": lambda p: entr(p).sum(-1, keepdims=True) / np.log(p.shape[-1]),
    },
    "2.6": {
        "transposed": lambda x, H, N: made(logits_of(H, N), x).T,
        "logits": lambda x, H, N: logits_of(H, N),
        "all alike": lambda x, H, N: np.zeros((len(x), N)),
        "one expert only": lambda x, H, N: made(led_by(100.0, N), x),
        "bits": lambda x, H, N: made(logits_of(H, N, lambda h: entropy_of(h) / np.log(2)), x),
        "share of the maximum": lambda x, H, N: made(logits_of(H, N, lambda h: entropy_of(h) / np.log(N)), x),
        "turned round": lambda x, H, N: made(logits_of(np.log(N) - H, N), x),
        "not divided by x·x": lambda x, H, N: np.outer(x, logits_of(H, N)),
        "divided by |x| once": lambda x, H, N: np.outer(x, logits_of(H, N)) / np.linalg.norm(x),
        "not divided by d": lambda x, H, N: logits_of(H, N) / x[:, None],
        "x left out": lambda x, H, N: np.tile(logits_of(H, N), (len(x), 1)),
        "too coarse": lambda x, H, N: made(logits_of(H - 0.04, N), x),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "2.1": [
        lambda h: softmax(2 * h),
        lambda h: np.round(softmax(h), 2),
        lambda h: None,
        lambda h: softmax(h)[..., ::-1],
        lambda h: softmax(h).sum(-1),
        lambda h: "probabilities",
    ],
    "2.2": [
        gaps(times=2.2),
        gaps(quarter=-1.5),
        gaps(half="four"),
        gaps(doubled=50),
        {"7 times": 1.946},
        [1.946, -1.386, 4.143, 49],
    ],
    "2.3": [
        lambda p, outputs: -np.einsum("tn,tnd->td", p, outputs),
        lambda p, outputs: np.einsum("tn,tnd->td", p**2, outputs),
        lambda p, outputs: None,
        lambda p, outputs: outputs[:, 0],
    ],
    "2.4": [
        lambda x, W_g: -(x @ W_g),
        lambda x, W_g: softmax(2 * (x @ W_g)),
        lambda x, W_g: softmax(x @ W_g)[:, ::-1],
        lambda x, W_g: None,
    ],
    "2.5": [
        lambda p: p.max(-1),
        lambda p: 1 - (p**2).sum(-1),
        lambda p: None,
        lambda p: (entr(p).sum(-1) / np.log(p.shape[-1])) ** 2,
    ],
    "2.6": [
        lambda x, H, N: None,
        lambda x, H, N: np.full((len(x), N), np.nan),
        lambda x, H, N: np.full((len(x), N), 1e308) * np.arange(N),
        lambda x, H, N: np.zeros((len(x), N + 1)),
        lambda x, H, N: made(logits_of(H, N), x, 1.7),
        lambda x, H, N: "W_g",
    ],
}

RIGHT = {
    "2.1": [
        softmax,
        by_loops,
        in_place,
        lambda h: torch.softmax(torch.tensor(h), -1),
        lambda h: scipy_softmax(h, axis=-1),
        lambda h: np.exp(h - np.logaddexp.reduce(h, axis=-1, keepdims=True)),
        lambda h: 1 / np.exp(h[..., None, :] - h[..., :, None]).sum(-1) if np.isfinite(h).all() else softmax(h),
        lambda h: [softmax(row) for row in h] if h.ndim > 1 else softmax(h),
    ],
    "2.2": [
        gaps(),
        gaps(times=np.log(7), quarter=-np.log(4), half=np.log(63), doubled=np.exp(2 * np.log(7))),
        gaps(times=torch.tensor(7.0).log(), doubled=torch.tensor(49)),
        gaps(times=np.float32(1.9459), half=4.14),
    ],
    "2.3": [
        lambda p, outputs: np.einsum("tn,tnd->td", p, outputs),
        lambda p, outputs: (p[:, :, None] * outputs).sum(axis=1),
        lambda p, outputs: (p[:, None] @ outputs)[:, 0],
        lambda p, outputs: torch.einsum("tn,tnd->td", torch.tensor(p), torch.tensor(outputs)),
        lambda p, outputs: [
            sum(w * e for w, e in zip(row, out, strict=True)) for row, out in zip(p, outputs, strict=True)
        ],
    ],
    "2.4": [
        lambda x, W_g: softmax(x @ W_g),
        lambda x, W_g: column_softmax(W_g.T @ x.T).T,
        lambda x, W_g: torch.softmax(torch.tensor(x) @ torch.tensor(W_g), dim=1),
        lambda x, W_g: np.array([softmax(token @ W_g) for token in x]),
    ],
    "2.5": [
        entropy_by_loops,
        entropy_by_divergence,
        lambda p: entr(p).sum(-1) / np.log(p.shape[-1]),
        lambda p: -np.nansum(p * np.log2(p), axis=-1) / np.log2(p.shape[-1]),
        lambda p: -(p * np.log(p + 1e-9)).sum(-1) / np.log(p.shape[-1]),
        lambda p: torch.special.entr(torch.tensor(p)).sum(-1) / math.log(p.shape[-1]),
        lambda p: -np.where(p > 0, p * np.log(p), 0).sum(-1) / np.log(p.shape[-1]),
    ],
    "2.6": [
        lambda x, H, N: made(logits_of(H, N), x),
        on_one_entry,
        scaled_random,
        in_torch,
        ladder,
    ],
}
