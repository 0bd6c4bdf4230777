"""Answers to set 01: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import math

import numpy as np
import torch

from moe_lessons.checks.set_01 import GIVEN_PROTOTYPES, GIVEN_TOKEN
from moe_lessons.data import worked_example


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# --- 1.1 ----------------------------------------------------------------------------------------------------------


def where_it_runs(x, weight):
    """The lesson's product, wherever numpy takes it."""
    return x @ weight if x.shape[-1] == len(weight) else x @ weight.T


def bias_down_the_batch(x, weight, bias):
    h = x @ weight.T
    return h + bias[:, None] if h.ndim == 2 and len(h) == len(bias) else h + bias


def bias_in_a_loop(x, weight, bias):
    h = x @ weight.T
    for _ in np.atleast_2d(x):
        h = h + bias
    return h


def bias_overwritten(x, weight, bias):
    def one(token):
        h = bias
        h += weight @ token
        return h

    return one(x) if x.ndim == 1 else np.stack([one(token) for token in x])


def sum_that_goes_on(x, weight, bias):
    rows, h = [], bias.copy()
    for token in np.atleast_2d(x):
        h = h + weight @ token
        rows.append(h)
    return np.array(rows) if x.ndim == 2 else rows[0]


def into_one_row(x, weight, bias):
    row, rows = np.zeros(len(weight)), []
    for token in np.atleast_2d(x):
        row[:] = weight @ token + bias
        rows.append(row)
    return rows[0] if x.ndim == 1 else rows


def logits_by_loop(x, weight, bias):
    rows = np.atleast_2d(x)
    h = [[bias[i] + sum(row[a] * weight[i, a] for a in range(len(row))) for i in range(len(weight))] for row in rows]
    return np.array(h) if np.ndim(x) > 1 else np.array(h[0])


def logits_by_linear(x, weight, bias):
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return layer(torch.tensor(x))


# --- 1.2 ----------------------------------------------------------------------------------------------------------


def logged(formula, cut=np.nan):
    """The answer that gives the selected experts `formula` of their weights and the largest logit, the others `cut`."""

    def back(weights, largest):
        h = np.full(len(weights), cut)
        h[weights > 0] = formula(weights[weights > 0], largest)
        return h

    return back


def right_back(w, largest):
    return largest + np.log(w) - np.log(np.max(w))


def in_the_first_places(weights, largest):
    logits = right_back(np.sort(weights[weights > 0])[::-1], largest)
    return np.append(logits, np.full(len(weights) - len(logits), np.nan))


def above_the_smallest(weights, largest):
    with np.errstate(all="ignore"):
        return np.where(weights > weights.min(), largest + np.log(weights / weights.max()), np.nan)


def back_by_loop(weights, largest):
    best = max(weights)
    return [largest - math.log(best / w) if w else math.nan for w in weights]


def back_in_torch(weights, largest):
    h = torch.tensor(weights).log()
    return torch.where(h > -torch.inf, h - h.max() + largest, torch.nan)


def back_in_place(weights, largest):
    weights[weights == 0] = np.nan
    return largest + np.log(weights / np.nanmax(weights))


def two_largest(weights, largest):
    best, second = np.argsort(-weights)[:2]
    h = np.full(len(weights), np.nan)
    h[best], h[second] = largest, largest + np.log(weights[second] / weights[best])
    return h


def back_masked(weights, largest):
    h = np.ma.log(np.ma.masked_equal(weights, 0))
    return (h - h.max() + largest).filled(np.nan)


# --- 1.4 and 1.5 --------------------------------------------------------------------------------------------------


E2 = GIVEN_PROTOTYPES[:, 1]
MIRRORED = 2 * (E2 @ GIVEN_TOKEN) / (GIVEN_TOKEN @ GIVEN_TOKEN) * GIVEN_TOKEN - E2  # on the other side of the token


