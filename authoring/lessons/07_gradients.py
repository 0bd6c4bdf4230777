# %% [markdown]
# # 07 · Gradients through a router
#
# **Can a router learn that an expert it never asked would have done better?** It learns what its logits hear from the
# loss.
#
# You will be able to
#
# 1. follow a loss back through a gate in three factors, and check each by torch or by finite differences;
# 2. say for each gate form what the logit of a cut expert hears;
# 3. say how k changes the size of a gradient, and what two optimisers make of it;
# 4. measure the blind spot, with a control that tells being brought back from being judged;
# 5. read a table of many settings.
#
# **Before:** lessons 02, 04 and 05. **Time:** {{minutes}}.
#
# Which of these do you believe? (1) An expert that a token did not choose hears nothing through this token's output.
# (2) The logit of a cut expert hears nothing. (3) The router learns which expert is best. (4) A method that brings a
# forgotten expert back knows that it is good.

# %% name="setup" tags=["setup"]
from dataclasses import replace

import numpy as np
import torch

from moe_lessons.experiments import blind_spot, blind_spot_study
from moe_lessons.checks import compare, reveal
from moe_lessons.data import worked_example, worked_experts
from moe_lessons.estimators import DefaultVector, relu_weights, straight_through
from moe_lessons.figures.blind_spot import blind_spot_svg
from moe_lessons.figures.gradients import gradient_bars_svg
from moe_lessons.layer import MoELayer
from moe_lessons.losses import z_loss
from moe_lessons.routing import gate_weights, log_sum_exp, softmax
from moe_lessons.support.progress import tqdm
from moe_lessons.widgets.live import Live, slider

# %% [markdown]
# ## One token, three factors
#
# The token of lesson 01 again, with k = 2 and form A (cut, then softmax). New are a **target** and a loss,
# $L = \frac12 \lVert y - \text{target} \rVert^2$. E1 alone would be perfect. And E1 is cut.

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
# $a_i = v \cdot E_i(x)$ says how the loss would change with more weight on $E_i$. Below zero: more of it would help. All
# four would, E1 by far the most.
#
# From there to the router it is three factors:
#
# $$\frac{\partial L}{\partial W_g} = x^\top \frac{\partial L}{\partial h}, \qquad
# \frac{\partial L}{\partial h_j} = \sum_i a_i \, \frac{\partial w_i}{\partial h_j}$$
#
# The slope $a_i$ along weight i, the slope of the gate, the token. The gate's, for a softmax over N logits, is
# $p_i(\delta_{ij} - p_j)$, with $\delta_{ij} = 1$ if $i = j$, otherwise 0. We check it by **finite differences**: move
# each logit a little both ways.

# %%
step = 1e-6
p = softmax(h)  # (N,)
moved = [(softmax(h + step * e) - softmax(h - step * e)) / (2 * step) for e in np.eye(4)]
jacobian = np.stack(moved, axis=1)  # (N, N): row i, column j
print(jacobian.round(3))
print(f"largest difference from the formula: {np.abs(jacobian - (np.diag(p) - np.outer(p, p))).max():.0e}")
print(f"largest sum of a column: {np.abs(jacobian.sum(axis=0)).max():.0e}")
for p_1 in (0.5, 0.9, 0.999):
    print(f"two experts, p_1 = {p_1}: slope of p_1 along its logit {p_1 * (1 - p_1):.4f}")
assert np.allclose(jacobian, np.diag(p) - np.outer(p, p), atol=1e-9)
assert np.allclose(jacobian.sum(axis=0), 0, atol=1e-9)

# %% [markdown]
# Each column sums to 0, and so does every gradient that comes through a softmax over these logits: they are moved
# against each other (not through sigmoids: [](lesson:12)). And a router that is sure has hardly any slope left: it is **saturated**.
#
# ## What each logit hears
#
# **Predict.** E1 would be perfect, and is cut. In form A its weight is 0, whatever its logit. In form B cut
# experts are part of the softmax: will descent `raise` or `lower` the logit of E1?

# %% name="predict-cut" tags=["predict"]
my_direction_of_E1 = ...  # form B, "raise" or "lower"

# %% [markdown]
# `torch.topk` returns values, which carry a gradient, and indices, which carry none.


