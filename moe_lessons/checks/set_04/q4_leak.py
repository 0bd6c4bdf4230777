"""Question 4.4: the leak, seen from outside."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.calls import Lender
from moe_lessons.checks.gates import draw_logits, kept_probabilities, masked_with_zero, selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_04.q1_keep import GATING
from moe_lessons.checks.set_04.selections import SELECTED_WRONGLY, nearly_tied
from moe_lessons.checks.values import agree, plain, unbracketed, without_dust
from moe_lessons.checks.verdicts import by_formula, by_test, by_trace, by_value

# The token of which question 4.4 shows what four programs make.
GIVEN_LOGITS = np.array([-1.2, -0.4, -2.0, -0.7, -1.5])
DUST = 1e-9  # a leak below this is what rounding leaves of sums and differences


def hidden_layer(weights: np.ndarray) -> Callable[[Any], np.ndarray]:
    """Return the layer that adds up experts' outputs (N, d) with weights (N,), which it does not show."""

    def layer(outputs: Any) -> np.ndarray:
        given = np.asarray(outputs, dtype=float)  # (N, d)
        if given.ndim != 2 or len(given) != len(weights):
            asked = f"outputs must be the outputs of {len(weights)} experts, of shape ({len(weights)}, d)"
            raise ValueError(f"{asked}, got shape {given.shape}")
        return weights @ given  # (d,)

    return layer


def given_layers() -> list[Callable[[Any], np.ndarray]]:
    """Return the four programs' layers for the token that is shown, with k = 2."""
    return [hidden_layer(weights) for weights in by_four_gates(GIVEN_LOGITS, 2)]


class HiddenLayer(Lender):
    """Makes a layer from its weights (N,), and takes no notes: it may be called as often as one likes."""

    def __init__(self, entry: np.ndarray) -> None:
        self.layer = hidden_layer(np.array(entry, dtype=float))
        super().__init__(entry)

    def work(self, index: int, given: Any) -> np.ndarray:
        """Return y (d,) of outputs (N, d)."""
        return self.layer(given)


def leak_cases(rng: np.random.Generator) -> list[tuple]:
    """Logits (N,), k and the weights (N,) of a layer: of each of the four programs, and of a smaller one that leaks.

    There is a tie at the border once where nothing is cut, and then where those that are selected weigh more than those
    that are not: once many tie, as sorting that is not stable shows in a long row only, and once two nearly do. Once k
    is 1, and once N, where nothing can leak. Once a leak is small.
    """
    cases: list[tuple] = []
    # Where all logits are below 0, experts that are cut to 0 weigh more than those that are kept.
    for h, k in ((draw_logits(rng, 6) + 2, 2), (draw_logits(rng, 5) - 5, 2), (draw_logits(rng, 8), 3)):
        cases += [(h, k, weights) for weights in (*by_four_gates(h, k), 0.6 * masked_with_zero(h, k))]
    tied, single = draw_logits(rng, 7), draw_logits(rng, 4)  # (7,), (4,)
    third, fourth = np.argsort(-tied)[2:4]  # indices
    tied[fourth] = tied[third]
    one, all_four = masked_with_zero(single, 1), routing.softmax(single)  # (4,) each
    many = rng.permutation(np.repeat([2.0, 1.0, -1.0], [3, 18, 3]))  # (24,)
    masked = ((h, k, masked_with_zero(h, k)) for h, k in ((tied, 3), (many, 10), nearly_tied(rng)))
    ties = [(tied, 3, routing.softmax(tied)), *masked]
    high = draw_logits(rng, 5) / 3 + 9  # (5,): beside these, e^0 is little, and still a leak
    small = (high, 2, masked_with_zero(high, 2))
    return [*cases, *ties, (single, 1, one), (single, 4, all_four), small]


def by_four_gates(h: np.ndarray, k: int) -> np.ndarray:
    """Return the weights (4, N) that four programs give to the experts with logits h (N,).

    A mask of 0; an honest softmax_topk; a softmax of kept probabilities and zeros; nothing cut.
    """
    kept = kept_probabilities(h, k)  # (N,)
    return np.stack([masked_with_zero(h, k), kept, routing.softmax(kept), routing.softmax(h)])


def of_weights(measure: Callable) -> Callable:
    """Return the function of a case that is `measure` of the weights (N,) and of where experts are selected (N,)."""
    return lambda h, k, weights: measure(weights, selected_mask(h, k))


