"""The gradient bars: the formulas against finite differences of the gates, the picture against the formulas."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reading import SVG, extents, words

from moe_lessons.figures.gradients import SOURCES, gradient_bars_svg, logit_gradient
from moe_lessons.figures.palette import FAINT_INK
from moe_lessons.routing import GATE_FORMS, gate_weights, softmax

H = np.array([-0.18, 0.30, 0.52, -0.26])
A = np.array([-4.4, -2.1, -1.1, -1.7])
EIGHT = np.linspace(-2, 2, 8)

PICTURES = {
    "default": partial(gradient_bars_svg, H, A),
    "k = 1": partial(gradient_bars_svg, H, [2.0, -2.0, 2.0, -2.0], 1),
    "minimum": partial(gradient_bars_svg, [-2.0] * 4, [-5.0] * 4, 1),
    "maximum": partial(gradient_bars_svg, [2.0] * 4, [5.0] * 4, 4),
    "opposed": partial(gradient_bars_svg, [2.0, 0.3, 0.5, -0.3], [5.0, -5.0, 5.0, -5.0], 3),
    "all kept": partial(gradient_bars_svg, H, A, 4),
    "nothing to learn": partial(gradient_bars_svg, H, [0.0] * 4),
    "equally useful": partial(gradient_bars_svg, H, [1.7] * 4),
    "one expert": partial(gradient_bars_svg, [0.3], [1.0], 1),
    "eight": partial(gradient_bars_svg, EIGHT, -1.5 * EIGHT, 3),
    "a logit of −∞": partial(gradient_bars_svg, [5.0, -5.0, -np.inf], [-5.0, 5.0, 5.0], 2),
}


def gate(source):
    """Return what is differentiated, (N,) -> (N,) for k: a gate form, or the dense softmax that stands in for it."""
    return (lambda h, k: softmax(h)) if source == "straight_through" else partial(gate_weights, form=source)


def by_differences(h, a, k, source, step=1e-6):
    """∂(Σ_i w_i a_i)/∂h: the loss is linear in the weights here, with the slopes a_i."""
    weights = gate(source)
    return np.array([(weights(h + step * e, k) - weights(h - step * e, k)) @ a / (2 * step) for e in np.eye(h.size)])


def far_from_a_tie(h):
    return np.diff(np.sort(h)).min(initial=1.0) > 1e-3


def bars(svg):
    """The bars of a picture: x, signed height (up is positive), whether filled."""
    root, found = ET.fromstring(svg), []
    zeros = [float(n.get("y1")) for n in root.iter(SVG + "line") if n.get("stroke") == FAINT_INK]  # of the panels
    for n in (n for n in root.iter(SVG + "rect") if n.get("stroke")):
        y, tall = float(n.get("y")), float(n.get("height"))
        zero = min(zeros, key=lambda z: min(abs(y - z), abs(y + tall - z)))
        up = abs(y + tall - zero) < abs(y - zero)
        found.append((zeros.index(zero), float(n.get("x")), tall if up else -tall, n.get("fill") == n.get("stroke")))
    return found


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_formula_is_the_slope_of_the_gate(source, k):
    assert logit_gradient(H, A, k, source) == pytest.approx(by_differences(H, A, k, source), abs=1e-8)


@pytest.mark.parametrize("source", SOURCES)
@given(
    h=st.lists(st.floats(-3, 3), min_size=1, max_size=8).map(np.array).filter(far_from_a_tie),
    seed=st.integers(0, 1000),
)
def test_the_formula_is_the_slope_for_any_logits_and_sums_to_zero(source, h, seed):
    rng = np.random.default_rng(seed)
    a, k = 3 * rng.normal(size=h.size), int(rng.integers(1, h.size + 1))
    gradient = logit_gradient(h, a, k, source)
    assert gradient == pytest.approx(by_differences(h, a, k, source, step=1e-5), abs=1e-6)
    assert gradient.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_formula_agrees_with_autograd(k):
    h, a = torch.tensor(H, requires_grad=True), torch.tensor(A)
    values, selected = torch.topk(h, k)
    (by_torch,) = torch.autograd.grad(torch.softmax(values, -1) @ a[selected], h)
    assert logit_gradient(H, A, k) == pytest.approx(by_torch.numpy(), abs=1e-14)
    (by_torch,) = torch.autograd.grad(torch.softmax(h, -1)[selected] @ a[selected], h)
    assert logit_gradient(H, A, k, "softmax_topk") == pytest.approx(by_torch.numpy(), abs=1e-14)
    (by_torch,) = torch.autograd.grad(torch.softmax(h, -1) @ a, h)
    assert logit_gradient(H, A, k, "straight_through") == pytest.approx(by_torch.numpy(), abs=1e-14)


@pytest.mark.parametrize("other", [-5.0, 0.0, 5.0])
def test_only_the_straight_through_gradient_knows_a_cut_expert(other):
    changed = np.array([other, *A[1:]])  # E1 is cut
    for form in GATE_FORMS:
        assert logit_gradient(H, changed, 2, form).tolist() == logit_gradient(H, A, 2, form).tolist()
        assert (logit_gradient(H, A, 2, form)[0] == 0) == (form != "softmax_topk")
    assert np.abs(logit_gradient(H, changed, 2, "straight_through") - logit_gradient(H, A, 2, "straight_through")).all()


def test_broken_control_a_formula_that_forgets_the_mean_would_be_noticed():
    forgetful = gate_weights(H, 2) * A
    assert forgetful != pytest.approx(by_differences(H, A, 2, "topk_softmax"), abs=1e-8)


def test_the_state_tells_what_went_in():
    state = ET.fromstring(gradient_bars_svg(H, A)).get("data-state")
    assert state.endswith(" h=-0.18,0.3,0.52,-0.26 a=-4.4,-2.1,-1.1,-1.7")


@pytest.mark.parametrize("name", PICTURES)
def test_no_text_lies_on_a_rule(name):
    root = ET.fromstring(PICTURES[name]())
    rules = [float(n.get("y1")) for n in root.iter(SVG + "line") if float(n.get("x1")) == 12]
    assert rules
    assert not any(y - 11 < rule < y + 2 for _, _, y in extents(root) for rule in rules)


@pytest.mark.parametrize(("h", "a", "k"), [(H, A, 2), (H, A, 1), (H, -A, 3), (H[::-1], A, 4)])
def test_the_bars_and_the_numbers_are_the_gradients_each_panel_on_its_scale(h, a, k):
    svg = gradient_bars_svg(h, a, k)
    expected = [logit_gradient(h, a, k, s) for s in ("topk_softmax", "softmax_topk", "straight_through")]
    shown = [float(w.replace("−", "-")) for w in words(svg) if re.fullmatch(r"0|[+−]\d\.\d{3}", w)]
    assert np.array(shown).reshape(3, 5)[:, 1:] == pytest.approx(np.array(expected), abs=5.1e-4)  # column 0: the axis
    heights = [height for _, _, height, _ in bars(svg)]
    scaled = np.concatenate([31 * g / (np.abs(g).max() or 1) for g in expected])
    assert heights == pytest.approx(scaled[scaled != 0], abs=2e-3)


def test_a_cut_expert_s_usefulness_moves_the_bars_of_the_lowest_panel_only():
    changed = np.array([5.0, *A[1:]])  # E1 is cut
    for panel in range(3):
        before, after = ([b for b in bars(gradient_bars_svg(H, a, 2)) if b[0] == panel] for a in (A, changed))
        assert (before == after) == (panel < 2)


def test_a_kept_expert_whose_weight_underflows_is_kept():
    svg = gradient_bars_svg([1000.0, 0.0, -1.0], [1.0, 2.0, 3.0], 2)
    assert [w for w in words(svg) if w in ("kept", "cut")] == ["kept", "kept", "cut"]


def test_kept_experts_are_filled_and_cut_ones_hollow_and_named():
    svg = gradient_bars_svg(H, A, 2)
    kept_columns = {x for _, x, _, filled in bars(svg) if filled}
    cut_columns = {x for _, x, _, filled in bars(svg) if not filled}
    assert len(kept_columns) == len(cut_columns) == 2
    assert kept_columns.isdisjoint(cut_columns)
    assert [w for w in words(svg) if w in ("kept", "cut")] == ["cut", "kept", "kept", "cut"]


@pytest.mark.parametrize("name", ["nothing to learn", "equally useful", "one expert"])
def test_what_is_zero_draws_no_bar(name):
    drawn = bars(PICTURES[name]())
    assert [panel for panel, *_ in drawn] == ([1] * 4 if name == "equally useful" else [])


@pytest.mark.parametrize(
    ("draw", "named"),
    [
        (partial(gradient_bars_svg, np.zeros(9), np.zeros(9)), "logits.shape = (9,)"),
        (partial(gradient_bars_svg, [[0.0, 1.0]], [[0.0, 1.0]]), "logits.shape = (1, 2)"),
        (partial(gradient_bars_svg, H, A[:3]), "usefulness.shape = (3,)"),
        (partial(gradient_bars_svg, H, [np.nan, 0.0, 0.0, 0.0]), "usefulness[0]"),
        (partial(gradient_bars_svg, H, A, 0), "k = 0"),
        (partial(gradient_bars_svg, H, A, 5), "k = 5"),
        (partial(logit_gradient, H, A, 2, "soft"), "source = 'soft'"),
        (partial(logit_gradient, [np.nan, 1.0], [0.0, 0.0], 1), "logits[0]"),
    ],
)
def test_bad_input(draw, named):
    with pytest.raises(ValueError, match="expected") as error:
        draw()
    assert str(error.value).startswith(named)


def test_only_what_has_a_control_has_a_grip_and_it_stands_at_its_number():
    svg = gradient_bars_svg(H, A, 2, ["h1", "a3"])
    grips = {node.get("data-grip"): node for node in ET.fromstring(svg).iter(SVG + "g") if node.get("data-grip")}
    assert set(grips) == {"h1", "a3"}
    for value, grip in ((H[0], grips["h1"]), (A[2], grips["a3"])):
        zero, unit = float(grip.get("data-zero")), float(grip.get("data-unit"))
        assert unit < 0, "up is positive"
        assert float(grip.find(SVG + "circle").get("cy")) == pytest.approx(zero + unit * value, abs=1e-2)
