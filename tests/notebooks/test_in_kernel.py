import builtins
import random
import sys

import numpy as np
import pytest
from in_kernel import promise

DRAWS = {
    "numpy": "np.random.rand()",
    "random": "random.random()",
    "torch": "torch.rand(1)",
    "generator": "rng.normal()",
    "torch generator": "torch.rand(1, generator=g)",
}


@pytest.fixture
def space():
    import torch

    return {"np": np, "random": random, "torch": torch, "rng": np.random.default_rng(0), "g": torch.Generator()}


@pytest.mark.parametrize("code", DRAWS.values(), ids=DRAWS)
def test_a_promise_that_draws_is_an_error(space, code):
    with pytest.raises(RuntimeError, match="this promise draws random numbers"), promise(space, ()):
        exec(code, space)


def test_a_promise_with_a_generator_of_its_own_is_fine(space):
    with promise(space, ()):
        exec("x = np.random.default_rng(0).normal() + torch.rand(1, generator=torch.Generator())", space)
    assert "x" in space


def test_a_promise_that_prints_is_an_error(space, capsys):
    with pytest.raises(RuntimeError, match="this promise prints: 1"), promise(space, ()):
        print(1)
    assert capsys.readouterr().out == ""


def test_a_broken_promise_is_raised_as_it_is(space):
    with pytest.raises(AssertionError, match="no"), promise(space, ()):
        raise AssertionError("no")
    assert sys.stdout is not None


def test_the_variable_of_a_promised_loop_is_as_before(space):
    space["i"] = 7
    with promise(space, ("i", "j")):
        space |= {"i": 1, "j": 2, "helper": 3}
    assert (space["i"], space.get("j"), space["helper"]) == (7, None, 3)


def test_nothing_is_left_in_this_process():
    assert not hasattr(builtins, "_promise")
