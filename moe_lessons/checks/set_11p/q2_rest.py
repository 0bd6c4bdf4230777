"""Question 11p.2: what else a log says: of the router, the bias, the two errors, and the loss."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_11p.measures import LATE, Log, alone, bias_path, entropy_lost, gain, hidden_loss
from moe_lessons.checks.set_11p.q1_loads import log_cases, written
from moe_lessons.checks.verdicts import by_formula, by_value


def of_errors(formula: Callable[[np.ndarray, np.ndarray], object]) -> Callable[[Log], object]:
    """Return a measure from a formula of the late training errors and test errors (late,) each."""
    return lambda log: formula(log["training error"][-LATE:], log["test error"][-LATE:])


def of_bias(formula: Callable[[np.ndarray], object], frames: int = LATE + 1) -> Callable[[Log], object]:
    """Return a measure from a formula of the bias in the last frames (frames, layers, N)."""
    return lambda log: formula(log["bias"][-frames:])


def path(b: np.ndarray) -> np.ndarray:
    """Return how far each expert's bias went, (layers, N), of b (frames, layers, N)."""
    return np.abs(np.diff(b, axis=0)).sum(axis=0)


def as_one_layer(log: Log) -> float:
    """Return the loss of all layers taken together, from the mean shares and probabilities, less the logged one."""
    counts, P = log["counts"][-LATE:].sum(axis=1), log["P"][-LATE:].mean(axis=1)  # (late, N) each
    f = counts / counts.sum(axis=-1, keepdims=True)  # (late, N)
    return float((counts.shape[-1] * (f * P).sum(axis=-1) - log["balance"][-LATE:]).mean())


def with_counts(log: Log) -> float:
    """Return the same with counts in the place of shares."""
    counts, P = log["counts"][-LATE:], log["P"][-LATE:]  # (late, layers, N) each
    return float((counts.shape[-1] * (counts * P).sum(axis=-1).mean(axis=-1) - log["balance"][-LATE:]).mean())


REST = FunctionQuestion(
    **about("11p.2", "What else the log says", "write it", "hard", points=2, minutes=14),
    hints=(
        "Four numbers, a line or two each. The way of a bias is to and fro: take the sizes of its steps *before* you add them up. And 10 steps from frame to frame need 11 frames.",
        "`np.diff(log['bias'][-11:], axis=0)` are the 10 steps. Shares are `log['counts'] / log['counts'].sum(axis=-1, keepdims=True)`; N times their product with `log['P']`, summed over the experts, is each layer's own loss, (F, layers). Take the mean over the layers, and only then subtract `log['balance']`.",
    ),
    idea="A logged number is a claim of the program that is looked into. What can be computed again from other numbers of the log tests the claim.",
    takeaway="Recompute a logged loss from logged loads and probabilities: where the two differ, the program does not compute what you think.",
    answer="my_rest",
    parameters=("log",),
    cases=log_cases,
    written=written,
    reference=lambda log: (entropy_lost(log), bias_path(log), gain(log), hidden_loss(log)),
    parts={
        "entropy lost": by_value(
            "gained: The sign is the other way round: what is *lost* is the first entropy less the late one.",
            lambda log: -entropy_lost(log),
            "last frame: You took the last frame alone. Take the mean of the last 10.",
            lambda log: (log["entropy"][0] - log["entropy"][-1]).mean(),
            "late frames alone: You compared the late frames with each other. The first frame of the log is where the run began.",
            lambda log: (log["entropy"][-LATE] - log["entropy"][-1]).mean(),
            "late entropy: This is the late entropy itself. Asked is how much of the first frame's was lost.",
            lambda log: log["entropy"][-LATE:].mean(),
            "layers added: You added up the layers. Take their mean.",
            lambda log: (log["entropy"][0] - log["entropy"][-LATE:].mean(axis=0)).sum(),
        ),
        "bias path": (
            *by_formula(
                of_bias,
                "net way: This is how far the bias is from where it was. It goes to and fro: add up the sizes of its steps.",
                (lambda b: np.abs(b[-1] - b[0]).mean(), lambda b: (b[-1] - b[0]).mean()),
                "experts added: You added up experts and layers. Asked is the mean over them.",
                lambda b: path(b).sum(),
                "mean step: This is one step, on average. Asked is the whole way: the sum of the 10 steps.",
                lambda b: path(b).mean() / LATE,
                "positions added: You added up how large the bias is. Asked is how far it *moves* from frame to frame.",
                (lambda b: np.abs(b).sum(axis=0).mean(), lambda b: np.abs(b[1:]).sum(axis=0).mean()),
            ),
            *by_formula(
                lambda formula: of_bias(formula, LATE),
                "nine steps: From 10 frames come 9 steps. The last 10 steps need 11 frames.",
                lambda b: path(b).mean(),
            ),
            *by_formula(
                lambda formula: of_bias(formula, 0),
                "all frames: This is the way of the whole run. Take the last 10 steps.",
                lambda b: path(b).mean(),
            ),
        ),
        "gain": by_formula(
            of_errors,
            "upside down: You took the training error as a part of the test error. Asked is by what share the *test* error is lower: 1 − test/training.",
            (lambda train, test: 1 - train.mean() / test.mean(), lambda train, test: train.mean() / test.mean() - 1),
            "ratio: This is test/training. Asked is what is missing to 1.",
            lambda train, test: test.mean() / train.mean(),
            "difference: This is a difference of errors. Asked is a share: divide by the training error.",
            lambda train, test: train.mean() - test.mean(),
            "ratio in each frame: You divided in each frame. Here take both means first.",
            lambda train, test: (1 - test / train).mean(),
            "last frame: You took the last frame alone. Take the means of the last 10.",
            lambda train, test: 1 - test[-1] / train[-1],
            "sign turned: The sign is the other way round: it is above 0 where the test error is the lower one.",
            lambda train, test: test.mean() / train.mean() - 1,
        )
        + by_formula(
            lambda formula: lambda log: formula(log["training error"], log["test error"]),
            "all frames: You took all frames. Take the last 10.",
            lambda train, test: 1 - test.mean() / train.mean(),
        ),
        "hidden loss": by_value(
            "pooled: You computed one loss of all layers together, which is what a pooled loss does. Compute it in each layer, then average.",
            as_one_layer,
            "sign turned: The sign is the other way round: what the layers have alone, less what is logged.",
            lambda log: -hidden_loss(log),
            "counts for shares: f is a share: divide each count by its layer's sum.",
            with_counts,
            "without N: The factor N is missing: at balance each layer's loss is 1.",
            lambda log: (alone(log).mean(axis=-1) / log["counts"].shape[-1] - log["balance"][-LATE:]).mean(),
            "layers added: You added up the layers' losses. Take their mean.",
            lambda log: (alone(log).sum(axis=-1) - log["balance"][-LATE:]).mean(),
            "loss alone: This is the layers' own loss. Subtract the logged one.",
            lambda log: alone(log).mean(),
            "frames averaged first: You averaged f and P over the frames before you multiplied. A loss is computed in each step: multiply first.",
            lambda log: frames_first(log),
        ),
    },
)


def frames_first(log: Log) -> float:
    """Return the hidden loss from f and P that were averaged over the late frames."""
    counts, P = log["counts"][-LATE:], log["P"][-LATE:].mean(axis=0)  # (late, layers, N), (layers, N)
    f = (counts / counts.sum(axis=-1, keepdims=True)).mean(axis=0)  # (layers, N)
    return float((counts.shape[-1] * (f * P).sum(axis=-1)).mean() - log["balance"][-LATE:].mean())
