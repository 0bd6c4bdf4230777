"""The sparse layer: the fast path against the loops that define it, against numpy, and at its edges."""

import copy
import io
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_lessons import routing
from moe_lessons.layer import (
    ACTIVATIONS,
    SMALL_MATRIX,
    STORAGES,
    Experts,
    MoELayer,
    Router,
    Routing,
    feed_forward,
    gate_selected,
    per_expert,
    per_token,
    top_k_indices,
)
from moe_lessons.losses import stable_top_k

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
from layers import Allocations

FORMS = list(routing.GATE_FORMS)
every_form = pytest.mark.parametrize("form", FORMS)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_storage = pytest.mark.parametrize("storage", STORAGES)


def layer_of(d=8, f=16, N=5, k=2, seed=0, dtype=torch.float32, **options):
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return MoELayer(d, f, N, k, **options).to(dtype)


def gradients(layer, x, run):
    """Return the output of `run` and the gradients of Σ y² for the input and the stacked parameters."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    y = run(x)
    y.square().sum().backward()
    return [y.detach(), x.grad, *stacked_gradients(layer)]


def stacked_gradients(layer):
    """Return the gradients of router and experts, as stacks whatever the storage is."""
    found = [parameter.grad for parameter in layer.router.parameters()]
    for name in layer.experts.names:
        value = getattr(layer.experts, name)
        found.append(value.grad if isinstance(value, torch.Tensor) else torch.stack([W.grad for W in value]))
    return [torch.zeros(()) if g is None else g for g in found]


def defined_by(loop, layer):
    """Return the layer's function as one of the loops computes it."""

    def run(x):
        decided = layer.router(x)
        return loop(layer.experts, x, decided.selected, decided.weights.to(x.dtype))

    return run


# --- one function, three ways to compute it -----------------------------------------------------------------------


@every_form
@every_activation
@every_storage
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("loop", [per_token, per_expert])
def test_the_fast_path_equals_the_loops_with_its_gradients(form, activation, storage, dtype, tolerance, loop):
    layer = layer_of(gate=form, activation=activation, storage=storage, dtype=dtype, bias=True)
    x = torch.randn(64, 8, dtype=dtype)  # so many that every expert has some
    fast, slow = gradients(layer, x, layer), gradients(layer, x, defined_by(loop, layer))
    for mine, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@settings(max_examples=60)
@given(st.integers(0, 9), st.integers(1, 6), st.data())
def test_any_size_agrees_with_the_definition(T, N, data):
    k, d, f = data.draw(st.integers(1, N)), data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    layer = layer_of(d, f, N, k, data.draw(st.integers(0, 99)), torch.float64,
                     gate=data.draw(st.sampled_from(FORMS)), activation=data.draw(st.sampled_from(list(ACTIVATIONS))),
                     storage=data.draw(st.sampled_from(STORAGES)))  # fmt: skip
    x = torch.randn(T, d, dtype=torch.float64)
    torch.testing.assert_close(layer(x), defined_by(per_token, layer)(x), rtol=0, atol=1e-10)


@every_form
@every_activation
def test_the_layer_is_what_numpy_says(form, activation):
    layer = layer_of(gate=form, activation=activation, dtype=torch.float64)
    x = torch.randn(20, 8, dtype=torch.float64)
    state = {name: value.numpy() for name, value in layer.state_dict().items()}
    trace = routing.route(x.numpy(), state["router.W_g"], 2, form)
    y = sum(trace.weights[:, i, None] * numpy_expert(x.numpy(), i, state, activation) for i in range(5))
    np.testing.assert_allclose(layer(x).detach().numpy(), y, atol=1e-12)


def numpy_expert(x, i, state, activation):
    from scipy.special import erf, expit

    h = x @ state["experts.W1"][i]
    h = {"relu": np.maximum(h, 0), "gelu": h * (1 + erf(h / 2**0.5)) / 2, "swiglu": h * expit(h)}[activation]
    if activation == "swiglu":
        h = h * (x @ state["experts.W3"][i])
    return h @ state["experts.W2"][i]


