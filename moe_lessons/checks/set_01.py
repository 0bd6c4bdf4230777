"""Questions of exercise set 01: the worked example."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.question import (
    Data,
    FunctionQuestion,
    Mistake,
    Reply,
    ValuesQuestion,
    VariableQuestion,
    Verdict,
    call_answer,
)
from moe_lessons.checks.values import describe, stacked
from moe_lessons.data import worked_example

ROUTING = tuple(f"routing.{name}" for name in ("router_logits", "softmax", "top_k", "gate_weights", "route"))

# The token and the two prototypes (columns) that question 1.4 gives.
GIVEN_TOKEN = np.array([2.0, 1.0])
GIVEN_PROTOTYPES = np.array([[1.0, 0.2], [0.6, 1.2]])


def draw_router(rng: np.random.Generator, d: int, N: int, *lead: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random tokens (*lead, d) and a router matrix (d, N), with one decimal so that they read well."""
    return rng.normal(size=(*lead, d)).round(1) + 0.05, rng.normal(size=(d, N)).round(1) + 0.01


# --- 1.1 logits ---------------------------------------------------------------------------------------------------


def logits_cases(rng: np.random.Generator) -> list[tuple]:
    """One token twice, a batch, a batch of one; d and N always differ."""
    return [draw_router(rng, 2, 3), draw_router(rng, 5, 4), draw_router(rng, 4, 6, 3), draw_router(rng, 3, 5, 1)]


def distances(x: np.ndarray, W_g: np.ndarray) -> np.ndarray:
    """Return how far x (..., d) lies from every column of W_g (d, N)."""
    return np.linalg.norm(x[..., None] - W_g, axis=-2)  # (..., N)


