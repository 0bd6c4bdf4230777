"""Questions 7.2 and 7.3: the gradients of two forms of the gate."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import at_least_the_kth, dot, selected_mask, through_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_07.q1_jacobian import spread
from moe_lessons.checks.values import agree, is_floats, without_dust
from moe_lessons.checks.verdicts import Mistake, by_formula, by_test, by_value

Formula = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Any]  # of p, w (form A), a and the 0/1 mask s
Gradient = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # of logits h, usefulness a (..., N) and k


def gate_cases(rng: np.random.Generator) -> list[tuple]:
    """Return batches (h (T, N), a (T, N), k) with clear gaps: k = 2, 3, 1, and one token with a tie at the border."""
    tied = rng.permutation([1.2, 0.4, 0.4, 0.4, -0.7])  # (5,), one place for three of 0.4
    sizes = ((3, 4, 1.2, 2), (2, 6, 1.5, 3), (4, 5, 1.2, 1))
    batches = [(*(np.stack([spread(rng, N, w) for _ in range(T)]) for w in (wide, 2.0)), k) for T, N, wide, k in sizes]
    return [*batches, (tied[None], spread(rng, 5, 2.0)[None], 2)]


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


def wrongly_selected(form: Formula) -> tuple[Mistake, ...]:
    """Return the mistakes in which other experts are selected, for one form."""
    return by_value(
        "more than k: Where logits tie, more than k experts count as selected. You compare with the k-th largest value, and several experts have it. Select k indices.",
        with_parts(form, lambda h, a, k: np.isfinite(at_least_the_kth(h, k))),
        "last of the tied: Right but for ties: of equal logits you select the later ones. That comes from sorting upwards and reading from the end. The lower index comes first.",
        with_parts(form, lambda h, a, k: selected_mask(h[..., ::-1], k)[..., ::-1]),
        "k is 2: You take two experts whatever k is.",
        with_parts(form, lambda h, a, k: selected_mask(h, 2)),
        "selected by a: You selected the experts with the largest a. The router knows only the logits: those decide.",
        with_parts(form, lambda h, a, k: selected_mask(a, k)),
        "selected by small a: You selected the experts with the smallest a, the most useful ones. The router knows only the logits: those decide.",
        with_parts(form, lambda h, a, k: selected_mask(-a, k)),
    )


def astray_at_the_tie(form: Formula) -> tuple[Mistake, ...]:
    """Return the mistakes that are seen at a tie alone, for one form."""
    return by_test(
        "another of the tied: Right but for ties: of equal logits another expert counts as selected. The lower index comes first; `torch.topk` and a plain `argsort` do not promise that.",
        lambda value, h, a, k: is_of_some_selection(form, value, h, a, k),
        "difference across the tie: Right wherever the logits are apart. At a tie a small step of one logit changes who is selected, and the loss jumps: your quotient measures the jump. Select once, before the step.",
        lambda value, h, a, k: is_jump(value, a) if is_tied(h) else agree(value, with_parts(form)(h, a, k)),
    )


def is_of_some_selection(form: Formula, value: Any, h: np.ndarray, a: np.ndarray, k: int) -> bool:
    """Tell whether each token has the gradient of some selection of k largest logits. value, h, a (T, N)."""
    if not is_floats(value, h.shape):
        return False
    return all(
        any(agree(v, slope(form, h_t, a_t, mask)) for mask in other_selections(h_t, k))
        for v, h_t, a_t in zip(value, h, a, strict=True)  # (N,) each
    )


def other_selections(h: np.ndarray, k: int) -> Iterator[np.ndarray]:
    """Yield every selection (N,) of k largest logits: where there are ties, there are several."""
    for chosen in combinations(range(h.size), k):
        mask = np.isin(np.arange(h.size), chosen)  # (N,)
        if h[mask].min() >= h[~mask].max():
            yield mask


def is_tied(h: np.ndarray) -> bool:
    """Tell whether a token has equal logits. h (T, N)."""
    return bool((np.diff(np.sort(h)) == 0).any())


def is_jump(value: Any, a: np.ndarray) -> bool:
    """Tell whether an entry is far beyond what any slope can be: the quotient of a jump and a small step."""
    return is_floats(value, a.shape) and bool(np.isfinite(value).all() and np.abs(value).max() > 10 * np.abs(a).max())


def of_the_selected(gradient: Gradient) -> tuple[Gradient, ...]:
    """Return the functions that give the entries of the selected alone (T, k): best first, and in order."""
    return (
        lambda h, a, k: np.take_along_axis(gradient(h, a, k), routing.top_k(h, k)[1], -1),
        lambda h, a, k: gradient(h, a, k)[selected_mask(h, k)].reshape(-1, k),
    )


def without_noise(value: Any, h: np.ndarray, a: np.ndarray, k: int) -> Any:
    """Return `value` with 0 where it is tiny beside the largest entry of a: what autograd leaves where 0 is due."""
    return without_dust(value, 1e-6 * np.abs(a).max())


OVER_THE_BATCH = "sum over the batch: Your sum Σ wᵢaᵢ runs over all tokens of the batch. Each token has its own: `axis=-1, keepdims=True`."
DESCENT = (
    "sign turned: Every sign is turned round. This is the direction of a descent step; the gradient is its opposite."
)
FOR_THE_WEIGHTS = "for the weights: This is ∂L/∂w, the gradient with respect to the *weights*. The softmax lies between the weights and the logits: its Jacobian is missing."
WHEN_RAISED = "`logits` and `a` have the shape (T, N), `k` is one number. A sum over the experts with `axis=-1, keepdims=True` has the shape (T, 1), which fits the rows. A mask of (T, N) booleans (or `np.where`) keeps everything at (T, N)."

FORM_A = FunctionQuestion(
    **about("7.2", "Form A: who hears of the loss", "write it", "medium", points=2, minutes=9),
    hints=(
        "The weights of the selected experts are a softmax of their own, so you know their Jacobian: ∂wᵢ/∂hⱼ = wᵢ(δᵢⱼ − wⱼ) for i and j selected. Multiply by aᵢ and add up over i.",
        "With `w = gate_weights(logits, k)` the unselected have w = 0. What comes out for j is wⱼ(aⱼ − Σᵢ wᵢaᵢ), with a sum for each token: `axis=-1, keepdims=True`.",
    ),
    idea="Each selected expert is compared with the weighted mean of the selected; unselected experts take no part, and their logits get exactly 0. With k = 1 there is nobody to be compared with: 0 everywhere.",
    answer="my_gradient_a",
    stands_for=("figures.gradients.logit_gradient",),
    parameters=("logits", "a", "k"),
    when_raised=WHEN_RAISED,
    cases=gate_cases,
    reference=gradient_a,
    read=without_noise,
    mistakes=by_formula(
        with_parts,
        "dense: This is the gradient of a layer that runs every expert. Here the unselected experts have no weight, and their logits get 0.",
        dense,
        "form B: This is form B's gradient (question 7.3): there the softmax over all N comes first. In form A an unselected logit is replaced by −∞ before the softmax, so nothing reaches it.",
        form_b,
        "form B, cut: You used the probabilities p over all N, and cut afterwards. In form A the weights w are a softmax over the selected alone: use them both in front and in the mean.",
        lambda p, w, a, s: s * form_b(p, w, a, s),
        "dense, cut: You took the gradient of a layer that runs every expert, and set the unselected to 0. In form A the weights w are a softmax over the selected alone: use them both in front and in the mean.",
        lambda p, w, a, s: s * dense(p, w, a, s),
        "nothing subtracted: This is wⱼaⱼ. When one weight rises the others fall, for they sum to 1: the mean Σ wᵢaᵢ has to be subtracted from aⱼ.",
        lambda p, w, a, s: w * a,
        "diagonal only: This is wⱼ(1 − wⱼ)aⱼ: each logit moves its own weight only. It also takes from the other selected weights: use the whole Jacobian.",
        lambda p, w, a, s: w * (1 - w) * a,
        "plain mean: You subtracted the plain mean of the selected a. The Jacobian asks for the weighted mean, Σ wᵢaᵢ.",
        lambda p, w, a, s: w * (a - dot(s, a) / dot(s, s)),
        "plain mean over all: You subtracted the plain mean of all N a. The Jacobian asks for the weighted mean of the selected, Σ wᵢaᵢ.",
        lambda p, w, a, s: w * (a - a.mean(axis=-1, keepdims=True)),
        "mean with probabilities: In the mean you used the probabilities p, which do not sum to 1 over the selected. It is Σ wᵢaᵢ with the weights of form A.",
        lambda p, w, a, s: w * (a - dot(p, s * a)),
        "mean over all: The mean runs over all N experts here. The unselected have weight 0 in form A: they do not enter it.",
        lambda p, w, a, s: w * (a - dot(p, a)),
        "probability in front: The bracket is right, but in front stands p instead of the weight w of form A.",
        lambda p, w, a, s: s * p * (a - dot(w, a)),
        "probability in front of all: The bracket is right for the selected, but in front stands p instead of the weight w of form A. w is 0 for the unselected, so theirs becomes 0 too.",
        lambda p, w, a, s: p * (a - dot(w, a)),
        "probability in front, masked a: In front stands p instead of the weight w of form A. w is 0 for the unselected, so theirs becomes 0.",
        lambda p, w, a, s: p * (s * a - dot(w, a)),
        "no weight in front: The bracket is right. The weight wⱼ in front of it is missing.",
        lambda p, w, a, s: s * (a - dot(w, a)),
        "mean given to the unselected: The selected are right. But you give the unselected −pⱼ Σ wᵢaᵢ; their weight is 0, and no small step of their logit changes it.",
        lambda p, w, a, s: np.where(s > 0, w, p) * (s * a - dot(w, a)),
        DESCENT,
        lambda *parts: -form_a(*parts),
        FOR_THE_WEIGHTS,
        (lambda p, w, a, s: s * a, lambda p, w, a, s: a),
        OVER_THE_BATCH,
        lambda p, w, a, s: w * (s * a - (w * a).sum()),
    )
    + by_value(
        "masked with 0: Your cut logits are 0, and e⁰ = 1: the unselected experts keep weight and enter the mean. Mask with −∞.",
        zero_for_the_cut,
        "masked with 0 throughout: Your cut logits are 0, and e⁰ = 1: the unselected experts keep weight, and get a gradient. Mask with −∞.",
        zero_throughout,
        "only the selected: The numbers are right, but there are only k for each token. Return one for each of its N logits, 0 for the unselected.",
        of_the_selected(gradient_a),
        "weights from a: Your weights are those of the usefulness a. The gate sees only the logits: `gate_weights(logits, k)`.",
        lambda h, a, k: gradient_a(a, a, k),
    )
    + wrongly_selected(form_a)
    + astray_at_the_tie(form_a),
)

FORM_B = FunctionQuestion(
    **about("7.3", "Form B: a push without knowledge", "write it", "medium", points=2, minutes=6),
    hints=(
        "The weights are wᵢ = pᵢ for i selected. Every pᵢ depends on *every* logit: ∂pᵢ/∂hⱼ = pᵢ(δᵢⱼ − pⱼ), also for j not selected.",
        "Add up aᵢ pᵢ(δᵢⱼ − pⱼ) over the selected i only. The part with δ is there only if j is selected, the rest always: −pⱼ Σ pᵢaᵢ.",
    ),
    idea="The softmax over all N ties every logit to the kept weights, so unselected logits are pushed too; but the push, −pⱼ Σ pᵢaᵢ, says nothing about what expert j would have done.",
    answer="my_gradient_b",
    stands_for=("figures.gradients.logit_gradient",),
    parameters=("logits", "a", "k"),
    when_raised=WHEN_RAISED,
    cases=gate_cases,
    reference=gradient_b,
    read=without_noise,
    mistakes=by_formula(
        with_parts,
        "zero for the unselected: The selected are right, the unselected are 0 here. But in form B a rising hⱼ takes probability from the selected experts, even if expert j does not run: −pⱼ Σ pᵢaᵢ.",
        lambda p, w, a, s: s * form_b(p, w, a, s),
        "form A: This is form A's gradient (question 7.2). In form B the softmax runs over all N logits, and what is kept does not sum to 1.",
        form_a,
        "dense: This is the gradient of a layer that runs every expert. Only the selected aᵢ may enter: the other experts were never computed.",
        dense,
        "own a for the unselected: You give an unselected expert its own aⱼ. Its output was not computed, and its weight stays 0: only −pⱼ Σ pᵢaᵢ is left.",
        lambda p, w, a, s: p * (a - dot(p, s * a)),
        "mean over all: Your sum Σ pᵢaᵢ runs over all N experts. Only the selected ones are in the output.",
        lambda p, w, a, s: p * (s * a - dot(p, a)),
        "renormalised mean: In the sum you used weights that add up to 1. Form B keeps the probabilities as they are: Σ pᵢaᵢ over the selected.",
        lambda p, w, a, s: p * (s * a - dot(w, a)),
        "mean added: The sum Σ pᵢaᵢ is added. When hⱼ rises, the other probabilities fall: it is subtracted.",
        lambda p, w, a, s: p * (s * a + dot(p, s * a)),
        "renormalised mean added: You added a mean with weights that sum to 1. Form B keeps the probabilities as they are, and their sum Σ pᵢaᵢ is subtracted.",
        lambda p, w, a, s: p * (s * a + dot(w, a)),
        "renormalised mean, cut: In the sum you used weights that add up to 1, and the unselected get 0. Form B keeps the probabilities as they are, and the unselected get −pⱼ Σ pᵢaᵢ.",
        lambda p, w, a, s: s * p * (a - dot(w, a)),
        "no probability for the unselected: You subtracted Σ pᵢaᵢ without the factor pⱼ: each logit takes in proportion to its own probability.",
        lambda p, w, a, s: s * p * a - dot(p, s * a),
        "no probability in front: The bracket is right. The probability pⱼ in front of it is missing.",
        lambda p, w, a, s: s * a - dot(p, s * a),
        "sign of the unselected: The selected are right; for the unselected the sign is wrong. When hⱼ rises, the kept probabilities *fall*.",
        lambda p, w, a, s: (2 * s - 1) * p * (s * a - dot(p, s * a)),
        "nothing subtracted: This is pⱼaⱼ for the selected. When hⱼ rises, all other probabilities fall: −pⱼ Σ pᵢaᵢ is missing, and it reaches the unselected too.",
        lambda p, w, a, s: s * p * a,
        "diagonal only: This is pⱼ(1 − pⱼ)aⱼ: each logit moves its own weight only. It also moves the other weights: use the whole Jacobian.",
        lambda p, w, a, s: s * p * (1 - p) * a,
        DESCENT,
        lambda *parts: -form_b(*parts),
        FOR_THE_WEIGHTS,
        (lambda p, w, a, s: s * a, lambda p, w, a, s: a),
        OVER_THE_BATCH,
        lambda p, w, a, s: p * (s * a - (p * s * a).sum()),
    )
    + by_value(
        "only the selected: Only k numbers for each token, those of the selected. In form B the unselected logits get a gradient too: return all N.",
        of_the_selected(gradient_b),
    )
    + wrongly_selected(form_b)
    + astray_at_the_tie(form_b),
)
