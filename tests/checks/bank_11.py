"""Answers to set 11: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

from collections import Counter

import numpy as np
import torch

# --- 11.1 ---------------------------------------------------------------------------------------------------------


def served(selected, N):
    return np.stack([(selected == i).any(axis=1) for i in range(N)], axis=1)  # (T, N)


def table(selected, domain, N):
    return np.stack([served(selected, N)[domain == c].mean(axis=0) for c in range(domain.max() + 1)])


def table_by_loops(selected, domain, N):
    counts, tokens = [[0] * N for _ in range(max(domain) + 1)], Counter(domain.tolist())
    for row, c in zip(selected, domain, strict=True):
        for i in row:
            counts[c][i] += 1
    return [[count / tokens[c] for count in row] for c, row in enumerate(counts)]


def table_in_torch(selected, domain, N):
    many = torch.nn.functional.one_hot(torch.tensor(selected), N).sum(1).double()  # (T, N)
    of_domain = torch.nn.functional.one_hot(torch.tensor(domain)).double()  # (T, D)
    return (of_domain.T @ many) / of_domain.sum(0)[:, None]


def table_by_bincount(selected, domain, N):
    k, D = selected.shape[1], domain.max() + 1
    counts = np.bincount((np.repeat(domain, k) * N + selected.ravel()), minlength=D * N).reshape(D, N)
    return counts / np.bincount(domain)[:, None]


def table_added_once(selected, domain, num_experts):
    counts = np.zeros((domain.max() + 1, num_experts))
    counts[domain[:, None], selected] += 1  # a place that comes twice is written once
    return counts / np.bincount(domain)[:, None]


def table_by_assignment(selected, domain, N):
    """The flattened experts of a domain, by their own sum."""
    rows = [np.bincount(selected[domain == c].ravel(), minlength=N) for c in np.unique(domain)]
    return [row / row.sum() for row in rows]


def table_of_columns(selected, domain, N):
    mine = served(selected, N)
    with np.errstate(all="ignore"):
        return np.stack([mine[domain == c].sum(0) / mine.sum(0) for c in np.unique(domain)])


# --- 11.2 ---------------------------------------------------------------------------------------------------------


def information(a, b, log=np.log2):
    """I from labels (T,), by loops over cells."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1)
    joint /= len(a)
    total = 0.0
    for i, j in zip(*np.nonzero(joint), strict=True):
        total += joint[i, j] * log(joint[i, j] / (joint[i].sum() * joint[:, j].sum()))
    return total


def null_with(measure=information, move=None, after=lambda values: values):
    """A null from `move(domain, expert, rng)`, which returns labels and experts of tokens, in two arrays (T,)."""

    def answer(domain_of_sequence, expert, draws, rng):
        L = expert.shape[1]

        def dealt(domain, expert, rng):
            return np.repeat(rng.permutation(domain), L), expert.ravel()

        values = [measure(*(move or dealt)(domain_of_sequence, expert, rng)) for _ in range(draws)]
        return after(np.array(values))

    return answer


def null_by_entropies(domain_of_sequence, expert, draws, rng):
    def H(p):
        p = p[p > 0]
        return -(p * np.log2(p)).sum()

    per_sequence = np.stack([(expert == i).sum(axis=1) for i in range(expert.max() + 1)], axis=1)  # (S, N)
    values = []
    for _ in range(draws):
        rng.shuffle(domain_of_sequence)
        joint = np.stack([per_sequence[domain_of_sequence == c].sum(0) for c in np.unique(domain_of_sequence)])
        joint = joint / joint.sum()
        values.append(H(joint.sum(0)) + H(joint.sum(1)) - H(joint.ravel()))
    return values


def null_in_torch(domain_of_sequence, expert, draws, rng):
    labels, experts = torch.tensor(domain_of_sequence), torch.tensor(expert)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    values = []
    for _ in range(draws):
        moved = labels[torch.randperm(len(labels), generator=generator)][:, None].expand_as(experts)
        joint = torch.zeros(int(labels.max()) + 1, int(experts.max()) + 1)
        joint.index_put_((moved.flatten(), experts.flatten()), torch.tensor(1.0), accumulate=True)
        joint /= joint.sum()
        ratio = joint / (joint.sum(0) * joint.sum(1, keepdim=True))
        values.append((joint * torch.where(joint > 0, ratio, 1.0).log2()).sum())
    return torch.stack(values)


