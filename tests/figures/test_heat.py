"""A cell tells a number's sign and size, in words and in colour."""

import xml.etree.ElementTree as ET

import pytest

from moe_lessons.figures.heat import signed_cell
from moe_lessons.figures.palette import ACCENT, WARNING


def drawn(value, **options):
    ground, label = (ET.fromstring(part) for part in signed_cell(10, 20, 50, value, 2.0, **options))
    return ground.get("fill"), float(ground.get("fill-opacity")), label.text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2.0, (WARNING, 0.6, "+2.000")),
        (-1.0, (ACCENT, 0.3, "−1.000")),
        (0.0, (ACCENT, 0.0, "0.000")),
        (-0.0001, (ACCENT, 0.0, "0.000")),
    ],
)
def test_a_cell(value, expected):
    assert drawn(value) == expected


def test_fewer_digits():
    assert drawn(0.126, digits=2)[2] == "+0.13"
    assert drawn(-0.004, digits=2)[2] == "0.00"
