"""Question 11.1: the domain table."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import metrics
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree, is_floats
from moe_lessons.checks.verdicts import by_test, by_value


def table_cases(rng: np.random.Generator) -> list[tuple]:
    """Domains of unequal size, in mixed order; experts that nobody has, twice the last among them. (selected, domain, N).

    Where everybody is used, domain 0 likes the last one: who leaves it out has another number. The first token is never
    of domain 0: who takes the domains as they come has another order.
    """
    cases = []
    for sizes, k, N in (((6, 3, 4), 2, 6), ((5, 2), 3, 7), ((3, 4, 2, 5), 2, 5)):
        domain = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))  # (T,)
        domain = np.roll(domain, -int((domain > 0).argmax()))
        used = np.delete(np.arange(N - 1), 1) if N > 5 else np.arange(N)  # E2 and the last are idle, or none
        wish = rng.random((len(sizes), used.size)) + np.eye(len(sizes), used.size)  # (D, used)
        wish[0, -1] += 1
        noisy = wish[domain] + 0.4 * rng.gumbel(size=(domain.size, used.size))  # (T, used)
        cases.append((used[np.argsort(-noisy, axis=1)[:, :k]], domain, N))
    return cases


def of_table(wrong: Callable) -> Callable:
    """Return the function of (selected, domain, N) that is wrong(counts (D, N), tokens of each domain (D, 1), k)."""

    def answer(selected: np.ndarray, domain: np.ndarray, N: int) -> np.ndarray:
        n = np.bincount(domain)[:, None]  # (D, 1)
        with np.errstate(all="ignore"):
            return wrong(n * metrics.domain_specialisation(selected, domain, N), n, selected.shape[1])

    return answer


def in_order_of_size(table: np.ndarray) -> np.ndarray:
    """Return the rows of a table (D, N) in an order that does not depend on the one they are in."""
    return table[np.lexsort(np.round(table, 4).T)]


def in_other_rows(value: Any, selected: np.ndarray, domain: np.ndarray, N: int) -> bool:
    """Tell whether a table has the right rows, in whatever order."""
    right = metrics.domain_specialisation(selected, domain, N)  # (D, N)
    return is_floats(value, right.shape) and agree(in_order_of_size(value), in_order_of_size(right))


def by_rank(weight: Callable[[int, int], float]) -> Callable:
    """Return the function of (selected, domain, N) in which choice j of k counts weight(j, k)."""

    def answer(selected: np.ndarray, domain: np.ndarray, N: int) -> np.ndarray:
        k = selected.shape[1]
        of_choices = [weight(j, k) * metrics.domain_specialisation(selected[:, [j]], domain, N) for j in range(k)]
        return np.sum(of_choices, axis=0)

    return answer


def in_equal_blocks(selected: np.ndarray, domain: np.ndarray, N: int) -> np.ndarray:
    """Return the table if the tokens came domain by domain, as many for each. (D, N)."""
    blocks = np.array_split(selected, domain.max() + 1)
    return np.stack([np.bincount(block.ravel(), minlength=N) / len(block) for block in blocks])


def over_use(c: np.ndarray, n: np.ndarray, k: int) -> np.ndarray:
    """Return the shares relative to the experts' shares of all tokens; NaN where an expert has none. (D, N)."""
    return c / n / (c.sum(axis=0) / n.sum())


def column_shares(c: np.ndarray, n: np.ndarray, k: int) -> np.ndarray:
    """Return the shares divided by their sum over the domains; NaN where an expert has no token. (D, N)."""
    return c / n / (c / n).sum(axis=0)


