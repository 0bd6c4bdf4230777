# %% [markdown]
# # 04 · Top-k gating and renormalisation
#
# **What happens to the weight that is cut off?** In lesson 01 the router kept two experts of four and shared the
# weight between them. That one sentence hides three decisions: how to cut, how to share, and what to do when two
# experts are equally good. Published models decide differently, and two of the popular ways to write it down are
# bugs.
#
# You will be able to
#
# 1. cut a token's logits to the k best so that nothing leaks, and measure what a wrong mask leaks;
# 2. write three gate forms, say which two are the same, and where each is used;
# 3. say how much probability the kept experts hold, and what that does to the size of the output;
# 4. show why a gate with k = 1 must not be renormalised if its router is to learn;
# 5. say what decides a tie, and what noise may do in training only.
#
# **Before:** lessons 01 and 02; from lesson 03, that τ never changes the order of the logits.
# **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
from functools import partial

import numpy as np

from moe_lessons.checks import compare, reveal
from moe_lessons.data import EXPERT_NAMES, planted_router, token_kinds, worked_example, worked_experts
from moe_lessons.figures.gates import kept_mass as kept_mass_of_tokens
from moe_lessons.figures.gates import kept_mass_svg, masks_svg
from moe_lessons.routing import GATE_FORMS, gate_weights, noisy_logits, route, softmax
from moe_lessons.widgets.live import Live, slider
from moe_lessons.widgets.visualizer import GatingVisualizer

# %% [markdown]
# ## How to cut
#
# Here is the token of lesson 01 again. The best two of its logits stay. The others become −∞, because $e^{-\infty}$
# is exactly 0: a softmax then gives them nothing. Shazeer et al. (2017, arXiv:1701.06538) call this step KeepTopK.

# %%
x, W_g = worked_example()
h = x @ W_g  # (N,) = (4,)
p = softmax(h)  # (N,)


def keep_top_k(h, k, cut=-np.inf):
    """h (N,) -> the k largest where they were, `cut` everywhere else"""
    best = np.argsort(-h, kind="stable")[:k]  # (k,)
    kept = np.full(h.shape, cut)  # (N,)
    kept[best] = h[best]
    return kept


print("logits:       ", h.round(2))
print("kept:         ", keep_top_k(h, 2).round(2))
print("their softmax:", softmax(keep_top_k(h, 2)).round(3))

# %% [markdown]
# **Predict.** Suppose someone writes 0 in place of −∞. E1 had logit −0.18 and probability .180, and it is cut. What
# weight does it get now? (e^0.30 is about 1.35 and e^0.52 about 1.68.)

# %% name="predict-leak" tags=["predict"]
my_weight_of_E1 = ...  # a number

# %%
leaky = softmax(keep_top_k(h, 2, cut=0.0))  # (N,)
compare(my_weight_of_E1, leaky[0])
print("weights with the mask of 0:", leaky.round(3), " sum", leaky.sum().round(6))

# %% [markdown]
# The cut expert has *more* than before it was cut. And nothing looks wrong: all weights are positive and sum to 1.
#
# > **Myth: "top-k sets the other scores to zero."** Zero is a logit like any other, and no small one.

# %%
print("e to the 0 is", np.exp(0.0), "  e to the −∞ is", np.exp(-np.inf))
assert leaky[0] > p[0]

# %% [markdown]
# Right is: the *weights* of cut experts are zero. So set logits to −∞ before the softmax, or weights to 0 after it.
#
# Leaked weight goes one of two ways. Either all N experts must run, and the saving is gone; or only k run, and that
# share of the output is missing. How large is it? We draw 1,000 tokens with random logits (standard deviation 1) and
# keep two, with five seeds.


# %%
def leaked(N, cut, k=2, seed=0, T=1000):
    """Mean weight on the experts that were cut, when their logits become `cut`"""
    h = np.random.default_rng(seed).normal(size=(T, N))  # (T, N)
    kept = gate_weights(h, k) > 0  # (T, N)
    return softmax(np.where(kept, h, cut))[~kept].sum() / T


