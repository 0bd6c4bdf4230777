"""Question 9.4: the Switch loss."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import selected_mask, through_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import without_dust
from moe_lessons.checks.verdicts import by_value


def balance_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (logits (T, N) in float32, k) for k = 2, 3 and 1, some experts preferred, no ties."""
    cases = []
    for T, N, k in ((6, 4, 2), (5, 6, 3), (9, 4, 1)):
        preference = rng.permutation(np.linspace(-0.85, 0.85, N))  # (N,)
        ranks = np.stack([rng.permutation(N) for _ in range(T)])  # (T, N)
        h = 0.4 * ranks + preference + rng.uniform(-0.02, 0.02, size=(T, N))  # (T, N)
        cases.append((h.astype(np.float32), k))
    return cases


def chosen_share(h: np.ndarray, k: int) -> np.ndarray:
    """Return f, each expert's share of the T·k assignments. h (T, N). Returns (N,)."""
    return selected_mask(h, k).mean(axis=0) / k


def mean_probability(h: np.ndarray) -> np.ndarray:
    """Return P, the mean probability of each expert. h (T, N). Returns (N,)."""
    return routing.softmax(h.astype(float)).mean(axis=0)


def balance(h: np.ndarray, k: int) -> float:
    """Return N Σ f_i P_i. h (T, N)."""
    return float(h.shape[1] * chosen_share(h, k) @ mean_probability(h))


