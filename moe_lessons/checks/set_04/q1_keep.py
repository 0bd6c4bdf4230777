"""Question 4.1: keep k, another k for every token."""

from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree, is_floats
from moe_lessons.checks.verdicts import by_test, by_value

# The softmax is not among them: set 02 asks for it, and here it may be used.
GATING = tuple(f"routing.{name}" for name in ("top_k", "gate_weights", "route"))


def keep_cases(rng: np.random.Generator) -> list[tuple]:
    """One k: without ties, a tie at the border, k = 1, k = N, batches with ties. Then a k for each token, with ties.

    The long rows are long enough for sorting that is not stable to show: numpy sorts short rows stably in any case.
    """
    plain_row = rng.permutation(np.linspace(-2, 2, 6).round(1)) - 0.05  # (6,), all different
    tied = np.concatenate([rng.permutation([1.5, 0.5, 0.5, 0.5]), [-1.0]])  # (5,), one place for three of 0.5
    batch = np.stack([rng.permutation(np.linspace(-3, -1, 4).round(2)), [0.25] * 4, [2.0, -1.0, 2.0, 2.0]])  # (3, 4)
    many = rng.permuted(np.tile(np.repeat([2.0, 1.0, 0.0], [3, 18, 3]), (12, 1)), axis=1)  # (12, 24)
    each = rng.permuted(np.tile([-1.5, -0.5, 0.0, 0.0, 0.0, 2.0], (5, 1)), axis=1)  # (5, 6), 0 is a logit like any
    one_k = [(plain_row, 3), (tied, 2), (plain_row, 1), (tied, 5), (batch, 2), (many, 10)]
    own_k = [(each, shuffled(rng, [1, 2, 3, 5, 6])), (many[:4], shuffled(rng, [5, 10, 17, 24]))]
    return [*one_k, *own_k, (plain_row[None], np.array([4]))]


def shuffled(rng: np.random.Generator, ks: list[int]) -> np.ndarray:
    """Return rising k in another order, (T,), in which neither the first nor the last is the smallest or the largest."""
    first, last, *others = rng.permutation(ks[1:-1])
    return np.array([first, *rng.permutation([ks[0], *others, ks[-1]]), last])


def ranks(h: np.ndarray, axis: int | None = -1) -> np.ndarray:
    """Return the rank of each logit along `axis`, None for all of h (..., N): 0 for the largest, of equals the first."""
    order = np.argsort(-h, axis=axis, kind="stable")  # (..., N)
    return np.argsort(order, axis=axis).reshape(h.shape)  # (..., N)


def kept(h: np.ndarray, k: Any, axis: int | None = -1) -> np.ndarray:
    """Mark what has a rank below k, or each token's own k. h (..., N), k () or (T,). Returns booleans (..., N)."""
    return ranks(h, axis) < np.expand_dims(k, -1)  # (..., N)


def kept_of_each(h: np.ndarray, k: Any) -> np.ndarray:
    """Return h (..., N) with −∞ in place of all but the k largest of each row, k being () or (T,)."""
    return cut(h, kept(h, k))


