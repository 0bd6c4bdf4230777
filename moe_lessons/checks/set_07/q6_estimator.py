"""Question 7.6: a sparse forward pass with a dense gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import through_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_07.q1_jacobian import spread
from moe_lessons.checks.set_07.q2_gradients import dense, form_a, form_b, with_parts
from moe_lessons.checks.values import show, without_dust
from moe_lessons.checks.verdicts import by_formula, by_trace


def estimator_cases(rng: np.random.Generator) -> list[tuple]:
    """Return tuples (h, outputs, k, v): logits (N,), outputs (N, d), v (d,), all float32, with clear gaps."""
    cases = []
    for N, d, k in ((4, 3, 2), (6, 2, 3), (5, 4, 1)):
        outputs = rng.normal(size=(N, d))  # (N, d)
        v = rng.choice([-1, 1], size=d) * rng.uniform(0.5, 1.5, size=d)  # (d,)
        outputs += np.outer(spread(rng, N, 2.0) - outputs @ v, v) / (v @ v)  # no two experts equally useful
        cases.append((np.float32(spread(rng, N, 1.2)), np.float32(outputs), k, np.float32(v)))
    return cases


def of_weights(formula: Callable) -> Callable:
    """Return the function of a case that is `formula` of p, w (form A) (N,), the outputs (N, d) and v (d,)."""
    return lambda h, outputs, k, v: formula(
        routing.softmax(h.astype(float)), routing.gate_weights(h.astype(float), k), outputs, v
    )


def for_router(formula: Callable) -> Callable:
    """Return the function of a case that is `formula` of p, w, a and the 0/1 mask s, where a = v·E_i. (N,)."""
    return lambda h, outputs, k, v: with_parts(formula)(h.astype(float), outputs.astype(float) @ v, k)


def value_and_slopes(*case: Any) -> tuple:
    """Return the output of top-k, form A (d,), the router's dense gradient (N,), and that of the outputs (N, d)."""
    y, experts = of_weights(lambda p, w, o, v: w @ o), of_weights(lambda p, w, o, v: np.outer(w, v) + 0.0)
    return tuple(np.float32(right(*case)) for right in (y, for_router(dense), experts))


