"""The quiz of a lesson: question after question, in an order of its own, each choice with its reason.

It runs in the browser (quiz.js); Python holds what it asks, and keeps what comes of it with the learner's progress.
"""

from typing import Any

import anywidget
import traitlets
from IPython.display import display

from moe_lessons.checks import quiz as quizzes
from moe_lessons.checks import reading, records
from moe_lessons.support.formulas import inline
from moe_lessons.support.markup import element, tag
from moe_lessons.widgets.javascript import source
from moe_lessons.widgets.lasting import Lasting
from moe_lessons.widgets.traits import AS_TEXT, COLOURS

IN_BROWSER = "Kept in this browser."


def quiz(lesson: str) -> "LessonQuiz":
    """Return the quiz of a lesson, such as "04", to be shown. Raises ValueError for a lesson that has none."""
    return LessonQuiz(lesson)


class LessonQuiz(Lasting, anywidget.AnyWidget):
    """Questions on the ideas of a lesson: a wrong choice gets its reason, and another question on the same idea.

    kept: by the name of an idea how often it was asked and whether it was shown; what the browser adds to it is kept
    with the learner's progress. attempt: the present one, as quiz.js describes it. place: where it is kept, in words.
    """

    _esm = source("dom.js", "quiz.js")
    _css = source("dom.css", "quiz.css")
    name_on_page = "quiz"
    note = "Run this cell to be asked."

    setting = traitlets.Dict().tag(sync=True, **AS_TEXT)
    attempt = traitlets.Dict().tag(sync=True)
    kept = traitlets.Dict().tag(sync=True)
    place = traitlets.Unicode().tag(sync=True)
    colours = traitlets.Dict(COLOURS).tag(sync=True)

    def __init__(self, lesson: str) -> None:
        self.quiz, self._asks = quizzes.quiz(lesson), False
        kept = {idea.name: _known(lesson, idea.name) for idea in self.quiz.ideas}
        super().__init__(setting=setting(self.quiz), kept=kept, place=_sentence(records.place()))
        self._asks = True

    @traitlets.observe("kept")
    def _keep(self, change: Any) -> None:
        """Count what the browser says was asked once more."""
        for idea in self.quiz.ideas if self._asks else ():
            now = change["new"].get(idea.name, {})
            if now.get("attempts", 0) > change["old"].get(idea.name, {}).get("attempts", 0):
                self._record(idea.name, now.get("correct") is True)

    def _record(self, idea: str, correct: bool) -> None:
        """Keep one attempt; say so in the widget where that fails, for nobody sees what is raised here."""
        try:
            records.record(quizzes.kept_as(self.quiz.lesson, idea), correct, tell=lambda _: None)
        except Exception as error:
            self.place = f"This could not be kept: {error}"

    def _ipython_display_(self) -> None:
        """Show the quiz, and leave the style with it that follows the reader's choice of words (`explain`)."""
        super()._ipython_display_()
        if style := reading.style(reading.chosen()):
            display({"text/html": style, "text/plain": ""}, raw=True)

    def page_state(self) -> dict[str, Any]:
        """Return the quiz as a reader finds it, whoever built the page: nothing is kept yet."""
        return {**super().page_state(), "kept": {}, "attempt": {}, "place": IN_BROWSER}

    def fallback(self) -> str:
        """Return the first question on each idea, with folded answers."""
        asked = "".join(element("li", _on_paper(idea.questions[0])) for idea in self.quiz.ideas)
        return element("div", tag("p", self.still()[1]), element("ol", asked), class_="moe-still")

    def still(self) -> tuple[str, str]:
        """Return no picture, and what is asked here."""
        return "", f"Quiz of lesson {self.quiz.lesson}, {len(self.quiz.ideas)} ideas."


def setting(shown: quizzes.Quiz) -> dict[str, Any]:
    """Return what the browser needs of a quiz, its texts as HTML. Raises ValueError for a formula that is not known."""
    return {"lesson": shown.lesson, "ideas": [_idea(idea) for idea in shown.ideas]}


def _idea(idea: quizzes.Idea) -> dict[str, Any]:
    questions = [{"asks": inline(asked.asks), "options": _options(asked)} for asked in idea.questions]
    return {"name": idea.name, "says": inline(idea.says), "section": inline(idea.section), "questions": questions}


def _options(asked: quizzes.Question) -> list[dict[str, Any]]:
    return [
        {"text": inline(option.text), "why": inline(option.why), "right": option is asked.right}
        for option in asked.options
    ]


def _on_paper(asked: quizzes.Question) -> str:
    """Return a question as HTML that needs no JavaScript, the right option first in its answer."""
    options = "".join(element("li", inline(option.text)) for option in asked.options)
    by_right = sorted(asked.options, key=lambda option: option is not asked.right)
    reasons = "".join(element("li", element("strong", inline(o.text)), ": ", inline(o.why)) for o in by_right)
    answer = element("details", tag("summary", "Answer"), element("ul", reasons))
    return element("p", element("strong", inline(asked.asks))) + element("ul", options) + answer


def _known(lesson: str, idea: str) -> dict[str, Any]:
    """Return how often an idea was asked and whether it was shown, as it is kept."""
    known = records.load(quizzes.kept_as(lesson, idea))
    return {"attempts": known["attempts"], "correct": known["correct"]}


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"
