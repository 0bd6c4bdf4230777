"""Question 11.4: when does the router stop moving?"""

from collections.abc import Callable

import numpy as np

from moe_lessons import metrics
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value


def saturation_cases(rng: np.random.Generator) -> list[tuple]:
    """Checkpoints that come nearer and nearer to the last; the order of the choices changes by itself."""
    return [(drifting(rng, C, T, k, N),) for C, T, k, N in ((4, 9, 2, 5), (5, 8, 3, 7), (3, 12, 4, 9))]


def drifting(rng: np.random.Generator, C: int, T: int, k: int, N: int) -> np.ndarray:
    """Return selections (C, T, k) that agree more and more with the last."""
    taste = rng.gumbel(size=(T, N - 1))  # (T, N − 1), at the end nobody has the last expert
    noise = np.linspace(1.5, 0.4, C - 1)[:, None, None] * rng.gumbel(size=(C - 1, T, N - 1))
    logits = np.concatenate([taste + noise, taste[None]])  # (C, T, N − 1)
    order = np.argsort(-logits, axis=-1)  # (C, T, N − 1)
    selected = order[..., :k].copy()  # (C, T, k)
    selected[0, 0], selected[0, 1] = selected[-1, 0][::-1], selected[-1, 1]  # the same set in another order, or in this
    selected[:-1, 2] = order[-1, 2, -k:]  # nothing in common until the end
    selected[:-1, 3, -1] = N - 1  # one choice that is among no token's final ones
    return selected


def each_checkpoint(wrong: Callable) -> Callable:
    """Return the function of selected (C, T, k) that is wrong(checkpoint, final) for each checkpoint."""
    return lambda selected: np.array([wrong(now, selected[-1]) for now in selected])


saturations = each_checkpoint(metrics.saturation)  # of selected (C, T, k); the last is the final one


