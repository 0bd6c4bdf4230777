"""Question 4r.4: which sentences the table bears out."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import Fields, Truth
from moe_lessons.checks.question import Data, EntriesQuestion, Reply, about
from moe_lessons.checks.verdicts import Fault, Verdict


@cache
def three_routers() -> dict[str, np.ndarray]:
    """Return the logits (T, N) of three routers for the same 1,000 tokens. Y's are X's times 4; X's lie high."""
    rng = np.random.default_rng(0)
    X, Z = 1.2 * rng.normal(size=(1000, 8)) + 4, 1.8 * rng.normal(size=(1000, 64))  # (T, N) each
    return {"X": X, "Y": 4 * X, "Z": Z}


def entropy(h: np.ndarray) -> float:
    """Return the mean entropy of the rows of h (T, N), in nats."""
    return float((routing.log_sum_exp(h) - (routing.softmax(h) * h).sum(axis=-1)).mean())


def part_of_most(router: str) -> float:
    """Return the mean entropy in percent of the most that so many experts allow."""
    h = three_routers()[router]
    return 100 * entropy(h) / float(np.log(h.shape[-1]))


def share_at_gap(gap: float, N: int) -> float:
    """Return the probability of an expert that leads N − 1 equal others by `gap`."""
    return 1 / (1 + (N - 1) * float(np.exp(-gap)))


HOLDS = {"a": True, "b": False, "c": True, "d": False, "e": True, "f": False}


def why(sentence: str) -> str:
    """Return what speaks for or against a sentence, with its number."""
    said = {
        "a": "True. A factor above 0 on all logits keeps their order: the same expert is first for every token.",
        "b": "False. X and Y choose the same expert for every token, so they are right equally often. A larger probability is no proof of being right more often.",
        "c": f"True. Z has {part_of_most('Z'):.0f} % of ln 64, X {part_of_most('X'):.0f} % of ln 8. Nats of 64 experts and of 8 compare only after that division.",
        "d": "False. The LSE is the level of the logits. Take 4 from every logit of X: its LSE falls by 4, and no probability changes.",
        "e": "True. A shift changes no gap, so no probability and no entropy. The LSE rises by just that number.",
        "f": f"False. Against each of the others it leads by e², about 7.4, but there are 63: its probability is {share_at_gap(2, 64):.2f}. One half takes a gap of ln 63, about {np.log(63):.1f}.",
    }
    return said[sentence]


def refute(sentence: str, believed: bool) -> Fault:
    """Refute what was said of a sentence."""
    name = f"{sentence}: {'believed' if believed else 'not believed'}"
    return Fault(name, f"Sentence {sentence}. {why(sentence)}")


@dataclass(frozen=True, kw_only=True)
class BeliefsQuestion(EntriesQuestion):
    """Sentences that hold or do not; that all are turned round is told before any of them is refuted."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Look whether every entry is the opposite of what holds; else refute the first that is wrong."""
        named = self.form.read(reply["value"]) if self.form else None
        if isinstance(named, dict) and all(named[sentence] != holds for sentence, holds in HOLDS.items()):
            return Verdict.of(TURNED_ROUND)
        return super().judge(data, reply)


TURNED_ROUND = Fault("turned round", "All six are turned round. Did you mark the sentences that do *not* hold?")

BELIEFS = BeliefsQuestion(
    **about("4r.4", "Which do you believe?", "choose what holds", "medium", points=1, minutes=3),
    hints=(
        "For each sentence ask what changes: the order of the logits, their gaps, or only their level. Probabilities and entropies know of gaps alone.",
        "Compare entropies only as shares of ln N. And the rival of a leading expert is everybody else together, not the runner-up.",
    ),
    idea="Order decides who is first, gaps decide how decided a router is, the level decides the LSE; and none of the three tells whether a choice is good.",
    takeaway="A logged router entropy says little before you divide it by ln N, and nothing about whether the routing is any good.",
    answer="my_beliefs",
    form=Fields(dict.fromkeys(HOLDS, Truth())),
    expected=lambda: HOLDS,
    against=refute,
)