TABLE = FunctionQuestion(
    **about("11.1", "The domain table", "write it", "easy", points=1, minutes=5),
    hints=(
        "A token has k experts and is counted for each of them: in a table of counts (D, N) every token adds k ones, all in the row of its domain. What is the share of a domain's *tokens*?",
        "`(selected == i).any(axis=1)` says which tokens have expert i. The mean of that over the tokens with `domain == c` is the entry of domain c and expert i. (Or `np.add.at` on zeros of shape (D, N), at rows `domain[:, None]` and columns `selected`; then divide each row by its number of tokens.)",
    ),
    idea="A row sums to k, because every token has k experts, so the baseline of an entry is k/N; and since the row is divided by its own tokens, a small domain counts as much as a large one.",
    takeaway="Before reading a table of experts by domain, ask what a router that knows nothing would show: k/N in every place.",
    answer="my_domain_table",
    parameters=("selected", "domain", "num_experts"),
    stands_for=("metrics.domain_specialisation", "metrics.vocabulary_specialisation"),
    when_raised="selected is (T, k), domain (T,): one label for each row of selected. domain[:, None] is (T, 1) and fits beside it.",
    cases=table_cases,
    reference=metrics.domain_specialisation,
    mistakes=by_value(
        "divided by k: Your rows sum to 1: you divided by the domain's assignments, k for each token. Asked is the share of its *tokens* that have the expert, so a row sums to k.",
        of_table(lambda c, n, k: c / (n * k)),
        "of the expert's tokens: You divided by the expert's tokens: which share of them is from this domain. Asked is the other direction, the share of the domain's tokens. Yours mixes in how large the domains are: a large one leads for most experts.",
        (of_table(lambda c, n, k: c / c.sum(axis=0)), of_table(lambda c, n, k: c / np.maximum(c.sum(axis=0), 1))),
        "first choice only: You looked at the first choice alone. An expert counts wherever it stands among the k of a token. (Papers do report the first choice too; then the baseline is 1/N.)",
        lambda s, domain, N: metrics.domain_specialisation(s[:, :1], domain, N),
        "first choice only, of all tokens: Two things. You looked at the first choice alone: an expert counts wherever it stands among the k of a token. And you divided by all T tokens: divide each row by the tokens of its own domain.",
        lambda s, domain, N: np.bincount(domain)[:, None] * metrics.domain_specialisation(s[:, :1], domain, N) / len(s),
        "last choice only: You looked at the last choice alone. An expert counts wherever it stands among the k of a token.",
        lambda s, domain, N: metrics.domain_specialisation(s[:, -1:], domain, N),
        "two choices only: You looked at the first two choices of each token. Here k is 3 in a case: `selected.shape[1]`. An expert counts wherever it stands among the k.",
        lambda s, domain, N: metrics.domain_specialisation(s[:, :2], domain, N),
        "weighed by rank: Later choices count less with you. Every one of a token's k experts counts 1, the last choice as much as the first.",
        (
            by_rank(lambda j, k: 1 / (j + 1)),
            by_rank(lambda j, k: (k - j) / k),
            by_rank(lambda j, k: k - j),
            by_rank(lambda j, k: 0.5**j),
        ),
        "counts: These are counts. Divide each row by the number of that domain's tokens: else the domain with the most text looks the most specialised.",
        of_table(lambda c, n, k: c),
        "added once: Every token of a domain that has the expert counts, but here they add 1 all together: `table[rows, columns] += 1` writes a repeated place once. `np.add.at(table, (rows, columns), 1)` adds every time.",
        of_table(lambda c, n, k: (c > 0) / n),
        "whether, not how many: Yours is 1 wherever any token of the domain has the expert. Asked is the *share* of its tokens that have it.",
        of_table(lambda c, n, k: c > 0),
        "of all tokens: You divided by all T tokens. Divide each row by the tokens of its own domain: else a small domain seems to use no expert.",
        of_table(lambda c, n, k: c / n.sum()),
        "of all assignments: You divided by all T·k assignments. Divide each row by the tokens of its own domain.",
        of_table(lambda c, n, k: c / c.sum()),
        "columns sum to 1: You divided each column by its sum, so the domains share an expert among them. Asked is the share of a domain's tokens: each row stands by itself, and sums to k.",
        (of_table(column_shares), of_table(lambda *counts: np.nan_to_num(column_shares(*counts)))),
        "all domains together: This is one row: each expert's share of *all* tokens. Asked is a row for each domain, of its own tokens.",
        of_table(lambda c, n, k: c.sum(axis=0) / n.sum()),
        "over the baseline: You divided by the baseline k/N. That is a good next step, but asked is the share itself.",
        of_table(lambda c, n, k: c / n / (k / c.shape[1])),
        "less the baseline: You took off the baseline k/N. That is a good next step, but asked is the share itself.",
        of_table(lambda c, n, k: c / n - k / c.shape[1]),
        "less the expert's use: You took off the mean of the domains, or the expert's share of all tokens. That says which domain likes the expert more than the others do. Asked is the share itself, whose baseline is k/N.",
        (
            of_table(lambda c, n, k: c / n - (c / n).mean(axis=0)),
            of_table(lambda c, n, k: c / n - c.sum(axis=0) / n.sum()),
        ),
        "over the expert's use: You compare with the expert's share of all tokens. That says which domain likes the expert more than the others do. Asked is the share itself, whose baseline is k/N.",
        (of_table(over_use), of_table(lambda *counts: np.nan_to_num(over_use(*counts)))),
        "by T/D: You divided every row by the same number, T/D. The domains are not equally large: take each row's own tokens.",
        of_table(lambda c, n, k: c / n.mean()),
        "in percent: These are percentages. Return shares, from 0 to 1.",
        of_table(lambda c, n, k: 100 * c / n),
        "idle experts left out: The last expert has no token here, and its column is missing. A table of N experts has N columns: give `np.bincount` its `minlength`, or count into zeros of shape (D, N).",
        lambda s, domain, N: metrics.domain_specialisation(s, domain, N)[:, : s.max() + 1],
        "idle experts left out: An expert without tokens has no column in yours. A table of N experts has N columns, zeros among them.",
        lambda s, domain, N: metrics.domain_specialisation(s, domain, N)[:, np.unique(s)],
        "numbered from 1: Your columns are one place off. Experts are numbered from 0: the first column is that of `selected == 0`.",
        (
            of_table(lambda c, n, k: np.roll(c / n, -1, axis=1)),
            of_table(lambda c, n, k: np.pad(c / n, ((0, 0), (0, 1)))[:, 1:]),
        ),
        "E1 left out: Your first column is 0. Experts are numbered from 0, so `range(num_experts)` goes over all of them.",
        of_table(lambda c, n, k: np.where(np.arange(c.shape[1]) > 0, c / n, 0)),
        "last left out: Your last column is 0. Experts are numbered from 0 to N − 1: `range(num_experts)` goes over all of them.",
        of_table(lambda c, n, k: np.where(np.arange(c.shape[1]) < c.shape[1] - 1, c / n, 0)),
        "tiled: The labels went to the wrong tokens. `selected.ravel()` has the k choices of a token in a row, so its label must come k times in a row: `np.repeat(domain, k)`, not `np.tile`.",
        lambda s, domain, N: (
            metrics.domain_specialisation(s.reshape(-1, 1), np.tile(domain, s.shape[1]), N) * s.shape[1]
        ),
        "equal blocks: You cut the tokens into blocks of the same size, one for each domain. The domains are in mixed order, and not equally large: `selected[domain == c]` are the tokens of domain c.",
        in_equal_blocks,
        "labels out of order: You took the tokens as if those of domain 0 came first, then those of domain 1. They are in mixed order: `selected[domain == c]` are those of domain c.",
        lambda s, domain, N: metrics.domain_specialisation(s, np.sort(domain), N),
        "transposed: The numbers are right, but your table is (N, D). Domains are rows, experts columns: (D, N).",
        of_table(lambda c, n, k: (c / n).T),
    )
    + by_test(
        "rows of other domains: The right rows, in another order. Row c must be that of domain c, from 0 to D − 1, whatever comes first in `domain`.",
        in_other_rows,
        "all for any: Your table is 0 everywhere. A token has an expert if *any* of its k choices is that one; `all` asks that all k are.",
        lambda value, selected, domain, N: is_floats(value, (domain.max() + 1, N)) and not value.any(),
    ),
)
