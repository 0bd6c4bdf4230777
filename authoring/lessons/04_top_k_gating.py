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
# 2. write three gate forms, and find out which of them differ;
# 3. say how much probability the kept experts hold, and what that does to the size of the output;
# 4. say what renormalising does to a gate with k = 1, and what decides a tie;
# 5. read in a model's configuration how it shares the weight.
#
# **Before:** lessons 01 and 02; from lesson 03, that τ never changes the order of the logits.
# **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
import numpy as np
from scipy.special import expit  # the sigmoid, 1/(1 + e^−h)

from moe_lessons.checks import compare, reveal
from moe_lessons.data import worked_example, worked_experts
from moe_lessons.experiments.changed_form import load_results
from moe_lessons.figures.gates import kept_mass as kept_mass_of_tokens
from moe_lessons.figures.gates import kept_mass_svg, masks_svg
from moe_lessons.routing import GATE_FORMS, gate_weights, noisy_logits, route, softmax, top_k
from moe_lessons.widgets.live import Live, slider
from moe_lessons.widgets.visualizer import GatingVisualizer

# %% [markdown]
# ## How to cut
#
# Here is the token of lesson 01 again. The best two of its logits stay. The others become −∞, because $e^{-\infty}$
# is exactly 0: a softmax then gives them nothing. Shazeer et al. (2017, arXiv:1701.06538) call this step KeepTopK.

# %%
x, W_g = worked_example()  # (d,), (d, N)
h = x @ W_g  # (N,)
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
assert leaky[0] > p[0]

# %% [markdown]
# The cut expert has *more* than before it was cut. And nothing looks wrong: all weights are positive and sum to 1.
#
# > **Myth: "top-k sets the other scores to zero."** Zero is a logit like any other, and no small one.

# %%
print("e to the 0 is", np.exp(0.0), "  e to the −∞ is", np.exp(-np.inf))

# %% [markdown]
# Right is: the *weights* of cut experts are zero. So set logits to −∞ before the softmax, or weights to 0 after it.
#
# Leaked weight goes one of two ways. Either all N experts must run, and the saving is gone; or only k run, and that
# share of the weight is missing. How large is it? 1,000 tokens with random logits (standard deviation 1), two kept:


# %%
def leaked(N, cut, seed):
    """Mean weight on the experts that were cut, when their logits become `cut`"""
    h = np.random.default_rng(seed).normal(size=(1000, N))  # (T, N)
    kept = gate_weights(h, 2) > 0  # (T, N)
    return softmax(np.where(kept, h, cut))[~kept].sum() / 1000


for N in (4, 8, 64, 256):
    shares = [leaked(N, 0.0, seed) for seed in range(5)]
    masked = max(leaked(N, -np.inf, seed) for seed in range(5))
    print(f"N = {N:>3}: {np.mean(shares):5.1%} of the weight leaks (from {min(shares):.1%} to {max(shares):.1%}),"
          f" with −∞ {masked}")  # fmt: skip
    assert masked == 0

# %% [markdown]
# A third with four experts, most of it with many. With −∞ it is 0 for each of them (last column).
#
# **Question for the picture:** leave N at 4. The slider `shift` adds a number to every logit. What does it do above,
# and below? For which shifts do the cut experts hold more than half? Then put it back to 0 and raise N.

# %% name="picture-masks"
more_logits = np.concatenate([h, np.random.default_rng(0).normal(size=60)])  # (64,)
for shift in (-5.0, -0.5, 0.0, 5.0):
    assert (softmax(keep_top_k(h + shift, 2, cut=0.0))[[0, 3]].sum() > 0.5) == (shift < 0)
    assert np.allclose(softmax(keep_top_k(h + shift, 2)), softmax(keep_top_k(h, 2)))
for k in (1, 2, 3, 4):
    assert np.sort(softmax(keep_top_k(more_logits, k, cut=0.0)))[: 64 - k].sum() > 0.7
Live(
    lambda N, k, shift: masks_svg(more_logits[:N], k, shift, cut_by="k"),
    N=slider("N, experts", 4, 4, 64, 4),
    k=slider("k, kept", 2, 1, 4, 1),
    shift=slider("shift", 0.0, -5.0, 5.0, 0.5),
)

