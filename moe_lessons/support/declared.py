"""Reads a file in TOML that a person wrote: what is wrong is told with its line, its name, and what fits there."""

import difflib
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

Keys = tuple[str | int, ...]  # the way to a value: names of tables and keys, and the places of rows, from 0

HEAD = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[^\s=#"'\[\]])+)\s*=""")


@dataclass(frozen=True)
class Place:
    """A value in the file, and the way to it."""

    file: Path
    text: str
    value: Any
    keys: Keys = ()

    def wrong(self, expected: str) -> ValueError:
        """Return the error for this value: "marking.toml, line 4: points = -1: expected a number from 0 to 3"."""
        shown = " ".join(str(self.value).split())
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        name = ".".join(str(key) for key in self.keys if isinstance(key, str))
        return ValueError(f"{self.file.name}, {_where(self.text, self.keys)}{name} = {shown}: expected {expected}")

    def table(self, known: Collection[str] = (), needed: Collection[str] = ()) -> dict[str, "Place"]:
        """Return what is in a table. Raises ValueError for a key that is not known, unless any is; for one missing."""
        if not isinstance(self.value, dict):
            raise self.wrong(f"a table with {', '.join(known) or 'names and values'}")
        inside = {key: Place(self.file, self.text, value, (*self.keys, key)) for key, value in self.value.items()}
        for key in inside:
            if known and key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                raise inside[key].wrong(f"the name {near[0]}" if near else f"one of the names {', '.join(known)}")
        for key in needed:
            if key not in inside:
                raise self.wrong(f"{key} = …, too")
        return inside

    def rows(self, expected: str = "") -> list["Place"]:
        """Return the entries of a list, such as the tables [[override]]. Raises ValueError."""
        if not isinstance(self.value, list):
            raise self.wrong(expected or f"[[{self.keys[-1]}]] before each, with two brackets")
        return [Place(self.file, self.text, row, (*self.keys, i)) for i, row in enumerate(self.value)]

    def words(self, expected: str = "words in quotation marks") -> str:
        """Return a text that is not empty. Raises ValueError."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.wrong(expected)
        return self.value.strip()

    def number(self, least: float = 0, most: float = float("inf")) -> float:
        """Return a number. Raises ValueError."""
        fits = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        if not fits or not least <= self.value <= most or self.value == float("inf"):
            raise self.wrong(f"a number from {least:g}" + (f" to {most:g}" if most < float("inf") else ""))
        return self.value

    def share(self) -> float:
        """Return 0.1 for "10 %". Raises ValueError."""
        percent = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*%", self.value.strip()) if isinstance(self.value, str) else None
        if not percent or float(percent[1]) > 100:
            raise self.wrong('a share in percent, such as "10 %"')
        return float(percent[1]) / 100

    def moment(self) -> datetime:
        """Return a time of the clock on the wall; of a day alone its end. Raises ValueError."""
        value = self.value
        if isinstance(value, str):
            try:
                value = date.fromisoformat(value) if len(value) == len("2026-11-30") else datetime.fromisoformat(value)
            except ValueError:
                value = None
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time.max)
        if not isinstance(value, datetime) or value.tzinfo:
            raise self.wrong('a day or an hour, such as 2026-11-30 or "2026-11-30 18:00"')
        return value

    def choice(self, among: Collection[str]) -> str:
        """Return one of some words. Raises ValueError."""
        if self.value not in among:
            raise self.wrong("one of " + ", ".join(f'"{word}"' for word in among))
        return str(self.value)


def opened(file: Path) -> Place:
    """Return what is in a file. Raises OSError, and ValueError where it is no TOML, with the line."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        return Place(file, text, tomllib.loads(text))
    except UnicodeDecodeError:
        raise ValueError(f"{file.name}: expected a file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from None


def _where(text: str, keys: Keys) -> str:
    line = line_of(text, keys)
    return f"line {line}: " if line else ""


def line_of(text: str, keys: Keys) -> int | None:
    """Return the line of a value, or of the table around it; None where neither can be told."""
    table: Keys = ()
    rows: dict[Keys, int] = {}
    deepest, found = 0, None
    for number, line in enumerate(text.splitlines(), 1):
        if head := HEAD.fullmatch(line):
            here = table = _row(_names(head[2]), rows) if head[1] == "[[" else _names(head[2])
        elif key := KEY.match(line):
            here = (*table, *_names(key[1]))
        else:
            continue
        depth = min(len(here), len(keys))
        if depth > deepest and keys[:depth] == here[:depth]:
            deepest, found = depth, number
    return found


def _row(names: Keys, rows: dict[Keys, int]) -> Keys:
    """Return the way to the next row of a list, and count it."""
    rows[names] = rows.get(names, -1) + 1
    return (*names, rows[names])


def _names(written: str) -> Keys:
    """Return the parts of a key, as TOML reads it: late."Ann Lee" has two."""
    try:
        inside, names = tomllib.loads(f"{written} = 0"), []
    except tomllib.TOMLDecodeError:
        return ("?",)
    while isinstance(inside, dict):
        [(name, inside)] = inside.items()
        names.append(name)
    return tuple(names)
