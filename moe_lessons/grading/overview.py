"""The page about a class: how each question went, how totals are spread, which misconceptions came most often."""

import math
from collections import Counter
from collections.abc import Iterable

from moe_lessons.checks.attempt import Status
from moe_lessons.checks.question import Question
from moe_lessons.figures.chart import Axes
from moe_lessons.figures.palette import AMOUNT, EXPERTS
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.grading.page import document, table
from moe_lessons.grading.records import Ended, Mark
from moe_lessons.grading.report import Results, doubts, reasons
from moe_lessons.support.markup import tag

# In the order of a bar: how it is called here, and its colour.
OUTCOMES = {
    Status.CORRECT: ("correct", EXPERTS[2]),
    Status.NOT_YET: ("not yet", EXPERTS[1]),
    Status.RAISED: ("raised an error", EXPERTS[5]),
    Status.NOT_ATTEMPTED: ("not attempted", "#b8bec6"),
    Status.FAULT: ("no verdict", EXPERTS[3]),
}
ON_COLOUR = "#111111"  # ink that reads well on every one of them, on a dark page too
WIDTH, LABEL, ROW, TITLE = 828, 318, 34, 42
MISCONCEPTIONS = 15


def overview_page(results: Results, passed_over: list[str]) -> bytes:
    """Return the page: pictures, each with its numbers in a table, and the files that had trouble."""
    counts = outcomes(results)
    return document(
        "Class overview",
        tag("h1", "Class overview"),
        tag("p", _summary(results)),
        tag("h2", "How each question went"),
        _scrolling(outcomes_svg(results, counts)) if counts else tag("p", "Nothing was marked."),
        _outcomes_table(results, counts),
        *_points(results),
        tag("h2", "The most frequent misconceptions"),
        _misconceptions(results),
        tag("h2", "Files with trouble"),
        _trouble(results),
        *_lists(results, passed_over),
    )


def outcomes(results: Results) -> dict[str, Counter[Status]]:
    """Return, for each question, how many files ended with each status."""
    counts: dict[str, Counter[Status]] = {id: Counter() for id in results.questions}
    for record in results.records:
        for mark in record.marks:
            counts[mark.question][Status(mark.status)] += 1
    return counts


def misconceptions(results: Results) -> list[tuple[str, str, int]]:
    """Return (question, mistake, files), the most frequent first."""
    place = {id: i for i, id in enumerate(results.questions)}
    seen = Counter((m.question, m.mistake) for record in results.records for m in record.marks if m.mistake)
    ordered = sorted(seen.items(), key=lambda item: (-item[1], place[item[0][0]], item[0][1]))
    return [(question, str(mistake), count) for (question, mistake), count in ordered]