# %% [markdown]
# You should see that the upper gate never moves with the shift: a softmax sees only differences. The lower one does,
# since its 0 stays where it is. From −0.5 downwards the cut experts hold more than half, although they were cut for
# being the worst. Far to the right the leak all but vanishes, so a test with large logits would not find it. At
# shift 0 and N = 64 most of the weight leaks, in slivers.
#
# ## Three ways to share
#
# For a given x the kept experts are the same in all three forms. Only the sharing differs.
#
# | form | name in the code | what it does | where it is used |
# |---|---|---|---|
# | A | `topk_softmax` | cut, then softmax over what is kept | Shazeer et al. 2017; gpt-oss (its `model.py`); Mistral's own code for Mixtral (`mistral_inference/moe.py`) |
# | B | `softmax_topk` | softmax over all, then cut | Switch (Fedus et al. 2021, arXiv:2101.03961); OLMoE (Muennighoff et al. 2024, arXiv:2409.02060) |
# | B′ | `softmax_topk_renorm` | as B, then divide by the sum ("renormalise") | Mixtral in the library `transformers` (`modeling_mixtral.py`); DeepSpeed's top-2 (`sharded_moe.py`) |
#
# Mixtral appears twice: two programs for the same trained model, one with form A and one with B′. Is one of them
# wrong? A looks at the kept logits only. In B and B′ all four go into the softmax.
#
# **Predict.** The worked example, k = 2, form B: E3 has the weight .363. The logit of E1, which is cut, rises from
# −0.18 to 0.10; E1 stays cut. Which weight has E3 then?

# %% name="predict-cut-logit" tags=["predict"]
my_weight_of_E3 = ...  # a number

# %%
nearer = np.array([0.10, *h[1:]])  # (N,): E1 nearly kept
rows = {form: (gate_weights(h, 2, form), gate_weights(nearer, 2, form)) for form in GATE_FORMS}  # (N,) twice each
felt = [form for form, (before, after) in rows.items() if not np.isclose(before[2], after[2])]
compare(my_weight_of_E3, rows["softmax_topk"][1][2])
for form, (before, after) in rows.items():
    print(f"{form:<20} weights {before.round(4)}  sum {before.sum():.4f};  E3 with E1 at 0.10: {after[2]:.4f}")
many = 2 * np.random.default_rng(1).normal(size=(1000, 8))  # (T, N)
apart = [np.abs(gate_weights(many, k) - gate_weights(many, k, "softmax_topk_renorm")).max() for k in range(1, 9)]
print(f"1,000 tokens, 8 experts, any k: A and B′ differ by at most {max(apart):.0e}, the rounding of the last digit")
for rest in ([0.19, 0.16, 0.15], [0.1] * 5):
    print("p = .3, .2 and", rest, "-> B′", gate_weights(np.log([0.3, 0.2, *rest]), 2, "softmax_topk_renorm").round(3))
assert felt == ["softmax_topk"]
assert max(apart) < 1e-14

# %% [markdown]
# A and B′ are the same function. In $p_i = e^{h_i} / Z$ the denominator Z is shared by all experts, and dividing by the
# kept sum cancels it: $\;\dfrac{p_i}{\sum_{j \in S} p_j} = \dfrac{e^{h_i}}{\sum_{j \in S} e^{h_j}}$. So probabilities
# .3 and .2 become .6 and .4, whatever the others hold. B is another: in it the cut experts still count, as part of Z.
#
# > **Myth: "renormalise with a second softmax over the selected scores."** It depends on which scores. Over the
# > *logits* it is form A, and then no first softmax is needed. Over the *probabilities* it is another function.

# %%
print("softmax of the kept logits:       ", softmax(h[[2, 1]]).round(3))
print("softmax of the kept probabilities:", softmax(p[[2, 1]]).round(3), " <- too flat")
print("the same of probabilities 1 and 0: ", softmax([1.0, 0.0]).round(3))
assert np.allclose(softmax(p[[2, 1]]), [0.518, 0.482], atol=5e-4)
assert np.isclose(softmax([1.0, 0.0])[0], np.e / (np.e + 1))

