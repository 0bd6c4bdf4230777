# %% [markdown]
# # Exercises 09 · Keeping experts alive: load balancing
#
# {{questions}}, on [](lesson:09). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. In 9.1 to 9.3 your functions are given numpy arrays; return
# arrays or tensors, whichever you like. 9.4 is torch. You may use what is imported below, and what you wrote yourself.

# %% name="setup" tags=["setup"]
import numpy as np
import torch
from torch.nn import functional

from moe_lessons.checks import check, progress
from moe_lessons.routing import softmax, top_k

# %% [markdown]
# ## 9.1 Measuring the load
#
# {{about 9.1}}
#
# A router has sent each of T tokens to k experts. `selected` (T, k) holds their indices. How even is that? Return four
# things:
#
# - `load` (N,): each expert's share of the T·k assignments. The shares sum to 1.
# - `cv`: the coefficient of variation, standard deviation / mean of the load. The deviation divides by N.
# - `max_violation`: MaxVio, (largest load − mean load) / mean load.
# - `dead`: how many experts have less than `below` times the mean load.
#
# {{hints 9.1}}


# %% name="answer-9-1"
def my_statistics(selected, num_experts, below):
    """selected (T, k), N, below -> load (N,), cv, max_violation, dead"""
    # BEGIN SOLUTION
    load = np.bincount(selected.ravel(), minlength=num_experts) / selected.size  # (N,)
    mean = load.mean()  # 1/N
    return load, load.std() / mean, load.max() / mean - 1, (load < below * mean).sum()
    # END SOLUTION


# %%
check("9.1", my_statistics)

# %% [markdown]
# ## 9.2 Noisy top-k
#
# {{about 9.2}}
#
# Shazeer et al. (2017, arXiv:1701.06538) add noise to the logits before the top-k, in training only. Its size is learned,
# for each token and each expert:
#
# $$h_i = (x W_g)_i + \varepsilon_i \cdot \mathrm{softplus}\big((x W_\text{noise})_i\big), \qquad \varepsilon_i \sim
# \mathcal{N}(0, 1), \qquad \mathrm{softplus}(z) = \ln(1 + e^z)$$
#
# Then the k largest of these logits are kept, and a softmax over them gives the weights (form A). Return the weights of
# all experts, 0 for the unselected. With `train=False` there is no noise.
#
# `rng` is a numpy generator. Draw from it once, with the shape (T, N): `rng.standard_normal((T, N))`. The check knows its
# seed and repeats your draw.
#
# {{hints 9.2}}


# %% name="answer-9-2"
def my_noisy_top_k(x, W_g, W_noise, k, train, rng):
    """x (T, d), W_g and W_noise (d, N), k, train: a bool, rng: a numpy generator -> weights (T, N)"""
    # BEGIN SOLUTION
    h = x @ W_g  # (T, N)
    if train:
        h = h + rng.standard_normal(h.shape) * np.logaddexp(0, x @ W_noise)  # (T, N)
    kept = np.full_like(h, -np.inf)  # (T, N)
    values, selected = top_k(h, k)  # (T, k) each
    np.put_along_axis(kept, selected, values, axis=-1)
    return softmax(kept)  # (T, N)
    # END SOLUTION


# %%
check("9.2", my_noisy_top_k)

# %% [markdown]
# ## 9.3 A load with a gradient
#
# {{about 9.3}}
#
# A count of tokens has no gradient: move a logit a little, and the count stays as it is. The noise of 9.2 offers a way
# out. Think of one token. Keep the noise that the *other* experts drew, and let expert i draw its own anew, from a normal
# distribution with the standard deviation `noise_sd`. Now expert i is selected with some probability P(x, i), and that
# probability moves smoothly with its logit.
#
# Return P(x, i) for every token and every expert. You are given `clean` (T, N), the logits without noise; `noisy` (T, N),
# the logits with the noise that was drawn; `noise_sd` (T, N); and k, which is less than N. There are no ties.
#
# You may use Φ, the probability that a standard normal draw is below z:


# %% name="given-9-3"
def normal_cdf(z):
    """z, any shape -> Φ(z), same shape"""
    return torch.special.ndtr(torch.as_tensor(z)).numpy()


print(normal_cdf(np.array([-1.0, 0.0, 1.0])).round(4))

# %% [markdown]
# {{hints 9.3}}


