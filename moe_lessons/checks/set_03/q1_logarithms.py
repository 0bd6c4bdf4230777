"""Question 3.1: log-probabilities at any temperature."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks import values
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree, is_floats
from moe_lessons.checks.verdicts import by_test, by_value

DEEP = -1e4  # ln p below it does not come out where exponents are clipped, or a small number is added
FINE = 1e-2  # ln p nearer to 0 than this is compared by its decimals, not by its digits


def log_cases(rng: np.random.Generator) -> list[tuple]:
    """Pairs of logits and τ: easy ones, then masks, rows far apart, exact ties, gaps as small as τ, and a τ each.

    Where each token has a τ of its own, there are as many tokens as experts: a τ for each expert fits there as well.
    An array τ has the dtype of the logits: float64 would lift float32 logits. One pair has float64 logits with gaps so
    small that dividing first rounds them away there, too: a more exact dtype does not stand for the idea.
    """
    apart = np.array([[1e4], [-1e4], [0.0]]) + rng.normal(size=(3, 4)).round(2)  # (3, 4)
    return [
        (rng.normal(size=4).round(2), round(float(rng.uniform(0.4, 0.8)), 2)),
        (rng.normal(size=(3, 5)).round(2), round(float(rng.uniform(1.5, 3)), 1)),
        (rng.normal(size=(5, 5)).round(2), rng.permutation([0.3, 0.7, 1.6, 2.5, 4.0])),
        (rng.normal(size=(1, 4)).round(2), np.array([0.6])),
        (masked(rng, 2, 5), 0.5),
        (apart, 0.5),
        (rng.permutation([1e4, 9999.5, 0.0, -3.2, -1e4]), 1e-6),
        (tied(rng), 1e-6),
        (near(rng, 3, 4), 1e-6),
        (9000.5 + 1e-11 * rng.permutation([-1.6, -0.9, -0.4, 0.0]), 1e-11),
        (masked(rng, 4, 4), rng.permutation([1e-6, 1e-3, 0.5, 2.0])),
        (near(rng, 4, 4), rng.permutation(np.array([5e-7, 1e-6, 2e-6, 4e-6], dtype=np.float32))),
    ]


def near(rng: np.random.Generator, T: int, N: int) -> np.ndarray:
    """Return float32 logits (T, N), all but the first of a row near 0.9, with gaps of some millionths."""
    h = 0.9 - 1e-6 * rng.uniform(0.2, 2.5, size=(T, N))  # (T, N)
    h[:, 0] = -0.5
    return h.astype(np.float32)


def masked(rng: np.random.Generator, T: int, N: int) -> np.ndarray:
    """Return logits (T, N), nearly all below 0, with one expert of each token masked."""
    h = rng.normal(size=(T, N)).round(2) - 1  # (T, N)
    h[np.arange(T), rng.permutation(N)[:T]] = -np.inf
    return h


def tied(rng: np.random.Generator) -> np.ndarray:
    """Return logits (2, 6) with two equal largest in each row; one row lies far below the other."""
    h = rng.normal(size=(2, 6)).round(2) - np.array([[0.0], [30.0]])  # (2, 6)
    h[:, rng.permutation(6)[:2]] = h.max(axis=1, keepdims=True)
    return h


def by_digits(value: Any, *_: Any) -> Any:
    """Return ln p on the scale on which it is compared: an entry of −0.7 counts beside one of −10 million."""
    return values.by_digits(value, FINE)


def column(tau: Any) -> np.ndarray:
    """Return τ so that it fits logits (..., N): (1,) for a number, (T, 1) for one τ each."""
    return np.expand_dims(tau, -1)


@np.errstate(all="ignore")
def logs(gaps: np.ndarray, axis: int | None = -1) -> np.ndarray:
    """Return gaps (..., N) minus the logarithm of the sum of their exponentials along `axis`, None for all."""
    return gaps - np.log(np.exp(gaps).sum(axis=axis, keepdims=True))


def gaps_to(largest: np.ndarray, h: np.ndarray, tau: Any) -> np.ndarray:
    """Return the gaps of h (..., N) to `largest`, divided by τ."""
    return (h - largest) / column(tau)


def top(h: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the largest logit of each row of h (..., N), shape (..., 1)."""
    return h.max(axis=axis, keepdims=True)


