# %% [markdown]
# # 06 · Counting the cost: is it worth it?
#
# **What does a sparse layer save, and what does it cost?** "Only 2 of 8 experts run" sounds like a gift. Somebody
# stores the other six, moves them through memory, and trains them. This lesson counts first, then trains sparse and
# dense layers side by side.
#
# You will be able to
#
# 1. count the parameters of an MoE layer, stored and active, and reproduce a published total with its convention;
# 2. say what k/N, N/k and "75 % saved" compare, and name the baseline that is missing;
# 3. predict how many experts a batch touches, and what that means for memory;
# 4. say what finer experts change, and what they leave as it was;
# 5. compare a sparse layer with dense ones in three coins: FLOPs, parameters, time.
#
# **Before:** lessons 01 and 04; from lesson 05, how experts are computed.
# **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
from dataclasses import replace
from functools import partial
from math import comb

import numpy as np
import torch

from moe_lessons import accounting
from moe_lessons.experiments import worth_it
from moe_lessons.accounting import PUBLISHED, experts_touched, layer_counts
from moe_lessons.checks import compare, reveal
from moe_lessons.data import clustered_regression
from moe_lessons.figures.accountant import PRESETS, accountant_svg, idle_sizes, own_config
from moe_lessons.figures.worth_it import COINS, points_of, worth_it_svg
from moe_lessons.layer import MoELayer
from moe_lessons.routing import top_k
from moe_lessons.support.progress import tqdm
from moe_lessons.support.timing import CLOCK_NAME, interleaved, timing_table
from moe_lessons.widgets.live import Live, choice, slider

torch.set_num_threads(1)  # one thread for all, so that times can be compared
print("times below are", CLOCK_NAME)

# %% [markdown]
# ## One tiny layer, by hand
#
# Take d = 3, f = 4, N = 4 experts, k = 2. A ReLU expert has two matrices: 3 × 4 and 4 × 3, so 24 weights. The router
# has 3 × 4 = 12. **Stored**: 4 × 24 + 12 = 108. **Active**, met by one token: 2 × 24 + 12 = 60. A real layer object
# agrees:

# %%
tiny = MoELayer(d_model=3, d_ff=4, num_experts=4, top_k=2)
for name, weight in tiny.named_parameters():
    print(f"{name:<18} {tuple(weight.shape)!s:<12} {weight.numel():>4}")
stored = sum(weight.numel() for weight in tiny.parameters())
counts = layer_counts(d_model=3, d_ff=4, num_experts=4, top_k=2, matrices=2)
print("stored", stored, " active", counts.active)
assert stored == counts.parameters == 4 * 24 + 12 == 108
assert counts.active == 2 * 24 + 12 == 60

# %% [markdown]
# **Predict.** The layer gets 8 experts instead of 4, and k stays 2. How many weights does one token meet now?

# %% name="predict-active" tags=["predict"]
my_active = ...  # a whole number

# %%
twice = layer_counts(3, 4, num_experts=8, top_k=2, matrices=2)
compare(my_active, twice.active)
print(f"stored {counts.parameters} -> {twice.parameters}, active {counts.active} -> {twice.active}")
assert twice.active == 2 * 24 + 3 * 8 == 72

# %% [markdown]
# Stored weights double. Active ones rise by 12: the router scores *all* N experts, whatever k is. So "the cost
# depends on k, not on N" is not quite true: in this tiny layer a fifth more, in real models little. In general, with
# c matrices to an expert (2 for ReLU, 3 for SwiGLU),
#
# $$\text{stored} = N \cdot c\,d f + dN, \qquad \text{active} = k \cdot c\,d f + dN.$$
#
# A **FLOP** is one multiplication or one addition, so each active weight costs 2 for each token. Training costs about
# three times as much as the forward pass, since the backward pass has two products for each one.
#
# The router's FLOPs in real models, against those of the k experts:

# %%
for name, model in PUBLISHED.items():
    c = model.config
    share = layer_counts(c.d_model, c.d_ff, c.num_experts, c.top_k).router_share
    print(f"{name:<14} N = {c.num_experts:>3}, k = {c.top_k}: router {share:.2%} of the experts' work")
    assert share < 0.01

