"""Answers to 7.1: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import numpy as np
import torch


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def quotient(function, h, step=1e-5):
    """Central differences of a function of h (N,): the last axis is the logit that moves."""
    return np.stack([(function(h + step * e) - function(h - step * e)) / (2 * step) for e in np.eye(len(h))], -1)


def forward_quotient(function, h, step):
    """Differences to one side."""
    return np.stack([(function(h + step * e) - function(h)) / step for e in np.eye(len(h))], -1)


def sigmoid(h):
    return 1 / (1 + np.exp(-h))


def logits_of(scores):
    """The logits h (N,) behind the scores."""
    return np.log(scores) - np.log1p(-scores)


def shares(scores):
    return scores / scores.sum()


def sigmoid_gate(h):
    return shares(sigmoid(h))


def in_torch(h):
    scores = torch.sigmoid(h)
    return scores / scores.sum()


def jacobian_by_loop(scores):
    scores = scores.tolist()
    total, N = sum(scores), len(scores)
    slopes = [score * (1 - score) for score in scores]
    return [[slopes[j] * ((i == j) / total - scores[i] / total**2) for j in range(N)] for i in range(N)]


def jacobian_by_autograd(scores):
    return torch.autograd.functional.jacobian(in_torch, torch.tensor(logits_of(scores)))


def jacobian_by_rows(scores):
    """In float32, where a score near 1 is 1."""
    h = torch.tensor(scores, dtype=torch.float32).logit().requires_grad_()
    return torch.stack([torch.autograd.grad(weight, h, retain_graph=True)[0] for weight in in_torch(h)])


def jacobian_by_matrices(scores):
    outer = (np.eye(len(scores)) - np.outer(shares(scores), np.ones(len(scores)))) / scores.sum()
    return outer @ np.diag(scores * (1 - scores))


def jacobian_by_two_steps(scores):
    """Finite differences in the scores, times the slope of each."""
    return quotient(shares, scores) * scores * (1 - scores)


def jacobian_by_complex_step(scores):
    """A step of 10⁻³⁰ along the imaginary axis, where nothing is subtracted."""
    moved = logits_of(scores) + 1e-30j * np.eye(len(scores))  # (N, N): row j moves logit j
    return (sigmoid(moved) / sigmoid(moved).sum(1, keepdims=True)).imag.T / 1e-30


def gradient_of_the_sum(scores):
    h = torch.tensor(logits_of(scores), requires_grad=True)
    in_torch(h).sum().backward()
    return h.grad


def of_s(formula):
    """A formula of s, w and the identity."""
    return lambda scores: formula(scores, shares(scores), np.eye(len(scores)))


def rows_to_0(scores):
    w = shares(scores)
    J = (np.eye(len(w)) - w[:, None]) * scores * (1 - scores) / scores.sum()
    np.fill_diagonal(J, 0)
    np.fill_diagonal(J, -J.sum(axis=1))
    return J


WRONG = {
    "7.1": {
        "rows sum to 0": rows_to_0,
        "of the softmax": lambda scores: quotient(softmax, scores, 1e-6),  # the lesson's cell
        "of the softmax (2)": lambda scores: np.diag(p := softmax(logits_of(scores))) - np.outer(p, p),
        "a sigmoid of the scores": lambda scores: quotient(sigmoid_gate, scores),  # that cell with the gate of 7.1
        "a sigmoid of the scores (2)": lambda scores: quotient(shares, sigmoid(scores)) * scores * (1 - scores),
        "transposed": lambda scores: jacobian_by_matrices(scores).T,
        "diagonal only": lambda scores: jacobian_by_matrices(scores) * np.eye(len(scores)),
        "diagonal as a vector": of_s(lambda s, w, one: (1 - w) * s * (1 - s) / s.sum()),
        "sign turned": lambda scores: -np.array(jacobian_by_loop(scores)),
        "the softmax's formula with w": of_s(lambda s, w, one: np.diag(w) - w[:, None] * w),
        "the softmax's formula with s": of_s(lambda s, w, one: np.diag(s) - s[:, None] * s),
        "not divided by the sum": of_s(lambda s, w, one: one * (s - s**2)),
        "not divided by the sum (2)": of_s(lambda s, w, one: s - s**2),
        "the sum held fixed": of_s(lambda s, w, one: one * (s - s**2) / s.sum()),
        "the sum held fixed (2)": of_s(lambda s, w, one: w * (1 - s)),
        "of the logarithm": lambda scores: torch.autograd.functional.jacobian(
            lambda h: torch.log(in_torch(h)), torch.tensor(logits_of(scores))
        ),
        "softmax of the sigmoids": lambda scores: torch.autograd.functional.jacobian(
            lambda h: torch.softmax(torch.sigmoid(h), -1), torch.tensor(logits_of(scores))
        ),
        "added": of_s(lambda s, w, one: (one + w[:, None]) * w * (1 - s)),
        "added (2)": of_s(lambda s, w, one: np.abs((one - w[:, None]) * w * (1 - s))),
        "no diagonal term": of_s(lambda s, w, one: -np.outer(w, w * (1 - s))),
        "weight of the wrong expert": of_s(lambda s, w, one: (one - w[None]) * (w * (1 - s))[None]),
        "1 − w throughout": of_s(lambda s, w, one: np.outer(1 - w, w * (1 - s))),
        "derivative by the scores": of_s(lambda s, w, one: (one - w[:, None]) / s.sum()),
        "derivative by the scores (2)": lambda scores: quotient(shares, scores),  # the lesson's cell with s / sum(s)
        "not divided": of_s(lambda s, w, one: (one - w[:, None]) * s * (1 - s)),
        "neither slope nor sum": of_s(lambda s, w, one: one - w[:, None]),
        "half the slope": of_s(lambda s, w, one: (one - w[:, None]) * (1 - s) / s.sum()),
        "half the slope (2)": of_s(lambda s, w, one: (one - w[:, None]) * (1 - s)),
        "slope of w": of_s(lambda s, w, one: (one - w[:, None]) * (w - w**2) / s.sum()),
        "slope of w (2)": of_s(lambda s, w, one: (one - w[:, None]) * (w - w**2)),
        "divided by the sum twice": of_s(lambda s, w, one: (one - w[:, None]) * w * (1 - s) / s.sum()),
        "slope of the wrong logit": of_s(lambda s, w, one: (one - w[:, None]) * (w * (1 - s))[:, None]),
        "score for weight": of_s(lambda s, w, one: (one - s[:, None]) * w * (1 - s)),
        "score for weight (2)": of_s(lambda s, w, one: (one - s[:, None]) * (s - s**2)),
        "divided by N": of_s(lambda s, w, one: (one - w[:, None]) * (s - s**2) / len(s)),
        "divided by the slopes": of_s(lambda s, w, one: (one - w[:, None]) * shares(s - s**2)),
        "weight in front twice": of_s(lambda s, w, one: (one - w[:, None]) * w**2 * (1 - s)),
        "the sum held fixed on the diagonal": of_s(lambda s, w, one: (one - (1 - one) * w[:, None]) * w * (1 - s)),
        "sign in the slope": of_s(lambda s, w, one: (one - w[:, None]) * w * (1 + s)),
        "no weight off the diagonal": of_s(lambda s, w, one: (one * (2 - w[:, None]) - 1) * w * (1 - s)),
        "slope of the tanh": of_s(lambda s, w, one: (one - w[:, None]) / s.sum() * (1 - s * s)),
        "slope from the score again": of_s(
            lambda s, w, one: (one - w[:, None]) / s.sum() * sigmoid(s) * (1 - sigmoid(s))
        ),
        "by the scores, transposed": lambda scores: quotient(shares, scores).T,
        "gradient of the sum": gradient_of_the_sum,
        "rounded": lambda scores: jacobian_by_matrices(scores).round(3),
        "rounded (2)": lambda scores: np.round(jacobian_by_loop(scores), 6),
        "digits lost": lambda scores: quotient(sigmoid_gate, logits_of(scores)),  # the lesson's cell, by way of logits
        "digits lost (2)": jacobian_by_rows,
        "digits lost (3)": lambda scores: forward_quotient(sigmoid_gate, logits_of(scores), 1e-6),
        "digits lost (4)": lambda scores: jacobian_by_matrices(np.clip(scores, 1e-7, 1 - 1e-7)),
        "digits lost (5)": lambda scores: jacobian_by_matrices(np.maximum(scores, 1e-6)),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "7.1": [
        lambda scores: None,
        lambda scores: shares(scores),
        lambda scores: np.zeros((len(scores), len(scores))),
        lambda scores: 2 * np.array(jacobian_by_loop(scores)),
        lambda scores: "s(1 - s)",
    ],
}

RIGHT = {
    "7.1": [
        jacobian_by_loop,
        jacobian_by_autograd,
        jacobian_by_matrices,
        jacobian_by_two_steps,
        jacobian_by_complex_step,
        of_s(lambda s, w, one: np.einsum("ij,j->ij", one - w[:, None], w * (1 - s))),
        of_s(lambda s, w, one: (np.diag(w) - np.outer(w, w)) * (1 - s)),
    ],
}
