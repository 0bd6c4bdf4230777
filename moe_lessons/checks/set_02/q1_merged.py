"""Question 2.1: one softmax over logits that lie on several machines."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree
from moe_lessons.checks.verdicts import by_formula, by_test


def sent(machines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return what machines with logits (T, n) send: the largest of each token, and the sum of e^(h − largest)."""
    largest = np.array([h.max(axis=-1) for h in machines])  # (M, T)
    with np.errstate(all="ignore"):
        total = [np.exp(h - top[:, None]).sum(axis=-1) for h, top in zip(machines, largest, strict=True)]
    return largest, np.where(np.isfinite(largest), total, 0)


def merged_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (largest, total): near logits; one machine; one token; logits of any size; tokens with masked machines.

    There, the first two machines have nothing for the first token, and the last nothing for another. What the others
    have for the first token lies so low that a mask that has become a 0 outweighs it.
    """
    near, alone, token, large, masked = (
        [2 * rng.normal(size=(T, rng.integers(2, 6))) + rng.uniform(-2, 2, size=(T, 1)) for _ in range(M)]
        for M, T in ((3, 2), (1, 4), (2, 1), (3, 3), (4, 3))
    )
    levels = np.array([[1e4, -1e4, 0], [-1e4, -1e4, 9e3], [1e4, -9.9e3, -1e4]])  # (M, T)
    large = [h + level[:, None] for h, level in zip(large, levels, strict=True)]
    for others in masked[2:]:
        others[0] -= 1e4
    for machine, t in ((0, 0), (1, 0), (3, 1)):
        masked[machine][t] = -np.inf
    return [sent(machines) for machines in (near, alone, token, large, masked)]


def merged(largest: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the log-sum-exp over the experts of all machines. largest, total: (M, T). Returns (T,)."""
    top = largest.max(axis=0)  # (T,)
    return top + np.log((total * np.exp(largest - top)).sum(axis=0))  # (T,)


def streamed(old: bool, new: bool) -> Callable:
    """Return the merger of (largest, total) machine by machine that rescales the old sum, the new total, or neither."""

    def formula(largest: np.ndarray, total: np.ndarray) -> np.ndarray:
        top, s = largest[0], total[0]
        for other, t in zip(largest[1:], total[1:], strict=True):
            most = np.maximum(top, other)
            s = s * (np.exp(top - most) if old else 1) + t * (np.exp(other - most) if new else 1)
            top = most
        return top + np.log(s)

    return formula


def lost_to_the_mask(value: Any, largest: np.ndarray, total: np.ndarray) -> bool:
    """Tell whether a value (T,) is right where no machine is masked, and no number where one is."""
    masked = np.isinf(largest).any(axis=0)  # (T,)
    if not isinstance(value, np.ndarray) or value.shape != masked.shape or value.dtype.kind != "f":
        return False
    return bool(np.isnan(value[masked]).all() and agree(value[~masked], merged(largest, total)[~masked]))


one_by_one = streamed(old=True, new=True)  # NaN where the first two machines have nothing


def measured_from(zero: Callable) -> Callable:
    """Return the merger of (largest, total) that rescales to `zero` of each token's largest logits. (T,)."""

    def formula(largest: np.ndarray, total: np.ndarray) -> np.ndarray:
        level = zero(largest, axis=0)  # (T,)
        return level + np.log((total * np.exp(largest - level)).sum(axis=0))  # (T,)

    return formula


def clipped_to(limit: float) -> Callable:
    """Return the merger of (largest, total) that keeps the largest logits within a limit. (T,)."""
    return lambda largest, total: np.log((total * np.exp(np.clip(largest, -limit, limit))).sum(axis=0))


def turned_round(limit: float) -> Callable:
    """Return the merger of (largest, total) that rescales by e^(top − largest), with exponents up to a limit. (T,)."""

    def formula(largest: np.ndarray, total: np.ndarray) -> np.ndarray:
        top = largest.max(axis=0)  # (T,)
        return top + np.log((total * np.exp(np.minimum(top - largest, limit))).sum(axis=0))  # (T,)

    return formula


