"""The compass: exact regions, the same numbers as `route`, and a state that is always valid."""

import math
import re

import numpy as np
import pytest
import traitlets

from moe_lessons.routing import route
from moe_lessons.widgets.compass import EXTENT, PrototypeCompass
from moe_lessons.widgets.javascript import source

COMPASS = source("routing.js", "dom.js", "compass.js")
FUNCTIONS = (
    "regions, area, reading, explanation, coordinateFrom, countFrom, stretched, nearest, angleBetween, labelPoint"
)
SQUARE = (2 * EXTENT) ** 2


def random_prototypes(count, seed=0):
    """Draw lists of N prototypes; some lists hold equal ones, some a zero one, some lie on a grid."""
    rng = np.random.default_rng(seed)
    drawn = []
    for case in range(count):
        w = rng.uniform(-EXTENT, EXTENT, size=(int(rng.integers(2, 7)), 2))  # (N, 2)
        if case % 3 == 1:
            w = w.round()  # prototypes in line with each other and the origin
        if case % 5 == 1:
            w[-1] = w[0]
        if case % 7 == 1:
            w[0] = 0
        drawn.append(w)
    return drawn


def inside(polygon, points):
    """Tell which points lie in a convex polygon with its corners counter-clockwise. Returns (P,) booleans."""
    corners = np.reshape(polygon, (-1, 2))  # (C, 2)
    if len(corners) == 0:
        return np.zeros(len(points), dtype=bool)
    edges = np.roll(corners, -1, axis=0) - corners  # (C, 2)
    offsets = points[:, None, :] - corners  # (P, C, 2)
    return (edges[:, 0] * offsets[..., 1] - edges[:, 1] * offsets[..., 0] >= -1e-12).all(axis=1)


def misplaced_points(polygons, prototypes, rng):
    """Count random points, away from borders, that do not lie in the polygon of the first choice, and there only."""
    points = rng.uniform(-EXTENT, EXTENT, size=(200, 2))  # (P, 2)
    h = points @ prototypes.T  # (P, N)
    first = np.unique(prototypes, axis=0)  # equal prototypes tie everywhere: compare different ones only
    runners_up = np.sort(points @ first.T, axis=1)
    clear = np.ones(len(points), dtype=bool) if len(first) == 1 else runners_up[:, -1] - runners_up[:, -2] > 1e-6
    found = np.array([inside(polygon, points) for polygon in polygons]).T  # (P, N)
    expected = np.eye(len(prototypes), dtype=bool)[h.argmax(axis=1)]  # (P, N); argmax takes the lower of equals
    return int((found != expected)[clear].any(axis=1).sum())


def region_faults(module, cases):
    """Count misplaced points, and lists of prototypes whose polygons do not tile the square."""
    rng = np.random.default_rng(1)
    drawn = module.map("regions", [[w.tolist(), EXTENT] for w in cases])
    misplaced = sum(misplaced_points(polygons, w, rng) for polygons, w in zip(drawn, cases, strict=True))
    areas = [sum(module.map("area", [[polygon] for polygon in polygons])) for polygons in drawn]
    return misplaced, sum(abs(total - SQUARE) > 1e-6 for total in areas)


def test_regions_hold_the_points_that_their_expert_wins_and_tile_the_square(load_module):
    assert region_faults(load_module(COMPASS, FUNCTIONS), random_prototypes(300)) == (0, 0)


@pytest.mark.parametrize(
    ("right", "wrong", "still_tile"),
    [
        ("const kept = here >= 0", "const kept = here <= 0", True),  # the regions of the lowest logit
        ("here / (here - there)", "0.5", False),  # cuts edges in the middle
        ("if (!firstOfEqual) return [];", "", False),  # equal prototypes share a region
    ],
)
def test_the_comparison_notices_broken_regions(load_module, right, wrong, still_tile):
    assert COMPASS.count(right) == 1
    broken = load_module(COMPASS.replace(right, wrong), FUNCTIONS)
    misplaced, gaps = region_faults(broken, random_prototypes(60))
    assert misplaced > 0
    assert (gaps == 0) == still_tile


def test_a_prototype_inside_the_others_hull_has_no_region(load_module):
    (polygons,) = load_module(COMPASS, FUNCTIONS).map("regions", [[[[2, 0], [-1, 2], [-1, -2], [0.1, 0.1]], 3]])
    assert polygons[3] == []
    assert all(polygons[:3])


def test_the_name_of_a_region_stands_inside_it(load_module):
    module = load_module(COMPASS, FUNCTIONS)
    cases = random_prototypes(200, seed=4)
    for w, polygons in zip(cases, module.map("regions", [[w.tolist(), EXTENT] for w in cases]), strict=True):
        spaces = module.map("area", [[polygon] for polygon in polygons])
        named = [polygon for polygon, space in zip(polygons, spaces, strict=True) if space > 0.2]
        spots = module.map("labelPoint", [[polygon, EXTENT, w.tolist()] for polygon in named])
        assert all(inside(p, np.array([spot]))[0] for p, spot in zip(named, spots, strict=True))


