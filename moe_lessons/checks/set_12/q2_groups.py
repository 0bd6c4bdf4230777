"""Question 12.2: first the groups, then the experts in them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.apart import tells_apart
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_12.scores import GATING, are_apart, draw_bias, drawn_until, kept_by
from moe_lessons.checks.verdicts import by_test, by_value


def group_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (scores (T, N), bias (N,), k, groups, kept_groups, best), drawn until all known mistakes come apart.

    In two of them most biased scores are below 0.
    """
    while True:
        cases = [
            group_case(rng, 4, 12, 3, 4, 2, 2),
            group_case(rng, 5, 12, 4, 3, 2, 3, below=0.9),
            group_case(rng, 3, 16, 2, 4, 2, 1, below=0.9),
            group_case(rng, 6, 15, 4, 5, 3, 3),
        ]
        if tells_apart(GROUPS, cases):
            return cases


def group_case(
    rng: np.random.Generator, T: int, N: int, k: int, groups: int, kept: int, best: int, below: float = 0.0
) -> tuple:
    """Draw scores between 0 and 1 and biases until nothing that is compared is close. below: taken off every bias."""

    def draw() -> tuple:
        scores = rng.uniform(0.02, 0.98, (T, N)).round(3)  # (T, N)
        return scores, draw_bias(rng, N, 0.7) - below, k, groups, kept, best

    return drawn_until(is_clear, draw)


def is_clear(s: np.ndarray, b: np.ndarray, k: int, groups: int, kept: int, best: int) -> bool:
    """Tell whether neither experts nor groups are close to each other."""
    return are_apart(s, s + b, by_best(s + b, groups, best), by_best(s, groups, best))


def by_best(values: np.ndarray, groups: int, best: int) -> np.ndarray:
    """Return the sum of the `best` largest of each group. values (T, N). Returns (T, groups)."""
    return np.sort(values.reshape(len(values), groups, -1), axis=-1)[..., -best:].sum(axis=-1)


