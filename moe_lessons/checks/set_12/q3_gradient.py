"""Question 12.3: the gradient of a gate with sigmoids."""

from collections.abc import Callable

import numpy as np
import scipy

from moe_lessons.checks.apart import tells_apart
from moe_lessons.checks.gates import dot
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_12.scores import GATING, are_apart, draw_bias, drawn_until, kept_by
from moe_lessons.checks.verdicts import by_formula, by_value

EXPERTS = ("figures.gradients.gate_gradient", "figures.gradients.logit_gradient")  # ∂L/∂h of any gate


def gradient_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (logits (T, N), a (T, N), k, bias (N,), scale), drawn until all known mistakes come apart."""
    while True:
        cases = [gradient_case(rng, 3, 5, 2, 2.5), gradient_case(rng, 4, 6, 3, 0.8), gradient_case(rng, 2, 7, 4, 1.6)]
        if tells_apart(GRADIENT, cases):
            return cases


def gradient_case(rng: np.random.Generator, T: int, N: int, k: int, scale: float) -> tuple:
    """Draw until no choice is close, and the bias moves one."""

    def draw() -> tuple:
        h = (1.3 * rng.standard_normal((T, N))).round(2)  # (T, N)
        return h, rng.normal(0.5, 1.5, (T, N)).round(2), k, draw_bias(rng, N, 0.3), scale

    return drawn_until(is_clear, draw)


def is_clear(h: np.ndarray, a: np.ndarray, k: int, b: np.ndarray, scale: float) -> bool:
    """Tell whether no two experts are close with or without the bias, and whether it moves some choice."""
    s = scipy.special.expit(h)  # (T, N)
    return are_apart(s, s + b) and bool((kept_by(s, k) != kept_by(s + b, k)).any())


Formula = Callable[..., np.ndarray]  # of s, w, a, m, c: scores, their shares, slopes, the 0/1 mask, the scale


def of_gate(formula: Formula, kept: Callable = lambda s, b, k: kept_by(s + b, k)) -> Callable[..., np.ndarray]:
    """Return the function of a case that is `formula` of the scores s, the shares w of the kept, a, the mask, the scale."""

    def gradient(h: np.ndarray, a: np.ndarray, k: int, b: np.ndarray, scale: float) -> np.ndarray:
        s = scipy.special.expit(h)  # (T, N)
        m = kept(s, b, k).astype(float)  # (T, N)
        return formula(s, m * s / total(m * s), a, m, scale) + 0.0  # −0 would read badly

    return gradient


def total(values: np.ndarray) -> np.ndarray:
    """Return the sum of each row, (T, 1)."""
    return values.sum(axis=-1, keepdims=True)


def with_slope(slope: Callable) -> Formula:
    """Return the formula in which the slope of a score, divided by the sum, is slope(s, w, m)."""
    return lambda s, w, a, m, c: c * m * slope(s, w, m) * (a - dot(w, a))


def with_bracket(bracket: Callable) -> Formula:
    """Return the formula in which bracket(w, a, m, c) stands for aⱼ − Σ wᵢaᵢ."""
    return lambda s, w, a, m, c: c * m * s * (1 - s) / total(m * s) * bracket(w, a, m, c)


right = with_bracket(lambda w, a, m, c: a - dot(w, a))
by_logit = of_gate(right)


def biased(h: np.ndarray, a: np.ndarray, k: int, b: np.ndarray, scale: float) -> np.ndarray:
    """Return the gradient of a gate whose weights are made of s + b."""
    s = scipy.special.expit(h)  # (T, N)
    m = kept_by(s + b, k).astype(float)  # (T, N)
    w = m * (s + b) / total(m * (s + b))  # (T, N)
    return scale * m * s * (1 - s) / total(m * (s + b)) * (a - dot(w, a))


def both(h: np.ndarray, a: np.ndarray, k: int, b: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return ∂L/∂h (T, N), and its sum for each token (T,)."""
    gradient = by_logit(h, a, k, b, scale)  # (T, N)
    return gradient, gradient.sum(axis=-1)


def summed(reduce: Callable) -> Callable:
    """Return reduce(the right gradient (T, N), a, w)."""
    return lambda h, a, k, b, scale: reduce(
        by_logit(h, a, k, b, scale), a, of_gate(lambda s, w, *_: w)(h, a, k, b, 1.0)
    )


