# %% [markdown]
# # 02 · Softmax gating
#
# **What does the softmax do to the scores, and what does it not do?** It stands between the logits and everything that
# follows, and much that is said of it is half true: that it amplifies, that it measures confidence, that a new router
# is fair. Here you take each of these apart.
#
# You will be able to
#
# 1. turn a gap between logits into a ratio, and say which gap one expert needs against N − 1 others;
# 2. write a softmax that survives every logit, and say between which bounds the log-sum-exp lies;
# 3. explain why a gate's probability is not a confidence;
# 4. compute the dense mixture of all experts, and count what it costs;
# 5. measure how decided a router is, and say what the scale of `W_g` does to it.
#
# **Before:** [](lesson:01). **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import compare, reveal
from moe_lessons.data import worked_example, worked_experts
from moe_lessons.figures.softmax import entropy_svg, softmax_svg
from moe_lessons.precision import softmax_steps
from moe_lessons.routing import log_sum_exp, noisy_logits, route, softmax
from moe_lessons.widgets.live import Live, choice, slider

# %% [markdown]
# ## A gap is a ratio, wherever it lies
#
# In lesson 01 a gap of 0.22 made E3 1.25 times as likely. Below are four pairs of logits: A (3, 1), B (103, 101),
# C (0.3, 0.1) and D (30, 10). In A the first expert is 7.39 times as likely as the second.
#
# **Predict.** And in D: how many digits has that number before its point?

# %% name="predict-pair" tags=["predict"]
my_digits = ...  # a whole number

# %%
pairs = {"A": (3.0, 1.0), "B": (103.0, 101.0), "C": (0.3, 0.1), "D": (30.0, 10.0)}
lead = {name: np.exp(first - second) for name, (first, second) in pairs.items()}
compare(my_digits, len(str(int(lead["D"]))))
print("       logits     ratio of logits    gap    ratio of probabilities")
for name, (first, second) in pairs.items():
    print(f"{name}  {first:6.1f} {second:6.1f} {first / second:12.2f} {first - second:12.1f} {lead[name]:18,.2f}")
assert lead["A"] == lead["B"]
assert lead["C"] < 1.25

# %% [markdown]
# Does the softmax amplify, then? In D enormously, in C it shrinks what the logits' ratio suggested, and in B a ratio of
# 1.02 becomes the same 7.39 as in A. There is no factor of amplification. There is one rule: **each further unit of gap
# multiplies the ratio by e**.
#
# $$\frac{p_i}{p_j} = e^{h_i - h_j}$$
#
# So a factor on all logits is not harmless, as a shift is. It multiplies every gap, which raises every ratio to a
# power:

# %%
h = np.array([3.0, 1.0, 0.0, -1.0])  # (N,)
for c in (0.5, 1, 2, 3):
    p = softmax(c * h)  # (N,)
    print(f"{c:>3} · h: p = {p.round(3)}   p1/p2 = {p[0] / p[1]:7.2f} = 7.39 to the power {c}")
    assert np.isclose(p[0] / p[1], (np.e**2) ** c)

# %% [markdown]
# ## A clear lead is not yet a large share
#
# A layer has N = 64 experts. E1 has logit 2; all 63 others have logit 0. Against each of them E1 leads by e² = 7.39.
#
# **Predict.** What is the probability of E1?

# %% name="predict-share" tags=["predict"]
my_share = ...  # a number between 0 and 1


# %%
def share_of_first(gap, N):
    """One expert leads N - 1 equal others by `gap`: its probability"""
    return softmax([gap] + [0.0] * (N - 1))[0]


compare(my_share, share_of_first(2.0, 64))
print(" N    share at gap 2    gap needed for one half")
for N in (2, 4, 8, 64, 256):
    needed = np.log(N - 1)
    print(f"{N:>3} {share_of_first(2.0, N):12.3f} {needed:20.3f}")
    assert np.isclose(share_of_first(needed, N), 0.5)

