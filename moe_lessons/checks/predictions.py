"""Predict cells: the learner commits to an answer, the next cell shows the computed one beside it."""

from typing import Any

import numpy as np

from moe_lessons.checks.closeness import RIGHT, as_typed, judged, tolerance
from moe_lessons.checks.saying import say
from moe_lessons.checks.values import Opaque, plain, show, shown_apart, stacked
from moe_lessons.checks.withheld import withhold

NONE_YET = "No prediction yet."
REQUEST = (
    f"{NONE_YET} Type one in the cell above, then run both cells again. "
    "To see the answer without one, run reveal() in a cell of its own."
)


def compare(prediction: Any, actual: Any, unit: str = "", *, within: Any = None) -> None:
    """Print a prediction beside the computed answer (numbers, arrays or text), and how near it is. Marks nothing.

    Without a prediction, a notebook keeps back the answer and whatever else the cell shows from here on, so `compare`
    stands first; `reveal()` shows it. within: what counts as right: "10 %" of the answer, "a factor of 2", or an amount
    in the answer's unit, such as the spread of the seeds; by default 2 %, and whole numbers must be exact.
    Raises ValueError for a `within` that is none of these, never for a prediction, whatever it is.
    """
    tolerance(within)
    try:
        guess, answer = stacked(plain(prediction)), stacked(plain(actual))
        if not _is_missing(guess):
            words = _compared(guess, answer, unit, within)
        else:
            words = f"{'' if withhold(REQUEST) else f'{NONE_YET} '}{_computed(show(answer), unit)}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of an object that does not let itself be looked at
        words = f"These could not be compared ({type(error).__name__})."
    say(words)


def _is_missing(guess: Any) -> bool:
    """Tell whether nothing was typed, or something in a list was left open."""
    return guess is None or isinstance(guess, Opaque) or (isinstance(guess, list) and any(map(_is_missing, guess)))


def _computed(answer: str, unit: str) -> str:
    return f"Computed: {answer} {unit}".rstrip() + "."


def _compared(guess: Any, answer: Any, unit: str, within: Any) -> str:
    """Return the sentence that sets a prediction beside the computed answer."""
    guess = as_typed(guess, answer, unit)
    words = judged(guess, answer, within)
    predicted, computed = _apart(guess, answer) if words != RIGHT else (show(guess), show(answer))
    return f"You predicted {f'{predicted} {unit}'.rstrip()}. {_computed(computed, unit)} {words}"


def _apart(guess: Any, answer: Any) -> tuple[str, str]:
    """Write both so that what differs looks different."""
    numbers = all(isinstance(value, np.ndarray) for value in (guess, answer)) and guess.shape == answer.shape
    return shown_apart(guess, answer, guess != answer) if numbers else (show(guess), show(answer))
