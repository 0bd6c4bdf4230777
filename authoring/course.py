"""What the course holds: lessons with their titles, questions and minutes, the exercises to each, and the module files.

A lesson says all of it in its first cell: `# # 05 · The sparse layer`, its question in bold (`**How …?**`) and
`**Time:** {{minutes}}`, which `minutes.py` computes. The minutes of exercises are the sum of their questions'. A mixed
review, `04r_review.py` behind lesson 04, and a project, `11p_closing_project.py`, are exercise sets without a lesson,
and say their title and question as well.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from minutes import Minutes, minutes
from percent import TAGS, SourceError, read_cells
from quizzes import with_quiz

from moe_lessons.support.glossary import Glossary, read

Questions = Callable[[], Mapping[str, Any]]

FOLDERS = {"lesson": "notebooks", "exercises": "exercises", "solutions": "solutions"}
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
WITHOUT_LESSON = {"r": "review", "p": "project"}  # by the letter behind the number
MAP_HEAD = "| lesson | question | time | exercises |\n|---|---|---|---|"

README_MAP = re.compile(r"(<!-- the map: [^>]*-->\n).*?(<!-- end of the map -->)", re.DOTALL)

_TITLE = re.compile(r"^# # (?:Exercises )?(\S+) · (.+)$", re.MULTILINE)
_QUESTION = re.compile(r"\*\*([^*]+\?)\*\*")
_TIME = "**Time:** {{minutes}}"


class Lesson(NamedTuple):
    """What a lesson says of itself; its title without what follows a colon."""

    stem: str
    number: str
    title: str
    question: str
    minutes: Minutes


class Standalone(NamedTuple):
    """What an exercise set without a lesson says of itself: a mixed review, or a project."""

    stem: str
    number: str
    title: str
    question: str


@dataclass
class Course:
    """The course under `root`; `load` returns the records of its questions."""

    root: Path
    load: Questions

    @cached_property
    def questions(self) -> Mapping[str, Any]:
        """The records of all questions."""
        return self.load()

    @cached_property
    def glossary(self) -> Glossary:
        """The words of the field; none where the course has no such file."""
        path = self.root / "moe_lessons/glossary.toml"
        return read(path) if path.exists() else Glossary({})

    @cached_property
    def has_map(self) -> bool:
        """Whether the README has a place for the map; then every lesson must say what its row holds."""
        readme = self.root / "README.md"
        return readme.exists() and README_MAP.search(readme.read_text(encoding="utf-8")) is not None

    @cached_property
    def lessons(self) -> dict[str, Lesson]:
        """Every lesson by its number, but for those that do not say what they are: the build names these."""
        lessons = {}
        for path in sorted(self.root.glob("authoring/lessons/[!.]*.py")):
            with suppress(SourceError, UnicodeDecodeError):
                lesson = read_lesson(path)
                lessons[lesson.number] = lesson
        return lessons

    @property
    def addresses(self) -> dict[str, str]:
        """The file of each lesson by its number, as other lessons link to it."""
        return {number: f"{lesson.stem}.ipynb" for number, lesson in self.lessons.items()}

    @cached_property
    def standalone(self) -> dict[str, Standalone]:
        """Every mixed review and project by its number, as `lessons`."""
        sets = {}
        for path in sorted(self.root.glob("authoring/exercises/[!.]*.py")):
            if kind_of(path):
                with suppress(SourceError, UnicodeDecodeError):
                    one = read_standalone(path)
                    sets[one.number] = one
        return sets

    @property
    def order(self) -> list[str]:
        """The numbers of lessons, reviews and projects, in the order in which they are worked through."""
        return sorted({**self.lessons, **self.standalone}, key=_place)

    def amount(self, number: str) -> str:
        """Return "five questions, about 35 minutes" for the exercises of a lesson. Raises ValueError if it has none."""
        asked = self.asked(number)
        if not asked:
            raise ValueError(f"no questions in set {number}")
        word = NUMBERS[len(asked)] if len(asked) < len(NUMBERS) else str(len(asked))
        return (
            f"{plural(word, 'question', len(asked))}, about {plural(f'{_minutes(asked):g}', 'minute', _minutes(asked))}"
        )

    def minutes(self, number: str) -> str:
        """Return "about 40 minutes" for a lesson. Raises ValueError if there is none."""
        if number not in self.lessons:
            raise ValueError(f"no lesson {number} in this course")
        return str(self.lessons[number].minutes)

    def asked(self, number: str) -> list[Any]:
        """Return the questions of a set."""
        return [question for question in self.questions.values() if question.set == number]

    def map(self, notebooks: str, exercises: str, here: str = "") -> str:
        """Return the table of lessons; lessons lie under `notebooks`, and `here` is the one that holds the map."""
        rows = {number: self._row(lesson, notebooks, exercises, here) for number, lesson in self.lessons.items()}
        rows |= {number: self._alone(one, exercises) for number, one in self.standalone.items()}
        return "\n".join([MAP_HEAD, *(rows[number] for number in self.order)])

    def _row(self, lesson: Lesson, notebooks: str, exercises: str, here: str) -> str:
        name, asked = f"{lesson.number} {lesson.title}", self.asked(lesson.number)
        link = name if lesson.number == here else f"[{name}]({notebooks}{lesson.stem}.ipynb)"
        practice = f"[{_minutes(asked):g} min]({exercises}{lesson.stem}.ipynb)" if asked else ""
        return f"| {link} | {lesson.question} | {lesson.minutes.short} min | {practice} |".replace("|  |", "| |")

    def _alone(self, one: Standalone, exercises: str) -> str:
        minutes = f"[{_minutes(self.asked(one.number)):g} min]({exercises}{one.stem}.ipynb)"
        return f"| {one.number} {one.title} | {one.question} | | {minutes} |"

    def address(self, kind: str, name: str, folder: str) -> tuple[str, str]:
        """Return a usual text and the address, seen from `folder`, of a link such as `lesson:05` or `module:layer`."""
        if kind == "module":
            path = self._module(name)
            return path, f"../{path}"
        known: Mapping[str, Lesson | Standalone] = {**self.lessons, **({} if kind == "lesson" else self.standalone)}
        if name not in known or (kind != "lesson" and not self.asked(name)):
            raise ValueError(f"no {kind} {name} in this course")
        file, target = f"{known[name].stem}.ipynb", FOLDERS[kind]
        text = f"lesson {name}" if kind == "lesson" else f"{target}/{file}"
        return text, file if folder == target else f"../{target}/{file}"

    def _module(self, name: str) -> str:
        """Return the path of a module: the one at the top of the package, or the only one that ends with `name`."""
        if (self.root / f"moe_lessons/{name}.py").exists():
            return f"moe_lessons/{name}.py"
        found = sorted(self.root.glob(f"moe_lessons/**/{name}.py"))
        if len(found) != 1:
            raise ValueError(f"{len(found)} modules are called {name}: write the end of its path")
        return found[0].relative_to(self.root).as_posix()


def read_lesson(path: Path) -> Lesson:
    """Return what a lesson's first cell says of it. Raises SourceError where something is missing."""
    text = path.read_text(encoding="utf-8-sig")
    number, found = path.stem.partition("_")[0], _opening(path.stem, text, _TIME)
    if not found:
        begin = f"`# # {number} · Title`, `**its question?**` and `{_TIME}`"
        raise SourceError(1, f"a lesson begins with {begin}")
    return Lesson(path.stem, number, *found, minutes(with_quiz(read_cells(text, TAGS), path.parents[2], number)))


