"""Questions 2.5 and 2.6: measuring how undecided a router is, and building one that is as undecided as you like."""

from functools import partial
from typing import Any

import numpy as np
import scipy

from moe_lessons import metrics, routing
from moe_lessons.checks import values
from moe_lessons.checks.forms import Numbers
from moe_lessons.checks.question import FunctionQuestion, PropertyQuestion, about
from moe_lessons.checks.verdicts import Facts, Fault, by_test, by_value


def entropy_cases(rng: np.random.Generator) -> list[tuple]:
    """One token, a batch with a certain, an even and a nearly certain row, batches of batches and of one; with zeros."""
    cases = []
    for shape in ((5,), (4, 6), (2, 3, 4), (1, 3)):
        weights = rng.uniform(0.05, 1, size=shape)
        weights[..., 1] = 0
        cases.append(weights / weights.sum(axis=-1, keepdims=True))
    cases[1][0], cases[1][1] = np.eye(6)[2], 1 / 6
    cases[1][3] = rng.permutation([1 - 2e-5, 1.2e-5, 8e-6, 0, 0, 0])  # 1.5 in ten thousand of ln 6
    return [(p,) for p in cases]


def nats(p: np.ndarray, axis: int | None = -1) -> Any:
    """Return the entropy along `axis`, None for the sum over all of p (..., N)."""
    return scipy.special.entr(p).sum(axis=axis)


def entropy_share(p: np.ndarray) -> Any:
    """Return the entropy over the last axis as a share of its maximum. p: (..., N). Returns (...)."""
    return nats(p) / np.log(p.shape[-1])


def rounded(decimals: int, p: np.ndarray) -> np.ndarray:
    """Return the right shares with so many decimals. (...)."""
    return np.round(entropy_share(p), decimals)


def naive_nats(p: np.ndarray) -> np.ndarray:
    """Return the entropy as plain numpy computes it: NaN where p (..., N) is 0. (...)."""
    with np.errstate(all="ignore"):
        return -(p * np.log(p)).sum(axis=-1)


def over_support(p: np.ndarray, least: int = 1) -> np.ndarray:
    """Return the entropy divided by the logarithm of the number of experts that have any probability. (...).

    `least` keeps a lone expert, of which the logarithm is 0, from a division by 0.
    """
    with np.errstate(all="ignore"):
        return nats(p) / np.log(np.maximum((p > 0).sum(axis=-1), least))


FLOORS = 10.0 ** -np.arange(1, 9)
FINE = 1e-5  # a share nearer to 0 than this is compared by its decimals, not by its digits


def by_digits(value: Any, *_: Any) -> Any:
    """Return shares on the scale on which they are compared: what 10⁻⁹ inside the logarithm does is no mistake there."""
    return values.by_digits(value, FINE)


def with_floor(p: np.ndarray, floor: float) -> list[np.ndarray]:
    """Return shares whose logarithms are kept from −∞ by a small number: added, or as the least that p may be. (...)."""
    added, least, most = p + floor, np.maximum(p, floor), np.log(p.shape[-1])
    even = [raised / raised.sum(axis=-1, keepdims=True) for raised in (added, least)]
    ways = (p, added), (added, added), (p, least), (least, least), *zip(even, even, strict=True)
    return [-(weight * np.log(inside)).sum(axis=-1) / most for weight, inside in ways]


def has_gap(value: Any, p: np.ndarray) -> bool:
    """Tell whether the values are right, but for small probabilities that were left out with the zeros."""
    left = (entropy_share(np.where(p > least, p, 0)) for least in FLOORS)
    return any(values.agree(value, by_digits(share)) for share in left)


def has_floor(value: Any, p: np.ndarray) -> bool:
    """Tell whether the values are right, but for a small number inside the logarithm."""
    return any(values.agree(value, by_digits(share)) for floor in FLOORS for share in with_floor(p, floor))


NAN = "nan comes from 0·log 0: numpy takes log 0 = −∞, and 0·(−∞) is no number. Such an expert adds 0"