# %%
def by_autograd(h, form, k=2, outputs=outputs):
    """h (N,), outputs (N, d) -> ∂L/∂h (N,)"""
    h, E = torch.tensor(h, requires_grad=True), torch.tensor(outputs)  # (N,), (N, d)
    values, selected = torch.topk(h, k)  # (k,) each
    w = torch.softmax(h, dim=-1)[selected] if form == "softmax_topk" else torch.softmax(values, dim=-1)  # (k,)
    loss = 0.5 * (w @ E[selected] - torch.tensor(target)).square().sum()
    return torch.autograd.grad(loss, h)[0].numpy()


# %%
compare(my_direction_of_E1, "raise" if by_autograd(h, "softmax_topk")[0] < 0 else "lower")
FORMS = {"A and B′": "topk_softmax", "B": "softmax_topk"}
print(f"{'':<12}{'E1 cut':>8}{'E2 kept':>9}{'E3 kept':>9}{'E4 cut':>8}")
for name, form in FORMS.items():
    print(f"{name:<12}" + "".join(f"{g:>8.4f} " for g in by_autograd(h, form) + 0.0))
router_gradient = np.outer(x, by_autograd(h, "topk_softmax")) + 0.0  # (d, N)
print("∂L/∂W_g in form A, a column for each expert:", router_gradient.round(3), sep="\n")
nudge = step * np.outer(np.eye(3)[1], np.eye(4)[2])  # (d, N): one entry
sides = [0.5 * np.sum((gate_weights(x @ W, 2) @ outputs - target) ** 2) for W in (W_g + nudge, W_g - nudge)]
assert np.isclose((sides[0] - sides[1]) / (2 * step), router_gradient[1, 2])
assert (by_autograd(h, "softmax_topk")[[0, 3]] > 0).all()
assert (by_autograd(h, "topk_softmax")[[0, 3]] == 0).all()

# %% [markdown]
# Form A raises E2, lowers E3 (descent goes against the sign), and tells E1 nothing. Times the token, that is the
# gradient of $W_g$: E2's prototype moves towards x, E3's away. Form B does tell E1 something, and it is *wrong*. With
# the slopes put into the sum, and S for the kept experts:
#
# | form | $\partial L/\partial h_j$ for a kept expert | for a cut expert |
# |---|---|---|
# | A, B′ | $w_j \left(a_j - \sum_{i \in S} w_i a_i\right)$ | 0 |
# | B | $p_j \left(a_j - \sum_{i \in S} p_i a_i\right)$ | $-p_j \sum_{i \in S} p_i a_i$ |
#
# A kept expert is compared with that sum (in A an average): below it, descent raises the logit.
#
# > **Myth: "the logit of a cut expert hears nothing."** So it is in A and B′, not in B. (Of the expert's own weights
# > the sentence is true: they see $\partial L/\partial E_i = w_i v$.)
#
# B's last formula holds no $E_j$. We replace E1 a thousand times and ask torch.


# %%
def by_hand(h, form, k=2):
    """The table's formulas. Every form has its own y, so its own v and a."""
    w = gate_weights(h, k, form)  # (N,)
    a = outputs @ (w @ outputs - target)  # (N,)
    p = softmax(h) if form == "softmax_topk" else w  # (N,)
    return p * ((w > 0) * a - w @ a)  # (N,)


gap = max(np.abs(by_hand(h, form) - by_autograd(h, form)).max() for form in FORMS.values())
print(f"the formulas and torch differ by at most {gap:.0e}")
v_B = gate_weights(h, 2, "softmax_topk") @ outputs - target  # (d,)
heard, dense = [], []
for new_E1 in 3 * np.random.default_rng(0).normal(size=(1000, 3)):
    other = np.vstack([new_E1, outputs[1:]])  # (N, d)
    heard.append(by_autograd(h, "softmax_topk", outputs=other)[0])
    dense.append(p[0] * (other @ v_B - p @ other @ v_B)[0])
print(f"form B, gradient at E1:       from {min(heard):.4f} to {max(heard):.4f}")
print(f"the same v, all experts run:  from {min(dense):.4f} to {max(dense):.4f}")
assert gap < 1e-12
assert np.allclose(by_hand(h, "softmax_topk_renorm"), by_hand(h, "topk_softmax"))
assert max(heard) == min(heard) > 0

# %% [markdown]
# Whatever E1 is, its logit hears one number, $\sum_S p_i a_i = y \cdot v$: would the loss fall if the whole output
# shrank? If so, all cut logits rise; if not, they fall.
#
# If all experts ran (last line), E1's quality would count. This is **straight-through**: the output of
# top-k, the gradient of the softmax over all N. It must run all N experts, so it saves nothing forward.
#
# **Question for the picture:** E1 is cut. Move `a of E1` from end to end: in which panels does anything change? Then
# raise `h of E1` to 0.30, the logit of E2. And which panel is empty at k = 1?

