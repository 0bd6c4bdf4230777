# %% [markdown]
# # 01 · The worked example: four experts, one token
#
# **How does a router choose?** A Mixture-of-Experts layer holds many small networks, the experts, and lets only a
# few of them work on each token. Something has to pick. In this lesson you pick by hand, with numbers small enough
# for paper, and then watch code do the same.
#
# You will be able to
#
# 1. compute a router's logits, probabilities and gate weights for one token, step by step;
# 2. say what two logits tell about two probabilities;
# 3. combine two experts into one output, and say which work was saved, compared with what;
# 4. explain when an expert wins that is *not* the best aligned with the token;
# 5. say what the router's input is, and why the router is only one matrix.
#
# **Before:** a dot product and `numpy`; for one section, roughly what a transformer layer is. The
# [toolbox](lesson:00b) has what you need. **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import compare, reveal
from moe_lessons.figures.trace import trace_svg
from moe_lessons.routing import route
from moe_lessons.widgets.compass import PrototypeCompass
from moe_lessons.widgets.live import Live, slider

# %% [markdown]
# ## One token, four experts
#
# A **token** is a word or a piece of one, the unit in which a language model reads. It reaches the router as a vector
# `x` of d = 3 numbers. (Real models use thousands.) The router is one matrix
# `W_g` with d rows and N = 4 columns, one column for each expert. Its numbers are learned in training; ours are made
# up, so that you can follow them.

# %%
x = np.array([1.0, -0.5, 0.8])  # (d,) = (3,)
W_g = np.array(
    [
        [-0.4, 0.6, 0.3, -0.3],
        [0.2, -0.2, 0.2, 0.4],
        [0.4, -0.5, 0.4, 0.3],
    ]
)  # (d, N) = (3, 4)
print("x has shape", x.shape, "and W_g has shape", W_g.shape)

# %% [markdown]
# We call the experts E1, E2, E3 and E4. Python counts from 0, so E3 is index 2.
#
# ## Step 1: a score for every expert
#
# The score of an expert is the dot product of `x` with the expert's column: multiply entry by entry, then add. The
# column of E3 is `[0.3, 0.2, 0.4]`.
#
# **Predict.** Work out the score of E3 on paper. Type it below in place of the dots, then run both cells.

# %% name="predict-logit" tags=["predict"]
my_logit_of_E3 = ...  # a number

# %%
products = x * W_g[:, 2]  # (d,)
compare(my_logit_of_E3, products.sum())
print("entry by entry:", products)

# %% [markdown]
# Such a score is called a **logit**: any number, positive or negative, with no meaning of its own yet. All four at
# once are one product of a vector and a matrix.


# %%
def logits(x, W_g):
    """x (d,), W_g (d, N) -> h (N,)"""
    return x @ W_g  # (N,)


h = logits(x, W_g)
for i in range(4):
    print(f"E{i + 1}: logit {h[i]:+.2f}")

# %% [markdown]
# In general $h = x W_g$, or for one expert $h_i = \sum_a x_a W_{ai}$. That is the whole router. What follows only
# turns these four numbers into a decision.
#
# ## Steps 2 and 3: from scores to probabilities
#
# Logits can be negative, and they do not add up to anything. The exponential makes each one positive; dividing by
# their sum makes them add up to 1. The two together are the **softmax**:
#
# $$p_i = \frac{e^{h_i}}{\sum_j e^{h_j}}$$
#
# E3 leads with 0.52, and E2 is second with 0.30: $e^{0.52} = 1.682$ against $e^{0.30} = 1.350$, both divided by the sum
# over all four.
#
# **Predict.** The logit of E1 is raised from −0.18 to 2, so that E1 leads by far. How many times as likely as E2 is E3
# then?

# %% name="predict-ratio" tags=["predict"]
my_ratio = ...  # a number: E3's probability divided by E2's, when E1's logit is 2


# %%
def softmax(h):
    """h (N,) -> p (N,), positive, sums to 1"""
    e = np.exp(h)  # (N,)
    return e / e.sum()  # (N,)