# %% [markdown]
# Below one per cent in all five. Its FLOPs are cheap. What it decides is not.
#
# ## A whole model
#
# Mixtral 8x7B (Jiang et al. 2024, arXiv:2401.04088) is made of layers like that: N = 8, k = 2, 32 layers.
#
# **Predict.** How many billion parameters does "8x7B" have in all?

# %% name="predict-mixtral" tags=["predict"]
my_billions = ...  # a number

# %%
mixtral = PUBLISHED["Mixtral 8x7B"].config
billions = accounting.parameters(mixtral) / 1e9
compare(my_billions, billions, within="5 %")
one_expert = replace(mixtral, num_experts=1, top_k=1)
print(f"the same model with one expert: {accounting.parameters(one_expert) / 1e9:.2f} billion, the 7B of the name")
for item, count in accounting.breakdown(mixtral).items():
    print(f"{item:<16} {count / 1e9:8.4f} billion")

# %% [markdown]
# > **Myth: "8×7B = 56B."** The name suggests it. The breakdown does not.

# %%
repeated = 7 * (accounting.parameters(one_expert) - accounting.breakdown(one_expert)["routed experts"])
print(f"8 whole models {8 * accounting.parameters(one_expert) / 1e9:.1f}, Mixtral {billions:.1f} billion")
print(f"attention, embeddings and norms that 8 whole models would hold seven times more: {repeated / 1e9:.1f}")
assert round(billions, 1) == 46.7

# %% [markdown]
# Right is: only the FFNs are multiplied by 8. Attention, embeddings and norms exist once. An "expert" is one FFN in one
# layer, not a small model.
#
# Now five released models: their authors' numbers, and ours, counted from the sizes.

# %%
print(f"{'':<14} {'published':>14}   {'counted':>14}   (billions: total, active)")
for name, model in PUBLISHED.items():
    total, active = model.counted()
    print(f"{name:<14} {model.total:>6} {model.active:>7}   {total:>6} {active:>7}   {model.convention}")
    assert (total, active) == (model.total, model.active)

# %% [markdown]
# All agree, because we chose for each the convention that fits. Two of the five leave the input embedding out of
# "active": a token only looks up one row of it. For gpt-oss that is 5.1 against 5.7 billion. Qwen3's 3.35 was cut to 3.3.
# DeepSeek's notes exist in two versions (see `PUBLISHED["DeepSeek-V3"].source`). So the table checks the sizes, not a
# rule. Settle the convention before you compare.
#
# ## Saved, against what?
#
# With N = 8 and k = 2, k/N = 1/4 of the experts run. N/k = 4 is how many times more is stored than used.
#
# > **Myth: "MoE saves 75 % of the work."** Of which work?

# %%
layer = layer_counts(mixtral.d_model, mixtral.d_ff, mixtral.num_experts, mixtral.top_k)
whole = 1 - accounting.flops_per_token(mixtral) / accounting.flops_per_token(replace(mixtral, top_k=8))
print(f"one layer, against running all 8 experts: {layer.saved_against_all_experts:.1%} saved")
print(f"the whole model, attention included:      {whole:.1%} saved")
print(f"one layer, against a single FFN of expert size: {layer.times_one_expert:.2f} times the work")
assert 0.72 < whole < layer.saved_against_all_experts < 0.7501

# %% [markdown]
# Right is: 75 % against a model that nobody runs, all eight experts for every token. Against the dense model that you
# would build from one such FFN, the layer costs *twice as much*. A saving is a comparison. Name its baseline.
#
# **Question for the picture:** start with your own model and raise N from 8 to 64, at k = 2. Which numbers grow, and what
# happens to "saved"? Then choose Mixtral and raise the batch from 1 to 16. What do the bytes read do? Which released
# model stores the most for each parameter it uses? (Each group of bars has its own scale.)

# %% name="picture-accountant"
Live(
    accountant_svg,
    idle=idle_sizes,
    preset=choice("model", list(PRESETS)),
    num_experts=slider("N, experts", 8, 1, 256, 1),
    top_k=slider("k, active", 2, 1, 16, 1),
    d_model=slider("d, width", 1024, 256, 8192, 64),
    d_ff=slider("f, expert width", 4096, 256, 16384, 256),
    layers=slider("layers", 16, 1, 64, 1),
    batch=slider("B, batch", 1, 1, 256, 1),
    bits=slider("bits per weight", 16, 4, 32, 4),
)