def log_softmax(h: np.ndarray, tau: Any) -> np.ndarray:
    """Return ln p of h (..., N) at temperature τ. (..., N)."""
    return logs(gaps_to(top(h), h, tau))


@np.errstate(all="ignore")
def log_of_softmax(gaps: np.ndarray) -> np.ndarray:
    """Finish the softmax of gaps (..., N), then take the logarithm."""
    e = np.exp(gaps)  # (..., N)
    return np.log(e / e.sum(axis=-1, keepdims=True))


def across(of: Callable) -> Callable:
    """Return `of` the gaps (..., N) as a function of (h, τ) that gives experts a τ where tokens have one."""
    return lambda h, tau: of((h - top(h)) / np.asarray(tau))


def less_top(z: np.ndarray) -> np.ndarray:
    """Return ln p of logits z (..., N) that are divided already: subtract the maximum, then the logarithm of the sum."""
    return logs(z - top(z))


def less_all(z: np.ndarray) -> np.ndarray:
    """Return ln p of logits z (..., N) that are divided already: subtract the whole log-sum-exp at once."""
    return z - (top(z) + np.log(np.exp(z - top(z)).sum(axis=-1, keepdims=True)))


def less_reduced(z: np.ndarray) -> np.ndarray:
    """Return ln p of logits z (..., N) that are divided already: as `less_all`, added up one logit after the other."""
    return z - np.logaddexp.reduce(z, axis=-1, keepdims=True)


def log_last(z: np.ndarray) -> np.ndarray:
    """Return the logarithm of the finished softmax of z (..., N)."""
    return log_of_softmax(z - top(z))


def divided_first(*ways: Callable, across: bool = False) -> tuple[Callable, ...]:
    """Return functions of (h, τ) that divide h by τ and then go on in one of these ways.

    The division is done in the dtype of h, as numpy does it, where a number τ in an array is float64, and in float64.
    With `across`, experts get a τ where tokens have one.
    """

    def of(way: Callable, lifted: Callable) -> Callable:
        @np.errstate(all="ignore")
        def ln_p(h: np.ndarray, tau: Any) -> np.ndarray:
            by = np.asarray(tau) if across else column(tau)  # (N,) or (..., 1)
            return way(np.divide(*lifted(h, by)))

        return ln_p

    lifts = (
        lambda h, by: (h, by.astype(h.dtype)),
        lambda h, by: (h, by),
        lambda h, by: (h.astype(float), by),
    )
    return tuple(of(way, lifted) for way in ways for lifted in lifts)


@np.errstate(all="ignore")
def one_winner(h: np.ndarray, tau: Any) -> np.ndarray:
    """Return ln p, but where τ is small everything for the first of the largest."""
    hard = np.log(np.eye(h.shape[-1])[h.argmax(axis=-1)])  # (..., N)
    return np.where(column(tau) < 1e-2, hard, log_softmax(h, tau))


@np.errstate(all="ignore")
def with_mean(h: np.ndarray, tau: Any) -> np.ndarray:
    """Subtract the mean of each row in place of its largest. (..., N)."""
    return logs(gaps_to(h.mean(axis=-1, keepdims=True), h, tau))


def in_float32(h: np.ndarray, tau: Any) -> np.ndarray:
    """Return ln p as it comes out in float32. (..., N)."""
    return log_softmax(h.astype(np.float32), np.asarray(tau, dtype=np.float32))


def divided_unevenly(h: np.ndarray, tau: Any) -> np.ndarray:
    """Return ln p of h/τ less the largest of h itself, which was not divided. (..., N)."""
    return logs(h / column(tau) - top(h))


def with_one_more(h: np.ndarray, tau: Any) -> np.ndarray:
    """Return gaps less ln(1 + Σ e^gap). (..., N)."""
    g = gaps_to(top(h), h, tau)
    return g - np.log1p(np.exp(g).sum(axis=-1, keepdims=True))


LEAST_TAUS = 10.0 ** -np.arange(2, 13)


