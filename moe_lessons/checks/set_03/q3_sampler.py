"""Question 3.3: k different experts by Gumbel noise."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar

import numpy as np
import scipy

from moe_lessons import routing
from moe_lessons.checks.calls import call_answer
from moe_lessons.checks.parts import Part
from moe_lessons.checks.question import Data, Question, Reply, about
from moe_lessons.checks.values import describe, show, stacked
from moe_lessons.checks.verdicts import Fault, Mistake, Verdict, by_value

DRAWS, SHORT, SEEDS = 10_000, 20, 30
SELDOM = 0.05  # independent draws of the places repeat an expert in far more of the rows than this
FALSE_ALARM = 1e-9  # for the sum of the four statistics; tests/checks/test_set_03.py measures its tail

# Where an answer uses `np.argpartition`: some processors sort a few experts all the same, and none so many. One of
# them is as likely as all others together, so it comes first in half of the draws, give or take six deviations.
CROWD = (np.log(np.where(np.arange(500) == 250, 499.0, 1.0)), 1.0, 220)  # h, τ, k
CROWD_DRAWS, CROWD_LEAST = 200, 0.3

GRID = np.linspace(-30, 30, 12_001)  # where the densities of the noises are summed up


def names_in(function: Any) -> set[str]:
    """Return the names that a function's code uses, with those of the functions inside it."""
    codes, names = [getattr(function, "__code__", None)], set[str]()
    while codes:
        code = codes.pop()
        names |= set(getattr(code, "co_names", ()))
        codes += [inner for inner in getattr(code, "co_consts", ()) if hasattr(inner, "co_names")]
    return names


def ordered(N: int, k: int) -> np.ndarray:
    """Return all ways to draw k different experts of N one after the other, (ways, k)."""
    return np.array(list(permutations(range(N), k)))


