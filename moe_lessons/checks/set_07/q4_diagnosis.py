"""Question 7.4: three routers, not as ordered."""

from collections.abc import Callable

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import Fields, Name
from moe_lessons.checks.question import EntriesQuestion, about
from moe_lessons.checks.set_07.slopes import dense, gradient_a, gradient_b, with_parts, zero_for_the_cut
from moe_lessons.checks.values import show
from moe_lessons.checks.verdicts import Fault

# The token that question 7.4 gives: logits, and a_i = v·E_i(x).
GIVEN_LOGITS = np.array([0.9, -0.4, 0.3, -1.1, 0.6, -0.2])
GIVEN_A = np.array([-0.7, 0.8, 1.3, -1.2, 0.5, 0.3])
ORDERED_K = 2

BUILDS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "as ordered": lambda h, a: gradient_a(h, a, ORDERED_K),
    "k = 1": lambda h, a: gradient_a(h, a, 1),
    "k = 3": lambda h, a: gradient_a(h, a, 3),
    "form B": lambda h, a: gradient_b(h, a, ORDERED_K),
    "masked with 0": lambda h, a: zero_for_the_cut(h, a, ORDERED_K),
    "straight-through": lambda h, a: with_parts(dense)(h, a, ORDERED_K),
}
DELIVERED = {"router 1": "form B", "router 2": "masked with 0", "router 3": "straight-through"}


def delivered_gradients() -> dict[str, np.ndarray]:
    """Return what the three routers of question 7.4 give as ∂L/∂h for the given token: (N,) by name."""
    return {router: BUILDS[build](GIVEN_LOGITS, GIVEN_A) for router, build in DELIVERED.items()}


def is_not(router: str, build: str) -> Fault:
    """Refute a name for a router."""
    why = f"{router!r} is not {build!r}.\n{against(build, delivered_gradients()[router])}"
    return Fault(f"{router}: {build}", why)


def against(build: str, g: np.ndarray) -> str:
    """Say what in the gradient g (N,) speaks against a build."""
    p, zeros = routing.softmax(GIVEN_LOGITS), int((g == 0).sum())
    if build in ("form B", "straight-through") and zeros:
        return f"There every logit gets a gradient, selected or not. This column holds {zeros} zeros."
    if build == "form B":
        return f"In form B an unselected logit gets −p times one number, the same for all of them. So column / p would be one number for the four that are not selected. It is {show(g / p)}."
    if build == "straight-through":
        return f"A dense gradient is p(a − one number). So column / p − a would be one number for all six. It is {show(g / p - GIVEN_A)}."
    if not zeros:
        return "There the cut logits never reach the output, so their gradient is exactly 0. This column holds no 0."
    if build == "k = 1":
        return "With one expert whose weight is always 1 every entry would be 0. Here two are not."
    if build == "k = 3":
        return "With three selected experts three entries would differ from 0. Here two do."
    return f"Two entries differ from 0, as they should. But in form A they sum to 0, because the two weights sum to 1: what one gains the other loses. These sum to {g.sum():.4f}."


DIAGNOSIS = EntriesQuestion(
    **about("7.4", "Three routers, not as ordered", "find the bug", "medium", points=2, minutes=7),
    hints=(
        "First look for zeros: which builds leave some logits without any gradient, which leave none? Then look at the sum of what is not 0.",
        "Where no entry is 0, divide the column by p, as in 7.3: in form B the unselected then agree with each other, in a dense gradient what is left is a minus one number. And does what your function of 7.3 reads out of a column agree with the a that are given?",
    ),
    idea="Zeros tell whether unselected logits are reached at all; the sum tells whether the weights that move are tied to a constant total; the column divided by p tells whose outputs have entered.",
    takeaway="To learn which gate a code base really has, ask autograd for ∂L/∂h of one token: its zeros, its sum and its ratio to p tell more than a name.",
    answer="my_diagnosis",
    form=Fields({router: Name(tuple(BUILDS)) for router in DELIVERED}),
    expected=lambda: DELIVERED,
    against=is_not,
)
