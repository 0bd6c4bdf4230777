"""How progress is kept: one small file per question, written so that a crash cannot spoil it.

One file per question, changed under a lock: notebooks that are open at once do not overwrite each other's results.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moe_lessons.checks.registry import questions
from moe_lessons.support.storage import home, write_atomically

EMPTY = {"attempts": 0, "correct": False, "last": ""}


def record(question_id: str, correct: bool) -> dict[str, Any]:
    """Count one attempt and keep it. Once correct stays correct. Raises OSError when it cannot be written."""
    from filelock import FileLock  # it brings asyncio: a quarter of the time that a worker of the grader takes to start

    path = _file(question_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock"), timeout=5):
        before = load(question_id)
        after = {
            "attempts": before["attempts"] + 1,
            "correct": before["correct"] or correct,
            "last": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_atomically(path, (json.dumps(after) + "\n").encode())
    return after


def load(question_id: str) -> dict[str, Any]:
    """Return what is known of a question. A spoilt file counts as no attempts; it is kept aside."""
    path = _file(question_id)
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return {
            "attempts": int(known["attempts"]),
            "correct": known["correct"] is True,
            "last": str(known["last"]),
        }
    except OSError:  # not there, or not to be read
        return dict(EMPTY)
    except (ValueError, KeyError, TypeError, OverflowError):
        path.replace(path.with_suffix(".unreadable"))
        return dict(EMPTY)


class Table:
    """The progress as text; a notebook shows it once, as the value of its cell."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def progress() -> Table:
    """Return a table over all exercise sets: questions solved, points, attempts, and where it is kept."""
    by_set: dict[str, list] = {}
    for question in questions().values():
        by_set.setdefault(question.set, []).append((question, load(question.id)))
    lines = [_set_line(name, known) for name, known in by_set.items()]
    head = f"{'set':<4}{'solved':>6}{'points':>8}   questions"
    legend = "✓ correct, ✗ not yet, · not attempted; in brackets the attempts"
    return Table("\n".join([head, *lines, legend, f"kept in {home()}"]))


def _set_line(name: str, known: list) -> str:
    """Write the line of one exercise set from its questions and what is known of them."""
    solved = sum(state["correct"] for _, state in known)
    points = sum(question.points for question, state in known if state["correct"])
    marks = [f"{q.id} {'✓' if s['correct'] else '✗' if s['attempts'] else '·'} ({s['attempts']})" for q, s in known]
    total = sum(question.points for question, _ in known)
    return f"{name:<4}{f'{solved}/{len(known)}':>6}{f'{points}/{total}':>8}   {'  '.join(marks)}"


def _file(question_id: str) -> Path:
    return home() / "progress" / f"{question_id}.json"
