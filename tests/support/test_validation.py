"""Every refusal names the argument, the value and what was expected."""

import numpy as np
import pytest

from moe_lessons.support import validation


def test_refuse_names_argument_value_and_expectation():
    assert str(validation.refuse("k", 0, "a whole number from 1 to 4")) == "k = 0: expected a whole number from 1 to 4"


def test_long_values_are_cut_to_one_line():
    message = str(validation.refuse("x", list(range(1000)), "less"))
    assert len(message) < 120
    assert "\n" not in str(validation.refuse("x", np.zeros((30, 30)), "less"))


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ([1.0, np.nan], "x[1] = nan"),
        ([[0.0, 1.0], [np.inf, 0.0]], "x[1, 0] = inf"),
        (["a"], "x = ['a']"),
        ([[1], [1, 2]], "x = [[1], [1, 2]]"),
        (3.0, "x = 3.0"),
        ([1j], "x = [1j]"),
        (None, "x = None"),
    ],
)
def test_float_array_refuses(value, named):
    with pytest.raises(ValueError, match="expected") as error:
        validation.float_array("x", value)
    assert str(error.value).startswith(named)


def test_what_is_masked_is_not_passed_over():
    with pytest.raises(ValueError, match="expected an array without masked entries"):
        validation.float_array("x", np.ma.masked_array([1.0, 2.0], mask=[True, False]))
    assert validation.float_array("x", np.ma.masked_array([1.0, 2.0])).tolist() == [1.0, 2.0]  # nothing is masked


def test_float_array_keeps_float32_and_promotes_whole_numbers():
    assert validation.float_array("x", np.ones(2, np.float32)).dtype == np.float32
    assert validation.float_array("x", [1, 2]).dtype == np.float64


def test_score_array_takes_a_mask_but_not_a_fully_masked_row():
    assert validation.score_array("h", [0.0, -np.inf]).shape == (2,)
    for bad in ([-np.inf, -np.inf], [[0.0, 1.0], [-np.inf, -np.inf]], [np.inf, 0.0], [], np.zeros((3, 0))):
        with pytest.raises(ValueError, match=r"^h.*expected"):
            validation.score_array("h", bad)


@pytest.mark.parametrize("value", [0, 5, 1.0, True, "2", None, -1, np.nan])
def test_whole_number_refuses(value):
    with pytest.raises(ValueError, match=r"^k = .*from 1 to 4"):
        validation.whole_number("k", value, least=1, most=4)


@pytest.mark.parametrize("value", [10**400, np.longdouble("1e-4000"), 0, -1.0, np.inf, np.nan, "1", None, True, [1.0]])
def test_positive_number_refuses(value):
    with pytest.raises(ValueError, match=r"^temperature = .*above 0"):
        validation.positive_number("temperature", value)


@pytest.mark.parametrize("value", ["soft", None, 3, ["a"]])
def test_one_of_refuses_and_lists_the_choices(value):
    with pytest.raises(ValueError, match="expected one of 'a', 'b'"):
        validation.one_of("form", value, ["a", "b"])


def test_whole_and_positive_numbers_come_back_as_plain_numbers():
    assert type(validation.whole_number("k", np.int64(2), least=1, most=2)) is int
    assert type(validation.positive_number("t", np.float32(2))) is float


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25), np.int64(1)])
def test_a_number_within_its_ends_is_returned_as_a_float(value):
    found = validation.number_within("x", value, 0, 1)
    assert found == value
    assert type(found) is float


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf, True, "1", None, [0.5]])
def test_a_number_outside_is_refused(value):
    with pytest.raises(ValueError, match="expected a finite number from 0 to 1"):
        validation.number_within("x", value, 0, 1)


def test_an_open_end_is_not_named():
    with pytest.raises(ValueError, match=r"expected a finite number$"):
        validation.number_within("x", np.nan, -np.inf, np.inf)
    assert validation.number_within("x", 1e300, 0, np.inf) == 1e300
