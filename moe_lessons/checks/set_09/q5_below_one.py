"""Question 9.5: an unbalanced load with a loss below 1."""

from typing import Any

import numpy as np

from moe_lessons import metrics
from moe_lessons.checks.forms import Numbers
from moe_lessons.checks.question import VariableQuestion, about
from moe_lessons.checks.set_09.q4_balance import balance, chosen_share
from moe_lessons.checks.verdicts import Facts, always, by_test

MOST_LOSS, LEAST_VIOLATION = 0.95, 1.0
LEAST_GAP = 0.001  # between a token's best and second best logit: who is selected must not hang on rounding
MOST_TOKENS, MOST_EXPERTS = 1000, 64  # as lists of numbers, too, such logits fit into the grader's reply

BATCH = Numbers(
    "an array of logits (T, N), one row for each token",
    unlike=by_test(
        "wrong shape: Expected the shape (T, N), one row for each token; came {shape}.",
        lambda h: h.ndim != 2,
        f"wrong shape: Expected 1 to {MOST_TOKENS} tokens (rows) and 2 to {MOST_EXPERTS} experts (columns); came {{shape}}.",
        lambda h: not (1 <= len(h) <= MOST_TOKENS and 2 <= h.shape[1] <= MOST_EXPERTS),
        "not finite: Every logit must be a finite number. For a probability that is nearly 0, −20 is enough: e⁻²⁰ is 2 in a billion.",
        lambda h: not np.isfinite(h).all(),
    ),
)


def batch_found(h: np.ndarray) -> dict[str, Any]:
    """Return loss, load and MaxVio for k = 1, and the tokens whose two best experts tie, or nearly. h (T, N)."""
    loss, load = balance(h, 1), chosen_share(h, 1)
    tied = np.flatnonzero(np.diff(np.sort(h, axis=-1)[:, -2:])[:, 0] < LEAST_GAP)
    found = {"h": h, "loss": loss, "load": load, "violation": float(metrics.max_violation(load))}
    return {**found, "tied": tied.size, "T": len(h), "row": next(iter(tied), None)}


def is_even(found: Facts) -> bool:
    """Tell whether no expert has twice the mean load."""
    return found.violation < LEAST_VIOLATION - 1e-9


def will_do(found: Facts) -> bool:
    """Tell whether loss and load are as asked."""
    return found.loss <= MOST_LOSS and not is_even(found)


def are_probabilities(found: Facts) -> bool:
    """Tell whether these are probabilities that would do."""
    if found.h.min() < 0 or not np.allclose(found.h.sum(axis=-1), 1, atol=1e-3):
        return False
    with np.errstate(divide="ignore"):
        return will_do(Facts(**batch_found(np.maximum(np.log(found.h), -50))))


BELOW_ONE = VariableQuestion(
    **about("9.5", "Unbalanced, with a loss below 1", "build a counterexample", "medium", points=2, minutes=7),
    hints=(
        "The loss is N Σ fᵢPᵢ. An expert that never wins has f = 0, so probability that it gets costs nothing. How much can it get without winning?",
        "Let only half of the experts ever win, each with its share of the tokens, and give every token a little more probability for its winner than for each expert that never wins; next to nothing for the other winners. From probabilities to logits: `np.log(p)`.",
    ),
    idea="Dead experts can hold most of the probability and never be selected. Their P counts for nothing, since f is 0 there, so the loss falls below 1 while half of the experts are idle. The gradient is still right: it raises the dead ones. Only the value misleads; for balance look at the load itself.",
    takeaway="A balance loss near or below 1 is no certificate of balance: log the load itself.",
    answer="my_batch",
    form=BATCH,
    measured=batch_found,
    right=lambda found: not found.tied and will_do(found),
    mistakes=by_test(
        f"tie: {{tied}} of {{T}} tokens have no clear winner: their two largest logits are less than {LEAST_GAP} apart (the first is row {{row}}). Who is selected would hang on a rule for ties. Lift the winner by a little, 0.01 for instance.",
        lambda found: found.tied,
        "probabilities: As *probabilities* these would do, but they are taken for logits, and the softmax makes them nearly equal. Logits that give p are `np.log(p)` (with a small number in place of 0).",
        are_probabilities,
        "load balanced: The loss is small enough, but no expert has twice the mean load. Let half of the experts get no token at all: then the others have twice the mean.",
        lambda found: found.loss <= MOST_LOSS,
        "two experts: With two experts, one has twice the mean load only if it has *every* token, and then the loss is 2·P₁ with P₁ above a half. Take more experts.",
        lambda found: found.load.size == 2,
        "one expert has all: All tokens go to one expert. Then the loss is N times its mean probability, and whoever wins has at least 1/N in every token: the loss cannot be below 1. Let at least two experts win, and others none.",
        lambda found: found.load.max() == 1,
        "neither: The load is too even. Begin with the load: let only half of the experts ever win.",
        is_even,
        "not far enough: The loss is below 1 already, and the load is unbalanced. A little further: move more of the winners' probability to experts that never win.",
        lambda found: found.loss < 1,
        "loss not below 1: The load is unbalanced, but the loss shows it. Keep who wins, and make Pᵢ small where fᵢ is large: each token gives experts that *never* win nearly as much probability as its winner, and next to nothing to the other winners.",
        always,
    ),
    report=f"The balance loss is {{loss:.4f}}, MaxVio is {{violation:.4f}}; asked are at most {MOST_LOSS} and at least {LEAST_VIOLATION:g}.\nLoads: {{load}}.",
)
