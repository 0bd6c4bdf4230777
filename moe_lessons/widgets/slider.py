"""The course's slider: one number with a name, a unit and a scale, moved by pointer or keys, or typed.

It is drawn in the browser (slider.js); Python holds the value. Unlike a slider of ipywidgets, its handle has a name.
"""

from typing import Any

import anywidget
import numpy as np
import traitlets

from moe_lessons.support.validation import number_within, refuse, whole_number
from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.lasting import Lasting
from moe_lessons.widgets.traits import COLOURS, RefusedStateError

MOST_EXPERTS = 1023  # the colours repeat


class Slider(Lasting, anywidget.AnyWidget):
    """A number from `min` to `max` in steps of `step`: a whole one when all four are whole, else a decimal.

    unit: written behind the value. expert: whose colour it has, counted from 0; None for ink. log: spaced by
    logarithm, and `step` is a difference of log10. State that can be read and set at any time: `value`, which may lie
    between two steps; `min` and `max`, which move a value that they leave outside; `idle`, the reason why the slider
    has no effect now, or "": with a reason it cannot be moved. Raises ValueError for bounds, step or value that do not
    fit each other, and for an expert that is none.
    """

    _esm = source("dom.js", "slider.js")
    _css = source("dom.css", "range.css", "slider.css")

    description = traitlets.Unicode().tag(sync=True)
    value = traitlets.Any().tag(sync=True)
    min = traitlets.Any().tag(sync=True)
    max = traitlets.Any().tag(sync=True)
    step = traitlets.Any().tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    expert = traitlets.Any().tag(sync=True)
    log = traitlets.Bool().tag(sync=True)
    idle = traitlets.Unicode().tag(sync=True)
    plays = traitlets.Bool().tag(sync=True)  # has a button that moves it by itself, step by step
    label_width = traitlets.Int(allow_none=True, default_value=None).tag(sync=True)  # in letters; None: what it needs
    colours = traitlets.Dict(COLOURS).tag(sync=True)

    def __init__(
        self,
        label: str,
        value: float,
        min: float,
        max: float,
        step: float,
        *,
        unit: str = "",
        expert: int | None = None,
        log: bool = False,
    ) -> None:
        self.whole = not log and all(isinstance(n, (int, np.integer)) for n in (value, min, max, step))
        self.log = log
        low = self._fitting("min", min, -np.inf, np.inf)
        high = self._fitting("max", max, low, np.inf)
        scale = {"min": low, "max": high, "step": self._fitting("step", step, -np.inf, np.inf)}
        super().__init__(**scale, value=self._fitting("value", value, low, high), log=log, description=label, unit=unit,
                         expert=expert)  # fmt: skip

    @traitlets.validate("min", "max", "step", "value")
    def _validate_number(self, proposal: Any) -> float:
        """Refuse what does not fit the others."""
        name = proposal["trait"].name
        least = self.min if name in ("max", "value") else -np.inf
        most = self.max if name in ("min", "value") else np.inf
        try:
            return self._fitting(name, proposal["value"], least, most)
        except ValueError as error:
            raise RefusedStateError(str(error)) from None

    def _fitting(self, name: str, value: Any, least: float, most: float) -> float:
        """Return one of the four numbers as a plain one, which the browser can read, or raise ValueError."""
        kept = number_within(name, value, least, most)
        if kept <= 0 and (name == "step" or (name == "min" and self.log)):
            raise refuse(name, value, "a number above 0")
        if self.whole and kept != int(kept):
            raise refuse(name, value, "a whole number, as the slider's others are")
        return int(kept) if self.whole else kept

    @traitlets.validate("expert")
    def _validate_expert(self, proposal: Any) -> int | None:
        """Refuse what is no expert."""
        try:
            value = proposal["value"]
            return None if value is None else whole_number("expert", value, least=0, most=MOST_EXPERTS)
        except ValueError as error:
            raise RefusedStateError(str(error)) from None

    @traitlets.observe("min", "max")
    def _stay_inside(self, _change: object) -> None:
        """Move a value that new bounds leave outside, as sliders of ipywidgets do."""
        self.value = np.clip(self.value, self.min, self.max)

    def still(self) -> tuple[str, str]:
        """Return no picture, and the value in words."""
        return "", f"{self.description} = {self.written}."

    @property
    def scale(self) -> dict[str, Any]:
        """The name, the value and the range, as a grip on a picture needs them."""
        return {"label": self.description} | {name: getattr(self, name) for name in ("value", "min", "max", "step")}

    def nearest(self, value: float) -> float:
        """Return the step that lies nearest to a value within the range, on a scale that is no logarithm."""
        near = round(self.min + round((value - self.min) / self.step) * self.step, 12)
        return min(int(near) if self.whole else near, self.max)

    @property
    def written(self) -> str:
        """The value with its unit, as it is read."""
        return self.write(self.value)

    def write(self, value: float) -> str:
        """Return a value of this slider with its unit, as it is read."""
        space = "" if self.unit in ("", "°") else " "
        return f"{value:g}{space}{self.unit}".replace("-", "−")
