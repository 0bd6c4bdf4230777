"""The training film: a pure function of film and step, its regions against the router, its words against numbers."""

import re
import xml.etree.ElementTree as ET
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import SVG, words

from moe_lessons.figures.plane import region_of
from moe_lessons.figures.training_film import training_film_svg


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
    "first": partial(training_film_svg, FILM, 0),
    "middle": partial(training_film_svg, FILM, 20),
    "last": partial(training_film_svg, FILM, 40),
    "between two frames": partial(training_film_svg, FILM, 27),
    "two experts": partial(training_film_svg, a_film(N=2), 40),
    "eight experts": partial(training_film_svg, a_film(N=8), 40),
    "one cluster": partial(training_film_svg, a_film(clusters=1), 10),
    "all prototypes at zero": partial(training_film_svg, a_film(scale=0.0), 10),
    "one frame": partial(training_film_svg, a_film(frames=2), 0),
}


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
    assert svg.count("Tokens: E1") == svg.count(f'data-state="step={10 * frame}') == 1
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