def sequences_moved(domain, expert, rng):
    return np.repeat(domain, expert.shape[1]), expert[rng.permutation(len(expert))].ravel()


def rows_permuted(domain, expert, rng):
    return np.repeat(domain, expert.shape[1]), rng.permutation(expert).ravel()


def tokens_moved(domain, expert, rng):
    return rng.permutation(np.repeat(domain, expert.shape[1])), expert.ravel()


def columns_moved(domain, expert, rng):
    return np.repeat(domain, expert.shape[1]), rng.permuted(expert, axis=0).ravel()


def within_sequences(domain, expert, rng):
    return np.repeat(domain, expert.shape[1]), rng.permuted(expert, axis=1).ravel()


def together(domain, expert, rng):
    order = rng.permutation(len(domain))
    return np.repeat(domain[order], expert.shape[1]), expert[order].ravel()


def sequences_drawn(domain, expert, rng):
    rows = rng.integers(len(domain), size=len(domain))
    return np.repeat(domain[rows], expert.shape[1]), expert[rows].ravel()


def tokens_drawn(domain, expert, rng):
    rows = rng.integers(expert.size, size=expert.size)
    return np.repeat(domain, expert.shape[1])[rows], expert.ravel()[rows]


def labels_drawn(domain, expert, rng):
    return np.repeat(rng.choice(domain, len(domain)), expert.shape[1]), expert.ravel()


def labels_from_thin_air(domain, expert, rng):
    return np.repeat(rng.integers(domain.max() + 1, size=len(domain)), expert.shape[1]), expert.ravel()


def generator_made_anew(domain, expert, rng):
    return np.repeat(np.random.default_rng(0).permutation(domain), expert.shape[1]), expert.ravel()


def shifted(domain, expert, rng):
    return np.repeat(np.roll(domain, rng.integers(len(domain))), expert.shape[1]), expert.ravel()


def one_swap(domain, expert, rng):
    moved = domain.copy()
    i, j = rng.choice(len(domain), 2, replace=False)
    moved[[i, j]] = moved[[j, i]]
    return np.repeat(moved, expert.shape[1]), expert.ravel()


def one_expert_for_the_sequence(domain, expert, rng):
    return rng.permutation(domain), np.array([np.bincount(row).argmax() for row in expert])


def tiled(domain, expert, rng):
    """np.tile in the place of np.repeat: labels alternate from token to token."""
    return np.tile(rng.permutation(domain), expert.shape[1]), expert.ravel()


def larger_of_two(domain_of_sequence, expert, draws, rng):
    return np.maximum(*(null_with()(domain_of_sequence, expert, draws, rng) for _ in range(2)))


def rows_of(joint_measure):
    """I from a function of the joint counts (D, N)."""

    def measure(a, b):
        counts = np.zeros((a.max() + 1, b.max() + 1))
        np.add.at(counts, (a, b), 1)
        return joint_measure(counts)

    return measure


def by_rows(combine):
    def measure(counts):
        within = counts / counts.sum(1, keepdims=True)
        own = counts.sum(0) / counts.sum()
        each = [sum(p * np.log2(p / q) for p, q in zip(row, own, strict=True) if p > 0) for row in within]
        return combine(each)

    return rows_of(measure)


def entropy(p):
    p = p[p > 0] / p.sum()
    return -(p * np.log2(p)).sum()


def share_of_domain(a, b):
    return information(a, b) / entropy(np.bincount(a))


def left_of_expert(a, b):
    return entropy(np.bincount(b)) - information(a, b)


def without_a_guard(counts):
    joint = counts / counts.sum()
    with np.errstate(all="ignore"):
        return (joint * np.log2(joint / (joint.sum(1, keepdims=True) * joint.sum(0)))).sum()


def only_sequences(counts_by):
    def measure(counts):
        joint = counts / counts_by(counts)
        cells = joint > 0
        outer = joint.sum(1, keepdims=True) * joint.sum(0)
        return (joint[cells] * np.log2(joint[cells] / outer[cells])).sum()

    return rows_of(measure)


def divided_by_sequences(domain_of_sequence, expert, draws, rng):
    measure = only_sequences(lambda counts: len(domain_of_sequence))
    return null_with(measure)(domain_of_sequence, expert, draws, rng)


