# %% [markdown]
# # 09 · Keeping experts alive: load balancing
#
# **What happens to an expert that nobody asks, and what does it cost to have all of them asked?**
#
# You will be able to
#
# 1. follow one expert's head start through training, and find in the gradient what becomes of it;
# 2. measure balance by load, CV, MaxVio and dead experts, against what chance alone does;
# 3. write the Switch balance loss, and say which factor carries its gradient and what its value tells;
# 4. explain importance, load, and what Shazeer's noise is for;
# 5. read a table of methods, from two starts and at two lengths: what balances, and what that does to the task error;
# 6. weigh a popular claim against published figures and against a language model.
#
# **Before:** lessons 04, 05 and 07. **Time:** {{minutes}}.
#
# Which of these do you believe? (1) Without a balance loss, training collapses: a few experts take all. (2) An expert
# that no token chooses learns nothing from the task. (3) The balance loss is smallest at balance. (4) Noise in the
# router does what a balance loss does. (5) A router that throws fair dice has uneven loads, too. (6) The more balance,
# the better.

# %% name="setup" tags=["setup"]
from functools import partial

import numpy as np
import torch

from moe_lessons.experiments import balancing_runs, balancing_study, language_balancing
from moe_lessons.experiments.balancing_study import Setting, gap, values
from moe_lessons.checks import compare, reveal
from moe_lessons.data import clustered_regression
from moe_lessons.figures.balancing import balancing_svg, idle_strength
from moe_lessons.figures.spread import Spread, spread_svg
from moe_lessons.figures.still import Picture
from moe_lessons.layer import MoELayer, top_k_indices
from moe_lessons.losses import cv_squared, load_balancing_loss, smooth_load
from moe_lessons.metrics import coefficient_of_variation, dead_experts, expert_load, max_violation
from moe_lessons.routing import softmax
from moe_lessons.support.progress import tqdm
from moe_lessons.widgets.live import Live, choice, slider

# %% [markdown]
# ## One expert starts ahead
#
# The smallest case: one token, four experts that are **copies** of each other. Each says half of what the
# target asks for. Only the logits differ: E1 has 0.1, the others 0. One expert is active, k = 1, and its weight is
# its probability (form B, as in Switch).
#
# **Predict.** We take 30 steps of gradient descent on the logits and on the experts. Does the probability of E1 `stay`
# near .27, `grow`, or `shrink`?

# %% name="predict-copies" tags=["predict"]
my_probability_of_E1 = ...  # "stay", "grow" or "shrink"


# %%
def descend(learning, says=0.5, steps=30, lr=0.5):
    """Train logits (N,) and, if `learning`, the outputs (N, d) of four copies; k = 1, form B. By hand."""
    h, target = np.array([0.1, 0.0, 0.0, 0.0]), np.array([1.0, -1.0])  # (N,), (d,)
    E = np.tile(says * target, (4, 1))  # (N, d)
    film = []
    for _ in range(steps + 1):
        p, i = softmax(h), int(h.argmax())  # (N,), the chosen expert
        v = p[i] * E[i] - target  # (d,), ∂L/∂y
        film.append((p[0], E @ target / 2, np.linalg.norm(v)))  # p of E1, how much each expert says, error
        h = h - lr * p[i] * (v @ E[i]) * (np.eye(4)[i] - p)  # lesson 07, form B
        if learning:
            E[i] -= lr * p[i] * v
    return film


films = {learning: descend(learning) for learning in (True, False)}
first, *_, last = (p_1 for p_1, _, _ in films[True])
compare(my_probability_of_E1, "grow" if last > first + 0.01 else "shrink" if last < first - 0.01 else "stay")
for learning, film in films.items():
    print("experts learn" if learning else "experts frozen")
    for step in (0, 5, 10, 30):
        p_1, says, error = film[step]
        print(f"  step {step:>2}: p of E1 {p_1:.2f}, experts say {says.round(2)} of the target, error of y {error:.2f}")
    print(f"  had they said 0 at first: p of E1 at step 30 {descend(learning, says=0)[30][0]:.2f}")
    assert film[0][0] < 0.28 < 0.6 < film[30][0]
    assert (film[30][1][1:] == 0.5).all()
assert films[False][30][0] > films[True][30][0] + 0.2
assert descend(False, says=0)[30][0] < 0.28 < 0.6 < descend(True, says=0)[30][0]
assert films[False][30][2] > 0.5 > 0.1 > films[True][30][2]

# %% [markdown]
# It grows. **The probability:** E1 points the right way, so $a_1 = v \cdot E_1 < 0$, and in
# form B the gradient then raises the logit of whoever was asked and lowers the others (lesson 07). **The skill:** E1
# gets a gradient, the others none. Once y is right, both stop, and nobody has found out what E2 could have become.
#
# This growth needs no learning: behind frozen experts p is pushed even further. What Shazeer et al. (2017,
# arXiv:1701.06538) call self-reinforcing is another loop: who is asked is trained more, and asked more. It shows where the
# experts say 0 at first: only if they learn does p grow.
#
# The same in a real layer, before its first step. Sixteen clusters of tokens, eight experts, k = 1. The router has a
# bias, and **we start it uneven**: 1 for E1 and E2, 0 for the others.

