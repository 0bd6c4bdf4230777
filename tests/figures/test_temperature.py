"""The pictures of lesson 03 show what `routing` computes, at the extremes too."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from reading import SVG
from reading import words as shown_texts
from scipy.special import entr

from moe_lessons import routing
from moe_lessons.data import worked_example
from moe_lessons.figures.temperature import TAU_RANGE, schedules, schedules_svg, temperature_svg

X, W_G = worked_example()
H = X @ W_G
EIGHT = np.array([1.0, 1.0, 0.0, -1.0, 0.5, 0.3, -0.2, 2.0])
SCHEDULES = ("linear", "geometric", "cosine")
LOGITS = {"worked": H, "eight": EIGHT, "equal": np.zeros(2), "far": np.array([0.0, -1e4, 1e4])}
PICTURES = {
    **{f"{name}, τ = {tau}": partial(temperature_svg, h, tau)
       for name, h in LOGITS.items() for tau in (0.01, 1.0, 100.0)},
    **{f"schedules from {start} to {end} in {steps}": partial(schedules_svg, start, end, steps)
       for start in (0.5, 4.0, 10.0) for end in (0.05, 2.0) for steps in (2, 20, 100)},
}  # fmt: skip


def rows(svg):
    """Return probability, weight and mark of each expert, by the expert's name."""
    words = shown_texts(svg)
    return {words[i]: words[i + 1 : i + 4] for i in range(len(words)) if re.fullmatch(r"E\d", words[i])}


def points(svg):
    """Return the points of every drawn line: one list of (x, y) each."""
    lines = ET.fromstring(svg).iter(SVG + "polyline")
    return [np.array([p.split(",") for p in line.get("points").split()], dtype=float) for line in lines]


# --- temperature --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("h", LOGITS.values(), ids=LOGITS)
@pytest.mark.parametrize("tau", [0.01, 0.5, 1.0, 100.0])
def test_the_table_shows_probabilities_weights_and_selection(h, tau):
    for k in (1, 2, len(h)):
        table, kept = rows(temperature_svg(h, tau, k)), routing.top_k(h, k)[1]
        p, w = routing.softmax(h, tau), routing.gate_weights(h, k, temperature=tau)
        expected = {f"E{i + 1}": [f"{p[i]:.3f}", f"{w[i]:.3f}", "✓" if i in kept else "–"] for i in range(len(h))}
        assert table == expected


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_kept_experts_are_the_same_at_every_temperature(k):
    pictures = [temperature_svg(EIGHT, tau, k) for tau in np.geomspace(*TAU_RANGE, 9)]
    kept = {tuple(name for name, row in rows(svg).items() if row[2] == "✓") for svg in pictures}
    sentences = {next(t for t in shown_texts(svg) if t.startswith("✓ Kept")) for svg in pictures}
    assert len(kept) == len(sentences) == 1
    assert len(set(pictures)) == 9  # the broken control: the rest does change


def test_the_entropy_is_written_and_only_rises():
    for tau in (0.1, 1.0, 10.0):
        svg = temperature_svg(H, tau)
        assert f"Entropy: {entr(routing.softmax(H, tau)).sum():.3f} nats, of at most ln 4 = 1.386." in shown_texts(svg)
    entropy_line = points(temperature_svg(H))[-1]
    assert (np.diff(entropy_line[:, 1]) <= 0).all()  # up is a smaller y
    assert entropy_line[0, 1] - entropy_line[-1, 1] > 50


def test_the_best_falls_and_the_second_first_rises_then_falls():
    best, second, *_ = points(temperature_svg(H))
    assert (np.diff(best[:, 1]) >= 0).all()
    assert second[:, 1].argmin() not in (0, len(second) - 1)


def test_the_line_of_an_expert_is_told_by_its_dashes_too():
    lines = list(ET.fromstring(temperature_svg(EIGHT)).iter(SVG + "polyline"))[:8]
    assert len({line.get("stroke-dasharray") for line in lines}) == 8
    assert len({line.get("stroke") for line in lines}) == 8


# --- schedules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end", "steps"), [(4.0, 0.25, 5), (0.5, 3.0, 9), (2.0, 0.1, 2), (1.0, 1.0, 4)])
def test_schedules_start_and_end_where_they_should(start, end, steps):
    made = schedules(start, end, steps)
    assert tuple(made) == SCHEDULES
    for taus in made.values():
        assert taus.shape == (steps,)
        assert taus[[0, -1]] == pytest.approx([start, end])
    assert made["geometric"] == pytest.approx(np.geomspace(start, end, steps))
    assert np.diff(made["linear"]) == pytest.approx(np.full(steps - 1, (end - start) / (steps - 1)))
    assert made["cosine"] + made["cosine"][::-1] == pytest.approx(np.full(steps, start + end))


def test_cosine_is_flat_at_both_ends():
    steps = np.abs(np.diff(schedules(4, 0.25, 21)["cosine"]))
    assert steps.argmax() in (9, 10)
    assert max(steps[0], steps[-1]) < 0.2 * steps.max()


@pytest.mark.parametrize("start", [0.5, 4.0, 10.0])
@pytest.mark.parametrize("end", [0.05, 2.0])
@pytest.mark.parametrize("steps", [2, 20, 100])
def test_the_schedule_table_is_computed(start, end, steps):
    svg = schedules_svg(start, end, steps)
    words = shown_texts(svg)
    for name, taus in schedules(start, end, steps).items():
        row = words.index(name)
        assert words[row + 1] == f"half-way τ = {schedules(start, end, 3)[name][1]:.3f}"
        assert words[row + 2] == f"{(taus > 1).sum()} of {steps} above τ = 1"
    assert len(points(svg)) == 3


def test_linear_and_cosine_show_the_same_value_half_way():
    words = shown_texts(schedules_svg(10.0, 0.05))
    assert words[words.index("linear") + 1] == words[words.index("cosine") + 1] == "half-way τ = 5.025"


def test_broken_control_another_schedule_draws_another_line():
    linear, geometric, cosine = points(schedules_svg())
    assert not np.allclose(linear, geometric, atol=5)
    assert not np.allclose(linear, cosine, atol=5)


# --- both ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("svg", [temperature_svg(H), schedules_svg()], ids=["temperature", "schedules"])
def test_the_description_has_numbers(svg):
    assert len(re.findall(r"\d", ET.fromstring(svg).find(SVG + "desc").text)) > 10


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (partial(temperature_svg, H, 0), "temperature = 0"),
        (partial(temperature_svg, H, 1000.0), "temperature = 1000.0"),
        (partial(temperature_svg, H, 1.0, 5), "k = 5"),
        (partial(temperature_svg, [1.0]), "logits = [1.0]"),
        (partial(temperature_svg, np.zeros((2, 3))), "logits = array"),
        (partial(temperature_svg, [0.0, -np.inf]), "logits = [0.0, -inf]"),
        (partial(temperature_svg, np.zeros(9)), "logits = array"),
        (partial(schedules, 0, 1, 5), "start = 0"),
        (partial(schedules, 1, np.inf, 5), "end = inf"),
        (partial(schedules, 1, 2, 1), "steps = 1"),
        (partial(schedules, 1, 2, 2.0), "steps = 2.0"),
        (partial(schedules_svg, 1, 2, 101), "steps = 101"),
        (partial(schedules_svg, 1000, 2, 10), "start = 1000"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
