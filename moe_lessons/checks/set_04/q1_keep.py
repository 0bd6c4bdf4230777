"""Question 4.1: keep k, another k for every token."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_04.selections import (
    CUT_WRONGLY,
    SELECTED_WRONGLY,
    batch_of_one,
    kept,
    loosely,
    nearly_tied,
    others_of_the_tied,
    ranks,
)
from moe_lessons.checks.values import agree, is_floats, stacked
from moe_lessons.checks.verdicts import by_formula, by_test, by_value

# The softmax is not among them: set 02 asks for it, and here it may be used.
GATING = tuple(f"routing.{name}" for name in ("top_k", "gate_weights", "route", "Gate"))


def keep_cases(rng: np.random.Generator) -> list[tuple]:
    """One k: without ties, a tie at the border, k = 1, k = N, batches with ties, nearly a tie. Then a k for each token.

    The long rows are long enough for sorting that is not stable to show: numpy sorts short rows stably in any case.
    """
    plain_row = rng.permutation(np.linspace(-2, 2, 6).round(1)) - 0.05  # (6,), all different
    tied = np.concatenate([rng.permutation([1.5, 0.5, 0.5, 0.5]), [-1.0]])  # (5,), one place for three of 0.5
    batch = np.stack([rng.permutation(np.linspace(-3, -1, 4).round(2)), [0.25] * 4, [2.0, -1.0, 2.0, 2.0]])  # (3, 4)
    many = rng.permuted(np.tile(np.repeat([2.0, 1.0, 0.0], [3, 18, 3]), (12, 1)), axis=1)  # (12, 24)
    each = rng.permuted(np.tile([-1.5, -0.5, 0.0, 0.0, 0.0, 2.0], (5, 1)), axis=1)  # (5, 6), 0 is a logit like any
    one_k = [(plain_row, 3), (tied, 2), (plain_row, 1), (tied, 5), (batch, 2), (many, 10), nearly_tied(rng)]
    own_k = [(each, shuffled(rng, [1, 2, 3, 5, 6])), (many[:4], shuffled(rng, [5, 10, 17, 24]))]
    return [*one_k, *own_k, (plain_row[None], np.array([4]))]


def shuffled(rng: np.random.Generator, ks: list[int]) -> np.ndarray:
    """Return rising k in another order, (T,), in which neither the first nor the last is the smallest or the largest."""
    first, last, *others = rng.permutation(ks[1:-1])
    return np.array([first, *rng.permutation([ks[0], *others, ks[-1]]), last])


def kept_of_each(h: np.ndarray, k: Any) -> np.ndarray:
    """Return h (..., N) with −∞ in place of all but the k largest of each row, k being () or (T,)."""
    return cut(h, kept(h, k))


def cut(h: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return h (..., N) with −∞ where it is not marked."""
    return np.where(mask, h, -np.inf)


def sorted_down(h: np.ndarray, k: Any) -> np.ndarray:
    """Return the logits that are kept, the largest first, then −∞. (..., N)."""
    return -np.sort(-kept_of_each(h, k), axis=-1)


def rows_of(value: Any, h: np.ndarray) -> list:
    """Return the rows of what came for h (N,) or (T, N), one for a single token."""
    if h.ndim == 1:
        return [value]
    rows = list(value) if isinstance(value, np.ndarray) and value.ndim else value
    return rows if isinstance(rows, list) else []


def only_kept(value: Any, h: np.ndarray, k: Any) -> bool:
    """Tell whether `value` has for each row of h (..., N) the kept logits alone, in any order."""
    wanted = [row[mask] for row, mask in zip(np.atleast_2d(h), np.atleast_2d(kept(h, k)), strict=True)]
    rows = [stacked(row) for row in rows_of(value, h)]
    return len(rows) == len(wanted) and all(
        is_floats(row, right.shape) and agree(np.sort(row), np.sort(right))
        for row, right in zip(rows, wanted, strict=True)
    )


def one_k_for_all(value: Any, h: np.ndarray, k: Any) -> bool:
    """Tell whether `value` is right, or it is a case of several k, and every token keeps equally many."""
    some = range(h.shape[-1] + 1) if np.ndim(k) else ()
    return agree(value, kept_of_each(h, k)) or any(agree(value, kept_of_each(h, one)) for one in some)


def of_another_token(value: Any, h: np.ndarray, k: Any) -> bool:
    """Tell whether `value` is right, or it is a case of several k, and each row is right for one of them."""
    rows = zip(value, h, strict=True) if np.ndim(k) and np.shape(value) == h.shape else ()
    each = [any(agree(row, kept_of_each(logits, one)) for one in k) for row, logits in rows]
    return agree(value, kept_of_each(h, k)) or bool(each and all(each))


