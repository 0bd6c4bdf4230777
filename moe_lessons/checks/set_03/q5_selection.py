"""Question 3.5: probabilities that select otherwise than the logits."""

from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import Fields, Numbers
from moe_lessons.checks.question import VariableQuestion, about
from moe_lessons.checks.verdicts import always, by_test

LOGITS = Numbers(
    "a list of numbers, one for each expert",
    lambda h: h.ndim == 1,
    unlike=by_test(
        ": Every logit should be a finite number, also in float32 (at most about 3e38).",
        lambda h: h.ndim == 1 and not (np.abs(h) <= np.finfo(np.float32).max).all(),
        "too few experts: With {shape[0]} experts there is no third one that could slip in. Take at least 3.",
        lambda h: h.ndim == 1 and len(h) < 3,
    ),
)
TAU = Numbers(
    "one finite number",
    lambda tau: tau.size == 1,
    unlike=by_test(
        ": Expected one finite number. Came {value}.",
        lambda tau: tau.size == 1 and not np.isfinite(tau).all(),
        "τ not positive: τ = {value}: a temperature is above 0. (At 0 you would divide by 0; below 0 the order turns round.)",
        lambda tau: tau.size == 1 and tau.item() <= 0,
    ),
)


def selections_found(example: dict[str, Any]) -> dict[str, Any]:
    """Return what logits and probabilities select in float32, and where the second and third of the logits tie."""
    h, tau = example["logits"].astype(np.float32), example["tau"].item()  # (N,)
    p = routing.softmax(h, tau)  # (N,)
    order, taken = routing.top_k(h, len(h))[1], routing.top_k(p, 2)[1]  # indices (N,), (2,)
    by_logit, by_probability = (", ".join(f"E{i + 1}" for i in pair) for pair in (order[:2], taken))
    second, third = order[1:3]
    lead = float(h[order[0]]) - float(h[second])
    return {
        "tau": tau,
        "differ": set(order[:2]) != set(taken),
        "by_logit": by_logit,
        "by_probability": by_probability,
        "tied_as_given": example["logits"][second] == example["logits"][third],
        "tied": h[second] == h[third],
        "tied_in_p": p[second] == p[third],
        "p_second": float(p[second]),
        "p_third": float(p[third]),
        "lead": lead,
        "lead_by_tau": lead / tau,
        "shown": ", ".join(f"{value:.3g}" for value in p[:8]) + (", ..." if len(p) > 8 else ""),
    }


ENOUGH = 103.98  # e to minus this is 0 in float32
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)  # below it float32 has fewer digits, down to 1.4e-45


SELECTION = VariableQuestion(
    **about("3.5", "Probabilities that choose otherwise", "build a counterexample", "hard", points=2, minutes=8),
    hints=(
        "The softmax keeps the order, so nothing can overtake. But two different logits can end in the *same* float32 probability. Which of the two is then taken?",
        "Below about 1e-45 float32 has only 0, and e^(−104) is below that. Let E1 lead by so much that the others are 0, and put the better of the others last.",
    ),
    idea="Rounding maps different logits to equal probabilities, and a tie goes to the lower index: so select on logits, where the difference is still there.",
    takeaway="Select on logits, not on rounded probabilities: the fewer bits a model computes with, the more often two experts tie and the index decides.",
    answer="example",
    form=Fields({"logits": LOGITS, "tau": TAU}),
    measured=selections_found,
    right=lambda found: found.differ,
    mistakes=by_test(
        "tie in the logits: The second and the third logit are equal, so the logits themselves do not say which two are best. Pull them apart.",
        lambda found: found.tied_as_given,
        "tie before the softmax: Your second and third logit differ, but not in float32: it keeps about 7 digits. Widen their gap; the tie should arise in the softmax.",
        lambda found: found.tied,
        "only the order: The same two experts, only in another order: as a set, nothing changed. The tie must lie between the second and the third.",
        lambda found: found.by_logit != found.by_probability,
        "tie falls right: Nearly: second and third do tie in the probabilities. But of equals the lower index comes first, and here that is the right one. Exchange the two.",
        lambda found: found.tied_in_p,
        "lead divided: Your best logit leads by {lead:g}, which would do at τ = 1. But τ divides the lead, too: {lead_by_tau:.4g} are left, and e to minus that is {p_second:.3g}, no 0.",
        lambda found: found.tau > 1 and found.lead > ENOUGH,
        "only the third is 0: The third has 0 already, but the second has {p_second:.3g}. These two must tie: the second must be as small.",
        lambda found: found.p_third == 0 and found.p_second > SMALLEST_NORMAL,
        "nearly 0: Nearly: second and third have {p_second:.3g} and {p_third:.3g}. float32 goes down to about 1e-45, with fewer and fewer digits: a little further, and both are 0.",
        lambda found: found.p_second < SMALLEST_NORMAL,
        "still in order, high τ: A higher τ evens the probabilities out, but keeps their order, as long as float32 can tell them apart. Go much further, or the other way.",
        lambda found: found.tau > 1,
        "still in order: Second and third are still told apart by their probabilities. Make both so small that float32 has nothing but 0 for them.",
        always,
    ),
    report="By logits: {by_logit}. By probabilities: {by_probability}. Probabilities in float32: {shown}.",
)
