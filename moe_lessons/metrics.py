"""What a router did, in numbers: entropy, loads, mutual information with its null, and the measures of OLMoE. numpy.

Information is in nats; `base=2` gives bits. Letters as in `routing`: T tokens, N experts, k active experts a token.
A selection holds expert indices from 0, (…, k), no expert twice in a row; for one expert a token give (T, 1). Labels
(domain, token, sequence, …) are integers or strings, one a token, (T,).
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.support.validation import as_array, float_array, number_within, positive_number, refuse, whole_number

SUM_TOLERANCE = 1e-3  # probabilities rounded to three digits, or computed in bfloat16, still pass
MOST_CELLS = 50_000_000  # of a count table: more would fill the memory

Rng = np.random.Generator | int | None  # as `np.random.default_rng` takes it: with an int the draws are always the same


# --- entropy and loads ---------------------------------------------------------------------------------------------


def entropy(p: Any, base: float = np.e, axis: int = -1) -> Any:
    """Return −Σ p log p along `axis`, with 0 log 0 = 0: from 0 (one expert has all) to log N (all alike).

    p: (…, N), probabilities that sum to 1 along `axis`, to 0.001. base: of the logarithm, e for nats, 2 for bits.
    Returns (…) in float64, a number for one distribution. Raises ValueError for anything else.
    Source: Shannon 1948, A Mathematical Theory of Communication, section 6.
    """
    unit = _unit(base)
    p = _at_least_zero("p", p, "a probability, at least 0")
    whole_number("axis", axis, least=-p.ndim, most=p.ndim - 1)
    total = p.sum(axis=axis)  # (…)
    if p.size == 0 or np.abs(total - 1).max() > SUM_TOLERANCE:
        raise refuse("p", p, f"probabilities that sum to 1 along axis {axis}")
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=axis) / unit + 0.0  # + 0.0 turns −0 into 0


def expert_load(selected: Any, num_experts: int, mask: Any = None) -> np.ndarray:
    """Return each expert's share of the assignments, (N,): it sums to 1, and balance is 1/N for every k.

    selected: (…, k). mask: booleans, (…) with False for padding, or (…, k) with False for a dropped assignment.
    Raises ValueError for bad indices, another shape of mask, and when no assignment is left.
    """
    chosen = _selection("selected", selected, num_experts)  # (T, k)
    shape = as_array("selected", selected).shape
    counted = chosen.ravel() if mask is None else chosen[_assignment_mask(mask, shape)]  # (assignments,)
    return np.bincount(counted, minlength=num_experts) / counted.size


def coefficient_of_variation(load: Any) -> Any:
    """Return standard deviation / mean of the loads: 0 at balance, √(N − 1) when one expert has all.

    load: (…, N), counts or shares, one layer in each row. Returns (…). The deviation divides by N, not by N − 1.
    Raises ValueError for a negative load or a row of zeros. Source: Shazeer et al. 2017 (arXiv:1701.06538), Eq. 7.
    """
    load = _loads(load)
    return load.std(axis=-1) / load.mean(axis=-1)


def max_violation(load: Any) -> Any:
    """Return MaxVio, (largest load − mean load) / mean load: 0 at balance, N − 1 when one expert has all.

    load: (…, N), counts or shares, one layer in each row. Returns (…).
    Raises ValueError for a negative load or a row of zeros. Source: Wang et al. 2024 (arXiv:2408.15664).
    """
    load = _loads(load)
    return load.max(axis=-1) / load.mean(axis=-1) - 1


def dead_experts(load: Any, below: float = 0.01) -> np.ndarray:
    """Return the indices of experts with less than `below` times the mean load, that is less than below/N of it all.

    load: (N,), counts or shares. Returns (dead,), ascending. The threshold is relative to the fair share: 1 % of all
    assignments is little for one of 8 experts, and two thirds of the fair share for one of 64.
    Raises ValueError for a negative load, zeros only, more than one axis, or a threshold not above 0.
    """
    load = _loads(load)
    if load.ndim != 1:
        raise refuse("load.shape", load.shape, "(N,), one layer")
    return np.flatnonzero(load < positive_number("below", below) * load.mean())


# --- mutual information --------------------------------------------------------------------------------------------


def per_assignment(selected: Any, *labels: Any) -> tuple[np.ndarray, ...]:
    """Return the experts of all assignments (T·k,) and every label (T,) repeated k times.

    With k experts a token each assignment counts as one sample of "expert": the information is that about one of the
    k drawn at random, not about the set. The k samples of a token are dependent, so give `sequence` as a label too.
    selected: (T, k), or (S, L, k) with labels (S, L). Raises ValueError for another number of labels.
    """
    chosen = _selection("selected", selected)  # (T, k)
    flat = [_one_a_token(f"labels[{index}]", label, selected) for index, label in enumerate(labels)]
    return chosen.ravel(), *(np.repeat(label, chosen.shape[1]) for label in flat)


def mutual_information(a: Any, b: Any, given: Any = None, base: float = np.e) -> float:
    """Return I(a; b), or I(a; b | given) = Σ_c p(c) I(a; b | c), from the counts of labels (the plug-in estimate).

    It is biased upwards: independent labels give more than 0 in a finite sample, the more so the more kinds of labels
    and the fewer independent samples there are. `permutation_null` shows how much; `excess` takes it off. Textbook
    corrections, (A − 1)(B − 1)/2T, count the tokens as independent, which the tokens of one sequence are not.
    a, b, given: (T,). Raises ValueError for other shapes, labels that are neither integers nor strings, a base ≤ 1.
    Source: Cover and Thomas 2006, Elements of Information Theory, Eq. 2.28 and 2.60.
    """
    unit = _unit(base)
    a, b, c = _codes(a=a, b=b, given=given)
    return _information(a, b, c) / unit


def permutation_null(
    a: Any, b: Any, sequence: Any, given: Any = None, draws: int = 200, rng: Rng = 0, base: float = np.e,
    within_given: bool = False,
) -> np.ndarray:  # fmt: skip
    """Return what `mutual_information` gives when `a` is dealt out anew over whole sequences, (draws,).

    The tokens of a sequence are not independent, so shuffling tokens makes a null that is too low and far too narrow.
    Here a sequence moves as a whole. Where `a` is constant in every sequence (a domain), the sequences' labels are
    permuted: right if without a tie the sequences are exchangeable, their lengths included. Where `a` varies, the
    sequences of equal length exchange their blocks of `a`, place by place; one of unique length keeps its own.

    With `given` (the token) there are two nulls. The first cuts the tie of `a` to `given` too: "the domain says nothing
    about the sequence". Where domains use different tokens it lies too high: p values are cautious, but the `excess`
    is far too small, even below 0. within_given=True keeps who uses what: for each value of `given` it permutes the
    labels of the sequences that hold it equally often. Its mean is the bias to take off (somewhat too much,
    since a sequence without a partner keeps its label). It is too narrow for p values, as the values of `given` move
    apart from each other: judge that excess by its spread over seeds.

    a, b, sequence, given: (T,), the tokens of a sequence in order. rng: a generator or a seed.
    Raises ValueError as `mutual_information`, for draws < 1, where nothing can move, and for within_given without
    `given` or with an `a` that varies in a sequence. Source: whole-block exchangeability, Winkler et al. 2014,
    Permutation inference for the general linear model (NeuroImage 92).
    """
    unit = _unit(base)
    whole_number("draws", draws, least=1, most=1_000_000)
    if within_given and given is None:
        raise refuse("within_given", within_given, "False where no `given` is")
    coded = _codes(a=a, b=b, given=given, sequence=sequence)
    order = np.argsort(coded[-1], kind="stable")
    a, b, c, s = (codes[order] for codes in coded)  # (T,) each, sequence after sequence
    relabelled = _shuffles(a, s, c if within_given else None, np.random.default_rng(rng))
    return np.array([_information(next(relabelled), b, c) for _ in range(draws)]) / unit


def excess(value: float, null: Any) -> float:
    """Return value − mean(null): the information above the bias of the estimate. It can be below 0.

    value: of `mutual_information`; null: (draws,), of `permutation_null` with the same arguments, the base included.
    Raises ValueError for a value that is no finite number, and a null of another shape or without draws.
    """
    return number_within("value", value, -np.inf, np.inf) - float(_null(null).mean())


def p_value(value: float, null: Any) -> float:
    """Return how often the null reaches `value`, itself counted in: (1 + #{null ≥ value}) / (1 + draws), never 0.

    null: (draws,). Differences below 1e-12 are rounding. Raises ValueError as `excess` does: NaN would look like p = 0.
    Source: Phipson and Smyth 2010 (arXiv:1603.05766).
    """
    null = _null(null)
    reached = null >= number_within("value", value, -np.inf, np.inf) - 1e-12  # (draws,)
    return float((1 + reached.sum()) / (1 + len(null)))


def bootstrap_interval(
    values: Any, statistic: Callable[[np.ndarray], Any] = np.mean, level: float = 0.95, draws: int = 1000, rng: Rng = 0
) -> tuple[float, float]:
    """Return (low, high), the percentile interval of `statistic` when sequences are drawn again with repetition.

    values: (S, …), one row a sequence: a number, or all that `statistic` needs. statistic: (S, …) -> number.
    For means, shares and differences. Not for mutual information: drawing again adds the plug-in bias a second time.
    Raises ValueError for fewer than two sequences, draws < 1 or a level outside (0, 1).
    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    values = float_array("values", values)
    if len(values) < 2:
        raise refuse("values", values, "at least two sequences")
    if positive_number("level", level) >= 1:
        raise refuse("level", level, "a number between 0 and 1")
    whole_number("draws", draws, least=1, most=1_000_000)
    rows = np.random.default_rng(rng).integers(len(values), size=(draws, len(values)))  # (draws, S)
    drawn = [float(statistic(values[row])) for row in rows]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


# --- how a router routes -------------------------------------------------------------------------------------------


class Repetition(NamedTuple):
    """How often two neighbours share their first choice, and two baselines for it.

    uniform: 1/N, as papers report it. independent: Σ load², for tokens that draw from the measured loads without
    looking at each other; never below 1/N, so uneven loads alone lift `share` above `uniform`.
    """

    share: float
    uniform: float
    independent: float


def saturation(selected: Any, final: Any) -> float:
    """Return the share of a checkpoint's choices that are also in the final ones: mean |selected ∩ final| / k.

    selected, final: (…, k), the same tokens in the same layer. Returns a number from 0 to 1; two independent balanced
    selections agree on k/N. Raises ValueError for different shapes or bad indices.
    Source: Muennighoff et al. 2024 (OLMoE, arXiv:2409.02060), Eq. 5.
    """
    shape, last = as_array("selected", selected).shape, as_array("final", final).shape
    if shape != last:
        raise refuse("final.shape", last, f"the shape of selected, {shape}")
    now, then = _selection("selected", selected), _selection("final", final)  # (T, k)
    return float((now[:, :, None] == then[:, None, :]).any(axis=-1).mean())


def co_activation(selected: Any, num_experts: int) -> np.ndarray:
    """Return (N, N): row i holds N(i and j) / N(i), the share of expert i's tokens that expert j serves too.

    The diagonal is 1; the row of an expert without any token is NaN. Not symmetric where loads differ. Baseline: with
    even loads and no preference (k − 1)/(N − 1) off the diagonal. selected: (…, k).
    Source: Muennighoff et al. 2024 (OLMoE, arXiv:2409.02060), Eq. 6.
    """
    chosen = _selection("selected", selected, num_experts)  # (T, k)
    serves = (chosen[:, :, None] == np.arange(num_experts)).any(axis=1).astype(float)  # (T, N)
    both = serves.T @ serves  # (N, N), counts
    own = np.diag(both)[:, None]  # (N, 1)
    return np.divide(both, own, out=np.full_like(both, np.nan), where=own > 0)


def consecutive_repetition(first_choice: Any, sequence: Any, num_experts: int) -> Repetition:
    """Return how often a token's first choice is that of the token before it, with baselines (see `Repetition`).

    first_choice, sequence: (T,), the tokens of a sequence in order; the last token of one and the first of the next
    make no pair. Raises ValueError for bad indices, other lengths, and where no sequence has two tokens.
    Source: Jiang et al. 2024 (Mixtral, arXiv:2401.04088), Table 5.
    """
    _, s = _codes(first_choice=first_choice, sequence=sequence)
    choices = as_array("first_choice", first_choice)  # (T,)
    first = _selection("first_choice", choices[:, None], num_experts)[:, 0]  # (T,)
    order = np.argsort(s, kind="stable")
    first, s = first[order], s[order]
    neighbours = s[1:] == s[:-1]  # (T − 1,)
    if not neighbours.any():
        raise refuse("sequence", sequence, "a sequence with at least two tokens")
    share = (first[1:] == first[:-1])[neighbours].mean()
    load = np.bincount(first) / len(first)
    return Repetition(float(share), 1 / num_experts, float(load @ load))


def domain_specialisation(selected: Any, domain: Any, num_experts: int) -> np.ndarray:
    """Return (domains, N): the share of a domain's tokens that have expert i among their k. Baseline: k/N.

    A row sums to k; rows in the order of np.unique(domain). selected: (T, k) or (S, L, k), domain: as many labels.
    Source: Muennighoff et al. 2024 (OLMoE, arXiv:2409.02060), Eq. 7.
    """
    return _share_by_label(selected, "domain", domain, num_experts)


def vocabulary_specialisation(selected: Any, token: Any, num_experts: int) -> np.ndarray:
    """Return (tokens, N): the share of a token's occurrences that have expert i among their k. Baseline: k/N.

    A row sums to k; rows in the order of np.unique(token). The paper's own numbers use the first choice alone: give
    selected[..., :1] for them. Tokens that occur once are always "specialised": set a least count first.
    selected: (T, k) or (S, L, k), token: as many labels.
    Source: Muennighoff et al. 2024 (OLMoE, arXiv:2409.02060), section 5.4.
    """
    return _share_by_label(selected, "token", token, num_experts)


# --- the parts -----------------------------------------------------------------------------------------------------


def _information(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Return I(a; b | c) in nats from codes (T,). A cell where nothing is left to know adds an exact 0."""
    A, B, C = (int(codes.max()) + 1 for codes in (a, b, c))
    n = np.bincount((c * A + a) * B + b, minlength=A * B * C).reshape(C, A, B).astype(float)  # (C, A, B)
    n_ca, n_cb = n.sum(axis=2), n.sum(axis=1)  # (C, A), (C, B)
    i, j, m = np.nonzero(n)
    ratio = n[i, j, m] * n_ca.sum(axis=1)[i] / (n_ca[i, j] * n_cb[i, m])  # (cells that occur,)
    return max(0.0, float(n[i, j, m] @ np.log(ratio)) / len(a))


def _shuffles(a: np.ndarray, s: np.ndarray, given: np.ndarray | None, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield `a` (T,) dealt out anew, for ever. a, s (the sequence), given: (T,), sequence after sequence."""
    start = np.searchsorted(s, np.arange(s[-1] + 1))  # (S,)
    if (a == a[start][s]).all():
        return _moved_labels(a, s, given, rng)
    if given is not None:
        raise refuse("within_given", True, "False where `a` varies within a sequence")
    return _moved_blocks(a, s, start, rng)


def _moved_labels(a: np.ndarray, s: np.ndarray, given: Any, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Permute the labels of all sequences; or, for each value of `given`, of those that hold it equally often."""
    unit = s if given is None else given * (s.max() + 1) + s  # (T,), what gets a label of its own
    _, first, unit_of, size = np.unique(unit, return_index=True, return_inverse=True, return_counts=True)
    group = np.zeros_like(size) if given is None else given[first] * (size.max() + 1) + size  # (units,)
    order = np.argsort(group, kind="stable")
    group, label, unit_of = group[order], a[first][order], np.argsort(order)[unit_of]
    if len(np.unique(group)) == len(group):
        raise refuse("sequence", s, "at least two sequences (that hold a value of `given` equally often)")
    while True:
        yield label[_shuffle_within(group, rng)][unit_of]


def _moved_blocks(a: np.ndarray, s: np.ndarray, start: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Let sequences of equal length exchange their blocks of `a`."""
    lengths, place = np.bincount(s), np.arange(len(a)) - start[s]  # (S,), (T,)
    if len(np.unique(lengths)) == len(lengths):
        raise refuse("sequence", s, "at least two sequences of the same length, since `a` varies within them")
    by_length = np.argsort(lengths, kind="stable")  # (S,)
    source = np.empty_like(by_length)
    while True:
        source[by_length] = by_length[_shuffle_within(lengths[by_length], rng)]
        yield a[start[source[s]] + place]


def _shuffle_within(group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return indices that permute the members of every group. group: ascending whole numbers."""
    return np.argsort(group + rng.random(len(group)))


def _share_by_label(selected: Any, name: str, labels: Any, num_experts: int) -> np.ndarray:
    """Return (labels, N): the share of each label's tokens that have expert i among their k."""
    chosen = _selection("selected", selected, num_experts)  # (T, k)
    (codes,) = _codes(**{name: _one_a_token(name, labels, selected)})
    cells = (codes[:, None] * num_experts + chosen).ravel()  # (T·k,)
    counts = np.bincount(cells, minlength=(codes.max() + 1) * num_experts)
    return counts.reshape(-1, num_experts) / np.bincount(codes)[:, None]


# --- checks of arguments -------------------------------------------------------------------------------------------


def _unit(base: float) -> float:
    """Return ln base: so many nats are one unit."""
    if positive_number("base", base) <= 1:
        raise refuse("base", base, "a number above 1")
    return float(np.log(base))


def _at_least_zero(name: str, value: Any, expected: str) -> np.ndarray:
    """Return `value` as float64, every entry finite and not below 0."""
    return float_array(name, value, allow=lambda a: (a >= 0) & np.isfinite(a), expected=expected).astype(np.float64)


def _loads(load: Any) -> np.ndarray:
    """Return loads (…, N) as float64."""
    load = _at_least_zero("load", load, "a count or share, at least 0")
    if load.size == 0 or (load.sum(axis=-1) == 0).any():
        raise refuse("load", load, "at least one assignment in every row")
    return load


def _selection(name: str, selected: Any, num_experts: int | None = None) -> np.ndarray:
    """Return expert indices as (T, k) int64: from 0 to N − 1 (any, if N is not given), each once in a row."""
    array = as_array(name, selected)
    if array.dtype.kind not in "iu" or array.ndim < 2 or array.size == 0:
        raise refuse(name, selected, "whole numbers, (…, k), with at least one token; (T, 1) for one expert a token")
    chosen = array.reshape(-1, array.shape[-1]).astype(np.int64)  # (T, k)
    most = np.inf if num_experts is None else whole_number("num_experts", num_experts, least=1, most=1_000_000) - 1
    if chosen.min() < 0 or chosen.max() > most:
        raise refuse(name, selected, f"experts from 0 to {most}")
    ordered = np.sort(chosen, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise refuse(name, selected, "every expert at most once in a row")
    return chosen


def _one_a_token(name: str, labels: Any, selected: Any) -> np.ndarray:
    """Return labels (T,) from as many labels, or from (...) beside `selected` (..., k), and in its order."""
    array, lead = as_array(name, labels), as_array("selected", selected).shape[:-1]
    if array.shape not in (lead, (math.prod(lead),)):
        raise refuse(f"{name}.shape", array.shape, f"{lead}: labels, one a token")
    return array.ravel()


def _assignment_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return booleans (T, k) from a mask (…) or (…, k), where `shape` is (…, k)."""
    array = as_array("mask", mask)
    if array.dtype != bool or array.shape not in (shape, shape[:-1]) or not array.any():
        raise refuse("mask", mask, f"booleans of shape {shape[:-1]} or {shape}, one of them True")
    return np.broadcast_to(array.reshape((*shape[:-1], -1)), shape).reshape(-1, shape[-1])


def _codes(**labels: Any) -> list[np.ndarray]:
    """Return every array of labels (T,) as codes 0, 1, …; None stands for one label all over."""
    length, cells, coded = None, 1, []
    for name, label in labels.items():
        array = np.zeros(length or 0, dtype=int) if label is None else as_array(name, label)
        if array.ndim != 1 or array.dtype.kind not in "biuUST" or array.size == 0:
            raise refuse(name, label, "integers or strings, (T,), with at least one token")
        length = array.size if length is None else length
        if array.size != length:
            raise refuse(name, label, f"{length} labels, as many as {next(iter(labels))} has")
        coded.append(np.unique(array, return_inverse=True)[1])
        cells *= int(coded[-1].max()) + 1 if name != "sequence" else 1
    if cells > MOST_CELLS:
        raise refuse(f"combinations of {', '.join(labels)}", cells, f"at most {MOST_CELLS:,}; fewer kinds of labels")
    return coded


def _null(null: Any) -> np.ndarray:
    """Return a null distribution (draws,)."""
    null = float_array("null", null)
    if null.ndim != 1 or null.size == 0:
        raise refuse("null.shape", null.shape, "(draws,)")
    return null
