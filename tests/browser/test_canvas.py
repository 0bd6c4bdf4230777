"""A picture on a plain page: whose marks belong together, grips by pointer and keys, what is read out, no room."""

import pytest
from plain_page import DARK, shot
from playwright.sync_api import expect

from moe_lessons.figures.softmax import softmax_svg
from moe_lessons.widgets.live import Live, choice, slider

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

NAMES = [f"h{i + 1}" for i in range(4)]


def explorer(grips=NAMES):
    """The picture of lesson 02, with a grip for each of these logits."""
    return Live(
        lambda form, **h: softmax_svg([*h.values()], 0, form, grips=grips),
        form=choice("form", ["stable", "naive"]),
        **{name: slider(f"logit of E{i + 1}", 3.0 - i, -4.0, 4.0, 0.1, expert=i) for i, name in enumerate(NAMES)},
    )


def moved(page):
    """Return what the kernel got of the grips, without the name."""
    page.wait_for_timeout(60)  # a frame, and what is sent in it
    return page.evaluate("() => window.models[0].get('moved').value")


def redraw(page, live):
    """Give the page what the kernel would send after a control has moved."""
    state = {key: getattr(live.canvas, key) for key in ("words", "controls", "value")}
    page.evaluate("state => Object.entries(state).forEach(([key, value]) => window.models[0].set(key, value))", state)


def test_pointing_at_an_expert_marks_all_that_is_its_own(show):
    page = show(explorer(grips=()).canvas)
    page.locator("svg text", has_text="E2").hover()
    assert page.evaluate("() => [...document.querySelectorAll('.lit')].map(n => n.dataset.expert)") == ["1"] * 3
    assert page.locator("rect[data-expert='0']").first.evaluate("n => getComputedStyle(n).opacity") == "0.3"
    page.screenshot(path=shot("canvas_pointed"))
    page.mouse.move(5, 650)
    assert page.locator(".lit, .pointing").count() == 0


def test_a_grip_follows_the_pointer_and_keeps_the_focus_when_drawn_anew(show):
    live = explorer()
    page = show(live.canvas, width=480, style="body { margin: 0 }")
    grip = page.get_by_role("slider", name="logit of E1", exact=True)
    box = grip.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 33, y, steps=3)
    assert moved(page) == pytest.approx(3.0 - 33 / (45 / 4), abs=0.1)
    page.mouse.move(x - 400, y)
    assert moved(page) == -4.0
    live.canvas.moved = {"name": "h1", "value": -4.0}
    redraw(page, live)
    page.mouse.up()
    assert live.controls["h1"].value == -4.0
    expect(grip).to_be_focused()
    expect(grip).to_have_attribute("aria-valuenow", "-4")
    page.mouse.move(x, y)
    assert moved(page) == -4.0, "let go, and still moved"


def test_keys_move_a_grip_by_steps_and_to_its_ends(show):
    page = show(explorer().canvas)
    grip = page.get_by_role("slider", name="logit of E2", exact=True)
    grip.focus()
    for key, value in {"ArrowRight": 2.1, "ArrowDown": 1.9, "Home": -4.0, "End": 4.0}.items():
        page.keyboard.press(key)
        assert moved(page) == pytest.approx(value)
    assert grip.get_attribute("data-lm-suppress-shortcuts") == "true"  # or JupyterLab takes the keys
    page.keyboard.press("x")
    assert moved(page) == 4.0
    page.screenshot(path=shot("canvas_focus"))


def test_what_can_be_moved_stands_in_no_image_and_what_cannot_does(show):
    assert show(explorer().canvas).locator("svg").get_attribute("role") == "group"
    assert show(explorer(grips=()).canvas).locator("svg").get_attribute("role") == "img"


def test_a_change_is_read_out_once_the_picture_rests_and_the_first_picture_is_not(show):
    live = explorer()
    page = show(live.canvas)
    spoken = page.get_by_role("status")
    page.wait_for_timeout(800)
    expect(spoken).to_have_text("")
    for value in (1.0, 2.0, 4.0):
        live.controls["h2"].value = value
        redraw(page, live)
        expect(spoken).to_have_text("")
    expect(spoken).to_contain_text("LSE = 4.36")
    assert spoken.bounding_box()["width"] == 1


def test_a_sentence_in_place_of_a_picture_comes_and_goes(show):
    live = explorer()
    page = show(live.canvas)
    page.evaluate("() => window.models[0].set('value', '<p role=\"alert\">No picture</p>')")
    expect(page.get_by_role("alert")).to_be_visible()
    redraw(page, live)
    page.evaluate("(value) => window.models[0].set('value', value)", live.canvas.value + " ")
    expect(page.locator("svg")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


# Whether it scrolls, and how much smaller than drawn it is.
WIDE = """() => {
  const [frame, picture] = ['.frame', 'svg'].map((part) => document.querySelector(part));
  return [frame.scrollWidth > frame.clientWidth + 1, picture.clientWidth / picture.viewBox.baseVal.width];
}"""


@pytest.mark.parametrize(("width", "scrolls"), [(300, True), (480, False), (1000, False)])
def test_letters_are_never_smaller_than_11_pixels_and_what_is_too_wide_scrolls(show, width, scrolls):
    page = show(explorer().canvas, width=width, style=DARK)
    wide, scale = page.evaluate(WIDE)
    assert wide == scrolls
    assert 13 * scale >= 10.99
    page.screenshot(path=shot(f"canvas_{width}"))


@pytest.mark.parametrize(("motion", "seconds"), [("reduce", "0s"), ("no-preference", "0.15s")])
def test_marks_slide_to_their_new_places_but_for_who_wants_no_motion(show, motion, seconds):
    page = show(explorer().canvas, reduced_motion=motion)
    took = page.locator("rect[data-expert='0']").first.evaluate("n => getComputedStyle(n).transitionDuration")
    assert took.split(", ")[0] == seconds
