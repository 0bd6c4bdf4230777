"""The model families of the atlas: one row each, with the kind of its router, its source, and those beyond a Gate.

Read in the code of Hugging Face transformers 5.23; `tests/test_atlas_routers.py` compares each row with the classes of
the installed version.
"""

from dataclasses import dataclass, replace
from typing import Any

from moe_lessons.routing import Gate


@dataclass(frozen=True)
class Kind:
    """What the code of many families has in common: a gate, the settings that it takes from the configuration, a bias.

    reads: settings of `atlas.KEYS`; what is not among them the code decides, whatever a key says. bias: whether the
    checkpoint holds a bias per expert that acts in the selection only.
    """

    gate: Gate
    reads: tuple[str, ...] = ()
    bias: bool = False


GROUPED = ("groups", "kept_groups")
FORM_A = Kind(Gate(after_selection=True))
SUM_1 = Kind(Gate())
SUM_1_IF = Kind(Gate(normalise=False), ("normalise",))
AS_IT_IS = Kind(Gate(normalise=False))
V2 = Kind(Gate(normalise=False), ("scale", *GROUPED, "method"))
V3 = Kind(Gate("sigmoid", group_score="top2"), ("normalise", "scale", *GROUPED), bias=True)
SIGMOID = Kind(Gate("sigmoid"), ("scale",), bias=True)
SIGMOID_FIXED = Kind(Gate("sigmoid"), (), bias=True)
ANY_SCORE = Kind(Gate("sigmoid"), ("score", "scale"), bias=True)
MISTRAL = Kind(Gate(group_score="top2"), ("scale", *GROUPED))
ERNIE = Kind(Gate(), (), bias=True)


@dataclass(frozen=True)
class Family:
    """A model family: one published member, and the kind of its router with the settings that its code defaults to.

    model, year, experts, k: the published member and its sizes; where none were at hand, those of the code's defaults.
    source: an arXiv number, or the repository on huggingface.co whose configuration the code names.
    fixed_k: of a router without a key for it. note: what the weights alone do not say.
    """

    model: str
    year: int
    experts: int
    k: int
    kind: Kind
    source: str
    gate: Gate
    fixed_k: int | None = None
    note: str = ""


def _family(
    kind: Kind, model: str, year: int, experts: int, k: int, source: str,
    fixed_k: int | None = None, note: str = "", **defaults: Any,
) -> Family:  # fmt: skip
    """Return a row of the table. defaults: settings of the gate that the code assumes where no key says them."""
    return Family(model, year, experts, k, kind, source, replace(kind.gate, **defaults), fixed_k, note)


