"""The queues of lesson 10 are served a second time here, by hand, and the picture must show just that."""

import math
import re
import xml.etree.ElementTree as ET
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from reading import SVG, extents, state, words

from moe_lessons.figures import queue
from moe_lessons.figures.queue import batch, queue_of, queue_svg

PICTURES = {
    "default": queue_svg,
    "minimum": partial(queue_svg, 0.25, "position", 1, 0.0, 0),
    "maximum": partial(queue_svg, 2.0, "probability", 2, 6.0, 40),
    "two choices, by position": partial(queue_svg, 1.0, "position", 2, 1.0, 20),
    "two choices, few places": partial(queue_svg, 0.25, "probability", 2, 6.0, 3),
    "everyone at E1": partial(queue_svg, 1.25, "position", 1, 50.0, 1),
    "more places than tokens": partial(queue_svg, 20.0, "position", 2, 0.0, 5),
}
SETTINGS = list(product((0.25, 1.0, 1.25), ("position", "probability"), (1, 2), (0.0, 3.0), (0, 20)))


def serve(factor, priority, k, favour, seed):
    """Who is kept, by going through the queue one by one: {(token, choice): expert}."""
    h = np.random.default_rng(seed).standard_normal((12, 4))
    h[:, 0] += favour
    p = np.exp(h) / np.exp(h).sum(axis=1, keepdims=True)
    best = np.argsort(-h, axis=1, kind="stable")[:, :k]
    line = [(t, c) for c in range(k) for t in range(12)]
    if priority == "probability":
        line.sort(key=lambda who: -p[who[0], best[who]])
    free, kept = [math.ceil(factor * k * 12 / 4)] * 4, {}
    for who in line:
        if free[best[who]]:
            free[best[who]] -= 1
            kept[who] = int(best[who])
    return kept


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_those_are_kept_who_find_a_place_when_served_one_by_one(settings):
    crowd = batch(*settings)
    kept = serve(*settings)
    assert {(int(t), int(c)) for t, c in np.argwhere(crowd.kept)} == set(kept)
    assert all(crowd.selected[who] == expert for who, expert in kept.items())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_in_each_column_the_kept_come_first(settings):
    crowd = batch(*settings)
    for expert in range(4):
        served = [bool(crowd.kept[who]) for who in queue_of(crowd, expert, settings[1])]
        assert served == sorted(served, reverse=True)
        assert sum(served) == min(len(served), crowd.capacity)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_words_count_what_happens(settings):
    svg, kept = queue_svg(*settings), serve(*settings)
    k, capacity = settings[2], math.ceil(settings[0] * settings[2] * 3)
    lost, without = 12 * k - len(kept), [t for t in range(12) if not any(t == who[0] for who in kept)]
    assert sum(w.endswith(" out") for w in words(svg)) == lost
    assert any(w.startswith(f"dropped: {lost} of {12 * k} ") for w in words(svg))
    assert any(w.endswith(f"empty places: {4 * capacity - len(kept)}") for w in words(svg))
    assert words(svg)[-1].endswith(": " + (", ".join(f"t{t + 1}" for t in without) or "none"))
    assert state(svg)["capacity"] == str(capacity)
    assert state(svg)["untouched"] == str(len(without))
    strip = words(svg)[words(svg).index("Which experts compute each token (1 is E1):") + 1 :][1:24:2]
    expected = [sorted(e + 1 for who, e in kept.items() if who[0] == t) for t in range(12)]
    assert strip == ["+".join(map(str, e)) if e else "out" for e in expected]


def test_broken_control_the_other_priority_would_be_noticed():
    by_position = serve(1.0, "position", 1, 1.0, 20)
    assert set(by_position) != {(int(t), int(c)) for t, c in np.argwhere(batch(1.0, "probability", 1, 1.0, 20).kept)}


def test_broken_control_a_queue_in_the_wrong_order_would_be_noticed():
    crowd = batch(1.0, "probability", 1, 1.0, 20)
    served = [bool(crowd.kept[who]) for who in queue_of(crowd, 0, "position")]
    assert served != sorted(served, reverse=True)


@pytest.mark.parametrize("name", PICTURES)
def test_no_text_leaves_its_box(name):
    root = ET.fromstring(PICTURES[name]())
    boxes = [n for n in root.iter(SVG + "rect") if n.get("stroke")]
    assert boxes
    for left, right, y in extents(root):
        for box in boxes:
            x, top = float(box.get("x")), float(box.get("y"))
            if x <= left <= x + float(box.get("width")) and top < y < top + float(box.get("height")):
                assert right <= x + float(box.get("width")) + 1


def test_a_dropped_token_is_told_by_more_than_colour():
    root = ET.fromstring(queue_svg(1.0, "position", 1, 6.0, 20))
    dashed = sum(node.get("stroke-dasharray") == "4 3" for node in root.iter(SVG + "rect"))
    lost = int(state(queue_svg(1.0, "position", 1, 6.0, 20))["dropped"])
    assert dashed == 2 * lost  # in the queue and in the list of tokens
    assert lost == 9
    assert len([w for w in words(queue_svg(1.0, "position", 1, 6.0, 20)) if re.fullmatch(r"t\d+ \S+ out", w)]) == lost


def test_the_picture_needs_no_torch_before_it_is_drawn():
    source = Path(queue.__file__).read_text(encoding="utf-8")
    assert not re.findall(r"^(?:import|from) (?:torch|moe_lessons\.balancing)", source, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"factor": 0.0}, "factor = 0.0"),
        ({"factor": np.nan}, "factor"),
        ({"priority": "random"}, "priority = 'random'"),
        ({"k": 3}, "k = 3"),
        ({"k": 0}, "k = 0"),
        ({"favour": np.inf}, "favour = inf"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_bad_input(arguments, named):
    with pytest.raises(ValueError, match="expected") as error:
        queue_svg(**arguments)
    assert str(error.value).startswith(named)
