"""Question 11.2: mutual information with the right null."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from moe_lessons.checks.calls import SeededGenerator
from moe_lessons.checks.forms import Numbers
from moe_lessons.checks.parts import Part
from moe_lessons.checks.question import Data, PropertyQuestion, Reply, about
from moe_lessons.checks.values import stacked
from moe_lessons.checks.verdicts import Facts, Fault, Mistake, Verdict, always, by_test, by_trace, by_value

SAME = 5e-6  # bits: room for float32, and far less than lies between neighbouring values of the exact null
Z = 6.0  # standard errors: a right answer is refused less than once in ten million checks
ALIKE = 2.4  # of the Kolmogorov-Smirnov statistic: two samples of one distribution are above it once in 50,000 times

EMPTY_CELLS = by_test(
    "0 log 0: NaN: where a domain never meets an expert, the count is 0, and 0 · log 0 is NaN in numpy. Such a cell adds 0: sum over the cells that occur.",
    lambda values: np.isnan(values).any(),
    ": Some of your values are infinite. Sum over the cells that occur; the others add 0.",
    lambda values: np.isinf(values).any(),
)


def form(draws: int) -> Numbers:
    """Return the form of so many draws."""
    return Numbers(f"(draws,) numbers, here {draws}", lambda values: values.shape == (draws,), EMPTY_CELLS, True)


def null_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (domain (S,), expert (S, L), draws, seed): so few sequences that all ways to deal out labels can be listed.

    Once there are more domains than experts: neither may be counted for the other. `draws` is not always the same.
    """
    drawn = []
    for sizes, N, L, draws in (((3, 2, 2, 1), 3, 60, 200), ((6, 4), 5, 30, 160), ((5, 4), 4, 40, 120)):
        domain = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))  # (S,)
        own, shared = rng.dirichlet(np.full(N - 1, 0.5), domain.size), rng.dirichlet(np.full(N - 1, 0.5), len(sizes))
        taste = 0.5 * own + 0.5 * shared[domain]  # (S, N − 1), of a sequence and of its domain
        expert = np.stack([rng.choice(N - 1, size=L, p=p) for p in taste])  # (S, L)
        expert[rng.integers(domain.size), :3] = N - 1  # an expert that one sequence alone meets: a cell is empty
        drawn.append((domain, expert, draws))
    seed = int(rng.integers(2**31))
    return [(*case, seed + i) for i, case in enumerate(drawn)]


@cache
def labellings(S: int, D: int) -> np.ndarray:
    """Return all ways to give each of S sequences one of D labels, whichever. (D^S, S)."""
    return np.indices((D,) * S).reshape(S, -1).T


@cache
def arrangements(sizes: tuple[int, ...]) -> np.ndarray:
    """Return all ways to give labels 0, 1, … to sequences, sizes[c] of them label c. (ways, S)."""
    ways = labellings(sum(sizes), len(sizes))  # (D^S, S)
    return ways[(np.eye(len(sizes))[ways].sum(axis=1) == sizes).all(axis=1)]


def joint_of(domains: np.ndarray, expert: np.ndarray) -> np.ndarray:
    """Return p(domain, expert) for many labellings. domains (ways, S), expert (S, L) or (ways, S, L) -> (ways, D, N)."""
    N, D = int(expert.max()) + 1, int(domains.max()) + 1
    mine = np.eye(N)[expert].sum(axis=-2)  # (S, N), or (ways, S, N)
    return np.eye(D)[domains].swapaxes(1, 2) @ mine / expert.shape[-1] / domains.shape[-1]


def divergences(joint: np.ndarray) -> np.ndarray:
    """Return for each domain the divergence of its experts from everybody's, in bits. joint (ways, D, N) -> (ways, D)."""
    of_domain = joint.sum(axis=2, keepdims=True)  # (ways, D, 1)
    within = np.divide(joint, of_domain, out=np.zeros_like(joint), where=of_domain > 0)  # p(expert | domain)
    ratio = np.divide(within, joint.sum(axis=1, keepdims=True), out=np.ones_like(joint), where=joint > 0)
    return (within * np.log2(ratio)).sum(axis=2)  # (ways, D)


def bits(joint: np.ndarray) -> np.ndarray:
    """Return I(domain; expert) in bits for each p(domain, expert). joint (ways, D, N) -> (ways,)."""
    return (joint.sum(axis=2) * divergences(joint)).sum(axis=1)


def entropy_bits(p: np.ndarray) -> np.ndarray:
    """Return the entropy in bits of all but the first axis, (ways,)."""
    p = p.reshape(len(p), -1)
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=1)


