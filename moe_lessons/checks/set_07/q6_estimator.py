"""Question 7.6: a sparse forward pass whose router hears of a few experts more."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import kept_probabilities, selected_mask, through_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_07.q1_jacobian import spread
from moe_lessons.checks.values import show, without_dust
from moe_lessons.checks.verdicts import Facts, by_formula, by_trace


def estimator_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (h (N,), outputs (N, d), k, m, v (d,)), float32, with clear gaps.

    Some experts are heard and some not; all are; none more than the selected; and one is selected, with and without m.
    One logit that is heard is 0.
    """
    cases = []
    for N, d, k, m in ((6, 3, 2, 2), (4, 2, 2, 2), (5, 4, 3, 0), (5, 3, 1, 2), (6, 4, 3, 1), (4, 3, 1, 0)):
        outputs = rng.normal(size=(N, d))  # (N, d)
        v = rng.choice([-1, 1], size=d) * rng.uniform(0.5, 1.5, size=d)  # (d,)
        h, a = spread(rng, N, 1.2), spread(rng, N, 2.0)  # (N,) each: no two experts equally useful
        h -= rng.choice(np.sort(h)[N - k - m :])
        best, far = h.argmax(), np.abs(a).argmax()
        a[[best, far]] = a[[far, best]]  # so that no gradient is a small difference of large numbers
        outputs += np.outer(a - outputs @ v, v) / (v @ v)
        cases.append((np.float32(h), np.float32(outputs), k, m, np.float32(v)))
    return cases


def of_parts(formula: Callable[[Facts], Any]) -> Callable[..., Any]:
    """Return the function of a case that is `formula` of its parts.

    These are k, m; best(n): form A of the n best; w, wide: of k and k + m; more: wide of the m alone; s, heard: 0/1 masks of
    the k and the k + m; p, b, b_wide: the softmax over all, and kept of it; a = v·E_i; o: the outputs; v.
    """

    def of_case(h: np.ndarray, outputs: np.ndarray, k: int, m: int, v: np.ndarray) -> Any:
        h, o = h.astype(float), outputs.astype(float)  # (N,), (N, d)

        def best(n: int) -> np.ndarray:
            return routing.gate_weights(h, min(n, h.size)) if n > 0 else 0 * h  # (N,)

        w, wide = best(k), best(k + m)  # (N,) each
        masks = {"s": selected_mask(h, k) * 1.0, "heard": selected_mask(h, k + m) * 1.0}
        kept = {"p": routing.softmax(h), "b": kept_probabilities(h, k), "b_wide": kept_probabilities(h, k + m)}
        given = {"k": k, "m": m, "a": o @ v, "o": o, "v": v}
        return formula(Facts(w=w, wide=wide, more=wide * (w == 0), best=best, **masks, **kept, **given))

    return of_case


def slope(c: Facts) -> np.ndarray:
    """Return ∂L/∂h of form A with the k + m best. (N,)."""
    return through_softmax(c.wide, c.a)


def smallest(p: np.ndarray, many: int) -> np.ndarray:
    """Mark the `many` smallest of p (N,)."""
    return selected_mask(-p, many) if many else np.zeros(p.shape, dtype=bool)


def per_sum(p: np.ndarray) -> np.ndarray:
    """Return p (N,) divided by its sum, which may be 0."""
    return p / max(p.sum(), 1e-300)


def value_and_slopes(*case: Any) -> tuple:
    """Return the output of form A with k (d,), the gradient of form A with k + m (N,), and that of the outputs (N, d)."""
    formulas: tuple[Callable[[Facts], Any], ...] = (lambda c: c.w @ c.o, slope, lambda c: np.outer(c.w, c.v))
    return tuple(np.float32(of_parts(formula)(*case) + 0.0) for formula in formulas)


