"""Question 5.1: an expert from a checkpoint."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import scipy

from moe_lessons import routing
from moe_lessons.checks.gates import normal_cdf
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value

LAYER = tuple(f"layer.{name}" for name in ("MoELayer", "Experts", "feed_forward", "per_token", "per_expert"))


def expert_cases(rng: np.random.Generator) -> list[tuple]:
    """Several tokens, one token, an expert that is narrower than its input, and tokens so large that a clip would show.

    Returns (x, W13, W2) of each.
    """
    cases = []
    for T, d, d_ff, large in ((4, 3, 5, 1), (1, 4, 6, 1), (6, 5, 2, 1), (9, 4, 7, 8)):
        shapes = ((T, d), (d, 2 * d_ff), (d_ff, d))
        x, W13, W2 = (rng.normal(size=shape).round(1) + 0.05 for shape in shapes)
        cases.append((large * x, W13, W2))
    return cases


def silu(z: np.ndarray) -> np.ndarray:
    """Return z · sigmoid(z), same shape."""
    return z * scipy.special.expit(z)


def gelu(z: np.ndarray) -> np.ndarray:
    """Return z times the normal distribution function at z, same shape."""
    return z * normal_cdf(z)


def tanh_gelu(z: np.ndarray) -> np.ndarray:
    """Return the usual approximation of `gelu`, same shape."""
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def interleaved(W13: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns 0, 2, 4, … and 1, 3, 5, … of W13 (d, 2·d_ff). (d, d_ff) each."""
    return W13[:, 0::2], W13[:, 1::2]


