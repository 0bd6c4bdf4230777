"""Question 4.2: three gate forms."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy

from moe_lessons import routing
from moe_lessons.checks.gates import (
    draw_logits,
    kept_logits,
    kept_probabilities,
    masked_with_zero,
    naive_softmax,
    selected_mask,
)
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_04.q1_keep import GATING
from moe_lessons.checks.set_04.selections import (
    CUT_WRONGLY,
    SELECTED_WRONGLY,
    above,
    batch_of_one,
    but_for_ties,
    loosely,
    nearly_tied,
    others_of_the_tied,
)
from moe_lessons.checks.verdicts import Mistake, by_formula, by_test, by_trace, by_value

FAR = 800  # from 0: e to it is ∞, and e to minus it 0, also in float64
TINY = 1e-18  # e to it is stored as 1, also in float64


def form_cases(rng: np.random.Generator) -> list[tuple]:
    """Every form, on one token, a batch, a token with a tie, one that keeps a logit of 0; then with k = 1 and k = N.

    Then a long row with ties, where sorting that is not stable shows, and one with nearly a tie. Last two tokens whose
    logits are all far from 0: in quarters, which float32 holds exactly also there. And one with logits so near to 0
    that their probabilities are stored as one number.
    """
    cases = []
    for form in routing.GATE_FORMS:
        tied = rng.permutation([1.4, 0.3, 0.3, 0.3, -0.8])  # (5,), two places for three of 0.3
        zero = rng.permutation([0.9, 0.0, -0.7, -1.3])  # (4,)
        cases += [(draw_logits(rng, 5), 2, form), (draw_logits(rng, 3, 6), 3, form), (tied, 3, form), (zero, 2, form)]
        cases += [(draw_logits(rng, 2, 3), 1, form), (draw_logits(rng, 4), 4, form), (draw_logits(rng, 1, 5), 3, form)]
        cases += [(rng.permutation(np.repeat([2.0, 1.0, 0.0], [3, 18, 3])), 10, form), (*nearly_tied(rng), form)]
        near_0 = rng.permuted(np.tile([1.25, 0.5, -0.25, -1.0, -1.75], (2, 1)), axis=1)  # (2, 5)
        cases += [(near_0 + np.array([[FAR], [-FAR]]), 2, form)]
        cases += [(TINY * np.append(rng.permutation([-3.0, -1.0, 1.0]), rng.permutation([2.0, 4.0])), 2, form)]
    return cases


def gate(h: np.ndarray, mask: np.ndarray, form: str, softmax: Callable = routing.softmax) -> np.ndarray:
    """Return the weights (..., N) of a form that keeps what is marked, with a softmax of one's own."""
    if form == "topk_softmax":
        return softmax(np.where(mask, h, -np.inf))
    p = np.where(mask, softmax(h), 0)  # (..., N)
    return p if form == "softmax_topk" else p / p.sum(axis=-1, keepdims=True)


def keeping(marked: Callable) -> Callable:
    """Return the function of (h, k, form) that keeps what marked(h, k) says. NaN where that is nobody."""
    return np.errstate(all="ignore")(lambda h, k, form: gate(h, marked(h, k), form, unguarded_softmax))


def unguarded_softmax(h: np.ndarray) -> np.ndarray:
    """Return the softmax of each row of h (..., N), NaN where all of it is −∞."""
    return naive_softmax(h, h.max(axis=-1, keepdims=True))


@np.errstate(all="ignore")
def down_the_columns(h: np.ndarray, k: int, form: str) -> np.ndarray:
    """Gate with a softmax along the first axis. (..., N)."""
    return gate(h, selected_mask(h, k), form, lambda z: naive_softmax(z, z.max(axis=0), axis=0))


def only_for(form: str, wrong: Callable) -> Callable:
    """Return the function of (h, k, form) that is wrong(h, k) for one form and right for the others."""
    return lambda h, k, asked: wrong(h, k) if asked == form else routing.gate_weights(h, k, asked)


def second_softmax(h: np.ndarray, k: int) -> np.ndarray:
    """Return a softmax of the selected probabilities. (..., N)."""
    return routing.softmax(np.where(selected_mask(h, k), routing.softmax(h), -np.inf))