def cut(h: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return h (..., N) with −∞ where it is not marked."""
    return np.where(mask, h, -np.inf)


def kth_largest(h: np.ndarray, k: Any) -> np.ndarray:
    """Return the k-th largest of each row of h (..., N). (..., 1)."""
    place = np.broadcast_to(np.expand_dims(k, -1), (*h.shape[:-1], 1)) - 1  # (..., 1)
    return np.take_along_axis(-np.sort(-h, axis=-1), place, axis=-1)


def last_of_the_tied(h: np.ndarray, k: Any) -> np.ndarray:
    """Keep k, but of equal logits the last."""
    return kept_of_each(h[..., ::-1], k)[..., ::-1]


def largest_first(h: np.ndarray, k: Any) -> np.ndarray:
    """Return the logits that are kept, the largest first, then −∞. (..., N)."""
    return -np.sort(-kept_of_each(h, k), axis=-1)


def first_of_a_value(h: np.ndarray, k: Any) -> np.ndarray:
    """Mark, of what is kept of h (..., N), only the first place of each value. Returns booleans (..., N)."""
    earlier = np.tril(h[..., :, None] == h[..., None, :], k=-1)  # (..., N, N)
    return kept(h, k) & ~earlier.any(axis=-1)


def distinct_above(h: np.ndarray) -> np.ndarray:
    """Return for each logit of h (..., N) how many different values of its row are larger. (..., N)."""
    new = first_of_a_value(h, h.shape[-1])  # (..., N), every value once
    larger = h[..., None, :] > h[..., :, None]  # (..., N, N)
    return (larger & new[..., None, :]).sum(axis=-1)


def cut_to_a_number(value: Any, h: np.ndarray, k: Any) -> bool:
    """Tell whether `value` keeps the right logits of h and has one number below them all for the others."""
    mask = kept(h, k)  # (..., N)
    if not is_floats(value, h.shape):
        return False
    others = value[~mask]
    one = np.isfinite(others).all() and (not others.size or (np.ptp(others) == 0 and others[0] < h.min()))
    return bool(agree(value[mask], h[mask]) and one)


def chose_among_equals(value: Any, h: np.ndarray, k: Any) -> bool:
    """Tell whether `value` keeps k of h's own logits in each row, as large as the k largest."""
    if not is_floats(value, h.shape):
        return False
    chosen, right = np.isfinite(value), kept_of_each(h, k)  # (..., N) each
    own = np.isneginf(value[~chosen]).all() and agree(value[chosen], h[chosen])
    return bool(own and agree(np.sort(value, axis=-1), np.sort(right, axis=-1)))


KEEP = FunctionQuestion(
    **about("4.1", "Keep k, another k for every token", "write it", "medium", points=2, minutes=10),
    hints=(
        "A slice of the first k has one length for all rows. Give every expert a rank instead: 0 for the best of its token, 1 for the next. Then a token keeps the ranks below its k.",
        'Sorting twice gives ranks: argsort says who comes first, `np.argsort(np.argsort(-logits, axis=-1, kind="stable"), axis=-1)` in which place each one is. A k for each token must stand beside them as a column, (T, 1).',
    ),
    idea="A rank for every expert, compared with its token's own k: no slice has to fit all rows, ties cannot let in more than k, and what is cut becomes −∞.",
    takeaway="Routers with a threshold keep another number of experts for every token; a rank or a mask serves them all, where an array of k indices cannot.",
    answer="my_keep_top_k",
    parameters=("logits", "k"),
    stands_for=GATING,
    when_raised="If it is about shapes that do not fit together: where k is (T,), it belongs beside the (T, N) logits as a column, (T, 1); `np.expand_dims(k, -1)` makes it one, and serves a single k, too. If it is about a slice or an index: `[:k]` and `logits[best]` take rows, which are tokens, and a slice of the experts, `[..., :k]`, needs one whole number k for all tokens.",
    cases=keep_cases,
    reference=kept_of_each,
    mistakes=by_value(
        "largest k: Right for one k. Where each token has its own, you keep the largest k of all for every token.",
        lambda h, k: kept_of_each(h, np.max(k)),
        "first token's k: Right for one k. Where each token has its own, you keep the first token's k for every token.",
        lambda h, k: kept_of_each(h, np.ravel(k)[0]),
        "smallest k: Right for one k. Where each token has its own, you keep the smallest k of all for every token.",
        lambda h, k: kept_of_each(h, np.min(k)),
        "last token's k: Right for one k. Where each token has its own, you keep the last token's k for every token.",
        lambda h, k: kept_of_each(h, np.ravel(k)[-1]),
        "masked with 0: Your cut experts have logit 0, and e⁰ = 1: after the softmax they still carry weight. Cut means −∞.",
        lambda h, k: np.where(kept(h, k), h, 0),
        "more than k: Where logits tie you keep more than k. You compare with the k-th largest value, and several experts have it. Compare ranks, which never tie.",
        lambda h, k: cut(h, h >= kth_largest(h, k)),
        "strictly above: You keep fewer than k: `>` leaves the k-th largest itself out.",
        lambda h, k: cut(h, h > kth_largest(h, k)),
        "last of the tied: Right but for ties: of equal logits you keep the later ones. That comes from sorting upwards and reading from the end. The lower index comes first.",
        last_of_the_tied,
        "smallest: You keep the k smallest: argsort sorts upwards.",
        lambda h, k: cut(h, kept(-h, k)),
        "order for rank: You compared the result of a single argsort with k. That says which expert comes in which place; asked is in which place each expert is. Sort once more: the argsort of the argsort.",
        lambda h, k: cut(h, np.argsort(-h, axis=-1, kind="stable") < np.expand_dims(k, -1)),
        "k cut: You cut k experts. Asked is to *keep* k, and cut all the others.",
        lambda h, k: kept_of_each(h, h.shape[-1] - np.asarray(k)),
        "one too many: You keep k + 1 of each row: ranks count from 0.",
        lambda h, k: kept_of_each(h, np.asarray(k) + 1),
        "one too few: You keep k − 1 of each row. Ranks count from 0: keep those below k.",
        lambda h, k: kept_of_each(h, np.asarray(k) - 1),
        "k is 2: Right for k = 2 only: you keep two whatever k is.",
        lambda h, k: kept_of_each(h, 2),
        "of the probabilities: You took the softmax first and cut the probabilities. Return the logits themselves: kept ones as they came, −∞ elsewhere.",
        lambda h, k: kept_of_each(routing.softmax(h), k),
        "along the tokens: Right for one token. In a batch you rank the tokens (axis 0); each token ranks its own experts, along the last axis.",
        lambda h, k: cut(h, kept(h, k, axis=0)),
        "over the whole batch: Right for one token. In a batch you rank the logits of all tokens together; every token ranks its own, along the last axis.",
        (
            lambda h, k: cut(h, kept(h, k, axis=None)),
            lambda h, k: cut(h, ranks(h, axis=None) < np.sum(np.broadcast_to(k, h.shape[:-1]))),
        ),
        "looked up by value: Where logits tie, you find the same expert twice: `list.index` gives the first place of a value each time. Sort the places, as argsort does, and not the values.",
        lambda h, k: cut(h, first_of_a_value(h, k)),
        "k values: You keep the k largest *different* values: where logits tie, those are more than k experts. Compare ranks, which never tie.",
        lambda h, k: cut(h, distinct_above(h) < np.expand_dims(k, -1)),
        "first k: You keep the first k by their index. The k with the largest logits stay.",
        lambda h, k: cut(h, np.broadcast_to(np.arange(h.shape[-1]), h.shape) < np.expand_dims(k, -1)),
        "kept 0 lost: Right, but where a kept logit is 0. 0 is a logit like any other: keep by rank, not by whether something is 0.",
        lambda h, k: cut(h, kept(h, k) & (h != 0)),
        "largest sizes: You keep those that are largest without their signs. A logit far below 0 is a small one.",
        lambda h, k: cut(h, kept(np.abs(h), k)),
        "NaN for the cut: The right ones are kept. What is cut is −∞, which a softmax turns into 0; NaN it turns into NaN for all.",
        lambda h, k: np.where(kept(h, k), h, np.nan),
        "only the kept: You return the kept logits alone. The result has the shape of `logits`, with −∞ for the others.",
        (
            lambda h, k: -np.sort(-h, axis=-1)[..., : np.max(k)],
            lambda h, k: largest_first(h, k)[..., : np.max(k)],
        ),
        "whole numbers: Your logits have lost their decimals: they went into whole numbers.",
        lambda h, k: cut(h.astype(int), kept(h, k)),
        "largest first: The right logits, the largest first. Each belongs at its own expert's index.",
        largest_first,
        "ranks: These are the ranks. Return the logits, with −∞ where the rank is k or more.",
        lambda h, k: ranks(h),
        "mask: This marks the kept experts. Return their logits, with −∞ for the others.",
        kept,
        "softmax taken: These are weights: you went on to the softmax. Here the logits are kept as they are.",
        lambda h, k: routing.softmax(kept_of_each(h, k)),
    )
    + by_test(
        "finite cut: The right ones are kept, but what you cut has a finite logit. After a softmax that is nearly nothing, not nothing, and no test for −∞ finds it. Write `-np.inf`.",
        cut_to_a_number,
        'another of the tied: Right but for ties: of equal logits the lower index comes first. `np.argsort` promises that with `kind="stable"` only, and reversing its result turns it round.',
        chose_among_equals,
    ),
)
