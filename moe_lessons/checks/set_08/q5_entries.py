"""Question 8.5: how many entries of a token hold its expert."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value

IMPOSSIBLE = -1
GRID = 16  # entries are multiples of 1/GRID: products and their sums are exact, in single precision too, in any order
Count = Callable[[np.ndarray, np.ndarray], int]  # of one token x (d,) and W_g (d, N)


def terms(x: np.ndarray, W_g: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the terms x_a W_ai (d, N) of one token's logits, and its expert."""
    t = x[:, None] * W_g  # (d, N)
    return t, int(t.sum(axis=0).argmax())


def first_below_zero(gap: np.ndarray, order: np.ndarray) -> int:
    """Return after how many terms of gap (d,), taken away in this order, the rest is below 0; IMPOSSIBLE for never."""
    rest = gap.sum() - np.cumsum(gap[order])  # (d,), exact
    below = np.flatnonzero(rest < 0)
    return int(below[0]) + 1 if len(below) else IMPOSSIBLE


def fewest(counts: list[int]) -> int:
    """Return the smallest count that is possible, or IMPOSSIBLE."""
    return min((count for count in counts if count != IMPOSSIBLE), default=IMPOSSIBLE)


def of_one(x: np.ndarray, W_g: np.ndarray) -> int:
    """Return how many entries of x (d,) must at least be 0 for another expert to win, or IMPOSSIBLE."""
    t, first = terms(x, W_g)
    gaps = [t[:, first] - t[:, j] for j in range(t.shape[1]) if j != first]  # (d,) each
    return fewest([first_below_zero(gap, np.argsort(-gap)) for gap in gaps])