def kind_of(path: Path) -> str | None:
    """Return "review" or "project" for an exercise source without a lesson, by its name: 04r_review.py; else None."""
    return WITHOUT_LESSON.get(path.stem.partition("_")[0][2:])


def read_standalone(path: Path) -> Standalone:
    """Return what the first cell of a review or a project says of it. Raises SourceError where something is missing."""
    number, found = path.stem.partition("_")[0], _opening(path.stem, path.read_text(encoding="utf-8-sig"))
    if not found:
        begin = f"`# # Exercises {number} · Title` and `**its question?**`"
        raise SourceError(1, f"a {kind_of(path)} begins with {begin}")
    return Standalone(path.stem, number, *found)


def _place(number: str) -> tuple[str, int]:
    """Return where a row stands in the map: a lesson, a second one of its number, the review, the project."""
    return number[:2], ["", "b", *WITHOUT_LESSON].index(number[2:])


def _opening(stem: str, text: str, more: str = "") -> tuple[str, str] | None:
    """Return title and question of a first cell that holds them, the number of its file, and `more`; or None."""
    first = text.partition("\n\n# %%")[0]
    title, question = _TITLE.search(first), _QUESTION.search(first.replace("\n# ", " "))
    if not (title and question and title[1] == stem.partition("_")[0] and more in first):
        return None
    return title[2].partition(":")[0], question[1]


def plural(number: str, unit: str, count: float) -> str:
    """Return a number with its unit, "1 point" or "2 points"."""
    return f"{number} {unit}" if count == 1 else f"{number} {unit}s"


def _minutes(asked: list[Any]) -> float:
    return sum(question.minutes for question in asked)