for N in (4, 8, 16, 64, 256):
    runs = [leaked(N, cut=0.0, seed=seed) for seed in range(5)]
    print(f"N = {N:>3}: {np.mean(runs):.1%} of the weight leaks (from {min(runs):.1%} to {max(runs):.1%})")
masked = [leaked(N, cut=-np.inf, seed=seed) for N in (4, 8, 16, 64, 256) for seed in range(5)]
print("with a mask of −∞, the most that leaks for any N and seed:", max(masked))
assert max(masked) == 0

# %% [markdown]
# A third with four experts, most of it with many. With −∞ it is exactly 0 for every N and seed.
#
# **Question for the picture:** leave N at 4. The slider `shift` adds a number to every logit. What does it do above,
# and below? For which shifts do the cut experts hold more than half? Then put it back to 0 and raise N.

# %% name="picture-masks"
more_logits = np.concatenate([h, np.random.default_rng(0).normal(size=60)])  # (64,)
Live(
    lambda N, k, shift: masks_svg(more_logits[:N], k, shift),
    N=slider("N, experts", 4, 4, 64, 4),
    k=slider("k, kept", 2, 1, 4, 1),
    shift=slider("shift", 0.0, -5.0, 5.0, 0.5),
)

# %% [markdown]
# You should see that the upper gate never moves with the shift: a softmax sees only differences. The lower one does,
# since its 0 stays where it is. From −0.5 downwards the cut experts hold more than half, although they were cut for
# being the worst. Far to the right the leak all but vanishes, so a test with large logits would not find it. With
# N = 64 and k = 4 the cut experts hold 0.730, each of them only a sliver.

# %%
for shift in (-5.0, -0.5, 0.0, 5.0):
    on_cut = softmax(keep_top_k(h + shift, 2, cut=0.0))[[0, 3]].sum()
    print(f"shift {shift:+.1f}: {on_cut:.3f} of the weight on the two cut experts")
    assert (on_cut > 0.5) == (shift < 0)
on_cut = np.sort(softmax(keep_top_k(more_logits, 4, cut=0.0)))[:60]  # (N − k,)
print(f"N = 64, k = 4: {on_cut.sum():.3f} on the cut experts, at most {on_cut.max():.3f} each")
assert round(on_cut.sum(), 3) == 0.730

# %% [markdown]
# ## Three ways to share
#
# The kept experts are the same in all three forms. Only the sharing differs.
#
# | form | name in the code | what it does | where it is used |
# |---|---|---|---|
# | A | `topk_softmax` | cut, then softmax over what is kept | Shazeer et al. 2017; the published code of gpt-oss; Mistral's own code for Mixtral |
# | B | `softmax_topk` | softmax over all, then cut | Switch (Fedus et al. 2021, arXiv:2101.03961); OLMoE (Muennighoff et al. 2024, arXiv:2409.02060) |
# | B′ | `softmax_topk_renorm` | as B, then divide by the sum ("renormalise") | Mixtral in the library `transformers`; DeepSpeed's top-2 |

# %%
for form in GATE_FORMS:
    weights = gate_weights(h, 2, form)  # (N,)
    print(f"{form:<20} weights {weights.round(4)}  sum {weights.sum():.4f}")

# %% [markdown]
# Mixtral appears twice: two programs for the same trained model, one with form A and one with B′. Is one of them
# wrong?
#
# **Predict.** Over 1,000 random tokens with eight experts, how far apart are A and B′ at most? Type a number, say
# 0.1.

# %% name="predict-difference" tags=["predict"]
my_largest_difference = ...  # a number between 0 and 1

# %%
many = 2 * np.random.default_rng(1).normal(size=(1000, 8))  # (T, N)
apart = [np.abs(gate_weights(many, k) - gate_weights(many, k, "softmax_topk_renorm")).max()
         for k in range(1, 9)]  # fmt: skip
compare(my_largest_difference, max(apart))
print(f"largest difference for any k: {max(apart):.1e}, the rounding of the last digit")
assert max(apart) < 1e-14

