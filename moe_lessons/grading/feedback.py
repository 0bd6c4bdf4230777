"""The page that a learner gets back: each verdict as it would have been seen, its points, and where to look."""

from html import escape

from moe_lessons.checks.attempt import Status
from moe_lessons.checks.question import Question
from moe_lessons.grading.page import document
from moe_lessons.grading.questions import Questions
from moe_lessons.grading.records import Ended, Mark, Record
from moe_lessons.grading.report import doubtful, failed, in_part
from moe_lessons.support.markup import prose, tag

SIGN = {Status.CORRECT: "✓", Status.NOT_ATTEMPTED: "·"}

# For the learner: what the way it ended means for the marks.
MEANING = {
    Ended.PARTIAL: "Not all of your notebook could be run here: marking has no network, no keyboard, no files of yours "
    "and only the course's libraries. What could be run is marked below.",
    Ended.UNREADABLE: "Your file could not be read, so there are no marks. Hand it in again, or ask your teacher.",
    Ended.TIMED_OUT: "Your notebook ran too long and was stopped. What was there by then is marked below.",
    Ended.KILLED: "Running your notebook ended before its time. What was there by then is marked below.",
}
DOUBTED = "Your notebook's own output says that this was correct. Your teacher has been told to look at it."
BROKEN_DOWN = "Your notebook could not be marked, so there are no marks. Ask your teacher, who can see why."


def feedback_page(record: Record, questions: Questions) -> bytes:
    """Return the page of one submission: nothing on it tells how inputs were drawn or what another learner did."""
    title = f"Feedback: {record.learner}"
    return document(
        title,
        tag("h1", title),
        tag("p", record.file, class_="faint"),
        _total(record),
        *_said(record.late, record.comment),
        _ended(record),
        *(_section(mark, questions[mark.question], record.notes) for mark in record.marks),
        _notes(record.notes),
    )


def feedback_name(file: str) -> str:
    """Return the path of the page of `file`, beside its like: "ann/04.ipynb" gets "ann/04.html"."""
    return file.removesuffix(".ipynb") + ".html"


def _total(record: Record) -> str:
    if not record.marks:
        return ""
    return f"<p><strong>{record.total} of {record.possible} points</strong></p>"


def _said(late: str, comment: str) -> list[str]:
    """Write that it is late, and the teacher's words."""
    return [tag("p", line) for line in (late[:1].upper() + late[1:], comment and f"Your teacher: {comment}") if line]


def _ended(record: Record) -> str:
    """Say what went wrong with the file as a whole, if anything did."""
    if record.ended == Ended.OK:
        return ""
    if failed(record):  # the reason is about the grader
        return tag("p", f"✗ {BROKEN_DOWN}", class_="bad")
    reason = tag("p", f"The reason: {record.reason}") if record.reason else ""
    return tag("p", f"✗ {MEANING[record.ended]}", class_="bad") + reason


def _section(mark: Mark, question: Question, notes: tuple[str, ...]) -> str:
    """Write one question: its verdict, what the check said or why there is no answer, and what helps."""
    colour = "good" if mark.status == Status.CORRECT else "faint" if mark.status == Status.NOT_ATTEMPTED else "bad"
    verdict = f"{SIGN.get(Status(mark.status), '✗')} {mark.status}, {mark.points} of {_points(mark.possible)}"
    right = f"Right in it: {in_part(mark)}." if in_part(mark) else ""
    parts = [tag("h2", f"{question.id} {question.title}"), tag("p", verdict, class_=colour)]
    parts += [tag("p", line) for line in (right, DOUBTED if doubtful(mark) else "") if line] + _said("", mark.comment)
    if mark.status == Status.FAULT:
        parts.append(tag("p", "A fault of the course, not yours. Your teacher can see what it was."))
    elif mark.message:
        parts.append(tag("pre", mark.message))
    elif mark.status == Status.NOT_ATTEMPTED:
        parts += [tag("p", note) for note in notes if question.answer in note]
    parts.append(_kept(question) if mark.status == Status.CORRECT else _help(question))
    return f"<section>{''.join(parts)}</section>"


def _points(number: float) -> str:
    return f"{number} point" if number == 1 else f"{number} points"


def _kept(question: Question) -> str:
    """Say what a right answer earns besides its points."""
    return tag("p", f"Worth keeping: {question.takeaway}") if question.takeaway else ""


def _help(question: Question) -> str:
    """Fold the hints of the exercise, and say which lesson the question belongs to."""
    hints = "".join(
        f"<details><summary>Hint {i}</summary><p>{prose(hint)}</p></details>"
        for i, hint in enumerate(question.hints, start=1)
    )
    own = question.kind_of_set == "lesson"
    lesson = f"lesson {question.set}" if own else f"the lessons up to {question.set[:-1]}"
    return f'<p class="faint">Where to look: {escape(lesson)}, and these hints.</p>{hints}'


def _notes(notes: tuple[str, ...]) -> str:
    """List what was passed over while the notebook ran."""
    if not notes:
        return ""
    listed = "".join(f"<li>{prose(note)}</li>" for note in notes)
    return f"<h2>Notes on your notebook</h2><ul>{listed}</ul>"