# %% name="picture-gradients"
Live(
    lambda k, h1, a1, a2, a3, a4: gradient_bars_svg([h1, *h[1:]], [a1, a2, a3, a4], k, ["h1", "a1", "a2", "a3", "a4"]),
    k=slider("k, kept", 2, 1, 4, 1),
    h1=slider("h of E1", -0.18, -2.0, 2.0, 0.01, expert=0),
    a1=slider("a of E1", -4.4, -5.0, 5.0, 0.1, expert=0),
    a2=slider("a of E2", -2.1, -5.0, 5.0, 0.1, expert=1),
    a3=slider("a of E3", -1.1, -5.0, 5.0, 0.1, expert=2),
    a4=slider("a of E4", -1.7, -5.0, 5.0, 0.1, expert=3),
)

# %% [markdown]
# You should see that `a of E1` moves only the lowest panel, as long as E1 is cut. At the tie E1 is kept (the lower
# index wins), and all panels know it. At k = 1 the panel of A and B′ is empty. (All panels take $a$ from the sliders;
# in the table each form has its own.)
#
# ## One expert, two experts
#
# **k = 1.** In A and B′ the router hears nothing (lesson 04). In B a chosen expert gets $p_i (1 - p_i)\, a_i$: if it
# helps at all, it is raised. **k = 2.** In A and B′ kept expert i gets $w_i w_j (a_i - a_j)$, where j is the other.
#
# > **Myth: "the router learns which expert is best."** Two kept experts that help, two that do harm, and the gradient
# > at the perfect E1 for every k:

# %%
weights = softmax(h[[2, 1]])  # (k,)
for a_kept in (np.array([-2.0, -1.0]), np.array([8.0, 9.0])):
    print("a of E3 and E2:", a_kept, " gradient:", (weights * (a_kept - weights @ a_kept)).round(4))
for k in range(1, 5):
    print(f"k = {k}, form A, gradient at E1: {by_hand(h, 'topk_softmax', k)[0] + 0.0:.4f}")
print("k = 1, form B, gradient at E1..E4:", by_hand(h, "softmax_topk", 1).round(3))
assert np.isclose(weights[0] * (a_kept[0] - weights @ a_kept), weights[0] * weights[1] * (a_kept[0] - a_kept[1]))
assert np.allclose(by_hand(h, "topk_softmax", 4), by_hand(h, "softmax_topk", 4))
assert by_hand(h, "softmax_topk", 1)[2] < 0 < by_hand(h, "softmax_topk", 1)[0]
assert by_hand(h, "topk_softmax", 2)[0] == 0 > by_hand(h, "topk_softmax", 3)[0]

# %% [markdown]
# Right is: in A and B′ it learns which of *the kept* is better. That all of them are bad, it does not learn. And E1,
# third by its logit, hears something from k = 3 on.
#
# ## How large the gradient is
#
# An expert receives $w_i v$. With k equal experts and weights that sum to 1 that is a k-th of v: an eighth for k = 8.
# Another way to hear less: the whole gradient, but in one step of eight, since other tokens choose other experts.
#
# SGD goes an eighth of the way in both cases. **Adam** divides a gradient by its usual size, the root of a running mean
# of its squares. So a *constant* eighth cancels: the way is as long as before.
#
# **Predict.** And heard in one step of eight: how many times shorter than before is the way that Adam goes?

# %% name="predict-rare" tags=["predict"]
my_ratio = ...  # a number


# %%
def way(optimizer, gradients):
    """How far a parameter moves, a step for each gradient"""
    theta = torch.nn.Parameter(torch.zeros(1))
    update = optimizer([theta], lr=0.01)
    for gradient in gradients:
        theta.grad = torch.tensor([gradient])
        update.step()
    return abs(theta.item())


heard = {"in full": [1.0] * 400, "an eighth": [1 / 8] * 400, "one step of 8": [1.0, *[0.0] * 7] * 50}
ways = {name: [way(each, g) for each in (torch.optim.SGD, torch.optim.Adam)] for name, g in heard.items()}
compare(my_ratio, ways["in full"][1] / ways["one step of 8"][1], within="15 %")
for name, (by_sgd, by_adam) in ways.items():
    print(f"{name:<14} SGD goes {by_sgd:.2f}, Adam {by_adam:.2f}: {ways['in full'][1] / by_adam:.2f} times shorter")
