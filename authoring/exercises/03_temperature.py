# %% [markdown]
# # Exercises 03 · Temperature
#
# {{questions}}, on [](lesson:03). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Use numpy (torch and scipy work too). In 3.1 the course's own
# `softmax` is off limits; afterwards you may use it, or yours.

# %% name="setup" tags=["setup"]
import numpy as np
from scipy.optimize import brentq

from moe_lessons.checks import check, progress
from moe_lessons.routing import softmax, top_k

# %% [markdown]
# ## 3.1 Tempered softmax, down to τ = 0.000001
#
# {{about 3.1}}
#
# Write the softmax with temperature for one token, h of shape (N,), and for a batch, h of shape (T, N). It must stay
# right to four digits
#
# - for every τ down to 0.000001, and for logits of ±10000;
# - when a logit is −∞ (a mask: its probability is 0; no row is all −∞);
# - in float32, where two logits may differ by as little as τ.
#
# {{hints 3.1}}


# %% name="answer-3-1"
def my_softmax(h, tau):
    """h (N,) or (T, N), tau > 0 -> probabilities of the same shape, each row sums to 1"""
    # BEGIN SOLUTION
    gaps = (h - h.max(axis=-1, keepdims=True)) / tau  # (..., N), none above 0
    e = np.exp(gaps)  # (..., N)
    return e / e.sum(axis=-1, keepdims=True)
    # END SOLUTION


# %%
check("3.1", my_softmax)

# %% [markdown]
# ## 3.2 The temperature for a wanted entropy
#
# {{about 3.2}}
#
# How high must τ be for the softmax of h/τ to have a given entropy? There is no formula. But here the largest logit is
# alone at the top, and then there is exactly one answer. Find it to within 0.0001 nats of entropy. `target` is in nats,
# above 0 and below ln N; the logits differ, by hundredths or by hundreds.
#
# {{hints 3.2}}


# %% name="answer-3-2"
def my_temperature(h, target):
    """h (N,), target: entropy in nats -> tau, a number above 0"""

    # BEGIN SOLUTION
    def too_much(u):
        p = softmax(h, np.exp(u))  # (N,)
        p = p[p > 0]
        return -(p * np.log(p)).sum() - target

    middle = np.log(np.ptp(h))
    return np.exp(brentq(too_much, middle - 12, middle + 12))
    # END SOLUTION


# %%
check("3.2", my_temperature)

# %% [markdown]
# ## 3.3 A Gumbel-max sampler
#
# {{about 3.3}}
#
# Draw n experts for one token, each draw with the probabilities of the softmax of h/τ. Gumbel noise does it in two
# lines; any way with the right frequencies passes. Take every random number from `rng`, a numpy Generator: with the same seed your function must return the same draws. The check
# draws 20,000 times and compares frequencies; a right sampler fails less than once in a million checks.
#
# {{hints 3.3}}


# %% name="answer-3-3"
def my_sample(h, tau, n, rng):
    """h (N,), tau > 0, n draws, rng: numpy Generator -> indices (n,), whole numbers from 0 to N - 1"""
    # BEGIN SOLUTION
    noise = -np.log(-np.log(rng.uniform(size=(n, len(h)))))  # (n, N)
    return (h / tau + noise).argmax(axis=1)  # (n,)
    # END SOLUTION


# %%
check("3.3", my_sample)

# %% [markdown]
# ## 3.4 A geometric schedule with two bugs
#
# {{about 3.4}}
#
# The function below should return `steps` temperatures: the first is `start`, the last is `end`, and each is the one
# before it times a constant. It holds two bugs. Look at what it prints, then write it without them.


# %% name="buggy-3-4"
def annealed(start, end, steps):
    ratio = (start / end) ** (1 / steps)
    return start * ratio ** np.arange(steps)


print("from 4 to 1 in 3 steps:", annealed(4.0, 1.0, 3).round(3), "   wanted: 4, 2, 1")

# %% [markdown]
# {{hints 3.4}}


# %% name="answer-3-4"
def my_schedule(start, end, steps):
    """start, end > 0, steps >= 2 -> temperatures (steps,), from start to end with equal ratios"""
    # BEGIN SOLUTION
    ratio = (end / start) ** (1 / (steps - 1))
    return np.array([start * ratio**step for step in range(steps)])
    # END SOLUTION


# %%
check("3.4", my_schedule)

# %% [markdown]
# ## 3.5 Probabilities that choose otherwise
#
# {{about 3.5}}
#
# Find logits and a τ for which the two largest *probabilities in float32* belong to other experts than the two largest
# logits. At least three experts, finite logits, and a clear order: the second and the third logit must differ, in float32
# too. Any example with this property is right. The cell below lets you try.
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
