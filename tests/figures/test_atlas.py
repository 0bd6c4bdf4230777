"""The pictures of lesson 12 show numbers that are computed here a second time, for every family and at the ends."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from reading import SVG, state, words

from moe_lessons.atlas import FAMILIES, functions
from moe_lessons.figures.atlas import family_tree_svg, function_name, selection_svg
from moe_lessons.routing import Gate

SCORES = np.array([0.77, 0.60, 0.43, 0.82, 0.70, 0.69, 0.27, 0.55])
H = np.log(SCORES / (1 - SCORES))
BY_TWO = Gate("sigmoid", groups=4, kept_groups=2, group_score="top2")
FOUR, B4 = [1.0, 0.4, 0.8, -0.3], np.array([0, 0, 0, 0.5])


def at_e4(size):
    return size * np.eye(8)[3]


def tree(family, logits=FOUR, bias=B4):
    return family_tree_svg(family, logits, bias)


PICTURES = {
    "selection, default": partial(selection_svg, H, at_e4(0), BY_TWO),
    "selection, minimum": partial(selection_svg, H, at_e4(-0.3), Gate("sigmoid", groups=4), 1),
    "selection, maximum": partial(selection_svg, H, at_e4(1), Gate("sigmoid", groups=4, kept_groups=4, scale=2.5), 2),
    "selection, no groups": partial(selection_svg, H, at_e4(0.3), Gate("softmax")),
    "selection, negative": partial(selection_svg, H, np.full(8, -1.0), BY_TWO),
    "selection, four": partial(selection_svg, H[:4], B4, Gate("sqrtsoftplus", groups=2)),
    "tree, minimum": partial(tree, "llama4_text", [-3.0] * 4, [0, 0, 0, -1.0]),
    "tree, maximum": partial(tree, "deepseek_v4", [3.0] * 4, [0, 0, 0, 1.0]),
    **{f"tree, {family}": partial(tree, family) for family in FAMILIES},
}


def bars(svg):
    """The rectangles of experts: (expert, kept, height)."""
    rects = [n for n in ET.fromstring(svg).iter(SVG + "rect") if n.get("data-expert")]
    return [(int(n.get("data-expert")), n.get("data-kept"), float(n.get("height"))) for n in rects]


@pytest.mark.parametrize("bias", [-0.3, 0.0, 0.15, 1.0])
@pytest.mark.parametrize(("kept", "by", "k"), [(1, "max", 1), (2, "top2", 2), (4, "max", 2)])
def test_the_selection_shows_what_it_sees_and_what_the_weights_see(bias, kept, by, k):
    svg = selection_svg(H, at_e4(bias), Gate("sigmoid", groups=4, kept_groups=kept, group_score=by), k)
    seen = SCORES + at_e4(bias)
    pairs = seen.reshape(4, 2)
    worth = pairs.max(axis=1) if by == "max" else pairs.sum(axis=1)
    groups = sorted(np.argsort(-worth, kind="stable")[:kept])
    inside = np.isin(np.arange(8) // 2, groups)
    selected = sorted(np.argsort(-np.where(inside, seen, -np.inf), kind="stable")[:k])
    weights = np.zeros(8)
    weights[selected] = SCORES[selected] / SCORES[selected].sum()
    assert [expert for expert, is_kept, _ in bars(svg)[:8] if is_kept == "yes"] == selected
    shown = [float(t.replace("−", "-")) for t in words(svg) if re.fullmatch(r"−?\d\.\d\d", t)]
    assert shown == pytest.approx(seen, abs=0.0051)
    assert [float(t) for t in words(svg) if re.fullmatch(r"\d\.\d{3}", t)] == pytest.approx(weights, abs=6e-4)
    told = [t.split() for t in words(svg) if t.endswith((" kept", " out"))]
    assert [float(n) for n, _ in told] == pytest.approx(worth, abs=0.0051)
    assert [g for g, (_, said) in enumerate(told) if said == "kept"] == groups


def test_a_rising_bias_moves_the_upper_bar_and_not_the_weight():
    low, high = (selection_svg(H, at_e4(size), BY_TWO) for size in (0.2, 0.6))
    (before, after) = ([tall for expert, _, tall in bars(svg)[:8] if expert == 3] for svg in (low, high))
    assert before < after
    assert bars(low)[8:] == bars(high)[8:]


def test_every_family_has_a_dot_in_its_year_and_its_row():
    svg = tree("mixtral")
    dots = list(ET.fromstring(svg).iter(SVG + "circle"))
    assert len(dots) == len(FAMILIES)
    assert f"{len(FAMILIES)} families, {len(functions())} functions" in words(svg)
    years = {
        n.text: float(n.get("x")) for n in ET.fromstring(svg).iter(SVG + "text") if re.fullmatch(r"20\d\d", n.text)
    }
    columns = [min(years, key=lambda year: abs(years[year] - float(dot.get("cx")))) for dot in dots]
    assert sorted(columns) == sorted(str(family.year) for family in FAMILIES.values())


@pytest.mark.parametrize("name", FAMILIES)
def test_the_chosen_family_is_marked_in_its_row_and_weighed(name):
    svg, family = tree(name), FAMILIES[name]
    (marked,) = (n for n in ET.fromstring(svg).iter(SVG + "circle") if float(n.get("r")) == 6)
    bold = {n.text: float(n.get("y")) for n in ET.fromstring(svg).iter(SVG + "text") if n.get("font-weight") == "bold"}
    assert abs(bold[function_name(family)] - 5 - float(marked.get("cy"))) < 40
    assert f"● {family.model} ({family.year})" in bold
    shown = [float(n) for n in state(svg)["weights"].split("|")]
    kept = np.flatnonzero(shown)
    assert len(kept) == (family.fixed_k or 2)
    if family.gate.constant_sum or family.kind.reads[:1] == ("normalise",):
        assert sum(shown) == pytest.approx(1, abs=2e-3)
    else:
        assert sum(shown) != pytest.approx(1, abs=2e-3)


def test_functions_have_names_of_their_own():
    names = [{function_name(FAMILIES[name]) for name in group} for group in functions()]
    assert all(len(found) == 1 for found in names)
    assert len(set.union(*names)) == len(names)


def test_broken_control_the_gate_of_another_family_would_show():
    weights = {name: state(tree(name))["weights"] for name in ("mixtral", "jamba", "deepseek_v3", "llama4_text")}
    assert len(set(weights.values())) == 4
    assert state(tree("mixtral"))["weights"] == state(tree("gpt_oss"))["weights"]


@pytest.mark.parametrize(
    ("draw", "named"),
    [
        (partial(selection_svg, np.zeros((2, 8)), np.zeros(8), BY_TWO), "logits.shape = (2, 8)"),
        (partial(selection_svg, np.zeros(9), np.zeros(9), Gate()), "logits.shape = (9,)"),
        (partial(selection_svg, H, np.zeros(7), BY_TWO), "bias.shape = (7,)"),
        (partial(selection_svg, H, np.zeros(8), Gate(groups=3)), "groups = 3"),
        (partial(tree, "llama"), "family = 'llama'"),
        (partial(tree, "mixtral", H), "logits.shape = (8,)"),
        (partial(tree, "mixtral", [np.nan] * 4), "logits[0]"),
        (partial(tree, "deepseek_v3", FOUR, [0.0]), "bias.shape = (1,)"),
    ],
)  # fmt: skip
def test_bad_input(draw, named):
    with pytest.raises(ValueError, match="expected") as error:
        draw()
    assert str(error.value).startswith(named)
