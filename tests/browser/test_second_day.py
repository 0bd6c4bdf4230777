"""Run, saved, the kernel gone, opened again: every widget has a picture. Also from a stranger, and exported."""

import copy

import lab
import nbformat
import pytest
from nbconvert import HTMLExporter
from test_lesson_11 import PASSAGES

from moe_lessons.data import token_kinds

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SETUP = f"""
from moe_lessons.data import worked_example
from moe_lessons.figures.still import Picture
from moe_lessons.figures.trace import trace_svg
from moe_lessons.support.progress import tqdm
from moe_lessons.widgets.compass import PrototypeCompass
from moe_lessons.widgets.live import Live, choice, slider
from moe_lessons.widgets.text_viewer import Passage, TextViewer
from moe_lessons.widgets.visualizer import GatingVisualizer

x, W_g = worked_example()
{PASSAGES}
"""
LIVE = """Live(
    lambda k, form: trace_svg(x, W_g, k, form),
    k=slider("k", 2, 1, 4, 1),
    form=choice("form", {"A": "topk_softmax", "B": "softmax_topk"}),
)"""
WIDGETS = {
    LIVE: "k = 2, form = A.",
    "GatingVisualizer('maths')": "'integral' of 'the integral of f(x)' (maths)",
    "PrototypeCompass()": "Token x = (0.6, 0.7), k = 2.",
    "TextViewer(passages)": "code, layer 1, after training: token 1, “def”",
}
WITHOUT_STATE = ("Picture(trace_svg(x, W_g))", "for _ in tqdm(range(3), desc='steps'): pass")
INVITATION = "Run this cell to move it."

PLUGIN = "@jupyter-widgets/jupyterlab-manager:plugin"

# Every still picture: whether it is seen, how wide its image is, and what it says.
STILLS = """() => [...document.querySelectorAll('.moe-still')].map((still) => {
  const image = still.querySelector('img');
  const [seen, drawn] = [still, image].map((node) => node.checkVisibility());
  return { seen, drawn, width: image.naturalWidth, alt: image.alt, words: still.innerText, height: still.offsetHeight };
})"""
# What is seen where a widget should be.
COMPLAINTS = """() => [...document.querySelectorAll('.jp-OutputArea-child')].filter((node) => node.checkVisibility())
  .map((node) => node.innerText).filter((text) => /displaying widget|Loading widget|children=/.test(text))"""
GIVEN_UP = """() => [...document.querySelectorAll('.jp-OutputArea-output')]
  .filter((node) => node.textContent.includes('model not found')).length"""
# Views come one by one, after the page is ready: looked at before, a picture still stands for the widget to come.
ALIVE = f"""() => {{
  const images = [...document.querySelectorAll('.moe-still img')];
  return images.length === {len(WIDGETS)} && !images.some((image) => image.checkVisibility());
}}"""
# Each widget is alive, or was given up and its picture stands there: nothing more will come.
AT_REST = f"""() => {{
  const images = [...document.querySelectorAll('.moe-still img')];
  const drawn = images.filter((image) => image.checkVisibility()).length;
  return images.length === {len(WIDGETS)} && drawn === ({GIVEN_UP})();
}}"""
HEIGHTS = "() => [...document.querySelectorAll('.jp-OutputArea')].map((node) => node.offsetHeight)"


@pytest.fixture(scope="module")
def notebooks(address):
    """The notebook as saved without and with the state of its widgets, and as a stranger would send it."""
    lab.write_notebook(address, "second_day.ipynb", [SETUP, *WIDGETS, *WITHOUT_STATE])
    saved = {}
    for name, keeps in (("without", False), ("with", True)):
        lab.change_setting(address, PLUGIN, {"saveState": keeps})
        with lab.silent_page(address) as page:
            page.open("second_day.ipynb")
            if not keeps:
                page.run_all()
                assert_only_live(page)
            page.page.wait_for_function(ALIVE, timeout=20_000)
            page.command("docmanager:save")
        saved[name] = lab.get_notebook(address, "second_day.ipynb")
    lab.shut_down_kernels(address)
    assert "widgets" in saved["with"]["metadata"]
    assert "widgets" not in saved["without"]["metadata"]
    return saved | {"stranger's": from_a_stranger(saved["without"])}


def assert_only_live(page):
    """Every widget is alive, no picture is there twice, and running all again changes nothing on the page."""
    page.page.wait_for_function(ALIVE, timeout=20_000)
    assert not any(still["seen"] for still in stills(page))
    heights = page.page.evaluate(HEIGHTS)
    page.run_all()
    page.page.wait_for_function(f"(before) => String(({HEIGHTS})()) === String(before)", arg=heights, timeout=20_000)
    page.page.wait_for_function(ALIVE, timeout=20_000)
    assert not any(still["seen"] for still in stills(page))