@every_activation
def test_both_storages_are_the_same_layer(activation):
    one, other = (layer_of(activation=activation, storage=storage) for storage in STORAGES)
    x = torch.randn(30, 8)
    for mine, theirs in zip(gradients(one, x, one), gradients(other, x, other), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_broken_control_weights_in_another_order_are_seen():
    layer = layer_of()
    x = torch.randn(30, 8)
    decided = layer.router(x)
    wrong = layer.experts(x, decided.selected, decided.weights.flip(-1))
    assert (wrong - defined_by(per_token, layer)(x)).abs().max() > 1e-2


@every_form
@every_activation
@every_storage
def test_gradients_are_those_of_finite_differences(form, activation, storage):
    layer = layer_of(3, 4, 4, 2, dtype=torch.float64, gate=form, activation=activation, storage=storage)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    gaps = layer.router(x).logits.sort(dim=-1).values.diff(dim=-1)
    assert gaps.min() > 1e-3  # away from ties, where the layer jumps
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *(v.detach().clone().requires_grad_() for v in values)))


# --- the router ---------------------------------------------------------------------------------------------------


@every_form
@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_the_gate_is_that_of_routing(form, k):
    logits = torch.randn(200, 8)
    selected = top_k_indices(logits, k)
    dense = torch.zeros_like(logits).scatter(-1, selected, gate_selected(logits, selected, form))
    np.testing.assert_allclose(dense.numpy(), routing.gate_weights(logits.numpy(), k, form), atol=1e-6)
    assert selected.tolist() == routing.top_k(logits.numpy(), k)[1].tolist()


@settings(max_examples=100)
@given(st.lists(st.lists(st.integers(-2, 2), min_size=12, max_size=12), min_size=1, max_size=4), st.integers(1, 12))
def test_of_equal_logits_the_lower_index_comes_first(rows, k):
    logits = torch.tensor(rows, dtype=torch.float32)
    assert top_k_indices(logits, k).tolist() == stable_top_k(logits, k).tolist()


@pytest.mark.parametrize("k", [3, 9])
def test_among_many_equals_the_first_are_taken(k):
    """From about 16 entries on, a sort that is not stable shuffles equals."""
    assert top_k_indices(torch.zeros(50, 64), k).tolist() == [list(range(k))] * 50


def test_rows_keep_their_order_within_an_expert():
    layer = layer_of(N=2, k=1, gate="softmax_topk")
    rows = []
    layer.experts.sorted_rows = lambda x, load: rows.append(x) or x
    x = torch.arange(100.0).repeat_interleave(8).view(100, 8)
    selected = torch.arange(100)[:, None] % 2
    layer.experts(x, selected, torch.ones(100, 1))
    assert rows[0][:, 0].tolist() == [*range(0, 100, 2), *range(1, 100, 2)]


def test_a_router_of_zeros_takes_the_first_k():
    layer = layer_of(N=6, k=3)
    torch.nn.init.zeros_(layer.router.W_g)
    _, decided = layer(torch.randn(4, 8), return_routing=True)
    assert decided.selected.tolist() == [[0, 1, 2]] * 4
    assert decided.weights.tolist() == [[pytest.approx(1 / 3)] * 3] * 4


@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 3, 8), (2, 0, 8), (0, 8)])
def test_any_leading_shape(shape):
    layer = layer_of()
    x = torch.randn(shape)
    y, decided = layer(x, return_routing=True)
    assert y.shape == x.shape
    assert decided.logits.shape == decided.probs.shape == (*shape[:-1], 5)
    assert decided.selected.shape == decided.weights.shape == (*shape[:-1], 2)
    torch.testing.assert_close(y.reshape(-1, 8), layer(x.reshape(-1, 8)))


def test_the_bias_moves_the_choice():
    layer = layer_of(bias=True)
    layer.router.bias.data[3] = 100.0
    _, decided = layer(torch.randn(6, 8), return_routing=True)
    assert (decided.selected[:, 0] == 3).all()


@pytest.mark.parametrize("options", [{"noise": True}, {"jitter": 0.1}])
def test_noise_and_jitter_act_in_training_only(options):
    layer = layer_of(**options)
    x = torch.randn(50, 8)
    before = x.clone()
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    assert torch.equal(x, before)


def test_noise_has_the_size_that_routing_gives_it():
    router = Router(4, 3, 1, noise=True)
    torch.nn.init.normal_(router.W_noise)
    x = torch.randn(1, 4).repeat(20_000, 1)
    torch.manual_seed(0)
    mine = (router(x).logits - x @ router.W_g).detach().std(dim=0)
    W_g, W_noise = router.W_g.detach().numpy(), router.W_noise.detach().numpy()
    theirs = routing.noisy_logits(x.numpy(), W_g, W_noise, np.random.default_rng(0)).std(axis=0)
    np.testing.assert_allclose(mine.numpy(), theirs, rtol=0.05)


