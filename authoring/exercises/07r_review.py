# %% [markdown]
# # Exercises 07r · Review of lessons 04 to 07
#
# {{questions}}. **Which idea does it take, now that there are more to choose from?** No question names its lesson.
# Letters: the table in [](lesson:00).
#
# The questions are short. Some take a formula of a lesson, with other numbers or turned round; no cell answers one as it
# stands. Write your answer where you see `...` or `raise NotImplementedError`, run that cell, then the `check` cell below
# it. You can check as often as you like. Stuck? Open a hint. Paper and a pocket calculator are enough for most.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_07r import STEP_LOG, gradient_column, two_runs

# %% [markdown]
# ## 7r.1 One line of a log
#
# {{about 7r.1}}
#
# A server writes one line about a layer: how many of its experts at least one text of the batch used, on average over
# many steps. Each text has one token in a step. The k experts of a token are different ones; tokens choose evenly and
# independently.

# %% name="given-7r-1"
print("experts {experts}, batch of {texts} texts: {touched} experts touched".format(**STEP_LOG))

# %% [markdown]
# 1. What is k? (It is a whole number.)
# 2. How many experts would a batch of **32** texts touch? (To one decimal.)
#
# {{hints 7r.1}}

# %% name="answer-7r-1"
my_server = {"k": ..., "touched by 32": ...}

# %% name="solution-7r-1" tags=["solution"]
missed = 1 - STEP_LOG["touched"] / 64  # the share that no text of 16 chose
my_server = {
    "k": round(64 * (1 - missed ** (1 / 16))),
    "touched by 32": 64 * (1 - missed**2),  # the second 16 miss the same share
}

# %%
check("7r.1", my_server)

# %% [markdown]
# ## 7r.2 Somebody changed one key
#
# {{about 7r.2}}
#
# A trained layer (softmax over all experts, the best two are kept) was run twice on the same five tokens. Between the
# runs somebody changed **one** key of its configuration. The log holds the length of each token's output y in both runs,
# and the cosine between the two outputs.

# %% name="given-7r-2"
runs = two_runs()
for t in range(len(runs.first)):
    print(f"token {t + 1}: run 1 {runs.first[t]:.2f}, run 2 {runs.second[t]:.2f}, cosine {runs.cosine[t]:.3f}")

# %% [markdown]
# - `"key"`: which one was changed? `"norm_topk_prob"`, `"routed_scaling_factor"`, `"scoring_func"` (sigmoid in place of
#   softmax) or `"num_experts_per_tok"` (another k)?
# - `"true in"`: in which run does the layer divide by the sum of what is kept? `"run 1"` or `"run 2"`?
# - `"kept by token 3"`: how much of the probability do the two experts of token 3 hold together? (To two decimals.)
#
# {{hints 7r.2}}

# %% name="answer-7r-2"
my_finding = {"key": ..., "true in": ..., "kept by token 3": ...}

# %% name="solution-7r-2" tags=["solution"]
my_finding = {
    "key": "norm_topk_prob",  # the same direction, another factor for each token
    "true in": "run 1",  # divided by a sum below 1
    "kept by token 3": runs.second[2] / runs.first[2],
}

# %%
check("7r.2", my_finding)

# %% [markdown]
# ## 7r.3 A gradient with two gaps
#
# {{about 7r.3}}
#
# A layer of form B (softmax over all logits, then cut) has 6 experts and keeps two. For one token the log holds the
# probabilities and ∂L/∂h. Two numbers cannot be read.

# %% name="given-7r-3"
p, gradient = gradient_column()  # (N,) each
for i in range(6):
    shown = "      ?" if i in (1, 3) else f"{gradient[i]:+.4f}"
    print(f"E{i + 1} {'kept' if i in (1, 4) else 'cut '}   p {p[i]:.4f}   ∂L/∂h {shown}")

# %% [markdown]
# Fill in, to three decimals, what ∂L/∂h is
#
# - `"E4"`: at E4, which was cut;
# - `"E4, ten times its output"`: at E4, if E4's output for this token were ten times as large;
# - `"E4 in form A"`: at E4, if the layer were of form A (softmax over the two kept logits);
# - `"E2"`: at E2, which was kept.
#
# {{hints 7r.3}}

# %% name="answer-7r-3"
my_gaps = {"E4": ..., "E4, ten times its output": ..., "E4 in form A": ..., "E2": ...}

# %% name="solution-7r-3" tags=["solution"]
E4 = p[3] * gradient[0] / p[0]  # all cut logits hear −p times one number
my_gaps = {
    "E4": E4,
    "E4, ten times its output": E4,  # it did not run
    "E4 in form A": 0,
    "E2": -(gradient[[0, 2, 4, 5]].sum() + E4),  # all six sum to 0
}

