# %% [markdown]
# # Exercises 04r · Review of lessons 01 to 04
#
# {{questions}}. **Which of the ideas so far does it take?** No question names its lesson. Letters: the table in
# [](lesson:00).
#
# The questions are short. Some take a formula of a lesson, with other numbers or turned round; no cell answers one as it
# stands. One uses [](lesson:02b), which is short and optional. Write your answer where you see `...`, run that cell, then
# the `check` cell below it. You can check as often as you like. Stuck? Open a hint.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_04r import drawn_log, rows_of_programs, three_routers
from moe_lessons.precision import to_bfloat16, to_float16
from moe_lessons.routing import log_sum_exp, softmax

# %% [markdown]
# ## 4r.1 The temperature of a log
#
# {{about 4r.1}}
#
# A chat model gives three words always the same scores: red 4.1, blue 3.2, green 1.4. Somebody set a temperature τ,
# wrote nothing down, and let it draw. The log counts the draws.

# %% name="given-4r-1"
print("drawn:", drawn_log())

# %% [markdown]
# 1. Which τ was it? (To two decimals; 0.03 off is right.)
# 2. A router uses the same three numbers as the logits of three experts, with the same τ. It keeps one expert, without
#    noise. A thousand tokens arrive with just these logits. What per cent of them go to the second expert, "blue"?
#
# {{hints 4r.1}}

# %% name="answer-4r-1"
my_readings = {"tau": ..., "to blue": ...}

# %% name="solution-4r-1" tags=["solution"]
count = drawn_log()
my_readings = {
    "tau": (4.1 - 3.2) / np.log(count["red"] / count["blue"]),
    "to blue": 0,  # red is first for each of these tokens, at every τ
}

# %%
check("4r.1", my_readings)

# %% [markdown]
# ## 4r.2 Which gate made these rows?
#
# {{about 4r.2}}
#
# Four programs route one token among five experts, with k = 2. You do not see the logits. You see the weights three
# times: for the logits as they are, with 3 added to each logit, and with each logit times 4.

# %% name="given-4r-2"
for program, rows in rows_of_programs().items():
    for logits, weights in rows.items():
        print(f"{program}, logits {logits:<16}", *(f"{w:.3f}" for w in weights), f"  sum {weights.sum():.3f}")

# %% [markdown]
# Name the gate of each program. Two of the names are nobody's.
#
# | name | gate |
# |---|---|
# | `"form A"` | softmax over the two kept logits |
# | `"form B"` | softmax over all logits, then cut |
# | `"masked with 0"` | as form A, but the cut logits become 0, not −∞ |
# | `"nothing cut"` | softmax over all logits |
# | `"softmax twice"` | softmax over all logits, cut, then a softmax over the two kept *probabilities* |
# | `"sigmoid"` | the sigmoid of each kept logit, divided by the sum of the two |
#
# {{hints 4r.2}}

# %% name="answer-4r-2"
my_gates = {"program 1": ..., "program 2": ..., "program 3": ..., "program 4": ...}

# %% name="solution-4r-2" tags=["solution"]
my_gates = {
    "program 1": "sigmoid",  # two weights, which a shift moves
    "program 2": "softmax twice",  # as form A at first, but four times as large logits leave it undecided
    "program 3": "masked with 0",  # three cut experts with equal weight
    "program 4": "form B",  # the sum is not 1
}

# %%
check("4r.2", my_gates)

# %% [markdown]
# ## 4r.3 How long must the column be?
#
# {{about 4r.3}}
#
# A token's x has length 3. In `W_g` the column of E2 has length 1 and points the same way as x. The column of E1 stands
# at 60° to x. How long must E1's column be, so that E1 gets **three times** E2's probability? (To two decimals.) What
# the other experts' columns are does not matter.
#
# {{hints 4r.3}}

# %% name="answer-4r-3"
my_length = (3 * 1 + np.log(3)) / (3 * np.cos(np.radians(60)))  # SOLUTION

# %%
check("4r.3", my_length)

# %% [markdown]
# ## 4r.4 Which do you believe?
#
# {{about 4r.4}}
#
# Three routers get the same 1,000 tokens. Router Y is router X with every logit times 4. None has a bias or noise. The
# log shows means over the tokens; entropies are in nats.

# %% name="given-4r-4"
for name, h in three_routers().items():  # h (T, N)
    p = softmax(h)  # (T, N)
    entropy = log_sum_exp(h) - (p * h).sum(axis=-1)  # (T,)
    print(f"{name}: N = {h.shape[1]:>2}   entropy {entropy.mean():.2f}   largest p {p.max(axis=-1).mean():.2f}"
          f"   LSE {log_sum_exp(h).mean():5.2f}")  # fmt: skip

