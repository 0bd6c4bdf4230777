"""Questions of exercise set 11: trained specialisation. All data are drawn here, with a structure that is planted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from moe_lessons import metrics
from moe_lessons.checks.question import (
    Data,
    FunctionQuestion,
    Mistake,
    Question,
    Reply,
    VariableQuestion,
    Verdict,
    call_answer,
    remark_on_changes,
)
from moe_lessons.checks.values import describe, plain, show, stacked

INFORMATION = ("metrics.mutual_information", "metrics.permutation_null")


# --- 11.1 the domain table ----------------------------------------------------------------------------------------


def table_cases(rng: np.random.Generator) -> list[tuple]:
    """Domains of unequal size, in mixed order; experts that nobody has, the last among them. (selected, domain, N)."""
    cases = []
    for sizes, k, N in (((6, 3, 4), 2, 6), ((5, 2), 3, 7), ((3, 4, 2, 5), 2, 5)):
        domain = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))  # (T,)
        used = np.delete(np.arange(N - 1), 1) if N > 5 else np.arange(N - 1)  # E2 and the last are idle
        wish = rng.random((len(sizes), used.size)) + np.eye(len(sizes), used.size)  # (D, used)
        noisy = wish[domain] + 0.4 * rng.gumbel(size=(domain.size, used.size))  # (T, used)
        cases.append((used[np.argsort(-noisy, axis=1)[:, :k]], domain, N))
    return cases


def table_counts(selected: np.ndarray, domain: np.ndarray, N: int) -> np.ndarray:
    """Return how many tokens of each domain have expert i among their k, (D, N)."""
    counts = np.zeros((domain.max() + 1, N))
    np.add.at(counts, (domain[:, None], selected), 1)
    return counts


def of_table(wrong: Callable) -> Callable:
    """Return the function of (selected, domain, N) that is wrong(counts (D, N), tokens of each domain (D, 1), k)."""

    def answer(selected: np.ndarray, domain: np.ndarray, N: int) -> np.ndarray:
        with np.errstate(all="ignore"):
            return wrong(table_counts(selected, domain, N), np.bincount(domain)[:, None], selected.shape[1])

    return answer


def of_one_choice(place: int) -> Callable:
    """Return the table that looks at one choice of each token alone."""
    return lambda selected, domain, N: metrics.domain_specialisation(selected[:, place][:, None], domain, N)


def without_idle_end(selected: np.ndarray, domain: np.ndarray, N: int) -> np.ndarray:
    """Return the table as wide as the largest index that occurs."""
    return metrics.domain_specialisation(selected, domain, N)[:, : selected.max() + 1]


def without_idle(selected: np.ndarray, domain: np.ndarray, N: int) -> np.ndarray:
    """Return the columns of the experts that occur."""
    return metrics.domain_specialisation(selected, domain, N)[:, np.unique(selected)]


OF_THE_EXPERT = "You divided by the expert's tokens: which share of them is from this domain. Asked is the other direction, the share of the domain's tokens. Yours mixes in how large the domains are: a large one leads for most experts."  # fmt: skip
SHARE_OF_USE = "You compare with the expert's share of all tokens. That says which domain likes the expert more than the others do. Asked is the share itself, whose baseline is k/N."  # fmt: skip

TABLE = FunctionQuestion(
    id="11.1",
    title="The domain table",
    kind="write it",
    points=1,
    minutes=5,
    difficulty="easy",
    hints=(
        "A token has k experts and is counted for each of them: in a table of counts (D, N) every token adds k ones, all in the row of its domain. What is the share of a domain's *tokens*?",
        "`(selected == i).any(axis=1)` says which tokens have expert i. The mean of that over the tokens with `domain == c` is the entry of domain c and expert i. (Or `np.add.at` on zeros of shape (D, N), at rows `domain[:, None]` and columns `selected`; then divide each row by its number of tokens.)",
    ),
    idea="A row sums to k, because every token has k experts, so the baseline of an entry is k/N; and since the row is divided by its own tokens, a small domain counts as much as a large one.",
    answer="my_domain_table",
    parameters=("selected", "domain", "num_experts"),
    stands_for=("metrics.domain_specialisation", "metrics.vocabulary_specialisation"),
    when_raised="selected is (T, k), domain (T,): one label for each row of selected. domain[:, None] is (T, 1) and fits beside it.",
    cases=table_cases,
    reference=metrics.domain_specialisation,
    mistakes=(
        Mistake("divided by k", "Your rows sum to 1: you divided by the domain's assignments, k for each token. Asked is the share of its *tokens* that have the expert, so a row sums to k.",
                of_table(lambda c, n, k: c / (n * k))),
        Mistake("of the expert's tokens", OF_THE_EXPERT, of_table(lambda c, n, k: c / c.sum(axis=0))),
        Mistake("of the expert's tokens", OF_THE_EXPERT, of_table(lambda c, n, k: c / np.maximum(c.sum(axis=0), 1))),
        Mistake("first choice only", "You looked at the first choice alone. An expert counts wherever it stands among the k of a token. (Papers do report the first choice too; then the baseline is 1/N.)", of_one_choice(0)),
        Mistake("last choice only", "You looked at the last choice alone. An expert counts wherever it stands among the k of a token.", of_one_choice(-1)),
        Mistake("counts", "These are counts. Divide each row by the number of that domain's tokens: else the domain with the most text looks the most specialised.",
                of_table(lambda c, n, k: c)),
        Mistake("added once", "Every token of a domain that has the expert counts, but here they add 1 all together: `table[rows, columns] += 1` writes a repeated place once. `np.add.at(table, (rows, columns), 1)` adds every time.",
                of_table(lambda c, n, k: (c > 0) / n)),
        Mistake("of all tokens", "You divided by all T tokens. Divide each row by the tokens of its own domain: else a small domain seems to use no expert.",
                of_table(lambda c, n, k: c / n.sum())),
        Mistake("of all assignments", "You divided by all T·k assignments. Divide each row by the tokens of its own domain.",
                of_table(lambda c, n, k: c / c.sum())),
        Mistake("over the baseline", "You divided by the baseline k/N. That is a good next step, but asked is the share itself.",
                of_table(lambda c, n, k: c / n / (k / c.shape[1]))),
        Mistake("less the baseline", "You took off the baseline k/N. That is a good next step, but asked is the share itself.",
                of_table(lambda c, n, k: c / n - k / c.shape[1])),
        Mistake("over the expert's use", SHARE_OF_USE, of_table(lambda c, n, k: c / n / (c.sum(axis=0) / n.sum()))),
        Mistake("over the expert's use", SHARE_OF_USE, of_table(lambda c, n, k: np.nan_to_num(c / n / (c.sum(axis=0) / n.sum())))),
        Mistake("by T/D", "You divided every row by the same number, T/D. The domains are not equally large: take each row's own tokens.",
                of_table(lambda c, n, k: c / n.mean())),
        Mistake("in percent", "These are percentages. Return shares, from 0 to 1.", of_table(lambda c, n, k: 100 * c / n)),
        Mistake("idle experts left out", "The last expert has no token here, and its column is missing. A table of N experts has N columns: give `np.bincount` its `minlength`, or count into zeros of shape (D, N).",
                without_idle_end),
        Mistake("idle experts left out", "An expert without tokens has no column in yours. A table of N experts has N columns, zeros among them.", without_idle),
        Mistake("transposed", "The numbers are right, but your table is (N, D). Domains are rows, experts columns: (D, N).",
                of_table(lambda c, n, k: (c / n).T)),
    ),
)  # fmt: skip


# --- 11.2 mutual information with the right null ------------------------------------------------------------------

DRAWS = 200
SAME = 5e-6  # bits: room for float32, and far less than lies between neighbouring values of the exact null
Z = 6.0  # standard errors: a right answer is refused less than once in ten million checks


def null_cases(rng: np.random.Generator) -> list[tuple]:
    """Few sequences, so that all ways to deal out their labels can be listed. Returns (domain (S,), expert (S, L)).

    Once there are more domains than experts: neither may be counted for the other.
    """
    cases = []
    for sizes, N, L in (((3, 2, 2, 1), 3, 60), ((6, 4), 5, 30)):
        domain = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))  # (S,)
        own, shared = rng.dirichlet(np.full(N - 1, 0.5), domain.size), rng.dirichlet(np.full(N - 1, 0.5), len(sizes))
        taste = 0.5 * own + 0.5 * shared[domain]  # (S, N − 1), of a sequence and of its domain
        expert = np.stack([rng.choice(N - 1, size=L, p=p) for p in taste])  # (S, L)
        expert[rng.integers(domain.size), :3] = N - 1  # an expert that one sequence alone meets: a cell is empty
        cases.append((domain, expert))
    return cases


@cache
def arrangements(sizes: tuple[int, ...]) -> np.ndarray:
    """Return all ways to give labels 0, 1, … to sequences, sizes[c] of them label c. (ways, S)."""
    ways = [np.array(way) for way in _deal(np.full(sum(sizes), -1), sizes, 0)]
    return np.stack(ways)


def _deal(labels: np.ndarray, sizes: tuple[int, ...], c: int) -> Iterator[np.ndarray]:
    """Yield `labels` with every place that holds −1 filled by c, c + 1, … in every way."""
    if c == len(sizes):
        yield labels
        return
    for places in combinations(np.flatnonzero(labels < 0), sizes[c]):
        filled = labels.copy()
        filled[list(places)] = c
        yield from _deal(filled, sizes, c + 1)


@cache
def labellings(S: int, D: int) -> np.ndarray:
    """Return all ways to give each of S sequences one of D labels, whichever. (D^S, S)."""
    return np.stack(np.unravel_index(np.arange(D**S), (D,) * S), axis=1)


def joint_of(domains: np.ndarray, expert: np.ndarray) -> np.ndarray:
    """Return p(domain, expert) for many labellings. domains (ways, S), or (ways, S, L); expert alike, or (S, L)."""
    N, D = int(expert.max()) + 1, int(domains.max()) + 1
    mine = np.eye(N)[expert]  # (S, L, N), or (ways, S, L, N)
    if domains.ndim == 2 and expert.ndim == 2:
        counts = np.einsum("wsd,sn->wdn", np.eye(D)[domains], mine.sum(axis=1))  # (ways, D, N)
    else:
        mine = np.broadcast_to(mine, (*domains.shape[:1], *mine.shape[-3:]))  # (ways, S, L, N)
        labels = np.broadcast_to(domains if domains.ndim == 3 else domains[..., None], mine.shape[:-1])
        counts = np.einsum("wsld,wsln->wdn", np.eye(D)[labels], mine)  # (ways, D, N)
    return counts / counts.sum(axis=(1, 2), keepdims=True)


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


def in_bits(joint: np.ndarray, L: int) -> np.ndarray:
    """Return `bits`, whatever the length of the sequences."""
    return bits(joint)


def exact_null(domain: np.ndarray, expert: np.ndarray, measure: Callable = in_bits) -> np.ndarray:
    """Return measure(joint, L) for all ways to deal the sequences' labels out anew, each as likely as any other."""
    return measure(joint_of(arrangements(tuple(np.bincount(domain))), expert), expert.shape[1])  # (ways,)


