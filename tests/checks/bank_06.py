"""Answers to set 06: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import itertools
import math
from fractions import Fraction

import numpy as np
import torch
from torch import nn

# --- 6.1 ----------------------------------------------------------------------------------------------------------


def model_counts(layers, d, vocab, N, k, f, *, attention=4, matrices=3, routers=None, heads=2, tops=None):
    """Count with changes: matrices of attention and expert, columns of an active router, embeddings, experts."""
    router = d * N
    fixed = layers * attention * d * d + heads * vocab * d
    expert = layers * matrices * d * f
    active = fixed + layers * d * (N if routers is None else routers) + (k if tops is None else tops) * expert
    total = fixed + layers * router + N * expert
    return total, active, 2 * (active - vocab * d)


def right(*sizes):
    return model_counts(*sizes)


def changed(**changes):
    return lambda layers, d, vocab, N, k, f: model_counts(layers, d, vocab, N, k, f, **changes)


def with_part(place, wrong):
    """A right answer but for one part, which `wrong` computes from the sizes and the right parts."""

    def answer(layers, d, vocab, N, k, f):
        parts = list(right(layers, d, vocab, N, k, f))
        parts[place] = wrong(layers, d, vocab, N, k, f, *parts)
        return tuple(parts)

    return answer


def total(wrong):
    return with_part(0, wrong)


def active(wrong):
    return with_part(1, wrong)


def flops(wrong):
    return with_part(2, wrong)


def counts_of_modules(layers, d, vocab, N, k, f):
    """Build the model of torch's modules, on no device, and count it."""
    with torch.device("meta"):
        expert = nn.ModuleList([nn.Linear(d, f, bias=False), nn.Linear(d, f, bias=False), nn.Linear(f, d, bias=False)])
        shared = nn.ModuleList([nn.Linear(d, d, bias=False) for _ in range(4)] + [nn.Linear(d, N, bias=False)])
        # One that draws its numbers makes torch import for seconds.
        embed, head = nn.Embedding.from_pretrained(torch.empty(vocab, d)), nn.Linear(d, vocab, bias=False)
    size = {name: sum(p.numel() for p in module.parameters()) for name, module in
            (("expert", expert), ("shared", shared), ("embed", embed), ("head", head))}  # fmt: skip
    stored = layers * (size["shared"] + N * size["expert"]) + size["embed"] + size["head"]
    met = layers * (size["shared"] + k * size["expert"]) + size["embed"] + size["head"]
    return {"total": stored, "active": met, "FLOPs": 2 * (met - size["embed"])}


def counts_by_loop(layers, d, vocab, N, k, f):
    stored = met = 2 * vocab * d
    work = 2 * vocab * d
    for _ in range(layers):
        for rows, columns, copies, running in [(d, d, 4, 4), (d, N, 1, 1), (d, f, 2 * N, 2 * k), (f, d, N, k)]:
            stored += rows * columns * copies
            met += rows * columns * running
            work += 2 * rows * columns * running
    return [stored, met, work]


def counts_in_numpy(layers, d, vocab, N, k, f):
    rows, columns = np.array([d, d, d, f, vocab]), np.array([d, N, f, d, d])
    sizes = rows * columns
    stored = np.array([4 * layers, layers, 2 * N * layers, N * layers, 2])
    met = np.array([4 * layers, layers, 2 * k * layers, k * layers, 2])
    return sizes @ stored, sizes @ met, 2.0 * (sizes @ met - vocab * d)


# --- 6.2 ----------------------------------------------------------------------------------------------------------


def touched(N, k, batch):
    return N * (1 - (1 - k / N) ** batch)


def touched_step_by_step(N, k, batch):
    expected = 0.0
    for _ in range(batch):
        expected += (N - expected) * k / N  # of those still untouched, a token takes k/N
    return expected


def touched_by_simulation(N, k, batch, draws=300):
    rng = np.random.default_rng(N * batch)
    return float(np.mean([len(set(np.argsort(rng.random((batch, N)))[:, :k].ravel())) for _ in range(draws)]))


def touched_in_fractions(N, k, batch):
    return N - N * Fraction(math.comb(N - 1, k), math.comb(N, k)) ** batch


def touched_by_combinations(N, k, batch):
    missed = math.comb(N - 1, k) / math.comb(N, k)
    return sum(1 - missed**batch for _ in range(N))


# --- 6.3 ----------------------------------------------------------------------------------------------------------


def design(layers, d_model, d_ff, num_experts, top_k, **more):
    return {"layers": layers, "d_model": d_model, "d_ff": d_ff, "num_experts": num_experts, "top_k": top_k, **more}


# --- 6.4 ----------------------------------------------------------------------------------------------------------

