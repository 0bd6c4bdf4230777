"""The softmax explorer shows what was computed, or that nothing came out; the histogram counts every token."""

import re
import warnings
import xml.etree.ElementTree as ET
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from reading import SVG
from reading import words as shown

from moe_lessons.figures.softmax import FORMS, WIDTH, entropy_svg, softmax_svg
from moe_lessons.precision import PRECISIONS, softmax_steps
from moe_lessons.routing import log_sum_exp, softmax

H = np.array([3.0, 1.0, 0.0, -1.0])
FRESH = np.random.default_rng(0).normal(size=(500, 8)) * 0.6
PICTURES = {
    **{f"explorer, {form}, shift {shift}": partial(softmax_svg, H, shift, form, "float16")
       for form in FORMS for shift in (-120, 0, 8)},
    "explorer, two": partial(softmax_svg, [4, -4], 120),
    "explorer, eight": partial(softmax_svg, np.linspace(-1, 2, 8)),
    **{f"entropy, scale {scale}": partial(entropy_svg, FRESH, scale) for scale in (0, 1, 1e300)},
}  # fmt: skip


def state(svg, key):
    return dict(part.split("=") for part in ET.fromstring(svg).get("data-state").split("|"))[key]


# --- the explorer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shift", [-5.0, 0.0, 2.0])
def test_the_numbers_shown_are_those_computed(form, precision, shift):
    words = shown(softmax_svg(H, shift, form, precision))
    steps = softmax_steps(H + shift, precision, form == "stable")
    assert {f"{p:.3f}" for p in steps.probs} <= set(words)
    assert {f"{h:.5g}".replace("-", "−") for h in steps.logits} <= set(words)
    assert {f"{e:.3f}" for e in steps.exponentials if 1e-3 <= e < 1e3} <= set(words)


def test_the_numbers_agree_with_torch():
    words = shown(softmax_svg(H))
    assert {f"{p:.3f}" for p in torch.softmax(torch.tensor(H), 0).tolist()} <= set(words)


@pytest.mark.parametrize("shift", [-120.0, -30.0, 30.0, 120.0])
def test_in_float32_a_shift_changes_no_probability(shift):
    assert state(softmax_svg(H, shift), "p") == state(softmax_svg(H), "p")
    assert any("no probability moved" in words for words in shown(softmax_svg(H, shift)))


def test_broken_control_in_bfloat16_a_shift_does_change_them():
    h = [3.0, 1.0, 0.3, -1.3]
    assert state(softmax_svg(h, 120, "stable", "bfloat16"), "p") != state(softmax_svg(h, 0, "stable", "bfloat16"), "p")
    assert any("Round-off" in words for words in shown(softmax_svg(h, 120, "stable", "bfloat16")))


@pytest.mark.parametrize(
    ("shift", "precision", "cells", "sentence"),
    [
        (100, "float32", "overflow: no number", "Overflow: e^103 is too large for float32,"),
        (100, "bfloat16", "overflow: no number", "Overflow: e^103 is too large for bfloat16,"),
        (10, "float16", "overflow: no number", "Overflow: e^13 is too large for float16,"),
        (-120, "float32", "underflow: no number", "Underflow: every exponential is 0 in float32,"),
    ],
)
def test_where_no_number_comes_out_the_picture_says_so(shift, precision, cells, sentence):
    words = shown(softmax_svg(H, shift, "naive", precision))
    assert cells in words
    assert "no number" in words
    assert sentence in words
    assert cells not in shown(softmax_svg(H, shift, "stable", precision))


@pytest.mark.parametrize(("shift", "precision", "wrong"), [(-105, "float32", "0.169"), (-18, "float16", "0.054")])
def test_wrong_numbers_out_of_exponentials_that_lost_bits_are_called_underflow(shift, precision, wrong):
    words = shown(softmax_svg(H, shift, "naive", precision))
    assert f"Underflow: a probability is wrong by {wrong}." in words
    assert not any("Underflow" in words for words in shown(softmax_svg(H, shift, "stable", precision)))


