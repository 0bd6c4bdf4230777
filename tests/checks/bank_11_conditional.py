"""Answers to 11.3: plausible wrong ones by the mistake that must be named, others, and right ones."""

from collections import Counter

import numpy as np
import torch


def codes(*labels):
    """One code for each combination of labels."""
    return np.unique(np.stack(labels), axis=1, return_inverse=True)[1].ravel()


def entropy(counts):
    p = counts[counts > 0] / counts.sum()
    return -(p * np.log2(p)).sum()


def H_of(*labels):
    return entropy(np.bincount(codes(*labels)))


def mi(a, b):
    return H_of(a) + H_of(b) - H_of(a, b)


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


def conditional_over_domains(domain, expert, token):
    """Within a token the mean over its domains, however often each has it."""
    total = 0.0
    for t in np.unique(token):
        d, e = domain[token == t], codes(expert[token == t])
        within = [np.bincount(e[d == c], minlength=e.max() + 1) / (d == c).sum() for c in np.unique(d)]
        own = np.bincount(e) / len(e)
        each = [sum(p * np.log2(p / q) for p, q in zip(row, own, strict=True) if p > 0) for row in within]
        total += len(d) / len(token) * np.mean(each)
    return total


def conditional_by_text(domain, expert, token, form):
    """By entropies of texts; labels that a group has not are left empty."""

    def H(d=False, e=False):
        rows = zip(domain, expert, token, strict=True)
        return entropy(
            np.array([*Counter(form.format(x if d else "", y if e else "", z) for x, y, z in rows).values()])
        )

    return H(d=True) + H(e=True) - H(d=True, e=True) - H()


def conditional_without_a_guard(domain, expert, token):
    p = np.zeros((codes(token).max() + 1, domain.max() + 1, expert.max() + 1))
    np.add.at(p, (codes(token), domain, expert), 1 / len(token))
    with np.errstate(all="ignore"):
        ratio = p * p.sum((1, 2), keepdims=True) / (p.sum(2, keepdims=True) * p.sum(1, keepdims=True))
        return (p * np.log2(ratio)).sum()


def conditional_in_float32(domain, expert, token):
    """By entropies in torch, in single precision: differences of numbers near 5."""

    def H(*labels):
        p = torch.unique(torch.stack(labels), dim=1, return_counts=True)[1].float() / len(token)
        return -(p * p.log2()).sum()

    d, e, t = map(torch.as_tensor, (domain, expert, token))
    return H(d, t) + H(e, t) - H(d, e, t) - H(t)


def conditional_of_tokens_that_can_tell(domain, expert, token):
    """Leave out what adds 0, and divide by all."""
    kept = [v for v in set(token.tolist()) if len(set(domain[token == v])) > 1]
    return sum((token == v).sum() * mi(domain[token == v], expert[token == v]) for v in kept) / len(token)


def conditional_over(ids):
    """Only these tokens, divided by all."""
    return lambda d, e, t: sum((t == v).mean() * mi(d[t == v], e[t == v]) for v in ids if (t == v).any())


def conditional_by_sums(*factors):
    """By entropies of sums of labels: different labels may have the same sum."""

    def answer(domain, expert, token):
        d, e, t = (factor * label for factor, label in zip(factors, (domain, expert, token), strict=True))
        return H_of(d + t) + H_of(e + t) - H_of(d + e + t) - H_of(t)

    return answer


def conditional_by_numbers(domain, expert, token):
    """One number for a group of labels, with the largest label as the base."""
    D, N = domain.max(), expert.max()
    td, te = token * D + domain, token * N + expert
    return H_of(td) + H_of(te) - H_of(td * N + expert) - H_of(token)


def conditional_by_counter(domain, expert, token):
    triples = Counter(zip(domain.tolist(), expert.tolist(), token.tolist(), strict=True))
    dt, et, t = Counter(), Counter(), Counter()
    for (d, e, v), n in triples.items():
        dt[d, v] += n
        et[e, v] += n
        t[v] += n
    return sum(n * np.log2(n * t[v] / (dt[d, v] * et[e, v])) for (d, e, v), n in triples.items()) / len(token)


