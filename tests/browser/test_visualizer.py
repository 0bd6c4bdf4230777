"""The Gating Network Visualizer in a real JupyterLab: every number on the page is that of `routing.route`."""

import itertools
import json
import re

import lab
import numpy as np
import pytest

from moe_lessons.data import EXPERT_NAMES, planted_router, token_kinds
from moe_lessons.routing import GATE_FORMS, route

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

NOTEBOOK = "visualizer_test.ipynb"
CELLS = (
    "from moe_lessons.widgets.visualizer import GatingVisualizer\nvisualizer = GatingVisualizer()\nvisualizer",
    "import json, time\nprint(json.dumps(visualizer.get_state(visualizer.initial)))",
    "time.sleep(2)",
)
TEMPERATURES = (0.001, 1, 1000)
W_G = planted_router()  # (d, N)

# Everything the widget `root` shows, as text.
SHOWN = """(root) => {
  const texts = (selector) => [...root.querySelectorAll(selector)].map((node) => node.textContent);
  return {
    state: JSON.parse(root.dataset.state),
    table: texts('.readout tbody .number'), marks: texts('.readout tbody .mark'),
    entries: texts('.entry .number'), gate: texts('.step td'), cards: texts('.card .status'),
    formula: texts('.formula'), told: texts('.story dd'), total: texts('.total'),
    everything: root.textContent, height: root.offsetHeight,
    dashed: [...root.querySelectorAll('.card')].map((card) => getComputedStyle(card).borderTopStyle === 'dashed'),
  };
}"""

# Set fields as a person would, for each combination, and collect what is shown.
SWEEP = f"""(root, combinations) => {{
  const shown = {SHOWN};
  const set = (field, value) => {{
    const input = root.querySelector(`[data-field="${{field}}"]`);
    if (input.type === 'radio') return input.click();
    input.value = value;
    input.dispatchEvent(new Event('input', {{ bubbles: true }}));
  }};
  return combinations.map((fields) => {{
    for (const [field, value] of fields) set(field, value);
    return shown(root);
  }});
}}"""


@pytest.fixture(scope="module")
def lab_page(address):
    """One page for all tests, on a notebook of its own; at the end nothing was written to the console."""
    with lab.quiet_page(address, NOTEBOOK, CELLS) as opened:
        yield opened


@pytest.fixture
def widget(lab_page):
    """The widget's root element, in the state it starts with."""
    root = lab_page.page.locator(".moe-visualizer[data-state]")
    root.get_by_role("button", name="Reset", exact=True).click()
    return root


def look(widget):
    """Return what the page shows, after comparing it with `route`."""
    shown = widget.evaluate(SHOWN)
    assert_true(shown)
    return shown


def state_of(widget):
    return look(widget)["state"]


def field(widget, name):
    return widget.locator(f"[data-field='{name}']")


def press_button(widget, name):
    widget.get_by_role("button", name=name, exact=True).click()


def number(value, digits=2):
    """Write a number as the page does."""
    text = f"{value:.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def awake(weight):
    """Write the weight of an expert that runs as the page does."""
    return "<0.001" if weight < 0.0005 else f"{weight:.3f}"


def trace_of(state):
    noise = state["noise"] * np.array(state["noise_sample"])  # (N,)
    return route(state["x"], W_G, state["k"], state["form"], state["temperature"], noise=noise)


def assert_same_arithmetic(state, trace):
    """The full-precision numbers behind the page are those of `route`."""
    np.testing.assert_allclose(state["logits"], trace.logits, rtol=0, atol=1e-12)
    assert state["selected"] == trace.selected.tolist()
    atol = 1e-12 * max(1, 0.1 / state["temperature"])  # the last bit of x·W_g counts 1/τ times
    np.testing.assert_allclose(state["probs"], trace.probs, rtol=0, atol=atol)
    np.testing.assert_allclose(state["weights"], trace.weights, rtol=0, atol=atol)


def assert_true(shown):
    """Every number and word on the page agrees with `route` for the state that the page is in."""
    trace = trace_of(shown["state"])
    assert_same_arithmetic(shown["state"], trace)
    assert_same_numbers(shown)
    assert_same_selection(shown, [i in trace.selected for i in range(5)])
    assert not re.search("NaN|undefined|Infinity|null", shown["everything"])