def test_jitter_multiplies_the_routers_input_alone():
    layer = layer_of(jitter=0.5, k=5, gate="softmax_topk", N=5)
    torch.nn.init.zeros_(layer.router.W_g)  # whatever the router sees, it says 1/5 to each
    x = torch.randn(50, 8)
    assert torch.equal(layer(x), layer.eval()(x))


def test_k_1_renormalised_warns_once_and_has_no_gradient():
    with pytest.warns(UserWarning, match="the router gets no gradient") as caught:
        layer = MoELayer(8, 16, 4, 1)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    layer(torch.randn(20, 8)).square().sum().backward()  # warnings are errors here: no second one comes
    assert layer.router.W_g.grad.abs().max() < 1e-6
    with pytest.warns(UserWarning, match="softmax_topk_renorm"):
        MoELayer(8, 16, 4, 1, gate="softmax_topk_renorm")


def test_k_1_with_form_b_learns_and_one_expert_needs_no_warning():
    layer = MoELayer(8, 16, 4, 1, gate="softmax_topk")
    layer(torch.randn(20, 8)).square().sum().backward()
    assert layer.router.W_g.grad.abs().max() > 1e-3
    MoELayer(8, 16, 1, 1)


# --- edges --------------------------------------------------------------------------------------------------------


@every_storage
def test_all_experts_active_is_the_dense_mixture(storage):
    layer = layer_of(k=5, storage=storage)
    x = torch.randn(12, 8)
    p = layer(x, return_routing=True)[1].probs  # (T, N)
    outputs = torch.stack([E(x) for E in layer.experts.functions()], dim=1)  # (T, N, d)
    torch.testing.assert_close(layer(x), (p[:, :, None] * outputs).sum(dim=1))


@every_storage
def test_a_single_expert_is_a_feed_forward_network(storage):
    layer = layer_of(N=1, k=1, storage=storage)
    x = torch.randn(12, 8)
    torch.testing.assert_close(layer(x), layer.experts.one(0, x))


@every_storage
def test_an_expert_without_tokens_gets_a_gradient_of_zero(storage):
    layer = layer_of(N=6, k=2, bias=True, storage=storage)
    layer.router.bias.data[4] = -1000.0
    result = gradients(layer, torch.randn(30, 8), layer)
    assert torch.isfinite(result[0]).all()
    for g in result[-2:]:
        assert (g[4] == 0).all()
        assert (g[:4].abs().amax(dim=(1, 2)) > 0).all()


@every_storage
def test_an_empty_batch_has_gradients_too(storage):
    layer = layer_of(storage=storage)
    layer(torch.zeros(0, 8)).sum().backward()
    assert all((g == 0).all() for g in stacked_gradients(layer))


@pytest.mark.parametrize("loop", [per_token, per_expert])
def test_the_loops_take_an_empty_batch(loop):
    assert defined_by(loop, layer_of())(torch.zeros(0, 8)).shape == (0, 8)


