"""The picture of lesson 06 puts each layer where its runs say, whatever it is paid in."""

import re
import xml.etree.ElementTree as ET
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from reading import SVG, extents, words

from moe_lessons.figures.worth_it import COINS, points_of, worth_it_svg


def run(kind, top_k, error, parameters=16_640, flops=8_704, seconds=0.7):
    return SimpleNamespace(kind=kind, top_k=top_k, error=error, parameters=parameters, flops=flops, seconds=seconds)


DENSE = [run("dense, equal FLOPs", 0, e, 4_352, 8_704, 0.3) for e in (0.18, 0.19, 0.2)]
LARGE = [run("dense, equal total", 0, e, 16_640, 33_280, 0.4) for e in (0.08, 0.085)]
SPARSE = [run("sparse", k, e * (1 + s), flops=512 + 4096 * k, seconds=0.6 + k / 10)
          for k, e in ((2, 0.064), (1, 0.08), (8, 0.065), (4, 0.061)) for s in (-0.1, 0, 0.1)]  # fmt: skip
ALL = DENSE + LARGE + SPARSE

PICTURES = {
    **{f"all, {coin}": partial(worth_it_svg, ALL, coin) for coin in COINS},
    "one layer, one seed": partial(worth_it_svg, DENSE[:1]),
    "two layers of one cost": partial(worth_it_svg, DENSE + SPARSE[:3]),
    "all errors equal": partial(worth_it_svg, [run("sparse", k, 0.1) for k in (1, 2, 4, 8)], "parameters"),
    "errors near zero": partial(worth_it_svg, [run("sparse", k, 1e-7 * k) for k in (1, 2, 4, 8)], "seconds"),
    "no round number in range": partial(worth_it_svg, [run("dense, equal FLOPs", 0, 0.1, flops=2_800)]),
    "an error that grew without end": partial(worth_it_svg, [run("sparse", 2, 3e12)]),
    "no error at all": partial(worth_it_svg, [run("sparse", 2, 0.0)]),
    "costs far apart": partial(worth_it_svg, [run("sparse", 1, 0.1, flops=100), run("sparse", 2, 3.0, flops=10**7)]),
}


def circles(svg):
    """Middles of the sparse layers' marks, without the one in the legend."""
    return [(float(n.get("cx")), float(n.get("cy"))) for n in ET.fromstring(svg).iter(SVG + "circle")][1:]


@pytest.mark.parametrize("name", PICTURES)
def test_marks_stay_within_the_axes(name):
    assert all(54 <= x <= 454 and 126 <= y <= 346 for x, y in circles(PICTURES[name]()))


@pytest.mark.parametrize("coin", COINS)
def test_a_point_is_the_mean_of_its_runs(coin):
    points = points_of(ALL, coin)
    assert [p.label for p in points] == [
        "dense, equal FLOPs", "dense, equal total", *[f"sparse, k = {k}" for k in (1, 2, 4, 8)]
    ]  # fmt: skip
    two = next(p for p in points if p.label == "sparse, k = 2")
    assert two.cost == pytest.approx({"active FLOPs": 8.704, "parameters": 16.64, "seconds": 800}[coin])
    errors = [r.error for r in SPARSE if r.top_k == 2]
    assert (two.error, two.sd) == pytest.approx((np.mean(errors), np.std(errors, ddof=1)))


def test_marks_stand_where_cost_and_error_put_them():
    places = circles(worth_it_svg(ALL, "active FLOPs"))
    flops, errors = np.log([512 + 4096 * k for k in (1, 2, 4, 8)]), np.array([0.08, 0.064, 0.061, 0.065])
    x, y = np.array(places).T
    assert np.corrcoef(x, flops)[0, 1] == pytest.approx(1, abs=1e-9)
    assert np.corrcoef(y, errors)[0, 1] == pytest.approx(-1, abs=1e-9)
    assert len({x for x, _ in circles(worth_it_svg(ALL, "parameters"))}) == 1


def test_the_best_is_named_in_words_and_changes_with_the_runs():
    assert "lowest mean error: sparse, k = 4, 0.061 ± 0.006" in words(worth_it_svg(ALL))
    assert "lowest mean error: dense, equal total, 0.083 ± 0.004" in words(worth_it_svg(DENSE + LARGE))


def test_every_k_has_its_label_once():
    for coin in COINS:
        assert sorted(w for w in words(worth_it_svg(ALL, coin)) if re.fullmatch(r"k = \d", w)) == [
            "k = 1", "k = 2", "k = 4", "k = 8"
        ]  # fmt: skip


@pytest.mark.parametrize("coin", COINS)
def test_no_label_covers_a_mark_or_a_line(coin):
    root = ET.fromstring(worth_it_svg(ALL, coin))
    labels = [(left, right, y) for node, (left, right, y) in zip(root.iter(SVG + "text"), extents(root), strict=True)
              if re.fullmatch(r"k = \d", node.text)]  # fmt: skip
    dotted = [tuple(map(float, p.split(","))) for n in root.iter(SVG + "polyline") for p in n.get("points").split()]
    x, y = np.array(dotted).T
    middles = [(x.mean(), (y.min() + y.max()) / 2)] if coin == "parameters" else [*zip(x, y, strict=True)]
    along = np.linspace(x.min(), x.max(), 200)
    middles += (
        [] if coin == "parameters" else [*zip(along, np.interp(along, np.sort(x), y[np.argsort(x)]), strict=True)]
    )
    for left, right, base in labels:
        assert not any(
            left < a < right and base - 11 < b < base for a, b in [*circles(worth_it_svg(ALL, coin)), *middles]
        )


def test_labels_of_marks_at_one_cost_keep_the_order_of_the_marks():
    root = ET.fromstring(worth_it_svg(ALL, "parameters"))
    places = {n.text: float(n.get("y")) for n in root.iter(SVG + "text") if re.fullmatch(r"k = \d", n.text)}
    assert sorted(places, key=places.get) == ["k = 1", "k = 8", "k = 2", "k = 4"]


@pytest.mark.parametrize("flops", [*range(1000, 10_001, 100), 30, 2_800_000])
def test_the_axis_of_costs_has_one_to_five_numbers(flops):
    root = ET.fromstring(worth_it_svg([run("dense, equal FLOPs", 0, 0.1, flops=flops)]))
    assert 1 <= sum(n.get("y1") == "346" and n.get("y2") == "351" for n in root.iter(SVG + "line")) <= 5


def test_broken_control_a_point_of_other_runs_would_be_noticed():
    assert circles(worth_it_svg(ALL)) != circles(worth_it_svg(ALL[:-1]))


@pytest.mark.parametrize(
    ("draw", "named"),
    [
        (partial(worth_it_svg, []), "runs = []"),
        (partial(worth_it_svg, ALL, "euros"), "pay = 'euros'"),
        (partial(worth_it_svg, [run("spares", 1, 0.1)]), "kind = 'spares'"),
        (partial(worth_it_svg, [run("sparse", 1, 0.1, seconds=0)], "seconds"), "seconds = 0"),
        (partial(worth_it_svg, [run("sparse", 1, 0.1, flops=-5)]), "flops = -5"),
        (partial(worth_it_svg, [run("sparse", 1, 0.1, parameters=float("inf"))], "parameters"), "parameters = inf"),
        (partial(worth_it_svg, [run("sparse", 1, float("nan"))]), "error = nan"),
        (partial(worth_it_svg, [run("sparse", 1, -0.1)]), "error = -0.1"),
    ],
)
def test_bad_input(draw, named):
    with pytest.raises(ValueError, match="expected") as error:
        draw()
    assert str(error.value).startswith(named)