def observed(domain: np.ndarray, expert: np.ndarray) -> float:
    """Return I(domain; expert) in bits, with every sequence's own label."""
    return float(bits(joint_of(domain[None], expert))[0])


@dataclass(frozen=True)
class WrongNull:
    """A null that deals out something else; `draw(domain, expert, draws, rng)` gives its values, (draws,)."""

    name: str
    why: str
    draw: Callable


def drawn_jointly(domain: np.ndarray, expert: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw sequences with repetition, each with its own label."""
    rows = rng.integers(domain.size, size=(draws, domain.size))  # (draws, S)
    return bits(joint_of(domain[rows], expert[rows]))


def tokens_drawn_jointly(domain: np.ndarray, expert: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw tokens with repetition, each with its own label."""
    rows = rng.integers(expert.size, size=(draws, *expert.shape))  # (draws, S, L)
    return bits(joint_of(np.repeat(domain, expert.shape[1])[rows], expert.ravel()[rows]))


def tokens_shuffled(domain: np.ndarray, expert: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Deal the labels out over tokens."""
    labels = np.broadcast_to(np.repeat(domain, expert.shape[1]), (draws, expert.size))
    return bits(joint_of(rng.permuted(labels, axis=1).reshape(draws, *expert.shape), expert))


WRONG_NULLS = (
    WrongNull("token by token", "Your null is too narrow, and too low: it is what comes out when every *token* moves by itself. The tokens of a sequence are not independent; they share a topic and go to similar experts with or without domains. A label belongs to a sequence: whole sequences must move. (`rng.permuted(..., axis=0)` moves every column by itself; `rng.permutation` moves whole rows.)",
              tokens_shuffled),
    WrongNull("bootstrap of sequences", "Your sequences are drawn with repetition, each together with its own label. That is a bootstrap: the tie between domain and expert stays in it, so it is centred near what was observed, and not on a world without the tie. Deal the labels out anew instead.",
              drawn_jointly),
    WrongNull("bootstrap of tokens", "Your tokens are drawn with repetition, each together with its own label. That is a bootstrap: the tie stays in it, and besides it takes tokens as independent. Deal the sequences' labels out anew instead.",
              tokens_drawn_jointly),
)  # fmt: skip

WITH_REPETITION = "Your sequences draw their labels with repetition, so the domains change their sizes from draw to draw. A permutation deals out exactly the labels that are there: `rng.permutation`, not `rng.choice` or `rng.integers`."  # fmt: skip

TILED = "The sequences' labels are permuted, but then they go to the wrong tokens: with `np.tile` neighbours get different labels, and every sequence gets all of them. `np.repeat(labels, L)` gives L tokens in a row the same one, as `expert.ravel()` needs it."  # fmt: skip

WRONG_MEASURES = (  # of p(domain, expert), (ways, D, N), and L
    Mistake("nats", "The permutations are right; the unit is not. These are nats: take log2.", lambda j, L: bits(j) * np.log(2)),
    Mistake("base 10", "The permutations are right; the unit is not. You took log10: take log2.", lambda j, L: bits(j) * np.log10(2)),
    Mistake("domains alike", "The permutations are right. But you averaged over domains as if they were equally large: weigh each with its share p(domain).",
            lambda j, L: divergences(j).mean(axis=1)),
    Mistake("rows summed", "The permutations are right. But the joint is normalised row by row: each domain's row sums to 1, the whole to the number of domains. Divide the counts by all S·L tokens.",
            lambda j, L: divergences(j).sum(axis=1)),
    Mistake("by S", "The permutations are right. But you divided the counts of tokens by the number of sequences; the joint must sum to 1.",
            lambda j, L: L * (bits(j) - np.log2(L))),
    Mistake("share of the domain", "The permutations are right. But you divided by H(domain): a share, where bits are asked.",
            lambda j, L: bits(j) / entropy_bits(j.sum(axis=2))),
    Mistake("share of the expert", "The permutations are right. But you divided by H(expert): a share, where bits are asked.",
            lambda j, L: bits(j) / entropy_bits(j.sum(axis=1))),
    Mistake("what is left", "The permutations are right. But this is H(expert | domain), what is left to know. Information is H(expert) minus that.",
            lambda j, L: entropy_bits(j.sum(axis=1)) - bits(j)),
    Mistake("what is left", "The permutations are right. But this is H(domain | expert), what is left to know. Information is H(domain) minus that.",
            lambda j, L: entropy_bits(j.sum(axis=2)) - bits(j)),
    Mistake("joint entropy", "The permutations are right. But this is H(domain, expert). Information is H(domain) + H(expert) minus that.",
            lambda j, L: entropy_bits(j)),
    Mistake("sign", "The permutations are right, the sign is not: information is never below 0.", lambda j, L: -bits(j)),
)  # fmt: skip


def is_among(values: np.ndarray, known: np.ndarray) -> bool:
    """Tell whether every one of `values` (draws,) is one of `known` (ways,), but for rounding."""
    known = np.sort(known)
    place = np.clip(np.searchsorted(known, values), 1, max(1, known.size - 1))  # (draws,)
    near = np.minimum(np.abs(values - known[place - 1]), np.abs(values - known[np.minimum(place, known.size - 1)]))
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


def distance(values: np.ndarray, known: np.ndarray, exact: bool = False) -> float:
    """Return by how many standard errors mean or variance of `values` differ from those of `known`, the larger.

    Unless `exact`, `known` is itself a sample, and its errors count too.
    """
    n = 1 / (1 / values.size + (0 if exact else 1 / known.size))
    centred = known - known.mean()
    variance = (centred**2).mean()
    of_mean = abs(values.mean() - known.mean()) / np.sqrt(variance / n)
    of_variance = abs(values.var() - variance) / np.sqrt(((centred**4).mean() - variance**2) / n)
    return float(max(of_mean, of_variance))


@dataclass(frozen=True, kw_only=True)
class NullQuestion(Question):
    """The values must be ones that permuted sequences can give, and as often: all permutations are listed here."""

    def draw(self, rng: np.random.Generator) -> Data:
        """Return the cases and the seed of the generator that the answer is given."""
        return {"cases": null_cases(rng), "seed": int(rng.integers(2**31))}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Ask for DRAWS values in each case."""
        calls = []
        for domain, expert in data["cases"]:
            rng = np.random.default_rng(data["seed"])
            calls.append(call_answer(answer, self.parameters, (domain, expert, DRAWS), rng))
        changed = sorted({name for _, names in calls for name in names})
        return {"values": [value for value, _ in calls], "changed": changed}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Check the form, then whether the values are those of the exact null, then say what else they are."""
        cases, values = data["cases"], [stacked(value) for value in reply["values"]]
        unfit = next(filter(None, map(unfit_null, values)), None)
        if unfit:
            return unfit
        faults = [fault_of(value, *case) for value, case in zip(values, cases, strict=True)]
        wrong = [(fault, i) for i, fault in enumerate(faults) if fault is not None]
        if not wrong:
            return Verdict(True, remark_on_changes(reply["changed"]))
        fault, i = wrong[0]
        name, why = fault or named_null(values, cases)
        lines = (why, compared(values[i], *cases[i]), remark_on_changes(reply["changed"]))
        return Verdict(False, "\n".join(filter(None, lines)), name)


def unfit_null(value: Any) -> Verdict | None:
    """Return what is wrong with the form of an answer; None if it is DRAWS finite numbers."""
    if not isinstance(value, np.ndarray) or value.shape != (DRAWS,) or value.dtype.kind not in "fiu":
        forgotten = " (is a `return` missing?)" if value is None else ""
        return Verdict(False, f"Expected (draws,) numbers, here {DRAWS}. Came {describe(value)}{forgotten}.")
    if np.isnan(value).any():
        return Verdict(False, "NaN: where a domain never meets an expert, the count is 0, and 0 · log 0 is NaN in numpy. Such a cell adds 0: sum over the cells that occur.", "0 log 0")  # fmt: skip
    if not np.isfinite(value).all():
        return Verdict(False, "Some of your values are infinite. Sum over the cells that occur; the others add 0.")
    return None


def fault_of(values: np.ndarray, domain: np.ndarray, expert: np.ndarray) -> tuple | None:
    """Return None for the right null; (name, why) for too few permutations; () where the values are others."""
    known = exact_null(domain, expert)
    if np.ptp(values) <= SAME and abs(values[0] - observed(domain, expert)) <= SAME:
        return "nothing moved", "Every draw gives what was observed. To shuffle experts within their sequence, or the order of the sequences together with their labels, changes no count: a domain must meet *other* sequences."  # fmt: skip
    if np.ptp(values) <= SAME and is_among(values, known):
        return "one permutation", "All draws are the same: is the permutation made once, before the loop, or the generator made anew in every draw? Each draw needs a permutation of its own."  # fmt: skip
    if not is_among(values, known):
        return ()
    if number_of_values(values) < 0.6 * expected_number(known, values.size):
        return "few permutations", f"These are values of permuted sequences, but only {number_of_values(values)} different ones in {values.size} draws; about {expected_number(known, values.size):.0f} should occur. A swap or a shift reaches few permutations: draw one of all of them."  # fmt: skip
    if distance(values, known, exact=True) <= Z:
        return None
    return None, "These are values of permuted sequences, but some permutations come more often than others. All should be equally likely."  # fmt: skip


def named_null(values: list[np.ndarray], cases: list[tuple]) -> tuple[str | None, str]:
    """Say what the values of all cases are, if they are those of a known mistake; else where they should lie."""
    pairs = list(zip(values, cases, strict=True))
    for mistake in WRONG_MEASURES:
        if all(is_among(value, exact_null(domain, expert, mistake.wrong)) for value, (domain, expert) in pairs):
            return mistake.name, mistake.why
    if all(is_among(value, with_repetition(*case)) for value, case in pairs):
        return "labels with repetition", WITH_REPETITION
    if all(is_among(value, tiled(*case)) for value, case in pairs):
        return "tiled", TILED
    apart = [max(distance(value, sample(null, *case)) for value, case in pairs) for null in WRONG_NULLS]
    if min(apart) <= Z:
        nearest = WRONG_NULLS[int(np.argmin(apart))]
        return nearest.name, nearest.why
    return None, "Not all of your values can come from sequences that have exchanged their labels. All tokens of a sequence keep one label, each label is dealt out as often as it was there, and the value is I(domain; expert) in bits over all S·L tokens."  # fmt: skip


def with_repetition(domain: np.ndarray, expert: np.ndarray) -> np.ndarray:
    """Return the information in bits for every labelling of the sequences, (D^S,)."""
    return bits(joint_of(labellings(domain.size, int(domain.max()) + 1), expert))


def tiled(domain: np.ndarray, expert: np.ndarray) -> np.ndarray:
    """Return the values where np.tile takes the place of np.repeat: a label goes to every S-th token. (ways,)."""
    return exact_null(domain, expert.reshape(expert.shape[::-1]).T)


def sample(null: WrongNull, domain: np.ndarray, expert: np.ndarray) -> np.ndarray:
    """Return 600 values of a wrong null."""
    return null.draw(domain, expert, 600, np.random.default_rng(0))


def compared(values: np.ndarray, domain: np.ndarray, expert: np.ndarray) -> str:
    """Set mean and spread of a null beside those of the right one."""
    known = exact_null(domain, expert)
    rows = (f"{values.mean():.4f} ± {values.std():.4f} bits", f"{known.mean():.4f} ± {known.std():.4f}")
    return f"Yours: {rows[0]} (mean ± standard deviation of the draws). Whole sequences permuted: {rows[1]}. Observed: {observed(domain, expert):.4f}."  # fmt: skip


NULL = NullQuestion(
    id="11.2",
    title="Mutual information with the right null",
    kind="write it",
    points=3,
    minutes=11,
    difficulty="hard",
    hints=(
        "Two parts. One function gives I from labels: a table of counts (D, N), divided by all S·L tokens, and the sum of p log2(p / (row · column)) over cells that are not 0. The other draws: which array has to be permuted, one of shape (S,) or one of shape (S, L)?",
        "For each draw: `moved = rng.permutation(domain_of_sequence)` (S,), then `np.repeat(moved, L)` gives every token the new label of its sequence, and `expert.ravel()` is in the same order.",
    ),
    idea="What is exchangeable is what must move. Where the tokens of a sequence hang together, S sequences are S samples, not S·L, and a null of single tokens makes chance look like specialisation.",
    answer="my_null",
    parameters=("domain_of_sequence", "expert", "draws", "rng"),
    stands_for=INFORMATION,
    when_raised="domain_of_sequence is (S,), expert (S, L), draws a whole number, rng a numpy generator: `rng.permutation(...)`. np.repeat(labels, L) makes (S·L,) out of (S,).",
)  # fmt: skip


# --- 11.3 conditional on the token --------------------------------------------------------------------------------


def conditional_cases(rng: np.random.Generator) -> list[tuple]:
    """The expert follows the token, and the domain a little; then an expert that only token and domain together tell."""
    cases = []
    for T, D, N, tied in ((240, 3, 4, True), (300, 2, 3, False)):
        token = rng.choice(6, size=T, p=[0.3, 0.25, 0.2, 0.12, 0.08, 0.05])  # (T,)
        domain = np.where(rng.random(T) < (0.6 if tied else 0.1), token % D, rng.integers(D, size=T))
        domain[token == 5] = 0  # a token of one domain only
        told = token + domain * (rng.random(T) < 0.3) if tied else token + domain
        expert = np.where(rng.random(T) < 0.75, told, rng.integers(N, size=T)) % N
        cases.append((domain, expert, np.array([41, 7, 380, 12, 96, 213])[token]))
    return cases


def entropies(domain: np.ndarray, expert: np.ndarray, token: np.ndarray) -> dict[str, float]:
    """Return the entropies in bits of all groups of labels: "d", "e", "t", "de", "dt", "et", "det"."""
    labels = {"d": domain, "e": expert, "t": token}
    found = {}
    for names in ("d", "e", "t", "de", "dt", "et", "det"):
        _, counts = np.unique(np.stack([labels[name] for name in names]), axis=1, return_counts=True)
        found[names] = float(metrics.entropy(counts / domain.size, base=2))
    return found


def of_entropies(wrong: Callable) -> Callable:
    """Return the function of (domain, expert, token) that is wrong(entropies)."""
    return lambda domain, expert, token: wrong(entropies(domain, expert, token))


def conditional(h: dict[str, float]) -> float:
    """Return I(domain; expert | token) from entropies."""
    return h["dt"] + h["et"] - h["det"] - h["t"]


def between(h: dict[str, float], a: str, b: str, both: str) -> float:
    """Return I(a; b) from entropies."""
    return h[a] + h[b] - h[both]


def of_tokens(wrong: Callable) -> Callable:
    """Return the function that is wrong(information of each token, tokens in each, whether it has several domains)."""

    def answer(domain: np.ndarray, expert: np.ndarray, token: np.ndarray) -> float:
        kinds, counts = np.unique(token, return_counts=True)
        own = [metrics.mutual_information(domain[token == t], expert[token == t], base=2) for t in kinds]
        mixed = [np.ptp(domain[token == t]) > 0 for t in kinds]
        return float(wrong(np.array(own), counts, np.array(mixed)))

    return answer


def conditional_information(domain: np.ndarray, expert: np.ndarray, token: np.ndarray) -> float:
    """Return I(domain; expert | token) in bits. (T,) each."""
    return metrics.mutual_information(domain, expert, token, base=2)


LEFT = "This is what is left to know about one label, not what another tells about it. Information is a difference of two entropies: I(d; e | t) = H(d | t) − H(d | e, t)."  # fmt: skip

CONDITIONAL = FunctionQuestion(
    id="11.3",
    title="Conditional on the token",
    kind="write it",
    points=2,
    minutes=8,
    difficulty="medium",
    hints=(
        "Take the occurrences of one token alone. Within them, what does the expert tell about the domain? That is an ordinary I(domain; expert), from a small table. A token that never changes its domain adds 0.",
        "Then average over tokens, each with its share of all T occurrences: Σ p(t) · I(domain; expert among the occurrences of t). Or by entropies of groups of labels: H(d, t) + H(e, t) − H(d, e, t) − H(t).",
    ),
    idea="Domains use different tokens, so an expert that has only learned tokens tells a lot about the domain. Holding the token fixed asks what is left of that: what the router knows beyond the token itself.",
    answer="my_conditional_information",
    parameters=("domain", "expert", "token"),
    stands_for=INFORMATION,
    when_raised="domain, expert and token are (T,), whole numbers. Token ids have gaps: go over np.unique(token), or code them by np.unique(token, return_inverse=True)[1].",
    cases=conditional_cases,
    reference=conditional_information,
    mistakes=(
        Mistake("unconditional", "This is I(domain; expert), as if the token were unknown. It counts everything that the expert tells only because domains use different tokens, and it misses what only token and expert together tell.",
                of_entropies(lambda h: between(h, "d", "e", "de"))),
        Mistake("difference", "You took I(domain; expert) − I(domain; token). That compares two sources that overlap. Condition instead: I(d; e | t) = I(d; e and t together) − I(d; t).",
                of_entropies(lambda h: between(h, "d", "e", "de") - between(h, "d", "t", "dt"))),
        Mistake("difference", "You took I(domain; expert) − I(expert; token). That is no conditional information: the two overlap only in part. Hold the token fixed instead, and average over tokens.",
                of_entropies(lambda h: between(h, "d", "e", "de") - between(h, "e", "t", "et"))),
        Mistake("not weighted", "You averaged over the kinds of tokens as if each occurred equally often. Weigh each with p(token), its share of the T occurrences: a rare token counts little, and its estimate is the most biased.",
                of_tokens(lambda own, n, mixed: own.mean())),
        Mistake("summed", "You summed over the tokens. Average them, each with its share p(token).", of_tokens(lambda own, n, mixed: own.sum())),
        Mistake("summed", "You summed over the tokens, each times its count. Divide by T.", of_tokens(lambda own, n, mixed: (own * n).sum())),
        Mistake("mixed tokens only", "You left out tokens that occur in one domain only, and divided by the rest. There the expert has nothing to add, and that counts too, with 0 bits.",
                of_tokens(lambda own, n, mixed: (own * n)[mixed].sum() / n[mixed].sum())),
        Mistake("given the domain", "You held the domain fixed: this is I(expert; token | domain). Hold the *token* fixed.",
                of_entropies(lambda h: h["de"] + h["dt"] - h["det"] - h["d"])),
        Mistake("given the expert", "You held the expert fixed: this is I(domain; token | expert). Hold the *token* fixed.",
                of_entropies(lambda h: h["de"] + h["et"] - h["det"] - h["e"])),
        Mistake("both together", "This is what expert and token together tell about the domain. Take off what the token tells by itself, I(domain; token).",
                of_entropies(lambda h: between(h, "d", "et", "det"))),
        Mistake("the token alone", "This is I(domain; token): the expert is not in it.", of_entropies(lambda h: between(h, "d", "t", "dt"))),
        Mistake("expert and token", "This is I(expert; token): the domain is not in it.", of_entropies(lambda h: between(h, "e", "t", "et"))),
        Mistake("overall margins", "Within a token you compared with p(domain) and p(expert) of *all* tokens. Take the margins from the same occurrences: p(domain | token) and p(expert | token).",
                of_entropies(lambda h: h["d"] + h["e"] + h["t"] - h["det"])),
        Mistake("nats", "These are nats. Take log2 for bits.", of_entropies(lambda h: conditional(h) * np.log(2))),
        Mistake("base 10", "You took log10. Take log2 for bits.", of_entropies(lambda h: conditional(h) * np.log10(2))),
        Mistake("share", "You divided by H(domain | token): a share of what could be known. Asked are bits.", of_entropies(lambda h: conditional(h) / (h["dt"] - h["t"]))),
        Mistake("what is left", LEFT, of_entropies(lambda h: h["det"] - h["et"])),
        Mistake("what is left", LEFT, of_entropies(lambda h: h["dt"] - h["t"])),
        Mistake("what is left", LEFT, of_entropies(lambda h: h["det"] - h["dt"])),
        Mistake("interaction", "You took the difference of I(domain; expert) and the conditional information. That says how much the token explains, or hides. Asked is the conditional information itself.",
                of_entropies(lambda h: between(h, "d", "e", "de") - conditional(h))),
        Mistake("interaction", "You took the difference of the conditional information and I(domain; expert). Asked is the conditional information itself.",
                of_entropies(lambda h: conditional(h) - between(h, "d", "e", "de"))),
        Mistake("sign", "The sign is the wrong way round: information is never below 0.", of_entropies(lambda h: -conditional(h))),
    ),
)  # fmt: skip


# --- 11.4 saturation ----------------------------------------------------------------------------------------------


def saturation_cases(rng: np.random.Generator) -> list[tuple]:
    """Checkpoints that come nearer and nearer to the last; the order of the choices changes by itself."""
    return [(drifting(rng, C, T, k, N),) for C, T, k, N in ((4, 9, 2, 5), (5, 8, 3, 7), (3, 12, 4, 9))]


def drifting(rng: np.random.Generator, C: int, T: int, k: int, N: int) -> np.ndarray:
    """Return selections (C, T, k) that agree more and more with the last."""
    taste = rng.gumbel(size=(T, N - 1))  # (T, N − 1), at the end nobody has the last expert
    noise = np.linspace(1.5, 0.4, C - 1)[:, None, None] * rng.gumbel(size=(C - 1, T, N - 1))
    logits = np.concatenate([taste + noise, taste[None]])  # (C, T, N − 1)
    order = np.argsort(-logits, axis=-1)  # (C, T, N − 1)
    selected = order[..., :k].copy()  # (C, T, k)
    selected[0, 0], selected[0, 1] = selected[-1, 0][::-1], selected[-1, 1]  # the same set in another order, or in this
    selected[:-1, 2] = order[-1, 2, -k:]  # nothing in common until the end
    selected[:-1, 3, -1] = N - 1  # one choice that is among no token's final ones
    return selected


def saturations(selected: np.ndarray) -> np.ndarray:
    """Return the saturation of each checkpoint, (C,). selected (C, T, k), the last one is the final."""
    return np.array([metrics.saturation(now, selected[-1]) for now in selected])


def common(now: np.ndarray, final: np.ndarray) -> np.ndarray:
    """Return how many experts two selections (T, k) share in each token, (T,)."""
    return (now[:, :, None] == final[:, None, :]).any(axis=-1).sum(axis=-1)


def each_checkpoint(wrong: Callable) -> Callable:
    """Return the function of selected (C, T, k) that is wrong(checkpoint, final) for each checkpoint."""
    return lambda selected: np.array([wrong(now, selected[-1]) for now in selected])


def of_common(wrong: Callable) -> Callable:
    """Return the function of selected (C, T, k) that is the mean over tokens of wrong(common experts (T,), k)."""
    return each_checkpoint(lambda now, final: wrong(common(now, final), now.shape[1]).mean())


def neighbours(selected: np.ndarray) -> np.ndarray:
    """Return the agreement of each checkpoint with the one before it, (C − 1,)."""
    pairs = zip(selected[1:], selected[:-1], strict=True)
    return np.array([metrics.saturation(now, before) for now, before in pairs])


WITH_PREVIOUS = "You compared each checkpoint with its neighbour in time. That says how fast the router still moves; one that walks slowly in circles would seem saturated. Eq. 5 compares with the *final* checkpoint."  # fmt: skip
FIRST_ONLY = "You compared one choice of each token alone. All k selected experts count."

SATURATION = FunctionQuestion(
    id="11.4",
    title="When does the router stop moving?",
    kind="write it",
    points=2,
    minutes=6,
    difficulty="medium",
    hints=(
        "A token's k experts are a set: E3, E1 and E1, E3 are the same choice. So `==` place by place misses hits, and `np.isin` over the whole array finds hits that belong to other tokens.",
        "`selected[:, :, :, None] == selected[-1][None, :, None, :]` is (C, T, k, k): each choice against each final choice of the same token. `any` over the last axis says whether the choice is among the final ones; then the mean over tokens and choices.",
    ),
    idea="Divided by k, the common experts of a token are the share of its choices that have settled. Two routers that know nothing of each other already agree on about k/N, so read a saturation against that, not against 0.",
    answer="my_saturation",
    parameters=("selected",),
    stands_for=("metrics.saturation",),
    when_raised="selected is (C, T, k): checkpoints, tokens, choices. selected[-1] is the final one, (T, k). Return C numbers.",
    cases=saturation_cases,
    reference=saturations,
    mistakes=(
        Mistake("in order", "You compared place by place, so an expert that went from first to second choice counts as lost. The k experts of a token are a set.",
                each_checkpoint(lambda now, final: (now == final).mean())),
        Mistake("first choice only", FIRST_ONLY, each_checkpoint(lambda now, final: (now[:, 0] == final[:, 0]).mean())),
        Mistake("first choice only", FIRST_ONLY, each_checkpoint(lambda now, final: (now[:, :1] == final).any(axis=1).mean())),
        Mistake("first choice only", FIRST_ONLY, each_checkpoint(lambda now, final: (now == final[:, :1]).any(axis=1).mean())),
        Mistake("Jaccard", "You divided by the size of the union (the Jaccard index). Eq. 5 divides by k: with one of two experts in common it says 1/2, where Jaccard says 1/3.",
                of_common(lambda both, k: both / (2 * k - both))),
        Mistake("previous checkpoint", WITH_PREVIOUS, neighbours),
        Mistake("previous checkpoint", WITH_PREVIOUS, lambda selected: np.concatenate([[0], neighbours(selected)])),
        Mistake("previous checkpoint", WITH_PREVIOUS, lambda selected: np.concatenate([[1], neighbours(selected)])),
        Mistake("previous checkpoint", WITH_PREVIOUS, lambda selected: np.concatenate([[np.nan], neighbours(selected)])),
        Mistake("previous checkpoint", WITH_PREVIOUS, lambda selected: np.concatenate([neighbours(selected), [1]])),
        Mistake("first checkpoint", "You compared with the first checkpoint. That says how far the router has moved away, not how near it is to where it ends.",
                lambda selected: saturations(selected[::-1])[::-1]),
        Mistake("all or nothing", "You count a token only if all its k experts are final. One expert of two in common counts as a half.",
                of_common(lambda both, k: both == k)),
        Mistake("any", "You count a token as soon as one of its experts is final. Count how many are, and divide by k.", of_common(lambda both, k: both > 0)),
        Mistake("not divided by k", "This is the number of common experts of a token. Divide by k.", of_common(lambda both, k: both)),
        Mistake("over all tokens", "You asked whether an expert is among the final choices of *any* token (`np.isin` looks through the whole array). Compare each token with itself.",
                each_checkpoint(lambda now, final: np.isin(now, final).mean())),
        Mistake("counts", "This is the number of common experts, summed over the tokens. Divide by T·k.", of_common(lambda both, k: both * both.size)),
        Mistake("moved", "This is the share that still changes. Saturation is 1 minus that.", of_common(lambda both, k: 1 - both / k)),
        Mistake("one mean", "This is one number, the mean over the checkpoints. Return one for each: the course of it is what is asked.", lambda selected: saturations(selected).mean()),
        Mistake("final left out", "Right, but the final checkpoint is missing. Return C numbers; the last is 1.", lambda selected: saturations(selected)[:-1]),
        Mistake("in percent", "These are percentages. Return shares, from 0 to 1.", lambda selected: 100 * saturations(selected)),
    ),
)  # fmt: skip


# --- 11.5 an expert is switched off -------------------------------------------------------------------------------

DOMAINS = ("prose", "code", "JSON")
OFF = 8  # experts
CLEAR = 3  # standard errors
USE = (  # share of a domain's tokens that have the expert among their 2
    (0.70, 0.30, 0.15, 0.20, 0.30, 0.05, 0.15, 0.15),
    (0.35, 0.15, 0.20, 0.70, 0.30, 0.05, 0.10, 0.15),
    (0.15, 0.20, 0.75, 0.30, 0.30, 0.05, 0.15, 0.10),
)
RISE = (  # nats; E6 is drawn apart
    (0.06, 0.22, 0.00, 0.05, 0.12, 0.00, 0.04, 0.03),
    (0.30, 0.03, 0.00, 0.07, 0.12, 0.00, 0.02, 0.05),
    (0.08, 0.04, 0.00, 0.18, 0.12, 0.00, 0.05, 0.02),
)


@cache
def ablation() -> tuple[np.ndarray, np.ndarray]:
    """Return the use (3, 8), and the loss in nats of each text (9, 3, 40): all experts on, then one off at a time."""
    rng = np.random.default_rng(11)
    whole = np.array([2.6, 1.7, 1.1])[:, None] + 0.45 * rng.normal(size=(3, 40))  # (3, 40), texts differ
    strength = np.abs(1 + 0.3 * rng.normal(size=(OFF, 3, 40)))  # some texts need an expert more
    rise = np.array(RISE).T[:, :, None] * strength + 0.02 * rng.normal(size=(OFF, 3, 40))  # (8, 3, 40)
    rise[5] = 0.004 * rng.normal(size=(3, 40))  # E6 serves few tokens
    rise[5, 2, 17] = 9.6  # and one JSON text breaks down without it
    use, losses = np.array(USE), np.concatenate([whole[None], whole + rise])  # (9, 3, 40)
    for array in (use, losses):
        array.flags.writeable = False
    return use, losses


@cache
def rises() -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard error over texts of what each expert's absence adds to the loss, (8, 3) each."""
    losses = ablation()[1]
    paired = losses[1:] - losses[0]  # (8, 3, 40)
    return paired.mean(axis=-1), paired.std(axis=-1, ddof=1) / np.sqrt(paired.shape[-1])


def is_clear() -> np.ndarray:
    """Return which rises are more than CLEAR standard errors above 0, (8, 3)."""
    mean, error = rises()
    return mean > CLEAR * error


@cache
def findings() -> dict[str, int]:
    """Return the expert, from 0, that each entry of 11.5 asks for. By rises or per served token: the same ones."""
    mean, _ = rises()
    clear, most_used = is_clear(), ablation()[0].argmax(axis=1)
    found = {domain: int(np.where(clear[:, c], mean[:, c], -np.inf).argmax()) for c, domain in enumerate(DOMAINS)}
    idle = [i for i in most_used if not clear[i].any()]
    alike = [i for i in range(OFF) if clear[i].all() and mean[i].max() < 1.5 * mean[i].min()]
    (found["used but not needed"],), (found["needed by all alike"],) = idle, alike
    return {name: int(i) for name, i in found.items()}


def written(i: int, c: int | None = None) -> str:
    """Write the rises without expert i: "prose 0.06 ± 0.01, …", or that of one domain."""
    mean, error = rises()
    which = range(len(DOMAINS)) if c is None else (c,)
    return ", ".join(f"{DOMAINS[d]} {round(mean[i, d], 3) + 0:.3f} ± {error[i, d]:.3f}" for d in which)


def against_domain(i: int, c: int) -> tuple[str | None, str]:
    """Say what speaks against expert i as the one that domain c needs most."""
    use, (mean, _), domain = ablation()[0], rises(), DOMAINS[c]
    without = f"Without E{i + 1} the loss rises by: {written(i, c)}."
    if not is_clear()[i, c] and mean[i, c] == mean[:, c].max():
        rise = ablation()[1][i + 1, c] - ablation()[1][0, c]  # (40,)
        return "one text", f"The mean is the largest, but is it evidence? {without} One text of {rise.size} rises by {rise.max():.1f}; the median of them all is {np.median(rise):.3f}."  # fmt: skip
    if i == use[c].argmax():
        return "most used", f"E{i + 1} is the one that {domain} *uses* most. Use is not effect: other experts may do the same. {without} For another expert it is more."  # fmt: skip
    others = [DOMAINS[d] for d in range(len(DOMAINS)) if d != c and i == findings()[DOMAINS[d]]]
    if others:
        return "another domain", f"Without E{i + 1} it is {others[0]} that suffers most. {without} Take the largest clear rise among the experts, within the column of {domain}."  # fmt: skip
    if not is_clear()[i, c]:
        return "not clear", f"That rise is not clear of 0. {without}"
    return None, f"{without} For another expert it is more, and clear."


def against_idle(i: int) -> tuple[str | None, str]:
    """Say what speaks against expert i as used but not needed."""
    if i in ablation()[0].argmax(axis=1):
        return "another domain needs it", f"E{i + 1} is the most used of a domain, but its absence does raise losses: {written(i)}."  # fmt: skip
    if is_clear()[i].any():
        return None, f"E{i + 1} is not the most used expert of any domain, and its absence does raise losses: {written(i)}."  # fmt: skip
    return "little used", f"Nothing is clear here, true: {written(i)}. But no domain uses E{i + 1} most; look at the table of use."  # fmt: skip


def against_alike(i: int) -> tuple[str | None, str]:
    """Say what speaks against expert i as needed by all alike."""
    use, (mean, _) = ablation()[0], rises()
    if not is_clear()[i].all():
        return "one text" if mean[
            i
        ].max() > 0.1 else "not needed", f"Not every domain's loss clearly rises without E{i + 1}: {written(i)}."
    name = "needed most by one" if i in [findings()[domain] for domain in DOMAINS] else None
    even = " Its use may be similar, its effect is not." if np.ptp(use[:, i]) <= 0.1 else ""
    return name, f"All three losses rise, but not alike: {written(i)}.{even}"


@dataclass(frozen=True, kw_only=True)
class AblationQuestion(VariableQuestion):
    """For each entry an expert by name; a wrong one is answered with its numbers, and all wrong entries are named."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Explain the first wrong expert; name the other entries that are wrong."""
        value, right = reply["value"], findings()
        if not isinstance(value, dict) or not set(right) <= set(value):
            return Verdict(False, f"Expected a dict with the keys {', '.join(right)}; came {describe(value)}.")
        named = {part: expert_named(value[part]) for part in right}
        for part, number in named.items():
            if number is None:
                return Verdict(False, f"{part!r}: expected an expert's name, 'E1' to 'E{OFF}'. Came {show(value[part])}.")  # fmt: skip
        wrong = [part for part in right if named[part] != right[part]]
        if not wrong:
            return Verdict(True)
        mistake, why = self._against(wrong[0], named[wrong[0]] or 0)
        also = f"\nNot right yet either: {', '.join(wrong[1:])}." if wrong[1:] else ""
        return Verdict(False, f"{wrong[0]!r} is not {show(value[wrong[0]])}.\n{why}{also}", mistake and f"{wrong[0]}: {mistake}")  # fmt: skip

    def _against(self, part: str, i: int) -> tuple[str | None, str]:
        if part in DOMAINS:
            return against_domain(i, DOMAINS.index(part))
        return against_idle(i) if part == "used but not needed" else against_alike(i)


def expert_named(text: Any) -> int | None:
    """Return the index, from 0, of an expert written as "E3"; None for anything else."""
    names = {f"e{i + 1}": i for i in range(OFF)}
    return names.get(text.strip().lower()) if isinstance(text, str) else None


ABLATION = AblationQuestion(
    id="11.5",
    title="An expert is switched off",
    kind="predict a number",
    points=2,
    minutes=8,
    difficulty="medium",
    hints=(
        "The same 40 texts were read each time, so subtract first: `losses[1:] - losses[0]`, (8, 3, 40). Texts differ much more from each other than an expert's absence changes them, and in the difference that cancels.",
        "Mean and standard error over the last axis: `d.mean(-1)` and `d.std(-1, ddof=1) / np.sqrt(40)`, (8, 3) each. Where the mean is more than three standard errors above 0, the effect is clear. Divide the mean by `use.T`, (8, 3): that is the effect per served token. Look for the largest *clear* one in each column.",
    ),
    idea="How much an expert is used says where tokens go; only its absence says what is lost, per token that it served, and only beside its spread. An expert can be popular and replaceable, or rare and decisive for one text.",
    answer="my_findings",
)  # fmt: skip


# --- 11.6 the conclusion that the data allow ----------------------------------------------------------------------


ROUTERS = ("hash router", "first layer", "last layer")


def planted(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return labels (T,) of 60 sequences of 60 tokens, and the expert of each token under three routers."""
    S, L, V, N = 60, 60, 20, 8
    domain = np.repeat(rng.permutation(np.arange(S) % 3), L)  # (T,)
    words = np.stack([rng.dirichlet(np.full(V, 0.8)) for _ in range(3)]) * 0.7 + 0.3 / V  # (3, V)
    token = np.concatenate([rng.choice(V, size=L, p=words[c]) for c in domain[::L]])  # (T,)
    of_token, of_both = rng.permutation(np.arange(V) % N), rng.integers(N, size=(3, V))
    strays = rng.integers(N, size=(2, S * L))  # (2, T)
    first = np.where(rng.random(S * L) < 0.8, of_token[token], strays[0])
    last = np.where(rng.random(S * L) < 0.5, of_both[domain, token], strays[1])
    hashed = rng.permutation(np.arange(V) % N)[token]
    return {"domain": domain, "token": token, "sequence": np.repeat(np.arange(S), L),
            **dict(zip(ROUTERS, (hashed, first, last), strict=True))}  # fmt: skip


@cache
def results() -> dict[str, Any]:
    """Return what the exercise prints, three seeds each: information above its null, use, losses, saturation."""
    found: dict[str, Any] = {name: {"domain": [], "given token": []} for name in ROUTERS}
    for seed in range(3):
        data = planted(np.random.default_rng(seed))
        for name in ROUTERS:
            for measure, given in (("domain", None), ("given token", data["token"])):
                found[name][measure].append(above_null(data, name, given))
    rng = np.random.default_rng(6)
    found["use of the code expert"] = (0.62 + 0.03 * rng.normal(size=3)).tolist()  # share of code's tokens, k/N = 0.25
    found["rise without it"] = {
        domain: (rise + 0.02 * rng.normal(size=3)).tolist()
        for domain, rise in zip(DOMAINS, (0.31, 0.14, 0.05), strict=True)
    }
    found["saturation at 10 %"] = (0.79 + 0.02 * rng.normal(size=3)).tolist()
    return found


def above_null(data: dict[str, np.ndarray], router: str, given: np.ndarray | None) -> float:
    """Return the information about the domain above its null, in bits; given the token, if there is one."""
    a, b = data["domain"], data[router]
    value = metrics.mutual_information(a, b, given, base=2)
    null = metrics.permutation_null(
        a, b, data["sequence"], given, draws=40, rng=0, base=2, within_given=given is not None
    )
    return metrics.excess(value, null)


CONCLUSION = ("B", "E", "H")
OVERCLAIMS = {
    "A": "The number is real, but look one column further: given the token, hardly anything is left. And the hash router, which knows nothing but the token, tells as much about the domain. The experts may have specialised in tokens; of domains this shows nothing.",
    "C": "The row of the expert that code uses most shows use, and use is not effect. When it is off, the loss of prose rises more than that of code.",
    "D": "Saturation compares which experts a router *selects*. What the experts compute may change until the last step: no column measures it.",
    "F": "No untrained model is in the table. It may tell something beyond the token too: its last layer sees the context through attention. The hash router is another baseline; it sees no context at all.",
    "G": "Beyond the token there is more than meaning: position, line breaks, the tokens just before. Bits about the domain do not say which of these carries them.",
    "I": "One configuration, one collection of texts, three seeds. Published models differ on just this, so other models need their own table.",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ConclusionQuestion(VariableQuestion):
    """Three letters; every claim among them that the table does not allow is explained."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Return the answer as plain data; a set becomes a list."""
        return {"value": plain(sorted(map(str, answer)) if isinstance(answer, (set, frozenset)) else answer)}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Explain all letters that are over-claims at once; then say how many are missing."""
        letters = letters_in(reply["value"])
        if letters is None:
            return Verdict(False, f"Expected three letters from A to I, as in ['A', 'B', 'C']. Came {described(reply['value'])}.")  # fmt: skip
        wrong = [letter for letter in letters if letter in OVERCLAIMS]
        if wrong:
            lines = [f"{letter} claims too much. {OVERCLAIMS[letter]}" for letter in wrong]
            return Verdict(False, "\n".join(lines), wrong[0])
        missing = len(CONCLUSION) - len(letters)
        return Verdict(
            not missing,
            f"What you have is allowed; of three different letters, {missing} more to find." if missing else "",
        )


def letters_in(value: Any) -> list[str] | None:
    """Return up to three different letters from A to I, in order; None where there is anything else."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
        return None
    letters = sorted({sign for sign in "".join(listed).upper() if not (sign.isspace() or sign in ",;")})
    known = set(CONCLUSION) | set(OVERCLAIMS)
    return letters if 0 < len(letters) <= len(CONCLUSION) and set(letters) <= known else None


def described(value: Any) -> str:
    """Describe an answer that is not three letters; letters are shown."""
    if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
        return ", ".join(map(show, value[:12]))
    return show(value)


CLAIMS = ConclusionQuestion(
    id="11.6",
    title="Three sentences that the data allow",
    kind="find the bug",
    points=2,
    minutes=7,
    difficulty="medium",
    hints=(
        "For every claim find the row and the column that it speaks of, and the baseline beside it. Some claims speak of something that has no row.",
        "Three traps: a number that a router of tokens alone reaches too, a step from use or selection to effect, and a word that is wider than what was measured.",
    ),
    idea="A conclusion names what was measured, against which baseline, in which model. Whatever it adds to that, such as meaning, cause or other models, needs a measurement of its own.",
    answer="my_conclusion",
)  # fmt: skip

QUESTIONS = (TABLE, NULL, CONDITIONAL, SATURATION, ABLATION, CLAIMS)
