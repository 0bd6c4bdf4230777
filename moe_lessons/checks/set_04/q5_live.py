"""Question 4.5: a lone expert that hears only itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import row
from moe_lessons.checks.gates import kept_probabilities, masked_with_zero
from moe_lessons.checks.parts import Part
from moe_lessons.checks.question import NO_ANSWER, CalledQuestion, Data, Reply, about
from moe_lessons.checks.set_04.q1_keep import GATING
from moe_lessons.checks.values import agree, digits_between, show
from moe_lessons.checks.verdicts import Facts, Fault, Mistake, Verdict, by_test, weighed

RANGE = 5.0  # logits lie between minus this and this
RISES, MOVES = 1e-15, 1e-9  # a smaller change of the weight is none
POINTS = 7  # at which the gate is called for each token


def stuck_gate(logits: Any) -> np.ndarray:
    """Return the gate that cannot learn: k = 1, renormalised. logits (N,). Returns weights (N,), one of them 1."""
    h = np.asarray(logits, dtype=float)  # (N,)
    kept = np.where(np.arange(h.size) == h.argmax(), routing.softmax(h), 0)  # (N,)
    return kept / kept.sum()


def live_cases(rng: np.random.Generator) -> list[tuple]:
    """Tokens of 3 to 7 experts, the best logit low, high and about 0; two share the second place, then the first.

    Each comes twice, then with its largest logit raised three times, then with the others lowered, and with them close.
    """
    cases: list[tuple] = []
    for N, best in ((6, -3.0), (4, 0.4), (5, 2.7), (7, 0.0), (3, 4.6), (5, 1.2)):
        others = -RANGE + rng.uniform(0, best - 0.2 + RANGE, size=N - 1)  # (N - 1,)
        h = rng.permutation([best, *others]).round(2)  # (N,)
        if N == 7:
            h[rng.permutation(h.argsort()[:-2])[0]] = np.sort(h)[-2]
        if (N, best) == (5, 1.2):
            h[rng.permutation(np.flatnonzero(h < best))[0]] = best
        cases += [(point,) for point in points(h, rng)]
    return cases


def points(h: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return h (N,) twice, with its largest logit raised a little, more and much, with the others lower, and close."""
    own = np.arange(h.size) == h.argmax()  # (N,)
    best = h.max()
    raised = [np.where(own, min(best + step, RANGE), h) for step in (0.1, 0.3, 2.0)]
    close = best - rng.uniform(0.01, 0.2, size=h.size)  # (N,)
    return [h, h.copy(), *raised, np.where(own, h, (h - RANGE) / 2), np.where(own, h, close)]


def token_found(h: np.ndarray, weights: list[Any]) -> dict[str, Any]:
    """Return what a gate does with one token: its weights at h (twice), when its best logit rises, the others move."""
    best = int(h.argmax())
    now, again, *_ = weights  # (N,) each
    running = [np.flatnonzero(w) for w in weights]  # indices, at each point
    own = np.array([w[best] for w in weights[1:]])  # (POINTS - 1,), the weight of the largest logit
    return {
        "h": h,
        "now": now,
        "again": again,
        "counts": np.array([len(those) for those in running]),
        "most": max(map(len, running)),
        "lowest": min(w.min() for w in weights),
        "runs": next((those for those in running if not np.array_equal(those, [best])), None),
        "equals": np.flatnonzero(h == h.max()),
        "own": own[:4],
        "others": own[4:],
        "rising": show(own[:4], digits_between(own[:4])),
        "moving": show(own[[0, 4, 5]], digits_between(own[[0, 4, 5]])),
        "largest": own.max(),
        "lifts": np.diff(own[:4]),
    }


def rises(h: np.ndarray, weights: list[Any]) -> bool:
    """Tell whether the weight of the largest logit of h (N,) rises with it."""
    readable = not any(isinstance(w, Fault) for w in weights)
    return readable and bool((np.diff([w[h.argmax()] for w in weights[1:5]]) > RISES).all())


def is_in_tenths(own: np.ndarray) -> bool:
    """Tell whether weights are several tenths, beside zeros."""
    several = np.unique(own[own > 0])
    return len(several) > 1 and agree(several, several.round(1))


def is_of_form_b(found: Facts) -> bool:
    """Tell whether the weight is the probability of the largest logit."""
    return agree(found.now, kept_probabilities(found.h, 1))


def hears_others(found: Facts) -> bool:
    """Tell whether the weight moves when only other logits do."""
    return np.abs(found.others - found.own[0]).max() > MOVES


