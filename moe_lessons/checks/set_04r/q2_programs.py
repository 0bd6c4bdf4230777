"""Question 4r.2: which gate made these rows."""

from collections.abc import Callable

import numpy as np
import scipy

from moe_lessons import routing
from moe_lessons.checks.forms import Fields, Name
from moe_lessons.checks.gates import kept_probabilities, masked_with_zero, selected_mask
from moe_lessons.checks.question import EntriesQuestion, about
from moe_lessons.checks.verdicts import Fault

K = 2
HIDDEN = np.array([1.1, -0.3, 1.9, 0.2, -0.9])  # (N,), the logits that the log does not show
MOVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as they are": lambda h: h,
    "3 added to each": lambda h: h + 3,
    "each times 4": lambda h: 4 * h,
}


def of_the_kept(h: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return scores (N,) of the selected experts divided by their sum, 0 elsewhere."""
    kept = np.where(selected_mask(h, K), scores, 0)  # (N,)
    return kept / kept.sum()


GATES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "form A": lambda h: routing.gate_weights(h, K),
    "form B": lambda h: kept_probabilities(h, K),
    "masked with 0": lambda h: masked_with_zero(h, K),
    "nothing cut": routing.softmax,
    "softmax twice": lambda h: of_the_kept(h, np.exp(routing.softmax(h))),
    "sigmoid": lambda h: of_the_kept(h, scipy.special.expit(h)),
}
MADE_BY = {
    "program 1": "sigmoid",
    "program 2": "softmax twice",
    "program 3": "masked with 0",
    "program 4": "form B",
}


def rows_of(gate: str) -> dict[str, np.ndarray]:
    """Return the weights (N,) that a gate makes of the hidden logits, before and after each move."""
    return {name: GATES[gate](move(HIDDEN)) for name, move in MOVES.items()}


def rows_of_programs() -> dict[str, dict[str, np.ndarray]]:
    """Return what the four programs logged: program -> what was done to the logits -> weights (N,)."""
    return {program: rows_of(gate) for program, gate in MADE_BY.items()}


def signs(gate: str) -> dict[str, bool]:
    """Return what tells a gate in its rows, most telling first."""
    plain, raised, scaled = rows_of(gate).values()  # (N,) each
    return {
        "more than two": bool((plain > 0).sum() > K),
        "sum of 1": bool(np.isclose(plain.sum(), 1)),
        "moved by 3": not np.allclose(plain, raised),
        "decided": bool(scaled.max() / scaled.sum() > 0.9),
    }


SAID = {
    "more than two": "More than two experts have weight in its rows: something leaks through the cut, or nothing was cut.",
    "sum of 1": "The weights in its first row sum to 1: a division by a sum has seen to that.",
    "moved by 3": "Adding 3 to every logit moved its weights. A softmax sees gaps alone: something in this program sees the level.",
    "decided": "Four times as large logits made it nearly certain of one expert: nothing keeps its two weights together.",
}
NOT_SAID = {
    "more than two": "Only two experts have weight in its rows: nothing leaks, and all others were cut.",
    "sum of 1": "The weights in its first row do not sum to 1: nobody divided by what is left after the cut.",
    "moved by 3": "Adding 3 to every logit moved nothing: it sees gaps alone, as a softmax over logits does.",
    "decided": "Four times as large logits, and still its two weights are not far apart. A softmax over the kept logits would be nearly certain.",
}


def is_not(program: str, gate: str) -> Fault:
    """Refute a gate for a program, by the first sign in which they differ."""
    found, claimed = signs(MADE_BY[program]), signs(gate)
    sign = next(sign for sign in found if found[sign] != claimed[sign])
    why = f"{program!r} is not {gate!r}.\n{SAID[sign] if found[sign] else NOT_SAID[sign]}"
    return Fault(f"{program}: {gate}", why)


PROGRAMS = EntriesQuestion(
    **about("4r.2", "Which gate made these rows?", "read a log", "medium", points=1, minutes=4),
    hints=(
        "Three looks at each program. How many experts have weight? What do the weights sum to? What does adding 3 to every logit do to a softmax, and here?",
        "Form A and a softmax over two probabilities look alike in the first two rows. Two probabilities differ by 1 at most, so the third row tells them apart.",
    ),
    idea="A cut shows in the zeros, a division in the sum, a softmax in what a shift leaves alone, and a softmax too many in a gate that never gets certain.",
    takeaway="You can tell a gate without its code: look for zeros, add up the weights, shift all logits, scale all logits.",
    answer="my_gates",
    form=Fields(dict.fromkeys(MADE_BY, Name(tuple(GATES)))),
    expected=lambda: MADE_BY,
    against=is_not,
)
