"""Answers to the review 11r: plausible wrong ones by the mistake that must be named, others, and right ones."""

import math

import numpy as np
import torch

# --- 11r.1 --------------------------------------------------------------------------------------------------------


def room(fullest=416, factor=1.625, dropped=1.95):
    return {"fullest": fullest, "factor": factor, "dropped at least": dropped}


# --- 11r.2 --------------------------------------------------------------------------------------------------------


def agreement(chance=0.085, times=2.353, cv=1.483):
    return {"by chance": chance, "times": times, "cv for all of it": cv}


# --- 11r.3 --------------------------------------------------------------------------------------------------------


def total(counts):
    return counts.sum(axis=0) / counts.sum()


def by_loops(counts, P, tokens):
    N, value = len(counts[0]), 0.0
    for i in range(N):
        f = sum(row[i] for row in counts) / sum(map(sum, counts))
        mean = sum(t * row[i] for t, row in zip(tokens, P, strict=True)) / sum(tokens)
        value += N * f * mean
    return value


def in_torch(counts, P, tokens):
    f = torch.tensor(counts).sum(0) / counts.sum()
    w = torch.tensor(tokens) / tokens.sum()
    return counts.shape[1] * torch.einsum("i,p,pi->", f.double(), w.double(), torch.tensor(P))


# --- 11r.4 and 11r.5 ----------------------------------------------------------------------------------------------

ROWS = {
    "A": "even start",
    "B": "equal tuning",
    "C": "per served token",
    "D": "given the token",
    "E": "dice",
    "F": "longer training",
}


def controls(**changed):
    return ROWS | changed


WAYS = {"E1": "ddd", "E2": "udd", "E3": "udu", "E4": "uuu"}
NAMES = ("loss, token a", "loss, token b", "bias")


def pushes(**changed):
    words = {"u": "up", "d": "down"}
    return {e: dict(zip(NAMES, map(words.get, ways), strict=True)) for e, ways in (WAYS | changed).items()}


def columns(*parts):
    """The ways by columns: of token a, of token b, and of the bias, E1 to E4 each."""
    return pushes(**{f"E{i + 1}": "".join(ways) for i, ways in enumerate(zip(*parts, strict=True))})


# --- 11r.6 --------------------------------------------------------------------------------------------------------


def most(even=2, leaning=0.8113, rare=0.469, hashed=0):
    return {"even": even, "leaning": leaning, "rare domain": rare, "hash, given the token": hashed}


