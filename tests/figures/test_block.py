"""The picture of the block: who is kept, with which weight, and that only those get x and are added up."""

import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from reading import SVG, nodes, state, words

from moe_lessons.figures.block import MOST_EXPERTS, block_svg
from moe_lessons.figures.palette import expert_colour

PICTURES = {
    "default": partial(block_svg, [0, 0.7, 0, 0.3]),
    "one expert": partial(block_svg, [1.0]),
    "the first of six": partial(block_svg, [1.0, 0, 0, 0, 0, 0]),
    "all six": partial(block_svg, [1 / 6] * 6),
    "kept with a weight that is not 1": partial(block_svg, np.array([0.25, 0, 0.1])),
}


def experts(svg):
    return [node for node in nodes(svg, "rect") if node.get("data-expert")]


@pytest.mark.parametrize("weights", [[0, 0.7, 0, 0.3], [0.2, 0.8], [0, 0, 0, 0, 0, 1.0]])
def test_kept_experts_are_filled_in_their_colour_and_the_others_hollow(weights):
    for i, (node, w) in enumerate(zip(experts(block_svg(weights)), weights, strict=True)):
        assert node.get("stroke") == expert_colour(i)
        assert (node.get("fill") == expert_colour(i)) == (node.get("data-kept") == "yes") == (w > 0)


def test_weights_stand_below_their_expert():
    svg = block_svg([0, 0.7, 0, 0.3])
    assert [w for w in words(svg) if w == "0" or w.startswith("×")] == ["0", "×0.70", "0", "×0.30"]
    assert state(svg) == {"N": "4", "kept": "2,4"}
    assert "E2 with weight 0.70, E4 with weight 0.30" in ET.fromstring(svg).findtext(SVG + "desc")


@pytest.mark.parametrize("weights", [[0, 0.7, 0, 0.3], [0.2, 0.8], [1.0]])
def test_x_comes_to_kept_experts_alone(weights):
    svg = block_svg(weights)
    middles = {float(n.get("x")) + float(n.get("width")) / 2: n.get("data-kept") for n in experts(svg)}
    top = float(experts(svg)[0].get("y"))
    tips = [n.get("points").split()[0].split(",") for n in nodes(svg, "polygon")]
    reached = sorted(float(x) for x, y in tips if float(y) == top)
    assert reached == pytest.approx([x for x, kept in middles.items() if kept == "yes"])


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        ([[0.5, 0.5]], "weights.shape = (1, 2)"),
        ([], "weights"),
        ([1 / 7] * (MOST_EXPERTS + 1), "weights.shape = (7,)"),
        ([0.5, -0.5], "weights = [0.5, -0.5]"),
        ([0.0, 0.0], "weights = [0.0, 0.0]"),
        ([0.5, float("nan")], "weights[1]"),
        ("half", "weights"),
    ],
)
def test_bad_input(weights, named):
    with pytest.raises(ValueError, match="expected") as error:
        block_svg(weights)
    assert str(error.value).startswith(named)
