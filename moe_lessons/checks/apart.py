"""Draws that tell mistakes apart: none comes to what is right in all cases, nor to what another comes to."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from moe_lessons.checks.question import FunctionQuestion
from moe_lessons.checks.values import plain, stacked

DIGITS = 5  # of the largest number: what `agree` takes for equal

Ways = tuple[Callable[..., Any], ...]  # the ways to make one mistake: each takes a case


def told_apart(mistakes: Mapping[str, Ways], cases: list[tuple[Any, ...]]) -> bool:
    """Tell whether no two mistakes come to the same in all cases. Two ways to make one mistake may."""
    made_by: dict[tuple, str] = {}
    for mistake, ways in mistakes.items():
        for way in ways:
            came = tuple(_leading(way(*case)) for case in cases)
            if made_by.setdefault(came, mistake) != mistake:
                return False
    return True


def tells_apart(question: FunctionQuestion, cases: list[tuple[Any, ...]]) -> bool:
    """Tell whether what is right and the known mistakes that have a value are told apart, part by part."""
    return all(told_apart(mistakes, cases) for mistakes in _by_part(question))


def _by_part(question: FunctionQuestion) -> Iterator[dict[str, Ways]]:
    """Yield what is right and the mistakes of each part, then the mistakes of the whole."""
    for number, part in enumerate((*question.parts, "")):
        made: dict[str, Ways] = {"right": (_reference(question, number),)} if part or not question.parts else {}
        for mistake in question.known_mistakes:
            if mistake.name and mistake.wrong and mistake.part == part:
                made[mistake.name] = (*made.get(mistake.name, ()), mistake.wrong)
        yield made


def _reference(question: FunctionQuestion, number: int) -> Callable[..., Any]:
    return lambda *case: question.reference(*case)[number] if question.parts else question.reference(*case)


def _leading(value: Any) -> tuple:
    """Return the shape and the leading digits of a value, as something that can be looked up."""
    array = np.asarray(stacked(plain(value)), dtype=float)
    scale = np.abs(array[np.isfinite(array)]).max(initial=0) or 1.0
    return array.shape, f"{scale:.{DIGITS}g}", (np.round(array / scale, DIGITS) + 0.0).tobytes()
