"""The course's layer, gates and losses against the MoE blocks of Hugging Face transformers, with random weights.

Nothing is downloaded: every block is made from a small configuration. transformers takes seconds to import, so it is
imported inside functions, and one worker runs all of these tests.
"""

import ast
import copy
import functools
import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import moe_lessons
from moe_lessons import layer as layer_module
from moe_lessons import losses, routing
from moe_lessons.experiments import real_routers

pytestmark = pytest.mark.xdist_group("transformers")

CONVERTERS = {
    "mixtral": real_routers.from_mixtral,
    "olmoe": real_routers.from_olmoe,
    "qwen3_moe": real_routers.from_qwen3_moe,
    "switch_transformers": real_routers.from_switch,
}
BLOCKS = {
    "mixtral": ("Mixtral", "MixtralSparseMoeBlock"),
    "olmoe": ("Olmoe", "OlmoeSparseMoeBlock"),
    "qwen3_moe": ("Qwen3Moe", "Qwen3MoeSparseMoeBlock"),
    "switch_transformers": ("SwitchTransformers", "SwitchTransformersSparseMLP"),
}
# name: (model, what its configuration says besides the sizes, the gate form that this means)
CASES = {
    "mixtral": ("mixtral", {}, "softmax_topk_renorm"),
    "olmoe": ("olmoe", {"norm_topk_prob": False}, "softmax_topk"),
    "olmoe-norm": ("olmoe", {"norm_topk_prob": True}, "softmax_topk_renorm"),
    "qwen3": ("qwen3_moe", {"norm_topk_prob": False}, "softmax_topk"),
    "qwen3-norm": ("qwen3_moe", {"norm_topk_prob": True}, "softmax_topk_renorm"),
    "switch": ("switch_transformers", {}, "softmax_topk"),
    "switch-bias-gelu": ("switch_transformers", {"router_bias": True, "dense_act_fn": "gelu"}, "softmax_topk"),
}
FUSED = [name for name in CASES if not name.startswith("switch")]
SEEDS = range(4)
EXACT = {"rtol": 1e-10, "atol": 1e-10}
SINGLE = {"rtol": 1e-5, "atol": 1e-5}
GATE = {"rtol": 1e-6, "atol": 1e-6}


@functools.cache
def hf(model):
    """The modelling code of one model, with its configuration class as `Config`."""
    code = importlib.import_module(f"transformers.models.{model}.modeling_{model}")
    configuration = importlib.import_module(f"transformers.models.{model}.configuration_{model}")
    name, block = BLOCKS[model]
    return SimpleNamespace(code=code, Config=getattr(configuration, f"{name}Config"), Block=getattr(code, block))


def sizes(seed):
    """Draw d, f, N, k. torch's grouped product needs rows of whole 16 bytes, so d and f are multiples of 8."""
    rng = np.random.default_rng(seed)
    N = int(rng.integers(3, 9))
    return {
        "d": 8 * int(rng.integers(1, 4)),
        "f": 8 * int(rng.integers(1, 4)),
        "N": N,
        "k": int(rng.integers(2, min(N, 5))),
    }


def settings(model, size, implementation="eager"):
    """The configuration's words for the four sizes."""
    if model == "switch_transformers":  # room for every token; in training its experts would drop out
        named = {"d_model": size["d"], "d_ff": size["f"], "num_experts": size["N"], "expert_capacity": 10_000}
        return named | {"router_jitter_noise": 0.0, "dropout_rate": 0.0}
    experts, width = ("num_local_experts", "intermediate_size")
    if model != "mixtral":
        experts = "num_experts"
    if model == "qwen3_moe":
        width = "moe_intermediate_size"
    named = {"hidden_size": size["d"], width: size["f"], experts: size["N"], "num_experts_per_tok": size["k"]}
    return named | {"experts_implementation": implementation}


def make(case, seed=0, implementation="eager", size=None, **changes):
    """Return a block with random weights, in training mode: nothing random may be left in it."""
    model, said, _ = CASES[case]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        block = hf(model).Block(
            hf(model).Config(**settings(model, size or sizes(seed), implementation), **said, **changes)
        )
        for parameter in block.parameters():
            torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return block


def convert(case, block):
    return CONVERTERS[CASES[case][0]](block)


