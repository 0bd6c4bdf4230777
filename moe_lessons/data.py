"""The inputs of the lessons: worked example (01), visualizer's token kinds (04), clustered task (06), domains (08)."""

from collections.abc import Callable
from dataclasses import dataclass
from math import erf, sqrt

import numpy as np

from moe_lessons.support.validation import number_within, one_of, positive_number, refuse, whole_number

Expert = Callable[[np.ndarray], np.ndarray]


def worked_example() -> tuple[np.ndarray, np.ndarray]:
    """Return the token x (3,) and the router matrix W_g (3, 4) of lesson 01; column i is the prototype of expert i."""
    x = np.array([1.0, -0.5, 0.8])
    W_g = np.array(
        [
            [-0.4, 0.6, 0.3, -0.3],
            [0.2, -0.2, 0.2, 0.4],
            [0.4, -0.5, 0.4, 0.3],
        ]
    )
    return x, W_g


def worked_experts() -> tuple[Expert, ...]:
    """Return four experts simple enough to work out by hand, each (d,) -> (d,). Real experts are small networks."""
    return (
        lambda x: 2 * x,  # E1 doubles
        lambda x: x[::-1],  # E2 reverses
        lambda x: np.abs(x),  # E3 drops the signs
        lambda x: np.maximum(x, 0),  # E4 keeps what is positive
    )


EXPERT_NAMES = ("Code", "Math", "Language", "Logic", "Factual")


@dataclass(frozen=True, eq=False)
class TokenKind:
    """One example token: the text it stands in, the token itself, and its vector x (6,)."""

    text: str
    token: str
    x: np.ndarray


def token_kinds() -> dict[str, TokenKind]:
    """Return one example token for each of five kinds: code, maths, language, logic, factual.

    The vectors are planted by us, together with `planted_router`: their products are readable logits. A real vector is
    the hidden state of one token after attention, with thousands of entries.
    """
    return {
        "code": TokenKind("def sort(arr):", "sort", np.array([-2.1, 1.8, 2.3, 1.2, 0.5, 1.5])),
        "maths": TokenKind("the integral of f(x)", "integral", np.array([-1.0, -0.4, 0.3, -1.4, -1.0, 1.2])),
        "language": TokenKind("Bonjour, ça va ?", "Bonjour", np.array([1.3, 0.8, 1.9, -1.2, -2.3, -0.7])),
        "logic": TokenKind("If A then B", "then", np.array([-0.9, 2.2, 2.2, 0.4, 0.9, 0.7])),
        "factual": TokenKind("The capital of France", "capital", np.array([1.0, -1.2, 0.1, -2.2, -2.2, -1.8])),
    }


def planted_router() -> np.ndarray:
    """Return W_g (6, 5), planted by us; column i is the prototype of the expert named EXPERT_NAMES[i].

    With the vectors of `token_kinds` it gives these logits, without ties:

        code      2.8  0.4  0.1  0.8  0.0
        maths     0.2  3.1  0.0  0.6  0.1
        language  0.1  0.2  3.3  0.0  0.3
        logic     0.5  0.9  0.2  2.6  0.1
        factual   0.1  0.2  0.4  0.3  3.0
    """
    return np.array(
        [
            [-1.0, 0.5, 1.5, -0.5, -1.0],
            [-1.0, -1.0, -0.5, 1.0, -1.0],
            [1.0, 1.0, 1.0, 0.0, 1.0],
            [1.0, -1.5, 0.5, -1.5, -0.5],
            [-0.5, 1.0, -0.5, 1.0, 0.5],
            [-0.5, 1.5, 1.0, -0.5, -1.5],
        ]
    )


@dataclass(frozen=True, eq=False)
class Regression:
    """Tokens x (T, d), their targets y (T, d), and the cluster (T,) that each token was drawn from."""

    x: np.ndarray
    y: np.ndarray
    cluster: np.ndarray