# %% [markdown]
# The rival is not the runner-up but *everybody else together*: $p_1 = 1 / (1 + (N - 1)\,e^{-\text{gap}})$. What counts
# as a large gap grows with N, like its logarithm.
#
# ## The level is lost
#
# Adding c to every logit multiplies every exponential by $e^c$, and their sum too, so it cancels. You have seen that.
# What follows from it is less familiar.
#
# > **Myth: "a large logit means a large probability."** Two lines break it: four experts, each with logit 100.

# %%
print("four logits of 100:", softmax([100.0] * 4))
print("four logits of −100:", softmax([-100.0] * 4))
assert np.array_equal(softmax([100.0] * 4), softmax([-100.0] * 4))

# %% [markdown]
# Right is: only gaps count. Every token hands out exactly as much weight as any other: even if we meant very low logits
# to say "suits nobody", the softmax could not pass that on.
#
# ## Large logits
#
# That shifts change nothing is true on paper. Take logits 1000 and 998, so the gap is 2, and use the formula as it
# stands: exponentials, divided by their sum.
#
# **Predict.** Which probability does Python print for the first?

# %% name="predict-overflow" tags=["predict"]
my_result = ...  # what Python prints; words in quotes


# %%
def naive_softmax(h):
    """h (N,) -> p (N,), by the formula as it stands"""
    e = np.exp(h)  # (N,)
    return e / e.sum()  # (N,)


with np.errstate(all="ignore"):  # numpy would warn: that is the subject here
    compare(my_result, naive_softmax(np.array([1000.0, 998.0]))[0])
    for logits in ([1000.0, 998.0], [-1000.0, -1002.0]):
        print("logits", logits, "  exponentials", np.exp(logits), "  probabilities", naive_softmax(np.array(logits)))

# %% [markdown]
# `inf` means: larger than any number of this format; ∞/∞ is no number (`nan`). Far below zero all exponentials become
# 0, and 0/0 is none either. How soon that happens depends on the format: lesson 02b, which you can read at any time.
#
# The cure is the shift itself, used on purpose: subtract the largest logit first. Then no exponent is above 0, and the
# sum is at least 1.


# %%
def stable_softmax(h):
    """h (N,) -> p (N,), for logits of any size"""
    e = np.exp(h - h.max())  # (N,), the largest is 1
    return e / e.sum()  # (N,)


for logits in ([1000.0, 998.0], [-1000.0, -1002.0], [1e4, -1e4], [0.5, -np.inf]):
    h_test = np.array(logits)
    print(f"{logits!s:>18}: {stable_softmax(h_test).round(3)}")
    assert np.allclose(stable_softmax(h_test), softmax(h_test))
assert np.allclose(stable_softmax(h), naive_softmax(h))

# %% [markdown]
# The last row: a logit of −∞ gets exactly 0. Lesson 04 uses that as a mask.
#
# Now break it yourself. The black marks show the exact probabilities, the bars what the chosen form makes.
#
# 1. Stable: move `shift` from end to end. What moves, and what does not?
# 2. Naive: at which shift does it give up? And at the other end?

# %% name="picture-softmax"
Live(
    lambda shift, form, **logits: softmax_svg([*logits.values()], shift, form, "float32", [*logits]),
    shift=slider("shift", 0, -120, 120, 1),
    form=choice("form", ["stable", "naive"]),
    **{f"h{i + 1}": slider(f"logit of E{i + 1}", value, -4.0, 4.0, 0.1, expert=i) for i, value in enumerate(h)},
)

# %% [markdown]
# You should see, in this order:
#
# 1. The stored logits move, and with them max and LSE (the logarithm of the sum, below); no exponential, bar or dot
#    does.
# 2. Going up, the naive form gives up at a shift of 86 (the picture computes in float32). Going down, it has nothing
#    but zeros to divide from −107, and from −103 its numbers are visibly wrong.


