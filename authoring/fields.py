"""Fills in what the course knows, in Markdown cells and in the README: links, the map, how much there is to do.

[](lesson:05), [the layer](module:layer), [](exercises:05), [](solutions:05)     addresses, and a text if there is none
{{questions}}       "five questions, about 35 minutes", for the set of the source; with a capital where it begins a line
{{minutes}}         "about 40 minutes, and 10 more for the *deeper* parts", for the lesson of the source
{{quiz}}, {{quiz 5}}    the first three, or so many, questions of a lesson's quiz with folded answers, alone on a line
{{map}}             the table of all lessons, alone on a line
"""

import re
from collections.abc import Iterable

from course import FOLDERS, README_MAP, Course
from percent import SourceError
from quizzes import printed

_LINK = re.compile(rf"\[([^\]]*)\]\(({'|'.join(FOLDERS)}|module):([^)]*)\)")
_FIELD = re.compile(r"(^\s*)?\{\{(questions|minutes|map|quiz(?: [1-9])?)\}\}")
_ALMOST = re.compile(
    r"(?<![\\\w^}])\{\{\s*(?!about|hint)[A-Za-z]|\]\((lessons?|exercises?|solutions?|modules?)\s*:|\]\(\)|\[\]\("
)


def fill(lines: Iterable[tuple[int, str]], course: Course, folder: str, number: str) -> list[tuple[int, str]]:
    """Return numbered lines of a Markdown cell with links and fields filled in. Raises SourceError."""
    filled = []
    for line, text in lines:
        try:
            text = _LINK.sub(lambda link: _link(link, course, folder), text)
            text = _FIELD.sub(lambda field: _value(field, course, number), text)
        except ValueError as error:
            raise SourceError(line, str(error)) from None
        if found := _ALMOST.search(text):
            raise SourceError(line, f"`{found[0]}` is no field and no link: see authoring/fields.py")
        filled.append((line, text))
    return filled


def _link(link: re.Match[str], course: Course, folder: str) -> str:
    usual, address = course.address(link[2], link[3], folder)
    return f"[{link[1] or usual}]({address})"


def _value(field: re.Match[str], course: Course, number: str) -> str:
    """Return the text for a field; `field[1]` is the space before it where it begins a line."""
    if field[2] == "map":
        return course.map("", "../exercises/", here=number)
    if field[2].startswith("quiz"):
        return printed(course.root, number, field[2].removeprefix("quiz"))
    amount = course.minutes(number) if field[2] == "minutes" else course.amount(number)
    return amount if field[1] is None else f"{field[1]}{amount[:1].upper()}{amount[1:]}"


def fill_readme(text: str, course: Course) -> str:
    """Return the README with the map between its two markers written anew."""
    return README_MAP.sub(lambda found: f"{found[1]}\n{course.map('notebooks/', 'exercises/')}\n\n{found[2]}", text)
