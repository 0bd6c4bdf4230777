"""What a page shows of an executed notebook: its published cells, with outputs that belong to no machine.

Progress bars, paths and cards about the reader's own progress are left out, widgets stand as what lives without a
kernel, styles come from the site, and pictures are files beside the page. Links lead to pages.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape, unescape
from pathlib import Path
from typing import Any

import nbformat

from moe_lessons.support.glossary import Glossary

Notebook = nbformat.NotebookNode
Cell = nbformat.NotebookNode
Output = nbformat.NotebookNode

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
PICTURES = "pictures"  # folder of the site
SOLVED = "solved-"  # before the ids of solutions that ran in one kernel with their exercises

LIVES = {
    "moe_lessons.widgets.visualizer.GatingVisualizer": "visualizer",
    "moe_lessons.widgets.compass.PrototypeCompass": "compass",
    "moe_lessons.widgets.text_viewer.TextViewer": "text_viewer",
}
OF_ANY_WIDGET = {"layout", "tabbable", "tooltip"}
OF_THE_READER = ("moe-untouched", "moe-progress", "moe-said")  # cards that tell how far somebody is

BAR = re.compile(r"[^\n\r>]*\d+/\d+ \[[^\]\n]*\][^\n\r<]*[\n\r]*")
PATH = re.compile(r" ?\((?:/|[A-Z]:\\)[^)\s]*\)|(?<![\w.:/<])/(?:[\w.-]+/){2,}[\w.-]+")
TIMES = re.compile(r"\d (?:ms|µs)\b|GB a second")
MEASURED = "Times depend on the computer; these were measured on the one that built this page."
STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
DATA = re.compile(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)")
NOTE = "Run this cell to move it."  # what a widget leaves behind says so, but a page has no cells to run

LINK = re.compile(r"(\]\(\.\./)(?:(moe_lessons/[\w/]+)\.py|docs/cheat_sheet\.html)\)")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
ABBR = re.compile(r'<abbr title="([^"]*)">')
QUIZ = re.compile(r"^\*\*1\. .*</details>", re.MULTILINE | re.DOTALL)


class Pictures:
    """The pictures of the site: each is a file once, named by what it holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def moved_out(self, html: str, to_root: str = "../") -> str:
        """Return HTML with addresses of files in the place of pictures that it holds."""

        def write(found: re.Match[str]) -> str:
            content = b64decode(found[1])
            name = f"{sha256(content).hexdigest()[:16]}.svg"
            (self.folder / name).write_bytes(content)
            return f"{to_root}{PICTURES}/{name}"

        return DATA.sub(write, html)


def page_of(published: Notebook, executed: Notebook, number: str, glossary: Glossary, pictures: Pictures) -> Notebook:
    """Return the notebook of a page: the cells of `published`, with what the same cells of `executed` left."""
    outputs = {cell.id.removeprefix(SOLVED): cell.outputs for cell in executed.cells if cell.cell_type == "code"}
    states = executed.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    cells = []
    for cell in published.cells:
        if cell.cell_type == "code":
            left = [pictured(output, pictures) for output in shown(outputs.get(cell.id, []), states)]
            cells.append(nbformat.v4.new_code_cell(cell.source, outputs=left, id=cell.id))
        else:
            cells.append(nbformat.v4.new_markdown_cell(text_of(cell.source, number, glossary), id=cell.id))
    return nbformat.v4.new_notebook(cells=cells, metadata=published.metadata)


# --- outputs ------------------------------------------------------------------------------------------------------


def shown(outputs: list[Output], states: Mapping[str, Any]) -> Iterator[Output]:
    """Yield what is shown of a cell's outputs; `states` are those of the widgets in its notebook."""
    told, view = "", None
    for output in outputs:
        data = output.get("data", {})
        if output.output_type == "stream":
            told += output.text
            continue
        if VIEW in data:
            view = states.get(data[VIEW]["model_id"])
            continue
        yield from _printed(told)
        told = ""
        if kept := _output(data, view):
            yield kept
        view = None
    yield from _printed(told)