@dataclass(frozen=True, kw_only=True)
class LiveQuestion(CalledQuestion):
    """Any gate is right that runs the best expert alone, with a weight that rises with its logit and hears no other."""

    mistakes: tuple[Mistake, ...]

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Look for the first token on which the gate breaks a rule."""
        values = reply["values"]
        if not isinstance(values, list) or len(values) != len(data["cases"]):
            return NO_ANSWER
        return next((verdict for verdict in self._of_tokens(data, reply) if not verdict.correct), Verdict(True))

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell for how many tokens the gate breaks no rule."""
        right = [verdict.correct for verdict in self._of_tokens(data, reply)]
        return (Part("", sum(right), len(right)),)

    def _of_tokens(self, data: Data, reply: Reply) -> Iterator[Verdict]:
        """Yield a verdict on each token."""
        tokens = list(self._read(data, reply))
        above = all(rises(h, weights) for h, weights in tokens if h.max() >= 0)
        for h, weights in tokens:
            if fault := next((found for found in weights if isinstance(found, Fault)), None):
                yield Verdict.of(fault)
            else:
                yield weighed(Facts(**token_found(h, weights), rises_above=above), None, self.mistakes, REPORT)

    def _read(self, data: Data, reply: Reply) -> Iterator[tuple[np.ndarray, list[Any]]]:
        """Yield each token's logits (N,), and the weights (N,) at each of its points, or a fault in their place."""
        for start in range(0, len(data["cases"]), POINTS):
            ((h,), *_) = data["cases"][start : start + POINTS]
            asks = f"a weight for each of {h.size} experts: {h.size} finite numbers"
            form = row(asks, least=h.size, most=h.size, returned=True)
            yield h, [form.read(value) for value in reply["values"][start : start + POINTS]]


REPORT = "logits {h}: weights {now}"
RISING = "When its own logit rises by 0, 0.1 and more, the weight is {rising}."
DEAF = "At first, and when only the others move, the weight is {moving}."

LIVE = LiveQuestion(
    **about("4.5", "A lone expert that hears only itself", "find the bug", "medium", points=2, minutes=8),
    hints=(
        "A softmax, a sum, a mean, a lead over the second: each of them lets the others in. What can you make of one number alone, so that it lies between 0 and 1 and rises?",
        "Lesson 04 has such a score, which each expert makes of its own logit: the one that DeepSeek-V3 uses. Give it to the selected expert, and leave out the division, which would make it 1 again.",
    ),
    idea="A score that is independent of the rivals, such as a sigmoid, needs nobody to be compared with. Divided by the sum of one, it would be 1 again.",
    takeaway="Whatever is divided by the sum of the selected is 1 for k = 1: a lone expert needs a score of its own, or a softmax that is left as it is.",
    answer="my_live_gate",
    parameters=("logits",),
    stands_for=GATING,
    cases=live_cases,
    mistakes=by_test(
        "random: Two calls with the same logits gave different weights. Noise can change which expert is chosen, but the chosen weight must answer to its logit by itself.",
        lambda found: not np.array_equal(found.now, found.again),
        "negative: A weight is negative, {lowest:.4f}. A logit may be negative; a negative gate weight turns the expert's output round.",
        lambda found: found.lowest < 0,
        "rounded: Your weights come in steps of 0.1, and those below 0.05 become 0, so that no expert runs. Leave the weight as it is.",
        lambda found: not found.counts.all() and is_in_tenths(found.own),
        "nothing runs: No expert runs: every weight is 0, for this token or when a logit has moved a little.",
        lambda found: not found.counts.all(),
        "masked with 0: The weight moves, but the cut experts carry weight too: their logits were set to 0. Mask with −∞, or set their weights to 0.",
        lambda found: agree(found.now, masked_with_zero(found.h, 1)),
        "equals run: Right but for ties: where logits are equal, several experts run. Exactly one may: the one with the lower index.",
        lambda found: found.most > 1 and len(found.equals) > 1,
        "several run: {most} experts run. Exactly one may, the one with the largest logit; the weight of every other is exactly 0.",
        lambda found: found.most > 1,
        "later of equals: Right but for ties: of equal logits you run the later one. The lower index comes first.",
        lambda found: found.runs is not None and found.runs[0] in found.equals[1:],
        "smallest runs: The expert with the smallest logit runs. That comes from `argmin`, from sorting upwards, or from `abs`: a logit far below 0 is a small one.",
        lambda found: np.array_equal(np.flatnonzero(found.now), [found.h.argmin()]),
        "wrong expert: The expert that runs is not the one with the largest logit.",
        lambda found: found.runs is not None,
        f"still 1: The chosen weight is still 1, whatever its logit. One number divided by itself is 1, and a temperature, a scale, a sigmoid or another softmax before the division changes nothing.\n{RISING}",
        lambda found: np.abs(found.own - 1).max() < 1e-6 and np.abs(found.lifts).max() <= RISES,
        f"too large: The weight reaches {{largest:.4f}}. It must stay strictly below 1 for every logit from −5 to 5.\n{RISING}",
        lambda found: found.largest >= 1,
        f"form B: This is the probability, form B. It answers to its own logit, but also to all others: they are in the denominator. Asked is a weight that moves with its own logit alone.\n{DEAF}",
        lambda found: is_of_form_b(found) and hears_others(found),
        f"hears the others: The weight moves although its own logit stays: another number of this token's is in it (a sum, a mean, the lead over the second). Asked is a weight that moves with its own logit alone.\n{DEAF}",
        hears_others,
        f"falls below 0: Where it is below 0, the weight *falls* when its own logit rises; above 0 it rises. Is the sign of the logit lost, as in |h| or h²?\n{RISING}",
        lambda found: (found.lifts < -RISES).any() and found.rises_above,
        f"backwards: The weight *falls* when its own logit rises. Training would push the wrong way.\n{RISING}",
        lambda found: (found.lifts < -RISES).any(),
        f"constant: The weight does not rise with its own logit, or not everywhere from −5 to 5. A step, rounding, or a sigmoid that is too steep is flat in places.\n{RISING}",
        lambda found: (found.lifts <= RISES).any(),
    ),
)
