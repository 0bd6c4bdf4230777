"""The form of notebooks: each rule is one function with the sentence that CONTRIBUTING gives for it."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, takewhile
from pathlib import Path
from typing import NamedTuple

import nbformat
from checked import QUIZ, WORDS, unfolded, words

from moe_lessons.checks import questions

ROOT = Path(__file__).parents[2]
NOTEBOOK, LESSON, TAUGHT, PRACTISED, SET, REVIEW, PROJECT, ALONE = (
    "every notebook",
    "every lesson",
    "every lesson from 01 on",
    "a lesson with exercises",
    "every exercise set",
    "a review, the set 04r",
    "a project, the set 11p",
    "a review or a project",
)
LONGEST = 40  # minutes of a core
ANSWERS = "<summary>Answer</summary>"


@dataclass
class Page:
    """A notebook, and what rules look at."""

    path: Path
    notebook: nbformat.NotebookNode

    @cached_property
    def text(self) -> str:
        """All Markdown."""
        return "\n\n".join(cell.source for cell in self.notebook.cells if cell.cell_type == "markdown")

    @property
    def code(self) -> list[nbformat.NotebookNode]:
        """All code cells."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    @property
    def number(self) -> str:
        """The number of the lesson or set, such as 05 or 00b."""
        return self.path.name.partition("_")[0]

    @property
    def minutes(self) -> int:
        """The minutes that a lesson says it takes, or 0."""
        found = re.search(r"\*\*Time:\*\* about (\d+) minutes", self.notebook.cells[0].source)
        return int(found[1]) if found else 0

    @property
    def objectives(self) -> int:
        """How many things a lesson says its learners will be able to do."""
        return len(re.findall(r"^\d\. ", self.notebook.cells[0].source, re.MULTILINE))

    def section(self, title: str) -> str:
        """Return the text under a heading, or ""."""
        return self.text.partition(f"## {title}")[2].partition("\n## ")[0]

    def tagged(self, tag: str) -> int:
        """Return how many cells carry a tag."""
        return sum(tag in tags(cell) for cell in self.notebook.cells)

    @property
    def is_lesson(self) -> bool:
        """Whether it lies in notebooks/."""
        return self.path.parent.name == "notebooks"

    def is_one_of(self, kind: str) -> bool:
        """Tell whether a rule for `kind` is about this page."""
        asked = any(question.set == self.number for question in questions().values())
        exercises, letter = self.path.parent.name == "exercises", self.number[2:]
        return {
            NOTEBOOK: True,
            LESSON: self.is_lesson,
            TAUGHT: self.is_lesson and not self.number.startswith("00"),
            PRACTISED: self.is_lesson and asked,
            SET: exercises,
            REVIEW: exercises and letter == "r",
            PROJECT: exercises and letter == "p",
            ALONE: exercises and letter in ("r", "p"),
        }[kind]


Check = Callable[[Page], Iterator[str]]


class Rule(NamedTuple):
    """A rule for one kind of page, in words, and a function that yields what is wrong."""

    kind: str
    words: str
    faults: Check


RULES: list[Rule] = []


def rule(kind: str, words: str) -> Callable[[Check], Check]:
    """Declare a function to be a rule."""

    def declare(faults: Check) -> Check:
        RULES.append(Rule(kind, words, faults))
        return faults

    return declare


def table() -> str:
    """Return all rules as the table in CONTRIBUTING; a kind is named at its first rule."""
    rows = []
    for kind in (NOTEBOOK, LESSON, TAUGHT, PRACTISED, SET, REVIEW, PROJECT, ALONE):
        first, *more = (rule.words for rule in RULES if rule.kind == kind)
        rows += [f"| {kind} | {first} |", *(f"| | {words} |" for words in more)]
    return "\n".join(["| of | is asked |", "|---|---|", *rows])


@rule(NOTEBOOK, "code cells of at most 25 lines that are not blank")
def short_cells(page: Page) -> Iterator[str]:
    for cell in page.code:
        if (count := sum(bool(line.strip()) for line in cell.source.splitlines())) > 25:
            yield f"{cell.id}: {count} lines"


@rule(NOTEBOOK, "a `</details>` for each `<details>`, in the same cell")
def closed_folds(page: Page) -> Iterator[str]:
    for cell in page.notebook.cells:
        if cell.cell_type == "markdown" and cell.source.count("<details>") != cell.source.count("</details>"):
            yield f"{cell.id}: a fold is not closed"


