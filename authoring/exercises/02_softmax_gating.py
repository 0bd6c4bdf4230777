# %% [markdown]
# # Exercises 02 · Softmax gating
#
# {{questions}}, on [](lesson:02). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Your functions get numpy arrays; scipy works, and torch, if you
# begin with `torch.as_tensor(x)`. Not the course's own functions: the check notices.

# %% name="setup" tags=["setup"]
import numpy as np
from scipy.optimize import brentq

from moe_lessons.checks import check, progress

# %% [markdown]
# ## 2.1 Several machines, one softmax
#
# {{about 2.1}}
#
# The experts of a layer lie on M machines. Each computes the logits of its own experts, for all T tokens. A softmax over
# *all* experts needs their log-sum-exp. So each machine sends two numbers for each token: its `largest` logit, and its
# `total`, the sum of e^(h − largest) over its own experts. Three logits 5, 5 and 4 make 5 and 1 + 1 + e⁻¹ = 2.37.
#
# You get both as numpy arrays of shape (M, T). Return the log-sum-exp of each token over the experts of all machines, of
# shape (T,).
#
# Logits may be as large as ±10⁴. Where all of a machine's experts are masked for a token, it sends −∞ and 0, and must
# count nothing. For each token at least one machine has something.
#
# {{hints 2.1}}


# %% name="answer-2-1"
def my_merged(largest, total):
    """largest (M, T), total (M, T) -> log-sum-exp over the experts of all machines (T,)"""
    # BEGIN SOLUTION
    top = largest.max(axis=0)  # (T,)
    sums = total * np.exp(largest - top)  # (M, T), all measured from the same logit
    return top + np.log(sums.sum(axis=0))  # (T,)
    # END SOLUTION


# %%
check("2.1", my_merged)

# %% [markdown]
# ## 2.2 Which gap does it take?
#
# {{about 2.2}}
#
# Predict three numbers, to two decimals or better. Try them on paper first.
#
# - `three quarters of 64`: of N = 64 experts, the 63 others share one logit. By how much must E1's logit be higher, so
#   that E1 gets a probability of three quarters?
# - `halved`: with N = 2, E1 has a probability of 0.8 and E2 of 0.2. Both logits are halved. What is E1's probability now?
# - `room at a gap of 3`: E1's logit is 3 above that of all others, which share one. How many *others* can there be at
#   most, if E1 is to hold at least one half? A whole number.
#
# {{hints 2.2}}

# %% name="answer-2-2"
gaps = {
    "three quarters of 64": ...,
    "halved": ...,
    "room at a gap of 3": ...,
}

# %% name="solution-2-2" tags=["solution"]
gaps = {
    "three quarters of 64": np.log(0.75 / (0.25 / 63)),
    "halved": 2 / (2 + 1),  # the ratio 4 becomes its square root
    "room at a gap of 3": 20,  # e³ is 20.09
}

# %%
check("2.2", gaps)

# %% [markdown]
# ## 2.3 The dense mixture
#
# {{about 2.3}}
#
# p holds the probabilities (T, N) of T tokens; outputs (T, N, d) holds what every expert made of every token. Return
# the mixture of each token, (T, d). One call of `np.einsum` can do it; any other way is fine too.
#
# {{hints 2.3}}


# %% name="answer-2-3"
def my_mixture(p, outputs):
    """p (T, N), outputs (T, N, d) -> y (T, d)"""
    # BEGIN SOLUTION
    return np.einsum("tn,tnd->td", p, outputs)
    # END SOLUTION


# %%
check("2.3", my_mixture)

# %% [markdown]
# ## 2.4 The test that was missing
#
# {{about 2.4}}
#
# The function below should give each token of a batch its probabilities. Yet its tokens compete with one another.


# %% name="given-2-4"
def buggy_route(x, W_g):
    """x (T, d), W_g (d, N) -> probabilities (T, N)"""
    h = x @ W_g
    e = np.exp(h - h.max(axis=0))
    return e / e.sum(axis=0)


