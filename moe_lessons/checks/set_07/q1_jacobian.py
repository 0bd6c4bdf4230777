"""Question 7.1: the Jacobian of another gate."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

from moe_lessons import routing
from moe_lessons.checks import values
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import is_floats
from moe_lessons.checks.verdicts import by_formula, by_test, by_value

SATURATED = 1 - 1e-11  # a score with few digits left between it and 1
TINY = 1e-9  # a score far below the others
FINE = 1e-18  # a derivative above this is compared by its digits, however small it is


def spread(rng: np.random.Generator, N: int, wide: float) -> np.ndarray:
    """Return N numbers (N,) from −wide to wide with clear gaps, in random order."""
    jitter = 0.2 * wide / N * rng.uniform(-1, 1, size=N)  # (N,)
    return rng.permutation((np.linspace(-wide, wide, N) + jitter).round(2))


def jacobian_cases(rng: np.random.Generator) -> list[tuple]:
    """Scores of two experts, of five, of five near 1, one of them saturated, of three near 0, of six from nearly 0 to 1."""
    logits = (
        spread(rng, 2, 0.8),
        spread(rng, 5, 1.5),
        spread(rng, 4, 1.2) + 3,
        spread(rng, 3, 1.0) - 3,
        spread(rng, 6, 5.0),
    )
    scores = [scipy.special.expit(h).round(4) for h in logits]
    scores[2] = np.append(scores[2], SATURATED)
    scores[4][scores[4].argmin()] = TINY
    return [(s,) for s in scores]


def by_digits(value: Any, *_: Any) -> Any:
    """Return derivatives on the scale on which they are compared, where a tiny one counts beside a large one."""
    return values.by_digits(value, FINE)


def of_gate(formula: Callable) -> Callable:
    """Return the function of s (N,) that is `formula` of s, w = s / Σ s, and δ (N, N)."""
    return lambda s: formula(s, s / s.sum(), np.eye(s.size))


def with_slopes(outer: Callable, inner: Callable = lambda s, w: s * (1 - s) / s.sum()) -> Callable:
    """Return the function of s that is `outer`(δ, w) (N, N), each column times its `inner`(s, w) (N,)."""
    return of_gate(lambda s, w, delta: outer(delta, w) * inner(s, w))


def softmax_jacobian(h: np.ndarray) -> np.ndarray:
    """Return diag(p) − p pᵀ, where p is the softmax of h (N,). (N, N)."""
    p = routing.softmax(h)  # (N,)
    return np.diag(p) - np.outer(p, p)


def quotient_rule(delta: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return δ_ij − w_i: what a share gains when score j rises, times the sum of the scores. (N, N)."""
    return delta - w[:, None]


jacobian = with_slopes(quotient_rule)  # (N,) -> (N, N)
along_scores = with_slopes(quotient_rule, lambda s, w: 1 / s.sum())  # (N,) -> (N, N): ∂w_i/∂s_j


def is_rounded(value: Any, s: np.ndarray) -> bool:
    """Tell whether values are the right ones, rounded to some number of decimals."""
    if not is_floats(value, (s.size, s.size)):
        return False
    came, right = values.from_digits(value, FINE), jacobian(s)  # (N, N) each
    return any(np.allclose(came, right.round(places), rtol=1e-9, atol=1e-16) for places in range(2, 9))


def lost_digits(value: Any, s: np.ndarray) -> bool:
    """Tell whether values are right to three digits, but for derivatives by the logit of a saturated or a tiny score."""
    if not is_floats(value, (s.size, s.size)):
        return False
    came, right = values.from_digits(value, FINE), jacobian(s)  # (N, N) each
    usual = (s > TINY) & (s < SATURATED)  # (N,)
    return bool(np.allclose(came[:, usual], right[:, usual], rtol=1e-3, atol=1e-6))


