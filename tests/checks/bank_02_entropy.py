"""Answers to 2.5 and 2.6: wrong ones by the mistake that must be named, others that match none, and right ones."""

import math

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import entr, logsumexp, rel_entr
from scipy.stats import entropy as entropy_of_scipy


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def lessons_entropy(h):
    """Lesson 02's cell: the entropy of softmax(h)."""
    return logsumexp(h, axis=-1) - (softmax(h) * h).sum(axis=-1)


# --- 2.5 ----------------------------------------------------------------------------------------------------------


def entropy_in_float32(p):
    return torch.special.entr(torch.tensor(p, dtype=torch.float32)).sum(-1) / math.log(p.shape[-1])


def over_used(p):
    return entr(p).sum(-1) / np.log(np.count_nonzero(p, axis=-1))


def entropy_of_row(row):
    q = row[row > 0]
    return -(q * np.log(q)).sum() / np.log(row.shape[-1])


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


def on_a_grid(H, N, step):
    return led_by(min(np.arange(0, 50, step), key=lambda lead: abs(entropy_of(led_by(lead, N)) - H)), N)


def lowered(H, N):
    """How far one expert must lie below the others; far, where that does not reach H."""
    return logits_of(H, N, goal=lambda h: entropy_of(-h))[0]


def made(logits, x, scale=1.0):
    return np.outer(x, logits) / (x @ x) * scale


def on_one_entry(x, H, N):
    W, i = np.zeros((len(x), N)), np.abs(x).argmax()
    W[i] = logits_of(H, N) / x[i]
    return W


