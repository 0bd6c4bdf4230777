"""What a question is, what a verdict is, and the form most questions take: a function compared with the reference.

A question works in three steps, split so that the same question serves the kernel at home and a sandbox:
`draw` makes fresh plain data; `probe` alone touches the learner's code and returns plain data; `judge` compares with
values that it computes itself and names the misconception.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons.checks.values import MOST_SHOWN, agree, describe, plain, show, stacked

Data = dict[str, Any]
Reply = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What `judge` concludes. `mistake` names the misconception that was recognised, if one was."""

    correct: bool
    message: str = ""
    mistake: str | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question: its record, and `draw`, `probe`, `judge`, which every kind of question defines.

    `answer` is the name the learner's function or variable has in the notebook; `parameters` are those of the
    function, empty for a variable. `stands_for` names the package's functions that would be the answer.
    `when_raised` is shown beside an error of the learner's code. Without `random_inputs`, every draw is the same.
    """

    id: str
    title: str
    kind: str
    points: int
    minutes: int
    difficulty: str
    hints: tuple[str, str]
    idea: str
    answer: str
    parameters: tuple[str, ...] = ()
    stands_for: tuple[str, ...] = ()
    when_raised: str = ""
    seconds: float = 5.0
    random_inputs: bool = True

    @property
    def set(self) -> str:
        """Return the number of the exercise set, as its file begins: "01"."""
        return self.id.split(".")[0].zfill(2)

    def draw(self, rng: np.random.Generator) -> Data:
        """Return fresh plain data for one check."""
        raise NotImplementedError

    def probe(self, answer: Any, data: Data) -> Reply:
        """Use the learner's answer on `data`; return plain data only."""
        raise NotImplementedError

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare the reply with values computed here."""
        raise NotImplementedError


@dataclass(frozen=True)
class Mistake:
    """A known misconception: `wrong(*case)` is what someone who holds it would return.

    `part` says which part of a several-part answer shows it.
    """

    name: str
    why: str
    wrong: Callable[..., Any]
    part: str = ""


class AnswerRaised(Exception):
    """The learner's function raised; the message says what it was called with, the cause is the error."""


def call_answer(
    function: Callable[..., Any], parameters: tuple[str, ...], case: tuple, *helpers: Any
) -> tuple[Any, list[str]]:
    """Call a learner's function on copies of `case`, then the helpers as they are (functions to be called).

    Return its plain value and the names of the arguments it changed.
    """
    mine = copy.deepcopy(case)
    parameters = parameters[: len(case)]
    try:
        value = plain(function(*mine, *helpers))
    except Exception as error:
        raise AnswerRaised(", ".join(map(_named, parameters, case))) from error
    pairs = zip(parameters, mine, case, strict=True)
    return value, [name for name, now, before in pairs if _changed(plain(now), plain(before))]


def _named(name: str, argument: Any) -> str:
    """Name an argument: a number with its value, an array with its shape."""
    value = plain(argument)
    small = isinstance(value, (np.ndarray, str)) and np.ndim(value) == 0
    return f"{name} = {show(value)}" if small else f"{name}: {describe(value)}"


def call_each(
    function: Callable[..., Any], parameters: tuple[str, ...], cases: list[tuple]
) -> list[tuple[Any, list[str]]]:
    """Call a learner's function on every case; when it raises after it went well before, say so."""
    results = []
    for case in cases:
        try:
            results.append(call_answer(function, parameters, case))
        except AnswerRaised as raised:
            before = f" ({len(results)} before went well)" if results else ""
            raise AnswerRaised(f"{raised}{before}") from raised.__cause__
    return results


def _changed(now: Any, before: Any) -> bool:
    """Tell whether an argument that holds numbers differs from what was passed."""
    return isinstance(before, np.ndarray) and not (isinstance(now, np.ndarray) and agree(now, before))


@dataclass(frozen=True, kw_only=True)
class FunctionQuestion(Question):
    """A function is called on each drawn case and compared with `reference`, part by part.

    `parts` names the entries of a tuple answer, in order; empty means that the answer is a single value.
    """

    cases: Callable[[np.random.Generator], list[tuple]]
    reference: Callable[..., Any]
    mistakes: tuple[Mistake, ...]
    parts: tuple[str, ...] = ()

    def draw(self, rng: np.random.Generator) -> Data:
        """Return the cases: tuples of arguments."""
        return {"cases": self.cases(rng)}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer once for each case, on copies."""
        calls = call_each(answer, self.parameters, data["cases"])
        changed = sorted({name for _, names in calls for name in names})
        return {"values": [value for value, _ in calls], "changed": changed}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Find the first part that is wrong in any case; explain it if a known mistake matches in every case."""
        expected = [self.reference(*case) for case in data["cases"]]
        values = reply["values"]
        if not isinstance(values, list) or len(values) != len(expected):  # only a forged reply can be so
            return Verdict(False, "What came back is no answer to what was asked.")
        if self.parts:
            values = [unpack(value, self.parts) for value in values]
            if None in values:
                return Verdict(False, self._wrong_parts(reply["values"][values.index(None)]))
            columns = [(part, [v[i] for v in values], [e[i] for e in expected]) for i, part in enumerate(self.parts)]
        else:
            columns = [("", values, expected)]
        for part, got, wanted in columns:
            if not all(map(agree, got, wanted)):
                return self._not_yet(data["cases"], part, got, wanted, reply["changed"])
        return Verdict(True, remark_on_changes(reply["changed"]))

    def _wrong_parts(self, value: Any) -> str:
        many = isinstance(value, list) and len(value) != 1
        came = f"{len(value)}: {'; '.join(map(describe, value[:4]))}" if many else describe(value)
        return f"Expected {len(self.parts)} things: {', '.join(self.parts)}. Your function returned {came}."

    def _not_yet(self, cases: list[tuple], part: str, got: list, wanted: list, changed: list[str]) -> Verdict:
        """Explain a wrong part: a recognised mistake first, then the first case that differs."""
        mistake = next((m for m in self.mistakes if m.part == part and self._matches(m, cases, got)), None)
        index = next(i for i, (value, right) in enumerate(zip(got, wanted, strict=True)) if not agree(value, right))
        lines = [mistake.why] if mistake else []
        lines.append(difference(got[index], wanted[index], part, guess=not mistake))
        lines.append("for " + self._write_case(cases[index]))
        lines.append(remark_on_changes(changed))
        return Verdict(False, "\n".join(filter(None, lines)), mistake.name if mistake else None)

    def _matches(self, mistake: Mistake, cases: list[tuple], got: list) -> bool:
        return all(agree(value, mistake.wrong(*case)) for value, case in zip(got, cases, strict=True))

    def _write_case(self, case: tuple) -> str:
        named = zip(self.parameters, case, strict=False)
        return ", ".join(f"{name} = {show(plain(argument))}" for name, argument in named)