def has_least_tau(value: Any, h: np.ndarray, tau: Any) -> bool:
    """Tell whether scaled values are right for a τ that a small number was added to, or that is kept above one."""
    raised = (way(np.asarray(tau, dtype=float), least) for least in LEAST_TAUS for way in (np.add, np.maximum))
    return any(agree(value, by_digits(log_softmax(h, other))) for other in raised)


def nan_where_masked(value: Any, h: np.ndarray, tau: Any) -> bool:
    """Tell whether scaled values are right, but for NaN where an expert is masked, or in its whole row."""
    if not is_floats(value, h.shape):
        return False
    lost, right = np.isnan(value), by_digits(log_softmax(h, tau))  # (..., N) each
    cut = np.isneginf(h)  # (..., N)
    fits = np.array_equal(lost, cut) or np.array_equal(lost, cut | cut.any(axis=-1, keepdims=True))
    return fits and bool(np.allclose(value[~lost], right[~lost], rtol=0, atol=1e-3))


def finite_where_masked(value: Any, h: np.ndarray, tau: Any) -> bool:
    """Tell whether scaled values are right, but for a number where an expert is masked."""
    if not is_floats(value, h.shape):
        return False
    cut, right = np.isneginf(h), by_digits(log_softmax(h, tau))  # (..., N) each
    return bool(np.isfinite(value[cut]).all() and np.allclose(value[~cut], right[~cut], rtol=0, atol=1e-3))


@np.errstate(all="ignore")
def has_floor(value: Any, h: np.ndarray, tau: Any) -> bool:
    """Tell whether scaled values are ln p, kept from falling below each row's smallest by a maximum or a small number."""
    if not is_floats(value, h.shape) or np.isneginf(value[np.isneginf(h)]).any():
        return False
    came, right = values.from_digits(value, FINE), log_softmax(h, tau)  # (..., N) each
    least = came.min(axis=-1, keepdims=True)  # (..., 1)
    lost = np.isneginf(came) & (h.dtype == np.float32)  # (..., N), a number too small for float32
    ways = np.maximum(right, least), np.logaddexp(right, least)  # (..., N) each
    return bool(np.any([np.isclose(came, way, rtol=1e-3, atol=1e-3) for way in ways], axis=0)[~lost].all())


def has_floor_and_masks(value: Any, h: np.ndarray, tau: Any) -> bool:
    """Tell whether scaled values have a floor, but for masked experts, which are −∞ as they should be."""
    cut = np.isneginf(h)  # (..., N)
    if not is_floats(value, h.shape) or not np.isneginf(value[cut]).all():
        return False
    came, right = values.from_digits(value, FINE), log_softmax(h, tau)  # (..., N) each
    deep = ~cut & (right < DEEP)  # (..., N)
    if np.isclose(came[deep], right[deep], rtol=1e-2).any():
        return False
    least = np.where(cut, np.inf, value).min(axis=-1, keepdims=True)  # (..., 1)
    return has_floor(np.where(cut, least, value), h, tau)


