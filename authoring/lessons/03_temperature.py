# %% [markdown]
# # 03 · Temperature
#
# **Does a higher temperature make the router explore other experts?** Many texts say so. The temperature τ divides the
# logits before the softmax. It is easy to write down, and more is believed about it than is true.
#
# You will be able to
#
# 1. say what τ does at both ends, and which probabilities rise with it;
# 2. tell what changes *which* experts run (noise, sampling) from what changes only their *weights* (τ);
# 3. sample from a softmax with Gumbel noise, and say why decoding is not routing;
# 4. explain why code selects on logits and not on probabilities;
# 5. say what a constant τ means for training, and what three annealing schedules do.
#
# **Before:** [](lesson:01) and [](lesson:02).
# **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
import numpy as np
from scipy.special import entr  # entr(p) = −p ln p, and 0 at p = 0

from moe_lessons.checks import compare, reveal
from moe_lessons.data import worked_example
from moe_lessons.figures.temperature import schedules, schedules_svg, temperature_svg
from moe_lessons.routing import GATE_FORMS, gate_weights, route, softmax, top_k
from moe_lessons.widgets.live import Live, choice, slider

x, W_g = worked_example()  # (d,), (d, N)
h = x @ W_g  # (N,)
assert h.round(2).tolist() == [-0.18, 0.30, 0.52, -0.26]
holds = {}  # which of the sentences below turn out to be true

# %% [markdown]
# ## Five sentences to bet on
#
# - **a** With a higher temperature the router tries other experts.
# - **b** A constant τ gives training something that another starting `W_g` and another learning rate could not.
# - **c** The lower τ, the more a typical token can teach the router.
# - **d** τ does to a router's choice what it does to a chat model's next word.
# - **e** Raising τ never lowers the entropy.
#
# **Predict.** Which of them hold? Type their letters in one word, such as `"ab"`. The cells below measure each, and the
# recap settles the bet.

# %% name="predict-bet" tags=["predict"]
my_true_ones = ...  # letters, in the order of the alphabet

# %% [markdown]
# ## What τ does to a gap
#
# Take the token of lesson 01, with its logits −0.18, 0.30, 0.52, −0.26. At τ = 1, E3 is 1.246 times as likely as E2.
#
# **Predict.** At τ = 0.5, how many times as likely as E2 is E3?

# %% name="predict-half" tags=["predict"]
my_ratio = ...  # a number


# %%
def tempered(h, tau):
    """h (..., N), tau > 0 -> probabilities (..., N)"""
    e = np.exp((h - h.max(axis=-1, keepdims=True)) / tau)  # (..., N), the largest is 1
    return e / e.sum(axis=-1, keepdims=True)  # (..., N)


compare(my_ratio, tempered(h, 0.5)[2] / tempered(h, 0.5)[1])
print("   τ    probabilities of E1 to E4         p3/p2   e^(0.22/τ)")
for tau in (0.05, 0.25, 0.5, 1, 2, 10):
    p = tempered(h, tau)
    print(f"{tau:>5}   {p.round(4)!s:<30} {p[2] / p[1]:>8.3f} {np.exp(0.22 / tau):>10.3f}")
    assert np.allclose(p, softmax(h, tau))

# %% [markdown]
# Halving τ doubles every gap, so it squares every ratio: $1.246^2 = 1.553$. In general
#
# $$p_i = \frac{e^{h_i/\tau}}{\sum_j e^{h_j/\tau}}, \qquad \frac{p_i}{p_j} = e^{(h_i - h_j)/\tau}.$$
#
# So τ is low or high only **compared with the gaps**. At the ends only two things can happen.
#
# **Predict.** Three experts have logits 1, 1 and 0. What does the probability of E1 become as τ goes to 0?

# %% name="predict-tie" tags=["predict"]
my_limit = ...  # a number between 0 and 1

# %%
tie = np.array([1.0, 1.0, 0.0])  # (N,)
compare(my_limit, softmax(tie, 1e-6)[0])
for name, logits in {"worked example": h, "tie at the top": tie, "all equal": np.zeros(3)}.items():
    print(f"{name:<15} τ = 1e-6: {softmax(logits, 1e-6).round(3)!s:<24} τ = 1e6: {softmax(logits, 1e6).round(3)}")
