"""Question 11.3: conditional on the token."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from moe_lessons import metrics
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_11.q2_null import divergences, joint_of
from moe_lessons.checks.verdicts import by_test, by_value

IDS = (7, 41, 107, 17, 4, 1007, 2048, 380, 5, 96)  # of the kinds of tokens; the last three occur once
BOTH_TELL = (
    (9, 1, 10, 1, 0, 11, 6, 2, 3, 4),
    (11, 9, 0, 10, 11, 11, 8, 2, 3, 4),
)  # the expert of each in domain 0, and in 1


def conditional_cases(rng: np.random.Generator) -> list[tuple]:
    """The expert follows the token, and the domain a little; then an expert that only token and domain together tell.

    Some tokens occur once. Labels that are only written in a row, or added up with factors of ten, are confused: expert 11
    and token 7 look like expert 1 and token 17, which tells another domain, and domain 0 and expert 10 like domain 1 and
    expert 0. Tokens of the smallest and of the largest id tell something: who leaves one out has another number.
    """
    cases = []
    for T, D, N, tied in ((240, 3, 4, True), (300, 2, 12, False)):
        token = rng.permutation(
            np.r_[rng.choice(7, size=T, p=[0.25, 0.25, 0.2, 0.12, 0.08, 0.05, 0.05]), 7:10]
        )  # (T + 3,)
        T = token.size
        domain = np.where(rng.random(T) < (0.6 if tied else 0.1), token % D, rng.integers(D, size=T))
        domain[token == 5] = 0  # a token of one domain only
        told = token + domain * (rng.random(T) < 0.3) if tied else np.array(BOTH_TELL)[domain, token]
        expert = np.where(rng.random(T) < 0.75, told, rng.integers(N, size=T)) % N
        cases.append((domain, expert, np.array(IDS)[token]))
    return cases


def entropies(
    domain: np.ndarray, expert: np.ndarray, token: np.ndarray, order: str = "det", grouped: Callable = np.stack
) -> dict[str, float]:
    """Return the entropies in bits of all groups of labels: "d", "e", "t", "de", "dt", "et", "det".

    grouped: what makes one array, whose columns are told apart, of the labels of a group in this order.
    """
    labels = {"d": domain, "e": expert, "t": token}
    found = {}
    for names in ("d", "e", "t", "de", "dt", "et", "det"):
        group = grouped([labels[name] for name in sorted(names, key=order.index)])
        _, counts = np.unique(group, axis=1, return_counts=True)
        found[names] = float(metrics.entropy(counts / domain.size, base=2))
    return found


def of_entropies(wrong: Callable) -> Callable:
    """Return the function of (domain, expert, token) that is wrong(entropies)."""
    return lambda domain, expert, token: wrong(entropies(domain, expert, token))


def between(h: dict[str, float], a: str, b: str) -> float:
    """Return I(a; b) from entropies; b may be a group."""
    return h[a] + h[b] - h["".join(sorted(a + b))]


def conditional(h: dict[str, float], given: str = "t") -> float:
    """Return the information between the other two labels, given this one, from entropies."""
    a, b = (label for label in "det" if label != given)
    return between(h, a, "".join(sorted(b + given))) - between(h, a, given)


def digits_in_a_row(labels: list[np.ndarray]) -> np.ndarray:
    """Return labels (T,) each as one row of texts, (1, T): 1, 17 and 11, 7 are both "117"."""
    return np.array([["".join(map(str, of_one)) for of_one in zip(*labels, strict=True)]])


def run_together(order: str) -> Callable:
    """Return the function of (domain, expert, token) that tells groups of labels apart by their digits in a row."""
    return lambda domain, expert, token: conditional(entropies(domain, expert, token, order, digits_in_a_row))


def sum_of(labels: list[np.ndarray]) -> np.ndarray:
    """Return the sum of labels (T,), as one row (1, T): 0, 1 and 1, 0 are both 1."""
    return np.sum(labels, axis=0, keepdims=True)


def too_small_a_base(labels: list[np.ndarray]) -> np.ndarray:
    """Return labels (T,) as one number each, (1, T), with the largest label as the base in the place of one more."""
    code = labels[0]
    for label in labels[1:]:
        code = code * label.max() + label
    return code[None]


def with_small_bases(order: str) -> Callable:
    """Return the function of (domain, expert, token) that numbers groups of labels in this order, in too small a base."""
    return lambda domain, expert, token: conditional(entropies(domain, expert, token, order, too_small_a_base))


def added_up(*factors: int) -> Callable:
    """Return the function of (domain, expert, token) that tells groups of labels apart by their sum, with factors."""

    def answer(*labels: np.ndarray) -> float:
        domain, expert, token = (factor * label for factor, label in zip(factors, labels, strict=True))
        return conditional(entropies(domain, expert, token, grouped=sum_of))

    return answer


def of_ids(ids: Callable[[np.ndarray], Iterable[int]]) -> Callable:
    """Return the function of (domain, expert, token) that goes over ids(token) only, and divides by all T."""

    def answer(domain: np.ndarray, expert: np.ndarray, token: np.ndarray) -> float:
        mine = [token == t for t in ids(token) if (token == t).any()]
        own = (one.mean() * metrics.mutual_information(domain[one], expert[one], base=2) for one in mine)
        return float(sum(own))

    return answer


def of_tokens(wrong: Callable) -> Callable:
    """Return the function that is wrong(information of each token, tokens in each, whether it has several domains)."""

    def answer(domain: np.ndarray, expert: np.ndarray, token: np.ndarray) -> float:
        kinds, counts = np.unique(token, return_counts=True)
        own = [metrics.mutual_information(domain[token == t], expert[token == t], base=2) for t in kinds]
        mixed = [np.ptp(domain[token == t]) > 0 for t in kinds]
        return wrong(np.array(own), counts, np.array(mixed))

    return answer


summed = of_tokens(lambda own, n, mixed: own.sum())


def domains_alike(domain: np.ndarray, expert: np.ndarray, token: np.ndarray) -> float:
    """Return what comes if the domains that have a token count alike within it, however often they have it."""
    total = 0.0
    for t in np.unique(token):
        mine = token == t
        joint = joint_of(domain[mine][None], expert[mine][:, None])  # (1, D, N)
        total += mine.sum() * divergences(joint)[joint.sum(axis=2) > 0].mean()
    return total / token.size


def is_nan(value: Any, *_: np.ndarray) -> bool:
    """Tell whether there is a NaN in what came."""
    return isinstance(value, np.ndarray) and bool(np.isnan(value).any())


CONDITIONAL = FunctionQuestion(
    **about("11.3", "Conditional on the token", "write it", "medium", points=2, minutes=6),
    hints=(
        "Take the occurrences of one token alone. Within them, what does the expert tell about the domain? That is an ordinary I(domain; expert), from a small table. A token that never changes its domain adds 0.",
        "Then average over tokens, each with its share of all T occurrences: Σ p(t) · I(domain; expert among the occurrences of t). Or by entropies of groups of labels: H(d, t) + H(e, t) − H(d, e, t) − H(t).",
    ),
    idea="Domains use different tokens, so an expert that has only learned tokens tells a lot about the domain. Holding the token fixed asks what is left of that: what the router knows beyond the token itself.",
    takeaway='"The expert knows the subject" and "the expert knows the words of the subject" look the same until the word is held fixed.',
    answer="my_conditional_information",
    parameters=("domain", "expert", "token"),
    stands_for=("metrics.mutual_information", "metrics.permutation_null"),
    when_raised="domain, expert and token are (T,), whole numbers. Token ids have gaps: go over np.unique(token), or code them by np.unique(token, return_inverse=True)[1].",
    cases=conditional_cases,
    reference=partial(metrics.mutual_information, base=2),
    mistakes=by_value(
        "unconditional: This is I(domain; expert), as if the token were unknown. It counts everything that the expert tells only because domains use different tokens, and it misses what only token and expert together tell.",
        of_entropies(lambda h: between(h, "d", "e")),
        "difference: You took I(domain; expert) − I(domain; token), which is H(domain | token) − H(domain | expert), too. That compares two sources that overlap. Condition instead: I(d; e | t) = I(d; e and t together) − I(d; t).",
        of_entropies(lambda h: between(h, "d", "e") - between(h, "d", "t")),
        "difference: You took I(domain; expert) − I(expert; token), which is H(expert | token) − H(expert | domain), too. That is no conditional information: the two overlap only in part. Hold the token fixed instead, and average over tokens.",
        of_entropies(lambda h: between(h, "d", "e") - between(h, "e", "t")),
        "not weighted: You averaged over the kinds of tokens as if each occurred equally often. Weigh each with p(token), its share of the T occurrences: a rare token counts little, and its estimate is the most biased.",
        (
            of_tokens(lambda own, n, mixed: own.mean()),
            of_tokens(lambda own, n, mixed: own[mixed].mean()),
            of_tokens(lambda own, n, mixed: own[n > 1].mean()),
        ),
        "not weighted, and nats: Two things. You averaged over the kinds of tokens as if each occurred equally often: weigh each with p(token), its share of the T occurrences. And these are nats: take log2 for bits.",
        of_tokens(lambda own, n, mixed: own.mean() * np.log(2)),
        "unconditional, and nats: Two things. This is I(domain; expert), as if the token were unknown: hold the token fixed, and average over tokens. And these are nats: take log2 for bits.",
        of_entropies(lambda h: between(h, "d", "e") * np.log(2)),
        "over all ids: You divided by the largest id, as if every number up to it were a token. Weigh each token that occurs with p(token), its share of the T occurrences.",
        lambda domain, expert, token: summed(domain, expert, token) / (token.max() + 1),
        "ids without gaps: You went over the ids 0, 1, 2, … as if there were no gaps, so most tokens are left out. `np.unique(token)` are the ids that occur.",
        (of_ids(lambda token: range(np.unique(token).size)), of_ids(lambda token: range(1, np.unique(token).size + 1))),
        "first or last id left out: One token is left out, the one with the smallest id or with the largest. `range(n)` ends before n, and `np.unique(token)` has all ids.",
        (of_ids(lambda token: np.unique(token)[1:]), of_ids(lambda token: np.unique(token)[:-1])),
        "one for each token: These are the tokens one by one. Return one number: their average, each with its share p(token).",
        (of_tokens(lambda own, n, mixed: own), of_tokens(lambda own, n, mixed: own * n / n.sum())),
        "summed: You summed over the tokens. Average them, each with its share p(token).",
        summed,
        "summed: You summed over the tokens, each times its count. Divide by T.",
        of_tokens(lambda own, n, mixed: (own * n).sum()),
        "mixed tokens only: You left out tokens that occur in one domain only, and divided by the rest. There the expert has nothing to add, and that counts too, with 0 bits.",
        of_tokens(lambda own, n, mixed: (own * n)[mixed].sum() / n[mixed].sum()),
        "rare tokens left out: You left out tokens that occur once, and divided by the rest. They add 0 bits, but they count among the T occurrences.",
        of_tokens(lambda own, n, mixed: (own * n)[n > 1].sum() / n[n > 1].sum()),
        "domains alike: Within a token you averaged over its domains as if each had it equally often. Weigh each with p(domain | token).",
        domains_alike,
        "p(token) missing: p(token) is not in your formula: it is log2(p(d, e, t) p(t) / (p(d, t) p(e, t))), and by entropies H(d, t) + H(e, t) − H(d, e, t) − H(t).",
        of_entropies(lambda h: h["dt"] + h["et"] - h["det"]),
        "given the domain: You held the domain fixed: this is I(expert; token | domain). Hold the *token* fixed.",
        of_entropies(lambda h: conditional(h, "d")),
        "given the expert: You held the expert fixed: this is I(domain; token | expert). Hold the *token* fixed.",
        of_entropies(lambda h: conditional(h, "e")),
        "both together: This is what expert and token together tell about the domain. Take off what the token tells by itself, I(domain; token).",
        of_entropies(lambda h: between(h, "d", "et")),
        "the token alone: This is I(domain; token): the expert is not in it.",
        of_entropies(lambda h: between(h, "d", "t")),
        "expert and token: This is I(expert; token): the domain is not in it.",
        of_entropies(lambda h: between(h, "e", "t")),
        "overall margins: Within a token you compared with p(domain) and p(expert) of *all* tokens. Take the margins from the same occurrences: p(domain | token) and p(expert | token).",
        of_entropies(lambda h: h["d"] + h["e"] + h["t"] - h["det"]),
        "run together: Labels that are written in a row without anything between them run together: expert 11 and token 7 look like expert 1 and token 17. Count tuples, or columns of `np.stack((expert, token))` by `np.unique(..., axis=1)`.",
        tuple(run_together("".join(order)) for order in permutations("det")),
        "too small a base: One number for several labels needs the *number* of labels as its base: D = domain.max() + 1, N = expert.max() + 1. With the largest label as the base, two different pairs get the same number.",
        tuple(
            map(with_small_bases, ("tde", "ted", "det", "edt"))
        ),  # between domain and expert it is too small for sure
        "added up: Labels that are only added up are confused: domain 0 with expert 1 is then the same as domain 1 with expert 0. Keep them apart: tuples, columns of `np.stack`, or factors that are larger than every number that is added.",
        tuple(
            added_up(*factors)
            for factors in (
                (1, 1, 10_000),
                (10, 1, 10_000),
                (1, 1, 1),
                (1, 1, 100),
                (100, 10, 1),
                (10, 1, 100),
                (100, 1, 10),
            )
        ),
        "both together: This is what domain and token together tell about the expert. Take off what the token tells by itself, I(expert; token).",
        of_entropies(lambda h: between(h, "e", "dt")),
        "both together: This is what domain and expert together tell about the token. Asked is what the expert tells about the domain, within one token.",
        of_entropies(lambda h: between(h, "t", "de")),
        "weighted twice: You weighed each token with its share twice.",
        of_tokens(lambda own, n, mixed: (own * (n / n.sum()) ** 2).sum()),
        "most frequent token: This is one token alone, the one that occurs most. Take all tokens, each with its share p(token).",
        of_tokens(lambda own, n, mixed: own[n.argmax()]),
        "in the middle: This is the median of the tokens, or the largest. Take their mean, each with its share p(token).",
        (of_tokens(lambda own, n, mixed: np.median(own)), of_tokens(lambda own, n, mixed: own.max())),
        "nats: These are nats. Take log2 for bits.",
        of_entropies(lambda h: conditional(h) * np.log(2)),
        "base 10: You took log10. Take log2 for bits.",
        of_entropies(lambda h: conditional(h) * np.log10(2)),
        "share: You divided by H(domain | token), H(domain) or H(expert | token): a share of what could be known. Asked are bits.",
        (
            of_entropies(lambda h: conditional(h) / (h["dt"] - h["t"])),
            of_entropies(lambda h: conditional(h) / h["d"]),
            of_entropies(lambda h: conditional(h) / (h["et"] - h["t"])),
        ),
        "what is left: This is what is left to know about one label, not what another tells about it. Information is a difference of two entropies: I(d; e | t) = H(d | t) − H(d | e, t).",
        (
            of_entropies(lambda h: h["det"] - h["et"]),
            of_entropies(lambda h: h["dt"] - h["t"]),
            of_entropies(lambda h: h["det"] - h["dt"]),
        ),
        "interaction: You took the difference of I(domain; expert) and the conditional information. That says how much the token explains, or hides. Asked is the conditional information itself.",
        of_entropies(lambda h: between(h, "d", "e") - conditional(h)),
        "interaction: You took the difference of the conditional information and I(domain; expert). Asked is the conditional information itself.",
        of_entropies(lambda h: conditional(h) - between(h, "d", "e")),
        "sign: The sign is the wrong way round: information is never below 0.",
        of_entropies(lambda h: -conditional(h)),
    )
    + by_test(
        "empty cells: NaN: somewhere 0 is divided by 0, or 0 · log 0 is taken. An id that never occurs, or a domain that never meets an expert within a token, adds 0: sum over what occurs.",
        is_nan,
    ),
)
