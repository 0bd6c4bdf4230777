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
    # Each is seen in the digits of the share. What they leave of 1 is half a step away from any number of float32.
    small = np.array([3.2e-6, 1.5e-6, 3e-7, 1e-7])  # (4,)
    cases[1][3] = rng.permutation([1 - small.sum(), *small, 0])  # 4 in a hundred thousand of ln 6
    return [(p,) for p in cases]


def nats(p: np.ndarray, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Return the entropy along `axis`, several, None for the sum over all of p (..., N)."""
    return scipy.special.entr(p).sum(axis=axis)


def second_axis(p: np.ndarray) -> int:
    """Return 1, or 0 for a single token: the last axis of p for who thinks of tokens and batches only."""
    return min(1, p.ndim - 1)


def of_blocks(p: np.ndarray) -> np.ndarray:
    """Return the entropy of everything that a loop over p (T, ..., N) meets at once. (T,), or () of a single token."""
    return nats(p, axis=tuple(range(second_axis(p), p.ndim)))


def entropy_share(p: np.ndarray) -> Any:
    """Return the entropy over the last axis as a share of its maximum. p: (..., N). Returns (...)."""
    return nats(p) / np.log(p.shape[-1])


def rounded(decimals: int, p: np.ndarray) -> np.ndarray:
    """Return the right shares with so many decimals. (...)."""
    return np.round(entropy_share(p), decimals)


def in_float32(p: np.ndarray) -> np.ndarray:
    """Return the right shares of probabilities that were rounded to float32. (...)."""
    return entropy_share(p.astype(np.float32).astype(float))


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
        "base 10: This is the entropy by logarithms to base 10. Divide it by its largest value, log₁₀ N.",
        lambda p: nats(p) / np.log(10),
        "mixed bases: Nats above the line, bits below: use one base for both.",
        lambda p: nats(p) / np.log2(p.shape[-1]),
        "mixed bases: Nats above the line, base 10 below, or the other way round: use one base for both.",
        (lambda p: nats(p) / np.log10(p.shape[-1]), lambda p: entropy_share(p) / np.log(10)),
        "mixed bases: Bits above the line, nats below: use one base for both.",
        lambda p: entropy_share(p) / np.log(2),
        "divided by N: You divided by N. The largest entropy of N experts is ln N.",
        (lambda p: nats(p) / p.shape[-1], lambda p: nats(p) / np.log(2) / p.shape[-1]),
        "N − 1: You divided by ln(N − 1). When all N are alike, the entropy is ln N.",
        lambda p: nats(p) / np.log(p.shape[-1] - 1),
        "N + 1: You divided by ln(N + 1). When all N are alike, the entropy is ln N.",
        lambda p: nats(p) / np.log(p.shape[-1] + 1),
        "both sides: You added the entropy of 1 − p as well, as for a choice between two. Here all N share one choice: −Σ p ln p, and no more.",
        (
            lambda p: (nats(p) + nats(1 - p)) / np.log(p.shape[-1]),
            lambda p: (nats(p) + nats(1 - p)) / np.log(2),
            lambda p: nats(p) + nats(1 - p),
        ),
        "nan made 0: A nan is no 0: it says that 0·log 0 came up in the sum, and a 0 in its place throws the whole row away. An expert with probability 0 adds 0: treat the entries, not the sum.",
        lambda p: np.nan_to_num(naive_nats(p)) / np.log(p.shape[-1]),
        "sign: The sign is missing: logarithms of probabilities are negative, so the sum wants a minus.",
        lambda p: -entropy_share(p),
        "sign, not normalised: Two things. The sign is missing: logarithms of probabilities are negative, so the sum wants a minus. Then divide by the largest entropy, ln N.",
        (lambda p: -nats(p), lambda p: -nats(p) / np.log(2)),
        "turned round: This is 1 minus what was asked: 1 should mean that all experts are alike, 0 that one has everything.",
        lambda p: 1 - entropy_share(p),
        "mean for sum: You took the mean over the experts of p·log p. Entropy is the sum.",
        lambda p: entropy_share(p) / p.shape[-1],
        "divided by ln of the used: You divided by the logarithm of the number of experts with p > 0. N counts all experts, used or not.",
        (over_support, lambda p: over_support(p, 2), lambda p: np.nan_to_num(over_support(p))),
        "rounded: Right, but rounded. The small share of a nearly decided token has lost its digits: return the numbers as they are.",
        tuple(partial(rounded, decimals) for decimals in (2, 3, 4, 5, 6)),
        "in float32: You went into float32, which has seven digits. Of a probability just below 1 they leave only two or three for how far below it is, and there is all the entropy of a nearly decided token. Stay in float64, in which p came.",
        in_float32,
        "sum of squares: This is made of Σ p². It is another measure of how undecided a token is; the entropy is −Σ p ln p.",
        (
            lambda p: 1 - (p**2).sum(axis=-1),
            lambda p: (1 - (p**2).sum(axis=-1)) / (1 - 1 / p.shape[-1]),
        ),
        "exponential: You took e to the entropy, the number of experts that would be as undecided. Asked is the entropy itself, divided by ln N.",
        (
            lambda p: np.exp(nats(p)),
            lambda p: np.exp(nats(p)) / p.shape[-1],
            lambda p: (np.exp(nats(p)) - 1) / (p.shape[-1] - 1),
        ),
        "largest probability: You returned 1 less the largest probability. It is another measure of how undecided a token is; the entropy is −Σ p ln p.",
        lambda p: 1 - p.max(axis=-1),
        "minus ln of the largest: You took the logarithm of the largest probability alone. All experts count: −Σ p ln p.",
        (lambda p: -np.log(p.max(axis=-1)), lambda p: -np.log(p.max(axis=-1)) / np.log(p.shape[-1])),
        "p left out: You added up logarithms. Each counts with its own p: −Σ p ln p.",
        lambda p: -np.log(np.where(p > 0, p, 1)).sum(axis=-1) / np.log(p.shape[-1]),
        "logarithm of all entries: You divided by the logarithm of how many numbers there are in the whole batch. N is the length of the last axis.",
        lambda p: nats(p) / np.log(p.size),
        "blocks for rows: Right for one token and for a batch. With more axes in front, a loop over p meets whole blocks of rows, and you took each block for one row: sum over the last axis, `axis=-1`.",
        (lambda p: of_blocks(p) / np.log(p.shape[-1]), lambda p: of_blocks(p) / np.log(p.shape[second_axis(p)])),
        "one axis for all in front: The right shares, but in one row: the axes in front are lost. p of shape (2, 3, 4) gives (2, 3).",
        lambda p: entropy_share(p).reshape(-1),
        "squeezed: Right, but a batch of one comes out as a number. p of shape (1, 3) gives (1,).",
        lambda p: np.squeeze(entropy_share(p)),
        "ln of the second axis: Right for one token and for a batch. With more axes in front, `p.shape[1]` is not N: it is the length of the last axis, `p.shape[-1]`.",
        lambda p: nats(p) / np.log(p.shape[second_axis(p)]),
        "over axis 1: Right for one token and for a batch. With more axes in front, axis 1 is not the experts': it is the last one, `axis=-1`.",
        (
            lambda p: nats(p, axis=second_axis(p)) / np.log(p.shape[-1]),
            lambda p: nats(p, axis=second_axis(p)) / np.log(p.shape[second_axis(p)]),
        ),
        "over the largest in the batch: You divided by the largest entropy that came. The largest that there can be is ln N.",
        lambda p: nats(p) / nats(p).max(),
        "over the tokens: You summed over the first axis, the tokens. Every token has an entropy of its own: sum over the last axis.",
        (
            lambda p: nats(p, axis=0) / np.log(p.shape[-1]),
            np.errstate(all="ignore")(lambda p: nats(p, axis=0) / np.log(len(p))),
        ),
        "ln T: You divided by the logarithm of the *first* axis' length, the number of tokens. N is the length of the last.",
        (
            np.errstate(all="ignore")(lambda p: nats(p) / np.log(len(p))),
            lambda p: nats(p) / np.log(max(len(p), 2)),
        ),
        "one number for all: One number for the whole batch: you averaged over the tokens as well. Return one for each token.",
        lambda p: entropy_share(p).mean(),
        "no axis: You summed over the whole batch. Each token has an entropy of its own: keep the shape of p, and name the axis of the sum, `axis=-1`. (A mask in brackets, as in `p[p > 0]`, throws all rows together: `np.where` keeps the shape.)",
        (
            lambda p: nats(p, axis=None) / np.log(p.shape[-1]),
            lambda p: np.full(p.shape[:-1], entropy_share(p).mean()),
        ),
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

    Of many experts the entropy falls steeply with a gap, so that no coarse grid comes near all targets by chance. The
    last token begins with a 0, by which nothing can be divided.
    """
    cases = []
    sizes = ((3, 4), (5, 2), (2, 8), (6, 5), (4, 64), (3, 48), (2, 96), (5, 128))
    for (d, N), part in zip(sizes, (0.6, 0.9, 0.1, 0.97, 0.5, 0.3, 0.7, 0.6), strict=True):
        x = rng.normal(size=d).round(1) + 0.05
        x[0] = 0 if sizes[-1][1] == N else x[0]
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
        f"gap alone: This is one number. Is it the gap that you searched for? It belongs into logits, and W_g is a matrix that makes them out of x.{came}",
        lambda W: W.size == 1,
        f"divided by an entry of x: Some of the logits x W_g are no finite numbers, and an entry of this x is 0. Do you divide by that entry? x·x is never 0.{came}",
        lambda W: (
            W.shape == (d, N) and not x.all() and not np.isfinite(x @ W).all() and not np.isfinite(W[x == 0]).any()
        ),
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
    h = x @ W  # (N,)
    logits = {"entropy": routing_entropy(h), "lead": lead_of(h), "lack": lead_of(-h), "best": routing.softmax(h).max()}
    return {"x": x, "H": H, "N": N, "most": np.log(N), "W": W, **logits}


def near(entropy: float, wanted: float, within: float = TOLERANCE) -> bool:
    """Tell whether an entropy is as near to another as an answer must be to its target."""
    return abs(entropy - wanted) <= within


def hits(h: np.ndarray, found: Facts) -> bool:
    """Tell whether these logits (N,) have the entropy that was wanted."""
    return near(routing_entropy(h), found.H)


def lead_of(h: np.ndarray) -> float:
    """Return by how much one logit of h (N,) lies above all others, which are alike; NaN where they are not."""
    ordered = np.sort(h)
    return float(ordered[-1] - ordered[0]) if np.ptp(ordered[:-1]) <= 1e-9 * max(1, np.ptp(h)) else np.nan


def lead_for(H: float, N: int) -> float:
    """Return the lead of one logit over N − 1 others that gives the entropy H in nats."""
    first = np.eye(N)[0]
    return float(scipy.optimize.brentq(lambda lead: routing_entropy(lead * first) - H, 0, 700))


def is_straight(found: Facts) -> bool:
    """Tell whether the lead falls in a straight line from a whole number, or from ln N, to 0 as H grows to ln N."""
    slope = found.lead / (1 - found.H / found.most)
    return bool(np.isclose([slope, found.lead], [np.round(slope), found.most - found.H], rtol=1e-6, atol=1e-9).any())


def has_formula(found: Facts) -> bool:
    """Tell whether the lead comes out of the target by a formula that somebody may try."""
    H, most, N = found.H, found.most, found.N
    tried = (np.exp(H), np.exp(-H), np.log(H), 1 / H, most / H, H / most, most - H, N / H, H * N, H * most)
    return bool(np.isclose(found.lead, np.abs(tried), rtol=1e-6).any())


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
    when_raised="If a root finder complains about signs: at gap 0 the entropy is ln N, above every target; at a gap of 50 it is practically 0, below every target. The function must change its sign in between: is the target subtracted, `nats(h) - H`?",
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
        lambda found: (
            near(found.entropy, min(found.H, 1) * found.most)
            or (found.H >= 0.95 and found.entropy >= 0.95 * found.most)  # kept a little below all of it
        ),
        "divided by ln N: Your entropy is H / ln N. H is the entropy itself, in nats: nothing has to be divided.",
        lambda found: near(found.entropy, min(found.H / found.most, found.most)),
        "nats to nats: Your entropy is H / ln 2. H is in nats, and so is `nats(h)`: nothing has to be converted.",
        lambda found: near(found.entropy, min(found.H / np.log(2), found.most)),
        "turned round: Your entropy is ln N − H: you solved for how *decided* the router is.",
        lambda found: near(found.entropy, found.most - found.H),
        "not divided by x·x: Your logits are right, times x·x. When W_g is the outer product of x and h, then x W_g = (x·x) h: divide by x·x.",
        lambda found: hits(found.x @ found.W / (found.x @ found.x), found),
        "divided by |x| once: Your logits are right, times |x|. x W_g for the outer product of x and h is (x·x) h: divide by the *square* of the length.",
        lambda found: hits(found.x @ found.W / np.linalg.norm(found.x), found),
        "not divided by d: Your logits are right, times d. Each row h / x[i] gives h by itself, and x W_g adds d of them up: divide by d as well.",
        lambda found: hits(found.x @ found.W / len(found.x), found),
        "divided by d: Your logits are right, times x·x / d. When W_g is the outer product of x and h, then x W_g = (x·x) h: divide by x·x, and not by d.",
        lambda found: hits(found.x @ found.W * len(found.x) / (found.x @ found.x), found),
        "divided by the sum of x: Your logits are right, times x·x / Σx. When W_g is the outer product of x and h, then x W_g = (x·x) h: divide by x·x.",
        lambda found: hits(found.x @ found.W * found.x.sum() / (found.x @ found.x), found),
        "divided twice: Your logits are right, divided by x·x once too often.",
        lambda found: hits(found.x @ found.W * (found.x @ found.x), found),
        "signs of x: Your logits are right, times Σ|x| / x·x. The outer product is that of x itself and h, not of the signs of x.",
        lambda found: hits(found.x @ found.W * (found.x @ found.x) / np.abs(found.x).sum(), found),
        "one rival only: The lead of your one expert would do against a single rival. Here N − 1 others share the rest: search with all N logits.",
        lambda found: (
            np.isfinite(found.lead)
            and near(routing_entropy(np.array([found.lead, 0])), min(found.H, np.log(2)), within=1e-3)
        ),
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
        "straight line: The lead of your one expert falls in a straight line as H grows. The entropy does not fall in proportion to the lead: search for the lead that gives H.",
        is_straight,
        "best expert only: Your best expert has the probability e^−H: you took −ln p of that one for the entropy. Entropy is −Σ p ln p, over all experts.",
        lambda found: np.isclose(found.best, np.exp(-found.H), rtol=1e-4),
        "one lowered: One expert lies *below* the others, which are alike. However low it is, the others share evenly, and the entropy stays above ln(N − 1). Raise it instead.",
        lambda found: found.lack > 0,
        "x left out: Each row of your W_g would be right as the logits. But the logits are x W_g: the rows are multiplied by the entries of x and added up.",
        lambda found: all(hits(row, found) for row in found.W),
        f"too coarse: Near, but not within {TOLERANCE} nats. Search on, with finer steps: halving an interval twenty times makes it a million times smaller. Or your interval ends too early: a low H needs a larger gap.",
        lambda found: (
            near(found.entropy, found.H, within=0.1) or near(found.lead, lead_for(found.H, found.N), within=0.8)
        ),
        "formula for the lead: You make the lead of one expert out of H by a formula. There is none: search for the lead that gives H.",
        has_formula,
        "fixed lead: The lead of your one expert is a round number. Is it the same, whatever the target is? Search for the lead that gives H.",
        lambda found: np.isclose(found.lead, np.round(found.lead, 1), rtol=0, atol=1e-9),
    ),
    report="Wanted {H:.4f} nats with N = {N}, where at most ln {N} = {most:.4f} is possible; your W_g gives {entropy:.4f}.",
)
