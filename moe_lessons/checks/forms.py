"""The forms that answers have: numbers, a name, a dict of those. A form reads an answer, or says what it is not.

`read` returns the answer as it is judged, or a `Fault` when it has another form.
"""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from moe_lessons.checks.parts import Part
from moe_lessons.checks.values import MISSING, describe, plain, show, stacked
from moe_lessons.checks.verdicts import Facts, Fault, Mistake, filled


class Form(Protocol):
    """How an answer must look. `asks` says it in words: "a list of logits"."""

    @property
    def asks(self) -> str:
        """Return what is expected, in words."""

    def read(self, value: Any) -> Any:
        """Return the plain value as it is judged, or a `Fault`."""


@dataclass(frozen=True)
class Numbers:
    """An array of numbers that `fits`; what it is not, `unlike` may explain first (tests of the array).

    Their texts may hold {value}, {shape} and {came}. `returned`: by a function, so that None lets ask for a `return`.
    """

    asks: str
    fits: Callable[[np.ndarray], Any] = lambda array: True
    unlike: tuple[Mistake, ...] = ()
    returned: bool = False

    def read(self, value: Any) -> np.ndarray | Fault:
        """Return the array as floats, or a `Fault`."""
        array = stacked(value)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            return self._other(value)
        mistake = next((mistake for mistake in self.unlike if mistake.seen(array)), None)
        if mistake:
            facts = Facts(value=array, shape=array.shape, came=describe(array))
            return Fault(mistake.name, filled(mistake.why, facts))
        return array.astype(float) if self.fits(array) else self._other(value)

    def _other(self, value: Any) -> Fault:
        forgotten = MISSING if self.returned and value is None else ""
        return Fault(None, f"Expected {self.asks}. Came {describe(value)}{forgotten}.")


def row(
    asks: str, least: int = 1, most: float = np.inf, unlike: tuple[Mistake, ...] = (), returned: bool = False
) -> Numbers:
    """Return the form of a row of `least` to `most` finite numbers."""

    def fits(array: np.ndarray) -> bool:
        return array.ndim == 1 and least <= array.size <= most and bool(np.isfinite(array).all())

    return Numbers(asks, fits, unlike, returned)


@dataclass(frozen=True)
class Number:
    """One finite number from `low` to `high` (an array of one entry counts), whole, or one of some, if it must be."""

    asks: str
    low: float = -np.inf
    high: float = np.inf
    whole: bool = False
    among: tuple[float, ...] = ()

    def read(self, value: Any) -> float | int | Fault:
        """Return the number, or a `Fault`."""
        array = stacked(value)
        if not isinstance(array, np.ndarray) or array.size != 1 or array.dtype.kind not in "fiu":
            return self._other(value)
        number = float(array.reshape(()))
        if not np.isfinite(number) or not self.low <= number <= self.high or (self.whole and number != int(number)):
            return self._other(value)
        if self.among and number not in self.among:
            return self._other(value)
        return int(number) if self.whole else number

    def _other(self, value: Any) -> Fault:
        return Fault(None, f"Expected {self.asks}. Came {show(value)}.")


def whole(low: int, high: int) -> Number:
    """Return the form of a whole number from `low` to `high`; 5.0 is one."""
    return Number(f"a whole number from {low} to {high}", low, high, whole=True)


@dataclass(frozen=True)
class Name:
    """One of some names, whatever its capitals, spaces, hyphens and underscores."""

    names: tuple[str, ...]

    @property
    def asks(self) -> str:
        """Return what is expected, in words."""
        return f"one of {', '.join(map(repr, self.names))}"

    def read(self, value: Any) -> str | Fault:
        """Return the name as it is declared, or a `Fault`."""
        known = {_letters(name): name for name in self.names}
        if isinstance(value, str) and _letters(value) in known:
            return known[_letters(value)]
        return Fault(None, f"Expected {self.asks}. Came {show(value)}.")


