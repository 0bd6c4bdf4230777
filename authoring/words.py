"""Explains the words of the field in a lesson: at their first use, and in a folded list at its end.

The sources stay plain. In a notebook the first use of a term in prose becomes `<abbr title="what it means">`, which
shows on hover, and a last cell lists the terms that the lesson uses, folded by level. Neither counts as reading.
"""

from percent import Cell

from moe_lessons.support.glossary import LEVELS, Glossary, Term

ID = "words-of-this-lesson"
HEADS = {"newcomer": "If you are new here", "practitioner": "If you train models", "expert": "For the details"}

Texts = list[tuple[Cell, str]]  # cells with what stands in them


def explained(texts: Texts, glossary: Glossary, addresses: dict[str, str], lesson: str) -> Texts:
    """Return the cells of a lesson with its words marked, and with the list of them, if it uses any."""
    seen: dict[str, Term] = {}
    marked = [(cell, mark(text, glossary, seen) if cell.kind == "markdown" else text) for cell, text in texts]
    if not seen:
        return marked
    return [*marked, (Cell("markdown", "", 0, 0, name=ID), listed(seen, addresses, lesson))]


def mark(text: str, glossary: Glossary, seen: dict[str, Term]) -> str:
    """Return Markdown with each term that is not in `seen` explained where it comes first, and add it to `seen`."""

    def write(here: str, term: Term) -> str:
        if term.name in seen:
            return here
        seen[term.name] = term
        return f'<abbr title="{term.says}">{here}</abbr>'

    return glossary.replaced(text, write)


def listed(seen: dict[str, Term], addresses: dict[str, str], lesson: str) -> str:
    """Return the list of a lesson's words, folded by level, each with a link to the lesson that explains it."""
    folds = []
    for level in LEVELS:
        terms = sorted((term for term in seen.values() if term.level == level), key=lambda term: term.name.lower())
        if terms:
            lines = "\n".join(_line(term, addresses, lesson) for term in terms)
            head = f"{HEADS[level]}: {len(terms)} word{'s'[: len(terms) > 1]}"
            folds.append(f"<details><summary>{head}</summary>\n\n{lines}\n\n</details>")
    return "\n\n".join(["## Words of this lesson", *folds])


def _line(term: Term, addresses: dict[str, str], lesson: str) -> str:
    where = "" if term.lesson == lesson else f" ([lesson {term.lesson}]({addresses[term.lesson]}))"
    return f"- **{term.name}**: {term.says}{where}"
