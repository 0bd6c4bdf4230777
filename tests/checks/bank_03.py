"""Answers to set 03: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import numpy as np
import torch
from scipy.optimize import fsolve, minimize_scalar, root_scalar
from scipy.special import entr

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


def hard_below_a_thousandth(h, tau):
    if tau >= 1e-3:
        return softmax(h, tau)
    p = np.zeros(h.shape)
    np.put_along_axis(p, h.argmax(-1)[..., None], 1, axis=-1)
    return p


def softmax_by_loops(h, tau):
    rows = []
    for row in np.atleast_2d(h):
        gaps = [(float(value) - float(max(row))) / tau for value in row]
        total = sum(np.exp(gap) for gap in gaps)
        rows.append([float(np.exp(gap) / total) for gap in gaps])
    return rows if np.ndim(h) > 1 else rows[0]


def softmax_in_torch(h, tau):
    h = torch.tensor(h)
    return torch.softmax((h - h.max(dim=-1, keepdim=True).values) / tau, dim=-1)


def softmax_by_logarithms(h, tau):
    gaps = np.asarray(h, dtype=np.float64) / tau
    return np.exp(gaps - np.logaddexp.reduce(gaps, axis=-1, keepdims=True))


def softmax_in_place(h, tau):
    h -= row_max(h)
    h /= tau
    np.exp(h, out=h)
    h /= h.sum(-1, keepdims=True)
    return h


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
        p = torch.softmax(h / u.exp(), -1)
        miss = torch.special.entr(p).sum() - target
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


def noisy(scores_and_noise, take=np.argmax):
    """A sampler that takes the best of scores plus noise, both made by the function given."""
    return lambda h, tau, n, rng: take(scores_and_noise(h, tau, n, rng), axis=1)


def sample_by_loops(h, tau, n, rng):
    return [int(np.argmax(h / tau + rng.gumbel(size=len(h)))) for _ in range(n)]


def sample_in_torch(h, tau, n, rng):
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    return torch.multinomial(torch.softmax(torch.tensor(h) / tau, -1), n, replacement=True, generator=generator)


def sample_by_inversion(h, tau, n, rng):
    return np.searchsorted(softmax(h, tau).cumsum()[:-1], rng.uniform(size=n))


# --- 3.4 and 3.5 --------------------------------------------------------------------------------------------------


def schedule_by_loops(start, end, steps):
    ratio = (end / start) ** (1 / (steps - 1))
    values = [start]
    while len(values) < steps:
        values.append(values[-1] * ratio)
    return values


def powers(exponents, upside_down=False):
    def schedule(start, end, steps):
        ratio = start / end if upside_down else end / start
        return np.array([start * ratio**exponent for exponent in exponents(steps)])

    return schedule


def example(logits, tau):
    return {"logits": logits, "tau": tau}


WRONG = {
    "3.1": {
        "overflow": quiet(lambda h, tau: exponentials_over_sum(h / tau)),
        "one maximum for the whole batch": quiet(lambda h, tau: exponentials_over_sum((h - np.max(h)) / tau)),
        "one sum for the whole batch": lambda h, tau: exponentials_over_sum((h - row_max(h)) / tau, axis=None),
        "one maximum and one sum for the whole batch": quiet(
            lambda h, tau: exponentials_over_sum((h - np.max(h)) / tau, axis=None)
        ),
        "overflow, one sum for the whole batch": quiet(lambda h, tau: exponentials_over_sum(h / tau, axis=None)),
        "wrong axis": lambda h, tau: exponentials_over_sum((h - h.max(axis=0)) / tau, axis=0),
        "mean subtracted": quiet(lambda h, tau: exponentials_over_sum((h - h.mean(-1, keepdims=True)) / tau)),
        "rounded away": lambda h, tau: exponentials_over_sum(h / tau - row_max(h / tau)),
        "multiplied": lambda h, tau: exponentials_over_sum((h - row_max(h)) * tau),
        "τ ignored": lambda h, tau: softmax(h),
        "divided afterwards": lambda h, tau: softmax(h) / tau,
        "power of probabilities": quiet(
            lambda h, tau: softmax(h) ** (1 / tau) / (softmax(h) ** (1 / tau)).sum(-1, keepdims=True)
        ),
        "shortcut": hard_below_a_thousandth,
        "mask lost": lambda h, tau: softmax(np.where(h == -np.inf, 0.0, h), tau),
        "logarithms": quiet(lambda h, tau: np.log(softmax(h, tau))),
    },
    "3.2": {
        "bits": lambda h, target: bisection(h, target, measure=lambda p: entropy(p) / np.log(2)),
        "inverse": lambda h, target: 1 / bisection(h, target),
        "natural logarithm": lambda h, target: np.log(bisection(h, target)),
        "decimal logarithm": lambda h, target: np.log10(bisection(h, target)),
        "target returned": lambda h, target: target,
        "straight line": lambda h, target: target / np.log(len(h)),
        "too coarse": on_a_grid(300),
        "not a temperature": lambda h, target: -bisection(h, target),
        "not a number": by_newton_without_care,
        "always the same": lambda h, target: 100.0,
        "whole report": report_of_the_solver,
    },
    "3.3": {
        "τ after the noise": noisy(lambda h, tau, n, rng: (h + gumbel(h, n, rng)) / tau),
        "noise times τ": noisy(lambda h, tau, n, rng: h / tau + tau * gumbel(h, n, rng)),
        "multiplied": noisy(lambda h, tau, n, rng: h * tau + gumbel(h, n, rng)),
        "noise on probabilities": noisy(lambda h, tau, n, rng: softmax(h, tau) + gumbel(h, n, rng)),
        "Gaussian noise": noisy(lambda h, tau, n, rng: h / tau + rng.normal(size=(n, len(h)))),
        "wrong sign": noisy(lambda h, tau, n, rng: h / tau - gumbel(h, n, rng)),
        "one logarithm": noisy(lambda h, tau, n, rng: h / tau - np.log(rng.uniform(size=(n, len(h))))),
        "uniform noise": noisy(lambda h, tau, n, rng: h / tau + rng.uniform(size=(n, len(h)))),
        "logits not used": lambda h, tau, n, rng: rng.integers(len(h), size=n),
        "logits turned round": noisy(lambda h, tau, n, rng: gumbel(h, n, rng) - h / tau),
        "smallest taken": noisy(lambda h, tau, n, rng: h / tau + gumbel(h, n, rng), take=np.argmin),
        "always the largest": lambda h, tau, n, rng: np.full(n, np.argmax(h / tau)),
        "one noise for all draws": lambda h, tau, n, rng: np.full(n, np.argmax(h / tau + rng.gumbel(size=len(h)))),
        "rng not used": lambda h, tau, n, rng: sample_by_inversion(h, tau, n, np.random.default_rng(0)),
        "another source": lambda h, tau, n, rng: sample_by_inversion(h, tau, n, np.random.default_rng()),
        "counted from one": lambda h, tau, n, rng: sample_by_inversion(h, tau, n, rng) + 1,
        "wrong axis": lambda h, tau, n, rng: (h / tau + gumbel(h, n, rng)).argmax(0),
        "counts": lambda h, tau, n, rng: np.bincount(sample_by_inversion(h, tau, n, rng), minlength=len(h)),
    },
    "3.4": {
        "both bugs": powers(lambda steps: [s / steps for s in range(steps)], upside_down=True),
        "one ratio too many": powers(lambda steps: [s / steps for s in range(steps)]),
        "two ratios too many": powers(lambda steps: [s / (steps + 1) for s in range(steps)]),
        "one ratio ahead": powers(lambda steps: [s / (steps - 1) for s in range(1, steps + 1)]),
        "one value too few": powers(lambda steps: [s / (steps - 1) for s in range(steps - 1)]),
        "ratio upside down": powers(lambda steps: [s / (steps - 1) for s in range(steps)], upside_down=True),
        "starts late": powers(lambda steps: [(s + 1) / steps for s in range(steps)]),
        "one value too many": powers(lambda steps: [s / steps for s in range(steps + 1)]),
        "linear": lambda start, end, steps: [start + (end - start) * s / (steps - 1) for s in range(steps)],
        "cosine": lambda start, end, steps: (
            end + (start - end) * np.cos(np.pi * np.arange(steps) / (steps - 1) / 2) ** 2
        ),
        "decays towards the end": lambda start, end, steps: (
            end + (start - end) * np.exp(np.log(end / start) * np.linspace(0, 1, steps))
        ),
        "turned round": lambda start, end, steps: np.geomspace(start, end, steps)[::-1],
        "logarithms": lambda start, end, steps: np.linspace(np.log(start), np.log(end), steps),
        "without the start": lambda start, end, steps: np.logspace(0, np.log10(end / start), steps),
    },
    "3.5": {
        "τ not positive": example([0, -110, -105], -1.0),
        "too few experts": example([0, 200], 1.0),
        "tie in the logits": example([0, -110, -110], 1.0),
        "tie before the softmax": example([1.0, 0.5, 0.5 + 1e-9], 1.0),
        "only the order": example([1.0, 2.0, -5e9], 1e9),
        "tie falls right": example([0, -105, -110], 1.0),
        "still in order, high τ": example([0.1, 0.2, 0.3], 50.0),
        "still in order": example([0, -11, -10], 1.0),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "3.1": [
        lambda h, tau: softmax(h, tau + 0.1),
        lambda h, tau: softmax(h, 2 * tau),
        lambda h, tau: softmax(h, tau)[..., :-1],
        lambda h, tau: None,
        lambda h, tau: softmax(h, tau).round(1),
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
        lambda h, tau, n, rng: int(np.argmax(h / tau + rng.gumbel(size=len(h)))),
        lambda h, tau, n, rng: h / tau + gumbel(h, n, rng),
        lambda h, tau, n, rng: softmax(h, tau),
        lambda h, tau, n, rng: sample_by_inversion(h, tau, n, rng) - 1,
        lambda h, tau, n, rng: sample_by_inversion(h, tau, n, rng).astype(float),
        lambda h, tau, n, rng: [[1], [2, 3]],
    ],
    "3.4": [
        lambda start, end, steps: np.geomspace(start, end, steps) + 0.01,
        lambda start, end, steps: np.full(steps, start),
        lambda start, end, steps: end,
        lambda start, end, steps: None,
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
        softmax,
        softmax_by_loops,
        softmax_in_torch,
        softmax_by_logarithms,
        softmax_in_place,
        lambda h, tau: np.einsum("...n,...->...n", e := np.exp((h - row_max(h)) / tau), 1 / e.sum(-1)),
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
        noisy(lambda h, tau, n, rng: h / tau + gumbel(h, n, rng)),
        noisy(lambda h, tau, n, rng: h + tau * rng.gumbel(size=(n, len(h)))),
        noisy(lambda h, tau, n, rng: rng.exponential(size=(n, len(h))) / np.exp(h / tau), take=np.argmin),
        noisy(lambda h, tau, n, rng: np.log(softmax(h, tau)) + rng.gumbel(size=(n, len(h)))),
        lambda h, tau, n, rng: rng.choice(len(h), size=n, p=softmax(h, tau)),
        sample_by_loops,
        sample_in_torch,
        sample_by_inversion,
    ],
    "3.4": [
        np.geomspace,
        schedule_by_loops,
        lambda start, end, steps: np.exp(np.linspace(np.log(start), np.log(end), steps)),
        lambda start, end, steps: torch.logspace(np.log10(start), np.log10(end), steps, dtype=torch.float64),
        powers(lambda steps: [s / (steps - 1) for s in range(steps)]),
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
