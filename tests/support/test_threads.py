"""The number of threads comes back, whatever happens meanwhile."""

import pytest
import torch
from torch import nn

from moe_lessons.support.threads import one_thread
from moe_lessons.training import SMALL_MODEL, train


@pytest.fixture
def two():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_thread_inside_and_two_again_outside(two):
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_an_error_brings_them_back(two):
    with pytest.raises(ZeroDivisionError), one_thread():
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == 2


def test_a_decorated_function_can_be_called_twice(two):
    counted = one_thread()(torch.get_num_threads)
    assert [counted(), torch.get_num_threads(), counted()] == [1, 2, 1]


@pytest.mark.parametrize(("width", "threads"), [(4, 1), (SMALL_MODEL, 2)])
def test_only_small_models_are_trained_with_one(two, width, threads):
    found = []

    def loss(model, batch):
        found.append(torch.get_num_threads())
        return {"loss": model(batch).square().mean()}

    train(nn.Linear(2, width), lambda step: torch.ones(3, 2), loss, steps=1, progress=False)
    assert (found, torch.get_num_threads()) == ([threads], 2)
