# %% [markdown]
# # Exercises 11r · Review of lessons 08 to 11
#
# **Which idea does it take, now that you can train a router and look into one?** No question names its lesson.
# {{questions}}. Letters: the table in [](lesson:00).
#
# The questions are short. Three use [](lesson:10b), too. Write your answer where you see `...` or
# `raise NotImplementedError`, run that cell, then the `check` cell below it. You can check as often as you like. Stuck?
# Open a hint. Paper and a pocket calculator are enough for most.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_11r import LOAD_LINE, PAIR_LOG, two_tokens

# %% [markdown]
# ## 11r.1 One number, and the room it takes
#
# {{about 11r.1}}
#
# A log writes one line about a layer, and nothing of its capacity.

# %% name="given-11r-1"
print("experts {experts}, k = {k}, {tokens:,} tokens in the batch: MaxVio {violation}".format(**LOAD_LINE))

# %% [markdown]
# - `"fullest"`: how many assignments has the fullest expert?
# - `"factor"`: what is the smallest capacity factor with which nothing of this batch is dropped?
# - `"dropped at least"`: with a capacity factor of 1, how many **per cent** of all assignments are dropped **at the least**?
#   (The line tells of the fullest expert only. To one decimal.)
#
# {{hints 11r.1}}

# %% name="answer-11r-1"
my_room = {"fullest": ..., "factor": ..., "dropped at least": ...}

# %% name="solution-11r-1" tags=["solution"]
mean = 2 * 4096 / 32  # assignments of an expert
my_room = {
    "fullest": 1.625 * mean,
    "factor": 1.625,  # capacity counts in mean loads, too
    "dropped at least": 100 * 0.625 * mean / (2 * 4096),  # what the fullest has above the mean
}

# %%
check("11r.1", my_room)

# %% [markdown]
# ## 11r.2 Neighbours that agree
#
# {{about 11r.2}}
#
# Somebody reports how often a token has the same first choice as the token before it, and takes it for a sign that
# experts follow the subject. Of the loads (of first choices) only the coefficient of variation is told.

# %% name="given-11r-2"
print("experts {experts}, CV of the loads {cv}: neighbours agree in {share:.0%} of the pairs".format(**PAIR_LOG))

# %% [markdown]
# - `"by chance"`: in what share of the pairs would two tokens agree that draw from these loads without looking at each
#   other? (To three decimals.)
# - `"times"`: how many times as often as that do neighbours agree? (To two decimals.)
# - `"cv for all of it"`: with which CV of the loads would chance alone give the reported share? (To two decimals.)
#
# {{hints 11r.2}}

# %% name="answer-11r-2"
my_agreement = {"by chance": ..., "times": ..., "cv for all of it": ...}

# %% name="solution-11r-2" tags=["solution"]
by_chance = (1 + 0.6**2) / 16  # N times the mean of load²: (1/N)² and the variance, (0.6/N)²
my_agreement = {
    "by chance": by_chance,
    "times": 0.2 / by_chance,  # beside 1/N it would be 3.2
    "cv for all of it": np.sqrt(16 * 0.2 - 1),
}

# %%
check("11r.2", my_agreement)

# %% [markdown]
# ## 11r.3 One loss from four machines
#
# {{about 11r.3}}
#
# One layer works on several machines at once, each with a part of the batch. The parts are not equally large. Each machine sends
# how many assignments each expert got in its part, the mean probability of each expert over its part, and its number of
# tokens. So you are given numpy arrays: `counts` (parts, N), `P` (parts, N) and `tokens` (parts,). k is the same everywhere, and not told.
#
# Return the balance loss $N \sum_i f_i P_i$ of the **whole batch**, without a coefficient: one number.
#
# {{hints 11r.3}}


# %% name="answer-11r-3"
def my_whole_loss(counts, P, tokens):
    """counts, P (parts, N), tokens (parts,) -> the loss of the whole batch, one number"""
    # BEGIN SOLUTION
    f = counts.sum(axis=0) / counts.sum()  # (N,)
    return counts.shape[1] * f @ (tokens @ P) / tokens.sum()
    # END SOLUTION


# %%
check("11r.3", my_whole_loss)

