"""How a router chooses: logits, softmax, top-k, gate weights, noise. Plain numpy, meant to be read.

Letters, used everywhere: T tokens, d width, N experts, k active experts.
x (T, d) tokens, W_g (d, N) router matrix, h (T, N) logits, p (T, N) probabilities, w (T, N) gate weights.
Experts are counted from 0 here, as Python does; the lessons call index 0 expert 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons.support.validation import float_array, one_of, positive_number, refuse, score_array, whole_number

GATE_FORMS = {
    "topk_softmax": "keep the top-k logits, softmax over them (Shazeer et al. 2017)",
    "softmax_topk": "softmax over all, keep the top-k probabilities as they are (Switch, OLMoE)",
    "softmax_topk_renorm": "softmax over all, keep the top-k, divide by their sum (Mixtral)",
}


def router_logits(x: Any, W_g: Any) -> np.ndarray:
    """Score every expert for every token: h = x W_g.

    x: (..., d). W_g: (d, N), column i is the prototype of expert i. Returns (..., N), unitless.
    Raises ValueError for entries that are not finite numbers, widths that do not match, and overflow.
    Source: Shazeer et al. 2017 (arXiv:1701.06538), Eq. 4 without its noise.
    """
    x = float_array("x", x)  # (..., d)
    W_g = float_array("W_g", W_g)  # (d, N)
    if W_g.ndim != 2 or 0 in W_g.shape:
        raise refuse("W_g.shape", W_g.shape, "(d, N): one row per input number, one column per expert")
    if x.shape[-1] != W_g.shape[0]:
        raise refuse("x.shape", x.shape, f"a last axis of {W_g.shape[0]}, the number of rows of W_g")
    with np.errstate(over="ignore", invalid="ignore"):
        h = x @ W_g  # (..., N)
    return float_array("x @ W_g", h, expected="products that fit into a floating-point number")


def softmax(logits: Any, temperature: float = 1.0, axis: int = -1) -> np.ndarray:
    """Turn scores into positive numbers that sum to 1: p_i = exp(h_i/τ) / Σ_j exp(h_j/τ).

    logits: any shape; −∞ is a mask and gets exactly 0. Returns the same shape and floating dtype.
    Raises ValueError for NaN, +∞, a row of −∞ only, or a temperature that is not above 0.
    Source: Bridle 1990; τ as in Hinton et al. 2015 (arXiv:1503.02531), Eq. 1.
    """
    h = score_array("logits", logits, axis)  # (..., N)
    tau = np.float64(positive_number("temperature", temperature))
    with np.errstate(over="ignore", under="ignore"):  # a gap too large to store is a probability of 0
        # Subtract the largest before dividing: then no exponent is positive, whatever the temperature.
        gaps = (h - h.max(axis=axis, keepdims=True)) / tau  # (..., N), all <= 0
        scores = np.exp(gaps)  # (..., N), the largest is 1
        p = scores / scores.sum(axis=axis, keepdims=True)  # (..., N)
        return p.astype(h.dtype)


def log_sum_exp(logits: Any, axis: int = -1) -> np.ndarray:
    """Return log Σ_j exp(h_j) along `axis`: the logarithm (in nats) of the softmax's denominator.

    Lies between max(h) and max(h) + ln N. logits: any shape; the result lacks `axis`.
    Raises ValueError as `softmax` does.
    Source: the quantity squared in the router z-loss, Zoph et al. 2022 (arXiv:2202.08906), Eq. 5.
    """
    h = score_array("logits", logits, axis)  # (..., N)
    largest = h.max(axis=axis, keepdims=True)  # (..., 1)
    with np.errstate(over="ignore", under="ignore"):
        total = np.exp(h - largest).sum(axis=axis, dtype=np.float64)  # (...), from 1 to N
    return (np.squeeze(largest, axis=axis) + np.log(total)).astype(h.dtype)  # (...)


def top_k(scores: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest scores of each row, descending, and their indices.

    scores: (..., N). Returns values (..., k) and indices (..., k). Of equal scores the lower index comes first.
    Raises ValueError for k outside 1..N, and for scores that `softmax` would refuse.
    """
    scores = score_array("scores", scores)  # (..., N)
    k = whole_number("k", k, least=1, most=scores.shape[-1])
    indices = np.argsort(-scores, axis=-1, kind="stable")[..., :k]  # (..., k); stable keeps ties in order
    return np.take_along_axis(scores, indices, axis=-1), indices