ENTROPY = FunctionQuestion(
    **about("2.5", "Normalised entropy", "write it", "medium", points=2, minutes=7),
    hints=(
        "An expert with probability 0 adds nothing: p·log p goes to 0 with p. numpy, though, makes 0·log 0 a nan. Treat those entries apart.",
        "`np.where(p > 0, p, 1)` replaces the zeros by ones, whose logarithm is 0. At the end divide by the entropy of N experts that are all alike.",
    ),
    idea="−Σ p ln p over the last axis, zeros left out, divided by ln N. Any base will do, as long as it is the same above and below the line.",
    takeaway="An entropy without its largest value says little: 1.5 nats are nearly all that 5 experts allow, and a quarter of what 400 do.",
    answer="my_entropy",
    parameters=("p",),
    stands_for=("metrics.entropy",),
    when_raised="A batch holds a row for each token. A loop over p, as in the toolbox, goes over the tokens there, and `p[p > 0]` throws all rows together. Keep the shape of p, replace the zeros, and sum over the experts, which are on the last axis: `axis=-1`.",
    cases=entropy_cases,
    quiet=True,
    reference=lambda p: by_digits(entropy_share(p)),
    read=by_digits,
    shown=lambda got, right, p: values.difference_by_digits(got, right, FINE),
    mistakes=by_value(
        f"0 log 0: {NAN} to the entropy.",
        lambda p: naive_nats(p) / np.log(p.shape[-1]),
        f"0 log 0: {NAN}. After that, divide by ln N.",
        naive_nats,
        "not normalised: This is the entropy in nats. Divide it by its largest value, ln N.",
        nats,
        "bits: This is the entropy in bits. Divide it by its largest value, log₂ N.",
        lambda p: nats(p) / np.log(2),
        "mixed bases: Nats above the line, bits below: use one base for both.",
        lambda p: nats(p) / np.log2(p.shape[-1]),
        "mixed bases: Bits above the line, nats below: use one base for both.",
        lambda p: entropy_share(p) / np.log(2),
        "divided by N: You divided by N. The largest entropy of N experts is ln N.",
        (lambda p: nats(p) / p.shape[-1], lambda p: nats(p) / np.log(2) / p.shape[-1]),
        "N − 1: You divided by ln(N − 1). When all N are alike, the entropy is ln N.",
        lambda p: nats(p) / np.log(p.shape[-1] - 1),
        "nan made 0: A nan is no 0: it says that 0·log 0 came up in the sum, and a 0 in its place throws the whole row away. An expert with probability 0 adds 0: treat the entries, not the sum.",
        lambda p: np.nan_to_num(naive_nats(p)) / np.log(p.shape[-1]),
        "sign: The sign is missing: logarithms of probabilities are negative, so the sum wants a minus.",
        lambda p: -entropy_share(p),
        "turned round: This is 1 minus what was asked: 1 should mean that all experts are alike, 0 that one has everything.",
        lambda p: 1 - entropy_share(p),
        "mean for sum: You took the mean over the experts of p·log p. Entropy is the sum.",
        lambda p: entropy_share(p) / p.shape[-1],
        "divided by ln of the used: You divided by the logarithm of the number of experts with p > 0. N counts all experts, used or not.",
        (over_support, lambda p: over_support(p, 2), lambda p: np.nan_to_num(over_support(p))),
        "rounded: Right, but rounded. The small share of a nearly decided token has lost its digits: return the numbers as they are.",
        tuple(partial(rounded, decimals) for decimals in (2, 3, 4, 5, 6)),
        "sum of squares: This is made of Σ p². It is another measure of how undecided a token is; the entropy is −Σ p ln p.",
        (
            lambda p: 1 - (p**2).sum(axis=-1),
            lambda p: (1 - (p**2).sum(axis=-1)) / (1 - 1 / p.shape[-1]),
        ),
        "exponential: You took e to the entropy, the number of experts that would be as undecided. Asked is the entropy itself, divided by ln N.",
        (lambda p: np.exp(nats(p)), lambda p: np.exp(nats(p)) / p.shape[-1]),
        "p left out: You added up logarithms. Each counts with its own p: −Σ p ln p.",
        lambda p: -np.log(np.where(p > 0, p, 1)).sum(axis=-1) / np.log(p.shape[-1]),
        "logarithm of all entries: You divided by the logarithm of how many numbers there are in the whole batch. N is the length of the last axis.",
        lambda p: nats(p) / np.log(p.size),
        "over axis 1: Right for one token and for a batch. With more axes in front, axis 1 is not the experts': it is the last one, `axis=-1`.",
        lambda p: nats(p, axis=min(1, p.ndim - 1)) / np.log(p.shape[-1]),
        "over the largest in the batch: You divided by the largest entropy that came. The largest that there can be is ln N.",
        lambda p: nats(p) / nats(p).max(),
        "over the tokens: You summed over the first axis, the tokens. Every token has an entropy of its own: sum over the last axis.",
        lambda p: nats(p, axis=0) / np.log(p.shape[-1]),
        "ln T: You divided by the logarithm of the *first* axis' length, the number of tokens. N is the length of the last.",
        np.errstate(all="ignore")(lambda p: nats(p) / np.log(len(p))),
        "one number for all: One number for the whole batch: you averaged over the tokens as well. Return one for each token.",
        lambda p: entropy_share(p).mean(),
        "no axis: You summed over the whole batch. Each token has an entropy of its own: name the axis of the sum, `axis=-1`.",
        lambda p: nats(p, axis=None) / np.log(p.shape[-1]),
        "flat: `p[p > 0]` forgets which token an entry belongs to, and its length is not N. Keep the shape, and replace the zeros instead: `np.where(p > 0, p, 1)`.",
        lambda p: nats(p, axis=None) / np.log((p > 0).sum()),
        "flat, not normalised: Two things. Your sum runs over all tokens of a batch at once, as it does after `p[p > 0]`, which forgets which token an entry belongs to: keep the shape, and sum over the last axis. Then divide by the largest entropy, ln N.",
        (lambda p: nats(p, axis=None), lambda p: nats(p, axis=None) / np.log(2)),
        "flat, ln T: Two things. Your sum runs over all tokens of a batch at once, as it does after `p[p > 0]`: keep the shape, and sum over the last axis. And `len(p)` is the number of tokens: N is the length of the last axis.",
        np.errstate(all="ignore")(lambda p: nats(p, axis=None) / np.log(len(p))),
        "all the used: You divided by the logarithm of how many entries of the whole batch are above 0. N is the length of the last axis, used or not.",
        lambda p: nats(p) / np.log((p > 0).sum()),
        "keepdims: The right numbers, with an axis of length 1 left at the end. Leave `keepdims=True` out: one number for each token.",
        lambda p: entropy_share(p)[..., None],
        "softmax again: This is the entropy of softmax(p). The lesson's `entropy` takes logits and makes the probabilities itself; p holds probabilities already.",
        (lambda p: entropy_share(routing.softmax(p)), lambda p: nats(routing.softmax(p))),
    )
    + by_test(
        "floor: A small number inside the logarithm does away with the nan, but it counts as probability. Of a nearly decided token it is a visible part of all the entropy there is. Leave the zeros out instead: such an expert adds 0.",
        has_floor,
        "small ones left out: Right, but for small probabilities, which you left out with the zeros. Of a nearly decided token they are most of the entropy there is: ask for `p > 0`.",
        has_gap,
    ),
)

