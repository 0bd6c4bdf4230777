# %% [markdown]
# # 07 · Gradients through a router
#
# **Can a router learn that an expert it never asked would have done better?** A router
# learns what its logits hear from the loss. This lesson listens.
#
# You will be able to
#
# 1. follow a loss back through a gate in three factors, and check it by autograd and by finite differences;
# 2. say for each gate form what the logit of a cut expert receives, and what that knows about the expert;
# 3. measure the blind spot, and compare six remedies by intervals;
# 4. say how k changes the size of a gradient, and which optimiser minds;
# 5. say what the z-loss does, and what it does not.
#
# **Before:** lessons 02, 04 and 05. **Time:** {{minutes}}.
#
# Five common sentences. Which do you believe? Each comes back as a *Myth*. (1) Gradients flow only through selected
# experts. (2) The router learns which expert is best. (3) With two experts kept, every expert is heard. (4) MoE
# layers use a straight-through estimator. (5) The z-loss prevents saturation.

# %% name="setup" tags=["setup"]
from functools import partial

import numpy as np
import torch
from scipy.stats import binomtest

from moe_lessons.experiments import blind_spot
from moe_lessons.checks import compare, reveal
from moe_lessons.data import worked_example, worked_experts
from moe_lessons.estimators import DefaultVector, relu_weights, straight_through
from moe_lessons.figures.blind_spot import blind_spot_svg
from moe_lessons.figures.gradients import gradient_bars_svg
from moe_lessons.layer import MoELayer
from moe_lessons.losses import z_loss
from moe_lessons.precision import to_bfloat16
from moe_lessons.routing import GATE_FORMS, gate_weights, log_sum_exp, softmax
from moe_lessons.support.progress import tqdm
from moe_lessons.widgets.live import Live, slider

# %% [markdown]
# ## One token, three factors
#
# The token of lesson 01 again, with k = 2 and form A (cut, then softmax). New is a **target**, the output that the
# layer should give, and a loss, $L = \frac12 \lVert y - \text{target} \rVert^2$. We choose the target so that E1
# alone would be perfect. And E1 is cut.

# %%
x, W_g = worked_example()  # (d,), (d, N)
h = x @ W_g  # (N,)
outputs = np.stack([expert(x) for expert in worked_experts()])  # (N, d)
target = outputs[0]  # (d,): exactly what E1 says

w = gate_weights(h, 2)  # (N,)
y = w @ outputs  # (d,)
v = y - target  # (d,), the slope of the loss along y
a = outputs @ v  # (N,), the slope of the loss along each weight
print("weights w:", w.round(3))
print("output y: ", y.round(3), " target:", target)
print("v = ∂L/∂y:", v.round(3))
print("a = E · v:", a.round(2))

# %% [markdown]
# $a_i = v \cdot E_i(x)$ says how the loss would change with more weight on $E_i$. Below zero means: more of it would
# help. All four would, E1 by far the most. (We know $a_1$ because we ran all four. A sparse layer runs two.)
#
# From there to the router it is three factors:
#
# $$\frac{\partial L}{\partial W_g} = x^\top \frac{\partial L}{\partial h}, \qquad
# \frac{\partial L}{\partial h_j} = \sum_i a_i \, \frac{\partial w_i}{\partial h_j}$$
#
# The slope $a_i$ along weight i (below 0: it helps), the slope of the gate, the token. Only the middle one is new.
#
# ## The slope of the gate
#
# Take two experts. Then $p_1$ depends only on the difference of the logits.
#
# **Predict.** E1 has probability .9. Its logit rises by 0.001. By how many thousandths does $p_1$ rise?

# %% name="predict-slope" tags=["predict"]
my_slope = ...  # a number

# %%
compare(my_slope, 0.9 * 0.1)
step = 1e-6
for p_1 in (0.5, 0.9, 0.99, 0.999):
    pair = np.log([p_1, 1 - p_1])  # (2,): logits whose softmax is p_1 and 1 − p_1
    up, down = softmax(pair + np.array([step, 0])), softmax(pair - np.array([step, 0]))  # (2,) each
    slope = (up - down) / (2 * step)  # (2,)
    print(f"p_1 = {p_1:<5}  slope of p_1 {slope[0]:.4f}, of p_2 {slope[1]:.4f}")
    assert np.allclose(slope, [p_1 * (1 - p_1), -p_1 * (1 - p_1)])

# %% [markdown]
# The slope is $p_1 (1 - p_1)$. What E1 gains, E2 loses. A router that is sure has hardly any slope left: it is
# **saturated**. For N experts, the slope of $p_i$ along $h_j$ is $p_i(\delta_{ij} - p_j)$, with $\delta_{ij} = 1$ if
# $i = j$, otherwise 0.

