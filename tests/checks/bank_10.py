"""Answers to set 10: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import numpy as np
import torch
from torch.nn import functional


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# --- 10.1 ---------------------------------------------------------------------------------------------------------


def served(rank, room=None, number=lambda i: i):
    """Serve (t, j) by rank(t, j, weight), smallest first, with room(C, N) places for each queue number(i)."""

    def answer(selected, weights, capacity, num_experts, priority):
        T, k = selected.shape
        everyone = [(t, j) for t in range(T) for j in range(k)]
        order = sorted(everyone, key=lambda who: rank(priority)(*who, weights[who], weights[who[0]].max()))
        places = room(capacity, num_experts) if room else capacity
        kept, taken = np.zeros((T, k), dtype=bool), {}
        for who in order:
            queue = number(selected[who])
            kept[who] = taken.get(queue, 0) < places
            taken[queue] = taken.get(queue, 0) + 1
        return kept

    return answer


def by_choice(t, j, w, best):
    return (j, t)


def by_weight(t, j, w, best):
    return -w


def orders(position=by_choice, probability=by_weight):
    return lambda priority: position if priority == "position" else probability


kept_by_sorting = served(orders())


def kept_by_walking(selected, weights, capacity, num_experts, priority):
    T, k = selected.shape
    order = [(t, j) for j in range(k) for t in range(T)]
    if priority == "probability":
        order.sort(key=lambda who: weights[who], reverse=True)
    free, kept = [capacity] * num_experts, [[False] * k for _ in range(T)]
    for t, j in order:
        if free[selected[t, j]]:
            free[selected[t, j]] -= 1
            kept[t][j] = True
    return kept


def kept_by_cumsum(selected, weights, capacity, num_experts, priority):
    """One-hot and cumulative sums, as in Mesh TensorFlow."""
    experts, w = torch.tensor(selected).T.flatten(), torch.tensor(weights).T.flatten()
    order = w.argsort(descending=True) if priority == "probability" else torch.arange(len(w))
    hot = functional.one_hot(experts[order], num_experts)
    place = (hot.cumsum(0) * hot).sum(-1)
    kept = torch.zeros(len(w), dtype=torch.bool)
    kept[order] = place <= capacity
    return kept.reshape(selected.shape[::-1]).T


def kept_expert_by_expert(selected, weights, capacity, num_experts, priority):
    kept = np.zeros(selected.shape)
    for i in range(num_experts):
        t, j = np.nonzero(selected == i)
        order = np.lexsort((t, j)) if priority == "position" else np.argsort(-weights[t, j])
        kept[t[order[:capacity]], j[order[:capacity]]] = 1
    return kept


def changed(wrong):
    return lambda selected, weights, C, N, priority: wrong(
        kept_by_sorting(selected, weights, C, N, priority), selected, weights
    )


def columns_apart(selected, weights, C, N, priority):
    parts = [kept_by_sorting(selected[:, [j]], weights[:, [j]], C, N, priority) for j in range(selected.shape[1])]
    return np.concatenate(parts, axis=1)


def left_in_the_queue(selected, weights, C, N, priority):
    order = np.argsort(-weights, axis=None) if priority == "probability" else np.arange(weights.size)
    experts = selected.ravel()[order] if priority == "probability" else selected.T.ravel()
    seen = [0] * N
    kept = []
    for i in experts:
        kept.append(seen[i] < C)
        seen[i] += 1
    return np.array(kept).reshape(selected.shape)


# --- 10.2 ---------------------------------------------------------------------------------------------------------


def cost(load, device, capacity, block):
    rows = [-(-n // block) * block if capacity is None else capacity for n in load.tolist()]
    kept = [min(n, r) for n, r in zip(load.tolist(), rows, strict=True)]
    on = {}
    for d, r in zip(device.tolist(), rows, strict=True):
        on[d] = on.get(d, 0) + r
    return sum(rows) - sum(kept), int(load.sum()) - sum(kept), max(on.values())


def cost_in_numpy(load, device, capacity, block):
    rows = np.ceil(load / block) * block if capacity is None else np.full(len(load), capacity)
    empty, lost = np.maximum(rows - load, 0).sum(), np.maximum(load - rows, 0).sum()
    return {"empty": int(empty), "dropped": int(lost), "busiest": max(rows[device == d].sum() for d in set(device))}


def cost_in_torch(load, device, capacity, block):
    load, device = torch.tensor(load), torch.tensor(device)
    rows = (load + block - 1) // block * block if capacity is None else torch.full_like(load, capacity)
    on = torch.zeros(int(device.max()) + 1, dtype=torch.int64).index_add(0, device, rows)
    return [(rows - load).clamp(min=0).sum(), (load - rows).clamp(min=0).sum(), on.max()]


def cost_by_padding(load, device, capacity, block):
    """Write every row down: 1 where a token sits."""
    slices = []
    for n in load:
        size = capacity if capacity is not None else n + (-n) % block
        slices.append(np.arange(size) < n)
    full = sum(row.sum() for row in slices)
    on = [sum(len(row) for row, d in zip(slices, device, strict=True) if d == i) for i in range(device.max() + 1)]
    return sum(map(len, slices)) - full, load.sum() - full, max(on)


def costs_with(empty=None, dropped=None, busiest=None):
    """The right costs, with some of the three replaced by functions of rows, kept, load, device (and the case)."""

    def answer(load, device, capacity, block):
        rows = -(-load // block) * block if capacity is None else np.full(len(load), capacity)
        parts = rows, np.minimum(load, rows), load, device, capacity, block
        right = cost(load, device, capacity, block)
        return tuple(f(*parts) if f else part for f, part in zip((empty, dropped, busiest), right, strict=True))

    return answer


def cost_in_blocks(rows_of):
    """rows_of(load, block) in the place of whole blocks, where nothing is dropped."""

    def answer(load, device, capacity, block):
        if capacity is not None:
            return cost(load, device, capacity, block)
        rows = rows_of(load, block)
        return (rows - load).sum(), 0, np.bincount(device, weights=rows).max()

    return answer


# --- 10.3 ---------------------------------------------------------------------------------------------------------


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


# --- 10.4 ---------------------------------------------------------------------------------------------------------


def leaning(*experts, N=4, high=3.0, low=0.0):
    """A layer with one token for each expert that is named, in this order."""
    return np.where(np.arange(N) == np.array(experts)[:, None], high, low)


OPPOSITE = np.stack([leaning(0, 1), leaning(2, 3)])  # (2, T, N)


def collapsed(p=0.45, T=4, N=4):
    """A layer in which E1 wins every token, with this probability."""
    return np.tile(np.log([p] + [(1 - p) / (N - 1)] * (N - 1)), (T, 1))


BLIND = np.log(
    [[0.27, 0.28, 0.225, 0.225], [0.27, 0.28, 0.225, 0.225], [0.27, 0.18, 0.28, 0.27], [0.27, 0.18, 0.27, 0.28]]
)
HIDDEN = np.stack([collapsed(), leaning(1, 1, 2, 3, high=20.0)])  # (2, T, N)


# --- 10.5 ---------------------------------------------------------------------------------------------------------

MEASURES = {"A": "lower u", "B": "per layer", "C": "nothing", "D": "raise u", "E": "raise c", "F": "raise u"}


def but(**wrong):
    return MEASURES | wrong


WRONG = {
    "10.1": {
        "token by token": served(orders(position=lambda t, j, w, best: (t, j))),
        "one too many": served(orders(), room=lambda C, N: C + 1),
        "one too few": served(orders(), room=lambda C, N: C - 1),
        "capacity over all experts": served(orders(), number=lambda i: 0),
        "common pool": served(orders(), room=lambda C, N: C * N, number=lambda i: 0),
        "always by position": served(orders(by_choice, by_choice)),
        "always by probability": served(orders(by_weight, by_weight)),
        "priorities exchanged": served(orders(by_weight, by_choice)),
        "smallest weight first": served(orders(probability=lambda t, j, w, best: w)),
        "tokens sorted": served(orders(probability=lambda t, j, w, best: (j, -best))),
        "tokens sorted, all choices at once": served(orders(probability=lambda t, j, w, best: (-best, j))),
        "choices sorted apart": served(orders(probability=lambda t, j, w, best: (j, -w))),
        "each choice apart": columns_apart,
        "not put back": left_in_the_queue,
        "nobody dropped": lambda selected, weights, capacity, num_experts, priority: np.ones(
            selected.shape, dtype=bool
        ),
        "dropped": changed(lambda kept, s, w: ~kept),
        "whole token": changed(lambda kept, s, w: np.tile(kept.all(1)[:, None], kept.shape[1])),
        "weights": changed(lambda kept, s, w: kept * w),
        "choices as rows": changed(lambda kept, s, w: kept.T),
    },
    "10.2": {
        "set off": costs_with(empty=lambda rows, kept, load, *_: rows.sum() - load.sum()),
        "set off (2)": costs_with(
            empty=lambda rows, kept, load, *_: max(rows.sum() - load.sum(), 0),
            dropped=lambda rows, kept, load, *_: max(load.sum() - rows.sum(), 0),
        ),
        "a share": costs_with(empty=lambda rows, kept, *_: (rows - kept).sum() / rows.sum()),
        "full rows": costs_with(empty=lambda rows, kept, *_: kept.sum()),
        "no blocks": cost_in_blocks(lambda load, block: load),
        "one block too many": cost_in_blocks(lambda load, block: load + block - load % block),
        "a block for nobody": cost_in_blocks(lambda load, block: np.ceil(np.maximum(load, 1) / block) * block),
        "filled up once": costs_with(
            empty=lambda rows, kept, load, device, C, block: (rows - kept).sum() if C else -load.sum() % block
        ),
        "a common pool": costs_with(
            dropped=lambda rows, kept, load, device, C, block: 0 if C is None else max(load.sum() - C * len(load), 0)
        ),
        "a common pool (2)": costs_with(dropped=lambda rows, kept, load, *_: load.sum() - rows.sum()),
        "a share of what was asked": costs_with(dropped=lambda rows, kept, load, *_: 1 - kept.sum() / load.sum()),
        "what is kept": costs_with(dropped=lambda rows, kept, *_: kept.sum()),
        "all of a full expert": costs_with(dropped=lambda rows, kept, load, *_: (load * (load > rows)).sum()),
        "experts": costs_with(dropped=lambda rows, kept, load, *_: (load > rows).sum()),
        "an expert": costs_with(busiest=lambda rows, *_: rows.max()),
        "what was asked": costs_with(busiest=lambda rows, kept, load, device, *_: np.bincount(device, load).max()),
        "tokens only": costs_with(busiest=lambda rows, kept, load, device, *_: np.bincount(device, kept).max()),
        "the mean": costs_with(busiest=lambda rows, kept, load, device, *_: rows.sum() / len(set(device))),
        "all rows": costs_with(busiest=lambda rows, *_: rows.sum()),
        "which device": costs_with(busiest=lambda rows, kept, load, device, *_: np.bincount(device, rows).argmax()),
    },
    "10.3": {
        "without the bias": selects(lambda s, b: s),
        "bias subtracted": selects(lambda s, b: s - b),
        "bias multiplied": selects(lambda s, b: s * b),
        "softmax of the scores": selects(lambda s, b: softmax(s) + b),
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
    },
    "10.4": {
        "wrong shape": OPPOSITE[0],
        "not finite": np.where(OPPOSITE > 0, 3, -np.inf),
        "tie": np.zeros((2, 4, 4)),
        "few experts": np.stack([leaning(0, N=2), leaning(1, N=2)]),
        "not collapsed": OPPOSITE,
        "not collapsed (2)": HIDDEN[::-1],  # the layers exchanged
        "layer 2 balanced": np.stack([collapsed(), leaning(0, 1, 2, 3, high=20.0)]),
        "same leaning": np.stack([leaning(0, 0), leaning(0, 0)]),
        "same leaning (2)": np.stack([collapsed(), leaning(0, 0, 2, 3)]),
        "layer 2 too much (2)": 10 * np.eye(8)[:2, None],  # two layers of the lesson
        "winner too sure": np.stack([collapsed(0.7), HIDDEN[1]]),
        "layer 2 too much": np.stack([collapsed(), leaning(1, 1, 1, 1, high=20.0)]),
        "too faint (2)": np.stack([collapsed(0.3), leaning(1, 1, 2, 3, high=1.0)]),
        "blind in each layer": np.stack([collapsed(0.26), BLIND]),
        "too faint": np.stack([collapsed(0.26), HIDDEN[1]]),
    },
    "10.5": {
        "A: raise u": but(A="raise u"),
        "A: raise c": but(A="raise c", F="nothing"),
        "A: nothing": dict.fromkeys("ABCDEF", "nothing"),
        "A: per layer": but(A="per layer"),
        "B: lower u": but(B="lower u"),
        "B: raise u": but(B="raise u"),
        "B: raise c": but(B="raise c"),
        "B: nothing": but(B="nothing"),
        "C: raise c": but(C="raise c"),
        "C: lower u": but(C="lower u"),
        "D: per layer": but(D="per layer"),
        "D: nothing": but(D="nothing"),
        "D: lower u": but(D="lower u"),
        "E: raise u": but(E="raise u"),
        "E: lower u": but(E="lower u"),
        "E: per layer": but(E="per layer"),
        "E: nothing": but(E="Nothing"),
        "F: per layer": but(F=" per  layer "),
        "F: raise c": but(F="raise c"),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "10.1": [
        lambda *case: None,
        lambda selected, weights, capacity, num_experts, priority: weights > 0.5,
        served(orders(), room=lambda C, N: C + 2),
        served(orders(position=lambda t, j, w, best: (j, t % 3, t))),
        served(orders(position=lambda t, j, w, best: (j, -t))),
        lambda *case: "all of them",
    ],
    "10.2": [
        lambda load, device, capacity, block: None,
        lambda load, device, capacity, block: cost(load, device, capacity, block)[:2],
        costs_with(empty=lambda rows, kept, *_: 2 * (rows - kept).sum()),
        costs_with(busiest=lambda rows, kept, load, device, *_: np.bincount(device, rows).min()),
        costs_with(dropped=lambda *_: -1),
    ],
    "10.3": [
        lambda scores, bias, share, u, k: None,
        lambda scores, bias, share, u, k: step(scores, bias, share, u, k)[:2],
        weighs(lambda own, biased, s: own**2 / (own**2).sum(1, keepdims=True)),
        moves(lambda load, q, u, T, k: 2 * u * np.sign(q * T * k - load)),
        selects(lambda s, b: s + 2 * b),
    ],
    "10.4": [
        None,
        "two layers",
        {"layer 1": leaning(0, 1), "layer 2": leaning(2, 3)},
        [[["a", "b"]], [["c", "d"]]],
        leaning,
    ],
    "10.5": [
        None,
        list(MEASURES.values()),
        {run: measure for run, measure in MEASURES.items() if run != "D"},
        but(B="a bias per layer"),
        but(E=1.5),
        dict.fromkeys("ABCDEF", ...) | {"A": "lower u"},
    ],
}

RIGHT = {
    "10.1": [kept_by_sorting, kept_by_walking, kept_by_cumsum, kept_expert_by_expert],
    "10.2": [cost, cost_in_numpy, cost_in_torch, cost_by_padding],
    "10.3": [step, step_by_loops, step_in_torch, step_with_shares, step_by_time],
    "10.4": [
        HIDDEN,
        HIDDEN.tolist(),
        torch.tensor(HIDDEN, dtype=torch.float32),
        [collapsed(0.4), leaning(3, 1, 2, 3, high=20.0)],
        np.stack([collapsed(0.2, T=7, N=8), leaning(*range(1, 7), 1, N=8, high=30.0)]),
        HIDDEN[..., ::-1],  # the last expert is the favourite
    ],
    "10.5": [
        MEASURES,
        but(A="Lower u", B=" per  layer"),
        MEASURES | {"G": "nothing"},
        dict(sorted(MEASURES.items(), reverse=True)),
    ],
}
