"""The quiz in JupyterLab: the keyboard belongs to it, and what is shown is kept where progress is."""

import lab
import pytest

from moe_lessons.checks.quiz import quiz

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

CELLS = (
    'from moe_lessons.widgets.quiz import quiz\n\nquiz("04")',
    "from moe_lessons.checks.records import load\n\n"
    "print([load(f'quiz-04-{name}')['attempts'] for name in ('leak', 'form')])",
    # The other tests of this server are readers of their own.
    "import os, tempfile\nfrom moe_lessons.checks import explain\n\nhome = os.environ['MOE_LESSONS_HOME']\n"
    "os.environ['MOE_LESSONS_HOME'] = tempfile.mkdtemp()\nlittle = explain('little')\n"
    "os.environ['MOE_LESSONS_HOME'] = home\nlittle",
)
LEAK = quiz("04").ideas[0].questions


@pytest.fixture(scope="module")
def shown(address):
    with lab.quiet_page(address, "quiz.ipynb", CELLS) as opened:
        opened.page.locator(".moe-quiz[data-state=asked]").wait_for()
        yield opened
        opened.screenshot("quiz_in_lab")


def press(page, option):
    """Go to an option with Tab and choose it."""
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.dataset.option") != str(option):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")


def test_it_is_taken_by_keys_that_jupyterlab_leaves_alone_and_kept(shown):
    page, root = shown.page, shown.page.locator(".moe-quiz")
    cells = page.locator(".jp-CodeCell").count()
    right = [next(i for i, option in enumerate(one.options) if option.mistake is None) for one in LEAK]
    root.locator(".asks").focus()
    page.keyboard.press("d")
    page.keyboard.press("d")
    page.keyboard.press("x")
    assert page.locator(".jp-CodeCell").count() == cells
    press(page, (right[0] + 1) % 3)
    assert root.locator("[aria-live]").inner_text().startswith("Not right. ")
    assert page.evaluate("document.activeElement.textContent") == "The same idea once more"
    page.keyboard.press("Enter")
    root.locator(".head", has_text="once more").wait_for()
    press(page, right[1])
    assert root.get_attribute("data-state") == "answered"
    assert page.locator(".jp-CodeCell").count() == cells
    shown.screenshot("quiz_in_lab_answered", shown.cell("quiz("))
    shown.run(shown.cell("load(f"))
    shown.cell("load(f").get_by_text("[1, 0]").wait_for(timeout=10_000)


def test_run_again_it_does_not_ask_what_was_shown(shown):
    shown.run(shown.cell('quiz("04")'))
    shown.page.locator(".moe-quiz .head", has_text="Idea 1 of 4").wait_for(timeout=20_000)
    assert shown.cell('quiz("04")').locator(".moe-still").is_hidden()


def test_a_reader_who_wants_little_has_few_words_marked(shown):
    """Word for word as the build marks them in a lesson."""
    said = shown.cell("explain('little')").locator(".moe-reading p").inner_text()
    assert said.startswith("Explained: little, ")
    decoration = """(words) => {
      const text = document.querySelector('.jp-CodeCell').appendChild(document.createElement('p'));
      return words.map((says) => {
        const word = text.appendChild(Object.assign(document.createElement('abbr'), { title: says }));
        return getComputedStyle(word).textDecorationLine;
      });
    }"""
    logit = "The score that a router gives an expert: any number, positive or negative."
    assert shown.page.evaluate(decoration, [logit, "No word of the course."]) == ["none", "underline"]
