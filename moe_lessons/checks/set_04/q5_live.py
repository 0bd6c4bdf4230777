"""Question 4.5: repair a router that cannot learn."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import row
from moe_lessons.checks.gates import masked_with_zero
from moe_lessons.checks.question import NO_ANSWER, CalledQuestion, Data, Reply, about
from moe_lessons.checks.set_04.q1_keep import GATING
from moe_lessons.checks.values import agree
from moe_lessons.checks.verdicts import Facts, Fault, Mistake, Verdict, by_test, weighed

STEP, RESPONDS = 1e-3, 1e-4
POINTS = 6  # at which the gate is called for each token


def stuck_gate(logits: Any) -> np.ndarray:
    """Return the gate that cannot learn: k = 1, renormalised. logits (N,). Returns weights (N,), one of them 1."""
    h = np.asarray(logits, dtype=float)  # (N,)
    kept = np.where(np.arange(h.size) == h.argmax(), routing.softmax(h), 0)  # (N,)
    return kept / kept.sum()


def live_cases(rng: np.random.Generator) -> list[tuple]:
    """Tokens of 4 to 7 experts with clear gaps, so that a small step changes no selection.

    Each comes twice, then with each of its two best logits a little lower and higher.
    """
    cases: list[tuple] = []
    for N, best in ((4, 0.4), (5, 1.2), (6, -3.0), (7, 0.6)):
        below = np.cumsum(rng.uniform(0.2, 0.8, size=N - 1))  # (N - 1,)
        h = rng.permutation(best - np.concatenate([[0], below])).round(2)  # (N,)
        moved = [h + sign * STEP * one for one in np.eye(N)[np.argsort(-h)[:2]] for sign in (-1, 1)]
        cases += [(point,) for point in (h, h, *moved)]
    return cases


def token_found(h: np.ndarray, weights: list[Any]) -> dict[str, Any]:
    """Return what a gate does with one token: its weights at h (twice), and how they move with the two best logits."""
    now, again, *moved = weights  # (N,) each
    pairs = zip(np.argsort(-h)[:2], moved[0::2], moved[1::2], strict=True)
    slopes = np.array([(higher - lower)[i] / (2 * STEP) for i, lower, higher in pairs if now[i]])  # at most (2,)
    running = np.flatnonzero(now)  # indices of the experts with a weight
    return {"h": h, "now": now, "again": again, "slopes": slopes, "running": running, "many": running.size}


def is_masked_with_zero(found: Facts) -> bool:
    """Tell whether the weights are those of a gate that sets the cut logits to 0."""
    return any(agree(found.now, masked_with_zero(found.h, k)) for k in (1, 2))


def runs_others(found: Facts) -> bool:
    """Tell whether other experts run than those with the largest logits."""
    return set(found.running) != set(np.argsort(-found.h)[: found.many])


def stays_one(found: Facts) -> bool:
    """Tell whether the only weight is 1."""
    return found.many == 1 and abs(found.now.max() - 1) < 1e-9


def is_stiff(found: Facts) -> bool:
    """Tell whether a selected weight does not rise with its own logit."""
    return not (found.slopes > RESPONDS).all()


@dataclass(frozen=True, kw_only=True)
class LiveQuestion(CalledQuestion):
    """Any gate is right that runs one or two of the best experts and whose best weight grows with its logit."""

    mistakes: tuple[Mistake, ...]

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Look for the first token on which the gate breaks a rule."""
        values = reply["values"]
        if not isinstance(values, list) or len(values) != len(data["cases"]):
            return NO_ANSWER
        for start in range(0, len(values), POINTS):
            ((h,), *_) = data["cases"][start : start + POINTS]
            asks = f"a weight for each of {h.size} experts: {h.size} finite numbers"
            form = row(asks, least=h.size, most=h.size, returned=True)
            weights = [form.read(value) for value in values[start : start + POINTS]]
            if fault := next((found for found in weights if isinstance(found, Fault)), None):
                return Verdict.of(fault)
            verdict = weighed(Facts(**token_found(h, weights)), None, self.mistakes, "logits {h}: weights {now}")
            if not verdict.correct:
                return verdict
        return Verdict(True)


MOVES = "The selected weights move by {slopes} per unit of their own logits."

LIVE = LiveQuestion(
    **about("4.5", "Repair a router that cannot learn", "find the bug", "hard", points=2, minutes=8),
    hints=(
        "Print the weights for some logits and for the same logits with the largest one raised a little. Which step makes them equal?",
        "Either leave out that step for k = 1 (what does Switch do?), or keep two experts, so that dividing by the sum leaves a comparison.",
    ),
    idea="The division by the sum removes the only number that is left. Keep the probability as it is, or keep a second expert to be compared with: then the weight answers to the logit, and a gradient can pass.",
    answer="my_live_gate",
    parameters=("logits",),
    stands_for=GATING,
    cases=live_cases,
    mistakes=by_test(
        "random: Two calls with the same logits gave different weights. Noise can change which expert is chosen, but the chosen weight must answer to its logit by itself.",
        lambda found: not np.array_equal(found.now, found.again),
        "nothing runs: No expert runs for this token: every weight is 0.",
        lambda found: not found.many,
        "negative: A weight is negative. A logit may be negative; a negative gate weight turns the expert's output round.",
        lambda found: (found.now < 0).any(),
        "masked with 0: The weight moves, but only because the cut experts carry weight too: their logits were set to 0. Mask with −∞, or set their weights to 0.",
        is_masked_with_zero,
        "too many run: {many} experts run. At most two may: the saving must stay.",
        lambda found: found.many > 2,
        "wrong expert: The experts that run are not those with the largest logits.",
        runs_others,
        f"backwards: A selected weight *falls* when its own logit rises. Training would push the wrong way.\n{MOVES}",
        lambda found: (found.slopes < -RESPONDS).any(),
        f"still 1: The chosen weight is still exactly 1, whatever its logit. One number divided by itself is 1, and a temperature, a scale or another softmax before the division changes nothing.\n{MOVES}",
        lambda found: is_stiff(found) and stays_one(found),
        f"constant: The weight of a selected expert is a constant: it does not move with its own logit.\n{MOVES}",
        is_stiff,
    ),
)
