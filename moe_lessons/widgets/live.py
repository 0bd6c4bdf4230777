"""Controls beside an SVG picture: the one binding that every slider-driven picture of the course uses."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from moe_lessons.support.validation import one_of, refuse
from moe_lessons.widgets.canvas import Canvas
from moe_lessons.widgets.frames import frames, named
from moe_lessons.widgets.lasting import Lasting
from moe_lessons.widgets.slider import Slider

slider = Slider  # as lessons call it, beside `choice`


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

Idle = Callable[..., Mapping[str, str]]


class Live(Lasting, widgets.VBox):
    """A picture with its controls: every change of a control draws `picture(**values)` anew.

    idle: from the same values to the sliders that have no effect now, each with the reason; they cannot be moved then.
    play: the name of a slider that a button moves by itself, step by step.
    A ValueError of the picture is shown in its place, as a sentence. Where no kernel runs (another day, an exported
    page) the first picture is shown instead of the controls; on a page of the web edition a few states can be chosen:
    those in `states`, each a dict from controls to values, or else every control at its ends (frames.py). Raises
    ValueError where `play` names no such slider, or a state no control.
    """

    alone = False
    name_on_page = "frames"

    def __init__(
        self,
        picture: Callable[..., str],
        *,
        idle: Idle | None = None,
        play: str = "",
        states: Sequence[Mapping[str, Any]] = (),
        **controls: widgets.Widget,
    ) -> None:
        for name in (name for state in states for name in state):
            one_of("states", name, controls)
        self.picture, self.idle, self.states, self.controls = picture, idle, states, controls
        self.canvas = Canvas()
        self.canvas.add_class("moe-picture")
        self._redraw()
        _align(list(controls.values()))
        for control in controls.values():
            control.observe(self._redraw, names="value")
        self.canvas.observe(self._grip, names="moved")
        if play:
            _let_play(controls, play)
        beside = widgets.VBox([*controls.values()])
        beside.add_class("moe-controls")
        super().__init__([beside, self.canvas])
        self.add_class("moe-live")

    def draw(self, **changes: Any) -> str:
        """Return the picture for the controls' present values, or for others of some of them."""
        try:
            return self.picture(**{**self._values(), **changes})
        except ValueError as error:
            return f"<p role='alert'>No picture for these settings: {escape(str(error))}</p>"

    def _values(self) -> dict[str, Any]:
        return {name: control.value for name, control in self.controls.items()}

    def _redraw(self, _change: object = None) -> None:
        self._rest()
        sliders = {name: control for name, control in self.controls.items() if isinstance(control, Slider)}
        self.canvas.show(self.draw(), {name: slider.scale for name, slider in sliders.items()})

    def _grip(self, change: dict[str, Any]) -> None:
        """Let a slider follow its grip on the picture."""
        slider = self.controls[change["new"]["name"]]
        slider.value = slider.nearest(change["new"]["value"])

    def _rest(self) -> None:
        """Let the sliders that have no effect say so."""
        if self.idle is None:
            return
        reasons = self.idle(**self._values())
        for name, control in self.controls.items():
            if isinstance(control, Slider):
                control.idle = reasons.get(name, "")

    def page_state(self) -> dict[str, Any]:
        """Return a few states as pictures, for no page draws them; nothing where there is no picture."""
        state = frames(self.draw, self.controls, self.states)
        return state if state["states"] else {}

    def still(self) -> tuple[str, str]:
        """Return the present picture, and where the controls stand."""
        return self.draw(), f"{named(self.controls)}."


def _let_play(controls: Mapping[str, widgets.Widget], name: str) -> None:
    """Give a slider the button that moves it by itself."""
    played = controls[one_of("play", name, controls)]
    if not isinstance(played, Slider):
        raise refuse("play", name, "the name of a slider")
    played.plays = True


def _align(controls: list[widgets.Widget]) -> None:
    """Let controls below each other begin at the same place, behind the longest label."""
    letters = max((len(control.description) for control in controls), default=0) + 2
    for control in controls:
        if isinstance(control, Slider):
            control.label_width = letters
        else:
            control.style.description_width = f"{letters}ch"
