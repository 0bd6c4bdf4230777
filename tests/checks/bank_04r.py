"""Answers to the review 04r: plausible wrong ones by the mistake that must be named, others, and right ones."""

import math

import numpy as np
import torch

from moe_lessons.checks.set_04r import drawn_log

# --- 4r.1 ---------------------------------------------------------------------------------------------------------

RED, BLUE, GREEN = drawn_log().values()
TAU = 0.9 / math.log(RED / BLUE)


def readings(tau=TAU, to_blue=0):
    return {"tau": tau, "to blue": to_blue}


# --- 4r.2 ---------------------------------------------------------------------------------------------------------

GATES = {"program 1": "sigmoid", "program 2": "softmax twice", "program 3": "masked with 0", "program 4": "form B"}
NAMES = ("form A", "form B", "masked with 0", "nothing cut", "softmax twice", "sigmoid")

# --- 4r.4 and 4r.6 ------------------------------------------------------------------------------------------------

BELIEFS = dict(zip("abcdef", (True, False, True, False, True, False), strict=True))
CHANGES = dict(zip("ABCDEFG", ("nothing", "choice", "weights", "nothing", "weights", "choice", "nothing"), strict=True))
REACH = ("nothing", "weights", "choice")

WRONG = {
    "4r.1": {
        "one over tau": readings(1 / 0.6),
        "gap over tau": readings(math.log(RED / BLUE)),
        "ratio of the counts": readings(RED / BLUE),
        "ratio of the scores": readings(4.1 / 3.2),
        "scores divided": readings(0.86),
        "ratio for the gap": readings(math.log(4.1 / 3.2) / math.log(RED / BLUE)),
        "counts rounded": readings(0.65),
        "two pairs (2)": readings(1.8 / math.log(RED / BLUE)),
        "two pairs (3)": readings(0.9 / math.log(BLUE / GREEN)),
        "gap over the ratio (2)": readings(0.9 / math.log(RED / GREEN)),
        "logarithm to base 2 (2)": readings(1.8 / math.log(RED / GREEN)),
        "a share for the ratio (2)": readings(-0.9 / math.log(RED / (RED + BLUE + GREEN))),
        "multiplied": readings(0.9 * math.log(RED / BLUE)),
        "ratio at 1": readings(math.exp(0.9)),
        "drawn of two": readings(to_blue=100 * BLUE / (RED + BLUE)),
        "first expert's": readings(to_blue=80.9),
        "an even share (3)": readings(to_blue=1 / 3),
        "everything (2)": readings(to_blue=1000),
        "no temperature": readings(1),
        "only the gap": readings(0.9),
        "logarithm to base 10": readings(0.9 / math.log10(RED / BLUE)),
        "gap over the ratio": readings(0.9 * BLUE / RED),
        "logarithm to base 2": readings(0.9 / math.log2(RED / BLUE)),
        "two pairs": readings(2.7 / math.log(RED / BLUE)),
        "a share for the ratio": readings(0.9 / -math.log(BLUE / (RED + BLUE + GREEN))),
        "sign": readings(0.9 / math.log(BLUE / RED)),
        "as drawn": readings(to_blue=100 * BLUE / (RED + BLUE + GREEN)),
        "as drawn (2)": readings(to_blue=18),
        "as drawn (3)": readings(to_blue=0.182),
        "as drawn (4)": readings(to_blue=182),
        "an even share": readings(to_blue=100 / 3),
        "an even share (2)": readings(to_blue=33),
        "everything": readings(to_blue=100),
        "without a temperature": readings(to_blue=100 / (1 + math.exp(0.9) + math.exp(-1.8))),
    },
    "4r.2": {
        f"{program}: {name}": GATES | {program: name} for program in GATES for name in NAMES if name != GATES[program]
    },
    "4r.3": {
        "ratio of logits": 6,
        "gap of 3": 4.0,
        "level": 2,
        "three times the length": 3,
        "angle left out": 1 + math.log(3) / 3,
        "x left out": 2 * (1 + math.log(3)),
        "the logit": 3 + math.log(3),
        "x left out for E1": 2 * (3 + math.log(3)),
        "x left out for E2": (1 + math.log(3)) / 1.5,
        "multiplied by the cosine": (3 + math.log(3)) / 6,
        "multiplied by the cosine (2)": 1.5 * (3 + math.log(3)),
        "multiplied by the cosine (3)": 0.5 * (3 + math.log(3)),
        "gap as a length": 1 + math.log(3),
        "gap as a length (2)": 2 + math.log(3),
        "radians (2)": -1.44,
        "negative": -2.73,
        "turned round": (3 - math.log(3)) / 1.5,
        "turned round (2)": 2 + math.log(1 / 3) / 1.5,
        "only the gap": math.log(3),
        "logarithm to base 10": (3 + math.log10(3)) / 1.5,
        "logarithm to base 2": (3 + math.log2(3)) / 1.5,
        "E2 left out": math.log(3) / 1.5,
        "multiplied": 2 * math.log(3),
        "four times": (3 + math.log(4)) / 1.5,
        "sine": (3 + math.log(3)) / (3 * math.sin(math.pi / 3)),
        "power for logarithm": math.exp(3) / 1.5,
        "near": 2.7,
        "near (2)": 2.74,
        "radians": (3 + math.log(3)) / (3 * math.cos(60)),
    },
    "4r.4": {
        f"{letter}: {'not believed' if right else 'believed'}": BELIEFS | {letter: not right}
        for letter, right in BELIEFS.items()
    }
    | {"turned round": {letter: not right for letter, right in BELIEFS.items()}},
    "4r.5": {
        "E1 is better": [129.3, 128.6],
        "equal": [130, 130],
        "size for value": [-129.7, -130.3],
        "formats exchanged": [70000.0, 71000.0],
        "formats exchanged (2)": [1e30, 2e30],
        "gap too small": [128.0, 128.5],
        "gap too small (2)": [120.1, 120.3],
        "gap too small (3)": [128.7, 129.29],
        "level too low": [0.0, 0.6],
        "level too low (2)": [100.0, 100.7],
        "level too low (3)": [-0.3, 0.3],
        "gap too wide": [100, 160],
        "gap too wide (2)": [129.0, 131.0],
        "two whole numbers": [128.0, 129.0],
        "two whole numbers (2)": [200.2, 201.0],
        "float16 errs too": [4096.0, 4096.9],
        "float16 errs too (2)": [20000, 20000.6],
        "too large for float16": [70000.0, 70001.0],
        "too large for float16 (2)": [65500.0, 65530.0],
        "too large for float16 (3)": [60000.0, 70000.0],
    },
    "4r.6": {
        f"{letter}: {name}": CHANGES | {letter: name}
        for letter, right in CHANGES.items()
        for name in REACH
        if name != right
    },
}

