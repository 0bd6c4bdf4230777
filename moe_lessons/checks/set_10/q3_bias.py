"""Question 10.3: the bias update, where experts of unequal speed are to finish together."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.apart import tells_apart
from moe_lessons.checks.gates import selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_test, by_value

SPEEDS = 32  # sum of the speeds: a power of 2
LEAST_GAP = 5e-5  # between two biased scores of a token: who is selected must not hang on rounding


def update_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (scores (T, N), bias (N,), speed (N,), u, k), drawn until all known mistakes come to different things.

    In one the last expert is idle; in two an expert has just its share.
    """
    while True:
        cases = [
            update_case(rng, 3, 4, 2, fits=last_is_idle),
            update_case(rng, 8, 4, 2, fits=one_at_its_share),
            update_case(rng, 32, 8, 2, fits=one_at_its_share),
            update_case(rng, 20, 9, 4, 0.3, fits=gate_sums_differ),
            update_case(rng, 25, 10, 1, fits=near_their_shares),
        ]
        if tells_apart(UPDATE, cases):
            return cases


def update_case(
    rng: np.random.Generator, T: int, N: int, k: int, lean: float = 1.0, fits: Callable = lambda s, b, q, k: True
) -> tuple:
    """Draw until no two scores of a token are close, with or without the bias, added or taken off, and fits(scores, bias, share, k).

    lean: how much the scores favour the first experts, and how large the biases are.
    """
    while True:
        scores = (1 / (1 + np.exp(-rng.normal(lean * np.linspace(1, -0.5, N), 1, size=(T, N))))).round(4)  # (T, N)
        bias = rng.permutation(lean * np.linspace(-0.3, 0.35, N)).round(2)  # (N,)
        share = draw_shares(rng, N)  # (N,)
        gaps = np.diff(np.sort([scores, scores + bias, scores - bias]), axis=-1)  # (3, T, N − 1)
        if gaps.min() > LEAST_GAP and fits(scores, bias, share, k):
            return scores, bias, (SPEEDS * share).astype(int), float(rng.choice([0.01, 0.02, 0.05])), k


def turned(share: np.ndarray) -> np.ndarray:
    """Return shares (N,) in inverse proportion."""
    return normalised(1 / share)


def draw_shares(rng: np.random.Generator, N: int) -> np.ndarray:
    """Draw shares (N,) that sum to 1, not all equal: whole speeds over SPEEDS, so that products with counts are exact."""
    while True:
        share = (1 + rng.multinomial(SPEEDS - N, np.full(N, 1 / N))) / SPEEDS  # (N,)
        if share.max() > share.min():
            return share


def last_is_idle(s: np.ndarray, b: np.ndarray, q: np.ndarray, k: int) -> bool:
    """Tell whether no token selects the last expert, which `np.bincount` then leaves out unless told of it."""
    return len(b) - 1 not in top(s + b, k)


def one_at_its_share(s: np.ndarray, b: np.ndarray, q: np.ndarray, k: int) -> bool:
    """Tell whether an expert has just its share, one more, one less."""
    load = counts(top(s + b, k), len(b))  # (N,)
    return {-1, 0, 1} == set(np.sign(q * load.sum() - load))


def near_their_shares(s: np.ndarray, b: np.ndarray, q: np.ndarray, k: int) -> bool:
    """Tell whether one expert lacks less than an assignment, and another has less than one too many."""
    load = counts(top(s + b, k), len(b))  # (N,)
    missing = q * load.sum() - load  # (N,)
    return bool(((missing > 0) & (missing < 1)).any() and ((missing < 0) & (missing > -1)).any())


def gate_sums_differ(s: np.ndarray, b: np.ndarray, q: np.ndarray, k: int) -> bool:
    """Tell whether sums of gates, with the bias or without, move it in ways of their own, and nobody has just its share."""
    loads = counts(top(s + b, k), len(b)), *(gates(values, s + b, k).sum(axis=0) for values in (s, s + b))  # (N,) each
    moves = [tuple(np.sign(q * load.sum() - load)) for load in loads]
    return 0 not in moves[0] and len(set(moves)) == len(moves)


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


