"""Numbers with fewer bits: round as float16 and bfloat16 do, and take a softmax that rounds after every step.

numpy has no bfloat16, and needs none: it is the upper half of a float32, so rounding its bits is enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons.support.validation import float_array, one_of, refuse, score_array


def to_float32(x: Any) -> np.ndarray:
    """Round to float32. x: any shape; NaN and ±∞ stay, what is too large becomes ±∞. Returns float32.

    Raises ValueError for what holds no real numbers.
    """
    values = float_array("x", [x], allow=lambda a: np.ones(a.shape, dtype=bool))[0]  # [x]: single numbers are welcome
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values, dtype=np.float32)


def to_float16(x: Any) -> np.ndarray:
    """Round to float16: 11 significant bits, largest number 65 504. Shapes, special values, errors as `to_float32`.

    Returns float32 that holds only numbers which float16 has. Source: IEEE 754, binary16.
    """
    with np.errstate(over="ignore", under="ignore"):
        return to_float32(x).astype(np.float16).astype(np.float32)


def to_bfloat16(x: Any) -> np.ndarray:
    """Round to bfloat16: 8 significant bits, the range of float32. Shapes, special values, errors as `to_float32`.

    To the nearest number, and of two equally near ones to the one whose last bit is 0. float64 is rounded to float32
    first, as torch does. Returns float32 that holds only numbers which bfloat16 has.
    Source: Kalamkar et al. 2019 (arXiv:1905.12322).
    """
    values = np.atleast_1d(to_float32(x))  # numpy warns when the bits of a single number overflow
    bits = values.view(np.uint32)
    to_nearest_even = 0x7FFF + ((bits >> 16) & 1)  # just under half of the last kept bit; half, if that bit is 1
    rounded = ((bits + to_nearest_even) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(values), values, rounded).reshape(np.shape(x))


PRECISIONS: dict[str, Callable[[Any], np.ndarray]] = {
    "float32": to_float32,
    "bfloat16": to_bfloat16,
    "float16": to_float16,
}


@dataclass(frozen=True)
class SoftmaxSteps:
    """What a softmax computes on its way, in float32: ∞ where a number is too large, NaN where there is none.

    logits (N,) as they are stored, exponentials (N,), their sum, probs (N,).
    """

    logits: np.ndarray
    exponentials: np.ndarray
    total: np.ndarray
    probs: np.ndarray


def softmax_steps(logits: Any, precision: str = "float32", stable: bool = True) -> SoftmaxSteps:
    """Take a softmax in which the logits and the result of every step are rounded to `precision`.

    logits: (N,). precision: a key of PRECISIONS. stable: subtract the largest logit first.
    Overflow and underflow stay as they come (∞, 0, NaN), without a warning.
    Raises ValueError for an unknown precision, for more than one token, and for logits that `routing.softmax` refuses.
    """
    rounded = PRECISIONS[one_of("precision", precision, PRECISIONS)]
    h = rounded(score_array("logits", logits))  # (N,)
    if h.ndim != 1:
        raise refuse("logits.shape", h.shape, "(N,), one token: the sum here runs over all of them")
    with np.errstate(all="ignore"):
        exponents = rounded(h - h.max()) if stable else h  # (N,)
        exponentials = rounded(np.exp(exponents))  # (N,)
        total = rounded(exponentials.sum())
        return SoftmaxSteps(h, exponentials, total, rounded(exponentials / total))
