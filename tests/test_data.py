"""The worked example and the planted token kinds keep the numbers that the lessons tell."""

import numpy as np
import pytest

from moe_lessons import routing
from moe_lessons.data import EXPERT_NAMES, planted_router, token_kinds, worked_example, worked_experts

LOGITS = {  # as the docstring of `planted_router` lists them
    kind: [float(number) for number in numbers]
    for kind, *numbers in (line.split() for line in planted_router.__doc__.splitlines()[4:9])
}


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


def test_the_five_kinds_and_experts():
    assert list(token_kinds()) == list(LOGITS) == ["code", "maths", "language", "logic", "factual"]
    assert EXPERT_NAMES == ("Code", "Math", "Language", "Logic", "Factual")


@pytest.mark.parametrize("kind", LOGITS)
def test_the_planted_router_gives_the_logits_it_promises(kind):
    h = routing.router_logits(token_kinds()[kind].x, planted_router())
    np.testing.assert_allclose(h, LOGITS[kind], rtol=0, atol=1e-12)
    assert h.argmax() == list(LOGITS).index(kind)
    assert np.diff(np.sort(h)).min() > 0.05  # no tie that rounding could decide


def test_the_planted_router_is_no_table_of_answers():
    W_g = planted_router()
    assert W_g.shape == (6, 5)
    assert np.linalg.matrix_rank(W_g) == 5
    assert (W_g == 0).sum() <= 1
    for i, kind in enumerate(token_kinds().values()):
        other = planted_router()
        other[:, i] = 0
        assert routing.route(kind.x, other, 1).selected[0] != i


def test_top_2_of_the_code_token():
    trace = routing.route(token_kinds()["code"].x, planted_router(), 2)
    assert trace.selected.tolist() == [0, 3]
    np.testing.assert_allclose(trace.weights, [0.8808, 0, 0, 0.1192, 0], atol=5e-5)


def test_every_token_stands_in_its_text_once():
    for kind in token_kinds().values():
        assert kind.text.count(kind.token) == 1
        assert kind.x.shape == (6,)


def test_the_kinds_are_fresh_in_each_call():
    token_kinds()["code"].x[0] = 99
    assert token_kinds()["code"].x[0] == -2.1
