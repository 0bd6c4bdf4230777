"""Which gate a published model's configuration means: its config.json in, a `routing.Gate` out, key by key.

What each family's code does stands in `families`; a test gives every router class of the installed transformers the
same logits and biases as our gates. numpy only: transformers is not imported.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.families import BEYOND, FAMILIES, Family
from moe_lessons.routing import GROUP_SCORES, SCORES, Gate
from moe_lessons.support.validation import one_of, positive_number, refuse, whole_number

# One setting has many names. Where a file has two of them, they must say the same.
KEYS = {
    "num_experts": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "k": ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "top_k_experts"),
    "score": ("scoring_func", "score_func", "moe_router_activation_func", "expert_selection_fn"),
    "normalise": ("norm_topk_prob", "route_norm", "moe_renormalize", "moe_normalize_expert_weights"),
    "scale": (
        "routed_scaling_factor", "route_scale", "router_scaling_factor", "moe_routed_scaling_factor",
        "moe_router_scaling_factor",
    ),
    "groups": ("n_group", "num_expert_group"),
    "kept_groups": ("topk_group",),
    "zero_experts": ("zero_expert_num",),
    "has_bias": ("use_expert_bias",),
    "logit_scale": ("output_multiplier",),
    "method": ("topk_method",),
    "capping": ("moe_router_logit_softcapping",),
}  # fmt: skip
SETTINGS = ("score", "normalise", "scale", "groups", "kept_groups")  # those of a Gate
SCORE_WORDS = {**{score: score for score in SCORES}, "noaux_tc": "sigmoid"}  # dots.llm1 writes its method there
METHODS = ("greedy", "group_limited_greedy", "noaux_tc")  # no groups; groups by their best; a bias, groups by two
PARTS = ("text_config", "thinker_config", "ffn_config", "llm_config", "language_config")  # of a model of several


@dataclass(frozen=True)
class Reading:
    """What a configuration says about the router, with a sentence for every key that was read.

    gate, k, num_experts: `gate.weights(logit_scale * h, k, bias)` for logits h (..., num_experts); zero_experts of
    them, the last, compute nothing. has_bias: whether the checkpoint holds a selection bias. family: a row of FAMILIES.
    """

    family: Family
    gate: Gate
    k: int
    num_experts: int
    has_bias: bool
    zero_experts: int
    logit_scale: float
    remarks: tuple[str, ...]


def gate_of(config: Any) -> Reading:
    """Return the gate that a configuration means.

    config: a dict, or the path of a config.json, as published on huggingface.co; of a model with several parts, the
    part that reads text. A key that the family's code does not read is checked: it must not say what the code does not
    do. A setting without a key is what the code then assumes; null is no value.
    Raises ValueError, naming the key, for a family or a router that is not here, keys that contradict each other or
    the code, and numbers that do not fit: more groups than experts, groups of unequal size, k beyond the kept groups.
    """
    name, part = _router_part(_as_dict(config))
    family, said = FAMILIES[name], _said(part)
    _check_against_code(family, said)
    _check_method(family, said)
    gate = _gate(family, said)
    N, k = _sizes(family, gate, said)
    bias = family.kind.bias and _value(said, "has_bias", True)
    others = {"zero_experts": _value(said, "zero_experts", 0), "logit_scale": _logit_scale(family, said)}
    return Reading(family, gate, k, N, bias, **others, remarks=tuple(_remarks(family, gate, said, bias)))


def common_gate(family: Family, groups: int = 4, kept_groups: int = 2) -> Gate:
    """Return a family's gate with settings that are as alike as its keys allow: what is left is the function.

    Its factor is 1, the sum is divided by where a key decides it, and groups are made where a key can ask for them.
    """
    common: dict[str, Any] = {"normalise": True, "groups": groups, "kept_groups": kept_groups}
    return replace(family.gate, scale=1.0, **{name: common[name] for name in common if name in family.kind.reads})


def functions(with_bias: bool = True, seed: int = 0) -> list[list[str]]:
    """Return the families in groups that weigh alike, the largest group first: who computes the same function.

    All get the same logits, k = 4 of N = 16 experts, the same bias (or none) where they take one, and their
    `common_gate`. seed: of logits and bias.
    """
    rng = np.random.default_rng(seed)
    h, b = rng.normal(size=(200, 16)), rng.normal(size=16) / 3  # (T, N), (N,)
    alike: dict[bytes, list[str]] = {}
    for name, family in FAMILIES.items():
        bias = b if with_bias and family.kind.bias else None
        weights = common_gate(family).weights(h, 4, bias)  # (T, N)
        alike.setdefault(weights.round(9).tobytes(), []).append(name)
    return sorted(alike.values(), key=len, reverse=True)


class Word(NamedTuple):
    """What a key says: its name, the value as written, and what it means for the setting."""

    key: str
    written: Any
    value: Any


Said = dict[str, Word]  # by setting of KEYS


def _as_dict(config: Any) -> Mapping[str, Any]:
    """Return a configuration as a dict; a path is read."""
    if isinstance(config, str | Path):
        try:
            config = json.loads(Path(config).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise refuse("config", config, f"the path of a config.json ({error})") from None
    if not isinstance(config, Mapping):
        raise refuse("config", config, "a dict, or the path of a config.json")
    return config


def _router_part(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the part of a configuration that holds the router, and the family that it belongs to."""
    names = []
    for name, part in _parts(config, config.get("model_type")):
        names.append(name)
        if isinstance(name, str) and name in BEYOND:
            raise refuse("model_type", name, f"a router that a Gate expresses: here {BEYOND[name]}")
        if isinstance(name, str) and name in FAMILIES:
            return name, {**part, **(part.get("ffn_config") or {})}
    found = names[0] if len(names) == 1 else names
    raise refuse("model_type", found, "a family with a router that the atlas knows (atlas.FAMILIES)")


