# %% [markdown]
# # 09 · Keeping experts alive: load balancing
#
# **What happens to an expert that nobody asks, and what does it cost to have all of them asked?**
#
# You will be able to
#
# 1. explain how a small head start grows, and find in the gradient what grows;
# 2. measure balance by load, CV, MaxVio and dead experts, against what chance alone does;
# 3. write the Switch balance loss, say which factor carries its gradient, and why its *value* is no measure of
#    balance;
# 4. explain importance, load, Shazeer's noise and its smooth count, and check that count by simulation;
# 5. read a table of methods: what balances, what it costs, and what the table cannot decide.
#
# **Before:** lessons 04, 05 and 07. **Time:** {{minutes}}.
#
# Four sentences that are often heard. Which do you believe? Each comes back as a *Myth*. (1) Without a balance loss,
# training collapses. (2) The balance loss is smallest at balance, where it is 1. (3) Noise in the router spreads the
# load. (4) The more balance, the better.

# %% name="setup" tags=["setup"]
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from moe_lessons.experiments import balancing_runs
from moe_lessons.experiments.balancing_runs import METHODS, table
from moe_lessons.checks import compare, reveal
from moe_lessons.data import clustered_regression
from moe_lessons.figures.balancing import balancing_svg, idle_strength
from moe_lessons.layer import MoELayer, top_k_indices
from moe_lessons.losses import cv_squared, load_balancing_loss, smooth_load
from moe_lessons.metrics import coefficient_of_variation, dead_experts, expert_load, max_violation
from moe_lessons.routing import softmax
from moe_lessons.support.progress import tqdm
from moe_lessons.widgets.live import Live, choice, slider

# %% [markdown]
# ## A head start grows
#
# The smallest case: one token, four experts that are exact **copies** of each other. Each says half of what the
# target asks for. Only the logits differ: E1 has 0.1, the others 0. One expert is active, k = 1, and its weight is
# its probability (form B, as in Switch). So E1 is asked, because of that 0.1. It is no better than the others.
#
# **Predict.** We take 30 steps of gradient descent on the logits and on the experts. Nothing tells the copies apart.
# Does the probability of E1 `stay` near .27, `grow`, or `shrink`?

# %% name="predict-copies" tags=["predict"]
my_probability_of_E1 = ...  # "stay", "grow" or "shrink"


# %%
def descend(learning, steps=30, lr=0.5):
    """Train logits (N,) and, if `learning`, the outputs (N, d) of four copies; k = 1, form B. By hand."""
    h, target = np.array([0.1, 0.0, 0.0, 0.0]), np.array([1.0, -1.0])  # (N,), (d,)
    E = np.tile(target / 2, (4, 1))  # (N, d)
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
    assert film[0][0] < 0.28 < 0.6 < film[30][0]
    assert (film[30][1][1:] == 0.5).all()
assert films[False][30][0] > films[True][30][0]

# %% [markdown]
# It grows, and so does something else. **The probability:** E1 points the right way, so $a_1 = v \cdot E_1 < 0$, and
# in form B the gradient then raises the logit of whoever was asked and lowers the others (lesson 07). With frozen
# experts it ends even higher, since the error stays. **The skill:** E1 gets a gradient, the others none: they still
# say what they said at the start. Once y is right, both stop, and nobody has found out what E2 could have become.
# This is called *rich get richer*; Shazeer et al. (2017, arXiv:1701.06538) describe it as self-reinforcing.
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
# The gradient is not in proportion to the load. But who has next to no tokens gets next to no gradient, and E7, with
# none, gets exactly 0. Does that lead to collapse? We first need measures.
#
# ## Four measures
#
# The **load** of an expert is its share of the assignments. All loads sum to 1, and balance is 1/N. Three numbers
# summarise loads. **CV**: standard deviation over mean. **MaxVio**: how far the largest load is above the mean, as a
# multiple of the mean (Wang et al. 2024, arXiv:2408.15664). **Dead** experts: those below 1 % of the mean.
#
# **Predict.** Eight experts, and all tokens go to one. What is MaxVio?

# %% name="predict-maxvio" tags=["predict"]
my_max_violation = ...  # a number