def assert_same_numbers(shown):
    """What is written is the state's numbers, which `assert_same_arithmetic` has compared, rounded."""
    state = shown["state"]
    active = [i in state["selected"] for i in range(5)]
    logits = [number(h) for h in state["logits"]]
    weights = [awake(w) if on else "0" for w, on in zip(state["weights"], active, strict=True)]
    rows = zip(logits, [f"{p:.3f}" for p in state["probs"]], weights, strict=True)
    total = f"{sum(state['weights']):.3f}"
    assert [text.rstrip(" «»") for text in shown["table"]] == list(itertools.chain(*rows))
    assert shown["gate"][15:] == logits
    assert shown["entries"] == [number(value) for value in state["x"]]
    assert shown["total"] == [f"Σ w = {total}"]
    terms = [f"{awake(w)}·E{i + 1}(x)" for i, w in enumerate(state["weights"]) if active[i]]
    assert shown["formula"] == ["y = " + " + ".join(terms)]


def assert_same_selection(shown, active):
    """Words, ranks and dashes tell the experts that run from those that sleep."""
    asleep = [not on for on in active]
    assert [text.endswith("active") for text in shown["cards"]] == active
    assert [not text.startswith("✓") for text in shown["marks"]] == asleep
    assert shown["dashed"] == asleep
    state = shown["state"]
    ranks = [text[2:3] if text.startswith("✓") else "" for text in shown["marks"]]
    assert [ranks.index(str(place)) for place in range(1, state["k"] + 1)] == state["selected"]
    names = ", ".join(f"E{i + 1} {EXPERT_NAMES[i]}" for i in state["selected"])
    assert names in shown["told"][0] or state["k"] == 5


def state_in_python(lab_page):
    """Run the second cell, which prints the state of the Python object."""
    cell = lab_page.cell("json.dumps")
    lab_page.run(cell)
    return json.loads(cell.locator(".jp-OutputArea-output").inner_text())


def assert_python_knows(lab_page, shown):
    told = state_in_python(lab_page)
    assert told == {key: shown["state"][key] for key in told}


def drag(lab_page, slider, share):
    """Drag a slider's handle from where it is to a share of its length, or past its end."""
    box = slider.bounding_box()
    low, high, value = (float(slider.evaluate(f"node => node.{key}")) for key in ("min", "max", "value"))
    here = box["x"] + 8 + (box["width"] - 16) * (value - low) / (high - low)
    y = box["y"] + box["height"] / 2
    mouse = lab_page.page.mouse
    mouse.move(here, y)
    mouse.down()
    mouse.move(box["x"] + box["width"] * share, y, steps=5)
    mouse.up()


def test_it_starts_with_the_code_token(lab_page, widget):
    assert look(widget)["formula"] == ["y = 0.881·E1(x) + 0.119·E4(x)"]
    lab_page.screenshot("visualizer_default", widget)


def test_the_comparison_notices_a_wrong_page(widget):
    shown = look(widget)
    for key, wrong in (("formula", ["y = 0.881·E1(x)"]), ("dashed", [True] * 5), ("everything", "NaN")):
        with pytest.raises(AssertionError):
            assert_true({**shown, key: wrong})


def test_five_tokens_by_mouse(widget):
    for kind, example in token_kinds().items():
        field(widget, f"token-{kind}").click()
        state = state_of(widget)
        assert (state["token"], state["x"]) == (kind, example.x.tolist())


def test_every_k_and_form_by_mouse(widget):
    for k, form in itertools.product(range(1, 6), GATE_FORMS):
        field(widget, f"k-{k}").click()
        field(widget, f"form-{form}").click()
        state = state_of(widget)
        assert (state["k"], state["form"]) == (k, form)


def test_noise_and_temperature_by_mouse(lab_page, widget):
    for share, noise, temperature in ((1.1, 2, 1000), (-0.1, 0, 0.001), (0.5, 1, 1)):
        drag(lab_page, field(widget, "noise-slider"), share)
        drag(lab_page, field(widget, "temperature-slider"), share)
        state = state_of(widget)
        assert state["noise"] == pytest.approx(noise, abs=0.11)
        assert state["temperature"] == pytest.approx(temperature, rel=0.7)


def test_the_noise_stays_frozen_until_new_noise_is_asked_for(lab_page, widget):
    before = state_of(widget)["noise_sample"]
    field(widget, "noise").fill("1.5")
    assert state_of(widget)["noise_sample"] == before
    press_button(widget, "New noise")
    assert state_of(widget)["noise_sample"] != before
    assert_python_knows(lab_page, look(widget))


def test_editing_the_vector(widget):
    entry = field(widget, "x2")
    assert not entry.is_visible()
    press_button(widget, "Edit x")
    entry.fill("-1.25")
    assert state_of(widget)["x"][1] == -1.25
    press_button(widget, "Reset x")
    assert state_of(widget)["x"] == token_kinds()["code"].x.tolist()


