# %% [markdown]
# # 10 · Capacity, drops and balancing without a loss
#
# **What if an expert simply closes when it is full, and can a router be balanced without a loss?**
#
# You will be able to
#
# 1. compute a capacity, and say which tokens are dropped under two orders of priority;
# 2. say what a dropped token still is, and what share even a fair router drops;
# 3. show that capacity sends nobody elsewhere, and what it does to a collapsing router;
# 4. write the bias update that balances without a loss, and recognise a step that is too small or too large;
# 5. choose the scope over which balance is asked for, and find an imbalance that a pooled loss hides.
#
# **Before:** lesson 05 and [](lesson:09). **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
from functools import partial
from itertools import product

import numpy as np
import torch

from moe_lessons.experiments import balancing_runs, capacity_runs
from moe_lessons.balancing import (
    BiasBalancer, drop_rate, drop_weights, expert_capacity, random_second_expert, uniform_drop_rate, within_capacity,
)  # fmt: skip
from moe_lessons.checks import compare, reveal
from moe_lessons.figures.balancing import balancing_svg, idle_strength
from moe_lessons.figures.queue import batch, queue_svg
from moe_lessons.layer import MoELayer, gate_selected, top_k_indices
from moe_lessons.losses import balance_of_layers, load_balancing_loss
from moe_lessons.metrics import expert_load, max_violation, mutual_information
from moe_lessons.support.progress import tqdm
from moe_lessons.widgets.live import Live, choice, slider

results = {}  # of the training runs, by method and coefficient

# %% [markdown]
# ## A closed door
#
# Experts often live on different devices, and a device wants to know in advance how many rows it will get. So each
# expert gets a fixed number of places, the **capacity** $C$. Six tokens, three experts, k = 1. Balance would be two
# tokens each. We allow just that: a **capacity factor** of 1.
#
# **Predict.** The tokens t1 … t6 choose E1, E1, E2, E1, E3, E1. Places are given in the order of the tokens. Which
# tokens find no place?

# %% name="predict-dropped" tags=["predict"]
my_dropped_tokens = ...  # a list such as [1, 2]

# %%
selected = torch.tensor([[0], [0], [1], [0], [2], [0]])  # (T, k)
weights = torch.tensor([[0.4], [0.5], [0.6], [0.9], [0.7], [0.8]])  # (T, k)
C = expert_capacity(num_tokens=6, num_experts=3, top_k=1, factor=1.0)
kept = within_capacity(selected, weights, C, num_experts=3)  # (T, k)
dropped = [t + 1 for t in range(6) if not kept[t]]
compare(my_dropped_tokens, dropped)
print(f"C = {C}; kept: {kept[:, 0].tolist()}; dropped: {dropped}, a share of {drop_rate(kept):.2f}")
assert (C, dropped) == (2, [4, 6])

# %% [markdown]
# E1 has two places, and four tokens want them. t4 and t6 are out, although E2 and E3 have a place left each. In
# general, with a capacity factor $c$ (after Fedus et al. 2021, arXiv:2101.03961, Eq. 3, theirs for k = 1),
#
# $$C = \left\lceil c \cdot \frac{kT}{N} \right\rceil$$
#
# Every place is reserved, whether or not it is used. A larger $c$ means fewer drops, more empty rows and more to
# send.

# %%
for c in (1.0, 1.25, 2.0):
    C = expert_capacity(6, 3, 1, c)
    kept = within_capacity(selected, weights, C, 3)  # (T, k)
    print(f"c = {c}: C = {C}, dropped {drop_rate(kept):.2f}, empty places {3 * C - int(kept.sum())} of {3 * C}")

# %% [markdown]
# ## Who is dropped?
#
# t4 had weight .9 and t1 only .4, but t1 came first. Two orders are in use. **Position:** earlier tokens first, and all
# first choices before all second choices (GShard, Lepikhin et al. 2020, arXiv:2006.16668; Switch). **Probability:**
# larger weights first (for k = 1 this is V-MoE's batch prioritised routing, Riquelme et al. 2021, arXiv:2106.05974).
#
# **Question for the picture:** which tokens lose their place when you change the priority? Then, still with k = 1,
# raise `favour`, which is added to the logits of E1. Can any capacity factor make the empty places of E2 help those
# who wait at E1? At last, set k to 2.

# %% name="picture-queue"
Live(
    queue_svg,
    factor=slider("capacity factor", 1.0, 0.25, 2.0, 0.25),
    priority=choice("priority", {"position": "position", "probability": "probability"}, "position"),
    k=slider("k, experts per token", 1, 1, 2, 1),
    favour=slider("favour of E1", 1.0, 0.0, 6.0, 0.5, expert=0),
    seed=slider("which tokens", 20, 0, 40, 1),
)

# %% [markdown]
# You should see that the priority changes *which* assignments lose their place, never *how many*. By position, t7 is
# out although its weight is .97. With k = 1 and a large favour all twelve queue at E1. The others stand empty, and no
# factor sends anyone to them. With k = 2 and priority by position the second choices are the first to go.

