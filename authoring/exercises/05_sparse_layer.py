# %% [markdown]
# # Exercises 05 · The sparse layer
#
# {{questions}}, on [](lesson:05). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError`, run that cell, then the `check` cell below it. You can
# check as often as you like. Stuck? Open a hint. Use numpy or torch, and whatever you wrote yourself in an earlier
# question, but not `moe_lessons.layer`. Your functions are called with numpy arrays (`torch.as_tensor` makes a tensor of
# one) and may return arrays, tensors or lists; in 5.4 and 5.6 torch tensors go in and come out.

# %% name="setup" tags=["setup"]
import numpy as np
import torch

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_05 import report

# %% [markdown]
# ## 5.1 An expert from a checkpoint
#
# {{about 5.1}}
#
# You want to run an expert from a file of trained numbers, a checkpoint. It is a SwiGLU feed-forward network:
# (silu(x W1) * x W3) W2. Here silu(z) = z · sigmoid(z), and `*` multiplies entry by entry.
#
# The file holds W1 and W3 in one matrix `W13` (d, 2·d_ff), in which their columns alternate. Columns 0, 2, 4, … are those
# of W1, the gate, which passes through silu. Columns 1, 3, 5, … are those of W3, the other factor. (gpt-oss stores them
# in this order, and computes something a little different from them.)
#
# {{hints 5.1}}


# %% name="answer-5-1"
def my_expert(x, W13, W2):
    """x (T, d), W13 (d, 2·d_ff) with alternating columns, W2 (d_ff, d) -> (T, d)"""
    # BEGIN SOLUTION
    both = x @ W13  # (T, 2·d_ff)
    gate, other = both[:, 0::2], both[:, 1::2]  # (T, d_ff) each
    return (gate / (1 + np.exp(-gate)) * other) @ W2  # (T, d)
    # END SOLUTION


# %%
check("5.1", my_expert)

# %% [markdown]
# ## 5.2 Who chose whom, from the sorted list
#
# {{about 5.2}}
#
# Each of T tokens selects k of N experts. That makes T·k *assignments*. They are numbered row by row: choice j of token t
# is assignment t·k + j. Here are three tokens with k = 2 and five experts.

# %% name="given-5-2"
EXAMPLE = np.array([[2, 0], [0, 2], [2, 3]])  # (T, k): selected
for number, expert in enumerate(EXAMPLE.ravel()):
    print(f"assignment {number}: choice {number % 2} of token {number // 2}, expert {expert}")

# %% [markdown]
# A layer sorts them by expert and keeps two things.
#
# - `order` (T·k,): the numbers of the assignments, sorted by expert. Those of the same expert stay in the order in which
#   they came. In the example: 1, 2, 0, 3, 4, 5.
# - `offsets` (N + 1,): where each expert's part of that list begins, so that `order[offsets[i]:offsets[i + 1]]` are the
#   assignments of the expert with index i. The last entry is T·k. In the example: 0, 2, 2, 5, 6, 6. Nobody selected the
#   experts with index 1 and 4.
#
# Now go the other way. You have only `order`, `offsets` and `k`: return `selected` (T, k), as it was before. In the
# example that is `EXAMPLE`. A start: `np.repeat(np.arange(N), np.diff(offsets))` lists the expert of each sorted row.
#
# {{hints 5.2}}


# %% name="answer-5-2"
def my_selected(order, offsets, k):
    """order (T·k,), offsets (N + 1,), k -> selected (T, k)"""
    # BEGIN SOLUTION
    N = len(offsets) - 1
    experts = np.repeat(np.arange(N), np.diff(offsets))  # (T·k,), of the sorted rows
    selected = np.empty_like(order)  # (T·k,)
    selected[order] = experts
    return selected.reshape(-1, k)  # (T, k)
    # END SOLUTION


# %%
check("5.2", my_selected)

# %% name="example-5-2" tags=["solution"]
found = my_selected(np.array([1, 2, 0, 3, 4, 5]), np.array([0, 2, 2, 5, 6, 6]), 2)  # (T, k)
print(found.tolist())
assert np.array_equal(found, EXAMPLE)