@pytest.mark.parametrize(
    ("name", "key", "good", "garbage", "beyond", "limit"),
    [
        ("x2", "x", "-1.25", "e-", "99", 3),
        ("noise", "noise", "0.5", "e", "-7", 0),
        ("temperature", "temperature", "0.25", "--", "1e9", 1000),
    ],
)
def test_garbage_keeps_the_last_good_value(widget, name, key, good, garbage, beyond, limit):
    press_button(widget, "Edit x")
    value = lambda: state_of(widget)[key][1] if key == "x" else state_of(widget)[key]  # noqa: E731
    entry = field(widget, name)
    entry.fill(good)
    entry.press_sequentially(garbage)
    assert value() == float(good)
    entry.press("Tab")
    assert entry.input_value() == good
    entry.fill("")
    entry.press("Tab")
    assert (value(), entry.input_value()) == (float(good), good)
    entry.fill(beyond)
    entry.press("Tab")
    assert (value(), entry.input_value()) == (limit, str(limit))


def test_enter_puts_a_number_out_of_range_right(widget):
    entry = field(widget, "noise")
    for typed, used in (("99", "2"), ("-1", "0")):
        entry.fill(typed)
        entry.press("Enter")
        assert (state_of(widget)["noise"], entry.input_value()) == (float(used), used)


def test_reset_ends_editing_even_where_no_number_changed(widget):
    edit = widget.get_by_role("button", name="Edit x", exact=True)
    edit.click()
    assert edit.get_attribute("aria-pressed") == "true"
    press_button(widget, "Reset")
    assert edit.get_attribute("aria-pressed") == "false"
    assert not field(widget, "x2").is_visible()


def test_frozen_noise_is_marked_as_unused_without_noise(widget):
    row = widget.locator(".step.sample")
    assert "not used" in row.inner_text()
    field(widget, "noise").fill("0.5")
    assert "not used" not in row.inner_text()


def test_a_busy_kernel_hears_of_everything_later(lab_page, widget):
    lab_page.cell("time.sleep").locator(".cm-content").click()
    lab_page.page.keyboard.press("Control+Enter")
    before = state_of(widget)["noise_sample"]
    field(widget, "token-logic").click()
    press_button(widget, "Edit x")
    field(widget, "x1").fill("2.5")
    for _ in range(3):
        press_button(widget, "New noise")
    assert state_of(widget)["noise_sample"] != before
    assert_python_knows(lab_page, look(widget))


FOCUSED = """() => document.activeElement.dataset.field
  ?? document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"""
OUTLINED = """() => [document.activeElement, document.activeElement.closest('.chip')]
  .some((node) => node && getComputedStyle(node).outlineStyle !== 'none')"""
STOPS = ["token-code", "k-2", "form-topk_softmax", "temperature-slider", "temperature", "noise-slider", "noise",
         "New noise", "E1 Code", "Picture: help", "Edit x"]  # fmt: skip


def tab_stops(lab_page, widget):
    """Return what the Tab key reaches inside the widget, from its first control on."""
    field(widget, "token-code").focus()
    stops = []
    while widget.evaluate("root => root.contains(document.activeElement)") and len(stops) < 60:
        stops.append(lab_page.page.evaluate(FOCUSED))
        assert lab_page.page.evaluate(OUTLINED) or len(stops) == 1, f"no visible focus on {stops[-1]}"
        lab_page.page.keyboard.press("Tab")
    return stops


def test_tab_reaches_everything_in_few_stops_and_shows_where_it_is(lab_page, widget):
    for name in ("New noise", "E1 Code", "Edit x"):  # a group is entered where it was left
        widget.get_by_role("button", name=name, exact=True).focus()
    assert tab_stops(lab_page, widget) == STOPS
    assert len(STOPS) <= 12


@pytest.mark.parametrize(
    ("first", "following"),
    [
        ("New noise", ["Reset", "Controls: help", "New noise"]),
        ("Edit x", ["Where the logits come from: help", "Edit x"]),  # there is nothing to go back to
        ("E1 Code", ["E2 Math", "E3 Language", "E4 Logic", "E5 Factual", "E1 Code"]),
    ],
)
def test_arrow_keys_go_through_what_is_one_tab_stop(lab_page, widget, first, following):
    widget.get_by_role("button", name=first, exact=True).focus()
    reached = []
    for _ in following:
        lab_page.page.keyboard.press("ArrowDown")
        reached.append(lab_page.page.evaluate(FOCUSED))
    assert reached == following
    lab_page.page.keyboard.press("ArrowLeft")
    assert lab_page.page.evaluate(FOCUSED) == following[-2]


