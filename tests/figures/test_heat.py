"""A cell tells a number's sign and size, in words and by its ground and rim."""

import xml.etree.ElementTree as ET

import pytest

from moe_lessons.figures.heat import signed_cell


def drawn(value, **options):
    ground, label = (ET.fromstring(part) for part in signed_cell(10, 20, 50, value, 2.0, **options))
    return ground.get("stroke-dasharray") is not None, float(ground.get("fill-opacity")), label.text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2.0, (False, 0.45, "+2.000")),
        (-1.0, (True, 0.225, "−1.000")),
        (0.0, (False, 0.0, "0.000")),
        (-0.0001, (False, 0.0, "0.000")),
    ],
)
def test_a_cell(value, expected):
    assert drawn(value) == expected


def test_fewer_digits():
    assert drawn(0.126, digits=2)[2] == "+0.13"
    assert drawn(-0.004, digits=2)[2] == "0.00"
