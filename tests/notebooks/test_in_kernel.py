import ast
import builtins
import random
import sys

import numpy as np
import pytest
from in_kernel import promise, shown_last, watch

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


@pytest.mark.parametrize("code", ["x = 1\nx + 1\nassert x", "x = 1\nx + 1", "x = 1\nx + 1\nassert x\nassert x > 0"])
def test_a_cell_shows_its_last_expression_whatever_is_promised_after_it(code):
    cell = ast.parse(code)
    cell.body = [watch(node) if isinstance(node, ast.Assert) else node for node in cell.body]
    *others, last = shown_last(cell).body
    space = {"_promise": lambda: promise({}, ())}
    exec(compile(ast.Module(others, []), "<cell>", "exec"), space)
    assert eval(compile(ast.Expression(last.value), "<cell>", "eval"), space) == 2


def test_a_cell_that_ends_with_a_promise_and_no_expression_is_as_it_was():
    cell = ast.parse("x = 1\nassert x")
    cell.body[1] = watch(cell.body[1])
    assert ast.unparse(shown_last(cell)) == "x = 1\nwith _promise():\n    assert x"


def test_nothing_is_left_in_this_process():
    assert not hasattr(builtins, "_promise")