# %%
for priority in ("position", "probability"):
    crowd = batch(1.0, priority, 1, 1.0, 20)
    out = np.flatnonzero(~crowd.kept[:, 0])  # (dropped,)
    print(f"{priority:<11} out: {[f't{t + 1}' for t in out]}, their weights {crowd.weights[out, 0].round(2)}")
    assert len(out) == 3
    assert (6 in out) == (priority == "position")
assert crowd.weights[6, 0].round(2) == 0.97
crowded = batch(1.75, "position", 1, 6.0, 20)
print(f"favour 6, c = 1.75: {np.bincount(crowded.selected[:, 0], minlength=4)} ask, {crowded.kept.sum()} of 12 kept")
assert (crowded.selected == 0).all()

# %% [markdown]
# Priority by probability drops the faint, which sounds better. It has a price: who is kept depends on tokens that come
# *later*. In training the rule looks ahead. When the model writes token by token, the later ones do not exist yet, and
# the same token may be treated otherwise.

# %%
early = torch.tensor([[0.5]])  # (1, k): one token at one expert with one place
later = torch.tensor([[0.5], [0.9]])  # (2, k): the same token, and one behind it
for priority in ("position", "probability"):
    alone = within_capacity(torch.zeros(1, 1, dtype=torch.int64), early, 1, 1, priority)
    company = within_capacity(torch.zeros(2, 1, dtype=torch.int64), later, 1, 1, priority)
    print(f"{priority:<11} first token kept: alone {alone[0].item()}, with one behind it {company[0].item()}")
    assert company[0].item() == (priority == "position")
crossed, w = torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0.6, 0.4], [0.6, 0.4]])  # (T, k) each
alone, company = within_capacity(crossed[:1], w[:1], 1, 2), within_capacity(crossed, w, 1, 2)
print(f"position, k = 2: second choice of the first token: alone {alone[0, 1]}, with one behind it {company[0, 1]}")
assert alone[0, 1]
assert not company[0, 1]

# %% [markdown]
# With k = 1, position looks at earlier tokens only. With k = 2 (last line) it does not: a later token's first choice
# goes before an earlier token's second. And in a batch, earlier tokens may be those of *other* texts. So under every
# rule, the output for your sentence can depend on who else is in the batch.
#
# ## What a dropped token is
#
# Not deleted. Its layer output is 0, and the layer sits in a residual stream: the token goes on as $x + 0$.
#
# **Predict.** With k = 1 and form B, does a dropped token send a gradient to the router: `yes` or `no`?

# %% name="predict-gradient" tags=["predict"]
my_gradient_of_the_dropped = ...  # "yes" or "no"

# %%
torch.manual_seed(0)
layer, x = MoELayer(16, 16, 8, 1, gate="softmax_topk"), torch.randn(64, 16)  # (T, d)
routing = layer.router(x)
kept = within_capacity(routing.selected, routing.weights, expert_capacity(64, 8, 1, 1.0), 8)  # (T, k)
limited = routing._replace(weights=torch.where(kept, routing.weights, 0.0))
stream = x + layer(x, routing=limited)  # (T, d)
(g,) = torch.autograd.grad(stream.square().sum(), routing.logits)  # (T, N)
out = ~kept[:, 0]  # (T,)
compare(my_gradient_of_the_dropped, "yes" if g[out].any() else "no")
print(f"{int(out.sum())} of 64 tokens are dropped; unchanged by the layer: {int((stream == x).all(dim=1).sum())}")
print(f"largest gradient on their logits {g[out].abs().max():.1f}, on those of the others {g[~out].abs().max():.2f}")
assert torch.equal((stream == x).all(dim=1), out)
assert not g[out].any()
assert g[~out].any(dim=1).all()

# %% [markdown]
# From the task nothing: not to the expert and not to the router. (A balance loss still counts what was *asked for*.)
# With k = 2 a token can lose one expert and keep the other. Then there is a choice:

# %%
half = torch.tensor([[0.6, 0.4]])  # (T, k)
lost = torch.tensor([[True, False]])  # (T, k)
print("as they are: ", drop_weights(half, lost).numpy(), "  the output shrinks")
print("renormalised:", drop_weights(half, lost, renormalise=True).numpy(), "  the one that is left takes over")

# %% [markdown]
# ## A fair router drops, too
#
# Suppose a router is perfectly fair: each token picks its expert by dice. 64 experts, 64 tokens per expert, $c = 1$.
#
# **Predict.** What share of the tokens is dropped, in percent?

# %% name="predict-uniform" tags=["predict"]
my_uniform_drops = ...  # a number, in percent


# %%
def diced(T, N, c, seed, batches=20):
    """Share dropped when every token picks one expert uniformly"""
    rng, C = np.random.default_rng(seed), expert_capacity(T, N, 1, c)
    counts = np.stack([np.bincount(rng.integers(N, size=T), minlength=N) for _ in range(batches)])  # (batches, N)
    return np.maximum(counts - C, 0).sum() / counts.sum()


