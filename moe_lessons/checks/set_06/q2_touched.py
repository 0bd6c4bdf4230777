"""Question 6.2: how many experts a batch touches when some are liked more than others."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.apart import tells_apart
from moe_lessons.checks.gates import selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import unbracketed
from moe_lessons.checks.verdicts import by_formula, by_test, by_value


def touched(q: np.ndarray, batch: int) -> float:
    """Return the expected number of experts that at least one token selects. q: (N,), each expert's chance."""
    return float((1 - (1 - q) ** batch).sum())


def uneven(rng: np.random.Generator, N: int, k: int) -> np.ndarray:
    """Return chances q (N,) that sum to k, far from even: how often each is among the k of 200 noisy tokens.

    With k above 1 one expert is chosen by all tokens, and one by none.
    """
    liked = 1.5 * rng.standard_normal(N)  # (N,)
    if k > 1:
        liked[rng.choice(N, 2, replace=False)] = -99, 99
    return selected_mask(liked + rng.gumbel(size=(200, N)), k).mean(axis=0)  # (N,)


def touched_cases(rng: np.random.Generator) -> list[tuple]:
    """One token; small and large batches; k = 1; all experts for every token; and an even router."""
    sizes = [(int(rng.integers(low, high)), k, int(rng.integers(b, 2 * b))) for low, high, k, b in
             ((8, 12, 3, 3), (12, 20, 4, 8), (6, 10, 2, 250), (7, 12, 1, 4))]  # fmt: skip
    cases = [(uneven(rng, int(rng.integers(6, 10)), 2), 1), *((uneven(rng, N, k), batch) for N, k, batch in sizes)]
    cases += [(np.ones(3), 4), (np.full(8, 0.25), int(rng.integers(3, 8)))]
    return cases if tells_apart(TOUCHED, cases) else touched_cases(rng)


def of_chances(chance: Callable[[np.ndarray, int], np.ndarray]) -> Callable[..., Any]:
    """Return the function of a case that adds up `chance` of q (N,), the batch B, over the experts."""
    return lambda q, batch: chance(q, batch).sum()


def is_near(value: Any, q: np.ndarray, batch: int) -> bool:
    """Tell whether a value is off by at most 5 %; where every expert is certain, by nothing."""
    if not isinstance(value, np.ndarray) or value.ndim:
        return False
    room = 1e-9 if np.isin(q, (0, 1)).all() else 0.05 * touched(q, batch)
    return abs(float(value) - touched(q, batch)) < room


