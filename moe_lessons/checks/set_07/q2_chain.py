"""Question 7.2: from the usefulness of experts to the router's matrix and to the token."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import at_least_the_kth, dot, selected_mask, through_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_07.q1_jacobian import spread
from moe_lessons.checks.set_07.slopes import (
    Formula,
    Gradient,
    dense,
    form_a,
    form_b,
    gradient_a,
    last_of_the_tied,
    other_selections,
    slope,
    tied_logits,
    with_parts,
    zero_for_the_cut,
    zero_throughout,
)
from moe_lessons.checks.values import agree, is_floats, stacked, without_dust
from moe_lessons.checks.verdicts import Mistake, by_formula, by_test, by_value

PARTS = ("∂L/∂W_g", "∂L/∂x")


def chain_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (x (T, d), W_g (d, N), a (T, N), k): k = 2, 3, 1 and N, and one token with a tie at the border, at 0.

    x and W_g are such that their product is exact, however it is added up.
    """
    sizes = ((3, 2, 4, 2), (4, 3, 5, 3), (1, 3, 6, 1), (5, 2, 3, 3))
    cases = [(*apart(rng, T, d, N), usefulness(rng, T, N), k) for T, d, N, k in sizes]
    x, W_g = apart(rng, 1, 3, 5)  # (T, d), (d, N)
    x[0, 0] = 1.0
    W_g[0] = tied_logits(rng) - x[0, 1:] @ W_g[1:]
    return [*cases, (x, W_g, usefulness(rng, 1, 5), 2)]