def clustered_regression(
    T: int = 16384, d: int = 32, clusters: int = 16, *, own_maps: bool = True, test_T: int = 4096, seed: int = 0,
    power: float = 0.0,
) -> tuple[Regression, Regression]:  # fmt: skip
    """Draw a regression task whose tokens fall into clusters. Returns (train, test), with no token in common.

    The clusters are planted by us: their means are random directions, chosen before any token is drawn. A token is its
    cluster's mean plus half as much noise, scaled to length √d as a norm layer would (so x has root mean square 1). Its
    target is tanh(x A_c), where each cluster c has its own random matrix A_c (d, d). Two controls: `own_maps=False`
    leaves the tokens as they are, but all clusters share one matrix; `clusters=1` is one cloud of tokens with one map.

    T, test_T: tokens to train and to test on. seed: decides means and maps, whatever T and test_T are. power: cluster c
    (from 1) is as frequent as c^-power; with 0 all come alike.
    Raises ValueError for a size that is not a whole number of at least 1 (d: 2), a seed that is none from 0 up,
    own_maps that is neither True nor False, or a power that is not from 0 to 10.
    """
    if not isinstance(own_maps, bool):
        raise refuse("own_maps", own_maps, "True or False")
    for name, size, least in (("T", T, 1), ("test_T", test_T, 1), ("d", d, 2), ("clusters", clusters, 1)):
        whole_number(name, size, least=least, most=2**24)
    whole_number("seed", seed, least=0, most=2**63 - 1)
    frequency = np.arange(1, clusters + 1) ** -number_within("power", power, 0, 10)  # (C,)
    rng, train_rng, test_rng = np.random.default_rng(seed).spawn(3)
    means = rng.normal(size=(clusters, d))  # (C, d)
    maps = rng.normal(size=(clusters if own_maps else 1, d, d)) / np.sqrt(d)  # (C or 1, d, d)
    train, test = (_regression(n, means, maps, frequency, rng) for n, rng in ((T, train_rng), (test_T, test_rng)))
    return train, test


def _regression(
    T: int, means: np.ndarray, maps: np.ndarray, frequency: np.ndarray, rng: np.random.Generator
) -> Regression:
    """Draw T tokens around the means (C, d), each as often as its frequency (C,), and map them with (C or 1, d, d)."""
    alike = bool((frequency == frequency[0]).all())  # integers draws what it has always drawn
    share = None if alike else frequency / frequency.sum()  # (C,)
    cluster = rng.integers(len(means), size=T) if alike else rng.choice(len(means), size=T, p=share)  # (T,)
    x = means[cluster] + 0.5 * rng.normal(size=(T, means.shape[1]))  # (T, d)
    x /= np.sqrt((x**2).mean(axis=1, keepdims=True))
    y = np.empty_like(x)  # (T, d)
    for c, A in enumerate(maps):
        mine = cluster == c if len(maps) > 1 else slice(None)  # (T,)
        y[mine] = np.tanh(x[mine] @ A)
    return Regression(x, y, cluster)


@dataclass(frozen=True, eq=False)
class GaussianDomains:
    """Tokens x (T, d) and the domain (T,) of each, drawn around the means (D, d) with the same spread everywhere."""

    x: np.ndarray
    domain: np.ndarray
    means: np.ndarray
    noise_std: float

    def best_guess(self, x: np.ndarray) -> np.ndarray:
        """Return the likeliest domain (T,) of each token x (T, d): the nearest mean, as all domains are equally likely.

        Nearest means largest x·μ_i − |μ_i|²/2 (Bishop 2006, eq. 4.68): a linear rule whose bias is −|μ_i|²/2. Where all
        means have the same norm, the bias is the same for all and can be left out.
        """
        return (x @ self.means.T - (self.means**2).sum(axis=1) / 2).argmax(axis=1)

    def bayes_accuracy(self, draws: int = 200_000, seed: int = 0) -> tuple[float, float]:
        """Return (accuracy, standard error) of the best possible rule on fresh tokens, as shares between 0 and 1.

        Exact for two domains: Φ(|μ_1 − μ_2| / 2σ), standard error 0. Otherwise the share that `best_guess` names
        rightly among `draws` fresh tokens; `seed` draws them, so the same task gets the same number in every call.
        Raises ValueError for draws that are not a whole number of at least 2.
        """
        whole_number("draws", draws, least=2, most=2**24)
        if len(self.means) == 2:
            half = np.linalg.norm(self.means[0] - self.means[1]) / 2
            return (1 + erf(half / self.noise_std / sqrt(2))) / 2, 0.0
        rng = np.random.default_rng([seed, 2026])
        fresh = _around(self.means, self.noise_std, draws, rng)
        share = float(np.mean(self.best_guess(fresh.x) == fresh.domain))
        return share, sqrt(share * (1 - share) / draws)


