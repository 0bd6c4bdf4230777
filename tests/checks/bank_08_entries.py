"""Answers to 8.5: plausible wrong ones by the mistake that must be named, others, and right ones."""

from fractions import Fraction
from functools import partial
from itertools import combinations

import numpy as np
import torch

# --- 8.5 -------------------------------------------------------------------------------------------------------------


def counted(order, rivals=None, left=lambda t, first, other, gone: t[~gone, first].sum() < t[~gone, other].sum()):
    """Counts of entries, taken away in order(x, t, first, other), for each of the rivals, until the winner loses."""

    def counts(x, W_g):
        found = []
        for token in x:
            t = token[:, None] * W_g  # (d, N)
            ranked = t.sum(axis=0).argsort()[::-1]
            first = ranked[0]
            best = [len(token) + 1]
            for other in ranked[1:] if rivals is None else ranked[1 : 1 + rivals]:
                gone = np.zeros(len(token), dtype=bool)
                for m, a in enumerate(order(token, t, first, other)[:-1]):
                    gone[a] = True
                    if left(t, first, other, gone):
                        best.append(m + 1)
                        break
            found.append(min(best) if min(best) <= len(token) else -1)
        return np.array(found)

    return counts


def by_lead(x, t, first, other):
    return np.argsort(t[:, other] - t[:, first])


def at_once(x, W_g):
    t = x[:, :, None] * W_g  # (T, d, N)
    first = t.sum(axis=1).argmax(axis=1)
    lead = np.take_along_axis(t, first[:, None, None], axis=2) - t  # (T, d, N)
    rest = lead.sum(axis=1, keepdims=True) - np.cumsum(-np.sort(-lead, axis=1), axis=1)
    below = rest < 0
    m = np.where(below.any(axis=1), below.argmax(axis=1) + 1, 10**6)  # (T, N)
    m[np.arange(len(x)), first] = 10**6
    return [int(best) if best < 10**6 else -1 for best in m.min(axis=1)]


def entries_in_tensors(x, W_g):
    lead = torch.tensor(x)[:, :, None] * torch.tensor(W_g)
    first = lead.sum(1).argmax(1)
    lead = lead[torch.arange(len(x)), :, first][..., None] - lead  # (T, d, N)
    rest = lead.sum(1, keepdim=True) - lead.sort(1, descending=True).values.cumsum(1)
    alive = (rest >= 0).int().cumprod(1).sum(1) + 1  # (T, N): until it is below 0 for the first time
    alive[torch.arange(len(x)), first] = 99
    best = alive.min(1).values
    return torch.where(best > x.shape[1], -1, best)


def by_lead_of(x, W_g, rivals=None, never=-1, number=float):
    """The lesson's lead_of, for the second or for every rival; what is left of a lead goes down term by term."""
    counts = []
    for token in x:
        t = [[number(a) * number(w) for w in row] for a, row in zip(token, W_g, strict=True)]  # (d, N)
        h = [sum(column) for column in zip(*t, strict=True)]
        first, *others = sorted(range(len(h)), key=lambda i: -h[i])
        best = []
        for other in others[:rivals]:
            left = h[first] - h[other]
            for m, term in enumerate(sorted((row[first] - row[other] for row in t), reverse=True), 1):
                left -= term
                if left < 0:
                    best.append(m)
                    break
        counts.append(min(best, default=len(token) if never == "d" else never))
    return counts


def by_hint(x, W_g):
    """The second hint, word for word."""
    counts = []
    for token in x:
        t = token[:, None] * W_g
        i = t.sum(axis=0).argmax()
        found = []
        for j in range(W_g.shape[1]):
            if j != i:
                lead = np.sort(t[:, i] - t[:, j])[::-1]
                left = lead.sum() - np.cumsum(lead)
                if (left < 0).any():
                    found.append(np.argmax(left < 0) + 1)
        counts.append(min(found) if found else -1)
    return np.array(counts)


