# %% [markdown]
# # 03 · Temperature
#
# **Does a higher temperature make the router explore other experts?** The temperature τ divides the logits before the
# softmax. That is easy to write down. What follows from it takes a little longer.
#
# You will be able to
#
# 1. say what τ does to the probabilities, at both ends and in between;
# 2. find out for a given router what τ changes: which experts run, how many, or with what weights;
# 3. say what τ does to a router with noise;
# 4. draw samples with Gumbel noise, and compare a chat model's next word with a router's choice;
# 5. tell what a constant τ and `W_g` have to do with each other.
#
# **Before:** [](lesson:01) and [](lesson:02).
# **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
import numpy as np
from scipy.special import entr, expit  # entr(p) = −p ln p, and 0 at p = 0; expit is the sigmoid, 1/(1 + e^−h)

from moe_lessons.checks import compare, reveal
from moe_lessons.data import worked_example
from moe_lessons.figures.temperature import schedules, schedules_svg, temperature_svg
from moe_lessons.routing import GATE_FORMS, log_sum_exp, route, softmax, top_k
from moe_lessons.widgets.live import Live, choice, slider

x, W_g = worked_example()  # (d,), (d, N)
h = x @ W_g  # (N,)
assert h.round(2).tolist() == [-0.18, 0.30, 0.52, -0.26]
holds = {}  # which of the sentences below turn out to be true

# %% [markdown]
# ## Five sentences to bet on
#
# - **a** With a higher temperature, a top-k router tries other experts.
# - **b** Raising τ never lowers the entropy.
# - **c** Noise is added to the logits, and the sum is divided by τ: a higher τ makes the choice more random.
# - **d** There are routers without noise in which τ decides which experts run.
# - **e** Whatever a router computes from h/τ at a fixed τ, another `W_g` computes without τ.
#
# **Predict.** Which of them hold? Type their letters in one word, such as `"ac"`. The cells below measure each, and the
# end of the lesson settles the bet.

# %% name="predict-bet" tags=["predict"]
my_true_ones = ...  # letters, in the order of the alphabet

# %% [markdown]
# ## What τ does to a gap
#
# Take the token of lesson 01, with its logits −0.18, 0.30, 0.52, −0.26. At τ = 1, E3 is 1.246 times as likely as E2.
#
# **Predict.** At which τ is E3 twice as likely as E2?

# %% name="predict-half" tags=["predict"]
my_tau = ...  # a number


# %%
def tempered(h, tau):
    """h (..., N), tau > 0 -> probabilities (..., N)"""
    e = np.exp((h - h.max(axis=-1, keepdims=True)) / tau)  # (..., N), the largest is 1
    return e / e.sum(axis=-1, keepdims=True)  # (..., N)


compare(my_tau, (h[2] - h[1]) / np.log(2), within="10 %")
for tau in (0.25, (h[2] - h[1]) / np.log(2), 0.5, 1, 2):
    p = tempered(h, tau)  # (N,)
    print(f"τ = {tau:<5.3g}  p3/p2 = {p[2] / p[1]:.3f}   e^(0.22/τ) = {np.exp(0.22 / tau):.3f}")
    assert np.allclose(p, softmax(h, tau))

# %% [markdown]
# The gap divided by τ must be ln 2: τ = 0.22/ln 2. A quarter of τ makes every gap four times as large, so it raises
# every ratio to the fourth power: $1.246^4 = 2.41$. In general
#
# $$p_i = \frac{e^{h_i/\tau}}{\sum_j e^{h_j/\tau}}, \qquad \frac{p_i}{p_j} = e^{(h_i - h_j)/\tau}.$$
#
# So τ is low or high only **compared with the gaps**. Now to the ends.
#
# **Predict.** Three experts have logits 1, 1 and 0. What does the probability of E1 become as τ goes to 0?

# %% name="predict-tie" tags=["predict"]
my_limit = ...  # a number between 0 and 1

# %%
tie = np.array([1.0, 1.0, 0.0])  # (N,)
compare(my_limit, softmax(tie, 1e-6)[0])
for name, logits in {"worked example": h, "tie at the top": tie}.items():
    print(f"{name:<15} τ = 1e-6: {softmax(logits, 1e-6).round(3)!s:<16} τ = 1e6: {softmax(logits, 1e6).round(3)}")

