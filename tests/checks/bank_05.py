"""Answers to set 05: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import itertools
import math

import numpy as np
import torch
from torch.nn import functional

# --- 5.1 ----------------------------------------------------------------------------------------------------------


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def silu(z):
    return z / (1 + np.exp(-z))


def gelu(z):
    return functional.gelu(torch.tensor(z)).numpy()


def tanh_gelu(z):
    return functional.gelu(torch.tensor(z), approximate="tanh").numpy()


def expert(x, W1, W2, W3):
    return (silu(x @ W1) * (x @ W3)) @ W2


def expert_in_torch(x, W1, W2, W3):
    x, W1, W2, W3 = map(torch.tensor, (x, W1, W2, W3))
    return functional.linear(functional.silu(functional.linear(x, W1.T)) * functional.linear(x, W3.T), W2.T)


def expert_in_float32(x, W1, W2, W3):
    return expert(*(np.float32(array) for array in (x, W1, W2, W3)))


def expert_by_einsum(x, W1, W2, W3):
    a, b = np.einsum("td,df->tf", x, W1), np.einsum("td,df->tf", x, W3)
    return np.einsum("tf,tf,tf,fd->td", a, sigmoid(a), b, W2)


def expert_by_loop(x, W1, W2, W3):
    rows = []
    for token in x:
        a = [sum(token[i] * W1[i, j] for i in range(len(token))) for j in range(W1.shape[1])]
        b = [sum(token[i] * W3[i, j] for i in range(len(token))) for j in range(W1.shape[1])]
        hidden = [u / (1 + math.exp(-u)) * v for u, v in zip(a, b, strict=True)]
        rows.append([sum(h * W2[j, i] for j, h in enumerate(hidden)) for i in range(W2.shape[1])])
    return rows


# --- 5.2 ----------------------------------------------------------------------------------------------------------


def order_of(selected, kind="stable"):
    return np.argsort(selected.ravel(), kind=kind)


def offsets_of(selected, N):
    return np.r_[0, np.cumsum(np.bincount(selected.ravel(), minlength=N))]


def dispatch(selected, num_experts):
    return order_of(selected), offsets_of(selected, num_experts)


def dispatch_by_search(selected, num_experts):
    order = order_of(selected)
    return order, np.searchsorted(selected.ravel()[order], np.arange(num_experts + 1), side="left")


def dispatch_in_torch(selected, num_experts):
    flat = torch.tensor(selected).flatten()
    order = torch.sort(flat, stable=True).indices
    return {"order": order, "offsets": functional.pad(torch.bincount(flat, minlength=num_experts).cumsum(0), (1, 0))}


def dispatch_by_lists(selected, num_experts):
    k, order, offsets = selected.shape[1], [], [0]
    for i in range(num_experts):
        order += [t * k + j for t in range(len(selected)) for j in range(k) if selected[t, j] == i]
        offsets.append(len(order))
    return order, offsets


def dispatch_by_counting(selected, num_experts):
    flat = selected.ravel()
    return sorted(range(flat.size), key=lambda r: flat[r]), [(flat < i).sum() for i in range(num_experts + 1)]


def dispatch_backwards(selected, num_experts):
    """Sort the reversed list: each expert's rows come in the reverse order."""
    reverse = np.argsort(selected.ravel()[::-1], kind="stable")
    return selected.size - 1 - reverse, offsets_of(selected, num_experts)


def with_order(wrong):
    return lambda selected, num_experts: (wrong(selected), offsets_of(selected, num_experts))


def with_offsets(wrong):
    return lambda selected, num_experts: (order_of(selected), wrong(selected, num_experts))


# --- 5.3 ----------------------------------------------------------------------------------------------------------


def sparse(x, selected, weights, experts):
    y = np.zeros_like(x)
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)
        if len(tokens):
            y[tokens] += weights[tokens, slots][:, None] * expert(x[tokens])
    return y


