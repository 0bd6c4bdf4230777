"""Questions of exercise set 04: top-k gating and renormalisation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import (
    Data,
    FunctionQuestion,
    Mistake,
    Question,
    Reply,
    VariableQuestion,
    Verdict,
    call_answer,
)
from moe_lessons.checks.values import agree, describe, show, stacked

# The softmax is not among them: set 02 asks for it, and here it may be used.
GATING = tuple(f"routing.{name}" for name in ("top_k", "gate_weights", "route"))


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


def draw_logits(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return logits (..., N) with few decimals, no two of a row alike (for N up to 10)."""
    return (1.5 * rng.standard_normal(shape)).round(2) + 0.001 * np.arange(shape[-1])


# --- 4.1 keep-top-k -----------------------------------------------------------------------------------------------


def keep_cases(rng: np.random.Generator) -> list[tuple]:
    """Without ties, k above 1; a tie at the border; a batch with a tie and one row of equal logits; rows with many ties.

    The last are long enough for sorting that is not stable to show: numpy sorts short rows stably in any case.
    """
    plain_row = rng.permutation(np.linspace(-2, 2, 6).round(1)) - 0.05  # (6,), all different
    tied = np.concatenate([rng.permutation([1.5, 0.5, 0.5, 0.5]), [-1.0]])  # (5,), one place for three of 0.5
    batch = np.stack([rng.permutation(np.linspace(-3, -1, 4).round(2)), [0.25] * 4, [2.0, -1.0, 2.0, 2.0]])  # (3, 4)
    many = rng.permuted(np.tile(np.repeat([2.0, 1.0, 0.0], [3, 18, 3]), (12, 1)), axis=1)  # (12, 24)
    return [(plain_row, 3), (tied, 2), (batch, 2), (many, 10)]


def at_least_the_kth(h: np.ndarray, k: int) -> np.ndarray:
    """Keep whatever is not below the k-th largest: too many where there are ties."""
    return np.where(h >= np.sort(h, axis=-1)[..., -k, None], h, -np.inf)  # (..., N)


def up_to_the_kth_smallest(h: np.ndarray, k: int) -> np.ndarray:
    """Keep whatever is not above the k-th smallest."""
    return np.where(h <= np.sort(h, axis=-1)[..., k - 1, None], h, -np.inf)  # (..., N)


def last_of_the_tied(h: np.ndarray, k: int) -> np.ndarray:
    """Keep k, but of equal logits the last."""
    return kept_logits(h[..., ::-1], k)[..., ::-1]


@dataclass(frozen=True, kw_only=True)
class KeepQuestion(FunctionQuestion):
    """Recognises any number below the logits in place of −∞, and any other choice among equal logits."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare; where no known mistake fits, see whether only the cut value, or only ties, are otherwise."""
        verdict = super().judge(data, reply)
        if verdict.correct or verdict.mistake:
            return verdict
        pairs = list(zip(reply["values"], data["cases"], strict=True))
        if all(cut_to_a_number(value, *case) for value, case in pairs):
            why, name = "The right ones are kept, but what you cut has a finite logit. After a softmax that is nearly nothing, not nothing, and no test for −∞ finds it. Write `-np.inf`.", "finite cut"  # fmt: skip
        elif all(chose_among_equals(value, *case) for value, case in pairs):
            why, name = "Right but for ties: of equal logits the lower index comes first. `np.argsort` promises that with `kind=\"stable\"` only, and reversing its result turns it round.", "another of the tied"  # fmt: skip
        else:
            return verdict
        return Verdict(False, f"{why}\n{verdict.message}", name)


def cut_to_a_number(value: Any, h: np.ndarray, k: int) -> bool:
    """Tell whether `value` keeps the right logits of h and has one number below them all for the others."""
    value, kept = stacked(value), selected_mask(h, k)  # (..., N)
    if not isinstance(value, np.ndarray) or value.shape != h.shape or value.dtype.kind != "f":
        return False
    cut = value[~kept]
    return bool(agree(value[kept], h[kept]) and np.isfinite(cut).all() and np.ptp(cut) == 0 and cut[0] < h.min())


