"""Answers to 5.1, 5.2, 5.3, 5.5: plausible wrong ones by the mistake that must be named, others, and right ones."""

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


def halves(W13):
    return np.split(W13, 2, axis=1)


def alternating(W13):
    return W13[:, ::2], W13[:, 1::2]


def expert_of(hidden, parts=alternating):
    """The expert of a hidden layer, hidden(x W1, x W3), and of a way to part the two matrices."""

    def expert(x, W13, W2):
        W1, W3 = parts(W13)
        return hidden(x @ W1, x @ W3) @ W2

    return expert


def swish_times(a, b):
    return silu(a) * b


def clipped(hidden):
    return lambda a, b: hidden(np.minimum(a, 7.0), np.clip(b, -7.0, 7.0))


expert = expert_of(swish_times)


def expert_in_torch(x, W13, W2):
    x, W13, W2 = map(torch.tensor, (x, W13, W2))
    gate, other = (x @ W13).unflatten(-1, (-1, 2)).unbind(-1)
    return functional.linear(functional.silu(gate) * other, W2.T)


def expert_in_float32(x, W13, W2):
    return expert(*(np.float32(array) for array in (x, W13, W2)))


def expert_by_einsum(x, W13, W2):
    a, b = np.einsum("td,dfg->gtf", x, W13.reshape(len(W13), -1, 2))
    return np.einsum("tf,tf,tf,fd->td", a, sigmoid(a), b, W2)


def expert_by_loop(x, W13, W2):
    rows = []
    for token in x:
        both = [sum(token[i] * W13[i, j] for i in range(len(token))) for j in range(W13.shape[1])]
        hidden = [u / (1 + math.exp(-u)) * v for u, v in zip(both[::2], both[1::2], strict=True)]
        rows.append([sum(h * W2[j, i] for j, h in enumerate(hidden)) for i in range(W2.shape[1])])
    return rows


# --- 5.2 ----------------------------------------------------------------------------------------------------------


