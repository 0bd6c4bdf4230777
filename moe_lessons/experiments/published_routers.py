"""What the router classes of twelve published models give for the same logits: run once, and shipped as a file.

`python -m moe_lessons.experiments.published_routers` runs them again and writes results/published_routers.json, in
seconds. It needs Hugging Face transformers (`pip install -e ".[real-routers]"`), 5.23 for the same file; lesson 12
shows the file, and does without. Nothing is downloaded: each router is made small, with a matrix that passes its
tokens through as logits.
"""

import importlib
import inspect
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.atlas import FAMILIES, KEYS, Reading, gate_of
from moe_lessons.experiments import studies

RESULTS = studies.RESULTS / "published_routers.json"
T, N, K = 6, 8, 2


class Router(NamedTuple):
    """Where the router of a model stands in transformers, and keys of its configuration that are set.

    name: as in `families`. module: the folder of its code. family: its row of FAMILIES. settings: factors are 1 and
    groups one, so that what is left is the function; `norm_topk_prob` is that of the published file.
    """

    name: str
    module: str
    family: str
    configuration: str
    router: str
    settings: dict[str, Any]


PLAIN = {"routed_scaling_factor": 1.0, "n_group": 1, "topk_group": 1}
ROUTERS = (
    Router("Mixtral 8x7B", "mixtral", "mixtral", "MixtralConfig", "MixtralTopKRouter", {}),
    Router("Jamba v0.1", "jamba", "jamba", "JambaConfig", "JambaTopKRouter", {}),
    Router("OLMoE-1B-7B", "olmoe", "olmoe", "OlmoeConfig", "OlmoeTopKRouter", {"norm_topk_prob": False}),
    Router("DeepSeek-V2", "deepseek_v2", "deepseek_v2", "DeepseekV2Config", "DeepseekV2TopkRouter",
           PLAIN | {"topk_method": "greedy"}),
    Router("DeepSeek-V3", "deepseek_v3", "deepseek_v3", "DeepseekV3Config", "DeepseekV3TopkRouter",
           PLAIN | {"norm_topk_prob": True}),
    Router("Qwen3-30B-A3B", "qwen3_moe", "qwen3_moe", "Qwen3MoeConfig", "Qwen3MoeTopKRouter",
           {"norm_topk_prob": True}),
    Router("Llama 4 Scout", "llama4", "llama4_text", "Llama4TextConfig", "Llama4Router", {}),
    Router("gpt-oss-120b", "gpt_oss", "gpt_oss", "GptOssConfig", "GptOssTopKRouter", {}),
    Router("GLM-4.5", "glm4_moe", "glm4_moe", "Glm4MoeConfig", "Glm4MoeTopkRouter",
           PLAIN | {"norm_topk_prob": True}),
    Router("ERNIE-4.5-21B-A3B", "ernie4_5_moe", "ernie4_5_moe", "Ernie4_5_MoeConfig", "Ernie4_5_MoeTopKRouter", {}),
    Router("MiniMax-M2", "minimax_m2", "minimax_m2", "MiniMaxM2Config", "MiniMaxM2TopKRouter", {}),
    Router("DeepSeek-V4 Flash", "deepseek_v4", "deepseek_v4", "DeepseekV4Config", "DeepseekV4TopKRouter",
           {"routed_scaling_factor": 1.0}),
)  # fmt: skip


def inputs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits (T, N) that all get, and the bias (N,) for those whose checkpoint holds one; float32."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(T, N)).astype(np.float32), (rng.normal(size=N) / 4).astype(np.float32)


def reading(router: Router) -> Reading:
    """Return what the atlas reads from a model's keys, in the sizes that its router is run with."""
    sizes = {"model_type": router.family, "num_experts": N}
    k = {} if FAMILIES[router.family].fixed_k else {"num_experts_per_tok": K}
    return gate_of(sizes | k | router.settings)


def configuration(router: Router) -> Any:
    """Return the configuration of a router, made small: width N, N experts, K for a token."""
    code = importlib.import_module(f"transformers.models.{router.module}.configuration_{router.module}")
    config = getattr(code, router.configuration)()
    sizes = {key: size for setting, size in (("num_experts", N), ("k", K)) for key in KEYS[setting]}
    for key, value in (sizes | {"hidden_size": N} | router.settings).items():
        if hasattr(config, key):
            setattr(config, key, value)
    return config


def weights_of(router: Router, logits: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the weights (T, N) of a router class of transformers for logits (T, N) and, if it has one, a bias (N,)."""
    import torch

    code = importlib.import_module(f"transformers.models.{router.module}.modeling_{router.module}")
    made = getattr(code, router.router)(configuration(router)).eval()
    _fill(made, bias)
    takes_bias = any(name.endswith("_bias") for name in inspect.signature(made.forward).parameters)
    with torch.no_grad():
        out = made(torch.tensor(logits), *([torch.tensor(bias)] if takes_bias else []))
    if router.module == "llama4":
        return out[0].float().numpy()
    _, kept, selected = out  # (T, k) each
    return torch.zeros(len(logits), N).scatter(1, selected, kept.float()).numpy()


def _fill(made: Any, bias: np.ndarray) -> None:
    """Let a router's matrix pass its tokens through: they are the logits then. bias: (N,), for its selection."""
    import torch

    for name, tensor in [*made.named_parameters(), *made.named_buffers()]:
        if tensor.shape == (N, N):
            tensor.data.copy_(torch.eye(N))
        elif "correction_bias" in name:
            tensor.data.copy_(torch.tensor(bias).reshape(tensor.shape))
        else:
            tensor.data.zero_()


def run() -> dict[str, np.ndarray]:
    """Return the weights (T, N) of every model of ROUTERS. Raises ImportError where transformers is not installed."""
    logits, bias = inputs()
    return {router.name: weights_of(router, logits, bias) for router in ROUTERS}


def load_results() -> dict[str, np.ndarray]:
    """Return what `run` returned when the file that ships with the course was made."""
    return {row["model"]: np.array(row["weights"], np.float32) for row in studies.read(RESULTS)["models"]}


def main() -> None:
    """Run all routers and write the file, one line a model."""
    import transformers

    rows = [{"model": name, "weights": w.round(7).astype(float).round(7).tolist()} for name, w in run().items()]
    settings = {"experts": N, "k": K, "tokens": T, "transformers": transformers.__version__}
    studies.write(RESULTS, settings, "models", rows)


if __name__ == "__main__":
    main()