# %% [markdown]
# Right is: divide by the sum. Two probabilities differ by 1 at most, so a softmax over two of them can never give the
# better one more than $e/(e+1)$, about .731, however sure the router is.
#
# ## What a configuration says
#
# Which form does a model use? Its configuration file, `config.json`, tells, if you know the names. Four files:
#
# | | `scoring_func` | `norm_topk_prob` | `routed_scaling_factor` | `n_group`, `topk_group` |
# |---|---|---|---|---|
# | OLMoE-1B-7B | | false | | |
# | Qwen3-30B-A3B | | true | | |
# | DeepSeek-V2 | softmax | false | 16 | 8, 3 |
# | DeepSeek-V3 | sigmoid | true | 2.5 | 8, 4 |
#
# - `norm_topk_prob`: divide by the sum of the kept? With a softmax *true* is B′, *false* is B.
# - `routed_scaling_factor`: a constant that multiplies the weights in the end.
# - `n_group` and `topk_group`: the experts lie in groups (of machines), and a token chooses only within its best
#   groups. This restricts the choice, not the sharing.
# - `scoring_func`: *softmax*, or a **sigmoid** for each expert alone, $s_i = 1/(1 + e^{-h_i})$. Then the kept scores
#   are divided by their sum.
#
# An empty place means that there is no such key: the program decides, and you have to read it.
#
# Now the sigmoid. A softmax over logits does not change when all of them rise by 5.
#
# **Predict.** With the sigmoid form the worked example gives E3 the weight .522. All four logits rise by 5. Is E3's
# weight then `the same`, `nearer 1/2` or `nearer 1`?

# %% name="predict-sigmoid" tags=["predict"]
my_weight_moves = ...  # "the same", "nearer 1/2" or "nearer 1"


# %%
def sigmoid_gate(h, k, factor=1.0):
    """h (N,) -> weights (N,): sigmoid scores, cut, divided by their sum, times a constant"""
    s = expit(h)  # (N,), each from its own logit alone
    weights = np.zeros(len(h))  # (N,)
    best = top_k(s, k)[1]  # (k,)
    weights[best] = factor * s[best] / s[best].sum()
    return weights


before, after = sigmoid_gate(h, 2)[2], sigmoid_gate(h + 5, 2)[2]
compare(my_weight_moves, "the same" if np.isclose(before, after) else "nearer 1" if after > before else "nearer 1/2")
for shift in (-5, 0, 5):
    form_A, sigmoid = gate_weights(h + shift, 2), sigmoid_gate(h + shift, 2)  # (N,) each
    print(f"shift {shift:+}: form A {form_A.round(4)}   sigmoid {sigmoid.round(4)}")
print("with the factor of DeepSeek-V3:", sigmoid_gate(h, 2, factor=2.5).round(4))
print("scores at shift +5:", expit(h + 5).round(3))
print("sigmoid / e^h at shift −5:", (expit(h - 5) / np.exp(h - 5)).round(3))
assert before.round(3) == 0.522
assert np.allclose(sigmoid_gate(h - 20, 2), gate_weights(h, 2), atol=1e-8)

# %% [markdown]
# A sigmoid sees the level. For high logits all scores are near 1, and the shares near equal; for low ones a sigmoid is
# all but $e^{h}$, and the weights come near those of A. (DeepSeek-V3 chooses by $s_i$ plus a bias, lessons 03 and 10;
# the weights are without it. More such gates: [](lesson:12).)
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
def kept_mass(N, k, scale, seed):
    """Mean probability on the k best of N experts, over 1,000 tokens"""
    logits = scale * np.random.default_rng(seed).normal(size=(1000, N))  # (T, N)
    return gate_weights(logits, k, "softmax_topk").sum(axis=1).mean()


compare(my_kept_mass, kept_mass(64, 2, 1.0, seed=0), within="10 %")
print(f"lowest and highest of 5 seeds   {'scale 0.1':<18}{'scale 1':<18}{'scale 3':<18}k/N")
for N, k in ((8, 1), (8, 2), (64, 2), (64, 8)):
    cells = [[kept_mass(N, k, scale, seed) for seed in range(5)] for scale in (0.1, 1.0, 3.0)]
    print(f"N = {N:>2}, k = {k:<21} " + "".join(f"{min(c):.3f} to {max(c):.3f}    " for c in cells) + f"{k / N:.3f}")
    assert (N, k) != (64, 2) or max(cells[1]) < 0.2

# %% [markdown]
# At scale 1 the best two of 64 hold less than a fifth. The table shows three things that decide: how many you keep, of
# how many, and how large the logits are. (Independent normal logits are a stand-in for a router's.)
#
# **Question for the picture:** is the weight that form B hands out the same for every token? With 8 experts, which
# scales and which k make the band narrow? Where do all three forms agree?

