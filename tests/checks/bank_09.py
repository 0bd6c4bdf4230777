"""Answers to set 09: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import math
from collections import Counter
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


# --- 9.1 ----------------------------------------------------------------------------------------------------------


def statistics_by_counter(selected, num_experts, below):
    counts = Counter(int(i) for row in selected for i in row)
    load = [counts[i] / selected.size for i in range(num_experts)]
    spread = math.sqrt(sum((share - 1 / num_experts) ** 2 for share in load) / num_experts)
    dead = sum(1 for share in load if share < below / num_experts)
    return load, spread * num_experts, max(load) * num_experts - 1, dead


def statistics_in_torch(selected, num_experts, below):
    load = functional.one_hot(torch.tensor(selected), num_experts).float().mean((0, 1))
    mean = load.mean()
    return {
        "load": load,
        "cv": load.std(correction=0) / mean,
        "max_violation": (load.max() - mean) / mean,
        "dead": (load < below * mean).sum(),
    }


def statistics_from_counts(selected, num_experts, below):
    counts = np.array([(selected == i).sum() for i in range(num_experts)])
    return [
        counts / counts.sum(),
        np.sqrt(np.var(counts)) / counts.mean(),
        (counts.max() - counts.mean()) / counts.mean(),
        np.count_nonzero(counts / counts.mean() < below),
    ]


def with_part(name, wrong):
    """The right statistics with one part replaced by wrong(load, N, k, below)."""

    def answer(selected, num_experts, below):
        names, values = ("load", "cv", "max_violation", "dead"), statistics_from_counts(selected, num_experts, below)
        parts = dict(zip(names, values, strict=True))
        parts[name] = wrong(parts["load"], num_experts, selected.shape[1], below)
        return tuple(parts.values())

    return answer


def with_load(load):
    """Statistics that begin with a wrong load(selected, N) and go on from there."""

    def answer(selected, num_experts, below):
        f = load(selected, num_experts)
        return f, f.std() / f.mean(), f.max() / f.mean() - 1, (f < below * f.mean()).sum()

    return answer


# --- 9.2 ----------------------------------------------------------------------------------------------------------


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


def noisy_renormalised(x, W_g, W_noise, k, train, rng):
    h = x @ W_g
    if train:
        h = rng.normal(h, softplus(x @ W_noise))
    p = softmax(h) * mask(h, k)
    return p / p.sum(-1, keepdims=True)


# --- 9.3 ----------------------------------------------------------------------------------------------------------


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


# --- 9.4 ----------------------------------------------------------------------------------------------------------


def count(logits, k):
    T, N = logits.shape
    return torch.bincount(logits.topk(k).indices.flatten(), minlength=N) / (T * k)


def hard(logits, k):
    return torch.zeros_like(logits).scatter(-1, logits.topk(k).indices, 1.0)


def weights(logits, k):
    best = logits.topk(k)
    return torch.zeros_like(logits).scatter(-1, best.indices, torch.softmax(best.values, -1))


def on(device):
    return functional.one_hot(torch.tensor(device)).float()


def switch(logits, k, device=None):
    """The lesson's, over experts."""
    return logits.shape[1] * (count(logits, k) * torch.softmax(logits, -1).mean(0)).sum()


def lesson_cell(h, k, device):
    p = h.softmax(dim=-1)
    P = p.mean(dim=0)
    f = torch.bincount(h.argmax(dim=-1), minlength=h.shape[1]) / len(h)
    return h.shape[1] * (f * P).sum()


def by_device(product):
    """product(F, P, size) of shares, probabilities and sizes of the devices."""

    def answer(logits, k, device):
        E = on(device)
        return product(count(logits, k) @ E, torch.softmax(logits, -1).mean(0) @ E, E.sum(0))

    return answer


devices = by_device(lambda F, P, size: len(F) * F @ P)


def devices_by_loop(logits, k, device):
    T, loss, D = len(logits), 0.0, len(set(device.tolist()))
    chosen, p = logits.topk(k).indices.tolist(), torch.softmax(logits, -1)
    for g in range(D):
        mine = [i for i, place in enumerate(device) if place == g]
        F = sum(i in row for row in chosen for i in mine) / (T * k)
        loss = loss + D * F * sum(p[:, i].mean() for i in mine)
    return loss