def tokens(layer, seed, lead=(2, 13)):
    """Return x and v, (batch, T, d) each; the loss is their y times v."""
    rng = np.random.default_rng(100 + seed)
    W_g = layer.router.W_g
    return [torch.tensor(rng.normal(size=(*lead, W_g.shape[0]))).to(W_g.dtype) for _ in range(2)]


def their_routing(block, x):
    """Return what a block's router says: logits (T, N), selected (T, k), weights (T, k)."""
    if hasattr(block, "gate"):
        logits, weights, selected = block.gate(x)
        return logits, selected, weights
    one_hot, weights, logits = block.router(x)
    return logits.flatten(0, 1), one_hot.argmax(-1).reshape(-1, 1), weights.reshape(-1, 1)


def gradients(module):
    """Return a copy of a module with its gradients in the place of its weights: then they change layout as those do."""
    carrier = copy.deepcopy(module)
    for target, source in zip(carrier.parameters(), module.parameters(), strict=True):
        target.data = torch.zeros_like(source) if source.grad is None else source.grad.clone()
    return carrier


def assert_same_gradients(case, block, layer, tolerance):
    ours, theirs = gradients(layer).state_dict(), convert(case, gradients(block)).state_dict()
    assert set(ours) == set(theirs)
    for name, gradient in ours.items():
        assert_close(gradient, theirs[name], **tolerance, msg=lambda text, name=name: f"{name}: {text}")


def compare(case, block, layer, seed, tolerance=SINGLE, gate=GATE):
    """Assert equal outputs, selections and weights, and equal gradients of the input and of every parameter."""
    x, v = tokens(layer, seed)  # (B, T, d)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, routed = layer(ours, return_routing=True)
    _, selected, weights = their_routing(block, x)
    assert torch.equal(routed.selected.reshape(selected.shape), selected)
    assert_close(routed.weights.reshape(weights.shape), weights, **gate, check_dtype=False)
    reference = block(theirs)
    assert_close(y, reference, **tolerance)
    (y * v).sum().backward()
    (reference * v).sum().backward()
    assert_close(ours.grad, theirs.grad, **tolerance)
    assert_same_gradients(case, block, layer, tolerance)


# --- the layer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", CASES)
def test_outputs_selections_weights_and_gradients_agree(case, seed):
    block = make(case, seed)
    compare(case, block, convert(case, block), seed)


@pytest.mark.parametrize("implementation", ["grouped_mm", "batched_mm"])
@pytest.mark.parametrize("case", FUSED)
def test_their_other_ways_to_compute_the_experts_agree_too(case, implementation):
    block = make(case, 1, implementation)
    assert block.experts.config._experts_implementation == implementation
    compare(case, block, convert(case, block), 1)


@pytest.mark.parametrize("storage", ["stacked", "separate"])
@pytest.mark.parametrize("case", ["olmoe", "switch"])
def test_every_way_of_ours_to_compute_the_experts_agrees(case, storage, monkeypatch):
    monkeypatch.setattr(layer_module, "SMALL_MATRIX", 0 if storage == "separate" else 10**6)
    block = make(case, 6, size={"d": 7, "f": 5, "N": 6, "k": 2})  # widths that the grouped product refuses
    layer = convert(case, block)
    assert layer.experts.storage == storage
    compare(case, block, layer, 6)


def test_with_one_expert_a_token_the_weights_agree_and_a_renormalised_router_learns_nothing():
    size = {"d": 8, "f": 8, "N": 5, "k": 1}
    block = make("olmoe", 0, size=size)
    compare("olmoe", block, convert("olmoe", block), 0)
    block = make("mixtral", 0, size=size)
    with pytest.warns(UserWarning, match="the router gets no gradient"):
        compare("mixtral", block, convert("mixtral", block), 0)
    assert block.gate.weight.grad.abs().max() < 1e-5


@pytest.mark.parametrize("case", FUSED)
def test_experts_agree_in_double_precision(case):
    # Their routers take the softmax in float32 whatever the dtype, so 1e-10 needs the same weights on both sides.
    block = make(case, 2).double()
    layer = convert(case, block)
    x, v = (a.flatten(0, 1) for a in tokens(layer, 2))  # (T, d)
    _, selected, weights = their_routing(block, x)
    results = []
    for experts in (layer.experts, block.experts):
        leaves = [x.clone().requires_grad_(), weights.detach().double().requires_grad_()]
        y = experts(leaves[0], selected, leaves[1])  # (T, d)
        (y * v).sum().backward()
        results.append([y, *(leaf.grad for leaf in leaves)])
    for got, wanted in zip(*results, strict=True):
        assert_close(got, wanted, **EXACT)
    assert_same_gradients(case, block, layer, EXACT)  # none for either router


