"""Lesson 01 as a learner meets it: a real JupyterLab, a mouse and a keyboard."""

import re

import lab
import pytest

from moe_lessons import routing
from moe_lessons.data import worked_example

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def state_of(cell):
    return cell.locator("svg[data-state]").first.get_attribute("data-state")


def wait_for_state(page, cell, words):
    cell.locator(f"svg[data-state*='{words}']").first.wait_for(timeout=10_000)
    return state_of(cell)


def slide(page, slider, share):
    """Press on a slider and move the pointer to a share of its length."""
    box = slider.bounding_box()
    drag(page, slider, (share - 0.5) * box["width"], 0)


def drag(page, locator, dx, dy):
    box = locator.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up()


@pytest.fixture(scope="module")
def lesson(address):
    """One page for all tests of the lesson; at the end nobody else was asked and the console is empty."""
    with lab.silent_page(address) as opened:
        opened.open("notebooks/01_worked_example.ipynb")
        opened.run_all()
        yield opened
        opened.screenshot("lesson_01")


def test_the_lesson_runs_and_shows_its_numbers(lesson):
    lesson.cell("trace = route(x, W_g, k=2)").get_by_text("0.363").first.wait_for(timeout=10_000)
    assert "0.3626" not in lesson.cell("p = softmax(h)").inner_text()  # kept back: nothing was predicted
    assert lesson.page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


def test_words_are_explained_where_they_come_first_and_listed_at_the_end(lesson):
    source = (lab.ROOT / "notebooks/01_worked_example.ipynb").read_text(encoding="utf-8")
    marked = lesson.page.locator(".jp-RenderedMarkdown abbr[title]")
    assert marked.count() == source.count("<abbr title=") > 10
    folds = lesson.page.locator(".jp-MarkdownCell").last.locator("details")
    assert folds.count() == 2
    assert not folds.first.get_by_text("any number, positive or negative").is_visible()
    folds.first.locator("summary").click()
    folds.first.get_by_text("any number, positive or negative").wait_for(timeout=10_000)


def test_the_trace_answers_keyboard_and_mouse(lesson):
    cell = lesson.cell("lambda step, k, x1")
    handles = cell.locator(".moe-slider input[type=range]")
    assert state_of(cell).startswith("step=1|k=2|")
    handles.nth(0).focus()
    for step in range(2, 6):
        lesson.page.keyboard.press("ArrowRight")
        wait_for_state(lesson, cell, f"step={step}|k=2|")
    slide(lesson.page, handles.nth(1), 1.2)
    wait_for_state(lesson, cell, "step=5|k=4|")
    slide(lesson.page, handles.nth(2), -0.2)
    wait_for_state(lesson, cell, "x=[-2.0, ")
    shown = [t for t in cell.locator("svg text").all_text_contents() if re.fullmatch(r"−?\d\.\d{3}", t)]
    x, W_g = worked_example()
    trace = routing.route([-2.0, *x[1:]], W_g, k=4)
    rows = zip(trace.logits, trace.probs, trace.weights, strict=True)
    expected = [f"{v:.3f}".replace("-", "−") for h, p, w in rows for v in (h, p, w)]
    numbers = [n for i, n in enumerate(shown) if i % 4 != 1]  # leave out the exponentials
    assert numbers == expected
    lesson.screenshot("trace_extreme", cell)


def test_the_compass_answers_mouse_and_keyboard(lesson):
    cell = lesson.cell("compass = PrototypeCompass")
    before = state_of(cell)
    drag(lesson.page, cell.locator("svg .token .hold").first, 60, -40)
    dragged = state_of(cell)
    assert dragged != before
    field = cell.locator("input[type=number]").first
    field.fill("-2")
    field.press("Enter")
    typed = state_of(cell)
    assert typed not in (before, dragged)
    field.press("ArrowUp")
    assert wait_for_state(lesson, cell, '"token":[-1.9,') != typed
    lesson.screenshot("compass_dragged", cell)


# Which cell is the active one, and how far the page is scrolled.
PLACE = """() => {
  const { content } = window.jupyterapp.shell.currentWidget;
  return [content.activeCellIndex, Math.round((content.outerNode ?? content.node).scrollTop)];
}"""


def test_ctrl_enter_runs_a_picture_and_stays_where_one_looks(lesson):
    cell = lesson.cell("lambda step, k, x1")
    cell.locator(".cm-content").click()
    place = lesson.page.evaluate(PLACE)
    lesson.page.keyboard.press("Control+Enter")
    wait_for_state(lesson, cell, "step=1|k=2|")
    lesson.page.wait_for_timeout(300)
    assert lesson.page.evaluate(PLACE) == place
    lesson.page.keyboard.press("Shift+Enter")  # the control: it goes on
    lesson.page.wait_for_timeout(300)
    assert lesson.page.evaluate(PLACE)[0] == place[0] + 1