# %% name="picture-kept-mass"
for k in (1, 2, 4):
    bands = [np.ptp(np.quantile(kept_mass_of_tokens(8, scale)[:, k - 1], [0.05, 0.95])) for scale in (0.1, 1.0, 5.0)]
    assert bands[0] < 0.05
    assert (bands[2] > bands[1]) == (k == 1)
    assert (bands[2] < 0.05) == (k == 4)
Live(
    kept_mass_svg,
    num_experts=slider("N, experts", 8, 4, 64, 4),
    logit_scale=slider("logit scale", 1.0, 0.1, 5.0, 0.1),
    k=slider("k, kept", 2, 1, 16, 1),
)

# %% [markdown]
# You should see a wide band at scale 1: under B some tokens get far more weight than others. It narrows at a small
# scale (every token gets about k/N) and at a large k (about 1); the largest scale narrows it from k = 2 on, and most at
# k = 4. At k = N nothing is cut, and all forms are the plain softmax.
#
# ## Is the output too small?
#
# > **Myth: "without renormalising, the output is scaled down, so something is lost."** The first half is true. Look at
# > what the scaling does.

# %%
outputs = np.stack([expert(x) for expert in worked_experts()])  # (N, d)
y_A, y_B = gate_weights(h, 2) @ outputs, gate_weights(h, 2, "softmax_topk") @ outputs  # (d,) each
print("y in form A", y_A.round(4), "  y in form B", y_B.round(4), "  ratio", (y_B / y_A).round(4))
mass = gate_weights(many, 2, "softmax_topk").sum(axis=1)  # (T,)
print(f"1,000 other tokens: B's outputs are A's times {mass.min():.2f} to {mass.max():.2f}, mean {mass.mean():.2f}")
assert np.allclose(y_B, p[[2, 1]].sum() * y_A)

# %% [markdown]
# Right is: the same direction, times the kept mass. Two things are in that factor. Its *mean* is a constant, such as
# `routed_scaling_factor`. Experts can absorb a constant, in principle: they are learned and can be larger. In practice
# it is a starting size and a learning rate, as τ was for `W_g` (lesson 03). With a factor of 16 the layer's output
# begins 16 times as large, beside the residual stream that it is added to, and the same step of the experts' weights
# moves it 16 times as far. Lesson 08 trains with 1/16 and with 16 in a *deeper* cell, and measures what that costs.
#
# What *changes* from token to token says something: where the router is unsure, the layer writes more softly. Switch,
# OLMoE and DeepSeek-V2 use this form.
#
# What does hurt is to **change the form afterwards**: a model that was trained with B and is run in form A writes too
# much, for each token by another factor. (A *deeper* cell measures it in a single layer. Beside a
# residual stream it may cost less.)
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
for form in GATE_FORMS:
    print(f"{form:<20} weight of E3: {gate_weights(h, 1, form)[2]:.3f} -> {gate_weights(raised, 1, form)[2]:.3f}")
print(f"{'sigmoid':<20} weight of E3: {sigmoid_gate(h, 1)[2]:.3f} -> {sigmoid_gate(raised, 1)[2]:.3f}")

# %% [markdown]
# One number divided by itself is 1. Wherever the kept weights are divided by their sum, a single weight is exactly 1,
# and its slope exactly 0: whatever the loss says about the expert's work, none of it reaches the router through the
# gate. Such a router stays as it began, unless something else pushes it. In B the weight is $p_i$, and it moves. That
# is why Switch does not renormalise. Lesson 07 follows these slopes into the router.
#
# ## Equal logits
#
# Routers have been started at `W_g = 0`. Then all logits tie, and the rule for ties decides for everyone. The course's
# rule is: **the lower index comes first**. Another program finds the k best of 8 in its own way: it sorts the logits
# upwards, equals staying in their order, and takes the last k, `np.argsort(h, kind="stable")[-k:]`.
#
# **Predict.** Which expert does that program choose for k = 1?

# %% name="predict-tie" tags=["predict"]
my_expert = ...  # such as "E3"

