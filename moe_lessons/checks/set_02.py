"""Questions of exercise set 02: softmax gating."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import entr

from moe_lessons import routing
from moe_lessons.checks.question import (
    AnswerRaised,
    Data,
    FunctionQuestion,
    Mistake,
    Question,
    Reply,
    ValuesQuestion,
    Verdict,
    call_each,
)
from moe_lessons.checks.values import describe, plain, stacked

SOFTMAX = tuple(f"routing.{name}" for name in ("softmax", "log_sum_exp", "gate_weights", "route"))


@dataclass(frozen=True, kw_only=True)
class QuietQuestion(FunctionQuestion):
    """Lets the answer overflow in silence: the verdict says what became of it, numpy's warnings would drown it."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer on every case without numpy's warnings."""
        with np.errstate(all="ignore"):
            return super().probe(answer, data)


# --- 2.1 stable softmax -------------------------------------------------------------------------------------------


def softmax_cases(rng: np.random.Generator) -> list[tuple]:
    """One token; a batch in float32; a batch around ±10⁴, one row of it with both; a batch with masked experts."""
    near = rng.normal(size=(3, 4)).round(1) + 0.05
    large = near + np.array([[1e4], [-1e4], [0.0]])
    large[2, :2] = 1e4, -1e4
    masked = rng.normal(size=(2, 5)).round(1) + 0.05
    masked[0, 1] = masked[1, 3] = -np.inf
    return [(rng.normal(size=5).round(1) + 0.05,), (near[::-1].astype(np.float32),), (large,), (masked,)]


@np.errstate(all="ignore")
def shares(h: np.ndarray, subtracted: Any = 0.0, axis: int | None = -1) -> np.ndarray:
    """Return the exponentials of h less `subtracted`, divided by their sum along `axis`. h: (..., N), as the result."""
    e = np.exp(h - subtracted)  # (..., N)
    return e / e.sum(axis=axis, keepdims=True)  # (..., N)


@np.errstate(all="ignore")
def over_largest(h: np.ndarray) -> np.ndarray:
    """Return the softmax of h divided, not reduced, by its largest entry. (..., N)."""
    return shares(h / h.max(axis=-1, keepdims=True))


@dataclass(frozen=True, kw_only=True)
class StableQuestion(QuietQuestion):
    """Adds to the comparison of values that of the dtype, and a diagnosis when `math.exp` gives up."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer; an OverflowError is an answer too."""
        try:
            return super().probe(answer, data)
        except AnswerRaised as raised:
            if isinstance(raised.__cause__, OverflowError):
                return {"values": [], "changed": [], "overflow": str(raised.__cause__)}
            raise

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the numbers, then whether they came in the format of the logits."""
        if reply.get("overflow"):
            return Verdict(False, f"{self.mistakes[0].why}\n(OverflowError: {reply['overflow']})", "overflow")
        verdict = super().judge(data, reply)
        if not verdict.correct:
            return verdict
        for (h,), value in zip(data["cases"], reply["values"], strict=True):
            if stacked(value).dtype != h.dtype:
                return Verdict(False, f"The numbers are right, but {h.dtype} went in and {stacked(value).dtype} came out. Keep the dtype of h: numpy does, as long as you build no array of Python floats and name no other dtype.", "dtype")  # fmt: skip
        return verdict


STABLE = StableQuestion(
    id="2.1",
    title="A softmax for every logit",
    kind="write it",
    points=2,
    minutes=8,
    difficulty="easy",
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
    reference=routing.softmax,
    mistakes=(
        Mistake("overflow", "Right for ordinary logits, but e^10000 is larger than any number the computer has, and e^−10000 is 0: ∞/∞ and 0/0 are no numbers (nan). Shift the logits first.", shares),
        Mistake("nan made 0", "You replaced nan by 0. Those tokens now hand out no weight at all, instead of 1. Shift the logits first, and no nan arises.",
                lambda h: np.nan_to_num(shares(h))),
        Mistake("maximum of the batch", "You subtracted the largest logit of the whole batch. For a token far below it every exponential is 0, and 0/0 is no number. Subtract each token's own maximum.",
                lambda h: shares(h, h.max())),
        Mistake("whole batch", "The probabilities of the whole batch together sum to 1. Each token's should: sum along the last axis.",
                lambda h: shares(h, h.max(), axis=None)),
        Mistake("whole batch", "The probabilities of the whole batch together sum to 1. Each token's should: sum along the last axis. And e^10000 overflows: shift first.",
                lambda h: shares(h, axis=None)),
        Mistake("over the tokens", "For a batch your columns sum to 1: the tokens compete for an expert. Each row should sum to 1: the last axis counts the experts.",
                lambda h: shares(h, h.max(axis=0), axis=0)),
        Mistake("over the tokens", "For a batch your columns sum to 1: the tokens compete for an expert. The last axis counts the experts. And e^10000 overflows: shift first.",
                lambda h: shares(h, axis=0)),
        Mistake("not divided", "These are the shifted exponentials. Divide them by their sum: probabilities sum to 1.",
                lambda h: np.exp(h - h.max(axis=-1, keepdims=True))),
        Mistake("smallest subtracted", "You subtracted the smallest logit. Then the others are above 0 and may still overflow, and a mask of −∞ takes everything with it. Subtract the largest.",
                np.errstate(all="ignore")(lambda h: shares(h, h.min(axis=-1, keepdims=True)))),
        Mistake("sign swapped", "You took e^(max − h): the sign of the logits is turned round, so the *smallest* logit gets the most. Take e^(h − max).",
                lambda h: shares(h.max(axis=-1, keepdims=True) - h)),
        Mistake("mean subtracted", "You subtracted the mean. Logits above it may still overflow, and a mask of −∞ makes the mean −∞. Subtract the largest.",
                np.errstate(all="ignore")(lambda h: shares(h, h.mean(axis=-1, keepdims=True)))),
        Mistake("divided by the largest", "You divided the logits by the largest one. That changes the gaps, and so the probabilities. Subtract it.", over_largest),
        Mistake("clipped", "You cut the logits off at some limit. All that lie beyond it become equal, and their gaps are lost. Subtract the largest instead.",
                lambda h: shares(np.clip(h, -50, 50))),
        Mistake("logarithms", "These are the logarithms of the probabilities. Take their exponentials.",
                lambda h: h - routing.log_sum_exp(h)[..., None]),
    ),
)  # fmt: skip


# --- 2.2 gaps and ratios ------------------------------------------------------------------------------------------

GAPS = ValuesQuestion(
    id="2.2",
    title="Which gap does it take?",
    kind="predict a number",
    points=2,
    minutes=6,
    difficulty="easy",
    hints=(
        "The ratio of two probabilities is e to the gap, so the gap is the natural logarithm of the ratio. A ratio below 1 has a negative logarithm.",
        "One half for E1 leaves one half for the 63 others together. How many times as likely as *one* of them is E1, then?",
    ),
    idea="Gap and ratio are each other's logarithm and exponential; against many rivals the ratio to each of them must be as large as their number.",
    answer="gaps",
    expected=lambda: {"7 times": np.log(7), "a quarter": np.log(1 / 4), "half of 64": np.log(63), "doubled": 49.0},
    mistakes=(
        Mistake("ratio itself", "That is the ratio. The gap is its natural logarithm.", lambda: 7.0, part="7 times"),
        Mistake("near", "Near: two decimals, please, rounded.", lambda: 1.9, part="7 times"),
        Mistake("near", "Near: two decimals, please, rounded and not cut off.", lambda: 1.94, part="7 times"),
        Mistake("base 2", "That is the logarithm to base 2. The softmax uses e, so take the natural one.", lambda: np.log2(7), part="7 times"),
        Mistake("base 10", "That is the logarithm to base 10. The softmax uses e, so take the natural one.", lambda: np.log10(7), part="7 times"),
        Mistake("exponential", "That is e⁷, the ratio that a *gap* of 7 would give. Here the ratio is 7.", lambda: np.exp(7), part="7 times"),
        Mistake("sign", "The right size, but this gap makes E1 four times as likely. To be *less* likely, its logit must be the lower one.", lambda: np.log(4), part="a quarter"),
        Mistake("near", "Near: two decimals, please, rounded.", lambda: -1.4, part="a quarter"),
        Mistake("near", "Near: two decimals, please, rounded and not cut off.", lambda: -1.38, part="a quarter"),
        Mistake("ratio itself", "That is the ratio. The gap is its natural logarithm.", lambda: 0.25, part="a quarter"),
        Mistake("base 2", "That is the logarithm to base 2. The softmax uses e, so take the natural one.", lambda: -2.0, part="a quarter"),
        Mistake("share for ratio", "That gap gives E1 a quarter of *the two together*, so a third of E2's probability. Asked is a quarter of E2's.", lambda: np.log(1 / 3), part="a quarter"),
        Mistake("near", "Near: two decimals, please, rounded.", lambda: 4.1, part="half of 64"),
        Mistake("itself a rival", "Near, but you counted E1 among its own rivals: there are 63 others.", lambda: np.log(64), part="half of 64"),
        Mistake("one rival", "That would do against a single rival. Here 63 others share the other half.", lambda: 0.0, part="half of 64"),
        Mistake("half of the experts", "That is ln 32. E1 must outweigh all 63 others together, not half of the experts.", lambda: np.log(32), part="half of 64"),
        Mistake("two to one", "That is ln 2, a ratio of 2 to each rival. All 63 together would still have far more than E1.", lambda: np.log(2), part="half of 64"),
        Mistake("ratio itself", "That is the ratio to each rival. The gap is its natural logarithm.", lambda: 63.0, part="half of 64"),
        Mistake("ratio doubled", "The *gap* doubles, and the gap sits in the exponent.", lambda: 14.0, part="doubled"),
        Mistake("ratio unchanged", "Adding to all logits changes nothing; multiplying all of them multiplies every gap.", lambda: 7.0, part="doubled"),
        Mistake("gap", "That is the new gap. Asked is the ratio: e to that gap.", lambda: 2 * np.log(7), part="doubled"),
    ),
    advice={
        "7 times": "p1/p2 = e^(h1 − h2). Which gap makes this 7?",
        "a quarter": "p1/p2 = e^(h1 − h2). Which gap makes this one quarter? Mind the sign.",
        "half of 64": "E1 has as much as the 63 others together. How many times as much as one of them?",
        "doubled": "Write the ratio as e to the gap, double the gap, and compute.",
    },
)  # fmt: skip


# --- 2.3 the dense mixture ----------------------------------------------------------------------------------------


def mixture_cases(rng: np.random.Generator) -> list[tuple]:
    """Probabilities (T, N) and outputs (T, N, d) of all experts; T, N and d always differ."""
    sizes = ((3, 4, 2), (5, 2, 3), (2, 3, 4))
    return [(shares(rng.normal(size=(T, N))), rng.normal(size=(T, N, d)).round(1) + 0.05) for T, N, d in sizes]


def summed(letters: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the product of p (T, N) and outputs (T, N, d) that keeps these letters of tnd."""
    return lambda p, outputs: np.einsum(f"tn,tnd->{letters}", p, outputs)


