"""The pictures of networks show numbers that are computed here a second time."""

import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
import torch
from reading import SVG, words

from moe_lessons.figures.networks import feed_forward, residual_block

W_1 = np.array([[1.0, 0.0, -1.0, 2.0], [0.0, 1.0, -1.0, 0.5]])
W_2 = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 1.0]])

PICTURES = {
    "network": partial(feed_forward, [1.0, -2.0], W_1, W_2),
    "network, one unit": partial(feed_forward, [0.0], [[1.0]], [[0.0]]),
    "network, widest": partial(feed_forward, [-1.25, 2, 3], np.ones((3, 4)), np.ones((4, 3))),
    "residual": partial(residual_block, [1.0, -7.0], [0.2, -1.4], [2.6, 1.2]),
    "residual, widest": partial(residual_block, [-1.25] * 3, [-1.11] * 3, [-2.66] * 3),
}


@pytest.mark.parametrize("x", [[1.0, -2.0], [-1.0, 2.0], [0.2, -1.4], [0.0, 0.0]])
def test_network_agrees_with_torch_and_dashes_the_closed_units(x):
    before = torch.tensor(x, dtype=torch.float64) @ torch.tensor(W_1)
    y = torch.relu(before) @ torch.tensor(W_2)
    root = ET.fromstring(feed_forward(x, W_1, W_2))
    dashed = [n for n in root.iter(SVG + "rect") if n.get("stroke-dasharray")]
    assert len(dashed) == int((before <= 0).sum())
    shown = [float(part) for part in root.get("data-state").replace("−", "-")[3:-1].split(",")]
    assert shown == pytest.approx(y.tolist(), abs=5e-3)


def test_residual_adds_the_update_to_x_and_not_to_its_norm():
    svg = residual_block([1.0, -7.0], [0.2, -1.4], [2.6, 1.2])
    assert "y = (3.6, −5.8)" in words(svg)
    assert "y = (1, −7)" in words(residual_block([1.0, -7.0], [0.2, -1.4], [0, 0]))


@pytest.mark.parametrize(
    ("picture", "named"),
    [
        (partial(feed_forward, [1.0], W_1, W_2), "x.shape, W_1.shape, W_2.shape = "),
        (partial(feed_forward, [1.0, 2.0], W_1, W_1), "x.shape, W_1.shape, W_2.shape = "),
        (partial(feed_forward, [1.0], np.ones((1, 5)), np.ones((5, 1))), "W_1.shape = (1, 5)"),
        (partial(residual_block, [1.0, 2.0], [1.0], [1.0]), "x.shape, normed.shape, update.shape = "),
        (partial(residual_block, [1.0] * 4, [1.0] * 4, [1.0] * 4), "x.shape, normed.shape, update.shape = "),
    ],
)
def test_bad_input_is_named(picture, named):
    with pytest.raises(ValueError, match="expected") as error:
        picture()
    assert str(error.value).startswith(named)
