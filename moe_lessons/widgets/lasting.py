"""A widget lives as long as its kernel; what lasts in the notebook is a picture of it.

Shown, a widget gives two outputs: itself, and a still picture with its state in words. A style rule hides the second
as long as the first is on the page. Where it is not (saved, and opened another day; exported), the same rule hides what
JupyterLab writes in the widget's place. A notebook that is not trusted gets neither rule nor widget: the image stays.

Where the variable MOE_LESSONS_PAGE is set, the notebook becomes a page of the web edition: then the still picture
stands in a block that comes alive there, without a kernel (page.py).
"""

import os
from html import escape
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from moe_lessons.figures.still import alternative, image
from moe_lessons.widgets import page

_VIEW = "application/vnd.jupyter.widget-view+json"
NOTE = "Run this cell to move it."


class Lasting(widgets.DOMWidget):
    """A widget that leaves a picture of itself behind.

    alone: whether it moves without a kernel. If not, a widget whose kernel is gone keeps its picture and is told so.
    note: what is said below its picture. name_on_page: of the module that it runs from on a page, "" if there is none.
    """

    alone = True
    note = NOTE
    name_on_page = ""

    def still(self) -> tuple[str, str]:
        """Return the picture of the present state, an SVG string, and the state in words."""
        raise NotImplementedError

    def page_state(self) -> dict[str, Any]:
        """Return the state from which its module starts on a page."""
        return page.state_of(self)

    def _ipython_display_(self) -> None:
        mark = f"moe-{self.model_id}"
        self.add_class(mark)
        bundle = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display({_VIEW: data[_VIEW], "text/plain": ""}, metadata=metadata, raw=True)
        svg, words = self.still()
        said = f'<p><span class="moe-state">{escape(words)} </span>{self.note}</p>'
        left = f'<div class="moe-still still-{mark}">{image(svg)}{said}</div>'
        html = self._block() if os.environ.get(page.VARIABLE) else f"{_rules(mark, self.alone)}{left}"
        display({"text/html": html, "text/plain": f"{alternative(svg)} {words} {self.note}".strip()}, raw=True)

    def fallback(self) -> str:
        """Return what stands on a page until the widget does: HTML."""
        svg, words = self.still()
        return f'<div class="moe-still">{image(svg)}<p>{escape(words)}</p></div>'

    def _block(self) -> str:
        """Return what stands on a page: the widget where it can be alive, else what is left of it."""
        state = self.page_state() if self.name_on_page else {}
        return page.block(self.name_on_page, state, self.fallback()) if state else self.fallback()


def _rules(mark: str, alone: bool) -> str:
    """Return the style that leaves one of the two on the page: the widget with this class, or its still picture.

    The two stand beside each other, and the rules look no farther: `:root:has(…)` would make every redraw style the
    whole page anew.
    """
    still, output = f".still-{mark}", ".jp-OutputArea-child"
    lives = f".{mark}" if alone else f".{mark}:not(.jupyter-widgets-disconnected)"
    hidden = (
        f":has({lives}) + * {still}",
        f"{output}:has({lives}) + {output}:has({still})",  # with its margins
        f":has(.{mark}) + * {still} :is(img, .moe-state)",
        f"{output}:not(:has(.{mark})):has(+ * {still})",
    )
    return f"<style>{', '.join(hidden)} {{ display: none }}</style>"