def test_the_numbers_are_those_of_route(load_module):
    rng = np.random.default_rng(3)
    states = [
        {"token": rng.uniform(-3, 3, 2).tolist(), "prototypes": w.tolist(), "k": int(rng.integers(1, len(w) + 1))}
        for w in random_prototypes(200, seed=2)
    ]
    for state, now in zip(states, load_module(COMPASS, FUNCTIONS).map("reading", [[s] for s in states]), strict=True):
        trace = PrototypeCompass(**state).trace
        np.testing.assert_allclose(now["logits"], trace.logits, rtol=0, atol=1e-12)
        np.testing.assert_allclose(now["probs"], trace.probs, rtol=0, atol=1e-12)
        lengths, angles = np.array(now["lengths"]), np.array(now["angles"], dtype=float)
        product = now["tokenLength"] * lengths * np.cos(np.radians(np.nan_to_num(angles)))
        np.testing.assert_allclose(product, trace.logits, rtol=0, atol=1e-12)
        if len(np.unique(trace.logits.round(9))) == len(trace.logits):  # away from ties
            assert now["selected"] == trace.selected.tolist()
            np.testing.assert_allclose(now["weights"], trace.weights, rtol=0, atol=1e-12)


def test_angles(load_module):
    pairs = [
        [[1, 0], [0, 2]],
        [[1, 1], [3, 3]],
        [[1, 0], [-2, 0]],
        [[1, 0], [1, -1]],
        [[0, 0], [1, 0]],
        [[1, 0], [0, 0]],
    ]
    found = load_module(COMPASS, FUNCTIONS).map("angleBetween", pairs)
    assert found == [pytest.approx(90), pytest.approx(0), pytest.approx(180), pytest.approx(45), None, None]


@pytest.mark.parametrize(
    ("token", "prototypes", "said"),
    [
        ((0.6, 0.7), ((1.0, 1.2), (2.8, 0.4)), r"E1 is better aligned .*but E2 wins: length 2\.83 against 1\.56 "),
        ((0.6, 0.7), ((1.0, 1.2), (2.8, 0.4)), r"gives logit 1\.96 against 1\.44\.$"),
        ((1, 0), ((1, 0), (0, 1)), r"E1 wins, and none is better aligned with x \(0\.0°\)"),
        ((1, 0), ((1, 0), (2, 0)), r"E2 wins, and none is better aligned"),
        ((1, 0), ((1, 0), (1, 2), (0, 1)), r"E1, E2 have the same logit: the tie goes to E1"),
        ((0, 0), ((1, 0), (2, 0)), r"x = 0: every logit is 0"),
        ((1, 0), ((-1, 0), (0, 0)), r"E2 wins with logit 0: every other logit is negative"),
        ((1, 0), ((-3, 1), (-0.2, 0)), r"E1 is better aligned .*but E2 wins: .*logit −0\.20 against −3\.00"),
    ],
)
def test_the_sentence_says_who_wins_and_why(load_module, token, prototypes, said):
    module = load_module(COMPASS, f"{FUNCTIONS}, told: (state) => explanation(reading(state))")
    (sentence,) = module.map("told", [[{"token": token, "prototypes": prototypes, "k": 1}]])
    assert re.search(said, sentence)
    assert "NaN" not in sentence


@pytest.mark.parametrize("text", ["", " ", "-", "1e", "abc", "NaN", "Infinity", "1,5"])
def test_what_is_no_number_leaves_the_old_value(load_module, text):
    module = load_module(COMPASS, FUNCTIONS)
    assert module.map("coordinateFrom", [[text, 3, 0.7]]) == [0.7]
    assert module.map("countFrom", [[text, 4, 2]]) == [2]


def test_numbers_are_moved_into_their_range(load_module):
    module = load_module(COMPASS, FUNCTIONS)
    assert module.map("coordinateFrom", [["1.25", 3, 0], ["99", 3, 0], ["-1e9", 3, 0]]) == [1.25, 3, -3]
    assert module.map("countFrom", [["2", 4, 1], ["9", 4, 1], ["0", 4, 3], ["2.5", 4, 3]]) == [2, 4, 1, 3]


def test_stretching_keeps_the_direction_and_stays_in_the_plane(load_module):
    module = load_module(COMPASS, FUNCTIONS)
    cases = [[[0.6, 0.7], 2, 3], [[2, -1], 2, 3], [[0, 0], 2, 3], [[3, 3], 0.5, 3], [[-3, 1], 2, 3]]
    assert module.map("stretched", cases) == [[1.2, 1.4], [3, -1.5], [0, 0], [1.5, 1.5], [-3, 1]]


