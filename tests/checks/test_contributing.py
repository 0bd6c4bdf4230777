"""The question that CONTRIBUTING shows is one: its solution passes, and each of its four mistakes is named."""

import re
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from moe_lessons.checks.values import plain

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = [dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", TEXT, re.DOTALL | re.MULTILINE)]


@pytest.fixture(scope="module")
def shown():
    """Return the question and the answer in its cell."""
    (source,) = [block for block in BLOCKS if "FunctionQuestion(" in block]
    (cell,) = [block for block in BLOCKS if "def my_cut_mass" in block]
    space = {"np": np, "check": lambda *_: None}
    exec(source, space)
    exec(cell, space)
    return space["CUT"], space["my_cut_mass"]


def test_the_code_of_its_hints_runs(shown):
    question, _ = shown
    names = {"np": np, **dict(zip(question.parameters, question.cases(np.random.default_rng(0))[0], strict=True))}
    assert [eval(span, names).shape for hint in question.hints for span in re.findall("`(.*?)`", hint)] == [(3,)]


def judged(question, answer, seed=0):
    data = question.draw(np.random.default_rng(seed))
    return question.judge(data, question.probe(answer, data))


@pytest.mark.parametrize("seed", range(5))
def test_the_solution_in_the_cell_passes(shown, seed):
    question, answer = shown
    assert judged(question, answer, seed).correct
    assert not judged(question, lambda logits, k: 1.01 * answer(logits, k), seed).correct


@pytest.mark.parametrize("seed", range(5))
def test_each_of_the_four_mistakes_is_named(shown, seed):
    question, _ = shown
    assert len(question.mistakes) == 4
    for mistake in question.mistakes:
        verdict = judged(question, lambda logits, k, m=mistake: plain(m.wrong(logits, k)), seed)
        assert (verdict.correct, verdict.mistake) == (False, mistake.name)
