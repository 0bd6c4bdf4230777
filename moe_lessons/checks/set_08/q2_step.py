"""Question 8.2: one training step."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import through_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_07.q5_z_loss import z_slope
from moe_lessons.checks.values import is_floats
from moe_lessons.checks.verdicts import by_formula, by_test, by_value

Slope = Callable[[np.ndarray, np.ndarray, float], np.ndarray]  # ∂L/∂h of logits h (T, N), one-hot Y (T, N), coefficient
Step = Callable[[np.ndarray, np.ndarray, np.ndarray, float, float], np.ndarray]  # (W, x, domain, lr, c) -> W (d, N)


def step_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (W (d, N), x (T, d), domain (T,), lr, z_loss_coef) four times, once with coefficient 0; float32.

    In the last the tokens are so long that the gradient is clipped, by whoever clips it.
    """
    sizes = ((3, 2, 3, 0.5, 0.1), (6, 4, 5, 0.2, 0.03), (5, 3, 4, 1.5, 0.0))
    return [*(step_case(rng, *size) for size in sizes), step_case(rng, 4, 5, 3, 0.8, 0.3, length=2.0, steepest=1.2)]


def step_case(
    rng: np.random.Generator, T: int, d: int, N: int, lr: float, c: float, length: float = 1.0, steepest: float = 0.0
) -> tuple:
    """Draw a case in which some entry of the gradient is at least so large."""
    while True:
        W, x = (rng.normal(scale=s, size=shape).astype(np.float32) for s, shape in ((1, (d, N)), (length, (T, d))))
        domain = rng.permutation(np.arange(T) % N)  # (T,)
        if np.abs(gradient(W, x, domain, c)).max() >= steepest:
            return W, x, domain, lr, c