def spread(kept: np.ndarray, N: int) -> np.ndarray:
    """Mark the experts of marked groups, (T, groups) -> (T, N)."""
    return np.repeat(kept, N // kept.shape[1], axis=1)


def limited(values: np.ndarray, kept: np.ndarray, k: int, dropped: float = -np.inf) -> np.ndarray:
    """Mark the k largest values (T, N) in the groups that are kept; those of the others count as `dropped`."""
    return kept_by(np.where(spread(kept, values.shape[1]), values, dropped), k)


def selection(s: np.ndarray, b: np.ndarray, k: int, groups: int, kept: int, best: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the kept groups (T, groups) and the selected experts (T, N), both booleans."""
    chosen = kept_by(by_best(s + b, groups, best), kept)  # (T, groups)
    return chosen, limited(s + b, chosen, k)


def groups_by(scored: Callable) -> Callable:
    """Return the groups kept by scored(s, b, groups, best) (T, groups)."""
    return lambda s, b, k, groups, kept, best: kept_by(scored(s, b, groups, best), kept)


def experts_by(choose: Callable) -> Callable:
    """Return choose(s, b, the right groups (T, groups), k, the case), booleans (T, N)."""
    return lambda *case: choose(case[0], case[1], selection(*case)[0], case[2], case)


def strided(s: np.ndarray, b: np.ndarray, groups: int, best: int) -> np.ndarray:
    """Return the scores of groups that take every so many-th expert. (T, groups)."""
    dealt = (s + b).reshape(len(s), -1, groups).swapaxes(1, 2)  # (T, groups, N / groups)
    return by_best(dealt.reshape(s.shape), groups, best)


def of_each(values: np.ndarray, kept: np.ndarray, many: int) -> np.ndarray:
    """Mark the `many` largest of every kept group. values (T, N), kept (T, groups). (T, N)."""
    by_group = values.reshape(*kept.shape, -1)  # (T, groups, N / groups)
    return (kept_by(by_group, min(many, by_group.shape[-1])) & kept[..., None]).reshape(values.shape)


def indices(mask: np.ndarray) -> np.ndarray:
    """Return where each row of a mask is true, the same number in each, (T, k)."""
    return np.nonzero(mask)[1].reshape(len(mask), -1)


def best_with_zeros(value: Any, s: np.ndarray, b: np.ndarray, k: int, groups: int, kept: int, best: int) -> bool:
    """Tell whether k are marked in each row, the largest if dropped groups count as 0; of equal ones any."""
    if not isinstance(value, np.ndarray) or value.shape != s.shape or (value.sum(axis=-1) != k).any():
        return False
    allowed = spread(selection(s, b, k, groups, kept, best)[0], s.shape[1])  # (T, N)
    seen = np.where(allowed, s + b, 0)  # (T, N)
    marked = value.astype(bool)  # (T, N)
    least, most = np.where(marked, seen, np.inf).min(axis=-1), np.where(marked, -np.inf, seen).max(axis=-1)  # (T,)
    return bool((least >= most).all())


ZEROS = "dropped count as 0: You set what is dropped to 0. Where biases push kept experts below 0, a dropped one wins so. It must be −∞."

GROUPS = FunctionQuestion(
    **about("12.2", "First the groups, then the experts", "write it", "medium", points=2, minutes=7),
    hints=(
        "Give the groups an axis of their own: `(scores + bias).reshape(len(scores), groups, -1)` is (T, groups, experts of a group). What is the sum of the `best` largest along the last axis?",
        "`np.repeat(kept, N // groups, axis=1)` marks the experts of the kept groups. Put −∞ in place of the biased scores of all others, then mark the k largest of each row. Why not 0? Look at the signs of s + b.",
    ),
    idea="A dropped group must not come back. Its experts get −∞ before the k largest are taken: a 0 would do only if no biased score could fall below it, and biases may be negative.",
    takeaway="Groups bound how many machines a token visits; the price is that a token's best expert is out whenever its group is.",
    answer="my_selection",
    parameters=("scores", "bias", "k", "groups", "kept_groups", "best"),
    stands_for=GATING,
    when_raised="scores is (T, N), and each group holds N / groups experts that stand side by side: E1, E2, … are in the first.",
    cases=group_cases,
    reference=selection,
    parts={
        "kept": by_value(
            "without the bias: You score the groups without the bias. The selection sees s + b, in the groups as among the experts.",
            groups_by(lambda s, b, groups, best: by_best(s, groups, best)),
            "bias subtracted: You took the bias off. The selection sees s + b.",
            groups_by(lambda s, b, groups, best: by_best(s - b, groups, best)),
            "only the best: A group is as good as its single best expert in yours. It is the sum of its `best` largest.",
            groups_by(lambda s, b, groups, best: by_best(s + b, groups, 1)),
            "the whole group: You added up all experts of a group, or took their mean. Only its `best` largest count.",
            groups_by(lambda s, b, groups, best: by_best(s + b, groups, s.shape[1] // groups)),
            "the best two: You always add up two. How many count is `best`.",
            groups_by(lambda s, b, groups, best: by_best(s + b, groups, 2)),
            "as many as kept groups: You added up as many experts as there are kept groups. How many of a group count is `best`.",
            lambda s, b, k, groups, kept, best: kept_by(by_best(s + b, groups, min(kept, s.shape[1] // groups)), kept),
            "the smallest of a group: You added up the `best` *smallest* of each group. `np.sort` sorts upwards: take the last ones.",
            groups_by(lambda s, b, groups, best: -by_best(-(s + b), groups, best)),
            "the `best`-th alone: A group is as good as its `best`-th expert in yours. It is the *sum* of its `best` largest.",
            groups_by(
                lambda s, b, groups, best: (
                    by_best(s + b, groups, best) - by_best(s + b, groups, best - 1)
                    if best > 1
                    else by_best(s + b, groups, 1)
                )
            ),
            "bias outside: You found the largest by the scores, and added the bias afterwards, or the other way round. Add first: s + b is what is compared.",
            groups_by(lambda s, b, groups, best: by_best(s, groups, best) + by_best(b[None], groups, best)),
            "worst groups: You keep the groups with the smallest sums. Keep the largest.",
            groups_by(lambda s, b, groups, best: -by_best(s + b, groups, best)),
            "dealt out: Your groups take every so many-th expert. The experts of a group stand side by side: with four in each, the first group is E1 to E4. `reshape(len(scores), groups, -1)`.",
            groups_by(strided),
            "for the whole batch: All tokens keep the same groups in yours. Each token has its own best groups.",
            groups_by(lambda s, b, groups, best: by_best(s + b, groups, best).sum(axis=0) + np.zeros((len(s), 1))),
            "where the best experts are: You keep the groups in which the k largest s + b stand. Each token keeps just `kept_groups`, those with the largest sums.",
            lambda s, b, k, groups, kept, best: kept_by(s + b, k).reshape(len(s), groups, -1).any(axis=-1),
            "the dropped ones: This marks the groups that are dropped. Mark those that are kept.",
            lambda *case: ~selection(*case)[0],
            "one group: You keep the best group alone. `kept_groups` are kept.",
            lambda s, b, k, groups, kept, best: kept_by(by_best(s + b, groups, best), 1),
            "all groups: You keep every group. Only the `kept_groups` with the largest sums are kept.",
            lambda s, b, k, groups, kept, best: np.ones((len(s), groups), dtype=bool),
            "numbers of groups: These are the numbers of the kept groups. Asked is a mask: True or False for each group, (T, groups).",
            lambda *case: indices(selection(*case)[0]),
            "for each expert: This marks the experts of the kept groups, (T, N). Asked is one truth value a group, (T, groups).",
            lambda *case: spread(selection(*case)[0], case[0].shape[1]),
        ),
        "selected": by_value(
            "groups ignored: You selected the k largest of all experts. Only those in the kept groups can be selected.",
            experts_by(lambda s, b, kept, k, case: kept_by(s + b, k)),
            ZEROS,
            experts_by(lambda s, b, kept, k, case: limited(s + b, kept, k, 0.0)),
            "bias added after the cut: You set the scores of dropped groups to 0 and added the bias afterwards: then they have their bias, and can win. Take −∞, or add the bias first.",
            experts_by(lambda s, b, kept, k, case: kept_by(np.where(spread(kept, s.shape[1]), s, 0) + b, k)),
            "without the bias: Within the groups you select by the scores alone. The selection sees s + b there, too.",
            experts_by(lambda s, b, kept, k, case: limited(s, kept, k)),
            "k of each group: You selected k experts of *each* kept group. k in all are selected, wherever in the kept groups they are.",
            experts_by(lambda s, b, kept, k, case: of_each(s + b, kept, k)),
            "the same from each: You shared the k out among the kept groups. They may all come from one: the k largest of all that are left.",
            experts_by(lambda s, b, kept, k, case: of_each(s + b, kept, max(1, k // case[4]))),
            "those that speak: You selected the experts whose scores made the group's. They speak for the group; the selection then takes the k largest of all that are left.",
            experts_by(lambda s, b, kept, k, case: of_each(s + b, kept, case[5])),
            "whole groups: You selected every expert of the kept groups. Of those the k largest are asked for.",
            experts_by(lambda s, b, kept, k, case: spread(kept, s.shape[1])),
            "of the dropped: You selected among the dropped groups. Select among the kept ones.",
            experts_by(lambda s, b, kept, k, case: limited(s + b, ~kept, k)),
            "best group alone: You selected from each token's best group alone. All kept groups count.",
            lambda s, b, k, groups, kept, best: limited(s + b, kept_by(by_best(s + b, groups, best), 1), k),
            "smallest: You selected the k smallest in the kept groups. `np.argsort` sorts upwards.",
            experts_by(lambda s, b, kept, k, case: limited(-(s + b), kept, k)),
            "numbers of experts: These are the numbers of the selected experts. Asked is a mask: True or False for each expert, (T, N).",
            lambda *case: indices(selection(*case)[1]),
            "the others: This marks the experts that are not selected. Mark those that are.",
            lambda *case: ~selection(*case)[1],
            "weights: These are the scores of the selected. Asked is a mask, True or False for each expert.",
            lambda *case: np.where(selection(*case)[1], case[0], 0),
        )
        + by_test(ZEROS, best_with_zeros),
    },
)
