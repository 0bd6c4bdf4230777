"""The course's slider: numbers that fit each other in Python, and the same scale, keys and words in the browser."""

import numpy as np
import pytest
import traitlets

from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.slider import Slider

SOURCE = source("dom.js", "slider.js").replace("export default", "const widget =")
FUNCTIONS = "valueAt, placeOf, nearest, moved, written, heard"
SCALE = {"value": 0.5, "min": -4.0, "max": 4.0, "step": 0.1, "log": False, "unit": ""}
LOGARITHM = {"value": 1.0, "min": 0.01, "max": 100, "step": 0.01, "log": True, "unit": ""}
SHORT = {"value": 3, "min": 3, "max": 60, "step": 25, "log": False, "unit": ""}  # its last step is a short one


@pytest.fixture(scope="module")
def browser(load_module):
    return load_module(SOURCE, FUNCTIONS)


# --- Python -------------------------------------------------------------------------------------------------------


def test_it_takes_the_place_of_the_sliders_of_ipywidgets():
    slider, heard = Slider("k", 2, 1, 4, 1), []
    slider.observe(lambda change: heard.append((change.old, change.new)), names="value")
    slider.value = 3
    assert heard == [(2, 3)]
    assert (slider.min, slider.max, slider.step, slider.description) == (1, 4, 1, "k")
    traitlets.dlink((slider, "value"), (other := Slider("N", 9, 1, 9, 1), "value"))
    assert other.value == 3


def test_all_whole_means_whole_also_from_numpy_and_from_the_browser():
    assert isinstance(Slider("k", np.int64(2), 1, 4, 1).value, int)
    decimal = Slider("τ", 1, 0.1, 5, 1)
    assert (decimal.min, decimal.value) == (0.1, 1.0)
    decimal.set_state({"value": 2})  # the browser sends 2.0 as 2
    assert isinstance(decimal.value, float)
    assert isinstance(Slider("n", 1, 1, 1000, 1, log=True).value, float)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((5, 0, 4, 1), "value = 5: expected a finite number from 0 to 4"),
        (("a", 0, 4, 1), "value = 'a': expected"),
        ((True, 0, 4, 1), "value = True: expected"),
        ((1, "0", 4, 1), "min = '0': expected a finite number"),
        ((1, float("nan"), 4, 1), "min = nan: expected a finite number"),
        ((1, 3, 2, 1), "max = 2: expected a finite number from 3"),
        ((1, 0, np.inf, 1), "max = inf: expected a finite number"),
        ((1, 0, 4, 0), "step = 0: expected a number above 0"),
        ((1, 0, 4, -0.5), r"step = -0\.5: expected a number above 0"),
    ],
)
def test_what_does_not_fit_is_named(arguments, named):
    with pytest.raises(ValueError, match=f"^{named}"):
        Slider("x", *arguments)


def test_a_logarithm_begins_above_zero_and_an_expert_is_one():
    with pytest.raises(ValueError, match="min = 0: expected a number above 0"):
        Slider("τ", 1, 0, 4, 0.1, log=True)
    with pytest.raises(ValueError, match="expert = -1: expected a whole number"):
        Slider("a", 1, 0, 4, 1, expert=-1)
    assert Slider("a", 1, 0, 4, 1, expert=np.int64(8)).expert == 8


@pytest.mark.parametrize(
    ("name", "bad"), [("value", 7), ("value", 1.5), ("min", 5), ("max", -1), ("step", 0), ("expert", "E1")]
)
def test_a_refused_change_changes_nothing(name, bad):
    slider = Slider("x", 3, 0, 4, 1)
    before = slider.get_state()
    with pytest.raises(ValueError, match=f"^{name} = "):
        setattr(slider, name, bad)
    assert slider.get_state() == before


def test_new_bounds_move_a_value_that_they_leave_outside():
    slider = Slider("k", 6, 1, 8, 1)
    slider.max = 4
    assert slider.value == 4
    slider.min = 4
    assert (slider.min, slider.value) == (4, 4)


@pytest.mark.parametrize(
    ("unit", "said"), [("", "angle = −40."), ("°", "angle = −40°."), ("nats", "angle = −40 nats.")]
)
def test_what_lasts_of_a_slider_alone_are_its_words(unit, said):
    assert Slider("angle", -40, -90, 90, 5, unit=unit).still() == ("", said)