@rule(NOTEBOOK, "links to files that exist")
def links(page: Page) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)#]+)\)", re.sub(r"`[^`]*`", "", page.text)):
        if not target.startswith("http") and not (page.path.parent / target).resolve().exists():
            yield target


@rule(NOTEBOOK, "no word of a lesson that is not there")
def lessons_named(page: Page) -> Iterator[str]:
    lists = re.findall(r"\blessons? (\d\d(?:(?:, | and | or )\d\d)*)", page.text, re.IGNORECASE)
    named = {number for found in lists for number in re.findall(r"\d\d", found)}
    yield from named - {path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb")}


@rule(LESSON, "a first cell with `# NN · Title`, its question in bold, “You will be able to” and up to six numbered "
              "points, `**Before:**`, `**Time:** {{minutes}}` (computed; at most 40 without `deeper`)")  # fmt: skip
def opening(page: Page) -> Iterator[str]:
    first = page.notebook.cells[0].source
    parts = (rf"^# {page.number} · ", r"\*\*[^*]+\?\*\*", "You will be able to", r"\*\*Before:\*\*")
    yield from (f"the first cell lacks {part}" for part in parts if not re.search(part, first))
    if page.objectives not in range(1, 7) or not 0 < page.minutes <= LONGEST:
        yield f"{page.objectives} points, {page.minutes} minutes"


@rule(LESSON, "at most 65 cells and 2,330 words, without its quiz and the list of its words")
def length(page: Page) -> Iterator[str]:
    own = [cell for cell in page.notebook.cells if cell.id not in (WORDS, *QUIZ)]
    text = [cell.source for cell in own if cell.cell_type == "markdown"]
    count = words(unfolded("\n\n".join(text)))
    if len(own) > 65 or count > 2330:
        yield f"{len(own)} cells, {count} words"


@rule(LESSON, "a row in both maps (the build writes it)")
def mapped(page: Page) -> Iterator[str]:
    practice = minutes_of(page.number)
    for name, row in rows(page.number):
        if not re.search(rf"\| {page.minutes}( \+ \d+)? min \|", row) or (
            practice and f"[{practice:g} min]" not in row
        ):
            yield f"the map in {name}: {row or 'no row'}"


def minutes_of(number: str) -> float:
    """Return the minutes of an exercise set; 0 where there is none."""
    return sum(question.minutes for question in questions().values() if question.set == number)


def rows(number: str) -> Iterator[tuple[str, str]]:
    """Yield the names of both maps and the row of a lesson, a review or a project in them, or ""."""
    start = nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", as_version=4)
    for name, text in (("README", (ROOT / "README.md").read_text("utf-8")), ("lesson 00", Page(ROOT, start).text)):
        yield name, next((row for row in text.splitlines() if re.match(rf"\|\s*\[?{number}\b", row)), "")


@rule(TAUGHT, "a cell tagged `predict`")
def predictions(page: Page) -> Iterator[str]:
    if not page.tagged("predict"):
        yield "no prediction"


@rule(LESSON, "a `compare` for each prediction, in a cell that shows nothing before it")
def asked_first(page: Page) -> Iterator[str]:
    asked = [node for cell in page.code if "predict" in tags(cell) for node in ast.walk(ast.parse(cell.source))]
    comparing = [cell for cell in page.code if "compare(" in cell.source]
    for name in (node.id for node in asked if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)):
        if not any(name in cell.source for cell in comparing):
            yield f"{name} is not compared"
    showing = {"print", "display"} | {f.name for f in functions(page) if {"print", "display"} & set(called(f))}
    for cell in comparing:
        steps = [step for step in ast.parse(cell.source).body if not isinstance(step, ast.FunctionDef)]
        before = takewhile(lambda name: name != "compare", chain.from_iterable(map(called, steps)))
        yield from (f"{cell.id}: {name} before compare" for name in before if name in showing)


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def functions(page: Page) -> Iterator[ast.FunctionDef]:
    """Yield the functions that a page defines."""
    for cell in page.code:
        yield from (step for step in ast.parse(cell.source).body if isinstance(step, ast.FunctionDef))


def called(step: ast.stmt) -> list[str]:
    """Return the names that a statement calls, in the order of the text."""
    calls = [node for node in ast.walk(step) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [call.func.id for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset))]


