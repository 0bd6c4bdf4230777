"""Questions 2.1 and 2.4: a softmax that never overflows, and one along the wrong axis."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.calls import AnswerRaised
from moe_lessons.checks.gates import naive_softmax
from moe_lessons.checks.question import Data, FunctionQuestion, Reply, about
from moe_lessons.checks.verdicts import Fault, Verdict, by_value

SOFTMAX = tuple(f"routing.{name}" for name in ("softmax", "log_sum_exp", "gate_weights", "route"))


def softmax_cases(rng: np.random.Generator) -> list[tuple]:
    """One token; a batch in float32; a batch around ±10⁴, one row of it with both; a batch with masked experts."""
    near = rng.normal(size=(3, 4)).round(1) + 0.05
    large = near + np.array([[1e4], [-1e4], [0.0]])
    large[2, :2] = 1e4, -1e4
    masked = rng.normal(size=(2, 5)).round(1) + 0.05
    masked[0, 1] = masked[1, 3] = -np.inf
    return [(rng.normal(size=5).round(1) + 0.05,), (near[::-1].astype(np.float32),), (large,), (masked,)]


def along(maximum: int | None, total: int | None) -> Callable:
    """Return the softmax of h that subtracts the maximum along one axis and divides by the sum along another.

    None stands for the whole batch.
    """
    return lambda h: naive_softmax(h, h.max(axis=maximum, keepdims=True), axis=total)


def another_dtype(p: np.ndarray, h: np.ndarray) -> Fault | None:
    """Return a fault if the probabilities did not come in the format of the logits."""
    why = f"The numbers are right, but {h.dtype} went in and {p.dtype} came out. Keep the dtype of h: numpy does, as long as you build no array of Python floats and name no other dtype."
    return None if p.dtype == h.dtype else Fault("dtype", why)


OVERFLOW = "Right for ordinary logits, but e^10000 is larger than any number the computer has, and e^−10000 is 0: ∞/∞ and 0/0 are no numbers (nan). Shift the logits first."


@dataclass(frozen=True, kw_only=True)
class StableQuestion(FunctionQuestion):
    """Adds a diagnosis when `math.exp` gives up."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer; an OverflowError is an answer too."""
        try:
            return super().probe(answer, data)
        except AnswerRaised as raised:
            if isinstance(raised.__cause__, OverflowError):
                return {"values": [], "changed": [], "overflow": str(raised.__cause__)}
            raise

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the numbers, if there are any."""
        if reply.get("overflow"):
            return Verdict.of(Fault("overflow", OVERFLOW, f"(OverflowError: {reply['overflow']})"))
        return super().judge(data, reply)


STABLE = StableQuestion(
    **about("2.1", "A softmax for every logit", "write it", "easy", points=2, minutes=8),
    hints=(
        "Adding a constant to all logits of a token changes no probability. Which constant keeps every exponent at 0 or below?",
        "`h.max(axis=-1, keepdims=True)` is the largest logit of each token, with an axis of length 1 left in place so that it can be subtracted. The sum needs the same.",
    ),
    idea="Subtract each token's own largest logit: then the largest exponential is 1, the sum is at least 1, and −∞ becomes exactly 0.",
    answer="my_softmax",
    parameters=("h",),
    stands_for=SOFTMAX,
    when_raised="If it is about an axis: `axis=-1` is the last one for a single token and for a batch; `keepdims=True` lets the result be subtracted or divided by.",
    cases=softmax_cases,
    quiet=True,
    reference=routing.softmax,
    mistakes=by_value(
        f"overflow: {OVERFLOW}",
        naive_softmax,
        "nan made 0: You replaced nan by 0. Those tokens now hand out no weight at all, instead of 1. Shift the logits first, and no nan arises.",
        lambda h: np.nan_to_num(naive_softmax(h)),
        "maximum of the batch: You subtracted the largest logit of the whole batch. For a token far below it every exponential is 0, and 0/0 is no number. Subtract each token's own maximum.",
        along(None, -1),
        "whole batch: The probabilities of the whole batch together sum to 1. Each token's should: sum along the last axis.",
        along(None, None),
        "whole batch: The probabilities of the whole batch together sum to 1. Each token's should: sum along the last axis. And e^10000 overflows: shift first.",
        lambda h: naive_softmax(h, axis=None),
        "over the tokens: For a batch your columns sum to 1: the tokens compete for an expert. Each row should sum to 1: the last axis counts the experts.",
        along(0, 0),
        "over the tokens: For a batch your columns sum to 1: the tokens compete for an expert. The last axis counts the experts. And e^10000 overflows: shift first.",
        lambda h: naive_softmax(h, axis=0),
        "not divided: These are the shifted exponentials. Divide them by their sum: probabilities sum to 1.",
        lambda h: np.exp(h - h.max(axis=-1, keepdims=True)),
        "smallest subtracted: You subtracted the smallest logit. Then the others are above 0 and may still overflow, and a mask of −∞ takes everything with it. Subtract the largest.",
        lambda h: naive_softmax(h, h.min(axis=-1, keepdims=True)),
        "sign swapped: You took e^(max − h): the sign of the logits is turned round, so the *smallest* logit gets the most. Take e^(h − max).",
        lambda h: naive_softmax(h.max(axis=-1, keepdims=True) - h),
        "mean subtracted: You subtracted the mean. Logits above it may still overflow, and a mask of −∞ makes the mean −∞. Subtract the largest.",
        lambda h: naive_softmax(h, h.mean(axis=-1, keepdims=True)),
        "divided by the largest: You divided the logits by the largest one. That changes the gaps, and so the probabilities. Subtract it.",
        lambda h: naive_softmax(h / h.max(axis=-1, keepdims=True)),
        "clipped: You cut the logits off at some limit. All that lie beyond it become equal, and their gaps are lost. Subtract the largest instead.",
        lambda h: naive_softmax(np.clip(h, -50, 50)),
        "logarithms: These are the logarithms of the probabilities. Take their exponentials.",
        lambda h: h - routing.log_sum_exp(h)[..., None],
    ),
    afterwards=another_dtype,
)


def route_cases(rng: np.random.Generator) -> list[tuple]:
    """A batch; a batch of one token; a batch whose tokens lie at levels 0, 2000 and −4000, with d ≠ N ≠ T.

    The logits of the last token lie so far apart that only its largest may be subtracted.
    """
    x, W_g = rng.normal(size=(3, 2)).round(1) + 0.05, rng.normal(size=(2, 4)).round(1) + 0.01
    W_g[0] = 1.0  # the first entry of a token raises or lowers all its logits alike
    W_g[1] = rng.permutation([-0.9, -0.2, 0.3, 1.0])
    x[:, 0], x[2, 1] = (0.0, 2000.0, -4000.0), 1000.0
    batches = [(rng.normal(size=(T, d)), rng.normal(size=(d, N))) for T, d, N in ((4, 2, 3), (1, 3, 4))]
    return [*batches, (x, W_g)]


def of_logits(wrong: Callable) -> Callable:
    """Return the function of (x, W_g) that is `wrong` of the logits (T, N)."""
    return lambda x, W_g: wrong(x @ W_g)


REPAIR = FunctionQuestion(
    **about("2.4", "Find the bug: whose probabilities are these?", "find the bug", "medium", points=2, minutes=7),
    hints=(
        "Look at the sums that the cell above prints: whose add up to 1? Then look for every place in the function where an axis is named.",
        "There are two places. Subtracting a *different* number from each expert's logits changes the gaps; subtracting one number from all logits of a token does not.",
    ),
    idea="Both the maximum and the sum belong to one token: `axis=-1, keepdims=True` in both. A token's probabilities must not depend on the other tokens in its batch.",
    answer="my_route",
    parameters=("x", "W_g"),
    stands_for=SOFTMAX,
    when_raised="If it is about shapes that cannot be broadcast: a sum over the last axis of (T, N) has shape (T,). `keepdims=True` makes it (T, 1).",
    cases=route_cases,
    quiet=True,
    reference=of_logits(routing.softmax),
    mistakes=by_value(
        "unchanged: Every column still sums to 1: the tokens compete for each expert. A token's own probabilities should sum to 1.",
        of_logits(along(0, 0)),
        "only the sum: The rows sum to 1 now, but the numbers are still wrong: the maximum is still taken over the tokens. So a different number is subtracted from each expert, and that changes the gaps.",
        of_logits(along(0, -1)),
        "only the maximum: The maximum is taken per token now, but the sum still runs over the tokens.",
        of_logits(along(-1, 0)),
        "patched: You divided the wrong probabilities by their row sums. The rows sum to 1 now, but each expert has already been divided by what the other tokens gave it. Repair the softmax itself.",
        of_logits(lambda h: naive_softmax(h, routing.log_sum_exp(h, axis=0))),
        "stability lost: The axis is right, but without the subtraction large logits overflow: ∞/∞ is no number. Keep it, per token.",
        of_logits(naive_softmax),
        "maximum of the batch: You subtract the largest logit of the whole batch. For a token far below it every exponential is 0, and 0/0 is no number. Take each token's own maximum.",
        of_logits(along(None, -1)),
        "smallest subtracted: The axis is right, but you subtract the smallest logit. Then the others are above 0, and where the gaps are large they overflow: ∞/∞ is no number. Subtract the largest.",
        of_logits(lambda h: naive_softmax(h, h.min(axis=-1, keepdims=True))),
        "whole batch: Now the whole batch together sums to 1. Each token's probabilities should.",
        of_logits(along(None, None)),
        "logits: These are the logits. Take the softmax of each row.",
        of_logits(lambda h: h),
        "transposed: The right numbers, the wrong way round: (N, T). Tokens come first.",
        of_logits(lambda h: routing.softmax(h).T),
    ),
)
