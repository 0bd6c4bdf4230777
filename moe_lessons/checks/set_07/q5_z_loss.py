"""Question 7.5: the z-loss and its gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_07.q1_jacobian import spread
from moe_lessons.checks.set_07.q2_gradients import DESCENT
from moe_lessons.checks.values import agree, is_floats, stacked, unpack
from moe_lessons.checks.verdicts import by_formula, by_test, by_value

lse = routing.log_sum_exp  # (T, N) -> (T,)


def z_cases(rng: np.random.Generator) -> list[tuple]:
    """Return a small batch; one token; a larger batch off 0; tokens with logits around 10⁴ and around −10⁴."""
    near, one, shifted = (
        np.stack([spread(rng, N, 1.5) + rng.uniform(-0.5, 0.5) + offset for _ in range(T)]).round(2)
        for T, N, offset in ((3, 4, 0), (1, 5, 1), (5, 3, -2))
    )
    return [(near,), (one,), (shifted,), (near[:2] + np.array([[1e4], [-1e4]]),)]


def z_slope(h: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean squared log-sum-exp of h. (T, N)."""
    return 2 * lse(h)[:, None] * routing.softmax(h) / len(h)


def z_loss_and_gradient(h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean squared log-sum-exp of h (T, N), and its gradient (T, N)."""
    return np.array((lse(h) ** 2).mean()), z_slope(h)


@np.errstate(all="ignore")
def naive_z_loss(h: np.ndarray) -> np.ndarray:
    """Return the z-loss with exponentials that overflow: ∞ for large logits. A number."""
    return (np.log(np.exp(h).sum(axis=-1)) ** 2).mean()


@np.errstate(all="ignore")
def naive_softmax(h: np.ndarray) -> np.ndarray:
    """Return the softmax with exponentials that overflow: NaN for large logits. (T, N)."""
    e = np.exp(h)  # (T, N)
    return e / e.sum(axis=-1, keepdims=True)


def with_z(formula: Callable) -> Callable:
    """Return the function of h that is `formula` of z (T, 1), p (T, N) and T."""
    return lambda h: formula(lse(h)[:, None], routing.softmax(h), len(h))


def is_turned(value: Any, h: np.ndarray) -> bool:
    """Tell whether gradient and loss came, in this order."""
    loss, gradient = z_loss_and_gradient(h)
    return isinstance(value, list) and len(value) == 2 and agree(value[1], loss) and agree(value[0], gradient)


def is_rounded(value: Any, h: np.ndarray) -> bool:
    """Tell whether loss and gradient, in float32, are right to three digits."""
    came = unpack(value, ("loss", "gradient")) or [None, None]
    return all(is_nearly(stacked(v), right) for v, right in zip(came, z_loss_and_gradient(h), strict=True))


def is_nearly(value: Any, right: np.ndarray) -> bool:
    """Tell whether a value is float32 and right to three digits of the largest number."""
    near = is_floats(value, right.shape) and value.dtype == np.float32
    return bool(near and np.allclose(value, right, rtol=0, atol=2e-3 * np.abs(right).max()))


Z_LOSS = FunctionQuestion(
    **about("7.5", "The z-loss and its gradient", "write it", "medium", points=3, minutes=8),
    hints=(
        "One number for each token, z = log Σ exp(h): `log_sum_exp` gives it without overflow. The loss is the mean of z² over the tokens.",
        "The derivative of z with respect to hⱼ is pⱼ, of z² it is 2z pⱼ. Then there is the 1/T of the mean. `z[:, None]` has the shape (T, 1), which fits the rows of p.",
    ),
    idea="The log-sum-exp has the softmax as its derivative, so every logit of a token is pushed the same way, in proportion to its probability: the loss moves the whole row towards log-sum-exp 0.",
    answer="my_z_loss",
    parameters=("logits",),
    stands_for=("losses.z_loss",),
    when_raised="If it is about shapes: z has the shape (T,), the logits (T, N). `z[:, None]` makes it (T, 1).",
    cases=z_cases,
    reference=z_loss_and_gradient,
    quiet=True,
    parts={
        "loss": by_value(
            "not squared: This is the mean of the log-sum-exp. It has no smallest value: a router could lower it for ever by shifting all logits down. The loss is the mean of its *square*.",
            lambda h: lse(h).mean(),
            "sum over the tokens: You added up over the tokens. The loss is the mean: it must not grow with the batch.",
            lambda h: (lse(h) ** 2).sum(),
            "one for each token: These are the squares, one for each token. The loss is one number: their mean.",
            lambda h: lse(h) ** 2,
            "squared logits, summed: This is the sum of h² over the experts, averaged over the tokens. The z-loss squares one number for each token, its log-sum-exp; it does not pull every logit to 0.",
            lambda h: (h**2).sum(axis=-1).mean(),
            "squared logits, averaged: This is the mean of h². The z-loss squares one number for each token, its log-sum-exp; it does not pull every logit to 0.",
            lambda h: (h**2).mean(),
            "square of the mean: You averaged first and squared afterwards: a token with +3 and one with −3 would cost nothing. Square each token's number, then average.",
            lambda h: lse(h).mean() ** 2,
            "largest logit: You squared the largest logit of each token. The log-sum-exp lies above it, by up to ln N.",
            lambda h: (h.max(axis=-1) ** 2).mean(),
            "along the tokens: Your log-sum-exp runs over the tokens (axis 0). It runs over the experts of one token: the last axis.",
            lambda h: (lse(h, axis=0) ** 2).mean(),
            "over the whole batch: You took one log-sum-exp over the whole batch. Each token has its own.",
            lambda h: lse(h.ravel()) ** 2,
            "half: This is half the loss. There is no ½ in the definition: the mean of the squares.",
            lambda h: (lse(h) ** 2).mean() / 2,
            "divided by T·N: You divided by T·N. There is one log-sum-exp for each token, so the mean divides by T.",
            lambda h: (lse(h) ** 2).mean() / h.shape[-1],
            "log of the mean: This is the log of the *mean* of the exponentials, ln N too low. The z-loss takes the log of their sum.",
            lambda h: ((lse(h) - np.log(h.shape[-1])) ** 2).mean(),
            "of the probabilities: You took the softmax first. The log-sum-exp of the probabilities forgets the very shift that the z-loss is about. Use the logits.",
            lambda h: (lse(routing.softmax(h)) ** 2).mean(),
            "base 2: Your logarithm has base 2. The z-loss uses the natural one.",
            lambda h: ((lse(h) / np.log(2)) ** 2).mean(),
            "coefficient included: This is 0.001 times the z-loss. The coefficient comes in when the losses are added up, not here.",
            lambda h: 1e-3 * (lse(h) ** 2).mean(),
            "maximum not added back: You subtracted each row's largest logit before the exponential, and did not add it afterwards. log Σ exp(h) = max + log Σ exp(h − max).",
            lambda h: ((lse(h) - h.max(axis=-1)) ** 2).mean(),
            "overflow: Right for ordinary logits, not for a token with logits around 10000 and one around −10000. An exponential of 10000 is ∞. A row whose exponentials are all 0 has the log −∞: that happens around −10000, and also when one number is subtracted from the whole batch. Subtract *each row's own* largest logit first and add it afterwards, or use `log_sum_exp`.",
            naive_z_loss,
        ),
        "gradient": by_formula(
            with_z,
            "factor 2: Half of what it should be: the derivative of z² is 2z.",
            lambda z, p, T: z * p / T,
            "of the log-sum-exp: This is the gradient of the mean of z, not of z². The factor 2z is missing.",
            lambda z, p, T: p / T,
            "log-sum-exp left out: The factor z is missing: the derivative of z² is 2z times that of z. It sets how strong the pull is, and its sign.",
            lambda z, p, T: 2 * p / T,
            "not divided by T: The loss is a mean over T tokens, so each token's gradient is divided by T.",
            lambda z, p, T: 2 * z * p,
            "gradient divided by T·N: You divided by T·N. The loss is a mean over the tokens alone: divide by T.",
            lambda z, p, T: 2 * z * p / p.size,
            "of the largest: You let only the largest logit move the log-sum-exp. Every logit does, in proportion to its probability.",
            lambda z, p, T: 2 * z * np.eye(p.shape[-1])[p.argmax(axis=-1)] / T,
            "the same for all experts: Every expert of a token gets the same here. The derivative of the log-sum-exp with respect to hⱼ is the probability pⱼ.",
            lambda z, p, T: 2 * z * np.ones_like(p) / T,
            "derivative of p: You went on to differentiate the softmax, p(1 − p). The softmax *is* the derivative of the log-sum-exp: 2z p / T.",
            lambda z, p, T: 2 * z * p * (1 - p) / T,
            "mean log-sum-exp: You used the mean of z over the batch for every token. Each token is pulled by its own z.",
            lambda z, p, T: 2 * z.mean() * p / T,
            "added up over the tokens: You added up over the tokens. Return one row for each token: (T, N).",
            lambda z, p, T: (2 * z * p / T).sum(axis=0),
            DESCENT,
            lambda z, p, T: -2 * z * p / T,
        )
        + by_value(
            "one for each token, gradient: One number for each token. Every logit of a token has its own: 2z pⱼ / T, in the shape (T, N).",
            lambda h: 2 * lse(h) / len(h),
            "of squared logits: This is the gradient of h². The derivative of z² is 2z times the probability.",
            lambda h: 2 * h / len(h),
            "overflow in the softmax: The loss is right. In the gradient your softmax overflows: ∞/∞ around 10000, 0/0 around −10000. Use `softmax`, or subtract each row's largest logit before the exponential.",
            lambda h: 2 * lse(h)[:, None] * naive_softmax(h) / len(h),
        ),
    },
    mistakes=by_test(
        "turned round: Both are right, but in the wrong order: return the loss first, then the gradient.",
        is_turned,
        "32 bits: Right but for rounding: float32 stores numbers around 10000 in steps of 0.001, so the gaps between such logits are off. The logits come in float64; keep it.",
        is_rounded,
    ),
)
