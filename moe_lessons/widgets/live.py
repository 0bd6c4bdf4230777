"""Controls beside an SVG picture: the one binding that every slider-driven picture of the course uses."""

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from moe_lessons.support.validation import refuse
from moe_lessons.widgets.lasting import Lasting


def slider(label: str, value: float, low: float, high: float, step: float) -> widgets.Widget:
    """Return a labelled slider from `low` to `high`: whole numbers when all are whole, decimals otherwise."""
    if not low <= value <= high:
        raise refuse("value", value, f"a number from {low} to {high}")
    kind = widgets.IntSlider if all(isinstance(n, int) for n in (value, low, high, step)) else widgets.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=label, layout=_LAYOUT)


def choice(label: str, options: Any, value: Any = None) -> widgets.Widget:
    """Return a labelled drop-down list. `options` is a list, or a dict of label -> value."""
    values = list(options.values() if isinstance(options, dict) else options)
    if not values:
        raise refuse("options", options, "at least one")
    if value is not None and value not in values:
        raise refuse("value", value, f"one of {values}")
    first = values[0]
    value = first if value is None else value
    return widgets.Dropdown(options=options, value=value, description=label, layout=_LAYOUT)


_LAYOUT = {"width": "min(460px, 95%)"}


class Live(Lasting, widgets.VBox):
    """A picture with its controls: every change of a control draws `picture(**values)` anew.

    A ValueError of the picture is shown in its place, as a sentence. Where no kernel runs (another day, an exported
    page) the first picture is shown instead of the controls.
    """

    alone = False

    def __init__(self, picture: Callable[..., str], **controls: widgets.Widget) -> None:
        self.picture = picture
        self.controls = controls
        self.canvas = widgets.HTML(self.draw())
        longest = max((len(control.description) for control in controls.values()), default=0)
        for control in controls.values():
            control.style.description_width = f"{longest + 2}ch"  # sliders below each other begin at the same place
            control.observe(self._redraw, names="value")
        super().__init__([*controls.values(), self.canvas])

    def draw(self) -> str:
        """Return the picture for the controls' present values."""
        try:
            return self.picture(**{name: control.value for name, control in self.controls.items()})
        except ValueError as error:
            return f"<p role='alert'>No picture for these settings: {escape(str(error))}</p>"

    def _redraw(self, _change: object) -> None:
        self.canvas.value = self.draw()

    def still(self) -> tuple[str, str]:
        """Return the present picture, and where the controls stand."""
        stands = (f"{control.description} = {_shown(control)}" for control in self.controls.values())
        return self.draw(), ", ".join(stands) + "."


def _shown(control: widgets.Widget) -> str:
    """Return the value of a control as it stands beside it."""
    return control.label if isinstance(control, widgets.Dropdown) else f"{control.value:g}".replace("-", "−")
