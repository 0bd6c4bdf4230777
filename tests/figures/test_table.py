"""The table of a trace: the numbers of `route`, readable by a screen reader."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from moe_lessons.figures.table import trace_table
from moe_lessons.routing import route

X = [1.0, 2.0]
W_G = [[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]]  # (2, 3)


def rows(html):
    return [[cell.text for cell in row] for row in ET.fromstring(html).iter("tr")]


def test_every_row_shows_what_route_computed():
    trace = route(X, W_G, 2)
    header, *experts = rows(trace_table(trace))
    assert header == ["Expert", "Logit", "Probability", "Weight", "Selected"]
    for i, row in enumerate(experts):
        numbers = [float(cell) for cell in row[1:4]]
        assert row[0] == f"E{i + 1}"
        np.testing.assert_allclose(numbers, [trace.logits[i], trace.probs[i], trace.weights[i]], atol=5e-4)
    assert [row[4] for row in experts] == ["✓ rank 1", "no", "✓ rank 2"]


def test_another_token_gives_another_table():
    assert trace_table(route(X, W_G, 2)) != trace_table(route([1.0, 2.1], W_G, 2))


def test_headers_say_which_cells_they_name():
    tree = ET.fromstring(trace_table(route(X, W_G, 1)))
    assert [th.get("scope") for th in tree.iter("th")] == ["col"] * 5 + ["row"] * 3


def test_the_caption_tells_the_settings_or_what_it_is_given():
    trace = route(X, W_G, 2, temperature=0.5)
    assert ET.fromstring(trace_table(trace)).find("caption").text == "k = 2, form = topk_softmax, τ = 0.5"
    assert ET.fromstring(trace_table(trace, "x < y & z")).find("caption").text == "x < y & z"


def test_a_trace_of_several_tokens_is_refused():
    with pytest.raises(ValueError, match=r"trace\.logits\.shape = \(2, 3\): expected \(N,\)"):
        trace_table(route([X, X], W_G, 1))