# %%
p = softmax(h)  # (N,)
moved = [(softmax(h + step * e) - softmax(h - step * e)) / (2 * step) for e in np.eye(4)]
jacobian = np.stack(moved, axis=1)  # (N, N): row i, column j
print(jacobian.round(3))
formula = np.diag(p) - np.outer(p, p)  # (N, N)
print(f"largest difference from the formula: {np.abs(jacobian - formula).max():.0e}")
print(f"largest sum of a column: {np.abs(jacobian.sum(axis=0)).max():.0e}")
assert np.allclose(jacobian, formula, atol=1e-9)
assert np.allclose(jacobian.sum(axis=0), 0, atol=1e-9)

# %% [markdown]
# Each column sums to 0, and so does every gradient that comes through a softmax over these logits (A, B, B′): they are
# moved against each other.
#
# ## Three forms, three ways
#
# Put the slopes into the sum. With S for the kept experts:
#
# | form | $\partial L/\partial h_j$ for a kept expert | for a cut expert |
# |---|---|---|
# | A, B′ | $w_j \left(a_j - \sum_{i \in S} w_i a_i\right)$ | 0 |
# | B | $p_j \left(a_j - \sum_{i \in S} p_i a_i\right)$ | $-p_j \sum_{i \in S} p_i a_i$ |
#
# A kept expert is compared with an average: better than it (a smaller $a$), and descent raises the logit. The second
# cell below knows no formula, it asks torch. `torch.topk` returns values, which carry a gradient, and indices, which
# are whole numbers and carry none.


# %%
def by_hand(h, form, k=2):
    """Formula. Every form has its own y, so its own v and a."""
    w = gate_weights(h, k, form)  # (N,)
    a = outputs @ (w @ outputs - target)  # (N,)
    if form != "softmax_topk":
        return w * (a - w @ a)  # (N,)
    p, is_kept = softmax(h), w > 0  # (N,) each
    return p * (is_kept * a - w @ a)  # (N,)


def by_differences(h, form, k=2):
    """Move each logit a little and watch the loss."""

    def loss(h):
        return 0.5 * np.sum((gate_weights(h, k, form) @ outputs - target) ** 2)

    return np.array([(loss(h + step * e) - loss(h - step * e)) / (2 * step) for e in np.eye(len(h))])


# %%
def by_autograd(h, form, k=2, outputs=outputs):
    h = torch.tensor(h, requires_grad=True)  # (N,)
    values, selected = torch.topk(h, k)  # (k,), (k,)
    w = torch.softmax(h, dim=-1)[selected]  # (k,)
    if form == "topk_softmax":
        w = torch.softmax(values, dim=-1)  # (k,)
    if form == "softmax_topk_renorm":
        w = w / w.sum()  # (k,)
    y = w @ torch.tensor(outputs)[selected]  # (d,)
    loss = 0.5 * (y - torch.tensor(target)).square().sum()
    return torch.autograd.grad(loss, h)[0].numpy()


# %% [markdown]
# **Predict.** E1 would be perfect, and is cut. What is $\partial L / \partial h_1$ in form A? And in form B, where
# cut experts are part of the softmax: will descent `raise` or `lower` the logit of E1?

# %% name="predict-cut" tags=["predict"]
my_gradient_of_E1 = ...  # form A, a number
my_direction_of_E1 = ...  # form B, "raise" or "lower"

# %%
compare(my_gradient_of_E1, by_hand(h, "topk_softmax")[0] + 0.0)
compare(my_direction_of_E1, "raise" if by_hand(h, "softmax_topk")[0] < 0 else "lower")
print(f"{'':<37}{'E1 cut':>8}{'E2 kept':>9}{'E3 kept':>9}{'E4 cut':>8}")
for form in GATE_FORMS:
    ways = {"by hand": by_hand, "autograd": by_autograd, "differences": by_differences}
    rows = {name: way(h, form) for name, way in ways.items()}
    for name, row in rows.items():
        print(f"{form:<20} {name:<12}" + "".join(f"{g:>9.4f}" for g in row + 0.0))
    assert np.allclose(rows["by hand"], rows["autograd"], atol=1e-12)
    assert np.allclose(rows["by hand"], rows["differences"], atol=1e-8)
    assert np.isclose(rows["by hand"].sum(), 0)

router_gradient = np.outer(x, by_hand(h, "topk_softmax")) + 0.0  # (d, N)
print("∂L/∂W_g in form A, one column for each expert:", router_gradient.round(3), sep="\n")
nudge = step * np.outer(np.eye(3)[1], np.eye(4)[2])  # (d, N): one entry
sides = [0.5 * np.sum((gate_weights(x @ W, 2) @ outputs - target) ** 2) for W in (W_g + nudge, W_g - nudge)]
assert np.isclose((sides[0] - sides[1]) / (2 * step), router_gradient[1, 2])

# %% [markdown]
# Form A raises E2, lowers E3, and tells E1 nothing. Times the token that is the gradient of $W_g$: E2's prototype
# moves towards x, E3's away. Form B does tell E1 something, and it is *wrong*: it pushes the perfect expert down.
#
# > **Myth: "gradients flow only through selected experts."** For the experts' own weights that is right. For logits,
# > it depends on the form.

