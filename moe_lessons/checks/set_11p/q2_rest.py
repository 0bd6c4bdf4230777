"""Question 11p.2: what else a log says: of the router, the bias, the two errors, and the loss."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_11p.drawn_logs import in_another_order, log_cases, of_one_layer, other_frames, written
from moe_lessons.checks.set_11p.measures import LATE, Log, alone, bias_path, entropy_lost, gain, hidden_loss
from moe_lessons.checks.verdicts import by_formula, by_value


def of_errors(formula: Callable[[np.ndarray, np.ndarray], object]) -> Callable[[Log], object]:
    """Return a measure from a formula of the late training errors and test errors (late,) each."""
    return lambda log: formula(log["training error"][-LATE:], log["test error"][-LATE:])


def of_bias(formula: Callable[[np.ndarray], object], frames: slice = slice(-LATE - 1, None)) -> Callable[[Log], object]:
    """Return a measure from a formula of the bias in some frames (frames, layers, N)."""
    return lambda log: formula(log["bias"][frames])


def path(b: np.ndarray) -> np.ndarray:
    """Return how far each expert's bias went, (layers, N), of b (frames, layers, N)."""
    return np.abs(np.diff(b, axis=0)).sum(axis=0)


def along_experts(b: np.ndarray) -> object:
    """Return what `np.diff` gives without its axis, along which it goes over the experts, summed over frames."""
    return np.abs(np.diff(b)).sum(axis=0).mean()


def of_shares(shares: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Log], float]:
    """Return the hidden loss with f made otherwise: shares(counts (late, layers, N), real tokens (late, 1, 1))."""

    def answer(log: Log) -> float:
        counts, P = log["counts"][-LATE:], log["P"][-LATE:]  # (late, layers, N) each
        own = counts.shape[-1] * (shares(counts, log["real"][-LATE:, None, None]) * P).sum(axis=-1)  # (late, layers)
        return float((own.mean(axis=-1) - log["balance"][-LATE:]).mean())

    return answer


def late_shares(log: Log) -> np.ndarray:
    """Return f of each late frame and layer (late, layers, N)."""
    counts = log["counts"][-LATE:]  # (late, layers, N)
    return counts / counts.sum(axis=-1, keepdims=True)


def squares(p: np.ndarray) -> np.ndarray:
    """Return N Σ p_i² as the mean over layers, (late,), of p (late, layers, N)."""
    return p.shape[-1] * (p**2).sum(axis=-1).mean(axis=-1)


def as_one_layer(log: Log) -> float:
    """Return the loss of all layers taken together, from the mean shares and probabilities, less the logged one."""
    counts, P = log["counts"][-LATE:].sum(axis=1), log["P"][-LATE:].mean(axis=1)  # (late, N) each
    f = counts / counts.sum(axis=-1, keepdims=True)  # (late, N)
    return float((counts.shape[-1] * (f * P).sum(axis=-1) - log["balance"][-LATE:]).mean())


def lost_by_means(log: Log) -> float:
    """Return what the entropy of the mean probabilities lost, mean over layers, in nats."""
    entropy = -(log["P"] * np.log(log["P"])).sum(axis=-1)  # (F, layers)
    return float(entropy[0].mean() - entropy[-LATE:].mean())


