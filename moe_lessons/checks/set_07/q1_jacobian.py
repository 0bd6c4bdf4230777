"""Question 7.1: the Jacobian of another gate."""

from collections.abc import Callable

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import is_floats
from moe_lessons.checks.verdicts import by_formula, by_test, by_value


def spread(rng: np.random.Generator, N: int, wide: float) -> np.ndarray:
    """Return N numbers (N,) from −wide to wide with clear gaps, in random order."""
    jitter = 0.2 * wide / N * rng.uniform(-1, 1, size=N)  # (N,)
    return rng.permutation((np.linspace(-wide, wide, N) + jitter).round(2))


def jacobian_cases(rng: np.random.Generator) -> list[tuple]:
    """Logits of two experts, of five, of four far above 0, of three far below, and of six that are far apart."""
    return [
        (spread(rng, 2, 0.8),),
        (spread(rng, 5, 1.5),),
        (spread(rng, 4, 1.2) + 3,),
        (spread(rng, 3, 1.0) - 3,),
        (spread(rng, 6, 5.0),),
    ]


def sigmoid(h: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^−h), same shape."""
    return 1 / (1 + np.exp(-h))


def of_gate(formula: Callable) -> Callable:
    """Return the function of h (N,) that is `formula` of s = sigmoid(h), w = s / Σ s, δ (N, N) and h."""
    return lambda h: formula(sigmoid(h), sigmoid(h) / sigmoid(h).sum(), np.eye(h.size), h)


def with_slopes(outer: Callable, inner: Callable = lambda s, w: s * (1 - s) / s.sum()) -> Callable:
    """Return the function of h that is `outer`(δ, w) (N, N), each column times its `inner`(s, w) (N,)."""
    return of_gate(lambda s, w, delta, h: outer(delta, w) * inner(s, w))


def quotient_rule(delta: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return δ_ij − w_i: what a share gains when score j rises, times the sum of the scores. (N, N)."""
    return delta - w[:, None]


jacobian = with_slopes(quotient_rule)  # (N,) -> (N, N)


