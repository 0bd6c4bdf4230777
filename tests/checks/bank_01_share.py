"""Answers to 1.3: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import math

import numpy as np
import torch


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def run(x, experts, order, weights):
    return sum(w * experts[i](x) for i, w in zip(order, weights, strict=True))


def order_and_number(probs, share):
    order = np.argsort(-probs)
    return order, int(np.sum(np.cumsum(probs[order]) < share)) + 1


def shared(more=0, weigh=lambda p, share: p / p.sum()):
    """A right answer in which the number of experts or their weights can be changed."""

    def combine(x, probs, share, experts):
        order, many = order_and_number(probs, share)
        order = order[: max(many + more, 0)]
        return run(x, experts, order, weigh(probs[order], share))

    return combine


def selected(select):
    """An answer that runs whom `select(probs, share)` names, with their probabilities divided by their sum."""

    def combine(x, probs, share, experts):
        on = select(probs, share)
        return run(x, experts, on, probs[on] / probs[on].sum())

    return combine


def best(probs, many):
    return np.argsort(-probs)[:many]


def down_the_list(x, probs, share, experts, order=None):
    held, y, left = 0, 0, list(np.argsort(-probs) if order is None else order)
    while held < share:
        i = left.pop(0)
        held, y = held + probs[i], y + probs[i] * experts[i](x)
    return y / held


def by_size(probs, share):
    """The indices of all, the largest first, and their probabilities divided by what all but the last needed hold."""
    order, many = order_and_number(probs, share)
    return order, probs[order] / probs[order][: max(1, many - 1)].sum()


def wrong_pairs(x, probs, share, experts):
    order, many = order_and_number(probs, share)
    kept = probs[order[:many]]
    return run(x, experts, range(many), kept / kept.sum())


def in_order_of_index(x, probs, share, experts):
    order, many = order_and_number(probs, share)
    kept = probs[order[:many]]
    return run(x, experts, sorted(order[:many]), kept / kept.sum())


def by_recursion(x, probs, share, experts):
    def needed(left, missing):
        best = max(left, key=lambda i: probs[i])
        return [best] if probs[best] >= missing else [best, *needed(left - {best}, missing - probs[best])]

    order = needed(set(range(len(probs))), share)
    return np.average([experts[i](x) for i in order], axis=0, weights=probs[order])


def scaled_input(x, probs, share, experts):
    order, many = order_and_number(probs, share)
    kept = probs[order[:many]]
    return sum(experts[i](w * x) for i, w in zip(order, kept / kept.sum(), strict=False))


def called_all(x, probs, share, experts):
    order, many = order_and_number(probs, share)
    w = np.zeros(len(probs))
    w[order[:many]] = probs[order[:many]] / probs[order[:many]].sum()
    return w @ np.array([expert(x) for expert in experts])


def called_one_more(x, probs, share, experts):
    order, many = order_and_number(probs, share)
    outputs = [experts[i](x) for i in order[: many + 1]]
    kept = probs[order[:many]]
    return kept / kept.sum() @ np.array(outputs[:many])


def called_twice(x, probs, share, experts):
    down_the_list(x, probs, share, experts)
    return down_the_list(x, probs, share, experts)


def in_torch(x, probs, share, experts):
    p, order = torch.sort(torch.tensor(probs), descending=True)
    many = torch.searchsorted(p.cumsum(0), torch.tensor(share, dtype=p.dtype)) + 1
    outputs = torch.stack([torch.as_tensor(experts[i](torch.tensor(x))) for i in order[:many].tolist()])
    return (p[:many] / p[:many].sum()) @ outputs


def by_mask(x, probs, share, experts):
    above = [probs[probs > p].sum() for p in probs]
    weights = np.where(np.array(above) < share, probs, 0)
    return sum(w * experts[i](x) for i, w in enumerate(weights / weights.sum()) if w)


def as_many_by_index(probs, share):
    """As many as it takes in the order of the indices, but the most probable."""
    return best(probs, int((np.cumsum(probs) < share).sum()) + 1)


def added_in_place(x, probs, share, experts):
    order, many = order_and_number(probs, share)
    first, *others = order[:many]
    y = experts[first](x)
    y *= probs[first]
    for i in others:
        y += probs[i] * experts[i](x)
    return y / probs[order[:many]].sum()


def weighted_in_place(x, probs, share, experts):
    order, many = order_and_number(probs, share)
    y = np.zeros(len(x))
    for i in sorted(order[:many]):
        out = experts[i](x)
        out *= probs[i] / probs[order[:many]].sum()
        y += out
    return y


def not_summed(x, probs, share, experts):
    order, many = order_and_number(probs, share)
    return [probs[i] / probs[order[:many]].sum() * experts[i](x) for i in order[:many]]


def weights_by_index(x, probs, share, experts):
    order, many = order_and_number(probs, share)
    kept = probs[np.sort(order[:many])]
    return run(x, experts, order[:many], kept / kept.sum())


def chained(x, probs, share, experts):
    order, many = order_and_number(probs, share)
    y, out = 0, x
    for i in order[:many]:
        out = experts[i](out)
        y = y + probs[i] / probs[order[:many]].sum() * out
    return y


WRONG = {
    "1.3": {
        "threshold for the sum": selected(lambda probs, share: np.flatnonzero(probs >= (1 - share) * probs.max())),
        "wrong pairs (4)": weights_by_index,
        "chained": chained,
        "written into": added_in_place,
        "written into (2)": weighted_in_place,
        "all experts": lambda x, probs, share, experts: sum(p * e(x) for p, e in zip(probs, experts, strict=True)),
        "always two": selected(lambda probs, share: best(probs, 2)),
        "stops too early": shared(more=-1),
        "stops too early (2)": lambda x, probs, share, experts: run(
            x, experts, *[a[: max(1, order_and_number(probs, share)[1] - 1)] for a in by_size(probs, share)]
        ),
        "one too many": shared(more=1),
        "single probabilities": selected(lambda probs, share: np.flatnonzero(probs >= share)),
        "single probabilities (2)": lambda x, probs, share, experts: sum(
            (p * e(x) for p, e in zip(probs, experts, strict=True) if p >= share), 0 * x
        ),
        "smallest first": lambda x, probs, share, experts: down_the_list(x, probs, share, experts, np.argsort(probs)),
        "index order": lambda x, probs, share, experts: down_the_list(x, probs, share, experts, range(len(probs))),
        "not renormalised": shared(weigh=lambda p, share: p),
        "divided by the share": shared(weigh=lambda p, share: p / share),
        "second softmax": shared(weigh=lambda p, share: softmax(p)),
        "equal shares": shared(weigh=lambda p, share: np.full(len(p), 1 / len(p))),
        "unweighted": shared(weigh=lambda p, share: np.ones(len(p))),
        "wrong pairs": wrong_pairs,
        "wrong pairs (2)": in_order_of_index,
        "first by index": selected(lambda probs, share: np.arange(order_and_number(probs, share)[1])),
        "at least two": selected(lambda probs, share: best(probs, max(2, order_and_number(probs, share)[1]))),
        "never all": selected(lambda probs, share: best(probs, min(len(probs) - 1, order_and_number(probs, share)[1]))),
        "mean for sum": shared(weigh=lambda p, share: p / p.sum() / len(p)),
        "share of the experts": selected(lambda probs, share: best(probs, math.ceil(share * len(probs)))),
        "best only": lambda x, probs, share, experts: experts[probs.argmax()](x),
        "scaled input": scaled_input,
        "called too many": called_all,
        "called too many (2)": called_one_more,
        "called twice": called_twice,
        "running sums": shared(weigh=lambda p, share: np.cumsum(p) / np.cumsum(p).sum()),
        "running sums (2)": shared(weigh=lambda p, share: np.cumsum(p)),
        "share turned round": lambda x, probs, share, experts: shared()(x, probs, 1 - share, experts),
        "share of the largest": selected(lambda probs, share: np.flatnonzero(probs >= share * probs.max())),
        "index order (2)": selected(as_many_by_index),
        "divided by the largest": shared(weigh=lambda p, share: p / p.max()),
        "divided by all": lambda x, probs, share, experts: (
            shared(weigh=lambda p, share: p)(x, probs, share, experts) / len(experts)
        ),
        "divided too early": shared(weigh=lambda p, share: p / p[: max(1, len(p) - 1)].sum()),
        "last one filled up": shared(weigh=lambda p, share: np.append(p[:-1], 1 - p[:-1].sum())),
        "last one filled up (2)": shared(weigh=lambda p, share: np.append(p[:-1], share - p[:-1].sum())),
        "squared": shared(weigh=lambda p, share: p**2 / (p**2).sum()),
        "at most two": selected(lambda probs, share: best(probs, min(2, order_and_number(probs, share)[1]))),
        "mean for sum (2)": shared(weigh=lambda p, share: p / len(p)),
        "wrong pairs (3)": shared(weigh=lambda p, share: p[::-1] / p.sum()),
        "best only (2)": selected(lambda probs, share: np.flatnonzero(probs >= min(share, probs.max()))),
        "input added": lambda x, probs, share, experts: x + shared()(x, probs, share, experts),
        "not summed": not_summed,
    },
}

UNRECOGNISED = {
    "1.3": [
        lambda x, probs, share, experts: x,
        lambda x, probs, share, experts: probs,
        lambda x, probs, share, experts: -down_the_list(x, probs, share, experts),
        lambda x, probs, share, experts: None,
        shared(weigh=lambda p, share: p**3 / (p**3).sum()),
    ],
}

RIGHT = {
    "1.3": [shared(), down_the_list, in_torch, by_mask, by_recursion],
}
