"""Question 9.2: noisy top-k."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.calls import SeededGenerator
from moe_lessons.checks.gates import kept_probabilities, selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree
from moe_lessons.checks.verdicts import by_test, by_value

# T, d, N, k. In the last nothing is cut.
SIZES = ((4, 3, 5, 2), (5, 4, 6, 3), (6, 3, 4, 1), (3, 2, 3, 3))
NEARLY_CUT = -1e9  # where all logits of a token are set to it, all weights come out alike
LEAST_GAP = 1e-3  # between two logits of a token, so that nothing hangs on a rule for ties, in float32 too


def noisy_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (x, W_g, W_noise, k, train, seed): without noise and with it, for k = 2, 3, 1, and N."""
    return [case for size in SIZES for case in noisy_pair(rng, *size)]


def noisy_pair(rng: np.random.Generator, T: int, d: int, N: int, k: int) -> list[tuple]:
    """Return a case without noise and one with it, of the same arrays and seed. No two logits of a token are alike.

    Without noise, one of several logits of the first token that are kept is exactly 0.
    """
    while True:
        x, W_g, W_noise = (rng.normal(size=shape).round(1) + 0.05 for shape in ((T, d), (d, N), (d, N)))
        x[0] = np.eye(d)[0]  # its logits are the first row of W_g
        W_g[0] -= np.sort(W_g[0])[-k] * (k > 1)  # the last that is kept is 0, but not the only one
        pair = [(x, W_g, W_noise, k, train, seed) for seed in [int(rng.integers(10_000))] for train in (False, True)]
        gaps = [np.diff(np.sort(noisy_scores(*case))).min() for case in pair]
        if min(gaps) > LEAST_GAP:
            return pair


def noisy_scores(x: np.ndarray, W_g: np.ndarray, W_noise: np.ndarray, k: int, train: bool, seed: int) -> np.ndarray:
    """Return the logits (T, N), with noise in training."""
    h = x @ W_g  # (T, N)
    noise = np.random.default_rng(seed).standard_normal(h.shape)  # (T, N)
    return h + train * noise * softplus(x @ W_noise)


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
    return isinstance(value, np.ndarray) and value.shape in ((2, len(x), k), (2, len(x), W_g.shape[1]))


def are_two(value: Any, drawn: bool, *case: Any) -> bool:
    """Tell whether two things came, the first of which is right."""
    several = isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim > 0)
    return several and len(value) == 2 and agree(value[0], noisy_top_k(*case))


def marked(h: np.ndarray, many: int) -> np.ndarray:
    """Mark the `many` largest of each row of h (T, N), from 1 to N."""
    return selected_mask(h, min(max(many, 1), h.shape[1]))


@np.errstate(invalid="ignore")
def above_the_kth(h: np.ndarray, noisy: np.ndarray, k: int) -> np.ndarray:
    """Return the weights of those above the k-th logit; NaN where there are none. (T, N)."""
    return per_token(np.where(marked(noisy, k - 1) & (k > 1), np.exp(noisy), 0))


def over_the_tokens(h: np.ndarray, noisy: np.ndarray, k: int) -> np.ndarray:
    """Return the softmax of the kept logits over the tokens, 0 for an expert that no token keeps. (T, N)."""
    e = np.where(selected_mask(noisy, k), np.exp(noisy), 0)  # (T, N)
    return e / np.maximum(e.sum(axis=0), 1e-300)


def first_columns(h: np.ndarray, noisy: np.ndarray, k: int) -> np.ndarray:
    """Return the k weights, largest first, in the first k columns. (T, N)."""
    return -np.sort(-routing.gate_weights(noisy, k), axis=-1)


def per_token(e: np.ndarray) -> np.ndarray:
    """Return e (T, N) divided by the sum of each row."""
    return e / e.sum(axis=-1, keepdims=True)


