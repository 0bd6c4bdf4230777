"""Question 8.5: how many entries of a token hold its expert."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.apart import told_apart
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


def last_below_zero(gap: np.ndarray) -> int:
    """Return after how many of the largest terms of gap (d,) the rest is below 0 for the last time; or IMPOSSIBLE."""
    below = np.flatnonzero(gap.sum() - np.cumsum(np.sort(gap)[::-1]) < 0)
    return int(below[-1]) + 1 if len(below) else IMPOSSIBLE


def fewest(counts: list[int]) -> int:
    """Return the smallest count that is possible, or IMPOSSIBLE."""
    return min((count for count in counts if count != IMPOSSIBLE), default=IMPOSSIBLE)


def leads(x: np.ndarray, W_g: np.ndarray) -> list[np.ndarray]:
    """Return the terms (d,) of the first expert's lead over each rival, the second expert first."""
    t, first = terms(x, W_g)
    return [t[:, first] - t[:, j] for j in t.sum(axis=0).argsort()[-2::-1]]


def over_rivals(pick: Callable[[list[int]], int]) -> Count:
    """Return the count that is picked from the right ones of all rivals, with IMPOSSIBLE among them."""
    return lambda x, W_g: pick([first_below_zero(lead, np.argsort(-lead)) for lead in leads(x, W_g)])


def of_one(x: np.ndarray, W_g: np.ndarray) -> int:
    """Return how many entries of x (d,) must at least be 0 for another expert to win, or IMPOSSIBLE."""
    return over_rivals(fewest)(x, W_g)


Order = Callable[
    [np.ndarray, np.ndarray, np.ndarray], np.ndarray
]  # of x, own terms and the lead (d,) each -> order (d,)


def in_order(order: Order, rivals: int | None = None) -> Count:
    """Return the count when entries are set to 0 in another order; `rivals`: only so many are looked at."""

    def count(x: np.ndarray, W_g: np.ndarray) -> int:
        t, first = terms(x, W_g)
        return fewest([first_below_zero(lead, order(x, t[:, first], lead)) for lead in leads(x, W_g)[:rivals]])

    return count


def both(order: Order) -> tuple[Count, Count]:
    """Return the counts in another order, over the second expert alone and over all rivals."""
    return in_order(order, 1), in_order(order)


def rivals_stand_still(x: np.ndarray, W_g: np.ndarray) -> int:
    """Return the count if setting an entry to 0 took the first expert's term away, and nobody else's."""
    t, first = terms(x, W_g)
    own, second = t[:, first], np.sort(t.sum(axis=0))[-2]
    below = np.flatnonzero(own.sum() - np.cumsum(np.sort(own)[::-1]) < second)
    return int(below[0]) + 1 if len(below) else IMPOSSIBLE


def in_order_of_the_weights(x: np.ndarray, W_g: np.ndarray) -> int:
    """Return the count when the terms of each lead are taken away in the order of W_ai − W_aj, without x_a."""
    first = terms(x, W_g)[1]
    gaps = np.delete(W_g[:, [first]] - W_g, first, axis=1).T  # (N − 1, d)
    return fewest([first_below_zero(x * gap, np.argsort(-gap)) for gap in gaps])


def up_to(most: Callable[[int], int]) -> Count:
    """Return the count of someone who tries most(d) entries at most."""
    return lambda x, W_g: count if (count := of_one(x, W_g)) <= most(len(x)) else IMPOSSIBLE


