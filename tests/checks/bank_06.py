"""Answers to set 06: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import torch
from scipy import stats
from torch import nn

# --- 6.1 ----------------------------------------------------------------------------------------------------------

NAMES = ("layers", "d", "vocab", "N", "k", "d_ff", "shared", "dense_layers", "d_ff_dense", "tied")


def model_counts(s, *, attention=4, matrices=3, dense_matrices=None):
    """Count by hand the model whose sizes `s` holds, with other numbers of matrices."""
    sparse, head = s.layers - s.dense_layers, s.vocab * s.d
    expert = matrices * s.d * s.d_ff
    fixed = s.layers * attention * s.d**2 + s.dense_layers * (dense_matrices or matrices) * s.d * s.d_ff_dense
    fixed += sparse * (s.d * s.N + s.shared * expert)
    lookup = 0 if s.tied else head
    met = fixed + sparse * s.k * expert + head
    return fixed + sparse * s.N * expert + head + lookup, met + lookup, 2 * met


def of_sizes(formula):
    """A function of the ten arguments from one of their namespace, with what it holds of the right parts."""

    def answer(layers, d, vocab, N, k, d_ff, shared, dense_layers, d_ff_dense, tied):
        values = (layers, d, vocab, N, k, d_ff, shared, dense_layers, d_ff_dense, bool(tied))
        s = SimpleNamespace(**dict(zip(NAMES, values, strict=True)))
        s.sparse, s.expert, s.head = layers - dense_layers, 3 * d * d_ff, vocab * d
        s.dense = dense_layers * 3 * d * d_ff_dense
        s.total, s.active, s.flops = model_counts(s)
        return formula(s)

    return answer


def other(s, **changes):
    """The right counts for other sizes."""
    return model_counts(SimpleNamespace(**{**vars(s), **changes}))


def total(wrong):
    return of_sizes(lambda s: (wrong(s), s.active, s.flops))


def active(wrong):
    return of_sizes(lambda s: (s.total, wrong(s), s.flops))


def flops(wrong):
    return of_sizes(lambda s: (s.total, s.active, wrong(s)))


def with_more(weights):
    """More weights than there are, which every token passes."""
    return of_sizes(lambda s: (s.total + weights(s), s.active + weights(s), s.flops + 2 * weights(s)))


def hidden_widths(s):
    return s.sparse * (s.k + s.shared) * s.d_ff + s.dense_layers * s.d_ff_dense


def n_copies(s, routers):
    one = other(s, N=1, k=1)[0]
    return s.N * (one if routers else one - s.sparse * s.d)


def counts_of_modules(layers, d, vocab, N, k, d_ff, shared, dense_layers, d_ff_dense, tied):
    """Build the model of torch's modules, on no device, and count it."""

    def swiglu(width):
        return nn.ModuleList(
            [nn.Linear(d, width, bias=False), nn.Linear(d, width, bias=False), nn.Linear(width, d, bias=False)]
        )

    def size(module):
        return sum(p.numel() for p in module.parameters())

    with torch.device("meta"):
        attention, router = nn.ModuleList([nn.Linear(d, d, bias=False) for _ in range(4)]), nn.Linear(d, N, bias=False)
        # One that draws its numbers makes torch import for seconds.
        embed, head = nn.Embedding.from_pretrained(torch.empty(vocab, d)), nn.Linear(d, vocab, bias=False)
        expert, dense = size(swiglu(d_ff)), size(swiglu(d_ff_dense))
    work = size(head)
    stored = size(head) + (0 if tied else size(embed))
    for layer in range(layers):
        own = size(attention) + (dense if layer < dense_layers else size(router) + shared * expert)
        work += own + (0 if layer < dense_layers else k * expert)
        stored += own + (0 if layer < dense_layers else N * expert)
    return {"total": stored, "active": work + (0 if tied else size(embed)), "FLOPs": 2 * work}


def counts_by_loop(layers, d, vocab, N, k, d_ff, shared, dense_layers, d_ff_dense, tied):
    stored = met = vocab * d * (1 if tied else 2)
    work = 2 * vocab * d
    dense = [(d, d, 4, 4), (d, d_ff_dense, 3, 3)]
    sparse = [(d, d, 4, 4), (d, N, 1, 1), (d, d_ff, 3 * (N + shared), 3 * (k + shared))]
    for layer in range(layers):
        for rows, columns, copies, running in dense if layer < dense_layers else sparse:
            stored += rows * columns * copies
            met += rows * columns * running
            work += 2 * rows * columns * running
    return [stored, met, work]