# %% [markdown]
# You should see that N multiplies what is stored, from 1.7 to 13 billion, and leaves a token's FLOPs nearly where they
# were. "Saved" rises from 75.0 to 96.9 % although the token does the same work: only the baseline grew. With
# Mixtral a single token reads about a quarter of the model, and 16 tokens nearly all
# of it. (27.6 % are active, 27.3 % read: only the first counts the input embedding.) To rank stored against active, the
# next cell uses one convention, all embeddings included: gpt-oss stores the most.

# %%
ratios = {}
for name, model in PUBLISHED.items():
    c = model.config
    ratios[name] = accounting.parameters(c) / accounting.active_parameters(c)  # one convention for all
    read = [accounting.parameters_read(c, B) / accounting.parameters(c) for B in (1, 16)]
    print(f"{name:<14} stored/active {ratios[name]:5.1f}   read by 1 token {read[0]:.1%}, by 16 tokens {read[1]:.1%}")
assert max(ratios, key=ratios.get) == "gpt-oss-120b"
for N in (8, 64):
    own, saved = own_config(N, 2, 1024, 4096, 16), layer_counts(1024, 4096, N, 2).saved_against_all_experts
    print(f"your own, N = {N:>2}: {accounting.parameters(own) / 1e9:.1f} billion stored, {saved:.1%} saved in a layer, "
          f"{accounting.flops_per_token(own) / 1e9:.2f} billion FLOPs per token")  # fmt: skip

# %% [markdown]
# ## Bytes
#
# Sleeping experts must be stored all the same: the next token may want them. At 16 bits a weight is 2 bytes, so Mixtral
# needs 93 GB for its weights alone.
#
# And reading costs time. When a model writes text, it handles one new token at a time ("decoding"): every active weight
# is fetched from memory for 2 FLOPs. Is the processor busy then, or does it wait? Measure it: one matrix of 67 MB, and
# more and more tokens that use it. The control does the same FLOPs with a matrix of 1 MB, used 64 times.

# %%
W = torch.randn(4096, 4096)  # (d, f), single precision: more than most caches hold
tokens = {B: torch.randn(B, 4096) for B in (1, 4, 16, 64)}  # (B, d) each
small = torch.randn(512, 512)


def same_flops(x):
    """64 products with the small matrix: x (B, 512)"""
    for _ in range(64):
        torch.matmul(x, small)


work = {f"67 MB, B = {B:>2}": partial(torch.matmul, x, W) for B, x in tokens.items()}
work |= {f" 1 MB, B = {B:>2}": partial(same_flops, x[:, :512].contiguous()) for B, x in tokens.items()}
times = interleaved(work, rounds=5)
print(timing_table(times, "67 MB, B =  1"))
one, many = ({size: np.median(times[f"{size} MB, B = {B}"]) for size in ("67", " 1")} for B in (" 1", "64"))
print(
    f"64 tokens take {many['67'] / one['67']:.0f} times as long as one; with the small matrix {many[' 1'] / one[' 1']:.0f}"
)
assert one["67"] > one[" 1"]
print(
    f"the matrix: {W.numel() * 4 / 1e6:.0f} MB;  Mixtral at 16 bits: {accounting.weight_bytes(mixtral, 16) / 1e9:.1f} GB"
)

# %% [markdown]
# Compare the matrices at B = 1: equal FLOPs, but the large one should take several times as long. That gap is the
# evidence that a single token waits for its weights: in this measurement **bytes** count more than FLOPs. (Do 4
# tokens take longer? Then arithmetic counts too.) Against a dense model of equal *total*, that favours MoE for one
# user, who reads few weights for each token. A server gathers many tokens to reuse what it fetched. Then:
#
# > **Myth: "dormant experts cost no memory traffic."** True for one token. Each further token takes its own k.
#
# **Predict.** N = 8, k = 2, and 16 tokens, each choosing its pair at random. What share of the experts is used by at
# least one?

# %% name="predict-touched" tags=["predict"]
my_share_touched = ...  # a number between 0 and 1


