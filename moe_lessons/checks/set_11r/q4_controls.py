"""Question 11r.4: which control is missing."""

from dataclasses import dataclass, replace

from moe_lessons.checks.forms import Fields, Name
from moe_lessons.checks.question import Data, EntriesQuestion, Reply, about
from moe_lessons.checks.verdicts import Fault, Verdict

RIGHT = {
    "A": "even start",
    "B": "equal tuning",
    "C": "per served token",
    "D": "given the token",
    "E": "dice",
    "F": "longer training",
}
WHY = {
    "A": "The start was uneven by hand. Perhaps the loss only undid that; an even start, with and without the loss, tells.",
    "B": "One side had twelve tries, the other one. The best of twelve is ahead by luck alone; give both the same number of tries, and fresh seeds.",
    "C": "An expert can hurt only the tokens that come to it, and code's tokens come most. Divide by how many it serves.",
    "D": "Code uses other tokens than prose, so a table from token to expert tells as much. Ask within one and the same token.",
    "E": "Few tokens for each expert: even fair dice are uneven then. What would their MaxVio be?",
    "F": "One early moment is a snapshot: who is ahead after 300 steps need not be ahead later.",
}
NOT = {
    "even start": "Nothing in {row} is about how the run began.",
    "equal tuning": "In {row} neither side was tuned more than the other.",
    "per served token": "In {row} nobody is switched off, so nothing is counted on served tokens.",
    "given the token": "{row} says nothing of what an expert knows about a text.",
    "dice": "What dice would give is not in doubt in {row}: the sides are compared with each other, or the effect is far beyond dice.",
    "longer training": "More steps might change the numbers of {row}, but the gap in the argument would be the same.",
}


NOT_THERE = {  # where there is something in it
    (
        "B",
        "dice",
    ): "Luck, yes: the best of twelve tries is a lucky one. But dice stand in for a router; what would you do about the other side?",
    ("D", "even start"): "The untrained copy *is* the start, and it is there to compare with.",
    ("F", "dice"): "The lead is three and a half times its error: dice would hardly make it.",
    ("A", "dice"): "In 20 of 20 seeds the error is lower: that is far beyond dice.",
    ("F", "equal tuning"): "Both were tuned alike, it says.",
}


def against(row: str, control: str) -> Fault:
    """Refute a control as the one that is missing in a row."""
    why = NOT_THERE.get((row, control), NOT[control].format(row=row))
    return Fault(f"{row}: {control}", f"{row!r} is not {control!r}. {why} {HINT[row]}")


@dataclass(frozen=True, kw_only=True)
class ControlsQuestion(EntriesQuestion):
    """A control that is used twice is told, with what is left."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Refute the first wrong control; say which are used more than once."""
        verdict, named = super().judge(data, reply), FORM.read(reply["value"])
        if verdict.correct or isinstance(named, Fault):
            return verdict
        again = [control for control in RIGHT.values() if [*named.values()].count(control) > 1]
        left = [control for control in RIGHT.values() if control not in named.values()]
        seen = f"Each is used once. More than once you have {listed(again)}; nowhere {listed(left)}." if again else ""
        return replace(verdict, seen=seen)


def listed(names: list[str]) -> str:
    """Write names in quotation marks."""
    return ", ".join(map(repr, names))


HINT = {
    "A": "What else did the loss have to mend, which no real run would have had?",
    "B": "Count the tries on both sides.",
    "C": "Whose loss *can* rise, when this expert is off?",
    "D": "What would a fixed table from token to expert score here?",
    "E": "How many assignments does an expert get here, on average?",
    "F": "At which moment was this read off?",
}


FORM = Fields(dict.fromkeys(RIGHT, Name(tuple(RIGHT.values()))))
CONTROLS = ControlsQuestion(
    **about("11r.4", "The control that is missing", "choose what holds", "medium", points=1, minutes=6),
    hints=(
        "Ask of each sentence: what else could have made this number, without the conclusion being true? The control is the run or the count that has everything but that.",
        "One has an uneven start, one a tuned rival, one counts damage where tokens come most, one forgets that classes use different tokens, one has about 10 assignments an expert, and one was looked at once, early. Each control is used once.",
    ),
    idea="A control keeps everything but the cause that is claimed. Which one is missing follows from what else could have made the number.",
    takeaway="Before you believe a comparison, name the dullest thing that could have made it, and ask for the run that shows that thing alone.",
    answer="my_controls",
    form=FORM,
    expected=lambda: RIGHT,
    against=against,
)
