"""Questions 1.1 and 1.2: the logits, and all that follows from them."""

from collections.abc import Callable

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import kept_probabilities, masked_with_zero, selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value


def draw_router(rng: np.random.Generator, d: int, N: int, *lead: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random tokens (*lead, d) and a router matrix (d, N), with one decimal so that they read well."""
    return rng.normal(size=(*lead, d)).round(1) + 0.05, rng.normal(size=(d, N)).round(1) + 0.01


def logits_cases(rng: np.random.Generator) -> list[tuple]:
    """One token twice, a batch, a batch of one; d and N always differ."""
    return [draw_router(rng, 2, 3), draw_router(rng, 5, 4), draw_router(rng, 4, 6, 3), draw_router(rng, 3, 5, 1)]


def distances(x: np.ndarray, W_g: np.ndarray) -> np.ndarray:
    """Return how far x (..., d) lies from every column of W_g (d, N)."""
    return np.linalg.norm(x[..., None] - W_g, axis=-2)  # (..., N)


def cosines(x: np.ndarray, W_g: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between x (..., d) and every column of W_g (d, N)."""
    return x @ W_g / (np.linalg.norm(x, axis=-1, keepdims=True) * np.linalg.norm(W_g, axis=0))  # (..., N)


LOGITS = FunctionQuestion(
    **about("1.1", "Logits", "write it", "easy", points=1, minutes=4),
    hints=(
        "The logit of one expert is the dot product of x with that expert's column of `W_g`.",
        "The last axis of x and the first axis of `W_g` both have length d. One operator of numpy sums over them.",
    ),
    idea="A matrix product is many dot products at once: `x @ W_g` takes every row of x against every column of W_g.",
    answer="my_logits",
    parameters=("x", "W_g"),
    stands_for=("routing.router_logits", "routing.route"),
    when_raised="If it is about shapes: d is the last axis of x and the first of W_g, so x comes first and W_g stays as it is.",
    cases=logits_cases,
    reference=routing.router_logits,
    mistakes=by_value(
        "probabilities: These are probabilities: you went on to the softmax. Logits come before it.",
        lambda x, W_g: routing.softmax(x @ W_g),
        "exponentials: These are the exponentials of the logits. They belong to the next step, the softmax.",
        lambda x, W_g: np.exp(x @ W_g),
        "rounded: Right, but rounded to two decimals. Return the numbers as they are; round only when you print.",
        lambda x, W_g: np.round(x @ W_g, 2),
        "cosine: You divided by the lengths, which gives the cosine of the angle. A logit is the plain dot product: the lengths stay in.",
        cosines,
        "distance: These are distances between x and the columns. A router takes dot products.",
        distances,
        "negative distance: These are negative distances between x and the columns. A router takes dot products.",
        lambda x, W_g: -distances(x, W_g),
        "scaled: You divided by √d, as attention does. A router's logits are not scaled.",
        lambda x, W_g: x @ W_g / np.sqrt(len(W_g)),
        "not summed: You multiplied the entries but did not add them up over d.",
        lambda x, W_g: x[..., None] * W_g,
        "reshaped: W_g was reshaped and transposed until the shapes fitted. That shuffles its numbers: column i is no longer the prototype of expert i.",
        lambda x, W_g: x @ W_g.reshape(W_g.shape[::-1]).T,
        "transposed result: Right for one token, but a batch comes out as (N, T). Tokens come first: (T, N).",
        lambda x, W_g: (x @ W_g).T,
    ),
)


def trace_cases(rng: np.random.Generator) -> list[tuple]:
    """Single tokens; the last selects so many that their order cannot agree with another order by chance."""
    cases = [(*draw_router(rng, 3, 4), 2), (*draw_router(rng, 4, 5), 1)]
    while True:
        x, W_g = draw_router(rng, 3, 8)
        steps = np.diff(routing.top_k(x @ W_g, 5)[1])
        if len(set((x @ W_g).round(6))) == 8 and (steps > 0).any() and (steps < 0).any():
            return [*cases, (x, W_g, 5)]


def trace_parts(x: np.ndarray, W_g: np.ndarray, k: int) -> tuple:
    """Return logits (N,), probabilities (N,), selected indices (k,), weights (N,)."""
    trace = routing.route(x, W_g, k)
    return trace.logits, trace.probs, trace.selected, trace.weights


def of_logits(wrong: Callable) -> Callable:
    """Return the function of (x, W_g, k) that is `wrong` of the logits (N,) and k."""
    return lambda x, W_g, k: wrong(x @ W_g, k)


def of_selected(wrong: Callable) -> Callable:
    """Return the function of (x, W_g, k) that is `wrong` of the k selected indices, the best first."""
    return of_logits(lambda h, k: wrong(routing.top_k(h, k)[1]))


TRACE = FunctionQuestion(
    **about("1.2", "The full trace of one token", "write it", "medium", points=3, minutes=12),
    hints=(
        "Four steps, four lines: dot products; exponentials divided by their sum; the k largest; those k divided by their own sum.",
        "`np.argsort(-h)[:k]` gives the indices of the k largest logits, largest first. Start the weights with `np.zeros(N)` and fill in the selected places.",
    ),
    idea="The selection needs only the order of the logits; the weights are the selected probabilities, rescaled to sum to 1.",
    answer="my_trace",
    parameters=("x", "W_g", "k"),
    stands_for=tuple(f"routing.{name}" for name in ("router_logits", "softmax", "top_k", "gate_weights", "route")),
    cases=trace_cases,
    reference=trace_parts,
    parts={
        "logits": by_value(
            "cosine: You divided by the lengths, which gives cosines. A logit is the plain dot product.",
            lambda x, W_g, k: cosines(x, W_g),
        ),
        "probs": by_value(
            "not normalised: These are the exponentials. Divide them by their sum: probabilities sum to 1.",
            of_logits(lambda h, k: np.exp(h)),
            "divided logits: You divided the logits by their sum, without the exponential. Negative logits then give negative 'probabilities'.",
            of_logits(lambda h, k: h / h.sum()),
            "softmax of the selected: Here the softmax runs over the selected experts only. `probs` covers all N; only `weights` is restricted to the selected.",
            of_logits(routing.gate_weights),
        ),
        "selected": by_value(
            "lowest first: The right experts, in the opposite order: the best one comes first.",
            of_selected(np.flip),
            "index order: The right experts, sorted by index. They should be sorted by logit, the best first.",
            of_selected(np.sort),
            "smallest: These are the k smallest logits: argsort sorts upwards.",
            of_logits(lambda h, k: np.argsort(h)[:k]),
            "counted from one: You counted experts from 1. In code, the first index is 0.",
            of_selected(lambda selected: selected + 1),
            "values: These are the k largest logits themselves. `selected` holds their indices.",
            of_logits(lambda h, k: routing.top_k(h, k)[0]),
            "mask: This marks every expert as in or out. `selected` holds the k indices, the best first.",
            of_logits(selected_mask),
            "swapped: These are the weights. The order is logits, probs, selected, weights.",
            of_logits(routing.gate_weights),
        ),
        "weights": by_value(
            "not renormalised: The selected probabilities are there, but they do not sum to 1. Divide by their sum.",
            of_logits(kept_probabilities),
            "second softmax: You applied a softmax to the selected probabilities. Divide them by their sum instead (or take the softmax of the selected logits: the same).",
            of_logits(lambda h, k: routing.gate_weights(routing.softmax(h), k)),
            "masked with 0: Your unselected experts still carry weight: you set their logits to 0, and e⁰ = 1. Mask with −∞.",
            of_logits(masked_with_zero),
            "only the selected: The numbers are right, but there are only k of them. `weights` has one entry per expert, 0 where not selected.",
            of_logits(lambda h, k: routing.softmax(routing.top_k(h, k)[0])),
            "all probabilities: These are all N probabilities. An expert that is not selected has weight 0.",
            of_logits(lambda h, k: routing.softmax(h)),
            "divided logits: You divided the selected logits by their sum. Divide the selected probabilities.",
            of_logits(lambda h, k: np.where(selected_mask(h, k), h, 0) / routing.top_k(h, k)[0].sum()),
            "first places: The right numbers in the first k places. Each belongs at its expert's index.",
            of_logits(lambda h, k: -np.sort(-routing.gate_weights(h, k))),
            "equal shares: Every selected expert gets 1/k here. The weights follow the probabilities.",
            of_logits(lambda h, k: selected_mask(h, k) / k),
        ),
    },
)
