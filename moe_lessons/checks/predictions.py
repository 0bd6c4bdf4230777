"""Predict cells: the learner commits to an answer, the next cell shows the computed one beside it."""

from typing import Any

import numpy as np

from moe_lessons.checks.saying import say
from moe_lessons.checks.values import Opaque, plain, show, stacked


def compare(prediction: Any, actual: Any, unit: str = "") -> None:
    """Print a prediction beside the computed answer (numbers, arrays or text). Never raises, marks nothing."""
    try:
        words = _compared(prediction, actual, unit)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of an object that does not let itself be looked at
        words = f"These could not be compared ({type(error).__name__})."
    say(words)


def _compared(prediction: Any, actual: Any, unit: str) -> str:
    """Return the sentence that sets a prediction beside the computed answer."""
    guess, answer = stacked(plain(prediction)), stacked(plain(actual))
    if isinstance(guess, str) and isinstance(answer, np.ndarray):
        return f"Type a number, without quotes. Computed: {show(answer)} {unit}".rstrip()
    computed = f"{show(answer)} {unit}".rstrip()
    if isinstance(guess, Opaque) or guess is None:
        return f"No prediction yet. Type one in the cell above and run both again. Computed: {computed}"
    return f"You predicted {f'{show(guess)} {unit}'.rstrip()}. Computed: {computed}. {_closeness(guess, answer)}"


def _closeness(guess: Any, answer: Any) -> str:
    """Say how near the guess is: within 2 % counts as right; whole numbers must be exact."""
    if isinstance(guess, str) or isinstance(answer, str):
        same = isinstance(guess, str) and isinstance(answer, str) and guess.strip(" ()").lower() == answer.lower()
        return "That is it." if same else "They differ. What led you to yours?"
    if not isinstance(guess, np.ndarray) or not isinstance(answer, np.ndarray) or guess.shape != answer.shape:
        return "They are of different shapes: look again at what was asked."
    near = np.allclose(guess, answer, rtol=0 if answer.dtype.kind in "iu" else 0.02, atol=1e-9)
    return "That is it." if near else "They differ. What led you to yours?"
