"""Axes put numbers where they belong, linearly and by logarithm."""

import xml.etree.ElementTree as ET

import pytest

from moe_lessons.figures.chart import Axes

AXES = Axes(50, 10, 200, 100, (0, 10), (0, 4))


def drawn(svg):
    return list(ET.fromstring(f"<g>{svg}</g>"))


def test_the_ends_of_the_ranges_are_the_edges():
    assert [AXES.x(0), AXES.x(5), AXES.x(10)] == [50, 150, 250]
    assert [AXES.y(0), AXES.y(1), AXES.y(4)] == [110, 85, 10]
    assert [AXES.x(-5), AXES.x(99), AXES.y(-1), AXES.y(99)] == [50, 250, 110, 10]


def test_a_logarithmic_axis_gives_equal_room_to_equal_ratios():
    axes = Axes(0, 0, 300, 10, (0.01, 10), (0, 1), x_log=True)
    assert [axes.x(v) for v in (0.01, 0.1, 1, 10)] == pytest.approx([0, 100, 200, 300])


def test_a_line_goes_through_its_points():
    (line,) = drawn(AXES.line([0, 5], [4, 1], "red", dash="4 2"))
    assert line.get("points") == "50.0,10.0 150.0,85.0"
    assert line.get("stroke-dasharray") == "4 2"


def test_bars_stand_on_zero():
    first, second = drawn(AXES.bars([0, 5, 10], [1, 4], fill="blue"))
    assert [float(first.get(a)) for a in ("x", "y", "width", "height")] == [50, 85, 100, 25]
    assert [float(second.get(a)) for a in ("x", "y", "width", "height")] == [150, 10, 100, 100]
    (below,) = drawn(Axes(0, 0, 10, 20, (0, 1), (-1, 1)).bars([0, 1], [-1], fill="blue"))
    assert [float(below.get(a)) for a in ("y", "height")] == [10, 10]


def test_frame_and_mark_write_their_numbers():
    words = [node.text for node in drawn(AXES.frame([0, 5, 10], [0, 2, 4], "steps", "loss")) if node.text]
    assert {"steps", "loss", "0", "5", "10", "2", "4"} == set(words)
    assert drawn(AXES.mark(1, "here"))[1].get("text-anchor") == "start"
    assert drawn(AXES.mark(9, "there"))[1].get("text-anchor") == "end"


def test_negative_ticks_have_a_true_minus_sign():
    words = [node.text for node in drawn(AXES.frame([0, 1e-5], [-2, -0.0, 4], "steps", "margin")) if node.text]
    assert {"−2", "0", "1e−05"} <= set(words)
    assert not any("-" in word for word in words)


def test_broken_control_a_flipped_axis_is_noticed():
    assert AXES.y(4) < AXES.y(0)
