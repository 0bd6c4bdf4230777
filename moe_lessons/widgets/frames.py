"""A few states of a picture with controls, drawn at once: what a page without a kernel lets its reader choose from."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from moe_lessons.figures.still import address, alternative
from moe_lessons.widgets.slider import Slider
from moe_lessons.widgets.traits import COLOURS

LABEL = "A few states of this picture; in the notebook you can move it."
MOST = 12  # states where none are declared
FEW = 5  # values of a slider that are all shown

Controls = Mapping[str, widgets.Widget]
Changes = Mapping[str, Any]  # from controls to values


def frames(draw: Callable[..., str], controls: Controls, states: Sequence[Changes] = ()) -> dict[str, Any]:
    """Return what frames.js shows: the present state, and those in `states` or else every control at its ends.

    draw: from controls' values, by name, to an SVG string. A state that looks like one before it is left out, and so is
    one that cannot be drawn.
    """
    shown: dict[str, dict[str, str]] = {}  # by the address of the picture
    for changes in [{}, *(states or _ends(controls)[: MOST - 1])]:
        svg = draw(**changes)
        if (where := address(svg)) and where not in shown:
            shown[where] = {"name": named(controls, changes), "img": where, "alt": alternative(svg)}
    return {"label": LABEL, "states": list(shown.values()), "shown": 0, "colours": COLOURS}


def named(controls: Controls, changes: Changes | None = None) -> str:
    """Return where controls stand, "k = 2, form = A": those that change or, where none does, all of them."""
    changed = {name: control for name, control in controls.items() if name in changes} if changes else controls
    values = {name: (changes or {}).get(name, control.value) for name, control in changed.items()}
    return ", ".join(f"{control.description} = {_written(control, values[name])}" for name, control in changed.items())


def _ends(controls: Controls) -> list[Changes]:
    """Return each slider at its ends, or at every value if these are few, and each choice at each of the others."""
    return [{name: value} for name, control in controls.items() for value in _values(control) if value != control.value]


def _options(control: widgets.Widget) -> list[tuple[str, Any]]:
    """Return the options of a choice, each with its label."""
    options = control.options
    return list(options.items()) if isinstance(options, Mapping) else [(str(option), option) for option in options]


def _values(control: widgets.Widget) -> list[Any]:
    if not isinstance(control, Slider):
        return [value for _, value in _options(control)]
    if control.whole and control.max - control.min < FEW * control.step:
        return list(range(control.min, control.max + 1, control.step))
    return [control.min, control.max]


def _written(control: widgets.Widget, value: Any) -> str:
    """Return a value as it stands beside its control."""
    if isinstance(control, Slider):
        return control.write(value)
    return next(label for label, option in _options(control) if option == value)
