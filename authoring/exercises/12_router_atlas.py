# %% [markdown]
# # Exercises 12 · Gates of published models
#
# {{questions}}, on [](lesson:12). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Your functions are given numpy arrays; return arrays, lists or
# tensors, whichever you like. You may use what is imported below, and what you wrote yourself.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_12 import GIVEN_BIAS, GIVEN_LOGITS, SHIFT_BIAS, SHIFTED_LOGITS, configuration
from moe_lessons.routing import softmax, top_k

# %% [markdown]
# ## 12.1 One gate for many models
#
# {{about 12.1}}
#
# Write one function that is the gate of many models. For each token:
#
# 1. `score` turns logits into scores s: `"softmax"` over all N experts, `"sigmoid"` of each logit, or `"sqrtsoftplus"`,
#    the root $\sqrt{\ln(1 + e^{h})}$ of each logit.
# 2. The k experts with the largest $s_i + b_i$ are selected. No two are equal.
# 3. Their weights are their scores, without the bias: divided by their sum if `normalise` is True, as they are if it is False.
#    In both cases they are then multiplied by `scale`.
#
# Return the weight of every expert, (T, N), 0 for all that are not selected. Logits may be as large as 900; every weight must
# be finite all the same.
#
# {{hints 12.1}}


# %% name="answer-12-1"
def my_weights(logits, k, bias, score, normalise, scale):
    """logits (T, N), k, bias (N,), "softmax", "sigmoid" or "sqrtsoftplus", True or False, scale -> weights (T, N)"""
    # BEGIN SOLUTION
    if score == "softmax":
        s = softmax(logits)  # (T, N)
    elif score == "sigmoid":
        s = 1 / (1 + np.exp(-logits))  # (T, N)
    else:
        s = np.sqrt(np.logaddexp(0, logits))  # (T, N)
    kept = np.zeros(s.shape, dtype=bool)  # (T, N)
    np.put_along_axis(kept, top_k(s + bias, k)[1], True, axis=-1)
    w = np.where(kept, s, 0)  # (T, N)
    if normalise:
        w = w / w.sum(axis=-1, keepdims=True)
    return scale * w
    # END SOLUTION


# %%
check("12.1", my_weights)

# %% [markdown]
# ## 12.2 First the groups, then the experts
#
# {{about 12.2}}
#
# Where experts live on several machines, some models let a token visit only a few of them. The N experts, in their order,
# form `groups` groups of the same size. The selection sees s + b, here given as `scores` (T, N) and `bias` (N,):
#
# - a group is as good as the sum of its `best` largest s + b, and each token keeps its `kept_groups` best groups;
# - of all experts in the groups that it keeps, it selects the k with the largest s + b.
#
# Biases may be so far below 0 that s + b is negative. Return two masks of True and False: `kept` (T, groups), the groups that
# each token keeps, and `selected` (T, N), the experts that it selects.
#
# {{hints 12.2}}