p = softmax(h)
p_raised = softmax(np.array([2.0, *h[1:]]))  # (N,)
compare(my_ratio, p_raised[2] / p_raised[1])
print("exponentials: ", np.exp(h).round(4), " sum", np.exp(h).sum().round(3))
print("probabilities:", p.round(4), " sum", p.sum().round(3))
print("with E1 at 2: ", p_raised.round(4), " sum", p_raised.sum().round(3))
print(f"E3 : E2 as it was {p[2] / p[1]:.3f}, with E1 at 2 {p_raised[2] / p_raised[1]:.3f};"
      f"  e to their gap {np.exp(h[2] - h[1]):.3f};  ratio of their logits {h[2] / h[1]:.3f}")  # fmt: skip
assert round(p[2] / p[1], 3) == round(p_raised[2] / p_raised[1], 3) == 1.246

# %% [markdown]
# E1 takes from both in the same proportion: only the sum below the fraction has grown, and it cancels. Dividing
# $e^{0.52}$ by $e^{0.30}$ leaves $e^{0.52-0.30}$. The softmax **turns a gap between logits into a ratio of
# probabilities**, whatever the others score.
#
# > **Myth: "the softmax amplifies: who scores 1.7 times as high gets even more than 1.7 times the probability."** Here
# > the ratio came out smaller. And add 1 to every logit: the ratio of the scores changes, no probability does.

# %%
moved = h + 1.0
print("ratio of the logits before and after:", (h[2] / h[1]).round(3), (moved[2] / moved[1]).round(3))
print("largest change of a probability:     ", np.abs(softmax(moved) - p).max().round(15))
assert np.allclose(softmax(moved), p)

# %% [markdown]
# The right statement: equal gaps give equal ratios, wherever the logits lie. Lesson 02 takes this further.
#
# ## Step 4: keep the best two
#
# Running all four experts costs four times as much as running one. So the router keeps only the `k` largest logits, and
# gives up what the others would have added. With k = 2 that leaves E3 and E2, the best first.

# %%
k = 2
selected = np.argsort(-h)[:k]  # (k,) indices, the largest logit first
kept = p[selected].sum()
print("selected:", [f"E{i + 1}" for i in selected], "  indices", selected)
print(f"they hold {kept:.4f} of the probability; {1 - kept:.4f} is dropped")

# %% [markdown]
# ## Step 5: share the weight
#
# The kept probabilities no longer sum to 1. This router divides them by their sum. (Not every model does; lesson 04
# compares three ways.) The result is called the **gate weights**.
#
# **Predict.** E3 holds about .363 and E2 about .291. What is E3's weight after dividing?

# %% name="predict-weight" tags=["predict"]
my_weight_of_E3 = ...  # a number between 0 and 1

# %%
w = np.zeros(4)  # (N,)
w[selected] = p[selected] / kept
compare(my_weight_of_E3, w[2])
for i in range(4):
    print(f"E{i + 1}: weight {w[i]:.4f}")
print("softmax over the two kept logits alone:", softmax(h[selected]).round(4))
assert np.allclose(softmax(h[selected]), w[selected])

# %% [markdown]
# The last line shows a shortcut: a softmax over the two kept logits gives the same weights, because the sum that both
# probabilities were divided by cancels. Code often takes it; below you meet it as the form `topk_softmax`.
#
# ## The five steps in one picture
#
# The picture below is drawn from the course's own `route`, not from stored numbers. Move `step` from 1 to 5 and read
# the sentence at the bottom. Then try to answer: **which columns change when you move k? Which when you move x₁, the
# first entry of the token?**

# %% name="picture-trace"
Live(
    lambda step, k, x1: trace_svg([x1, -0.5, 0.8], W_g, k, "softmax_topk_renorm", step=step),
    play="step",
    step=slider("step", 1, 1, 5, 1),
    k=slider("k", 2, 1, 4, 1),
    x1=slider("x₁", 1.0, -2.0, 2.0, 0.1),
)

# %% [markdown]
# You should see that `k` touches only the last two columns: logits and probabilities know nothing of the selection.
# `x₁` changes everything, because it enters every dot product. Move it down to 0.5: E1 has taken second place from E2.
#
# The function that the picture calls is [`routing.route`](module:routing). It prints a table.