try:
    softmax(h, temperature=0)
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# As τ → 0 everything goes to the largest logit, and **equal largest logits share**. As τ → ∞ every gap vanishes: all
# get 1/N. Neither end is a temperature itself: τ = 0 would be a division by zero.
#
# Now move τ through the whole range and answer three questions.
#
# 1. With k = 2, which columns of the table change with τ, and which never does?
# 2. One probability rises first and falls later. Whose?
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
# You should see that p and weight change, and the marks under *kept* never do. E2 rises to a low hill, then falls to
# 1/4. In the tie with k = 1, E1 is kept: of equal logits the lower index comes first, at every τ. (A single kept expert
# always has weight 1; and where all logits are equal, τ changes nothing at all.)
#
# ## The entropy only rises
#
# In the picture the entropy climbs from 0 to ln 4. Could other logits make it turn back? Here are 200 random routers
# for each of five seeds, and 100 temperatures from 0.1 to 100.

# %%
taus = np.geomspace(0.1, 100, 100)[:, None, None]  # (taus, 1, 1)
smallest_rise = []
for seed in range(5):
    logits = np.random.default_rng(seed).normal(size=(200, 8))  # (routers, N)
    H = entr(tempered(logits, taus)).sum(axis=-1)  # (taus, routers), nats
    smallest_rise.append(np.diff(H, axis=0).min())
    print(
        f"seed {seed}: mean {H[0].mean():.3f} to {H[-1].mean():.3f} nats, smallest single change {smallest_rise[-1]:+.1e}"
    )
flat = entr(tempered(np.full((1, 8), 3.0), taus)).sum(axis=-1)
print(f"equal logits: entropy {flat.min():.6f} to {flat.max():.6f} nats at every τ; ln 8 = {np.log(8):.6f}")
holds["e"] = bool(min(smallest_rise) >= 0)
assert holds["e"]
assert np.allclose(flat, np.log(8))

# %% [markdown]
# It rises at every step, by however little. Only when all logits are equal does it stand still (the formula is under
# *deeper*). But a rising entropy does not mean that each probability moves straight to 1/N.
#
# **Predict.** As τ goes from 0 to ∞, E2, the second best, (a) only rises (b) only falls (c) rises, then falls?

# %% name="predict-path" tags=["predict"]
my_path = ...  # "a", "b" or "c"

# %%
fine = np.geomspace(0.02, 50, 20_001)  # (taus,)
p2 = tempered(h, fine[:, None])[:, 1]  # (taus,)
rises, falls = (np.diff(p2) > 0).any(), (np.diff(p2) < 0).any()
compare(my_path, "c" if rises and falls else "a" if rises else "b")
top = p2.argmax()
mean_logit = tempered(h, fine[top]) @ h
print(f"E2 is at its highest, {p2[top]:.4f}, at τ = {fine[top]:.3f}; there the mean logit Σ p·h is {mean_logit:.3f}")
assert np.isclose(mean_logit, h[1], atol=1e-3)

# %% [markdown]
# At the top of the hill the mean logit $\bar h = \sum_j p_j h_j$ equals E2's own, 0.30. That is no accident. In words:
# raising τ pulls every $h_i/\tau$ towards 0, at a rate of $h_i/\tau^2$. A large positive logit loses most. But the softmax knows
# only differences, so what counts is who loses more *than the average*, weighted by p:
#
# $$\frac{\partial p_i}{\partial \tau} = \frac{p_i\,(\bar h - h_i)}{\tau^2}.$$
#
# Experts with a logit above the mean give, those below receive. The mean itself falls as τ rises. It passes 0.30 on its
# way, and from then on E2 gives, too.


# %%
def slope(h, tau):
    """h (N,) -> how fast each probability changes with tau (N,)"""
    p = softmax(h, tau)  # (N,)
    return p * (p @ h - h) / tau**2  # (N,)


