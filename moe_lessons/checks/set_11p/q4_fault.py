"""Question 11p.4: which fault it is, and the measure that tells."""

from moe_lessons.checks.forms import Name
from moe_lessons.checks.question import about
from moe_lessons.checks.set_11p.case_question import CaseQuestion, with_case
from moe_lessons.checks.set_11p.measures import MEASURES, SIGNS, apart
from moe_lessons.checks.set_11p.q3_apart import beside
from moe_lessons.checks.verdicts import Fault
from moe_lessons.experiments.case_files import FAULTS, kind_of

WOULD = {
    "renormalised k = 1": "With a weight of always 1 the router hears nothing of the task, so it does not grow surer: hardly any entropy would be lost",
    "pooled loss": "A loss of all layers together would be lower than what the layers have alone, as long as they lean differently",
    "noise left on": "With noise in evaluation, too, the test error would lose what it gains by having none",
    "frozen bias": "A bias that is frozen does not move",
    "mask lost": "If padding were counted, there would be more counted tokens than real ones",
}
NO_SUCH_PART = {
    (
        "pooled loss",
        "bias",
    ): "This run is balanced by a bias. Its balance loss is written down and not trained with: pooled or not, it could do no harm.",
    (
        "frozen bias",
        "loss",
    ): "This run is balanced by a loss. Its bias is 0 all the time because nothing uses it; so it is in the healthy runs with this recipe.",
}
BUT = {  # where another fault moves the measure the same way
    ("frozen bias", "renormalised k = 1"): (
        "bias path",
        "It moves less than in healthy runs; but a frozen bias goes no way at all.",
    ),
    ("noise left on", "mask lost"): (
        "counted",
        "True, noise would lower the gain. But so does a training error that is a mean over padding, too, which is easy.",
    ),
    ("renormalised k = 1", "mask lost"): (
        "counted",
        "True, a router without a gradient loses little entropy. But padding in its mean does that, too.",
    ),
}
CLUES = {
    "MaxVio": "Uneven loads come of several faults, and of none: they are a symptom.",
    "pooled MaxVio": "Even loads of all layers together say nothing of each layer.",
    "counted": "It tells whether padding is counted.",
    "entropy lost": "It tells whether the router grew surer.",
    "bias path": "It tells whether a bias still moves.",
    "gain": "Two faults lower the gain: ask which of them explains the rest, too.",
    "hidden loss": "It tells whether the logged loss is that of the layers.",
}
CLUES_THERE = {  # where a measure lies another way than the faults that it tells of would have it, or two would
    ("gain", "as healthy"): "Two faults would lower the gain.",
    (
        "gain",
        "higher",
    ): "It is higher here than in healthy runs. The two faults that act on the gain itself lower it, so this is a consequence of something else.",
    (
        "entropy lost",
        "higher",
    ): "It is higher here than in healthy runs: the routers grew even surer. No fault must do that; it is a consequence of something else.",
    (
        "entropy lost",
        "lower",
    ): "Two faults lower it: a router without a gradient does not grow surer, and padding in the mean hides how sure it is of tokens. Ask which of them explains the rest, too.",
    ("bias path", "lower"): "It is lower here than in healthy runs, but the bias still moves: nothing has stopped it.",
}


def against(entry: str, name: str, case: int) -> Fault:
    """Refute a fault, or a measure as the one that tells it, with the numbers of the case."""
    return against_fault(name, case) if entry == "fault" else against_clue(name, case)


def against_fault(fault: str, case: int) -> Fault:
    """Refute a fault with the measure that would show it."""
    balanced_by, right = kind_of(case)
    head, (measure, way) = f"Case {case} is not {fault!r}.", SIGNS[fault]
    if (fault, balanced_by) in NO_SUCH_PART:
        return Fault(fault, f"{head} {NO_SUCH_PART[fault, balanced_by]}")
    if apart(case)[measure] == way:
        measure, why = BUT[fault, str(right)]
        return Fault(fault, f"{head} {why}", f"{beside(measure, case)}.")
    looked = "Or did you look at another case?"
    return Fault(fault, f"{head} {WOULD[fault]}.", f"{beside(measure, case)}. {looked}")


def against_clue(measure: str, case: int) -> Fault:
    """Refute a measure as the one that tells the fault."""
    place = apart(case)[measure]
    why = CLUES_THERE.get((measure, place), CLUES[measure])
    if place == "as healthy":
        why = f"It is as in healthy runs here, so it shows no fault. {why}"
    return Fault(
        "clue", f"'clue' is not {measure!r}. {why} Which measure would show this fault, even if all else were sound?"
    )


FAULT = CaseQuestion(
    **about("11p.4", "Which fault is it?", "find the bug", "medium", points=2, minutes=6),
    hints=(
        "For each of the five: which of the seven measures does it move by itself, before anything else follows from it? Then look at which did.",
        "A gradient of zero leaves the router as unsure as it was. A pooled loss is below the layers' own, as long as they lean differently. Noise takes away what evaluation gains, and so does padding in the training error. A frozen bias goes no way at all. Padding makes more counted tokens than real ones.",
    ),
    idea="Each fault has a measure that it moves by itself in a model like these (the layers lean differently, the noise is not small, there is padding); a symptom such as uneven loads has several causes. And of seven measures one may be off by chance: the sign that belongs to the fault counts.",
    takeaway="Go from the suspicion to the number that it would move by itself, and look there: the loudest symptom is shared by many faults.",
    answer="my_diagnosis",
    form=with_case({"fault": Name(FAULTS), "clue": Name(tuple(MEASURES))}),
    expected=lambda case: {"fault": kind_of(case).fault, "clue": SIGNS[str(kind_of(case).fault)][0]},
    against=against,
)
