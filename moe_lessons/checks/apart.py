"""Draws that tell mistakes apart: none comes to what is right in all cases, nor to what another comes to."""

from typing import Any

import numpy as np

from moe_lessons.checks.question import FunctionQuestion
from moe_lessons.checks.values import plain, stacked

DIGITS = 5  # of the largest number: what `agree` takes for equal


def told_apart(question: FunctionQuestion, cases: list[tuple]) -> bool:
    """Tell whether what is right and all known mistakes differ from one another in at least one of the cases.

    Compared are mistakes that have a value, with those of the same part. The ways to make one and the same mistake may
    come to the same.
    """
    right = [question.reference(*case) for case in cases]
    by_part = {part: [e[i] for e in right] for i, part in enumerate(question.parts)} or {"": right}
    names: dict[tuple, str | None] = {(part, _rounded(values)): None for part, values in by_part.items()}
    for mistake in question.known_mistakes:
        if mistake.wrong:
            came = mistake.part, _rounded([mistake.wrong(*case) for case in cases])
            if names.setdefault(came, mistake.name) != mistake.name:
                return False
    return True


def _rounded(values: list) -> tuple:
    """Return the shapes and the leading digits of values, as something that can be looked up."""
    return tuple(map(_leading, values))


def _leading(value: Any) -> tuple:
    array = np.asarray(stacked(plain(value)), dtype=float)
    scale = np.abs(array[np.isfinite(array)]).max(initial=0) or 1.0
    return array.shape, f"{scale:.{DIGITS}g}", (np.round(array / scale, DIGITS) + 0.0).tobytes()
