"""Where a picture of Python's stands on the page: drawn anew in place, described, pointed at, and moved by its grips.

It is put there in the browser (canvas.js); Python holds the picture, and the controls that its grips move.
"""

from typing import Any

import anywidget
import traitlets

from moe_lessons.figures.still import alternative
from moe_lessons.support.validation import number_within, one_of
from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.traits import COLOURS, RefusedStateError


class Canvas(anywidget.AnyWidget):
    """An SVG string on the page, or HTML in its place.

    value: the picture. controls: what its grips move, from a name to {label, value, min, max, step}. moved: where the
    reader put a grip last, {name, value}; a name that is no control's and a value beyond its range are refused.
    """

    _esm = source("dom.js", "canvas.js")
    _css = source("dom.css", "canvas.css")

    value = traitlets.Unicode().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)
    controls = traitlets.Dict().tag(sync=True)
    moved = traitlets.Dict().tag(sync=True)
    colours = traitlets.Dict(COLOURS).tag(sync=True)

    def show(self, value: str, controls: dict[str, dict[str, Any]]) -> None:
        """Put another picture in the place of the present one."""
        with self.hold_sync():
            self.controls, self.words = controls, alternative(value)
            self.value = value

    @traitlets.validate("moved")
    def _validate_moved(self, proposal: Any) -> dict[str, Any]:
        """Refuse what no grip can send."""
        try:
            name = one_of("moved.name", proposal["value"].get("name"), self.controls)
            control = self.controls[name]
            value = number_within("moved.value", proposal["value"].get("value"), control["min"], control["max"])
        except ValueError as error:
            raise RefusedStateError(str(error)) from None
        return {"name": name, "value": value}
