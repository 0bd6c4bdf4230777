"""Answers to 9.1, 9.5: plausible wrong ones by the mistake that must be named, others, and right ones."""

import math
from collections import Counter

import numpy as np
import torch
from scipy.special import softmax
from torch.nn import functional

# --- 9.1 -------------------------------------------------------------------------------------------------------------


def statistics_by_counter(selected, num_experts, below):
    counts = Counter(int(i) for row in selected for i in row)
    load = [counts[i] / selected.size for i in range(num_experts)]
    spread = math.sqrt(sum((share - 1 / num_experts) ** 2 for share in load) / num_experts)
    dead = sum(1 for share in load if share < below / num_experts)
    return load, spread * num_experts, max(load) * num_experts - 1, dead


def statistics_in_torch(selected, num_experts, below):
    load = functional.one_hot(torch.tensor(selected), num_experts).float().mean((0, 1))
    mean = load.mean()
    return {
        "load": load,
        "cv": load.std(correction=0) / mean,
        "max_violation": (load.max() - mean) / mean,
        "dead": (load < below * mean).sum(),
    }


def statistics_from_counts(selected, num_experts, below):
    counts = np.array([(selected == i).sum() for i in range(num_experts)])
    return [
        counts / counts.sum(),
        np.sqrt(np.var(counts)) / counts.mean(),
        (counts.max() - counts.mean()) / counts.mean(),
        np.count_nonzero(counts / counts.mean() < below),
    ]


def by_hand(selected, num_experts, below):
    """Shares that numpy compares with each expert; the number of the dead in brackets."""
    load = np.array([(selected == i).mean() for i in range(num_experts)])
    cv = np.sqrt(num_experts * (load**2).sum() - 1)
    return load, cv, load.max() / load.mean() - 1, np.array([(load < below * load.mean()).sum()])


def reordered(*places):
    return lambda selected, num_experts, below: [
        statistics_from_counts(selected, num_experts, below)[place] for place in places
    ]


def added_by_index(selected, N):
    load = np.zeros(N)
    load[selected.ravel()] += 1
    return load / selected.size


def with_part(name, wrong):
    """The right statistics with one part replaced by wrong(load, N, k, below)."""

    def answer(selected, num_experts, below):
        names, values = ("load", "cv", "max_violation", "dead"), statistics_from_counts(selected, num_experts, below)
        parts = dict(zip(names, values, strict=True))
        parts[name] = wrong(parts["load"], num_experts, selected.shape[1], below)
        return tuple(parts.values())

    return answer


def with_load(load):
    """Statistics that begin with a wrong load(selected, N) and go on from there."""

    def answer(selected, num_experts, below):
        f = load(selected, num_experts)
        return f, f.std() / f.mean(), f.max() / f.mean() - 1, (f < below * f.mean()).sum()

    return answer


# --- 9.5 -------------------------------------------------------------------------------------------------------------


def dead_hold(N, dead, high=0.01, low=-10.0):
    """One token for each living expert; every dead expert is nearly as likely as the winner."""
    h = np.full((N - dead, N), low)
    h[:, N - dead :] = 0
    h[np.arange(N - dead), np.arange(N - dead)] = high
    return h


