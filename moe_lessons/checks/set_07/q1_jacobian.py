"""Question 7.1: the Jacobian of the softmax."""

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
    """Logits of two experts, of five, and of four far from 0."""
    return [(spread(rng, 2, 0.8),), (spread(rng, 5, 1.5),), (spread(rng, 4, 1.2) + 3,)]


def of_softmax(formula: Callable) -> Callable:
    """Return the function of h (N,) that is `formula` of p = softmax(h)."""
    return lambda h: formula(routing.softmax(h))


jacobian = of_softmax(lambda p: np.diag(p) - np.outer(p, p))  # (N,) -> (N, N)


JACOBIAN = FunctionQuestion(
    **about("7.1", "The Jacobian of the softmax", "write it", "easy", points=1, minutes=5),
    hints=(
        "Begin with two logits. When h₁ rises, p₁ rises by p₁(1 − p₁), and p₂ falls by the same amount, p₁p₂.",
        "Entry [i, j] is pᵢ(δᵢⱼ − pⱼ), where δᵢⱼ is 1 on the diagonal and 0 elsewhere. `np.diag(p)` is the first term, `np.outer(p, p)` the second.",
    ),
    idea="Raising one logit raises its own probability and takes from all others, in proportion to what they have: the matrix is diag(p) − p pᵀ, and each of its rows and columns sums to 0.",
    answer="my_jacobian",
    parameters=("logits",),
    cases=jacobian_cases,
    reference=jacobian,
    mistakes=by_formula(
        of_softmax,
        "diagonal only: The diagonal is right, the rest is 0. But each probability moves with *every* logit: they share one sum.",
        lambda p: np.diag(p * (1 - p)),
        "diagonal as a vector: This is p(1 − p), the diagonal of the matrix. Each probability also moves with the other logits: N × N numbers.",
        lambda p: p * (1 - p),
        "added: The second term has the wrong sign: when another logit rises, your probability falls. Each row must sum to 0.",
        lambda p: np.diag(p) + np.outer(p, p),
        "positive off the diagonal: The diagonal is right, but off it the sign is wrong: when another logit rises, your probability falls. Each row must sum to 0.",
        lambda p: np.outer(p, p) + np.diag(p * (1 - 2 * p)),
        "no diagonal term: Off the diagonal this is right. On it, pᵢ is missing: a probability rises with its own logit.",
        lambda p: -np.outer(p, p),
        "outer product alone: This is the outer product of p with itself. The entries are pᵢ(δᵢⱼ − pⱼ): it enters with a minus, and the diagonal has a term of its own.",
        lambda p: np.outer(p, p),
        "sign turned: Every sign is turned round: a probability rises with its own logit, so the diagonal is positive.",
        lambda p: np.outer(p, p) - np.diag(p),
        "outer product with 1 − p: This is p times 1 − p, for every pair. The diagonal is right. Off it stands pᵢ(1 − pⱼ), and it should be −pᵢpⱼ: δᵢⱼ is 0 there.",
        lambda p: np.outer(p, 1 - p),
        "one factor off the diagonal: The diagonal is right. Off it a factor is missing: −pᵢpⱼ, with both probabilities. Each row and each column must sum to 0.",
        (lambda p: np.diag(p * (2 - p)) - p[:, None], lambda p: np.diag(p * (2 - p)) - p),
        "not an outer product: `p * p` squares each probability, and numpy then repeats that row N times. The second term needs every product pᵢ·pⱼ: `np.outer(p, p)`.",
        lambda p: np.diag(p) - p * p,
        "of the logarithm: These are the derivatives of log p, δᵢⱼ − pⱼ. Those of p itself have a factor pᵢ more.",
        lambda p: np.eye(p.size) - p,
        "of the logarithm, turned: These are the derivatives of log p, with rows and columns exchanged. Those of p itself have a factor p more.",
        lambda p: np.eye(p.size) - p[:, None],
    )
    + by_value(
        "no softmax: You put the logits where the probabilities belong. Take the softmax first.",
        lambda h: np.diag(h) - np.outer(h, h),
    )
    + by_test(
        "gradient of the sum: Zeros, one for each logit: is that the gradient of the *sum* of the probabilities? The sum is always 1, so no logit moves it. Take each probability by itself: N of them, N derivatives each.",
        lambda value, h: is_floats(value, h.shape) and (np.abs(value) < 1e-6).all(),
    ),
)
