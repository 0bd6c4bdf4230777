"""The words of the field, from `glossary.toml`: a sentence on each, for whom it is, and where the course explains it.

A word is looked for in prose alone: code, formulas, headings, rows of tables and links are passed over.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from moe_lessons.support.declared import Place, opened

GLOSSARY = Path(__file__).parents[1] / "glossary.toml"
LEVELS = ("newcomer", "practitioner", "expert")
NEEDED = ("says", "level", "lesson", "section")
PLAIN = re.compile(r"[^\"<>|$`*_\\\n]+[.]")  # what stands in an attribute, in Markdown, and in a list: a sentence

# What is no prose, in the order in which it is looked for.
_NO_PROSE = (
    r"```.*?```|``.*?``|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|^#+[ ].*?$|^\|.*?$|!?\[[^\]]*\]\([^)]*\)|https?://\S+"
    r"|<summary>.*?</summary>|</?[A-Za-z][^>]*>|\{\{.*?\}\}"
)


@dataclass(frozen=True)
class Term:
    """A word of the field.

    `level` is that of the reader for whom it is explained; `lesson` and `section`, a heading of it, explain it, by the
    words `told` if they do not name it; `forms` are other spellings under which it is found; `early` says why a lesson
    before that one may use it.
    """

    name: str
    says: str
    level: str
    lesson: str
    section: str
    told: str = ""
    forms: tuple[str, ...] = ()
    early: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def spellings(self) -> set[str]:
        """The name and its forms, each also as it begins a sentence."""
        return {written for form in (self.name, *self.forms) for written in (form, form[:1].upper() + form[1:])}


@dataclass(frozen=True)
class Glossary:
    """Terms by their names."""

    terms: Mapping[str, Term]

    @cached_property
    def by_spelling(self) -> dict[str, Term]:
        """Every term under each of its spellings."""
        return {written: term for term in self.terms.values() for written in term.spellings}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """What is no prose, or a spelling: of two that begin alike the longer."""
        longest_first = sorted(self.by_spelling, key=len, reverse=True)
        words = "|".join(re.escape(written).replace(r"\ ", r"\s+") for written in longest_first)
        return re.compile(rf"{_NO_PROSE}|(?<![\w-])(?P<term>{words})(?![\w-])", re.DOTALL | re.MULTILINE)

    def replaced(self, text: str, write: Callable[[str, Term], str]) -> str:
        """Return Markdown with each term in its prose as `write` has it, which gets what is there and the term."""
        if not self.terms:
            return text

        def written(found: re.Match[str]) -> str:
            here = found["term"]
            return write(here, self._term(here)) if here else found[0]

        return self._pattern.sub(written, text)

    def used(self, text: str) -> Iterator[Term]:
        """Yield the terms in the prose of Markdown, as often as they stand there."""
        if self.terms:
            for found in self._pattern.finditer(text):
                if found["term"]:
                    yield self._term(found["term"])

    def _term(self, written: str) -> Term:
        """Return the term of a spelling as it stands in a text, where a line may end between two words."""
        return self.by_spelling[" ".join(written.split())]


def as_json(glossary: Glossary) -> str:
    """Return the words as JSON for a page, which finds a word by what it says: a list of name, says, level, lesson."""
    terms = sorted(glossary.terms.values(), key=lambda term: term.name.lower())
    entries = [{"name": t.name, "says": t.says, "level": t.level, "lesson": t.lesson} for t in terms]
    return json.dumps(entries, ensure_ascii=False, indent=1) + "\n"


def read(path: Path = GLOSSARY) -> Glossary:
    """Return the glossary in a TOML file. Raises ValueError with the line for what is wrong in it, and OSError."""
    terms = [_term(name, place) for name, place in opened(path).table().items()]
    _refuse_shared(terms, path)
    return Glossary({term.name: term for term in terms})


def _term(name: str, place: Place) -> Term:
    entry = place.table((*NEEDED, "told", "forms", "early"), NEEDED)
    says = entry["says"].words()
    if not PLAIN.fullmatch(says):
        raise entry["says"].wrong('one sentence that ends with a full stop, without any of " < > | $ ` * _ and \\')
    return Term(
        name,
        says,
        entry["level"].choice(LEVELS),
        entry["lesson"].words(),
        entry["section"].words(),
        entry["told"].words() if "told" in entry else "",
        tuple(form.words() for form in entry["forms"].rows("a list of spellings")) if "forms" in entry else (),
        {lesson: why.words("a reason") for lesson, why in entry["early"].table().items()} if "early" in entry else {},
    )


def _refuse_shared(terms: Iterable[Term], path: Path) -> None:
    """Raise ValueError where two terms are found under one spelling."""
    taken: dict[str, str] = {}
    for term in terms:
        for written in sorted(term.spellings):
            if taken.setdefault(written, term.name) != term.name:
                raise ValueError(f"{path.name}: {written!r} is a spelling of {taken[written]!r} and of {term.name!r}")