compare(my_uniform_drops, 100 * uniform_drop_rate(64 * 64, 64, 1.0), "%", within="10 %")
print("tokens per expert   N     c   exact     five seeds, lowest to highest")
for each, N, c in product((64, 8), (64, 8), (1.0, 1.25, 2.0)):
    exact, runs = uniform_drop_rate(each * N, N, c), [diced(each * N, N, c, seed) for seed in range(5)]
    print(f"{each:>10}{N:>13}  {c:>4}  {exact:7.3%}   {min(runs):.3%} to {max(runs):.3%}")
    assert abs(exact - np.mean(runs)) < 0.01

# %% [markdown]
# Balance on average is not balance in every batch: counts scatter. Fewer tokens per expert scatter more, relative to
# their mean. With fewer experts a little less is dropped. So some drops are no sign of a bad router, and this is
# the null to compare with. A real router's tokens are not independent dice: words of one text crowd together.
#
# ## What capacity does not do
#
# Now the opposite: a collapsed router, all tokens to E1, N = 8.
#
# **Predict.** With $c = 1.25$, what share is dropped? And how many tokens does E2 get?

# %% name="predict-collapse" tags=["predict"]
my_dropped_in_collapse = ...  # a number between 0 and 1
my_tokens_of_E2 = ...  # a whole number

# %% [markdown]
# > **Myth: "capacity forces tokens to spread over the experts."**

# %%
selected, weights = torch.zeros(800, 1, dtype=torch.int64), torch.full((800, 1), 0.9)  # (T, k) each
kept = within_capacity(selected, weights, expert_capacity(800, 8, 1, 1.25), 8)  # (T, k)
computed = np.bincount(selected[kept].numpy(), minlength=8)  # (N,)
compare(my_dropped_in_collapse, drop_rate(kept))
compare(my_tokens_of_E2, computed[1])
print(f"dropped {drop_rate(kept):.3f}; tokens computed by E1..E8: {computed}")
assert np.isclose(drop_rate(kept), 1 - 1.25 / 8)
assert computed[1:].sum() == 0

# %% [markdown]
# Right is: capacity caps the work of an expert, and the rest of its tokens are not computed. Nobody is re-routed.
#
# But that is one forward pass. Does capacity change what the router *learns*? It could go either way: favourites learn
# from fewer tokens, so their lead may shrink; but a dropped token sends no gradient, so nothing pulls it elsewhere
# either. We take the experiment of lesson 09 (16 clusters, 8 experts, k = 1, 300 steps, E1 and E2 start ahead) and add
# capacity, in training and in the tests. A control drops in training only.
#
# **Predict.** Without balancing, about four of eight experts are dead at the end. And with capacity, $c = 1$? (25
# layers, some 9 seconds.)

# %% name="predict-dead" tags=["predict"]
my_dead_with_capacity = ...  # from 0 to 7, a mean over five runs, such as 3.4

# %% name="run-capacity" tags=["14 s"]
methods = balancing_runs.METHODS | capacity_runs.METHODS
for name in tqdm(("none", "capacity", "capacity_in_training"), desc="capacity"):
    results |= balancing_runs.run(name, methods=methods)
dead = results["capacity", 1.0].dead[-1]  # (seeds,)
compare(my_dead_with_capacity, dead.mean(), within=dead.std(ddof=1))
print(capacity_runs.table(results))

# %% [markdown]
# Mean ± standard deviation over five seeds. Load, and with it MaxVio, counts what tokens *ask for*. The last column is
# the share that a capacity with $c = 1.25$ would drop, in every row.


# %%
def difference(left, right, what):
    """`what` of `left` less that of `right`, seed by seed (S,); runs of one seed share task, first weights, batches."""
    return results[left].at_end()[what] - results[right].at_end()[what]


def paired(left, right, what):
    """Mean difference over seeds ± its standard error"""
    gap = difference(left, right, what)  # (S,)
    print(f"{what:<14}{results[left].setting:<28} − {results[right].setting:<27} {gap.mean():+.3f} ± "
          f"{gap.std(ddof=1) / gap.size**0.5:.3f}, smaller in {(gap < 0).sum()} of {gap.size}")  # fmt: skip


paired(("capacity", 1.0), ("none", 0.0), "max_violation")
paired(("capacity", 2.0), ("none", 0.0), "max_violation")
paired(("capacity", 1.0), ("none", 0.0), "dead")
paired(("capacity", 1.0), ("none", 0.0), "error")
paired(("capacity_in_training", 1.0), ("none", 0.0), "error")
lost = {c: capacity_runs.drop_rates(results["capacity", c], c)[-1].mean() for c in (1.0, 1.25, 2.0)}
print("not computed in the tests:", ", ".join(f"c = {c:g}: {share:.0%}" for c, share in lost.items()))
print(f"lowest MaxVio of a seed with capacity, c = 1: {results['capacity', 1.0].max_violation[-1].min():.2f}")
assert abs(lost[1.0] - 1 / 2) < 0.05
assert abs(lost[2.0] - 1 / 3) < 0.05
evener = difference(("capacity", 1.0), ("none", 0.0), "max_violation")  # (S,)
assert (evener < 0).all()
assert abs(difference(("capacity", 2.0), ("none", 0.0), "max_violation").mean()) < abs(evener.mean()) / 2
assert (results["capacity", 1.0].dead[-1] >= 1).all()
assert (results["capacity", 1.0].max_violation[-1] > 1).all()
assert (difference(("capacity", 1.0), ("none", 0.0), "error") > 0).all()
assert (difference(("capacity_in_training", 1.0), ("none", 0.0), "error") < 0).all()
assert capacity_runs.drop_rates(results["capacity", 1.25], 1.25)[-1].min() > 0.2

