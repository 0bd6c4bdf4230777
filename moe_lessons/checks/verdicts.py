"""What a check finds: faults with their reasons, verdicts, and the misconceptions that a question knows."""

import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from moe_lessons.checks.parts import Part, written
from moe_lessons.checks.values import digits_apart, plain, show

Facts = SimpleNamespace


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer: the misconception's name if one was recognised, why, and what was seen of it."""

    name: str | None
    why: str
    seen: str = ""


@dataclass(frozen=True)
class Verdict:
    """What `judge` concludes. `mistake` names the misconception that was recognised, if one was.

    What is said is kept apart until it is shown: why, what was seen, in which case, a remark beside it, and which parts
    of the answer are right all the same.
    """

    correct: bool
    why: str = ""
    mistake: str | None = None
    seen: str = ""
    case: str = ""
    remark: str = ""
    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, fault: Fault) -> "Verdict":
        """Return the verdict on an answer with this fault."""
        return cls(False, fault.why, fault.name, fault.seen)

    @property
    def message(self) -> str:
        """Return all that is said, a line for each."""
        return "\n".join(filter(None, (self.why, self.seen, self.case, self.remark, written(self.parts))))


@dataclass(frozen=True)
class Mistake:
    """A known misconception, recognised by what comes of it. `by_value` and `by_test` declare many at once.

    Either `wrong(*case)` is what someone who holds it would return, or `seen` is a test of what came. It must show in
    every case, or, with `anywhere`, in one. Without a name it says something that helps, and names nothing. `part` says
    which part of a several-part answer shows it.
    """

    name: str | None
    why: str
    wrong: Any = None
    part: str = ""
    seen: Any = None
    anywhere: bool = False


Declared = str | Callable[..., Any] | tuple[Callable[..., Any], ...]


def by_value(*pairs: Declared) -> tuple[Mistake, ...]:
    """Declare mistakes in pairs: a text "name: why", and what someone who makes it would return for a case.

    A tuple of functions stands for several ways to make the same mistake. Raises ValueError for what is not in pairs.
    """
    return tuple(Mistake(name, why, wrong=wrong) for name, why, wrong in _paired(pairs))


def by_formula(of: Callable[..., Any], *pairs: Declared) -> tuple[Mistake, ...]:
    """Declare mistakes as `by_value` does, by formulas: `of(formula)` is the function of a case."""
    return tuple(replace(mistake, wrong=of(mistake.wrong)) for mistake in by_value(*pairs))


def by_test(*pairs: Declared) -> tuple[Mistake, ...]:
    """Declare mistakes in pairs: a text "name: why", and a test that tells whether what came shows it.

    A text that begins with ": " has no name. Raises ValueError for what is not in pairs.
    """
    return tuple(Mistake(name, why, seen=test) for name, why, test in _paired(pairs))


def by_trace(*pairs: Declared) -> tuple[Mistake, ...]:
    """Declare mistakes as `by_test` does, for which it is enough that one case shows them."""
    return tuple(replace(mistake, anywhere=True) for mistake in by_test(*pairs))


def _paired(pairs: tuple[Declared, ...]) -> Iterator[tuple[str | None, str, Callable[..., Any]]]:
    """Yield name, why and function of each pair."""
    if len(pairs) % 2:
        raise ValueError(f"mistakes come in pairs, a text and a function; came {len(pairs)} things")
    for text, functions in zip(pairs[::2], pairs[1::2], strict=True):
        several: Any = functions if isinstance(functions, tuple) else (functions,)
        if not isinstance(text, str) or not all(map(callable, several)):
            raise ValueError(f'a mistake is a text "name: why" and a function; came {text!r} and {functions!r}')
        name, _, why = text.partition(": ")
        if not why:
            raise ValueError(f'a mistake says "name: why"; came {text!r}')
        yield from ((name or None, why, function) for function in several)


def always(*_: Any) -> bool:
    """Tell that it is so: the test of the last mistake in a list, when no other was seen."""
    return True


def filled(text: str, facts: Facts) -> str:
    """Fill the places of a text, such as {loss:.4f}, with facts; arrays as `show` writes them.

    {loss:.4f|1.02} is written with more digits where it takes more to tell it from the limit 1.02.
    """
    return _FORMATTER.vformat(text, (), vars(facts))


class _Formatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        usual, _, limit = format_spec.partition("|")
        if limit:
            return digits_apart(value, float(limit), int(usual[1:-1]), usual[-1])
        return show(plain(value)) if isinstance(value, (np.ndarray, list)) else format(value, format_spec)


_FORMATTER = _Formatter()


def weighed(
    facts: Facts, right: Callable[[Facts], Any] | None, mistakes: tuple[Mistake, ...], report: str = ""
) -> Verdict:
    """Return the verdict on an answer of which these facts were found, with what was seen in `report`'s words.

    It is right if `right` says so, or, without `right`, if no mistake shows; else the first that does is told.
    """
    if right and right(facts):
        return Verdict(True, seen=filled(report, facts))
    mistake = next((mistake for mistake in mistakes if mistake.seen(facts)), None)
    return replace(told(mistake, facts, report), correct=right is None and mistake is None)


def told(mistake: Mistake | None, facts: Facts, report: str) -> Verdict:
    """Return the verdict on an answer that is not right, with what the mistake and the report say of the facts."""
    why, name = (filled(mistake.why, facts), mistake.name) if mistake else ("", None)
    return Verdict(False, why, name, filled(report, facts))
