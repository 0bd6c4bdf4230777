"""Question 11r.5: where a balance loss pushes two tokens, and where a bias pushes all."""

from typing import NamedTuple

import numpy as np

from moe_lessons.checks.forms import Fields, Name
from moe_lessons.checks.question import EntriesQuestion, about
from moe_lessons.checks.verdicts import Fault

WAYS = ("up", "down")
PUSHED = ("loss, token a", "loss, token b", "bias")


class Given(NamedTuple):
    """The loads of the batch f (N,), and the probabilities of two of its tokens p (2, N)."""

    f: np.ndarray
    p: np.ndarray


def two_tokens() -> Given:
    """Return what is given: token a prefers the fullest expert, token b the emptiest."""
    return Given(
        np.array([0.40, 0.30, 0.20, 0.10]),
        np.array([[0.70, 0.10, 0.15, 0.05], [0.05, 0.10, 0.15, 0.70]]),
    )


def compared_with() -> np.ndarray:
    """Return what each load is compared with: Σ f p of each token, and the mean load. (3,)."""
    f, p = two_tokens()
    return np.array([*(p @ f), f.mean()])


def expected() -> dict[str, dict[str, str]]:
    """Return the way of each logit or bias: up where the load is below what it is compared with."""
    return {
        f"E{i + 1}": {name: WAYS[int(load > least)] for name, least in zip(PUSHED, compared_with(), strict=True)}
        for i, load in enumerate(two_tokens().f)
    }


def against(expert: str, came: dict[str, str]) -> Fault:
    """Refute the first wrong entry of one expert."""
    right = expected()[expert]
    part = next(part for part in PUSHED if came[part] != right[part])
    load, least = two_tokens().f[int(expert[1:]) - 1], compared_with()[PUSHED.index(part)]
    side, sign = ("above", "positive") if load > least else ("below", "negative")
    if part == "bias":
        why = f"The load, {load:.2f}, is {side} the mean load of all experts, {least:.2f}, and the bias brings it towards the mean. It knows of no token."
    else:
        why = f"Its load, {load:.2f}, is {side} the mean of f under *this token's* p, Σ f p = {least:.3f}. "
        as_with_the_mean = came[part] == right["bias"]
        why += "The gradient compares with that, not with 1/N = 0.25." if as_with_the_mean else f"So the gradient is {sign}, and a step goes *against* it."  # fmt: skip
    return Fault(f"{expert}: {part} {came[part]}", f"{expert!r}, {part}: not {came[part]!r}. {why}")


PUSHES = EntriesQuestion(
    **about("11r.5", "Two ways to push", "choose what holds", "medium", points=1, minutes=6),
    hints=(
        "What does each of them compare a load with? The bias looks at all tokens alike. The loss goes through the softmax of one token, in which what one logit gains the others lose.",
        "The bias: mean load against load. The loss: ∂L/∂h_j is p_j (f_j − Σ f_i p_i) times a positive number, and a step goes against it. Compute Σ f_i p_i for each token: logits of experts with less load than that go up.",
    ),
    idea="The loss moves a token away from where it leans, to whatever is less loaded than that; the bias moves every token alike, away from what is above the mean.",
    takeaway="For one token a balance loss can raise an expert that is too full and lower one that is too empty: only its sum over the tokens balances.",
    answer="my_pushes",
    form=Fields({f"E{i + 1}": Fields(dict.fromkeys(PUSHED, Name(WAYS))) for i in range(4)}),
    expected=expected,
    against=against,
)
