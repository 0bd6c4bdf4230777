# %% [markdown]
# # Exercises 09 · Keeping experts alive: load balancing
#
# {{questions}}, on [](lesson:09). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. In 9.1 to 9.3 your functions are given numpy arrays; return
# arrays or tensors (`torch.as_tensor` makes one), whichever you like. 9.4 is torch. You may use what is imported below,
# and what you wrote yourself.

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
# all experts, 0 for the unselected. With `train=False` there is no noise. k is from 1 to N, and no two logits of a token
# are alike. (The imported `top_k(h, k)` returns a pair: the k largest values and their indices, (T, k) each.)
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
# distribution with the standard deviation `noise_sd`. Now expert i is selected with some probability Pr(x, i), and that
# probability moves smoothly with its logit.
#
# Return Pr(x, i) for every token and every expert. You are given `clean` (T, N), the logits without noise; `noisy` (T, N),
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
    """clean, noisy, noise_sd (T, N), k -> Pr(x, i) (T, N)"""
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
chance = my_smooth_load(clean, noisy, sd, k)[0]  # (N,)
print("Pr(x, i)", chance.round(3))
print("counted ", counted.round(3))
assert np.abs(chance - counted).max() < 0.02

# %% [markdown]
# ## 9.4 The Switch loss, for devices
#
# {{about 9.4}}
#
# Where several experts share a device, a step waits for the busiest *device*. Which of its experts are busy does not
# matter. So we want a loss as that of Switch (Fedus et al. 2021, arXiv:2101.03961), without its coefficient, for devices
# in the place of experts:
#
# - each of the T·k assignments goes to a device: that of its expert;
# - a device is as likely for a token as all its experts together, by a softmax over all N logits;
# - when every device gets the same share of the assignments, the loss is 1, also where one device holds more experts than
#   another;
# - the shares are constants, and only the probabilities carry a gradient.
#
# `device` (N,), a numpy array, says for each expert on which device it is, counted from 0. Each of the D devices has at
# least one expert; those of one device need not be neighbours. Return the loss as a torch tensor that holds one number.
# The check also lets autograd find ∂L/∂logits. There are no ties. (DeepSeekMoE, arXiv:2401.06066, adds such a loss to that
# of the experts.)
#
# {{hints 9.4}}


# %% name="answer-9-4"
def my_device_loss(logits, k, device):
    """logits (T, N), a torch tensor, k, device (N,), a numpy array -> the loss, one number"""
    # BEGIN SOLUTION
    on = functional.one_hot(torch.tensor(device)).to(logits.dtype)  # (N, D): 1 where the expert is on the device
    P = (torch.softmax(logits, dim=-1) @ on).mean(dim=0)  # (D,)
    chosen = logits.topk(k, dim=-1).indices  # (T, k)
    F = on[chosen].mean(dim=(0, 1))  # (D,), of whole numbers: no gradient
    return len(F) * (F * P).sum()
    # END SOLUTION


# %%
check("9.4", my_device_loss)

# %% [markdown]
# ## 9.5 Unbalanced, nobody dead, and a loss below 1
#
# {{about 9.5}}
#
# At perfect balance the loss of the lesson, $N \sum_i f_i P_i$, is 1. The lesson brings it far below 1 with experts that are
# dead, and a little below with two living ones. You shall have neither: find a batch of logits (T, N) for a router with
# k = 1 such that
#
# - the load is unbalanced: MaxVio is at least 1, that is, some expert has at least twice the mean load;
# - nobody is dead, or nearly so: every expert has at least a tenth of the mean load;
# - and yet the balance loss is at most 0.9.
#
# T (up to 1,000) and N (up to 64) are yours to choose; the number of rows is T. All logits are finite, and each
# token's largest logit is at least 0.001 above its second largest, so that there is no doubt who is selected. Write a
# list of rows, an array, or code that makes one.
#
# {{hints 9.5}}

# %% name="answer-9-5"
my_batch = ...

# %% name="solution-9-5" tags=["solution"]
winner = np.repeat([0, 1, 2, 3], [20, 16, 2, 2])  # (T,): nobody is dead
nearly = np.where(np.arange(4) < 2, -10.0, 0.0)  # (N,): E3 and E4 nearly win, always
my_batch = np.where(np.eye(4)[winner] == 1, 0.02, nearly)  # (T, N)
load, cv, max_violation, dead = my_statistics(top_k(my_batch, 1)[1], 4, 0.1)
print("P =", softmax(my_batch).mean(axis=0).round(3), " load =", load, " MaxVio", max_violation, " dead", dead)
print("loss:", 4 * (load * softmax(my_batch).mean(axis=0)).sum())

# %%
check("9.5", my_batch)

# %% [markdown]
# So a value below 1 says neither that the load is even nor that somebody is dead. In a training log, look at the numbers of
# 9.1.
#
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:09), which show one way of several. Then go on to
# [](lesson:10).
