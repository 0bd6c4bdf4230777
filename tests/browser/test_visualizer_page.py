"""The visualizer on a plain page: every width, dark, forced colours, still for who wants no motion; it never jumps."""

import pytest
from plain_page import DARK, shot

from moe_lessons.widgets.visualizer import GatingVisualizer

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

LIGHT = """:root { --jp-content-font-color1: rgb(0 0 0 / 87%); --jp-content-font-color2: rgb(0 0 0 / 54%);
  --jp-layout-color0: white; } body { margin: 0 }"""  # JupyterLab's
WIDTHS = (296, 400, 536, 700, 850, 1100)  # the first and third: JupyterLab at 400 px, and at 200 % of 1280


@pytest.fixture
def look(show):
    """Return a function that shows a visualizer, in the colours of JupyterLab and without motion unless told."""

    def on_page(visualizer, width=850, style=LIGHT, **media):
        return show(visualizer, width=width, style=style, **{"reduced_motion": "reduce", **media})

    return on_page


def busy():
    """A state with long words: everything runs or changes, and x is none of the presets."""
    visualizer = GatingVisualizer("language", k=4, noise=2.0, temperature=0.123, form="softmax_topk")
    visualizer.x = [-2.345, -1.234, 2.345, -0.123, 1.234, -2.999]
    return visualizer


