"""Answers to 11.2: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch

# --- 11.2 ---------------------------------------------------------------------------------------------------------


def information(a, b, log=np.log2):
    """I from labels (T,), by loops over cells."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1)
    joint /= len(a)
    total = 0.0
    for i, j in zip(*np.nonzero(joint), strict=True):
        total += joint[i, j] * log(joint[i, j] / (joint[i].sum() * joint[:, j].sum()))
    return total


def null_with(measure=information, move=None, after=lambda values: values):
    """A null from `move(domain, expert, rng)`, which returns labels and experts of tokens, in two arrays (T,)."""

    def answer(domain_of_sequence, expert, draws, rng):
        L = expert.shape[1]

        def dealt(domain, expert, rng):
            return np.repeat(rng.permutation(domain), L), expert.ravel()

        values = [measure(*(move or dealt)(domain_of_sequence, expert, rng)) for _ in range(draws)]
        return after(np.array(values))

    return answer


def null_by_entropies(domain_of_sequence, expert, draws, rng):
    def H(p):
        p = p[p > 0]
        return -(p * np.log2(p)).sum()

    per_sequence = np.stack([(expert == i).sum(axis=1) for i in range(expert.max() + 1)], axis=1)  # (S, N)
    values = []
    for _ in range(draws):
        rng.shuffle(domain_of_sequence)
        joint = np.stack([per_sequence[domain_of_sequence == c].sum(0) for c in np.unique(domain_of_sequence)])
        joint = joint / joint.sum()
        values.append(H(joint.sum(0)) + H(joint.sum(1)) - H(joint.ravel()))
    return values


def null_of_sorted_noise(domain_of_sequence, expert, draws, rng):
    """All permutations at once, by the order of random numbers."""
    orders = rng.random((draws, len(domain_of_sequence))).argsort(axis=1)
    return [information(np.repeat(domain_of_sequence[order], expert.shape[1]), expert.ravel()) for order in orders]


def null_with_a_bit_inside_the_log(domain_of_sequence, expert, draws, rng):
    """No guard, but 1e-12 inside the logarithm."""

    def measure(counts):
        joint = counts / counts.sum()
        return (joint * np.log2(joint / (joint.sum(1, keepdims=True) * joint.sum(0)) + 1e-12)).sum()

    return null_with(rows_of(measure))(domain_of_sequence, expert, draws, rng)


def null_in_torch(domain_of_sequence, expert, draws, rng):
    labels, experts = torch.tensor(domain_of_sequence), torch.tensor(expert)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    values = []
    for _ in range(draws):
        moved = labels[torch.randperm(len(labels), generator=generator)][:, None].expand_as(experts)
        joint = torch.zeros(int(labels.max()) + 1, int(experts.max()) + 1)
        joint.index_put_((moved.flatten(), experts.flatten()), torch.tensor(1.0), accumulate=True)
        joint /= joint.sum()
        ratio = joint / (joint.sum(0) * joint.sum(1, keepdim=True))
        values.append((joint * torch.where(joint > 0, ratio, 1.0).log2()).sum())
    return torch.stack(values)


def sequences_moved(domain, expert, rng):
    return np.repeat(domain, expert.shape[1]), expert[rng.permutation(len(expert))].ravel()


def rows_permuted(domain, expert, rng):
    return np.repeat(domain, expert.shape[1]), rng.permutation(expert).ravel()


def tokens_moved(domain, expert, rng):
    return rng.permutation(np.repeat(domain, expert.shape[1])), expert.ravel()


def columns_moved(domain, expert, rng):
    return np.repeat(domain, expert.shape[1]), rng.permuted(expert, axis=0).ravel()


def within_sequences(domain, expert, rng):
    return np.repeat(domain, expert.shape[1]), rng.permuted(expert, axis=1).ravel()


def together(domain, expert, rng):
    order = rng.permutation(len(domain))
    return np.repeat(domain[order], expert.shape[1]), expert[order].ravel()


def sequences_drawn(domain, expert, rng):
    rows = rng.integers(len(domain), size=len(domain))
    return np.repeat(domain[rows], expert.shape[1]), expert[rows].ravel()


def tokens_drawn(domain, expert, rng):
    rows = rng.integers(expert.size, size=expert.size)
    return np.repeat(domain, expert.shape[1])[rows], expert.ravel()[rows]


def labels_drawn(domain, expert, rng):
    return np.repeat(rng.choice(domain, len(domain)), expert.shape[1]), expert.ravel()