# %%
trace = route(x, W_g, k=2)
assert np.allclose(trace.logits, h)
assert np.allclose(trace.probs, p)
assert np.allclose(trace.weights, w)
trace

# %%
second = [route([x1, -0.5, 0.8], W_g, k=2).selected[1] for x1 in (1.0, 0.5)]
print("second place at x₁ = 1.0 and at x₁ = 0.5:", [f"E{i + 1}" for i in second])
assert second == [1, 0]

# %% [markdown]
# ## The experts do their work
#
# Each expert takes the same `x` and returns a vector of the same width. Real experts are small neural networks (lesson
# 05). Ours are simple enough to work out in your head. Each one also notes that it was called.

# %%
called = []


def expert(name, function):
    def run(x):
        called.append(name)
        return function(x)  # (d,) -> (d,)

    return run


experts = [
    expert("E1", lambda x: 2 * x),  # doubles
    expert("E2", lambda x: x[::-1]),  # reverses the order
    expert("E3", np.abs),  # drops the signs
    expert("E4", lambda x: np.maximum(x, 0)),  # keeps what is positive
]

# %% [markdown]
# The output is the weighted sum over the set S of *selected* experts: $y = \sum_{i \in S} w_i\,E_i(x)$.
#
# **Predict.** E3 gives `[1.0, 0.5, 0.8]` and E2 gives `[0.8, -0.5, 1.0]`. What is the first entry of y? The weights
# are about .555 and .445.

# %% name="predict-output" tags=["predict"]
my_first_entry = ...  # a number


# %%
def combine(x, w, experts):
    """x (d,), w (N,) -> y (d,); only experts with a weight run"""
    return sum(w[i] * experts[i](x) for i in np.flatnonzero(w))  # (d,)


called.clear()
y = combine(x, w, experts)
compare(my_first_entry, y[0])
print("y =", y.round(4), "   experts that ran:", called)

# %% [markdown]
# Two of four experts ran. How much work is that? It depends on what you compare with, so always name the baseline.

# %%
N = len(experts)
print(f"against running all {N} experts: {1 - k / N:.0%} of the expert work is saved")
print(f"against one single expert:      {k} times the expert work")
print(f"the router itself: {W_g.size} multiplications, whatever k is")

# %% [markdown]
# "Half the work" is right against a layer that runs all its experts. A model with one expert-sized network per layer
# would do less still. Lesson 06 asks when the bargain is worth it.
#
# ## What a column means
#
# Column i of `W_g` has the same width as `x`, so you can see it as a point in the same space: the **prototype** $c_i$
# of expert i. (Not to be confused with its gate weight $w_i$, a single number.) A dot product measures two things at
# once:
#
# $$h_i = x \cdot c_i = |x|\,|c_i|\,\cos(\text{angle between them})$$
#
# A small angle helps. So does length, below 90°.

# %%
lengths = np.linalg.norm(W_g, axis=0)  # (N,)
cosines = h / (np.linalg.norm(x) * lengths)  # (N,)
angles = np.degrees(np.arccos(cosines))  # (N,)
print("expert  length   angle   logit")
for i in range(4):
    print(f"E{i + 1:<6} {lengths[i]:6.3f}  {angles[i]:5.1f}°  {h[i]:+.3f}")

# %% [markdown]
# Here E3 wins because it points most nearly the way of the token. It is the shortest of the four.
#
# > **Myth: "the router picks the expert most similar to the token."** You can be sure only when all prototypes are
# > equally long. Two lines break it: make E2's column three times as long.

# %%
W_long = W_g * np.array([1, 3, 1, 1])  # (d, N): E2's column, same direction, three times the length
print("best aligned: E3 still;  selected first: E" + str(route(x, W_long, k=2).selected[0] + 1))
assert cosines.argmax() == 2
assert route(x, W_long, k=2).selected[0] == 1

# %% [markdown]
# ## The compass
#
# Two numbers per token make a picture. Each arrow is a prototype, the marker is the token, and each coloured region
# holds the tokens for which that expert has the largest logit. Drag anything, or type numbers.
#
# E1 points almost exactly along x, and E2 wins. Find out:
#
# 1. How long must E1 become, without turning, to win? What happens to its region on the way?
# 2. Drag x straight away from the centre. Does the winner change? Do the probabilities?
# 3. Put x on a border between two regions. What do you read off the two logits?

