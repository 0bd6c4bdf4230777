"""The visualizer: the numbers of `route`, sentences that are true, and a state that is always valid."""

import json
import math
import re

import numpy as np
import pytest
import traitlets

from moe_lessons.accounting import PUBLISHED
from moe_lessons.data import EXPERT_NAMES, planted_router, token_kinds
from moe_lessons.routing import GATE_FORMS, gate_weights, route, top_k
from moe_lessons.widgets.visualizer import GatingVisualizer

VISUALIZER = GatingVisualizer._esm
FUNCTIONS = (
    "reading, product, nextSample, temperatureAt, numberFrom, middles, longest, "
    "marks: (state, W) => W[0].map((_, i) => place(i, state.form, reading(state, W))), "
    "follows: (state, W, experts) => experts.map((_, i) => followed(i, state, reading(state, W), W, experts)), "
    "words: (state, W, experts) => described(reading(state, W), experts), "
    "terms: (state, W) => W[0].map((_, i) => term(i, reading(state, W))), "
    "told: (state, W, experts) => story(state, reading(state, W), experts)"
)
W_G = planted_router()  # (d, N)
STATE = ("token", "x", "k", "noise", "noise_sample", "temperature", "form")


def random_states(count, seed=0):
    """Draw states; x is that of a kind, or edited, sometimes all zeros; noise is often 0 and τ often 1."""
    rng = np.random.default_rng(seed)
    kinds = token_kinds()
    states = []
    for case in range(count):
        token = list(kinds)[rng.integers(5)]
        edited = [rng.uniform(-3, 3, 6), rng.uniform(-3, 3, 6), rng.integers(-3, 4, 6), np.zeros(6)]
        x = [*edited, *[kinds[token].x] * 4][case % 8]
        states.append(
            {
                "token": token,
                "x": np.asarray(x, dtype=float).tolist(),
                "k": int(rng.integers(1, 6)),
                "noise": float(rng.uniform(0, 2) * (case % 3 > 0)),
                "noise_sample": rng.standard_normal(5).tolist(),
                "temperature": float(10 ** (rng.uniform(-3, 3) * (case % 5 > 0))),
                "form": list(GATE_FORMS)[rng.integers(3)],
            }
        )
    return states


def trace_of(state):
    noise = state["noise"] * np.array(state["noise_sample"])  # (N,)
    return route(state["x"], W_G, state["k"], state["form"], state["temperature"], noise=noise)


def test_the_help_names_the_width_of_the_token_and_of_a_published_one():
    assert re.search(r"here it is six\b", VISUALIZER)
    assert W_G.shape[0] == token_kinds()["code"].x.size == 6
    assert f"{PUBLISHED['DeepSeek-V3'].config.d_model:,} (DeepSeek-V3)" in VISUALIZER


def clear(h):
    """Tell whether no two logits are so near that rounding in x·W_g could order them."""
    return np.diff(np.sort(h)).min() > 1e-9


def disagreements(module, states):
    """Count the states in which the page would show another number than `route`."""
    count = 0
    for state, now in zip(states, module.map("reading", [[s, W_G.tolist()] for s in states]), strict=True):
        trace = trace_of(state)
        same = np.allclose(now["logits"], trace.logits, rtol=0, atol=1e-12)
        if clear(trace.logits) or not np.any(trace.logits):  # all zeros tie exactly in both
            same &= now["selected"] == trace.selected.tolist()
            # A gap's last bit counts 1/τ times: at τ = 0.001 an error of 1e-15 in a logit is one of 1e-12 in p.
            atol = 1e-12 * max(1, 0.1 / state["temperature"])
            same &= np.allclose(now["probs"], trace.probs, rtol=0, atol=atol)
            same &= np.allclose(now["weights"], trace.weights, rtol=0, atol=atol)
        count += not same
    return count


