"""Answers to set 11 but 11.2 and 11.3: wrong ones by the mistake that must be named, others, and right ones."""

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


def table_by_pairs(selected, domain, N):
    """One histogram over pairs of domain and expert."""
    D = domain.max() + 1
    bins = (np.arange(D + 1) - 0.5, np.arange(N + 1) - 0.5)
    return (
        np.histogram2d(np.repeat(domain, selected.shape[1]), selected.ravel(), bins)[0] / np.bincount(domain)[:, None]
    )


def table_in_lists(selected, domain, N):
    rows, labels = selected.tolist(), domain.tolist()
    mine = [[row for row, c in zip(rows, labels, strict=True) if c == d] for d in sorted(set(labels))]
    return [[sum(i in row for row in own) / len(own) for i in range(N)] for own in mine]


def table_of_misplaced_labels(selected, domain, N):
    labels, table = np.tile(domain, selected.shape[1]), np.zeros((domain.max() + 1, N))
    np.add.at(table, (labels, selected.ravel()), 1)
    return table / np.bincount(domain)[:, None]


def table_by_rank(selected, domain, N):
    """The second choice counts a half, the third a third."""
    counts = np.zeros((domain.max() + 1, N))
    for j in range(selected.shape[1]):
        np.add.at(counts, (domain, selected[:, j]), 1 / (j + 1))
    return counts / np.bincount(domain)[:, None]


def table_of_blocks(selected, domain, N):
    """The domains taken one after another, as if the tokens were in their order."""
    blocks = np.split(selected, np.cumsum(np.bincount(domain))[:-1])
    return np.stack([served(block, N).mean(axis=0) for block in blocks])


def table_of_columns(selected, domain, N):
    mine = served(selected, N)
    with np.errstate(all="ignore"):
        return np.stack([mine[domain == c].sum(0) / mine.sum(0) for c in np.unique(domain)])


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


def saturation_that_stays(selected):
    """A final choice counts from where on it is always there."""
    sets = [[set(row) for row in now] for now in selected.tolist()]
    tokens = range(selected.shape[1])
    return [
        np.mean([len(set.intersection(*(now[t] for now in sets[c:]))) for t in tokens]) / selected.shape[2]
        for c in range(len(sets))
    ]


def saturation_of_loads(selected):
    """What the counts of the experts have in common, whoever chose them."""
    final = Counter(selected[-1].ravel().tolist())
    return [(Counter(now.ravel().tolist()) & final).total() / now.size for now in selected]


def by_sets(value):
    """A mean over tokens of value(set of the checkpoint, set at the end)."""
    return lambda selected: [
        np.mean([value(set(a), set(b)) for a, b in zip(now, selected[-1], strict=True)]) for now in selected
    ]


