"""The forms that answers have: numbers, a name, a dict of those. A form reads an answer, or says what it is not.

`read` returns the answer as it is judged, or a `Fault` when it has another form.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from moe_lessons.checks.values import MISSING, describe, show, stacked
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
        """Return all entries as their forms read them, or the first `Fault`."""
        if not isinstance(value, dict) or not set(self.forms) <= set(value):
            return Fault(None, f"Expected {self.asks}. Came {describe(value)}.")
        found = {name: form.read(value[name]) for name, form in self.forms.items()}
        faults = [(name, fault) for name, fault in found.items() if isinstance(fault, Fault)]
        if not faults:
            return found
        name, fault = faults[0]
        return Fault(fault.name, f"{name!r}: {fault.why[:1].lower()}{fault.why[1:]}", fault.seen)
