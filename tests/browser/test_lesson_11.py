"""The text viewer of lesson 11 in a real JupyterLab: every badge and number on the page is that of `routing`.

The lesson trains for a minute, and another test runs it whole. Here the viewer stands alone, with drawn logits.
"""

import json

import lab
import pytest

from moe_lessons.routing import gate_weights, softmax, top_k
from moe_lessons.widgets.text_viewer import Passage

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

NOTEBOOK = "text_viewer_test.ipynb"
STAGES = ("before training", "after training")
# Run here and in the notebook: three texts, the first too long for its box, the last without a token after its end.
PASSAGES = """
import numpy as np

LINE = ("def", "␣greet", "(", "name", "):", "⏎", "␣␣␣", "␣return", "␣'", "\\\\xf0", "\\\\x9f", "'", "<b>", "⏎")

def drawn(name, pieces, next_piece, seed):
    rng, T = np.random.default_rng(seed), len(pieces)
    logits = {stage: rng.normal(scale=3, size=(4, T, 8)).round(5) for stage in ("before training", "after training")}
    loss = {stage: rng.uniform(0, 9, T).round(4) for stage in logits}
    if not next_piece:
        for values in loss.values():
            values[-1] = np.nan
    return Passage(name, pieces, logits, loss, next_piece)

passages = [drawn("code", LINE * 18, "␣end", 0), drawn("prose", ("The", "␣list", "."), "⏎", 1),
            drawn("never seen", ("\\\\xe6", "\\\\xbc", "\\\\xa2"), "", 2)]
"""
CELLS = (
    f"from moe_lessons.widgets.text_viewer import Passage, TextViewer\n{PASSAGES}",
    "viewer = TextViewer(passages)\nviewer",
    "import json\nstate = {name: getattr(viewer, name) for name in ('passage', 'stage', 'layer', 'token', 'expert')}\n"
    "print(json.dumps([state, viewer.trace.selected.tolist()]))",
)

SHOWN = """(root) => {
  const tokens = [...root.querySelectorAll('.token')];
  const texts = (selector) => [...root.querySelectorAll(selector)].map((node) => node.textContent);
  return {
    state: JSON.parse(root.dataset.state),
    pieces: tokens.map((node) => node.firstChild.textContent),
    badges: tokens.map((node) => node.querySelector('sub').dataset.name),
    stands: tokens.map((node) => node.dataset.stands),
    chosen: tokens.findIndex((node) => node.getAttribute('aria-selected') === 'true') + 1,
    numbers: texts('.trace tbody .number'), marks: texts('.trace tbody .mark'),
    told: texts('.told')[0], caption: texts('caption')[0], everything: root.textContent,
  };
}"""


def drawn_passages():
    namespace = {"Passage": Passage}
    exec(PASSAGES, namespace)
    return namespace["passages"]


DRAWN = drawn_passages()


@pytest.fixture(scope="module")
def lab_page(address):
    """One page for all tests, on a notebook of its own; at the end nothing was written to the console."""
    with lab.quiet_page(address, NOTEBOOK, CELLS) as opened:
        yield opened


@pytest.fixture
def viewer(lab_page):
    """The widget's root element, in the state it starts with."""
    root = lab_page.page.locator(".moe-text-viewer[data-state]")
    for name in ("passage-1", "stage-2", "layer-1", "expert-0"):
        field(root, name).check()
    field(root, "token").fill("1")
    return root


def field(viewer, name):
    return viewer.locator(f"[data-field='{name}']")


def look(viewer):
    """Return what the page shows, after comparing it with `routing`."""
    shown = viewer.evaluate(SHOWN)
    assert_true(shown)
    return shown


def assert_true(shown):
    """The text, the badges and the trace are those of the state that the page is in."""
    state = shown["state"]
    text = DRAWN[state["passage"] - 1]
    h = text.logits[STAGES[state["stage"] - 1]][state["layer"] - 1]  # (T, N)
    selected = top_k(h, 2)[1]  # (T, 2)
    assert shown["pieces"] == list(text.pieces)
    assert shown["badges"] == [f"E{first + 1}" for first in selected[:, 0]]
    assert shown["chosen"] == state["at"] == min(state["token"], len(text.pieces))
    assert shown["stands"] == [stands(chosen.tolist(), state["expert"]) for chosen in selected]
    assert_trace(shown, h[state["at"] - 1])
    assert not any(word in shown["everything"] for word in ("NaN", "undefined", "Infinity", "null"))


def stands(chosen, expert):
    """Whether a token stands out for an expert, counted from 1; 0 lets none stand out."""
    if expert == 0:
        return "all"
    return "first" if chosen[0] == expert - 1 else "also" if expert - 1 in chosen else "no"


def assert_trace(shown, h):
    """h: (N,) logits of the chosen token."""
    chosen, weights = top_k(h, 2)[1], gate_weights(h, 2)
    rows = zip(h, softmax(h), weights, strict=True)
    expected = [number for i, row in enumerate(rows) for number in written(row, i in chosen)]
    assert [number.rstrip(" «»") for number in shown["numbers"]] == expected
    ranks = {int(i): place for place, i in enumerate(chosen, start=1)}
    assert shown["marks"] == [f" ✓ choice {ranks[i]}" if i in ranks else "" for i in range(8)]
    assert all(f"E{i + 1} (weight {weights[i]:.2f})" in shown["told"] for i in chosen)


def written(row, runs):
    """The numbers of one expert as the page writes them."""
    logit, prob, weight = row
    return [f"{logit:.2f}".replace("-", "−"), f"{prob:.3f}", f"{weight:.3f}" if runs else "0"]