# %% [markdown]
# They are the same function. In $p_i = e^{h_i} / Z$ the denominator Z is shared by all experts, and dividing by the
# kept sum cancels it: $\;\dfrac{p_i}{\sum_{j \in S} p_j} = \dfrac{e^{h_i}}{\sum_{j \in S} e^{h_j}}$. So probabilities
# .3 and .2 become .6 and .4, whatever the others hold.
#
# What about training, which works with slopes? We raise each logit a little and see how the weights move, by finite
# differences.


# %%
def slopes(gate, h, step=1e-5):
    """gate: (N,) -> (N,). Returns (N, N): row i, column j is the slope of weight i along logit j."""
    moved = [(gate(h + step * e) - gate(h - step * e)) / (2 * step) for e in np.eye(len(h))]
    return np.stack(moved, axis=1)  # (N, N)


by_form = {form: slopes(partial(gate_weights, k=2, form=form), h) for form in GATE_FORMS}
for form, matrix in by_form.items():
    print(f"{form:<20} slope of E3's weight along h1..h4: {matrix[2].round(3) + 0.0}")
assert np.allclose(by_form["topk_softmax"], by_form["softmax_topk_renorm"], atol=1e-9)
assert np.allclose(softmax(np.log([0.3, 0.2])), [0.6, 0.4])

# %% [markdown]
# A and B′ agree here too. In both, the logits of the cut experts E1 and E4 move nothing: zeros in the first and last
# place. In B they do, because they are part of Z. Lesson 07 asks what a router can learn from that.
#
# > **Myth: "renormalise with a second softmax over the selected scores."** It depends on which scores. Over the
# > *logits* it is form A, and then no first softmax is needed. Over the *probabilities* it is another function.

# %%
print("softmax of the kept logits:       ", softmax(h[[2, 1]]).round(3))
print("softmax of the kept probabilities:", softmax(p[[2, 1]]).round(3), " <- too flat")
sure = np.array([10.0, 0.0, 0.0, 0.0])  # (N,): a router that has hardly a doubt
print(f"logits 10 and 0: the best gets {softmax(sure[:2])[0]:.5f} of the logits, "
      f"{softmax(softmax(sure)[:2])[0]:.5f} of the probabilities")  # fmt: skip
assert np.allclose(softmax(p[[2, 1]]), [0.518, 0.482], atol=5e-4)

# %% [markdown]
# Right is: divide by the sum. Two probabilities differ by 1 at most, so a softmax over two of them can never give the
# better one more than $e/(e+1)$, about .731, however sure the router is.
#
# ## How much is kept
#
# B and B′ differ by one number per token: the **kept mass**, the probability that the k kept experts hold together.
#
# **Predict.** 64 experts, random logits with standard deviation 1, k = 2. What share of the probability do the best
# two hold, on average?

# %% name="predict-kept" tags=["predict"]
my_kept_mass = ...  # a number between 0 and 1


# %%
def kept_mass(N, k, scale, seed=0, T=1000):
    """Mean probability on the k best of N experts"""
    logits = scale * np.random.default_rng(seed).normal(size=(T, N))  # (T, N)
    return gate_weights(logits, k, "softmax_topk").sum(axis=1).mean()


compare(my_kept_mass, kept_mass(64, 2, 1.0), within="10 %")
print("mean share (lowest to highest of 5 seeds)")
print(f"{'N':>3} {'k':>3}   {'scale 0.1':<22}   {'scale 1':<22}   {'scale 3':<22}   equal logits")
for N, k in ((8, 1), (8, 2), (64, 2), (64, 8)):
    cells = []
    for scale in (0.1, 1.0, 3.0):
        runs = [kept_mass(N, k, scale, seed) for seed in range(5)]
        cells.append(f"{np.mean(runs):.3f} ({min(runs):.3f} to {max(runs):.3f})")
    print(f"{N:>3} {k:>3}   " + "   ".join(cells) + f"   {k / N:.3f}")