for start in (-2, -4, -6):
    print(f"eight logits, seven at 0 and one at {start}: its p is {softmax([0] * 7 + [start])[7]:.4f}")
assert np.isclose(*(ways[name][1] for name in ("in full", "an eighth")), rtol=1e-4)
assert 2.6 < ways["in full"][1] / ways["one step of 8"][1] < 3

# %% [markdown]
# In one step of eight: the mean gradient falls to 1/8, the root of the mean square to √(1/8), so Adam's way to about
# 1/√8. The last lines matter next: in B and straight-through, all that a cut logit hears is multiplied by its own
# $p_j$. Under SGD it hardly moves. Under Adam it moves like any other, if nothing larger comes its way.
#
# ## The blind spot, measured
#
# An expert that no token keeps is in the router's **blind spot**. We build a world with one. Its tokens come in **8
# groups**. Of its **8 frozen experts**, $E_i$ is exactly right for group i. The router, which alone learns, knows seven
# of the groups. **E8 is hidden**: its logit is −4 for every token, so nobody asks it.

# %% name="one-world"
torch.manual_seed(0)
frozen = torch.randn(8, 9, 9) / 3  # (N, d, d): E_i(x) = x @ frozen[i], never trained
W_start = 0.1 * torch.randn(9, 8)  # (d, N)
W_start[range(7), range(7)] += 1.0  # E1 to E7: a 1 in the row of their own group
W_start[:, 7] = torch.tensor([0.0] * 8 + [-4.0])  # E8: −4 times the ninth coordinate, nothing else


def draw(per_group=4):
    """Tokens, group after group (T, d); what all experts say of them (T, N, d); the target (T, d)"""
    group = torch.arange(8).repeat_interleave(per_group)  # (T,)
    x = 2 * torch.eye(8, 9)[group] + 0.5 * torch.randn(len(group), 9)  # (T, d): in group i coordinate i is near 2
    x[:, 8] = 1.0  # the ninth coordinate is the same for all tokens
    outputs = torch.einsum("td,nde->tne", x, frozen)  # (T, N, d)
    return x, outputs, outputs[torch.arange(len(group)), group]  # the target: what E_i says, for group i


middles = draw(200)[0].reshape(8, 200, 9).mean(dim=1)  # (8, d): the mean token of each group
print("its logits for E1 to E8, a row for each group:", (middles @ W_start).numpy().round(1), sep="\n")
assert (middles @ W_start).argmax(dim=1)[:7].tolist() == list(range(7))
assert (middles @ W_start)[7].argmin() == 7

# %% [markdown]
# Each group's favourite is on the diagonal, but group 8's. The whole training, in form A:


# %% name="one-loop"
def train(W_start, steps=300):
    """W_g after training (d, N), and the loss of each step"""
    torch.manual_seed(1)
    W_g, losses = torch.nn.Parameter(W_start.clone()), []
    optimizer = torch.optim.Adam([W_g], lr=0.02)
    for _ in range(steps):
        x, outputs, target = draw()  # (T, d), (T, N, d), (T, d)
        best, selected = (x @ W_g).topk(2)  # (T, k) each
        kept = outputs[torch.arange(len(x))[:, None], selected]  # (T, k, d)
        y = (best.softmax(dim=-1)[..., None] * kept).sum(dim=1)  # (T, d)
        loss = (y - target).square().mean()
        optimizer.zero_grad()  # forget the last step's gradient
        loss.backward()  # the three factors
        optimizer.step()  # move W_g
        losses.append(loss.item())
    return W_g.detach(), losses


W_end, losses = train(W_start)
print(f"loss, mean of the first 20 steps {np.mean(losses[:20]):.3f}, of the last 20 {np.mean(losses[-20:]):.3f}")
assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:20])

# %% [markdown]
# A router has **found** E8 if in the end it selects E8 for at least half of E8's tokens. One run is no evidence:
# `blind_spot.run` trains like this in 32 worlds, the same for each gate. `fair start` is for comparison: form A, E8's
# logit near
# 0. The 95 % interval holds the true rates that fit such a count.
#
# **Predict.** Adam, 300 steps. Form A cannot find E8, whose logit hears 0. In how many of 32 runs does form B find it,
# whose gradient at E8 knows nothing of E8?