step = 1e-6
for tau in (0.25, 1.0):
    by_difference = (softmax(h, tau + step) - softmax(h, tau - step)) / (2 * step)  # (N,)
    print(
        f"τ = {tau}: formula           {slope(h, tau).round(4)}\n          finite difference {by_difference.round(4)}"
    )
    assert np.allclose(slope(h, tau), by_difference, atol=1e-8)

# %% [markdown]
# ## Does it explore?
#
# > **Myth: "a higher temperature makes the router explore other experts."** Two lines: every selection of the worked
# > example over 200 temperatures.

# %%
choices = {tuple(route(x, W_g, k=2, temperature=tau).selected) for tau in np.geomspace(0.001, 1000, 200)}
print("selections seen, as indices:", [[int(i) for i in choice] for choice in choices])
assert len(choices) == 1

# %% [markdown]
# Right is: **dividing by τ keeps the order, and the order is all that top-k sees.** It is true of every rising function, so a softmax, a sigmoid or a cube in between does not help either.
#
# What does change the selection is chance: noise on the scores. But then it matters where the noise enters. Suppose
# Gaussian noise is added to the logits, and the *sum* is divided by τ. At τ = 1, 72 % of the tokens below get another
# pair of experts than without noise.
#
# **Predict.** How many per cent at τ = 4?

# %% name="predict-noise" tags=["predict"]
my_percent = ...  # a number from 0 to 100


# %%
def best_pairs(scores):
    """scores (T, N) -> the two best experts of each token, in the order of their index (T, 2)"""
    return np.sort(top_k(scores, 2)[1], axis=-1)


ways = {
    "h/τ": lambda h, tau, rng: h / tau,
    "softmax(h/τ)": lambda h, tau, rng: softmax(h, tau),
    "sigmoid(h/τ)": lambda h, tau, rng: 1 / (1 + np.exp(-h / tau)),
    "(h + Gauss)/τ": lambda h, tau, rng: (h + rng.normal(size=h.shape)) / tau,
    "h/τ + Gauss": lambda h, tau, rng: h / tau + rng.normal(size=h.shape),
    "h/τ + Gumbel": lambda h, tau, rng: h / tau + rng.gumbel(size=h.shape),
}


def per_cent_moved(way, tau, seed, T=2000, N=8):
    """Tokens whose best two of N random experts differ from those by the plain logits"""
    h = np.random.default_rng(seed).normal(size=(T, N))  # (T, N)
    noisy = ways[way](h, tau, np.random.default_rng(seed + 1000))  # (T, N)
    return 100 * np.mean((best_pairs(noisy) != best_pairs(h)).any(axis=-1))


def mean_and_spread(runs):
    """The mean of the seeds, and how far the farthest seed is from it"""
    return f"{np.mean(runs):.1f} ±{np.abs(runs - np.mean(runs)).max():.1f}"


# %%
some_taus = (0.25, 1, 4, 16)
moved = {(way, tau): [per_cent_moved(way, tau, seed) for seed in range(5)] for way in ways for tau in some_taus}
compare(my_percent, np.mean(moved["(h + Gauss)/τ", 4]), "%", within="10 %")
print("per cent of tokens with another pair: mean of 5 seeds ± the farthest seed")
print(f"{'selected by':<15}" + "".join(f"{f'τ = {tau}':>12}" for tau in some_taus))
for way in ways:
    print(f"{way:<15}" + "".join(f"{mean_and_spread(moved[way, tau]):>12}" for tau in some_taus))
print(f"two experts drawn blindly would differ in {100 * (1 - 1 / 28):.1f} %: there are 28 pairs")
holds["a"] = any(np.any(moved["h/τ", tau]) for tau in some_taus)
assert not holds["a"]
assert np.max([moved[way, tau] for way in list(ways)[:3] for tau in some_taus]) == 0
assert moved["(h + Gauss)/τ", 1] == moved["(h + Gauss)/τ", 4]
assert round(np.mean(moved["(h + Gauss)/τ", 1])) == 72