def _parts(config: Mapping[str, Any], name: Any) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield a configuration and the parts in it, each with its model_type."""
    yield name, config
    for key in PARTS:
        if isinstance(config.get(key), Mapping):
            yield from _parts(config[key], config[key].get("model_type") or f"{name}_text")


def _said(part: Mapping[str, Any]) -> Said:
    """Return what the keys say, checked one by one. Raises ValueError where two names of a setting differ."""
    for layer, apart in (part.get("per_layer_config") or {}).items():
        if any(key in apart for names in KEYS.values() for key in names):
            raise refuse(
                f"per_layer_config[{layer}]", apart, "one router for all layers, or the part of one layer alone"
            )
    said: Said = {}
    for setting, names in KEYS.items():
        for key in names:
            if part.get(key) is None and not (key == BY_NORM and key in part):
                continue
            word = Word(key, part[key], _parsed(setting, key, part[key]))
            first = said.setdefault(setting, word)
            if first.value != word.value:
                raise refuse(key, word.written, f"{first.written}, as {first.key} says")
    return said


BY_NORM = "moe_normalize_expert_weights"  # the p of a norm to divide by; null means not to divide


def _parsed(setting: str, key: str, value: Any) -> Any:
    """Return the value of a key as the setting takes it. Raises ValueError for what it cannot mean."""
    if key == BY_NORM:
        if value not in (None, 1):
            raise refuse(key, value, "1, which divides by the sum, or null")
        return value is not None
    if setting in ("num_experts", "k") and isinstance(value, list) and len(set(map(str, value))) == 1:
        value = value[0]  # one number a layer, all the same
    if setting in ("num_experts", "k", "groups", "kept_groups", "zero_experts"):
        return whole_number(key, value, least=int(setting != "zero_experts"), most=2**31)
    if setting in ("scale", "logit_scale"):
        return positive_number(key, value)
    if setting == "score":
        return SCORE_WORDS[one_of(key, value, SCORE_WORDS)]
    if setting in ("normalise", "has_bias") and not isinstance(value, bool):
        raise refuse(key, value, "true or false")
    return one_of(key, value, METHODS) if setting == "method" else value


def _value(said: Said, setting: str, otherwise: Any) -> Any:
    """Return what was said about a setting, or what holds otherwise."""
    return said[setting].value if setting in said else otherwise


def _check_against_code(family: Family, said: Said) -> None:
    """Refuse a key that says what the code of the family does not do."""
    does = {setting: getattr(family.gate, setting) for setting in SETTINGS}
    does |= {"zero_experts": 0, "has_bias": family.kind.bias, "capping": 0}
    for setting, word in said.items():
        if setting in does and setting not in family.kind.reads and word.value != does[setting]:
            raise refuse(word.key, word.written, f"{does[setting]}: the code of this family does nothing else")


def _check_method(family: Family, said: Said) -> None:
    """Refuse a `topk_method` that the code does not follow, or that the number of groups contradicts."""
    reads = "method" in family.kind.reads
    if "method" not in said and not reads:
        return
    method = _value(said, "method", "greedy")
    if (method == "noaux_tc") != family.kind.bias or (method == "group_limited_greedy" and not reads):
        raise refuse("topk_method", method, "the way in which the code of this family selects")
    if method == "greedy" and _value(said, "groups", 1) > 1:
        raise refuse(said["groups"].key, said["groups"].written, "1, for topk_method = greedy makes no groups")


def _gate(family: Family, said: Said) -> Gate:
    """Return the family's gate with the settings that were said."""
    if "groups" in family.kind.reads:
        for one, other in (("groups", "kept_groups"), ("kept_groups", "groups")):
            if one in said and other not in said:
                raise refuse(KEYS[other][0], None, f"a number beside {said[one].key} = {said[one].value}")
        if "groups" in said and said["kept_groups"].value > said["groups"].value:
            key, kept, _ = said["kept_groups"]
            raise refuse(key, kept, f"at most {said['groups'].key} = {said['groups'].value}")
    return replace(family.gate, **{s: said[s].value for s in SETTINGS if s in said and s in family.kind.reads})


