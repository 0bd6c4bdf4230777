"""A few states of a picture: which ones, under which names, and never one that cannot be drawn."""

import pytest

from moe_lessons.widgets.frames import MOST, frames
from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.live import Live, choice, slider

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><title>{}</title><text>{}</text></svg>'


def picture(k, form, tau=1.0):
    if tau < 0.01:
        raise ValueError("tau = 0: expected more")
    return SVG.format(f"k is {k}, {form}", f"{k} {form} {tau}")


def live(**more):
    forms = choice("form", {"A": "first", "B": "second", "C": "third"})
    return Live(picture, k=slider("k", 2, 1, 4, 1), form=forms, tau=slider("τ", 1.0, 0.0, 2.0, 0.5), **more)


def names(widget):
    return [state["name"] for state in widget.page_state()["states"]]


def test_first_comes_the_present_state_then_each_control_at_its_ends():
    assert names(live()) == ["k = 2, form = A, τ = 1", "k = 1", "k = 3", "k = 4", "form = B", "form = C", "τ = 2"]


def test_a_slider_with_many_values_is_shown_at_its_ends():
    many = Live(lambda k: SVG.format("x", k), k=slider("k", 2, 1, 6, 1))
    assert names(many) == ["k = 2", "k = 1", "k = 6"]
    few = Live(lambda k: SVG.format("x", k), k=slider("k", 4, 0, 8, 2))
    assert names(few) == ["k = 4", "k = 0", "k = 2", "k = 6", "k = 8"]


def test_states_may_be_declared():
    widget = live(states=[{"k": 1, "form": "third"}, {"tau": 0.5}])
    assert names(widget) == ["k = 2, form = A, τ = 1", "k = 1, form = C", "τ = 0.5"]
    assert "k is 1, third" in widget.page_state()["states"][1]["alt"]
    assert widget.controls["k"].value == 2


def test_a_state_of_no_control_is_refused():
    with pytest.raises(ValueError, match="states = 'K': expected one of 'k', 'form', 'tau'"):
        live(states=[{"K": 1}])


def test_a_state_that_looks_like_another_or_cannot_be_drawn_is_left_out():
    assert Live(lambda k: "<p>No picture.</p>", k=slider("k", 2, 1, 4, 1)).page_state() == {}
    same = Live(lambda k, i: SVG.format("x", k), k=slider("k", 2, 1, 3, 1), i=slider("i", 1, 0, 2, 1))
    assert names(same) == ["k = 2, i = 1", "k = 1", "k = 3"]


def test_many_controls_give_no_more_than_can_be_overlooked():
    controls = {f"c{i}": slider(f"c{i}", 1, 0, 2, 1) for i in range(9)}
    state = frames(lambda **values: SVG.format("x", values), controls)
    assert len(state["states"]) == MOST
    assert len({one["img"] for one in state["states"]}) == MOST


def test_a_picture_tells_what_it_shows():
    for state in live().page_state()["states"]:
        assert state["img"].startswith("data:image/svg+xml;base64,")
        assert state["alt"].startswith("k is ")


@pytest.mark.parametrize(("shown", "expected"), [(0, "a"), (1, "b"), (2, "a"), (None, "a"), (-1, "a")])
def test_the_browser_shows_a_state_that_there_is(load_module, shown, expected):
    module = load_module(source("dom.js", "roving.js", "frames.js"), "frameOf")
    assert module.map("frameOf", [[["a", "b"], shown]]) == [expected]