# %% name="answer-9-3"
def my_smooth_load(clean, noisy, noise_sd, k):
    """clean, noisy, noise_sd (T, N), k -> P (T, N)"""
    # BEGIN SOLUTION
    ordered = -np.sort(-noisy, axis=-1)  # (T, N), largest first
    last, following = ordered[:, k - 1 : k], ordered[:, k : k + 1]  # (T, 1) each: numbers k and k + 1
    threshold = np.where(noisy >= last, following, last)  # (T, N): the k-th largest of the others
    return normal_cdf((clean - threshold) / noise_sd)  # (T, N)
    # END SOLUTION


# %%
check("9.3", my_smooth_load)

# %% [markdown]
# Is the formula right? The solutions count: one token, 20,000 new draws for each expert in turn.

# %% name="count-9-3" tags=["solution"]
rng = np.random.default_rng(0)
clean, sd, k = np.array([[1.0, 0.6, 0.1, -0.3, -0.5, -1.2]]), np.full((1, 6), 0.7), 2
noisy = clean + sd * rng.standard_normal(clean.shape)  # (1, N)
counted = np.empty(6)
for i in range(6):
    again = np.repeat(noisy, 20_000, axis=0)  # (draws, N)
    again[:, i] = clean[0, i] + sd[0, i] * rng.standard_normal(20_000)
    counted[i] = (top_k(again, k)[1] == i).any(axis=-1).mean()
P = my_smooth_load(clean, noisy, sd, k)[0]  # (N,)
print("P      ", P.round(3))
print("counted", counted.round(3))
assert np.abs(P - counted).max() < 0.02

# %% [markdown]
# ## 9.4 The Switch loss
#
# {{about 9.4}}
#
# The balance loss of Switch (Fedus et al. 2021, arXiv:2101.03961), here for any k and without its coefficient:
#
# $$L = N \sum_{i=1}^{N} f_i P_i$$
#
# $f_i$ is expert i's share of the T·k assignments, as `load` in 9.1. $P_i$ is the mean over the tokens of the probability
# of expert i, from a softmax over all N logits. Return L as a torch tensor that holds one number. The check also lets
# autograd find ∂L/∂logits: f counts as a constant, and only P carries a gradient. There are no ties.
#
# {{hints 9.4}}


# %% name="answer-9-4"
def my_balance_loss(logits, k):
    """logits (T, N), a torch tensor, k -> the loss, one number"""
    # BEGIN SOLUTION
    N = logits.shape[-1]
    P = torch.softmax(logits, dim=-1).mean(dim=0)  # (N,)
    chosen = logits.topk(k, dim=-1).indices  # (T, k)
    f = functional.one_hot(chosen.flatten(), N).to(P.dtype).mean(dim=0)  # (N,), of whole numbers: no gradient
    return N * (f * P).sum()
    # END SOLUTION


# %%
check("9.4", my_balance_loss)

# %% [markdown]
# ## 9.5 Unbalanced, with a loss below 1
#
# {{about 9.5}}
#
# At perfect balance the loss of 9.4 is 1, and often you read that 1 is its minimum. It is not. Find a batch of logits
# (T, N) for a router with k = 1 such that
#
# - the load is unbalanced: MaxVio is at least 1, that is, some expert has at least twice the mean load;
# - and yet the balance loss is at most 0.95.
#
# T (up to 1,000) and N (up to 64) are yours to choose; the number of rows is T. All logits are finite, and each
# token's largest logit is at least 0.001 above its second largest, so that there is no doubt who is selected. Write a
# list of rows, an array, or code that makes one.
#
# {{hints 9.5}}

# %% name="answer-9-5"
my_batch = ...

# %% name="solution-9-5" tags=["solution"]
first, second = [0.02, -10.0, 0.0, 0.0], [-10.0, 0.02, 0.0, 0.0]  # E3 and E4 nearly win, always
my_batch = np.array([first, second])  # (T, N)
print("P =", softmax(my_batch).mean(axis=0).round(3))
print("load, CV, MaxVio, dead:", my_statistics(top_k(my_batch, 1)[1], 4, 0.01))
print("loss:", my_balance_loss(torch.tensor(my_batch), 1).item())

# %%
check("9.5", my_batch)

# %% [markdown]
# So the value of the loss is no measure of balance. Its gradient is right all the same: it raises the experts that never
# win. In a training log, look at the numbers of 9.1.
#
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:09), which show one way of several. Then go on to
# [](lesson:10).