# %% [markdown]
# As τ → 0 everything goes to the largest logit, and **equal largest logits share**. As τ → ∞ every gap vanishes: all
# get 1/N. Neither end is a temperature itself: τ = 0 would be a division by zero.
#
# So E2 of the worked example, the second best of four, is at 0 for the lowest τ and at 1/4 for the highest.
#
# **Predict.** In between, its probability (a) only rises (b) rises, then falls (c) falls, then rises?

# %% name="predict-path" tags=["predict"]
my_path = ...  # "a", "b" or "c"

# %%
taus = np.geomspace(0.02, 50, 20_001)  # (taus,)
p2 = tempered(h, taus[:, None])[:, 1]  # (taus,)
turns = np.flatnonzero(np.diff(np.sign(np.diff(p2))))  # where it turns round
compare(my_path, "a" if len(turns) == 0 else "b" if p2[turns[0]] > p2[-1] else "c")
top = p2.argmax()
print(f"E2 is at its highest, {p2[top]:.4f}, at τ = {taus[top]:.3f}. There the mean logit Σ p·h is "
      f"{tempered(h, taus[top]) @ h:.3f}")  # fmt: skip
assert len(turns) == 1
for expert, direction in ((0, 1), (2, -1), (3, 1)):
    assert (direction * np.diff(tempered(h, taus[:, None])[:, expert]) > 0).all()
assert np.isclose(tempered(h, taus[top]) @ h, h[1], atol=1e-3)

# %% [markdown]
# Move τ through the whole range and answer three questions.
#
# 1. With k = 2, which columns of the table change with τ, and which never does?
# 2. Which line has the hill, and does another line have one?
# 3. Choose the tie at the top and k = 1. Which expert is kept, and why not the other?

# %% name="picture-temperature"
examples = {"worked example": h, "tie at the top": tie, "all equal": np.zeros(3)}
Live(
    lambda logits, tau, k: temperature_svg(examples[logits], tau, k),
    logits=choice("logits", list(examples)),
    tau=slider("τ", 1.0, 0.01, 100, 0.01, log=True),
    k=slider("k, kept", 2, 1, 3, 1),
)

# %% [markdown]
# You should see that p and weight change, and the marks under *kept* never do. Only E2 has a hill. In the tie with
# k = 1, E1 is kept: of equal logits the lower index comes first, at every τ.
#
# At the top of the hill the mean logit $\bar h = \sum_j p_j h_j$ (each logit weighted by its probability) equals E2's
# own, 0.30. That is no accident. Raising τ pulls every $h_i/\tau$ towards 0, a large one most. But the softmax knows
# only differences. So what counts is who loses more *than the average*. First in numbers: τ goes from 1 to 1.01.

# %% name="see-slope"
p, p_after = tempered(h, 1.0), tempered(h, 1.01)  # (N,) each
mean_logit = p @ h
print(f"at τ = 1 the mean logit is {mean_logit:.3f}")
for i in range(4):
    print(f"E{i + 1}: mean − logit {mean_logit - h[i]:+.3f}, times p {p[i] * (mean_logit - h[i]):+.3f};"
          f"  p changes by {p_after[i] - p[i]:+.5f}")  # fmt: skip
assert np.allclose(100 * (p_after - p), p * (mean_logit - h), rtol=0.1)
assert round(p[2] * (mean_logit - h[2]), 3) == -0.116

# %% [markdown]
# Read the row of E3: its logit is 0.320 above the mean. Times its p that is −0.116, the **slope**: per unit of τ. τ
# rose by 0.01, so p changes by about a hundredth of the slope. In general
#
# $$\frac{\partial p_i}{\partial \tau} = \frac{p_i\,(\bar h - h_i)}{\tau^2}.$$
#
# Experts with a logit above the mean give, those below receive. The mean itself falls as τ rises. At a low τ it lies
# above 0.30, and E2 receives. It passes 0.30 on its way, and from then on E2 gives, too.
#
# And the entropy? In the picture it climbs from 0 to ln 4. Could other logits make it turn back? Here are 200 random
# routers for each of five seeds, at 100 temperatures.