# --- 11.3 ---------------------------------------------------------------------------------------------------------


def codes(*labels):
    """One code for each combination of labels."""
    return np.unique(np.stack(labels), axis=1, return_inverse=True)[1].ravel()


def mi(a, b):
    return information(codes(a), codes(b))


def H_of(*labels):
    return entropy(np.bincount(codes(*labels)))


def conditional(domain, expert, token):
    return sum((token == t).mean() * mi(domain[token == t], expert[token == t]) for t in np.unique(token))


def conditional_by_entropies(domain, expert, token):
    return H_of(domain, token) + H_of(expert, token) - H_of(domain, expert, token) - H_of(token)


def conditional_by_chain(domain, expert, token):
    return mi(domain, codes(expert, token)) - mi(domain, token)


def conditional_by_table(domain, expert, token):
    n = torch.zeros(len(set(token.tolist())), int(domain.max()) + 1, int(expert.max()) + 1, dtype=torch.double)
    n.index_put_(tuple(map(torch.tensor, (codes(token), domain, expert))), torch.tensor(1.0).double(), accumulate=True)
    p = n / n.sum()
    ratio = p * p.sum((1, 2), keepdim=True) / (p.sum(2, keepdim=True) * p.sum(1, keepdim=True))
    return (p * torch.where(p > 0, ratio, 1.0).log2()).sum()


def conditional_by_counter(domain, expert, token):
    triples = Counter(zip(domain.tolist(), expert.tolist(), token.tolist(), strict=True))
    dt, et, t = Counter(), Counter(), Counter()
    for (d, e, v), n in triples.items():
        dt[d, v] += n
        et[e, v] += n
        t[v] += n
    return sum(n * np.log2(n * t[v] / (dt[d, v] * et[e, v])) for (d, e, v), n in triples.items()) / len(token)


# --- 11.4 ---------------------------------------------------------------------------------------------------------


def saturation(selected):
    return (selected[:, :, :, None] == selected[-1][None, :, None, :]).any(-1).mean(axis=(1, 2))


def saturation_by_sets(selected):
    C, T, k = selected.shape
    return [sum(len(set(selected[c, t]) & set(selected[-1, t])) for t in range(T)) / (T * k) for c in range(C)]


def saturation_by_masks(selected):
    N = selected.max() + 1
    mask = np.zeros((*selected.shape[:2], N))
    np.put_along_axis(mask, selected, 1, axis=-1)
    return np.einsum("ctn,tn->c", mask, mask[-1]) / selected[0].size


def saturation_in_torch(selected):
    selected = torch.tensor(selected)
    return torch.stack([(now[..., None] == selected[-1][:, None]).any(-1).float().mean() for now in selected])


def by_sets(value):
    """A mean over tokens of value(set of the checkpoint, set at the end)."""
    return lambda selected: [
        np.mean([value(set(a), set(b)) for a, b in zip(now, selected[-1], strict=True)]) for now in selected
    ]


