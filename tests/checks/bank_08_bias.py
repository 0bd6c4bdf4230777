"""Answers to 8.4: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch


def nearest_mean(means):
    return {"means": means, "bias": [-(a * a + b * b) / 2 for a, b in means]}


RAY = [[2.0, 0.0], [7.0, 0.0]]
THREE = [[0, 0], [5, 0], [10, 0]]

WRONG = {
    "8.4": {
        "bias with the wrong sign (2)": {"means": RAY, "bias": [2.0, 7.0]},
        "bias with the wrong sign (3)": {"means": [[-6, 0], [0, 0], [6, 0]], "bias": [18, 0, 18]},
        "bias too strong": {"means": RAY, "bias": [-8.0, -98.0]},
        "bias too weak": {"means": RAY, "bias": [0, -9]},
        "too close": nearest_mean([[2.0, 0.0], [3.0, 0.0]]),
        "equal norms": nearest_mean([[4.0, 0.0], [0.0, 4.0], [-4.0, 0.0]]),
        "opposite sides": nearest_mean([[-3.0, 0.0], [6.0, 0.0]]),
        "different directions": nearest_mean([[3.0, 0.0], [0.0, 9.0]]),
        "bias of equals": {"means": RAY, "bias": [0, 0]},
        "bias with the wrong sign": {"means": RAY, "bias": [2.0, 24.5]},
        "half forgotten": {"means": RAY, "bias": [-4.0, -49.0]},
        "a length": {"means": RAY, "bias": [-1.0, -3.5]},
        "a length (2)": {"means": RAY, "bias": [-2.0, -7.0]},
        "a length (3)": {"means": RAY, "bias": [0, -4.5]},
        "a length (4)": {"means": [[3, 0], [9, 0]], "bias": [0, -6]},
        "means as columns": {"means": [[3, 9], [0, 0]], "bias": [-4.5, -40.5]},
        "means as columns (2)": {"means": [[3, 9], [3, 9]], "bias": [-9, -81]},
        "bias with the wrong sign (4)": {"means": [[0, 0], [8, 0]], "bias": [0, 32]},
        "another order": {"means": THREE, "bias": [-12.5, -50, 0]},
        "one entry off": {"means": [[2, 0], [9, 0], [0, 9]], "bias": [-2, -40.5, 0]},
        "one entry off (2)": {"means": THREE, "bias": [0, -12.5, -30]},
        "half forgotten (2)": {"means": THREE, "bias": [0, -25, -100]},
        "bias too weak (2)": {"means": THREE, "bias": [0, -3.125, -12.5]},
        "bias too strong (2)": {"means": THREE, "bias": [0, -50, -200]},
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "8.4": [
        RAY,
        None,
        {"means": RAY},
        {"means": RAY, "bias": -2.0},
        {"means": [[1, 0], [5, 0], [9, 0]], "bias": [0, -3, -50]},
        {"means": [[0, 0], [50, 0]], "bias": [0, -1250]},
        {"means": [[1, 0, 0], [6, 0, 0]], "bias": [0, -18]},
    ],
}

RIGHT = {
    "8.4": [
        nearest_mean(RAY),
        {"means": np.array([[0, 0], [5, 0]]), "bias": np.array([0, -12.5])},
        {"means": torch.tensor([[-1.0, -1.0], [-5.0, -5.0]]), "bias": torch.tensor([24.0, 0.0])},
        nearest_mean([[-5.0, 0.0], [0.0, 0.0], [5.0, 0.0]]),
        nearest_mean([[4.0, 0.0], [0.0, 4.0], [8.0, 0.0]]),
    ],
}