def chose_among_equals(value: Any, h: np.ndarray, k: int) -> bool:
    """Tell whether `value` keeps k of h's own logits in each row, as large as the k largest."""
    value = stacked(value)
    if not isinstance(value, np.ndarray) or value.shape != h.shape or value.dtype.kind != "f":
        return False
    kept = np.isfinite(value)  # (..., N)
    return bool(np.isneginf(value[~kept]).all() and agree(value[kept], h[kept])
                and agree(np.sort(value, axis=-1), np.sort(kept_logits(h, k), axis=-1)))  # fmt: skip


KEEP = KeepQuestion(
    id="4.1",
    title="Keep the k largest",
    kind="write it",
    points=2,
    minutes=8,
    difficulty="easy",
    hints=(
        "Sort the indices of each row by falling logit: `np.argsort(-logits, axis=-1, kind=\"stable\")`. The first k are the ones to keep.",
        "Start with `np.full(logits.shape, -np.inf)`. `np.take_along_axis` reads the kept logits, `np.put_along_axis` writes them to their places.",
    ),
    idea="Selection is by index and not by comparing with the k-th value, so that ties cannot let in more than k; what is cut becomes −∞, because e to −∞ is exactly 0.",
    answer="my_keep_top_k",
    parameters=("logits", "k"),
    stands_for=GATING,
    when_raised="A row of `np.argsort(...)[..., :k]` holds positions in that row alone: `np.take_along_axis` and `np.put_along_axis` use them so.",
    cases=keep_cases,
    reference=kept_logits,
    mistakes=(
        Mistake("masked with 0", "Your cut experts have logit 0, and e⁰ = 1: after the softmax they still carry weight. Cut means −∞.",
                lambda h, k: np.where(selected_mask(h, k), h, 0)),
        Mistake("more than k", "Where logits tie you keep more than k. You compare with the k-th largest value, and several experts have it. Select k indices instead.", at_least_the_kth),
        Mistake("strictly above", "You keep fewer than k: `>` leaves the k-th largest itself out.",
                lambda h, k: np.where(h > np.sort(h, axis=-1)[..., -k, None], h, -np.inf)),
        Mistake("last of the tied", "Right but for ties: of equal logits you keep the later ones. That comes from sorting upwards and reading from the end. The lower index comes first.", last_of_the_tied),
        Mistake("smallest", "You keep the k smallest: argsort sorts upwards.", lambda h, k: np.where(selected_mask(-h, k), h, -np.inf)),
        Mistake("smallest by value", "You keep the small logits: those up to the k-th smallest. Asked are the k largest.", up_to_the_kth_smallest),
        Mistake("k cut", "You cut k experts. Asked is to *keep* k, and cut all the others.", lambda h, k: kept_logits(h, h.shape[-1] - k)),
        Mistake("one too many", "You keep k + 1 of each row.", lambda h, k: kept_logits(h, k + 1)),
        Mistake("k is 2", "Right for k = 2 only: you keep two whatever k is.", lambda h, k: kept_logits(h, 2)),
        Mistake("of the probabilities", "You took the softmax first and cut the probabilities. Return the logits themselves: kept ones as they came, −∞ elsewhere.",
                lambda h, k: kept_logits(routing.softmax(h), k)),
        Mistake("along the tokens", "Right for one token. In a batch you choose among the tokens (axis 0); each token chooses among its own experts, the last axis.",
                lambda h, k: kept_logits(h.T, k).T if h.ndim > 1 else kept_logits(h, k)),
        Mistake("over the whole batch", "Right for one token. In a batch you keep k logits altogether; every token keeps k of its own.",
                lambda h, k: kept_logits(h.ravel(), k).reshape(h.shape)),
        Mistake("only the kept", "These are the k kept logits alone. The result has the shape of the logits, with −∞ where an expert is cut.",
                lambda h, k: routing.top_k(h, k)[0]),
        Mistake("indices", "These are the indices of the kept experts. Return the logits, with −∞ where an expert is cut.",
                lambda h, k: routing.top_k(h, k)[1]),
        Mistake("mask", "This marks the kept experts. Return their logits, with −∞ for the others.", selected_mask),
        Mistake("softmax taken", "These are weights: you went on to the softmax. Here the logits are kept as they are.",
                lambda h, k: routing.gate_weights(h, k)),
    ),
)  # fmt: skip


