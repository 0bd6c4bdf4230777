"""Question 7r.2: which key of the configuration was changed."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import Fields, Name, Number
from moe_lessons.checks.question import EntriesQuestion, about
from moe_lessons.checks.verdicts import Fault

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


def expected() -> dict[str, object]:
    """Return the answer."""
    return {"key": "norm_topk_prob", "true in": "run 1", "kept by token 3": float(kept()[ASKED])}


def same(came: object, right: object) -> bool:
    """Tell whether an entry is right; of a number two decimals."""
    return abs(came - right) < ROOM if isinstance(came, float) and isinstance(right, float) else came == right


AGAINST_KEY = {
    "routed_scaling_factor": "That is one constant: every output would change by the same factor. Here the factor is another one for each token.",
    "scoring_func": "Sigmoids would share the weight differently between the two experts, so outputs would turn. The cosines are 1: nothing turned.",
    "num_experts_per_tok": "With more or fewer experts other outputs would enter the sum, and y would turn. The cosines are 1: nothing turned.",
}


def refute(entry: str, came: object) -> Fault:
    """Say what in the log speaks against an entry."""
    if entry == "key":
        return Fault(f"key: {came}", f"Not {came!r}. {AGAINST_KEY[str(came)]}")
    if entry == "true in":
        why = "The kept probabilities sum to less than 1. Dividing by their sum makes weights, and outputs, larger. Which run has the larger ones?"
        return Fault("true in: run 2", why)
    name, why = _kept_mistake(float(str(came)))
    return Fault(name and f"kept: {name}", f"'kept by token 3' is not {float(str(came)):.4g}. {why}")


def _kept_mistake(number: float) -> tuple[str | None, str]:
    """Return what number was given in the place of what token 3 keeps, if it is known, and why it is none."""
    share = float(kept()[ASKED])
    known = {
        "upside down": (1 / share, "That is above 1, and no probability is. Divide the other way round."),
        "cut": (1 - share, "That is what the cut experts hold. Asked is what the kept ones hold."),
        "percent": (100 * share, "That is in percent. Give it as a number between 0 and 1."),
        "difference": (
            float(two_runs().first[ASKED] - two_runs().second[ASKED]),
            "You took the difference of the two lengths. A division is undone by a ratio.",
        ),
    }
    name = next((name for name, (value, _) in known.items() if abs(number - value) < ROOM * max(1, value)), None)
    if name is None and abs(np.append(kept(), kept().mean()) - number).min() < ROOM:
        return "another token", "That is what another token keeps, or the mean of all. Take token 3, `runs.first[2]`."
    return name, known[name][1] if name else "The sum that run 1 divided by is the ratio of the two lengths of token 3."


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