TOLERANCE = 0.01  # nats


def router_cases(rng: np.random.Generator) -> list[tuple]:
    """Return tokens (d,), targets in nats from nearly 0 to nearly ln N, and numbers of experts; d and N differ.

    Of many experts the entropy falls steeply with a gap, so that no coarse grid comes near all targets by chance.
    """
    cases = []
    sizes = ((3, 4), (5, 2), (2, 8), (6, 5), (4, 64), (3, 48), (2, 96), (5, 128))
    for (d, N), part in zip(sizes, (0.6, 0.9, 0.1, 0.97, 0.5, 0.3, 0.7, 0.6), strict=True):
        x = rng.normal(size=d).round(1) + 0.05
        x *= rng.uniform(1.5, 3) / np.linalg.norm(x)  # never of length 1, which would hide a missing division
        cases.append((x, float(np.log(N) * (part + rng.uniform(-0.03, 0.02))), N))
    return cases


def router_form(x: np.ndarray, N: int) -> Numbers:
    """Return the form of a router matrix (d, N) for x (d,)."""
    d = len(x)
    asks = f"W_g of shape (d, N) = ({d}, {N}), finite numbers"
    came = f"\nExpected {asks}. Came {{came}}."
    unlike = by_test(
        f"transposed: W_g is transposed: its columns are the prototypes, so it has d rows.{came}",
        lambda W: W.shape == (N, d),
        f"logits: These are logits, one for each expert. Asked is a matrix that makes them out of x.{came}",
        lambda W: W.shape == (N,),
        f": Some of the logits x W_g are no finite numbers.{came}",
        lambda W: W.shape == (d, N) and not np.isfinite(x @ W).all(),
    )
    return Numbers(asks, lambda W: W.shape == (d, N), unlike, returned=True)


def routing_entropy(h: np.ndarray) -> float:
    """Return the entropy of softmax(h) in nats. h: (N,)."""
    return float(metrics.entropy(routing.softmax(h)))


@np.errstate(all="ignore")
def router_found(value: Any, x: np.ndarray, H: float, N: int) -> dict[str, Any] | Fault:
    """Return the token, its target, and the entropy that a router gives it; a fault if it is no router."""
    W = router_form(x, N).read(value)  # (d, N)
    if isinstance(W, Fault):
        return W
    return {"x": x, "H": H, "N": N, "most": np.log(N), "W": W, "entropy": routing_entropy(x @ W)}


