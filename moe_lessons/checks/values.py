"""What a learner's code returned, as plain data: turn it into arrays, describe it, compare it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

# Relative to the largest number: room for float32 work in any order, none for another formula. Where a question asks
# for 16 bits, its expected numbers have them.
TOLERANCE, TOLERANCE_16_BITS = 1e-5, 1e-2
MOST_SHOWN, HUGE = 12, 1e200
DECIMALS, ALL_DECIMALS = 4, 18  # that are shown, and that tell any two floats apart
FEW = 3  # places of wrong numbers that are named
MOST_LISTED = 8  # words and numbers in one list that are written out
MISSING = " (is a `return` missing?)"


def plain(value: Any) -> Any:
    """Return `value` as an array, a string, None, or a list or dict of those; anything else as `Opaque`.

    numpy and torch arrays and numbers become base-class arrays (bfloat16 becomes float32), as do fractions and whole
    numbers of any size; text of any class becomes `str`, tuples and arrays of text become lists.
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
    if array is None and _is_text(value):
        return plain(value.tolist())
    return Opaque(value) if array is None else array


def _is_text(value: Any) -> bool:
    """Tell whether something is an array of nothing but text."""
    return isinstance(value, np.ndarray) and all(isinstance(entry, str) for entry in value.ravel())


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


def show(value: Any, decimals: int = DECIMALS) -> str:
    """Write a plain value on one line, rounded; more than MOST_SHOWN numbers are only described."""
    value = stacked(value)
    if isinstance(value, np.ndarray) and value.size <= MOST_SHOWN:
        form: Any = {"float_kind": lambda number: _decimals(number, decimals)}
        return " ".join(np.array2string(value, separator=", ", formatter=form).split())
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, list) and 0 < len(value) <= MOST_LISTED and all(map(_is_single, value)):
        return f"[{', '.join(map(show, value))}]"
    return describe(value)


def _is_single(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.ndim == 0)


def _written(number: Any, decimals: int) -> str:
    return _decimals(number, decimals) if isinstance(number, (float, np.floating)) else str(number)


def _decimals(number: Any, decimals: int) -> str:
    if number and not 1e-4 <= abs(number) < 1e6:
        return f"{number:.{decimals - 1}g}"
    return np.format_float_positional(number, precision=decimals, trim="-")


def shown_apart(value: np.ndarray, expected: np.ndarray, off: np.ndarray | None = None) -> tuple[str, str]:
    """Write two equal-shaped arrays with so many digits that no two numbers that differ look alike.

    off: which differ, of the same shape; without it, those that do not agree.
    """
    value, expected = np.asarray(value), np.asarray(expected)
    decimals = _decimals_apart(value, expected, _off(value, expected) if off is None else np.asarray(off))
    return show(value, decimals), show(expected, decimals)


def _decimals_apart(value: np.ndarray, expected: np.ndarray, off: np.ndarray) -> int:
    if not off.any():  # equal as far as this check goes: then whatever differs
        off = np.asarray(~np.isclose(value, expected, rtol=0, atol=0, equal_nan=True))
    pairs = list(zip(value[off], expected[off], strict=True))
    enough = (d for d in range(DECIMALS, ALL_DECIMALS) if all(_written(a, d) != _written(b, d) for a, b in pairs))
    return next(enough, DECIMALS)


@dataclass(frozen=True)
class Entry:
    """One number of an answer beside what was expected, as both are written. place: "[2, 0]"; numbers: these two."""

    place: str
    expected: str
    came: str
    off: bool = True
    numbers: tuple[float, float] | None = None


class Difference(str):
    """What was expected and what came, in words; and apart: of which part, entry by entry, and what else was seen."""

    part: str
    entries: tuple[Entry, ...]
    note: str

    def __new__(cls, words: str, part: str, entries: tuple[Entry, ...], note: str = "") -> "Difference":
        """Return the words, with what they were made of."""
        made = super().__new__(cls, words)
        made.part, made.entries, made.note = part, entries, note
        return made

    def __getnewargs__(self) -> tuple:
        return (str(self), self.part, self.entries, self.note)


def side_by_side(
    value: np.ndarray, expected: np.ndarray, off: np.ndarray, row: tuple[int, ...] = ()
) -> tuple[Entry, ...]:
    """Return every number of two equal-shaped arrays beside the other, written apart. row: where they stand."""
    decimals = _decimals_apart(value, expected, off)
    return tuple(
        Entry(
            str([*row, *place]) if row or place else "",
            _written(expected[place], decimals),
            _written(value[place], decimals),
            bool(off[place]),
            (float(expected[place]), float(value[place])),
        )
        for place in np.ndindex(value.shape)
    )


def digits_apart(number: float, limit: float, digits: int, kind: str = "f") -> str:
    """Write a number in a format of Python's, with more digits where it takes more to tell it from a limit."""
    written = ((f"{number:.{d}{kind}}", f"{limit:.{d}{kind}}") for d in range(digits, ALL_DECIMALS))
    usual = f"{number:.{digits}{kind}}"
    return usual if number == limit else next((text for text, other in written if text != other), usual)