def gate_weights(logits: Any, k: int, form: str = "topk_softmax", temperature: float = 1.0) -> np.ndarray:
    """Return the weight of every expert for every token: zero unless the expert is among the k selected.

    logits: (..., N). form: a key of GATE_FORMS. Returns (..., N), the dtype of the logits.
    Every form selects on the logits: probabilities can tie by rounding where logits do not.
    Raises ValueError for an unknown form, and for what `softmax` and `top_k` refuse.
    Sources: Shazeer et al. 2017 (arXiv:1701.06538), Eq. 3 and 5; Fedus et al. 2021 (arXiv:2101.03961), Eq. 2;
    Jiang et al. 2024 (arXiv:2401.04088), Section 2.1.
    """
    one_of("form", form, GATE_FORMS)
    h = score_array("logits", logits)  # (..., N)
    selected = _selection_mask(h, k)  # (..., N)
    if form == "topk_softmax":
        return softmax(np.where(selected, h, -np.inf), temperature)  # (..., N)
    kept = np.where(selected, softmax(h, temperature), 0)  # (..., N)
    if form == "softmax_topk":
        return kept
    return kept / kept.sum(axis=-1, keepdims=True)  # (..., N)


def _selection_mask(h: np.ndarray, k: int) -> np.ndarray:
    """Mark the k largest of each row. h: (..., N). Returns booleans (..., N)."""
    mask = np.zeros(h.shape, dtype=bool)  # (..., N)
    np.put_along_axis(mask, top_k(h, k)[1], True, axis=-1)
    return mask


# --- any gate -----------------------------------------------------------------------------------------------------


