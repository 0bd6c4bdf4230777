"""What questions of this set share: who is selected, what selects others by mistake, and what equal logits leave open."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from moe_lessons.checks.values import agree, stacked
from moe_lessons.checks.verdicts import Mistake, by_test, by_value
from moe_lessons.routing import softmax

NEXT_TO = 1e-5  # two logits so near are not equal, also in float32


def column(k: Any) -> np.ndarray:
    """Return k () or (T,) as it stands beside logits (..., N). (1,) or (T, 1)."""
    return np.expand_dims(k, -1)


def ranks(h: np.ndarray, axis: int | None = -1) -> np.ndarray:
    """Return the rank of each logit along `axis`, None for all of h (..., N): 0 for the largest, of equals the first."""
    order = np.argsort(-h, axis=axis, kind="stable")  # (..., N)
    return np.argsort(order, axis=axis).reshape(h.shape)  # (..., N)


def kept(h: np.ndarray, k: Any, axis: int | None = -1) -> np.ndarray:
    """Mark what has a rank below k, or each token's own k. h (..., N), k () or (T,). Returns booleans (..., N)."""
    return ranks(h, axis) < column(k)  # (..., N)


def above(h: np.ndarray) -> np.ndarray:
    """Return how many of its row are larger than each logit of h (..., N). (..., N)."""
    return (h[..., None, :] > h[..., :, None]).sum(axis=-1)


def not_below(h: np.ndarray) -> np.ndarray:
    """Return how many of its row are as large as each logit of h (..., N), or larger. (..., N)."""
    return (h[..., None, :] >= h[..., :, None]).sum(axis=-1)


def first_of_a_value(h: np.ndarray, k: Any) -> np.ndarray:
    """Mark, of what is kept of h (..., N), only the first place of each value. Returns booleans (..., N)."""
    earlier = np.tril(h[..., :, None] == h[..., None, :], k=-1)  # (..., N, N)
    return kept(h, k) & ~earlier.any(axis=-1)


def distinct_above(h: np.ndarray) -> np.ndarray:
    """Return for each logit of h (..., N) how many different values of its row are larger. (..., N)."""
    new = first_of_a_value(h, h.shape[-1])  # (..., N), every value once
    larger = h[..., None, :] > h[..., :, None]  # (..., N, N)
    return (larger & new[..., None, :]).sum(axis=-1)


