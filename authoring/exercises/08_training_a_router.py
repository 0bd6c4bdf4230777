# %% [markdown]
# # Exercises 08 · Training a router
#
# {{questions}}, on [](lesson:08). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. 8.1 is numpy, 8.2 torch. In 8.3 and 8.5 the check trains
# small routers with what you chose: that takes a few seconds.

# %% name="setup" tags=["setup"]
import numpy as np
import torch
import torch.nn.functional as F

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_08 import BUDGET, TARGET, error_left, logged_runs
from moe_lessons.experiments.router_training import Setting, label_runs

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
# the tokens of the squared log-sum-exp of the logits. Return the new W. W, x and `domain` are tensors; W comes without
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
# ## 8.3 A coefficient by its effect
#
# {{about 8.3}}
#
# Three routers were trained on the same four domains, far apart, from the same start and for 600 steps. They differ in
# `z_loss_coef` alone: it was 0, 0.02 and 10, not in this order. Here is what was measured on test tokens.

# %% name="given-8-3"
for name, run in logged_runs().items():
    print(f"{name}\n  steps  z-loss  cross-entropy  accuracy  entropy")
    for row in zip(run.steps, run.z, run.loss, run.accuracy, run.entropy, strict=True):
        print("  {:5d}  {:6.2f}  {:13.3f}  {:8.3f}  {:7.3f}".format(*row))

# %% [markdown]
# "z-loss" is the mean squared log-sum-exp, without its coefficient. Cross-entropy and entropy are in nats.
#
# 1. Which router had which coefficient?
# 2. Choose a coefficient yourself, for the same training on fresh tasks of this kind. After 600 steps the z-loss must be
#    **at most 6**, and the cross-entropy **at most 0.15**. Any coefficient that reaches both is right. The cell below
#    trains with one of your choice.
#
# {{hints 8.3}}

# %% name="try-8-3"
coefficient = 0.001  # try others here
(run,) = label_runs([Setting(noise_std=0.7, z_loss_coef=coefficient)], steps=600, progress=False)
print(f"z-loss {run.z[-1]:.2f}, cross-entropy {run.loss[-1]:.3f}, accuracy {run.accuracy[-1]:.3f}")

# %% name="answer-8-3"
my_coefficients = {
    "router 1": ...,
    "router 2": ...,
    "router 3": ...,
    "z_loss_coef": ...,
}

# %% name="solution-8-3" tags=["solution"]
candidates = [0, 1e-4, 1e-3, 1e-2, 1e-1, 1]
settings = [Setting(noise_std=0.7, z_loss_coef=c) for c in candidates]
for c, run in zip(candidates, label_runs(settings, steps=600, progress=False), strict=True):
    print(f"{c:<7g} z-loss {run.z[-1]:6.2f}  cross-entropy {run.loss[-1]:.3f}  accuracy {run.accuracy[-1]:.3f}")
my_coefficients = {
    "router 1": 10,  # no better than a guess in the end
    "router 2": 0,  # the z-loss grows to the end
    "router 3": 0.02,
    "z_loss_coef": 0.02,  # between 0.01, where the z-loss is near its limit, and 0.1, where the other one is broken
}

# %%
check("8.3", my_coefficients)

# %% [markdown]
# <details><summary>What the three logs show (it names the routers)</summary>
#
# Router 1 had a large coefficient, and its log-sum-exp is small, as ordered. That is all the z-loss asks for: one number
# for each token near 0. Which logit is the largest is no concern of it.
#
# </details>
#
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
# ## 8.5 Reach a target error
#
# {{about 8.5}}
#
# Now nobody names the domains. A layer of 8 experts learns a regression with 8 clusters, each with a target map of its
# own, as in the second part of the lesson, only smaller. Choose
#
# | key | what it is |
# |---|---|
# | `"gate"` | `"topk_softmax"`, `"softmax_topk"` or `"softmax_topk_renorm"` |
# | `"top_k"` | experts for each token, 1 to 8 |
# | `"lr"` | learning rate of Adam, constant |
# | `"steps"` | training steps, of 256 tokens each |
#
# You have a budget of compute: steps · top_k at most **500**. The error is the share of the target's variance that is
# left on fresh tokens. On average over two tasks that you have not seen it must be at most **0.16**. The cell below
# trains once, on a task of your own; `seed` draws another one.
#
# {{hints 8.5}}

# %% name="try-8-5"
print("budget", BUDGET, "target", TARGET)
error = error_left(gate="topk_softmax", top_k=4, lr=0.001, steps=50, seed=0)  # try others here
print(f"error {error:.3f}")

# %% name="answer-8-5"
my_settings = {
    "gate": ...,
    "top_k": ...,
    "lr": ...,
    "steps": ...,
}

# %% name="solution-8-5" tags=["solution"]
for lr in (0.001, 0.01, 0.03, 0.3):
    error = error_left("topk_softmax", 2, lr, 250, seed=0)
    print(f"k = 2, lr = {lr:<5g} error {error:.3f}")
my_settings = {"gate": "topk_softmax", "top_k": 2, "lr": 0.015, "steps": 250}

# %%
check("8.5", my_settings)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:08), which show one way of several. Then go on to the
# next lesson.
