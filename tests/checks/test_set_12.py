"""The set's own arithmetic agrees with the package and with differences; its routers leak where they say so."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from moe_lessons import routing
from moe_lessons.atlas import KEYS, METHODS, SCORE_WORDS
from moe_lessons.causality import leak
from moe_lessons.checks import check
from moe_lessons.checks.apart import tells_apart
from moe_lessons.checks.engine import Status
from moe_lessons.checks.set_12 import CONFIG, GATE, GIVEN_BIAS, GIVEN_LOGITS, GRADIENT, GROUPS, LEAK, SHIFT
from moe_lessons.checks.set_12.q1_gate import FAR, gate_cases, weights
from moe_lessons.checks.set_12.q2_groups import group_cases, selection
from moe_lessons.checks.set_12.q3_gradient import both, gradient_cases
from moe_lessons.checks.set_12.q4_leak import ENOUGH, FREE, LEAKY, NOTED, TEXTS, HiddenWriter, common, leak_cases
from moe_lessons.checks.set_12.q5_config import CONFIGURATIONS, READ, configuration
from moe_lessons.checks.set_12.q6_shift import MODELS, SHIFTED_LOGITS, K
from moe_lessons.gate import selected_weights
from moe_lessons.routing import Gate

SEEDS = range(10)
ROOT = Path(__file__).parents[2]


def drawn(cases):
    return [(seed, case) for seed in SEEDS for case in cases(np.random.default_rng(seed))]


def one_case(cases):
    return cases[:1]


def without_bias_and_scale(cases):
    return [(h, a, k, 0 * b, 1.0) for h, a, k, b, _ in cases]


@pytest.mark.parametrize(
    ("question", "cases", "spoilt"),
    [
        (GATE, gate_cases, one_case),
        (GROUPS, group_cases, one_case),
        (GRADIENT, gradient_cases, without_bias_and_scale),
    ],
)
def test_all_known_mistakes_come_to_different_things(question, cases, spoilt):
    for seed in SEEDS:
        some = cases(np.random.default_rng(seed))
        assert tells_apart(question, some)
        assert not tells_apart(question, spoilt(some))  # broken control


# --- 12.1 and 12.2 ------------------------------------------------------------------------------------------------


def test_the_weights_are_those_of_the_package():
    for _, (h, k, b, score, normalise, scale) in drawn(gate_cases):
        gate = Gate(score, normalise=normalise, scale=scale)
        np.testing.assert_allclose(weights(h, k, b, score, normalise, scale), gate.weights(h, k, b), rtol=1e-12)
        assert np.abs(gate.weights(h, k) - gate.weights(h, k, b)).max() > 0.01  # the bias counts


def test_each_score_is_asked_with_and_without_the_division_and_once_far_from_0():
    cases = gate_cases(np.random.default_rng(0))
    assert {(score, normalise) for _, _, _, score, normalise, _ in cases} == {
        (score, normalise) for score in routing.SCORES for normalise in (True, False)
    }
    assert [h.min() > FAR / 2 for h, *_ in cases].count(True) == 1


@pytest.mark.parametrize(("best", "name"), [(1, "max"), (2, "top2")])
def test_the_groups_are_those_of_the_package(best, name):
    for _, (s, b, k, groups, kept, _) in drawn(group_cases):
        gate = Gate("sigmoid", groups=groups, kept_groups=kept, group_score=name)
        logits = np.log(s / (1 - s))  # (T, N)
        np.testing.assert_array_equal(selection(s, b, k, groups, kept, best)[1], gate.selected(logits, k, b))


def test_in_some_cases_a_dropped_group_of_zeros_would_win():
    for seed in SEEDS:
        below = [(s + b).mean() < 0 for s, b, *_ in group_cases(np.random.default_rng(seed))]
        assert below.count(True) == 2


# --- 12.3 ---------------------------------------------------------------------------------------------------------


def test_the_gradient_is_that_of_autograd():
    for _, (h, a, k, b, scale) in drawn(gradient_cases):
        logits = torch.tensor(h, requires_grad=True)
        selected = (logits.sigmoid() + torch.tensor(b)).topk(k, dim=-1).indices
        w = selected_weights(logits, selected, Gate("sigmoid", scale=scale))
        (w * torch.tensor(a).gather(-1, selected)).sum().backward()
        gradient, together = both(h, a, k, b, scale)
        np.testing.assert_allclose(gradient, logits.grad.numpy(), atol=1e-12)
        np.testing.assert_allclose(together, logits.grad.sum(dim=-1).numpy(), atol=1e-12)
        assert np.abs(together).max() > 1e-3  # a softmax's would be 0


# --- 12.4 ---------------------------------------------------------------------------------------------------------


def route_of(kind, seed=0):
    """Return a router of this kind, and its width."""
    d, entry = next(case for case in leak_cases(np.random.default_rng(seed)) if case[1][0] == kind)
    return d, HiddenWriter(entry).argument


def moved(kind, text):
    """Return by how much the weights of a beginning move, at most, when the rest is left out."""
    d, route = route_of(kind)
    x = np.random.default_rng(text).normal(size=(ENOUGH, d))
    whole = route(x)
    return max(np.abs(route(x[:t]) - whole[:t]).max() for t in range(1, ENOUGH))


@pytest.mark.parametrize("kind", HiddenWriter.kinds)
def test_a_leak_shows_as_often_and_as_clearly_as_promised(kind):
    found = np.array([moved(kind, text) for text in range(TEXTS)])
    if kind in FREE:
        assert found.max() < 1e-6
    else:
        shows = found > 1e-4
        assert shows.mean() > 0.2
        assert found[shows].min() > 0.001


@pytest.mark.parametrize("kind", FREE)
def test_the_leak_detector_of_the_package_agrees_on_causal_ones(kind):
    d, route = route_of(kind)
    assert not leak(route, np.random.default_rng(0).normal(size=(ENOUGH, d)), "none").found


def test_the_leak_detector_of_the_package_finds_the_others():
    found = []
    for kind in LEAKY:
        d, route = route_of(kind)
        texts = (np.random.default_rng(text).normal(size=(ENOUGH, d)) for text in range(TEXTS))
        found.append(any(leak(route, x, "none", tries=11, tolerance=1e-3).found for x in texts))
    assert all(found)


def test_what_is_noted_of_the_calls():
    d, route = 3, HiddenWriter(("keeps each token's best two (token choice)", np.ones((3, 4)), np.zeros(4)))
    x = np.random.default_rng(0).normal(size=(6, d))
    for given in (x, x[:4], x[:2], np.concatenate([x[:3], -x[3:]]), -x):
        route.argument(given)
    with pytest.raises(ValueError, match="one row for each token"):
        route.argument(x[0])
    assert route.noted() == dict(zip(NOTED, (6, 2, 3, np.abs(x).max(), True, False), strict=True))
    assert [common(x, x[:4]), common(x, -x), common(x, x)] == [4, 0, 6]


def test_routers_are_told_in_words_and_the_number_is_that_of_the_text():
    assert HiddenWriter.written("route", ("looks at the next token in place 5 only", None, None)).endswith("5 only")
    text = (ROOT / "authoring/exercises/12_router_atlas.py").read_text("utf-8")
    assert f"tried on {len(HiddenWriter.kinds)} routers" in text


# --- 12.5 and 12.6 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", READ)
def test_the_keys_are_those_of_the_atlas_and_say_what_is_read(model):
    said = {setting: v for key, v in CONFIGURATIONS[model].items() for setting, keys in KEYS.items() if key in keys}
    read = READ[model]
    assert json.loads(configuration(model)) == CONFIGURATIONS[model]
    assert (said["k"], said["normalise"], said["scale"]) == (read["k"], read["normalise"], read["scale"])
    assert SCORE_WORDS[said["score"]] == read["name"]
    assert (said.get("groups", 1), said.get("kept_groups", 1)) == (read["groups"], read["kept_groups"])
    assert said.get("method", "noaux_tc") in METHODS
    gate = Gate(read["name"], normalise=read["normalise"], scale=read["scale"], groups=read["groups"],
                kept_groups=read["kept_groups"], group_score="top2" if read["best"] == 2 else "max")  # fmt: skip
    np.testing.assert_allclose(CONFIG.expected()[model], gate.weights(GIVEN_LOGITS, read["k"], GIVEN_BIAS))


def test_two_models_stay_one_changes_its_choice():
    expected = SHIFT.expected()
    chosen = {}
    for model, (bias, score, normalise, scale) in MODELS.items():
        gate = Gate(score, normalise=normalise, scale=scale)
        before, after = (gate.weights(h[0], K, bias) for h in (SHIFTED_LOGITS, SHIFTED_LOGITS - SHIFTED_LOGITS.max()))
        assert expected[model] == pytest.approx(np.abs(after - before).max(), abs=1e-12)
        chosen[model] = bool(((before > 0) == (after > 0)).all())
    assert [expected[model] < 1e-12 for model in MODELS] == [True, True, False, False, False]
    assert chosen == {"A": True, "B": True, "C": True, "D": False, "E": True}


@pytest.mark.parametrize("question", [CONFIG, SHIFT])
def test_no_two_mistakes_in_a_number_are_near_each_other_or_what_is_right(question):
    for part, right in question.expected().items():
        known = [("right", np.atleast_1d(right))]
        known += [(mistake.name, np.atleast_1d(mistake.wrong())) for mistake in question.parts[part]]
        for i, (name, value) in enumerate(known):
            for other, far in known[:i]:
                apart = value.shape != far.shape or np.abs(value - far).max() > 2 * question.tolerance
                assert apart or name == other, (name, other)


# --- the package's own answers ------------------------------------------------------------------------------------


def test_the_gate_of_the_package_is_no_answer():
    def own(logits, k, bias, score, normalise, scale):
        return Gate(score, normalise=normalise, scale=scale).weights(logits, k, bias)

    assert check("12.1", own).status != Status.CORRECT


def test_the_leak_detector_of_the_package_is_no_answer():
    def own(d, route):
        return any(leak(route, np.random.normal(size=(12, d)), "none").found for _ in range(20))

    assert check("12.4", own).status != Status.CORRECT
    assert "causality.leak" in LEAK.stands_for