# %% [markdown]
# At scale 1 the best two of 64 hold less than a fifth. Three things decide: how many you keep, of how many, and how large the
# logits are. (Independent normal logits are a stand-in. A trained router's need not be independent.)
#
# **Question for the picture:** is the weight that form B hands out the same for every token? With 8 experts, which
# scales and which k make the band narrow? Where do all three forms agree?

# %% name="picture-kept-mass"
Live(
    kept_mass_svg,
    num_experts=slider("N, experts", 8, 4, 64, 4),
    logit_scale=slider("logit scale", 1.0, 0.1, 5.0, 0.1),
    k=slider("k, kept", 2, 1, 16, 1),
)

# %% [markdown]
# You should see a wide band at scale 1: under B some tokens get far more weight than others. It narrows at a small
# scale (every token gets about k/N) and at a large k (about 1). A large scale makes it narrow only once k is 4 or so;
# with k = 1 even scale 5 leaves it wide. At k = N nothing is cut, and all forms are the plain softmax.

# %%
for k in (1, 2, 4):
    bands = [np.quantile(kept_mass_of_tokens(8, scale)[:, k - 1], [0.05, 0.95]) for scale in (0.1, 1.0, 5.0)]
    print(f"N = 8, k = {k}: " + ", ".join(f"{low:.2f} to {high:.2f}" for low, high in bands) + " (scale 0.1, 1, 5)")
    small, middle, large = np.diff(bands)[:, 0]
    assert small < 0.05
    assert (large > middle) == (k == 1)
    assert (large < 0.05) == (k == 4)

# %% [markdown]
# ## Is the output too small?
#
# > **Myth: "without renormalising, the output is scaled down, so something is lost."** The first half is true. Look at
# > what the scaling does.

# %%
outputs = np.stack([expert(x) for expert in worked_experts()])  # (N, d)
y_A, y_B = gate_weights(h, 2) @ outputs, gate_weights(h, 2, "softmax_topk") @ outputs  # (d,) each
print("y in form A", y_A.round(4), "  y in form B", y_B.round(4), "  ratio", (y_B / y_A).round(4))
assert np.allclose(y_B, p[[2, 1]].sum() * y_A)

# %% [markdown]
# Right is: the same direction, times the kept mass. A *constant* factor could be absorbed, in principle: the experts are
# learned and can be larger. In practice it sets how large the layer's output begins, beside the residual stream that it
# is added to, and how fast it learns: with a factor of 16 the same step of the weights moves the output 16 times as
# far. So some models have a setting for it (`routed_scaling_factor`, 16 in DeepSeek-V2). Lesson 08 trains with 1/16 and 16
# in its last *deeper* cell (five seeds, 400 steps). What is not constant remains in any case: a token of which the
# router is unsure is written more softly. Switch, OLMoE and DeepSeek-V2 are trained this way.
#
# What does hurt is to **change the form afterwards**. Below, linear experts are fitted by least squares to a fixed
# target, behind a random router that stays as it is; then each set runs under both forms.


# %%
def errors(seed, T=4000, d=8, N=8, k=2):
    """Test error, as a share of the target's variance, for experts fitted and run under form A or B"""
    rng = np.random.default_rng(seed)
    x, W = rng.normal(size=(2 * T, d)), rng.normal(size=(d, N)) / np.sqrt(d)
    y = np.tanh(x @ rng.normal(size=(d, 16))) @ rng.normal(size=(16, d))  # (2T, d)
    weights = {"A": gate_weights(x @ W, k), "B": gate_weights(x @ W, k, "softmax_topk")}  # (2T, N) each
    inputs = {form: np.einsum("tn,td->tnd", w, x).reshape(2 * T, -1) for form, w in weights.items()}
    inputs["one"] = x  # the baseline: a single linear expert, no router
    fitted = {form: np.linalg.lstsq(X[:T], y[:T], rcond=None)[0] for form, X in inputs.items()}
    pairs = (("A", "A"), ("B", "B"), ("A", "B"), ("B", "A"), ("one", "one"))
    return [np.mean((inputs[run][T:] @ fitted[fit] - y[T:]) ** 2) / y[T:].var() for fit, run in pairs]