# %% [markdown]
# ## 11r.4 The control that is missing
#
# {{about 11r.4}}
#
# Six conclusions. All numbers are right. In each one control is missing that could overturn it.
#
# | | what was found, and what is concluded |
# |---|---|
# | A | Two of eight experts began with a lead, put there by hand. With a balance loss the error after training is lower than without, in 20 of 20 seeds. *So balance makes a model better.* |
# | B | Of twelve schedules for τ the best one is better than τ = 1, which was run once. *So τ should have a schedule.* |
# | C | E3 is off. The loss of code rises by .03 nats for each of its tokens, that of prose by .01. E3 is chosen by 60 % of code's tokens and 20 % of prose's. *So what E3 does for a token matters more in code.* |
# | D | In a trained model the experts tell 0.3 bits about the domain, an untrained copy tells 0.1. *So the model has learned to recognise domains.* |
# | E | 64 experts, k = 1, batches of 640 tokens: MaxVio is 0.8, on average over many batches. *So the router plays favourites.* |
# | F | Bias and balance loss, tuned alike, 20 seeds, 300 steps: the bias leads by .014 ± .004. *So the bias is the better method for this model.* |
#
# Which control is missing most? Each is used once: `"even start"`, `"equal tuning"`, `"per served token"`, `"given the
# token"`, `"dice"`, `"longer training"`.
#
# {{hints 11r.4}}

# %% name="answer-11r-4"
my_controls = {"A": ..., "B": ..., "C": ..., "D": ..., "E": ..., "F": ...}

# %% name="solution-11r-4" tags=["solution"]
my_controls = {
    "A": "even start",  # the loss may only undo the lead
    "B": "equal tuning",  # the best of twelve tries against one
    "C": "per served token",  # .03/.6 and .01/.2 are the same
    "D": "given the token",  # a table from token to expert tells the domain, too
    "E": "dice",  # ten tokens an expert: dice give 0.81
    "F": "longer training",  # a snapshot
}

# %%
check("11r.4", my_controls)

# %% [markdown]
# ## 11r.5 Two ways to push
#
# {{about 11r.5}}
#
# One layer with four experts, k = 1. The loads f of the batch are given, and the probabilities of two of its tokens.

# %% name="given-11r-5"
f, p = two_tokens()  # (N,), (2, N)
print("loads f:     ", f)
print("token a has p", p[0])
print("token b has p", p[1])

# %% [markdown]
# For each expert, say `"up"` or `"down"`:
#
# - `"loss, token a"` and `"loss, token b"`: where does one small step along the negative gradient of the balance loss
#   move *this token's* logit of the expert?
# - `"bias"`: where does one step of balancing by a bias move the expert's bias?
#
# {{hints 11r.5}}

# %% name="answer-11r-5"
my_pushes = {
    "E1": {"loss, token a": ..., "loss, token b": ..., "bias": ...},
    "E2": {"loss, token a": ..., "loss, token b": ..., "bias": ...},
    "E3": {"loss, token a": ..., "loss, token b": ..., "bias": ...},
    "E4": {"loss, token a": ..., "loss, token b": ..., "bias": ...},
}

# %% name="solution-11r-5" tags=["solution"]
print("Σ f p of both tokens:", p @ f, " mean load:", f.mean())
my_pushes = {
    "E1": {"loss, token a": "down", "loss, token b": "down", "bias": "down"},
    "E2": {"loss, token a": "up", "loss, token b": "down", "bias": "down"},  # .30 is below .345
    "E3": {"loss, token a": "up", "loss, token b": "down", "bias": "up"},  # .20 is above .15
    "E4": {"loss, token a": "up", "loss, token b": "up", "bias": "up"},
}

# %%
check("11r.5", my_pushes)

# %% [markdown]
# ## 11r.6 The most that a choice can tell
#
# {{about 11r.6}}
#
# How many **bits** can the expert of a token (k = 1) tell about the token's domain, at the very most? Think of large
# samples: no bias of an estimate. (To two decimals.)
#
# - `"even"`: 16 experts with even loads; four domains, equally frequent.
# - `"leaning"`: two experts with the loads .75 and .25; the same four domains.
# - `"rare domain"`: 20 experts with even loads; two domains, one with 90 % of the tokens.
# - `"hash, given the token"`: 16 experts with even loads; four domains, equally frequent; a hash of the token id decides,
#   and what is asked is the information about the domain *given the token*.
#
# {{hints 11r.6}}

# %% name="answer-11r-6"
my_most_bits = {"even": ..., "leaning": ..., "rare domain": ..., "hash, given the token": ...}

# %% name="solution-11r-6" tags=["solution"]
my_most_bits = {
    "even": np.log2(4),  # there is no more to know of the domain
    "leaning": -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)),  # no more to say with the choice: three domains, and one
    "rare domain": -(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1)),  # 18 experts for one domain, 2 for the other
    "hash, given the token": 0,  # within one token it never differs
}

# %%
check("11r.6", my_most_bits)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:11r). Then go on to the [closing project](exercises:11p).
#
# <details><summary>In which lesson is the idea of each question?</summary>
#
# 11r.1: 09 and 10. 11r.2: 09 and 11. 11r.3: 10b. 11r.4: 08, 09, 10b and 11. 11r.5: 09 and 10b. 11r.6: 11, with the uneven
# loads of 09.
#
# </details>
