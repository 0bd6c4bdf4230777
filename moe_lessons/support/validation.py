"""Checks of arguments, shared by the reference code: each failure names argument, value and expectation."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np


def refuse(name: str, value: object, expected: str) -> ValueError:
    """Return the error for a bad argument. Long values are cut to one line of 80 characters."""
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return ValueError(f"{name} = {shown}: expected {expected}")


def as_array(name: str, value: Any) -> np.ndarray:
    """Return what a learner has at hand as an array: lists, columns of tables, tensors, lists of tensors.

    Of a tensor the numbers count alone: its gradient is left behind, bfloat16, which numpy has not, becomes float32.
    """
    if isinstance(value, list | tuple) and any(hasattr(part, "detach") for part in value):
        value = [as_array(name, part) for part in value]
    elif hasattr(value, "detach"):  # a tensor; torch itself is not imported for this
        if "strided" not in str(value.layout):
            raise refuse(name, value, "a dense tensor: to_dense() makes one")
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    try:
        return np.asarray(value)
    except Exception:  # ragged rows, or an object that cannot be converted
        raise refuse(name, value, "an array of numbers, every row of the same length") from None


def float_array(
    name: str,
    value: Any,
    *,
    allow: Callable[[np.ndarray], np.ndarray] = np.isfinite,
    expected: str = "a finite number",
    kinds: str = "fiub",
) -> np.ndarray:
    """Return `value` as a floating-point array with at least one axis; integers become float64.

    `allow` says entry by entry which numbers are legal, `expected` says it in words. `kinds`: of numpy's dtypes.
    """
    array = as_array(name, value)
    if np.ma.is_masked(value):  # numpy would go on with what stands behind the mask
        raise refuse(name, value, "an array without masked entries")
    if array.dtype.kind not in kinds:
        raise refuse(name, value, f"an array of real numbers, not of dtype {array.dtype}")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if array.ndim == 0:
        raise refuse(name, value, "an array with at least one axis, not a single number")
    bad = ~allow(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        position = ", ".join(map(str, where))
        raise refuse(f"{name}[{position}]", array[where].item(), expected)
    return array


def score_array(name: str, value: Any, axis: int = -1) -> np.ndarray:
    """Return `value` as scores along `axis`: finite or −∞ (a mask), with one finite entry in each row.

    Booleans are none: they are a selection, given where the logits belong.
    """
    scores = float_array(
        name, value, allow=lambda a: np.isfinite(a) | np.isneginf(a), expected="a finite number, or −∞ as a mask",
        kinds="fiu",
    )  # fmt: skip
    whole_number("axis", axis, least=-scores.ndim, most=scores.ndim - 1)
    if scores.shape[axis] == 0:
        raise refuse(f"{name}.shape", scores.shape, f"at least one entry along axis {axis}")
    if np.isneginf(scores).all(axis=axis).any():
        raise refuse(name, value, f"at least one entry above −∞ in every row along axis {axis}")
    return scores


def whole_number(name: str, value: Any, *, least: int, most: int) -> int:
    """Return `value` as an int between `least` and `most`, both included."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    if not is_whole or not least <= value <= most:
        raise refuse(name, value, f"a whole number from {least} to {most}")
    return int(value)


def positive_number(name: str, value: Any) -> float:
    """Return `value` as a finite float above zero."""
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    try:
        number = float(value) if is_number else 0.0
    except OverflowError:
        number = np.inf
    if not 0 < number < np.inf:
        raise refuse(name, value, "a finite number above 0")
    return number


def number_within(name: str, value: Any, least: float, most: float) -> float:
    """Return `value` as a finite float from `least` to `most`, both included; either may be infinite."""
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not is_number or not np.isfinite(value) or not least <= value <= most:
        ends = [f"from {least:g}"] * bool(np.isfinite(least)) + [f"to {most:g}"] * bool(np.isfinite(most))
        raise refuse(name, value, " ".join(["a finite number", *ends]))
    return float(value)


def one_of(name: str, value: Any, choices: Collection[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise refuse(name, value, "one of " + ", ".join(repr(choice) for choice in choices))
    return value