# %% name="picture-compass"
compass = PrototypeCompass()
compass

# %% [markdown]
# You should see regions shaped like slices of a cake, all meeting at the centre. Here a longer arrow gets a wider
# slice. E1 wins from about (1.4, 1.6) on. Scaling x scales every logit alike, so the winner stays, and the gaps grow:
# the gate gets more decided. On a border the two logits are equal.
#
# The next cell checks the second of these with the numbers now in the compass, and the first with those it began with.

# %%
near, far = compass.trace, route(2 * np.array(compass.token), np.array(compass.prototypes).T, k=compass.k)
print("winner at x and at 2x:          ", f"E{near.selected[0] + 1}, E{far.selected[0] + 1}")
print("largest probability at x and 2x:", near.probs.max().round(3), far.probs.max().round(3))
assert near.selected[0] == far.selected[0]
assert far.probs.max() >= near.probs.max()
c_1, c_2 = np.array(compass.initial["prototypes"])[:2]
needed = (compass.initial["token"] @ c_2) / (compass.initial["token"] @ c_1)
print(f"at the start, E1 had to grow {needed:.2f} times, to {(needed * c_1).round(2)}")
assert (needed * c_1).round(1).tolist() == [1.4, 1.6]

# %% [markdown]
# How often does the best aligned expert lose? That depends on how much the prototypes differ in length. So measure it:
# random tokens and prototypes (d = 16, N = 8), five seeds, first with columns of one common length as the baseline,
# then with lengths spread around it.


# %%
def share_lost(spread, seed, T=2000, d=16, N=8):
    """Share of tokens whose best aligned prototype is not the one with the largest logit."""
    rng = np.random.default_rng(seed)
    x, W = rng.normal(size=(T, d)), rng.normal(size=(d, N))
    directions = W / np.linalg.norm(W, axis=0)  # (d, N), all of length 1
    lengths = np.exp(spread * rng.normal(size=N))  # (N,)
    return np.mean((x @ directions).argmax(1) != (x @ (directions * lengths)).argmax(1))


for spread in (0.0, 0.1, 0.3, 1.0):
    lost = [share_lost(spread, seed) for seed in range(5)]
    print(f"spread of the lengths {spread:.1f}: {np.mean(lost):5.1%} lost (from {min(lost):.1%} to {max(lost):.1%})")
assert share_lost(0.0, 0) == 0

# %% [markdown]
# With equal lengths it never happens; the more the lengths differ, the more often it does.
#
# ## What the router really sees
#
# The vector x is not a word, and not the token's entry in a table of word vectors. A transformer carries one vector per
# token through its layers, the residual stream. In each layer, attention mixes in what the other tokens say; the result
# is added to the stream; a normalisation follows; and *that* is x, for the router and for the experts alike. (So in
# `modeling_mixtral.py` of the library `transformers`.) Two consequences can be seen at once.
#
# **A larger stream is not a larger x.** A common normalisation, RMSNorm, divides by the root of the mean square, and
# then multiplies each entry by a learned number, its gain. Doubling the stream changes nothing.


# %%
def rms_norm(z, gain=1.0):
    """z (..., d) -> same shape: root mean square 1, then each entry times its gain"""
    return gain * z / np.sqrt(np.mean(z**2, axis=-1, keepdims=True))


for scale in (1, 2, 100):
    normed = rms_norm(scale * x)
    print(f"{scale:>3} · x: length {np.linalg.norm(normed):.4f}, logits {logits(normed, W_g).round(4)}")
gain = np.array([2.0, 1.0, 0.5])  # (d,)
tokens = np.random.default_rng(0).normal(size=(4, 3))  # (T, d)
print("lengths of four tokens without gain:", np.linalg.norm(rms_norm(tokens), axis=1).round(2))
print("                      and with gain:", np.linalg.norm(rms_norm(tokens, gain), axis=1).round(2))