# %%
print("B, gradients at the cut experts E1 and E4:", by_hand(h, "softmax_topk")[[0, 3]].round(4))
assert (by_hand(h, "softmax_topk")[[0, 3]] > 0).all()
assert (by_hand(h, "topk_softmax")[[0, 3]] == 0).all()

# %% [markdown]
# Right is: an expert's parameters see $\partial L/\partial E_i = w_i v$, so nothing when cut. A cut *logit* gets, for
# this token, exactly 0 in A and B′, and $-p_j \sum_S p_i a_i$ in B. Look for $E_j$ in that formula: it is not there.
# We replace E1 a thousand times and ask torch.

# %%
rng = np.random.default_rng(0)
v_B = gate_weights(h, 2, "softmax_topk") @ outputs - target  # (d,)
heard, dense = [], []
for new_E1 in 3 * rng.normal(size=(1000, 3)):
    other = np.vstack([new_E1, outputs[1:]])  # (N, d)
    heard.append(by_autograd(h, "softmax_topk", outputs=other)[0])
    dense.append(p[0] * (other @ v_B - p @ other @ v_B)[0])
print(f"form B, gradient at E1: from {min(heard):.4f} to {max(heard):.4f}")
print(f"all run, v held:        from {min(dense):.4f} to {max(dense):.4f}")
assert max(heard) == min(heard) > 0

# %% [markdown]
# Whatever E1 is, its logit hears the same number, and that is about the others.
# If all experts ran (second line, with the same v), E1's quality would count.
#
# **Question for the picture:** E1 is cut. Move `a of E1` from end to end: in which panels does anything change? Then
# raise `h of E1` to 0.30, the logit of E2. And which panel is empty at k = 1?

# %% name="picture-gradients"
Live(
    lambda k, h1, a1, a2, a3, a4: gradient_bars_svg([h1, *h[1:]], [a1, a2, a3, a4], k),
    k=slider("k, kept", 2, 1, 4, 1),
    h1=slider("h of E1", -0.18, -2.0, 2.0, 0.01, expert=0),
    a1=slider("a of E1", -4.4, -5.0, 5.0, 0.1, expert=0),
    a2=slider("a of E2", -2.1, -5.0, 5.0, 0.1, expert=1),
    a3=slider("a of E3", -1.1, -5.0, 5.0, 0.1, expert=2),
    a4=slider("a of E4", -1.7, -5.0, 5.0, 0.1, expert=3),
)

# %% [markdown]
# You should see that `a of E1` moves only the lowest panel, as long as E1 is cut. (All panels share one a; in the
# table each form had its own.) At the tie E1 is kept (the lower index wins), and all panels know it. At k = 1 the
# panel of A and B′ is empty. At k = 4 all three agree.
#
# ## One expert, two experts, a wall
#
# **k = 1.** In A and B′ the weight is always 1, and the router hears nothing (lesson 04). In B a chosen expert gets
# $p_i (1 - p_i)\, a_i$: if it helps at all, it is raised, whether or not another would help more.
#
# **k = 2.** In A and B′ kept expert i gets $w_i w_j (a_i - a_j)$, where j is the other.
#
# > **Myth: "the router learns which expert is best."** Two kept experts that help, and the same when both do harm.

# %%
for a_kept in (np.array([-2.0, -1.0]), np.array([8.0, 9.0])):
    weights = softmax(h[[2, 1]])  # (k,)
    print("a of E3 and E2:", a_kept, " gradient:", (weights * (a_kept - weights @ a_kept)).round(4))
assert np.isclose(weights[0] * (a_kept[0] - weights @ a_kept), weights[0] * weights[1] * (a_kept[0] - a_kept[1]))

# %% [markdown]
# Right is: in A and B′ it learns which of *the kept* is better. That all of them are bad, it does not learn.
#
# > **Myth: "with two experts kept, every expert is heard."** Here is the gradient at E1 for every k.

# %%
for k in range(1, 5):
    print(f"k = {k}, form A, gradient at E1: {by_hand(h, 'topk_softmax', k)[0] + 0.0:.4f}")
print("k = 1, form B, gradient at E1..E4:", by_hand(h, "softmax_topk", 1).round(3))
assert np.allclose(by_hand(h, "topk_softmax", 4), by_hand(h, "softmax_topk", 4))
assert by_hand(h, "softmax_topk", 1)[2] < 0 < by_hand(h, "softmax_topk", 1)[0]
assert by_hand(h, "topk_softmax", 2)[0] == 0 > by_hand(h, "topk_softmax", 3)[0]

# %% [markdown]
# Right is: two make a comparison possible, between those two. E1 is third, so it takes k = 3 before it hears
# anything. With 64 experts and k = 2, 62 hear nothing about this token. (Last line: at k = 1 B
# raises the chosen E3 and lowers the perfect E1.)
#
# What if the logit of E1 is moved by hand, up to the tie with E2 at 0.30 and beyond?
#
# **Predict.** With E1 cut the loss is 1.40. What is it one step after the tie: about `1.40` (it changes smoothly), or
# clearly `lower`?