def sigmoid(h: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^−h), from 0 to 1: a score that depends on its own logit alone. Any shape."""
    with np.errstate(over="ignore"):  # e^−h too large to store is a score of 0
        return 1 / (1 + np.exp(-h))


def sqrt_softplus(h: np.ndarray) -> np.ndarray:
    """Return √ln(1 + e^h), above 0 and without a largest value. Any shape."""
    return np.sqrt(np.logaddexp(0, h))


SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "sqrtsoftplus": sqrt_softplus,
}
GROUP_SCORES = {"max": 1, "top2": 2}  # how many of its experts speak for a group


@dataclass(frozen=True)
class Gate:
    """A gate of published models, by what it does with the logits h of one token.

        s_i = score(h_i)                           softmax: over all experts; the others: each logit for itself
        S   = the k experts with the largest s_i + b_i
        w_i = scale · s_i / Σ_{j ∈ S} s_j          for i in S, and 0 for the others

    The bias b moves who is selected, never a weight. Without it the logits decide, as in `gate_weights`.
    score: a key of SCORES. normalise: False leaves out the division by the sum. scale: above 0.
    after_selection: select by h_i + b_i, then score the kept logits alone (form A, whose softmax sums to 1 by itself).
    groups, kept_groups: the experts, in their order, form groups of equal size; all but the best kept_groups are out.
    group_score: a group is as good as its best expert ("max") or as its best two together ("top2"), bias included.
    Raises ValueError for settings outside these.
    Sources: DeepSeek-V3 2024 (arXiv:2412.19437), Eq. 12-16; DeepSeek-V2 2024 (arXiv:2405.04434), Section 2.2.2.
    """

    score: str = "softmax"
    after_selection: bool = False
    normalise: bool = True
    scale: float = 1.0
    groups: int = 1
    kept_groups: int = 1
    group_score: str = "max"

    def __post_init__(self) -> None:
        one_of("score", self.score, SCORES)
        one_of("group_score", self.group_score, GROUP_SCORES)
        for name in ("after_selection", "normalise"):
            if not isinstance(getattr(self, name), bool):
                raise refuse(name, getattr(self, name), "True or False")
        positive_number("scale", self.scale)
        groups = whole_number("groups", self.groups, least=1, most=2**31)
        whole_number("kept_groups", self.kept_groups, least=1, most=groups)

    @property
    def constant_sum(self) -> bool:
        """Tell whether the weights of every token sum to `scale`. Then k = 1 leaves the router without a gradient."""
        return self.normalise or self.softmax_of_kept

    @property
    def softmax_of_kept(self) -> bool:
        """Tell whether the scores sum to 1 by themselves: to divide once more would only round once more."""
        return self.after_selection and self.score == "softmax"

    def weights(self, logits: Any, k: int, bias: Any = None) -> np.ndarray:
        """Return the weight of every expert, 0 unless it is selected. logits: (..., N). Returns (..., N), their dtype.

        bias: None, or (N,) finite numbers in units of the scores (of the logits, with after_selection).
        Where every selected score underflows to 0, so do the weights: there is no sum to divide by.
        Raises ValueError for logits that `softmax` refuses, a bias of another length, a number of experts that the
        groups do not divide, and a k above the number of experts in the kept groups.
        """
        h = score_array("logits", logits)  # (..., N)
        kept = self.selected(h, k, bias)  # (..., N)
        if self.after_selection:
            h = np.where(kept, h, -np.inf)  # (..., N)
        s = np.where(kept, SCORES[self.score](h), 0)  # (..., N)
        if self.normalise and not self.softmax_of_kept:
            total = s.sum(axis=-1, keepdims=True)  # (..., 1)
            s = s / np.where(total > 0, total, 1)  # (..., N)
        return self.scale * s

    def selected(self, logits: Any, k: int, bias: Any = None) -> np.ndarray:
        """Mark the k experts of each token, of equal ones the lower index. Booleans (..., N). See `weights`."""
        h = score_array("logits", logits)  # (..., N)
        whole_number("k", k, least=1, most=self.experts_in_reach(h.shape[-1]))
        return _selection_mask(self.seen(h, bias), k)

    def seen(self, logits: Any, bias: Any = None) -> np.ndarray:
        """Return the numbers of which the k largest are selected: −∞ for experts of dropped groups. (..., N).

        With after_selection, or with neither bias nor groups, these are the logits. See `weights`.
        """
        h = score_array("logits", logits)  # (..., N)
        self.experts_in_reach(h.shape[-1])
        # Scores order the experts as the logits do, but float scores can tie where the logits do not.
        plain = self.after_selection or (bias is None and self.groups == 1)
        seen = h if plain else np.where(np.isneginf(h), h, SCORES[self.score](h))  # (..., N); −∞ stays a mask
        if bias is not None:
            seen = seen + _bias_array(bias, h.shape[-1])  # (..., N)
        return np.where(self._in_kept_groups(seen), seen, -np.inf) if self.groups > 1 else seen

    def _in_kept_groups(self, seen: np.ndarray) -> np.ndarray:
        """Mark the experts of the best groups. seen: (..., N), what the selection sees. Booleans (..., N)."""
        size = seen.shape[-1] // self.groups
        ascending = np.sort(seen.reshape(*seen.shape[:-1], self.groups, size), axis=-1)  # (..., groups, size)
        group_scores = ascending[..., -GROUP_SCORES[self.group_score] :].sum(axis=-1)  # (..., groups)
        return np.repeat(_selection_mask(group_scores, self.kept_groups), size, axis=-1)

    def experts_in_reach(self, N: int) -> int:
        """Return how many of N experts a token can select from. Raises ValueError for groups that do not fit N."""
        if N % self.groups:
            raise refuse("groups", self.groups, f"a divisor of the number of experts, {N}")
        size = N // self.groups
        if self.groups > 1 and size < GROUP_SCORES[self.group_score]:
            raise refuse("group_score", self.group_score, f"'max': a group of {size} has no two experts")
        return self.kept_groups * size


GATES = {
    "topk_softmax": Gate(after_selection=True),
    "softmax_topk": Gate(normalise=False),
    "softmax_topk_renorm": Gate(),
}  # the forms of `gate_weights`, which computes the same to the last bit


def as_gate(gate: Any, name: str = "gate") -> Gate:
    """Return a Gate as it is, and that of a key of GATE_FORMS. Raises ValueError, with `name`, for anything else."""
    return gate if isinstance(gate, Gate) else GATES[one_of(name, gate, GATE_FORMS)]


def _bias_array(bias: Any, N: int) -> np.ndarray:
    """Return a selection bias as finite numbers (N,)."""
    b = float_array("bias", bias)
    if b.shape != (N,):
        raise refuse("bias.shape", b.shape, f"({N},): one number for each expert")
    return b


# --- noise, and a record of every step ----------------------------------------------------------------------------


def noisy_logits(x: Any, W_g: Any, W_noise: Any, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise whose size depends on token and expert: h_i + ε_i · softplus((x W_noise)_i).

    x: (..., d). W_g, W_noise: (d, N). rng: a numpy Generator, drawn from once. Returns (..., N).
    Use it in training only. Raises ValueError as `router_logits` does, and when the two matrices differ in shape.
    Source: Shazeer et al. 2017 (arXiv:1701.06538), Eq. 4.
    """
    if not isinstance(rng, np.random.Generator):
        raise refuse("rng", rng, "a numpy.random.Generator, for instance numpy.random.default_rng(0)")
    h, W_noise = router_logits(x, W_g), float_array("W_noise", W_noise)  # (..., N), (d, N)
    if W_noise.shape != np.shape(W_g):
        raise refuse("W_noise.shape", W_noise.shape, f"the shape of W_g, {np.shape(W_g)}")
    scale = np.logaddexp(0, router_logits(x, W_noise))  # (..., N); softplus(z) = ln(1 + e^z) > 0
    return (h + rng.standard_normal(h.shape) * scale).astype(h.dtype)


