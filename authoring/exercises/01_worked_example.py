# %% [markdown]
# # Exercises 01 · The worked example
#
# {{questions}}, on [](lesson:01). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Use numpy (torch works too), but not the course's own
# functions: the check notices.

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
# ## 1.1 Logits
#
# {{about 1.1}}
#
# Write the router: it scores every expert for a token. It must work for one token, x of shape (d,), with a result of
# shape (N,), and for a batch, x of shape (T, d), with a result of shape (T, N).
#
# {{hints 1.1}}


# %% name="answer-1-1"
def my_logits(x, W_g):
    """x (d,) or (T, d), W_g (d, N) -> logits (N,) or (T, N)"""
    # BEGIN SOLUTION
    return x @ W_g
    # END SOLUTION


# %%
check("1.1", my_logits)

# %% [markdown]
# Try it on the token of the lesson in a cell of your own, `my_logits(x, W_g)`: you should see −0.18, 0.30, 0.52, −0.26.
#
# ## 1.2 The full trace of one token
#
# {{about 1.2}}
#
# Write all steps for one token x of shape (d,): the logits of all N experts, the probabilities of all N, the indices
# of the k selected experts (the largest logit first), and the gate weights: one for each of the N experts, 0 where it
# is not selected, and summing to 1.
#
# {{hints 1.2}}


# %% name="answer-1-2"
def my_trace(x, W_g, k):
    """x (d,), W_g (d, N) -> logits (N,), probs (N,), selected (k,), weights (N,)"""
    # BEGIN SOLUTION
    logits = x @ W_g  # (N,)
    exponentials = np.exp(logits - logits.max())  # (N,)
    probs = exponentials / exponentials.sum()  # (N,)
    selected = np.argsort(-logits)[:k]  # (k,)
    weights = np.zeros_like(probs)  # (N,)
    weights[selected] = probs[selected] / probs[selected].sum()
    return logits, probs, selected, weights
    # END SOLUTION


# %%
check("1.2", my_trace)

# %% [markdown]
# ## 1.3 Combine the experts
#
# {{about 1.3}}
#
# `experts` is a list of N functions, each from a vector (d,) to a vector (d,). Return the weighted sum of their
# outputs, and call only those whose weight is above 0, each once. The check counts the calls.
#
# {{hints 1.3}}


# %% name="answer-1-3"
def my_combine(x, weights, experts):
    """x (d,), weights (N,), experts: N functions -> y (d,)"""
    # BEGIN SOLUTION
    y = np.zeros_like(x)  # (d,)
    for i in np.flatnonzero(weights):
        y = y + weights[i] * experts[i](x)
    return y
    # END SOLUTION


# %%
check("1.3", my_combine)

# %% [markdown]
# ## 1.4 Win without being the most aligned
#
# {{about 1.4}}
#
# Below are a token and the prototypes of E1 and E2. Find a prototype for E3, two numbers, so that E3 gets the largest
# logit although another expert's prototype makes a smaller angle with the token. Any answer with this property is right.
# You can look for it in the compass: the token and the first two arrows are set, the third is yours to drag.
#
# {{hints 1.4}}

# %% name="compass-1-4"
print("token:", GIVEN_TOKEN, "  E1:", GIVEN_PROTOTYPES[:, 0], "  E2:", GIVEN_PROTOTYPES[:, 1])
PrototypeCompass(token=GIVEN_TOKEN.tolist(), prototypes=[*GIVEN_PROTOTYPES.T.tolist(), [0.5, 0.5]], k=1)

# %% name="answer-1-4"
my_prototype = [3.0, 0.0]  # SOLUTION

# %%
check("1.4", my_prototype)

# %% [markdown]
# ## 1.5 What doubling the token changes
#
# {{about 1.5}}
#
# Take the token of the lesson, printed at the top, and its router with k = 2. Now the token becomes 2x. Predict four
# entries of the new trace: the logit of E3; the selected *indices*, best first, as a list; the probability of E3
# divided by that of E2; the gate weight of E3. Three correct digits are enough. Try on paper, then compute.
#
# {{hints 1.5}}

# %% name="answer-1-5"
doubling = {
    "logit of E3": ...,
    "selected": ...,
    "p3 / p2": ...,
    "weight of E3": ...,
}

# %% name="solution-1-5" tags=["solution"]
_, probs, selected, weights = my_trace(2 * x, W_g, k=2)
doubling = {
    "logit of E3": 2 * 0.52,
    "selected": selected.tolist(),
    "p3 / p2": np.exp(2 * (0.52 - 0.30)),
    "weight of E3": weights[2],
}

# %%
check("1.5", doubling)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:01), which show one way of several. Then go on to the
# next lesson.