@every_storage
def test_a_step_of_training_lowers_the_loss(storage):
    layer = layer_of(storage=storage)
    x, target = torch.randn(100, 8), torch.randn(100, 8)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = (layer(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


# --- number formats, devices, torch's own tools -------------------------------------------------------------------


@every_storage
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_router_works_in_float32_under_narrow_tokens(storage, dtype):
    layer = layer_of(16, 32, storage=storage)
    x = torch.randn(40, 16)
    narrow = copy.deepcopy(layer).to(dtype)
    y, decided = narrow(x.to(dtype), return_routing=True)
    assert y.dtype == dtype
    assert decided.logits.dtype == decided.weights.dtype == torch.float32
    exact = x.to(dtype).double() @ layer.router.W_g.to(dtype).double()  # the logits of the rounded numbers
    torch.testing.assert_close(decided.logits.double(), exact, atol=1e-5, rtol=1e-5)
    rounded = x.to(dtype) @ narrow.router.W_g  # control: a router that worked in the narrow format
    assert (rounded.double() - exact).abs().max() > 1e-4


def test_jitter_goes_both_ways_about_the_input():
    router = Router(1, 2, 1, jitter=0.5)
    torch.nn.init.ones_(router.W_g)
    torch.manual_seed(0)
    factors = router(torch.ones(4000, 1)).logits[:, 0].detach()
    assert 0.5 <= factors.min() < 0.51
    assert 1.49 < factors.max() < 1.5
    assert factors.mean().item() == pytest.approx(1, abs=0.02)


def test_matrices_start_as_those_of_a_linear_layer():
    layer = layer_of(16, 400, N=3)
    for matrix in (layer.router.W_g, layer.experts.W1):
        assert matrix.abs().max().item() == pytest.approx(16**-0.5, rel=0.1)
    assert layer.experts.W2.abs().max().item() == pytest.approx(400**-0.5, rel=0.1)


@every_storage
@pytest.mark.parametrize("activation", ["relu", "swiglu"])
def test_autocast(storage, activation):
    layer = layer_of(16, 32, storage=storage, activation=activation)
    x = torch.randn(40, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, decided = layer(x, return_routing=True)
        y.square().sum().backward()
        rows = layer.experts.sorted_rows(x, torch.tensor([40, 0, 0, 0, 0]))
    assert rows.dtype == torch.bfloat16  # the experts do work in the narrow format
    assert decided.logits.dtype == torch.float32
    torch.testing.assert_close(decided.logits, layer.router(x).logits)
    assert y.dtype == x.dtype
    torch.testing.assert_close(y, layer(x), atol=0.05, rtol=0.05)
    assert all(torch.isfinite(g).all() for g in stacked_gradients(layer))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch.compile looks at it, not we
@every_storage
def test_torch_compile_gives_the_same(storage):
    layer = layer_of(16, 32, storage=storage)
    compiled = torch.compile(layer, backend="eager")
    x = torch.randn(20, 16)
    torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(compiled(x[:7]), layer(x[:7]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: the layer's arithmetic is tested on the CPU")
@every_storage
@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_gives_the_same(storage, activation, dtype):
    layer = layer_of(16, 32, storage=storage, activation=activation, dtype=dtype)
    x = torch.randn(50, 16, dtype=dtype)
    moved = copy.deepcopy(layer).cuda()
    tolerance = 1e-4 if dtype == torch.float32 else 0.05
    for mine, theirs in zip(gradients(moved, x.cuda(), moved), gradients(layer, x, layer), strict=True):
        torch.testing.assert_close(mine.cpu(), theirs, atol=tolerance, rtol=tolerance)
    with pytest.raises(ValueError, match="where the layer is"):
        moved(x)


@pytest.mark.parametrize("source", STORAGES)
@pytest.mark.parametrize("target", STORAGES)
@every_activation
def test_a_state_dict_goes_from_any_storage_to_any(source, target, activation):
    one = layer_of(seed=1, storage=source, activation=activation, bias=True, noise=True)
    state = one.state_dict()
    assert set(state) == {"router.W_g", "router.bias", "router.W_noise", *(f"experts.{n}" for n in one.experts.names)}
    assert state["experts.W1"].shape == (5, 8, 16)
    assert state["experts.W2"].shape == (5, 16, 8)
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    other = layer_of(seed=2, storage=target, activation=activation, bias=True, noise=True)
    other.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(9, 8)
    torch.testing.assert_close(one.eval()(x), other.eval()(x))
    torch.testing.assert_close(copy.deepcopy(other)(x), other(x))


@every_storage
def test_a_state_dict_that_does_not_fit_is_refused(storage):
    layer = layer_of(storage=storage)
    for state in (layer_of(N=4).state_dict(), layer_of(f=4).state_dict(), layer_of(activation="swiglu").state_dict()):
        with pytest.raises(RuntimeError, match="loading state_dict"):
            layer.load_state_dict(state)
    missing = layer.state_dict()
    del missing["experts.W2"]
    with pytest.raises(RuntimeError, match=r"experts\.W2"):
        layer.load_state_dict(missing)


def test_a_layer_within_a_model_keeps_its_keys():
    model = torch.nn.Sequential(layer_of(storage="separate"), layer_of(storage="stacked"))
    other = torch.nn.Sequential(layer_of(seed=5, storage="stacked"), layer_of(seed=6, storage="separate"))
    other.load_state_dict(model.state_dict())
    x = torch.randn(9, 8)
    torch.testing.assert_close(model(x), other(x))


def test_small_experts_are_stacked_and_large_ones_separate():
    assert Experts(64, 128, 2).storage == "stacked"
    assert Experts(1, SMALL_MATRIX + 1, 2).storage == "separate"
    assert "N=2, d=64, d_ff=128, relu, stacked" in repr(Experts(64, 128, 2))


# --- what it costs ------------------------------------------------------------------------------------------------


@every_storage
@every_activation
def test_a_forward_pass_allocates_a_few_buffers_and_no_more(storage, activation):
    T, d, f, N, k = 512, 32, 64, 16, 2
    layer, x = layer_of(d, f, N, k, storage=storage, activation=activation), torch.randn(T, d)
    buffer = T * k * (d + f) * 4  # bytes
    with torch.no_grad(), Allocations(x, *layer.parameters()) as allocations:
        layer(x)
    assert allocations.peak < 3 * buffer
    with torch.no_grad(), Allocations(x, *layer.parameters()) as allocations:  # control: each row with its own matrix
        layer.state_dict()["experts.W1"][layer.router(x).selected]
    assert allocations.peak > 3 * buffer


@every_storage
def test_no_expert_makes_a_gradient_as_large_as_all_of_them(storage):
    layer = layer_of(storage=storage)
    nodes, todo = [], [layer(torch.randn(30, 8)).grad_fn]
    while todo:
        node = todo.pop()
        nodes.append(node.name())
        todo += [parent for parent, _ in node.next_functions if parent is not None]
    assert "SelectBackward0" not in nodes


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 4, 2, 1), {}, "d_model = 0: expected a whole number from 1"),
        ((4, 2.5, 2, 1), {}, "d_ff = 2.5"),
        ((4, 4, 0, 1), {}, "num_experts = 0"),
        ((4, 4, 2, 0), {}, "top_k = 0: expected a whole number from 1 to 2"),
        ((4, 4, 2, 3), {}, "top_k = 3: expected a whole number from 1 to 2"),
        ((4, 4, 2, 2), {"gate": "second"}, "gate = 'second': expected one of 'topk_softmax'"),
        ((4, 4, 2, 2), {"activation": "tanh"}, "activation = 'tanh': expected one of 'relu'"),
        ((4, 4, 2, 2), {"storage": "loose"}, "storage = 'loose': expected one of 'separate'"),
        ((4, 4, 2, 2), {"jitter": 1.5}, "jitter = 1.5"),
        ((4, 4, 2, 2), {"jitter": "much"}, "jitter = 'much'"),
    ],
)
def test_sizes_that_do_not_fit(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        MoELayer(*arguments, **options)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3, 7), r"x.shape = \(3, 7\): expected a last axis of 8"),
        (torch.tensor(1.0), r"x.shape = \(\)"),
        (torch.zeros(3, 8, dtype=torch.int64), "x = torch.int64: expected a torch tensor of floating-point"),
        (np.zeros((3, 8)), "expected a torch tensor"),
        (torch.zeros(3, 8, device="meta"), "x.device = 'meta': expected cpu, where the layer is"),
        (torch.full((3, 8), torch.nan), r"x \(token 0\) = nan: expected finite numbers"),
        (torch.tensor([[0.0] * 8, [0.0] * 7 + [torch.inf]]), r"x \(token 1\) = inf"),
        (torch.full((3, 8), 3e38), "the logits of token 0 = .*too large"),
        (torch.tensor([[0.0] * 8, [3e38] * 8]), r"the logits of token 1 = \[inf, .*too large"),
        (torch.zeros(3, 8, dtype=torch.float64), "x.dtype = torch.float64: expected torch.float32, as the layer's"),
    ],
)
def test_tokens_that_do_not_fit(x, message):
    layer = layer_of()
    torch.nn.init.ones_(layer.router.W_g)
    with pytest.raises(ValueError, match=message):
        layer(x)


