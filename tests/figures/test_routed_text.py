"""A text in the colours of its experts: every token with its number, long ones cut to what is around the chosen one."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from moe_lessons.figures.palette import expert_colour
from moe_lessons.figures.routed_text import LONGEST, SHOWN, WIDTH, routed_text_svg

SVG = "{http://www.w3.org/2000/svg}"
PIECES = ["def", "␣f", "(", "<b>", "):", "⏎", "␣␣␣", "return"] * 5
EXPERTS = [0, 1, 2, 3, 9, 1, 0, 11] * 5


def groups(svg):
    """Return the tokens' texts and their experts' numbers."""
    return [[node.text for node in group] for group in ET.fromstring(svg).iter(SVG + "g")]


def test_every_token_stands_beside_its_expert():
    pieces, numbers = groups(routed_text_svg(PIECES, EXPERTS))
    assert pieces == PIECES
    assert numbers == [f"E{i + 1}" for i in EXPERTS]
    assert groups(routed_text_svg(PIECES, EXPERTS[::-1]))[1] != numbers


def test_tokens_have_their_experts_colour_and_stay_inside_without_overlap():
    svg = routed_text_svg(PIECES, EXPERTS)
    boxes = []
    for colour, path in re.findall(r'<path d="([^"]+)" fill="(#\w+)"', svg):
        boxes += [(*map(float, box), path) for box in re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v", colour)]
    assert len(boxes) == len(PIECES)
    placed = sorted(boxes, key=lambda box: (box[1], box[0]))
    assert [colour for *_, colour in placed] == [expert_colour(i) for i in EXPERTS]
    assert all(x + width <= WIDTH for x, _, width, _ in placed)
    for (x, y, width, _), (next_x, next_y, *_) in itertools.pairwise(placed):
        assert next_y > y or next_x >= x + width


def test_a_line_of_the_text_ends_a_line_of_the_picture():
    rows = set(re.findall(r'<text x="16" y="(\d+)"', routed_text_svg(["a", "⏎", "b"], [0, 0, 0])))
    assert len(rows) == 2


@pytest.mark.parametrize(("token", "first", "last"), [(1, 1, SHOWN), (150, 101, 200), (252, 153, 252), (50, 1, SHOWN)])
def test_of_a_long_text_what_is_around_the_chosen_token_is_shown(token, first, last):
    svg = routed_text_svg([f"t{i}" for i in range(1, 253)], [0] * 252, token)
    assert groups(svg)[0] == [f"t{i}" for i in range(first, last + 1)]
    assert f"Tokens {first} to {last} of 252" in svg
    assert f"token={token}" in svg


def test_a_very_long_token_is_cut():
    (piece,), _ = groups(routed_text_svg(["x" * 500], [0]))
    assert piece == "x" * (LONGEST - 1) + "…"


def test_a_screen_reader_gets_every_token_with_its_expert():
    assert ET.fromstring(routed_text_svg(["a", "b"], [3, 0])).findtext(SVG + "desc").endswith(": a E4, b E1")


@pytest.mark.parametrize(
    ("pieces", "experts", "token", "said"),
    [
        (["a"], [0, 1], 1, "experts = .*an index for each of the 1 pieces"),
        (["a"], [-1], 1, "experts = "),
        (["a"], [0.5], 1, "experts = "),
        (["a"], [0], 2, "token = 2: expected a whole number from 1 to 1"),
        ([], [], 1, "experts|token"),
    ],
)
def test_what_does_not_fit_is_refused(pieces, experts, token, said):
    with pytest.raises(ValueError, match=said):
        routed_text_svg(pieces, experts, token)
