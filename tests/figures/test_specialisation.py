"""The pictures of lesson 11 put their numbers where they belong, and refuse what they cannot show."""

import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from reading import nodes, words

from moe_lessons.figures.palette import DARKEST
from moe_lessons.figures.specialisation import (
    ablation_svg,
    counts_svg,
    domains_svg,
    layers_svg,
    saturation_svg,
    table_information,
)

DOMAINS = ("prose", "code", "json", "arithmetic")
RNG = np.random.default_rng(0)
LEARNED = np.array([[0.05, 0.2, 0.3, 0.6], [0.1, 0.2, 0.4, 0.5], [0.0, 0.1, 0.3, 0.7]])  # (seeds, layers)
SERIES = {"learned router": LEARNED, "untrained": LEARNED / 4, "hash": np.zeros((3, 4))}
RISES = RNG.normal(size=(8, 4)) / 10  # (N, domains)
STEPS = [0, 9, 22, 45, 112, 225, 338, 450]
SHARE = np.linspace([0.25, 0.3, 0.2, 0.4], 1, len(STEPS)).T  # (layers, snapshots)
PICTURES = {
    "counts": counts_svg,
    "counts, all": partial(counts_svg, 100, 0),
    "counts, none": partial(counts_svg, 0, 0),
    "layers": partial(layers_svg, SERIES, "I(domain; expert)", "bits", [0.03] * 4),
    "layers, four": partial(layers_svg, {**SERIES, "fourth": LEARNED + 1}, "Entropy of load", "bits", top=3),
    "layers, one": partial(layers_svg, {"a": [[0.0]]}, "one layer alone", "bits"),
    "layers, below 0": partial(layers_svg, {"a": LEARNED - 0.1}, "excess over chance", "bits"),
    "layers, twelve": partial(layers_svg, {"a": RNG.random((2, 12))}, "many layers", "share", RNG.random(12)),
    "saturation": partial(saturation_svg, STEPS, SHARE, 0.25),
    "saturation, short": partial(saturation_svg, [0, 1], [[0.1, 1.0]], 0.25),
    "domains": partial(domains_svg, RNG.random((4, 8)), DOMAINS, 0.25),
    "domains, edges": partial(domains_svg, [[0.0, 1.0]], ["a"], 0.5),
    "ablation": partial(ablation_svg, RISES, DOMAINS),
    "ablation, zero": partial(ablation_svg, np.zeros((2, 1)), ["a"]),
    "ablation, large": partial(ablation_svg, 20 * RISES, DOMAINS),
}


def by_hand(table):
    p = np.array(table) / np.sum(table)
    independent = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    kept = p > 0
    return (p[kept] * np.log2(p[kept] / independent[kept])).sum()


@pytest.mark.parametrize("table", [[[80, 20], [20, 80]], [[50, 50], [50, 50]], [[100, 0], [0, 100]], [[3, 1, 0]]])
def test_the_information_of_a_table(table):
    assert table_information(table) == pytest.approx(by_hand(table), abs=1e-12)


def test_the_count_picture_shows_counts_and_bits():
    svg = counts_svg(80, 20)
    assert {"80", "20", "if unrelated 50", "I(domain; expert) = 0.278 bits"} <= set(words(svg))
    assert "I(domain; expert) = 1.000 bits" in words(counts_svg(100, 0))
    assert "I(domain; expert) = 0.000 bits" in words(counts_svg(37, 37))
    assert "bits=0.278" in ET.fromstring(svg).get("data-state")


def heights_of_circles(svg):
    """The circles of the first series below its legend, seed after seed."""
    return [float(node.get("cy")) for node in nodes(svg, "circle")][1:]


def test_every_seed_is_a_mark_at_its_height():
    heights = np.array(heights_of_circles(layers_svg(SERIES, "t", "bits"))).reshape(3, 4)
    order, expected = np.argsort(heights.ravel(), kind="stable"), np.sort(-LEARNED.ravel())
    np.testing.assert_array_equal(-LEARNED.ravel()[order], expected)
    ratio = (heights[0, 0] - heights[0, 3]) / (heights[0, 0] - heights[0, 1])
    assert ratio == pytest.approx((0.6 - 0.05) / (0.2 - 0.05), rel=0.01)


