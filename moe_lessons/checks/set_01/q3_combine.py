"""Question 1.3: combine the experts."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import Fault, by_value


def combine_cases(rng: np.random.Generator) -> list[tuple]:
    """x (d,), weights (N,) that sum to 1 with zeros for the unselected, and matrices (N, d, d) that make the experts.

    The first expert is never selected, and of three the best stands in the middle: so that counting from the front,
    or taking only the first, the last or the best, each gives something else. A small weight counts as well.
    """
    cases = []
    first, last = rng.uniform(0.1, 0.3, size=2)
    for d, N, shares in ((2, 4, [0.001, 0.999]), (3, 5, [1.0]), (4, 7, [first, 1 - first - last, last])):
        weights = np.zeros(N)  # (N,)
        weights[1 + np.sort(rng.choice(N - 1, len(shares), replace=False))] = shares
        cases.append((rng.normal(size=d).round(1) + 0.05, weights, rng.normal(size=(N, d, d))))
    return cases


class CountedExperts:
    """Experts made from matrices (N, d, d): expert i is tanh(M_i x). Notes the index of each that is called."""

    def __init__(self, entry: np.ndarray) -> None:
        self.calls: list[int] = []
        self.argument = [self._expert(i, M) for i, M in enumerate(entry)]

    def _expert(self, index: int, M: np.ndarray) -> Any:
        def expert(x: Any) -> np.ndarray:
            self.calls.append(index)
            return np.tanh(M @ np.asarray(x, dtype=float))

        return expert

    def noted(self) -> list[int]:
        """Return the indices of the experts that were called, in order."""
        return self.calls

    @staticmethod
    def written(name: str, entry: Any) -> str:
        """Return nothing: the learner never sees the matrices."""
        return ""


def of_outputs(wrong: Callable) -> Callable:
    """Return the function of (x, weights, matrices) that is `wrong` of the weights (N,) and all outputs (N, d)."""
    return lambda x, weights, matrices: wrong(weights, np.tanh(matrices @ x))


def of_selected(wrong: Callable) -> Callable:
    """Return the function of (x, weights, matrices) that is `wrong` of the weighted outputs of the selected (k, d)."""
    return of_outputs(lambda w, y: wrong((w[:, None] * y)[w > 0]))


def scaled_inputs(x: np.ndarray, weights: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the sum of experts that were given w·x instead of x. (d,)."""
    return np.tanh(weights[:, None] * (matrices @ x)).sum(axis=0)


def needless_calls(y: Any, calls: list[int], x: np.ndarray, weights: np.ndarray, matrices: np.ndarray) -> Fault | None:
    """Return a fault if others than the selected experts were called, or one of them twice."""
    selected, called = np.flatnonzero(weights), set(calls)
    if called - set(selected):
        why = f"y is right, but you called {len(called)} experts where {len(selected)} are selected. An expert of weight 0 must not run: that is the whole saving."
        return Fault("called all", why)
    if len(calls) > len(selected):
        why = f"y is right, but you made {len(calls)} calls for {len(selected)} selected experts: call each once."
        return Fault("called twice", why)
    return None


COMBINE = FunctionQuestion(
    **about("1.3", "Combine the experts", "write it", "medium", points=2, minutes=7),
    hints=(
        "`np.flatnonzero(weights)` gives the indices of the experts with a weight above 0.",
        "Start with `y = 0` and add `weights[i] * experts[i](x)` for each of those indices.",
    ),
    idea="The gate weight multiplies the expert's output, and an expert with weight 0 adds nothing: so do not run it.",
    answer="my_combine",
    parameters=("x", "weights", "experts"),
    cases=combine_cases,
    reference=of_outputs(np.matmul),
    helper=CountedExperts,
    mistakes=by_value(
        "unweighted: You added the selected outputs without their weights.",
        of_outputs(lambda w, y: y[w > 0].sum(axis=0)),
        "averaged: You averaged the selected outputs. Each counts with its own weight.",
        of_outputs(lambda w, y: y[w > 0].mean(axis=0)),
        "all experts: Experts of weight 0 are in your sum: every expert was added.",
        of_outputs(lambda w, y: y.sum(axis=0)),
        "best only: Only the expert with the largest weight is in your sum.",
        of_outputs(lambda w, y: w.max() * y[w.argmax()]),
        "best only, unweighted: This is the output of the expert with the largest weight alone.",
        of_outputs(lambda w, y: y[w.argmax()]),
        "first only: Only the first selected expert is in your sum. Does your loop return too early?",
        of_selected(lambda parts: parts[0]),
        "last only: Only the last selected expert is in your sum. Does each turn of the loop replace y?",
        of_selected(lambda parts: parts[-1]),
        "summed over d: You added up the entries as well, so one number is left. Sum over the experts only.",
        of_selected(np.sum),
        "scaled input: You multiplied the input by the weight. The weight multiplies the output: experts are not linear, so that is not the same.",
        scaled_inputs,
        "wrong pairs: The weights went to the wrong experts: the i-th weight above 0 does not belong to the i-th expert.",
        of_outputs(lambda w, y: w[w > 0] @ y[: (w > 0).sum()]),
        "not summed: These are the weighted outputs one by one. Add them up: y has shape (d,).",
        of_selected(lambda parts: parts),
    ),
    afterwards=needless_calls,
)
