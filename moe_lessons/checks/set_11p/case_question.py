"""Questions about a case: which one it is stands in the answer, so that every learner can have another."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moe_lessons.checks.forms import Fields, Form, whole
from moe_lessons.checks.parts import Part
from moe_lessons.checks.question import Data, Reply, VariableQuestion
from moe_lessons.checks.verdicts import Fault, Verdict
from moe_lessons.experiments.case_files import CASES

CASE = whole(1, CASES)


def with_case(forms: dict[str, Form]) -> Fields:
    """Return the form of a dict that holds the number of a case beside these entries."""
    return Fields({"case": CASE, **forms})


@dataclass(frozen=True, kw_only=True)
class CaseQuestion(VariableQuestion):
    """The learner fills in a dict with the number of a case and names; each must be the one in `expected(case)`.

    `against(entry, name, case)` refutes the first that is wrong. A right answer says its case: the
    teacher reads in the record whether it is the one that was given out.
    """

    expected: Callable[[int], dict[str, Any]]
    against: Callable[[str, Any, int], Fault]

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Read the dict, look up its case, refute the first wrong entry."""
        named = self.form.read(reply["value"]) if self.form else {}
        if isinstance(named, Fault):
            return Verdict.of(named)
        case = named["case"]
        wrong = [entry for entry, right in self.expected(case).items() if named[entry] != right]
        if not wrong:
            return Verdict(True, seen=f"Case {case}.")
        return Verdict.of(self.against(wrong[0], named[wrong[0]], case))

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell which entries are right in the case that the answer names."""
        case = CASE.read(reply["value"]["case"])
        if isinstance(case, Fault) or not isinstance(self.form, Fields):
            return ()
        return self.form.rights(reply["value"], self.expected(int(case)), operator.eq)
