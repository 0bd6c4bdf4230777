"""How many experts a token meets: by its frequency, and by its use, for lesson 11b.

Letters: S sequences, L tokens each, T = S·L of them, k active experts, N experts, G groups, V tokens.
"""

import numpy as np

from moe_lessons.corpus import languages
from moe_lessons.support.validation import refuse, whole_number

COUNT, SOME = 10, 200  # occurrences of each token that are compared, and the sequences they are taken from
BANDS = {"the 10 most frequent": 10, "rank 11-40": 40, "rank 41-80": 80, "the rest": languages.FORMS}


def different(
    first: np.ndarray, group: np.ndarray, count: int | None = COUNT, rng: int = 0, draws: int = 10
) -> np.ndarray:
    """Return how many different experts are the first choice of a group's tokens, (G,); mean over `draws`.

    first, group: (T,), groups from 0 on. count: of each group so many occurrences, drawn at random; None: all of them.
    nan where there are fewer. Raises ValueError for arrays of different length and a count below 1.
    """
    if np.shape(first) != np.shape(group) or np.ndim(first) != 1:
        raise refuse("first.shape", np.shape(first), f"(T,), as that of group, {np.shape(group)}")
    if count is not None:
        whole_number("count", count, least=1, most=10**6)
    chance, held = np.random.default_rng(rng), np.bincount(group)  # (G,)
    start = held.cumsum() - held  # (G,)
    seen = np.zeros((draws, len(held)))
    for now in seen:
        order = np.argsort(group + chance.random(len(group)))  # (T,), group after group, each in a random order
        g = group[order]
        kept = order if count is None else order[np.arange(len(g)) - start[g] < count]
        now[:] = (counted(group[kept], first[kept], len(held)) > 0).sum(axis=1)
    return np.where(held >= (count or 1), seen.mean(axis=0), np.nan)


def counted(group: np.ndarray, first: np.ndarray, groups: int) -> np.ndarray:
    """Return how often each value of `first` occurs in each group, (G, values)."""
    N = int(first.max()) + 1
    return np.bincount(group * N + first, minlength=groups * N).reshape(groups, N)


def per_token(chosen: np.ndarray, labels: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return how many different first choices a token has: for each band of frequency, and for each use of the tokens
    that are function words in one place and not in another; also in one role, a mean over the roles of that use (a
    role: language, part of speech, and whether it is a whole word or which piece of one). chosen: (S, L, k).

    all: over all its occurrences in SOME sequences. equal: in COUNT of them. null: as equal, with the choices of all
    tokens dealt out anew. tokens: how many tokens are frequent enough in both uses.
    """
    first, token = chosen[:SOME, :, 0].astype(np.int64).ravel(), labels["token"][:SOME].ravel()  # (T,)
    who = {"equal": first, "null": np.random.default_rng(0).permutation(first)}
    use = 2 * token + labels["function"][:SOME].ravel()  # (T,)
    roles, role = np.unique(use * 10**3 + _combined(labels), return_inverse=True)  # (R,), (T,)
    found = _by_frequency(first, token, who)
    found |= _by_use("", {key: different(choices, use) for key, choices in who.items()})
    in_roles = {key: _mean_of_roles(different(choices, role), roles // 10**3) for key, choices in who.items()}
    return found | _by_use(" in one role", in_roles)


def _combined(labels: dict[str, np.ndarray]) -> np.ndarray:
    """Return language, part of speech and piece as one number below 1,000, (T,)."""
    names = ("language", "part", "piece")
    sizes = [len(languages.CLASS_NAMES[name]) for name in names]
    return np.ravel_multi_index([labels[name][:SOME].ravel() for name in names], sizes)


def _by_frequency(first: np.ndarray, token: np.ndarray, who: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return the mean over the tokens of each band. first, token: (T,)."""
    counts = {"all": different(first, token, None, draws=1)}  # (V,) each
    counts |= {key: different(choices, token) for key, choices in who.items()}
    rank = np.argsort(np.argsort(-np.bincount(token, minlength=len(counts["all"])), kind="stable"))  # (V,)
    bands = np.searchsorted(list(BANDS.values()), rank, side="right")  # (V,)
    return {name: {key: _mean(values[bands == i]) for key, values in counts.items()} for i, name in enumerate(BANDS)}


def _by_use(where: str, by_use: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return the mean over tokens as content and as function word. by_use: (2 V,) each."""
    pairs = {key: _pairs(values) for key, values in by_use.items()}
    return {
        f"the same token as {name}{where}": {key: _mean(values[:, i]) for key, values in pairs.items()}
        | {"tokens": len(pairs["equal"])}
        for i, name in enumerate(("content word", "function word"))
    }


def _mean_of_roles(by_role: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Return the mean over the roles of each use that have enough occurrences, (uses,); nan where none has."""
    enough = ~np.isnan(by_role)
    sums, count = (np.bincount(use[enough], w, minlength=use.max() + 1) for w in (by_role[enough], None))
    return np.divide(sums, count, out=np.full(len(count), np.nan), where=count > 0)


def _pairs(by_use: np.ndarray) -> np.ndarray:
    """Return (tokens, 2), as content and as function word, of the tokens that have enough of both."""
    pairs = np.append(by_use, np.full(len(by_use) % 2, np.nan)).reshape(-1, 2)
    return pairs[~np.isnan(pairs).any(axis=1)]


def _mean(values: np.ndarray) -> float:
    return round(float(np.nanmean(values)), 3)
