"""The quizzes of the lessons, from `quizzes/NN.toml`: ideas, each asked in two ways, with a reason for every option.

A component that asks them shuffles the options, tells the reason of the one that was chosen and, if it was wrong, asks
the sister question of the same idea. What it keeps of a learner is kept under the idea's name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moe_lessons.support.declared import Place, opened
from moe_lessons.support.validation import one_of

FOLDER = Path(__file__).parent / "quizzes"
NAMES = "misconceptions.toml"
LETTER = re.compile(r"\([a-d]\)")


@dataclass(frozen=True)
class Option:
    """What can be chosen, and what who chose it is told; `mistake` names the misconception of a wrong one."""

    text: str
    why: str
    mistake: str | None = None


@dataclass(frozen=True)
class Question:
    """A question with three or four options, of which one is right. Texts are Markdown with formulas in `$…$`."""

    asks: str
    options: tuple[Option, ...]

    @property
    def right(self) -> Option:
        """The right option."""
        return next(option for option in self.options if option.mistake is None)


@dataclass(frozen=True)
class Idea:
    """An idea of a lesson, the heading of the section that teaches it, and its question with a sister, or alone."""

    name: str
    says: str
    section: str
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Quiz:
    """The ideas of a lesson, most important first: its notebook prints the first question of the first three."""

    lesson: str
    ideas: tuple[Idea, ...]


def lessons(folder: Path = FOLDER) -> tuple[str, ...]:
    """Return the numbers of the lessons that have a quiz, in their order."""
    return tuple(sorted(path.stem for path in folder.glob("[0-9]*.toml")))


def quiz(lesson: str, folder: Path = FOLDER) -> Quiz:
    """Return the quiz of a lesson, such as "05". Raises ValueError if there is none, or if its file is wrong."""
    one_of("lesson", lesson, lessons(folder))
    entry = opened(folder / f"{lesson}.toml").table(("idea",), ("idea",))
    return Quiz(lesson, tuple(_unlike([_idea(place) for place in entry["idea"].rows()], entry["idea"])))


def kept_as(lesson: str, idea: str) -> str:
    """Return the name under which an idea of a lesson's quiz is kept, beside the questions of the exercises."""
    return f"quiz-{lesson}-{idea}"


def misconceptions(folder: Path = FOLDER) -> dict[str, str]:
    """Return the misconceptions that only quizzes know, by their names: what who has one believes."""
    return {name: place.words("a sentence") for name, place in opened(folder / NAMES).table().items()}


def _idea(place: Place) -> Idea:
    entry = place.table(("name", "says", "section", "question"), ("name", "says", "section", "question"))
    questions = tuple(_question(row) for row in entry["question"].rows())
    if len(questions) not in (1, 2):
        raise entry["name"].wrong(f"one [[idea.question]] or two, and no {len(questions)}")
    return Idea(entry["name"].words(), entry["says"].words(), entry["section"].words(), questions)


def _question(place: Place) -> Question:
    entry = place.table(("asks", "options"), ("asks", "options"))
    options = tuple(_option(row) for row in entry["options"].rows("a list of options"))
    if len(options) not in (3, 4) or sum(option.mistake is None for option in options) != 1:
        raise entry["asks"].wrong("three or four options, all but one with a mistake")
    if len({option.text for option in options}) < len(options):
        raise entry["asks"].wrong("options that differ")
    return Question(entry["asks"].words(), options)


def _option(place: Place) -> Option:
    entry = place.table(("text", "why", "mistake"), ("text", "why"))
    if LETTER.search(entry["why"].words()):
        raise entry["why"].wrong("no letter of an option: they are shuffled")
    return Option(*(entry[key].words() for key in ("text", "why", "mistake") if key in entry))


def _unlike(ideas: list[Idea], place: Place) -> Iterator[Idea]:
    """Yield the ideas; raise ValueError where two have one name, under which progress is kept."""
    names: set[str] = set()
    for idea in ideas:
        if idea.name in names:
            raise place.wrong(f"a name for each idea: two are called {idea.name!r}")
        names.add(idea.name)
        yield idea
