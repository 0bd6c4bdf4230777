# %% [markdown]
# # Exercises 07 · Gradients through a router
#
# {{questions}}, on [](lesson:07). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. In 7.1, 7.2, 7.3 and 7.5 your functions are given numpy arrays
# of float64 (`torch.as_tensor` makes tensors of them); return arrays, tensors or lists, whichever you like. 7.6 is torch.
# You may use what is imported below, and what you wrote yourself.

# %% name="setup" tags=["setup"]
import numpy as np
import torch

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_07 import GIVEN_A, GIVEN_LOGITS, delivered_gradients
from moe_lessons.routing import gate_weights, log_sum_exp, softmax, top_k

# %% [markdown]
# ## 7.1 The Jacobian of another gate
#
# {{about 7.1}}
#
# Many configurations of today score each expert by a sigmoid, and divide the scores by their sum. With all N experts
# kept that is
#
# $$s_i = \frac{1}{1 + e^{-h_i}}, \qquad w_i = \frac{s_i}{s_1 + \dots + s_N}.$$
#
# Your function gets the **scores** s of one token, (N,) in float64, each strictly between 0 and 1. It does not get the
# logits h behind them. Return the derivatives with respect to the **logits** all the same: entry [i, j] says how fast
# **weight i** rises when **logit j** rises, ∂wᵢ/∂hⱼ. The weight is in the row, the logit in the column. N is at least 2.
# Every entry must be right to three digits, however small: a score may be as near to 1 as 1 − 10⁻¹¹, or to 0 as 10⁻⁹.
#
# {{hints 7.1}}


# %% name="answer-7-1"
def my_jacobian(scores):
    """scores s (N,) -> (N, N), entry [i, j] is the derivative of w_i with respect to h_j, the logit of score j"""
    # BEGIN SOLUTION
    w = scores / scores.sum()  # (N,)
    along_scores = (np.eye(len(w)) - w[:, None]) / scores.sum()  # (N, N): how weight i moves with score j
    return along_scores * (scores * (1 - scores))  # (N, N): each column times the slope of its score
    # END SOLUTION


# %%
check("7.1", my_jacobian)

# %% [markdown]
# Print the sums of your matrix's columns and of its rows, for a few scores. The columns sum to 0, as for the softmax: what
# one weight gains, the others lose. The rows need not. In a softmax they do, because raising all logits by the same amount
# changes nothing. This gate knows where 0 is.
#
# ## 7.2 All the way to W_g and x
#
# {{about 7.2}}
#
# A batch `x` of T tokens meets a router: the logits are h = x W_g. Form A, `topk_softmax`, takes the softmax over the k
# largest logits of each token. For token t and expert i, `a[t, i]` is the slope of the loss along that weight, ∂L/∂w: a
# number for *every* expert, also for those that were not selected. Which of them may enter is for you to say.
#
# Return two gradients of the one loss L, to which all tokens of the batch contribute:
#
# - ∂L/∂W_g, in the shape of `W_g`, (d, N);
# - the part of ∂L/∂x that comes **through the router**, in the shape of `x`, (T, d). (Another part comes through the
#   experts. Leave it out.)
#
# For each token exactly k experts are selected, k from 1 to N. Of equal logits the lower index comes first (so do `top_k`
# and `gate_weights`; `torch.topk` may not), and the selection counts as fixed: it carries no gradient.
#
# {{hints 7.2}}


# %% name="answer-7-2"
def my_router_gradients(x, W_g, a, k):
    """x (T, d), W_g (d, N), a (T, N), k -> dL/dW_g (d, N), and dL/dx through the router (T, d)"""
    # BEGIN SOLUTION
    w = gate_weights(x @ W_g, k)  # (T, N), 0 for the unselected
    g = w * (a - (w * a).sum(axis=-1, keepdims=True))  # (T, N), the slope along each logit
    return x.T @ g, g @ W_g.T  # (d, N), (T, d)
    # END SOLUTION


# %%
check("7.2", my_router_gradients)

# %% [markdown]
# ## 7.3 What form B's gradient tells of the experts
#
# {{about 7.3}}
#
# Now backwards. Somebody ran form B, `softmax_topk`: the softmax over all N logits, of which the k largest are kept as
# they are. You have the logits (T, N) and the gradient `g` = ∂L/∂h (T, N) that came back, and k. You do not have the
# experts, nor the aᵢ = v · Eᵢ(x). What can you find out about them? With p for the softmax over all N logits, lesson 07
# has
#
# $$g_i = p_i\,(a_i - s) \text{ for a kept } i, \qquad g_j = -p_j\, s \text{ for a cut } j, \qquad
# s = \sum_{i \text{ kept}} p_i\, a_i.$$
#
# Return an array (T, N): aᵢ for each kept expert of each token, `np.nan` for each cut one. k is from 1 to N − 1, so at
# least one expert is cut. Of equal logits the lower index is kept, as `top_k` does. No probability is below 0.0001, so you
# may divide by it.
#
# {{hints 7.3}}


# %% name="answer-7-3"
def my_usefulness(logits, g, k):
    """logits (T, N), g = dL/dh of form B (T, N), k -> a of the kept experts, nan for the cut ones (T, N)"""
    # BEGIN SOLUTION
    p = softmax(logits)  # (T, N)
    kept = np.zeros(logits.shape, dtype=bool)  # (T, N)
    np.put_along_axis(kept, top_k(logits, k)[1], True, axis=-1)
    per_p = g / p  # (T, N): a − s for the kept, −s for the cut
    minus_s = np.where(kept, 0, per_p).sum(axis=-1, keepdims=True) / (~kept).sum(axis=-1, keepdims=True)  # (T, 1)
    return np.where(kept, per_p - minus_s, np.nan)  # (T, N)
    # END SOLUTION