JACOBIAN = FunctionQuestion(
    **about("7.1", "The Jacobian of another gate", "write it", "medium", points=2, minutes=8),
    hints=(
        "Two steps lie between logit j and weight i. A logit moves its own score only: what is the slope of the sigmoid, written in the score itself? A score moves all weights, for it is in the sum: what does the quotient rule say of sᵢ / Σ s?",
        "When sⱼ rises, wᵢ changes by (δᵢⱼ − wᵢ) / Σ s, where δᵢⱼ is 1 on the diagonal and 0 elsewhere. When hⱼ rises, sⱼ changes by sⱼ(1 − sⱼ). Multiply; i runs down the rows (`w[:, None]`), j along them.",
    ),
    idea="Any gate that divides scores by their sum has ∂wᵢ/∂hⱼ = (δᵢⱼ − wᵢ) · slope of score j / Σ s. For the softmax the slope of e^h is e^h itself, which makes it wⱼ(δᵢⱼ − wᵢ); for the sigmoid it is s(1 − s).",
    takeaway="A sigmoid gate saturates score by score: a logit far above 0 hardly moves any weight, even when its expert's weight is only one of many equals.",
    answer="my_jacobian",
    parameters=("scores",),
    cases=jacobian_cases,
    reference=lambda s: by_digits(jacobian(s)),
    read=by_digits,
    shown=lambda got, right, s: values.difference_by_digits(got, right, FINE),
    mistakes=by_value(
        "of the softmax: This is diag(p) − p pᵀ with p a softmax, the matrix of the lesson. Here the weights are scores divided by their sum, without an exponential, and the scores are sigmoids: they have another slope.",
        (softmax_jacobian, lambda s: softmax_jacobian(scipy.special.logit(s))),
        "a sigmoid of the scores: You took the sigmoid of what you are given. Those are the scores already: each is the sigmoid of its logit.",
        (lambda s: jacobian(scipy.special.expit(s)), lambda s: along_scores(scipy.special.expit(s)) * s * (1 - s)),
        "transposed: Right but for the order: entry [i, j] is ∂wᵢ/∂hⱼ, the weight in the row and the logit in the column. The softmax's matrix is symmetric, this one is not.",
        lambda s: jacobian(s).T,
        "diagonal only: The diagonal is right, the rest is 0. But each weight moves with *every* logit: they share one sum.",
        lambda s: np.diag(np.diag(jacobian(s))),
        "diagonal as a vector: This is the diagonal of the matrix. Each weight also moves with the other logits: N × N numbers.",
        lambda s: np.diag(jacobian(s)),
        "sign turned: Every sign is turned round: a weight rises with its own logit, so the diagonal is positive.",
        lambda s: -jacobian(s),
    )
    + by_formula(
        of_gate,
        "the softmax's formula with w: This is diag(w) − w wᵀ, the lesson's formula with the new weights. It holds for exponentials, whose slope is e^h itself. The slope of a sigmoid is s(1 − s): a factor 1 − sⱼ is missing in each column.",
        lambda s, w, delta: np.diag(w) - np.outer(w, w),
        "the softmax's formula with s: This is diag(s) − s sᵀ. The lesson's formula is for a softmax: for weights that sum to 1 and scores that are exponentials. s is neither.",
        lambda s, w, delta: np.diag(s) - np.outer(s, s),
        "not divided by the sum: This is the slope of the sigmoids alone. The weights are the scores divided by their sum, so each of them depends on every logit.",
        (lambda s, w, delta: np.diag(s * (1 - s)), lambda s, w, delta: s * (1 - s)),
        "the sum held fixed: You divided the slopes of the sigmoids by Σ s, as if that were a constant. It moves too: a rising sⱼ takes from every weight.",
        (lambda s, w, delta: np.diag(s * (1 - s) / s.sum()), lambda s, w, delta: s * (1 - s) / s.sum()),
        "of the logarithm: These are the derivatives of log w. Those of w itself have a factor wᵢ more.",
        lambda s, w, delta: jacobian(s) / w[:, None],
        "score for weight: In the bracket stands the score sᵢ. The quotient rule gives the weight there, wᵢ = sᵢ / Σ s.",
        (
            lambda s, w, delta: quotient_rule(delta, s) * s * (1 - s) / s.sum(),
            lambda s, w, delta: quotient_rule(delta, s) * s * (1 - s),
        ),
        "divided by N: You divided by N. The weights are the scores divided by their *sum*.",
        lambda s, w, delta: quotient_rule(delta, w) * s * (1 - s) / s.size,
        "divided by the slopes: You divided by the sum of the slopes. The weights are the scores divided by the sum of the *scores*.",
        lambda s, w, delta: quotient_rule(delta, w) * s * (1 - s) / (s * (1 - s)).sum(),
        "weight in front twice: Each column has a factor wⱼ too many: sⱼ / Σ s is in the slope already.",
        lambda s, w, delta: quotient_rule(delta, w) * w * s * (1 - s) / s.sum(),
        "the sum held fixed on the diagonal: Off the diagonal this is right. On it you have 1 where 1 − wᵢ is due: the sum moves with weight i's own score, too.",
        lambda s, w, delta: np.where(delta > 0, 1, -w[:, None]) * s * (1 - s) / s.sum(),
        "rows sum to 0: Off the diagonal this is right. On it you have what makes the *rows* sum to 0, as in a softmax. Here the columns do: whatever logit moves, the weights still sum to 1.",
        lambda s, w, delta: (off := -(1 - delta) * w[:, None] * s * (1 - s) / s.sum()) - np.diag(off.sum(axis=1)),
        "no weight off the diagonal: The diagonal is right. Off it the factor wᵢ is missing: when score j rises, weight i loses in proportion to itself.",
        lambda s, w, delta: (delta * (1 - w) - (1 - delta)) * s * (1 - s) / s.sum(),
        "softmax of the sigmoids: You took a softmax of the scores. The weights are the scores divided by their sum, without another exponential.",
        lambda s, w, delta: softmax_jacobian(s) * s * (1 - s),
    )
    + by_formula(
        with_slopes,
        "added: The second term has the wrong sign: when another logit rises, your weight falls. Each column must sum to 0.",
        (lambda delta, w: delta + w[:, None], lambda delta, w: np.abs(delta - w[:, None])),
        "no diagonal term: Off the diagonal this is right. On it something is missing: a weight rises with its own logit. In the bracket it is 1 − wᵢ there.",
        lambda delta, w: -w[:, None] * np.ones_like(delta),
        "weight of the wrong expert: In the bracket stands wⱼ. What weight i loses when score j rises is its own part, wᵢ: it varies down the rows, `w[:, None]`.",
        lambda delta, w: delta - w,
        "1 − w throughout: In the bracket you have 1 − wᵢ everywhere. The 1 is there on the diagonal alone: off it, δᵢⱼ is 0.",
        lambda delta, w: 1 - w[:, None] + 0 * delta,
    )
    + by_formula(
        lambda inner: with_slopes(quotient_rule, inner),
        "derivative by the scores: This is ∂wᵢ/∂sⱼ, how the weights move when a *score* rises. Asked is ∂wᵢ/∂hⱼ: when logit j rises, its score rises by the slope of the sigmoid, so each column j has a factor sⱼ(1 − sⱼ) more.",
        lambda s, w: 1 / s.sum() + 0 * s,
        "not divided: The factor 1 / Σ s is missing: the scores have to be divided by their sum.",
        lambda s, w: s * (1 - s),
        "neither slope nor sum: This is δᵢⱼ − wᵢ. Missing are the slope of the sigmoid, sⱼ(1 − sⱼ), and the division by Σ s.",
        lambda s, w: 1 + 0 * s,
        "half the slope: In place of the sigmoid's slope stands 1 − sⱼ. It is sⱼ(1 − sⱼ).",
        (lambda s, w: (1 - s) / s.sum(), lambda s, w: 1 - s),
        "slope of w: In place of the sigmoid's slope stands wⱼ(1 − wⱼ). The inner function is s: its slope is sⱼ(1 − sⱼ).",
        (lambda s, w: w * (1 - w) / s.sum(), lambda s, w: w * (1 - w)),
        "sign in the slope: In place of the sigmoid's slope stands sⱼ(1 + sⱼ). It is sⱼ(1 − sⱼ).",
        lambda s, w: s * (1 + s) / s.sum(),
        "slope of the tanh: In place of the sigmoid's slope stands 1 − sⱼ². That is the slope of a tanh; the sigmoid's is sⱼ(1 − sⱼ).",
        lambda s, w: (1 - s**2) / s.sum(),
        "slope from the score again: You took the slope of the sigmoid *at the score*, as if it were the logit. In the score itself it is sⱼ(1 − sⱼ).",
        lambda s, w: scipy.special.expit(s) * scipy.special.expit(-s) / s.sum(),
        "divided by the sum twice: You divided by (Σ s)². With sᵢ / Σ s written as wᵢ, one of the two is gone.",
        lambda s, w: s * (1 - s) / s.sum() ** 2,
    )
    + by_formula(
        of_gate,
        "slope of the wrong logit: The slope sᵢ(1 − sᵢ) goes with the row here. It is logit j that moves, so the slope goes with the column: sⱼ(1 − sⱼ).",
        lambda s, w, delta: quotient_rule(delta, w) * (s * (1 - s) / s.sum())[:, None],
        "by the scores, transposed: Two things. This is how the weights move with the *scores*: a factor sⱼ(1 − sⱼ) is missing. And rows and columns are exchanged.",
        lambda s, w, delta: along_scores(s).T,
    )
    + by_test(
        "gradient of the sum: Zeros, one for each logit: is that the gradient of the *sum* of the weights? The sum is always 1, so no logit moves it. Take each weight by itself: N of them, N derivatives each.",
        lambda value, s: is_floats(value, s.shape) and (np.abs(values.from_digits(value, FINE)) < 1e-6).all(),
        "rounded: You rounded to decimals. Small derivatives lose all their digits so: each must be right to three digits, wherever they begin. Return them as they are.",
        is_rounded,
        "digits lost: Right, but for the column of a score near 1 or 0: there the derivatives are tiny, and yours have lost their digits. So it goes with differences of weights, in float32, and behind a clip. No difference is needed: the slope of the sigmoid follows from the score that you are given.",
        lost_digits,
    ),
)
