"""Slips that any answer may hold, told where a question knows none that shows: rounded, transposed, exchanged, ...

What is said is what was seen, in every case: none of it guesses at a misconception.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from moe_lessons.checks.values import agree, show, stacked
from moe_lessons.checks.verdicts import Mistake

Pairs = list[tuple[np.ndarray, np.ndarray]]  # of every case what came and what is right
DECIMALS = range(2, 7)  # with fewer, a choice of one expert looks like a rounded probability
NEAR, WHOLE_NEAR = 0.05, 0.01  # of a number: as far as rounding may lead from it; a whole one may be a guess
EXACT = 1e-9


def usual_slip(came: list[Any], wanted: list[Any]) -> Mistake | None:
    """Return what shows in all values of an answer, beside what is right of each case, or None."""
    values = [(stacked(value), np.asarray(right)) for value, right in zip(came, wanted, strict=True)]
    if not all(isinstance(v, np.ndarray) and v.dtype.kind in "fiub" and r.dtype.kind in "fiub" for v, r in values):
        return None
    if _transposed(values):
        return Mistake("transposed", "Right, but for rows and columns: they are exchanged.")
    if told := _axis_off(values) or _first_row_alone(values):
        return Mistake(None, told)
    if any(value.shape != right.shape for value, right in values):
        return _in_one_row(values) or _cut_short(values)
    if any(array.dtype.kind == "b" for pair in values for array in pair):
        return None
    in_rows = [np.concatenate([array.ravel() for array in side]).astype(float) for side in zip(*values, strict=True)]
    return _rounded(*in_rows) or _scaled(*in_rows) or _shifted(*in_rows)


def _transposed(values: Pairs) -> bool:
    """Tell whether every value is right once it is turned round; single rows may be right as they are."""
    tables = [(value, right) for value, right in values if value.ndim == 2]
    rows = [(value, right) for value, right in values if value.ndim != 2]
    return bool(tables) and all(agree(v.T, r) for v, r in tables) and all(agree(v, r) for v, r in rows)


def _axis_off(values: Pairs) -> str:
    """Say which axis is too many or missing in every value, if that is all that is wrong; else nothing."""
    return next((told for told, seen in AXES_OFF.items() if all(seen(*pair) for pair in values)), "")


def _is_longer(value: np.ndarray, right: np.ndarray) -> bool:
    """Tell whether a value has what is right, with axes of length 1 besides."""
    return value.ndim > right.ndim and value.squeeze().shape == right.squeeze().shape and _agree_flat(value, right)


def _agree_flat(value: np.ndarray, right: np.ndarray) -> bool:
    return bool(agree(value.reshape(right.shape), right))


def _not_added(axis: int, added: Callable[..., np.ndarray] = np.sum) -> Callable[[np.ndarray, np.ndarray], bool]:
    """Return the test whether a value, added up over this axis, or averaged, is what is right."""
    return lambda value, right: value.ndim == right.ndim + 1 and bool(agree(added(value, axis=axis), right))


def _added_too_far(axis: int) -> Callable[[np.ndarray, np.ndarray], bool]:
    """Return the test whether a value is what is right, added up over this axis."""
    return lambda value, right: _not_added(axis)(right, value)


AXES_OFF: dict[str, Callable[[np.ndarray, np.ndarray], bool]] = {
    "The numbers are right, with an axis of length 1 too many.": _is_longer,
    "Not added up: the sums of your numbers over the last axis are what is right.": _not_added(-1),
    "Not added up: the sums of your numbers over the first axis are what is right.": _not_added(0),
    "Not averaged: the means of your numbers over the last axis are what is right.": _not_added(-1, np.mean),
    "Not averaged: the means of your numbers over the first axis are what is right.": _not_added(0, np.mean),
    "Added up too far: these are the sums, over the last axis, of what is right.": _added_too_far(-1),
    "Added up too far: these are the sums, over the first axis, of what is right.": _added_too_far(0),
}


def _first_row_alone(values: Pairs) -> str:
    """Say so if of every table the first row is right and no other, and whatever has one row is right."""
    if any(value.shape != right.shape for value, right in values):
        return ""
    tables = [(value, right) for value, right in values if right.ndim > 1 and len(right) > 1]
    others = [(value, right) for value, right in values if right.ndim < 2 or len(right) < 2]
    alone = all(agree(v[0], r[0]) and not any(map(agree, v[1:], r[1:])) for v, r in tables)
    if not tables or not alone or not all(agree(*pair) for pair in others):
        return ""
    empty = not any(value[1:].any() for value, _ in tables)
    return f"Right, but of a batch only the first row{EMPTY if empty else '.'}"


EMPTY = ": the others are all 0. Does a `return` stand inside the loop?"


def _in_one_row(values: Pairs) -> Mistake | None:
    """Tell of tables whose numbers are right, but all in one row."""
    flat = all(v.ndim == 1 and r.ndim > 1 and agree(v, r.ravel()) for v, r in values)
    why = "Right, but all in one row: give it the shape that is asked for, with `reshape`."
    return Mistake("in one row", why) if flat else None


def _cut_short(values: Pairs) -> Mistake | None:
    """Tell of arrays that lack their first or their last entry along an axis, and are right otherwise."""
    for axis in range(min(right.ndim for _, right in values)):
        for which, rest in (("last", slice(None, -1)), ("first", slice(1, None))):
            if all(_lacks(value, right, axis, rest) for value, right in values):
                entry = ("row" if axis == 0 else "column") if values[0][1].ndim == 2 else "entry"
                why = f"Right, but the {which} {entry} is missing. `range(n)` goes from 0 to n − 1: n of them."
                return Mistake("cut short", why)
    return None


def _lacks(value: np.ndarray, right: np.ndarray, axis: int, rest: slice) -> bool:
    """Tell whether a value is this rest of what is right along an axis, which has something left."""
    return right.shape[axis] > 1 and agree(value, np.moveaxis(np.moveaxis(right, axis, 0)[rest], 0, axis))


def _rounded(came: np.ndarray, right: np.ndarray) -> Mistake | None:
    """Tell of numbers that are the right ones with few decimals, if that leaves something of most of them."""
    left = np.count_nonzero(came) >= np.count_nonzero(right) / 2
    decimals = (d for d in DECIMALS if _same(came, np.round(right, d)))
    found = next(decimals, None) if left else None
    why = f"Right, but rounded to {found} decimals. Return the numbers as they are; round only when you print."
    return None if found is None else Mistake("rounded", why)


def _scaled(came: np.ndarray, right: np.ndarray) -> Mistake | None:
    """Tell of numbers that are all the same multiple of the right ones."""
    some = right != 0
    if len(np.unique(right[some])) < 2 or not np.isfinite(right).all() or not (came[~some] == 0).all():
        return None
    factor = float(came[some][0] / right[some][0])
    if not factor or not np.isfinite(factor) or not _same(came, factor * right):
        return None
    turned = "Every sign is turned round; the numbers are right."
    return Mistake(None, turned if abs(factor + 1) < EXACT else f"Every number is {factor:.4g} times what is right.")


def _shifted(came: np.ndarray, right: np.ndarray) -> Mistake | None:
    """Tell of numbers that are all off by the same amount."""
    if len(np.unique(right)) < 2 or not np.isfinite(right).all():
        return None
    off = float(came[0] - right[0])
    more = f"{abs(off):.4g} {'more' if off > 0 else 'less'}"
    seen = np.isfinite(off) and off and _same(came, right + off)
    return Mistake(None, f"Every number is {more} than what is right.") if seen else None


def _same(came: np.ndarray, right: np.ndarray) -> bool:
    """Tell whether numbers are equal but for what computing in another order leaves."""
    return bool(np.allclose(came, right, rtol=1e-6, atol=EXACT, equal_nan=True))


def exchanged(
    named: Mapping[str, Any], expected: Mapping[str, Any], same: Callable[[Any, Any], Any], wrong: Iterable[str]
) -> str:
    """Say of two entries that each has the answer of the other, if these are all that is wrong; else nothing.

    Where all answers are among two, it would give them away.
    """
    two = list(wrong)
    if len(two) != 2 or len({repr(answer) for answer in (*named.values(), *expected.values())}) < 3:
        return ""
    first, second = two
    crossed = same(named[first], expected[second]) and same(named[second], expected[first])
    return f"{first!r} and {second!r}: each of them has the answer of the other." if crossed else ""


def rounded_too_far(value: Any, right: Any, tolerance: float) -> Mistake | None:
    """Tell of a number that is the right one with fewer digits than the tolerance asks for."""
    digits = math.ceil(-math.log10(2 * tolerance))
    came, expected = np.ravel(stacked(value)), np.ravel(right).astype(float)
    if came.shape != (1,) or expected.shape != (1,):
        return None
    off = abs(came[0] - expected[0]) / (abs(expected[0]) or 1)
    fewer = any(
        abs(round(expected[0], d) - came[0]) < EXACT and off <= (NEAR if d else WHOLE_NEAR) for d in range(digits)
    )
    many = f"{digits} decimals" if digits > 1 else "one decimal"
    return Mistake("near", f"Near: {show(value)} is rounded too far. Give {many}, please.") if fewer else None