def one_by_one(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the probability of each way: a softmax of scores (N,), then one over those that are left. (ways,)."""
    ways = ordered(len(scores), k)  # (ways, k)
    p = routing.softmax(scores)[ways]  # (ways, k)
    left = 1 + p - np.cumsum(p, axis=1)  # (ways, k), what the places before have not taken
    return (p / left).prod(axis=1)


def right_shares(h: np.ndarray, tau: float, k: int) -> np.ndarray:
    """Return how often each way should come. (ways,)."""
    return one_by_one(h / tau, k)


def race(positions: np.ndarray, noise: str, k: int) -> np.ndarray:
    """Return how often each way are the k largest of positions (N,) plus independent noise, in order. (ways,).

    `noise` is the name of a distribution in scipy.stats: "norm", "gumbel_l" (that of subtracted Gumbel noise), ...
    """
    law = getattr(scipy.stats, noise)
    z = GRID[:, None] - positions  # (grid, N)
    below, density = law.cdf(z), law.pdf(z)  # (grid, N) each
    won = []
    for way in ordered(len(positions), k):
        beaten = np.delete(below, way, axis=1).prod(axis=1)  # (grid,), that all the others lie below
        for expert in way[::-1]:
            step = density[:, expert] * beaten  # (grid,)
            beaten = np.cumsum(step) - step / 2  # (grid,), that this one and all after it lie below, in order
        won.append(beaten[-1])
    return np.array(won) / np.sum(won)


def carried(h: np.ndarray, tau: float, k: int, to: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the shares of a right sampler whose draws (ways, k) come out as `to` makes them. (ways,)."""
    return counted(to(ordered(len(h), k)), len(h), right_shares(h, tau, k))


def counted(drawn: np.ndarray, N: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Return how often each way comes in draws (n, k), or the sum of their weights (n,). (ways,)."""
    k = drawn.shape[1]
    codes, ways = (rows @ N ** np.arange(k) for rows in (drawn, ordered(N, k)))  # (n,), (ways,)
    return np.bincount(codes, weights, minlength=N**k)[ways]


def rejected(h: np.ndarray, tau: float, k: int) -> np.ndarray:
    """Return the shares where k independent draws are thrown away unless they are all different. (ways,)."""
    products = routing.softmax(h, tau)[ordered(len(h), k)].prod(axis=1)  # (ways,)
    return products / products.sum()


def only_first_drawn(h: np.ndarray, tau: float, k: int) -> np.ndarray:
    """Return the shares where one expert is drawn and the best of the others follow in order. (ways,)."""
    p, ways = routing.softmax(h, tau), ordered(len(h), k)  # (N,), (ways, k)
    best = np.argsort(-h)
    follow = np.stack([[way[0], *best[best != way[0]][: k - 1]] for way in ways])  # (ways, k)
    return np.where((ways == follow).all(axis=1), p[ways[:, 0]], 0)


def rest_drawn_evenly(h: np.ndarray, tau: float, k: int) -> np.ndarray:
    """Return the shares where the first expert is drawn as it should be, and the others with equal chances. (ways,)."""
    first = routing.softmax(h, tau)[ordered(len(h), k)[:, 0]]  # (ways,)
    return first / first.sum()


def best_always_first(h: np.ndarray, tau: float, k: int) -> np.ndarray:
    """Return the shares where the best expert comes first, and the others are drawn one after the other. (ways,)."""
    lone = np.where(np.arange(len(h)) == h.argmax(), np.inf, h / tau)  # (N,)
    ways = ordered(len(h), k)  # (ways, k)
    others = np.where(np.isinf(lone), -np.inf, lone)  # (N,)
    p = routing.softmax(others)[ways[:, 1:]]  # (ways, k - 1)
    left = 1 + p - np.cumsum(p, axis=1)  # (ways, k - 1)
    return np.where(np.isinf(lone[ways[:, 0]]), (p / np.maximum(left, 1e-12)).prod(axis=1), 0)


def place_by_place(chances: Callable) -> Callable:
    """Return the shares (ways,) as a function of a case, each place drawn by chances(h, τ, who is left, place). (N,)."""

    def shares(h: np.ndarray, tau: float, k: int) -> np.ndarray:
        found = []
        for way in ordered(len(h), k):
            left, share = np.ones(len(h), dtype=bool), 1.0  # (N,)
            for place, expert in enumerate(way):
                share *= chances(h, tau, left, place)[expert]
                left[expert] = False
            found.append(share)
        return np.array(found)

    return shares


def not_divided_again(h: np.ndarray, tau: float, left: np.ndarray, place: int) -> np.ndarray:
    """Return the probabilities of those that are left as they were; the last of them gets what is missing. (N,)."""
    p = np.where(left, routing.softmax(h, tau), 0)  # (N,)
    p[np.flatnonzero(left)[-1]] += 1 - p.sum()
    return p


def tempered_again(h: np.ndarray, tau: float, left: np.ndarray, place: int) -> np.ndarray:
    """Return the softmax over those that are left, of logits divided by τ once more at each place. (N,)."""
    return routing.softmax(np.where(left, h / tau ** (place + 1), -np.inf))


def among_the_best(h: np.ndarray, tau: float, k: int) -> np.ndarray:
    """Return the shares where only the k largest logits are drawn from, one after the other. (ways,)."""
    best = np.argsort(-h)[:k]
    return one_by_one(np.where(np.isin(np.arange(len(h)), best), h / tau, -1e3), k)


def ranks(h: np.ndarray, tau: float, k: int) -> np.ndarray:
    """Return the shares where the ranks of the first k experts come in place of the k best. (ways,)."""
    N = len(h)
    return counted(np.argsort(ordered(N, N), axis=1)[:, :k], N, right_shares(h, tau, N))


def misfit(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return Pearson's statistic of counts (ways,) against probabilities (ways,); tiny expectations count as 1."""
    expected = counts.sum() * probabilities
    return float(((counts - expected) ** 2 / np.maximum(expected, 1)).sum())


def fits(counts: list[np.ndarray], shares: list[np.ndarray]) -> bool:
    """Tell whether counts (ways,) of every case can come from these shares; wrong with a chance of FALSE_ALARM."""
    total = sum(misfit(count, share) for count, share in zip(counts, shares, strict=True))
    return total < scipy.special.chdtri(sum(len(share) - 1 for share in shares), FALSE_ALARM)


def as_sets(values: np.ndarray, N: int, k: int) -> np.ndarray:
    """Add up counts or shares (ways,) of the ways that hold the same experts. (sets,)."""
    names = np.sort(ordered(N, k), axis=1) @ N ** np.arange(k)  # (ways,)
    return np.bincount(np.unique(names, return_inverse=True)[1], values)


def form_fault(cases: list[tuple], found: Reply) -> Fault | None:
    """Return the first fault in the form of any call's draws."""
    asked = [(drawn, DRAWS, case) for drawn, case in zip(found["many"], cases, strict=True)]
    asked += [(drawn, SHORT, cases[0]) for drawn in found["few"] + found["again"]]
    return next(filter(None, (shape_fault(*call) or index_fault(*call) for call in asked)), None)


def as_indices(drawn: Any) -> Any:
    """Return floats that are whole numbers as whole numbers; anything else unchanged."""
    floats = isinstance(drawn, np.ndarray) and drawn.dtype.kind == "f"
    return drawn.astype(int) if floats and (np.abs(drawn) < 2**31).all() and (drawn == np.rint(drawn)).all() else drawn


def shape_fault(drawn: Any, n: int, case: tuple) -> Fault | None:
    """Return what is wrong with the form of n draws, or None."""
    k, shape = case[2], np.shape(drawn) if isinstance(drawn, np.ndarray) else None
    if shape == (n,):
        why = f"Shape ({n},): one expert for each draw, as `argmax` gives it. Now each draw is k = {k} different experts, shape ({n}, {k}): the k largest of the same noisy logits."
        return Fault("one expert each", why)
    if shape == (k, n):
        return Fault("turned", f"Shape ({k}, {n}). A draw is a row: ({n}, {k}).")
    if shape == (k,):
        return Fault("one draw", f"Shape ({k},): that is one draw. Asked are n = {n}, one in each row: ({n}, {k}).")
    if shape == (n, len(case[0])) and k < len(case[0]) and drawn.dtype.kind in "iu":
        return Fault("all places", f"Shape ({n}, {shape[1]}): every expert has its place. Keep the first k = {k}.")
    if shape == (n, k) and drawn.dtype.kind == "f":
        why = "These are no whole numbers: the noisy logits themselves? Asked is whose they are: `np.argsort` gives indices, where `np.sort` gives values."
        return Fault("values for indices", why)
    if shape != (n, k) or drawn.dtype.kind not in "iu":
        return Fault(None, f"Expected indices, whole numbers of shape ({n}, {k}). Came {describe(drawn)}.")
    return None


def index_fault(drawn: np.ndarray, n: int, case: tuple) -> Fault | None:
    """Return what is wrong with the indices of draws (n, k), or None."""
    N, low, high = len(case[0]), drawn.min(), drawn.max()
    if n == DRAWS and (low, high) == (1, N):
        return Fault("counted from one", f"You counted the experts from 1. Indices go from 0 to {N - 1}.")
    if low < 0 or high >= N:
        return Fault(None, f"Indices go from 0 to {N - 1}; yours go from {low} to {high}.")
    twice = float((np.diff(np.sort(drawn, axis=1), axis=1) == 0).any(axis=1).mean())
    if 0 < twice < SELDOM:
        why = f"In {max(twice, 1e-4):.2%} of {n} draws an expert comes twice. That is seldom: do you take a drawn expert away by a number, such as 0? Then it may still be the largest. Its noisy logit must become −∞."
        return Fault("not taken away", why)
    if twice:
        why = f"In {max(twice, 1e-4):.2%} of {n} draws an expert comes twice. New noise for each place, or a draw of each place from all experts, lets that happen. One noise for each expert, and of the sums the k largest: those are k different experts."
        return Fault("with replacement", why)
    return None


def constant_fault(cases: list[tuple], found: Reply) -> Fault | None:
    """Return a fault if all draws of a call are alike, in every call."""
    if any(np.ptp(drawn, axis=0).any() for drawn in found["many"] + found["few"]):
        return None
    calls = [*zip(found["many"], cases, strict=True), *((drawn, cases[0]) for drawn in found["few"])]
    if all(set(drawn[0]) == set(np.argsort(-h)[:k]) for drawn, (h, _, k) in calls):
        why = "Always the k experts with the largest logits. Each expert needs noise of its own before you compare."
        return Fault("always the largest", why)
    why = "All draws of one call are alike: the noise must be new for each of the n draws, shape (n, N)."
    return Fault("one noise for all draws", why)


def crowd_fault(cases: list[tuple], found: Reply) -> Fault | None:
    """Return a fault if the likely one of a crowd seldom comes first, where half of the draws should begin with it."""
    likely = int(CROWD[0].argmax())
    if any((drawn[:, 0] == likely).mean() < CROWD_LEAST for drawn in found.get("crowd", [])):
        why = "The frequencies are right for a few experts, which your processor happens to sort. Among many they are not: `np.argpartition` finds the k largest and leaves them in any order. Sort those k."
        return Fault("order", why)
    return None


def seeding_fault(cases: list[tuple], found: Reply) -> Fault | None:
    """Return a fault if the seed of the rng does not decide the draws, or something else does."""
    few = found["few"]
    if all((drawn == few[0]).all() for drawn in few):
        why = "The frequencies are right, but every seed gives the same draws. Take all randomness from the `rng` that is passed in."
        return Fault("rng not used", why)
    if (found["again"][0] != few[0]).any():
        why = "The frequencies are right, but the same seed gives different draws. Some randomness does not come from the `rng` that is passed in."
        return Fault("another source", why)
    return None


@dataclass(frozen=True, kw_only=True)
class SamplerQuestion(Question):
    """Draws are compared with the right shares by their counts; then seeds are tried for what the rng decides."""

    mistakes: tuple[Mistake, ...]
    probed_on: ClassVar[tuple[str, ...]] = ("cases", "seeds")

    def draw(self, rng: np.random.Generator) -> Data:
        """Return four cases (h, τ, k), of which one has k = N and one k = 1, and seeds for the learner's rng.

        The logits spread over about 2τ, so that each way to draw k experts is expected about ten times or more.
        """
        cases = []
        for tau, N, k in ((0.5, 4, 2), (2.0, 5, 3), (1.25, 4, 4), (0.8, 6, 1)):
            h = tau * (rng.permutation(np.linspace(0, 2, N)) + rng.uniform(-0.1, 0.1, N))  # (N,)
            cases.append((h.round(2), tau, k))
        return {"cases": cases, "seeds": rng.choice(2**31, SEEDS, replace=False)}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Draw many for each case; a few with every seed; a few again with the first seed; some of a crowd, for some."""

        def drawn(case: tuple, n: int, seed: int) -> Any:
            return stacked(call_answer(answer, self.parameters, (*case, n), np.random.default_rng(seed))[0])

        first, seeds = data["cases"][0], [int(seed) for seed in data["seeds"]]
        crowd = [drawn(CROWD, CROWD_DRAWS, seeds[0])] if "argpartition" in names_in(answer) else []
        return {
            "crowd": crowd,
            "many": [drawn(case, DRAWS, seeds[i]) for i, case in enumerate(data["cases"])],
            "few": [drawn(first, SHORT, seed) for seed in seeds],
            "again": [drawn(first, SHORT, seeds[0])],
        }

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the form, draws that never vary, the counts, the first places in a crowd, then what the rng decides."""
        found = self._drawn(reply)
        steps = (form_fault, constant_fault, self._frequency_fault, crowd_fault, seeding_fault)
        fault = next(filter(None, (step(data["cases"], found) for step in steps)), None)
        return Verdict.of(fault) if fault else Verdict(True)

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell in how many cases the counts are right, where all draws have their form."""
        found, cases = self._drawn(reply), data["cases"]
        if form_fault(cases, found) or constant_fault(cases, found):
            return ()
        counts = [counted(drawn, len(case[0])) for drawn, case in zip(found["many"], cases, strict=True)]
        right = [fits([count], [right_shares(*case)]) for count, case in zip(counts, cases, strict=True)]
        return (Part("", sum(right), len(right)),)

    def _drawn(self, reply: Reply) -> Reply:
        """Return the draws of all calls, with whole numbers as indices."""
        return {name: [as_indices(stacked(drawn)) for drawn in calls] for name, calls in reply.items()}

    def _frequency_fault(self, cases: list[tuple], found: Reply) -> Fault | None:
        """Return a fault if the counts are not what they should be: the one mistake that fits, if one does."""
        counts = [counted(drawn, len(case[0])) for drawn, case in zip(found["many"], cases, strict=True)]
        shares = [right_shares(*case) for case in cases]
        if fits(counts, shares):
            return None
        seen = farthest(counts, shares, cases)
        fitting = [mistake for mistake in self.mistakes if fits(counts, [mistake.wrong(*case) for case in cases])]
        if len(fitting) == 1:  # of two that fit, rather neither than the wrong one
            return Fault(fitting[0].name, fitting[0].why, seen)
        sets = [[as_sets(v, len(h), k) for v, (h, _, k) in zip(of, cases, strict=True)] for of in (counts, shares)]
        if fits(*sets):
            return Fault("order", OTHER_ORDER, seen)
        return Fault(None, "The frequencies are not those of drawing one after the other.", seen)


OTHER_ORDER = "The same experts come together as often as they should, but not in the right order: first the largest noisy logit, then the next. (`np.argpartition` finds the k largest and leaves them in any order.)"


def farthest(counts: list[np.ndarray], shares: list[np.ndarray], cases: list[tuple]) -> str:
    """Name the way whose count is farthest from what it should be, in the case that fits worst."""
    worst = int(np.argmax([misfit(count, share) / len(share) for count, share in zip(counts, shares, strict=True)]))
    h, tau, k = cases[worst]
    expected = DRAWS * shares[worst]  # (ways,)
    way = int(((counts[worst] - expected) ** 2 / np.maximum(expected, 1)).argmax())
    drawn = " then ".join(map(str, ordered(len(h), k)[way]))
    came = f"{drawn}: expected in {shares[worst][way]:.2%} of the draws, came in {counts[worst][way] / DRAWS:.2%}"
    return f"{came}\nfor h = {show(h)}, tau = {tau:g}, k = {k}, n = {DRAWS}"


SAMPLER = SamplerQuestion(
    **about("3.3", "k different experts by Gumbel noise", "write it", "medium", points=3, minutes=10),
    hints=(
        "The largest noisy logit is a draw from the softmax. Take it away: the noises of the others have not changed. What is the largest of *them* a draw from?",
        "So the noise is drawn once, `rng.gumbel(size=(n, len(h)))`, and added to h/τ. Of each row you need the indices of the k largest sums, the largest first. `np.argsort` sorts upwards.",
    ),
    idea="Noise once, then the k largest: whoever comes second is the winner of the race among those that are left, so the order of the noisy logits is a draw without replacement.",
    takeaway="Top-k of logits plus Gumbel noise draws k different experts, each from the softmax over those left; plain top-k, without noise, draws nothing at all.",
    answer="my_sample",
    parameters=("h", "tau", "k", "n", "rng"),
    seconds=15.0,  # 40,000 draws: a loop over them is right too, and slow
    when_raised="If it is about shapes: h has shape (N,) and the noise (n, N); numpy adds h to each row. The answer is (n, k).",
    mistakes=by_value(
        "τ after the noise: These are the frequencies for τ = 1, whatever τ is. Either τ was left out, or you divided logits and noise together, which changes no order.",
        lambda h, tau, k: one_by_one(h, k),
        "noise times τ: The noise grows with τ on top of the division: these are the frequencies for τ². Divide the logits, and leave the noise as it is.",
        lambda h, tau, k: one_by_one(h / tau**2, k),
        "multiplied: These are the frequencies of h·τ + noise: you multiplied the logits by τ, or divided the noise in their place. Divide the logits, and leave the noise as it is.",
        lambda h, tau, k: one_by_one(h * tau, k),
        "noise on probabilities: You added the noise to probabilities. It belongs on the logits h/τ (or on ln p).",
        lambda h, tau, k: one_by_one(routing.softmax(h, tau), k),
        "Gaussian noise: These are the frequencies of Gaussian noise. Only Gumbel noise, −ln(−ln U), gives the softmax's.",
        (
            lambda h, tau, k: race(h / tau, "norm", k),
            lambda h, tau, k: race(h / tau * np.sqrt(6) / np.pi, "norm", k),  # noise as wide as Gumbel's
        ),
        "wrong sign: Your Gumbel noise has the wrong sign. It is −ln(−ln U), and it is added.",
        lambda h, tau, k: race(h / tau, "gumbel_l", k),
        "one logarithm: Your noise is −ln U. Gumbel noise takes the logarithm twice: −ln(−ln U).",
        lambda h, tau, k: race(h / tau, "expon", k),
        "uniform noise: These are the frequencies of uniform noise between 0 and 1. Turn U into Gumbel noise: −ln(−ln U).",
        lambda h, tau, k: race(h / tau, "uniform", k),
        "logits not used: All experts come equally often: the logits play no part.",
        lambda h, tau, k: one_by_one(np.zeros(len(h)), k),
        "logits turned round: The expert with the smallest logit comes most often: a sign is turned round.",
        lambda h, tau, k: one_by_one(-h / tau, k),
        "smallest taken: You took the k smallest noisy logits: `np.argsort` sorts upwards. Take the largest, the best first.",
        lambda h, tau, k: race(-h / tau, "gumbel_l", k),
        "worst first: The right experts, in the wrong order: the last of your k is the one drawn first. Sorting upwards, the largest comes last: turn the order round.",
        lambda h, tau, k: carried(h, tau, k, lambda ways: ways[:, ::-1]),
        "sorted by index: The right experts, but sorted by their index. The order is part of the draw: first the largest noisy logit, then the next.",
        lambda h, tau, k: carried(h, tau, k, lambda ways: np.sort(ways, axis=1)),
        "only the first drawn: Only your first place is drawn, the others are the best of the rest, always. Each place is drawn from those that are left.",
        only_first_drawn,
        "rest drawn evenly: Your first place is right, the others are drawn from those that are left with equal chances. Each place is drawn by the softmax over those that are left.",
        rest_drawn_evenly,
        "not divided again: Your first place is right. After it the probabilities of those that are left no longer sum to 1, and what is missing falls to the last one. Divide them by their sum again before each draw.",
        place_by_place(not_divided_again),
        "τ at each place: Your first place is right. For the later ones the logits are divided by τ again and again. Divide them once.",
        place_by_place(tempered_again),
        "only the k best: Only the k experts with the largest logits ever come. All N can be drawn: the noise decides.",
        among_the_best,
        "ranks for indices: These are the places of the experts, and not the experts: there is one `argsort` too many.",
        ranks,
        "best always first: The expert with the largest logit always comes first, and the others are drawn. It is only the most likely one: each place is drawn.",
        best_always_first,
        "thrown away: You draw all places independently and throw away draws in which an expert comes twice. That changes the frequencies: a draw that begins with a likely expert is thrown away more often. Draw the next place from those that are left instead.",
        rejected,
    ),
)
