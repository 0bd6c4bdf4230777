"""Question 9.5: an unbalanced load without a dead expert, with a loss below 1."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import metrics
from moe_lessons.checks.forms import Numbers
from moe_lessons.checks.question import VariableQuestion, about
from moe_lessons.checks.set_09.q4_devices import balance, chosen_share
from moe_lessons.checks.verdicts import Facts, Fault, always, by_test

MOST_LOSS, LEAST_VIOLATION = 0.9, 1.0
LEAST_LOAD = 0.1  # of the mean load: nobody is dead, or nearly so
LEAST_GAP = 0.001  # between a token's best and second best logit: who is selected must not hang on rounding
ROUNDING = 5e-6  # what float32 leaves of a gap that is just as large
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
    tied = np.flatnonzero(np.diff(np.sort(h, axis=-1)[:, -2:])[:, 0] < LEAST_GAP - ROUNDING)
    found = {"h": h, "loss": loss, "load": load, "violation": float(metrics.max_violation(load))}
    found["lowest"] = least_loss(load)
    found["least"] = float(load.min() * load.size)  # as a multiple of the mean load
    return {**found, "tied": tied.size, "T": len(h), "row": next(iter(tied), None)}


def least_loss(load: np.ndarray) -> float:
    """Return the smallest loss with these winners: each token spreads its probability over its own and the rarest.

    load (N,). A token that E_i wins costs N times the mean load of those it spreads over, and E_i is one of them.
    """
    total = 0.0
    for i, share in enumerate(load):
        rare = np.sort(np.delete(load, i))  # (N - 1,)
        means = np.cumsum([share, *rare]) / np.arange(1, len(load) + 1)  # (N,)
        total += len(load) * share * means.min()
    return float(total)


def is_even(found: Facts) -> bool:
    """Tell whether no expert has twice the mean load."""
    return found.violation < LEAST_VIOLATION - 1e-9


def has_dead(found: Facts) -> bool:
    """Tell whether an expert has too little to count as alive."""
    return found.least < LEAST_LOAD - 1e-9


def will_do(found: Facts) -> bool:
    """Tell whether loss and load are as asked, with a clear winner for each token."""
    return not found.tied and found.loss <= MOST_LOSS and not is_even(found) and not has_dead(found)


def would_do_as(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Facts], bool]:
    """Return the test whether the batch would do if it were change(h)."""

    def test(found: Facts) -> bool:
        changed = BATCH.read(change(found.h))
        return not isinstance(changed, Fault) and will_do(Facts(**batch_found(changed)))

    return test


def are_probabilities(h: np.ndarray) -> bool:
    """Tell whether each row of h (T, N) is a distribution."""
    return bool(h.min() >= 0 and np.allclose(h.sum(axis=-1), 1, atol=1e-3))


def logits_of(p: np.ndarray) -> np.ndarray:
    """Return ln p, with −50 in place of −∞. Same shape."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(p), -50)


BELOW_ONE = VariableQuestion(
    **about(
        "9.5", "Unbalanced, nobody dead, and a loss below 1", "build a counterexample", "medium", points=2, minutes=9
    ),
    hints=(
        "The loss is N Σ fᵢPᵢ. Probability costs little where f is small. Who may hold much of it, and yet win only now and then?",
        "Take four experts. E1 and E2 win nearly all tokens, each time with hardly more probability than E3 and E4 have, and next to nothing for the other one. E3 and E4 win just enough tokens to count as alive, and E1 wins half of all. From probabilities to logits: `np.log(p)`.",
    ),
    idea="f counts winners, P holds what everybody was given. Experts that are a close second for most tokens hold much probability and few tokens; where f and P disagree like that, the loss falls below 1, dead experts or not. So the value says nothing about how even the load is.",
    takeaway="A balance loss below 1 proves neither balance nor a dead expert: log the loads themselves.",
    answer="my_batch",
    form=BATCH,
    measured=batch_found,
    right=will_do,
    mistakes=by_test(
        "tokens as columns: Tokens are rows, and experts are columns. Turned round (`.T`) yours would do.",
        would_do_as(np.transpose),
        "sign: With the other sign, `-my_batch`, yours would do. Logits that give p are `np.log(p)`, without a minus.",
        would_do_as(np.negative),
        f"tie: {{tied}} of {{T}} tokens have no clear winner: their two largest logits are less than {LEAST_GAP} apart (the first is row {{row}}). Who is selected would hang on a rule for ties. Lift the winner by a little, 0.01 for instance.",
        lambda found: found.tied,
        "probabilities: As *probabilities* these would do, but they are taken for logits, and the softmax makes them nearly equal. Logits that give p are `np.log(p)` (with a small number in place of 0).",
        lambda found: are_probabilities(found.h) and would_do_as(logits_of)(found),
        "few rows of shares: Each row is positive and sums to 1: are these loads, or probabilities? Asked are *logits*, a row for each token, and who wins follows from them: whoever has the largest in a row gets that token. Begin with many rows; logits that give p are `np.log(p)`.",
        lambda found: are_probabilities(found.h) and found.load.size > found.T,
        "one expert has all: All tokens go to one expert. Then the loss is N times its mean probability, and whoever wins has at least 1/N in every token: the loss cannot be below 1. Let the others win too, some of them rarely.",
        lambda found: found.load.max() == 1,
        "dead, as in the lesson: The loss is low and the load uneven, but as in the lesson: an expert is dead, or nearly so (it has {least:.2f} times the mean load). Let those who hold the probability win a few tokens.",
        lambda found: found.loss <= MOST_LOSS and not is_even(found),
        "two experts: With two experts, one has twice the mean load only if it has *every* token. Take more experts.",
        lambda found: found.load.size == 2,
        "load too even: The loss is small enough, but no expert has twice the mean load. Give more of the tokens to one of the winners.",
        lambda found: found.loss <= MOST_LOSS,
        "neither: The load is too even. Begin with the load: let one expert win twice as many tokens as the mean, and some only a few.",
        is_even,
        f"favourite wins too much: With these winners no probabilities bring the loss below {{lowest:.3f|{MOST_LOSS}}}: one expert wins too many tokens. Let two win often, and everybody else now and then.",
        lambda found: found.lowest > MOST_LOSS,
        "dead, and no low loss: An expert is dead, or nearly so (it has {least:.2f} times the mean load): let everybody win a few tokens. And the loss is too large: give experts that *rarely* win nearly as much probability as each token's winner.",
        has_dead,
        "not far enough: The loss is below 1 already, and the load is unbalanced. Go on: let more of the experts that rarely win come close to each token's winner, and give the other frequent winners next to nothing.",
        lambda found: found.loss < 1,
        "loss not below 1: The load is unbalanced, but the loss shows it. Keep who wins, and make Pᵢ small where fᵢ is large: each token gives experts that *rarely* win nearly as much probability as its winner, and next to nothing to the other frequent winners.",
        always,
    ),
    report=f"The balance loss is {{loss:.4f|{MOST_LOSS}}}, MaxVio is {{violation:.4f|{LEAST_VIOLATION}}}, the smallest load {{least:.2f|{LEAST_LOAD}}} times the mean; asked are at most {MOST_LOSS}, at least {LEAST_VIOLATION:g} and at least {LEAST_LOAD}.\nLoads: {{load}}.",
)
