"""Answers to 10.4 and 10.5: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch

# --- 10.4 ---------------------------------------------------------------------------------------------------------


def leaning(*experts, N=4, high=3.0, low=0.0):
    """A layer with one token for each expert that is named, in this order."""
    return np.where(np.arange(N) == np.array(experts)[:, None], high, low)


OPPOSITE = np.stack([leaning(0, 1), leaning(2, 3)])  # (2, T, N)


def collapsed(p=0.45, T=4, N=4):
    """A layer in which E1 wins every token, with this probability."""
    return np.tile(np.log([p] + [(1 - p) / (N - 1)] * (N - 1)), (T, 1))


BLIND = np.log(
    [[0.27, 0.28, 0.225, 0.225], [0.27, 0.28, 0.225, 0.225], [0.27, 0.18, 0.28, 0.27], [0.27, 0.18, 0.27, 0.28]]
)
HIDDEN = np.stack([collapsed(), leaning(1, 1, 2, 3, high=20.0)])  # (2, T, N)

HIDDEN_OF_EIGHT = np.repeat(HIDDEN, 2, axis=1)


# --- 10.5 ---------------------------------------------------------------------------------------------------------

MEASURES = {"A": "lower u", "B": "per layer", "C": "nothing", "D": "raise u", "E": "raise c", "F": "raise u"}


def but(**wrong):
    return MEASURES | wrong


WRONG = {
    "10.4": {
        "wrong shape": OPPOSITE[0],
        "wrong shape (2)": [[1, 0, 0, 0], [0, 0.5, 0.25, 0.25]],  # loads
        "not finite": np.where(OPPOSITE > 0, 3, -np.inf),
        "tie": np.zeros((2, 4, 4)),
        "few experts": np.stack([leaning(0, N=2), leaning(1, N=2)]),
        "not collapsed": OPPOSITE,
        "exchanged": HIDDEN[::-1],
        "tokens as columns": np.swapaxes(HIDDEN_OF_EIGHT, 1, 2),
        "probabilities (2)": [
            collapsed(),
            [[0.001, 0.4, 0.3, 0.299], [0.001, 0.4, 0.3, 0.299], [0.001, 0.3, 0.4, 0.299], [0.001, 0.299, 0.3, 0.4]],
        ],
        "probabilities (3)": [np.exp(collapsed(0.4)), HIDDEN[1]],
        "layer 2 balanced": np.stack([collapsed(), leaning(0, 1, 2, 3, high=20.0)]),
        "same leaning": np.stack([leaning(0, 0), leaning(0, 0)]),
        "same leaning (2)": np.stack([collapsed(), leaning(0, 0, 2, 3)]),
        "layer 2 too much (2)": 10 * np.eye(8)[:2, None],  # two layers of the lesson
        "sign": -HIDDEN,
        "rest of layer 1 uneven": np.stack([np.tile(np.log([0.45, 0.43, 0.06, 0.06]), (4, 1)), HIDDEN[1]]),
        "winner too sure": np.stack([collapsed(0.7), HIDDEN[1]]),
        "layer 2 too much": np.stack([collapsed(), leaning(1, 1, 1, 1, high=20.0)]),
        "too faint (2)": np.stack([collapsed(0.3), leaning(1, 1, 2, 3, high=0.9)]),
        "blind in each layer": np.stack([collapsed(0.26), BLIND]),
        "too faint": np.stack([collapsed(0.26), HIDDEN[1]]),
        "probabilities": np.stack([np.exp(collapsed()), leaning(1, 1, 2, 3, high=1.0)]),
        "winner too sure (2)": np.stack([collapsed(0.4677), HIDDEN[1]]),  # 1.0201
    },
    "10.5": {
        "A: raise u": but(A="raise u"),
        "A: raise c": but(A="raise c", F="nothing"),
        "A: nothing": dict.fromkeys("ABCDEF", "nothing"),
        "A: per layer": but(A="per layer"),
        "B: lower u": but(B="lower u"),
        "B: raise u": but(B="raise u"),
        "B: raise c": but(B="raise c"),
        "B: nothing": but(B="nothing"),
        "C: raise c": but(C="raise c"),
        "C: lower u": but(C="lower u"),
        "D: per layer": but(D="per layer"),
        "D: nothing": but(D="nothing"),
        "D: lower u": but(D="lower u"),
        "E: raise u": but(E="raise u"),
        "E: lower u": but(E="lower u"),
        "E: per layer": but(E="per layer"),
        "E: nothing": but(E="Nothing"),
        "F: per layer": but(F=" per  layer "),
        "F: raise c": but(F="raise c"),
        "F: lower u": but(F="lower u"),
        "F: nothing": but(F="nothing"),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "10.4": [
        None,
        "two layers",
        {"layer 1": leaning(0, 1), "layer 2": leaning(2, 3)},
        [[["a", "b"]], [["c", "d"]]],
        leaning,
    ],
    "10.5": [
        None,
        list(MEASURES.values()),
        {run: measure for run, measure in MEASURES.items() if run != "D"},
        but(B="a bias per layer"),
        but(E=1.5),
        dict.fromkeys("ABCDEF", ...) | {"A": "lower u"},
    ],
}

RIGHT = {
    "10.4": [
        HIDDEN,
        HIDDEN.tolist(),
        torch.tensor(HIDDEN, dtype=torch.float32),
        [collapsed(0.4), leaning(3, 1, 2, 3, high=20.0)],
        np.stack([collapsed(0.2, T=7, N=8), leaning(*range(1, 7), 1, N=8, high=30.0)]),
        HIDDEN[..., ::-1],  # the last expert is the favourite
        np.stack([collapsed(0.3), HIDDEN[1]]),  # layer 1 alone: just 1.2
        np.stack([collapsed(0.3), HIDDEN[1]]).astype(np.float32),
        np.stack([np.tile([1.001, 1.0, -9.0, -9.0], (4, 1)), leaning(2, 2, 3, 1, high=20.0)]),  # a lead of just 0.001
        np.log([[[0.31, 0.09, 0.3, 0.3]] * 4, [[0.09, 0.31, 0.3, 0.3]] * 4]),  # also right when they are exchanged
    ],
    "10.5": [
        MEASURES,
        but(A="Lower u", B=" per  layer"),
        MEASURES | {"G": "nothing"},
        dict(sorted(MEASURES.items(), reverse=True)),
    ],
}
