# %% [markdown]
# # 02b · Numbers with fewer bits (optional)
#
# **Can a router change its mind because its numbers are short?** Large models store most numbers in 16 bits. On paper
# the softmax has one answer. Here you see where a format gives another one, which of these faults the stable form
# cures, and which it cannot.
#
# You will be able to
#
# 1. say how float16, bfloat16 and float32 share their bits between range and steps;
# 2. tell overflow, underflow and rounding apart, and say which of them subtracting the maximum cures;
# 3. say when a selection changes, and why routers select on logits, in float32.
#
# **Before:** [](lesson:02). **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import compare, reveal
from moe_lessons.figures.softmax import softmax_svg
from moe_lessons.precision import softmax_steps, to_bfloat16
from moe_lessons.routing import softmax, top_k
from moe_lessons.widgets.live import Live, choice, slider

# %% [markdown]
# ## Range and steps
#
# A floating-point number is a sign, some significant bits (binary digits, from the first 1 on), and a power of two.
# More bits for the power: a wider range. More significant bits: finer steps. numpy knows float16, float32 and float64.
# bfloat16, which most language models are trained in, is float32 with its lower half cut off: the same range, and 8
# significant bits.
#
# **Predict.** With 8 significant bits, numbers from 128 (2 to the 7) to 256 lie how far apart?

# %% name="predict-step" tags=["predict"]
my_step = ...  # a number


# %%
def step(number):
    """The distance of bfloat16 numbers just above `number`"""
    stored = np.unique(to_bfloat16(number * np.linspace(1, 1.1, 2001)))
    return np.diff(stored).max()


compare(my_step, step(128.0))
for number in (2.0, 32.0, 128.0, 1024.0):
    half, single = (np.spacing(dtype(number)) for dtype in (np.float16, np.float32))
    print(f"from {number:>6}: bfloat16 in steps of {step(number):g}, float16 of {half:.2g}, float32 of {single:.2g}")
for dtype in (np.float16, np.float32, np.float64):
    largest = float(np.finfo(dtype).max)
    print(f"{dtype.__name__}: largest number {largest:8.3g}, so e^h overflows above h = {np.log(largest):6.2f}")
assert np.log(float(np.finfo(np.float32).max)).round(2) == 88.72

# %% [markdown]
# So bfloat16 overflows as late as float32, and rounds far more coarsely. float16 is the other way about.
#
# ## Three faults
#
# The black marks show the exact probabilities of the logits 3, 1, 0 and −1, the bars what a form and a format make of
# them. `shift` is added to every logit, which on paper changes nothing.
#
# 1. Naive: at which shift does float32 give up? And float16? Look at the other end, too.
# 2. Stable, bfloat16, shift 120. Change E3 in small steps. What is wrong here?

# %% name="picture-formats"
h = np.array([3.0, 1.0, 0.0, -1.0])  # (N,)
Live(
    lambda shift, form, precision, h3: softmax_svg([3.0, 1.0, h3, -1.0], shift, form, precision, ["", "", "h3", ""]),
    shift=slider("shift", 0, -120, 120, 1),
    form=choice("form", ["naive", "stable"]),
    precision=choice("number format", ["float32", "bfloat16", "float16"]),
    h3=slider("logit of E3", 0.0, -4.0, 4.0, 0.1, expert=2),
)

# %% [markdown]
# You should see, in this order:
#
# 1. Going up, the naive form **overflows** at a shift of 86 in float32 and of 8 in float16. In float16 at 8 each
#    exponential still fits but their sum does not; a finite number over ∞ is 0, so the shares sum to 0 and nothing
#    warns you. Going down, the exponentials **underflow**: there is nothing but zeros from −107 in float32, from −21 in
#    float16. Before that, from −103 and −16, the shares are visibly wrong. Silent wrong numbers are worse than `nan`.
# 2. The stable form cures both, and not the third: **rounding**. Near 120 bfloat16 stores steps of 0.5, so small gaps
#    are gone before the softmax begins.


# %%
def first_shift(precision, shifts):
    """The first of these shifts at which the naive form's sum is ∞ or 0: no probabilities"""
    sums = [softmax_steps(h + shift, precision, stable=False).total for shift in shifts]
    return next(shift for shift, total in zip(shifts, sums, strict=True) if np.isinf(total) or total == 0)


def first_wrong(precision):
    """The first shift, going down, at which the naive form is wrong by more than 0.005"""
    for shift in range(0, -121, -1):
        if np.abs(softmax_steps(h + shift, precision, stable=False).probs - softmax(h)).max() > 0.005:
            return shift


formats, down = ("float32", "bfloat16", "float16"), ("float32", "float16")
print("naive form, going up:  ", {name: first_shift(name, range(121)) for name in formats})
print("going down, first wrong:", {name: first_wrong(name) for name in down})
print("going down, no numbers: ", {name: first_shift(name, range(0, -121, -1)) for name in down})
print("bfloat16 stores 120.1, 120.2, 120.3 as", to_bfloat16([120.1, 120.2, 120.3]))
assert (first_shift("float32", range(121)), first_shift("float16", range(121))) == (86, 8)
assert [first_wrong(name) for name in down] == [-103, -16]
assert [first_shift(name, range(0, -121, -1)) for name in down] == [-107, -21]
assert softmax_steps(h + 8, "float16", stable=False).probs.tolist() == [0, 0, 0, 0]
assert np.unique(to_bfloat16([120.1, 120.2, 120.3])).tolist() == [120.0, 120.5]