# %%
torch.manual_seed(0)
layer = MoELayer(16, 16, 8, 1, gate="softmax_topk", bias=True)
with torch.no_grad():
    layer.router.bias[:2] = 1.0
data, _ = clustered_regression(T=256, d=16, seed=0)
x, target = (torch.tensor(a, dtype=torch.float32) for a in (data.x, data.y))  # (T, d) each
y, routing = layer(x, return_routing=True)
(y - target).square().mean().backward()
load = expert_load(routing.selected.numpy(), 8)  # (N,)
size = layer.experts.W2.grad.norm(dim=(1, 2)).numpy()  # (N,)
print("share of the tokens: ", load.round(2))
print("gradient it receives:", (size / size.sum()).round(2), "(as a share)")
assert load[:2].sum() > 0.5
assert (size[load == 0] == 0).all()
assert (size[load < 0.05] < 0.05 * size.sum()).all()

# %% [markdown]
# Next to no tokens, next to no gradient; E7 has none and gets exactly 0.
#
# ## Four measures
#
# The **load** of an expert is its share of the assignments. All loads sum to 1, and balance is 1/N. **CV**: standard
# deviation over mean. **MaxVio**: how far the largest load is above the mean, as a multiple of the mean (Wang et al.
# 2024, arXiv:2408.15664). **Dead** experts: those below 1 % of the mean.

# %%
selections = {  # the expert of each of 16 tokens, k = 1
    "balanced": np.tile(np.arange(8), 2),
    "two favourites": np.array([0] * 6 + [1] * 4 + [2, 3, 4, 5, 6, 7]),
    "half is dead": np.tile(np.arange(4), 4),
    "all to one": np.zeros(16, dtype=int),
}
for name, selected in selections.items():
    load = expert_load(selected[:, None], 8)  # (N,)
    print(f"{name:<15} CV {coefficient_of_variation(load):.2f}, MaxVio {max_violation(load):.2f}, "
          f"dead {len(dead_experts(load))}, largest load {load.max():.2f}")  # fmt: skip
assert np.isclose(max_violation(expert_load(selections["all to one"][:, None], 8)), 7)
assert np.isclose(coefficient_of_variation(expert_load(selections["half is dead"][:, None], 8)), 1)

# %% [markdown]
# If each expert sits on its own device, a step takes as long as the busiest one: 1 + MaxVio times the balanced time.
#
# **Collapse** has no agreed border. Ours: a layer has collapsed where **CV is 1 or more**. It is then as
# uneven as if half of the experts, or fewer, shared all the work (third line; CV² = N/m − 1, lesson 08).
#
# And a perfectly fair router that decides by dice?

# %%
rng = np.random.default_rng(0)
for tokens in (64, 256, 2048, 65536):
    loads = np.stack([np.bincount(rng.integers(8, size=tokens), minlength=8) / tokens for _ in range(500)])
    by_chance = max_violation(loads)  # (500,)
    print(f"{tokens:>5} tokens: MaxVio {by_chance.mean():.2f}, 95 % of draws below {np.quantile(by_chance, 0.95):.2f}")
    if tokens == 2048:
        CHANCE = np.quantile(by_chance, 0.95)

# %% [markdown]
# That is the **null**: never 0. We measure on 2,048 tokens.
#
# ## Two starts, without balancing
#
# We train router, bias and experts, 300 steps, five seeds. `fair start`: nobody is ahead. `no balancing`: the uneven
# start. `top-2`: the uneven start, k = 2 and form A.
#
# **Predict.** With k = 1 and the uneven start, how many of eight experts are dead at the end, on average? And with
# the fair start?

# %% name="predict-dead" tags=["predict"]
my_dead_uneven = ...  # a number from 0 to 7
my_dead_fair = ...

# %% name="run-baselines" tags=["6 s"]
results = {}
for name in tqdm(("fair", "none", "top_2"), desc="baselines"):
    results |= balancing_runs.run(name)
none, fair, top_2 = (results[name, 0.0] for name in ("none", "fair", "top_2"))
compare(my_dead_uneven, none.dead[-1].mean(), within=1)
compare(my_dead_fair, fair.dead[-1].mean(), within="a factor of 1.5")
print(balancing_runs.table(results))
print("dead at the end, by seed: uneven", none.dead[-1], "fair", fair.dead[-1], "top-2", top_2.dead[-1])
print("MaxVio of top-2 by seed: at the start", top_2.max_violation[0].round(2), "end", top_2.max_violation[-1].round(2))
assert none.cv[0].mean() > 1.3 > 1.1 > top_2.cv[0].mean()
assert (none.dead[-1] > none.dead[0]).all()
assert none.dead[-1].mean() > fair.dead[-1].mean() > top_2.dead[-1].mean()
assert (fair.load[-1].max(axis=1) < 0.5).all()
assert (top_2.max_violation[-1] < top_2.max_violation[0]).all()
third = int(np.searchsorted(none.steps, 100))
assert none.dead[third].mean() - none.dead[0].mean() > 0.5 * (none.dead[-1].mean() - none.dead[0].mean())