def devices_by_index_add(logits, k, device):
    place = torch.tensor(device)
    D = int(place.max()) + 1
    P = torch.zeros(D).index_add(0, place, torch.softmax(logits, -1).mean(0))
    F = torch.bincount(place[logits.topk(k).indices].flatten(), minlength=D) / (len(logits) * k)
    return D * torch.dot(F, P)


def devices_expert_by_expert(logits, k, device):
    """Each expert's probability at the price of its device, in double."""
    place, h = torch.tensor(device), logits.double()
    price = (on(device).double().T @ count(h, k).double())[place]
    return (place.max() + 1) * (price * torch.softmax(h, -1)).sum(-1).mean()


def once_a_token(rescale):
    """Devices that a token goes to count once."""

    def answer(logits, k, device):
        marks = (hard(logits, k) @ on(device)).clamp(max=1)
        P = torch.softmax(logits, -1).mean(0) @ on(device)
        return len(P) * rescale(marks.mean(0), k) @ P

    return answer


def first_choice(logits, k, device):
    E = on(device)
    return E.shape[1] * (E[logits.argmax(-1)].mean(0) @ (torch.softmax(logits, -1).mean(0) @ E))


def likeliest(logits, k, device):
    p = torch.softmax(logits, -1) @ on(device)
    F = functional.one_hot(p.argmax(-1), p.shape[1]).float().mean(0)
    return p.shape[1] * F @ p.mean(0)


def soft_count(soft, alone=False):
    """F has the value of the counted shares and the gradient of `soft`."""

    def answer(logits, k, device):
        carrier = soft(logits, k)
        f = (hard(logits, k) + carrier - carrier.detach()).mean(0) / k
        P = torch.softmax(logits, -1).mean(0) @ on(device)
        return len(P) * (f @ on(device)) @ (P.detach() if alone else P)

    return answer


class DetachedValue(torch.autograd.Function):
    """The right value; the gradient is twice what it should be."""

    @staticmethod
    def forward(ctx, logits, k, device):
        with torch.enable_grad():
            leaf = logits.detach().requires_grad_()
            loss = devices(leaf, k, device)
            (ctx.slope,) = torch.autograd.grad(loss, leaf)
        return loss.detach()

    @staticmethod
    def backward(ctx, v):
        return 2 * v * ctx.slope, None, None


# --- 9.5 ----------------------------------------------------------------------------------------------------------


def dead_hold(N, dead, high=0.01, low=-10.0):
    """One token for each living expert; every dead expert is nearly as likely as the winner."""
    h = np.full((N - dead, N), low)
    h[:, N - dead :] = 0
    h[np.arange(N - dead), np.arange(N - dead)] = high
    return h


