"""The pictures of lesson 04 show numbers that are computed here a second time, at the sliders' ends too."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
import torch
from reading import SVG, state, words

from moe_lessons.figures.gates import kept_mass, kept_mass_svg, masks_svg

H = np.array([-0.18, 0.30, 0.52, -0.26])
MANY = np.concatenate([H, np.random.default_rng(0).normal(size=60)])

PICTURES = {
    "kept mass, minimum": partial(kept_mass_svg, 4, 0.1, 1),
    "kept mass, default": kept_mass_svg,
    "kept mass, maximum": partial(kept_mass_svg, 64, 5.0, 16),
    "kept mass, k above N": partial(kept_mass_svg, 4, 1.0, 16),
    "kept mass, N between powers of two": partial(kept_mass_svg, 12, 2.0, 3),
    "kept mass, one expert": partial(kept_mass_svg, 1, 1.0, 1),
    "masks, minimum": partial(masks_svg, H, 1, -5.0),
    "masks, default": partial(masks_svg, H),
    "masks, maximum": partial(masks_svg, MANY, 4, 5.0),
    "masks, eight": partial(masks_svg, MANY[:8], 4),
    "masks, twelve": partial(masks_svg, MANY[:12], 2, -1.0),
    "masks, all kept": partial(masks_svg, H, 4),
    "masks, a logit of −∞": partial(masks_svg, [0.0, 1.0, -np.inf], 2),
}


def expert_bars(svg):
    """Heights of the experts' bars: those that do not span the whole of the weight."""
    rects = [n for n in ET.fromstring(svg).iter(SVG + "rect") if n.get("stroke") and float(n.get("height")) != 14]
    return np.array([float(n.get("height")) for n in rects])


@pytest.mark.parametrize(("N", "scale"), [(4, 0.1), (8, 1.0), (64, 3.0), (64, 5.0)])
def test_the_kept_mass_is_that_of_torch(N, scale):
    logits = scale * torch.tensor(np.random.default_rng(0).standard_normal((1000, N)))
    expected = torch.softmax(logits, -1).sort(-1, descending=True).values.cumsum(-1).numpy()
    assert kept_mass(N, scale) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("N", "scale", "k"), [(4, 0.1, 1), (8, 1.0, 2), (12, 2.0, 3), (64, 5.0, 16)])
def test_the_readout_and_the_curve_show_the_mean_and_the_range(N, scale, k):
    svg, kept = kept_mass_svg(N, scale, k), kept_mass(N, scale)[:, k - 1]
    numbers = [float(n) for n in re.findall(r"\d\.\d+", words(svg)[-1])]
    assert numbers == pytest.approx([kept.mean(), *np.quantile(kept, [0.05, 0.95])], abs=0.011)
    assert numbers[0] == pytest.approx(kept.mean(), abs=5.1e-4)
    dashed = next(n for n in ET.fromstring(svg).iter(SVG + "polyline") if n.get("stroke-dasharray") == "9 6")
    heights = [(322 - float(point.split(",")[1])) / 190 for point in dashed.get("points").split()]
    assert heights[0] == pytest.approx(kept_mass(N, scale)[:, 0].mean(), abs=1e-3)
    assert heights[-1] == pytest.approx(1, abs=1e-3)


def test_k_above_the_number_of_experts_keeps_all():
    assert state(kept_mass_svg(4, 1.0, 16))["k"] == "4"
    assert state(kept_mass_svg(4, 1.0, 16))["kept"] == "1.000"


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("shift", [-5.0, -0.5, 0.0, 5.0])
def test_the_masks_show_both_gates_and_the_leak(k, shift):
    svg = masks_svg(H, k, shift)
    h = torch.tensor(H + shift)
    order = torch.sort(h, descending=True, stable=True).indices
    is_kept = torch.arange(4) < k
    right = torch.softmax(h[order].masked_fill(~is_kept, -torch.inf), -1).numpy()
    wrong = torch.softmax(h[order].masked_fill(~is_kept, 0.0), -1).numpy()
    shown = [float(t) for t in words(svg) if re.fullmatch(r"\d\.\d{3}", t)]
    assert shown == pytest.approx([*right, *wrong], abs=5.1e-4)
    assert expert_bars(svg) == pytest.approx(84 * np.array([*right, *wrong]) / max(*right, *wrong), abs=1e-3)
    assert float(state(svg)["leak"]) == pytest.approx(wrong[k:].sum(), abs=5.1e-4)
    assert f"cut experts (hollow): {abs(wrong[k:].sum()):.3f}" in words(svg)


def test_names_follow_the_order_of_the_logits():
    assert [t for t in words(masks_svg(H)) if re.fullmatch(r"E\d", t)] == ["E3", "E2", "E1", "E4"] * 2


def test_a_shift_moves_the_lower_gate_only():
    here, there = expert_words(masks_svg(H)), expert_words(masks_svg(H, shift=-2.0))
    assert here[:4] == there[:4]
    assert here[4:] != there[4:]


def expert_words(svg):
    return [t for t in words(svg) if re.fullmatch(r"\d\.\d{3}", t)]


def test_broken_control_a_picture_of_the_other_mask_would_be_noticed():
    shown = [float(t) for t in expert_words(masks_svg(H))]
    assert shown[:4] != pytest.approx(shown[4:], abs=5.1e-4)


@pytest.mark.parametrize(
    ("draw", "named"),
    [
        (partial(kept_mass_svg, 0), "num_experts = 0"),
        (partial(kept_mass_svg, 257), "num_experts = 257"),
        (partial(kept_mass_svg, 8, 0.0), "logit_scale = 0.0"),
        (partial(kept_mass_svg, 8, 1.0, 0), "k = 0"),
        (partial(masks_svg, [[0.0, 1.0]]), "logits.shape = (1, 2)"),
        (partial(masks_svg, np.zeros(65)), "logits.shape = (65,)"),
        (partial(masks_svg, H, 5), "k = 5"),
        (partial(masks_svg, H, 2, np.inf), "shift = inf"),
        (partial(masks_svg, [np.nan, 1.0]), "logits[0]"),
    ],
)
def test_bad_input(draw, named):
    with pytest.raises(ValueError, match="expected") as error:
        draw()
    assert str(error.value).startswith(named)


@pytest.mark.parametrize(("N", "k"), [(4, 1), (4, 4), (64, 3)])
def test_the_cut_stands_behind_the_last_kept_expert_and_can_be_moved_where_asked_for(N, k):
    logits = np.random.default_rng(0).normal(size=N)
    assert "data-grip" not in masks_svg(logits, k)
    grips = [n for n in ET.fromstring(masks_svg(logits, k, cut_by="k")).iter(SVG + "g") if n.get("data-grip") == "k"]
    assert len(grips) == 2
    for grip in grips:
        zero, unit = float(grip.get("data-zero")), float(grip.get("data-unit"))
        assert float(grip.find(SVG + "circle").get("cx")) == pytest.approx(zero + unit * k, abs=0.1)
        assert zero + unit * N == pytest.approx(466, abs=0.1)
