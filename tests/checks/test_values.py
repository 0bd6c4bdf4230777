"""Plain values: what is accepted as equal, and how things are named."""

from enum import IntEnum, StrEnum
from fractions import Fraction

import numpy as np
import pytest
import torch

from moe_lessons.checks.values import (
    Opaque,
    agree,
    by_digits,
    describe,
    difference,
    difference_by_digits,
    digits_apart,
    digits_between,
    from_digits,
    how_many_off,
    plain,
    show,
    shown_apart,
    unbracketed,
    unpack,
    without_dust,
)


@pytest.mark.parametrize(
    "value",
    [np.array([1.0, 2.0]), [1.0, 2.0], (1, 2), torch.tensor([1.0, 2.0], requires_grad=True), [torch.tensor(1.0), 2.0]],
)
def test_arrays_lists_and_tensors_of_the_same_numbers_agree(value):
    assert agree(plain(value), np.array([1.0, 2.0]))


@pytest.mark.parametrize("value", [Fraction(1, 3), np.float32(1 / 3), torch.tensor(1 / 3)])
def test_every_real_number_counts_as_one(value):
    assert agree(plain(value), 1 / 3)
    assert not agree(plain(Fraction(1, 4)), 1 / 3)
    assert agree(plain([Fraction(1, 2), 10**30]), np.array([0.5, 1e30]))
    assert isinstance(plain(1j), Opaque)
    assert isinstance(plain(10**400), Opaque)  # no float is as large


@pytest.mark.parametrize(
    "value",
    [
        [1.0, 2.0, 3.0],
        [[1.0, 2.0]],
        [1.0, 2.001],
        [1.0, np.nan],
        None,
        "1 2",
        [True, True],
        {"a": 1},
        [1.0, [2.0]],
        object(),
    ],
)
def test_everything_else_disagrees(value):
    assert not agree(plain(value), np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("off", "fine"),
    [(1e-7, True), (4e-6, True), (4e-5, False), (5e-3, False)],
)
def test_room_for_float32_work_in_any_container_and_for_nothing_coarser(off, fine):
    expected = np.array([1 / 3, 2 / 3])
    for dtype in (np.float64, np.float32, ">f4"):
        assert agree((expected * (1 + off)).astype(dtype), expected) is fine
    assert agree(plain((torch.tensor(expected) * (1 + off)).float().tolist()), expected) is fine


def test_sixteen_bits_are_enough_only_where_they_are_asked_for():
    expected = np.array([1 / 3, 2 / 3])
    assert not agree(expected.astype(np.float16), expected)
    assert not agree(plain(torch.tensor(expected, dtype=torch.bfloat16)), expected)
    assert agree(expected.astype(np.float16), expected.astype(np.float16))


def test_a_number_is_taken_out_of_its_brackets_and_nothing_else_is():
    assert [unbracketed(value).shape for value in (np.array([[2.0]]), [np.array(2)], np.array(2.0))] == [()] * 3
    assert unbracketed(np.array([1, 2])).shape == (2,)
    assert [unbracketed(value) for value in (None, "2", [])] == [None, "2", []]


def test_infinities_and_nan():
    assert agree(np.array([1.0, -np.inf, np.nan]), np.array([1.0, -np.inf, np.nan]))
    assert not agree(np.array([1.0, np.inf]), np.array([1.0, -np.inf]))


def test_a_subclass_loses_its_tricks():
    class Always(np.ndarray):
        def __eq__(self, other):
            return True

    value = plain(np.zeros(2).view(Always))
    assert type(value) is np.ndarray
    assert not agree(value, np.ones(2))


class Trend(StrEnum):
    RISES = "rises"


class Word(str):
    def __str__(self):
        return self


@pytest.mark.parametrize("text", [np.str_("rises"), Word("rises"), Trend.RISES, np.array(["rises"])[0]])
def test_text_of_any_class_is_plain_text(text):
    value = plain({text: [text, (text,)]})
    assert value == {"rises": ["rises", ["rises"]]}
    ((key, (first, (second,))),) = value.items()
    assert {type(key), type(first), type(second)} == {str}


@pytest.mark.parametrize("number", [True, np.bool_(True), IntEnum("Level", "ONE").ONE, type("F", (float,), {})(1)])
def test_numbers_of_any_class_are_plain_arrays(number):
    value = plain(number)
    assert type(value) is np.ndarray
    assert value == 1


