"""Which questions are asked: those of the course, or of some sets, and a teacher's own."""

import re
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from moe_lessons.checks.blocking import codes
from moe_lessons.checks.question import Question
from moe_lessons.checks.registry import questions
from moe_lessons.grading.session import described, probing_class
from moe_lessons.support.validation import refuse

Questions = dict[str, Question]

ID = re.compile(r"\d+[rp]?\.\w+")


def chosen(sets: list[str], private: Path | None = None) -> Questions:
    """Return the questions of these sets ("04"), of all when there are none, and those in a teacher's own file.

    Raises ValueError for a set that is not there and for a file that cannot be used, OSError when it cannot be read.
    """
    course = questions()
    there = {question.set for question in course.values()}
    for name in sets:
        if name not in there:
            raise refuse("set", name, f"one of {', '.join(sorted(there))}")
    wanted = {id: question for id, question in course.items() if not sets or question.set in sets}
    return wanted | (private_questions(private) if private else {})


def private_questions(path: Path) -> Questions:
    """Return the questions that a teacher's Python file lists in QUESTIONS, after trying each.

    Raises ValueError with the reason when one cannot be used, OSError when the file cannot be read.
    """
    path.read_bytes()
    try:
        listed = runpy.run_path(str(path), run_name=path.stem).get("QUESTIONS")
        own = None if listed is None else list(listed)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path} does not run: {type(error).__name__}: {error}") from error
    if own is None:
        raise ValueError(f"{path}: expected a list of questions under that name: QUESTIONS = (...)")
    if not own:
        raise refuse("QUESTIONS", own, f"at least one question in {path}")
    for question in own:
        _examine(question)
    return _distinct(own)


def _distinct(own: list[Question]) -> Questions:
    """Return the questions by id. Raises ValueError when an id is used twice, here or in the course."""
    used = Counter(questions().keys()) + Counter(question.id for question in own)
    for question in own:
        if used[question.id] > 1:
            raise refuse("id", question.id, 'an id of its own, such as "4.p1"')
    return {question.id: question for question in own}


def _examine(question: Any) -> None:
    """Raise ValueError unless this is a question that can be asked: right in form, and drawing the same from a seed."""
    if not isinstance(question, Question):
        raise refuse("QUESTIONS", question, "questions only: FunctionQuestion, ValuesQuestion or your own class")
    if not ID.fullmatch(question.id):
        raise refuse("id", question.id, 'the number of a set, a point and a name, such as "4.p1"')
    if not question.answer.isidentifier():
        raise refuse(f"answer of {question.id}", question.answer, "a name that Python accepts")
    if type(question.points) is not int or question.points < 1:
        raise refuse(f"points of {question.id}", question.points, "a whole number from 1")
    probing_class(question)
    for name in question.stands_for:
        if not _is_defined(name):
            raise refuse(f"stands_for of {question.id}", name, 'a function of the package, such as "routing.softmax"')
    try:
        first, again = (question.draw(np.random.default_rng(1)) for _ in range(2))
        described(question, first)
    except Exception as error:
        raise ValueError(f"draw of {question.id} fails: {type(error).__name__}: {error}") from error
    if repr(first) != repr(again):
        raise refuse(f"draw of {question.id}", first, "the same data from the same `rng`: marks must not change")


def _is_defined(name: str) -> bool:
    """Tell whether the package defines a function or class: "routing.softmax"."""
    try:
        return bool(codes(name))
    except (ValueError, ImportError):
        return False
