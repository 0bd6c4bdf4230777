# %% [markdown]
# # Exercises 10 · Capacity, dropless dispatch and a bias
#
# {{questions}}, on [](lesson:10) (the first two) and [](lesson:10b). Letters: the table in [](lesson:00), and C for the capacity of an expert.
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Your functions are given numpy arrays (`torch.as_tensor` makes
# tensors of them); return arrays, lists or tensors, whichever you like. You may use what is imported below, and what you
# wrote yourself.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_10 import training_log
from moe_lessons.routing import softmax, top_k

# %% [markdown]
# ## 10.1 Capacity with priority
#
# {{about 10.1}}
#
# A router has chosen k experts for each of T tokens: `selected` (T, k) holds their indices, `weights` (T, k) the weights,
# best first in each row. Each expert has `capacity` places. Places are given one after another, and who finds all places
# of an expert taken is dropped there. The order in which they are given depends on `priority`:
#
# - `"position"`: all first choices, then all second choices, and so on; in each of them earlier tokens first.
# - `"probability"`: the largest weight first, whichever choice of whichever token it is.
#
# Return booleans (T, k): which assignments have a place. No weight comes twice.
#
# {{hints 10.1}}


# %% name="answer-10-1"
def my_kept(selected, weights, capacity, num_experts, priority):
    """selected, weights (T, k), C, N, "position" or "probability" -> kept (T, k), booleans"""
    # BEGIN SOLUTION
    number = np.arange(selected.size).reshape(selected.shape)  # (T, k)
    order = number.T.ravel() if priority == "position" else np.argsort(-weights, axis=None)  # (T·k,)
    free, kept = np.full(num_experts, capacity), np.zeros(selected.size, dtype=bool)  # (N,), (T·k,)
    for assignment in order:
        expert = selected.ravel()[assignment]
        kept[assignment] = free[expert] > 0
        free[expert] -= kept[assignment]
    return kept.reshape(selected.shape)  # (T, k)
    # END SOLUTION


# %%
check("10.1", my_kept)

# %% [markdown]
# ## 10.2 What a dispatch costs
#
# {{about 10.2}}
#
# N experts live on a few devices, several on each: `device` (N,) holds the number of each expert's device, from 0, and
# no device is without an expert. `load` (N,) counts the assignments that ask for each expert, from 0 up. What is
# computed are rows, and a row may be empty:
#
# - with a `capacity`, a whole number from 1 on, every expert computes just that many rows, and what finds no row is dropped
#   (`block` does not matter then);
# - with `capacity=None` nothing is dropped: every expert computes its load, filled up to the next whole multiple of
#   `block` rows. An expert without a token computes nothing.
#
# Return three whole numbers: `empty`, how many of all computed rows hold no token; `dropped`, how many assignments are
# dropped; `busiest`, how many rows (empty ones included) the device with the most rows computes.
#
# {{hints 10.2}}


# %% name="answer-10-2"
def my_costs(load, device, capacity, block):
    """load (N,), device (N,), C or None, rows of a block -> empty, dropped, busiest"""
    # BEGIN SOLUTION
    whole_blocks = -(-load // block) * block  # (N,)
    rows = whole_blocks if capacity is None else np.full(len(load), capacity)  # (N,)
    kept = np.minimum(load, rows)  # (N,)
    of_device = np.bincount(device, weights=rows)  # (devices,)
    return (rows - kept).sum(), (load - kept).sum(), of_device.max()
    # END SOLUTION


# %%
check("10.2", my_costs)

# %% [markdown]
# ## 10.3 A bias for unequal machines
#
# {{about 10.3}}
#
# Some machines are faster than others: `speed` (N,) says how many assignments each expert computes in a millisecond, a whole
# number. The T·k assignments should be spread so that all experts finish together. `scores` (T, N) are sigmoids, `bias` (N,)
# is what the last steps have led to. Do one step of balancing without a loss, with this aim, and return three things:
#
# - `selected` (T, k): the indices of the k largest $s_i + b_i$ of each token, best first.
# - `weights` (T, k): the scores of those experts, without the bias, divided by their sum in each row.
# - `new_bias` (N,): each bias moved by `u`: up if its expert got less than it would have if all finished together, down if it
#   got more. With just as much it stays. The load counts who was selected. (The speeds sum to 32, so the comparison is exact.)
#
# {{hints 10.3}}


# %% name="answer-10-3"
def my_step(scores, bias, speed, u, k):
    """scores (T, N), bias (N,), speed (N,), u, k -> selected (T, k), weights (T, k), new_bias (N,)"""
    # BEGIN SOLUTION
    selected = np.argsort(-(scores + bias), axis=-1)[:, :k]  # (T, k)
    own = np.take_along_axis(scores, selected, axis=-1)  # (T, k)
    load = np.bincount(selected.ravel(), minlength=len(bias))  # (N,)
    wanted = speed / speed.sum() * load.sum()  # (N,)
    return selected, own / own.sum(axis=-1, keepdims=True), bias + u * np.sign(wanted - load)
    # END SOLUTION


# %%
check("10.3", my_step)

# %% [markdown]
# ## 10.4 What a pooled loss hides
#
# {{about 10.4}}
#
# A model has two layers with N experts each, k = 1. Someone joins the logits of both layers to 2T rows and computes one
# balance loss $N \sum_i f_i P_i$ from them. In the lesson eight collapsed layers hid behind loads that are even in sum. If one
# of *two* layers has collapsed, the loads cannot be even in sum. Find logits for which the pooled loss sees nothing all the
# same:
#
# - in layer 1 every token goes to one and the same expert;
# - layer 2 is uneven, too: MaxVio is at least 1, that is, some expert has at least twice the mean load;
# - in each layer the loss of that layer alone is at least 1.2: computed there, it would have seen it;
# - the pooled loss is at most 1.02.
#
# T (up to 1,000) and N (from 4 to 64) are yours to choose. All logits are finite, and each token's largest logit is at
# least 0.001 above its second largest. Write an array of the shape (2, T, N), or two lists of rows.
#
# {{hints 10.4}}

# %% name="answer-10-4"
my_layers = ...

# %% name="solution-10-4" tags=["solution"]
E1, E2, E3, E4 = np.eye(4)  # (N,) each
unsure = 0.9 * np.array([E1, E1, E1, E1])  # (T, N): E1 wins every token of layer 1, each with a probability of 0.45
sure = 20 * np.array([E2, E2, E3, E4])  # (T, N): in layer 2 E1 gets next to nothing
my_layers = np.stack([unsure, sure])  # (2, T, N)


def one_loss(logits):
    """logits (T, N) -> the balance loss"""
    f = np.bincount(top_k(logits, 1)[1].ravel(), minlength=4) / len(logits)  # (N,)
    return 4 * f @ softmax(logits).mean(axis=0)


print("by layer:", [round(float(one_loss(layer)), 3) for layer in my_layers])
print("pooled:", round(float(one_loss(np.concatenate(my_layers))), 3))

# %%
check("10.4", my_layers)

# %% [markdown]
# ## 10.5 A measure for each log
#
# {{about 10.5}}
#
# Six runs of a model with two MoE layers, k = 2, balanced by a bias. u is the step of the bias, c the capacity factor; no log
# prints them. Nothing but this bias learns in these runs.
# Two things are asked for, on average over the last 100 steps (the last stretch of each log):
#
# - in each layer, MaxVio is at most 1.5 times that of dice, which stands in the first line of each log;
# - at most 2 % of the assignments are dropped.

# %% name="given-10-5"
for run in "ABCDEF":
    print(training_log(run))

# %% [markdown]
# If a run meets both demands already, answer `"nothing"`. Otherwise: which one measure makes it meet both?
#
# - `"raise u"`: ten times as large;
# - `"lower u"`: a tenth;
# - `"raise c"`: half as large again;
# - `"per layer"`: a bias for each layer, updated with the loads of that layer, if one common bias was used;
# - `"nothing"`.
#
# Each is carried out in the check, and you see what came of it.
#
# {{hints 10.5}}

# %% name="answer-10-5"
my_measures = {
    "A": ...,
    "B": ...,
    "C": ...,
    "D": ...,
    "E": ...,
    "F": ...,
}

# %% name="solution-10-5" tags=["solution"]
my_measures = {
    "A": "lower u",  # E1 jumps from 1.5 times to half the mean load and back
    "B": "per layer",  # both layers stay uneven, and pooled they are as even as dice
    "C": "nothing",  # few tokens: dice are that uneven, too
    "D": "raise u",  # still falling after 300 steps, in each layer and pooled
    "E": "raise c",  # as even as dice; there is just no room for chance
    "F": "raise u",  # opposite leanings, but each layer's MaxVio falls, so each has its bias; only slowly
}

# %%
check("10.5", my_measures)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:10), which show one way of several. Then go on to
# [](lesson:11).