# --- the browser --------------------------------------------------------------------------------------------------


def test_values_are_round_and_the_ends_exact(browser):
    values = browser.map("valueAt", [[SCALE, place] for place in range(81)])
    assert values == [round(-4 + 0.1 * place, 1) for place in range(81)]
    assert browser.map("valueAt", [[SHORT, place] for place in range(5)]) == [3, 28, 53, 60, 60]
    assert browser.map("valueAt", [[LOGARITHM, place] for place in (0, 200, 230, 400)]) == [0.01, 1, 2, 100]


@pytest.mark.parametrize("state", [SCALE, LOGARITHM, SHORT], ids=["decimals", "logarithm", "short last step"])
def test_arrows_go_from_end_to_end_and_back_without_a_stop(browser, state):
    for key, end in (("ArrowRight", state["max"]), ("ArrowLeft", state["min"])):
        way, state = [state["value"]], dict(state)
        while state["value"] != end:
            (state["value"],) = browser.map("moved", [[state, key]])
            way.append(state["value"])
            assert len(way) == len(set(way)) < 1000
    assert browser.map("moved", [[state, key] for key in ("Home", "End", "a", "Enter")]) == [
        state["min"], state["max"], None, None,
    ]  # fmt: skip


def test_pages_take_a_tenth_and_stop_at_the_ends(browser):
    assert browser.map("moved", [[SCALE, "PageUp"], [SCALE, "PageDown"]]) == [1.3, -0.3]
    near_the_ends = [[SCALE | {"value": 3.9}, "PageUp"], [SCALE | {"value": -3.9}, "PageDown"]]
    assert browser.map("moved", near_the_ends) == [4, -4]


def test_between_two_steps_the_next_one_follows(browser):
    between = SCALE | {"value": -0.18}
    assert browser.map("moved", [[between, key] for key in ("ArrowRight", "ArrowLeft")]) == [-0.1, -0.2]
    assert browser.map("written", [[between], [SCALE], [LOGARITHM | {"value": 0.0123}]]) == ["−0.18", "0.5", "0.0123"]


def test_a_pointer_takes_the_nearest_value_and_reaches_both_ends(browser):
    assert browser.map("nearest", [[SCALE, point] for point in (-4, 0.04, 0.06, 4)]) == [-4, 0, 0.1, 4]
    assert browser.map("nearest", [[SHORT, point] for point in (3, 57, 60)]) == [3, 53, 60]
    assert browser.map("nearest", [[LOGARITHM, point] for point in (-2, 0.3, 2)]) == [0.01, 2, 100]


@pytest.mark.parametrize(
    ("state", "typed", "value", "said"),
    [
        (SCALE, " 1.2 ", 1.2, ""),
        (SCALE, "−1,5", -1.5, ""),
        (SCALE | {"unit": "nats"}, "1.5 nats", 1.5, ""),
        (SCALE | {"value": -0.18}, "−0.18", -0.18, ""),
        (LOGARITHM, "0.5", 0.5, ""),
        (SCALE, "abc", 0.5, "“abc” is no number: type one from −4.0 to 4.0."),
        (SCALE, "", 0.5, "“” is no number: type one from −4.0 to 4.0."),
        (SCALE, "7", 4, "7 is not from −4.0 to 4.0: 4.0 is taken."),
        (SCALE, "-Infinity", -4, "-Infinity is not from −4.0 to 4.0: −4.0 is taken."),
        (SCALE, "1.23", 1.2, "1.23 lies between two steps: 1.2 is taken."),
        (SHORT, "30", 28, "30 lies between two steps: 28 is taken."),
    ],
)
def test_what_is_typed_is_taken_or_answered_in_words(browser, state, typed, value, said):
    assert browser.map("heard", [[state, typed]]) == [{"value": value, "said": said}]


def test_broken_control_a_scale_that_does_not_round_is_noticed(load_module):
    broken = load_module(SOURCE.replace("Number(exact.toFixed(digitsOf(state)))", "exact"), FUNCTIONS)
    assert broken.map("valueAt", [[SCALE, 43]]) != [0.3]