def before_the_product(logits: Callable) -> Callable:
    """Return the gate that, when train is set, routes by logits(x, W_g, W_noise, rng); else by x W_g."""

    def weights(x: np.ndarray, W_g: np.ndarray, W_noise: np.ndarray, k: int, train: bool, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return routing.gate_weights(logits(x, W_g, W_noise, rng) if train else x @ W_g, k)  # (T, N)

    return weights


def added_late(finish: Callable) -> Callable:
    """Return finish(h, noise, k) of clean logits and of noise (T, N) that is 0 without `train`."""

    def weights(x: np.ndarray, W_g: np.ndarray, W_noise: np.ndarray, k: int, train: bool, seed: int) -> np.ndarray:
        h = x @ W_g  # (T, N)
        return finish(h, noisy_scores(x, W_g, W_noise, k, train, seed) - h, k)

    return weights


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
        (
            with_noisy_logits(lambda h, e, z: h * (1 + e * softplus(z))),
            with_noisy_logits(lambda h, e, z: h * e * softplus(z)),
        ),
        "noise alone: You routed by the noise alone. It is added to the logits x W_g.",
        with_noisy_logits(lambda h, e, z: e * softplus(z)),
        "scale from the logits: Your scale is softplus(x W_g). The noise has a matrix of its own: softplus(x W_noise).",
        with_noisy_logits(lambda h, e, z: h + e * softplus(h)),
        "sign in softplus: Your scale is softplus(−x W_noise). The sign does not belong there: softplus(z) = ln(1 + e^z).",
        with_noisy_logits(lambda h, e, z: h + e * softplus(-z)),
        "another function: Your scale is another function of x W_noise, such as a square, tanh or a softmax. Softplus is ln(1 + e^z), of each number on its own.",
        (
            with_noisy_logits(lambda h, e, z: h + e * z**2),
            with_noisy_logits(lambda h, e, z: h + e * np.log1p(z**2)),
            with_noisy_logits(lambda h, e, z: h + e * np.tanh(z)),
            with_noisy_logits(lambda h, e, z: h + e * routing.softmax(z)),
        ),
        "noise of the selected: You gave noise only to the experts that the clean logits select. Every expert gets some, so that others can get in.",
        with_gate(lambda h, noisy, k: routing.gate_weights(np.where(selected_mask(h, k), noisy, h), k)),
        "another logarithm: Your logarithm is to base 2 or 10. Softplus takes the natural one: `np.log`, or `np.logaddexp(0, z)`.",
        (
            with_noisy_logits(lambda h, e, z: h + e * softplus(z) / np.log(2)),
            with_noisy_logits(lambda h, e, z: h + e * softplus(z) / np.log(10)),
        ),
        "size of x W_noise: Your scale is |x W_noise|. It is positive, but it is not softplus(z) = ln(1 + e^z).",
        (
            with_noisy_logits(lambda h, e, z: h + e * np.abs(z)),
            with_noisy_logits(lambda h, e, z: h + e * np.log1p(np.abs(z))),
        ),
        "one scale for all experts: Your scale is a mean or a sum over the experts. Every token has its own scale for every expert.",
        (
            with_noisy_logits(lambda h, e, z: h + e * softplus(z).mean()),
            with_noisy_logits(lambda h, e, z: h + e * softplus(z).sum()),
            with_noisy_logits(lambda h, e, z: h + e * softplus(z).mean(axis=-1, keepdims=True)),
            with_noisy_logits(lambda h, e, z: h + e * softplus(z).sum(axis=-1, keepdims=True)),
        ),
        "one scale for all tokens: Your scale is a mean or a sum over the tokens. Every token has its own scale for every expert.",
        (
            with_noisy_logits(lambda h, e, z: h + e * softplus(z).mean(axis=0)),
            with_noisy_logits(lambda h, e, z: h + e * softplus(z).sum(axis=0)),
            with_noisy_logits(lambda h, e, z: h + e * softplus(z.mean(axis=0))),
        ),
        "matrices exchanged: W_g and W_noise are exchanged: the logits are x W_g, the scale is softplus(x W_noise).",
        with_noisy_logits(lambda h, e, z: z + e * softplus(h)),
        "size of the noise: You took the size of the noise, so that it only ever raises a logit. It may be negative.",
        with_noisy_logits(lambda h, e, z: h + np.abs(e) * softplus(z)),
        "scale added: You added the scale in place of multiplying: the noise is ε · softplus(x W_noise).",
        (
            with_noisy_logits(lambda h, e, z: h + e + softplus(z)),
            with_noisy_logits(lambda h, e, z: h + softplus(e + z)),
            with_noisy_logits(lambda h, e, z: h + softplus(z)),
        ),
        "softplus before the product: Softplus is taken before the product. It is around x W_noise: first the product, then softplus.",
        (
            before_the_product(
                lambda x, G, noise, rng: x @ G + rng.standard_normal((len(x), G.shape[1])) * (softplus(x) @ noise)
            ),
            before_the_product(
                lambda x, G, noise, rng: x @ G + rng.standard_normal((len(x), G.shape[1])) * (x @ softplus(noise))
            ),
        ),
        "noise on the tokens: You added the noise to the tokens. It is added to the logits, (T, N).",
        before_the_product(lambda x, G, noise, rng: (x + rng.standard_normal(x.shape)) @ G),
        "noise on the weights: You added the noise after the softmax. It is added to the logits.",
        (
            added_late(lambda h, noise, k: routing.gate_weights(h, k) + noise),
            added_late(lambda h, noise, k: per_token(np.where(marked(p := routing.softmax(h) + noise, k), p, 0))),
        ),
        "noise on the probabilities: You took a softmax first, added the noise to the probabilities, and took another softmax. The noise is added to the logits, and there is one softmax, over the k largest of these.",
        added_late(lambda h, noise, k: routing.gate_weights(routing.softmax(h) + noise, k)),
        "divided by the scale: You divided by the noise scale. The noise, ε · softplus(x W_noise), is added to the logits, and nothing is divided.",
        (
            with_noisy_logits(lambda h, e, z: h / softplus(z) + e),
            with_noisy_logits(lambda h, e, z: h + e / softplus(z)),
        ),
        "floor of 0.01: You added 0.01 to the scale. Shazeer's published code does that; the formula asked for here does not.",
        with_noisy_logits(lambda h, e, z: h + e * (softplus(z) + 0.01)),
        "noise after top-k: You chose the experts by the clean logits and added the noise afterwards. Then it never brings in another expert. Add it first.",
        with_gate(lambda h, noisy, k: softmax_where(selected_mask(h, k), noisy)),
        "kept probabilities, and no softplus: Two things. You took the softmax over all experts and cut afterwards, so your weights do not sum to 1: here it is over the k selected logits. And the noise is scaled by x W_noise itself: put softplus around it.",
        lambda x, W_g, W_noise, k, train, seed: kept_probabilities(
            x @ W_g + train * np.random.default_rng(seed).standard_normal((len(x), W_g.shape[1])) * (x @ W_noise), k
        ),
        "noise for the choice only: You chose by the noisy logits, but the weights come from the clean ones. Here the softmax is over the noisy logits too.",
        with_gate(lambda h, noisy, k: softmax_where(selected_mask(noisy, k), h)),
        "masked with 0: Unselected experts still carry weight: you set their logits to 0, and e⁰ = 1. Mask with −∞.",
        with_gate(lambda h, noisy, k: softmax_where(selected_mask(noisy, k), noisy, 0)),
        "masked with 0, then cut: You set the unselected logits to 0, and e⁰ = 1 takes its part of the sum: your weights do not sum to 1, although you cut afterwards. Mask with −∞ before the softmax.",
        with_gate(lambda h, noisy, k: selected_mask(noisy, k) * softmax_where(selected_mask(noisy, k), noisy, 0)),
        "masked with a finite number: Unselected experts still carry weight: the number that you masked with is not small enough. Mask with −∞.",
        tuple(
            with_gate(lambda h, noisy, k, cut=cut: softmax_where(selected_mask(noisy, k), noisy, cut))
            for cut in (-1.0, -2.0, -5.0, -10.0)
        ),
        "softmax over the tokens: Your softmax runs over the tokens (axis 0). It runs over the experts of each token: the last axis.",
        with_gate(over_the_tokens),
        "not divided: Your weights are e^h, not divided by their sum over the k selected.",
        with_gate(lambda h, noisy, k: np.where(selected_mask(noisy, k), np.exp(noisy), 0)),
        "no exponential: You divided the kept logits by their sum. A softmax takes e^h of each first.",
        with_gate(lambda h, noisy, k: per_token(np.where(selected_mask(noisy, k), noisy, 0))),
        "smallest kept: You kept the k smallest: sorting goes upwards.",
        with_gate(lambda h, noisy, k: softmax_where(selected_mask(-noisy, k), noisy)),
        "one too many: You keep k + 1 experts.",
        with_gate(lambda h, noisy, k: softmax_where(marked(noisy, k + 1), noisy)),
        "one too few: You keep k − 1 experts: the k-th largest is selected too, `>=`, not `>`.",
        (
            with_gate(lambda h, noisy, k: softmax_where(marked(noisy, k - 1), noisy)),
            with_gate(above_the_kth),
            with_gate(lambda h, noisy, k: np.nan_to_num(above_the_kth(h, noisy, k))),
            with_gate(lambda h, noisy, k: softmax_where(marked(noisy, k - 1) & (k > 1), noisy, NEARLY_CUT)),
        ),
        "k built in: You keep the same number of experts, whatever k is.",
        tuple(
            with_gate(lambda h, noisy, k, many=many: softmax_where(marked(noisy, many), noisy)) for many in (1, 2, 3)
        ),
        "largest sizes: You kept the logits that are largest in size, |h|. The largest are kept: a very negative one is not.",
        with_gate(lambda h, noisy, k: softmax_where(selected_mask(np.abs(noisy), k), noisy)),
        "a kept 0 taken for cut: A kept logit that is exactly 0 got no weight: you told kept from cut by whether a number is 0. Use the mask itself.",
        with_gate(lambda h, noisy, k: softmax_where(selected_mask(noisy, k) & (noisy != 0), noisy)),
        "first columns: The k weights stand in the first k columns, largest first. Put each at the index of its own expert.",
        with_gate(first_columns),
        "mask: This marks who is selected, all alike. Asked are the weights: a softmax over the k selected logits.",
        (
            with_gate(lambda h, noisy, k: selected_mask(noisy, k)),
            with_gate(lambda h, noisy, k: selected_mask(noisy, k) / k),
        ),
        "kept probabilities: You took the softmax over all experts and cut afterwards, so your weights do not sum to 1. Here the softmax is over the k selected logits.",
        with_gate(lambda h, noisy, k: routing.gate_weights(noisy, k, "softmax_topk")),
        "sigmoid weights: Your weights are sigmoids, one for each expert on its own. Here they are a softmax over the k selected logits.",
        with_gate(lambda h, noisy, k: selected_mask(noisy, k) / (1 + np.exp(-noisy))),
        "nothing cut: Every expert has a weight: keep the k largest logits and set the others to −∞ before the softmax.",
        with_gate(lambda h, noisy, k: routing.softmax(noisy)),
        "drawn twice: Your noise is not the first draw: you drew from `rng` before. Draw once, with the shape (T, N); the check repeats that.",
        with_draw(lambda rng, T, N: (rng.standard_normal((T, N)), rng.standard_normal((T, N)))[1]),
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
        (
            with_gate(lambda h, noisy, k: softmax_where(selected_mask(noisy, k), routing.softmax(noisy))),
            with_gate(lambda h, noisy, k: routing.softmax(routing.gate_weights(noisy, k))),
        ),
        "weights in the wrong places: The k weights are right, but they stand at the wrong experts: largest first, while the experts are in order of their index. Put each weight at the index of its own expert.",
        with_gate(in_index_order),
        "indices for logits: `top_k(h, k)` returns a pair, values first, then indices: you took the softmax over the indices.",
        (with_gate(lambda h, noisy, k: routing.softmax(routing.top_k(noisy, k)[1])), with_gate(indices_in_place)),
        "only the selected: These are k weights for each token. Return one for each expert, 0 for the unselected: (T, N).",
        with_gate(lambda h, noisy, k: routing.softmax(routing.top_k(noisy, k)[0])),
        "logits: These are the logits. Go on: the k largest, then the softmax.",
        (
            with_gate(lambda h, noisy, k: noisy),
            with_gate(lambda h, noisy, k: np.where(selected_mask(noisy, k), noisy, -np.inf)),
            with_gate(lambda h, noisy, k: np.where(selected_mask(noisy, k), noisy, 0)),
        ),
    )
    + by_test(
        "pair of top_k: What came has an axis of 2 in front: `top_k(h, k)` returns a pair, the k largest values and their indices, and you went on with both. Take it apart: `values, selected = top_k(h, k)`.",
        is_pair,
        "two things: You return two things. Return the weights alone, (T, N).",
        are_two,
        "not from rng: Right without noise. With train = True nothing is drawn from `rng`: take the noise from there, as `rng.standard_normal(...)`, so that a run can be repeated.",
        nothing_drawn,
        ": Right without noise. With train = True it is not.",
        clean_is_right,
    ),
)
