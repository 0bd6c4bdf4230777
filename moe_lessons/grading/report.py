"""The tables: a row for each file and a row for each learner, as CSV and JSON, always in the same order."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import moe_lessons
from moe_lessons.checks.attempt import Status
from moe_lessons.grading.grade import clean
from moe_lessons.grading.learners import Learner, learners
from moe_lessons.grading.marking import Marking
from moe_lessons.grading.questions import Questions
from moe_lessons.grading.records import Ended, Mark, Record, rounded
from moe_lessons.grading.roster import Person, matched
from moe_lessons.grading.scoring import UNKNOWN, People, scored

# A spreadsheet takes a cell that begins with such a sign for a formula, and would run what a learner wrote. It may
# begin a cell at each ";", too, or at each ",", quoted or not: that depends on the language it is set to.
FORMULA = re.compile(r'(^|[,;])([ "]*)(?=[=+\-@＝＋－＠])')
MOST_TRIES = 5  # notebooks of one learner in one set: more may be a class in a folder that looks like a learner's
MOST_TEXT = 30_000  # signs; a cell of Excel takes 32 767


@dataclass(frozen=True)
class Results:
    """The records of a folder at their worth, in the order of their files, and the questions any of them was asked.

    whose: the learner of each file. roster: who each of the class is among the learners; nobody, for who is missing.
    problems: what a teacher wrote that is about nobody here.
    """

    records: tuple[Record, ...]
    questions: Questions
    whose: dict[str, Learner]
    roster: dict[Person, list[Learner]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        records: Iterable[Record],
        questions: Questions,
        files: Iterable[str] = (),
        marking: Marking | None = None,
        roster: Iterable[Person] = (),
    ) -> "Results":
        """Return the results in order; a question that no file was asked is left out.

        files: all that are in the folder. Whose a file is can be told from what lies beside it.
        """
        records, marking, roster = list(records), marking or Marking(), list(roster)
        whose = learners([*files, *(record.file for record in records)])
        found = matched(roster, set(whose.values()))
        people = People(whose, [(person.name, who) for who, person in found.items()])
        ordered = tuple(scored(records, questions, marking, people))
        asked = {mark.question for record in ordered for mark in record.marks}
        worth: dict[str, Any] = {id: marking.points.get(id, questions[id].points) for id in questions if id in asked}
        weighed = {id: replace(questions[id], points=points) for id, points in worth.items()}
        on = {person: sorted(who for who, other in found.items() if other == person) for person in roster}
        return cls(ordered, weighed, whose, on, tuple(people.problems))

    @property
    def strangers(self) -> list[Learner]:
        """Return the learners who are on no list of the class, where there is one."""
        known = {who for names in self.roster.values() for who in names}
        return sorted({*self.whose.values()} - known) if self.roster else []

    @property
    def crowds(self) -> list[tuple[Learner, int]]:
        """Return the learners with so many notebooks of one set that they may be several people, and how many."""
        about = {(r.file, self.questions[mark.question].set) for r in self.records for mark in r.marks}
        sets = [(self.whose[file], of_set) for file, of_set in about]
        return [(who, count) for (who, _), count in sorted(Counter(sets).items()) if count > MOST_TRIES]

    @property
    def missing(self) -> list[Person]:
        """Return who of the class has handed in no notebook, in the order of the list."""
        return [person for person, names in self.roster.items() if not names]

    @property
    def troubled(self) -> list[Record]:
        """Return the records that did not end well."""
        return [record for record in self.records if record.ended != Ended.OK]

    @property
    def possible(self) -> dict[str, float]:
        """Return, set by set in order, how many points its questions give."""
        points: dict[str, float] = {}
        for question in self.questions.values():
            points[question.set] = points.get(question.set, 0) + question.points
        return {name: rounded(points[name]) for name in sorted(points)}

    def by_learner(self) -> dict[Learner, dict[str, Mark]]:
        """Return, learner by learner, the best mark of each question over all files of theirs, in order of names."""
        best: dict[Learner, dict[str, Mark]] = {}
        for record in self.records:
            marks = best.setdefault(self.whose[record.file], {})
            for mark in record.marks:
                marks[mark.question] = max(marks.get(mark.question, mark), mark, key=lambda m: m.points)
        return dict(sorted(best.items()))

    def totals(self, name: str) -> dict[Learner, float | None]:
        """Return the points of every learner in one exercise set: None, never a zero, where nothing was marked."""
        of_set = {
            who: [mark.points for id, mark in marks.items() if self.questions[id].set == name]
            for who, marks in self.by_learner().items()
        }
        return {who: rounded(sum(points)) if points else None for who, points in of_set.items()}


def marks_csv(results: Results) -> bytes:
    """Return a row for each file: learner, file, status, points by question, total, possible, reasons, notes."""
    head = ["learner", "file", "status", *results.questions, "total", "possible", "reasons", "notes"]
    return _csv([head, *(_row(record, results.questions) for record in results.records)])


def _row(record: Record, questions: Questions) -> list[Any]:
    points = {mark.question: mark.points for mark in record.marks}
    return [
        record.learner,
        record.file,
        str(record.ended),
        *(points.get(id, "") for id in questions),
        record.total if record.marks else "",
        record.possible if record.marks else "",
        "; ".join(reasons(record)),
        "; ".join(record.notes),
    ]


def reasons(record: Record) -> list[str]:
    """Say why a file has not all points: how it ended, how late it is, then question by question, in a few words."""
    missed = [mark for mark in record.marks if mark.status != Status.CORRECT or mark.by_hand]
    return [*filter(None, (record.reason, record.late)), *map(_why, missed)]


def _why(mark: Mark) -> str:
    """Say of a mark how it came about: "4.2 not yet (zeros), right: load, cv in 2 of 3 cases"."""
    if mark.by_hand:
        return f"{mark.question} by hand: {mark.comment}"
    words = f"{mark.question} {mark.status}" + (f" ({mark.mistake})" if mark.mistake else "")
    right = in_part(mark)
    return words + (f", right: {right}" if right else "") + (CLAIMED if doubtful(mark) else "")


CLAIMED = ", though the notebook's own output says correct"


def doubtful(mark: Mark) -> bool:
    """Tell a mark that a person should look at: not correct, though the notebook's own output says that it was."""
    return mark.claimed and mark.status != Status.CORRECT and not mark.by_hand


