"""Question 12.1: one gate for many models."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.apart import tells_apart
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_12.scores import GATING, are_apart, draw_bias, drawn_until, kept_by, normalised, score
from moe_lessons.checks.values import is_floats
from moe_lessons.checks.verdicts import by_trace, by_value

FAR = 800.0  # e^800 does not fit into a float


def gate_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (logits (T, N), k, bias (N,), score, normalise, scale), drawn until all known mistakes come apart.

    Every score with and without the division; in one the logits are too large for a plain exponential.
    """
    while True:
        cases = [
            gate_case(rng, 4, 6, 2, "sigmoid", True, 2.5),
            gate_case(rng, 3, 5, 3, "softmax", False, 6.0),
            gate_case(rng, 5, 7, 3, "sqrtsoftplus", True, 1.5),
            gate_case(rng, 3, 6, 2, "sigmoid", False, 0.5),
            gate_case(rng, 4, 5, 2, "softmax", True, 1.8),
            gate_case(rng, 2, 4, 2, "sqrtsoftplus", False, 2.0, above=FAR),
        ]
        if tells_apart(GATE, cases):
            return cases


def gate_case(
    rng: np.random.Generator, T: int, N: int, k: int, name: str, normalise: bool, scale: float, above: float = 0.0
) -> tuple:
    """Draw until no choice is close, and the bias makes some token choose in another way."""

    def draw() -> tuple:
        h = (above + (10 if above else 1.5) * rng.standard_normal((T, N))).round(2)  # (T, N)
        return h, k, draw_bias(rng, N, 0.4 * float(np.ptp(score(name)(h), axis=-1).max())), name, normalise, scale

    return drawn_until(is_clear, draw)


def is_clear(h: np.ndarray, k: int, b: np.ndarray, name: str, *_: Any) -> bool:
    """Tell whether nothing that is compared is close, and the bias moves some choice."""
    s = score(name)(h)  # (T, N)
    moved = (kept_by(s, k) != kept_by(s + b, k)).any()
    return bool(moved) and are_apart(h, s, s + b, s - b)


Step = Callable[..., np.ndarray]


def gate_with(
    seen: Step = lambda s, b, h: s + b,
    own: Step = lambda s, b, h: s,
    scores: Step = lambda name, h, b: score(name)(h),
    cut: Step = lambda values, kept: np.where(kept, values, 0),
    divided: Step = lambda values, normalise, s: normalised(values) if normalise else values,
    scaled: Step = lambda values, scale, normalise: scale * values,
) -> Callable[..., np.ndarray]:
    """Return the gate, a function of a case, in which any step may be another one."""

    def weights(h: np.ndarray, k: int, b: np.ndarray, name: str, normalise: bool, scale: float) -> np.ndarray:
        s = scores(name, h, b)  # (T, N)
        kept = kept_by(seen(s, b, h), k)  # (T, N)
        values = divided(cut(own(s, b, h), kept), normalise, s)  # (T, N)
        return scaled(values, scale, normalise)

    return weights


def scored_late(h: np.ndarray, k: int, b: np.ndarray, name: str, normalise: bool, scale: float) -> np.ndarray:
    """Return the weights of a gate that takes the softmax over the kept logits alone."""
    kept = kept_by(score(name)(h) + b, k)  # (T, N)
    if name == "softmax":
        return scale * routing.softmax(np.where(kept, h, -np.inf))
    return gate_with()(h, k, b, name, normalise, scale)


def of_kept(h: np.ndarray, k: int, b: np.ndarray, name: str, normalise: bool, scale: float) -> np.ndarray:
    """Return the weights of the selected alone, best first. (T, k)."""
    order = routing.top_k(score(name)(h) + b, k)[1]  # (T, k)
    return np.take_along_axis(gate_with()(h, k, b, name, normalise, scale), order, axis=-1)


def in_place_of(name: str, other: Step) -> Step:
    """Return the scores with another function under one name."""
    return lambda asked, h, b: other(h) if asked == name else score(asked)(h)


weights = gate_with()

