"""The visualizer's state in an address: what is written is read, and what does not fit is passed over."""

import json
from pathlib import Path

import numpy as np
import pytest

from moe_lessons.widgets.visualizer import GatingVisualizer

TEXT = (Path(__file__).parents[2] / "docs/_static/address.js").read_text(encoding="utf-8")
STATE = GatingVisualizer().page_state()
OF = {**json.loads(STATE["setting"]), "samples": json.loads(STATE["samples"])}
FORMS = ("topk_softmax", "softmax_topk", "softmax_topk_renorm")


@pytest.fixture
def module(load_module):
    return load_module(TEXT, "read, written")


def drawn(count=300):
    """Return states: presets and edited ones, with numbers of every kind."""
    rng, states = np.random.default_rng(0), []
    for case in range(count):
        kind = OF["kinds"][rng.integers(5)]
        x = kind["x"] if case % 2 else rng.uniform(-3, 3, 6).round(int(rng.integers(0, 9))).tolist()
        noise, temperature = float(rng.choice([0, rng.uniform(0, 2)])), float(rng.choice([1, 10 ** rng.uniform(-3, 3)]))
        sample = OF["samples"][int(rng.choice([0, rng.integers(100)]))]
        states.append({"token": kind["name"], "x": x, "k": int(rng.integers(1, 6)), "noise": noise,
                       "noise_sample": sample, "temperature": temperature, "form": FORMS[rng.integers(3)]})  # fmt: skip
    return states


def lost(module, states):
    """Return how many states do not come back from their address, which is laid over the initial one."""
    written = module.map("written", [[state, STATE["initial"], OF] for state in states])
    read = module.map("read", [[text, OF] for text in written])
    return sum(STATE["initial"] | found != state for found, state in zip(read, states, strict=True))


def test_a_state_comes_back_from_its_address(module):
    assert lost(module, drawn()) == 0


def test_broken_control_a_state_that_is_written_in_part_is_lost(load_module):
    broken = TEXT.replace('k: { key: "k", read', 'j: { key: "k", read').replace("1, experts.length", "1, 3")
    assert broken != TEXT
    assert lost(load_module(broken, "read, written"), drawn()) > 50


def test_the_initial_state_needs_no_address(module):
    assert module.map("written", [[STATE["initial"], STATE["initial"], OF]]) == [""]


@pytest.mark.parametrize(
    "fragment",
    [
        "", "#below", "#visualizer", "#visualizer:", "#visualizer:k", "#visualizer:k=", "#visualizer:k=0",
        "#visualizer:k=6", "#visualizer:k=2.5", "#visualizer:k=NaN", "#visualizer:token=cat", "#visualizer:x=1,2",
        "#visualizer:x=1,2,3,4,5,a", "#visualizer:x=9,0,0,0,0,0", "#visualizer:x=,,,,,", "#visualizer:noise=-1",
        "#visualizer:noise=3", "#visualizer:temperature=0", "#visualizer:temperature=1e9", "#visualizer:form=softmax",
        "#visualizer:sample=0", "#visualizer:sample=101", "#visualizer:constructor=1", "#visualizer:&&=&=1",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_passed_over(module, fragment):
    assert module.map("read", [[fragment, OF]]) == [{}]


def test_what_fits_is_taken_beside_what_does_not(module):
    (found,) = module.map("read", [["#visualizer:k=3&token=cat&form=softmax_topk&x=1%2C0%2c0,0,0,-1", OF]])
    assert found == {"k": 3, "form": "softmax_topk", "x": [1, 0, 0, 0, 0, -1]}


def test_a_token_brings_its_vector_along(module):
    (found,) = module.map("read", [["#visualizer:token=logic", OF]])
    assert found["x"] == next(kind["x"] for kind in OF["kinds"] if kind["name"] == "logic")