# %%
def naive_at(shift):
    return softmax_steps(h + shift, "float32", stable=False)


error = {shift: np.abs(naive_at(shift).probs - softmax(h)).max() for shift in range(0, -107, -1)}
print("going up, the sum is ∞ from", next(shift for shift in range(121) if np.isinf(naive_at(shift).total)))
print("going down, wrong by more than 0.005 from", next(shift for shift, size in error.items() if size > 0.005))
print("                   and the sum is 0 from", next(s for s in range(0, -121, -1) if naive_at(s).total == 0))
assert np.isfinite(naive_at(85).total)
assert np.isinf(naive_at(86).total)
assert naive_at(-107).total == 0 < naive_at(-106).total
assert error[-103] > 0.005 > error[-102]

# %% [markdown]
# ## The log-sum-exp
#
# The logarithm of the softmax's denominator has a name of its own, the **log-sum-exp**, and a place in the loss of
# lesson 07: $\text{LSE}(h) = \ln \sum_j e^{h_j}$, so that $p_i = e^{h_i - \text{LSE}}$. In the picture above it is
# the dot "exact LSE".
#
# **Predict.** Four logits are 2, 2, 2 and 2. What is their LSE? (e² is about 7.39; ln 4 is about 1.39.)

# %% name="predict-lse" tags=["predict"]
my_lse = ...  # a number

# %%
compare(my_lse, log_sum_exp([2.0, 2.0, 2.0, 2.0]))
print(f"max {h.max():.3f} ≤ LSE {log_sum_exp(h):.3f} ≤ max + ln 4 = {h.max() + np.log(4):.3f}")
print("e to the (h − LSE):", np.exp(h - log_sum_exp(h)).round(3), "  softmax:", softmax(h).round(3))
assert np.allclose(np.exp(h - log_sum_exp(h)), softmax(h))

# %% [markdown]
# The sum is at least its largest term, and at most N times that term. Take logarithms:
# $\max h \le \text{LSE}(h) \le \max h + \ln N$. Which end it is near tells how large the largest probability is: $\text{LSE} - \max h = -\ln p_{\max}$.

# %%
rng = np.random.default_rng(0)
for spread in (0.1, 1.0, 10.0, 100.0):
    logits = spread * rng.normal(size=(2000, 8))  # (T, N)
    above = log_sum_exp(logits) - logits.max(axis=-1)  # (T,)
    print(
        f"logits spread over {spread:5}: LSE − max from {above.min():.3f} to {above.max():.3f}; ln 8 = {np.log(8):.3f}"
    )
    assert above.min() >= 0
    assert above.max() <= np.log(8) + 1e-12

# %% [markdown]
# The LSE itself measures the level, which the softmax forgets. It says nothing of how decided the router is:

# %%
for logits in ([5.0, 5.0, 5.0, 5.0], [0.0, -100.0, -100.0, -100.0]):
    print(f"{logits}: LSE {log_sum_exp(logits):.3f}, probabilities {softmax(logits).round(3)}")
assert log_sum_exp([0.0, -100.0, -100.0, -100.0]) < 1e-12

# %% [markdown]
# So level and decidedness are two things. Lesson 07 meets a loss of the level alone.
#
# ## A probability is not a confidence
#
# To test a probability one must know the truth. So we plant it. Each token is drawn from one of four groups: x is the
# centre of its group plus noise. Column i of `W_g` is the centre of group i. So E2 with probability 0.7 would say: this
# token is from group 2, with a chance of 70 %. For every token the cell notes two things:
#
# - what the router **says**: its largest probability;
# - whether it is **right**: whether that expert's group is the one that the token was drawn from.
#
# For exactly this task the softmax is the true probability of each group: how many times as likely one group is as
# another depends on the difference of their two logits alone. (That holds for groups that are equally frequent, equally
# spread and equally far from 0.) On average it says 0.82, and it is right for 82 % of the tokens. Then we multiply `W_g` by 3, and, for
# comparison, by 1/3. No first choice changes.
#
# **Predict.** With `W_g` × 3, what is the mean of the largest probability, in per cent?