def left_out(marked: Callable) -> Callable:
    """Return the function of a case that adds up the weights of all that marked(h, k) leaves out."""
    return lambda h, k, weights: weights[~marked(h, k)].sum()


leaked = of_weights(lambda w, selected: w[~selected].sum())


def smallest_weights(h: np.ndarray, k: int, weights: np.ndarray) -> np.ndarray:
    """Add up all but the k largest weights."""
    return np.sort(weights)[: len(weights) - k].sum()


def ranked_leaks(h: np.ndarray, k: int, weights: np.ndarray) -> np.ndarray:
    """Return the weights of the unselected, in the order of their logits. (N − k,)."""
    return weights[np.argsort(-h, kind="stable")[k:]]


def another_of_equals(value: Any, noted: None, h: np.ndarray, k: int, weights: np.ndarray) -> bool:
    """Tell whether a value is as it comes when any of the logits that tie at the border are taken."""
    came = without_dust(unbracketed(value), DUST)
    border = -np.sort(-h)[k - 1]
    tied = np.sort(weights[h == border])  # those of which some are selected
    out = len(tied) - (k - (h > border).sum())  # as many of them are not
    least, most = (weights[h < border].sum() + part.sum() for part in (tied[:out], tied[len(tied) - out :]))
    within = isinstance(came, np.ndarray) and came.shape == () and bool(least - DUST <= came <= most + DUST)
    return within or agree(came, leaked(h, k, weights))


def far_from(form: str) -> tuple[Callable, ...]:
    """Return the functions of a case that tell how far the weights are from those of a sound gate, in three measures."""

    def off(h: np.ndarray, k: int, weights: np.ndarray) -> np.ndarray:
        return np.abs(weights - routing.gate_weights(h, k, form))  # (N,)

    return (
        lambda *case: off(*case).sum(),
        lambda *case: off(*case).sum() / 2,
        lambda *case: off(*case).max(),
    )


WHETHER_IT_LEAKS = "truth value: You return whether it leaks. Asked is by how much, a number."