# %% [markdown]
# Read it by blocks. Without noise: zero, exactly. Noise first, τ after: noise explores, and **τ still changes nothing**,
# for it divides noise and gaps alike. Only noise added *after* the division explores more as τ rises, up to blind choice.
#
# So ask of any "temperature for exploration": where is the noise? The noisy router of Shazeer et al. 2017
# (arXiv:1701.06538) adds it to the logits; a τ after that would change no choice. (Their stated reason for it is load
# balancing.)
#
# ## Gumbel noise
#
# One kind of noise is special. Draw U evenly between 0 and 1, and let $G = -\ln(-\ln U)$: **Gumbel noise**. Add a fresh
# one to each $h_i/\tau$ and take the largest.
#
# **Predict.** For the worked example at τ = 0.25 the softmax gives E3 a probability of 0.658. In which share of the draws
# does E3 win?

# %% name="predict-gumbel" tags=["predict"]
my_share = ...  # a number between 0 and 1

# %%
n, tau = 20_000, 0.25
p = softmax(h, tau)  # (N,)
margin = 4 * np.sqrt(p * (1 - p) / n)  # (N,), four standard errors


def shares(noise):
    """noise (n, N) -> how often each expert has the largest h/τ + noise (N,)"""
    return np.bincount((h / tau + noise).argmax(axis=1), minlength=len(h)) / len(noise)


won = {"Gumbel": [], "Gauss": []}
for seed in range(5):
    rng = np.random.default_rng(seed)
    won["Gumbel"].append(shares(-np.log(-np.log(rng.uniform(size=(n, 4))))))
    won["Gauss"].append(shares(rng.normal(0, np.pi / np.sqrt(6), size=(n, 4))))  # the same standard deviation
compare(my_share, np.mean(won["Gumbel"], axis=0)[2], within="5 %")
print("softmax", p.round(3), " ±", margin.round(3))
for noise, runs in won.items():
    print(f"{noise}, seeds 0 to 4, then their mean:", *np.round([*runs, np.mean(runs, axis=0)], 3), sep="\n        ")
assert (np.abs(won["Gumbel"] - p) < margin).all()
assert ((np.abs(won["Gauss"] - p) > margin) == [True, True, False, True]).all()
assert np.mean(won["Gauss"], axis=0)[[0, 3]].round(3).tolist() == [0.027, 0.017]
assert p[[0, 3]].round(3).tolist() == [0.04, 0.029]
assert p[2].round(3) == 0.658

# %% [markdown]
# Neither always nor one time in four: with the softmax's own probability. Gaussian noise of the same size is
# right for E3 by luck, and misses for the other three in every seed: E1 wins in 2.7 % of its draws and not in 4.0 %, E4 in
# 1.7 % and not in 2.9 %. Sampling with Gumbel noise is the **Gumbel-max trick**, and here the word temperature earns its name: sampling at a
# low τ nearly always takes the best, at a high τ anything. (The last row of the table above sampled in this way, the two
# best at a time.)
#
# ## Decoding is not routing
#
# That is what a chat model does with its next word. Logits for six words, made up, with ten samples at each τ; beside
# them the words a *router* would select if they were experts, with k = 2.

# %%
words = np.array(["Paris", "London", "Rome", "a", "the", "blue"])
word_logits = np.array([5.0, 3.0, 2.5, 2.0, 1.5, -1.0])  # (N,), after "The capital of France is"
sampled, routed = {}, {}
for tau in (0.2, 1.0, 5.0):
    noise = np.random.default_rng(0).gumbel(size=(10, len(words)))
    sampled[tau] = words[(word_logits / tau + noise).argmax(axis=1)].tolist()
    routed[tau] = words[top_k(word_logits / tau, 2)[1]].tolist()
    print(f"τ = {tau}: top-2 {', '.join(routed[tau])}   sampled: {' '.join(sampled[tau])}")
holds["d"] = (sampled[0.2] == sampled[5.0]) == (routed[0.2] == routed[5.0])
assert not holds["d"]

# %% [markdown]
# Same formula, different last step. Decoding *samples*, so τ decides what comes out. Routing takes the top k, as greedy
# decoding takes the top word, and there τ decides nothing but weights.
#
# ## Where theory and floats part
#
# "The probabilities have the same order as the logits" is true on paper. A float has an end.

