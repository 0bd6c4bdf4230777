# %% [markdown]
# # Exercises 01 · The worked example
#
# {{questions}}, on [](lesson:01). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Your functions get numpy arrays. Torch works too: begin with
# `torch.as_tensor(x)`, and return the tensor as it is. Not the course's own functions: the check notices.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_01 import GIVEN_PROTOTYPES, GIVEN_TOKEN
from moe_lessons.data import worked_example
from moe_lessons.widgets.compass import PrototypeCompass

x, W_g = worked_example()
print("x =", x)
print("W_g =", W_g, sep="\n")

# %% [markdown]
# ## 1.1 A router from a checkpoint
#
# {{about 1.1}}
#
# A published model is a file of arrays, a checkpoint. It keeps a router as torch's `nn.Linear` does: `weight` has shape
# (N, d), one **row** for each expert, where the lesson's `W_g` had a column. Some routers, that of gpt-oss for one, also
# have a `bias` of shape (N,): a number for each expert, which is added to its logit, whatever the token is.
#
# Write this router. It takes one token, x of shape (d,), and returns the logits (N,); and it takes a batch, x of shape
# (T, d), and returns (T, N). All arguments are numpy arrays. N may equal d.
#
# {{hints 1.1}}


# %% name="answer-1-1"
def my_logits(x, weight, bias):
    """x (d,) or (T, d), weight (N, d), bias (N,) -> logits (N,) or (T, N)"""
    # BEGIN SOLUTION
    return x @ weight.T + bias
    # END SOLUTION


# %%
check("1.1", my_logits)

# %% [markdown]
# Try it on the token of the lesson in a cell of your own, `my_logits(x, W_g.T, np.zeros(4))`: you should see −0.18, 0.30,
# 0.52, −0.26.
#
# ## 1.2 What the log still knows
#
# {{about 1.2}}
#
# A program logged one token, as the lesson routes it: the gate weights of all N experts, a numpy array (N,), and the
# largest logit, a number. The weights are renormalised: they sum to 1, and are 0 where an expert was not selected. How
# many were selected, from one to all N, you see from the weights. A selected expert's weight may be very small.
#
# Now somebody needs the logits. Return an array (N,): the logit of each selected expert, and `np.nan` for each of the
# others. Two things can never be found again from such a log: the logits of the experts that were cut, and so the
# probabilities of all N.
#
# {{hints 1.2}}


# %% name="answer-1-2"
def my_logits_back(weights, largest):
    """weights (N,), the largest logit -> logits (N,), np.nan where an expert was not selected"""
    # BEGIN SOLUTION
    logits = np.full(len(weights), np.nan)  # (N,)
    chosen = weights > 0  # (N,)
    logits[chosen] = largest + np.log(weights[chosen] / weights.max())
    return logits
    # END SOLUTION


# %%
check("1.2", my_logits_back)

# %% [markdown]
# ## 1.3 As many experts as it takes
#
# {{about 1.3}}
#
# This layer has no k. It has a `share`, say 0.6. For each token the most probable experts run: the best, then the next,
# and so on, until those that run hold at least `share` of the probability together. So one token needs a single expert,
# and another may need all N. The weights of those that run are their probabilities divided by their sum.
#
# Given are one token x (d,), the probabilities `probs` (N,) of all experts, the share (above 0, below 1), and
# `experts`, a list of N functions, each from a vector (d,) to a vector (d,). Return y (d,), the weighted sum of the
# outputs. Call each expert that runs once, and no other: the check counts the calls. No sum on the way down comes nearer
# to the share than 0.001, so rounding decides nothing.
#
# {{hints 1.3}}


# %% name="answer-1-3"
def my_combine(x, probs, share, experts):
    """x (d,), probs (N,), 0 < share < 1, experts: N functions -> y (d,)"""
    # BEGIN SOLUTION
    order = np.argsort(-probs)  # (N,), the most probable first
    many = 1 + np.sum(np.cumsum(probs[order]) < share)
    selected = order[:many]
    weights = probs[selected] / probs[selected].sum()  # (many,)
    return sum(w * experts[i](x) for w, i in zip(weights, selected, strict=True))
    # END SOLUTION


# %%
check("1.3", my_combine)

# %% [markdown]
# ## 1.4 Win as the least aligned
#
# {{about 1.4}}
#
# Below are a token and the prototypes of E1 and E2. Find a prototype for E3, two numbers, such that
#
# - E3 gets the largest logit of the three;
# - E3 is the **least** aligned of the three: its angle with the token is larger than E1's and larger than E2's;
# - it is **at most 3** long.
#
# Any answer with these properties is right. You can look for it in the compass: the token and the first two arrows are
# set, the third is yours to drag, and the table shows length, angle and logit.
#
# {{hints 1.4}}

# %% name="compass-1-4"
print("token:", GIVEN_TOKEN, "  E1:", GIVEN_PROTOTYPES[:, 0], "  E2:", GIVEN_PROTOTYPES[:, 1])
PrototypeCompass(token=GIVEN_TOKEN.tolist(), prototypes=[*GIVEN_PROTOTYPES.T.tolist(), [0.5, 0.5]], k=1)

# %% name="answer-1-4"
my_prototype = [2.5, -1.5]  # SOLUTION

# %%
check("1.4", my_prototype)

# %% [markdown]
# ## 1.5 Which token would it take?
#
# {{about 1.5}}
#
# Take the token of the lesson and its router, printed at the top, with k = 2 and renormalised weights. Its logits are
# −0.18, 0.30, 0.52 and −0.26, so E3 and E2 are selected. Now the token changes, and the router stays. Predict four
# things, on paper first. Three correct digits are enough.
#
# - `factor`: the token becomes c·x, with a number c above 0. For which c is the weight of E3 0.9?
# - `p3 / p2`: the probability of E3 divided by that of E2, for that token.
# - `selected for -x`: the selected *indices* for the token −x, best first, as a list.
# - `p3 / p2 for x/2`: the probability of E3 divided by that of E2, for half of the lesson's token.
#
# {{hints 1.5}}

# %% name="answer-1-5"
scaled = {
    "factor": ...,
    "p3 / p2": ...,
    "selected for -x": ...,
    "p3 / p2 for x/2": ...,
}

# %% name="solution-1-5" tags=["solution"]
gap = 0.52 - 0.30
scaled = {
    "factor": np.log(0.9 / 0.1) / gap,
    "p3 / p2": 0.9 / 0.1,
    "selected for -x": np.argsort(x @ W_g)[:2].tolist(),
    "p3 / p2 for x/2": np.exp(gap / 2),
}

# %%
check("1.5", scaled)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:01), which show one way of several. Then go on to the
# next lesson.