# %% name="predict-found" tags=["predict"]
my_found_B = ...  # 0 to 32

# %% name="run-blind-spot" tags=["6 s"]
names = ("fair", "top_k_a", "top_k_b", "straight_through")
results = {name: blind_spot.run(name, 32) for name in tqdm(names, desc="methods")}


# %%
def show(result):
    """Print in how many runs E8 was found, with the interval, and in how many any of its tokens ever selected it."""
    asked = np.sum((result.share > 0).any(axis=0))
    (low, high), (loss, sd) = result.interval, result.final_loss
    print(f"{result.label:<28} found {result.found.sum():>2} of 32 ({low:.2f} to {high:.2f}), asked in {asked:>2},"
          f" loss {loss:.3f} ± {sd:.3f}")  # fmt: skip


compare(my_found_B, int(results["top_k_b"].found.sum()), within=3)
for result in results.values():
    show(result)

# %% [markdown]
# Even with a fair start some runs overlook it. Form B and straight-through bring it back in nearly
# every run. (Do not compare B's loss: its weights do not sum to 1.)
#
# **Draw it yourself:** your run of form A, its loss and $W_g$. Two lines are missing.

# %% name="draw-run"
import matplotlib.pyplot as plt

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.5), layout="constrained")
left.set(xlabel="training step", ylabel="loss")
...  # the losses, step by step: left.plot(…)
for ax, W, when in ((middle, W_start, "before"), (right, W_end, "after")):
    ax.set(title=f"W_g {when}: {W.min():.1f} to {W.max():.1f}", xlabel="expert, from 0", ylabel="row")
    ...  # W, a shade for each number: ax.imshow(…, cmap="gray", vmin=-4, vmax=4)
assert torch.equal(W_end[:, 7], W_start[:, 7])
assert all(W_end[i, i] > W_start[i, i] for i in range(7))
assert min(losses[100:]) > 0.03
plt.show()

# %% [markdown]
# <details><summary>Two lines that do it</summary>
#
# `left.plot(losses)` and `ax.imshow(W, cmap="gray", vmin=-4, vmax=4)`
#
# </details>
#
# You should see a jagged loss that falls to a floor above 0, a diagonal that gets lighter, and one column
# without any change: E8's.
#
# Did form B know that E8 is good? The **control**: the same worlds, but E8 now says the *opposite* of what is right for
# its group.
#
# **Predict.** In how many of 32 runs does form B now *ask* the harmful E8 (at some measurement, one of its tokens selects
# it)? And in how many has it found E8 in the end?

# %% name="predict-harmful" tags=["predict"]
my_asked = ...  # 0 to 32
my_found = ...  # 0 to 32

# %% name="run-harmful"
harmful = {
    f"{name}, harmful": replace(result, label=f"{result.label}, harmful")
    for name, result in ((n, blind_spot.run(n, 32, opposite=True)) for n in ("top_k_b", "straight_through"))
}

# %%
B = harmful["top_k_b, harmful"]
compare(my_asked, int(np.sum((B.share > 0).any(axis=0))), within=4)
compare(my_found, int(B.found.sum()), within=2)
for name, result in harmful.items():
    show(result)
    same = (result.margin == results[name.removesuffix(", harmful")].margin).all(axis=1)  # (measurements,)
    print(f"    E8's distance from the cut: as with the perfect E8 up to step {result.steps[same].max()}")

# %% [markdown]
# Form B lifts the harmful E8 exactly as it lifted the perfect one, to the last digit, until tokens begin to ask it.
# Then its $a_8$ enters, and the loss decides: the perfect one stays, the harmful one is held near the cut.
# Straight-through differs from the first step on: it has judged E8 *before* anyone asks.
#
# > **Myth: "a method that brings a forgotten expert back knows that it is good."** Right is: form B gets it asked. Its
# > worth is heard after that.
#
# **Question for the picture:** in both rows of gate B, when does E8 get its first tokens, and when do the rows part?

# %% name="picture-blind-spot"
shown = results | {"top_k_b, harmful": B}
Live(lambda step: blind_spot_svg(shown, step), play="step", step=slider("training step", 0, 0, 300, 10))