def rest_of(log: Log) -> tuple[float, float, float, float]:
    """Return entropy lost, bias path, gain and hidden loss."""
    return entropy_lost(log), bias_path(log), gain(log), hidden_loss(log)


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
    reference=rest_of,
    parts={
        "entropy lost": other_frames(entropy_lost)
        + of_one_layer(entropy_lost)
        + by_value(
            "gained: The sign is the other way round: what is *lost* is the first entropy less the late one.",
            lambda log: -entropy_lost(log),
            "first ten: You began with the mean of the first 10 frames. Begin with the first frame.",
            lambda log: log["entropy"][:LATE].mean() - log["entropy"][-LATE:].mean(),
            "from ln N: You began with ln N, the most that there can be. Begin with the first frame of the log.",
            lambda log: np.log(log["P"].shape[-1]) - log["entropy"][-LATE:].mean(),
            "share: This is the share that was lost. Asked is how much, in nats.",
            lambda log: entropy_lost(log) / log["entropy"][0].mean(),
            "bits: These are bits. The log has nats, and nats are asked.",
            lambda log: entropy_lost(log) / np.log(2),
            "late frames alone: You compared the late frames with each other. The first frame of the log is where the run began.",
            lambda log: (log["entropy"][-LATE] - log["entropy"][-1]).mean(),
            "ratio: This is late entropy divided by the first. Asked is a difference, in nats.",
            lambda log: log["entropy"][-LATE:].mean() / log["entropy"][0].mean(),
            "first entropy: This is the entropy of the first frame. Asked is how much of it was lost.",
            lambda log: log["entropy"][0].mean(),
            "whole log: You compared the first frame with the mean of all that come after it. Take the last 10 frames.",
            lambda log: log["entropy"][0].mean() - log["entropy"][1:].mean(),
            "late entropy: This is the late entropy itself. Asked is how much of the first frame's was lost.",
            lambda log: log["entropy"][-LATE:].mean(),
            "of the mean probabilities: This is lost by the entropy of the *mean* probabilities, `log['P']`. Asked is the mean of the tokens' entropies, which is logged: `log['entropy']`.",
            lost_by_means,
            "layers added: You added up the layers. Take their mean.",
            lambda log: (log["entropy"][0] - log["entropy"][-LATE:].mean(axis=0)).sum(),
        ),
        "bias path": (
            *by_formula(
                of_bias,
                "net way: This is how far the bias is from where it was. It goes to and fro: add up the sizes of its steps.",
                (
                    *(lambda b: np.abs(b[-1] - b[0]).mean(), lambda b: (b[-1] - b[0]).mean()),
                    *(lambda b: np.abs(b[-1] - b[1]).mean(), lambda b: (b[-1] - b[1]).mean()),
                ),
                "range: This is how far the largest bias is from the smallest, of each expert. It goes to and fro between them: add up the sizes of its steps.",
                (lambda b: np.ptp(b, axis=0).mean(), lambda b: np.ptp(b[1:], axis=0).mean()),
                "squares: You added up squares. Add up the sizes of the steps.",
                (
                    lambda b: (np.diff(b, axis=0) ** 2).sum(axis=0).mean(),
                    lambda b: np.sqrt((np.diff(b, axis=0) ** 2).sum(axis=0)).mean(),
                ),
                "along the experts: `np.diff` goes along the last axis, from expert to expert. From frame to frame it is `axis=0`.",
                (along_experts, lambda b: along_experts(b[1:])),
                "experts added: You added up experts, or experts and layers. Asked is the mean over them.",
                (lambda b: path(b).sum(), lambda b: path(b).sum(axis=-1).mean()),
                "mean step: This is one step, on average. Asked is the whole way: the sum of the 10 steps.",
                (lambda b: path(b).mean() / LATE, lambda b: path(b[1:]).mean() / (LATE - 1)),
                "layers added: You added up the layers. Asked is the mean over experts and layers.",
                (lambda b: path(b).sum(axis=0).mean(), lambda b: path(b[1:]).sum(axis=0).mean()),
                "largest: This is the expert whose bias went furthest. Asked is the mean over experts and layers.",
                (lambda b: path(b).max(), lambda b: path(b).max(axis=-1).mean()),
                "half of the way: You counted the steps up alone, or the steps down. To and fro, both count: sizes, `np.abs`.",
                (
                    lambda b: np.maximum(np.diff(b, axis=0), 0).sum(axis=0).mean(),
                    lambda b: np.maximum(-np.diff(b, axis=0), 0).sum(axis=0).mean(),
                ),
                "positions added: You added up, or averaged, how large the bias is. Asked is how far it *moves* from frame to frame.",
                (
                    *(lambda b: np.abs(b).sum(axis=0).mean(), lambda b: np.abs(b[1:]).sum(axis=0).mean()),
                    *(lambda b: np.abs(b).mean(), lambda b: np.abs(b[1:]).mean(), lambda b: np.abs(b[-1]).mean()),
                ),
            ),
            *by_value(
                "one length only: That are the last 10 steps of a log of 20 or 21 frames only, as with `[10:]` or `[11:]`. The last 11 frames of any log are `[-11:]`.",
                tuple(of_bias(lambda b: path(b).mean(), slice(n, None)) for n in (LATE, LATE + 1)),
                "eleven steps: From 12 frames come 11 steps. The last 10 steps need 11 frames.",
                lambda log: bias_path(log, LATE + 1),
                "nine steps: From 10 frames come 9 steps. The last 10 steps need 11 frames.",
                lambda log: bias_path(log, LATE - 1),
                "all frames: This is the way of the whole run. Take the last 10 steps.",
                lambda log: bias_path(log, len(log["step"]) - 1),
                "last frame left out: Your 11 frames end one before the last, as `[-12:-1]` does. The last 11 are `[-11:]`.",
                of_bias(lambda b: path(b).mean(), slice(-LATE - 2, -1)),
                "first frames: This is the way at the beginning of the run. The last 11 frames are `[-11:]`.",
                (*(of_bias(lambda b: path(b).mean(), slice(n)) for n in (LATE, LATE + 1)),),
            ),
        ),
        "gain": other_frames(gain)
        + by_formula(
            of_errors,
            "upside down: You took the training error as a part of the test error. Asked is by what share the *test* error is lower: 1 − test/training.",
            (lambda train, test: 1 - train.mean() / test.mean(), lambda train, test: train.mean() / test.mean() - 1),
            "ratio: This is test/training. Asked is what is missing to 1.",
            lambda train, test: test.mean() / train.mean(),
            "difference: This is a difference of errors. Asked is a share: divide by the training error.",
            lambda train, test: train.mean() - test.mean(),
            "ratio in each frame: You divided in each frame. Here take both means first.",
            lambda train, test: (1 - test / train).mean(),
            "of both: You divided by the sum of both errors, or by their mean. Asked is a share of the training error.",
            (
                lambda train, test: (train.mean() - test.mean()) / (train.mean() + test.mean()),
                lambda train, test: 2 * (train.mean() - test.mean()) / (train.mean() + test.mean()),
            ),
            "smallest errors: You took the smallest of the late errors. Asked are their means.",
            lambda train, test: 1 - test.min() / train.min(),
            "in percent: This is in percent. Return a share: 0.1 where it is a tenth lower.",
            lambda train, test: 100 * (1 - test.mean() / train.mean()),
            "sign turned: The sign is the other way round: it is above 0 where the test error is the lower one.",
            lambda train, test: test.mean() / train.mean() - 1,
            "sign lost: This is the size without its sign. It is below 0 where the test error is the higher one.",
            lambda train, test: abs(1 - test.mean() / train.mean()),
        ),
        "hidden loss": other_frames(hidden_loss)
        + by_value(  # the logged loss is of all layers
            "one layer: You took the own loss of one layer alone. Take the mean over all layers.",
            tuple(lambda log, at=at: (alone(log)[:, at] - log["balance"][-LATE:]).mean() for at in (0, -1)),
        )
        + by_value(
            "pooled: You computed one loss of all layers together, which is what a pooled loss does. Compute it in each layer, then average.",
            as_one_layer,
            "sign turned: The sign is the other way round: what the layers have alone, less what is logged.",
            lambda log: -hidden_loss(log),
            "sign lost: These are sizes without their sign. It is below 0 where the logged loss is the larger one.",
            (
                lambda log: abs(hidden_loss(log)),
                lambda log: np.abs(alone(log).mean(axis=-1) - log["balance"][-LATE:]).mean(),
            ),
            "counts for shares: f is a share: divide each count by its layer's sum.",
            of_shares(lambda counts, real: counts),
            "by real tokens: You divided the counts by the real tokens. f is a share of the *counts* of its layer, and sums to 1.",
            of_shares(lambda counts, real: counts / real),
            "by all layers: You divided the counts by the sum over all layers. f is a share of the counts of its own layer, and sums to 1 there.",
            of_shares(lambda counts, real: counts / counts.sum(axis=(1, 2), keepdims=True)),
            "mean over the experts: You took a mean over the experts. The loss is N times the *sum* of f_i P_i.",
            lambda log: (alone(log).mean(axis=-1) / log["counts"].shape[-1] ** 2 - log["balance"][-LATE:]).mean(),
            "number of experts fixed: You took N to be 6. Other logs have other numbers of experts: N is `log['counts'].shape[-1]`.",
            lambda log: (6 * alone(log).mean(axis=-1) / log["counts"].shape[-1] - log["balance"][-LATE:]).mean(),
            "f twice: This is N Σ f_i² of each layer, less the logged loss: P is not in it.",
            lambda log: (squares(late_shares(log)) - log["balance"][-LATE:]).mean(),
            "P twice: This is N Σ P_i² of each layer, less the logged loss: f is not in it.",
            lambda log: (squares(log["P"][-LATE:]) - log["balance"][-LATE:]).mean(),
            "logged alone: This is the logged loss. Asked is by how much the layers' own is above it.",
            lambda log: log["balance"][-LATE:].mean(),
            "fullest layer: You took the larger own loss of the layers. Asked is their mean.",
            lambda log: (alone(log).max(axis=-1) - log["balance"][-LATE:]).mean(),
            "ratio: This is a ratio of the two losses. Subtract the logged one.",
            lambda log: (alone(log).mean(axis=-1) / log["balance"][-LATE:]).mean(),
            "without N: The factor N is missing: at balance each layer's loss is 1.",
            lambda log: (alone(log).mean(axis=-1) / log["counts"].shape[-1] - log["balance"][-LATE:]).mean(),
            "layers added: You added up the layers' losses. Take their mean.",
            lambda log: (alone(log).sum(axis=-1) - log["balance"][-LATE:]).mean(),
            "loss alone: This is the layers' own loss. Subtract the logged one.",
            lambda log: alone(log).mean(),
            "frames averaged first: You averaged f and P over the frames before you multiplied. A loss is computed in each step: multiply first.",
            lambda log: frames_first(log),
            "pooled: You took f and P of all layers together, and one loss of both. Compute it in each layer, then average.",
            (lambda log: of_means(log), lambda log: of_all_tokens(log)),
        ),
    },
    mistakes=in_another_order(rest_of, ("entropy lost", "bias path", "gain", "hidden loss")),
)


