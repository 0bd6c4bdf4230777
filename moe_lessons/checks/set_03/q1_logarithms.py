"""Question 3.1: a tempered softmax."""

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import naive_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value


def tempered_cases(rng: np.random.Generator) -> list[tuple]:
    """Pairs of logits and τ: easy ones, then masks, rows far apart, exact ties, and float32 gaps as small as τ."""
    apart = np.array([[1e4], [-1e4], [0.0]]) + rng.normal(size=(3, 4)).round(2)  # (3, 4)
    masked = rng.normal(size=(2, 5)).round(2) - 1  # (2, 5)
    masked[[0, 1], rng.permutation(5)[:2]] = -np.inf
    tied = rng.normal(size=(2, 6)).round(2) - np.array([[0.0], [30.0]])  # (2, 6)
    tied[:, rng.permutation(6)[:2]] = tied.max(axis=1, keepdims=True)
    near = 0.9 - 1e-6 * rng.uniform(0.2, 2.5, size=(3, 4))  # (3, 4)
    near[:, 0] = -0.5
    return [
        (rng.normal(size=4).round(2), round(float(rng.uniform(0.4, 0.8)), 2)),
        (rng.normal(size=(3, 5)).round(2), round(float(rng.uniform(1.5, 3)), 1)),
        (masked, 0.5),
        (apart, 0.5),
        (tied, 1e-6),
        (near.astype(np.float32), 1e-6),
    ]


def divided_first(h: np.ndarray, tau: float) -> np.ndarray:
    """Divide by τ, round to the dtype of h, and only then subtract the maximum."""
    z = h / h.dtype.type(tau)  # (..., N)
    return naive_softmax(z, z.max(axis=-1, keepdims=True))


def log_probabilities(h: np.ndarray, tau: float) -> np.ndarray:
    """Return ln p instead of p."""
    with np.errstate(divide="ignore"):
        return np.log(routing.softmax(h, tau))


TEMPERED = FunctionQuestion(
    **about("3.1", "Tempered softmax, down to τ = 0.000001", "write it", "medium", points=2, minutes=8),
    hints=(
        "Only gaps between logits count. So you may subtract the largest logit of each row, and then no exponent is above 0.",
        "Subtract first, then divide by τ, then take exponentials. `keepdims=True` keeps the maxima in a shape that fits the rows.",
    ),
    idea="The gaps to the largest logit are exact and at most 0; divided by any τ they stay at most 0, so nothing overflows.",
    answer="my_softmax",
    parameters=("h", "tau"),
    stands_for=("routing.softmax", "routing.gate_weights", "routing.route"),
    when_raised="If it is about shapes: sums and maxima of a batch need `axis=-1, keepdims=True`, so that they fit its rows.",
    cases=tempered_cases,
    reference=routing.softmax,
    mistakes=by_value(
        "overflow: NaN: the exponential of something large is ∞, and ∞/∞ is not a number. Subtract each row's largest logit first, then divide by τ.",
        lambda h, tau: naive_softmax(h / tau),
        "one maximum for the whole batch: You subtracted the largest logit of the whole batch. A row far below it vanishes: 0/0. Each row needs its own maximum.",
        lambda h, tau: naive_softmax((h - h.max()) / tau),
        "one sum for the whole batch: The whole batch sums to 1 here. Each row is one token: it needs its own sum, along the last axis.",
        lambda h, tau: naive_softmax((h - h.max(axis=-1, keepdims=True)) / tau, axis=None),
        "one maximum and one sum for the whole batch: The whole batch sums to 1 here. Each row is one token: it needs its own maximum and its own sum, along the last axis.",
        lambda h, tau: naive_softmax((h - h.max()) / tau, axis=None),
        "overflow, one sum for the whole batch: The whole batch sums to 1 where it does not overflow. Each row is one token: subtract its largest logit first, and divide by its own sum, along the last axis.",
        lambda h, tau: naive_softmax(h / tau, axis=None),
        "wrong axis: Each column sums to 1 here: your softmax runs over the tokens. The experts are the last axis.",
        lambda h, tau: routing.softmax(h, tau, axis=0),
        "mean subtracted: You subtracted the mean. That leaves positive exponents, which overflow, and a row with −∞ has no mean. Subtract the maximum.",
        lambda h, tau: naive_softmax(h / tau, h.mean(axis=-1, keepdims=True) / tau),
        "rounded away: Right except in float32, where you divided by τ before you subtracted: 0.9 / 0.000001 is 900000, which float32 stores in steps of 0.06. Subtract first: the gap is exact.",
        divided_first,
        "multiplied: You multiplied the logits by τ. A small τ must sharpen: divide.",
        lambda h, tau: routing.softmax(h, 1 / tau),
        "τ ignored: These are the probabilities for τ = 1, whatever τ is.",
        lambda h, tau: routing.softmax(h),
        "divided afterwards: You divided the probabilities by τ. They no longer sum to 1: divide the logits.",
        lambda h, tau: routing.softmax(h) / tau,
        "power of probabilities: p to the power 1/τ, over its sum, is right on paper. But 0.3 to the power 1000000 is 0 in any float, and 0/0 is NaN. Divide the gaps between logits instead.",
        lambda h, tau: naive_softmax(log_probabilities(h, 1) / tau),
        "shortcut: For a small τ you give everything to one expert. But small means small against the gaps: equal logits share, and so do logits whose gap is about τ.",
        lambda h, tau: np.eye(h.shape[-1])[h.argmax(axis=-1)] if tau < 1e-3 else routing.softmax(h, tau),
        "mask lost: A logit of −∞ is a mask: its probability is 0. You replaced it by 0, and e⁰ is 1.",
        lambda h, tau: routing.softmax(np.where(np.isinf(h), 0, h), tau),
        "logarithms: These are logarithms of the probabilities. Take the exponential.",
        log_probabilities,
    ),
)
