"""The training film: a pure function of film and step, its regions against the router, its words against numbers."""

import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_lessons.figures.training_film import region_of, training_film_svg

SVG = "{http://www.w3.org/2000/svg}"


def a_film(N=4, clusters=4, frames=5, T=300, seed=0, scale=1.0):
    """Numbers of the right shapes, as `router_training.Film` holds them; nothing is trained."""
    rng = np.random.default_rng(seed)
    x, W_g = rng.normal(size=(T, 2)), scale * rng.normal(size=(frames, 2, N))
    selected = (x @ W_g).argmax(axis=-1)  # (F, T)
    return SimpleNamespace(
        x=x, cluster=rng.integers(clusters, size=T), means=rng.normal(size=(clusters, 2)), W_g=W_g, selected=selected,
        loss_name="error, share of the variance", steps=10 * np.arange(frames),
        load=np.stack([np.bincount(row, minlength=N) / T for row in selected]),
        entropy=rng.uniform(0.1, np.log(N), frames), loss=np.linspace(1.3, 0.1, frames),
        information=rng.uniform(0, 1.3, frames),
    )  # fmt: skip


FILM = a_film()
PICTURES = {
    "first": (FILM, 0),
    "middle": (FILM, 20),
    "last": (FILM, 40),
    "between two frames": (FILM, 27),
    "two experts": (a_film(N=2), 40),
    "eight experts": (a_film(N=8), 40),
    "one cluster": (a_film(clusters=1), 10),
    "all prototypes at zero": (a_film(scale=0.0), 10),
    "one frame": (a_film(frames=2), 0),
}


def words(svg):
    return [node.text for node in ET.fromstring(svg).iter(SVG + "text")]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_well_formed_and_says_what_it_shows(name):
    svg = training_film_svg(*PICTURES[name])
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("data-state").startswith("step=")
    assert len(root.find(SVG + "title").text) > 10
    assert "Tokens: E1" in root.find(SVG + "desc").text
    assert "nan" not in svg.lower()
    assert svg == training_film_svg(*PICTURES[name])


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_reaches_beyond_the_picture_and_no_two_lines_of_words_overlap(name):
    root = ET.fromstring(training_film_svg(*PICTURES[name]))
    width, height = map(float, root.get("viewBox").split()[2:])
    texts = list(extents(root))
    for i, (left, right, y, outlined) in enumerate(texts):
        assert -1 <= left <= right <= width + 1
        assert 10 <= y <= height
        for other_left, other_right, other_y, other_outlined in texts[:i]:
            apart = abs(y - other_y) > 10 or right <= other_left or other_right <= left
            assert apart or (outlined and other_outlined)
    for node in root.iter(SVG + "rect"):
        assert float(node.get("x", 0)) + float(node.get("width")) <= width
    for node in root.iter(SVG + "polygon"):
        points = np.array(re.findall(r"-?[\d.]+", node.get("points")), dtype=float)
        assert points.min() >= 0
        assert points.max() <= height


def extents(root):
    """Left end, right end, baseline of each text in a wide sans-serif, and whether it is a name on the plane."""
    for node in root.iter(SVG + "text"):
        per_letter = 0.57 if node.get("font-weight") == "bold" else 0.53
        length = len(node.text) * per_letter * float(node.get("font-size"))
        left = float(node.get("x")) - {"start": 0, "middle": 0.5, "end": 1}[node.get("text-anchor")] * length
        yield left, left + length, float(node.get("y")), node.get("paint-order") == "stroke"


@given(seed=st.integers(0, 10_000), N=st.integers(2, 8), length=st.floats(0.01, 100))
def test_a_region_is_where_its_expert_has_the_largest_logit_whatever_the_token_is_long(seed, N, length):
    rng = np.random.default_rng(seed)
    W_g, angles = rng.normal(size=(2, N)), rng.uniform(0, 2 * np.pi, 50)
    x = length * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert region_of(angles, W_g).tolist() == (x @ W_g).argmax(axis=1).tolist()


def test_broken_control_regions_of_another_router_differ():
    angles = np.linspace(0, 6, 50)
    assert region_of(angles, FILM.W_g[0]).tolist() != region_of(angles, FILM.W_g[1]).tolist()


