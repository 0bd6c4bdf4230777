"""Question 7.3: what form B's gradient tells of the experts."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import at_least_the_kth, dot, selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_07.q1_jacobian import spread
from moe_lessons.checks.set_07.slopes import (
    along_the_tokens,
    gradient_b,
    last_of_the_tied,
    over_the_batch,
    tied_logits,
)
from moe_lessons.checks.values import agree, is_floats
from moe_lessons.checks.verdicts import by_formula, by_test, by_value


def inversion_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (h (T, N), g (T, N), k) with clear gaps: k = 2, 3, 1 and N − 1, and one token with a tie at 0."""
    sizes = ((3, 4, 1.2, 0, 2), (2, 6, 1.5, 3, 3), (4, 5, 1.2, -2, 1), (4, 3, 1.0, 0, 2))
    batches = [(np.stack([spread(rng, N, wide) + moved for _ in range(T)]), k) for T, N, wide, moved, k in sizes]
    batches.append((tied_logits(rng)[None], 2))
    return [(h, gradient_b(h, usefulness(rng, h.shape), k), k) for h, k in batches]


def usefulness(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return a (T, N), clearly apart within each row, for which Σ pᵢaᵢ is unlikely to be near 0."""
    T, N = shape
    return np.stack([spread(rng, N, 2.0) + rng.choice([-1, 1]) for _ in range(T)])


def with_sum(formula: Callable) -> Callable[..., Any]:
    """Return the function of a case that is `formula` of p, g, s = Σ pᵢaᵢ (T, 1), the 0/1 mask m and w of form A."""

    def of_case(h: np.ndarray, g: np.ndarray, k: int) -> Any:
        p, m = routing.softmax(h), selected_mask(h, k)  # (T, N) each
        s = -dot(1 - m, g) / dot(1 - m, p)  # (T, 1): the same from any cut column
        with np.errstate(all="ignore"):  # where a mistake divides by a weight of 0
            return formula(p, g, s, m.astype(float), routing.gate_weights(h, k))

    return of_case


def for_kept(formula: Callable) -> Callable[..., Any]:
    """Return the function of a case that is `formula` for the kept experts and NaN for the cut ones. (T, N)."""
    return with_sum(lambda p, g, s, m, w: np.where(m > 0, formula(p, g, s, m, w), np.nan))


def own(p: np.ndarray, g: np.ndarray, s: np.ndarray, m: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return g / p + s: a of the kept experts. (T, N)."""
    return g / p + s


usefulness_found = for_kept(own)


def in_the_first_columns(order: Callable) -> Callable[..., Any]:
    """Return the right a of the experts order(h, k) (T, k) in the first k columns, and NaN elsewhere. (T, N)."""

    def of_case(h: np.ndarray, g: np.ndarray, k: int) -> np.ndarray:
        found = np.full(h.shape, np.nan)  # (T, N)
        found[:, :k] = np.take_along_axis(usefulness_found(h, g, k), order(h, k), axis=-1)
        return found

    return of_case


def by_column(column: Callable) -> Callable[..., Any]:
    """Return the function of a case that reads s of every token in one column, which `column`(m (T, N)) finds."""

    def of_case(h: np.ndarray, g: np.ndarray, k: int) -> np.ndarray:
        per_p, m = g / routing.softmax(h), selected_mask(h, k)  # (T, N) each
        j = column(m)
        return np.where(m, per_p - per_p[:, j, None], np.nan)

    return of_case


def with_softmax(softmax: Callable, s_of: Callable) -> Callable[..., Any]:
    """Return the function of a case that has another `softmax`(h), and finds s by `s_of`(p, g, cut, h) (T, 1)."""

    def of_case(h: np.ndarray, g: np.ndarray, k: int) -> np.ndarray:
        p, m = softmax(h), selected_mask(h, k)  # (T, N) each
        return np.where(m, g / p + s_of(p, g, ~m, h), np.nan)

    return of_case


def read_at(order: np.ndarray, p: np.ndarray, g: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Return s as the cut column with the smallest `order` (T, N) of each token shows it. (T, 1)."""
    j = np.where(cut, order, np.inf).argmin(axis=-1, keepdims=True)  # (T, 1)
    return -np.take_along_axis(g / p, j, axis=-1)


WAYS_TO_S: tuple[Callable[..., np.ndarray], ...] = (  # of p, g (T, N), which are cut, and h: one s where p is right
    lambda p, g, cut, h: -dot(cut, g) / dot(cut, p),
    lambda p, g, cut, h: dot(~cut, g) / (1 - dot(~cut, p)),
    lambda p, g, cut, h: -dot(cut, g / p) / dot(cut, cut * 1.0),
    lambda p, g, cut, h: read_at(np.arange(h.shape[-1]), p, g, cut),
    lambda p, g, cut, h: read_at(-np.arange(h.shape[-1]), p, g, cut),
    lambda p, g, cut, h: read_at(h, p, g, cut),
    lambda p, g, cut, h: read_at(-h, p, g, cut),
)


def first_cut(m: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return p of each token's first cut expert. (T, 1)."""
    return np.take_along_axis(p, m.argmin(axis=-1, keepdims=True), axis=-1)


def is_tied(h: np.ndarray) -> bool:
    """Tell whether a token has equal logits. h (T, N)."""
    return bool((np.diff(np.sort(h)) == 0).any())


def filled(value: Any, h: np.ndarray, g: np.ndarray, k: int, mask: np.ndarray) -> bool:
    """Tell whether a value has numbers exactly where `mask` (T, N) is True, NaN elsewhere."""
    return is_floats(value, h.shape) and np.array_equal(np.isfinite(value), mask)


def is_right_where_kept(value: Any, h: np.ndarray, g: np.ndarray, k: int) -> bool:
    """Tell whether the kept experts' numbers are right."""
    m = selected_mask(h, k)  # (T, N)
    return is_floats(value, h.shape) and agree(value[m], usefulness_found(h, g, k)[m])


INVERSION = FunctionQuestion(
    **about("7.3", "What form B's gradient tells of the experts", "write it", "medium", points=2, minutes=7),
    hints=(
        "Two things are unknown for each token: the aᵢ, and s, which stands in both formulas. One of the formulas holds s alone.",
        "Any cut column gives s: its g, divided by its p, with the sign turned. With s the other formula can be solved for aᵢ.",
    ),
    idea="Every cut column shows the same number, −s, times its own p. With s the kept lines can be solved: aᵢ = gᵢ/pᵢ + s. Nothing of the cut experts' own a is in g.",
    takeaway="What a gradient can be solved for is what it knows: form B hands over the usefulness of every kept expert, and of all the cut ones together nothing.",
    answer="my_usefulness",
    parameters=("logits", "g", "k"),
    when_raised="`logits` and `g` have the shape (T, N), `k` is one number. A number for each token, such as a sum over experts with `axis=-1, keepdims=True`, has the shape (T, 1), which fits the rows. A mask of (T, N) booleans and `np.where` keep everything at (T, N).",
    cases=inversion_cases,
    reference=usefulness_found,
    quiet=True,
    mistakes=by_value(
        "the formula the other way: You put g where the lesson's formula has a. That takes a gradient of the gradient; asked is the way back: from g to the a that it was made of.",
        (
            with_sum(lambda p, g, s, m, w: p * (m * g - dot(p, m * g))),
            for_kept(lambda p, g, s, m, w: p * (g - dot(p, m * g))),
        ),
        "form A, solved: You inverted form A's line, gᵢ/wᵢ. There the a are known up to a common number only; and these are gradients of form B, made with p.",
        (for_kept(lambda p, g, s, m, w: g / w), with_sum(lambda p, g, s, m, w: np.where(m > 0, g / w, 0))),
        "zeros for the cut: The kept are right. For the cut experts g/p + s is −s + s = 0, whatever their a is: that 0 says nothing about them. Put `np.nan` there.",
        with_sum(lambda p, g, s, m, w: m * own(p, g, s, m, w)),
        "also the cut: You give the cut experts numbers too. Their columns hold −pⱼ·s and nothing of their own a. Put `np.nan` there.",
        (
            with_sum(lambda p, g, s, m, w: np.where(m > 0, own(p, g, s, m, w), g / p)),
            with_sum(lambda p, g, s, m, w: np.where(m > 0, own(p, g, s, m, w), -g / p)),
            with_sum(lambda p, g, s, m, w: np.where(m > 0, own(p, g, s, m, w), g)),
            with_sum(lambda p, g, s, m, w: np.where(m > 0, own(p, g, s, m, w), 2 * s)),
        ),
        "k for each token: The numbers are right, k for each token. Return N for each, (T, N), at the places of the kept experts, and `np.nan` elsewhere.",
        (
            lambda h, g, k: np.take_along_axis(usefulness_found(h, g, k), routing.top_k(h, k)[1], axis=-1),
            lambda h, g, k: usefulness_found(h, g, k)[selected_mask(h, k)],
        ),
        "first columns: The numbers are right, but they stand in the first k columns. Put each in the column of its own expert, and `np.nan` elsewhere.",
        (
            in_the_first_columns(lambda h, k: routing.top_k(h, k)[1]),
            in_the_first_columns(lambda h, k: np.sort(routing.top_k(h, k)[1], axis=-1)),
        ),
        "s for the cut and the kept alike: You return s itself: the number that all cut columns share. It is needed, but each kept expert has its own aᵢ = gᵢ/pᵢ + s.",
        (
            with_sum(lambda p, g, s, m, w: s + 0 * p),
            for_kept(lambda p, g, s, m, w: s + 0 * p),
            with_sum(lambda p, g, s, m, w: s),
        ),
        "one column for all: You read s in one and the same column for every token. Where a token has kept that expert, the column shows aᵢ − s.",
        (
            by_column(lambda m: m[0].argmin()),
            by_column(lambda m: m.shape[-1] - 1 - m[0, ::-1].argmin()),
            by_column(lambda m: m[-1].argmin()),
            by_column(lambda m: 0),
            by_column(lambda m: m.shape[-1] - 1),
        ),
        "softmax along the tokens: Your p sum to 1 over the tokens (axis 0). The softmax runs over the experts of one token: the last axis.",
        tuple(with_softmax(along_the_tokens, s_of) for s_of in WAYS_TO_S),
        "exponentials: Your p are exponentials that are not divided by their sum. p is the softmax.",
        tuple(with_softmax(np.exp, s_of) for s_of in WAYS_TO_S),
        "softmax over the batch: Your p sum to 1 over the whole batch. Each token has its own softmax: the last axis.",
        tuple(with_softmax(over_the_batch, s_of) for s_of in WAYS_TO_S),
    )
    + by_formula(
        for_kept,
        "g/p without s: This is gᵢ/pᵢ = aᵢ − s. The number s = Σ pᵢaᵢ has still to be added; the cut columns show it.",
        lambda p, g, s, m, w: g / p,
        "s subtracted: s has the wrong sign: gᵢ/pᵢ = aᵢ − s, and a cut column divided by its p is −s.",
        lambda p, g, s, m, w: g / p - s,
        "w in place of p: You divided by the weights of form A, a softmax over the kept. Form B's factor is p, the softmax over all N.",
        (lambda p, g, s, m, w: g / w + s, lambda p, g, s, m, w: g / w - s),
        "not divided by p: gᵢ has still the factor pᵢ: gᵢ = pᵢ(aᵢ − s).",
        (lambda p, g, s, m, w: g + s, lambda p, g, s, m, w: g, lambda p, g, s, m, w: (g + s) / p),
        "s not divided: What you took for s has still a probability in front. A cut column is −pⱼ·s, and all cut columns together are −s·Σ pⱼ (so the kept ones are s·Σ pⱼ, for each token's g sums to 0): divide.",
        (
            lambda p, g, s, m, w: g / p + s * dot(1 - m, p),
            lambda p, g, s, m, w: g / p + s * dot(1 - m, p) / dot(1 - m, 1 + 0 * p),
            lambda p, g, s, m, w: g / p + s * np.where(m > 0, np.inf, p).min(axis=-1, keepdims=True),
            lambda p, g, s, m, w: g / p + s * np.where(m > 0, -np.inf, p).max(axis=-1, keepdims=True),
            lambda p, g, s, m, w: g / p + s * first_cut(m, p),
            lambda p, g, s, m, w: g / p + s * first_cut(m[..., ::-1], p[..., ::-1]),
        ),
        "s divided by the kept p: You divided the sum of the cut columns by the p of the kept. It is −s times the p of the *cut*.",
        (
            lambda p, g, s, m, w: g / p + s * dot(1 - m, p) / dot(m, p),
            lambda p, g, s, m, w: g / p - s * dot(1 - m, p) / dot(m, p),
        ),
        "s over the kept p: You divided s by the p that the kept hold. In form B s is the plain sum Σ pᵢaᵢ, and is not divided again.",
        lambda p, g, s, m, w: g / p + s / dot(m, p),
        "times p: You multiplied by p where g has it as a factor already: divide by it.",
        (lambda p, g, s, m, w: g * p + s, lambda p, g, s, m, w: g * p),
        "p times s: gᵢ/pᵢ = aᵢ − s: once divided, s has no factor p any more.",
        (lambda p, g, s, m, w: g / p + p * s, lambda p, g, s, m, w: g / p - p * s),
        "size of s: You took s without its sign. It may be below 0: a cut column divided by its p is −s.",
        (lambda p, g, s, m, w: g / p + np.abs(s), lambda p, g, s, m, w: g / p - np.abs(s)),
        "diagonal of the Jacobian: You divided by pᵢ(1 − pᵢ). The formula is gᵢ = pᵢ(aᵢ − s), with pᵢ alone; the rest is in s.",
        (lambda p, g, s, m, w: g / p / (1 - p) + s, lambda p, g, s, m, w: g / p / (1 - p)),
        "weighted again: These are the pᵢaᵢ, the terms of s. Divide by pᵢ.",
        lambda p, g, s, m, w: g + p * s,
        "s added up: You added up s over the cut columns. Each of them shows the same s: one is enough, or their mean.",
        lambda p, g, s, m, w: g / p + s * dot(1 - m, 1 + 0 * p),
        "s from the kept: What you took for s comes from the kept columns too, which show aᵢ − s, each with its own aᵢ. Only a cut column shows −s alone.",
        lambda p, g, s, m, w: g / p - (g / p).mean(axis=-1, keepdims=True),
        "less the mean of the kept: What comes out is each kept a less the mean of the kept. Did you take s from the kept columns, or subtract that mean in the end? Only a cut column shows −s alone.",
        lambda p, g, s, m, w: g / p - dot(m, g / p) / dot(m, m),
        "k times s: You multiplied or divided s by k. Each cut column shows s itself.",
        (lambda p, g, s, m, w: g / p + s * dot(m, m), lambda p, g, s, m, w: g / p + s / dot(m, m)),
        "s divided by another number: You added up s over the cut columns and divided by something else than their number, which is N − k.",
        (
            lambda p, g, s, m, w: g / p + s * dot(1 - m, 1 - m) / p.shape[-1],
            lambda p, g, s, m, w: g / p + s * dot(1 - m, 1 - m) / dot(m, m),
        ),
        "one s for the batch: You used one s for all tokens. Each token has its own: Σ pᵢaᵢ over its kept experts.",
        (lambda p, g, s, m, w: g / p + s.mean(), lambda p, g, s, m, w: g / p + s[0]),
        "sign turned: Every sign is turned round.",
        lambda *parts: -own(*parts),
    )
    + by_test(
        "last of the tied: Right but for ties: of equal logits you take later ones for kept. So may `torch.topk` do, and sorting upwards and reading from the end. The lower index comes first.",
        lambda value, h, g, k: (
            filled(value, h, g, k, last_of_the_tied(h, k)) and (is_tied(h) or is_right_where_kept(value, h, g, k))
        ),
        "more than k: Where logits tie, more than k experts count as kept. You compare with the k-th largest value, and several experts have it. Keep k indices.",
        lambda value, h, g, k: (
            filled(value, h, g, k, np.isfinite(at_least_the_kth(h, k)))
            and (is_tied(h) or is_right_where_kept(value, h, g, k))
        ),
        "kept and cut exchanged: The numbers stand at the cut experts and the NaN at the kept ones. g tells about the kept.",
        lambda value, h, g, k: filled(value, h, g, k, ~selected_mask(h, k)),
        "k is 2: You take two experts for kept, whatever k is.",
        lambda value, h, g, k: filled(value, h, g, k, selected_mask(h, 2)),
        "kept by g: You took the experts with the largest g for the kept ones. The logits decide who is kept.",
        lambda value, h, g, k: filled(value, h, g, k, selected_mask(g, k)),
        "kept by the size of g: You took the experts with the largest g, whatever its sign, for the kept ones. The logits decide who is kept.",
        lambda value, h, g, k: filled(value, h, g, k, selected_mask(np.abs(g), k)),
        "smallest logits: You took the experts with the smallest logits for the kept ones.",
        lambda value, h, g, k: filled(value, h, g, k, selected_mask(-h, k)),
        "kept by size: You took the experts with the largest logits, whatever their sign, for the kept ones. A logit far below 0 is a bad one.",
        lambda value, h, g, k: filled(value, h, g, k, selected_mask(np.abs(h), k)),
        "k cut: You cut k experts and kept N − k. k are kept.",
        lambda value, h, g, k: filled(value, h, g, k, selected_mask(h, h.shape[-1] - k)),
        "something for the cut: The kept are right. But something stands at the cut experts too, and g knows nothing of theirs: put `np.nan` there.",
        lambda value, h, g, k: is_right_where_kept(value, h, g, k) and not np.isnan(value).any(),
    ),
)
