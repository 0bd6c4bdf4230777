"""Question 2.3: the dense mixture."""

from collections.abc import Callable

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value


def mixture_cases(rng: np.random.Generator) -> list[tuple]:
    """Probabilities (T, N) and outputs (T, N, d) of all experts; T, N and d always differ, and T is once 1."""
    sizes = ((3, 4, 2), (5, 2, 3), (2, 3, 4), (1, 4, 3))
    return [(routing.softmax(rng.normal(size=(T, N))), rng.normal(size=(T, N, d)).round(1) + 0.05) for T, N, d in sizes]


def summed(letters: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the product of p (T, N) and outputs (T, N, d) that keeps these letters of tnd."""
    return lambda p, outputs: np.einsum(f"tn,tnd->{letters}", p, outputs)


def of_the_best(p: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the output of each token's most likely expert. (T, d)."""
    return outputs[np.arange(len(p)), p.argmax(axis=-1)]


def of_the_best_two(p: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the mixture of each token's two most likely experts, not renormalised. (T, d)."""
    return summed("td")(np.where(p >= np.sort(p)[:, -2:-1], p, 0), outputs)


def without(expert: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the mixture of p (T, N) and outputs (T, N, d) in which one expert is missing. (T, d)."""
    return lambda p, outputs: summed("td")(np.delete(p, expert, axis=1), np.delete(outputs, expert, axis=1))


def dealt_out_anew(p: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the mixture of outputs that were reshaped to (N, T, d), as if that exchanged the axes. (T, d)."""
    T, N, d = outputs.shape
    return np.einsum("tn,ntd->td", p, outputs.reshape(N, T, d))


MIXTURE = FunctionQuestion(
    **about("2.3", "The dense mixture", "write it", "easy", points=1, minutes=3),
    hints=(
        "Name the axes: p is t n, outputs is t n d. Which letters does the result keep, and which one is summed over?",
        "In `np.einsum`, letters that are missing right of `->` are summed over. Both inputs stand left of it, separated by a comma.",
    ),
    idea="`np.einsum('tn,tnd->td', p, outputs)`: t is kept, so each token uses its own weights; n is summed over; d is kept.",
    takeaway="Try such code on sizes T, N and d that all differ: where two are equal, a wrong axis may raise no error and leave the shape as it should be.",
    answer="my_mixture",
    parameters=("p", "outputs"),
    when_raised="If it is about shapes: p is (T, N), outputs is (T, N, d). Without einsum, p needs an axis of length 1 at its end: `p[:, :, None]`.",
    cases=mixture_cases,
    reference=summed("td"),
    mistakes=by_value(
        "unweighted: You added the outputs up without their probabilities.",
        lambda p, outputs: outputs.sum(axis=1),
        "plain mean: This is the plain mean of the outputs. Each counts with its own probability.",
        lambda p, outputs: outputs.mean(axis=1),
        "divided by N: You took the *mean* over the experts of p·E(x). The probabilities sum to 1 already, so add up and do not divide by N again.",
        lambda p, outputs: summed("td")(p, outputs) / p.shape[1],
        "first token's weights: Every token gets the probabilities of the first one. Each row of outputs goes with its own row of p.",
        lambda p, outputs: p[0] @ outputs,
        "best only: This is the output of each token's most likely expert. In the dense mixture all of them count.",
        of_the_best,
        "best only, weighted: Only each token's most likely expert is in your sum. In the dense mixture all of them count.",
        lambda p, outputs: p.max(axis=1, keepdims=True) * of_the_best(p, outputs),
        "best two only: Only each token's two most likely experts are in your sum. In the dense mixture all of them count.",
        (
            of_the_best_two,
            lambda p, outputs: of_the_best_two(p, outputs) / np.sort(p)[:, -2:].sum(axis=1, keepdims=True),
        ),
        "softmax again: You took a softmax of p. These are probabilities already; a second softmax makes them flatter.",
        (
            lambda p, outputs: summed("td")(routing.softmax(p), outputs),
            lambda p, outputs: summed("td")(routing.softmax(p.T).T, outputs),
        ),
        "least likely only: This is the output of each token's least likely expert. In the dense mixture all of them count.",
        lambda p, outputs: outputs[np.arange(len(p)), p.argmin(axis=-1)],
        "last expert missing: Right, but the last expert is missing from the sum. Does a loop end one too early?",
        without(-1),
        "first expert missing: Right, but the first expert is missing from the sum. Indices begin at 0.",
        without(0),
        "reshaped: You reshaped an array to exchange its axes. That deals its numbers out anew, row by row: turn it round with `transpose` or `.T`, or name the axes in `np.einsum`.",
        (
            dealt_out_anew,
            lambda p, outputs: summed("td")(p.reshape(p.shape[::-1]).T, outputs),
            lambda p, outputs: summed("dt")(p, outputs).reshape(len(p), -1),
        ),
        "last token's weights: Every token gets the probabilities of the last one. Each row of outputs goes with its own row of p.",
        lambda p, outputs: p[-1] @ outputs,
        "squared: You multiplied by p twice. Once is enough.",
        lambda p, outputs: summed("td")(p**2, outputs),
        "turned round: You weighted with 1 − p: the less likely an expert, the more it counts. Its weight is p.",
        (
            lambda p, outputs: summed("td")(1 - p, outputs),
            lambda p, outputs: summed("td")((1 - p) / (1 - p).sum(axis=1, keepdims=True), outputs),
        ),
        "logarithms: You weighted with ln p. The weight is p itself.",
        (lambda p, outputs: summed("td")(np.log(p), outputs), lambda p, outputs: -summed("td")(np.log(p), outputs)),
        "weights in another order: You gave the probabilities to the experts in another order, sorted or backwards. The first column of p belongs to the first expert.",
        (
            lambda p, outputs: summed("td")(p[:, ::-1], outputs),
            lambda p, outputs: summed("td")(np.sort(p), outputs),
            lambda p, outputs: summed("td")(-np.sort(-p), outputs),
        ),
        "largest for sum: You took the largest over the experts, number by number. The mixture is a sum.",
        (lambda p, outputs: summed("tnd")(p, outputs).max(axis=1), lambda p, outputs: outputs.max(axis=1)),
        "divided by T: You divided by the number of tokens as well. Each token has a mixture of its own: nothing is averaged over them.",
        lambda p, outputs: summed("td")(p, outputs) / len(p),
        "not summed: These are the weighted outputs one by one, (T, N, d). Add them up over the experts.",
        summed("tnd"),
        "summed over tokens: You summed over the tokens and kept the experts: (N, d). It is the experts that are added up, for each token.",
        (summed("nd"), lambda p, outputs: summed("nd")(p, outputs) / len(p)),
        "last expert only: Only the last expert is in your sum. Does a loop write `=` where `+=` belongs?",
        lambda p, outputs: p[:, -1:] * outputs[:, -1],
        "outputs of all tokens: Each token's weights go to the outputs of all tokens, which are added up, or averaged. Each token has outputs of its own.",
        (
            lambda p, outputs: p @ outputs.sum(axis=0),
            lambda p, outputs: p @ outputs.mean(axis=0),
        ),
        "summed over d: You summed over d and kept the experts: (T, N). The result has one vector of width d for each token.",
        summed("tn"),
        "every pair: (T, T, d): `@` pairs every token's weights with every token's outputs. Give each token's weights an axis, `p[:, None] @ outputs`, and drop it afterwards, or use `np.einsum`.",
        np.matmul,
        "transposed: The right numbers, turned round: (d, T). Tokens come first.",
        summed("dt"),
        "weights of all tokens: You added up, or averaged, the probabilities over the tokens first. Each token has its own.",
        (
            lambda p, outputs: p.sum(axis=0) @ outputs,
            lambda p, outputs: p.mean(axis=0) @ outputs,
        ),
        "over the tokens: You divided p by its sums over the tokens. A row of p sums to 1 already.",
        lambda p, outputs: summed("td")(p / p.sum(axis=0), outputs),
        "first token only: This is the mixture of the first token alone. Return one row for each, (T, d).",
        lambda p, outputs: p[0] @ outputs[0],
        "tokens added up: One vector for the whole batch: you added the tokens up as well. Each token has its own output.",
        summed("d"),
    ),
)