WRONG = {
    "11r.1": {
        "tokens counted once": room(fullest=208),
        "excess alone": room(fullest=160),
        "mean": room(fullest=256),
        "times MaxVio of all": room(fullest=5120),
        "times MaxVio of all (2)": room(fullest=2560),
        "not divided by N": room(fullest=13312),
        "a share of all": room(fullest=0.0508),
        "in mean loads": room(fullest=1.625),
        "too small": room(factor=1.25),
        "too small (2)": room(factor=1.5),
        "not divided by N (2)": room(fullest=6656),
        "MaxVio itself": room(factor=0.625),
        "places": room(factor=416),
        "with k": room(factor=3.25),
        "with k (2)": room(factor=0.8125),
        "factor 1": room(factor=1),
        "share of the expert": room(dropped=100 * 160 / 416),
        "MaxVio in percent": room(dropped=62.5),
        "every expert as full": room(dropped=100 * (1 - 1 / 1.625) * 32),
        "of the tokens": room(dropped=3.9),
        "a count": room(dropped=160),
        "nearly nothing": room(dropped=0),
        "nearly nothing (2)": room(dropped=0.0195),
        "the most": room(dropped=31.3),
        "the most (2)": room(dropped=100 * 19 * 160 / 8192),
        "all of the fullest": room(dropped=5.08),
        "k twice": room(fullest=832),
        "added to the mean": room(fullest=256.625),
        "by the others": room(fullest=1.625 * 8192 / 31),
        "of the fullest": room(fullest=683, factor=2.67),
        "of the fullest (2)": room(factor=2.67),
        "below the mean": room(fullest=96),
        "rounded down": room(factor=1.6),
        "too much": room(factor=2),
        "too much (2)": room(factor=1.7),
        "upside down": room(factor=1 / 1.625),
        "k twice (2)": room(dropped=0.98),
        "by the others (2)": room(dropped=62.5 / 31),
        "a mean load": room(dropped=3.125),
    },
    "11r.2": {
        "even loads": agreement(chance=1 / 16),
        "CV not squared": agreement(chance=1.6 / 16),
        "spread alone": agreement(chance=0.0225),
        "squares lost": agreement(chance=0.0375),
        "below 1/N": agreement(chance=0.64 / 16),
        "one expert": agreement(chance=1.36 / 256),
        "percent": agreement(chance=8.5),
        "beside 1/N": agreement(times=3.2),
        "difference": agreement(times=0.115),
        "how much more": agreement(times=1.35),
        "upside down": agreement(times=0.425),
        "squared": agreement(cv=2.2),
        "1 forgotten": agreement(cv=math.sqrt(3.2)),
        "spread alone (2)": agreement(chance=0.36),
        "squared together": agreement(chance=0.16),
        "root": agreement(chance=math.sqrt(1.36) / 16),
        "not divided": agreement(chance=0.4225),
        "N − 1": agreement(chance=1.36 / 15),
        "not agreed": agreement(chance=0.915),
        "from a rounded number": agreement(times=2.22),
        "with CV not squared": agreement(times=2.0),
        "by the spread alone": agreement(times=8.89),
        "times for the sum": agreement(cv=1.16),
        "what is added": agreement(cv=1.356),
        "N forgotten": agreement(cv=0.371),
        "1 taken off after the root": agreement(cv=0.789),
        "times the CV": agreement(cv=2.47),
        "near": agreement(chance=0.09, times=2.22),
        "the 1 scaled, too": agreement(cv=0.92),
        "in proportion": agreement(cv=0.6 * 0.2 / 0.085),
    },
    "11r.3": {
        "mean of the parts' losses": lambda counts, P, tokens: np.mean(
            [len(c) * (c / c.sum()) @ p for c, p in zip(counts, P, strict=True)]
        ),
        "weighted mean of the parts' losses": lambda counts, P, tokens: np.average(
            [len(c) * (c / c.sum()) @ p for c, p in zip(counts, P, strict=True)], weights=tokens
        ),
        "sum of the parts' losses": lambda counts, P, tokens: sum(
            len(c) * (c / c.sum()) @ p for c, p in zip(counts, P, strict=True)
        ),
        "parts weigh alike": lambda counts, P, tokens: (
            P.shape[1] * (counts / counts.sum(axis=1)[:, None]).mean(axis=0) @ P.mean(axis=0)
        ),
        "f unweighted": lambda counts, P, tokens: (
            P.shape[1] * np.mean([c / c.sum() for c in counts], axis=0) @ np.average(P, axis=0, weights=tokens)
        ),
        "one for each part": lambda counts, P, tokens: [
            len(c) * (c / c.sum()) @ p for c, p in zip(counts, P, strict=True)
        ],
        "weighted mean of the parts' losses (2)": lambda counts, P, tokens: (
            P.shape[1] * total(counts) @ ((counts * P).sum(axis=0) / counts.sum(axis=0))
        ),
        "f of one part": lambda counts, P, tokens: (
            P.shape[1] * counts[0] / counts[0].sum() @ np.average(P, axis=0, weights=tokens)
        ),
        "P of one part": lambda counts, P, tokens: P.shape[1] * total(counts) @ P[0],
        "P unweighted, counts by tokens": lambda counts, P, tokens: (
            P.shape[1] * counts.sum(axis=0) / tokens.sum() @ P.mean(axis=0)
        ),
        "f twice": lambda counts, P, tokens: counts.shape[1] * (total(counts) ** 2).sum(),
        "one of the parts": lambda counts, P, tokens: P.shape[1] * (counts[0] / counts[0].sum()) @ P[0],
        "one of the parts (2)": lambda counts, P, tokens: P.shape[1] * (counts[-1] / counts[-1].sum()) @ P[-1],
        "one of the parts (3)": lambda counts, P, tokens: (
            P.shape[1] * (counts[(m := tokens.argmax())] / counts[m].sum()) @ P[m]
        ),
        "number of parts": lambda counts, P, tokens: (
            len(counts) * total(counts) @ np.average(P, axis=0, weights=tokens)
        ),
        "N twice": lambda counts, P, tokens: P.shape[1] ** 2 * total(counts) @ np.average(P, axis=0, weights=tokens),
        "P twice": lambda counts, P, tokens: P.shape[1] * (np.average(P, axis=0, weights=tokens) ** 2).sum(),
        "weights that do not sum to 1": lambda counts, P, tokens: (
            P.shape[1] * total(counts) @ (tokens / tokens.max() @ P / len(tokens))
        ),
        "weights that do not sum to 1 (2)": lambda counts, P, tokens: (
            P.shape[1] * total(counts) @ ((tokens / tokens.sum())[:, None] * P).mean(axis=0)
        ),
        "each expert over the parts": lambda counts, P, tokens: (
            P.shape[1] * (counts / counts.sum(axis=0)).mean(axis=0) @ np.average(P, axis=0, weights=tokens)
        ),
        "divided by the parts": lambda counts, P, tokens: (
            P.shape[1] * total(counts) @ (tokens[:, None] * P).mean(axis=0)
        ),
        "rounded": lambda counts, P, tokens: round(by_loops(counts.tolist(), P.tolist(), tokens.tolist()), 2),
        "less 1": lambda counts, P, tokens: P.shape[1] * total(counts) @ np.average(P, axis=0, weights=tokens) - 1,
        "not summed": lambda counts, P, tokens: P.shape[1] * total(counts) * np.average(P, axis=0, weights=tokens),
        "P unweighted": lambda counts, P, tokens: P.shape[1] * total(counts) @ P.mean(axis=0),
        "P added": lambda counts, P, tokens: P.shape[1] * total(counts) @ P.sum(axis=0),
        "P added (2)": lambda counts, P, tokens: P.shape[1] * total(counts) @ (P * tokens[:, None]).sum(axis=0),
        "without N": lambda counts, P, tokens: total(counts) @ (tokens @ P) / tokens.sum(),
        "divided by tokens": lambda counts, P, tokens: (
            P.shape[1] * (counts.sum(axis=0) / tokens.sum()) @ (tokens @ P) / tokens.sum()
        ),
        "counts for shares": lambda counts, P, tokens: P.shape[1] * counts.sum(axis=0) @ (tokens @ P) / tokens.sum(),
    },
    "11r.4": {
        "A: longer training": controls(A="longer training"),
        "B: dice": controls(B="dice"),
        "C: given the token": controls(C="given the token"),
        "D: per served token": controls(D="per served token"),
        "E: even start": controls(E="even start"),
        "F: equal tuning": controls(F="equal tuning"),
    },
    "11r.5": {
        "E2: loss, token a down": pushes(E2="ddd"),
        "E3: loss, token b up": pushes(E3="uuu"),
        "E2: bias up": pushes(E2="udu"),
        "E1: loss, token a up": pushes(E1="udd"),
        "E3: bias down": pushes(E3="udd"),
        "E1: loss, token a up (2)": columns("udud", "dddu", "dduu"),
        "along the gradient": columns("uddd", "uuud", "dduu"),
        "tokens exchanged": columns("dddu", "duuu", "dduu"),
        "tokens exchanged (2)": columns("dddu", "duuu", "uudd"),
        "beside 1/N": columns("dduu", "dduu", "dduu"),
        "all down": columns("dddd", "dddd", "dduu"),
        "all up": columns("uuuu", "uuuu", "dduu"),
        "away from the favourite": columns("duuu", "uuud", "dduu"),
        "to the favourite": columns("uddd", "dddu", "dduu"),
        "only the fullest": columns("duuu", "duuu", "duuu"),
        "only the emptiest": columns("dddu", "dddu", "dduu"),
        "E1: bias up": columns("duuu", "dddu", "uudd"),
        "E2: bias up (2)": columns("duuu", "dddu", "duuu"),
    },
    "11r.6": {
        "of the choice": most(even=4),
        "nats": most(even=math.log(4)),
        "both together": most(even=6),
        "of the domains": most(leaning=2),
        "one bit": most(leaning=1),
        "nats (2)": most(leaning=0.562),
        "nothing": most(leaning=0),
        "the favourite alone": most(leaning=0.311),
        "the other alone": most(leaning=0.5),
        "one bit (2)": most(rare=1),
        "of the choice (2)": most(rare=4.32),
        "nats (3)": most(rare=0.325),
        "the rare part alone": most(rare=0.332),
        "surprise of the rare one": most(rare=3.32),
        "the common part alone": most(rare=0.137),
        "minus forgotten": most(leaning=-0.811),
        "minus forgotten (2)": most(rare=-0.469),
        "as without the token": most(hashed=2),
        "of the choice (3)": most(hashed=4),
        "one bit (3)": most(hashed=1),
        "base 10": most(even=0.602),
        "base 10 (2)": most(leaning=0.244),
        "share of the domains": most(even=1, leaning=0.41, rare=1),
        "share of the domains (2)": most(leaning=0.41),
        "difference": most(leaning=1.19, rare=3.85),
        "difference (2)": most(rare=3.85),
        "of the domains (2)": most(leaning=2, rare=3.32),
        "number of experts": most(even=16),
        "share": most(even=0.5),
        "what is missing": most(leaning=0.189),
        "what is missing (2)": most(rare=0.531),
        "a load": most(leaning=0.75),
        "surprise of the favourite": most(leaning=0.415),
        "both together (2)": most(leaning=2.81),
        "both together (3)": most(rare=4.79),
        "surprise of the common one": most(rare=0.152),
        "nothing (2)": most(rare=0),
        "a share of the text": most(rare=0.9),
        "a share of the text (2)": most(rare=0.1),
    },
}