# %%
check("7.3", my_usefulness)

# %% [markdown]
# For form A there is no such way back: add the same number to all a of a token, and its ∂L/∂h is the same as before. There
# the gradient compares the kept and never says how good they are.
#
# ## 7.4 Three routers, not as ordered
#
# {{about 7.4}}
#
# Three teams were asked for the same layer: form A with k = 2. Each delivered something else, and the outputs look
# reasonable. So all three were given the same token, the same experts and the same v = ∂L/∂y. That makes the aᵢ the same
# too. Here is what came back for each logit: ∂L/∂h.

# %% name="given-7-4"
gradients = delivered_gradients()  # router -> (N,)
p = softmax(GIVEN_LOGITS)  # (N,)
print("expert   logit       a       p   " + "   ".join(gradients))
for i in range(len(GIVEN_LOGITS)):
    row = "   ".join(f"{g[i]:>8.4f}" for g in gradients.values())
    print(f"E{i + 1}     {GIVEN_LOGITS[i]:>6.1f}  {GIVEN_A[i]:>6.1f}  {p[i]:.4f}   {row}")

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
print((gradients["router 1"] / p).round(4))  # try things here

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
# ## 7.5 The z-loss, with padding
#
# {{about 7.5}}
#
# The router z-loss (Zoph et al. 2022, arXiv:2202.08906) takes one number for each token, the log-sum-exp of its logits,
# and returns the mean over the tokens of its square. Its gradient at logit j of token t is 2/T · LSE_t · p_tj. But real
# batches are filled up: texts differ in length, and the places behind a short one hold no token.
#
# So you get `logits` (T, N) and `mask` (T,), an array of booleans, True for a real token. A **padded row counts
# nothing**, and it may hold **anything**: numbers, NaN, ∞, −∞ everywhere. Return
#
# - the loss: the mean over the *real* tokens of the squared log-sum-exp, without a coefficient;
# - its gradient with respect to the logits, (T, N), exactly 0 in padded rows.
#
# At least one token is real. Both must be right for real logits around 10000 and −10000. In a real row some logits, never
# all, may be −∞: a masked expert, which gets the gradient 0.
#
# {{hints 7.5}}


# %% name="answer-7-5"
def my_z_loss(logits, mask):
    """logits (T, N), mask (T,), True for a real token -> the loss, one number, and its gradient (T, N)"""
    # BEGIN SOLUTION
    real = logits[mask]  # (n, N): from here on there is no padding
    z = log_sum_exp(real)  # (n,)
    gradient = np.zeros(logits.shape)  # (T, N)
    gradient[mask] = 2 * z[:, None] * softmax(real) / len(real)
    return (z**2).mean(), gradient
    # END SOLUTION


# %%
check("7.5", my_z_loss)

# %% [markdown]
# ## 7.6 Half-dense: two more may be heard
#
# {{about 7.6}}
#
# In form A the unselected experts hear nothing. In the lesson's straight-through estimator (*deeper*) all N are heard, and
# so all N must run. Here is something in between. The k best experts make the output. The next m run as well, but only
# so that the router hears of them: they do not count in the output, and they do not learn. With m = 0 that is form A.
#
# The tool is the lesson's: for a tensor t, `t - t.detach()` is 0 forwards and has the gradient of t.
#
# Write a function of torch tensors for one token: `logits` (N,), `outputs` (N, d), k and m, where k ≥ 1, m ≥ 0 and
# k + m ≤ N. It returns y (d,). For v = ∂L/∂y and aᵢ = v · Eᵢ, let autograd find
#
# - forward: y is the output of form A with the **k** best, Σ wᵢEᵢ, and nothing else;
# - router: ∂L/∂h is that of form A with the **k + m** best. With uᵢ for its weights it is uⱼ(aⱼ − Σ uᵢaᵢ), and 0 for all
#   that are not heard;
# - experts: ∂L/∂Eᵢ is wᵢv for the k selected, and exactly 0 for all others.
#
# `outputs` holds all N rows, but only k + m of them may have a part in any of this. Use `torch.softmax`, `torch.topk` and
# the like: the course's numpy functions cut the gradient off. There are no ties.
#
# {{hints 7.6}}


# %% name="answer-7-6"
def my_estimator(logits, outputs, k, m):
    """logits (N,), outputs (N, d), k, m; torch tensors -> y (d,)"""
    # BEGIN SOLUTION
    values, best = logits.topk(k + m)  # (k + m,) each, the best first
    u = torch.softmax(values, dim=-1)  # (k + m,), what the router hears
    w = torch.softmax(values[:k].detach(), dim=-1)  # (k,), without a gradient
    w = torch.nn.functional.pad(w, (0, m))  # (k + m,), 0 for the m more
    weights = w + (u - u.detach())  # (k + m,): the value of w, the derivative of u
    return weights @ outputs[best]  # (d,)
    # END SOLUTION


# %%
check("7.6", my_estimator)

# %% [markdown]
# Lesson 07 measures what its estimator buys when all are heard. What two more buy, nobody has told you: it would take
# the same experiment, with its control.
#
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:07), which show one way of several. Then go on to the next
# lesson.