def test_it_starts_with_the_first_token_after_training(lab_page, viewer):
    shown = look(viewer)
    assert shown["told"].startswith("Token 1 “def”, layer 1, after training: of 8 experts E")
    lab_page.screenshot("text_viewer_default", viewer)


def test_the_comparison_notices_a_wrong_page(viewer):
    shown = look(viewer)
    for key, wrong in (("badges", ["E1"]), ("numbers", ["0.000"] * 24), ("chosen", 2), ("everything", "undefined")):
        with pytest.raises(AssertionError):
            assert_true({**shown, key: wrong})


def test_every_text_model_layer_and_expert_by_mouse(viewer):
    before = look(viewer)
    for names in (("passage", 3), ("stage", 2), ("layer", 4)):
        for number in range(1, names[1] + 1):
            field(viewer, f"{names[0]}-{number}").click()
            assert look(viewer)["state"][names[0]] == number
    for number in (1, 8, 0):
        field(viewer, f"expert-{number}").click()
        assert look(viewer)["state"]["expert"] == number
        assert (f"Filled: E{number} is" in viewer.locator(".key").inner_text()) == (number > 0)
    field(viewer, "passage-1").click()
    assert look(viewer)["badges"] != before["badges"]


@pytest.mark.parametrize(
    ("key", "order"), [("passage", [2, 3, 1]), ("stage", [1, 2]), ("layer", [2, 3, 4, 1]), ("expert", [1, 2])]
)
def test_choices_by_keyboard(lab_page, viewer, key, order):
    field(viewer, f"{key}-{look(viewer)['state'][key]}").focus()
    for value in order:
        lab_page.page.keyboard.press("ArrowRight")
        assert look(viewer)["state"][key] == value


def test_a_click_opens_a_token_s_trace_and_python_knows(lab_page, viewer):
    field(viewer, "layer-3").click()
    viewer.locator(".token").nth(9).click()
    shown = look(viewer)
    assert shown["caption"] == "Trace of token 10, “\\xf0”, layer 3"
    cell = lab_page.cell("json.dumps")
    lab_page.run(cell)
    told, selected = json.loads(cell.locator(".jp-OutputArea-output").inner_text())
    assert told == {key: shown["state"][key] for key in told}
    assert selected == shown["state"]["chosen"]


def test_arrow_keys_walk_through_the_text_and_keep_the_token_in_view(lab_page, viewer):
    viewer.locator(".text").focus()
    cell = lab_page.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")
    last = len(DRAWN[0].pieces)
    for key, place in (("ArrowRight", 2), ("ArrowDown", 12), ("ArrowUp", 2), ("ArrowLeft", 1), ("ArrowLeft", 1),
                       ("End", last), ("ArrowRight", last), ("Home", 1), ("End", last)):  # fmt: skip
        lab_page.page.keyboard.press(key)
        assert look(viewer)["chosen"] == place
    assert in_view(viewer)
    assert cell == lab_page.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")
    lab_page.screenshot("text_viewer_end", viewer)
    lab_page.page.keyboard.press("Home")
    assert in_view(viewer)


def in_view(viewer):
    """Whether the chosen token is inside the box of the text."""
    box, token = viewer.locator(".text").bounding_box(), viewer.locator("[aria-selected='true']").bounding_box()
    return box["y"] <= token["y"] and token["y"] + token["height"] <= box["y"] + box["height"] + 1


def test_a_number_finds_its_token_and_garbage_changes_nothing(viewer):
    place = field(viewer, "token")
    place.fill("40")
    assert look(viewer)["chosen"] == 40
    for typed, used in (("0", 1), ("9999", len(DRAWN[0].pieces)), ("-3", 1)):
        place.fill(typed)
        place.press("Tab")
        assert look(viewer)["chosen"] == used
        assert place.input_value() == str(used)
    place.fill("")
    place.press("Tab")
    assert look(viewer)["chosen"] == 1


def test_the_last_token_of_a_text_without_an_end_has_no_loss(viewer):
    field(viewer, "passage-3").click()
    field(viewer, "token").fill("3")
    assert "No token follows" in look(viewer)["told"]


FOCUSED = "() => document.activeElement.dataset.field ?? document.activeElement.role"
OUTLINED = """() => [document.activeElement, document.activeElement.closest('.chip')]
  .some((node) => node && getComputedStyle(node).outlineStyle !== 'none')"""


def test_the_keyboard_reaches_everything_and_shows_where_it_is(lab_page, viewer):
    field(viewer, "passage-1").focus()
    stops = []
    for _ in range(6):
        stops.append(lab_page.page.evaluate(FOCUSED))
        assert lab_page.page.evaluate(OUTLINED) or len(stops) == 1, f"no visible focus on {stops[-1]}"
        lab_page.page.keyboard.press("Tab")
    assert stops == ["passage-1", "stage-2", "layer-1", "expert-0", "token", "listbox"]


def test_it_fits_a_narrow_window_and_a_dark_theme(lab_page, viewer):
    page = lab_page.page
    themed = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
    field(viewer, "expert-3").click()
    try:
        page.evaluate(themed, "JupyterLab Dark")
        page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
        lab_page.screenshot("text_viewer_dark", viewer)
        page.evaluate(themed, "JupyterLab Light")
        viewer.evaluate("node => { node.parentElement.style.width = '400px'; }")
        look(viewer)
        lab_page.screenshot("text_viewer_narrow", viewer)
        assert viewer.evaluate("node => node.scrollWidth <= node.clientWidth")
        assert viewer.locator(".trace table").evaluate("node => node.scrollWidth <= node.parentElement.clientWidth")
    finally:
        viewer.evaluate("node => { node.parentElement.style.width = ''; }")
