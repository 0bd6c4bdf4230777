"""How many words of the field are explained to a reader, and where that choice is kept: with the progress.

A notebook's text is the same for everybody: it marks every word at its first use. What a reader does not want is
unmarked by a rule of style, which `explain` and the quiz of a lesson leave on the page.
"""

import json

from moe_lessons.checks.cards import framed
from moe_lessons.checks.records import place
from moe_lessons.support.glossary import LEVELS, Glossary, Term, read
from moe_lessons.support.markup import element, tag
from moe_lessons.support.storage import home, write_atomically
from moe_lessons.support.validation import one_of

# From what a reader asks for to the levels of words that are marked: who wants little knows the newcomer's words.
AMOUNTS = {"everything": LEVELS, "the usual": LEVELS[1:], "little": LEVELS[2:]}
FILE = "reading.json"


class Explained:
    """What `explain` shows: the choice in words, the words that it marks, and the rule that unmarks the others.

    As plain text only the words of a lesson, if one was named: all of them are a long list.
    """

    def __init__(self, amount: str, terms: list[Term], said: str, lesson: str | None) -> None:
        self.amount, self.terms, self.said, self.lesson = amount, terms, said, lesson

    def __repr__(self) -> str:
        return "\n".join([self.said, *(f"{term.name}: {term.says}" for term in self.terms if self.lesson)])

    def _repr_html_(self) -> str:
        items = [element("li", tag("strong", f"{term.name}: "), tag("span", term.says)) for term in self.terms]
        summary = tag("summary", f"These {len(self.terms)} words")
        fold = element("details", summary, element("ul", *items)) if items else ""
        return style(self.amount) + framed("moe-reading", tag("p", self.said), fold)


def explain(amount: str | None = None, lesson: str | None = None) -> Explained:
    """Choose how many words of the field are marked: "everything", "the usual" or "little". Without one, tell which.

    The choice is kept with the progress, and lessons follow it from then on. lesson: shows the words that this lesson
    explains, such as "04", in place of all. Raises ValueError for another amount and for a lesson that explains none.
    """
    glossary, said = read(), ""
    if lesson is not None:
        one_of("lesson", lesson, sorted({term.lesson for term in glossary.terms.values()}))
    if amount is not None:
        said = f" {_keep(one_of('amount', amount, AMOUNTS))}"
    amount = amount or chosen()
    every = [term for term in glossary.terms.values() if lesson in (None, term.lesson)]
    terms = [term for term in every if term.level in AMOUNTS[amount]]
    return Explained(amount, terms, f"Explained: {amount}, {len(terms)} of {len(every)} words.{said}", lesson)


def chosen() -> str:
    """Return what the reader chose; "everything" where nothing is kept, or nothing that can be read."""
    try:
        kept = json.loads((home() / FILE).read_text(encoding="utf-8"))
        return one_of("amount", kept["explain"], AMOUNTS)
    except (OSError, ValueError, KeyError, TypeError):
        return next(iter(AMOUNTS))


def _keep(amount: str) -> str:
    """Keep a choice; return in words where, or why not."""
    try:
        write_atomically(home() / FILE, (json.dumps({"explain": amount}) + "\n").encode())
    except OSError as error:
        return f"(Your choice could not be kept: {error})"
    return f"Your choice is {place()}."


def style(amount: str, glossary: Glossary | None = None) -> str:
    """Return the style that unmarks, on the page of a notebook, the words that a reader does not want; "" if none."""
    terms = (glossary or read()).terms.values()
    rules = [f'abbr[title="{term.says}"]' for term in terms if term.level not in AMOUNTS[amount]]
    if not rules:
        return ""
    return f"<style>:is({', '.join(rules)}) {{ text-decoration: none; cursor: inherit }}</style>"