@pytest.mark.parametrize(("shift", "marks"), [(0, 4), (100, 0)])
def test_the_exact_value_is_marked_only_where_no_words_stand_in_its_place(shift, marks):
    rows = ET.fromstring(softmax_svg(H, shift, "naive")).iter(SVG + "g")
    assert sum(line.get("stroke-width") == "3" for row in rows for line in row.iter(SVG + "line")) == marks


@pytest.mark.parametrize(("shift", "column"), [(0, {"20.086", "2.718", "1.000", "0.368"}), (7, {"2.2e4", "4.0e2"})])
def test_all_exponentials_of_a_column_are_written_alike(shift, column):
    assert column <= set(shown(softmax_svg(H, shift, "naive")))


def test_a_sum_that_overflows_alone_is_told_apart():
    words = shown(softmax_svg(H, 8, "naive", "float16"))
    assert words.count("0.000") == 5  # four shares and their sum
    assert "Overflow: the sum is too large for float16," in words


def test_no_setting_warns_or_draws_something_that_is_no_number():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for form, precision, shift, h in product(
            FORMS, PRECISIONS, (-120, -8.5, 0, 8, 120), (H, [-4] * 4, [4] * 4, [4, -4])
        ):
            svg = softmax_svg(h, shift, form, precision)
            for node in ET.fromstring(svg).iter():
                for key in ("x", "y", "x1", "x2", "width", "height", "cx"):
                    number = node.get(key)
                    assert number is None or np.isfinite(float(number)), (key, number)
                if node.tag == SVG + "rect":
                    assert 0 <= float(node.get("x", 0)) <= float(node.get("x", 0)) + float(node.get("width")) <= WIDTH
    assert caught == []


@pytest.mark.parametrize(("h", "place"), [([4.0, -4.0], 0.0), ([1.0, 1.0], 1.0), (H, None)])
def test_the_ruler_shows_where_the_log_sum_exp_lies(h, place):
    svg = softmax_svg(h, 50, "naive", "float32")
    part = float(log_sum_exp(np.asarray(h)) - max(h)) / np.log(len(h))
    assert place is None or part == pytest.approx(place, abs=1e-3)
    circle = ET.fromstring(svg).find(SVG + "circle")
    assert float(circle.get("cx")) == pytest.approx(24 + part * (WIDTH - 48), abs=1e-3)
    assert any(f"LSE = {float(log_sum_exp(np.asarray(h))) + 50:.2f}" in words for words in shown(svg))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([1.0],), "logits.shape = (1,)"),
        ((np.ones((2, 2)),), "logits.shape = (2, 2)"),
        (([1.0, np.nan],), "logits[1] = nan"),
        ((H, np.inf), "shift[0] = inf"),
        ((H, 0, "clever"), "form = 'clever'"),
        ((H, 0, "naive", "float8"), "precision = 'float8'"),
    ],
)
def test_bad_input_of_the_explorer(arguments, named):
    with pytest.raises(ValueError, match="expected") as error:
        softmax_svg(*arguments)
    assert str(error.value).startswith(named)


# --- the histogram ------------------------------------------------------------------------------------------------


def bar_shares(svg):
    """Return the share of tokens in each bar, read back from the heights of the bars and the axis' last tick."""
    root = ET.fromstring(svg)
    ticks = [
        node for node in root.iter(SVG + "text") if node.get("text-anchor") == "end" and node.get("font-size") == "13"
    ]
    (zero, _, last) = [(float(node.get("y")), float(node.text)) for node in ticks]
    per_unit = (zero[0] - last[0]) / last[1]
    return np.array([float(bar.get("height")) / per_unit for bar in list(root.iter(SVG + "rect"))[1:]])


def entropies(h):
    p = torch.softmax(torch.tensor(h), -1)
    return torch.distributions.Categorical(probs=p).entropy().numpy()