def _sizes(family: Family, gate: Gate, said: Said) -> tuple[int, int]:
    """Return N and k, checked against each other and the groups."""
    if "num_experts" not in said:
        raise refuse("num_experts", None, f"a number of experts under one of {', '.join(KEYS['num_experts'])}")
    N = said["num_experts"].value + _value(said, "zero_experts", 0)
    size = N // gate.groups
    if N % gate.groups or (gate.groups > 1 and size < GROUP_SCORES[gate.group_score]):
        key = said["groups"].key if "groups" in said else KEYS["groups"][0]
        raise refuse(key, gate.groups, f"groups of equal size, from two, of {said['num_experts'].key} = {N}")
    k = _value(said, "k", family.fixed_k)
    k_key = said["k"].key if "k" in said else KEYS["k"][0]
    if family.fixed_k not in (None, k):
        raise refuse(k_key, k, f"{family.fixed_k}: the code of this family does nothing else")
    return N, whole_number(k_key, k, least=1, most=gate.experts_in_reach(N))


def _logit_scale(family: Family, said: Said) -> float:
    """Return what the logits are multiplied by; elsewhere the same key is about the words that are written."""
    return _value(said, "logit_scale", 1.0) if "logit_scale" in family.kind.reads else 1.0


# --- the sentences ------------------------------------------------------------------------------------------------

SENTENCES: dict[str, Callable[[Any], str]] = {
    "num_experts": lambda N: f"the router scores {N} experts for every token",
    "k": lambda k: f"each token goes to {k} of them",
    "score": lambda score: f"{score} turns logits into scores",
    "normalise": lambda yes: (
        "the scores of the selected experts are divided by their sum" if yes
        else "the scores of the selected experts are the weights: their sum differs from token to token"
    ),
    "scale": lambda scale: f"the weights are multiplied by {scale:g}",
    "groups": lambda groups: (
        "the experts form no groups" if groups == 1 else f"the experts, in their order, form {groups} groups of a size"
    ),
    "kept_groups": lambda kept: f"a token can only select experts of its {kept} best group{'s' * (kept > 1)}",
    "zero_experts": lambda Z: f"{Z} further experts compute nothing",
    "has_bias": lambda yes: f"a bias {'' if yes else 'does not '}act{'s' * yes} in the selection",
    "logit_scale": lambda factor: f"the logits are multiplied by {factor:g} first",
    "method": {
        "greedy": "the largest scores are selected, without groups",
        "group_limited_greedy": "a group is as good as its best expert",
        "noaux_tc": "a bias acts in the selection; a group is as good as its best two experts",
    }.__getitem__,
    "capping": lambda _: "the logits are used as they are",
}  # fmt: skip


def _remarks(family: Family, gate: Gate, said: Said, bias: bool) -> Iterator[str]:
    """Yield a sentence for each key that was read, then for each that could have been, then what no key says."""
    for setting, (key, written, value) in said.items():
        if setting != "logit_scale" or setting in family.kind.reads:
            yield f"{key} = {json.dumps(written)}: {SENTENCES[setting](value)}."
    for setting in SETTINGS:
        if setting in family.kind.reads and setting not in said:
            yield f"No {KEYS[setting][0]}: then {SENTENCES[setting](getattr(gate, setting))}."
    if bias:
        yield "The checkpoint holds a bias for each expert that acts in the selection only."
    if family.note:
        yield family.note
