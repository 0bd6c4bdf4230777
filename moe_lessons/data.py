"""The inputs that lessons work on: the worked example of lesson 01, the token kinds of the visualizer (lesson 04)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

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
