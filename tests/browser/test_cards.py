"""Verdict cards in a real JupyterLab: read in either theme, narrow, in forced colours, and in a stranger's notebook."""

import lab
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from moe_lessons.checks import cards, questions

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

FIRST, SECOND = questions()["1.1"], questions()["1.2"]
HINT, NEXT = f"#{cards.hint_anchor(FIRST)}", f"#{cards.heading(SECOND)}"
TOP = f"## {FIRST.id} {FIRST.title}\n\n<details><summary id='{HINT[1:]}'>Hint 1</summary>\n\nA hint.\n\n</details>"
BOTTOM = f"## {SECOND.id} {SECOND.title}\n\n" + "\n\n".join(["Words."] * 60)
CHECKS = """import os
import numpy as np
from moe_lessons.checks import check, compare, progress

def right(x, weight, bias):
    return x @ weight.T + bias

os.environ["MOE_LESSONS_HOME"] = {home!r}  # other tests count their attempts
check("1.1", right, seed=1)
check("1.1", lambda x, weight, bias: right(x, weight, bias).round(3), seed=1)
check("1.1", lambda x, weight, bias: right(x, weight, bias) / np.sqrt(x.shape[-1]), seed=1)
check("1.1", lambda x, weight, bias: 1 / 0, seed=1)
check("1.2")
compare([0.5, 0.2, 0.3], np.array([0.45, 0.25, 0.3]))
compare(..., 7)"""
BANDS = ["Correct.", "Close, but not yet.", "Not yet.", "Your code raised.", "Not attempted yet.",
         "1 of 3 entries are right: numbers 1 and 2 are not.", "No prediction yet."]  # fmt: skip

# The contrast of each piece of text in a card with what is behind it, the least first.
CONTRASTS = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((part, i) => a * part + (1 - a) * below[i]);
  const ground = (node) => {
    if (!node) return [255, 255, 255];
    const own = parts(getComputedStyle(node).backgroundColor);
    return (own[3] ?? 1) === 1 ? own.slice(0, 3) : over(own, ground(node.parentElement));
  };
  const light = (rgb) => rgb.map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return [...document.querySelectorAll('.moe-card *')].filter(hasText).map((node) => {
    const below = ground(node), ink = over(parts(getComputedStyle(node).color), below);
    const [dark, bright] = [light(ink), light(below)].sort((a, b) => a - b);
    return [(bright + 0.05) / (dark + 0.05), node.textContent.slice(0, 40)];
  }).sort((a, b) => a[0] - b[0]);
}"""
CUT_OFF = """() => [...document.querySelectorAll('.moe-card, .moe-card *')]
  .filter((node) => node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0)
  .map((node) => node.className + ': ' + node.textContent.slice(0, 40))"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll('.moe-card *')]
  .map((node) => parseFloat(getComputedStyle(node).fontSize)))"""
SEEN = """(node) => {
  const box = node.getBoundingClientRect();
  return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight;
}"""


def notebook(*cells):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=list(cells), metadata=kernel)


@pytest.fixture(scope="module")
def opened(address, one_page, tmp_path_factory):
    """A notebook with a card of each kind, and progress."""
    checks = new_code_cell(CHECKS.format(home=str(tmp_path_factory.mktemp("home"))))
    cells = new_markdown_cell(TOP), checks, new_code_cell("progress()"), new_markdown_cell(BOTTOM)
    lab.put_notebook(address, "cards.ipynb", notebook(*cells))
    one_page.open("cards.ipynb")
    one_page.run_all()
    one_page.page.locator(".moe-progress").wait_for()
    return one_page


@pytest.fixture(autouse=True)
def as_before(opened):
    yield
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    opened.page.emulate_media(forced_colors="none")


def bands(page):
    return page.page.locator(".moe-band strong").all_inner_texts()


def legible(page):
    """Return what of the cards cannot be read: too faint, too small, cut off."""
    faint = [pair for pair in page.page.evaluate(CONTRASTS) if pair[0] < 4.5]
    small = page.page.evaluate(SMALLEST) < 11
    return [*faint, *page.page.evaluate(CUT_OFF), *(["small"] if small else [])]


@pytest.mark.parametrize("theme", ["Dark", "Light"])
def test_every_kind_of_verdict_is_read_in_either_theme(opened, theme):
    opened.page.evaluate(
        "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", f"JupyterLab {theme}"
    )
    opened.page.wait_for_function(f"() => document.body.dataset.jpThemeLight === '{str(theme == 'Light').lower()}'")
    assert bands(opened) == BANDS
    assert legible(opened) == []
    opened.screenshot(f"cards_{theme}")


@pytest.mark.parametrize("width", [700, 400])
def test_a_narrow_page_cuts_nothing_off(opened, width):
    opened.page.set_viewport_size({"width": width, "height": 900})
    assert legible(opened) == []
    opened.screenshot(f"cards_{width}")


def test_in_forced_colours_bands_and_bars_remain(opened):
    opened.page.emulate_media(forced_colors="active")
    assert legible(opened) == []
    assert min(opened.page.locator(".moe-bar").evaluate_all("(bars) => bars.map((bar) => bar.offsetHeight)")) >= 6


@pytest.mark.parametrize(("link", "target"), [(HINT, "summary"), (NEXT, "h2 >> nth=1")])
def test_a_link_leads_to_its_target(opened, link, target):
    anchor = opened.page.locator(f".moe-card a[href='{link}']").first
    anchor.scroll_into_view_if_needed()
    anchor.click()
    aim = opened.page.locator(f".jp-MarkdownOutput {target}").first
    opened.page.wait_for_function(SEEN, arg=aim.element_handle(), timeout=5_000)


def test_a_stranger_sees_words_and_bars(address, opened):
    opened.command("docmanager:save")
    strange = lab.get_notebook(address, "cards.ipynb")
    for cell in strange["cells"]:
        cell["metadata"].pop("trusted", None)
    strange["cells"].append(new_markdown_cell("Look at this!"))
    lab.put_notebook(address, "strange.ipynb", strange)
    with lab.silent_page(address) as page:
        page.open("strange.ipynb")
        page.page.locator(".moe-card").first.wait_for()
        assert page.page.locator(".moe-card style, .jp-OutputArea style").count() == 0
        assert [words for words in bands(page) if words in BANDS] == BANDS
        assert page.page.locator(".moe-bar").first.evaluate("(bar) => bar.offsetWidth") > 20
        assert legible(page) == []
        page.screenshot("cards_from_a_stranger")
