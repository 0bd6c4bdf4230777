"""The picture of measured times shows medians, quartiles and the limit at their places."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from reading import SVG, words

from moe_lessons.figures.speed import speed_svg

TIMES = {
    "products only": [0.0069, 0.0070, 0.0074],
    "loop over tokens": [0.48, 0.51, 0.60],
    "sort + slices": [0.012, 0.013, 0.014],
}
MANY = {"products only": [0.01], **{f"row number {i} with a rather long name": [0.01 * i] for i in range(1, 10)}}
PICTURES = {
    "default": partial(speed_svg, TIMES, "products only"),
    "titled": partial(speed_svg, TIMES, "products only", "N = 32, forward + backward, CPU time"),
    "near the limit": partial(speed_svg, {"limit": [1.0, 1.1], "a": [0.9], "b": [1.0]}, "limit"),
    "far from it": partial(speed_svg, {"limit": [0.001], "a": [40.0], "b": [1e-5]}, "limit"),
    "seven rows, far": partial(speed_svg, dict(list(MANY.items())[:8]), "products only", reach=70),
    "many": partial(speed_svg, MANY, "products only"),
}


def ends(svg):
    """Left and right end of each bar."""
    rects = [n for n in ET.fromstring(svg).iter(SVG + "rect") if n.get("height") == "16"]
    return [(float(n.get("x")), float(n.get("x")) + float(n.get("width"))) for n in rects]


def dashed(svg):
    return next(float(n.get("x1")) for n in ET.fromstring(svg).iter(SVG + "line") if n.get("stroke-dasharray"))


def test_bars_begin_at_the_limit_and_their_lengths_are_logarithms():
    svg = speed_svg(TIMES, "products only")
    (start, slow), (also, fast) = ends(svg)
    assert start == also == pytest.approx(dashed(svg), abs=0.01)
    assert (slow - start) / (fast - start) == pytest.approx(np.log(0.51 / 0.007) / np.log(0.013 / 0.007), rel=1e-3)


def test_a_row_below_the_limit_ends_at_it():
    svg = speed_svg({"limit": [1.0], "a": [0.5]}, "limit")
    assert ends(svg)[0][1] == pytest.approx(dashed(svg), abs=0.01)


def test_ticks_stand_where_their_numbers_say():
    svg = speed_svg(TIMES, "products only")
    labels = {float(n.text): float(n.get("x")) for n in ET.fromstring(svg).iter(SVG + "text")
              if re.fullmatch(r"[\d.,]+", n.text)}  # fmt: skip
    assert {1, 10} <= set(labels)
    assert labels[1] == pytest.approx(dashed(svg), abs=0.01)
    assert (labels[5] - labels[1]) / (labels[10] - labels[1]) == pytest.approx(np.log10(5), abs=1e-3)


def test_the_words_and_the_state_show_the_medians():
    svg = speed_svg(TIMES, "products only")
    assert "510 ms, × 72.9" in words(svg)
    assert "13 ms, × 1.86" in words(svg)
    assert "dashed line = 1: products only, 7 ms" in words(svg)
    state = dict(part.split("=") for part in ET.fromstring(svg).get("data-state").split())
    assert float(state["sort_+_slices"]) == pytest.approx(13 / 7, rel=1e-3)


def test_whiskers_reach_from_quartile_to_quartile():
    svg = speed_svg(TIMES, "products only")
    whisker = next(n for n in ET.fromstring(svg).iter(SVG + "line")
                   if n.get("stroke-width") == "2" and n.get("y1") == n.get("y2"))  # fmt: skip
    length = float(whisker.get("x2")) - float(whisker.get("x1"))
    (start, slow), _ = ends(svg)
    low, high = np.quantile(TIMES["loop over tokens"], [0.25, 0.75])
    assert length / (slow - start) == pytest.approx(np.log(high / low) / np.log(0.51 / 0.007), rel=1e-2)


def test_pictures_of_the_same_reach_have_the_same_axis():
    short = {name: TIMES[name] for name in ("products only", "sort + slices")}
    for reach, same in ((1000, True), (10, False)):  # 10 is the broken control: the axis then follows the rows
        both, alone = (ends(speed_svg(times, "products only", reach=reach)) for times in (TIMES, short))
        assert (both[1] == alone[0]) is same


def test_broken_control_a_linear_axis_would_be_noticed():
    (start, slow), (_, fast) = ends(speed_svg(TIMES, "products only"))
    assert (slow - start) / (fast - start) != pytest.approx((0.51 - 0.007) / (0.013 - 0.007), rel=0.1)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (partial(speed_svg, TIMES, "nothing"), "limit = 'nothing'"),
        (partial(speed_svg, {"limit": [1.0]}, "limit"), "times = ['limit']"),
        (partial(speed_svg, {str(i): [1.0] for i in range(11)}, "0"), "times = ["),
        (partial(speed_svg, {"limit": [1.0], "a": [0.0, 1.0]}, "limit"), "times['a'] = [0.0, 1.0]"),
        (partial(speed_svg, {"limit": [1.0], "a": []}, "limit"), "seconds = []"),
        (partial(speed_svg, TIMES, "products only", reach=0), "reach = 0"),
        (partial(speed_svg, TIMES, "products only", reach=float("nan")), "reach = nan"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
