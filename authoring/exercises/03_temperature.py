# %% [markdown]
# # Exercises 03 · Temperature
#
# {{questions}}, on [](lesson:03). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Your functions get numpy arrays; scipy works, and torch, if you
# begin with `torch.as_tensor(x)`. In 3.1 the course's own `softmax` is off limits; afterwards you may use what the first
# cell imports.

# %% name="setup" tags=["setup"]
import numpy as np
from scipy.optimize import brentq

from moe_lessons.checks import check, progress
from moe_lessons.metrics import entropy
from moe_lessons.routing import softmax, top_k

# %% [markdown]
# ## 3.1 Log-probabilities at any temperature
#
# {{about 3.1}}
#
# A loss wants ln p, not p. Write the *logarithm* of the softmax with temperature: for one token, h of shape (N,), and
# for a batch, h of shape (T, N). In a batch `tau` may be a number, or an array of shape (T,) with the dtype of h: one
# temperature for each token. Every entry must be right to four digits (near 0 to six decimals)
#
# - for logits of ±10000 at a τ of 0.000001. Then ln p is as low as −20 billion, but it is a number: only a mask has −∞;
# - when a logit is −∞ (that is the mask: its ln p is −∞; no row is all −∞);
# - when τ is as small as the gap between two logits: in float32 0.000001 near 1, in float64 10⁻¹¹ near 9000.
#
# {{hints 3.1}}


# %% name="answer-3-1"
def my_log_softmax(h, tau):
    """h (N,) or (T, N); tau > 0, a number or (T,) -> ln p, of the same shape as h"""
    # BEGIN SOLUTION
    gaps = (h - h.max(axis=-1, keepdims=True)) / np.expand_dims(tau, -1)  # (..., N), none above 0
    return gaps - np.log(np.exp(gaps).sum(axis=-1, keepdims=True))  # (..., N)
    # END SOLUTION


# %%
check("3.1", my_log_softmax)

# %% [markdown]
# ## 3.2 The temperature for a wanted entropy
#
# {{about 3.2}}
#
# How high must τ be for the softmax of h/τ to have a given entropy? There is no formula. But here the largest logit is
# alone at the top, and then there is exactly one answer. Find it to within 0.0001 nats of entropy. `target` is in nats,
# above 0 and below ln N; the logits differ, by hundredths, by hundreds, or some by this and some by that, so that a p may
# be 0. `entropy(p)` gives the entropy of probabilities in nats, `brentq(f, a, b)` the number between a and b at which a
# function f changes its sign.
#
# {{hints 3.2}}


# %% name="answer-3-2"
def my_temperature(h, target):
    """h (N,), target: entropy in nats -> tau, a number above 0"""

    # BEGIN SOLUTION
    def too_much(u):
        return entropy(softmax(h, np.exp(u))) - target

    middle = np.log(np.ptp(h))
    return np.exp(brentq(too_much, middle - 12, middle + 12))
    # END SOLUTION


# %%
check("3.2", my_temperature)

# %% [markdown]
# ## 3.3 k different experts by Gumbel noise
#
# {{about 3.3}}
#
# Lesson 03 draws *one* expert with Gumbel noise. Draw k **different** experts for one token, one after the other: the
# first from the softmax of h/τ, the second from the softmax over those that are left, and so on. Do it n times. Each
# draw is a row: the expert that was drawn first comes first. k is from 1 to N.
#
# Gumbel noise does it without a loop over the k places. Any way with the right frequencies passes, loops as well. Take
# every random number from `rng`, a numpy Generator: with the same seed your function must return the same draws. The
# check draws 10,000 times for each of four tokens and counts how often each row comes. It waits for 15 seconds. A
# right sampler fails less than once in a million checks.
#
# {{hints 3.3}}


# %% name="answer-3-3"
def my_sample(h, tau, k, n, rng):
    """h (N,), tau > 0, n draws, rng: numpy Generator -> indices (n, k), in each row k different ones, from 0 to N - 1"""
    # BEGIN SOLUTION
    noise = -np.log(-np.log(rng.uniform(size=(n, len(h)))))  # (n, N)
    return np.argsort(-(h / tau + noise), axis=1)[:, :k]  # (n, k)
    # END SOLUTION


# %%
check("3.3", my_sample)

# %% [markdown]
# Kool et al. (2019, arXiv:1903.06059) call this the Gumbel-top-k trick.
#
# ## 3.4 A schedule that survives a restart
#
# {{about 3.4}}
#
# A training run lowers τ from 4 to 0.25 in nine values with equal ratios. After four values the machine stops. Five are
# still to come. Here are two programs that go on from there.

# %% name="buggy-3-4"
planned = np.geomspace(4.0, 0.25, 9)  # (steps,)
so_far, left = planned[:4], 5
rests = {
    "planned": planned[4:],
    "program 1": np.geomspace(4.0, 0.25, left),
    "program 2": np.geomspace(so_far[-1], 0.25, left),
}
for name, rest in rests.items():
    print(f"{name:<10} {so_far.round(2)} stop {rest.round(2)}")

# %% [markdown]
# Program 1 starts anew, and τ jumps up. Program 2 uses the present value twice, and then falls too fast. Write a rule
# that needs neither the start nor the number of values so far: from the present temperature, the end, and how many
# values (`left`, at least 1) are still to come *after* the present one, return the next. The last of them is the end.
# Called again and again with its own answers, it must go on by equal ratios. The end may also lie above τ.
#
# {{hints 3.4}}


# %% name="answer-3-4"
def my_next(tau, end, left):
    """tau, end > 0; left >= 1, a whole number -> the next temperature, a number"""
    # BEGIN SOLUTION
    return tau * (end / tau) ** (1 / left)
    # END SOLUTION


# %%
check("3.4", my_next)

# %% [markdown]
# ## 3.5 Probabilities that choose otherwise
#
# {{about 3.5}}
#
# Find logits and a τ for which the two largest *probabilities in float32* belong to other experts than the two largest
# logits. At least three experts, finite logits, and a clear order: the second and the third logit must differ, in float32
# too. Of equal ones the lower index comes first. Any example with this property is right. The cell below lets you try.
#
# {{hints 3.5}}

# %% name="try-3-5"
h = np.array([2.0, 1.0, 0.5], dtype=np.float32)  # change these
tau = 1.0
print("probabilities:", softmax(h, tau))
print("top-2 by logits:", top_k(h, 2)[1], "  top-2 by probabilities:", top_k(softmax(h, tau), 2)[1])

# %% name="answer-3-5"
example = {
    "logits": ...,  # a list of numbers
    "tau": ...,
}

# %% name="solution-3-5" tags=["solution"]
example = {
    "logits": [0, -110, -105],  # e^−110 and e^−105 are both 0 in float32; of equals the first is taken
    "tau": 1.0,
}

# %%
check("3.5", example)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:03), which show one way of several. Then go on to the next
# lesson.