def close_seconds(counts, high=0.02, low=-10.0):
    """counts: how many tokens each expert wins. The later half of the experts is a close second wherever it loses."""
    N = len(counts)
    rows = np.full((sum(counts), N), low)
    rows[:, N // 2 :] = 0
    winner = np.repeat(np.arange(N), counts)
    rows[np.arange(len(rows)), winner] = high
    return rows


# From the cells of the lesson: dead experts by a hair, and two experts that both live.
LESSON_DEAD = np.log([[0.5, 1e-30, 0.5, 0.5], [1e-30, 0.5, 0.5, 0.5]]) + 1e-9 * np.eye(2, 4)
LESSON_SPLIT = np.log([[0.51, 0.49]] * 75 + [[1e-30, 1.0]] * 25)
THREE = np.log([[0.36, 1e-6, 0.34]] * 20 + [[1e-6, 0.5, 0.49]] * 8 + [[1e-6, 1e-6, 0.9]] * 2)


def by_rank(selected, N):
    weights = np.broadcast_to(np.arange(selected.shape[1], 0, -1), selected.shape).ravel()
    return np.bincount(selected.ravel(), weights=weights, minlength=N) / weights.sum()


WRONG = {
    "9.1": {
        "first choices weigh more": with_load(by_rank),
        "first choice only (2)": with_load(lambda s, N: np.bincount(s[:, -1], minlength=N) / len(s)),
        "counted once": with_load(added_by_index),
        "counted once (2)": with_load(lambda s, N: np.bincount(np.unique(s), minlength=N) / len(np.unique(s))),
        "expert 0 left out": with_load(lambda s, N: np.array([(s == i).mean() for i in range(1, N + 1)])),
        "expert 0 left out (2)": with_load(lambda s, N: np.array([(s == i).mean() for i in range(1, N)])),
        "per cent": with_load(lambda s, N: 100 * np.bincount(s.ravel(), minlength=N) / s.size),
        "mean of those used": with_part("cv", lambda f, N, k, b: f[f > 0].std() / f[f > 0].mean()),
        "mean of those used (2)": with_part("cv", lambda f, N, k, b: f.std() / f[f > 0].mean()),
        "mean of those used (3)": with_part("max_violation", lambda f, N, k, b: f.max() / f[f > 0].mean() - 1),
        "mean of those used (4)": with_part("dead", lambda f, N, k, b: (f < b * f[f > 0].mean()).sum()),
        "which expert": with_part("max_violation", lambda f, N, k, b: f.argmax()),
        "one for each expert": with_part("max_violation", lambda f, N, k, b: (f - f.mean()) / f.mean()),
        "in deviations": with_part("max_violation", lambda f, N, k, b: (f.max() - f.mean()) / f.std()),
        "empty left out (2)": with_part("dead", lambda f, N, k, b: ((f > 0) & (f < b * f.mean())).sum()),
        "threshold from T/N": with_part("dead", lambda f, N, k, b: (f * k < b / N).sum()),
        "which (2)": with_part("dead", lambda f, N, k, b: np.where(f < b * f.mean())),
        "out of order": reordered(0, 2, 1, 3),
        "out of order (2)": reordered(1, 2, 3, 0),
        "out of order (3)": reordered(0, 1, 3, 2),
        "sorted": with_load(lambda s, N: -np.sort(-np.bincount(s.ravel(), minlength=N)) / s.size),
        "relative to the largest": with_load(lambda s, N: (c := np.bincount(s.ravel(), minlength=N)) / max(c)),
        "a row for each choice": with_load(lambda s, N: (s[..., None] == np.arange(N)).mean(axis=0)),
        "range (2)": with_part("cv", lambda f, N, k, b: (max(f) - min(f)) * N),
        "divided by another load": with_part("cv", lambda f, N, k, b: f.std() / np.median(f)),
        "CV in per cent": with_part("cv", lambda f, N, k, b: 100 * f.std() * N),
        "compared with another expert": with_part("max_violation", lambda f, N, k, b: max(f) / np.median(f) - 1),
        "second largest": with_part("max_violation", lambda f, N, k, b: sorted(f)[-2] * N - 1),
        "below turned round": with_part("dead", lambda f, N, k, b: (f * b < f.mean()).sum()),
        "divided by T": with_load(lambda s, N: np.bincount(s.ravel(), minlength=N) / len(s)),
        "counts": with_load(lambda s, N: np.bincount(s.ravel(), minlength=N)),
        "divided by N": with_load(lambda s, N: np.bincount(s.ravel(), minlength=N) / N),
        "first choice only": with_load(lambda s, N: np.bincount(s[:, 0], minlength=N) / len(s)),
        "no minlength": with_load(lambda s, N: np.bincount(s.flatten()) / s.size),
        "empty left out": with_load(lambda s, N: np.unique(s, return_counts=True)[1] / s.size),
        "relative to the mean": with_load(lambda s, N: np.bincount(s.ravel(), minlength=N) * N / s.size),
        "sample deviation": with_part("cv", lambda f, N, k, b: torch.tensor(f).std() / f.mean()),
        "squared": with_part("cv", lambda f, N, k, b: f.var() / f.mean() ** 2),
        "deviation of the shares": with_part("cv", lambda f, N, k, b: f.std()),
        "turned over": with_part("cv", lambda f, N, k, b: f.mean() / f.std()),
        "variance": with_part("cv", lambda f, N, k, b: f.var() / f.mean()),
        "added, not averaged": with_part("cv", lambda f, N, k, b: np.linalg.norm(f - 1 / N) * N),
        "absolute distances": with_part("cv", lambda f, N, k, b: np.abs(f - f.mean()).mean() * N),
        "around k/N": with_part("cv", lambda f, N, k, b: np.sqrt(((f - k / N) ** 2).mean()) / (k / N)),
        "divided by k/N": with_part("cv", lambda f, N, k, b: f.std() * N / k),
        "ratio": with_part("max_violation", lambda f, N, k, b: f.max() * N),
        "emptiest": with_part("max_violation", lambda f, N, k, b: (f.mean() - f.min()) / f.mean()),
        "emptiest, negative": with_part("max_violation", lambda f, N, k, b: (f.min() - f.mean()) / f.mean()),
        "farthest from the mean": with_part("max_violation", lambda f, N, k, b: np.abs(f - f.mean()).max() / f.mean()),
        "not relative": with_part("max_violation", lambda f, N, k, b: f.max() - f.mean()),
        "divided by the largest": with_part("max_violation", lambda f, N, k, b: (f.max() - f.mean()) / f.max()),
        "range": with_part("max_violation", lambda f, N, k, b: (f.max() - f.min()) / f.mean()),
        "MaxVio around k/N": with_part("max_violation", lambda f, N, k, b: (f.max() - k / N) / (k / N)),
        "at the threshold": with_part("dead", lambda f, N, k, b: (f <= b * f.mean()).sum()),
        "exactly zero": with_part("dead", lambda f, N, k, b: (f == 0).sum()),
        "below not used": with_part("dead", lambda f, N, k, b: (f < f.mean()).sum()),
        "threshold from the median": with_part("dead", lambda f, N, k, b: (f < b * np.median(f)).sum()),
        "threshold not relative": with_part("dead", lambda f, N, k, b: (f < b).sum()),
        "threshold from k/N": with_part("dead", lambda f, N, k, b: (f < b * k / N).sum()),
        "threshold from the fullest": with_part("dead", lambda f, N, k, b: (f < b * f.max()).sum()),
        "alive": with_part("dead", lambda f, N, k, b: (f >= b * f.mean()).sum()),
        "which": with_part("dead", lambda f, N, k, b: np.where(f < b * f.mean())[0]),
        "mask": with_part("dead", lambda f, N, k, b: f < b * f.mean()),
        "share of the experts": with_part("dead", lambda f, N, k, b: (f < b * f.mean()).mean()),
    },
    "9.5": {
        "wrong shape": [0.01, -10, 0, 0],
        "not finite": [[0.01, -np.inf, 0, 0], [-np.inf, 0.01, 0, 0]],
        "tie": LESSON_DEAD,
        "sign": -close_seconds([20, 16, 2, 2]),
        "sign (2)": -np.log(softmax(close_seconds([20, 16, 2, 2], high=0.05), axis=1)),
        "dead, as in the lesson": dead_hold(4, 2),
        "load too even": close_seconds([9, 9, 1, 1]),
        "two experts": LESSON_SPLIT,
        "few rows of shares": [[0.5, 0.4, 0.05, 0.05]],
        "one expert has all": np.tile([0.01, 0.0, 0.0, 0.0], (5, 1)),
        "neither": np.eye(4),
        "not far enough": close_seconds([20, 16, 2, 2], low=-0.2),
        "loss not below 1": 3 * np.eye(4)[[0] * 7 + [1, 2, 3]],
        "probabilities": softmax(close_seconds([20, 16, 2, 2], high=0.05), axis=1),
        "tokens as columns": close_seconds([20, 16, 2, 2]).T,
        "favourite wins too much": close_seconds([94, 0, 3, 3]),
        "favourite wins too much (2)": 3 * np.eye(4)[[0] * 37 + [1, 2, 3]],
        "dead, and no low loss": 3 * np.eye(4)[[0] * 10 + [1] * 9 + [2]],
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "9.1": [
        reordered(0, 1, 2),
        with_part("cv", lambda f, N, k, b: f.std() ** 0.5 * N),
        lambda selected, num_experts, below: None,
        lambda selected, num_experts, below: statistics_from_counts(selected, num_experts, below)[0],
        with_load(lambda s, N: np.full(N, 1 / N)),
        with_part("cv", lambda f, N, k, b: 0.5 * f.std() * N),
        with_part("max_violation", lambda f, N, k, b: f.max()),
        with_part("dead", lambda f, N, k, b: 2),
    ],
    "9.5": [
        None,
        "logits",
        {"logits": [[1, 0], [0, 1]]},
        [[1.0, 0.0], [1.0]],
        dead_hold,
    ],
}

RIGHT = {
    "9.1": [statistics_by_counter, statistics_in_torch, statistics_from_counts, by_hand],
    "9.5": [
        close_seconds([20, 16, 2, 2]),
        close_seconds([40, 36, 2, 2]).tolist(),
        torch.tensor(close_seconds([60, *[10] * 9, *[6] * 10]), dtype=torch.float32),
        THREE,
        np.repeat(close_seconds([10, 4, 4, 1, 1, 1], high=1e-2, low=-1000.0), 7, axis=0),
        [[0.3, -9, 0, 0]] * 12 + [[-9, 0.3, 0, 0]] * 8 + [[-9, -9, 0.3, 0]] * 2 + [[-9, -9, 0, 0.3]] * 2,
    ],
}

WRONG["9.1"]["not relative, counts"] = lambda selected, num_experts, below: (
    (counts := np.bincount(selected.ravel(), minlength=num_experts)) / selected.size,
    counts.std() / counts.mean(),
    counts.max() - counts.mean(),
    0,
)
WRONG["9.1"]["deviation of the counts"] = lambda selected, num_experts, below: (
    (counts := np.bincount(selected.ravel(), minlength=num_experts)) / selected.size,
    counts.std(),
    0,
    0,
)