# %%
cases = {
    "both underflow to 0, float32": (np.float32([0, -110, -105]), 1.0),
    "both underflow to 0, float16": (np.float16([0, -20, -18]), 1.0),
    "all round to 1/3, float32": (np.float32([0, 1, 2]), 1e9),
}
for name, (logits, tau) in cases.items():
    p = softmax(logits, tau)  # (N,), of the same dtype
    on_logits, on_probabilities = top_k(logits, 2)[1], top_k(p, 2)[1]
    print(f"{name:<30} p = {p}   top-2 of h: {on_logits}, of p: {on_probabilities}")
    assert set(on_logits) != set(on_probabilities)
    assert set(route(np.ones(1, logits.dtype), logits[None], k=2, temperature=tau).selected) == set(on_logits)

# %% [markdown]
# Different logits became *equal* probabilities, and of equals the lower index is taken. So here τ does move a selection,
# by accident. How often, in a layer of 64 experts with k = 2? (A small τ is the same as large logits.)

# %%
print("per cent of tokens whose top-2 of p is not that of h,")
print("mean of 5 seeds ± the farthest seed")
low_taus, differs = (1, 0.1, 0.01, 0.001), {}
print(" " * 7 + "".join(f"{f'τ = {tau}':>12}" for tau in low_taus))
for dtype in (np.float16, np.float32, np.float64):
    name = dtype.__name__
    for tau in low_taus:
        differs[name, tau] = []
        for seed in range(5):
            logits = np.random.default_rng(seed).normal(size=(1000, 64)).astype(dtype)  # (T, N)
            other = (best_pairs(softmax(logits, tau)) != best_pairs(logits)).any(axis=-1)  # (T,)
            differs[name, tau].append(100 * other.mean())
    print(name + "".join(f"{mean_and_spread(differs[name, tau]):>12}" for tau in low_taus))
for name in ("float16", "float32", "float64"):
    assert max(differs[name, 1]) == 0
    assert round(np.mean(differs[name, 0.01]), 1) == {"float16": 64.6, "float32": 5.2, "float64": 0}[name]
    assert np.mean(differs[name, 0.001]) > 13

# %% [markdown]
# At τ = 1, with logits of this size, for none of the 5,000 tokens in any of the three types. At τ = 0.01 for 64.6 % in
# float16, 5.2 % in float32 and none in float64; at τ = 0.001 in all three. The cure costs nothing: select on the logits,
# where the difference is still there. Our `route` does so for every gate form.
#
# ## A constant τ is a scale of W_g
#
# Lesson 02 scaled `W_g`. Dividing the logits by τ is the same act: $h/\tau = x\,(W_g/\tau)$.

# %%
rng, largest = np.random.default_rng(0), 0.0
for _ in range(300):
    token, router, tau = rng.normal(size=16), rng.normal(size=(16, 8)), 10 ** rng.uniform(-1, 1)
    for form in GATE_FORMS:  # the ways to make weights of the kept scores: lesson 04
        with_tau = route(token, router, 2, form, temperature=tau)
        with_scale = route(token, router / tau, 2, form)
        largest = max(largest, np.abs(with_tau.weights - with_scale.weights).max())
        assert (with_tau.selected == with_scale.selected).all()
print(f"300 routers, every gate form: same selection, weights apart by at most {largest:.0e}")
assert largest < 1e-12

# %% [markdown]
# But training moves `W_g`, and τ stands between `W_g` and the loss. Say you train `W_g` with τ = 2 by plain gradient
# descent with learning rate 0.4. Someone else starts at `W_g/2`, has no temperature, and wants the same router as you
# after every step.
#
# **Predict.** Which learning rate do they need?

# %% name="predict-rate" tags=["predict"]
my_rate = ...  # a number

# %% [markdown]
# As a loss take $L = \sum_i p_i a_i$ with fixed numbers $a_i$: how badly expert i would do for the token. Each
# $h_i$ moves every probability. Summed up, $\partial L/\partial h_i = p_i\,(a_i - \sum_j p_j a_j)/\tau$, and `W_g` gets x times
# that. The cell checks the formula by a finite difference.