# %% [markdown]
# ± is the standard deviation over the five seeds; task error is the share of the target's variance that is left (1:
# guessing the mean); entropy is that of p, in nats, at most ln 8 = 2.08. From the uneven start experts are dead after 300
# steps in every seed, from the fair one in most. And top-2, from the *uneven* start, gets *more* balanced by itself.
#
# ## The Switch loss
#
# Fedus et al. (2021, arXiv:2101.03961, Eq. 4-6) add, with a small coefficient α,
#
# $$L_{\text{bal}} = N \sum_i f_i P_i, \qquad f_i = \text{share of tokens sent to } E_i, \qquad
# P_i = \text{mean over tokens of } p_{ti}$$
#
# Four tokens, three experts:

# %%
h = torch.tensor([[2.0, 1.0, 0.0], [1.5, 0.5, 0.0], [1.0, 0.0, 0.5], [0.0, 1.0, 0.2]], requires_grad=True)  # (T, N)
p = h.softmax(dim=-1)  # (T, N)
P = p.mean(dim=0)  # (N,)
f = torch.bincount(h.argmax(dim=-1), minlength=3) / 4  # (N,)
loss = 3 * (f * P).sum()
print("f:", f.numpy(), " P:", P.detach().numpy().round(3), f" loss: {loss.item():.3f}")
print("f has a gradient:", f.requires_grad, " P has a gradient:", P.requires_grad)
print(f"the package's load_balancing_loss: {load_balancing_loss(h, 1).item():.3f}")
assert torch.isclose(loss, load_balancing_loss(h, 1))
assert P.requires_grad
assert not f.requires_grad

# %% [markdown]
# f counts. A count has no slope. **Only P carries the gradient.**
#
# **Predict.** E3 got no token, $f_3 = 0$. Will descent `raise` its logits, `lower` them or `leave` them?

# %% name="predict-direction" tags=["predict"]
my_direction_of_E3 = ...  # "raise", "lower" or "leave"

# %%
(by_torch,) = torch.autograd.grad(loss, h)  # (T, N)
of_E3 = by_torch[:, 2]  # (T,)
compare(my_direction_of_E3, "raise" if (of_E3 < 0).all() else "lower" if (of_E3 > 0).all() else "leave")
print(by_torch.numpy().round(3))

# %% [markdown]
# Raised, for every token: unlike the task loss in form A, this one reaches experts that were cut. **f decides the
# sign.** With the slope of the softmax from lesson 07:
#
# $$\frac{\partial L_{\text{bal}}}{\partial h_{tj}} = \frac NT\, p_{tj} \Big( f_j - \sum_i f_i\, p_{ti} \Big)$$

# %%
formula = 3 / 4 * p * (f - (p * f).sum(dim=-1, keepdim=True))  # (T, N)
print("largest difference from the formula:", (by_torch - formula).abs().max().item())
assert torch.allclose(by_torch, formula, atol=1e-7)

# %% [markdown]
# For each token, logits of experts that are busier than *this token's* average, $\sum_i f_i\, p_{ti}$, go down, the
# others up. At even load the gradient is 0, whatever P is; and a token that is certain of its expert is not moved either
# (*deeper*).
#
# ## What its value tells
#
# **Predict.** A router whose weights are all 0 gives equal logits, and of equal logits our layer takes the lowest
# index. Every token goes to E1. What is the balance loss?

# %% name="predict-zero-router" tags=["predict"]
my_loss_of_the_zero_router = ...  # a number

# %%
zero = torch.zeros(100, 8)  # (T, N)
compare(my_loss_of_the_zero_router, load_balancing_loss(zero, 1).item())
for k in (1, 2):
    load = expert_load(top_k_indices(zero, k).numpy(), 8)  # (N,)
    print(f"k = {k}: loads {load}, loss {load_balancing_loss(zero, k):.4f}, MaxVio {max_violation(load):.0f}")
assert np.isclose(load_balancing_loss(zero, 1), 1)
assert np.isclose(load_balancing_loss(zero, 2), 1)

# %% [markdown]
# Exactly 1, in the worst collapse there is: P is uniform, and then f does not matter. At an even load it is 1 too.
#
# > **Myth: "the balance loss is smallest at balance."** 75 tokens of two experts are at (.51, .49), 25 are at (0, 1):

# %%
split = torch.tensor([[0.51, 0.49]] * 75 + [[1e-30, 1.0]] * 25).log()  # (T, N)
print(f"loads {expert_load(split.argmax(dim=-1, keepdim=True).numpy(), 2)}, loss {load_balancing_loss(split, 1):.4f}")
assert np.isclose(load_balancing_loss(split, 1), 0.8825)

# %% [markdown]
# Right is: 1 is the minimum if f = P. Where much probability lies on experts that are rarely first, the value falls
# below 1, with 64 experts as far as 0.06 (*deeper*). The *gradient* still raises their logits, where tokens
# are not certain. Train with it, but watch MaxVio and the dead.
#
# ## Importance and load
#
# Shazeer et al. (2017) had two losses, both a **CV²**, 0 at balance. *Importance* sums each
# expert's gate weights, $\text{Importance}_i = \sum_t w_{ti}$ (Eq. 6-7). Is equal importance equal load?

# %%
weights = torch.tensor([[0.9, 0.0], [0.0, 0.3], [0.0, 0.3], [0.0, 0.3]])  # (T, N), dense: k = 1, form B
importance, count = weights.sum(dim=0), (weights > 0).sum(dim=0).float()  # (N,) each
print(f"importance {importance.numpy().round(2)}, CV² {cv_squared(importance):.2f}")
print(f"tokens     {count.numpy()}, CV² {cv_squared(count):.2f}, has a gradient: {count.requires_grad}")
assert cv_squared(importance) < 1e-6
assert cv_squared(count) > 0.2