# %% [markdown]
# Capacity **softens** this collapse: in every seed the loads are less uneven than without it, and tested without drops
# (the control) the layer is even a little better. Fewer experts die on average, but not in every seed. It does not
# **cure** it: experts die in every seed, and MaxVio stays above 1. And where the capacity holds in the tests too, the
# error is far higher: half of the tokens at $c = 1$, and a third at $c = 2$, are not computed. (Here a dropped token
# counts as a guess of 0. What drops cost in a deep model is not measured.) With $c = 2$ even
# the softening is small. What if a Switch loss evens out the loads at the same time? (Some 6 seconds.)

# %% name="run-switch-capacity" tags=["10 s"]
results |= balancing_runs.run("switch", coefficients=(0.1,))
for name in tqdm(("fair", "switch_capacity"), desc="Switch loss"):
    results |= balancing_runs.run(name, methods=methods)
print(capacity_runs.table(results))
paired(("switch_capacity", 1.0), ("switch", 0.1), "error")
paired(("switch_capacity", 1.25), ("switch", 0.1), "error")
for c in (1.0, 1.25):
    lost = capacity_runs.drop_rates(results["switch_capacity", c], c)[-1]  # (S,)
    print(f"not computed in the tests, Switch + capacity, c = {c:g}: {lost.mean():.1%}")
tight = difference(("switch_capacity", 1.0), ("switch", 0.1), "error")  # (S,)
assert (tight > 0).all()
assert abs(difference(("switch_capacity", 1.25), ("switch", 0.1), "error").mean()) < tight.mean() / 5
assert capacity_runs.drop_rates(results["switch_capacity", 1.25], 1.25)[-1].max() < 0.05

# %% [markdown]
# Then capacity drops little (at $c = 1$ more than the column, which counts at 1.25). At $c = 1.25$ no cost can be seen,
# at $c = 1$ there is one in every seed: even good loads scatter. (`fair start` is the null of lesson 09: nobody ahead,
# no balancing.)
#
# ## Is a random second expert exploration?
#
# GShard's "random routing", for k = 2, sends a token to its second expert with probability
# $\min(1, w_2 / \text{threshold})$. A threshold of 0.5 is that of GShard's paper; 0.2 is a default in published code.
#
# **Predict.** With threshold 0.2, how often does a token with $w_2 = 0.05$ use its second expert?

# %% name="predict-second" tags=["predict"]
my_share = ...  # a number between 0 and 1

# %%
rng = torch.Generator().manual_seed(0)
faint = torch.tensor([[0.95, 0.05]]).repeat(100_000, 1)  # (T, k)
compare(my_share, random_second_expert(faint, 0.2, rng)[:, 1].float().mean().item(), within="5 %")
T, N, k = 4096, 8, 2
C = expert_capacity(T, N, k, 1.0)
for threshold in (1e-9, 0.2, 0.5):
    asked, drops = [], []
    for seed in range(5):
        rng = torch.Generator().manual_seed(seed)
        logits = 3 * torch.randn(T, N, generator=rng)  # (T, N)
        selected = top_k_indices(logits, k)  # (T, k)
        weights = gate_selected(logits, selected, "topk_softmax")  # (T, k)
        sent = random_second_expert(weights, threshold, rng)  # (T, k)
        asked.append(sent[:, 1].float().mean().item())
        drops.append(drop_rate(within_capacity(selected, weights, C, N, wanted=sent), sent))
    print(f"threshold {threshold:>5g}: second experts asked {min(asked):.1%} to {max(asked):.1%}, "
          f"of what was asked, dropped {min(drops):.2%} to {max(drops):.2%}")  # fmt: skip
    assert (max(drops) == 0) == (threshold >= 0.2)

# %% [markdown]
# (The first threshold is so small that all are sent.) Faint second choices stay away, and leave
# room: with 0.2 already, nothing overflows here. Saving places is what it is for.
#
# > **Myth: "random routing explores experts outside the top k."** Here are the experts that were asked:

# %%
used = torch.zeros(T, N, dtype=torch.bool).scatter(1, selected, sent)  # (T, N)
outside = torch.ones(T, N, dtype=torch.bool).scatter(1, selected, False)  # (T, N): not among the k best
print(f"of {T} tokens, asked an expert outside the top {k}: {int((used & outside).any(dim=1).sum())}")
assert not (used & outside).any()

