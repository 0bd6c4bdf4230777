"""What records are worth by a teacher's rules: parts, points, days late, overrides, comments. Nothing is run anew."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from moe_lessons.checks.attempt import Status
from moe_lessons.grading.learners import Learner, handed_in, labels
from moe_lessons.grading.marking import FILE, Marking, Override, named
from moe_lessons.grading.questions import Questions
from moe_lessons.grading.records import Mark, Record, rounded
from moe_lessons.grading.shares import earned

LATE, UNKNOWN = "late, as Canvas says", f"; {FILE} does not say how many days"


@dataclass
class People:
    """Whose each file is, and by what names a teacher may call them. problems: names that are nobody's, in words."""

    whose: Mapping[str, Learner]
    also: Iterable[tuple[str, Learner]] = ()
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.labels = labels(self.whose.values())
        self.known: dict[str, set[Learner]] = {}
        for name, who in [*((who.name, who) for who in self.labels), *self.also]:
            self.known.setdefault(named(name), set()).add(who)
        self.known |= {named(label): {who} for who, label in self.labels.items()}

    def called(self, name: str) -> Learner | None:
        """Return the learner of that name. Keep the problem where there is none, or are several."""
        found = self.known.get(named(name), set())
        if len(found) == 1:
            return next(iter(found))
        near = sorted(self.labels[who] for who in found)
        near = near or difflib.get_close_matches(name, sorted(self.labels.values()), n=2)
        many, like = ("several learners are", f": {', '.join(near)}") if found else ("no learner is", "")
        like = like or (f"; near: {', '.join(near)}" if near else "")
        self.problems.append(f"{FILE}: {many} called {name!r}{like}")
        return None


def scored(records: Iterable[Record], questions: Questions, marking: Marking, people: People) -> list[Record]:
    """Return records with the points and the words that a teacher's rules give them, under their learners' names."""
    rules = Rules(marking, questions, people)
    given = [rules.given(replace(record, learner=people.labels[people.whose[record.file]])) for record in records]
    return rules.added(sorted(given, key=lambda record: record.file))


class Rules:
    """A teacher's rules, by learner."""

    def __init__(self, marking: Marking, questions: Questions, people: People) -> None:
        self.marking, self.questions, self.people = marking, questions, people
        self.overrides = self._of_learners((one.learner, one.question, one) for one in marking.overrides)
        self.comments = self._of_learners((one.learner, one.question, one.text) for one in marking.comments)
        self.days = self._of_learners((name, "", days) for name, days in marking.late.days.items())
        people.problems[:] = dict.fromkeys(people.problems)

    def _of_learners(self, rows: Iterable[tuple[str, str, Any]]) -> dict[tuple[Learner, str], Any]:
        """Return what rows say by learner and question. Of two about the same, under two names, the first holds."""
        found: dict[tuple[Learner, str], Any] = {}
        for name, question, said in rows:
            who = self.people.called(name)
            if who and (who, question) in found:
                again = f"{name!r} is {self.people.labels[who]}, of whom the same is said before"
                self.people.problems.append(f"{FILE}: {again}")
            elif who:
                found[who, question] = said
        return found

    def given(self, record: Record) -> Record:
        """Return a record with all that the rules say of it."""
        who = self.people.whose[record.file]
        sets = {mark.question: self.questions[mark.question].set for mark in record.marks}
        late = {of_set: self._late(record.file, who, of_set) for of_set in dict.fromkeys(sets.values())}
        marks = tuple(self._mark(mark, who, late[sets[mark.question]][0]) for mark in record.marks)
        said = "; ".join(dict.fromkeys(words for _, words in late.values() if words))
        return replace(record, marks=marks, late=said, comment=self.comments.get((who, ""), ""))

    def _mark(self, mark: Mark, who: Learner, cost: float) -> Mark:
        """Return a mark at its worth: what was found, less what being late costs; a teacher's own points are final."""
        about = (who, mark.question)
        share = mark.points / mark.possible if mark.points else earned(mark.parts, self.marking.partial)
        worth = replace(mark, possible=self.marking.points.get(mark.question, mark.possible))
        if override := self.overrides.get(about):
            said = _said(override, self.comments.get(about, ""))
            return replace(worth, points=override.points, by_hand=True, comment=said)
        points = rounded(worth.possible * share * (1 - cost))
        return replace(worth, points=points, comment=self.comments.get(about, ""))

    def _late(self, file: str, who: Learner, of_set: str) -> tuple[float, str]:
        """Return the share of a set's points that being late costs, and what to say of it."""
        rule, given, said = self.marking.late, self.days.get((who, ""), {}), handed_in(file)
        days = given.get(of_set, given.get(""))
        if days is None and said and said.late:
            return 0.0, LATE + (UNKNOWN if rule.per_day else "")
        if days is None:
            days = rule.days_after(said.when, of_set) if said and said.when else 0
        cost = rule.cost(days)
        words = f"{days:g} {'day' if days == 1 else 'days'} late" + (f": {cost:.0%} of the points less" if cost else "")
        return cost, words if days else ""

    def added(self, records: list[Record]) -> list[Record]:
        """Give points by hand for what was not marked to the learner's first file, which may be one unreadable."""
        for (who, id), override in self.overrides.items():
            mine = [i for i, record in enumerate(records) if self.people.whose[record.file] == who]
            marked = any(mark.question == id for i in mine for mark in records[i].marks)
            if mine and not marked and id in self.questions:
                mark = self._by_hand(override, self.comments.get((who, id), ""))
                records[mine[0]] = replace(records[mine[0]], marks=(*records[mine[0]].marks, mark))
        return records

    def _by_hand(self, override: Override, comment: str) -> Mark:
        id = override.question
        possible = self.marking.points.get(id, self.questions[id].points)
        said = _said(override, comment)
        return Mark(id, str(Status.NOT_ATTEMPTED), override.points, possible, by_hand=True, comment=said)


def _said(override: Override, comment: str) -> str:
    return " ".join(filter(None, (override.reason, comment)))
