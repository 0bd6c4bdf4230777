"""The tinted plane: every place belongs to the expert of its direction, and names keep away from what is drawn."""

import re

import numpy as np
import pytest

from moe_lessons.figures.chart import Axes
from moe_lessons.figures.palette import expert_colour
from moe_lessons.figures.plane import at_rim, regions

AXES = Axes(10, 20, 300, 300, (-2, 2), (-2, 2))
W_G = np.array([[1.0, -1.0, 0.2], [0.5, 0.5, -1.0]])  # (2, N)


def tints(parts):
    """Return colour -> (corners, 2), in units of the axes."""
    found = {}
    for part in parts:
        colour = re.search(r'fill="(#\w+)"', part)[1]
        points = [tuple(map(float, pair.split(","))) for pair in re.search(r'points="([^"]+)"', part)[1].split()]
        found[colour] = [((x - 160) / 75, (170 - y) / 75) for x, y in points]
    return found


def contains(corners, point):
    """Tell whether a polygon with its corners in order, all on one side, holds a point."""
    sides = np.roll(corners, -1, axis=0) - corners
    to_point = point - np.array(corners)
    turn = sides[:, 0] * to_point[:, 1] - sides[:, 1] * to_point[:, 0]
    return bool((turn >= -0.02).all())


def test_a_region_holds_the_tokens_that_have_its_expert_first():
    polygons = tints(regions(AXES, W_G))
    tokens = np.random.default_rng(0).uniform(-2, 2, (200, 2))  # (T, 2)
    h = tokens @ W_G  # (T, N)
    clear = np.diff(np.sort(h), axis=1)[:, -1] > 0.1
    for token, winner in zip(tokens[clear], h[clear].argmax(axis=1), strict=True):
        assert contains(polygons[expert_colour(winner)], token)


def test_one_expert_that_wins_everywhere_has_the_whole_square():
    (corners,) = tints(regions(AXES, np.zeros((2, 3)))).values()
    assert {(-2, -2), (-2, 2), (2, -2), (2, 2)} <= {(round(x, 2), round(y, 2)) for x, y in corners}


@pytest.mark.parametrize(("angle", "there"), [(0, (310, 170)), (np.pi / 4, (310, 20)), (np.pi, (10, 170))])
def test_a_direction_ends_at_the_rim(angle, there):
    assert at_rim(AXES, angle) == pytest.approx(there)
    assert at_rim(AXES, angle, 0.5) == pytest.approx(((160 + there[0]) / 2, (170 + there[1]) / 2))


def test_a_name_moves_away_from_a_point_that_is_in_its_way():
    place = lambda parts: re.search(r'<text x="([\d.]+)" y="([\d.]+)"', parts[0]).groups()  # noqa: E731
    free = place(regions(AXES, W_G))
    assert place(regions(AXES, W_G, [tuple(map(float, free))])) != free