# %% [markdown]
# So when you doubled x in the compass, you asked about the dot product, not about a model: there, a token's x gets
# longer or shorter by its direction and the gains alone.
#
# **The same token can be routed differently.** Routing is done token by token, and x carries the context. The line
# `def sort(arr): return sorted(arr)` is many tokens, and `arr` occurs twice. Below, each token's stream is its own
# random vector plus the mean of all vectors so far, a crude stand-in for attention; x is the RMSNorm of that sum.
# Nothing here was trained: it shows what *can* happen, not what models do.

# %%
line = ["def", "sort", "(", "arr", ")", ":", "return", "sorted", "(", "arr", ")"]
names = sorted(set(line))


def route_line(seed, with_context, d=16, N=4):
    """Return the first choice of each token of the line: (T,)"""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(names), d))
    stream = vectors[[names.index(token) for token in line]]  # (T, d)
    if with_context:
        stream = stream + np.cumsum(stream, axis=0) / np.arange(1, len(line) + 1)[:, None]
    return route(rms_norm(stream), rng.normal(size=(d, N)), k=1).selected[:, 0]  # (T,)


apart = next(seed for seed in range(500) if route_line(seed, True)[3] != route_line(seed, True)[9])
print(f"the first seed in which the two `arr` part is {apart}:")
print(" ".join(f"{token}→E{i + 1}" for token, i in zip(line, route_line(apart, True), strict=True)))

# %%
for with_context in (False, True):
    runs = np.array([route_line(seed, with_context) for seed in range(500)])  # (seeds, T)
    one_expert = (runs == runs[:, :1]).all(axis=1).mean()
    arr_differs = (runs[:, 3] != runs[:, 9]).mean()
    margin = 2 * np.sqrt(arr_differs * (1 - arr_differs) / len(runs))
    print(f"context {with_context!s:>5}: all tokens to one expert {one_expert:.1%};"
          f" the two `arr` apart {arr_differs:.1%} ± {margin:.1%}")  # fmt: skip

# %% [markdown]
# Without context the same token always goes to the same expert. With it, not always. So one cannot say "this line goes
# to the code expert" without looking at each token. How much the context counts in *trained* models is a matter of
# measurement, and models differ (lesson 11). Some designs leave it out and route by a fixed hash of the
# token (Roller et al. 2021, arXiv:2106.04426).
#
# ## Why only one matrix?
#
# A router could be a deep network. Those of the published models named in this course are one linear layer. Four
# reasons are given:
#
# - **Cost.** It runs for every token and every expert. The next cell counts.
# - **Sufficiency.** The layers before it are trained together with it, so they can place tokens where straight cuts
#   suffice. This is an argument, not a proof; no cell of this course compares it with a deeper router.
# - **Stability.** It has few numbers, and they change while the experts change under it.
# - **Interpretability.** You can read columns, compared with each other, as prototypes.

# %%
#          d_model  num_experts  top_k  width inside an expert
models = {"Mixtral 8x7B": (4096, 8, 2, 14336), "OLMoE 1B-7B": (2048, 64, 8, 1024)}
print(f"{'':<14}{'d_model':>8}{'num_experts':>13}{'top_k':>7}{'router / experts':>19}")
print(f"{'this lesson':<14}{W_g.shape[0]:>8}{W_g.shape[1]:>13}{k:>7}")
for name, (d, N, top_k, width) in models.items():
    router = 2 * d * N  # one multiplication and one addition for each entry of W_g
    active_experts = 6 * top_k * d * width  # each has three matrices (d, width): a gated kind, see lesson 05
    print(f"{name:<14}{d:>8}{N:>13}{top_k:>7}{router / active_experts:>19.3%}")

# %% [markdown]
# (Sizes: Jiang et al. 2024, arXiv:2401.04088, and Muennighoff et al. 2024, arXiv:2409.02060.) The router costs a small
# fraction of the experts that it chooses.
#
# Configuration files name these parameters, or nearly so: `d_model` (our d), `num_experts` (N), `top_k` (k). A fourth
# is `bias`: whether a learned number is added to each logit. Mixtral's and OLMoE's routers have none. That is a habit and
# no law: gpt-oss has one (`gpt_oss/torch/model.py` in its repository).

