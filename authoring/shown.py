"""What a page shows of an executed notebook: its published cells, with outputs that belong to no machine.

Progress bars, paths and cards about the reader's own progress are left out, widgets stand as what lives without a
kernel, styles come from the site, and pictures are files beside the page. Links lead to pages.
"""

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape, unescape
from pathlib import Path
from typing import Any

import nbformat
from quizzes import LIVE, PAPER

from moe_lessons.support.glossary import Glossary

Notebook = nbformat.NotebookNode
Cell = nbformat.NotebookNode
Output = nbformat.NotebookNode

VIEW = "application/vnd.jupyter.widget-view+json"
PICTURES = "pictures"  # folder of the site
SOLVED = "solved-"  # before the ids of solutions that ran in one kernel with their exercises

OF_THE_READER = ("moe-untouched", "moe-progress", "moe-said")  # cards that tell how far somebody is

BAR = re.compile(r"[^\n\r>]*\d+/\d+ \[[^\]\n]*\][^\n\r<]*[\n\r]*")
PATH = re.compile(r" ?\((?:/|[A-Z]:\\)[^)\s]*\)|(?<![\w.:/<])/(?:[\w.-]+/){2,}[\w.-]+")
TIMES = re.compile(r"\d (?:ms|µs)\b|GB a second")
MEASURED = "Times depend on the computer; these were measured on the one that built this page."
STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
DATA = re.compile(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)")
PLOT = "The plot that the code above draws; the text around it says what it shows."
NOTE = "Run this cell to move it."  # what a widget leaves behind says so, but a page has no cells to run

LINK = re.compile(r"(\]\(\.\./)(?:(moe_lessons/[\w/]+)\.py|docs/cheat_sheet\.html)\)")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
ABBR = re.compile(r'<abbr title="([^"]*)">')


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


def page_of(published: Notebook, executed: Notebook, glossary: Glossary, pictures: Pictures) -> Notebook:
    """Return the notebook of a page: the cells of `published`, with what the same cells of `executed` left."""
    outputs = {cell.id.removeprefix(SOLVED): cell.outputs for cell in executed.cells if cell.cell_type == "code"}
    cells = []
    for cell in published.cells:
        if cell.cell_type == "code":
            left = [pictured(output, pictures) for output in shown(outputs.get(cell.id, []))]
            metadata = {"tags": ["remove-input"]} if cell.id == LIVE and left else {}
            cells.append(nbformat.v4.new_code_cell(cell.source, outputs=left, id=cell.id, metadata=metadata))
        elif cell.id != PAPER:
            cells.append(nbformat.v4.new_markdown_cell(text_of(cell.source, glossary), id=cell.id))
    return nbformat.v4.new_notebook(cells=cells, metadata=published.metadata)


# --- outputs ------------------------------------------------------------------------------------------------------


def shown(outputs: list[Output]) -> Iterator[Output]:
    """Yield what is shown of a cell's outputs. A widget goes: what it left behind comes alive on a page."""
    told = ""
    for output in outputs:
        if output.output_type == "stream":
            told += output.text
        elif VIEW not in (data := output.get("data", {})):
            yield from _printed(told)
            told = ""
            yield from _output(data)
    yield from _printed(told)


def _printed(text: str) -> Iterator[Output]:
    """Yield what was printed, without progress bars and paths; after measured times, a word on them."""
    text = PATH.sub("", BAR.sub("", text))
    if text.strip():
        yield nbformat.v4.new_output("stream", text=text)
    if TIMES.search(text):
        yield _html(f'<p class="measured">{MEASURED}</p>')


def _output(data: Mapping[str, Any]) -> Iterator[Output]:
    """Yield an output in one form: the course's HTML, a plot with a text alternative, or plain text."""
    if html := data.get("text/html"):
        if 'class="live"' not in html:  # a block has neither, and its state is too long a line to look for them
            html = BAR.sub("", STYLE.sub("", html))
        html = html.replace(NOTE, "In the notebook you can move it.")
        if not any(f"moe-card {card}" in html for card in OF_THE_READER):
            yield _html(html)
    elif png := data.get("image/png"):
        address = f"data:image/png;base64,{''.join(png.split())}"
        yield _html(f'<img src="{address}" alt="{PLOT}">')
    elif text := PATH.sub("", data.get("text/plain", "")).strip("\n"):
        yield nbformat.v4.new_output("display_data", data={"text/plain": text})


def _html(html: str) -> Output:
    return nbformat.v4.new_output("display_data", data={"text/html": html})


def pictured(output: Output, pictures: Pictures) -> Output:
    """Return an output whose pictures are files."""
    if html := output.get("data", {}).get("text/html"):
        output["data"]["text/html"] = pictures.moved_out(html)
    return output


# --- text ---------------------------------------------------------------------------------------------------------


def text_of(source: str, glossary: Glossary) -> str:
    """Return the Markdown of a cell: links lead to pages, headings can be linked to as in JupyterLab."""
    return with_levels(HEADING.sub(_anchored, LINK.sub(_to_page, source)), glossary)


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
