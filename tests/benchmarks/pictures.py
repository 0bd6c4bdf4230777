"""From the move of a control to new pixels, in a real browser, beside `interact` with inline matplotlib."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import lab
import nbformat
from bench import Row, summary
from playwright.sync_api import Locator

MOVES = 40
HANDLES = ".moe-slider input[type=range], .noUi-handle"  # the course's, and that of ipywidgets

# Takes the time of every input event, and the first frame after the picture below `root` has changed.
STOPWATCH = """(root) => {
  const picture = () => root.querySelector('[data-state]')?.dataset.state
    ?? root.querySelector('img')?.src ?? '';
  let begun = null, shown = picture();
  window.latencies = [];
  for (const kind of ['keydown', 'pointermove', 'input'])
    window.addEventListener(kind, () => { begun ??= performance.now(); }, true);
  new MutationObserver(() => {
    if (begun === null || picture() === shown || picture() === '') return;
    const start = begun;
    begun = null; shown = picture();
    requestAnimationFrame(() => window.latencies.push(performance.now() - start));
  }).observe(root, { subtree: true, childList: true, attributes: true });
}"""

MATPLOTLIB = """
import matplotlib.pyplot as plt
from ipywidgets import interact, IntSlider
from moe_lessons.data import worked_example
from moe_lessons.routing import route

x, W_g = worked_example()

def draw(k):
    trace = route(x, W_g, k)
    figure, axes = plt.subplots(1, 3, figsize=(6, 3))
    for axis, values in zip(axes, (trace.logits, trace.probs, trace.weights)):
        axis.barh(range(4), values)
    plt.show()

interact(draw, k=IntSlider(2, 1, 4));
"""

VISUALIZER = """
from moe_lessons.widgets.visualizer import GatingVisualizer
GatingVisualizer(k=5, noise=0.5)
"""


# Slider-driven pictures of the other lessons: notebook, what it is, and some text of its cell.
SLIDERS = (
    ("02_softmax_gating", "softmax explorer, slider", "lambda shift, form, precision"),
    ("02_softmax_gating", "routing entropy, slider", "entropy_svg(h_fresh, scale)"),
    ("03_temperature", "temperature curve, slider", "temperature_svg(examples"),
    ("03_temperature", "schedules, slider", "end=slider("),
    ("04_top_k_gating", "mask 0 or −∞, slider", "lambda N, k, shift"),
    ("04_top_k_gating", "kept mass, slider", "logit_scale=slider("),
)

# The same for lessons with long experiments: only the cells named by some of their text are run, the picture's last.
EXCERPTS = (
    ("05_sparse_layer", "dispatch at step 4, slider", ("moe_lessons.widgets.live", "dispatch_svg(*routed")),
    ("06_counting_the_cost", "accountant, slider", ("moe_lessons.widgets.live", "num_experts=slider(")),
    (
        "07_gradients",
        "gradient bars, slider",
        ("moe_lessons.widgets.live", "x, W_g = worked_", "gradient_bars_svg([h1"),
    ),
)


def measure() -> Iterator[Row]:
    """Yield a row for each picture, all in one run of one server."""
    if lab.chromium() is None:
        print("no Chromium: pictures are not measured")
        return
    with tempfile.TemporaryDirectory() as folder:
        root, work = Path(folder) / "course", Path(folder) / "work"
        root.mkdir()
        work.mkdir()
        lab.copy_course(root)
        write_notebook(root / "matplotlib.ipynb", MATPLOTLIB)
        write_notebook(root / "visualizer.ipynb", VISUALIZER)
        with lab.server(root, work) as address:
            yield from on(address, "notebooks/01_worked_example.ipynb", {
                "trace of lesson 01 (SVG from Python), slider": ("lambda step, k, x1", arrow_keys, 100),
                "prototype compass (drawn in the browser), drag": ("compass = PrototypeCompass", drag_token, 25),
            })  # fmt: skip
            yield from on(address, "visualizer.ipynb", {
                "gating visualizer (drawn in the browser), slider": ("GatingVisualizer", temperature_keys, 25),
            })  # fmt: skip
            for notebook, what, cell_text in SLIDERS:
                yield from on(address, f"notebooks/{notebook}.ipynb", {what: (cell_text, arrow_keys, 100)})
            for notebook, what, texts in EXCERPTS:
                write_notebook(root / f"{notebook}.ipynb", *cells_with(root / f"notebooks/{notebook}.ipynb", texts))
                move = last_step_keys if "step 4" in what else arrow_keys
                yield from on(address, f"{notebook}.ipynb", {what: (texts[-1], move, 100)})
            yield from on(address, "matplotlib.ipynb", {
                "for comparison: interact + inline matplotlib, slider": ("interact(draw", arrow_keys, None),
            })  # fmt: skip


def cells_with(notebook: Path, texts: tuple[str, ...]) -> list[str]:
    """Return the first code cell of the notebook with each of these texts."""
    sources = [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    return [next(source for source in sources if words in source) for words in texts]


def write_notebook(path: Path, *sources: str) -> None:
    """Write a notebook of these cells."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)


def on(address: str, notebook: str, pictures: dict[str, tuple[str, Callable, float | None]]) -> Iterator[Row]:
    """Measure the pictures of one notebook, each in a fresh page."""
    for what, (cell_text, move, aim) in pictures.items():
        with lab.page_of(address) as page:
            page.open(notebook)
            page.run_all()
            cell = page.cell(cell_text)
            page.page.wait_for_timeout(1_000)  # let the page come to rest
            yield summary(what, latencies(page, cell, move), aim)


def latencies(page: lab.Lab, cell: Locator, move: Callable) -> list[float]:
    """Move a control again and again, waiting for the picture each time; return the times in milliseconds."""
    cell.locator(".jp-OutputArea").first.evaluate(STOPWATCH)
    for number in range(1, MOVES + 1):
        move(page, cell, number)
        page.page.wait_for_function("n => window.latencies.length >= n", arg=number, timeout=10_000)
        page.page.wait_for_timeout(30)
    return page.page.evaluate("() => window.latencies")


def arrow_keys(page: lab.Lab, cell: Locator, number: int) -> None:
    """Move the cell's last slider one step, up and down in turn."""
    if number == 1:
        cell.locator(HANDLES).last.focus()
    page.page.keyboard.press("ArrowRight" if number % 2 else "ArrowLeft")


def last_step_keys(page: lab.Lab, cell: Locator, number: int) -> None:
    """Move the last slider, after the first one, the step, was sent to its end: then the whole picture is drawn."""
    if number == 1:
        cell.locator(HANDLES).first.focus()
        page.page.keyboard.press("End")
        page.page.wait_for_timeout(1_000)
        page.page.evaluate("() => { window.latencies.length = 0 }")
    arrow_keys(page, cell, number)


def temperature_keys(page: lab.Lab, cell: Locator, number: int) -> None:
    """Move the visualizer's τ one step, up and down in turn: weights, table, formula and sentences change."""
    if number == 1:
        cell.locator("[data-field=temperature-slider]").focus()
    page.page.keyboard.press("ArrowRight" if number % 2 else "ArrowLeft")


def drag_token(page: lab.Lab, cell: Locator, number: int) -> None:
    """Drag the compass's token a little, to and fro."""
    mouse = page.page.mouse
    if number == 1:
        box = cell.locator("svg .token .hold").first.bounding_box()
        page.start = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse.move(*page.start)
        mouse.down()
        page.page.wait_for_timeout(50)
        page.page.evaluate("() => { window.latencies.length = 0 }")
    mouse.move(page.start[0] + (10 if number % 2 else -10), page.start[1] + number % 7)
