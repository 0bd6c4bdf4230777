"""Finds the questions: every module or package `set_NN` in this one lists its own in `QUESTIONS`."""

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from moe_lessons.checks.question import Question


@cache
def questions() -> dict[str, Question]:
    """Return every question of the course by its id, in order: "1.1", "1.2", ..."""
    modules = sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if m.name.startswith("set_"))
    found = [q for name in modules for q in importlib.import_module(f"moe_lessons.checks.{name}").QUESTIONS]
    return {question.id: question for question in found}
