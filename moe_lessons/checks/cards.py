"""A verdict as a card: decoration over its plain text, which says the same wherever there are no cards.

Verdicts are told apart by a word, an icon and the band's ground, never by a colour: a colour is an expert. What a
notebook that is not trusted leaves of a card, its words and its bars, is in elements and in styles of their own.
"""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from moe_lessons.checks.attempt import Status
from moe_lessons.checks.bars import sides
from moe_lessons.checks.closeness import RIGHT
from moe_lessons.checks.parts import Part, as_told, details, is_close, share
from moe_lessons.checks.question import Question
from moe_lessons.checks.registry import following
from moe_lessons.checks.values import Difference, Entry
from moe_lessons.checks.verdicts import Verdict
from moe_lessons.support.markup import element, prose, tag

if TYPE_CHECKING:
    from moe_lessons.checks.engine import Result

NEAR = ("near", "rounded")  # names of mistakes that leave an answer nearly right
END = "Where you stand"  # the last heading of every exercise set


class Band(NamedTuple):
    """The head of a card: an icon, the verdict in words, and the class that gives it its ground."""

    icon: str
    words: str
    kind: str


CORRECT, CLOSE = Band("✓", "Correct", "correct"), Band("≈", "Close, but not yet", "close")
NOT_YET, RAISED = Band("✗", "Not yet", "not-yet"), Band("✗", "Your code raised", "not-yet")
UNTOUCHED = Band("○", "Not attempted yet", "untouched")
BANDS = {
    Status.CORRECT: CORRECT,
    Status.NOT_YET: NOT_YET,
    Status.RAISED: RAISED,
    Status.NOT_ATTEMPTED: UNTOUCHED,
    Status.UNKNOWN: Band("?", "No such question", "untouched"),
    Status.FAULT: Band("!", "The check itself failed", "untouched"),
}


def card(band: Band, about: str, *body: str) -> str:
    """Return a card: the verdict first, then what it is about, then the body, which is HTML."""
    icon = tag("span", band.icon, class_="moe-icon", style="font-size: 24px; font-weight: 700; padding: 0 8px")
    words = element("span", tag("strong", f"{band.words}."), " ", tag("span", about, class_="moe-about"))
    head = element("div", icon, " ", words, class_="moe-band", style="font-size: 18px; padding: 4px 8px 4px 0")
    whole = element("div", *body, class_="moe-body", style="padding: 4px 14px 10px")
    outline = f"border: 2px {'dashed' if band.kind == 'untouched' else 'solid'}; border-radius: 6px; max-width: 720px"
    return framed(f"moe-{band.kind}", head, whole, style=outline)


def framed(kinds: str, *body: str, **attributes: str) -> str:
    """Return HTML in the look of the course's cards; two dollars in what a learner typed make no formula of it."""
    return _style() + element("div", *body, class_=f"moe-card {kinds} tex2jax_ignore mathjax_ignore", **attributes)


@cache
def _style() -> str:
    return f"<style>{files('moe_lessons.checks').joinpath('cards.css').read_text('utf-8')}</style>"


def request_card(request: str) -> str:
    """Return the card of a prediction that is missing: its first sentence, and what to do."""
    first, _, rest = request.partition(". ")
    return card(Band("○", first, "untouched"), "", _step(prose(rest)))


def _step(html: str) -> str:
    return element("p", "<strong>Next:</strong> ", html, class_="moe-next")


def predicted_card(judgement: str, entries: tuple[Entry, ...]) -> str:
    """Return the card of a prediction: how near it is, and both side by side."""
    first, _, rest = judgement.partition(". ")
    known = CORRECT if judgement == RIGHT else CLOSE if first.startswith("Close") else NOT_YET
    both = sides(entries, ("computed", "you predicted"), "number" if len(entries) > 1 else "")
    return card(known._replace(words=first.removesuffix(".")), rest, both)


def verdict_card(result: "Result", question: Question | None, count: str, printed: list[str]) -> str:
    """Return the card of a check. count: what is said of the attempts; printed: the first lines of a learner's code."""
    about = f"{question.id} {question.title}" if question else f"Question {result.question}"
    takeaway = question.takeaway if question and result.status == Status.CORRECT else ""
    return card(
        _band(result),
        about,
        _judged(result.verdict) if result.verdict else paragraphs(result.message, "moe-said"),
        paragraphs(f"Worth keeping: {takeaway}" if takeaway else "", "moe-why"),
        _printed(printed),
        _next(result, question) if question else "",
        paragraphs(count, "moe-faint"),
    )


def _printed(lines: list[str]) -> str:
    listing = tag("pre", "\n".join(lines), class_="moe-printed")
    return paragraphs("Your code printed:", "moe-faint") + listing if lines else ""


def _band(result: "Result") -> Band:
    near = result.status == Status.NOT_YET and (result.mistake in NEAR or is_close(result.parts))
    return CLOSE if near else BANDS[result.status]


def paragraphs(text: str, kind: str) -> str:
    """Return each line of a text as a paragraph of a class."""
    return "".join(element("p", prose(line), class_=kind) for line in text.split("\n") if line)


def _judged(verdict: Verdict) -> str:
    """Return what a verdict says: the diagnosis, what was seen, in which case, and which parts are right."""
    seen = verdict.seen
    return "".join(
        [
            paragraphs(verdict.why, "moe-why"),
            differing(seen) if isinstance(seen, Difference) else paragraphs(seen, "moe-said"),
            paragraphs(verdict.case, "moe-case"),
            paragraphs(verdict.remark, "moe-said"),
            _parts(as_told(verdict.parts)),
        ]
    )


def differing(seen: Difference) -> str:
    """Return what was expected and what came, side by side."""
    return sides(seen.entries, ("expected", "came"), seen.part) + paragraphs(seen.note, "moe-faint")


def _parts(told: list[Part]) -> str:
    """Return the parts of an answer, each with whether it is right."""
    if len(told) == 1:
        return paragraphs(f"Right: {share(told[0])}.", "moe-said")
    items = [_part(part) for part in told]
    return element("ul", *items, class_="moe-parts") if items else ""


def _part(part: Part) -> str:
    if part.right == part.of:
        return tag("li", f"✓ {part.name}: right", class_="moe-right")
    known = details(part)
    return tag("li", f"✗ {part.name}: not yet{f' ({known})' if known else ''}")


def _next(result: "Result", question: Question) -> str:
    """Return the next step: a hint, or the next question, in words and as links within the notebook."""
    after = following(question)
    onwards = _link(f"{after.id} {after.title}", heading(after)) if after else _link(END, END.replace(" ", "-"))
    hint = _link("Hint 1", hint_anchor(question))
    steps = {
        Status.CORRECT: onwards,
        Status.NOT_ATTEMPTED: f"write your answer in the cell above, run it, then run this one again. Stuck? {hint}",
        Status.NOT_YET: f"{hint}, and try again. Or go on: {onwards}",
        Status.RAISED: f"mend that line and try again. Stuck? {hint}",
    }
    step = steps.get(result.status)
    return _step(step) if step else ""


def heading(question: Question) -> str:
    """Return the anchor that Jupyter gives to a question's heading."""
    return f"{question.id} {question.title}".replace(" ", "-")


def hint_anchor(question: Question) -> str:
    """Return the anchor that the build gives to a question's first hint."""
    return f"hint-{question.id}"


def _link(words: str, anchor: str) -> str:
    return tag("a", words, href=f"#{anchor}")
