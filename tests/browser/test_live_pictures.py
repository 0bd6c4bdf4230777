"""Every picture of the lessons in a real JupyterLab: every slider to both ends by keyboard, every choice of a list."""

import ast
import itertools

import lab
import pytest
from playwright.sync_api import expect
from slices import is_live, leading_to, replaced, statements

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SLIDER, GRIP = ".moe-slider input[type=range]", "[data-grip]"
ENDS = {"Home": "min", "End": "max"}

# Little is learned here: a training takes its first steps and stays there. `show` runs a lesson in a space of its own.
SETUP = """
import ast
from types import SimpleNamespace

from IPython.display import display
from moe_lessons import training

def first_steps_alone(run, number, take=training._Run.step):
    run.found = take(run, number) if number < 15 else run.found
    return run.found

def show(source):
    space = {"SimpleNamespace": SimpleNamespace}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Expr):
            display(eval(compile(ast.Expression(statement.value), "<lesson>", "eval"), space))
        else:
            exec(compile(ast.Module([statement], []), "<lesson>", "exec"), space)

training._Run.step = first_steps_alone
"""
BY_CHANCE = "np.random.default_rng(len(stage)).random((4, 4, 64, 8)).argsort()[..., :2]"  # (layers, S, L, k)
# Statements in place of those that measure times for long, and that need lesson 11's text or a model of it.
STAND_INS = {
    "05_sparse_layer": [
        "times = {N: {'by_token': [0.09, 0.1], ALL: [N / 400, N / 390], LIMIT: [0.01, 0.011]} for N in (8, 32)}",
    ],
    "06_counting_the_cost": ["times = {kind: [0.001] for kind in layers}"],
    "11_trained_specialisation": [
        "V, domains = 8, ('prose', 'code', 'json', 'arithmetic')",
        "labels = {'domain': np.arange(256).reshape(4, 64) // 64}  # (S, L)",
        "model, untrained = None, None",
        f"routes = {{stage: SimpleNamespace(selected={BY_CHANCE}) for stage in models}}",
    ],
}


def shortened(lesson):
    """Return the source of all pictures of a lesson, with what leads to them, and how many they are."""
    body = replaced(statements(lesson), STAND_INS.get(lesson.stem, []))
    pictures = [number for number, statement in enumerate(body) if is_live(statement)]
    needed = sorted(set().union(*(leading_to(body, number) for number in pictures)))
    return ast.unparse(ast.Module([body[number] for number in needed], [])), len(pictures)


SHORTENED = {path.stem: shortened(path) for path in sorted((lab.ROOT / "notebooks").glob("*.ipynb"))}
LESSONS = {name: (source, count) for name, (source, count) in SHORTENED.items() if count}

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


def open_with(page, name, sources):
    """Run these cells in a notebook of their own, and listen for exceptions from then on."""
    lab.write_notebook(page.address, name, sources)
    page.open(name)
    page.page.evaluate(LISTEN)
    page.run_all()


def pictures_of(page, count):
    """Return the output areas that hold controls, `count` of them, once each shows its picture."""
    areas = page.page.locator(".jp-OutputArea-child").filter(has=page.page.locator(f"{SLIDER}, select"))
    expect(areas).to_have_count(count, timeout=20_000)
    for area in areas.all():
        area.locator("svg[data-state]").wait_for(timeout=20_000)
    return areas.all()


class Sweep:
    """Moves the controls of one picture. `stuck` names each change of a control that did not change the picture."""

    def __init__(self, page, area):
        self.page, self.area = page, area
        self.state = area.locator("svg[data-state]").get_attribute("data-state")
        self.moves, self.stuck, self.heights = 0, [], {self.height()}

    def whole(self):
        """Every choice, and every slider to both ends: an idle one beside the choices that wake it."""
        sliders = self.area.locator(SLIDER).all()
        for choices in self.area.locator("select").all():
            self.choose(choices, [slider for slider in sliders if slider.is_disabled()])
        for slider in sliders:
            self.press(slider, "Home").press(slider, "End")
        for grip in range(self.area.locator(GRIP).count()):
            self.grip(self.area.locator(GRIP).nth(grip))
        for slider in reversed(sliders):
            self.press(slider, "Home")
        return self

    def grip(self, grip):
        """Take a grip on the picture from one end to the other, by keys."""
        grip.focus()
        for key, end in (("Home", "aria-valuemin"), ("End", "aria-valuemax")):
            self.page.page.keyboard.press(key)
            expect(grip).to_have_attribute("aria-valuenow", grip.get_attribute(end))
            expect(grip).to_be_focused()
        self.moves += 1
        self.state = self.area.locator("svg[data-state]").get_attribute("data-state")

    def press(self, slider, key):
        """Send a slider to one of its ends, unless it is idle."""
        if slider.is_disabled():
            return self
        before, end = (float(slider.evaluate(f"node => node.{part}")) for part in ("value", ENDS[key]))
        slider.focus()
        self.page.page.keyboard.press(key)
        assert float(slider.input_value()) == end
        if before != end:
            self.look(f"{key}, from {before} to {end}")
        return self

    def choose(self, choices, idle):
        """Choose every other entry of a list, the first one last; with each, move what it wakes of the idle sliders."""
        entries, chosen = choices.locator("option").all_text_contents(), choices.evaluate("node => node.selectedIndex")
        others = [entry for number, entry in enumerate(entries) if number not in (0, chosen)]
        for entry in [*others, entries[0]]:
            choices.select_option(label=entry)
            self.look(entry)
            for slider in idle:
                self.press(slider, "End").press(slider, "Home")

    def height(self):
        """Return how tall the picture is, in its own measure; None where words stand in its place."""
        return self.area.evaluate("node => node.querySelector('svg[data-state]')?.viewBox.baseVal.height")

    def look(self, change):
        """Wait until the picture is another one."""
        self.moves += 1
        found = self.area.evaluate(CHANGED, self.state)
        self.heights.add(self.height())
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


@pytest.fixture(scope="module")
def pictures(one_page):
    """The pictures of each lesson, all in one notebook."""
    open_with(one_page, "live.ipynb", [SETUP, *(f"show({source!r})" for source, _ in LESSONS.values())])
    areas = iter(pictures_of(one_page, sum(count for _, count in LESSONS.values())))
    return {lesson: list(itertools.islice(areas, count)) for lesson, (_, count) in LESSONS.items()}


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_picture_follows_its_controls_from_end_to_end(one_page, pictures, lesson):
    assert len(pictures[lesson]) == LESSONS[lesson][1]
    for area in pictures[lesson]:
        swept = Sweep(one_page, area).whole()
        assert swept.moves >= 2
        assert swept.stuck == []
        assert len(swept.heights) == 1, "a picture that jumps while it is moved"
    assert complaints(one_page) == []


def test_broken_control_a_picture_that_raises_is_noticed(page):
    open_with(page, "live_broken.ipynb", [BROKEN, RAISES, REFUSES])
    areas = pictures_of(page, 2)
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