UNRECOGNISED = {
    "11r.1": [room(fullest=300), room(factor=1.45), room(dropped=2.5)],
    "11r.2": [agreement(chance=0.2), agreement(times=1.5), agreement(cv=1)],
    "11r.3": [
        lambda counts, P, tokens: 1.0,
        lambda counts, P, tokens: np.ones(counts.shape[1]),
        lambda counts, P, tokens: P.max(),
        lambda counts, P, tokens: counts.shape[1] * (tokens @ P / tokens.sum()).max(),
    ],
    "11r.4": [{}, controls(A="noise"), dict(list(ROWS.items())[:5]), list(ROWS.values())],
    "11r.5": [pushes() | {"E1": "up"}, {"E1": pushes()["E1"]}, ["up"] * 4],
    "11r.6": [most(even=3), most(leaning=0.9), most(rare=0.6), most(hashed=0.5)],
}

RIGHT = {
    "11r.1": [room(), room(np.float32(416), 13 / 8, 1.953125), room(416.0, 1.63, 2.0)],
    "11r.2": [agreement(), agreement(1.36 / 16, 0.2 / (1.36 / 16), math.sqrt(2.2)), agreement(0.085, 2.35, 1.48)],
    "11r.3": [
        by_loops,
        in_torch,
        lambda counts, P, tokens: (
            counts.shape[1] * (counts.sum(0) * np.average(P, axis=0, weights=tokens)).sum() / counts.sum()
        ),
        lambda counts, P, tokens: [counts.shape[1] * total(counts) @ np.average(P, axis=0, weights=tokens)],
        lambda counts, P, tokens: np.float32(by_loops(counts.tolist(), P.tolist(), tokens.tolist())),
        lambda counts, P, tokens: P.shape[1] * total(counts) @ (counts.sum(1) @ P) / counts.sum(),  # weighted by counts
    ],
    "11r.4": [controls(), controls(E="Dice"), dict(reversed(list(ROWS.items())))],
    "11r.5": [
        pushes(),
        {e: {n: w.upper() for n, w in ways.items()} for e, ways in pushes().items()},
        dict(reversed(list(pushes().items()))),
    ],
    "11r.6": [most(), most(math.log2(4), 0.81, 0.47, 0.0), most(np.array(2), np.float64(0.8113), 0.469, 0)],
}