D, F, LAYERS, VOCAB, N = 4096, 14336, 32, 32000, 8
FIXED = LAYERS * (2 * D * 128 * (32 + 8)) + VOCAB * D  # attention with 8 heads of keys and values, output head
EXPERT = LAYERS * 3 * D * F
ALL = FIXED + N * EXPERT
STORED = ALL + VOCAB * D
SHARES = {
    "A": 100 * (1 - (FIXED + 2 * EXPERT) / ALL),
    "B": 100 * (FIXED + 2 * EXPERT) / (FIXED + EXPERT),
    "C": 100,
    "D": 100 * (FIXED + 2 * EXPERT) / STORED,
    "E": 100 * (FIXED + N * (1 - 0.75**32) * EXPERT) / STORED,
    "F": None,
    "G": None,
}


def claims(**changes):
    return {**SHARES, **changes}


WRONG = {
    "6.1": {
        "N copies of a model": total(
            lambda layers, d, vocab, N, k, f, *_: N * right(layers, d, vocab, 1, 1, f)[0] - N * layers * d
        ),
        "N copies of a model and routers": total(
            lambda layers, d, vocab, N, k, f, *_: N * right(layers, d, vocab, 1, 1, f)[0]
        ),
        "two matrices": changed(matrices=2),
        "no router": total(lambda layers, d, vocab, N, k, f, all_, *_: all_ - layers * d * N),
        "one router": total(lambda layers, d, vocab, N, k, f, all_, *_: all_ - layers * d * N + d * N),
        "one router active": active(lambda layers, d, vocab, N, k, f, all_, met, _: met - layers * d * N + d * N),
        "swapped": lambda *sizes: [right(*sizes)[place] for place in (1, 0, 2)],
        "one embedding": changed(heads=1),
        "no embeddings": changed(heads=0),
        "one layer": lambda layers, d, vocab, N, k, f: right(1, d, vocab, N, k, f),
        "embeddings in every layer": lambda layers, d, vocab, N, k, f: [
            layers * n for n in right(1, d, vocab, N, k, f)
        ],
        "three attention matrices": changed(attention=3),
        "one attention matrix": changed(attention=1),
        "active as total": total(lambda *a: a[-2]),
        "total as active": active(lambda *a: a[-3]),
        "experts only": active(lambda layers, d, vocab, N, k, f, *_: 3 * k * layers * d * f),
        "total times k/N": active(lambda layers, d, vocab, N, k, f, all_, *_: all_ / N * k),
        "router of k": lambda layers, d, vocab, N, k, f: model_counts(layers, d, vocab, N, k, f, routers=k),
        "active without input embedding": active(lambda layers, d, vocab, N, k, f, all_, met, _: met - d * vocab),
        "no router active": changed(routers=0),
        "one expert active": changed(tops=1),
        "lookup counted": flops(lambda *a: 2 * a[-2]),
        "one for each weight": flops(lambda *a: a[-1] / 2),
        "active as FLOPs": flops(lambda *a: a[-2]),
        "head left out": flops(lambda layers, d, vocab, N, k, f, *a: 2 * (a[-2] - 2 * vocab * d)),
        "head counted once": flops(
            lambda layers, d, vocab, N, k, f, *_: 2 * layers * (4 * d * d + d * N + 3 * k * d * f) + vocab * d
        ),
        "all experts run": flops(lambda layers, d, vocab, N, k, f, *a: 2 * (a[0] - vocab * d)),
        "no router FLOPs": flops(
            lambda layers, d, vocab, N, k, f, *_: model_counts(layers, d, vocab, N, k, f, routers=0)[2]
        ),
        "router of k FLOPs": flops(
            lambda layers, d, vocab, N, k, f, *_: model_counts(layers, d, vocab, N, k, f, routers=k)[2]
        ),
        "training": flops(lambda *a: 3 * a[-1]),
    },
    "6.2": {
        "added up": lambda N, k, batch: k * batch,
        "added up to N": lambda N, k, batch: min(k * batch, N),
        "with replacement": lambda N, k, batch: N - N * ((N - 1) / N) ** (batch * k),
        "one choice each": lambda N, k, batch: touched(N, 1, batch),
        "untouched": lambda N, k, batch: N - touched(N, k, batch),
        "fraction": lambda N, k, batch: touched(N, k, batch) / N,
        "fraction untouched": lambda N, k, batch: (1 - k / N) ** batch,
        "percent": lambda N, k, batch: 100 * touched(N, k, batch) / N,
        "batch ignored": lambda N, k, batch: k,
        "all": lambda N, k, batch: N,
        "all chosen": lambda N, k, batch: N * (k / N) ** batch,
        "rounded": lambda N, k, batch: round(touched(N, k, batch)),
        "all chosen, turned round": lambda N, k, batch: N - N * (k / N) ** batch,
        "times k": lambda N, k, batch: k - k * (1 - k / N) ** batch,
        "nothing": lambda N, k, batch: N * (1 - (1 - k // N) ** batch),
        "simulated": touched_by_simulation,
    },
    "6.3": {
        "memory": design(16, 2048, 1024, 160, 5),
        "too small": design(16, 2048, 1024, 80, 4),
        "compute": design(16, 2560, 1664, 50, 3),
        "too little work": design(16, 2048, 1024, 104, 3),
        "batch": design(8, 2560, 3500, 47, 3),
        "router": design(16, 2048, 256, 416, 20),
        "k above N": design(16, 2048, 1024, 4, 5),
    },
    "6.4": {
        "A: experts only": claims(A=75),
        "A: what is left": claims(A=100 - SHARES["A"]),
        "A: spared in memory": claims(A=0),
        "A: it is in the figure": claims(A=None),
        "A: not in percent": claims(A=SHARES["A"] / 100),
        "B: as one expert": claims(B=100),
        "B: twice": claims(B=200),
        "B: more only": claims(B=SHARES["B"] - 100),
        "B: upside down": claims(B=1e4 / SHARES["B"]),
        "B: not in percent": claims(B=round(SHARES["B"] / 100, 2)),
        "C: only active stored": claims(C=SHARES["D"]),
        "C: only active stored (2)": claims(C=25),
        "C: spared": claims(C=0),
        "C: it is in the figure": claims(C=None),
        "D: experts only": claims(D=25),
        "D: all": claims(D=100),
        "E: as for one token": claims(E=SHARES["D"]),
        "E: a quarter": claims(E=25.0),
        "E: added up": claims(E=32 * SHARES["D"]),
        "E: of what is read": claims(E=99.99),
        "E: cut": claims(E=99),
        "A: cut": claims(A=72),
        "F: not in the figure": claims(F=100),
        "G: not in the figure": claims(G=1e4 / (100 - SHARES["A"])),
    },
}  # fmt: skip

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "6.1": [
        lambda layers, d, vocab, N, k, f: right(layers, d, vocab, N, k, f)[0],
        lambda layers, d, vocab, N, k, f: None,
        lambda layers, d, vocab, N, k, f: (1.0, 2.0, 3.0),
        lambda layers, d, vocab, N, k, f: ["a", "b", "c"],
        lambda layers, d, vocab, N, k, f: {"total": right(layers, d, vocab, N, k, f)[0]},
        total(lambda *a: 1.01 * a[-3]),
        total(lambda *a: a[-3] + 1),
        active(lambda *a: a[-2] - 1),
        flops(lambda *a: a[-1] + 0.5),
    ],
    "6.2": [
        lambda N, k, batch: None,
        lambda N, k, batch: 1.01 * touched(N, k, batch),
        lambda N, k, batch: touched(N, k, batch + 1),
        lambda N, k, batch: [touched(N, k, batch)] * 2,
        lambda N, k, batch: round(touched(N, k, batch), 2),
        lambda N, k, batch: N * (1 - math.exp(-k * batch / N)),
        lambda N, k, batch: "most",
    ],
    "6.3": [
        None,
        [16, 2048, 1024, 104, 5],
        {"layers": 16, "d_model": 2048},
        design(16, 2048, 1024, 104.5, 5),
        design(2, 2048, 8192, 104, 5),
        design(16, 512, 4096, 104, 5),
        design("16", 2048, 1024, 104, 5),
        design(16, 2048, float("nan"), 104, 5),
        design(16, 2048, 1024, 10**30, 5),
    ],
    "6.4": [
        None,
        [72.6, 179, 100],
        {"A": 72.6},
        claims(A=60),
        claims(B=150.0),
        claims(C="the same"),
        claims(E=[99.7, 100.0]),
        claims(D=50),
    ],
}

RIGHT = {
    "6.1": [
        lambda layers, d, vocab, N, k, f: right(layers, d, vocab, N, k, f),
        counts_of_modules,
        counts_by_loop,
        counts_in_numpy,
        lambda layers, d, vocab, N, k, f: torch.tensor(right(layers, d, vocab, N, k, f)),
        lambda layers, d, vocab, N, k, f: torch.tensor(right(layers, d, vocab, N, k, f), dtype=torch.float32),
    ],
    "6.2": [
        touched,
        touched_step_by_step,
        touched_by_combinations,
        touched_in_fractions,
        lambda N, k, batch: -N * np.expm1(batch * np.log1p(-k / N)),
        lambda N, k, batch: torch.tensor(touched(N, k, batch), dtype=torch.float64),
        lambda N, k, batch: sum(k * (1 - k / N) ** b for b in itertools.islice(itertools.count(), batch)),
    ],
    "6.3": [
        design(16, 2048, 1024, 104, 5),
        design(16, 2048, 1664, 64, 3),
        design(12, 2560, 1000, 112, 5),
        design(*np.array([16, 2048, 1024, 104, 5])),
        design(16.0, 2048.0, 1024.0, 104.0, 5.0, name="mine"),
    ],
    "6.4": [
        SHARES,
        claims(A=72.6, B=round(SHARES["B"], 1), D=27.3, E=99.7),
        claims(**{part: np.float32(share) for part, share in SHARES.items() if share}),
        claims(A=73, B=round(SHARES["B"]), D=27, E=100, note="rounded"),
        claims(A=[SHARES["A"]]),
    ],
}
