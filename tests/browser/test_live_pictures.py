"""The pictures of lessons 05–07 in a real JupyterLab: every slider to both ends by keyboard, every choice of a list."""

import re

import lab
import nbformat
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SLIDER = ".moe-slider input[type=range]"
ENDS = {"Home": "min", "End": "max"}

# What a picture needs but takes long to measure or to train. Everything else comes from the lesson's own cells.
QUICK_TIMES = """
LIMIT = "products only"
my_times_the_limit = 10
times = {N: {"by_token": [0.09, 0.1], "k = N": [N / 400, N / 390], LIMIT: [0.01, 0.011]} for N in (8, 32)}
medians = {N: {name: spread(seconds).median for name, seconds in rows.items()} for N, rows in times.items()}
"""
QUICK_TASKS = """
layers = worth_it.contenders(top_k=2)
times = {kind: [0.001] for kind in layers}
study = {(task, 400): {kind: worth_it.train_and_test(kind, make, (0,), steps=2, **options)
                       for kind, make in layers.items()} for task, options in worth_it.TASKS.items()}
"""
QUICK_RUNS = """
results = {name: blind_spot.run(name, runs=2) for name in ('fair', 'top_k_a', 'straight_through')}
B = blind_spot.run('top_k_b', runs=2, opposite=True)
"""

# Lesson -> what is run of it: cells, by name or by some of their text, and what stands in for the long ones.
LESSONS = {
    "05_sparse_layer": ("setup", "picture-dispatch", QUICK_TIMES, "picture-speed"),
    "06_counting_the_cost": ("setup", "picture-accountant", QUICK_TASKS, "picture-worth-it"),
    "07_gradients": ("setup", "x, W_g = worked_example()", "picture-gradients",
                     QUICK_RUNS, "picture-blind-spot"),
}  # fmt: skip

# Pictures that fail at the upper end: one with an exception that `Live` lets through, one with a sentence in its place.
BROKEN = """
from moe_lessons.figures.svg import picture
from moe_lessons.widgets.live import Live, slider

def broken(level, error):
    if level == 3:
        raise error("broken at the upper end")
    return picture(100, 40, "a picture", "that breaks at 3", state=f"level={level}")
"""
RAISES = "Live(lambda level: broken(level, ZeroDivisionError), level=slider('level', 2, 1, 3, 1))"
REFUSES = "Live(lambda level: broken(level, ValueError), level=slider('level', 2, 1, 3, 1))"

# Collects every exception that the kernel reports, in whatever cell or callback.
LISTEN = """() => {
  window.kernelErrors = [];
  window.jupyterapp.shell.currentWidget.sessionContext.iopubMessage.connect((_, message) => {
    if (message.header.msg_type === 'error') window.kernelErrors.push(message.content.evalue);
  });
}"""

# The state of the picture below `root` once it no longer is `before`; null if it stays.
CHANGED = """async (root, before) => {
  const state = () => root.querySelector('svg[data-state]')?.dataset.state ?? '';
  for (const end = performance.now() + 3000; performance.now() < end; await new Promise(requestAnimationFrame))
    if (state() !== before) return state();
  return null;
}"""


def source_of(lesson, wanted):
    """Return the source of the lesson's code cell with this name, or else with this text; or `wanted` itself."""
    cells = [c for c in nbformat.read(lab.ROOT / f"notebooks/{lesson}.ipynb", 4).cells if c.cell_type == "code"]
    found = [c.source for c in cells if c.id == wanted] or [c.source for c in cells if wanted in c.source]
    return found[0] if found else wanted


def open_with(page, name, sources):
    """Run these cells in a notebook of their own, and listen for exceptions from then on."""
    lab.write_notebook(page.address, name, sources)
    page.open(name)
    page.page.evaluate(LISTEN)
    page.run_all()


def pictures_of(page):
    """Return the output areas that hold controls, once each shows its picture."""
    areas = page.page.locator(".jp-OutputArea").filter(has=page.page.locator(f"{SLIDER}, select")).all()
    for area in areas:
        area.locator("svg[data-state]").wait_for(timeout=20_000)
    return areas


class Sweep:
    """Moves the controls of one picture. `stuck` names each change of a control that did not change the picture."""

    def __init__(self, page, area):
        self.page, self.area = page, area
        self.state = area.locator("svg[data-state]").get_attribute("data-state")
        self.moves, self.stuck = 0, []

    def whole(self):
        """Every slider to its least and its greatest value, every choice, and back to the least values."""
        sliders = self.area.locator(SLIDER).all()
        for slider in sliders:
            self.press(slider, "Home")
            self.press(slider, "End")
        for choices in self.area.locator("select").all():
            self.choose(choices)
        for slider in reversed(sliders):
            self.press(slider, "Home")
        return self

    def press(self, slider, key):
        """Send a slider to one of its ends."""
        before, end = (float(slider.evaluate(f"node => node.{part}")) for part in ("value", ENDS[key]))
        slider.focus()
        self.page.page.keyboard.press(key)
        assert float(slider.input_value()) == end
        if before != end:
            self.look(f"{key}, from {before} to {end}")
        return self

    def choose(self, choices):
        """Choose every entry of a list, and the first one last."""
        entries = choices.locator("option").all_text_contents()
        for entry in [*entries[1:], entries[0]]:
            choices.select_option(label=entry)
            self.look(entry)

    def look(self, change):
        """Wait until the picture is another one."""
        self.moves += 1
        found = self.area.evaluate(CHANGED, self.state)
        if found is None:
            self.stuck.append(change)
        else:
            self.state = found


def complaints(page):
    """Everything that says in the page, in its console or in the kernel that something went wrong."""
    said = page.page.locator("[role=alert]:visible, .jp-RenderedText[data-mime-type*=error], .jp-mod-error")
    stderr = page.page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']")
    kernel = page.page.evaluate("() => window.kernelErrors")
    return [*said.all_text_contents(), *stderr.all_text_contents(), *kernel, *page.console, *page.strangers()]


def live_cells(lesson):
    """Return the names of the lesson's cells that make a picture with controls."""
    cells = nbformat.read(lab.ROOT / f"notebooks/{lesson}.ipynb", 4).cells
    return {cell.id for cell in cells if cell.cell_type == "code" and re.search(r"\bLive\(", cell.source)}


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_picture_follows_its_controls_from_end_to_end(page, lesson):
    sources = [source_of(lesson, wanted) for wanted in LESSONS[lesson]]
    open_with(page, f"live_{lesson}.ipynb", sources)
    areas = pictures_of(page)
    assert len(areas) == sum("Live(" in source for source in sources)
    for area in areas:
        swept = Sweep(page, area).whole()
        assert swept.moves >= 2
        assert swept.stuck == []
    assert complaints(page) == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_no_picture_of_a_lesson_is_left_out(lesson):
    assert live_cells(lesson)
    assert live_cells(lesson) <= set(LESSONS[lesson])


def test_broken_control_a_picture_that_raises_is_noticed(page):
    open_with(page, "live_broken.ipynb", [BROKEN, RAISES, REFUSES])
    areas = pictures_of(page)
    swept = [Sweep(page, area).press(area.locator(SLIDER), "Home") for area in areas]
    assert [one.state for one in swept] == ["level=1", "level=1"]
    assert complaints(page) == []
    raises, refuses = [one.press(one.area.locator(SLIDER), "End") for one in swept]
    assert raises.stuck == ["End, from 1.0 to 3.0"]
    assert refuses.state == ""
    assert [said.split(":")[0] for said in complaints(page)] == [
        "No picture for these settings",
        "broken at the upper end",
    ]