table = np.array([errors(seed) for seed in range(5)])  # (seeds, 5)
names = ("fitted A, run A", "fitted B, run B", "fitted A, run B", "fitted B, run A", "one linear expert")
for name, column in zip(names, table.T, strict=True):
    print(f"{name:<18} error {column.mean():.2f} (from {column.min():.2f} to {column.max():.2f})")
assert (table[:, 2:4] > table[:, 0:2] + 0.1).all()
assert (table[:, 1] > table[:, 4]).all()

# %% [markdown]
# Changing the form makes the error larger in every seed, far larger than the difference between the forms. So when
# you load a published model, its configuration must say which form it was trained with.
#
# Be careful with the first two lines. Here B is a little worse, worse even than one expert without a router: these
# experts are linear and cannot undo a factor that changes from token to token, and the router is frozen. Whether B
# costs anything when the router is trained too, this cell cannot say. Lesson 08 trains both.
#
# ## Only one expert
#
# Switch uses k = 1. **Predict.** E3 is the only one kept, with logit 0.52. Its logit rises by 1. By how much does its
# weight rise in form A?

# %% name="predict-rise" tags=["predict"]
my_rise = ...  # a number

# %%
raised = h + np.array([0.0, 0.0, 1.0, 0.0])  # (N,)
compare(my_rise, gate_weights(raised, 1)[2] - gate_weights(h, 1)[2])
tokens = np.random.default_rng(2).normal(size=(200, 8))  # (T, N)
for form in GATE_FORMS:
    gate = partial(gate_weights, k=1, form=form)
    steepest = [np.abs(slopes(gate, token)).max() for token in tokens]
    print(f"{form}: weight of E3 {gate_weights(h, 1, form)[2]:.3f}")
    print(f"    steepest slope of 200 other tokens: from {min(steepest):.3f} to {max(steepest):.3f}")
    assert (max(steepest) == 0) == (form != "softmax_topk")

# %% [markdown]
# One number divided by itself is 1. In A and B′ the weight is exactly 1 and every slope exactly 0: whatever the loss
# says about the expert's work, none of it reaches the router through the gate. Such a router stays as it began,
# unless something else pushes it. In B the weight is $p_i$, with slope $p_i(1 - p_i)$. That is why Switch does not
# renormalise, and here leaving it out is not just harmless. Lesson 07 follows these slopes into the router.
#
# ## Equal logits
#
# A tie seems a rarity. But routers have been started at `W_g = 0`.
#
# **Predict.** 1,000 random tokens meet a zero router with 8 experts, k = 2. How many of the 2,000 places does E1 get?

# %% name="predict-tie" tags=["predict"]
my_count_of_E1 = ...  # a whole number

# %%
rng = np.random.default_rng(0)
crowd = rng.normal(size=(1000, 16))  # (T, d)
counts = np.bincount(route(crowd, np.zeros((16, 8)), k=2).selected.ravel(), minlength=8)  # (N,)
compare(my_count_of_E1, counts[0])
print("tokens sent to E1..E8:", counts)
backwards = np.argsort(np.zeros(8), kind="stable")[::-1][:2]
print("sorted upwards and read from the end, the same tie gives indices", backwards)
assert counts.tolist() == [1000, 1000, 0, 0, 0, 0, 0, 0]
assert backwards.tolist() == [7, 6]

# %% [markdown]
# All logits are equal, so the rule for ties decides for everyone. The course's rule: **the lower index comes first**.
# It is no law. `torch.topk` promises no order among equals, nor does `np.argsort` without `kind="stable"`; a stable
# sort does. Two programs with other rules route such tokens differently, and coarse number formats make ties common
# (*deeper*, below).
#
# Shazeer et al. did start with zeros, but with noise on top. So to noise.
#
# ## A first look at noise
#
# In training they add a random number to every logit, drawn anew for every token and expert. Its size is learned,
# too: $H_i = (xW_g)_i + \varepsilon_i \cdot \mathrm{softplus}\big((xW_{noise})_i\big)$, with $\varepsilon_i$ standard
# normal and $\mathrm{softplus}(z) = \ln(1 + e^z)$, which is always positive.

