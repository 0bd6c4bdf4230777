"""Answers to 10.1: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch
from torch.nn import functional

# --- 10.1 ---------------------------------------------------------------------------------------------------------


def served(rank, room=None, number=lambda i: i, only=lambda j: True):
    """Serve (t, j) by rank(t, j, weight), smallest first, with room(C, N) places for each queue number(i)."""

    def answer(selected, weights, capacity, num_experts, priority):
        T, k = selected.shape
        everyone = [(t, j) for t in range(T) for j in range(k) if only(j)]
        order = sorted(everyone, key=lambda who: rank(priority)(*who, weights[who], weights[who[0]].max()))
        places = room(capacity, num_experts) if room else capacity
        kept, taken = np.zeros((T, k), dtype=bool), {}
        for who in order:
            queue = number(selected[who])
            kept[who] = taken.get(queue, 0) < places
            taken[queue] = taken.get(queue, 0) + 1
        return kept

    return answer


def by_choice(t, j, w, best):
    return (j, t)


def by_weight(t, j, w, best):
    return -w


def orders(position=by_choice, probability=by_weight):
    return lambda priority: position if priority == "position" else probability


kept_by_sorting = served(orders())


def kept_by_walking(selected, weights, capacity, num_experts, priority):
    T, k = selected.shape
    order = [(t, j) for j in range(k) for t in range(T)]
    if priority == "probability":
        order.sort(key=lambda who: weights[who], reverse=True)
    free, kept = [capacity] * num_experts, [[False] * k for _ in range(T)]
    for t, j in order:
        if free[selected[t, j]]:
            free[selected[t, j]] -= 1
            kept[t][j] = True
    return kept


def kept_by_cumsum(selected, weights, capacity, num_experts, priority):
    """One-hot and cumulative sums, as in Mesh TensorFlow."""
    experts, w = torch.tensor(selected).T.flatten(), torch.tensor(weights).T.flatten()
    order = w.argsort(descending=True) if priority == "probability" else torch.arange(len(w))
    hot = functional.one_hot(experts[order], num_experts)
    place = (hot.cumsum(0) * hot).sum(-1)
    kept = torch.zeros(len(w), dtype=torch.bool)
    kept[order] = place <= capacity
    return kept.reshape(selected.shape[::-1]).T


def kept_expert_by_expert(selected, weights, capacity, num_experts, priority):
    kept = np.zeros(selected.shape)
    for i in range(num_experts):
        t, j = np.nonzero(selected == i)
        order = np.lexsort((t, j)) if priority == "position" else np.argsort(-weights[t, j])
        kept[t[order[:capacity]], j[order[:capacity]]] = 1
    return kept


def changed(wrong):
    return lambda selected, weights, C, N, priority: wrong(
        kept_by_sorting(selected, weights, C, N, priority), selected, weights
    )


def columns_apart(selected, weights, C, N, priority):
    parts = [kept_by_sorting(selected[:, [j]], weights[:, [j]], C, N, priority) for j in range(selected.shape[1])]
    return np.concatenate(parts, axis=1)


def kept_by_counting(selected, weights, capacity, num_experts, priority):
    """Compare all with all: how many of the same expert are served before me?"""
    T, k = selected.shape
    turn = np.arange(T)[:, None] + T * np.arange(k) if priority == "position" else -weights.astype(np.float32)
    i, turn = selected.ravel(), turn.ravel()
    before = ((i == i[:, None]) & (turn < turn[:, None])).sum(axis=1)
    return (before < capacity).reshape(T, k).astype(int)


def kept_unless(passed_over):
    """Pass over an assignment for what its token has met so far."""

    def answer(selected, weights, capacity, num_experts, priority):
        fates, free = [[] for _ in selected], [capacity] * num_experts
        kept = np.zeros(selected.shape, dtype=bool)
        ranked = sorted(np.ndindex(selected.shape), key=lambda a: -weights[a] if priority == "probability" else a[::-1])
        for who in ranked:
            if not passed_over(fates[who[0]]):
                kept[who] = free[selected[who]] > 0
                free[selected[who]] -= kept[who]
                fates[who[0]].append(bool(kept[who]))
        return kept

    return answer


def for_experts(some):
    def answer(selected, weights, capacity, num_experts, priority):
        experts = list(some(num_experts))
        return kept_by_sorting(selected, weights, capacity, num_experts, priority) & np.isin(selected, experts)

    return answer


def kept_by_order(selected, weights, capacity, num_experts, priority):
    T, k = selected.shape
    turn = np.arange(T)[:, None] + T * np.arange(k) if priority == "position" else -weights
    kept = np.zeros((T, k), dtype=bool)
    for i in range(num_experts):
        mine = selected == i
        kept[mine] = turn[mine].argsort() < capacity
    return kept


def sent_elsewhere(selected, weights, C, N, priority):
    """Who finds an expert full goes to the next that has a place."""
    kept, free = np.zeros(selected.shape, dtype=bool), [C] * N
    ranked = sorted(np.ndindex(selected.shape), key=lambda a: -weights[a] if priority == "probability" else a[::-1])
    for who in ranked:
        place = next((i for i in (selected[who], *range(N)) if free[i]), None)
        if place is not None:
            free[place] -= 1
            kept[who] = True
    return kept


def by(priority, wrong):
    """Wrong with this priority only."""
    return lambda s, w, C, N, asked: (wrong if asked == priority else kept_by_sorting)(s, w, C, N, asked)


def left_in_the_queue(selected, weights, C, N, priority):
    order = np.argsort(-weights, axis=None) if priority == "probability" else np.arange(weights.size)
    experts = selected.ravel()[order] if priority == "probability" else selected.T.ravel()
    seen = [0] * N
    kept = []
    for i in experts:
        kept.append(seen[i] < C)
        seen[i] += 1
    return np.array(kept).reshape(selected.shape)


def walks(by_probability):
    """Serve the numbers t·k + j in an order of one's own where the priority is "probability"."""

    def answer(selected, weights, capacity, num_experts, priority):
        if priority == "position":
            return kept_by_sorting(selected, weights, capacity, num_experts, priority)
        kept, free = np.zeros(selected.size, dtype=bool), [capacity] * num_experts
        for number in by_probability(weights):
            expert = selected.ravel()[number]
            kept[number] = free[expert] > 0
            free[expert] -= kept[number]
        return kept.reshape(selected.shape)

    return answer


