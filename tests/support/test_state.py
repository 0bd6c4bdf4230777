"""State that keeps its digits when the model around it goes to another number format."""

import copy

import pytest
import torch
from torch import nn

from moe_lessons.balancing import BiasBalancer
from moe_lessons.estimators import DefaultVector
from moe_lessons.support.state import WideState
from moe_lessons.variants import BigramHashRouter, HashRouter, ThresholdRouter

N, D = 4, 3
THIRD = 1 / 3  # no number of 16 bits

to_16_bits = pytest.mark.parametrize(
    "convert",
    [
        lambda m: m.half(),
        lambda m: m.bfloat16(),
        lambda m: m.to(torch.bfloat16),
        lambda m: m.to("cpu", torch.float16),
        lambda m: m.type(torch.float16),
        lambda m: m.to(torch.empty(1, dtype=torch.bfloat16)),
    ],
)
holders = pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: BiasBalancer(N), "bias"),
        (lambda: DefaultVector(N, D), "average"),
        (lambda: HashRouter(20, N, 2), "table"),
        (lambda: BigramHashRouter(20, N, 2), "before"),
        (lambda: ThresholdRouter(D, N, 2), "threshold"),
    ],
)


def within_a_model(make, name):
    part = make()
    getattr(part, name).fill_(THIRD)
    return nn.Sequential(nn.Linear(2, 2), nn.ModuleDict({"part": part}))


def state_of(model, name):
    return getattr(model[1]["part"], name)


@holders
@to_16_bits
def test_16_bits_do_not_reach_the_state(make, name, convert):
    model = convert(within_a_model(make, name))
    assert model[0].weight.element_size() == 2
    assert state_of(model, name).dtype == torch.float32
    assert (state_of(model, name) == torch.tensor(THIRD)).all()


@to_16_bits
def test_broken_control_a_plain_buffer_is_rounded(convert):
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("bias", torch.full((N,), THIRD))

    assert (convert(Plain()).bias.float() != torch.tensor(THIRD)).all()


@holders
def test_doubles_widen_it_and_16_bits_then_change_nothing(make, name):
    model = within_a_model(make, name).double()
    assert state_of(model, name).dtype == torch.float64
    state_of(model, name).fill_(THIRD)
    assert (state_of(model.half(), name) == THIRD).all()
    assert state_of(model.float(), name).dtype == torch.float32


@holders
@pytest.mark.parametrize("assign", [False, True])
def test_a_state_that_was_saved_in_16_bits_is_widened(make, name, assign):
    model = within_a_model(make, name)
    kept = {key: value.half() for key, value in model.state_dict().items()}
    fresh = copy.deepcopy(model).half()
    fresh.load_state_dict(kept, assign=assign)
    assert state_of(fresh, name).dtype == torch.float32
    assert (state_of(fresh, name) == torch.tensor(THIRD).half().float()).all()
    assert kept[f"1.part.{name}"].dtype == torch.float16  # the caller's own stays
    fresh.load_state_dict(model.state_dict(), assign=assign)
    assert (state_of(fresh, name) == torch.tensor(THIRD)).all()


def test_it_moves_to_another_device_all_the_same():
    assert BiasBalancer(N).to("meta", torch.bfloat16).bias.device.type == "meta"


def test_another_default_format_changes_nothing():
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert BiasBalancer(N).bias.dtype == DefaultVector(N, D).average.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_whole_numbers_and_missing_buffers_are_left_alone():
    class Counter(WideState):
        def __init__(self):
            super().__init__()
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
            self.register_buffer("none", None)

    assert Counter().half().steps.dtype == torch.int64
    assert Counter().half().none is None


# --- what rounding would do ---------------------------------------------------------------------------------------


def test_a_bias_in_a_narrow_model_still_takes_small_steps():
    balancer = BiasBalancer(2, u=1e-3).to(torch.bfloat16)
    balancer.bias.fill_(0.5)
    for _ in range(100):
        balancer.update([0, 2])
    assert balancer.bias.tolist() == pytest.approx([0.6, 0.4], abs=1e-5)
    narrow = torch.tensor(0.5, dtype=torch.bfloat16)  # control: the step is below half a unit in the last place
    assert narrow + 1e-3 == narrow
    assert balancer.select(torch.tensor([[0.5, 0.6]], dtype=torch.bfloat16), 1).tolist() == [[0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_averages_in_a_narrow_model_are_those_of_float32_and_outputs_keep_their_format(dtype):
    torch.manual_seed(0)
    narrow, wide = DefaultVector(N, D).to(dtype), DefaultVector(N, D)
    for _ in range(30):
        logits, outputs = torch.randn(3000, N).to(dtype), (3 + torch.randn(3000, N, D)).to(dtype)
        y = narrow(logits, outputs, 2)
        wide(logits.float(), outputs.float(), 2)
        assert y.dtype == dtype
    assert narrow.average.dtype == torch.float32
    torch.testing.assert_close(narrow.average, wide.average, rtol=1e-5, atol=1e-5)
    assert (wide.average.to(dtype).float() - wide.average).abs().max() > 2e-4  # control: rounded once they differ more


def test_a_hash_in_a_narrow_model_chooses_the_same_experts():
    ids = torch.arange(500)
    router = HashRouter(500, 64, 2)
    before = router(ids).selected
    rounded = router.table.bfloat16().topk(2, dim=-1)
    assert torch.equal(router.to(torch.bfloat16)(ids).selected, before)
    assert (rounded.indices != before).any(dim=-1).sum() > 20  # control: the rounded numbers tie
