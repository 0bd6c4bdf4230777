"""The course's slider on a plain page: what a screen reader is told, keys, fingers, typing, and no room to spare."""

import pytest
from plain_page import DARK, shot
from playwright.sync_api import expect

from moe_lessons.widgets.slider import Slider

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def angle():
    return Slider("angle from x to w", 40, 0, 180, 5, unit="°", expert=1)


def sent(page, which=0):
    """Return the values that the kernel got, without repetitions."""
    page.wait_for_timeout(60)
    values = page.evaluate("(which) => window.models[which].sent", which)
    return [value for value, before in zip(values, [None, *values], strict=False) if value != before]


def test_a_screen_reader_is_told_name_unit_and_value(show):
    page = show(angle(), Slider("τ", 1.0, 0.01, 100, 0.01, log=True))
    handle = page.get_by_role("slider", name="angle from x to w, °", exact=True)
    expect(handle).to_have_attribute("aria-valuetext", "40°")
    expect(page.get_by_role("textbox", name="angle from x to w, °: type a value", exact=True)).to_have_value("40")
    tau = page.get_by_role("slider", name="τ", exact=True)
    tau.press("PageUp")
    expect(tau).to_have_attribute("aria-valuetext", "2.51")  # not its logarithm


def test_every_key_moves_it_and_the_kernel_hears_of_it(show):
    page = show(angle())
    handle = page.get_by_role("slider")
    handle.focus()
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown", "PageUp", "PageDown", "End", "Home"):
        page.keyboard.press(key)
        page.wait_for_timeout(40)  # a frame: changes in one frame are sent as one
    assert sent(page) == [45, 50, 45, 40, 60, 40, 180, 0]
    assert handle.get_attribute("data-lm-suppress-shortcuts") == "true"  # or JupyterLab takes the keys
    page.keyboard.press("Tab")
    expect(page.get_by_role("textbox")).to_be_focused()


def test_a_pointer_moves_it_by_steps_and_to_both_ends(show):
    page = show(angle())
    box = page.get_by_role("slider").bounding_box()
    assert box["height"] >= 24
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    expect(page.get_by_role("textbox")).to_have_value("90")
    page.mouse.move(box["x"] + box["width"] + 50, middle, steps=5)
    expect(page.get_by_role("textbox")).to_have_value("180")
    page.mouse.move(box["x"] - 50, middle, steps=5)
    page.mouse.up()
    expect(page.get_by_role("textbox")).to_have_value("0")
    assert all(value % 5 == 0 for value in sent(page))


def test_typing_is_taken_or_answered_in_words_that_go_with_the_next_move(show):
    page = show(angle())
    field, words = page.get_by_role("textbox"), page.get_by_role("status")
    field.fill("95°")
    field.press("Enter")
    expect(field).to_have_value("95")
    expect(words).to_have_text("")
    for typed, value, said in (
        ("ninety", "95", "“ninety” is no number: type one from 0 to 180."),
        ("200", "180", "200 is not from 0 to 180: 180 is taken."),
        ("33", "35", "33 lies between two steps: 35 is taken."),
    ):
        field.fill(typed)
        field.press("Enter")
        expect(field).to_have_value(value)
        expect(words).to_have_text(said)
        expect(field).to_have_attribute("aria-invalid", "true")
    assert field.get_attribute("aria-describedby") == words.get_attribute("id")
    page.get_by_role("slider").press("Home")
    expect(words).to_have_text("")
    expect(field).to_have_attribute("aria-invalid", "false")
    field.fill("77")
    field.press("Escape")
    expect(field).to_have_value("0")


def test_with_a_reason_to_be_idle_it_cannot_be_moved_and_says_why(show):
    slider = angle()
    slider.idle = "there is no w"
    page = show(slider)
    for control in (page.get_by_role("slider"), page.get_by_role("textbox")):
        expect(control).to_be_disabled()
    expect(page.get_by_role("status")).to_have_text("there is no w")
    page.evaluate("() => window.models[0].set('idle', '')")
    expect(page.get_by_role("slider")).to_be_enabled()
    expect(page.get_by_role("status")).to_have_text("")


def test_it_shows_what_the_kernel_sets(show):
    page = show(angle())
    page.evaluate("() => { window.models[0].set('max', 90); window.models[0].set('value', 42) }")
    expect(page.get_by_role("textbox")).to_have_value("42")
    assert page.get_by_role("slider").evaluate("(node) => [node.max, node.value]") == ["90", "42"]


WIDE = """() => [...document.querySelectorAll('.moe-slider *, body')].filter((node) => {
  const { left, right } = node.getBoundingClientRect();
  return left < 0 || right > innerWidth + 0.5 || node.scrollWidth > innerWidth;
}).length"""


@pytest.mark.parametrize("width", [200, 320, 400, 700, 1100])
@pytest.mark.parametrize("style", ["", DARK], ids=["light", "dark"])
def test_it_fits_and_can_be_grasped_at_every_width(show, width, style):
    busy = Slider("coefficient, the weakest first", 1.0, -4.0, 4.0, 0.1, expert=2, unit="nats")
    busy.label_width, busy.idle = 32, "this method was tried with one coefficient only"
    page = show(angle(), busy, Slider("f", 16384, 256, 16384, 256), width=width, style=style)
    page.get_by_role("textbox").nth(2).fill("not a number at all")
    page.get_by_role("textbox").nth(2).press("Enter")
    assert page.evaluate(WIDE) == 0
    assert min(slider.bounding_box()["width"] for slider in page.get_by_role("slider").all()) >= 60
    page.screenshot(path=shot(f"slider_{width}{'_dark' if style else ''}"))


def test_it_has_the_expert_s_colour_or_ink(show):
    fill = "(node) => getComputedStyle(node, '::-webkit-slider-thumb').getPropertyValue('--expert')"
    page = show(angle(), Slider("k", 1, 1, 4, 1))
    first, second = (slider.evaluate(fill) for slider in page.get_by_role("slider").all())
    assert first == "#E69F00"
    assert second.startswith("var(--jp-content-font-color1") or second == "#1f2328"
    forced = show(angle(), width=400, forced_colors="active")
    forced.screenshot(path=shot("slider_forced_colours"))


def test_a_button_plays_to_the_end_by_steps_pauses_and_begins_anew(show):
    film = Slider("step", 1, 0, 3, 1)
    film.plays = True
    page = show(film, Slider("k", 1, 1, 4, 1))
    value = page.get_by_role("textbox").first
    play = page.get_by_role("button", name="play step", exact=True)
    play.press("Enter")
    expect(value).to_have_value("2")
    expect(value).to_have_value("3")
    play.press("Enter")  # it has paused itself at the end
    expect(value).to_have_value("0")
    page.get_by_role("button", name="pause step", exact=True).click()
    page.wait_for_timeout(900)
    expect(value).to_have_value("0")
    assert page.get_by_role("button").count() == 1, "the other slider plays nothing"