def gaussian_domains(
    T: int = 4096,
    d: int = 16,
    domains: int = 4,
    *,
    separation: float = 4.0,
    noise_std: float = 1.0,
    norms: str = "equal",
    test_T: int = 4096,
    seed: int = 0,
) -> tuple[GaussianDomains, GaussianDomains]:
    """Draw tokens from Gaussian clusters, one for each domain. Returns (train, test), drawn independently.

    The domains are equally likely and share one spherical spread: token = mean of its domain + noise_std · N(0, I).
    `separation` is the distance between the two nearest means, in the units of x. With norms="equal" the means have
    the same length and point in random orthogonal directions (in two dimensions: evenly around a circle; for more
    domains than d > 2: in random directions). With norms="unequal" domains 0 and 1 share a direction, 2 and 3 the
    next, and so on; the second of a pair is 1 + √2 times as long. No rule without a bias can tell such a pair apart.

    T, test_T: tokens to train and to test on. seed: decides the means, whatever T, test_T and noise_std are.
    Raises ValueError for a size that is not a whole number of at least 1 (d, domains: 2), for a separation or noise_std
    that is not above 0, for an unknown name in `norms`, and a seed that is none from 0 up.
    """
    for name, size, least in (("T", T, 1), ("test_T", test_T, 1), ("d", d, 2), ("domains", domains, 2)):
        whole_number(name, size, least=least, most=2**24)
    whole_number("seed", seed, least=0, most=2**63 - 1)
    separation, noise_std = positive_number("separation", separation), positive_number("noise_std", noise_std)
    pairs = one_of("norms", norms, ("equal", "unequal")) == "unequal"
    rng, train_rng, test_rng = np.random.default_rng(seed).spawn(3)
    which = np.arange(domains) // 2 if pairs else np.arange(domains)  # (D,)
    means = _directions(which[-1] + 1, d, rng)[which]  # (D, d)
    means *= np.where(pairs & (np.arange(domains) % 2 == 1), 1 + np.sqrt(2), 1.0)[:, None]
    means *= separation / _nearest(means)
    return _around(means, noise_std, T, train_rng), _around(means, noise_std, test_T, test_rng)


def _directions(count: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Return unit vectors (count, d): orthogonal where they fit, a regular polygon in the plane, otherwise random."""
    if count <= d and not (d == 2 and count == 2):
        return np.linalg.qr(rng.normal(size=(d, count)))[0].T  # (count, d)
    if d == 2:
        angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(count) / count  # (count,)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (count, 2)
    rows = rng.normal(size=(count, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _nearest(means: np.ndarray) -> float:
    """Return the smallest distance between two rows of means (D, d)."""
    squares = (means**2).sum(axis=1)  # (D,)
    gaps = squares[:, None] + squares - 2 * means @ means.T  # (D, D)
    i, j = np.unravel_index(np.argmin(gaps + np.diag(np.full(len(means), np.inf))), gaps.shape)
    return float(np.linalg.norm(means[i] - means[j]))


def _around(means: np.ndarray, noise_std: float, T: int, rng: np.random.Generator) -> GaussianDomains:
    """Draw T tokens around the means (D, d), every domain equally likely."""
    domain = rng.integers(len(means), size=T)  # (T,)
    x = means[domain] + noise_std * rng.normal(size=(T, means.shape[1]))  # (T, d)
    return GaussianDomains(x, domain, means, noise_std)
