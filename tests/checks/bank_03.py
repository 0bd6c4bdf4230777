"""Answers to set 03: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import numpy as np
import torch
from scipy.optimize import fsolve, minimize_scalar, root_scalar
from scipy.special import entr, logsumexp
from scipy.special import log_softmax as log_softmax_of_scipy

# --- 3.1 ----------------------------------------------------------------------------------------------------------


def quiet(function):
    """A learner only sees a warning; the tests turn warnings into errors."""

    def run(*arguments):
        with np.errstate(all="ignore"):
            return function(*arguments)

    return run


def exponentials_over_sum(z, axis=-1):
    e = np.exp(z)
    return e / e.sum(axis=axis, keepdims=True)


def row_max(h):
    return h.max(axis=-1, keepdims=True)


def softmax(h, tau=1.0):
    return exponentials_over_sum((h - row_max(h)) / tau)


def column(tau):
    return np.reshape(tau, (*np.shape(tau), 1))


def gaps(h, tau):
    return (h - row_max(h)) / column(tau)


def log_sum(z, axis=-1):
    return np.log(np.exp(z).sum(axis=axis, keepdims=True))


def log_softmax(h, tau):
    return gaps(h, tau) - log_sum(gaps(h, tau))


@quiet
def lessons_cell(h, tau):
    """Lesson 03's `tempered`, and the logarithm of what it returns."""
    e = np.exp((h - h.max(axis=-1, keepdims=True)) / tau)
    return np.log(e / e.sum(axis=-1, keepdims=True))


@quiet
def log_of_softmax(h, tau, kept_up=lambda p: p):
    return np.log(kept_up(exponentials_over_sum(gaps(h, tau))))


@quiet
def hard_below_a_thousandth(h, tau):
    one_hot = np.eye(h.shape[-1])[h.argmax(-1)]
    return np.where(column(tau) < 5e-3, np.log(one_hot), log_softmax(h, tau))


@quiet
def divided_in_float32(h, tau):
    z = h / np.asarray(tau, h.dtype)[..., None]
    return z - row_max(z) - log_sum(z - row_max(z))


def divided_as_numpy_does(h, tau):
    """A number becomes an array of float64 here, one τ each stays float32."""
    z = h / np.expand_dims(tau, -1)
    return z - row_max(z) - log_sum(z - row_max(z))


def log_softmax_by_loops(h, tau):
    taus = np.broadcast_to(tau, len(np.atleast_2d(h)))
    rows = []
    for row, t in zip(np.atleast_2d(h), taus, strict=True):
        z = [(float(value) - float(max(row))) / float(t) for value in row]
        total = np.log(sum(np.exp(value) for value in z))
        rows.append([value - total for value in z])
    return rows if np.ndim(h) > 1 else rows[0]


def log_softmax_in_torch(h, tau):
    h, tau = torch.as_tensor(h), torch.as_tensor(tau)[..., None]
    return torch.log_softmax((h - h.amax(dim=-1, keepdim=True)) / tau, dim=-1)


def log_softmax_by_logaddexp(h, tau):
    z = gaps(h, tau)
    return z - np.logaddexp.reduce(z, axis=-1, keepdims=True)


def in_float64(h, tau):
    return np.asarray(h, dtype=np.float64) / column(tau)


def log_softmax_in_place(h, tau):
    h -= row_max(h)
    h = h.astype(float)
    h /= column(tau)
    h -= np.log(np.exp(h).sum(-1, keepdims=True))
    return h


def log_softmax_turned(h, tau):
    z = (h.T - h.T.max(axis=0)) / tau
    return (z - np.log(np.exp(z).sum(axis=0))).T


# --- 3.2 ----------------------------------------------------------------------------------------------------------


def entropy(p):
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def bisection(h, target, measure=entropy, steps=80):
    low, high = np.ptp(h) * 1e-5, np.ptp(h) * 1e5
    for _ in range(steps):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if measure(softmax(h, middle)) < target else (low, middle)
    return middle


def within(h, target, low, high):
    """Bisection in a fixed interval, whether the entropy changes its side there or not."""
    for _ in range(100):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if entropy(softmax(h, middle)) < target else (low, middle)
    return middle


def round_the_smallest_gap(h, target):
    gap = np.diff(np.unique(h)).min()
    return within(h, target, gap / 3, gap * 3)


def round_the_gap_on_top(h, target):
    gap = np.diff(np.sort(h)[-2:]).item()
    return within(h, target, gap / 20, gap * 20)