def runner_up(order: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Count:
    """Return the count when only the second expert is looked at; order of x (d,), own terms (d,) and gap (d,)."""

    def count(x: np.ndarray, W_g: np.ndarray) -> int:
        t, first = terms(x, W_g)
        second = t.sum(axis=0).argsort()[-2]
        gap = t[:, first] - t[:, second]  # (d,)
        return first_below_zero(gap, order(x, t[:, first], gap))

    return count


def any_rival(order: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Count:
    """Return the count when entries are set to 0 in one order, from x (d,) and own terms (d,), until another wins."""

    def count(x: np.ndarray, W_g: np.ndarray) -> int:
        t, first = terms(x, W_g)
        key = order(x, t[:, first])  # (d,)
        return fewest([first_below_zero(t[:, first] - other, key) for j, other in enumerate(t.T) if j != first])

    return count


def rivals_stand_still(x: np.ndarray, W_g: np.ndarray) -> int:
    """Return the count if setting an entry to 0 took the first expert's term away, and nobody else's."""
    t, first = terms(x, W_g)
    own, second = t[:, first], np.sort(t.sum(axis=0))[-2]
    below = np.flatnonzero(own.sum() - np.cumsum(np.sort(own)[::-1]) < second)
    return int(below[0]) + 1 if len(below) else IMPOSSIBLE


def below_zero(x: np.ndarray, W_g: np.ndarray) -> int:
    """Return after how many of its terms the first expert's own logit is below 0."""
    t, first = terms(x, W_g)
    own = t[:, first]  # (d,)
    return first_below_zero(own, np.argsort(-own))


def that_helped(x: np.ndarray, W_g: np.ndarray) -> int:
    """Return how many entries spoke for the first expert, against the second."""
    t, first = terms(x, W_g)
    return int(np.sum(t[:, first] > t[:, t.sum(axis=0).argsort()[-2]]))


def impossible_as(number: Callable[[np.ndarray], int], count: Count = of_one) -> Count:
    """Return a count, with another number where it finds that nothing unseats the expert."""
    return lambda x, W_g: number(x) if count(x, W_g) == IMPOSSIBLE else count(x, W_g)


def one_stays(count: Count) -> Count:
    """Return a count that gives up before all entries are gone."""
    return lambda x, W_g: IMPOSSIBLE if count(x, W_g) == len(x) else count(x, W_g)


def moved(step: int) -> Count:
    """Return the right count, where there is one, moved by a step."""
    return lambda x, W_g: of_one(x, W_g) + step * (of_one(x, W_g) != IMPOSSIBLE)


def each(count: Count) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the function of T tokens: a count for each (T,)."""
    return lambda x, W_g: np.array([count(token, W_g) for token in x])


MISTAKEN: dict[str, Count] = {
    "runner-up": runner_up(lambda x, own, gap: np.argsort(-gap)),
    "size of x": any_rival(lambda x, own: np.argsort(-np.abs(x))),
    "own terms": any_rival(lambda x, own: np.argsort(-own)),
    "absolute": runner_up(lambda x, own, gap: np.argsort(-np.abs(gap))),
    "smallest": runner_up(lambda x, own, gap: np.argsort(gap)),
    "still": rivals_stand_still,
    "below zero": below_zero,
    "helped": that_helped,
    "few": moved(-1),
    "many": moved(1),
    "impossible 0": impossible_as(lambda x: 0),
    "impossible d": impossible_as(len),
}


NUMBERS_FOR_NEVER = (lambda x: 0, lambda x: 1, len, lambda x: len(x) + 1)  # what may stand where it is impossible


def on_grid(values: np.ndarray) -> np.ndarray:
    """Return values rounded to multiples of 1/GRID."""
    return np.round(GRID * values) / GRID


def tokens(rng: np.random.Generator, T: int, d: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (x (T, d), W_g (d, N)) on which every mistaken count differs; the expert of one token, E1, cannot be
    unseated: in each row of W_g its entry is the largest or the smallest, and x has the sign that it needs."""
    while True:
        W_g = on_grid(rng.normal(size=(d, N)))
        rows, end = np.arange(d), np.where(rng.random(d) < 0.5, W_g.argmax(axis=1), W_g.argmin(axis=1))  # (d,) each
        W_g[rows, end], W_g[:, 0] = W_g[:, 0].copy(), W_g[rows, end].copy()
        x = on_grid(rng.normal(size=(T, d)) + 1.2 * W_g.T[rng.integers(N, size=T)])  # (T, d): each near a prototype
        x[-1] = np.abs(x[-1]) * np.where(W_g.argmax(axis=1) == 0, 1, -1)  # every term speaks for E1
        if _fit(x, W_g):
            return rng.permutation(x), W_g


def _fit(x: np.ndarray, W_g: np.ndarray) -> bool:
    """Whether all leads are clear, one expert cannot be unseated, and no two counts are alike."""
    right, h = each(of_one)(x, W_g), np.sort(x @ W_g, axis=1)  # (T,), (T, N)
    if (right == IMPOSSIBLE).sum() != 1 or (np.diff(h) == 0).any() or any(hangs_on_a_tie(t, W_g) for t in x):
        return False
    counts = {tuple(each(count)(x, W_g)) for count in MISTAKEN.values()} | {tuple(right)}
    return len(counts) == 1 + len(MISTAKEN)


def hangs_on_a_tie(x: np.ndarray, W_g: np.ndarray) -> bool:
    """Whether x (d,) and a rival's have equal logits after the largest terms of the lead are gone, and one or more stay."""
    t, first = terms(x, W_g)
    lead = np.sort(t[:, [first]] - np.delete(t, first, axis=1), axis=0)  # (d, N - 1): what is taken last stands first
    return bool((lead.cumsum(axis=0)[:-1] == 0).any())


def entry_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (x (T, d), W_g (d, N)) three times."""
    return [tokens(rng, *sizes) for sizes in ((5, 8, 4), (6, 12, 5), (7, 16, 3))]


ENTRIES = FunctionQuestion(
    **about("8.5", "How many entries hold an expert", "write it", "medium", points=2, minutes=11),
    hints=(
        "Take one token and one rival. Each entry a adds x_a (W_ai − W_aj) to the lead of expert i over expert j. Which entries do you take away first? Then think of the other rivals.",
        "For each rival: sort the terms of the lead, largest first, take away their running sum (`np.cumsum`), and find the first place where less than 0 is left. The answer is the smallest of these counts over all rivals.",
    ),
    idea="A logit is a sum of d terms, and so is a lead: taking away its largest terms is the shortest way below 0. Which rival comes first is not known beforehand.",
    takeaway="A choice is a sum of terms, and which are large depends on the axes: before you say that one entry decided it, count how few would have to go, against every rival.",
    answer="my_counts",
    parameters=("x", "W_g"),
    when_raised="x has the shape (T, d) and W_g (d, N); the terms of all logits are `x[:, :, None] * W_g`, of shape (T, d, N).",
    cases=entry_cases,
    reference=each(of_one),
    mistakes=by_value(
        "runner-up only: You looked at the expert with the second logit alone, as `lead_of` of the lesson does. Another rival may need fewer entries, even if its logit is lower now: try them all.",
        tuple(
            map(each, (MISTAKEN["runner-up"], *(impossible_as(n, MISTAKEN["runner-up"]) for n in NUMBERS_FOR_NEVER)))
        ),
        "largest entries of x: You set the largest |x_a| to 0 first. An entry counts by its term of the lead, x_a (W_ai − W_aj), which may be small, or against the expert.",
        each(MISTAKEN["size of x"]),
        "own terms: You sorted by the terms of the winner's own logit. Setting x_a to 0 takes the rival's term away as well: sort by the terms of the lead.",
        each(MISTAKEN["own terms"]),
        "sizes of the terms: You took the terms by size, without their sign. A negative term speaks for the rival: taking it away makes the lead longer.",
        each(MISTAKEN["absolute"]),
        "smallest first: You took the smallest terms away first. The largest ones end the lead soonest.",
        each(MISTAKEN["smallest"]),
        "rivals stand still: You compared what is left of the winner's logit with the rival's whole logit. Setting x_a to 0 changes all logits.",
        (each(MISTAKEN["still"]), each(one_stays(MISTAKEN["still"]))),
        "below zero: You counted until the winner's own logit is below 0. It loses when another logit is larger, whatever the signs.",
        each(MISTAKEN["below zero"]),
        "all that helped: This is how many entries speak for the winner. Most of them need not go.",
        each(MISTAKEN["helped"]),
        "one too few: Your counts are one too small: with so many entries gone the lead is still above 0. `np.flatnonzero` counts from 0.",
        each(MISTAKEN["few"]),
        "one too many: Your counts are one too large.",
        each(MISTAKEN["many"]),
        "impossible: Right, but for the tokens whose expert no choice of entries can unseat: they get −1. (With all d entries gone nothing is left of a lead: that is 0, not below, and one entry must stay.)",
        tuple(each(impossible_as(number)) for number in NUMBERS_FOR_NEVER),
    ),
)