# %%
from_the_end = np.argsort(np.zeros(8), kind="stable")[-2:]  # (k,) indices
compare(my_expert, f"E{from_the_end[-1] + 1}")
crowd = np.random.default_rng(0).normal(size=(1000, 16))  # (T, d)
counts = np.bincount(route(crowd, np.zeros((16, 8)), k=2).selected.ravel(), minlength=8)  # (N,)
print("k = 2, the other program:", [f"E{i + 1}" for i in from_the_end])
print("k = 2, the course's rule, 1,000 tokens: places of E1..E8", counts)
assert counts.tolist() == [1000, 1000, 0, 0, 0, 0, 0, 0]
assert from_the_end.tolist() == [6, 7]

# %% [markdown]
# The same weights, and no token goes to the same expert in both programs. Neither rule is a law: `torch.topk` promises
# no order among equals, nor does `np.argsort` without `kind="stable"`. (Numbers with fewer bits make ties common:
# [](lesson:02b).) Shazeer et al. started with zeros, too, but with noise on top, which spreads the tokens (*deeper*).
#
# ## The Gating Network Visualizer
#
# All parts on one screen. **We planted** the five kinds of token
# and `W_g`, so that each kind likes the expert of its name. So it is no evidence that routers learn
# subjects; lesson 11 measures that. What is real is the arithmetic. Find out:
#
# 1. Token `code`, k = 2: E1's weight? Now k = 1, and then 5. Which columns of the table did k change?
# 2. Go through the three forms at k = 2, then at k = 1 and k = 5. When do they differ?
# 3. Set the noise to 1 and press "New noise" a few times. Do the active experts change? Does moving the *slider* draw
#    new noise?

# %% name="visualizer"
visualizer = GatingVisualizer()
pairs = gate_weights(visualizer.trace.logits + np.array(visualizer.samples), 2) > 0  # (100, N): code with noise 1
assert pairs[:, 0].mean() > 0.9
assert (pairs[:, 0] & pairs[:, 3]).mean() < 0.5
visualizer

# %% [markdown]
# You should see that k changes who is active, never a logit or a probability. In A and B′ whoever stays gets more when
# fewer stay; in B each keeps what it had. At k = 5 nothing is cut, and all three agree. At k = 1 the weight is 1 in A,
# and equals the probability in B. The slider scales one frozen sample; the button draws another.
#
# > **Note: how many experts do models keep?** Many texts say one or two. As published: Switch 1 of up to 2,048,
# > ST-MoE 2 of 64, Mixtral 2 of 8, gpt-oss-120b 4 of 128, DeepSeekMoE-16B 6 of 64, OLMoE 8 of 64, Qwen3-30B-A3B 8 of
# > 128, DeepSeek-V3 8 of 256. (In this order arXiv:2101.03961, 2202.08906, 2401.04088, 2508.10925, 2401.06066,
# > 2409.02060, 2505.09388, 2412.19437. Well-known models, not a census.)
#
# ## Recap
#
# 1. Cut means logits at −∞, or weights at 0. A logit of 0 leaks: it still counts $e^0 = 1$.
# 2. A (cut, softmax) and B′ (softmax, cut, divide) are one function. B (softmax, cut) keeps the probabilities. The two
#    bugs of the beginning: a mask of 0, and a second softmax over probabilities.
# 3. The kept mass depends on k, N and the size of the logits, and varies from token to token. In B it scales the
#    output. That is no bug; but a model has to be run in the form that it was trained with.
# 4. With k = 1 a renormalised weight is always 1, with slope 0. Ties go by a rule you must know: here, the lower index.
# 5. `norm_topk_prob` tells B from B′, `scoring_func` softmax from sigmoid, `routed_scaling_factor` is a constant on the
#    weights, and `n_group`, `topk_group` restrict the choice.
#
# **What this lesson cannot tell you:** which form trains *better*. No router was trained here. That needs gradients
# (lesson 07) and training runs (lesson 08).
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:04), {{questions}}.
# - Then a short mixed review of lessons 01 to 04: [](exercises:04r).
# - The code you used: [](module:routing). Look at `gate_weights`: every form selects on
#   the logits.
# - Lesson 05: how a sparse layer is computed fast.

# %% [markdown] name="deeper-noise" tags=["deeper"]
# ## Deeper: a first look at noise
#
# In training Shazeer et al. add a random number to every logit, drawn anew for every token and expert. Its size is
# learned, too: $H_i = (xW_g)_i + \varepsilon_i \cdot \mathrm{softplus}\big((xW_{noise})_i\big)$, with $\varepsilon_i$
# standard normal and $\mathrm{softplus}(z) = \ln(1 + e^z)$, which is always positive. Both matrices start at zero.
#
# Noise is for training only. **Left on when the model is used**, the same token can go to other experts from one pass
# to the next. We send 2,000 tokens through a random router twice (N = 8, d = 16) and count.


