"""What a question is, and the forms that most questions take: a function, a variable, a dict of numbers.

A question works in three steps, split so that the same question serves the kernel at home and a sandbox:
`draw` makes fresh plain data; `probe` alone touches the learner's code and returns plain data; `judge` compares with
values that it computes itself and names the misconception.
"""

import contextlib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import numpy as np

from moe_lessons.checks.calls import (
    Called,
    Helper,
    call_answer,
    called_with_help,
    called_with_tensors,
    differentiated,
    load_torch,
    remark_on_changes,
    replied,
)
from moe_lessons.checks.forms import Fields, Form, no_numbers
from moe_lessons.checks.parts import Part
from moe_lessons.checks.usual import exchanged, rounded_too_far, usual_slip
from moe_lessons.checks.values import agree, describe, difference, how_many_off, partly, plain, show, stacked, unpack
from moe_lessons.checks.verdicts import Facts, Fault, Mistake, Verdict, told, weighed

Data = dict[str, Any]
Reply = dict[str, Any]
SET_NUMBER = r"\d\d[rp]?"  # an exercise set: of a lesson, or a mixed review, 04r, or a project, 11p
ONLY_TENSORS = "Only a tensor carries a gradient."
NO_ANSWER = Verdict(False, "What came back is no answer to what was asked.")  # only a forged reply can be so


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question: its record, and `draw`, `probe`, `judge`, which every kind of question defines.

    `idea` is folded below the hints; `takeaway` is what a right answer earns: one sentence that outlasts the question.
    `answer` is the name the learner's function or variable has in the notebook; `parameters` are those of the
    function, empty for a variable. `stands_for` names the package's functions that would be the answer.
    `when_raised` is shown beside an error of the learner's code. Without `random_inputs`, every draw is the same.
    `needs_torch` has torch loaded before the answer's time counts; "optimiser" also what a first training step loads.
    The `parameters` of a class, where `asks_for` says so, are those that make an instance of it.
    `probed_with` names the fields that `probe` uses, `probed_on` what it uses of the data: a sandbox is told no more.
    """

    id: str
    title: str
    kind: str
    points: int
    minutes: int
    difficulty: str
    hints: tuple[str, str]
    idea: str
    takeaway: str = ""
    answer: str
    parameters: tuple[str, ...] = ()
    stands_for: tuple[str, ...] = ()
    when_raised: str = ""
    seconds: float = 5.0
    random_inputs: bool = True
    needs_torch: Literal["", "tensors", "optimiser"] = ""
    asks_for: Literal["function", "class"] = "function"

    probed_with: ClassVar[tuple[str, ...]] = ("id", "answer", "parameters", "stands_for", "when_raised", "asks_for")
    probed_on: ClassVar[tuple[str, ...]] = ()

    @property
    def set(self) -> str:
        """Return the number of the exercise set, as its file begins: "01"; "04r" of a review, "11p" of a project."""
        return set_name(self.id.split(".")[0])

    @property
    def kind_of_set(self) -> Literal["lesson", "review", "project"]:
        """Return whether its set is that of a lesson, or a mixed review or a project, which have none of their own."""
        return "review" if self.set.endswith("r") else "project" if self.set.endswith("p") else "lesson"

    def made_ready(self) -> "Question":
        """Load what the question needs, before anybody's time counts; return the question."""
        if self.needs_torch:
            load_torch(self.needs_torch == "optimiser")
        return self

    def draw(self, rng: np.random.Generator) -> Data:
        """Return fresh plain data for one check."""
        raise NotImplementedError

    def probe(self, answer: Any, data: Data) -> Reply:
        """Use the learner's answer on `data`; return plain data only."""
        raise NotImplementedError

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare the reply with values computed here."""
        raise NotImplementedError

    def verdict(self, data: Data, reply: Reply) -> Verdict:
        """Judge the reply; of an answer that is not right, mark every part."""
        verdict = self.judge(data, reply)
        with contextlib.suppress(Exception):  # the reply may be forged: whatever goes wrong, nothing is right
            return verdict if verdict.correct else replace(verdict, parts=self.rights(data, reply))
        return verdict

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell which parts are right, which the verdict says and marks count. It may raise if the reply is forged."""
        return ()


