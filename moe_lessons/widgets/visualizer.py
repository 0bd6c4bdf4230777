"""The Gating Network Visualizer: one token's way through a router, every number computed.

The picture is drawn in the browser (visualizer*.js, with the arithmetic of routing.js); Python holds the state.
"""

from typing import Any

import anywidget
import numpy as np
import traitlets

from moe_lessons.data import EXPERT_NAMES, planted_router, token_kinds
from moe_lessons.figures.trace import trace_svg
from moe_lessons.routing import GATE_FORMS, Trace, route
from moe_lessons.support.validation import one_of, whole_number
from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.lasting import Lasting
from moe_lessons.widgets.traits import AS_TEXT, COLOURS, Checked, choice_of, count, number, vector

KINDS = token_kinds()
ROUTER = planted_router()  # (d, N)
WIDTH, EXPERTS = ROUTER.shape
REACH = 3.0  # entries of x lie within ±REACH
LARGEST_NOISE = 2.0
LARGEST_SAMPLE = 10.0
TEMPERATURES = (1e-3, 1e3)
PARTS = ("_reading", "_help", "_controls", "_picture", "_router", "")  # of the module, in the order they are joined
DRAWS = 100  # noise samples that the browser goes through, even while the kernel is busy


class GatingVisualizer(Lasting, anywidget.AnyWidget):
    """Follow one token through the gate: x, logits, noise, top-k, weights, experts, output.

    token: "code", "maths", "language", "logic" or "factual"; setting it also sets x to the vector of that kind.
    k: experts that run, 1 to 5. noise: 0 to 2, times the frozen `noise_sample`. temperature: 0.001 to 1000.
    form: a key of routing.GATE_FORMS. seed: of the noise samples. Further state: x, six numbers within ±3;
    noise_sample, five numbers within ±10. All but the seed can be read and set at any time.
    Raises ValueError for anything else. Vectors and router are planted (moe_lessons.data).
    """

    _esm = source("routing.js", "dom.js", "help.js", "roving.js", *(f"visualizer{part}.js" for part in PARTS))
    _css = source("dom.css", "range.css", "visualizer.css")
    name_on_page = "visualizer"

    token = Checked(choice_of(KINDS)).tag(sync=True)
    x = Checked(vector(WIDTH, REACH)).tag(sync=True)
    k = Checked(count(1, EXPERTS)).tag(sync=True)
    noise = Checked(number(0, LARGEST_NOISE)).tag(sync=True)
    noise_sample = Checked(vector(EXPERTS, LARGEST_SAMPLE)).tag(sync=True)
    temperature = Checked(number(*TEMPERATURES)).tag(sync=True)
    form = Checked(choice_of(GATE_FORMS)).tag(sync=True)
    initial = traitlets.Dict().tag(sync=True)
    samples: Any = traitlets.List().tag(sync=True, **AS_TEXT)
    setting = traitlets.Dict().tag(sync=True, **AS_TEXT)
    colours = traitlets.Dict(COLOURS).tag(sync=True)

    def __init__(
        self,
        token: str = "code",
        k: int = 2,
        noise: float = 0.0,
        temperature: float = 1.0,
        form: str = "topk_softmax",
        seed: int = 0,
    ) -> None:
        self._x_follows_token = True
        x = KINDS[one_of("token", token, KINDS)].x
        samples = _noise_samples(seed)
        state = {"token": token, "x": x, "k": k, "noise": noise, "noise_sample": samples[0]}
        super().__init__(**state, temperature=temperature, form=form, samples=samples, setting=_setting())
        self.initial = {name: getattr(self, name) for name in (*state, "temperature", "form")}

    @property
    def trace(self) -> Trace:
        """What the router computes now: logits (5,) with noise, probs (5,), selected (k,), weights (5,)."""
        noise = self.noise * np.array(self.noise_sample)  # (N,)
        return route(self.x, ROUTER, self.k, self.form, self.temperature, noise=noise)

    @traitlets.observe("token")
    def _take_vector(self, _change: object) -> None:
        """Put the vector of the new kind in the place of x."""
        if self._x_follows_token:
            self.x = KINDS[self.token].x

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take the browser's state as it comes: x may have been edited since the token was chosen."""
        self._x_follows_token = False
        try:
            super().set_state(sync_data)
        finally:
            self._x_follows_token = True

    def still(self) -> tuple[str, str]:
        """Return the steps of the present token, and the settings in words."""
        noise = self.noise * np.array(self.noise_sample)  # (N,)
        return trace_svg(self.x, ROUTER, self.k, self.form, self.temperature, noise=noise), self._settings()

    def _settings(self) -> str:
        """Say what the controls are set to."""
        kind = KINDS[self.token]
        x = "edited x" if self.x != kind.x.tolist() else "its x"
        active = ", ".join(f"E{i + 1} {EXPERT_NAMES[i]}" for i in self.trace.selected)
        return (
            f"The token {kind.token!r} of {kind.text!r} ({self.token}), {x} = {self.x}: k = {self.k}, "
            f"noise {self.noise:g}, τ = {self.temperature:g}, form {self.form}. Active: {active}."
        ).replace("-", "−")


def _noise_samples(seed: int) -> list[list[float]]:
    """Draw the noise samples (DRAWS, N), standard Gaussian, to three decimals."""
    rng = np.random.default_rng(whole_number("seed", seed, least=0, most=2**32 - 1))
    return rng.standard_normal((DRAWS, EXPERTS)).round(3).tolist()


def _setting() -> dict[str, Any]:
    """Return what the browser needs to know and never changes. The kinds are a list, for they have an order."""
    kinds = [{"name": n, "text": kind.text, "token": kind.token, "x": kind.x.tolist()} for n, kind in KINDS.items()]
    limits = {"reach": REACH, "largestNoise": LARGEST_NOISE, "temperatures": list(TEMPERATURES)}
    return {"kinds": kinds, "experts": list(EXPERT_NAMES), "W_g": ROUTER.tolist(), **limits}