def _summary(results: Results) -> str:
    files, troubled = len(results.records), len(results.troubled)
    ended = Counter(record.ended for record in results.records)
    said = ", ".join(f"{ended[e]} {e}" for e in Ended if e in ended)
    learners = len(results.by_learner())
    return f"{_count(files, 'file')} from {_count(learners, 'learner')}: {said or 'none'}." + (
        f" {_count(troubled, 'file')} had trouble: see the end." if troubled else ""
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _scrolling(svg: str) -> str:
    """Let a picture scroll by itself where it would be too small to read."""
    return f'<div class="wide" tabindex="0">{svg}</div>'


def outcomes_svg(results: Results, counts: dict[str, Counter[Status]]) -> str:
    """Draw a bar for each question, divided by how its files ended; every part carries its number."""
    shown = [status for status in OUTCOMES if any(count[status] for count in counts.values())]
    rows = [_bar(i, results.questions[id], count) for i, (id, count) in enumerate(counts.items())]
    height = 44 + ROW * len(rows)
    described = "; ".join(
        f"{id}: " + ", ".join(f"{n} {OUTCOMES[s][0]}" for s, n in count.items()) for id, count in counts.items()
    )
    return picture(WIDTH, height, "How each question went", described, _legend(shown), *rows)


def _legend(shown: list[Status]) -> str:
    parts, x = [], 8
    for name, colour in map(OUTCOMES.__getitem__, shown):
        parts.append(element("rect", x=x, y=9, width=14, height=14, fill=colour))
        parts.append(text(x + 20, 21, name))
        x += 42 + 8 * len(name)
    return "".join(parts)


def _bar(i: int, question: Question, count: Counter[Status]) -> str:
    """Draw row i: the title, then the parts of the bar."""
    y, x, room = 38 + ROW * i, float(LABEL), WIDTH - LABEL - 10
    title = f"{question.id} {question.title}"
    parts = [text(8, y + 18, title if len(title) <= TITLE else title[: TITLE - 1] + "…")]
    for status, (_, colour) in OUTCOMES.items():
        width = room * count[status] / max(1, count.total())
        if count[status]:
            parts.append(element("rect", x=x, y=y, width=width, height=ROW - 8, fill=colour))
            parts.append(text(x + width / 2, y + 18, str(count[status]), anchor="middle", fill=ON_COLOUR))
        x += width
    return "".join(parts)


def _outcomes_table(results: Results, counts: dict[str, Counter[Status]]) -> str:
    """Write the numbers of the picture, with the mean of the points."""
    if not counts:
        return ""
    statuses = [status for status in OUTCOMES if any(count[status] for count in counts.values())]
    rows: list[list[str | int]] = [
        [f"{id} {results.questions[id].title}", *(count[s] for s in statuses), _mean(_marks_of(results, id))]
        for id, count in counts.items()
    ]
    return table(["Question", *(OUTCOMES[s][0] for s in statuses), "mean points"], rows)


def _marks_of(results: Results, question: str) -> list[Mark]:
    return [mark for record in results.records for mark in record.marks if mark.question == question]


def _mean(marks: list[Mark]) -> str:
    return f"{sum(mark.points for mark in marks) / len(marks):.1f} of {marks[0].possible}"


def _points(results: Results) -> Iterable[str]:
    """Draw, set by set, how many learners reached how many points."""
    for name, possible in results.possible.items():
        totals = [points for points in results.totals(name).values() if points is not None]
        yield tag("h2", f"Points in exercises {name}")
        yield _scrolling(totals_svg(totals, possible))


def totals_svg(totals: list[float], all_points: float) -> str:
    """Draw how many learners have 0, 1, ..., `all_points` points, to the nearest whole one."""
    count, possible = Counter(map(round, totals)), math.ceil(all_points)
    most = max(count.values())
    axes = Axes(50, 40, WIDTH - 70, 150, (-0.5, possible + 0.5), (0, most))
    step = max(1, round(possible / 20))
    x_ticks, y_ticks = range(0, possible + 1, step), range(0, most + 1, max(1, -(-most // 5)))
    bars = "".join(axes.bars([p - 0.4, p + 0.4], [n], **AMOUNT) for p, n in sorted(count.items()))
    described = ", ".join(f"{p} points: {n}" for p, n in sorted(count.items()))
    frame = axes.frame(x_ticks, y_ticks, f"points, of {possible}", "learners")
    return picture(WIDTH, 240, "How many learners have how many points", described, frame, bars)


def _misconceptions(results: Results) -> str:
    found = misconceptions(results)[:MISCONCEPTIONS]
    if not found:
        return tag("p", "None was recognised.")
    named: list[list[str | int]] = [
        [f"{id} {results.questions[id].title}", mistake, count] for id, mistake, count in found
    ]
    return table(["Question", "Misconception", "files"], named)


def _trouble(results: Results) -> str:
    if not results.troubled:
        return tag("p", "None.")
    rows: list[list[str | int]] = [
        [record.learner, record.file, str(record.ended), (reasons(record) or [""])[0]] for record in results.troubled
    ]
    return table(["Learner", "File", "Status", "Reason"], rows)


def _lists(results: Results, passed_over: list[str]) -> Iterable[str]:
    """Write what is for a person to see to, list by list; those that are empty are left out.

    Who has no marks may have handed in a lesson, what was passed over may have been handed in the wrong way.
    """
    by_hand = [(record.learner, mark) for record in results.records for mark in record.marks if mark.by_hand]
    lists = {
        "To look at": [f"{who}, {what} ({file})" for who, file, what in doubts(results)],
        "Marked by hand": [f"{who}, {m.question}: {m.points} of {m.possible}. {m.comment}" for who, m in by_hand],
        "What a teacher wrote that is about nobody here": results.problems,
        "Missing": [person.name for person in results.missing],
        "Not on the roster": [who.name for who in results.strangers],
        "Learners without marks": [who.name for who, marks in results.by_learner().items() if not marks],
        "Passed over": passed_over,
    }
    for title, lines in lists.items():
        if lines:
            yield tag("h2", title)
            yield "<ul>" + "".join(tag("li", line) for line in lines) + "</ul>"