@dataclass(frozen=True, eq=False)
class Trace:
    """Everything `route` computed on the way. Printing it shows a table.

    logits (..., N), noise included; probs (..., N), the dense softmax; selected (..., k), best first;
    weights (..., N), zero where not selected. Of a Gate also seen (..., N), of which the selection took the largest,
    and scores (..., N), of which the weights are made.
    """

    logits: np.ndarray
    probs: np.ndarray
    selected: np.ndarray
    weights: np.ndarray
    form: str | Gate = "topk_softmax"
    temperature: float = 1.0
    seen: np.ndarray | None = None
    scores: np.ndarray | None = None

    def __repr__(self) -> str:
        """Lay the trace out as text, one line per expert (one token) or per token (several)."""
        form = (
            f"{self.form}, temperature = {self.temperature:g}" if isinstance(self.form, str) else _in_short(self.form)
        )
        setting = f"k = {self.selected.shape[-1]}, form = {form}"
        rows = _expert_rows(self) if self.logits.ndim == 1 else _token_rows(self)
        return "\n".join([setting, *rows])


def route(
    x: Any,
    W_g: Any,
    k: int,
    form: str | Gate = "topk_softmax",
    temperature: float = 1.0,
    noise: Any = None,
    bias: Any = None,
) -> Trace:
    """Route tokens and keep every step: logits, probabilities, selection, weights.

    x: (..., d). W_g: (d, N). noise: None, or (..., N) numbers that are added to the logits as they are.
    form: a key of GATE_FORMS, or a Gate; bias (N,) is a Gate's, and acts in its selection.
    Raises ValueError for what `router_logits`, `gate_weights` and `Gate.weights` refuse, for noise of another shape,
    for a bias without a Gate, and for a temperature beside one.
    """
    h = router_logits(x, W_g)  # (..., N)
    if noise is not None:
        noise = float_array("noise", noise)
        if noise.shape != h.shape:
            raise refuse("noise.shape", noise.shape, f"the shape of the logits, {h.shape}")
        h = h + noise  # (..., N)
    if isinstance(form, Gate):
        return _gate_trace(h, k, form, temperature, bias)
    if bias is not None:
        raise refuse("bias", bias, "None, or a Gate as form")
    weights = gate_weights(h, k, form, temperature)  # (..., N)
    return Trace(h, softmax(h, temperature), top_k(h, k)[1], weights, form, float(temperature))