# %%
selections = {  # the expert of each of 16 tokens, k = 1
    "balanced": np.tile(np.arange(8), 2),
    "two favourites": np.array([0] * 6 + [1] * 4 + [2, 3, 4, 5, 6, 7]),
    "half is dead": np.tile(np.arange(4), 4),
    "all to one": np.zeros(16, dtype=int),
}
compare(my_max_violation, max_violation(expert_load(selections["all to one"][:, None], 8)))
for name, selected in selections.items():
    load = expert_load(selected[:, None], 8)  # (N,)
    print(f"{name:<15} CV {coefficient_of_variation(load):.2f}, MaxVio {max_violation(load):.2f}, "
          f"dead {len(dead_experts(load))}, largest load {load.max():.2f}")  # fmt: skip
assert np.isclose(max_violation(expert_load(selections["all to one"][:, None], 8)), 7)

# %% [markdown]
# With N = 8 the worst is MaxVio = 7. If each expert sits on its own device, a step takes as long as the busiest one:
# 1 + MaxVio times the balanced time. Dead experts are the other cost: paid for, stored, never used.
#
# These numbers are never 0 in practice. What do they say of a router that is perfectly fair, and decides by dice?

# %%
rng = np.random.default_rng(0)
for tokens in (64, 256, 2048, 65536):
    loads = np.stack([np.bincount(rng.integers(8, size=tokens), minlength=8) / tokens for _ in range(500)])
    by_chance = max_violation(loads)  # (500,)
    print(
        f"{tokens:>5} tokens: MaxVio {by_chance.mean():.2f}, in 95 % of draws below {np.quantile(by_chance, 0.95):.2f}"
    )
    if tokens == 2048:
        CHANCE = np.quantile(by_chance, 0.95)

# %% [markdown]
# That is the **null**. Below we measure on 2,048 fresh tokens.
#
# ## Is collapse what happens?
#
# We train the layer: router, bias and experts, 300 steps, five seeds. Two baselines first. `fair start`: nobody is
# ahead. `top-2`: the same uneven start, but k = 2 and form A, which *compares* the two that it asks.
#
# **Predict.** With k = 1 and the uneven start, how many of eight experts are dead at the end, on average? And with
# the fair start? (About 6 seconds.)

# %% name="predict-dead" tags=["predict"]
my_dead_uneven = ...  # a number from 0 to 7
my_dead_fair = ...

# %% name="run-baselines" tags=["7 s"]
base = {}
for name in tqdm(("fair", "none", "top_2"), desc="baselines"):
    base |= balancing_runs.run(name)
none, fair, top_2 = (base[name, 0.0] for name in ("none", "fair", "top_2"))
compare(my_dead_uneven, none.dead[-1].mean(), within=none.dead[-1].std(ddof=1))
compare(my_dead_fair, fair.dead[-1].mean(), within=fair.dead[-1].std(ddof=1))
for result in base.values():
    print(result.label)
    for frame in (0, -1):
        violation, dead = result.max_violation[frame], result.dead[frame]  # (S,) each
        print(f"  step {result.steps[frame]:>3}: MaxVio {violation.mean():.2f} ± {violation.std(ddof=1):.2f}, "
              f"dead {dead.mean():.1f} ± {dead.std(ddof=1):.1f}, by seed {dead}")  # fmt: skip

# %% [markdown]
# ± is the standard deviation over the five seeds. From the uneven start experts are dead after these 300 steps, in
# every seed. (Some may come back later: lesson 10.) From a fair start the load becomes uneven too, and most seeds
# lose an expert or more, but no expert gets even half of the tokens. And top-2, from the *same* uneven start, gets
# *more* balanced without any help.
#
# > **Myth: "without a balance loss, training collapses."** Two lines:

# %%
print(
    "top-2, uneven start: MaxVio", top_2.max_violation[0].mean().round(2), "->", top_2.max_violation[-1].mean().round(2)
)
print("largest load at the end, fair start, by seed:", fair.load[-1].max(axis=1).round(2))
assert (top_2.max_violation[-1] < top_2.max_violation[0]).all()
assert (fair.load[-1].max(axis=1) < 0.5).all()
assert (none.dead[-1] > none.dead[0]).all()
assert none.dead[-1].mean() > fair.dead[-1].mean() > top_2.dead[-1].mean()

