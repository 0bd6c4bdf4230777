"""The trace picture shows the numbers that `route` computed, at every step and at the extremes."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from reading import SVG
from reading import words as shown_texts

from moe_lessons import routing
from moe_lessons.data import worked_example
from moe_lessons.figures.trace import trace_svg, worked_example_svg

X, W_G = worked_example()
PICTURES = {
    **{f"step {step}": partial(trace_svg, X, W_G, step=step) for step in range(1, 6)},
    "many experts, zero logits": partial(trace_svg, np.zeros(2), np.ones((2, 12)), k=12),
    "worked example": worked_example_svg,
}


def shown_numbers(svg):
    return {float(t.replace("−", "-")) for t in shown_texts(svg) if re.fullmatch(r"−?\d+\.\d{3}", t)}


@pytest.mark.parametrize("form", routing.GATE_FORMS)
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("temperature", [1e-4, 0.5, 1.0, 1e3])
def test_the_last_step_shows_every_number_of_the_trace(form, k, temperature):
    svg = trace_svg(X, W_G, k, form, temperature)
    trace = routing.route(X, W_G, k, form, temperature)
    expected = {round(float(v), 3) for v in np.concatenate([trace.logits, trace.probs, trace.weights])}
    assert expected <= shown_numbers(svg)
    assert shown_texts(svg).count("✓ kept") == k


def test_each_step_reveals_one_more_column():
    open_cells = [shown_texts(trace_svg(X, W_G, step=step)).count("?") for step in range(1, 6)]
    assert open_cells == [16, 12, 8, 4, 0]


def test_the_footer_is_the_steps_arithmetic():
    assert "Multiply and add: the logit of E3 is 1·0.3 + (−0.5)·0.2 + 0.8·0.4 =" in shown_texts(
        trace_svg(X, W_G, step=1)
    )
    assert any("Sum 4.6382" in t for t in shown_texts(trace_svg(X, W_G, step=2)))


def test_broken_control_a_picture_of_other_weights_is_noticed():
    svg = trace_svg(X, W_G, form="softmax_topk")
    renormalised = {round(float(w), 3) for w in routing.route(X, W_G, 2).weights}
    assert not renormalised <= shown_numbers(svg)


def test_the_description_tells_the_weights():
    assert "E3 gets 0.555" in ET.fromstring(worked_example_svg()).find(SVG + "desc").text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"step": 0}, "step = 0"),
        ({"k": 5}, "k = 5"),
        ({"temperature": 0}, "temperature = 0"),
        ({"form": "x"}, "form = 'x'"),
    ],
)
def test_bad_input(arguments, named):
    with pytest.raises(ValueError, match="expected") as error:
        trace_svg(X, W_G, **arguments)
    assert str(error.value).startswith(named)


def test_several_tokens_are_refused():
    with pytest.raises(ValueError, match="number of axes"):
        trace_svg(np.ones((2, 3)), W_G)


def test_noise_is_added_to_the_logits_and_named():
    noise = np.array([2.0, 0, 0, -1])  # (N,)
    svg = trace_svg(X, W_G, noise=noise)
    trace = routing.route(X, W_G, 2, noise=noise)
    assert {round(float(v), 3) for v in trace.logits} <= shown_numbers(svg)
    assert "+ noise 2 = 1.820." in svg
    assert "noise" not in trace_svg(X, W_G, noise=np.zeros(4))


def test_a_logit_that_is_zero_but_for_rounding_has_no_sign():
    assert "−0.000" not in trace_svg([-1e-17, 1.0], np.eye(2), 1)