# %% name="answer-12-2"
def my_selection(scores, bias, k, groups, kept_groups, best):
    """scores (T, N), bias (N,), k, number of groups, of kept ones, of experts that count -> kept (T, groups), selected (T, N)"""
    # BEGIN SOLUTION
    seen = scores + bias  # (T, N)
    by_group = np.sort(seen.reshape(len(seen), groups, -1), axis=-1)  # (T, groups, N / groups)
    of_group = by_group[:, :, -best:].sum(axis=-1)  # (T, groups)
    kept = np.zeros(of_group.shape, dtype=bool)  # (T, groups)
    np.put_along_axis(kept, top_k(of_group, kept_groups)[1], True, axis=-1)
    allowed = np.repeat(kept, seen.shape[1] // groups, axis=1)  # (T, N)
    selected = np.zeros(seen.shape, dtype=bool)  # (T, N)
    np.put_along_axis(selected, top_k(np.where(allowed, seen, -np.inf), k)[1], True, axis=-1)
    return kept, selected
    # END SOLUTION


# %%
check("12.2", my_selection)

# %% [markdown]
# ## 12.3 The gradient of a gate with sigmoids
#
# {{about 12.3}}
#
# A gate scores by sigmoids, $s_i = 1 / (1 + e^{-h_i})$, selects the k largest $s_i + b_i$, and gives the selected the weights
# $w_i = \text{scale} \cdot s_i / \sum_{j} s_j$, with the sum over the selected. For each token, `a[t, i]` is the slope of the loss
# along that weight, ∂L/∂w. Return two things:
#
# - `gradient` (T, N): ∂L/∂h, the slope of the loss along each logit. The choice counts as fixed.
# - `together` (T,): the slope of the loss when *all* logits of the token rise by the same amount. In a softmax gate it is 0.
#
# {{hints 12.3}}


# %% name="answer-12-3"
def my_gradient(logits, a, k, bias, scale):
    """logits (T, N), slopes along the weights a (T, N), k, bias (N,), scale -> gradient (T, N), together (T,)"""
    # BEGIN SOLUTION
    s = 1 / (1 + np.exp(-logits))  # (T, N)
    kept = np.zeros(s.shape, dtype=bool)  # (T, N)
    np.put_along_axis(kept, top_k(s + bias, k)[1], True, axis=-1)
    total = np.where(kept, s, 0).sum(axis=-1, keepdims=True)  # (T, 1)
    mean = np.where(kept, s * a, 0).sum(axis=-1, keepdims=True) / total  # (T, 1)
    gradient = np.where(kept, scale * s * (1 - s) / total * (a - mean), 0)  # (T, N)
    return gradient, gradient.sum(axis=-1)
    # END SOLUTION


# %%
check("12.3", my_gradient)

# %% [markdown]
# ## 12.4 Who looks ahead?
#
# {{about 12.4}}
#
# A model that writes has only what is written: the next token does not exist yet. So what a router does with a token may
# depend on that token, on those before it and on its place in the text, but on nothing that comes after. A router that does is
# not *causal*: it leaks. When it is trained on whole texts it can use what follows, and when it writes it cannot. Expert choice
# leaks: a later token can take an earlier one's place.
#
# Write a test. It is given the width d and a router: `route` takes a text x, (L, d) for any L from 1, and returns the weights
# (L, N). Return True if the router looks ahead, in any way: at what follows, or only at whether or how much follows. Return
# False if it is causal.
#
# - A leaky router shows it in about half of all texts at least, if these have 12 tokens drawn from a standard normal
#   distribution: some weight changes by more than 0.001. It may show it in a single place of the text only.
# - A causal one may round: by up to 10⁻⁶.
#
# Your test is tried on 29 routers, which it cannot look into.
#
# {{hints 12.4}}


# %% name="answer-12-4"
def my_leaks(d, route):
    """width d, route: (L, d) -> (L, N) -> True if the router looks ahead"""
    # BEGIN SOLUTION
    for _ in range(20):
        x = np.random.normal(size=(12, d))  # (L, d)
        whole = route(x)  # (L, N)
        for t in range(1, 12):
            if not np.allclose(route(x[:t]), whole[:t], atol=1e-4):
                return True
    return False
    # END SOLUTION


# %%
check("12.4", my_leaks)

# %% [markdown]
# ## 12.5 A configuration nobody has seen
#
# {{about 12.5}}
#
# Here are the files of two models that do not exist. What you need of them is under names that lesson 12 explains, beside
# much that is about something else. `noaux_tc` says two things: a bias acts in the selection, and a group is as good as the
# sum of its best two.

# %% name="given-12-5"
print("logits:", GIVEN_LOGITS)
print("bias:", GIVEN_BIAS)
for model in "AB":
    print(model, configuration(model))

# %% [markdown]
# A token has these logits in both models, and both checkpoints hold this bias. Which weight has each of the eight routed
# experts? Give eight numbers for each model, to within 0.003, with 0 for the experts that are not selected. Work them out by
# hand, or with what you wrote above.
#
# {{hints 12.5}}

# %% name="answer-12-5"
my_readings = {
    "A": ...,  # eight weights
    "B": ...,
}

# %% name="solution-12-5" tags=["solution"]
# A: "scoring_func", "noaux_tc", "n_group", "topk_group", "num_experts_per_tok", "norm_topk_prob", "routed_scaling_factor"
s = 1 / (1 + np.exp(-GIVEN_LOGITS))[None]  # (1, N)
_, selected = my_selection(s, GIVEN_BIAS, 3, groups=4, kept_groups=2, best=2)  # (1, N)
w_a = 2.5 * np.where(selected, s, 0) / np.where(selected, s, 0).sum()  # (1, N)
# B: "score_func", "use_expert_bias", "moe_topk", "route_norm", "route_scale"; no groups
w_b = my_weights(GIVEN_LOGITS[None], 2, GIVEN_BIAS, "sqrtsoftplus", False, 1.5)  # (1, N)
my_readings = {"A": w_a[0], "B": w_b[0]}
print(my_readings)

# %%
check("12.5", my_readings)

# %% [markdown]
# ## 12.6 Who disagrees after the change?
#
# {{about 12.6}}
#
# Five models share the code of an inference engine. A colleague has seen that a softmax is kept from overflowing by
# subtracting each token's largest logit first, and does so at the top of the router, for all five: $h_i - \max_j h_j$ goes on in
# place of $h_i$. All keep k = 2 of six experts:
#
# | model | scores | selection by | weights |
# |---|---|---|---|
# | A | softmax | s | divided by their sum |
# | B | softmax | s | as they are, times 2 |
# | C | sigmoid | s | divided by their sum |
# | D | sigmoid | s + b | divided by their sum, times 2.5 |
# | E | √softplus | s + b | divided by their sum, times 1.5 |

# %% name="given-12-6"
print("logits:", SHIFTED_LOGITS[0])
print("bias b of D and E:", SHIFT_BIAS)

# %% [markdown]
# For this token: by how much does the weight change that changes most, in each model? Say first which stay as they are, then
# compute. Give sizes, without a sign, to within 0.003; 0 where nothing changes. A weight that was 0 may be the one.
#
# {{hints 12.6}}

# %% name="answer-12-6"
my_changes = {
    "A": ...,
    "B": ...,
    "C": ...,
    "D": ...,
    "E": ...,
}

# %% name="solution-12-6" tags=["solution"]
models = {
    "A": (0 * SHIFT_BIAS, "softmax", True, 1.0),
    "B": (0 * SHIFT_BIAS, "softmax", False, 2.0),
    "C": (0 * SHIFT_BIAS, "sigmoid", True, 1.0),
    "D": (SHIFT_BIAS, "sigmoid", True, 2.5),
    "E": (SHIFT_BIAS, "sqrtsoftplus", True, 1.5),
}


def largest_change(*settings):
    """bias, score, normalise, scale -> the largest change of a weight"""
    before, after = (my_weights(h, 2, *settings) for h in (SHIFTED_LOGITS, SHIFTED_LOGITS - SHIFTED_LOGITS.max()))
    print(before.round(3), after.round(3))
    return np.abs(after - before).max()


my_changes = {model: largest_change(*settings) for model, settings in models.items()}

# %%
check("12.6", my_changes)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:12), which show one way of several.
