"""A form reads what has it, whatever type it came in, and says of anything else what was expected and what came."""

import numpy as np
import pytest

from moe_lessons.checks.forms import Fields, Name, Number, Numbers, Truth, chance, row, whole
from moe_lessons.checks.values import plain
from moe_lessons.checks.verdicts import Fault, by_test

ROW = row("a list of two or three numbers", least=2, most=3)
SQUARE = Numbers(
    "a square matrix",
    lambda m: m.ndim == 2 and m.shape[0] == m.shape[1],
    unlike=by_test("not finite: There is {value} in it, {shape}.", lambda m: not np.isfinite(m).all()),
)
LISTED = Number("one of 0, 0.5", among=(0.0, 0.5))
NAME = Name(("form A", "straight-through"))
SETTINGS = Fields({"lr": Number("a number above 0", low=1e-9), "steps": whole(1, 10), "gate": NAME})


@pytest.mark.parametrize(
    ("form", "value", "wanted"),
    [
        (ROW, [1, 2.5], [1.0, 2.5]),
        (ROW, np.float32([1, 2, 3]), [1.0, 2.0, 3.0]),
        (SQUARE, [[1, 0], [0, 1]], [[1.0, 0.0], [0.0, 1.0]]),
        (whole(1, 10), 5.0, 5),
        (whole(1, 10), [5], 5),
        (LISTED, np.float32(0.5), 0.5),
        (NAME, " Straight Through", "straight-through"),
        (Truth(), True, True),
        (Truth(), np.bool_(False), False),
        (Truth(), "false ", False),
    ],
)
def test_what_has_the_form_is_read(form, value, wanted):
    read = form.read(plain(value))
    assert (read.tolist() if isinstance(read, np.ndarray) else read) == wanted


def test_a_dict_is_read_entry_by_entry():
    assert SETTINGS.read(plain({"lr": 0.1, "steps": 3, "gate": "form a", "more": 1})) == {
        "lr": 0.1,
        "steps": 3,
        "gate": "form A",
    }


@pytest.mark.parametrize(
    ("form", "value", "sentence"),
    [
        (ROW, None, "Expected a list of two or three numbers. Came None."),
        (ROW, [1.0], "Came an array of shape (1,), float64."),
        (ROW, [1.0, np.nan], "Expected a list of two or three numbers."),
        (ROW, ["a", "b"], "Came a list of 2: a piece of text; a piece of text."),
        (ROW, [True, False], "Expected a list of two or three numbers."),
        (row("weights", returned=True), None, "Came None (is a `return` missing?)."),
        (SQUARE, [[1, 2]], "Expected a square matrix. Came an array of shape (1, 2), int64."),
        (whole(1, 10), 2.5, "Expected a whole number from 1 to 10. Came 2.5."),
        (whole(1, 10), 11, "Expected a whole number from 1 to 10. Came 11."),
        (whole(1, 10), np.inf, "Came inf."),
        (LISTED, 0.25, "Expected one of 0, 0.5. Came 0.25."),
        (Truth(), 1, "Expected True or False. Came 1."),
        (Truth(), "no", "Expected True or False. Came 'no'."),
        (NAME, "form C", "Expected one of 'form A', 'straight-through'. Came 'form C'."),
        (SETTINGS, {"lr": 1}, "Expected a dict with the keys 'lr', 'steps', 'gate'. Came a dict with the keys 'lr'."),
        (SETTINGS, {"lr": 0, "steps": 3, "gate": "form A"}, "'lr': expected a number above 0. Came 0."),
        (SETTINGS, {"lr": 0, "steps": 0, "gate": "form A"}, "Came 0.\n'steps': expected a whole number from 1 to 10."),
        (SETTINGS, {"lr": 0}, "Came a dict with the keys 'lr'.\n'lr': expected a number above 0. Came 0."),
    ],
)
def test_anything_else_is_described(form, value, sentence):
    fault = form.read(plain(value))
    assert isinstance(fault, Fault)
    assert fault.name is None
    assert sentence in fault.why


def test_what_a_form_is_unlike_has_a_name():
    fault = SQUARE.read(plain([[np.inf, 0], [0, 1]]))
    assert fault == Fault("not finite", "There is [[inf, 0], [0, 1]] in it, (2, 2).")


def test_the_chance_of_a_guess():
    forms = [
        Truth(),
        Name(("a", "b", "c")),
        whole(0, 4),
        Number("a number"),
        Fields({"x": Truth(), "y": Name(("a", "b"))}),
    ]
    assert [chance(form) for form in forms] == [1 / 2, 1 / 3, 1 / 5, 0, 1 / 4]