WRONG = {
    "11.3": {
        "unconditional": lambda d, e, t: mi(d, e),
        "difference": lambda d, e, t: mi(d, e) - mi(d, t),
        "not weighted": lambda d, e, t: np.mean([mi(d[t == v], e[t == v]) for v in set(t.tolist())]),
        "not weighted, and nats": lambda d, e, t: (
            np.log(2) * np.mean([mi(d[t == v], e[t == v]) for v in set(t.tolist())])
        ),
        "unconditional, and nats": lambda d, e, t: np.log(2) * mi(d, e),
        "over all ids": lambda d, e, t: sum(mi(d[t == v], e[t == v]) for v in set(t.tolist())) / (max(t) + 1),
        "one for each token": lambda d, e, t: [mi(d[t == v], e[t == v]) for v in np.unique(t)],
        "rare tokens left out": lambda d, e, t: conditional(d, e, t) / np.mean([(t == v).sum() > 1 for v in t]),
        "domains alike": conditional_over_domains,
        "p(token) missing": lambda d, e, t: H_of(d, t) + H_of(e, t) - H_of(d, e, t),
        "run together": lambda d, e, t: conditional_by_text(d, e, t, "{0}{1}{2}"),
        "run together (2)": lambda d, e, t: conditional_by_text(d, e, t, "{2}{0}{1}"),
        "empty cells": conditional_without_a_guard,
        "summed": lambda d, e, t: sum(mi(d[t == v], e[t == v]) for v in set(t.tolist())),
        "given the domain": lambda d, e, t: conditional(t, e, d),
        "given the expert": lambda d, e, t: conditional(d, t, e),
        "both together": lambda d, e, t: mi(d, codes(e, t)),
        "the token alone": lambda d, e, t: mi(d, t),
        "expert and token": lambda d, e, t: mi(e, t),
        "ids without gaps": lambda d, e, t: conditional_over(range(len(set(t.tolist()))))(d, e, t),
        "first or last id left out": lambda d, e, t: conditional_over(np.unique(t)[1:])(d, e, t),
        "first or last id left out (2)": lambda d, e, t: conditional_over(range(t.max()))(d, e, t),
        "too small a base": conditional_by_numbers,
        "added up": conditional_by_sums(1, 1, 1000),
        "added up (2)": conditional_by_sums(10, 1, 1000),
        "added up (3)": conditional_by_sums(1, 1, 1),
        "difference (2)": lambda d, e, t: H_of(d, t) - H_of(t) - H_of(d, e) + H_of(e),
        "both together (2)": lambda d, e, t: mi(e, codes(d, t)),
        "weighted twice": lambda d, e, t: sum((t == v).mean() ** 2 * mi(d[t == v], e[t == v]) for v in np.unique(t)),
        "most frequent token": lambda d, e, t: mi(*(x[t == np.bincount(t).argmax()] for x in (d, e))),
        "in the middle": lambda d, e, t: np.median([mi(d[t == v], e[t == v]) for v in np.unique(t)]),
        "share (2)": lambda d, e, t: conditional(d, e, t) / H_of(d),
        "nats": lambda d, e, t: conditional(d, e, t) * np.log(2),
        "base 10": lambda d, e, t: conditional(d, e, t) * np.log10(2),
        "share": lambda d, e, t: conditional(d, e, t) / (H_of(d, t) - H_of(t)),
        "sign": lambda d, e, t: -conditional(d, e, t),
        "what is left": lambda d, e, t: H_of(d, e, t) - H_of(e, t),
        "overall margins": lambda d, e, t: H_of(d) + H_of(e) + H_of(t) - H_of(d, e, t),
        "interaction": lambda d, e, t: mi(d, e) - conditional(d, e, t),
        "mixed tokens only": lambda d, e, t: conditional(d, e, t) / np.mean([len(set(d[t == v])) > 1 for v in t]),
    },
}

UNRECOGNISED = {
    "11.3": [
        lambda d, e, t: None,
        lambda d, e, t: conditional(d, e, t) * 2,
        lambda d, e, t: conditional_by_entropies(d, e, t + 100 * d),
        lambda d, e, t: H_of(t + 100 * d) + H_of(t + 100 * e) - H_of(t + 100 * d + 1000 * e) - H_of(t),
        lambda d, e, t: conditional(d[::-1], e, t),
        lambda d, e, t: [conditional(d, e, t)],
    ],
}

RIGHT = {
    "11.3": [
        conditional,
        conditional_by_entropies,
        conditional_by_chain,
        conditional_by_table,
        conditional_by_counter,
        conditional_in_float32,
        conditional_of_tokens_that_can_tell,
        lambda domain, expert, token: conditional(expert, domain, token),
    ],
}
