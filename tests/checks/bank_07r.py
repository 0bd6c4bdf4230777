"""Answers to the review 07r: plausible wrong ones by the mistake that must be named, others, and right ones."""

import math

import numpy as np
import torch

from moe_lessons.checks.set_07r import STEP_LOG, gradient_column, two_runs

# --- 7r.1 ---------------------------------------------------------------------------------------------------------

N, MISSED = 64, 0.9375  # by one text: 60 of 64
TOUCHED = STEP_LOG["touched"]


def server(k=4, by_32=N * (1 - MISSED**32)):
    return {"k": k, "touched by 32": by_32}


# --- 7r.2 ---------------------------------------------------------------------------------------------------------

SHARES = two_runs().second / two_runs().first  # (T,)


def finding(key="norm_topk_prob", run="run 1", kept=SHARES[2]):
    return {"key": key, "true in": run, "kept by token 3": kept}


# --- 7r.3 ---------------------------------------------------------------------------------------------------------

P, G = gradient_column()  # (N,) each
E4 = -0.0468


def gaps(E4=E4, ten=E4, in_A=0, E2=0.2279):
    return {"E4": E4, "E4, ten times its output": ten, "E4 in form A": in_A, "E2": E2}


# --- 7r.4 ---------------------------------------------------------------------------------------------------------


def loads(selected, N):
    return np.array([(selected == e).sum() for e in range(N)])


def padding(selected, N):
    longest = loads(selected, N).max()
    return (longest - loads(selected, N)).sum() / (N * longest)


def mean(selected, N):
    """The mean load, rounded up."""
    return int(np.ceil(selected.size / N))


def busy(selected):
    return np.unique(selected, return_counts=True)[1]


def by_blocks(selected, N):
    rows = [[] for _ in range(N)]
    for chosen in selected.tolist():
        for expert in chosen:
            rows[expert].append(1)
    longest = max(map(len, rows))
    blocks = [block + [0] * (longest - len(block)) for block in rows]
    return 1 - sum(map(sum, blocks)) / (N * longest)


def in_torch(selected, N):
    counts = torch.bincount(torch.tensor(selected).flatten(), minlength=N)
    return 1 - counts.float().mean() / counts.max()


# --- 7r.5 and 7r.6 ------------------------------------------------------------------------------------------------


def sizes(tokens=1 / 8, gradient=1 / 32, more=1 / 32, way=1):
    return {"tokens": tokens, "gradient": gradient, "gradient, k = 8": more, "way of Adam": way}


BILL = {
    "form A": (4, "nothing"),
    "form B": (4, "a push"),
    "straight-through": (64, "its worth"),
    "form A, k = 64": (64, "its worth"),
    "mask of 0": (64, "nothing"),
}


def bill(**changed):
    return {row: {"runs": runs, "hears": heard} for row, (runs, heard) in (BILL | changed.get("rows", {})).items()}


def with_row(row, runs=None, hears=None):
    before = BILL[row]
    return bill(rows={row: (before[0] if runs is None else runs, hears or before[1])})