def test_the_numbers_are_those_of_route(load_module):
    states = random_states(1000)
    assert sum(clear(trace_of(state).logits) for state in states) > 800
    assert disagreements(load_module(VISUALIZER, FUNCTIONS), states) == 0


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("noise * sample", "sample"),
        ("score + added[i]", "score"),
        ("selected: topK(h, k)", "selected: topK(scores, k)"),
        ("gateWeights(h, k, form, temperature)", "gateWeights(h, k, form)"),
        ("probs: softmax(h, temperature)", "probs: softmax(h)"),
    ],
)
def test_the_comparison_notices_wrong_numbers(load_module, right, wrong):
    assert VISUALIZER.count(right) == 1
    assert disagreements(load_module(VISUALIZER.replace(right, wrong), FUNCTIONS), random_states(100)) > 10


def told(module, states):
    """Return the four sentences for each state, by the control they are about."""
    cases = [[state, W_G.tolist(), list(EXPERT_NAMES)] for state in states]
    return [dict(pairs) for pairs in module.map("told", cases)]


def test_the_sentences_are_true(load_module):
    states = [state for state in random_states(600, seed=1) if clear(trace_of(state).logits)]
    for state, says in zip(states, told(load_module(VISUALIZER, FUNCTIONS), states), strict=True):
        trace, k, form = trace_of(state), state["k"], state["form"]
        names = ", ".join(f"E{i + 1} {EXPERT_NAMES[i]}" for i in trace.selected)
        assert (names in says["k"]) == (k < 5)
        quiet = top_k(np.array(state["x"]) @ W_G, k)[1]
        assert ("changes who runs" in says["noise"]) == (set(quiet) != set(trace.selected))
        at_one = gate_weights(trace.logits, k, form)
        moved = np.abs(trace.weights - at_one).max() >= 0.0005
        assert ("changes the weights" in says["τ"]) == (moved and state["temperature"] != 1)
        missing = 1 - trace.weights.sum()
        assert ("the kept mass" in says["form"]) == (missing >= 0.0005)
        assert not re.search("NaN|undefined|null|Infinity", " ".join(says.values()))


SENTENCES = [
    ({}, "k", "2 of 5 experts run: E1 Code, E4 Logic. The others are asleep: not computed, weight 0."),
    ({"k": 1}, "k", "1 of 5 experts runs: E1 Code. The others are asleep: not computed, weight 0."),
    ({"k": 4}, "k", "4 of 5 experts run: E1 Code, E4 Logic, E2 Math, E3 Language. The other is asleep: not computed, "
     "weight 0."),
    ({"k": 5}, "k", "All 5 experts run: the dense mixture. Nothing is saved."),
    ({"x": [0.0] * 6}, "k", "2 of 5 experts run: E1 Code, E2 Math. The others are asleep: not computed, weight 0. "
     "Equal logits: lower number first."),
    ({}, "noise", "None: x and W_g alone decide who runs."),
    ({"noise": 0.5}, "noise", "It moves the logits; the same experts run without it."),
    ({"noise": 1.0, "noise_sample": [0, 0, 0, 0, 2]}, "noise",
     "It changes who runs: without it E1 Code, E4 Logic."),
    ({"noise": 1.0, "k": 5}, "noise", "It moves the logits; with this k every expert runs anyway."),
    ({}, "τ", "τ = 1 leaves the logits as they are."),
    ({"temperature": 4.0}, "τ", "τ = 4 changes the weights, not who runs. At τ = 1: E1 0.881, E4 0.119."),
    ({"temperature": 4.0, "k": 1}, "τ", "τ = 4 changes nothing: a single expert always gets weight 1."),
    ({"temperature": 0.001, "x": [0.0] * 6}, "τ", "τ = 0.001 changes neither who runs nor, here, their weights."),
    ({}, "form", "The weights of those that run are shared out anew: they sum to 1."),
    ({"k": 1}, "form", "The only expert that runs, E1, gets weight 1 whatever its logit."),
    ({"k": 5, "form": "softmax_topk"}, "form", "With every expert kept, the three forms agree."),
    ({"form": "softmax_topk"}, "form", "The weights sum to 0.838, the kept mass: y has the direction it has in "
     "A and B′, times 0.838."),
    ({"form": "softmax_topk", "temperature": 0.001}, "form",
     "The sleepers would get next to nothing, so the weights sum to nearly 1."),
]  # fmt: skip


