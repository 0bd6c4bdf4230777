"""Answers to the project 11p: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch

from moe_lessons.checks.set_11p.measures import SIGNS, healthy, of_case
from moe_lessons.checks.set_11p.q3_apart import apart
from moe_lessons.checks.set_11p.q6_repair import repairs
from moe_lessons.experiments.case_files import CASES, FAULTS, kind_of
from moe_lessons.losses import load_balancing_loss
from moe_lessons.metrics import coefficient_of_variation, max_violation

OF = {
    (kind_of(case).fault, kind_of(case).balanced_by): case for case in range(CASES, 0, -1)
}  # the first case of each kind
RENORMALISED = OF["renormalised k = 1", "loss"]
POOLED, NOISE = OF["pooled loss", "loss"], OF["noise left on", "loss"]
FROZEN, MASK = OF["frozen bias", "bias"], OF["mask lost", "bias"]

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


def late_pooled(log):
    f = log["counts"].sum(1) / log["counts"].sum((1, 2))[:, None]
    return (f.shape[-1] * (f * log["P"].mean(1)).sum(-1) - log["balance"])[-10:].mean()


def averaged_first(log):
    f, P = (log["counts"] / log["counts"].sum(-1, keepdims=True))[-10:].mean(0), log["P"][-10:].mean(0)
    return (f.shape[-1] * (f * P).sum(-1)).mean() - log["balance"][-10:].mean()


# --- 11p.3, 11p.4 and 11p.6 ---------------------------------------------------------------------------------------


def signs(case, **changed):
    return {"case": case, **apart(case), **{name.replace("_", " "): value for name, value in changed.items()}}


def beyond_by_chance():
    """Return the signs of a case, but with a measure a little outside of the range called higher or lower."""
    for case in range(1, CASES + 1):
        for measure, place in apart(case).items():
            low, high = healthy(kind_of(case).balanced_by)[measure]
            if place == "as healthy" and not low <= of_case(case)[measure] <= high:
                return signs(case, **{measure: "lower" if of_case(case)[measure] < low else "higher"})
    raise AssertionError("no measure of any case lies a little outside of the range")


def diagnosis(case, fault=None, clue=None):
    return {"case": case, "fault": fault or kind_of(case).fault, "clue": clue or SIGNS[kind_of(case).fault][0]}


def repair(case, **changed):
    return {"case": case, **repairs(case), **{name.replace("_", " "): value for name, value in changed.items()}}


# --- 11p.5 --------------------------------------------------------------------------------------------------------


def gradient_of_y(run):
    y = run.model(run.x, run.mask).y
    return sum(float(g.abs().max()) for g in torch.autograd.grad(y.square().sum(), list(run.model.W_g)))


def loss_beside_layers(run, mask):
    found = run.model(run.x, mask)
    pairs = zip(found.logits, found.selected, strict=True)
    own = torch.stack([load_balancing_loss(h, 1, s[..., None], mask) for h, s in pairs])
    return float((own.mean() - found.balance).detach().abs())


def passes_differ(run):
    return bool((run.model(run.x, run.mask).y != run.model(run.x, run.mask).y).any())


def bias_stays(run):
    before = run.model.bias.clone()
    run.model.train()
    run.model(run.x, run.mask)
    return torch.equal(before, run.model.bias)


def counts_padding(run):
    return int(run.model(run.x, run.mask).counts.sum()) > 2 * int(run.mask.sum())


def padding_moves(run):
    """Another look at the mask: the same tokens with more padding behind them."""
    more = torch.cat([run.x, run.x[:, -3:]], dim=1)
    mask = torch.cat([run.mask, torch.zeros_like(run.mask[:, -3:])], dim=1)
    return not torch.equal(run.model(run.x, run.mask).counts.sum(-1), run.model(more, mask).counts.sum(-1))


def mean_entropy(run):
    p = run.model(run.x, run.mask).logits.detach().softmax(-1)[:, run.mask]
    return float(torch.special.entr(p).sum(-1).mean())


def balance_is_high(run):
    """A symptom of trained weights: under a bias, only the frozen one leaves the balance loss high."""
    return run.model.balanced_by == "bias" and run.model(run.x, run.mask).balance.item() > 1.2


TESTS = {
    "renormalised k = 1": lambda run: gradient_of_y(run) < 1e-4,
    "pooled loss": lambda run: loss_beside_layers(run, torch.ones_like(run.mask)) > 1e-3,
    "noise left on": passes_differ,
    "frozen bias": lambda run: run.model.balanced_by == "bias" and bias_stays(run),
    "mask lost": counts_padding,
}


def says(case, test):
    return lambda run: {"case": case, "found": test(run)}


def uneven(run):
    """Tell whether some expert has more than its share, in a run that is balanced by a loss: a level, and no proof."""
    return run.model.balanced_by == "loss" and bool(max_violation(run.model(run.x, run.mask).counts.numpy()).max() > 0)


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
        "not pooled": with_loads(pooled=lambda c, r: max_violation(c).mean()),
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
        "late frames alone": with_rest(lost=lambda log: (log["entropy"][-10] - log["entropy"][-1]).mean()),
        "late entropy": with_rest(lost=lambda log: log["entropy"][-10:].mean()),
        "layers added": with_rest(lost=lambda log: (log["entropy"][0] - log["entropy"][-10:].mean(0)).sum()),
        "net way": with_rest(path=lambda log: np.abs(log["bias"][-1] - log["bias"][-11]).mean()),
        "net way (2)": with_rest(path=lambda log: np.diff(log["bias"][-11:], axis=0).sum(0).mean()),
        "experts added": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-11:], axis=0)).sum()),
        "mean step": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-11:], axis=0)).mean()),
        "nine steps": with_rest(path=lambda log: np.abs(np.diff(log["bias"][-10:], axis=0)).sum(0).mean()),
        "all frames": with_rest(path=lambda log: np.abs(np.diff(log["bias"], axis=0)).sum(0).mean()),
        "positions added": with_rest(path=lambda log: np.abs(log["bias"][-10:]).sum(0).mean()),
        "upside down": with_rest(gain=lambda log: 1 - np.divide(*errors(log))),
        "ratio": with_rest(gain=lambda log: np.divide(*errors(log)[::-1])),
        "difference": with_rest(gain=lambda log: (log["training error"] - log["test error"])[-10:].mean()),
        "ratio in each frame": with_rest(gain=lambda log: 1 - (log["test error"] / log["training error"])[-10:].mean()),
        "last frame (2)": with_rest(gain=lambda log: 1 - log["test error"][-1] / log["training error"][-1]),
        "sign turned": with_rest(gain=lambda log: np.divide(*errors(log)[::-1]) - 1),
        "all frames (2)": with_rest(gain=lambda log: 1 - log["test error"].mean() / log["training error"].mean()),
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
    "11p.3": {
        "sign overlooked": signs(POOLED, hidden_loss="as healthy"),
        "sign overlooked (2)": signs(NOISE, gain="as healthy"),
        "inside the range": signs(RENORMALISED, counted="higher"),
        "inside the range (2)": signs(FROZEN, counted="lower"),
        "chance for a sign": beyond_by_chance(),
        "turned round": signs(MASK, counted="lower"),
        "turned round (2)": signs(FROZEN, bias_path="higher"),
    },
    "11p.4": {
        "pooled loss": diagnosis(RENORMALISED, "pooled loss"),
        "pooled loss (2)": diagnosis(FROZEN, "pooled loss"),
        "frozen bias": diagnosis(POOLED, "frozen bias"),
        "frozen bias (2)": diagnosis(MASK, "frozen bias"),
        "noise left on": diagnosis(MASK, "noise left on"),
        "noise left on (2)": diagnosis(FROZEN, "noise left on"),
        "mask lost": diagnosis(NOISE, "mask lost"),
        "renormalised k = 1": diagnosis(FROZEN, "renormalised k = 1"),
        "clue": diagnosis(POOLED, clue="MaxVio"),
        "clue (2)": diagnosis(NOISE, clue="counted"),
    },
    "11p.5": {
        "another fault": says(POOLED, TESTS["noise left on"]),
        "another fault (2)": says(NOISE, TESTS["mask lost"]),
        "another fault (3)": says(FROZEN, TESTS["renormalised k = 1"]),
        "another fault (4)": says(MASK, TESTS["frozen bias"]),
        "turned round": says(NOISE, lambda run: not passes_differ(run)),
        "always": says(NOISE, lambda run: passes_differ(run._replace(model=run.model.train()))),
        "rounding": says(RENORMALISED, lambda run: gradient_of_y(run) == 0),
        "trace in the weights": says(RENORMALISED, lambda run: mean_entropy(run) > 1.0),
        "trace in the weights (2)": says(FROZEN, balance_is_high),
        "nothing found": says(MASK, lambda run: int(run.model(run.x, run.mask).counts.sum()) < int(run.mask.sum())),
        "no bias to move": says(FROZEN, bias_stays),
        "padding in the batch": says(POOLED, lambda run: loss_beside_layers(run, run.mask) > 1e-3),
        "healthy suspected": says(POOLED, uneven),
        "healthy suspected (2)": says(NOISE, lambda run: mean_entropy(run) < 0.57),
        "several faults": says(NOISE, lambda run: passes_differ(run) or counts_padding(run)),
        "missed": says(NOISE, lambda run: run.model.balanced_by == "loss" and passes_differ(run)),
        "missed (2)": says(RENORMALISED, lambda run: run.model.balanced_by == "bias" and gradient_of_y(run) < 1e-4),
        "missed (3)": says(RENORMALISED, lambda run: gradient_of_y(run) < 1e-6),
    },
    "11p.6": {
        "repair: a larger coefficient": repair(POOLED, repair="a larger coefficient"),
        "repair: larger capacity": repair(FROZEN, repair="larger capacity"),
        "repair: no noise in evaluation": repair(MASK, repair="no noise in evaluation"),
        "repair: probability as weight": repair(NOISE, repair="probability as weight"),
        "trained for nothing": repair(NOISE, train_on=True),
        "mended too early": repair(MASK, train_on=False),
        "mended too early (2)": repair(RENORMALISED, train_on=False),
    },
}

UNRECOGNISED = {
    "11p.1": [lambda log: (1, 2, 3), lambda log: 0.5, lambda log: None],
    "11p.2": [lambda log: (1, 2, 3, 4), lambda log: (1, 2), lambda log: "low"],
    "11p.3": [{}, {"case": 1}, signs(1) | {"case": 0}, signs(1) | {"MaxVio": 0.3}, signs(2) | {"case": "two"}],
    "11p.4": [{}, diagnosis(1, "broken"), diagnosis(1) | {"case": 21}, "pooled loss"],
    "11p.5": [
        lambda run: True,
        lambda run: {"case": POOLED, "found": 0.3},
        lambda run: {"found": True},
        lambda run: {"case": 1 + (run.model.balanced_by == "loss"), "found": True},
    ],
    "11p.6": [{}, repair(1, repair="pray"), repair(1, train_on="perhaps"), repair(1) | {"case": None}],
}

RIGHT = {
    "11p.1": [
        loads,
        loads_by_loops,
        loads_in_torch,
        lambda log: dict(zip(("MaxVio", "pooled MaxVio", "counted"), loads(log), strict=True)),
    ],
    "11p.2": [rest, rest_by_loops, lambda log: [np.array([value]).reshape(()) for value in rest(log)]],
    "11p.3": [signs(case) for case in range(1, CASES + 1)],
    "11p.4": [diagnosis(case) for case in range(1, CASES + 1)],
    "11p.5": [
        *(says(case, TESTS[fault]) for fault in FAULTS for case in range(1, CASES + 1) if kind_of(case).fault == fault),
        says(RENORMALISED, lambda run: bool((run.model(run.x, run.mask).weights > 1 - 1e-6).all())),
        says(MASK, padding_moves),
        lambda run: {"case": np.int64(NOISE), "found": np.bool_(passes_differ(run))},
    ],
    "11p.6": [repair(case) for case in range(1, CASES + 1)],
}
