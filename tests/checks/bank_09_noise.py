"""Answers to 9.2, 9.3: plausible wrong ones by the mistake that must be named, others, and right ones."""

import math
from statistics import NormalDist

import numpy as np
import torch
from torch.nn import functional

from moe_lessons.routing import top_k

GENERATOR = np.random.default_rng(0)


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def mask(h, k):
    return np.stack([np.isin(np.arange(len(row)), np.argsort(-row, kind="stable")[:k]) for row in h])


# --- 9.2 -------------------------------------------------------------------------------------------------------------


def softplus(z):
    return np.log(1 + np.exp(z))


def gate(h, k):
    return softmax(np.where(mask(h, k), h, -np.inf))


def noisy(rule):
    """Form A over rule(h, x W_noise, rng) in training."""

    def answer(x, W_g, W_noise, k, train, rng):
        h = x @ W_g
        return gate(rule(h, x @ W_noise, rng) if train else h, k)

    return answer


def scaled(scale):
    return noisy(lambda h, z, rng: h + rng.standard_normal(h.shape) * scale(z))


def drawn(draw):
    return noisy(lambda h, z, rng: h + draw(rng, h.shape) * softplus(z))


def afterwards(finish):
    """finish(clean, noisy, k), equal in evaluation."""

    def answer(x, W_g, W_noise, k, train, rng):
        h = x @ W_g
        return finish(h, h + rng.standard_normal(h.shape) * softplus(x @ W_noise) if train else h, k)

    return answer


noisy_right = scaled(softplus)


def placed(n, selected, weights):
    dense = np.zeros(n.shape)
    np.put_along_axis(dense, selected, weights, axis=-1)
    return dense


def largest_first(h, noisy, k):
    """The weights in order of size, written to the selected experts in order of their index."""
    w = np.zeros_like(noisy)
    w[mask(noisy, k)] = softmax(-np.sort(-noisy)[:, :k]).ravel()
    return w


def noisy_in_torch(x, W_g, W_noise, k, train, rng):
    x, W_g, W_noise = (torch.tensor(part) for part in (x, W_g, W_noise))
    h = x @ W_g
    noise = torch.tensor(rng.standard_normal(tuple(h.shape)))
    h = h + noise * functional.softplus(x @ W_noise) * train
    best = h.topk(k)
    return torch.zeros_like(h).scatter(-1, best.indices, torch.softmax(best.values, -1))


def noisy_by_loop(x, W_g, W_noise, k, train, rng):
    rows = []
    for token in x:
        h = [float(token @ W_g[:, i]) for i in range(W_g.shape[1])]
        if train:
            h = [rng.normal(value, math.log1p(math.exp(token @ W_noise[:, i]))) for i, value in enumerate(h)]
        chosen = sorted(range(len(h)), key=lambda i: -h[i])[:k]
        total = sum(math.exp(h[i]) for i in chosen)
        rows.append([math.exp(h[i]) / total if i in chosen else 0 for i in range(len(h))])
    return rows


def above_a_threshold(h, noisy, k):
    e = np.exp(noisy) * (noisy >= nth(noisy, k))
    return e / e.sum(-1, keepdims=True)


def above_the_kth(h, noisy, k):
    e = np.exp(noisy) * (noisy > nth(noisy, k))
    return e / np.maximum(e.sum(-1, keepdims=True), 1e-300)


def before_the_product(scale):
    """The noise times scale(x, W_noise)."""

    def answer(x, W_g, W_noise, k, train, rng):
        h = x @ W_g
        return gate(h + rng.standard_normal(h.shape) * scale(x, W_noise) if train else h, k)

    return answer


def noisy_token_by_token(x, W_g, W_noise, k, train, rng):
    """A row of noise for each token, in single precision."""
    rows = []
    for token in np.float32(x):
        h = token @ np.float32(W_g)
        if train:
            h = h + np.float32(rng.standard_normal(len(h))) * softplus(token @ np.float32(W_noise))
        h[np.argpartition(h, -k)[:-k]] = -np.inf
        rows.append(softmax(h))
    return rows


