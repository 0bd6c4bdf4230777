"""A question that many answers are tried on: what it draws from a seed, and computes of a case, it does once."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from moe_lessons.checks.question import CalledQuestion, FunctionQuestion, Question
from moe_lessons.checks.verdicts import Mistake


def remembered(question: Question) -> Question:
    """Return the question, which draws, knows what is right and makes each known mistake once for the same case.

    An answer is called on copies, so none changes a case for the next one.
    """
    if not isinstance(question, CalledQuestion):
        return question
    question = replace(question, cases=drawn_once(question.cases))
    if not isinstance(question, FunctionQuestion):
        return question
    parts = question.parts
    if isinstance(parts, Mapping):
        parts = {part: made_once(mistakes) for part, mistakes in parts.items()}
    return replace(question, reference=once(question.reference), mistakes=made_once(question.mistakes), parts=parts)


def made_once(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """Return the mistakes, each made once for the same case."""
    return tuple(replace(mistake, wrong=mistake.wrong and once(mistake.wrong)) for mistake in mistakes)


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, called once for the same objects; it keeps them, so that no other gets their ids."""
    known: dict[tuple[int, ...], tuple] = {}

    def asked(*arguments: Any) -> Any:
        key = tuple(map(id, arguments))
        if key not in known:
            known[key] = (arguments, function(*arguments))
        return known[key][1]

    return asked


def drawn_once(cases: Callable[[np.random.Generator], list[tuple]]) -> Callable[[np.random.Generator], list[tuple]]:
    """Return what draws the cases once for the same state of the generator, and leaves it in the state after."""
    known: dict[str, tuple] = {}

    def drawn(rng: np.random.Generator) -> list[tuple]:
        before = repr(rng.bit_generator.state)
        if before not in known:
            known[before] = (cases(rng), rng.bit_generator.state)
        found, rng.bit_generator.state = known[before]
        return list(found)

    return drawn