def test_an_array_of_text_is_a_list_of_text_and_one_of_other_things_is_not():
    for letters in (np.array(["B", "E"]), np.array(["B", "E"], dtype=object)):
        assert plain(letters) == ["B", "E"]
    assert plain(np.array("E5")) == "E5"
    assert plain(np.array([["B"], ["E"]])) == [["B"], ["E"]]
    assert {type(entry) for entry in plain(np.array(["B", "E"]))} == {str}
    for others in (np.array(["B", 1], dtype=object), np.array(["B", None], dtype=object)):
        assert isinstance(plain(others), Opaque)


def test_text_agrees_whatever_the_case():
    assert agree(plain(" Rises "), "rises")
    assert not agree(plain("falls"), "rises")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        ("a", "a piece of text"),
        (1, "a number"),
        (np.zeros((2, 3)), "an array of shape (2, 3), float64"),
        ([1, 2], "an array of shape (2,)"),
        ([1, "a"], "a list of 2: a number; a piece of text"),
        ({"a": 1}, "a dict with the keys 'a'"),
        (..., "still ..."),
        (object(), "an object of type object"),
    ],
)
def test_describe(value, words):
    assert describe(plain(value)).startswith(words)


def test_show_is_one_short_line():
    assert show(plain([1 / 3, 2])) == "[0.3333, 2]"
    assert show(plain(2.0)) == "2"
    assert show(np.zeros((100, 100))) == "an array of shape (100, 100), float64"
    assert "\n" not in show(np.zeros((3, 4)))
    assert show(70 * "z") == repr(60 * "z")
    assert show(np.array([1e300, 1e-9, 0.0, 123.45678])) == "[1e+300, 1e-09, 0, 123.4568]"
    assert isinstance(plain(object()), Opaque)


def test_parts_may_come_as_a_tuple_a_dict_or_the_rows_of_an_array():
    for value in ((1, 2), {"b": 2, "a": 1, "c": 3}, np.array([1, 2])):
        assert [part.tolist() for part in unpack(plain(value), "ab")] == [1, 2]
    assert [part.shape for part in unpack(np.zeros((2, 3)), "ab")] == [(3,), (3,)]
    for value in ((1, 2, 3), {"a": 1}, np.zeros(3), np.zeros(()), None):
        assert unpack(plain(value), "ab") is None


def test_dust_is_taken_off_floating_point_numbers_alone():
    assert without_dust(np.array([1e-8, 2.0, -1e-5]), 1e-6).tolist() == [0, 2, -1e-5]
    assert without_dust(np.array([0, 3]), 5).tolist() == [0, 3]
    assert without_dust(None, 1) is None


def test_numbers_that_differ_never_look_alike_also_beside_infinities():
    right = np.array([0.5, -np.inf, np.nan])
    told = difference(np.array([0.50002, -np.inf, np.nan]), right)
    assert told == "expected [0.5, -inf, nan], came [0.50002, -inf, nan]; 1 of 3 numbers is off: [0]"
    assert "came [0.5000001, -inf, nan]" in difference(np.array([0.5000001, -np.inf, np.nan]), right)
    assert "came [0.5, inf, nan]" in difference(np.array([0.5, np.inf, np.nan]), right)


