"""Predict cells: the learner commits to an answer, the next cell shows the computed one beside it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moe_lessons.checks.cards import predicted_card, request_card
from moe_lessons.checks.closeness import RIGHT, as_typed, judged, near, tolerance
from moe_lessons.checks.saying import one_output, say
from moe_lessons.checks.values import MOST_SHOWN, Entry, Opaque, plain, show, shown_apart, side_by_side, stacked
from moe_lessons.checks.withheld import withhold

NONE_YET = "No prediction yet."
REQUEST = (
    f"{NONE_YET} Type one in the cell above, then run both cells again. "
    "To see the answer without one, run reveal() in a cell of its own."
)


@dataclass(frozen=True)
class Compared:
    """What is said of a prediction: all of it in a sentence, and apart how near it is, and number by number."""

    sentence: str
    judgement: str = ""
    entries: tuple[Entry, ...] = ()


def compare(prediction: Any, actual: Any, unit: str = "", *, within: Any = None) -> None:
    """Print a prediction beside the computed answer (numbers, arrays or text), and how near it is. Marks nothing.

    Without a prediction, a notebook keeps back the answer and whatever else the cell shows from here on, so `compare`
    stands first; `reveal()` shows it. within: what counts as right: "10 %" of the answer, "a factor of 2", or an amount
    in the answer's unit, such as the spread of the seeds; by default 2 %, and whole numbers must be exact.
    Raises ValueError for a `within` that is none of these, never for a prediction, whatever it is.
    """
    tolerance(within)
    try:
        found = _found(stacked(plain(prediction)), stacked(plain(actual)), unit, within)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of an object that does not let itself be looked at
        found = Compared(f"These could not be compared ({type(error).__name__}).")
    with one_output() as output:
        say(found.sentence)
        output.html = (lambda: predicted_card(found.judgement, found.entries)) if found.entries else None


def _found(guess: Any, answer: Any, unit: str, within: Any) -> Compared:
    """Compare, or keep back what the cell shows if there is nothing to compare."""
    if _is_missing(guess):
        begin = "" if withhold(REQUEST, lambda: request_card(REQUEST)) else f"{NONE_YET} "
        return Compared(f"{begin}{_computed(show(answer), unit)}")
    guess = as_typed(guess, answer, unit)
    words = judged(guess, answer, within)
    predicted, computed = _apart(guess, answer) if words != RIGHT else (show(guess), show(answer))
    entries: tuple[Entry, ...] = (Entry("", _in(unit, computed), _in(unit, predicted), words != RIGHT),)
    if _are_numbers(guess, answer) and guess.ndim and guess.size <= MOST_SHOWN:
        numbered = enumerate(side_by_side(guess, answer, ~near(guess, answer, within)), 1)  # as `judged` counts them
        entries = tuple(replace(entry, place=str(number)) for number, entry in numbered)
    return Compared(f"You predicted {_in(unit, predicted)}. {_computed(computed, unit)} {words}", words, entries)


def _is_missing(guess: Any) -> bool:
    """Tell whether nothing was typed, or something in a list was left open."""
    return guess is None or isinstance(guess, Opaque) or (isinstance(guess, list) and any(map(_is_missing, guess)))


def _in(unit: str, number: str) -> str:
    return f"{number} {unit}".rstrip()


def _computed(answer: str, unit: str) -> str:
    return f"Computed: {_in(unit, answer)}."


def _apart(guess: Any, answer: Any) -> tuple[str, str]:
    """Write both so that what differs looks different."""
    return shown_apart(guess, answer, guess != answer) if _are_numbers(guess, answer) else (show(guess), show(answer))


def _are_numbers(guess: Any, answer: Any) -> bool:
    """Tell whether both are numbers, and as many."""
    return isinstance(guess, np.ndarray) and isinstance(answer, np.ndarray) and guess.shape == answer.shape