# What sticks out of the page or of its box, and the smallest letters.
OUTSIDE = """() => [...document.querySelectorAll('.moe-visualizer *, body')].filter((node) => {
  const { left, right, width } = node.getBoundingClientRect();
  const hidden = node.closest('.spoken') || width === 0;
  return !hidden && (left < -0.5 || right > innerWidth + 0.5);
}).map((node) => node.outerHTML.slice(0, 90))"""
CLIPPED = """() => [...document.querySelectorAll('.moe-visualizer :is(th, td, .chip, .card, button, .entry > div)')]
  .filter((node) => node.offsetParent && node.scrollWidth > node.clientWidth + 1)
  .map((node) => `${node.className} ${node.textContent}`)"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll('.moe-visualizer *')]
  .filter((node) => node.offsetParent && [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim()))
  .filter((node) => node.tagName !== 'SUB').map((node) => parseFloat(getComputedStyle(node).fontSize)))"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("style", [LIGHT, DARK], ids=["light", "dark"])
def test_it_fits_every_width(look, width, style):
    page = look(busy(), width, style)
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(SMALLEST) >= 11
    page.screenshot(path=shot(f"visualizer_{width}{'_dark' if style is DARK else ''}"), full_page=True)


def test_what_does_not_fit_is_noticed(look):
    page = look(busy())
    chips, cells, words = ".chip { min-width: 900px }", ".gate td { letter-spacing: 9px }", "dt { font-size: 10px }"
    page.add_style_tag(content=f".moe-visualizer {{ {chips} {cells} {words} }}")
    assert page.evaluate(OUTSIDE) != []
    assert page.evaluate(CLIPPED) != []
    assert page.evaluate(SMALLEST) == 10


# Each text's contrast with what lies behind it, painted as the page would. (The sum's names stand beside their bar.)
CONTRAST = """() => {
  const brush = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const paint = (colour) => { brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1); };
  const light = () => [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3).map((byte) => byte / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0.05);
  const behind = (node) => [...(node.parentElement ? behind(node.parentElement) : []),
    getComputedStyle(node).backgroundColor];
  const words = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  const texts = [...document.querySelectorAll('.moe-visualizer *')]
    .filter((node) => node.offsetParent && !node.closest(':disabled, .spoken, .mix') && words(node));
  return texts.map((node) => {
    paint('white');
    behind(node).forEach(paint);
    const ground = light();
    paint(getComputedStyle(node).color);
    return [Math.max(light(), ground) / Math.min(light(), ground), node.className + ' ' + node.textContent];
  }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("style", [LIGHT, DARK], ids=["light", "dark"])
def test_words_stand_out(look, style):
    page = look(busy(), style=style)
    assert page.evaluate(CONTRAST) == []
    page.locator(".gate thead th").nth(1).hover()
    assert page.evaluate(CONTRAST) == []
    pale = "color-mix(in srgb, var(--moe-ink) 40%, var(--moe-paper))"
    page.add_style_tag(content=f".moe-visualizer .mark {{ color: {pale} !important }}")
    assert page.evaluate(CONTRAST) != []


HEIGHTS = """(root) => {
  const heights = new Set();
  const press = (field) => root.querySelector(`[data-field="${field}"]`).click();
  const type = (field, value) => {
    const input = root.querySelector(`[data-field="${field}"]`);
    input.value = value;
    input.dispatchEvent(new Event('input', { bubbles: true }));
  };
  const forms = ['topk_softmax', 'softmax_topk', 'softmax_topk_renorm'];
  for (const token of ['code', 'logic']) for (const noise of [0, 1.234]) for (const k of [1, 2, 3, 4, 5])
    for (const form of forms) for (const tau of [0.001, 0.1234, 1000]) {
      for (const field of [`token-${token}`, `k-${k}`, `form-${form}`]) press(field);
      type('noise', noise); type('temperature', tau);
      heights.add(root.offsetHeight);
    }
  return [...heights];
}"""


@pytest.mark.parametrize("width", WIDTHS)
def test_it_keeps_its_height_while_it_is_moved(look, width):
    page = look(GatingVisualizer(), width)
    root = page.locator(".moe-visualizer")
    before = root.evaluate("root => root.offsetHeight")
    assert root.evaluate(HEIGHTS) == [before]
    page.locator(".readout .card").nth(3).hover()
    page.get_by_role("button", name="Edit x").click()
    assert root.evaluate("root => root.offsetHeight") == before
    assert before <= 640 or width < 700  # JupyterLab shows 679 at 1280 × 800


# What begins to move with another token: bars and parts of the sum, wires between the parts, wires in the rows.
MOVING = """() => {
  const root = document.querySelector('.moe-visualizer');
  const moving = () => root.getAnimations({ subtree: true }).map(({ effect }) => effect.target.tagName.toLowerCase());
  const before = moving();
  root.querySelector('[data-field=token-maths]').click();
  return [before, moving()];
}"""


@pytest.mark.parametrize(("wish", "parts"), [("reduce", set()), ("no-preference", {"i", "path", "div"})])
def test_it_moves_only_for_who_does_not_mind(look, wish, parts):
    before, after = look(GatingVisualizer(), reduced_motion=wish).evaluate(MOVING)
    assert before == []
    assert (parts <= set(after)) if parts else after == []


def test_in_forced_colours_what_is_chosen_and_the_sliders_are_seen(look):
    page = look(GatingVisualizer(), forced_colors="active")
    page.locator(".readout .card").nth(3).hover()
    page.screenshot(path=shot("visualizer_forced_colours"))
    ground = "node => getComputedStyle(node).backgroundColor"
    chips = page.locator(".chip.chip:has([data-field^=k-])")
    assert len({chip.evaluate(ground) for chip in chips.all()}) == 2
    track = "node => getComputedStyle(node, '::-webkit-slider-runnable-track').borderTopColor"
    sliders = [slider.evaluate(track) for slider in page.get_by_role("slider").all()]
    paper = page.locator("body").evaluate(ground)
    assert paper not in sliders


@pytest.fixture
def page(look):
    """A page with a visualizer."""
    return look(GatingVisualizer())


@pytest.fixture
def widget(page):
    """The visualizer's root element."""
    return page.locator(".moe-visualizer")


def field(widget, name):
    return widget.locator(f"[data-field='{name}']")


def test_help_opens_when_asked_for_and_stays_inside(page, widget):
    helps, tips = widget.locator("button.help"), widget.locator(".tip:visible")
    assert helps.count() == 3
    outer = widget.bounding_box()
    for button in helps.all():
        button.focus()
        assert tips.count() == 0
        page.keyboard.press("Enter")
        assert tips.count() == 1
        assert button.get_attribute("aria-expanded") == "true"
        assert button.get_attribute("aria-controls") == tips.get_attribute("id")
        assert len(tips.inner_text()) > 400
        box = tips.bounding_box()
        assert outer["x"] <= box["x"] <= box["x"] + box["width"] <= outer["x"] + outer["width"]
        assert outer["y"] <= box["y"] <= box["y"] + box["height"] <= outer["y"] + outer["height"] + 1
    page.screenshot(path=shot("visualizer_help"))
    page.keyboard.press("Escape")


def test_help_closes_by_itself(page, widget):
    tips, help_button = widget.locator(".tip:visible"), widget.get_by_role("button", name="Picture: help")
    leave = (
        lambda: help_button.click(),
        lambda: widget.locator(".formula").dispatch_event("pointerdown"),
        lambda: field(widget, "k-2").focus(),
    )
    for leaving in leave:
        help_button.click()
        assert tips.count() == 1
        leaving()
        assert tips.count() == 0


LIT = """(root) => [...root.querySelectorAll('.lit')].map((node) =>
  [node.dataset.expert, node.closest('.gate, .readout, .fan, .mix, .formula, .words').getAttribute('class')])"""
VIEWS = {"gate", "readout", "fan into", "fan out", "mix", "formula", "words"}  # column, row, wires, sum, term, sentence


def lit(widget):
    """Return the experts that are marked, and the views in which one is."""
    marked = widget.evaluate(LIT)
    return {expert for expert, _ in marked}, {view for _, view in marked}


PLACES = (".gate thead th:nth-child(5)", ".readout tr:nth-child(4) .card", ".term:nth-child(4)")  # of E4


@pytest.mark.parametrize("place", PLACES)
def test_pointing_at_an_expert_marks_it_in_every_view(page, widget, place):
    assert lit(widget) == (set(), set())
    widget.locator(place).hover()
    assert lit(widget) == ({"3"}, VIEWS)
    assert widget.locator(".pointed").inner_text().startswith("E4 Logic: x·w = (−2.1)·(−0.5) + 1.8·1")
    field(widget, "k-3").click()  # what is written anew is marked anew
    widget.locator(place).hover()
    assert lit(widget) == ({"3"}, VIEWS)
    page.mouse.move(2, 2)
    assert lit(widget) == (set(), set())


def test_focus_marks_an_expert_and_a_press_keeps_it_marked(page, widget):
    press, button = page.keyboard.press, widget.get_by_role("button", name="E1 Code", exact=True)
    page.mouse.move(2, 2)
    button.focus()
    assert lit(widget)[0] == {"0"}
    press("ArrowDown")
    assert lit(widget)[0] == {"1"}
    press("Enter")
    field(widget, "k-2").focus()
    assert lit(widget)[0] == {"1"}
    widget.locator(".card").nth(3).dispatch_event("click")  # a finger's tap
    assert lit(widget)[0] == {"3"}
    widget.get_by_role("button", name="E4 Logic", exact=True).press("Enter")
    field(widget, "k-2").focus()
    assert lit(widget)[0] == set()


def test_what_changes_is_spoken_once_it_is_at_rest(page, widget):
    voice = widget.locator("[aria-live]")
    assert voice.count() == 1
    field(widget, "k-1").click()
    page.wait_for_timeout(600)
    assert voice.inner_text().startswith("1 of 5 experts runs: E1 Code.")
    assert voice.inner_text().endswith("Active: E1 Code 1.000. Asleep: E2, E3, E4, E5. Sum of the weights: 1.000.")
    widget.get_by_role("button", name="E1 Code", exact=True).focus()
    page.wait_for_timeout(600)
    assert voice.inner_text().startswith("E1 Code: x·w = ")