TOUCHED = FunctionQuestion(
    **about("6.2", "Uneven experts, touched", "write it", "medium", points=2, minutes=5),
    hints=(
        "Look at one expert i. With what chance does one token *not* choose it? And with what chance do all tokens of the batch not choose it?",
        "An expected number is a sum of chances, also where the experts of one token depend on each other. So add up, expert by expert, the rest to 1 of (1 − qᵢ)^B.",
    ),
    idea="The expectation of a count is the sum of the chances of what is counted. Expert i is missed by all B tokens with probability (1 − qᵢ)^B, so Σ 1 − (1 − qᵢ)^B are touched.",
    takeaway="For independent tokens 1 − (1 − k/N)^B is the upper end: a balanced router reads the most weights, and an uneven one pays with a queue at its favourites.",
    answer="my_touched",
    parameters=("q", "batch"),
    cases=touched_cases,
    reference=touched,
    quiet=True,
    read=lambda value, *_: unbracketed(value),
    mistakes=by_value(
        "even formula: This is the lesson's formula, with the mean of q for k/N. It holds only where all experts are equally likely. Elsewhere it is too high: favourites are chosen again and again, so put each expert's own qᵢ into it.",
        lambda q, batch: q.size * (1 - (1 - q.mean()) ** batch),
        "q in the place of k: This is the lesson's formula with qᵢ in the place of k, divided by N. But qᵢ is one expert's probability already: it stands in the place of k/N.",
        (
            lambda q, batch: (1 - (1 - q / q.size) ** batch).sum(),
            lambda q, batch: q.size * (1 - (1 - q / q.size) ** batch).sum(),
        ),
        "added up: You added up the choices. Two tokens may choose the same expert, and it is touched once.",
        lambda q, batch: batch * q.sum(),
        "added up to N: You added up the choices, up to N. Two tokens may choose the same expert: some are chosen twice, and others still not at all.",
        lambda q, batch: min(q.size, batch * q.sum()),
        "not added up: These are the chances, one for each expert. The expected number is their sum.",
        lambda q, batch: 1 - (1 - q) ** batch,
        "fraction: This is the fraction of the experts. Asked is how many: the sum of the chances.",
        lambda q, batch: touched(q, batch) / q.size,
        "fraction untouched: This is the fraction of experts that no token chose. Asked is how many are chosen.",
        lambda q, batch: 1 - touched(q, batch) / q.size,
        "percent: This is in percent of the experts. Asked is how many experts.",
        lambda q, batch: 100 * touched(q, batch) / q.size,
        "batch ignored: This is the sum of q, whatever the batch is. Other tokens choose other experts.",
        lambda q, batch: q.sum(),
        "all: You return N, whatever the batch is. A small batch leaves experts out.",
        lambda q, batch: q.size,
        "all that can be chosen: You counted the experts whose qᵢ is above 0. That is right for an endless batch; a small one leaves some of them out.",
        lambda q, batch: np.count_nonzero(q),
        "product: You multiplied the chances of all experts. How many are touched is a sum over the experts: each one counts for itself.",
        (
            lambda q, batch: 1 - np.prod((1 - q) ** batch),
            lambda q, batch: q.size * (1 - np.prod((1 - q) ** batch)),
        ),
        "even choices: You let B·k choices fall on N equal experts. Experts are not equal here: each has its own qᵢ.",
        lambda q, batch: q.size * (1 - (1 - 1 / q.size) ** (batch * q.sum())),
        "one mean chance: You mixed the chances of different experts, by a mean of their misses. Each expert has its own (1 − qᵢ)^B; then add up.",
        lambda q, batch: q.size * (1 - np.prod(1 - q) ** (batch / q.size)),
        "times k: You multiplied by k. The k choices of a token are in qᵢ already.",
        lambda q, batch: touched(q, batch) * q.sum(),
        "taken from k: You took the untouched from k. They are taken from all N experts.",
        lambda q, batch: q.sum() - ((1 - q) ** batch).sum(),
        "divided by k: You divided by k. The chances that an expert is touched are added up over the experts, and that is all.",
        lambda q, batch: touched(q, batch) / q.sum(),
        "rounded: You rounded to whole experts. An expectation need not be whole: return it as it is.",
        tuple(lambda q, batch, whole=whole: whole(touched(q, batch)) for whole in (np.rint, np.ceil, np.floor)),
        "rounded, each expert: You rounded each expert's chance. Add the chances up as they are.",
        lambda q, batch: np.rint(1 - (1 - q) ** batch).sum(),
    )
    + by_formula(
        of_chances,
        "untouched: These are the experts that no token chose. Take them from N.",
        lambda q, batch: (1 - q) ** batch,
        "added up to 1: You let the chances of the tokens add up, B·qᵢ, up to 1. But two tokens may both choose expert i: it is missed by all with probability (1 − qᵢ)^B.",
        lambda q, batch: np.minimum(1, batch * q),
        "pairs taken off: You took off what *pairs* of tokens share, and stopped there: then three or more that meet on an expert are counted wrong. (1 − qᵢ)^B, that all miss it, holds everything.",
        lambda q, batch: batch * q - batch * (batch - 1) / 2 * q**2,
        "all chosen: qᵢ^B is the chance that every token chooses expert i. One token is enough to touch it.",
        lambda q, batch: q**batch,
        "all chosen, turned round: qᵢ^B is the chance that every token chooses expert i, and you took it from 1. An expert stays untouched if every token misses it: (1 − qᵢ)^B.",
        lambda q, batch: 1 - q**batch,
        "one choice each: You made q sum to 1, as if a token chose one expert. q is right as it is: qᵢ is the chance that i is among the token's k.",
        lambda q, batch: 1 - (1 - q / q.sum()) ** batch,
        "with replacement: You made q sum to 1 and let each token draw k times. A token's k experts are different, and q already holds this: a token misses expert i with probability 1 − qᵢ.",
        lambda q, batch: 1 - (1 - q / q.sum()) ** (batch * q.sum()),
        "choices for tokens: In the exponent you have B·k, the number of choices. qᵢ is the chance for a whole token, with its k choices: the exponent is B.",
        lambda q, batch: 1 - (1 - q) ** (batch * q.sum()),
        "exponential: e^(−B·qᵢ) is near (1 − qᵢ)^B for small qᵢ only. Here some are large.",
        lambda q, batch: 1 - np.exp(-batch * q),
        "k in the exponent: In the exponent stands k. Each of the B tokens has to miss expert i: the exponent is B.",
        lambda q, batch: 1 - (1 - q) ** q.sum(),
        "N in the exponent: In the exponent stands N, the number of experts. Each of the B tokens has to miss expert i: the exponent is B.",
        lambda q, batch: 1 - (1 - q) ** q.size,
        "four tokens: You take four tokens, as in the example, whatever `batch` is.",
        lambda q, batch: 1 - (1 - q) ** 4,
        "one token more or fewer: You took one token more, or one fewer, than there are. All B tokens have to miss expert i: the exponent is B.",
        (lambda q, batch: 1 - (1 - q) ** (batch + 1), lambda q, batch: 1 - (1 - q) ** (batch - 1)),
        "times in place of power: You multiplied 1 − qᵢ by B. That all B tokens miss expert i is a product of B chances: (1 − qᵢ)^B.",
        lambda q, batch: 1 - batch * (1 - q),
        "weighted: You multiplied each chance with qᵢ once more. The expected number is the plain sum of the chances.",
        lambda q, batch: q * (1 - (1 - q) ** batch),
        "once or more on average: You counted the experts that B·qᵢ ≥ 1 tokens choose on average. An expert that is chosen more rarely is touched now and then, too: add up the chances.",
        lambda q, batch: (batch * q >= 1) * 1.0,
        "one token alone: You multiplied with qᵢ: one given token chooses expert i, and others miss it. It is touched unless all miss it.",
        (lambda q, batch: q * (1 - q) ** batch, lambda q, batch: q * (1 - q) ** (batch - 1)),
        "more than once: These are the experts that several tokens chose. One is enough.",
        lambda q, batch: (1 - (1 - q) ** batch - batch * q * (1 - q) ** (batch - 1)).round(
            12
        ),  # of one token exactly 0
        "exactly once: These are the experts that exactly one token chose. Touched are also those that several chose.",
        lambda q, batch: batch * q * (1 - q) ** (batch - 1),
    )
    + by_test(
        "simulated: Near, but not equal. Did you simulate? Asked is a formula: what is the chance that one expert is missed by all?",
        is_near,
    ),
)