def sums_afresh(dtype):
    """Each time the entries that stay are summed anew; all in a dtype."""

    def counts(x, W_g):
        x, W_g = np.asarray(x, dtype), np.asarray(W_g, dtype)
        found = []
        for token in x:
            first = np.argmax(token @ W_g)
            best = -1
            for j in range(W_g.shape[1]):
                order = np.argsort(-token * (W_g[:, first] - W_g[:, j]), kind="stable")
                for m in range(1, len(token)):
                    rest = token.copy()
                    rest[order[:m]] = 0
                    h = rest @ W_g
                    if h[j] > h[first] and (best < 0 or m < best):
                        best = m
            found.append(best)
        return found

    return counts


def differences_in_float32(x, W_g):
    x, W = torch.tensor(x, dtype=torch.float32), torch.tensor(W_g, dtype=torch.float32)
    first = (x @ W).argmax(dim=1)
    D = W[:, first].T[:, :, None] - W  # (T, d, N)
    lead = (x[:, :, None] * D).sort(dim=1, descending=True).values
    left = lead.sum(dim=1, keepdim=True) - lead.cumsum(dim=1)
    ahead = (left < 0).any(dim=2)
    return torch.where(ahead.any(dim=1), ahead.int().argmax(dim=1) + 1, -1)


def until_not_above(x, W_g):
    """The lesson's way to count, (rest > 0).argmin() + 1, for every rival: d where nothing is left of the lead."""
    counts = []
    for token in x:
        t = token[:, None] * W_g
        first = t.sum(axis=0).argmax()
        leads = [np.sort(t[:, first] - t[:, j])[::-1] for j in range(t.shape[1]) if j != first]
        counts.append(min(int((lead.sum() - np.cumsum(lead) > 0).argmin()) + 1 for lead in leads))
    return counts


def by_trying(x, W_g):
    """All choices of entries, few at a time, in plain Python."""
    counts, W = [], W_g.tolist()

    def winner(token, kept):
        h = [sum(token[a] * W[a][j] for a in kept) for j in range(len(W[0]))]
        return h.index(max(h))

    for token in x.tolist():
        d = len(token)
        first = winner(token, range(d))
        lost = (m for m in range(1, d) if any(winner(token, kept) != first for kept in combinations(range(d), d - m)))
        counts.append(next(lost, -1))
    return counts


def step_by_step(entry):
    """One entry after the other: entry(x (d,) with zeros, W_g, first) is the next to be 0."""

    def counts(x, W_g):
        found = []
        for token in x.copy():
            first, count = (token @ W_g).argmax(), -1
            for m in range(1, len(token)):
                token[entry(token, W_g, first)] = 0
                if (token @ W_g).argmax() != first:
                    count = m
                    break
            found.append(count)
        return found

    return counts


def against_the_second_now(x, W_g, first):
    second = np.argsort(x @ W_g)[-2]
    return np.argmax(x * (W_g[:, first] - W_g[:, second]))


def shortest_lead_next(x, W_g, first):
    def lead(a):
        h = np.where(np.arange(len(x)) == a, 0, x) @ W_g
        return h[first] - np.delete(h, first).max()

    return min(np.flatnonzero(x), key=lead)


def of_all_rivals(pick):
    """pick(counts of all rivals, −1 among them)."""

    def counts(x, W_g):
        found = []
        for token in x:
            first = (token @ W_g).argmax()
            alone = []
            for j in range(W_g.shape[1]):
                if j != first:
                    lead = np.sort(token * (W_g[:, first] - W_g[:, j]))[::-1]
                    left = lead.sum() - np.cumsum(lead)
                    alone.append(int(np.argmax(left < 0)) + 1 if (left < 0).any() else -1)
            found.append(pick(alone))
        return found

    return counts


def against_one_made_of_all(merge):
    def counts(x, W_g):
        found = []
        for token in x:
            first = (token @ W_g).argmax()
            t = token[:, None] * W_g
            lead = np.sort(t[:, first] - merge(np.delete(t, first, axis=1), axis=1))[::-1]
            left = lead.sum() - np.cumsum(lead)
            found.append(int(np.argmax(left < 0)) + 1 if (left < 0).any() else -1)
        return found

    return counts


def moved(step):
    return lambda x, W_g: (right := counted(by_lead)(x, W_g)) + step * (right > 0)


