"""How progress is kept: one small file per question, written so that a crash cannot spoil it.

One file per question, changed under a lock: notebooks that are open at once do not overwrite each other's results.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe_lessons.checks import quiz as quizzes
from moe_lessons.checks.question import Question
from moe_lessons.checks.registry import questions
from moe_lessons.checks.tiles import points, tile_map
from moe_lessons.support.storage import home, write_atomically

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy

EMPTY = {"attempts": 0, "correct": False, "last": ""}
WORD_AFTER, END_AFTER = 2.0, 60.0  # seconds to wait for another program that holds the file


def record(question_id: str, correct: bool, tell: Callable[[str], Any] = print) -> dict[str, Any]:
    """Count one attempt and keep it. Once correct stays correct. Raises OSError when it cannot be written.

    tell: gets a word where another program keeps the file to itself and this takes longer.
    """
    path = _file(question_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_suffix(".lock"), tell):
        try:
            before = _known(path)
        except FileNotFoundError:
            before = dict(EMPTY)
        after = {
            "attempts": before["attempts"] + 1,
            "correct": before["correct"] or correct,
            "last": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_atomically(path, (json.dumps(after) + "\n").encode())
    return after


def _locked(path: Path, tell: Callable[[str], Any]) -> "AcquireReturnProxy":
    """Return the lock, held. Raises OSError when another program does not give it back."""
    from filelock import FileLock, Timeout  # it brings asyncio: a quarter of the time that a grader's worker starts in

    lock = FileLock(path)
    try:
        return lock.acquire(timeout=WORD_AFTER)
    except Timeout:
        tell(f"(Another program holds your progress: {path}. Waiting for it, at most a minute.)")
    try:
        return lock.acquire(timeout=END_AFTER - WORD_AFTER)
    except Timeout:
        raise OSError(f"another program holds it: {path}") from None


def load(question_id: str) -> dict[str, Any]:
    """Return what is known of a question; where nothing can be read, no attempts."""
    try:
        return _known(_file(question_id))
    except OSError:
        return dict(EMPTY)


def _known(path: Path) -> dict[str, Any]:
    """Return what a file says. A spoilt one counts as no attempts; it is kept aside. Raises OSError."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return {
            "attempts": int(known["attempts"]),
            "correct": known["correct"] is True,
            "last": str(known["last"]),
        }
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        path.replace(path.with_suffix(".unreadable"))
        return dict(EMPTY)


class Table:
    """The progress as text; a notebook shows it once, as the value of its cell, and as a map of tiles."""

    def __init__(self, text: str, html: str = "") -> None:
        self.text, self.html = text, html

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str | None:
        return self.html or None


def progress() -> Table:
    """Return a table over all exercise sets: questions solved, points, attempts; the quizzes; and where all is kept.

    Never raises.
    """
    try:
        sets = _sets()
        known = {question.id: load(question.id) for of_set in sets.values() for question in of_set}
        shown = _quizzes()
        return Table(_table(sets, known, shown), tile_map(sets, known, f"{shown}, {place()}"))
    except Exception as error:
        return Table(f"Your progress cannot be shown: {type(error).__name__}: {error}")


def place() -> str:
    """Return in words where progress is kept."""
    try:
        return f"kept in {home()}".encode(errors="replace").decode()
    except OSError as error:
        return f"kept nowhere: {error}"


def _sets() -> dict[str, list[Question]]:
    sets: dict[str, list[Question]] = {}
    for question in questions().values():
        sets.setdefault(question.set, []).append(question)
    return sets


def _quizzes() -> str:
    """Return in words how many ideas were shown in the quizzes of lessons."""
    every = [(number, idea.name) for number in quizzes.lessons() for idea in quizzes.quiz(number).ideas]
    shown = sum(load(quizzes.kept_as(*idea))["correct"] for idea in every)
    return f"quizzes: {shown} of {len(every)} ideas shown"


def _table(sets: dict[str, list[Question]], known: dict[str, dict[str, Any]], shown: str) -> str:
    lines = [_set_line(name, [(question, known[question.id]) for question in of_set]) for name, of_set in sets.items()]
    head = f"{'set':<4}{'solved':>6}{'points':>8}   questions"
    legend = "✓ correct, ✗ not yet, · not attempted; in brackets the attempts"
    return "\n".join([head, *lines, legend, shown, place()])


def _set_line(name: str, known: list) -> str:
    """Write the line of one exercise set from its questions and what is known of them."""
    solved = sum(state["correct"] for _, state in known)
    got = points([question for question, state in known if state["correct"]])
    marks = [f"{q.id} {'✓' if s['correct'] else '✗' if s['attempts'] else '·'} ({s['attempts']})" for q, s in known]
    total = points([question for question, _ in known])
    return f"{name:<4}{f'{solved}/{len(known)}':>6}{f'{got}/{total}':>8}   {'  '.join(marks)}"


def _file(question_id: str) -> Path:
    return home() / "progress" / f"{question_id}.json"