@pytest.mark.parametrize(("step", "frame"), [(0, 0), (9, 0), (10, 1), (27, 2), (40, 4)])
def test_a_step_shows_the_last_measurement_before_it(step, frame):
    svg = training_film_svg(FILM, step)
    shown = words(svg)
    assert f"step {10 * frame} of 40" in shown
    assert f"loss {FILM.loss[frame]:.3f}" in shown
    assert f"entropy {FILM.entropy[frame]:.3f} nats" in shown
    assert f"information {FILM.information[frame]:.3f}" in shown
    assert [word for word in shown if re.fullmatch(r"\d+%", word)] == [f"{share:.0%}" for share in FILM.load[frame]]


@pytest.mark.parametrize(("step", "count"), [(0, 1), (20, 3), (40, 5)])
def test_the_curves_end_at_the_step(step, count):
    lines = ET.fromstring(training_film_svg(FILM, step)).iter(SVG + "polyline")
    assert [len(line.get("points").split()) for line in lines] == [count] * 3


def test_the_shape_of_a_token_is_its_cluster_and_the_colour_its_expert():
    film = a_film(clusters=1)
    moved = SimpleNamespace(**{**vars(film), "cluster": np.ones_like(film.cluster)})
    circles, squares = training_film_svg(film, 0).count('r="3.2"'), training_film_svg(moved, 0).count('r="3.2"')
    assert circles > 100
    assert squares == 1  # the legend's
    other = SimpleNamespace(**{**vars(film), "selected": np.zeros_like(film.selected)})
    assert training_film_svg(other, 0).count("#E69F00") < training_film_svg(film, 0).count("#E69F00")


def test_the_bars_are_the_loads():
    root = ET.fromstring(training_film_svg(FILM, 40))
    bars = [float(n.get("width")) for n in root.iter(SVG + "rect") if n.get("fill", "").startswith("#")]
    assert np.array(bars) / sum(bars) == pytest.approx(FILM.load[-1], abs=1e-3)


def arrows(svg):
    """Length of each prototype's arrow, in the picture's units."""
    lines = [n.attrib for n in ET.fromstring(svg).iter(SVG + "line") if n.get("stroke-width") == "2.5"]
    ends = np.array([[float(line[name]) for name in ("x1", "x2", "y1", "y2")] for line in lines[: FILM.load.shape[1]]])
    return np.hypot(ends[:, 1] - ends[:, 0], ends[:, 3] - ends[:, 2])


def test_arrows_are_on_the_tokens_scale_so_two_films_can_be_compared():
    short, long = a_film(scale=0.2), a_film(scale=0.2)
    long.W_g[-1] *= 2.5  # only the last frame differs
    assert arrows(training_film_svg(short, 0)) == pytest.approx(arrows(training_film_svg(long, 0)))
    assert arrows(training_film_svg(long, 40)) == pytest.approx(2.5 * arrows(training_film_svg(short, 40)), abs=0.01)
    reach = np.ceil(2.1 * np.abs(short.x[:160]).max()) / 2
    expected = np.linalg.norm(short.W_g[0], axis=0) * 292 / 2 / reach
    assert arrows(training_film_svg(short, 0)) == pytest.approx(expected, abs=0.01)


def test_arrows_that_would_leave_the_square_are_shortened_alike():
    film = a_film(scale=30.0)
    found, lengths = arrows(training_film_svg(film, 40)), np.linalg.norm(film.W_g[-1], axis=0)
    assert found.max() < 0.41 * 292
    assert found / lengths == pytest.approx(np.full(4, found[0] / lengths[0]), rel=1e-2)


def test_the_colours_of_experts_are_used_for_experts_alone():
    curves = list(ET.fromstring(training_film_svg(FILM, 40)).iter(SVG + "polyline"))
    assert not any(curve.get("stroke").startswith("#") for curve in curves)


def test_a_picture_is_small_enough_to_follow_a_slider():
    assert len(training_film_svg(FILM, 40)) < 60_000


@pytest.mark.parametrize("step", [-1, 41, float("nan")])
def test_bad_input(step):
    with pytest.raises(ValueError, match="expected") as error:
        training_film_svg(FILM, step)
    assert str(error.value).startswith("step = ")