# %% [markdown]
# You should see straight-through before gate B. Both rows of gate B get their first tokens at about one time, then
# part: the harmful E8 never has many.
#
# ## In how many settings?
#
# The next table holds nine settings: Adam (rate 0.02) and SGD (rates 1 and 10), each with E8's first logit
# at −2, −4 and −6. A number is how many of 32 worlds found E8. A made-up row, `29 25 10   28 0 0   0 0 0   3 of 9`,
# would say: Adam 29, 25, 10 from the three starts; SGD at rate 1 28 from −2. In three settings most
# worlds found it (the interval lies above a half).
#
# Three more remedies, each for form A:
#
# - **balance loss** (lesson 09): $+\,\alpha N \sum_i f_i P_i$; it raises the logits of the little used;
# - **noise**, in training: $h_i + \sigma \xi_i$, with $\xi_i$ standard normal;
# - **random choice**, in training: with chance $\varepsilon$ a token's two experts are drawn blindly.
#
# **Predict.** Form B, straight-through, these three with several coefficients (α, σ, ε): in how many of the nine settings
# does the best of them bring E8 back in most worlds? (New worlds, from a file.)

# %% name="predict-settings" tags=["predict"]
my_best = ...  # 0 to 9

# %% name="many-settings"
study = blind_spot_study.load_results()
core = ("fair", "top_k_a", "top_k_b", "balance", "noise", "random", "straight_through")
found = {length: blind_spot_study.counts(study, length, core) for length in (300, 900)}
hidden = [row for rows in found.values() for row in rows.values() if len(row) == 9]
compare(my_best, max(map(blind_spot_study.most, hidden)))
for length, rows in found.items():
    print(f"worlds of 32 that found E8 after {length} steps\n{blind_spot_study.table(rows)}\n")
control = [trial for trial in study["trials"] if trial["opposite"]]
asked, kept = ([t for t in control if t["asked"]["300"]], [t for t in control if "1" in t["found"]["300"]])
print(
    f"the harmful E8, start −4, 300 steps: asked in {len(asked)} of {len(control)} trials (rows × settings), found in {len(kept)}:"
)
for t in kept:
    print(
        f"  {t['method']} {t['coefficient']}, {t['optimizer']} {t['learning_rate']}, {t['found']['300'].count('1')} worlds"
    )
both = {label: {s: [rows[label][s] for rows in found.values() if label in rows] for s in row}
        for label, row in found[300].items()}  # fmt: skip
under_adam = [both[label]["adam", 0.02, start] for start in (-2, -4, -6)
              for label in ("gate B", "straight-through", "balance loss 0.01", "random choice 0.1")]  # fmt: skip
assert set(map(tuple, both["gate A"].values())) == {(0, 0)}
assert min(map(min, under_adam)) >= 22
assert max(max(row["sgd", 1, -6]) for row in both.values() if len(row) == 9) == 0
for rows, coefficient in ((found[300], 0.3), (found[900], 0.1)):
    chance = rows[f"random choice {coefficient}"]
    assert all(row[column] <= chance[column] for row in rows.values() if len(row) == 9 for column in chance)
assert max(max(row["sgd", 10, -6]) for label, row in both.items() if len(row) == 9 and "random" not in label) < 4
assert min(both["random choice 0.1"]["sgd", 10, -6] + both["random choice 0.3"]["sgd", 10, -6]) >= 22
fair = [count for counts in both["fair start"].values() for count in counts]
assert min(min(counts) for counts in both["gate B, fair start"].values()) > max(fair)
assert list(found[300]["fair start"].values()) == [21, 24, 22]
assert list(found[300]["gate B, fair start"].values()) == [32, 31, 32]
assert max(both["noise 0.69"]["adam", 0.02, -2]) < 10 < 30 < min(both["noise 2.8"]["adam", 0.02, -2])
assert [(t["method"], t["coefficient"]) for t in kept] == [("balance", 1)]

# %% [markdown]
# **At both lengths:** no row has all nine, and form A finds E8 in no world. A gradient of exactly 0 moves nothing under
# any optimiser (weight decay, left out here, would pull E8's logit back towards 0).
#
# **Under Adam**, at its one rate, form B, straight-through, the balance loss and random choice bring E8 back in most
# worlds from every start; noise where it is large enough. **Under SGD** it hangs on rate and start. From −6 at rate 1
# nothing does, not even straight-through, which knows that E8 is right. From −6 at rate 10 random choice alone does.
# (Stronger coefficients: 300 steps only.)
#
# So a remedy's number hangs on the column: straight-through has 32 and 0. Random choice, at its largest coefficient, is
# behind in no column; it pays by trying blindly for ever. And part of form B's lead is the gate itself
# (`fair start` and `gate B, fair start`: after 300 steps 21, 24, 22 worlds against 32, 31, 32).
#
# The last lines are the control. A harmful E8 that was asked was not found, but for a few worlds of the strongest
# balance loss.

