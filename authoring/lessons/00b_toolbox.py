# %% [markdown]
# # 00b · Toolbox (optional): the mathematics this course assumes
#
# **Which mathematics do I need before I can follow how a router chooses, and do I still have it?**
#
# You will be able to
#
# 1. read a dot product as angle *and* length, and name the shape and the axis of every array in a router;
# 2. turn logits into a ratio of probabilities, and back;
# 3. compute a gradient with the chain rule and check it by a finite difference;
# 4. say what a feed-forward network and a residual stream do to a vector;
# 5. convert an entropy from nats to bits.
#
# **Before:** Python, a little numpy. **Time:** {{minutes}}; 3 if the self-test lets you go.

# %% tags=["setup"]
from functools import partial

import numpy as np

from moe_lessons.checks import compare, reveal
from moe_lessons.figures import toolbox
from moe_lessons.figures.still import Picture
from moe_lessons.routing import softmax
from moe_lessons.widgets.live import Live, choice, slider

# %% [markdown]
# ## Self-test: may you skip this lesson?
#
# Run the cell and choose. All right at once? Go on to [](lesson:01).
#
# {{quiz 5}}

# %% [markdown]
# ## 1. Dot product: angle and length
#
# A router scores an expert with a dot product: multiply entry by entry, add up. For x = (2, 0) and w = (1, 1) that
# is 2 × 1 + 0 × 1 = 2. It is also the length of x times the shadow of w on x:
#
# $$x \cdot w = \lvert x \rvert \, \lvert w \rvert \cos\theta .$$
#
# You may have heard that it measures how well two arrows align. That is only half of it.
#
# **Move it.** At angle 0° and length 1 the dot product is 2. Turn w to 60°. Which length brings the 2 back? And at 90°?

# %%
Live(
    toolbox.dot_product,
    angle=slider("angle from x to w", 40, 0, 180, 5, unit="°"),
    length=slider("length of w", 2.5, 0.0, 3.0, 0.1),
)

# %% [markdown]
# You should see: At 60° a length of 2.0 gives 2 again: it makes up for cos 60° = 0.5. At 90° no length helps. Beyond 90° the product
# is negative, and a longer w makes it *more* negative.

# %%
token, prototype = np.array([2.0, 0.0]), np.array([1.0, 1.0])  # (d,), (d,)


def by_angle(degrees, length_w, length_x=2.0):
    return length_x * length_w * np.cos(np.radians(degrees))


prototype_length = np.linalg.norm(prototype)
print(f"entry by entry {token @ prototype:.2f}; by angle {by_angle(45, prototype_length):.2f}")
for degrees, length_w in [(0, 1), (60, 2), (90, 3), (120, 1), (120, 2)]:
    print(f"{degrees:>3}°, length {length_w}: {by_angle(degrees, length_w):5.2f}")
assert np.isclose(token @ prototype, by_angle(45, prototype_length))
assert np.allclose([by_angle(0, 1), by_angle(60, 2), by_angle(90, 3)], [2, 2, 0])

# %% [markdown]
# ## 2. Shapes, axes, einsum
#
# Tokens are rows: x is (T, d). Experts are columns: W_g is (d, N). `x @ W_g` takes the dot product of every row with
# every column, so (T, d) @ (d, N) gives (T, N); the inner size d must agree, and disappears. `np.einsum` spells that
# out: in `"td,dn->tn"` the letter missing on the right is summed over.
#
# Softmax (section 3) makes the numbers along **one** axis sum to 1. The wrong axis gives the same shape and no error.
#
# **Move it.** Switch to axis 0. Which sums are 1 now? How much does token 0 hand out?

# %%
x = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])  # (T, d) = (2, 3)
W_g = np.array([[1.0, 0.0, -1.0, 2.0], [0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, -1.0]])  # (d, N) = (3, 4)
axes = {"-1, over the experts": -1, "0, over the tokens": 0}
Live(partial(toolbox.matrix_axes, x, W_g), axis=choice("softmax along axis", axes))

# %% [markdown]
# You should see: Now each *column* sums to 1. Token 0 hands out 2.61 in all and token 1 only 1.39. Over experts is `axis=-1`.

# %%
h = np.einsum("td,dn->tn", x, W_g)  # (T, d), (d, N) -> (T, N)
right, wrong = softmax(h, axis=-1), softmax(h, axis=0)  # (T, N), (T, N)