# %% [markdown]
# Right is: it only ever leaves an expert *out*. What may try others is noise on the logits, or jitter (lesson 09).
#
# ## Balance without a loss
#
# A balance loss pulls the router away from what the task wants. Wang et al. (2024, arXiv:2408.15664) do without: each
# expert has a bias $b_i$, added **for the selection only**.
#
# $$S = \text{the } k \text{ largest of } s_i + b_i, \qquad w_i \text{ from } s_i \text{ alone}, \qquad
# b_i \leftarrow b_i + u \cdot \mathrm{sign}(\text{mean load} - \text{load}_i)$$
#
# The scores $s$ are sigmoids or probabilities. After each step, whoever had too little is raised, whoever had too
# much is lowered, and at the mean nothing moves.
#
# **Predict.** Loads 6, 1, 1, 0. E2 is one token short, E4 two. Which bias rises more: `E2`, `E4` or `same`?

# %% name="predict-sign" tags=["predict"]
my_faster = ...  # "E2", "E4" or "same"

# %%
balancer = BiasBalancer(4, u=0.1)
balancer.update([6, 1, 1, 0])
compare(my_faster, "same" if balancer.bias[1] == balancer.bias[3] else "E4")
print("bias after one step:", balancer.bias.numpy().round(2))
scores = torch.tensor([[0.60, 0.45, 0.30, 0.20]])  # (T, N)
chosen = balancer.select(scores, 1)  # (T, k)
print(f"selected E{chosen.item() + 1}, its weight {scores.gather(-1, chosen).item():.2f}, "
      f"with the bias in it {(scores + balancer.bias).gather(-1, chosen).item():.2f}")  # fmt: skip
assert chosen.item() == 1

# %% [markdown]
# Only the sign counts. The token now goes to E2, and is weighed with E2's own score, .45. Adding the bias to the weight
# as well is a known mistake: the output would then change whenever the *load* does.
#
# How large should $u$ be? First without any learning: 16 experts, k = 2, sigmoid scores that favour some experts,
# fresh tokens at every step. The null is dice. (Some 4 seconds.)


# %%
def balance(u, seed, steps=300, T=512, N=16, k=2):
    """Tokens of each expert at every step, (steps, N), for a fixed skewed router with a bias"""
    rng, balancer, loads = torch.Generator().manual_seed(seed), BiasBalancer(N, u), []
    skew = 0.5 * torch.randn(N, generator=rng)  # (N,)
    for _ in range(steps):
        scores = torch.sigmoid(skew + torch.randn(T, N, generator=rng))  # (T, N)
        loads.append(torch.bincount(balancer.select(scores, k).flatten(), minlength=N))  # (N,)
        balancer.update(loads[-1])
    return torch.stack(loads).numpy()


throws = [np.random.default_rng(seed).random((512, 16)).argsort(axis=1)[:, :2] for seed in range(200)]  # (T, k) each
dice = float(np.mean([max_violation(expert_load(throw, 16)) for throw in throws]))
print(f"dice, two different experts for each token: MaxVio {dice:.2f}")
print("     u   step 0   step 50   mean of the last 100, by seed")
late = {}
for u in tqdm((0.0, 1e-4, 1e-3, 1e-2, 1e-1), desc="u"):
    loads = np.stack([balance(u, seed) for seed in range(3)])  # (seeds, steps, N)
    curves = max_violation(loads)  # (seeds, steps)
    late[u] = curves[:, -100:].mean(axis=1)  # (seeds,)
    print(f"{u:>6g} {curves[:, 0].mean():>8.2f} {curves[:, 50].mean():>9.2f}   {late[u].round(2)}")
print("u = 0.1: tokens of E1 in the last six steps:", loads[0, -6:, 0], "mean of all experts:", loads[0, -1].mean())
assert (late[1e-4] > 2 * late[1e-3]).all()
assert (late[1e-1] > 2 * late[1e-2]).all()
assert max(late[1e-3].max(), late[1e-2].max()) < 1.5 * dice

# %% [markdown]
# Too small: after 300 steps it is still on its way. Too large: every step overshoots, and the load swings to and fro
# (last line). The two values between them come down to about what dice do. The right $u$ depends on the scores, on how
# long you train and on the skew; 0.001 is the value of the paper, for sigmoid scores.
#
# ## The table of lesson 09, continued
#
# Now the router learns, too, and the scores are probabilities.
#
# **Predict.** Of u = 0.0001, 0.001, 0.01 and 0.1: which has the lowest task error? And does *any* $u$ make the error
# worse than no balancing at all? (20 layers, some 5 seconds.)

# %% name="predict-u" tags=["predict"]
my_best_u = ...  # one of the four
my_any_worse = ...  # True or False

# %% name="run-bias" tags=["6 s"]
for name in tqdm(("bias",), desc="bias"):
    results |= balancing_runs.run(name, methods=methods)