# %%
rng = np.random.default_rng(1)
W_noise = 0.3 * rng.normal(size=(16, 8))  # (d, N), random here; learned in a model
print("noise sizes, 2 tokens × 8 experts:", np.logaddexp(0, crowd[:2] @ W_noise).round(2), sep="\n")
zeros = np.zeros((16, 8))  # (d, N)
start = noisy_logits(crowd, zeros, zeros, rng)  # (T, N)
print(f"both matrices zero: every noise has size {np.log(2):.3f}; measured: {start.std():.3f}")
passes = [np.argsort(-noisy_logits(crowd, zeros, zeros, rng))[:, :2] for _ in range(2)]  # (T, k) each
places = [np.bincount(selected.ravel()) for selected in passes]  # (N,) each
print("tokens sent to E1..E8, two passes, all around 250:", *places, sep="\n")
assert 180 < np.min(places) <= np.max(places) < 320

# %% [markdown]
# Noise spreads the tied tokens. It is for training only. **Left on when the model is used**, the same token can go to
# other experts from one pass to the next. We send 2,000 tokens through a random router twice (N = 8, d = 16, logits
# of standard deviation about 1) and count.


# %%
def share_moved(size, k, seed, T=2000, d=16, N=8):
    """Share of tokens whose set of experts differs between two passes with noise of this size"""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(T, d)) @ (rng.normal(size=(d, N)) / np.sqrt(d))  # (T, N)
    noisy = [logits + size * rng.normal(size=(T, N)) for _ in range(2)]
    first, second = (gate_weights(h, k) > 0 for h in noisy)  # (T, N) each
    return (first != second).any(axis=1).mean()


for size in (0.0, 0.1, 0.3, np.log(2)):
    for k in (1, 2):
        runs = [share_moved(size, k, seed) for seed in range(5)]
        print(f"noise {size:.3f}, k = {k}: {np.mean(runs):5.1%} of the tokens change experts "
              f"(from {min(runs):.1%} to {max(runs):.1%})")  # fmt: skip
assert share_moved(0.0, 2, 0) == 0

# %% [markdown]
# Without noise none moves: that is the baseline. At the starting size most do. What noise is *for* comes in lesson
# 09; the stated reason is a balanced load. ("Random routing" in GShard's code is something else: with some
# probability it leaves the *second* expert out. Lesson 10.)
#
# ## The Gating Network Visualizer
#
# All parts on one screen: vector, logits, noise, cut, weights, experts, output. There are five kinds of token and
# five experts with names. **We planted them.** The vectors and `W_g` were chosen by hand so that each kind likes the
# expert of its name; nothing was learned. The next cell shows it, and what a random router does with the same tokens.

# %%
kinds = token_kinds()
vectors = np.stack([kind.x for kind in kinds.values()])  # (5, d) = (5, 6)
for name, row in zip(kinds, vectors @ planted_router(), strict=True):
    print(f"{name:<9} logits {row.round(1) + 0.0}  first choice: {EXPERT_NAMES[row.argmax()]}")
random_W = np.random.default_rng(0).normal(size=(1000, 6, 5))  # (routers, d, N)
hits = ((vectors @ random_W).argmax(axis=-1) == np.arange(5)).sum(axis=-1)  # (routers,)
print("kinds that meet the expert of their name: 5 of 5 when planted;")
print(f"with 1,000 random routers {hits.mean():.2f} on average, all five in {np.mean(hits == 5):.1%} of them")