@pytest.mark.parametrize(("change", "control", "expected"), SENTENCES)
def test_what_each_control_does_now(load_module, change, control, expected):
    state = {**GatingVisualizer().initial, "noise_sample": [0.1, -0.1, 0.2, 0.3, 0.0], **change}
    (says,) = told(load_module(VISUALIZER, FUNCTIONS), [state])
    assert says[control] == expected


def test_the_dot_product_is_written_out(load_module):
    x = token_kinds()["code"].x.tolist()
    (text,) = load_module(VISUALIZER, FUNCTIONS).map("product", [[x, W_G.tolist(), 0]])
    terms, result = text.replace("−", "-").split(" =\u00a0")
    assert terms == "(-2.1)·(-1) + 1.8·(-1) + 2.3·1 + 1.2·1 + 0.5·(-0.5) + 1.5·(-0.5)"
    assert (eval(terms.replace("·", "*")), result) == (pytest.approx(2.8), "2.80")


def test_the_formula_names_those_that_run_in_order(load_module):
    state = {**GatingVisualizer("logic", k=3).initial}
    (terms,) = load_module(VISUALIZER, FUNCTIONS).map("terms", [[state, W_G.tolist()]])
    weights = GatingVisualizer("logic", k=3).trace.weights
    assert weights[4] == 0
    assert terms == [f"{weights[0]:.3f}·E1(x)", f" + {weights[1]:.3f}·E2(x)", "", f" + {weights[3]:.3f}·E4(x)", ""]


def test_an_expert_that_runs_with_a_tiny_weight_is_not_written_as_zero(load_module):
    state = {**GatingVisualizer(temperature=0.001).initial}
    (terms,) = load_module(VISUALIZER, FUNCTIONS).map("terms", [[state, W_G.tolist()]])
    assert terms == ["1.000·E1(x)", "", "", " + <0.001·E4(x)", ""]


def on_states(module, function, states):
    return module.map(function, [[state, W_G.tolist(), list(EXPERT_NAMES)] for state in states])


def test_the_sentence_about_an_expert_is_true(load_module):
    states = [state for state in random_states(200, seed=2) if clear(trace_of(state).logits)]
    for state, says in zip(states, on_states(load_module(VISUALIZER, FUNCTIONS), "follows", states), strict=True):
        trace = trace_of(state)
        for i, text in enumerate(says):
            rank = np.flatnonzero(trace.selected == i)
            assert text.startswith(f"E{i + 1} {EXPERT_NAMES[i]}: x·w = ")
            said = re.search("h =\u00a0(−?\\d+\\.\\d\\d)", text)
            assert (said is None) == (state["noise"] == 0)
            assert said is None or float(said[1].replace("−", "-")) == pytest.approx(trace.logits[i], abs=0.00501)
            assert ("asleep" in text) == (rank.size == 0)
            assert rank.size == 0 or re.search(rf"It runs, {rank[0] + 1}\w\w of {state['k']}, weight", text)


def test_the_description_names_who_runs_and_who_sleeps(load_module):
    module, initial = load_module(VISUALIZER, FUNCTIONS), GatingVisualizer().initial
    said = on_states(module, "words", [initial, {**initial, "k": 5, "form": "softmax_topk"}])
    assert said[0] == "Active: E1 Code 0.881, E4 Logic 0.119. Asleep: E2, E3, E5. Sum of the weights: 1.000."
    assert "Asleep" not in said[1]
    assert said[1].endswith("Sum of the weights: 1.000.")


def test_no_sentence_becomes_longer_than_its_room(load_module):
    module, states = load_module(VISUALIZER, FUNCTIONS), random_states(600, seed=3)
    for state in states:
        state["x"], state["temperature"] = np.round(state["x"], 3).tolist(), round(state["temperature"], 4) or 0.001
    (room,) = module.map("longest", [[W_G.tolist(), list(EXPERT_NAMES)]])
    said = told(module, states)
    for control, most in zip(said[0], room["told"], strict=True):
        assert max(len(says[control]) for says in said) <= len(most)
    assert max(len(text) for says in on_states(module, "follows", states) for text in says) <= len(room["pointed"])
    terms = module.map("terms", [[state, W_G.tolist()] for state in states])
    most = max(len("y = " + "".join(parts)) for parts in terms)
    assert most == len(room["formula"]) - 1  # room for five tiny weights, and one is 0.2 at least


