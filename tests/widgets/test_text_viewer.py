"""The text viewer: the numbers of `routing`, a state that is always valid, and a table where no kernel runs."""

import json
import math
import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import traitlets

from moe_lessons.model import Config, LanguageModel, dense_twin
from moe_lessons.routing import gate_weights, softmax, top_k
from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.text_viewer import DIGITS, Passage, TextViewer, passage

VIEWER = source("routing.js", "dom.js", "text_viewer.js")
FUNCTIONS = (
    "reading, loadOf, repetition, placeAfter, countFrom, keyOf, "
    "told: (state, setting) => story(state, reading(state, setting), setting), "
    "way: (state, setting) => wayOf(reading(state, setting)), "
    "spread: (state, setting) => spreadOf(reading(state, setting))"
)
STAGES = ("before training", "after training")


def random_passage(name="a", T=12, layers=3, experts=5, seed=0, next_piece="␣end"):
    rng = np.random.default_rng(seed)
    logits = {stage: rng.normal(size=(layers, T, experts)) for stage in STAGES}
    loss = {stage: rng.uniform(0, 9, T) for stage in STAGES}
    if not next_piece:
        for values in loss.values():
            values[-1] = math.nan
    return Passage(name, [f"␣w{i}" for i in range(T - 1)] + ["⏎"], logits, loss, next_piece)


def viewer(**state):
    return TextViewer([random_passage(), random_passage("b", T=7, seed=1, next_piece="")], **state)


def states_of(shown):
    for p, part in enumerate(shown.setting["passages"], start=1):
        for s in (1, 2):
            for layer in (1, 3):
                for token in (1, len(part["pieces"])):
                    yield {"passage": p, "stage": s, "layer": layer, "token": token, "expert": 0}


def disagreements(module, shown):
    """Count states in which JavaScript's numbers are not those of routing.py."""
    states, count = list(states_of(shown)), 0
    setting = shown.setting
    for state, now in zip(states, module.map("reading", [[s, setting] for s in states]), strict=True):
        part = setting["passages"][state["passage"] - 1]
        h = np.array(part["logits"][state["stage"] - 1][state["layer"] - 1])  # (T, N)
        selected, at = top_k(h, setting["k"])[1], state["token"] - 1
        same = now["selected"] == selected.tolist() and now["chosen"] == selected[at].tolist()
        same &= now["load"] == np.bincount(selected.ravel(), minlength=5).tolist()
        same &= now["repeated"] == [int((selected[1:, 0] == selected[:-1, 0]).sum()), len(h) - 1]
        same &= np.allclose(now["probs"], softmax(h[at]), atol=1e-12)
        same &= np.allclose(now["weights"], gate_weights(h[at], setting["k"], setting["form"]), atol=1e-12)
        same &= now["loss"] == part["loss"][state["stage"] - 1][at]
        count += not same
    return count


@pytest.mark.parametrize("form", ["topk_softmax", "softmax_topk"])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_numbers_are_those_of_routing(load_module, k, form):
    assert disagreements(load_module(VIEWER, FUNCTIONS), viewer(k=k, form=form)) == 0


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("passage.logits[state.stage - 1][layer]", "passage.logits[0][layer]"),
        ("logitsOf(state.layer - 1)[place - 1]; // (N)", "logitsOf(0)[place - 1];"),
        ("gateWeights(h, k, form)", "gateWeights(h, k)"),
        ("chosen[0] === selected[at - 1][0]", "chosen[1] === selected[at - 1][1]"),
        ("load[i] += 1", "load[i] = 1"),
    ],
)
def test_the_comparison_notices_wrong_numbers(load_module, right, wrong):
    assert VIEWER.count(right) == 1
    broken = load_module(VIEWER.replace(right, wrong), FUNCTIONS)
    assert disagreements(broken, viewer(k=2, form="softmax_topk")) > 0


def test_keys_move_the_choice_and_stay_in_the_text(load_module):
    cases = [["ArrowRight", 3, 12], ["ArrowRight", 12, 12], ["ArrowLeft", 1, 12], ["ArrowDown", 5, 12],
             ["ArrowUp", 12, 12], ["Home", 7, 12], ["End", 7, 12], ["a", 7, 12]]  # fmt: skip
    assert load_module(VIEWER, FUNCTIONS).map("placeAfter", cases) == [4, 12, 1, 12, 2, 1, 12, 7]


