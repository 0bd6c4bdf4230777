"""Answers to set 10: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import math
from fractions import Fraction

import numpy as np
import torch
from torch.nn import functional

GENERATOR = np.random.default_rng(0)


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


def of_loads(part):
    """N/T times the mean of part(x, C), over exact binomial probabilities."""

    def answer(T, N, capacity):
        p = 1 / N
        terms = (math.comb(T, x) * p**x * (1 - p) ** (T - x) * part(x, capacity) for x in range(T + 1))
        return N / T * sum(terms)

    return answer


rate = of_loads(lambda x, C: max(x - C, 0))


def rate_that_ends_early(T, N, capacity):
    p = 1 / N
    return N / T * sum((x - capacity) * math.comb(T, x) * p**x * (1 - p) ** (T - x) for x in range(capacity + 1, T))


def rate_with_p_of_tokens(T, N, capacity):
    from scipy.stats import binom

    return N * binom.sf(np.arange(capacity, T), T, 1 / T).sum() / T


def rate_by_tails(T, N, capacity):
    """E[max(X − C, 0)] is the sum of P(X > c) over c ≥ C."""
    from scipy.stats import binom

    return N * binom.sf(np.arange(capacity, T), T, 1 / N).sum() / T


def rate_by_what_is_kept(T, N, capacity):
    from scipy.stats import binom

    x = np.arange(T + 1)
    return 1 - N / T * binom.pmf(x, T, 1 / N) @ np.minimum(x, capacity)


def rate_in_fractions(T, N, capacity):
    ways = sum((x - capacity) * math.comb(T, x) * (N - 1) ** (T - x) for x in range(capacity + 1, T + 1))
    return Fraction(N * ways, T * N**T)


def rate_in_torch(T, N, capacity):
    x = torch.arange(T + 1, dtype=torch.float64)
    p = torch.distributions.Binomial(T, torch.tensor(1 / N, dtype=torch.float64)).log_prob(x).exp()
    return N / T * (p * torch.clamp(x - capacity, min=0)).sum()


def rate_by_throwing(T, N, capacity):
    loads = GENERATOR.binomial(T, 1 / N, size=200_000)
    return N / T * np.maximum(loads - capacity, 0).mean()


def rate_by_poisson(T, N, capacity):
    from scipy.stats import poisson

    return N / T * poisson.sf(np.arange(capacity, 20 * T), T / N).sum()


def rate_by_normal(T, N, capacity):
    from scipy.stats import norm

    mean, sd = T / N, math.sqrt(T / N * (1 - 1 / N))
    z = (mean - capacity) / sd
    return N / T * sd * (norm.pdf(z) + z * norm.cdf(z))


# --- 10.3 ---------------------------------------------------------------------------------------------------------


def chosen(values, k):
    return np.argsort(-values, axis=-1)[:, :k]


def take(values, selected):
    return np.take_along_axis(values, selected, axis=-1)


def count(selected, N):
    return np.bincount(selected.ravel(), minlength=N)


def normal(values):
    return values / values.sum(-1, keepdims=True)


def step(scores, bias, u, k):
    selected = chosen(scores + bias, k)
    load = count(selected, len(bias))
    return selected, normal(take(scores, selected)), bias + u * np.sign(load.mean() - load)


def step_by_loops(scores, bias, u, k):
    N, rows, weights = len(bias), [], []
    load = [0] * N
    for s in scores:
        row = sorted(range(N), key=lambda i: -(s[i] + bias[i]))[:k]
        total = sum(s[i] for i in row)
        rows.append(row)
        weights.append([s[i] / total for i in row])
        for i in row:
            load[i] += 1
    mean = sum(load) / N
    return rows, weights, [b + u * ((n < mean) - (n > mean)) for b, n in zip(bias, load, strict=True)]


def step_in_torch(scores, bias, u, k):
    scores, bias = torch.tensor(scores), torch.tensor(bias)
    selected = (scores + bias).topk(k).indices
    own = scores.gather(1, selected)
    load = torch.zeros(len(bias)).scatter_add(0, selected.flatten(), torch.ones(selected.numel()))
    return {
        "selected": selected,
        "weights": own / own.sum(1, keepdim=True),
        "new_bias": bias + u * (load.mean() - load).sign(),
    }


def step_with_shares(scores, bias, u, k):
    """Shares of T·k, compared with 1/N; exact where an expert is at the mean."""
    selected, weights, _ = step(scores, bias, u, k)
    share = count(selected, len(bias)) / selected.size
    short = 1 / len(bias) - share
    return [selected, weights, np.where(np.abs(short) < 1e-9, bias, bias + np.copysign(u, short))]


def selects(values):
    return lambda s, b, u, k: (chosen(values(s, b), k), *step(s, b, u, k)[1:])


def orders_selected(order):
    return lambda s, b, u, k: (order(step(s, b, u, k)[0]), *step(s, b, u, k)[1:])


def weighs(weights):
    """weights(scores of the selected, biased scores of them, all scores)"""

    def answer(s, b, u, k):
        selected, _, new = step(s, b, u, k)
        return selected, weights(take(s, selected), take(s + b, selected), s), new

    return answer


def scattered(s, b, u, k):
    selected, weights, new = step(s, b, u, k)
    dense = np.zeros(s.shape)
    dense[np.arange(len(s))[:, None], selected] = weights
    return selected, dense, new


def moves(move):
    """b + move(load, u, T, k)"""

    def answer(s, b, u, k):
        selected, weights, _ = step(s, b, u, k)
        return selected, weights, b + move(count(selected, len(b)), u, len(s), k)

    return answer


def loads(load):
    """The right update with load(scores, bias, k)"""

    def answer(s, b, u, k):
        f = load(s, b, k)
        return *step(s, b, u, k)[:2], b + u * np.sign(f.mean() - f)

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
BLIND = np.array([[[0.02, -10, 0, 0], [-10, 0.02, 0, 0]], [[0, 0, 0.02, -10], [0, 0, -10, 0.02]]])


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
        "the mean load": lambda T, N, capacity: max(0, 1 - N * capacity / T),
        "percent": lambda T, N, capacity: 100 * rate(T, N, capacity),
        "T forgotten": rate_that_ends_early,
        "p = 1/T": rate_with_p_of_tokens,
        "absolute": of_loads(lambda x, C: abs(x - C)),
        "kept": lambda T, N, capacity: 1 - rate(T, N, capacity),
        "not divided": lambda T, N, capacity: T * rate(T, N, capacity),
        "one expert, not divided": lambda T, N, capacity: T / N * rate(T, N, capacity),
        "one expert": lambda T, N, capacity: rate(T, N, capacity) / N,
        "not weighted": lambda T, N, capacity: T / N * of_loads(lambda x, C: x > C)(T, N, capacity),
        "not weighted, full counts": lambda T, N, capacity: T / N * of_loads(lambda x, C: x >= C)(T, N, capacity),
        "all of an overflowing expert": of_loads(lambda x, C: x * (x > C)),
        "one place too few": of_loads(lambda x, C: max(x - C + 1, 0)),
        "one place too many": of_loads(lambda x, C: max(x - C - 1, 0)),
        "of the places": lambda T, N, capacity: rate(T, N, capacity) * T / (N * capacity),
        "empty places": lambda T, N, C: of_loads(lambda x, C: max(C - x, 0))(T, N, C) * T / (N * C),
        "empty places per token": of_loads(lambda x, C: max(C - x, 0)),
        "signed": of_loads(lambda x, C: x - C),
        "Poisson": rate_by_poisson,
        "normal": rate_by_normal,
    },
    "10.3": {
        "without the bias": selects(lambda s, b: s),
        "bias subtracted": selects(lambda s, b: s - b),
        "bias multiplied": selects(lambda s, b: s * b),
        "softmax of the scores": selects(lambda s, b: softmax(s) + b),
        "smallest": selects(lambda s, b: -s - b),
        "worst first": orders_selected(lambda selected: np.flip(selected, axis=1)),
        "by number": orders_selected(lambda selected: np.sort(selected, axis=1)),
        "by the score": lambda s, b, u, k: (take(chosen(s + b, k), chosen(take(s, chosen(s + b, k)), k)), 0, 0),
        "exchanged": lambda s, b, u, k: (*step(s, b, u, k)[1::-1], step(s, b, u, k)[2]),
        "bias in the weights": weighs(lambda own, biased, s: normal(biased)),
        "bias in the weights, not normalised": weighs(lambda own, biased, s: biased),
        "not normalised": weighs(lambda own, biased, s: own),
        "normalised over all": weighs(lambda own, biased, s: own / s.sum(1)[:, None]),
        "softmax": weighs(lambda own, biased, s: softmax(own)),
        "for all experts": scattered,
        "wrong sign": moves(lambda load, u, T, k: -u * np.sign(load.mean() - load)),
        "proportional to the counts": moves(lambda load, u, T, k: u * (load.mean() - load)),
        "proportional to the shares": moves(lambda load, u, T, k: u * (1 / len(load) - load / (T * k))),
        "proportional, relative to the mean": moves(lambda load, u, T, k: u * (load.mean() - load) / load.mean()),
        "only the change": lambda s, b, u, k: (*step(s, b, u, k)[:2], step(s, 0 * b + b, u, k)[2] - b),
        "without u": moves(lambda load, u, T, k: np.sign(load.mean() - load)),
        "not updated": moves(lambda load, u, T, k: 0),
        "lowered at the mean": moves(lambda load, u, T, k: u * (2 * (load < load.mean()) - 1)),
        "raised at the mean": moves(lambda load, u, T, k: u * (1 - 2 * (load > load.mean()))),
        "shares compared with k/N": moves(lambda load, u, T, k: u * np.sign(k / len(load) - load / load.sum())),
        "k forgotten": moves(lambda load, u, T, k: u * np.sign(T / len(load) - load)),
        "counts compared with a share": moves(lambda load, u, T, k: u * np.sign(1 / len(load) - load)),
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
        "layers balanced": np.stack([leaning(0, 1, 2, 3), leaning(3, 2, 1, 0)]),
        "one layer balanced": [leaning(0, 0, 1), leaning(0, 1, 2, 3)],
        "same leaning": np.stack([leaning(0, 0), leaning(0, 0)]),
        "not cancelled": np.stack([leaning(0, 0), leaning(2, 3)]),
        "blind in each layer": BLIND,
        "too faint": np.stack([leaning(0, 1, high=0.05), leaning(2, 3, high=0.05)]),
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
        lambda T, N, capacity: None,
        lambda T, N, capacity: 0.05,
        lambda T, N, capacity: 2 * rate(T, N, capacity),
        rate_by_throwing,
        lambda T, N, capacity: [rate(T, N, capacity)] * N,
    ],
    "10.3": [
        lambda scores, bias, u, k: None,
        lambda scores, bias, u, k: step(scores, bias, u, k)[:2],
        weighs(lambda own, biased, s: own**2 / (own**2).sum(1, keepdims=True)),
        moves(lambda load, u, T, k: 2 * u * np.sign(load.mean() - load)),
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
    "10.2": [rate, rate_by_tails, rate_by_what_is_kept, rate_in_fractions, rate_in_torch],
    "10.3": [step, step_by_loops, step_in_torch, step_with_shares],
    "10.4": [
        OPPOSITE,
        OPPOSITE.tolist(),
        torch.tensor(OPPOSITE, dtype=torch.float32),
        [leaning(0, 0, 1, 1), leaning(2, 3, 2, 3, high=3.0)],  # as many tokens, in another order
        np.stack([leaning(*range(8), N=16), leaning(*range(8, 16), N=16)]),
        np.stack([leaning(0, N=2), leaning(1, N=2)]),  # each layer collapsed
        (leaning(0, 1, high=-1.0, low=-4.0), leaning(2, 3, 2, 3)[:2]),
    ],
    "10.5": [
        MEASURES,
        but(A="Lower u", B=" per  layer"),
        MEASURES | {"G": "nothing"},
        dict(sorted(MEASURES.items(), reverse=True)),
    ],
}
