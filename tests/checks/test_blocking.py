"""The package's own function is no answer, wherever it is held and whichever copy it is; afterwards it works again."""

import copy
import functools
import gc
import importlib
import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import moe_lessons
from moe_lessons import balancing, layer, losses, metrics, routing
from moe_lessons.checks import blocking, questions
from moe_lessons.checks.attempt import tried
from moe_lessons.checks.blocking import UsesReference, blocked, codes

ENTROPY = metrics.entropy


class Held:
    """Holds the course's function and calls it."""

    def __init__(self, function):
        self.function = function

    def __call__(self, p):
        return self.function(p)

    def method(self, p):
        return self.function(p)


def reloaded():
    """Return the function that a module had before it was loaded again."""
    old = metrics.entropy
    importlib.reload(metrics)
    return old


def imported_anew():
    """Return the function of a module that was imported a second time, and then taken away."""
    first = sys.modules.pop("moe_lessons.metrics")
    try:
        return importlib.import_module("moe_lessons.metrics").entropy
    finally:
        sys.modules["moe_lessons.metrics"] = moe_lessons.metrics = first


def under_another_name():
    spec = importlib.util.spec_from_file_location("mine", metrics.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.entropy


def from_the_files_source():
    space = {"__name__": "mine"}
    exec(Path(metrics.__file__).read_text(encoding="utf-8"), space)
    return space["entropy"]


def with_the_same_code():
    return types.FunctionType(ENTROPY.__code__, ENTROPY.__globals__, "mine", ENTROPY.__defaults__)


def in_a_closure(function):
    return lambda p: function(p)


WAYS = {
    "default argument": lambda: lambda p, f=ENTROPY: f(p),
    "keyword only": lambda: lambda p, *, f=ENTROPY: f(p),
    "closure": lambda: in_a_closure(ENTROPY),
    "list": lambda: lambda p, fs=[ENTROPY]: fs[0](p),
    "dict of a dict": lambda: in_a_closure({"a": {"b": ENTROPY}}["a"]["b"]),
    "partial": lambda: in_a_closure(functools.partial(ENTROPY)),
    "instance": lambda: Held(ENTROPY),
    "method": lambda: Held(ENTROPY).method,
    "attribute of a function": lambda: in_a_closure(types.SimpleNamespace(f=ENTROPY).f),
    "copy": lambda: in_a_closure(copy.copy(ENTROPY)),
    "deep copy": lambda: in_a_closure(copy.deepcopy({"f": ENTROPY})["f"]),
    "bound call": lambda: in_a_closure(ENTROPY.__call__),
    "vectorised": lambda: in_a_closure(np.errstate(all="ignore")(ENTROPY)),
    "cached": lambda: in_a_closure(functools.cache(lambda: ENTROPY)()),
    "module's dict": lambda: lambda p: vars(sys.modules["moe_lessons.metrics"])["entropy"](p),
    "import inside": lambda: lambda p: importlib.import_module("moe_lessons.metrics").entropy(p),
    "loaded again": lambda: in_a_closure(reloaded()),
    "loaded again inside": lambda: lambda p: importlib.reload(metrics).entropy(p),
    "imported anew": lambda: in_a_closure(imported_anew()),
    "module of another name": lambda: in_a_closure(under_another_name()),
    "the file's source": lambda: in_a_closure(from_the_files_source()),
    "its code": lambda: in_a_closure(with_the_same_code()),
    "the code put back inside": lambda: lambda p, code=ENTROPY.__code__: put_back(code)(p),
}


def put_back(code):
    """Give the course's function its code again."""
    metrics.entropy.__code__ = code
    return metrics.entropy


@pytest.mark.parametrize("way", WAYS)
def test_a_function_is_blocked_however_it_is_held(way):
    answer, p = WAYS[way](), np.array([0.2, 0.8])
    right = -(p * np.log(p)).sum()
    if "inside" not in way:
        assert answer(p) == pytest.approx(right)  # the control: it is the course's answer, and it works
    with pytest.raises(UsesReference, match="the course's `entropy`"), blocked(("metrics.entropy",)):
        answer(p)
    assert metrics.entropy(p) == pytest.approx(right)
    assert ENTROPY(p) == pytest.approx(right)


def made():
    return layer.Experts(2, 3, 4, "relu")


class Derived(layer.Experts):
    """A class of one's own that does what the course's does."""


@pytest.mark.parametrize("kind", ["instance made before", "class", "derived", "method"])
def test_a_class_is_blocked_with_all_its_objects(kind):
    import torch

    held, rows, load = made(), torch.ones(2, 2), torch.tensor([1, 1, 0, 0])
    ways = {
        "instance made before": lambda: held.sorted_rows(rows, load),
        "class": made,
        "derived": lambda: Derived(2, 3, 4, "relu"),
        "method": functools.partial(layer.Experts.sorted_rows, held, rows, load),
    }
    ways[kind]()
    with pytest.raises(UsesReference, match="the course's `Experts`"), blocked(("layer.Experts",)):
        ways[kind]()
    ways[kind]()


def test_what_else_the_package_has_still_works():
    with blocked(("metrics.entropy", "layer.Experts")):
        assert routing.softmax(np.zeros(2)).tolist() == [0.5, 0.5]
        assert balancing.within_capacity is not None


def test_a_function_that_a_learner_copied_out_is_hers():
    """Who copies a text earns its marks, as with a published solution: said on the page for teachers."""
    space = {"np": np}
    exec("def entropy(p):\n    return -(p * np.log(p)).sum()", space)
    with blocked(("metrics.entropy",)):
        assert space["entropy"](np.array([0.5, 0.5])) == pytest.approx(np.log(2))


@pytest.mark.parametrize("frozen", [False, True])
def test_a_process_that_has_settled_finds_old_and_new(frozen):
    """Also where a learner's code froze what it made, to hide it."""
    try:
        blocking.settle()
        mine = from_the_files_source()
        if frozen:
            gc.freeze()
        for function in (metrics.entropy, mine):
            with pytest.raises(UsesReference), blocked(("metrics.entropy",)):
                function([0.5, 0.5])
    finally:
        gc.unfreeze()
        blocking._settled.clear()


def test_nothing_is_blocked_where_nothing_is_named():
    with blocked(()):
        assert metrics.entropy(np.array([1.0])) == 0


def test_all_names_that_questions_give_are_found():
    names = {name for question in questions().values() for name in question.stands_for}
    assert all(codes(name) for name in names)
    with pytest.raises(ValueError, match=r"moe_lessons\.metrics defines no np"):
        codes("metrics.np")
    with pytest.raises(ValueError, match="defines no"):
        codes("no_such_module.function")


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("2.1", lambda largest, total, f=routing.log_sum_exp: f(largest + np.log(total), axis=0)),
        ("2.5", lambda p, fs=(metrics.entropy,): fs[0](p) / np.log(p.shape[-1])),
        ("4.2", lambda logits, k, form, fs={"f": routing.gate_weights}: fs["f"](logits, k, form)),
        ("7.5", lambda logits, mask=None, f=losses.z_loss: f(logits, mask)),
    ],
)
def test_questions_refuse_the_courses_function_in_a_default_argument(id, answer):
    question = questions()[id].made_ready()
    found = tried(question, answer, question.draw(np.random.default_rng(0)), 30)
    assert "the course's `" in found.message
    assert found.reply is None


def test_a_file_that_an_answer_runs_in_another_process_is_read_as_text():
    """The limit, as the page for teachers says it: what is not in this process is not found."""
    program = "from moe_lessons import metrics; print(metrics.entropy([0.5, 0.5]))"
    with blocked(("metrics.entropy",)):
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(told.stdout) == pytest.approx(np.log(2))


def test_a_module_that_an_answer_is_the_first_to_load_is_not_loaded_again():
    program = """
from moe_lessons.checks.blocking import blocked
with blocked(("figures.gradients.logit_gradient",)):
    from moe_lessons.figures import gradients
print("fine")
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "fine\n"
