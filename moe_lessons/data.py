"""The inputs that lessons work on: the worked example of lesson 01."""

from collections.abc import Callable

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
