"""Question 11r.3: one balance loss from the sums of several parts of a batch."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import unbracketed
from moe_lessons.checks.verdicts import by_formula, by_value


def part_cases(rng: np.random.Generator) -> list[tuple]:
    """Counts (parts, N), mean probabilities (parts, N) and tokens (parts,): parts of unequal size, k 1, 2 and 3."""
    return [draw_parts(rng, *sizes) for sizes in ((3, 5, 1), (4, 6, 2), (2, 7, 3))]


def draw_parts(rng: np.random.Generator, parts: int, N: int, k: int) -> tuple[np.ndarray, ...]:
    """Draw parts that lean to different experts; one expert is idle in the first, none in all."""
    tokens = rng.permutation(np.array([12, 31, 55, 90])[:parts])  # (parts,)
    counts = np.zeros((parts, N), dtype=int)
    lean = rng.normal(size=(parts, N))  # (parts, N)
    lean[0, rng.integers(N)] = -np.inf
    for part, T in enumerate(tokens):
        chosen = np.argsort(-(lean[part] + rng.gumbel(size=(T, N))), axis=1)[:, :k]  # (T, k)
        counts[part] = np.bincount(chosen.ravel(), minlength=N)
    if not counts.any(axis=0).all():
        return draw_parts(rng, parts, N, k)
    return counts, rng.dirichlet(np.full(N, 2.0), size=parts), tokens


def whole(counts: np.ndarray, P: np.ndarray, tokens: np.ndarray) -> float:
    """Return N Σ f_i P_i of the batch that the parts make up."""
    f, mean = counts.sum(axis=0) / counts.sum(), tokens @ P / tokens.sum()  # (N,) each
    return float(len(f) * f @ mean)


def with_shares(formula: Callable[[np.ndarray, np.ndarray, np.ndarray], object]) -> Callable[..., object]:
    """Return the answer that a formula of each part's shares (parts, N), of P (parts, N) and of tokens (parts,) gives."""
    return lambda counts, P, tokens: formula(counts / counts.sum(axis=1, keepdims=True), P, tokens)


def with_all(formula: Callable[[np.ndarray, np.ndarray, np.ndarray], object]) -> Callable[..., object]:
    """Return the answer that a formula of the batch's shares f (N,), of P (parts, N) and of tokens (parts,) gives."""
    return lambda counts, P, tokens: formula(counts.sum(axis=0) / counts.sum(), P, tokens)