# By the `model_type` of the part of the configuration that holds the router. The year is that of the paper or of the
# code's copyright line.
FAMILIES = {
    # the k largest logits, softmax over them
    "aria_text": _family(FORM_A, "Aria", 2024, 64, 6, "2410.05993"),
    "cohere2_moe": _family(
        Kind(Gate(after_selection=True), ("score", "normalise")), "Command A+", 2026, 8, 2,
        "CohereLabs/command-a-plus-05-2026",
    ),
    "gpt_oss": _family(FORM_A, "gpt-oss-120b", 2025, 128, 4, "2508.10925", note="The logits have a bias of their own."),
    "granitemoe": _family(FORM_A, "Granite 3.0 3B-A800M", 2024, 40, 8, "ibm-granite/granite-3.0-3b-a800m-base"),
    "granitemoe_swa": _family(FORM_A, "Granite Swash 3B-A600M", 2026, 8, 2, "ibm-granite/granite-swash-3b-a600m"),
    "granitemoehybrid": _family(FORM_A, "Granite 4.0 Tiny", 2025, 64, 6, "ibm-granite/granite-4.0-h-tiny"),
    "granitemoeshared": _family(FORM_A, "Granite MoE shared", 2024, 8, 2, "ibm-granite/granite-speech-3.2-8b"),
    "jetmoe": _family(FORM_A, "JetMoE-8B", 2024, 8, 2, "2404.07413"),
    "openai_privacy_filter": _family(
        FORM_A, "privacy-filter", 2026, 128, 4, "openai/privacy-filter",
        note="The router divides the weights by k, and the layer multiplies its output by k.",
    ),
    # softmax over all, the k largest divided by their sum
    "dbrx": _family(Kind(Gate(), ("normalise",)), "DBRX", 2024, 16, 4, "databricks/dbrx-instruct"),
    "hunyuan_v1_moe": _family(SUM_1, "Hunyuan-A13B", 2025, 64, 8, "tencent/Hunyuan-A13B-Instruct"),
    "minimax": _family(SUM_1, "MiniMax-Text-01", 2025, 32, 2, "2501.08313"),
    "mixtral": _family(SUM_1, "Mixtral 8x7B", 2023, 8, 2, "2401.04088"),
    "nllb-moe": _family(
        SUM_1, "NLLB-MoE 54B", 2022, 128, 2, "2207.04672", fixed_k=2,
        note="Weights of experts without room are then set to 0.",
    ),
    "qwen3_5_moe_text": _family(SUM_1, "Qwen3.5-35B-A3B", 2026, 256, 8, "Qwen/Qwen3.5-35B-A3B"),
    "qwen3_vl_moe_text": _family(SUM_1, "Qwen3-VL-30B-A3B", 2025, 128, 8, "2511.21631"),
    # the same, where a key says whether to divide
    "flex_olmo": _family(SUM_1_IF, "FlexOlmo-7x7B", 2025, 7, 5, "2507.07024"),
    "mellum": _family(SUM_1_IF, "Mellum2-12B-A2.5B", 2026, 64, 8, "JetBrains/Mellum2-12B-A2.5B-Base", normalise=True),
    "olmoe": _family(SUM_1_IF, "OLMoE-1B-7B", 2024, 64, 8, "2409.02060"),
    "qwen2_moe": _family(SUM_1_IF, "Qwen1.5-MoE-A2.7B", 2024, 60, 4, "Qwen/Qwen1.5-MoE-A2.7B"),
    "qwen3_moe": _family(SUM_1_IF, "Qwen3-30B-A3B", 2025, 128, 8, "2505.09388"),
    "qwen3_next": _family(
        SUM_1_IF, "Qwen3-Next-80B-A3B", 2025, 512, 10, "Qwen/Qwen3-Next-80B-A3B-Instruct", normalise=True,
    ),
    "qwen3_omni_moe_text": _family(SUM_1_IF, "Qwen3-Omni-30B-A3B, thinker", 2025, 128, 8, "2509.17765", normalise=True),
    "qwen3_omni_moe_talker_text": _family(SUM_1_IF, "Qwen3-Omni-30B-A3B, talker", 2025, 128, 8, "2509.17765"),
    "qwen4_exp_text": _family(SUM_1_IF, "Qwen4-Exp", 2026, 512, 10, "Qwen/Qwen4-Exp", normalise=True),
    # softmax over all, the k largest as they are
    "deepseek_ocr2_text": _family(V2, "DeepSeek-OCR-2", 2026, 64, 6, "deepseek-community/DeepSeek-OCR-2"),
    "deepseek_v2": _family(V2, "DeepSeek-V2", 2024, 160, 6, "2405.04434"),
    "jamba": _family(AS_IT_IS, "Jamba v0.1", 2024, 16, 2, "2403.19887"),
    "switch_transformers": _family(
        AS_IT_IS, "Switch-Base-8", 2021, 8, 1, "2101.03961", fixed_k=1, note="Tokens without room are dropped.",
    ),
    "unlimited_ocr_text": _family(V2, "Unlimited-OCR", 2026, 64, 6, "baidu/Unlimited-OCR"),
    # softmax with a bias, or with groups
    "ernie4_5_moe": _family(ERNIE, "ERNIE-4.5-21B-A3B", 2025, 64, 6, "baidu/ERNIE-4.5-21B-A3B-PT"),
    "ernie4_5_vl_moe_text": _family(ERNIE, "ERNIE-4.5-VL-28B-A3B", 2025, 64, 6, "baidu/ERNIE-4.5-VL-28B-A3B-PT"),
    "longcat_flash": _family(
        Kind(Gate(normalise=False), ("scale", "zero_experts"), bias=True), "LongCat-Flash", 2025, 512, 12, "2509.01322",
        scale=6.0, note="The last experts compute nothing: they return the token as it is.",
    ),
    "mistral4": _family(
        Kind(Gate(group_score="top2"), ("normalise", "scale", *GROUPED)), "Mistral Small 4", 2026, 128, 4,
        "mistralai/Mistral-Small-4-119B-2603",
    ),
    "mistral_large4_text": _family(MISTRAL, "Mistral Large 4", 2026, 128, 4, "mistralai/Mistral-Large-4-1T-A52B"),
    # sigmoid with a bias and groups
    "axk1": _family(V3, "A.X-K1", 2026, 192, 8, "skt/A.X-K1", scale=2.5, groups=8, kept_groups=4),
    "axk2": _family(
        V3, "A.X-K2", 2026, 128, 8, "skt/A.X-K2", scale=2.5,
        note="Dropped groups count as 0, not as −∞: where biases push kept experts below 0, a dropped one wins.",
    ),
    "bailing_hybrid": _family(
        V3, "Ling-3.0-Flash", 2026, 512, 8, "inclusionAI/Ling-3.0-Flash", scale=2.5, groups=8, kept_groups=4,
    ),
    "beam": _family(V3, "Beam 1.0", 2026, 256, 8, "reflection/Beam-1.0-501B-A23B", scale=2.5, groups=8, kept_groups=4),
    "deepseek_v3": _family(V3, "DeepSeek-V3", 2024, 256, 8, "2412.19437", scale=2.5, groups=8, kept_groups=4),
    "deepseek_v32": _family(V3, "DeepSeek-V3.2", 2025, 256, 8, "2512.02556", scale=2.5, groups=8, kept_groups=4),
    "dots1": _family(V3, "dots.llm1", 2025, 128, 6, "2506.05767", normalise=False),
    "dots3_note_text": _family(V3, "dots3-note", 2026, 256, 8, "dots-studio/dots3-note-prev"),
    "exaone_moe": _family(V3, "K-EXAONE-236B-A23B", 2026, 128, 8, "LGAI-EXAONE/K-EXAONE-236B-A23B", scale=2.5),
    "glm4_moe": _family(V3, "GLM-4.5", 2025, 160, 8, "2508.06471"),
    "glm4_moe_lite": _family(V3, "GLM-4.7-Flash", 2026, 64, 4, "zai-org/GLM-4.7-Flash", scale=1.8),
    "glm4v_moe_text": _family(V3, "GLM-4.5V", 2025, 128, 8, "2507.01006"),
    "glm5_next_text": _family(V3, "GLM-5.3-Flash", 2026, 288, 8, "zai-org/GLM-5.3-Flash", scale=2.5),
    "glm_moe_dsa": _family(V3, "GLM-5", 2026, 256, 8, "zai-org/GLM-5", scale=2.5),
    "hy_v4": _family(V3, "Hy4 preview", 2026, 256, 8, "tencent/Hy4-preview", scale=2.827),
    "kimi_linear": _family(V3, "Kimi-Linear-48B-A3B", 2025, 256, 8, "2510.26692", scale=2.446),
    "mimo_v2_flash": _family(V3, "MiMo-V2-Flash", 2025, 256, 8, "XiaomiMiMo/MiMo-V2-Flash"),
    "nemotron_h": _family(V3, "Nemotron 3 Nano 30B-A3B", 2025, 128, 6, "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"),
    "solar_open": _family(V3, "Solar-Open-100B", 2026, 128, 8, "upstage/Solar-Open-100B"),
    # sigmoid with a bias, without groups
    "afmoe": _family(SIGMOID, "Trinity Mini", 2025, 128, 8, "2602.17004"),
    "dots3_note_vision_encoder": _family(SIGMOID, "dots3-note, vision", 2026, 64, 2, "dots-studio/dots3-note-prev"),
    "hy_v3": _family(SIGMOID, "Hy3 preview", 2026, 192, 8, "tencent/Hy3-preview", scale=2.826),
    "inkling2_text": _family(
        ANY_SCORE, "Inkling 2 Small", 2026, 384, 8, "thinkingmachines/Inkling-2-Small-MXFP8", scale=8.0,
    ),
    "laguna": _family(SIGMOID, "Laguna XS.2", 2026, 256, 8, "poolside/laguna-XS.2"),
    "lfm2_moe": _family(
        Kind(Gate("sigmoid"), ("normalise", "scale", "has_bias"), bias=True), "LFM2-8B-A1B", 2025, 32, 4, "2511.23404",
        note="It adds 10⁻⁶ to the sum that it divides by.",
    ),
    "minimax_m2": _family(SIGMOID_FIXED, "MiniMax-M2", 2025, 256, 8, "MiniMaxAI/MiniMax-M2"),
    "minimax_m3_vl_text": _family(SIGMOID, "MiniMax-M3", 2026, 128, 4, "MiniMaxAI/MiniMax-M3", scale=2.0),
    "muse_spark_text": _family(
        Kind(Gate("sigmoid"), ("scale", "logit_scale"), bias=True), "Muse Spark Open 816B-A42B", 2026, 256, 8,
        "meta-models/Muse-Spark-Open-816B-A42B",
    ),
    "step3p5": _family(SIGMOID, "Step 3.7 Flash", 2026, 288, 8, "stepfun-ai/Step-3.7-Flash"),
    # scores of other kinds
    "deepseek_v4": _family(
        ANY_SCORE, "DeepSeek-V4 Flash", 2026, 256, 6, "deepseek-ai/DeepSeek-V4-Flash-Base", score="sqrtsoftplus",
        scale=1.5, note="In the first layers a fixed table selects by token id, and the scores only weigh.",
    ),
    "flint": _family(Kind(Gate("sigmoid"), ("normalise",)), "Flint", 2026, 256, 6, "RecursiveSI/flint"),
    "kolibri1": _family(
        Kind(Gate("sigmoid", after_selection=True, normalise=False), ("normalise",), bias=True), "Kolibri-1", 2026, 384,
        6, "Aleph-Alpha/Kolibri-1", note="The bias is added to the logits, not to the scores.",
    ),
    "llama4_text": _family(
        Kind(Gate("sigmoid", after_selection=True, normalise=False)), "Llama 4 Scout", 2025, 16, 1,
        "meta-llama/Llama-4-Scout-17B-16E", note="The weight multiplies the expert's input, not its output.",
    ),
}  # fmt: skip

# Routers that no Gate expresses, by model_type, with the reason.
BEYOND = {
    "diffusion_gemma_text": "each weight is multiplied by a learned scale of its expert",
    "doge": "it scores pairs of keys, half an expert each, and selects among their sums",
    "gemma4_text": "each weight is multiplied by a learned scale of its expert",
    "inkling_text": "the weights are divided by a sum over the shared experts, too",
    "phimoe": "it selects one expert after the other, each by a softmax over the logits near the largest",
    "zaya": "its logits come from an MLP with a state from layer to layer, and one expert means to skip",
}
