"""Question 11p.3: which measures set a case apart from the healthy runs."""

from dataclasses import dataclass, replace

from moe_lessons.checks.forms import Form, Name
from moe_lessons.checks.question import Data, Reply, about
from moe_lessons.checks.set_11p import wrong_rules
from moe_lessons.checks.set_11p.case_question import CaseQuestion, with_case
from moe_lessons.checks.set_11p.measures import MEASURES, PLACES, apart, healthy, of_case, usual_room
from moe_lessons.checks.values import digits_apart
from moe_lessons.checks.verdicts import Fault, Verdict
from moe_lessons.experiments.case_files import kind_of

PLACED: dict[str, Form] = dict.fromkeys(MEASURES, Name(PLACES))


ORDER = {  # of what is less what
    "entropy lost": "It is the first entropy less the late one.",
    "gain": "It is above 0 where the test error is lower than the training error.",
    "hidden loss": "It is the layers' own loss less the logged one.",
}


def digits(value: float) -> str:
    """Write three digits, and never −0."""
    return f"{round(value, 3) + 0.0:.3f}"


def beside(measure: str, case: int) -> str:
    """Write a measure of a case beside the range of the healthy runs."""
    recipe = kind_of(case).balanced_by
    low, high = healthy(recipe)[measure]
    room, value = usual_room(high - low), of_case(case)[measure]
    nearest = min((low, high, low - room, high + room), key=lambda limit: abs(limit - value))
    written = digits_apart(round(value, 6) + 0.0, round(nearest, 6) + 0.0, 3)
    return f"In case {case} {measure} is {written}; in the healthy runs that are balanced by a {recipe} it goes from {digits(low)} to {digits(high)}"


def against(measure: str, name: str, case: int) -> Fault:
    """Refute where somebody puts a measure, with its numbers."""
    low, high = healthy(kind_of(case).balanced_by)[measure]
    value, right, room = of_case(case)[measure], apart(case)[measure], usual_room(high - low)
    seen = f"{beside(measure, case)}, which makes the limits {digits(low - room)} and {digits(high + room)}."
    head = f"{measure!r} is not {name!r}."
    if right == "as healthy":
        if low <= value <= high:
            return Fault("inside the range", f"{head} It lies among the healthy ones.", seen)
        why = "It is outside the range, but by less than another healthy run may be."
        return Fault("chance for a sign", f"{head} {why}", seen)
    if name == "as healthy":
        return Fault("sign overlooked", f"{head} It is outside by more than the range is wide.", seen)
    why = f"Compare your number with both ends of the range. {ORDER.get(measure, '')}".rstrip()
    return Fault("turned round", f"{head} {why}", seen)


FOLLOWS = " Or did you leave out what may only follow from the fault? Report each measure by its numbers."


@dataclass(frozen=True, kw_only=True)
class ApartQuestion(CaseQuestion):
    """Places that would all be right by a wrong rule, or for another case, are told so."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the entries; where all follow from one slip, say which it is."""
        verdict, named = super().judge(data, reply), with_case(PLACED).read(reply["value"])
        if verdict.correct or isinstance(named, Fault):
            return verdict
        case = named.pop("case")
        few = wrong_rules.overlooked(named, case)
        if rules := wrong_rules.rules_of(named, case):
            told = f"{wrong_rules.told(rules)}{FOLLOWS if few else ''}"
            return replace(verdict, why=f"{told}\n{verdict.why}", mistake=rules[0].name)
        if wrong_rules.is_of_another(named, case):
            why = f"For another case all of this would be right. Is {case} the number of yours, and did you run the cells again after you typed it?"
            return replace(verdict, why=f"{why}\n{verdict.why}", mistake="another case")
        if few:
            why = f"Every sign that you give is right, but {few} more measures are outside by more than the room. Report each by its numbers, also what may only follow from the fault."
            return replace(verdict, why=f"{why}\n{verdict.why}", mistake="signs overlooked")
        return verdict


APART = ApartQuestion(
    **about("11p.3", "What sets your run apart", "read a log", "medium", points=1, minutes=9),
    hints=(
        "Run your two functions on the log of your case and on the eight healthy logs. For each measure you get one number and eight; the eight tell what chance does.",
        "Take the eight logs of `healthy_logs(open_log(CASE)['balanced by'])`: with low and high the ends of the eight, and the larger of high − low and 0.02 as room on both sides, is your number outside?",
    ),
    idea="A number is high or low beside what sound runs give, not by itself. Eight runs are few: so leave as much room again as they need.",
    takeaway="Keep a handful of runs that you trust: a fault is told from chance by their spread, not by a feeling for the number.",
    answer="my_signs",
    form=with_case(PLACED),
    expected=apart,
    against=against,
)