@pytest.mark.parametrize("case", FUSED)
def test_in_double_precision_their_gate_is_still_single(case):
    block = make(case, 3, size={"d": 16, "f": 8, "N": 6, "k": 2}).double()
    layer = convert(case, block)
    compare(case, block, layer, 3, SINGLE)
    x, _ = tokens(layer, 3)
    gap = layer(x, return_routing=True)[1].weights.reshape(-1, 2) - their_routing(block, x)[2]
    assert 1e-12 < gap.abs().max() < 1e-6


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", ["switch", "switch-bias-gelu"])
def test_switch_agrees_in_double_precision_throughout(case, seed):
    block = make(case, seed).double()
    block.router.dtype = torch.float64  # its configuration offers float32 and below
    compare(case, block, convert(case, block), seed, EXACT, EXACT)


@pytest.mark.parametrize("case", CASES)
def test_bfloat16_agrees_within_its_rounding(case):
    size = {"d": 16, "f": 24, "N": 6, "k": 2}
    block = make(case, 5, "grouped_mm", size).to(torch.bfloat16)
    layer = convert(case, block)
    assert layer.router.W_g.dtype == layer.experts.W1.dtype == torch.bfloat16
    x, _ = tokens(layer, 5, (4, 25))
    y, routed = layer(x, return_routing=True)
    assert y.dtype == torch.bfloat16
    _, selected, weights = their_routing(block, x)
    # A rounded logit may tie or flip: such a token goes to another expert, and its output says nothing.
    same = (routed.selected.reshape(selected.shape) == selected).all(-1)  # (T,)
    assert same.float().mean() > 0.9
    assert_close(routed.weights.reshape(weights.shape)[same].float(), weights[same].float(), rtol=0, atol=1e-2)
    scale = y.float().std()
    gap = (y - block(x)).float().flatten(0, 1)[same] / scale
    assert gap.abs().max() < 0.05


# --- broken copies: the comparison can fail -----------------------------------------------------------------------


def test_broken_control_the_gate_form_of_another_model_is_noticed():
    block = make("mixtral", 0, size={"d": 8, "f": 8, "N": 4, "k": 2})
    layer = real_routers._from_fused(block, "softmax_topk")
    with pytest.raises(AssertionError):
        compare("mixtral", block, layer, 0)
    x, _ = tokens(layer, 0)  # only the weights differ: the selection is the same
    selected = layer(x, return_routing=True)[1].selected
    assert torch.equal(selected.reshape(-1, 2), their_routing(block, x)[1])


@pytest.mark.parametrize("swap", [("W1", "W3"), ("W1", "W1")])
def test_broken_control_a_misplaced_matrix_is_noticed(swap):
    size = {"d": 8, "f": 8, "N": 4, "k": 2}  # square: a transpose raises nothing, only the numbers tell
    block = make("mixtral", 0, size=size)
    layer = convert("mixtral", block)
    a, b = (getattr(layer.experts, name).detach().clone() for name in swap)
    with torch.no_grad():
        getattr(layer.experts, swap[0]).copy_(b if swap[0] != swap[1] else a.transpose(1, 2))
        getattr(layer.experts, swap[1]).copy_(a if swap[0] != swap[1] else a.transpose(1, 2))
    with pytest.raises(AssertionError):
        compare("mixtral", block, layer, 0)


def test_broken_control_a_router_without_its_gradient_is_noticed():
    block = make("olmoe", 0)
    layer = convert("olmoe", block)
    layer.router.W_g.requires_grad_(False)
    with pytest.raises(AssertionError, match=r"router\.W_g"):
        compare("olmoe", block, layer, 0)


def test_for_mixtral_the_softmax_over_the_top_k_is_the_same_gate():
    block = make("mixtral", 0, size={"d": 8, "f": 16, "N": 6, "k": 3})
    compare("mixtral", block, real_routers._from_fused(block, "topk_softmax"), 0)


# --- the gates in numpy -------------------------------------------------------------------------------------------