print("shape of h:", h.shape)
print("axis -1: each token hands out", right.sum(axis=-1))  # (T,)
print("axis  0: each token hands out", wrong.sum(axis=-1).round(2))  # (T,)
print("x @ W_g gives the same h:", np.array_equal(h, x @ W_g))
assert np.array_equal(h, x @ W_g)
assert np.allclose(right.sum(axis=-1), 1)
assert np.allclose(wrong.sum(axis=0), 1)
assert wrong.sum(axis=-1).round(2).tolist() == [2.61, 1.39]

# %% [markdown]
# ## 3. exp and log
#
# Softmax gives expert i a share proportional to $e^{h_i}$. With logits 2 and 0, E1 is $e^2 / e^0 = 7.39$ times as
# likely as E2.
#
# **Predict.** With logits 4 and 3, how many times as likely as E2 is E1?

# %% name="predict-ratio" tags=["predict"]
predicted_ratio = ...  # type a number here, then run the next cell

# %% name="see-ratio"
ratio = {pair: np.divide(*softmax(pair)) for pair in ((2.0, 0.0), (4.0, 3.0), (1.0, 0.0))}
compare(predicted_ratio, ratio[4.0, 3.0], unit="times")
for (first, second), times in ratio.items():
    print(f"logits {first:.0f} and {second:.0f}, gap {first - second:.0f}: {times:.2f} times as likely")
print(f"2.72 squared is {np.e**2:.2f}")
assert (round(ratio[1.0, 0.0], 2), round(ratio[2.0, 0.0], 2)) == (2.72, 7.39)
assert np.isclose(ratio[4.0, 3.0], ratio[1.0, 0.0])
assert np.isclose(ratio[2.0, 0.0], ratio[1.0, 0.0] ** 2)

# %% [markdown]
# Logits 4 and 3 are 1 and 0 with 3 added to both: both exponentials are multiplied by $e^3$, which cancels. Adding to the *gap* multiplies the ratio:
# $e^{a+b} = e^a e^b$. In general
#
# $$\frac{p_i}{p_j} = e^{\,h_i - h_j}, \qquad h_i - h_j = \ln \frac{p_i}{p_j} .$$
#
# **Move it.** Which gap makes E1 ten times as likely as E2? Then move "add to both": which numbers change, which stay?

# %%
Live(
    toolbox.gap_ratio,
    gap=slider("gap between the logits", 1.0, 0.0, 4.0, 0.1),
    shift=slider("add to both logits", 0.0, -3.0, 3.0, 0.5),
)

# %% [markdown]
# You should see: A gap of 2.3 gives 9.97; exactly it is ln 10 = 2.303. Adding to both logits changes both exponentials, but neither
# the ratio nor the shares: only differences count.

# %%
gap = np.log(10)
h_low, h_high = np.array([gap, 0.0]), np.array([gap, 0.0]) + 3  # (2,), (2,)
print(f"ln 10 = {gap:.3f}, e^2.3 = {np.exp(2.3):.2f}")
print("shares", softmax(h_low).round(4), "and with 3 added to both", softmax(h_high).round(4))
assert (round(gap, 3), round(np.exp(2.3), 2)) == (2.303, 9.97)
assert np.isclose(softmax(h_low)[0], 10 * softmax(h_low)[1])
assert np.allclose(softmax(h_low), softmax(h_high))

# %% [markdown]
# ## 4. The chain rule and a gradient
#
# If you move a weight a little, how does the loss move? Take three links, h = 2w, r = max(h, 0) (called ReLU), and
# L = (r − 4)². At w = 3: h = 6,
# r = 6, L = 4. The chain rule multiplies the slopes of the links, 2(r − 4) = 4, 1 and 2:
#
# $$\frac{dL}{dw} = \frac{dL}{dr} \cdot \frac{dr}{dh} \cdot \frac{dh}{dw} = 4 \times 1 \times 2 = 8 .$$
#
# So if w goes from 3 to 3.01, L grows by about 8 × 0.01 = 0.08.
#
# **Predict.** w goes from 1.5 to 1.51. By how much does L change, about? (The slopes are others there.)

# %% name="predict-nudge" tags=["predict"]
predicted_change = ...  # type a number here, then run the next cell


# %% name="see-nudge"
def loss(w):
    return (max(2 * w, 0) - 4) ** 2


compare(predicted_change, loss(1.51) - loss(1.5), within="10 %")
at, there = toolbox.chain_factors(3.0), toolbox.chain_factors(1.5)
for w, slopes in ((3, at), (1.5, there)):
    print(f"w = {w}: slope {slopes['dL/dw']:.0f}, times 0.01 {slopes['dL/dw'] * 0.01:+.2f}; "
          f"L goes from {loss(w):.4f} to {loss(w + 0.01):.4f}")  # fmt: skip