def cut_to_a_number(value: Any, h: np.ndarray, k: Any) -> bool:
    """Tell whether `value` keeps the right logits of h and has one number for the others."""
    mask = kept(h, k)  # (..., N)
    if not is_floats(value, h.shape):
        return False
    others = value[~mask]
    one = np.isfinite(others).all() and (not others.size or np.ptp(others) == 0)
    return bool(agree(value[mask], h[mask]) and one)


def cutting(marked: Callable) -> Callable:
    """Return the function of (h, k) that cuts all but what marked(h, k) says."""
    return lambda h, k: cut(h, marked(h, k))


ONLY_KEPT = (
    "only the kept: You return the kept logits alone. The result has the shape of `logits`, with −∞ for the others."
)
OF_SEVERAL_K = by_value(
    "largest k: Right for one k. Where each token has its own, you keep the largest k of all for every token.",
    lambda h, k: kept_of_each(h, np.max(k)),
    "first token's k: Right for one k. Where each token has its own, you keep the first token's k for every token.",
    lambda h, k: kept_of_each(h, np.ravel(k)[0]),
    "smallest k: Right for one k. Where each token has its own, you keep the smallest k of all for every token.",
    lambda h, k: kept_of_each(h, np.min(k)),
    "last token's k: Right for one k. Where each token has its own, you keep the last token's k for every token.",
    lambda h, k: kept_of_each(h, np.ravel(k)[-1]),
)
OF_THE_CUT = by_value(
    "masked with 0: Your cut experts have logit 0, and e⁰ = 1: after the softmax they still carry weight. Cut means −∞.",
    lambda h, k: np.where(kept(h, k), h, 0),
    "NaN for the cut: The right ones are kept. What is cut is −∞, which a softmax turns into 0; NaN it turns into NaN for all.",
    lambda h, k: np.where(kept(h, k), h, np.nan),
    "plus infinity: The right ones are kept. What is cut is −∞, *below* every logit; +∞ is above them all.",
    lambda h, k: np.where(kept(h, k), h, np.inf),
)
OF_THE_RESULT = by_value(
    "of the probabilities: You took the softmax first and cut the probabilities. Return the logits themselves: kept ones as they came, −∞ elsewhere.",
    lambda h, k: kept_of_each(routing.softmax(h), k),
    "softmax taken: These are weights: you went on to the softmax. Here the logits are kept as they are.",
    lambda h, k: routing.softmax(kept_of_each(h, k)),
    ONLY_KEPT,
    (
        lambda h, k: -np.sort(-h, axis=-1)[..., : np.max(k)],
        lambda h, k: sorted_down(h, k)[..., : np.max(k)],
    ),
    "shifted: You subtracted each row's largest logit, as one does within a softmax. Here the kept logits stay as they came.",
    lambda h, k: kept_of_each(h - h.max(axis=-1, keepdims=True), k),
    "whole numbers: Your logits have lost their decimals: they went into whole numbers.",
    lambda h, k: cut(h.astype(int), kept(h, k)),
    "sorted: The right logits, but sorted. Each belongs at its own expert's index.",
    (sorted_down, lambda h, k: np.sort(kept_of_each(h, k), axis=-1)),
    "ranks: These are the ranks. Return the logits, with −∞ where the rank is k or more.",
    lambda h, k: ranks(h),
    "indices: These are the experts' indices, the best first. Return their logits, each at its own expert's index, with −∞ for the others.",
    lambda h, k: np.argsort(-h, axis=-1, kind="stable"),
    "mask: This marks the kept experts. Return their logits, with −∞ for the others.",
    kept,
) + batch_of_one(kept_of_each)
BY_VALUE = OF_SEVERAL_K + OF_THE_CUT + by_formula(cutting, *SELECTED_WRONGLY, *CUT_WRONGLY) + OF_THE_RESULT

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
    mistakes=BY_VALUE
    + others_of_the_tied(kept_of_each)
    + loosely(BY_VALUE, kept_of_each)
    + by_test(
        ONLY_KEPT,
        only_kept,
        "another token's k: Right for one k. Where each token has its own, every row is right for the k of *some* token, and not always for its own: row t belongs to k[t].",
        of_another_token,
        "one k for all: Right for one k. Where each token has its own, you keep equally many for every token.",
        one_k_for_all,
        "finite cut: The right ones are kept, but what you cut has a finite logit: a softmax may still give it weight, and no test for −∞ finds it. Write `-np.inf`.",
        cut_to_a_number,
    ),
)