def test_a_press_takes_the_nearest_tip_within_reach(load_module):
    tips = [[0, 0], [1, 0], [1, 0]]
    cases = [[[0.1, 0], tips, 0.3], [[0.9, 0], tips, 0.3], [[0.5, 0], tips, 0.3]]
    assert load_module(COMPASS, FUNCTIONS).map("nearest", cases) == [0, 1, -1]


def test_the_trace_is_that_of_route():
    compass = PrototypeCompass((1.0, -0.5), ((1, 2), (0.5, -1), (-2, 0)), 2)
    expected = route([1.0, -0.5], [[1, 0.5, -2], [2, -1, 0]], 2)
    assert repr(compass.trace) == repr(expected)
    compass.token = np.array([-1.0, 0.0])
    assert compass.trace.selected.tolist() == route([-1.0, 0.0], [[1, 0.5, -2], [2, -1, 0]], 2).selected.tolist()


def test_at_the_start_the_best_aligned_prototype_loses():
    compass = PrototypeCompass()
    x, w = np.array(compass.token), np.array(compass.prototypes)  # (2,), (N, 2)
    cosines = w @ x / np.linalg.norm(w, axis=1) / np.linalg.norm(x)  # (N,)
    assert cosines.argmax() == 0
    assert compass.trace.selected[0] == 1


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"token": (1, 2, 3)}, r"token = \(1, 2, 3\): expected two numbers"),
        ({"token": 1.0}, r"token = 1\.0: expected an array"),
        ({"token": ("a", "b")}, "token = .*real numbers"),
        ({"token": (math.nan, 0)}, r"token\[0\] = nan: expected a finite number"),
        ({"token": (3.1, 0)}, r"token = \(3\.1, 0\): expected coordinates from -3 to 3"),
        ({"token": None}, "token = None"),
        ({"prototypes": [(1, 2)]}, r"prototypes = .*expected 2 to 6 pairs"),
        ({"prototypes": [(1, 2)] * 7}, r"prototypes = .*expected 2 to 6 pairs"),
        ({"prototypes": [(1, 2, 3), (1, 2, 3)]}, r"prototypes = .*expected 2 to 6 pairs"),
        ({"prototypes": [(1, 2), (3,)]}, r"prototypes = .*every row of the same length"),
        ({"prototypes": []}, "prototypes = "),
        ({"prototypes": [(1, math.inf), (0, 0)]}, r"prototypes\[0, 1\] = inf: expected a finite number"),
        ({"prototypes": [(1, -4), (0, 0)]}, "prototypes = .*expected coordinates from -3 to 3"),
        ({"k": 0}, "k = 0: expected a whole number from 1 to 4"),
        ({"k": 5}, "k = 5: expected a whole number from 1 to 4"),
        ({"k": 1.5}, r"k = 1\.5: expected a whole number"),
        ({"k": True}, "k = True: expected a whole number"),
    ],
)
def test_bad_state_is_refused_and_changes_nothing(bad, said):
    with pytest.raises(ValueError, match=said):
        PrototypeCompass(**bad)
    compass = PrototypeCompass()
    before = repr(compass.trace)
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=said):
        setattr(compass, name, value)
    with pytest.raises((ValueError, traitlets.TraitError), match=said):
        compass.set_state({name: value})  # as the browser would send it
    assert repr(compass.trace) == before


def test_k_and_the_number_of_prototypes_are_checked_against_each_other():
    compass = PrototypeCompass(k=3)
    with pytest.raises(ValueError, match="k = 3: expected a whole number from 1 to 2"):
        compass.prototypes = [(1, 2), (2, 1)]
    assert len(compass.prototypes) == 4
    compass.set_state({"prototypes": [[1, 2], [2, 1]], "k": 2})
    assert (len(compass.prototypes), compass.k) == (2, 2)


def test_the_browser_gets_plain_lists_and_can_go_back_to_the_start():
    compass = PrototypeCompass(np.array([1, 0]), np.array([[1, 2], [2, 1]]), 1)
    compass.token = (0, 1)
    state = compass.get_state(["token", "prototypes", "k", "initial", "extent"])
    assert state["token"] == [0.0, 1.0]
    assert state["initial"] == {"token": [1.0, 0.0], "prototypes": [[1.0, 2.0], [2.0, 1.0]], "k": 1}
    assert state["extent"] == EXTENT


def test_the_still_picture_shows_the_present_numbers():
    compass = PrototypeCompass()
    compass.token = (-1.5, 0.25)
    svg, words = compass.still()
    assert words == "Token x = (−1.5, 0.25), k = 2."
    assert all(f"{h:.3f}".replace("-", "−") in svg for h in compass.trace.logits)