def in_the_middle(h, target):
    """Twenty halvings of a wide interval, on a linear scale."""
    low, high = np.ptp(h) * 1e-5, np.ptp(h) * 1e5
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy(softmax(h, middle)) < target else (low, middle)
    return middle


def by_newton_from_one(h, target):
    tau = 1.0
    for _ in range(100):
        p = softmax(h, tau)
        slope = p @ (h - p @ h) ** 2 / tau**3
        if slope < 1e-12:
            break
        tau = max(tau + (target - entropy(p)) / slope, 1e-6)
    return tau


@quiet
def through_nan(h, target):
    """Bisection with an entropy written out: NaN is not below the target, so the search goes down, and down."""
    low, high = 0.0, np.ptp(h) * 1e4
    for _ in range(90):
        middle = (low + high) / 2
        p = softmax(h, middle)
        low, high = (middle, high) if -(p * np.log(p)).sum() < target else (low, middle)
    return middle


@quiet
def up_through_nan(h, target):
    """The same, but it goes up where it meets NaN."""
    low, high = np.log(np.ptp(h)) - 12, np.log(np.ptp(h)) + 12
    for _ in range(90):
        middle = (low + high) / 2
        p = softmax(h, np.exp(middle))
        low, high = (low, middle) if -(p * np.log(p)).sum() > target else (middle, high)
    return np.exp(middle)


def on_a_grid(points):
    def search(h, target):
        taus = np.ptp(h) * np.geomspace(1e-4, 1e4, points)
        return taus[np.abs(entr(softmax(h, taus[:, None])).sum(-1) - target).argmin()]

    return search


def report_of_the_solver(h, target):
    bracket = (np.ptp(h) * 1e-5, np.ptp(h) * 1e5)
    return root_scalar(lambda tau: entropy(softmax(h, tau)) - target, bracket=bracket)


def by_minimising(h, target):
    u = np.log(np.ptp(h))
    found = minimize_scalar(lambda v: (entropy(softmax(h, np.exp(v))) - target) ** 2, bounds=(u - 8, u + 8),
                            method="bounded", options={"xatol": 1e-10})  # fmt: skip
    return np.exp(found.x)


def by_newton_in_torch(h, target):
    h, u = torch.tensor(h), torch.tensor(float(np.log(bisection(h, target, steps=12))), dtype=torch.float64)
    for _ in range(50):
        u.requires_grad_(True)
        log_p = torch.log_softmax(h / u.exp(), -1)
        miss = -(log_p.exp() * log_p).sum() - target
        (slope,) = torch.autograd.grad(miss, u)
        u = (u - torch.clamp(miss / slope, -0.5, 0.5)).detach()
    return u.exp()


@quiet
def by_newton_without_care(h, target):
    """The entropy is written out, so p ln p is NaN where p underflows to 0."""
    tau = np.ptp(h) / 2000
    for _ in range(5):
        here, near = (-(p * np.log(p)).sum() for p in (softmax(h, tau), softmax(h, 1.001 * tau)))
        tau -= (here - target) / (near - here) * 0.001 * tau
    return tau


# --- 3.3 ----------------------------------------------------------------------------------------------------------


def gumbel(h, n, rng):
    return -np.log(-np.log(rng.uniform(size=(n, len(h)))))


def best_first(scores, k):
    return np.argsort(-scores, axis=1)[:, :k]


def among_the_best(h, tau, k, n, rng):
    best = np.argsort(-h)[:k]
    return best[np.argsort(-(h[best] / tau + rng.gumbel(size=(n, k))), axis=1)]


def step_by_step(chances):
    """A sampler that draws place by place from chances(the probabilities of those left, their indices)."""

    def sample(h, tau, k, n, rng):
        p, out = softmax(h, tau), np.zeros((n, k), int)
        for row in out:
            left = np.arange(len(h))
            for place in range(k):
                row[place] = rng.choice(left, p=chances(p[left], left))
                left = left[left != row[place]]
        return out

    return sample


def colder_and_colder(h, tau, k, n, rng):
    z, out = np.tile(h, (n, 1)), []
    for _ in range(k):
        z = z / tau
        out.append((z + rng.gumbel(size=z.shape)).argmax(axis=1))
        z[np.arange(n), out[-1]] = -np.inf
    return np.stack(out, axis=1)


def taken_to_zero(h, tau, k, n, rng):
    z, out = h / tau + gumbel(h, n, rng), []
    for _ in range(k):
        out.append(z.argmax(axis=1))
        z[np.arange(n), out[-1]] = 0
    return np.stack(out, axis=1)