def set_name(number: str) -> str:
    """Return the number of an exercise set as its file begins: "04" for "4", "04r" for "4r"."""
    return number.zfill(3 if number[-1:].isalpha() else 2)


def about(id: str, title: str, kind: str, difficulty: str, *, points: int, minutes: int) -> dict[str, Any]:
    """Return a question's record, to be written in one line: `**about("4.6", "The mass that is cut", ...)`."""
    return {"id": id, "title": title, "kind": kind, "difficulty": difficulty, "points": points, "minutes": minutes}


@dataclass(frozen=True, kw_only=True)
class CalledQuestion(Question):
    """A function is called on each of the cases that `cases` draws: tuples of arguments.

    `helper` makes the last argument from the last entry of a case, which the learner does not see, and takes notes.
    `tensors` names the arguments that are handed over as torch tensors. `slopes` names those by which what comes is
    differentiated: each gradient is a part of the answer. What a case holds beyond the parameters is the judge's own.
    With `quiet`, numpy's warnings are not shown: the verdict says what became of an overflow. `written` writes a case.
    """

    cases: Callable[[np.random.Generator], list[tuple]]
    helper: type[Helper] | None = None
    tensors: tuple[str, ...] = ()
    slopes: tuple[str, ...] = ()
    quiet: bool = False
    written: Callable[..., str] | None = None

    probed_with: ClassVar[tuple[str, ...]] = (*Question.probed_with, "helper", "tensors", "slopes", "quiet")
    probed_on: ClassVar[tuple[str, ...]] = ("cases",)

    def draw(self, rng: np.random.Generator) -> Data:
        """Return the cases."""
        return {"cases": self.cases(rng)}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer once for each case, on copies."""
        noted = bool(self.helper or self.slopes)
        return replied(lambda case: self._called(answer, case), data["cases"], self.quiet, noted)

    def _called(self, answer: Any, case: tuple) -> Called:
        """Call the answer as this question calls it."""
        if self.helper:
            return called_with_help(answer, self.parameters, case, self.helper)
        if self.slopes:
            return differentiated(answer, self.parameters, case, self.slopes)
        if self.tensors:
            return called_with_tensors(answer, self.parameters, case, self.tensors)
        return Called(*call_answer(answer, self.parameters, case))

    def _write_case(self, case: tuple) -> str:
        if self.written:
            return self.written(*case)
        seen = len(self.parameters) - bool(self.helper)
        named = zip(self.parameters, case[:seen], strict=False)
        helped = self.helper.written(self.parameters[-1], case[-1]) if self.helper else ""
        return ", ".join(filter(None, [*(f"{name} = {show(plain(value))}" for name, value in named), helped]))

    def _notes(self, reply: Reply, cases: list[tuple]) -> list[tuple]:
        """Return what was noted in each case, as further arguments of a test: (noted,), or nothing."""
        if not (self.helper or self.slopes):
            return [()] * len(cases)
        return [(noted,) for noted in reply["noted"]]


@dataclass(frozen=True, kw_only=True)
class FunctionQuestion(CalledQuestion):
    """A function is called on each drawn case and compared with `reference`, part by part.

    `parts` names the entries of a tuple answer, in order, or gives the mistakes of each; empty means that the answer is
    a single value. A mistake is named when it shows in every case. A test among `mistakes` is called with the value,
    what was noted, if anything is, and the case; in a question with parts, that of no part sees the whole answer, also
    one that has not these parts.
    A test may return words for True: they say what was seen. `read` makes of a value (and its case) what is compared.
    `shown` says, of a value, what is right and the case, what is seen of a wrong value, in the place of `difference`.
    `afterwards` looks at right values, called as a test is: it returns a `Fault` or None.
    """

    reference: Callable[..., Any]
    mistakes: tuple[Mistake, ...] = ()
    parts: tuple[str, ...] | Mapping[str, tuple[Mistake, ...]] = ()
    read: Callable[..., Any] | None = None
    shown: Callable[..., str] | None = None
    afterwards: Callable[..., Fault | None] | None = None

    @cached_property
    def known_mistakes(self) -> tuple[Mistake, ...]:
        """Return the mistakes of all parts, each with its part, and those of the whole."""
        by_part = self.parts if isinstance(self.parts, Mapping) else {}
        return (*(replace(m, part=part) for part, found in by_part.items() for m in found), *self.mistakes)

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Find the first part that is wrong in any case; explain it if a known mistake matches in every case."""
        cases, values = data["cases"], reply["values"]
        if not isinstance(values, list) or len(values) != len(cases):
            return NO_ANSWER
        expected = [self.reference(*case) for case in cases]
        if unfit := self._unfit(values, cases, reply):
            return unfit
        for part, got, wanted in self._columns(values, expected):
            came = [self._read(value, case) for value, case in zip(got, cases, strict=True)]
            if not all(map(agree, came, wanted)):
                return self._not_yet(part, came, wanted, cases, reply)
        return self._right(cases, reply)

    def _unfit(self, values: list, cases: list[tuple], reply: Reply) -> Verdict | None:
        """Return a verdict on answers that have not the parts that were asked for, or None."""
        if not self.parts:
            return None
        wrong = next((value for value in values if unpack(value, self.parts) is None), values)
        if wrong is not values:
            mistake, _ = self._recognised("", values, cases, reply)
            found = self._wrong_parts(wrong)
            return Verdict(False, mistake.why, mistake.name, found) if mistake else Verdict(False, found)
        lost = [value[0] for value in values if self.slopes and value[1] is None]
        return Verdict(False, f"Expected a torch tensor. Came {describe(lost[0])}. {ONLY_TENSORS}") if lost else None

    def _columns(self, values: list, expected: list) -> list[tuple[str, list, list]]:
        """Return for each part its name, what came, and what is right; one without a name where there are no parts."""
        if not self.parts:
            return [("", values, expected)]
        came = [partly(value, self.parts) for value in values]
        return [(part, [v[i] for v in came], [e[i] for e in expected]) for i, part in enumerate(self.parts)]

    def _read(self, value: Any, case: tuple) -> Any:
        return self.read(value, *case) if self.read else value

    def _wrong_parts(self, value: Any) -> str:
        many = isinstance(value, list) and len(value) != 1
        came = f"{len(value)}: {'; '.join(map(describe, value[:4]))}" if many else describe(value)
        return f"Expected {len(self.parts)} things: {', '.join(self.parts)}. Your function returned {came}."

    def _not_yet(self, part: str, got: list, wanted: list, cases: list[tuple], reply: Reply) -> Verdict:
        """Explain a wrong part: a recognised mistake first, then the first case that differs."""
        mistake, words = self._recognised(part, got, cases, reply)
        if not mistake and all(map(self._is, map(plain, wanted), wanted, cases)):  # read on the same scale
            mistake = usual_slip(got, wanted)
        i = next(i for i, (value, right) in enumerate(zip(got, wanted, strict=True)) if not agree(value, right))
        guess = mistake is None or mistake.wrong is None
        if not words and self.shown:
            words = self.shown(got[i], wanted[i], *cases[i])
        seen = words or difference(got[i], wanted[i], part, guess=guess)
        why, name = (mistake.why, mistake.name) if mistake else ("", None)
        return Verdict(False, why, name, seen, f"for {self._write_case(cases[i])}", remark_on_changes(reply["changed"]))

    def _recognised(self, part: str, got: list, cases: list[tuple], reply: Reply) -> tuple[Mistake | None, str]:
        """Return the first mistake that shows, of this part or else of the whole answer, and its test's words."""
        notes = self._notes(reply, cases)
        candidates = [(mistake, got) for mistake in self.known_mistakes if mistake.part == part]
        if part:
            candidates += [(mistake, reply["values"]) for mistake in self.mistakes if not mistake.part]
        for mistake, came in candidates:
            if mistake.seen is None:
                shows = [self._matches(mistake, cases, came)]
            else:
                calls = zip(came, notes, cases, strict=True)
                shows = [mistake.seen(stacked(value), *noted, *case) for value, noted, case in calls]
            if (any if mistake.anywhere else all)(shows):
                return mistake, next((str(words) for words in shows if isinstance(words, str)), "")
        return None, ""

    def _matches(self, mistake: Mistake, cases: list[tuple], got: list) -> bool:
        pairs = zip(got, cases, strict=True)
        return all(agree(value, self._read(mistake.wrong(*case), case)) for value, case in pairs)

    def _right(self, cases: list[tuple], reply: Reply) -> Verdict:
        """Return the verdict on right values: right, unless `afterwards` finds fault with how they came about."""
        if self.afterwards:
            for value, noted, case in zip(reply["values"], self._notes(reply, cases), cases, strict=True):
                if fault := self.afterwards(stacked(value), *noted, *case):
                    return Verdict.of(fault)
        return Verdict(True, remark=remark_on_changes(reply["changed"]))

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell of each part in how many cases it is right."""
        cases = data["cases"]
        columns = self._columns(reply["values"], [self.reference(*case) for case in cases])
        return tuple(self._in_cases(*column, cases) for column in columns)

    def _in_cases(self, name: str, got: list, wanted: list, cases: list[tuple]) -> Part:
        """Tell in how many cases one part is right, and by how much it is off in the first where it is not."""
        right = [self._is(*each) for each in zip(got, wanted, cases, strict=True)]
        first = right.index(False) if name and not all(right) else None
        return Part(name, sum(right), len(right), seen="" if first is None else how_many_off(got[first], wanted[first]))

    def _is(self, value: Any, expected: Any, case: tuple) -> bool:
        """Tell whether a value is right. One that cannot even be read, beside a wrong part, is not."""
        with contextlib.suppress(Exception):
            return agree(self._read(value, case), expected)
        return False


@dataclass(frozen=True, kw_only=True)
class PropertyQuestion(CalledQuestion):
    """A function is called on each drawn case; right is whatever has a property.

    `measured` finds of a value and its case a dict of facts, or a `Fault` in its form. `right` tells from the facts
    whether the value will do. A mistake, by a test of the facts, is named when it shows in every case. The texts of
    mistakes and `report` may hold facts: {entropy:.4f}.
    """

    measured: Callable[..., dict[str, Any] | Fault]
    right: Callable[[Facts], Any]
    mistakes: tuple[Mistake, ...]
    report: str = ""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Measure all values, find the first that will not do, and the first mistake that explains them all."""
        cases, values = data["cases"], reply["values"]
        if not isinstance(values, list) or len(values) != len(cases):
            return NO_ANSWER
        found = [self.measured(value, *case) for value, case in zip(values, cases, strict=True)]
        if fault := next((facts for facts in found if isinstance(facts, Fault)), None):
            return Verdict.of(fault)
        facts = [Facts(**known) for known in found if not isinstance(known, Fault)]
        missed = next((i for i, known in enumerate(facts) if not self.right(known)), None)
        if missed is None:
            return Verdict(True, remark=remark_on_changes(reply["changed"]))
        shows = (m for m in self.mistakes if (any if m.anywhere else all)(map(m.seen, facts)))
        verdict = told(next(shows, None), facts[missed], self.report)
        return replace(verdict, remark=remark_on_changes(reply["changed"]))

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell in how many cases the value will do."""
        found = [self.measured(value, *case) for value, case in zip(reply["values"], data["cases"], strict=True)]
        right = [not isinstance(facts, Fault) and bool(self.right(Facts(**facts))) for facts in found]
        return (Part("", sum(right), len(right)),)


@dataclass(frozen=True, kw_only=True)
class VariableQuestion(Question):
    """The answer is a variable, not a function: it is looked at as it is, and what is asked is the same every time.

    `form` reads it; `measured` finds a dict of facts about it; `right` tells from the facts whether it will do (without
    `right`: it will if no mistake shows); else the first of `mistakes` whose test of the facts holds is named. Texts of
    mistakes and `report` may hold facts: {entropy:.4f}.
    """

    random_inputs: bool = False
    form: Form | None = None
    measured: Callable[[Any], dict[str, Any]] | None = None
    right: Callable[[Facts], Any] | None = None
    mistakes: tuple[Mistake, ...] = ()
    report: str = ""

    def draw(self, rng: np.random.Generator) -> Data:
        """Return nothing: the question holds all that is given."""
        return {}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Return the answer as plain data."""
        return {"value": plain(answer)}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Read the answer, measure it, and weigh what was found."""
        if self.form is None or self.measured is None:
            raise NotImplementedError(f"question {self.id} needs form and measured, or a judge of its own")
        value = self.form.read(reply["value"])
        if isinstance(value, Fault):
            return Verdict.of(value)
        return weighed(Facts(**self.measured(value)), self.right, self.mistakes, self.report)


@dataclass(frozen=True, kw_only=True)
class ValuesQuestion(VariableQuestion):
    """The learner fills in a dict of numbers; each is compared with `expected()` to within `tolerance`.

    `parts` holds each entry's mistakes (`wrong` takes no argument); `advice` says how to go about it when none matches.
    `tolerance` is one for all entries, or one for each.
    """

    expected: Callable[[], dict[str, Any]]
    advice: dict[str, str]
    parts: Mapping[str, tuple[Mistake, ...]] = field(default_factory=dict)
    tolerance: float | Mapping[str, float] = 0.005

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Tell of all entries that are missing or no numbers; else explain the first that is wrong."""
        value, expected = reply["value"], self.expected()
        if not isinstance(value, dict):
            return Verdict(False, f"Expected a dict with the keys {', '.join(expected)}; came {describe(value)}.")
        if unfit := no_numbers(value, expected):
            return Verdict(False, "\n".join(unfit))
        wrong = [part for part, right in expected.items() if not self._near(part, value[part], right)]
        if not wrong:
            return Verdict(True)
        first = self._not_yet(wrong[0], value[wrong[0]], expected[wrong[0]])
        return replace(first, remark=exchanged(value, expected, partial(self._near, wrong[0]), wrong))

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell which numbers are right; one that is missing or no number costs itself alone."""
        value, expected = reply["value"], self.expected()
        numbers = {name for name in expected if isinstance(stacked(value.get(name)), np.ndarray)}
        near = {name for name in numbers if self._near(name, value[name], expected[name])}
        return tuple(Part(name, int(name in near)) for name in expected)

    def _not_yet(self, part: str, got: Any, right: Any) -> Verdict:
        found = next((known for known in self.parts.get(part, ()) if self._near(part, got, known.wrong())), None)
        mistake = found or rounded_too_far(got, right, self._room(part))
        why = mistake.why if mistake else self.advice[part]
        return Verdict(False, f"{part!r} is not {show(got)}.\n{why}", mistake.name if mistake else None)

    def _near(self, part: str, value: Any, expected: Any) -> bool:
        value, expected = np.atleast_1d(stacked(value)), np.atleast_1d(expected)  # [1.04] counts as 1.04
        return value.shape == expected.shape and np.allclose(value, expected, rtol=0, atol=self._room(part))

    def _room(self, part: str) -> float:
        return self.tolerance[part] if isinstance(self.tolerance, Mapping) else self.tolerance


@dataclass(frozen=True, kw_only=True)
class EntriesQuestion(VariableQuestion):
    """The learner fills in a dict of names, which `form` reads; each must be the one in `expected()`.

    `same(came, right)` tells whether an entry is right. `against(entry, name)` refutes the first that is wrong.
    """

    expected: Callable[[], dict[str, Any]]
    same: Callable[[Any, Any], bool] = operator.eq
    against: Callable[[str, Any], Fault]

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Read the dict, refute the first wrong entry."""
        named, expected = (self.form.read(reply["value"]) if self.form else {}), self.expected()
        if isinstance(named, Fault):
            return Verdict.of(named)
        wrong = [entry for entry, right in expected.items() if not self.same(named[entry], right)]
        if not wrong:
            return Verdict(True)
        first = Verdict.of(self.against(wrong[0], named[wrong[0]]))
        return replace(first, remark=exchanged(named, expected, self.same, wrong))

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell which entries are right."""
        return self.form.rights(reply["value"], self.expected(), self.same) if isinstance(self.form, Fields) else ()