# %% name="predict-tie" tags=["predict"]
my_loss_after_the_tie = ...  # "1.40" or "lower"

# %%
moved = [np.array([h_1, *h[1:]]) for h_1 in (-0.18, 0.2, 0.2999, 0.3001, 0.4)]  # (N,) each
errors = [gate_weights(logits, 2) @ outputs - target for logits in moved]  # (d,) each
losses = [0.5 * error @ error for error in errors]
compare(my_loss_after_the_tie, "lower" if losses[3] < losses[2] - 0.1 else "1.40")
for logits, loss in zip(moved, losses, strict=True):
    slope = by_hand(logits, "topk_softmax")[0] + 0.0
    print(f"logit of E1 {logits[0]:>7}: loss {loss:.3f}, slope along this logit {slope:.3f}")
assert losses[0] == losses[1] == losses[2] > 2 * losses[3]
assert round(losses[0], 2) == 1.40

# %% [markdown]
# The loss falls to less than half at a single point, and before it the ground is flat. Gradient descent feels slopes;
# a wall has none.
#
# ## The blind spot, measured
#
# An expert that no token keeps hears nothing: the **blind spot**. To measure it, 8 groups of tokens and 8 **frozen**
# experts, expert i exactly right for group i. Only the router learns, from the task loss, with k = 2. At the start it
# knows seven groups, and E8's logit is −4 for every token: nobody asks E8, though for its group it would be perfect.
# A router has **found** E8 if at the end it selects E8 for at least half of E8's tokens.
#
# Ten ways, 64 routers each, on the same worlds, starting points and tokens. Two are nulls, without the trouble: in
# `fair` and `relu_fair` E8's logit starts near 0. The interval holds the true rates that fit such a count. The
# default vector is from Panda et al. (2025, arXiv:2504.12463), ReLU routing from Wang et al. (2024,
# arXiv:2412.14711).

# %%
for method in blind_spot.METHODS.values():
    print(f"{method.label:<18} {method.recipe}")
    print(f"{'':<18} {method.coefficient:.3g}: {method.why}" if method.coefficient else f"{'':<18} {method.why}")

# %% [markdown]
# **Predict.** In how many of 64 runs does plain form A find E8? And plain form B, whose gradient at E8 knows nothing
# of E8? (The cell after yours trains the routers, in about 15 seconds.)

# %% name="predict-found" tags=["predict"]
my_found_A = ...  # 0 to 64
my_found_B = ...  # 0 to 64

# %% name="run-blind-spot"
results = blind_spot.run_all(runs=64, progress=partial(tqdm, desc="methods"))

# %%
compare(my_found_A, int(results["top_k_a"].found.sum()), within=3)
compare(my_found_B, int(results["top_k_b"].found.sum()), within=3)
print("\nmethod             at step 0   found   95 % interval  task loss, mean ± sd of runs  experts used")
for result in results.values():
    (low, high), (mean, sd) = result.interval, result.final_loss
    print(f"{result.label:<18} {result.found_at(0).sum():>9}   "
          f"{result.found.sum():>2}/{result.found.size}   {low:.2f} to {high:.2f}   {mean:.3f} ± {sd:.3f}{result.active[-1].mean():>29.2f}")  # fmt: skip
known = blind_spot.reference_losses()
print(f"\nTo compare: right experts for all but E8's tokens {known['best other']:.3f}, "
      f"two experts drawn blindly {known['random pair']:.3f}")  # fmt: skip

# %% [markdown]
# **Question for the picture:** move through the training. Of the hidden starts (filled), who brings E8 back first, who
# last, who never?

# %% name="picture-blind-spot"
Live(lambda step: blind_spot_svg(results, step), step=slider("training step", 0, 0, 300, 10))

# %% [markdown]
# You should see straight-through first, then the default vector and B, then the balance loss, random choice last. A,
# noise and ReLU routing never do.
#
# ## What was measured, and what not
#
# Form A never finds E8, or hardly ever. With a *fair* start it finds E8 in most runs, not in all: form A can overlook
# a newcomer, hidden or not.
#
# Where intervals overlap, "61 beat 60" means nothing. But all methods saw the same worlds: compare run by run. How
# often would a fair coin give so uneven a split?

# %%
compared = results | {"top_k_b_fair": blind_spot.run("top_k_b", start=0.0)}  # B's own null
pairs = (("top_k_b", "fair"), ("top_k_b_fair", "fair"), ("straight_through", "random"), ("straight_through", "balance"))
print(f"{'':<36}{'E8 found by':>16}{'lower loss in':>20}")
print(f"{'first and second':<36}{'first / second':>16}{'first, of 64 runs':>20}   by coin tosses: found, loss")
splits, when = {}, {}
for name, result in results.items():
    reached = np.mean(result.share >= blind_spot.FOUND, axis=1) >= 0.5  # (frames,)
    when[name] = int(result.steps[reached.argmax()]) if reached.any() else "never"