# %% [markdown]
# ## Recap
#
# 1. Logits are dot products, $h = x W_g$; exponentials divided by their sum are probabilities; the k largest stay, and
#    their probabilities divided by their own sum are the gate weights.
# 2. A **gap** between logits is a **ratio** between probabilities. The ratio of two logits means nothing.
# 3. $y = \sum_{i \in S} w_i E_i(x)$. Half of the expert work was saved, compared with running all four.
# 4. A logit above 0 grows with the length of the prototype as well as with alignment, so a long one can beat a better
#    aligned.
# 5. x is the normalised hidden state of one token, in its context. One matrix is cheap and readable.
#
# **What this lesson cannot tell you:** whether a choice is *good*. Our `W_g` was made up. How a router learns which
# expert to prefer, and why some experts are never tried, is the subject of lessons 07 to 09.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:01), {{questions}}.
# - The code you used: [](module:routing). Read it now; it is short.
# - [Lesson 02](lesson:02): what the softmax does, and does not do.

# %% [markdown] name="deeper-sigmoid" tags=["deeper"]
# ## Deeper: with k = 2 the gate is one number
#
# With two experts left, only their gap counts: $w_3 = e^{h_3} / (e^{h_3} + e^{h_2}) = 1 / (1 + e^{-(h_3 - h_2)})$. That
# is the sigmoid of the gap, whatever the other logits are.

# %% name="deeper-sigmoid-cell" tags=["deeper"]
gap = h[2] - h[1]
print(f"sigmoid({gap:.2f}) = {1 / (1 + np.exp(-gap)):.4f}, and the gate gave {w[2]:.4f}")
assert np.isclose(1 / (1 + np.exp(-gap)), w[2])

# %% [markdown] name="deeper-shift" tags=["deeper"]
# ## Deeper: adding one vector to every prototype
#
# Add the same vector v to every column. Every logit grows by the same number $x \cdot v$, so no probability changes. So
# many different matrices are the same router. Can training drift from one to another? Not plain gradient descent
# through a softmax gate: the columns of its gradient add up to zero (lesson 07 shows why).
#
# **Adam** (Kingma and Ba 2014, arXiv:1412.6980), the usual way to train such models, can. It goes downhill like plain
# descent, but divides each entry of the gradient by that entry's own usual size. (In the cell `m` is a running mean of
# the gradient, `v` of its square.) After this division the columns need not add up to zero any more. Below, both train
# the same small router for 500 steps; `drift` is how far the mean column has moved. Lesson 07 meets a loss that holds
# it.

# %% name="deeper-shift-cell" tags=["deeper"]
v = np.array([5.0, -2.0, 1.0])  # (d,)
shifted = route(x, W_g + v[:, None], k=2)
print("logits moved by", (shifted.logits - h).round(3))
print("largest change of a weight:", np.abs(shifted.weights - w).max().round(12))
assert np.allclose(shifted.weights, w)


# %% name="deeper-drift-cell" tags=["deeper"]
def drift(adam, seed, steps=500):
    """Largest entry by which the mean column of W_g moves in training"""
    rng = np.random.default_rng(seed)
    tokens, use, W = (
        rng.normal(size=(64, 3)),
        rng.normal(size=(64, 4)),
        rng.normal(size=(3, 4)),
    )  # (T, d), (T, N), (d, N)
    start, m, v = W.mean(axis=1), 0.0, 0.0
    for t in range(1, steps + 1):
        p = np.exp(tokens @ W) / np.exp(tokens @ W).sum(axis=1, keepdims=True)  # (T, N)
        gradient = -tokens.T @ (p * (use - (p * use).sum(axis=1, keepdims=True))) / 64  # (d, N), of −Σ p·use
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        by_adam = 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        W = W - (by_adam if adam else 0.4 * gradient)
    return np.abs(W.mean(axis=1) - start).max()


for name in ("plain gradient descent", "Adam"):
    print(f"{name:<23} drift, seeds 0 to 4:", *(f"{drift(name == 'Adam', seed):.2g}" for seed in range(5)))
assert max(drift(False, seed) for seed in range(5)) < 1e-12 < 0.01 < min(drift(True, seed) for seed in range(5))
