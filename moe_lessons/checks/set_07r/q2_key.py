"""Question 7r.2: which key of the configuration was changed."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import Fields, Name, Number
from moe_lessons.checks.question import EntriesQuestion, about
from moe_lessons.checks.verdicts import Fault, by_value

KEYS = ("norm_topk_prob", "routed_scaling_factor", "scoring_func", "num_experts_per_tok")
TOKENS, N, D, K, ASKED = 5, 8, 16, 2, 2  # ASKED: the index of token 3
ROOM = 0.008


@dataclass(frozen=True)
class Runs:
    """What two runs of a layer gave for the same tokens: lengths of the outputs (T,) each, cosines between them (T,)."""

    first: np.ndarray
    second: np.ndarray
    cosine: np.ndarray


@cache
def two_runs() -> Runs:
    """Return the log: the first run divides the kept probabilities by their sum, the second does not."""
    rng = np.random.default_rng(0)
    h, outputs = 1.3 * rng.normal(size=(TOKENS, N)), rng.normal(size=(TOKENS, N, D))  # (T, N), (T, N, d)
    y, z = (
        np.einsum("tn,tnd->td", routing.gate_weights(h, K, form), outputs)  # (T, d) each
        for form in ("softmax_topk_renorm", "softmax_topk")
    )
    first, second = np.linalg.norm(y, axis=1), np.linalg.norm(z, axis=1)  # (T,) each
    return Runs(first, second, (y * z).sum(axis=1) / first / second)


def kept() -> np.ndarray:
    """Return the probability that the kept experts of each token hold. (T,)."""
    return two_runs().second / two_runs().first


def share() -> float:
    """Return the probability that the kept experts of token 3 hold."""
    return float(kept()[ASKED])


def expected() -> dict[str, object]:
    """Return the answer."""
    return {"key": "norm_topk_prob", "true in": "run 1", "kept by token 3": share()}


def same(came: object, right: object) -> bool:
    """Tell whether an entry is right; of a number two decimals."""
    return abs(came - right) < ROOM if isinstance(came, float) and isinstance(right, float) else came == right


AGAINST_KEY = {
    "routed_scaling_factor": "That is one constant: every output would change by the same factor. Here the factor is another one for each token.",
    "scoring_func": "Sigmoids would share the weight differently between the two experts, so outputs would turn. The cosines are 1: nothing turned.",
    "num_experts_per_tok": "With more or fewer experts other outputs would enter the sum, and y would turn. The cosines are 1: nothing turned.",
}


KEPT = by_value(
    "upside down: That is above 1, and no probability is. Divide the other way round.",
    lambda: 1 / share(),
    "upside down, another token: That is above 1, and no probability is. Divide the other way round, and take token 3, `runs.first[2]`.",
    tuple(lambda t=t: 1 / kept()[t] for t in range(TOKENS) if t != ASKED),
    "part of both: You divided by the sum of both lengths. Divide one by the other.",
    lambda: share() / (1 + share()),
    "cut: That is what the cut experts hold. Asked is what the kept ones hold.",
    lambda: 1 - share(),
    "percent: That is in percent. Give it as a number between 0 and 1.",
    lambda: 100 * share(),
    "difference: You took the difference of the two lengths. A division is undone by a ratio.",
    lambda: two_runs().first[ASKED] - two_runs().second[ASKED],
    "token 5, or by how much longer: That is what token 5 keeps, and also by how much the output of token 3 is longer in run 1, measured by run 2. Asked is the ratio of token 3's two lengths.",
    (lambda: kept()[4], lambda: 1 / share() - 1),
    "another token: That is what another token keeps, or the mean of all. Take token 3, `runs.first[2]`.",
    (*(lambda t=t: kept()[t] for t in range(TOKENS - 1) if t != ASKED), lambda: kept().mean()),
    "square: That is the ratio of the *squares* of the two lengths. Take the lengths themselves.",
    lambda: share() ** 2,
    "root: That is the root of the ratio of the two lengths. Take the ratio itself.",
    lambda: share() ** 0.5,
    "half: That is half of it. Asked is what both experts hold together.",
    lambda: share() / 2,
    "rounded: Near, but rounded too far: two decimals are asked.",
    lambda: round(share(), 1),
    "change: That is below 0, and no probability is: by this share run 2 is shorter. Asked is the ratio of the two lengths.",
    lambda: share() - 1,
    "cosine: 1 is the cosine, and the sum of the weights *after* dividing. Asked is how much the two lengths differ: what the sum was before.",
    lambda: two_runs().cosine[ASKED],
    "length: That is the length of one output. A probability is a ratio of two lengths.",
    (lambda: two_runs().first[ASKED], lambda: two_runs().second[ASKED]),
)


def refute(entry: str, came: object) -> Fault:
    """Say what in the log speaks against an entry."""
    if entry == "key":
        return Fault(f"key: {came}", f"Not {came!r}. {AGAINST_KEY[str(came)]}")
    if entry == "true in":
        why = "The kept probabilities sum to less than 1. Dividing by their sum makes weights, and outputs, larger. Which run has the larger ones?"
        return Fault("true in: run 2", why)
    number = float(str(came))
    nearest = min(KEPT, key=lambda mistake: abs(number - mistake.wrong()))
    known = abs(number - nearest.wrong()) < ROOM * max(1, nearest.wrong())
    why = nearest.why if known else "The sum that run 1 divided by is the ratio of the two lengths of token 3."
    return Fault(f"kept: {nearest.name}" if known else None, f"'kept by token 3' is not {number:.4g}. {why}")


KEY = EntriesQuestion(
    **about("7r.2", "Somebody changed one key", "read a log", "medium", points=1, minutes=3),
    hints=(
        "Compare the lengths token by token: is it one factor for all? And what do cosines of 1 say about how the weight is shared between the two experts?",
        "The direction stays and the factor varies with the token: each output was divided by a number of its own, the sum of the kept probabilities. So that sum is a ratio of lengths.",
    ),
    idea="Renormalising divides each token's output by what its kept experts hold: same direction, another factor for each token.",
    takeaway="If a loaded model is off by a factor that varies from token to token, look at norm_topk_prob first; if by one factor, at the scaling.",
    answer="my_finding",
    form=Fields(
        {
            "key": Name(KEYS),
            "true in": Name(("run 1", "run 2")),
            "kept by token 3": Number("a number"),
        }
    ),
    expected=expected,
    same=same,
    against=refute,
)
