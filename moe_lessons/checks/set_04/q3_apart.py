"""Question 4.3: logits for which the gate form matters with one k, and not with another."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import row
from moe_lessons.checks.question import VariableQuestion, about
from moe_lessons.checks.verdicts import Facts, always, by_test

SMALL_K, LARGE_K, FEWEST = 2, 4, 6
MORE, LESS = 0.2, 0.05
LESSON = np.array([0.3, 0.2, 0.19, 0.16, 0.15])  # (5,), the lesson's probabilities


def both_gates(h: np.ndarray, k: int) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Return the largest difference of a weight, the kept mass, and the weights (k,) of two gate forms. h (N,)."""
    w_a, w_b = routing.gate_weights(h, k), routing.gate_weights(h, k, "softmax_topk")  # (N,) each
    kept = routing.top_k(h, k)[1]  # (k,)
    return float(np.abs(w_a - w_b).max()), float(w_b.sum()), w_a[kept], w_b[kept]


def does(apart: float, apart_4: float) -> bool:
    """Tell whether the forms are far enough apart with the small k, and near enough with the large one."""
    return apart > MORE and apart_4 < LESS


def apart_found(h: np.ndarray) -> dict[str, Any]:
    """Return what two gate forms make of logits h (N,), with a small and a large k; where N < k, all are kept."""
    apart, kept, in_a, in_b = both_gates(h, min(SMALL_K, h.size))
    apart_4, kept_4, _, _ = both_gates(h, min(LARGE_K, h.size))
    best = h[routing.top_k(h, min(SMALL_K, h.size))[1]]  # (k,)
    lesson = h.size == LESSON.size and np.allclose(np.sort(routing.softmax(h)), np.sort(LESSON), atol=1e-4)
    return {
        "h": h,
        "apart": apart,
        "cut": 1 - kept,
        "best": best,
        "in_a": in_a,
        "to_best": in_a[0] * (1 - kept),
        "in_b": in_b,
        "apart_4": apart_4,
        "cut_4": 1 - kept_4,
        "lesson": lesson,
        "turned": does(*(both_gates(-h, min(k, h.size))[0] for k in (SMALL_K, LARGE_K))),
        "whole": np.exp(-h).sum(),
    }


def sum_to(whole: float) -> Callable[[Facts], bool]:
    """Return the test whether numbers are not below 0 and sum to about `whole`."""
    return lambda found: bool(found.h.min() >= 0 and abs(found.h.sum() / whole - 1) < 0.02)


APART = VariableQuestion(
    **about("4.3", "Logits for which the form matters", "build a counterexample", "medium", points=2, minutes=6),
    hints=(
        "In A the weight is p divided by the kept mass m, in B it is p itself. So the difference is the weight in A times 1 − m. How large must m be for two experts, and how large for four?",
        "The best two must hold little, the best four nearly everything. So the third and the fourth are about as good as the best two, and what comes behind them?",
    ),
    idea="Form A hands what was cut to the experts that stay, so all that counts is the mass that k experts keep: where the first two hold half and the first four nearly all, k decides whether the form matters.",
    takeaway="The best two of 64 experts with standard normal logits hold less than a fifth of the probability on average: there the form decides the output's size.",
    answer="my_logits",
    form=row(
        f"a list of logits, one finite number for each of at least {FEWEST} experts",
        least=SMALL_K,
        unlike=by_test(
            ": Not every number is finite: {value}. Give finite logits.",
            lambda h: not np.isfinite(h).all(),
            "several tokens: These are the logits of several tokens. Both properties are asked of one and the same token: give one row.",
            lambda h: h.ndim == 2 and len(h) > 1,
        ),
    ),
    measured=apart_found,
    right=lambda found: found.h.size >= FEWEST and does(found.apart, found.apart_4),
    mistakes=by_test(
        f"the lesson's row: This is the row of the lesson. It has five experts, where {FEWEST} are asked for. And with k = {LARGE_K} its forms still differ by {{apart_4:.3f|{LESS}}}, because {{cut_4:.2f}} is cut: what must the experts behind the fourth hold?",
        lambda found: found.lesson,
        "probabilities: These sum to about 1: are they probabilities? Give logits, from which the softmax makes probabilities. A logit of 0 is no probability of 0: e⁰ is 1.",
        sum_to(1),
        "per cent: These sum to about 100: are they per cent? Give logits, from which the softmax makes probabilities.",
        sum_to(100),
        f"too few experts: At least {FEWEST} experts are asked for, and you give fewer. With four, k = {LARGE_K} cuts nothing at all.",
        lambda found: found.h.size < FEWEST,
        "signs turned: With every sign turned round, these logits would do: they are −ln p of probabilities that sum to 1. The more probable an expert, the *larger* its logit: ln p.",
        lambda found: found.turned and abs(found.whole - 1) < 0.02,
        f"all equal: With equal logits, k = {LARGE_K} cuts 1 − {LARGE_K}/N of the probability, {{cut_4:.2f}} here, and the forms differ by {{apart_4:.3f|{LESS}}}. Not all experts can be alike: which ones should hold next to nothing?",
        lambda found: np.ptp(found.h) < 1e-9,
        f"too little cut: Here k = {SMALL_K} keeps the logits {{best}} and cuts only {{cut:.3f|{MORE}}}, and no weight can change by more than what is cut. The third and the fourth must hold more.",
        lambda found: found.cut <= MORE,
        f"shared out: With k = {SMALL_K}, {{cut:.3f|{MORE}}} is cut, and no expert gets all of it: A hands it out in proportion to the weights, so that the best one gets {{to_best:.3f|{MORE}}}. So more must be cut: how much can the third and the fourth *each* hold, beside the best two?",
        lambda found: found.apart <= MORE,
        f"too much cut with k = {LARGE_K}: Right for k = {SMALL_K}. But k = {LARGE_K} still cuts {{cut_4:.3f}}, and the forms differ by {{apart_4:.3f|{LESS}}}. What comes behind the fourth must hold less.",
        always,
    ),
    report=f"Largest difference with k = {SMALL_K}: {{apart:.3f|{MORE}}} ({{cut:.3f|{MORE}}} of the probability is cut; the logits {{best}} are kept, with weights {{in_a}} in A and {{in_b}} in B). With k = {LARGE_K}: {{apart_4:.3f|{LESS}}} ({{cut_4:.3f}} is cut).",
)
