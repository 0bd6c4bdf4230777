"""Question 12.6: which of five models will disagree after a change, and by how much."""

from collections.abc import Callable
from functools import partial

import numpy as np

from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.set_12.q1_gate import gate_with
from moe_lessons.checks.set_12.scores import kept_by, score
from moe_lessons.checks.verdicts import Mistake, by_value

SHIFTED_LOGITS = np.array([[1.2, -0.3, 5.3, 3.3, 2.1, 1.1]])  # (1, N)
SHIFT_BIAS = np.array([-0.21, 0.15, -0.07, 0.19, 0.19, -0.11])  # (N,)
NO_BIAS = 0 * SHIFT_BIAS
K = 2
MODELS: dict[str, tuple[np.ndarray, str, bool, float]] = {  # bias, score, whether to divide, scale
    "A": (NO_BIAS, "softmax", True, 1.0),
    "B": (NO_BIAS, "softmax", False, 2.0),
    "C": (NO_BIAS, "sigmoid", True, 1.0),
    "D": (SHIFT_BIAS, "sigmoid", True, 2.5),
    "E": (SHIFT_BIAS, "sqrtsoftplus", True, 1.5),
}

Gate = Callable[..., np.ndarray]


def difference(model: str, gate: Gate) -> np.ndarray:
    """Return by how much each weight (N,) changes when the largest logit is subtracted, by a gate as in `gate_with`."""
    bias, *settings = MODELS[model]
    before, after = (
        gate(h, K, bias, *settings)[0] for h in (SHIFTED_LOGITS, SHIFTED_LOGITS - SHIFTED_LOGITS.max())
    )  # (N,) each
    return after - before


PLAIN = gate_with()


def moved(model: str, gate: Gate = PLAIN, of: Callable = lambda change: np.abs(change).max()) -> float:
    """Return how far the weights move: the largest change, or what `of` makes of all of them."""
    return float(of(difference(model, gate)))


def held(model: str) -> float:
    """Return how far the weights move if the choice stays as it was."""
    bias, name, *_ = MODELS[model]
    seen = score(name)(SHIFTED_LOGITS) + bias  # (1, N)
    return moved(model, gate_with(seen=lambda s, b, h: np.where(kept_by(seen, K), 1.0, 0.0)))


UNSCALED = gate_with(scaled=lambda values, scale, normalise: values)
UNDIVIDED = gate_with(divided=lambda values, normalise, s: values)
IN_THE_WEIGHTS = gate_with(own=lambda s, b, h: s + b)
UNBIASED = gate_with(seen=lambda s, b, h: s)


def of_scores(model: str, *further: str | Callable) -> tuple[Mistake, ...]:
    """Return the mistakes with a model of independent scores, and further ones."""
    return by_value(
        f"{model}, as in a softmax: In a softmax the shift cancels, for it is in every exponential and in their sum. {model} scores each logit by itself: its scores all fall, and not by the same share.",
        lambda: 0.0,
        f"{model}, not divided: You left out the division by the sum of the selected scores.",
        partial(moved, model, UNDIVIDED),
        f"{model}, sizes added: You added up the changes. Asked is the largest change of a single weight.",
        partial(moved, model, of=lambda change: np.abs(change).sum()),
        f"{model}, per cent: That is per cent, or the number times 100. Give the change of the weight itself.",
        lambda: 100 * moved(model),
        f"{model}, sign: Give the size of the change, without a sign.",
        lambda: -moved(model),
        *further,
    )


def with_bias(model: str, *further: str | Callable) -> tuple[Mistake, ...]:
    """Return the mistakes with a model of independent scores that has a bias and a scale, and further ones."""
    return of_scores(
        model,
        f"{model}, scale left out: You left out the scale, which multiplies every weight.",
        partial(moved, model, UNSCALED),
        f"{model}, bias in the weights: The bias is in your weights. It acts in the selection only.",
        partial(moved, model, IN_THE_WEIGHTS),
        *further,
    )


SHIFT = ValuesQuestion(
    **about("12.6", "Who disagrees after the change?", "predict a number", "medium", points=2, minutes=6),
    hints=(
        "Which of the five functions does not notice when the same number is taken off every logit? Write the softmax down with h − c in it. Then do the same with a sigmoid.",
        "Compute the weights with the logits as they are and with `logits - logits.max()`, with your function of 12.1. In D and E look at s + b as well: when all scores shrink, the biases do not.",
    ),
    idea="To subtract the largest logit is safe inside a softmax and nowhere else. Independent scores know where 0 is: they shrink, their ratios change, and a bias that was small beside them decides who is selected.",
    takeaway="What is a harmless rewriting in one gate is another model in the next: before you share code between models, ask what their scores are invariant to.",
    answer="my_changes",
    expected=lambda: {model: moved(model) for model in MODELS},
    tolerance=0.003,
    parts={
        "A": by_value(
            "A, a shift counts: A takes a softmax: e^(h − c) is e^h times the same number everywhere, which the sum cancels.",
            partial(moved, "C"),
        ),
        "B": by_value(
            "B, a shift counts: B takes a softmax over all experts first, in which the shift cancels; what is done with p afterwards cannot bring it back.",
            (
                partial(moved, "C"),
                lambda: 2 * moved("C"),
                lambda: moved("B", gate_with(scores=lambda name, h, b: np.exp(h) / np.exp(SHIFTED_LOGITS).sum())),
            ),
        ),
        "C": of_scores("C"),
        "D": with_bias(
            "D",
            "D, choice held fixed: You kept the experts that were selected before. The scores shrink and the bias does not: look again at who has the largest s + b.",
            partial(held, "D"),
            "D, no bias: You left the bias out: with it, other experts are selected before the change.",
            partial(moved, "D", UNBIASED),
        ),
        "E": with_bias(
            "E",
            "E, no root: You took ln(1 + e^h). Its square root is the score.",
            partial(moved, "E", gate_with(scores=lambda name, h, b: np.logaddexp(0, h))),
            "E, sigmoid: You took the sigmoid. E scores by √ln(1 + e^h).",
            partial(moved, "E", gate_with(scores=lambda name, h, b: score("sigmoid")(h))),
        ),
    },
    advice={
        "A": "Write out one weight of A with h − c in place of each h. What becomes of e^−c?",
        "B": "Write out one probability of B with h − c in place of each h. What becomes of e^−c?",
        "C": "Compute both rows of weights of C: the sigmoids of the two best logits, divided by their sum, before and after.",
        "D": "Look at s + b before and after: who is selected? Then the weights: sigmoids of the selected, divided by their sum, times 2.5.",
        "E": "Look at s + b before and after: who is selected? Then the weights: √ln(1 + e^h) of the selected, divided by their sum, times 1.5.",
    },
)