def labels_from_thin_air(domain, expert, rng):
    return np.repeat(rng.integers(domain.max() + 1, size=len(domain)), expert.shape[1]), expert.ravel()


def generator_made_anew(domain, expert, rng):
    return np.repeat(np.random.default_rng(0).permutation(domain), expert.shape[1]), expert.ravel()


def shifted(domain, expert, rng):
    return np.repeat(np.roll(domain, rng.integers(len(domain))), expert.shape[1]), expert.ravel()


def one_swap(domain, expert, rng):
    moved = domain.copy()
    i, j = rng.choice(len(domain), 2, replace=False)
    moved[[i, j]] = moved[[j, i]]
    return np.repeat(moved, expert.shape[1]), expert.ravel()


def step_by_step(domain_of_sequence, expert, draws, rng):
    """Each draw swaps two labels of the one before it."""
    labels, values = domain_of_sequence.copy(), []
    for _ in range(draws):
        i, j = rng.choice(len(labels), 2, replace=False)
        labels[[i, j]] = labels[[j, i]]
        values.append(information(np.repeat(labels, expert.shape[1]), expert.ravel()))
    return values


def observed_first(domain_of_sequence, expert, draws, rng):
    """The custom of p-values: what was observed is one of the permutations."""
    observed = information(np.repeat(domain_of_sequence, expert.shape[1]), expert.ravel())
    return [observed, *null_with()(domain_of_sequence, expert, draws - 1, rng)]


def observed_last(*given):
    return observed_first(*given)[::-1]


def above_the_null(domain_of_sequence, expert, draws, rng):
    observed = information(np.repeat(domain_of_sequence, expert.shape[1]), expert.ravel())
    return null_with(after=lambda values: observed - values)(domain_of_sequence, expert, draws, rng)


def place_by_place(domain, expert, rng):
    return np.repeat(rng.permutation(domain), expert.shape[1]), expert.T.ravel()


def one_expert_for_the_sequence(domain, expert, rng):
    return rng.permutation(domain), np.array([np.bincount(row).argmax() for row in expert])


def tiled(domain, expert, rng):
    """np.tile in the place of np.repeat: labels alternate from token to token."""
    return np.tile(rng.permutation(domain), expert.shape[1]), expert.ravel()


def larger_of_two(domain_of_sequence, expert, draws, rng):
    return np.maximum(*(null_with()(domain_of_sequence, expert, draws, rng) for _ in range(2)))


def rows_of(joint_measure):
    """I from a function of the joint counts (D, N)."""

    def measure(a, b):
        counts = np.zeros((a.max() + 1, b.max() + 1))
        np.add.at(counts, (a, b), 1)
        return joint_measure(counts)

    return measure


def by_rows(combine):
    def measure(counts):
        within = counts / counts.sum(1, keepdims=True)
        own = counts.sum(0) / counts.sum()
        each = [sum(p * np.log2(p / q) for p, q in zip(row, own, strict=True) if p > 0) for row in within]
        return combine(each)

    return rows_of(measure)


def entropy(p):
    p = p[p > 0] / p.sum()
    return -(p * np.log2(p)).sum()


def one_added(counts):
    joint = (counts + 1) / (counts + 1).sum()
    return (joint * np.log2(joint / (joint.sum(1, keepdims=True) * joint.sum(0)))).sum()


def share_of_both(a, b):
    return 2 * information(a, b) / (entropy(np.bincount(a)) + entropy(np.bincount(b)))


def share_of_domain(a, b):
    return information(a, b) / entropy(np.bincount(a))


def left_of_expert(a, b):
    return entropy(np.bincount(b)) - information(a, b)


def without_a_guard(counts):
    joint = counts / counts.sum()
    with np.errstate(all="ignore"):
        return (joint * np.log2(joint / (joint.sum(1, keepdims=True) * joint.sum(0)))).sum()


def without_margins(axis):
    """Σ p log(p / one of the margins)."""

    def measure(counts):
        p = counts / counts.sum()
        return sum(x * np.log2(x / q) for x, q in np.broadcast(p, p.sum(axis, keepdims=True)) if x > 0)

    return measure


def of_cells(counts):
    """The logarithms of the cells that occur."""
    p = counts / counts.sum()
    return np.log2((p / (p.sum(1, keepdims=True) * p.sum(0)))[p > 0])


