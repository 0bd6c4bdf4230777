"""Slips that any answer may hold are told where they are certain, and nothing is told that is not so."""

import numpy as np
import pytest

from moe_lessons.checks.usual import exchanged, rounded_too_far, usual_slip
from moe_lessons.checks.values import plain

rng = np.random.default_rng(0)
TABLES = [rng.normal(size=(3, 4)), rng.normal(size=(2, 5))]
ROWS = [rng.normal(size=4), rng.normal(size=7)]
SHARES = [rng.dirichlet(np.ones(6), size=5) for _ in range(2)]
NUMBERS = [np.array(0.24319876), np.array(1.73126543)]


def told(change, wanted):
    slip = usual_slip([plain(change(value)) for value in wanted], wanted)
    return slip and (slip.name or slip.why)


@pytest.mark.parametrize("wanted", [TABLES, ROWS, SHARES, NUMBERS])
def test_what_shows_in_all_values_is_told(wanted):
    assert told(lambda v: v.round(2), wanted) == "rounded"
    assert told(lambda v: v.round(5), wanted) == "rounded"
    assert told(lambda v: v.astype(np.float32).round(3), wanted) == "rounded"
    assert told(lambda v: 3 * v, wanted) == "Every number is 3 times what is right."
    assert told(lambda v: v / 100, wanted) == "Every number is 0.01 times what is right."
    assert told(lambda v: -v, wanted) == "Every sign is turned round; the numbers are right."
    assert told(lambda v: v + 1, wanted) == "Every number is 1 more than what is right."
    assert told(lambda v: v - 0.25, wanted) == "Every number is 0.25 less than what is right."


def test_a_table_that_is_turned_round_is_told_and_single_rows_may_stand_beside_it():
    assert told(lambda v: v.T, TABLES) == "transposed"
    assert told(lambda v: v.T, [*TABLES, *ROWS]) == "transposed"


def test_a_table_in_one_row_is_told_also_one_of_booleans():
    assert told(np.ravel, TABLES) == "in one row"
    assert told(np.ravel, [table > 0 for table in TABLES]) == "in one row"
    assert told(np.ravel, [*TABLES, *ROWS]) is None  # rows are right as they are
    assert told(lambda v: np.sort(v.ravel()), TABLES) is None


@pytest.mark.parametrize("wanted", [TABLES, ROWS, [table > 0 for table in TABLES]])
def test_an_entry_that_is_missing_at_an_end_is_told(wanted):
    for change in (lambda v: v[:-1], lambda v: v[1:], lambda v: v[..., :-1], lambda v: v[..., 1:]):
        assert told(change, wanted) == "cut short"
    for change in (lambda v: v[2:], lambda v: np.concatenate([v, v]), lambda v: v[:-1][::-1] ** 2):
        assert told(change, wanted) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda v: (v == v.max(axis=-1, keepdims=True)).astype(float),  # a choice is no probability of no decimals
        lambda v: np.zeros_like(v),
        lambda v: v.round(1),
        lambda v: np.full_like(v, np.nan),
        lambda v: v**2,
        lambda v: v[..., :-2],
        lambda v: v * np.arange(1, v.size + 1).reshape(v.shape),
        lambda v: None,
        lambda v: "text",
        lambda v: v > 0,
        lambda v: [v, v[0]],
    ],
)
@pytest.mark.parametrize("wanted", [TABLES, ROWS, SHARES])
def test_nothing_is_told_that_is_not_so(change, wanted):
    assert told(change, wanted) is None


LENGTH_1 = "The numbers are right, with an axis of length 1 too many."
TOO_FAR = "Added up too far: these are the sums, over the {} axis, of what is right."
NOT_ADDED = "Not added up: the sums of your numbers over the {} axis are what is right."


def in_two(axis):
    """Return what makes of an array two, stacked along a new axis, which add up to it."""
    return lambda v: np.stack([0.25 * v, 0.75 * v], axis=axis)


@pytest.mark.parametrize("wanted", [TABLES, ROWS, SHARES])
def test_an_axis_too_many_or_missing_is_told(wanted):
    assert told(lambda v: v[None], wanted) == told(lambda v: v[..., None], wanted) == LENGTH_1
    assert told(in_two(0), wanted) == NOT_ADDED.format("first")
    assert told(in_two(-1), wanted) == NOT_ADDED.format("last")