def hopeless(number):
    return lambda x, W_g: [number(x, W_g) if c < 0 else c for c in counted(by_lead)(x, W_g).tolist()]


def that_speak_for_it(x, W_g):
    t = x[:, :, None] * W_g
    ranked = t.sum(axis=1).argsort(axis=1)
    return np.array([(m[:, r[-1]] > m[:, r[-2]]).sum() for m, r in zip(t, ranked, strict=True)])


def no_lead_is_all_for_it(x, W_g):
    """All that speaks for the winner has to go, and −1 where that is everything."""
    counts = []
    for token in x:
        first = (token @ W_g).argmax()
        speak = [(token * (W_g[:, first] - column) > 0).sum() for j, column in enumerate(W_g.T) if j != first]
        counts.append(min((m for m in speak if m < len(token)), default=-1))
    return counts


def against_the_last(x, W_g):
    counts = []
    for token in x:
        lead = np.sort(token * (W_g[:, (token @ W_g).argmax()] - W_g[:, (token @ W_g).argmin()]))[::-1]
        left = lead.sum() - lead.cumsum()
        counts.append(np.argmax(left < 0) + 1 if (left < 0).any() else -1)
    return counts


def fixed_by_the_second(x, W_g):
    counts = []
    for token in x:
        t = token[:, None] * W_g
        ranked = t.sum(axis=0).argsort()
        order = np.argsort(t[:, ranked[-2]] - t[:, ranked[-1]])
        ahead = [m for m in range(1, len(token)) if t[order[m:]].sum(axis=0).argmax() != ranked[-1]]
        counts.append(min(ahead, default=-1))
    return counts


def half_of_what_speaks_for_it(x, W_g):
    counts = []
    for token in x:
        first, best = (token @ W_g).argmax(), len(token)
        for j in set(range(W_g.shape[1])) - {first}:
            lead = token * (W_g[:, first] - W_g[:, j])
            gone = np.sort(lead[lead > 0])[::-1].cumsum()
            best = min(best, int((gone > gone[-1] / 2).argmax()) + 1)
        counts.append(best if best < len(token) else -1)
    return counts


def one_entry_at_most(x, W_g):
    counts = []
    for token in x:
        first = (token @ W_g).argmax()
        others = [(np.where(np.arange(len(token)) == a, 0, token) @ W_g).argmax() for a in range(len(token))]
        counts.append(1 if any(other != first for other in others) else -1)
    return counts


def by_the_weights(x, W_g):
    counts = []
    for token in x:
        first, found = (token @ W_g).argmax(), []
        for j in set(range(W_g.shape[1])) - {first}:
            gap = W_g[:, first] - W_g[:, j]
            terms = (token * gap)[np.argsort(-gap)]
            found += (np.flatnonzero(terms.sum() - terms.cumsum() < 0) + 1)[:1].tolist()
        counts.append(min(found, default=-1))
    return counts


def how_often_below(x, W_g):
    """Where the first of len(hits) places is meant, first place and number of places are added up."""
    counts = []
    for token in x:
        first, found = (token @ W_g).argmax(), []
        for j in set(range(W_g.shape[1])) - {first}:
            terms = np.sort(token * (W_g[:, first] - W_g[:, j]))[::-1]
            hits = np.flatnonzero((terms.sum() - np.cumsum(terms))[:-1] < 0)
            found += [hits[0] + len(hits)] if len(hits) else []
        counts.append(min(found, default=-1))
    return counts


def of_the_last(x, W_g):
    """Takes the smallest logit for the winner's."""
    counts = []
    for token in x:
        last = (token @ W_g).argmin()
        terms = [np.sort(token * (W_g[:, last] - W_g[:, j]))[::-1] for j in range(W_g.shape[1]) if j != last]
        counts.append(min((np.flatnonzero((t.sum() - t.cumsum())[:-1] < 0)[0] + 1 for t in terms), default=-1))
    return counts