assert (there["dL/dr"], there["dL/dw"], loss(1.5)) == (-2, -4, 1)
assert abs(loss(1.51) - loss(1.5) + 0.04) < 0.001
assert (at["h"], at["r"], at["L"]) == (6, 6, 4) == (2 * 3, max(2 * 3, 0), loss(3))
assert (at["dh/dw"], at["dr/dh"], at["dL/dr"], at["dL/dw"]) == (2, 1, 4, 8)

# %% [markdown]
# **Move it.** Where is the gradient 0? Find both reasons.

# %%
Live(toolbox.chain_rule, w=slider("w", 3.0, -1.0, 4.0, 0.25))

# %% [markdown]
# You should see: At w = 2 the loss is at its lowest, 0. For every w ≤ 0 the loss is 16, and yet the gradient is 0: the slope of max is
# 0, and one zero on the path blanks out the rest. (Where several paths lead to the loss, their products add up, and a
# zero silences its own path alone. Remember both when you meet an expert that was not selected.)

# %% [markdown]
# torch multiplies the slopes for you, once a number is marked with `requires_grad` and you call `backward`. A **finite
# difference** checks it without calculus: move w a little up and a little down, and divide the change of L by that of w.
#
# > **Note** The next cell imports torch: a few seconds. No other cell of lessons 00 to 04 does.

# %%
import torch

w_leaf = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)  # ()
L = (torch.relu(2 * w_leaf) - 4) ** 2  # ()
L.backward()
nudge = 1e-4
finite = (loss(3 + nudge) - loss(3 - nudge)) / (2 * nudge)

print(f"chain rule {at['dL/dw']:.6f}, torch {w_leaf.grad.item():.6f}, finite difference {finite:.6f}")
assert np.allclose([w_leaf.grad.item(), finite], 8)
assert (loss(2), loss(-1), loss(0)) == (0, 16, 16)
assert toolbox.chain_factors(0.0)["dL/dw"] == toolbox.chain_factors(-1.0)["dL/dw"] == 0

# %% [markdown]
# ## 5. A feed-forward network
#
# An expert is nothing exotic. In its simplest form it is a matrix, a ReLU (which turns negative numbers into 0) and
# another matrix. (Many models add a third; lesson 05.) x (d,) becomes hidden (d_ff,), then y (d,):
#
# $$f(x) = \mathrm{ReLU}(x W_1)\, W_2 .$$
#
# Without the ReLU, x W₁ W₂ = x (W₁ W₂): two matrices are one. In the picture a line is a weight that is not 0; a
# dashed box is a hidden unit that the ReLU closed.

# %%
W_1 = np.array([[1.0, 0.0, -1.0, 2.0], [0.0, 1.0, -1.0, 0.5]])  # (d, d_ff) = (2, 4)
W_2 = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 1.0]])  # (d_ff, d) = (4, 2)


def feed_forward(x):
    hidden = np.maximum(x @ W_1, 0)  # (d,) @ (d, d_ff) -> (d_ff,)
    return hidden @ W_2  # (d_ff,) @ (d_ff, d) -> (d,)


x_ffn = np.array([1.0, -2.0])  # (d,)
print("without the ReLU:", x_ffn @ W_1 @ W_2, "and with one matrix:", x_ffn @ (W_1 @ W_2))
print("with the ReLU: f(x) =", feed_forward(x_ffn), "and f(-x) =", feed_forward(-x_ffn))
assert np.allclose(x_ffn @ W_1 @ W_2, x_ffn @ (W_1 @ W_2))
assert not np.allclose(feed_forward(-x_ffn), -feed_forward(x_ffn))  # one matrix would make these equal

# %%
Picture(toolbox.feed_forward(x_ffn, W_1, W_2))

# %% [markdown]
# ## 6. A residual stream
#
# It is easy to think that a layer replaces its input. In a transformer it **adds** to it:
#
# $$y = x + f(\mathrm{norm}(x)) .$$
#
# norm divides x by its root mean square. For x = (1, −7) that is 5, so f sees (0.2, −1.4); for 10x it sees the same.
# The x on the straight line is untouched, so a layer with nothing to say can add zeros.


# %%
def norm(x):
    return x / np.sqrt((x**2).mean())  # (d,)


x_res = np.array([1.0, -7.0])  # (d,)
update = feed_forward(norm(x_res))  # (d,)
print("norm(x) =", norm(x_res), "and norm(10 x) =", norm(10 * x_res))
print("f(norm(x)) =", update, "so y =", x_res + update)
assert np.allclose(x_res / 5, norm(x_res))
assert np.allclose(norm(x_res), [0.2, -1.4])
assert np.allclose(norm(10 * x_res), norm(x_res))