def test_the_line_is_the_mean_over_seeds():
    state = dict(part.split("=") for part in ET.fromstring(layers_svg(SERIES, "t", "u")).get("data-state").split())
    np.testing.assert_allclose([float(v) for v in state["learned_router"].split(",")], LEARNED.mean(axis=0), atol=5e-4)
    circles = np.array(heights_of_circles(layers_svg({"a": LEARNED}, "t", "u"))).reshape(3, 4)
    points = nodes(layers_svg({"a": LEARNED}, "t", "u"), "polyline")[0].get("points").split()
    np.testing.assert_allclose([float(p.split(",")[1]) for p in points], circles.mean(axis=0), atol=0.1)
    assert not np.allclose([float(p.split(",")[1]) for p in points], circles[0], atol=1)  # not those of one seed


def test_the_band_reaches_as_high_as_the_null():
    svg = layers_svg({"a": [[0.5, 1.0]]}, "t", "bits", [0.5, 0.5])
    (band,) = nodes(svg, "polygon")
    top = min(float(point.split(",")[1]) for point in band.get("points").split())
    assert top == pytest.approx(heights_of_circles(svg)[0], abs=0.1)
    assert top != pytest.approx(heights_of_circles(svg)[1], abs=5)
    assert not nodes(layers_svg({"a": [[0.5, 1.0]]}, "t", "bits"), "polygon")


def test_saturation_ends_where_everything_is_final():
    lines = nodes(saturation_svg(STEPS, SHARE, 0.25), "polyline")
    chance, *layers = [[float(p.split(",")[1]) for p in line.get("points").split()] for line in lines]
    assert {line[-1] for line in layers} == {92.0}
    assert layers[0][0] == pytest.approx(chance[0], abs=0.1)  # its first share is k/N here
    assert layers[3][0] < chance[0] - 10  # and this one's is not


def test_bars_are_as_high_as_their_shares():
    share = np.array([[0.1, 0.5, 0.9]])
    bars = [float(node.get("height")) for node in nodes(domains_svg(share, ["a"], 0.25), "rect")[1:]]
    np.testing.assert_allclose(np.array(bars) / bars[1], share[0] / 0.5, rtol=1e-3)


def test_the_ablation_matrix_shows_each_number_in_its_place():
    texts = {(float(n.get("x")), float(n.get("y"))): n.text for n in nodes(ablation_svg(RISES, DOMAINS), "text")}
    column = next(x for (x, _), word in texts.items() if word == "code")
    row = next(y for (_, y), word in texts.items() if word == "E3 off")
    near = [w for (x, y), w in texts.items() if abs(x - column) < 5 and abs(y - row) < 5]
    assert near == [f"{RISES[2, 1]:+.3f}".replace("-", "−")]
    assert near != [f"{RISES[1, 2]:+.3f}".replace("-", "−")]
    opacity = [float(node.get("fill-opacity")) for node in nodes(ablation_svg(RISES, DOMAINS), "rect")[1:]]
    np.testing.assert_allclose(opacity, (DARKEST * np.abs(RISES) / np.abs(RISES).max()).T.ravel(), atol=1e-3)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (partial(counts_svg, 101), "code_to_first = 101"),
        (partial(counts_svg, 50, -1), "prose_to_first = -1"),
        (partial(table_information, [[0, 0]]), "counts = "),
        (partial(table_information, [[0.5, 1.0]]), "counts = "),
        (partial(layers_svg, {}, "t", "u"), "series = []"),
        (partial(layers_svg, {"a": [0.1, 0.2]}, "t", "u"), "series = "),
        (partial(layers_svg, {"a": [[0.1]], "b": [[0.1, 0.2]]}, "t", "u"), "series = "),
        (partial(layers_svg, {"a": [[np.nan]]}, "t", "u"), "series['a']"),
        (partial(layers_svg, {"a": np.zeros((1, 13))}, "t", "u"), "layers = 13"),
        (partial(layers_svg, {"a": [[0.1]]}, "t", "u", [0.1, 0.2]), "null.shape = (2,)"),
        (partial(saturation_svg, [0, 1], [[1.0]], 0.25), "share.shape = (1, 1)"),
        (partial(saturation_svg, [0], [[1.0]], 0.25), "the last step = 0"),
        (partial(domains_svg, [[0.1]], DOMAINS, 0.25), "share.shape = (1, 1)"),
        (partial(domains_svg, [[1.5]], ["a"], 0.25), "share = "),
        (partial(domains_svg, np.zeros((1, 11)), ["a"], 0.25), "columns of share = 11"),
        (partial(ablation_svg, [[0.1, 0.2]], ["a"]), "rise.shape = (2, 1)"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