def softmax_of_weights(h: np.ndarray, k: int) -> np.ndarray:
    """Return a softmax of form A's weights, 0 where an expert is not selected. (..., N)."""
    return np.where(selected_mask(h, k), routing.softmax(routing.gate_weights(h, k)), 0)


def exchanged(one: str, two: str) -> Callable:
    """Return the function of (h, k, form) of someone who takes the names of two forms for each other."""
    other = {one: two, two: one}

    def weights(h: np.ndarray, k: int, form: str) -> np.ndarray:
        return routing.gate_weights(h, k, other.get(form, form))

    return weights


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
    return naive_softmax(kept_logits(h, k), h.max(), axis=None)


@np.errstate(all="ignore")
def over_the_tokens(h: np.ndarray, k: int) -> np.ndarray:
    """Divide by the sum of each expert over the tokens: NaN where no token selected it. (..., N)."""
    kept = kept_probabilities(h, k)  # (..., N)
    return kept / kept.sum(axis=0)


def shared_equally(among: Callable) -> Callable:
    """Return the weights (..., N) that hand what was cut in equal parts to all that among(h, k) marks, (..., N)."""

    def weights(h: np.ndarray, k: int) -> np.ndarray:
        p, those = kept_probabilities(h, k), among(h, k)  # (..., N) each
        part = (1 - p.sum(axis=-1, keepdims=True)) / those.sum(axis=-1, keepdims=True)  # (..., 1)
        return p + np.where(those, part, 0)

    return weights


def is_far(h: np.ndarray) -> bool:
    """Tell whether these logits are so far from 0 that e to them is ∞ or 0."""
    return bool(np.abs(h).max() > FAR / 2)


def holds_nan(value: Any) -> bool:
    """Tell whether NaN is among the numbers of a value."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and bool(np.isnan(value).any())


def is_right_but_for_overflow(value: Any, h: np.ndarray, k: int, form: str) -> bool:
    """Tell whether `value` is right, whoever of equal logits was taken, or NaN where logits are far from 0."""
    return but_for_ties(routing.gate_weights)(value, h, k, form) or (is_far(h) and holds_nan(value))


def overflows(value: Any, h: np.ndarray, *_: Any) -> bool:
    """Tell whether NaN is among the numbers of a value if, and only if, logits are far from 0."""
    return holds_nan(value) == is_far(h)


def of_another_form(value: Any, h: np.ndarray, k: int, form: str) -> bool:
    """Tell whether `value` is right for one of the forms."""
    return any(but_for_ties(routing.gate_weights)(value, h, k, each) for each in routing.GATE_FORMS)


def in_their_form(mistakes: tuple[Mistake, ...]) -> tuple[Mistake, ...]:
    """Return tests for the mistakes that are told of one form: what the other forms return is left out of account."""

    def test(told: str, wrong: Callable) -> Callable:
        return lambda value, h, k, form: form != told or but_for_ties(wrong)(value, h, k, form)

    of_one = ((mistake, form) for mistake in mistakes for form in routing.GATE_FORMS if f"In `{form}`" in mistake.why)
    return tuple(replace(mistake, wrong=None, seen=test(form, mistake.wrong)) for mistake, form in of_one)


def holds_minus_infinity(value: Any, *_: Any) -> bool:
    """Tell whether −∞ is among the numbers of a value."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and bool(np.isneginf(value).any())