@pytest.mark.parametrize("scale", [0.5, 1.0, 10.0])
def test_mean_and_bars_agree_with_torch(scale):
    svg = entropy_svg(FRESH, scale)
    exact = entropies(scale * FRESH)
    assert float(state(svg, "mean")) == pytest.approx(exact.mean(), abs=1e-4)
    counts = np.histogram(exact, bins=20, range=(0, np.log(8)))[0] / len(FRESH)
    assert bar_shares(svg) == pytest.approx(counts, abs=1e-3)


def test_heights_can_be_compared_between_scales():
    pictures = [set(shown(entropy_svg(FRESH, scale))) for scale in (0, 1, 4, 10)]
    assert all({"0.5", "1", "share of tokens"} <= words for words in pictures)
    assert not any({"0.1", "0.2", "0.05"} & words for words in pictures)


@pytest.mark.parametrize("scale", [0, 0.1, 1, 4, 10, 1e3, 1e300])
def test_every_token_is_counted_at_every_scale(scale):
    assert bar_shares(entropy_svg(FRESH, scale)).sum() == pytest.approx(1, abs=1e-3)


def test_the_scale_changes_the_entropy_and_no_first_choice():
    means = [float(state(entropy_svg(FRESH, scale), "mean")) for scale in (0.1, 1, 10)]
    assert means == sorted(means, reverse=True)
    assert [state(entropy_svg(FRESH, scale), "moved") for scale in (0.1, 1, 10)] == ["0"] * 3


def test_with_scale_zero_every_token_is_undecided_and_all_tie():
    svg = entropy_svg(FRESH, 0)
    assert float(state(svg, "mean")) == pytest.approx(np.log(8), abs=1e-4)
    assert "All logits tie: E1 comes first." in shown(svg)


def test_broken_control_bits_instead_of_nats_are_noticed():
    bits = entropies(FRESH).mean() / np.log(2)
    assert float(state(entropy_svg(FRESH), "mean")) != pytest.approx(bits, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((np.ones(3),), "logits.shape = (3,)"),
        ((np.ones((0, 3)),), "logits.shape = (0, 3)"),
        ((np.ones((3, 1)),), "logits.shape = (3, 1)"),
        ((FRESH, -1), "scale = -1"),
        ((FRESH, np.nan), "scale[0] = nan"),
    ],
)
def test_bad_input_of_the_histogram(arguments, named):
    with pytest.raises(ValueError, match="expected") as error:
        entropy_svg(*arguments)
    assert str(error.value).startswith(named)


@pytest.mark.parametrize("svg", [softmax_svg(H), entropy_svg(FRESH)])
def test_the_description_has_numbers(svg):
    assert re.search(r"\d\.\d", ET.fromstring(svg).find(SVG + "desc").text)


def test_the_explorer_is_right_for_any_number_of_experts():
    for num in (2, 8):
        h = np.linspace(-1, 2, num)
        assert {f"{p:.3f}" for p in softmax(h)} <= set(shown(softmax_svg(h)))


def test_logits_are_bars_from_zero_with_the_grips_that_are_asked_for():
    svg = softmax_svg(H, 50, grips=["a", "", "c", ""])
    grips = [node for node in ET.fromstring(svg).iter(SVG + "g") if node.get("data-grip")]
    assert [node.get("data-grip") for node in grips] == ["a", "c"]
    for grip, h in zip(grips, (H[0], H[2]), strict=True):
        zero, unit = float(grip.get("data-zero")), float(grip.get("data-unit"))
        assert float(grip.find(SVG + "circle").get("cx")) == pytest.approx(
            zero + unit * h, abs=1e-2
        )  # without the shift
    with pytest.raises(ValueError, match=r"^len\(grips\) = 3: expected 0, or one for each of 4 logits"):
        softmax_svg(H, grips=["a", "b", "c"])
