# %% [markdown]
# # Exercises 06 · Counting the cost
#
# {{questions}}, on [](lesson:06). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Plain Python and a little numpy are enough. The course's own
# counts (`moe_lessons.accounting`) are for 6.3 and 6.4; write 6.1 and 6.2 yourself.

# %% name="setup" tags=["setup"]
from dataclasses import replace

import numpy as np

from moe_lessons.accounting import PUBLISHED, flops_per_token, parameters_read, weight_bytes
from moe_lessons.checks import check, progress

# %% [markdown]
# ## 6.1 Counts for a model of today
#
# {{about 6.1}}
#
# In Mixtral all layers are alike. In many configurations of today they are not. A decoder has `layers` layers of width
# `d`. Each has attention: four matrices of d × d. Then
#
# - the first `dense_layers` have **one dense SwiGLU**: three matrices of d × `d_ff_dense`. They have no router and no
#   experts;
# - the others have a **router**, d × N, and N **routed experts**, SwiGLUs of three matrices of d × `d_ff`. A token meets
#   k of them. Beside them stand `shared` **shared experts** of the same width. The router does not know them; every token
#   meets all of them.
#
# Around the layers stand the input embedding, in which a token looks up one row, and the output head, a product with all
# rows. Both are vocab × d. With `tied=False` they are two matrices. With `tied=True` **one matrix serves as both**. It is
# stored once, and at the output it is a product as before.
#
# There are no biases. Leave the norms out. Return three numbers:
#
# - `total`: all parameters that are stored;
# - `active`: the parameters that one token meets, each counted once. Two embeddings count in full, both of them; a tied
#   matrix counts in full, once;
# - `FLOPs`: of one token's forward pass, 2 for each weight of a product. A lookup costs none. Leave the attention
#   scores out.
#
# All sizes are whole numbers, k from 1 to N, `dense_layers` from 0 to layers − 1, `shared` from 0 on; `tied` is True or
# False. Where `dense_layers` is 0, `d_ff_dense` means nothing, whatever it is.
#
# {{hints 6.1}}


# %% name="answer-6-1"
def my_counts(layers, d, vocab, N, k, d_ff, shared=0, dense_layers=0, d_ff_dense=0, tied=False):
    """sizes of the model -> total, active, FLOPs"""
    # BEGIN SOLUTION
    sparse_layers = layers - dense_layers
    expert = 3 * d * d_ff
    dense = dense_layers * 3 * d * d_ff_dense
    head = vocab * d
    always = layers * 4 * d * d + dense + sparse_layers * (d * N + shared * expert) + head
    lookup = 0 if tied else vocab * d  # the tied matrix is the head
    total = always + sparse_layers * N * expert + lookup
    products = always + sparse_layers * k * expert
    return total, products + lookup, 2 * products
    # END SOLUTION


# %%
check("6.1", my_counts)

# %% [markdown]
# ## 6.2 Uneven experts, touched
#
# {{about 6.2}}
#
# A batch of B tokens passes one layer of N experts, and each token chooses k different ones. But the router has
# favourites: `q` holds for each expert the probability that a token has it **among its k**. So q is an array of N
# numbers from 0 to 1, both included, and they sum to k. The tokens choose independently of each other. `batch` is B, a
# whole number from 1 on.
#
# An expert is touched if at least one token of the batch chooses it. Return the expected *number* of experts touched: a
# formula, not a simulation.
#
# {{hints 6.2}}


# %% name="answer-6-2"
def my_touched(q, batch):
    """q (N,): each expert's chance to be among a token's k; batch tokens -> expected number of experts touched"""
    # BEGIN SOLUTION
    missed_by_all = (1 - q) ** batch  # (N,)
    return (1 - missed_by_all).sum()
    # END SOLUTION


# %%
check("6.2", my_touched)

# %% name="solution-6-2" tags=["solution"]
favourites = np.array([1, 0.4, 0.2, 0.15, 0.1, 0.1, 0.05, 0])  # (N,), k = 2
print("tokens, touched of 8 by an even router, and by one with favourites")
for B in (1, 4, 16):
    print(f"{B:>2} {my_touched(np.full(8, 2 / 8), B):5.2f} {my_touched(favourites, B):5.2f}")