for names in pairs:
    first, second = (compared[name] for name in names)
    only = [int(np.sum(first.found & ~second.found)), int(np.sum(second.found & ~first.found))]
    splits[names] = [binomtest(only[0], sum(only)).pvalue if sum(only) else 1.0]
    lower = ""
    if names[0] == "straight_through":  # losses of one form only
        wins = int(np.sum(first.loss[-1] < second.loss[-1]))
        lower, splits[names] = wins, [*splits[names], binomtest(wins, first.found.size).pvalue]
    print(f"{names[0] + ' and ' + names[1]:<36}{f'only {only[0]} / {only[1]}':>16}{lower:>20}   "
          + ", ".join(f"{chance:.2g}" for chance in splits[names]))  # fmt: skip
print("steps until half of the runs have found E8:", when)
assert when["straight_through"] < min(when["default_vector"], when["top_k_b"]) < when["balance"] < when["random"]
assert results["top_k_b"].interval[0] > results["fair"].interval[1] > results["top_k_a"].interval[1]
assert max(splits[pairs[0]][0], splits[pairs[2]][1]) < 0.01 < 0.05 < splits[pairs[2]][0]
assert compared["top_k_b_fair"].found_rate > results["fair"].found_rate

# %% [markdown]
# Form B finds the *hidden* expert in more runs than form A finds one that is not hidden. Part of that lead is the
# gate itself: with a fair start, too, B finds E8 more often than A. Straight-through and random choice differ by one
# run or so, which says nothing. But the loss of straight-through is lower in nearly every run, and coins do not do
# that. (B's loss is that of another output: its weights do not sum to 1.)
#
# ReLU routing fails from −4, where its slope is 0; compare its fair start. Do not compare its loss: it uses fewer
# experts.
#
# Why does B do so well, when its gradient at E8 knows nothing of E8? Since $\sum_S p_i a_i = y \cdot v$, it says one
# thing: would the loss fall if the whole output shrank? If so, all cut logits rise, taking weight from the kept; if
# not, they fall. We draw 2,000 tokens with random expert outputs and cut E8. The target is E8's output, or something
# that none of the experts says, or the output of the first choice.

# %%
rng = np.random.default_rng(0)
logits = 0.3 * rng.normal(size=(2000, 8)) + [0, 0, 0, 0, 0, 0, 0, -4]  # (T, N): E8 is always cut
drawn = rng.normal(size=(2000, 8, 9))  # (T, N, d), one set of expert outputs for each token
y_B = np.einsum("tn,tnd->td", gate_weights(logits, 2, "softmax_topk"), drawn)  # (T, d)
right = {
    "E8, which is cut": drawn[:, 7],
    "nobody": rng.normal(size=(2000, 9)),
    "the first choice": drawn[np.arange(2000), logits.argmax(axis=1)],
}
raised = {}
for who, targets in right.items():  # targets (T, d)
    at_E8 = -softmax(logits)[:, 7] * np.sum(y_B * (y_B - targets), axis=1)  # (T,)
    raised[who] = np.mean(at_E8 < 0)
    print(f"{who + ' is right:':<28} descent raises E8's logit for {raised[who]:.1%} of the tokens")
assert abs(raised["E8, which is cut"] - raised["nobody"]) < 0.05 < raised["nobody"] - raised["the first choice"]

# %% [markdown]
# So B tells all cut experts "less of what I have" or "more of it", whether E8 is right or nobody is. In our world,
# where one expert in eight is right, trying others pays.
#
# The table used one coefficient for each method. Was the noise useless, or too small for a gap of 4? We try four sizes
# for each of three methods (about 20 seconds).

# %% name="sweeps"
swept = {(name, results[name].coefficient): results[name] for name in ("noise", "random", "balance")}
trials = [(name, c) for name, _ in swept for c in blind_spot.SWEEPS[name] if (name, c) not in swept]
for name, c in tqdm(trials, desc="coefficients"):
    swept[name, c] = blind_spot.run(name, coefficient=c)
for (name, c), result in sorted(swept.items()):
    (low, high), (mean, sd) = result.interval, result.final_loss
    print(f"{name:<8} {c:<5.3g} found {result.found.sum():>2}/{result.found.size}, {low:.2f} to {high:.2f}, "
          f"loss {mean:.3f} ± {sd:.3f}")  # fmt: skip
for name in ("noise", "random", "balance"):
    intervals = [swept[name, c].interval for c in blind_spot.SWEEPS[name]]
    assert intervals[0][1] < intervals[-1][0]

# %% [markdown]
# In each case the strongest finds E8 more often than the weakest, with intervals apart: the size decides. None of the
# three knows that E8 is *good*. Noise and random choice let it be tried. The balance loss lifts whoever is used
# little; our groups are equally large, so even use happens to be right.
#
# > **Myth: "MoE layers use a straight-through estimator."** Then the router's gradient would depend on what the cut
# > experts say. We take a layer, replace the weights of an expert that its token did not select, and look at the
# > gradient of the router before and after.


