"""What a teacher declares about marks, in one file that no run writes: points, a late rule, overrides and comments."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from moe_lessons.checks.question import SET_NUMBER, set_name
from moe_lessons.grading.downloads import tidy
from moe_lessons.grading.questions import Questions
from moe_lessons.support.declared import Place, opened

FILE = "marking.toml"  # beside the folder of submissions: in it, it might be a learner's
PARTIAL = ("parts", "cases", "none")
LEARNER = "a name as in the column learner of the table of marks"


@dataclass(frozen=True)
class Late:
    """What being late costs: `per_day` of the points for each day that has begun, `most` of them in all.

    due: by set, "" for all. days: by learner, given by the teacher: for all sets, or by set.
    """

    per_day: float = 0.0
    most: float = 1.0
    grace: timedelta = timedelta()
    due: Mapping[str, datetime] = field(default_factory=dict)
    days: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def cost(self, days: float) -> float:
        """Return the share of the points that is lost."""
        return min(self.most, self.per_day * days)

    def days_after(self, when: datetime, of_set: str) -> int:
        """Return how many days after it was due something came; a day that has begun is one."""
        due = self.due.get(of_set, self.due.get(""))
        over = when - due if due else timedelta()
        return -(-over // timedelta(days=1)) if over > self.grace else 0


@dataclass(frozen=True)
class Override:
    """A teacher's points for one question of one learner, in place of those found, and why."""

    learner: str
    question: str
    points: float
    reason: str


@dataclass(frozen=True)
class Comment:
    """A teacher's words to a learner; to one question, or to all."""

    learner: str
    text: str
    question: str = ""


@dataclass(frozen=True)
class Marking:
    """All that is declared. partial: what of a wrong answer earns points, right parts, right cases, or nothing."""

    partial: str = "parts"
    points: Mapping[str, float] = field(default_factory=dict)
    late: Late = field(default_factory=Late)
    overrides: tuple[Override, ...] = ()
    comments: tuple[Comment, ...] = ()


def named(learner: str) -> str:
    """Return a learner's name as it is compared: whatever its capitals and spaces."""
    return tidy(learner).casefold()


def read_marking(file: Path, questions: Questions) -> Marking:
    """Return what a file declares about these questions. Raises OSError, and ValueError that says where and what."""
    top = opened(file).table(("partial", "points", "late", "override", "comment"))
    points = _points(top["points"], questions) if "points" in top else {}
    read: dict[str, Callable[[Place], Any]] = {
        "partial": lambda place: place.choice(PARTIAL),
        "late": _late,
        "override": lambda place: _distinct(place, lambda row: _override(row, questions, points)),
        "comment": lambda place: _distinct(place, lambda row: _comment(row, questions)),
    }
    said = {key: read[key](place) for key, place in top.items() if key in read}
    plural = {"override": "overrides", "comment": "comments"}
    return Marking(points=points, **{plural.get(key, key): value for key, value in said.items()})


def _points(place: Place, questions: Questions) -> dict[str, float]:
    return {_known(points, id, questions): points.number() for id, points in place.table().items()}


def _known(place: Place, id: Any, questions: Questions) -> str:
    """Return a question's id. Raises ValueError for one that there is not."""
    if id not in questions:
        example = next(iter(questions))
        raise place.wrong(f'a question in quotation marks, such as "{example}" (one of your own needs --private)')
    return str(id)


def _late(place: Place) -> Late:
    read: dict[str, Callable[[Place], Any]] = {
        "due": lambda due: _by_set(due, Place.moment),
        "per_day": Place.share,
        "most": Place.share,
        "grace_minutes": lambda minutes: timedelta(minutes=minutes.number(0, 10_000)),
        "days": lambda days: {who: _by_set(known, Place.number) for who, known in days.table().items()},
    }
    said = {key: read[key](value) for key, value in place.table(tuple(read)).items()}
    return Late(**{"grace" if key == "grace_minutes" else key: value for key, value in said.items()})


def _by_set(place: Place, read: Callable[[Place], Any]) -> dict[str, Any]:
    """Return what holds for all sets, under "", or for each: due = {"04" = 2026-11-20, "05" = 2026-11-27}."""
    if not isinstance(place.value, dict):
        return {"": read(place)}
    return {_set(inside, name): read(inside) for name, inside in place.table().items()}


def _set(place: Place, name: str) -> str:
    if not re.fullmatch(SET_NUMBER, set_name(name)):
        raise place.wrong('the number of a set, such as "04"')
    return set_name(name)


def _override(row: Place, questions: Questions, points: Mapping[str, float]) -> Override:
    known = ("learner", "question", "points", "reason")
    table = row.table(known, needed=known)
    id = _known(table["question"], table["question"].value, questions)
    most = points.get(id, questions[id].points)
    who = table["learner"].words(LEARNER)
    return Override(who, id, table["points"].number(0, most), table["reason"].words())


def _comment(row: Place, questions: Questions) -> Comment:
    table = row.table(("learner", "question", "text"), needed=("learner", "text"))
    id = _known(table["question"], table["question"].value, questions) if "question" in table else ""
    who = table["learner"].words(LEARNER)
    return Comment(who, table["text"].words(), id)


def _distinct(place: Place, read: Callable[[Place], Any]) -> tuple[Any, ...]:
    """Return what rows say. Raises ValueError where two are about the same question of the same learner."""
    seen: dict[tuple[str, str], Any] = {}
    for row in place.rows():
        said = read(row)
        about = (named(said.learner), said.question)
        if about in seen:
            raise row.table()["learner"].wrong(f"one [[{row.keys[0]}]] for a learner and a question; this is another")
        seen[about] = said
    return tuple(seen.values())
