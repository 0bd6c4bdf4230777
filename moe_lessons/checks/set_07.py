"""Questions of exercise set 07: gradients through a router."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import (
    AnswerRaised,
    Data,
    FunctionQuestion,
    Mistake,
    Question,
    Reply,
    VariableQuestion,
    Verdict,
    difference,
    unpack,
)
from moe_lessons.checks.values import agree, describe, plain, show, stacked

# --- the gradients themselves, of one token -----------------------------------------------------------------------


def selected_mask(h: np.ndarray, k: int) -> np.ndarray:
    """Mark the k largest of h (N,), of equal ones the first. Returns booleans (N,)."""
    mask = np.zeros(h.shape, dtype=bool)  # (N,)
    mask[routing.top_k(h, k)[1]] = True
    return mask


def kept_weights(h: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the softmax over the marked logits, 0 elsewhere. (N,)."""
    return routing.softmax(np.where(mask, h, -np.inf))


def slope_a(h: np.ndarray, a: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return ∂L/∂h of form A for a given selection. h, a, mask (N,). Returns (N,)."""
    w = kept_weights(h, mask)  # (N,)
    return w * (a - w @ a) + 0.0  # −0 would read badly


def slope_b(h: np.ndarray, a: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return ∂L/∂h of form B for a given selection. h, a, mask (N,). Returns (N,)."""
    p, kept = routing.softmax(h), mask * a  # (N,) each
    return p * (kept - p @ kept)


def slope_dense(h: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return ∂L/∂h when every expert runs. h, a (N,). Returns (N,)."""
    return slope_a(h, a, np.ones(h.shape, dtype=bool))


def gradient_a(h: np.ndarray, a: np.ndarray, k: int) -> np.ndarray:
    """Return ∂L/∂h of form A, topk_softmax. (N,)."""
    return slope_a(h, a, selected_mask(h, k))


def gradient_b(h: np.ndarray, a: np.ndarray, k: int) -> np.ndarray:
    """Return ∂L/∂h of form B, softmax_topk. (N,)."""
    return slope_b(h, a, selected_mask(h, k))


def masked_with_zero(h: np.ndarray, a: np.ndarray, k: int) -> np.ndarray:
    """Return ∂L/∂h when the cut logits are set to 0, a constant, in place of −∞. (N,)."""
    mask = selected_mask(h, k)  # (N,)
    return np.where(mask, slope_dense(np.where(mask, h, 0), a), 0)


def spread(rng: np.random.Generator, N: int, wide: float) -> np.ndarray:
    """Return N numbers (N,) from −wide to wide with clear gaps, in random order."""
    jitter = 0.2 * wide / N * rng.uniform(-1, 1, size=N)  # (N,)
    return rng.permutation((np.linspace(-wide, wide, N) + jitter).round(2))


# --- 7.1 softmax Jacobian -----------------------------------------------------------------------------------------


def jacobian_cases(rng: np.random.Generator) -> list[tuple]:
    """Logits of two experts, of five, and of four far from 0."""
    return [(spread(rng, 2, 0.8),), (spread(rng, 5, 1.5),), (spread(rng, 4, 1.2) + 3,)]


def jacobian(h: np.ndarray) -> np.ndarray:
    """Return ∂p_i/∂h_j. h (N,). Returns (N, N)."""
    p = routing.softmax(h)  # (N,)
    return np.diag(p) - np.outer(p, p)


def of_softmax(wrong: Callable) -> Callable:
    """Return the function of h that is `wrong` of p = softmax(h)."""
    return lambda h: wrong(routing.softmax(h))


@dataclass(frozen=True, kw_only=True)
class JacobianQuestion(FunctionQuestion):
    """Recognises, beside its mistakes, the gradient of a sum of probabilities: rounding noise around 0."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare; where no known mistake fits, look for N numbers that are 0 but for rounding."""
        verdict = super().judge(data, reply)
        values = [stacked(value) for value in reply["values"]]
        pairs = zip(values, data["cases"], strict=True)
        if verdict.correct or verdict.mistake or not all(is_noise(value, case[0].shape) for value, case in pairs):
            return verdict
        why = "Zeros, one for each logit: is that the gradient of the *sum* of the probabilities? The sum is always 1, so no logit moves it. Take each probability by itself: N of them, N derivatives each."
        return Verdict(False, f"{why}\n{verdict.message}", "gradient of the sum")


def is_noise(value: Any, shape: tuple) -> bool:
    """Tell whether `value` is an array of this shape with nothing in it but rounding errors around 0."""
    is_numbers = isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.shape == shape
    return is_numbers and bool((np.abs(value) < 1e-6).all())


JACOBIAN = JacobianQuestion(
    id="7.1",
    title="The Jacobian of the softmax",
    kind="write it",
    points=1,
    minutes=5,
    difficulty="easy",
    hints=(
        "Begin with two logits. When h₁ rises, p₁ rises by p₁(1 − p₁), and p₂ falls by the same amount, p₁p₂.",
        "Entry [i, j] is pᵢ(δᵢⱼ − pⱼ), where δᵢⱼ is 1 on the diagonal and 0 elsewhere. `np.diag(p)` is the first term, `np.outer(p, p)` the second.",
    ),
    idea="Raising one logit raises its own probability and takes from all others, in proportion to what they have: the matrix is diag(p) − p pᵀ, and each of its rows and columns sums to 0.",
    answer="my_jacobian",
    parameters=("logits",),
    cases=jacobian_cases,
    reference=jacobian,
    mistakes=(
        Mistake("diagonal only", "The diagonal is right, the rest is 0. But each probability moves with *every* logit: they share one sum.",
                of_softmax(lambda p: np.diag(p * (1 - p)))),
        Mistake("diagonal as a vector", "This is p(1 − p), the diagonal of the matrix. Each probability also moves with the other logits: N × N numbers.",
                of_softmax(lambda p: p * (1 - p))),
        Mistake("added", "The second term has the wrong sign: when another logit rises, your probability falls. Each row must sum to 0.",
                of_softmax(lambda p: np.diag(p) + np.outer(p, p))),
        Mistake("positive off the diagonal", "The diagonal is right, but off it the sign is wrong: when another logit rises, your probability falls. Each row must sum to 0.",
                of_softmax(lambda p: np.outer(p, p) + np.diag(p * (1 - 2 * p)))),
        Mistake("no diagonal term", "Off the diagonal this is right. On it, pᵢ is missing: a probability rises with its own logit.",
                of_softmax(lambda p: -np.outer(p, p))),
        Mistake("outer product alone", "This is the outer product of p with itself. The entries are pᵢ(δᵢⱼ − pⱼ): it enters with a minus, and the diagonal has a term of its own.",
                of_softmax(lambda p: np.outer(p, p))),
        Mistake("sign turned", "Every sign is turned round: a probability rises with its own logit, so the diagonal is positive.",
                of_softmax(lambda p: np.outer(p, p) - np.diag(p))),
        Mistake("outer product with 1 − p", "This is p times 1 − p, for every pair. The diagonal is right. Off it stands pᵢ(1 − pⱼ), and it should be −pᵢpⱼ: δᵢⱼ is 0 there.",
                of_softmax(lambda p: np.outer(p, 1 - p))),
        Mistake("one factor off the diagonal", "The diagonal is right. Off it a factor is missing: −pᵢpⱼ, with both probabilities. Each row and each column must sum to 0.",
                of_softmax(lambda p: np.where(np.eye(p.size) > 0, p * (1 - p), -p[:, None]))),
        Mistake("one factor off the diagonal", "The diagonal is right. Off it a factor is missing: −pᵢpⱼ, with both probabilities. Each row and each column must sum to 0.",
                of_softmax(lambda p: np.where(np.eye(p.size) > 0, p * (1 - p), -p))),
        Mistake("not an outer product", "`p * p` squares each probability, and numpy then repeats that row N times. The second term needs every product pᵢ·pⱼ: `np.outer(p, p)`.",
                of_softmax(lambda p: np.diag(p) - p * p)),
        Mistake("of the logarithm", "These are the derivatives of log p, δᵢⱼ − pⱼ. Those of p itself have a factor pᵢ more.",
                of_softmax(lambda p: np.eye(p.size) - p)),
        Mistake("of the logarithm, turned", "These are the derivatives of log p, with rows and columns exchanged. Those of p itself have a factor p more.",
                of_softmax(lambda p: np.eye(p.size) - p[:, None])),
        Mistake("no softmax", "You put the logits where the probabilities belong. Take the softmax first.",
                lambda h: np.diag(h) - np.outer(h, h)),
    ),
)  # fmt: skip


# --- 7.2 and 7.3 the gradient of two gate forms -------------------------------------------------------------------


def gate_cases(rng: np.random.Generator) -> list[tuple]:
    """Return batches (h (T, N), a (T, N), k) with clear gaps: k = 2, 3, 1, and one token with a tie at the border."""
    tied = rng.permutation([1.2, 0.4, 0.4, 0.4, -0.7])  # (5,), one place for three of 0.4
    sizes = ((3, 4, 1.2, 2), (2, 6, 1.5, 3), (4, 5, 1.2, 1))
    batches = [(*(np.stack([spread(rng, N, w) for _ in range(T)]) for w in (wide, 2.0)), k) for T, N, wide, k in sizes]
    return [*batches, (tied[None], spread(rng, 5, 2.0)[None], 2)]


def by_token(gradient: Callable) -> Callable:
    """Return the function of a batch (h (T, N), a (T, N), k) that calls `gradient` of one token for each. (T, ...)."""
    return lambda h, a, k: np.stack([gradient(*rows, k) for rows in zip(h, a, strict=True)])


def in_batches(*mistakes: Mistake) -> tuple[Mistake, ...]:
    """Return mistakes about one token as mistakes about a batch."""
    return tuple(replace(mistake, wrong=by_token(mistake.wrong)) for mistake in mistakes)


def without_noise(value: Any, a: np.ndarray) -> Any:
    """Return `value` with 0 where it is tiny beside the largest entry of a: what autograd leaves where 0 is due."""
    value = stacked(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return value
    return np.where(np.abs(value) < 1e-6 * np.abs(a).max(), 0.0, value)


@dataclass(frozen=True, kw_only=True)
class GateQuestion(FunctionQuestion):
    """The gradient of a gate for a batch; `slope(h, a, mask)` gives it for one token and any selection."""

    slope: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare; where no known mistake fits, see whether only the token with a tie came out otherwise."""
        cases = data["cases"]
        values = [without_noise(value, case[1]) for value, case in zip(reply["values"], cases, strict=True)]
        verdict = super().judge(data, {**reply, "values": values})
        pairs = list(zip(values, cases, strict=True))
        if verdict.correct or verdict.mistake or not all(agree(v, self.reference(*c)) for v, c in pairs[:-1]):
            return verdict
        value, case = pairs[-1]
        h, a = case[0][0], case[1][0]  # (N,) each: the batch with the tie is one token
        if any(agree(value, self.slope(h, a, mask)[None]) for mask in other_selections(h, case[2])):
            why, name = "Right but for ties: of equal logits another expert counts as selected. The lower index comes first; `torch.topk` and a plain `argsort` do not promise that.", "another of the tied"  # fmt: skip
        elif is_jump(value, case[1]):
            why, name = "Right wherever the logits are apart. At a tie a small step of one logit changes who is selected, and the loss jumps: your quotient measures the jump. Select once, before the step.", "difference across the tie"  # fmt: skip
        else:
            return verdict
        return Verdict(False, f"{why}\n{verdict.message}", name)

    def _matches(self, mistake: Mistake, cases: list[tuple], got: list) -> bool:
        wrong = [without_noise(mistake.wrong(*case), case[1]) for case in cases]
        return all(map(agree, got, wrong))


def other_selections(h: np.ndarray, k: int) -> Iterator[np.ndarray]:
    """Yield every selection (N,) of k largest logits: where there are ties, there are several."""
    for chosen in combinations(range(h.size), k):
        mask = np.isin(np.arange(h.size), chosen)  # (N,)
        if h[mask].min() >= h[~mask].max():
            yield mask


def is_jump(value: Any, a: np.ndarray) -> bool:
    """Tell whether an entry is far beyond what any slope can be: the quotient of a jump and a small step."""
    is_numbers = isinstance(value, np.ndarray) and value.shape == a.shape and value.dtype.kind == "f"
    return is_numbers and bool(np.isfinite(value).all() and np.abs(value).max() > 10 * np.abs(a).max())


def above_the_kth(h: np.ndarray, k: int) -> np.ndarray:
    """Mark whatever is not below the k-th largest: too many where there are ties. (N,)."""
    return h >= np.sort(h)[-k]


def last_of_the_tied(h: np.ndarray, k: int) -> np.ndarray:
    """Mark the k largest, but of equal ones the last. (N,)."""
    return selected_mask(h[::-1], k)[::-1]


def best_first(h: np.ndarray, g: np.ndarray, k: int) -> np.ndarray:
    """Return the entries of g (N,) that belong to the k selected, best first. (k,)."""
    return g[routing.top_k(h, k)[1]]


def with_parts(formula: Callable) -> Callable:
    """Return the function of (h, a, k) that is `formula` of p, w (form A), a and the 0/1 mask s, all (N,)."""

    def wrong(h: np.ndarray, a: np.ndarray, k: int) -> np.ndarray:
        mask = selected_mask(h, k)  # (N,)
        return formula(routing.softmax(h), kept_weights(h, mask), a, mask.astype(float))

    return wrong


def with_one_sum(h: np.ndarray, a: np.ndarray, k: int, form: str) -> np.ndarray:
    """Return the gradient of a form with Σ w_i a_i taken over the whole batch. h, a (T, N). Returns (T, N)."""
    w = routing.gate_weights(h, k, form)  # (T, N)
    front = w if form == "topk_softmax" else routing.softmax(h)  # (T, N)
    return front * ((w > 0) * a - (w * a).sum())


OVER_THE_BATCH = "Your sum Σ wᵢaᵢ runs over all tokens of the batch. Each token has its own: `axis=-1, keepdims=True`."
DIFFERENT_K = "You take two experts whatever k is."
TOO_MANY = "Where logits tie, more than k experts count as selected. You compare with the k-th largest value, and several experts have it. Select k indices."
LATER_TIE = "Right but for ties: of equal logits you select the later ones. That comes from sorting upwards and reading from the end. The lower index comes first."
DESCENT = "Every sign is turned round. This is the direction of a descent step; the gradient is its opposite."
ONLY_SELECTED = "The numbers are right, but there are only k for each token. Return one for each of its N logits, 0 for the unselected."
FOR_THE_WEIGHTS = "This is ∂L/∂w, the gradient with respect to the *weights*. The softmax lies between the weights and the logits: its Jacobian is missing."
WHEN_RAISED = "`logits` and `a` have the shape (T, N), `k` is one number. A sum over the experts with `axis=-1, keepdims=True` has the shape (T, 1), which fits the rows. A mask of (T, N) booleans (or `np.where`) keeps everything at (T, N)."

FORM_A = GateQuestion(
    id="7.2",
    title="Form A: who hears of the loss",
    kind="write it",
    points=2,
    minutes=9,
    difficulty="medium",
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
    reference=by_token(gradient_a),
    slope=slope_a,
    mistakes=(
        *in_batches(
        Mistake("dense", "This is the gradient of a layer that runs every expert. Here the unselected experts have no weight, and their logits get 0.",
                with_parts(lambda p, w, a, s: p * (a - p @ a))),
        Mistake("form B", "This is form B's gradient (question 7.3): there the softmax over all N comes first. In form A an unselected logit is replaced by −∞ before the softmax, so nothing reaches it.",
                gradient_b),
        Mistake("form B, cut", "You used the probabilities p over all N, and cut afterwards. In form A the weights w are a softmax over the selected alone: use them both in front and in the mean.",
                with_parts(lambda p, w, a, s: s * p * (a - p @ (s * a)))),
        Mistake("dense, cut", "You took the gradient of a layer that runs every expert, and set the unselected to 0. In form A the weights w are a softmax over the selected alone: use them both in front and in the mean.",
                with_parts(lambda p, w, a, s: s * p * (a - p @ a))),
        Mistake("nothing subtracted", "This is wⱼaⱼ. When one weight rises the others fall, for they sum to 1: the mean Σ wᵢaᵢ has to be subtracted from aⱼ.",
                with_parts(lambda p, w, a, s: w * a)),
        Mistake("diagonal only", "This is wⱼ(1 − wⱼ)aⱼ: each logit moves its own weight only. It also takes from the other selected weights: use the whole Jacobian.",
                with_parts(lambda p, w, a, s: w * (1 - w) * a)),
        Mistake("plain mean", "You subtracted the plain mean of the selected a. The Jacobian asks for the weighted mean, Σ wᵢaᵢ.",
                with_parts(lambda p, w, a, s: w * (a - s @ a / s.sum()))),
        Mistake("plain mean over all", "You subtracted the plain mean of all N a. The Jacobian asks for the weighted mean of the selected, Σ wᵢaᵢ.",
                with_parts(lambda p, w, a, s: w * (a - a.mean()))),
        Mistake("mean with probabilities", "In the mean you used the probabilities p, which do not sum to 1 over the selected. It is Σ wᵢaᵢ with the weights of form A.",
                with_parts(lambda p, w, a, s: w * (a - p @ (s * a)))),
        Mistake("mean over all", "The mean runs over all N experts here. The unselected have weight 0 in form A: they do not enter it.",
                with_parts(lambda p, w, a, s: w * (a - p @ a))),
        Mistake("probability in front", "The bracket is right, but in front stands p instead of the weight w of form A.",
                with_parts(lambda p, w, a, s: s * p * (a - w @ a))),
        Mistake("probability in front of all", "The bracket is right for the selected, but in front stands p instead of the weight w of form A. w is 0 for the unselected, so theirs becomes 0 too.",
                with_parts(lambda p, w, a, s: p * (a - w @ a))),
        Mistake("probability in front, masked a", "In front stands p instead of the weight w of form A. w is 0 for the unselected, so theirs becomes 0.",
                with_parts(lambda p, w, a, s: p * (s * a - w @ a))),
        Mistake("no weight in front", "The bracket is right. The weight wⱼ in front of it is missing.",
                with_parts(lambda p, w, a, s: s * (a - w @ a))),
        Mistake("mean given to the unselected", "The selected are right. But you give the unselected −pⱼ Σ wᵢaᵢ; their weight is 0, and no small step of their logit changes it.",
                with_parts(lambda p, w, a, s: np.where(s > 0, w, p) * (s * a - w @ a))),
        Mistake("sign turned", DESCENT, lambda h, a, k: -gradient_a(h, a, k)),
        Mistake("for the weights", FOR_THE_WEIGHTS, with_parts(lambda p, w, a, s: s * a)),
        Mistake("for the weights", FOR_THE_WEIGHTS, lambda h, a, k: a),
        Mistake("masked with 0", "Your cut logits are 0, and e⁰ = 1: the unselected experts keep weight and enter the mean. Mask with −∞.", masked_with_zero),
        Mistake("masked with 0 throughout", "Your cut logits are 0, and e⁰ = 1: the unselected experts keep weight, and get a gradient. Mask with −∞.",
                lambda h, a, k: slope_dense(np.where(selected_mask(h, k), h, 0), a)),
        Mistake("more than k", TOO_MANY, lambda h, a, k: slope_a(h, a, above_the_kth(h, k))),
        Mistake("last of the tied", LATER_TIE, lambda h, a, k: slope_a(h, a, last_of_the_tied(h, k))),
        Mistake("k is 2", DIFFERENT_K, lambda h, a, k: gradient_a(h, a, 2)),
        Mistake("only the selected", ONLY_SELECTED, lambda h, a, k: best_first(h, gradient_a(h, a, k), k)),
        Mistake("only the selected", ONLY_SELECTED, lambda h, a, k: gradient_a(h, a, k)[selected_mask(h, k)]),
        Mistake("selected by a", "You selected the experts with the largest a. The router knows only the logits: those decide.",
                lambda h, a, k: slope_a(h, a, selected_mask(a, k))),
        Mistake("selected by small a", "You selected the experts with the smallest a, the most useful ones. The router knows only the logits: those decide.",
                lambda h, a, k: slope_a(h, a, selected_mask(-a, k))),
        Mistake("weights from a", "Your weights are those of the usefulness a. The gate sees only the logits: `gate_weights(logits, k)`.",
                lambda h, a, k: slope_a(a, a, selected_mask(a, k))),
        ),
        Mistake("sum over the batch", OVER_THE_BATCH, lambda h, a, k: with_one_sum(h, a, k, "topk_softmax")),
    ),
)  # fmt: skip

FORM_B = GateQuestion(
    id="7.3",
    title="Form B: a push without knowledge",
    kind="write it",
    points=2,
    minutes=6,
    difficulty="medium",
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
    reference=by_token(gradient_b),
    slope=slope_b,
    mistakes=(
        *in_batches(
        Mistake("zero for the unselected", "The selected are right, the unselected are 0 here. But in form B a rising hⱼ takes probability from the selected experts, even if expert j does not run: −pⱼ Σ pᵢaᵢ.",
                with_parts(lambda p, w, a, s: s * p * (a - p @ (s * a)))),
        Mistake("form A", "This is form A's gradient (question 7.2). In form B the softmax runs over all N logits, and what is kept does not sum to 1.", gradient_a),
        Mistake("dense", "This is the gradient of a layer that runs every expert. Only the selected aᵢ may enter: the other experts were never computed.",
                with_parts(lambda p, w, a, s: p * (a - p @ a))),
        Mistake("own a for the unselected", "You give an unselected expert its own aⱼ. Its output was not computed, and its weight stays 0: only −pⱼ Σ pᵢaᵢ is left.",
                with_parts(lambda p, w, a, s: p * (a - p @ (s * a)))),
        Mistake("mean over all", "Your sum Σ pᵢaᵢ runs over all N experts. Only the selected ones are in the output.",
                with_parts(lambda p, w, a, s: p * (s * a - p @ a))),
        Mistake("renormalised mean", "In the sum you used weights that add up to 1. Form B keeps the probabilities as they are: Σ pᵢaᵢ over the selected.",
                with_parts(lambda p, w, a, s: p * (s * a - w @ a))),
        Mistake("mean added", "The sum Σ pᵢaᵢ is added. When hⱼ rises, the other probabilities fall: it is subtracted.",
                with_parts(lambda p, w, a, s: p * (s * a + p @ (s * a)))),
        Mistake("renormalised mean added", "You added a mean with weights that sum to 1. Form B keeps the probabilities as they are, and their sum Σ pᵢaᵢ is subtracted.",
                with_parts(lambda p, w, a, s: p * (s * a + w @ a))),
        Mistake("renormalised mean, cut", "In the sum you used weights that add up to 1, and the unselected get 0. Form B keeps the probabilities as they are, and the unselected get −pⱼ Σ pᵢaᵢ.",
                with_parts(lambda p, w, a, s: s * p * (a - w @ a))),
        Mistake("no probability for the unselected", "You subtracted Σ pᵢaᵢ without the factor pⱼ: each logit takes in proportion to its own probability.",
                with_parts(lambda p, w, a, s: s * p * a - p @ (s * a))),
        Mistake("no probability in front", "The bracket is right. The probability pⱼ in front of it is missing.",
                with_parts(lambda p, w, a, s: s * a - p @ (s * a))),
        Mistake("sign of the unselected", "The selected are right; for the unselected the sign is wrong. When hⱼ rises, the kept probabilities *fall*.",
                with_parts(lambda p, w, a, s: (2 * s - 1) * p * (s * a - p @ (s * a)))),
        Mistake("nothing subtracted", "This is pⱼaⱼ for the selected. When hⱼ rises, all other probabilities fall: −pⱼ Σ pᵢaᵢ is missing, and it reaches the unselected too.",
                with_parts(lambda p, w, a, s: s * p * a)),
        Mistake("diagonal only", "This is pⱼ(1 − pⱼ)aⱼ: each logit moves its own weight only. It also moves the other weights: use the whole Jacobian.",
                with_parts(lambda p, w, a, s: s * p * (1 - p) * a)),
        Mistake("sign turned", DESCENT, lambda h, a, k: -gradient_b(h, a, k)),
        Mistake("for the weights", FOR_THE_WEIGHTS, with_parts(lambda p, w, a, s: s * a)),
        Mistake("for the weights", FOR_THE_WEIGHTS, lambda h, a, k: a),
        Mistake("more than k", TOO_MANY, lambda h, a, k: slope_b(h, a, above_the_kth(h, k))),
        Mistake("last of the tied", LATER_TIE, lambda h, a, k: slope_b(h, a, last_of_the_tied(h, k))),
        Mistake("k is 2", DIFFERENT_K, lambda h, a, k: gradient_b(h, a, 2)),
        Mistake("only the selected", "Only k numbers for each token, those of the selected. In form B the unselected logits get a gradient too: return all N.",
                lambda h, a, k: best_first(h, gradient_b(h, a, k), k)),
        Mistake("only the selected", "Only k numbers for each token, those of the selected. In form B the unselected logits get a gradient too: return all N.",
                lambda h, a, k: gradient_b(h, a, k)[selected_mask(h, k)]),
        Mistake("selected by a", "You selected the experts with the largest a. The router knows only the logits: those decide.",
                lambda h, a, k: slope_b(h, a, selected_mask(a, k))),
        Mistake("selected by small a", "You selected the experts with the smallest a, the most useful ones. The router knows only the logits: those decide.",
                lambda h, a, k: slope_b(h, a, selected_mask(-a, k))),
        ),
        Mistake("sum over the batch", OVER_THE_BATCH, lambda h, a, k: with_one_sum(h, a, k, "softmax_topk")),
    ),
)  # fmt: skip


# --- 7.4 three routers and their gradients ------------------------------------------------------------------------

# The token that question 7.4 gives: logits, and a_i = v·E_i(x).
GIVEN_LOGITS = np.array([0.9, -0.4, 0.3, -1.1, 0.6, -0.2])
GIVEN_A = np.array([-0.7, 0.8, 1.3, -1.2, 0.5, 0.3])
ORDERED_K = 2

BUILDS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "as ordered": lambda h, a: gradient_a(h, a, ORDERED_K),
    "k = 1": lambda h, a: gradient_a(h, a, 1),
    "k = 3": lambda h, a: gradient_a(h, a, 3),
    "form B": lambda h, a: gradient_b(h, a, ORDERED_K),
    "masked with 0": lambda h, a: masked_with_zero(h, a, ORDERED_K),
    "straight-through": slope_dense,
}
DELIVERED = {"router 1": "form B", "router 2": "masked with 0", "router 3": "straight-through"}


def delivered_gradients() -> dict[str, np.ndarray]:
    """Return what the three routers of question 7.4 give as ∂L/∂h for the given token: (N,) by name."""
    return {router: BUILDS[build](GIVEN_LOGITS, GIVEN_A) for router, build in DELIVERED.items()}


@dataclass(frozen=True, kw_only=True)
class DiagnosisQuestion(VariableQuestion):
    """For each router the name of what was built; what speaks against a wrong name is said in numbers."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the routers in order; explain the first wrong name."""
        value = reply["value"]
        if not isinstance(value, dict):
            return Verdict(False, f"Expected a dict with the keys {', '.join(DELIVERED)}; came {describe(value)}.")
        for router, right in DELIVERED.items():
            if router not in value:
                return Verdict(False, f"The key {router!r} is missing; yours are {', '.join(map(repr, value)) or '(none)'}.")  # fmt: skip
            named = build_named(value[router])
            if named is None:
                return Verdict(False, f"{router!r}: expected one of {', '.join(map(repr, BUILDS))}; came {show(value[router])}.")  # fmt: skip
            if named != right:
                why = against(named, delivered_gradients()[router])
                return Verdict(False, f"{router!r} is not {named!r}.\n{why}", f"{router}: {named}")
        return Verdict(True)


def build_named(text: Any) -> str | None:
    """Return the key of BUILDS that a learner wrote, whatever its spaces, hyphens and capitals; None otherwise."""
    if not isinstance(text, str):
        return None
    letters = {"".join(name.lower().replace("-", " ").split()): name for name in BUILDS}
    return letters.get("".join(text.lower().replace("-", " ").split()))


def against(build: str, g: np.ndarray) -> str:
    """Say what in the gradient g (N,) speaks against a build."""
    p, zeros = routing.softmax(GIVEN_LOGITS), int((g == 0).sum())
    if build in ("form B", "straight-through") and zeros:
        return f"There every logit gets a gradient, selected or not. This column holds {zeros} zeros."
    if build == "form B":
        return f"In form B an unselected logit gets −p times one number, the same for all of them. So column / p would be one number for the four that are not selected. It is {show(g / p)}."
    if build == "straight-through":
        return f"A dense gradient is p(a − one number). So column / p − a would be one number for all six. It is {show(g / p - GIVEN_A)}."
    if not zeros:
        return "There the cut logits never reach the output, so their gradient is exactly 0. This column holds no 0."
    if build == "k = 1":
        return "With one expert whose weight is always 1 every entry would be 0. Here two are not."
    if build == "k = 3":
        return "With three selected experts three entries would differ from 0. Here two do."
    return f"Two entries differ from 0, as they should. But in form A they sum to 0, because the two weights sum to 1: what one gains the other loses. These sum to {g.sum():.4f}."


DIAGNOSIS = DiagnosisQuestion(
    id="7.4",
    title="Three routers, not as ordered",
    kind="find the bug",
    points=2,
    minutes=8,
    difficulty="medium",
    hints=(
        "First look for zeros: which builds leave some logits without any gradient, which leave none? Then look at the sum of what is not 0.",
        "Your functions from 7.2 and 7.3 give the columns for form A and form B. Where no entry is 0, divide the column by p: in form B the unselected then agree with each other, in a dense gradient what is left is a minus one number.",
    ),
    idea="Zeros tell whether unselected logits are reached at all; the sum tells whether the weights that move are tied to a constant total; the column divided by p tells whose outputs have entered.",
    answer="my_diagnosis",
)


# --- 7.5 z-loss and its gradient ----------------------------------------------------------------------------------


def z_cases(rng: np.random.Generator) -> list[tuple]:
    """Return a small batch; one token; a larger batch off 0; tokens with logits around 10⁴ and around −10⁴."""
    near, one, shifted = (
        np.stack([spread(rng, N, 1.5) + rng.uniform(-0.5, 0.5) + offset for _ in range(T)]).round(2)
        for T, N, offset in ((3, 4, 0), (1, 5, 1), (5, 3, -2))
    )
    return [(near,), (one,), (shifted,), (near[:2] + np.array([[1e4], [-1e4]]),)]


def lse(h: np.ndarray) -> np.ndarray:
    """Return log Σ exp of each token. h (T, N). Returns (T,)."""
    return routing.log_sum_exp(h)


def z_loss_and_gradient(h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean squared log-sum-exp of h (T, N), and its gradient (T, N)."""
    z = lse(h)  # (T,)
    return np.array((z**2).mean()), 2 * z[:, None] * routing.softmax(h) / len(h)


@np.errstate(all="ignore")
def naive_z_loss(h: np.ndarray) -> np.ndarray:
    """Return the z-loss with exponentials that overflow: ∞ for large logits. A number."""
    return (np.log(np.exp(h).sum(axis=-1)) ** 2).mean()


@np.errstate(all="ignore")
def naive_softmax(h: np.ndarray) -> np.ndarray:
    """Return the softmax with exponentials that overflow: NaN for large logits. (T, N)."""
    e = np.exp(h)  # (T, N)
    return e / e.sum(axis=-1, keepdims=True)


def with_z(formula: Callable) -> Callable:
    """Return the function of h that is `formula` of z (T, 1), p (T, N) and T."""
    return lambda h: formula(lse(h)[:, None], routing.softmax(h), len(h))


@dataclass(frozen=True, kw_only=True)
class ZLossQuestion(FunctionQuestion):
    """Lets the answer overflow in silence: the verdict says what became of it. Recognises float32 by its rounding."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer on every case without numpy's warnings."""
        with np.errstate(all="ignore"):
            return super().probe(answer, data)

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare; where no known mistake fits, see whether the gradients are right but for rounding to 32 bits."""
        verdict = super().judge(data, reply)
        if verdict.correct or verdict.mistake:
            return verdict
        turned = [value[::-1] if isinstance(value, list) else value for value in reply["values"]]
        if super().judge(data, {**reply, "values": turned}).correct:
            why = "Both are right, but in the wrong order: return the loss first, then the gradient."
            return Verdict(False, f"{why}\n{verdict.message}", "turned round")
        pairs = zip(reply["values"], data["cases"], strict=True)
        if not all(is_rounded(unpack(value, self.parts), *self.reference(*case)) for value, case in pairs):
            return verdict
        why = "Right but for rounding: float32 stores numbers around 10000 in steps of 0.001, so the gaps between such logits are off. The logits come in float64; keep it."
        return Verdict(False, f"{why}\n{verdict.message}", "32 bits")


def is_rounded(parts: list | None, loss: np.ndarray, gradient: np.ndarray) -> bool:
    """Tell whether loss and gradient (T, N), in float32, are right to three digits."""
    values = [stacked(part) for part in parts or []]
    if not all(isinstance(value, np.ndarray) and value.dtype == np.float32 for value in values) or not values:
        return False
    pairs = list(zip(values, (loss, gradient), strict=True))
    alike = all(value.shape == right.shape for value, right in pairs)
    return alike and all(np.allclose(value, right, rtol=0, atol=2e-3 * np.abs(right).max()) for value, right in pairs)


Z_LOSS = ZLossQuestion(
    id="7.5",
    title="The z-loss and its gradient",
    kind="write it",
    points=3,
    minutes=8,
    difficulty="medium",
    hints=(
        "One number for each token, z = log Σ exp(h): `log_sum_exp` gives it without overflow. The loss is the mean of z² over the tokens.",
        "The derivative of z with respect to hⱼ is pⱼ, of z² it is 2z pⱼ. Then there is the 1/T of the mean. `z[:, None]` has the shape (T, 1), which fits the rows of p.",
    ),
    idea="The log-sum-exp has the softmax as its derivative, so every logit of a token is pushed the same way, in proportion to its probability: the loss moves the whole row towards log-sum-exp 0.",
    answer="my_z_loss",
    parameters=("logits",),
    stands_for=("losses.z_loss",),
    when_raised="If it is about shapes: z has the shape (T,), the logits (T, N). `z[:, None]` makes it (T, 1).",
    parts=("loss", "gradient"),
    cases=z_cases,
    reference=z_loss_and_gradient,
    mistakes=(
        Mistake("not squared", "This is the mean of the log-sum-exp. It has no smallest value: a router could lower it for ever by shifting all logits down. The loss is the mean of its *square*.",
                lambda h: lse(h).mean(), part="loss"),
        Mistake("sum over the tokens", "You added up over the tokens. The loss is the mean: it must not grow with the batch.",
                lambda h: (lse(h) ** 2).sum(), part="loss"),
        Mistake("one for each token", "These are the squares, one for each token. The loss is one number: their mean.",
                lambda h: lse(h) ** 2, part="loss"),
        Mistake("squared logits, summed", "This is the sum of h² over the experts, averaged over the tokens. The z-loss squares one number for each token, its log-sum-exp; it does not pull every logit to 0.",
                lambda h: (h**2).sum(axis=-1).mean(), part="loss"),
        Mistake("squared logits, averaged", "This is the mean of h². The z-loss squares one number for each token, its log-sum-exp; it does not pull every logit to 0.",
                lambda h: (h**2).mean(), part="loss"),
        Mistake("square of the mean", "You averaged first and squared afterwards: a token with +3 and one with −3 would cost nothing. Square each token's number, then average.",
                lambda h: lse(h).mean() ** 2, part="loss"),
        Mistake("largest logit", "You squared the largest logit of each token. The log-sum-exp lies above it, by up to ln N.",
                lambda h: (h.max(axis=-1) ** 2).mean(), part="loss"),
        Mistake("along the tokens", "Your log-sum-exp runs over the tokens (axis 0). It runs over the experts of one token: the last axis.",
                lambda h: (routing.log_sum_exp(h, axis=0) ** 2).mean(), part="loss"),
        Mistake("over the whole batch", "You took one log-sum-exp over the whole batch. Each token has its own.",
                lambda h: routing.log_sum_exp(h.ravel()) ** 2, part="loss"),
        Mistake("half", "This is half the loss. There is no ½ in the definition: the mean of the squares.",
                lambda h: (lse(h) ** 2).mean() / 2, part="loss"),
        Mistake("divided by T·N", "You divided by T·N. There is one log-sum-exp for each token, so the mean divides by T.",
                lambda h: (lse(h) ** 2).mean() / h.shape[-1], part="loss"),
        Mistake("log of the mean", "This is the log of the *mean* of the exponentials, ln N too low. The z-loss takes the log of their sum.",
                lambda h: ((lse(h) - np.log(h.shape[-1])) ** 2).mean(), part="loss"),
        Mistake("of the probabilities", "You took the softmax first. The log-sum-exp of the probabilities forgets the very shift that the z-loss is about. Use the logits.",
                lambda h: (lse(routing.softmax(h)) ** 2).mean(), part="loss"),
        Mistake("base 2", "Your logarithm has base 2. The z-loss uses the natural one.",
                lambda h: ((lse(h) / np.log(2)) ** 2).mean(), part="loss"),
        Mistake("coefficient included", "This is 0.001 times the z-loss. The coefficient comes in when the losses are added up, not here.",
                lambda h: 1e-3 * (lse(h) ** 2).mean(), part="loss"),
        Mistake("maximum not added back", "You subtracted each row's largest logit before the exponential, and did not add it afterwards. log Σ exp(h) = max + log Σ exp(h − max).",
                lambda h: ((lse(h) - h.max(axis=-1)) ** 2).mean(), part="loss"),
        Mistake("overflow", "Right for ordinary logits, not for a token with logits around 10000 and one around −10000. An exponential of 10000 is ∞. A row whose exponentials are all 0 has the log −∞: that happens around −10000, and also when one number is subtracted from the whole batch. Subtract *each row's own* largest logit first and add it afterwards, or use `log_sum_exp`.",
                naive_z_loss, part="loss"),
        Mistake("factor 2", "Half of what it should be: the derivative of z² is 2z.",
                with_z(lambda z, p, T: z * p / T), part="gradient"),
        Mistake("of the log-sum-exp", "This is the gradient of the mean of z, not of z². The factor 2z is missing.",
                with_z(lambda z, p, T: p / T), part="gradient"),
        Mistake("log-sum-exp left out", "The factor z is missing: the derivative of z² is 2z times that of z. It sets how strong the pull is, and its sign.",
                with_z(lambda z, p, T: 2 * p / T), part="gradient"),
        Mistake("not divided by T", "The loss is a mean over T tokens, so each token's gradient is divided by T.",
                with_z(lambda z, p, T: 2 * z * p), part="gradient"),
        Mistake("gradient divided by T·N", "You divided by T·N. The loss is a mean over the tokens alone: divide by T.",
                with_z(lambda z, p, T: 2 * z * p / p.size), part="gradient"),
        Mistake("of the largest", "You let only the largest logit move the log-sum-exp. Every logit does, in proportion to its probability.",
                with_z(lambda z, p, T: 2 * z * np.eye(p.shape[-1])[p.argmax(axis=-1)] / T), part="gradient"),
        Mistake("one for each token, gradient", "One number for each token. Every logit of a token has its own: 2z pⱼ / T, in the shape (T, N).",
                lambda h: 2 * lse(h) / len(h), part="gradient"),
        Mistake("the same for all experts", "Every expert of a token gets the same here. The derivative of the log-sum-exp with respect to hⱼ is the probability pⱼ.",
                with_z(lambda z, p, T: 2 * z * np.ones_like(p) / T), part="gradient"),
        Mistake("derivative of p", "You went on to differentiate the softmax, p(1 − p). The softmax *is* the derivative of the log-sum-exp: 2z p / T.",
                with_z(lambda z, p, T: 2 * z * p * (1 - p) / T), part="gradient"),
        Mistake("of squared logits", "This is the gradient of h². The derivative of z² is 2z times the probability.",
                lambda h: 2 * h / len(h), part="gradient"),
        Mistake("mean log-sum-exp", "You used the mean of z over the batch for every token. Each token is pulled by its own z.",
                with_z(lambda z, p, T: 2 * z.mean() * p / T), part="gradient"),
        Mistake("added up over the tokens", "You added up over the tokens. Return one row for each token: (T, N).",
                with_z(lambda z, p, T: (2 * z * p / T).sum(axis=0)), part="gradient"),
        Mistake("sign turned", DESCENT, with_z(lambda z, p, T: -2 * z * p / T), part="gradient"),
        Mistake("overflow in the softmax", "The loss is right. In the gradient your softmax overflows: ∞/∞ around 10000, 0/0 around −10000. Use `softmax`, or subtract each row's largest logit before the exponential.",
                lambda h: 2 * lse(h)[:, None] * naive_softmax(h) / len(h), part="gradient"),
    ),
)  # fmt: skip


# --- 7.6 a dense estimator ----------------------------------------------------------------------------------------


def estimator_cases(rng: np.random.Generator) -> list[tuple]:
    """Return tuples (h, outputs, k, v): logits (N,), outputs (N, d), v (d,), all float32, with clear gaps."""
    cases = []
    for N, d, k in ((4, 3, 2), (6, 2, 3), (5, 4, 1)):
        outputs = rng.normal(size=(N, d))  # (N, d)
        v = rng.choice([-1, 1], size=d) * rng.uniform(0.5, 1.5, size=d)  # (d,)
        outputs += np.outer(spread(rng, N, 2.0) - outputs @ v, v) / (v @ v)  # no two experts equally useful
        cases.append((np.float32(spread(rng, N, 1.2)), np.float32(outputs), k, np.float32(v)))
    return cases


def differentiated(answer: Callable, h: np.ndarray, outputs: np.ndarray, k: int, v: np.ndarray) -> dict[str, Any]:
    """Call a learner's estimator with tensors and take the gradients of v·y. Returns plain data."""
    import torch  # here, so that reading the questions does not load it

    leaves = [torch.tensor(part, requires_grad=True) for part in (h, outputs)]
    with torch.enable_grad():
        y = answer(*(leaf.clone() for leaf in leaves), k)
        run: dict[str, Any] = {"y": plain(y), "tensor": isinstance(y, torch.Tensor)}
        run["connected"] = bool(run["tensor"] and y.requires_grad)
        if not run["connected"] or y.shape != v.shape:
            return run
        loss = (y * torch.tensor(v)).sum()
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    filled = [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, gradients, strict=True)]
    return {**run, "router": plain(filled[0]), "experts": plain(filled[1])}


# Each known fault: what someone who makes it gets, from p and w (N,), the outputs (N, d) and k; and the reason.
FORWARD_FAULTS = (
    Mistake("dense forward", "The output is the dense mixture of all experts. It must be exactly that of top-k: only the gradient is the dense one's.",
            lambda p, w, o, k: p @ o),
    Mistake("form B forward", "The output has form B's weights: probabilities that do not sum to 1. Asked is form A, the softmax over the selected logits.",
            lambda p, w, o, k: (p * (w > 0)) @ o),
    Mistake("both added", "The output is the top-k output plus the dense one. Add the dense one and subtract it again, detached: its value then cancels, its gradient stays.",
            lambda p, w, o, k: w @ o + p @ o),
    Mistake("value cancelled", "The output is 0: you subtracted a detached copy and left out the top-k output that should remain.",
            lambda p, w, o, k: 0 * (p @ o)),
    Mistake("not weighted", "The selected outputs are added up without their weights.",
            lambda p, w, o, k: (w > 0) @ o),
    Mistake("equal weights", "Every selected expert has weight 1/k here. The weights are the softmax over the selected logits.",
            lambda p, w, o, k: (w > 0) @ o / k),
    Mistake("the dense less the sparse", "The output is the dense mixture minus the top-k output. It is the dense mixture's own value that has to cancel: subtract the dense one, detached, and add the top-k output.",
            lambda p, w, o, k: p @ o - w @ o),
    Mistake("not added up", "These are the weighted outputs expert by expert. Add them up: y has the shape (d,).",
            lambda p, w, o, k: w[:, None] * o),
)  # fmt: skip

# From p, w, a (N,) and the 0/1 mask s (N,).
ROUTER_FAULTS = (
    Mistake("nothing for the router", "The output is right, but no gradient reaches the logits: whatever depends on them is detached, or cancels. One copy of p must stay attached.",
            lambda p, w, a, s: 0 * a),
    Mistake("form A's gradient", "The output is right, but the logits get form A's own gradient: 0 for every unselected expert. Detach the sparse weights, and let the dense p carry the gradient.",
            lambda p, w, a, s: w * (a - w @ a)),
    Mistake("form B's gradient", "The output is right, but the logits get form B's gradient: only the selected outputs enter. In the dense mixture every expert's output counts, selected or not.",
            lambda p, w, a, s: p * (s * a - p @ (s * a))),
    Mistake("both gradients", "The logits get the dense gradient plus form A's own. The sparse weights are still attached: detach them.",
            lambda p, w, a, s: p * (a - p @ a) + w * (a - w @ a)),
    Mistake("less form A's", "The logits get the dense gradient minus form A's own. What you subtract must be detached.",
            lambda p, w, a, s: p * (a - p @ a) - w * (a - w @ a)),
    Mistake("past the softmax", "Each logit gets aⱼ itself: you passed the gradient straight to the logits. It has to go through the softmax, p.",
            lambda p, w, a, s: a),
    Mistake("dense, cut", "The selected logits get the dense gradient, the unselected get 0. But they are the ones that should hear something: the dense gradient is pⱼ(aⱼ − Σ pᵢaᵢ) for every j.",
            lambda p, w, a, s: s * p * (a - p @ a)),
    Mistake("sign turned", "The gradient of the logits has the wrong sign. Do you subtract the attached copy and add the detached one? Turn them round.",
            lambda p, w, a, s: -p * (a - p @ a)),
)  # fmt: skip

# From p, w (N,) and v (d,).
EXPERT_FAULTS = (
    Mistake("leak into the unselected", "Output and router are right. But the experts get the dense gradient pᵢv: experts that did not run would be trained too, and those that ran have pᵢ in place of their weight. Take the dense path with detached outputs, or put the trick into the weights.",
            lambda p, w, v: np.outer(p, v)),
    Mistake("nothing for the experts", "Output and router are right, but no gradient reaches the outputs: the experts could not learn. The selected ones must get wᵢv; detach the outputs in the dense path alone.",
            lambda p, w, v: 0 * np.outer(w, v)),
    Mistake("both for the experts", "Output and router are right. But the experts get wᵢv from the sparse path and pᵢv from the dense path as well. Detach the outputs in the dense path.",
            lambda p, w, v: np.outer(w + p, v)),
    Mistake("form B's for the experts", "Output and router are right. But the selected experts get pᵢv, not wᵢv: their gradient must go with the weight that they have in the output.",
            lambda p, w, v: np.outer(p * (w > 0), v)),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EstimatorQuestion(Question):
    """Judges the output, then the gradient of the logits, then that of the experts' outputs."""

    def draw(self, rng: np.random.Generator) -> Data:
        """Return the cases (h, outputs, k, v)."""
        return {"cases": estimator_cases(rng)}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Run the estimator and differentiate v·y, once for each case."""
        runs = []
        for h, outputs, k, v in data["cases"]:
            try:
                runs.append(differentiated(answer, h, outputs, k, v))
            except Exception as error:
                called = f"logits: a tensor of shape {h.shape}, outputs: a tensor of shape {outputs.shape}, k = {k}"
                raise AnswerRaised(called) from error
        return {"runs": runs}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Find the first of the three that is wrong in any case."""
        cases, runs = [Parts(*case) for case in data["cases"]], reply["runs"]
        if not all(run["tensor"] for run in runs):
            return Verdict(False, f"Expected a torch tensor of shape (d,); came {describe(runs[0]['y'])}. Only tensors carry a gradient.")  # fmt: skip
        if verdict := compared("y", cases, [run["y"] for run in runs], Parts.output, Parts.faulty_output, FORWARD_FAULTS):  # fmt: skip
            return verdict
        if not all(run["connected"] for run in runs):
            return Verdict(False, "The output is right, but it is cut off from logits and outputs alike: nothing can be learned through it. Was everything detached, computed under `no_grad`, or made with `.item()` or numpy?", "all detached")  # fmt: skip
        routers, experts = ([run[name] for run in runs] for name in ("router", "experts"))
        for what, came, right, faulty, faults in (
            ("∂L/∂logits", routers, Parts.router, Parts.faulty_router, ROUTER_FAULTS),
            ("∂L/∂outputs", experts, Parts.experts, Parts.faulty_experts, EXPERT_FAULTS),
        ):
            if verdict := compared(what, cases, came, right, faulty, faults):
                return verdict
        return Verdict(True)


@dataclass(frozen=True, eq=False)
class Parts:
    """One case with what is computed from it: the right results, and those of a known fault."""

    h: np.ndarray
    o: np.ndarray
    k: int
    v: np.ndarray

    @property
    def p(self) -> np.ndarray:
        """Return the softmax over all N. (N,)."""
        return routing.softmax(self.h.astype(float))

    @property
    def w(self) -> np.ndarray:
        """Return the weights of form A. (N,)."""
        return routing.gate_weights(self.h.astype(float), self.k)

    @property
    def a(self) -> np.ndarray:
        """Return v·E_i for every expert. (N,)."""
        return self.o.astype(float) @ self.v

    def output(self) -> np.ndarray:
        """Return the output of top-k, form A. (d,)."""
        return self.w @ self.o

    def router(self) -> np.ndarray:
        """Return the gradient of the logits in the dense mixture. (N,)."""
        return slope_dense(self.h.astype(float), self.a)

    def experts(self) -> np.ndarray:
        """Return the gradient of the outputs in top-k. (N, d)."""
        return np.outer(self.w, self.v) + 0.0

    def faulty_output(self, fault: Mistake) -> np.ndarray:
        """Return the output of a known fault."""
        return fault.wrong(self.p, self.w, self.o, self.k)

    def faulty_router(self, fault: Mistake) -> np.ndarray:
        """Return the logits' gradient of a known fault."""
        return fault.wrong(self.p, self.w, self.a, (self.w > 0).astype(float))

    def faulty_experts(self, fault: Mistake) -> np.ndarray:
        """Return the outputs' gradient of a known fault."""
        return fault.wrong(self.p, self.w, self.v)


def compared(
    what: str, cases: list[Parts], came: list, right: Callable, faulty: Callable, faults: tuple[Mistake, ...]
) -> Verdict | None:
    """Return None if all that came is right, else what is wrong, with the fault that explains it in every case."""
    expected = [np.float32(right(case)) for case in cases]
    wrong = next((i for i, pair in enumerate(zip(came, expected, strict=True)) if not close(*pair)), None)
    if wrong is None:
        return None
    fault = next((f for f in faults if all(close(v, faulty(c, f)) for v, c in zip(came, cases, strict=True))), None)
    case = cases[wrong]
    lines = [fault.why] if fault else []
    lines.append(difference(came[wrong], expected[wrong], what))
    lines.append(f"for logits {show(case.h)} and k = {case.k}")
    return Verdict(False, "\n".join(lines), fault.name if fault else None)


def close(value: Any, expected: Any) -> bool:
    """Tell whether value has the shape and numbers of expected, where 0 may be a rounding error of float32."""
    return agree(*(np.where(np.abs(v) < 1e-6, 0, v) if isinstance(v, np.ndarray) else v for v in (value, expected)))


ESTIMATOR = EstimatorQuestion(
    id="7.6",
    needs_torch="tensors",
    title="Sparse forward, dense gradient",
    kind="write it",
    points=3,
    minutes=9,
    difficulty="hard",
    hints=(
        "`t - t.detach()` has the value 0 and the gradient of t. Adding it to something changes the gradient and not the value.",
        "Put the trick into the weights, not into the output: detached sparse weights, plus p − p detached. Then multiply by the outputs and add up. What do the outputs of unselected experts get, whose weight has the value 0?",
    ),
    idea="A weight can have the value of one formula and the derivative of another: w.detach() + p − p.detach(). The outputs are multiplied by its value, which is 0 for the unselected, so only experts that are in the output learn; the router hears of all of them.",
    answer="my_dense_estimator",
    parameters=("logits", "outputs", "k"),
    stands_for=("estimators.straight_through",),
    when_raised="`logits` has the shape (N,), `outputs` (N, d), both float32 tensors; y has the shape (d,). The course's numpy functions refuse tensors that carry a gradient: use torch's own. If it is about an in-place operation: make a new tensor instead (`torch.where`, `masked_fill`, `scatter`).",
)

QUESTIONS = (JACOBIAN, FORM_A, FORM_B, DIAGNOSIS, Z_LOSS, ESTIMATOR)