ESTIMATOR = FunctionQuestion(
    **about("7.6", "Half-dense: two more may be heard", "write it", "medium", points=3, minutes=8),
    needs_torch="tensors",
    hints=(
        "Adding `t - t.detach()` to something changes the gradient and not the value. Which two sets of weights do you need here, one for the value and one for the gradient?",
        "Put the trick into the weights, not into the output: detached form A weights of the k, plus those of the k + m, minus the same detached. Then multiply by the outputs and add up. An expert whose weight has the value 0 gets exactly 0.",
    ),
    idea="A weight can have the value of one formula and the derivative of another: w.detach() + u − u.detach(), here with u = form A of the k + m best. The outputs are multiplied by its value, so only the k learn; the router compares k + m.",
    takeaway="Hearing has a price: each further expert that the router compares must run once, so between top-k and dense there is a step for every budget.",
    answer="my_estimator",
    parameters=("logits", "outputs", "k", "m"),
    when_raised="`logits` has the shape (N,), `outputs` (N, d), both float32 tensors; y has the shape (d,). The course's numpy functions refuse tensors that carry a gradient: use torch's own. If it is about an in-place operation: make a new tensor instead (`torch.where`, `masked_fill`, `scatter`).",
    slopes=("logits", "outputs"),
    cases=estimator_cases,
    reference=value_and_slopes,
    read=lambda value, *case: without_dust(value, 1e-6),
    written=lambda h, outputs, k, m, v: f"logits {show(h)}, k = {k} and m = {m}",
    parts={
        "y": by_formula(
            of_parts,
            "more in the output: The output mixes all k + m experts. The m more are only heard: y must be exactly that of form A with the k best.",
            lambda c: c.wide @ c.o,
            "dense forward: The output is the dense mixture of all experts. It must be exactly that of form A with the k best.",
            lambda c: c.p @ c.o,
            "form B forward: The output has form B's weights: probabilities that do not sum to 1. Asked is form A, the softmax over the selected logits.",
            (lambda c: c.b @ c.o, lambda c: c.b_wide @ c.o),
            "weights of the k + m: The output has the k selected experts, with their weights among k + m, which do not sum to 1. Take the softmax over the k alone.",
            lambda c: (c.s * c.wide) @ c.o,
            "both added: The output is the one of the k plus the one of the k + m. Add the second and subtract it again, detached: its value then cancels, its gradient stays.",
            (lambda c: (c.w + c.wide) @ c.o, lambda c: (c.w + c.p) @ c.o),
            "m added: The m more are in the output, beside the k. They are only heard: their part must cancel, as t − t.detach() does.",
            (lambda c: (c.w + c.more) @ c.o, lambda c: (c.w + per_sum(c.more)) @ c.o),
            "best alone: This is the output of the best expert alone, whatever k is.",
            lambda c: c.best(1) @ c.o,
            "value cancelled: The output is 0: you subtracted a detached copy and left out the output of the k that should remain.",
            lambda c: 0 * (c.w @ c.o),
            "not weighted: The selected outputs are added up without their weights.",
            lambda c: c.s @ c.o,
            "averaged: The output is the mean of the one of the k and of a wider one. It must be exactly the one of the k.",
            (lambda c: (c.w + c.wide) @ c.o / 2, lambda c: (c.w + c.p) @ c.o / 2),
            "divided by k: You divided the output by k. The weights sum to 1 already.",
            lambda c: c.w @ c.o / c.s.sum(),
            "more of them alone: The output is made of the m more alone. They are only heard; the k make the output.",
            (lambda c: c.more @ c.o, lambda c: per_sum(c.more) @ c.o),
            "k is 2: You take two experts for the output, whatever k is.",
            lambda c: c.best(2) @ c.o,
            "outputs not gathered: The weights are sorted, best first, and the outputs are not: row 0 need not be that of the best expert. Take the rows that `topk` names, `outputs[indices]`.",
            lambda c: np.sort(c.w)[::-1] @ c.o,
            "m is 0: Your output is right, but for m = 0, where it is 0. Do you slice up to −m? `[:-0]` is empty: write `[:k]`.",
            lambda c: (c.m > 0) * (c.w @ c.o),
            "equal weights: Every selected expert has weight 1/k here. The weights are the softmax over the selected logits.",
            lambda c: c.s @ c.o / c.s.sum(),
            "the wide less the sparse: The output is a wider mixture minus the one of the k. It is the wider one's own value that has to cancel: subtract it, detached, and add the output of the k.",
            (lambda c: (c.wide - c.w) @ c.o, lambda c: (c.p - c.w) @ c.o),
            "not added up: These are the weighted outputs expert by expert. Add them up: y has the shape (d,).",
            lambda c: c.w[:, None] * c.o,
        ),
        "∂L/∂logits": by_trace(
            "all detached: The output is right, but it is cut off from logits and outputs alike: nothing can be learned through it. Was everything detached, computed under `no_grad`, or made with `.item()` or numpy?",
            lambda slope, attached, *case: not attached,
        )
        + by_formula(
            of_parts,
            "nothing for the router: The output is right, but no gradient reaches the logits: whatever depends on them is detached, or cancels. One copy of the weights of the k + m must stay attached.",
            lambda c: 0 * c.a,
            "dense: The output is right. But the logits get the gradient of *all* N experts, as in the lesson's `dense_gradient`. Only the k + m best may be heard: the others do not run.",
            lambda c: through_softmax(c.p, c.a),
            "m ignored: The output is right, but the logits get form A's gradient with the k best, whatever m is. Detach these weights, and let form A of the k + m best carry the gradient.",
            lambda c: through_softmax(c.w, c.a),
            "dense, cut: The logits get the dense gradient, set to 0 outside the k + m. Asked is form A's: the softmax over the k + m alone, in front and in the mean.",
            lambda c: c.heard * through_softmax(c.p, c.a),
            "form B's gradient: The logits get form B's gradient: the softmax over all N is in it, so even unheard experts are pushed. Asked is form A's, with the k + m best.",
            (lambda c: through_softmax(c.p, c.heard * c.a), lambda c: through_softmax(c.p, c.s * c.a)),
            "outputs of the k alone: The weights are those of the k + m, but only the outputs of the k enter. The m more run as well: their aᵢ is what the router should hear.",
            lambda c: through_softmax(c.wide, c.s * c.a),
            "only the selected hear: The selected logits get the right gradient, the m others 0. They are the ones that should hear something.",
            lambda c: c.s * slope(c),
            "only the m: The logits get form A's gradient with the m best. k and m go together: the k + m best.",
            lambda c: through_softmax(c.best(c.m), c.a),
            "m in all: You let max(k, m) be heard. The m come on top of the k: k + m.",
            lambda c: through_softmax(c.best(max(c.k, c.m)), c.a),
            "one too many: You let one more be heard than k + m.",
            (
                lambda c: through_softmax(c.best(c.k + c.m + 1), c.a),
                lambda c: through_softmax(c.best(c.k + c.m + (c.m > 0)), c.a),
            ),
            "one too few: You let one fewer be heard than k + m.",
            (
                lambda c: through_softmax(c.best(c.k + c.m - 1), c.a),
                lambda c: through_softmax(c.best(c.k + c.m - (c.m > 0)), c.a),
            ),
            "the m apart: The m more are compared among themselves, and the k hear nothing. Take one softmax over all k + m.",
            (
                lambda c: through_softmax(per_sum(c.more), c.a) if c.m else slope(c),
                lambda c: through_softmax(per_sum(c.more), c.a),
            ),
            "outputs of the m alone: Only the weights of the m more carry a gradient. All k + m weights of u have to stay attached.",
            lambda c: through_softmax(c.wide, (c.heard - c.s) * c.a),
            "the m twice: The m more are heard twice: beside `u − u.detach()` they have a second path. One is enough.",
            lambda c: slope(c) + through_softmax(c.wide, (c.heard - c.s) * c.a),
            "the worst heard: You let the m with the *smallest* logits be heard. The m more are the next after the k best.",
            lambda c: through_softmax(per_sum(c.p * np.maximum(c.s, smallest(c.p, c.m))), c.a),
            "sum held fixed: The logits get uⱼaⱼ: the mean Σ uᵢaᵢ is not subtracted. Is the sum that the weights are divided by detached? It moves too.",
            lambda c: c.wide * c.a,
            "mean of the k: The mean in the bracket is that of the k selected. It is Σ uᵢaᵢ over all k + m.",
            lambda c: c.wide * (c.a - c.w @ c.a),
            "the selected hear nothing: The m more get the right gradient, the k selected 0. All k + m are to be heard.",
            lambda c: (c.heard - c.s) * slope(c),
            "w in front: In front stands w, the weight in the output. It is uⱼ, that among the k + m.",
            lambda c: c.w * (c.a - c.wide @ c.a),
            "m is 2: You let two more be heard, whatever m is.",
            lambda c: through_softmax(c.best(c.k + 2), c.a),
            "k and m apart: The logits get the gradient of the k, and beside it one of the m more. They are not compared with each other: take one softmax over the k + m.",
            (
                lambda c: through_softmax(c.w, c.a) + through_softmax(per_sum(c.more), c.a),
                lambda c: through_softmax(c.w, c.a) + through_softmax(c.wide, (c.wide == c.more) * c.a),
            ),
            "both gradients: The logits get the gradient of the k + m plus that of the k. The weights of the k are still attached: detach them.",
            lambda c: slope(c) + through_softmax(c.w, c.a),
            "less that of the k: The logits get the gradient of the k + m minus that of the k. What you subtract must be detached.",
            lambda c: slope(c) - through_softmax(c.w, c.a),
            "past the softmax: Each logit gets aⱼ itself: you passed the gradient straight to the logits. It has to go through the softmax over the k + m.",
            (lambda c: c.a, lambda c: c.heard * c.a),
            "sign turned: The gradient of the logits has the wrong sign. Do you subtract the attached copy and add the detached one? Turn them round.",
            lambda c: -slope(c),
        ),
        "∂L/∂outputs": by_formula(
            of_parts,
            "leak into the m: Output and router are right. But the experts get the gradient of the k + m: the m others would be trained too, and the k have another weight. Take the wider path with detached outputs, or put the trick into the weights.",
            lambda c: np.outer(c.wide, c.v),
            "nothing for the experts: Output and router are right, but no gradient reaches the outputs: the experts could not learn. The selected ones must get wᵢv; detach the outputs in the wider path alone.",
            lambda c: 0 * np.outer(c.w, c.v),
            "both for the experts: Output and router are right. But the experts get wᵢv from the path of the k and theirs from the wider path as well. Detach the outputs in the wider path.",
            lambda c: np.outer(c.w + c.wide, c.v),
            "weights of the wider path: Output and router are right. But the selected experts get v times their weight among the k + m. It must be the weight that they have in the output.",
            lambda c: np.outer(c.s * c.wide, c.v),
            "form B's for the experts: Output and router are right. But the selected experts get pᵢv, not wᵢv: their gradient must go with the weight that they have in the output.",
            lambda c: np.outer(c.b, c.v),
        ),
    },
)
