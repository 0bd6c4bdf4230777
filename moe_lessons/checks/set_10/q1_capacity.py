"""Question 10.1: capacity with priority."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.apart import tells_apart
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree, difference, stacked
from moe_lessons.checks.verdicts import by_test, by_value

ORDINALS = ("first", "second", "third")
LONGEST_QUEUE = 10
PRIORITIES = ("position", "probability")
# T, k, N, C and the first expert that is asked; in the last more experts than places
SIZES = (6, 2, 4, 3, 0), (30, 2, 6, 6, 1), (20, 3, 7, 7, 0), (14, 1, 5, 3, 1)


def kept_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (selected (T, k), weights (T, k), C, N, priority): nobody asks for the last expert, or for the first.

    Drawn until all known mistakes come to different things.
    """
    while True:
        cases = [(*kept_case(rng, T, k, N, least), C, N, by) for T, k, N, C, least in SIZES for by in PRIORITIES]
        if tells_apart(KEPT, cases):
            return cases


def kept_case(rng: np.random.Generator, T: int, k: int, N: int, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Return selected and weights, (T, k) each, of the N − 1 experts from `least` on; no weight comes twice."""
    liking = 0.5 * np.arange(N - 1) + rng.gumbel(size=(T, N - 1))  # (T, N − 1)
    selected = least + np.argsort(-liking, axis=-1)[:, :k]  # (T, k)
    w = rng.permutation(np.linspace(0.1, 0.9, T * k)).reshape(T, k)  # (T, k)
    return selected, (-np.sort(-w, axis=-1)).round(3)  # best first


def token_by_token(weights: np.ndarray) -> np.ndarray:
    """Return the numbers t·k + j of all choices of the first token, then of the second. (T·k,)."""
    return np.arange(weights.size)  # (T·k,)


def choice_by_choice(weights: np.ndarray) -> np.ndarray:
    """Return the numbers t·k + j of all first choices, then of all second ones, earlier tokens first. (T·k,)."""
    return by_column(weights).ravel()  # (T·k,)


def by_column(weights: np.ndarray) -> np.ndarray:
    """Return the numbers t·k + j of the assignments, a row for each choice. (k, T)."""
    return np.arange(weights.size).reshape(weights.shape).T  # (k, T)


def by_weight(weights: np.ndarray) -> np.ndarray:
    """Return the numbers t·k + j of the assignments, largest weight first. (T·k,)."""
    return np.argsort(-weights, axis=None, kind="stable")  # (T·k,)


def tokens_by_weight(weights: np.ndarray, of_token: Callable = np.max) -> np.ndarray:
    """Return the numbers t·k + j, (T, k), with the rows sorted by each token's largest weight, or by their sum."""
    numbers = np.arange(weights.size).reshape(weights.shape)  # (T, k)
    return numbers[np.argsort(-of_token(weights, axis=1), kind="stable")]


def sorted_apart(weights: np.ndarray) -> np.ndarray:
    """Return the numbers t·k + j of all first choices, largest weight first, then of all second ones. (T·k,)."""
    k = weights.shape[1]
    return np.concatenate([np.argsort(-weights[:, j]) * k + j for j in range(k)])


def queue(weights: np.ndarray, priority: str) -> np.ndarray:
    """Return the numbers t·k + j of the assignments in the order of service. (T·k,)."""
    return (choice_by_choice if priority == "position" else by_weight)(weights)


def in_time(experts: np.ndarray, C: int, N: int) -> np.ndarray:
    """Tell of each entry whether fewer than C before it name the same expert. experts (entries,). (entries,)."""
    so_far = (experts[:, None] == np.arange(N)).cumsum(axis=0)  # (entries, N)
    return so_far[np.arange(len(experts)), experts] <= C


def with_queues(position: Callable = choice_by_choice, probability: Callable = by_weight, more: int = 0) -> Callable:
    """Return the function that serves the assignments in these orders, with `more` places at each expert."""

    def kept(selected: np.ndarray, weights: np.ndarray, C: int, N: int, priority: str) -> np.ndarray:
        order = (position if priority == "position" else probability)(weights)  # (T·k,)
        has_place = np.empty(selected.size, dtype=bool)  # (T·k,)
        has_place[order] = in_time(selected.ravel()[order], C + more, N)
        return has_place.reshape(selected.shape)  # (T, k)

    return kept


kept_reference = with_queues()


def then(wrong: Callable) -> Callable:
    """Return what `wrong` makes of the right booleans (T, k) and the weights."""
    return lambda selected, weights, *how: wrong(kept_reference(selected, weights, *how), weights)


def one_queue(total: Callable) -> Callable:
    """Return the function that fills total(C, N) places for all experts together."""
    return lambda selected, weights, C, N, priority: kept_reference(0 * selected, weights, total(C, N), 1, priority)


def each_choice_apart(selected: np.ndarray, weights: np.ndarray, *how: Any) -> np.ndarray:
    """Return what is kept if every expert has C places for first choices, C more for second choices, and so on."""
    return np.hstack([kept_reference(selected[:, [j]], weights[:, [j]], *how) for j in range(selected.shape[1])])


def not_put_back(selected: np.ndarray, weights: np.ndarray, C: int, N: int, priority: str) -> np.ndarray:
    """Return the right booleans in the order of the queue."""
    return in_time(selected.ravel()[queue(weights, priority)], C, N).reshape(selected.shape)  # (T, k)


def in_one_or_both(wrong: Callable) -> tuple[Callable, ...]:
    """Return a mistake as it is, and as it is made with one priority only: both have code of their own."""

    def only(by: str) -> Callable:
        return lambda *case: (wrong if case[-1] == by else kept_reference)(*case)

    return wrong, *map(only, PRIORITIES)


def order_for_rank(selected: np.ndarray, weights: np.ndarray, C: int, N: int, priority: str) -> np.ndarray:
    """Return what is kept if, at each expert, who comes first is taken for the place at which the first comes."""
    place, kept = np.argsort(queue(weights, priority)).reshape(selected.shape), np.zeros(selected.shape, dtype=bool)
    for i in range(N):
        kept[selected == i] = np.argsort(place[selected == i]) < C
    return kept  # (T, k)


def without(expert: int) -> Callable:
    """Return the function that is right but for an expert, 0 or −1, which gets nobody."""
    return lambda selected, weights, C, N, by: kept_reference(selected, weights, C, N, by) & (selected != expert % N)


def first_choices(selected: np.ndarray, weights: np.ndarray, *how: Any) -> np.ndarray:
    """Return what is kept if only first choices are served. (T, k)."""
    kept = np.zeros(selected.shape, dtype=bool)  # (T, k)
    kept[:, :1] = kept_reference(selected[:, :1], weights[:, :1], *how)
    return kept


def walked(passes: Callable) -> Callable:
    """Return the function that walks the queue, and passes over an assignment if passes(what came of its token so far).

    What came of a token is (k,): 1 for a place, −1 for none, 0 for not decided.
    """

    def kept(selected: np.ndarray, weights: np.ndarray, C: int, N: int, priority: str) -> np.ndarray:
        came, free = np.zeros(selected.shape, dtype=int), np.full(N, C)  # (T, k), (N,)
        for number in queue(weights, priority):
            t, j = divmod(number, selected.shape[1])
            if not passes(came[t]):
                came[t, j] = 1 if free[selected[t, j]] > 0 else -1
                free[selected[t, j]] -= 1
        return came > 0  # (T, k)

    return kept


def until_one_is_full(selected: np.ndarray, weights: np.ndarray, *how: Any) -> np.ndarray:
    """Return what is kept if the first assignment without a place ends the serving. (T, k)."""
    order, kept = queue(weights, how[-1]), kept_reference(selected, weights, *how).ravel()  # (T·k,) each
    kept[order] = np.logical_and.accumulate(kept[order])
    return kept.reshape(selected.shape)


def is_decision(value: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether the value says yes or no to each assignment."""
    return isinstance(value, np.ndarray) and value.shape == shape and bool(np.isin(value, (0, 1)).all())


def right_with(priority: str) -> Callable:
    """Return the test of decisions that are right wherever assignments are served with this priority."""

    def test(value: Any, *case: Any) -> bool:
        return is_decision(value, case[0].shape) and (case[-1] != priority or agree(value, kept_reference(*case)))

    return test


def with_its_queue(
    value: Any, right: np.ndarray, selected: np.ndarray, weights: np.ndarray, C: int, N: int, priority: str
) -> str:
    """Say what differs, who asks the expert of the first wrong assignment, in order of service, and what is wrong."""
    value, differs = stacked(value), difference(value, right)
    if not is_decision(value, right.shape):
        return differs
    by_token = re.sub(r"\bin \[(\d+)\] ", lambda row: f"for t{int(row[1]) + 1} ", differs)
    t, j = np.argwhere(value != right)[0]
    i, k = selected[t, j], selected.shape[1]
    asks = [divmod(int(a), k) for a in queue(weights, priority) if selected.ravel()[a] == i]
    named = [f"t{s + 1} ({ORDINALS[c]} choice, {weights[s, c]:.2f})" for s, c in asks[:LONGEST_QUEUE]]
    more = f" and {len(asks) - LONGEST_QUEUE} more" if len(asks) > LONGEST_QUEUE else ""
    verb = "has a place" if right[t, j] else "has none"
    return f"{by_token}\nThere, E{i + 1} has {C} places. Who asks, in the order of service: {', '.join(named)}{more}. So t{t + 1}, number {asks.index((t, j)) + 1} in this queue, {verb}."


KEPT = FunctionQuestion(
    **about("10.1", "Capacity with priority", "write it", "medium", points=2, minutes=9),
    hints=(
        "Two steps. First the order of service: an array with the numbers t·k + j of all T·k assignments. Then walk through it with one counter of free places for each expert.",
        "With `numbers = np.arange(T * k).reshape(T, k)`, the order by position is `numbers.T.ravel()`; by probability it is `np.argsort(-weights, axis=None)`. Write the decision on each `number` in that order to `kept[number]`, with `kept` of length T·k: reshaped to (T, k), it is in the order of the tokens again.",
    ),
    idea="The priority decides only the order in which assignments are served; each expert then takes the first C that ask for it. Nobody who is turned away goes to another expert, even if that one has places left.",
    takeaway="A dropped assignment is lost work, not moved work: the residual stream carries the token on as if this expert had said nothing.",
    answer="my_kept",
    parameters=("selected", "weights", "capacity", "num_experts", "priority"),
    stands_for=("balancing.within_capacity",),
    when_raised='selected and weights are both (T, k). `selected[t, j]` is an index of an expert, from 0 to num_experts − 1, and `priority` is the text "position" or "probability".',
    cases=kept_cases,
    reference=kept_reference,
    mistakes=by_value(
        "token by token: By position you serve token by token: the second choice of an early token comes before the first choice of a later one. All first choices come first.",
        with_queues(position=token_by_token),
        "token by token, and one too many: Two things. By position you serve token by token: all first choices come first. And each of your experts takes one more than its capacity.",
        with_queues(position=token_by_token, more=1),
        "numbers turned round: By position your numbers are laid out as (k, T) and then turned, `reshape(k, T).T`: so each stands for another assignment. Lay them out as the assignments are, `reshape(T, k)`, and go down the columns: `.T.ravel()`.",
        with_queues(position=lambda w: np.arange(w.size).reshape(w.shape[::-1]).T.ravel()),
        "later tokens first: By position you serve the last token first. Of each choice, earlier tokens come first.",
        with_queues(position=lambda w: by_column(w)[:, ::-1].ravel()),
        "last choices first: By position you serve the last choices first. All first choices come first.",
        with_queues(position=lambda w: by_column(w)[::-1].ravel()),
        "one too many: Each of your experts takes one more than its capacity: with the places counted from 0, the last one is C − 1, so compare with `<`.",
        in_one_or_both(with_queues(more=1)),
        "one too few: Each of your experts takes one less than its capacity. If you count the assignment itself, it has a place while the count is at most C.",
        in_one_or_both(with_queues(more=-1)),
        "capacity over all experts: You let `capacity` assignments through in all. Each expert has `capacity` places of its own.",
        one_queue(lambda C, N: C),
        "common pool: Yours has a place for the first N·C assignments, as if all experts had one queue, or who finds one full were sent to another. Each expert has C places of its own, and a place at another expert helps nobody.",
        one_queue(lambda C, N: C * N),
        "always by position: You serve by position whatever `priority` says.",
        with_queues(probability=choice_by_choice),
        "always by probability: You serve by probability whatever `priority` says.",
        with_queues(position=by_weight),
        "always token by token: You serve token by token whatever `priority` says.",
        with_queues(token_by_token, token_by_token),
        "priorities exchanged: The two priorities are exchanged.",
        with_queues(by_weight, choice_by_choice),
        "smallest weight first: By probability you serve the smallest weights first. The largest come first: sort `-weights`.",
        with_queues(probability=lambda w: by_weight(-w)),
        "tokens sorted: By probability you sort the *tokens*, by their largest weight or by all of it, and still serve first choices first. (V-MoE does that.) Asked is: sort the assignments, each by its own weight.",
        (
            with_queues(probability=lambda w: tokens_by_weight(w).T.ravel()),
            with_queues(probability=lambda w: tokens_by_weight(w, np.sum).T.ravel()),
        ),
        "tokens sorted, all choices at once: By probability you sort the *tokens* by their largest weight or by all of it, and serve all choices of a token at once. Sort the assignments, each by its own weight.",
        (
            with_queues(probability=lambda w: tokens_by_weight(w).ravel()),
            with_queues(probability=lambda w: tokens_by_weight(w, np.sum).ravel()),
        ),
        "last served first: You go through the order of service from its end. The first C in the order have a place.",
        (
            with_queues(lambda w: choice_by_choice(w)[::-1], lambda w: by_weight(w)[::-1]),
            with_queues(position=lambda w: choice_by_choice(w)[::-1]),
        ),
        "weights transposed: By probability you sorted the transposed weights, (k, T). Then number n is another assignment: it is choice n % k of token n // k only in (T, k).",
        with_queues(probability=lambda w: np.argsort(-w.T, axis=None, kind="stable")),
        "choices sorted apart: By probability you serve all first choices before all second ones. There only the weight counts: a strong second choice comes before a faint first one.",
        with_queues(probability=sorted_apart),
        "each choice apart: You begin to count anew for the second choices, so an expert can take C of each. First and later choices share its C places.",
        in_one_or_both(each_choice_apart),
        "not put back: Your decisions are right, but they stand in the order of service. Put each back where its assignment was: `kept[order] = ...`.",
        in_one_or_both(not_put_back),
        "order taken for rank: `np.argsort` says which assignment comes first, not which place an assignment has. Yours compares the former with C. Write through it, `kept[order[:C]] = True`, or sort twice: `np.argsort(np.argsort(...))`.",
        in_one_or_both(order_for_rank),
        "first choices only: You serve first choices alone. The others find a place, too, where one is left.",
        (first_choices, then(lambda kept, w: kept & (np.arange(w.shape[1]) == 0))),
        "gives up: Once a token has found an expert full, you do not ask for its other experts. Each assignment is decided on its own.",
        walked(lambda came: (came < 0).any()),
        "stops at the first: The first who finds an expert full ends it: after that nobody is served in yours. Go on with the next (`continue`, not `break`).",
        until_one_is_full,
        "one place a token: A token that has a place gets no second one in yours. Each assignment is decided on its own.",
        walked(lambda came: (came > 0).any()),
        "k times the capacity: Each of your experts has k times `capacity` places.",
        lambda selected, weights, C, *how: kept_reference(selected, weights, C * selected.shape[1], *how),
        "capacity shared out: Your experts have `capacity` / k places, as if each choice had its part. All choices share its C places.",
        (
            lambda selected, weights, C, *how: kept_reference(selected, weights, C // selected.shape[1], *how),
            lambda selected, weights, C, *how: kept_reference(selected, weights, -(-C // selected.shape[1]), *how),
        ),
        "capacity ignored: Your experts have T·k/N places, the mean load, whatever `capacity` says.",
        (
            lambda selected, weights, C, N, by: kept_reference(selected, weights, selected.size // N, N, by),
            lambda selected, weights, C, N, by: kept_reference(selected, weights, -(-selected.size // N), N, by),
        ),
        "E1 left out: Nobody has a place at E1 in yours. Experts are numbered from 0.",
        without(0),
        "last expert left out: Nobody has a place at the last expert in yours. The experts are 0 to N − 1: `range(num_experts)`.",
        without(-1),
        "all of a full expert: You drop all assignments of an expert with too many. The first C of them have a place.",
        lambda selected, weights, C, N, by: np.bincount(selected.ravel(), minlength=N)[selected] <= C,
        "nobody dropped: Nobody is dropped in yours. An expert takes at most C.",
        then(lambda kept, w: np.ones_like(kept)),
        "dropped: This marks what is dropped. Asked is what is kept.",
        then(lambda kept, w: ~kept),
        "whole token: You drop a token entirely if one of its experts is full. It keeps the others.",
        then(lambda kept, w: np.repeat(kept.all(axis=1, keepdims=True), w.shape[1], axis=1)),
        "whole token kept: You keep all choices of a token if one of them has a place. Each assignment is decided on its own.",
        then(lambda kept, w: np.repeat(kept.any(axis=1, keepdims=True), w.shape[1], axis=1)),
        "last choice only: You keep only the last choice of each token. Every one that finds a place is kept.",
        then(lambda kept, w: kept & (np.arange(w.shape[1]) == w.shape[1] - 1)),
        "weights: These are the weights that remain. Asked are booleans: which assignments have a place.",
        then(lambda kept, w: np.where(kept, w, 0)),
        "indices: These are the experts where a place was found. Asked are booleans: which assignments have a place.",
        lambda selected, *case: np.where(kept_reference(selected, *case), selected, -1),
        "choices as rows: The decisions are right, but your result is (k, T). Tokens are rows: (T, k).",
        then(lambda kept, w: kept.T),
    )
    + by_test(
        ': With priority "position" all is right; with "probability" it is not.',
        right_with("position"),
        ': With priority "probability" all is right; with "position" it is not.',
        right_with("probability"),
    ),
    shown=with_its_queue,
)
