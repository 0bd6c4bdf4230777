"""Question 11r.4: which control is missing."""

from moe_lessons.checks.forms import Fields, Name
from moe_lessons.checks.question import EntriesQuestion, about
from moe_lessons.checks.verdicts import Fault

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


def against(row: str, control: str) -> Fault:
    """Refute a control as the one that is missing in a row."""
    return Fault(f"{row}: {control}", f"{row!r} is not {control!r}. {NOT[control].format(row=row)} {HINT[row]}")


HINT = {
    "A": "What else did the loss have to mend, which no real run would have had?",
    "B": "Count the tries on both sides.",
    "C": "Whose loss *can* rise, when this expert is off?",
    "D": "What would a fixed table from token to expert score here?",
    "E": "How many assignments does an expert get here, on average?",
    "F": "At which moment was this read off?",
}


CONTROLS = EntriesQuestion(
    **about("11r.4", "The control that is missing", "choose what holds", "medium", points=1, minutes=6),
    hints=(
        "Ask of each sentence: what else could have made this number, without the conclusion being true? The control is the run or the count that has everything but that.",
        "One has an uneven start, one a tuned rival, one counts damage where tokens come most, one forgets that classes use different tokens, one has about 10 assignments an expert, and one was looked at once, early. Each control is used once.",
    ),
    idea="A control keeps everything but the cause that is claimed. Which one is missing follows from what else could have made the number.",
    takeaway="Before you believe a comparison, name the dullest thing that could have made it, and ask for the run that shows that thing alone.",
    answer="my_controls",
    form=Fields(dict.fromkeys(RIGHT, Name(tuple(RIGHT.values())))),
    expected=lambda: RIGHT,
    against=against,
)