def doubts(results: Results) -> list[tuple[str, str, str]]:
    """Return what a person should look at: (learner, file, what). Saved outputs vouch for nothing, and may be right."""
    seen = []
    for record in results.records:
        ids = [mark.question for mark in record.marks if doubtful(mark)]
        words = [f"{', '.join(ids)}: not correct{CLAIMED}"] if ids else []
        words += [record.late] if UNKNOWN in record.late else []
        seen += [(record.learner, record.file, what) for what in words]
    return seen


def in_part(mark: Mark) -> str:
    """Say what in an answer is right though it is not correct: "load, cv in 2 of 3 cases"."""
    parts = [part for part in mark.parts if part.right]
    if mark.status != Status.NOT_YET or all(part.right == part.of for part in mark.parts):
        return ""
    some = {part: f" in {part.right} of {part.of} cases" if part.right < part.of else "" for part in parts}
    return ", ".join((part.name + cases).strip() for part, cases in some.items())


def marks_json(results: Results, passed_over: list[str]) -> bytes:
    """Return all that is known, for programs. Not the CPU seconds: two runs write the same file."""
    asked = {
        id: {"title": question.title, "set": question.set, "possible": question.points}
        for id, question in results.questions.items()
    }
    submissions = [
        {key: value for key, value in record.as_json().items() if key != "seconds"}
        | {"total": record.total, "possible": record.possible}
        for record in results.records
    ]
    whole = {
        "course": moe_lessons.__version__,
        "questions": asked,
        "submissions": submissions,
        "passed_over": passed_over,
        "missing": [person.name for person in results.missing],
        "problems": list(results.problems),
    }
    return (json.dumps(whole, indent=1) + "\n").encode()


def roster_csv(results: Results) -> bytes:
    """Return a row for each of the class: who that is among the learners, and points by set, or that nothing came.

    Below them the learners that are not on the list.
    """
    totals = {name: results.totals(name) for name in results.possible}
    rows: list[list[Any]] = [["name", "learner", "notebooks", *(f"Exercises {name}" for name in totals), "remark"]]
    for person, names in [*results.roster.items(), *((None, [who]) for who in results.strangers)]:
        files = [file for file, who in results.whose.items() if who in names]
        points = [_best(of_set, names) for of_set in totals.values()]
        remarks = {
            "not on the roster": not person,
            "under several names": len(names) > 1,
            "missing": not files,
            "no marks": files and not any(p is not None for p in points),
        }
        who = ", ".join(who.name for who in names)
        said = ", ".join(words for words, so in remarks.items() if so)
        rows.append([person.name if person else "", who, len(files), *points, said])
    return _csv(rows)


def _best(points: dict[Learner, float | None], names: list[Learner]) -> float | None:
    """Return the most points that a person has under any name; None where nothing was marked."""
    return max((known for who in names if (known := points.get(who)) is not None), default=None)


def canvas_csv(results: Results) -> bytes:
    """Return what Canvas imports: a row for each learner, a column for each set, best points of every question.

    A set of which nothing was marked stays empty. It is never a zero.
    """
    possible = results.possible
    totals = [results.totals(name) for name in possible]
    known = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    rows: list[list[Any]] = [[*known, *(f"Exercises {name}" for name in possible)]]
    rows.append(["Points Possible", "", "", "", "", *possible.values()])
    for who in results.by_learner():
        rows.append([who.name, who.canvas, "", "", "", *(points[who] for points in totals)])
    return _csv(rows)


def moodle_csvs(results: Results) -> dict[str, bytes]:
    """Return Moodle's grading worksheet, set by set: one is for one assignment, with the maximum of that.

    A row for each learner from Moodle who has marks in the set; a set without such a learner has no worksheet.
    """
    head = ["Identifier", "Full name", "Grade", "Maximum grade", "Last modified (grade)"]
    sheets = {}
    for name, possible in results.possible.items():
        points = {who: of_set for who, of_set in results.totals(name).items() if who.moodle and of_set is not None}
        rows = [[f"Participant {who.moodle}", who.name, points[who], possible, ""] for who in points]
        if rows:
            sheets[name] = _csv([head, *rows])
    return sheets


def failed(record: Record) -> bool:
    """Tell whether grading itself broke down: such a file is worth another try."""
    return record.ended is Ended.KILLED and not record.marks


def _csv(rows: list[list[Any]]) -> bytes:
    """Write rows. The mark at the beginning tells Excel that this is UTF-8."""
    text = io.StringIO()
    csv.writer(text).writerows([[_harmless(cell) for cell in row] for row in rows])
    return text.getvalue().encode("utf-8-sig")


def _harmless(cell: Any) -> Any:
    """Put an apostrophe wherever a spreadsheet may begin a cell with what it would run."""
    return FORMULA.sub(r"\1\2'", one_line(cell)) if isinstance(cell, str) else cell


def one_line(text: str) -> str:
    """Return a stranger's text for a cell or a terminal: one line of signs that can be seen."""
    return re.sub(r"[\n\t]", " ", clean(text, MOST_TEXT))
