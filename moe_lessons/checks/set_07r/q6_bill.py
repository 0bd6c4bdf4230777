"""Question 7r.6: what it costs to be heard."""

from moe_lessons.checks.forms import Fields, Name, Number
from moe_lessons.checks.question import EntriesQuestion, about
from moe_lessons.checks.verdicts import Fault

N, K = 64, 4
HEARD = ("nothing", "a push", "its worth")
BILLS = {
    "form A": (K, "nothing"),
    "form B": (K, "a push"),
    "straight-through": (N, "its worth"),
    "form A, k = 64": (N, "its worth"),
    "mask of 0": (N, "nothing"),
}
RUNS = {
    "form A": "Only experts with weight have to run: the four that are kept.",
    "form B": "The softmax over all 64 takes logits, which the router has anyway. Only the four kept experts run.",
    "straight-through": "Its output is that of four, but its gradient holds the output of every expert: all 64 run.",
    "form A, k = 64": "All 64 are kept, so all 64 run.",
    "mask of 0": "A logit of 0 is not −∞: all 64 experts get weight, so all 64 run.",
}
HEARS = {
    "form A": "E50's logit is replaced by −∞ before the softmax: it does not enter the output, so it hears exactly 0.",
    "form B": "E50's logit is in the sum that all probabilities are divided by, so it hears something; but E50 did not run, so nothing of it.",
    "straight-through": "The gradient is that of a softmax over all experts, in which E50's own output counts.",
    "form A, k = 64": "Nothing is cut: E50 runs, and its own output enters its gradient.",
    "mask of 0": "E50 runs and has weight, but its logit was replaced by a constant 0: whatever the logit was, the output is the same.",
}


SEEMS = {  # whom a wrong number of runs would be
    0: "Somebody has to make the output. ",
    1: "That would be one expert alone. ",
    K - 1: "That would be one fewer than are kept. ",
    K: "That would be the best four alone. ",
    K + 1: "That would be the best four and E50. ",
    N - K: "That would be the experts that are not among the best four. ",
    N - 1: "That would be all but one. ",
    N: "That would be all experts. ",
}
RUN = Number(f"a whole number from 0 to {N}, for each expert counts once", 0, N, whole=True)


def refute(row: str, came: dict) -> Fault:
    """Refute one row: first the runs, then what is heard."""
    if came["runs"] != BILLS[row][0]:
        why = f"{row!r}, runs: not {came['runs']}. {SEEMS.get(came['runs'], '')}{RUNS[row]}"
        return Fault(f"{row}: {came['runs']} runs", why)
    return Fault(f"{row}: {came['hears']}", f"{row!r}, hears: not {came['hears']!r}. {HEARS[row]}")


BILL = EntriesQuestion(
    **about("7r.6", "What it costs to be heard", "choose what holds", "hard", points=1, minutes=4),
    hints=(
        "Two separate questions for each row. Which experts must run to make the output *and* the gradient? And would the output change if E50's logit did, or if E50 itself did?",
        "Whose worth is heard has run: so nobody's worth is heard for four runs. But running is not enough: a logit that was overwritten hears nothing, whatever ran.",
    ),
    idea="To hear an expert's worth it has to run, and its logit has to reach the output. Form B reaches the logit without running the expert; a mask of 0 does the opposite.",
    takeaway="There is no free way to hear of experts that did not run; but there are ways to pay for all of them and hear nothing.",
    answer="my_bill",
    form=Fields({row: Fields({"runs": RUN, "hears": Name(HEARD)}) for row in BILLS}),
    expected=lambda: {row: {"runs": runs, "hears": heard} for row, (runs, heard) in BILLS.items()},
    against=refute,
)