rng = np.random.default_rng(2)
x, W_g = rng.normal(size=(3, 2)), rng.normal(size=(2, 4))  # (T, d), (d, N)
print("three tokens:", buggy_route(x, W_g).round(3), sep="\n")
print("the first token alone:", buggy_route(x[:1], W_g).round(3))

# %% [markdown]
# Here the rows do not sum to 1. Other routers have the same fault, and rows that do. So write the test that finds them
# all: `my_test(d, route)` gets a router and returns True if the probabilities of each token depend on *that token alone*,
# and False if they depend on the other tokens of the batch, on its place among them, or on how many there are.
#
# `route` is a function of one argument: x (T, d), any number of tokens, to probabilities (T, N). Its `W_g` is inside, N
# you see from what comes out. It has no memory, and you may call it as often as you like. The check hands you fresh
# routers, good and bad ones.
#
# Draw the tokens with `np.random.normal`. For eight of them, every bad router changes some probability by more than 0.001
# against what the same token gets alone; with fewer tokens, some hide. A good router differs by rounding only, by less than
# 10⁻⁶.
#
# {{hints 2.4}}


# %% name="answer-2-4"
def my_test(d, route):
    """d: width of a token, route: x (T, d) -> probabilities (T, N). Returns True or False."""
    # BEGIN SOLUTION
    x = np.random.normal(size=(8, d))  # (T, d)
    alone = [route(x[t : t + 1])[0] for t in range(8)]  # T rows (N,)
    return np.allclose(route(x), alone)
    # END SOLUTION


# %%
check("2.4", my_test)

# %% [markdown]
# ## 2.5 Normalised entropy
#
# {{about 2.5}}
#
# Write the entropy of probabilities over the last axis as a share of its maximum: 0 when one expert has everything, 1
# when all N are alike. Probabilities may be 0. It must work for one token (N,), a batch (T, N), and anything with more
# axes in front. Each share must be right to four digits, also the small one of a nearly decided token.
#
# {{hints 2.5}}


# %% name="answer-2-5"
def my_entropy(p):
    """p (..., N), each row sums to 1 -> from 0 to 1, (...)"""
    # BEGIN SOLUTION
    logs = np.log(np.where(p > 0, p, 1))  # (..., N), 0 where p is 0
    return -(p * logs).sum(axis=-1) / np.log(p.shape[-1])  # (...)
    # END SOLUTION


# %%
check("2.5", my_entropy)

# %% [markdown]
# ## 2.6 A router as undecided as you like
#
# {{about 2.6}}
#
# Does a low routing entropy show that a router knows something? Build the counterexample to order: a recipe that takes
# one token x (d,), a target H in nats between 0 and ln N, and N, and returns a matrix W_g (d, N) under which the
# entropy of softmax(x W_g) is H, to within 0.01 nats. Any W_g with this property is right, and no training is involved.
#
# Two tools are given: `nats(h)`, the entropy of softmax(h), and scipy's `brentq(f, a, b)`, which finds the number between
# a and b at which the function f changes its sign.
#
# {{hints 2.6}}


# %% name="given-2-6"
def nats(h):
    """h (N,) -> entropy of softmax(h) in nats"""
    e = np.exp(h - h.max())  # (N,)
    return np.log(e.sum()) - e @ (h - h.max()) / e.sum()


# %% name="answer-2-6"
def my_router(x, H, N):
    """x (d,), H in nats, N experts -> W_g (d, N) with routing entropy H for x"""
    # BEGIN SOLUTION
    first = np.eye(N)[0]  # (N,): E1 leads all others by one gap
    gap = brentq(lambda gap: nats(gap * first) - H, 0, 50)  # too undecided at 0, too decided at 50
    return np.outer(x, gap * first) / (x @ x)  # (d, N), so that x W_g = gap · first
    # END SOLUTION


# %%
check("2.6", my_router)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:02), which show one way of several. Then go on to the
# next lesson.