WRONG = {
    "7r.1": {
        "k doubled": server(by_32=56.4),
        "shared out": server(k=TOUCHED / 16),
        "with replacement": server(k=math.log(1 - TOUCHED / 64) / math.log(63 / 64) / 16),
        "all touched": server(k=64 * (TOUCHED / 64) ** (1 / 16)),
        "touched": server(k=41.2),
        "share": server(k=1 / 16),
        **{f"k = {k}": server(k=k) for k in (1, 2, 3, 5, 8, 16, 64)},
        "root of the touched": server(k=64 * (1 - (TOUCHED / 64) ** (1 / 16))),
        "another root": server(k=64 * (1 - (1 - TOUCHED / 64) ** (1 / 8))),
        "another root (2)": server(k=64 * (1 - (1 - TOUCHED / 64) ** (1 / 15))),
        "untouched shared out": server(k=(64 - TOUCHED) / 16),
        "share touched": server(k=0.644),
        "what one text misses": server(k=60),
        "what one text misses (2)": server(k=0.9375),
        "doubled": server(by_32=2 * TOUCHED),
        "all": server(by_32=64),
        "half of the rest": server(by_32=52.6),
        "the same": server(by_32=41.2),
        "touched share squared": server(by_32=TOUCHED**2 / 64),
        "untouched": server(by_32=N * MISSED**32),
        "share (2)": server(by_32=1 - MISSED**32),
        "share (3)": server(by_32=87.3),
        "untouched (2)": server(by_32=0.127),
        "small shares": server(by_32=55.3),
        "small shares (2)": server(by_32=N * (1 - (63 / 64) ** 128)),
        "three batches": server(by_32=61.1),
        "untouched by 16": server(by_32=22.8),
        "halved": server(by_32=20.6),
        "half a batch": server(by_32=25.8),
        "only the second": server(by_32=55.9 - TOUCHED),
        "root of the touched share": server(by_32=51.35),
        "choices": server(by_32=128),
    },
    "7r.2": {
        "kept: part of both": finding(kept=0.39),
        "key: routed_scaling_factor": finding("routed_scaling_factor"),
        "key: scoring_func": finding("scoring_func"),
        "key: num_experts_per_tok": finding("num_experts_per_tok"),
        "true in: run 2": finding(run="run 2"),
        "kept: upside down": finding(kept=1 / SHARES[2]),
        "kept: cut": finding(kept=1 - SHARES[2]),
        "kept: another token": finding(kept=SHARES[3]),
        "kept: another token (2)": finding(kept=SHARES[0]),
        "kept: another token (3)": finding(kept=np.mean(SHARES)),
        "kept: percent": finding(kept=100 * SHARES[2]),
        "kept: percent (2)": finding(kept=round(100 * SHARES[2])),
        "kept: difference": finding(kept=two_runs().first[2] - two_runs().second[2]),
        "kept: upside down, another token": finding(kept=1.74),
        "kept: token 5, or by how much longer": finding(kept=SHARES[4]),
        "kept: token 5, or by how much longer (2)": finding(kept=1 / SHARES[2] - 1),
        "kept: square": finding(kept=0.40),
        "kept: root": finding(kept=0.79),
        "kept: rounded": finding(kept=0.6),
        "kept: change": finding(kept=SHARES[2] - 1),
        "kept: cosine": finding(kept=1.0),
        "kept: half": finding(kept=0.316),
        "kept: length": finding(kept=1.48),
        "kept: length (2)": finding(kept=2.34),
    },
    "7r.3": {
        "a kept one in the mean": gaps(E4=-0.038),
        "as another cut one": gaps(E4=G[0]),
        "as another cut one (2)": gaps(E4=-0.026),
        "as another cut one (3)": gaps(E4=G[5]),
        "nothing heard": gaps(E4=0),
        "sign turned": gaps(E4=0.0468),
        "from a kept one": gaps(E4=P[3] * G[4] / P[4]),
        "from a kept one (2)": gaps(E4=P[3] * 0.2279 / P[1]),
        "without p": gaps(E4=G[0] / P[0]),
        "p turned round": gaps(E4=G[0] * P[0] / P[3]),
        "rounded": gaps(E4=-0.05),
        "rounded (2)": gaps(ten=-0.05),
        "rounded (3)": gaps(E2=0.23),
        "mean of the cut": gaps(E4=-0.034),
        "sum of the cut": gaps(E4=G[[0, 2, 5]].sum()),
        "both gaps": gaps(E4=0.181),
        "p of a kept one": gaps(E4=-0.210),
        "p alone": gaps(E4=-0.0697),
        "p alone (2)": gaps(E4=0.070),
        "ten times heard": gaps(ten=-0.4674),
        "ten times heard (2)": gaps(ten=0.467),
        "a tenth heard": gaps(ten=-0.005),
        "sign turned then": gaps(ten=0.047),
        "then nothing": gaps(ten=0),
        "as in form B": gaps(in_A=E4),
        "renormalised": gaps(in_A=-0.060),
        "without p, in form A": gaps(in_A=-0.671),
        "mirror of E5": gaps(E2=0.0796),
        "E5 left out": gaps(E2=-G[[0, 2, 5]].sum() - E4),
        "E4 left out": gaps(E2=-G[[0, 2, 4, 5]].sum()),
        "sign turned (2)": gaps(E2=-0.228),
        "like a cut one": gaps(E2=P[1] * G[0] / P[0]),
        "like E5": gaps(E2=P[1] * G[4] / P[4]),
        "E4's sign": gaps(E2=-G[[0, 2, 4, 5]].sum() + E4),
        "E4 twice": gaps(E2=0.275),
        "E4 left out, sign": gaps(E2=-0.181),
        "E4 and E5 left out": gaps(E2=0.1015),
        "E5's sign": gaps(E2=-G[[0, 2, 5]].sum() - E4 + G[4]),
        "nothing for E2": gaps(E2=0),
        "E2 left to 1": gaps(E2=1.228),
    },
    "7r.4": {
        "above the mean": lambda selected, N: (
            np.maximum(loads(selected, N) - loads(selected, N).mean(), 0).sum() / selected.size
        ),
        "E1 left out": lambda selected, N: 1 - (n := loads(selected, N)[1:]).sum() / (N * n.max()),
        "E1 left out (2)": lambda selected, N: 1 - (n := loads(selected, N)[1:]).mean() / n.max(),
        "real share": lambda selected, N: selected.size / (N * loads(selected, N).max()),
        "number of rows": lambda selected, N: N * loads(selected, N).max() - selected.size,
        "beside the real rows": lambda selected, N: loads(selected, N).max() / loads(selected, N).mean() - 1,
        "times": lambda selected, N: loads(selected, N).max() / loads(selected, N).mean(),
        "idle left out": lambda selected, N: 1 - busy(selected).mean() / busy(selected).max(),
        "idle left out (2)": lambda selected, N: (max(busy(selected)) - busy(selected)).sum() / N / max(busy(selected)),
        "last ones left out": lambda selected, N: 1 - np.bincount(selected.ravel()).mean() / loads(selected, N).max(),
        "tokens for rows": lambda selected, N: 1 - selected.shape[0] / (N * loads(selected, N).max()),
        "padded to T": lambda selected, N: 1 - selected.shape[1] / N,
        "first choices only": lambda selected, N: padding(selected[:, 0], N),
        "one block": lambda selected, N: 1 - selected.size / loads(selected, N).max(),
        "of each expert": lambda selected, N: 1 - loads(selected, N) / max(loads(selected, N)),
        "percent": lambda selected, N: 100 * padding(selected, N),
        "first choices only (2)": lambda selected, N: 1 - selected.size / (N * loads(selected[:, 0], N).max()),
        "rounded": lambda selected, N: round(padding(selected, N), 2),
        "rounded (2)": lambda selected, N: np.round(padding(selected, N), 3),
        "last choices only": lambda selected, N: padding(selected[:, -1], N),
        "fullest left out": lambda selected, N: (
            1 - (selected.size - max(loads(selected, N))) / ((N - 1) * max(loads(selected, N)))
        ),
        "by the tokens": lambda selected, N: (N * max(loads(selected, N)) - selected.size) / selected.shape[0],
        "spread of the loads": lambda selected, N: np.std(loads(selected, N)) / np.mean(loads(selected, N)),
        "blocks of the mean": lambda selected, N: (
            sum(max(0, mean(selected, N) - load) for load in loads(selected, N)) / N / mean(selected, N)
        ),
        "blocks of the mean (2)": lambda selected, N: 1 - loads(selected, N).mean() / mean(selected, N),
        "each choice padded apart": lambda selected, N: (
            1 - selected.size / sum(N * loads(choices, N).max() for choices in selected.T)
        ),
        "index for load": lambda selected, N: 1 - selected.size / (N * np.argmax(loads(selected, N))),
        "index for load (2)": lambda selected, N: 1 - selected.size / N / max(1, np.argmax(loads(selected, N))),
        "index for load (3)": lambda selected, N: 1 - selected.size / N / selected.max(),
        "experts for rows": lambda selected, N: 1 - (loads(selected, N) == max(loads(selected, N))).mean(),
        "experts for rows (2)": lambda selected, N: 1 - selected.size / (N * selected.size),
        "idle experts": lambda selected, N: 1 - len(busy(selected)) / N,
        "of the emptiest": lambda selected, N: np.ptp(loads(selected, N)) / max(loads(selected, N)),
        "rows of one block": lambda selected, N: max(loads(selected, N)) - selected.size / N,
        "share of the fullest": lambda selected, N: max(loads(selected, N)) / selected.size,
        "divided by N again": lambda selected, N: padding(selected, N) / N,
        "below 0": lambda selected, N: 1 - selected.size / loads(selected, N).mean(),
    },
    "7r.5": {
        "rounded up": sizes(tokens=0.13),
        "every eighth step": sizes(way=0.354),
        "one choice": sizes(tokens=1 / 32),
        "the weight": sizes(tokens=0.25),
        "all tokens": sizes(tokens=1),
        "upside down": sizes(tokens=8),
        "only the tokens": sizes(gradient=1 / 8),
        "only the weight": sizes(gradient=1 / 4),
        "nothing lost": sizes(gradient=1),
        "weight left at 1/N": sizes(gradient=1 / 256),
        "upside down (2)": sizes(gradient=32),
        "k itself": sizes(tokens=4),
        "weight twice": sizes(gradient=1 / 128),
        "weight squared": sizes(gradient=1 / 16),
        "tokens twice": sizes(gradient=1 / 64),
        "times k": sizes(gradient=1 / 2),
        "added": sizes(gradient=3 / 8),
        "nothing lost, k = 8": sizes(more=1),
        "weight left at 1/N, k = 8": sizes(more=1 / 128),
        "weight twice, k = 8": sizes(more=1 / 256),
        "upside down, k = 8": sizes(more=32),
        "twice as large": sizes(more=1 / 16),
        "half as large": sizes(more=1 / 64),
        "only the tokens, k = 8": sizes(more=0.25),
        "only the weight, k = 8": sizes(more=0.125),
        "as SGD": sizes(way=1 / 32),
        "root of it": sizes(way=32**-0.5),
        "farther": sizes(way=32),
        "as the tokens": sizes(way=1 / 8),
        "as the weight": sizes(way=1 / 4),
        "farther (2)": sizes(way=8),
        "steps added up": sizes(way=3.125),
        "steps added up (2)": sizes(way=100),
        "no way at all": sizes(way=0),
    },
    "7r.6": {
        **{
            f"{row}: {runs} runs": with_row(row, runs=runs)
            for row in BILL
            for runs in (0, 4, 5, 60, 64)
            if runs != BILL[row][0]
        },
        **{
            f"{row}: {heard}": with_row(row, hears=heard)
            for row in BILL
            for heard in ("nothing", "a push", "its worth")
            if heard != BILL[row][1]
        },
    },
}

