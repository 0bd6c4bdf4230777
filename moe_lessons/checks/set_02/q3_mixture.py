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
        lambda p, outputs: summed("td")(routing.softmax(p), outputs),
        "not summed: These are the weighted outputs one by one, (T, N, d). Add them up over the experts.",
        summed("tnd"),
        "summed over tokens: You summed over the tokens and kept the experts: (N, d). It is the experts that are added up, for each token.",
        summed("nd"),
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