# --- 4.2 gate forms -----------------------------------------------------------------------------------------------


def form_cases(rng: np.random.Generator) -> list[tuple]:
    """Every form, on one token, a batch and a token with a tie; no k is 1, where two different forms can agree."""
    cases = []
    for form in routing.GATE_FORMS:
        tied = rng.permutation([1.4, 0.3, 0.3, 0.3, -0.8])  # (5,), one place for three of 0.3
        cases += [(draw_logits(rng, 5), 2, form), (draw_logits(rng, 3, 6), 3, form), (tied, 2, form)]
    return cases


def only_for(form: str, wrong: Callable) -> Callable:
    """Return the function of (h, k, form) that is wrong(h, k) for one form and right for the others."""
    return lambda h, k, asked: wrong(h, k) if asked == form else routing.gate_weights(h, k, asked)


def second_softmax(h: np.ndarray, k: int) -> np.ndarray:
    """Return a softmax of the selected probabilities. (..., N)."""
    return routing.softmax(np.where(selected_mask(h, k), routing.softmax(h), -np.inf))


def swapped(h: np.ndarray, k: int, form: str) -> np.ndarray:
    """Return what one gets who takes the names of the first two forms for each other. (..., N)."""
    other = {"topk_softmax": "softmax_topk", "softmax_topk": "topk_softmax"}
    return routing.gate_weights(h, k, other.get(form, form))


def divided_logits(h: np.ndarray, k: int) -> np.ndarray:
    """Divide the kept logits by their sum, without a softmax. (..., N)."""
    kept = np.where(selected_mask(h, k), h, 0)  # (..., N)
    return kept / kept.sum(axis=-1, keepdims=True)


def over_the_batch(h: np.ndarray, k: int) -> np.ndarray:
    """Divide by the sum over all tokens. (..., N)."""
    kept = kept_probabilities(h, k)  # (..., N)
    return kept / kept.sum()


def softmax_over_the_batch(h: np.ndarray, k: int) -> np.ndarray:
    """Take one softmax over the kept logits of all tokens. (..., N)."""
    e = np.exp(kept_logits(h, k))  # (..., N)
    return e / e.sum()


def no_fewer_than_the_kth(h: np.ndarray, k: int, form: str) -> np.ndarray:
    """Gate with every expert whose logit is not below the k-th largest. (..., N)."""
    kept = at_least_the_kth(h, k)  # (..., N)
    if form == "topk_softmax":
        return routing.softmax(kept)
    p = np.where(np.isfinite(kept), routing.softmax(h), 0)  # (..., N)
    return p if form == "softmax_topk" else p / p.sum(axis=-1, keepdims=True)


@dataclass(frozen=True, kw_only=True)
class FormsQuestion(FunctionQuestion):
    """Leaves open which of equal logits are selected: 4.1 asks for that. Exactly k must be."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare; where no known mistake fits, look for too many of the tied and for −∞ among the weights."""
        values = [untied(value, *case) for value, case in zip(reply["values"], data["cases"], strict=True)]
        verdict = super().judge(data, {**reply, "values": values})
        if verdict.correct or verdict.mistake:
            return verdict
        if all(with_ties_or_right(value, *case) for value, case in zip(values, data["cases"], strict=True)):
            why, name = "Where logits tie, more than k experts have weight. You compare with the k-th largest value, and several experts have it. Select k indices, as in 4.1.", "more than k"  # fmt: skip
        elif any(holds_minus_infinity(value) for value in values):
            why, name = "There is −∞ among your weights. −∞ is for logits, before a softmax; after it, what is cut becomes 0.", "−∞ left"  # fmt: skip
        else:
            return verdict
        return Verdict(False, f"{why}\n{verdict.message}", name)