# %%
Picture(toolbox.residual_block(x_res, norm(x_res), update))

# %% [markdown]
# ## 7. Nats and bits
#
# Entropy measures how undecided a choice is: $H = -\sum_i p_i \log p_i$. With log₂ it comes in **bits**, with ln in
# **nats**: the same quantity in two units, like a length in inches or centimetres. A fair coin has 1 bit, which is ln 2 = 0.693 nats.
#
# **Predict.** Four experts are equally likely. How many bits?

# %% name="predict-bits" tags=["predict"]
predicted_bits = ...  # type a number here, then run the next cell


# %% name="see-bits"
def entropy(p, log=np.log):
    p = np.array([p_i for p_i in p if p_i > 0])  # (at most N,); 0 · log 0 counts as 0
    return float((p * -log(p)).sum())  # nats, or bits with log=np.log2


coin, experts = [0.5, 0.5], [0.25] * 4
compare(predicted_bits, entropy(experts, np.log2), unit="bits")
print(f"coin {entropy(coin):.3f} nats, four experts {entropy(experts):.3f} nats")
draws = np.random.default_rng(0).dirichlet(np.ones(4), 1000)  # (1000, 4), random probabilities
print(f"the largest entropy of 1000 random choices among four: {max(map(entropy, draws)):.3f} nats")
assert max(map(entropy, draws)) < np.log(4)
assert (entropy(coin, np.log2), round(entropy(coin), 3)) == (1, 0.693)
assert (entropy(experts, np.log2), round(entropy(experts), 3)) == (2, 1.386)
for p in (coin, [0.9, 0.1], experts):
    assert np.isclose(entropy(p) / np.log(2), entropy(p, np.log2))  # bits = nats / ln 2

# %% [markdown]
# Bits are nats divided by ln 2. N equally likely experts have ln N nats, the most that N can have: 1.386 for four. A
# certain choice has 0. The course uses nats unless it says bits.

# %%
rows = {
    "fair coin": coin,
    "coin, 9 heads in 10": [0.9, 0.1],
    "one of four, for sure": [1, 0, 0, 0],
    "four alike": experts,
}
Picture(toolbox.entropy_rulers({name: entropy(p) for name, p in rows.items()}))

# %% [markdown]
# ## Recap
#
# 1. A dot product is lengths times cosine; it does not tell you which made it large. Softmax over experts runs along
#    the last axis of (T, N).
# 2. A gap of logits is the logarithm of a ratio. It says nothing about their level.
# 3. Along one path a gradient is a product of slopes, and one zero silences it; several paths add up. It tells you what
#    a *small* nudge does, no more.
# 4. A simple expert is matrix, ReLU, matrix. A layer adds to the stream.
# 5. Bits = nats / ln 2. Entropy says how undecided a choice is, never which expert it favours.
#
# There are no exercises: take the self-test again instead. `softmax` lives in
# [](module:routing), a short file worth opening.
#
# **Next:** [lesson 01, the worked example](lesson:01), where one token meets four experts.

# %% [markdown] tags=["deeper"]
# ## Deeper: the numbers of the self-test, computed

# %% name="self-test-numbers" tags=["deeper"]
x_1, u, v = np.array([1, 0]), np.array([1, 0]), np.array([2, 2])  # (2,) each
h_2 = np.ones((5, 8)) @ np.ones((8, 4))  # (5, 8) @ (8, 4) -> (5, 4)
link = toolbox.chain_factors(-1.0)

print(f"1: x · u = {x_1 @ u}, x · v = {x_1 @ v}; v is {np.degrees(np.arctan2(v[1], v[0])):.0f}° off")
print(f"2: x @ W_g has shape {h_2.shape}")
print(f"3: ln 8 = {np.log(8):.2f} nats, log2 8 = {np.log2(8):.0f} bits, e^8 = {np.exp(8):.0f}")
print(f"4: h = {link['h']:.0f}, dL/dr = {link['dL/dr']:.0f}, dL/dw = {link['dL/dw']:.0f}")
assert (x_1 @ u, x_1 @ v, h_2.shape) == (1, 2, (5, 4))
assert (round(np.log(8), 2), np.log2(8), round(np.exp(8))) == (2.08, 3, 2981)
assert (link["h"], link["dL/dr"], link["dL/dr"] * link["dh/dw"], link["dL/dw"]) == (-2, -8, -16, 0)
