"""The picture of means and prototypes shows each cosine in its place, and refuses what is none."""

import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from reading import SVG

from moe_lessons.figures.agreement import agreement_svg

COSINES = np.array([[0.99, -0.3, 0.1], [-0.4, 0.95, -0.2], [0.0, -1.0, 1.0]])
PICTURES = {f"{N} experts": partial(agreement_svg, np.eye(N)) for N in (2, 3, 8)}


def labels(svg):
    return {(float(n.get("x")), float(n.get("y"))): n.text for n in ET.fromstring(svg).iter(SVG + "text")}


def test_rows_are_means_and_columns_prototypes():
    found = labels(agreement_svg(COSINES))
    column = next(x for (x, _), word in found.items() if word == "w3")
    row = next(y for (_, y), word in found.items() if word == "mean 1")
    near = [word for (x, y), word in found.items() if abs(x - column) < 5 and abs(y - row) < 5]
    assert near == ["+0.10"]
    assert near != ["0.00"]  # what stands at row 3, column 1


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
