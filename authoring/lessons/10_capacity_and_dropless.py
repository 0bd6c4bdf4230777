# %% [markdown]
# # 10 · Capacity and dropless dispatch
#
# **What if more tokens come to an expert than it has room for?** Somebody has to wait, or somebody has to go.
#
# You will be able to
#
# 1. say what dropless dispatch is, and find it in a layer that you have written;
# 2. compute a capacity, and say which tokens are dropped under two orders of priority;
# 3. work out what the others in a batch can change about your output;
# 4. count what each way costs on the same routing: empty rows, lost tokens, the busiest expert;
# 5. tell drops of chance from drops of a bad router, and say what capacity does to a router that is collapsing.
#
# **Before:** lesson 05 and [](lesson:09). **Time:** {{minutes}}.
#
# Which of these do you believe? (1) An expert can refuse a token. (2) What the layer makes of your sentence depends on
# the other sentences in the batch. (3) A fair router loses no token. (4) A limit on each expert makes tokens spread.

# %% name="setup" tags=["setup"]
from functools import partial
from itertools import product

import numpy as np
import torch

from moe_lessons.balancing import (
    drop_rate, drop_weights, expert_capacity, random_second_expert, uniform_drop_rate, within_capacity,
)  # fmt: skip
from moe_lessons.checks import compare, reveal
from moe_lessons.experiments import balancing_runs, bias_study, capacity_runs
from moe_lessons.experiments.studies import interval
from moe_lessons.figures import queue
from moe_lessons.figures.spread import spread_svg
from moe_lessons.figures.still import Picture
from moe_lessons.layer import MoELayer, gate_selected, top_k_indices
from moe_lessons.losses import load_balancing_loss
from moe_lessons.metrics import expert_load, max_violation
from moe_lessons.support.progress import tqdm
from moe_lessons.widgets.live import Live, choice, slider

# %% [markdown]
# ## Nobody is turned away
#
# You have written a layer that drops nothing: in lesson 05 the assignments were sorted by expert, and each expert got a
# slice, as long as it came. That is **dropless** dispatch. It is today's usual way: MegaBlocks (Gale et al. 2022,
# arXiv:2211.15841) made it fast, OLMoE (Muennighoff et al. 2024, arXiv:2409.02060) and DeepSeek-V3 (2024,
# arXiv:2412.19437; in training and when it answers) use it.
#
# Six tokens, three experts, k = 1. The experts live on three devices, and the layer is done when the last device is.
#
# **Predict.** The tokens t1 … t6 choose E1, E1, E2, E1, E3, E1. Add up the time of the three devices until the layer is
# done: what share of it is spent waiting, in percent, if a row costs the same everywhere?

# %% name="predict-wait" tags=["predict"]
my_waiting = ...  # a number, in percent

# %%
selected = torch.tensor([[0], [0], [1], [0], [2], [0]])  # (T, k)
load = torch.bincount(selected.flatten(), minlength=3)  # (N,)
compare(my_waiting, 100 * (1 - load.sum() / (3 * load.max())), "%")
print(f"rows of each expert: {load.tolist()}; at balance 2 each. It takes {load.max() / 2:g} times as long.")
assert load.tolist() == [4, 1, 1]

# %% [markdown]
# Half of it: E1 computes four rows, and two devices wait for three rows' time each. Dropless loses no token; it pays for
# uneven loads with time. (And it has to tell each device how many rows will come, before it sends them.)
#
# ## A closed door
#
# The older way promises each device a fixed number of rows. Each expert gets as many places, the **capacity** $C$, and
# whoever finds none is **dropped**. Balance would be two tokens each. We allow just that: a **capacity factor** of 1.
#
# **Predict.** Places are given in the order of the tokens. Which of t1 … t6 find none?

# %% name="predict-dropped" tags=["predict"]
my_dropped_tokens = ...  # a list such as [1, 2]

