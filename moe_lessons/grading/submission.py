"""Reads a stranger's notebook: from bytes to the sources of its code cells, with nothing executed."""

import difflib
import hashlib
import itertools
import json
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_lessons.checks import registry
from moe_lessons.checks.question import SET_NUMBER, Question, set_name

MOST_BYTES = 20 * 2**20
MOST_CELLS, MOST_CHARACTERS = 1000, 2**20
CHECKED = re.compile(r"""\bcheck\(\s*(?:question_id\s*=\s*)?["']?(\w[\w.]{0,20})""")
IMPORTED = re.compile(r"^[ \t]*from[ \t]+moe_lessons\.checks[ \t]+import[ \t][^\n]*\bcheck\b", re.MULTILINE)
TITLE = re.compile(rf"\s*#[ \t]*Exercises ({SET_NUMBER})\b")
ENOUGH = 2  # of evidence: less may be chance
MUCH = 3  # a question and its check: more than two borrowed names
KINDS = {"markdown": "Markdown"}
COMMENT = re.compile(r"^#+ ?", re.MULTILINE)
STUB = re.compile(r"NotImplementedError|(?<!\.)\.{3}(?!\.)")
UNWRITTEN = re.compile(
    r'"{3}.*?"{3}|^[ \t]*(?:(?:def|class)[^\n]*|raise NotImplementedError(?:\(\))?|#[^\n]*)$', re.MULTILINE | re.DOTALL
)  # what a stub is made of
NUMBERED = re.compile(r"_?(?:v?\d+|new|final|fixed|old)$", re.IGNORECASE)
MOST_NAMES, LONGEST_NAME = 1000, 80  # that are compared with an answer's
SLIP = 0.88  # of a name's letters, at least, are those of the answer's
NAMED = re.compile(r"^[ \t]*(?:(?:def|class)[ \t]+(\w+)|(\w+)[ \t]*(?::[^=\n]*)?=(?!=))", re.MULTILINE)


class Unreadable(Exception):
    """No notebook of the course can be read from a file; the message says why."""


@dataclass(frozen=True)
class Submission:
    """The code cells of a notebook, in order, and what was noticed while reading it.

    titled: the exercise sets of which it has the title. counts: the number under which Jupyter ran each cell. asides:
    the sources of cells that are no code, each with its kind.
    """

    cells: tuple[str, ...]
    notes: tuple[str, ...] = ()
    titled: frozenset[str] = frozenset()
    counts: tuple[int | None, ...] = ()
    asides: tuple[tuple[str, str], ...] = ()


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
    listed = [(cell, _source(cell)) for cell in _cells(notebook) if isinstance(cell, dict)]
    cells = [(cell, source) for cell, source in listed if cell.get("cell_type") == "code"]
    found = tuple(source for _, source in cells if source is not None)
    if len(found) > MOST_CELLS or sum(map(len, found)) > MOST_CHARACTERS:
        raise Unreadable(f"{len(found)} code cells with {sum(map(len, found))} characters: too many")
    if len(found) < len(cells):
        notes.append(f"{len(cells) - len(found)} cells without a source were passed over")
    if not any(cell.strip() for cell in found):
        raise Unreadable("a notebook without code")
    asides = tuple((str(cell["cell_type"]), text) for cell, text in listed if text and cell.get("cell_type") != "code")
    titles = (TITLE.match(text) for kind, text in asides if kind == "markdown")
    counts = tuple(_count(cell) for cell, source in cells if source is not None)
    return Submission(found, tuple(notes), frozenset(title[1] for title in titles if title), counts, asides)


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


def _count(cell: dict) -> int | None:
    """Return the number under which Jupyter ran a cell last, if the file tells."""
    count = cell.get("execution_count", cell.get("prompt_number"))
    return count if type(count) is int and 0 < count < 10**6 else None


def _source(cell: dict) -> str | None:
    """Return the source of a cell, text or a list of lines; `input` in nbformat 3. None if there is none."""
    source = cell.get("source", cell.get("input"))
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    return source if isinstance(source, str) else None


def wanted(
    cells: tuple[str, ...], questions: Mapping[str, Question], titled: frozenset[str] = frozenset()
) -> list[Question]:
    """Return the questions of the exercise set that a notebook is about, by the `evidence` in it, then those of any
    other set of which there is `MUCH`.

    questions: those that are marked. The course's other ones are weighed as well: sets share names, and a notebook of
    another set is no poor answer to this one. Raises Unreadable where no set can be told, or none that is marked.
    """
    weight, size = evidence(cells, questions, titled), Counter(question.set for question in _known(questions))
    marked = {question.set for question in questions.values()}
    if not weight:
        chance = sorted({question.answer for question in _known(questions)} & _named(cells))
        but = f", but for the name {chance[0]}, which alone may be chance" if chance else ""
        raise Unreadable(f"no question of the course is found in it{but}")
    best = max(weight, key=lambda name: (weight[name], name in marked, weight[name] / size[name]))
    there = _by_set(_found(cells, _known(questions)))
    others = [name for name in sorted(there) if there[name] >= MUCH and name != best]
    asked = [question for name in (best, *others) for question in questions.values() if question.set == name]
    if not asked:
        raise Unreadable(f"it is about set {best}, which is not marked here")
    return asked