def cosines(x: np.ndarray, W_g: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between x (..., d) and every column of W_g (d, N)."""
    return x @ W_g / (np.linalg.norm(x, axis=-1, keepdims=True) * np.linalg.norm(W_g, axis=0))  # (..., N)


LOGITS = FunctionQuestion(
    id="1.1",
    title="Logits",
    kind="write it",
    points=1,
    minutes=4,
    difficulty="easy",
    hints=(
        "The logit of one expert is the dot product of x with that expert's column of `W_g`.",
        "The last axis of x and the first axis of `W_g` both have length d. One operator of numpy sums over them.",
    ),
    idea="A matrix product is many dot products at once: `x @ W_g` takes every row of x against every column of W_g.",
    answer="my_logits",
    parameters=("x", "W_g"),
    stands_for=("routing.router_logits", "routing.route"),
    when_raised="If it is about shapes: d is the last axis of x and the first of W_g, so x comes first and W_g stays as it is.",
    cases=logits_cases,
    reference=routing.router_logits,
    mistakes=(
        Mistake("probabilities", "These are probabilities: you went on to the softmax. Logits come before it.",
                lambda x, W_g: routing.softmax(x @ W_g)),
        Mistake("exponentials", "These are the exponentials of the logits. They belong to the next step, the softmax.",
                lambda x, W_g: np.exp(x @ W_g)),
        Mistake("rounded", "Right, but rounded to two decimals. Return the numbers as they are; round only when you print.",
                lambda x, W_g: np.round(x @ W_g, 2)),
        Mistake("cosine", "You divided by the lengths, which gives the cosine of the angle. A logit is the plain dot product: the lengths stay in.", cosines),
        Mistake("distance", "These are distances between x and the columns. A router takes dot products.", distances),
        Mistake("negative distance", "These are negative distances between x and the columns. A router takes dot products.", lambda x, W_g: -distances(x, W_g)),
        Mistake("scaled", "You divided by √d, as attention does. A router's logits are not scaled.",
                lambda x, W_g: x @ W_g / np.sqrt(len(W_g))),
        Mistake("not summed", "You multiplied the entries but did not add them up over d.",
                lambda x, W_g: x[..., None] * W_g),
        Mistake("reshaped", "W_g was reshaped and transposed until the shapes fitted. That shuffles its numbers: column i is no longer the prototype of expert i.", lambda x, W_g: x @ W_g.reshape(W_g.shape[::-1]).T),
        Mistake("transposed result", "Right for one token, but a batch comes out as (N, T). Tokens come first: (T, N).",
                lambda x, W_g: (x @ W_g).T),
    ),
)  # fmt: skip


# --- 1.2 the trace of one token -----------------------------------------------------------------------------------


def trace_cases(rng: np.random.Generator) -> list[tuple]:
    """Single tokens; the last selects so many that their order cannot agree with another order by chance."""
    cases = [(*draw_router(rng, 3, 4), 2), (*draw_router(rng, 4, 5), 1)]
    while True:
        x, W_g = draw_router(rng, 3, 8)
        steps = np.diff(routing.top_k(x @ W_g, 5)[1])
        if len(set((x @ W_g).round(6))) == 8 and (steps > 0).any() and (steps < 0).any():
            return [*cases, (x, W_g, 5)]


def trace_parts(x: np.ndarray, W_g: np.ndarray, k: int) -> tuple:
    """Return logits (N,), probabilities (N,), selected indices (k,), weights (N,)."""
    trace = routing.route(x, W_g, k)
    return trace.logits, trace.probs, trace.selected, trace.weights


def selected_mask(x: np.ndarray, W_g: np.ndarray, k: int) -> np.ndarray:
    """Mark the k selected experts. Returns booleans (N,)."""
    return routing.gate_weights(x @ W_g, k, "softmax_topk") > 0


def exponentials(x: np.ndarray, W_g: np.ndarray, k: int) -> np.ndarray:
    """Return e to the logits, not divided by their sum. (N,)."""
    return np.exp(x @ W_g)


TRACE = FunctionQuestion(
    id="1.2",
    title="The full trace of one token",
    kind="write it",
    points=3,
    minutes=12,
    difficulty="medium",
    hints=(
        "Four steps, four lines: dot products; exponentials divided by their sum; the k largest; those k divided by their own sum.",
        "`np.argsort(-h)[:k]` gives the indices of the k largest logits, largest first. Start the weights with `np.zeros(N)` and fill in the selected places.",
    ),
    idea="The selection needs only the order of the logits; the weights are the selected probabilities, rescaled to sum to 1.",
    answer="my_trace",
    parameters=("x", "W_g", "k"),
    stands_for=ROUTING,
    parts=("logits", "probs", "selected", "weights"),
    cases=trace_cases,
    reference=trace_parts,
    mistakes=(
        Mistake("cosine", "You divided by the lengths, which gives cosines. A logit is the plain dot product.",
                lambda x, W_g, k: cosines(x, W_g), part="logits"),
        Mistake("not normalised", "These are the exponentials. Divide them by their sum: probabilities sum to 1.",
                exponentials, part="probs"),
        Mistake("divided logits", "You divided the logits by their sum, without the exponential. Negative logits then give negative 'probabilities'.", lambda x, W_g, k: x @ W_g / (x @ W_g).sum(), part="probs"),
        Mistake("softmax of the selected", "Here the softmax runs over the selected experts only. `probs` covers all N; only `weights` is restricted to the selected.",
                lambda x, W_g, k: routing.gate_weights(x @ W_g, k), part="probs"),
        Mistake("lowest first", "The right experts, in the opposite order: the best one comes first.",
                lambda x, W_g, k: routing.top_k(x @ W_g, k)[1][::-1], part="selected"),
        Mistake("index order", "The right experts, sorted by index. They should be sorted by logit, the best first.",
                lambda x, W_g, k: np.sort(routing.top_k(x @ W_g, k)[1]), part="selected"),
        Mistake("smallest", "These are the k smallest logits: argsort sorts upwards.",
                lambda x, W_g, k: np.argsort(x @ W_g)[:k], part="selected"),
        Mistake("counted from one", "You counted experts from 1. In code, the first index is 0.",
                lambda x, W_g, k: routing.top_k(x @ W_g, k)[1] + 1, part="selected"),
        Mistake("values", "These are the k largest logits themselves. `selected` holds their indices.",
                lambda x, W_g, k: routing.top_k(x @ W_g, k)[0], part="selected"),
        Mistake("mask", "This marks every expert as in or out. `selected` holds the k indices, the best first.",
                selected_mask, part="selected"),
        Mistake("swapped", "These are the weights. The order is logits, probs, selected, weights.",
                lambda x, W_g, k: routing.gate_weights(x @ W_g, k), part="selected"),
        Mistake("not renormalised", "The selected probabilities are there, but they do not sum to 1. Divide by their sum.",
                lambda x, W_g, k: routing.gate_weights(x @ W_g, k, "softmax_topk"), part="weights"),
        Mistake("second softmax", "You applied a softmax to the selected probabilities. Divide them by their sum instead (or take the softmax of the selected logits: the same).",
                lambda x, W_g, k: routing.gate_weights(routing.softmax(x @ W_g), k), part="weights"),
        Mistake("masked with 0", "Your unselected experts still carry weight: you set their logits to 0, and e⁰ = 1. Mask with −∞.",
                lambda x, W_g, k: routing.softmax(np.where(selected_mask(x, W_g, k), x @ W_g, 0)), part="weights"),
        Mistake("only the selected", "The numbers are right, but there are only k of them. `weights` has one entry per expert, 0 where not selected.",
                lambda x, W_g, k: np.take(routing.gate_weights(x @ W_g, k), routing.top_k(x @ W_g, k)[1]), part="weights"),
        Mistake("all probabilities", "These are all N probabilities. An expert that is not selected has weight 0.",
                lambda x, W_g, k: routing.softmax(x @ W_g), part="weights"),
        Mistake("divided logits", "You divided the selected logits by their sum. Divide the selected probabilities.",
                lambda x, W_g, k: np.where(selected_mask(x, W_g, k), x @ W_g, 0) / routing.top_k(x @ W_g, k)[0].sum(),
                part="weights"),
        Mistake("first places", "The right numbers in the first k places. Each belongs at its expert's index.",
                lambda x, W_g, k: -np.sort(-routing.gate_weights(x @ W_g, k)), part="weights"),
        Mistake("equal shares", "Every selected expert gets 1/k here. The weights follow the probabilities.",
                lambda x, W_g, k: selected_mask(x, W_g, k) / k, part="weights"),
    ),
)  # fmt: skip


# --- 1.3 combine --------------------------------------------------------------------------------------------------


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


def expert_outputs(x: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return tanh(M_i x) for every expert. (N, d)."""
    return np.tanh(matrices @ x)


def combined(x: np.ndarray, weights: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the weighted sum of the experts' outputs. (d,)."""
    return weights @ expert_outputs(x, matrices)


def scaled_inputs(x: np.ndarray, weights: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the sum of experts that were given w·x instead of x. (d,)."""
    return sum(np.tanh(w * M @ x) for w, M in zip(weights, matrices, strict=True))


class CountedExperts:
    """Experts made from matrices; remembers the index of each that is called."""

    def __init__(self, matrices: np.ndarray) -> None:
        self.calls: list[int] = []
        self.functions = [self._expert(i, M) for i, M in enumerate(matrices)]

    def _expert(self, index: int, M: np.ndarray) -> Any:
        def expert(x: Any) -> np.ndarray:
            self.calls.append(index)
            return np.tanh(M @ np.asarray(x, dtype=float))

        return expert


@dataclass(frozen=True, kw_only=True)
class CombineQuestion(FunctionQuestion):
    """Adds to the comparison of values the count of calls."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer with experts that count."""
        values, calls, changed = [], [], set()
        for x, weights, matrices in data["cases"]:
            experts = CountedExperts(matrices)
            value, names = call_answer(answer, self.parameters, (x, weights), experts.functions)
            values.append(value)
            calls.append(experts.calls)
            changed.update(names)
        return {"values": values, "calls": calls, "changed": sorted(changed)}

    def _write_case(self, case: tuple) -> str:
        return super()._write_case(case[:2])  # the third would be the matrices, which the learner never sees

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the sums first, then which experts did the work."""
        verdict = super().judge(data, reply)
        if not verdict.correct:
            return verdict
        for (_, weights, _), calls in zip(data["cases"], reply["calls"], strict=True):
            selected = np.flatnonzero(weights)
            if set(calls) - set(selected):
                return Verdict(False, f"y is right, but you called {len(set(calls))} experts where {len(selected)} are selected. An expert of weight 0 must not run: that is the whole saving.", "called all")  # fmt: skip
            if len(calls) > len(selected):
                return Verdict(False, f"y is right, but you made {len(calls)} calls for {len(selected)} selected experts: call each once.", "called twice")  # fmt: skip
        return verdict


COMBINE = CombineQuestion(
    id="1.3",
    title="Combine the experts",
    kind="write it",
    points=2,
    minutes=7,
    difficulty="medium",
    hints=(
        "`np.flatnonzero(weights)` gives the indices of the experts with a weight above 0.",
        "Start with `y = 0` and add `weights[i] * experts[i](x)` for each of those indices.",
    ),
    idea="The gate weight multiplies the expert's output, and an expert with weight 0 adds nothing: so do not run it.",
    answer="my_combine",
    parameters=("x", "weights", "experts"),
    cases=combine_cases,
    reference=combined,
    mistakes=(
        Mistake("unweighted", "You added the selected outputs without their weights.",
                lambda x, weights, matrices: (weights > 0) @ expert_outputs(x, matrices)),
        Mistake("averaged", "You averaged the selected outputs. Each counts with its own weight.",
                lambda x, weights, matrices: (weights > 0) / (weights > 0).sum() @ expert_outputs(x, matrices)),
        Mistake("all experts", "Experts of weight 0 are in your sum: every expert was added.",
                lambda x, weights, matrices: expert_outputs(x, matrices).sum(axis=0)),
        Mistake("best only", "Only the expert with the largest weight is in your sum.",
                lambda x, weights, matrices: weights.max() * expert_outputs(x, matrices)[weights.argmax()]),
        Mistake("best only, unweighted", "This is the output of the expert with the largest weight alone.",
                lambda x, weights, matrices: expert_outputs(x, matrices)[weights.argmax()]),
        Mistake("first only", "Only the first selected expert is in your sum. Does your loop return too early?",
                lambda x, weights, matrices: weights[weights > 0][0] * expert_outputs(x, matrices)[weights > 0][0]),
        Mistake("last only", "Only the last selected expert is in your sum. Does each turn of the loop replace y?",
                lambda x, weights, matrices: weights[weights > 0][-1] * expert_outputs(x, matrices)[weights > 0][-1]),
        Mistake("summed over d", "You added up the entries as well, so one number is left. Sum over the experts only.",
                lambda x, weights, matrices: combined(x, weights, matrices).sum()),
        Mistake("scaled input", "You multiplied the input by the weight. The weight multiplies the output: experts are not linear, so that is not the same.", scaled_inputs),
        Mistake("wrong pairs", "The weights went to the wrong experts: the i-th weight above 0 does not belong to the i-th expert.",
                lambda x, weights, matrices: weights[weights > 0] @ expert_outputs(x, matrices)[: (weights > 0).sum()]),
        Mistake("not summed", "These are the weighted outputs one by one. Add them up: y has shape (d,).",
                lambda x, weights, matrices: (weights[:, None] * expert_outputs(x, matrices))[weights > 0]),
    ),
)  # fmt: skip


# --- 1.4 a prototype that wins without being the most aligned -------------------------------------------------------


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Return the angle between two vectors (d,), in degrees."""
    return float(np.degrees(np.arccos(np.clip(cosines(a, b[:, None])[0], -1, 1))))


@dataclass(frozen=True, kw_only=True)
class PrototypeQuestion(VariableQuestion):
    """Any prototype is right that has the largest logit and not the smallest angle."""

    def draw(self, rng: np.random.Generator) -> Data:
        """Return the given token and prototypes."""
        return {"x": GIVEN_TOKEN, "W_g": GIVEN_PROTOTYPES}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Measure the logit and the angle of the learner's prototype."""
        w = stacked(reply["value"])
        if not is_point(w):
            return Verdict(False, f"Expected a prototype: two numbers up to a million in size. Came {describe(w)}.")
        if not w.any():
            return Verdict(
                False, "The zero vector has logit 0 with every token, and no direction at all.", "zero vector"
            )
        x, W_g = data["x"], data["W_g"]
        others, mine = x @ W_g, float(x @ w)
        angles, my_angle = [angle(x, column) for column in W_g.T], angle(x, w.astype(float))
        seen = (f"Your logit: {mine:.3f} (the others: {', '.join(f'{h:.3f}' for h in others)}). "
                f"Your angle: {my_angle:.1f}° (the others: {', '.join(f'{a:.1f}°' for a in angles)}).")  # fmt: skip
        why, name = prototype_fault(mine, my_angle, float(others.max()), min(angles))
        return Verdict(not name, f"{why}\n{seen}".strip(), name)


def is_point(w: Any) -> bool:
    """Tell whether a plain value is two numbers of a size whose squares can be stored."""
    return isinstance(w, np.ndarray) and w.shape == (2,) and w.dtype.kind in "iuf" and bool((np.abs(w) <= 1e6).all())


def prototype_fault(logit: float, my_angle: float, best_logit: float, best_angle: float) -> tuple[str, str | None]:
    """Say what is wrong with a prototype of this logit and angle, and name it; two empties when nothing is."""
    if logit < 0:
        return "It points away from the token: its logit is not even positive.", "points away"
    wins, aligned = logit > best_logit * (1 + 1e-9), my_angle <= best_angle + 1e-3
    if wins and not aligned:
        return "", None
    if wins:
        return (
            "It wins, but no other prototype is better aligned. Turn it away from x, and see what must grow.",
            "most aligned",
        )
    if abs(logit - best_logit) <= best_logit * 1e-9:
        return "A tie: the lower index wins it, and yours is the last. Go a little beyond.", "tie"
    if aligned:
        return (
            "Well aligned, but too short: it loses. And the task is to win with a worse angle.",
            "aligned but short",
        )
    return "It is not the most aligned, as asked, but it does not win: its logit is too small.", "too short"


PROTOTYPE = PrototypeQuestion(
    id="1.4",
    title="Win without being the most aligned",
    kind="build a counterexample",
    points=2,
    minutes=6,
    difficulty="medium",
    hints=(
        "The logit is |x|·|c|·cos(angle), where c is the prototype. You must lose on the angle. What is left to win with?",
        "Pick any direction at 20° to 60° from x, then make the vector longer until its logit passes the others.",
    ),
    idea="A dot product rewards length as well as direction, so a long prototype beats a better aligned short one.",
    answer="my_prototype",
)


# --- 1.5 what doubling x changes ----------------------------------------------------------------------------------


def doubled() -> dict[str, Any]:
    """Return what the worked example gives for 2x. Logits in their own unit, the rest pure numbers."""
    x, W_g = worked_example()
    trace = routing.route(2 * x, W_g, k=2)
    return {
        "logit of E3": trace.logits[2],
        "selected": trace.selected,
        "p3 / p2": trace.probs[2] / trace.probs[1],
        "weight of E3": trace.weights[2],
    }


def undoubled() -> routing.Trace:
    """Return the worked example itself."""
    return routing.route(*worked_example(), k=2)


DOUBLING = ValuesQuestion(
    id="1.5",
    title="What doubling the token changes",
    kind="predict a number",
    points=2,
    minutes=6,
    difficulty="medium",
    hints=(
        "A dot product is linear: what happens to x·c when x becomes 2x? The softmax then sees only differences of logits.",
        "The gap between E3 and E2 was 0.22. The ratio of two probabilities is e to the gap.",
    ),
    idea="Doubling x doubles every logit, so it doubles every gap: the order stays, every ratio is squared, the gate gets sharper.",
    answer="doubling",
    expected=doubled,
    advice={
        "logit of E3": "It is the dot product of 2x with the third column of W_g. Multiply and add once more.",
        "selected": "It is a list of two indices, counted from 0, the expert with the larger logit first.",
        "p3 / p2": "Take the logits of E3 and E2 for 2x, their gap, then e to the gap. Round at the very end.",
        "weight of E3": "Take E3's probability for 2x, divided by the sum of the two selected probabilities.",
    },
    mistakes=(
        Mistake("logit unchanged", "That is the logit of x itself. Nothing in this router scales x back: 2x has another logit.",
                lambda: undoubled().logits[2], part="logit of E3"),
        Mistake("logit quadrupled", "That is four times the logit. Only x was doubled, W_g stayed.",
                lambda: 4 * undoubled().logits[2], part="logit of E3"),
        Mistake("counted from one", "You counted the experts from 1. `selected` holds indices, and the first index is 0.",
                lambda: undoubled().selected + 1, part="selected"),
        Mistake("order turned", "The right two, in the wrong order: the best one comes first.",
                lambda: undoubled().selected[::-1], part="selected"),
        Mistake("ratio unchanged", "That is the ratio for x itself. The softmax divides a common factor of the *exponentials* out, not of the logits.", lambda: undoubled().probs[2] / undoubled().probs[1], part="p3 / p2"),
        Mistake("ratio doubled", "You doubled the ratio. The gap doubles, and the gap sits in the exponent.",
                lambda: 2 * undoubled().probs[2] / undoubled().probs[1], part="p3 / p2"),
        Mistake("ratio of logits", "That is the ratio of the two logits. Probabilities have the ratio e^gap.",
                lambda: undoubled().logits[2] / undoubled().logits[1], part="p3 / p2"),
        Mistake("gap", "That is the gap between the two logits. The ratio is e to that gap.",
                lambda: 2 * (undoubled().logits[2] - undoubled().logits[1]), part="p3 / p2"),
        Mistake("inverse", "That is E2's probability divided by E3's. It was asked the other way round.",
                lambda: doubled()["p3 / p2"] ** -1, part="p3 / p2"),
        Mistake("other expert", "That is the weight of E2. E3 has the larger one.",
                lambda: 1 - doubled()["weight of E3"], part="weight of E3"),
        Mistake("percent", "That is in percent. Give it as a number between 0 and 1.",
                lambda: 100 * doubled()["weight of E3"], part="weight of E3"),
        Mistake("ratio", "That is the ratio of the two weights. They sum to 1, so neither is above 1.",
                lambda: doubled()["p3 / p2"], part="weight of E3"),
        Mistake("weight unchanged", "That is the weight for x itself. A ratio that changed changes both weights.",
                lambda: undoubled().weights[2], part="weight of E3"),
        Mistake("weight doubled", "That is above 1. The two weights still sum to 1.",
                lambda: 2 * undoubled().weights[2], part="weight of E3"),
        Mistake("probability", "That is the probability among all four. The weight is shared by the two selected only.",
                lambda: routing.route(2 * worked_example()[0], worked_example()[1], k=2).probs[2], part="weight of E3"),
    ),
)  # fmt: skip

QUESTIONS = (LOGITS, TRACE, COMBINE, PROTOTYPE, DOUBLING)
