"""Question 11.6: the conclusion that the data allow."""

import re
from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from moe_lessons import metrics
from moe_lessons.checks.question import Data, Reply, VariableQuestion, about
from moe_lessons.checks.set_11.q5_ablation import DOMAINS
from moe_lessons.checks.values import plain, show
from moe_lessons.checks.verdicts import Fault, Verdict

ROUTERS = ("hash router", "first layer", "last layer")


def planted(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return labels (T,) of 60 sequences of 60 tokens, and the expert of each token under three routers."""
    S, L, V, N = 60, 60, 20, 8
    domain = np.repeat(rng.permutation(np.arange(S) % 3), L)  # (T,)
    words = np.stack([rng.dirichlet(np.full(V, 0.8)) for _ in range(3)]) * 0.7 + 0.3 / V  # (3, V)
    token = np.concatenate([rng.choice(V, size=L, p=words[c]) for c in domain[::L]])  # (T,)
    of_token, of_both = rng.permutation(np.arange(V) % N), rng.integers(N, size=(3, V))
    strays = rng.integers(N, size=(2, S * L))  # (2, T)
    first = np.where(rng.random(S * L) < 0.8, of_token[token], strays[0])
    last = np.where(rng.random(S * L) < 0.5, of_both[domain, token], strays[1])
    hashed = rng.permutation(np.arange(V) % N)[token]
    routers = dict(zip(ROUTERS, (hashed, first, last), strict=True))
    return {"domain": domain, "token": token, "sequence": np.repeat(np.arange(S), L), **routers}


@cache
def results() -> dict[str, Any]:
    """Return what the exercise prints, three seeds each: information above its null, use, losses, saturation."""
    found: dict[str, Any] = {name: {"domain": [], "given token": []} for name in ROUTERS}
    for seed in range(3):
        data = planted(np.random.default_rng(seed))
        for name in ROUTERS:
            for measure, given in (("domain", None), ("given token", data["token"])):
                found[name][measure].append(above_null(data, name, given))
    rng = np.random.default_rng(6)
    found["use of the code expert"] = (0.62 + 0.03 * rng.normal(size=3)).tolist()  # share of code's tokens, k/N = 0.25
    found["rise without it"] = {
        domain: (rise + 0.02 * rng.normal(size=3)).tolist()
        for domain, rise in zip(DOMAINS, (0.31, 0.14, 0.05), strict=True)
    }
    found["saturation at 10 %"] = (0.79 + 0.02 * rng.normal(size=3)).tolist()
    return found


def above_null(data: dict[str, np.ndarray], router: str, given: np.ndarray | None) -> float:
    """Return the information about the domain above its null, in bits; given the token, if there is one."""
    a, b, sequence = data["domain"], data[router], data["sequence"]
    value = metrics.mutual_information(a, b, given, base=2)
    null = metrics.permutation_null(a, b, sequence, given, draws=40, rng=0, base=2, within_given=given is not None)
    return metrics.excess(value, null)


CONCLUSION = ("B", "E", "H")
OVERCLAIMS = {
    "A": "The number is real, but look one column further: given the token, hardly anything is left. And the hash router, which knows nothing but the token, tells as much about the domain (in the right-hand column it has 0, for there the token is known). The experts may have specialised in tokens; of domains this shows nothing.",
    "C": "The row of the expert that code uses most shows use, and use is not effect. When it is off, the loss of prose rises more than that of code.",
    "D": "Saturation compares which experts a router *selects*. What the experts compute may change until the last step: no column measures it.",
    "F": "No untrained model is in the table. It may tell something beyond the token too: its last layer sees the context through attention. The hash router is another baseline; it sees no context at all.",
    "G": "Beyond the token there is more than meaning: position, line breaks, the tokens just before. Bits about the domain do not say which of these carries them.",
    "I": "One configuration, one collection of texts, three seeds. Published models differ on just this, so other models need their own table.",
}


@dataclass(frozen=True, kw_only=True)
class ConclusionQuestion(VariableQuestion):
    """Three letters; every claim among them that the table does not allow is explained."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Return the answer as plain data; a set, or the keys of a dict, become a list."""
        return {"value": plain(sorted(map(str, answer)) if isinstance(answer, Set) else answer)}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Explain all letters that are over-claims at once; then say how many are missing."""
        letters = letters_in(reply["value"])
        if isinstance(letters, Fault):
            return Verdict.of(letters)
        wrong = [letter for letter in letters if letter in OVERCLAIMS]
        if wrong:
            lines = [f"{letter} claims too much. {OVERCLAIMS[letter]}" for letter in wrong]
            kept = ", ".join(letter for letter in letters if letter in CONCLUSION)
            return Verdict(False, "\n".join(lines), wrong[0], remark=f"Allowed: {kept}." if kept else "")
        missing = len(CONCLUSION) - len(letters)
        why = f"What you have is allowed; of three different letters, {missing} more to find." if missing else ""
        return Verdict(not missing, why)


def letters_in(value: Any) -> list[str] | Fault:
    """Return up to three different letters from A to I, in order, or a `Fault`."""
    listed = [value] if isinstance(value, str) else value
    texts = isinstance(listed, list) and all(isinstance(entry, str) for entry in listed)
    letters = sorted(set(re.sub(r"[\W_]", "", "".join(listed).upper()))) if texts else []
    if 0 < len(letters) <= len(CONCLUSION) and {*letters} <= {*CONCLUSION, *OVERCLAIMS}:
        return letters
    came = ", ".join(map(show, listed[:12])) if texts and listed else show(value)
    return Fault(None, f"Expected three letters from A to I, as in ['A', 'B', 'C']. Came {came}.")


CLAIMS = ConclusionQuestion(
    **about("11.6", "Three sentences that the data allow", "choose what holds", "medium", points=2, minutes=6),
    hints=(
        "For every claim find the row and the column that it speaks of, and the baseline beside it. Some claims speak of something that has no row.",
        "Three traps: a number that a router of tokens alone reaches too, a step from use or selection to effect, and a word that is wider than what was measured.",
    ),
    idea="A conclusion names what was measured, against which baseline, in which model. Whatever it adds to that, such as meaning, cause or other models, needs a measurement of its own.",
    takeaway="A sound conclusion is a short one: this measure, against this baseline, in this model.",
    answer="my_conclusion",
)
