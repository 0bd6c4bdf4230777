"""Question 11r.5: where a balance loss pushes two tokens, and where a bias pushes all."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from moe_lessons.checks.forms import Fields, Name
from moe_lessons.checks.question import Data, EntriesQuestion, Reply, about
from moe_lessons.checks.verdicts import Fault, Mistake, Verdict, by_value

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


def down(f: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return which logits of both tokens go down, (2, N): those of experts with more load than Σ f p."""
    return f > (p @ f)[:, None]


def favourites(f: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return which expert each token prefers, (2, N)."""
    return p == p.max(axis=1, keepdims=True)


# Wrong rules, by which logits of both tokens go down (2, N), of f (N,) and p (2, N).
OF_TOKENS = by_value(
    "tokens exchanged: Your answers for token a are those of token b, and the other way round.",
    lambda f, p: down(f, p[::-1]),
    "beside 1/N: You compared both tokens with one number, such as 1/N = 0.25, as the bias does. Each token has its own: the mean of f under *its* p, Σ f p.",
    lambda f, p: np.stack([f > f.mean()] * 2),
    "along the gradient: All ways of both tokens are turned round. Where a load is above the token's Σ f p, the gradient is positive, and a step goes *against* it.",
    lambda f, p: ~down(f, p),
    "all down: In a softmax not all logits of a token can go down: what one gains the others lose, and p_j (f_j − Σ f p) adds up to 0 over the experts. Which loads are above the mean of f under this token's p?",
    lambda f, p: np.ones_like(p, dtype=bool),
    "all up: In a softmax not all logits of a token can go up: what one gains the others lose, and p_j (f_j − Σ f p) adds up to 0 over the experts. Which loads are below the mean of f under this token's p?",
    lambda f, p: np.zeros_like(p, dtype=bool),
    "away from the favourite: In each token you lowered the expert that it prefers, and raised the rest. What it prefers says p, and how full an expert is says f: compare each f_j with the mean of f under this token's p, Σ f p.",
    favourites,
    "to the favourite: You pushed each token to where it leans already. A balance loss pushes to experts with less load than the token's Σ f p.",
    lambda f, p: ~favourites(f, p),
    "only the fullest: You lowered the fullest expert alone, for both tokens (so it is beside Σ f², too). All go down that are above what they are compared with: for a token its Σ f p.",
    lambda f, p: np.stack([f == f.max()] * 2),
    "only the emptiest: You raised the emptiest expert alone, for both tokens. All go up that are below what they are compared with: for a token its Σ f p.",
    lambda f, p: np.stack([f > f.min()] * 2),
)


def given_down(named: dict[str, dict[str, str]]) -> np.ndarray:
    """Return which logits of both tokens go down in an answer, (2, N)."""
    return np.array([[row[part] == "down" for row in named.values()] for part in PUSHED[:2]])


def of_both_tokens(named: dict[str, dict[str, str]]) -> Mistake | None:
    """Return the wrong rule by which all ways of both tokens would be right, if there is one."""
    came, (f, p) = given_down(named), two_tokens()
    if (came == down(f, p)).all():
        return None
    return next((rule for rule in OF_TOKENS if (came == rule.wrong(f, p)).all()), None)


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
        why += "Beside the mean load, 1/N = 0.25, it would be as you say; but that is what the bias compares with." if as_with_the_mean else f"So the gradient is {sign}, and a step goes against it."  # fmt: skip
    return Fault(f"{expert}: {part} {came[part]}", f"{expert!r}, {part}: not {came[part]!r}. {why}")


BIAS_TURNED = "And the bias is turned round, too: it goes up where the load is below the mean load."


@dataclass(frozen=True, kw_only=True)
class PushesQuestion(EntriesQuestion):
    """Ways of both tokens that all follow from one wrong rule are told so."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the entries; where both tokens follow a wrong rule, say which it is."""
        verdict, named = super().judge(data, reply), PUSHES_FORM.read(reply["value"])
        if isinstance(named, Fault) or not (rule := of_both_tokens(named)):
            return verdict
        bias_too = all(named[expert]["bias"] != right["bias"] for expert, right in expected().items())
        return Verdict(False, rule.why, rule.name, BIAS_TURNED if bias_too else "")


PUSHES_FORM = Fields({f"E{i + 1}": Fields(dict.fromkeys(PUSHED, Name(WAYS))) for i in range(4)})
PUSHES = PushesQuestion(
    **about("11r.5", "Two ways to push", "choose what holds", "medium", points=1, minutes=6),
    hints=(
        "What does each of them compare a load with? The bias looks at all tokens alike. The loss goes through the softmax of one token, in which what one logit gains the others lose.",
        "The bias: mean load against load. The loss: ∂L/∂h_j is p_j (f_j − Σ f_i p_i) times a positive number, and a step goes against it. Compute Σ f_i p_i for each token: logits of experts with less load than that go up.",
    ),
    idea="The loss moves a token away from where it leans, to whatever is less loaded than that; the bias moves every token alike, away from what is above the mean.",
    takeaway="For one token a balance loss can raise an expert that is too full and lower one that is too empty: only its sum over the tokens balances.",
    answer="my_pushes",
    form=PUSHES_FORM,
    expected=expected,
    against=against,
)
