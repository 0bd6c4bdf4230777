"""Fingerprints are equal where nothing differs that counts, and differ where something does."""

import functools
from collections import UserDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from moe_lessons.support.fingerprint import described, fingerprint


@dataclass
class Batch:
    x: torch.Tensor
    name: str = "a"


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


Z, W = torch.zeros(2), torch.ones(2)
DATA = [
    Z, torch.zeros(3), Z[:, None], Z.double(), Z.bfloat16(), Z.bool(), Z[0], torch.tensor(0), -Z[0], Z.double().numpy(),
    np.zeros(2, np.float32), np.array([None]), np.array(["a"]), np.float32(1), 1, 1.0, True, "1", b"1", None, [], (),
    {}, [1, 2], [2, 1], [[1], 2], [[1, 2]], {"a": 1}, {"a": 2}, {"b": 1}, {1, 2}, {1, 3}, float("nan"), "\ud800",
    UserDict(a=1), Batch(Z), Batch(W), Batch(Z, "b"), Pair(Z, W), Pair(W, Z),
]  # fmt: skip


def test_different_data_differ():
    found = [fingerprint(value) for value in DATA]
    assert [i for i, one in enumerate(found) if found.index(one) < i] == []
    assert {len(text) for text in found} == {16}
    assert found == [fingerprint(value) for value in DATA]


def test_the_place_of_the_numbers_does_not_matter():
    x = torch.arange(12.0).reshape(3, 4)
    assert fingerprint(x.T) == fingerprint(x.T.contiguous()) != fingerprint(x)
    assert fingerprint(nn.Parameter(x)) == fingerprint(x)
    assert fingerprint({"b", "a", "c"}) == fingerprint({"c", "b", "a"})


def adder(by, words="", kept=None):
    def add(x, also=0):
        """Say something."""
        if kept is not None:
            kept.append(x)
        return x + by + also + len(words)

    return add


def test_a_function_counts_by_what_it_computes():
    assert fingerprint(adder(1)) == fingerprint(adder(1))
    different = [adder(1), adder(2), adder(1.0), adder(1, "x"), lambda x: x, lambda x: x + 1, lambda x, y=1: x,
                 lambda x, y=2: x, lambda x, *, y=2: x, np.sum, torch.sum, functools.partial(adder, 1),
                 functools.partial(adder, 2), functools.partial(adder, words="x")]  # fmt: skip
    assert len({fingerprint(function) for function in different}) == len(different)


SCALE = 1


def scaled(x):
    return SCALE * x


def within(x):
    return [scaled(y) for y in x]


def mutual(x):
    return x and mutual(x - 1)


def test_what_a_function_uses_of_its_own_module_counts(monkeypatch):
    before = fingerprint(within), fingerprint(mutual)
    monkeypatch.setitem(globals(), "SCALE", 2)
    assert fingerprint(within) != before[0]
    assert fingerprint(mutual) == before[1]


def test_what_changes_while_it_runs_does_not_count():
    kept, model, calls = [], nn.Linear(2, 2), 0

    def losses(x):
        nonlocal calls
        calls += 1
        kept.append(x)
        return model(x)

    before = fingerprint(losses)
    losses(torch.zeros(2))
    with torch.no_grad():
        model.weight.add_(1)
    assert (calls, fingerprint(losses)) == (1, before)


class Scaled:
    def __init__(self, by):
        self.by, self.seen = by, []

    def __call__(self, x):
        return x * self.by

    def method(self, x):
        return x * self.by


def test_methods_and_objects_that_can_be_called_count_by_their_plain_attributes():
    assert fingerprint(Scaled(1)) == fingerprint(Scaled(1)) != fingerprint(Scaled(2))
    assert fingerprint(Scaled(1).method) == fingerprint(Scaled(1).method) != fingerprint(Scaled(2).method)
    used = Scaled(1)
    used.seen.append(1)
    assert fingerprint(used) == fingerprint(Scaled(1))


def test_an_object_that_leads_back_to_itself_ends():
    class Knot:
        pass

    knot = Knot()
    knot.me = knot
    assert fingerprint(knot)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda m: nn.Sequential(nn.Linear(2, 4), m[1]), "model.0.weight"),
        (lambda m: nn.Sequential(m[0], nn.Dropout(0.2)), "model.1.p"),
        (lambda m: nn.Sequential(m[0], nn.GELU()), "model.1"),
        (lambda m: m.double(), "model.0.weight"),
        (lambda m: m.requires_grad_(False), "model.0.weight"),
    ],
)
def test_a_model_is_described_by_what_it_is_made_of(change, name):
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.1))
    before = described(model)
    with torch.no_grad():
        model[0].weight.zero_()
    assert described(model.eval()) == before
    after = described(change(model))
    assert after.get(name) != before[name]