UNRECOGNISED = {
    "4r.1": [
        readings(tau=0.74),
        readings(tau=7),
        readings(to_blue=50),
        {"tau": 0.6},
        [0.6, 0],
        {"tau": 0.6, "to blue": None},
        {"tau": "0.6", "to blue": 0},
    ],
    "4r.2": ["sigmoid", None, list(GATES.values()), GATES | {"program 1": "form C"}, {"program 1": "sigmoid"}],
    "4r.3": [2.5, 0, [2.73, 3], None, "2.73", math.inf, 2.75],
    "4r.4": ["ace", None, {"a": True}, BELIEFS | {"a": 1}, BELIEFS | {"f": "no"}, list(BELIEFS.values())],
    "4r.5": [None, [1.0], [128.6, 129.3, 0], [math.nan, 1.0], "128", [[128.6, 129.3]], [128.6, math.inf]],
    "4r.6": [None, "nothing", {"A": "nothing"}, CHANGES | {"A": "all"}, list(CHANGES.values())],
}

RIGHT = {
    "4r.1": [
        readings(),
        readings(0.6, 0.0),
        readings(np.float32(0.61), np.array(0)),
        readings(torch.tensor(0.6), torch.zeros(())),
        readings([0.6]) | {"note": "two words are enough"},
        readings(2.7 / math.log(RED / GREEN)),
        readings(0.57),  # 0.03 off
        readings(0.63),
        readings(TAU + 0.03),
    ],
    "4r.2": [
        GATES,
        {program: name.upper() for program, name in reversed(GATES.items())},
        GATES | {"program 2": " softmax  twice\n", "program 5": "?"},
    ],
    "4r.3": [
        2.73,
        2 + math.log(3) / 1.5,
        np.float32(2.7324),
        torch.tensor([2.732]),
        [2.73],
        math.log(3 * math.e**3) / 1.5,
    ],
    "4r.4": [
        BELIEFS,
        {letter: str(truth) for letter, truth in BELIEFS.items()},
        {letter: np.bool_(truth) for letter, truth in BELIEFS.items()} | {"g": 3},
        {letter: torch.tensor(truth) for letter, truth in BELIEFS.items()},
    ],
    "4r.5": [
        [128.6, 129.3],
        (-129.3, -128.6),
        np.array([200.6, 201.2]),
        torch.tensor([160.6, 161.3]),
        [512.0, 513.5],
        [128.6, 129.2],
        [1000, 1002],
        np.float32([136.6, 137.2]),  # in float32 their gap is 0.59999
        torch.tensor([150.6, 151.2]),
    ],
    "4r.6": [
        CHANGES,
        {letter: f" {name.capitalize()}" for letter, name in CHANGES.items()},
        dict(reversed(CHANGES.items())) | {"H": "?"},
    ],
}
