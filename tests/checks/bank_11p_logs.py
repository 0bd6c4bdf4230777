"""Answers to 11p.1 and 11p.2: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch

from moe_lessons.metrics import coefficient_of_variation, max_violation

# --- 11p.1 --------------------------------------------------------------------------------------------------------


def loads(log, late=10, violation=None, pooled=None, counted=None):
    """Return the right answer, or with a part replaced by what a function of counts and real tokens gives."""
    counts, real = log["counts"][-late:], log["real"][-late:]
    right = (
        lambda c, r: (c.max(-1) / c.mean(-1) - 1).mean(),
        lambda c, r: (c.sum(1).max(-1) / c.sum(1).mean(-1) - 1).mean(),
        lambda c, r: (c.sum(-1) / r[:, None]).mean(),
    )
    given = (violation, pooled, counted)
    return tuple((other or own)(counts, real) for own, other in zip(right, given, strict=True))


def with_loads(**parts):
    return lambda log: loads(log, **parts)


def loads_by_loops(log):
    found = []
    for counts, real in zip(log["counts"][-10:], log["real"][-10:], strict=True):
        alone = [max(row) / (sum(row) / len(row)) - 1 for row in counts.tolist()]
        both = [sum(column) for column in zip(*counts.tolist(), strict=True)]
        together = max(both) / (sum(both) / len(both)) - 1
        found.append([np.mean(alone), together, np.mean([sum(row) / real for row in counts.tolist()])])
    return np.mean(found, axis=0)


def loads_in_torch(log):
    counts, real = torch.tensor(log["counts"][-10:]).double(), torch.tensor(log["real"][-10:])
    vio = [(c.amax(-1) / c.mean(-1) - 1).mean() for c in (counts, counts.sum(1))]
    return [*vio, (counts.sum(-1) / real[:, None]).mean()]


def loads_of(choose, late):
    """Return the right formulas on other frames: choose(array) of each, of which `late` are the last, 0 for all."""
    return lambda log: loads({**log, "counts": choose(log["counts"]), "real": choose(log["real"])}, late)


# --- 11p.2 --------------------------------------------------------------------------------------------------------


def own_loss(log, counts=None):
    f = log["counts"] / log["counts"].sum(-1, keepdims=True) if counts is None else counts
    return f.shape[-1] * (f * log["P"]).sum(-1)


def rest(log, lost=None, path=None, gain=None, hidden=None):
    train, test, b = log["training error"][-10:], log["test error"][-10:], log["bias"]
    steps = np.abs(b[-10:] - b[-11:-1]).sum(0)
    right = (
        lambda log: log["entropy"][0].mean() - log["entropy"][-10:].mean(),
        lambda log: steps.mean(),
        lambda log: (train.mean() - test.mean()) / train.mean(),
        lambda log: (own_loss(log).mean(-1) - log["balance"])[-10:].mean(),
    )
    return tuple((other or own)(log) for own, other in zip(right, (lost, path, gain, hidden), strict=True))


def errors(log):
    """Return the late training error and test error."""
    return log["training error"][-10:].mean(), log["test error"][-10:].mean()


def with_rest(**parts):
    return lambda log: rest(log, **parts)


def rest_by_loops(log):
    F = len(log["step"])
    lost = np.mean(log["entropy"][0]) - np.mean([log["entropy"][t] for t in range(F - 10, F)])
    path = sum(np.abs(log["bias"][t] - log["bias"][t - 1]).mean() for t in range(F - 10, F))
    gain = 1 - sum(log["test error"][F - 10 :]) / sum(log["training error"][F - 10 :])
    hidden = []
    for t in range(F - 10, F):
        layers = [len(c) * sum(c / c.sum() * P) for c, P in zip(log["counts"][t], log["P"][t], strict=True)]
        hidden.append(np.mean(layers) - log["balance"][t])
    return {"entropy lost": lost, "bias path": path, "gain": gain, "hidden loss": np.mean(hidden)}


def rest_in_float32(log):
    """The differences of single-precision numbers."""
    t = {name: torch.as_tensor(value).float() for name, value in log.items() if isinstance(value, np.ndarray)}
    f = t["counts"] / t["counts"].sum(-1, keepdim=True)
    own = (f.shape[-1] * (f * t["P"]).sum(-1)).mean(-1)
    late = slice(-10, None)
    return (
        t["entropy"][0].mean() - t["entropy"][late].mean(),
        t["bias"][-11:].diff(dim=0).abs().sum(0).mean(),
        1 - t["test error"][late].mean() / t["training error"][late].mean(),
        (own - t["balance"])[late].mean(),
    )


def hidden_by(shares):
    """Return the hidden loss with other shares of the counts (F, layers, N) and the real tokens (F, 1, 1)."""
    return with_rest(
        hidden=lambda log: (own_loss(log, shares(log["counts"], log["real"][:, None, None])).mean(-1) - log["balance"])[
            -10:
        ].mean()
    )


def entropies_of_P(log):
    return -(log["P"] * np.log(log["P"])).sum(-1)


def late_pooled(log):
    f = log["counts"].sum(1) / log["counts"].sum((1, 2))[:, None]
    return (f.shape[-1] * (f * log["P"].mean(1)).sum(-1) - log["balance"])[-10:].mean()


def hidden_of(p, log):
    return (p.shape[-1] * (p**2).sum(-1).mean(-1) - log["balance"])[-10:].mean()


def hidden_of_f_alone(log):
    return hidden_of(log["counts"] / log["counts"].sum(-1, keepdims=True), log)


def averaged_first(log):
    f, P = (log["counts"] / log["counts"].sum(-1, keepdims=True))[-10:].mean(0), log["P"][-10:].mean(0)
    return (f.shape[-1] * (f * P).sum(-1)).mean() - log["balance"][-10:].mean()


WRONG = {
    "11p.1": {
        "loads averaged first": with_loads(violation=lambda c, r: max_violation(c.mean(0)).mean()),
        "loads averaged first (2)": with_loads(violation=lambda c, r: max_violation(c.sum((0, 1)))),
        "pooled": with_loads(violation=lambda c, r: max_violation(c.sum(1)).mean()),
        "layers in a row": with_loads(violation=lambda c, r: max_violation(c.reshape(len(c), -1)).mean()),
        "without minus 1": with_loads(violation=lambda c, r: (c.max(-1) / c.mean(-1)).mean()),
        "CV": with_loads(violation=lambda c, r: coefficient_of_variation(c).mean()),
        "last frame": with_loads(violation=lambda c, r: max_violation(c[-1]).mean()),
        "largest": with_loads(violation=lambda c, r: max_violation(c).max()),
        "all frames": lambda log: loads(log, late=0),
        "first frames": loads_of(lambda a: a[:10], 10),
        "eleven frames": lambda log: loads(log, late=11),
        "last frame left out": loads_of(lambda a: a[:-1], 9),
        "last frame left out (2)": loads_of(lambda a: a[-11:-1], 10),
        "mean of the real tokens": with_loads(
            violation=lambda c, r: (c.max(-1) / (r[:, None] / c.shape[-1]) - 1).mean()
        ),
        "mean of the real tokens (2)": with_loads(
            pooled=lambda c, r: (c.sum(1).max(-1) / (c.shape[1] * r / c.shape[-1]) - 1).mean()
        ),
        "either way": with_loads(
            violation=lambda c, r: (abs(c - c.mean(-1, keepdims=True)).max(-1) / c.mean(-1)).mean()
        ),
        "no number": with_loads(violation=np.errstate(all="ignore")(lambda c, r: (c.max(1) / c.mean(1) - 1).mean())),
        "another order": lambda log: loads(log)[::-1],
        "fullest layer": with_loads(violation=lambda c, r: max_violation(c).max(1).mean()),
        "in tokens": with_loads(violation=lambda c, r: (c.max(-1) - c.mean(-1)).mean()),
        "in shares": with_loads(violation=lambda c, r: (c.max(-1) / c.sum(-1)).mean()),
        "in shares (2)": with_loads(pooled=lambda c, r: (c.sum(1).max(-1) / c.sum((1, 2))).mean() - 1 / c.shape[-1]),
        "largest (2)": with_loads(pooled=lambda c, r: max_violation(c.sum(1)).max()),
        "layers in a row (2)": with_loads(pooled=lambda c, r: max_violation(c.reshape(len(c), -1)).mean()),
        "frames for layers": with_loads(pooled=lambda c, r: max_violation(c.sum(0)).mean()),
        "one length only": loads_of(lambda a: a[11:], 0),
        "last half": lambda log: loads(log, late=len(log["step"]) // 2),
        "one layer": with_loads(violation=lambda c, r: max_violation(c[:, 0]).mean()),
        "one layer (2)": with_loads(counted=lambda c, r: (c[:, 0].sum(-1) / r).mean()),
        "layers added (2)": with_loads(violation=lambda c, r: max_violation(c).sum(1).mean()),
        "MaxVio added": with_loads(pooled=lambda c, r: max_violation(c).sum(1).mean()),
        "number of experts fixed": with_loads(violation=lambda c, r: (c.max(-1) / (c.sum(-1) / 6) - 1).mean()),
        "number of experts fixed (2)": with_loads(counted=lambda c, r: (c.mean(-1) * 6 / r[:, None]).mean()),
        "number of layers fixed": with_loads(counted=lambda c, r: (c.sum((1, 2)) / 2 / r).mean()),
        "emptiest": with_loads(violation=lambda c, r: (c.min(-1) / c.mean(-1) - 1).mean()),
        "without minus 1 (3)": with_loads(pooled=lambda c, r: (np.ptp(c.sum(1), axis=-1) / c.sum(1).mean(-1)).mean()),
        "fullest expert": with_loads(counted=lambda c, r: (c.max(-1) / r[:, None]).mean()),
        "largest (3)": with_loads(counted=lambda c, r: (c.sum(-1) / r[:, None]).max()),
        "surplus": with_loads(counted=lambda c, r: (c.sum(-1) / r[:, None]).mean() - 1),
        "not divided": with_loads(counted=lambda c, r: c.sum(-1).mean()),
        "not pooled": with_loads(pooled=lambda c, r: max_violation(c).mean()),
        "experts added": with_loads(pooled=lambda c, r: max_violation(c.sum(axis=2)).mean()),
        "frames added": with_loads(pooled=lambda c, r: max_violation(c.sum((0, 1)))),
        "without minus 1 (2)": with_loads(pooled=lambda c, r: (c.sum(1).max(-1) / c.sum(1).mean(-1)).mean()),
        "layers added": with_loads(counted=lambda c, r: (c.sum((1, 2)) / r).mean()),
        "upside down": with_loads(counted=lambda c, r: (r[:, None] / c.sum(-1)).mean()),
        "difference": with_loads(counted=lambda c, r: (c.sum(-1) - r[:, None]).mean()),
        "an expert's share": with_loads(counted=lambda c, r: (c.mean(-1) / r[:, None]).mean()),
        "sums divided": with_loads(counted=lambda c, r: c.sum() / c.shape[1] / r.sum()),
    },
    "11p.2": {
        "gained": with_rest(lost=lambda log: log["entropy"][-10:].mean() - log["entropy"][0].mean()),
        "last frame": with_rest(lost=lambda log: (log["entropy"][0] - log["entropy"][-1]).mean()),
        "all frames (3)": with_rest(lost=lambda log: log["entropy"][0].mean() - log["entropy"].mean()),
        "first frames": with_rest(lost=lambda log: log["entropy"][0].mean() - log["entropy"][:10].mean()),
        "eleven frames": with_rest(lost=lambda log: log["entropy"][0].mean() - log["entropy"][-11:].mean()),
        "first ten": with_rest(lost=lambda log: log["entropy"][:10].mean() - log["entropy"][-10:].mean()),
        "from ln N": with_rest(lost=lambda log: np.log(log["P"].shape[-1]) - log["entropy"][-10:].mean()),
        "share": with_rest(lost=lambda log: 1 - log["entropy"][-10:].mean() / log["entropy"][0].mean()),
        "bits": with_rest(lost=lambda log: (log["entropy"][0].mean() - log["entropy"][-10:].mean()) / np.log(2)),
        "late frames alone": with_rest(lost=lambda log: (log["entropy"][-10] - log["entropy"][-1]).mean()),
        "of the mean probabilities": with_rest(lost=lambda log: (H := entropies_of_P(log))[0].mean() - H[-10:].mean()),
        "another order": lambda log: [rest(log)[i] for i in (0, 2, 1, 3)],
        "last frame left out (2)": with_rest(
            path=lambda log: np.abs(np.diff(log["bias"][-12:-1], axis=0)).sum(0).mean()
        ),
        "late entropy": with_rest(lost=lambda log: log["entropy"][-10:].mean()),
        "layers added": with_rest(lost=lambda log: (log["entropy"][0] - log["entropy"][-10:].mean(0)).sum()),
        "one length only": with_rest(lost=lambda log: log["entropy"][0].mean() - log["entropy"][11:].mean()),
        "one layer": with_rest(lost=lambda log: log["entropy"][0, 0] - log["entropy"][-10:, 0].mean()),
        "one layer (2)": with_rest(hidden=lambda log: (own_loss(log)[:, 0] - log["balance"])[-10:].mean()),
        "ratio (3)": with_rest(lost=lambda log: log["entropy"][-10:].mean() / log["entropy"][0].mean()),
        "first entropy": with_rest(lost=lambda log: log["entropy"][0].mean()),
        "whole log": with_rest(lost=lambda log: log["entropy"][0].mean() - log["entropy"][1:].mean()),
        "one length only (2)": with_rest(path=lambda log: np.abs(np.diff(log["bias"][10:], axis=0)).sum(0).mean()),
        "eleven steps": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-12:], axis=0)).sum(0).mean()),
        "layers added (3)": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-11:], axis=0)).sum((0, 1)).mean()),
        "largest": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-11:], axis=0)).sum(0).max()),
        "half of the way": with_rest(path=lambda log: np.diff(log["bias"][-11:], axis=0).clip(0).sum(0).mean()),
        "of both": with_rest(gain=lambda log: (errors(log)[0] - errors(log)[1]) / sum(errors(log))),
        "smallest errors": with_rest(
            gain=lambda log: 1 - log["test error"][-10:].min() / log["training error"][-10:].min()
        ),
        "one length only (3)": with_rest(
            gain=lambda log: 1 - log["test error"][11:].mean() / log["training error"][11:].mean()
        ),
        "number of experts fixed": with_rest(
            hidden=lambda log: (6 * own_loss(log).mean(-1) / log["P"].shape[-1] - log["balance"])[-10:].mean()
        ),
        "f twice": with_rest(hidden=hidden_of_f_alone),
        "P twice": with_rest(hidden=lambda log: hidden_of(log["P"], log)),
        "logged alone": with_rest(hidden=lambda log: log["balance"][-10:].mean()),
        "fullest layer": with_rest(hidden=lambda log: (own_loss(log).max(-1) - log["balance"])[-10:].mean()),
        "net way": with_rest(path=lambda log: np.abs(log["bias"][-1] - log["bias"][-11]).mean()),
        "net way (2)": with_rest(path=lambda log: np.diff(log["bias"][-11:], axis=0).sum(0).mean()),
        "net way (3)": with_rest(path=lambda log: np.abs(log["bias"][-1] - log["bias"][-10]).mean()),
        "range": with_rest(path=lambda log: np.ptp(log["bias"][-11:], axis=0).mean()),
        "squares": with_rest(path=lambda log: np.linalg.norm(np.diff(log["bias"][-11:], axis=0), axis=0).mean()),
        "along the experts": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-11:])).sum(0).mean()),
        "along the experts (2)": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-10:])).sum(0).mean()),
        "experts added (2)": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-11:], axis=0)).sum((0, 2)).mean()),
        "mean step (2)": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-10:], axis=0)).mean()),
        "first frames (2)": with_rest(path=lambda log: np.abs(np.diff(log["bias"][:11], axis=0)).sum(0).mean()),
        "experts added": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-11:], axis=0)).sum()),
        "mean step": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-11:], axis=0)).mean()),
        "nine steps": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-10:], axis=0)).sum(0).mean()),
        "all frames": with_rest(path=lambda log: np.abs(np.diff(log["bias"], axis=0)).sum(0).mean()),
        "positions added (2)": with_rest(path=lambda log: np.abs(log["bias"][-10:]).mean()),
        "positions added": with_rest(path=lambda log: np.abs(log["bias"][-10:]).sum(0).mean()),
        "upside down": with_rest(gain=lambda log: 1 - np.divide(*errors(log))),
        "ratio": with_rest(gain=lambda log: np.divide(*errors(log)[::-1])),
        "difference": with_rest(gain=lambda log: (log["training error"] - log["test error"])[-10:].mean()),
        "ratio in each frame": with_rest(gain=lambda log: 1 - (log["test error"] / log["training error"])[-10:].mean()),
        "last frame (2)": with_rest(gain=lambda log: 1 - log["test error"][-1] / log["training error"][-1]),
        "sign turned": with_rest(gain=lambda log: np.divide(*errors(log)[::-1]) - 1),
        "all frames (2)": with_rest(gain=lambda log: 1 - log["test error"].mean() / log["training error"].mean()),
        "first frames (3)": with_rest(
            gain=lambda log: 1 - log["test error"][:10].mean() / log["training error"][:10].mean()
        ),
        "in percent": with_rest(gain=lambda log: 100 * (1 - np.divide(*errors(log)[::-1]))),
        "sign lost": with_rest(gain=lambda log: abs(1 - np.divide(*errors(log)[::-1]))),
        "sign lost (2)": with_rest(hidden=lambda log: np.abs(own_loss(log).mean(-1) - log["balance"])[-10:].mean()),
        "all frames (4)": with_rest(hidden=lambda log: (own_loss(log).mean(-1) - log["balance"]).mean()),
        "last frame (3)": with_rest(hidden=lambda log: (own_loss(log).mean(-1) - log["balance"])[-1]),
        "last frame left out": with_rest(hidden=lambda log: (own_loss(log).mean(-1) - log["balance"])[-10:-1].mean()),
        "by real tokens": hidden_by(lambda counts, real: counts / real),
        "by all layers": hidden_by(lambda counts, real: counts / counts.sum((1, 2), keepdims=True)),
        "mean over the experts": hidden_by(
            lambda counts, real: counts / counts.sum(-1, keepdims=True) / counts.shape[-1] ** 2
        ),
        "ratio (2)": with_rest(hidden=lambda log: (own_loss(log).mean(-1) / log["balance"])[-10:].mean()),
        "pooled": with_rest(hidden=late_pooled),
        "sign turned (2)": with_rest(hidden=lambda log: (log["balance"] - own_loss(log).mean(-1))[-10:].mean()),
        "counts for shares": with_rest(
            hidden=lambda log: (own_loss(log, log["counts"]).mean(-1) - log["balance"])[-10:].mean()
        ),
        "without N": with_rest(
            hidden=lambda log: (own_loss(log).mean(-1) / log["P"].shape[-1] - log["balance"])[-10:].mean()
        ),
        "layers added (2)": with_rest(hidden=lambda log: (own_loss(log).sum(-1) - log["balance"])[-10:].mean()),
        "loss alone": with_rest(hidden=lambda log: own_loss(log)[-10:].mean()),
        "frames averaged first": with_rest(hidden=averaged_first),
    },
}

UNRECOGNISED = {
    "11p.1": [lambda log: (1, 2, 3), lambda log: 0.5, lambda log: None],
    "11p.2": [
        lambda log: (1, 2, 3, 4),
        with_rest(path=lambda log: np.std(log["bias"][-11:], axis=0).mean()),
        lambda log: (1, 2),
        lambda log: "low",
    ],
}

RIGHT = {
    "11p.1": [
        loads,
        loads_by_loops,
        loads_in_torch,
        lambda log: np.float32(loads(log)),
        lambda log: dict(zip(("MaxVio", "pooled MaxVio", "counted"), loads(log), strict=True)),
    ],
    "11p.2": [rest, rest_by_loops, rest_in_float32, lambda log: [np.array([value]).reshape(()) for value in rest(log)]],
}
