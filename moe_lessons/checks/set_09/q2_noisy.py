"""Question 9.2: noisy top-k."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.calls import SeededGenerator
from moe_lessons.checks.gates import selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree
from moe_lessons.checks.verdicts import by_test, by_value


def noisy_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (x, W_g, W_noise, k, train, seed): without noise and with it, for k = 2, 3 and 1."""
    cases = []
    for T, d, N, k in ((4, 3, 5, 2), (5, 4, 6, 3), (6, 3, 4, 1)):
        x, W_g, W_noise = (rng.normal(size=shape).round(1) + 0.05 for shape in ((T, d), (d, N), (d, N)))
        cases += [(x, W_g, W_noise, k, train, int(rng.integers(10_000))) for train in (False, True)]
    return cases


def softplus(z: np.ndarray) -> np.ndarray:
    """Return ln(1 + e^z), same shape."""
    return np.logaddexp(0, z)


def with_noisy_logits(logits: Callable) -> Callable:
    """Return the gate of form A that, when train is set, routes by logits(h, ε, z), with z = x W_noise, (T, N) each."""

    def weights(x: np.ndarray, W_g: np.ndarray, W_noise: np.ndarray, k: int, train: bool, seed: int) -> np.ndarray:
        h, z = x @ W_g, x @ W_noise  # (T, N)
        noise = np.random.default_rng(seed).standard_normal(h.shape)  # (T, N)
        return routing.gate_weights(logits(h, noise, z) if train else h, k)  # (T, N)

    return weights


noisy_top_k = with_noisy_logits(lambda h, noise, z: h + noise * softplus(z))


def when(rule: Callable) -> Callable:
    """Return the right gate, with noise where rule(train) says so."""
    return lambda x, W_g, W_noise, k, train, seed: noisy_top_k(x, W_g, W_noise, k, rule(train), seed)


def with_draw(draw: Callable) -> Callable:
    """Return the right gate with other noise: draw(rng, T, N), which broadcasts to (T, N)."""

    def weights(x: np.ndarray, W_g: np.ndarray, W_noise: np.ndarray, k: int, train: bool, seed: int) -> np.ndarray:
        h = x @ W_g  # (T, N)
        noise = draw(np.random.default_rng(seed), *h.shape)  # broadcasts to (T, N)
        return routing.gate_weights(h + train * noise * softplus(x @ W_noise), k)  # (T, N)

    return weights


def with_gate(gate: Callable) -> Callable:
    """Return what `gate` makes of the clean logits, the noisy ones (equal without noise) and k."""

    def weights(x: np.ndarray, W_g: np.ndarray, W_noise: np.ndarray, k: int, train: bool, seed: int) -> np.ndarray:
        h = x @ W_g  # (T, N)
        noisy = routing.noisy_logits(x, W_g, W_noise, np.random.default_rng(seed)) if train else h  # (T, N)
        return gate(h, noisy, k)

    return weights


def softmax_where(mask: np.ndarray, h: np.ndarray, cut: float = -np.inf) -> np.ndarray:
    """Return the softmax of h (T, N) after what is not marked is set to `cut`."""
    return routing.softmax(np.where(mask, h, cut))


def in_index_order(h: np.ndarray, noisy: np.ndarray, k: int) -> np.ndarray:
    """Return the k weights, largest first, at the selected experts in order of their index. (T, N)."""
    values, selected = routing.top_k(noisy, k)  # (T, k) each
    weights = np.zeros(noisy.shape)  # (T, N)
    np.put_along_axis(weights, np.sort(selected, axis=-1), routing.softmax(values), axis=-1)
    return weights


def indices_in_place(h: np.ndarray, noisy: np.ndarray, k: int) -> np.ndarray:
    """Return the softmax of the selected indices, each at its own expert. (T, N)."""
    _, selected = routing.top_k(noisy, k)  # (T, k)
    weights = np.zeros(noisy.shape)  # (T, N)
    np.put_along_axis(weights, selected, routing.softmax(selected), axis=-1)
    return weights


def clean_is_right(value: Any, drawn: bool, *case: Any) -> bool:
    """Tell whether the weights are right, or have noise."""
    train = case[4]
    return train or agree(value, noisy_top_k(*case))


def nothing_drawn(value: Any, drawn: bool, *case: Any) -> bool:
    """Tell whether the weights are right without noise, and with it nothing was drawn."""
    train = case[4]
    return clean_is_right(value, drawn, *case) and not (train and drawn)