def digits_between(numbers: np.ndarray) -> int:
    """Return how many decimals it takes, in `show`, that no two of these numbers look alike which are not equal."""
    different = np.unique(numbers)
    texts = ({_written(number, d) for number in different} for d in range(DECIMALS, ALL_DECIMALS))
    enough = (d for d, seen in enumerate(texts, DECIMALS) if len(seen) == len(different))
    return next(enough, DECIMALS)


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
    return not _off(value, expected).any()


def _off(value: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Tell which numbers of two equal-shaped arrays differ by more than rounding."""
    rtol = TOLERANCE_16_BITS if expected.dtype == np.float16 else TOLERANCE
    finite = np.abs(expected[np.isfinite(expected)], dtype=float)
    near = np.isclose(value, expected, rtol=rtol, atol=rtol * finite.max(initial=1e-300), equal_nan=True)
    return np.asarray(~near)


def how_many_off(value: Any, expected: Any) -> str:
    """Say how many numbers of an array are off, and where the first few stand; nothing of a single number."""
    value, expected = stacked(value), np.asarray(expected)
    if not isinstance(value, np.ndarray) or not expected.ndim:
        return ""
    return "another shape" if value.shape != expected.shape else _counted(_off(value, expected))


def _counted(off: np.ndarray) -> str:
    many = int(off.sum())
    if off.size < 2 or not many:
        return ""
    if many == off.size:
        return f"all {many} numbers are off"
    places = ", ".join(f"[{', '.join(map(str, place))}]" for place in np.argwhere(off)[:FEW].tolist())
    return f"{many} of {off.size} numbers {'is' if many == 1 else 'are'} off: {places}{', …' if many > FEW else ''}"


def unpack(value: Any, named: Iterable[str]) -> list | None:
    """Return the named parts of a tuple, list, array or dict answer in order, or None if they are not all there."""
    parts = tuple(named)
    if isinstance(value, np.ndarray) and value.ndim:
        value = list(map(np.asarray, value))
    if isinstance(value, dict) and set(parts) <= set(value):
        return [value[part] for part in parts]
    return value if isinstance(value, list) and len(value) == len(parts) else None


def partly(value: Any, named: Iterable[str]) -> list:
    """Return what `unpack` does; of an answer that has not all parts, None for each that is not there."""
    parts = tuple(named)
    return unpack(value, parts) or [value.get(part) if isinstance(value, dict) else None for part in parts]


def difference(value: Any, expected: Any, part: str = "", guess: bool = True) -> Difference:
    """Say what was expected and what came, with shape when that is what differs; `guess` at rounding if it seems so."""
    value = stacked(value)
    if isinstance(value, np.ndarray) and value.shape == np.shape(expected) and not isinstance(expected, str):
        expected = np.asarray(expected)
        whole = guess and value.dtype.kind in "iu" and expected.dtype.kind == "f"
        remark = f"{value.dtype}: was something rounded, or stored in an array of whole numbers?" if whole else ""
        return _first_off(value, expected, _off(value, expected), part, remark)
    entry = Entry("", describe(plain(expected)), f"{describe(value)}{MISSING if value is None else ''}")
    return Difference(f"{_of(part)}expected {entry.expected}, came {entry.came}", part, (entry,))


def _of(part: str) -> str:
    return f"{part}: " if part else ""


def _first_off(
    value: np.ndarray, expected: np.ndarray, off: np.ndarray, part: str = "", remark: str = ""
) -> Difference:
    """Say what was expected and what came where they differ first, in so much as can be shown; and how many are off."""
    row: tuple[int, ...] = ()
    count = _counted(off)
    while value.ndim and value.size > MOST_SHOWN:
        i = int(off.reshape(len(off), -1).any(axis=1).argmax())
        row, value, expected, off = (*row, i), value[i], expected[i], off[i]
    came, right = shown_apart(value, expected, off)
    where = f"in {''.join(f'[{i}]' for i in row)} " if row else ""
    guess, many = f" ({remark})" if remark else "", f"; {count}" if count else ""
    words = f"{_of(part)}{where}expected {right}, came {came}{guess}{many}"
    note = "; ".join(filter(None, (count, remark)))
    return Difference(words, part, side_by_side(value, expected, off, row), note)


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
    if not isinstance(scaled, np.ndarray) or scaled.dtype.kind not in "fiu":
        return scaled
    end, size = np.log1p(HUGE / fine), np.abs(scaled)
    with np.errstate(over="ignore"):  # rounding may lead beyond the largest float
        number = np.where(size <= end, fine * np.expm1(np.minimum(size, end)), HUGE * np.exp(size - end))
    finite = np.minimum(number, np.finfo(float).max)
    return np.asarray(np.sign(scaled) * np.where(np.isinf(size), size, finite))


def difference_by_digits(scaled: Any, expected: np.ndarray, fine: float) -> Difference:
    """Say what was expected and what came of numbers on `by_digits`' scale: the first row that differs there."""
    if not isinstance(scaled, np.ndarray) or scaled.shape != expected.shape:
        return difference(from_digits(scaled, fine), from_digits(expected, fine))
    room = TOLERANCE * np.abs(expected[np.isfinite(expected)]).max(initial=0)
    off = ~np.isclose(scaled, expected, rtol=0, atol=room, equal_nan=True)
    return _first_off(from_digits(scaled, fine), from_digits(expected, fine), np.asarray(off))