def halves(W13: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the second half of the columns of W13 (d, 2·d_ff). (d, d_ff) each."""
    first, second = np.hsplit(W13, 2)  # (d, d_ff) each
    return first, second


def with_hidden(hidden: Callable, parted: Callable = interleaved) -> Callable:
    """Return the expert whose hidden layer is hidden(x W1, x W3), of the two matrices that parted(W13) finds."""

    def expert(x: np.ndarray, W13: np.ndarray, W2: np.ndarray) -> np.ndarray:
        W1, W3 = parted(W13)  # (d, d_ff) each
        return hidden(x @ W1, x @ W3) @ W2  # (T, d)

    return expert


def gated(gate: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the hidden layer of SwiGLU, silu(gate) times the other factor, same shape."""
    return silu(gate) * other


swiglu = with_hidden(gated)


def slower(z: np.ndarray) -> np.ndarray:
    """Return z · sigmoid(1.702 z), same shape."""
    return z * scipy.special.expit(1.702 * z)


def clipped(hidden: Callable) -> Callable:
    """Return the hidden layer of factors that are clipped as gpt-oss does."""
    return lambda a, b: hidden(np.minimum(a, 7), np.clip(b, -7, 7))


def as_in_gpt_oss(steeper: bool, raised: bool, limited: bool) -> Callable:
    """Return the hidden layer with some of what gpt-oss does in another way."""

    def hidden(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (slower(a) if steeper else silu(a)) * (b + raised)

    return clipped(hidden) if limited else hidden


OF_GPT_OSS = [as_in_gpt_oss(*some) for some in product((False, True), repeat=3) if any(some)]

EXPERT = FunctionQuestion(
    **about("5.1", "An expert from a checkpoint", "write it", "easy", points=1, minutes=5),
    hints=(
        "`W13[:, 0::2]` takes every second column, beginning with column 0; the others begin with column 1. Or multiply first: the columns of `x @ W13` lie as those of W13 do.",
        "Name the gate's columns W1 and the others W3, (d, d_ff) each; then it is (silu(x W1) * x W3) W2. silu(z) is z times sigmoid(z), which is `z / (1 + np.exp(-z))`.",
    ),
    idea="Two matrices stored as one are still two: first find out which column belongs to which. Then the formula is the lesson's.",
    takeaway="Interleaved or in halves, the shape is the same: a checkpoint read in the wrong layout runs without an error, and only the outputs tell.",
    answer="my_expert",
    parameters=("x", "W13", "W2"),
    stands_for=LAYER,
    when_raised="Go through the shapes: x (T, d), W13 (d, 2·d_ff), so gate and other factor are (T, d_ff) each, and W2 (d_ff, d) leads back. Nothing is transposed. The two are multiplied entry by entry, before W2.",
    quiet=True,
    cases=expert_cases,
    reference=swiglu,
    mistakes=by_value(
        "halves: You took the first half of W13's columns for the gate and the second half for the other factor, `W13[:, :d_ff]` and `W13[:, d_ff:]`. Some models are stored so. Here the columns alternate: 0, 2, 4, … are the gate's.",
        with_hidden(gated, halves),
        "halves, gate last: You cut W13 into two halves, with the gate second. Here the columns alternate: 0, 2, 4, … are the gate's, and 1, 3, 5, … the other factor's.",
        with_hidden(lambda a, b: a * silu(b), halves),
        "cut by rows: You cut W13 into pieces along its rows, as a reshape to (2, d, d_ff) does: numbers of one column end up in different columns. The two matrices are columns of W13: all d rows, every second column.",
        with_hidden(gated, lambda W13: W13.reshape(2, len(W13), -1)),
        "gate on the other branch: Your silu is on the odd columns. The gate's columns are 0, 2, 4, …: silu belongs on them.",
        with_hidden(lambda a, b: a * silu(b)),
        "ReLU: You used ReLU. SwiGLU's activation is silu(z) = z · sigmoid(z): smooth, and a little below 0 for negative z.",
        with_hidden(lambda a, b: np.maximum(a, 0) * b),
        "sigmoid: You used the sigmoid alone: that is the older GLU. silu is z · sigmoid(z); the factor z is missing.",
        with_hidden(lambda a, b: scipy.special.expit(a) * b),
        "GELU: You used GELU: that is GEGLU, a relative. silu is z · sigmoid(z).",
        with_hidden(lambda a, b: gelu(a) * b),
        "GELU by tanh: You used GELU, in its approximation by tanh: that is GEGLU, a relative. silu is z · sigmoid(z).",
        with_hidden(lambda a, b: tanh_gelu(a) * b),
        "sign: The sigmoid is the wrong way round: your silu is z / (1 + e^z). It should be z / (1 + e^-z), which passes large positive z.",
        with_hidden(lambda a, b: a * scipy.special.expit(-a) * b),
        "softmax: You used a softmax where the sigmoid belongs. In a softmax the d_ff hidden units compete; the sigmoid looks at each alone.",
        (
            with_hidden(lambda a, b: a * routing.softmax(a) * b),
            with_hidden(lambda a, b: routing.softmax(a) * b),
        ),
        "as in gpt-oss: Part of this is gpt-oss's own: z · sigmoid(1.702 z), the other factor plus 1, or values that are clipped. Here it is silu(z) = z · sigmoid(z), times the other factor as it is.",
        tuple(map(with_hidden, OF_GPT_OSS)),
        "same columns twice: Gate and other factor come from the same columns. The gate's are 0, 2, 4, …, the other factor's 1, 3, 5, ….",
        (with_hidden(lambda a, b: gated(a, a)), with_hidden(lambda a, b: gated(b, b))),
        "tanh: You used tanh. SwiGLU's activation is silu(z) = z · sigmoid(z), which is unbounded above.",
        with_hidden(lambda a, b: np.tanh(a) * b),
        "softplus: You used softplus, ln(1 + e^z). SwiGLU's activation is silu(z) = z · sigmoid(z), which is a little below 0 for negative z.",
        with_hidden(lambda a, b: np.logaddexp(0, a) * b),
        "sigmoid of the other factor: The sigmoid looks at the wrong branch. In silu(z) = z · sigmoid(z) both z are the gate's, x W1.",
        with_hidden(lambda a, b: a * scipy.special.expit(b)),
        "z of the other factor: In your silu the factor z is the other factor's. In silu(z) = z · sigmoid(z) both z are the gate's, x W1.",
        with_hidden(lambda a, b: scipy.special.expit(a) * b * b),
        "matrices multiplied: You multiplied the two matrices entry by entry. What is multiplied entry by entry are x W1 and x W3, after the products with x.",
        (
            lambda x, W13, W2: silu(x @ (W13[:, 0::2] * W13[:, 1::2])) @ W2,
            lambda x, W13, W2: (x @ (W13[:, 0::2] * W13[:, 1::2])) @ W2,
            lambda x, W13, W2: (x @ (silu(W13[:, 0::2]) * W13[:, 1::2])) @ W2,
        ),
        "activated input: You applied silu to x, before W1. It belongs on the gate, x W1.",
        (
            lambda x, W13, W2: with_hidden(np.multiply)(silu(x), W13, W2),
            lambda x, W13, W2: ((silu(x) @ W13[:, 0::2]) * (x @ W13[:, 1::2])) @ W2,
        ),
        "multiplied after W2: You brought both factors through W2 and multiplied what came. They are multiplied before, and W2 follows once.",
        lambda x, W13, W2: (silu(x @ W13[:, 0::2]) @ W2) * (x @ W13[:, 1::2] @ W2),
        "no activation: You multiplied the two factors without silu.",
        with_hidden(lambda a, b: a * b),
        "both activated: You applied silu to both factors. Only the gate, the even columns, passes through silu.",
        with_hidden(lambda a, b: silu(a) * silu(b)),
        "activated product: You multiplied the two factors first and applied silu to the product. silu belongs on the gate alone.",
        with_hidden(lambda a, b: silu(a * b)),
        "plain ReLU expert: This is the older expert, with ReLU and one factor. SwiGLU has two: silu of the even columns, times the odd ones.",
        with_hidden(lambda a, b: np.maximum(a, 0)),
        "silu after W2: You applied silu to the result, after W2. It belongs on the gate, before the factors are multiplied.",
        lambda x, W13, W2: silu(with_hidden(lambda a, b: a * b)(x, W13, W2)),
        "other factor forgotten: This is silu of the gate, times W2. The other factor, the odd columns, is not in it.",
        with_hidden(lambda a, b: silu(a)),
        "added: You added the two factors. The gate multiplies: silu(x W1) * (x W3).",
        with_hidden(lambda a, b: silu(a) + b),
        "W2 forgotten: This is the hidden layer, of width d_ff. W2 leads back to width d.",
        lambda x, W13, W2: gated(*(x @ W for W in interleaved(W13))),
        "with residual: You added x. The residual connection is around the whole layer, not part of an expert: k experts would add x k times, weighted.",
        lambda x, W13, W2: x + swiglu(x, W13, W2),
        "tokens as columns: The numbers are right, but your result is (d, T). Tokens are rows: (T, d).",
        lambda x, W13, W2: swiglu(x, W13, W2).T,
    ),
)
