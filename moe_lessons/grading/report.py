"""The tables: a row for each file and a row for each learner, as CSV and JSON, always in the same order."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import moe_lessons
from moe_lessons.grading.learners import Learner, learner
from moe_lessons.grading.questions import Questions
from moe_lessons.grading.records import Ended, Mark, Record

# A spreadsheet takes a cell that begins like this for a formula, and would run what a learner wrote.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # fmt: skip


@dataclass(frozen=True)
class Results:
    """The records of a folder, in the order of their files, and the questions that any of them was asked."""

    records: tuple[Record, ...]
    questions: Questions

    @classmethod
    def of(cls, records: Iterable[Record], questions: Questions) -> "Results":
        """Return the results in order; a question that no file was asked is left out."""
        ordered = tuple(sorted(records, key=lambda record: record.file))
        asked = {mark.question for record in ordered for mark in record.marks}
        return cls(ordered, {id: question for id, question in questions.items() if id in asked})

    @property
    def troubled(self) -> list[Record]:
        """Return the records that did not end well."""
        return [record for record in self.records if record.ended != Ended.OK]

    def by_learner(self) -> dict[Learner, dict[str, Mark]]:
        """Return, learner by learner, the best mark of each question over all files of theirs, in order of names."""
        best: dict[Learner, dict[str, Mark]] = {}
        for record in self.records:
            marks = best.setdefault(learner(record.file), {})
            for mark in record.marks:
                marks[mark.question] = max(marks.get(mark.question, mark), mark, key=lambda m: m.points)
        return dict(sorted(best.items()))


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
    """Say why a file has not all points: how it ended, then question by question, in a few words each."""
    missed = [mark for mark in record.marks if mark.points < mark.possible]
    named = [f"{mark.question} {mark.status}" + (f" ({mark.mistake})" if mark.mistake else "") for mark in missed]
    return [record.reason, *named] if record.reason else named


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
    }
    return (json.dumps(whole, indent=1) + "\n").encode()


def canvas_csv(results: Results) -> bytes:
    """Return what Canvas imports: a row for each learner, a column for each set, best points of every question.

    A set of which nothing was marked stays empty. It is never a zero.
    """
    sets = sorted({question.set for question in results.questions.values()})
    known = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    possible = [sum(q.points for q in results.questions.values() if q.set == name) for name in sets]
    rows: list[list[Any]] = [[*known, *(f"Exercises {name}" for name in sets)]]
    rows.append(["Points Possible", "", "", "", "", *possible])
    for who, marks in results.by_learner().items():
        points = [_points(marks[id] for id in marks if results.questions[id].set == name) for name in sets]
        rows.append([who.name, who.canvas, "", "", "", *points])
    return _csv(rows)


def moodle_csv(results: Results) -> bytes | None:
    """Return Moodle's grading worksheet of one assignment, or None where no file comes from Moodle."""
    head = ["Identifier", "Full name", "Grade", "Maximum grade", "Last modified (grade)"]
    possible = sum(question.points for question in results.questions.values())
    rows = [
        [f"Participant {who.moodle}", who.name, _points(marks.values()), possible, ""]
        for who, marks in results.by_learner().items()
        if who.moodle
    ]
    return _csv([head, *rows]) if rows else None


def _points(marks: Iterable[Mark]) -> int | str:
    """Add up points; no marks at all are no zero."""
    marks = list(marks)
    return sum(mark.points for mark in marks) if marks else ""


def failed(record: Record) -> bool:
    """Tell whether grading itself broke down: such a file is worth another try."""
    return record.ended is Ended.KILLED and not record.marks


def _csv(rows: list[list[Any]]) -> bytes:
    """Write rows. The mark at the beginning tells Excel that this is UTF-8."""
    text = io.StringIO()
    csv.writer(text).writerows([[_harmless(cell) for cell in row] for row in rows])
    return text.getvalue().encode("utf-8-sig", "backslashreplace")


def _harmless(cell: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would run."""
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(FORMULA) else cell