# %%
check("7r.3", my_gaps)

# %% [markdown]
# ## 7r.4 How much of it is padding?
#
# {{about 7r.4}}
#
# Some hardware wants equal shapes. So a layer sorts its rows by expert, one row for each choice of a token, and then fills
# up **every** expert's rows with zeros until each of the N blocks has as many rows as the fullest. An expert that nobody
# chose gets a block of zeros. Then all blocks are multiplied at once.
#
# `selected` (T, k) holds the indices of the experts that each token chose. Return which share of all rows that are
# multiplied is padding: a number from 0 to 1.
#
# {{hints 7r.4}}


# %% name="answer-7r-4"
def my_padding(selected, N):
    """selected (T, k), N experts -> share of padding, one number"""
    # BEGIN SOLUTION
    loads = np.bincount(selected.ravel(), minlength=N)  # (N,)
    return 1 - loads.mean() / loads.max()
    # END SOLUTION


# %%
check("7r.4", my_padding)

# %% [markdown]
# ## 7r.5 How large is an expert's gradient?
#
# {{about 7r.5}}
#
# A dense FFN is compared with a layer of 32 experts, each as large as the FFN, of which every token keeps k = 4. Both get
# the same batch. To keep it simple: all experts get equally many tokens, every kept weight is 1/k, and every token would
# give the FFN and each expert the same gradient if its weight were 1. So only two things make an expert's gradient
# smaller than the FFN's.
#
# Compared with the FFN (1 is equal; fractions such as `1 / 7` are welcome, or three decimals):
#
# - `"tokens"`: how many tokens does one expert get?
# - `"gradient"`: how large is the gradient of the batch's loss with respect to one expert's weights?
# - `"gradient, k = 8"`: and if every token keeps 8 experts, each with weight 1/8?
# - `"way of Adam"`: trained for 100 steps with **Adam**, all gradients of the expert smaller by that factor: how far do
#   its weights go? (k = 4)
#
# {{hints 7r.5}}

# %% name="answer-7r-5"
my_sizes = {"tokens": ..., "gradient": ..., "gradient, k = 8": ..., "way of Adam": ...}

# %% name="solution-7r-5" tags=["solution"]
my_sizes = {
    "tokens": 4 / 32,
    "gradient": 4 / 32 * 1 / 4,
    "gradient, k = 8": 8 / 32 * 1 / 8,  # k cancels
    "way of Adam": 1,  # a constant factor cancels
}

# %%
check("7r.5", my_sizes)

# %% [markdown]
# ## 7r.6 What it costs to be heard
#
# {{about 7r.6}}
#
# A layer has 64 experts, and a token in training. By its logit, E50 is *not* among the best four. For five layers, say
#
# - `"runs"`: how many of the 64 experts must run for this token, for the output and the router's gradient together?
# - `"hears"`: what does E50's logit hear of the loss? `"nothing"` (exactly 0), `"a push"` (something, but nothing of
#   E50's output), or `"its worth"` (E50's output counts)?
#
# | row | layer |
# |---|---|
# | `"form A"` | keeps 4, softmax over the kept logits |
# | `"form B"` | keeps 4, softmax over all logits |
# | `"straight-through"` | output of form A with 4 kept, gradient of the softmax mixture of all 64 experts |
# | `"form A, k = 64"` | keeps all |
# | `"mask of 0"` | all but the best 4 logits are overwritten with 0, then a softmax; every expert with weight runs |
#
# {{hints 7r.6}}

# %% name="answer-7r-6"
my_bill = {
    "form A": {"runs": ..., "hears": ...},
    "form B": {"runs": ..., "hears": ...},
    "straight-through": {"runs": ..., "hears": ...},
    "form A, k = 64": {"runs": ..., "hears": ...},
    "mask of 0": {"runs": ..., "hears": ...},
}

# %% name="solution-7r-6" tags=["solution"]
my_bill = {
    "form A": {"runs": 4, "hears": "nothing"},
    "form B": {"runs": 4, "hears": "a push"},  # through the sum that all are divided by
    "straight-through": {"runs": 64, "hears": "its worth"},
    "form A, k = 64": {"runs": 64, "hears": "its worth"},
    "mask of 0": {"runs": 64, "hears": "nothing"},  # E50 has weight, but its logit was overwritten
}

# %%
check("7r.6", my_bill)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:07r). Then go on to [](lesson:08).
#
# <details><summary>In which lesson is the idea of each question?</summary>
#
# 7r.1: 06. 7r.2: 04. 7r.3: 07. 7r.4: 05. 7r.5: 06 and 07. 7r.6: 07, with the work of 05 and the mask of 04.
#
# </details>