def nearly_tied(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return logits (12,) and a k whose last place goes to the last expert: the first is only NEXT_TO below it."""
    others = rng.permutation(np.linspace(-2, 2, 10).round(2)) - 0.05  # (10,), of which four are larger
    return np.concatenate([[0.4], others, [0.4 + NEXT_TO]]), 5


def nudged(step: float) -> Callable:
    """Return what marks the selected once every logit was lowered by so many steps as its index is."""
    return lambda h, k: kept(h - step * np.arange(h.shape[-1]), k)


# Pairs of a text and what marks the selected: a function of the logits h (..., N) and k.
SELECTED_WRONGLY = (
    "smallest: You select the k smallest: argsort sorts upwards.",
    lambda h, k: kept(-h, k),
    "more than k: Where logits tie you select more than k. You compare with the k-th largest value, and several experts have it. Compare ranks, which never tie.",
    lambda h, k: above(h) < column(k),
    "strictly above: You select fewer than k: `>` leaves the k-th largest itself out.",
    lambda h, k: not_below(h) < column(k),
    "fewer than k: Where logits tie you select fewer than k: those that tie at the border are all left out. Compare ranks, which never tie.",
    lambda h, k: not_below(h) <= column(k),
    "order for rank: You compared the result of a single argsort with k. That says which expert comes in which place; asked is in which place each expert is. Sort once more: the argsort of the argsort.",
    (
        lambda h, k: np.argsort(-h, axis=-1, kind="stable") < column(k),
        lambda h, k: np.argsort(-h, axis=-1) < column(k),
    ),
    "k cut: You leave k experts out. Exactly k are *selected*, and all others are left out.",
    lambda h, k: kept(h, h.shape[-1] - np.asarray(k)),
    "one too many: You select k + 1 of each row: ranks count from 0.",
    lambda h, k: kept(h, np.asarray(k) + 1),
    "one too few: You select k − 1 of each row. Ranks count from 0: those below k are selected.",
    lambda h, k: kept(h, np.asarray(k) - 1),
    "k is 2: Right for k = 2 only: you select two whatever k is.",
    lambda h, k: kept(h, 2),
    "best alone: Right for k = 1 only: you select the best expert alone. `argmax` finds the same one again, unless it is struck out.",
    lambda h, k: kept(h, 1),
    "looked up by value: Where logits tie, you find the same expert twice: `list.index` gives the first place of a value each time. Sort the places, as argsort does, and not the values.",
    first_of_a_value,
    "k values: You select the k largest *different* values: where logits tie, those are more than k experts. Compare ranks, which never tie.",
    lambda h, k: distinct_above(h) < column(k),
    "first k: You select the first k by their index. Selected are those with the k largest logits.",
    lambda h, k: np.broadcast_to(np.arange(h.shape[-1]), h.shape) < column(k),
    "largest sizes: You select those that are largest without their signs. A logit far below 0 is a small one.",
    lambda h, k: kept(np.abs(h), k),
    'nudged: You changed the logits by their index, so that none tie: then logits that are nearly equal change places. A stable sort leaves them as they are, and takes the lower index first where they tie: `np.argsort(-logits, axis=-1, kind="stable")`.',
    tuple(map(nudged, 10.0 ** -np.arange(1, 7))),
)

# The same, where h may be a batch, and a logit 0.
CUT_WRONGLY = (
    "turned round: It is the wrong way round: the k with the largest logits are cut, and the others are kept.",
    lambda h, k: ~kept(h, k),
    "along the tokens: Right for one token. In a batch you rank the tokens (axis 0); each token ranks its own experts, along the last axis.",
    lambda h, k: kept(h, k, axis=0),
    "over the whole batch: Right for one token. In a batch you rank the logits of all tokens together; every token ranks its own, along the last axis.",
    (
        lambda h, k: kept(h, k, axis=None),
        lambda h, k: ranks(h, axis=None) < np.sum(np.broadcast_to(k, h.shape[:-1])),
    ),
    "kept 0 lost: Right, but where a selected logit is 0: it counts as cut. 0 is a logit like any other, and e⁰ is 1. Ask for −∞ or for a rank, not for 0.",
    lambda h, k: kept(h, k) & (h != 0),
)


def untied(value: Any, h: np.ndarray) -> Any:
    """Return `value` (..., N) with what stands at equal logits of a row of h in falling order. Another shape: as it is.

    Equal are also those whose probabilities are stored as one number: who selects by these takes either.
    """
    came = stacked(value)
    if not isinstance(came, np.ndarray) or came.shape != h.shape:
        return value
    p = softmax(h)  # (..., N)
    orderly, found = np.empty_like(came), np.lexsort((-came.astype(float), p), axis=-1)  # (..., N) each
    np.put_along_axis(orderly, np.argsort(p, axis=-1, kind="stable"), np.take_along_axis(came, found, axis=-1), axis=-1)
    return orderly


def but_for_ties(right: Callable) -> Callable:
    """Return the test whether a value is right(h, ...), whichever of equal logits were taken."""
    return lambda value, h, *rest: agree(untied(value, h), untied(right(h, *rest), h))


def loosely(mistakes: tuple[Mistake, ...], right: Callable) -> tuple[Mistake, ...]:
    """Return tests for mistakes by value: other cases may be right, and any of equal logits may have been taken."""

    def test(wrong: Callable) -> Callable:
        as_right, as_wrong = but_for_ties(right), but_for_ties(wrong)
        return lambda *came: as_right(*came) or as_wrong(*came)

    return tuple(replace(mistake, wrong=None, seen=test(mistake.wrong)) for mistake in mistakes)


def batch_of_one(right: Callable) -> tuple[Mistake, ...]:
    """Return the mistake of who returns right(h, ...) of a single token as a batch of one, (1, N)."""
    return by_value(
        "batch of one: The numbers are right, but of a single token you made a batch of one, (1, N). It came as (N,), and so it goes back.",
        lambda *case: np.atleast_2d(right(*case)),
    )


def others_of_the_tied(right: Callable) -> tuple[Mistake, ...]:
    """Return the mistakes of who is right but takes another of equal logits: the last, as from the other end, or any."""
    return by_value(
        "last of the tied: Right but for ties: of equal logits you select the later ones. That comes from sorting upwards and reading from the end. The lower index comes first.",
        lambda h, *rest: right(h[..., ::-1], *rest)[..., ::-1],
    ) + by_test(
        'another of the tied: Right but for ties: of equal logits the lower index comes first. `np.argsort` promises that with `kind="stable"` only, reversing its result turns it round, and `torch.topk` promises nothing.',
        but_for_ties(right),
    )
