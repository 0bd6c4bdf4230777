"""The balancing simulator's picture: bands and lines against the numbers they come from, and nothing overlapping."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from reading import SVG, points, words

from moe_lessons.experiments.balancing_runs import Result
from moe_lessons.figures.balancing import balancing_svg, idle_strength

STEPS = np.arange(0, 301, 15)


def made_up(name, label, symbol="", coefficient=0.0, seed=0, experts=8, concentration=1.0):
    rng = np.random.default_rng(seed)
    load = rng.dirichlet(np.full(experts, concentration), size=(len(STEPS), 3))  # (F, S, N)
    error = np.linspace(1.3, 0.2, len(STEPS))[:, None] + 0.02 * rng.random((len(STEPS), 3))  # (F, S)
    return Result(name, label, symbol, coefficient, STEPS, load, error, error)


RUNS = {
    ("none", 0.0): made_up("none", "no balancing", concentration=0.1),
    ("switch", 0.01): made_up("switch", "Switch loss", "α", 0.01, 1),
    ("switch", 1.0): made_up("switch", "Switch loss", "α", 1.0, 2, concentration=100),
    ("importance_load", 0.001): made_up("importance_load", "importance + load", "w", 0.001, 3),
}
COLLAPSED = made_up("none", "no balancing")
COLLAPSED.load[:] = np.eye(8)[0]
TWO = {("own", 0.0): made_up("own", "two experts", experts=2)}

PICTURES = {
    "default": partial(balancing_svg, RUNS, "none", 1, 300),
    "first step": partial(balancing_svg, RUNS, "none", 1, 0),
    "weak": partial(balancing_svg, RUNS, "switch", 1, 150),
    "strong": partial(balancing_svg, RUNS, "switch", 4, 300),
    "longest name": partial(balancing_svg, RUNS, "importance_load", 1, 300),
    "all to one": partial(balancing_svg, {("none", 0.0): COLLAPSED}, "none", 1, 300),
    "two experts, no baseline": partial(balancing_svg, TWO, "own", 1, 300),
}


@pytest.mark.parametrize(("strength", "coefficient"), [(1, "0.01"), (2, "1"), (4, "1")])
def test_the_strength_counts_a_method_s_coefficients_and_stops_at_the_last(strength, coefficient):
    svg = balancing_svg(RUNS, "switch", strength, 31)
    state = ET.fromstring(svg).get("data-state")
    assert state.startswith(f"method=switch coefficient={coefficient} step=30 dead: ")
    assert f"Switch loss, α = {coefficient}" in words(svg)


@pytest.mark.parametrize("frame", [0, 7, 20])
def test_the_numbers_are_those_of_the_step(frame):
    result = RUNS["none", 0.0]
    svg = balancing_svg(RUNS, "none", 1, int(STEPS[frame]))
    load = result.load[frame]
    violation = (8 * load.max(axis=1) - 1).mean()
    dead = (load < 0.01 / 8).sum(axis=1).mean()
    expected = f"means: MaxVio {violation:.2f}, dead {dead:.1f}, error {result.error[frame].mean():.2f}"
    assert f"after {STEPS[frame]} of 300 steps; {expected}" in words(svg)
    assert "after" in ET.fromstring(svg).find(SVG + "desc").text
    named = [f"E{i + 1}" for i in range(8) if load[0, i] < 0.01 / 8]
    assert f"run 1, under 1 % of the mean load (dead: {', '.join(named) or 'none'})" in words(svg)


def test_the_bands_are_as_thick_as_the_loads():
    bands = [points(n) for n in ET.fromstring(balancing_svg(RUNS, "switch", 1, 0)).iter(SVG + "polygon")]
    F, load = len(STEPS), RUNS["switch", 0.01].load[:, 0]  # (F, N), of the first run
    thick = np.stack([band[F:][::-1, 1] - band[:F, 1] for band in bands], axis=1)  # (F, N), in the picture's units
    assert thick / 190 == pytest.approx(load, abs=2e-3)
    other = RUNS["switch", 0.01].load[:, 1]
    assert thick / 190 != pytest.approx(other, abs=2e-3)


@pytest.mark.parametrize("name", PICTURES)
def test_every_expert_is_named_once_in_order_beside_its_band_or_next_to_it(name):
    root = ET.fromstring(PICTURES[name]())
    N = 2 if "two" in name else 8
    named = [n for n in root.iter(SVG + "text") if re.fullmatch(r"E\d", n.text)]
    assert [n.text for n in named] == [f"E{i + 1}" for i in range(N)]
    heights = np.array([float(n.get("y")) for n in named])
    assert (np.diff(heights) <= -14.9).all()
    bands = [points(n) for n in root.iter(SVG + "polygon")]
    F = len(STEPS)
    middles = np.array([(band[F - 1, 1] + band[F, 1]) / 2 for band in bands])
    thick = np.array([band[F, 1] - band[F - 1, 1] for band in bands])
    if (thick > 16).all():  # room for every name at its own band
        assert heights - 5 == pytest.approx(middles, abs=0.2)
    colours = [n.get("fill") for n in root.iter(SVG + "rect") if n.get("fill-opacity") == "0.55"]
    assert colours == [n.get("fill") for n in root.iter(SVG + "polygon")]


def test_the_strength_is_idle_where_a_method_has_one_coefficient():
    runs = {("none", 0.0): None, ("switch", 0.01): None, ("switch", 0.1): None}
    assert idle_strength(runs, "none", strength=1, step=0) == {"strength": "this method has only one"}
    assert idle_strength(runs, "switch", strength=1, step=0) == {}


def test_the_baseline_is_drawn_dashed_beside_others_only():
    def dashed(name):
        return sum("6 4" in (n.get("stroke-dasharray") or "") for n in ET.fromstring(PICTURES[name]()).iter())

    assert dashed("weak") == 3  # two panels and the key
    assert dashed("default") == dashed("two experts, no baseline") == 0


def test_a_picture_is_small_enough_to_follow_a_slider():
    assert len(PICTURES["weak"]()) < 30_000


@pytest.mark.parametrize(
    ("draw", "named"),
    [
        (partial(balancing_svg, {}, "none"), "runs = {}"),
        (partial(balancing_svg, RUNS, "other"), "method = 'other'"),
        (partial(balancing_svg, RUNS, "none", 0), "strength = 0"),
        (partial(balancing_svg, RUNS, "none", 1, 301), "step = 301"),
        (partial(balancing_svg, RUNS, "none", 1, -1), "step = -1"),
    ],
)
def test_bad_input(draw, named):
    with pytest.raises(ValueError, match="expected") as error:
        draw()
    assert str(error.value).startswith(named)