# %% name="predict-stated" tags=["predict"]
my_stated = ...  # a number from 0 to 100


# %%
def stated_and_right(scale, seed, T=4000, d=8, N=4):
    """What the router says of each token, and whether it is right: (T,), (T,)"""
    rng = np.random.default_rng(seed)
    centres = 2 * np.eye(N, d)  # (N, d)
    group = rng.integers(N, size=T)  # (T,), the truth, which the router does not see
    x = centres[group] + rng.normal(size=(T, d))  # (T, d), a centre plus noise
    p = softmax(x @ (scale * centres.T))  # (T, N)
    return p.max(axis=1), p.argmax(axis=1) == group  # says, is right


runs = {scale: [stated_and_right(scale, seed) for seed in range(5)] for scale in (1 / 3, 1, 3)}
means = {scale: np.mean(run, axis=2) for scale, run in runs.items()}  # (seeds, 2): stated, right
compare(my_stated, 100 * means[3][:, 0].mean(), unit="%", within="5 %")
for scale, both in means.items():
    (says, right), low, high = both.mean(axis=0), both.min(axis=0), both.max(axis=0)
    print(f"W_g × {scale:.2f}: says {says:.1%} ({low[0]:.1%} to {high[0]:.1%}), "
          f"is right in {right:.1%} ({low[1]:.1%} to {high[1]:.1%})")  # fmt: skip
too_sure = {scale: both[:, 0] - both[:, 1] for scale, both in means.items()}  # (seeds,) each
assert means[1].mean(axis=0).round(2).tolist() == [0.82, 0.82]
assert all(np.array_equal(runs[1][i][1], runs[scale][i][1]) for scale in runs for i in range(5))
assert np.abs(too_sure[1]).max() < 0.02
assert too_sure[3].min() > 0.1
assert too_sure[1 / 3].max() < -0.25

# %% [markdown]
# The same choices, equally often right over five seeds, and three different "confidences". Only the scale that fits the
# noise of the data tells the truth.
#
# > **Myth: "E3 has probability 0.95, so the router is 95 % sure that E3 is the right expert."** Take the choices that
# > were stated with at least 0.9, and count.

# %%
for scale in (1, 3):
    sure = [(s[s >= 0.9].mean(), r[s >= 0.9].mean()) for s, r in runs[scale]]
    print(f"W_g × {scale}: stated {np.mean(sure, axis=0)[0]:.1%}, right {np.mean(sure, axis=0)[1]:.1%}")

# %% [markdown]
# Right is: a gate probability is a **share of the weight**. How much of the output that is depends on the expert's
# output, too. Nobody tells a router in training which expert is right, and the number also sets how loud the expert is.
# Whether training still ends at a scale that makes it a confidence is not measured here. Our toy has a truth only
# because we planted one.
#
# ## All experts at once: the dense mixture
#
# The plainest use of these shares lets every expert work: $y = \sum_{i=1}^{N} p_i\,E_i(x)$. Here for the token of
# lesson 01, beside its top-2 output.

# %%
x, W_g = worked_example()  # (d,), (d, N)
experts = worked_experts()
outputs = np.array([expert(x) for expert in experts])  # (N, d): every expert runs
y_dense = softmax(x @ W_g) @ outputs  # (N,) @ (N, d) -> (d,)
y_top2 = route(x, W_g, k=2).weights @ outputs  # (d,), with two weights above 0
print("dense:", y_dense.round(4), "  top-2:", y_top2.round(4))

# %% [markdown]
# What does it cost? A layer with N = 64 experts gets T = 1000 tokens.