def test_a_token_beyond_the_end_is_the_last_one(load_module):
    shown = viewer(passage=2, token=99)
    state = {"passage": 2, "stage": 2, "layer": 1, "token": 99, "expert": 0}
    (now,) = load_module(VIEWER, FUNCTIONS).map("reading", [[state, shown.setting]])
    assert now["place"] == 7
    np.testing.assert_array_equal(shown.trace.logits, shown.setting["passages"][1]["logits"][1][0][6])


def test_the_sentences_tell_the_trace(load_module):
    shown, module = viewer(k=2), load_module(VIEWER, FUNCTIONS)
    state = {"passage": 1, "stage": 2, "layer": 3, "token": 4, "expert": 0}
    (told,) = module.map("told", [[state, shown.setting]])
    shown.layer, shown.token = 3, 4
    first, second = shown.trace.selected
    loss = shown.setting["passages"][0]["loss"][1][3]
    assert told.startswith("Token 4 “␣w3”, layer 3, after training: of 5 experts ")
    assert f"E{first + 1} (weight {shown.trace.weights[first]:.2f}) and E{second + 1} (weight " in told
    assert f"“␣w4”: the model's loss there is {loss:.2f} nats" in told
    last = {**state, "passage": 2, "token": 7}
    assert "No token follows" in module.map("told", [[last, shown.setting]])[0]
    assert "“␣end”" in module.map("told", [[{**state, "token": 12}, shown.setting]])[0]
    assert re.fullmatch(r"layer 1: E\d \+ E\d, layer 2: .*", module.map("way", [[state, shown.setting]])[0])
    assert re.search(
        r"of these 12 .*E5 \d+\. First choice .* of 11\.", module.map("spread", [[state, shown.setting]])[0]
    )


def test_the_key_names_the_expert_that_stands_out(load_module):
    cases = [[{"expert": expert}, {"k": k}] for expert, k in ((0, 2), (3, 2), (3, 1))]
    everyone, one, alone = load_module(VIEWER, FUNCTIONS).map("keyOf", cases)
    assert "E3" not in everyone
    assert one.startswith("Filled: E3 is the first choice. Dashed: E3 runs too")
    assert alone == "Filled: E3 is the first choice."


def test_the_trace_is_that_of_routing():
    shown = viewer(layer=2, token=5, stage=1)
    h = np.array(shown.setting["passages"][0]["logits"][0][1][4])
    np.testing.assert_allclose(h, random_passage().logits[STAGES[0]][1, 4], atol=10.0**-DIGITS)
    assert shown.trace.selected.tolist() == top_k(h, 2)[1].tolist()
    np.testing.assert_array_equal(shown.trace.weights, gate_weights(h, 2))
    assert viewer().stage == 2  # the last stage comes first


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"passage": 3}, "passage = 3: expected a whole number from 1 to 2"),
        ({"stage": 3}, "stage = 3: expected a whole number from 1 to 2"),
        ({"layer": 4}, "layer = 4: expected a whole number from 1 to 3"),
        ({"layer": 0}, "layer = 0: expected a whole number from 1"),
        ({"layer": 1.5}, r"layer = 1\.5: expected a whole number"),
        ({"token": 0}, "token = 0: expected a whole number from 1"),
        ({"expert": 6}, "expert = 6: expected a whole number from 0 to 5"),
        ({"expert": True}, "expert = True: expected a whole number"),
    ],
)
def test_bad_state_is_refused_and_changes_nothing(bad, said):
    shown = viewer()
    before = repr(shown.trace)
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=said):
        setattr(shown, name, value)
    with pytest.raises((ValueError, traitlets.TraitError), match=said):
        shown.set_state({name: value})  # as the browser would send it
    assert repr(shown.trace) == before
    if name != "expert":
        with pytest.raises(ValueError, match=said):
            viewer(**bad)


def changed(**fields):
    return random_passage()._replace(**fields)