# %%
def router_gradients(seed):
    """Return ∂L/∂W_g of a sparse layer and of the straight-through estimator, before and after E_cut changed."""
    torch.manual_seed(seed)
    layer, x, goal = MoELayer(8, 16, 4, 2, gate="softmax_topk"), torch.randn(1, 8), torch.randn(1, 8)
    cut = int(layer(x, return_routing=True)[1].logits.argmin())
    found = []
    for _ in ("before", "after"):
        experts = torch.stack([layer.experts.one(i, x) for i in range(4)], dim=-2)  # (T, N, d)
        for y in (layer(x), straight_through(x @ layer.router.W_g, experts, 2, "softmax_topk")):
            loss = (y - goal).square().sum()
            found.append(torch.autograd.grad(loss, layer.router.W_g)[0])
        state = layer.state_dict()
        state["experts.W2"][cut] += 1
        layer.load_state_dict(state)
    return found  # four of shape (d, N)


sparse, dense, sparse_after, dense_after = router_gradients(seed=0)
print(f"our layer:        the router's gradient changes by {(sparse_after - sparse).abs().max():.4f}")
print(f"straight-through: the router's gradient changes by {(dense_after - dense).abs().max():.4f}")
same = {"our layer": [], "straight-through": []}
for seed in range(20):
    sparse, dense, sparse_after, dense_after = router_gradients(seed)
    same["our layer"].append(torch.equal(sparse, sparse_after))
    same["straight-through"].append(torch.allclose(dense, dense_after))
print("seeds of 20 in which it is the same as before:", {name: sum(seeds) for name, seeds in same.items()})
assert [sum(seeds) for seeds in same.values()] == [20, 0]

# %% [markdown]
# Right is: in the code that we read (DeepSpeed, Megatron, MegaBlocks, gpt-oss, DeepSeek; in `transformers` Switch,
# Mixtral, OLMoE, Qwen3-MoE) the indices are constants, and autograd differentiates the *kept weights*. Phi-MoE
# (`modeling_phimoe.py`, SparseMixer) is an exception: it samples experts and writes its own backward, but reads no cut
# expert either. Straight-through must run all N, so it saves nothing.
#
# ## How large the gradient is
#
# An expert receives $w_i v$. With k equal experts and weights that sum to 1 that is a k-th of v.
#
# **Predict.** Gradients become 8 times smaller throughout. How many times shorter is the way that Adam goes in 100
# steps?

# %% name="predict-adam" tags=["predict"]
my_ratio = ...  # a number


# %%
def way(optimizer, factor, seed):
    """How far four parameters move in 100 steps on the same random gradients, times `factor`"""
    theta = torch.nn.Parameter(torch.zeros(4))
    update = optimizer([theta], lr=0.01)
    for gradient in torch.randn(100, 4, generator=torch.Generator().manual_seed(seed)) + 0.5:
        theta.grad = factor * gradient
        update.step()
    return float(theta.detach().norm())


optimizers = (torch.optim.SGD, torch.optim.Adam)
ratios = [[way(each, 1, seed) / way(each, 1 / 8, seed) for seed in range(5)] for each in optimizers]  # 2 × seeds
compare(my_ratio, np.mean(ratios[1]))
for each, row in zip(optimizers, ratios, strict=True):
    print(f"{each.__name__:<5} goes {np.mean(row):.3f} times as far (5 seeds, spread {np.ptp(row):.0e})")
for k in (1, 2, 4, 8):
    said = torch.ones(8, 3, dtype=torch.float64, requires_grad=True)  # (N, d): outputs of the experts
    equal = torch.tensor(gate_weights(np.zeros(8), k))  # (N,), equal logits
    loss = (equal @ said).sum()  # its slope along y is v = (1, 1, 1)
    print(f"k = {k}: gradient at the output of E1", torch.autograd.grad(loss, said)[0][0].numpy().round(3))
assert np.allclose(ratios[1], 1, atol=1e-4)

# %% [markdown]
# Adam divides each gradient by its own usual size, so a *constant* factor on it cancels. (One on the layer's output does
# not: lesson 04.) In B and straight-through, all that E8's logit hears is multiplied by its own $p_j$, and that is tiny.
# Does the result hold with SGD (20 seconds)?

# %%
print(f"The table: Adam, rate {blind_spot.LEARNING_RATES['adam']}, 300 steps. SGD, found of 32 runs (95 % interval):")
by_sgd = {}
for rate, steps in tqdm(((1, 300), (1, 1500), (10, 300), (30, 300)), desc="rates"):
    print(f"rate {rate:>2}, {steps:>4} steps:", end="")
    for name in ("fair", "top_k_b", "straight_through"):
        by_sgd[name, rate, steps] = blind_spot.run(name, 32, steps=steps, optimizer="sgd", learning_rate=rate)
        result, (low, high) = by_sgd[name, rate, steps], by_sgd[name, rate, steps].interval
        print(f"   {result.label} {result.found.sum():>2} ({low:.2f} to {high:.2f})", end="")
    print()
    assert by_sgd["top_k_b", rate, steps].interval[1] < 0.25