def _printed(text: str) -> Iterator[Output]:
    """Yield what was printed, without progress bars and paths; after measured times, a word on them."""
    text = PATH.sub("", BAR.sub("", text))
    if text.strip():
        yield nbformat.v4.new_output("stream", text=text)
    if TIMES.search(text):
        yield _html(f'<p class="measured">{MEASURED}</p>')


def _output(data: Mapping[str, Any], view: Mapping[str, Any] | None) -> Output | None:
    """Return an output in one form: the course's HTML, a plot with a text alternative, or plain text."""
    if html := data.get("text/html"):
        html = BAR.sub("", STYLE.sub("", html)).replace(NOTE, "In the notebook you can move it.")
        return None if any(f"moe-card {card}" in html for card in OF_THE_READER) else _html(alive(html, view))
    if png := data.get("image/png"):
        address = f"data:image/png;base64,{''.join(png.split())}"
        return _html(
            f'<img src="{address}" alt="The plot that the code above draws; the text around it says what it shows.">'
        )
    text = PATH.sub("", data.get("text/plain", ""))
    return nbformat.v4.new_output("display_data", data={"text/plain": text}) if text.strip() else None


def _html(html: str) -> Output:
    return nbformat.v4.new_output("display_data", data={"text/html": html})


def alive(html: str, view: Mapping[str, Any] | None) -> str:
    """Return what a widget left behind in a block that comes alive, if its kind lives without a kernel."""
    state = {} if view is None else view["state"]
    name = LIVES.get(state.get("_anywidget_id", ""))
    if name is None or 'class="live"' in html:
        return html
    own = {key: value for key, value in state.items() if not key.startswith("_") and key not in OF_ANY_WIDGET}
    return live(name, own, html)


def live(name: str, state: Mapping[str, Any], fallback: str) -> str:
    """Return a block that `_static/live.js` brings to life; without it, the fallback is there."""
    held = json.dumps(state, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    script = f'<script type="application/json">{held}</script>'
    return f'<div class="live" data-widget="{escape(name)}">{script}{fallback}</div>'


def pictured(output: Output, pictures: Pictures) -> Output:
    """Return an output whose pictures are files."""
    if html := output.get("data", {}).get("text/html"):
        output["data"]["text/html"] = pictures.moved_out(html)
    return output


# --- text ---------------------------------------------------------------------------------------------------------


def text_of(source: str, number: str, glossary: Glossary) -> str:
    """Return the Markdown of a cell: links lead to pages, headings can be linked to as in JupyterLab."""
    text = HEADING.sub(_anchored, LINK.sub(_to_page, source))
    return with_levels(_with_live_quiz(text, number), glossary)


def _to_page(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2] or 'docs/cheat_sheet'}.md)"


def _anchored(found: re.Match[str]) -> str:
    """Return a heading behind the anchor that verdicts link to: `#4.2-Three-gate-forms`."""
    if len(found[1]) == 1:
        return found[0]
    return f'<span id="{escape("-".join(found[2].split(" ")))}"></span>\n\n{found[0]}'


def with_levels(text: str, glossary: Glossary) -> str:
    """Return Markdown whose explained words say for whom they are explained."""
    levels = {term.says: term.level for term in glossary.terms.values()}
    return ABBR.sub(lambda f: f'<abbr title="{f[1]}" data-level="{levels.get(unescape(f[1]), "newcomer")}">', text)


def _with_live_quiz(text: str, number: str) -> str:
    """Return Markdown whose quiz, if it holds one, stands in a block that comes alive."""
    if not text.lstrip().startswith(("## Quiz", "<span")) or "## Quiz" not in text:
        return text
    opening = f'<div class="live" data-widget="quiz" data-lesson="{number}">'
    return QUIZ.sub(lambda found: f"{opening}\n\n{found[0]}\n\n</div>", text)