def of_one_lead(lead: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Count:
    """Return the count over one lead (d,), made of the first expert's terms (d,) and those of all rivals (d, N − 1)."""

    def count(x: np.ndarray, W_g: np.ndarray) -> int:
        t, first = terms(x, W_g)
        gap = lead(t[:, first], np.delete(t, first, axis=1))  # (d,)
        return first_below_zero(gap, np.argsort(-gap))

    return count


def own_for_it(x: np.ndarray, W_g: np.ndarray) -> int:
    """Return how many terms of the first expert's own logit are above 0."""
    t, first = terms(x, W_g)
    return int((t[:, first] > 0).sum())


def step_by_step(choose: Callable[[np.ndarray, int], int]) -> Count:
    """Return the count when, entry by entry, choose(what is left of the terms (d, N), first) is set to 0."""

    def count(x: np.ndarray, W_g: np.ndarray) -> int:
        left, first = terms(x, W_g)
        for m in range(1, len(x)):
            left[choose(left, first)] = 0
            if left.sum(axis=0).argmax() != first:
                return m
        return IMPOSSIBLE

    return count


def ordered_by_the_second(x: np.ndarray, W_g: np.ndarray) -> int:
    """Return after how many entries anybody is ahead, in the order of the terms of the lead over the second expert."""
    t, first = terms(x, W_g)
    order = np.argsort(-leads(x, W_g)[0])  # (d,)
    return next((m for m in range(1, len(x)) if t[order[m:]].sum(axis=0).argmax() != first), IMPOSSIBLE)


def half_of_the_positive(x: np.ndarray, W_g: np.ndarray) -> int:
    """Return how many of the largest terms are more than half of the positive ones' sum, for the easiest rival."""
    positive = [np.sort(lead[lead > 0])[::-1] for lead in leads(x, W_g)]
    return fewest([int((np.cumsum(some) <= some.sum() / 2).sum()) + 1 for some in positive])


def best_of_the_second(left: np.ndarray, first: int) -> int:
    """Return the entry that counts most against whoever is second now. left (d, N)."""
    h = left.sum(axis=0)  # (N,)
    second = h.argsort()[-2]
    return int((left[:, first] - left[:, second]).argmax())


def best_at_once(left: np.ndarray, first: int) -> int:
    """Return the entry without which the lead over the best rival is shortest. left (d, N)."""
    h = left.sum(axis=0) - left  # (d, N): without each entry
    lead = h[:, first] - np.delete(h, first, axis=1).max(axis=1)  # (d,)
    return int(np.where(left.any(axis=1), lead, np.inf).argmin())


def impossible_as(number: Callable[[np.ndarray], int], count: Count = of_one) -> Count:
    """Return a count, with another number where it finds that nothing unseats the expert."""
    return lambda x, W_g: number(x) if count(x, W_g) == IMPOSSIBLE else count(x, W_g)


def where_it_can_be(count: Count) -> Count:
    """Return a count, with IMPOSSIBLE where nothing unseats the expert."""
    return lambda x, W_g: IMPOSSIBLE if of_one(x, W_g) == IMPOSSIBLE else count(x, W_g)


def one_stays(count: Count) -> Count:
    """Return a count that gives up before all entries are gone."""
    return lambda x, W_g: IMPOSSIBLE if count(x, W_g) == len(x) else count(x, W_g)


def where_possible(change: Callable[[int, int], int]) -> Count:
    """Return change(the right count, d), where there is one."""
    return lambda x, W_g: IMPOSSIBLE if (count := of_one(x, W_g)) == IMPOSSIBLE else change(count, len(x))


def each(*counts: Count) -> tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...]:
    """Return for each count the function of T tokens: a count for each (T,)."""
    return tuple(lambda x, W_g, count=count: np.array([count(token, W_g) for token in x]) for count in counts)