def sparse_with_empty_calls(x, selected, weights, experts):
    k = selected.shape[1]
    order, offsets = dispatch(selected, len(experts))
    pieces = [experts[i](x[order[a:b] // k]) for i, (a, b) in enumerate(itertools.pairwise(offsets))]
    y = np.zeros_like(x)
    np.add.at(y, order // k, weights.ravel()[order][:, None] * np.concatenate(pieces))
    return y


def sparse_unsorted(x, selected, weights, experts):
    k = selected.shape[1]
    order, offsets = dispatch(selected, len(experts))
    rows = np.repeat(x, k, axis=0)[order]
    pieces = [experts[i](rows[offsets[i] : offsets[i + 1]]) for i in np.unique(selected)]
    back = np.concatenate(pieces)[np.argsort(order)].reshape(*selected.shape, -1)
    return np.einsum("tk,tkd->td", weights, back)


def sparse_in_torch(x, selected, weights, experts):
    x, selected, weights = map(torch.tensor, (x, selected, weights))
    y = torch.zeros_like(x)
    for i in range(len(experts)):
        tokens, slots = torch.where(selected == i)
        y.index_add_(0, tokens, weights[tokens, slots, None] * experts[i](x[tokens]))
    return y


def sparse_by_masks(x, selected, weights, experts):
    y = np.zeros((len(x), x.shape[1]))
    for i in range(len(experts)):
        weight = ((selected == i) * weights).sum(axis=1)
        mine = (selected == i).any(axis=1)
        if mine.any():
            y[mine] = y[mine] + weight[mine, None] * experts[i](x[mine])
    return y


def row_by_row(x, selected, weights, experts):
    return [
        sum(w * experts[i](token) for i, w in zip(row, ws, strict=True))
        for token, row, ws in zip(x, selected, weights, strict=True)
    ]


def choice_by_choice(x, selected, weights, experts):
    y = np.zeros_like(x)
    for j in range(selected.shape[1]):
        for i in range(len(experts)):
            mine = selected[:, j] == i
            y[mine] += weights[mine, j, None] * experts[i](x[mine])
    return y


def dense(x, selected, weights, experts):
    every = np.stack([expert(x) for expert in experts])  # (N, T, d)
    gates = np.zeros((len(x), len(experts)))
    np.put_along_axis(gates, selected, weights, axis=1)
    return np.einsum("tn,ntd->td", gates, every)


def dense_where_used(x, selected, weights, experts):
    y = np.zeros_like(x)
    for i in np.unique(selected):
        y += ((selected == i) * weights).sum(axis=1, keepdims=True) * experts[i](x)
    return y


def padded(x, selected, weights, experts):
    """Every expert gets as many rows as the fullest one, with zeros in the empty places."""
    most = np.bincount(selected.ravel()).max()
    y = np.zeros_like(x)
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)
        box = np.zeros((most, x.shape[1]))
        box[: len(tokens)] = x[tokens]
        y[tokens] += weights[tokens, slots][:, None] * expert(box)[: len(tokens)]
    return y


def in_halves(x, selected, weights, experts):
    y = np.zeros_like(x)
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)
        for half in np.array_split(np.arange(len(tokens)), 2):
            y[tokens[half]] += weights[tokens[half], slots[half], None] * expert(x[tokens[half]])
    return y


def sparse_with(rule):
    """The right layer, given other weights."""
    return lambda x, selected, weights, experts: sparse(x, selected, rule(selected, weights), experts)


def sparse_that_assigns(x, selected, weights, experts):
    y = np.zeros_like(x)
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)
        y[tokens] = weights[tokens, slots, None] * expert(x[tokens])
    return y


def sparse_with_one_plus(x, selected, weights, experts):
    k = selected.shape[1]
    order, offsets = dispatch(selected, len(experts))
    out = np.concatenate([experts[i](x[order[a:b] // k]) for i, (a, b) in enumerate(itertools.pairwise(offsets))])
    y = np.zeros_like(x)
    y[order // k] += weights.ravel()[order][:, None] * out
    return y


def sparse_with_unsorted_weights(x, selected, weights, experts):
    k = selected.shape[1]
    order, offsets = dispatch(selected, len(experts))
    out = np.concatenate([experts[i](x[order[a:b] // k]) for i, (a, b) in enumerate(itertools.pairwise(offsets))])
    y = np.zeros_like(x)
    np.add.at(y, order // k, weights.ravel()[:, None] * out)
    return y


def sparse_not_sent_back(x, selected, weights, experts):
    k = selected.shape[1]
    order, offsets = dispatch(selected, len(experts))
    out = np.concatenate([experts[i](x[order[a:b] // k]) for i, (a, b) in enumerate(itertools.pairwise(offsets))])
    return (weights.ravel()[order][:, None] * out).reshape(*selected.shape, -1).sum(axis=1)


def sparse_with_weighted_inputs(x, selected, weights, experts):
    y = np.zeros_like(x)
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)
        y[tokens] += expert(weights[tokens, slots, None] * x[tokens])
    return y


def sparse_not_added(x, selected, weights, experts):
    y = np.zeros((*selected.shape, x.shape[1]))
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)
        y[tokens, slots] = weights[tokens, slots, None] * expert(x[tokens])
    return y


def sparse_rows(x, selected, weights, experts):
    order, offsets = dispatch(selected, len(experts))
    parts = itertools.pairwise(offsets)
    return np.concatenate([experts[i](x[order[a:b] // selected.shape[1]]) for i, (a, b) in enumerate(parts)])


# --- 5.4 ----------------------------------------------------------------------------------------------------------


def slow_layer(rows, sizes, W1, W2):
    outputs = []
    for i, part in enumerate(rows.split(sizes)):
        outputs.append(torch.relu(part @ W1[i]) @ W2[i])
    return torch.cat(outputs)


def layer_of(take, take_2=None, act=torch.relu):
    """The loop over experts, whose weights are taken apart by `take`."""

    def layer(rows, sizes, W1, W2):
        parts = zip(rows.split(sizes), take(W1), (take_2 or take)(W2), strict=True)
        return torch.cat([act(part @ a) @ b for part, a, b in parts])

    return layer


def by_index(W):
    return [W[i] for i in range(len(W))]


def by_grouped_mm(rows, sizes, W1, W2):
    ends = torch.tensor(sizes).cumsum(0).to(torch.int32)
    return functional.grouped_mm(torch.relu(functional.grouped_mm(rows, W1, offs=ends)), W2, offs=ends)


def by_padding(rows, sizes, W1, W2):
    box = torch.nn.utils.rnn.pad_sequence(rows.split(sizes), batch_first=True)  # (N, most, d)
    y = torch.bmm(torch.relu(torch.bmm(box, W1)), W2)
    return y[torch.arange(box.shape[1]) < torch.tensor(sizes)[:, None]]


def by_slices_of_rows(rows, sizes, W1, W2):
    start, pieces = 0, []
    for size, a, b in zip(sizes, list(W1), list(W2), strict=True):
        pieces.append((rows[start : start + size] @ a).relu() @ b)
        start += size
    return torch.vstack(pieces)


def equal_parts(rows, sizes, W1, W2):
    return torch.cat([torch.relu(p @ A) @ B for p, A, B in zip(rows.tensor_split(len(W1)), W1, W2, strict=True)])


class OwnBackward(torch.autograd.Function):
    """The gradients written by hand, each into its place."""

    @staticmethod
    def forward(ctx, rows, W1, W2, sizes):
        ctx.save_for_backward(rows, W1, W2)
        ctx.sizes = sizes
        return slow_layer(rows, sizes, W1, W2)

    @staticmethod
    def backward(ctx, v):
        rows, W1, W2 = ctx.saved_tensors
        grads, start = [torch.zeros_like(t) for t in (rows, W1, W2)], 0
        for i, size in enumerate(ctx.sizes):
            mine = slice(start, start + size)
            before = rows[mine] @ W1[i]
            slope = (v[mine] @ W2[i].T) * (before > 0)
            grads[0][mine], grads[1][i], grads[2][i] = slope @ W1[i].T, rows[mine].T @ slope, before.relu().T @ v[mine]
            start += size
        return *grads, None


def in_double(rows, sizes, W1, W2):
    return layer_of(list)(rows.double(), sizes, W1.double(), W2.double())


def expert_of_row(sizes):
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))


def a_weight_per_row(rows, sizes, W1, W2):
    e = expert_of_row(sizes)
    return torch.bmm(torch.relu(torch.bmm(rows[:, None], W1[e])), W2[e])[:, 0]


def every_expert_for_every_row(rows, sizes, W1, W2):
    hidden = torch.relu(torch.einsum("rd,ndf->rnf", rows, W1))
    return torch.einsum("rnf,nfd->rnd", hidden, W2)[torch.arange(len(rows)), expert_of_row(sizes)]


def without_gradients(rows, sizes, W1, W2):
    with torch.no_grad():
        return slow_layer(rows, sizes, W1, W2)


# --- 5.5 ----------------------------------------------------------------------------------------------------------


def combine(outputs, order, weights):
    y = np.zeros((len(weights), outputs.shape[1]))
    np.add.at(y, order // weights.shape[1], weights.ravel()[order][:, None] * outputs)
    return y


def combine_unsorted(outputs, order, weights):
    back = np.empty_like(outputs)
    back[order] = outputs
    return np.einsum("tk,tkd->td", weights, back.reshape(*weights.shape, -1))


def combine_by_inverse(outputs, order, weights):
    return (outputs[np.argsort(order)].reshape(*weights.shape, -1) * weights[..., None]).sum(axis=1)


def combine_in_torch(outputs, order, weights):
    outputs, order, weights = map(torch.tensor, (outputs, order, weights))
    y = torch.zeros(len(weights), outputs.shape[1], dtype=outputs.dtype)
    return y.index_add(0, order // weights.shape[1], weights.flatten()[order, None] * outputs)


def combine_by_matrix(outputs, order, weights):
    T, k = weights.shape
    matrix = (np.arange(T)[:, None] == order // k) * weights.ravel()[order]  # (T, T·k)
    return matrix @ outputs


def combine_by_loop(outputs, order, weights):
    y = [[0.0] * outputs.shape[1] for _ in weights]
    for row, a in zip(outputs, order, strict=True):
        t, j = divmod(int(a), weights.shape[1])
        y[t] = [old + weights[t, j] * new for old, new in zip(y[t], row, strict=True)]
    return y


def combine_with_plus(outputs, order, weights):
    y = np.zeros((len(weights), outputs.shape[1]))
    y[order // weights.shape[1]] += weights.ravel()[order][:, None] * outputs
    return y


def combine_with(tokens=None, row_weights=None):
    """The right combination with another rule for the tokens of the rows or for their weights."""

    def wrong(outputs, order, weights):
        (T, k), y = weights.shape, np.zeros((len(weights), outputs.shape[1]))
        w = row_weights(order, weights) if row_weights else weights.ravel()[order]
        np.add.at(y, tokens(order, k, T) if tokens else order // k, w[:, None] * outputs)
        return y

    return wrong


def rows_in_place(order, k, T):
    return np.arange(len(order)) // k


WRONG = {
    "5.1": {
        "ReLU": lambda x, W1, W2, W3: (np.maximum(x @ W1, 0) * (x @ W3)) @ W2,
        "sigmoid": lambda x, W1, W2, W3: (sigmoid(x @ W1) * (x @ W3)) @ W2,
        "GELU": lambda x, W1, W2, W3: (gelu(x @ W1) * (x @ W3)) @ W2,
        "GELU by tanh": lambda x, W1, W2, W3: (tanh_gelu(x @ W1) * (x @ W3)) @ W2,
        "sign": lambda x, W1, W2, W3: ((x @ W1) / (1 + np.exp(x @ W1)) * (x @ W3)) @ W2,
        "softmax": lambda x, W1, W2, W3: (x @ W1 * torch.tensor(x @ W1).softmax(-1).numpy() * (x @ W3)) @ W2,
        "no activation": lambda x, W1, W2, W3: ((x @ W1) * (x @ W3)) @ W2,
        "gate on the other branch": lambda x, W1, W2, W3: expert(x, W3, W2, W1),
        "both activated": lambda x, W1, W2, W3: (silu(x @ W1) * silu(x @ W3)) @ W2,
        "activated product": lambda x, W1, W2, W3: silu((x @ W1) * (x @ W3)) @ W2,
        "plain ReLU expert": lambda x, W1, W2, W3: np.maximum(x @ W1, 0) @ W2,
        "silu after W2": lambda x, W1, W2, W3: silu((x @ W1 * (x @ W3)) @ W2),
        "W3 forgotten": lambda x, W1, W2, W3: silu(x @ W1) @ W2,
        "added": lambda x, W1, W2, W3: (silu(x @ W1) + x @ W3) @ W2,
        "W2 forgotten": lambda x, W1, W2, W3: silu(x @ W1) * (x @ W3),
        "with residual": lambda x, W1, W2, W3: x + expert(x, W1, W2, W3),
        "tokens as columns": lambda x, W1, W2, W3: W2.T @ (silu(W1.T @ x.T) * (W3.T @ x.T)),
    },
    "5.2": {
        "not flattened": with_order(lambda s: np.argsort(s, kind="stable")),
        "flattened after the sort": with_order(lambda s: np.argsort(s, axis=1).reshape(-1)),
        "not sorted": with_order(lambda s: np.arange(s.size)),
        "sorted experts": with_order(lambda s: np.sort(s.ravel())),
        "tokens": with_order(lambda s: np.repeat(np.arange(len(s)), s.shape[1])[order_of(s)]),
        "inverse": with_order(lambda s: np.argsort(order_of(s))),
        "last expert first": with_order(lambda s: np.argsort(-s.ravel(), kind="stable")),
        "column by column": with_order(lambda s: np.argsort(s.ravel(order="F"), kind="stable")),
        "not as they came": with_order(lambda s: np.lexsort((np.arange(s.size) % s.shape[1], s.ravel()))),
        "swapped parts": lambda selected, num_experts: dispatch(selected, num_experts)[::-1],
        "not minlength": with_offsets(lambda s, N: np.r_[0, np.bincount(s.ravel()).cumsum()]),
        "empty left out": with_offsets(lambda s, N: np.r_[0, np.unique(s, return_counts=True)[1].cumsum()]),
        "no leading 0": with_offsets(lambda s, N: np.cumsum(np.bincount(s.ravel(), minlength=N))),
        "no end": with_offsets(lambda s, N: np.searchsorted(np.sort(s.ravel()), np.arange(N))),
        "one place on": with_offsets(lambda s, N: np.searchsorted(np.sort(s.ravel()), np.arange(N + 1), side="right")),
        "counts": with_offsets(lambda s, N: np.bincount(s.ravel(), minlength=N)),
        "counts and 0": with_offsets(lambda s, N: np.r_[0, np.bincount(s.ravel(), minlength=N)]),
        "by token": with_offsets(lambda s, N: np.arange(len(s) + 1) * s.shape[1]),
    },
    "5.3": {
        "unweighted": sparse_with(lambda selected, weights: np.ones_like(weights)),
        "mean": sparse_with(lambda selected, weights: np.ones_like(weights) / weights.shape[1]),
        "divided by k": lambda *case: sparse(*case) / case[1].shape[1],
        "renormalised": sparse_with(lambda selected, weights: weights / weights.sum(1, keepdims=True)),
        "first choice only": lambda x, selected, weights, experts: sparse(x, selected[:, :1], weights[:, :1], experts),
        "last choice only": lambda x, selected, weights, experts: sparse(x, selected[:, -1:], weights[:, -1:], experts),
        "overwritten": sparse_that_assigns,
        "first choice's weight": sparse_with(lambda selected, weights: weights[:, [0] * weights.shape[1]]),
        "weights not sorted": sparse_with_unsorted_weights,
        "weighted inputs": sparse_with_weighted_inputs,
        "not sent back": sparse_not_sent_back,
        "all experts": lambda x, selected, weights, experts: sum(expert(x) for expert in experts),
        "with residual": lambda *case: case[0] + sparse(*case),
        "not added": sparse_not_added,
        "still rows": lambda *case: sparse_rows(*case) * case[2].ravel()[order_of(case[1]), None],
        "still rows, unweighted": lambda *case: sparse_rows(*case),
        "rows by token": lambda *case: sparse_not_added(*case).reshape(case[1].size, -1),
        "dense": dense,
        "row by row": row_by_row,
        "choice by choice": choice_by_choice,
    },
    "5.4": {
        "a full gradient per expert": slow_layer,
        "one weight mended": layer_of(list, by_index),
        "gradient lost": without_gradients,
        "a weight per row": a_weight_per_row,
        "every expert for every row": every_expert_for_every_row,
        "no ReLU": layer_of(list, act=lambda z: z),
        "ReLU after W2": lambda *case: torch.relu(layer_of(list, act=lambda z: z)(*case)),
        "equal parts": equal_parts,
        "second ReLU": lambda *case: torch.relu(layer_of(list)(*case)),
    },
    "5.5": {
        "duplicates lost": combine_with_plus,
        "weights not sorted": combine_with(row_weights=lambda order, weights: weights.ravel()),
        "modulo T": combine_with(tokens=lambda order, k, T: order % T),
        "modulo k": combine_with(tokens=lambda order, k, T: order % k),
        "first choice's weight": combine_with(row_weights=lambda order, weights: weights[order // weights.shape[1], 0]),
        "reshaped to (k, T)": lambda outputs, order, weights: (
            outputs[np.argsort(order)].reshape(weights.shape[1], len(weights), -1) * weights.T[..., None]
        ).sum(0),
        "divided by T": combine_with(tokens=lambda order, k, T: order // T),
        "not sent back": combine_with(tokens=rows_in_place),
        "order not used": combine_with(rows_in_place, lambda order, weights: weights.ravel()),
        "wrong way round": lambda outputs, order, weights: combine(outputs, np.argsort(order), weights),
        "unweighted": combine_with(row_weights=lambda order, weights: np.ones(len(order))),
        "mean": lambda outputs, order, weights: combine(outputs, order, np.ones_like(weights)) / weights.shape[1],
        "divided by k": lambda outputs, order, weights: combine(outputs, order, weights) / weights.shape[1],
        "renormalised": lambda outputs, order, weights: combine(outputs, order, weights / weights.sum(1)[:, None]),
        "not added": lambda outputs, order, weights: (
            outputs[np.argsort(order)].reshape(*weights.shape, -1) * weights[..., None]
        ),
        "still rows": lambda outputs, order, weights: outputs * weights.ravel()[order, None],
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "5.1": [
        lambda x, W1, W2, W3: None,
        lambda x, W1, W2, W3: x,
        lambda x, W1, W2, W3: 2 * expert(x, W1, W2, W3),
        lambda x, W1, W2, W3: (np.tanh(x @ W1) * (x @ W3)) @ W2,
        lambda x, W1, W2, W3: expert(x[:1], W1, W2, W3),
        lambda x, W1, W2, W3: "an expert",
    ],
    "5.2": [
        lambda selected, num_experts: None,
        lambda selected, num_experts: order_of(selected),
        lambda selected, num_experts: (offsets_of(selected, num_experts), order_of(selected) + 1),
        with_order(lambda s: order_of(s)[::-1]),
        with_order(lambda s: order_of(s) + 1),
        with_order(lambda s: np.zeros(s.size, dtype=int)),
        with_offsets(lambda s, N: offsets_of(s, N) + 1),
        with_offsets(lambda s, N: "offsets"),
    ],
    "5.3": [
        lambda x, selected, weights, experts: None,
        lambda x, selected, weights, experts: x,
        lambda x, selected, weights, experts: 2 * sparse(x, selected, weights, experts),
        lambda x, selected, weights, experts: sparse(x, selected, weights[:, ::-1], experts)[::-1],
        lambda x, selected, weights, experts: sparse(x, selected, weights, experts[::-1]),
        padded,
        in_halves,
    ],
    "5.4": [
        lambda rows, sizes, W1, W2: None,
        lambda rows, sizes, W1, W2: rows,
        lambda rows, sizes, W1, W2: slow_layer(rows, sizes, W1, W2).detach().numpy() * 2,
        lambda rows, sizes, W1, W2: layer_of(list)(rows, sizes, W1, W2) + 1,
        lambda rows, sizes, W1, W2: layer_of(list)(rows, sizes, W1, W2).flip(0),
        lambda rows, sizes, W1, W2: layer_of(list)(rows, sizes, W1 + 0 * (W1 * W1), W2)[:, :1],
        lambda rows, sizes, W1, W2: layer_of(list)(rows, sizes, 0.5 * W1 + 0.5 * W1.detach(), W2),
    ],
    "5.5": [
        lambda outputs, order, weights: None,
        lambda outputs, order, weights: 2 * combine(outputs, order, weights),
        lambda outputs, order, weights: combine(outputs, order, weights)[::-1],
        lambda outputs, order, weights: combine(outputs, order, weights).sum(),
        lambda outputs, order, weights: "y",
    ],
}

RIGHT = {
    "5.1": [
        expert,
        expert_in_torch,
        expert_in_float32,
        expert_by_einsum,
        expert_by_loop,
        lambda x, W1, W2, W3: ((x @ W3) * (x @ W1) / (1 + np.exp(-(x @ W1)))) @ W2,
    ],
    "5.2": [
        dispatch,
        dispatch_by_search,
        dispatch_in_torch,
        dispatch_by_lists,
        dispatch_by_counting,
        lambda selected, num_experts: list(dispatch(np.int32(selected), num_experts)),
    ],
    "5.3": [sparse, sparse_with_empty_calls, sparse_unsorted, sparse_in_torch, sparse_by_masks],
    "5.4": [
        layer_of(list),
        layer_of(lambda W: W.unbind(0)),
        layer_of(lambda W: [piece[0] for piece in W.split(1)]),
        layer_of(lambda W: [piece.squeeze(0) for piece in W.chunk(len(W))]),
        layer_of(lambda W: [w.T for w in W.mT]),
        by_grouped_mm,
        by_padding,
        by_slices_of_rows,
        in_double,
        lambda rows, sizes, W1, W2: OwnBackward.apply(rows, W1, W2, sizes),
    ],
    "5.5": [
        combine,
        combine_unsorted,
        combine_by_inverse,
        combine_in_torch,
        combine_by_matrix,
        combine_by_loop,
        lambda outputs, order, weights: np.float32(combine(outputs, order, weights)),
    ],
}
