"""The shared binding: every control redraws, errors are sentences, and a page without a kernel sees a picture."""

import pytest

from moe_lessons.data import worked_example
from moe_lessons.figures.still import alternative
from moe_lessons.figures.trace import trace_svg
from moe_lessons.widgets.live import Live, choice, slider


def square(x):
    if x > 3:
        raise ValueError("x = 4: expected at most 3")
    return f"<svg data-state='{x * x}'></svg>"


def test_a_moved_slider_draws_anew():
    live = Live(square, x=slider("x", 1, 0, 4, 1))
    assert "'1'" in live.canvas.value
    live.controls["x"].value = 3
    assert "'9'" in live.canvas.value


def test_a_value_error_is_shown_as_a_sentence_and_the_next_move_recovers():
    live = Live(square, x=slider("x", 4, 0, 4, 1))
    assert "expected at most 3" in live.canvas.value
    assert "role='alert'" in live.canvas.value
    live.controls["x"].value = 2
    assert "'4'" in live.canvas.value


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        Live(lambda x: 1 / 0, x=slider("x", 1, 0, 2, 1))


def test_the_still_picture_is_the_present_one_and_says_where_the_controls_stand():
    live = Live(
        lambda x, **_: square(x),
        x=slider("x", 2, 0, 4, 1),
        way=choice("form", {"A": "a"}),
        y=slider("τ", -0.5, -1, 1, 0.5),
    )
    assert live.still() == (square(2), "x = 2, form = A, τ = −0.5.")
    live.controls["x"].value = 3
    assert live.still() == (square(3), "x = 3, form = A, τ = −0.5.")


def test_labels_have_room_for_the_longest_and_choices_start_at_the_first():
    live = Live(
        lambda a, b, c: "",
        a=slider("a long description", 1.0, 0.0, 2.0, 0.5),
        b=slider("b", 1, 1, 2, 1),
        c=choice("form", ["x"]),
    )
    assert [live.controls[name].label_width for name in "ab"] == [20, 20]
    assert live.controls["c"].style.description_width == "20ch"
    assert choice("form", {"one": 1, "two": 2}).value == 1
    assert choice("form", ["a", "b"], "b").value == "b"


def test_a_slider_without_effect_says_why_as_long_as_it_has_none():
    live = Live(
        lambda way, x: f"<svg data-state='{way}{x}'></svg>",
        idle=lambda way, x: {"x": "there is nothing to divide"} if way == "none" else {},
        way=choice("way", ["none", "some"]),
        x=slider("x", 1, 0, 2, 1),
    )
    reasons = [live.controls["x"].idle]
    live.controls["way"].value = "some"
    reasons.append(live.controls["x"].idle)
    live.controls["way"].value = "none"
    assert [*reasons, live.controls["x"].idle] == ["there is nothing to divide", "", "there is nothing to divide"]


@pytest.mark.parametrize(
    "make", [lambda: slider("x", 5, 0, 4, 1), lambda: choice("x", []), lambda: choice("x", [1], 2)]
)
def test_controls_without_a_legal_state_are_refused(make):
    with pytest.raises(ValueError, match=r"^(value|options) = .*expected"):
        make()


@pytest.mark.parametrize("step", [1, 3, 5])
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("tau", [0.1, 1.0, 10.0])
def test_the_trace_at_minimum_default_and_maximum_of_its_controls(step, k, tau):
    x, W_g = worked_example()
    live = Live(lambda **c: trace_svg(x, W_g, **c), step=slider("step", 1, 1, 5, 1), k=slider("k", 2, 1, 4, 1),
                temperature=slider("τ", 1.0, 0.1, 10.0, 0.1))  # fmt: skip
    for name, value in {"step": step, "k": k, "temperature": tau}.items():
        live.controls[name].value = value
    assert f"step={step}|k={k}|" in live.canvas.value
    assert f"tau={tau:g}|" in live.canvas.value


# --- what moves the controls from the picture, or by itself


def gripped(value=1, **kind):
    """A picture whose grip moves x, from 0 to 4."""
    return Live(square, x=slider("x", value, 0, 4, **{"step": 1, **kind}))


@pytest.mark.parametrize(("step", "put", "value"), [(1, 2.4, 2), (1, 2.6, 3), (0.5, 2.3, 2.5), (0.1, 0.31, 0.3)])
def test_a_grip_moves_its_slider_to_the_nearest_step_and_the_picture_follows(step, put, value):
    live = gripped(step=step)
    live.canvas.moved = {"name": "x", "value": put}
    assert live.controls["x"].value == value
    assert f"'{value * value}'" in live.canvas.value
    assert live.canvas.controls["x"] == {"label": "x", "value": value, "min": 0, "max": 4, "step": step}


@pytest.mark.parametrize(
    "moved", [{"name": "y", "value": 1}, {"name": "x", "value": 5}, {"name": "x", "value": "1"}, {}]
)
def test_what_no_grip_can_send_is_refused_and_changes_nothing(moved):
    live = gripped()
    with pytest.raises(ValueError, match=r"^moved\.(name|value) = .*expected"):
        live.canvas.moved = moved
    assert live.controls["x"].value == 1


def test_the_slider_that_plays_has_a_button_and_no_other_one():
    live = Live(lambda x, y: square(x), play="x", x=slider("x", 0, 0, 3, 1), y=slider("y", 0, 0, 1, 1))
    assert [live.controls[name].plays for name in "xy"] == [True, False]


@pytest.mark.parametrize("play", ["z", "way"])
def test_only_a_slider_plays(play):
    with pytest.raises(ValueError, match=r"^play = .*expected"):
        Live(lambda **_: "", play=play, way=choice("way", ["a"]))


def test_what_is_read_out_is_title_and_description():
    live = Live(lambda k: trace_svg(*worked_example(), k), k=slider("k", 2, 1, 4, 1))
    said = live.canvas.words
    live.controls["k"].value = 1
    assert said != live.canvas.words == alternative(live.canvas.value) != ""