UNRECOGNISED = {
    "7r.1": [server(k=5.5), server(by_32=50), {"k": 4}, [4, 55.9], server(k=None), server(by_32=math.nan)],
    "7r.2": [
        finding(kept=0.7),
        finding(kept=0.64),
        finding("k"),
        finding(run="both"),
        finding(kept=None),
        "norm_topk_prob",
        {"key": "norm_topk_prob"},
    ],
    "7r.3": [gaps(E4=-0.1), gaps(ten=1), gaps(in_A=0.3), gaps(E2=0.5), {"E4": E4}, gaps(E2="0.228"), None],
    "7r.4": [
        lambda selected, N: None,
        lambda selected, N: 0.5,
        lambda selected, N: padding(selected, N) ** 2,
        lambda selected, N: [padding(selected, N)] * N,
        lambda selected, N: padding(selected, N) + 0.01,
    ],
    "7r.5": [sizes(tokens=0.3), sizes(gradient=0.6), sizes(more=3), sizes(way=2), {"tokens": 1 / 8}, [1 / 8, 1 / 32]],
    "7r.6": [
        None,
        "nothing",
        {"form A": {"runs": 4, "hears": "nothing"}},
        with_row("form A", runs=65),
        with_row("form A", runs=0.5),
        with_row("form A", hears="something"),
        bill() | {"form A": (4, "nothing")},
    ],
}