BY_VALUE = (
    by_formula(
        keeping,
        *SELECTED_WRONGLY,
        *CUT_WRONGLY,
        "selected by probability: Right, but for logits that are nearly equal. Their probabilities are stored as one number, and of equals the lower index came first. Select by the logits, where the difference is still there.",
        lambda h, k: selected_mask(routing.softmax(h), k),
        "more than k: Where probabilities tie you select more than k. You compare with the k-th largest of them, and several experts have it. Compare ranks, which never tie, and those of the logits.",
        lambda h, k: above(routing.softmax(h)) < k,
    )
    + by_value(
        "masked with 0: In `topk_softmax` your unselected experts still carry weight: you set their logits to 0, and e⁰ = 1. Mask with −∞.",
        only_for("topk_softmax", masked_with_zero),
        "leak cut off: In `topk_softmax` your weights do not sum to 1. The cut logits were 0 in your softmax, so that e⁰ = 1 is in its denominator, and you took them out only afterwards. Mask with −∞ before the softmax.",
        only_for("topk_softmax", lambda h, k: np.where(selected_mask(h, k), masked_with_zero(h, k), 0)),
        "B for A: In `topk_softmax` you return what belongs to `softmax_topk`: the kept probabilities of a softmax over all. First cut, then take the softmax over what is kept.",
        only_for("topk_softmax", kept_probabilities),
        "second softmax: In `softmax_topk_renorm` you took a softmax of the kept probabilities. That is too flat. Divide them by their sum.",
        only_for("softmax_topk_renorm", second_softmax),
        "second softmax over all: In `softmax_topk_renorm` you took a softmax of the kept probabilities and the zeros: too flat, and each 0 becomes e⁰ = 1, so unselected experts carry weight. Divide by the sum.",
        only_for("softmax_topk_renorm", lambda h, k: routing.softmax(kept_probabilities(h, k))),
        "always renormalised: In `softmax_topk` your weights sum to 1. This form keeps the probabilities as they are; what was cut is gone.",
        only_for("softmax_topk", routing.gate_weights),
        "never renormalised: In `softmax_topk_renorm` your weights do not sum to 1. Divide the kept probabilities by their sum.",
        only_for("softmax_topk_renorm", kept_probabilities),
        "forms swapped: `topk_softmax` and `softmax_topk` are the wrong way round. The name gives the order: what stands first is done first.",
        exchanged("topk_softmax", "softmax_topk"),
        "the wrong one renormalised: `softmax_topk` and `softmax_topk_renorm` are the wrong way round: the one with `renorm` in its name is divided by the sum.",
        exchanged("softmax_topk", "softmax_topk_renorm"),
        "always the probabilities: You return the kept probabilities, whatever `form` is. Two of the forms hand what was cut to those that stay.",
        lambda h, k, form: kept_probabilities(h, k),
        "second softmax: In `topk_softmax` you took two softmaxes, one over the other. The logits go into one, and what it returns are the weights.",
        (
            only_for("topk_softmax", second_softmax),
            only_for("topk_softmax", lambda h, k: routing.softmax(kept_probabilities(h, k))),
            only_for("topk_softmax", softmax_of_weights),
            only_for("topk_softmax", lambda h, k: routing.softmax(routing.gate_weights(h, k))),
        ),
        "divided by the largest: In `softmax_topk_renorm` you divided by the largest of what was kept. Divide by its sum.",
        only_for("softmax_topk_renorm", lambda h, k: (p := kept_probabilities(h, k)) / p.max(axis=-1, keepdims=True)),
        "over the tokens: Right for one token. In a batch your softmax runs over the tokens: each token has its own, along the last axis.",
        down_the_columns,
        "divided by k: In `softmax_topk_renorm` you divided by k. Divide by the sum of what was kept, which is another number for each token.",
        only_for("softmax_topk_renorm", lambda h, k: kept_probabilities(h, k) / k),
        "sum over the batch: Right for one token. In a batch you divided by the sum over all tokens: every token has its own sum (`axis=-1, keepdims=True`).",
        only_for("softmax_topk_renorm", over_the_batch),
        "softmax over the batch: Right for one token. In a batch your softmax in `topk_softmax` divides by the sum over all tokens: every token has its own sum (`axis=-1, keepdims=True`).",
        only_for("topk_softmax", softmax_over_the_batch),
        "divided logits: In `softmax_topk_renorm` you divided the kept logits by their sum. They can be negative; divide the probabilities.",
        only_for("softmax_topk_renorm", divided_logits),
        "divided logits: In `topk_softmax` you divided the kept logits by their sum. They can be negative; a softmax divides e to the logits by the sum of those.",
        only_for("topk_softmax", divided_logits),
        "nothing cut: In `softmax_topk` every expert has a weight: you did not cut.",
        (
            only_for("softmax_topk", lambda h, k: routing.softmax(h)),
            lambda h, k, form: routing.gate_weights(h, k) if form == "topk_softmax" else routing.softmax(h),
            lambda h, k, form: routing.softmax(h),
        ),
        "only the selected: The numbers are right, but there are only k of them. A gate has one weight per expert, 0 where it is not selected.",
        lambda h, k, form: np.take_along_axis(routing.gate_weights(h, k, form), routing.top_k(h, k)[1], axis=-1),
        "first places: The right numbers, the largest first. Each belongs at its own expert's index.",
        lambda h, k, form: -np.sort(-routing.gate_weights(h, k, form), axis=-1) + 0.0,
        "sum over the tokens: Right for one token. In a batch you divided by the sum over the tokens (axis 0), for each expert: every token has its own sum (`axis=-1, keepdims=True`).",
        only_for("softmax_topk_renorm", over_the_tokens),
        "shared equally: In `softmax_topk_renorm` you handed out what was cut in equal parts. Dividing by the sum shares it in proportion, which keeps the ratios.",
        (
            only_for("softmax_topk_renorm", shared_equally(selected_mask)),
            only_for("softmax_topk_renorm", shared_equally(lambda h, k: np.ones(h.shape, bool))),
        ),
        "multiplied by the sum: In `softmax_topk_renorm` you multiplied by the sum of what was kept. Divide by it: then the weights sum to 1.",
        only_for("softmax_topk_renorm", lambda h, k: (p := kept_probabilities(h, k)) * p.sum(axis=-1, keepdims=True)),
        "not divided: In `topk_softmax` your weights are e to the kept logits. A softmax divides them by their sum.",
        only_for("topk_softmax", np.errstate(over="ignore")(lambda h, k: np.exp(kept_logits(h, k)))),
        "logits as weights: In `topk_softmax` your weights are the kept logits themselves. A softmax over them is missing.",
        only_for("topk_softmax", lambda h, k: np.where(selected_mask(h, k), h, 0)),
        "sigmoid: You used the sigmoid of each logit. A softmax is e to the logit, divided by the sum of those.",
        np.errstate(all="ignore")(lambda h, k, form: gate(h, selected_mask(h, k), form, scipy.special.expit)),
    )
    + batch_of_one(routing.gate_weights)
)

