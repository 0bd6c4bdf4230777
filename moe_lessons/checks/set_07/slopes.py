"""What the questions of set 07 share: ∂L/∂h of right and mistaken gates, and softmaxes along a wrong axis."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import naive_softmax, selected_mask, through_softmax

Formula = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Any]  # of p, w (form A), a and the 0/1 mask s
Gradient = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # of logits h, usefulness a (..., N) and k


def slope(formula: Formula, h: np.ndarray, a: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return `formula` of p, w, a and the mask, for a given selection. h, a, mask (..., N)."""
    w = routing.softmax(np.where(mask, h, -np.inf))  # (..., N), form A
    return formula(routing.softmax(h), w, a, mask.astype(float))


def with_parts(formula: Formula, select: Callable = lambda h, a, k: selected_mask(h, k)) -> Gradient:
    """Return the function of (h, a, k) that is `formula`, where `select`(h, a, k) marks who is selected."""
    return lambda h, a, k: slope(formula, h, a, select(h, a, k))


def form_a(p: np.ndarray, w: np.ndarray, a: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return ∂L/∂h of form A, topk_softmax. (..., N)."""
    return through_softmax(w, a) + 0.0  # −0 would read badly


def form_b(p: np.ndarray, w: np.ndarray, a: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return ∂L/∂h of form B, softmax_topk. (..., N)."""
    return through_softmax(p, s * a)


def dense(p: np.ndarray, w: np.ndarray, a: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return ∂L/∂h when every expert runs. (..., N)."""
    return through_softmax(p, a)


gradient_a, gradient_b = with_parts(form_a), with_parts(form_b)


def zero_throughout(h: np.ndarray, a: np.ndarray, k: int) -> np.ndarray:
    """Return ∂L/∂h when the cut logits are set to 0 in place of −∞, and get a gradient as if they were variables."""
    return slope(dense, np.where(selected_mask(h, k), h, 0), a, selected_mask(h, k))


def zero_for_the_cut(h: np.ndarray, a: np.ndarray, k: int) -> np.ndarray:
    """Return ∂L/∂h when the cut logits are set to 0, a constant, in place of −∞. (..., N)."""
    return np.where(selected_mask(h, k), zero_throughout(h, a, k), 0)


def along_the_tokens(h: np.ndarray) -> np.ndarray:
    """Return the softmax of each column of h (T, N)."""
    return naive_softmax(h, h.max(axis=0), 0)


def over_the_batch(h: np.ndarray) -> np.ndarray:
    """Return one softmax of all of h (T, N)."""
    return naive_softmax(h, h.max(), None)


def tied_logits(rng: np.random.Generator) -> np.ndarray:
    """Return five logits (N,), of which two are kept: the best, and one of three that are 0.

    The best never stands first: there `torch.topk`, which promises nothing of ties, would be right by luck.
    """
    return np.insert(rng.permutation([0.0, 0.0, 0.0, -1.25]), rng.integers(1, 5), 0.75)


def last_of_the_tied(h: np.ndarray, k: int) -> np.ndarray:
    """Mark the k largest of each row, of equal ones the last. h (..., N). Returns booleans (..., N)."""
    return selected_mask(h[..., ::-1], k)[..., ::-1]


def other_selections(h: np.ndarray, k: int) -> Iterator[np.ndarray]:
    """Yield every selection (N,) of k largest logits: where there are ties, there are several."""
    for chosen in combinations(range(h.size), k):
        mask = np.isin(np.arange(h.size), chosen)  # (N,)
        if k == h.size or h[mask].min() >= h[~mask].max():
            yield mask
