"""What the questions of set 12 share: scores and their slopes, selections with a bias, draws whose choices are clear."""

from collections.abc import Callable

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import selected_mask

GATING = (
    "routing.Gate", "routing.gate_weights", "routing.sigmoid", "routing.sqrt_softplus", "gate.selection_scores",
    "gate.selected_weights", "gate.sqrt_softplus", "layer.gate_selected",
)  # fmt: skip
LEAST_GAP = 1e-3  # between two numbers of a token that are compared: who is selected must not hang on rounding

score = routing.SCORES.__getitem__  # by name, of logits (..., N)


def kept_by(seen: np.ndarray, k: int) -> np.ndarray:
    """Mark the k largest of what a selection sees (T, N). Booleans (T, N)."""
    return selected_mask(seen, k)


def normalised(values: np.ndarray) -> np.ndarray:
    """Divide each row by its sum, same shape; a row that sums to 0 stays."""
    total = values.sum(axis=-1, keepdims=True)  # (..., 1)
    return values / np.where(total == 0, 1, total)


def draw_bias(rng: np.random.Generator, N: int, wide: float) -> np.ndarray:
    """Return biases (N,) from −wide to wide, evenly spread, in random order, none of them 0."""
    steps = np.linspace(-wide, wide, N) + 0.1 * wide / N  # (N,)
    return rng.permutation(steps).round(3)


def are_apart(*seen: np.ndarray) -> bool:
    """Tell whether no two numbers of a row are close, in any of these arrays (T, N)."""
    return all(np.diff(np.sort(values, axis=-1), axis=-1).min() > LEAST_GAP for values in seen)


def drawn_until(fits: Callable[..., bool], draw: Callable[[], tuple]) -> tuple:
    """Draw a case until it fits."""
    while not fits(*(case := draw())):
        pass
    return case