@pytest.mark.parametrize(
    ("passages", "options", "said"),
    [
        ([], {}, "passages = .*at least one"),
        ([random_passage(), random_passage(experts=4)], {}, "the same number of layers and of experts"),
        ([random_passage(), random_passage(layers=2)], {}, "the same number of layers and of experts"),
        ([changed(pieces=[])], {}, "number of pieces = 0"),
        ([changed(pieces=["a"])], {}, r"logits\.shape = .*expected \(layers, 1, N\)"),
        ([changed(loss={"after training": np.zeros(12)})], {}, "the stages of 'a'"),
        ([changed(logits={}, loss={})], {}, "the stages of 'a'"),
        ([changed(loss=dict.fromkeys(STAGES, np.zeros(3)))], {}, r"loss\.shape"),
        ([random_passage()], {"k": 6}, "k = 6: expected a whole number from 1 to 5"),
        ([random_passage()], {"form": "soft"}, "form = 'soft'"),
    ],
)
def test_passages_that_do_not_fit_are_refused(passages, options, said):
    with pytest.raises(ValueError, match=said):
        TextViewer(passages, **options)


def test_the_still_picture_shows_the_text_and_the_chosen_token():
    shown = TextViewer([random_passage()._replace(pieces=["<b>"] + ["w"] * 11)], layer=2)
    svg, words = shown.still()
    first, second = shown.trace.selected
    texts = [node.text for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("<b>") == 1
    assert texts.count("w") == 11
    logits = np.array(shown.setting["passages"][0]["logits"][1][1])  # (T, N)
    assert texts[-12:] == [f"E{i + 1}" for i in logits.argmax(axis=1)]
    assert words.startswith(f"a, layer 2, after training: token 1, “<b>”, goes to E{first + 1} (weight ")
    assert f" + E{second + 1} (weight " in words


def test_the_passages_are_saved_as_one_line():
    shown = viewer()
    assert json.loads(shown.get_state()["setting"]) == shown.setting


# --- from a model to a passage ------------------------------------------------------------------------------------

TASK = SimpleNamespace(pieces=lambda ids: [f"t{i}" for i in ids])
CONFIG = Config(20, context=6, layers=2, d_model=8, heads=2, d_ff=4, num_experts=4, top_k=2)


def test_a_passage_holds_what_the_model_did():
    model = LanguageModel(CONFIG)
    ids = np.array([3, 1, 4, 1, 5, 9, 2])
    found = passage("text", TASK, {"now": model}, ids)
    outputs, decisions = model(torch.from_numpy(ids[None, :6]), return_routing=True)
    expected = torch.nn.functional.cross_entropy(outputs[0], torch.from_numpy(ids[1:]), reduction="none")
    np.testing.assert_allclose(found.loss["now"], expected.detach(), atol=1e-6)
    np.testing.assert_allclose(found.logits["now"][1], decisions[1].logits[0].detach(), atol=1e-6)
    assert (found.pieces, found.next_piece) == (["t3", "t1", "t4", "t1", "t5", "t9"], "t2")
    assert model.training
    shown = TextViewer([found], layer=2)
    assert shown.trace.selected.tolist() == decisions[1].selected[0, 0].tolist()


def test_a_short_text_has_no_loss_at_its_end_and_a_long_one_is_cut():
    model = LanguageModel(CONFIG)
    short = passage("text", TASK, {"now": model}, [1, 2, 3])
    assert np.isnan(short.loss["now"]).tolist() == [False, False, True]
    assert short.next_piece == ""
    assert TextViewer([short]).setting["passages"][0]["loss"][0][2] is None
    assert len(passage("text", TASK, {"now": model}, np.arange(20)).pieces) == 6
    assert np.isnan(passage("text", TASK, {"now": model}, [1]).loss["now"]).all()


@pytest.mark.parametrize("ids", [[], [[1, 2]], [0.5, 1.0], [25]])
def test_bad_ids_are_refused(ids):
    with pytest.raises(ValueError, match="ids"):
        passage("text", TASK, {"now": LanguageModel(CONFIG)}, ids)


def test_a_model_without_a_router_is_refused():
    with pytest.raises(ValueError, match="models with a learned router"):
        passage("text", TASK, {"now": LanguageModel(dense_twin(CONFIG))}, [1, 2])
