"""Dots and spread: every mark at its number, 0 where it is near, room for all rows, nothing that is no number."""

import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from reading import SVG, words

from moe_lessons.experiments import bias_study
from moe_lessons.figures.palette import INK
from moe_lessons.figures.spread import Spread, of_seeds, spread_svg
from moe_lessons.figures.still import Picture

LENGTHS = ["300 steps", "1,200 steps"]
SEEDS = np.random.default_rng(0).normal(0.5, 0.1, size=(3, 2, 12))  # (rows, series, S)
ROWS = {f"setting {i}": [*found] for i, found in enumerate(SEEDS)}
GAPS = {"one − other": [Spread(-0.02, -0.03, -0.01), Spread(0.01, -0.005, 0.025)]}
PICTURES = {
    "two series": partial(spread_svg, ROWS, LENGTHS, "task error"),
    "one series, one row": partial(spread_svg, {"alone": [SEEDS[0, 0]]}, ["300 steps"], "task error"),
    "intervals": partial(spread_svg, GAPS, LENGTHS, "difference in task error, with its 95 % interval"),
    "all alike": partial(spread_svg, {"none": [np.zeros(4)], "some": [np.zeros(4)]}, ["300 steps"], "dead experts"),
    "shipped": lambda: spread_svg(bias_study.by_row(bias_study.load_results()), LENGTHS, "task error"),
    "large numbers": partial(spread_svg, {"FLOPs": [np.array([1e9, 3e9])]}, ["a step"], "FLOPs of a step"),
}


def marks(svg):
    """The middles of the marks of the rows, from above: x."""
    found = [n for n in ET.fromstring(svg).iter(SVG + "rect") if n.get("width") == "8" and float(n.get("y")) > 30]
    return [float(n.get("x")) + 4 for n in found]


def test_marks_stand_where_the_means_lie_and_rings_where_the_seeds_do():
    svg = PICTURES["two series"]()
    means, places = SEEDS.mean(axis=2).ravel(), np.array(marks(svg))  # (rows · series,) each
    slope, zero = np.polyfit(means, places, 1)
    assert places == pytest.approx(slope * means + zero, abs=0.01)
    rings = [float(n.get("cx")) for n in ET.fromstring(svg).iter(SVG + "circle")]
    assert rings == pytest.approx(slope * SEEDS.ravel() + zero, abs=0.01)


def test_what_lies_right_of_zero_is_above_it():
    svg = PICTURES["intervals"]()
    (zero,) = (float(n.get("x1")) for n in ET.fromstring(svg).iter(SVG + "line")
               if n.get("x1") == n.get("x2") and n.get("stroke") == INK)  # fmt: skip
    below, above = marks(svg)
    assert below < zero < above
    assert "mean, and its interval" in words(svg)


def test_a_mean_of_seeds_lies_between_its_ends():
    assert of_seeds([1.0, 2.0, 6.0]) == Spread(3.0, 1.0, 6.0, (1.0, 2.0, 6.0))


@pytest.mark.parametrize(
    ("rows", "series", "named"),
    [
        ({}, LENGTHS, "named and series"),
        (ROWS, [], "named and series"),
        (ROWS, [*LENGTHS, "more"], "named and series"),
        ({"x": [SEEDS[0, 0]]}, LENGTHS, r"named\['x'\]"),
        ({"x": [np.array([1.0, np.nan])]}, ["300 steps"], "named"),
    ],
)
def test_what_cannot_be_drawn_is_refused(rows, series, named):
    with pytest.raises(ValueError, match=rf"^{named} = .*expected"):
        spread_svg(rows, series, "task error")


def test_numbers_are_folded_below_the_picture_and_printed_with_it():
    shown = Picture(PICTURES["intervals"](), "a < b\n1.0")
    assert "<details><summary>The numbers</summary><pre>a &lt; b\n1.0</pre></details>" in shown._repr_html_()
    assert repr(shown).endswith("a < b\n1.0")
    assert "details" not in Picture(PICTURES["intervals"]())._repr_html_()


def test_rows_of_the_shipped_study_are_those_of_its_table():
    study = bias_study.load_results()
    rows, table = bias_study.by_row(study), bias_study.table(study)
    assert len(rows) == len(table.splitlines()) - 1
    for found in rows["uneven: Switch loss"]:
        assert f"{found.mean():.3f}" in table
