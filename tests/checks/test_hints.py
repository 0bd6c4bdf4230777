"""The code in a hint runs in the notebook in which it is read; a mask in it is true somewhere and false somewhere."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch

from moe_lessons.checks import questions
from moe_lessons.checks.question import CalledQuestion
from moe_lessons.experiments.faulty_runs import open_run

EXERCISES = Path(__file__).parents[2] / "exercises"
RNG = np.random.default_rng(0)
PAIRS = np.array([[0, 1], [1, 2], [0, 2]])  # (T, k)

# Pieces of lines, not lines: what they stand for is in the sentence around them.
PIECES = {"->", "*", "==", "+=", "@ W2", "if train", ".backward()", ".detach()", "axis=-1, keepdims=True"}
# Names of functions without their object, and of gate forms.
NAMES = {"argmax(axis=1)", "topk_softmax", "softmax_topk"}

# What an answer holds when it comes to the line that the hint shows; the question's own arguments are there anyway.
GIVEN = {
    "2.4": {"t": 0},
    "3.2": {"f": lambda u: u - 0.5, "a": 0, "b": 1, "p": np.array([0.5, 0.5])},
    "3.3": {"rng": RNG, "n": 5, "h": np.array([0.1, 0.3])},
    "3.4": {"a": 2.0, "b": 1.0, "n": 3},
    "4.2": {"logits": RNG.normal(size=(3, 2)), "selected": np.eye(3, 2, dtype=bool), "my_keep_top_k": len},
    "5.1": {"z": RNG.normal(size=4)},
    "5.2": {"i": 0, "back": np.zeros(12), "rows": np.ones(12), "flat": np.ones(12)},
    "5.3": {"x": RNG.normal(size=(3, 4)), "selected": PAIRS, "weights": PAIRS / 4, "experts": [np.tanh], "i": 0,
            "left": PAIRS / 4},
    "5.4": {"W1": torch.ones(4, 15), "W2": torch.ones(15, 4), "mine": slice(5), "rows": torch.ones(6, 4),
            "sizes": [1, 2, 3]},
    "5.5": {"r": 0, "k": 2},
    "8.3": {"d": RNG.normal(size=(3, 5))},
    "5.6": {"x": torch.ones(3, 4), "p": torch.ones(3, 5), "self": SimpleNamespace(top_k=2),
            "logits": torch.ones(3, 5)},
    "7.1": {"w": np.array([0.5, 0.5])},
    "7.5": {"gradient": np.zeros((3, 2))},
    "7.6": {"t": torch.ones(3)},
    "8.1": {"means": np.ones((3, 2)), "rng": RNG, "noise_std": 0.5, "T": 6},
    "8.2": {"W": torch.ones(4, 3), "h": torch.ones(2, 3), "domain": torch.tensor([0, 2])},
    "9.1": {"load": np.array([0.0, 1.0]), "below": 0.01},
    "9.2": {"z": RNG.normal(size=3)},
    "9.4": {"D": 2, "f": torch.ones(5), "F": torch.ones(2), "P": torch.ones(2)},
    "9.5": {"p": np.array([0.5, 0.5])},
    "10.1": {"T": 6, "k": 2, "number": 3, "kept": np.arange(12) % 2 == 0},
    "10.2": {"rows": np.array([4, 8]), "load": np.array([3, 8]), "device": np.array([0, 1]), "capacity": 4},
    "10.3": {"selected": PAIRS, "scores": RNG.normal(size=(3, 4)), "bias": np.zeros(4), "N": 4, "k": 2, "u": 0.1,
             "load": np.array([0.2, 0.8])},
    "10.4": {"p": np.array([0.45, 0.55])},
    "11.1": {"i": 0, "c": 1},
    "11.2": {"rng": RNG, "domain_of_sequence": np.array([0, 1, 0]), "expert": PAIRS, "L": 2},
    "11p.3": {"CASE": 1},
    "11p.5": {"run": open_run(1), "found": SimpleNamespace(counts=torch.ones(2, 6))},
    "11.5": {"use": np.ones((3, 8)), "losses": np.ones((9, 3, 40)), "d": RNG.normal(size=(8, 3, 40))},
    "12.1": {"s": RNG.uniform(size=(4, 6)), "kept": PAIRS[:1].repeat(4, axis=0)[:, [0, 1, 0, 0, 0, 1]] > 0},
    "12.2": {"kept": np.eye(4, dtype=bool), "N": 12},
    "12.3": {"w": RNG.uniform(size=(3, 5))},
    "12.4": {"d": 3, "t": 2, "one": RNG.normal(size=(2, 4)), "other": RNG.normal(size=(2, 4))},
    "12.6": {"logits": RNG.normal(size=6)},
}  # fmt: skip


def notebook_of(question):
    """Return what the first code cell of the question's exercises defines."""
    (path,) = EXERCISES.glob(f"{question.set}_*.ipynb")
    setup = next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    names = {}
    exec(setup.source, names)
    return names


def spans(hints):
    """Return the pieces of code in hints, in order."""
    return [span for hint in hints for span in re.findall(r"`([^`]+)`", hint)]


def run(span, names):
    """Run one piece of code, with whole numbers where the learner fills something in, and return its value."""
    code = span.replace("...", "_")
    try:
        compiled = compile(code, "hint", "eval")
    except SyntaxError:
        return exec(code, names)
    try:
        return eval(compiled, names)
    except NameError as error:
        error.add_note(f"in the hint `{span}`; what the sentence around it explains goes into GIVEN, in this file")
        raise


def run_all(hints, names):
    """Run the code of hints in one space of names."""
    names |= {"_": np.array([1, 0])}
    for span in spans(hints):
        if span not in PIECES | NAMES:
            value = run(span, names)
            is_mask = isinstance(value, np.ndarray) and value.dtype == bool and value.size > 1
            assert not is_mask or value.any() != value.all(), span


@pytest.mark.parametrize("question", [q for q in questions().values() if spans(q.hints)], ids=lambda q: q.id)
def test_the_code_of_a_hint_runs(question):
    names = notebook_of(question)
    if isinstance(question, CalledQuestion):
        names |= dict(zip(question.parameters, question.cases(np.random.default_rng(0))[0], strict=False))
    run_all(question.hints, names | GIVEN.get(question.id, {}))


@pytest.mark.parametrize("hint", ["`domain == D`", "`domain == number_of_domains`", "`np.sum(domain`"])
def test_broken_control_a_hint_that_misleads(hint):
    with pytest.raises((NameError, AssertionError, SyntaxError)):
        run_all([hint], {"np": np, "domain": np.array([0, 1, 1]), "number_of_domains": 2})