def noisy_renormalised(x, W_g, W_noise, k, train, rng):
    h = x @ W_g
    if train:
        h = rng.normal(h, softplus(x @ W_noise))
    p = softmax(h) * mask(h, k)
    return p / p.sum(-1, keepdims=True)


# --- 9.3 -------------------------------------------------------------------------------------------------------------


def phi(z):
    return 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))


def nth(h, k):
    return np.take_along_axis(h, np.argsort(-h, axis=-1), axis=-1)[:, k - 1, None]


def others(h, k):
    """The k-th largest of the others, by masking each expert with −∞."""
    without = np.where(np.eye(h.shape[1], dtype=bool), -np.inf, h[:, None, :])  # (T, N, N)
    return -np.sort(-without, axis=-1)[..., k - 1]


def sorted_others(h):
    """The others of each expert, smallest first, (T, N, N − 1)."""
    return np.stack([np.sort(np.delete(h, i, axis=1)) for i in range(h.shape[1])], 1)


def load_with(threshold):
    return lambda clean, noisy, noise_sd, k: phi((clean - threshold(clean, noisy, k)) / noise_sd)


def load_of_gap(formula):
    return lambda clean, noisy, noise_sd, k: formula(clean - others(noisy, k), noise_sd)


def load_from_sorted(places):
    """Thresholds at places(k) of the sorted noisy logits, counted from 0: of the selected, of the others."""

    def threshold(clean, noisy, k):
        ordered = -np.sort(-noisy)
        of_selected, of_others = places(k)
        return np.where(mask(noisy, k), ordered[:, [of_selected]], ordered[:, [of_others]])

    return load_with(threshold)


smooth_by_masking = load_with(lambda clean, noisy, k: others(noisy, k))


def smooth_by_loop(clean, noisy, noise_sd, k):
    T, N = clean.shape
    P = np.zeros((T, N))
    for t in range(T):
        for i in range(N):
            rest = sorted((noisy[t, j] for j in range(N) if j != i), reverse=True)
            P[t, i] = NormalDist(rest[k - 1], noise_sd[t, i]).cdf(clean[t, i])
    return P


def smooth_in_torch(clean, noisy, noise_sd, k):
    clean, noisy, noise_sd = (torch.tensor(part, dtype=torch.float32) for part in (clean, noisy, noise_sd))
    best = noisy.topk(k + 1).values
    threshold = torch.where(noisy > best[:, k:], best[:, k:], best[:, k - 1 : k])
    return torch.distributions.Normal(0.0, 1.0).cdf((clean - threshold) / noise_sd)


def smooth_by_counting(clean, noisy, noise_sd, k):
    draws = GENERATOR.normal(clean, noise_sd, size=(400, *clean.shape))
    return (draws > others(noisy, k)).mean(0)


def above_every_other(clean, noisy, noise_sd, k):
    P = np.ones(clean.shape)
    for i in range(clean.shape[1]):
        for j in range(clean.shape[1]):
            P[:, i] *= phi((clean[:, i] - noisy[:, j]) / noise_sd[:, i]) if j != i else 1
    return P


def divided(x, W_g, W_noise, k, train, rng):
    h = x @ W_g
    if train:
        h = h / softplus(x @ W_noise) + rng.standard_normal(h.shape)
    values, best = top_k(h, k)
    return placed(h, best, softmax(values))


def with_both_noises(clean, noisy, noise_sd, k):
    P = np.zeros(clean.shape)
    for t, i in np.ndindex(clean.shape):
        others = [j for j in np.argsort(-noisy[t]) if j != i]
        j = others[k - 1]
        P[t, i] = phi((clean[t, i] - noisy[t, j]) / np.hypot(noise_sd[t, i], noise_sd[t, j]))
    return P