error = {u: results["bias", u].error[-1] for u in (0.0001, 0.001, 0.01, 0.1)}  # (S,) each
compare(my_best_u, min(error, key=lambda u: error[u].mean()))
compare(my_any_worse, any(e.mean() > results["none", 0.0].error[-1].mean() for e in error.values()))
print(capacity_runs.table(results))

# %%
paired(("bias", 0.01), ("none", 0.0), "error")
paired(("bias", 0.01), ("switch", 0.1), "error")
paired(("bias", 0.01), ("switch", 0.1), "max_violation")
paired(("bias", 0.1), ("bias", 0.01), "max_violation")
paired(("bias", 0.001), ("none", 0.0), "error")
assert (difference(("bias", 0.01), ("none", 0.0), "error") < 0).all()
assert (difference(("bias", 0.01), ("switch", 0.1), "max_violation") < 0).all()
assert (difference(("bias", 0.1), ("bias", 0.01), "max_violation") > 0).all()
assert (difference(("bias", 0.001), ("none", 0.0), "error") > 0).all()
assert not results["bias", 0.001].dead[-1].any()
slow_error = results["bias", 0.001].error.mean(axis=1)  # (F,)
assert slow_error[-1] > slow_error.min() + 0.02

# %% [markdown]
# With u = 0.01 the loads are more even than with the Switch loss (α = 0.1), and the error is far below that of no
# balancing. Against that loss the errors are too close to call. u = 0.1 swings, as above.
#
# The slow ones surprise. u = 0.0001 hardly moves the loads in 300 steps. u = 0.001 does, and keeps all experts alive,
# but its error is **higher** than that of no balancing, in every seed. A likely reason: while the bias is on its way,
# tokens change experts all the time, and no expert has a fixed task. If so, waiting should help. It does (last *deeper*
# cell). That fits the reason, and does not prove it.
#
# **Question for the picture:** choose `bias` and go through its four strengths. How does the slow bias differ from the
# right one? Then `capacity`: how far do the favourites shrink?

# %% name="picture-balancing"
Live(
    partial(balancing_svg, results),
    idle=partial(idle_strength, results),
    method=choice("method", {result.label: name for (name, _), result in results.items()}, "bias"),
    strength=slider("coefficient, smallest first", 3, 1, 4, 1),
    step=slider("training step", 300, 0, 300, 15),
)

# %% [markdown]
# You should see bands that even out early with u = 0.01, the third. With u = 0.001 they keep
# moving until the end, and the error turns upwards on the way. With u = 0.1 they are saw-teeth. The
# bands of `capacity` show what is asked, so the favourites stay wide: for $c = 2$ nearly as wide as without.
#
# ## Balance over what?
#
# Loads are counted over *something*. First, over layers: some code joins the logits of all layers for one loss.
#
# **Predict.** Two layers, four experts. Layer 1 prefers E1 and E2, layer 2 prefers E3 and E4. What is the
# pooled balance loss?

# %% name="predict-pooled" tags=["predict"]
my_pooled_loss = ...  # a number

# %% [markdown]
# > **Myth: "a balanced pooled loss means balanced layers."**

# %%
rng = torch.Generator().manual_seed(0)
lean = torch.tensor([[2.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 2.0]])  # (layers, N)
h = lean[:, None] + torch.randn(2, 4096, 4, generator=rng)  # (layers, T, N)
# three dimensions: the rows of both layers are pooled
pooled, apart = load_balancing_loss(h, 1), [load_balancing_loss(layer, 1) for layer in h]
compare(my_pooled_loss, pooled.item(), within="5 %")
print(f"pooled {pooled:.3f}, by layer {apart[0]:.3f} and {apart[1]:.3f}; "
      f"MaxVio {[round(float(max_violation(expert_load(top_k_indices(one, 1).numpy(), 4))), 2) for one in h]}")  # fmt: skip
assert abs(pooled - 1) < 0.02
assert min(apart) > 1.3


# %%
def train_two(pool, seed, steps=200):
    """MaxVio of both layers after training their leanings with one pooled loss, or one for each layer"""
    rng, b = torch.Generator().manual_seed(seed), lean.clone().requires_grad_()
    optimizer = torch.optim.Adam([b], lr=0.02)
    for _ in range(steps):
        h = b[:, None] + torch.randn(2, 256, 4, generator=rng)  # (layers, T, N)
        loss = load_balancing_loss(h, 1) if pool else sum(load_balancing_loss(one, 1) for one in h) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fresh = b.detach()[:, None] + torch.randn(2, 4096, 4, generator=rng)  # (layers, T, N)
    return [max_violation(expert_load(top_k_indices(one, 1).numpy(), 4)) for one in fresh]


for pool in (True, False):
    violations = np.array([train_two(pool, seed) for seed in range(3)])  # (seeds, layers)
    print("pooled loss:   " if pool else "loss per layer:", "MaxVio of layers 1 and 2, by seed", *violations.round(2))
    assert (violations > 0.7).all() if pool else (violations < 0.25).all()