def of_the_best(p: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the output of each token's most likely expert. (T, d)."""
    return outputs[np.arange(len(p)), p.argmax(axis=-1)]


MIXTURE = FunctionQuestion(
    id="2.3",
    title="The dense mixture",
    kind="write it",
    points=1,
    minutes=5,
    difficulty="easy",
    hints=(
        "Name the axes: p is t n, outputs is t n d. Which letters does the result keep, and which one is summed over?",
        "In `np.einsum`, letters that are missing right of `->` are summed over. Both inputs stand left of it, separated by a comma.",
    ),
    idea="`np.einsum('tn,tnd->td', p, outputs)`: t is kept, so each token uses its own weights; n is summed over; d is kept.",
    answer="my_mixture",
    parameters=("p", "outputs"),
    when_raised="If it is about shapes: p is (T, N), outputs is (T, N, d). Without einsum, p needs an axis of length 1 at its end: `p[:, :, None]`.",
    cases=mixture_cases,
    reference=summed("td"),
    mistakes=(
        Mistake("unweighted", "You added the outputs up without their probabilities.", lambda p, outputs: outputs.sum(axis=1)),
        Mistake("plain mean", "This is the plain mean of the outputs. Each counts with its own probability.", lambda p, outputs: outputs.mean(axis=1)),
        Mistake("divided by N", "You took the *mean* over the experts of p·E(x). The probabilities sum to 1 already, so add up and do not divide by N again.",
                lambda p, outputs: summed("td")(p, outputs) / p.shape[1]),
        Mistake("first token's weights", "Every token gets the probabilities of the first one. Each row of outputs goes with its own row of p.",
                lambda p, outputs: np.einsum("n,tnd->td", p[0], outputs)),
        Mistake("best only", "This is the output of each token's most likely expert. In the dense mixture all of them count.", of_the_best),
        Mistake("best only, weighted", "Only each token's most likely expert is in your sum. In the dense mixture all of them count.",
                lambda p, outputs: p.max(axis=1, keepdims=True) * of_the_best(p, outputs)),
        Mistake("softmax again", "You took a softmax of p. These are probabilities already; a second softmax makes them flatter.",
                lambda p, outputs: summed("td")(shares(p), outputs)),
        Mistake("not summed", "These are the weighted outputs one by one, (T, N, d). Add them up over the experts.", summed("tnd")),
        Mistake("summed over tokens", "You summed over the tokens and kept the experts: (N, d). It is the experts that are added up, for each token.", summed("nd")),
        Mistake("summed over d", "You summed over d and kept the experts: (T, N). The result has one vector of width d for each token.", summed("tn")),
        Mistake("every pair", "(T, T, d): `@` pairs every token's weights with every token's outputs. Give each token's weights an axis, `p[:, None] @ outputs`, and drop it afterwards, or use `np.einsum`.",
                lambda p, outputs: p @ outputs),
        Mistake("tokens added up", "One vector for the whole batch: you added the tokens up as well. Each token has its own output.", summed("d")),
    ),
)  # fmt: skip


# --- 2.4 find the bug: the wrong axis -----------------------------------------------------------------------------


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


def column_softmax(x: np.ndarray, W_g: np.ndarray) -> np.ndarray:
    """Return what the given function returns: every column sums to 1. (T, N)."""
    h = x @ W_g  # (T, N)
    return shares(h, h.max(axis=0), axis=0)


@np.errstate(all="ignore")
def patched(x: np.ndarray, W_g: np.ndarray) -> np.ndarray:
    """Return the columns' softmax divided by its row sums. (T, N)."""
    p = column_softmax(x, W_g)
    return p / p.sum(axis=-1, keepdims=True)


REPAIR = QuietQuestion(
    id="2.4",
    title="Find the bug: whose probabilities are these?",
    kind="find the bug",
    points=2,
    minutes=7,
    difficulty="medium",
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
    reference=lambda x, W_g: routing.softmax(x @ W_g),
    mistakes=(
        Mistake("unchanged", "Every column still sums to 1: the tokens compete for each expert. A token's own probabilities should sum to 1.", column_softmax),
        Mistake("only the sum", "The rows sum to 1 now, but the numbers are still wrong: the maximum is still taken over the tokens. So a different number is subtracted from each expert, and that changes the gaps.",
                lambda x, W_g: shares(x @ W_g, (x @ W_g).max(axis=0))),
        Mistake("only the maximum", "The maximum is taken per token now, but the sum still runs over the tokens.",
                lambda x, W_g: shares(x @ W_g, (x @ W_g).max(axis=-1, keepdims=True), axis=0)),
        Mistake("patched", "You divided the wrong probabilities by their row sums. The rows sum to 1 now, but each expert has already been divided by what the other tokens gave it. Repair the softmax itself.", patched),
        Mistake("stability lost", "The axis is right, but without the subtraction large logits overflow: ∞/∞ is no number. Keep it, per token.",
                lambda x, W_g: shares(x @ W_g)),
        Mistake("maximum of the batch", "You subtract the largest logit of the whole batch. For a token far below it every exponential is 0, and 0/0 is no number. Take each token's own maximum.",
                lambda x, W_g: shares(x @ W_g, (x @ W_g).max())),
        Mistake("smallest subtracted", "The axis is right, but you subtract the smallest logit. Then the others are above 0, and where the gaps are large they overflow: ∞/∞ is no number. Subtract the largest.",
                np.errstate(all="ignore")(lambda x, W_g: shares(x @ W_g, (x @ W_g).min(axis=-1, keepdims=True)))),
        Mistake("whole batch", "Now the whole batch together sums to 1. Each token's probabilities should.",
                lambda x, W_g: shares(x @ W_g, (x @ W_g).max(), axis=None)),
        Mistake("logits", "These are the logits. Take the softmax of each row.", lambda x, W_g: x @ W_g),
        Mistake("transposed", "The right numbers, the wrong way round: (N, T). Tokens come first.",
                lambda x, W_g: routing.softmax(x @ W_g).T),
    ),
)  # fmt: skip


# --- 2.5 normalised entropy ---------------------------------------------------------------------------------------


def entropy_cases(rng: np.random.Generator) -> list[tuple]:
    """One token, a batch with a certain and an even row, a batch of batches; probabilities of 0 in each."""
    cases = []
    for shape in ((5,), (4, 6), (2, 3, 4)):
        weights = rng.uniform(0.05, 1, size=shape)
        weights[..., 1] = 0
        cases.append(weights / weights.sum(axis=-1, keepdims=True))
    cases[1][0], cases[1][1] = np.eye(6)[2], 1 / 6
    return [(p,) for p in cases]


@np.errstate(all="ignore")
def nats(p: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the entropy along `axis` as plain numpy computes it: NaN where p is 0."""
    return -(p * np.log(p)).sum(axis=axis)


def entropy_share(p: np.ndarray) -> np.ndarray:
    """Return the entropy over the last axis as a share of its maximum. p: (..., N). Returns (...)."""
    return entr(p).sum(axis=-1) / np.log(p.shape[-1])


@np.errstate(all="ignore")
def over_support(p: np.ndarray) -> np.ndarray:
    """Return the entropy divided by the logarithm of the number of experts that have any probability. (...)."""
    return entr(p).sum(axis=-1) / np.log((p > 0).sum(axis=-1))


@dataclass(frozen=True, kw_only=True)
class EntropyQuestion(QuietQuestion):
    """Compares in single precision: a tiny number added inside the logarithm is another way, not a mistake."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Round what came before it is compared."""
        return super().judge(data, {**reply, "values": [in_float32(value) for value in reply["values"]]})


def in_float32(value: Any) -> Any:
    """Return floating-point arrays in float32, anything else as it is."""
    value = stacked(value)
    is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype(np.float32) if is_float else value


ENTROPY = EntropyQuestion(
    id="2.5",
    title="Normalised entropy",
    kind="write it",
    points=2,
    minutes=7,
    difficulty="medium",
    hints=(
        "An expert with probability 0 adds nothing: p·log p goes to 0 with p. numpy, though, makes 0·log 0 a nan. Treat those entries apart.",
        "`np.where(p > 0, p, 1)` replaces the zeros by ones, whose logarithm is 0. At the end divide by the entropy of N experts that are all alike.",
    ),
    idea="−Σ p ln p over the last axis, zeros left out, divided by ln N. Any base will do, as long as it is the same above and below the line.",
    answer="my_entropy",
    parameters=("p",),
    stands_for=("metrics.entropy",),
    when_raised="If it is about an axis: the experts are on the last one, `axis=-1`, for a single token and for batches.",
    cases=entropy_cases,
    reference=entropy_share,
    mistakes=(
        Mistake("0 log 0", "nan comes from 0·log 0: numpy takes log 0 = −∞, and 0·(−∞) is no number. Such an expert adds 0 to the entropy.",
                lambda p: nats(p) / np.log(p.shape[-1])),
        Mistake("0 log 0", "nan comes from 0·log 0: numpy takes log 0 = −∞, and 0·(−∞) is no number. Such an expert adds 0. After that, divide by ln N.", nats),
        Mistake("not normalised", "This is the entropy in nats. Divide it by its largest value, ln N.", lambda p: entr(p).sum(axis=-1)),
        Mistake("bits", "This is the entropy in bits. Divide it by its largest value, log₂ N.", lambda p: entr(p).sum(axis=-1) / np.log(2)),
        Mistake("mixed bases", "Nats above the line, bits below: use one base for both.", lambda p: entropy_share(p) * np.log(2)),
        Mistake("mixed bases", "Bits above the line, nats below: use one base for both.", lambda p: entropy_share(p) / np.log(2)),
        Mistake("divided by N", "You divided by N. The largest entropy of N experts is ln N.", lambda p: entr(p).sum(axis=-1) / p.shape[-1]),
        Mistake("sign", "The sign is missing: logarithms of probabilities are negative, so the sum wants a minus.", lambda p: -entropy_share(p)),
        Mistake("turned round", "This is 1 minus what was asked: 1 should mean that all experts are alike, 0 that one has everything.", lambda p: 1 - entropy_share(p)),
        Mistake("mean for sum", "You took the mean over the experts of p·log p. Entropy is the sum.", lambda p: entropy_share(p) / p.shape[-1]),
        Mistake("divided by ln of the used", "You divided by the logarithm of the number of experts with p > 0. N counts all experts, used or not.", over_support),
        Mistake("over the tokens", "You summed over the first axis, the tokens. Every token has an entropy of its own: sum over the last axis.",
                lambda p: entr(p).sum(axis=0) / np.log(p.shape[-1])),
        Mistake("ln T", "You divided by the logarithm of the *first* axis' length, the number of tokens. N is the length of the last.",
                lambda p: entr(p).sum(axis=-1) / np.log(len(p))),
        Mistake("one number for all", "One number for the whole batch: you averaged over the tokens as well. Return one for each token.", lambda p: entropy_share(p).mean()),
        Mistake("no axis", "You summed over the whole batch. Each token has an entropy of its own: name the axis of the sum, `axis=-1`.",
                lambda p: entr(p).sum() / np.log(p.shape[-1])),
        Mistake("flat", "`p[p > 0]` forgets which token an entry belongs to, and its length is not N. Keep the shape, and replace the zeros instead: `np.where(p > 0, p, 1)`.",
                lambda p: entr(p).sum() / np.log((p > 0).sum())),
        Mistake("all the used", "You divided by the logarithm of how many entries of the whole batch are above 0. N is the length of the last axis, used or not.",
                lambda p: entr(p).sum(axis=-1) / np.log((p > 0).sum())),
        Mistake("keepdims", "The right numbers, with an axis of length 1 left at the end. Leave `keepdims=True` out: one number for each token.",
                lambda p: entropy_share(p)[..., None]),
    ),
)  # fmt: skip


# --- 2.6 a router of given entropy --------------------------------------------------------------------------------

ENTROPY_TOLERANCE = 0.01  # nats


def routing_entropy(h: np.ndarray) -> float:
    """Return the entropy of softmax(h) in nats. h: (N,)."""
    return float(entr(routing.softmax(h)).sum())


@dataclass(frozen=True)
class RouterCase:
    """One token, one target, and what a learner built for them."""

    x: np.ndarray  # (d,)
    H: float  # nats
    N: int
    W: np.ndarray  # (d, N)

    def off(self, scale: float = 1.0) -> float:
        """Return by how many nats the entropy of scale · x W misses the target."""
        return abs(routing_entropy(scale * self.x @ self.W) - self.H)

    @property
    def entropy(self) -> float:
        """Return the routing entropy of the token in nats."""
        return routing_entropy(self.x @ self.W)

    def near(self, wanted: float) -> bool:
        """Tell whether the routing entropy is as near to `wanted` as an answer must be to its target."""
        return abs(self.entropy - wanted) <= ENTROPY_TOLERANCE


# What is wrong with a router: it is named when it holds for every token.
ROUTER_FAULTS: tuple[tuple[str, str, Callable[[RouterCase], bool]], ...] = (
    ("all alike", "All your logits are equal, whatever the target: the entropy is always ln N. Let one expert lead, by the right gap. If you halve an interval: do you keep the right half?",
     lambda c: c.near(np.log(c.N))),
    ("one expert only", "One expert always gets practically everything: the entropy is 0. Make its lead smaller. If you halve an interval: do you keep the right half?",
     lambda c: c.near(0.0)),
    ("bits", "Your entropy meets the target in bits. H is given in nats: use the natural logarithm.",
     lambda c: c.near(c.H * np.log(2))),
    ("share of the maximum", "You took H as a share of ln N. It is the entropy itself, in nats.",
     lambda c: c.near(min(c.H, 1) * np.log(c.N))),
    ("turned round", "Your entropy is ln N − H: you solved for how *decided* the router is.",
     lambda c: c.near(np.log(c.N) - c.H)),
    ("not divided by x·x", "Your logits are right, times x·x. When W_g is the outer product of x and h, then x W_g = (x·x) h: divide by x·x.",
     lambda c: c.off(1 / float(c.x @ c.x)) <= ENTROPY_TOLERANCE),
    ("divided by |x| once", "Your logits are right, times |x|. x W_g for the outer product of x and h is (x·x) h: divide by the *square* of the length.",
     lambda c: c.off(1 / float(np.linalg.norm(c.x))) <= ENTROPY_TOLERANCE),
    ("not divided by d", "Your logits are right, times d. Each row h / x[i] gives h by itself, and x W_g adds d of them up: divide by d as well.",
     lambda c: c.off(1 / len(c.x)) <= ENTROPY_TOLERANCE),
    ("x left out", "Each row of your W_g would be right as the logits. But the logits are x W_g: the rows are multiplied by the entries of x and added up.",
     lambda c: all(abs(routing_entropy(row) - c.H) <= ENTROPY_TOLERANCE for row in c.W)),
    ("too coarse", f"Near, but not within {ENTROPY_TOLERANCE} nats. Search on, with finer steps: halving an interval twenty times makes it a million times smaller. Or your interval ends too early: a low H needs a larger gap.",
     lambda c: c.off() <= 0.1),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RouterQuestion(Question):
    """Any router matrix is right under which the token has the wanted entropy."""

    def draw(self, rng: np.random.Generator) -> Data:
        """Return tokens (d,), targets in nats from nearly 0 to nearly ln N, and numbers of experts; d and N differ."""
        cases = []
        for (d, N), part in zip(((3, 4), (5, 2), (2, 8), (6, 5)), (0.6, 0.9, 0.1, 0.97), strict=True):
            x = rng.normal(size=d).round(1) + 0.05
            x *= rng.uniform(1.5, 3) / np.linalg.norm(x)  # never of length 1, which would hide a missing division
            cases.append((x, float(np.log(N) * (part + rng.uniform(-0.03, 0.02))), N))
        return {"cases": cases}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer for every token and target."""
        with np.errstate(all="ignore"):
            return {"values": [value for value, _ in call_each(answer, self.parameters, data["cases"])]}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Refuse what is no matrix, then measure the entropies."""
        cases = []
        for (x, H, N), value in zip(data["cases"], reply["values"], strict=True):
            W = stacked(value)
            unfit = unfit_router(W, x, N)
            if unfit:
                return unfit
            cases.append(RouterCase(x, H, N, W.astype(float)))
        return router_verdict(cases)


def unfit_router(W: Any, x: np.ndarray, N: int) -> Verdict | None:
    """Return a verdict on what cannot be used as a router matrix (d, N) for x (d,), or None for what can."""
    d = len(x)
    forgotten = " (is a `return` missing?)" if W is None else ""
    came = f"Expected W_g of shape (d, N) = ({d}, {N}), finite numbers. Came {describe(plain(W))}{forgotten}."
    if not isinstance(W, np.ndarray):
        return Verdict(False, came)
    if W.shape == (N, d):
        return Verdict(False, f"W_g is transposed: its columns are the prototypes, so it has d rows.\n{came}", "transposed")  # fmt: skip
    if W.shape == (N,):
        return Verdict(False, f"These are logits, one for each expert. Asked is a matrix that makes them out of x.\n{came}", "logits")  # fmt: skip
    if W.shape != (d, N):
        return Verdict(False, came)
    with np.errstate(all="ignore"):
        usable = np.isfinite(x @ W.astype(float)).all()
    return None if usable else Verdict(False, f"Some of the logits x W_g are no finite numbers.\n{came}")


def router_verdict(cases: list[RouterCase]) -> Verdict:
    """Find the first token that misses its target; name the fault if one explains all tokens."""
    missed = next((case for case in cases if case.off() > ENTROPY_TOLERANCE), None)
    if missed is None:
        return Verdict(True)
    name, why = next(((n, w) for n, w, holds in ROUTER_FAULTS if all(map(holds, cases))), (None, ""))
    seen = f"Wanted {missed.H:.4f} nats with N = {missed.N}, where at most ln {missed.N} = {np.log(missed.N):.4f} is possible; your W_g gives {missed.entropy:.4f}."  # fmt: skip
    return Verdict(False, f"{why}\n{seen}".strip(), name)


ROUTER = RouterQuestion(
    id="2.6",
    title="A router as undecided as you like",
    kind="build a counterexample",
    points=3,
    minutes=12,
    difficulty="hard",
    hints=(
        "Two steps. First find logits h of entropy H: let E1 have logit s and all others 0. At s = 0 the entropy is ln N, and it falls towards 0 as s grows, so halve an interval (or `from scipy.optimize import brentq`).",
        "Then find a W_g with x W_g = h. Try the outer product of x and h, and see by which factor its logits are too large.",
    ),
    idea="The entropy of a router for one token can be set at will by the size of the gaps: W_g = outer(x, h) / (x·x) gives exactly the logits h. So an entropy says nothing about how good a router is.",
    answer="my_router",
    parameters=("x", "H", "N"),
    when_raised="If a root finder complains about signs: at gap 0 the entropy is ln N, above every target; at a gap of 50 it is practically 0, below every target.",
)  # fmt: skip

QUESTIONS = (STABLE, GAPS, MIXTURE, REPAIR, ENTROPY, ROUTER)