LEAK = FunctionQuestion(
    **about("4.4", "The leak, seen from outside", "find the bug", "medium", points=2, minutes=8),
    hints=(
        "You choose what the experts return. If only E3 returns something, y holds the weight of E3 and of nobody else.",
        "d is yours to choose, too. With as many numbers as experts, each expert can have one of its own: what does y hold if `np.eye(len(logits))` are the outputs? Who is selected, the logits alone say.",
    ),
    idea="A layer is linear in what its experts return: outputs that tell the experts apart make y the weights themselves. Then compare with an independent selection from the logits.",
    takeaway="A weighted sum cannot keep its weights secret: known outputs in the experts' places reveal any gate, so leaks can be tested for without reading the code.",
    answer="my_leak",
    parameters=("logits", "k", "layer"),
    stands_for=GATING,
    when_raised="`layer` takes an array of shape (N, d): one row for each of the `len(logits)` experts. It returns y of shape (d,). An index that is out of bounds belongs to no expert of this token: is it chosen from the `logits` that your function was given? Tokens have different numbers of experts. If an array is empty: where k is N nobody is left out, and a sum of nothing is 0, where `max` and `min` of nothing raise. Asked is the sum.",
    cases=leak_cases,
    reference=leaked,
    helper=HiddenLayer,
    read=lambda value, *_: without_dust(unbracketed(plain(value)), DUST),
    mistakes=by_trace(
        WHETHER_IT_LEAKS,
        lambda value, *_: isinstance(value, np.ndarray) and value.dtype.kind == "b",
    )
    + by_formula(left_out, *SELECTED_WRONGLY)
    + by_value(
        WHETHER_IT_LEAKS,
        of_weights(lambda w, selected: float(w[~selected].sum() > DUST)),
        "what is missing from 1: You measured how far the weights are from summing to 1. A leaking gate may sum to 1, and an honest one need not.",
        (lambda h, k, weights: 1 - weights.sum(), lambda h, k, weights: weights.sum() - 1),
        "1 minus the kept: 1 minus the kept weight is the leak only where the weights sum to 1. The second program's do not: what is missing there is no leak. Add up the weights of the unselected.",
        of_weights(lambda w, selected: 1 - w[selected].sum()),
        "smallest weights: You took the k largest *weights* for the selected experts. Where all logits are below 0, a cut expert with logit 0 weighs more than a kept one. Only the logits tell who was selected.",
        smallest_weights,
        "all weights: This is the sum of all weights: what comes if every expert returns 1. Count only the experts that should have none.",
        lambda h, k, weights: weights.sum(),
        "kept weight: This is the weight on the selected experts. Asked is the weight on the others.",
        of_weights(lambda w, selected: w[selected].sum()),
        "k smallest: You added up the k smallest logits' weights. Unselected are all but the k largest: N − k experts.",
        lambda h, k, weights: weights[np.argsort(h, kind="stable")[:k]].sum(),
        "computed, not measured: You computed what one kind of program does. Others leak otherwise, and one does not: ask the layer.",
        (
            lambda h, k, weights: leaked(h, k, masked_with_zero(h, k)),
            lambda h, k, weights: leaked(h, k, routing.softmax(kept_probabilities(h, k))),
        ),
        "kept weight computed: You measured the sum of all weights and took from it what an honest gate keeps. Measure what the selected carry, too: every program gives them something else.",
        lambda h, k, weights: weights.sum() - kept_probabilities(h, k).sum(),
        "rounded: You rounded the weights before you added them up. A leak can be small: leave them as they are.",
        tuple(of_weights(lambda w, selected, n=n: w.round(n)[~selected].sum()) for n in range(1, 5)),
        "small leaks lost: Right, but for small weights, which you took for none. An expert that was not selected has weight exactly 0, or it leaks: add all of them up.",
        tuple(of_weights(lambda w, selected, t=t: w[~selected & (w > t)].sum()) for t in (0.1, 0.01, 0.001)),
        "nothing found: You find no leak anywhere. Hand over outputs in which the unselected experts return something, and the selected return 0.",
        lambda h, k, weights: 0.0,
        "squares: You added up squares, as the length of a vector does. Asked is the sum of the weights themselves.",
        (
            of_weights(lambda w, selected: np.sqrt((w[~selected] ** 2).sum())),
            of_weights(lambda w, selected: (w[~selected] ** 2).sum()),
        ),
        "average: This is an average. Asked is the sum over the unselected experts.",
        (
            of_weights(lambda w, selected: w[~selected].sum() / max(1, (~selected).sum())),
            of_weights(lambda w, selected: w[~selected].sum() / (~selected).sum() if (~selected).any() else np.nan),
            of_weights(lambda w, selected: w[~selected].sum() / len(w)),
        ),
        "share: You divided the leak by the sum of all weights. Asked is the weight itself; the weights need not sum to 1.",
        of_weights(lambda w, selected: w[~selected].sum() / w.sum()),
        "ratio to the kept: You divided the leak by the weight of the selected. Asked is the weight itself.",
        of_weights(lambda w, selected: w[~selected].sum() / w[selected].sum()),
        "largest: This is the largest single leak. Asked is the sum over the unselected experts.",
        of_weights(lambda w, selected: w[~selected].max(initial=0)),
        "number of experts: You counted experts. Asked is how much weight they carry.",
        (
            lambda h, k, weights: (weights > 0).sum() - k,
            of_weights(lambda w, selected: (w[~selected] > 0).sum()),
            lambda h, k, weights: len(h) - k,
        ),
        "the weights: These are the weights, all of them: well found. Asked is one number, the sum over the experts that are not selected.",
        lambda h, k, weights: weights,
        "expert by expert: These are the leaks expert by expert. Add them up.",
        (
            of_weights(lambda w, selected: np.where(selected, 0, w)),
            of_weights(lambda w, selected: w[~selected]),
            ranked_leaks,
        ),
        "should have been: You added up the probabilities that were cut. Those are what an honest softmax says, not what this layer does.",
        lambda h, k, weights: leaked(h, k, routing.softmax(h)),
        "logits as outputs: You fed the layer the logits as the experts' outputs. Then y mixes all experts, and no weight can be told from another.",
        lambda h, k, weights: weights @ h,
        "distance from form A: You compared with the weights of form A. A sound gate of form B differs from them, too, and what the selected lack or have too much is no leak. Add up the weights of the unselected.",
        far_from("topk_softmax"),
        "distance from form B: You compared with the weights of form B. A sound gate of form A differs from them, too. Add up the weights of the unselected.",
        far_from("softmax_topk"),
    )
    + by_test(
        'another of equals: Right but for ties: of equal logits the lower index is selected. `np.argsort` promises that with `kind="stable"` only, reversing its result turns it round, and `torch.topk` promises nothing.',
        another_of_equals,
    ),
)
