"""The picture of lesson 05's layer: every row, slice, load and weight it shows is worked out here a second time."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import SVG, words

from moe_lessons.figures.dispatch import STEPS, dispatch_svg
from moe_lessons.routing import gate_weights, top_k


def routed(T=6, k=2, N=5, seed=0):
    logits = np.random.default_rng(seed).normal(size=(T, N))
    selected = top_k(logits, k)[1]
    return selected, np.take_along_axis(gate_weights(logits, k), selected, axis=1)


def drawn(T=6, k=2, N=5, seed=0, step=4):
    return dispatch_svg(*routed(T, k, N, seed), step, N)


PICTURES = {
    **{f"default, step {step}": partial(drawn, step=step) for step in (1, 2, 3, 4)},
    "minimum": partial(drawn, 1, 1, 1),
    "one token, empty experts": partial(drawn, 1, 1, 8, 3),
    "maximum": partial(drawn, 8, 3, 8, 1),
    "k = N": partial(drawn, 8, 3, 3),
    "all to one": partial(dispatch_svg, [[0]] * 8, [[1.0]] * 8, 4, 6),
    "all to the last": partial(dispatch_svg, [[7]] * 24, [[-0.5]] * 24),
}


def test_each_step_adds_its_words():
    counts = [len(words(drawn(step=step))) for step in (1, 2, 3, 4)]
    assert counts == sorted(set(counts))
    for step in (1, 2, 3, 4):
        assert f"step {step} of 4: {STEPS[step - 1]}" in drawn(step=step)


@given(st.integers(1, 8), st.integers(1, 3), st.integers(3, 8), st.integers(0, 10**6))
def test_the_slices_hold_the_rows_of_their_expert(T, k, N, seed):
    selected, weights = routed(T, k, N, seed)
    svg = dispatch_svg(selected, weights, 4, N)
    assert slices(words(svg)) == by_hand(selected, N)
    assert [w for w in words(svg) if re.fullmatch(r"E\d\(t\d\)", w)] == computed(selected, N)


def slices(shown):
    """Expert -> (start, end) of its slice, or None if it is said to be empty."""
    found = {}
    for word in shown:
        if match := re.fullmatch(r"E(\d) (?:\[(\d+):(\d+)\]|empty)", word):
            expert, start, end = match.groups()
            found[int(expert)] = None if start is None else (int(start), int(end))
    return found


def by_hand(selected, N):
    found, start = {}, 0
    for i in range(N):
        load = sum(i in row for row in selected.tolist())
        found[i + 1] = (start, start + load) if load else None
        start += load
    return found


def computed(selected, N):
    return [f"E{i + 1}(t{t})" for i in range(N) for t, row in enumerate(selected.tolist()) if i in row]


def combined(svg):
    """Follow each line of the last step from its row to the token whose output box it enters: (row, token)."""
    root = ET.fromstring(svg)
    lines = [n for n in root.iter(SVG + "line") if float(n.get("x1")) > 300 and float(n.get("x2")) > float(n.get("x1"))]
    lines = [n for n in lines if n.get("y1") != "36"]
    boxes = [(float(n.get("y")), float(n.get("y")) + float(n.get("height")))
             for n in root.iter(SVG + "rect") if n.get("x") == "430"]  # fmt: skip
    ends = [next(t for t, (low, high) in enumerate(boxes) if low <= float(n.get("y2")) <= high) for n in lines]
    rows = np.argsort(np.argsort([float(n.get("y1")) for n in lines]))
    return dict(zip(rows.tolist(), ends, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_every_row_goes_back_to_its_token_with_its_weight(seed):
    selected, weights = routed(seed=seed)
    svg = drawn(seed=seed)
    rows = [(t, weights[t, row.index(i)]) for i in range(5) for t, row in enumerate(selected.tolist()) if i in row]
    assert combined(svg) == {row: t for row, (t, _) in enumerate(rows)}
    at = {float(n.get("y")): n.text for n in ET.fromstring(svg).iter(SVG + "text") if n.text.startswith("×")}
    assert [at[y] for y in sorted(at)] == [f"×{w:.2f}" for _, w in rows]


def test_broken_control_an_unsorted_order_would_be_noticed():
    selected, _ = routed()
    shown = [w for w in words(drawn()) if re.fullmatch(r"E\d\(t\d\)", w)]
    assert shown != [f"E{i + 1}(t{t})" for t, row in enumerate(selected.tolist()) for i in row]


def test_an_expert_without_tokens_is_seen_to_be_empty():
    svg = dispatch_svg([[0, 2], [2, 0]], [[0.5, 0.5]] * 2, 4, 4)
    assert {"E2 empty", "E4 empty"} <= set(words(svg))
    dashed = [n for n in ET.fromstring(svg).iter(SVG + "rect") if n.get("stroke-dasharray")]
    assert len(dashed) == 2
    assert "loads=2,0,2,0" in svg


def test_the_state_tells_who_chose_whom():
    one, other = ([[0, 2], [1, 2]], [[1, 2], [0, 2]])  # the same loads
    states = [ET.fromstring(dispatch_svg(chosen, [[0.5, 0.5]] * 2)).get("data-state") for chosen in (one, other)]
    assert states == [f"step=4 T=2 k=2 chosen={chosen} loads=1,1,2" for chosen in ("1+3,2+3", "2+3,1+3")]


def test_experts_at_the_end_exist_only_if_named():
    assert "loads=2,0,2 " not in dispatch_svg([[0], [2]], [[1.0]] * 2)
    assert 'loads=1,0,1"' in dispatch_svg([[0], [2]], [[1.0]] * 2)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (partial(dispatch_svg, [0, 1], [1.0, 1.0]), "selected = [0, 1]"),
        (partial(dispatch_svg, [[0.0]], [[1.0]]), "selected = [[0.0]]"),
        (partial(dispatch_svg, [[0]] * 25, [[1.0]] * 25), "selected = "),
        (partial(dispatch_svg, [[-1]], [[1.0]]), "selected = [[-1]]"),
        (partial(dispatch_svg, [[3]], [[1.0]], 4, 3), "selected = [[3]]"),
        (partial(dispatch_svg, [[1, 1]], [[0.5, 0.5]]), "selected = [[1, 1]]"),
        (partial(dispatch_svg, [[8]], [[1.0]]), "num_experts = 9"),
        (partial(dispatch_svg, [[0]], [[1.0]], 4, 2.5), "num_experts = 2.5"),
        (partial(dispatch_svg, [[0]], [[1.0, 2.0]]), "weights.shape = (1, 2)"),
        (partial(dispatch_svg, [[0]], [[np.nan]]), "weights[0, 0]"),
        (partial(dispatch_svg, [[0]], [[1.0]], 0), "step = 0"),
        (partial(dispatch_svg, [[0]], [[1.0]], 5), "step = 5"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)


@pytest.mark.parametrize("T", [1, 2, 8])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("N", [3, 8])
def test_the_picture_is_as_tall_whatever_it_shows_and_its_rows_have_room_for_words(T, k, N):
    selected = np.tile(np.arange(k), (T, 1))
    root = ET.fromstring(dispatch_svg(selected, np.full((T, k), 1 / k), 4, N))
    assert root.get("viewBox").split()[3] == "600"
    rows = [float(n.get("height")) for n in root.iter(SVG + "rect") if n.get("stroke")]
    assert min(rows) >= 13