def is_pair(value: Any, drawn: bool, *case: Any) -> bool:
    """Tell whether the two things that top_k returns came in one array, k or N wide."""
    (x, W_g), k = case[:2], case[3]
    return np.shape(value) in ((2, len(x), k), (2, len(x), W_g.shape[1]))


NOISY = FunctionQuestion(
    **about("9.2", "Noisy top-k", "write it", "medium", points=2, minutes=8),
    hints=(
        "softplus(z) = ln(1 + e^z) is always above 0: `np.logaddexp(0, z)`. Its argument is x W_noise, (T, N): every token has its own noise scale for every expert.",
        "First the logits, noisy only `if train`. After that nothing knows of the noise any more: the k largest of *these* logits, −∞ for the others, softmax.",
    ),
    idea="The noise goes in before the choice, so that it moves the choice: an expert just outside the top-k sometimes gets a token. Its size is learned for each token and expert. When the model is used, the flag switches it off.",
    takeaway="Noise belongs before the choice and to training alone: left on in use, the same token takes another way each time.",
    answer="my_noisy_top_k",
    parameters=("x", "W_g", "W_noise", "k", "train", "rng"),
    stands_for=("routing.noisy_logits",),
    when_raised="The shapes: x (T, d), W_g and W_noise (d, N), so `x @ W_g` and `x @ W_noise` are (T, N), and so is the noise. `top_k(h, k)` returns a pair: values, selected, (T, k) each.",
    cases=noisy_cases,
    reference=noisy_top_k,
    helper=SeededGenerator,
    mistakes=by_value(
        "noise left on: Your noise is on with train = False too. Then the same token can get other experts each time the model is used.",
        when(lambda train: True),
        "never noise: There is no noise with train = True. Is `train` used?",
        when(lambda train: False),
        "flag turned round: The flag is the wrong way round: you add noise when train is False.",
        when(lambda train: not train),
        "one global scale: Your noise has the same scale, 1, for every token and expert; W_noise is not used. Scale it by softplus(x W_noise).",
        with_noisy_logits(lambda h, e, z: h + e),
        "softplus forgotten: You scaled the noise by x W_noise itself. A scale must be above 0: put softplus around it.",
        with_noisy_logits(lambda h, e, z: h + e * z),
        "softplus twice: Softplus is taken twice. ln(1 + e^z) is all of it: `np.logaddexp(0, z)` or torch's `softplus`, once, around x W_noise.",
        with_noisy_logits(lambda h, e, z: h + e * softplus(softplus(z))),
        "exp: Your scale is exp(x W_noise). Softplus is ln(1 + e^z): for large z it grows like z, not like e^z.",
        with_noisy_logits(lambda h, e, z: h + e * np.exp(z)),
        "no logarithm: Your scale is 1 + exp(x W_noise). The logarithm is missing: softplus(z) = ln(1 + e^z).",
        with_noisy_logits(lambda h, e, z: h + e * (1 + np.exp(z))),
        "sigmoid: Your scale is sigmoid(x W_noise), which cannot exceed 1. Softplus is ln(1 + e^z).",
        with_noisy_logits(lambda h, e, z: h + e / (1 + np.exp(-z))),
        "ReLU: Your scale is ReLU(x W_noise), which is 0 for half of the inputs: no noise there, and no gradient. Softplus is ln(1 + e^z).",
        with_noisy_logits(lambda h, e, z: h + e * np.maximum(z, 0)),
        "softplus around all: Your softplus is around the product with the noise, so the noise only ever raises a logit. It belongs around x W_noise alone.",
        with_noisy_logits(lambda h, e, z: h + softplus(e * z)),
        "taken for a variance: You took the root of the softplus. It is the standard deviation itself, not the variance.",
        with_noisy_logits(lambda h, e, z: h + e * np.sqrt(softplus(z))),
        "squared: You squared the softplus. It is the standard deviation itself, and a factor in front of a standard normal draw is one.",
        with_noisy_logits(lambda h, e, z: h + e * softplus(z) ** 2),
        "subtracted: You subtracted the noise. That is as random, but the check repeats your draws: add them.",
        with_noisy_logits(lambda h, e, z: h - e * softplus(z)),
        "multiplied: You multiplied the logits by the noise. It is added.",
        with_noisy_logits(lambda h, e, z: h * (1 + e * softplus(z))),
        "noise alone: You routed by the noise alone. It is added to the logits x W_g.",
        with_noisy_logits(lambda h, e, z: e * softplus(z)),
        "scale from the logits: Your scale is softplus(x W_g). The noise has a matrix of its own: softplus(x W_noise).",
        with_noisy_logits(lambda h, e, z: h + e * softplus(h)),
        "floor of 0.01: You added 0.01 to the scale. Shazeer's published code does that; the formula asked for here does not.",
        with_noisy_logits(lambda h, e, z: h + e * (softplus(z) + 0.01)),
        "noise after top-k: You chose the experts by the clean logits and added the noise afterwards. Then it never brings in another expert. Add it first.",
        with_gate(lambda h, noisy, k: softmax_where(selected_mask(h, k), noisy)),
        "noise for the choice only: You chose by the noisy logits, but the weights come from the clean ones. Here the softmax is over the noisy logits too.",
        with_gate(lambda h, noisy, k: softmax_where(selected_mask(noisy, k), h)),
        "masked with 0: Unselected experts still carry weight: you set their logits to 0, and e⁰ = 1. Mask with −∞.",
        with_gate(lambda h, noisy, k: softmax_where(selected_mask(noisy, k), noisy, 0)),
        "kept probabilities: You took the softmax over all experts and cut afterwards, so your weights do not sum to 1. Here the softmax is over the k selected logits.",
        with_gate(lambda h, noisy, k: routing.gate_weights(noisy, k, "softmax_topk")),
        "nothing cut: Every expert has a weight: keep the k largest logits and set the others to −∞ before the softmax.",
        with_gate(lambda h, noisy, k: routing.softmax(noisy)),
        "uniform noise: Your noise is uniform, from −1 to 1. It should be Gaussian: `rng.standard_normal`.",
        with_draw(lambda rng, T, N: rng.uniform(-1, 1, (T, N))),
        "uniform from 0: Your noise is uniform, from 0 to 1 (`rng.random`): it only ever raises a logit. It should be Gaussian: `rng.standard_normal`.",
        with_draw(lambda rng, T, N: rng.random((T, N))),
        "one draw for each expert: All tokens share the same N draws. Every token draws its own: shape (T, N).",
        with_draw(lambda rng, T, N: rng.standard_normal(N)),
        "one draw for each token: All experts of a token share one draw. Every expert draws its own: shape (T, N).",
        with_draw(lambda rng, T, N: rng.standard_normal((T, 1))),
        "one draw: You drew a single number. Every token draws one for every expert: shape (T, N).",
        with_draw(lambda rng, T, N: rng.standard_normal()),
        "drawn as (N, T): You drew the noise as (N, T) and transposed it. That is as random, but the check repeats your draws: one call with the shape (T, N).",
        with_draw(lambda rng, T, N: rng.standard_normal((N, T)).T),
        "softmax twice: Your weights are a softmax of probabilities: the softmax is taken twice, which flattens them. Take it once, over the k selected *logits*.",
        with_gate(lambda h, noisy, k: softmax_where(selected_mask(noisy, k), routing.softmax(noisy))),
        "weights in the wrong places: The k weights are right, but they stand at the wrong experts: largest first, while the experts are in order of their index. Put each weight at the index of its own expert.",
        with_gate(in_index_order),
        "indices for logits: `top_k(h, k)` returns a pair, values first, then indices: you took the softmax over the indices.",
        (with_gate(lambda h, noisy, k: routing.softmax(routing.top_k(noisy, k)[1])), with_gate(indices_in_place)),
        "only the selected: These are k weights for each token. Return one for each expert, 0 for the unselected: (T, N).",
        with_gate(lambda h, noisy, k: routing.softmax(routing.top_k(noisy, k)[0])),
        "logits: These are the logits. Go on: the k largest, then the softmax.",
        with_gate(lambda h, noisy, k: noisy),
    )
    + by_test(
        "pair of top_k: What came has an axis of 2 in front: `top_k(h, k)` returns a pair, the k largest values and their indices, and you went on with both. Take it apart: `values, selected = top_k(h, k)`.",
        is_pair,
        "not from rng: Right without noise. With train = True nothing is drawn from `rng`: take the noise from there, as `rng.standard_normal(...)`, so that a run can be repeated.",
        nothing_drawn,
        ": Right without noise. With train = True it is not.",
        clean_is_right,
    ),
)
