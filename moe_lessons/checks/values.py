"""What a learner's code returned, as plain data: turn it into arrays, describe it, compare it."""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

# Relative to the largest number: room for float32 work in any order, none for another formula. Where a question asks
# for 16 bits, its expected numbers have them.
TOLERANCE, TOLERANCE_16_BITS = 1e-5, 1e-2
MOST_SHOWN, HUGE = 12, 1e200
MOST_LISTED = 8  # words and numbers in one list that are written out
MISSING = " (is a `return` missing?)"


def plain(value: Any) -> Any:
    """Return `value` as an array, a string, None, or a list or dict of those; anything else as `Opaque`.

    numpy and torch arrays and numbers become base-class arrays (bfloat16 becomes float32), as do fractions and whole
    numbers of any size; text of any class becomes `str`, tuples become lists.
    """
    if value is None:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {str.__str__(str(key)): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    array = _numbers(value)
    return Opaque(value) if array is None else array


class Opaque:
    """Something that holds no numbers a check could compare: only words about it are kept."""

    def __init__(self, value: Any) -> None:
        self.words = "still ..." if value is ... else f"an object of type {type(value).__name__}"
        if isinstance(value, (np.ndarray, np.generic)):
            self.words = f"an array of shape {np.shape(value)} and dtype {value.dtype}, which is not real numbers"


def _numbers(value: Any) -> np.ndarray | None:
    """Return `value` as an array of numbers or booleans, or None if it is none."""
    try:
        if type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
        array = np.array(value, subok=False)
        if array.dtype == object and isinstance(value, Real):  # a Fraction, or an int beyond 64 bits
            array = np.array(float(value))
    except Exception:  # an object whose conversion fails
        return None
    return array if array.dtype.kind in "fiub" else None


def stacked(value: Any) -> Any:
    """Return a list of equal-shaped arrays as one array: a learner may build rows one by one. Others unchanged."""
    if not isinstance(value, list) or not value:
        return value
    rows = [stacked(entry) for entry in value]
    alike = all(isinstance(row, np.ndarray) and row.shape == np.shape(rows[0]) for row in rows)
    return np.array(rows) if alike else value


def describe(value: Any) -> str:
    """Say in a few words what a plain value is: `an array of shape (3,), float64`."""
    value = stacked(value)
    if value is None:
        return "None"
    if isinstance(value, str):
        return "a piece of text"
    if isinstance(value, Opaque):
        return value.words
    if isinstance(value, Mapping):
        return "a dict with the keys " + (", ".join(repr(key) for key in value) or "(none)")
    if isinstance(value, list):
        return f"a list of {len(value)}: " + "; ".join(describe(entry) for entry in value[:4])
    one = "a truth value" if value.dtype.kind == "b" else "a number"
    return f"an array of shape {value.shape}, {value.dtype}" if value.ndim else one


def show(value: Any) -> str:
    """Write a plain value on one line, rounded to four decimals; more than MOST_SHOWN numbers are only described."""
    value = stacked(value)
    if isinstance(value, np.ndarray) and value.size <= MOST_SHOWN:
        return " ".join(np.array2string(value, separator=", ", formatter=_FORMAT).split())
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, list) and 0 < len(value) <= MOST_LISTED and all(map(_is_single, value)):
        return f"[{', '.join(map(show, value))}]"
    return describe(value)


def _is_single(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.ndim == 0)


def _decimals(number: float) -> str:
    if number and not 1e-4 <= abs(number) < 1e6:
        return f"{number:.3g}"
    return np.format_float_positional(number, precision=4, trim="-")


_FORMAT: Any = {"float_kind": _decimals}


def digits_apart(number: float, limit: float, decimals: int) -> str:
    """Write a number with so many decimals, and more where it takes more to tell it from a limit that it misses."""
    enough = (d for d in range(decimals, 17) if number == limit or round(number, d) != round(limit, d))
    return f"{number:.{next(enough, decimals)}f}"