ESTIMATOR = FunctionQuestion(
    **about("7.6", "Sparse forward, dense gradient", "write it", "hard", points=3, minutes=9),
    needs_torch="tensors",
    hints=(
        "`t - t.detach()` has the value 0 and the gradient of t. Adding it to something changes the gradient and not the value.",
        "Put the trick into the weights, not into the output: detached sparse weights, plus p − p detached. Then multiply by the outputs and add up. What do the outputs of unselected experts get, whose weight has the value 0?",
    ),
    idea="A weight can have the value of one formula and the derivative of another: w.detach() + p − p.detach(). The outputs are multiplied by its value, which is 0 for the unselected, so only experts that are in the output learn; the router hears of all of them.",
    answer="my_dense_estimator",
    parameters=("logits", "outputs", "k"),
    stands_for=("estimators.straight_through",),
    when_raised="`logits` has the shape (N,), `outputs` (N, d), both float32 tensors; y has the shape (d,). The course's numpy functions refuse tensors that carry a gradient: use torch's own. If it is about an in-place operation: make a new tensor instead (`torch.where`, `masked_fill`, `scatter`).",
    slopes=("logits", "outputs"),
    cases=estimator_cases,
    reference=value_and_slopes,
    read=lambda value, *case: without_dust(value, 1e-6),
    written=lambda h, outputs, k, v: f"logits {show(h)} and k = {k}",
    parts={
        "y": by_formula(
            of_weights,
            "dense forward: The output is the dense mixture of all experts. It must be exactly that of top-k: only the gradient is the dense one's.",
            lambda p, w, o, v: p @ o,
            "form B forward: The output has form B's weights: probabilities that do not sum to 1. Asked is form A, the softmax over the selected logits.",
            lambda p, w, o, v: (p * (w > 0)) @ o,
            "both added: The output is the top-k output plus the dense one. Add the dense one and subtract it again, detached: its value then cancels, its gradient stays.",
            lambda p, w, o, v: w @ o + p @ o,
            "value cancelled: The output is 0: you subtracted a detached copy and left out the top-k output that should remain.",
            lambda p, w, o, v: 0 * (p @ o),
            "not weighted: The selected outputs are added up without their weights.",
            lambda p, w, o, v: (w > 0) @ o,
            "equal weights: Every selected expert has weight 1/k here. The weights are the softmax over the selected logits.",
            lambda p, w, o, v: (w > 0) @ o / (w > 0).sum(),
            "the dense less the sparse: The output is the dense mixture minus the top-k output. It is the dense mixture's own value that has to cancel: subtract the dense one, detached, and add the top-k output.",
            lambda p, w, o, v: p @ o - w @ o,
            "not added up: These are the weighted outputs expert by expert. Add them up: y has the shape (d,).",
            lambda p, w, o, v: w[:, None] * o,
        ),
        "∂L/∂logits": by_trace(
            "all detached: The output is right, but it is cut off from logits and outputs alike: nothing can be learned through it. Was everything detached, computed under `no_grad`, or made with `.item()` or numpy?",
            lambda slope, attached, *case: not attached,
        )
        + by_formula(
            for_router,
            "nothing for the router: The output is right, but no gradient reaches the logits: whatever depends on them is detached, or cancels. One copy of p must stay attached.",
            lambda p, w, a, s: 0 * a,
            "form A's gradient: The output is right, but the logits get form A's own gradient: 0 for every unselected expert. Detach the sparse weights, and let the dense p carry the gradient.",
            form_a,
            "form B's gradient: The output is right, but the logits get form B's gradient: only the selected outputs enter. In the dense mixture every expert's output counts, selected or not.",
            form_b,
            "both gradients: The logits get the dense gradient plus form A's own. The sparse weights are still attached: detach them.",
            lambda p, w, a, s: through_softmax(p, a) + through_softmax(w, a),
            "less form A's: The logits get the dense gradient minus form A's own. What you subtract must be detached.",
            lambda p, w, a, s: through_softmax(p, a) - through_softmax(w, a),
            "past the softmax: Each logit gets aⱼ itself: you passed the gradient straight to the logits. It has to go through the softmax, p.",
            lambda p, w, a, s: a,
            "dense, cut: The selected logits get the dense gradient, the unselected get 0. But they are the ones that should hear something: the dense gradient is pⱼ(aⱼ − Σ pᵢaᵢ) for every j.",
            lambda p, w, a, s: s * through_softmax(p, a),
            "sign turned: The gradient of the logits has the wrong sign. Do you subtract the attached copy and add the detached one? Turn them round.",
            lambda p, w, a, s: -through_softmax(p, a),
        ),
        "∂L/∂outputs": by_formula(
            of_weights,
            "leak into the unselected: Output and router are right. But the experts get the dense gradient pᵢv: experts that did not run would be trained too, and those that ran have pᵢ in place of their weight. Take the dense path with detached outputs, or put the trick into the weights.",
            lambda p, w, o, v: np.outer(p, v),
            "nothing for the experts: Output and router are right, but no gradient reaches the outputs: the experts could not learn. The selected ones must get wᵢv; detach the outputs in the dense path alone.",
            lambda p, w, o, v: 0 * np.outer(w, v),
            "both for the experts: Output and router are right. But the experts get wᵢv from the sparse path and pᵢv from the dense path as well. Detach the outputs in the dense path.",
            lambda p, w, o, v: np.outer(w + p, v),
            "form B's for the experts: Output and router are right. But the selected experts get pᵢv, not wᵢv: their gradient must go with the weight that they have in the output.",
            lambda p, w, o, v: np.outer(p * (w > 0), v),
        ),
    },
)