WRONG = {
    "11.1": {
        "rounded": lambda s, d, N: table(s, d, N).round(2),
        "divided by k": table_by_assignment,
        "of the expert's tokens": table_of_columns,
        "first choice only": lambda s, d, N: table(s[:, :1], d, N),
        "first choice only, of all tokens": lambda s, d, N: table(s[:, :1], d, N) * np.bincount(d)[:, None] / len(d),
        "equal blocks": lambda s, d, N: [
            np.bincount(part.ravel(), minlength=N) / len(part) for part in np.array_split(s, max(d) + 1)
        ],
        "less the expert's use": lambda s, d, N: (t := table(s, d, N)) - t.mean(axis=0),
        "less the expert's use (2)": lambda s, d, N: table(s, d, N) - served(s, N).mean(axis=0),
        "cut short": lambda s, d, N: table(s, d, N)[:-1],
        "last choice only": lambda s, d, N: table(s[:, -1:], d, N),
        "two choices only": lambda s, d, N: table(s[:, :2], d, N),
        "weighed by rank": table_by_rank,
        "all for any": lambda s, d, N: [[(s[d == c] == i).all(1).mean() for i in range(N)] for c in np.unique(d)],
        "rows of other domains": lambda s, d, N: table(s, d, N)[list(dict.fromkeys(d.tolist()))],
        "rows of other domains (2)": lambda s, d, N: table(s, d, N)[::-1],
        "counts": lambda s, d, N: table(s, d, N) * np.bincount(d)[:, None],
        "added once": table_added_once,
        "of all tokens": lambda s, d, N: table(s, d, N) * np.bincount(d)[:, None] / len(d),
        "of all assignments": lambda s, d, N: table(s, d, N) * np.bincount(d)[:, None] / s.size,
        "over the baseline": lambda s, d, N: table(s, d, N) * N / s.shape[1],
        "less the baseline": lambda s, d, N: table(s, d, N) - s.shape[1] / N,
        "in percent": lambda s, d, N: 100 * table(s, d, N),
        "over the expert's use": lambda s, d, N: table(s, d, N) / np.where((u := served(s, N).mean(0)) > 0, u, np.nan),
        "by T/D": lambda s, d, N: table(s, d, N) * np.bincount(d)[:, None] * (d.max() + 1) / len(d),
        "whether, not how many": lambda s, d, N: [[i in s[d == c] for i in range(N)] for c in np.unique(d)],
        "columns sum to 1": lambda s, d, N: (t := table(s, d, N)) / np.maximum(t.sum(axis=0), 1e-12),
        "all domains together": lambda s, d, N: np.bincount(s.ravel(), minlength=N) / len(s),
        "numbered from 1": lambda s, d, N: table(s - 1, d, N) + np.eye(N)[-1] * table(s, d, N)[:, :1],
        "numbered from 1 (2)": lambda s, d, N: table(s, d, N + 1)[:, 1:],
        "E1 left out": lambda s, d, N: table(np.where(s > 0, s, -1), d, N),
        "last left out": lambda s, d, N: np.pad(table(s, d, N - 1), ((0, 0), (0, 1))),
        "tiled": table_of_misplaced_labels,
        "labels out of order": table_of_blocks,
        "idle experts left out": lambda s, d, N: table(s, d, s.max() + 1),
        "transposed": lambda s, d, N: table(s, d, N).T,
    },
    "11.4": {
        "in order": lambda s: (s == s[-1]).mean(axis=(1, 2)),
        "in order of their numbers": lambda s: (np.sort(s) == np.sort(s[-1])).mean(axis=(1, 2)),
        "divided by k twice": lambda s: (s[..., None] == s[-1][:, None, :]).mean(axis=(1, 2, 3)),
        "one for each token": lambda s: (s[..., None] == s[-1][:, None, :]).any(-1).mean(-1),
        "first choice only": lambda s: (s[..., 0] == s[-1, :, 0]).mean(axis=1),
        "Jaccard": by_sets(lambda a, b: len(a & b) / len(a | b)),
        "previous checkpoint": lambda s: [saturation(s[c - 1 : c + 1])[0] for c in range(1, len(s))],
        "previous checkpoint (2)": lambda s: [saturation(s[[c, c - 1]])[0] for c in range(len(s))],
        "first checkpoint": lambda s: saturation(s[::-1])[::-1],
        "first checkpoint, in order": lambda s: (s == s[0]).mean(axis=(1, 2)),
        "all or nothing": lambda s: (np.sort(s) == np.sort(s[-1])).all(-1).mean(1),
        "any": by_sets(lambda a, b: bool(a & b)),
        "not divided by k": by_sets(lambda a, b: len(a & b)),
        "counts": lambda s: saturation(s) * s[0].size,
        "one mean": lambda s: saturation(s).mean(),
        "in percent": lambda s: 100 * saturation(s),
        "over all tokens": lambda s: [np.isin(now, s[-1]).mean() for now in s],
        "over all tokens (2)": lambda s: [len(np.intersect1d(now, s[-1])) / s.shape[2] for now in s],
        "moved": lambda s: 1 - saturation(s),
        "moved (2)": by_sets(lambda a, b: len(a ^ b)),
        "over the checkpoints": lambda s: (s[..., None] == s[-1][:, None, :]).any(-1).mean(axis=(0, 2)),
        "one for each place": lambda s: (s[..., None] == s[-1][:, None, :]).any(-1).mean(axis=(0, 1)),
        "one for each place (2)": lambda s: (s[..., None] == s[-1][:, None, :]).any(-1).mean(axis=1),
        "stays to the end": saturation_that_stays,
        "last but one": lambda s: [saturation(np.stack([now, s[-2]]))[0] for now in s],
        "above chance": lambda s: saturation(s) - s.shape[2] / (s.max() + 1),
        "above chance (2)": lambda s: (saturation(s) - (c := s.shape[2] / (s.max() + 1))) / (1 - c),
        "other tokens": lambda s: [saturation(np.stack([now, s[-1][::-1]]))[0] for now in s],
        "loads": saturation_of_loads,
        "final left out": lambda s: saturation(s)[:-1],
    },
}

FOUND = {"prose": "E2", "code": "E1", "JSON": "E4", "used but not needed": "E3", "needed by all alike": "E5"}
WRONG["11.5"] = {
    "most used": {**FOUND, "prose": "E1", "code": "E4", "JSON": "E3"},
    "smallest (2)": {**FOUND, "prose": "E7", "code": "E4", "JSON": "E1"},
    "smallest": {**FOUND, "prose": "E3", "code": "E6", "JSON": "E3"},
    "least used": {**FOUND, "prose": "E6", "code": "E6", "JSON": "E6"},
    "one row up": {**FOUND, "prose": "E3", "code": "E2", "JSON": "E5"},
    "JSON: surest": {**FOUND, "JSON": "E5"},
    "numbered from 0": dict(zip(FOUND, ("E1", "E0", "E3", "E2", "E4"), strict=True)),
    "no clear effect": {**FOUND, "JSON": "none"},
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
        lambda s, d, N: table(s, d, N).astype(int),
        lambda s, d, N: np.full((d.max() + 1, N), s.shape[1] / N),
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
        table_by_pairs,
        table_in_lists,
    ],
    "11.4": [
        saturation,
        saturation_by_sets,
        saturation_by_masks,
        saturation_in_torch,
        lambda s: [np.mean([np.isin(a, b).mean() for a, b in zip(now, s[-1], strict=True)]) for now in s],
        lambda s: np.append(saturation(s)[:-1], 1.0).astype(np.float32),
    ],
    "11.5": [
        FOUND,
        {part: name.lower() for part, name in FOUND.items()},
        {part: np.array(name) for part, name in FOUND.items()},
        dict(zip(FOUND, np.array([*FOUND.values()]), strict=True)),
        {**{part: f" {name} " for part, name in reversed(FOUND.items())}, "note": "mine"},
    ],
    "11.6": [
        ["B", "E", "H"],
        "BEH",
        "h, e, b",
        {"B", "E", "H"},
        ("H", "B", "E"),
        np.array(["B", "E", "H"]),
        np.array(["H", "E", "B"], dtype=object),
        dict.fromkeys("BEH").keys(),
        ["B.", "E.", "H."],
        ["**B**", "**E**", "**H**"],
    ],
}

# Further ways into the same mistakes: a name stands once in a dictionary.
SAME_MISTAKE = {
    "11.4": [("in order", lambda s: [np.mean(now == s[-1]) for now in s])],
}
