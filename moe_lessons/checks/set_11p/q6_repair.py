"""Question 11p.6: the repair, and whether the checkpoint can stay as it is."""

from moe_lessons.checks.forms import Name, Truth
from moe_lessons.checks.question import about
from moe_lessons.checks.set_11p.case_question import CaseQuestion, with_case
from moe_lessons.checks.verdicts import Fault
from moe_lessons.experiments.case_files import kind_of

REPAIRS = {
    "probability as weight": "renormalised k = 1",
    "a loss in each layer": "pooled loss",
    "no noise in evaluation": "noise left on",
    "let the bias move": "frozen bias",
    "count real tokens": "mask lost",
}
TREATMENTS = {
    "a larger coefficient": "Ten times a loss that is content, or ten times a step that is not taken, changes nothing; where the fault is elsewhere, it only pulls harder.",
    "larger capacity": "Places move no load, and these runs drop nothing.",
}
AGAINST = {
    "probability as weight": "The weight of the selected expert is its probability already: the router has grown surer, as it can only with a gradient.",
    "a loss in each layer": "The balance loss is that of the layers already: computed again from the log it is the same number, or it is not trained with.",
    "no noise in evaluation": "Evaluation has no noise: two passes over the same tokens give the same.",
    "let the bias move": "The bias does move, or there is none in this recipe.",
    "count real tokens": "Only real tokens are counted: the counts add up to them.",
}
LASTING = "The error is in the training. After the line is mended the weights are what they were: {left}. It takes further steps."
LEFT = {
    "renormalised k = 1": "a router that never heard of the task",
    "pooled loss": "two layers that lean",
    "frozen bias": "a bias that is far from where the loads are even",
    "mask lost": "a router and experts that were balanced with padding, and trained on it",
}


def repairs(case: int) -> dict[str, object]:
    """Return the repair of a case, and whether more training is needed: only evaluation was wrong if noise was left on."""
    fault = kind_of(case).fault
    return {"repair": next(name for name, of in REPAIRS.items() if of == fault), "train on": fault != "noise left on"}


def against(entry: str, name: object, case: int) -> Fault:
    """Refute a repair, or what is said of the checkpoint."""
    if entry == "repair":
        why = TREATMENTS.get(str(name)) or f"{AGAINST[str(name)]} Or is it the repair of another case?"
        return Fault(f"repair: {name}", f"In case {case} the repair is not {name!r}. {why}")
    fault = str(kind_of(case).fault)
    if name:
        return Fault(
            "trained for nothing",
            f"'train on' is not True in case {case}. Was anything wrong while the run *trained*? The weights are those of a sound run.",
        )
    return Fault("mended too early", f"'train on' is not False in case {case}. {LASTING.format(left=LEFT[fault])}")


REPAIR = CaseQuestion(
    **about("11p.6", "The repair", "choose what holds", "easy", points=1, minutes=4),
    hints=(
        "Which one line of the program would you change? Then think of the checkpoint: did the fault act on the weights while they were trained, or only on how they are used?",
        "Each fault has its line: the weight, the scope of the loss, the switch of the noise, the step of the bias, the mask. Four of them act in every training step; one acts when the model is tested.",
    ),
    idea="A fault of training leaves its mark in the weights, which a mended line does not take away; a fault of evaluation does not.",
    takeaway="Ask of each bug you fix: are the weights that it made still good? A fixed line does not train a model again.",
    answer="my_repair",
    form=with_case({"repair": Name((*REPAIRS, *TREATMENTS)), "train on": Truth()}),
    expected=repairs,
    against=against,
)
