"""A tiny language model and a text of two domains, for tests of the experiments that train or measure one."""

from typing import Any

import numpy as np

from moe_lessons.corpus import text
from moe_lessons.experiments import specialisation

N, LAYERS, CONTEXT, VOCABULARY = 4, 2, 16, 30
TINY: dict[str, Any] = {
    "context": CONTEXT, "layers": LAYERS, "d_model": 8, "heads": 2, "d_ff": 16, "num_experts": N,
}  # fmt: skip


def a_part(sequences: int, seed: int) -> text.Part:
    """Sequences of two domains that share most of their tokens."""
    rng = np.random.default_rng(seed)
    domain = np.arange(sequences) % 2
    ids = rng.integers(0, 25, (sequences, CONTEXT + 1)) + 5 * domain[:, None]
    classes = {name: rng.integers(0, 3, ids.shape) for name in specialisation.ABOUT}
    classes["domain"] = np.broadcast_to(domain[:, None], ids.shape).copy()
    return text.Part(ids, domain, np.arange(sequences), classes)


def a_task() -> text.TextTask:
    """Three parts of such a text."""
    tokens = tuple(bytes([i]) for i in range(VOCABULARY))
    return text.TextTask(a_part(120, 0), a_part(40, 1), a_part(60, 2), ("one", "two"), {}, None, tokens, ())
