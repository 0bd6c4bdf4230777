"""Question 4.1: keep the k largest."""

from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import at_least_the_kth, kept_logits, selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree, is_floats
from moe_lessons.checks.verdicts import by_test, by_value

# The softmax is not among them: set 02 asks for it, and here it may be used.
GATING = tuple(f"routing.{name}" for name in ("top_k", "gate_weights", "route"))


def keep_cases(rng: np.random.Generator) -> list[tuple]:
    """Without ties, k above 1; a tie at the border; a batch with a tie and one row of equal logits; rows with many ties.

    The last are long enough for sorting that is not stable to show: numpy sorts short rows stably in any case.
    """
    plain_row = rng.permutation(np.linspace(-2, 2, 6).round(1)) - 0.05  # (6,), all different
    tied = np.concatenate([rng.permutation([1.5, 0.5, 0.5, 0.5]), [-1.0]])  # (5,), one place for three of 0.5
    batch = np.stack([rng.permutation(np.linspace(-3, -1, 4).round(2)), [0.25] * 4, [2.0, -1.0, 2.0, 2.0]])  # (3, 4)
    many = rng.permuted(np.tile(np.repeat([2.0, 1.0, 0.0], [3, 18, 3]), (12, 1)), axis=1)  # (12, 24)
    return [(plain_row, 3), (tied, 2), (batch, 2), (many, 10)]


def up_to_the_kth_smallest(h: np.ndarray, k: int) -> np.ndarray:
    """Keep whatever is not above the k-th smallest."""
    return np.where(h <= np.sort(h, axis=-1)[..., k - 1, None], h, -np.inf)  # (..., N)


def last_of_the_tied(h: np.ndarray, k: int) -> np.ndarray:
    """Keep k, but of equal logits the last."""
    return kept_logits(h[..., ::-1], k)[..., ::-1]


def cut_to_a_number(value: Any, h: np.ndarray, k: int) -> bool:
    """Tell whether `value` keeps the right logits of h and has one number below them all for the others."""
    kept = selected_mask(h, k)  # (..., N)
    if not is_floats(value, h.shape):
        return False
    cut = value[~kept]
    return bool(agree(value[kept], h[kept]) and np.isfinite(cut).all() and np.ptp(cut) == 0 and cut[0] < h.min())


def chose_among_equals(value: Any, h: np.ndarray, k: int) -> bool:
    """Tell whether `value` keeps k of h's own logits in each row, as large as the k largest."""
    if not is_floats(value, h.shape):
        return False
    kept, right = np.isfinite(value), kept_logits(h, k)  # (..., N) each
    own = np.isneginf(value[~kept]).all() and agree(value[kept], h[kept])
    return bool(own and agree(np.sort(value, axis=-1), np.sort(right, axis=-1)))


KEEP = FunctionQuestion(
    **about("4.1", "Keep the k largest", "write it", "easy", points=2, minutes=8),
    hints=(
        'Sort the indices of each row by falling logit: `np.argsort(-logits, axis=-1, kind="stable")`. The first k are the ones to keep.',
        "Start with `np.full(logits.shape, -np.inf)`. `np.take_along_axis` reads the kept logits, `np.put_along_axis` writes them to their places.",
    ),
    idea="Selection is by index and not by comparing with the k-th value, so that ties cannot let in more than k; what is cut becomes −∞, because e to −∞ is exactly 0.",
    answer="my_keep_top_k",
    parameters=("logits", "k"),
    stands_for=GATING,
    when_raised="A row of `np.argsort(...)[..., :k]` holds positions in that row alone: `np.take_along_axis` and `np.put_along_axis` use them so.",
    cases=keep_cases,
    reference=kept_logits,
    mistakes=by_value(
        "masked with 0: Your cut experts have logit 0, and e⁰ = 1: after the softmax they still carry weight. Cut means −∞.",
        lambda h, k: np.where(selected_mask(h, k), h, 0),
        "more than k: Where logits tie you keep more than k. You compare with the k-th largest value, and several experts have it. Select k indices instead.",
        at_least_the_kth,
        "strictly above: You keep fewer than k: `>` leaves the k-th largest itself out.",
        lambda h, k: np.where(h > np.sort(h, axis=-1)[..., -k, None], h, -np.inf),
        "last of the tied: Right but for ties: of equal logits you keep the later ones. That comes from sorting upwards and reading from the end. The lower index comes first.",
        last_of_the_tied,
        "smallest: You keep the k smallest: argsort sorts upwards.",
        lambda h, k: np.where(selected_mask(-h, k), h, -np.inf),
        "smallest by value: You keep the small logits: those up to the k-th smallest. Asked are the k largest.",
        up_to_the_kth_smallest,
        "k cut: You cut k experts. Asked is to *keep* k, and cut all the others.",
        lambda h, k: kept_logits(h, h.shape[-1] - k),
        "one too many: You keep k + 1 of each row.",
        lambda h, k: kept_logits(h, k + 1),
        "k is 2: Right for k = 2 only: you keep two whatever k is.",
        lambda h, k: kept_logits(h, 2),
        "of the probabilities: You took the softmax first and cut the probabilities. Return the logits themselves: kept ones as they came, −∞ elsewhere.",
        lambda h, k: kept_logits(routing.softmax(h), k),
        "along the tokens: Right for one token. In a batch you choose among the tokens (axis 0); each token chooses among its own experts, the last axis.",
        lambda h, k: kept_logits(h.T, k).T if h.ndim > 1 else kept_logits(h, k),
        "over the whole batch: Right for one token. In a batch you keep k logits altogether; every token keeps k of its own.",
        lambda h, k: kept_logits(h.ravel(), k).reshape(h.shape),
        "only the kept: These are the k kept logits alone. The result has the shape of the logits, with −∞ where an expert is cut.",
        lambda h, k: routing.top_k(h, k)[0],
        "indices: These are the indices of the kept experts. Return the logits, with −∞ where an expert is cut.",
        lambda h, k: routing.top_k(h, k)[1],
        "mask: This marks the kept experts. Return their logits, with −∞ for the others.",
        selected_mask,
        "softmax taken: These are weights: you went on to the softmax. Here the logits are kept as they are.",
        lambda h, k: routing.gate_weights(h, k),
    )
    + by_test(
        "finite cut: The right ones are kept, but what you cut has a finite logit. After a softmax that is nearly nothing, not nothing, and no test for −∞ finds it. Write `-np.inf`.",
        cut_to_a_number,
        'another of the tied: Right but for ties: of equal logits the lower index comes first. `np.argsort` promises that with `kind="stable"` only, and reversing its result turns it round.',
        chose_among_equals,
    ),
)