# %% [markdown]
# ## 5.3 The sparse forward, with dropped assignments
#
# {{about 5.3}}
#
# Now the layer behind the router. Some experts were full, so some choices were dropped (lesson 10 says how): there
# `selected` (T, k) holds −1. Elsewhere `weights[t, j]` belongs to expert `selected[t, j]`; a token's choices stand in no
# order. `experts` is a list of N functions: `experts[i]` takes rows (r, d) and returns rows (r, d), tensors for tensors.
#
# Return y (T, d).
#
# - A dropped choice counts nothing. No expert runs for it. There is a number at its place in `weights`, which means
#   nothing. (All numbers in `weights` are above 0.)
# - The weights that a token has left are divided by *their* sum.
# - y is the sum of the outputs of the experts that the token has left, each times its new weight.
# - A token that lost all its k choices gets y = 0.
#
# The check counts. The experts may compute one row for each choice that is left and no more, and each expert may be
# called once, with all its rows. (A call with no rows does not count.) No token has the same expert twice.
#
# {{hints 5.3}}


# %% name="answer-5-3"
def my_sparse_forward(x, selected, weights, experts):
    """x (T, d), selected (T, k) with −1 for dropped, weights (T, k), N functions -> y (T, d)"""
    # BEGIN SOLUTION
    left = np.where(selected >= 0, weights, 0)  # (T, k)
    total = left.sum(axis=1, keepdims=True)  # (T, 1)
    left = left / np.where(total > 0, total, 1)  # (T, k)
    y = np.zeros_like(x)  # (T, d)
    for i, expert in enumerate(experts):
        tokens, slots = np.nonzero(selected == i)  # (r,) each; no token twice: its experts differ
        y[tokens] += left[tokens, slots, None] * expert(x[tokens])  # (r, d)
    return y
    # END SOLUTION


# %%
check("5.3", my_sparse_forward)

# %% [markdown]
# ## 5.4 The same trap, in columns
#
# {{about 5.4}}
#
# This layer is right. Its rows are sorted by expert already: the first `sizes[0]` rows are for the first expert, and so
# on. The matrices of all N experts lie in two large ones. W1 (d, N·d_ff) holds them side by side: expert i has the d_ff
# columns from i·d_ff on. W2 (N·d_ff, d) holds them one below the other: expert i has the d_ff rows from i·d_ff on.


# %% name="given-5-4"
def slow_layer(rows, sizes, W1, W2):
    """rows (R, d), sizes: a list of N row counts, W1 (d, N·d_ff), W2 (N·d_ff, d) -> (R, d)"""
    outputs, d_ff = [], W1.shape[1] // len(sizes)
    for i, part in enumerate(rows.split(sizes)):
        mine = slice(i * d_ff, (i + 1) * d_ff)
        outputs.append(torch.relu(part @ W1[:, mine]) @ W2[mine])  # (sizes[i], d)
    return torch.cat(outputs)  # (R, d)


# %% [markdown]
# `report` gives it the same 256 rows with more and more experts: the number of multiplications stays the same. It times
# forward and backward, and counts the gradients of full size that the backward makes.

# %% name="given-5-4-report"
report(slow_layer)

# %% [markdown]
# The times are your machine's; the counts are the same on every machine. The forward takes one small matrix for each
# expert. But something in this code makes the backward build a tensor as large as *all* experts' matrices, once for each
# expert. Find it, and write a layer that computes the same without the trap. The check asks that
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
    """rows (R, d), sizes: a list of N row counts, W1 (d, N·d_ff), W2 (N·d_ff, d) -> (R, d)"""
    # BEGIN SOLUTION
    d_ff = W1.shape[1] // len(sizes)
    parts = zip(rows.split(sizes), W1.split(d_ff, dim=1), W2.split(d_ff), strict=True)  # (r, d), (d, d_ff), (d_ff, d)
    return torch.cat([torch.relu(part @ own_W1) @ own_W2 for part, own_W1, own_W2 in parts])  # (R, d)
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
# ## 5.5 Combine, backwards
#
# {{about 5.5}}
#
# Combine adds up: `outputs` (T·k, d) holds one row for each assignment, sorted by expert. Row r is the output for
# assignment `order[r]`, numbered as in 5.2. y (T, d) is for each token the sum of its k rows, each times its weight in
# `weights` (T, k).
#
# Now backwards. A loss L depends on y, and you are given v = dL/dy (T, d): v[t, c] says how fast L rises with y[t, c].
# Return two gradients, in this order.
#
# - dL/dweights (T, k): how fast L rises with each weight;
# - dL/doutputs (T·k, d): how fast L rises with each number of each row, the rows sorted as in `outputs`.
#
# All arrays are numpy's. You may derive the formulas, or write combine in torch (`torch.tensor(weights,
# requires_grad=True)`) and let autograd do it: the check asks for the numbers alone.
#
# {{hints 5.5}}