def _gate_trace(h: np.ndarray, k: int, gate: Gate, temperature: float, bias: Any) -> Trace:
    """Keep every step of a Gate. h: (..., N)."""
    if temperature != 1:
        raise refuse("temperature", temperature, "1: a Gate has none")
    weights, seen = gate.weights(h, k, bias), gate.seen(h, bias)  # (..., N) each
    scores = SCORES[gate.score](np.where(weights > 0, h, -np.inf) if gate.after_selection else h)  # (..., N)
    return Trace(h, softmax(h), top_k(seen, k)[1], weights, gate, 1.0, seen, scores)


def _in_short(gate: Gate) -> str:
    """Write a gate with those of its settings that are not the usual ones."""
    usual, always = Gate(), {"score"} | ({"kept_groups"} if gate.groups > 1 else set())
    said = {name: value for name, value in vars(gate).items() if name in always or value != getattr(usual, name)}
    return f"Gate({', '.join(f'{name}={value!r}' for name, value in said.items())})"


def _expert_rows(trace: Trace) -> list[str]:
    """One line per expert, for a single token."""
    if trace.seen is not None and trace.scores is not None:
        return _gate_rows(trace, trace.seen, trace.scores)
    header = f"{'expert':>6}  {'index':>5}  {'logit':>8}  {'prob':>6}  {'weight':>6}  selected"
    rank = {int(index): place for place, index in enumerate(trace.selected, start=1)}
    rows = [header]
    for i, (h, p, w) in enumerate(zip(trace.logits, trace.probs, trace.weights, strict=True)):
        mark = f"yes, rank {rank[i]}" if i in rank else "no"
        logit = f"{h:.3f}" if abs(h) < 1e4 or np.isinf(h) else f"{h:.1e}"
        rows.append(f"{f'E{i + 1}':>6}  {i:>5}  {logit:>8}  {p:>6.3f}  {w:>6.3f}  {mark}")
    return rows


def _gate_rows(trace: Trace, seen: np.ndarray, scores: np.ndarray) -> list[str]:
    """One line per expert, with what the selection sees and what the weights see apart. seen, scores: (N,)."""
    rank = {int(index): place for place, index in enumerate(trace.selected, start=1)}
    rows = [f"{'expert':>6}  {'logit':>8}  {'selection sees':>14}  {'weights see':>11}  {'weight':>6}  selected"]
    for i, numbers in enumerate(zip(trace.logits, seen, scores, trace.weights, strict=True)):
        h, s_b, s, w = (f"{n:.3f}" if abs(n) < 1e4 or np.isinf(n) else f"{n:.1e}" for n in numbers)
        mark = f"yes, rank {rank[i]}" if i in rank else "no"
        rows.append(f"{f'E{i + 1}':>6}  {h:>8}  {s_b:>14}  {s:>11}  {w:>6}  {mark}")
    return rows


def _token_rows(trace: Trace, most: int = 20) -> list[str]:
    """One line per token, the first `most` of them."""
    num_experts, k = trace.logits.shape[-1], trace.selected.shape[-1]
    selected = trace.selected.reshape(-1, k)  # (T, k)
    weights = trace.weights.reshape(-1, num_experts)  # (T, N)
    rows = [f"{'token':>5}  selected experts, with their weights"]
    for t in range(min(len(selected), most)):
        rows.append(f"{t:>5}  " + "  ".join(f"E{i + 1} {weights[t, i]:.3f}" for i in selected[t]))
    if len(selected) > most:
        rows.append(f"  ... {len(selected) - most} more tokens")
    return rows