PARTS = FunctionQuestion(
    **about("11r.3", "One loss from four machines", "write it", "medium", points=1, minutes=6),
    hints=(
        "The balance loss of the whole batch needs f and P of the whole batch. How do you get each of them from the parts? The parts are not equally large.",
        "Counts just add up: `counts.sum(axis=0) / counts.sum()` is f. A mean over all tokens is `tokens @ P / tokens.sum()`. Multiply these two, add up, times N.",
    ),
    idea="f and P are means over tokens: put them together over the parts first, weighted by tokens, and multiply after that.",
    takeaway="A loss with the scope of the whole batch costs one small sum over the machines: 2N + 1 numbers from each. A mean of their losses asks something else.",
    answer="my_whole_loss",
    parameters=("counts", "P", "tokens"),
    cases=part_cases,
    reference=whole,
    read=lambda value, *_: unbracketed(value),
    mistakes=(
        *by_value(
            "rounded: Right, but rounded to one decimal. Return the number as it is; round only when you print.",
            lambda counts, P, tokens: round(whole(counts, P, tokens), 1),
        ),
        *by_formula(
            with_shares,
            "mean of the parts' losses: You computed a loss for each part and averaged. That asks every part to be balanced; asked is the loss of the whole batch, in which parts may lean.",
            lambda f, P, tokens: len(P[0]) * (f * P).sum(axis=1).mean(),
            "weighted mean of the parts' losses: You computed a loss for each part and averaged by size, or weighed each expert's P by its counts. A product of means is not a mean of products: put f together, and P by tokens, before you multiply.",
            lambda f, P, tokens: len(P[0]) * tokens @ (f * P).sum(axis=1) / tokens.sum(),
            "sum of the parts' losses: You added up the losses of the parts. Asked is one loss, of the batch that they make up.",
            lambda f, P, tokens: len(P[0]) * (f * P).sum(),
            "parts weigh alike: You took plain means over the parts. A part with more tokens counts for more, in f and in P.",
            lambda f, P, tokens: len(P[0]) * f.mean(axis=0) @ P.mean(axis=0),
            "f unweighted: P is right. But you took the plain mean of the parts' shares: the parts are not equally large. Add up the counts, then divide.",
            lambda f, P, tokens: len(P[0]) * f.mean(axis=0) @ (tokens @ P) / tokens.sum(),
            "f of one part: P is right. But f is that of one part alone. Add up the counts of all parts, then divide.",
            tuple(lambda f, P, tokens, i=i: len(P[0]) * f[i] @ (tokens @ P) / tokens.sum() for i in (0, -1)),
            "one for each part: These are the losses of the parts. Asked is one number, the loss of the whole batch.",
            lambda f, P, tokens: len(P[0]) * (f * P).sum(axis=1),
            "one of the parts: This is the loss of one part. Asked is that of the whole batch.",
            (
                *(lambda f, P, tokens, i=i: len(P[0]) * f[i] @ P[i] for i in (0, -1)),
                *(
                    lambda f, P, tokens, of=of: len(P[0]) * f[of(tokens)] @ P[of(tokens)]
                    for of in (np.argmax, np.argmin)
                ),
                *(lambda f, P, tokens, of=of: len(P[0]) * of((f * P).sum(axis=1)) for of in (np.max, np.min)),
            ),
        ),
        *by_formula(
            with_all,
            "P unweighted: f is right. But you took the plain mean of P over the parts: it is a mean over tokens, and the parts are not equally large.",
            lambda f, P, tokens: len(f) * f @ P.mean(axis=0),
            "P of one part: f is right. But P is that of one part alone. It is a mean over the tokens of all parts.",
            tuple(lambda f, P, tokens, i=i: len(f) * f @ P[i] for i in (0, -1)),
            "f twice: This is N Σ f_i²: P is not in it.",
            lambda f, P, tokens: len(f) * f @ f,
            "not summed: These are N f_i P_i, one for each expert. The loss is their sum.",
            lambda f, P, tokens: len(f) * f * (tokens @ P) / tokens.sum(),
            "P added: You added up P over the parts. It is a mean: weigh it by the tokens and divide.",
            (lambda f, P, tokens: len(f) * f @ P.sum(axis=0), lambda f, P, tokens: len(f) * f @ (tokens @ P)),
            "without N: The factor N is missing, or it is a mean over the experts in the place of a sum: at balance the loss is 1.",
            lambda f, P, tokens: f @ (tokens @ P) / tokens.sum(),
            "N twice: N is there twice, or N is squared: at balance the loss is 1.",
            lambda f, P, tokens: len(f) ** 2 * f @ (tokens @ P) / tokens.sum(),
            "number of parts: You multiplied by the number of parts. N is the number of experts, `counts.shape[1]`.",
            lambda f, P, tokens: len(P) * f @ (tokens @ P) / tokens.sum(),
            "P twice: This is N Σ P_i²: f is not in it.",
            lambda f, P, tokens: len(f) * np.square(tokens @ P / tokens.sum()).sum(),
            "divided by the parts: P weighed by tokens is divided by the number of parts. Divide by all tokens.",
            lambda f, P, tokens: len(f) * f @ (tokens @ P) / len(tokens),
            "weights that do not sum to 1: The weights of P do not sum to 1. Divide the tokens by their *sum*, `tokens.sum()`, and add up.",
            (
                lambda f, P, tokens: len(f) * f @ (tokens @ P) / tokens.max(),
                lambda f, P, tokens: len(f) * f @ (tokens @ P) / tokens.max() / len(tokens),
                lambda f, P, tokens: len(f) * f @ (tokens @ P) / tokens.mean(),
                lambda f, P, tokens: len(f) * f @ (tokens @ P) / tokens.sum() / len(tokens),
            ),
            "each expert over the parts: You divided each expert's counts by its own sum over the parts, so every expert has the same f. f is the expert's share of *all* assignments: add up the parts first, then divide by `counts.sum()`.",
            (lambda f, P, tokens: len(f) / len(P), lambda f, P, tokens: len(f)),
            "less 1: This is the loss less 1, what it has at balance. Asked is the loss.",
            lambda f, P, tokens: len(f) * f @ (tokens @ P) / tokens.sum() - 1,
        ),
        *by_value(
            "P unweighted, counts by tokens: Two things. You took the plain mean of P over the parts: it is a mean over tokens, and the parts are not equally large. And you divided the counts by the tokens: each makes k assignments.",
            lambda counts, P, tokens: len(P[0]) * counts.sum(axis=0) @ P.mean(axis=0) / tokens.sum(),
        ),
        *by_formula(
            lambda formula: lambda counts, P, tokens: len(P[0]) * formula(counts, tokens) @ (tokens @ P) / tokens.sum(),
            "divided by tokens: You divided the counts by the tokens. Each token makes k assignments; f are shares that sum to 1.",
            lambda counts, tokens: counts.sum(axis=0) / tokens.sum(),
            "counts for shares: f are shares: divide the counts by their sum.",
            lambda counts, tokens: counts.sum(axis=0),
        ),
    ),
)
