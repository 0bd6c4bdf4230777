"""Questions of exercise set 10: capacity, drops and balancing without a loss."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from moe_lessons import metrics, routing
from moe_lessons.checks.bias_logs import LATE, Outcome, Setting, outcome, written_log
from moe_lessons.checks.question import (
    Data,
    FunctionQuestion,
    Mistake,
    Reply,
    VariableQuestion,
    Verdict,
)
from moe_lessons.checks.values import describe, show, stacked

# --- 10.1 capacity with priority ----------------------------------------------------------------------------------

ORDINALS = ("first", "second", "third")
LONGEST_QUEUE = 10


def kept_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (selected (T, k), weights (T, k), C, N, priority), drawn until two near orders of service differ."""
    while True:
        sizes = ((6, 2, 4, 3), (30, 2, 6, 6), (20, 3, 7, 7), (14, 1, 5, 3))  # in the last more experts than places
        cases = [(*kept_case(rng, T, k, N), C, N, by) for T, k, N, C in sizes for by in ("position", "probability")]
        if any((tokens_sorted(*case) != choices_apart(*case)).any() for case in cases):
            return cases


def kept_case(rng: np.random.Generator, T: int, k: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return selected and weights, (T, k) each; nobody asks for the last expert, no weight comes twice."""
    liking = 0.5 * np.arange(N - 1) + rng.gumbel(size=(T, N - 1))  # (T, N − 1)
    selected = np.argsort(-liking, axis=-1)[:, :k]  # (T, k)
    w = rng.permutation(np.linspace(0.1, 0.9, T * k)).reshape(T, k)  # (T, k)
    return selected, (-np.sort(-w, axis=-1)).round(3)  # best first


def choice_by_choice(weights: np.ndarray) -> np.ndarray:
    """Return the numbers t·k + j of all first choices, then of all second ones, earlier tokens first. (T·k,)."""
    return np.arange(weights.size).reshape(weights.shape).T.ravel()  # (T·k,)


def by_weight(weights: np.ndarray) -> np.ndarray:
    """Return the numbers t·k + j of the assignments, largest weight first. (T·k,)."""
    return np.argsort(-weights, axis=None, kind="stable")  # (T·k,)


def tokens_by_weight(weights: np.ndarray) -> np.ndarray:
    """Return the numbers t·k + j, (T, k), with the rows sorted by each token's largest weight."""
    return np.arange(weights.size).reshape(weights.shape)[np.argsort(-weights.max(axis=1), kind="stable")]  # (T, k)


def places(experts: np.ndarray, N: int) -> np.ndarray:
    """Return how many entries before each one name the same expert. experts (entries,). Returns (entries,)."""
    so_far = (experts[:, None] == np.arange(N)).cumsum(axis=0)  # (entries, N)
    return so_far[np.arange(len(experts)), experts] - 1  # (entries,)


def with_queues(position: Callable = choice_by_choice, probability: Callable = by_weight, more: int = 0) -> Callable:
    """Return the function that serves the assignments in these orders, with `more` places at each expert."""

    def kept(selected: np.ndarray, weights: np.ndarray, C: int, N: int, priority: str) -> np.ndarray:
        queue = (position if priority == "position" else probability)(weights)  # (T·k,)
        has_place = np.empty(selected.size, dtype=bool)  # (T·k,)
        has_place[queue] = places(selected.ravel()[queue], N) < C + more
        return has_place.reshape(selected.shape)  # (T, k)

    return kept


def sorted_apart(weights: np.ndarray) -> np.ndarray:
    """Return the numbers t·k + j of all first choices, largest weight first, then of all second ones. (T·k,)."""
    k = weights.shape[1]
    return np.concatenate([np.argsort(-weights[:, j]) * k + j for j in range(k)])


kept_reference = with_queues()
tokens_sorted = with_queues(probability=lambda weights: tokens_by_weight(weights).T.ravel())
choices_apart = with_queues(probability=sorted_apart)


def then(wrong: Callable) -> Callable:
    """Return what `wrong` makes of the right booleans (T, k) and the weights."""
    return lambda selected, weights, C, N, priority: wrong(kept_reference(selected, weights, C, N, priority), weights)


def one_queue(total: Callable) -> Callable:
    """Return the function that fills total(C, N) places for all experts together."""
    return lambda selected, weights, C, N, priority: kept_reference(
        np.zeros_like(selected), weights, total(C, N), 1, priority
    )


def each_choice_apart(selected: np.ndarray, weights: np.ndarray, C: int, N: int, priority: str) -> np.ndarray:
    """Return what is kept if every expert has C places for first choices, C more for second choices, and so on."""
    columns = [kept_reference(selected[:, [j]], weights[:, [j]], C, N, priority) for j in range(selected.shape[1])]
    return np.hstack(columns)  # (T, k)


def not_put_back(selected: np.ndarray, weights: np.ndarray, C: int, N: int, priority: str) -> np.ndarray:
    """Return the right booleans in the order of the queue."""
    queue = (choice_by_choice if priority == "position" else by_weight)(weights)  # (T·k,)
    return (places(selected.ravel()[queue], N) < C).reshape(selected.shape)  # (T, k)


@dataclass(frozen=True, kw_only=True)
class KeptQuestion(FunctionQuestion):
    """Shows the queue at the expert where the first assignment is wrong, and says which priority is right already."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare; then look at both priorities apart, and at one queue."""
        verdict = super().judge(data, reply)
        if verdict.correct:
            return verdict
        values = [stacked(value) for value in reply["values"]]
        if not all(is_decision(value, case[0].shape) for value, case in zip(values, data["cases"], strict=True)):
            return verdict
        right = [bool((value == kept_reference(*case)).all()) for value, case in zip(values, data["cases"], strict=True)]  # fmt: skip
        message = re.sub(r"\bin \[(\d+)\] ", lambda row: f"for t{int(row[1]) + 1} ", verdict.message)
        lines = [message, queue_at_first_wrong(values[right.index(False)], *data["cases"][right.index(False)])]
        if not verdict.mistake and (all(right[::2]) or all(right[1::2])):
            good, bad = ("position", "probability") if all(right[::2]) else ("probability", "position")
            lines.insert(0, f'With priority "{good}" all is right; with "{bad}" it is not.')
        return Verdict(False, "\n".join(lines), verdict.mistake)


def is_decision(value: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether the value says yes or no to each assignment."""
    return isinstance(value, np.ndarray) and value.shape == shape and bool(np.isin(value, (0, 1)).all())


def queue_at_first_wrong(value: np.ndarray, selected: np.ndarray, weights: np.ndarray, C: int, N: int, priority: str) -> str:  # fmt: skip
    """Write who asks the expert of the first wrong assignment, in order of service, and what is wrong with it."""
    wanted = kept_reference(selected, weights, C, N, priority)  # (T, k)
    t, j = np.argwhere(value != wanted)[0]
    i, k = selected[t, j], selected.shape[1]
    queue = (choice_by_choice if priority == "position" else by_weight)(weights)  # (T·k,)
    asks = [divmod(int(a), k) for a in queue if selected.ravel()[a] == i]
    rank = asks.index((t, j))
    named = [f"t{s + 1} ({ORDINALS[c]} choice, {weights[s, c]:.2f})" for s, c in asks[:LONGEST_QUEUE]]
    more = f" and {len(asks) - LONGEST_QUEUE} more" if len(asks) > LONGEST_QUEUE else ""
    verb = "has a place" if wanted[t, j] else "has none"
    return f"There, E{i + 1} has {C} places. Who asks, in the order of service: {', '.join(named)}{more}. So t{t + 1}, number {rank + 1} in this queue, {verb}."  # fmt: skip


KEPT = KeptQuestion(
    id="10.1",
    title="Capacity with priority",
    kind="write it",
    points=2,
    minutes=9,
    difficulty="medium",
    hints=(
        "Two steps. First the order of service: an array with the numbers t·k + j of all T·k assignments. Then walk through it with one counter of free places for each expert.",
        "With `numbers = np.arange(T * k).reshape(T, k)`, the order by position is `numbers.T.ravel()`; by probability it is `np.argsort(-weights, axis=None)`. Write the decision on each `number` in that order to `kept[number]`, with `kept` of length T·k: reshaped to (T, k), it is in the order of the tokens again.",
    ),
    idea="The priority decides only the order in which assignments are served; each expert then takes the first C that ask for it. Nobody who is turned away goes to another expert, even if that one has places left.",
    answer="my_kept",
    parameters=("selected", "weights", "capacity", "num_experts", "priority"),
    stands_for=("balancing.within_capacity",),
    when_raised="selected and weights are both (T, k). `selected[t, j]` is an index of an expert, from 0 to num_experts − 1, and `priority` is the text \"position\" or \"probability\".",
    cases=kept_cases,
    reference=kept_reference,
    mistakes=(
        Mistake("token by token", "By position you serve token by token: the second choice of an early token comes before the first choice of a later one. All first choices come first.",
                with_queues(position=lambda w: np.arange(w.size))),
        Mistake("one too many", "Each of your experts takes one more than its capacity: with the places counted from 0, the last one is C − 1, so compare with `<`.",
                with_queues(more=1)),
        Mistake("one too few", "Each of your experts takes one less than its capacity. If you count the assignment itself, it has a place while the count is at most C.",
                with_queues(more=-1)),
        Mistake("capacity over all experts", "You let `capacity` assignments through in all. Each expert has `capacity` places of its own.", one_queue(lambda C, N: C)),
        Mistake("common pool", "You fill N·C places in one common queue. Each expert has C of its own, and a place at another expert helps nobody.", one_queue(lambda C, N: C * N)),
        Mistake("always by position", "You serve by position whatever `priority` says.", with_queues(probability=choice_by_choice)),
        Mistake("always by probability", "You serve by probability whatever `priority` says.", with_queues(position=by_weight)),
        Mistake("priorities exchanged", "The two priorities are exchanged.", with_queues(by_weight, choice_by_choice)),
        Mistake("smallest weight first", "By probability you serve the smallest weights first. The largest come first: sort `-weights`.",
                with_queues(probability=lambda w: by_weight(-w))),
        Mistake("tokens sorted", "By probability you sort the *tokens* by their largest weight, and still serve first choices first. (V-MoE does that.) Asked is: sort the assignments, each by its own weight.",
                tokens_sorted),
        Mistake("tokens sorted, all choices at once", "By probability you sort the *tokens* by their largest weight and serve all choices of a token at once. Sort the assignments, each by its own weight.",
                with_queues(probability=lambda w: tokens_by_weight(w).ravel())),
        Mistake("choices sorted apart", "By probability you serve all first choices before all second ones. There only the weight counts: a strong second choice comes before a faint first one.",
                choices_apart),
        Mistake("each choice apart", "You begin to count anew for the second choices, so an expert can take C of each. First and later choices share its C places.", each_choice_apart),
        Mistake("not put back", "Your decisions are right, but they stand in the order of service. Put each back where its assignment was: `kept[order] = ...`.", not_put_back),
        Mistake("nobody dropped", "Nobody is dropped in yours. An expert takes at most C.", then(lambda kept, w: np.ones_like(kept))),
        Mistake("dropped", "This marks what is dropped. Asked is what is kept.", then(lambda kept, w: ~kept)),
        Mistake("whole token", "You drop a token entirely if one of its experts is full. It keeps the others.", then(lambda kept, w: np.repeat(kept.all(axis=1, keepdims=True), w.shape[1], axis=1))),
        Mistake("weights", "These are the weights that remain. Asked are booleans: which assignments have a place.", then(lambda kept, w: np.where(kept, w, 0))),
        Mistake("choices as rows", "The decisions are right, but your result is (k, T). Tokens are rows: (T, k).", then(lambda kept, w: kept.T)),
    ),
)  # fmt: skip


# --- 10.2 the drop rate of dice -----------------------------------------------------------------------------------


def rate_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (T, N, C): few tokens, about 8 and 64 per expert, too little room for all, and room for nearly all at one.

    N·C never equals T, and C is below T: an expected 0 would hang on rounding.
    """
    T = int(rng.integers(8, 12))
    return [
        (T, 4, 2),
        (509, 64, int(rng.integers(8, 11))),
        (515, 8, int(rng.integers(64, 69))),
        (int(rng.integers(50, 70)), 5, 8),
        (7, 3, 6),
    ]


def binomial(T: int, N: int) -> np.ndarray:
    """Return the probabilities that an expert gets 0, 1, …, T of T tokens, each with probability 1/N. (T + 1,)."""
    ways = [math.lgamma(T + 1) - math.lgamma(x + 1) - math.lgamma(T - x + 1) for x in range(T + 1)]
    x = np.arange(T + 1)
    return np.exp(np.array(ways) - x * math.log(N) + (T - x) * math.log1p(-1 / N))  # (T + 1,)


def beyond(T: int, N: int, C: int) -> float:
    """Return E[max(X − C, 0)], how many tokens one expert turns away."""
    return float(binomial(T, N) @ np.maximum(np.arange(T + 1) - C, 0))


def dice_drop_rate(T: int, N: int, C: int) -> float:
    """Return the expected share of tokens that find no place when each picks one of N experts by dice."""
    return N * beyond(T, N, C) / T


def poisson_rate(T: int, N: int, C: int) -> float:
    """Return the rate when the load is taken for Poisson with the mean T/N."""
    mean, x = T / N, np.arange(6 * T + 100)
    p = np.exp(x * math.log(mean) - mean - np.array([math.lgamma(y + 1) for y in x]))
    return float(N * (p @ np.maximum(x - C, 0)) / T)


def normal_rate(T: int, N: int, C: int) -> float:
    """Return the rate when the load is taken for normal."""
    sd = math.sqrt(T / N * (1 - 1 / N))
    z = (T / N - C) / sd
    density = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return N * sd * (density + z * 0.5 * math.erfc(-z / math.sqrt(2))) / T


def of_load(wrong: Callable) -> Callable:
    """Return the function of (T, N, C) that is wrong(probabilities (T + 1,), loads (T + 1,), T, N, C)."""
    return lambda T, N, C: float(wrong(binomial(T, N), np.arange(T + 1), T, N, C))


@dataclass(frozen=True, kw_only=True)
class RateQuestion(FunctionQuestion):
    """Says so when an answer is near the exact one, as a simulation or an approximation is."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare; where no known mistake fits, see whether all numbers are near."""
        verdict = super().judge(data, reply)
        values = [stacked(value) for value in reply["values"]]
        numbers = all(isinstance(value, np.ndarray) and value.shape == () for value in values)
        if verdict.correct or verdict.mistake or not numbers:
            return verdict
        expected = np.array([dice_drop_rate(*case) for case in data["cases"]])
        if not np.allclose(np.array(values, dtype=float), expected, rtol=0.1, atol=0.005):
            return verdict
        near = "Near, in every case, but not exact. Did you simulate, or use an approximation? The load of one expert is exactly binomial: sum over its values."  # fmt: skip
        return Verdict(False, f"{near}\n{verdict.message}")


RATE = RateQuestion(
    id="10.2",
    title="What dice drop",
    kind="write it",
    points=1,
    minutes=8,
    difficulty="medium",
    hints=(
        "Look at one expert. Its load X is the number of tokens, out of T, that picked it, each with probability 1/N: a binomial. It turns away max(X − C, 0) of them.",
        "P(X = x) is `math.comb(T, x) * p**x * (1 - p)**(T - x)` with p = 1/N. Sum (x − C)·P(X = x) over x > C for one expert, times N for all of them, divided by T for a share.",
    ),
    idea="Balance on average is not balance in each batch. The average of max(X − C, 0) is not the max of the average: every load above C costs, and none below C pays it back.",
    answer="my_drop_rate",
    parameters=("T", "N", "capacity"),
    stands_for=("balancing.uniform_drop_rate",),
    when_raised="T, N and capacity are whole numbers. The loads run from 0 to T.",
    cases=rate_cases,
    reference=dice_drop_rate,
    mistakes=(
        Mistake("the mean load", "You compared the *mean* load, T/N, with the capacity. Loads scatter around it, and all that is above C is dropped: take the mean of max(X − C, 0), not the max of the mean.",
                lambda T, N, C: max(T / N - C, 0) * N / T),
        Mistake("percent", "This is in percent. Between 0 and 1 is asked.", lambda T, N, C: 100 * dice_drop_rate(T, N, C)),
        Mistake("T forgotten", "Your sum ends at x = T − 1. All T tokens can pick one expert: it runs to x = T included, as in `range(C + 1, T + 1)`.",
                of_load(lambda p, x, T, N, C: N * (p * np.maximum(x - C, 0))[:-1].sum() / T)),
        Mistake("p = 1/T", "You took p = 1/T. A token picks one of N experts: p = 1/N.", lambda T, N, C: N * beyond(T, T, C) / T),
        Mistake("absolute", "You added up |x − C|, so that empty places count as drops. Asked is what is too much, max(x − C, 0).",
                of_load(lambda p, x, T, N, C: N * (p * np.abs(x - C)).sum() / T)),
        Mistake("kept", "This is the share that is kept. Asked is the share that is dropped.", lambda T, N, C: 1 - dice_drop_rate(T, N, C)),
        Mistake("not divided", "This is how many tokens are dropped. Divide by T for the share.", lambda T, N, C: N * beyond(T, N, C)),
        Mistake("one expert, not divided", "This is how many tokens *one* expert turns away. Times N for all experts, divided by T for the share.", beyond),
        Mistake("one expert", "You divided what one expert turns away by all T tokens. N experts turn tokens away: times N.", lambda T, N, C: beyond(T, N, C) / T),
        Mistake("not weighted", "This is the probability that an expert overflows. It matters by how much: weigh each load x with x − C.",
                of_load(lambda p, x, T, N, C: p[x > C].sum())),
        Mistake("not weighted, full counts", "This is the probability that an expert is full. Full is not too many, and it matters by how much: weigh each load x with x − C.",
                of_load(lambda p, x, T, N, C: p[x >= C].sum())),
        Mistake("all of an overflowing expert", "You count *all* tokens of an expert that overflows as dropped. The first C of them have a place: x − C, not x.",
                of_load(lambda p, x, T, N, C: N * (p * x)[x > C].sum() / T)),
        Mistake("one place too few", "You count one too many in each expert that is full: x − C + 1. With load C everyone has a place.", lambda T, N, C: dice_drop_rate(T, N, C - 1)),
        Mistake("one place too many", "You count one too few in each expert that overflows: x − C − 1. With load C + 1 one token is dropped.", lambda T, N, C: dice_drop_rate(T, N, C + 1)),
        Mistake("of the places", "You divided by the N·C places. Asked is the share of the T tokens.", lambda T, N, C: beyond(T, N, C) / C),
        Mistake("empty places", "This is the share of the N·C places that stay empty. Asked is the share of the tokens that find none.",
                of_load(lambda p, x, T, N, C: (p * np.maximum(C - x, 0)).sum() / C)),
        Mistake("empty places per token", "You added up the places that stay empty, max(C − X, 0). Asked is what is too much, max(X − C, 0).",
                of_load(lambda p, x, T, N, C: N * (p * np.maximum(C - x, 0)).sum() / T)),
        Mistake("signed", "You let empty places pay for overflows: x − C also where x < C. What is free at one expert helps nobody at another.", lambda T, N, C: 1 - N * C / T),
        Mistake("Poisson", "You took the load for Poisson. That is near when N is large, and not exact: a load cannot exceed T. Use the binomial, with T trials and p = 1/N.", poisson_rate),
        Mistake("normal", "You took the load for normal. That is near when T/N is large, and not exact. Sum over the binomial's own values.", normal_rate),
    ),
)  # fmt: skip


# --- 10.3 the bias update -----------------------------------------------------------------------------------------

LEAST_GAP = 5e-5  # between two biased scores of a token: who is selected must not hang on rounding


def update_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (scores (T, N), bias (N,), u, k). In one the last expert is idle; in two an expert is just at the mean; one tells wrong loads apart."""
    sizes = ((3, 4, 2, 1.0, last_is_idle), (4, 4, 2, 1.0, one_at_mean), (32, 8, 2, 1.0, one_at_mean), (20, 9, 4, 0.3, loads_differ), (25, 6, 1))  # fmt: skip
    return [update_case(rng, *size) for size in sizes]


def update_case(rng: np.random.Generator, T: int, N: int, k: int, lean: float = 1.0, fits: Callable | None = None) -> tuple:  # fmt: skip
    """Draw until no two biased scores of a token are close, nor two scores, and fits(scores, bias, k).

    lean: how much the scores favour the first experts, and how large the biases are.
    """
    while True:
        scores = (1 / (1 + np.exp(-rng.normal(lean * np.linspace(1, -0.5, N), 1, size=(T, N))))).round(4)  # (T, N)
        bias = rng.permutation(lean * np.linspace(-0.3, 0.35, N)).round(2)  # (N,)
        gaps = np.diff(np.sort([scores, scores + bias]), axis=-1)  # (2, T, N − 1)
        if gaps.min() > LEAST_GAP and (fits is None or fits(scores, bias, k)):
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
    loads = [*choices, by_gates(s, b, k), by_biased_gates(s, b, k), s.sum(axis=0)]  # (N,) each
    return len({tuple(np.sign(load - load.mean())) for load in loads}) == len(loads)


def top(h: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the k largest of each row, best first. h (T, N). Returns (T, k)."""
    return routing.top_k(h, k)[1]


def counts(selected: np.ndarray, N: int) -> np.ndarray:
    """Return how many assignments each expert has, (N,)."""
    return np.bincount(selected.ravel(), minlength=N)


def normalised(values: np.ndarray) -> np.ndarray:
    """Divide each row by its sum, same shape."""
    return values / values.sum(axis=-1, keepdims=True)


def step(scores: np.ndarray, bias: np.ndarray, u: float, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the selected (T, k), their weights (T, k), and the bias after the update (N,)."""
    selected = top(scores + bias, k)  # (T, k)
    load = counts(selected, len(bias))  # (N,)
    weights = normalised(np.take_along_axis(scores, selected, axis=-1))  # (T, k)
    return selected, weights, bias + u * np.sign(load.mean() - load)


def selected_by(values: Callable) -> Callable:
    """Return the step's selection by other values(scores, bias)."""
    return lambda s, b, u, k: top(values(s, b), k)


def of_selected(wrong: Callable) -> Callable:
    """Return wrong(the right selection)."""
    return lambda s, b, u, k: wrong(step(s, b, u, k)[0])


def ordered_by_score(s: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Return the selected (T, k) with the largest score first. s (T, N)."""
    own = np.take_along_axis(s, selected, axis=-1)  # (T, k)
    return np.take_along_axis(selected, np.argsort(-own, axis=-1), axis=-1)  # (T, k)


def weighed_by(wrong: Callable) -> Callable:
    """Return wrong(s of the selected (T, k), s + b of them, s (T, N))."""

    def weights(s: np.ndarray, b: np.ndarray, u: float, k: int) -> np.ndarray:
        selected = step(s, b, u, k)[0]  # (T, k)
        return wrong(*(np.take_along_axis(values, selected, axis=-1) for values in (s, s + b)), s)

    return weights


def dense(s: np.ndarray, b: np.ndarray, u: float, k: int) -> np.ndarray:
    """Return the right weights over all experts, (T, N)."""
    selected, weights, _ = step(s, b, u, k)
    w = np.zeros_like(s)
    np.put_along_axis(w, selected, weights, axis=-1)
    return w


def moved_by(move: Callable) -> Callable:
    """Return b + move(load (N,) in counts, u, T, k)."""

    def new_bias(s: np.ndarray, b: np.ndarray, u: float, k: int) -> np.ndarray:
        return b + move(counts(step(s, b, u, k)[0], len(b)), u, len(s), k)

    return new_bias


def moved_by_load(load: Callable) -> Callable:
    """Return the right update from another load(scores, bias, k), (N,)."""
    return lambda s, b, u, k: b + u * np.sign((f := load(s, b, k)).mean() - f)


def by_biased_gates(s: np.ndarray, b: np.ndarray, k: int) -> np.ndarray:
    """Return the sum of each expert's normalised s + b, (N,)."""
    selected = top(s + b, k)  # (T, k)
    gates = normalised(np.take_along_axis(s + b, selected, axis=-1))  # (T, k)
    return np.bincount(selected.ravel(), gates.ravel(), minlength=len(b))


def by_gates(s: np.ndarray, b: np.ndarray, k: int) -> np.ndarray:
    """Return the sum of each expert's gate weights, (N,)."""
    selected, weights, _ = step(s, b, 0, k)
    return np.bincount(selected.ravel(), weights.ravel(), minlength=len(b))


UPDATE = FunctionQuestion(
    id="10.3",
    title="The bias update",
    kind="write it",
    points=2,
    minutes=8,
    difficulty="medium",
    hints=(
        "The bias is used once, for the selection: `np.argsort(-(scores + bias), axis=-1)[:, :k]`. (The imported `top_k` returns two things: values, then indices.) The weights are the *scores* of those experts, divided by their sum.",
        "`np.take_along_axis(scores, selected, axis=-1)` picks the scores. Count the load with `np.bincount(selected.ravel(), minlength=N)`; then add `u * np.sign(load.mean() - load)` to the bias.",
    ),
    idea="The bias decides who is asked, the score decides how much it counts. So balancing changes the output only through the selection, and no gradient is bent. The sign alone moves the bias, by u, however far the load is off.",
    answer="my_step",
    parameters=("scores", "bias", "u", "k"),
    stands_for=("balancing.BiasBalancer",),
    when_raised="scores is (T, N) and bias (N,): `scores + bias` adds the same bias to every token. The selected are (T, k); flatten them before counting.",
    parts=("selected", "weights", "new_bias"),
    cases=update_cases,
    reference=step,
    mistakes=(
        Mistake("without the bias", "You select by the scores alone. The bias is there for the selection: the k largest of s + b.", selected_by(lambda s, b: s), "selected"),
        Mistake("bias subtracted", "You select by s − b. A raised bias should make an expert *more* likely to be selected: s + b.", selected_by(lambda s, b: s - b), "selected"),
        Mistake("bias multiplied", "You select by s · b. The bias is added.", selected_by(lambda s, b: s * b), "selected"),
        Mistake("softmax of the scores", "You put the scores through a softmax before adding the bias. They are scores already: add b to them as they are.", selected_by(lambda s, b: routing.softmax(s) + b), "selected"),
        Mistake("smallest", "You selected the k smallest of s + b. `np.argsort` sorts upwards: take `-(scores + bias)`.", selected_by(lambda s, b: -(s + b)), "selected"),
        Mistake("worst first", "The right experts, but the best comes last. Best first is asked.", of_selected(lambda selected: selected[:, ::-1]), "selected"),
        Mistake("by number", "The right experts, but in the order of their numbers. Asked is the largest s + b first.", of_selected(lambda selected: np.sort(selected)), "selected"),
        Mistake("by the score", "The right experts, but ordered by their scores alone. Asked is the largest s + b first.",
                lambda s, b, u, k: ordered_by_score(s, step(s, b, u, k)[0]), "selected"),
        Mistake("exchanged", "These are the weights: `selected` and `weights` are exchanged. Return the indices first.", lambda s, b, u, k: step(s, b, u, k)[1], "selected"),
        Mistake("bias in the weights", "The bias is in your gate weights: you normalised s + b. It is for the selection only; weigh by s. Else the output changes whenever the bias does.",
                weighed_by(lambda own, biased, s: normalised(biased)), "weights"),
        Mistake("bias in the weights, not normalised", "These are s + b. Weigh by s alone, divided by its sum over the selected.", weighed_by(lambda own, biased, s: biased), "weights"),
        Mistake("not normalised", "These are the scores of the selected. Divide them by their sum in each row.", weighed_by(lambda own, biased, s: own), "weights"),
        Mistake("normalised over all", "You divided by the sum over all N experts. Divide by the sum over the selected.", weighed_by(lambda own, biased, s: own / s.sum(axis=-1, keepdims=True)), "weights"),
        Mistake("softmax", "You took a softmax over the selected scores. Divide them by their sum: they are positive already.", weighed_by(lambda own, biased, s: routing.softmax(own)), "weights"),
        Mistake("for all experts", "Your weights are right but (T, N), with zeros. Asked are those of the selected, (T, k), in the same order.", dense, "weights"),
        Mistake("wrong sign", "Your update goes the wrong way: it raises experts that have too much, so that they get more. sign(mean load − load).",
                moved_by(lambda load, u, T, k: u * np.sign(load - load.mean())), "new_bias"),
        Mistake("proportional to the counts", "You moved each bias by u times the difference of the loads. Only its sign counts: an expert one token short moves as far as a dead one.",
                moved_by(lambda load, u, T, k: u * (load.mean() - load)), "new_bias"),
        Mistake("proportional to the shares", "You moved each bias in proportion to the difference of the shares. Only its sign counts: by u up or down.",
                moved_by(lambda load, u, T, k: u * (load.mean() - load) / (T * k)), "new_bias"),
        Mistake("proportional, relative to the mean", "You moved each bias in proportion to (mean − load) / mean. Only the sign counts: by u up or down.",
                moved_by(lambda load, u, T, k: u * (1 - load / load.mean())), "new_bias"),
        Mistake("only the change", "This is only what is added, u · sign(mean load − load). Add it to the bias.", lambda s, b, u, k: step(s, b, u, k)[2] - b, "new_bias"),
        Mistake("without u", "You moved by 1. The step is u.", moved_by(lambda load, u, T, k: np.sign(load.mean() - load)), "new_bias"),
        Mistake("not updated", "This is the old bias.", moved_by(lambda load, u, T, k: 0 * load), "new_bias"),
        Mistake("lowered at the mean", "An expert with just the mean load is lowered in yours. It stays: sign(0) = 0.", moved_by(lambda load, u, T, k: np.where(load < load.mean(), u, -u)), "new_bias"),
        Mistake("raised at the mean", "An expert with just the mean load is raised in yours. It stays: sign(0) = 0.", moved_by(lambda load, u, T, k: np.where(load > load.mean(), -u, u)), "new_bias"),
        Mistake("shares compared with k/N", "You compared shares of the T·k assignments with k/N. They sum to 1, so their mean is 1/N.",
                moved_by(lambda load, u, T, k: u * np.sign(k / len(load) - load / (T * k))), "new_bias"),
        Mistake("k forgotten", "You compared the counts with T/N. Every token has k experts, so the mean count is T·k/N. (`load.mean()` is always right.)",
                moved_by(lambda load, u, T, k: u * np.sign(T / len(load) - load)), "new_bias"),
        Mistake("counts compared with a share", "You compared counts with 1/N or k/N, a share. Compare with their own mean: `load.mean()`.",
                moved_by(lambda load, u, T, k: u * np.sign(1e-6 + 0.5 / len(load) - load)), "new_bias"),
        Mistake("load without the bias", "You counted the load that the scores alone would give. Count the experts that were really selected, with the bias.", moved_by_load(lambda s, b, k: counts(top(s, k), len(b))), "new_bias"),
        Mistake("first choice only", "You counted first choices alone. All k count.", moved_by_load(lambda s, b, k: counts(top(s + b, k)[:, 0], len(b))), "new_bias"),
        Mistake("load by the gates", "You added up the gate weights. The load is a count of tokens; whether they came with a large or a small weight does not matter.", moved_by_load(by_gates), "new_bias"),
        Mistake("load by the biased gates", "You added up biased gate weights, from s + b. The load is a count of tokens.", moved_by_load(by_biased_gates), "new_bias"),
        Mistake("load by the scores", "You added up the scores of all experts. The load counts who was selected.", moved_by_load(lambda s, b, k: s.sum(axis=0)), "new_bias"),
    ),
)  # fmt: skip


# --- 10.4 what a pooled loss hides --------------------------------------------------------------------------------

MOST_POOLED, LEAST_ALONE, LEAST_VIOLATION = 1.02, 1.2, 1.0
CLEAR_WINNER = 0.001  # between a token's two largest logits
MOST_TOKENS, MOST_EXPERTS = 1000, 64  # as lists of numbers, too, such logits fit into the grader's reply


def chosen_share(h: np.ndarray) -> np.ndarray:
    """Return each expert's share of the tokens for k = 1. h (T, N). Returns (N,)."""
    return np.bincount(h.argmax(axis=-1), minlength=h.shape[-1]) / len(h)


def balance(h: np.ndarray) -> float:
    """Return the balance loss N Σ fᵢPᵢ for k = 1. h (T, N)."""
    return float(h.shape[-1] * chosen_share(h) @ routing.softmax(h).mean(axis=0))


@dataclass(frozen=True, kw_only=True)
class PooledQuestion(VariableQuestion):
    """Any two layers that a pooled loss takes for balanced, while each alone is not."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Check the form, then that someone wins clearly, then the numbers."""
        layers = two_layers(reply["value"])
        if isinstance(layers, Verdict):
            return layers
        loads, alone = [chosen_share(h) for h in layers], [balance(h) for h in layers]
        violations = [float(metrics.max_violation(load)) for load in loads]
        pooled = balance(np.concatenate(layers))
        seen = f"Pooled loss {pooled:.3f} (at most {MOST_POOLED}). By layer: MaxVio {violations[0]:.3f} and {violations[1]:.3f} (at least {LEAST_VIOLATION:g}), loss {alone[0]:.3f} and {alone[1]:.3f} (at least {LEAST_ALONE})."  # fmt: skip
        shown = f"{seen}\nLoads: layer 1 {show(loads[0])}, layer 2 {show(loads[1])}."
        fault = winner_fault(layers) or numbers_fault(pooled, violations, alone, loads)
        return Verdict(False, f"{fault[0]}\n{shown}", fault[1]) if fault else Verdict(True, shown)


def two_layers(value: Any) -> list[np.ndarray] | Verdict:
    """Return the two layers' logits (T, N) as floats, or a verdict on what is none."""
    stack = stacked(value)
    pair = list(stack) if isinstance(stack, list) or np.ndim(stack) != 0 else [stack]
    layers = [stacked(entry) for entry in pair]
    if not all(isinstance(h, np.ndarray) and h.dtype.kind in "fiu" for h in layers):
        return Verdict(False, f"Expected the logits of two layers, (T, N) each; came {describe(value)}.")
    if len(layers) != 2 or any(h.ndim != 2 for h in layers) or layers[0].shape[1] != layers[1].shape[1]:
        return Verdict(False, f"Expected two layers, each (T, N), with the same N: the shape (2, T, N), or two arrays. Came {describe(value)}.", "wrong shape")  # fmt: skip
    if not all(1 <= len(h) <= MOST_TOKENS and 2 <= h.shape[1] <= MOST_EXPERTS for h in layers):
        return Verdict(False, f"Expected 1 to {MOST_TOKENS} tokens (rows) and 2 to {MOST_EXPERTS} experts (columns) in each layer.", "wrong shape")  # fmt: skip
    if not all(np.isfinite(h).all() for h in layers):
        return Verdict(False, "Every logit must be a finite number.", "not finite")
    return [h.astype(float) for h in layers]


def winner_fault(layers: list[np.ndarray]) -> tuple[str, str] | None:
    """Return why and name if a token's two best experts tie, or nearly; None if each has a clear winner."""
    for number, h in enumerate(layers, 1):
        best = np.sort(h, axis=-1)[:, -2:]  # (T, 2)
        tied = np.flatnonzero(best[:, 1] - best[:, 0] < CLEAR_WINNER)
        if tied.size:
            return f"Layer {number} has no clear winner for {tied.size} of its {len(h)} tokens: the two largest logits are less than {CLEAR_WINNER} apart (the first is row {tied[0]}). Who is selected would hang on a rule for ties.", "tie"  # fmt: skip
    return None


def numbers_fault(
    pooled: float, violations: list[float], alone: list[float], loads: list[np.ndarray]
) -> tuple[str, str] | None:
    """Explain the first number that is not as asked, and name the mistake."""
    even = [number for number, violation in enumerate(violations, 1) if violation < LEAST_VIOLATION - 1e-9]
    if len(even) == 2:
        return "No layer has an expert with twice its mean load. Each *layer* must be unbalanced; leanings of single tokens may cancel only between the layers.", "layers balanced"  # fmt: skip
    if even:
        return f"Layer {even[0]} alone is too even. Both must be unbalanced, and cancel each other.", "one layer balanced"  # fmt: skip
    if pooled > MOST_POOLED:
        common = float(np.minimum(*loads).sum())
        if common > 0.5:
            return f"Both layers lean towards the same experts ({common:.0%} of their loads are in common), so pooling hides nothing. Let layer 2 prefer those that layer 1 leaves out.", "same leaning"  # fmt: skip
        return "The leanings differ, but do not cancel. Over both layers together every expert should have about the same load, 1/N.", "not cancelled"  # fmt: skip
    blind = [number for number, loss in enumerate(alone, 1) if loss < LEAST_ALONE]
    if blind and min(alone) < 1:
        return f"Layer {blind[0]}'s own loss is small too: experts that never win hold much of the probability (as in 9.5). Here the loss of each layer must see what the pooled one does not: give the winners clearly more probability.", "blind in each layer"  # fmt: skip
    if blind:
        return f"The load of layer {blind[0]} is uneven, but its probabilities are nearly equal, so that even its own loss hardly shows it. Make the winners' logits larger.", "too faint"  # fmt: skip
    return None


POOLED = PooledQuestion(
    id="10.4",
    title="What a pooled loss hides",
    kind="build a counterexample",
    points=1,
    minutes=7,
    difficulty="easy",
    hints=(
        "Pooled, f and P are means over the tokens of both layers. If layer 1 uses one half of the experts and layer 2 the other half, what are they? (The lesson's example is not quite enough: its MaxVio is below 1.)",
        "Let each layer use only half of the experts, evenly and with clear winners. Which half should layer 2 use, so that the mean load of every expert is 1/N?",
    ),
    idea="E1 of layer 1 and E1 of layer 2 share nothing but their number. Averaged by number, opposite leanings cancel, and the pooled loss has nothing to mend. Compute the loss in each layer, then average.",
    answer="my_layers",
)  # fmt: skip


# --- 10.5 a measure for each log ----------------------------------------------------------------------------------

MOST_OVER_DICE, MOST_DROPPED = 1.5, 0.02

RUNS = {
    "A": Setting(T=512, u=1e-1, factor=1.5),
    "B": Setting(T=512, u=1e-2, factor=1.5, pooled=True, opposite=True),
    "C": Setting(T=64, u=1e-2, factor=2.0),
    "D": Setting(T=512, u=2e-4, factor=1.5),
    "E": Setting(T=512, u=1e-2, factor=1.0),
    "F": Setting(T=512, u=1e-4, factor=1.5, opposite=True),
}
MEASURES: dict[str, Callable[[Setting], Setting]] = {
    "raise u": lambda setting: replace(setting, u=10 * setting.u),
    "lower u": lambda setting: replace(setting, u=setting.u / 10),
    "raise c": lambda setting: replace(setting, factor=1.5 * setting.factor),
    "per layer": lambda setting: replace(setting, pooled=False),
    "nothing": lambda setting: setting,
}
REASONS = {
    "raise u": "A larger step helps where the load goes the right way, and too slowly.",
    "lower u": "A smaller step helps where single experts swing from too much to too little.",
    "raise c": "More places drop less, but they move no load: MaxVio counts what tokens ask for.",
    "per layer": "One bias for each layer helps where both layers stay uneven and their sum is even.",
}


def training_log(run: str) -> str:
    """Return the log of one of the runs "A" to "F" as text."""
    return written_log(run, RUNS[run])


def is_even(found: Outcome) -> bool:
    """Tell whether the first demand is met: balance near that of dice in each layer."""
    return bool(found.violation.max() <= MOST_OVER_DICE * found.dice)


def is_met(found: Outcome) -> bool:
    """Tell whether both demands are met: even loads, and few drops."""
    return is_even(found) and bool(found.dropped <= MOST_DROPPED)


@cache
def right_measures() -> dict[str, str]:
    """Return for each run the measure that meets both demands; "nothing" where they are met already."""
    first = ("nothing", *(name for name in MEASURES if name != "nothing"))
    return {run: next(name for name in first if is_met(outcome(MEASURES[name](setting)))) for run, setting in RUNS.items()}  # fmt: skip


def written(found: Outcome) -> str:
    """Write an outcome in words."""
    one, two = found.violation
    return f"MaxVio {one:.2f} and {two:.2f} (dice {found.dice:.2f}, so at most {MOST_OVER_DICE * found.dice:.2f}), {found.dropped:.1%} dropped"  # fmt: skip


def against(run: str, measure: str) -> str:
    """Say what the measure leads to in this run, and what in its log speaks against it."""
    setting, before, after = RUNS[run], outcome(RUNS[run]), outcome(MEASURES[measure](RUNS[run]))
    if right_measures()[run] == "nothing":
        return f"Run {run} meets both demands as it is: {written(before)}. With few tokens even dice are uneven; look at the null beside each number."  # fmt: skip
    hint = " MaxVio meets its demand already; only the drops do not." if is_even(before) else ""
    if measure == "nothing":
        return f"Run {run} does not meet the demands: over the last {LATE} steps {written(before)}.{hint}"
    why = f"We tried it. After `{measure}`, run {run} has {written(after)}; before: {written(before)}."
    if measure == "per layer" and not setting.pooled:
        return f"{why} Each layer had its own bias already{'.' + hint if hint else own_bias_shows(setting)}"
    return f"{why} {REASONS[measure]}{hint}"


def own_bias_shows(setting: Setting) -> str:
    """Say where the log of an uneven run shows that its layers share no bias."""
    if setting.opposite:
        return ": see whether both layers' MaxVio falls in the log. With one bias for both it would not."
    return ". One bias for both makes their sum even and leaves each uneven; here the sum is uneven, too."


@dataclass(frozen=True, kw_only=True)
class LogsQuestion(VariableQuestion):
    """A measure for each run; a wrong one is carried out, and answered with the numbers that come."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Refute the first wrong measure with numbers; name the other runs that are wrong."""
        value, right = reply["value"], right_measures()
        if not isinstance(value, dict) or not set(right) <= set(value):
            return Verdict(False, f"Expected a dict with the keys {', '.join(right)}; came {describe(value)}.")
        named = {run: " ".join(value[run].lower().split()) if isinstance(value[run], str) else None for run in right}
        for run, name in named.items():
            if name not in MEASURES:
                return Verdict(False, f"{run!r}: expected one of {', '.join(map(repr, MEASURES))}. Came {show(value[run])}.")  # fmt: skip
        wrong = [run for run in right if named[run] != right[run]]
        if not wrong:
            return Verdict(True)
        first, measure = wrong[0], str(named[wrong[0]])
        also = f"\nNot right yet either: {', '.join(wrong[1:])}." if wrong[1:] else ""
        return Verdict(False, f"{first!r} is not {measure!r}.\n{against(first, measure)}{also}", f"{first}: {measure}")


LOGS = LogsQuestion(
    id="10.5",
    title="A measure for each log",
    kind="find the bug",
    points=2,
    minutes=10,
    difficulty="medium",
    hints=(
        "Begin with the null: compare MaxVio with that of dice for this number of tokens, and the dropped share with 2 %. Which of the two demands is missed? More places never change MaxVio.",
        "If MaxVio is too large, ask three things. Is it still falling? Then it is too slow. Does E1 jump between much and little in the last six steps? Then the step is too large. Does it stay flat in each layer while both pooled are even? Then the layers share one bias.",
    ),
    idea="The same symptom, a large MaxVio and many drops, has different causes, and each leaves a trace: a slow fall, a swing, or an even sum of uneven layers. More capacity treats the drops alone. And a number without its null can send you mending what is not broken.",
    answer="my_measures",
)  # fmt: skip

QUESTIONS = (KEPT, RATE, UPDATE, POOLED, LOGS)
