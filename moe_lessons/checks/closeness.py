"""How near a prediction is to the computed answer, said as a person would: right, close (and on which side), or off."""

import math
import re
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

USUAL = "2 %"  # of the answer: room for a prediction rounded to two digits
CLOSE, CLOSE_FACTOR = 3, 2  # within this many times what counts as right; within the factor to this power
NO_NUMBER = ("nan", "none", "no number", "not a number")
TRUTH = {"yes": True, "true": True, "no": False, "false": False}
RIGHT, OFF = "That is it.", "What led you to yours?"


def as_typed(guess: Any, answer: Any, unit: str = "") -> Any:
    """Return a prediction as the kind of thing the answer is, where a person would take it for that.

    "1.25", "1/4", "1,000", "37 billion" and "20 %" are numbers, "nan" and "none" are no number, "yes" is True.
    """
    if isinstance(guess, list) and isinstance(answer, np.ndarray):
        return np.array([as_typed(g, answer[:1].squeeze(), unit) for g in guess]) if _all_numbers(guess) else guess
    if not isinstance(guess, str) or not isinstance(answer, np.ndarray):
        return guess
    words = " ".join(guess.lower().removesuffix(unit).split())
    if answer.dtype.kind == "b":
        return np.array(TRUTH[words]) if words in TRUTH else guess
    if np.isnan(answer).all() and words in NO_NUMBER:
        return np.array(math.nan)
    number = _number(words)
    return guess if number is None else np.array(number)


def _all_numbers(guesses: list) -> bool:
    return all(isinstance(g, np.ndarray) or (isinstance(g, str) and _number(g) is not None) for g in guesses)


def _number(words: str) -> int | float | None:
    """Return the number that some words are, or None."""
    share = 100 if words.endswith("%") else 1
    words = words.rstrip("% ").replace("−", "-").lstrip("~≈ ")
    words = words.replace(",", "" if re.search(r"\d,\d{3}(,|$)", words) else ".")
    try:
        number = Fraction(words) / share
    except (ValueError, ZeroDivisionError):
        return None
    return int(number) if number.denominator == 1 else float(number)


def judged(guess: Any, answer: Any, within: Any = None) -> str:
    """Return the sentence on a prediction that is plain data, such as an array, beside the answer."""
    if isinstance(answer, str):
        return RIGHT if _bare(guess) in (_bare(answer), _bare(answer).removeprefix("e")) else f"They differ. {OFF}"
    if isinstance(guess, list) and isinstance(answer, list) and len(guess) == len(answer):
        return _counted([judged(g, a, within) == RIGHT for g, a in zip(guess, answer, strict=True)])
    if not isinstance(guess, np.ndarray) or not isinstance(answer, np.ndarray) or guess.shape != answer.shape:
        return "They are of different shapes: look again at what was asked."
    if answer.dtype.kind == "b" or guess.dtype.kind == "b":
        return RIGHT if np.array_equal(guess, answer) else f"They differ. {OFF}"
    return _number_judged(guess, answer, within) if answer.size == 1 else _entries_judged(guess, answer, within)


def _bare(words: Any) -> str:
    """Return an answer in words without what may be there or not: "(c)", "an E4.", "expert 4" and 4."""
    words = " ".join(str(words).lower().replace("expert ", "e").strip(" ().'\"").split())
    return re.sub(r"^(a|an|the) ", "", words)


def _entries_judged(guess: np.ndarray, answer: np.ndarray, within: Any) -> str:
    return _counted(near(guess, answer, within).ravel().tolist())


def near(guess: np.ndarray, answer: np.ndarray, within: Any) -> np.ndarray:
    """Tell of each entry of two equal-shaped arrays whether it counts as right."""
    pairs = zip(guess.ravel(), answer.ravel(), strict=True)
    return np.array([bool(_near(g, a, within, 1)) for g, a in pairs]).reshape(answer.shape)


def _counted(right: list[bool]) -> str:
    if all(right):
        return RIGHT
    wrong = [str(number) for number, is_right in enumerate(right, 1) if not is_right]
    which = f"number {wrong[0]} is" if len(wrong) == 1 else f"numbers {', '.join(wrong[:-1])} and {wrong[-1]} are"
    return f"{sum(right)} of {len(right)} entries are right: {which} not. {OFF}"


def _number_judged(guess: np.ndarray, answer: np.ndarray, within: Any) -> str:
    g, a = guess.item(), answer.item()
    if _near(g, a, within, 1):
        return RIGHT
    if not (math.isfinite(g) and math.isfinite(a)):
        return f"They differ. {OFF}"
    side = "low" if g < a else "high"
    if _near(g, a, within, CLOSE):
        return f"Close: a little too {side}."
    return f"Too {side}{_slip(g, a)}. {OFF}"


def _slip(guess: float, answer: float) -> str:
    """Say what a number that is off has in common with the answer, if it has."""
    slips = {
        ": right but for the sign": -answer,
        ": a hundred times the answer (per cent, where a share is asked?)": 100 * answer,
        ": a hundredth of the answer (a share, where per cent are asked?)": answer / 100,
    }
    return next((words for words, slip in slips.items() if answer and math.isclose(guess, slip, rel_tol=0.02)), "")


def _near(guess: float, answer: float, within: Any, times: float) -> bool:
    """Tell whether a number is within `times` what counts as right."""
    if math.isnan(answer) or not math.isfinite(guess) or not math.isfinite(answer):
        return guess == answer or (math.isnan(guess) and math.isnan(answer))
    kind, room = tolerance(within, answer)
    if kind == "factor":
        power = min(times, CLOSE_FACTOR)
        return guess * answer > 0 and abs(math.log(guess / answer)) <= power * math.log(room) + 1e-9
    if room == 0 and times > 1:  # a count that must be exact is close within a tenth, or by one
        room, times = max(1.0, abs(answer) / 10), 1
    return abs(guess - answer) <= times * room * (1 + 1e-9) + 1e-9


def tolerance(within: Any, answer: float = 1.0) -> tuple[str, float]:
    """Return ("by", an amount) or ("factor", a ratio) for what `compare` was told with `within`.

    None: 2 % of the answer, nothing for a whole number. "10 %": of the answer. "a factor of 2": from half to twice the
    answer. A number: in the answer's own unit. Raises ValueError for anything else.
    """
    if within is None:
        within = 0 if isinstance(answer, int) else USUAL
    if isinstance(within, Real) and float(within) >= 0:
        return "by", float(within)
    words = within if isinstance(within, str) else ""
    if share := re.fullmatch(r"(\d+\.?\d*) ?%", words):
        return "by", abs(answer) * float(share[1]) / 100
    if (factor := re.fullmatch(r"a factor of (\d+\.?\d*)", words)) and float(factor[1]) >= 1:
        return "factor", float(factor[1])
    raise ValueError(f'within must be "10 %", "a factor of 2" or a number of at least 0, got {within!r}')