# %%
rises = []
for seed in range(5):
    logits = np.random.default_rng(seed).normal(size=(200, 8))  # (routers, N)
    H = entr(tempered(logits, np.geomspace(0.1, 100, 100)[:, None, None])).sum(axis=-1)  # (taus, routers), nats
    rises.append(np.diff(H, axis=0).min())
    print(f"seed {seed}: mean {H[0].mean():.3f} to {H[-1].mean():.3f} nats, smallest single change {rises[-1]:+.1e}")
holds["b"] = bool(min(rises) >= 0)
assert holds["b"]

# %% [markdown]
# It rises at every step, by however little (the formula is under *deeper*; only where all logits are equal it stands
# still).
#
# ## Does it explore?
#
# > **Myth: "a higher temperature makes the router explore other experts."** Take the worked example at 200
# > temperatures.

# %%
runs = {tau: route(x, W_g, k=2, temperature=tau) for tau in np.geomspace(0.001, 1000, 200)}
print("selections seen:", {" and ".join(f"E{i + 1}" for i in run.selected) for run in runs.values()})
for tau in (0.05, 1.0, 100.0):
    print(f"τ = {tau:<6} weights", route(x, W_g, k=2, temperature=tau).weights.round(3))
assert len({tuple(run.selected) for run in runs.values()}) == 1
assert 0.005 < route(x, W_g, k=2, temperature=0.05).weights[1] < 0.015

# %% [markdown]
# Right is: **dividing by τ keeps the order, and the order is all that top-k sees.** The same is true of a softmax, a
# sigmoid or a cube in between: they rise, so they keep the order. Only the weights move. At τ = 0.05 the second expert
# costs as much to run as the first and gets 1 % of the weight.
#
# (On paper. In a computer two small probabilities can round to one number, so code selects on the logits: exercise 3.5
# and [](lesson:02b).)
#
# Chance does change the selection: noise on the scores. Add Gaussian noise (standard deviation 1), either to the
# logits, and divide the *sum* by τ, or to h/τ. At τ = 1 both are one: of tokens with 8 experts 71 % get another pair of
# experts than without noise. Divided as a sum, it stays so.
#
# **Predict.** With the noise added to h/τ: how many per cent at τ = 4?

# %% name="predict-noise" tags=["predict"]
my_percent = ...  # a number from 0 to 100


# %%
def best_pairs(scores):
    """scores (T, N) -> the two best experts of each token, in the order of their index (T, 2)"""
    return np.sort(top_k(scores, 2)[1], axis=-1)


def per_cent(first, second):
    """scores (T, N) twice -> how many per cent of the tokens get another pair"""
    return 100 * np.mean((best_pairs(first) != best_pairs(second)).any(axis=-1))


def spread(runs):
    """The mean of the seeds, and how far the farthest seed is from it"""
    return f"{np.mean(runs):.1f} ±{np.abs(runs - np.mean(runs)).max():.1f}"


# %%
ways = {
    "h/τ": lambda h, noise, tau: h / tau,
    "(h + noise)/τ": lambda h, noise, tau: (h + noise) / tau,
    "h/τ + noise": lambda h, noise, tau: h / tau + noise,
}
moved = {}
for seed in range(5):
    logits, noise = np.random.default_rng(seed).normal(size=(2, 2000, 8))  # (T, N) each
    for name, way in ways.items():
        for tau in (0.25, 1, 4, 16):
            moved.setdefault((name, tau), []).append(per_cent(way(logits, noise, tau), logits))
compare(my_percent, np.mean(moved["h/τ + noise", 4]), "%", within="10 %")
print("per cent of tokens with another pair than by h: mean of 5 seeds ± the farthest seed")
print(f"{'selected by':<15}" + "".join(f"{f'τ = {tau}':>12}" for tau in (0.25, 1, 4, 16)))
for name in ways:
    print(f"{name:<15}" + "".join(f"{spread(moved[name, tau]):>12}" for tau in (0.25, 1, 4, 16)))
print(f"two experts drawn blindly would differ in {100 * (1 - 1 / 28):.1f} %: there are 28 pairs")
holds["a"] = any(np.any(moved["h/τ", tau]) for tau in (0.25, 1, 4, 16))
holds["c"] = np.mean(moved["(h + noise)/τ", 16]) > np.mean(moved["(h + noise)/τ", 1])
assert not holds["a"]
assert not holds["c"]
assert moved["(h + noise)/τ", 1] == moved["(h + noise)/τ", 4] == moved["(h + noise)/τ", 16]
assert round(np.mean(moved["(h + noise)/τ", 1])) == 71