def dense(selected, weights, N):
    """(T, k) and (T, k) -> (T, N)"""
    return torch.zeros(len(selected), N, dtype=weights.dtype).scatter(1, selected, weights).detach().numpy()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", CASES)
def test_numpy_gate_weights_agree(case, seed):
    block = make(case, seed)
    x, _ = tokens(convert(case, block), seed)
    logits, selected, weights = their_routing(block, x)
    h, N = logits.detach().numpy(), logits.shape[-1]
    ours = routing.gate_weights(h, selected.shape[-1], CASES[case][2])
    np.testing.assert_allclose(ours, dense(selected, weights, N), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(routing.top_k(h, selected.shape[-1])[1], selected)


def test_broken_control_numpy_with_the_other_form_is_noticed():
    block = make("olmoe", 0, size={"d": 8, "f": 8, "N": 5, "k": 2})
    logits, selected, weights = their_routing(block, tokens(convert("olmoe", block), 0)[0])
    ours = routing.gate_weights(logits.detach().numpy(), 2, "softmax_topk_renorm")
    assert np.abs(ours - dense(selected, weights, 5)).max() > 0.1


# --- the losses ---------------------------------------------------------------------------------------------------


def random_logits(seed, batch=3, T=17, N=6):
    return torch.tensor(np.random.default_rng(seed).normal(size=(batch, T, N)), dtype=torch.float32)


def their_balance(logits, k, mask=None, model="mixtral"):
    """Theirs for one layer. It counts k assignments a token and does not divide: k at balance, ours is 1."""
    flat = logits.reshape(-1, logits.shape[-1])
    return hf(model).code.load_balancing_loss_func((flat,), logits.shape[-1], k, mask)


@pytest.mark.parametrize("model", ["mixtral", "olmoe", "qwen3_moe"])
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("masked", [False, True])
def test_balance_loss_and_its_gradient_agree(model, k, masked):
    mask = torch.tensor(np.random.default_rng(k).random((3, 17)) < 0.7) if masked else None
    h, g = (random_logits(k).requires_grad_() for _ in range(2))
    ours = losses.load_balancing_loss(h, k, mask=mask)
    theirs = their_balance(g, k, None if mask is None else mask.long(), model) / k
    assert_close(ours, theirs, **GATE)
    ours.backward()
    theirs.backward()
    assert_close(h.grad, g.grad, rtol=1e-5, atol=1e-7)


def test_broken_control_a_loss_not_divided_and_a_mask_not_used_are_noticed():
    h, mask = random_logits(0), torch.arange(17).expand(3, 17) < 9
    ours = losses.load_balancing_loss(h, 2, mask=mask)
    for theirs in (their_balance(h, 2, mask.long()), their_balance(h, 2) / 2, their_balance(h, 2, (~mask).long()) / 2):
        assert abs(ours - theirs) > 1e-3


def test_theirs_counts_all_layers_as_one():
    # Two layers that overload opposite experts look balanced together: no mean of the two losses.
    tilt = torch.tensor([4.0, 0, 0, -4])
    layers = [random_logits(i, 1, 50, 4)[0] + sign * tilt for i, sign in enumerate((1, -1))]  # (T, N) each
    together = hf("mixtral").code.load_balancing_loss_func(tuple(layers), 4, 1)
    apart = torch.stack([losses.load_balancing_loss(h, 1) for h in layers])
    assert_close(together, losses.load_balancing_loss(torch.cat(layers), 1), **GATE)
    assert together < apart.min() - 0.5


def test_switch_losses_agree():
    h = random_logits(7)
    code = hf("switch_transformers").code
    assert_close(losses.z_loss(h), code.router_z_loss_func(h), **GATE)
    # Switch balances each sequence by itself, then takes the mean.
    theirs = code.load_balancing_loss_func(torch.softmax(h, -1), h.argmax(-1))
    assert_close(torch.stack([losses.load_balancing_loss(row, 1) for row in h]).mean(), theirs, **GATE)
    assert abs(losses.load_balancing_loss(h, 1) - theirs) > 1e-3
    assert abs(losses.z_loss(h) - code.router_z_loss_func(h + 1)) > 0.1


# --- where theirs differs -----------------------------------------------------------------------------------------


def test_mixtral_jitter_changes_its_input_in_place_and_ours_does_not():
    block = make("mixtral", 0, router_jitter_noise=0.3)
    layer = convert("mixtral", block)
    for network, is_changed in ((block, True), (layer, False)):
        x, before = (tokens(layer, 0)[0] for _ in range(2))
        network.train()(x)
        assert torch.equal(x, before) != is_changed
        network.eval()(x := before.clone())
        assert torch.equal(x, before)


@pytest.mark.parametrize(("dtype", "is_changed"), [(torch.float32, True), (torch.bfloat16, False)])
def test_switch_jitter_reaches_the_experts_unless_the_router_made_a_copy(dtype, is_changed):
    block = make("switch", 0).to(dtype)
    block.router.jitter_noise = 0.3
    x, before = (tokens(convert("switch", block), 0)[0] for _ in range(2))
    block.train()(x)
    assert torch.equal(x, before) != is_changed


def test_switch_drops_what_exceeds_the_capacity_of_a_sequence_and_ours_drops_nothing():
    block = make("switch", 0, size={"d": 8, "f": 8, "N": 2, "k": 1})
    block.router.expert_capacity = 3
    layer = convert("switch", block)
    x, _ = tokens(layer, 0)
    y, routed = layer(x, return_routing=True)
    place = torch.nn.functional.one_hot(routed.selected[..., 0], 2).cumsum(1)  # (B, T, N), counted in each sequence
    kept = place.gather(-1, routed.selected)[..., 0] <= 3  # (B, T)
    assert 0 < kept.sum() < kept.numel()
    assert_close(block(x), y * kept[..., None], **SINGLE)
    assert (y[~kept].abs().amax(-1) > 0).all()


def test_switch_in_bfloat16_selects_on_rounded_probabilities():
    block = make("switch", 0, size={"d": 8, "f": 8, "N": 2, "k": 1}).to(torch.bfloat16)
    block.router.classifier.weight.data = torch.tensor([[0.0] * 8, [2.0**-14] * 8], dtype=torch.bfloat16)
    x = torch.ones(1, 1, 8, dtype=torch.bfloat16)
    logits, selected, weights = their_routing(block, x)
    assert logits.argmax() == 1
    assert selected.item() == 0  # both probabilities round to 0.5, and the first of equals is taken
    assert weights.item() == 0.5
    assert convert("switch", block)(x, return_routing=True)[1].selected.item() == 1


# --- what is refused, and what is not imported --------------------------------------------------------------------


@pytest.mark.parametrize("case", ["mixtral", "olmoe", "qwen3", "switch"])
def test_bad_input_another_kind_of_block(case):
    other = make("olmoe" if case != "olmoe" else "mixtral")
    with pytest.raises(
        ValueError, match=r"^block = '(Olmoe|Mixtral)SparseMoeBlock': expected a \w+ of transformers 5$"
    ):
        convert(case, other)
    with pytest.raises(ValueError, match=r"^block = 'Linear'"):
        convert(case, torch.nn.Linear(2, 2))


def test_bad_input_experts_as_before_transformers_5():
    block = make("mixtral")
    block.experts = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    with pytest.raises(ValueError, match=r"^block.experts = 'ModuleList': expected experts with one gate_up_proj"):
        convert("mixtral", block)


@pytest.mark.parametrize(("case", "name"), [("mixtral", "hidden_act"), ("switch", "dense_act_fn")])
def test_bad_input_an_activation_that_the_layer_lacks(case, name):
    block = make(case, **{name: "tanh"})
    with pytest.raises(ValueError, match=r"^the experts' activation = Tanh\(\): expected"):
        convert(case, block)


ONLY_FOR_TESTS = {"transformers", "st_moe_pytorch", "mixture_of_experts"}


def imported(source):
    """Return the packages that a module names in an import, at its top or inside a function."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def test_the_course_itself_imports_neither_transformers_nor_other_layers():
    modules = list(Path(moe_lessons.__file__).parent.rglob("*.py"))
    assert len(modules) > 20
    found = {module.name: imported(module.read_text(encoding="utf-8")) & ONLY_FOR_TESTS for module in modules}
    # It makes the file that lesson 12 reads, with the real classes: who does not ask for that needs none of them.
    assert {name: names for name, names in found.items() if names} == {"published_routers.py": {"transformers"}}


@pytest.mark.parametrize(
    "line", ["import transformers", "from transformers.models import mixtral", "def f():\n import os, st_moe_pytorch"]
)
def test_broken_control_such_an_import_is_seen(line):
    assert imported(line) & ONLY_FOR_TESTS