def frames_first(log: Log) -> float:
    """Return the hidden loss from f and P that were averaged over the late frames."""
    counts, P = log["counts"][-LATE:], log["P"][-LATE:].mean(axis=0)  # (late, layers, N), (layers, N)
    f = (counts / counts.sum(axis=-1, keepdims=True)).mean(axis=0)  # (layers, N)
    return float((counts.shape[-1] * (f * P).sum(axis=-1)).mean() - log["balance"][-LATE:].mean())


def of_means(log: Log) -> float:
    """Return the loss of f and P that were averaged over the layers, less the logged one."""
    counts, P = log["counts"][-LATE:], log["P"][-LATE:].mean(axis=1)  # (late, layers, N), (late, N)
    f = (counts / counts.sum(axis=-1, keepdims=True)).mean(axis=1)  # (late, N)
    return float((counts.shape[-1] * (f * P).sum(axis=-1) - log["balance"][-LATE:]).mean())


def of_all_tokens(log: Log) -> float:
    """Return the loss of all tokens of all layers, each layer weighed by its tokens, less the logged one."""
    counts, P = log["counts"][-LATE:], log["P"][-LATE:]  # (late, layers, N) each
    tokens = counts.sum(axis=-1, keepdims=True)  # (late, layers, 1)
    f, P = counts.sum(axis=1) / tokens.sum(axis=1), (tokens * P).sum(axis=1) / tokens.sum(axis=1)  # (late, N) each
    return float((counts.shape[-1] * (f * P).sum(axis=-1) - log["balance"][-LATE:]).mean())
