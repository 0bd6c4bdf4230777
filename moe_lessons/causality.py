"""Does a later token move an earlier output? A leak detector for routers, layers and models. numpy.

Who writes text one token at a time has only what is written already. A function of a sequence can do that if what it
says at a position stays the same whatever follows, or if nothing follows yet. Letters: L positions, d width.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.support.validation import as_array, float_array, one_of, positive_number, refuse, whole_number

FUTURES = {
    "other": "what follows is replaced: the future that a model sees in training must not tell on itself",
    "none": "what follows is left out, as when it is being written: the length, too, must not tell",
}


class Leak(NamedTuple):
    """What earlier outputs did when only later inputs changed. All (L,); the last position has nothing after it.

    moved: on how many tries the output of this position moved. tries: on how many something later changed. by: by how
    much it moved at most, in standard deviations of all outputs.
    """

    moved: np.ndarray
    tries: np.ndarray
    by: np.ndarray

    @property
    def found(self) -> bool:
        """Tell whether any earlier output moved."""
        return bool(self.moved.any())

    def __str__(self) -> str:
        """Say it in one line, of the first five positions with their tries."""
        if not self.found:
            return f"no leak: on {self.tries.max()} tries no earlier output moved"
        where = np.flatnonzero(self.moved)
        told = ", ".join(f"{t} ({self.moved[t]} of {self.tries[t]} tries)" for t in where[:5])
        more = f" and {len(where) - 5} more" if len(where) > 5 else ""
        return f"leak: outputs moved at {told}{more}, by up to {self.by.max():.2g} standard deviations"


def leak(
    function: Callable[[Any], Any],
    x: Any,
    future: str = "other",
    tries: int = 20,
    tolerance: float = 1e-4,
    rng: int = 0,
) -> Leak:
    """Change what follows a position, again and again, and return which outputs before it moved, how often and how far.

    function: takes a sequence and returns outputs with the positions on the same axis, an array or tensor (no tuple).
    x: whole numbers (..., L), token ids, or floating numbers (..., L, d), tokens; an array or a tensor, as the function
        takes it. Other ids are drawn from those in x, other tokens from a normal distribution with the mean and spread
        of x. Sequences of one batch change together, at the same position.
    future: a key of FUTURES, what takes the place of what follows. tries: with as many positions, evenly spread; fewer
        than L − 1 pass over some. tolerance: in standard deviations of the outputs. Rounding alone moves numbers in
        float32 by 1e-6 or so, since more tokens make other matrix products; in float64 by much less.
    It can miss a leak that is rare, and never proves that there is none.
    Raises ValueError for a single position, ids that are all the same, and a function that answers the same input in
    two ways (noise, dropout, a state that learns: give it a seed, a copy, or `eval()`) or with other shapes.
    """
    one_of("future", future, FUTURES)
    chance, ids = np.random.default_rng(rng), as_array("x", x)
    axis, L = _positions(ids)
    before = _outputs(function, x, ids, axis)  # (L, rest)
    again, spread = _outputs(function, x, ids, axis), before.std() or 1.0
    if not np.allclose(before, again, rtol=0, atol=positive_number("tolerance", tolerance) * spread):
        raise refuse("function", function, "the same answer to the same input: noise or a state is at work")
    gaps = np.full((whole_number("tries", tries, least=1, most=10**6), L), np.nan)  # (tries, L)
    for t, cut in enumerate(1 + chance.permutation(tries) % (L - 1)):
        changed = np.take(ids, range(cut), axis) if future == "none" else _other(ids, axis, cut, chance)
        after = _outputs(function, x, changed, axis)  # (L or cut, rest)
        gaps[t, :cut] = np.abs(after[:cut] - before[:cut]).max(axis=1, initial=0) / spread
    return Leak((gaps > tolerance).sum(axis=0), (~np.isnan(gaps)).sum(axis=0), np.nan_to_num(gaps).max(axis=0))


def _positions(x: np.ndarray) -> tuple[int, int]:
    """Return the axis of the positions, the last of ids and the last but one of tokens, and their number L."""
    axis = x.ndim - (1 if x.dtype.kind in "iu" else 2)
    if x.dtype.kind not in "iuf" or axis < 0 or x.shape[axis] < 2:
        raise refuse("x", x, "whole numbers (..., L) or floating ones (..., L, d), with two positions at least")
    return axis, x.shape[axis]


def _outputs(function: Callable[[Any], Any], like: Any, x: np.ndarray, axis: int) -> np.ndarray:
    """Return what the function says at every position, (L, rest), of x in the type of `like`."""
    given = like.new_tensor(x) if hasattr(like, "new_tensor") else x.copy()
    y = float_array("function(x)", function(given))
    if y.ndim <= axis or y.shape[: axis + 1] != x.shape[: axis + 1]:
        raise refuse("function(x).shape", y.shape, f"{x.shape[: axis + 1]} first: one output for each position")
    return np.moveaxis(y, axis, 0).reshape(x.shape[axis], -1).astype(np.float64)


def _other(x: np.ndarray, axis: int, cut: int, rng: np.random.Generator) -> np.ndarray:
    """Return x with everything from position `cut` on replaced, every id by another one."""
    later = np.take(x, range(cut, x.shape[axis]), axis)
    if x.dtype.kind == "f":
        new = rng.normal(x.mean(), x.std() or 1.0, later.shape).astype(x.dtype)
    else:
        known = np.unique(x)  # (kinds,), in order
        if len(known) < 2:
            raise refuse("x", x, "at least two different ids, so that one can take the other's place")
        new = known[(np.searchsorted(known, later) + rng.integers(1, len(known), later.shape)) % len(known)]
    return np.concatenate([np.take(x, range(cut), axis), new], axis)