# %% [markdown]
# Noise first, τ after: noise explores, and **τ still changes nothing**, for it divides noise and gaps alike. Only noise
# added *after* the division counts for more as τ rises, up to blind choice. So ask of any "temperature for
# exploration": where is the noise? (The noisy router of Shazeer et al. 2017, arXiv:1701.06538, adds it to the logits. A
# τ after that would change no choice.)
#
# ## A bias on the scores
#
# Noise is one thing that can be added to scores. Another is a **bias**: one number per expert. DeepSeek-V3
# (arXiv:2412.19437) selects the best of $\text{sigmoid}(h_i) + b_i$ (within its best groups, left out here). The loss
# does not train this b. A simple rule raises it for experts that get too few tokens (lesson 10b). There is no chance in
# it.
#
# Put a τ into that: select the two best of $\text{sigmoid}(h_i/\tau) + b_i$, of 16 experts. The biases have a standard
# deviation of 0.1.
#
# **Predict.** How many per cent of the tokens get another pair at τ = 4 than at τ = 1?

# %% name="predict-bias" tags=["predict"]
my_per_cent_moved = ...  # a number from 0 to 100

# %%
scores = {
    "sigmoid(h/τ)": lambda h, b, tau: expit(h / tau),
    "sigmoid(h/τ) + b": lambda h, b, tau: expit(h / tau) + b,
    "h/τ + b": lambda h, b, tau: h / tau + b,
    "(h + b)/τ": lambda h, b, tau: (h + b) / tau,
}
against_1 = {}
for seed in range(10):
    rng = np.random.default_rng(seed)
    logits, b = rng.normal(size=(2000, 16)), 0.1 * rng.normal(size=16)  # (T, N), (N,)
    for name, score in scores.items():
        for tau in (0.25, 0.5, 2, 4):
            against_1.setdefault((name, tau), []).append(per_cent(score(logits, b, tau), score(logits, b, 1)))
compare(my_per_cent_moved, np.mean(against_1["sigmoid(h/τ) + b", 4]), "%", within="20 %")
print("per cent of tokens with another pair than at τ = 1: mean of 10 seeds ± the farthest seed")
print(f"{'selected by':<18}" + "".join(f"{f'τ = {tau}':>13}" for tau in (0.25, 0.5, 2, 4)))
for name in scores:
    print(f"{name:<18}" + "".join(f"{spread(against_1[name, tau]):>13}" for tau in (0.25, 0.5, 2, 4)))
holds["d"] = min(against_1["sigmoid(h/τ) + b", 4]) > 0
assert min(min(against_1["sigmoid(h/τ) + b", tau]) for tau in (0.25, 0.5, 2, 4)) > 10
assert max(max(against_1[name, tau]) for name in ("sigmoid(h/τ)", "(h + b)/τ") for tau in (0.25, 0.5, 2, 4)) == 0
assert 0.6 < np.mean(against_1["sigmoid(h/τ) + b", 4]) / 100 < 0.75

# %% [markdown]
# About two tokens in three (how many depends on the biases: look at the spread). Here τ does choose. The first and the
# last row are the controls: no bias, or a bias inside the division, and nothing moves. The rule for noise and bias is
# one: **τ reaches the choice through what is added after the division.** Dividing changes the gaps between the scores,
# and what is added stays as large as it was. At τ = 4 all sigmoids are near one half, so the biases decide. At τ = 0.25
# many are near 1, and again the biases decide. (A sum over scores adds, too: DeepSeek-V3 scores a group by the
# sum of its best two.)
#
# DeepSeek-V3 has no τ. But a larger or smaller `W_g` does the same to it (its rule then moves b, too). So its choice
# hangs on the scale of the logits.
#
# ## A threshold in place of k
#
# Not every router keeps a fixed number. Two rules: (1) every expert with a probability of at least 0.2 runs; (2) as few
# experts run as together hold half of the probability (Huang et al. 2024, arXiv:2403.07652, use such a rule).
#
# **Predict.** With N = 8, τ rises from 1 to 4. Does each rule run `more` experts, `fewer`, or the `same`?

# %% name="predict-threshold" tags=["predict"]
my_rule_1 = ...  # "more", "fewer" or "same"
my_rule_2 = ...  # "more", "fewer" or "same"