@pytest.mark.parametrize(("name", "value"), [("W_g", torch.nan), ("bias", torch.inf), ("W_noise", torch.nan)])
def test_a_router_that_is_not_finite_is_named(name, value):
    layer = layer_of(bias=True, noise=True)
    getattr(layer.router, name).data.flatten()[0] = value
    with pytest.raises(ValueError, match=rf"router\.{name} = .*has the training diverged"):
        layer(torch.ones(3, 8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Experts(8, 16, 0), "num_experts = 0"),
        (lambda: Experts(8, -1, 2), "d_ff = -1"),
        (lambda: Experts(8, 16, 2, storage=""), "storage = ''"),
        (lambda: top_k_indices(torch.zeros(2, 3), 5), "k = 5: expected a whole number from 1 to 3"),
        (lambda: top_k_indices(torch.zeros(2, 3), 0), "k = 0"),
        (lambda: gate_selected(torch.zeros(2, 3), torch.zeros(2, 1, dtype=torch.int64), "first"), "form = 'first'"),
        (lambda: gate_selected(torch.zeros(2, 3), torch.zeros(1, 1).long(), FORMS[0]), r"selected.shape = \(1, 1\)"),
        (lambda: gate_selected(torch.zeros(2, 3), torch.full((2, 1), 3), FORMS[0]), "selected = .*from 0 to 2"),
        (lambda: top_k_indices(torch.full((2, 3), torch.nan), 2), "logits = .*finite"),
        (lambda: top_k_indices(torch.tensor([[0.0, -torch.inf, -torch.inf]]), 3), "logits = .*finite"),
        (lambda: top_k_indices(torch.zeros(2, 12).long(), 9), "logits = .*floating-point"),
        (lambda: Router(8, 4, 5), "top_k = 5: expected a whole number from 1 to 4"),
        (lambda: Router(8, 4, 2, "first"), "gate = 'first'"),
        (lambda: Router(8, 4, 2, jitter=5), "jitter = 5"),
        (lambda: Router(8, 4, 2)(torch.full((2, 3, 8), torch.nan)), r"x \(token 0\) = nan"),
        (lambda: feed_forward(torch.zeros(1, 2), "tanh", [torch.zeros(2, 2)] * 2), "activation = 'tanh'"),
        (lambda: feed_forward(torch.zeros(1, 2), "swiglu", [torch.zeros(2, 2)] * 2), "matrices = '2 of them'"),
        (lambda: feed_forward(torch.zeros(1, 2), "relu", [torch.zeros(2, 2)] * 3), "matrices = '3 of them'"),
    ],
)
def test_parts_refuse_what_makes_no_sense(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def assignments(T=6, d=8, N=5, k=2):
    """Return x (T, d), selected and weights (T, k), and the weights as `routing.route` has them, dense (T, N)."""
    x = np.random.default_rng(0).normal(size=(T, d)).astype(np.float32)
    W_g = np.random.default_rng(1).normal(size=(d, N)).astype(np.float32)
    trace = routing.route(x, W_g, k)
    dense, selected = torch.tensor(trace.weights), torch.tensor(trace.selected)
    return torch.tensor(x), selected, dense.gather(-1, selected), dense


X, SELECTED, WEIGHTS, DENSE = assignments()


@every_storage
@pytest.mark.parametrize("run", [Experts.forward, per_token, per_expert])
@pytest.mark.parametrize(
    ("x", "selected", "weights", "message"),
    [
        (X, SELECTED, DENSE, r"weights.shape = \(6, 5\): expected \(6, 2\): one for each selected expert"),
        (X, SELECTED, torch.ones(6, 3), r"weights.shape = \(6, 3\): expected \(6, 2\)"),
        (X, SELECTED, WEIGHTS.T, r"weights.shape = \(2, 6\): expected \(6, 2\)"),
        (X, SELECTED, WEIGHTS[:-1], r"weights.shape = \(5, 2\): expected \(6, 2\)"),
        (X, SELECTED, torch.ones(7, 2), r"weights.shape = \(7, 2\): expected \(6, 2\)"),
        (X, SELECTED, WEIGHTS[:, 0], r"weights.shape = \(6,\): expected \(6, 2\)"),
        (X, SELECTED, WEIGHTS > 0, "weights = .*floating-point"),
        (X, SELECTED, WEIGHTS.numpy(), "weights = .*torch tensor"),
        (X, SELECTED[:-1], WEIGHTS[:-1], r"selected.shape = \(5, 2\): expected \(6, 'k'\)"),
        (X[:-1], SELECTED, WEIGHTS, r"selected.shape = \(6, 2\): expected \(5, 'k'\)"),
        (X, SELECTED.T, WEIGHTS.T, r"selected.shape = \(2, 6\): expected \(6, 'k'\)"),
        (X, SELECTED[:, 0], WEIGHTS[:, 0], r"selected.shape = \(6,\)"),
        (X, SELECTED.repeat(1, 3), WEIGHTS.repeat(1, 3), r"selected.shape = \(6, 6\)"),
        (X, SELECTED[:, :0], WEIGHTS[:, :0], r"selected.shape = \(6, 0\)"),
        (X, SELECTED - 1, WEIGHTS, "selected = .*expected"),
        (X, SELECTED + 1, WEIGHTS, "selected = .*expected"),
        (X, SELECTED.float(), WEIGHTS, "selected = .*whole numbers"),
        (X, DENSE > 0, DENSE, "selected = .*"),
        (X, (DENSE > 0).long(), DENSE, "selected = .*"),
        (X.reshape(2, 3, 8), SELECTED, WEIGHTS, r"x.shape = \(2, 3, 8\)"),
    ],
)
def test_assignments_of_other_tokens_or_experts_are_refused(storage, run, x, selected, weights, message):
    experts = layer_of(storage=storage).experts
    run(experts, X, SELECTED, WEIGHTS)  # control: as they should be
    run(experts, X, SELECTED.int(), WEIGHTS.double())
    with pytest.raises(ValueError, match=f"(?s){message}"):
        run(experts, x, selected, weights)


@every_storage
@pytest.mark.parametrize("load", [[1, 1, 1, 1, 1], [3, 3, 3, 3, 3], [2, 2, 2], [6, 0, 0, 0, 0, 0], [8, -2, 0, 0, 0]])
def test_loads_that_are_not_those_of_the_rows(storage, load):
    with pytest.raises(ValueError, match=r"load = .*expected 5 counts, one an expert, that sum to 6 rows"):
        layer_of(storage=storage).experts.sorted_rows(X, torch.tensor(load))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: Routing(*(part.transpose(0, 1) for part in r)), r"routing.logits.shape = \(3, 2, 5\)"),
        (lambda r: r._replace(weights=r.weights[:1]), r"routing.weights.shape = \(1, 3, 2\)"),
        (lambda r: r._replace(selected=r.selected[:, :2]), r"routing.selected.shape = \(2, 2, 2\)"),
        (lambda r: r._replace(weights=torch.ones(2, 3, 5)), r"weights.shape = \(6, 5\): expected \(6, 2\)"),
        (lambda r: tuple(r), "routing = .*expected a Routing"),
    ],
)
def test_a_decision_about_other_tokens_is_refused(change, message):
    layer, x = layer_of(), X.reshape(2, 3, 8)
    y, decided = layer(x, return_routing=True)
    torch.testing.assert_close(layer(x, routing=decided), y)
    torch.testing.assert_close(layer(x, routing=Routing(*(part.flatten(0, 1) for part in decided))), y)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        layer(x, routing=change(decided))