# %% name="answer-5-5"
def my_combine_backward(outputs, order, weights, v):
    """outputs (T·k, d), order (T·k,), weights (T, k), v (T, d) -> dL/dweights (T, k), dL/doutputs (T·k, d)"""
    # BEGIN SOLUTION
    v_rows = v[order // weights.shape[1]]  # (T·k, d): v of each row's token
    to_weights = np.empty_like(weights)  # (T, k)
    to_weights.ravel()[order] = (outputs * v_rows).sum(axis=1)  # (T·k,), each sent back to its assignment
    return to_weights, weights.ravel()[order, None] * v_rows
    # END SOLUTION


# %%
check("5.5", my_combine_backward)

# %% [markdown]
# Sort, multiply, combine are the three parts of the course's fast layer. You have undone the first (5.2), and seen what
# the backward of the other two does (5.4 and here).
#
# ## 5.6 A router as a module
#
# {{about 5.6}}
#
# A model works in bfloat16, a number format of 16 bits with two to three digits. Its router stays in float32, because
# small differences decide whom it chooses. Write it: a class `MyRouter`, derived from `torch.nn.Module`. The check copies
# numbers of its own into the parameters, by name.
#
# - `MyRouter(d_model, num_experts, top_k, bias=False)` has a parameter `W_g` (d, N). With `bias=True`, and only then, it
#   has a second one, `bias` (N,). Both are float32. Which numbers they begin with is up to you.
# - It is called on a tensor x (…, d), float32 or bfloat16. Before the d there may be any shape: (T, d), (B, T, d), or a
#   single token (d,). That shape stays in what it returns.
# - It returns three tensors: `logits` (…, N), which are x W_g, plus the bias if there is one; `selected` (…, k), the
#   indices of the k largest **logits**, best first; and `weights` (…, k), in the same order. (Logits may lie hundreds
#   apart: then several probabilities are 0, and no longer tell which expert is better.)
# - The weights are those of **form B** (lesson 04): a softmax over all N logits, of which the k selected are kept as they
#   are. Their gradient reaches W_g and the bias.
# - All is computed in float32, also for x in bfloat16. `logits` and `weights` come back as float32.
#
# {{hints 5.6}}


# %% name="answer-5-6"
class MyRouter(torch.nn.Module):
    """A router in form B, in float32"""

    def __init__(self, d_model, num_experts, top_k, bias=False):
        """W_g (d, N); bias (N,) or None"""
        # BEGIN SOLUTION
        super().__init__()
        self.top_k = top_k
        self.W_g = torch.nn.Parameter(torch.randn(d_model, num_experts) / d_model**0.5)  # (d, N)
        self.bias = torch.nn.Parameter(torch.zeros(num_experts)) if bias else None  # (N,)
        # END SOLUTION

    def forward(self, x):
        """x (…, d) -> logits (…, N), selected (…, k), weights (…, k)"""
        # BEGIN SOLUTION
        logits = x.float() @ self.W_g  # (…, N)
        if self.bias is not None:
            logits = logits + self.bias
        selected = logits.topk(self.top_k).indices  # (…, k)
        return logits, selected, logits.softmax(dim=-1).gather(-1, selected)
        # END SOLUTION


# %%
check("5.6", MyRouter)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:05), which show one way of several. Then go on to the
# next lesson.