# %% [markdown]
# Right is: an expert of layer 1 and one of layer 2 have nothing in common but the number. Opposite leanings
# cancel, and the pooled loss sees nothing to mend. Compute the loss in each layer, then average.
#
# Second, over tokens. Large batches are worked off in **micro-batches**, often one or a few texts each. Suppose four
# domains and a router that knows them: each domain has its own expert. Over a **global** batch of 32 random texts that
# is roughly balanced. Within one text it is collapse. We minimise the balance loss alone, starting there, with f and P
# counted over more or fewer texts, and measure what the expert still tells about the domain, the **mutual
# information**: 2 bits is all.
#
# **Predict.** With one text per micro-batch, how many bits are left? (Some 8 seconds.
# `step` is the learning rate; the last two rows repeat two others with a larger one.)

# %% name="predict-bits" tags=["predict"]
my_bits = ...  # a number from 0 to 2


# %%
def scoped(parts, mixed, seed, lr=0.3, steps=200):
    """Bits about the domain, and MaxVio over all, after minimising the balance loss, counted in `parts` of a batch"""
    rng, table = torch.Generator().manual_seed(seed), (2.5 * torch.eye(4)).requires_grad_()  # (domains, N)
    optimizer = torch.optim.SGD([table], lr=lr)
    for _ in range(steps):
        domain = torch.randint(4, (32,), generator=rng).repeat_interleave(64)  # (T,): 32 texts of 64 tokens
        order = torch.randperm(len(domain), generator=rng) if mixed else torch.arange(len(domain))  # (T,)
        h = table[domain[order]] + 0.5 * torch.randn(len(domain), 4, generator=rng)  # (T, N)
        h = h.reshape(parts, -1, 4)  # (parts, tokens, N)
        loss = balance_of_layers(h, top_k_indices(h, 1)).mean()  # of each part, then the mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    label = torch.arange(4).repeat(1024)  # (fresh tokens,)
    h = table.detach()[label] + 0.5 * torch.randn(len(label), 4, generator=rng)  # (fresh tokens, N)
    expert = h.argmax(dim=-1).numpy()
    return mutual_information(label.numpy(), expert, base=2), max_violation(expert_load(expert[:, None], 4))


# %% name="run-scope" tags=["7 s"]
settings = ((1, False, 0.3), (4, False, 0.3), (32, False, 0.3), (32, True, 0.3), (1, False, 1.0), (32, True, 1.0))
found = {}
for parts, mixed, lr in tqdm(settings, desc="scopes"):
    found[parts, mixed, lr] = np.array([scoped(parts, mixed, seed, lr) for seed in range(3)])  # (seeds, 2)
bits = {setting: both[:, 0] for setting, both in found.items()}  # (seeds,) each
compare(my_bits, bits[32, False, 0.3].mean().round(1), within=0.2)
for (parts, mixed, lr), both in found.items():
    what = "64 tokens of mixed texts" if mixed else f"whole texts, {32 // parts} at a time"
    by_seed, violation = both.T.round(2)  # (seeds,) each
    print(f"f and P over {what:<26} step {lr}: bits by seed {by_seed}, MaxVio over all {violation}")
    assert both[:, 1].max() < 0.2
assert (bits[1, False, 0.3] > 1.8).all()
assert (bits[32, False, 0.3] < 0.1).all()
assert abs(bits[4, False, 0.3].mean() - 0.5) < 0.1
assert (bits[1, False, 1.0] < 1).all()
assert (bits[32, True, 0.3] > 1.7).all()
assert (bits[32, True, 1.0] < 1).all()

# %% [markdown]
# MaxVio over all is small everywhere (below 0.2), so it cannot tell them apart. But a loss per text forces *every text*
# onto all experts, and what the router knew about domains is gone. Eight texts at a time still lose about three
# quarters. The mixed row with the same step, 0.3, is the null: parts of the same size (64 tokens), from all texts, keep
# most. So it is first a matter of what a part consists of. Size counts as well: chance makes every part a little
# uneven. And a larger step wears knowledge down, too: then even the global batch loses over half. No task pulled
# against the loss here. Take the direction from this cell, not the amount.
#
# Qiu et al. (2025, arXiv:2501.11873) report this in language models, and count f over the global batch. The report of
# DeepSeek-V3 (2024, arXiv:2412.19437) compared three methods, and gives no spread:

# %%
validation_loss = {
    "loss per sequence": (2.258, 2.085),
    "bias, no loss": (2.253, 2.080),
    "loss per batch": (2.253, 2.080),
}
for method, (small, large) in validation_loss.items():
    print(f"{method:<18} 1B parameters {small:.3f}, 3B parameters {large:.3f}")
assert validation_loss["bias, no loss"] == validation_loss["loss per batch"]