def test_what_is_cut_is_named_as_the_form_has_it(load_module):
    states = [{**GatingVisualizer().initial, "form": form} for form in GATE_FORMS]
    marks = load_module(VISUALIZER, FUNCTIONS).map("marks", [[state, W_G.tolist()] for state in states])
    assert marks[0] == ["✓ 1st", "h → −∞", "h → −∞", "✓ 2nd", "h → −∞"]
    assert marks[1] == marks[2] == ["✓ 1st", "w → 0", "w → 0", "✓ 2nd", "w → 0"]


def test_stacked_weights_have_their_middles_one_behind_another(load_module):
    module = load_module(VISUALIZER, FUNCTIONS)
    assert module.map("middles", [[[0.5, 0, 0.25, 0.25]]]) == [[0.25, 0.5, 0.625, 0.875]]


def test_new_noise_goes_through_all_samples_and_starts_over(load_module):
    visualizer, module = GatingVisualizer(), load_module(VISUALIZER, FUNCTIONS)
    following = module.map("nextSample", [[visualizer.samples, sample] for sample in visualizer.samples])
    assert following == [*visualizer.samples[1:], visualizer.samples[0]]
    assert module.map("nextSample", [[visualizer.samples, [0, 0, 0, 0, 9]]]) == [visualizer.samples[0]]


def test_the_slider_of_the_temperature_is_logarithmic(load_module):
    cases = [[place, [1e-3, 1e3]] for place in (-3, -1, 0, 0.3, 1, 3, 9, -9)]
    assert load_module(VISUALIZER, FUNCTIONS).map("temperatureAt", cases) == [1e-3, 0.1, 1, 2, 10, 1e3, 1e3, 1e-3]


@pytest.mark.parametrize("text", ["", " ", "-", "1e", "abc", "NaN", "Infinity", "1,5"])
def test_what_is_no_number_leaves_the_old_value(load_module, text):
    assert load_module(VISUALIZER, FUNCTIONS).map("numberFrom", [[text, -3, 3, 0.7]]) == [0.7]


def test_the_trace_is_that_of_route():
    visualizer = GatingVisualizer("maths", k=3, noise=0.7, temperature=2.5, form="softmax_topk", seed=4)
    noise = 0.7 * np.array(visualizer.noise_sample)
    expected = route(token_kinds()["maths"].x, W_G, 3, "softmax_topk", 2.5, noise=noise)
    assert repr(visualizer.trace) == repr(expected)
    np.testing.assert_array_equal(visualizer.trace.weights, expected.weights)
    visualizer.noise, visualizer.k = 0, 1
    assert visualizer.trace.selected.tolist() == [1]


def test_a_token_brings_its_vector():
    visualizer = GatingVisualizer()
    visualizer.x = np.ones(6)
    assert visualizer.x == [1.0] * 6
    visualizer.token = "factual"
    assert visualizer.x == token_kinds()["factual"].x.tolist()


def test_a_message_with_a_new_token_and_an_edited_vector_keeps_both():
    visualizer = GatingVisualizer()
    visualizer.set_state({"token": "logic", "x": [1.0, 2.0, 0.0, 0.0, 0.0, 0.5]})
    assert (visualizer.token, visualizer.x) == ("logic", [1.0, 2.0, 0.0, 0.0, 0.0, 0.5])
    visualizer.token = "code"
    assert visualizer.x == token_kinds()["code"].x.tolist()


def test_noise_samples_are_gaussian_and_belong_to_the_seed():
    samples = np.array(GatingVisualizer(seed=1).samples)  # (100, 5)
    assert abs(samples.mean()) < 4 / math.sqrt(samples.size)
    assert abs(samples.std() - 1) < 4 / math.sqrt(2 * samples.size)
    assert GatingVisualizer(seed=1).samples == samples.tolist()
    assert GatingVisualizer(seed=2).samples != samples.tolist()
    assert GatingVisualizer().noise_sample == GatingVisualizer().samples[0]