# %% [markdown]
# Right is: it depends on the start, and on gate form or k: top-2 here changed both. At this scale a fair start rarely
# collapses. So we start uneven **to see a cure work**. Most published models balance somehow, but not all by a loss
# (lesson 10).
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
# f counts. A count jumps, its slope is 0 wherever it has one, and autograd gives it none. **Only P carries the
# gradient; f decides its sign.** With the slope of the softmax from lesson 07:
#
# $$\frac{\partial L_{\text{bal}}}{\partial h_{tj}} = \frac NT\, p_{tj} \Big( f_j - \sum_i f_i\, p_{ti} \Big)$$
#
# **Predict.** E3 got no token, $f_3 = 0$. Will descent `raise` or `lower` its logits? Unlike the task loss in form A,
# this one speaks about experts that were cut.

# %% name="predict-direction" tags=["predict"]
my_direction_of_E3 = ...  # "raise" or "lower"

# %%
(by_torch,) = torch.autograd.grad(loss, h)  # (T, N)
formula = 3 / 4 * p * (f - (p * f).sum(dim=-1, keepdim=True))  # (T, N)
compare(my_direction_of_E3, "raise" if (by_torch[:, 2] < 0).all() else "lower")
print(by_torch.numpy().round(3))
print("largest difference from the formula:", (by_torch - formula).abs().max().item())
assert torch.allclose(by_torch, formula, atol=1e-7)

even = torch.tensor([[9.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.9, 1.0]], requires_grad=True)  # (T, N): f uniform
(at_balance,) = torch.autograd.grad(load_balancing_loss(even, 1), even)
sure = torch.tensor([[30.0, 0.0, 0.0]] * 4, requires_grad=True)  # (T, N): all to E1, and certain of it
(when_sure,) = torch.autograd.grad(load_balancing_loss(sure, 1), sure)
print(f"largest gradient at even load {at_balance.abs().max():.0e}, at certain tokens {when_sure.abs().max():.0e}")
assert max(at_balance.abs().max(), when_sure.abs().max()) < 1e-6

# %% [markdown]
# For each token, logits of experts that are busier than *this token's* average go down, the others up. The last line
# holds two limits. At even load the gradient is 0, whatever P is. And a token that is certain of its expert ($p$ near
# 1) is not moved either, even if all tokens crowd into that expert.
#
# ## Its value is no measure of balance
#
# At balance the loss is 1. It is tempting to plot it and to read 1 as "balanced".
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
# Exactly 1, in the worst collapse there is: P is uniform, and then f does not matter.
#
# > **Myth: "the balance loss is smallest at balance, where it is 1."** 75 tokens of two experts are at (.51, .49),
# > 25 are at (0, 1):

# %%
split = torch.tensor([[0.51, 0.49]] * 75 + [[1e-30, 1.0]] * 25).log()  # (T, N)
print(f"loads {expert_load(split.argmax(dim=-1, keepdim=True).numpy(), 2)}, loss {load_balancing_loss(split, 1):.4f}")
assert np.isclose(load_balancing_loss(split, 1), 0.8825)


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

# %% [markdown]
# Right is: 1 is the minimum if f = P. Where much probability lies on experts that are never first, the
# value falls far below 1. The *gradient* still raises the dead experts' logits: it pushes the right way, where tokens
# are not certain.
# Train with it, but watch MaxVio and the dead. (Some libraries also let f sum to k, so that the value at balance is
# k: do not compare values across code bases.)
#
# ## Importance and load
#
# Shazeer et al. (2017) had two losses, both a **CV²**, the square of CV: 0 at balance. *Importance* sums each
# expert's gate weights, $\text{Importance}_i = \sum_t w_{ti}$ (Eq. 6-7). Is equal importance equal load?

# %%
weights = torch.tensor([[0.9, 0.0], [0.0, 0.3], [0.0, 0.3], [0.0, 0.3]])  # (T, N), dense: k = 1, form B
importance, count = weights.sum(dim=0), (weights > 0).sum(dim=0).float()  # (N,) each
print(f"importance {importance.numpy().round(2)}, CV² {cv_squared(importance):.2f}")
print(f"tokens     {count.numpy()}, CV² {cv_squared(count):.2f}, has a gradient: {count.requires_grad}")
assert cv_squared(importance) < 1e-6
assert cv_squared(count) > 0.2