# %%
T, N, k = 1000, 64, 2
print(f"dense {T * N} runs, top-{k} {T * k} runs: {N // k} times as many")
p = softmax(np.random.default_rng(0).normal(size=(T, N)))  # (T, N)
print(f"of the dense runs, {np.mean(p < 0.01):.0%} carry a weight below 0.01 (the fair share is {1 / N:.3f}):")
print(f"together they hold {p[p < 0.01].sum() / T:.0%} of all the weight")

# %% [markdown]
# A weight of 0.001 costs as much work as one of 0.9: the expert must run before its output can be made small. This is
# why the next lessons select.
#
# > **Note** Some texts call this dense mixture "Soft MoE". Puigcerver et al. 2023 (arXiv:2308.00951) gave that name to
# > something else: there each *expert* receives weighted averages of all tokens. In the dense mixture each token goes
# > to the experts unmixed; only their outputs are averaged.
#
# ## Many tokens, a fresh router
#
# Now a batch: 1000 random tokens, normalised as in lesson 01, and a router that has learned nothing. Its entries are
# drawn as `torch.nn.Linear` draws them, evenly between −1/√d and 1/√d.


# %%
def rms_norm(z):
    """z (..., d) -> same shape, root mean square 1"""
    return z / np.sqrt(np.mean(z**2, axis=-1, keepdims=True))


def fresh_router(rng, d=64, N=8):
    """W_g (d, N) before any training"""
    return rng.uniform(-1, 1, size=(d, N)) / np.sqrt(d)


rng = np.random.default_rng(0)
tokens = rms_norm(rng.normal(size=(1000, 64)))  # (T, d)
h_fresh = tokens @ fresh_router(rng)  # (T, N)
print("the first four tokens, a row each:", softmax(h_fresh[:4]).round(2), sep="\n")
print("sums of the rows:", softmax(h_fresh[:4]).sum(axis=-1).round(6))

# %% [markdown]
# One number per row tells how decided it is: the **entropy** $H = -\sum_i p_i \ln p_i$, from 0 (one expert has all) to
# $\ln N$ (all alike). Since $\ln p_i = h_i - \text{LSE}$, it needs no logarithm of a probability.
#
# **Predict.** What is the mean entropy of this fresh router, in per cent of ln 8?

# %% name="predict-entropy" tags=["predict"]
my_percent = ...  # a number from 0 to 100


# %%
def entropy(h):
    """h (..., N) -> entropy of softmax(h) in nats, (...)"""
    return log_sum_exp(h) - (softmax(h) * h).sum(axis=-1)


H = entropy(h_fresh)  # (T,)
compare(my_percent, 100 * H.mean() / np.log(8), unit="%", within=3)
print(
    f"ln 8 = {np.log(8):.3f} nats; the tokens' entropies: lowest {H.min():.3f}, mean {H.mean():.3f}, highest {H.max():.3f}"
)
assert 0.9 < H.mean() / np.log(8) < 0.97

# %% [markdown]
# Near ln N: it starts out nearly undecided, though not quite. Below is the entropy of every one of the 1000 tokens. The
# slider multiplies `W_g`, and with it every logit.
#
# **Before you move it:** which of the picture's three lines of text will stay the same at every scale above 0? Then
# find the scale at which the mean entropy is half of ln 8. What happens at 0?

# %% name="picture-entropy"
Live(lambda scale: entropy_svg(h_fresh, scale), scale=slider("scale of W_g", 1.0, 0.0, 10.0, 0.1))

# %% [markdown]
# You should see the heap leave the right edge, spread over the whole axis, then pile up at 0. The mean is one half of
# ln 8 near a scale of 4.3, and not one first choice changes. At 0 all logits tie.
#
# Is that one lucky router? Five of them:


# %%
def fresh(seed):
    """Logits of 1000 fresh tokens under a fresh router: (T, N)"""
    rng = np.random.default_rng(seed)
    return rms_norm(rng.normal(size=(1000, 64))) @ fresh_router(rng)


