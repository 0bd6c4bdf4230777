"""Question 12.5: two configurations, and what their gates weigh."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.set_12.q2_groups import by_best, spread
from moe_lessons.checks.set_12.scores import kept_by, normalised, score
from moe_lessons.checks.verdicts import Mistake, by_value

GIVEN_LOGITS = np.array([1.1, 0.9, 0.2, -0.6, 0.1, -0.4, -0.8, 0.3])  # (N,)
GIVEN_BIAS = np.array([0.04, -0.34, 0.38, 0.37, -0.3, -0.4, -0.4, 0.33])  # (N,)
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "A": {
        "model_type": "osprey_moe", "hidden_size": 1024, "intermediate_size": 4096, "moe_intermediate_size": 512,
        "num_hidden_layers": 24, "first_k_dense_replace": 1, "n_routed_experts": 8, "n_shared_experts": 1,
        "num_experts_per_tok": 3, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "n_group": 4, "topk_group": 2,
        "norm_topk_prob": True, "routed_scaling_factor": 2.5, "router_aux_loss_coef": 0.0,
    },
    "B": {
        "model_type": "heron", "hidden_size": 768, "num_hidden_layers": 16, "num_local_experts": 8, "moe_topk": 2,
        "score_func": "sqrtsoftplus", "route_norm": False, "route_scale": 1.5, "use_expert_bias": True,
        "num_shared_experts": 2, "initializer_range": 0.02,
    },
}  # fmt: skip
READ: dict[str, dict[str, Any]] = {
    "A": {"name": "sigmoid", "k": 3, "normalise": True, "scale": 2.5, "groups": 4, "kept_groups": 2, "best": 2},
    "B": {"name": "sqrtsoftplus", "k": 2, "normalise": False, "scale": 1.5, "groups": 1, "kept_groups": 1, "best": 1},
}  # what the keys of each say


def configuration(model: str) -> str:
    """Return the config.json of model "A" or "B" as text."""
    return json.dumps(CONFIGURATIONS[model], indent=2)


def weights(
    name: str, k: int, normalise: bool, scale: float, groups: int, kept_groups: int, best: int,
    biased: bool = True, weighs: Callable = lambda s, b: s, seen: Callable = lambda s, b: s + b,
) -> np.ndarray:  # fmt: skip
    """Return the weights (N,) of a gate with these settings, for the token and the bias that are given."""
    b = GIVEN_BIAS if biased else 0 * GIVEN_BIAS  # (N,)
    s = score(name)(GIVEN_LOGITS[None])  # (1, N)
    kept = kept_by(by_best(seen(s, b), groups, best), kept_groups)  # (1, groups)
    chosen = kept_by(np.where(spread(kept, s.shape[1]), seen(s, b), -np.inf), k)  # (1, N)
    values = np.where(chosen, weighs(s, b), 0)  # (1, N)
    return scale * (normalised(values) if normalise else values)[0]


def misread(model: str, **other: Any) -> Callable[[], np.ndarray]:
    """Return what comes of a configuration when something in it is read in another way."""
    return partial(weights, **(READ[model] | other))


def mistakes(model: str, bias: str, scale: str, many: str, division: str) -> tuple[Mistake, ...]:
    """Return the mistakes that can be made with both configurations. bias, scale, many, division: names of keys."""
    normalise = READ[model]["normalise"]
    says = "divided by their sum" if normalise else "not divided by their sum"
    return by_value(
        f"{model}, no bias: You select without the bias. `{bias}` says that it is there: the selection sees s + b.",
        misread(model, biased=False),
        f"{model}, bias in the weights: You weigh by s + b. The bias acts in the selection only.",
        misread(model, weighs=lambda s, b: s + b),
        f"{model}, bias on the logits: You added the bias to the logits. It is added to the scores, for the selection.",
        misread(model, seen=lambda s, b: GIVEN_LOGITS[None] + b),
        f"{model}, scale left out: `{scale}` multiplies the weights.",
        misread(model, scale=1.0),
        f"{model}, the other way with the sum: With `{division}` as it is, the scores of the selected are {says}.",
        misread(model, normalise=not normalise),
        f"{model}, one more: The shared experts run for every token and are not among the k: `{many}` counts those that the router selects.",
        (misread(model, k=READ[model]["k"] + CONFIGURATIONS[model].get("n_shared_experts", 2)),),
        f"{model}, softmax: You took a softmax. See which key names the score.",
        misread(model, name="softmax"),
    )


CONFIG = ValuesQuestion(
    **about("12.5", "A configuration nobody has seen", "predict a number", "medium", points=2, minutes=6),
    hints=(
        "Go through the keys with the five steps of the gate in hand: which names the score, which says that there is a bias, which make groups, which divides, which scales? Most other keys are about something else, sizes for instance.",
        "A: score the four groups of two by the sum of their biased scores, keep two groups, select three of their four experts by s + b, then divide the *scores* of these three by their sum and multiply. B has no groups, divides nothing, and has a score and a bias of its own kind.",
    ),
    idea="A configuration is read with the function in hand: score, bias, groups, division, scale. What no key says, the code decides, and what a key of another step says is no matter of the gate.",
    takeaway="Different names, the same few settings: whoever has the function in mind can read the file of a model that came out this morning.",
    answer="my_readings",
    expected=lambda: {model: weights(**READ[model]) for model in READ},
    tolerance=0.003,
    parts={
        "A": by_value(
            "A, groups ignored: You selected among all experts. `n_group` and `topk_group` say: four groups, of which a token keeps two.",
            misread("A", groups=1, kept_groups=1, best=1),
            "A, best of each group: You scored a group by its single best expert. With `noaux_tc` it is as good as its best two together.",
            misread("A", best=1),
            "A, one group: You kept one group. `topk_group` says how many a token keeps: two.",
            misread("A", kept_groups=1, k=2),
            "A, groups for experts: `topk_group` is how many *groups* a token keeps. How many experts is `num_experts_per_tok`.",
            misread("A", k=2),
        )
        + mistakes("A", "noaux_tc", "routed_scaling_factor", "num_experts_per_tok", "norm_topk_prob"),
        "B": by_value(
            "B, sigmoid: You took the sigmoid. `score_func` names √softplus: √ln(1 + e^h).",
            misread("B", name="sigmoid"),
            "B, groups as in A: B has no key for groups: its tokens select among all experts.",
            misread("B", groups=4, kept_groups=2, best=2),
        )
        + mistakes("B", "use_expert_bias", "route_scale", "moe_topk", "route_norm"),
    },
    advice={
        "A": "Three experts have weight in A. Which key says so, which are the two best groups of two, counted by s + b, and what do the weights sum to?",
        "B": "Two experts have weight in B. Which two have the largest √ln(1 + e^h) + b, and what becomes of their scores?",
    },
)