def scaled(**changes):
    right = {"factor": 9.987, "p3 / p2": 9, "selected for -x": [3, 0], "p3 / p2 for x/2": 1.116}
    names = {"factor": "factor", "ratio": "p3 / p2", "selected": "selected for -x", "half": "p3 / p2 for x/2"}
    return right | {names[key]: value for key, value in changes.items()}


def scaled_computed():
    x, W_g = worked_example()
    h = x @ W_g
    p, half = softmax(np.log(9) / 0.22 * h), softmax(h / 2)
    return scaled(
        factor=np.log(9) / (h[2] - h[1]), ratio=p[2] / p[1], selected=np.argsort(h)[:2], half=half[2] / half[1]
    )


WRONG = {
    "1.1": {
        "one row again and again": into_one_row,
        "probabilities": lambda x, weight, bias: softmax(x @ weight.T + bias),
        "not transposed": lambda x, weight, bias: where_it_runs(x, weight) + bias,
        "not transposed (2)": lambda x, weight, bias: where_it_runs(x, weight),
        "reshaped": lambda x, weight, bias: np.inner(x, weight.reshape(-1, len(weight)).T) + bias,
        "bias forgotten": lambda x, weight, bias: x @ weight.T,
        "bias subtracted": lambda x, weight, bias: np.inner(x, weight) - bias,
        "bias multiplied": lambda x, weight, bias: (x @ weight.T) * bias,
        "bias for each token": bias_down_the_batch,
        "bias in the rows": lambda x, weight, bias: x @ (weight.T + bias),
        "bias as one number": lambda x, weight, bias: x @ weight.T + np.mean(bias),
        "bias as one number (2)": lambda x, weight, bias: x @ weight.T + sum(bias),
        "exponentials": lambda x, weight, bias: np.exp(x @ weight.T + bias),
        "rounded": lambda x, weight, bias: (x @ weight.T + bias).round(2),
        "transposed result": lambda x, weight, bias: ((weight @ x.T).T + bias).T,
        "scaled": lambda x, weight, bias: (x @ weight.T + bias) / x.shape[-1] ** 0.5,
        "bias twice": lambda x, weight, bias: x @ weight.T + bias + bias,
        "bias for one token only": lambda x, weight, bias: x @ weight.T + bias if x.ndim == 1 else x @ weight.T,
        "always a batch": lambda x, weight, bias: np.atleast_2d(x) @ weight.T + bias,
        "tokens added up": lambda x, weight, bias: (x @ weight.T + bias).reshape(-1, len(weight)).sum(axis=0),
        "first token only": lambda x, weight, bias: (x if x.ndim == 1 else x[0]) @ weight.T + bias,
        "one length left out": lambda x, weight, bias: (
            x / np.sqrt((x**2).sum(axis=-1, keepdims=True)) @ weight.T + bias
        ),
        "one length left out (2)": lambda x, weight, bias: x @ (weight.T / np.linalg.norm(weight, axis=1)) + bias,
        "cosine": lambda x, weight, bias: (
            (x / np.linalg.norm(x, axis=-1, keepdims=True)) @ (weight.T / np.linalg.norm(weight, axis=1)) + bias
        ),
        "bias as one number (3)": lambda x, weight, bias: x @ weight.T + bias[0],
        "bias for a batch only": lambda x, weight, bias: x @ weight.T + bias if x.ndim == 2 else weight @ x,
        "bias once for each token": bias_in_a_loop,
        "tokens piled up": bias_overwritten,
        "tokens piled up (2)": sum_that_goes_on,
        "probabilities (2)": lambda x, weight, bias: softmax((x @ weight.T + bias).T).T,
        "probabilities (3)": lambda x, weight, bias: softmax(x @ weight.T),
        "logarithms of probabilities": lambda x, weight, bias: np.log(softmax(x @ weight.T + bias)),
        "bias after the softmax": lambda x, weight, bias: softmax(x @ weight.T) + bias,
        "sigmoid": lambda x, weight, bias: 1 / (1 + np.exp(-(x @ weight.T + bias))),
        "sigmoid (2)": lambda x, weight, bias: np.tanh(x @ weight.T + bias),
        "level shifted": lambda x, weight, bias: (h := x @ weight.T + bias) - h.max(axis=-1, keepdims=True),
        "sorted": lambda x, weight, bias: np.sort(x @ weight.T + bias, axis=-1),
        "best only": lambda x, weight, bias: np.where((h := x @ weight.T + bias) < h.max(-1, keepdims=True), 0, h),
        "flattened": lambda x, weight, bias: (x @ weight.T + bias).reshape(-1),
        "dot products subtracted": lambda x, weight, bias: -np.inner(x, weight) + bias,
        "ReLU": lambda x, weight, bias: np.clip(x @ weight.T + bias, 0, None),
        "chosen expert": lambda x, weight, bias: (x @ weight.T + bias).argmax(axis=-1),
        "batch of one squeezed": lambda x, weight, bias: np.squeeze(x @ weight.T + bias),
        "16 bits": lambda x, weight, bias: (x @ weight.T + bias).astype(np.float16),
        "tokens added up (2)": lambda x, weight, bias: np.atleast_2d(x).mean(axis=0) @ weight.T + bias,
        "last token only": lambda x, weight, bias: [row @ weight.T + bias for row in np.atleast_2d(x)][-1],
        "distance": lambda x, weight, bias: bias - np.sqrt(((x[..., None, :] - weight) ** 2).sum(axis=-1)),
    },
    "1.2": {
        "smallest lost": above_the_smallest,
        "next for best": logged(lambda w, largest: largest + np.log([v / min(w[w > v], default=v) for v in w])),
        "even share for best": logged(lambda w, largest: largest + np.log(w * len(w))),
        "no level": logged(lambda w, largest: np.log(w)),
        "no level (2)": lambda weights, largest: np.log(weights),
        "weight for probability": lambda weights, largest: np.log(weights) + largest,
        "0 for the cut": logged(right_back, cut=0.0),
        "−∞ for the cut": lambda weights, largest: largest + np.log(weights / weights.max()),
        "border for the cut": lambda weights, largest: (
            largest + np.log(np.where(weights > 0, weights, weights[weights > 0].min()) / weights.max())
        ),
        "largest for the cut": lambda weights, largest: logged(right_back, cut=largest)(weights, largest),
        "only the selected": lambda weights, largest: right_back(weights[weights > 0], largest),
        "forward": lambda weights, largest: softmax(weights),
        "log forgotten": lambda weights, largest: largest * weights / weights.max(),
        "ratio for gap": logged(lambda w, largest: largest - w.max() / w),
        "gap added": logged(lambda w, largest: largest - np.log(w / w.max())),
        "gap of the weights": logged(lambda w, largest: largest - (w.max() - w)),
        "base 2": logged(lambda w, largest: largest + np.log2(w) - np.log2(w.max())),
        "base 10": lambda weights, largest: largest + np.log10(weights / weights.max()),
        "first for best": logged(lambda w, largest: largest + np.log(w / w[0])),
        "first for best (2)": logged(lambda w, largest: largest + np.log(w / w[-1])),
        "None for the cut": lambda weights, largest: [
            largest + math.log(w / weights.max()) if w else None for w in weights
        ],
        "smallest for best": logged(lambda w, largest: largest + np.log(w / min(w))),
        "largest at 0": lambda weights, largest: np.log(weights) - np.log(weights).max(),
        "mean for best": logged(lambda w, largest: largest + np.log(w) - np.log(w).mean()),
        "exponential": logged(lambda w, largest: np.exp(w)),
        "level multiplied": logged(lambda w, largest: np.log(w) * largest),
        "level multiplied (2)": logged(lambda w, largest: np.log(w / w.max()) * largest),
        "k is 2": two_largest,
        "small weights lost": lambda weights, largest: np.where(
            np.isclose(weights, 0), np.nan, largest + np.log(weights / weights.max())
        ),
        "small weights lost (2)": lambda weights, largest: np.where(
            weights > 0, largest + np.log(weights / weights.max() + 1e-9), np.nan
        ),
        "level multiplied (3)": lambda weights, largest: largest * weights,
        "weight added": logged(lambda w, largest: largest + w),
        "nan everywhere": lambda weights, largest: np.full(len(weights), np.nan),
        "weights returned": lambda weights, largest: weights,
        "level for the best only": logged(lambda w, largest: np.where(w == w.max(), largest, np.log(w))),
        "sign of the logarithm": logged(lambda w, largest: largest - np.log(w)),
        "sign of the logarithm (2)": logged(lambda w, largest: np.log(1 / w)),
        "inverse of the sigmoid": logged(lambda w, largest: np.log(w) - np.log1p(-w)),
        "number for the cut": logged(right_back, cut=-1.0),
        "number for the cut (2)": lambda weights, largest: largest + np.log((weights + 1e-12) / weights.max()),
        "number for the cut (3)": lambda weights, largest: largest + np.log(np.maximum(weights, 1e-9) / weights.max()),
        "order lost": in_the_first_places,
    },
    "1.4": {
        "length and angle": [3.0, 57.0],
        "length and angle (3)": [2.9, 0.995],
        "too long (9)": [0.35, 4.49],
        "angle with the axis": [1.58, 2.43],
        "length and angle (2)": (60.0, 2.5),
        "as far as E2": (2.9 * MIRRORED / np.hypot(*MIRRORED)).tolist(),
        "zero vector": [0.0, 0.0],
        "points away": [-1.0, 0.5],
        "scaled copy": (GIVEN_PROTOTYPES[:, 1] * 3).tolist(),
        "scaled copy (2)": 2.4 * GIVEN_PROTOTYPES[:, 0],
        "scaled copy (3)": (0.9 * GIVEN_PROTOTYPES[:, 1]).tolist(),
        "most aligned": [2.0, 1.0],
        "second best aligned": [3.0, 0.0],
        "second best aligned (2)": [0.6, 2.9],
        "tie": [2.6, -2.6],
        "too long": [5.0, -4.0],
        "too long (2)": [2.5, -2.0],
        "too long (3)": [1e6, -1.9e6],
        "too long (4)": [2e307, -3e307],
        "aligned but short": [0.2, 0.1],
        "turned too far": [-1.0, 2.8],
        "turned too far (2)": [1.9, -2.0],
        "too short": [1.0, 0.0],
        "right angle, too short": [1.5, -1.0],
        "right angle, too short (2)": [0.1, 2.0],
    },
    "1.5": {
        "excess halved": scaled(half=1.123),
        "ratio of 0.9": scaled(factor=-np.log(0.9) / 0.22),
        "weight of E2": scaled(factor=np.log(1 / 9) / 0.22),
        "gap": scaled(factor=2.197),
        "ratio": scaled(factor=9),
        "ratio of the weights": scaled(factor=0.9 / 0.5548),
        "ratio over gap": scaled(factor=40.91),
        "ratio of ratios": scaled(factor=7.223),
        "gap of the logits": scaled(factor=4.2254),
        "ten to one": scaled(factor=10.466),
        "base 10": scaled(factor=4.337),
        "base 2": scaled(factor=14.409),
        "one weight": scaled(factor=-0.4789),
        "near": scaled(factor=10),
        "weight among all": scaled(factor=10.04),
        "gap of the logits (2)": scaled(factor=np.log(9) / 0.3),
        "another pair": scaled(factor=np.log(9) / 0.7),
        "another pair (2)": scaled(factor=np.log(9) / 0.78),
        "sum of the logits": scaled(factor=np.log(9) / 0.82),
        "difference of the weights": scaled(factor=20.055),
        "gap subtracted": scaled(factor=np.log(9) - 0.22),
        "upside down": scaled(factor=0.1001),
        "ratio of 0.9 (2)": scaled(factor=0.22 * np.log(9)),
        "weight of E2 (2)": scaled(ratio=0.1),
        "factor": scaled(ratio=9.987),
        "counted from one, order turned": scaled(selected=[1, 4]),
        "all four": scaled(selected=[3, 0, 1, 2]),
        "one only": scaled(selected=[3]),
        "one of the two": scaled(selected=[3, 2]),
        "gap (2)": scaled(half=0.11),
        "gap (3)": scaled(half=0.22),
        "half": scaled(half=0.5),
        "weight": scaled(ratio=0.9),
        "inverse": scaled(ratio=0.111),
        "ratio for x": scaled(ratio=1.246),
        "ratio times factor": scaled(ratio=12.445),
        "difference": scaled(ratio=0.8),
        "ratio of logits (2)": scaled(ratio=1.733),
        "of the other token": scaled(half=9),
        "unchanged": scaled(selected=[2, 1]),
        "order turned": scaled(selected=[0, 3]),
        "counted from one": scaled(selected=[4, 1]),
        "selected turned round": scaled(selected=[1, 2]),
        "ratio halved": scaled(half=0.623),
        "ratio unchanged": scaled(half=1.246),
        "ratio of logits": scaled(half=1.733),
        "wrong direction": scaled(half=1.5527),
        "half of nine": scaled(half=4.5),
        "root of nine": scaled(half=3),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "1.1": [
        lambda x, weight, bias: 2 * (x @ weight.T) + bias,
        lambda x, weight, bias: x @ weight.T + bias + 0.01,
        lambda x, weight, bias: None,
        lambda x, weight, bias: (x @ weight.T + bias).astype(int),
        lambda x, weight, bias: "logits",
        lambda x, weight, bias: (x @ weight.T + bias)[..., :-1],
        lambda x, weight, bias: x @ weight.T + bias[::-1],
    ],
    "1.2": [
        lambda weights, largest: None,
        lambda weights, largest: largest,
        logged(lambda w, largest: largest + 2 * np.log(w / w.max())),
        lambda weights, largest: [str(w) for w in weights],
    ],
    "1.4": [[True, True], [1.0, 2.0, 3.0], 3.0, "long", [np.nan, 1.0], {"w": [3, 0]}, None],
    "1.5": [
        scaled(factor=9.9),
        scaled(ratio=8),
        scaled(selected=[0, 1, 2]),
        scaled(half="less"),
        scaled(selected=["E4", "E1"]),
        scaled(half=...),
        {"factor": 9.987},
        [9.987, 9, [3, 0], 1.116],
    ],
}

RIGHT = {
    "1.1": [
        lambda x, weight, bias: x @ weight.T + bias,
        lambda x, weight, bias: np.einsum("...d,nd->...n", x, weight) + bias,
        lambda x, weight, bias: torch.nn.functional.linear(torch.tensor(x), torch.tensor(weight), torch.tensor(bias)),
        lambda x, weight, bias: (
            torch.tensor(x).float() @ torch.tensor(weight).float().T + torch.tensor(bias)
        ).tolist(),
        lambda x, weight, bias: np.float32(x) @ np.float32(weight).T + np.float32(bias),
        lambda x, weight, bias: np.append(x, np.ones((*x.shape[:-1], 1)), -1) @ np.c_[weight, bias].T,
        logits_by_loop,
        logits_by_linear,
        lambda x, weight, bias: (weight @ x.T).T + bias,
    ],
    "1.2": [logged(right_back), back_by_loop, back_in_torch, back_in_place, back_masked],
    "1.4": [
        [2.5, -1.5],
        np.array([0.0, 3.0]),
        torch.tensor([2.3, -1.4]),
        (0.1, 2.9),
        np.float32([2.2, -1.5]),
        [0, 2.7],
        [[2.5], [-1.5]],
        torch.nn.functional.normalize(torch.tensor([0.4, 2.9]), dim=0) * 3,  # in float32 a little longer than 3
    ],
    "1.5": [
        scaled(),
        scaled_computed(),
        scaled(factor=9.99, half=1.12),
        scaled(selected=torch.tensor([3, 0]), ratio=torch.tensor(9.0)),
        scaled(selected=(3, 0), half=np.float32(1.1163)),
        scaled(factor=[np.log(9) / 0.22]),
    ],
}