print("scale   entropy / ln 8 (lowest to highest)   largest p   first choices moved")
for scale in (0.1, 1, 4.3, 10, 30):
    logits = [fresh(seed) for seed in range(5)]
    part = [entropy(scale * h).mean() / np.log(8) for h in logits]
    largest = np.mean([softmax(scale * h).max(axis=-1).mean() for h in logits])
    moved = sum((softmax(scale * h).argmax(axis=-1) != h.argmax(axis=-1)).sum() for h in logits)
    print(f"{scale:>5} {np.mean(part):12.3f} ({min(part):.3f} to {max(part):.3f}) {largest:18.3f} {moved:12}")
    assert moved == 0
assert abs(entropy(4.3 * h_fresh).mean() / np.log(8) - 0.5) < 0.005

# %% [markdown]
# **Draw it yourself**, with matplotlib: the mean entropy over the scale. The numbers are there, two lines are missing.
# Write them in place of the dots, and run the cell again.

# %% name="draw-entropy"
import matplotlib.pyplot as plt

scales = np.linspace(0, 30, 61)  # (61,)
mean_entropy = [entropy(scale * h_fresh).mean() for scale in scales]  # nats
fig, ax = plt.subplots(figsize=(6, 3))
...  # mean_entropy over scales: ax.plot(what runs to the right, what runs upwards)
...  # a dashed line at the height of ln 8: ax.axhline(height, linestyle="--")
assert np.isclose(entropy(0 * h_fresh).mean(), np.log(8))
assert all(np.diff([entropy(scale * h_fresh).mean() for scale in range(31)]) < 0)
assert entropy(30 * h_fresh).mean() < 0.2
assert entropy(5 * h_fresh).mean() < np.log(8) / 2
ax.set(xlabel="scale of W_g", ylabel="mean entropy, nats")
plt.show()

# %% [markdown]
# <details><summary>Two lines that do it</summary>
#
# `ax.plot(scales, mean_entropy)` and `ax.axhline(np.log(8), linestyle="--")`
#
# </details>
#
# You should see empty axes at first. With your lines: a curve that starts on the dashed line, at scale 0, falls all the
# way, more than half of it before a scale of 5, and is below 0.2 at 30.
#
# > **Myth: "a low entropy shows that the router has learned to specialise."** Two lines: take the untrained router
# > times 30.

# %%
print(f"untrained router × 30: entropy {entropy(30 * h_fresh).mean() / np.log(8):.1%} of ln 8")
print(
    "what it has learned: nothing. First choices as before:",
    (30 * h_fresh).argmax(-1).tolist() == h_fresh.argmax(-1).tolist(),
)
assert entropy(30 * h_fresh).mean() < 0.1 * np.log(8)

# %% [markdown]
# Right is: entropy tells how decided a router is, not whether it decides well. Compare it only at equal N, and beside
# an untrained router of the same scale.
#
# ## Recap
#
# 1. A gap becomes a ratio, e to the gap. Level and ratio of the logits do not matter; their scale does. Against N − 1
#    equal others, a gap of ln(N − 1) buys one half.
# 2. Subtract the largest logit, and no exponential overflows. LSE lies between max and max + ln N.
# 3. A probability is a share of the weight. Scaling `W_g` by a factor above 0 changes it, with the same choices.
# 4. The dense mixture $\sum_i p_i E_i(x)$ runs all N experts, however small their shares.
# 5. Drawn as torch draws it, a fresh router's entropy is near ln N; a larger scale lowers it, and teaches it nothing.
#
# **What this lesson cannot tell you:** how large the logits of a *trained* router are, or ought to be. That is what
# training decides (lessons 07 and 08).
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:02), {{questions}}.
# - The code you used: `softmax` and `log_sum_exp` in [](module:routing).
# - Lesson 03: the scale gets a knob of its own, the temperature.