# %% [markdown]
# > **Myth: "the stable softmax cures all numerical trouble."** It cannot bring back a gap that rounding has removed. An
# > example by Zoph et al. 2022 (arXiv:2202.08906): ten logits of 128 and one of 128.5.

# %%
large = np.array([128.0] * 10 + [128.5])  # (11,)
stored, lowered = to_bfloat16(large), to_bfloat16(large - 128)
print(f"exact {softmax(large)[-1]:.3f}, logits rounded to bfloat16 {softmax(stored)[-1]:.3f}, ", end="")
print(f"the same 128 lower {softmax(lowered)[-1]:.3f}")
assert [p[-1].round(3) for p in (softmax(large), softmax(stored), softmax(lowered))] == [
    0.142,
    np.float32(0.091),
    np.float32(0.142),
]

# %% [markdown]
# More than a third of the probability is gone; small logits keep it. Right is: the stable form cures overflow and empty
# sums. What came in rounded stays rounded.
#
# ## The selection
#
# Does it matter *who* is chosen? Different logits that are stored as equal ones tie, and a tie is broken by index, not
# by merit. Two ways lead there. Rounding makes **logits** tie. And underflow makes **probabilities** tie: far below the
# best, all are 0. So, two counts, each with the choices of the exact logits as its baseline.
#
# **Predict.** 64 experts, standard normal logits, k = 2. Stored in bfloat16 in place of 64 bits: of 100 tokens, how
# many get another pair?

# %% name="predict-flips" tags=["predict"]
my_flips = ...  # tokens of 100


# %%
def pairs(scores):
    """scores (T, N) -> the two best experts of each token, in order of their index (T, 2)"""
    return np.sort(top_k(scores, 2)[1], axis=-1)


def moved(change, seed, level=0.0):
    """Of 100 tokens, those whose pair is another one after `change`"""
    logits = np.random.default_rng(seed).normal(size=(2000, 64)) + level  # (T, N), float64
    return 100 * (pairs(change(logits)) != pairs(logits)).any(axis=-1).mean()


def told(name, runs):
    print(f"{name:<34} {np.mean(runs):5.1f} (from {min(runs):.1f} to {max(runs):.1f} in five seeds)")


by_level = {level: [moved(to_bfloat16, seed, level) for seed in range(5)] for level in (0, 8, 128)}
compare(my_flips, np.mean(by_level[0]), within="a factor of 2")
for level, runs in by_level.items():
    told(f"bfloat16 logits, level {level}", runs)
told("float32 logits, level 128", [moved(np.float32, seed, 128) for seed in range(5)])
for tau in (1, 0.1, 0.01):
    runs = [moved(lambda h, tau=tau: softmax(h.astype(np.float32), tau), seed) for seed in range(5)]
    told(f"float32 probabilities, τ = {tau}", runs)

# %% [markdown]
# The level, which the softmax forgets, decides how many bits are left for the gaps. Probabilities in float32 select
# as logits do until a low temperature (lesson 03), or large logits, push all but the best to 0. `routing.route` selects
# on the logits for every gate form, which costs nothing.
#
# So far only the logits were rounded. In a model that is stored in bfloat16, x and `W_g` are too, before the product.
# Does it help to compute their product in 64 bits?


# %%
def moved_by_inputs(seed, T=2000, d=256, N=64):
    """Of 100 tokens, those whose pair changes where x and W_g were stored in bfloat16; and those with two equal logits"""
    rng = np.random.default_rng(seed)
    x, W_g = rng.normal(size=(T, d)), rng.normal(size=(d, N)) / np.sqrt(d)  # (T, d), (d, N)
    exact, rounded = x @ W_g, to_bfloat16(x).astype(float) @ to_bfloat16(W_g).astype(float)  # (T, N) each
    ties = (np.diff(np.sort(rounded)) == 0).any(axis=-1)  # (T,)
    return 100 * (pairs(rounded) != pairs(exact)).any(axis=-1).mean(), 100 * ties.mean()


changed, tied = np.array([moved_by_inputs(seed) for seed in range(5)]).T  # (seeds,) each
told("x and W_g in bfloat16", changed)
told("of these logits, two are equal", tied)
assert min(changed) > 0
assert max(tied) == 0

# %% [markdown]
# No ties, and other pairs all the same: rounded inputs put close scores into another order, and no format of the
# product brings it back.
#
# > **Note** Three remedies are in use. Routers compute in float32 while the rest of the model stays in bfloat16 (Fedus
# > et al. 2021, arXiv:2101.03961, whose run in bfloat16 alone diverged). A *z-loss* in training keeps logits small,
# > where numbers lie close together: that is the reason Zoph et al. give for it. And selecting on logits.
#
# ## Recap
#
# 1. float16 has a short range and finer steps, bfloat16 the range of float32 and coarse steps: 1 at 128.
# 2. Inside the softmax, subtracting the maximum cures overflow, and the underflow of the whole sum; small probabilities
#    still become 0. Rounding happens before it and stays.
# 3. A selection changes where different scores are stored as equal ones: logits by rounding, more so at a high level;
#    probabilities by underflow. And rounded inputs put scores into another order without a tie. Select on logits, and
#    compute them in float32 from `x` and `W_g` on.
#
# **What this lesson cannot tell you:** whether a *trained* model gets worse by it. Here logits are random, and we
# counted changes, not losses.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# The code you used: [](module:precision). Lesson 03 goes on where lesson 02 ended.
