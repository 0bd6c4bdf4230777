"""Reads a stranger's notebook: from bytes to the sources of its code cells, with nothing executed."""

import hashlib
import json
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_lessons.checks import registry
from moe_lessons.checks.question import SET_NUMBER, Question

MOST_BYTES = 20 * 2**20
MOST_CELLS, MOST_CHARACTERS = 1000, 2**20
CHECKED = re.compile(r"""\bcheck\(\s*["'](\w[\w.]{0,20})["']""")
IMPORTED = re.compile(r"^[ \t]*from[ \t]+moe_lessons\.checks[ \t]+import[ \t][^\n]*\bcheck\b", re.MULTILINE)
TITLE = re.compile(rf"\s*#[ \t]*Exercises ({SET_NUMBER})\b")
ENOUGH = 2  # of evidence: less may be chance
NAMED = re.compile(r"^[ \t]*(?:(?:def|class)[ \t]+(\w+)|(\w+)[ \t]*(?::[^=\n]*)?=(?!=))", re.MULTILINE)


class Unreadable(Exception):
    """No notebook of the course can be read from a file; the message says why."""


@dataclass(frozen=True)
class Submission:
    """The code cells of a notebook, in order, and what was noticed while reading it.

    titled: the exercise sets of which it has the title.
    """

    cells: tuple[str, ...]
    notes: tuple[str, ...] = ()
    titled: frozenset[str] = frozenset()


def read_bytes(path: Path, folder: Path) -> bytes:
    """Return a file's content. Raises Unreadable for links, devices, what is outside `folder`, or is too large."""
    try:
        if any(part.is_symlink() for part in (path, *_between(path, folder))):
            raise Unreadable("a symbolic link, which may lead to another's file")
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with open(handle, "rb") as stream:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise Unreadable("not a regular file")
            if info.st_size > MOST_BYTES:
                raise Unreadable(f"{info.st_size / 2**20:.0f} MB; at most {MOST_BYTES // 2**20} MB are read")
            return stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"cannot be opened: {error.strerror}") from None


def _between(path: Path, folder: Path) -> list[Path]:
    """Return the folders from `folder`, without it, down to the file."""
    try:
        inside = path.absolute().relative_to(folder.absolute())
    except ValueError:
        raise Unreadable(f"not inside the folder {folder}") from None
    return [folder / parent for parent in inside.parents if parent != Path(".")]


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def parse(content: bytes) -> Submission:
    """Return the code cells of a notebook of any format. Raises Unreadable."""
    text, notes = _text(content)
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise Unreadable("nested too deeply for a notebook") from None
    except (ValueError, MemoryError) as error:
        raise Unreadable(f"not JSON, so no notebook ({error})") from None
    cells = _sources(notebook, "code")
    found = tuple(cell for cell in cells if cell is not None)
    if len(found) > MOST_CELLS or sum(map(len, found)) > MOST_CHARACTERS:
        raise Unreadable(f"{len(found)} code cells with {sum(map(len, found))} characters: too many")
    if len(found) < len(cells):
        notes.append(f"{len(cells) - len(found)} cells without a source were passed over")
    if not any(cell.strip() for cell in found):
        raise Unreadable("a notebook without code")
    titles = (TITLE.match(text or "") for text in _sources(notebook, "markdown"))
    return Submission(found, tuple(notes), frozenset(title[1] for title in titles if title))


def _text(content: bytes) -> tuple[str, list[str]]:
    """Return the text of a file, and a note where its encoding is not the one a notebook has."""
    if not content.strip():
        raise Unreadable("an empty file")
    if content.startswith(b"PK\x03\x04"):
        raise Unreadable("a zip archive, not a notebook")
    encoding = json.detect_encoding(content)  # by its first bytes: UTF-8, UTF-16 or UTF-32, with or without a mark
    try:
        text = content.decode(encoding, "surrogatepass")
        return text, [] if encoding.startswith("utf-8") else [f"read as {encoding}; a notebook is UTF-8"]
    except UnicodeDecodeError:
        return content.decode("latin-1"), ["not UTF-8: read as Latin-1"]


def _cells(notebook: Any) -> list:
    """Return the cells of nbformat 4, or of all worksheets of nbformat 3."""
    if not isinstance(notebook, dict):
        raise Unreadable("JSON, but no notebook")
    if isinstance(notebook.get("cells"), list):
        return notebook["cells"]
    sheets = notebook.get("worksheets")
    if not isinstance(sheets, list):
        raise Unreadable("JSON, but without cells")
    lists = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
    return [cell for cells in lists if isinstance(cells, list) for cell in cells]


