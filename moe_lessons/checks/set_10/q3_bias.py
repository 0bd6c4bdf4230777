"""Question 10.3: the bias update."""

from collections.abc import Callable

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value

LEAST_GAP = 5e-5  # between two biased scores of a token: who is selected must not hang on rounding


def update_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (scores (T, N), bias (N,), u, k).

    In one the last expert is idle; in two an expert is just at the mean; one tells wrong loads apart.
    """
    return [
        update_case(rng, 3, 4, 2, fits=last_is_idle),
        update_case(rng, 4, 4, 2, fits=one_at_mean),
        update_case(rng, 32, 8, 2, fits=one_at_mean),
        update_case(rng, 20, 9, 4, 0.3, fits=loads_differ),
        update_case(rng, 25, 6, 1),
    ]


def update_case(
    rng: np.random.Generator, T: int, N: int, k: int, lean: float = 1.0, fits: Callable = lambda s, b, k: True
) -> tuple:
    """Draw until no two biased scores of a token are close, nor two scores, and fits(scores, bias, k).

    lean: how much the scores favour the first experts, and how large the biases are.
    """
    while True:
        scores = (1 / (1 + np.exp(-rng.normal(lean * np.linspace(1, -0.5, N), 1, size=(T, N))))).round(4)  # (T, N)
        bias = rng.permutation(lean * np.linspace(-0.3, 0.35, N)).round(2)  # (N,)
        gaps = np.diff(np.sort([scores, scores + bias]), axis=-1)  # (2, T, N − 1)
        if gaps.min() > LEAST_GAP and fits(scores, bias, k):
            return scores, bias, float(rng.choice([0.01, 0.02, 0.05])), k


def last_is_idle(s: np.ndarray, b: np.ndarray, k: int) -> bool:
    """Tell whether no token selects the last expert, which `np.bincount` then leaves out unless told of it."""
    return len(b) - 1 not in top(s + b, k)


def one_at_mean(s: np.ndarray, b: np.ndarray, k: int) -> bool:
    """Tell whether one expert has just the mean load, one more, one less."""
    load = counts(top(s + b, k), len(b))  # (N,)
    return {-1, 0, 1} == set(np.sign(load - load.mean()))


def loads_differ(s: np.ndarray, b: np.ndarray, k: int) -> bool:
    """Tell whether the load and everything that is taken for it move the bias in ways of their own."""
    selected = top(s + b, k)  # (T, k)
    choices = [counts(chosen, len(b)) for chosen in (selected, selected[:, 0], top(s, k))]  # (N,) each
    dense = gates(s, s + b, k), gates(s + b, s + b, k), s  # (T, N) each
    loads = [*choices, *(weights.sum(axis=0) for weights in dense)]  # (N,) each
    return len({tuple(np.sign(load - load.mean())) for load in loads}) == len(loads)


def top(h: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the k largest of each row, best first. h (T, N). Returns (T, k)."""
    return routing.top_k(h, k)[1]


def counts(selected: np.ndarray, N: int) -> np.ndarray:
    """Return how many assignments each expert has, (N,)."""
    return np.bincount(selected.ravel(), minlength=N)


