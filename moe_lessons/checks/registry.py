"""Finds the questions: every module or package `set_NN` in this one lists its own in `QUESTIONS`."""

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from moe_lessons.checks.question import Question


def modules() -> list[str]:
    """Return the names of the modules that list questions, in order: of a lesson, of its review, of its project."""
    found = (m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if m.name.startswith("set_"))
    names = sorted(found, key=lambda name: (name[:6], ("", "r", "p").index(name[6:])))
    return [f"moe_lessons.checks.{name}" for name in names]


@cache
def questions() -> dict[str, Question]:
    """Return every question of the course by its id, in order: "1.1", "1.2", ..."""
    found = [question for name in modules() for question in importlib.import_module(name).QUESTIONS]
    return {question.id: question for question in found}


def following(question: Question) -> Question | None:
    """Return the next question of the same set, or None after its last."""
    of_set = [other for other in questions().values() if other.set == question.set]
    after = [other.id for other in of_set].index(question.id) + 1
    return of_set[after] if after < len(of_set) else None
