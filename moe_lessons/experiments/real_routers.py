"""Copy the MoE block of a published model into the course's layer, weight by weight.

The blocks are those of Hugging Face transformers, version 5. They are read by their attributes alone, so this module
does not import transformers. There every matrix is stored as in nn.Linear, output width first, and W1 and W3 lie in one
tensor `gate_up_proj` (N, 2f, d); here W1 and W3 are (N, d, f), W2 (N, f, d), and the router's W_g (d, N).
"""

from typing import Any

import torch
from torch import Tensor

from moe_lessons.layer import MoELayer
from moe_lessons.support.validation import refuse

# Their activation classes, under the names of `MoELayer`. SiLU on one half, times the other half, is SwiGLU.
ACTIVATIONS = {"ReLU": "relu", "GELUActivation": "gelu", "SiLU": "swiglu", "SiLUActivation": "swiglu"}


def from_mixtral(block: Any) -> MoELayer:
    """Return a layer that computes what a MixtralSparseMoeBlock does: softmax over all, keep k, divide by their sum.

    The weights are copies, in the block's dtype and on its device. In training, Mixtral's jitter scales the block's own
    input in place, experts included; ours scales only what the router reads. The two agree where jitter is off.
    In bfloat16 the block rounds its logits before the softmax, ours keeps float32: a near tie can go the other way.
    Raises ValueError for another kind of block, and for experts without SiLU.
    Source: Jiang et al. 2024 (arXiv:2401.04088), Section 2.1; transformers, modeling_mixtral.py.
    """
    _expect(block, "MixtralSparseMoeBlock")
    return _from_fused(block, "softmax_topk_renorm", jitter=float(block.jitter_noise))


def from_olmoe(block: Any) -> MoELayer:
    """Return a layer that computes what an OlmoeSparseMoeBlock does: softmax over all, keep k as they are.

    With `norm_topk_prob` (off in OLMoE) the k are divided by their sum. Weights are copied, as in `from_mixtral`.
    Raises ValueError for another kind of block, and for experts without SiLU.
    Source: Muennighoff et al. 2024 (arXiv:2409.02060), Section 2; transformers, modeling_olmoe.py.
    """
    _expect(block, "OlmoeSparseMoeBlock")
    return _from_fused(block, _softmax_form(block.gate))


def from_qwen3_moe(block: Any) -> MoELayer:
    """Return a layer that computes what a Qwen3MoeSparseMoeBlock does: as OLMoE, and `norm_topk_prob` decides.

    It is off by default in the configuration's code; look into a checkpoint's config.json for its own value.
    Raises ValueError for another kind of block, and for experts without SiLU.
    Source: Yang et al. 2025 (arXiv:2505.09388), Section 2; transformers, modeling_qwen3_moe.py.
    """
    _expect(block, "Qwen3MoeSparseMoeBlock")
    return _from_fused(block, _softmax_form(block.gate))


def from_switch(block: Any) -> MoELayer:
    """Return a layer that computes what a SwitchTransformersSparseMLP does: the one best expert, times its probability.

    Equal only while nothing is dropped: at most `expert_capacity` tokens of a sequence may choose the same expert.
    Experts with dropout agree in evaluation mode. Jitter: see `from_mixtral`.
    Raises ValueError for another kind of block, and for an activation that is neither ReLU nor GELU.
    Source: Fedus et al. 2021 (arXiv:2101.03961), Eq. 1-2; transformers, modeling_switch_transformers.py.
    """
    _expect(block, "SwitchTransformersSparseMLP")
    experts, linear = list(block.experts.values()), block.router.classifier
    W1 = torch.stack([expert.wi.weight.T for expert in experts])  # (N, d, f)
    W2 = torch.stack([expert.wo.weight.T for expert in experts])  # (N, f, d)
    options = {"activation": _activation(experts[0].act, ("relu", "gelu")), "jitter": float(block.router.jitter_noise)}
    return _filled(W1, W2, None, linear.weight, linear.bias, top_k=1, gate="softmax_topk", **options)


def _from_fused(block: Any, gate: str, jitter: float = 0.0) -> MoELayer:
    """Copy a block whose experts are two tensors: gate_up_proj (N, 2f, d) and down_proj (N, d, f)."""
    experts = block.experts
    W1, W3 = experts.gate_up_proj.transpose(1, 2).chunk(2, dim=-1)  # (N, d, f) each
    W2 = experts.down_proj.transpose(1, 2)  # (N, f, d)
    options = {"activation": _activation(experts.act_fn, ("swiglu",)), "jitter": jitter}
    return _filled(W1, W2, W3, block.gate.weight, None, top_k=block.gate.top_k, gate=gate, **options)


def _filled(W1: Tensor, W2: Tensor, W3: Tensor | None, router: Tensor, bias: Tensor | None, **options: Any) -> MoELayer:
    """Make a layer of these weights. W1, W3 (N, d, f), W2 (N, f, d), router (N, d), bias (N,)."""
    N, d, f = W1.shape
    layer = MoELayer(d, f, N, bias=bias is not None, **options).to(device=W1.device, dtype=W1.dtype)
    weights = {"experts.W1": W1, "experts.W2": W2, "experts.W3": W3, "router.W_g": router.T, "router.bias": bias}
    layer.load_state_dict({name: weight for name, weight in weights.items() if weight is not None})
    return layer


def _softmax_form(gate: Any) -> str:
    """Name the gate form of a router that says `norm_topk_prob`."""
    return "softmax_topk_renorm" if gate.norm_topk_prob else "softmax_topk"


def _activation(function: Any, allowed: tuple[str, ...]) -> str:
    """Name an activation as `MoELayer` does."""
    name = ACTIVATIONS.get(type(function).__name__)
    if name not in allowed:
        raise refuse(
            "the experts' activation", function, " or ".join(a for a in ACTIVATIONS if ACTIVATIONS[a] in allowed)
        )
    return name


def _expect(block: Any, name: str) -> None:
    """Refuse what is not a block of this class, or of a transformers before 5, whose experts were separate modules."""
    if name not in (c.__name__ for c in type(block).__mro__):
        raise refuse("block", type(block).__name__, f"a {name} of transformers 5")
    if not hasattr(block.experts, "gate_up_proj") and name != "SwitchTransformersSparseMLP":
        raise refuse(
            "block.experts", type(block.experts).__name__, "experts with one gate_up_proj, as in transformers 5"
        )
