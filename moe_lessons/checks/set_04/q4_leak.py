"""Question 4.4: find the leak."""

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import draw_logits, kept_probabilities, masked_with_zero, selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_04.q1_keep import GATING
from moe_lessons.checks.verdicts import by_value

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
    **about("4.4", "Find the leak", "find the bug", "medium", points=2, minutes=8),
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
    mistakes=by_value(
        "what is missing from 1: You measured how far the weights are from summing to 1. A leaking gate sums to 1 all the same, and an honest one need not.",
        lambda h, weights, k: 1 - weights.sum(axis=-1),
        "smallest weights: You took the k largest *weights* for the selected experts. Where all logits are below 0, a cut expert with logit 0 weighs more than a kept one. Only the logits tell who was selected.",
        smallest_weights,
        "all weights: This is the sum of all weights. Count only the experts that should have none.",
        lambda h, weights, k: weights.sum(axis=-1),
        "kept weight: This is the weight on the selected experts. Asked is the weight on the others.",
        lambda h, weights, k: np.where(selected_mask(h, k), weights, 0).sum(axis=-1),
        "number of experts: You counted experts. Asked is how much weight they carry.",
        too_many,
        "ties left out: You counted what lies below the k-th largest logit. Where another expert ties with the k-th, it is not selected either: select k by index, as in 4.1.",
        below_the_kth,
        "1 minus the kept: 1 minus the kept weight is the leak only where the weights sum to 1. The second program's weights do not: what is missing there is no leak. Add up the weights of the unselected.",
        lambda h, weights, k: 1 - np.where(selected_mask(h, k), weights, 0).sum(axis=-1),
        "number cut: You counted the unselected experts. Asked is how much weight they carry.",
        lambda h, weights, k: (~selected_mask(h, k)).sum(axis=-1),
        "mean over the tokens: You averaged over the tokens. Asked is one number for each token.",
        lambda h, weights, k: np.array(leaked(h, weights, k).mean()),
        "sum over the tokens: You added up along the tokens (axis 0), which gives one number for each expert. Asked is one for each token: the last axis.",
        lambda h, weights, k: np.where(selected_mask(h, k), 0, weights).sum(axis=0),
        "average: This is the average over the unselected experts. Asked is their sum.",
        lambda h, weights, k: leaked(h, weights, k) / (h.shape[-1] - k),
        "largest: This is the largest single leak. Asked is the sum over the unselected experts.",
        lambda h, weights, k: np.where(selected_mask(h, k), 0, weights).max(axis=-1),
        "one number: You added up all tokens. Asked is one number for each token: sum over the last axis.",
        lambda h, weights, k: np.array(leaked(h, weights, k).sum()),
        "expert by expert: These are the leaks expert by expert. Add them up for each token.",
        lambda h, weights, k: np.where(selected_mask(h, k), 0, weights),
        "should have been: You added up the probabilities that were cut. Those are what the leaking experts had before, not what the given weights give them.",
        lambda h, weights, k: leaked(h, routing.softmax(h), k),
    ),
)