# %% [markdown]
# So what you see below is **no evidence** that routers learn subjects, that experts have them, or that weights are
# that clear in a real model. That is measured in lesson 11. What is real is the arithmetic. Find out:
#
# 1. Token `code`, k = 2: E1's weight? Now k = 1, and then 5. Which columns of the table did k change?
# 2. Go through the three forms at k = 2, then at k = 1 and k = 5. When do they differ?
# 3. Set the noise to 1 and press "New noise" a few times. Do the active experts change? Does moving the *slider* draw
#    new noise?
# 4. Which columns does the temperature change, and does it ever change who is active?

# %% name="visualizer"
visualizer = GatingVisualizer()
visualizer

# %% [markdown]
# You should see that k changes who is active, never a logit or a probability. In A and B′, which always agree,
# whoever stays gets more when fewer stay; in B each keeps what it had. At k = 5 nothing is cut, and all three agree.
# At k = 1 the weight is 1 in A, and equals the probability in B. The slider scales one frozen sample; only the button
# draws another. At noise 1, `code` nearly always keeps Code, while the second place changes hands often: Code and Logic
# stay together in fewer than half of the samples. Temperature moves probabilities and weights, but no one in or out.

# %%
code = kinds["code"].x @ planted_router()  # (N,)
for k in range(1, 6):
    shown = [f"{gate_weights(code, k, form)[0]:.3f} ({form})" for form in GATE_FORMS]
    print(f"code, k = {k}: E1's weight", ", ".join(shown))
pairs = gate_weights(code + np.array(visualizer.samples), 2) > 0  # (100, N): noise 1
print(f"noise 1, k = 2, {len(pairs)} samples: Code active in {pairs[:, 0].sum()}, "
      f"Code with Logic in {(pairs[:, 0] & pairs[:, 3]).sum()}")  # fmt: skip
assert pairs[:, 0].mean() > 0.9
assert (pairs[:, 0] & pairs[:, 3]).mean() < 0.5
print("active in the visualizer now:", [EXPERT_NAMES[i] for i in visualizer.trace.selected])
again = gate_weights(visualizer.trace.logits, visualizer.k, visualizer.form, visualizer.temperature)  # (N,)
assert np.allclose(visualizer.trace.weights, again)

# %% [markdown]
# ## How many experts do models keep?
#
# With N = 64 and k = 2, a token skips 62 experts. Against running all 64 that saves 96.9 % of the expert work;
# against one expert it is twice the work. The router still scores all 64.
#
# > **Myth: "most modern models use top-1 or top-2."** Look at the years.

# %%
models = {  # arXiv number of the report: year, N, k, as published
    "Switch-C (2101.03961)": (2021, 2048, 1),
    "ST-MoE-32B (2202.08906)": (2022, 64, 2),
    "Mixtral 8x7B (2401.04088)": (2024, 8, 2),
    "DeepSeekMoE-16B (2401.06066)": (2024, 64, 6),
    "OpenMoE-8B (2402.01739)": (2024, 32, 2),
    "OLMoE-1B-7B (2409.02060)": (2024, 64, 8),
    "GRIN-MoE (2409.12136)": (2024, 16, 2),
    "DeepSeek-V3 (2412.19437)": (2024, 256, 8),
    "Qwen3-30B-A3B (2505.09388)": (2025, 128, 8),
    "gpt-oss-120b (its README)": (2025, 128, 4),
}
for name, (year, N, k) in models.items():
    print(f"{year}  {name:<29} N = {N:>4}, k = {k}: skips {N - k:>4}, runs {k / N:.2%}")
recent = [k for year, _, k in models.values() if year >= 2024]
print(f"of these {len(recent)} from 2024 on, {sum(k > 2 for k in recent)} keep more than two")
assert sum(k > 2 for k in recent) > len(recent) / 2
print(f"N = 64, k = 2: {64 - 2} skipped, {1 - 2 / 64:.1%} saved")