# %% [markdown]
# ## Recap
#
# 1. $\partial L/\partial W_g = x^\top\, \partial L/\partial h$, and each $\partial L/\partial h_j$ sums the slopes
#    $a_i$ times the slope of the gate.
# 2. A cut expert's logit hears exactly 0 in A and B′. In B it hears $-p_j\, (y \cdot v)$: whether the output should
#    shrink, and nothing about the expert. k = 1 renormalised hears nothing; k = 2 compares two.
# 3. A kept expert receives $w_i v$, in A on average 1/k of v. Adam all but removes a small, slowly changing factor,
#    such as the $p_j$ of a cut logit; SGD does not.
# 4. **Can a router learn that an expert it never asked would have done better?** Not before it is asked. In A and B′
#    its logit hears nothing; form B moves it blindly (here up); chance tries it. Once it is asked, its worth is heard.
#    Of these only straight-through knows before: it runs all experts.
# 5. Form A never found the hidden expert. In these steps no remedy found it in all nine settings: optimiser, rate,
#    start and coefficient decide.
#
# Of the four sentences, (1) is true, and (2) in A and B′. The others are false.
#
# **What this lesson cannot tell you:** what the blind spot costs in a large model. Our experts were frozen, one hidden
# on purpose.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:07).
# - Then a short mixed review of lessons 04 to 07: [](exercises:07r).
# - The code you used: [](module:experiments/blind_spot),
#   [](module:estimators) and [](module:losses).
# - Lesson 08: training a router.

# %% [markdown] name="deeper-tie" tags=["deeper"]
# ## Deeper: a wall
#
# The logit of E1 is moved by hand, up to the tie with E2 at 0.30 and beyond (form A, k = 2). With E1 cut the loss is
# 1.40.
#
# **Predict.** Just after the tie, is it about `1.40`, or clearly `lower`?

# %% name="predict-tie" tags=["predict", "deeper"]
my_loss_after_the_tie = ...  # "1.40" or "lower"

# %% name="deeper-tie-cell" tags=["deeper"]
moved = [np.array([h_1, *h[1:]]) for h_1 in (-0.18, 0.2, 0.2999, 0.3001, 0.4)]  # (N,) each
walked = [0.5 * np.sum((gate_weights(logits, 2) @ outputs - target) ** 2) for logits in moved]
compare(my_loss_after_the_tie, "lower" if walked[3] < walked[2] - 0.1 else "1.40")
for logits, loss in zip(moved, walked, strict=True):
    slope = by_hand(logits, "topk_softmax")[0] + 0.0
    print(f"logit of E1 {logits[0]:>7}: loss {loss:.3f}, slope along this logit {slope:.3f}")
assert walked[0] == walked[1] == walked[2] > 2 * walked[3]
assert round(walked[0], 2) == 1.40

# %% [markdown] name="deeper-z-loss" tags=["deeper"]
# The loss falls to less than half at a single point; before it the ground is flat. Gradient descent feels slopes.
#
# ## Deeper: the z-loss
#
# It pins down the level that a softmax leaves free (Zoph et al. 2022, arXiv:2202.08906, Eq. 5):
#
# $$L_z = \frac1T \sum_t \big(\mathrm{LSE}_t\big)^2, \quad \mathrm{LSE}_t = \ln \sum_j e^{h_{tj}}, \qquad
# \frac{\partial L_z}{\partial h_{tj}} = \frac2T\, \mathrm{LSE}_t\; p_{tj}$$
#
# Its purpose is round-off (lesson 02b). What does this loss alone do to the logits of
# lesson 01, moved 10 up or 10 down, and to a router that is sure?

# %% name="deeper-z-loss-cell" tags=["deeper"]
several = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()  # (T, N)
(by_torch,) = torch.autograd.grad(z_loss(several), several)
plain = several.detach().numpy()  # (T, N)
formula = 2 / 6 * log_sum_exp(plain)[:, None] * softmax(plain)  # (T, N)
print(f"largest difference from the formula: {np.abs(by_torch.numpy() - formula).max():.0e}")
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
assert np.allclose(by_torch, formula)
assert softmax(starts["sure, +10"]).max() > 0.999
assert softmax(after).max() < 0.3