RIGHT = {
    "7r.1": [
        server(),
        server(4.0, 55.9),
        server(np.int64(4), np.float32(55.88)),
        server(torch.tensor(4), 55.9) | {"note": ""},
        server(64 * (1 - (1 - TOUCHED / 64) ** (1 / 16)), 64 - (64 - TOUCHED) ** 2 / 64),
    ],
    "7r.2": [
        finding(),
        finding("Norm_TopK_Prob", "Run 1", 0.63),
        finding(kept=np.float32(SHARES[2])) | {"note": ""},
        finding(kept=[round(float(SHARES[2]), 2)]),
    ],
    "7r.3": [
        gaps(),
        gaps(-0.047, -0.047, 0.0, 0.228),
        gaps(np.float32(E4), np.array(E4), -0.0, [0.2279]),
        gaps(torch.tensor(E4), torch.tensor(E4), torch.tensor(0)),
    ],
    "7r.4": [
        padding,
        by_blocks,
        in_torch,
        lambda selected, N: [padding(selected, N)],
        lambda selected, N: np.float32(padding(selected, N)),
    ],
    "7r.5": [
        sizes(),
        sizes(0.125, 0.03125, 0.03125, 1.0),
        sizes(np.float32(0.125), [1 / 32], torch.tensor(1 / 32), np.array(1)),
        sizes(0.126, 0.031, 0.031, 1),
    ],
    "7r.6": [
        bill(),
        {row: {"hears": heard.upper(), "runs": float(runs)} for row, (runs, heard) in BILL.items()},
        dict(reversed(bill().items())) | {"note": ""},
    ],
}
