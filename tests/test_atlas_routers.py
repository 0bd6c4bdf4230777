"""Every router class of the installed transformers against our gates: the same tokens, matrix and bias, equal weights.

A router that is new in transformers fails here by its name until a row of `atlas.FAMILIES` or a reason is written for
it. Nothing is downloaded: each router is made small, from the configuration class of its family. The modelling code of
some seventy families is imported, which takes seconds; one worker runs all of it.
"""

import functools
import importlib
import inspect
import itertools
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from moe_lessons.atlas import BEYOND, FAMILIES, KEYS, gate_of
from moe_lessons.routing import Gate

if find_spec("transformers") is None:
    pytest.skip("transformers is not installed: it comes with the extra real-routers", allow_module_level=True)

pytestmark = pytest.mark.xdist_group("transformers")

CODE = Path(find_spec("transformers").origin).parent / "models"
T, D, N, K = 64, 16, 16, 4
SHOULD_AGREE = 60  # at least so many router classes

# What is called Router or Gate and chooses no experts.
NO_ROUTERS = {
    "bailing_hybrid.BailingHybridForgetGate": "how fast a state decays",
    "d_fine.DFineGate": "mixes two streams",
    "deimv2.Deimv2Gate": "mixes two streams",
    "glm5_next.Glm5NextTextForgetGate": "how fast a state decays",
    "granite_docling.GraniteDoclingDensityRouter": "one number for an image: how dense its text is",
    "kimi_linear.KimiLinearForgetGate": "how fast a state decays",
    "muse_spark.MuseSparkResidualGate": "mixes a layer with its input",
    "qwen3_omni_moe.Qwen3OmniMoeTextTopKRouter": "left over: no block has one",
}
# Classes that no Gate expresses; the others of their family may be expressed.
OUTSIDE = {
    "deepseek_v4.DeepseekV4HashRouter": "a fixed table selects by token id",
    "diffusion_gemma.DiffusionGemmaTextRouter": BEYOND["diffusion_gemma_text"],
    "gemma4.Gemma4TextRouter": BEYOND["gemma4_text"],
    "inkling.InklingTopkRouter": BEYOND["inkling_text"],
    "phimoe.PhimoeTopKRouter": BEYOND["phimoe"],
    "zaya.ZayaRouter": BEYOND["zaya"],
}
# MoE blocks without a router class of their own.
CHOOSES_ITSELF = {"doge.DogeCDMoE": BEYOND["doge"]}
NO_CHOICE = {
    "jetmoe.JetMoeAttention": "asks the router of the block that it holds",
    "vitpose_backbone.VitPoseBackboneMoeMLP": "the data set of an image is its expert",
}
# Where a module has several configurations with a router, a class that is not named after its own.
CONFIGURATION = {"qwen3_omni_moe.Qwen3OmniMoeThinkerTextTopKRouter": "Qwen3OmniMoeTextConfig"}
# What a router leaves to its block: the factor of its weights.
SCALED_BY_THE_BLOCK = {
    "beam": "BeamMoE",
    "laguna": "LagunaSparseMoeBlock",
    "minimax_m3_vl": "MiniMaxM3VLSparseMoeBlock",
    "openai_privacy_filter": "OpenAIPrivacyFilterMLP",
    "step3p7": "Step3p7SparseMoeBlock",
}


# --- what there is ------------------------------------------------------------------------------------------------


@functools.cache
def classes():
    """The text of every class in the modelling files, by "folder.Name"."""
    found = {}
    for path in sorted(CODE.glob("*/modeling_*.py")):
        for part in re.split(r"(?m)^(?=class )", path.read_text("utf-8"))[1:]:
            short = re.match(r"class (\w+)", part)[1]
            found[f"{path.parent.name}.{short}"] = part
    return found


NAMED = [name for name in classes() if re.search(r"(Router|Gate|TopKGating)$", name)]
ROUTERS = [name for name in NAMED if name not in NO_ROUTERS]
EXPRESSED = [name for name in ROUTERS if name not in OUTSIDE]


def named_in(text, folder):
    """Whether a class makes one of the routers of its file."""
    return any(re.search(rf"\b{name.split('.')[1]}\(", text) for name in NAMED if name.startswith(f"{folder}."))


