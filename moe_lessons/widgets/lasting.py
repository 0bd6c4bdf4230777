"""A widget lives as long as its kernel; what lasts in the notebook is a picture of it.

Shown, a widget gives two outputs: itself, and a still picture with its state in words. A style rule hides the second
as long as the first is on the page. Where it is not (saved, and opened another day; exported), the same rule hides what
JupyterLab writes in the widget's place. A notebook that is not trusted gets neither rule nor widget: the image stays.
"""

from html import escape

import ipywidgets as widgets
from IPython.display import display

from moe_lessons.figures.still import alternative, image

_VIEW = "application/vnd.jupyter.widget-view+json"
NOTE = "Run this cell to move it."


class Lasting(widgets.DOMWidget):
    """A widget that leaves a picture of itself behind.

    alone: whether it moves without a kernel. If not, a widget whose kernel is gone keeps its picture and is told so.
    """

    alone = True

    def still(self) -> tuple[str, str]:
        """Return the picture of the present state, an SVG string, and the state in words."""
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        mark = f"moe-{self.model_id}"
        self.add_class(mark)
        bundle = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display({_VIEW: data[_VIEW], "text/plain": ""}, metadata=metadata, raw=True)
        svg, words = self.still()
        said = f'<p><span class="moe-state">{escape(words)} </span>{NOTE}</p>'
        html = f'{_rules(mark, self.alone)}<div class="moe-still still-{mark}">{image(svg)}{said}</div>'
        display({"text/html": html, "text/plain": f"{alternative(svg)} {words} {NOTE}".strip()}, raw=True)


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
