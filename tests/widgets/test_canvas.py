"""The arithmetic of a grip, as the browser does it."""

import pytest

from moe_lessons.widgets.canvas import Canvas

SCALE = {"value": 1.0, "min": -4.0, "max": 4.0, "step": 0.5}


@pytest.fixture(scope="module")
def canvas(load_module):
    return load_module(Canvas._esm, "pressed, gripped")


def test_keys_step_stay_inside_and_jump_to_the_ends(canvas):
    keys = {"ArrowRight": 1.5, "ArrowUp": 1.5, "ArrowLeft": 0.5, "ArrowDown": 0.5, "Home": -4, "End": 4, "x": None}
    assert canvas.map("pressed", [[SCALE, key] for key in keys]) == list(keys.values())
    ends = [[SCALE | {"value": end}, key] for end, key in ((4.0, "ArrowUp"), (-4.0, "ArrowDown"))]
    assert canvas.map("pressed", ends) == [4, -4]


@pytest.mark.parametrize("unit", [11, -11])
def test_a_place_on_the_picture_is_a_value_within_the_range(canvas, unit):
    values = [-9, -4, -1.25, 0, 3, 4, 9]
    put = [[SCALE, {"zero": 85, "unit": unit}, 85 + unit * value] for value in values]
    assert canvas.map("gripped", put) == pytest.approx([-4, -4, -1.25, 0, 3, 4, 4])