def test_the_lists_name_what_is_there():
    listed = {*NO_ROUTERS, *OUTSIDE, *CHOOSES_ITSELF, *NO_CHOICE}
    assert sorted(listed - set(classes())) == []


def test_every_block_with_experts_takes_its_choice_from_a_router_that_is_found():
    """A router under another name would show here."""
    blocks = {name: text for name, text in classes().items() if "self.experts = " in text}
    without = {name for name, text in blocks.items() if not named_in(text, name.split(".")[0])}
    assert without == set(NO_CHOICE)
    assert len(blocks) > 60
    choosers = {name for name, text in classes().items() if ".topk(" in text and re.search(r"\bnum_experts\b", text)}
    known = {name for name in choosers if name in NAMED or named_in(classes()[name], name.split(".")[0])}
    assert choosers - known - {name for name in choosers if name.endswith("Model")} == set(CHOOSES_ITSELF)


# --- one router, made small ---------------------------------------------------------------------------------------


@functools.cache
def module(folder, kind="modeling"):
    return importlib.import_module(f"transformers.models.{folder}.{kind}_{folder}")


def configuration(router):
    """Return the configuration class of a router: of its folder, with a row in the atlas, the one named alike."""
    folder, name = router.split(".")
    known = {c.__name__: c for c in vars(module(folder, "configuration")).values() if hasattr(c, "model_type")}
    known = {n: c for n, c in known.items() if c.model_type in FAMILIES}
    assert known, f"{router} of the installed transformers is in no family of the atlas"
    like = CONFIGURATION.get(router) or max(known, key=lambda n: len(common(n, name)))
    return known[like]