# %%
weights = torch.tensor([[0.4], [0.5], [0.6], [0.9], [0.7], [0.8]])  # (T, k)
kept = within_capacity(selected, weights, capacity=2, num_experts=3)  # (T, k)
dropped = [t + 1 for t in range(6) if not kept[t]]
compare(my_dropped_tokens, dropped)
print(f"kept: {kept[:, 0].tolist()}; dropped: {dropped}, a share of {drop_rate(kept):.2f}")
for c in (1.0, 1.25, 2.0):
    C = expert_capacity(num_tokens=6, num_experts=3, top_k=1, factor=c)
    kept = within_capacity(selected, weights, C, 3)  # (T, k)
    print(f"factor {c}: C = {C}, dropped {drop_rate(kept):.2f}, empty places {3 * C - int(kept.sum())} of {3 * C}")
assert dropped == [4, 6]
assert drop_rate(kept) == 0

# %% [markdown]
# E1 has two places, and four tokens want them. t4 and t6 are out, although E2 and E3 have a place left each. In
# general, with a capacity factor $c$ (a number; $c_i$ are prototypes; after Fedus et al. 2021, arXiv:2101.03961, Eq. 3, theirs for k = 1),
#
# $$C = \left\lceil c \cdot \frac{kT}{N} \right\rceil$$
#
# Every place is computed, whether or not somebody sits on it: buffers of a fixed size are simple, and no device waits
# for another. A larger $c$ means fewer drops and more empty rows.
#
# ## Who is dropped?
#
# t4 had weight .9 and t1 only .4, but t1 came first. Two orders are in use. **Position:** first all first
# choices, then all second choices; within each, earlier tokens first (GShard, Lepikhin et al. 2020, arXiv:2006.16668;
# Switch). **Probability:** larger weights first (for k = 1 this is V-MoE's batch prioritised routing, Riquelme et al. 2021,
# arXiv:2106.05974).
#
# **Question for the picture:** which tokens lose their place when you change the priority? Then, still with k = 1,
# raise `favour`, which is added to the logits of E1. Can any capacity factor make the empty places of E2 help those
# who wait at E1? At last, set k to 2.

# %% name="picture-queue"
for priority in ("position", "probability"):
    crowd = queue.batch(1.0, priority, 1, 1.0, 20)
    out = np.flatnonzero(~crowd.kept[:, 0])  # (dropped,)
    assert len(out) == 3
    assert (6 in out) == (priority == "position")