def noisy(scores_and_noise, take=best_first):
    """A sampler that takes the best of scores plus noise, both made by the function given."""
    return lambda h, tau, k, n, rng: take(scores_and_noise(h, tau, n, rng), k)


right_noise = noisy(lambda h, tau, n, rng: h / tau + gumbel(h, n, rng))


def sample_by_loops(h, tau, k, n, rng):
    rows = []
    for _ in range(n):
        scores = h / tau + rng.gumbel(size=len(h))
        rows.append([int(i) for i in sorted(range(len(h)), key=lambda i: -scores[i])[:k]])
    return rows


def sample_by_choice(h, tau, k, n, rng):
    p = softmax(h, tau)
    return np.array([rng.choice(len(h), size=k, replace=False, p=p) for _ in range(n)])


def sample_in_torch(h, tau, k, n, rng):
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    p = torch.softmax(torch.tensor(h) / tau, -1).expand(n, -1)
    return torch.multinomial(p, k, replacement=False, generator=generator)


def by_inversion(p, rng):
    """p (n, N) -> one draw for each row (n,)."""
    below = p.cumsum(axis=1)[:, :-1] / p.sum(axis=1, keepdims=True)
    return (rng.uniform(size=(len(p), 1)) > below).sum(axis=1)


def one_after_the_other(h, tau, k, n, rng):
    p, places = np.tile(softmax(h, tau), (n, 1)), []
    for _ in range(k):
        places.append(by_inversion(p, rng))
        p[np.arange(n), places[-1]] = 0
    return np.stack(places, axis=1)


def with_fresh_noise_each_place(h, tau, k, n, rng):
    """Right: those that are taken have −∞."""
    left, places = np.tile(h / tau, (n, 1)), []
    for _ in range(k):
        places.append((left + rng.gumbel(size=left.shape)).argmax(axis=1))
        left[np.arange(n), places[-1]] = -np.inf
    return np.array(places).T


def with_replacement(h, tau, k, n, rng):
    return np.stack([(h / tau + gumbel(h, n, rng)).argmax(axis=1) for _ in range(k)], axis=1)


def thrown_away(h, tau, k, n, rng):
    kept = np.empty((0, k), dtype=int)
    while len(kept) < n:
        drawn = rng.choice(len(h), size=(n, k), p=softmax(h, tau))
        alike = (np.diff(np.sort(drawn, axis=1), axis=1) == 0).any(axis=1)
        kept = np.concatenate([kept, drawn[~alike]])
    return kept[:n]


def only_first_drawn(h, tau, k, n, rng):
    first = (h / tau + gumbel(h, n, rng)).argmax(axis=1)
    scores = np.tile(h, (n, 1))
    scores[np.arange(n), first] = np.inf
    return best_first(scores, k)


def rest_drawn_evenly(h, tau, k, n, rng):
    first = (h / tau + gumbel(h, n, rng)).argmax(axis=1)
    scores = rng.uniform(size=(n, len(h)))
    scores[np.arange(n), first] = 2
    return best_first(scores, k)


def by_binary_search(h, tau, k, n, rng):
    """Draw by draw, with probabilities of those that are left, as whole numbers in an array of floats."""
    out = np.zeros((n, k))
    for row in out:
        p = softmax(h, tau).copy()
        for place in range(k):
            row[place] = min(np.searchsorted(p.cumsum(), rng.random() * p.sum(), side="right"), len(h) - 1)
            p[int(row[place])] = 0
    return out


def partitioned_and_sorted(h, tau, k, n, rng):
    scores = h / tau + gumbel(h, n, rng)
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
    return np.take_along_axis(best, order, axis=1)


# --- 3.4 and 3.5 --------------------------------------------------------------------------------------------------


def power(exponent):
    return lambda tau, end, left: tau * (end / tau) ** exponent(left)


class Remembering:
    """Right, until it is called with what it returned."""

    last = None

    def __call__(self, tau, end, left):
        value = power(lambda left: 1 / (left + ((tau, end) == self.last)))(tau, end, left)
        self.last = (value, end)
        return value


def next_by_loop(tau, end, left):
    """Bisection for the ratio whose left-th power leads to the end."""
    low, high = 1e-9, 1e9
    for _ in range(200):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if left * np.log(middle) < np.log(end / tau) else (low, middle)
    return tau * middle


def example(logits, tau):
    return {"logits": logits, "tau": tau}