def cross_entropy_slope(h: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return ∂/∂h of the mean cross-entropy. h (T, N), Y (T, N) one-hot. Returns (T, N)."""
    return (routing.softmax(h) - Y) / len(h)


def right_slope(h: np.ndarray, Y: np.ndarray, c: float) -> np.ndarray:
    """Return ∂/∂h of cross-entropy + c · z-loss. (T, N)."""
    return cross_entropy_slope(h, Y) + c * z_slope(h)


def gradient(W: np.ndarray, x: np.ndarray, domain: np.ndarray, c: float, slope: Slope = right_slope) -> np.ndarray:
    """Return ∂L/∂W from ∂L/∂h, in float64. (d, N)."""
    W, x = W.astype(float), x.astype(float)
    return x.T @ slope(x @ W, np.eye(W.shape[1])[domain], c)


def stepped(slope: Slope) -> Step:
    """Return the step against `slope`, in float32."""
    return lambda W, x, domain, lr, c: (W - lr * gradient(W, x, domain, c, slope)).astype(np.float32)


def with_z(part: Callable[[np.ndarray], np.ndarray]) -> Step:
    """Return the step with another slope in the place of the z-loss's."""
    return stepped(lambda h, Y, c: cross_entropy_slope(h, Y) + c * part(h))


def with_cross_entropy(part: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Step:
    """Return the step with another slope in the place of the cross-entropy's."""
    return stepped(lambda h, Y, c: part(h, Y) + c * z_slope(h))


def of_probabilities(slope: Callable) -> Callable:
    """Return ∂/∂h of a loss whose derivative with respect to p is `slope`(p, ...)."""
    return lambda h, *Y: through_softmax(routing.softmax(h), slope(routing.softmax(h), *Y))


def moved_by(change: Callable[[np.ndarray], np.ndarray], decay: float = 0.0) -> Step:
    """Return the step W − lr · change(gradient), with a decay of W."""

    def step(W: np.ndarray, x: np.ndarray, domain: np.ndarray, lr: float, c: float) -> np.ndarray:
        return (W * (1 - lr * decay) - lr * change(gradient(W, x, domain, c))).astype(np.float32)

    return step


def even(size: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the first step of an optimiser that divides by what it has seen of each entry's size."""
    return lambda g: g / (np.abs(g) / size + 1e-8)


def largest(h: np.ndarray) -> np.ndarray:
    """Mark each token's largest logit. h (T, N)."""
    return h == h.max(axis=1, keepdims=True)


def clipped(most: float) -> tuple[Step, Step]:
    """Return the steps with a gradient that is clipped to this length, and entry by entry."""
    by_length = moved_by(lambda g: g * min(1.0, most / (np.linalg.norm(g) + 1e-6)))
    return by_length, moved_by(lambda g: np.clip(g, -most, most))


def repeated(many: Callable[[np.ndarray], int]) -> Step:
    """Return W after many(x) steps, one after the other, each on all tokens."""

    def step(W: np.ndarray, x: np.ndarray, domain: np.ndarray, lr: float, c: float) -> np.ndarray:
        for _ in range(many(x)):
            W = stepped(right_slope)(W, x, domain, lr, c)
        return W

    return step


def with_weights(penalty: Callable[[np.ndarray], np.ndarray]) -> Step:
    """Return the step with a penalty on W, of which this is the slope, in the place of the z-loss."""
    alone = stepped(lambda h, Y, c: cross_entropy_slope(h, Y))
    return lambda W, x, domain, lr, c: alone(W, x, domain, lr, c) - lr * c * penalty(W)


def decays(value: Any, W: np.ndarray, x: np.ndarray, domain: np.ndarray, lr: float, c: float) -> bool:
    """Tell whether W was made smaller besides: value = the right step − lr λ W, for some λ above 0."""
    if not is_floats(value, W.shape):
        return False
    rest = stepped(right_slope)(W, x, domain, lr, c) - value  # (d, N)
    decay = float((rest * W).sum() / (lr * (W * W).sum()))
    return bool(decay > 2e-5 and np.abs(rest - lr * decay * W).max() < 2e-6 + 0.01 * np.abs(rest).max())


def token_by_token(W: np.ndarray, x: np.ndarray, domain: np.ndarray, lr: float, c: float) -> np.ndarray:
    """Return W after a step for each token, one after the other. (d, N)."""
    for t in range(len(x)):
        W = stepped(right_slope)(W, x[t : t + 1], domain[t : t + 1], lr, c)
    return W


def along_the_gradient(value: Any, W: np.ndarray, x: np.ndarray, domain: np.ndarray, lr: float, c: float) -> float:
    """Return by what factor the step is the right one, below 0 if it goes the other way; 0 if by none."""
    if not isinstance(value, np.ndarray) or value.shape != W.shape:
        return 0.0
    made, right = (W - value).astype(float), lr * gradient(W, x, domain, c)  # (d, N) each
    times = (made * right).sum() / (right * right).sum()
    return float(times) if np.abs(made - times * right).max() < 1e-3 * np.abs(made).max() else 0.0


STEP = FunctionQuestion(
    **about("8.2", "One training step", "write it", "medium", points=2, minutes=8),
    hints=(
        "Make a copy of W that records gradients: `W = W.clone().requires_grad_(True)`. Then the logits x @ W and the loss; call `.backward()` on it, and `W.grad` is there.",
        "`F.cross_entropy(h, domain)` takes logits, not probabilities, and averages over the tokens. The z-loss is `torch.logsumexp(h, dim=-1).square().mean()`. The step is W − lr · W.grad; `.detach()` it before you return it.",
    ),
    idea="Logits, one number to lower, its gradient, a step against it. In formulas ∂L/∂h = (p − one-hot + 2·c·LSE·p)/T and ∂L/∂W = xᵀ ∂L/∂h: each prototype moves towards the tokens it should have won.",
    takeaway="A router that is told the answer is a plain linear classifier: what is special about routing begins where nobody tells it.",
    answer="my_step",
    parameters=("W", "x", "domain", "lr", "z_loss_coef"),
    when_raised="W (d, N) and x (T, d) are float32 tensors, domain (T,) whole numbers. The tensor W comes without gradients: `W.clone().requires_grad_(True)` gives a copy that has them. The new W is W − lr · gradient, without `+=` on a tensor that records gradients.",
    cases=step_cases,
    reference=stepped(right_slope),
    needs_torch="optimiser",
    tensors=("W", "x", "domain"),
    mistakes=by_value(
        "gradient alone: This is the gradient. Return the new W: W − lr · gradient.",
        lambda W, x, domain, lr, c: np.float32(gradient(W, x, domain, c)),
        "no learning rate: The step is the whole gradient: lr is missing.",
        lambda W, x, domain, lr, c: stepped(right_slope)(W, x, domain, 1.0, c),
        "step alone: This is lr · gradient, the step itself. Take it off W, and return what is left.",
        (
            lambda W, x, domain, lr, c: np.float32(-lr * gradient(W, x, domain, c)),
            lambda W, x, domain, lr, c: np.float32(lr * gradient(W, x, domain, c)),
        ),
        "Adam: All entries of W moved equally far, whatever their gradients: so does the first step of Adam, RMSprop and Adagrad, and a step along the gradient's sign. Asked is plain gradient descent: W − lr · gradient, as `torch.optim.SGD` does it.",
        (moved_by(even(1.0)), moved_by(even(1.0), decay=0.01), moved_by(even(10.0))),
        "clipped: You clipped the gradient where it is large. Asked is plain gradient descent: W − lr · gradient, as it is.",
        (*clipped(1.0), *clipped(0.5), *clipped(0.1)),
        "one step too many: You take several steps. Asked is one.",
        (repeated(lambda x: 2), repeated(len)),
        "one token: You took the step of a single token. Both losses are means over all T.",
        (
            lambda W, x, domain, lr, c: stepped(right_slope)(W, x[:1], domain[:1], lr, c),
            lambda W, x, domain, lr, c: stepped(right_slope)(W, x[-1:], domain[-1:], lr, c),
        ),
        "squared weights: Your penalty is on the weights, Σ W², which is weight decay. The z-loss is about the logits: it squares one number for each token, its log-sum-exp.",
        (with_weights(lambda W: 2 * W), with_weights(lambda W: 2 * W / W.size)),
        "a step for each token: You take one step for each token, and each begins where the last one ended. Asked is a single step, along the gradient of the mean over all tokens.",
        token_by_token,
    )
    + by_formula(
        stepped,
        "wrong sign: You went uphill: W + lr · gradient makes the loss larger. Subtract.",
        lambda h, Y, c: -right_slope(h, Y, c),
        "no step: This is W as it came. The step W − lr · gradient is missing, or it went into a copy that you did not return.",
        lambda h, Y, c: 0 * h,
        "sum over the tokens: Your step is T times too long: both losses are means over the tokens, not sums.",
        lambda h, Y, c: len(h) * right_slope(h, Y, c),
        "averaged over T·N: Your gradient is N times too small: an average over all T·N entries. Both losses have one number for each token, and average over T.",
        lambda h, Y, c: right_slope(h, Y, c) / h.shape[1],
        "no z-loss: This is the step of the cross-entropy alone. The z-loss is missing, or it is cut off from W (`detach`, numpy), or taken of ln p, whose log-sum-exp is 0 whatever the logits are.",
        lambda h, Y, c: cross_entropy_slope(h, Y),
        "gradients added up: Your step is too long: gradients were added up. `.backward()` adds to what is in `.grad`: call it once, on the whole loss.",
        (
            lambda h, Y, c: 2 * right_slope(h, Y, c),
            lambda h, Y, c: cross_entropy_slope(h, Y) + right_slope(h, Y, c),
        ),
        "no cross-entropy: This is the step of the z-loss alone. The cross-entropy is missing.",
        lambda h, Y, c: c * z_slope(h),
        "coefficient of both: The coefficient stands before the z-loss alone: cross-entropy + z_loss_coef · z-loss.",
        (
            lambda h, Y, c: c * right_slope(h, Y, 1.0),
            lambda h, Y, c: c * cross_entropy_slope(h, Y) + z_slope(h),
            lambda h, Y, c: right_slope(h, Y, c) - c * cross_entropy_slope(h, Y),
        ),
        "coefficient squared: The coefficient is squared together with the log-sum-exp. It stands before the square.",
        lambda h, Y, c: right_slope(h, Y, c**2),
        "coefficient forgotten: The z-loss is in it, but with weight 1: multiply it by z_loss_coef.",
        lambda h, Y, c: right_slope(h, Y, 1.0),
        "z-loss subtracted: The z-loss has the wrong sign: it is added to the loss, so that large log-sum-exps cost something.",
        lambda h, Y, c: right_slope(h, Y, -c),
    )
    + by_formula(
        with_z,
        "z-loss summed: The squares of the log-sum-exp are added up over the tokens. The z-loss is their mean.",
        lambda h: len(h) * z_slope(h),
        "z-loss not squared: The z-loss is not squared. The mean log-sum-exp alone has no smallest value: it pushes the logits down for ever.",
        lambda h: routing.softmax(h) / len(h),
        "square of the mean: You averaged the log-sum-exp over the tokens and squared afterwards. Square each token's, then average.",
        lambda h: 2 * routing.log_sum_exp(h).mean() * routing.softmax(h) / len(h),
        "square of the sum: You added up the log-sum-exp of all tokens and squared afterwards. Square each token's, then average.",
        lambda h: 2 * routing.log_sum_exp(h).sum() * routing.softmax(h),
        "one log-sum-exp: Your log-sum-exp runs over all T·N logits at once. Each token has its own, over its experts: the last dimension.",
        lambda h: 2 * routing.log_sum_exp(h.ravel()) * routing.softmax(h.ravel()).reshape(h.shape),
        "no logarithm in the z-loss: The logarithm is missing in your z-loss: it squares Σ eʰ. It is the *log*-sum-exp that is squared: `torch.logsumexp(h, dim=-1)`.",
        lambda h: 2 * np.exp(h).sum(axis=1, keepdims=True) * np.exp(h) / len(h),
        "z-loss of the probabilities: You took the log-sum-exp of the probabilities. The z-loss is about the logits, before the softmax.",
        of_probabilities(z_slope),
        "largest logit: You square each token's largest logit. The z-loss squares its log-sum-exp, to which every logit adds.",
        lambda h: 2 * h * largest(h) / len(h),
        "mean of the exponentials: You averaged eʰ over the experts before the logarithm. The log-sum-exp takes their *sum*.",
        lambda h: 2 * (routing.log_sum_exp(h)[:, None] - np.log(h.shape[1])) * routing.softmax(h) / len(h),
        "squared logits: Your penalty is the mean over tokens of Σ h². The z-loss squares one number for each token, its log-sum-exp.",
        lambda h: 2 * h / len(h),
        "mean of squared logits: Your penalty is the mean of h². The z-loss squares one number for each token, its log-sum-exp.",
        lambda h: 2 * h / h.size,
        "along the tokens: Your log-sum-exp runs over the tokens (dim=0). It runs over the experts of one token: the last dimension.",
        lambda h: z_slope(h.T).T,
        "largest taken off: You took the log-sum-exp of logits from which each token's largest was taken off. That changes it: add it again, or use `torch.logsumexp`, which is stable by itself.",
        lambda h: (
            2
            * routing.log_sum_exp(h - h.max(axis=1, keepdims=True))[:, None]
            * (routing.softmax(h) - largest(h))
            / len(h)
        ),
        "z-loss without p: Your z-loss pushes all logits of a token alike. The derivative of the log-sum-exp by a logit is its p: 2 · LSE · p.",
        lambda h: 2 * routing.log_sum_exp(h)[:, None] * np.ones_like(h) / len(h),
        "half the z-loss: Half the z-loss: there is no ½ in it. Or you worked out the derivative of the square without its 2.",
        lambda h: z_slope(h) / 2,
    )
    + by_formula(
        with_cross_entropy,
        "cross-entropy summed: The cross-entropy is added up over the tokens. It is their mean: otherwise a larger batch takes longer steps.",
        lambda h, Y: len(h) * cross_entropy_slope(h, Y),
        "probability, not its logarithm: You raise the probability of the right domain. The cross-entropy is minus its *logarithm*: a token that is badly wrong must push hard, and in yours it hardly does.",
        of_probabilities(lambda p, Y: -Y / len(p)),
        "logits for ln p: You took the logits themselves for ln p: `F.nll_loss` expects logarithms of probabilities. Without the softmax nothing holds the other logits down. Use `log_softmax` first, or `F.cross_entropy`.",
        lambda h, Y: -Y / len(h),
        "cross-entropy averaged over T·N: The cross-entropy is N times too small: averaged over all T·N entries. It has one number for each token: average over T.",
        lambda h, Y: cross_entropy_slope(h, Y) / h.shape[1],
        "yes or no for each expert: Your loss asks each expert on its own, yes or no (a sigmoid for each logit). The cross-entropy asked for has one softmax over all experts.",
        lambda h, Y: (1 / (1 + np.exp(-h)) - Y) / h.size,
        "softmax twice: You passed probabilities to a function that expects logits: the softmax is taken twice. `F.cross_entropy` takes the logits as they are.",
        of_probabilities(cross_entropy_slope),
        "squared error: Your loss is a squared error. Asked is the cross-entropy, −ln p of the right domain.",
        (
            of_probabilities(lambda p, Y: 2 * (p - Y) / len(p)),
            of_probabilities(lambda p, Y: 2 * (p - Y) / p.size),
            lambda h, Y: 2 * (h - Y) / len(h),
            lambda h, Y: 2 * (h - Y) / h.size,
        ),
        "softmax over the tokens: Your softmax runs over the tokens (dim=0). It runs over the experts of one token: the last dimension.",
        lambda h, Y: (routing.softmax(h, axis=0) * Y.sum(axis=0) - Y) / len(h),
        "domain not used: You push each token towards the expert that it prefers already. `domain` says which one is right.",
        lambda h, Y: cross_entropy_slope(h, np.eye(h.shape[1])[h.argmax(axis=1)]),
        "another expert's domain: You push each token towards the expert next to its own, as if `domain` counted from 1. Domain i is expert i, both from 0.",
        (
            lambda h, Y: cross_entropy_slope(h, np.roll(Y, 1, axis=1)),
            lambda h, Y: cross_entropy_slope(h, np.roll(Y, -1, axis=1)),
        ),
        "another logarithm: Your logarithm is to base 2 or 10. The cross-entropy takes the natural one.",
        (lambda h, Y: cross_entropy_slope(h, Y) / np.log(2), lambda h, Y: cross_entropy_slope(h, Y) / np.log(10)),
        "pushed away: The cross-entropy has the wrong sign: the right domain's probability falls. It is *minus* ln p.",
        lambda h, Y: -cross_entropy_slope(h, Y),
    )
    + by_test(
        "weight decay: Your step has made W smaller besides, as `weight_decay` does. Asked is W − lr · gradient of this loss, and nothing else.",
        decays,
        "wrong length: Your step goes the right way, but is too long or too short. It is lr · gradient, with lr once, and the gradient of the mean over the tokens as it is.",
        lambda value, *case: along_the_gradient(value, *case) > 0,
        "uphill, wrong length: Two things. You went uphill: subtract the gradient. And your step is too long or too short: it is lr · gradient, with lr once, and the gradient of the mean over the tokens as it is.",
        lambda value, *case: along_the_gradient(value, *case) < 0,
        "the loss: This is a single number, such as the loss. Asked is the new W, (d, N).",
        lambda value, *case: isinstance(value, np.ndarray) and value.ndim == 0,
    ),
)