def counts_in_numpy(*sizes):
    layers, d, vocab, N, k, f, shared, dense, f_dense, tied = sizes
    rows, columns = np.array([d, d, d, d, vocab]), np.array([d, N, f, f_dense, d])
    times = np.array([4 * layers, layers - dense, 3 * (layers - dense), 3 * dense, 2 - tied])
    stored, met, work = np.ones(5), np.ones(5), np.array([1, 1, 1, 1, 1 / (2 - tied)])
    stored[2], met[2] = N + shared, k + shared
    sizes = rows * columns * times
    return sizes @ stored, sizes @ met, 2 * (sizes * met) @ work


def counts_by_hand(s):
    return s.total, s.active, s.flops


# --- 6.2 ----------------------------------------------------------------------------------------------------------


def touched(q, batch):
    return sum(1 - (1 - chance) ** batch for chance in q)


def touched_step_by_step(q, batch):
    chance = np.zeros(len(q))
    for _ in range(batch):
        chance = chance + (1 - chance) * q  # of what is still untouched, a token takes q
    return chance.sum()


def touched_by_simulation(q, batch, draws=4000):
    rng = np.random.default_rng(len(q) * batch)
    return float(np.mean([(rng.random((batch, len(q))) < q).any(0).sum() for _ in range(draws // batch + 60)]))


def touched_in_fractions(q, batch):
    return sum((1 - (1 - Fraction(float(chance)).limit_denominator(1000)) ** batch for chance in q), Fraction(0))


def touched_by_recursion(q, batch):
    def missed(chance, tokens):
        return (1 - chance) * missed(chance, tokens - 1) if tokens else 1.0

    return [len(q) - sum(missed(chance, batch) for chance in q)]


def touched_in_torch(q, batch):
    missed = torch.log1p(-torch.tensor(q))
    return -torch.expm1(batch * missed).sum()


def spread_out(q):
    """The chances if k choices were one."""
    return q / np.sum(q)


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
        "dense layers on top": of_sizes(lambda s: other(s, layers=s.layers + s.dense_layers)),
        "elementwise product counted": flops(lambda s: s.flops + 2 * hidden_widths(s)),
        "elementwise product counted (2)": flops(lambda s: s.flops + hidden_widths(s)),
        "shared of dense width (2)": with_more(
            lambda s: s.sparse * s.shared * 3 * s.d * (s.d_ff_dense - s.d_ff) if s.dense_layers else 0
        ),
        "tied FLOPs twice": flops(lambda s: s.flops + 2 * s.tied * s.head),
        "a dense FFN where none is": with_more(lambda s: 0 if s.dense_layers else 3 * s.d * s.d_ff_dense),
        "all layers alike": of_sizes(lambda s: other(s, shared=0, dense_layers=0, d_ff_dense=0, tied=False)),
        "sparse layers alone": total(lambda s: s.total - s.dense - s.dense_layers * 4 * s.d**2),
        "sparse layers alone (2)": of_sizes(lambda s: other(s, layers=s.sparse, shared=0, dense_layers=0, tied=False)),
        "sparse layers alone (3)": of_sizes(lambda s: other(s, layers=s.sparse, shared=0, dense_layers=0)),
        "N copies of a model": total(lambda s: n_copies(s, False)),
        "N copies of a model (2)": total(lambda s: n_copies(s, True)),
        "two matrices": of_sizes(lambda s: model_counts(s, matrices=2)),
        "two matrices in an expert": of_sizes(lambda s: model_counts(s, matrices=2, dense_matrices=3)),
        "two matrices in a dense FFN": total(lambda s: s.total - s.dense_layers * s.d * s.d_ff_dense),
        "shared once": total(lambda s: s.total - s.sparse * s.shared * s.expert + s.shared * s.expert),
        "shared of dense width": total(
            lambda s: s.total + s.sparse * s.shared * (3 * s.d * s.d_ff_dense - s.expert)
        ),
        "one dense FFN": total(lambda s: s.total - s.dense + 3 * s.d * s.d_ff_dense),
        "one dense FFN (2)": total(lambda s: s.total - s.dense + (3 * s.d * s.d_ff_dense if s.dense_layers else 0)),
        "one dense layer more": of_sizes(lambda s: other(s, dense_layers=s.dense_layers + 1)),
        "one layer missing": of_sizes(lambda s: other(s, layers=s.layers - 1)),
        "one layer missing (2)": total(
            lambda s: s.total - bool(s.dense_layers) * (4 * s.d * s.d + 3 * s.d * s.d_ff_dense)
        ),
        "tied not stored": of_sizes(lambda s: np.array(model_counts(s)) - (s.head if s.tied else 0)),
        "dense FFN in every layer": total(lambda s: s.total - s.dense + s.layers * 3 * s.d * s.d_ff_dense),
        "no attention": of_sizes(lambda s: model_counts(s, attention=0)),
        "norms counted": total(lambda s: s.total + s.layers * 2 * s.d + s.d),
        "norms counted (2)": total(lambda s: s.total + s.layers * 2 * s.d),
        "in millions": of_sizes(lambda s: [s.total / 1e6, s.active / 1e6, s.flops / 1e6]),
        "in millions (2)": of_sizes(lambda s: [s.total / 1e9, s.active / 1e9, s.flops / 1e9]),
        "shared forgotten": of_sizes(lambda s: other(s, shared=0)),
        "shared N times": total(
            lambda s: s.total - s.sparse * (s.N + s.shared) * s.expert + s.sparse * s.N * (1 + s.shared) * s.expert
        ),
        "one shared": of_sizes(lambda s: other(s, shared=int(s.shared > 0))),
        "shared in the dense layers": total(lambda s: s.total + s.dense_layers * s.shared * s.expert),
        "router in the dense layers": total(lambda s: s.total + s.dense_layers * s.N * s.d),
        "dense layers forgotten": of_sizes(lambda s: other(s, dense_layers=0)),
        "experts in the dense layers": total(lambda s: s.total + s.dense_layers * (s.N + s.shared) * s.expert),
        "experts in the dense layers (2)": total(lambda s: other(s, dense_layers=0)[0] + s.dense),
        "dense of expert width": of_sizes(lambda s: other(s, d_ff_dense=s.d_ff)),
        "no dense FFN": of_sizes(lambda s: other(s, d_ff_dense=0)),
        "no attention in the dense layers": total(lambda s: s.total - 4 * s.dense_layers * s.d * s.d),
        "attention of one layer": total(lambda s: s.total - 4 * s.layers * s.d * s.d + 4 * s.d * s.d),
        "no router": total(lambda s: s.total - s.sparse * s.N * s.d),
        "one router": total(lambda s: s.total - s.sparse * s.N * s.d + s.N * s.d),
        "router scores the shared": of_sizes(
            lambda s: np.array(model_counts(s)) + s.sparse * s.d * s.shared * np.array([1, 1, 2])
        ),
        "tied counted twice": of_sizes(lambda s: other(s, tied=False)),
        "tied throughout": of_sizes(lambda s: other(s, tied=True)),
        "tied turned round": of_sizes(lambda s: other(s, tied=not s.tied)),
        "no head": total(lambda s: s.total - s.head),
        "no embeddings": total(lambda s: s.total - (s.head if s.tied else 2 * s.head)),
        "embeddings in every layer": total(lambda s: s.total + (s.layers - 1) * (1 if s.tied else 2) * s.head),
        "three attention matrices": of_sizes(lambda s: model_counts(s, attention=3)),
        "one attention matrix": of_sizes(lambda s: model_counts(s, attention=1)),
        "swapped": of_sizes(lambda s: [s.active, s.total, s.flops]),
        "active as total": total(lambda s: s.active),
        "total as active": active(lambda s: s.total),
        "experts only": active(lambda s: s.sparse * s.k * s.expert),
        "experts only (2)": active(lambda s: s.sparse * (s.shared + s.k) * s.expert),
        "total times k/N": active(lambda s: s.total / s.N * s.k),
        "shared not active": active(lambda s: other(s, shared=0)[1]),
        "shared by the share": active(lambda s: other(s, shared=s.shared * s.k / s.N)[1]),
        "shared k times": active(lambda s: other(s, shared=s.shared * s.k)[1]),
        "dense not active": active(lambda s: s.active - s.dense),
        "dense by the share": active(lambda s: s.active - s.dense + s.dense * s.k / s.N),
        "router of k": active(lambda s: s.active - s.sparse * s.d * (s.N - s.k)),
        "active without input embedding": active(lambda s: s.active - (0 if s.tied else s.head)),
        "one row active": active(lambda s: s.active - (0 if s.tied else s.head - s.d)),
        "one row active (2)": active(lambda s: s.active - (-s.d if s.tied else s.head - s.d)),
        "one row active (3)": active(lambda s: s.active - s.head + s.d),
        "sparse layers alone, active": active(lambda s: s.active - s.dense - 4 * s.dense_layers * s.d * s.d),
        "attention not active in the dense layers": active(lambda s: s.active - 4 * s.dense_layers * s.d * s.d),
        "tied counted twice, active": active(lambda s: s.active + (s.head if s.tied else 0)),
        "no head active": active(lambda s: s.active - s.head),
        "no embeddings active": active(lambda s: s.active - s.head * (1 if s.tied else 2)),
        "no attention active": active(lambda s: s.active - 4 * s.layers * s.d * s.d),
        "no router active": active(lambda s: s.active - s.sparse * s.d * s.N),
        "one router active": active(lambda s: s.active - s.sparse * s.d * s.N + s.d * s.N),
        "experts active in the dense layers": active(lambda s: s.active + s.dense_layers * s.expert * (s.k + s.shared)),
        "experts active in the dense layers (2)": active(lambda s: s.active + s.dense_layers * s.expert * s.k),
        "shared by N active": active(lambda s: other(s, shared=s.shared * s.N)[1]),
        "shared once, active": active(lambda s: s.active - s.sparse * s.shared * s.expert + s.shared * s.expert),
        "attention counted once": flops(lambda s: s.flops - s.layers * 4 * s.d * s.d),
        "router counted once": flops(lambda s: s.flops - s.sparse * s.N * s.d),
        "experts in the dense layers, FLOPs": flops(
            lambda s: s.flops + 2 * s.dense_layers * (s.k + s.shared) * s.expert
        ),
        "experts in the dense layers, FLOPs (2)": flops(lambda s: s.flops + 2 * s.dense_layers * s.expert * s.k),
        "in millions, FLOPs": flops(lambda s: s.flops / 1e6),
        "in millions, FLOPs (2)": flops(lambda s: s.flops / 1e9),
        "one shared, active": active(lambda s: other(s, shared=int(s.shared > 0))[1]),
        "router in the dense layers, active": active(lambda s: s.active + s.dense_layers * s.N * s.d),
        "tied not met": active(lambda s: s.active - (s.head if s.tied else 0)),
        "FLOPs times k/N": flops(lambda s: other(s, k=s.N)[2] / s.N * s.k),
        "shared k times, FLOPs": flops(lambda s: other(s, shared=s.shared * s.k)[2]),
        "router of width d_ff": total(lambda s: s.total - s.sparse * s.d * s.N + s.sparse * s.d_ff * s.N),
        "one expert active": active(lambda s: s.active - s.sparse * (s.k - 1) * s.expert),
        "lookup counted": flops(lambda s: 2 * s.active),
        "lookup counted (2)": flops(lambda s: s.flops + 2 * s.vocab * s.d),
        "FLOPs of all": flops(lambda s: 2 * s.total),
        "one expert's FLOPs": flops(lambda s: other(s, k=1)[2]),
        "no attention FLOPs": flops(lambda s: s.flops - 8 * s.layers * s.d * s.d),
        "tied head left out": flops(lambda s: 2 * (s.active - s.vocab * s.d)),
        "one for each weight": flops(lambda s: s.flops / 2),
        "active as FLOPs": flops(lambda s: s.active),
        "head left out": flops(lambda s: s.flops - 2 * s.head),
        "head counted once": flops(lambda s: s.flops - s.head),
        "all experts run": flops(lambda s: 2 * (s.total - (0 if s.tied else s.head))),
        "no shared FLOPs": flops(lambda s: s.flops - 2 * s.sparse * s.shared * s.expert),
        "no dense FLOPs": flops(lambda s: s.flops - 2 * s.dense),
        "sparse layers alone, FLOPs": flops(lambda s: s.flops - 2 * s.dense - 8 * s.dense_layers * s.d * s.d),
        "one row as FLOPs": flops(lambda s: s.flops + 2 * (0 if s.tied else s.d)),
        "one row as FLOPs (2)": flops(lambda s: s.flops + 2 * s.d),
        "no router FLOPs": flops(lambda s: s.flops - 2 * s.sparse * s.d * s.N),
        "router of k FLOPs": flops(lambda s: s.flops - 2 * s.sparse * s.d * (s.N - s.k)),
        "training": flops(lambda s: 3 * s.flops),
    },
    "6.2": {
        "pairs taken off": lambda q, batch: np.sum(batch * q - batch * (batch - 1) / 2 * q**2),
        "one mean chance": lambda q, batch: len(q) * (1 - np.prod(1 - q) ** (batch / len(q))),
        "even formula": lambda q, batch: len(q) * (1 - (1 - np.mean(q)) ** batch),
        "q in the place of k": lambda q, batch: touched(q / len(q), batch),
        "q in the place of k (2)": lambda q, batch: sum(len(q) * (1 - (1 - k / len(q)) ** batch) for k in q),
        "added up": lambda q, batch: np.sum(q) * batch,
        "added up to N": lambda q, batch: min(len(q), np.sum(q) * batch),
        "not added up": lambda q, batch: [1 - (1 - chance) ** batch for chance in q],
        "fraction": lambda q, batch: touched(q, batch) / len(q),
        "fraction untouched": lambda q, batch: np.mean((1 - q) ** batch),
        "percent": lambda q, batch: 100 * touched(q, batch) / len(q),
        "batch ignored": lambda q, batch: sum(q),
        "all": lambda q, batch: len(q),
        "all that can be chosen": lambda q, batch: (q > 0).sum(),
        "product": lambda q, batch: 1 - np.prod(1 - q) ** batch,
        "product (2)": lambda q, batch: len(q) * (1 - np.prod(1 - q) ** batch),
        "even choices": lambda q, batch: len(q) - len(q) * (1 - 1 / len(q)) ** (sum(q) * batch),
        "times k": lambda q, batch: sum(q) * touched(q, batch),
        "taken from k": lambda q, batch: sum(q) - sum((1 - q) ** batch),
        "once or more on average": lambda q, batch: np.count_nonzero(q * batch >= 1),
        "divided by k": lambda q, batch: touched(q, batch) / sum(q),
        "k in the exponent": lambda q, batch: touched(q, sum(q)),
        "N in the exponent": lambda q, batch: touched(q, len(q)),
        "four tokens": lambda q, batch: touched(q, 4),
        "one token more or fewer": lambda q, batch: touched(q, batch + 1),
        "one token more or fewer (2)": lambda q, batch: touched(q, batch - 1),
        "times in place of power": lambda q, batch: sum(1 - (1 - chance) * batch for chance in q),
        "weighted": lambda q, batch: sum(chance * (1 - (1 - chance) ** batch) for chance in q),
        "one token alone": lambda q, batch: sum(chance * (1 - chance) ** (batch - 1) for chance in q),
        "one token alone (2)": lambda q, batch: q @ (1 - q) ** batch,
        "more than once": lambda q, batch: stats.binom.sf(1, batch, q).sum(),
        "rounded": lambda q, batch: round(float(touched(q, batch))),
        "rounded (2)": lambda q, batch: -(-touched(q, batch) // 1),
        "choices for tokens": lambda q, batch: touched(q, batch * round(sum(q))),
        "rounded, each expert": lambda q, batch: sum(round(1 - (1 - float(chance)) ** batch) for chance in q),
        "untouched": lambda q, batch: len(q) - touched(q, batch),
        "added up to 1": lambda q, batch: sum(min(1, batch * chance) for chance in q),
        "all chosen": lambda q, batch: (q**batch).sum(),
        "all chosen, turned round": lambda q, batch: len(q) - (q**batch).sum(),
        "one choice each": lambda q, batch: touched(spread_out(q), batch),
        "with replacement": lambda q, batch: touched(spread_out(q), batch * np.sum(q)),
        "exponential": lambda q, batch: np.sum(1 - np.exp(-q * batch)),
        "exactly once": lambda q, batch: sum(batch * chance * (1 - chance) ** (batch - 1) for chance in q),
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
        "A: upside down": claims(A=365.27),
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
        "D: as for a batch": claims(D=99.7),
        "E: as for one token": claims(E=SHARES["D"]),
        "E: a quarter": claims(E=25.0),
        "E: added up": claims(E=32 * SHARES["D"]),
        "E: of what is read": claims(E=99.99),
        "E: cut": claims(E=99),
        "A: cut": claims(A=72),
        "A: upside down (2)": claims(A=-265),
        "A: spared of the sparse": claims(A=265),
        "A: another row": claims(A=44),
        "A: another row (2)": claims(A=-79),
        "A: another row (3)": claims(A=85),
        "B: another row": claims(B=27),
        "B: another row (2)": claims(B=365),
        "B: another row (3)": claims(B=655),
        "B: another column": claims(B=645),
        "B: spared": claims(B=44),
        "C: another row": claims(C=645),
        "C: another row (2)": claims(C=15.5),
        "D: another row": claims(D=15),
        "D: another row (2)": claims(D=98),
        "D: upside down": claims(D=366),
        "D: another row (3)": claims(D=56),
        "D: not read": claims(D=73),
        "D: not read (2)": claims(D=75),
        "E: upside down": claims(E=100.3),
        "E: of one token": claims(E=365),
        "E: of one token (2)": claims(E=265),
        "E: another row": claims(E=15),
        "F: 0 for none": claims(F=0),
        "G: 0 for none": claims(G=0),
        "F: not in the figure": claims(F=100),
        "G: not in the figure": claims(G=1e4 / (100 - SHARES["A"])),
    },
}  # fmt: skip

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "6.1": [
        of_sizes(lambda s: s.total),
        of_sizes(lambda s: None),
        of_sizes(lambda s: (1.0, 2.0, 3.0)),
        of_sizes(lambda s: ["a", "b", "c"]),
        of_sizes(lambda s: {"total": s.total}),
        total(lambda s: 1.01 * s.total),
        total(lambda s: s.total + 1),
        active(lambda s: s.active - 1),
        flops(lambda s: s.flops + 0.5),
        of_sizes(lambda s: other(s, shared=0, tied=False) if not s.dense_layers else counts_by_hand(s)),
        of_sizes(lambda s: (s.total, other(s, k=min(s.k, s.N - s.shared))[1], s.flops)),
    ],
    "6.2": [
        lambda q, batch: None,
        lambda q, batch: 1.01 * touched(q, batch),
        lambda q, batch: touched(q, batch + 2),
        lambda q, batch: [touched(q, batch)] * 2,
        lambda q, batch: touched(q[:-1], batch),
        lambda q, batch: np.sqrt(touched(q, batch)),
        lambda q, batch: "most",
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
        claims(A=72.5),
        claims(B=179.4),
    ],
}

RIGHT = {
    "6.1": [
        of_sizes(counts_by_hand),
        counts_of_modules,
        counts_by_loop,
        counts_in_numpy,
        of_sizes(lambda s: torch.tensor(counts_by_hand(s))),
        of_sizes(lambda s: torch.tensor(counts_by_hand(s), dtype=torch.float32)),
    ],
    "6.2": [
        touched,
        touched_step_by_step,
        touched_in_fractions,
        touched_in_torch,
        touched_by_recursion,
        lambda q, batch: stats.binom.sf(0, batch, q).sum(),
        lambda q, batch: len(q) - np.exp(batch * np.log(1 - q)).sum(),
        lambda q, batch: sum(sum(chance * (1 - chance) ** b for b in range(batch)) for chance in q.tolist()),
        lambda q, batch: np.float32(touched(q.astype(np.float32), batch)),
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
        claims(B=179.2, D=27.2),  # cut after the first decimal
        claims(A=100 - 100 * 25.5 / 93.14, B=100 * 25.5 / 14.22, D=100 * 25.5 / 93.41, E=100 * 93.13 / 93.41),
    ],
}