@pytest.mark.parametrize("right", [0.2, 1 / 3, 5e-5, 123456.789, 3.2e7, 1e-30, -0.9])
@pytest.mark.parametrize("off", [3e-5, -3e-5, 1e-3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_expected_and_came_are_never_the_same_text(right, off, dtype):
    """Each number that is off shows it, also beside one that is off by more."""
    value, expected = np.array([right * (1 + off), 2 * right], dtype), np.array([right, right])
    came, wanted = (text.strip("[]").split(", ") for text in shown_apart(value, expected))
    assert all(a != b for a, b in zip(came, wanted, strict=True))
    assert len(set(shown_apart(value[0], expected[0]))) == 2


def test_how_many_numbers_are_off_and_where():
    right = np.zeros((3, 4))
    value = right.copy()
    assert how_many_off(value, right) == ""
    value[1, 2] = 1
    assert how_many_off(value, right) == "1 of 12 numbers is off: [1, 2]"
    value[2] = 1
    assert how_many_off(value, right) == "5 of 12 numbers are off: [1, 2], [2, 0], [2, 1], …"
    assert how_many_off(right + 1, right) == "all 12 numbers are off"
    assert how_many_off(np.zeros(3), right) == "another shape"
    assert [how_many_off(other, right) for other in (None, "x")] == ["", ""]
    assert how_many_off(np.array(1.0), 0.0) == ""


def test_of_a_large_array_the_first_row_that_differs_is_shown_and_of_a_long_row_the_number():
    right = np.zeros((3, 5))
    value = right + np.array([[0], [0], [1]]) * (np.arange(5) > 2)
    told = difference(value, right)
    assert told == "in [2] expected [0, 0, 0, 0, 0], came [0, 0, 0, 1, 1]; 2 of 15 numbers are off: [2, 3], [2, 4]"
    long = np.zeros(40)
    value = long + (np.arange(40) == 17)
    assert difference(value, long) == "in [17] expected 0, came 1; 1 of 40 numbers is off: [17]"


def test_a_row_of_small_numbers_is_not_blamed_for_rounding():
    """What is off beside the largest number of all is off, not what is beside the largest of its row."""
    right = np.array([[1e-6] * 8, [1.0] * 8])
    value = right + np.array([[1e-10], [0.5]])
    assert difference(value, right).startswith("in [1] expected")


def test_on_a_scale_of_digits_a_tiny_number_counts_beside_a_large_one():
    right = np.array([[1e6, -1e-4], [0.0, -np.inf]])
    for value, fine in (([[1e6, -1.01e-4], [0, -np.inf]], False), ([[1e6, -1e-4], [-1e-12, -np.inf]], True)):
        assert agree(by_digits(np.array(value), 1e-6), by_digits(right, 1e-6)) is fine
    assert from_digits(by_digits(right, 1e-6), 1e-6) == pytest.approx(right)
    assert [by_digits(value, 1e-6) for value in (None, "2")] == [None, "2"]
    assert [by_digits(value, 1.0).shape for value in (0.5, np.float64(0.5), np.array(0.5))] == [()] * 3


def test_what_differs_on_a_scale_of_digits_is_shown_in_the_numbers_themselves():
    right, wrong = np.array([[1.0, 2.0], [0.1, 1e-6]]), np.array([[1.0, 2.0], [0.1, 2e-6]])
    scaled = [by_digits(values, 1e-9) for values in (wrong, right)]
    told = difference_by_digits(*scaled, 1e-9)
    assert told == "expected [[1, 2], [0.1, 1e-06]], came [[1, 2], [0.1, 2e-06]]; 1 of 4 numbers is off: [1, 1]"
    near = by_digits(right[0] + 1e-3, 1e-9)
    assert difference_by_digits(near, scaled[1][0], 1e-9).startswith("expected [1, 2], came [1.001, 2.001]; all 2")
    assert difference_by_digits(None, scaled[1], 1e-9).endswith("came None (is a `return` missing?)")
    truth = by_digits(np.array(True), 1e-9)
    assert difference_by_digits(truth, by_digits(np.array(0.5), 1e-9), 1e-9) == "expected 0.5, came True"
    assert difference_by_digits(truth, scaled[1], 1e-9).endswith("came a truth value")


def test_no_number_however_large_is_infinite_on_a_scale_of_digits():
    largest = np.finfo(float).max
    assert np.isfinite(by_digits(np.array([largest, -largest]), 1e-6)).all()
    assert np.isneginf(by_digits(np.array(-np.inf), 1e-6))
    back = from_digits(by_digits(np.array([largest, -1e250, -np.inf]), 1e-6), 1e-6)
    assert back == pytest.approx([largest, -1e250, -np.inf])
    assert np.isfinite(back[0])
    assert not agree(
        by_digits(np.nan_to_num(np.array([0.0, -np.inf])), 1e-2), by_digits(np.array([0.0, -np.inf]), 1e-2)
    )


def test_a_number_shows_the_digits_that_tell_it_from_a_limit():
    assert digits_apart(0.199996, 0.2, 3) == "0.199996"
    assert digits_apart(0.25, 0.2, 3) == "0.250"
    assert digits_apart(0.2, 0.2, 3) == "0.200"
    assert digits_apart(np.nextafter(3.0, 4.0), 3.0, 2) != "3.00"
    assert digits_apart(np.inf, 3.0, 2) == "inf"


def test_numbers_that_move_a_little_are_written_so_that_it_shows():
    moved = np.array([0.5, 0.5 + 1e-8, 0.5])
    assert show(moved, digits_between(moved)) == "[0.5, 0.50000001, 0.5]"
    assert digits_between(np.array([0.5, 0.5, 0.25])) == 4


def test_a_truth_value_is_no_number_that_was_rounded():
    assert describe(plain(True)) == "a truth value"
    assert "rounded" not in difference(np.array(True), np.array(0.3))
    assert "rounded" in difference(np.array(0), np.array(0.3))