def are_in(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return which choices of one selection the same token has in another. (…, T, k) each -> (…, T, k)."""
    return (one[..., :, None] == other[..., None, :]).any(axis=-1)


def common(now: np.ndarray, final: np.ndarray) -> np.ndarray:
    """Return how many experts two selections (T, k) share in each token, (T,)."""
    return are_in(now, final).sum(axis=-1)


def of_common(wrong: Callable) -> Callable:
    """Return the function of selected (C, T, k) that is the mean over tokens of wrong(common experts (T,), k)."""
    return each_checkpoint(lambda now, final: wrong(common(now, final), now.shape[1]).mean())


def neighbours(before: tuple[float, ...] = (), after: tuple[float, ...] = ()) -> Callable:
    """Return the function that compares each checkpoint with the one before it, with numbers before and after these."""
    return lambda selected: np.array([*before, *map(metrics.saturation, selected[1:], selected[:-1]), *after])


def by_chance(selected: np.ndarray) -> float:
    """Return the share k/N that two routers have in common by chance, of as many experts as are seen."""
    return selected.shape[-1] / (selected.max() + 1)


def loads_in_common(now: np.ndarray, final: np.ndarray) -> float:
    """Return the share of choices that two selections (T, k) have in common if tokens are mixed up."""
    N = max(now.max(), final.max()) + 1
    return float(np.minimum(*(np.bincount(one.ravel(), minlength=N) for one in (now, final))).sum() / now.size)


def settled(selected: np.ndarray) -> np.ndarray:
    """Return which final choices are there from each checkpoint on, to the end. (C, T, k)."""
    there = are_in(selected[-1], selected)  # (C, T, k), of the final choices
    return np.logical_and.accumulate(there[::-1])[::-1]


def is_final(selected: np.ndarray) -> np.ndarray:
    """Return which choices are among the token's final ones. (C, T, k)."""
    return are_in(selected, selected[-1])


def shares(selected: np.ndarray) -> np.ndarray:
    """Return the share of each token's choices that are final, in each checkpoint. (C, T)."""
    return is_final(selected).mean(axis=-1)


SATURATION = FunctionQuestion(
    **about("11.4", "When does the router stop moving?", "write it", "medium", points=2, minutes=6),
    hints=(
        "A token's k experts are a set: E3, E1 and E1, E3 are the same choice. So `==` place by place misses hits, and `np.isin` over the whole array finds hits that belong to other tokens.",
        "`selected[:, :, :, None] == selected[-1][None, :, None, :]` is (C, T, k, k): each choice against each final choice of the same token. `any` over the last axis says whether the choice is among the final ones; then the mean over tokens and choices.",
    ),
    idea="Divided by k, the common experts of a token are the share of its choices that have settled. Two routers that know nothing of each other already agree on about k/N, so read a saturation against that, not against 0.",
    takeaway="Agreement between two routers is read against k/N, and in steps of training rather than in shares of your own run.",
    answer="my_saturation",
    parameters=("selected",),
    stands_for=("metrics.saturation",),
    when_raised="selected is (C, T, k): checkpoints, tokens, choices. selected[-1] is the final one, (T, k). Return C numbers.",
    cases=saturation_cases,
    reference=saturations,
    mistakes=by_value(
        "in order: You compared place by place, so an expert that went from first to second choice counts as lost. The k experts of a token are a set.",
        each_checkpoint(lambda now, final: (now == final).mean()),
        "in order of their numbers: You sorted both selections and compared them place by place. E1, E2 and E2, E3 have one expert in common, but in no place.",
        each_checkpoint(lambda now, final: (np.sort(now) == np.sort(final)).mean()),
        "first choice only: You compared one choice of each token alone. All k selected experts count.",
        (
            each_checkpoint(lambda now, final: (now[:, 0] == final[:, 0]).mean()),
            each_checkpoint(lambda now, final: (now[:, :1] == final).any(axis=1).mean()),
            each_checkpoint(lambda now, final: (now == final[:, :1]).any(axis=1).mean()),
        ),
        "Jaccard: You divided by the size of the union (the Jaccard index). Eq. 5 divides by k: with one of two experts in common it says 1/2, where Jaccard says 1/3.",
        of_common(lambda both, k: both / (2 * k - both)),
        "previous checkpoint: You compared each checkpoint with its neighbour in time. That says how fast the router still moves; one that walks slowly in circles would seem saturated. Eq. 5 compares with the *final* checkpoint.",
        (
            *(neighbours(), neighbours((0,)), neighbours((1,)), neighbours((np.nan,)), neighbours(after=(1,))),
            lambda selected: np.array([metrics.saturation(now, selected[c - 1]) for c, now in enumerate(selected)]),
        ),
        "first checkpoint: You compared with the first checkpoint. That says how far the router has moved away, not how near it is to where it ends.",
        lambda selected: saturations(selected[::-1])[::-1],
        "first checkpoint, in order: Two things. You compared with the first checkpoint: saturation says how near a router is to where it *ends*. And you compared place by place: the k experts of a token are a set.",
        lambda selected: np.array([(now == selected[0]).mean() for now in selected]),
        "all or nothing: You count a token only if all its k experts are final. One expert of two in common counts as a half.",
        of_common(lambda both, k: both == k),
        "any: You count a token as soon as one of its experts is final. Count how many are, and divide by k.",
        of_common(lambda both, k: both > 0),
        "not divided by k: This is the number of common experts of a token. Divide by k.",
        of_common(lambda both, k: both),
        "divided by k twice: You took the mean over k·k comparisons of choice with choice, of which k at most can be hits. Ask of each choice whether it is `any` of the final ones, then take the mean over the k choices.",
        of_common(lambda both, k: both / k**2),
        "over all tokens: You asked whether an expert is among the final choices of *any* token (`np.isin` and `np.intersect1d` look through whole arrays). Compare each token with itself.",
        (
            each_checkpoint(lambda now, final: np.isin(now, final).mean()),
            each_checkpoint(lambda now, final: np.intersect1d(now, final).size / now.shape[1]),
            each_checkpoint(lambda now, final: np.intersect1d(now, final).size / np.unique(final).size),
        ),
        "counts: This is the number of common experts, summed over the tokens. Divide by T·k.",
        of_common(lambda both, k: both * both.size),
        "moved: This is the share that still changes. Saturation is 1 minus that.",
        of_common(lambda both, k: 1 - both / k),
        "moved: You counted the experts that only one of the two has. Asked is what both have in common, divided by k.",
        (of_common(lambda both, k: 2 * (k - both)), of_common(lambda both, k: 2 * (k - both) / k)),
        "one mean: This is one number, the mean over the checkpoints. Return one for each: the course of it is what is asked.",
        lambda selected: saturations(selected).mean(),
        "one for each token: These are the shares of each token by itself, (C, T). Take the mean over the tokens.",
        shares,
        "over the checkpoints: These are means over the checkpoints, one number for each token. Asked is one for each checkpoint: the mean over tokens and choices.",
        lambda selected: shares(selected).mean(axis=0),
        "one for each place: The first choices are by themselves, and so are the second ones. Take the mean over the k choices, too.",
        (lambda selected: is_final(selected).mean(axis=1), lambda selected: is_final(selected).mean(axis=(0, 1))),
        "stays to the end: You ask whether a choice stays in all later checkpoints. Eq. 5 compares each checkpoint with the final one alone, whatever lies between.",
        lambda selected: settled(selected).mean(axis=(1, 2)),
        "last but one: You compared with the last checkpoint but one. The final one is `selected[-1]`.",
        lambda selected: np.array([metrics.saturation(now, selected[-2]) for now in selected]),
        "above chance: You took off what two routers have in common by chance, k/N. That is a good next step, but asked is the share itself.",
        (
            lambda selected: saturations(selected) - by_chance(selected),
            lambda selected: (saturations(selected) - by_chance(selected)) / (1 - by_chance(selected)),
        ),
        "other tokens: The tokens got into another order: each was compared with another one's final choices.",
        each_checkpoint(lambda now, final: metrics.saturation(now, final[::-1])),
        "loads: You compared how often each expert is chosen, not who chooses it. Compare each token with itself.",
        each_checkpoint(loads_in_common),
        "final left out: Right, but the final checkpoint is missing. Return C numbers; the last is 1.",
        lambda selected: saturations(selected)[:-1],
        "in percent: These are percentages. Return shares, from 0 to 1.",
        lambda selected: 100 * saturations(selected),
    ),
)