# %% [markdown]
# No: one strong weight balances three faint ones. So they wanted equal *counts* as well, their "load", and met the problem
# of f: counts have no gradient. **That is what their noise is for.** In training each logit gets normal
# noise of a learned size, $\mathrm{sd}_i = \mathrm{softplus}\big((x W_{\text{noise}})_i\big)$. Then "is $E_i$
# selected?" becomes a probability, and it changes smoothly:
#
# $$\Pr(x, i) = \Phi\!\left(\frac{h_i - \text{(the k-th largest noisy logit of the others)}}{\mathrm{sd}_i}\right),
# \qquad \text{Load}_i = \sum_t \Pr(x_t, i)$$
#
# Φ(z) is the chance that a normal draw is below z. Only $E_i$ draws anew; the others keep their noise. So their Load is a
# smooth count, with a slope (Appendix A; *deeper*). A second use: $W_g$ and $W_{\text{noise}}$ start
# at 0, so at first the noise alone decides, and loads are even before the losses work.
#
# From their Table 6 (a language model with 256 experts; perplexity is $e$ to the loss; no spread is given):
#
# | weights of importance and load | perplexity | CV of load | largest / mean load |
# |---|---|---|---|
# | 0, 0 | 39.8 | 3.01 | 17.80 |
# | 0.2, 0 | 35.6 | 0.17 | 1.47 |
# | 0, 0.2 | 35.7 | 0.04 | 1.15 |
# | 0.01, 0.01 | 35.7 | 0.11 | 1.37 |
# | 1, 1 | 35.7 | 0.02 | 1.07 |
#
# Without a loss the load is collapsed, and perplexity some 4 worse; the others hardly differ in it.
#
# ## The Switch loss, from the uneven start
#
# **Predict.** The five seeds of before, the uneven start, and α = 0.01 (the paper's), 0.1 or 1. Is 0.01 `enough` for a
# MaxVio below 0.5? And which α leaves the lowest task error?

# %% name="predict-alpha" tags=["predict"]
my_switch = ...  # "enough" or "not enough"
my_alpha = ...  # 0.01, 0.1 or 1

# %% name="run-switch"
ALPHAS = (0.01, 0.1, 1.0)
switch = balancing_runs.run("switch", coefficients=ALPHAS)
results |= switch
violation = {alpha: results["switch", alpha].max_violation[-1].mean() for alpha in ALPHAS}
compare(my_switch, "enough" if violation[0.01] < 0.5 else "not enough")
compare(my_alpha, min(ALPHAS, key=lambda alpha: results["switch", alpha].error[-1].mean()))
print(balancing_runs.table(switch))
assert violation[1.0] < violation[0.1] < 0.5 < violation[0.01]
assert min(ALPHAS, key=lambda alpha: results["switch", alpha].error[-1].mean()) == 0.1
assert results["switch", 0.1].dead[-1].max() == 0
assert (results["switch", 1.0].entropy[-1] > results["switch", 0.1].entropy[-1]).all()

# %% [markdown]
# **Question for the picture:** choose `no balancing` and drag the step: which experts disappear, and when? Then the Switch
# loss: from which coefficient on do all eight survive?

# %% name="picture-balancing"
Live(
    partial(balancing_svg, results),
    idle=partial(idle_strength, results),
    play="step",
    method=choice("method", {results[key].label: key[0] for key in results}, "none"),
    strength=slider("coefficient, weakest first", 1, 1, 3, 1),
    step=slider("training step", 300, 0, 300, 15),
)

# %% [markdown]
# You should see thin bands that vanish early under `no balancing`. With α = 0.1 all eight stay.
#
# ## Two starts, two lengths
#
# That was one start, and the seeds that chose α = 0.1. `balancing_study` has **20 fresh seeds**,
# **both starts**, 300 and 1,200 steps, and more methods:
#
# - importance, and importance + load, with the coefficient λ;
# - noise alone, `factor` times its learned size;
# - top-2 in both forms;
# - a **bias** for each expert, in the selection alone (lesson 10b): each step raises it by u where the load is too
#   small, and lowers it where it is too large.
#
# **Predict.** After 1,200 steps, the Switch loss with α = 0.1 from the *uneven* start, and no balancing from the *fair* one:
# is the first `ahead`, `behind`, or `neither`? And without balancing, from the uneven start: how many experts are dead?

# %% name="predict-study" tags=["predict"]
my_effect = ...  # "ahead" (a lower task error), "behind" or "neither"
my_dead_later = ...  # a number from 0 to 7

# %% name="see-study"
study = balancing_study.load_results()
lost = values(study, Setting("uneven", "none"), 1200, "dead")  # (seeds,)
effect = gap(study, Setting("uneven", "switch", 0.1), Setting("fair", "none"), 1200)
compare(my_effect, "ahead" if effect.high < 0 else "behind" if effect.low > 0 else "neither")
compare(my_dead_later, lost.mean(), within=0.5)
for start in ("uneven", "fair"):
    print(balancing_study.overview(study, start), end="\n\n")
assert effect.high < 0
assert lost.mean() < values(study, Setting("uneven", "none"), 300, "dead").mean() - 1