@rule(TAUGHT, "a picture, with what “You should see”")
def picture(page: Page) -> Iterator[str]:
    if "You should see" not in page.text:
        yield "no picture"


@rule(TAUGHT, "`## Recap` with as many points as the first cell")
def recap(page: Page) -> Iterator[str]:
    if (points := len(re.findall(r"^\d\. ", page.section("Recap"), re.MULTILINE))) != page.objectives:
        yield f"{page.objectives} objectives, {points} points in the recap"


@rule(TAUGHT, "a link to a module of the package")
def module(page: Page) -> Iterator[str]:
    if "](../moe_lessons/" not in page.text:
        yield "no link to a module"


@rule(PRACTISED, "at least three such points and two predictions")
def substance(page: Page) -> Iterator[str]:
    if page.objectives < 3 or page.tagged("predict") < 2:
        yield f"{page.objectives} objectives, {page.tagged('predict')} predictions"


@rule(PRACTISED, "a myth (`> **Myth: `)")
def myth(page: Page) -> Iterator[str]:
    if "> **Myth: " not in page.text:
        yield "no myth"


@rule(PRACTISED, "`## Quiz` with `{{quiz}}`: a cell that asks it, three questions (`**1. …**`) and a folded `Answer` "
                 "to each")  # fmt: skip
def quiz(page: Page) -> Iterator[str]:
    if sum(f'quiz("{page.number}")' in cell.source for cell in page.code) != 1:
        yield "no cell that asks it"
    text = page.section("Quiz")
    asked = len(re.findall(r"^\*\*\d\. ", text, re.MULTILINE))
    if (asked, text.count(ANSWERS)) != (3, 3):
        yield f"{asked} questions, {text.count(ANSWERS)} answers"


@rule(PRACTISED, "a link to its exercises")
def exercises(page: Page) -> Iterator[str]:
    if f"](../exercises/{page.path.name})" not in page.text:
        yield "no link to its exercises"


@rule(SET, "one `check` for each question of the set, with the variable that the question names")
def checks(page: Page) -> Iterator[str]:
    given = dict(re.findall(r'check\("([\w.]+)", (\w+)\)', "\n".join(cell.source for cell in page.code)))
    asked = {question.id: question.answer for question in questions().values() if question.set == page.number}
    differ = sorted(id for id in asked | given if given.get(id) != asked.get(id))
    yield from (f"{id}: {given.get(id)} in place of {asked.get(id)}" for id in differ)


@rule(SET, "the record, the hints and the idea of each question: `{{about 4.6}}`, `{{hints 4.6}}`")
def records(page: Page) -> Iterator[str]:
    asked = [question for question in questions().values() if question.set == page.number]
    if (told := len(re.findall(r"^\*[\w ]+ · \w+ · \d+ points? · ", page.text, re.MULTILINE))) != len(asked):
        yield f"{told} records of {len(asked)} questions"
    yield from (question.id for question in asked if not all(t in page.text for t in (*question.hints, question.idea)))


@rule(REVIEW, "15 to 35 minutes in all; another set takes 30 to 45")
def brief(page: Page) -> Iterator[str]:
    if not 15 <= (minutes := minutes_of(page.number)) <= 35:
        yield f"{minutes:g} minutes"


@rule(REVIEW, "no word in its questions of the lesson that an idea comes from")
def unnamed(page: Page) -> Iterator[str]:
    asked = page.text.partition("\n## ")[2].partition("## Where you stand")[0]
    yield from re.findall(r"[^\n]*\blesson\b[^\n]*", asked, re.IGNORECASE)


@rule(PROJECT, "45 to 60 minutes in all")
def an_hour_at_most(page: Page) -> Iterator[str]:
    if not 45 <= (minutes := minutes_of(page.number)) <= 60:
        yield f"{minutes:g} minutes"


@rule(ALONE, "a row in both maps, and a link from a lesson of its number")
def led_to(page: Page) -> Iterator[str]:
    yield from (f"the map in {name}: {row or 'no row'}" for name, row in rows(page.number) if page.path.name not in row)
    lessons = (ROOT / "notebooks").glob(f"{page.number[:2]}*.ipynb")
    nexts = [Page(path, nbformat.read(path, as_version=4)).section("Next") for path in lessons]
    if not any(f"](../exercises/{page.path.name})" in text for text in nexts):
        yield f"no link in a lesson {page.number[:2]}"