def is_floats(value: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether a plain value is an array of floating-point numbers of this shape."""
    return isinstance(value, np.ndarray) and value.shape == shape and value.dtype.kind == "f"


def unbracketed(value: Any) -> Any:
    """Return an array of one number without its axes, as that number; others unchanged."""
    value = stacked(value)
    return value.reshape(()) if isinstance(value, np.ndarray) and value.size == 1 else value


def without_dust(value: Any, below: float) -> Any:
    """Return `value`, if it is floating-point numbers, with 0 where it is below this in size: what rounding leaves."""
    value = stacked(value)
    return np.where(np.abs(value) < below, 0, value) if is_floats(value, np.shape(value)) else value


def agree(value: Any, expected: Any) -> bool:
    """Tell whether a plain value has the shape and the numbers of `expected` (an array or a number, or text)."""
    if isinstance(expected, str):
        return isinstance(value, str) and value.strip().lower() == expected.lower()
    value, expected = stacked(value), np.asarray(expected)
    if not isinstance(value, np.ndarray) or value.shape != expected.shape:
        return False
    if value.dtype.kind == "b" and expected.dtype.kind != "b":
        return False
    rtol = TOLERANCE_16_BITS if expected.dtype == np.float16 else TOLERANCE
    finite = np.abs(expected[np.isfinite(expected)], dtype=float)
    return bool(np.allclose(value, expected, rtol=rtol, atol=rtol * finite.max(initial=1e-300), equal_nan=True))


def unpack(value: Any, named: Iterable[str]) -> list | None:
    """Return the named parts of a tuple, list, array or dict answer in order, or None if they are not all there."""
    parts = tuple(named)
    if isinstance(value, np.ndarray) and value.ndim:
        value = list(map(np.asarray, value))
    if isinstance(value, dict) and set(parts) <= set(value):
        return [value[part] for part in parts]
    return value if isinstance(value, list) and len(value) == len(parts) else None


def difference(value: Any, expected: Any, part: str = "", guess: bool = True) -> str:
    """Say what was expected and what came, with shape when that is what differs; `guess` at rounding if it seems so."""
    what = f"{part}: " if part else ""
    value = stacked(value)
    if isinstance(value, np.ndarray) and value.shape == np.shape(expected):
        whole = guess and value.dtype.kind in "iu" and np.asarray(expected).dtype.kind == "f"
        remark = f" ({value.dtype}: was something rounded, or stored in an array of whole numbers?)" if whole else ""
        row, value, expected = _first_wrong_row(value, np.asarray(expected))
        if show(plain(expected)) == show(value) and value.size:
            remark = f" (they differ by up to {_furthest(value, expected):.2g}; dtype {value.dtype})"
        return f"{what}{row}expected {show(plain(expected))}, came {show(value)}{remark}"
    return f"{what}expected {describe(plain(expected))}, came {describe(value)}{MISSING if value is None else ''}"


def _furthest(value: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest distance between two equal-shaped arrays, where equal infinities are at 0 from each other."""
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        gaps = np.abs(np.subtract(value, expected, dtype=float))
    return float(np.nan_to_num(gaps, nan=0.0, posinf=np.inf).max())


def by_digits(value: Any, fine: float) -> Any:
    """Return numbers on a scale where equal steps are equal shares of what is above `fine` in size; others unchanged.

    Compared on it, a number far below the largest must have its own digits right.
    """
    array = np.asarray(value) if isinstance(value, (float, np.generic)) else stacked(value)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        return array
    size = np.abs(array, dtype=float)
    scaled = np.log1p(np.minimum(size, HUGE) / fine) + np.log(np.maximum(size / HUGE, 1))  # ∞ for nothing but ∞
    return np.asarray(np.sign(array) * scaled)


def from_digits(scaled: Any, fine: float) -> Any:
    """Undo `by_digits`."""
    return np.asarray(np.sign(scaled) * fine * np.expm1(np.abs(scaled))) if isinstance(scaled, np.ndarray) else scaled


def difference_by_digits(scaled: Any, expected: np.ndarray, fine: float) -> str:
    """Say what was expected and what came of numbers on `by_digits`' scale: the first row that differs there."""
    if not isinstance(scaled, np.ndarray) or scaled.shape != expected.shape:
        return difference(from_digits(scaled, fine), from_digits(expected, fine))
    rows = zip(scaled, expected, strict=True) if scaled.ndim > 1 else ()
    room = TOLERANCE * np.abs(expected[np.isfinite(expected)]).max(initial=0)
    wrong = next((row for row in rows if not np.allclose(*row, rtol=0, atol=room)), (scaled, expected))
    came, right = (from_digits(row, fine) for row in wrong)
    alike = f" (they differ by up to {_furthest(came, right):.2g})" if show(came) == show(right) else ""
    return f"expected {show(right)}, came {show(came)}{alike}"


def _first_wrong_row(value: np.ndarray, expected: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the first row in which two equal-shaped arrays differ, with its name, if they are too large to show."""
    name = ""
    while value.ndim > 1 and value.size > MOST_SHOWN:
        i = next((i for i in range(len(value)) if not agree(value[i], expected[i])), 0)
        name, value, expected = f"{name}[{i}]", value[i], expected[i]
    return (f"in {name} " if name else ""), value, expected