# %% [markdown]
# (Means; spread and other coefficients: *deeper*.) Runs of one seed share task, first weights and batches, so we compare
# in pairs, with a 95 % interval over seeds:

# %% name="see-pairs"
from_fair, from_uneven = (partial(Setting, start) for start in ("fair", "uneven"))
pairs = [
    (from_uneven("none"), from_fair("none")),
    (from_uneven("switch", 0.1), from_uneven("none")),
    (from_fair("switch", 0.1), from_fair("none")),
    (from_fair("bias", 0.01), from_fair("none")),
    (from_uneven("switch", 0.1), from_fair("none")),
    (from_uneven("switch", 1.0), from_uneven("switch", 0.1)),
    (from_fair("switch", 1.0), from_fair("switch", 0.1)),
    (from_uneven("noise", 4.0), from_uneven("none")),
    (from_uneven("importance_load", 0.01), from_uneven("switch", 0.1)),
    (from_uneven("importance_load", 0.1), from_uneven("switch", 0.1)),
]
gaps = [[gap(study, *pair, steps) for pair in pairs] for steps in (300, 1200)]
assert all(found.low > 0 for row in gaps for found in (row[0], *row[5:8]))
assert all(found.high < 0 for found in (*gaps[0][1:4], *gaps[1][1:5]))
assert gaps[0][8].high < 0 < gaps[0][9].low
assert gaps[1][9].high < 0 < gaps[1][8].high
quiet = [gap(study, start("noise", 1.0), start("none"), steps, "max_violation") for start in (from_uneven, from_fair)
         for steps in (300, 1200)]  # fmt: skip
assert quiet[0].high < 0 < quiet[3].low
assert all(found.low < 0 < found.high for found in quiet[1:3])
still = values(study, from_uneven("none"), 1200, "cv") >= 1  # (seeds,)
assert 0.4 < still.mean() < 0.8
dead = partial(values, study, measure="dead")
assert [round(dead(from_uneven(*arm), 1200).mean(), 2) for arm in (("noise", 1.0), ("none", 0.0))] == [2.5, 0.55]
assert [(values(study, from_fair("none"), steps, "cv") >= 1).sum() for steps in (300, 1200)] == [2, 0]
balance = partial(values, study, measure="max_violation")
for steps in (300, 1200):
    assert balance(from_uneven("noise", 4.0), steps).mean() > 4 * balance(from_uneven("switch", 0.1), steps).mean()
    assert (dead(from_uneven("importance", 1.0), steps) > 0).sum() == 11
    assert dead(from_fair("importance", 1.0), steps).max() == 0
    assert max(values(study, from_uneven(name), steps, "cv").max() for name in ("top_2", "top_2_b")) < 1
for start in (from_fair, from_uneven):
    assert balance(start("switch", 1.0), 300).mean() < balance(start("switch", 0.1), 300).mean()
    assert abs(balance(start("switch", 1.0), 1200).mean() - balance(start("switch", 0.1), 1200).mean()) < 0.04
    assert max(balance(start("switch", alpha), 1200).mean() for alpha in (0.1, 1.0)) < CHANCE
    entropies = [values(study, start("switch", alpha), 1200, "entropy") for alpha in (0.1, 1.0)]
    assert (entropies[0] < entropies[1]).all()
in_pairs = {f"{left} − {str(right).removeprefix(f'{left.start}: ')}": row
            for (left, right), row in zip(pairs, zip(*gaps, strict=True), strict=True)}  # fmt: skip
Picture(
    spread_svg({name: [Spread(*g[:3]) for g in row] for name, row in in_pairs.items()},
               ["300 steps", "1,200 steps"], "difference in task error, with its 95 % interval"),
    "\n".join(f"{name:<62}" + "   ".join(f"{g.mean:+.3f} [{g.low:+.3f}, {g.high:+.3f}]" for g in row)
              for name, row in in_pairs.items()),
)  # fmt: skip

# %% [markdown]
# At the rate 0.005:
#
# - **The head start wears off, slowly.** Without balancing most of the dead are back by step 1,200. Of 20 layers 12 are
#   still collapsed, and the error is behind.
# - **Balance gains more than the head start cost.** From a fair start, too, the Switch loss and the bias lower the
#   error. After 1,200 steps the *uneven* start with the loss is ahead of the *fair* one without.
# - **Importance alone** (λ = 1), from the uneven start, leaves experts dead in 11 of 20 seeds, at both lengths. A cut
#   expert's own weight is a constant 0, and what others' weights do to its logit partly cancels (*deeper*).
# - **What was chosen early need not last.** Importance + load: after 300 steps λ = 0.01 leads the Switch loss, after 1,200
#   λ = 0.1.
# - **top-2** is collapsed in no seed, in neither form. But it starts less uneven: from a head start of 2 neither form
#   prevents it (*deeper*). It costs twice the expert work.
#
# At 0.01 and 0.02 the gain from a fair start stays (*deeper*). Another task could change it: our clusters are equally
# large, and an even load suits them.
#
# > **Myth: "noise does what a balance loss does."** Right is (*deeper*): of the paper's size it makes loads more even from
# > the uneven start after 300 steps, not after 1,200 (then 2.5 experts are dead, without it 0.55), and at neither from the
# > fair start. Four times as large it spreads those of the uneven start at both lengths, most while it is on; but less than
# > a loss does, and at twice its error.
#
# > **Myth: "the more balance, the better."** Right is, from both starts: after 300 steps α = 1 is more even than 0.1, and
# > worse. After 1,200 both are as even as dice, and α = 1 is still worse: it keeps the router unsure (entropy).
#
# ## The claim, in a language model
#
# "Without a balance loss, training collapses." For it: Shazeer's table and OLMoE (2024, arXiv:2409.02060, Fig. 10):
# without it all tokens of the first layer went to one of 8 experts, later two, and the loss was higher. Against it: our
# toy from a fair start, collapsed in 2 of 20 seeds after 300 steps, in none after 1,200 (why, we did not test). So
# `language_balancing` asked the language model of lesson 11: four layers of eight experts, k = 2, form A, text and
# code. Four ways: without balancing, with the Switch loss (α = 0.01), with a bias, with both; three seeds, 500 and
# 1,500 steps.
#
# **Predict.** Without balancing, after 1,500 steps: how many of the four layers have collapsed (CV of 1 or more), on
# average? And is the loss on held-out text, compared with the Switch loss, `higher` in all three seeds, `lower` in all,
# or `neither`?