# %% [markdown]
# - **a** For every token, X and Y have the same expert in first place.
# - **b** Y's largest p is about twice X's, so Y's first choice is the right expert more often than X's.
# - **c** Measured by what its number of experts allows, Z is more decided than X.
# - **d** X has a larger LSE than Z. That alone shows which of the two is more decided.
# - **e** Add 2 to each of Z's logits: of Z's numbers in the log, only the LSE changes.
# - **f** Where one of Z's experts leads each of the others by a gap of 2, it has more than half of the probability.
#
# For each sentence write `True` or `False`.
#
# {{hints 4r.4}}

# %% name="answer-4r-4"
my_beliefs = {"a": ..., "b": ..., "c": ..., "d": ..., "e": ..., "f": ...}

# %% name="solution-4r-4" tags=["solution"]
my_beliefs = {
    "a": True,  # a factor above 0 keeps the order
    "b": False,  # the same choices are right equally often
    "c": 2.84 / np.log(64) < 1.61 / np.log(8),
    "d": False,  # the LSE is the level
    "e": True,  # no gap changes
    "f": 1 / (1 + 63 * np.exp(-2)) > 0.5,  # 63 others have their part
}

# %%
check("4r.4", my_beliefs)

# %% [markdown]
# ## 4r.5 Two logits, taken for one
#
# {{about 4r.5}}
#
# A router keeps one of two experts, the one with the larger logit; of equal logits the lower index, E1. Find two logits,
# E1's and E2's, such that
#
# - E2 leads by **0.6 or more**, so E2 is right;
# - stored in **bfloat16** (8 significant bits), the router keeps E1;
# - stored in **float16** (11 significant bits, up to 65,504), it keeps E2.
#
# Many pairs are right. `to_bfloat16([a, b])` and `to_float16([a, b])` show what is stored.
#
# {{hints 4r.5}}

# %% name="answer-4r-5"
my_two_logits = [128.6, 129.3]  # SOLUTION

# %% name="try-4r-5"
print("try things here:", to_bfloat16([1.0, 2.6]), to_float16([1.0, 2.6]))

# %%
check("4r.5", my_two_logits)

# %% [markdown]
# ## 4r.6 What can it change?
#
# {{about 4r.6}}
#
# A router keeps k = 2 of 8 experts by the largest logits, and takes a softmax over the two. Then one thing is changed.
# What can be different afterwards?
#
# - `"nothing"`: every token keeps its two experts and their weights (but for rounding);
# - `"weights"`: every token keeps its two experts, but weights can move;
# - `"choice"`: some tokens can get other experts.
#
# | | the change |
# |---|---|
# | A | one and the same vector is added to every column of `W_g` |
# | B | E2's column of `W_g` is multiplied by 3 |
# | C | every column of `W_g` is multiplied by 3 |
# | D | the residual stream is multiplied by 100; x is its RMSNorm, as always |
# | E | here noise is added to the logits, and the sum is divided by τ; the choice and the softmax both take the result; τ rises from 1 to 4, with the same noise |
# | F | here the best two are those of sigmoid(h/τ) + b, with a fixed bias b for each expert; τ rises from 1 to 4 |
# | G | the softmax is taken over all logits, then cut, and the two that stay are divided by their sum |
#
# {{hints 4r.6}}

# %% name="answer-4r-6"
my_changes = {"A": ..., "B": ..., "C": ..., "D": ..., "E": ..., "F": ..., "G": ...}

# %% name="solution-4r-6" tags=["solution"]
my_changes = {
    "A": "nothing",  # every logit rises by x · v
    "B": "choice",  # one logit is tripled, the others are not
    "C": "weights",  # every gap is tripled
    "D": "nothing",  # the norm divides the factor out
    "E": "weights",  # noise and gaps are divided alike
    "F": "choice",  # the bias is not divided
    "G": "nothing",  # it is the same function
}

# %%
check("4r.6", my_changes)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:04r). Then go on to [](lesson:05).
#
# <details><summary>In which lesson is the idea of each question?</summary>
#
# 4r.1: 03. 4r.2: 04, with shifts from 02. 4r.3: 01, with gaps from 02. 4r.4: 02. 4r.5: 02b. 4r.6: 01, 02, 03 and 04.
#
# </details>