WRONG = {
    "9.2": {
        "masked with 0, then cut": afterwards(
            lambda h, n, k: softmax(n * (m := placed(n, top_k(n, k)[1], np.ones((len(n), k))))) * m
        ),
        "noise on the probabilities": afterwards(
            lambda h, n, k: placed(n, top_k(softmax(h) + n - h, k)[1], softmax(top_k(softmax(h) + n - h, k)[0]))
        ),
        "divided by the scale": divided,
        "sign in softplus": scaled(lambda z: softplus(-z)),
        "another function": scaled(lambda z: z * z),
        "another function (2)": scaled(np.tanh),
        "another function (3)": scaled(softmax),
        "drawn twice": drawn(lambda rng, shape: rng.standard_normal((2, *shape))[1]),
        "noise of the selected": afterwards(lambda h, n, k: gate(np.where(mask(h, k), n, h), k)),
        "sigmoid weights": afterwards(lambda h, n, k: mask(n, k) / (1 + np.exp(-n))),
        "size of x W_noise": scaled(np.abs),
        "another logarithm": scaled(lambda z: np.log2(1 + np.exp(z))),
        "one scale for all experts": scaled(lambda z: softplus(z).mean(axis=1, keepdims=True)),
        "one scale for all experts (2)": scaled(lambda z: softplus(z).mean()),
        "one scale for all tokens": scaled(lambda z: softplus(z).mean(axis=0)),
        "one scale for all tokens (2)": scaled(lambda z: softplus(z.mean(axis=0))),
        "matrices exchanged": lambda x, W_g, W_noise, k, train, rng: gate(
            x @ W_noise + rng.standard_normal((len(x), W_g.shape[1])) * softplus(x @ W_g) if train else x @ W_g, k
        ),
        "size of the noise": drawn(lambda rng, shape: np.abs(rng.standard_normal(shape))),
        "scale added": noisy(lambda h, z, rng: h + rng.standard_normal(h.shape) + softplus(z)),
        "scale added (2)": noisy(lambda h, z, rng: h + softplus(z)),
        "softplus before the product": before_the_product(lambda x, W: x @ softplus(W)),
        "softplus before the product (2)": before_the_product(lambda x, W: softplus(x) @ W),
        "noise on the tokens": lambda x, W_g, W_noise, k, train, rng: gate(
            (x + rng.standard_normal(x.shape) * train) @ W_g, k
        ),
        "noise on the weights": afterwards(lambda h, n, k: gate(h, k) + n - h),
        "noise on the weights (2)": afterwards(
            lambda h, n, k: (p := softmax(h) + n - h) * mask(p, k) / (p * mask(p, k)).sum(1, keepdims=True)
        ),
        "masked with a finite number": afterwards(lambda h, n, k: softmax(np.where(mask(n, k), n, -10))),
        "masked with a finite number (2)": afterwards(lambda h, n, k: softmax(np.where(mask(n, k), n, -1))),
        "softmax over the tokens": afterwards(
            lambda h, n, k: torch.softmax(torch.tensor(np.where(mask(n, k), n, -1e300)), 0) * torch.tensor(mask(n, k))
        ),
        "not divided": afterwards(lambda h, n, k: np.exp(n) * mask(n, k)),
        "no exponential": afterwards(lambda h, n, k: n * mask(n, k) / (n * mask(n, k)).sum(1, keepdims=True)),
        "smallest kept": afterwards(lambda h, n, k: softmax(np.where(mask(-n, k), n, -np.inf))),
        "one too many": afterwards(lambda h, n, k: gate(n, k + 1)),
        "one too few": afterwards(lambda h, n, k: gate(n, max(k - 1, 1))),
        "one too few (2)": afterwards(above_the_kth),
        "one too few (3)": afterwards(lambda h, n, k: softmax(np.where(n > np.sort(n)[:, [-k]], n, -1e9))),
        "kept probabilities, and no softplus": lambda x, W_g, W_noise, k, train, rng: (
            softmax(h := x @ W_g + train * rng.standard_normal((len(x), W_g.shape[1])) * (x @ W_noise)) * mask(h, k)
        ),
        "k built in": afterwards(lambda h, n, k: gate(n, 2)),
        "k built in (2)": afterwards(lambda h, n, k: gate(n, 1)),
        "largest sizes": afterwards(lambda h, n, k: softmax(np.where(mask(np.abs(n), k), n, -np.inf))),
        "a kept 0 taken for cut": afterwards(
            lambda h, n, k: softmax(np.where(n * mask(n, k) == 0, -np.inf, n * mask(n, k)))
        ),
        "first columns": afterwards(lambda h, n, k: -np.sort(-gate(n, k))),
        "mask": afterwards(lambda h, n, k: mask(n, k)),
        "mask (2)": afterwards(lambda h, n, k: mask(n, k) / k),
        "softmax twice (2)": afterwards(lambda h, n, k: softmax(gate(n, k))),
        "logits (2)": afterwards(lambda h, n, k: np.where(mask(n, k), n, -np.inf)),
        "two things": afterwards(lambda h, n, k: (gate(n, k), top_k(n, k)[1])),
        "noise left on": lambda x, W_g, W_noise, k, train, rng: noisy_right(x, W_g, W_noise, k, True, rng),
        "never noise": lambda x, W_g, W_noise, k, train, rng: gate(x @ W_g, k),
        "flag turned round": lambda x, W_g, W_noise, k, train, rng: noisy_right(x, W_g, W_noise, k, not train, rng),
        "one global scale": scaled(lambda z: 1.0),
        "softplus forgotten": scaled(lambda z: z),
        "softplus twice": scaled(lambda z: softplus(softplus(z))),
        "exp": scaled(np.exp),
        "no logarithm": scaled(lambda z: 1 + np.exp(z)),
        "sigmoid": scaled(lambda z: 1 / (1 + np.exp(-z))),
        "ReLU": scaled(lambda z: np.maximum(0, z)),
        "softplus around all": noisy(lambda h, z, rng: h + softplus(rng.standard_normal(h.shape) * z)),
        "taken for a variance": scaled(lambda z: softplus(z) ** 0.5),
        "squared": scaled(lambda z: softplus(z) ** 2),
        "subtracted": scaled(lambda z: -softplus(z)),
        "softmax twice": afterwards(lambda h, n, k: softmax(np.where(mask(n, k), softmax(n), -np.inf))),
        "weights in the wrong places": afterwards(largest_first),
        "multiplied": noisy(lambda h, z, rng: h * (1 + rng.standard_normal(h.shape) * softplus(z))),
        "noise alone": noisy(lambda h, z, rng: rng.standard_normal(h.shape) * softplus(z)),
        "scale from the logits": noisy(lambda h, z, rng: h + rng.standard_normal(h.shape) * softplus(h)),
        "floor of 0.01": scaled(lambda z: softplus(z) + 1e-2),
        "noise after top-k": afterwards(lambda h, n, k: softmax(np.where(mask(h, k), n, -np.inf))),
        "noise for the choice only": afterwards(lambda h, n, k: softmax(np.where(mask(n, k), h, -np.inf))),
        "masked with 0": afterwards(lambda h, n, k: softmax(n * mask(n, k))),
        "kept probabilities": afterwards(lambda h, n, k: softmax(n) * mask(n, k)),
        "nothing cut": afterwards(lambda h, n, k: softmax(n)),
        "uniform noise": drawn(lambda rng, shape: 2 * rng.random(shape) - 1),
        "uniform from 0": drawn(lambda rng, shape: rng.random(shape)),
        "one draw for each expert": drawn(lambda rng, shape: rng.standard_normal(shape[1])),
        "one draw for each token": drawn(lambda rng, shape: rng.standard_normal((shape[0], 1))),
        "one draw": drawn(lambda rng, shape: rng.standard_normal()),
        "drawn as (N, T)": drawn(lambda rng, shape: rng.standard_normal(shape[::-1]).T),
        "only the selected": afterwards(lambda h, n, k: softmax(-np.sort(-n)[:, :k])),
        "logits": afterwards(lambda h, n, k: n),
        "pair of top_k": afterwards(lambda h, n, k: softmax(np.stack(top_k(n, k)))),
        "pair of top_k (2)": afterwards(lambda h, n, k: top_k(softmax(n), k)),
        "indices for logits": afterwards(lambda h, n, k: softmax(top_k(n, k)[1])),
        "indices for logits (2)": afterwards(lambda h, n, k: placed(n, top_k(n, k)[1], softmax(top_k(n, k)[1]))),
        "not from rng": drawn(lambda rng, shape: GENERATOR.standard_normal(shape)),
    },
    "9.3": {
        "noise of the threshold, too": with_both_noises,
        "halfway": load_with(lambda clean, noisy, k: -np.sort(-noisy)[:, k - 1 : k + 1].mean(axis=1, keepdims=True)),
        "mean of the others": load_with(
            lambda clean, noisy, k: (noisy.sum(1, keepdims=True) - noisy) / (noisy.shape[1] - 1)
        ),
        "along the tokens": load_with(lambda clean, noisy, k: -np.sort(-noisy, axis=0)[[min(k, len(noisy)) - 1]]),
        "k-th from below (2)": load_with(lambda clean, noisy, k: np.sort(noisy)[:, [k]]),
        "k-th from below (3)": load_with(lambda clean, noisy, k: np.sort(noisy)[:, [k - 1]]),
        "own noise": lambda clean, noisy, noise_sd, k: phi((noisy - clean) / noise_sd),
        "product over the others": above_every_other,
        "softmax": lambda clean, noisy, noise_sd, k: k * softmax(clean),
        "scale of the threshold": lambda clean, noisy, noise_sd, k: phi(
            (clean - others(noisy, k))
            / np.array(
                [
                    [sd[list(row).index(t)] for t in thresholds]
                    for row, sd, thresholds in zip(noisy, noise_sd, others(noisy, k), strict=True)
                ]
            )
        ),
        "noisy logit (2)": lambda clean, noisy, noise_sd, k: phi((noisy - nth(noisy, k)) / noise_sd),
        "no Φ (2)": load_of_gap(lambda gap, sd: gap),
        "sigmoid (2)": load_of_gap(lambda gap, sd: 1 / (1 + np.exp(-1.702 * gap / sd))),
        "erf": load_of_gap(lambda gap, sd: np.vectorize(math.erf)(gap / sd)),
        "erf (2)": load_of_gap(lambda gap, sd: (1 + np.vectorize(math.erf)(gap / sd)) / 2),
        "two noises": load_of_gap(lambda gap, sd: phi(gap / np.hypot(sd, sd))),
        "one scale": load_of_gap(lambda gap, sd: phi(gap / sd.mean())),
        "one scale (2)": load_of_gap(lambda gap, sd: phi(gap / sd.mean(axis=1, keepdims=True))),
        "hard count (2)": lambda clean, noisy, noise_sd, k: mask(clean, k),
        "hard count (3)": load_of_gap(lambda gap, sd: (gap > 0) * 1.0),
        "summed over the tokens (2)": lambda *case: smooth_by_masking(*case).mean(0),
        "summed over the experts": lambda *case: smooth_by_masking(*case).sum(1),
        "selected for certain": lambda clean, noisy, noise_sd, k: np.maximum(
            mask(noisy, k), smooth_by_masking(clean, noisy, noise_sd, k)
        ),
        "normalised (2)": lambda clean, noisy, noise_sd, k: (
            k
            * smooth_by_masking(clean, noisy, noise_sd, k)
            / smooth_by_masking(clean, noisy, noise_sd, k).sum(1, keepdims=True)
        ),
        "largest of the others (2)": load_with(lambda clean, noisy, k: noisy.max(axis=1, keepdims=True)),
        "itself counted": load_with(lambda clean, noisy, k: nth(noisy, k)),
        "the next for all": load_with(lambda clean, noisy, k: nth(noisy, k + 1)),
        "thresholds exchanged": load_with(
            lambda clean, noisy, k: np.where(noisy >= nth(noisy, k), nth(noisy, k), nth(noisy, k + 1))
        ),
        "one place too high": load_from_sorted(lambda k: (k - 1, k - 2)),
        "one place too low": load_from_sorted(lambda k: (k + 1, k)),
        "k − 1 of all": load_from_sorted(lambda k: (k - 2, k - 2)),
        "last place taken for none": load_with(
            lambda clean, noisy, k: np.where(noisy > nth(noisy, k), nth(noisy, k + 1), nth(noisy, k))
        ),
        "number k + 1 taken for selected": load_with(
            lambda clean, noisy, k: np.where(noisy >= nth(noisy, k + 1), nth(noisy, k + 1), nth(noisy, k))
        ),
        "clean and noisy exchanged": lambda clean, noisy, noise_sd, k: phi((noisy - others(clean, k)) / noise_sd),
        "only for the selected": lambda clean, noisy, noise_sd, k: (
            mask(noisy, k) * smooth_by_masking(clean, noisy, noise_sd, k)
        ),
        "k − 1": load_with(lambda clean, noisy, k: sorted_others(noisy)[..., -(k - 1)]),
        "k + 1": load_with(lambda clean, noisy, k: others(noisy, k + 1)),
        "k-th from below": load_with(lambda clean, noisy, k: -others(-noisy, k)),
        "largest of the others": load_with(lambda clean, noisy, k: others(noisy, 1)),
        "k is 2": load_with(lambda clean, noisy, k: others(noisy, 2)),
        "clean threshold": load_with(lambda clean, noisy, k: others(clean, k)),
        "selected by the clean logits": load_with(
            lambda clean, noisy, k: np.where(mask(clean, k), nth(noisy, k + 1), nth(noisy, k))
        ),
        "noisy logit": lambda clean, noisy, noise_sd, k: phi((noisy - others(noisy, k)) / noise_sd),
        "noisy logit, not divided": lambda clean, noisy, noise_sd, k: phi(noisy - others(noisy, k)),
        "all clean": lambda clean, noisy, noise_sd, k: phi((clean - nth(clean, k)) / noise_sd),
        "variance": load_of_gap(lambda gap, sd: phi(gap / sd / sd)),
        "root": load_of_gap(lambda gap, sd: phi(gap / sd**0.5)),
        "not divided": load_of_gap(lambda gap, sd: phi(gap)),
        "multiplied": load_of_gap(lambda gap, sd: phi(gap * sd)),
        "sign turned": load_of_gap(lambda gap, sd: 1 - phi(gap / sd)),
        "no Φ": load_of_gap(lambda gap, sd: gap / sd),
        "sigmoid": load_of_gap(lambda gap, sd: torch.sigmoid(torch.tensor(gap / sd))),
        "density": load_of_gap(lambda gap, sd: np.exp(-0.5 * (gap / sd) ** 2) / np.sqrt(2 * np.pi)),
        "hard count": lambda clean, noisy, noise_sd, k: mask(noisy, k).astype(float),
        "summed over the tokens": lambda *case: smooth_by_masking(*case).sum(0),
        "normalised": lambda *case: smooth_by_masking(*case) / smooth_by_masking(*case).sum(1)[:, None],
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "9.2": [
        scaled(lambda z: np.cosh(z)),
        afterwards(lambda h, n, k: gate(n / 2, k)),
        lambda x, W_g, W_noise, k, train, rng: None,
        lambda x, W_g, W_noise, k, train, rng: np.zeros((len(x), W_g.shape[1])),
        scaled(lambda z: 0.5 * softplus(z)),
        drawn(lambda rng, shape: rng.standard_normal((2, *shape)).mean(axis=0)),
        lambda x, W_g, W_noise, k, train, rng: gate(x @ W_g + GENERATOR.normal(size=(len(x), W_g.shape[1])), k),
    ],
    "9.3": [
        load_with(lambda clean, noisy, k: 0.3 * nth(noisy, k) + 0.7 * nth(noisy, k + 1)),
        lambda clean, noisy, noise_sd, k: None,
        lambda clean, noisy, noise_sd, k: np.full(clean.shape, 0.5),
        smooth_by_counting,
        load_of_gap(lambda gap, sd: phi(gap / (2 * sd))),
        lambda clean, noisy, noise_sd, k: "the load",
    ],
}

RIGHT = {
    "9.2": [
        noisy_token_by_token,
        afterwards(above_a_threshold),
        noisy_right,
        noisy_in_torch,
        noisy_by_loop,
        noisy_renormalised,
        afterwards(lambda h, n, k: gate(n, k)),
    ],
    "9.3": [load_from_sorted(lambda k: (k, k - 1)), smooth_by_masking, smooth_by_loop, smooth_in_torch],
}