def apart(rng: np.random.Generator, T: int, d: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens (T, d) and a router (d, N), in halves and sixteenths, for which no token has two equal logits."""
    while True:
        x = rng.choice([-1.5, -1, -0.5, 0.5, 1, 1.5], size=(T, d))  # (T, d)
        W_g = rng.integers(-16, 17, size=(d, N)) / 16  # (d, N)
        if np.diff(np.sort(x @ W_g)).min() > 0.05:
            return x, W_g


def usefulness(rng: np.random.Generator, T: int, N: int) -> np.ndarray:
    """Return a (T, N), clearly apart within each row."""
    return np.stack([spread(rng, N, 2.0) for _ in range(T)])


def to_router(gradient: Gradient) -> Callable[..., Any]:
    """Return the function of a case that carries gradient(h, a, k) (T, N) on to W_g. (d, N)."""
    return lambda x, W_g, a, k: x.T @ gradient(x @ W_g, a, k)


def to_token(gradient: Gradient) -> Callable[..., Any]:
    """Return the function of a case that carries gradient(h, a, k) (T, N) on to x. (T, d)."""
    return lambda x, W_g, a, k: gradient(x @ W_g, a, k) @ W_g.T


def chain(x: np.ndarray, W_g: np.ndarray, a: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ∂L/∂W_g (d, N) of form A, and what of ∂L/∂x (T, d) comes through its router."""
    return to_router(gradient_a)(x, W_g, a, k), to_token(gradient_a)(x, W_g, a, k)


def of_form_a(formula: Formula) -> Callable[..., Any]:
    """Return the function of a case that carries a `formula` of p, w, a and s on to W_g."""
    return to_router(with_parts(formula))


def of_selection(select: Callable) -> Callable[..., Any]:
    """Return ∂L/∂W_g (d, N) of a form A in which `select`(h, a, k) marks who is selected."""
    return to_router(with_parts(form_a, select))


def without_noise(value: Any, x: np.ndarray, W_g: np.ndarray, a: np.ndarray, k: int) -> Any:
    """Return `value` with 0 where it is tiny beside the largest entry of a: what autograd leaves where 0 is due."""
    return without_dust(value, 1e-6 * np.abs(a).max())


def is_logit_gradient(value: Any, x: np.ndarray, W_g: np.ndarray, a: np.ndarray, k: int) -> bool:
    """Tell whether one array came, and it is ∂L/∂h (T, N)."""
    value = stacked(value)
    return is_floats(value, a.shape) and agree(without_noise(value, x, W_g, a, k), gradient_a(x @ W_g, a, k))


def is_turned(value: Any, *case: Any) -> bool:
    """Tell whether both gradients came in the other order."""
    return isinstance(value, list) and len(value) == 2 and all(map(agree, value[::-1], chain(*case)))


def is_of_some_selection(value: Any, x: np.ndarray, W_g: np.ndarray, a: np.ndarray, k: int) -> bool:
    """Tell whether ∂L/∂W_g is that of some selection of k largest logits for each token."""
    h = x @ W_g  # (T, N)
    selections = product(*(other_selections(row, k) for row in h))
    return any(agree(without_noise(value, x, W_g, a, k), x.T @ slope(form_a, h, a, np.stack(m))) for m in selections)


def is_jump(value: Any, x: np.ndarray, W_g: np.ndarray, a: np.ndarray, k: int) -> bool:
    """Tell whether ∂L/∂W_g is right where the logits are apart, and far beyond any slope where they tie."""
    if np.diff(np.sort(x @ W_g)).min() > 0:
        return agree(without_noise(value, x, W_g, a, k), to_router(gradient_a)(x, W_g, a, k))
    return is_floats(value, W_g.shape) and np.isfinite(value).all() and np.abs(value).max() > 20 * np.abs(a).max()


SLOPES = (  # what a mistake makes of ∂L/∂h, of p, w, a and the 0/1 mask s
    "dense: The logits have the gradient of a layer that runs every expert. In form A the unselected experts have no weight, and their logits get 0.",
    dense,
    "form B: The logits have form B's gradient: there the softmax over all N comes first. In form A an unselected logit is replaced by −∞ before the softmax, so nothing reaches it.",
    form_b,
    "form B, cut: You used the probabilities p over all N, and cut afterwards. In form A the weights w are a softmax over the selected alone: use them both in front and in the mean.",
    lambda p, w, a, s: s * form_b(p, w, a, s),
    "dense, cut: You took the gradient of a layer that runs every expert, and set the unselected to 0. In form A the weights w are a softmax over the selected alone: use them both in front and in the mean.",
    lambda p, w, a, s: s * dense(p, w, a, s),
    "nothing subtracted: The logits get wⱼaⱼ. When one weight rises the others fall, for they sum to 1: the mean Σ wᵢaᵢ has to be subtracted from aⱼ.",
    lambda p, w, a, s: w * a,
    "diagonal only: The logits get wⱼ(1 − wⱼ)aⱼ: each moves its own weight only. It also takes from the other selected weights: use the whole Jacobian.",
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
    (lambda p, w, a, s: p * (a - dot(w, a)), lambda p, w, a, s: p * (s * a - dot(w, a))),
    "softmax twice: You put the weights of the gate through another softmax. They are probabilities already, and the unselected would have weight again.",
    lambda p, w, a, s: through_softmax(routing.softmax(w), a),
    "no weight in front: The bracket is right. The weight wⱼ in front of it is missing.",
    (lambda p, w, a, s: s * (a - dot(w, a)), lambda p, w, a, s: a - dot(w, a)),
    "sign turned: Every sign is turned round. This is the direction of a descent step; the gradient is its opposite.",
    lambda *parts: -form_a(*parts),
    "past the gate: You passed a on to the logits, as if ∂L/∂w were ∂L/∂h. The softmax lies between the weights and the logits: its Jacobian is missing.",
    (lambda p, w, a, s: s * a, lambda p, w, a, s: a),
    "the gate's weights: You carried on the weights of the gate. What is carried on is the gradient with respect to the logits, in which a has a part.",
    (lambda p, w, a, s: w, lambda p, w, a, s: p),
    "sum over the batch: Your sum Σ wᵢaᵢ runs over all tokens of the batch. Each token has its own: `axis=-1, keepdims=True`.",
    lambda p, w, a, s: w * (s * a - (w * a).sum()),
    "sum along the tokens: Your sum Σ wᵢaᵢ runs along the tokens (axis 0). It runs over the experts of one token: `axis=-1, keepdims=True`.",
    lambda p, w, a, s: w * (a - (w * a).sum(axis=-2, keepdims=True)),
    "plain mean of the batch: You subtracted the plain mean of all a of the batch. The Jacobian asks for each token's weighted mean, Σ wᵢaᵢ.",
    lambda p, w, a, s: w * (a - a.mean()),
    "a left out: You have wⱼ(1 − wⱼ), how a weight moves with its own logit. The usefulness a has no part in it.",
    lambda p, w, a, s: w * (1 - w),
    "mean added: You added the mean Σ wᵢaᵢ. When one weight rises the others fall: it has to be subtracted.",
    lambda p, w, a, s: w * (a + dot(w, a)),
    "mean without the weight: In front of the mean the weight wⱼ is missing: it is wⱼ(aⱼ − Σ wᵢaᵢ), the bracket times the weight.",
    (lambda p, w, a, s: w * a - dot(w, a), lambda p, w, a, s: w * a - s * dot(w, a)),
    "mean squared: In the mean you have wᵢ²aᵢ. It is the weighted mean, Σ wᵢaᵢ.",
    lambda p, w, a, s: w * (a - dot(w, w * a)),
    "mean divided by k: You divided the mean by k or N once more. Σ wᵢaᵢ is a mean already: the weights sum to 1.",
    (lambda p, w, a, s: w * (a - dot(w, a) / dot(s, s)), lambda p, w, a, s: w * (a - dot(w, a) / a.shape[-1])),
    "sum in place of the mean: You subtracted the plain sum of the selected a. The Jacobian asks for the weighted mean, Σ wᵢaᵢ.",
    lambda p, w, a, s: w * (a - dot(s, a)),
    "plain mean, kept alone: You have aⱼ minus the plain mean of the selected, and no weights. It is wⱼ(aⱼ − Σ wᵢaᵢ).",
    lambda p, w, a, s: s * (a - dot(s, a) / dot(s, s)),
    "weight twice: In front stands wⱼ². It is wⱼ(aⱼ − Σ wᵢaᵢ), with one weight.",
    lambda p, w, a, s: w * form_a(p, w, a, s),
    "Jacobian twice: You put a through the Jacobian of the softmax twice. One softmax lies between the logits and the weights.",
    lambda p, w, a, s: through_softmax(w, form_a(p, w, a, s)),
    "diagonal and mean: You have wⱼ(1 − wⱼ) in front of the bracket. The bracket with the mean is the whole Jacobian already: in front stands wⱼ alone.",
    lambda p, w, a, s: (1 - w) * form_a(p, w, a, s),
    "softmax of the kept p: You took a softmax of the kept *probabilities*. Form A is the softmax of the kept logits, or the kept probabilities divided by their sum.",
    lambda p, w, a, s: through_softmax(routing.softmax(np.where(s > 0, p, -np.inf)), a),
)


def also_for_x(slopes: tuple) -> tuple[Mistake, ...]:
    """Return what the same slopes of logits make of ∂L/∂x, where ∂L/∂W_g is right."""
    known = by_formula(lambda formula: to_token(with_parts(formula)), *slopes)
    why = "Here the logits have another gradient than in ∂L/∂W_g, which is right; the same one goes both ways. "
    return tuple(replace(mistake, name=f"{mistake.name}, x", why=why + mistake.why) for mistake in known)


CHAIN = FunctionQuestion(
    **about("7.2", "All the way to W_g and x", "write it", "medium", points=2, minutes=8),
    hints=(
        "First one slope for each logit: the table of lesson 07 has it for form A, with a sum for each token (`axis=-1, keepdims=True`). Then h = x W_g goes two ways: to the matrix and to the token.",
        "With g = ∂L/∂h of shape (T, N), only one product has the shape (d, N) and adds up the tokens, and only one gives each token its own (d,). Where is x in the first, where W_g in the second?",
    ),
    idea="One slope g for each logit, then the chain both ways: xᵀg for the matrix, g W_gᵀ for the token. Column j of ∂L/∂W_g is 0 unless some token kept expert j, and with k = 1 everything is 0.",
    takeaway="In form A an expert's prototype moves only along tokens that kept it; and the tokens feel the router too, so earlier layers learn to be routed.",
    answer="my_router_gradients",
    stands_for=("figures.gradients.logit_gradient", "figures.gradients.gate_gradient"),
    parameters=("x", "W_g", "a", "k"),
    when_raised="`x` has the shape (T, d), `W_g` (d, N), `a` (T, N), so `x @ W_g` is (T, N). A sum over the experts with `axis=-1, keepdims=True` has the shape (T, 1), which fits the rows. For (d, N) out of (T, d) and (T, N) one of them must be transposed; so it is for (T, d) out of (T, N) and (d, N).",
    cases=chain_cases,
    reference=chain,
    read=without_noise,
    parts={
        "∂L/∂W_g": by_formula(of_form_a, *SLOPES)
        + by_formula(
            to_router,
            "masked with 0: Your cut logits are 0, and e⁰ = 1: the unselected experts keep weight. Mask with −∞.",
            (zero_for_the_cut, zero_throughout),
            "weights from a: Your weights are those of the usefulness a. The gate sees only the logits: `gate_weights(x @ W_g, k)`.",
            lambda h, a, k: gradient_a(a, a, k),
        )
        + by_formula(
            of_selection,
            "more than k: Where logits tie, more than k experts count as selected. You compare with the k-th largest value, and several experts have it. Select k indices.",
            lambda h, a, k: np.isfinite(at_least_the_kth(h, k)),
            "last of the tied: Right but for ties: of equal logits you select later ones. So may `torch.topk` do, and sorting upwards and reading from the end. The lower index comes first.",
            lambda h, a, k: last_of_the_tied(h, k),
            "k is 2: You take two experts whatever k is.",
            lambda h, a, k: selected_mask(h, 2),
            "smallest logits: You selected the experts with the smallest logits.",
            lambda h, a, k: selected_mask(-h, k),
            "selected by size: You selected by the size of the logits, whatever their sign. A logit far below 0 is a bad one.",
            lambda h, a, k: selected_mask(np.abs(h), k),
            "selected by a: You selected the experts with the largest a. The router knows only the logits: those decide.",
            lambda h, a, k: selected_mask(a, k),
            "selected by small a: You selected the experts with the smallest a, the most useful ones. The router knows only the logits: those decide.",
            lambda h, a, k: selected_mask(-a, k),
        )
        + by_value(
            "mean over the batch: You divided by T. a holds the slopes of L itself, so the tokens are added up, not averaged.",
            lambda x, W_g, a, k: to_router(gradient_a)(x, W_g, a, k) / len(x),
            "mean over the experts: You divided by N or by k. What the experts have is added up, not averaged: the weights are in it already.",
            (
                lambda x, W_g, a, k: to_router(gradient_a)(x, W_g, a, k) / a.shape[-1],
                lambda x, W_g, a, k: to_router(gradient_a)(x, W_g, a, k) / k,
            ),
            "one token alone: This is what one token gives, the first or the last. W_g is shared by all tokens: add up over them.",
            (
                lambda x, W_g, a, k: np.outer(x[0], gradient_a(x @ W_g, a, k)[0]),
                lambda x, W_g, a, k: np.outer(x[-1], gradient_a(x @ W_g, a, k)[-1]),
            ),
            "added up first: You added up x and g over the tokens, and multiplied the sums. Multiply for each token, then add up: xᵀg.",
            lambda x, W_g, a, k: np.outer(x.sum(axis=0), gradient_a(x @ W_g, a, k).sum(axis=0)),
            "reshaped: `reshape` keeps the order of the numbers and breaks the rows elsewhere. x has to be transposed, `x.T`.",
            lambda x, W_g, a, k: x.reshape(x.shape[::-1]) @ gradient_a(x @ W_g, a, k),
            "transposed: ∂L/∂W_g has its rows and columns exchanged: it must have the shape of W_g, (d, N).",
            lambda x, W_g, a, k: to_router(gradient_a)(x, W_g, a, k).T,
            "one for each token: You kept the tokens apart. W_g is shared by all tokens: add up over them, (d, N).",
            lambda x, W_g, a, k: x[:, :, None] * gradient_a(x @ W_g, a, k)[:, None, :],
            "logits' gradient first: This is ∂L/∂h, (T, N). It is the first factor: W_g stands behind it, and its gradient is a product with x.",
            lambda x, W_g, a, k: gradient_a(x @ W_g, a, k),
        )
        + by_test(
            "another of the tied: Right but for ties: of equal logits another expert counts as selected. The lower index comes first; `torch.topk` and a plain `argsort` do not promise that.",
            is_of_some_selection,
            "difference across the tie: Right wherever the logits are apart. At a tie a small step changes who is selected, and the loss jumps: your quotient measures the jump. Select once, before the step.",
            is_jump,
        ),
        "∂L/∂x": by_value(
            "mean over the batch, x: You divided by T. a holds the slopes of L itself, so nothing is averaged.",
            lambda x, W_g, a, k: to_token(gradient_a)(x, W_g, a, k) / len(x),
            "transposed, x: ∂L/∂x has its rows and columns exchanged: it must have the shape of x, (T, d).",
            lambda x, W_g, a, k: to_token(gradient_a)(x, W_g, a, k).T,
            "reshaped, x: `reshape` keeps the order of the numbers and breaks the rows elsewhere. W_g has to be transposed, `W_g.T`.",
            lambda x, W_g, a, k: gradient_a(x @ W_g, a, k) @ W_g.reshape(W_g.shape[::-1]),
            "added up over the tokens: You added up over the tokens. Each token has a gradient of its own: (T, d).",
            (
                lambda x, W_g, a, k: to_token(gradient_a)(x, W_g, a, k).sum(axis=0),
                lambda x, W_g, a, k: np.broadcast_to(to_token(gradient_a)(x, W_g, a, k).sum(axis=0), x.shape),
            ),
            "logits' gradient: This is ∂L/∂h, (T, N). The token stands before W_g: carry it on through the matrix.",
            lambda x, W_g, a, k: gradient_a(x @ W_g, a, k),
            "nothing for the token: You return zeros for the token. But its logits move with it: h = x W_g.",
            lambda x, W_g, a, k: np.zeros_like(x),
        )
        + also_for_x(SLOPES),
    },
    mistakes=by_test(
        "only the logits: This is ∂L/∂h, the lesson's formula of form A, and it is right. It is the middle factor. Asked is what stands at the ends: h = x W_g, so carry it on to the matrix, (d, N), and to the token, (T, d).",
        is_logit_gradient,
        "turned round: Both are right, but in the wrong order: return ∂L/∂W_g first, then ∂L/∂x.",
        is_turned,
    ),
)