def _sources(notebook: Any, kind: str) -> list[str | None]:
    """Return the sources of all cells of a kind; None for one that has none."""
    return [_source(cell) for cell in _cells(notebook) if isinstance(cell, dict) and cell.get("cell_type") == kind]


def _source(cell: dict) -> str | None:
    """Return the source of a cell, text or a list of lines; `input` in nbformat 3. None if there is none."""
    source = cell.get("source", cell.get("input"))
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    return source if isinstance(source, str) else None


def wanted(
    cells: tuple[str, ...], questions: Mapping[str, Question], titled: frozenset[str] = frozenset()
) -> list[Question]:
    """Return the questions of the exercise set that a notebook is about, by the `evidence` in it.

    questions: those that are marked. The course's other ones are weighed as well: sets share names, and a notebook of
    another set is no poor answer to this one. Raises Unreadable where no set can be told, or one that is not marked.
    """
    weight, size = evidence(cells, questions, titled), Counter(question.set for question in _known(questions))
    marked = {question.set for question in questions.values()}
    if not weight:
        chance = sorted({question.answer for question in _known(questions)} & _named(cells))
        but = f", but for the name {chance[0]}, which alone may be chance" if chance else ""
        raise Unreadable(f"no question of the course is found in it{but}")
    best = max(weight, key=lambda name: (weight[name], name in marked, weight[name] / size[name]))
    if best not in marked:
        raise Unreadable(f"it is about set {best}, which is not marked here")
    return [question for question in questions.values() if question.set == best]


def evidence(
    cells: tuple[str, ...], questions: Mapping[str, Question], titled: frozenset[str] = frozenset()
) -> Counter[str]:
    """Return what speaks for each exercise set, marked or not, where it is enough to say that the notebook answers it.

    A `check` of a question is enough. So are the names of two answers, and one name beside the title of the set or an
    import of `check`: alone it may be chance, above all in someone's notebook about the same matter.
    """
    weight = _weights(cells, _known(questions))
    imported = any(map(IMPORTED.search, cells))
    for name in weight:
        weight[name] += imported + (name in titled)
    return Counter({name: found for name, found in weight.items() if found >= ENOUGH})


def other_sets(cells: tuple[str, ...], questions: Mapping[str, Question], asked: list[Question]) -> list[str]:
    """Return a note on each further set of which there is more than two borrowed names: a question and its check."""
    there = {name for name, weight in _weights(cells, questions.values()).items() if weight > 2}
    others = sorted(there - {question.set for question in asked})
    return [f"it holds work on set {name} too, which is not marked: a notebook is about one set" for name in others]


def _known(questions: Mapping[str, Question]) -> Collection[Question]:
    """Return the questions that are marked and the course's other ones."""
    return (registry.questions() | dict(questions)).values()


def _weights(cells: tuple[str, ...], questions: Collection[Question]) -> Counter[str]:
    """Return how much of a notebook is about each set: a question's `check` counts twice, its name once.

    A common word such as `example` counts only beside its check, and a name that sets share for that which is checked.
    """
    checked = {found for cell in cells for found in CHECKED.findall(cell)}
    named = _named(cells)
    explained = {question.answer for question in questions if question.id in checked}
    weight: Counter[str] = Counter()
    for question in questions:
        telling = question.answer.lower().startswith("my") and question.answer not in explained
        tells = question.id in checked or telling
        weight[question.set] += 2 * (question.id in checked) + (tells and question.answer in named)
    return +weight


def _named(cells: tuple[str, ...]) -> set[str]:
    """Return the names that cells define, as far as their text tells."""
    return {name for cell in cells for pair in NAMED.findall(cell) for name in pair if name}


def look_alikes(cells: tuple[str, ...], asked: list[Question]) -> list[str]:
    """Return notes on names that differ from an asked one only in letters outside ASCII, such as a Cyrillic а."""
    named = sorted(name for name in _named(cells) if not name.isascii())
    pairs = [(name, question.answer) for name in named for question in asked if _looks_like(name, question.answer)]
    return [f"{name!a} is not {answer!r}: it has letters of another alphabet" for name, answer in pairs]


def _looks_like(name: str, answer: str) -> bool:
    normal = unicodedata.normalize("NFKC", name)  # as Python reads it
    alike = all(a == b or not a.isascii() for a, b in zip(normal, answer, strict=False))
    return normal != answer and len(normal) == len(answer) and alike