def of_selected(values: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Return the values (T, N) of the selected (T, k), same shape as those."""
    return np.take_along_axis(values, selected, axis=-1)


def normalised(values: np.ndarray) -> np.ndarray:
    """Divide each row by its sum, same shape."""
    return values / values.sum(axis=-1, keepdims=True)


def gates(values: np.ndarray, biased: np.ndarray, k: int) -> np.ndarray:
    """Return the values of the k selected, normalised, and 0 for the other experts. All (T, N)."""
    return normalised(np.where(selected_mask(biased, k), values, 0))


def step(scores: np.ndarray, bias: np.ndarray, u: float, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the selected (T, k), their weights (T, k), and the bias after the update (N,)."""
    selected = top(scores + bias, k)  # (T, k)
    load = counts(selected, len(bias))  # (N,)
    return selected, normalised(of_selected(scores, selected)), bias + u * np.sign(load.mean() - load)


def selected_by(values: Callable) -> Callable:
    """Return the step's selection by other values(scores, bias)."""
    return lambda s, b, u, k: top(values(s, b), k)


def of_right(wrong: Callable) -> Callable:
    """Return wrong(the right selection (T, k), scores (T, N), biased scores (T, N))."""
    return lambda s, b, u, k: wrong(top(s + b, k), s, s + b)


def by_the_score(selected: np.ndarray, s: np.ndarray, biased: np.ndarray) -> np.ndarray:
    """Return the selected (T, k) with the largest score first."""
    return of_selected(selected, np.argsort(-of_selected(s, selected), axis=-1))  # (T, k)


def weighed_by(wrong: Callable) -> Callable:
    """Return wrong(s of the selected (T, k), s + b of them, s (T, N))."""
    return of_right(lambda selected, s, biased: wrong(of_selected(s, selected), of_selected(biased, selected), s))


def moved_by(move: Callable) -> Callable:
    """Return b + move(load (N,) in counts, u, T, k)."""
    return lambda s, b, u, k: b + move(counts(top(s + b, k), len(b)), u, len(s), k)


def moved_by_load(load: Callable) -> Callable:
    """Return the right update from another load(scores, bias, k), (N,)."""
    return lambda s, b, u, k: b + u * np.sign((f := load(s, b, k)).mean() - f)


UPDATE = FunctionQuestion(
    **about("10.3", "The bias update", "write it", "medium", points=2, minutes=8),
    hints=(
        "The bias is used once, for the selection: `np.argsort(-(scores + bias), axis=-1)[:, :k]`. (The imported `top_k` returns two things: values, then indices.) The weights are the *scores* of those experts, divided by their sum.",
        "`np.take_along_axis(scores, selected, axis=-1)` picks the scores. Count the load with `np.bincount(selected.ravel(), minlength=N)`; then add `u * np.sign(load.mean() - load)` to the bias.",
    ),
    idea="The bias decides who is asked, the score decides how much it counts. So balancing changes the output only through the selection, and no gradient is bent. The sign alone moves the bias, by u, however far the load is off.",
    takeaway="A bias that only chooses leaves the weights, and so the gradient of the task, as they were: balance without a second loss pulling at the router.",
    answer="my_step",
    parameters=("scores", "bias", "u", "k"),
    stands_for=("balancing.BiasBalancer",),
    when_raised="scores is (T, N) and bias (N,): `scores + bias` adds the same bias to every token. The selected are (T, k); flatten them before counting.",
    cases=update_cases,
    reference=step,
    parts={
        "selected": by_value(
            "without the bias: You select by the scores alone. The bias is there for the selection: the k largest of s + b.",
            selected_by(lambda s, b: s),
            "bias subtracted: You select by s − b. A raised bias should make an expert *more* likely to be selected: s + b.",
            selected_by(lambda s, b: s - b),
            "bias multiplied: You select by s · b. The bias is added.",
            selected_by(lambda s, b: s * b),
            "softmax of the scores: You put the scores through a softmax before adding the bias. They are scores already: add b to them as they are.",
            selected_by(lambda s, b: routing.softmax(s) + b),
            "smallest: You selected the k smallest of s + b. `np.argsort` sorts upwards: take `-(scores + bias)`.",
            selected_by(lambda s, b: -(s + b)),
            "worst first: The right experts, but the best comes last. Best first is asked.",
            of_right(lambda selected, s, biased: selected[:, ::-1]),
            "by number: The right experts, but in the order of their numbers. Asked is the largest s + b first.",
            of_right(lambda selected, s, biased: np.sort(selected)),
            "by the score: The right experts, but ordered by their scores alone. Asked is the largest s + b first.",
            of_right(by_the_score),
            "exchanged: These are the weights: `selected` and `weights` are exchanged. Return the indices first.",
            lambda s, b, u, k: step(s, b, u, k)[1],
        ),
        "weights": by_value(
            "bias in the weights: The bias is in your gate weights: you normalised s + b. It is for the selection only; weigh by s. Else the output changes whenever the bias does.",
            weighed_by(lambda own, biased, s: normalised(biased)),
            "bias in the weights, not normalised: These are s + b. Weigh by s alone, divided by its sum over the selected.",
            weighed_by(lambda own, biased, s: biased),
            "not normalised: These are the scores of the selected. Divide them by their sum in each row.",
            weighed_by(lambda own, biased, s: own),
            "normalised over all: You divided by the sum over all N experts. Divide by the sum over the selected.",
            weighed_by(lambda own, biased, s: own / s.sum(axis=-1, keepdims=True)),
            "softmax: You took a softmax over the selected scores. Divide them by their sum: they are positive already.",
            weighed_by(lambda own, biased, s: routing.softmax(own)),
            "for all experts: Your weights are right but (T, N), with zeros. Asked are those of the selected, (T, k), in the same order.",
            lambda s, b, u, k: gates(s, s + b, k),
        ),
        "new_bias": by_value(
            "wrong sign: Your update goes the wrong way: it raises experts that have too much, so that they get more. sign(mean load − load).",
            moved_by(lambda load, u, T, k: u * np.sign(load - load.mean())),
            "proportional to the counts: You moved each bias by u times the difference of the loads. Only its sign counts: an expert one token short moves as far as a dead one.",
            moved_by(lambda load, u, T, k: u * (load.mean() - load)),
            "proportional to the shares: You moved each bias in proportion to the difference of the shares. Only its sign counts: by u up or down.",
            moved_by(lambda load, u, T, k: u * (load.mean() - load) / (T * k)),
            "proportional, relative to the mean: You moved each bias in proportion to (mean − load) / mean. Only the sign counts: by u up or down.",
            moved_by(lambda load, u, T, k: u * (1 - load / load.mean())),
            "only the change: This is only what is added, u · sign(mean load − load). Add it to the bias.",
            lambda s, b, u, k: step(s, b, u, k)[2] - b,
            "without u: You moved by 1. The step is u.",
            moved_by(lambda load, u, T, k: np.sign(load.mean() - load)),
            "not updated: This is the old bias.",
            moved_by(lambda load, u, T, k: 0 * load),
            "lowered at the mean: An expert with just the mean load is lowered in yours. It stays: sign(0) = 0.",
            moved_by(lambda load, u, T, k: np.where(load < load.mean(), u, -u)),
            "raised at the mean: An expert with just the mean load is raised in yours. It stays: sign(0) = 0.",
            moved_by(lambda load, u, T, k: np.where(load > load.mean(), -u, u)),
            "shares compared with k/N: You compared shares of the T·k assignments with k/N. They sum to 1, so their mean is 1/N.",
            moved_by(lambda load, u, T, k: u * np.sign(k / len(load) - load / (T * k))),
            "k forgotten: You compared the counts with T/N. Every token has k experts, so the mean count is T·k/N. (`load.mean()` is always right.)",
            moved_by(lambda load, u, T, k: u * np.sign(T / len(load) - load)),
            "counts compared with a share: You compared counts with 1/N or k/N, a share. Compare with their own mean: `load.mean()`.",
            moved_by(lambda load, u, T, k: u * np.sign(1e-6 + 0.5 / len(load) - load)),
            "load without the bias: You counted the load that the scores alone would give. Count the experts that were really selected, with the bias.",
            moved_by_load(lambda s, b, k: counts(top(s, k), len(b))),
            "first choice only: You counted first choices alone. All k count.",
            moved_by_load(lambda s, b, k: counts(top(s + b, k)[:, 0], len(b))),
            "load by the gates: You added up the gate weights. The load is a count of tokens; whether they came with a large or a small weight does not matter.",
            moved_by_load(lambda s, b, k: gates(s, s + b, k).sum(axis=0)),
            "load by the biased gates: You added up biased gate weights, from s + b. The load is a count of tokens.",
            moved_by_load(lambda s, b, k: gates(s + b, s + b, k).sum(axis=0)),
            "load by the scores: You added up the scores of all experts. The load counts who was selected.",
            moved_by_load(lambda s, b, k: s.sum(axis=0)),
        ),
    },
)
