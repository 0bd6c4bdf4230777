# %% [markdown]
# # Exercises 05 · The sparse layer
#
# {{questions}}, on [](lesson:05). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError`, run that cell, then the `check` cell below it. You can
# check as often as you like. Stuck? Open a hint. Use numpy or torch, and whatever you wrote yourself in an earlier
# question, but not `moe_lessons.layer`. Question 5.4 needs torch.

# %% name="setup" tags=["setup"]
import time

import numpy as np
import torch

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_05 import full_size_gradients

# %% [markdown]
# ## 5.1 An expert
#
# {{about 5.1}}
#
# Write one expert: a SwiGLU feed-forward network, (silu(x W1) * x W3) W2. Here silu(z) = z · sigmoid(z), and `*`
# multiplies entry by entry.
#
# {{hints 5.1}}


# %% name="answer-5-1"
def my_expert(x, W1, W2, W3):
    """x (T, d), W1 (d, f), W2 (f, d), W3 (d, f) -> (T, d)"""
    # BEGIN SOLUTION
    before = x @ W1  # (T, f)
    gate = before / (1 + np.exp(-before))  # (T, f)
    return (gate * (x @ W3)) @ W2  # (T, d)
    # END SOLUTION


# %%
check("5.1", my_expert)

# %% [markdown]
# ## 5.2 Offsets of the sorted dispatch
#
# {{about 5.2}}
#
# Each of T tokens has selected k experts: `selected` is (T, k), indices from 0. That makes T·k *assignments*. Number
# them row by row: choice j of token t is assignment t·k + j. Here are three tokens with k = 2 and five experts.

# %% name="given-5-2"
EXAMPLE = np.array([[2, 0], [0, 2], [2, 3]])
for number, expert in enumerate(EXAMPLE.ravel()):
    print(f"assignment {number}: choice {number % 2} of token {number // 2}, expert {expert}")

# %% [markdown]
# Return two things.
#
# - `order` (T·k,): the numbers of the assignments, sorted by expert. Those of the same expert stay in the order in which
#   they came. In the example: 1, 2, 0, 3, 4, 5.
# - `offsets` (N + 1,): where each expert's part of that list begins, so that `order[offsets[i]:offsets[i + 1]]` are the
#   assignments of the expert with index i. The last entry is T·k. In the example: 0, 2, 2, 5, 6, 6. Nobody selected the
#   experts with index 1 and 4, and they still have their place.
#
# {{hints 5.2}}


# %% name="answer-5-2"
def my_dispatch(selected, num_experts):
    """selected (T, k), N -> order (T·k,), offsets (N + 1,)"""
    # BEGIN SOLUTION
    flat = selected.ravel()  # (T·k,)
    counts = np.bincount(flat, minlength=num_experts)  # (N,)
    return np.argsort(flat, kind="stable"), np.concatenate([[0], np.cumsum(counts)])  # (T·k,), (N + 1,)
    # END SOLUTION


# %%
check("5.2", my_dispatch)

# %% name="example-5-2" tags=["solution"]
order, offsets = my_dispatch(EXAMPLE, 5)
print(order, offsets)
assert order.tolist() == [1, 2, 0, 3, 4, 5]
assert offsets.tolist() == [0, 2, 2, 5, 6, 6]

# %% [markdown]
# ## 5.3 The sparse forward
#
# {{about 5.3}}
#
# Now the whole layer behind the router. Return y (T, d): for each token the sum of its k experts' outputs, each times
# its weight. `weights[t, j]` belongs to expert `selected[t, j]`; use the weights as they come. `experts` is a list of N
# functions: `experts[i]` takes rows (r, d) and returns rows (r, d).
#
# The check counts. The experts may compute T·k rows in all and no more, and each expert may be called once, with all its
# rows. (A call with no rows does not count.) Your `my_dispatch` may help; there are other ways.
#
# {{hints 5.3}}


# %% name="answer-5-3"
def my_sparse_forward(x, selected, weights, experts):
    """x (T, d), selected (T, k), weights (T, k), N functions -> y (T, d)"""
    # BEGIN SOLUTION
    order, offsets = my_dispatch(selected, len(experts))
    y = np.zeros_like(x)  # (T, d)
    for i, expert in enumerate(experts):
        mine = order[offsets[i] : offsets[i + 1]]  # (r,)
        tokens = mine // selected.shape[1]  # (r,), no token twice: its k experts differ
        y[tokens] += weights.ravel()[mine, None] * expert(x[tokens])  # (r, d)
    return y
    # END SOLUTION