WRONG = {
    "11.1": {
        "divided by k": table_by_assignment,
        "of the expert's tokens": table_of_columns,
        "first choice only": lambda s, d, N: table(s[:, :1], d, N),
        "last choice only": lambda s, d, N: table(s[:, -1:], d, N),
        "counts": lambda s, d, N: table(s, d, N) * np.bincount(d)[:, None],
        "added once": table_added_once,
        "of all tokens": lambda s, d, N: table(s, d, N) * np.bincount(d)[:, None] / len(d),
        "of all assignments": lambda s, d, N: table(s, d, N) * np.bincount(d)[:, None] / s.size,
        "over the baseline": lambda s, d, N: table(s, d, N) * N / s.shape[1],
        "less the baseline": lambda s, d, N: table(s, d, N) - s.shape[1] / N,
        "in percent": lambda s, d, N: 100 * table(s, d, N),
        "over the expert's use": lambda s, d, N: table(s, d, N) / np.where((u := served(s, N).mean(0)) > 0, u, np.nan),
        "by T/D": lambda s, d, N: table(s, d, N) * np.bincount(d)[:, None] * (d.max() + 1) / len(d),
        "idle experts left out": lambda s, d, N: table(s, d, s.max() + 1),
        "transposed": lambda s, d, N: table(s, d, N).T,
    },
    "11.2": {
        "token by token": null_with(move=tokens_moved),
        "bootstrap of sequences": null_with(move=sequences_drawn),
        "bootstrap of tokens": null_with(move=tokens_drawn),
        "labels with repetition": null_with(move=labels_drawn),
        "tiled": null_with(move=tiled),
        "nothing moved": null_with(move=within_sequences),
        "one permutation": null_with(move=generator_made_anew),
        "few permutations": null_with(move=one_swap),
        "nats": null_with(measure=lambda a, b: information(a, b, log=np.log)),
        "base 10": null_with(measure=lambda a, b: information(a, b, log=np.log10)),
        "domains alike": null_with(measure=by_rows(np.mean)),
        "rows summed": null_with(measure=by_rows(sum)),
        "by S": divided_by_sequences,
        "share of the domain": null_with(measure=share_of_domain),
        "share of the expert": null_with(measure=lambda a, b: share_of_domain(b, a)),
        "joint entropy": null_with(
            measure=lambda a, b: entropy(np.unique(np.stack([a, b]), axis=1, return_counts=True)[1])
        ),
        "what is left": null_with(measure=left_of_expert),
        "sign": null_with(after=lambda values: -values),
    },
    "11.3": {
        "unconditional": lambda d, e, t: mi(d, e),
        "difference": lambda d, e, t: mi(d, e) - mi(d, t),
        "not weighted": lambda d, e, t: np.mean([mi(d[t == v], e[t == v]) for v in set(t.tolist())]),
        "summed": lambda d, e, t: sum(mi(d[t == v], e[t == v]) for v in set(t.tolist())),
        "given the domain": lambda d, e, t: conditional(t, e, d),
        "given the expert": lambda d, e, t: conditional(d, t, e),
        "both together": lambda d, e, t: mi(d, codes(e, t)),
        "the token alone": lambda d, e, t: mi(d, t),
        "expert and token": lambda d, e, t: mi(e, t),
        "nats": lambda d, e, t: conditional(d, e, t) * np.log(2),
        "base 10": lambda d, e, t: conditional(d, e, t) * np.log10(2),
        "share": lambda d, e, t: conditional(d, e, t) / (H_of(d, t) - H_of(t)),
        "sign": lambda d, e, t: -conditional(d, e, t),
        "what is left": lambda d, e, t: H_of(d, e, t) - H_of(e, t),
        "overall margins": lambda d, e, t: H_of(d) + H_of(e) + H_of(t) - H_of(d, e, t),
        "interaction": lambda d, e, t: mi(d, e) - conditional(d, e, t),
        "mixed tokens only": lambda d, e, t: conditional(d, e, t) / np.mean([len(set(d[t == v])) > 1 for v in t]),
    },
    "11.4": {
        "in order": lambda s: (s == s[-1]).mean(axis=(1, 2)),
        "first choice only": lambda s: (s[..., 0] == s[-1, :, 0]).mean(axis=1),
        "Jaccard": by_sets(lambda a, b: len(a & b) / len(a | b)),
        "previous checkpoint": lambda s: [saturation(s[c - 1 : c + 1])[0] for c in range(1, len(s))],
        "first checkpoint": lambda s: saturation(s[::-1])[::-1],
        "all or nothing": lambda s: (np.sort(s) == np.sort(s[-1])).all(-1).mean(1),
        "any": by_sets(lambda a, b: bool(a & b)),
        "not divided by k": by_sets(lambda a, b: len(a & b)),
        "counts": lambda s: saturation(s) * s[0].size,
        "one mean": lambda s: saturation(s).mean(),
        "in percent": lambda s: 100 * saturation(s),
        "over all tokens": lambda s: [np.isin(now, s[-1]).mean() for now in s],
        "moved": lambda s: 1 - saturation(s),
        "final left out": lambda s: saturation(s)[:-1],
    },
}