def close_seconds(counts, high=0.02, low=-10.0):
    """counts: how many tokens each expert wins. The later half of the experts is a close second wherever it loses."""
    N = len(counts)
    rows = np.full((sum(counts), N), low)
    rows[:, N // 2 :] = 0
    winner = np.repeat(np.arange(N), counts)
    rows[np.arange(len(rows)), winner] = high
    return rows


# From the cells of the lesson: dead experts by a hair, and two experts that both live.
LESSON_DEAD = np.log([[0.5, 1e-30, 0.5, 0.5], [1e-30, 0.5, 0.5, 0.5]]) + 1e-9 * np.eye(2, 4)
LESSON_SPLIT = np.log([[0.51, 0.49]] * 75 + [[1e-30, 1.0]] * 25)
THREE = np.log([[0.36, 1e-6, 0.34]] * 20 + [[1e-6, 0.5, 0.49]] * 8 + [[1e-6, 1e-6, 0.9]] * 2)


WRONG = {
    "9.1": {
        "divided by T": with_load(lambda s, N: np.bincount(s.ravel(), minlength=N) / len(s)),
        "counts": with_load(lambda s, N: np.bincount(s.ravel(), minlength=N)),
        "divided by N": with_load(lambda s, N: np.bincount(s.ravel(), minlength=N) / N),
        "first choice only": with_load(lambda s, N: np.bincount(s[:, 0], minlength=N) / len(s)),
        "no minlength": with_load(lambda s, N: np.bincount(s.flatten()) / s.size),
        "empty left out": with_load(lambda s, N: np.unique(s, return_counts=True)[1] / s.size),
        "relative to the mean": with_load(lambda s, N: np.bincount(s.ravel(), minlength=N) * N / s.size),
        "sample deviation": with_part("cv", lambda f, N, k, b: torch.tensor(f).std() / f.mean()),
        "squared": with_part("cv", lambda f, N, k, b: f.var() / f.mean() ** 2),
        "deviation of the shares": with_part("cv", lambda f, N, k, b: f.std()),
        "turned over": with_part("cv", lambda f, N, k, b: f.mean() / f.std()),
        "variance": with_part("cv", lambda f, N, k, b: f.var() / f.mean()),
        "added, not averaged": with_part("cv", lambda f, N, k, b: np.linalg.norm(f - 1 / N) * N),
        "absolute distances": with_part("cv", lambda f, N, k, b: np.abs(f - f.mean()).mean() * N),
        "around k/N": with_part("cv", lambda f, N, k, b: np.sqrt(((f - k / N) ** 2).mean()) / (k / N)),
        "divided by k/N": with_part("cv", lambda f, N, k, b: f.std() * N / k),
        "ratio": with_part("max_violation", lambda f, N, k, b: f.max() * N),
        "emptiest": with_part("max_violation", lambda f, N, k, b: (f.mean() - f.min()) / f.mean()),
        "emptiest, negative": with_part("max_violation", lambda f, N, k, b: (f.min() - f.mean()) / f.mean()),
        "farthest from the mean": with_part("max_violation", lambda f, N, k, b: np.abs(f - f.mean()).max() / f.mean()),
        "not relative": with_part("max_violation", lambda f, N, k, b: f.max() - f.mean()),
        "divided by the largest": with_part("max_violation", lambda f, N, k, b: (f.max() - f.mean()) / f.max()),
        "range": with_part("max_violation", lambda f, N, k, b: (f.max() - f.min()) / f.mean()),
        "MaxVio around k/N": with_part("max_violation", lambda f, N, k, b: (f.max() - k / N) / (k / N)),
        "at the threshold": with_part("dead", lambda f, N, k, b: (f <= b * f.mean()).sum()),
        "exactly zero": with_part("dead", lambda f, N, k, b: (f == 0).sum()),
        "below not used": with_part("dead", lambda f, N, k, b: (f < f.mean()).sum()),
        "threshold from the median": with_part("dead", lambda f, N, k, b: (f < b * np.median(f)).sum()),
        "threshold not relative": with_part("dead", lambda f, N, k, b: (f < b).sum()),
        "threshold from k/N": with_part("dead", lambda f, N, k, b: (f < b * k / N).sum()),
        "threshold from the fullest": with_part("dead", lambda f, N, k, b: (f < b * f.max()).sum()),
        "alive": with_part("dead", lambda f, N, k, b: (f >= b * f.mean()).sum()),
        "which": with_part("dead", lambda f, N, k, b: np.where(f < b * f.mean())[0]),
        "mask": with_part("dead", lambda f, N, k, b: f < b * f.mean()),
        "share of the experts": with_part("dead", lambda f, N, k, b: (f < b * f.mean()).mean()),
    },
    "9.2": {
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
    "9.4": {
        "over the experts": switch,
        "the lesson's cell": lesson_cell,
        "times N": lambda logits, k, device: logits.shape[1] / (max(device) + 1) * devices(logits, k, device),
        "weighed by size": by_device(lambda F, P, size: (size.sum() / size * F) @ P),
        "tokens counted once": once_a_token(lambda marks, k: marks / marks.sum()),
        "first choice only": first_choice,
        "likeliest device": likeliest,
        "not divided by k": lambda logits, k, device: k * devices(logits, k, device),
        "divided by k twice": lambda logits, k, device: devices(logits, k, device) / k,
        "D missing": by_device(lambda F, P, size: F @ P),
        "mean over the devices": by_device(lambda F, P, size: (F * P).mean()),
        "probabilities summed": lambda logits, k, device: len(logits) * devices(logits, k, device),
        "counts": lambda logits, k, device: len(logits) * k * devices(logits, k, device),
        "1 taken off": lambda logits, k, device: devices(logits, k, device) - 1,
        "probabilities twice": by_device(lambda F, P, size: len(F) * P.square().sum()),
        "shares twice": by_device(lambda F, P, size: len(F) * F.square().sum()),
        "one for each device": by_device(lambda F, P, size: len(F) * F * P),
        "P detached": by_device(lambda F, P, size: len(F) * F @ P.detach()),
        "through the shares too": soft_count(lambda logits, k: torch.softmax(logits, -1)),
        "through the shares alone": soft_count(lambda logits, k: torch.softmax(logits, -1), alone=True),
    },
    "9.5": {
        "wrong shape": [0.01, -10, 0, 0],
        "not finite": [[0.01, -np.inf, 0, 0], [-np.inf, 0.01, 0, 0]],
        "tie": LESSON_DEAD,
        "dead, as in the lesson": dead_hold(4, 2),
        "load too even": close_seconds([9, 9, 1, 1]),
        "two experts": LESSON_SPLIT,
        "one expert has all": np.tile([0.01, 0.0, 0.0, 0.0], (5, 1)),
        "neither": np.eye(4),
        "not far enough": close_seconds([20, 16, 2, 2], low=-0.2),
        "loss not below 1": 3 * np.eye(4)[[0] * 7 + [1, 2, 3]],
        "probabilities": softmax(close_seconds([20, 16, 2, 2], high=0.05)),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "9.1": [
        lambda selected, num_experts, below: None,
        lambda selected, num_experts, below: statistics_from_counts(selected, num_experts, below)[0],
        with_load(lambda s, N: np.full(N, 1 / N)),
        with_part("cv", lambda f, N, k, b: 0.5 * f.std() * N),
        with_part("max_violation", lambda f, N, k, b: f.max()),
        with_part("dead", lambda f, N, k, b: 2),
    ],
    "9.2": [
        lambda x, W_g, W_noise, k, train, rng: None,
        lambda x, W_g, W_noise, k, train, rng: np.zeros((len(x), W_g.shape[1])),
        scaled(lambda z: 0.5 * softplus(z)),
        drawn(lambda rng, shape: rng.standard_normal((2, *shape))[1]),
        lambda x, W_g, W_noise, k, train, rng: gate(x @ W_g + GENERATOR.normal(size=(len(x), W_g.shape[1])), k),
    ],
    "9.3": [
        lambda clean, noisy, noise_sd, k: None,
        lambda clean, noisy, noise_sd, k: np.full(clean.shape, 0.5),
        smooth_by_counting,
        load_of_gap(lambda gap, sd: phi(gap / (2 * sd))),
        lambda clean, noisy, noise_sd, k: "the load",
    ],
    "9.4": [
        lambda logits, k, device: None,
        lambda logits, k, device: devices(logits, k, device).item(),
        lambda logits, k, device: 3 * devices(logits, k, device),
        lambda logits, k, device: devices(logits, k, device) + 1,
        DetachedValue.apply,
        lambda logits, k, device: devices(2 * logits - logits.detach(), k, device),
    ],
    "9.5": [
        None,
        "logits",
        {"logits": [[1, 0], [0, 1]]},
        [[1.0, 0.0], [1.0]],
        dead_hold,
    ],
}

RIGHT = {
    "9.1": [statistics_by_counter, statistics_in_torch, statistics_from_counts],
    "9.2": [
        afterwards(above_a_threshold),
        noisy_right,
        noisy_in_torch,
        noisy_by_loop,
        noisy_renormalised,
        afterwards(lambda h, n, k: gate(n, k)),
    ],
    "9.3": [load_from_sorted(lambda k: (k, k - 1)), smooth_by_masking, smooth_by_loop, smooth_in_torch],
    "9.4": [
        devices,
        devices_by_loop,
        devices_by_index_add,
        devices_expert_by_expert,
        lambda *case: devices(*case)[None],
    ],
    "9.5": [
        close_seconds([20, 16, 2, 2]),
        close_seconds([40, 36, 2, 2]).tolist(),
        torch.tensor(close_seconds([60, *[10] * 9, *[6] * 10]), dtype=torch.float32),
        THREE,
        np.repeat(close_seconds([10, 4, 4, 1, 1, 1], high=1e-2, low=-1000.0), 7, axis=0),
        [[0.3, -9, 0, 0]] * 12 + [[-9, 0.3, 0, 0]] * 8 + [[-9, -9, 0.3, 0]] * 2 + [[-9, -9, 0, 0.3]] * 2,
    ],
}

WRONG["9.1"]["not relative, counts"] = lambda selected, num_experts, below: (
    (counts := np.bincount(selected.ravel(), minlength=num_experts)) / selected.size,
    counts.std() / counts.mean(),
    counts.max() - counts.mean(),
    0,
)
WRONG["9.1"]["deviation of the counts"] = lambda selected, num_experts, below: (
    (counts := np.bincount(selected.ravel(), minlength=num_experts)) / selected.size,
    counts.std(),
    0,
    0,
)