# %%
def loss(W, x, a, tau):
    return (softmax(x @ W, tau) * a).sum(axis=-1).mean()  # a number


def gradient(W, x, a, tau):
    """W (d, N), x (T, d), a (T, N) -> dL/dW (d, N)"""
    p = softmax(x @ W, tau)  # (T, N)
    dL_dh = p * (a - (p * a).sum(axis=-1, keepdims=True)) / tau  # (T, N)
    return x.T @ dL_dh / len(x)  # (d, N)


rng = np.random.default_rng(0)
tokens, a, W_start = rng.normal(size=(64, 3)), rng.normal(size=(64, 4)), rng.normal(size=(3, 4))
nudge = np.zeros((3, 4))
nudge[1, 2] = 1e-6
by_difference = (loss(W_start + nudge, tokens, a, 2.0) - loss(W_start - nudge, tokens, a, 2.0)) / 2e-6
print(f"one entry: formula {gradient(W_start, tokens, a, 2.0)[1, 2]:.6f}, finite difference {by_difference:.6f}")
assert np.isclose(gradient(W_start, tokens, a, 2.0)[1, 2], by_difference, atol=1e-8)


# %%
def trained(W, tau, rate, steps=200):
    """-> probabilities of the tokens after each step (steps, T, N)"""
    after = []
    for _ in range(steps):
        W = W - rate * gradient(W, tokens, a, tau)
        after.append(softmax(tokens @ W, tau))  # (T, N)
    return np.array(after)


compare(my_rate, 0.4 / 2.0**2)
apart = {}
print("largest difference of a probability after any of 200 steps")
print("  τ         η       η/τ      η/τ²")
for tau in (0.5, 2.0, 3.0):
    yours = trained(W_start, tau, 0.4)
    rates = {"η": 0.4, "η/τ": 0.4 / tau, "η/τ²": 0.4 / tau**2}
    apart[tau] = {name: np.abs(trained(W_start / tau, 1, rate) - yours).max() for name, rate in rates.items()}
    print(f"{tau:>3}" + "".join(f"{gap:>10.1g}" for gap in apart[tau].values()))
holds["b"] = not all(gaps["η/τ²"] < 1e-9 for gaps in apart.values())
assert not holds["b"]
assert min(gaps["η/τ"] for gaps in apart.values()) > 0.01

# %% [markdown]
# It is η/τ². One 1/τ comes from the chain rule; the other because their matrix is τ times smaller, so an equal step must
# be, too.
#
# > **Myth: "τ is one more thing the router can train with."** Two lines: train with τ = 2, then without τ, start and rate
# > adjusted.

# %%
with_tau, without = trained(W_start, 2.0, 0.4), trained(W_start / 2, 1.0, 0.1)
print("largest difference between the two routers after any of 200 steps:", np.abs(with_tau - without).max())

# %% [markdown]
# Right is: **a constant τ is a starting scale and a learning rate under another name.** (With an optimiser that ignores
# the gradient's size the factor differs, and the point stays.) A τ that *changes* during training is another matter.
#
# ## What τ does to the gradient's size
#
# How long is the vector $\partial L/\partial h$ of a token, when the same random logits are run at several τ?
#
# **Predict.** At which τ is it longest for the middle one of many tokens (the median): 0.01, 0.3 or 10?

# %% name="predict-gradient" tags=["predict"]
my_tau = ...  # 0.01, 0.3 or 10


# %%
def sizes(tau, seed, T=2000, N=8):
    """Length of dL/dh for T random tokens: (T,)"""
    rng = np.random.default_rng(seed)
    p, a = softmax(rng.normal(size=(T, N)), tau), rng.normal(size=(T, N))  # (T, N) each
    return np.linalg.norm(p * (a - (p * a).sum(axis=-1, keepdims=True)) / tau, axis=-1)


