"""Question 6.4: what the figure allows."""

import math
from dataclasses import replace
from functools import cache
from typing import Any

from moe_lessons.accounting import PUBLISHED, flops_per_token, parameters_read, weight_bytes
from moe_lessons.checks.forms import Fields, Number
from moe_lessons.checks.question import EntriesQuestion, about
from moe_lessons.checks.values import plain, show
from moe_lessons.checks.verdicts import Fault, by_value

TEXTS = 32
ROUGHLY = 0.15  # for what a known mistake gives
ROOM = 0.5  # for a whole number
DECIMALS = 0.1  # for a number with decimals, rounded or cut, or a share of the printed numbers, which have two


@cache
def figure() -> dict[str, dict[str, float]]:
    """Return what the exercise prints: FLOPs of a token, bytes stored, bytes read for 1 and for 32 tokens."""
    sparse = PUBLISHED["Mixtral 8x7B"].config
    models = {"sparse": sparse, "all": replace(sparse, top_k=8), "one": replace(sparse, num_experts=1, top_k=1)}
    return {
        name: {
            "FLOPs": flops_per_token(config),
            "stored": weight_bytes(config),
            "read for 1": 2 * parameters_read(config, 1),
            "read for 32": 2 * parameters_read(config, TEXTS),
        }
        for name, config in models.items()
    }


def percent(model: str, number: str, of_model: str, of_number: str) -> float:
    """Return one number of the figure in percent of another."""
    return 100 * figure()[model][number] / figure()[of_model][of_number]


def allowed() -> dict[str, Any]:
    """Return the percentage that the figure puts in the place of each claim's; None where it has none."""
    return {
        "A": 100 - percent("sparse", "FLOPs", "all", "FLOPs"),
        "B": percent("sparse", "FLOPs", "one", "FLOPs"),
        "C": percent("sparse", "stored", "all", "stored"),
        "D": percent("sparse", "read for 1", "sparse", "stored"),
        "E": percent("sparse", "read for 32", "sparse", "stored"),
        "F": None,
        "G": None,
    }


class Percent(Number):
    """A number in percent, or None where the figure cannot tell."""

    def read(self, value: Any) -> Any:
        """Return the number, None, or a `Fault`."""
        return None if value is None else super().read(value)


def near(number: float | None, right: float | None, decimals: float = DECIMALS) -> bool:
    """Tell whether a number is right; more is allowed to one that was rounded to a whole one. None is None."""
    if number is None or right is None:
        return number is right
    return abs(number - right) <= (ROOM if number == round(number) else decimals)


def against(claim: str, number: float | None) -> Fault:
    """Refute what was given for one claim."""
    right, why = allowed()[claim], ADVICE[claim]
    if number is None:
        return Fault(f"{claim}: it is in the figure", f"{claim!r}: the figure does tell.\n{why}")
    name = None
    own = (mistake for mistake in MISTAKES if mistake.part == claim)
    known = next((mistake for mistake in own if near(number, mistake.wrong(), ROUGHLY)), None)
    if known:
        name, why = known.name, known.why
    elif right is None and number == 0:
        name, why = (
            f"{claim}: 0 for none",
            f"If you mean that the figure cannot tell: write None. 0 would be a claim. {why}",
        )
    elif right is None:
        name = f"{claim}: not in the figure"
    elif right <= 200 and abs(number - right / 100) < 0.006:
        name, why = f"{claim}: not in percent", "Give it in percent: 100 times that."
    elif number == math.floor(right):
        name, why = f"{claim}: cut", "Very near. If you cut off the decimals: round to the nearest."
    return Fault(name, f"{claim!r} is not {show(plain(number))}.\n{why}")