GRADIENT = FunctionQuestion(
    **about("12.3", "The gradient of a gate with sigmoids", "write it", "hard", points=2, minutes=8),
    hints=(
        "Two steps, and each selected expert takes both. How does the loss move with its *score*: its weight is scale · s / Σ s, and the other weights share the same sum? And how does the score move with its logit?",
        "With w = s / Σ s of the selected (no scale in it) and `mean = (w * a).sum(axis=-1, keepdims=True)`, the loss moves with score j by scale · (aⱼ − mean) / Σ s. The sigmoid's slope is sⱼ(1 − sⱼ). For the others everything is 0.",
    ),
    idea="∂L/∂hⱼ = scale · sⱼ(1 − sⱼ) / Σ s · (aⱼ − Σ wᵢaᵢ) for the selected, 0 for the others. In a softmax the slope is the score itself, so the factor in front is the weight and the sum is 0. Here it is not: the gate knows where 0 is.",
    takeaway="A softmax gate never hears whether all its logits should rise together; a gate of sigmoids does, so its loss can move the level of the logits, too.",
    answer="my_gradient",
    parameters=("logits", "a", "k", "bias", "scale"),
    stands_for=(*GATING, *EXPERTS),
    when_raised="logits and a are (T, N), bias is (N,). Each token has its own sum over the experts: `sum(axis=-1, keepdims=True)`.",
    cases=gradient_cases,
    reference=both,
    parts={
        "gradient": by_formula(
            of_gate,
            "of the softmax: You have w (a − Σ wᵢaᵢ) times the scale: the softmax's formula with the new weights. The slope of e^h is e^h itself, that of a sigmoid is s(1 − s): a factor 1 − sⱼ is missing.",
            (with_slope(lambda s, w, m: s / total(m * s)), lambda s, w, a, m, c: w * (a - dot(w, a))),
            "the sum held fixed: You took Σ s for a constant. A rising score takes from every weight through that sum: it is aⱼ − Σ wᵢaᵢ, not aⱼ alone.",
            with_bracket(lambda w, a, m, c: a),
            "by the scores: This is how the loss moves with the *scores*. When logit j rises, its score rises by sⱼ(1 − sⱼ): that factor is missing.",
            with_slope(lambda s, w, m: 1 / total(m * s)),
            "not divided: The division by Σ s of the selected is missing.",
            with_slope(lambda s, w, m: s * (1 - s)),
            "of a gate that is not normalised: You have scale · s(1 − s) · a: the gradient of a gate without the division. Here the scores are divided by their sum, so every weight moves with every selected score.",
            lambda s, w, a, m, c: c * m * s * (1 - s) * a,
            "scale forgotten: The weights are multiplied by the scale, so the gradient is, too.",
            lambda s, w, a, m, c: right(s, w, a, m, 1.0),
            "scale in the mean: The scale is in your mean Σ wᵢaᵢ as well. Inside the bracket stand shares that sum to 1; the scale multiplies the whole.",
            (
                with_bracket(lambda w, a, m, c: a - c * dot(w, a)),
                with_bracket(lambda w, a, m, c: (a - c * dot(w, a)) / c),
            ),
            "the unselected, too: Unselected experts have a gradient in yours. They do not run, and their scores are not in the sum: their logits move nothing.",
            lambda s, w, a, m, c: c * s * (1 - s) / total(m * s) * (a - dot(w, a)),
            "all in the sum: Your sums run over all N experts. Scores of unselected experts are in no weight.",
            (
                lambda s, w, a, m, c: c * m * s * (1 - s) / total(s) * (a - dot(s / total(s), a)),
                lambda s, w, a, m, c: c * m * s * (1 - s) / total(s) * (a - dot(w, a)),
                lambda s, w, a, m, c: c * s * (1 - s) / total(s) * (a - dot(s / total(s), a)),
            ),
            "over the batch: A sum of yours runs over several tokens. Each token has its own: `axis=-1, keepdims=True`.",
            (
                lambda s, w, a, m, c: c * m * s * (1 - s) / total(m * s) * (a - (w * a).sum()),
                lambda s, w, a, m, c: c * m * s * (1 - s) / total(m * s) * (a - (w * a).sum(axis=0)),
                lambda s, w, a, m, c: c * m * s * (1 - s) / (m * s).sum() * (a - dot(m * s / (m * s).sum(), a)),
            ),
            "sign turned: Every sign is turned round. This is the direction of a descent step; the gradient is its opposite.",
            lambda s, w, a, m, c: -right(s, w, a, m, c),
            "plain mean: You subtracted the plain mean of the selected a. It is the mean by their shares, Σ wᵢaᵢ.",
            with_bracket(lambda w, a, m, c: a - dot(m, a) / total(m)),
            "sum for the mean: You subtracted the plain sum of the selected a. It is the mean by their shares, Σ wᵢaᵢ.",
            with_bracket(lambda w, a, m, c: a - dot(m, a)),
            "mean added: You added the mean. When one weight rises the others fall: it is subtracted.",
            with_bracket(lambda w, a, m, c: a + dot(w, a)),
            "scores in the mean: Your mean is Σ sᵢaᵢ, of the scores as they are. Inside the bracket stand shares: scores divided by their sum.",
            lambda s, w, a, m, c: c * m * s * (1 - s) / total(m * s) * (a - dot(m * s, a)),
            "half the slope: In place of the sigmoid's slope stands 1 − sⱼ. It is sⱼ(1 − sⱼ).",
            with_slope(lambda s, w, m: (1 - s) / total(m * s)),
            "slope of w: In place of the sigmoid's slope stands wⱼ(1 − wⱼ), of the shares. It is the score that has the slope: sⱼ(1 − sⱼ).",
            (with_slope(lambda s, w, m: w * (1 - w) / total(m * s)), with_slope(lambda s, w, m: w * (1 - w))),
            "slope of the tanh: In place of the sigmoid's slope stands 1 − sⱼ². That is a tanh's; the sigmoid's is sⱼ(1 − sⱼ).",
            with_slope(lambda s, w, m: (1 - s**2) / total(m * s)),
            "sign in the slope: In place of the sigmoid's slope stands sⱼ(1 + sⱼ). It is sⱼ(1 − sⱼ).",
            with_slope(lambda s, w, m: s * (1 + s) / total(m * s)),
            "divided twice: You divided by (Σ s)². With sᵢ / Σ s written as wᵢ, one of the two is gone.",
            with_slope(lambda s, w, m: s * (1 - s) / total(m * s) ** 2),
            "divided by the slopes: You divided by the sum of the slopes. The weights are divided by the sum of the *scores*.",
            with_slope(lambda s, w, m: s * (1 - s) / total(m * s * (1 - s))),
            "divided by k: You divided by k. The weights are scores divided by their *sum*.",
            with_slope(lambda s, w, m: s * (1 - s) / total(m)),
            "past the gate: You passed a on to the logits as it is, as if ∂L/∂w were ∂L/∂h. The scores, their sum and the sigmoid lie between.",
            (lambda s, w, a, m, c: m * a, lambda s, w, a, m, c: c * m * a),
            "the weights: These are the weights of the gate. Asked is how the loss moves with each logit, in which a has a part.",
            (lambda s, w, a, m, c: c * w, lambda s, w, a, m, c: w),
        )
        + by_formula(
            lambda kept: of_gate(right, kept),
            "without the bias: You selected without the bias. The k largest of s + b are selected; after that the bias is out of it.",
            lambda s, b, k: kept_by(s, k),
            "bias on the logits: You selected by logit plus bias. The bias is added to the scores.",
            lambda s, b, k: kept_by(scipy.special.logit(s) + b, k),
            "bias subtracted: You selected by s − b. It is s + b.",
            lambda s, b, k: kept_by(s - b, k),
        )
        + by_value(
            "bias in the weights: Your weights are made of s + b. The bias decides who is selected, and is in no weight and no gradient.",
            biased,
            "summed: This is the sum over the experts. Asked first is a slope for each logit, (T, N).",
            lambda *case: both(*case)[1],
        ),
        "together": by_value(
            "as in a softmax: You say 0. So it is in a softmax, which does not notice when all logits rise together. Add up your gradient: here the weights move.",
            summed(lambda g, a, w: 0 * g[:, 0]),
            "a mean: You took the mean over the experts. When all logits rise together, their effects add up.",
            summed(lambda g, a, w: g.mean(axis=-1)),
            "along the tokens: You added up along the tokens. Each token has its own number: the sum over its experts, `axis=-1`.",
            summed(lambda g, a, w: g.sum(axis=0)),
            "one for all: You added up the whole batch. Asked is a number for each token, (T,).",
            summed(lambda g, a, w: g.sum()),
            "sizes added: You added up sizes, without signs. When all logits rise together, what pulls both ways cancels.",
            summed(lambda g, a, w: np.abs(g).sum(axis=-1)),
            "weighed: You weighed the slopes by the gate's shares. All logits rise by the same: just add.",
            summed(lambda g, a, w: (w * g).sum(axis=-1)),
            "sign turned: The sign is turned round.",
            summed(lambda g, a, w: -g.sum(axis=-1)),
            "a column: Right, but (T, 1). Asked is (T,): leave `keepdims` out.",
            summed(lambda g, a, w: g.sum(axis=-1, keepdims=True)),
            "the mean of a: This is Σ wᵢaᵢ. Asked is how the loss moves when every logit of the token rises by the same amount: the sum of your gradient.",
            summed(lambda g, a, w: (w * a).sum(axis=-1)),
            "a step beyond: You added a to the gradient. Add up the gradient alone.",
            summed(lambda g, a, w: (g + a).sum(axis=-1)),
        ),
    },
)