def untied(value: Any, h: np.ndarray, k: int, form: str) -> Any:
    """Return the reference's weights if `value` differs only in which of equal logits have weight, else `value`."""
    weights, right = stacked(value), routing.gate_weights(h, k, form)  # (..., N)
    if not isinstance(weights, np.ndarray) or weights.shape != h.shape or weights.dtype.kind != "f":
        return value
    others = h != np.sort(h, axis=-1)[..., -k, None]  # (..., N)
    same = agree(weights[others], right[others]) and agree(np.sort(weights, axis=-1), np.sort(right, axis=-1))
    return right if same else value


def with_ties_or_right(value: Any, h: np.ndarray, k: int, form: str) -> bool:
    """Tell whether `value` is right, or right but for letting in all that tie with the k-th."""
    return agree(value, routing.gate_weights(h, k, form)) or agree(value, no_fewer_than_the_kth(h, k, form))


def holds_minus_infinity(value: Any) -> bool:
    """Tell whether −∞ is among the numbers of a plain value."""
    value = stacked(value)
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and bool(np.isneginf(value).any())


FORMS = FormsQuestion(
    id="4.2",
    title="Three gate forms",
    kind="write it",
    points=3,
    minutes=10,
    difficulty="medium",
    hints=(
        "`topk_softmax` is your `my_keep_top_k` with a softmax behind it. The other two begin with the softmax over all N.",
        "For the other two: mark the selected experts, `kept = np.where(selected, softmax(logits), 0)`. One form returns `kept`, the other divides it by `kept.sum(axis=-1, keepdims=True)`.",
    ),
    idea="The three forms select the same experts and share the weight in the same ratio; the only difference is whether what was cut is handed to the experts that stay.",
    answer="my_gate",
    parameters=("logits", "k", "form"),
    stands_for=GATING,
    when_raised='A row has its own selection and its own sum: `axis=-1, keepdims=True` keeps the shapes together.',
    cases=form_cases,
    reference=routing.gate_weights,
    mistakes=(
        Mistake("masked with 0", "In `topk_softmax` your unselected experts still carry weight: you set their logits to 0, and e⁰ = 1. Mask with −∞.",
                only_for("topk_softmax", masked_with_zero)),
        Mistake("second softmax", "In `softmax_topk_renorm` you took a softmax of the kept probabilities. That is too flat. Divide them by their sum.",
                only_for("softmax_topk_renorm", second_softmax)),
        Mistake("second softmax over all", "In `softmax_topk_renorm` you took a softmax of the kept probabilities and the zeros: too flat, and each 0 becomes e⁰ = 1, so unselected experts carry weight. Divide by the sum.",
                only_for("softmax_topk_renorm", lambda h, k: routing.softmax(kept_probabilities(h, k)))),
        Mistake("always renormalised", "In `softmax_topk` your weights sum to 1. This form keeps the probabilities as they are; what was cut is gone.",
                only_for("softmax_topk", routing.gate_weights)),
        Mistake("never renormalised", "In `softmax_topk_renorm` your weights do not sum to 1. Divide the kept probabilities by their sum.",
                only_for("softmax_topk_renorm", kept_probabilities)),
        Mistake("forms swapped", "`topk_softmax` and `softmax_topk` are the wrong way round. The name gives the order: what stands first is done first.", swapped),
        Mistake("divided by k", "In `softmax_topk_renorm` you divided by k. Divide by the sum of what was kept, which is another number for each token.",
                only_for("softmax_topk_renorm", lambda h, k: kept_probabilities(h, k) / k)),
        Mistake("sum over the batch", "Right for one token. In a batch you divided by the sum over all tokens: every token has its own sum (`axis=-1, keepdims=True`).",
                only_for("softmax_topk_renorm", over_the_batch)),
        Mistake("softmax over the batch", "Right for one token. In a batch your softmax in `topk_softmax` divides by the sum over all tokens: every token has its own sum (`axis=-1, keepdims=True`).",
                only_for("topk_softmax", softmax_over_the_batch)),
        Mistake("divided logits", "In `softmax_topk_renorm` you divided the kept logits by their sum. They can be negative; divide the probabilities.",
                only_for("softmax_topk_renorm", divided_logits)),
        Mistake("nothing cut", "In `softmax_topk` every expert has a weight: you did not cut.",
                only_for("softmax_topk", lambda h, k: routing.softmax(h))),
        Mistake("only the selected", "The numbers are right, but there are only k of them. A gate has one weight per expert, 0 where it is not selected.",
                lambda h, k, form: np.take_along_axis(routing.gate_weights(h, k, form), routing.top_k(h, k)[1], axis=-1)),
        Mistake("first places", "The right numbers, the largest first. Each belongs at its own expert's index.",
                lambda h, k, form: -np.sort(-routing.gate_weights(h, k, form), axis=-1) + 0.0),
    ),
)  # fmt: skip


