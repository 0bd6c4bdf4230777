"""Widgets on a page without a kernel: live.js starts every kind, keeps what must be kept, and leaves what it cannot."""

import json
import re

import live_page
import pytest
from plain_page import shot

from moe_lessons.data import worked_example
from moe_lessons.figures.trace import trace_svg
from moe_lessons.widgets.compass import PrototypeCompass
from moe_lessons.widgets.live import Live, choice, slider
from moe_lessons.widgets.page import block
from moe_lessons.widgets.quiz import quiz
from moe_lessons.widgets.text_viewer import Passage, TextViewer
from moe_lessons.widgets.visualizer import GatingVisualizer

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

X, W_G = worked_example()


def live_picture():
    forms = {"A": "topk_softmax", "B": "softmax_topk"}
    return Live(lambda k, form: trace_svg(X, W_G, k, form), k=slider("k", 2, 1, 4, 1), form=choice("form", forms))


def viewer():
    logits = {"now": [[[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]]}
    return TextViewer([Passage("text", ["a", "b"], logits, {"now": [1.0, float("nan")]})])


WIDGETS = {
    "visualizer": GatingVisualizer,
    "compass": PrototypeCompass,
    "text_viewer": viewer,
    "quiz": lambda: quiz("07"),
    "frames": live_picture,
}


def as_block(name, **changes):
    return block(name, {**WIDGETS[name]().page_state(), **changes}, f"<p>Instead of {name}</p>")


@pytest.fixture
def open_page(browser):
    """Return a function that opens a page in one context, so that a second page remembers what the first kept."""
    contexts, faults = {}, []

    def opened(body, width=800, fragment="", who="reader", style="", without=(), **media):
        if who not in contexts:
            contexts[who] = browser.new_context(viewport={"width": width, "height": 700})
        live_page.serve(contexts[who], live_page.files(body, style, without))
        page = contexts[who].new_page()
        page.set_viewport_size({"width": width, "height": 700})
        page.emulate_media(**media)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        page.faults = faults
        page.goto(live_page.ADDRESS + fragment)
        page.wait_for_function("() => [...document.querySelectorAll('.live')].every((block) => block.dataset.live)")
        return page

    yield opened
    for context in contexts.values():
        context.close()


def test_every_kind_of_widget_comes_alive(open_page):
    page = open_page("".join(map(as_block, WIDGETS)))
    assert page.locator(".live[data-live=yes] .moe-widget").count() == len(WIDGETS)
    assert page.get_by_text("Instead of").count() == 0
    assert page.locator(".moe-quiz").evaluate("node => getComputedStyle(node).borderTopWidth") == "1px"
    assert page.faults == []


LOOKS = """() => Object.fromEntries([...document.querySelectorAll('.moe-widget')].map((root) => {
  const look = (node) => ['padding', 'fontSize', 'lineHeight', 'borderRadius', 'textAlign', 'color', 'backgroundColor']
    .map((key) => getComputedStyle(node)[key]).join();
  return [root.className, [...new Set([root, ...root.querySelectorAll('button, input')].map(look))].sort()];
}))"""


def test_a_widget_looks_alone_as_it_does_beside_others(open_page):
    alone = {}
    for name in WIDGETS:
        alone |= open_page(as_block(name)).evaluate(LOOKS)
    for order in (WIDGETS, reversed(WIDGETS)):
        together = open_page("".join(map(as_block, order)))
        assert together.evaluate(LOOKS) == alone
    together.add_style_tag(content=".moe-widget button { padding: 3px 10px }")
    assert together.evaluate(LOOKS) != alone


@pytest.mark.parametrize(
    ("body", "without"),
    [
        (as_block("compass"), ["_static/widgets/compass.js"]),
        (as_block("compass").replace('"token"', '"token'), []),
        (as_block("compass", token=None), []),
        ('<div class="live" data-widget="../../evil"><p>Instead of compass</p></div>', []),
        (block("slider", {}, "<p>Instead of compass</p>"), []),
    ],
    ids=["no module", "no JSON", "no token", "a path", "no such widget"],
)
def test_broken_control_what_cannot_live_keeps_its_fallback_and_its_neighbour_lives(open_page, body, without):
    page = open_page(body + as_block("frames"), without=without)
    assert page.get_by_text("Instead of compass").is_visible()
    assert page.locator(".moe-compass").count() == 0
    assert page.locator(".moe-frames").is_visible()
    assert page.faults


# Pictures in a few states


def test_a_picture_is_switched_between_its_states_by_keys(open_page):
    page = open_page(as_block("frames"))
    frames = page.locator(".moe-frames")
    names = [frame["name"] for frame in live_picture().page_state()["states"]]
    assert (
        frames.get_by_role("button").all_text_contents()
        == names
        == ["k = 2, form = A", "k = 1", "k = 3", "k = 4", "form = B"]
    )
    before = frames.locator("img").get_attribute("src")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert frames.get_attribute("data-state") == "k = 1"
    assert frames.get_by_role("button", pressed=True).text_content() == "k = 1"
    assert frames.locator("img").get_attribute("src") != before
    assert frames.locator("[aria-live]").text_content().startswith("k = 1. ")
    assert len(frames.locator("img").get_attribute("alt")) > 40
    page.screenshot(path=shot("frames"))


# The visualizer's address


def asked_for(page):
    return json.loads(page.locator(".moe-visualizer").get_attribute("data-state"))


def test_the_visualizers_state_is_read_from_the_address_and_written_into_it(open_page):
    page = open_page(as_block("visualizer"), fragment="#visualizer:token=maths&k=3&noise=0.5&form=softmax_topk")
    state = asked_for(page)
    assert [state[key] for key in ("token", "k", "noise", "form", "temperature")] == [
        "maths",
        3,
        0.5,
        "softmax_topk",
        1,
    ]
    page.locator("[data-field='k-1']").click()
    page.wait_for_url("**/page.html#visualizer:token=maths&k=1&noise=0.5&form=softmax_topk")
    again = open_page(as_block("visualizer"), fragment=page.url.partition("page.html")[2])
    assert asked_for(again) == asked_for(page)
    assert page.faults == []


def test_a_state_like_the_first_leaves_no_address_and_one_is_written_after_a_pause(open_page):
    page = open_page(as_block("visualizer"))
    count = page.evaluate("history.length")
    page.locator("[data-field='k-3']").click()
    assert page.evaluate("location.hash") == ""
    page.wait_for_function("location.hash === '#visualizer:k=3'")
    page.locator("[data-field='k-2']").click()
    page.wait_for_function("location.hash === ''")
    assert page.evaluate("history.length") == count


def test_another_address_is_obeyed_and_a_place_on_the_page_is_left_alone(open_page):
    page = open_page(as_block("visualizer") + "<h2 id='below'>Below</h2>", fragment="#below")
    assert asked_for(page)["k"] == 2
    page.evaluate("location.hash = '#visualizer:k=4'")
    page.wait_for_function("() => document.querySelector('.moe-visualizer').dataset.state.includes('\"k\":4')")
    page.evaluate("location.hash = '#visualizer:temperature=0.1'")
    page.wait_for_function("() => document.querySelector('.moe-visualizer').dataset.state.includes('\"k\":2')")
    assert asked_for(page)["temperature"] == 0.1


# The quiz


def right_of(step):
    return next(i for i, option in enumerate(step.options) if option.mistake is None)


def answer(page, step, right):
    """Choose an option of a question with the keyboard, right or wrong."""
    wanted = right_of(step) if right else (right_of(step) + 1) % len(step.options)
    for _ in range(len(step.options) + 1):
        if page.evaluate("document.activeElement.dataset.option") == str(wanted):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")


def begin(page):
    """Go to the first question, as a reader with a keyboard."""
    page.locator(".moe-quiz").wait_for()
    page.keyboard.press("Tab")


def test_a_quiz_is_taken_by_the_keyboard_alone(open_page):
    page, ideas = open_page(as_block("quiz")), quiz("07").quiz.ideas
    root, voice = page.locator(".moe-quiz"), page.locator(".moe-quiz [aria-live]")
    begin(page)
    first, sister = ideas[0].questions
    answer(page, first, right=False)
    assert voice.count() == 1
    assert voice.inner_text().startswith("Not right. ")
    assert root.locator(".chosen .said").inner_text().strip() == "(your answer)"
    assert root.locator(".right.other .said").inner_text().strip() == "(right)"
    assert page.evaluate("document.activeElement.textContent") == "The same idea once more"
    page.screenshot(path=shot("quiz_wrong"))
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "asks"
    assert root.locator(".head").inner_text().startswith("Idea 1 of 5: once more")
    answer(page, sister, right=True)
    assert voice.inner_text().startswith("Right. ")
    for number, idea in enumerate(ideas[1:], 1):
        page.keyboard.press("Enter")
        answer(page, idea.questions[0], right=number < 4)
    page.keyboard.press("Enter")
    answer(page, ideas[4].questions[1], right=False)
    assert page.evaluate("document.activeElement.textContent") == "See the result"
    page.keyboard.press("Enter")
    assert root.locator(".asks").inner_text() == "3 of 5 ideas at once, 1 at the second question, 1 not yet."
    assert page.evaluate("document.activeElement.className") == "asks"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert root.locator(".head").inner_text().startswith("Idea 1 of 1")
    assert page.faults == []


KEPT = "JSON.parse(localStorage.getItem('moe-lessons/quiz/07'))"


def test_what_was_shown_is_kept_in_the_browser_and_not_asked_again(open_page):
    page, ideas = open_page(as_block("quiz")), quiz("07").quiz.ideas
    begin(page)
    answer(page, ideas[0].questions[0], right=True)
    page.wait_for_function(f"{KEPT} !== null")
    assert page.evaluate(KEPT)[ideas[0].name] == {"attempts": 1, "correct": True}
    again = open_page(as_block("quiz"))
    assert again.locator(".moe-quiz .head").inner_text().startswith("Idea 1 of 4")
    other = open_page(as_block("quiz"), who="another reader")
    assert other.locator(".moe-quiz .head").inner_text().startswith("Idea 1 of 5")


def test_a_browser_that_keeps_nothing_is_told_of(open_page):
    page = open_page(as_block("quiz"))
    page.evaluate("() => void (Storage.prototype.getItem = () => { throw new Error('no') })")
    idea, model = quiz("07").quiz.ideas[0], page.locator(".moe-quiz")
    begin(page)
    answer(page, idea.questions[0], right=True)
    while model.get_attribute("data-state") != "over":
        page.locator(".moe-quiz :is(.options button, .below button)").first.click()
    assert model.locator(".place").inner_text() == "Not kept: this browser lets no page remember anything."
    assert page.faults == []


def test_options_stand_in_another_order_another_time(open_page):
    orders = set()
    for reader in range(6):
        page = open_page(as_block("quiz"), who=f"reader {reader}")
        orders.add(tuple(page.locator("[data-option]").evaluate_all("nodes => nodes.map((n) => n.dataset.option)")))
    assert len(orders) > 1


OUTSIDE = """() => [...document.querySelectorAll('.moe-widget *')].filter((node) => {
  const { left, right, width } = node.getBoundingClientRect();
  return !node.closest('.spoken') && width > 0 && (left < -0.5 || right > innerWidth + 0.5);
}).map((node) => node.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("style", ["", live_page.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["quiz", "frames"])
def test_it_fits_a_telephone(open_page, name, style):
    page = open_page(as_block(name), width=360, style=style)
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.screenshot(path=shot(f"page_{name}_360{'_dark' if style else ''}"))
    page.add_style_tag(content=".moe-widget button { min-width: 400px }")
    assert page.evaluate(OUTSIDE) != []


def test_a_formula_of_a_quiz_is_drawn(open_page):
    page = open_page(as_block("quiz", attempt={"seed": 1, "asked": [0], "answers": [], "left": 0}))
    assert re.match("<i>E</i><sub>5</sub>", page.locator(".asks .moe-formula").first.inner_html())


# How much is explained

LOGIT = "The score that a router gives an expert: any number, positive or negative."
KEPT_MASS = "The probability that the selected experts of a token hold together."
WORDS = f"""<div class="reading-level"></div><section><h1>Words</h1><p style="margin: 40px">A
  <abbr title="{LOGIT}">logit</abbr>, and the <abbr title="{KEPT_MASS}">kept mass</abbr>, and an
  <abbr title="Not in the glossary.">oddity</abbr>.</p></section>"""


def marked(page):
    return page.locator("abbr.explained").all_text_contents()


def test_a_reader_chooses_how_many_words_are_marked_and_it_is_remembered(open_page):
    page = open_page(WORDS)
    page.locator(".explain").wait_for()
    assert marked(page) == ["logit", "kept mass", "oddity"]
    page.get_by_label("the usual").check()
    assert marked(page) == ["kept mass", "oddity"]
    page.keyboard.press("ArrowRight")
    assert marked(page) == ["oddity"]
    again = open_page(WORDS)
    again.locator(".explain").wait_for()
    assert marked(again) == ["oddity"]
    assert again.get_by_label("little").is_checked()
    assert page.faults == []


def test_a_word_tells_its_meaning_on_hover_focus_and_tap(open_page):
    page = open_page(WORDS)
    page.locator(".explain").wait_for()
    tip, word = page.get_by_role("tooltip"), page.locator("abbr").first
    assert not tip.is_visible()
    word.hover()
    assert tip.inner_text() == LOGIT
    assert word.get_attribute("title") is None
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.get_by_label("everything").focus()
    page.keyboard.press("Tab")
    assert tip.inner_text() == LOGIT
    page.screenshot(path=shot("words"))
    page.keyboard.press("Tab")
    assert tip.inner_text() == KEPT_MASS
    page.get_by_label("little").check()
    assert not tip.is_visible()
    word.hover()
    assert not tip.is_visible()


def test_a_meaning_stays_on_a_narrow_page(open_page):
    page = open_page(WORDS.replace("margin: 40px", "margin: 40px; text-align: right"), width=360)
    page.locator(".explain").wait_for()
    page.locator("abbr").nth(1).focus()
    box = page.get_by_role("tooltip").bounding_box()
    assert 0 <= box["x"] <= box["x"] + box["width"] <= 360


def test_words_that_bring_their_levels_need_no_glossary(open_page):
    words = WORDS.replace("<abbr ", '<abbr data-level="expert" ').replace("expert", "newcomer", 1)
    page = open_page(words, without=["_static/glossary.json"])
    page.get_by_label("little").check()
    assert marked(page) == ["kept mass", "oddity"]
    assert page.faults == []


def test_broken_control_without_the_glossary_the_words_keep_their_titles(open_page):
    page = open_page(WORDS, without=["_static/glossary.json"])
    page.wait_for_timeout(300)
    assert page.locator("abbr[title]").count() == 3
    assert page.faults
