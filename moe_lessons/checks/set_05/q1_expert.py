"""Question 5.1: an expert."""

import math
from collections.abc import Callable

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import normal_cdf
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value

LAYER = tuple(f"layer.{name}" for name in ("MoELayer", "Experts", "feed_forward", "per_token", "per_expert"))


def expert_cases(rng: np.random.Generator) -> list[tuple]:
    """Several tokens, one token, and an expert that is narrower than its input. Returns (x, W1, W2, W3) of each."""
    cases = []
    for T, d, f in ((4, 3, 5), (1, 4, 6), (6, 5, 2)):
        shapes = ((T, d), (d, f), (f, d), (d, f))
        cases.append(tuple(rng.normal(size=shape).round(1) + 0.05 for shape in shapes))
    return cases


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-z), same shape."""
    return 1 / (1 + np.exp(-z))


def silu(z: np.ndarray) -> np.ndarray:
    """Return z · sigmoid(z), same shape."""
    return z * sigmoid(z)


def gelu(z: np.ndarray) -> np.ndarray:
    """Return z times the normal distribution function at z, same shape."""
    return z * normal_cdf(z)


def tanh_gelu(z: np.ndarray) -> np.ndarray:
    """Return the usual approximation of `gelu`, same shape."""
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def with_hidden(hidden: Callable) -> Callable:
    """Return the expert whose hidden layer is hidden(x W1, x W3): (T, d) of x (T, d), W1 (d, f), W2 (f, d), W3 (d, f)."""
    return lambda x, W1, W2, W3: hidden(x @ W1, x @ W3) @ W2


swiglu = with_hidden(lambda a, b: silu(a) * b)

EXPERT = FunctionQuestion(
    **about("5.1", "An expert", "write it", "easy", points=1, minutes=6),
    hints=(
        "Two products go from width d to width f: `x @ W1` and `x @ W3`. The first of them passes through silu.",
        "silu(z) is z times sigmoid(z), which is `z / (1 + np.exp(-z))`. Multiply the two branches entry by entry (`*`), then `@ W2` leads back to width d.",
    ),
    idea="One branch carries numbers and the other decides how much of each passes; W2 brings the result back to the width d of the token, so that the outputs of several experts can be added.",
    answer="my_expert",
    parameters=("x", "W1", "W2", "W3"),
    stands_for=LAYER,
    when_raised="Go through the shapes: x (T, d), W1 and W3 (d, f), so both branches are (T, f), and W2 (f, d) leads back. Nothing is transposed (torch's nn.Linear stores the transpose). The product of the branches is entry by entry, and comes before W2.",
    cases=expert_cases,
    reference=swiglu,
    mistakes=by_value(
        "ReLU: You used ReLU. SwiGLU's activation is silu(z) = z · sigmoid(z): smooth, and a little below 0 for negative z.",
        with_hidden(lambda a, b: np.maximum(a, 0) * b),
        "sigmoid: You used the sigmoid alone: that is the older GLU. silu is z · sigmoid(z); the factor z is missing.",
        with_hidden(lambda a, b: sigmoid(a) * b),
        "GELU: You used GELU: that is GEGLU, a relative. silu is z · sigmoid(z).",
        with_hidden(lambda a, b: gelu(a) * b),
        "GELU by tanh: You used GELU, in its approximation by tanh: that is GEGLU, a relative. silu is z · sigmoid(z).",
        with_hidden(lambda a, b: tanh_gelu(a) * b),
        "sign: The sigmoid is the wrong way round: your silu is z / (1 + e^z). It should be z / (1 + e^-z), which passes large positive z.",
        with_hidden(lambda a, b: a * sigmoid(-a) * b),
        "softmax: You used a softmax where the sigmoid belongs. In a softmax the f hidden units compete; the sigmoid looks at each alone.",
        with_hidden(lambda a, b: a * routing.softmax(a) * b),
        "no activation: You multiplied the branches without silu.",
        with_hidden(lambda a, b: a * b),
        "gate on the other branch: Your silu is on x W3. It belongs on x W1; x W3 is the branch that stays as it is.",
        with_hidden(lambda a, b: a * silu(b)),
        "both activated: You applied silu to both branches. x W3 stays as it is.",
        with_hidden(lambda a, b: silu(a) * silu(b)),
        "activated product: You multiplied the branches first and applied silu to the product. silu belongs on x W1 alone.",
        with_hidden(lambda a, b: silu(a * b)),
        "plain ReLU expert: This is the older expert, ReLU(x W1) W2. SwiGLU has a second branch, x W3, and silu in place of ReLU.",
        with_hidden(lambda a, b: np.maximum(a, 0)),
        "silu after W2: You applied silu to the result, after W2. It belongs on x W1, before the branches are multiplied.",
        lambda x, W1, W2, W3: silu(((x @ W1) * (x @ W3)) @ W2),
        "W3 forgotten: This is silu(x W1) W2. The second branch, x W3, is not in it.",
        with_hidden(lambda a, b: silu(a)),
        "added: You added the branches. The gate multiplies: silu(x W1) * (x W3).",
        with_hidden(lambda a, b: silu(a) + b),
        "W2 forgotten: This is the hidden layer, of width f. W2 leads back to width d.",
        lambda x, W1, W2, W3: silu(x @ W1) * (x @ W3),
        "with residual: You added x. The residual connection is around the whole layer, not part of an expert: k experts would add x k times, weighted.",
        lambda x, W1, W2, W3: x + swiglu(x, W1, W2, W3),
        "tokens as columns: The numbers are right, but your result is (d, T). Tokens are rows: (T, d).",
        lambda x, W1, W2, W3: swiglu(x, W1, W2, W3).T,
    ),
)