def on_the_first_entry(x, H, N):
    W = np.zeros((len(x), N))
    with np.errstate(all="ignore"):
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
    "2.5": {
        "0 log 0": lambda p: -np.sum(p * np.log(p), axis=-1) / np.log(p.shape[-1]),
        "not normalised": lambda p: entr(p).sum(-1),
        "bits": lambda p: -(p * np.log2(np.where(p > 0, p, 1))).sum(-1),
        "mixed bases": lambda p: entr(p).sum(-1) / np.log2(p.shape[-1]),
        "divided by N": lambda p: entr(p).sum(-1) / p.shape[-1],
        "divided by N (2)": lambda p: entr(p).sum(-1) / np.log(2) / p.shape[-1],
        "N − 1": lambda p: entr(p).sum(-1) / np.log(p.shape[-1] - 1),
        "nan made 0": lambda p: np.nan_to_num(-np.sum(p * np.log(p), axis=-1) / np.log(p.shape[-1])),
        "sign": lambda p: (p * np.log(np.where(p > 0, p, 1))).sum(-1) / np.log(p.shape[-1]),
        "sign, not normalised": lambda p: -entr(p).sum(-1),
        "sign, not normalised (2)": lambda p: (p * np.log2(np.where(p > 0, p, 1))).sum(-1),
        "over the tokens (2)": lambda p: entr(p).sum(0) / np.log(p.shape[0]),
        "turned round": lambda p: 1 - entr(p).sum(-1) / np.log(p.shape[-1]),
        "mean for sum": lambda p: entr(p).mean(-1) / np.log(p.shape[-1]),
        "divided by ln of the used": over_used,
        "over the tokens": lambda p: entr(p).sum(0) / np.log(p.shape[-1]),
        "ln T": lambda p: entr(p).sum(-1) / np.log(p.shape[0]),
        "one number for all": lambda p: np.mean(entr(p).sum(-1)) / np.log(p.shape[-1]),
        "no axis": lambda p: -(p * np.log(np.where(p > 0, p, 1))).sum() / np.log(p.shape[-1]),
        "flat": lambda p: -(p[p > 0] * np.log(p[p > 0])).sum() / np.log(len(p[p > 0])),
        "flat, not normalised": lambda p: float(-(p[p > 0] * np.log(p[p > 0])).sum()),
        "flat, not normalised (2)": lambda p: sum(-q * np.log2(q) for q in p.ravel() if q > 0),
        "flat, ln T": lambda p: -(p[p > 0] * np.log(p[p > 0])).sum() / np.log(len(p)),
        "all the used": lambda p: entr(p).sum(-1) / np.log(np.count_nonzero(p)),
        "divided by ln of the used (2)": lambda p: (
            entr(p).sum(-1) / np.log(np.maximum(np.count_nonzero(p, axis=-1), 2))
        ),
        "rounded": lambda p: (entr(p).sum(-1) / np.log(p.shape[-1])).round(4),
        "rounded (2)": lambda p: (entr(p).sum(-1) / np.log(p.shape[-1])).round(2),
        "in float32": entropy_in_float32,
        "in float32 (2)": lambda p: entr(np.float32(p)).sum(-1) / np.log(p.shape[-1]),
        "sum of squares": lambda p: 1 - (p**2).sum(-1),
        "sum of squares (2)": lambda p: (1 - (p * p).sum(-1)) * p.shape[-1] / (p.shape[-1] - 1),
        "exponential": lambda p: np.exp(entr(p).sum(-1)),
        "exponential (2)": lambda p: np.exp(entr(p).sum(-1)) / p.shape[-1],
        "p left out": lambda p: -np.log(p, where=p > 0, out=np.zeros_like(p)).sum(-1) / np.log(p.shape[-1]),
        "logarithm of all entries": lambda p: entr(p).sum(-1) / np.log(p.size),
        "over axis 1": lambda p: entr(p).sum(axis=1 if p.ndim > 1 else 0) / np.log(p.shape[-1]),
        "over the largest in the batch": lambda p: entr(p).sum(-1) / np.max(entr(p).sum(-1)),
        "floor (6)": lambda p: entr((p + 1e-6) / (p + 1e-6).sum(-1, keepdims=True)).sum(-1) / np.log(p.shape[-1]),
        "ln T (2)": lambda p: entr(p).sum(-1) / np.log(max(len(p), 2)),
        "over axis 1 (2)": lambda p: entr(p).sum(min(1, p.ndim - 1)) / np.log(p.shape[min(1, p.ndim - 1)]),
        "no axis (3)": lambda p: np.full(p.shape[:-1], np.mean(entr(p).sum(-1)) / np.log(p.shape[-1])),
        "small ones left out (2)": lambda p: -(p * np.log(np.where(p > 1e-6, p, 1))).sum(-1) / np.log(p.shape[-1]),
        "small ones left out": lambda p: entr(np.where(p > 1e-4, p, 0)).sum(-1) / np.log(p.shape[-1]),
        "base 10": lambda p: -(p * np.log10(np.where(p > 0, p, 1))).sum(-1),
        "mixed bases (2)": lambda p: entr(p).sum(-1) / np.log10(p.shape[-1]),
        "N + 1": lambda p: entr(p).sum(-1) / np.log(p.shape[-1] + 1),
        "both sides": lambda p: (entr(p) + entr(1 - p)).sum(-1) / np.log(p.shape[-1]),
        "exponential (3)": lambda p: (np.exp(entr(p).sum(-1)) - 1) / (p.shape[-1] - 1),
        "largest probability": lambda p: 1 - p.max(-1),
        "minus ln of the largest": lambda p: -np.log(p.max(-1)) / np.log(p.shape[-1]),
        "blocks for rows": lambda p: entropy_of_row(p) if p.ndim == 1 else np.array([entropy_of_row(row) for row in p]),
        "one axis for all in front": lambda p: [entropy_of_row(row) for row in p.reshape(-1, p.shape[-1])],
        "squeezed": lambda p: np.squeeze(entr(p).sum(-1) / np.log(p.shape[-1])),
        "ln of the second axis": lambda p: entr(p).sum(-1) / np.log(p.shape[1] if p.ndim > 1 else len(p)),
        "no axis (2)": lambda p: -(p[p > 0] * np.log(p[p > 0])).sum() / np.log(p.shape[-1]),
        "keepdims": lambda p: entr(p).sum(-1, keepdims=True) / np.log(p.shape[-1]),
        "softmax again": lambda p: lessons_entropy(p) / np.log(p.shape[-1]),
        "softmax again (2)": lambda p: lessons_entropy(p),
        "floor": lambda p: -(p * np.log(p + 1e-4)).sum(-1) / np.log(p.shape[-1]),
        "floor (2)": lambda p: -(p * np.log(p + 1e-6)).sum(-1) / np.log(p.shape[-1]),
        "floor (3)": lambda p: -(p * np.log(p + 1e-8)).sum(-1) / np.log(p.shape[-1]),
        "floor (4)": lambda p: entr(np.clip(p, 1e-5, 1)).sum(-1) / np.log(p.shape[-1]),
        "floor (5)": lambda p: entr(p + 1e-3).sum(-1) / np.log(p.shape[-1]),
    },
    "2.6": {
        "transposed": lambda x, H, N: made(logits_of(H, N), x).T,
        "logits": lambda x, H, N: logits_of(H, N),
        "gap alone": lambda x, H, N: np.ptp(logits_of(H, N)),
        "all alike": lambda x, H, N: np.zeros((len(x), N)),
        "one expert only": lambda x, H, N: made(led_by(100.0, N), x),
        "bits": lambda x, H, N: made(logits_of(H, N, lambda h: entropy_of(h) / np.log(2)), x),
        "share of the maximum": lambda x, H, N: made(logits_of(H, N, lambda h: entropy_of(h) / np.log(N)), x),
        "turned round": lambda x, H, N: made(logits_of(np.log(N) - H, N), x),
        "not divided by x·x": lambda x, H, N: np.outer(x, logits_of(H, N)),
        "divided by |x| once": lambda x, H, N: np.outer(x, logits_of(H, N)) / np.linalg.norm(x),
        "share of the maximum (2)": lambda x, H, N: made(logits_of(min(H, 0.99) * np.log(N), N), x),
        "one rival only": lambda x, H, N: made(led_by(logits_of(min(H, np.log(2) - 1e-9), 2)[0], N), x),
        "signs of x": lambda x, H, N: np.outer(np.sign(x), logits_of(H, N)) / (x @ x),
        "divided by an entry of x": on_the_first_entry,
        "divided by an entry of x (2)": np.errstate(all="ignore")(lambda x, H, N: logits_of(H, N) / x[:, None]),
        "not divided by d": lambda x, H, N: np.linalg.pinv(x[None]) @ logits_of(H, N)[None] * len(x),
        "x left out": lambda x, H, N: np.tile(logits_of(H, N), (len(x), 1)),
        "x left out (2)": lambda x, H, N: np.vstack([logits_of(H, N), np.zeros((len(x) - 1, N))]),
        "a whole number of experts": lambda x, H, N: made(-90.0 * (np.arange(N) >= max(1, round(np.exp(H)))), x),
        "probabilities for logits": lambda x, H, N: made(softmax(logits_of(H, N)), x),
        "entropy for gap": lambda x, H, N: made(led_by(H, N), x),
        "too coarse": lambda x, H, N: made(logits_of(H - 0.04, N), x),
        "too coarse (2)": lambda x, H, N: made(on_a_grid(H, N, 0.5), x),
        "too coarse (3)": lambda x, H, N: made(logits_of(H, N).round(), x),
        "divided by ln N": lambda x, H, N: made(logits_of(H / np.log(N), N), x),
        "nats to nats": lambda x, H, N: made(logits_of(H / np.log(2), N), x),
        "divided by d": lambda x, H, N: np.outer(x, logits_of(H, N)) / len(x),
        "divided by the sum of x": lambda x, H, N: np.outer(x, logits_of(H, N)) / x.sum(),
        "divided twice": lambda x, H, N: made(logits_of(H, N), x) / (x @ x),
        "straight line": lambda x, H, N: made(led_by(50 * (1 - H / np.log(N)), N), x),
        "straight line (2)": lambda x, H, N: made(led_by(np.log(N) - H, N), x),
        "best expert only": lambda x, H, N: made(led_by(np.log((N - 1) / np.expm1(H)), N), x),
        "one lowered": lambda x, H, N: made(-logits_of(H, N), x),
        "one lowered (2)": lambda x, H, N: made(led_by(-lowered(H, N), N), x),
        "formula for the lead": lambda x, H, N: made(led_by(np.exp(H), N), x),
        "formula for the lead (2)": lambda x, H, N: made(led_by(1 / H, N), x),
        "fixed lead": lambda x, H, N: made(led_by(3.0, N), x),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "2.5": [
        lambda p: p.max(-1),
        lambda p: p.min(-1),
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
    "2.5": [
        entropy_by_loops,
        entropy_by_divergence,
        lambda p: entr(p).sum(-1) / np.log(p.shape[-1]),
        lambda p: -np.nansum(p * np.log2(p), axis=-1) / np.log2(p.shape[-1]),
        lambda p: -(p * np.log(p + 1e-9)).sum(-1) / np.log(p.shape[-1]),
        lambda p: entropy_of_scipy(p, axis=-1) / np.log(p.shape[-1]),
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
