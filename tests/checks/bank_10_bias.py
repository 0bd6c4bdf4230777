"""Answers to 10.3: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def chosen(values, k):
    return np.argsort(-values, axis=-1)[:, :k]


def take(values, selected):
    return np.take_along_axis(values, selected, axis=-1)


def count(selected, N):
    return np.bincount(selected.ravel(), minlength=N)


def normal(values):
    return values / values.sum(-1, keepdims=True)


def step(scores, bias, speed, u, k):
    selected = chosen(scores + bias, k)
    load = count(selected, len(bias))
    return selected, normal(take(scores, selected)), bias + u * np.sign(normal(speed) * load.sum() - load)


def step_by_loops(scores, bias, speed, u, k):
    N, rows, weights = len(bias), [], []
    load = [0] * N
    for s in scores:
        row = sorted(range(N), key=lambda i: -(s[i] + bias[i]))[:k]
        total = sum(s[i] for i in row)
        rows.append(row)
        weights.append([s[i] / total for i in row])
        for i in row:
            load[i] += 1
    wanted = [v * len(scores) * k / sum(speed) for v in speed]
    return rows, weights, [b + u * (int(n < w) - int(n > w)) for b, n, w in zip(bias, load, wanted, strict=True)]


def step_in_torch(scores, bias, speed, u, k):
    scores, bias, share = torch.tensor(scores), torch.tensor(bias), torch.tensor(speed / speed.sum())
    selected = (scores + bias).topk(k).indices
    own = scores.gather(1, selected)
    load = torch.zeros(len(bias), dtype=bias.dtype)
    load = load.scatter_add(0, selected.flatten(), torch.ones(selected.numel(), dtype=bias.dtype))
    return {
        "selected": selected,
        "weights": own / own.sum(1, keepdim=True),
        "new_bias": bias + u * (share * selected.numel() - load).sign(),
    }


def step_with_shares(scores, bias, speed, u, k):
    """Shares of T·k, compared with those wanted; exact where an expert has just its share."""
    selected, weights, _ = step(scores, bias, speed, u, k)
    short = speed / 32 - count(selected, len(bias)) / selected.size
    return [selected, weights, np.where(np.abs(short) < 1e-9, bias, bias + np.copysign(u, short))]


def step_by_time(scores, bias, speed, u, k):
    """Milliseconds of each expert, compared with those of all together."""
    selected, weights, _ = step(scores, bias, speed, u, k)
    time = count(selected, len(bias)) / speed
    together = selected.size / speed.sum()
    return selected, weights, np.where(time < together, bias + u, np.where(time > together, bias - u, bias))


def step_in_float32(scores, bias, speed, u, k):
    scores, bias, speed = (torch.tensor(given, dtype=torch.float32) for given in (scores, bias, speed))
    selected = (scores + bias).topk(k).indices
    own = scores.gather(1, selected)
    short = speed / 32 * selected.numel() - (selected[..., None] == torch.arange(len(bias))).sum((0, 1))
    return selected, own / own.sum(1, keepdim=True), bias + u * short.sign()


def selects(values):
    return lambda s, b, q, u, k: (chosen(values(s, b), k), *step(s, b, q, u, k)[1:])


def orders_selected(order):
    return lambda s, b, q, u, k: (order(step(s, b, q, u, k)[0]), *step(s, b, q, u, k)[1:])


def weighs(weights):
    """weights(scores of the selected, biased scores of them, all scores)"""

    def answer(s, b, q, u, k):
        selected, _, new = step(s, b, q, u, k)
        return selected, weights(take(s, selected), take(s + b, selected), s), new

    return answer


def scattered(s, b, q, u, k):
    selected, weights, new = step(s, b, q, u, k)
    dense = np.zeros(s.shape)
    dense[np.arange(len(s))[:, None], selected] = weights
    return selected, dense, new


def moves(move):
    """b + move(load, share, u, T, k)"""

    def answer(s, b, q, u, k):
        selected, weights, _ = step(s, b, q, u, k)
        return selected, weights, b + move(count(selected, len(b)), normal(q), u, len(s), k)

    return answer


def loads(load):
    """The right update with load(scores, bias, k)"""

    def answer(s, b, q, u, k):
        f = load(s, b, k)
        return *step(s, b, q, u, k)[:2], b + u * np.sign(normal(q) * f.sum() - f)

    return answer


def gate_sums(biased):
    def load(s, b, k):
        selected = chosen(s + b, k)
        gates = normal(take(s + b if biased else s, selected))
        return np.bincount(selected.ravel(), gates.ravel(), minlength=len(b))

    return load


WRONG = {
    "10.3": {
        "without the bias": selects(lambda s, b: s),
        "bias subtracted": selects(lambda s, b: s - b),
        "bias multiplied": selects(lambda s, b: s * b),
        "softmax of the scores": selects(lambda s, b: softmax(s) + b),
        "bias multiplied (2)": selects(lambda s, b: s * (1 + b)),
        "speed in the selection": lambda s, b, q, u, k: (chosen(s * q + b, k), *step(s, b, q, u, k)[1:]),
        "divided by the largest": weighs(lambda own, biased, s: own / own.max(1, keepdims=True)),
        "all alike": weighs(lambda own, biased, s: np.ones(own.shape) / own.shape[1]),
        "squared": weighs(lambda own, biased, s: normal(own * own)),
        "in another order (2)": weighs(lambda own, biased, s: np.sort(normal(own), axis=1)),
        "median of the times": moves(lambda load, q, u, T, k: u * np.sign(np.median(load / q) - load / q)),
        "all moved alike": moves(lambda load, q, u, T, k: np.full(len(q), -u)),
        "parts that do not add up": moves(lambda load, q, u, T, k: u * np.sign(q / max(q) * T * k - load)),
        "not by u": moves(lambda load, q, u, T, k: u / T * np.sign(q * T * k - load)),
        "not by u (2)": moves(lambda load, q, u, T, k: u * (q * T * k - load) ** 3),
        "not by u (3)": moves(lambda load, q, u, T, k: 2 * u * np.sign(q * T * k - load)),
        "not by u (4)": moves(lambda load, q, u, T, k: u * q * np.sign(q * T * k - load)),
        "two alone": moves(lambda load, q, u, T, k: u * ((g := q * T * k - load) == g.max()) - u * (g == g.min())),
        "smallest": selects(lambda s, b: -s - b),
        "worst first": orders_selected(lambda selected: np.flip(selected, axis=1)),
        "by number": orders_selected(lambda selected: np.sort(selected, axis=1)),
        "by the score": lambda s, b, q, u, k: (
            take(chosen(s + b, k), chosen(take(s, chosen(s + b, k)), k)),
            0,
            0,
        ),
        "exchanged": lambda s, b, q, u, k: (*step(s, b, q, u, k)[1::-1], step(s, b, q, u, k)[2]),
        "bias in the weights": weighs(lambda own, biased, s: normal(biased)),
        "bias in the weights, not normalised": weighs(lambda own, biased, s: biased),
        "not normalised": weighs(lambda own, biased, s: own),
        "normalised over all": weighs(lambda own, biased, s: own / s.sum(1)[:, None]),
        "softmax": weighs(lambda own, biased, s: softmax(own)),
        "for all experts": scattered,
        "equal shares": moves(lambda load, q, u, T, k: u * np.sign(load.mean() - load)),
        "mean of the times": moves(lambda load, q, u, T, k: u * np.sign(np.mean(load / q) - load / q)),
        "more for the slow": moves(lambda load, q, u, T, k: u * np.sign(normal(1 / q) * T * k - load)),
        "wrong sign": moves(lambda load, q, u, T, k: -u * np.sign(q * T * k - load)),
        "proportional to the counts": moves(lambda load, q, u, T, k: u * (q * T * k - load)),
        "proportional to the shares": moves(lambda load, q, u, T, k: u * (q - load / load.sum())),
        "proportional, relative to what is wanted": moves(
            lambda load, q, u, T, k: u * (q * T * k - load) / (q * T * k)
        ),
        "only the change": lambda s, b, q, u, k: (
            *step(s, b, q, u, k)[:2],
            step(s, b, q, u, k)[2] - b,
        ),
        "without u": moves(lambda load, q, u, T, k: np.sign(q * T * k - load)),
        "not updated": moves(lambda load, q, u, T, k: 0),
        "lowered at its share": moves(lambda load, q, u, T, k: u * (2 * (load < q * T * k) - 1)),
        "raised at its share": moves(lambda load, q, u, T, k: u * (1 - 2 * (load > q * T * k))),
        "k forgotten": moves(lambda load, q, u, T, k: u * np.sign(q * T - load)),
        "counts compared with a share": moves(lambda load, q, u, T, k: u * np.sign(q - load)),
        "counts compared with a share (2)": moves(lambda load, q, u, T, k: u * np.sign(32 * q - load)),
        "load without the bias": loads(lambda s, b, k: count(chosen(s, k), len(b))),
        "first choice only": loads(lambda s, b, k: count(chosen(s + b, 1), len(b))),
        "load by the gates": loads(gate_sums(biased=False)),
        "load by the biased gates": loads(gate_sums(biased=True)),
        "load by the scores": loads(lambda s, b, k: s.mean(0)),
        "one way only": moves(lambda load, q, u, T, k: u * (load < q * T * k)),
        "one way only (2)": moves(lambda load, q, u, T, k: np.where(load > q * T * k, -u, 0)),
        "idle left as it was": moves(lambda load, q, u, T, k: np.where(load, u * np.sign(q * T * k - load), 0)),
        "mean subtracted": lambda *case: (*step(*case)[:2], step(*case)[2] - np.mean(step(*case)[2])),
        "clipped": lambda *case: (*step(*case)[:2], step(*case)[2].clip(0)),
        "of all experts": lambda s, b, q, u, k: (step(s, b, q, u, k)[0], normal(s), 0),
        "counted from 1": orders_selected(lambda selected: 1 + selected),
        "a mask": lambda s, b, q, u, k: ((scattered(s, b, q, u, k)[1] > 0), *step(s, b, q, u, k)[1:]),
        "bias moved first": lambda s, b, q, u, k: step(s, step(s, b, q, u, k)[2], q, 0, k),
        "over the batch": weighs(lambda own, biased, s: own / own.sum(0)),
        "over the batch (2)": weighs(lambda own, biased, s: own / own.sum()),
        "softmax (2)": weighs(lambda own, biased, s: np.exp(own) / np.exp(s).sum(1, keepdims=True)),
        "in another order": weighs(lambda own, biased, s: np.sort(normal(own))[:, ::-1]),
        "the slowest or the fastest (2)": moves(lambda load, q, u, T, k: -u * (load / q > (load / q).min())),
        "the slowest or the fastest": moves(lambda load, q, u, T, k: u * (load / q < (load / q).max())),
        "rounded": moves(lambda load, q, u, T, k: u * np.sign((32 * q).astype(int) * T * k // 32 - load)),
        "rounded (2)": moves(lambda load, q, u, T, k: u * np.sign(np.ceil(q * T * k) - load)),
        "rounded (3)": moves(lambda load, q, u, T, k: u * np.sign(np.rint(q * T * k) - load)),
        "more for the slow (2)": moves(lambda load, q, u, T, k: u * np.sign(np.mean(load * q) - load * q)),
        "counts compared with a share (3)": moves(lambda load, q, u, T, k: u * np.sign(q * len(q) - load)),
        "first choice only (2)": lambda s, b, q, u, k: (
            *step(s, b, q, u, k)[:2],
            b + u * np.sign(normal(q) * len(s) * k - count(chosen(s + b, 1), len(b))),
        ),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "10.3": [
        lambda scores, bias, share, u, k: None,
        lambda scores, bias, share, u, k: step(scores, bias, share, u, k)[:2],
        weighs(lambda own, biased, s: own**3 / (own**3).sum(1, keepdims=True)),
        selects(lambda s, b: s + 2 * b),
        moves(lambda load, q, u, T, k: u * np.where(np.arange(len(q)) % 2, 1, -1)),
    ],
}

RIGHT = {
    "10.3": [step, step_by_loops, step_in_torch, step_with_shares, step_by_time, step_in_float32],
}