# %%
def experts_run(tau, seed):
    """Mean number of experts per token by the two rules, and by a third: every expert with h > 0. (3,)"""
    h = np.random.default_rng(seed).normal(size=(2000, 8))  # (T, N)
    p = -np.sort(-softmax(h, tau), axis=-1)  # (T, N), the largest first
    held_before = p.cumsum(axis=-1) - p  # (T, N), by those that are better
    return [runs.sum(axis=-1).mean() for runs in (p >= 0.2, held_before < 0.5, h > 0)]


count = {tau: np.mean([experts_run(tau, seed) for seed in range(5)], axis=0) for tau in (0.25, 1, 4, 16)}  # (3,) each
change = ["more" if up > 0.1 else "fewer" if up < -0.1 else "same" for up in count[4] - count[1]]
compare(my_rule_1, change[0])
compare(my_rule_2, change[1])
print("experts per token     p ≥ 0.2   half of p   h > 0")
for tau, numbers in count.items():
    print(f"τ = {tau:<18}" + "".join(f"{number:>9.2f}" for number in numbers))
assert change == ["fewer", "more", "same"]
assert count[16][0] == 0

# %% [markdown]
# Opposite answers. With a high τ no probability reaches 0.2, and at τ = 16 no expert runs at all; half of the
# probability then takes half of the experts. And a rule on the logits themselves, such as h > 0, does not feel τ.
# **With a threshold on p, τ decides how many run**, and with that what a token costs.
#
# ## Gumbel noise
#
# Back to noise after the division. Draw U evenly between 0 and 1, and let $G = -\ln(-\ln U)$: **Gumbel noise**. Add a
# fresh one to each $h_i/\tau$ and take the largest.
#
# **Predict.** For the worked example at τ = 0.25, in what share of the draws does E2, the second best, win?

# %% name="predict-gumbel" tags=["predict"]
my_share = ...  # a number between 0 and 1

# %%
n, tau = 20_000, 0.25
p = softmax(h, tau)  # (N,)
margin = 4 * np.sqrt(p * (1 - p) / n)  # (N,), four standard errors
won = {"Gumbel": [], "Gauss": []}
for seed in range(5):
    rng = np.random.default_rng(seed)
    noises = {
        "Gumbel": -np.log(-np.log(rng.uniform(size=(n, 4)))),  # (n, N)
        "Gauss": rng.normal(0, np.pi / np.sqrt(6), size=(n, 4)),  # (n, N), the same standard deviation
    }
    for name, noise in noises.items():
        won[name].append(np.bincount((h / tau + noise).argmax(axis=1), minlength=4) / n)  # (N,)
compare(my_share, np.mean(won["Gumbel"], axis=0)[1], within="5 %")
print("softmax(h/τ)         ", p.round(3), " ±", margin.round(3), "for one seed")
for name, shares in won.items():
    print(f"won with {name:<12}", np.mean(shares, axis=0).round(3))
assert (np.abs(won["Gumbel"] - p) < margin).all()
assert (np.abs(won["Gauss"] - p)[:, [0, 1, 3]] > margin[[0, 1, 3]]).all()

# %% [markdown]
# As often as the softmax says, and so for every expert. Gaussian noise of the same size misses E1, E2 and E4. Taking
# the largest with Gumbel noise *is* a draw from the softmax: the **Gumbel-max trick** (why: under *deeper*). Here the
# word temperature earns its name. At a low τ a draw nearly always takes the best, at a high τ anything.
#
# A chat model draws its next word in this way. Logits for six words, made up, with ten draws at each τ; beside them
# the words a *router* would select if they were experts, with k = 2.

# %%
words = np.array(["Paris", "London", "Rome", "a", "the", "blue"])
word_logits = np.array([5.0, 3.0, 2.5, 2.0, 1.5, -1.0])  # (N,), after "The capital of France is"
for tau in (0.2, 1.0, 5.0):
    noise = np.random.default_rng(0).gumbel(size=(10, len(words)))  # (draws, N)
    drawn = words[(word_logits / tau + noise).argmax(axis=1)]  # (draws,)
    print(f"τ = {tau}: top-2 {', '.join(words[top_k(word_logits / tau, 2)[1]])}   drawn: {' '.join(drawn)}")
    assert words[top_k(word_logits / tau, 2)[1]].tolist() == ["Paris", "London"]
    assert tau > 0.2 or set(drawn) == {"Paris"}
    assert tau < 5 or len(set(drawn)) > 3