ADVICE = {
    "A": "Take the FLOPs of the sparse model as a share of those with all eight experts. The rest to 100 is spared.",
    "B": "Take the FLOPs of the sparse model as a percentage of those of the model with one expert.",
    "C": "Take the bytes stored by the sparse model as a percentage of those stored with all eight experts running.",
    "D": "Take the bytes read for 1 token as a percentage of the bytes stored.",
    "E": "Take the bytes read for 32 tokens as a percentage of the bytes stored.",
    "F": "The figure has no column for quality. Neither parameters nor FLOPs measure it: one would have to train both models and compare their losses.",
    "G": "The figure has no column for time. FLOPs are not seconds: memory, the router and the transport of tokens count too, so one would have to measure.",
}
MISTAKES = tuple(
    replace(mistake, name=f"{claim}: {mistake.name}", part=claim)
    for claim, known in {
        "A": by_value(
            "experts only: 75 is 1 − k/N: it holds for the experts alone. Attention and the head run in full in both models, so of the whole model less is spared.",
            lambda: 75,
            "what is left: This is what the sparse model still costs. The claim is about what is spared.",
            lambda: 100 - allowed()["A"],
            "upside down: This is the large model as a percentage of the sparse one. Take the sparse one's share of the large one, and what is left to 100.",
            (lambda: 1e4 / (100 - allowed()["A"]), lambda: 100 - 1e4 / (100 - allowed()["A"])),
            "spared of the sparse: You took what is spared as a share of the sparse model. It is spared from the large one: a share of that.",
            lambda: 1e4 / (100 - allowed()["A"]) - 100,
            "another row: That compares with the model of one expert a layer. The claim compares with all eight experts.",
            (
                lambda: percent("one", "FLOPs", "sparse", "FLOPs"),
                lambda: 100 - percent("one", "FLOPs", "sparse", "FLOPs"),
                lambda: 100 - allowed()["B"],
                lambda: allowed()["B"],
                lambda: percent("one", "FLOPs", "all", "FLOPs"),
                lambda: 100 - percent("one", "FLOPs", "all", "FLOPs"),
            ),
            "spared in memory: Nothing is spared in memory, but the claim is about FLOPs.",
            lambda: 0,
        ),
        "B": by_value(
            "as one expert: Two experts run, not one. Only if k were 1 would the FLOPs be (nearly) those of the small model.",
            lambda: 100,
            "twice: 200 holds for the experts alone, against one dense FFN. Attention and the head are not doubled.",
            lambda: 200,
            "more only: This is how much is added. The claim is about the cost as a percentage of the other.",
            lambda: allowed()["B"] - 100,
            "upside down: This is the small model as a percentage of the sparse one. It was asked the other way round.",
            lambda: 1e4 / allowed()["B"],
            "another row: One of the two numbers is from the model of all eight experts. The claim compares the sparse one with that of one expert a layer.",
            (
                lambda: 100 - allowed()["A"],
                lambda: 1e4 / (100 - allowed()["A"]),
                lambda: percent("all", "FLOPs", "one", "FLOPs"),
                lambda: percent("one", "FLOPs", "all", "FLOPs"),
            ),
            "another column: That compares the bytes stored. The claim is about FLOPs.",
            lambda: percent("sparse", "stored", "one", "stored"),
            "spared: By so much the small model is cheaper. The claim is about the cost as a percentage of the other.",
            lambda: 100 - 1e4 / allowed()["B"],
        ),
        "C": by_value(
            "only active stored: Dormant experts are stored too: which experts the next token needs is known only after the router has run.",
            (lambda: allowed()["D"], lambda: 25),
            "spared: This is how much is spared: nothing. Asked is what is needed, as a percentage.",
            lambda: 0,
            "another row: That compares with the model of one expert a layer. The claim compares with all eight experts.",
            (
                lambda: percent("sparse", "stored", "one", "stored"),
                lambda: percent("one", "stored", "sparse", "stored"),
            ),
        ),
        "D": by_value(
            "experts only: 25 is k/N: it holds for the experts alone. Attention and the head are read in full.",
            lambda: 25,
            "all: One token reads k experts of each layer, and not all that is stored.",
            lambda: 100,
            "as for a batch: This is what 32 tokens read, or one token in the model of all eight experts. Here one token meets k experts of each layer, and reads only those.",
            lambda: allowed()["E"],
            "another row: One of the two numbers is from the model of one expert a layer. Take both from Mixtral's row.",
            (
                lambda: percent("one", "read for 1", "sparse", "stored"),
                lambda: percent("sparse", "read for 1", "one", "stored"),
                lambda: percent("one", "read for 1", "one", "stored"),
                lambda: percent("one", "read for 1", "sparse", "read for 1"),
            ),
            "upside down: This is what is stored as a percentage of what is read. It was asked the other way round.",
            lambda: 1e4 / allowed()["D"],
            "not read: This is the part that is *not* read. The claim is about what is read.",
            (lambda: 100 - allowed()["D"], lambda: 75),
        ),
        "E": by_value(
            "as for one token: The 32 tokens choose different experts: together they touch nearly all. What holds for one token does not hold for a batch.",
            lambda: allowed()["D"],
            "a quarter: The 32 tokens choose different experts: together they touch nearly all. k/N holds for one token.",
            lambda: 25,
            "of what is read: This is the share of the experts that is touched, or compares with what the model of all eight experts reads. The claim is about what is stored, which the input embedding belongs to.",
            lambda: percent("sparse", "read for 32", "all", "read for 32"),
            "of one token: This compares with what one token reads, or is by how much more 32 read. The claim is about what is stored.",
            (
                lambda: percent("sparse", "read for 32", "sparse", "read for 1"),
                lambda: percent("sparse", "read for 32", "sparse", "read for 1") - 100,
            ),
            "another row: One of the two numbers is from the model of one expert a layer. Take both from Mixtral's row.",
            (
                lambda: percent("one", "read for 32", "sparse", "stored"),
                lambda: percent("sparse", "read for 32", "one", "stored"),
            ),
            "upside down: This is what is stored as a percentage of what is read. It was asked the other way round.",
            lambda: 1e4 / allowed()["E"],
            "added up: You added the reads of 32 tokens. What is read once serves all tokens of the batch, and nothing is read twice.",
            lambda: TEXTS * allowed()["D"],
        ),
    }.items()
    for mistake in known
)

CLAIMS = EntriesQuestion(
    **about("6.4", "What the figure allows", "predict a number", "hard", points=2, minutes=8),
    hints=(
        "For each claim find the column it speaks about, and the row it compares with. Some claims speak of something that has no column.",
        "A, B and C divide two rows of one column; A asks what is *spared*. D and E divide two columns of one row. F and G speak of quality and of time.",
    ),
    idea="A saving needs a baseline, a batch is not a token, and a count of FLOPs or bytes is neither a time nor a quality.",
    takeaway="When somebody says that a sparse model saves something, ask three things: of what, against which other model, and for how many tokens at once.",
    answer="my_figures",
    form=Fields(dict.fromkeys(ADVICE, Percent("a number in percent, or None"))),
    expected=allowed,
    same=near,
    against=against,
    mistakes=MISTAKES,
)