# %% [markdown]
# With the same scope, loss and bias came out equal to three decimals. The bias is counted over the whole batch by
# construction, so part of its good name may be scope. (ST-MoE, Zoph et al. 2022, arXiv:2202.08906, tried a global loss
# and found it worse. It is not settled.)
#
# ## Recap
#
# 1. $C = \lceil c\,kT/N \rceil$. By position, late tokens and second choices are dropped; by probability, faint weights,
#    at the price of looking ahead.
# 2. A dropped token goes on unchanged, and the task teaches nobody through it. Even dice drop, more with fewer tokens
#    per expert.
# 3. Capacity re-routes nobody. Here it softened a collapse and did not cure it.
# 4. $b_i \leftarrow b_i + u\,\mathrm{sign}(\text{mean} - \text{load}_i)$, in the selection only. Too small arrives late,
#    too large swings.
# 5. Count per layer, and over many different texts. A pooled loss hides opposite leanings; a loss per text works
#    against what the router knows about texts (in our toy, without a task, it erased it).
#
# **What this lesson cannot tell you:** which method trains the better *large* model. One small task, one start, 300
# steps, five seeds. A good $u$ or $c$ here need not be good elsewhere.
#
# ## Quiz
#
# **1. A layer drops 4 % of its tokens at factor 1, with 64 tokens per expert. What follows?** (a) the router is
# badly balanced (b) nothing yet: dice drop that much (c) the weights are not normalised
#
# <details><summary>Answer</summary>
#
# (b). The null is between 4 and 5 % there. (a) would need far more. (c): weights decide at most *who* is dropped.
#
# </details>
#
# **2. Under bias balancing MaxVio stays large, and each expert's load jumps between much and little. What do you try
# first?** (a) a smaller u (b) a larger u (c) a larger capacity factor
#
# <details><summary>Answer</summary>
#
# (a). It overshoots. (b) makes the jumps larger. (c) drops fewer tokens, but MaxVio counts what is asked for, and
# stays.
#
# </details>
#
# **3. The logged balance loss is 1.00, pooled over 24 layers. Are the layers balanced?** (a) yes (b) no (c) it does not
# say
#
# <details><summary>Answer</summary>
#
# (c). Opposite leanings cancel, and even for one layer the value is no measure (lesson 09). So neither
# (a) nor (b) follows: log MaxVio and dead experts for each layer.
#
# </details>
#
# ## Next
#
# - Exercises: [](exercises:10), {{questions}}.
# - The code you used: [](module:balancing), and the experiment in
#   [](module:capacity_runs).
# - Lesson 11: [trained specialisation](lesson:11).

# %% [markdown] name="deeper-hook" tags=["deeper"]
# ## Deeper: a bias in a layer that knows nothing of it
#
# `MoELayer` has no bias of this kind. A forward hook on its router can replace the decision: select by $p + b$, weigh
# by $p$, and count in training. We only watch the load here; nothing is learned but the bias.


# %% name="deeper-hook-cell" tags=["deeper"]
def add_balancer(layer, balancer, k, form):
    """Let `balancer` decide the selection of a layer; returns a handle whose `remove()` undoes it."""

    def decide(router, inputs, routing):
        selected = balancer.select(routing.probs, k)  # (T, k)
        if router.training:
            balancer.update(torch.bincount(selected.flatten(), minlength=routing.logits.shape[-1]))
        return routing._replace(selected=selected, weights=gate_selected(routing.logits, selected, form))

    return layer.router.register_forward_hook(decide)


torch.manual_seed(0)
layer, balancer = MoELayer(16, 16, 8, 1, gate="softmax_topk"), BiasBalancer(8, u=0.01)
handle = add_balancer(layer, balancer, 1, "softmax_topk")
x = 1 + torch.randn(2048, 16)  # (T, d): tokens that are not centred, so the loads are uneven
violations = []
with torch.no_grad():
    for _ in range(100):
        violations.append(max_violation(expert_load(layer(x, return_routing=True)[1].selected.numpy(), 8)))
handle.remove()
print(f"MaxVio at steps 0, 20 and 99: {violations[0]:.2f}, {violations[20]:.2f}, {violations[99]:.2f}")
assert violations[99] < 0.5 * violations[0]

# %% [markdown] name="deeper-wait" tags=["deeper"]
# ## Deeper: the slow bias, given time
#
# 1,200 steps instead of 300, some 9 seconds.

# %% name="deeper-wait-cell" tags=["12 s", "deeper"]
longer = {}
for name, u in tqdm((("none", (0.0,)), ("bias", (0.001,))), desc="1,200 steps"):
    longer |= balancing_runs.run(name, steps=1200, coefficients=u, methods=methods)
print(capacity_runs.table(longer))
for result in longer.values():
    error = result.error.mean(axis=1)[[5, 10, 20]].round(2)
    print(f"{result.setting:<16} error after {result.steps[[5, 10, 20]]} steps: {error}")
gap = longer["bias", 0.001].error[-1] - longer["none", 0.0].error[-1]  # (S,)
print(f"error of the slow bias lower in {(gap < 0).sum()} of {gap.size} seeds")
assert (gap < 0).all()
assert (longer["none", 0.0].dead[-1].mean()) < results["none", 0.0].dead[-1].mean()

# %% [markdown] name="deeper-wait-words" tags=["deeper"]
# Now the slow bias is better in every seed. But without any balancing, too, part of the uneven start has healed by
# itself. A table after 300 steps shows a moment of a training run, not its end.