def test_jitter_may_be_a_number_of_numpy():
    assert MoELayer(4, 4, 2, 2, jitter=np.float32(0.1)).router.jitter == np.float32(0.1)


def test_an_expert_that_is_not_there():
    with pytest.raises(ValueError, match="i = 5: expected a whole number from 0 to 4"):
        layer_of().experts.one(5, torch.zeros(1, 8))


# a router of your own


class First(torch.nn.Module):
    """Sends every token to the first expert, and remembers what it was asked."""

    def forward(self, x):
        self.asked = x
        return Routing(x[..., :3], torch.zeros(*x.shape[:-1], 1, dtype=torch.int64), torch.ones(*x.shape[:-1], 1))


@pytest.mark.parametrize("shape", [(8,), (4, 8), (2, 3, 8)])
def test_a_router_of_your_own_decides_and_sees_the_tokens_in_their_shape(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # k = 1 is its own affair
        layer = MoELayer(8, 16, 3, 1, router=First())
    x = torch.randn(shape)
    y, decided = layer(x, return_routing=True)
    torch.testing.assert_close(y, layer.experts.one(0, x.reshape(-1, 8)).reshape(shape))
    assert torch.equal(layer.router.asked, x)
    assert decided.selected.shape == (*shape[:-1], 1)


@pytest.mark.parametrize("option", [{"gate": "softmax_topk"}, {"bias": True}, {"jitter": 0.1}, {"noise": True}])
def test_options_of_the_usual_router_are_not_passed_over_beside_another(option):
    with pytest.raises(ValueError, match="expected none of them beside a router"):
        MoELayer(8, 16, 3, 1, router=First(), **option)


def test_feed_forward_leaves_its_input_alone():
    x = torch.randn(4, 3)
    before = x.clone()
    feed_forward(x, "relu", (torch.randn(3, 5), torch.randn(5, 3)))
    assert torch.equal(x, before)