# %%
check("5.3", my_sparse_forward)

# %% [markdown]
# ## 5.4 The trap in a slow layer
#
# {{about 5.4}}
#
# This layer is right. Its rows are sorted by expert already: the first `sizes[0]` rows are for the first expert, and so
# on. W1 (N, d, f) and W2 (N, f, d) hold the matrices of all N experts.


# %% name="given-5-4"
def slow_layer(rows, sizes, W1, W2):
    """rows (R, d), sizes: a list of N row counts, W1 (N, d, f), W2 (N, f, d) -> (R, d)"""
    outputs = []
    for i, part in enumerate(rows.split(sizes)):
        outputs.append(torch.relu(part @ W1[i]) @ W2[i])  # (sizes[i], d)
    return torch.cat(outputs)  # (R, d)


# %% [markdown]
# Now give it the same number of rows with more and more experts. The number of multiplications stays the same.


# %% name="given-5-4-report"
def report(layer, R=256, d=64, f=128):
    """Print, for growing N, the time of forward and backward, and how many full-size gradients the backward makes."""
    for N in (8, 16, 32):
        rows, sizes = torch.randn(R, d), [R // N] * N
        W1, W2 = torch.randn(N, d, f, requires_grad=True), torch.randn(N, f, d, requires_grad=True)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            layer(rows, sizes, W1, W2).sum().backward()
            times.append(1000 * (time.perf_counter() - start))
        full = full_size_gradients(layer(rows, sizes, W1, W2), W1, W2)
        print(f"N = {N:2}: {min(times):5.1f} ms; gradients as large as W1: {full[0]}, as large as W2: {full[1]}")


report(slow_layer)

# %% [markdown]
# The times are your machine's; the counts are the same on every machine. The forward takes one small matrix for each
# expert. But something in this code makes the backward build a tensor as large as *all* experts' matrices, once for each
# expert. Find the line, and write a layer that computes the same without the trap. The check asks that
#
# - y and the gradients to rows, W1 and W2 are the same (up to rounding);
# - the backward makes at most 4 gradients as large as W1, and at most 4 as large as W2, however many experts there are;
# - no tensor on the way is larger than W1; a copy of a matrix for each row would be.
#
# Many ways are right, with a loop or without. Afterwards run `report` on yours.
#
# {{hints 5.4}}


# %% name="answer-5-4"
def my_layer(rows, sizes, W1, W2):
    """rows (R, d), sizes: a list of N row counts, W1 (N, d, f), W2 (N, f, d) -> (R, d)"""
    # BEGIN SOLUTION
    experts = zip(rows.split(sizes), W1.unbind(0), W2.unbind(0), strict=True)  # each (sizes[i], d), (d, f), (f, d)
    return torch.cat([torch.relu(part @ own_W1) @ own_W2 for part, own_W1, own_W2 in experts])  # (R, d)
    # END SOLUTION


# %%
check("5.4", my_layer)

# %% name="report-5-4" tags=["solution"]
report(my_layer)

# %% [markdown]
# The same holds for a slice of the rows, `rows[a:b]` in a loop: each makes a gradient as large as all rows. That is why
# `slow_layer` uses `split`, which is answered in one step. (The rows are seldom as large as the weights, so the check
# does not count them.)
#
# ## 5.5 Combine without a loop
#
# {{about 5.5}}
#
# The experts are done. `outputs` (T·k, d) holds one row for each assignment, sorted by expert: row r is the output for
# assignment `order[r]`, numbered as in 5.2. The outputs are not weighted yet. Return y (T, d): for each token the sum of
# its k rows, each times its weight in `weights` (T, k). Try to do it without a Python loop; the check asks for the
# numbers alone.
#
# {{hints 5.5}}


# %% name="answer-5-5"
def my_combine(outputs, order, weights):
    """outputs (T·k, d), order (T·k,), weights (T, k) -> y (T, d)"""
    # BEGIN SOLUTION
    T, k = weights.shape
    y = np.zeros((T, outputs.shape[1]))  # (T, d)
    np.add.at(y, order // k, weights.ravel()[order, None] * outputs)  # adds also where a token comes twice
    return y
    # END SOLUTION


# %%
check("5.5", my_combine)

# %% [markdown]
# With 5.2, 5.4 and 5.5 you have the three parts of the course's fast layer: sort, multiply, combine.
#
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:05), which show one way of several. Then go on to the
# next lesson.