runs = {tau: np.array([sizes(tau, seed) for seed in range(5)]) for tau in (0.01, 0.1, 0.3, 1, 10, 100)}  # (seeds, T)
medians = {tau: np.median(lengths, axis=1) for tau, lengths in runs.items()}  # (seeds,) each
compare(my_tau, max((0.01, 0.3, 10), key=lambda tau: medians[tau].mean()))
print("    τ   median (5 seeds)          mean   largest   tokens below 0.001")
for tau, (median, lengths) in {tau: (medians[tau], runs[tau]) for tau in runs}.items():
    spread = f"{median.mean():.3f} ({median.min():.3f}–{median.max():.3f})"
    print(f"{tau:>5}   {spread:<22} {lengths.mean():7.3f} {lengths.max():9.3f} {np.mean(lengths < 1e-3):14.1%}")
holds["c"] = bool(medians[0.01].mean() > medians[0.3].mean())
assert not holds["c"]

# %% [markdown]
# Two forces pull. The factor 1/τ makes gradients small at a high τ. At a low τ the softmax saturates: most tokens give
# next to nothing, and a few, those near a tie, a jolt. The mean hides it: between
# τ = 0.1 and 0.01 it hardly moves. (With top-k gating the same holds among the kept experts.)
#
# > **Myth: "the lower the temperature, the better: the router is decided."** The worked example at τ = 0.05, k = 2:

# %%
sharp = route(x, W_g, k=2, temperature=0.05)
print("weights of the two kept experts:", sharp.weights[sharp.selected].round(4))
print("The second costs as much to run as the first, and gets 1 % of the weight.")
assert round(100 * sharp.weights[sharp.selected][1]) == 1

# %% [markdown]
# Right is: a low τ makes weights extreme and learning uneven. It makes no choice better, since it makes no other choice.
#
# ## Annealing: a τ that falls
#
# A popular recipe lowers τ step by step in training. Three shapes for it: *linear* (equal differences), *geometric* (equal
# ratios) and *cosine* (half a wave, flat at both ends).
#
# **Predict.** From 4 to 0.25 in five steps, geometric. What is the third value?

# %% name="predict-middle" tags=["predict"]
my_third = ...  # a number

# %%
compare(my_third, schedules(4.0, 0.25, 5)["geometric"][2])
for name, values in schedules(4.0, 0.25, 5).items():
    print(f"{name:<10} {values.round(3)}")

# %% [markdown]
# With the steps s counted from 0 to S − 1, and $u = s/(S-1)$, the three are
#
# $$\tau_0 + (\tau_1-\tau_0)\,u, \qquad \tau_0\,(\tau_1/\tau_0)^{u}, \qquad \tau_1 + (\tau_0-\tau_1)\,\tfrac{1+\cos \pi u}{2}.$$
#
# **Move the sliders.** Which two agree half-way, whatever you set? From 4 to 0.25, which one spends the fewest steps
# above τ = 1? Can you find a start and an end for which all three nearly agree?

# %% name="picture-schedules"
Live(
    schedules_svg,
    start=slider("start", 4.0, 2.0, 10.0, 0.25),
    end=slider("end", 0.25, 0.05, 2.0, 0.05),
    steps=slider("steps", 21, 3, 61, 2),
)

# %% [markdown]
# You should see linear and cosine meet half-way, at the mean of both ends, while geometric is below, at the root of
# their product. From 4 to 0.25 it also passes 1 first. When start and end are close, the shapes hardly differ.
#
# These are shapes only. What they do in training is measured in lesson 08. For a given `W_g` without noise, annealing
# anneals weights and gradients, not the choice.

# %%
selections = {tuple(route(x, W_g, 2, temperature=tau).selected) for tau in schedules(4.0, 0.05, 50)["cosine"]}
first, last = (gate_weights(h, 2, temperature=tau)[1] for tau in (4.0, 0.05))
print(f"selections along the schedule: {len(selections)}; weight of E2 at its start {first:.3f}, at its end {last:.3f}")
assert len(selections) == 1
above_1 = {name: (values > 1).sum() for name, values in schedules(4.0, 0.25, 21).items()}
assert min(above_1, key=above_1.get) == "geometric"

