"""What the widgets that draw in the browser share in Python: traits that check their values, and the colours."""

import json
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import traitlets

from moe_lessons.figures.palette import EXPERTS, FAINT_INK, INK, PAPER, RULE
from moe_lessons.support.validation import float_array, one_of, refuse, whole_number

# From the name of an argument and a value to the value that is kept; raises ValueError for a bad one.
Check = Callable[[str, Any], Any]

# For the tag of a large trait that never changes: it travels and is saved as one line of text. A saved notebook gives
# every number of a list a line of its own, and puts the keys of a dict into alphabetical order.
AS_TEXT = {
    "to_json": lambda value, _widget: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    "from_json": lambda text, _widget: json.loads(text),
}

COLOURS = {"ink": INK, "faint": FAINT_INK, "paper": PAPER, "rule": RULE, "experts": list(EXPERTS)}


class RefusedStateError(traitlets.TraitError, ValueError):
    """A value that does not fit: traitlets restores the old state, the caller sees a ValueError."""


class Checked(traitlets.TraitType[Any, Any]):
    """A trait that keeps what `check` returns for a value, and refuses what it raises a ValueError for."""

    def __init__(self, check: Check) -> None:
        super().__init__()
        self.check = check

    def validate(self, _obj: Any, value: Any) -> Any:
        """Return the value to keep."""
        try:
            return self.check(self.name or "value", value)
        except ValueError as error:
            raise RefusedStateError(str(error)) from None


def vector(length: int, reach: float) -> Check:
    """Accept `length` numbers from −reach to reach; keep them as a list, which the browser can read."""

    def check(name: str, value: Any) -> list[float]:
        numbers = float_array(name, value)  # (length,)
        if numbers.shape != (length,) or np.abs(numbers).max(initial=0) > reach:
            raise refuse(name, value, f"{length} numbers from {-reach:g} to {reach:g}")
        return numbers.tolist()

    return check


def number(low: float, high: float) -> Check:
    """Accept a number from `low` to `high`; keep it as a float."""

    def check(name: str, value: Any) -> float:
        is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise refuse(name, value, f"a number from {low:g} to {high:g}")
        return float(value)

    return check


def count(least: int, most: int) -> Check:
    """Accept a whole number from `least` to `most`."""
    return lambda name, value: whole_number(name, value, least=least, most=most)


def choice_of(choices: Collection[str]) -> Check:
    """Accept one of the words in `choices`."""
    return lambda name, value: one_of(name, value, choices)
