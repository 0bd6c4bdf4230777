"""Blocks of a page: nothing in a state can end its script, every kind has its module, and notebooks leave blocks."""

import json
import re
from pathlib import Path

import pytest

from moe_lessons.support.formulas import inline
from moe_lessons.widgets import lasting, page
from moe_lessons.widgets.compass import PrototypeCompass
from moe_lessons.widgets.live import Live, slider
from moe_lessons.widgets.quiz import quiz
from moe_lessons.widgets.visualizer import GatingVisualizer

STATIC = Path(__file__).parents[2] / "docs/_static"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><title>x</title></svg>'
WIDGETS = {
    "visualizer": GatingVisualizer,
    "compass": PrototypeCompass,
    "quiz": lambda: quiz("04"),
    "frames": lambda: Live(lambda k: SVG.replace(">x<", f">{k}<"), k=slider("k", 1, 0, 2, 1)),
}


def state_in(html):
    """Return the name and the state of a block, as a browser reads them."""
    pattern = r'<div class="live" data-widget="(\w+)"><script type="application/json">(.*?)</script>'
    name, text = re.search(pattern, html, re.DOTALL).groups()
    return name, json.loads(text)


def test_a_state_comes_back_as_it_was():
    state = {"text": "</script><!-- <b> & \" ' τ \u2028", "numbers": [1, 0.5, None]}
    html = page.block("compass", state, "<p>Instead.</p>")
    assert state_in(html) == ("compass", state)
    assert html.count("</script>") == 1
    assert html.endswith("</script><p>Instead.</p></div>")


def test_a_page_gets_a_widgets_own_traits():
    assert set(page.state_of(PrototypeCompass())) == {"token", "prototypes", "k", "initial", "extent", "colours"}
    assert {"value", "min", "max", "step", "log", "idle"} <= set(page.state_of(slider("k", 1, 0, 2, 1)))


def test_every_kind_that_live_js_knows_has_a_module_and_a_style():
    known = json.loads(re.search(r"const NAMES = (\[.*?\]);", (STATIC / "live.js").read_text("utf-8"))[1])
    files = page.modules()
    assert set(files) == {f"{name}.{kind}" for name in known for kind in ("js", "css")}
    assert all("export default" in text for name, text in files.items() if name.endswith(".js"))


def test_what_is_read_on_a_page_is_short_enough_to_be_read():
    assert len((STATIC / "live.js").read_text("utf-8").splitlines()) < 150


@pytest.fixture
def left(monkeypatch):
    """Return a function that shows a widget, and returns what stays in the notebook beside it."""

    def show(widget):
        bundles = []
        monkeypatch.setattr(lasting, "display", lambda data, **_: bundles.append(data))
        monkeypatch.setattr("moe_lessons.widgets.quiz.display", lambda data, **_: None)
        widget._ipython_display_()
        return bundles[1]["text/html"]

    return show


@pytest.mark.parametrize("name", WIDGETS)
def test_where_a_notebook_becomes_a_page_a_widget_leaves_its_block(left, monkeypatch, name):
    assert 'class="live"' not in left(WIDGETS[name]())
    monkeypatch.setenv(page.VARIABLE, "1")
    html = left(WIDGETS[name]())
    found, state = state_in(html)
    assert found == name
    assert state["colours"]
    assert 'class="moe-still"' in html
    assert "Run this cell" not in html
    assert "<style>" not in html  # which would hide the picture


def test_without_javascript_a_quiz_is_there_with_folded_answers():
    shown, html = quiz("07"), quiz("07").fallback()
    asked = [idea.questions[0] for idea in shown.quiz.ideas]
    assert html.count("<details>") == len(asked)
    assert all(inline(one.asks) in html for one in asked)
    answers = [part.partition("</details>")[0] for part in html.split("<summary>Answer</summary>")[1:]]
    for one, answer in zip(asked, answers, strict=True):
        assert answer.startswith(f"<ul><li><strong>{inline(one.right.text)}</strong>: {inline(one.right.why)}</li>")
        assert all(inline(option.why) in answer for option in one.options)


def test_a_slider_alone_leaves_words(left, monkeypatch):
    monkeypatch.setenv(page.VARIABLE, "1")
    assert "live" not in left(slider("k", 1, 0, 2, 1))