@pytest.mark.parametrize(
    ("key", "start", "following"),
    [
        ("token", "code", ["maths", "language", "logic", "factual"]),
        ("k", 2, [3, 4, 5, 1, 2]),
        ("form", "topk_softmax", ["softmax_topk", "softmax_topk_renorm"]),
    ],
)
def test_choices_by_keyboard(lab_page, widget, key, start, following):
    field(widget, f"{key}-{start}").focus()
    for value in following:
        lab_page.page.keyboard.press("ArrowRight")
        assert state_of(widget)[key] == value


@pytest.mark.parametrize(("key", "low", "high"), [("noise", 0, 2), ("temperature", 0.001, 1000)])
def test_sliders_and_numbers_by_keyboard(lab_page, widget, key, low, high):
    press = lab_page.page.keyboard.press
    field(widget, f"{key}-slider").focus()
    for ending, value in (("End", high), ("Home", low)):
        press(ending)
        assert state_of(widget)[key] == value
    press("ArrowRight")
    assert state_of(widget)[key] > low
    press("Tab")
    lab_page.page.keyboard.insert_text("1.5")  # Tab has selected what was there
    assert state_of(widget)[key] == 1.5
    press("ArrowUp")
    assert state_of(widget)[key] > 1.5


def test_buttons_and_entries_by_keyboard(lab_page, widget):
    press = lab_page.page.keyboard.press
    widget.get_by_role("button", name="Edit x").focus()
    press("Enter")
    field(widget, "x1").focus()
    before = state_of(widget)["x"][0]
    press("ArrowUp")
    assert state_of(widget)["x"][0] == pytest.approx(before + 0.1)
    widget.get_by_role("button", name="Reset x").focus()
    press("Space")
    assert state_of(widget)["x"][0] == before
    assert_python_knows(lab_page, look(widget))


def test_escape_closes_help_and_keeps_the_focus(lab_page, widget):
    help_button = widget.get_by_role("button", name="Picture: help")
    for keys in (["Enter"], ["Enter", "Tab"]):
        help_button.focus()
        for key in [*keys, "Escape"]:
            lab_page.page.keyboard.press(key)
        assert widget.locator(".tip:visible").count() == 0
        assert help_button.evaluate("node => node === document.activeElement")  # JupyterLab did not take the key


def test_it_fits_one_screen_beside_the_file_browser(lab_page, widget):
    page, before = lab_page.page, lab_page.page.viewport_size
    page.set_viewport_size({"width": 1280, "height": 800})
    lab_page.command("filebrowser:activate")
    page.locator(".jp-FileBrowser").wait_for()
    view = page.locator(".jp-WindowedPanel-outer").bounding_box()
    box = widget.bounding_box()
    assert box["height"] <= view["height"] - 40
    assert view["x"] <= box["x"] <= box["x"] + box["width"] <= view["x"] + view["width"]
    lab_page.screenshot("visualizer_in_jupyterlab")
    lab_page.command("application:toggle-left-area")
    page.set_viewport_size(before)


def sweep_of_extremes():
    """All tokens, k, noise and temperature extremes and forms; then edited vectors with their extremes."""
    common = [
        [[f"k-{k}", None], ["noise", noise], ["temperature", tau], [f"form-{form}", None]]
        for k, noise, tau, form in itertools.product(range(1, 6), (0, 2), TEMPERATURES, GATE_FORMS)
    ]
    for kind in token_kinds():
        yield from ([[f"token-{kind}", None], *fields] for fields in common)
    for entries in ([0] * 6, [3] * 6, [-3] * 6, [-3, 3, -3, -3, 3, -3]):
        vector = [[f"x{row}", value] for row, value in enumerate(entries, start=1)]
        yield from ([*vector, *fields] for fields in common)


def test_no_combination_of_extremes_breaks_the_page(lab_page, widget):
    combinations = list(sweep_of_extremes())
    assert len(combinations) == (5 + 4) * 5 * 2 * 3 * 3
    shown = widget.evaluate(SWEEP, combinations)
    for one in shown:
        assert_true(one)
    distinct = {json.dumps(one["state"]) for one in shown}
    assert len(distinct) == len(combinations)
    assert len({one["height"] for one in shown}) == 1
    lab_page.screenshot("visualizer_extreme", widget)