# %% [markdown]
# No: one strong weight balances three faint ones. So they wanted the load as well, and met the problem of f: counts
# have no gradient. **That is what their noise is for.** In training each logit gets normal noise of a learned
# size, $\mathrm{sd}_i = \mathrm{softplus}\big((x W_{\text{noise}})_i\big)$. Then "is $E_i$ selected?" becomes a
# probability, and it changes smoothly:
#
# $$P(x, i) = \Phi\!\left(\frac{h_i - \text{(the k-th largest noisy logit of the others)}}{\mathrm{sd}_i}\right),
# \qquad \text{Load}_i = \sum_t P(x_t, i)$$
#
# Φ is the normal distribution function: the noise of all others stays as drawn, that of $E_i$ is drawn afresh
# (their Appendix A). We check both readings by drawing: E2's own noise only, and everything.

# %%
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

# %% [markdown]
# They agree, and the formula has a slope. This is the purpose that the paper states. "Exploration" is how later papers
# speak, about *jitter*: Switch multiplies the router's input by a random number from 1 − ε to 1 + ε.
#
# Their Table 6 (256 experts, a language model), copied here:

# %%
table_6 = {  # w_importance, w_load: test perplexity, CV of importance, CV of load, largest / mean load
    (0.0, 0.0): (39.8, 3.04, 3.01, 17.80),
    (0.2, 0.0): (35.6, 0.06, 0.17, 1.47),
    (0.0, 0.2): (35.7, 0.22, 0.04, 1.15),
    (0.1, 0.1): (35.6, 0.06, 0.05, 1.14),
    (0.01, 0.01): (35.7, 0.48, 0.11, 1.37),
    (1.0, 1.0): (35.7, 0.03, 0.02, 1.07),
}
for weights_used, (perplexity, *rest) in table_6.items():
    print(
        f"{weights_used!s:<14} perplexity {perplexity}, CV {rest[0]:.2f} and {rest[1]:.2f}, largest / mean {rest[2]:.2f}"
    )
perplexities = [row[0] for row in table_6.values()]
assert perplexities[0] - max(perplexities[1:]) > 40 * np.ptp(perplexities[1:])

# %% [markdown]
# Without a loss (both weights 0) perplexity is some 4 worse. Among the five with a loss it hardly differs, though their
# loads do. The paper gives no spread.
#
# ## The table
#
# All methods, with up to four coefficients each; all but the first from the same uneven start:

# %%
for method in METHODS.values():
    tried = ", ".join(f"{c:g}" for c in method.coefficients)
    print(f"{method.label:<20} {method.recipe}" + (f" {method.symbol}: {tried}" if method.symbol else ""))

# %% [markdown]
# **Predict.** α = 0.01 is the value in the Switch paper. Will it be `enough` here, for MaxVio below 0.5? And noise
# alone, without a loss, at the paper's size (factor 1)?

# %% name="predict-table" tags=["predict"]
my_switch = ...  # "enough" or "not enough"
my_noise = ...  # "enough" or "not enough"

# %% [markdown]
# The next cell trains 80 more layers: five methods with 16 coefficients in all, five seeds. About 20 seconds on a quiet
# machine.

# %% name="run-table" tags=["28 s"]
rest = {name: method for name, method in METHODS.items() if (name, 0.0) not in base}
results = base | balancing_runs.run_all(rest, progress=partial(tqdm, desc="methods"))
assert len(results) - len(base) == 16
violation = {key: result.max_violation[-1].mean() for key, result in results.items()}
compare(my_switch, "enough" if violation["switch", 0.01] < 0.5 else "not enough")
compare(my_noise, "enough" if violation["noise", 1.0] < 0.5 else "not enough")
print(table(results))

# %% [markdown]
# Mean ± standard deviation over five seeds, on fresh tokens, without noise or jitter. Task error is the share of the
# target's variance that is left (1 is guessing the mean). Entropy is that of p, in nats, at most ln 8 = 2.08.
#
# **Question for the picture:** choose `no balancing` and drag the step: which experts disappear, and when? Then the Switch
# loss: from which coefficient on do all eight survive? Does the strongest have the lowest task error?

# %% name="picture-balancing"
Live(
    partial(balancing_svg, results),
    idle=partial(idle_strength, results),
    method=choice("method", {method.label: name for name, method in METHODS.items()}, "none"),
    strength=slider("coefficient, weakest first", 1, 1, 4, 1),
    step=slider("training step", 300, 0, 300, 15),
)

# %% [markdown]
# You should see bands that vanish under `no balancing`, most of them within the first third of the training. With
# α = 0.1 all eight are there at the end. With α = 1 they are still more even, and the error is higher. In numbers:

# %%
third = int(np.searchsorted(none.steps, 100))
print(f"no balancing: dead {none.dead[0].mean()} -> {none.dead[third].mean()} at step {none.steps[third]} "
      f"-> {none.dead[-1].mean()}")  # fmt: skip
for alpha in METHODS["switch"].coefficients:
    result = results["switch", alpha]
    print(f"α = {alpha:<5} MaxVio at step {result.steps[2]}: {result.max_violation[2].mean():.2f}, at the end "
          f"{result.max_violation[-1].mean():.2f}; dead by seed {result.dead[-1]}")  # fmt: skip
assert none.dead[third].mean() - none.dead[0].mean() > 0.5 * (none.dead[-1].mean() - none.dead[0].mean())
assert results["switch", 0.1].dead[-1].max() == 0
assert violation["switch", 1.0] < violation["switch", 0.1] < 0.5 < violation["switch", 0.01]

# %% [markdown]
# All runs of one seed share task, first weights and batches, so we compare in pairs.


# %%
def difference(left, right, among=results, frame=-1):
    """Task error of `left` less that of `right`, seed by seed (S,)"""
    return among[left].error[frame] - among[right].error[frame]


def paired(left, right, among=results, frame=-1):
    """Mean difference of two task errors over seeds, with its standard error; in how many seeds left is smaller."""
    gap = difference(left, right, among, frame)  # (S,)
    print(f"{among[left].setting:<29} − {among[right].setting:<28} {gap.mean():+.3f} ± "
          f"{gap.std(ddof=1) / gap.size**0.5:.3f}   smaller in {(gap < 0).sum()} of {gap.size} seeds")  # fmt: skip


print("task error")
paired(("switch", 0.1), ("none", 0.0))
paired(("switch", 1.0), ("switch", 0.1))
paired(("switch", 0.1), ("fair", 0.0))
paired(("noise", 1.0), ("none", 0.0))
paired(("importance_load", 0.01), ("switch", 0.1))
paired(("jitter", 0.01), ("none", 0.0))
paired(("importance", 1.0), ("importance", 0.1))
assert (difference(("switch", 0.1), ("none", 0.0)) < 0).all()
assert (difference(("switch", 1.0), ("switch", 0.1)) > 0).all()
assert (difference(("importance_load", 0.01), ("switch", 0.1)) < 0).all()
assert (difference(("importance", 1.0), ("importance", 0.1)) > 0).all()
null = difference(("switch", 0.1), ("fair", 0.0))  # (S,)
assert null.min() < 0 < null.max()
assert violation["switch", 1.0] < CHANCE < violation["switch", 0.1]
assert violation["importance_load", 0.1] < CHANCE
assert results["importance", 1.0].dead[-1].max() > 0
ends = {key: result.error[-1].mean() for key, result in results.items()}
assert 0.28 < 1 - ends["switch", 0.1] / ends["none", 0.0] < 0.38
assert min(ends, key=lambda key: ends[key] + (key[0] == "top_2")) == ("importance_load", 0.01)

# %% [markdown]
# What the measurements say:
#
# - **The Switch loss balances**, if α is large enough. The paper's 0.01 is not, here: another task loss, other sizes, 300
#   steps. α is weighed against *your* task loss. At α = 1 MaxVio is close to dice, a little above.
# - **The Switch loss helps the task.** α = 0.1 cuts the error by about a third, to about that of the fair start, which is
#   far *less* balanced. Does it only undo the head start? A control below tells.
# - **Importance alone leaves experts dead** in some seeds, even with w = 1. The weight of a cut expert is a constant 0.
#   In form B its logit still hears something, through the softmax of the selected; in form A not even that.
# - **Importance + load** is close to dice at w = 0.1, and has the lowest error of the k = 1 methods at w = 0.01, with
#   more imbalance. But it also has noise in training, and noise alone lowered the error too.
# - **top-2** has a low error without any loss, and pays with twice the expert work per token.
#
# > **Myth: "noise in the router spreads the load."** Noise of three sizes, and jitter of two, without a loss:

# %%
for key in (("none", 0.0), ("noise", 1.0), ("noise", 2.0), ("noise", 4.0), ("jitter", 0.01), ("jitter", 0.5)):
    print(f"{results[key].setting:<18} MaxVio {violation[key]:.2f}, by seed {results[key].max_violation[-1].round(2)}")
    assert violation[key] > 2