# %% [markdown]
# Same formula, different last step. A chat model *draws*, so τ decides what comes out. A router takes the top k, as
# "greedy" decoding takes the top word. Whoever knows τ from chat models expects of it what top-k by logits cannot do.
#
# ## τ and W_g
#
# Lesson 02 scaled `W_g`. Is a constant τ the same act? $\;h/\tau = (x W_g)/\tau = x\,(W_g/\tau)$. Both ways, for three
# temperatures, five routers and every way of making weights (lesson 04):

# %%
apart, same_choice = 0.0, True
for seed in range(5):
    rng = np.random.default_rng(seed)
    tokens, router = rng.normal(size=(500, 16)), rng.normal(size=(16, 8))  # (T, d), (d, N)
    for tau in (0.2, 3, 10):
        for form in GATE_FORMS:
            with_tau, without = route(tokens, router, 2, form, temperature=tau), route(tokens, router / tau, 2, form)
            apart = max(apart, np.abs(with_tau.weights - without.weights).max())
            same_choice = same_choice and np.array_equal(with_tau.selected, without.selected)
print(f"same selections: {same_choice}; weights apart by at most {apart:.0e}")
holds["e"] = bool(same_choice and apart < 1e-12)
assert holds["e"]

# %% [markdown]
# Nothing that is computed from h/τ can tell the two apart; that goes for biased and thresholded choices, too. So a
# constant τ adds no router that was not there before.
#
# And in training? There too it is only another start and another learning rate for `W_g`, on a condition: nothing else
# acts on `W_g` or h *before* the division. Three things may: **weight decay**, which makes every number of `W_g` a
# little smaller at each step; a **z-loss**, a penalty on large logits (lesson 07); and noise on h. Then they have to
# change as well. A *deeper* cell works it out, also for Adam. A τ that *changes* during training ("annealing") is
# another matter: its usual shapes are in a *deeper* cell, what they do in training is in lesson 08.
#
# ## The bet

# %%
missing = [letter for letter in "abcde" if letter not in holds]
true_ones = "".join(letter for letter in "abcde" if holds.get(letter))
if not missing:
    compare(my_true_ones, true_ones)
    assert true_ones == "bde"
else:
    print("Not measured yet, run the cells above first:", *missing)

# %% [markdown]
# If you missed one, go back to its cell: **a** and **c** the table of noise, **b** the entropy, **d** the table of
# biases, **e** the last one.
#
# ## Recap
#
# 1. τ → 0 leaves the largest logit (ties share), τ → ∞ makes all equal, and the entropy only rises. A probability
#    rises where its logit is below the mean logit, and falls where it is above.
# 2. For a given x, τ changes no top-k choice by the logits. It changes the choice where something is added after the
#    division, such as a bias, and the number of experts where a threshold on p decides.
# 3. Noise changes a choice. τ counts for it only if the noise comes after the division.
# 4. The largest of h/τ + Gumbel noise is a draw from the softmax. A chat model draws; a router takes the top k.
# 5. A constant τ is `W_g` divided by τ. In training it is another start and another rate, if nothing else acts before
#    the division.
#
# **What this lesson cannot tell you:** whether exploring is worth it, and whether annealing helps. Both need a router
# in training (lesson 08).
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:03), {{questions}}.
# - The code you used: `softmax` and `gate_weights` in [](module:routing); see how the
#   first subtracts before it divides, and the second selects.
# - Lesson 04: what becomes of the weight that top-k cuts off.

# %% [markdown] name="deeper-entropy" tags=["deeper"]
# ## Deeper: how fast the entropy rises
#
# Put the slope of p into $H = -\sum_i p_i \ln p_i$, and most terms cancel:
#
# $$\frac{dH}{d\tau} = \frac{1}{\tau^3} \sum_i p_i\,(h_i - \bar h)^2.$$
#
# That is the variance of the logits under p, divided by τ³. It is never negative, and 0 only if all logits are equal.

