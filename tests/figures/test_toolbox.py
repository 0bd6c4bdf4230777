"""Every picture of the toolbox shows numbers that are computed here a second time, at the sliders' ends too."""

import xml.etree.ElementTree as ET
from functools import partial
from math import cos, exp, log, radians

import numpy as np
import pytest
import torch
from reading import SVG
from reading import words as texts_of

from moe_lessons.figures import toolbox

X = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])
W_G = np.array([[1.0, 0.0, -1.0, 2.0], [0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, -1.0]])

PICTURES = {
    "dot product, minimum": partial(toolbox.dot_product, 0, 0.0),
    "dot product, default": partial(toolbox.dot_product, 40, 2.5),
    "dot product, maximum": partial(toolbox.dot_product, 180, 3.0),
    "dot product, right angle": partial(toolbox.dot_product, 90, 3.0),
    "axes, experts": partial(toolbox.matrix_axes, X, W_G, -1),
    "axes, tokens": partial(toolbox.matrix_axes, X, W_G, 0),
    "axes, smallest": partial(toolbox.matrix_axes, X[:1, :2], W_G[:2, :3], 0),
    "axes, largest": partial(toolbox.matrix_axes, np.full((3, 3), -1.0), W_G, -1),
    "gap, minimum": partial(toolbox.gap_ratio, 0.0, -3.0),
    "gap, default": partial(toolbox.gap_ratio, 1.0, 0.0),
    "gap, maximum": partial(toolbox.gap_ratio, 4.0, 3.0),
    "chain, minimum": partial(toolbox.chain_rule, -1.0),
    "chain, kink": partial(toolbox.chain_rule, 0.0),
    "chain, default": partial(toolbox.chain_rule, 3.0),
    "chain, maximum": partial(toolbox.chain_rule, 4.0),
    "entropy, nothing": partial(toolbox.entropy_rulers, {"certain": 0.0}),
    "entropy, most": partial(toolbox.entropy_rulers, {f"four experts alike, {i}": log(4) for i in range(6)}),
}


def words(svg):
    """All text of a picture, with plain minus signs, one line per text element."""
    return "\n".join(texts_of(svg)).replace("−", "-")


def numbers(line):
    """The numbers of a line of text."""
    return [float(part) for part in line.replace("(", "").replace(")", "").split() if is_number(part)]


def is_number(part):
    try:
        float(part)
    except ValueError:
        return False
    return True


def line_with(svg, beginning):
    return next(line for line in words(svg).split("\n") if line.startswith(beginning))


# --- 1. dot product -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0, 5, 60, 90, 120, 180])
@pytest.mark.parametrize("length", [0.0, 0.7, 3.0])
def test_dot_product_is_that_of_the_coordinates(angle, length):
    w = length * np.array([cos(radians(angle)), np.sin(radians(angle))])
    svg = toolbox.dot_product(angle, length)
    assert numbers(line_with(svg, "x · w"))[-1] == pytest.approx(w @ [2.0, 0.0], abs=5.1e-3)
    assert numbers(line_with(svg, "shadow of w"))[-1] == pytest.approx(w[0], abs=5.1e-3)


def test_the_drawn_arrow_has_the_angle_and_the_length():
    _, blue = ET.fromstring(toolbox.dot_product(60, 1.5)).iter(SVG + "polygon")
    tip = np.array([float(part) for part in blue.get("points").split()[0].split(",")])
    assert (tip - [240, 214]) / 60 == pytest.approx([1.5 * 0.5, -1.5 * 3**0.5 / 2], abs=2e-3)


@pytest.mark.parametrize(
    ("angle", "word"), [(0, "positive"), (85, "positive"), (90, "zero"), (95, "negative"), (180, "negative")]
)
def test_the_sign_is_said_in_words(angle, word):
    assert word in words(toolbox.dot_product(angle, 2.0))


# --- 2. shapes and axes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, 0])
def test_probabilities_and_sums_agree_with_torch(axis):
    p = torch.softmax(torch.tensor(X @ W_G), dim=axis).numpy()
    shown = words(toolbox.matrix_axes(X, W_G, axis)).split("\n")
    for value in [*p.ravel(), *p.sum(axis=0), *p.sum(axis=1)]:
        assert f"{value:.2f}" in shown


def test_broken_control_the_other_axis_would_be_noticed():
    p = torch.softmax(torch.tensor(X @ W_G), dim=0).numpy()
    shown = words(toolbox.matrix_axes(X, W_G, -1)).split("\n")
    assert not all(f"{value:.2f}" in shown for value in p.ravel())


@pytest.mark.parametrize(("axis", "ones"), [(-1, 2), (0, 4)])
def test_only_the_sums_along_the_axis_are_bold_ones(axis, ones):
    texts = ET.fromstring(toolbox.matrix_axes(X, W_G, axis)).iter(SVG + "text")
    assert sum(node.text == "1.00" and node.get("font-weight") == "bold" for node in texts) == ones


def test_the_outlined_entry_is_a_dot_product():
    assert numbers(line_with(toolbox.matrix_axes(X, W_G, 0), "outlined"))[-1] == X[0] @ W_G[:, 1]