def unpack(value: Any, parts: tuple[str, ...]) -> list | None:
    """Return the named parts of a tuple, list or dict answer in order, or None if they are not all there."""
    if isinstance(value, dict) and set(parts) <= set(value):
        return [value[part] for part in parts]
    return value if isinstance(value, list) and len(value) == len(parts) else None


def difference(value: Any, expected: Any, part: str = "", guess: bool = True) -> str:
    """Say what was expected and what came, with shape when that is what differs; `guess` at rounding if it seems so."""
    what = f"{part}: " if part else ""
    value = stacked(value)
    if isinstance(value, np.ndarray) and value.shape == np.shape(expected):
        whole = guess and value.dtype.kind in "iub" and np.asarray(expected).dtype.kind == "f"
        remark = f" ({value.dtype}: was something rounded, or stored in an array of whole numbers?)" if whole else ""
        row, value, expected = _first_wrong_row(value, np.asarray(expected))
        if show(plain(expected)) == show(value) and value.size:
            remark = f" (they differ by up to {np.abs(value - expected).max():.2g}; dtype {value.dtype})"
        return f"{what}{row}expected {show(plain(expected))}, came {show(value)}{remark}"
    forgotten = " (is a `return` missing?)" if value is None else ""
    return f"{what}expected {describe(plain(expected))}, came {describe(value)}{forgotten}"


def _first_wrong_row(value: np.ndarray, expected: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the first row in which two equal-shaped arrays differ, with its name, if they are too large to show."""
    name = ""
    while value.ndim > 1 and value.size > MOST_SHOWN:
        i = next((i for i in range(len(value)) if not agree(value[i], expected[i])), 0)
        name, value, expected = f"{name}[{i}]", value[i], expected[i]
    return (f"in {name} " if name else ""), value, expected


def remark_on_changes(changed: list[str]) -> str:
    """Warn that the caller's arrays were changed in place; say nothing when they were not."""
    if not changed:
        return ""
    names = ", ".join(changed)
    return (
        f"One remark: your function changes its input {names} in place, so its caller's array is different afterwards."
    )


@dataclass(frozen=True, kw_only=True)
class VariableQuestion(Question):
    """The answer is a variable, not a function: it is looked at as it is, and what is asked is the same every time."""

    random_inputs: bool = False

    def draw(self, rng: np.random.Generator) -> Data:
        """Return nothing: the question holds all that is given."""
        return {}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Return the answer as plain data."""
        return {"value": plain(answer)}


@dataclass(frozen=True, kw_only=True)
class ValuesQuestion(VariableQuestion):
    """The learner fills in a dict of numbers; each is compared with `expected()` to within `tolerance`.

    `advice` says, entry by entry, how to go about it when no known mistake matches.
    """

    expected: Callable[[], dict[str, Any]]
    mistakes: tuple[Mistake, ...]
    advice: dict[str, str]
    tolerance: float = 0.005

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the entries in order; the first that is missing or wrong is explained."""
        value, expected = reply["value"], self.expected()
        if not isinstance(value, dict):
            return Verdict(False, f"Expected a dict with the keys {', '.join(expected)}; came {describe(value)}.")
        for part, right in expected.items():
            if part not in value:
                return Verdict(False, f"The key {part!r} is missing; yours are {', '.join(map(repr, value))}.")
            if not isinstance(stacked(value[part]), np.ndarray):
                return Verdict(False, f"{part!r}: expected {describe(plain(right))}, came {describe(value[part])}.")
            if not self._near(value[part], right):
                return self._not_yet(part, value[part])
        return Verdict(True)

    def _not_yet(self, part: str, got: Any) -> Verdict:
        mistake = next((m for m in self.mistakes if m.part == part and self._near(got, m.wrong())), None)
        why = mistake.why if mistake else self.advice[part]
        return Verdict(False, f"{part!r} is not {show(got)}.\n{why}", mistake.name if mistake else None)

    def _near(self, value: Any, expected: Any) -> bool:
        value, expected = np.atleast_1d(stacked(value)), np.atleast_1d(expected)  # [1.04] counts as 1.04
        return value.shape == expected.shape and np.allclose(value, expected, rtol=0, atol=self.tolerance)