assert by_sgd["straight_through", 1, 300].interval[1] < 0.5 < by_sgd["fair", 1, 300].interval[0]
assert min(by_sgd["straight_through", *trial].interval[0] for trial in ((1, 1500), (10, 300))) > 0.5

# %% [markdown]
# For B it does not, at any of these rates. Straight-through needs a larger step than 1, or more steps; too large a step
# harms even the null.
#
# ## The z-loss
#
# Softmax leaves the common shift of the logits free. Zoph et al. (2022, arXiv:2202.08906, Eq. 5) pin it down:
#
# $$L_z = \frac1T \sum_t \big(\mathrm{LSE}_t\big)^2, \quad \mathrm{LSE}_t = \ln \sum_j e^{h_{tj}}, \qquad
# \frac{\partial L_z}{\partial h_{tj}} = \frac2T\, \mathrm{LSE}_t\; p_{tj}$$
#
# It is a mean over tokens, and squared; the paper's coefficient is $10^{-3}$.

# %%
several = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()  # (T, N)
(by_torch,) = torch.autograd.grad(z_loss(several), several)
plain = several.detach().numpy()  # (T, N)
formula = 2 / 6 * log_sum_exp(plain)[:, None] * softmax(plain)  # (T, N)
print(f"largest difference from the formula: {np.abs(by_torch.numpy() - formula).max():.0e}")
assert np.allclose(by_torch, formula)
print("first token: LSE", log_sum_exp(plain[0]).round(3), " gradient", by_torch[0].numpy().round(3))

# %% [markdown]
# What it is *for*, in the paper, is round-off: large numbers have coarse steps. Ten logits of 128 and one of 128.5,
# in bfloat16:

# %%
large = np.array([128.0] * 10 + [128.5])  # (N,)
exact, rounded, small = softmax(large)[-1], softmax(to_bfloat16(large))[-1], softmax(to_bfloat16(large - 128))[-1]
print(f"exact {exact:.3f}, logits rounded to bfloat16 {rounded:.3f}, the same 128 lower {small:.3f}")
assert (round(exact, 3), round(float(rounded), 3), round(float(small), 3)) == (0.142, 0.091, 0.142)

# %% [markdown]
# More than a third of the probability is gone; small logits keep it. What does the z-loss alone do to the logits of
# lesson 01, moved 10 up or 10 down, and to a router that is sure?

# %%
starts = {"moved +10": h + 10, "moved   0": h, "moved -10": h - 10, "sure, +10": np.array([10.0, 0, 0, 0])}
for name, start in starts.items():
    logits = torch.tensor(start, requires_grad=True)  # (N,)
    update = torch.optim.SGD([logits], lr=0.1)
    for _ in range(1000):
        update.zero_grad()
        z_loss(logits).backward()
        update.step()
    after = logits.detach().numpy()  # (N,)
    print(f"{name}: LSE {log_sum_exp(start):6.2f} -> {abs(log_sum_exp(after)):.2f}, "
          f"p {softmax(start).round(3)} -> {softmax(after).round(3)}")  # fmt: skip
    assert abs(log_sum_exp(after)) < 0.01
    assert (softmax(after).max() > softmax(start).max()) == (name == "moved -10")
assert softmax(starts["sure, +10"]).max() > 0.999
assert softmax(after).max() < 0.3

# %% [markdown]
# Every LSE reaches 0. The gradient is proportional to $p_j$, so the largest logit moves most. Down from above 0, the
# logits are drawn together, even those of the sure router. *Up* from −10 they are torn apart, and the router ends
# saturated. (Training starts with logits near 0, where LSE is ln N, above 0.)
#
# > **Myth: "the z-loss prevents saturation."** Which of these two costs more: a router that is as sure as can be, or
# > one that has no opinion?

# %%
for row in ([0.0, -100.0, -100.0, -100.0], [5.0, 5.0, 5.0, 5.0]):
    print(f"logits {row}: z-loss {z_loss(torch.tensor([row])):.1f}, p {softmax(row).round(3)}")
assert z_loss(torch.tensor([[0.0, -100.0, -100.0, -100.0]])) == 0

# %% [markdown]
# Right is: it works on one side only. Above LSE 0 it flattens, at 0 it does nothing, below 0 it sharpens.