def numbers_turned_round(selected, weights, C, N, priority):
    T, k = selected.shape
    order = np.arange(T * k).reshape(k, T).T.ravel() if priority == "position" else np.argsort(-weights.ravel())
    free, kept = [C] * N, np.zeros(T * k, dtype=bool)
    for number in order:
        expert = selected.ravel()[number]
        kept[number] = free[expert] > 0
        free[expert] -= kept[number]
    return kept.reshape(T, k)


def by_tokens_sum(turned):
    """Sort the tokens by all of their weight."""
    return walks(
        lambda weights: turned(
            np.arange(weights.size).reshape(weights.shape)[np.argsort(-weights.sum(axis=1), kind="stable")],
        ).ravel()
    )


def until_one_is_full(selected, weights, C, N, priority):
    kept, free = np.zeros(selected.shape, dtype=bool), [C] * N
    for who in sorted(np.ndindex(selected.shape), key=lambda a: -weights[a] if priority == "probability" else a[::-1]):
        if not free[selected[who]]:
            break
        free[selected[who]] -= 1
        kept[who] = True
    return kept


WRONG = {
    "10.1": {
        "stops at the first": until_one_is_full,
        "token by token": served(orders(position=lambda t, j, w, best: (t, j))),
        "token by token, and one too many": served(
            orders(position=lambda t, j, w, best: (t, j)), room=lambda C, N: C + 1
        ),
        "numbers turned round": numbers_turned_round,
        "in one row": changed(lambda kept, s, w: kept.ravel()),
        "one too many": served(orders(), room=lambda C, N: C + 1),
        "one too few": served(orders(), room=lambda C, N: C - 1),
        "capacity over all experts": served(orders(), number=lambda i: 0),
        "common pool": served(orders(), room=lambda C, N: C * N, number=lambda i: 0),
        "always by position": served(orders(by_choice, by_choice)),
        "always by probability": served(orders(by_weight, by_weight)),
        "priorities exchanged": served(orders(by_weight, by_choice)),
        "smallest weight first": served(orders(probability=lambda t, j, w, best: w)),
        "tokens sorted": served(orders(probability=lambda t, j, w, best: (j, -best))),
        "tokens sorted, all choices at once": served(orders(probability=lambda t, j, w, best: (-best, j))),
        "choices sorted apart": served(orders(probability=lambda t, j, w, best: (j, -w))),
        "each choice apart": columns_apart,
        "not put back": left_in_the_queue,
        "nobody dropped": lambda selected, weights, capacity, num_experts, priority: np.ones(
            selected.shape, dtype=bool
        ),
        "dropped": changed(lambda kept, s, w: ~kept),
        "whole token": changed(lambda kept, s, w: np.tile(kept.all(1)[:, None], kept.shape[1])),
        "weights": changed(lambda kept, s, w: kept * w),
        "choices as rows": changed(lambda kept, s, w: kept.T),
        "later tokens first": served(orders(position=lambda t, j, w, best: (j, -t))),
        "last choices first": served(orders(position=lambda t, j, w, best: (-j, t))),
        "always token by token": served(orders(*2 * [lambda t, j, w, best: (t, j)])),
        "not put back (2)": by("position", left_in_the_queue),
        "not put back (3)": by("probability", left_in_the_queue),
        "order taken for rank": kept_by_order,
        "first choices only": served(orders(), number=lambda i: i, only=lambda j: j == 0),
        "first choices only (2)": changed(lambda kept, s, w: kept & (np.arange(kept.shape[1]) < 1)),
        "one too many (2)": by("probability", served(orders(), room=lambda C, N: C + 1)),
        "one too few (2)": by("position", served(orders(), room=lambda C, N: C - 1)),
        "each choice apart (2)": by("position", columns_apart),
        "order taken for rank (2)": by("probability", kept_by_order),
        "gives up": kept_unless(lambda fate: False in fate),
        "one place a token": kept_unless(lambda fate: True in fate),
        "k times the capacity": lambda s, w, C, N, by: kept_by_sorting(s, w, C * len(s[0]), N, by),
        "indices": changed(lambda kept, s, w: s * kept - ~kept),
        "E1 left out": for_experts(lambda N: range(1, N + 1)),
        "E1 left out (2)": for_experts(lambda N: range(1, N)),
        "last expert left out": for_experts(lambda N: range(N - 1)),
        "all of a full expert": lambda s, w, C, N, by: ((s[..., None] == np.arange(N)).sum((0, 1)) <= C)[s],
        "common pool (2)": sent_elsewhere,
        "tokens sorted (2)": by_tokens_sum(lambda numbers: numbers.T),
        "tokens sorted, all choices at once (2)": by_tokens_sum(lambda numbers: numbers),
        "last served first": served(
            orders(lambda t, j, w, best: (-j, -t), lambda t, j, w, best: w),
        ),
        "weights transposed": walks(lambda weights: np.argsort(-weights.T.ravel())),
        "capacity shared out": lambda s, w, C, N, by: kept_by_sorting(s, w, C // len(s[0]), N, by),
        "capacity ignored": lambda s, w, C, N, by: kept_by_sorting(s, w, s.size // N, N, by),
        "whole token kept": changed(lambda kept, s, w: np.tile(kept.any(1)[:, None], kept.shape[1])),
        "last choice only": changed(lambda kept, s, w: kept & (np.arange(kept.shape[1])[::-1] < 1)),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "10.1": [
        lambda *case: None,
        lambda selected, weights, capacity, num_experts, priority: weights > 0.5,
        served(orders(), room=lambda C, N: C + 2),
        served(orders(position=lambda t, j, w, best: (j, t % 3, t))),
        lambda *case: "all of them",
        served(orders(), number=lambda i: i, only=lambda j: j != 1),
    ],
}

RIGHT = {
    "10.1": [kept_by_sorting, kept_by_walking, kept_by_cumsum, kept_expert_by_expert, kept_by_counting],
}
