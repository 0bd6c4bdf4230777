"""Question 4.3: logits for which the gate form matters."""

from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import row
from moe_lessons.checks.question import VariableQuestion, about
from moe_lessons.checks.verdicts import always, by_test

DIFFERENCE, GIVEN_K = 0.2, 2


def both_gates(h: np.ndarray) -> dict[str, Any]:
    """Return what two gate forms make of logits h (N,)."""
    w_a, w_b = routing.gate_weights(h, GIVEN_K), routing.gate_weights(h, GIVEN_K, "softmax_topk")  # (N,) each
    selected, kept = w_b > 0, float(w_b.sum())
    apart = float(np.abs(w_a - w_b).max())
    return {"h": h, "apart": apart, "kept": kept, "cut": 1 - kept, "in_a": w_a[selected], "in_b": w_b[selected]}


APART = VariableQuestion(
    **about("4.3", "Logits for which the form matters", "build a counterexample", "medium", points=2, minutes=6),
    hints=(
        "In A the weight is p divided by the kept mass m, in B it is p itself. So the difference is the weight in A times 1 − m.",
        "Much must be cut: many experts that are nearly as good as the best. What happens with eight equal logits?",
    ),
    idea="Form A hands what was cut to the experts that stay. The more is cut, and the more of the rest one expert holds, the more its weight changes.",
    takeaway="The best two of 64 experts with standard normal logits hold less than a fifth of the probability on average: there the form decides the output's size.",
    answer="my_logits",
    form=row(
        f"a list of logits, one finite number for each of at least {GIVEN_K} experts",
        least=GIVEN_K,
        unlike=by_test(
            ": Not every number is finite: {value}. Give finite logits.",
            lambda h: not np.isfinite(h).all(),
        ),
    ),
    measured=both_gates,
    right=lambda found: found.apart > DIFFERENCE,
    mistakes=by_test(
        "nothing cut: With two experts and k = 2 nothing is cut, so both forms are the plain softmax. Add experts.",
        lambda found: found.h.size == GIVEN_K,
        "probabilities: These sum to 1: are they probabilities? Give logits, from which the softmax makes probabilities.",
        lambda found: abs(found.h.sum() - 1) < 1e-6 and (found.h > 0).all(),
        "too little cut: The two best hold so much that only {cut:.3f} is cut, and no weight can change by more than what is cut.",
        lambda found: found.cut <= DIFFERENCE,
        "too few equals: Equal logits are a good beginning: both forms share evenly, A 1/2 each. What does B give, and how does that depend on N?",
        lambda found: np.ptp(found.h) < 1e-9,
        "shared out: Enough is cut ({cut:.3f}), but no single expert gets enough of it: A hands out what is cut in proportion to the weights.",
        always,
    ),
    report="Largest difference {apart:.3f}. The two kept experts hold {kept:.3f} of the probability; their weights are {in_a} in A and {in_b} in B.",
)
