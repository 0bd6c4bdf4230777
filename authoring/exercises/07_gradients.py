# %% [markdown]
# # Exercises 07 · Gradients through a router
#
# {{questions}}, on [](lesson:07). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. In 7.1 to 7.5 your functions are given numpy arrays; return
# arrays or tensors, whichever you like. 7.6 is torch. You may use what is imported below, and what you wrote yourself.

# %% name="setup" tags=["setup"]
import numpy as np
import torch

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_07 import GIVEN_A, GIVEN_LOGITS, delivered_gradients
from moe_lessons.routing import gate_weights, log_sum_exp, softmax, top_k

# %% [markdown]
# ## 7.1 The Jacobian of the softmax
#
# {{about 7.1}}
#
# Every gradient below goes through a softmax. Return the matrix of its derivatives for one token: entry [i, j] says how
# fast probability i rises when logit j rises, ∂pᵢ/∂hⱼ.
#
# {{hints 7.1}}


# %% name="answer-7-1"
def my_jacobian(logits):
    """logits (N,) -> (N, N), entry [i, j] is the derivative of p_i with respect to logit j"""
    # BEGIN SOLUTION
    p = softmax(logits)  # (N,)
    return np.diag(p) - np.outer(p, p)
    # END SOLUTION


# %%
check("7.1", my_jacobian)

# %% [markdown]
# ## 7.2 Form A: who hears of the loss
#
# {{about 7.2}}
#
# Form A, `topk_softmax`, takes the softmax over the k largest logits of a token. The output is y = Σ wᵢEᵢ(x) over the
# selected experts. Let v = ∂L/∂y. The one number that the router can hear of expert i is aᵢ = v · Eᵢ(x), which is
# ∂L/∂wᵢ: positive when a larger weight would make the loss larger.
#
# Return ∂L/∂h for a batch of T tokens: for each token, one number for each of its N logits. `a` holds aᵢ for all experts,
# also for those that were not selected; which of them may enter is for you to say. For each token exactly k experts are selected, for any k from 1 on. Of equal
# logits the lower index comes first, and the selection counts as fixed: it carries no gradient.
#
# {{hints 7.2}}


# %% name="answer-7-2"
def my_gradient_a(logits, a, k):
    """logits (T, N), a (T, N), k -> dL/dh of form A, (T, N)"""
    # BEGIN SOLUTION
    w = gate_weights(logits, k)  # (T, N), 0 for the unselected
    return w * (a - (w * a).sum(axis=-1, keepdims=True))  # (T, N)
    # END SOLUTION


# %%
check("7.2", my_gradient_a)

# %% [markdown]
# ## 7.3 Form B: a push without knowledge
#
# {{about 7.3}}
#
# The same for form B, `softmax_topk`: the softmax runs over all N logits, and the k largest probabilities are kept as
# they are. Inputs and selection are as in 7.2.
#
# {{hints 7.3}}


# %% name="answer-7-3"
def my_gradient_b(logits, a, k):
    """logits (T, N), a (T, N), k -> dL/dh of form B, (T, N)"""
    # BEGIN SOLUTION
    p = softmax(logits)  # (T, N)
    selected = top_k(logits, k)[1]  # (T, k)
    kept = np.zeros_like(a)  # (T, N)
    np.put_along_axis(kept, selected, np.take_along_axis(a, selected, axis=-1), axis=-1)
    return p * (kept - (p * kept).sum(axis=-1, keepdims=True))  # (T, N)
    # END SOLUTION


# %%
check("7.3", my_gradient_b)

# %% [markdown]
# ## 7.4 Three routers, not as ordered
#
# {{about 7.4}}
#
# Three teams were asked for the same layer: form A with k = 2. Each delivered something else, and the outputs look
# reasonable. So all three were given the same token, the same experts and the same v = ∂L/∂y. That makes the aᵢ the same
# too. Here is what came back for each logit: ∂L/∂h.

# %% name="given-7-4"
gradients = delivered_gradients()  # router -> (N,)
print("expert   logit       a   " + "   ".join(gradients))
for i in range(len(GIVEN_LOGITS)):
    row = "   ".join(f"{g[i]:>8.4f}" for g in gradients.values())
    print(f"E{i + 1}     {GIVEN_LOGITS[i]:>6.1f}  {GIVEN_A[i]:>6.1f}   {row}")

