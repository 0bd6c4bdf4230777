# %% [markdown]
# # Exercises 08 · Training a router
#
# {{questions}}, on [](lesson:08). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. 8.2 is torch. In the others your functions are
# given numpy arrays; return arrays, lists or tensors (`torch.as_tensor` makes one), whichever you like.

# %% name="setup" tags=["setup"]
import numpy as np
import torch
import torch.nn.functional as F

from moe_lessons.checks import check, progress

# %% [markdown]
# ## 8.1 Tokens with a known origin
#
# {{about 8.1}}
#
# Make the data on which a router can be trained with labels. Domain i has the mean `means[i]`; all means have the same
# norm. For each of T tokens, draw its domain, independently of the others, all domains equally likely. The token is the
# mean of its domain plus normal noise with standard deviation `noise_std` in every coordinate. Return x and the domains.
# Take all randomness from `rng`.
#
# {{hints 8.1}}


# %% name="answer-8-1"
def my_domains(means, noise_std, T, rng):
    """means (D, d), noise_std, T, rng -> x (T, d), domain (T,) whole numbers from 0 to D - 1"""
    # BEGIN SOLUTION
    domain = rng.integers(len(means), size=T)  # (T,)
    noise = noise_std * rng.normal(size=(T, means.shape[1]))  # (T, d)
    return means[domain] + noise, domain
    # END SOLUTION


# %%
check("8.1", my_domains)

# %% [markdown]
# ## 8.2 One training step
#
# {{about 8.2}}
#
# A linear router without a bias, logits h = x W, is trained to name the domain of each token. Take one step of plain
# gradient descent on
#
# loss = cross-entropy + `z_loss_coef` · z-loss,
#
# where the cross-entropy is the mean over the tokens of −ln p of the token's own domain, and the z-loss the mean over
# the tokens of the squared log-sum-exp of the logits. (A router in a model has no such cross-entropy: nobody tells it
# the right expert. Its z-loss stands beside the loss of the whole model.) Return the new W. W, x and `domain` are tensors; W comes without
# gradients.
#
# {{hints 8.2}}


# %% name="answer-8-2"
def my_step(W, x, domain, lr, z_loss_coef):
    """W (d, N), x (T, d), domain (T,), learning rate, coefficient -> the new W (d, N)"""
    # BEGIN SOLUTION
    leaf = W.clone().requires_grad_(True)  # (d, N)
    h = x @ leaf  # (T, N)
    loss = F.cross_entropy(h, domain) + z_loss_coef * torch.logsumexp(h, dim=-1).square().mean()
    loss.backward()
    return W - lr * leaf.grad  # (d, N)
    # END SOLUTION


# %%
check("8.2", my_step)

# %% [markdown]
# ## 8.3 A rate for each arm
#
# {{about 8.3}}
#
# You want to know whether some tricks help. So you trained several **arms**: arm 0 is the baseline, each other arm is
# one trick. Every arm was trained at the same learning rates, on two sets of seeds. A seed draws one task for all arms.
# You have two arrays of errors (lower is better):
#
# - `choosing`, of shape (arms, rates, seeds): the seeds that may choose;
# - `fresh`, of shape (arms, rates, other seeds): those that are reported.
#
# For each arm take the rate whose **mean error over the choosing seeds** is lowest. (A run that broke down has the error
# ∞. Then the mean is ∞ too, and this rate is not taken.) Report each arm at its rate on the fresh seeds, compared with arm
# 0 **seed by seed**. Return two arrays, with a number for each arm:
#
# 1. the mean over the fresh seeds of its error minus the error of arm 0;
# 2. the standard error of this mean: the standard deviation of a sample (`ddof=1`) of the differences, divided by the
#    root of the number of fresh seeds.
#
# For arm 0 itself both are 0.
#
# {{hints 8.3}}


# %% name="answer-8-3"
def my_comparison(choosing, fresh):
    """choosing (arms, rates, seeds), fresh (arms, rates, other seeds) -> differences (arms,), standard errors (arms,)"""
    # BEGIN SOLUTION
    rate = choosing.mean(axis=2).argmin(axis=1)  # (arms,)
    found = fresh[np.arange(len(fresh)), rate]  # (arms, seeds)
    d = found - found[0]  # (arms, seeds)
    return d.mean(axis=1), d.std(axis=1, ddof=1) / np.sqrt(d.shape[1])
    # END SOLUTION


# %%
check("8.3", my_comparison)

# %% [markdown]
# ## 8.4 Where a router needs a bias
#
# {{about 8.4}}
#
# In 8.1 all means had the same norm. Now break that. Bring two or three means in the plane, each number between −10 and
# 10. The domains are equally likely, and the noise has standard deviation 1 in both coordinates. It must hold that
#
# - **no** linear router without a bias, h = x W with any W whatever, names the domain with more than 85 % accuracy;
# - the router with your means as its prototypes **and your bias**, hᵢ = x·μᵢ + bᵢ, reaches at least 95 %.
#
# Any means and any bias that keep to this are right. The check tries all routers without a bias: it is only the
# direction of x that they see, so it tries all ways to cut the plane into wedges.
#
# {{hints 8.4}}

# %% name="answer-8-4"
my_counterexample = {
    "means": ...,  # two or three rows of two numbers
    "bias": ...,  # one number for each of them
}

# %% name="solution-8-4" tags=["solution"]
means = np.array([[2.0, 0.0], [7.0, 0.0]])  # same direction, different length
my_counterexample = {"means": means, "bias": -(means**2).sum(axis=1) / 2}

# %%
check("8.4", my_counterexample)

# %% [markdown]
# ## 8.5 How many entries hold an expert
#
# {{about 8.5}}
#
# A router without a bias sends each token to the expert with the largest logit. Each logit is a sum of d terms,
# $h_i = \sum_a x_a W_{ai}$. Setting some entries of x to 0 takes their terms out of **all** logits. What is the
# smallest number of entries that must be set to 0 so that **some** other expert has a larger logit than the one that won?
#
# Return one whole number for each token. You may choose the entries anew for each token. At least one entry stays: with all
# of them 0, all logits are equal. For some tokens no choice of entries does it: return −1 for them. (T, d and N are at most
# 16, and a loop is fine. All numbers are multiples of 1/16, so that sums of their products are exact, in any order and in
# float32 too. No answer hangs on equal logits.)
#
# {{hints 8.5}}


# %% name="answer-8-5"
def my_counts(x, W_g):
    """x (T, d), W_g (d, N) -> how many entries must be 0 before another expert wins, (T,) whole numbers, or −1"""
    # BEGIN SOLUTION
    counts = []
    for terms in x[:, :, None] * W_g:  # (d, N), one token
        first = terms.sum(axis=0).argmax()
        lead = np.sort(terms[:, [first]] - terms, axis=0)[::-1]  # (d, N): over each rival, the largest terms first
        rest = lead.sum(axis=0) - lead.cumsum(axis=0)  # (d, N): what is left of it
        below = (rest < 0).any(axis=1)  # (d,): some rival is ahead
        counts.append(below.argmax() + 1 if below.any() else -1)
    return np.array(counts)
    # END SOLUTION


# %%
check("8.5", my_counts)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:08), which show one way of several. Then go on to the
# next lesson.
