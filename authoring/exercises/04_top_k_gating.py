# %% [markdown]
# # Exercises 04 · Top-k gating and renormalisation
#
# {{questions}}, on [](lesson:04). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Your functions get numpy arrays, not lists. Torch works too, if
# you begin with `torch.as_tensor(logits)`. Of the course's own functions you may use `softmax`, which is imported below,
# and what you wrote yourself; the gates are yours to write.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_04 import GIVEN_LOGITS, given_layers, stuck_gate
from moe_lessons.routing import softmax

# %% [markdown]
# ## 4.1 Keep k, another k for every token
#
# {{about 4.1}}
#
# Not every router keeps the same number of experts for each token: with a threshold on the probability (lesson 03) one
# token gets a single expert, and the next gets five. Return the logits with −∞ in place of all but the k largest of each
# token. It must work for one token, logits of shape (N,), and for a batch, (T, N); the result has the same shape. `k` is
# a whole number, or in a batch an array of T whole numbers, one for each token, from 1 to N.
#
# Exactly k are kept, even where logits are equal: of equal ones the lower index comes first.
#
# {{hints 4.1}}


# %% name="answer-4-1"
def my_keep_top_k(logits, k):
    """logits (N,) or (T, N); k a whole number or (T,) -> same shape, −∞ except for the k largest of each row"""
    # BEGIN SOLUTION
    best_first = np.argsort(-logits, axis=-1, kind="stable")  # (..., N), who comes in each place
    rank = np.argsort(best_first, axis=-1)  # (..., N), in which place each expert comes
    return np.where(rank < np.expand_dims(k, -1), logits, -np.inf)  # (..., N)
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
# One token (N,) or a batch (T, N), as in 4.1. Here k is one whole number. Exactly k experts are selected, those with the
# largest logits, of equal ones the lower index first. Logits may lie hundreds away from 0. You may call your own
# `my_keep_top_k`.
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
# "Whether one renormalises is a detail: the weights hardly change." "No, form A and form B are worlds apart." Show that
# for one and the same token it depends on k. Find its logits, for **6 or more** experts, such that
#
# - with **k = 2**, form A and form B give some expert weights that differ by **more than 0.2**;
# - with **k = 4**, no expert's weights in the two forms differ by 0.05 or more: **less than 0.05** for each.
#
# Any logits with both properties are right. Give them as a list. To try some, call your `my_gate` in a cell of your own.
#
# {{hints 4.3}}

# %% name="answer-4-3"
my_logits = [0.0] * 4 + [-5.0] * 2  # SOLUTION

# %%
check("4.3", my_logits)

# %% [markdown]
# ## 4.4 The leak, seen from outside
#
# {{about 4.4}}
#
# Four programs were given the same token, with k = 2. They do not show their weights. You only get a function: `layer`
# takes what the N experts return for this token, an array of shape (N, d), and gives back y, of shape (d,): their sum,
# weighted with the program's own weights.

# %% name="given-4-4"
outputs = np.array([[0.6, -0.2], [1.0, 0.5], [-0.4, 0.9], [0.3, 1.1], [-0.8, 0.1]])  # (N, d)
print("logits", GIVEN_LOGITS)
for number, layer in enumerate(given_layers(), start=1):
    print(f"program {number}: y = {layer(outputs).round(3)}")

# %% [markdown]
# One gate is sound, although its weights do not sum to 1. The others leak: experts that were not selected carry weight.
# Their authors tested that weights are positive and at most 1, and found nothing. Nor does y show anything. But you may
# hand over *any* outputs, for any d, as often as you like.
#
# Write the test that was missing: how much weight is on all the experts together that are *not* selected? Exactly k are
# selected, those with the largest logits, of equal ones the lower index first. The check calls your function for one
# token at a time, with all four programs and others, on fresh logits.
#
# {{hints 4.4}}


# %% name="answer-4-4"
def my_leak(logits, k, layer):
    """logits (N,); layer: a function, outputs (N, d) -> y (d,) -> the weight on the unselected experts, a number"""
    # BEGIN SOLUTION
    weights = layer(np.eye(len(logits)))  # (N,): each expert returns a 1 in a place of its own
    unselected = np.isneginf(my_keep_top_k(logits, k))  # (N,)
    return weights[unselected].sum()
    # END SOLUTION


# %%
check("4.4", my_leak)

# %% [markdown]
# ## 4.5 A lone expert that hears only itself
#
# {{about 4.5}}
#
# The gate below keeps one expert and renormalises. Move its largest logit, and see what the weights do.

# %% name="given-4-5"
for largest in (0.52, 1.52, 5.2):
    logits = np.array([-0.18, 0.30, largest, -0.26])
    print("logits", logits, "-> weights", stuck_gate(logits))

# %% [markdown]
# The weight never moves, so no slope of the loss can reach the router through it. Form B would move, but with *every*
# logit of the token. Write a gate for one token in which the chosen expert hears only itself. Many repairs are right.
# For logits from −5 to 5 the check looks whether
#
# - exactly one expert runs, the one with the largest logit (of equal ones the lower index), and all others have weight
#   exactly 0;
# - its weight lies strictly between 0 and 1, and the same logits always give the same weights;
# - its weight rises when its own logit rises;
# - its weight stays when the other logits move, as long as none of them passes it.
#
# {{hints 4.5}}


# %% name="answer-4-5"
def my_live_gate(logits):
    """logits (N,) -> weights (N,)"""
    # BEGIN SOLUTION
    best = logits.argmax()  # of equal logits the first
    weights = np.zeros(len(logits))  # (N,)
    weights[best] = 1 / (1 + np.exp(-logits[best]))  # a sigmoid needs no rival
    return weights
    # END SOLUTION


# %%
check("4.5", my_live_gate)

# %% [markdown]
# Rising with the logit is what a gradient needs. It is not yet learning the right thing: with k = 1 the router hears
# only whether the chosen expert helped, not whether another one would have been better. Lesson 07 takes that up.
#
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:04), which show one way of several. Then go on to the
# next lesson.