# --- 4.3 logits for which the form matters ------------------------------------------------------------------------

DIFFERENCE, GIVEN_K = 0.2, 2


@dataclass(frozen=True, kw_only=True)
class ApartQuestion(VariableQuestion):
    """Any logits are right for which two gate forms differ by more than DIFFERENCE in some weight."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compute both gates from the learner's logits and compare them."""
        h = stacked(reply["value"])
        if isinstance(h, np.ndarray) and h.dtype.kind == "f" and not np.isfinite(h).all():
            return Verdict(False, f"Not every number is finite: {show(h)}. Give finite logits.")
        if not is_row_of_logits(h):
            return Verdict(False, f"Expected a list of logits, one finite number for each of at least {GIVEN_K} experts. Came {describe(h)}.")  # fmt: skip
        h = h.astype(float)  # (N,)
        w_a, w_b = routing.gate_weights(h, GIVEN_K), routing.gate_weights(h, GIVEN_K, "softmax_topk")  # (N,) each
        apart, kept = float(np.abs(w_a - w_b).max()), float(w_b.sum())
        why, name = apart_fault(h, apart, kept)
        seen = f"Largest difference {apart:.3f}. The two kept experts hold {kept:.3f} of the probability; their weights are {show(w_a[w_b > 0])} in A and {show(w_b[w_b > 0])} in B."  # fmt: skip
        return Verdict(not why, f"{why}\n{seen}".strip(), name)


def is_row_of_logits(h: Any) -> bool:
    """Tell whether h is one row of at least GIVEN_K finite numbers."""
    is_row = isinstance(h, np.ndarray) and h.ndim == 1 and h.dtype.kind in "fiu" and h.size >= GIVEN_K
    return is_row and bool(np.isfinite(h).all())


def apart_fault(h: np.ndarray, apart: float, kept: float) -> tuple[str, str | None]:
    """Say why two gates of h that lie `apart` do not lie far enough, and name it; two empties when they do."""
    if apart > DIFFERENCE:
        return "", None
    if h.size == GIVEN_K:
        return "With two experts and k = 2 nothing is cut, so both forms are the plain softmax. Add experts.", "nothing cut"  # fmt: skip
    if abs(h.sum() - 1) < 1e-6 and (h > 0).all():
        return "These sum to 1: are they probabilities? Give logits, from which the softmax makes probabilities.", "probabilities"  # fmt: skip
    if 1 - kept <= DIFFERENCE:
        return f"The two best hold so much that only {1 - kept:.3f} is cut, and no weight can change by more than what is cut.", "too little cut"  # fmt: skip
    if np.ptp(h) < 1e-9:
        return "Equal logits are a good beginning: both forms share evenly, A 1/2 each. What does B give, and how does that depend on N?", "too few equals"  # fmt: skip
    return f"Enough is cut ({1 - kept:.3f}), but no single expert gets enough of it: A hands out what is cut in proportion to the weights.", "shared out"  # fmt: skip


APART = ApartQuestion(
    id="4.3",
    title="Logits for which the form matters",
    kind="build a counterexample",
    points=2,
    minutes=6,
    difficulty="medium",
    hints=(
        "In A the weight is p divided by the kept mass m, in B it is p itself. So the difference is the weight in A times 1 − m.",
        "Much must be cut: many experts that are nearly as good as the best. What happens with eight equal logits?",
    ),
    idea="Form A hands what was cut to the experts that stay. The more is cut, and the more of the rest one expert holds, the more its weight changes.",
    answer="my_logits",
)


