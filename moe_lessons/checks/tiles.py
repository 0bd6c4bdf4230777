"""Progress as a map of tiles, a tile for each question and a row for each set: decoration over the table in text."""

from collections.abc import Mapping
from typing import Any

from moe_lessons.checks.cards import framed
from moe_lessons.checks.question import Question
from moe_lessons.support.markup import element, tag

Known = Mapping[str, Mapping[str, Any]]  # by question what is known of it: attempts, correct, last
KINDS = {"lesson": "Lesson", "review": "Review", "project": "Project"}
DONE, TRIED, OPEN = ("✓", "correct"), ("✗", "not yet"), ("·", "not attempted")


def tile_map(sets: Mapping[str, list[Question]], known: Known, place: str) -> str:
    """Return the map of all sets, each with its lesson, points and tiles, above it what is next."""
    every = [question for of_set in sets.values() for question in of_set]
    solved = [question for question in every if known[question.id]["correct"]]
    total = f"{len(solved)} of {len(every)} questions, {points(solved)} of {points(every)} points."
    legend = ", ".join(f"{icon} {words}" for icon, words in (DONE, TRIED, OPEN))
    return framed(
        "moe-progress",
        element("p", tag("strong", total), class_="moe-total"),
        element("p", tag("strong", "Next: "), _next(every, known), class_="moe-total"),
        element("table", *(_row(name, of_set, known) for name, of_set in sets.items()), class_="moe-map"),
        tag("p", f"{legend}; in brackets the attempts. {place[:1].upper()}{place[1:]}", class_="moe-faint"),
    )


def points(questions: list[Question]) -> int:
    """Return the points that questions give together."""
    return sum(question.points for question in questions)


def _next(every: list[Question], known: Known) -> str:
    """Name the question to go on with: the first that is open, counted from the latest attempt on."""
    latest = max(range(len(every)), key=lambda i: known[every[i].id]["last"])
    ahead = [*every[latest:], *every[:latest]]
    question = next((question for question in ahead if not known[question.id]["correct"]), None)
    return tag("span", f"{question.id} {question.title}" if question else "nothing, all is solved")


def _row(name: str, of_set: list[Question], known: Known) -> str:
    got = points([question for question in of_set if known[question.id]["correct"]])
    tiles = [_tile(question, known[question.id]) for question in of_set]
    return element(
        "tr",
        tag("th", f"{KINDS[of_set[0].kind_of_set]} {name}", scope="row"),
        tag("td", f"{got} of {points(of_set)} points", class_="moe-points"),
        element("td", " ".join(tiles)),
    )


def _tile(question: Question, state: Mapping[str, Any]) -> str:
    """Return a tile: filled where it is solved, outlined where it was tried, dashed where it is open."""
    icon, words = DONE if state["correct"] else TRIED if state["attempts"] else OPEN
    kind = {DONE: "done", TRIED: "tried", OPEN: "open"}[icon, words]
    tried = f" ({state['attempts']})" if state["attempts"] else ""
    said = f"{question.title}: {words}"
    border = f"border-width: 2px; border-style: {'dashed' if kind == 'open' else 'solid'}"
    return tag("span", f"{icon} {question.id}{tried}", class_=f"moe-tile moe-{kind}", style=border, title=said)