def experts_of_rows(offsets):
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def selected_by_scatter(order, offsets, k):
    back = np.full(len(order), -1)
    back[order] = experts_of_rows(offsets)
    return back.reshape(len(order) // k, k)


def selected_by_search(order, offsets, k):
    where = np.argsort(order)  # the row of each assignment
    return np.searchsorted(offsets, where, side="right").reshape(-1, k) - 1


def selected_by_loop(order, offsets, k):
    selected = [[None] * k for _ in range(len(order) // k)]
    for i, (begin, end) in enumerate(itertools.pairwise(offsets)):
        for number in order[begin:end]:
            selected[number // k][number % k] = i
    return selected


def selected_in_torch(order, offsets, k):
    order, offsets = torch.tensor(order), torch.tensor(offsets)
    experts = torch.arange(len(offsets) - 1).repeat_interleave(offsets.diff())
    return torch.empty_like(order).scatter(0, order, experts).view(-1, k)


def selected_by_marks(order, offsets, k):
    """Each row counts the experts that ended before it."""
    experts = (np.arange(len(order))[:, None] >= offsets[1:]).sum(axis=1)
    T = len(order) // k
    selected = np.zeros((T, k))
    selected[order // k, order % k] = experts
    return selected


def by_rows(rule):
    """The answer that is a rule of the experts of the sorted rows, the order and k."""
    return lambda order, offsets, k: rule(experts_of_rows(offsets), order, k)


def appended(order, offsets, k):
    """Each token's experts as they come in the sorted list."""
    chosen = {}
    for number, expert in zip(order, experts_of_rows(offsets), strict=True):
        chosen.setdefault(number // k, []).append(expert)
    return [chosen[token] for token in sorted(chosen)]


def of_busy(order, offsets, k):
    """Only experts with rows are counted."""
    back, begins = np.zeros(len(order), dtype=int), np.unique(offsets)
    for i, (begin, end) in enumerate(itertools.pairwise(begins)):
        back[order[begin:end]] = i
    return back.reshape(-1, k)


def without_the_last(empty):
    """A loop that ends one expert too early."""

    def answer(order, offsets, k):
        back = np.full(len(order), empty)
        for i in range(len(offsets) - 2):
            back[order[offsets[i] : offsets[i + 1]]] = i
        return back.reshape(-1, k)

    return answer


def sliced(begin, end, empty):
    """A slice of each expert's rows that begins or ends elsewhere."""

    def answer(order, offsets, k):
        back = np.full(len(order), empty)
        for i, (first, last) in enumerate(itertools.pairwise(offsets)):
            back[order[first + begin : max(last + end, 0)]] = i
        return back.reshape(-1, k)

    return answer


def sliced_short(order, offsets, k):
    """Without a guard: before row 0 the slice 0:-1 holds all but the last."""
    back = np.full(len(order), -1)
    for i in range(len(offsets) - 1):
        back[order[offsets[i] : offsets[i + 1] - 1]] = i
    return back.reshape(-1, k)


def by_place(order, offsets, k):
    back = np.zeros((len(order) // k, k), dtype=int)
    for r, expert in enumerate(experts_of_rows(offsets)):
        back[r // k, order[r] % k] = expert
    return back


def selected_by_sorting(order, offsets, k):
    pairs = sorted(zip(order, experts_of_rows(offsets), strict=True))
    return [[int(expert) for _, expert in pairs[t : t + k]] for t in range(0, len(pairs), k)]


def by_remainder(order, offsets, k):
    T, back = len(order) // k, np.zeros((len(order) // k, k), dtype=int)
    back[order % T, order // T] = experts_of_rows(offsets)
    return back


# --- 5.3 ----------------------------------------------------------------------------------------------------------


def of_the_left(selected, weights):
    left = weights * (selected >= 0)
    total = left.sum(axis=1, keepdims=True)
    return np.divide(left, total, out=np.zeros_like(left), where=total > 0)


def sparse_with(rule):
    """The layer that goes expert by expert, with the weights that a rule makes."""

    def layer(x, selected, weights, experts):
        left, y = rule(selected, weights), np.zeros_like(x)
        for i, expert in enumerate(experts):
            tokens, slots = np.nonzero(selected == i)
            if len(tokens):
                y[tokens] += left[tokens, slots][:, None] * expert(x[tokens])
        return y

    return layer


sparse = sparse_with(of_the_left)


def sparse_of(select, rule=of_the_left):
    """The same, of selections that are changed first."""

    def layer(x, selected, weights, experts):
        return sparse_with(lambda _, w: rule(selected, w))(x, select(selected, len(experts)), weights, experts)

    return layer


pasted = sparse_with(lambda selected, weights: weights)  # the lesson's by_expert


def kept_first(selected, N):
    """The order of the assignments that are left, and the offsets."""
    flat = selected.ravel()
    order = np.argsort(flat, kind="stable")[np.sum(flat < 0) :]
    return order, np.r_[0, np.cumsum(np.bincount(flat[flat >= 0], minlength=N))]


def outputs_of_rows(x, selected, experts):
    order, offsets = kept_first(selected, len(experts))
    rows = x[order // selected.shape[1]]
    return order, np.concatenate([experts[i](rows[a:b]) for i, (a, b) in enumerate(itertools.pairwise(offsets))])


def sparse_by_slices(x, selected, weights, experts):
    order, out = outputs_of_rows(x, selected, experts)
    y = np.zeros_like(x)
    np.add.at(y, order // selected.shape[1], of_the_left(selected, weights).ravel()[order][:, None] * out)
    return y


def sparse_in_torch(x, selected, weights, experts):
    x, selected, weights = map(torch.tensor, (x, selected, weights))
    left = weights.masked_fill(selected < 0, 0)
    left = (left / left.sum(dim=1, keepdim=True)).nan_to_num()
    y = torch.zeros_like(x)
    for i in range(len(experts)):
        tokens, slots = torch.where(selected == i)
        y.index_add_(0, tokens, left[tokens, slots, None] * experts[i](x[tokens]))
    return y


def sparse_by_masks(x, selected, weights, experts):
    """Sum first, divide at the end."""
    y, total = np.zeros((len(x), x.shape[1])), np.where(selected < 0, 0, weights).sum(axis=1)
    for i in range(len(experts)):
        weight = ((selected == i) * weights).sum(axis=1)
        mine = (selected == i).any(axis=1)
        if mine.any():
            y[mine] = y[mine] + weight[mine, None] * experts[i](x[mine])
    y[total > 0] /= total[total > 0, None]
    return y


def sparse_by_places(x, selected, weights, experts):
    """Each row of each choice in a place of its own; the places of the dropped stay 0."""
    T, k = selected.shape
    flat, out = selected.ravel(), np.zeros((T * k, x.shape[1]))
    for i in set(flat.tolist()) - {-1}:
        mine = np.flatnonzero(flat == i)
        out[mine] = experts[i](x[mine // k])
    return np.einsum("tk,tkd->td", of_the_left(selected, weights), out.reshape(T, k, -1))


def sparse_by_lists(x, selected, weights, experts):
    mine = {}
    for t, j in np.argwhere(selected != -1):
        mine.setdefault(selected[t, j], []).append((t, weights[t, j] / weights[t][selected[t] != -1].sum()))
    y = [[0.0] * x.shape[1] for _ in x]
    for i, pairs in mine.items():
        for (t, w), row in zip(pairs, experts[i](np.array([x[t] for t, _ in pairs])), strict=True):
            y[t] = [old + w * new for old, new in zip(y[t], row, strict=True)]
    return y


def token_by_token(rule):
    """The lesson's by_token, with the weights that a rule makes."""

    def layer(x, selected, weights, experts):
        rows = zip(x, selected, rule(selected, weights), strict=True)
        return [sum(w * experts[i](token) for i, w in zip(chosen, ws, strict=True)) for token, chosen, ws in rows]

    return layer


def row_by_row(x, selected, weights, experts):
    y = np.zeros_like(x)
    for t, j in np.argwhere(selected >= 0):
        y[t] += of_the_left(selected, weights)[t, j] * experts[selected[t, j]](x[t])
    return y


def choice_by_choice(x, selected, weights, experts):
    y, left = np.zeros_like(x), of_the_left(selected, weights)
    for j in range(selected.shape[1]):
        for i in range(len(experts)):
            mine = selected[:, j] == i
            y[mine] += left[mine, j, None] * experts[i](x[mine])
    return y


def dense(x, selected, weights, experts):
    every = np.stack([expert(x) for expert in experts])  # (N, T, d)
    gates = np.zeros((len(x), len(experts)))
    tokens, slots = np.nonzero(selected >= 0)
    gates[tokens, selected[tokens, slots]] = of_the_left(selected, weights)[tokens, slots]
    return np.einsum("tn,ntd->td", gates, every)


def dense_where_used(x, selected, weights, experts):
    y, left = np.zeros_like(x), of_the_left(selected, weights)
    for i in np.unique(selected[selected >= 0]):
        y += ((selected == i) * left).sum(axis=1, keepdims=True) * experts[i](x)
    return y


def with_the_dropped(x, selected, weights, experts):
    y, left = np.zeros_like(x), of_the_left(selected, weights)
    for i in np.unique(selected):  # -1 is among them
        tokens, slots = np.nonzero(selected == i)
        np.add.at(y, tokens, left[tokens, slots, None] * experts[i](x[tokens]))
    return y


def with_the_dropped_in_one_call(x, selected, weights, experts):
    return sparse_by_slices(x, selected % len(experts), np.where(selected < 0, 0, weights), experts)


def padded(x, selected, weights, experts):
    """Every expert gets as many rows as the fullest one, with zeros in the empty places."""
    most = np.bincount(selected[selected >= 0]).max()
    y, left = np.zeros_like(x), of_the_left(selected, weights)
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)
        box = np.zeros((most, x.shape[1]))
        box[: len(tokens)] = x[tokens]
        y[tokens] += left[tokens, slots][:, None] * expert(box)[: len(tokens)]
    return y


def sparse_that_assigns(x, selected, weights, experts):
    y, left = np.zeros_like(x), of_the_left(selected, weights)
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)
        y[tokens] = left[tokens, slots, None] * expert(x[tokens])
    return y


def sparse_with_one_plus(x, selected, weights, experts):
    order, out = outputs_of_rows(x, selected, experts)
    y = np.zeros_like(x)
    y[order // selected.shape[1]] += of_the_left(selected, weights).ravel()[order][:, None] * out
    return y


def sparse_with_weighted_inputs(x, selected, weights, experts):
    y, left = np.zeros_like(x), of_the_left(selected, weights)
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)
        y[tokens] += expert(left[tokens, slots, None] * x[tokens])
    return y


def sparse_not_added(x, selected, weights, experts):
    y, left = np.zeros((*selected.shape, x.shape[1])), of_the_left(selected, weights)
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)
        y[tokens, slots] = left[tokens, slots, None] * expert(x[tokens])
    return y


def sparse_rows(x, selected, weights, experts):
    order, out = outputs_of_rows(x, selected, experts)
    return of_the_left(selected, weights).ravel()[order, None] * out


def x_for_the_lost(x, selected, weights, experts):
    y = sparse(x, selected, weights, experts)
    y[(selected < 0).all(axis=1)] = x[(selected < 0).all(axis=1)]
    return y


def only_column(j):
    """The weights of one choice alone."""
    return lambda selected, weights: of_the_left(selected, weights) * np.eye(weights.shape[1])[j]


# --- 5.5 ----------------------------------------------------------------------------------------------------------


def backward(outputs, order, weights, v):
    v_rows = v[order // weights.shape[1]]
    back = np.empty(len(order))
    back[order] = (outputs * v_rows).sum(axis=1)
    return back.reshape(weights.shape), weights.ravel()[order][:, None] * v_rows


def backward_by_inverse(outputs, order, weights, v):
    back = outputs[np.argsort(order)].reshape(*weights.shape, -1)  # (T, k, d)
    by_assignment = (weights[:, :, None] * v[:, None]).reshape(outputs.shape)
    return np.einsum("tkd,td->tk", back, v), by_assignment[order]


def by_autograd(loss):
    """The slopes of a loss of y and v."""

    def answer(outputs, order, weights, v):
        outputs, weights = (torch.tensor(a, requires_grad=True) for a in (outputs, weights))
        order = torch.tensor(order)
        rows = weights.flatten()[order, None] * outputs
        y = torch.zeros(v.shape, dtype=rows.dtype).index_add(0, order // weights.shape[1], rows)
        return torch.autograd.grad(loss(y, torch.tensor(v)), (weights, outputs))

    return answer


def backward_by_loop(outputs, order, weights, v):
    k = weights.shape[1]
    to_weights, to_outputs = [[0.0] * k for _ in weights], []
    for row, number in zip(outputs, order, strict=True):
        t, j = divmod(int(number), k)
        to_weights[t][j] = sum(a * b for a, b in zip(row, v[t], strict=True))
        to_outputs.append([weights[t, j] * entry for entry in v[t]])
    return {"dL/dweights": to_weights, "dL/doutputs": to_outputs}


def backward_by_matrix(outputs, order, weights, v):
    P = np.eye(len(order))[order]  # (T·k, T·k): row r picks assignment order[r]
    v_rows = P @ np.repeat(v, weights.shape[1], axis=0)
    to_weights = P.T @ np.diag(outputs @ v_rows.T)
    return to_weights.reshape(weights.shape), (P @ weights.reshape(-1, 1)) * v_rows


def with_weights(wrong):
    """The right gradient to the outputs, and a wrong one to the weights: of the sorted products, the order, weights."""

    def answer(outputs, order, weights, v):
        right = backward(outputs, order, weights, v)
        return wrong((outputs * v[order // weights.shape[1]]).sum(axis=1), order, weights), right[1]

    return answer


def in_sum_one(w):
    """w (T, k), each row divided by its sum; NaN where that is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return w / np.sum(w, axis=1, keepdims=True)


def with_outputs(wrong):
    """The right gradient to the weights, and a wrong one to the outputs."""
    return lambda *case: (backward(*case)[0], wrong(*case))


def with_tokens(rule):
    """Both gradients with a rule of (order, T, k) for the tokens."""

    def answer(outputs, order, weights, v):
        v_rows = v[rule(order, *weights.shape)]
        dots = (outputs * v_rows).sum(axis=1)[np.argsort(order)]
        return dots.reshape(weights.shape), weights.ravel()[order, None] * v_rows

    return answer


def and_tokens(rule):
    """The right gradient to the weights, and the one to the outputs with a rule for the tokens."""
    return with_outputs(lambda outputs, order, w, v: w.ravel()[order, None] * v[rule(order, *w.shape)])


WRONG = {
    "5.1": {
        "halves": expert_of(swish_times, halves),
        "halves, gate last": expert_of(lambda a, b: a * silu(b), halves),
        "cut by rows": expert_of(swish_times, lambda W13: W13.reshape(2, len(W13), -1)),
        "gate on the other branch": expert_of(lambda a, b: a * silu(b)),
        "ReLU": expert_of(lambda a, b: np.maximum(a, 0) * b),
        "sigmoid": expert_of(lambda a, b: sigmoid(a) * b),
        "GELU": expert_of(lambda a, b: gelu(a) * b),
        "GELU by tanh": expert_of(lambda a, b: tanh_gelu(a) * b),
        "sign": expert_of(lambda a, b: a / (1 + np.exp(a)) * b),
        "softmax": expert_of(lambda a, b: a * torch.tensor(a).softmax(-1).numpy() * b),
        "softmax (2)": expert_of(lambda a, b: torch.tensor(a).softmax(-1).numpy() * b),
        "as in gpt-oss": expert_of(lambda a, b: a * sigmoid(1.702 * a) * (b + 1)),
        "as in gpt-oss (2)": expert_of(lambda a, b: a * sigmoid(1.702 * a) * b),
        "as in gpt-oss (3)": expert_of(clipped(lambda a, b: a * sigmoid(1.702 * a) * (b + 1))),
        "as in gpt-oss (4)": expert_of(clipped(swish_times)),
        "as in gpt-oss (5)": expert_of(lambda a, b: silu(a) * (b + 1)),
        "as in gpt-oss (6)": expert_of(clipped(lambda a, b: silu(a) * (b + 1))),
        "as in gpt-oss (7)": expert_of(clipped(lambda a, b: a * sigmoid(1.702 * a) * b)),
        "same columns twice": expert_of(lambda a, b: silu(a) * a),
        "same columns twice (2)": expert_of(lambda a, b: b * silu(b)),
        "tanh": expert_of(lambda a, b: np.tanh(a) * b),
        "softplus": expert_of(lambda a, b: functional.softplus(torch.tensor(a)).numpy() * b),
        "sigmoid of the other factor": expert_of(lambda a, b: a * sigmoid(b)),
        "z of the other factor": expert_of(lambda a, b: sigmoid(a) * b * b),
        "matrices multiplied": lambda x, W13, W2: silu(x @ np.multiply(*alternating(W13))) @ W2,
        "matrices multiplied (2)": lambda x, W13, W2: x @ np.multiply(*alternating(W13)) @ W2,
        "activated input": lambda x, W13, W2: expert_of(np.multiply)(silu(x), W13, W2),
        "activated input (2)": lambda x, W13, W2: (silu(x) @ W13[:, ::2] * (x @ W13[:, 1::2])) @ W2,
        "multiplied after W2": lambda x, W13, W2: (silu(x @ W13[:, ::2]) @ W2) * (x @ W13[:, 1::2] @ W2),
        "no activation": expert_of(lambda a, b: a * b),
        "both activated": lambda x, W13, W2: np.prod(alternating(silu(x @ W13)), axis=0) @ W2,
        "activated product": expert_of(lambda a, b: silu(a * b)),
        "plain ReLU expert": expert_of(lambda a, b: np.maximum(a, 0)),
        "silu after W2": lambda x, W13, W2: silu(expert_of(np.multiply)(x, W13, W2)),
        "other factor forgotten": expert_of(lambda a, b: silu(a)),
        "added": expert_of(lambda a, b: silu(a) + b),
        "W2 forgotten": lambda x, W13, W2: swish_times(*alternating(x @ W13)),
        "with residual": lambda x, W13, W2: x + expert(x, W13, W2),
        "tokens as columns": lambda x, W13, W2: W2.T @ swish_times(*(W.T @ x.T for W in alternating(W13))),
    },
    "5.2": {
        "gathered": by_rows(lambda experts, order, k: experts[order].reshape(-1, k)),
        "not sent back": by_rows(lambda experts, order, k: experts.reshape(-1, k)),
        "choices lost": appended,
        "choices first": lambda order, offsets, k: selected_by_scatter(order, offsets, k).reshape(k, -1).T,
        "choices first (2)": lambda order, offsets, k: selected_by_scatter(order, offsets, k).reshape(k, -1),
        "choices first (3)": by_remainder,
        "empty left out": of_busy,
        "last left out": without_the_last(0),
        "last left out (2)": without_the_last(-1),
        "counted from 1": lambda *case: selected_by_scatter(*case) + 1,
        "border to the left": lambda order, offsets, k: np.searchsorted(offsets, np.argsort(order)).reshape(-1, k) - 1,
        "border to the left (2)": lambda order, offsets, k: np.searchsorted(offsets[1:], np.argsort(order)).reshape(
            -1, k
        ),
        "last rows left out": sliced(0, -1, 0),
        "last rows left out (2)": sliced(0, -1, -1),
        "last rows left out (3)": sliced_short,
        "token of the place": by_place,
        "order itself (4)": lambda order, offsets, k: (order % (len(offsets) - 1)).reshape(-1, k),
        "first rows left out": sliced(1, 0, 0),
        "places": lambda order, offsets, k: np.argsort(order).reshape(-1, k),
        "choices turned round": lambda *case: selected_by_scatter(*case)[:, ::-1],
        "a mask": lambda order, offsets, k: [
            [int(i in row) for i in range(len(offsets) - 1)] for row in selected_by_scatter(order, offsets, k)
        ],
        "order itself": lambda order, offsets, k: order.reshape(-1, k),
        "order itself (2)": lambda order, offsets, k: order.reshape(-1, k) // k,
        "order itself (3)": lambda order, offsets, k: np.mod(order, k).reshape(-1, k),
        "not cut": lambda *case: selected_by_scatter(*case).ravel(),
        "tokens as columns": lambda *case: np.transpose(selected_by_loop(*case)),
    },
    "5.3": {
        "weights as they came": pasted,
        "divided before the drop": sparse_with(lambda selected, weights: weights / weights.sum(1, keepdims=True)),
        "0 / 0": lambda *case: pasted(*case) / (case[2] * (case[1] >= 0)).sum(axis=1, keepdims=True),
        "x for the lost": x_for_the_lost,
        "−1 as the last expert": token_by_token(lambda selected, weights: weights),
        "−1 as the last expert (2)": token_by_token(lambda selected, weights: weights / weights.sum(1, keepdims=True)),
        "−1 as the last expert (3)": sparse_of(
            lambda selected, N: selected % N, lambda _, weights: weights / weights.sum(axis=1, keepdims=True)
        ),
        "dropped and written over": sparse_of(lambda selected, N: np.maximum(selected, 0)),
        "dropped and written over (2)": sparse_of(lambda selected, N: selected % N),
        "first column alone": sparse_with(
            lambda selected, weights: weights / weights.sum(axis=1, keepdims=True) * (selected[:, :1] >= 0)
        ),
        "scaled to the old sum": sparse_with(
            lambda selected, weights: of_the_left(selected, weights) * weights.sum(axis=1, keepdims=True)
        ),
        "weights of other choices": lambda x, selected, weights, experts: sparse(
            x, np.sort(selected, axis=1), weights, experts
        ),
        "weights of other choices (2)": lambda x, selected, weights, experts: sparse(
            x, selected, -np.sort(-weights, axis=1), experts
        ),
        "weights of other choices (3)": lambda x, selected, weights, experts: sparse(
            x, selected, weights[:, ::-1], experts
        ),
        "unweighted": sparse_with(lambda selected, weights: np.ones_like(weights)),
        "mean": sparse_with(lambda selected, weights: of_the_left(selected, np.ones_like(weights))),
        "divided by the number left": sparse_with(
            lambda selected, weights: weights / np.maximum(1, (selected >= 0).sum(1)[:, None])
        ),
        "divided by k": sparse_with(lambda selected, weights: weights / weights.shape[1]),
        "divided by the largest": sparse_with(
            lambda selected, weights: weights / np.where(selected < 0, 1e-9, weights).max(axis=1, keepdims=True)
        ),
        "scaled up": sparse_with(
            lambda selected, weights: weights * weights.shape[1] / np.maximum(1, (selected >= 0).sum(1)[:, None])
        ),
        "sum of each expert": sparse_with(
            lambda selected, weights: (
                weights / sum((selected == i) * weights[selected == i].sum() for i in range(-1, 12))
            )
        ),
        "sum of the batch": sparse_with(lambda selected, weights: weights / weights[selected >= 0].sum()),
        "sum over the tokens": sparse_with(
            lambda selected, weights: weights / np.maximum((weights * (selected >= 0)).sum(axis=0), 1e-300)
        ),
        "expert 0 left out": sparse_with(
            lambda selected, weights: of_the_left(np.where(selected, selected, -1), weights)
        ),
        "weight of the first choice": sparse_with(
            lambda selected, weights: np.repeat(of_the_left(selected, weights)[:, :1], weights.shape[1], axis=1)
        ),
        "softmax of the weights": sparse_with(lambda selected, weights: of_the_left(selected, np.exp(weights))),
        "incomplete tokens lost": sparse_with(
            lambda selected, weights: of_the_left(selected, weights) * (selected >= 0).all(axis=1, keepdims=True)
        ),
        "first choice only": sparse_with(only_column(0)),
        "last choice only": sparse_with(only_column(-1)),
        "overwritten": sparse_that_assigns,
        "overwritten (2)": sparse_with_one_plus,
        "weighted inputs": sparse_with_weighted_inputs,
        "all experts": lambda x, selected, weights, experts: sum(expert(x) for expert in experts),
        "with residual": lambda *case: case[0] + sparse(*case),
        "not added": sparse_not_added,
        "still rows": sparse_rows,
        "dense": dense,
        "dense (2)": dense_where_used,
        "dropped computed": with_the_dropped,
        "dropped computed (2)": with_the_dropped_in_one_call,
        "row by row": row_by_row,
        "choice by choice": choice_by_choice,
    },
    "5.5": {
        "still sorted": with_weights(lambda dots, order, w: dots.reshape(w.shape)),
        "sorted twice": with_weights(lambda dots, order, w: dots[order].reshape(w.shape)),
        "cut as (k, T)": with_weights(lambda dots, order, w: dots[np.argsort(order)].reshape(w.shape[::-1]).T),
        "not cut": with_weights(lambda dots, order, w: dots[np.argsort(order)]),
        "not cut (2)": with_weights(lambda dots, order, w: dots),
        "not cut (3)": with_weights(lambda dots, order, w: dots[np.argsort(order)][:, None]),
        "divided by k, dL/dweights": lambda *case: (backward(*case)[0] / case[2].shape[1], backward(*case)[1]),
        "divided by T": lambda *case: [part / len(case[2]) for part in backward(*case)],
        "sign turned": lambda *case: [-part for part in backward(*case)],
        "through a softmax": lambda *case: (
            case[2] * ((a := backward(*case)[0]) - (case[2] * a).sum(axis=1, keepdims=True)),
            backward(*case)[1],
        ),
        "not summed": lambda outputs, order, w, v: (outputs * v[order // w.shape[1]], outputs),
        "not summed (2)": lambda outputs, order, w, v: (
            v[:, None] * outputs[np.argsort(order)].reshape(*w.shape, -1),
            outputs,
        ),
        "mean over d": lambda *case: (backward(*case)[0] / case[0].shape[1], backward(*case)[1]),
        "weights in it": lambda *case: (backward(*case)[0] * case[2], backward(*case)[1]),
        "product with y": lambda outputs, order, w, v: (
            np.repeat((w * backward(outputs, order, w, v)[0]).sum(axis=1, keepdims=True), w.shape[1], axis=1),
            outputs,
        ),
        "summed over the tokens": lambda *case: (
            np.ones(len(case[3]))[:, None] * backward(*case)[0].sum(axis=0),
            backward(*case)[1],
        ),
        "summed over the tokens (2)": lambda *case: (backward(*case)[0].sum(axis=0), backward(*case)[1]),
        "v left out": lambda *case: (backward(*case[:3], np.ones_like(case[3]))[0], backward(*case)[1]),
        "v left out (2)": with_outputs(lambda *case: backward(*case[:3], np.ones_like(case[3]))[1]),
        "wrong way round": with_tokens(lambda order, T, k: np.argsort(order) // k),
        "wrong way round (2)": and_tokens(lambda order, T, k: np.argsort(order) // k),
        "order not used": with_tokens(lambda order, T, k: np.repeat(np.arange(T), k)),
        "order not used (2)": and_tokens(lambda order, T, k: np.repeat(np.arange(T), k)),
        "order not used (3)": lambda outputs, order, w, v: backward(outputs, np.arange(len(order)), w, v),
        "modulo k": with_tokens(lambda order, T, k: order % k),
        "modulo k (2)": and_tokens(lambda order, T, k: order % k),
        "counted by T": with_tokens(lambda order, T, k: order % T),
        "counted by T (2)": and_tokens(lambda order, T, k: order % T),
        "counted by T (3)": with_tokens(lambda order, T, k: order // T),
        "counted by T (4)": and_tokens(lambda order, T, k: order // T),
        "weights forgotten": with_outputs(lambda outputs, order, w, v: v[order // w.shape[1]]),
        "weights not sorted": with_outputs(lambda outputs, order, w, v: w.reshape(-1, 1) * v[order // w.shape[1]]),
        "weights by columns": with_outputs(
            lambda outputs, order, w, v: w.ravel("F")[order, None] * v[order // w.shape[1]]
        ),
        "first choice's weight": with_outputs(
            lambda outputs, order, w, v: (w[:, :1] * v)[order // w.shape[1]],
        ),
        "by assignment": with_outputs(lambda outputs, order, w, v: (w[..., None] * v[:, None]).reshape(outputs.shape)),
        "by token and choice": with_outputs(lambda outputs, order, w, v: w[..., None] * v[:, None]),
        "weights turned, too": with_outputs(lambda outputs, order, w, v: backward(outputs, np.argsort(order), w, v)[1]),
        "outputs in it": with_outputs(lambda *case: backward(*case)[1] * case[0]),
        "divided by k": with_outputs(lambda *case: backward(*case)[1] / case[2].shape[1]),
        "divided by T, dL/doutputs": with_outputs(lambda *case: backward(*case)[1] / len(case[3])),
        "sign turned, dL/doutputs": with_outputs(lambda *case: -backward(*case)[1]),
        "weights divided by their sum": with_outputs(
            lambda outputs, order, w, v: backward(outputs, order, in_sum_one(w), v)[1]
        ),
        "one for each token": with_outputs(lambda outputs, order, w, v: v),
        "v as a target": by_autograd(lambda y, v: (y - v).square().sum()),
        "v as a target (2)": by_autograd(lambda y, v: (y - v).square().sum() / 2),
        "v as a target (3)": by_autograd(functional.mse_loss),
        "v as a target (4)": lambda *case: (backward(*case)[0], by_autograd(functional.mse_loss)(*case)[1]),
        "y for v": by_autograd(lambda y, v: y.square().sum()),
        "mean of y·v": by_autograd(lambda y, v: (y * v).mean()),
        "mean of y·v (2)": with_outputs(lambda *case: backward(*case)[1] / case[3].size),
        "swapped parts": lambda *case: backward(*case)[::-1],
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "5.1": [
        lambda x, W13, W2: None,
        lambda x, W13, W2: x,
        lambda x, W13, W2: 2 * expert(x, W13, W2),
        expert_of(lambda a, b: np.sin(a) * b),
        lambda x, W13, W2: expert(x[:1], W13, W2),
        lambda x, W13, W2: "an expert",
    ],
    "5.2": [
        lambda order, offsets, k: None,
        lambda order, offsets, k: offsets,
        lambda *case: selected_by_scatter(*case)[::-1],
        lambda *case: selected_by_scatter(*case)[:1],
        lambda *case: 0 * selected_by_scatter(*case),
        lambda *case: "selected",
    ],
    "5.3": [
        lambda x, selected, weights, experts: None,
        lambda x, selected, weights, experts: x,
        lambda x, selected, weights, experts: 2 * sparse(x, selected, weights, experts),
        lambda x, selected, weights, experts: sparse(x, selected, weights[:, ::-1], experts)[::-1],
        lambda x, selected, weights, experts: sparse(x, selected, weights, experts[::-1]),
        lambda x, selected, weights, experts: sparse(x, selected, np.minimum(weights, 1), experts),
        padded,
    ],
    "5.5": [
        lambda outputs, order, weights, v: None,
        lambda *case: backward(*case)[0],
        lambda *case: [2 * part for part in backward(*case)],
        lambda outputs, order, w, v: backward(outputs, order, -np.sort(-w, axis=1), v),  # best first
        lambda *case: [part[::-1] for part in backward(*case)],
        with_outputs(lambda *case: 2 * backward(*case)[1]),
        lambda *case: "gradients",
    ],
}

RIGHT = {
    "5.1": [
        expert,
        expert_in_torch,
        expert_in_float32,
        expert_by_einsum,
        expert_by_loop,
        expert_of(lambda a, b: 0.5 * a * (1 + np.tanh(a / 2)) * b),
        lambda x, W13, W2: ((x @ W13[:, 1::2]) * (x @ W13[:, ::2]) / (1 + np.exp(-(x @ W13[:, ::2])))) @ W2,
    ],
    "5.2": [
        selected_by_scatter,
        selected_by_search,
        selected_by_loop,
        selected_in_torch,
        selected_by_marks,
        selected_by_sorting,
        lambda *case: selected_by_scatter(*case).astype(np.uint8),
    ],
    "5.3": [sparse, sparse_by_slices, sparse_in_torch, sparse_by_masks, sparse_by_lists, sparse_by_places],
    "5.5": [
        backward,
        backward_by_inverse,
        by_autograd(lambda y, v: (y * v).sum()),
        backward_by_loop,
        backward_by_matrix,
        lambda *case: [np.float32(part) for part in backward(*case)],
    ],
}
