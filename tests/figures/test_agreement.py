"""The picture of means and prototypes shows each cosine in its place, and refuses what is none."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from moe_lessons.figures.agreement import agreement_svg

SVG = "{http://www.w3.org/2000/svg}"
COSINES = np.array([[0.99, -0.3, 0.1], [-0.4, 0.95, -0.2], [0.0, -1.0, 1.0]])


def labels(svg):
    return {(float(n.get("x")), float(n.get("y"))): n.text for n in ET.fromstring(svg).iter(SVG + "text")}


def test_rows_are_means_and_columns_prototypes():
    found = labels(agreement_svg(COSINES))
    column = next(x for (x, _), word in found.items() if word == "w3")
    row = next(y for (_, y), word in found.items() if word == "mean 1")
    near = [word for (x, y), word in found.items() if abs(x - column) < 5 and abs(y - row) < 5]
    assert near == ["+0.10"]
    assert near != ["0.00"]  # what stands at row 3, column 1


@pytest.mark.parametrize("N", [2, 8])
def test_everything_lies_inside(N):
    root = ET.fromstring(agreement_svg(np.eye(N)))
    _, _, width, height = map(float, root.get("viewBox").split())
    for node in root.iter(SVG + "rect"):
        assert 0 <= float(node.get("x", 0)) <= float(node.get("x", 0)) + float(node.get("width")) <= width
        assert float(node.get("y", 0)) + float(node.get("height")) <= height
    assert all(0 < x < width and 0 < y < height for x, y in labels(agreement_svg(np.eye(N))))


@pytest.mark.parametrize(
    ("cosines", "named"),
    [
        (np.eye(9), "cosines.shape = (9, 9)"),
        (np.ones((2, 3)), "cosines.shape = (2, 3)"),
        ([[1.5, 0.0], [0.0, 1.0]], "cosines = "),
        ([[np.nan, 0.0], [0.0, 1.0]], "cosines"),
    ],
)
def test_bad_input(cosines, named):
    with pytest.raises(ValueError, match="expected") as error:
        agreement_svg(cosines)
    assert str(error.value).startswith(named)