def test_what_is_added_up_too_far_is_told_with_its_axis():
    assert told(lambda v: v.sum(axis=-1), TABLES) == TOO_FAR.format("last")
    assert told(lambda v: v.sum(axis=0), TABLES) == TOO_FAR.format("first")
    assert told(lambda v: v.mean(axis=-1), TABLES) is None
    assert usual_slip([TABLES[0].sum(axis=-1), TABLES[1].sum(axis=0)], TABLES) is None


def first_row(rest):
    return lambda v: np.concatenate([v[:1], rest * v[1:]]) if v.ndim > 1 else v


@pytest.mark.parametrize("wanted", [TABLES, [*TABLES, *ROWS], SHARES])
def test_a_batch_of_which_only_the_first_row_is_right_is_told(wanted):
    assert told(first_row(2.0), wanted) == "Right, but of a batch only the first row."
    returned = "Right, but of a batch only the first row: the others are all 0. Does a `return` stand inside the loop?"
    assert told(first_row(0.0), wanted) == returned


def test_a_second_right_row_or_a_wrong_single_one_keep_it_from_being_told():
    lucky = TABLES[0].copy()
    lucky[2] = 0
    assert usual_slip([lucky, first_row(0.0)(TABLES[1])], TABLES) is None
    assert usual_slip([first_row(0.0)(TABLES[0]), 2 * ROWS[0]], [TABLES[0], ROWS[0]]) is None


@pytest.mark.parametrize("wanted", [TABLES, ROWS, SHARES])
def test_an_axis_that_was_not_averaged_is_told(wanted):
    parts = [value[..., None] * n * rng.dirichlet(np.ones(n)) for value, n in zip(wanted, (3, 1), strict=True)]
    assert usual_slip(parts, wanted).why == NOT_ADDED.format("last").replace("added up", "averaged").replace(
        "sums", "means"
    )


def test_one_case_that_is_otherwise_keeps_it_from_being_told():
    for change in (lambda v: v.round(2), lambda v: 3 * v, lambda v: -v, lambda v: v + 1, lambda v: v.T):
        assert usual_slip([change(TABLES[0]), TABLES[1]], TABLES) is None


def test_numbers_that_are_not_finite_stay_where_they_are():
    wanted = [np.array([0.1234, -np.inf, 2.3456])]
    assert told(lambda v: v.round(2), wanted) == "rounded"
    assert told(lambda v: 2 * v, wanted) is None
    assert usual_slip([np.array([0.12, 0.0, 2.35])], wanted) is None


EXPECTED = {"A": "up", "B": "down", "C": "flat"}


def same(came, right):
    return came == right


def wrong_of(named):
    return [name for name, right in EXPECTED.items() if named[name] != right]


def test_two_entries_that_are_exchanged_are_told():
    named = {**EXPECTED, "A": "down", "B": "up"}
    assert exchanged(named, EXPECTED, same, wrong_of(named)) == "'A' and 'B': each of them has the answer of the other."


@pytest.mark.parametrize(
    "named", [{"A": "down", "B": "flat", "C": "up"}, {**EXPECTED, "A": "down"}, {**EXPECTED, "A": "down", "B": "flat"}]
)
def test_entries_that_are_otherwise_wrong_are_not(named):
    assert exchanged(named, EXPECTED, same, wrong_of(named)) == ""


def test_of_two_truths_nothing_is_told():
    assert exchanged({"A": False, "B": True}, {"A": True, "B": False}, same, ["A", "B"]) == ""


@pytest.mark.parametrize(
    ("value", "right", "tolerance", "asks"),
    [
        (0.6, 0.6285, 0.005, "2 decimals"),
        (-0.05, -0.0471, 0.0006, None),  # 6 % off: it may be another number
        (-0.047, -0.0468, 0.00006, "4 decimals"),
        (56, 55.9, 0.05, "one decimal"),
        (5, 5.24, 0.005, None),  # a whole number may be a guess
        (0.7, 0.6321, 0.005, None),
        ([0.6, 0.1], 0.6321, 0.005, None),
    ],
)
def test_a_number_with_too_few_digits_is_asked_for_more(value, right, tolerance, asks):
    slip = rounded_too_far(plain(value), right, tolerance)
    assert (slip is None) if asks is None else (slip.name == "near" and f"Give {asks}, please." in slip.why)