def slope(h: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the gradient of N Σ c_i P_i for constant c (N,): (N/T) p (c − Σ c_i p_i). h (T, N). Returns (T, N)."""
    T, N = h.shape
    p = routing.softmax(h.astype(float))  # (T, N)
    return N / T * through_softmax(p, c)


def balance_slope(h: np.ndarray, k: int) -> np.ndarray:
    """Return ∂L/∂h of the loss, through P alone. (T, N)."""
    return slope(h, chosen_share(h, k))


def weight_slope(h: np.ndarray, k: int) -> np.ndarray:
    """Return the gradient of N Σ f_i P_i for constant P, where f has the derivative of form A's weights / k. (T, N)."""
    T, N = h.shape
    w, P = routing.gate_weights(h.astype(float), k), mean_probability(h)  # (T, N), (N,)
    return N / (T * k) * through_softmax(w, P)


def with_factor(factor: Callable) -> Callable:
    """Return the loss times factor(T, N, k)."""
    return lambda h, k: balance(h, k) * factor(*h.shape, k)


def with_shares(product: Callable) -> Callable:
    """Return product(f, P, m, p, w): f and P (N,), mask m, probabilities p and weights w of form A (T, N)."""

    def wrong(h: np.ndarray, k: int) -> Any:
        p, w = routing.softmax(h.astype(float)), routing.gate_weights(h.astype(float), k)  # (T, N) each
        return product(chosen_share(h, k), p.mean(axis=0), selected_mask(h, k), p, w)

    return wrong


def loss_and_slope(h: np.ndarray, k: int) -> tuple[Any, Any]:
    """Return the loss and its gradient (T, N), in float32 as they should come."""
    return np.float32(balance(h, k)), np.float32(balance_slope(h, k))


THROUGH_F = "The value is right, but f carries a gradient too: a soft count stands behind it. f is a constant (detach it, or count whole numbers); only P is differentiated."
F_ALONE = "The value is right, but the gradient goes through a soft f, and P is detached. It is the other way round: f is a constant, P carries the gradient."

BALANCE = FunctionQuestion(
    **about("9.4", "The Switch loss", "write it", "medium", points=2, minutes=9),
    hints=(
        "P = `torch.softmax(logits, dim=-1).mean(dim=0)`, with its gradient. For f, count: `logits.topk(k).indices` holds T·k expert indices, and indices are whole numbers without a gradient.",
        "`torch.bincount(indices.flatten(), minlength=N)` counts them (`functional.one_hot(indices, N)`, summed, does it too); divided by T·k this is f. The loss is `N * (f * P).sum()`.",
    ),
    idea="f says who has too much, and P is the handle: pressing P down where f is large makes the busy experts less likely for every token. f itself is a count and gives no gradient.",
    takeaway="In a loss that multiplies a count by a probability only the probability can learn; the count is a price tag.",
    answer="my_balance_loss",
    parameters=("logits", "k"),
    stands_for=("losses.load_balancing_loss", "losses.balance_of_layers"),
    when_raised="`logits` is a float32 tensor (T, N) that carries a gradient. Use torch's own `softmax`, `topk` and `bincount`: numpy and the course's numpy functions cannot take it. Whole numbers become float32 with `.to(logits.dtype)`.",
    needs_torch="tensors",
    slopes=("logits",),
    cases=balance_cases,
    reference=loss_and_slope,
    read=lambda value, h, k: without_dust(value, 1e-7),
    written=lambda h, k: f"logits of {h.shape[0]} tokens and {h.shape[1]} experts, k = {k}",
    parts={
        "the loss": by_value(
            "not divided by k: Your f sums to k: you divided the counts by T. Then balance gives k, not 1. f is the share of all T·k assignments. (Some libraries do it your way; then a coefficient means something else.)",
            with_factor(lambda T, N, k: k),
            "first choice only: Your f counts each token's first choice alone (argmax). Each token has k experts, and all of them count.",
            lambda h, k: h.shape[1] * float(chosen_share(h, 1) @ mean_probability(h)),
            "divided by k twice: One k too many: f is divided by T·k already, so that it sums to 1. Then the factor is N, not N/k. (N/k belongs to an f that sums to k.)",
            with_factor(lambda T, N, k: 1 / k),
            "N twice: The factor N is in it twice.",
            with_factor(lambda T, N, k: N),
            "T twice: You divided by the number of tokens once too often: P is a mean over them already.",
            with_factor(lambda T, N, k: 1 / T),
            "1 taken off: You took 1 off, perhaps so that balance gives 0. The loss asked for is N Σ fᵢPᵢ as it is.",
            lambda h, k: balance(h, k) - 1,
            "softmax of the mean logits: You averaged the logits over the tokens and took one softmax of that. Take each token's softmax first, then average.",
            lambda h, k: h.shape[1] * float(chosen_share(h, k) @ routing.softmax(h.astype(float).mean(axis=0))),
            "N missing: The factor N is missing: this is Σ fᵢPᵢ, which is 1/N at balance. (N times a *mean* over the experts takes the N away again: take the sum.)",
            with_factor(lambda T, N, k: 1 / N),
            "mean over the experts: You averaged fᵢPᵢ over the experts. The loss is N times their *sum*.",
            with_factor(lambda T, N, k: 1 / N**2),
            "probabilities summed: One T too many: Pᵢ is the *mean* probability over the tokens, not the sum.",
            with_factor(lambda T, N, k: T),
            "counts: Your f are counts. Divide them by T·k: f sums to 1.",
            with_factor(lambda T, N, k: T * k),
            "coefficient included: You multiplied by a coefficient of 0.01. Asked is the loss without one.",
            with_factor(lambda T, N, k: 0.01),
            "f is P: You used the mean probabilities twice: N Σ Pᵢ². One factor counts who was *selected*.",
            with_shares(lambda f, P, m, p, w: len(f) * P @ P),
            "P is f: You used the counted shares twice: N Σ fᵢ². Then nothing has a gradient. One factor is the mean probability.",
            with_shares(lambda f, P, m, p, w: len(f) * f @ f),
            "CV²: This is CV² of the counts. It measures balance well, but a count has no gradient; the Switch loss is N Σ fᵢPᵢ.",
            with_shares(lambda f, P, m, p, w: len(f) * f @ f - 1),
            "f from the gate weights: Your f is the mean gate weight: a soft count. f counts each selected expert as 1, whatever its weight.",
            with_shares(lambda f, P, m, p, w: len(f) * w.mean(axis=0) @ P),
            "kept probabilities only: Your P averages the probabilities of selected experts alone, with 0 for the others. P is the mean over all tokens, whether they chose the expert or not: that is how a dead expert hears anything.",
            with_shares(lambda f, P, m, p, w: len(f) * f @ (m * p).mean(axis=0)),
            "gate weights for P: Your P averages the gate weights. P is the mean of the softmax over *all* experts.",
            with_shares(lambda f, P, m, p, w: len(f) * f @ w.mean(axis=0)),
            "multiplied before the mean: You multiplied selection and probability token by token and averaged afterwards. Average each over the tokens first, then multiply.",
            with_shares(lambda f, P, m, p, w: len(f) * (m * p).sum() / m.sum()),
            "logits for P: Your P averages the logits. Take the softmax first.",
            lambda h, k: h.shape[1] * float(chosen_share(h, k) @ h.astype(float).mean(axis=0)),
            "softmax over the tokens: Your softmax runs over the tokens (dim 0). Each token has its own softmax over the experts: dim −1.",
            lambda h, k: h.shape[1] / h.shape[0],
            "one for each expert: These are N·fᵢ·Pᵢ, expert by expert. Add them up.",
            with_shares(lambda f, P, m, p, w: len(f) * f * P),
            "one for each token: These are the parts of the single tokens. Average them.",
            with_shares(lambda f, P, m, p, w: len(f) * p @ f),
        ),
        "∂L/∂logits": by_value(
            "P detached: The value is right, but no gradient reaches the logits. P must stay attached: no `.detach()`, `no_grad`, `.item()` or numpy on the way.",
            lambda h, k: np.zeros(h.shape),
            f"through f too: {THROUGH_F}",
            (
                lambda h, k: slope(h, chosen_share(h, k) + mean_probability(h)),
                lambda h, k: slope(h, chosen_share(h, k) + mean_probability(h) / k),
                lambda h, k: balance_slope(h, k) + weight_slope(h, k),
            ),
            f"through f alone: {F_ALONE}",
            (lambda h, k: slope(h, mean_probability(h)), lambda h, k: slope(h, mean_probability(h) / k), weight_slope),
        ),
    },
)