# %% name="deeper-entropy-cell" tags=["deeper"]
step = 1e-6
for tau in (0.25, 1.0, 4.0):
    p, above, below = softmax(h, tau), softmax(h, tau + step), softmax(h, tau - step)  # (N,) each
    formula = p @ (h - p @ h) ** 2 / tau**3
    print(f"τ = {tau}: formula {formula:.6f}, small step {(entr(above) - entr(below)).sum() / (2 * step):.6f}")
    assert np.isclose(formula, (entr(above) - entr(below)).sum() / (2 * step), atol=1e-8)
    assert np.allclose(p * (p @ h - h) / tau**2, (above - below) / (2 * step), atol=1e-8)

# %% [markdown] name="deeper-race" tags=["deeper"]
# ## Deeper: why Gumbel noise is the right noise
#
# Turn it round: the largest $h_i/\tau + G_i$ has the smallest $e^{-h_i/\tau - G_i} = e^{-h_i/\tau} \cdot (-\ln U_i)$.
# And −ln U is a waiting time: that of an alarm clock which rings at a constant rate. Multiplied by $e^{-h_i/\tau}$ it
# rings at rate $e^{h_i/\tau}$. Of several such clocks, each is the first with a chance in proportion to its rate. That
# is the softmax.

# %% name="deeper-race-cell" tags=["deeper"]
rates = np.exp(h / 0.5)  # (N,)
for seed in range(3):
    first, p = np.random.default_rng(seed).exponential(1 / rates, size=(n, 4)).argmin(axis=1), softmax(h, 0.5)
    print(f"seed {seed}: first to ring {np.bincount(first) / n}   softmax at τ = 0.5 {p.round(4)}")
    assert (np.abs(np.bincount(first, minlength=4) / n - p) < 4 * np.sqrt(p * (1 - p) / n)).all()

# %% [markdown] name="deeper-training" tags=["deeper"]
# ## Deeper: a constant τ in training
#
# You train `W_g` with τ = 2 by gradient descent with learning rate 0.4: after each step, $W_g - 0.4\, \partial
# L/\partial W_g$ is the new $W_g$. Someone else starts at $V = W_g/2$, has no temperature, and wants the same router as
# you after every step.
#
# **Predict.** Which learning rate do they need?

# %% name="predict-rate" tags=["predict", "deeper"]
my_rate = ...  # a number

# %% [markdown] name="deeper-rate" tags=["deeper"]
# The loss below is a number for each expert and token, weighted by p. Its slopes are taken by small steps, so no
# formula is needed. Four things may be added:
#
# - **weight decay**: each step also takes the same small share off every number of `W_g`;
# - **noise** on h, before the division;
# - a **z-loss**, a second loss: a small factor times the square of the log-sum-exp of h (lessons 02 and 07);
# - **Adam**, another way to step: each slope is divided by its own usual size.


# %% name="deeper-rate-functions" tags=["deeper"]
rng = np.random.default_rng(0)
tokens, bad, noise = (rng.normal(size=(64, width)) for width in (3, 4, 4))  # (T, d), (T, N), (T, N)
start = rng.normal(size=(3, 4))  # (d, N)


def trained(W, tau, rate, decay=0.0, noise_size=0.0, z=0.0, adam=False, steps=200):
    """W (d, N) -> the probabilities of the tokens after the last step (T, N)"""

    def loss(W):
        h = tokens @ W + noise_size * noise  # (..., T, N)
        return ((softmax(h, tau) * bad).sum(axis=-1) + z * log_sum_exp(h) ** 2).mean(axis=-1)  # (...)

    nudges = 1e-5 * np.eye(W.size).reshape(-1, *W.shape)  # (d·N, d, N)
    mean, size = np.zeros_like(W), np.zeros_like(W)  # (d, N) each, for Adam
    for _ in range(steps):
        slope = ((loss(W + nudges) - loss(W - nudges)) / 2e-5).reshape(W.shape) + decay * W  # (d, N)
        mean, size = 0.9 * mean + 0.1 * slope, 0.99 * size + 0.01 * slope**2
        W = W - rate * (mean / (np.sqrt(size) + 1e-9) if adam else slope)
    return softmax(tokens @ W, tau)