assert (results["noise", 4.0].max_violation[-1] < none.max_violation[-1]).all()
assert max(ends, key=ends.get) == ("noise", 4.0)
assert results["noise", 4.0].dead[-1].mean() < 0.5 * none.dead[-1].mean()
assert abs(violation["jitter", 0.01] - violation["none", 0.0]) < 0.1

# %% [markdown]
# Right is: somewhat. Factor 4 lowers MaxVio in every seed and keeps more experts alive, at a price: its error is the
# highest of the table; in no row does the mean MaxVio fall below 2. Shazeer's noise makes the load differentiable, *so that
# a loss* can balance it. Jitter of 1 % changes nothing that we can see.
#
# > **Myth: "the more balance, the better."** The strongest coefficient of each loss against the next weaker one:

# %%
for name in ("switch", "importance", "importance_load"):
    weaker, strongest = METHODS[name].coefficients[-2:]
    paired((name, strongest), (name, weaker))
    assert (difference((name, strongest), (name, weaker)) > 0).all()
assert violation["importance_load", 1.0] > violation["importance_load", 0.1]
for c in METHODS["switch"].coefficients:
    print(f"Switch loss, α = {c}: entropy {results['switch', c].entropy[-1].mean():.2f}")
assert (results["switch", 1.0].entropy[-1] > results["switch", 0.1].entropy[-1]).all()
assert results["importance_load", 0.1].entropy[-1].max() < results["switch", 0.1].entropy[-1].min()

# %% [markdown]
# Right is: the Switch loss at α = 1 is *more even* than at 0.1, yet worse in every seed. (For importance + load
# MaxVio rises too: no case of more balance.) The **entropy** moves with it: the stronger the Switch loss, the less sure
# the router. But entropy does not measure balance: for importance + load at w = 0.1 it is far lower at even load.
#
# But these runs also chose the coefficients. So, five fresh seeds (about 6 seconds):

# %% name="fresh-seeds" tags=["9 s"]
fresh = {}
for name, tried in tqdm([("none", (0.0,)), ("switch", (0.1, 1.0)), ("importance_load", (0.01,))], desc="fresh seeds"):
    fresh |= balancing_runs.run(name, range(5, 10), coefficients=tried)
paired(("switch", 0.1), ("none", 0.0), fresh)
paired(("switch", 1.0), ("switch", 0.1), fresh)
paired(("importance_load", 0.01), ("switch", 0.1), fresh)
assert (difference(("switch", 0.1), ("none", 0.0), fresh) < 0).all()
assert (difference(("switch", 1.0), ("switch", 0.1), fresh) > 0).all()
assert difference(("importance_load", 0.01), ("switch", 0.1), fresh).max() > 0

# %% [markdown]
# The two large effects hold in every fresh seed: the loss helps, too strong a loss costs. That importance + load beats
# the Switch loss, true in all five before, is not true in all of these.
#
# And the missing control: a fair start *with* the loss. Ten fresh seeds, 600 steps (about 10 seconds):

# %% name="fair-with-loss" tags=["12 s"]
both = {"fair": METHODS["fair"], "fair_switch": replace(METHODS["switch"], label="fair, Switch loss", start=0.0)}
fresh |= balancing_runs.run("fair", range(5, 15), 600, methods=both)
fresh |= balancing_runs.run("fair_switch", range(5, 15), 600, (0.1,), methods=both)
for frame in (10, 20):
    print(f"after {fresh['fair', 0.0].steps[frame]} steps: ", end="")
    paired(("fair_switch", 0.1), ("fair", 0.0), fresh, frame)
beyond = difference(("fair_switch", 0.1), ("fair", 0.0), fresh)
assert fresh["fair", 0.0].steps[10] == 300
assert beyond.mean() < -2 * beyond.std(ddof=1) / 10**0.5
assert fresh["fair_switch", 0.1].max_violation[-1].mean() < 0.5 < fresh["fair", 0.0].max_violation[-1].mean()

# %% [markdown]
# There is no head start to undo, and yet the loss lowers the error. So balance gains more than that. After 300 steps it
# was hard to tell.