# %% name="predict-language" tags=["predict"]
my_collapsed_layers = ...  # a number from 0 to 4
my_price = ...  # "higher", "lower" or "neither"

# %% name="see-language"
study_language = language_balancing.load_results()
language = partial(language_balancing.of, study_language)
cv = {steps: coefficient_of_variation(language("none", steps, "load")) for steps in (500, 1500)}  # (seeds, layers) each
collapsed = {steps: (cv[steps] >= 1).sum(axis=1) for steps in cv}  # (seeds,) each
price = {(arm, steps): language("none", steps, "loss") - language(arm, steps, "loss")  # (seeds,)
         for arm in ("switch", "bias", "both") for steps in cv}  # fmt: skip
compare(my_collapsed_layers, collapsed[1500].mean(), within=0.5)
compare(my_price, {0: "lower", 3: "higher"}.get(int((price["switch", 1500] > 0).sum()), "neither"))
print(language_balancing.table(study_language))
for steps, of_layers in cv.items():
    print(f"{steps:>5,} steps, no balancing, seed by seed: collapsed layers {collapsed[steps]}, "
          f"dead experts {language('none', steps, 'dead').sum(axis=1)}, CV by layer {of_layers.round(2).tolist()}")  # fmt: skip
for (arm, steps), by_seed in price.items():
    print(f"{steps:>5,} steps, loss without balancing − {language_balancing.ARMS[arm].label:<14}", by_seed.round(3))
assert 0.003 < price["switch", 500].min() < price["switch", 500].max() < 0.018
assert cv[1500][:, 0].mean() < cv[1500][:, 1:].mean(axis=0).min()
assert cv[500][:, 0].mean() < cv[500][:, 1:].mean(axis=0).min()
assert collapsed[500].tolist() == [1, 1, 1]
assert sorted(collapsed[1500]) == [0, 1, 1]
assert max((c[:, :2] >= 1).sum() for c in cv.values()) == 0
assert sorted(language("none", 500, "dead").sum(axis=1)) == [0, 2, 3]
assert language("none", 1500, "dead").max() == 0
assert np.abs(price["switch", 1500]).max() < 0.01
assert [[(price[arm, steps] > 0).sum() for steps in cv] for arm in ("switch", "bias")] == [[3, 1], [3, 2]]
late = slice(2, 4)  # layers
assert language("none", 1500, "dropped")[:, late].min() > 0.25
assert 1 < language("none", 1500, "max_violation")[:, late].min() < language("none", 1500, "max_violation").max() < 3
evenness = {arm: language(arm, 1500, "max_violation").mean() for arm in language_balancing.ARMS}
assert max(evenness["bias"], evenness["both"]) < evenness["switch"] < evenness["none"] / 2
assert round(np.log(39.8 / 35.6), 2) == 0.11

# %% [markdown]
# (With k = 2 of 8 experts MaxVio is at most 3. "Dropped": what would find no place if each expert took at most 1.25 times
# the mean, its *capacity*, lesson 10; in training nothing was.)
#
# > **Myth: "without a balance loss, training collapses."** Here one late layer collapses: after 500 steps in each of
# > the three seeds (0, 2 and 3 experts are dead), after 1,500 in two (none is dead). The loss on text hardly shows it:
# > after 500 steps the Switch loss puts the model ahead in all three seeds, by .003 to .017, after 1,500 in one; the
# > bias in all three, then in two. Three seeds are too few to tell more.
#
# Shazeer's 39.8 against 35.6 is ln(39.8 / 35.6) = 0.11 nats. Ours saw nothing like that, nor like OLMoE: its first
# layer is its most even. After 1,500 steps a capacity would drop a quarter or more of a late layer's assignments, and
# the busiest device would work two to four times as long. What would change this: a gap of one sign in many more seeds,
# or one that grows with steps or size (these are three seeds, one small model, one α).
#
# ## Recap
#
# 1. In form B with k = 1 the router raises whoever helps, trained or not; only the asked expert improves.
# 2. Load, CV, MaxVio and the dead count measure balance; dice have a MaxVio above 0 as well. Collapse: CV of 1 or more.
# 3. Switch: $N \sum f_i P_i$. Only P has a gradient, f decides its sign. The value is 1 for a zero router that sends all
#    tokens to E1, and can be far below 1: never read it as balance.
# 4. Importance balances weights, load balances counts. Noise gives the count a slope.
# 5. At the rate 0.005 the Switch loss (α = 0.1) and a bias lowered the task error, from a fair start too; α = 1 cost again;
#    noise was no substitute.
# 6. In a small language model without balancing one late layer collapsed, in three of three seeds after 500 steps, in two
#    after 1,500. Its loss on text was higher in all three seeds after 500 steps, not after 1,500.
#
# Of the six sentences, (2) and (5) hold as they stand.
#
# **What this lesson cannot tell you:** which coefficient your model needs, and what balance costs in an uneven world.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:09).
# - The code you used: [](module:losses), [](module:metrics)
#   and [](module:balancing_study), [](module:language_balancing).
# - Lesson 10: [capacity and drops](lesson:10).