# %% name="deeper-rate-cell" tags=["deeper"]
compare(my_rate, 0.4 / 2**2)
trials = {  # what both have; what the other one has in its place; their learning rate
    "nothing else, rate 0.4": ({}, {}, 0.4),
    "nothing else, rate 0.4/τ": ({}, {}, 0.2),
    "nothing else, rate 0.4/τ²": ({}, {}, 0.1),
    "weight decay": ({"decay": 0.05}, {}, 0.1),
    "weight decay times τ²": ({"decay": 0.05}, {"decay": 0.05 * 4}, 0.1),
    "noise on h": ({"noise_size": 1.0}, {}, 0.1),
    "noise on h, divided by τ": ({"noise_size": 1.0}, {"noise_size": 0.5}, 0.1),
    "z-loss of h": ({"z": 0.02}, {}, 0.1),
    "Adam, rate 0.4/τ²": ({"adam": True}, {}, 0.1),
    "Adam, rate 0.4/τ": ({"adam": True}, {}, 0.2),
}
gaps = {}
for name, (yours, changed, rate) in trials.items():
    other = trained(start / 2, 1.0, rate, **(yours | changed))  # (T, N)
    gaps[name] = np.abs(trained(start, 2.0, 0.4, **yours) - other).max()
    print(f"{name:<28} largest difference of a probability after 200 steps: {gaps[name]:.0e}")
same = ("nothing else, rate 0.4/τ²", "weight decay times τ²", "noise on h, divided by τ", "Adam, rate 0.4/τ")
assert max(gaps[name] for name in same) < 1e-5
assert min(gap for name, gap in gaps.items() if name not in same) > 0.01

# %% [markdown] name="deeper-rate-right" tags=["deeper"]
# With η for your rate, it is η/τ². One 1/τ is in your slope (a step of `W_g` moves h/τ by less), the other one comes in
# because V is τ times smaller than `W_g`, so equal steps must be, too. Adam cancels the first: there it is η/τ.
#
# So **a constant τ is a starting scale and a learning rate under another name, if nothing else acts before the
# division.** If something does, its strength must change too: weight decay in the loss times τ², noise divided by τ.
# For the z-loss no strength will do: it must be given h/τ. (Gradient clipping sees the slopes, and must change with
# them.)

# %% [markdown] name="deeper-schedules" tags=["deeper"]
# ## Deeper: a τ that falls
#
# A popular recipe lowers τ step by step in training. Three shapes: *linear* (equal differences), *geometric* (equal
# ratios) and *cosine* (half a wave, flat at both ends).
#
# **Predict.** From 4 to 0.25 in five values, geometric. What is the third value?

# %% name="predict-middle" tags=["predict", "deeper"]
my_third = ...  # a number

# %% name="deeper-schedules-cell" tags=["deeper"]
compare(my_third, schedules(4.0, 0.25, 5)["geometric"][2])
for name, values in schedules(4.0, 0.25, 5).items():
    print(f"{name:<10} {values.round(3)}")

# %% [markdown] name="deeper-schedules-formulas" tags=["deeper"]
# From $\tau_0$ to $\tau_1$, with u the share of the way, from 0 to 1:
#
# $$\tau_0 + (\tau_1-\tau_0)\,u, \qquad \tau_0\,(\tau_1/\tau_0)^{u}, \qquad \tau_1 + (\tau_0-\tau_1)\,\tfrac{1+\cos \pi u}{2}.$$
#
# **Move the sliders.** Which two agree half-way, whatever you set? From 4 to 0.25, which one spends the fewest steps
# above τ = 1?

# %% name="picture-schedules" tags=["deeper"]
Live(
    schedules_svg,
    start=slider("start", 4.0, 2.0, 10.0, 0.25),
    end=slider("end", 0.25, 0.05, 2.0, 0.05),
    steps=slider("steps", 21, 3, 61, 2),
)

# %% [markdown] name="deeper-schedules-right" tags=["deeper"]
# You should see linear and cosine meet half-way, at the mean of both ends, while geometric is below, at the root of
# their product. From 4 to 0.25 it also passes 1 first. These are shapes only; lesson 08 trains with them. For a given
# `W_g`, a router that selects by its logits makes the same choice at every step.

# %% name="deeper-schedules-promise" tags=["deeper"]
above_1 = {name: int((values > 1).sum()) for name, values in schedules(4.0, 0.25, 21).items()}
print("steps above τ = 1, of 21:", above_1)
assert min(above_1, key=above_1.get) == "geometric"