# --- 4.4 find the leak --------------------------------------------------------------------------------------------

# The token of which question 4.4 shows what four gates make.
GIVEN_LOGITS = np.array([-1.2, -0.4, -2.0, -0.7, -1.5])


def leak_cases(rng: np.random.Generator) -> list[tuple]:
    """Logits (4, N), weights that four gates made of them, one a token, and k. Three of the gates leak.

    The last token of the last case has a tie at the border. There nothing is cut, so those that tie weigh the same,
    and it does not matter which of them counts as selected.
    """
    # Where all logits are below 0, experts that are cut to 0 weigh more than those that are kept.
    high, low, mixed = draw_logits(rng, 4, 6) + 2, draw_logits(rng, 4, 5) - 5, draw_logits(rng, 4, 8)
    third, fourth = np.argsort(-mixed[3])[2:4]  # indices
    mixed[3, fourth] = mixed[3, third]
    return [(h, by_four_gates(h, k), k) for h, k in ((high, 2), (low, 2), (mixed, 3))]


def by_four_gates(h: np.ndarray, k: int) -> np.ndarray:
    """Route each of four tokens by another gate. h (4, N). Returns weights (4, N).

    The gates: a mask of 0; an honest softmax_topk; a softmax of kept probabilities and zeros; nothing cut.
    """
    kept = kept_probabilities(h, k)  # (4, N)
    return np.stack([masked_with_zero(h, k)[0], kept[1], routing.softmax(kept)[2], routing.softmax(h)[3]])