# %% [markdown] name="deeper-study" tags=["deeper"]
# ## Deeper: the whole table
#
# Mean ± standard deviation, 20 seeds.


# %% name="deeper-study-cell" tags=["deeper"]
def whole_table(start):
    """Every method and coefficient from one start: a picture of the errors, with all measures folded"""
    table = [setting for setting in balancing_study.settings() if setting not in balancing_study.CONTROLS]
    errors = {str(setting): [values(study, setting, steps) for steps in (300, 1200)]
              for setting in table if setting.start == start}  # fmt: skip
    numbers = "\n\n".join(balancing_study.table(study, steps, start) for steps in (300, 1200))
    return Picture(spread_svg(errors, ["300 steps", "1,200 steps"], "task error"), numbers)


whole_table("uneven")

# %% name="deeper-study-fair" tags=["deeper"]
whole_table("fair")

# %% [markdown] name="deeper-controls" tags=["deeper"]
# ## Deeper: rate, head start, noise
#
# Ten of these seeds; noise *on* is what devices see in training.

# %% name="see-controls" tags=["deeper"]
for rate in (0.01, 0.02):
    found = [gap(study, from_fair("switch", 0.1, rate), from_fair("none", 0.0, rate), steps) for steps in (300, 1200)]
    print(f"fair: Switch loss, α = 0.1 − no balancing, rate {rate}: " + "; ".join(map(str, found)))
    assert max(found[0].high, found[1].high) < 0
for rate in (balancing_study.LEARNING_RATE, 0.02):
    for arm in ("top_2", "top_2_b"):
        ends = [(values(study, Setting("farther", arm, rate=rate), steps, "cv") >= 1).sum() for steps in (300, 1200)]
        print(
            f"head start 2, {balancing_study.METHODS[arm].label}, rate {rate}: collapsed {ends[0]} -> {ends[1]} of 10"
        )
for steps in (300, 1200):
    lead = gap(study, from_uneven("top_2_b"), from_uneven("top_2"), steps)
    print(f"head start 1, {steps:,} steps, error of top-2: form B − form A {lead}")
    assert lead.low > 0
for factor in (1.0, 4.0):
    seen, off = ([values(study, from_uneven(name, factor), n, "max_violation")[:10].mean() for n in (300, 1200)]
                 for name in ("noise_on", "noise"))  # fmt: skip
    print(
        f"uneven: noise, factor {factor:g}: MaxVio with it on {seen[0]:.2f} -> {seen[1]:.2f}, off {off[0]:.2f} -> {off[1]:.2f}"
    )
    assert seen[0] < 0.6 * off[0] if factor == 4 else abs(seen[0] - off[0]) < 0.1
    assert seen[1] < off[1] if factor == 4 else abs(seen[1] - off[1]) < 0.1
for start in (from_uneven, from_fair):
    left, right = start("noise", 1.0), start("none")
    found = (gap(study, left, right, steps, "max_violation") for steps in (300, 1200))
    print(f"MaxVio, all 20 seeds: {left} − {right}: " + "; ".join(map(str, found)))
assert values(study, Setting("farther", "top_2"), 300, "cv").shape == (10,)
far = [(values(study, Setting("farther", arm, rate=rate), 300, "cv") >= 1).sum() for rate in (0.005, 0.02)
       for arm in ("top_2", "top_2_b")]  # fmt: skip
assert far == [3, 10, 4, 2]
later = [(values(study, Setting("farther", arm, rate=rate), 1200, "cv") >= 1).sum() for rate in (0.005, 0.02)
         for arm in ("top_2", "top_2_b")]  # fmt: skip
assert later == [0, 0, 3, 0]
for steps in (300, 1200):
    assert (
        min(values(study, from_uneven(n, 4.0), steps)[:10].mean() for n in ("noise", "noise_on"))
        > 2 * values(study, from_uneven("switch", 0.1), steps)[:10].mean()
    )
    assert (
        values(study, from_uneven("noise_on", 4.0), steps, "max_violation").mean()
        > values(study, from_uneven("switch", 0.1), steps, "max_violation").mean()
    )


# %% [markdown] name="deeper-right-gradient" tags=["deeper"]
# ## Deeper: far below 1, and the gradient is right all the same


