"""The arithmetic that draws in the browser is the arithmetic of `routing`: same selection, same weights."""

import re

import numpy as np
import pytest

from moe_lessons import routing
from moe_lessons.widgets.compass import PrototypeCompass
from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.quiz import LessonQuiz
from moe_lessons.widgets.visualizer import GatingVisualizer

ROUTING = source("routing.js")
FUNCTIONS = "logits, softmax, topK, gateWeights"


def random_logits(rng, n):
    """Draw logits of one of four kinds: ordinary, with ties, huge, masked. Returns (N,)."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.normal(size=n) * 3
    if kind == 1:
        return rng.integers(-2, 3, size=n).astype(float)
    if kind == 2:
        return rng.normal(size=n) * 1e4
    h = rng.normal(size=n)
    h[rng.permutation(n)[: rng.integers(n)]] = -np.inf  # one stays finite
    return h


def random_cases(count=2000, seed=0):
    rng = np.random.default_rng(seed)
    forms = list(routing.GATE_FORMS)
    cases = []
    for _ in range(count):
        n = int(rng.integers(1, 9))
        k, form, tau = int(rng.integers(1, n + 1)), forms[rng.integers(3)], float(10 ** rng.uniform(-3, 3))
        cases.append([random_logits(rng, n).tolist(), k, form, tau])
    return cases


def disagreements(module, cases):
    """Count the cases where the selection differs, and where a weight differs by more than 1e-12."""
    selected = module.map("topK", [[h, k] for h, k, _, _ in cases])
    weights = module.map("gateWeights", cases)
    other_selection = sum(s != routing.top_k(c[0], c[1])[1].tolist() for s, c in zip(selected, cases, strict=True))
    other_weights = sum(
        not np.allclose(np.array(w, dtype=float), routing.gate_weights(*c), rtol=0, atol=1e-12)
        for w, c in zip(weights, cases, strict=True)
    )
    return other_selection, other_weights


def test_selection_and_weights_agree_on_2000_random_cases(load_module):
    assert disagreements(load_module(ROUTING, FUNCTIONS), random_cases()) == (0, 0)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("|| a - b", "|| b - a"),  # ties to the higher index
        ("(score - largest) / temperature", "score / temperature"),  # overflows
        ("keep(h, -Infinity)", "keep(h, 0)"),  # masks with 0
        ("divideBySum(keep(", "((values) => values)(keep("),  # forgets to renormalise
    ],
)
def test_the_comparison_notices_broken_arithmetic(load_module, right, wrong):
    assert ROUTING.count(right) == 1
    broken = load_module(ROUTING.replace(right, wrong), FUNCTIONS)
    assert sum(disagreements(broken, random_cases())) > 20


def test_softmax_agrees_at_every_temperature(load_module):
    cases = [[h, tau] for h, _, _, tau in random_cases(500, seed=1)]
    computed = load_module(ROUTING, FUNCTIONS).map("softmax", cases)
    for p, case in zip(computed, cases, strict=True):
        np.testing.assert_allclose(p, routing.softmax(*case), rtol=0, atol=1e-12)


def test_logits_take_the_matrix_as_python_does(load_module):
    rng = np.random.default_rng(2)
    cases = [(rng.normal(size=d), rng.normal(size=(d, n))) for d, n in rng.integers(1, 7, size=(200, 2))]
    computed = load_module(ROUTING, FUNCTIONS).map("logits", [[x.tolist(), W.tolist()] for x, W in cases])
    for h, (x, W) in zip(computed, cases, strict=True):
        np.testing.assert_allclose(h, routing.router_logits(x, W), rtol=1e-12, atol=1e-12)


def test_an_unknown_form_is_refused(load_module):
    with pytest.raises(Exception, match="form = top: expected topk_softmax"):
        load_module(ROUTING, FUNCTIONS).map("gateWeights", [[[1.0, 2.0], 1, "top"]])


def test_files_are_joined_in_the_order_asked_for():
    joined = source("routing.js", "compass.js")
    assert joined.index(source("routing.js")) < joined.index(source("compass.js"))


@pytest.mark.parametrize("name", ["nothing.js", "live.py", "../routing.py"])
def test_a_missing_file_is_named_with_those_there_are(name):
    with pytest.raises(ValueError, match=r"name = .*: expected one of the files canvas\.css, canvas\.js"):
        source(name)


@pytest.mark.parametrize("widget", [PrototypeCompass, GatingVisualizer, LessonQuiz])
def test_the_browser_loads_nothing_else(widget):
    without_svg_namespace = widget._esm.replace("http://www.w3.org/2000/svg", "")
    assert without_svg_namespace != widget._esm
    assert "//" not in re.sub(r"(^|\s)//.*", "", without_svg_namespace)
    assert not re.search(r"\bimport\b|\brequire\b|\bfetch\b|XMLHttpRequest", without_svg_namespace)
    assert "url(" not in widget._css
    assert "@import" not in widget._css
