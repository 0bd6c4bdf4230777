"""Who is in the class: a list of names, or a table as Canvas, Moodle, Blackboard and Brightspace export it."""

import codecs
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from moe_lessons.grading.downloads import tidy
from moe_lessons.grading.learners import Learner
from moe_lessons.support.validation import refuse

# Heads of columns, as the platforms write them in English, by what stands below.
HEADS = {
    "name": ("student", "name", "full name", "student name", "learner", "display name"),
    "first": ("first name", "firstname", "given name", "first"),
    "last": ("last name", "lastname", "surname", "family name", "last"),
    "known": ("username", "user name", "login", "login id", "sis login id", "user id", "sis user id", "id",
              "student id", "id number", "orgdefinedid", "matriculation number", "number", "identifier",
              "email", "email address", "e-mail"),
}  # fmt: skip
NOBODY = ("points possible", "test student", "student, test", "student test", "end-of-line indicator")
SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Person:
    """One of the class, and all by which a file of theirs may be known (`keys`)."""

    name: str
    keys: frozenset[str]


def read_roster(path: Path) -> tuple[Person, ...]:
    """Return the people in a file: a table with a head that is known, or a name on each line.

    Raises OSError when it cannot be read, ValueError when nobody is in it.
    """
    text = _text(path.read_bytes())
    people = _table(text)
    if people is None:
        people = _lines(text)
    if not people:
        raise refuse("roster", str(path), "a name on each line, or a table with a column such as Student or Last name")
    return tuple(dict.fromkeys(people))


def _text(content: bytes) -> str:
    """Return the text of a file, whatever a spreadsheet saved it as."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _table(text: str) -> list[Person] | None:
    """Return the people in a table, or None if its first line is no head."""
    first = text.lstrip().partition("\n")[0]
    separator = max(SEPARATORS, key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text.lstrip()), delimiter=separator) if any(map(str.strip, row))]
    head = [tidy(cell).lower() for cell in rows[0]] if rows else []
    columns = {kind: [i for i, cell in enumerate(head) if cell in names] for kind, names in HEADS.items()}
    if not columns["name"] and not (columns["first"] and columns["last"]):
        return None
    return [person for row in rows[1:] if (person := _person(row, columns))]


def _person(row: list[str], columns: dict[str, list[int]]) -> Person | None:
    """Return the person in a row, or None where a platform keeps something else in it."""
    cells = {kind: [tidy(row[i]) for i in at if i < len(row) and row[i].strip()] for kind, at in columns.items()}
    name = cells["name"][0] if cells["name"] else tidy(" ".join(cells["first"][:1] + cells["last"][:1]))
    if not name.strip() or name.lower() in NOBODY:
        return None
    return Person(name, frozenset().union(keys_of_name(name), *map(_keys_of_number, cells["known"])))


def _lines(text: str) -> list[Person]:
    names = [tidy(line.strip().strip('"').rstrip(SEPARATORS)) for line in text.splitlines() if line.strip()]
    return [Person(name, frozenset(keys_of_name(name) | _keys_of_number(name))) for name in names if name.strip()]


def keys_of_name(name: str) -> set[str]:
    """Return what a name is compared by: whatever its capitals, the order of its words, and what stands between them.

    Beginning with any of its words, for "van der Berg, Ann Mary" is "Ann Mary van der Berg", and with its words sorted.
    Latin letters also without their accents.
    """
    words = _words(name)
    keys = {"".join(words[i:] + words[:i]) for i in range(len(words))} | {"".join(sorted(words))}
    return {key for key in keys | set(map(_plain, keys)) if key}


def _words(name: str) -> list[str]:
    """Return the letters and digits of a name, with the marks that belong to them, word by word."""
    kept = (sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in tidy(name).casefold().replace("'", ""))
    return "".join(kept).split()


def _plain(key: str) -> str:
    """Return Latin letters without accents; nothing where others are among them."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", key) if not unicodedata.combining(sign))
    return bare if bare.isascii() else ""


def _keys_of_number(cell: str) -> set[str]:
    """Return what a user name, an address or a number is compared by."""
    bare = cell.casefold().lstrip("#")  # Brightspace puts this before user names
    number = re.fullmatch(r"(?:participant )?(\d+)", bare)
    return {f"#{number[1]}"} if number else {f"@{bare}", f"@{bare.partition('@')[0]}"}


def keys_of_learner(who: Learner) -> set[str]:
    """Return what a learner is compared by: the number first, if there is one."""
    numbers = {f"#{who.number}"} if who.number else set()
    return numbers | keys_of_name(who.name) | _keys_of_number(who.name)


def matched(people: Iterable[Person], learners: Iterable[Learner]) -> dict[Learner, Person]:
    """Return who on the roster each learner is. What several people share is nobody's; a number goes before a name.

    Better nobody than the wrong one: of a learner that could be two people, neither is returned.
    """
    people = list(people)
    shared = Counter(key for person in people for key in person.keys)
    known = {key: person for person in people for key in person.keys if shared[key] == 1}
    found = {}
    for who in learners:
        keys = sorted(keys_of_learner(who) & known.keys())
        numbers = [key for key in keys if key.startswith("#")]
        same = {known[key] for key in numbers or keys}
        if len(same) == 1:
            found[who] = same.pop()
    return found
