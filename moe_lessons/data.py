"""The inputs of the lessons: the worked example (01), the visualizer's token kinds (04), a clustered task (06)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moe_lessons.validation import whole_number

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
    T: int = 16384, d: int = 32, clusters: int = 16, *, own_maps: bool = True, test_T: int = 4096, seed: int = 0
) -> tuple[Regression, Regression]:
    """Draw a regression task whose tokens fall into clusters. Returns (train, test), with no token in common.

    The clusters are planted by us: their means are random directions, chosen before any token is drawn. A token is its
    cluster's mean plus half as much noise, scaled to length √d as a norm layer would (so x has root mean square 1). Its
    target is tanh(x A_c), where each cluster c has its own random matrix A_c (d, d). Two controls: `own_maps=False`
    leaves the tokens as they are, but all clusters share one matrix; `clusters=1` is one cloud of tokens with one map.

    T, test_T: tokens to train and to test on. seed: decides means and maps, whatever T and test_T are.
    Raises ValueError for a size that is not a whole number of at least 1 (d: 2).
    """
    for name, size, least in (("T", T, 1), ("test_T", test_T, 1), ("d", d, 2), ("clusters", clusters, 1)):
        whole_number(name, size, least=least, most=2**24)
    rng, train_rng, test_rng = np.random.default_rng(seed).spawn(3)
    means = rng.normal(size=(clusters, d))  # (C, d)
    maps = rng.normal(size=(clusters if own_maps else 1, d, d)) / np.sqrt(d)  # (C or 1, d, d)
    return _regression(T, means, maps, train_rng), _regression(test_T, means, maps, test_rng)


def _regression(T: int, means: np.ndarray, maps: np.ndarray, rng: np.random.Generator) -> Regression:
    """Draw T tokens around the means (C, d) and map them with the matrices (C or 1, d, d)."""
    cluster = rng.integers(len(means), size=T)  # (T,)
    x = means[cluster] + 0.5 * rng.normal(size=(T, means.shape[1]))  # (T, d)
    x /= np.sqrt((x**2).mean(axis=1, keepdims=True))
    y = np.empty_like(x)  # (T, d)
    for c, A in enumerate(maps):
        mine = cluster == c if len(maps) > 1 else slice(None)  # (T,)
        y[mine] = np.tanh(x[mine] @ A)
    return Regression(x, y, cluster)
