"""`gate_of`: configurations read key by key, and those that are refused. The routers themselves: test_atlas_routers."""

import json
import re

import numpy as np
import pytest

from moe_lessons import atlas
from moe_lessons.atlas import BEYOND, FAMILIES, gate_of
from moe_lessons.routing import Gate

# As published, without what is not about the router.
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3", "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
    "n_group": 8, "topk_group": 4, "norm_topk_prob": True, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
}  # fmt: skip
DEEPSEEK_V2 = {
    "model_type": "deepseek_v2", "n_routed_experts": 160, "num_experts_per_tok": 6, "n_group": 8, "topk_group": 3,
    "norm_topk_prob": False, "routed_scaling_factor": 16.0, "scoring_func": "softmax",
    "topk_method": "group_limited_greedy",
}  # fmt: skip
MIXTRAL = {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
OLMOE = {"model_type": "olmoe", "num_experts": 64, "num_experts_per_tok": 8, "norm_topk_prob": False}
GPT_OSS = {"model_type": "gpt_oss", "num_local_experts": 128, "num_experts_per_tok": 4}
LONGCAT = {
    "model_type": "longcat_flash", "n_routed_experts": 512, "zero_expert_num": 256, "moe_topk": 12,
    "routed_scaling_factor": 6.0,
}  # fmt: skip
DBRX = {
    "model_type": "dbrx",
    "ffn_config": {"moe_num_experts": 16, "moe_top_k": 4, "moe_normalize_expert_weights": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "gate", "k", "N", "has_bias"),
    [
        (DEEPSEEK_V3, Gate("sigmoid", scale=2.5, groups=8, kept_groups=4, group_score="top2"), 8, 256, True),
        (DEEPSEEK_V2, Gate(normalise=False, scale=16.0, groups=8, kept_groups=3), 6, 160, False),
        (MIXTRAL, Gate(), 2, 8, False),
        (OLMOE, Gate(normalise=False), 8, 64, False),
        (OLMOE | {"norm_topk_prob": True}, Gate(), 8, 64, False),
        (GPT_OSS, Gate(after_selection=True), 4, 128, False),
        (LONGCAT, Gate(normalise=False, scale=6.0), 12, 768, True),
        (DBRX, Gate(), 4, 16, False),
        (DBRX | {"ffn_config": DBRX["ffn_config"] | {"moe_normalize_expert_weights": None}}, Gate(normalise=False), 4,
         16, False),
        ({"model_type": "llava", "text_config": MIXTRAL}, Gate(), 2, 8, False),
        ({"model_type": "afmoe", "num_experts": 128, "num_experts_per_tok": 8, "score_func": "sigmoid", "n_group": 1,
          "route_norm": True, "route_scale": 2.826, "topk_group": 1}, Gate("sigmoid", scale=2.826), 8, 128, True),
        ({"model_type": "kimi_linear", "num_experts": 256, "num_experts_per_token": 8, "moe_renormalize": True,
          "moe_router_activation_func": "sigmoid", "routed_scaling_factor": 2.446, "num_expert_group": 1,
          "topk_group": 1}, Gate("sigmoid", scale=2.446, group_score="top2"), 8, 256, True),
        ({"model_type": "deepseek_v4", "n_routed_experts": 256, "num_experts_per_tok": 6, "norm_topk_prob": True,
          "routed_scaling_factor": 1.5, "scoring_func": "sqrtsoftplus", "topk_method": "noaux_tc"},
         Gate("sqrtsoftplus", scale=1.5), 6, 256, True),
        ({"model_type": "switch_transformers", "num_experts": 8}, Gate(normalise=False), 1, 8, False),
        ({"model_type": "hunyuan_v1_moe", "num_experts": 64, "moe_topk": [8, 8, 8]}, Gate(), 8, 64, False),
        ({"model_type": "dots1", "n_routed_experts": 128, "num_experts_per_tok": 6, "scoring_func": "noaux_tc",
          "norm_topk_prob": True}, Gate("sigmoid", group_score="top2"), 6, 128, True),
    ],
)  # fmt: skip
def test_published_configurations(config, gate, k, N, has_bias):
    reading = gate_of(config)
    assert (reading.gate, reading.k, reading.num_experts, reading.has_bias) == (gate, k, N, has_bias)
    logits = np.random.default_rng(0).normal(size=(2, N))
    assert ((reading.gate.weights(logits, k, np.zeros(N)) > 0).sum(-1) == k).all()


def test_a_file_is_read_as_its_dict_is(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(DEEPSEEK_V3), "utf-8")
    assert gate_of(path) == gate_of(str(path)) == gate_of(DEEPSEEK_V3)


def test_every_key_that_was_read_has_a_sentence_that_says_its_value():
    remarks = gate_of(DEEPSEEK_V3).remarks
    keys = [key for key in DEEPSEEK_V3 if key not in ("model_type", "n_shared_experts")]
    assert {remark.split(" = ")[0] for remark in remarks if " = " in remark} == set(keys)
    for key in keys:
        assert sum(remark.startswith(f"{key} = {json.dumps(DEEPSEEK_V3[key])}: ") for remark in remarks) == 1
    assert all(remark[-1] == "." for remark in remarks)


def test_a_setting_without_a_key_is_told_too():
    bare = {key: OLMOE[key] for key in OLMOE if key != "norm_topk_prob"}
    (told,) = [remark for remark in gate_of(bare).remarks if remark.startswith("No ")]
    assert told.startswith("No norm_topk_prob: then the scores of the selected experts are the weights")


def test_a_bias_is_told_where_the_checkpoint_holds_one():
    for config, holds in ((DEEPSEEK_V3, True), (MIXTRAL, False), (DEEPSEEK_V2, False), (LONGCAT, True)):
        assert any("holds a bias" in remark for remark in gate_of(config).remarks) == holds


def test_a_factor_of_the_logits_is_one_where_the_router_reads_it():
    sizes = {"num_local_experts": 8, "num_experts_per_tok": 2, "output_multiplier": 0.25}
    assert gate_of({"model_type": "muse_spark_text"} | sizes).logit_scale == 0.25
    assert gate_of({"model_type": "mixtral"} | sizes).logit_scale == 1  # there it is about the words, not the experts


def test_the_zero_experts_of_a_reading_are_its_last():
    reading = gate_of(LONGCAT)
    assert (reading.zero_experts, reading.num_experts) == (256, 512 + 256)


@pytest.mark.parametrize(
    ("config", "start"),
    [
        # no router, or none of ours
        ({}, "model_type = None: expected a family with a router"),
        ({"model_type": "llama", "hidden_size": 4096}, "model_type = 'llama': expected a family with a router"),
        ({"model_type": "llava", "text_config": {"model_type": "llama"}}, "model_type = ['llava', 'llama']: expected"),
        ({"model_type": ["mixtral"]}, "model_type = ['mixtral']"),
        ({"model_type": "mixtral"}, "num_experts = None: expected a number of experts"),
        ({"model_type": "mixtral", "num_local_experts": 0, "num_experts_per_tok": 1}, "num_local_experts = 0"),
        ({"model_type": "mixtral", "num_local_experts": 8}, "num_experts_per_tok = None"),
        (7, "config = 7: expected a dict, or the path"),
        # keys that contradict each other
        (MIXTRAL | {"num_experts": 16}, "num_local_experts = 8: expected 16, as num_experts says"),
        (OLMOE | {"moe_renormalize": True}, "moe_renormalize = True: expected False, as norm_topk_prob says"),
        (DEEPSEEK_V2 | {"topk_method": "greedy"}, "n_group = 8: expected 1, for topk_method = greedy"),
        (DEEPSEEK_V2 | {"topk_method": "greedy", "n_group": 2, "topk_group": 1}, "n_group = 2: expected 1, for"),
        ({key: DEEPSEEK_V3[key] for key in DEEPSEEK_V3 if key != "topk_group"}, "topk_group = None: expected a number"),
        ({key: DEEPSEEK_V3[key] for key in DEEPSEEK_V3 if key != "n_group"}, "n_group = None: expected a number"),
        (DEEPSEEK_V3 | {"topk_group": 9}, "topk_group = 9: expected at most n_group = 8"),
        # keys that contradict the code
        (DEEPSEEK_V3 | {"scoring_func": "softmax"}, "scoring_func = 'softmax': expected sigmoid"),
        (DEEPSEEK_V3 | {"topk_method": "greedy"}, "topk_method = 'greedy': expected the way"),
        (DEEPSEEK_V2 | {"topk_method": "noaux_tc"}, "topk_method = 'noaux_tc': expected the way"),
        (DEEPSEEK_V2 | {"norm_topk_prob": True}, "norm_topk_prob = True: expected False"),
        (MIXTRAL | {"norm_topk_prob": False}, "norm_topk_prob = False: expected True"),
        (MIXTRAL | {"routed_scaling_factor": 2.0}, "routed_scaling_factor = 2.0: expected 1.0"),
        (MIXTRAL | {"n_group": 4, "topk_group": 2}, "n_group = 4: expected 1"),
        (MIXTRAL | {"zero_expert_num": 4}, "zero_expert_num = 4: expected 0"),
        ({"model_type": "laguna", "num_experts": 8, "num_experts_per_tok": 2, "moe_router_logit_softcapping": 30.0},
         "moe_router_logit_softcapping = 30.0: expected 0"),
        ({"model_type": "switch_transformers", "num_experts": 8, "num_experts_per_tok": 2}, "num_experts_per_tok = 2"),
        # numbers that do not fit
        (DEEPSEEK_V3 | {"n_group": 512, "topk_group": 4}, "n_group = 512: expected groups of equal size"),
        (DEEPSEEK_V3 | {"n_group": 3, "topk_group": 2}, "n_group = 3: expected groups of equal size"),
        (DEEPSEEK_V3 | {"n_group": 256, "topk_group": 8}, "n_group = 256: expected groups of equal size, from two"),
        (DEEPSEEK_V3 | {"n_group": 128, "num_experts_per_tok": 9}, "num_experts_per_tok = 9: expected a whole"),
        (MIXTRAL | {"num_experts_per_tok": 9}, "num_experts_per_tok = 9: expected a whole number from 1 to 8"),
        (MIXTRAL | {"num_experts_per_tok": 2.0}, "num_experts_per_tok = 2.0"),
        (DEEPSEEK_V3 | {"routed_scaling_factor": 0}, "routed_scaling_factor = 0: expected a finite number above 0"),
        (OLMOE | {"norm_topk_prob": "yes"}, "norm_topk_prob = 'yes': expected true or false"),
        (DEEPSEEK_V3 | {"scoring_func": "tanh"}, "scoring_func = 'tanh': expected one of 'softmax'"),
        (DBRX | {"ffn_config": DBRX["ffn_config"] | {"moe_normalize_expert_weights": 2.0}},
         "moe_normalize_expert_weights = 2.0: expected 1"),
        ({"model_type": "hunyuan_v1_moe", "num_experts": 64, "moe_topk": [8, 4]}, "moe_topk = [8, 4]"),
        (MIXTRAL | {"per_layer_config": {"3": {"num_local_experts": 4}}}, "per_layer_config[3] = {'num_local"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_the_name_of_its_key(config, start):
    with pytest.raises(ValueError, match="expected") as error:
        gate_of(config)
    assert str(error.value).startswith(start)


@pytest.mark.parametrize("name", BEYOND)
def test_a_router_beyond_every_gate_is_refused_with_the_reason(name):
    with pytest.raises(ValueError, match=re.escape(BEYOND[name])):
        gate_of({"model_type": name, "num_experts": 8, "num_experts_per_tok": 2})


def test_a_path_without_a_file_and_a_file_that_is_no_json(tmp_path):
    (tmp_path / "config.json").write_text("{", "utf-8")
    for path in (tmp_path / "config.json", tmp_path / "none.json", tmp_path):
        with pytest.raises(ValueError, match=r"^config = .*expected the path of a config.json"):
            gate_of(path)


def test_a_bias_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"bias.shape = \(7,\): expected \(8,\)"):
        gate_of(MIXTRAL).gate.weights(np.zeros(8), 2, np.zeros(7))


# --- the table ----------------------------------------------------------------------------------------------------


def test_every_row_is_complete_and_possible():
    assert not set(FAMILIES) & set(BEYOND)
    for name, family in FAMILIES.items():
        assert 2017 <= family.year <= 2026, name
        assert 1 <= family.k <= family.gate.experts_in_reach(family.experts), name
        assert re.fullmatch(r"\d{4}\.\d{5}|[\w-]+/[\w.-]+", family.source), name
        assert set(family.kind.reads) <= set(atlas.KEYS), name
        assert all(
            gate_of({"model_type": name, "num_experts": family.experts, "num_experts_per_tok": family.k}).remarks
        )


def test_families_that_weigh_alike_are_found_by_weighing():
    groups = {tuple(group) for group in atlas.functions()}
    assert sorted(name for group in groups for name in group) == sorted(FAMILIES)
    together = {name: group for group in groups for name in group}
    assert together["mixtral"] == together["gpt_oss"] == together["qwen3_moe"] != together["jamba"]
    assert together["deepseek_v3"] == together["kimi_linear"] != together["minimax_m2"]
    for seed in (1, 2):  # no chance of these logits
        assert {tuple(group) for group in atlas.functions(seed=seed)} == groups
    plain = {name: group for group in map(tuple, atlas.functions(with_bias=False)) for name in group}
    assert plain["ernie4_5_moe"] == plain["mixtral"]  # what tells them apart is the bias
    assert len(set(plain.values())) < len(groups)


def test_names_of_a_setting_belong_to_it_alone_and_each_has_a_sentence():
    names = [key for keys in atlas.KEYS.values() for key in keys]
    assert len(names) == len(set(names))
    assert set(atlas.SENTENCES) == set(atlas.KEYS)
    assert set(atlas.SETTINGS) <= set(atlas.KEYS)


def test_broken_control_a_gate_that_ignores_a_key_differs():
    h = np.random.default_rng(1).normal(size=(5, 256))
    right = gate_of(DEEPSEEK_V3).gate.weights(h, 8)
    for key, value in (("norm_topk_prob", False), ("routed_scaling_factor", 1.0), ("topk_group", 8)):
        assert not np.allclose(gate_of(DEEPSEEK_V3 | {key: value}).gate.weights(h, 8), right)