GATE = FunctionQuestion(
    **about("12.1", "One gate for many models", "write it", "medium", points=2, minutes=7),
    hints=(
        "Two numbers for each expert: what the selection sees, `s + bias`, and what the weights are made of, s alone. For √softplus with large logits, `np.logaddexp(0, logits)` is ln(1 + e^h) without an overflow.",
        "`top_k(s + bias, k)[1]` are the indices of the kept experts, and `np.put_along_axis` marks them in an array of False. Then `np.where(kept, s, 0)`, then the division if it is asked for, and the scale last of all.",
    ),
    idea="Score, select by score plus bias, weigh by the score alone, divide or not, scale. Whatever a model adds to a gate belongs to one of these steps, and the order of the steps decides what it means.",
    takeaway="Most of today's published gates are one function with a handful of settings: what tells two models apart is often a single key.",
    answer="my_weights",
    parameters=("logits", "k", "bias", "score", "normalise", "scale"),
    stands_for=GATING,
    quiet=True,
    when_raised="`score` is one of the three names, as text; `normalise` is True or False. `bias` (N,) is added to scores (T, N): the same for each token.",
    cases=gate_cases,
    reference=weights,
    mistakes=by_value(
        "without the bias: You select by the scores alone. The bias is there for the selection: the k largest of s + b.",
        gate_with(seen=lambda s, b, h: s),
        "bias on the logits: You select by logit plus bias. The bias is added to the *scores*: the k largest of s + b.",
        gate_with(seen=lambda s, b, h: h + b),
        "bias before the score: You added the bias to the logits before the scores were taken, so it is in the weights as well. Score first; then the bias, for the selection alone.",
        gate_with(seen=lambda s, b, h: s, scores=lambda name, h, b: score(name)(h + b)),
        "bias subtracted: You select by s − b. A raised bias makes an expert *more* likely to be selected: s + b.",
        gate_with(seen=lambda s, b, h: s - b),
        "bias multiplied: You multiplied scores by the bias. It is added: s + b.",
        (gate_with(seen=lambda s, b, h: s * b), gate_with(seen=lambda s, b, h: s * (1 + b))),
        "the bias alone: You select by the bias alone, so that all tokens select the same experts. The k largest of s + b are asked for.",
        gate_with(seen=lambda s, b, h: b + 0 * s),
        "bias in the weights: The bias is in your weights: they are made of s + b. It decides who is selected; what the selected weigh is made of s alone.",
        gate_with(own=lambda s, b, h: s + b),
        "logits for scores: Your weights are made of the logits. They are made of the scores of the selected experts.",
        gate_with(own=lambda s, b, h: h),
        "always divided: You divide by the sum in every case. Where `normalise` is False the scores are the weights, times the scale.",
        gate_with(divided=lambda values, normalise, s: normalised(values)),
        "never divided: You never divide by the sum. Where `normalise` is True the scores of the selected are divided by theirs.",
        gate_with(divided=lambda values, normalise, s: values),
        "divided the wrong way round: You divide where `normalise` is False, and not where it is True.",
        gate_with(divided=lambda values, normalise, s: values if normalise else normalised(values)),
        "divided by all: You divided by the sum over all N experts. Divide by the sum over the *selected*, so that their weights sum to the scale.",
        gate_with(divided=lambda values, normalise, s: values / s.sum(axis=-1, keepdims=True) if normalise else values),
        "over the batch: You divided by a sum over several tokens. Each token has its own: `axis=-1, keepdims=True`.",
        (
            gate_with(divided=lambda values, normalise, s: values / values.sum() if normalise else values),
            gate_with(
                divided=lambda values, normalise, s: (
                    values / np.maximum(values.sum(axis=0), 1e-300) if normalise else values
                )
            ),
        ),
        "divided by the largest: You divided by the largest score. Divide by the sum of the selected.",
        gate_with(
            divided=lambda values, normalise, s: values / values.max(axis=-1, keepdims=True) if normalise else values
        ),
        "mean for the sum: You divided by the mean of the selected scores. Divide by their sum, so that the weights sum to the scale.",
        gate_with(
            divided=lambda values, normalise, s: (
                normalised(values) * (values > 0).sum(-1, keepdims=True) if normalise else values
            )
        ),
        "scale forgotten: The scale is missing: every weight is multiplied by it, whether or not there is a division.",
        gate_with(scaled=lambda values, scale, normalise: values),
        "scale where divided: You scale only where the scores are divided by their sum. The scale multiplies the weights in every case.",
        gate_with(scaled=lambda values, scale, normalise: scale * values if normalise else values),
        "scale cancelled: Where you divide, the scale is gone: you scaled first and then divided. The scale comes last.",
        gate_with(scaled=lambda values, scale, normalise: values if normalise else scale * values),
        "divided by the scale: You divided by the scale. The weights are multiplied by it.",
        gate_with(scaled=lambda values, scale, normalise: values / scale),
        "scale as a power: You raised the weights to the power of the scale. They are multiplied by it.",
        gate_with(scaled=lambda values, scale, normalise: values**scale),
        "softmax of the kept: Where the score is softmax you took it over the kept logits alone. Here it is over all N experts first: without the division, what was cut is then missing in the sum.",
        scored_late,
        "nothing cut: Every expert has weight in yours. All but the k selected have weight 0.",
        gate_with(cut=lambda values, kept: values),
        "the others kept: You gave weight to those who are *not* selected, and 0 to the selected.",
        gate_with(cut=lambda values, kept: np.where(kept, 0, values)),
        "smallest: You selected the k smallest of s + b. `np.argsort` sorts upwards: take `-(s + bias)`.",
        gate_with(seen=lambda s, b, h: -(s + b)),
        "softmax of the scores: In place of the division you took a softmax of the selected scores. They are positive already: divide them by their sum.",
        gate_with(
            divided=lambda values, normalise, s: (
                routing.softmax(np.where(values > 0, values, -np.inf)) if normalise else values
            )
        ),
        "no root: Under sqrtsoftplus you have ln(1 + e^h). Its square root is the score.",
        gate_with(scores=in_place_of("sqrtsoftplus", lambda h: np.logaddexp(0, h))),
        "a root of the logit: Under sqrtsoftplus you have the root of max(h, 0). For large h that is the same, but √ln(1 + e^h) is above 0 for every logit.",
        gate_with(scores=in_place_of("sqrtsoftplus", lambda h: np.sqrt(np.maximum(h, 0)))),
        "of the selected alone: These are the right weights, but (T, k): of the selected, best first. Asked is a weight for every expert, (T, N), 0 for all others.",
        of_kept,
        "a mask: This marks who is selected. Asked are the weights, (T, N).",
        lambda h, k, b, name, *_: kept_by(score(name)(h) + b, k),
    )
    + by_trace(
        "overflow: With logits of 800 there are numbers that are not finite: e^800 does not fit into a float. Subtract the largest logit in the softmax; √softplus is the root of `np.logaddexp(0, logits)`, which is ln(1 + e^h).",
        lambda value, h, *_: h.min() > FAR / 2 and is_floats(value, h.shape) and not np.isfinite(value).all(),
    ),
)
