# %% [markdown]
# # Exercises 04 · Top-k gating and renormalisation
#
# {{questions}}, on [](lesson:04). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Use numpy (torch works too). Of the course's own functions you
# may use `softmax`, which is imported below, and what you wrote yourself; the gates are yours to write.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_04 import GIVEN_LOGITS, by_four_gates, stuck_gate
from moe_lessons.routing import softmax

# %% [markdown]
# ## 4.1 Keep the k largest
#
# {{about 4.1}}
#
# Return the logits with −∞ in place of all but the k largest of each token. It must work for one token, logits of
# shape (N,), and for a batch, (T, N); the result has the same shape. Exactly k are kept, even where logits are equal:
# of equal ones the lower index comes first.
#
# {{hints 4.1}}


# %% name="answer-4-1"
def my_keep_top_k(logits, k):
    """logits (N,) or (T, N) -> same shape, −∞ except for the k largest of each row"""
    # BEGIN SOLUTION
    best = np.argsort(-logits, axis=-1, kind="stable")[..., :k]  # (..., k)
    kept = np.full(logits.shape, -np.inf)  # (..., N)
    np.put_along_axis(kept, best, np.take_along_axis(logits, best, axis=-1), axis=-1)
    return kept
    # END SOLUTION


# %%
check("4.1", my_keep_top_k)

# %% [markdown]
# ## 4.2 Three gate forms
#
# {{about 4.2}}
#
# Return the gate weights of every expert, 0 where it is not selected. `form` is one of
#
# - `"topk_softmax"` (form A): cut, then a softmax over what is kept;
# - `"softmax_topk"` (form B): a softmax over all, then cut;
# - `"softmax_topk_renorm"` (form B′): as B, then divide by the sum.
#
# One token (N,) or a batch (T, N), as in 4.1. Exactly k experts have weight, even where logits are equal. You may call
# your own `my_keep_top_k`.
#
# {{hints 4.2}}


# %% name="answer-4-2"
def my_gate(logits, k, form):
    """logits (N,) or (T, N) -> weights of the same shape"""
    # BEGIN SOLUTION
    kept_logits = my_keep_top_k(logits, k)  # (..., N)
    if form == "topk_softmax":
        return softmax(kept_logits)  # (..., N)
    kept = np.where(np.isfinite(kept_logits), softmax(logits), 0)  # (..., N)
    if form == "softmax_topk":
        return kept
    return kept / kept.sum(axis=-1, keepdims=True)  # (..., N)
    # END SOLUTION


# %%
check("4.2", my_gate)

# %% [markdown]
# ## 4.3 Logits for which the form matters
#
# {{about 4.3}}
#
# "Whether one renormalises is a detail: the weights hardly change." Break this claim. With **k = 2**, find logits of one
# token, for as many experts as you like, such that form A and form B give some expert weights that differ by **more than
# 0.2**. Any logits with this property are right. Give them as a list.
#
# {{hints 4.3}}

# %% name="answer-4-3"
my_logits = [0.0] * 8  # SOLUTION

# %%
check("4.3", my_logits)

# %% [markdown]
# ## 4.4 Find the leak
#
# {{about 4.4}}
#
# Four programs were given the same token, with k = 2. Below are the logits, and the weights that each of them computed.
# One gate is sound, although its weights do not sum to 1. The others leak: experts that were not selected carry weight.

# %% name="given-4-4"
print("logits      ", GIVEN_LOGITS)
for number, weights in enumerate(by_four_gates(np.tile(GIVEN_LOGITS, (4, 1)), k=2), start=1):
    print(f"program {number}   ", weights.round(3), f" sum {weights.sum():.3f}")

# %% [markdown]
# Their authors tested that weights are positive and at most 1, and found nothing. Write the test that was missing: for
# each token of a batch, how much weight is on experts that are *not* selected? Exactly k are selected, even where logits
# are equal. The check calls your function with the weights of all four programs.
#
# {{hints 4.4}}


# %% name="answer-4-4"
def my_leak(logits, weights, k):
    """logits (T, N), weights (T, N) -> (T,), the weight on the unselected experts of each token"""
    # BEGIN SOLUTION
    unselected = np.isneginf(my_keep_top_k(logits, k))  # (T, N)
    return np.where(unselected, weights, 0).sum(axis=-1)  # (T,)
    # END SOLUTION


# %%
check("4.4", my_leak)

# %% [markdown]
# ## 4.5 Repair a router that cannot learn
#
# {{about 4.5}}
#
# The gate below keeps one expert and renormalises. Move its largest logit, and see what the weights do.

# %% name="given-4-5"
for largest in (0.52, 1.52, 5.2):
    print("logits", [-0.18, 0.30, largest, -0.26], "-> weights", stuck_gate([-0.18, 0.30, largest, -0.26]))

# %% [markdown]
# The weight never moves, so no slope of the loss can reach the router through it. Write a gate for one token that
# has not this fault. Many repairs are right. The check measures by small steps that
#
# - one or two experts run, those with the largest logits, and all others have weight exactly 0;
# - every weight is 0 or more, and the same logits always give the same weights;
# - the weight of each expert that runs rises when its own logit rises.
#
# {{hints 4.5}}


# %% name="answer-4-5"
def my_live_gate(logits):
    """logits (N,) -> weights (N,)"""
    # BEGIN SOLUTION
    return my_gate(logits, 1, "softmax_topk")  # as Switch does: the probability stays as it is
    # END SOLUTION


# %%
check("4.5", my_live_gate)

# %% [markdown]
# Rising with the logit is what a gradient needs. It is not yet learning the right thing: with k = 1 the router hears
# only whether the chosen expert helped, with k = 2 renormalised only which of the two was better. Lesson 07 takes that
# up.
#
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:04), which show one way of several. Then go on to the
# next lesson.
