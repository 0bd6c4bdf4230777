"""Traits that check: good values are kept in a form the browser can read, bad ones change nothing."""

import numpy as np
import pytest
import traitlets

from moe_lessons.widgets.traits import Checked, RefusedStateError, choice_of, count, number, vector


class Thing(traitlets.HasTraits):
    words = Checked(choice_of(["a", "b"]))
    many = Checked(count(1, 3))
    size = Checked(number(0, 2))
    point = Checked(vector(2, 1))


GOOD = {"words": "a", "many": np.int64(2), "size": np.float32(0.5), "point": np.array([1, -1])}


def test_good_values_become_plain_ones():
    thing = Thing(**GOOD)
    kept = [thing.words, thing.many, thing.size, thing.point]
    assert kept == ["a", 2, 0.5, [1.0, -1.0]]
    assert [type(value) for value in kept] == [str, int, float, list]


@pytest.mark.parametrize(
    ("name", "bad", "said"),
    [
        ("words", "c", "words = 'c': expected one of 'a', 'b'"),
        ("many", 4, "many = 4: expected a whole number from 1 to 3"),
        ("size", 2.1, r"size = 2\.1: expected a number from 0 to 2"),
        ("size", True, "size = True: expected a number"),
        ("point", [0, 2], r"point = \[0, 2\]: expected 2 numbers from -1 to 1"),
        ("point", [], r"point = \[\]: expected 2 numbers"),
    ],
)
def test_a_bad_value_changes_nothing_also_not_what_came_with_it(name, bad, said):
    thing = Thing(**GOOD)
    before = thing.trait_values()
    with pytest.raises(RefusedStateError, match=said) as refusal:
        setattr(thing, name, bad)
    assert isinstance(refusal.value, ValueError)
    with pytest.raises(RefusedStateError), thing.hold_trait_notifications():
        thing.words = "b"
        setattr(thing, name, bad)
    assert thing.trait_values() == before