def from_a_stranger(content):
    """Return the notebook as one that nobody here has run."""
    strange = copy.deepcopy(content)
    strange["cells"].append(nbformat.v4.new_markdown_cell("Look at this!"))
    for cell in strange["cells"]:
        cell["metadata"].pop("trusted", None)
    return strange


def stills(page):
    return page.page.evaluate(STILLS)


@pytest.fixture
def opened(address, notebooks, request):
    """A page with one of the notebooks, whose widgets no kernel knows."""
    lab.put_notebook(address, "reopened.ipynb", notebooks[request.param])
    with lab.page_of(address) as page:
        page.open("reopened.ipynb")
        page.page.locator(".moe-still").nth(len(WIDGETS) - 1).wait_for(state="attached")
        yield page
        assert page.strangers() == []
    lab.shut_down_kernels(address)


def assert_pictures(shown):
    """There is a picture with words in the place of every widget."""
    assert [still["seen"] and still["drawn"] for still in shown] == [True] * len(WIDGETS)
    assert min(still["width"] for still in shown) >= 500
    assert min(len(still["alt"]) for still in shown) > 40
    for still, words in zip(shown, WIDGETS.values(), strict=True):
        assert words in still["words"]
        assert still["words"].endswith(INVITATION)


@pytest.mark.parametrize("opened", ["without"], indirect=True)
def test_reopened_without_their_state_the_widgets_are_pictures(opened):
    early = stills(opened)
    opened.page.wait_for_function(f"() => ({GIVEN_UP})() === {len(WIDGETS)}", timeout=20_000)
    late = stills(opened)
    assert_pictures(late)
    assert early == late
    assert opened.page.evaluate(COMPLAINTS) == []
    assert opened.cell("tqdm(").locator(".jp-OutputArea-output").inner_text().startswith("steps: 100%")
    opened.screenshot("second_day_without_state")


def open_until_alive(opened):
    """Open the notebook anew where JupyterLab drew a widget before it had read its state: it gives that widget up.

    Then the picture stands in its place, as without the state.
    """
    for _ in range(4):
        opened.page.wait_for_function(AT_REST, timeout=20_000)
        if not any(still["drawn"] for still in stills(opened)):
            return
        assert opened.page.evaluate(COMPLAINTS) == []
        opened.open("reopened.ipynb")
    pytest.fail("opened five times, and each time a widget was given up")


@pytest.mark.parametrize("opened", ["with"], indirect=True)
def test_reopened_with_their_state_the_widgets_are_there_once(opened):
    open_until_alive(opened)
    visualizer = opened.page.locator(".moe-visualizer[data-state]")
    live, *others = stills(opened)
    assert (live["seen"], live["drawn"], live["words"]) == (True, False, INVITATION)
    assert not any(still["seen"] for still in others)
    assert opened.page.evaluate(COMPLAINTS) == []
    assert opened.cell("Live(").locator("svg[data-state]").is_visible()
    kinds = visualizer.locator(".token input").evaluate_all("(inputs) => inputs.map((input) => input.value)")
    assert kinds == list(token_kinds())
    visualizer.locator("[data-field='k-1']").click()
    assert visualizer.locator(".formula").inner_text() == "y = 1.000·E2(x)"
    opened.screenshot("second_day_with_state")


@pytest.mark.parametrize("opened", ["stranger's"], indirect=True)
def test_from_a_stranger_the_widgets_are_pictures(opened):
    assert_pictures(stills(opened))
    assert opened.page.evaluate(COMPLAINTS) == []
    image = opened.cell("Picture(").locator("img")
    assert image.evaluate("(image) => image.naturalWidth") >= 500
    assert opened.page.locator(".jp-OutputArea table:visible").count() == 0
    opened.screenshot("second_day_from_a_stranger")


def test_exported_and_offline_the_widgets_are_pictures(address, notebooks, tmp_path):
    with lab.page_of(address) as page:
        page.page.context.set_offline(True)
        for name in ("without", "with"):
            body, _ = HTMLExporter().from_notebook_node(nbformat.from_dict(notebooks[name]))
            (tmp_path / f"{name}.html").write_text(body, encoding="utf-8")
            page.page.goto((tmp_path / f"{name}.html").as_uri())
            assert_pictures(stills(page))
            assert page.page.evaluate(COMPLAINTS) == []
        page.screenshot("second_day_exported")


@pytest.mark.parametrize(
    "harm",
    [{"seen": False}, {"drawn": False}, {"width": 0}, {"alt": ""}, {"words": "another state"}],
    ids=lambda harm: next(iter(harm)),
)
def test_broken_control_a_missing_picture_is_noticed(harm):
    shown = [
        {"seen": True, "drawn": True, "width": 580, "alt": 50 * "a", "words": f"{words} {INVITATION}"}
        for words in WIDGETS.values()
    ]
    assert_pictures(shown)
    shown[2] |= harm
    with pytest.raises(AssertionError):
        assert_pictures(shown)