BAD = [
    ({"token": "poetry"}, "token = 'poetry': expected one of 'code'"),
    ({"token": None}, "token = None: expected one of"),
    ({"x": [1, 2]}, r"x = \[1, 2\]: expected 6 numbers from -3 to 3"),
    ({"x": [0, 0, 0, 0, 0, 3.5]}, r"x = .*: expected 6 numbers from -3 to 3"),
    ({"x": [0, 0, 0, 0, 0, math.nan]}, r"x\[5\] = nan: expected a finite number"),
    ({"x": "abc"}, "x = 'abc': expected an array of real numbers"),
    ({"k": 0}, "k = 0: expected a whole number from 1 to 5"),
    ({"k": 6}, "k = 6: expected a whole number from 1 to 5"),
    ({"k": True}, "k = True: expected a whole number"),
    ({"noise": -0.1}, r"noise = -0\.1: expected a number from 0 to 2"),
    ({"noise": math.nan}, "noise = nan: expected a number from 0 to 2"),
    ({"noise": "1"}, "noise = '1': expected a number"),
    ({"noise_sample": [1, 2, 3]}, "noise_sample = .*: expected 5 numbers from -10 to 10"),
    ({"temperature": 0}, r"temperature = 0: expected a number from 0\.001 to 1000"),
    ({"temperature": 1e4}, r"temperature = 10000\.0: expected a number from 0\.001 to 1000"),
    ({"temperature": True}, "temperature = True: expected a number"),
    ({"form": "softmax"}, "form = 'softmax': expected one of 'topk_softmax'"),
]


@pytest.mark.parametrize(("bad", "said"), BAD)
def test_bad_state_is_refused_and_changes_nothing(bad, said):
    visualizer = GatingVisualizer()
    before = visualizer.get_state(STATE)
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=said):
        setattr(visualizer, name, value)
    with pytest.raises((ValueError, traitlets.TraitError), match=said):
        visualizer.set_state({"temperature": 3.0, "token": "logic", **bad})  # as the browser would send it
    assert visualizer.get_state(STATE) == before
    if name not in ("x", "noise_sample"):
        with pytest.raises(ValueError, match=said):
            GatingVisualizer(**bad)


def test_a_bad_seed_is_refused():
    with pytest.raises(ValueError, match=r"seed = 0\.5: expected a whole number from 0"):
        GatingVisualizer(seed=0.5)


def test_the_browser_gets_plain_values_and_can_go_back_to_the_start():
    visualizer = GatingVisualizer("language", k=np.int64(3), temperature=np.float32(2))
    visualizer.k = 1
    assert visualizer.initial["k"] == 3
    assert set(visualizer.initial) == set(STATE)
    for value in visualizer.initial.values():
        assert type(value) in (str, int, float, list)


def test_the_still_picture_shows_the_present_numbers():
    visualizer = GatingVisualizer("logic", k=2, temperature=0.5, noise=0.5)
    svg, words = visualizer.still()
    assert "its x = [−0.9, 2.2, 2.2, 0.4, 0.9, 0.7]: k = 2, noise 0.5, τ = 0.5, form topk_softmax" in words
    assert words.endswith("Active: E4 Logic, E2 Math.")
    assert all(f"{h:.3f}".replace("-", "−") in svg for h in visualizer.trace.logits)
    visualizer.x = np.ones(6)
    assert "edited x = [1.0, 1.0" in visualizer.still()[1]


def saved(widget):
    """Return the state as a notebook keeps it: with the keys of every dict in alphabetical order."""
    return json.loads(json.dumps(widget.get_state(), sort_keys=True))


def test_the_kinds_of_tokens_keep_their_order_in_a_saved_notebook():
    assert list(token_kinds()) != sorted(token_kinds())
    setting = json.loads(saved(GatingVisualizer())["setting"])
    assert [kind["name"] for kind in setting["kinds"]] == list(token_kinds())


def test_what_is_large_and_constant_is_saved_as_one_line():
    state = saved(GatingVisualizer())
    assert json.loads(state["samples"]) == GatingVisualizer().samples
    assert len(json.dumps(state, indent=1).splitlines()) < 120  # as a notebook is written: the samples alone were 700
