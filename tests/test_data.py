"""The worked example keeps the numbers that the lesson tells."""

import numpy as np

from moe_lessons import routing
from moe_lessons.data import worked_example, worked_experts


def test_worked_example_numbers():
    x, W_g = worked_example()
    trace = routing.route(x, W_g, 2)
    np.testing.assert_allclose(trace.logits, [-0.18, 0.30, 0.52, -0.26], atol=1e-12)
    np.testing.assert_allclose(np.exp(trace.logits).sum(), 4.6382, atol=5e-5)
    np.testing.assert_allclose(trace.probs, [0.1801, 0.2910, 0.3626, 0.1662], atol=5e-5)
    np.testing.assert_allclose(trace.weights[trace.selected], [0.5548, 0.4452], atol=5e-5)


def test_experts_keep_the_width_and_differ():
    x, _ = worked_example()
    outputs = np.array([expert(x) for expert in worked_experts()])
    assert outputs.shape == (4, 3)
    assert len({tuple(y) for y in outputs.tolist()}) == 4


def test_each_call_returns_fresh_arrays():
    worked_example()[0][0] = 99
    assert worked_example()[0][0] == 1.0