def evidence(
    cells: tuple[str, ...], questions: Mapping[str, Question], titled: frozenset[str] = frozenset()
) -> Counter[str]:
    """Return what speaks for each exercise set, marked or not, where it is enough to say that the notebook answers it.

    A `check` of a question is enough. So are the names of two answers, and one name beside the title of the set or an
    import of `check`: alone it may be chance, above all in someone's notebook about the same matter.
    """
    weight = _by_set(_found(cells, _known(questions)))
    imported = any(map(IMPORTED.search, cells))
    for name in weight:
        weight[name] += imported + (name in titled)
    return Counter({name: found for name, found in weight.items() if found >= ENOUGH})


def other_sets(asked: list[Question]) -> list[str]:
    """Return a note on each set that is marked beside the first one."""
    others = list(dict.fromkeys(question.set for question in asked))[1:]
    return [f"it holds work on set {name} too, which counts as well" for name in others]


def _known(questions: Mapping[str, Question]) -> Collection[Question]:
    """Return the questions that are marked and the course's other ones."""
    return (registry.questions() | dict(questions)).values()


def _by_set(found: Mapping[str, int]) -> Counter[str]:
    """Return how much of a notebook is about each set."""
    weight: Counter[str] = Counter()
    for id, much in found.items():
        weight[set_name(id.partition(".")[0])] += much
    return weight


def _found(cells: tuple[str, ...], questions: Collection[Question]) -> dict[str, int]:
    """Return, by id, the questions that a notebook answers: a question's `check` counts twice, its name once.

    A common word such as `example` counts only beside its check, and a name that sets share for that which is checked.
    """
    checked = {found for cell in cells for found in CHECKED.findall(cell)}
    named = _named(cells)
    explained = {question.answer for question in questions if question.id in checked}
    weight = {}
    for question in questions:
        telling = question.answer.lower().startswith("my") and question.answer not in explained
        tells = question.id in checked or telling
        weight[question.id] = 2 * (question.id in checked) + (tells and question.answer in named)
    return {id: much for id, much in weight.items() if much}


def _named(cells: Iterable[str]) -> set[str]:
    """Return the names that cells define, as far as their text tells, with letters as Python reads them."""
    found = {name for cell in cells for pair in NAMED.findall(cell) for name in pair if name}
    return {unicodedata.normalize("NFKC", name) for name in found}


def not_found(notebook: Submission, question: Question, attempted: bool) -> list[str]:
    """Return what may be the answer to a question that has not full marks, and is none: nothing is lost in silence.

    attempted: whether another answer to it was found.
    """
    name, other = question.answer, sorted(_named(notebook.cells) - {question.answer})[:MOST_NAMES]
    notes = [f"{one!a} is not {name!r}: it has letters of another alphabet" for one in other if _looks_like(one, name)]
    if attempted:
        return notes
    kinds = [KINDS.get(kind, kind) for kind, text in notebook.asides if _attempts(text, name)]
    notes += [f"{name} stands in a {kind} cell, which is not run" for kind in dict.fromkeys(kinds)]
    notes += [f"{one!a} is not {name!r}, for which the check looks" for one in other if _is_near(one, name)]
    if any(_is_begun(cell, name) for cell in notebook.cells):
        notes.append(f"{name} is begun, but still raises NotImplementedError")
    if any(_attempts(COMMENT.sub("", cell), name) for cell in notebook.cells) and not notes:
        notes = [f"{name} is written in a cell, but never got there: is it a comment, or part of something else?"]
    return notes


def _attempts(text: str, name: str) -> bool:
    """Tell whether a text defines a name as more than a stub."""
    pieces = re.split(r"\n(?=\S)", text)
    return any(name in _named([piece]) and not STUB.search(piece) for piece in pieces)


def _is_begun(text: str, name: str) -> bool:
    """Tell whether a text defines a name by more than a stub, in which the end of the stub is left."""
    pieces = [piece for piece in re.split(r"\n(?=\S)", text) if name in _named([piece])]
    return any("NotImplementedError" in piece and re.search(r"\S", UNWRITTEN.sub("", piece)) for piece in pieces)


def _looks_like(name: str, answer: str) -> bool:
    """Tell whether a name differs from an answer's in letters outside ASCII alone, such as a Cyrillic а."""
    alike = all(a == b or not a.isascii() for a, b in zip(name, answer, strict=False))
    return name != answer and len(name) == len(answer) and alike


def _is_near(name: str, answer: str) -> bool:
    """Tell whether a name is an answer's but for capitals, lines, a number at its end, or a slip of the hand."""
    plain, wanted = (NUMBERED.sub("", text).replace("_", "").casefold() for text in (name, answer))
    slip = (
        answer.startswith("my")
        and len(name) < LONGEST_NAME
        and difflib.SequenceMatcher(None, name, answer).ratio() >= SLIP
    )
    return name.isascii() and (plain == wanted or slip)


def another_order(counts: tuple[int | None, ...]) -> list[str]:
    """Return a note where the cells were last run in another order than they stand, as far as their counts tell."""
    known = [(count, number) for number, count in enumerate(counts, start=1) if count]
    for (count, number), (following, later) in itertools.pairwise(known):
        if following < count:
            return [f"its cells were last run in another order than they stand: cell {number} after cell {later}"]
    return []