def leaked(h: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Return the weight on unselected experts for each token. h, weights (T, N). Returns (T,)."""
    return np.where(selected_mask(h, k), 0, weights).sum(axis=-1)  # (T,)


def smallest_weights(h: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Add up all but the k largest weights of each token. (T,)."""
    return np.sort(weights, axis=-1)[:, :-k].sum(axis=-1)


def below_the_kth(h: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Add up the weights where the logit is below the k-th largest: what ties with it is left out. (T,)."""
    return np.where(h < np.sort(h, axis=-1)[:, -k, None], weights, 0).sum(axis=-1)


def too_many(h: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Count the experts with a weight beyond the k that should have one. (T,)."""
    return (weights > 0).sum(axis=-1) - k


LEAK = FunctionQuestion(
    id="4.4",
    title="Find the leak",
    kind="find the bug",
    points=2,
    minutes=8,
    difficulty="medium",
    hints=(
        "Which experts should have no weight is decided by the logits alone. Do not let the suspected weights decide it.",
        "Mark the selected experts from the logits, as in 4.1. Then add up `weights` over the experts that are not marked, for each token.",
    ),
    idea="A leak does not show in the sum, and not always in the order of the weights: compare the weights with an independent selection from the logits.",
    answer="my_leak",
    parameters=("logits", "weights", "k"),
    stands_for=GATING,
    cases=leak_cases,
    reference=leaked,
    mistakes=(
        Mistake("what is missing from 1", "You measured how far the weights are from summing to 1. A leaking gate sums to 1 all the same, and an honest one need not.",
                lambda h, weights, k: 1 - weights.sum(axis=-1)),
        Mistake("smallest weights", "You took the k largest *weights* for the selected experts. Where all logits are below 0, a cut expert with logit 0 weighs more than a kept one. Only the logits tell who was selected.", smallest_weights),
        Mistake("all weights", "This is the sum of all weights. Count only the experts that should have none.",
                lambda h, weights, k: weights.sum(axis=-1)),
        Mistake("kept weight", "This is the weight on the selected experts. Asked is the weight on the others.",
                lambda h, weights, k: np.where(selected_mask(h, k), weights, 0).sum(axis=-1)),
        Mistake("number of experts", "You counted experts. Asked is how much weight they carry.", too_many),
        Mistake("ties left out", "You counted what lies below the k-th largest logit. Where another expert ties with the k-th, it is not selected either: select k by index, as in 4.1.", below_the_kth),
        Mistake("1 minus the kept", "1 minus the kept weight is the leak only where the weights sum to 1. The second program's weights do not: what is missing there is no leak. Add up the weights of the unselected.",
                lambda h, weights, k: 1 - np.where(selected_mask(h, k), weights, 0).sum(axis=-1)),
        Mistake("number cut", "You counted the unselected experts. Asked is how much weight they carry.",
                lambda h, weights, k: (~selected_mask(h, k)).sum(axis=-1)),
        Mistake("mean over the tokens", "You averaged over the tokens. Asked is one number for each token.",
                lambda h, weights, k: np.array(leaked(h, weights, k).mean())),
        Mistake("sum over the tokens", "You added up along the tokens (axis 0), which gives one number for each expert. Asked is one for each token: the last axis.",
                lambda h, weights, k: np.where(selected_mask(h, k), 0, weights).sum(axis=0)),
        Mistake("average", "This is the average over the unselected experts. Asked is their sum.",
                lambda h, weights, k: leaked(h, weights, k) / (h.shape[-1] - k)),
        Mistake("largest", "This is the largest single leak. Asked is the sum over the unselected experts.",
                lambda h, weights, k: np.where(selected_mask(h, k), 0, weights).max(axis=-1)),
        Mistake("one number", "You added up all tokens. Asked is one number for each token: sum over the last axis.",
                lambda h, weights, k: np.array(leaked(h, weights, k).sum())),
        Mistake("expert by expert", "These are the leaks expert by expert. Add them up for each token.",
                lambda h, weights, k: np.where(selected_mask(h, k), 0, weights)),
        Mistake("should have been", "You added up the probabilities that were cut. Those are what the leaking experts had before, not what the given weights give them.",
                lambda h, weights, k: leaked(h, routing.softmax(h), k)),
    ),
)  # fmt: skip


# --- 4.5 repair a router that cannot learn ------------------------------------------------------------------------

STEP, RESPONDS = 1e-3, 1e-4
MISSING = " (is a `return` missing?)"
ABOUT_SLOPES = ("backwards", "still 1", "constant")


def stuck_gate(logits: Any) -> np.ndarray:
    """Return the gate that cannot learn: k = 1, renormalised. logits (N,). Returns weights (N,), one of them 1."""
    h = np.asarray(logits, dtype=float)  # (N,)
    kept = np.where(np.arange(h.size) == h.argmax(), routing.softmax(h), 0)  # (N,)
    return kept / kept.sum()


@dataclass(frozen=True, kw_only=True)
class RepairQuestion(Question):
    """Any gate is right that runs one or two of the best experts and whose best weight grows with its logit."""

    def draw(self, rng: np.random.Generator) -> Data:
        """Return tokens of 4 to 7 experts with clear gaps, so that a small step changes no selection."""
        logits = []
        for N, best in ((4, 0.4), (5, 1.2), (6, -3.0), (7, 0.6)):
            below = np.cumsum(rng.uniform(0.2, 0.8, size=N - 1))  # (N - 1,)
            logits.append(rng.permutation(best - np.concatenate([[0], below])).round(2))
        return {"logits": logits}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the gate twice at every token, then with each of the two best logits a little lower and higher."""
        replies = []
        for h in data["logits"]:
            points = [h, h, *(h + sign * STEP * one for one in np.eye(h.size)[np.argsort(-h)[:2]] for sign in (-1, 1))]
            replies.append([call_answer(answer, self.parameters, (point,))[0] for point in points])
        return {"weights": replies}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Look for the first token on which the gate breaks a rule."""
        for h, replies in zip(data["logits"], reply["weights"], strict=True):
            values = [stacked(weights) for weights in replies]
            if not all(is_row_of_weights(weights, h.size) for weights in values):
                return Verdict(False, f"Expected a weight for each of {h.size} experts: {h.size} finite numbers. Came {describe(replies[0])}{MISSING if replies[0] is None else ''}.")  # fmt: skip
            now, again, *moved = (weights.astype(float) for weights in values)
            slopes = own_slopes(h, now, moved)
            why, name = repair_fault(h, now, again, slopes)
            if why:
                moves = f"; the selected weights move by {show(slopes)} per unit of their own logits"
                seen = f"logits {show(h)}: weights {show(now)}{moves if name in ABOUT_SLOPES else ''}"
                return Verdict(False, f"{why}\n{seen}", name)
        return Verdict(True)


def is_row_of_weights(weights: Any, count: int) -> bool:
    """Tell whether `weights` is one row of `count` finite numbers."""
    is_numbers = isinstance(weights, np.ndarray) and weights.dtype.kind in "fiu"
    return is_numbers and weights.shape == (count,) and bool(np.isfinite(weights).all())


def own_slopes(h: np.ndarray, now: np.ndarray, moved: list[np.ndarray]) -> np.ndarray:
    """Return how much each weight of the two best moves with its own logit, where it is not 0. At most (2,)."""
    pairs = zip(np.argsort(-h)[:2], moved[0::2], moved[1::2], strict=True)
    return np.array([(higher - lower)[i] / (2 * STEP) for i, lower, higher in pairs if now[i]])


def repair_fault(h: np.ndarray, now: np.ndarray, again: np.ndarray, slopes: np.ndarray) -> tuple[str, str | None]:
    """Say which rule a gate breaks at h, given its weights (twice) and its slopes; two empties when it breaks none."""
    if not np.array_equal(now, again):
        return "Two calls with the same logits gave different weights. Noise can change which expert is chosen, but the chosen weight must answer to its logit by itself.", "random"  # fmt: skip
    why, name = running_fault(h, now)
    if why or (slopes > RESPONDS).all():
        return why, name
    if (slopes < -RESPONDS).any():
        return "A selected weight *falls* when its own logit rises. Training would push the wrong way.", "backwards"
    if np.count_nonzero(now) == 1 and abs(now.max() - 1) < 1e-9:
        return "The chosen weight is still exactly 1, whatever its logit. One number divided by itself is 1, and a temperature, a scale or another softmax before the division changes nothing.", "still 1"  # fmt: skip
    return "The weight of a selected expert is a constant: it does not move with its own logit.", "constant"


def running_fault(h: np.ndarray, weights: np.ndarray) -> tuple[str, str | None]:
    """Say what is wrong with the set of experts that run, and name it; two empties when nothing is."""
    running = np.flatnonzero(weights)  # indices of the experts with a weight
    if not running.size:
        return "No expert runs for this token: every weight is 0.", "nothing runs"
    if (weights < 0).any():
        return "A weight is negative. A logit may be negative; a negative gate weight turns the expert's output round.", "negative"  # fmt: skip
    if any(agree(weights, masked_with_zero(h, k)) for k in (1, 2)):
        return "The weight moves, but only because the cut experts carry weight too: their logits were set to 0. Mask with −∞, or set their weights to 0.", "masked with 0"  # fmt: skip
    if running.size > 2:
        return f"{running.size} experts run. At most two may: the saving must stay.", "too many run"
    if set(running) != set(np.argsort(-h)[: running.size]):
        return "The experts that run are not those with the largest logits.", "wrong expert"
    return "", None


REPAIR = RepairQuestion(
    id="4.5",
    title="Repair a router that cannot learn",
    kind="find the bug",
    points=2,
    minutes=8,
    difficulty="hard",
    hints=(
        "Print the weights for some logits and for the same logits with the largest one raised a little. Which step makes them equal?",
        "Either leave out that step for k = 1 (what does Switch do?), or keep two experts, so that dividing by the sum leaves a comparison.",
    ),
    idea="The division by the sum removes the only number that is left. Keep the probability as it is, or keep a second expert to be compared with: then the weight answers to the logit, and a gradient can pass.",
    answer="my_live_gate",
    parameters=("logits",),
    stands_for=GATING,
)

QUESTIONS = (KEEP, FORMS, APART, LEAK, REPAIR)