# %% [markdown]
# Right is: many smaller experts, of which 4 to 8 are kept, have become common. (A list of well-known models, not a
# census.)
#
# ## Recap
#
# 1. Cut means logits at −∞, or weights at 0. A logit of 0 leaks: it still counts $e^0 = 1$.
# 2. A (cut, softmax) and B′ (softmax, cut, divide) are one function, slopes included. B (softmax, cut) keeps the
#    probabilities. All three are found in published code. The two bugs of the beginning: a mask of 0, and a second
#    softmax over probabilities.
# 3. The kept mass depends on k, N and the size of the logits, and varies from token to token. In B it scales the
#    output. That is no flaw by itself; changing the form after training is one.
# 4. With k = 1 a renormalised weight is always 1, with slope 0.
# 5. Ties go by a rule you must know: here, the lower index. Noise is drawn per token and expert, in training only.
#
# **What this lesson cannot tell you:** which form trains *better*. No router was trained here. That needs gradients
# (lesson 07) and training runs (lesson 08).
#
# ## Quiz
#
# **1. A gate's weights are positive and sum to 1 for every token. Does it leak?** (a) no (b) it may (c) only if k = 1
#
# <details><summary>Answer</summary>
#
# (b). A softmax over logits masked with 0 sums to 1 as well, with weight on cut experts. (a) trusts the sum, which
# tells nothing. (c): the leak occurs for every k below N.
#
# </details>
#
# **2. You load OLMoE, trained with form B, into code that renormalises. What happens?** (a) nothing, the ratio between
# experts is the same (b) the layer's outputs become too large, by a factor that varies from token to token (c) other
# experts are selected
#
# <details><summary>Answer</summary>
#
# (b). Dividing by the kept mass, which is below 1, makes every output larger. (a) is right about the ratio, but the
# size counts too. (c): all forms select the same experts.
#
# </details>
#
# **3. Which gate gives a router with k = 1 something to learn from?** (a) A (b) B (c) B′ (d) A with a lower temperature
#
# <details><summary>Answer</summary>
#
# (b): the weight is p, which moves with the logit. (a) and (c) always give 1. (d) as well: the temperature acts
# before the division, which removes it.
#
# </details>
#
# ## Next
#
# - Exercises: [](exercises:04), {{questions}}.
# - The code you used: [](module:routing). Look at `gate_weights`: every form selects on
#   the logits.
# - Lesson 05: how a sparse layer is computed fast.

# %% [markdown] name="deeper-bfloat16" tags=["deeper"]
# ## Deeper: ties in bfloat16
#
# bfloat16 keeps 8 significant bits (lesson 02). We round logits to it and count the tokens whose second and third
# logit are then exactly equal, so that the rule for ties decides who is kept with k = 2. In float64 there are none.

# %% name="deeper-bfloat16-cell" tags=["deeper"]
from moe_lessons.precision import to_bfloat16

for N in (8, 64, 256):
    shares = []
    for seed in range(5):
        logits = np.random.default_rng(seed).normal(size=(4000, N))  # (T, N)
        second_third = np.sort(to_bfloat16(logits), axis=1)[:, [-2, -3]]  # (T, 2)
        shares.append(np.mean(second_third[:, 0] == second_third[:, 1]))
        exact = np.sort(logits, axis=1)
        assert (exact[:, -2] > exact[:, -3]).all()
    print(f"N = {N:>3}: {np.mean(shares):.1%} tie (from {min(shares):.1%} to {max(shares):.1%})")

# %% [markdown] name="deeper-drop" tags=["deeper"]
# ## Deeper: when something comes between
#
# A and B′ are equal as long as nothing happens between cutting and dividing. Suppose E2 is full, and the token loses
# it (lesson 10). Whoever divides *before* that is left with less than 1; whoever divides *after* gives E3 everything.
# DeepSpeed's top-k gate divides after.

# %% name="deeper-drop-cell" tags=["deeper"]
is_free = np.array([1, 0, 1, 1])  # (N,): E2 has no place left
before = gate_weights(h, 2, "softmax_topk_renorm") * is_free  # (N,)
after = gate_weights(h, 2, "softmax_topk") * is_free  # (N,)
after = after / after.sum()
print("divided before the drop:", before.round(3), "  after it:", after.round(3))