assert crowd.weights[6, 0].round(2) == 0.97
crowded = queue.batch(1.75, "position", 1, 6.0, 20)
assert (crowded.selected == 0).all()
Live(
    queue.queue_svg,
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
#
# ## What a dropped token is
#
# Not deleted. Its layer output is 0, and the layer sits in a residual stream: the token goes on as $x + 0$. Through it the
# task then teaches none of this layer's experts, nor its router. (The gradient passes by, to the layers below. And a balance
# loss still counts what was *asked for*.)
#
# With k = 2 a token can lose one expert and keep the other. Two ways are in use: the weights stay **as they are**, .6 and
# 0, and the output shrinks; or they are **renormalised**, divided by their sum.
#
# **Predict.** k = 2, form A, and a token has lost its second expert. Does the task send a gradient to the router through
# this token: `yes` or `no`, as they are, and renormalised?

# %% name="predict-gradient" tags=["predict"]
my_slope_as_they_are, my_slope_renormalised = ..., ...  # "yes" or "no" each


# %%
def slopes(layer, renormalise=False):
    """Of each token: how many experts it has left, whether the layer leaves it as it is, its largest slope. (T,) each"""
    routing = layer.router(x)
    C = expert_capacity(64, 8, routing.selected.shape[1], 1.0)
    kept = within_capacity(routing.selected, routing.weights, C, 8)  # (T, k)
    limited = routing._replace(weights=drop_weights(routing.weights, kept, renormalise))
    stream = x + layer(x, routing=limited)  # (T, d)
    (g,) = torch.autograd.grad(stream.square().sum(), routing.logits)  # (T, N)
    return kept.sum(dim=1), (stream == x).all(dim=1), g.abs().amax(dim=1)


torch.manual_seed(0)
layer, x = MoELayer(16, 16, 8, 1, gate="softmax_topk"), torch.randn(64, 16)  # (T, d)
pair = MoELayer(16, 16, 8, 2)  # form A
after_drops = {"k = 1": slopes(layer), "k = 2, as they are": slopes(pair), "k = 2, renormalised": slopes(pair, True)}
hears = {name: "yes" if slope[left == 1].max() > 1e-3 else "no" for name, (left, _, slope) in after_drops.items()}
compare(my_slope_as_they_are, hears["k = 2, as they are"])
compare(my_slope_renormalised, hears["k = 2, renormalised"])
for name, (left, same, slope) in after_drops.items():
    for n in left.unique().tolist():
        of = left == n  # (T,)
        print(f"{name:<21}{int(of.sum()):>3} tokens have {n} left; unchanged by the layer: {int(same[of].sum()):>2}; "
              f"largest slope at the router {slope[of].max():.2f}")  # fmt: skip
assert all(torch.equal(same, left == 0) for left, same, _ in after_drops.values())
assert not any(slope[left == 0].any() for left, _, slope in after_drops.values())
assert [*hears.values()] == ["yes", "yes", "no"]

# %% [markdown]
# As they are: yes. .6 is still weighed against the .4 that is lost. Renormalised: no. What is left has weight 1 whatever the
# logits say, as with k = 1 (lesson 04). The expert that is left learns either way.
#
# ## Who else is in the batch
#
# Your sentence is eight tokens. It is computed alone, then with 56 tokens of other people.
#
# **Predict.** k = 1, and the others stand *behind* you. Is the layer's output for *your* tokens the same with and without
# them: `yes` or `no`, for dropless dispatch, for 8 places given by position, and for 8 places given by probability?

# %% name="predict-company" tags=["predict"]
my_same_if_dropless = ...  # "yes" or "no"
my_same_by_position, my_same_by_probability = ..., ...


# %%
def output(x, C=None, priority="position"):
    """x (T, d) -> (T, d). C places for each expert; None: as many as it takes"""
    routing = layer.router(x)
    if C is not None:
        kept = within_capacity(routing.selected, routing.weights, C, 8, priority)  # (T, k)
        routing = routing._replace(weights=torch.where(kept, routing.weights, 0.0))
    return layer(x, routing=routing)


mine, others = x[:8], x[8:]  # (8, d), (56, d)
moved = {}
with torch.no_grad():
    for how in ((None, "position"), (8, "position"), (8, "probability")):
        alone = output(mine, *how)  # (8, d)
        moved[how, "in front"] = (output(torch.cat([others, mine]), *how)[-8:] - alone).abs().max().item()
        moved[how, "behind"] = (output(torch.cat([mine, others]), *how)[:8] - alone).abs().max().item()
same = {case: "yes" if gap < 1e-5 else "no" for case, gap in moved.items()}
compare(my_same_if_dropless, same[(None, "position"), "behind"])
compare(my_same_by_position, same[(8, "position"), "behind"])
compare(my_same_by_probability, same[(8, "probability"), "behind"])
for ((C, priority), where), gap in moved.items():
    way = f"8 places, by {priority}" if C else "dropless"
    print(f"{way:<26} others {where:<9} your outputs change by {gap:.1e} at most")
assert list(same.values()) == ["yes", "yes", "no", "yes", "no", "no"]

# %% [markdown]
# > **Myth: "in a mixture of experts your answer depends on who else is in the batch."** Right is: with a *capacity* it
# > does. Dropless, each token has its own experts and nobody can take them away. (Up to rounding: sums are done in
# > another order, lesson 02b.)
#
# By position, with k = 1, only those in front count. (With k = 2 also those behind: their first choices go before your
# second.) By probability everyone counts, so in training the rule looks ahead, at tokens that do not exist
# yet when the model writes. (Here the places were 8 with and without company. Where they grow with T, that is one more
# way in which the others count.)
#
# ## What each way costs
#
# One routing, three ways. Rows are what is multiplied. Dropless on a GPU multiplies whole blocks, in MegaBlocks 128
# rows, so each slice is filled up to a multiple; here blocks of 16. The third way drops nothing either: every expert
# gets as many places as the busiest needs (DeepSpeed with `drop_tokens=False`).
#
# **Predict.** A fair router, 4,096 tokens, 8 experts, k = 2, and places with factor 1.25. What share of the
# computed rows is empty, in percent?

# %% name="predict-empty" tags=["predict"]
my_empty_rows = ...  # a number, in percent


# %%
def cost(load, C=None, block=1):
    """load (N,) -> computed rows (N,), and how many of them hold a token (N,). C: places; None: as many as it takes"""
    rows = -(-load // block) * block if C is None else np.full_like(load, C)  # (N,), rounded up to whole blocks
    return rows, np.minimum(load, rows)


def routed(lean, T=4096, N=8, k=2, seed=0):
    """load (N,) of a random router that leans towards the first experts"""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(T, N)) + lean * np.linspace(1, -1, N)  # (T, N)
    return np.bincount(np.argsort(-h, axis=1)[:, :k].ravel(), minlength=N)


routings = {"fair": routed(0.0), "uneven": routed(0.5), "collapsed": routed(2.5)}
rows, filled = cost(routings["fair"], expert_capacity(4096, 8, 2, 1.25))
empty = 1 - filled.sum() / rows.sum()
compare(my_empty_rows, 100 * empty, "%", within="10 %")
print(f"{'':<40}rows   empty  dropped  busiest")
for name, load in routings.items():
    ways = {"dropless": (), "dropless, blocks": (None, 16), "room for the busiest": (load.max(),)}
    ways |= {f"capacity, c = {c:g}": (expert_capacity(4096, 8, 2, c),) for c in (1.0, 1.25, 2.0)}
    for way, how in ways.items():
        rows, filled = cost(load, *how)
        print(f"{name:<18}{way:<20}{rows.sum():>6}{1 - filled.sum() / rows.sum():>8.1%}"
              f"{1 - filled.sum() / load.sum():>9.1%}{rows.max() / load.mean():>9.2f}")  # fmt: skip
        name = ""
assert 0.19 < empty < 0.21
assert 1 - cost(load, expert_capacity(4096, 8, 2, 1.25))[1].sum() / load.sum() > 0.3  # the collapsed one
assert load.std() / load.mean() >= 1

# %% [markdown]
# `rows` are computed by all experts together, `empty` ones for nothing; `dropped` is the share of the assignments that is
# lost; `busiest` is how long the slowest of eight devices works, in units of the mean load. Each way pays for an uneven
# router with another coin. Dropless pays with the slowest device, and hardly any empty rows. Capacity never waits
# longer than $c$, and pays with lost tokens, or in good times with empty rows. Room for the busiest pays twice: all
# wait, and many rows are empty. None of them makes the loads even: dropless models are balanced, too.
#
# ## A router that throws dice
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


compare(my_uniform_drops, 100 * uniform_drop_rate(64 * 64, 64, 1.0), "%", within="a factor of 1.7")
print("tokens per expert     c   exact     five seeds, lowest to highest")
for each in (64, 8):
    for c in (1.0, 1.25, 2.0):
        exact, runs = uniform_drop_rate(each * 64, 64, c), [diced(each * 64, 64, c, seed) for seed in range(5)]
        print(f"{each:>10}{c:>13}  {exact:7.3%}   {min(runs):.3%} to {max(runs):.3%}")
        assert abs(exact - np.mean(runs)) < 0.01
assert abs(uniform_drop_rate(64 * 64, 64, 1.0) - 0.4 * 64**0.5 / 64) < 0.002

# %% [markdown]
# A good guess needs no formula: a count of 64 scatters by about √64 = 8. Of a normal curve so wide, what lies above its mean
# is 0.4 × 8 = 3.2 on average over all experts: 5 % of 64.
#
# Balance on average is not balance in every batch: counts scatter. Fewer tokens per expert scatter more, relative to
# their mean. So some drops are no sign of a bad router, and this is the null to compare with. (A real router's tokens
# are not independent dice: words of one text crowd together.)
#
# ## What capacity does to a collapse
#
# > **Myth: "capacity forces tokens to spread over the experts."** Right is: it caps the work of an expert, and nobody is
# > re-routed. If all tokens go to E1, with N = 8 and $c = 1.25$, then E1 keeps 16 % of them, the rest is lost, and E2 to
# > E8 still get none.
#
# But that is one forward pass. What does the router *learn* under a capacity? It could go either way: favourites learn
# from fewer tokens, so their lead may shrink; but a dropped token sends no gradient, so nothing pulls it elsewhere.
#
# We take the experiment of lesson 09: 16 clusters, 8 experts, k = 1, and E1 and E2 start ahead. Capacity, $c = 1$, holds in
# training and in the tests. A control drops in training only: it trains alike, so it has the same loads, and differs in the
# error alone. Loads, and with them MaxVio, CV and the dead, count what tokens *ask for*. `% over 1` is the share of fresh tokens
# that places with $c = 1$ drop, or would drop where nothing is.
#
# **Predict.** Without balancing, about four of eight experts are dead after 300 steps (they get less than 1 % of the
# mean load). And with capacity? (15 layers, some 9 seconds.)

# %% name="predict-dead" tags=["predict"]
my_dead_with_capacity = ...  # from 0 to 7, a mean over five runs, such as 3.4

# %% name="run-capacity" tags=["9 s"]
methods, results = bias_study.METHODS, {}
for name, c in tqdm((("none", 0.0), ("capacity", 1.0), ("capacity_in_training", 1.0)), desc="capacity"):
    results |= balancing_runs.run(name, coefficients=(c,), methods=methods)
dead = results["capacity", 1.0].dead[-1]  # (seeds,)
compare(my_dead_with_capacity, dead.mean(), within=max(0.5, dead.std(ddof=1)))
print(capacity_runs.table(results, factor=1.0))
print("collapsed (CV of 1 or more), of 5:", {name: int((r.cv[-1] >= 1).sum()) for (name, _), r in results.items()})
assert (results["capacity_in_training", 1.0].error[-1] < results["none", 0.0].error[-1]).all()
assert abs(capacity_runs.drop_rates(results["capacity", 1.0], 1.0)[-1].mean() - 0.5) < 0.05
assert (results["capacity", 1.0].max_violation[-1] < results["none", 0.0].max_violation[-1]).all()
assert 1 - expert_capacity(800, 8, 1, 1.25) / 800 > 0.84

# %% [markdown]
# Five seeds are few, so the course ships thirty more, from the uneven start, after 300 steps
# (`python -m moe_lessons.experiments.bias_study`). They hold another control, too: half of the tokens are dropped in
# training *by a coin*, whatever expert they chose.
#
# **Predict.** In how many of these 30 seeds is MaxVio lower than without any drops, if a coin drops them?

# %% name="predict-coin" tags=["predict"]
my_lower_by_coin = ...  # from 0 to 30

# %%
study = bias_study.load_results()
further = partial(bias_study.values, study, start="uneven", length=300, part="further")
coin, nothing = (further(measure="max_violation", method=name) for name in ("random_drops", "none"))  # (seeds,) each
compare(my_lower_by_coin, (coin < nothing).sum(), within=6)
print("uneven start, 300 steps: mean ± standard deviation; in how many of 30 further seeds below no balancing")
print(bias_study.further_table(study, "uneven"))
cv = {name: further(measure="cv", method=name) for name in ("none", "capacity_in_training", "random_drops")}  # (seeds,)
print("collapsed, of 30:", {name: int((values >= 1).sum()) for name, values in cv.items()})
assert [int((values >= 1).sum()) for values in cv.values()] == [28, 18, 28]
assert [(cv[name] < cv["none"]).sum() for name in ("capacity_in_training", "random_drops")] == [29, 14]
control, tossed, none = ({m: further(measure=m, method=name) for m in bias_study.MEASURES}
                         for name in ("capacity_in_training", "random_drops", "none"))  # (seeds,) each  # fmt: skip
assert [(drops["max_violation"] < none["max_violation"]).sum() for drops in (control, tossed)] == [28, 13]
assert ((control["dead"] < none["dead"]).sum(), (control["dead"] > none["dead"]).sum()) == (19, 2)
assert (control["error"] < none["error"]).sum() == 23
assert 0.05 < 1 - control["error"].mean() / none["error"].mean() < 0.08
assert 2 < control["max_violation"].mean() < 2.4

# %% [markdown]
# From the uneven start, after 300 steps, capacity **softens** the collapse, and the coin does not: MaxVio is lower in 28 of
# the 30 seeds, with the coin in 13; CV in 29, with the coin in 14. So it matters *who* is dropped: a capacity takes from
# favourites alone. Fewer experts are dead (fewer in 19 seeds, more in 2). But capacity seldom **cures** the collapse: by lesson
# 09's border (CV of 1 or more) 18 of the 30 layers are still collapsed, without it 28. On average the busiest expert still
# gets three times the mean load.
#
# The control's error is lower in 23 of the 30 seeds, by 7 % on average.
#
# Does that last, and is it so from a fair start? Twelve other seeds, up to 1,200 steps:

# %% name="picture-capacity-error"
with_capacity = [("capacity", 1.0), ("capacity_in_training", 1.0)]
Picture(
    spread_svg(bias_study.by_row(study, "error", with_capacity), ["300 steps", "1,200 steps"], "task error"),
    "mean ± standard deviation; c; in how many of 12 seeds below no balancing\n"
    + bias_study.table(study, "error", with_capacity),
)

# %%
print("load without, with capacity; the difference, 95 % interval; in how many of 12 seeds it is lower, higher")
for measure, start, steps in product(("max_violation", "cv", "dead"), bias_study.STARTS, (300, 1200)):
    without, with_it = (bias_study.values(study, measure, start, steps, name) for name in ("none", "capacity"))
    by = with_it - without  # (seeds,)
    low, high = interval(by)
    print(f"{measure:<14}{start:<7}{steps:>6,} steps: {without.mean():.2f}, {with_it.mean():.2f}; {by.mean():+.2f} "
          f"[{low:+.2f}, {high:+.2f}]; {(by < 0).sum()}, {(by > 0).sum()}", end="")  # fmt: skip
    print(f"; collapsed {(without >= 1).sum()}, {(with_it >= 1).sum()}" if measure == "cv" else "")
found = {(measure, steps, name): bias_study.values(study, measure, "uneven", steps, name)
         for measure in bias_study.HEADS for steps in (300, 1200) for name in bias_study.FIXED}  # fmt: skip
for steps, wins in ((300, 11), (1200, 9)):
    assert (found["max_violation", steps, "capacity"] < found["max_violation", steps, "none"]).sum() == wins
    assert found["max_violation", steps, "capacity"].mean() > 1.5
    assert (found["error", steps, "capacity"] > 2 * found["error", steps, "none"]).all()
    helped = (found["error", steps, "capacity_in_training"] < found["error", steps, "none"]).sum()
    assert helped == {300: 7, 1200: 5}[steps]
ratio = [
    bias_study.values(study, "error", "fair", steps, "capacity")
    / bias_study.values(study, "error", "fair", steps, "none")
    for steps in (300, 1200)
]  # (seeds,) each
assert [round(r.min(), 1) for r in ratio] == [1.7, 2.2]
gentler = [(bias_study.values(study, "max_violation", "fair", steps, "capacity")
            < bias_study.values(study, "max_violation", "fair", steps, "none")).sum() for steps in (300, 1200)]  # fmt: skip
assert gentler == [11, 8]
d = found["max_violation", 1200, "capacity"] - found["max_violation", 1200, "none"]  # (seeds,)
assert np.round([d.mean(), *interval(d)], 2).tolist() == [-0.44, -0.86, -0.03]
reach = [interval(found["cv", steps, "capacity"] - found["cv", steps, "none"]) for steps in (300, 1200)]
assert reach[0][1] < 0
assert reach[1][0] < 0 < reach[1][1]
assert [(found["cv", 1200, name] >= 1).sum() for name in ("none", "capacity")] == [10, 6]
fewer = [(found["dead", steps, "capacity"] < found["dead", steps, "none"]).sum() for steps in (300, 1200)]
more = [(found["dead", steps, "capacity"] > found["dead", steps, "none"]).sum() for steps in (300, 1200)]
assert (fewer, more) == ([7, 1], [2, 6])

# %% [markdown]
# After 1,200 steps, too, MaxVio is lower from the uneven start: on average by .44 [.03, .86], in 9 of the 12 seeds. But for
# CV that cannot be told (its interval holds 0), and 6 layers are collapsed, without a capacity 10. The dead are not fewer
# (fewer in one seed, more in 6): without a capacity, too, they come back with time. The control's
# error is lower in 7 after 300 steps (twelve seeds can miss such a gain), and in 5 after 1,200. From the fair start MaxVio
# is lower after 300 steps, in 11 seeds; after 1,200 it cannot be told. A table shows a moment of a training run, not its end.
#
# Where the capacity holds in the tests, the error from the uneven start is more than twice as high in every seed, at both
# lengths: many tokens are not computed (half, in your five runs).
#
# All of this was trained at the rate 0.005. At 0.02 little of it is left: see the first *deeper* part.

# %% [markdown]
# ## Recap
#
# 1. Dropless dispatch computes every assignment in slices as long as they come: lesson 05's sorted layer. It waits for
#    the busiest expert.
# 2. $C = \lceil c\,kT/N \rceil$. By position, late tokens and second choices are dropped; by probability, faint
#    weights. A dropped token goes on unchanged, and through it the task teaches neither this layer's experts nor its router.
# 3. With a capacity an output can depend on the others in the batch. Dropless, it does not.
# 4. Uneven loads are paid for in time (dropless), in lost tokens and empty rows (capacity), or in both.
# 5. Even dice drop: compare with them. Capacity re-routes nobody. Here, from an uneven start, at the rate 0.005, it
#    softened a collapse after 300 steps (MaxVio, CV, dead), but 18 of 30 layers stayed collapsed; after 1,200 only MaxVio was
#    clearly lower. Dropping as many at random, for 300 steps, did not soften it. At four times the rate no gain in load could
#    be told, and more experts were dead with it.
#
# Of the four sentences, (1) and (2) hold where there is a capacity, and (3) only where there is none. (4): nobody is moved;
# in training, from our uneven start, at one of two rates, the load became somewhat more even.
#
# **What this lesson cannot tell you:** what a capacity does with k = 2, or beside a balance loss, and what a dropped token costs in a deep language model. Our toy counts it as a
# guess of 0. In Switch's own table (128 experts, 100,000 steps) factors of 2, 1.25 and 1 end at a negative log perplexity
# of −1.554, −1.553 and −1.561, and ST-MoE (Zoph et al. 2022, arXiv:2202.08906) finds that fine-tuning bears drops of 10
# to 15 %.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - [Lesson 10b](lesson:10b): how loads become even without a loss.
# - Exercises: [](exercises:10), {{questions}}, for both.
# - The code you used: [](module:balancing), and the experiment in [](module:capacity_runs).

# %% [markdown] name="deeper-rate" tags=["deeper"]
# ## Deeper: capacity at a higher learning rate
#
# The control again, from the uneven start, at the rate 0.02, in twenty seeds:

# %% name="deeper-rate-cell" tags=["deeper"]
faster = partial(bias_study.values, study, start="uneven", part="faster")
less = {(measure, steps): faster(measure=measure, length=steps, method="capacity_in_training")
        - faster(measure=measure, length=steps, method="none")
        for measure in ("max_violation", "cv", "dead", "error") for steps in (300, 1200)}  # (seeds,) each  # fmt: skip
print(
    f"rate {bias_study.FASTER_RATE}: no balancing; the control less no balancing, 95 % interval; below it in … of 20 seeds"
)
for (measure, steps), by in less.items():
    base, (low, high) = faster(measure=measure, length=steps, method="none"), interval(by)
    print(
        f"{measure:<14}{steps:>6,} steps: {base.mean():.2f}; {by.mean():+.3f} [{low:+.3f}, {high:+.3f}]; {(by < 0).sum():>2}"
    )
assert [(less["max_violation", steps] < 0).sum() for steps in (300, 1200)] == [17, 8]
reach = [interval(less[measure, steps]) for measure in ("max_violation", "cv", "error") for steps in (300, 1200)]
assert all(low < 0 < high for low, high in reach)
assert min(interval(less["dead", steps])[0] for steps in (300, 1200)) > 0
assert (less["max_violation", 300] > 1).sum() == 2
assert np.allclose([less["dead", steps].mean() for steps in (300, 1200)], [0.8, 0.55])

# %% [markdown] name="deeper-rate-words" tags=["deeper"]
# At this rate little of it is left. After 300 steps MaxVio is lower in 17 of 20 seeds, but in two it is higher by more than
# 1; after 1,200 it is lower in 8. Its intervals hold 0, and so do those of CV. And *more* experts are dead with the capacity, by
# 0.80 and 0.55. So what a capacity does to a collapse hangs on the rate.

# %% [markdown] name="deeper-second" tags=["deeper"]
# ## Deeper: is a random second expert exploration?
#
# GShard's "random routing", for k = 2, uses the second expert with probability $\min(1, w_2 / \text{threshold})$, where
# 0.5 is GShard's threshold. It is often told as trying experts outside the top k. Here is who was asked:

# %% name="deeper-second-cell" tags=["deeper"]
T, N, k = 4096, 8, 2
rng = torch.Generator().manual_seed(0)
logits = 3 * torch.randn(T, N, generator=rng)  # (T, N)
selected = top_k_indices(logits, k)  # (T, k)
weights = gate_selected(logits, selected, "topk_softmax")  # (T, k)
for threshold in (1e-9, 0.5):  # the first is so small that all are sent
    sent = random_second_expert(weights, threshold, rng)  # (T, k)
    lost = drop_rate(within_capacity(selected, weights, expert_capacity(T, N, k, 1.0), N, wanted=sent), sent)
    print(f"threshold {threshold:g}: second experts asked {sent[:, 1].float().mean():.0%}; of what was asked, "
          f"dropped {lost:.2%}")  # fmt: skip
used = torch.zeros(T, N, dtype=torch.bool).scatter(1, selected, sent)  # (T, N)
outside = torch.ones(T, N, dtype=torch.bool).scatter(1, selected, False)  # (T, N): not among the k best
print(f"tokens that asked an expert outside the top {k}: {int((used & outside).any(dim=1).sum())}")
assert not (used & outside).any()

# %% [markdown] name="deeper-second-words" tags=["deeper"]
# It only ever leaves an expert *out*, to save places. What tries others is noise on the logits (lesson 09).

# %% [markdown] name="deeper-padding" tags=["deeper"]
# ## Deeper: padding counts
#
# Texts of unequal length are filled up with empty tokens, the **padding**. A router decides for these, too. They are alike,
# so they go to the same experts. There they take places, and count in the load that a loss or a bias sees, although nobody
# needs them. A mask leaves them out before anything is counted. Here fair dice, and every fourth row is padding:

# %% name="deeper-padding-cell" tags=["deeper"]
h = torch.randn(4096, 8, generator=torch.Generator().manual_seed(0))  # (T, N)
real = torch.arange(4096) % 4 != 0  # (T,): False is padding
h[~real] = torch.linspace(1, 0, 8)  # alike, and E1 comes first
chosen = h.argmax(dim=-1, keepdim=True)  # (T, 1)
for name, counted in {"padding counts": torch.ones_like(real), "left out": real}.items():
    C = expert_capacity(int(counted.sum()), 8, 1, 1.25)
    kept = within_capacity(chosen[counted], torch.ones(int(counted.sum()), 1), C, 8)  # (T, 1)
    load = expert_load(chosen[counted].numpy(), 8)  # (N,)
    print(f"{name}: MaxVio {max_violation(load):.2f}, balance loss {load_balancing_loss(h, 1, mask=counted):.3f}, "
          f"real tokens dropped {drop_rate(kept[real[counted]]):.1%}")  # fmt: skip
    assert (drop_rate(kept[real[counted]]) > 0.05) == (name == "padding counts")