# %% [markdown]
# ## The bet

# %%
missing = [letter for letter in "abcde" if letter not in holds]
true_ones = "".join(letter for letter in "abcde" if holds.get(letter))
if not missing:
    compare(my_true_ones, true_ones)
    assert true_ones == "e"
else:
    print("Not measured yet, run the cells above first:", *missing)

# %% [markdown]
# Only **e** holds. If you bet on another one, go back to its cell: **a** the table of noise, **b** the three learning
# rates, **c** the table of gradients, **d** Paris.
#
# ## Recap
#
# 1. τ → 0 leaves the largest logit (ties share), τ → ∞ makes all equal, and the entropy only rises. A probability
#    rises where its logit is below the mean logit, and falls where it is above.
# 2. τ changes weights, never a selection made on logits. Noise and sampling change that, and τ counts only for noise added after it.
# 3. The largest of h/τ + Gumbel noise is a sample from the softmax. Decoding samples; a router takes the top k.
# 4. Rounding can make different logits equal probabilities, so select on logits.
# 5. A constant τ is a scale of `W_g` with the learning rate times 1/τ². Schedules differ in where they spend their steps.
#
# **What this lesson cannot tell you:** whether exploring is worth it, and whether annealing helps. Both need a router in
# training (lesson 08).
#
# ## Quiz
#
# **1. A router with k = 2 and without noise is run at τ = 1 and at τ = 3. What differs?** (a) which experts run (b) their weights
# (c) both
#
# <details><summary>Answer</summary>
#
# (b). Dividing by τ keeps the order, so (a) and (c) fail: top-k sees nothing but the order.
#
# </details>
#
# **2. You want the top-2 choice to vary more. What helps?** (a) τ = 5 after the noisy logits (b) larger noise on the
# logits (c) a softmax before the top-k
#
# <details><summary>Answer</summary>
#
# (b): noise matters compared with the gaps. (a) divides noise and gaps alike. (c) keeps the order.
#
# </details>
#
# **3. A colleague lowers τ from 1 to 0.1, retrains from the same `W_g` with the same learning rate, and gets another
# router. Why?** (a) it starts with logits ten times as large and takes steps that count a hundredfold (b) τ lets it
# represent other functions (c) it explores less
#
# <details><summary>Answer</summary>
#
# (a): W_g/τ is the start, η/τ² the rate. (b): every router with τ = 0.1 is one with τ = 1. (c): without noise neither
# explores.
#
# </details>
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
for tau in (0.25, 1.0, 4.0):
    p = softmax(h, tau)  # (N,)
    formula = p @ (h - p @ h) ** 2 / tau**3
    difference = (entr(softmax(h, tau + step)).sum() - entr(softmax(h, tau - step)).sum()) / (2 * step)
    print(f"τ = {tau}: formula {formula:.6f}, finite difference {difference:.6f}")
    assert np.isclose(formula, difference, atol=1e-8)

# %% [markdown] name="deeper-race" tags=["deeper"]
# ## Deeper: why Gumbel noise is the right noise
#
# Turn it round: the largest $h_i/\tau + G_i$ has the smallest $e^{-h_i/\tau - G_i} = e^{-h_i/\tau} \cdot (-\ln U_i)$. And
# −ln U is a waiting time: that of an alarm clock which rings at a constant rate. Multiplied by $e^{-h_i/\tau}$ it rings at
# rate $e^{h_i/\tau}$. Of several such clocks, each is the first with a chance in proportion to its rate. That is the
# softmax.

# %% name="deeper-race-cell" tags=["deeper"]
rates = np.exp(h / 0.5)  # (N,)
for seed in range(5):
    first, p = np.random.default_rng(seed).exponential(1 / rates, size=(n, 4)).argmin(axis=1), softmax(h, 0.5)
    print(f"seed {seed}: first to ring {np.bincount(first) / n}   softmax at τ = 0.5 {p.round(4)}")
    assert (np.abs(np.bincount(first, minlength=4) / n - p) < 4 * np.sqrt(p * (1 - p) / n)).all()