JACOBIAN = FunctionQuestion(
    **about("7.1", "The Jacobian of another gate", "write it", "medium", points=2, minutes=6),
    hints=(
        "Two steps lie between logit j and weight i. A logit moves its own score only: what is the slope of the sigmoid? A score moves all weights, for it is in the sum: what does the quotient rule say of sᵢ / Σ s?",
        "When sⱼ rises, wᵢ changes by (δᵢⱼ − wᵢ) / Σ s, where δᵢⱼ is 1 on the diagonal and 0 elsewhere. When hⱼ rises, sⱼ changes by sⱼ(1 − sⱼ). Multiply; i runs down the rows (`w[:, None]`), j along them.",
    ),
    idea="Any gate that divides scores by their sum has ∂wᵢ/∂hⱼ = (δᵢⱼ − wᵢ) · slope of score j / Σ s. For the softmax the slope of e^h is e^h itself, which makes it wⱼ(δᵢⱼ − wᵢ); for the sigmoid it is s(1 − s).",
    takeaway="A sigmoid gate saturates score by score: a logit far above 0 hardly moves any weight, even when its expert's weight is only one of many equals.",
    answer="my_jacobian",
    parameters=("logits",),
    cases=jacobian_cases,
    reference=jacobian,
    mistakes=by_value(
        "of the softmax: This is diag(p) − p pᵀ with p = softmax(h), the matrix of the lesson. Here the scores are sigmoids: they have another value and another slope.",
        lambda h: np.diag(routing.softmax(h)) - np.outer(routing.softmax(h), routing.softmax(h)),
        "transposed: Right but for the order: entry [i, j] is ∂wᵢ/∂hⱼ, the weight in the row and the logit in the column. The softmax's matrix is symmetric, this one is not.",
        lambda h: jacobian(h).T,
        "diagonal only: The diagonal is right, the rest is 0. But each weight moves with *every* logit: they share one sum.",
        lambda h: np.diag(np.diag(jacobian(h))),
        "diagonal as a vector: This is the diagonal of the matrix. Each weight also moves with the other logits: N × N numbers.",
        lambda h: np.diag(jacobian(h)),
        "sign turned: Every sign is turned round: a weight rises with its own logit, so the diagonal is positive.",
        lambda h: -jacobian(h),
    )
    + by_formula(
        of_gate,
        "the softmax's formula with w: This is diag(w) − w wᵀ, the lesson's formula with the new weights. It holds for exponentials, whose slope is e^h itself. The slope of a sigmoid is s(1 − s): a factor 1 − sⱼ is missing in each column.",
        lambda s, w, delta, h: np.diag(w) - np.outer(w, w),
        "the softmax's formula with s: This is diag(s) − s sᵀ. The lesson's formula is for a softmax: for weights that sum to 1 and scores that are exponentials. s is neither.",
        lambda s, w, delta, h: np.diag(s) - np.outer(s, s),
        "not divided by the sum: This is the slope of the sigmoids alone. The weights are the scores divided by their sum, so each of them depends on every logit.",
        (lambda s, w, delta, h: np.diag(s * (1 - s)), lambda s, w, delta, h: s * (1 - s)),
        "the sum held fixed: You divided the slopes of the sigmoids by Σ s, as if that were a constant. It moves too: a rising sⱼ takes from every weight.",
        (lambda s, w, delta, h: np.diag(s * (1 - s) / s.sum()), lambda s, w, delta, h: s * (1 - s) / s.sum()),
        "of the logarithm: These are the derivatives of log w. Those of w itself have a factor wᵢ more.",
        lambda s, w, delta, h: jacobian(h) / w[:, None],
        "softmax of the sigmoids: You took a softmax of the scores. The weights are the scores divided by their sum, without another exponential.",
        lambda s, w, delta, h: (np.diag(p := routing.softmax(s)) - np.outer(p, p)) * s * (1 - s),
    )
    + by_formula(
        with_slopes,
        "added: The second term has the wrong sign: when another logit rises, your weight falls. Each column must sum to 0.",
        lambda delta, w: delta + w[:, None],
        "no diagonal term: Off the diagonal this is right. On it something is missing: a weight rises with its own logit. In the bracket it is 1 − wᵢ there.",
        lambda delta, w: -w[:, None] * np.ones_like(delta),
        "weight of the wrong expert: In the bracket stands wⱼ. What weight i loses when score j rises is its own part, wᵢ: it varies down the rows, `w[:, None]`.",
        lambda delta, w: delta - w,
        "1 − w throughout: In the bracket you have 1 − wᵢ everywhere. The 1 is there on the diagonal alone: off it, δᵢⱼ is 0.",
        lambda delta, w: 1 - w[:, None] + 0 * delta,
    )
    + by_formula(
        lambda inner: with_slopes(quotient_rule, inner),
        "no inner slope: The quotient rule is right, but the slope of the sigmoid is missing: each column j has a factor sⱼ(1 − sⱼ).",
        lambda s, w: 1 / s.sum() + 0 * s,
        "not divided: The factor 1 / Σ s is missing: the scores have to be divided by their sum.",
        lambda s, w: s * (1 - s),
        "neither slope nor sum: This is δᵢⱼ − wᵢ. Missing are the slope of the sigmoid, sⱼ(1 − sⱼ), and the division by Σ s.",
        lambda s, w: 1 + 0 * s,
        "half the slope: In place of the sigmoid's slope stands 1 − sⱼ. It is sⱼ(1 − sⱼ).",
        (lambda s, w: (1 - s) / s.sum(), lambda s, w: 1 - s),
        "slope of w: In place of the sigmoid's slope stands wⱼ(1 − wⱼ). The inner function is s: its slope is sⱼ(1 − sⱼ).",
        (lambda s, w: w * (1 - w) / s.sum(), lambda s, w: w * (1 - w)),
        "divided by the sum twice: You divided by (Σ s)². With sᵢ / Σ s written as wᵢ, one of the two is gone.",
        lambda s, w: s * (1 - s) / s.sum() ** 2,
    )
    + by_formula(
        of_gate,
        "slope of the wrong logit: The slope sᵢ(1 − sᵢ) goes with the row here. It is logit j that moves, so the slope goes with the column: sⱼ(1 − sⱼ).",
        lambda s, w, delta, h: quotient_rule(delta, w) * (s * (1 - s) / s.sum())[:, None],
    )
    + by_test(
        "gradient of the sum: Zeros, one for each logit: is that the gradient of the *sum* of the weights? The sum is always 1, so no logit moves it. Take each weight by itself: N of them, N derivatives each.",
        lambda value, h: is_floats(value, h.shape) and (np.abs(value) < 1e-6).all(),
    ),
)
