"""What grading finds, as plain data: a mark for each question, a record for each submission."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from moe_lessons.checks.parts import Part


class Ended(StrEnum):
    """How grading one submission ended."""

    OK = "ok"
    PARTIAL = "partial"
    UNREADABLE = "unreadable"
    TIMED_OUT = "timed out"
    KILLED = "killed"


@dataclass(frozen=True)
class Mark:
    """The mark of one question, with the verdict as the learner would have seen it.

    status: a `checks.engine.Status`. mistake: the name of the misconception that was recognised, if one was.
    parts: what is right in an answer that is not. claimed: the notebook's own saved output says "correct".
    comment: a teacher's words. by_hand: a teacher's points, in place of those found.
    """

    question: str
    status: str
    points: float
    possible: float
    message: str = ""
    mistake: str | None = None
    parts: tuple[Part, ...] = ()
    claimed: bool = False
    comment: str = ""
    by_hand: bool = False


@dataclass(frozen=True)
class Record:
    """One graded file. file: its path inside the folder of submissions. digest: SHA-256 of its bytes, in hex.

    reason: why it did not end "ok". notes: what was passed over (magics, shell lines, cells that raised), in words; of
    a notebook of the course's own, which has no marks, what it is.
    seconds: of CPU time that its code used.
    comment: a teacher's words. late: that it is late, and what this costs, in words.
    """

    file: str
    learner: str
    digest: str
    ended: Ended
    reason: str = ""
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    comment: str = ""
    late: str = ""

    @property
    def total(self) -> float:
        """Return the points of all questions."""
        return rounded(sum(mark.points for mark in self.marks))

    @property
    def possible(self) -> float:
        """Return the points that could be had."""
        return rounded(sum(mark.possible for mark in self.marks))

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return asdict(self) | {"ended": str(self.ended)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Record":
        """Return the record that `as_json` wrote. Raises KeyError or TypeError for anything else."""
        marks = tuple(Mark(**mark | {"parts": tuple(Part(**part) for part in mark["parts"])}) for mark in data["marks"])
        return cls(**data | {"ended": Ended(data["ended"]), "marks": marks, "notes": tuple(data["notes"])})


def rounded(points: float) -> float:
    """Return points with two decimals at most; a whole number without any."""
    near = round(points, 2)
    return int(near) if near == int(near) else near