# %% name="deeper-noise-cell" tags=["deeper"]
def share_moved(size, k, seed, T=2000, d=16, N=8):
    """Share of tokens whose set of experts differs between two passes with noise of this size"""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(T, d)) @ (rng.normal(size=(d, N)) / np.sqrt(d))  # (T, N), standard deviation about 1
    noisy = [logits + size * rng.normal(size=(T, N)) for _ in range(2)]
    first, second = (gate_weights(h, k) > 0 for h in noisy)  # (T, N) each
    return (first != second).any(axis=1).mean()


zeros = np.zeros((16, 8))  # (d, N)
start = noisy_logits(crowd, zeros, zeros, np.random.default_rng(1))  # (T, N)
print("zeros with noise: tokens sent to E1..E8", np.bincount(top_k(start, 2)[1].ravel()))
print(f"every noise has size ln 2 = {np.log(2):.3f}; measured: {start.std():.3f}")
for size in (0.0, 0.1, np.log(2)):
    for k in (1, 2):
        moved = [share_moved(size, k, seed) for seed in range(5)]
        print(f"noise {size:.3f}, k = {k}: {np.mean(moved):5.1%} of the tokens change experts "
              f"(from {min(moved):.1%} to {max(moved):.1%})")  # fmt: skip
        assert size > 0 or max(moved) == 0
        assert size < 0.5 or min(moved) > 0.4

# %% [markdown] name="deeper-noise-right" tags=["deeper"]
# Without noise none moves: that is the baseline. At the starting size about half of the tokens or more do. What noise
# is *for* comes in lesson 09.

# %% [markdown] name="deeper-change" tags=["deeper"]
# ## Deeper: what it costs to change the form
#
# Layers with 8 experts and k = 2 were trained, router and experts together, in form A or in form B (the task is that of
# lesson 08), for 400 and for 1,200 steps, with ten seeds. Then each was tested in both forms. The control: the output
# in the other form times the best constant, found on the training tokens. `python -m
# moe_lessons.experiments.changed_form` does it again.

# %% name="deeper-change-cell" tags=["deeper"]
table = load_results()
own = {(row["trained"], row["steps"]): np.array(row["plain"]) for row in table if row["trained"] == row["run"]}
print("cost: how much larger the error is than in the layer's own form, lowest and highest of ten seeds")
for row in (row for row in table if row["trained"] != row["run"]):
    before = own[row["trained"], row["steps"]]  # (seeds,)
    plain, scaled = (np.array(row[name]) / before - 1 for name in ("plain", "scaled"))  # (seeds,) each
    print(f"{row['steps']:>5} steps in {row['trained']} (error {before.mean():.3f}), run in {row['run']}: cost "
          f"{plain.min():.0%} to {plain.max():.0%}, with the constant {scaled.min():.0%} to {scaled.max():.0%}")  # fmt: skip
    assert (plain > scaled).all()
    assert scaled.min() > 0.01
    assert (scaled < plain / 2).all()

# %% [markdown] name="deeper-change-right" tags=["deeper"]
# The other form costs in every seed, at both lengths. More than half of the cost is mere size, less of it after more
# steps: one constant mends it. The rest no constant removes: that part of the factor changes from token to token.

# %% [markdown] name="deeper-drop" tags=["deeper"]
# ## Deeper: when something comes between
#
# A and B′ are equal as long as nothing happens between cutting and dividing. Suppose E2 is full, and the token loses
# it (lesson 10). Whoever divides *before* that is left with less than 1; whoever divides *after* gives E3 everything.
# DeepSpeed's top-k gate (`topkgating` in `sharded_moe.py`) divides after.

# %% name="deeper-drop-cell" tags=["deeper"]
is_free = np.array([1, 0, 1, 1])  # (N,): E2 has no place left
before = gate_weights(h, 2, "softmax_topk_renorm") * is_free  # (N,)
after = gate_weights(h, 2, "softmax_topk") * is_free  # (N,)
after = after / after.sum()
print("divided before the drop:", before.round(3), "  after it:", after.round(3))