# %% [markdown]
# ## Recap
#
# 1. $\partial L/\partial W_g = x^\top\, \partial L/\partial h$, and each $\partial L/\partial h_j$ sums the slopes
#    $a_i$ times the slope of the gate. Formula, autograd and finite differences agree.
# 2. A cut expert's logit hears exactly 0 in A and B′. In B it hears $-p_j\, (y \cdot v)$: whether the output should
#    shrink, and nothing about the expert. k = 1 renormalised hears nothing; k = 2 compares two.
# 3. Plain form A did not find the hidden expert. B, the default vector and the straight-through gradient did; so did
#    noise, random choice and the balance loss, once strong enough. Where intervals overlap, compare in pairs.
# 4. A kept expert receives $w_i v$, about 1/k of v. Adam removes a constant factor of the gradient, SGD does not: with it
#    B found no hidden expert, and straight-through needed larger steps or more.
# 5. The z-loss pulls LSE to 0, against round-off: it fixes the shift, and the largest logit stays near or below 0.
#    Against saturation it works from above only: at LSE 0 it does nothing, from below it sharpens.
#
# Of the five sentences, (1) is true for experts, and for logits in A and B′ only. The others are false.
#
# **What this lesson cannot tell you:** what the blind spot costs in a large model. Here the experts were frozen and one
# was hidden on purpose. Real experts learn too (lessons 08, 09).
#
# ## Quiz
#
# **1. Form B, k = 2. $E_5$ is cut, and becomes better. What changes in its logit's gradient for this token?** (a) it
# becomes negative (b) nothing (c) it becomes 0
#
# <details><summary>Answer</summary>
#
# (b). The formula holds the kept experts only. (a) would need $a_5$, so $E_5$ would have to run. (c) is what A and B′
# always give.
#
# </details>
#
# **2. Two methods found E8 in 58 and in 59 of 64 runs. What may you say?** (a) the second is better (b) they are equal
# (c) these runs do not tell them apart
#
# <details><summary>Answer</summary>
#
# (c). The intervals overlap almost wholly. (a) reads chance as an effect, (b) claims too much as well.
#
# </details>
#
# **3. A router's logits are (0, −100, −100, −100) for every token, and someone adds a z-loss. What does it change?**
# (a) nothing (b) it lowers the first logit (c) it raises the other three
#
# <details><summary>Answer</summary>
#
# (a). LSE is 0, so loss and gradient are 0. (b) needs an LSE above 0, (c) one below 0.
#
# </details>
#
# ## Next
#
# - Exercises: [](exercises:07).
# - The code you used: [](module:experiments/blind_spot),
#   [](module:estimators) and [](module:losses).
# - Lesson 08: training a router.

# %% [markdown] name="deeper-straight-through" tags=["deeper"]
# ## Deeper: a straight-through estimator in four lines
#
# The trick is a bracket that is 0 forwards and has a slope backwards. `detach` cuts a tensor's history.


# %% name="deeper-straight-through-cell" tags=["deeper"]
def dense_gradient(h, outputs, k):
    """h (N,), outputs (N, d) -> y (d,): the value of form A, the router gradient of the dense softmax"""
    values, selected = torch.topk(h.detach(), k)  # (k,), (k,)
    sparse = torch.softmax(values, dim=-1) @ outputs[selected]  # (d,)
    dense = torch.softmax(h, dim=-1) @ outputs.detach()  # (d,)
    return sparse + (dense - dense.detach())


logits, E = torch.tensor(h, requires_grad=True), torch.tensor(outputs)  # (N,), (N, d)
for name, y in (("ours", dense_gradient(logits, E, 2)), ("estimators.py", straight_through(logits, E, 2))):
    loss = 0.5 * (y - torch.tensor(target)).square().sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    print(f"{name:<14} y {y.detach().numpy().round(3)}  gradient {gradient.numpy().round(3)}")
    assert np.allclose(y.detach(), gate_weights(h, 2) @ outputs, atol=1e-12)
    assert gradient[0] < 0

# %% [markdown] name="deeper-default" tags=["deeper"]
# ## Deeper: the default vector before anyone asked
#
# The mean of an expert's past outputs starts at 0. What does the logit of an expert hear that was never chosen? The same
# as in form B.

# %% name="deeper-default-cell" tags=["deeper"]
layer = DefaultVector(4, 3, decay=0.5).double()
for step_number in range(3):
    logits = torch.tensor(h[None], requires_grad=True)  # (T, N)
    y = layer(logits, E[None], 2)  # (T, d)
    loss = 0.5 * (y - torch.tensor(target)).square().sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    print(f"step {step_number}: gradient {gradient[0].numpy().round(3)}")
print("its vectors:", layer.average.numpy().round(3), sep="\n")
assert np.isclose(gradient[0, 0], by_hand(h, "softmax_topk")[0])
assert (layer.average[[0, 3]] == 0).all()

# %% [markdown] name="deeper-relu" tags=["deeper"]
# ## Deeper: ReLU routing has no wall
#
# With $w_i = \max(h_i, 0)$ the output is continuous: an expert enters with weight 0. But below 0 it hears nothing, like
# a cut expert in form A.

# %% name="deeper-relu-cell" tags=["deeper"]
for h_1 in (-0.5, -0.001, 0.001, 0.5):
    logits = torch.tensor([h_1, *h[1:]], requires_grad=True)  # (N,)
    loss = 0.5 * (relu_weights(logits) @ E - torch.tensor(target)).square().sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    print(f"logit of E1 {h_1:>6}: loss {loss.item():.3f}, slope along it {gradient[0].item() + 0.0:.3f}")