def only_sequences(counts_by):
    def measure(counts):
        joint = counts / counts_by(counts)
        cells = joint > 0
        outer = joint.sum(1, keepdims=True) * joint.sum(0)
        return (joint[cells] * np.log2(joint[cells] / outer[cells])).sum()

    return rows_of(measure)


def divided_by_sequences(domain_of_sequence, expert, draws, rng):
    measure = only_sequences(lambda counts: len(domain_of_sequence))
    return null_with(measure)(domain_of_sequence, expert, draws, rng)


WRONG = {
    "11.2": {
        "token by token": null_with(move=tokens_moved),
        "bootstrap of sequences": null_with(move=sequences_drawn),
        "bootstrap of tokens": null_with(move=tokens_drawn),
        "labels with repetition": null_with(move=labels_drawn),
        "tiled": null_with(move=tiled),
        "nothing moved": null_with(move=within_sequences),
        "one permutation": null_with(move=generator_made_anew),
        "few permutations": null_with(move=one_swap),
        "each from the last": step_by_step,
        "excess": above_the_null,
        "counts added": null_with(measure=rows_of(one_added)),
        "not divided": null_with(measure=only_sequences(lambda counts: 1)),
        "normalised": null_with(measure=share_of_both),
        "other order": null_with(move=place_by_place),
        "nats": null_with(measure=lambda a, b: information(a, b, log=np.log)),
        "base 10": null_with(measure=lambda a, b: information(a, b, log=np.log10)),
        "domains alike": null_with(measure=by_rows(np.mean)),
        "rows summed": null_with(measure=by_rows(sum)),
        "by S": divided_by_sequences,
        "share of the domain": null_with(measure=share_of_domain),
        "share of the expert": null_with(measure=lambda a, b: share_of_domain(b, a)),
        "joint entropy": null_with(
            measure=lambda a, b: entropy(np.unique(np.stack([a, b]), axis=1, return_counts=True)[1])
        ),
        "what is left": null_with(measure=left_of_expert),
        "sign": null_with(after=lambda values: -values),
        "observed kept": observed_first,
        "observed kept (2)": observed_last,
        "one factor forgotten": null_with(measure=rows_of(without_margins(0))),
        "one factor forgotten (2)": null_with(measure=rows_of(without_margins(1))),
        "not weighted": null_with(measure=rows_of(lambda counts: of_cells(counts).sum())),
        "not weighted (2)": null_with(measure=rows_of(lambda counts: of_cells(counts).mean())),
        "experts alike": null_with(measure=lambda a, b: by_rows(np.mean)(b, a)),
        "one token": null_with(move=lambda domain, expert, rng: (rng.permutation(domain), expert[:, 0])),
        "one for each sequence": null_with(move=one_expert_for_the_sequence),
        "centred": null_with(after=lambda values: values - values.mean()),
        "centred (2)": null_with(after=lambda values: (values - values.mean()) / values.std()),
    },
}

UNRECOGNISED = {
    "11.2": [
        lambda domain_of_sequence, expert, draws, rng: None,
        lambda domain_of_sequence, expert, draws, rng: 0.1,
        lambda domain_of_sequence, expert, draws, rng: null_with()(domain_of_sequence, expert, draws + 1, rng),
        null_with(after=lambda values: np.full_like(values, np.inf)),
        null_with(measure=lambda a, b: 2 * information(a, b)),
        larger_of_two,
        lambda domain_of_sequence, expert, draws, rng: null_with()(domain_of_sequence, expert, 200, rng)[: draws // 2],
    ],
}

RIGHT = {
    "11.2": [
        null_with(),
        null_by_entropies,
        null_in_torch,
        null_with(move=sequences_moved),
        null_with(move=rows_permuted),
        null_with(after=np.sort),
        null_of_sorted_noise,
        null_with_a_bit_inside_the_log,
    ],
}

# Further ways into the same mistakes: a name stands once in a dictionary.
SAME_MISTAKE = {
    "11.2": [
        ("token by token", null_with(move=columns_moved)),
        ("nothing moved", null_with(move=together)),
        ("few permutations", null_with(move=shifted)),
        ("excess", lambda *given: -above_the_null(*given)),
        ("normalised", null_with(measure=lambda a, b: np.sqrt(share_of_domain(a, b) * share_of_domain(b, a)))),
        ("not divided", null_with(measure=lambda a, b: len(a) * information(a, b))),
        ("labels with repetition", null_with(move=labels_from_thin_air)),
        ("0 log 0", null_with(measure=rows_of(without_a_guard))),
    ],
}
