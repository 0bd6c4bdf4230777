"""The tables: a row for each file and a row for each learner, as CSV and JSON, always in the same order."""

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import moe_lessons
from moe_lessons.grading.grade import clean
from moe_lessons.grading.learners import Learner, learners
from moe_lessons.grading.questions import Questions
from moe_lessons.grading.records import Ended, Mark, Record

# A spreadsheet takes a cell that begins with such a sign for a formula, and would run what a learner wrote. It may
# begin a cell at each ";", too, or at each ",", quoted or not: that depends on the language it is set to.
FORMULA = re.compile(r'(^|[,;])([ "]*)(?=[=+\-@＝＋－＠])')
MOST_TEXT = 30_000  # signs; a cell of Excel takes 32 767


@dataclass(frozen=True)
class Results:
    """The records of a folder, in the order of their files, and the questions that any of them was asked.

    whose: the learner of each file.
    """

    records: tuple[Record, ...]
    questions: Questions
    whose: dict[str, Learner]

    @classmethod
    def of(cls, records: Iterable[Record], questions: Questions, files: Iterable[str] = ()) -> "Results":
        """Return the results in order; a question that no file was asked is left out.

        files: all that are in the folder. Whose a file is can be told from what lies beside it.
        """
        records = list(records)
        whose = learners([*files, *(record.file for record in records)])
        named = [replace(record, learner=whose[record.file].name) for record in records]
        ordered = tuple(sorted(named, key=lambda record: record.file))
        asked = {mark.question for record in ordered for mark in record.marks}
        return cls(ordered, {id: question for id, question in questions.items() if id in asked}, whose)

    @property
    def troubled(self) -> list[Record]:
        """Return the records that did not end well."""
        return [record for record in self.records if record.ended != Ended.OK]

    @property
    def possible(self) -> dict[str, int]:
        """Return, set by set in order, how many points its questions give."""
        points: dict[str, int] = {}
        for question in self.questions.values():
            points[question.set] = points.get(question.set, 0) + question.points
        return dict(sorted(points.items()))

    def by_learner(self) -> dict[Learner, dict[str, Mark]]:
        """Return, learner by learner, the best mark of each question over all files of theirs, in order of names."""
        best: dict[Learner, dict[str, Mark]] = {}
        for record in self.records:
            marks = best.setdefault(self.whose[record.file], {})
            for mark in record.marks:
                marks[mark.question] = max(marks.get(mark.question, mark), mark, key=lambda m: m.points)
        return dict(sorted(best.items()))

    def totals(self, name: str) -> dict[Learner, int | None]:
        """Return the points of every learner in one exercise set: None, never a zero, where nothing was marked."""
        of_set = {
            who: [mark.points for id, mark in marks.items() if self.questions[id].set == name]
            for who, marks in self.by_learner().items()
        }
        return {who: sum(points) if points else None for who, points in of_set.items()}


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
