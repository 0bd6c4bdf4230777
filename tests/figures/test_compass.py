"""The compass standing still: its numbers are those of `route`, its tips and names lie in the square."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from moe_lessons.figures.compass import HEIGHT, WIDTH, compass_svg
from moe_lessons.routing import route

SVG = "{http://www.w3.org/2000/svg}"
CASES = {
    "the start": ((0.6, 0.7), ((1.0, 1.2), (2.8, 0.4), (-1.8, 1.2), (-0.6, -1.8)), 2),
    "no token, equal and zero prototypes": ((0, 0), ((1, 1), (1, 1), (0, 0), (3, 3)), 2),
    "all corners": ((-3, 3), ((3, 3), (-3, -3), (-3, 3), (3, -3), (0, 3), (0, -3)), 3),
    "two, one of them on the rim": ((-1, 0), ((3, 0), (-3, 0)), 1),
}
PICTURES = {name: lambda case=case: compass_svg(*case, 3) for name, case in CASES.items()}


def texts(svg):
    return [node.text for node in ET.fromstring(svg).iter(SVG + "text")]


@pytest.mark.parametrize("case", CASES)
def test_the_numbers_are_those_of_route(case):
    token, prototypes, k = CASES[case]
    trace = route(token, np.transpose(prototypes), k)
    written = [
        float(word.replace("−", "-"))
        for word in texts(compass_svg(*CASES[case], 3))
        if re.fullmatch(r"−?\d+\.\d{3}", word)
    ]
    expected = np.stack([trace.logits, trace.probs, trace.weights], axis=1)  # (N, 3)
    np.testing.assert_allclose(np.reshape(written, expected.shape), expected, atol=5.1e-4)
    assert texts(compass_svg(*CASES[case], 3))[-4 * len(prototypes) :: 4] == [
        f"E{i + 1} ✓" if i in trace.selected else f"E{i + 1}" for i in range(len(prototypes))
    ]


def test_broken_control_another_token_has_other_numbers():
    token, prototypes, k = CASES["the start"]
    assert texts(compass_svg(token, prototypes, k, 3)) != texts(compass_svg((0.7, 0.6), prototypes, k, 3))


@pytest.mark.parametrize("case", CASES)
def test_everything_lies_inside_the_picture(case):
    root = ET.fromstring(compass_svg(*CASES[case], 3))
    assert "nan" not in ET.tostring(root, encoding="unicode").lower()
    for node in root.iter():
        for name, most in (
            ("x", WIDTH),
            ("x1", WIDTH),
            ("x2", WIDTH),
            ("cx", WIDTH),
            ("y", HEIGHT),
            ("y2", HEIGHT),
            ("cy", HEIGHT),
        ):
            assert 0 <= float(node.get(name, 0)) <= most


def test_equal_prototypes_share_a_name_and_no_token_has_no_line():
    drawn = compass_svg(*CASES["no token, equal and zero prototypes"], 3)
    assert "E1 ✓ = E2 ✓" in texts(drawn)
    assert "stroke-dasharray" not in drawn
    assert "stroke-dasharray" in compass_svg(*CASES["the start"], 3)


def test_the_words_tell_logits_weights_and_who_is_selected():
    said = ET.fromstring(compass_svg(*CASES["the start"], 3)).findtext(SVG + "desc")
    assert said.startswith("x = (0.600, 0.700), k = 2. E1 logit 1.440, weight 0.373; E2 logit 1.960, weight 0.627;")
    assert said.endswith("Selected: E2, E1")
