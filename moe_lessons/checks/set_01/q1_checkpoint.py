"""Question 1.1: a router as a checkpoint stores it."""

from collections.abc import Callable
from functools import partial

import numpy as np
import scipy

from moe_lessons import routing
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_formula, by_value

# T (none for a single token), d and N of each case: the lesson's product runs where N = d; rows take a column where T = N.
SIZES = (((), 2, 3), ((), 5, 4), ((3,), 4, 6), ((4,), 3, 3), ((5,), 3, 5), ((1,), 3, 5))


def checkpoint_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (x, weight, bias) with few decimals, so that they read well; a bias has both signs."""
    cases = []
    for lead, d, N in SIZES:
        x = rng.normal(size=(*lead, d)).round(1) + 0.05  # (*lead, d)
        weight = rng.normal(size=(N, d)).round(1) + 0.01  # (N, d)
        bias = rng.permutation(np.linspace(-1.5, 2, N) + rng.uniform(-0.2, 0.2, size=N)).round(2)  # (N,)
        cases.append((x, weight, bias))
    return cases


def stored_logits(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the logits (..., N) of x (..., d): weight (N, d) holds a row for each expert, bias (N,) a number."""
    return routing.router_logits(x, weight.T) + bias  # (..., N)


def not_transposed(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the dot products (..., N) with the columns of weight (N, d), if N = d: elsewhere that does not run."""
    square = len(weight) == x.shape[-1]
    return x @ (weight if square else weight.T)  # (..., N)


def of_tokens(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the logits where T = N and the bias went to the tokens. (..., N)."""
    down = x.ndim > 1 and len(x) == len(bias)
    return x @ weight.T + (bias[:, None] if down else bias)  # (..., N)


def of_lone_tokens(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the logits where only a token by itself gets the bias, a batch does not. (..., N)."""
    return x @ weight.T + (bias if x.ndim == 1 else 0)  # (..., N)


def of_batches(row: Callable) -> Callable:
    """Return the function of a case that makes `row` (N,) of a batch's logits (T, N), and is right for one token."""
    return lambda x, weight, bias: row(np.atleast_2d(stored_logits(x, weight, bias)))


def piled_up(pile: Callable) -> Callable:
    """Return the function of a case whose rows hold other tokens' dot products, too: `pile` adds them up. (..., N)."""
    return lambda x, weight, bias: (x @ weight.T if x.ndim == 1 else pile(x @ weight.T)) + bias


def distances(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the distances between x (..., d) and every row of weight (N, d). (..., N)."""
    return np.linalg.norm(x[..., None, :] - weight, axis=-1)


def best_only(other: float, h: np.ndarray) -> np.ndarray:
    """Return the largest of each row of h (..., N), and another number in place of the rest."""
    return np.where(h == h.max(axis=-1, keepdims=True), h, other)


def cosines(x: np.ndarray, W_g: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between x (..., d) and every column of W_g (d, N)."""
    return x @ W_g / (np.linalg.norm(x, axis=-1, keepdims=True) * np.linalg.norm(W_g, axis=0))  # (..., N)


LOGITS = FunctionQuestion(
    **about("1.1", "A router from a checkpoint", "write it", "easy", points=1, minutes=5),
    hints=(
        "Which axis of `weight` is as long as x? A dot product runs over that one. What is left counts the experts.",
        "`weight.T` is the lesson's `W_g`. What comes of the product has the experts on its last axis, and so has the bias.",
    ),
    idea="A row of the stored matrix is an expert's prototype, so the product is `x @ weight.T`. The bias belongs to the experts: the same N numbers are added to the logits of every token.",
    takeaway="Where N equals d, a matrix that is the wrong way round raises no error: compare one logit with a dot product by hand before you trust a loaded router.",
    answer="my_logits",
    parameters=("x", "weight", "bias"),
    stands_for=("routing.router_logits", "routing.route"),
    when_raised="If it is about shapes: `weight` is (N, d) here, a row for each expert, where the lesson's `W_g` is (d, N). x (..., d) meets d on the last axis of `weight`, and the bias (N,) meets N on the last axis of the logits. Of a batch, `weight @ x.T` comes out transposed, (N, T), with no place for the bias: x stands first, and gives (T, N).",
    cases=checkpoint_cases,
    reference=stored_logits,
    mistakes=by_value(
        "not transposed: Right where N and d differ. Where N = d, you took x against the columns of `weight`, as the lesson does with `W_g`. That runs, and is wrong: in a checkpoint an expert is a row.",
        lambda x, weight, bias: not_transposed(x, weight) + bias,
        "not transposed: Where N = d, you took x against the columns of `weight`, as the lesson does with `W_g`. In a checkpoint an expert is a row. And the bias is not added.",
        lambda x, weight, bias: not_transposed(x, weight),
        "reshaped: `weight` was reshaped to (d, N). That shuffles its numbers: a column is no longer the prototype of one expert. Turn the matrix round instead.",
        (
            lambda x, weight, bias: x @ weight.reshape(weight.shape[::-1]) + bias,
            lambda x, weight, bias: x @ weight.reshape(weight.shape[::-1]),
        ),
        "bias forgotten: The dot products are right. This router has a bias as well: it is added to them.",
        lambda x, weight, bias: x @ weight.T,
        "bias subtracted: The bias is added, not subtracted.",
        lambda x, weight, bias: x @ weight.T - bias,
        "dot products subtracted: You subtracted the dot products from the bias. They are added.",
        lambda x, weight, bias: bias - x @ weight.T,
        "bias multiplied: The bias is added to the logits. You multiplied by it.",
        lambda x, weight, bias: x @ weight.T * bias,
        "bias for each token: In the batch with T = N you gave each *token* its own number of the bias. It has one for each expert, the same for all tokens.",
        of_tokens,
        "bias twice: You added the bias twice. Once is enough.",
        lambda x, weight, bias: x @ weight.T + 2 * bias,
        "bias for one token only: Right for a token by itself. In a batch no bias is added: every token gets it.",
        of_lone_tokens,
        "bias for a batch only: Right for a batch. A token by itself gets no bias: every token gets it.",
        lambda x, weight, bias: x @ weight.T + (bias if x.ndim > 1 else 0),
        "bias once for each token: Right for one token. In a batch of T tokens the bias was added T times to every row, once in each round of a loop, say. Each row gets it once.",
        lambda x, weight, bias: x @ weight.T + (len(x) if x.ndim > 1 else 1) * bias,
        "tokens piled up: Right for one token. In a batch a row holds the dot products of other tokens as well. Does a sum go on from one token to the next? `h = bias` makes no copy, so `h += ...` writes into the bias.",
        (
            piled_up(lambda h: np.cumsum(h, axis=0)),
            piled_up(lambda h: h.sum(axis=0) + 0 * h),
        ),
        "bias in the rows: You added the bias to the entries of `weight`, so it was multiplied by the token. It is added after the product.",
        lambda x, weight, bias: x @ (weight + bias[:, None]).T,
        "bias as one number: You made one number of the bias, its sum, its mean or one entry, say, and gave every expert the same. Each expert has its own.",
        (
            lambda x, weight, bias: x @ weight.T + bias[0],
            lambda x, weight, bias: x @ weight.T + bias[-1],
            lambda x, weight, bias: x @ weight.T + bias.max(),
            lambda x, weight, bias: x @ weight.T + bias.sum(),
            lambda x, weight, bias: x @ weight.T + bias.mean(),
        ),
    )
    + by_formula(
        lambda wrong: lambda x, weight, bias: wrong(stored_logits(x, weight, bias)),
        "probabilities: These are probabilities: you went on to the softmax. Logits come before it.",
        (routing.softmax, lambda h: routing.softmax(h.T).T, lambda h: np.exp(h) / np.exp(h).sum()),
        "logarithms of probabilities: You subtracted the logarithm of the sum of exponentials: these are the logarithms of probabilities. Logits come before the softmax.",
        lambda h: h - routing.log_sum_exp(h)[..., None],
        "sigmoid: You went on to a sigmoid, or a tanh. A logit is the sum itself: the dot product plus the bias.",
        (lambda h: scipy.special.expit(h), np.tanh),
        "level shifted: You subtracted the largest logit of each token, or the mean. That is a first step of a softmax: leave the logits as they are.",
        (lambda h: h - h.max(axis=-1, keepdims=True), lambda h: h - h.mean(axis=-1, keepdims=True)),
        "sorted: The right logits, sorted. Each belongs in the place of its own expert.",
        (np.sort, lambda h: -np.sort(-h)),
        "best only: You kept each token's largest logit only. Asked are the logits of all N experts.",
        tuple(partial(best_only, other) for other in (0, -np.inf)),
        "flattened: The right numbers in one row. Keep the tokens apart: (T, N).",
        np.ravel,
        "ReLU: Logits below 0 came out as 0. They may be negative: leave them.",
        lambda h: np.maximum(h, 0),
        "chosen expert: This is the index of the largest logit. Asked are the logits of all N experts, before anything is chosen.",
        lambda h: h.argmax(axis=-1),
        "batch of one squeezed: Right, but a batch of one token comes out without its first axis. For x of shape (1, d) return (1, N).",
        np.squeeze,
        "16 bits: Right, but with 16 bits, which keep three digits or so. Return float32 or float64.",
        lambda h: h.astype(np.float16).astype(float),
        "exponentials: These are the exponentials of the logits. They belong to the next step, the softmax.",
        np.exp,
        "always a batch: The right numbers, but a token by itself comes out as a batch of one, (1, N). For x of shape (d,) return (N,).",
        np.atleast_2d,
        "transposed result: Right for one token, but a batch comes out as (N, T). Tokens come first: (T, N).",
        np.transpose,
    )
    + by_value(
        "probabilities: These are probabilities, and without the bias. Logits come before the softmax, and the bias is added to them.",
        lambda x, weight, bias: routing.softmax(x @ weight.T),
        "bias after the softmax: You added the bias to probabilities. It is added to the dot products, and that is all.",
        lambda x, weight, bias: routing.softmax(x @ weight.T) + bias,
        "tokens added up: Right for one token. Of a batch you return one row: you added its tokens up, or averaged them. Return a row for each, (T, N).",
        (of_batches(lambda h: h.sum(axis=0)), of_batches(lambda h: h.mean(axis=0))),
        "first token only: Right for one token. Of a batch you return the first token's row alone: does a loop return too early? Return a row for each, (T, N).",
        of_batches(lambda h: h[0]),
        "last token only: Right for one token. Of a batch you return the last token's row alone: does a loop write over what came before? Return a row for each, (T, N).",
        of_batches(lambda h: h[-1]),
        "one row again and again: Right for one token. In a batch every row is that of the last token: do you append one array again and again, and write into it? Append a copy.",
        lambda x, weight, bias: stored_logits(np.broadcast_to(np.atleast_2d(x)[-1], x.shape), weight, bias),
        "distance: You measured how far the token is from each prototype. A logit is the dot product of the two, plus the bias.",
        (
            lambda x, weight, bias: distances(x, weight) + bias,
            lambda x, weight, bias: bias - distances(x, weight),
            lambda x, weight, bias: bias - distances(x, weight) ** 2,
        ),
        "scaled: You divided by √d, as attention does. A router's logits are not scaled.",
        (
            lambda x, weight, bias: stored_logits(x, weight, bias) / np.sqrt(x.shape[-1]),
            lambda x, weight, bias: x @ weight.T / np.sqrt(x.shape[-1]) + bias,
        ),
        "cosine: You divided by the lengths, which gives the cosine of the angle. A logit is the plain dot product: the lengths stay in.",
        (
            lambda x, weight, bias: cosines(x, weight.T) + bias,
            lambda x, weight, bias: cosines(x, weight.T),
        ),
        "one length left out: You divided by the length of the token, or of the prototypes. A logit is the plain dot product: the lengths stay in.",
        (
            lambda x, weight, bias: stored_logits(x / np.linalg.norm(x, axis=-1, keepdims=True), weight, bias),
            lambda x, weight, bias: stored_logits(x, weight / np.linalg.norm(weight, axis=-1, keepdims=True), bias),
        ),
    ),
)