FOUND = {"prose": "E2", "code": "E1", "JSON": "E4", "used but not needed": "E3", "needed by all alike": "E5"}
WRONG["11.5"] = {
    "prose: not divided": {**FOUND, "prose": "E1"},
    "prose: not divided (2)": {**FOUND, "prose": "E1", "needed by all alike": "E8"},
    "prose: another domain": {**FOUND, "prose": "E4"},
    "prose: not clear": {**FOUND, "prose": "E3"},
    "code: most used": {**FOUND, "code": "E4"},
    "JSON: one text": {**FOUND, "JSON": "E6"},
    "JSON: most used": {**FOUND, "JSON": "E3"},
    "used but not needed: little used": {**FOUND, "used but not needed": "E6"},
    "used but not needed: another domain needs it": {**FOUND, "used but not needed": "E1"},
    "needed by all alike: one text": {**FOUND, "needed by all alike": "E6"},
    "needed by all alike: not needed": {**FOUND, "needed by all alike": "E3"},
    "needed by all alike: not divided": {**FOUND, "needed by all alike": "E8"},
    "needed by all alike: needed most by one": {**FOUND, "needed by all alike": "E2"},
}
WRONG["11.6"] = {
    "A": ["A", "E", "H"],
    "C": ["B", "E", "C"],
    "D": "DEH",
    "F": ["B", "F", "I"],
    "G": ["B", "E", "G"],
    "I": {"B", "E", "I"},
}

UNRECOGNISED = {
    "11.1": [
        lambda s, d, N: None,
        lambda s, d, N: table(s, d, N) ** 2,
        lambda s, d, N: table(s, d, N)[::-1],
        lambda s, d, N: np.full((d.max() + 1, N), s.shape[1] / N),
    ],
    "11.2": [
        lambda domain_of_sequence, expert, draws, rng: None,
        lambda domain_of_sequence, expert, draws, rng: 0.1,
        lambda domain_of_sequence, expert, draws, rng: null_with()(domain_of_sequence, expert, draws + 1, rng),
        null_with(after=lambda values: values - values.mean()),
        null_with(after=lambda values: np.full_like(values, np.inf)),
        null_with(measure=lambda a, b: 2 * information(a, b)),
        null_with(move=one_expert_for_the_sequence),
        larger_of_two,
    ],
    "11.3": [
        lambda d, e, t: None,
        lambda d, e, t: conditional(d, e, t) * 2,
        lambda d, e, t: conditional(d[::-1], e, t),
        lambda d, e, t: [conditional(d, e, t)],
    ],
    "11.4": [
        lambda s: None,
        lambda s: saturation(s) ** 2,
        lambda s: saturation(s)[:, None],
        lambda s: (saturation(s) - 0.1) / 0.9,
    ],
    "11.5": [
        {**FOUND, "prose": 1},
        {**FOUND, "prose": "E9"},
        {**FOUND, "prose": "E5"},
        {**FOUND, "used but not needed": "E7"},
        {**FOUND, "needed by all alike": "E7"},
        {"prose": "E2"},
        ["E2", "E1", "E4", "E3", "E5"],
    ],
    "11.6": [["B", "E"], "BEX", ["B", "E", "H", "I"], [1, 4, 7], 3, [], {"B": True}, None],
}

RIGHT = {
    "11.1": [
        lambda selected, domain, num_experts: table(selected, domain, num_experts),
        table_by_loops,
        table_in_torch,
        table_by_bincount,
    ],
    "11.2": [
        null_with(),
        null_by_entropies,
        null_in_torch,
        null_with(move=sequences_moved),
        null_with(move=rows_permuted),
        null_with(after=np.sort),
    ],
    "11.3": [
        conditional,
        conditional_by_entropies,
        conditional_by_chain,
        conditional_by_table,
        conditional_by_counter,
        lambda domain, expert, token: conditional(expert, domain, token),
    ],
    "11.4": [saturation, saturation_by_sets, saturation_by_masks, saturation_in_torch],
    "11.5": [
        FOUND,
        {part: name.lower() for part, name in FOUND.items()},
        {**{part: f" {name} " for part, name in reversed(FOUND.items())}, "note": "mine"},
    ],
    "11.6": [["B", "E", "H"], "BEH", "h, e, b", {"B", "E", "H"}, ("H", "B", "E")],
}

# Further ways into the same mistakes: a name stands once in a dictionary.
SAME_MISTAKE = {
    "11.2": [
        ("token by token", null_with(move=columns_moved)),
        ("nothing moved", null_with(move=together)),
        ("few permutations", null_with(move=shifted)),
        ("labels with repetition", null_with(move=labels_from_thin_air)),
        ("0 log 0", null_with(measure=rows_of(without_a_guard))),
    ],
    "11.4": [("in order", lambda s: [np.mean(now == s[-1]) for now in s])],
}