def step(
    scores: np.ndarray, bias: np.ndarray, speed: np.ndarray, u: float, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the selected (T, k), their weights (T, k), and the bias after the update (N,)."""
    selected = top(scores + bias, k)  # (T, k)
    load = counts(selected, len(bias))  # (N,)
    return (
        selected,
        normalised(of_selected(scores, selected)),
        bias + u * np.sign(normalised(speed) * load.sum() - load),
    )


def without_mean(values: np.ndarray) -> np.ndarray:
    """Return values (N,) less their mean."""
    return values - values.mean()


def selected_by(values: Callable) -> Callable:
    """Return the step's selection by other values(scores, bias)."""
    return lambda s, b, q, u, k: top(values(s, b), k)


def of_right(wrong: Callable) -> Callable:
    """Return wrong(the right selection (T, k), scores (T, N), biased scores (T, N))."""
    return lambda s, b, q, u, k: wrong(top(s + b, k), s, s + b)


def by_the_score(selected: np.ndarray, s: np.ndarray, biased: np.ndarray) -> np.ndarray:
    """Return the selected (T, k) with the largest score first."""
    return of_selected(selected, np.argsort(-of_selected(s, selected), axis=-1))  # (T, k)


def weighed_by(wrong: Callable) -> Callable:
    """Return wrong(s of the selected (T, k), s + b of them, s (T, N))."""
    return of_right(lambda selected, s, biased: wrong(of_selected(s, selected), of_selected(biased, selected), s))


def moved_by(move: Callable) -> Callable:
    """Return b + move(load (N,) in counts, share (N,), u, k)."""
    return lambda s, b, speed, u, k: b + move(counts(top(s + b, k), len(b)), normalised(speed), u, k)


def moved_by_load(load: Callable) -> Callable:
    """Return the right update from another load(scores, bias, k), (N,)."""
    return lambda s, b, speed, u, k: b + u * np.sign(normalised(speed) * (f := load(s, b, k)).sum() - f)


def two_ends(missing: np.ndarray) -> np.ndarray:
    """Return 1 where most is missing, −1 where least is, else 0. missing (N,). (N,)."""
    return (missing == missing.max()) - 1.0 * (missing == missing.min())


def goes_the_right_way(value: Any, scores: np.ndarray, bias: np.ndarray, *how: Any) -> bool:
    """Tell whether every bias moves in the right direction, or stays where it should."""
    if not isinstance(value, np.ndarray) or value.shape != bias.shape:
        return False
    right = step(scores, bias, *how)[2]  # (N,)
    return bool((np.sign((value - bias).round(9)) == np.sign((right - bias).round(9))).all())


UPDATE = FunctionQuestion(
    **about("10.3", "A bias for unequal machines", "write it", "medium", points=2, minutes=8),
    hints=(
        "The bias is used once, for the selection: `np.argsort(-(scores + bias), axis=-1)[:, :k]`. (The imported `top_k` returns two things: values, then indices.) The weights are the *scores* of those experts, divided by their sum.",
        "`np.take_along_axis(scores, selected, axis=-1)` picks the scores. Count the load with `np.bincount(selected.ravel(), minlength=N)`. All finish together if every expert has its part of the speed of all, `speed / speed.sum()`, of the assignments.",
    ),
    idea="The bias decides who is asked, the score decides how much it counts. The sign of what is missing moves it, and what an expert should get is yours to say: the mean is only the choice for equal machines.",
    takeaway="Balance means the load that you ask for, not the same load for all: a bias reaches unequal targets as easily, which a loss whose optimum is the uniform load does not.",
    answer="my_step",
    parameters=("scores", "bias", "speed", "u", "k"),
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
            "bias multiplied: You multiplied the scores by the bias. It is added: s + b.",
            (selected_by(lambda s, b: s * b), selected_by(lambda s, b: s * (1 + b))),
            "speed in the selection: The speeds are in your selection. They say how much each expert should get, which moves the bias; the selection is by s + b alone.",
            (
                lambda s, b, speed, u, k: top(s * speed + b, k),
                lambda s, b, speed, u, k: top((s + b) * speed, k),
                lambda s, b, speed, u, k: top(s + b * speed, k),
                lambda s, b, speed, u, k: top(s + b + speed, k),
                lambda s, b, speed, u, k: top(s + b + normalised(speed), k),
            ),
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
            "counted from 1: Every index in `selected` is one too high. Experts are numbered from 0.",
            of_right(lambda selected, s, biased: selected + 1),
            "a mask: This marks who is selected. Asked are the indices of the selected, (T, k), best first.",
            lambda s, b, q, u, k: selected_mask(s + b, k),
            "bias moved first: You moved the bias before you selected. The selection is with the bias as it came; its load moves the bias.",
            lambda s, b, q, u, k: top(s + step(s, b, q, u, k)[2], k),
            "exchanged: These are the weights: `selected` and `weights` are exchanged. Return the indices first.",
            lambda s, b, q, u, k: step(s, b, q, u, k)[1],
        ),
        "weights": by_value(
            "bias in the weights: The bias is in your gate weights: you normalised s + b. It is for the selection only; weigh by s. Else the output changes with the bias even where the same experts are selected.",
            weighed_by(lambda own, biased, s: normalised(biased)),
            "bias in the weights, not normalised: These are s + b. Weigh by s alone, divided by its sum over the selected.",
            weighed_by(lambda own, biased, s: biased),
            "not normalised: These are the scores of the selected. Divide them by their sum in each row.",
            weighed_by(lambda own, biased, s: own),
            "normalised over all: You divided by the sum over all N experts. Divide by the sum over the selected.",
            weighed_by(lambda own, biased, s: own / s.sum(axis=-1, keepdims=True)),
            "over the batch: You divided by a sum over several tokens. Divide each row by its own sum.",
            (
                weighed_by(lambda own, biased, s: own / own.sum(axis=0)),
                weighed_by(lambda own, biased, s: own / own.sum()),
            ),
            "softmax: You put the scores through a softmax. Divide those of the selected by their sum: they are positive already.",
            (
                weighed_by(lambda own, biased, s: routing.softmax(own)),
                of_right(lambda selected, s, biased: of_selected(routing.softmax(s), selected)),
            ),
            "in another order: Your weights are sorted by their own size. Each stands where its expert stands in `selected`.",
            (
                weighed_by(lambda own, biased, s: -np.sort(-normalised(own))),
                weighed_by(lambda own, biased, s: np.sort(normalised(own))),
            ),
            "divided by the largest: You divided by the largest score of each row. Divide by the sum, so that the weights sum to 1.",
            weighed_by(lambda own, biased, s: own / own.max(axis=-1, keepdims=True)),
            "all alike: All your weights are 1/k. Each expert weighs by its score.",
            weighed_by(lambda own, biased, s: np.full_like(own, 1 / own.shape[1])),
            "squared: You squared the scores. Divide them by their sum as they are.",
            weighed_by(lambda own, biased, s: normalised(own**2)),
            "of all experts: These are the scores of all N experts, divided by their sum. Asked are those of the selected, (T, k), divided by theirs.",
            lambda s, b, q, u, k: normalised(s),
            "for all experts: Your weights are right but (T, N), with zeros. Asked are those of the selected, (T, k), in the same order.",
            lambda s, b, q, u, k: gates(s, s + b, k),
        ),
        "new_bias": by_value(
            "equal shares: This is the lesson's update: it compares each load with the mean, so all experts would get the same, and the slow ones be late. Compare with what each must have if all finish together.",
            moved_by(lambda load, q, u, k: u * np.sign(load.mean() - load)),
            "mean of the times: You compared each expert's time with the mean of all times. If all finish together, it is at the number of all assignments divided by the sum of the speeds, and that is another moment.",
            moved_by(lambda load, q, u, k: u * np.sign((load / q).mean() - load / q)),
            "median of the times: You compared each expert's time with the median of all times. If all finish together, it is at the number of all assignments divided by the sum of the speeds.",
            moved_by(lambda load, q, u, k: u * np.sign(np.median(load / q) - load / q)),
            "all moved alike: You moved every bias the same way. Who has too little goes up, who has too much down.",
            (moved_by(lambda load, q, u, k: -u + 0 * load), moved_by(lambda load, q, u, k: u + 0 * load)),
            "two alone: You moved only the expert that lacks most and the one that has most too much. Every bias moves.",
            moved_by(lambda load, q, u, k: u * two_ends(q * load.sum() - load)),
            "the slowest or the fastest: You compared each expert's time with that of the slowest, or the fastest. If all finish together, it is between: after the number of all assignments divided by the sum of the speeds.",
            (
                moved_by(lambda load, q, u, k: u * np.sign((load / q).max() - load / q)),
                moved_by(lambda load, q, u, k: u * np.sign((load / q).min() - load / q)),
            ),
            "rounded: You rounded what each expert should have to whole assignments. Compare with the number as it is, with its fraction.",
            (
                moved_by(lambda load, q, u, k: u * np.sign(np.floor(q * load.sum()) - load)),
                moved_by(lambda load, q, u, k: u * np.sign(np.ceil(q * load.sum()) - load)),
                moved_by(lambda load, q, u, k: u * np.sign(np.round(q * load.sum()) - load)),
            ),
            "more for the slow: You gave an expert the more, the slower it is. In the same time the fast ones do more.",
            (
                moved_by(lambda load, q, u, k: u * np.sign(turned(q) * load.sum() - load)),
                moved_by(lambda load, q, u, k: u * np.sign((load * q).mean() - load * q)),
            ),
            "wrong sign: Your update goes the wrong way: it raises experts that have too much, so that they get more. sign(wanted − load).",
            moved_by(lambda load, q, u, k: u * np.sign(load - q * load.sum())),
            "proportional to the counts: You moved each bias by u times what is missing. Only the sign counts: an expert one token short moves as far as a dead one.",
            moved_by(lambda load, q, u, k: u * (q * load.sum() - load)),
            "proportional to the shares: You moved each bias in proportion to the difference of the shares. Only its sign counts: by u up or down.",
            moved_by(lambda load, q, u, k: u * (q - load / load.sum())),
            "proportional, relative to what is wanted: You moved each bias in proportion to (wanted − load) / wanted. Only the sign counts: by u up or down.",
            moved_by(lambda load, q, u, k: u * (1 - load / (q * load.sum()))),
            "only the change: This is only what is added, u · sign(wanted − load). Add it to the bias.",
            lambda s, b, q, u, k: step(s, b, q, u, k)[2] - b,
            "without u: You moved by 1. The step is u.",
            moved_by(lambda load, q, u, k: np.sign(q * load.sum() - load)),
            "not updated: This is the old bias.",
            moved_by(lambda load, q, u, k: 0 * load),
            "lowered at its share: An expert with just its share is lowered in yours. It stays: sign(0) = 0.",
            moved_by(lambda load, q, u, k: np.where(load < q * load.sum(), u, -u)),
            "raised at its share: An expert with just its share is raised in yours. It stays: sign(0) = 0.",
            moved_by(lambda load, q, u, k: np.where(load > q * load.sum(), -u, u)),
            "one way only: Yours moves a bias only up, or only down. Who has too little goes up, who has too much down.",
            (
                moved_by(lambda load, q, u, k: u * (load < q * load.sum())),
                moved_by(lambda load, q, u, k: -u * (load > q * load.sum())),
            ),
            "idle left as it was: An expert that nobody selected is not moved in yours. Its load is 0, so it goes up, too.",
            moved_by(lambda load, q, u, k: u * np.sign(q * load.sum() - load) * (load > 0)),
            "mean subtracted: You subtracted a mean from the biases. Each just moves by u.",
            (
                lambda *case: step(*case)[2] - step(*case)[2].mean(),
                moved_by(lambda load, q, u, k: u * without_mean(np.sign(q * load.sum() - load))),
            ),
            "clipped: You cut the biases off at 0. A bias may be below 0.",
            lambda *case: np.maximum(step(*case)[2], 0),
            "k forgotten: You shared out T tokens. Every token has k experts, so there are T·k assignments to share. (`load.sum()` is always right.)",
            moved_by(lambda load, q, u, k: u * np.sign(q * load.sum() / k - load)),
            "counts compared with a share: You compared counts with the speeds, or with shares of 1. Compare counts with counts: how many of all assignments should the expert have?",
            (
                moved_by(lambda load, q, u, k: u * np.sign(q - load)),
                moved_by(lambda load, q, u, k: u * np.sign(SPEEDS * q - load)),
                moved_by(lambda load, q, u, k: u * np.sign(SPEEDS * q * k - load)),
                moved_by(lambda load, q, u, k: u * np.sign(q / q.mean() - load)),
            ),
            "parts that do not add up: What you want for the experts adds up to more than all assignments: their parts must sum to 1. Divide each speed by the *sum* of the speeds.",
            (
                moved_by(lambda load, q, u, k: u * np.sign(q / q.max() * load.sum() - load)),
                moved_by(lambda load, q, u, k: u * np.sign(SPEEDS * q * load.mean() - load)),
            ),
            "load without the bias: You counted the load that the scores alone would give. Count the experts that were really selected, with the bias.",
            moved_by_load(lambda s, b, k: counts(top(s, k), len(b))),
            "first choice only: You counted first choices alone. All k count.",
            (
                moved_by_load(lambda s, b, k: counts(top(s + b, k)[:, 0], len(b))),
                lambda s, b, speed, u, k: (
                    b + u * np.sign(normalised(speed) * len(s) * k - counts(top(s + b, k)[:, 0], len(b)))
                ),
            ),
            "load by the gates: You added up the gate weights. The load is a count of tokens; whether they came with a large or a small weight does not matter.",
            moved_by_load(lambda s, b, k: gates(s, s + b, k).sum(axis=0)),
            "load by the biased gates: You added up biased gate weights, from s + b. The load is a count of tokens.",
            moved_by_load(lambda s, b, k: gates(s + b, s + b, k).sum(axis=0)),
            "load by the scores: You added up the scores of all experts. The load counts who was selected.",
            moved_by_load(lambda s, b, k: s.sum(axis=0)),
        )
        + by_test(
            "not by u: Every bias goes the right way, or stays, but not by u: each moves by just that, up or down.",
            goes_the_right_way,
        ),
    },
)
