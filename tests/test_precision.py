"""Rounding against torch, bit for bit; the rounded softmax against the exact one, and where it must fail."""

import warnings

import numpy as np
import pytest
import torch

from moe_lessons.precision import PRECISIONS, softmax_steps, to_bfloat16, to_float16, to_float32
from moe_lessons.routing import softmax

TORCH = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SPECIAL = [
    *(0.0, -0.0, 1.0, np.inf, -np.inf, np.nan),
    *(65504.0, 65519.0, 65520.0, 3.3895e38, 3.4e38, 1e39, -1e300),  # at and beyond the largest number of each
    *(1e-38, 1e-40, 1.4e-45, 1e-46, 5.96e-8, 2.9e-8),  # denormal numbers, and too small even for those
    *(128.5, 129.5, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20),  # ties, and just beside one
]


def same_bits(ours, theirs):
    return np.array_equal(ours.view(np.uint32)[~np.isnan(ours)], theirs.view(np.uint32)[~np.isnan(theirs)]) and (
        np.array_equal(np.isnan(ours), np.isnan(theirs))
    )


def oracle(values, name):
    return torch.tensor(values).to(TORCH[name]).to(torch.float32).numpy()


@pytest.mark.parametrize("name", PRECISIONS)
def test_special_values_agree_with_torch(name):
    assert same_bits(PRECISIONS[name](np.float64(SPECIAL)), oracle(np.float64(SPECIAL), name))


@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize("seed", range(3))
def test_every_kind_of_bit_pattern_agrees_with_torch(name, seed):
    """Random bits: all signs, exponents and significands, denormal numbers and NaN among them."""
    bits = np.random.default_rng(seed).integers(0, 2**32, size=100_000, dtype=np.uint32)
    values = bits.view(np.float32)
    assert same_bits(PRECISIONS[name](values), oracle(values, name))


@pytest.mark.parametrize("low", [0x7FFF, 0x8000, 0x8001])
def test_ties_go_to_the_even_neighbour(low):
    values = ((np.arange(0x3F00, 0x4300, dtype=np.uint32) << 16) | low).view(np.float32)
    assert same_bits(to_bfloat16(values), oracle(values, "bfloat16"))


def test_broken_control_cutting_the_bits_off_is_noticed():
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    cut = (values.view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert not same_bits(cut, oracle(values, "bfloat16"))


def test_broken_control_rounding_half_up_is_noticed():
    values = np.float32([128.5, 129.5])
    half_up = ((values.view(np.uint32) + 0x8000) & 0xFFFF0000).view(np.float32)
    assert not same_bits(half_up, oracle(values, "bfloat16"))


@pytest.mark.parametrize("round_off", PRECISIONS.values(), ids=PRECISIONS)
def test_shape_and_dtype(round_off):
    for x in (1.5, [1, 2], np.zeros((2, 0)), np.ones((2, 3), dtype=bool)):
        assert round_off(x).shape == np.shape(x)
        assert round_off(x).dtype == np.float32


def test_a_rounded_number_stays():
    values = np.random.default_rng(0).normal(size=(50, 4)) * 100
    for round_off in (to_float32, to_float16, to_bfloat16):
        assert same_bits(round_off(round_off(values)), round_off(values))


@pytest.mark.parametrize("bad", ["words", None, [[1.0], [1.0, 2.0]], 1j])
def test_what_holds_no_numbers_is_refused(bad):
    with pytest.raises(ValueError, match=r"^x = .*expected"):
        to_bfloat16(bad)


# --- softmax ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("float16", 2e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("stable", [True, False])
def test_steps_agree_with_the_exact_softmax_of_the_stored_logits(precision, tolerance, stable):
    rng = np.random.default_rng(0)
    for _ in range(200):
        steps = softmax_steps(rng.normal(size=5) * 2, precision, stable)
        np.testing.assert_allclose(steps.probs, softmax(steps.logits), atol=tolerance)
        np.testing.assert_allclose(steps.total, steps.exponentials.sum(), rtol=tolerance)


def test_the_published_example_of_round_off():
    """Zoph et al. 2022 (arXiv:2202.08906): ten logits 128 and one 128.5; .142 becomes .091."""
    h = np.array([128.0] * 10 + [128.5])
    assert round(float(softmax(h)[-1]), 3) == 0.142
    assert round(float(softmax_steps(h, "bfloat16").probs[-1]), 3) == 0.091
    assert abs(softmax_steps(h, "float32").probs[-1] - softmax(h)[-1]) < 1e-6


@pytest.mark.parametrize(("precision", "limit"), [("float16", 11.09), ("bfloat16", 88.72), ("float32", 88.72)])
def test_the_naive_form_overflows_just_where_the_format_ends(precision, limit):
    below, above = (softmax_steps([limit + c, 0.0], precision, stable=False) for c in (-0.6, 0.6))
    assert np.isfinite(below.probs).all()
    assert np.isposinf(above.exponentials[0])
    assert np.isnan(above.probs[0])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_stable_form_never_fails_and_nothing_warns(precision):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for level in (-1e4, 0.0, 1e4):
            assert np.isfinite(softmax_steps(np.array([0.0, -5.0, -200.0]) + level, precision).probs).all()
            softmax_steps(np.array([0.0, -5.0]) + level, precision, stable=False)
    assert caught == []


def test_a_masked_expert_gets_exactly_zero():
    assert softmax_steps([0.0, -np.inf, 1.0], "bfloat16").probs[1] == 0


@pytest.mark.parametrize("arguments", [([1.0, np.nan],), ([np.inf, 0.0],), ([0.0], "float8"), ([[0.0], [1.0]],)])
def test_bad_input(arguments):
    with pytest.raises(ValueError, match="expected"):
        softmax_steps(*arguments)