def common(one, other):
    return "".join(a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def small(Config, **settings):
    """Return a configuration of width D with N experts, K a token, and settings under the names that the family has."""
    config = Config()
    if config.to_dict().get("per_layer_config"):  # the number of experts grows with depth
        config = config.per_layer_config[-1]
    config.hidden_size = D
    parts = [config, *([config.ffn_config] if hasattr(config, "ffn_config") else [])]
    for setting, value in ({"num_experts": N, "k": K} | settings).items():
        for part, key in itertools.product(parts, KEYS[setting]):
            if hasattr(part, key):
                setattr(part, key, BY_NORM[value] if key == "moe_normalize_expert_weights" else value)
    if hasattr(config, "ffn_config"):
        config.ffn_config.hidden_size = D
    return config


BY_NORM = {True: 1.0, False: None}  # the p of a norm


def variants(family):
    """Every combination of what the family's configuration can say about its gate."""
    choices = {
        "normalise": [True, False],
        "scale": [2.5],
        "groups": [1, 4],
        "zero_experts": [4],
        "has_bias": [True, False],
        "logit_scale": [0.5],
        "score": ["softmax", "sigmoid"] if not family.kind.bias else ["sigmoid", "sqrtsoftplus"],
    }
    asked = {setting: choices[setting] for setting in family.kind.reads if setting in choices}
    for values in itertools.product(*asked.values()):
        chosen = dict(zip(asked, values, strict=True))
        if "groups" in chosen:
            chosen["kept_groups"] = chosen["groups"] // 2 or 1
        if "method" in family.kind.reads:
            chosen["method"] = "greedy" if chosen["groups"] == 1 else "group_limited_greedy"
        yield chosen


class Units(nn.Module):
    """Stands in for the experts of a block: expert i returns the unit vector i, so a token's output is its weights."""

    def forward(self, x, selected, weights):
        return torch.zeros(len(x), N).scatter_add(1, selected, weights)


def filled(made, rng, bias):
    """Fill a router or a block: random numbers for its matrix, `bias` for its selection. Returns (W, b)."""
    found, b = [], np.zeros(N, np.float32)
    for name, tensor in [*made.named_parameters(), *made.named_buffers()]:
        last = name.split(".")[-1]
        if tensor.shape == (N, D) and "experts" not in name:
            found.append(tensor.data.copy_(torch.tensor(rng.normal(size=(N, D)))).numpy())
        elif "correction_bias" in last:
            tensor.data.copy_(torch.tensor(bias).reshape(tensor.shape))
        elif last == "bias" and tensor.shape == (N,):
            b = tensor.data.copy_(torch.tensor(rng.normal(size=N))).numpy()
        else:
            tensor.data.zero_()
    (W,) = found  # one matrix, or this is no router of ours
    return W, b


def of_kept(out):
    """(logits, weights (T, k), selected (T, k)): what most routers return."""
    _, weights, selected = out
    return torch.zeros(T, N).scatter(1, selected, weights.float())


def of_jetmoe(out):
    """The tokens in the order of the experts, their weights, and how many tokens each expert has."""
    _, token, weights, load, _ = out
    expert = torch.arange(N).repeat_interleave(torch.tensor(load))
    dense = torch.zeros(T, N)
    dense[token, expert] = weights
    return dense


ANSWERS = {
    "jetmoe.JetMoeTopKGating": of_jetmoe,
    "llama4.Llama4Router": lambda out: out[0],
    "nllb_moe.NllbMoeTop2Router": lambda out: out[1],
    "switch_transformers.SwitchTransformersTop1Router": lambda out: out[0] * out[1],
}


@torch.no_grad()
def theirs(name, config, x, rng, bias):
    """Return the weights of a router of transformers, (T, N), and the logits of the matrix that it was given."""
    folder, short = name.split(".")
    code = module(folder)
    if short == "DbrxRouter":  # its block selects
        made = code.DbrxFFN(config)
        W, b = filled(made, rng, bias)
        out = None, *made.route_tokens_to_experts(made.router(torch.tensor(x)))
    elif folder in SCALED_BY_THE_BLOCK:
        Block = getattr(code, SCALED_BY_THE_BLOCK[folder])
        made = Block(config, 0) if folder == "step3p7" else Block(config)
        made.experts = Units()
        W, b = filled(made, rng, bias)
        y = made(torch.tensor(x)[None])
        return (y[0] if isinstance(y, tuple) else y)[0].numpy(), x @ W.T + b
    else:
        Router = getattr(code, short)
        made = (
            Router(D, N, K)
            if folder == "jetmoe"
            else Router(config, 0)
            if folder == "hunyuan_v1_moe"
            else Router(config)
        )
        W, b = filled(made, rng, bias)
        given = [torch.tensor(bias)] if "_bias" in " ".join(inspect.signature(made.forward).parameters) else []
        out = made.eval()(torch.tensor(x)[None] if folder == "afmoe" else torch.tensor(x), *given)
    return ANSWERS.get(name, of_kept)(out).numpy(), x @ W.T + b


def cases(name):
    """Yield (what, theirs, ours) for every variant of a router's configuration and for biases of three sizes."""
    Config = configuration(name)
    family, rng = FAMILIES[Config.model_type], np.random.default_rng(0)
    for chosen in variants(family):
        experts = {"num_experts": N - chosen.get("zero_experts", 0), "k": family.fixed_k or K}
        config = small(Config, **experts, **chosen)
        reading = gate_of(config.to_dict())
        for size, shift in ((0, 0), (0.3, 0), (1, -10)) if reading.has_bias else ((0, 0),):
            bias = (size * rng.normal(size=N) + shift).astype(np.float32)
            x = rng.normal(size=(T, D)).astype(np.float32) / 2
            weights, logits = theirs(name, config, x, rng, bias)
            given = bias if reading.has_bias else None
            ours = reading.gate.weights(reading.logit_scale * logits, reading.k, given)
            yield {**chosen, "shift": shift}, weights, ours


# --- they agree ---------------------------------------------------------------------------------------------------


def grouped_and_pushed_down(what):
    return what.get("groups", 1) > 1 and what["shift"] < 0


@pytest.mark.parametrize("name", EXPRESSED)
def test_a_router_is_its_gate(name):
    tried = 0
    for what, weights, ours in cases(name):
        if name == "axk2.AXK2TopkRouter" and grouped_and_pushed_down(what):
            continue  # see below
        assert (weights > 0).sum() >= T, what
        np.testing.assert_allclose(ours, weights, atol=1e-6, rtol=1e-6, err_msg=str(what))
        tried += 1
    assert tried


def test_most_routers_are_gates():
    assert len(EXPRESSED) >= SHOULD_AGREE
    assert set(EXPRESSED) | set(OUTSIDE) == set(ROUTERS)


def test_one_family_lets_dropped_groups_win_where_biases_push_the_others_below_0():
    """Its dropped groups count as 0, not as −∞."""
    apart = [np.abs(w - ours).max() for what, w, ours in cases("axk2.AXK2TopkRouter") if grouped_and_pushed_down(what)]
    assert min(apart) > 0.1


def test_a_block_that_scales_after_its_router_is_compared_as_a_whole():
    after = r"self\.experts\(.*\n(?:.*\n)*?.*hidden_states(?:_states)? \* self\."
    scaling = {name.split(".")[0] for name, text in classes().items() if re.search(after, text)}
    assert scaling == set(SCALED_BY_THE_BLOCK)


def test_broken_control_the_neighbours_gates_are_noticed():
    """With the gate of another family nearly every router would differ: the cases tell gates apart."""
    for name, gate in {
        "mixtral.MixtralTopKRouter": Gate(normalise=False),
        "deepseek_v3.DeepseekV3TopkRouter": Gate("sigmoid", scale=2.5),
        "jamba.JambaTopKRouter": Gate(),
        "kolibri1.Kolibri1TopKRouter": Gate("sigmoid", normalise=False),
        "deepseek_v4.DeepseekV4TopKRouter": Gate("sigmoid", scale=2.5),
        "laguna.LagunaTopKRouter": Gate("sigmoid"),
    }.items():
        rng, Config = np.random.default_rng(1), configuration(name)
        bias = rng.normal(size=N).astype(np.float32) if FAMILIES[Config.model_type].kind.bias else None
        config = small(Config, **list(variants(FAMILIES[Config.model_type]))[-1])
        x = rng.normal(size=(T, D)).astype(np.float32) / 2
        weights, logits = theirs(name, config, x, rng, np.zeros(N, np.float32) if bias is None else bias)
        assert np.abs(gate.weights(logits, K, bias) - weights).max() > 0.01, name
        right = gate_of(config.to_dict()).gate.weights(logits, K, bias)
        np.testing.assert_allclose(right, weights, atol=1e-6, rtol=1e-6)


def test_broken_control_a_router_of_no_family_fails_by_its_name():
    with pytest.raises(AssertionError, match=r"llama\.LlamaTopKRouter of the installed transformers is in no family"):
        configuration("llama.LlamaTopKRouter")


# --- what a configuration leaves out ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPRESSED)
def test_where_a_key_is_missing_the_atlas_assumes_what_the_code_assumes(name):
    Config = configuration(name)
    full = small(Config, k=FAMILIES[Config.model_type].fixed_k or 2).to_dict()
    bare = {key: full[key] for key in ("model_type", *KEYS["num_experts"], *KEYS["k"]) if key in full}
    if "ffn_config" in full:
        bare["ffn_config"] = {key: full["ffn_config"][key] for key in ("moe_num_experts", "moe_top_k")}
    ours, theirs = gate_of(bare), gate_of(full)
    assert (ours.gate, ours.k, ours.has_bias) == (theirs.gate, theirs.k, theirs.has_bias)


# The sizes of the published model where the code's defaults are those of another, or none.
OTHER_SIZES = {
    "afmoe", "aria_text", "dbrx", "deepseek_ocr2_text", "deepseek_v2", "dots1", "dots3_note_vision_encoder",
    "exaone_moe", "glm4_moe", "granitemoe", "granitemoehybrid", "hunyuan_v1_moe", "minimax", "nemotron_h",
    "qwen3_vl_moe_text",
}  # fmt: skip


def test_sizes_are_those_of_the_codes_defaults_or_listed():
    differ = set()
    for name in EXPRESSED:
        Config = configuration(name)
        family, config = FAMILIES[Config.model_type], Config().to_dict()
        try:
            reading = gate_of(config)
            same = (reading.num_experts - reading.zero_experts, reading.k) == (family.experts, family.k)
        except ValueError:
            same = False
        differ |= set() if same else {Config.model_type}
    assert differ == OTHER_SIZES


# --- those that no gate expresses ---------------------------------------------------------------------------------


def made(name, *more, **settings):
    """Return a router that no gate expresses, with random numbers in it, and tokens (T, D)."""
    folder, short = name.split(".")
    known = [c for c in vars(module(folder, "configuration")).values() if getattr(c, "model_type", "") in OWN_CONFIG]
    config = small(known[0])
    for key, value in settings.items():
        setattr(config, key, value)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        router = getattr(module(folder), short)(config, *more)
        for tensor in [*router.parameters(), *(b for b in router.buffers() if b.is_floating_point())]:
            tensor.data.normal_()
        return router.eval().requires_grad_(False), torch.randn(T, D) / 2


OWN_CONFIG = {*BEYOND, "deepseek_v4"}


def dense(weights, selected, width=N):
    return torch.zeros(T, width).scatter(1, selected, weights).numpy()


@pytest.mark.parametrize("name", ["gemma4.Gemma4TextRouter", "diffusion_gemma.DiffusionGemmaTextRouter"])
def test_gemma_multiplies_each_weight_by_a_number_of_its_expert(name):
    router, x = made(name)
    _, weights, selected = router(x)
    h = router.proj(router.norm(x) * router.scale * D**-0.5).numpy()
    by_expert = router.per_expert_scale.numpy()
    np.testing.assert_allclose(dense(weights, selected), Gate().weights(h, K) * by_expert, atol=1e-5)


def test_the_first_layers_of_deepseek_v4_select_by_token_id():
    router, x = made("deepseek_v4.DeepseekV4HashRouter", vocab_size=50)
    ids = torch.arange(T) % 50
    router.tid2eid.copy_(torch.rand(50, N).argsort(-1)[:, :K])
    h, weights, selected = router(x, ids)
    assert torch.equal(selected, router.tid2eid[ids])
    s = torch.log1p(h.double().exp()).sqrt().gather(1, selected)
    np.testing.assert_allclose(weights, router.routed_scaling_factor * s / s.sum(-1, keepdim=True), atol=1e-5)
    assert not (dense(weights, selected) == 0)[Gate("sqrtsoftplus").selected(h.numpy(), K)].all()


def test_inkling_divides_by_a_sum_over_the_shared_experts_too():
    router, x = made("inkling.InklingTopkRouter")
    h, weights, selected, shared = router(x)
    s = (x @ router.weight.T).sigmoid()  # (T, N + shared)
    total = s[:, :N].gather(1, selected).sum(-1) + s[:, N:].sum(-1)
    scale = router.route_scale * router.global_scale
    np.testing.assert_allclose(weights, scale * s.gather(1, selected) / total[:, None], atol=1e-5)
    np.testing.assert_allclose(shared, scale * s[:, N:] / total[:, None], atol=1e-5)
    bias = router.e_score_correction_bias.numpy()
    assert (Gate("sigmoid").selected(h.numpy(), K, bias) == (dense(weights, selected) != 0)).all()


def test_phimoe_takes_a_softmax_for_each_of_its_two_over_the_logits_near_the_largest():
    router, x = made("phimoe.PhimoeTopKRouter", num_experts_per_tok=2)
    router.top_k, router.router_jitter_noise = 2, 0.2
    h, weights, selected = router(x)
    left = h.double().clone()
    for place in range(2):
        most, index = left.max(-1)
        near = (most[:, None] - h) / h.abs().clamp(min=most[:, None]) <= 2 * router.router_jitter_noise
        p = left.masked_fill(~near, -torch.inf).softmax(-1).gather(1, index[:, None])[:, 0]
        assert torch.equal(selected[:, place], index)
        np.testing.assert_allclose(weights[:, place], p, atol=1e-5)
        left.scatter_(1, index[:, None], -torch.inf)
    assert weights.sum(-1).max() > 1.5  # as near to 1 each as nothing else is near


def test_zaya_has_logits_that_are_no_product_of_token_and_matrix_and_one_that_means_to_skip():
    router, x = made("zaya.ZayaRouter", 0, num_experts_per_tok=1)
    router.top_k = 1
    h, weights, *_ = router(x[None])
    doubled, *_ = router(2 * x[None])
    assert h.shape == (T, N + 1)
    assert not torch.allclose(doubled, 2 * h, atol=0.1)
    ours = Gate(normalise=False).weights(h.numpy(), 1, router.balancing_biases.numpy())
    skips = ours[:, N] > 0
    np.testing.assert_allclose(weights[~skips, 0], ours[~skips].max(-1), atol=1e-6)
    assert (weights[skips] == 0).all()


def test_doge_scores_fewer_keys_than_it_has_experts():
    config = small(module("doge", "configuration").DogeConfig)
    assert module("doge").DogeCDMoE(config).router_gate.out_features == 2 * N**0.5