# --- 3. exp and log -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0.0, 1.0, 2.3, 4.0])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 3.0])
def test_gap_becomes_ratio_whatever_the_shift(gap, shift):
    svg = toolbox.gap_ratio(gap, shift)
    share = 1 / (1 + exp(-gap))
    assert numbers(line_with(svg, "E1 is"))[0] == pytest.approx(exp(gap), abs=5.1e-3)
    assert numbers(line_with(svg, "E1 gets")) == [pytest.approx(share, abs=5.1e-4)]
    assert numbers(line_with(svg, "E2 gets")) == [pytest.approx(1 - share, abs=5.1e-4)]
    assert numbers(line_with(svg, "E1: exp"))[-1] == pytest.approx(exp(shift + gap), abs=5.1e-4)
    bars = [float(n.get("width")) for n in ET.fromstring(svg).iter(SVG + "rect")][1:]
    assert bars[0] / sum(bars) == pytest.approx(share, abs=1e-5)


# --- 4. chain rule ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("w", [-1.0, -0.25, 0.0, 0.25, 1.0, 2.0, 3.0, 4.0])
def test_chain_agrees_with_autograd(w):
    leaf = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    loss = (torch.relu(2 * leaf) - 4) ** 2
    loss.backward()
    svg = toolbox.chain_rule(w)
    assert numbers(line_with(svg, "L = "))[-1] == pytest.approx(loss.item(), abs=5.1e-3)
    assert numbers(line_with(svg, "dL/dw"))[-1] == pytest.approx(leaf.grad.item(), abs=0.051)
    assert toolbox.chain_factors(w)["dL/dw"] == pytest.approx(leaf.grad.item())


@pytest.mark.parametrize("w", [-0.5, 0.5, 1.75, 3.5])
def test_the_drawn_tangent_touches_the_curve(w):
    lines = [n for n in ET.fromstring(toolbox.chain_rule(w)).iter(SVG + "line") if n.get("stroke-width") == "4"]
    x1, y1, x2, y2 = (float(lines[0].get(name)) for name in ("x1", "y1", "x2", "y2"))
    (left, bottom), (right, top) = toolbox._on_plot(0, 0), toolbox._on_plot(1, 1)
    slope = (y2 - y1) / (x2 - x1) / ((top - bottom) / (right - left))
    nudge = 1e-6
    finite = (((max(2 * (w + nudge), 0) - 4) ** 2) - ((max(2 * (w - nudge), 0) - 4) ** 2)) / (2 * nudge)
    assert slope == pytest.approx(finite, abs=1e-2)


# --- 5. nats and bits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [[1.0], [0.5, 0.5], [0.9, 0.1], [0.25] * 4])
def test_entropy_in_both_units(p):
    p = np.array(p)
    svg = toolbox.entropy_rulers({"row": float(-(p * np.log(p)).sum())})
    bits = float(-(p * np.log2(p)).sum())
    assert numbers(line_with(svg, "row:")) == pytest.approx([bits, bits * log(2)], abs=5.1e-4)
    filled = [n for n in ET.fromstring(svg).iter(SVG + "rect") if n.get("height") == "16"]
    assert float(filled[1].get("width")) / float(filled[0].get("width")) == pytest.approx(bits / 2, abs=1e-5)


def test_names_are_escaped():
    assert "p < q & r" in words(toolbox.entropy_rulers({"p < q & r": 0.5}))


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "named"),
    [
        (partial(toolbox.dot_product, -1, 1.0), "angle = -1"),
        (partial(toolbox.dot_product, float("nan"), 1.0), "angle = nan"),
        (partial(toolbox.dot_product, 0, 3.5), "length = 3.5"),
        (partial(toolbox.dot_product, 0, "1"), "length = '1'"),
        (partial(toolbox.matrix_axes, X, W_G, 1), "axis = 1"),
        (partial(toolbox.matrix_axes, X, W_G, False), "axis = False"),
        (partial(toolbox.matrix_axes, X[0], W_G, 0), "x.shape, W_g.shape = "),
        (partial(toolbox.matrix_axes, np.zeros((4, 3)), W_G, 0), "x.shape, W_g.shape = "),
        (partial(toolbox.matrix_axes, X, W_G[:2], 0), "x.shape = (2, 3)"),
        (partial(toolbox.matrix_axes, [[np.nan, 0, 0]], W_G, 0), "x[0, 0] = nan"),
        (partial(toolbox.gap_ratio, -0.1, 0.0), "gap = -0.1"),
        (partial(toolbox.gap_ratio, 0.0, 9.0), "shift = 9.0"),
        (partial(toolbox.gap_ratio, True, 0.0), "gap = True"),
        (partial(toolbox.chain_rule, 4.1), "w = 4.1"),
        (partial(toolbox.chain_factors, float("inf")), "w = inf"),
        (partial(toolbox.entropy_rulers, {}), "nats = {}"),
        (partial(toolbox.entropy_rulers, [0.5]), "nats = [0.5]"),
        (partial(toolbox.entropy_rulers, {"die": log(6)}), "nats['die'] = 1.79"),
        (partial(toolbox.entropy_rulers, {"bits": -0.1}), "nats['bits'] = -0.1"),
    ],
)
def test_bad_input_is_named(picture, named):
    with pytest.raises(ValueError, match="expected") as error:
        picture()
    assert str(error.value).startswith(named)
