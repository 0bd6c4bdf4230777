"""What several questions need of a gate: who is selected, and weights that a known mistake gives."""

import math
from typing import Any

import numpy as np

from moe_lessons import routing


def selected_mask(h: np.ndarray, k: int) -> np.ndarray:
    """Mark the k largest of each row of h (..., N), of equal ones the first. Returns booleans (..., N)."""
    mask = np.zeros(h.shape, dtype=bool)  # (..., N)
    np.put_along_axis(mask, routing.top_k(h, k)[1], True, axis=-1)
    return mask


def kept_logits(h: np.ndarray, k: int) -> np.ndarray:
    """Return h (..., N) with −∞ in place of all but the k largest of each row."""
    return np.where(selected_mask(h, k), h, -np.inf)  # (..., N)


def masked_with_zero(h: np.ndarray, k: int) -> np.ndarray:
    """Return the weights (..., N) of a gate that sets the cut logits to 0: the cut experts keep weight."""
    return routing.softmax(np.where(selected_mask(h, k), h, 0))  # (..., N)


def kept_probabilities(h: np.ndarray, k: int) -> np.ndarray:
    """Return the probabilities (..., N) of the selected experts, 0 elsewhere."""
    return np.where(selected_mask(h, k), routing.softmax(h), 0)  # (..., N)


def at_least_the_kth(h: np.ndarray, k: int) -> np.ndarray:
    """Keep whatever is not below the k-th largest: too many where there are ties. (..., N)."""
    return np.where(h >= np.sort(h, axis=-1)[..., -k, None], h, -np.inf)


def draw_logits(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return logits (..., N) with few decimals, no two of a row alike (for N up to 10)."""
    return (1.5 * rng.standard_normal(shape)).round(2) + 0.001 * np.arange(shape[-1])


@np.errstate(all="ignore")
def naive_softmax(h: np.ndarray, subtracted: Any = 0.0, axis: int | None = -1) -> np.ndarray:
    """Return e^(h − subtracted) divided by its sum along `axis`, None for all of h (..., N): NaN where it overflows."""
    e = np.exp(h - subtracted)  # (..., N)
    return e / e.sum(axis=axis, keepdims=True)  # (..., N)


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """Return Φ(z), the chance that a standard normal draw is below z, same shape."""
    return np.vectorize(lambda value: 0.5 * math.erfc(-value / math.sqrt(2)))(z)


def dot(w: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return Σ w_i a_i of each row. w, a (..., N). Returns (..., 1)."""
    return (w * a).sum(axis=-1, keepdims=True)


def through_softmax(p: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return ∂L/∂h of each row from v = ∂L/∂p, where p = softmax(h): p (v − Σ p_i v_i). Both (..., N)."""
    return p * (v - dot(p, v))
