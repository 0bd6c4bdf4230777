"""The prototype compass: drag a token and the experts' prototypes in a plane, watch the router decide.

The picture is drawn in the browser (compass.js, with the arithmetic of routing.js); Python holds the state.
"""

from typing import Any

import anywidget
import numpy as np
import traitlets

from moe_lessons.figures.compass import compass_svg
from moe_lessons.routing import Trace, route
from moe_lessons.support.validation import float_array, refuse, whole_number
from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.lasting import Lasting
from moe_lessons.widgets.traits import COLOURS, RefusedStateError

EXTENT = 3.0  # the plane shows −EXTENT to EXTENT along both axes
FEWEST, MOST = 2, 6  # experts

# E1 points almost exactly along the token, and still loses to the longer E2.
TOKEN = (0.6, 0.7)
PROTOTYPES = ((1.0, 1.2), (2.8, 0.4), (-1.8, 1.2), (-0.6, -1.8))


class _Token(traitlets.TraitType[Any, Any]):
    """A point of the plane, kept as a list of two floats."""

    def validate(self, _obj: Any, value: Any) -> list[float]:
        point = _in_plane("token", value)  # (2,)
        if point.shape != (2,):
            raise refuse("token", value, "two numbers, x1 and x2")
        return point.tolist()


class _Prototypes(traitlets.TraitType[Any, Any]):
    """Points of the plane, one per expert, kept as a list of lists of two floats."""

    def validate(self, _obj: Any, value: Any) -> list[list[float]]:
        points = _in_plane("prototypes", value)  # (N, 2)
        if points.ndim != 2 or points.shape[1] != 2 or not FEWEST <= len(points) <= MOST:
            expected = f"{FEWEST} to {MOST} pairs of numbers, one pair for each expert"
            raise refuse("prototypes", value, expected)
        return points.tolist()


class PrototypeCompass(Lasting, anywidget.AnyWidget):
    """Drag or type a token and two to six prototypes; regions, logits and gate weights follow.

    token: two numbers. prototypes: N pairs (w1, w2), N from 2 to 6; pair i is column i of W_g. k: how many
    experts are selected, 1 to N. Coordinates lie within ±3. All three can be read and set at any time.
    Raises ValueError for anything else. The gate form is "topk_softmax".
    """

    _esm = source("routing.js", "dom.js", "compass.js")
    _css = source("dom.css", "compass.css")
    name_on_page = "compass"

    token = _Token().tag(sync=True)
    prototypes = _Prototypes().tag(sync=True)
    k = traitlets.Any().tag(sync=True)
    initial = traitlets.Dict().tag(sync=True)
    extent = traitlets.Float(EXTENT).tag(sync=True)
    colours = traitlets.Dict(COLOURS).tag(sync=True)

    def __init__(self, token: Any = TOKEN, prototypes: Any = PROTOTYPES, k: int = 2) -> None:
        super().__init__(token=token, prototypes=prototypes, k=k)
        self.initial = {"token": self.token, "prototypes": self.prototypes, "k": self.k}

    @property
    def trace(self) -> Trace:
        """What the router computes now: logits (N,), probs (N,), selected (k,), weights (N,)."""
        return route(self.token, np.transpose(self.prototypes), self.k)  # (2,), (2, N)

    @traitlets.validate("k")
    def _validate_k(self, proposal: Any) -> int:
        """Refuse a k for which there are not enough prototypes."""
        return _fitting_k(proposal["value"], len(self.prototypes))

    @traitlets.validate("prototypes")
    def _validate_prototypes(self, proposal: Any) -> Any:
        """Refuse fewer prototypes than the present k needs."""
        _fitting_k(self.k, len(proposal["value"]))
        return proposal["value"]

    def still(self) -> tuple[str, str]:
        """Return the present plane, and where the token is."""
        x1, x2 = self.token
        words = f"Token x = ({x1:g}, {x2:g}), k = {self.k}."
        return compass_svg(self.token, self.prototypes, self.k, EXTENT), words.replace("-", "−")


def _in_plane(name: str, value: Any) -> np.ndarray:
    """Return `value` as an array of coordinates that the plane shows."""
    points = float_array(name, value)
    if np.abs(points).max(initial=0) > EXTENT:
        raise refuse(name, value, f"coordinates from {-EXTENT:g} to {EXTENT:g}")
    return points


def _fitting_k(k: Any, num_experts: int) -> int:
    """Return k if it selects from 1 to all of the experts."""
    try:
        return whole_number("k", k, least=1, most=num_experts)
    except ValueError as error:
        raise RefusedStateError(str(error)) from None