# %%
def touched(logits, k, B):
    """logits (T, N), T a multiple of B -> mean share of experts that a batch of B tokens uses"""
    T, N = logits.shape
    used = np.zeros((T // B, N), dtype=bool)
    batch_of = np.arange(T)[:, None] // B  # (T, 1)
    used[batch_of, top_k(logits, k)[1]] = True
    return used.mean()


compare(my_share_touched, experts_touched(8, 2, 16), within="5 %")
for N, k, B in ((8, 2, 1), (8, 2, 16), (256, 8, 16), (256, 8, 64), (128, 8, 100)):
    runs = [touched(np.random.default_rng(s).normal(size=(200 * B, N)), k, B) for s in range(5)]
    expected = experts_touched(N, k, B)
    print(
        f"N = {N:>3}, k = {k}, B = {B:>2}: formula {expected:.3f}, simulated {np.mean(runs):.3f} ± {np.std(runs):.3f}"
    )
    assert abs(np.mean(runs) - expected) < 0.01

# %% [markdown]
# Right is: a batch of B touches $1 - (1 - k/N)^B$ of the experts, if choices are uniform and independent. One token
# skips an expert with probability 1 − k/N; all B must skip it. At 16 tokens hardly any of 8 experts sleeps, and the
# bytes are saved no longer.
#
# What if the router is uneven? We give each expert a fixed head start, drawn once and multiplied by `skew`.

# %%
N, k, B = 64, 8, 16
for skew in (0, 1, 3):
    runs, busiest = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(200 * B, N)) + skew * rng.normal(size=N)  # (T, N)
        runs.append(touched(logits, k, B))
        busiest.append(np.bincount(top_k(logits, k)[1].ravel(), minlength=N).max() / len(logits) * N / k)
    print(f"skew {skew}: {np.mean(runs):.2f} ± {np.std(runs):.2f} of the experts touched (uniform: "
          f"{experts_touched(N, k, B):.2f}), the busiest has {np.mean(busiest):.1f} times its fair share")  # fmt: skip
    assert (np.mean(runs) < experts_touched(N, k, B) - 0.1) == (skew > 0)
in_turn = np.kron(np.eye(4), [[1, 1]])  # (T, N): 4 tokens, each with another pair of 8 experts
print(
    f"4 tokens that share out 8 experts: {touched(in_turn, 2, 4):.0%} touched, the formula {experts_touched(8, 2, 4):.0%}"
)
assert touched(in_turn, 2, 4) == 1

# %% [markdown]
# Uneven but independent choices touch fewer experts, and tokens of one text are alike. It is no gain: those rarely
# chosen are stored and hardly used. (The busiest can have 8 times its share at most: then every token takes it.)
# Choices that are balanced *within* a batch are not independent, and can touch more. Lesson 09 is about balance.
#
# ## Finer experts
#
# Cut each expert into m pieces of width f/m and keep mk of mN. **Granularity** is the name for that. What changes? We
# cut 16 experts with k = 2 (d = 1024, f = 4096).

# %%
for m in (1, 2, 4):
    c = layer_counts(1024, 4096 // m, 16 * m, 2 * m, matrices=2)
    print(f"m = {m}: N = {16 * m:>2}, k = {2 * m}: stored {c.parameters / 1e6:.2f} M, active {c.active / 1e6:.2f} M, "
          f"router {c.router_share:.2%}, possible choices {comb(16 * m, 2 * m):>13,}")  # fmt: skip
assert comb(16, 2) == 120
assert comb(64, 8) == 4_426_165_368

# %% [markdown]
# Stored and active weights stay; the choices explode, from 120 to over four billion (Dai et al. 2024,
# arXiv:2401.06066, use this example). Two things cost: the router grows m-fold, and each product gets smaller, which
# hardware likes less. The next cell (some seconds) times a forward and a backward pass with nearly equal work.


# %%
def one_step(layer, x):
    """A forward and a backward pass, as a function without arguments"""

    def step():
        layer.zero_grad()
        layer(x).square().mean().backward()

    return step


x = torch.randn(512, 256)  # (T, d)
steps = {f"m = {m}": one_step(MoELayer(256, 512 // m, 16 * m, 2 * m), x) for m in (1, 2, 4, 8)}
print(timing_table(interleaved(steps, rounds=5, progress=tqdm), "m = 1"))
work = {m: layer_counts(256, 512 // m, 16 * m, 2 * m, matrices=2).flops for m in (1, 8)}
print(f"FLOPs at m = 8: {work[8] / work[1]:.2f} times those at m = 1")

# %% [markdown]
# If m = 8 takes much longer, its few per cent of extra FLOPs do not explain it. Smaller products may, or the rows to sort
# and move: each token goes to 16 experts, not 2. The table cannot separate them.
#
# Does it make the model better? DeepSeekMoE's authors report the same loss with 0.24 instead of 0.35 billion active
# expert parameters, for finer experts and a shared one together. OLMoE's (Muennighoff et al. 2024, arXiv:2409.02060)
# report 1 to 2 % from 32 to 64 experts: a diminishing gain. (The last at second hand.)
#
# ## Is it worth it?
#
# Now train. One layer alone, d = 32, must learn a map from 16,384 tokens and is tested on 4,096 others. The tokens fall
# into 16 clusters, and **each cluster has its own random map**. We planted that: different tokens need different
# treatment, and nothing in one cluster helps with another. A sparse layer is made for it.
#
# The sparse layer has N = 8 experts of width 32, k = 2, and form B, whose router learns at k = 1 too. Against it two
# dense layers: one with **equal active FLOPs**, one with **equal total parameters**. Their widths make the counts
# equal, router included.

# %%
for kind, make in worth_it.contenders().items():
    fresh = make()
    print(f"{kind:<19} {worth_it.parameters(fresh):>6,} parameters, {worth_it.flops(fresh):>6,} FLOPs per token")
    same = (worth_it.flops, 8_704) if kind == "dense, equal FLOPs" else (worth_it.parameters, 16_640)
    assert same[0](fresh) == same[1]

# %% [markdown]
# **Predict.** Error is a share of the target's variance: 1 is guessing the mean target. The dense layer with equal
# FLOPs ends near 0.2. And the sparse one?

# %% name="predict-sparse" tags=["predict"]
my_sparse_error = ...  # a number between 0 and 1

# %% [markdown]
# Every layer gets 400 steps of Adam (gradient descent that scales each step) with 512 tokens each, and three seeds.
# Each seed draws new clusters and maps. We also vary k. (15 to 40 seconds.)


# %%
def train_all(contenders, steps=400, **task):
    """contenders: (kind, k) -> makes a layer. Returns the runs with seeds 0, 1, 2; each seed draws a new task"""
    jobs = [
        (kind, make, seed) for seed in range(3) for (kind, _), make in contenders.items()
    ]  # in turns, for the times
    tasks = [clustered_regression(seed=seed, **task) for seed in range(3)]
    return [worth_it.train_and_test(kind, make, tasks[seed], seed, steps=steps) for kind, make, seed in tqdm(jobs)]


three = {(kind, 2): make for kind, make in worth_it.contenders(top_k=2).items()}
every_k = {("sparse", k): partial(worth_it.sparse, k) for k in (1, 4, 8)}
results = {"own map in each cluster": train_all(three | every_k)}
clustered = results["own map in each cluster"]
print(worth_it.summary(clustered))

# %% [markdown]
# First layer against layer, seed by seed: layers of one seed had the same task and the same batches.


# %%
def errors(runs, kind, k=2):
    """Test errors (seeds,) of one layer"""
    return np.array([run.error for run in runs if run.kind == kind and run.top_k in (0, k)])


compare(my_sparse_error, errors(clustered, "sparse").mean(), within="10 %")
for k, rival in ((2, "dense, equal FLOPs"), (2, "dense, equal total"), (8, "dense, equal total")):
    ratio = errors(clustered, "sparse", k) / errors(clustered, rival)  # (seeds,)
    print(f"sparse, k = {k}, against {rival}: {ratio.round(2)} of its error, seed by seed")
    assert (ratio < 1).all()
assert 0.18 < errors(clustered, "dense, equal FLOPs").mean() < 0.21
by_k = {k: errors(clustered, "sparse", k) for k in (1, 2, 4, 8)}
print("k:", {k: f"{e.mean():.3f} ± {e.std(ddof=1):.3f}" for k, e in by_k.items()})
best = [min(by_k, key=lambda k, seed=seed: by_k[k][seed]) for seed in range(3)]
print("best k, seed by seed:", best)
assert len(set(best)) > 1
assert (errors(clustered, "sparse") < errors(clustered, "dense, equal FLOPs") / 2).all()

# %% [markdown]
# At equal FLOPs the sparse layer has less than half the error, in every seed. It also beats the dense layer with
# equal total parameters, which does nearly four times as many FLOPs, by less. No k is best in all three seeds.
#
# Was it sparsity? **k = 8 is the control** that tells: all experts run, nothing is sparse, and parameters and FLOPs are
# those of the dense layer with equal total. It wins all the same. So that gain comes from gates and separate experts;
# sparsity makes it cheaper.
#
# Impressive? We chose the task. Now take away what we planted. **Control 1**: the same tokens in the same clusters, but
# **one map** for all. **Control 2**: no clusters either, one cloud of tokens and one map.
#
# **Predict.** In control 1, in how many of the three seeds does the sparse layer beat the dense one with equal *total*
# parameters?

# %% name="predict-control" tags=["predict"]
my_wins = ...  # 0, 1, 2 or 3

# %% [markdown]
# (10 to 30 seconds.)

# %%
results["control 1: one map"] = train_all(three, own_maps=False)
results["control 2: no clusters"] = train_all(three, clusters=1)
rivals = ("dense, equal FLOPs", "dense, equal total")
wins = {(name, r): (errors(runs, "sparse") < errors(runs, r)).sum() for name, runs in results.items() for r in rivals}
compare(my_wins, wins["control 1: one map", "dense, equal total"])
for name, runs in results.items():
    print(name)
    for rival in rivals:
        mine, other = errors(runs, "sparse"), errors(runs, rival)  # (seeds,)
        print(f"    sparse {mine.mean():.3f} ± {mine.std(ddof=1):.3f}, {rival} {other.mean():.3f} ± {other.std(ddof=1):.3f}: "
              f"{(mine / other).round(2)} of its error, sparse wins {wins[name, rival]} of 3")  # fmt: skip
for name in list(results)[1:]:
    assert wins[name, "dense, equal total"] == 0
    assert 0.75 < errors(results[name], "sparse").mean() / errors(results[name], "dense, equal FLOPs").mean() < 1.25

# %% [markdown]
# Against equal parameters the sparse layer loses every time, in both controls. Against equal FLOPs it is now close: a
# little ahead in all six of our runs, by 3 to 22 %. (Equal layers would give six of a kind one time in 32.) Two
# reasons for the loss are possible: that layer does nearly four times the work, or experts see too few tokens.
#
# **Question for the picture:** choose what you pay in. For each task: is any layer both cheaper and better than the
# sparse one with k = 2? Does the answer change with the coin?

# %% name="picture-worth-it"
shown = dict(results)
Live(
    lambda task, pay, shown=shown: worth_it_svg(shown[task], pay),
    task=choice("task", list(shown)),
    pay=choice("pay in", list(COINS)),
)

# %% [markdown]
# You should see what the next cell finds among the means; `=` marks an equal price.

# %%
for name, runs in shown.items():
    for pay in COINS:
        points = {point.label: point for point in points_of(runs, pay)}
        mine = points.pop("sparse, k = 2")
        better = [p for p in points.values() if p.error < mine.error and p.cost <= mine.cost]
        found = [f"{'= ' if p.cost == mine.cost else ''}{p.label} ({p.cost:.3g} against {mine.cost:.3g}, "
                 f"error {p.error:.3f} ± {p.sd:.3f} against {mine.error:.3f} ± {mine.sd:.3f})" for p in better]  # fmt: skip
        print(f"{name}, {pay}: {'; '.join(found) or 'none'}")

# %% [markdown]
# Own maps: in our run none, in any coin; k = 4 is level.
#
# Control 1: none in FLOPs; in parameters equal total (the diamond), better at an equal price; in seconds cheaper and
# better.
#
# Control 2: the diamond again. Equal FLOPs (the square) is just behind, with a quarter of the parameters and fewer
# seconds. So the answer changes with the coin. (The seconds are your machine's.)
#
# ## Paid in seconds
#
# FLOPs are arithmetic, seconds are what you wait for. The layers above are tiny, and sorting takes time that no FLOP
# counts. So take one training step at this size and one far larger. (Some seconds.)

# %%
for d, f, T in ((32, 32, 512), (256, 1024, 1024)):
    x = torch.randn(T, d)  # (T, d)
    layers = worth_it.contenders(top_k=2, d_model=d, d_ff=f)
    times = interleaved({kind: one_step(make(), x) for kind, make in layers.items()}, rounds=5, progress=tqdm)
    print(f"d = {d}, f = {f}, {T} tokens")
    print(timing_table(times, "dense, equal FLOPs"))
large = {kind: np.median(seconds) for kind, seconds in times.items()}
assert large["sparse"] < large["dense, equal total"]

# %% [markdown]
# At the small size the FLOPs say little about the time. At the larger one the sparse layer should be
# close to the dense layer with equal FLOPs (1.00), and well below the one with equal total. Two sizes make no law.
#
# And at our small size? A step of the large dense layer is quick there. Give it twice the steps, and the sparse one too;
# they train in turns. (10 to 30 seconds.)

# %%
longer = {}
for seed in tqdm(range(3)):
    task = clustered_regression(seed=seed)
    for kind, steps in (("sparse", 400), ("dense, equal total", 800), ("sparse", 800)):
        run = worth_it.train_and_test(kind, three[kind, 2], task, seed, steps=steps)
        longer.setdefault((kind, steps), []).append(run)
for (kind, steps), runs in longer.items():
    e, seconds = (np.array([getattr(run, what) for run in runs]) for what in ("error", "seconds"))  # (seeds,) each
    print(
        f"{kind:<18} {steps} steps: {seconds.mean():.2f} s, error {e.mean():.3f} ± {e.std(ddof=1):.3f}, by seed {e.round(3)}"
    )
dense, sparse_400 = longer["dense, equal total", 800], longer["sparse", 400]
price = [a.seconds / b.seconds for a, b in zip(dense, sparse_400, strict=True)]
print("price of about the same error, dense 800 / sparse 400, in seconds, by seed:", np.round(price, 2))
assert 0.75 < np.mean([run.error for run in dense]) / np.mean([run.error for run in sparse_400]) < 1.35
assert np.mean([run.error for run in longer["sparse", 800]]) < np.mean([run.error for run in dense])

# %% [markdown]
# With twice the steps the large dense layer comes near the sparse one's error at 400, and here stays a little behind in
# each seed. If the three prices lie on both sides of 1, or differ by as much as they exceed it, all you can tell is "about
# the same". And length matters: at 800 steps each, the sparse layer is ahead again.
#
# ## An honest answer
#
# > **Myth: "sparse is free: more parameters at the same cost."** The same FLOPs, yes. And the other coins?

# %%
seconds = {
    kind: np.mean([run.seconds for run in clustered if run.kind == kind and run.top_k in (0, 2)]) for kind, _ in three
}
print(f"at equal FLOPs: {16_640 / 4_352:.1f} times the parameters, "
      f"{seconds['sparse'] / seconds['dense, equal FLOPs']:.1f} times the seconds. In return:")  # fmt: skip
for name, runs in results.items():
    dense_small, dense_large = (errors(runs, kind).mean() for kind in ("dense, equal FLOPs", "dense, equal total"))
    mine = errors(runs, "sparse").mean()
    print(f"{name:<24} sparse has {mine / dense_small:.2f} of the error at equal FLOPs, "
          f"{mine / dense_large:.2f} at equal parameters")  # fmt: skip

# %% [markdown]
# Right is: the same FLOPs, but more memory, more bytes for a batch, more time at small sizes. In return you get
# capacity that pays **if different tokens need different treatment**.
#
# What favoured the sparse layer: clusters far apart, a map for each, and no map that helps another.
# What was against it: tiny sizes, where steps around the products, such as sorting (never timed alone here), weigh most.
# What did people measure on real models?
#
# - Switch (Fedus et al. 2021, arXiv:2101.03961): pre-training up to 7 times faster than T5's "with the same computational
#   resources". *From its abstract; "up to" is the best case.*
# - OLMoE (arXiv:2409.02060): the quality of a dense model with equal active parameters, for about 3 times fewer FLOPs, but
#   only about 2 times less time, because each token takes longer. *At second hand.*

# %%
fewer_flops, moe_speed, dense_speed = 3, 23.6, 37.5  # thousand tokens a second and GPU, OLMoE against dense
print(f"each token takes {dense_speed / moe_speed:.2f} times as long; "
      f"{fewer_flops} times fewer tokens: {fewer_flops / (dense_speed / moe_speed):.1f} times less time")  # fmt: skip

# %% [markdown]
# ## Recap
#
# 1. Stored: $N c\,df + dN$. Active: $k c\,df + dN$. Only the FFNs are multiplied, so 8x7B is 46.7 billion. Published
#    active counts follow different conventions.
# 2. k/N and N/k compare with running all experts. Against one FFN of expert size, k experts cost k times as much. Every
#    saving needs a baseline.
# 3. With uniform, independent choices a batch of B touches $1 - (1 - k/N)^B$ of the experts; uneven but independent
#    choices touch fewer, balancing within a batch can touch more. Sleeping experts must be stored.
# 4. Finer experts keep the counts and multiply the choices. They pay with a larger router and smaller products.
# 5. After 400 steps on the planted clusters the sparse layer won at equal FLOPs and at equal parameters, there even with
#    k = 8: by gates and experts; sparsity made it cheaper. With one map it lost at equal parameters and was close, a
#    little ahead, at equal FLOPs. Of two sizes, only the larger turned fewer FLOPs into less time.
#
# **What this lesson cannot tell you:** whether a sparse *language model* is worth it for you. One tiny layer on
# invented tasks shows when sparsity can pay, not how often text is like that.
#
# ## Quiz
#
# **1. "Our MoE matches a dense model with 3 times its active parameters." What is still missing?** (a) nothing (b) its
# total parameters, and the time (c) the number of experts
#
# <details><summary>Answer</summary>
#
# (b). Memory follows the total, and waiting follows the time; active parameters tell neither. (a) takes one coin for
# all. (c): N alone is no cost, without the size of an expert.
#
# </details>
#
# **2. A server runs a model with N = 128, k = 8 on batches of 100 tokens. Which bytes does a step read?** (a) a sixteenth
# of the experts (b) nearly all experts (c) all, always
#
# <details><summary>Answer</summary>
#
# (b). With uniform choices $1 - (15/16)^{100}$, over 99 %. (a) is one token's share. (c): a token alone, or a very uneven
# router, reads fewer.
#
# </details>
#
# **3. A paper compares its MoE with a dense model of equal *total* parameters and finds it a little worse at a quarter
# of the FLOPs. Fair?** (a) no, only equal active FLOPs are fair (b) yes, if it names the baseline (c) no, totals never
# compare
#
# <details><summary>Answer</summary>
#
# (b). It answers "what do I lose if I have this much memory?" Equal FLOPs answer another question. (a) and (c) allow one
# question only. Many readers have a fixed memory.
#
# </details>
#
# ## Next
#
# - Exercises: [](exercises:06).
# - The code you used: [](module:accounting) counts;
#   [](module:experiments/worth_it) trains.
# - Lesson 07: [what a router can learn](lesson:07) from its gradients.

# %% [markdown] name="deeper-learning-rate" tags=["deeper"]
# ## Deeper: was it the learning rate, or the length?
#
# All layers had 0.01. One seed with a third of it, three times as much, then 1,000 steps (10 to 30 seconds):

# %% name="deeper-learning-rate-cell" tags=["deeper"]
task = clustered_regression(seed=0)
for change in tqdm(({"learning_rate": 0.003}, {"learning_rate": 0.03}, {"steps": 1000})):
    found = {kind: worth_it.train_and_test(kind, make, task, **change).error for (kind, _), make in three.items()}
    print(change, {kind: round(value, 3) for kind, value in found.items()})
    assert found["sparse"] < found["dense, equal total"] < found["dense, equal FLOPs"]

# %% [markdown] name="deeper-order" tags=["deeper"]
# The order is the same. Widths and batches we did not vary: try `{"batch": 128}` as a change, or
# `three = {(kind, 2): make for kind, make in worth_it.contenders(d_ff=64).items()}` before the loop.
