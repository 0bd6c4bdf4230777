# %% [markdown]
# # Exercises 02 · Softmax gating
#
# {{questions}}, on [](lesson:02). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Use numpy (scipy and torch work too), but not the course's own
# functions: the check notices.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import check, progress

# %% [markdown]
# ## 2.1 A softmax for every logit
#
# {{about 2.1}}
#
# Write a softmax over the last axis. h is one token (N,) or a batch (T, N). Logits may be as large as ±10⁴, and single
# ones may be −∞: such an expert gets exactly 0. What comes out has the shape and the dtype of h.
#
# {{hints 2.1}}


# %% name="answer-2-1"
def my_softmax(h):
    """h (..., N) -> probabilities (..., N), same dtype; each row sums to 1"""
    # BEGIN SOLUTION
    e = np.exp(h - h.max(axis=-1, keepdims=True))  # (..., N)
    return e / e.sum(axis=-1, keepdims=True)  # (..., N)
    # END SOLUTION


# %%
check("2.1", my_softmax)

# %% [markdown]
# ## 2.2 Which gap does it take?
#
# {{about 2.2}}
#
# Predict four numbers, to two decimals or better. Try them on paper first.
#
# - `7 times`: E1 is to be 7 times as likely as E2. Which gap h1 − h2 does that take?
# - `a quarter`: E1 is to be a quarter as likely as E2. Which gap h1 − h2?
# - `half of 64`: of N = 64 experts, the 63 others share one logit. By how much must E1's logit be higher, so that E1 gets
#   a probability of one half?
# - `doubled`: E1 is 7 times as likely as E2. All logits are multiplied by 2. How many times as likely is it now?
#
# {{hints 2.2}}

# %% name="answer-2-2"
gaps = {
    "7 times": ...,
    "a quarter": ...,
    "half of 64": ...,
    "doubled": ...,
}

# %% name="solution-2-2" tags=["solution"]
gaps = {
    "7 times": np.log(7),
    "a quarter": np.log(1 / 4),
    "half of 64": np.log(63),
    "doubled": np.exp(2 * np.log(7)),
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
# ## 2.4 Find the bug: whose probabilities are these?
#
# {{about 2.4}}
#
# The function below should route a batch: x (T, d) and W_g (d, N) in, the probabilities (T, N) of each token out. It
# runs without an error, and its numbers look like probabilities. It is wrong all the same.


# %% name="given-2-4"
def buggy_route(x, W_g):
    """x (T, d), W_g (d, N) -> probabilities (T, N)"""
    h = x @ W_g
    e = np.exp(h - h.max(axis=0))
    return e / e.sum(axis=0)


rng = np.random.default_rng(2)
x, W_g = rng.normal(size=(3, 2)), rng.normal(size=(2, 4))  # (T, d), (d, N)
print("three tokens:", buggy_route(x, W_g).round(3), sep="\n")
print("sums of the rows:   ", buggy_route(x, W_g).sum(axis=1).round(3))
print("sums of the columns:", buggy_route(x, W_g).sum(axis=0).round(3))
print("the first token alone:", buggy_route(x[:1], W_g).round(3))

# %% [markdown]
# Write the function as it should be. It has to keep what is good in the one above: no overflow, whatever the logits.
#
# {{hints 2.4}}


# %% name="answer-2-4"
def my_route(x, W_g):
    """x (T, d), W_g (d, N) -> probabilities (T, N)"""
    # BEGIN SOLUTION
    logits = x @ W_g  # (T, N)
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))  # (T, N)
    return e / e.sum(axis=-1, keepdims=True)  # (T, N)
    # END SOLUTION


# %%
check("2.4", my_route)

# %% [markdown]
# ## 2.5 Normalised entropy
#
# {{about 2.5}}
#
# Write the entropy of probabilities over the last axis as a share of its maximum: 0 when one expert has everything, 1
# when all N are alike. Probabilities may be 0. It must work for one token (N,), a batch (T, N), and anything with more
# axes in front.
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
# {{hints 2.6}}


# %% name="answer-2-6"
def my_router(x, H, N):
    """x (d,), H in nats, N experts -> W_g (d, N) with routing entropy H for x"""
    # BEGIN SOLUTION
    low, high = 0.0, 50.0  # gaps: at `low` the entropy is too high, at `high` too low
    for _ in range(60):
        gap = (low + high) / 2
        p = np.append(np.exp(gap), np.ones(N - 1)) / (np.exp(gap) + N - 1)  # (N,)
        low, high = (gap, high) if -(p * np.log(p)).sum() > H else (low, gap)
    logits = np.append(gap, np.zeros(N - 1))  # (N,)
    return np.outer(x, logits) / (x @ x)  # (d, N), so that x W_g = logits
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
