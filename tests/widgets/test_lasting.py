"""What a widget leaves in the notebook: the widget, then a picture with words, and a rule that shows one of the two."""

import re
from html import unescape

import numpy as np
import pytest

from moe_lessons.data import worked_example
from moe_lessons.figures.still import image
from moe_lessons.figures.trace import trace_svg
from moe_lessons.widgets import lasting
from moe_lessons.widgets.compass import PrototypeCompass
from moe_lessons.widgets.live import Live, slider
from moe_lessons.widgets.text_viewer import Passage, TextViewer
from moe_lessons.widgets.visualizer import GatingVisualizer

VIEW = "application/vnd.jupyter.widget-view+json"
X, W_G = worked_example()
PASSAGE = Passage("text", ["a"] * 3, {"now": np.ones((1, 3, 4))}, {"now": np.zeros(3)})
WIDGETS = {
    "live": lambda: Live(lambda k: trace_svg(X, W_G, k), k=slider("k", 2, 1, 4, 1)),
    "visualizer": GatingVisualizer,
    "compass": PrototypeCompass,
    "text viewer": lambda: TextViewer([PASSAGE]),
}


@pytest.fixture
def shown(monkeypatch):
    """Return a function that shows a widget and returns the bundles that the notebook gets."""

    def show(widget):
        bundles = []
        monkeypatch.setattr(lasting, "display", lambda data, **_: bundles.append(data))
        widget._ipython_display_()
        return bundles

    return show


@pytest.mark.parametrize("name", WIDGETS)
def test_a_widget_is_followed_by_its_picture_in_html_and_in_words(shown, name):
    widget = WIDGETS[name]()
    live, still = shown(widget)
    svg, words = widget.still()
    assert live == {VIEW: live[VIEW], "text/plain": ""}
    assert live[VIEW]["model_id"] == widget.model_id
    html = unescape(still["text/html"])
    assert unescape(image(svg)) in html
    assert "<svg" not in html  # a sanitiser would leave its words as one line
    assert words in html
    for part in (words, lasting.NOTE, re.search(r'alt="([^"]*)"', html)[1]):
        assert part in still["text/plain"]


def test_the_rule_is_about_this_widget_alone(shown):
    first, second = WIDGETS["compass"](), WIDGETS["compass"]()
    html = shown(first)[1]["text/html"]
    assert f"moe-{first.model_id}" in first._dom_classes
    assert f":has(.moe-{first.model_id}) + * .still-moe-{first.model_id}" in html
    assert second.model_id not in html


def test_no_rule_begins_at_the_root_of_the_page(shown):
    """Seen in Chromium: with `:root:has(…)` or `… + :has(…)` on any element, a redraw styles the whole page anew."""
    style = re.search("<style>(.*)</style>", shown(WIDGETS["live"]())[1]["text/html"])[1]
    assert not re.search(r"(:root|html|body):has|[+] :has", style)


def test_only_a_picture_that_python_draws_invites_when_its_kernel_is_gone(shown):
    invites = {name: "disconnected" in shown(make())[1]["text/html"] for name, make in WIDGETS.items()}
    assert invites == {"live": True, "visualizer": False, "compass": False, "text viewer": False}


def test_a_sentence_in_the_place_of_a_picture_stays_a_sentence(shown):
    def refuses(x):
        raise ValueError(f"x = {x}: expected less")

    _, still = shown(Live(refuses, x=slider("x", 1, 0, 2, 1)))
    assert "<p role='alert'>No picture for these settings: x = 1: expected less</p>" in still["text/html"]
    assert "<img" not in still["text/html"]


def test_shown_again_it_shows_what_it_is_now(shown):
    compass = PrototypeCompass()
    before = shown(compass)[1]["text/html"]
    compass.token = (1, 1)
    assert "x = (1, 1)" in shown(compass)[1]["text/html"]
    assert "x = (1, 1)" not in before
    assert compass._dom_classes == (f"moe-{compass.model_id}",)


def test_a_widget_says_what_is_to_be_seen_of_it():
    with pytest.raises(NotImplementedError):
        lasting.Lasting().still()