# %% [markdown]
# Now print both for 4 tokens and k = 2: `np.full(8, 2 / 8)` and `np.array([1, 0.4, 0.2, 0.15, 0.1, 0.1, 0.05, 0])`. The
# even router touches more, so its step reads more weights: the formula of the lesson is the most that independent tokens
# read.
#
# ## 6.3 A model under two budgets
#
# {{about 6.3}}
#
# Design a model as in 6.1 with `vocab = 32_000`, all layers alike: no dense layers, no shared experts, not tied. All
# experts are equally likely. It must
#
# 1. need at most **24 GB** (24·10⁹ bytes) for its weights, at 16 bits each;
# 2. have at least **10 billion** parameters in all;
# 3. cost at most **2 GFLOPs** (2·10⁹) for one token, forward;
# 4. let each token meet at least **400 million** weights of routed experts, all layers together;
# 5. touch at most **40 %** of a layer's experts with a batch of 8 tokens, in expectation;
# 6. have routers that cost at most **1 %** of the FLOPs of the k experts.
#
# At least 8 layers, and d at least 1024. Any design that keeps to this is right. Your functions from 6.1 and 6.2 tell
# you most of what you need: `my_counts(layers, d, 32_000, N, k, d_ff)`, and `my_touched` with q = k/N for each expert.
#
# {{hints 6.3}}

# %% name="answer-6-3"
my_design = {
    "layers": ...,
    "d_model": ...,
    "d_ff": ...,
    "num_experts": ...,
    "top_k": ...,
}

# %% name="solution-6-3" tags=["solution"]
my_design = {"layers": 16, "d_model": 2048, "d_ff": 1024, "num_experts": 104, "top_k": 5}
layers, d, d_ff, N, k = my_design.values()
total, active, flops = my_counts(layers, d, 32_000, N, k, d_ff)
print(f"{2 * total / 1e9:.1f} GB, {total / 1e9:.1f} billion parameters, {flops / 1e9:.2f} GFLOPs")
print(f"{layers * k * 3 * d * d_ff / 1e6:.0f} million active expert weights")
print(f"{100 * my_touched(np.full(N, k / N), 8) / N:.1f} % of the experts for 8 tokens")
print(f"router: {100 * N / (3 * k * d_ff):.2f} % of the FLOPs of the k experts")

# %%
check("6.3", my_design)

# %% [markdown]
# ## 6.4 What the figure allows
#
# {{about 6.4}}
#
# The cell below computes a small figure: Mixtral 8x7B as it is, the same model with all eight experts running, and the
# same model with one expert in each layer, a dense model of 7 billion parameters. "Read" are the bytes of weights that
# one step reads for so many tokens at once, if all experts are equally likely and the tokens choose independently.

# %% name="given-6-4"
sparse = PUBLISHED["Mixtral 8x7B"].config
models = {
    "Mixtral, 2 of 8 experts": sparse,
    "all 8 experts running": replace(sparse, top_k=8),
    "one expert a layer": replace(sparse, num_experts=1, top_k=1),
}
print(f"{'':25}{'GFLOPs':>9}{'GB stored':>12}{'GB read for 1':>16}{'GB read for 32':>16}")
for name, config in models.items():
    gigabytes = [weight_bytes(config), 2 * parameters_read(config, 1), 2 * parameters_read(config, 32)]
    stored, read_1, read_32 = (number / 1e9 for number in gigabytes)
    print(f"{name:25}{flops_per_token(config) / 1e9:9.2f}{stored:12.2f}{read_1:16.2f}{read_32:16.2f}")

# %% [markdown]
# (That the first number of each row comes again as bytes read for 1 is no accident: a weight of 16 bits is two bytes to
# read, and costs two FLOPs.) Somebody writes an advertisement:
#
# - **A** "Mixtral spares 75 % of the FLOPs of the model with all eight experts running."
# - **B** "It costs 100 % of the FLOPs of the model with one expert a layer: for a token it works like one of its experts."
# - **C** "It needs 27 % of the memory of the model with all eight experts running."
# - **D** "A step for one token reads 27 % of what is stored."
# - **E** "So a step for 32 tokens at once reads 27 % of what is stored."
# - **F** "It is 100 % as good as the model with all eight experts running."
# - **G** "It is 365 % as fast as the model with all eight experts running."
#
# For each claim give the percentage that the figure puts in its place, or `None` if the figure cannot tell. Rounded to
# the nearest whole percent is enough; a number with decimals may be off by 0.1.
#
# {{hints 6.4}}

# %% name="answer-6-4"
my_figures = {
    "A": ...,
    "B": ...,
    "C": ...,
    "D": ...,
    "E": ...,
    "F": ...,
    "G": ...,
}

# %% name="solution-6-4" tags=["solution"]
all_eight, one = models["all 8 experts running"], models["one expert a layer"]
my_figures = {
    "A": 100 * (1 - flops_per_token(sparse) / flops_per_token(all_eight)),
    "B": 100 * flops_per_token(sparse) / flops_per_token(one),
    "C": 100 * weight_bytes(sparse) / weight_bytes(all_eight),
    "D": 100 * 2 * parameters_read(sparse, 1) / weight_bytes(sparse),
    "E": 100 * 2 * parameters_read(sparse, 32) / weight_bytes(sparse),
    "F": None,  # no column for quality
    "G": None,  # no column for time
}
print({claim: number and round(number, 1) for claim, number in my_figures.items()})

# %%
check("6.4", my_figures)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:06), which show one way of several. Then go on to the
# next lesson.
