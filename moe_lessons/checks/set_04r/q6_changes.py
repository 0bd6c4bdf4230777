"""Question 4r.6: what a change can change."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import scipy

from moe_lessons import routing
from moe_lessons.checks.forms import Fields, Name
from moe_lessons.checks.question import EntriesQuestion, about
from moe_lessons.checks.verdicts import Fault

K, T, D, N = 2, 1000, 6, 8
REACH = ("nothing", "weights", "choice")


class World(NamedTuple):
    """Streams (T, d), a router (d, N), noise (T, N), biases (N,) and a vector (d,), to try a change on."""

    stream: np.ndarray
    W_g: np.ndarray
    noise: np.ndarray
    bias: np.ndarray
    v: np.ndarray

    def logits(self, stream: np.ndarray) -> np.ndarray:
        """Return the logits (T, N) of streams (T, d): normalised, then times the router."""
        return stream / np.sqrt((stream**2).mean(axis=-1, keepdims=True)) @ self.W_g

    @property
    def h(self) -> np.ndarray:
        """The logits (T, N) as they are."""
        return self.logits(self.stream)


@cache
def world() -> World:
    """Return random numbers to try changes on, always the same."""
    rng = np.random.default_rng(0)
    sizes = ((T, D), (D, N), (T, N), (N,), (D,))
    stream, W_g, noise, bias, v = (rng.normal(size=size) for size in sizes)
    return World(stream, W_g / np.sqrt(D), noise, 0.1 * bias, v)


def by_logit(h: np.ndarray) -> np.ndarray:
    """Return weights (T, N): a softmax over the logits of the k best."""
    return routing.gate_weights(h, K)


def by_sigmoid(h: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return weights (T, N): the k best of sigmoid + bias, their sigmoids divided by their sum."""
    s = scipy.special.expit(h)  # (T, N)
    kept = np.where(routing.gate_weights(s + bias, K) > 0, s, 0)  # (T, N)
    return kept / kept.sum(axis=-1, keepdims=True)


E2 = np.where(np.arange(N) == 1, 3.0, 1.0)  # (N,)
Gate = Callable[[World], np.ndarray]
BEFORE_AND_AFTER: dict[str, tuple[Gate, Gate]] = {
    "A": (lambda w: by_logit(w.h), lambda w: by_logit(w._replace(W_g=w.W_g + w.v[:, None]).h)),
    "B": (lambda w: by_logit(w.h), lambda w: by_logit(w._replace(W_g=w.W_g * E2).h)),
    "C": (lambda w: by_logit(w.h), lambda w: by_logit(w._replace(W_g=3 * w.W_g).h)),
    "D": (lambda w: by_logit(w.h), lambda w: by_logit(w.logits(100 * w.stream))),
    "E": (lambda w: by_logit(w.h + w.noise), lambda w: by_logit((w.h + w.noise) / 4)),
    "F": (lambda w: by_sigmoid(w.h, w.bias), lambda w: by_sigmoid(w.h / 4, w.bias)),
    "G": (lambda w: by_logit(w.h), lambda w: routing.gate_weights(w.h, K, "softmax_topk_renorm")),
}
WHY = {
    "A": "Every logit of a token rises by the same number, x · v.",
    "B": "One logit is multiplied and the others are not: their order can turn.",
    "C": "Every logit is multiplied by the same factor above 0: the order stays, every gap grows.",
    "D": "The norm divides the stream by its own size, so x is the same as before.",
    "E": "τ divides the logits with their noise: their order stays, their gaps shrink.",
    "F": "The bias is added after the division. When all sigmoids move towards a half, it is what decides.",
    "G": "Dividing the kept probabilities by their sum cancels what all were divided by: that is the softmax over the kept logits.",
}


@cache
def effect(change: str) -> tuple[float, float]:
    """Return the percentage of tokens that get another pair, and the largest change of a weight."""
    before, after = (gate(world()) for gate in BEFORE_AND_AFTER[change])  # (T, N) each
    others = ((before > 0) != (after > 0)).any(axis=-1).mean()
    return 100 * float(others), float(np.abs(after - before).max())


def reaches(change: str) -> str:
    """Return how far a change reaches."""
    others, moved = effect(change)
    return "choice" if others else "weights" if moved > 1e-9 else "nothing"


def refute(change: str, named: str) -> Fault:
    """Say what the change did to a thousand random tokens, and why."""
    others, moved = effect(change)
    done = f"{others:.0f} % of them got another pair" if others else "every token kept its pair"
    moves = f"weights moved by up to {moved:.2f}" if moved > 1e-9 else "no weight moved"
    return Fault(
        f"{change}: {named}",
        f"{change} is not {named!r}. Tried on 1,000 random tokens: {done}, {moves}.\n{WHY[change]}",
    )


CHANGES = EntriesQuestion(
    **about("4r.6", "What can it change?", "choose what holds", "hard", points=1, minutes=4),
    hints=(
        "Follow each change to the logits of one token. Does it add the same to all, multiply all by the same, or treat one expert in its own way?",
        "The same added: nothing. The same factor: the gaps, so the weights. Only what treats experts differently, *after* whatever is common to them, can turn the order.",
    ),
    idea="Shifts cancel, common factors change gaps and so weights, and only what differs from expert to expert can change who is chosen.",
    takeaway="Before you run an experiment on a router setting, ask whether it can change the order of the scores at all.",
    answer="my_changes",
    form=Fields(dict.fromkeys(BEFORE_AND_AFTER, Name(REACH))),
    expected=lambda: {change: reaches(change) for change in BEFORE_AND_AFTER},
    against=refute,
)