# %% [markdown]
# ## Recap
#
# 1. Who is asked learns, and is asked more. In form B with k = 1 the router raises whoever helps, and only the asked
#    expert improves. From an uneven start experts were dead after 300 steps in every seed; from a fair one no expert
#    took all.
# 2. Load, CV, MaxVio and the dead count measure balance. A fair router at dice has a MaxVio above 0 as well: compare
#    with that.
# 3. Switch: $N \sum f_i P_i$. Only P has a gradient, f decides its sign. The value is 1 for a zero router that sends all tokens
#    to E1, and can be far below 1 with dead experts: never read it as balance.
# 4. Importance balances weights, load balances counts. Noise gives the count a slope, and the smooth count agrees with
#    simulation.
# 5. A strong enough Switch loss kept all experts alive here and lowered the error, from a fair start too; a stronger one
#    raised it again. Noise and jitter alone did not balance.
#
# Of the four sentences, none holds as it stands.
#
# **What this lesson cannot tell you:** which coefficient your model needs, and what balance costs where the world is
# *not* balanced. Our clusters are equally large, our start is uneven by hand, and our layer is tiny.
#
# ## Quiz
#
# **1. Your balance loss has fallen from 1.00 to 0.70. What do you know?** (a) the load is better than balanced (b)
# the load got worse (c) the load is uneven, no more
#
# <details><summary>Answer</summary>
#
# (c). At even load every $f_i$ is 1/N and the value is exactly 1, so 0.70 is uneven. (a) Nothing is better than
# balanced. (b) 1.00 may have been even load, or total collapse. How uneven it is, MaxVio must tell.
#
# </details>
#
# **2. An expert has no tokens at all. Which loss can raise its logits: (a) the task loss in form A, (b) the importance
# loss without noise in form A, or (c) the Switch loss?**
#
# <details><summary>Answer</summary>
#
# (c). P contains its probability for every token. (a) and (b) reach selected experts only: of an expert that is never
# selected the weight is a constant 0.
#
# </details>
#
# **3. Why did Shazeer et al. add noise to the logits?** (a) to explore (b) so that a count of tokens gets a gradient
# (c) against overfitting
#
# <details><summary>Answer</summary>
#
# (b). With noise, being selected has a probability that changes smoothly. (a) is the vocabulary of later papers, about
# jitter. (c) Noise may act that way, but it is not the purpose that they state.
#
# </details>
#
# ## Next
#
# - Exercises: [](exercises:09).
# - The code you used: [](module:losses), [](module:metrics)
#   and [](module:balancing_runs).
# - Lesson 10: [capacity, drops, and balancing without a loss](lesson:10).

# %% [markdown] name="deeper-right-gradient" tags=["deeper"]
# ## Deeper: the gradient is right where the value is wrong
#
# Four experts, one of them dead, with the loss at 2/3. One small step along the gradient:

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
# E4 was a hair behind for every token, so *all* of them come over at once, and the loss jumps up.

# %% [markdown] name="deeper-simulator" tags=["deeper"]
# ## Deeper: a simulator that is not the gradient
#
# A public browser simulator of 2026 shows eight experts with common logits s, k = 2, and the rule
# $s \mathrel{+}= 0.3\,(f - 1/N)$, with the loss switched on also $-20\,\alpha f$. It looks like training. Is it?


# %% name="deeper-simulator-cell" tags=["deeper"]
def simulate(alpha, steps=400):
    """The published rule, E1 two ahead; 32 tokens a step, each with uniform noise of its own. Last loads (N,)."""
    rng, s = np.random.default_rng(0), np.array([2.0] + [0.0] * 7)  # (N,)
    for _ in range(steps):
        chosen = np.argsort(-(s + rng.uniform(-0.75, 0.75, size=(32, 8))), axis=1)[:, :2]  # (T, k)
        f = expert_load(chosen, 8)  # (N,)
        s = s + 0.3 * (f - 1 / 8) - 20 * alpha * f  # (N,)
    return f


for alpha in (0.0, 0.01, 0.03):
    f = simulate(alpha)
    print(
        f"α = {alpha}: loads {f.round(2)}, drift of a winner (f = 1/2) against a loser {0.3 / 2 - 20 * alpha / 2:+.2f}"
    )
assert max_violation(simulate(0.01)) > 2.5
assert max_violation(simulate(0.03)) < 1.5

# %% [markdown] name="deeper-simulator-read" tags=["deeper"]
# With the loss on, at α = 0.01, it still collapses: 0.15 − 10 α is above 0 up to α = 0.015. That threshold belongs to the
# rule. The gradient of the Switch loss has no such term: it is $\alpha N p_j (f_j - \sum_i f_i p_i)$, it fades as p gets
# sure, and the "0.3" stands for a task that is not there.