# %% [markdown]
# Each team built one of these. Name it.
#
# | name | what was built |
# |---|---|
# | `"as ordered"` | form A, k = 2 |
# | `"k = 1"` | form A with one expert |
# | `"k = 3"` | form A with three experts |
# | `"form B"` | `softmax_topk`, k = 2 |
# | `"masked with 0"` | as form A, but the cut logits are set to 0, not to −∞, before the softmax |
# | `"straight-through"` | output of form A, gradient of the mixture of all six experts |
#
# The numbers are in `GIVEN_LOGITS`, `GIVEN_A` and `gradients["router 1"]` and so on. One token is a batch with T = 1:
# `GIVEN_LOGITS[None]`.
#
# {{hints 7.4}}

# %% name="try-7-4"
p = softmax(GIVEN_LOGITS)  # (N,)
print("p =", p.round(4))  # try things here

# %% name="answer-7-4"
my_diagnosis = {
    "router 1": ...,
    "router 2": ...,
    "router 3": ...,
}

# %% name="solution-7-4" tags=["solution"]
for router, g in gradients.items():
    zeros, total = int((g == 0).sum()), g.sum().round(4) + 0
    print(f"{router}: {zeros} zeros, sum {total}, column / p {(g / p).round(3)}, minus a {(g / p - GIVEN_A).round(3)}")
my_diagnosis = {
    "router 1": "form B",  # column / p is the same for the four that are not selected
    "router 2": "masked with 0",  # two entries, and they do not sum to 0
    "router 3": "straight-through",  # column / p − a is the same for all
}

# %%
check("7.4", my_diagnosis)

# %% [markdown]
# A column of zeros did not occur. It would have had two explanations that the gradient cannot tell apart: one renormalised
# expert, whose weight is always 1, or a gate that was detached. Then you look at the weights.
#
# ## 7.5 The z-loss and its gradient
#
# {{about 7.5}}
#
# The router z-loss (Zoph et al. 2022, arXiv:2202.08906) takes one number for each token, the log-sum-exp of its logits,
# and returns the mean over the tokens of its square. Return this loss, without a coefficient, and its gradient with
# respect to the logits. Both must be right for logits around 10000 and −10000 too.
#
# {{hints 7.5}}


# %% name="answer-7-5"
def my_z_loss(logits):
    """logits (T, N) -> the loss, one number, and its gradient (T, N)"""
    # BEGIN SOLUTION
    z = log_sum_exp(logits)  # (T,)
    gradient = 2 * z[:, None] * softmax(logits) / len(logits)  # (T, N)
    return (z**2).mean(), gradient
    # END SOLUTION


# %%
check("7.5", my_z_loss)

# %% [markdown]
# ## 7.6 Sparse forward, dense gradient
#
# {{about 7.6}}
#
# In 7.2 the unselected experts hear nothing, in 7.3 they are pushed blindly. Suppose you can afford to run all experts.
# Then the router can hear of each of them, while the output stays that of top-k. Write a function of torch tensors for
# one token: `logits` (N,), `outputs` (N, d), the outputs of **all** experts, and k. It returns y (d,). For v = ∂L/∂y, let
# autograd find
#
# - forward: y is the output of form A, Σ wᵢEᵢ over the k selected, and of nothing else;
# - router: ∂L/∂hⱼ is that of a layer which runs all experts, pⱼ(aⱼ − Σ pᵢaᵢ) with the sum over all N;
# - experts: ∂L/∂Eᵢ is wᵢv for the selected and 0 for the others, as in plain top-k.
#
# The course's numpy functions cut the gradient off: use `torch.softmax`, `torch.topk` and the like. There are no ties here.
#
# {{hints 7.6}}


# %% name="answer-7-6"
def my_dense_estimator(logits, outputs, k):
    """logits (N,), outputs (N, d), k; torch tensors -> y (d,)"""
    # BEGIN SOLUTION
    p = torch.softmax(logits, dim=-1)  # (N,)
    values, selected = logits.detach().topk(k)  # (k,) each
    w = torch.zeros_like(p).scatter(-1, selected, torch.softmax(values, dim=-1))  # (N,), without a gradient
    weights = w + (p - p.detach())  # (N,): the value of w, the derivative of p
    return weights @ outputs  # (d,)
    # END SOLUTION


# %%
check("7.6", my_dense_estimator)

# %% [markdown]
# You have written the straight-through estimator that MoE layers are often said to use. It needs every expert's output
# for every token, so nothing is saved. Lesson 07 measures what it buys.
#
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:07), which show one way of several. Then go on to the next
# lesson.