def for_all(pick: Callable[[list[int]], int]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the function of T tokens that gives all of them one number, picked from the right counts. (T,)."""
    return lambda x, W_g: np.full(len(x), pick([of_one(token, W_g) for token in x]))


FOR_NEVER = (lambda x: 0, lambda x: 1, len, lambda x: len(x) + 1, lambda x: -2)  # what may stand where it is impossible
SECOND = in_order(lambda x, own, lead: np.argsort(-lead), 1)
HELPED: tuple[Count, ...] = (
    lambda x, W_g: int((leads(x, W_g)[0] > 0).sum()),
    lambda x, W_g: min(int((lead > 0).sum()) for lead in leads(x, W_g)),
    own_for_it,
)

MISTAKEN = {  # first those that are often right: cases that do not show them are soon passed over
    "minus one": each(over_rivals(min)),
    "greedy": each(step_by_step(best_of_the_second), step_by_step(best_at_once), ordered_by_the_second),
    "runner-up": each(SECOND, *(impossible_as(number, SECOND) for number in FOR_NEVER)),
    "size of x": each(*both(lambda x, own, lead: np.argsort(-np.abs(x))), *both(lambda x, own, lead: np.argsort(-x))),
    "own terms": each(
        *both(lambda x, own, lead: np.argsort(-own)), *both(lambda x, own, lead: np.argsort(-np.abs(own)))
    ),
    "absolute": each(*both(lambda x, own, lead: np.argsort(-np.abs(lead)))),
    "unsorted": each(*both(lambda x, own, lead: np.arange(len(x)))),
    "none found": each(lambda x, W_g: IMPOSSIBLE),
    "still": each(rivals_stand_still, one_stays(rivals_stand_still)),
    "below zero": each(of_one_lead(lambda own, others: own)),
    "mixed": each(
        of_one_lead(lambda own, others: others.shape[1] * own - others.sum(axis=1)),  # their mean, with no rounding
        of_one_lead(lambda own, others: np.sort(own - others.mean(axis=1))[::-1]),  # with it: all may leave −1e-17
        of_one_lead(lambda own, others: own - others.sum(axis=1)),
        of_one_lead(lambda own, others: own - others.max(axis=1)),
    ),
    "hardest": each(over_rivals(max), over_rivals(lambda counts: IMPOSSIBLE if IMPOSSIBLE in counts else max(counts))),
    "helped": each(*HELPED, *map(where_it_can_be, HELPED)),
    "weakest": each(over_rivals(lambda counts: counts[-1])),
    "singles": each(up_to(lambda d: 1)),
    "pairs": each(up_to(lambda d: 2)),
    "halves": each(up_to(lambda d: d // 2)),
    "weights": each(in_order_of_the_weights),
    "last": each(lambda x, W_g: fewest([last_below_zero(lead) for lead in leads(x, W_g)])),
    "for all": (for_all(min), for_all(fewest), for_all(max)),
    "runner-up, few": each(
        lambda x, W_g: IMPOSSIBLE if (count := SECOND(x, W_g)) == IMPOSSIBLE else count - 1,
    ),
    "positive": each(half_of_the_positive, one_stays(half_of_the_positive)),
    "at once": each(lambda x, W_g: 1, where_it_can_be(lambda x, W_g: 1)),
    "few": each(where_possible(lambda count, d: count - 1)),
    "many": each(where_possible(lambda count, d: count + 1)),
    "left": each(where_possible(lambda count, d: d - count)),
    "impossible": each(
        *(impossible_as(number) for number in FOR_NEVER), over_rivals(lambda counts: min(map(abs, counts)))
    ),
}


def on_grid(values: np.ndarray) -> np.ndarray:
    """Return values rounded to multiples of 1/GRID."""
    return np.round(GRID * values) / GRID


def tokens(rng: np.random.Generator, T: int, d: int, N: int, never: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (x (T, d), W_g (d, N)); the expert of `never` tokens, E1, cannot be unseated: of one or none.

    In each row of W_g the entry of E1 is the largest or the smallest, and the x of that token has the sign that it needs.
    """
    while True:
        W_g = on_grid(rng.normal(size=(d, N)))
        rows, end = np.arange(d), np.where(rng.random(d) < 0.5, W_g.argmax(axis=1), W_g.argmin(axis=1))  # (d,) each
        W_g[rows, end], W_g[:, 0] = W_g[:, 0].copy(), W_g[rows, end].copy()
        x = on_grid(rng.normal(size=(T, d)) + 1.2 * W_g.T[rng.integers(N, size=T)])  # (T, d): each near a prototype
        if never:
            x[-1] = np.abs(x[-1]) * np.where(W_g.argmax(axis=1) == 0, 1, -1)  # every term speaks for E1
        if _fit(x, W_g, never):
            return rng.permutation(x), W_g


def _fit(x: np.ndarray, W_g: np.ndarray, never: int) -> bool:
    """Whether all leads are clear, and the expert of `never` tokens cannot be unseated."""
    clear = not (np.diff(np.sort(x @ W_g, axis=1)) == 0).any() and not any(hangs_on_a_tie(t, W_g) for t in x)
    return clear and [of_one(token, W_g) for token in x].count(IMPOSSIBLE) == never


def hangs_on_a_tie(x: np.ndarray, W_g: np.ndarray) -> bool:
    """Whether x (d,) and a rival's have equal logits after the largest terms of the lead are gone, and one or more stay."""
    t, first = terms(x, W_g)
    lead = np.sort(t[:, [first]] - np.delete(t, first, axis=1), axis=0)  # (d, N - 1): what is taken last stands first
    return bool((lead.cumsum(axis=0)[:-1] == 0).any())


def entry_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (x (T, d), W_g (d, N)) three times, on which no two mistakes give the same, nor one what is right.

    In the last every expert can be unseated, so that "for no token" is not the smallest number of every batch.
    """
    while True:
        cases = [tokens(rng, *sizes) for sizes in ((5, 8, 4, 1), (6, 12, 5, 1), (7, 16, 3, 0))]
        if told_apart({"right": each(of_one), **MISTAKEN}, cases):
            return cases


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
    seconds=15.0,  # who tries all 65,534 choices of 16 entries in a loop is right too, and slow
    cases=entry_cases,
    reference=each(of_one)[0],
    mistakes=by_value(
        "runner-up only: You looked at the expert with the second logit alone, as `lead_of` of the lesson does. Another rival may need fewer entries, even if its logit is lower now: try them all.",
        MISTAKEN["runner-up"],
        "largest entries of x: You set the largest x_a to 0 first. An entry counts by its term of the lead, x_a (W_ai − W_aj), which may be small, or against the expert.",
        MISTAKEN["size of x"],
        "own terms: You sorted by the terms of the winner's own logit. Setting x_a to 0 takes the rival's term away as well: sort by the terms of the lead.",
        MISTAKEN["own terms"],
        "sizes of the terms: You took the terms by size, without their sign. A negative term speaks for the rival: taking it away makes the lead longer.",
        MISTAKEN["absolute"],
        "unsorted: You set the first entries to 0, in the order in which they stand. Take the largest terms of the lead first.",
        MISTAKEN["unsorted"],
        "none found: You found no choice of entries for any token. The largest terms of the lead go first: `np.sort` goes upwards, and the smallest ones make it longer.",
        MISTAKEN["none found"],
        "rivals stand still: You compared what is left of the winner's logit with the rival's whole logit. Setting x_a to 0 changes all logits.",
        MISTAKEN["still"],
        "below zero: You counted until the winner's own logit is below 0. It loses when another logit is larger, whatever the signs.",
        MISTAKEN["below zero"],
        "rivals mixed: You made one rival of all (their mean, their sum, or the best term of any of them). The winner loses to one expert: count against each on its own.",
        MISTAKEN["mixed"],
        "step by step: You chose each entry by who is second, at the start or at that moment. The rival who comes first in the end may be another one: for each rival, take the largest terms of the lead over *it*, from the first to the last.",
        MISTAKEN["greedy"],
        "hardest rival: You took the largest of the counts over the rivals. One rival that wins is enough: the smallest.",
        MISTAKEN["hardest"],
        "−1 taken for the fewest: You took the smallest of the counts with the −1 among them that stand for rivals who never win. Leave those out while another rival can win.",
        MISTAKEN["minus one"],
        "all that helped: This is how many entries speak for the winner. Most of them need not go: take them away one after another, largest first, and stop as soon as less than 0 is left of the lead.",
        MISTAKEN["helped"],
        "weakest rival: You looked at the expert with the smallest logit alone. Any other expert may be the first to come ahead: try them all.",
        MISTAKEN["weakest"],
        "runner-up only, one too few: Two things. You looked at the expert with the second logit alone: try all rivals. And your counts are one too small: `np.flatnonzero` counts from 0.",
        MISTAKEN["runner-up, few"],
        "one number for all: All tokens of the batch get the same number. Each token has its own smallest count: keep the minimum over the rivals apart from the tokens.",
        MISTAKEN["for all"],
        "order of the weights: You sorted by W_ai − W_aj. An entry counts by its term of the lead, which has x_a in it: x_a (W_ai − W_aj), and x_a may be small or below 0.",
        MISTAKEN["weights"],
        "last place: You took the last number of entries after which less than 0 is left of the lead, or counted how often that is so. Asked is the first.",
        MISTAKEN["last"],
        "one at most: You tried single entries only. Some experts need several entries gone together: go on, up to all but one.",
        MISTAKEN["singles"],
        "half at most: You stop at half of the entries. More may be set to 0: all but one.",
        MISTAKEN["halves"],
        "pairs at most: Your answers end at 2. Some experts need more entries gone: go on, up to all but one.",
        MISTAKEN["pairs"],
        "positive terms alone: You left the negative terms out, and stop when more than half of the positive ones is gone. The lead is the sum of *all* terms: it must fall below 0.",
        MISTAKEN["positive"],
        "at once: One entry is enough everywhere in yours. A lead is the winner's logit, the largest, less the rival's: above 0 at first, and you count until it is *below* 0.",
        MISTAKEN["at once"],
        "one too few: Your counts are one too small: with so many entries gone the lead is still above 0. `np.flatnonzero` counts from 0.",
        MISTAKEN["few"],
        "one too many: Your counts are one too large.",
        MISTAKEN["many"],
        "entries left: This is how many entries stay. Asked is how many are set to 0.",
        MISTAKEN["left"],
        "impossible: Right, but for the tokens whose expert no choice of entries can unseat: they get −1. (With all d entries gone nothing is left of a lead: that is 0, not below, and one entry must stay. `argmax` of a row without a True is 0: ask `any()` first.)",
        MISTAKEN["impossible"],
    ),
)