# %% name="deeper-with-dead" tags=["deeper"]
def with_dead(N, dead):
    """Logits (N − dead, N): each token's mass is shared by its own expert, just ahead, and all dead ones."""
    alive = N - dead
    p = torch.cat([torch.eye(alive, dtype=torch.float64), torch.ones(alive, dead, dtype=torch.float64)], dim=1)
    return (p.clamp(min=1e-30)).log() + 1e-9 * torch.eye(alive, N, dtype=torch.float64)  # (T, N)


for N, dead in ((4, 1), (8, 3), (64, 31)):
    logits = with_dead(N, dead)
    load, value = expert_load(logits.argmax(dim=-1, keepdim=True).numpy(), N), load_balancing_loss(logits, 1).item()
    print(f"N = {N}, dead {len(dead_experts(load))}, MaxVio {max_violation(load):.2f}, loss {value:.3f}")
    assert len(dead_experts(load)) == dead
    assert np.isclose(value, N / ((N - dead) * (dead + 1)))

# %% [markdown] name="deeper-one-step" tags=["deeper"]
# The first of these, with its loss at 2/3. One small step along the gradient:

# %% name="deeper-right-gradient-cell" tags=["deeper"]
logits = with_dead(4, 1).clamp(min=-5).requires_grad_()  # (T, N)
for step in range(2):
    value = load_balancing_loss(logits, 1)
    (gradient,) = torch.autograd.grad(value, logits)  # (T, N)
    load = expert_load(top_k_indices(logits, 1).numpy(), 4)  # (N,)
    print(f"step {step}: loss {value:.3f}, loads {load.round(2)}, gradient at E4 {gradient[:, 3].numpy().round(3)}")
    if step == 0:
        assert (gradient[:, 3] < 0).all()
        assert load[3] == 0
    logits = (logits - 0.01 * gradient).detach().requires_grad_()
assert load[3] == 1

# %% [markdown] name="deeper-step-read" tags=["deeper"]
# E4 was a hair behind for every token, so *all* come over at once.

# %% [markdown] name="deeper-limits" tags=["deeper"]
# ## Deeper: gradients that vanish or cancel
#
# The Switch loss at even load, and with tokens certain of E1. And importance in the uneven layer, before its first step: in
# form B tokens of E1 and E2 push up the logit of E7, asked by none, the others push it down.

# %% name="deeper-limits-cell" tags=["deeper"]
even = torch.tensor([[9.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.9, 1.0]], requires_grad=True)  # (T, N): f uniform
(at_balance,) = torch.autograd.grad(load_balancing_loss(even, 1), even)
sure = torch.tensor([[30.0, 0.0, 0.0]] * 4, requires_grad=True)  # (T, N): all to E1, and certain of it
(when_sure,) = torch.autograd.grad(load_balancing_loss(sure, 1), sure)
print(f"largest gradient at even load {at_balance.abs().max():.0e}, at certain tokens {when_sure.abs().max():.0e}")
assert max(at_balance.abs().max(), when_sure.abs().max()) < 1e-6
logits = routing.logits.detach().requires_grad_()  # (T, N)
gate = logits.softmax(dim=-1) * torch.nn.functional.one_hot(routing.selected[:, 0], 8)  # (T, N), dense
(push,) = torch.autograd.grad(cv_squared(gate.sum(dim=0)), logits)  # (T, N)
up, down = -push[:, 6].clamp(max=0).sum(), push[:, 6].clamp(min=0).sum()
print(f"importance: the logit of E7 is pushed up {up:.4f}, down {down:.4f}")
assert (routing.selected != 6).all()
assert abs(up - down) < 0.25 * (up + down)
assert set(routing.selected[push[:, 6] < 0].flatten().tolist()) <= {0, 1}

# %% [markdown] name="deeper-smooth" tags=["deeper"]
# ## Deeper: the smooth count, by drawing
#
# The formula of Pr(x, i), read in two ways: E2's own noise alone is drawn afresh, and everything is.

# %% name="deeper-smooth-cell" tags=["deeper"]
draws, k = 200_000, 2
rng = torch.Generator().manual_seed(0)
clean = torch.tensor([1.2, 0.4, 0.1, -0.3, -0.8, 0.9])  # (N,)
sd = torch.tensor([0.3, 0.7, 0.7, 1.0, 0.5, 0.2])  # (N,)
noisy = clean + sd * torch.randn(draws, 6, generator=rng)  # (draws, N)

first = noisy[:1].repeat(draws, 1)  # (draws, N): one draw, kept
own = first.clone()
own[:, 1] = clean[1] + sd[1] * torch.randn(draws, generator=rng)  # only E2 afresh
counted = (top_k_indices(own, k) == 1).any(dim=-1).float().mean().item()
print(f"E2, others kept: counted {counted:.4f}, formula {smooth_load(clean, noisy[0], sd, k)[1]:.4f}")
assert abs(counted - smooth_load(clean, noisy[0], sd, k)[1]) < 0.005

share = expert_load(top_k_indices(noisy, k).numpy(), 6) * k  # (N,): how often each is selected
smooth = smooth_load(clean.expand(draws, 6), noisy, sd, k).mean(dim=0).numpy()  # (N,)
print("all afresh, counted:", share.round(4))
print("all afresh, formula:", smooth.round(4), f" largest gap {np.abs(share - smooth).max():.4f}")
assert np.abs(share - smooth).max() < 0.005