# %% [markdown] name="deeper-z-loss-sides" tags=["deeper"]
# Under plain descent every LSE reaches 0. The gradient is proportional to $p_j$, so the largest logit moves most. From
# above 0 the logits are drawn together; *up* from −10 they are torn apart.
#
# > **Myth: "the z-loss prevents saturation."** What does it charge a router that is sure, and one that is undecided?

# %% name="deeper-z-loss-myth" tags=["deeper"]
for row in ([0.0, -100.0, -100.0, -100.0], [5.0, 5.0, 5.0, 5.0]):
    print(f"logits {row}: z-loss {z_loss(torch.tensor([row])):.1f}, p {softmax(row).round(3)}")
assert z_loss(torch.tensor([[0.0, -100.0, -100.0, -100.0]])) == 0

# %% [markdown] name="deeper-straight-through" tags=["deeper"]
# Right is, under plain descent: above LSE 0 it flattens, at 0 it does nothing, below 0 it sharpens.
#
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

# %% [markdown] name="deeper-code-bases" tags=["deeper"]
# > **Myth: "MoE layers use a straight-through estimator."** Then the router's gradient would change with the weights of
# > a cut expert.


# %% name="deeper-code-bases-cell" tags=["deeper"]
def router_gradients(seed):
    """Return ∂L/∂W_g of a sparse layer and of the straight-through estimator, before and after E_cut changed."""
    torch.manual_seed(seed)
    layer, x, goal = MoELayer(8, 16, 4, 2, gate="softmax_topk"), torch.randn(1, 8), torch.randn(1, 8)
    cut = int(layer(x, return_routing=True)[1].logits.argmin())
    found = []
    for _ in ("before", "after"):
        experts = torch.stack([layer.experts.one(i, x) for i in range(4)], dim=-2)  # (T, N, d)
        for y in (layer(x), straight_through(x @ layer.router.W_g, experts, 2, "softmax_topk")):
            found.append(torch.autograd.grad((y - goal).square().sum(), layer.router.W_g)[0])
        state = layer.state_dict()
        state["experts.W2"][cut] += 1
        layer.load_state_dict(state)
    return found  # four of shape (d, N)


runs = [router_gradients(seed) for seed in range(20)]
same = {"our layer": [torch.equal(sparse, after) for sparse, _, after, _ in runs],
        "straight-through": [torch.allclose(dense, after) for _, dense, _, after in runs]}  # fmt: skip
print("seeds of 20 in which it is the same as before:", {name: sum(seeds) for name, seeds in same.items()})
assert [sum(seeds) for seeds in same.values()] == [20, 0]

# %% [markdown] name="deeper-default" tags=["deeper"]
# Right is: in the code that we read (DeepSpeed's `sharded_moe.py`, the `router.py` of Megatron and MegaBlocks, the
# `model.py` of gpt-oss and DeepSeek-V3) autograd differentiates the *kept weights* alone. Phi-MoE
# (`modeling_phimoe.py` in `transformers`) writes its own backward, but reads no cut expert.
#
# ## Deeper: two more remedies
#
# **Default vector** (Panda et al. 2025, arXiv:2504.12463): form B, with the mean of its past outputs in place of a cut
# expert. It starts at 0, so an expert that was never chosen hears what it hears in form B.

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
# **ReLU routing** (Wang et al. 2024, arXiv:2412.14711): $w_i = \max(h_i, 0)$, without top-k; a penalty keeps about k
# weights above 0. Below 0 an expert hears nothing, as in form A. In the nine settings the default vector finds E8 where
# form B does, ReLU routing never (nor, at rate 10, from its own fair start):

# %% name="deeper-relu-cell" tags=["deeper"]
for h_1 in (-0.5, -0.001, 0.001, 0.5):
    logits = torch.tensor([h_1, *h[1:]], requires_grad=True)  # (N,)
    loss = 0.5 * (relu_weights(logits) @ E - torch.tensor(target)).square().sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    print(f"logit of E1 {h_1:>6}: loss {loss.item():.3f}, slope along it {gradient[0].item() + 0.0:.3f}")
two = ("default_vector", "relu_fair", "relu")
for length in (300, 900):
    rows = blind_spot_study.counts(study, length, two)
    print(f"after {length} steps\n{blind_spot_study.table(rows)}")
    assert all(abs(count - found[length]["gate B"][setting]) <= 2 for setting, count in rows["default vector"].items())
    assert set(rows["ReLU routing"].values()) == {0}