FORMS = FunctionQuestion(
    **about("4.2", "Three gate forms", "write it", "medium", points=3, minutes=10),
    hints=(
        "`topk_softmax` is your `my_keep_top_k` with a softmax behind it. The other two begin with the softmax over all N.",
        "For the other two: mark the selected experts, `kept = np.where(selected, softmax(logits), 0)`. One form returns `kept`, the other divides it by `kept.sum(axis=-1, keepdims=True)`.",
    ),
    idea="The three forms select the same experts and share the weight in the same ratio; the only difference is whether what was cut is handed to the experts that stay.",
    takeaway="A configuration's norm_topk_prob is the whole difference between two of these forms, and a model must be run with the one it was trained with.",
    answer="my_gate",
    parameters=("logits", "k", "form"),
    stands_for=GATING,
    when_raised="A row has its own selection and its own sum: `axis=-1, keepdims=True` keeps the shapes together. And `logits[best]` takes rows, which are tokens: `np.take_along_axis` and `np.put_along_axis` take, in each row, the experts.",
    quiet=True,
    cases=form_cases,
    reference=routing.gate_weights,
    mistakes=BY_VALUE
    + others_of_the_tied(routing.gate_weights)
    + by_test(
        "overflow: Where logits are far from 0, your weights are no numbers: e^h is ∞ above 709, and 0 below −745. Take `softmax`, or subtract each token's own largest logit first: not the smallest, or the largest of the batch.",
        (is_right_but_for_overflow, overflows),
        "forms mixed up: Your weights are those of one of the forms, but not always of the one that `form` names.",
        of_another_form,
    )
    + loosely(BY_VALUE, routing.gate_weights)
    + in_their_form(BY_VALUE)
    + by_trace(
        "−∞ left: There is −∞ among your weights. −∞ is for logits, before a softmax; after it, what is cut becomes 0.",
        holds_minus_infinity,
    ),
)