WRONG = {
    "3.1": {
        "mean for sum": lambda h, tau: log_softmax(h, tau) + np.log(h.shape[-1]),
        "not the largest subtracted (3)": quiet(
            lambda h, tau: (z := (h - np.where(np.isinf(h), 0, h).mean(-1, keepdims=True)) / column(tau)) - log_sum(z)
        ),
        "floor (5)": lambda h, tau: np.where(np.isinf(h), -np.inf, (z := np.clip(gaps(h, tau), -700, 0)) - log_sum(z)),
        "floor (6)": lambda h, tau: np.where(
            np.isinf(h), -np.inf, log_of_softmax(h, tau, lambda p: p + np.finfo(p.dtype).tiny)
        ),
        "log of the softmax, τ across": lessons_cell,
        "log of the softmax": log_of_softmax,
        "τ across": lambda h, tau: (z := (h - row_max(h)) / tau) - log_sum(z),
        "floor": lambda h, tau: log_of_softmax(h, tau, lambda p: p + 1e-12),
        "floor (2)": lambda h, tau: log_of_softmax(h, tau, lambda p: np.maximum(p, 1e-300)),
        "floor (4)": lambda h, tau: (z := np.clip(gaps(h, tau), -700, 0)) - log_sum(z),
        "floor (3)": lambda h, tau: log_of_softmax(h, tau, lambda p: np.clip(p, 1e-8, 1)),
        "gaps alone": gaps,
        "sum without logarithm": lambda h, tau: gaps(h, tau) - np.exp(gaps(h, tau)).sum(-1, keepdims=True),
        "divided afterwards": lambda h, tau: log_softmax(h, 1.0) / column(tau),
        "sum at τ = 1": lambda h, tau: gaps(h, tau) - log_sum(h - row_max(h)),
        "logarithm added": quiet(lambda h, tau: gaps(h, tau) + log_sum(gaps(h, tau))),
        "times p": quiet(lambda h, tau: softmax(h, column(tau)) * log_softmax(h, tau)),
        "one more counted": lambda h, tau: gaps(h, tau) - np.log1p(np.exp(gaps(h, tau)).sum(-1, keepdims=True)),
        "divided twice": lambda h, tau: (z := gaps(h, tau) / column(tau)) - log_sum(z),
        "root of τ": lambda h, tau: log_softmax(h, np.asarray(tau) ** 0.5),
        "overflow (2)": quiet(lambda h, tau: (z := h / column(tau) - row_max(h)) - log_sum(z)),
        "mean τ": lambda h, tau: log_softmax(h, np.mean(tau)),
        "mask is NaN": lambda h, tau: np.where(np.isinf(h), np.nan, log_softmax(h, tau)),
        "τ kept up": lambda h, tau: log_softmax(h, np.asarray(tau) + 1e-8),
        "τ kept up (2)": lambda h, tau: log_softmax(h, np.maximum(tau, 1e-3)),
        "overflow": quiet(lambda h, tau: h / column(tau) - log_sum(h / column(tau))),
        "one maximum for the whole batch": quiet(lambda h, tau: (z := (h - np.max(h)) / column(tau)) - log_sum(z)),
        "one sum for the whole batch": lambda h, tau: gaps(h, tau) - log_sum(gaps(h, tau), axis=None),
        "wrong axis": quiet(lambda h, tau: (z := (h - h.max(axis=0)) / column(tau)) - log_sum(z, axis=0)),
        "not the largest subtracted": quiet(
            lambda h, tau: (z := (h - h.mean(-1, keepdims=True)) / column(tau)) - log_sum(z)
        ),
        "not the largest subtracted (2)": quiet(
            lambda h, tau: (z := (h - h.min(-1, keepdims=True)) / column(tau)) - log_sum(z)
        ),
        "one τ for all": lambda h, tau: log_softmax(h, np.ravel(tau)[0]),
        "one τ for all (2)": lambda h, tau: log_softmax(h, np.ravel(tau)[-1]),
        "in float32": lambda h, tau: log_softmax_in_torch(torch.tensor(h).float(), torch.as_tensor(tau).float()),
        "rounded away": divided_in_float32,
        "rounded away (2)": lambda h, tau: (
            (z := h / np.asarray(tau, h.dtype)[..., None]) - logsumexp(z, axis=-1, keepdims=True)
        ),
        "rounded away (3)": divided_as_numpy_does,
        "rounded away (4)": lambda h, tau: (z := h / np.expand_dims(tau, -1)) - logsumexp(z, axis=-1, keepdims=True),
        "rounded away (5)": lambda h, tau: log_softmax_of_scipy(in_float64(h, tau), axis=-1),
        "rounded away (6)": lambda h, tau: (z := in_float64(h, tau)) - np.logaddexp.reduce(z, axis=-1, keepdims=True),
        "rounded away, τ across": quiet(lambda h, tau: (z := h / tau - row_max(h / tau)) - log_sum(z)),
        "rounded away, τ across (2)": lambda h, tau: log_softmax_of_scipy(h / tau, axis=-1),
        "rounded away, log of the softmax": quiet(lambda h, tau: np.log(softmax(h / np.expand_dims(tau, -1)))),
        "rounded away, log of the softmax (2)": quiet(
            lambda h, tau: np.log(softmax(h / np.asarray(tau, h.dtype)[..., None]))
        ),
        "rounded away, log of the softmax, τ across": quiet(lambda h, tau: np.log(softmax(h / tau))),
        "multiplied": lambda h, tau: (z := (h - row_max(h)) * column(tau)) - log_sum(z),
        "τ ignored": lambda h, tau: log_softmax(h, 1),
        "probabilities": lambda h, tau: exponentials_over_sum(gaps(h, tau)),
        "other base": lambda h, tau: log_softmax(h, tau) * np.log10(np.e),
        "other base (2)": lambda h, tau: log_softmax(h, tau) * np.log2(np.e),
        "sign": lambda h, tau: log_sum(gaps(h, tau)) - gaps(h, tau),
        "shortcut": hard_below_a_thousandth,
        "mask lost": lambda h, tau: log_softmax(np.nan_to_num(h, neginf=0), tau),
        "mask is a number": lambda h, tau: np.where(np.isinf(h), -1e9, log_softmax(h, tau)),
        "mask is a number (2)": lambda h, tau: np.nan_to_num(log_softmax(h, tau)),
        "mask is a number (3)": lambda h, tau: log_softmax(np.where(np.isinf(h), -1e4, h), tau),
    },
    "3.2": {
        "bits": lambda h, target: bisection(h, target, measure=lambda p: entropy(p) / np.log(2)),
        "inverse": lambda h, target: 1 / bisection(h, target),
        "natural logarithm": lambda h, target: np.log(bisection(h, target)),
        "decimal logarithm": lambda h, target: np.log10(bisection(h, target)),
        "target returned": lambda h, target: target,
        "scaled once": lambda h, target: target / entropy(softmax(h)),
        "scaled once (2)": lambda h, target: entropy(softmax(h)) / target,
        "exponential of the entropy": lambda h, target: bisection(h, target, measure=lambda p: np.exp(entropy(p))),
        "straight line": lambda h, target: target / np.log(len(h)),
        "share of ln N": lambda h, target: bisection(h, target, measure=lambda p: entropy(p) / np.log(len(h))),
        "turned round": lambda h, target: bisection(h, np.log(len(h)) - target),
        "wrong half": lambda h, target: bisection(h, -target, measure=lambda p: -entropy(p)),
        "end of the interval": lambda h, target: within(h, target, 0.1, 1e6),
        "end of the interval (2)": lambda h, target: within(h, target, 0.01, 100),
        "end of the interval (3)": round_the_smallest_gap,
        "end of the interval (4)": lambda h, target: within(h, target, np.ptp(h) / 10, np.ptp(h)),
        "scaled back": lambda h, target: bisection(h / np.ptp(h), target),
        "too coarse (9)": in_the_middle,
        "interval too short (2)": round_the_gap_on_top,
        "interval too short": lambda h, target: within(h, target, np.ptp(h) / 1e5, 0.9 * np.ptp(h)),
        "ran off": by_newton_from_one,
        "divided by ln N": lambda h, target: bisection(h, target / np.log(len(h))),
        "nats to nats": lambda h, target: bisection(h, target / np.log(2)),
        "best expert only": lambda h, target: bisection(h, target, measure=lambda p: -np.log(p.max())),
        "best two only": lambda h, target: bisection(np.sort(h)[-2:], target),
        "rounded": lambda h, target: max(0.01, round(bisection(h, target), 2)),
        "rounded (2)": lambda h, target: round(bisection(h, target), 4),
        "in proportion": lambda h, target: np.ptp(h) * target / np.log(len(h)),
        "in proportion (2)": lambda h, target: np.std(h) * target,
        "exponential": lambda h, target: np.exp(bisection(h, target)),
        "always the same (2)": lambda h, target: np.ptp(h),
        "steps in τ": lambda h, target: bisection(h, target) + 0.015,
        "too coarse": on_a_grid(300),
        "p ln p at 0": through_nan,
        "p ln p at 0 (2)": up_through_nan,
        "not a temperature": lambda h, target: -bisection(h, target),
        "not a number": by_newton_without_care,
        "always the same": lambda h, target: 100.0,
        "whole report": report_of_the_solver,
    },
    "3.3": {
        "Gaussian noise (2)": noisy(lambda h, tau, n, rng: h / tau + rng.normal(0, np.pi / 6**0.5, (n, len(h)))),
        "only the k best": among_the_best,
        "ranks for indices": noisy(
            lambda h, tau, n, rng: h / tau + gumbel(h, n, rng), lambda z, k: (-z).argsort(1).argsort(1)[:, :k]
        ),
        "not divided again": step_by_step(lambda p, left: np.append(p[:-1], 1 - p[:-1].sum())),
        "τ at each place": colder_and_colder,
        "not taken away": taken_to_zero,
        "one expert each": lambda h, tau, k, n, rng: (h / tau + gumbel(h, n, rng)).argmax(axis=1),
        "with replacement": with_replacement,
        "with replacement (2)": lambda h, tau, k, n, rng: rng.choice(len(h), size=(n, k), p=softmax(h, tau)),
        "τ after the noise": noisy(lambda h, tau, n, rng: (h + gumbel(h, n, rng)) / tau),
        "noise times τ": noisy(lambda h, tau, n, rng: h / tau + tau * gumbel(h, n, rng)),
        "multiplied": noisy(lambda h, tau, n, rng: h * tau + gumbel(h, n, rng)),
        "noise on probabilities": noisy(lambda h, tau, n, rng: softmax(h, tau) + gumbel(h, n, rng)),
        "Gaussian noise": noisy(lambda h, tau, n, rng: h / tau + rng.normal(size=(n, len(h)))),
        "wrong sign": noisy(lambda h, tau, n, rng: h / tau - gumbel(h, n, rng)),
        "one logarithm": noisy(lambda h, tau, n, rng: h / tau - np.log(rng.uniform(size=(n, len(h))))),
        "uniform noise": noisy(lambda h, tau, n, rng: h / tau + rng.uniform(size=(n, len(h)))),
        "logits not used": noisy(lambda h, tau, n, rng: rng.uniform(size=(n, len(h)))),
        "logits turned round": noisy(lambda h, tau, n, rng: gumbel(h, n, rng) - h / tau),
        "smallest taken": lambda h, tau, k, n, rng: np.argsort(h / tau + gumbel(h, n, rng), axis=1)[:, :k],
        "worst first": lambda h, tau, k, n, rng: np.argsort(h / tau + gumbel(h, n, rng), axis=1)[:, -k:],
        "sorted by index": lambda *call: np.sort(right_noise(*call), axis=1),
        "order": lambda *call: (drawn := right_noise(*call))[:, [*range(1, drawn.shape[1]), 0]],
        "order (2)": lambda h, tau, k, n, rng: np.argpartition(-h / tau - gumbel(h, n, rng), k - 1, axis=1)[:, :k],
        "only the first drawn": only_first_drawn,
        "thrown away": thrown_away,
        "rest drawn evenly": rest_drawn_evenly,
        "best always first": noisy(lambda h, tau, n, rng: h / tau + gumbel(h, n, rng) + 1e9 * (h == h.max())),
        "all places": lambda h, tau, k, n, rng: best_first(h / tau + gumbel(h, n, rng), len(h)),
        "values for indices": lambda h, tau, k, n, rng: -np.sort(-h / tau - gumbel(h, n, rng), axis=1)[:, :k],
        "always the largest": lambda h, tau, k, n, rng: np.tile(np.argsort(-h)[:k], (n, 1)),
        "always the largest (2)": noisy(lambda h, tau, n, rng: h / tau + rng.gumbel(size=(n, 1))),
        "one noise for all draws": lambda h, tau, k, n, rng: np.tile(right_noise(h, tau, k, 1, rng), (n, 1)),
        "rng not used": lambda h, tau, k, n, rng: right_noise(h, tau, k, n, np.random.default_rng(0)),
        "another source": lambda h, tau, k, n, rng: right_noise(h, tau, k, n, np.random.default_rng()),
        "counted from one": lambda *call: right_noise(*call) + 1,
        "turned": lambda *call: right_noise(*call).T,
        "one draw": lambda h, tau, k, n, rng: right_noise(h, tau, k, 1, rng)[0],
    },
    "3.4": {
        "lesson's ratio (2)": lambda tau, end, left: max(tau / np.sqrt(2), end),
        "in one direction (3)": lambda tau, end, left: tau * min(end / tau, tau / end) ** (1 / left),
        "one ratio too few": lambda tau, end, left: np.geomspace(tau, end, left)[1],
        "one ratio too few (2)": lambda tau, end, left: end if left == 1 else tau * (end / tau) ** (1 / (left - 1)),
        "one ratio too many": power(lambda left: 1 / (left + 1)),
        "ratio upside down": power(lambda left: -1 / left),
        "ratio upside down (2)": power(lambda left: -1 / (left + 1)),
        "fixed ratio (2)": lambda tau, end, left: max(tau / 2, end),
        "linear": lambda tau, end, left: np.linspace(tau, end, left + 1)[1],
        "linear (2)": lambda tau, end, left: (tau + end) / 2,
        "linear (3)": lambda tau, end, left: tau - (tau - end) / (left - 1),
        "equal steps of 1/τ": lambda tau, end, left: 1 / np.linspace(1 / tau, 1 / end, left + 1)[1],
        "two steps at once": lambda tau, end, left: np.geomspace(tau, end, left + 1)[2],
        "two steps at once (2)": power(lambda left: 2 / left),
        "power for root": power(lambda left: left),
        "start built in": lambda tau, end, left: 4 * (end / 4) ** ((9 - left) / 8),
        "start built in (2)": lambda tau, end, left: np.geomspace(4.0, end, left + 1)[1],
        "start built in (3)": lambda tau, end, left: 4 * 0.0625 ** ((8 - left) / 8),
        "fixed ratio": lambda tau, end, left: 0.9 * tau,
        "step of the logarithm added": lambda tau, end, left: tau + (np.log(end) - np.log(tau)) / left,
        "stays (2)": power(lambda left: 1 // left),
        "cosine": lambda tau, end, left: end + (tau - end) * np.cos(np.pi / left / 2) ** 2,
        "jumps to the end": lambda tau, end, left: end,
        "stays": lambda tau, end, left: tau,
        "half of the way": lambda tau, end, left: (tau * end) ** 0.5,
        "in one direction": lambda tau, end, left: tau * min(1, end / tau) ** (1 / left),
        "in one direction (2)": lambda tau, end, left: end if end > tau else np.geomspace(tau, end, left + 1)[1],
        "lesson's ratio": lambda tau, end, left: tau / np.sqrt(np.sqrt(2)) / np.sqrt(np.sqrt(2)),
        "a fixed number of steps": lambda tau, end, left: tau * (end / tau) ** (1 / 8),
        "begun at the end": lambda tau, end, left: end * (end / tau) ** (1 / left),
        "begun at the end (2)": lambda tau, end, left: np.geomspace(end, tau, left + 1)[1],
        "rounded": lambda tau, end, left: round(tau * (end / tau) ** (1 / left), 2),
        "rounded (2)": lambda tau, end, left: np.round(np.geomspace(tau, end, left + 1)[1], 4),
        "ratio alone": lambda tau, end, left: (end / tau) ** (1 / left),
        "root forgotten": lambda tau, end, left: end / left,
        "logarithm": lambda tau, end, left: np.log(tau) + np.log(end / tau) / left,
        "all that is left": lambda tau, end, left: [tau * (end / tau) ** (i / left) for i in range(1, left + 1)],
        "all that is left (2)": lambda tau, end, left: np.geomspace(tau, end, left + 1),
        "all that is left, one ratio too few": np.geomspace,
        "no last step": lambda tau, end, left: np.geomspace(tau, end, left + 1)[1] if left > 1 else tau,
        "no last step (2)": lambda tau, end, left: np.geomspace(tau, end, left + 1)[1] if left > 1 else 1 / 0,
        "remembers": Remembering(),
    },
    "3.5": {
        "τ not positive": example([0, -110, -105], -1.0),
        "too few experts": example([0, 200], 1.0),
        "tie in the logits": example([0, -110, -110], 1.0),
        "tie before the softmax": example([1.0, 0.5, 0.5 + 1e-9], 1.0),
        "only the order": example([1.0, 2.0, -5e9], 1e9),
        "tie falls right": example([0, -105, -110], 1.0),
        "lead divided": example([105, 0, 1], 10.0),
        "only the third is 0": example([300, 299, 0, 1], 1.0),
        "nearly 0": example([95, 0, 1], 1.0),
        "nearly 0 (2)": example([104, 0, 1], 1.0),
        "still in order, high τ": example([0.1, 0.2, 0.3], 50.0),
        "still in order": example([0, -11, -10], 1.0),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "3.1": [
        lambda h, tau: log_softmax(h, np.asarray(tau) + 0.1),
        lambda h, tau: log_softmax(h, 2 * np.asarray(tau)),
        lambda h, tau: log_softmax(h, tau)[..., :-1],
        lambda h, tau: None,
        lambda h, tau: log_softmax(h, tau).round(1),
        lambda h, tau: log_softmax(h, tau) + 0.001,
    ],
    "3.2": [
        lambda h, target: 2 * bisection(h, target),
        lambda h, target: np.array([bisection(h, target)] * 2),
        lambda h, target: "warm",
        lambda h, target: None,
        lambda h, target: [],
        lambda h, target: {"tau": 1.0},
        lambda h, target: [1.0, [2.0, 3.0]],
    ],
    "3.3": [
        noisy(lambda h, tau, n, rng: h / tau + 3 * gumbel(h, n, rng)),
        noisy(lambda h, tau, n, rng: h / tau + rng.standard_cauchy(size=(n, len(h)))),
        lambda h, tau, k, n, rng: int(np.argmax(h / tau + rng.gumbel(size=len(h)))),
        lambda h, tau, k, n, rng: h / tau + gumbel(h, n, rng),
        lambda h, tau, k, n, rng: softmax(h, tau),
        lambda *call: right_noise(*call) - 1,
        lambda *call: right_noise(*call) + 100,
        lambda h, tau, k, n, rng: [[1], [2, 3]],
        lambda h, tau, k, n, rng: None,
    ],
    "3.4": [
        lambda tau, end, left: power(lambda left: 1 / left)(tau, end, left) + 0.01,
        lambda tau, end, left: 0.87 * tau,
        lambda tau, end, left: None,
        lambda tau, end, left: "colder",
        power(lambda left: 3 / left),
    ],
    "3.5": [
        example([0, -np.inf, -105], 1.0),
        example([[0, -110, -105]], 1.0),
        example([0, -110, 1e300], 1.0),
        example([0, -110, -105], "one"),
        example([0, -110, -105], np.inf),
        example("logits", 1.0),
        {"logits": [0, -110, -105]},
        [0, -110, -105],
        None,
    ],
}

RIGHT = {
    "3.1": [
        log_softmax,
        log_softmax_by_loops,
        log_softmax_in_torch,
        log_softmax_by_logaddexp,
        log_softmax_in_place,
        log_softmax_turned,
        lambda h, tau: log_softmax_of_scipy((h - row_max(h)) / column(tau), axis=-1),
        lambda h, tau: (
            -logsumexp((h[..., None, :] - h[..., :, None]) / column(column(tau)), axis=-1)
            if np.isfinite(h).all()
            else log_softmax(h, tau)
        ),
    ],
    "3.2": [
        bisection,
        on_a_grid(200_001),
        by_minimising,
        by_newton_in_torch,
        lambda h, target: report_of_the_solver(h, target).root,
        lambda h, target: np.exp(
            fsolve(lambda u: entropy(softmax(h, np.exp(u[0]))) - target, np.log(bisection(h, target, steps=10)))
        ),
    ],
    "3.3": [
        right_noise,
        noisy(lambda h, tau, n, rng: h + tau * rng.gumbel(size=(n, len(h)))),
        noisy(lambda h, tau, n, rng: -rng.exponential(size=(n, len(h))) / np.exp(h / tau)),
        noisy(lambda h, tau, n, rng: np.log(softmax(h, tau)) + rng.gumbel(size=(n, len(h)))),
        noisy(lambda h, tau, n, rng: rng.uniform(size=(n, len(h))) ** (1 / softmax(h, tau))),
        sample_by_choice,
        sample_by_loops,
        sample_in_torch,
        one_after_the_other,
        with_fresh_noise_each_place,
        lambda *call: right_noise(*call).astype(float),
        by_binary_search,
        partitioned_and_sorted,
    ],
    "3.4": [
        power(lambda left: 1 / left),
        next_by_loop,
        lambda tau, end, left: np.geomspace(tau, end, left + 1)[1],
        lambda tau, end, left: np.exp(np.log(tau) + (np.log(end) - np.log(tau)) / left),
        lambda tau, end, left: end * (tau / end) ** ((left - 1) / left),
        lambda tau, end, left: torch.tensor([tau ** (1 - 1 / left) * end ** (1 / left)], dtype=torch.float64),
    ],
    "3.5": [
        example([0, -110, -105], 1.0),
        example(np.array([0.0, -1.2, -1.1]), 0.01),
        example(torch.tensor([1.0, 2.0, 3.0]), 1e9),
        example((5, 1, 2, 3), np.float32(1e-3)),
        example([2e6, 0, 1e6], 1000),
        example(np.float32([0.3, 0.1, 0.2, 0.15]), torch.tensor(1e-4)),
    ],
}