def exact_joint(domain: np.ndarray, expert: np.ndarray) -> np.ndarray:
    """Return p(domain, expert) for all ways to deal the sequences' labels out anew, each as likely as any other."""
    return joint_of(arrangements(tuple(np.bincount(domain))), expert)  # (ways, D, N)


def exact_null(domain: np.ndarray, expert: np.ndarray) -> np.ndarray:
    """Return I(domain; expert) in bits for all ways to deal the sequences' labels out anew, (ways,)."""
    return bits(exact_joint(domain, expert))


def observed(domain: np.ndarray, expert: np.ndarray) -> float:
    """Return I(domain; expert) in bits, with every sequence's own label."""
    return float(bits(joint_of(domain[None], expert))[0])


def drawn_jointly(domain: np.ndarray, expert: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw sequences with repetition, each with its own label."""
    rows = rng.integers(domain.size, size=(draws, domain.size))  # (draws, S)
    return bits(joint_of(domain[rows], expert[rows]))


def tokens_drawn_jointly(domain: np.ndarray, expert: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw tokens with repetition, each with its own label, as sequences of one token."""
    return drawn_jointly(np.repeat(domain, expert.shape[1]), expert.reshape(-1, 1), draws, rng)


def tokens_shuffled(domain: np.ndarray, expert: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Deal the labels out over tokens."""
    labels = np.broadcast_to(np.repeat(domain, expert.shape[1]), (draws, expert.size))
    return bits(joint_of(rng.permuted(labels, axis=1), expert.reshape(-1, 1)))


def is_among(values: np.ndarray, known: np.ndarray) -> bool:
    """Tell whether every one of `values` (draws,) is one of `known` (ways,), but for rounding."""
    known = np.concatenate([[-np.inf], np.sort(known), [np.inf]])
    place = np.searchsorted(known, values)  # (draws,)
    near = np.minimum(values - known[place - 1], known[place] - values)  # (draws,)
    return bool((near <= SAME).all())


def number_of_values(values: np.ndarray) -> int:
    """Return how many different numbers there are, but for rounding."""
    return 1 + int((np.diff(np.sort(values)) > SAME).sum())


def expected_number(known: np.ndarray, draws: int) -> float:
    """Return how many different values `draws` fair draws show on average."""
    ordered = np.sort(known)
    group = np.cumsum(np.r_[0, np.diff(ordered) > SAME])  # (ways,)
    share = np.bincount(group) / known.size
    return float((1 - (1 - share) ** draws).sum())


def distance(values: np.ndarray, known: np.ndarray) -> float:
    """Return by how many standard errors mean or variance of `values` differ from those of all that is known."""
    centred = known - known.mean()
    variance = (centred**2).mean()
    of_mean = abs(values.mean() - known.mean()) / np.sqrt(variance / values.size)
    of_variance = abs(values.var() - variance) / np.sqrt(((centred**4).mean() - variance**2) / values.size)
    return float(max(of_mean, of_variance))


def unlikeness(values: np.ndarray, sample: np.ndarray) -> float:
    """Return how unlike the distributions of two samples are: the Kolmogorov-Smirnov statistic, √(nm/(n + m)) D."""
    at = np.concatenate([values, sample])  # (n + m,)
    shares = [np.searchsorted(np.sort(one), at, side="right") / one.size for one in (values, sample)]  # (n + m,) each
    D = np.abs(np.subtract(*shares)).max()
    return float(D * np.sqrt(values.size * sample.size / at.size))


def is_in_order(values: np.ndarray) -> bool:
    """Tell whether values rise, or fall, from the first to the last."""
    steps = np.diff(values)
    return bool((steps >= 0).all() or (steps <= 0).all())


def is_chained(values: np.ndarray) -> bool:
    """Tell whether neighbours are more alike than Z standard errors allow. Whoever sorts the values may do so."""
    if is_in_order(values):
        return False
    centred = values - values.mean()
    return bool(centred[1:] @ centred[:-1] > Z / np.sqrt(values.size) * (centred @ centred))


def null_found(value: Any, domain: np.ndarray, expert: np.ndarray, draws: int, seed: int) -> dict[str, Any] | Fault:
    """Return the values beside those of the exact null: whether they are among them, how many differ, how far apart,
    and whether they hang on each other."""
    values = form(draws).read(value)
    if isinstance(values, Fault):
        return values
    joint = exact_joint(domain, expert)  # (ways, D, N)
    known = bits(joint)  # (ways,)
    given = {"domain": domain, "expert": expert, "L": expert.shape[1], "draws": draws, "joint": joint, "known": known}
    counted = {"different": number_of_values(values), "fair": expected_number(known, draws)}
    placed = {"among": is_among(values, known), "distance": distance(values, known)}
    placed["chained"] = is_chained(values)
    written = {"yours": spread(values), "null": spread(known), "observed": observed(domain, expert)}
    return {"values": values, **given, **counted, **placed, **written}


def kept_at(values: np.ndarray, value: float) -> set[int]:
    """Return at which end, 0 or −1, a value stands in values that are in no order: put there, and not drawn."""
    return set() if is_in_order(values) else {end for end in (0, -1) if abs(values[end] - value) <= SAME}


def spread(values: np.ndarray) -> str:
    """Write mean and standard deviation."""
    return f"{values.mean():.4f} ± {values.std():.4f}"


def among(*known: Callable) -> Callable:
    """Return the test whether all values are among known(found), for one of these functions."""
    return lambda found: any(is_among(found.values, values(found)) for values in known)


def each_one_added(found: Facts) -> np.ndarray:
    """Return I for all ways, (ways,), from counts to each of which 1 was added."""
    counts = found.joint * found.expert.size + 1  # (ways, D, N)
    return bits(counts / counts.sum(axis=(1, 2), keepdims=True))


def of_cells(joint: np.ndarray) -> np.ndarray:
    """Return log2 p(d, e) / (p(d) p(e)) of all cells (ways, D, N), 0 where they are empty."""
    alone = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)  # (ways, D, N)
    return np.log2(np.divide(joint, alone, out=np.ones_like(joint), where=joint > 0))


def occupied(found: Facts) -> np.ndarray:
    """Return how many cells are not empty, for all ways (ways,)."""
    return (found.joint > 0).sum(axis=(1, 2))


def of_experts(found: Facts) -> np.ndarray:
    """Return for each expert the divergence of its domains from everybody's, in bits, for all ways. (ways, N)."""
    return divergences(found.joint.swapaxes(1, 2))


def most_frequent(expert: np.ndarray) -> np.ndarray:
    """Return the expert that each sequence has most, (S, 1), of expert (S, L)."""
    return np.array([[np.bincount(row).argmax()] for row in expert])


def of_marginals(entropy: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable:
    """Return the function of what was found that divides I by entropy(H(domain), H(expert)), for all ways."""
    return lambda found: found.known / entropy(*(entropy_bits(found.joint.sum(axis=axis)) for axis in (2, 1)))


KEPT = "Your first or last value is what was observed, in every case: there the domains were not dealt out anew. Who wants it among the draws, for a p-value, adds it to them afterwards; here every one is a draw."
OTHER = "Not all of your values can come from sequences that have exchanged their labels. All tokens of a sequence keep one label, each label is dealt out as often as it was there, and the value is I(domain; expert) in bits over all tokens."

OTHER_NULLS = by_value(
    "token by token: Your null is too narrow, and too low: it is what comes out when every *token* moves by itself. The tokens of a sequence are not independent; they share a topic and go to similar experts with or without domains. A label belongs to a sequence: whole sequences must move. (`rng.permuted(..., axis=0)` moves every column by itself; `rng.permutation` moves whole rows.)",
    tokens_shuffled,
    "bootstrap of sequences: Your sequences are drawn with repetition, each together with its own label. That is a bootstrap: the tie between domain and expert stays in it, so it is centred near what was observed, and not on a world without the tie. Deal the labels out anew instead.",
    drawn_jointly,
    "bootstrap of tokens: Your tokens are drawn with repetition, each together with its own label. That is a bootstrap: the tie stays in it, and besides it takes tokens as independent. Deal the sequences' labels out anew instead.",
    tokens_drawn_jointly,
)


@dataclass(frozen=True, kw_only=True)
class NullQuestion(PropertyQuestion):
    """Values that come of nothing that can be listed are explained by the wrong null that is nearest in all cases."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Measure all values; where they are none of the known ones, draw some of each wrong null."""
        verdict = super().judge(data, reply)
        if verdict.correct and self._keeps(data, reply):
            return Verdict(False, KEPT, "observed kept", remark=verdict.remark)
        if verdict.why != OTHER:
            return verdict
        pairs = list(zip(map(stacked, reply["values"]), data["cases"], strict=True))
        apart = [max(unlikeness(value, drawn_from(null, *case)) for value, case in pairs) for null in OTHER_NULLS]
        nearest = OTHER_NULLS[int(np.argmin(apart))]
        return replace(verdict, why=nearest.why, mistake=nearest.name) if min(apart) <= ALIKE else verdict

    def _keeps(self, data: Data, reply: Reply) -> bool:
        """Tell whether all cases have what was observed at the same end, as fair draws have once in ten million checks."""
        ends = []
        for value, (domain, expert, draws, _) in zip(reply["values"], data["cases"], strict=True):
            values = form(draws).read(value)
            ends.append(set() if isinstance(values, Fault) else kept_at(values, observed(domain, expert)))
        return bool(set.intersection(*ends))

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell in how many cases the value will do: in none where each keeps what was observed."""
        parts = super().rights(data, reply)
        return tuple(replace(part, right=0) for part in parts) if self._keeps(data, reply) else parts


def drawn_from(null: Mistake, domain: np.ndarray, expert: np.ndarray, *_: int) -> np.ndarray:
    """Return 600 values of a wrong null."""
    return null.wrong(domain, expert, 600, np.random.default_rng(0))


NULL = NullQuestion(
    **about("11.2", "Mutual information with the right null", "write it", "hard", points=3, minutes=12),
    hints=(
        "Two parts. One function gives I from labels: a table of counts (D, N), divided by the number of tokens, and the sum of p log2(p / (row · column)) over cells that are not 0. The other draws: which array has to be permuted, one of shape (sequences,) or one of shape (sequences, L)?",
        "For each draw: `moved = rng.permutation(domain_of_sequence)` (sequences,), then `np.repeat(moved, L)` gives every token the new label of its sequence, and `expert.ravel()` is in the same order.",
    ),
    idea="What is exchangeable is what must move. Where the tokens of a sequence hang together, 40 sequences of 64 tokens are 40 samples, not 2,560, and a null of single tokens makes chance look like specialisation.",
    takeaway="Shuffle what is exchangeable, and nothing finer: the tokens of one text are not independent witnesses.",
    answer="my_null",
    parameters=("domain_of_sequence", "expert", "draws", "rng"),
    stands_for=("metrics.mutual_information", "metrics.permutation_null"),
    when_raised="domain_of_sequence is (sequences,), expert (sequences, L), draws a whole number, rng a numpy generator: `rng.permutation(...)`. np.repeat(labels, L) gives every token its sequence's label.",
    cases=null_cases,
    helper=SeededGenerator,
    seconds=15.0,  # 360 tables: a library that takes a while for each is right too, and slow
    measured=null_found,
    right=lambda f: f.among and f.different >= 0.6 * f.fair and f.distance <= Z and not f.chained,
    mistakes=by_test(
        "nothing moved: Every draw gives what was observed. To shuffle experts within their sequence, or the order of the sequences together with their labels, changes no count: a domain must meet *other* sequences.",
        lambda f: f.different == 1 and abs(f.values[0] - f.observed) <= SAME,
        "one permutation: All draws are the same: is the permutation made once, before the loop, or the generator made anew in every draw? Each draw needs a permutation of its own.",
        lambda f: f.different == 1 and f.among,
        "few permutations: These are values of permuted sequences, but only {different} different ones in {draws} draws; about {fair:.0f} should occur. A swap or a shift reaches few permutations: draw one of all of them.",
        lambda f: f.among and f.different < 0.6 * f.fair,
    )
    + by_trace(
        "each from the last: Your permutations are made one from the other, by small steps, so neighbours are alike. In each draw the labels are dealt out anew, with all permutations equally likely: `rng.permutation`.",
        lambda f: f.among and f.chained,
    )
    + by_test(
        ": These are values of permuted sequences, but some permutations come more often than others. All should be equally likely.",
        lambda f: f.among,
        "nats: The permutations are right; the unit is not. These are nats: take log2.",
        among(lambda f: f.known * np.log(2)),
        "base 10: The permutations are right; the unit is not. You took log10: take log2.",
        among(lambda f: f.known * np.log10(2)),
        "excess: The permutations are right. But you subtracted, from what was observed or from the draws. Asked are the draws themselves; what is above them is the next step.",
        among(lambda f: f.observed - f.known, lambda f: f.known - f.observed),
        "counts added: The permutations are right. But 1 was added to each count, so that no cell is empty. That changes the value: take the counts as they are, and sum over the cells that occur.",
        among(each_one_added),
        "domains alike: The permutations are right. But you averaged over domains as if they were equally large: weigh each with its share p(domain).",
        among(lambda f: divergences(f.joint).mean(axis=1)),
        "rows summed: The permutations are right. But the joint is normalised row by row: each domain's row sums to 1, the whole to the number of domains. Divide the counts by the number of tokens.",
        among(lambda f: divergences(f.joint).sum(axis=1)),
        "by S: The permutations are right. But you divided the counts of tokens by the number of sequences; the joint must sum to 1.",
        among(lambda f: f.L * (f.known - np.log2(f.L))),
        "not divided: The permutations are right. But these are counts where p belongs: divide the table by the number of tokens.",
        among(lambda f: f.expert.size * (f.known - np.log2(f.expert.size)), lambda f: f.expert.size * f.known),
        "share of the domain: The permutations are right. But you divided by H(domain): a share, where bits are asked.",
        among(of_marginals(lambda d, e: d)),
        "share of the expert: The permutations are right. But you divided by H(expert): a share, where bits are asked.",
        among(of_marginals(lambda d, e: e)),
        "normalised: The permutations are right. But you divided by a mean of H(domain) and H(expert): a share, where bits are asked.",
        among(of_marginals(lambda d, e: (d + e) / 2), of_marginals(lambda d, e: np.sqrt(d * e))),
        "what is left: The permutations are right. But this is H(expert | domain), what is left to know. Information is H(expert) minus that.",
        among(lambda f: entropy_bits(f.joint.sum(axis=1)) - f.known),
        "what is left: The permutations are right. But this is H(domain | expert), what is left to know. Information is H(domain) minus that.",
        among(lambda f: entropy_bits(f.joint.sum(axis=2)) - f.known),
        "joint entropy: The permutations are right. But this is H(domain, expert). Information is H(domain) + H(expert) minus that.",
        among(lambda f: entropy_bits(f.joint)),
        "one factor forgotten: The permutations are right. But in the logarithm p(d, e) is divided by p(d) *and* p(e): one of them is missing, or both.",
        among(
            lambda f: f.known - entropy_bits(f.joint.sum(axis=1)),
            lambda f: f.known - entropy_bits(f.joint.sum(axis=2)),
            lambda f: -entropy_bits(f.joint),
        ),
        "not weighted: The permutations are right. But the logarithms of the cells are added up, or averaged, as if all cells weighed alike. Each is weighed with p(d, e).",
        among(
            lambda f: of_cells(f.joint).sum(axis=(1, 2)),
            lambda f: of_cells(f.joint).sum(axis=(1, 2)) / occupied(f),
            lambda f: of_cells(f.joint).mean(axis=(1, 2)),
        ),
        "experts alike: The permutations are right. But you summed or averaged over experts as if they were equally used: weigh each with its share p(expert).",
        among(lambda f: of_experts(f).sum(axis=1), lambda f: of_experts(f).mean(axis=1)),
        "one token: You took one token of each sequence. All S·L tokens count: the labels become (S·L,) by `np.repeat(labels, L)`.",
        among(lambda f: exact_null(f.domain, f.expert[:, :1]), lambda f: exact_null(f.domain, f.expert[:, -1:])),
        "one for each sequence: You took one expert for each sequence, the one that it has most. All S·L tokens count.",
        among(lambda f: exact_null(f.domain, most_frequent(f.expert))),
        "centred: Your values have a mean of 0: you subtracted their mean. Asked are the draws themselves; what is above their mean is the next step.",
        lambda f: abs(f.values.mean()) <= SAME < f.values.std(),
        "sign: The permutations are right, the sign is not: information is never below 0.",
        among(lambda f: -f.known),
        "labels with repetition: Your sequences draw their labels with repetition, so the domains change their sizes from draw to draw. A permutation deals out exactly the labels that are there: `rng.permutation`, not `rng.choice` or `rng.integers`.",
        among(lambda f: bits(joint_of(labellings(f.domain.size, f.domain.max() + 1), f.expert))),
        "tiled: The sequences' labels are permuted, but then they go to the wrong tokens: with `np.tile` neighbours get different labels, and every sequence gets all of them. `np.repeat(labels, L)` gives L tokens in a row the same one, as `expert.ravel()` needs it.",
        among(lambda f: exact_null(f.domain, f.expert.reshape(f.expert.shape[::-1]).T)),
        "other order: The sequences' labels are permuted, but the experts are in another order: place by place, not sequence by sequence. `np.repeat(labels, L)` goes with `expert.ravel()`.",
        among(lambda f: exact_null(f.domain, f.expert.T.reshape(f.expert.shape))),
        f": {OTHER}",
        always,
    ),
    report="Yours: {yours} bits (mean ± standard deviation of the draws). Whole sequences permuted: {null}. Observed: {observed:.4f}.",
)