def _letters(name: str) -> str:
    return "".join(name.lower().replace("-", " ").replace("_", " ").split())


@dataclass(frozen=True)
class Truth:
    """True or False: Python's, or the word."""

    asks: str = "True or False"

    def read(self, value: Any) -> bool | Fault:
        """Return the truth value, or a `Fault`."""
        if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind == "b":
            return bool(value)
        word = value.strip().lower() if isinstance(value, str) else ""
        return (
            word == "true" if word in ("true", "false") else Fault(None, f"Expected {self.asks}. Came {show(value)}.")
        )


@dataclass(frozen=True)
class Fields:
    """A dict that has at least these keys, each with a form of its own. It is read as a dict of these keys."""

    forms: Mapping[str, Form]

    @property
    def asks(self) -> str:
        """Return what is expected, in words."""
        return f"a dict with the keys {', '.join(map(repr, self.forms))}"

    def read(self, value: Any) -> dict[str, Any] | Fault:
        """Return all entries as their forms read them, or a `Fault` that tells of each that they cannot read."""
        if not isinstance(value, dict):
            return Fault(None, f"Expected {self.asks}. Came {describe(value)}.")
        found = {name: form.read(value[name]) for name, form in self.forms.items() if name in value}
        faults = {name: fault for name, fault in found.items() if isinstance(fault, Fault)}
        told = [f"{name!r}: {fault.why[:1].lower()}{fault.why[1:]}" for name, fault in faults.items()]
        if len(found) < len(self.forms):
            return Fault(None, "\n".join([f"Expected {self.asks}. Came {describe(value)}.", *told]))
        if not faults:
            return found
        first = next(iter(faults.values()))
        return Fault(first.name, "\n".join(told), first.seen)

    def rights(
        self, value: Any, expected: Mapping[str, Any], same: Callable[[Any, Any], Any], row: str = ""
    ) -> tuple[Part, ...]:
        """Tell which entries are right, each read by itself: beside one that is missing or unreadable, others count."""
        given = value if isinstance(value, dict) else {}
        parts: list[Part] = []
        for name, right in expected.items():
            form, whole_name = self.forms[name], f"{row}: {name}" if row else name
            if isinstance(form, Fields):
                parts += form.rights(given.get(name), right, same, whole_name)
            else:
                is_right = name in given and _is(form, given[name], right, same)
                parts.append(Part(whole_name, int(is_right), chance=chance(form), row=row))
        return tuple(parts)


def no_numbers(value: dict, expected: Mapping[str, Any]) -> list[str]:
    """Return a line on the entries of a dict that are missing, and one on each that is no number and no array."""
    missing, yours = [part for part in expected if part not in value], ", ".join(map(repr, value))
    keys, are = ("keys", "are") if len(missing) > 1 else ("key", "is")
    lines = [f"The {keys} {', '.join(map(repr, missing))} {are} missing; yours are {yours}."] if missing else []
    return lines + [
        f"{part!r}: expected {describe(plain(right))}, came {describe(value[part])}."
        for part, right in expected.items()
        if part in value and not isinstance(stacked(value[part]), np.ndarray)
    ]


def _is(form: Form, value: Any, right: Any, same: Callable[[Any, Any], Any]) -> bool:
    with contextlib.suppress(Exception):  # nothing that this form can look at
        came = form.read(value)
        return not isinstance(came, Fault) and bool(same(came, right))
    return False


def chance(form: Form) -> float:
    """Return how often a guess in this form is right: 1/3 for one of three names, 0 where guesses have no end."""
    if isinstance(form, Truth):
        return 1 / 2
    if isinstance(form, Name):
        return 1 / len(form.names)
    if isinstance(form, Number) and form.whole and np.isfinite([form.low, form.high]).all():
        return 1 / (form.high - form.low + 1)
    return math.prod(map(chance, form.forms.values())) if isinstance(form, Fields) else 0.0