WRONG = {
    "8.5": {
        "step by step (3)": fixed_by_the_second,
        "one at most": one_entry_at_most,
        "half at most": lambda x, W_g: [m if m <= x.shape[1] // 2 else -1 for m in counted(by_lead)(x, W_g).tolist()],
        "order of the weights": by_the_weights,
        "last place": how_often_below,
        "one number for all": lambda x, W_g: np.full(len(x), counted(by_lead)(x, W_g).min()),
        "one number for all (2)": lambda x, W_g: np.full(len(x), counted(by_lead)(x, W_g).max()),
        "runner-up only, one too few": lambda x, W_g: (m := counted(by_lead, rivals=1)(x, W_g)) - (m > 0),
        "at once (2)": of_the_last,
        "pairs at most": lambda x, W_g: [m if m <= 2 else -1 for m in counted(by_lead)(x, W_g).tolist()],
        "positive terms alone": half_of_what_speaks_for_it,
        "largest entries of x (2)": counted(lambda x, t, first, other: np.argsort(-x)),
        "own terms (2)": counted(lambda x, t, first, other: np.argsort(-np.abs(t[:, first]))),
        "sizes of the terms (2)": counted(lambda x, t, first, other: np.argsort(-np.abs(t[:, first] - t[:, other]))),
        "unsorted": counted(lambda x, t, first, other: np.arange(len(x))),
        "none found (2)": lambda x, W_g: np.full(len(x), -1),
        "step by step": step_by_step(against_the_second_now),
        "step by step (2)": step_by_step(shortest_lead_next),
        "hardest rival": of_all_rivals(max),
        "−1 taken for the fewest": of_all_rivals(min),
        "impossible (4)": of_all_rivals(lambda counts: min(abs(count) for count in counts)),
        "rivals mixed": against_one_made_of_all(np.mean),
        "rivals mixed (2)": against_one_made_of_all(np.max),
        "entries left": lambda x, W_g: [x.shape[1] - m if m > 0 else -1 for m in counted(by_lead)(x, W_g)],
        "runner-up only": counted(by_lead, rivals=1),
        "largest entries of x": counted(lambda x, t, first, other: np.argsort(-np.abs(x))),
        "own terms": counted(lambda x, t, first, other: np.argsort(-t[:, first])),
        "sizes of the terms": counted(lambda x, t, first, other: np.argsort(-np.abs(t[:, first] - t[:, other])), 1),
        "none found": counted(lambda x, t, first, other: np.argsort(t[:, first] - t[:, other]), 1),
        "rivals stand still": counted(
            lambda x, t, first, other: np.argsort(-t[:, first]),
            1,
            lambda t, first, other, gone: t[~gone, first].sum() < t[:, other].sum(),
        ),
        "below zero": counted(
            lambda x, t, first, other: np.argsort(-t[:, first]),
            1,
            lambda t, first, other, gone: t[~gone, first].sum() < 0,
        ),
        "all that helped": that_speak_for_it,
        "all that helped (2)": no_lead_is_all_for_it,
        "weakest rival": against_the_last,
        "at once": lambda x, W_g: np.ones(len(x)),
        "one too few": moved(-1),
        "one too many": moved(1),
        "impossible": hopeless(lambda x, W_g: 0),
        "impossible (2)": hopeless(lambda x, W_g: x.shape[1]),
        "impossible (3)": until_not_above,
        "runner-up only (2)": partial(by_lead_of, rivals=1, never="d"),
        "runner-up only (3)": partial(by_lead_of, rivals=1, never=0),
        "runner-up only (4)": partial(by_lead_of, rivals=1),
        "runner-up only (5)": partial(by_lead_of, rivals=1, never=1),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "8.5": [
        of_all_rivals(sum),
        of_all_rivals(lambda counts: counts[0]),
        lambda x, W_g: None,
        lambda x, W_g: len(x),
        lambda x, W_g: x.argmax(axis=1),
        lambda x, W_g: 2 * counted(by_lead)(x, W_g),
        lambda x, W_g: x[:, :, None] * W_g,
    ],
}

RIGHT = {
    "8.5": [
        by_trying,
        counted(by_lead),
        at_once,
        entries_in_tensors,
        lambda x, W_g: counted(by_lead)(x, W_g).astype(float),
        by_hint,
        by_lead_of,
        partial(by_lead_of, number=Fraction),
        sums_afresh(float),
        sums_afresh(np.float32),
        differences_in_float32,
    ],
}
