"""Pages that are filled in rather than written: the landing page, the words of the field, and lists of pages."""

from collections.abc import Iterable
from html import escape

from course import Course, Lesson, Standalone
from words import HEADS

from moe_lessons.support.glossary import LEVELS, Glossary, Term

WORDS = """# The words of the field

{count} words, a sentence each, with the lesson that explains it. In the lessons a word is underlined where it comes
first, and the sentence shows when you point at it.
"""


def landing(template: str, course: Course, visualizer: str, repository: str) -> str:
    """Return the landing page; its visualizer is HTML. Without a repository the reader puts its address in."""
    start = f"git clone {repository or '<this repository>'} moe-lessons && cd moe-lessons && make lab"
    fields = {"visualizer": visualizer, "path": path(course), "start": start}
    for name, text in fields.items():
        template = template.replace(f"{{{{{name}}}}}", text)
    return template


def path(course: Course) -> str:
    """Return the lessons, reviews and the project in their order, as an HTML list."""
    steps = {**course.lessons, **course.standalone}
    items = "\n".join(_step(course, steps[number]) for number in course.order)
    return f'<ol class="path">\n{items}\n</ol>'


def _step(course: Course, step: Lesson | Standalone) -> str:
    """Return one step: its name as a link, its question, and how long it and its exercises take."""
    practice = f"exercises/{step.stem}.html" if course.asked(step.number) else ""
    first = f"notebooks/{step.stem}.html" if isinstance(step, Lesson) else practice
    further = [f"{step.minutes.short} min"] if isinstance(step, Lesson) else []
    if practice:
        amount = escape(course.amount(step.number))
        further.append(f'<a href="{practice}">exercises</a>: {amount}' if further else amount)
    return (
        f'<li><span class="number">{step.number}</span><a href="{first}">{escape(step.title)}</a>'
        f'<p>{escape(step.question)}</p><p class="amount">{" · ".join(further)}</p></li>'
    )


def words(glossary: Glossary, course: Course) -> str:
    """Return the page of all words, by level."""
    parts = [WORDS.format(count=len(glossary.terms))]
    for level in LEVELS:
        terms = sorted((t for t in glossary.terms.values() if t.level == level), key=lambda t: t.name.lower())
        entries = "\n".join(_entry(term, course) for term in terms)
        parts.append(f"## {HEADS[level]}\n\n```{{glossary}}\n{entries}\n```")
    return "\n\n".join(parts) + "\n"


def _entry(term: Term, course: Course) -> str:
    where = f"[lesson {term.lesson}](notebooks/{course.addresses[term.lesson]})"
    return f"{term.name}\n  {term.says} Explained in {where}.\n"


def toctree(caption: str, names: Iterable[str]) -> str:
    """Return a part of the table of contents."""
    return f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```\n"