# %% [markdown] name="deeper-start" tags=["deeper"]
# ## Deeper: how large should a fresh router be?
#
# The scale at the start is a choice. Fedus et al. draw all weights from a normal distribution of variance s/d, values
# beyond two standard deviations drawn again (which leaves a variance of about 0.77 s/d), and found s = 0.1 better and
# steadier than 1. Shazeer et al. 2017 (arXiv:1701.06538) set
# `W_g` to zero. Then all logits tie: what does top-2 do?


# %% name="deeper-start-cell" tags=["deeper"]
def switch_router(rng, s, d=64, N=8):
    """W_g (d, N): normal, variance s/d, redrawn beyond two standard deviations"""
    W = rng.normal(size=(d, N))
    while (far := np.abs(W) > 2).any():
        W[far] = rng.normal(size=far.sum())
    return W * np.sqrt(s / d)


rng, zeros = np.random.default_rng(0), np.zeros((64, 8))  # zeros: (d, N)
for name, W in {"s = 1": switch_router(rng, 1.0), "s = 0.1": switch_router(rng, 0.1), "zeros": zeros}.items():
    load = np.bincount(route(tokens, W, k=2).selected.ravel(), minlength=8)  # (N,)
    print(f"{name:<8} entropy {entropy(tokens @ W).mean() / np.log(8):6.1%} of ln 8, tokens per expert {load}")
left = switch_router(np.random.default_rng(0), 1.0, d=4096).var() * 4096
print(f"variance left after drawing again: {left:.2f} s/d")
assert abs(left - 0.774) < 0.015
noisy = noisy_logits(tokens, zeros, zeros, rng)  # (T, N)
print("zeros with Shazeer's noise: first choices per expert", np.bincount(noisy.argmax(axis=-1), minlength=8))
assert route(tokens, zeros, k=2).selected.tolist() == [[0, 1]] * len(tokens)

# %% [markdown] name="deeper-myth" tags=["deeper"]
# With zeros every token goes to the first k experts, since of equal logits the lower index wins. Shazeer's router adds
# noise in training, which breaks the ties.
#
# > **Myth: "standard initialisation ensures that all experts get tokens."** Compare the mean probability of each expert
# > with its share of first choices, and that with throwing a fair die of N faces. Tokens first without, then with a
# > part that they all share. Everything is divided by the fair share, so 1 is fair.


# %% name="deeper-myth-cell" tags=["deeper"]
def least_and_most(common, seed, T=4000, d=64, N=8):
    """Least and most, in fair shares: mean probability, first choices, a fair die. (6,)"""
    rng = np.random.default_rng(seed)
    x = rms_norm(rng.normal(size=(T, d)) + common * rng.normal(size=d))  # (T, d)
    h = x @ fresh_router(rng, d, N)  # (T, N)
    die = rng.multinomial(T, np.full(N, 1 / N))  # (N,)
    shares = softmax(h).mean(axis=0), np.bincount(h.argmax(axis=-1), minlength=N) / T, die / T  # (N,) each
    return np.array([N * end for share in shares for end in (share.min(), share.max())])


for common in (0.0, 0.5, 1.0):
    found = np.array([least_and_most(common, seed) for seed in range(10)])  # (seeds, 6)
    names = ("mean probability", "first choices", "fair die")
    means = [f"{name} {found[:, 2 * i].mean():.2f} to {found[:, 2 * i + 1].mean():.2f}" for i, name in enumerate(names)]
    print(f"common part {common}: {'; '.join(means)}; seeds with an empty expert: {np.sum(found[:, 2] == 0)}")
    assert found[:, 2].mean() < found[:, 4].mean()
    assert found[:, 3].mean() > found[:, 5].mean()
    assert common < 1 or found[:, 2].min() == 0

# %% [markdown] name="deeper-myth-right" tags=["deeper"]
# (Means over ten seeds of the least and the most served expert.) Right is: without a common part the mean
# *probabilities* are nearly even and the *choices* are not, beyond what chance explains. With a common part neither is,
# and the last number counts the seeds in which an expert stays empty. Lesson 09 begins here.