def near(entropy: float, wanted: float, within: float = TOLERANCE) -> bool:
    """Tell whether an entropy is as near to another as an answer must be to its target."""
    return abs(entropy - wanted) <= within


def hits(h: np.ndarray, found: Facts) -> bool:
    """Tell whether these logits (N,) have the entropy that was wanted."""
    return near(routing_entropy(h), found.H)


ROUTER = PropertyQuestion(
    **about("2.6", "A router as undecided as you like", "build a counterexample", "hard", points=3, minutes=9),
    hints=(
        "Two steps. First find logits h of entropy H: let E1 have logit s and all others 0. At s = 0 the entropy is ln N, and it falls towards 0 as s grows: `brentq` finds the s between 0 and 50.",
        "Then find a W_g with x W_g = h. Try the outer product of x and h, and see by which factor its logits are too large.",
    ),
    idea="The entropy of a router for one token can be set at will by the size of the gaps: W_g = outer(x, h) / (x·x) gives exactly the logits h. So an entropy says nothing about how good a router is.",
    takeaway="An entropy tells how decided a router is and nothing of what it decides: beside it belong an untrained router of the same scale, and a loss.",
    answer="my_router",
    parameters=("x", "H", "N"),
    when_raised="If a root finder complains about signs: at gap 0 the entropy is ln N, above every target; at a gap of 50 it is practically 0, below every target.",
    cases=router_cases,
    quiet=True,
    measured=router_found,
    right=lambda found: near(found.entropy, found.H),
    mistakes=by_test(
        "all alike: All your logits are equal, whatever the target: the entropy is always ln N. Let one expert lead, by the right gap. If you halve an interval: do you keep the right half?",
        lambda found: near(found.entropy, found.most),
        "one expert only: One expert always gets practically everything: the entropy is 0. Make its lead smaller. If you halve an interval: do you keep the right half?",
        lambda found: near(found.entropy, 0),
        "bits: Your entropy meets the target in bits. H is given in nats: use the natural logarithm.",
        lambda found: near(found.entropy, found.H * np.log(2)),
        "share of the maximum: You took H as a share of ln N. It is the entropy itself, in nats.",
        lambda found: near(found.entropy, min(found.H, 1) * found.most),
        "turned round: Your entropy is ln N − H: you solved for how *decided* the router is.",
        lambda found: near(found.entropy, found.most - found.H),
        "not divided by x·x: Your logits are right, times x·x. When W_g is the outer product of x and h, then x W_g = (x·x) h: divide by x·x.",
        lambda found: hits(found.x @ found.W / (found.x @ found.x), found),
        "divided by |x| once: Your logits are right, times |x|. x W_g for the outer product of x and h is (x·x) h: divide by the *square* of the length.",
        lambda found: hits(found.x @ found.W / np.linalg.norm(found.x), found),
        "not divided by d: Your logits are right, times d. Each row h / x[i] gives h by itself, and x W_g adds d of them up: divide by d as well.",
        lambda found: hits(found.x @ found.W / len(found.x), found),
        "x left out: The one row of your W_g that is not 0 would be right as the logits. But the logits are x W_g: it is multiplied by an entry of x. Divide by that entry.",
        lambda found: np.count_nonzero(found.W.any(axis=1)) == 1 and hits(found.W.sum(axis=0), found),
        "a whole number of experts: You let a whole number of experts share evenly, and cut the others. That gives 0, ln 2, ln 3 and nothing in between: let the gap decide.",
        lambda found: (
            near(found.entropy, np.log(max(1, round(np.exp(found.H)))))
            or (near(found.entropy, np.log(max(1, int(np.exp(found.H))))))
        ),
        "probabilities for logits: What your x W_g gives sums to 1: are these probabilities? They should be the logits, from which the softmax makes probabilities.",
        lambda found: abs((found.x @ found.W).sum() - 1) < 1e-6 and (found.x @ found.W > 0).all(),
        "entropy for gap: You took the target H for the gap. The entropy falls as the gap grows: search for the gap that gives H.",
        lambda found: near(found.entropy, routing_entropy(found.H * np.eye(found.N)[0]), within=1e-3),
        "x left out: Each row of your W_g would be right as the logits. But the logits are x W_g: the rows are multiplied by the entries of x and added up.",
        lambda found: all(hits(row, found) for row in found.W),
        f"too coarse: Near, but not within {TOLERANCE} nats. Search on, with finer steps: halving an interval twenty times makes it a million times smaller. Or your interval ends too early: a low H needs a larger gap.",
        lambda found: near(found.entropy, found.H, within=0.1),
    ),
    report="Wanted {H:.4f} nats with N = {N}, where at most ln {N} = {most:.4f} is possible; your W_g gives {entropy:.4f}.",
)