LOGARITHMS = FunctionQuestion(
    **about("3.1", "Log-probabilities at any temperature", "write it", "medium", points=2, minutes=11),
    hints=(
        "ln p is the logarithm of a quotient: e^z over a sum, with z = h/τ. Write it as a difference first. Which part of it then needs no exponential at all?",
        "ln p = g − ln Σ e^g, where g are the gaps to the largest logit of the row, divided by τ. One τ for each token has to stand as a column: `np.expand_dims(tau, -1)` makes (T, 1) of (T,).",
    ),
    idea="Subtract first, divide next, and never leave the log: the gap is the logarithm already, and only the sum, which is at least 1, passes through the exponential.",
    takeaway="Losses and log-likelihoods want ln p itself: frameworks have a log_softmax because the logarithm of a finished softmax is −∞ as soon as p underflows.",
    answer="my_log_softmax",
    parameters=("h", "tau"),
    stands_for=("routing.softmax", "routing.gate_weights", "routing.route"),
    when_raised="If it is about shapes: maxima and sums of a batch need `axis=-1, keepdims=True`. One τ for each token, (T,), becomes a column, (T, 1), by `np.expand_dims(tau, -1)`, which serves a single number, too.",
    cases=log_cases,
    reference=lambda h, tau: by_digits(log_softmax(h, tau)),
    read=by_digits,
    shown=lambda got, right, h, tau: values.difference_by_digits(got, right, FINE),
    mistakes=by_value(
        "log of the softmax: Right, until a probability is too small for a float: then it is stored as 0, and its logarithm is −∞. Only a masked expert may have −∞. The logarithm cannot come last: ln of e^g is g, so take it before the exponential is lost.",
        lambda h, tau: log_of_softmax(gaps_to(top(h), h, tau)),
        "log of the softmax, τ across: Two things. A probability that is too small for a float is stored as 0, and its logarithm is −∞: do not leave the log. And where each token has its own τ, yours went to the experts, from left to right: make τ a column, (T, 1).",
        across(log_of_softmax),
        "τ across: Right for one τ. Where each token has its own, yours went to the experts, from left to right: make τ a column, (T, 1).",
        across(logs),
        "gaps alone: These are the gaps divided by τ. Of each, the logarithm of the row's sum of exponentials still has to go, so that the probabilities sum to 1.",
        lambda h, tau: gaps_to(top(h), h, tau),
        "sum without logarithm: You subtracted the sum of the exponentials. The logarithm of a quotient is a difference of logarithms: subtract the logarithm of the sum.",
        lambda h, tau: (g := gaps_to(top(h), h, tau)) - np.exp(g).sum(axis=-1, keepdims=True),
        "logarithm added: You added the logarithm of the sum. A quotient becomes a difference: subtract it.",
        lambda h, tau: (g := gaps_to(top(h), h, tau)) + np.log(np.exp(g).sum(axis=-1, keepdims=True)),
        "times p: You multiplied each ln p by p, as an entropy does. Asked is ln p itself.",
        np.errstate(all="ignore")(lambda h, tau: (logp := log_softmax(h, tau)) * np.exp(logp)),
        "mean for sum: You took the mean of the exponentials, so all are too high by ln N. Under the logarithm stands their *sum*.",
        lambda h, tau: log_softmax(h, tau) + np.log(h.shape[-1]),
        "one more counted: You subtracted ln(1 + sum). The largest logit is in the sum already, with e⁰ = 1.",
        with_one_more,
        "divided twice: You divided by τ twice. Once is enough.",
        lambda h, tau: log_softmax(h, np.asarray(tau) ** 2),
        "root of τ: You divided by the root of τ. The logits are divided by τ itself.",
        lambda h, tau: log_softmax(h, np.sqrt(tau)),
        "mean τ: Right for one τ. Where each token has its own, you took one for all, their mean or their sum.",
        (lambda h, tau: log_softmax(h, np.mean(tau)), lambda h, tau: log_softmax(h, np.sum(tau))),
        "divided afterwards: You took ln p at τ = 1 and divided it by τ. These no longer belong to probabilities that sum to 1: the sum has to be made of gaps that are divided already.",
        lambda h, tau: log_softmax(h, 1.0) / column(tau),
        "sum at τ = 1: Your gaps are divided by τ, those in the sum are not.",
        lambda h, tau: gaps_to(top(h), h, tau) - np.log(np.exp(h - top(h)).sum(axis=-1, keepdims=True)),
        "overflow: The exponential of something large is ∞, and so is the logarithm of its sum. Subtract each row's largest logit first, then divide by τ.",
        (lambda h, tau: logs(h / column(tau)), divided_unevenly),
        "one maximum for the whole batch: You subtracted the largest logit of the whole batch. In a row far below it every exponential is 0, and so is their sum. Each row needs its own maximum.",
        lambda h, tau: logs(gaps_to(h.max(), h, tau)),
        "one sum for the whole batch: The whole batch sums to 1 here. Each row is one token: it needs its own sum, along the last axis.",
        lambda h, tau: logs(gaps_to(top(h), h, tau), axis=None),
        "wrong axis: Each column sums to 1 here: your softmax runs over the tokens. The experts are the last axis.",
        lambda h, tau: logs(gaps_to(top(h, axis=0), h, tau), axis=0),
        "not the largest subtracted: You did not subtract the largest logit, but the mean or the smallest, say. That leaves positive exponents, which overflow, and −∞ less −∞ where an expert is masked. Subtract the maximum.",
        (with_mean, lambda h, tau: logs(gaps_to(np.where(np.isneginf(h), 0, h).mean(axis=-1, keepdims=True), h, tau))),
        "rounded away: Right except where logits are nearly alike and τ is as small as their gaps: you divided before you subtracted. 0.9 / 0.000001 is 900000, which float32 stores in steps of 0.06; float64 only puts that off. Subtract first: the gap is exact.",
        divided_first(less_top, less_all, less_reduced),
        "rounded away, τ across: Two things. You divided by τ before you subtracted, and where logits are nearly alike that rounds the gaps away: subtract first. And where each token has its own τ, yours went to the experts, from left to right: make τ a column, (T, 1).",
        divided_first(less_top, less_all, less_reduced, across=True),
        "rounded away, log of the softmax: Two things. You divided by τ before you subtracted, and where logits are nearly alike that rounds the gaps away: subtract first. And the logarithm came last, where a small p is stored as 0 already: do not leave the log.",
        divided_first(log_last),
        "rounded away, log of the softmax, τ across: Three things. Dividing before you subtract rounds small gaps away. The logarithm came last, where a small p is stored as 0 already: do not leave the log. And where each token has its own τ, yours went to the experts: make τ a column, (T, 1).",
        divided_first(log_last, across=True),
        "multiplied: You multiplied the logits by τ. A small τ must sharpen: divide.",
        lambda h, tau: log_softmax(h, 1 / np.asarray(tau)),
        "one τ for all: Right for one τ. Where each token has its own, you gave every token the same one.",
        (lambda h, tau: log_softmax(h, np.ravel(tau)[0]), lambda h, tau: log_softmax(h, np.ravel(tau)[-1])),
        "in float32: Right, but computed in float32, whatever dtype h has. Gaps as small as 10⁻¹¹ near 9000 are gone there: keep the dtype of h.",
        in_float32,
        "τ ignored: These are the logarithms for τ = 1, whatever τ is.",
        lambda h, tau: log_softmax(h, 1.0),
        "probabilities: These are the probabilities. Asked are their logarithms.",
        lambda h, tau: np.exp(log_softmax(h, tau)),
        "other base: These are logarithms to another base. ln is the natural one, `np.log`.",
        (lambda h, tau: log_softmax(h, tau) / np.log(2), lambda h, tau: log_softmax(h, tau) / np.log(10)),
        "sign: The sign is turned round: this is −ln p. A probability is at most 1, so its logarithm is at most 0.",
        lambda h, tau: -log_softmax(h, tau),
        "shortcut: For a small τ you give everything to one expert. But small means small against the gaps: equal logits share, and so do logits whose gap is about τ.",
        one_winner,
        "mask lost: A logit of −∞ is a mask: its probability is 0 and its ln p is −∞. You replaced it by 0, and e⁰ is 1.",
        lambda h, tau: log_softmax(np.where(np.isinf(h), 0, h), tau),
    )
    + by_test(
        "mask is a number: Right, but where an expert is masked. Its probability is 0, so its ln p is −∞, and yours is a number.",
        finite_where_masked,
        "mask is NaN: Right, but where an expert is masked you return NaN: −∞ less −∞ or 0 times ∞ is no number. Its ln p is −∞.",
        nan_where_masked,
        "floor: You keep the logarithm from −∞ with a small number, so all that is far below comes out alike, and masked experts are not −∞. ln p of such an expert is its gap divided by τ, less the logarithm of the sum: a number like any other.",
        has_floor,
        "floor: Right, but far below all comes out alike: you let exponents fall no lower than some number, or keep the logarithm from −∞ with a small one. ln p of such an expert is its gap divided by τ, less the logarithm of the sum: a number like any other.",
        has_floor_and_masks,
        "τ kept up: Right for an ordinary τ. You add a small number to τ, or let it fall no lower than some value: a τ of 0.000001 or 10⁻¹¹ becomes another one. It is above 0 by itself.",
        has_least_tau,
    ),
)