def not_rescaled(total: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of all totals as they are. (T,)."""
    return np.log(total.sum(axis=0))


def quietly(formula: Callable) -> Callable:
    """Return a formula of (largest, total) that says nothing of overflow and of log 0."""
    return np.errstate(all="ignore")(formula)


MERGED = FunctionQuestion(
    **about("2.1", "Several machines, one softmax", "write it", "medium", points=2, minutes=10),
    hints=(
        "Each machine has measured its exponentials from its own largest logit. What must a sum be multiplied by, to be measured from the largest logit of all?",
        "`top = largest.max(axis=0)` is the largest logit of each token. `np.exp(largest - top)` turns every machine's sum into that measure. Then add the sums, take the logarithm, and remember what had been subtracted.",
    ),
    idea="A sum of exponentials can be moved to another zero point by one factor, e^(old − new). With the common largest as zero no factor is above 1, nothing overflows, and a machine with −∞ gets the factor 0.",
    takeaway="Two numbers a token are all that a softmax over many machines has to exchange, and the same two let code read a long row of logits in pieces.",
    answer="my_merged",
    parameters=("largest", "total"),
    stands_for=("routing.log_sum_exp",),
    when_raised="If it is about an axis: the machines are on the first one, `axis=0`. What is left has one number for each token, (T,).",
    cases=merged_cases,
    quiet=True,
    reference=merged,
    mistakes=by_formula(
        quietly,
        "not rescaled: You added the totals as they came. Each is measured from its own machine's largest logit: rescale them to a common one before you add.",
        lambda largest, total: largest.max(axis=0) + not_rescaled(total),
        "not rescaled: You added the totals as they came, and the largest logits are not in it at all. Each total is measured from its own machine's largest logit.",
        lambda largest, total: not_rescaled(total),
        "totals forgotten: This is the lesson's log-sum-exp of `largest`, as if each machine had one expert. How many others there are, and how near, is in `total`.",
        lambda largest, total: routing.log_sum_exp(largest, axis=0),
        "totals forgotten: This is the lesson's log-sum-exp, over the last axis of `largest`. But the machines are on the first axis, and `total` tells how many experts stand behind each of these logits.",
        lambda largest, total: routing.log_sum_exp(largest),
        "totals forgotten: This is the log-sum-exp of `largest` by the formula as it stands, as if each machine had one expert. How many stand behind it is in `total`. And e^10000 overflows: subtract the largest first.",
        lambda largest, total: np.log(np.exp(largest).sum(axis=0)),
        "probabilities: This is the lesson's softmax of the largest logits. Asked is one number for each token, the log-sum-exp over the experts of all machines.",
        (
            lambda largest, total: routing.softmax(largest.T).T,
            lambda largest, total: routing.softmax(largest),
            lambda largest, total: np.exp(largest - largest.max()) / np.exp(largest - largest.max()).sum(),
        ),
        "overflow: Right for ordinary logits. But you multiply by e^largest, and e^10000 is larger than any number the computer has, e^−10000 is 0. Measure from the largest logit of all.",
        lambda largest, total: np.log((total * np.exp(largest)).sum(axis=0)),
        "overflow: Right for ordinary logits. But you do not rescale to the largest of the largest logits, but to the smallest, the mean or the first machine's: then some factors are above 1 and may overflow, and a masked machine takes everything with it. Measure from the largest of all.",
        (
            measured_from(np.min),
            measured_from(lambda largest, axis: np.where(np.isinf(largest), np.inf, largest).min(axis)),
            measured_from(np.mean),
            measured_from(lambda largest, axis: largest[0]),
        ),
        "maximum of the batch: You rescale to the largest logit of the whole batch. For a token far below it every factor is 0, and so is the sum. Take each token's own: `axis=0`.",
        lambda largest, total: largest.max() + np.log((total * np.exp(largest - largest.max())).sum(axis=0)),
        "nothing merged with nothing: Right, but for a token whose first two machines are both masked: −∞ − (−∞) is no number (nan), and it spreads to all that follow. A machine with total 0 must count nothing.",
        one_by_one,
        "largest not added: The sum is rescaled and added up well, and its logarithm is taken. What had been subtracted in the exponents is still missing: add the common largest.",
        lambda largest, total: merged(largest, total) - largest.max(axis=0),
        "logarithm subtracted: You subtracted the logarithm of the rescaled sum from the common largest. The others add to it: the log-sum-exp is never below the largest logit.",
        lambda largest, total: 2 * largest.max(axis=0) - merged(largest, total),
        "old sum not rescaled: You go from machine to machine. When a larger logit comes, the sum so far must be multiplied by e^(old − new): it was measured from the old one.",
        streamed(old=False, new=True),
        "new total not rescaled: You go from machine to machine. Where the new machine's largest logit is the smaller one, its total must be multiplied by e^(its own − largest so far).",
        streamed(old=True, new=False),
        "one more counted: You took ln(1 + sum). The 1 is nobody's: the best machine is in the sum already.",
        lambda largest, total: (
            largest.max(axis=0) + np.log1p((total * np.exp(largest - largest.max(axis=0))).sum(axis=0))
        ),
        "exponential forgotten: You multiplied the totals by the gaps to the common largest. A sum is moved by the factor *e to* the gap.",
        lambda largest, total: largest.max(axis=0) + np.log((total * (largest - largest.max(axis=0))).sum(axis=0)),
        "largest of all added up: You added up the largest logits of all machines. The sums were measured from *one* of them, the common largest: add that one.",
        lambda largest, total: largest.sum(axis=0) + merged(largest, total) - largest.max(axis=0),
        "logarithm forgotten: The sums are right. The log-sum-exp is their *logarithm*, plus the common largest.",
        (
            lambda largest, total: np.exp(merged(largest, total) - largest.max(axis=0)),
            lambda largest, total: largest.max(axis=0) + np.exp(merged(largest, total) - largest.max(axis=0)),
        ),
        "mask made 0: Right, but where a machine is masked. You made a logit of 0 of its −∞, and so a `top` of 0 for a token whose logits lie far below: all its exponentials are lost. e^(−∞) is 0 by itself: leave −∞ as it is.",
        (
            lambda largest, total: merged(np.where(np.isinf(largest), 0, largest), total),
            lambda largest, total: routing.log_sum_exp(np.where(total > 0, largest + np.log(total), 0), axis=0),
        ),
        "clipped: You cut large logits off, so that nothing overflows. Then logits of 9,000 and of 10,000 are the same to you. Measure from the largest of all instead: nothing has to be cut off.",
        tuple(map(clipped_to, (50, 80, 88, 100, 500, 700, 709))),
        "largest only: This is the largest logit of all. The others are rivals too: `total` says how many, and how near.",
        lambda largest, total: largest.max(axis=0),
        "wrong sign: You turned the exponent round. A machine whose largest logit lies below the common one counts less: e^(largest − top) is below 1.",
        lambda largest, total: (
            largest.max(axis=0) + np.log((total * np.exp(largest.max(axis=0) - largest)).sum(axis=0))
        ),
        # The same by somebody who keeps the exponent from overflowing.
        "wrong sign: You turned the exponent round, and then kept it small. A machine whose largest logit lies below the common one counts less: e^(largest − top) is never above 1, and nothing overflows.",
        tuple(map(turned_round, (50, 80, 88, 100, 500, 700, 709))),
        "factor added: You added the factor e^(largest − top) to `total`. A total is moved to another zero point by *multiplying* it.",
        lambda largest, total: (
            largest.max(axis=0) + np.log((total + np.exp(largest - largest.max(axis=0))).sum(axis=0))
        ),
        "divided by M: You took the mean over the machines. Their sums are added up, and nothing is divided.",
        lambda largest, total: merged(largest, total) - np.log(len(total)),
        "shares: These are the shares of the machines. Asked is one number for each token, the log-sum-exp.",
        lambda largest, total: total * np.exp(largest - merged(largest, total)),
        "one number: You merged all tokens as well. Each has a log-sum-exp of its own: `axis=0`.",
        (
            lambda largest, total: largest.max() + np.log((total * np.exp(largest - largest.max())).sum()),
            lambda largest, total: merged(largest.reshape(-1, 1), total.reshape(-1, 1)),
        ),
        "keepdims: The right numbers, with an axis of length 1 too many. Asked is (T,).",
        (lambda largest, total: merged(largest, total)[None], lambda largest, total: merged(largest, total)[:, None]),
        "best machine only: You took each token's best machine. The others' experts are rivals too: every sum is added.",
        (
            lambda largest, total: (largest + np.log(total)).max(axis=0),
            lambda largest, total: (
                largest.max(axis=0) + np.log(total[largest.argmax(axis=0), np.arange(total.shape[1])])
            ),
        ),
        "not merged: These are the log-sum-exps of the single machines. Asked is one number for each token, over the experts of all of them.",
        lambda largest, total: largest + np.log(total),
        "machines averaged: You averaged the machines' log-sum-exps. Sums of exponentials are added, not their logarithms.",
        lambda largest, total: (largest + np.log(total)).mean(axis=0),
        "machines added: You added the machines' log-sum-exps. Sums of exponentials are added, not their logarithms.",
        (
            lambda largest, total: (largest + np.log(total)).sum(axis=0),
            lambda largest, total: np.where(total > 0, largest + np.log(total), 0).sum(axis=0),
        ),
        "over the tokens: You merged along the tokens, so one number for each machine is left. The machines are on the first axis.",
        lambda largest, total: merged(largest.T, total.T),
        "total not logged: You took a log-sum-exp of `largest + total`. A total is a factor, so it is its logarithm that is added to an exponent.",
        lambda largest, total: routing.log_sum_exp(largest + total, axis=0),
        "base 2: You took the logarithm to base 2, and the exponentials to base e. Both are natural.",
        lambda largest, total: largest.max(axis=0) + (merged(largest, total) - largest.max(axis=0)) / np.log(2),
        "base 10: You took the logarithm to base 10, and the exponentials to base e. Both are natural.",
        lambda largest, total: largest.max(axis=0) + (merged(largest, total) - largest.max(axis=0)) / np.log(10),
    )
    + by_test(
        "mask made nan: Right, but where a machine is masked: there nan comes, which is what numpy makes of 0·∞, 0/0 and −∞ − (−∞), and it spreads. Where does a −∞ or a total of 0 meet another than `np.exp(largest - top)`, which is 0 by itself?",
        lost_to_the_mask,
    ),
)
