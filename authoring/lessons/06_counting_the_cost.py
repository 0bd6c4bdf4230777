# %% [markdown]
# # 06 · Counting the cost: is it worth it?
#
# **What does a sparse layer save, and what does it cost?** "Only 2 of 8 experts run" sounds like a gift. Somebody
# stores the other six, moves them through memory, and trains them. This lesson counts first, then trains sparse and
# dense layers side by side.
#
# You will be able to
#
# 1. count the parameters of an MoE layer and of a model, stored and active;
# 2. say what k/N, N/k and "75 % saved" compare, and name the baseline that is missing;
# 3. predict how many experts a batch touches, and what that means for memory;
# 4. say what finer experts change, and what they leave as it was;
# 5. compare a sparse layer with dense ones in three coins: FLOPs, parameters, time.
#
# **Before:** lessons 01 and 04; from lesson 05, SwiGLU and how experts are computed.
# **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
from dataclasses import replace
from functools import partial
from math import comb

import numpy as np
import torch

from moe_lessons import accounting
from moe_lessons.accounting import PUBLISHED, experts_touched, layer_counts
from moe_lessons.checks import compare, reveal
from moe_lessons.data import clustered_regression
from moe_lessons.experiments import worth_it
from moe_lessons.experiments.core import tensors
from moe_lessons.figures.accountant import PRESETS, accountant_svg, idle_sizes
from moe_lessons.figures.worth_it import COINS, worth_it_svg
from moe_lessons.layer import MoELayer
from moe_lessons.routing import top_k
from moe_lessons.support.progress import tqdm
from moe_lessons.support.timing import CLOCK_NAME, interleaved, timing_table
from moe_lessons.training import warmup_cosine
from moe_lessons.widgets.live import Live, choice, slider

torch.set_num_threads(1)  # one thread for all, so that times can be compared
print("times below are", CLOCK_NAME)

# %% [markdown]
# ## One tiny layer, by hand
#
# Take d = 3, d_ff = 4, N = 4 experts, k = 2. A SwiGLU expert has three matrices of 3 × 4 weights: 36. The router has
# 3 × 4 = 12. **Stored**: 4 × 36 + 12 = 156. **Active**, met by one token: 2 × 36 + 12 = 84. A real layer object agrees:

# %%
tiny = MoELayer(d_model=3, d_ff=4, num_experts=4, top_k=2, activation="swiglu")
for name, weight in tiny.named_parameters():
    print(f"{name:<12} {tuple(weight.shape)!s:<12} {weight.numel():>4}")
counts = layer_counts(d_model=3, d_ff=4, num_experts=4, top_k=2)
print("stored", sum(weight.numel() for weight in tiny.parameters()), " active", counts.active)
assert sum(weight.numel() for weight in tiny.parameters()) == counts.parameters == 4 * 36 + 12 == 156
assert counts.active == 2 * 36 + 12 == 84

# %% [markdown]
# **Predict.** The layer gets 8 experts instead of 4, and k stays 2. How many weights does one token meet now?

# %% name="predict-active" tags=["predict"]
my_active = ...  # a whole number

# %%
twice = layer_counts(3, 4, num_experts=8, top_k=2)
compare(my_active, twice.active)
print(f"stored {counts.parameters} -> {twice.parameters}, active {counts.active} -> {twice.active}")
assert twice.active == 2 * 36 + 3 * 8 == 96

# %% [markdown]
# Stored weights double. Active ones rise by 12: the router scores *all* N experts, whatever k is. In general
#
# $$\text{stored} = N \cdot 3\,d\,d_{\text{ff}} + dN, \qquad \text{active} = k \cdot 3\,d\,d_{\text{ff}} + dN.$$
#
# (A ReLU expert has two matrices: 2 in place of the 3.) Each active weight costs two FLOPs a token, a multiplication
# and an addition.
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
for item, count in accounting.breakdown(mixtral).items():
    print(f"{item:<16} {count / 1e9:8.4f} billion")
assert round(billions, 1) == 46.7

# %% [markdown]
# > **Myth: "8×7B = 56B."** The name suggests it.

# %%
one_expert = replace(mixtral, num_experts=1, top_k=1)
outside = accounting.parameters(one_expert) - accounting.breakdown(one_expert)["routed experts"]
print(f"the same model with one expert: {accounting.parameters(one_expert) / 1e9:.2f} billion, the 7B of the name")
print(f"8 of those: {8 * accounting.parameters(one_expert) / 1e9:.1f}, and Mixtral: {billions:.1f} billion")
print(f"eight whole models would hold all that is no expert seven times more: {7 * outside / 1e9:.1f} billion")

# %% [markdown]
# Right is: only the FFNs are multiplied by 8. Attention, embeddings and norms exist once. An "expert" is one FFN in one
# layer, not a small model.
#
# ## Saved, against what?
#
# With N = 8 and k = 2, k/N = 1/4 of the experts run. N/k = 4 is how many times more experts are stored than used.
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
# ## Bytes
#
# Sleeping experts must be stored all the same: the next token may want them. At 16 bits a weight is 2 bytes, so Mixtral
# needs 93 GB.
#
# And reading costs time. A model that writes text handles one new token at a time: every active weight is fetched from
# memory for 2 FLOPs. Does the processor work then, or wait? Measure two speeds: of reading a matrix of 268
# MB, more than caches hold, and of arithmetic, with a matrix of 1 MB that stays in the cache. Each predicts how long B
# tokens take with the large matrix.

# %% name="bytes"
n = 8192
W, small = torch.randn(n, n), torch.randn(512, 512)  # (d, d_ff) each, single precision
tokens = {B: torch.randn(B, n) for B in (1, 4, 16, 64)}  # (B, d) each


def same_flops(x):
    """As many FLOPs as x (B, n) times W has, with the small matrix: x (B, 512)"""
    for _ in range((n // 512) ** 2):
        torch.matmul(x, small)


work = {"read": W.sum, "compute": partial(same_flops, tokens[64][:, :512].contiguous())}
work |= {B: partial(torch.matmul, x, W) for B, x in tokens.items()}
work |= {f"cached {B}": partial(same_flops, tokens[B][:, :512].contiguous()) for B in (1, 16)}
ms = {name: 1000 * np.median(seconds) for name, seconds in interleaved(work, rounds=5).items()}
print(f"read {4 * n * n / 1e6 / ms['read']:.0f} GB a second, compute {2 * 64 * n * n / 1e6 / ms['compute']:.0f} GFLOPs")
for B in tokens:
    print(f"B = {B:>2}: reading alone {ms['read']:5.1f} ms, arithmetic alone {ms['compute'] * B / 64:5.1f} ms, "
          f"measured {ms[B]:6.1f} ms")  # fmt: skip
gain = {"the large matrix": 16 * ms[1] / ms[16], "the cached one": 16 * ms["cached 1"] / ms["cached 16"]}
print("a token of 16 costs less than one alone:", ", ".join(f"{name} {g:.1f} times" for name, g in gain.items()))
assert ms["read"] / 3 < ms[1] < 2 * ms["read"]
assert ms[1] > 3 * ms["compute"] / 64
assert ms[64] > 2 * ms[1]
weights = accounting.weight_bytes(mixtral, 16) / 1e9
print(f"Mixtral at 16 bits: {weights:.1f} GB")
assert 93 < weights < 94

# %% [markdown]
# You should see that one token takes roughly as long as reading does, and far longer than its share of a full block:
# the processor waits for **bytes**. With 64 tokens arithmetic alone takes longer than reading. One fetch can serve all:
# per token 16 cost far less than one. (The control, a matrix in the cache: its gain is not memory's.) So
# a server gathers many tokens. In an MoE layer that helps less: of B tokens an expert gets B·k/N. For 64 an expert, N =
# 256 and k = 8 need a batch of 2,048.
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
    simulated = touched(np.random.default_rng(0).normal(size=(200 * B, N)), k, B)
    print(f"N = {N:>3}, k = {k}, B = {B:>3}: formula {experts_touched(N, k, B):.3f}, simulated {simulated:.3f}")
    assert abs(simulated - experts_touched(N, k, B)) < 0.02

# %% [markdown]
# Right is: a batch of B touches $1 - (1 - k/N)^B$ of the experts, if choices are uniform and independent. One token
# skips an expert with probability 1 − k/N; all B must skip it. At 16 tokens hardly any of 8 experts sleeps, and no
# bytes are saved. Uneven routers touch fewer (*deeper*).
#
# **Question for the picture:** start with your own model and raise N from 8 to 64, at k = 2. Which numbers grow, and
# what happens to "saved"? Then choose Mixtral and raise the batch from 1 to 16: what do the bytes read do?

# %% name="picture-accountant"
Live(
    accountant_svg,
    idle=idle_sizes,
    preset=choice("model", list(PRESETS)),
    num_experts=slider("N, experts", 8, 1, 256, 1),
    top_k=slider("k, active", 2, 1, 16, 1),
    d_model=slider("d, width", 1024, 256, 8192, 64),
    d_ff=slider("d_ff, expert width", 4096, 256, 16384, 256),
    layers=slider("layers", 16, 1, 64, 1),
    batch=slider("B, batch", 1, 1, 256, 1),
    bits=slider("bits per weight", 16, 4, 32, 4),
)

# %% [markdown]
# You should see that N multiplies what is stored, from 1.7 to 13 billion, and leaves a token's FLOPs nearly where they
# were. "Saved" rises from 75.0 to 96.9 % although the token does the same work: only the baseline grew. With Mixtral a
# single token reads 27.3 % of the model, and 16 tokens nearly all of it.
#
# FLOPs do not show what training must keep, what travels between devices, and the cache of a model that writes
# (*deeper*).
#
# ## Finer experts
#
# Cut each expert into m pieces of width d_ff/m and keep mk of mN. **Granularity** is the name for that. What changes?
# We cut 16 experts with k = 2 (d = 1024, d_ff = 4096).

# %%
for m in (1, 2, 4):
    counts = layer_counts(1024, 4096 // m, 16 * m, 2 * m)
    print(f"m = {m}: N = {16 * m:>2}, k = {2 * m}: stored {counts.parameters / 1e6:.2f} M, "
          f"active {counts.active / 1e6:.2f} M, possible choices {comb(16 * m, 2 * m):>13,}")  # fmt: skip
assert comb(16, 2) == 120
assert comb(64, 8) == 4_426_165_368

# %% [markdown]
# Stored and active weights hardly move; the choices explode, from 120 to over four billion (Dai et al. 2024,
# arXiv:2401.06066, use this example). The price: the router and the rows to move grow m-fold, and each
# product gets smaller, which hardware likes less (*deeper*).
#
# ## Is it worth it?
#
# Now train. One layer alone, d = 32, must learn a map from 16,384 tokens and is tested on 4,096 others. The tokens fall
# into 16 clusters, and **each cluster has its own random map**. We planted that: nothing in one cluster helps with
# another. A sparse layer is made for it.
#
# The sparse layer is a small Mixtral: N = 8 SwiGLU experts of width 32, k = 2, a softmax over the two kept logits.
# Against it two dense SwiGLU layers: one with **equal active FLOPs**, one with **equal total parameters**. (Widths are
# rounded in favour of the dense ones.)

# %%
layers, price = worth_it.contenders(), {}
for kind, make in layers.items():
    fresh = make()
    price[kind] = worth_it.parameters(fresh), worth_it.flops(fresh)
    print(f"{kind:<19} {price[kind][0]:>6,} parameters, {price[kind][1]:>6,} FLOPs per token")
assert 1 < price["dense, equal FLOPs"][1] / price["sparse"][1] < 1.006
assert 1 < price["dense, equal total"][0] / price["sparse"][0] < 1.002

# %% [markdown]
# This is all the training there is. **Adam** is gradient descent that scales each step. Error is a share of the
# target's variance: 1 is guessing the mean target. The two dense layers first. (A few seconds.)


# %% name="train"
def train(layer, x, y, steps=400, highest=0.04):
    """x, y (T, d). The learning rate rises to `highest`, then falls"""
    optimizer = torch.optim.Adam(layer.parameters())
    for step in tqdm(range(steps)):
        optimizer.param_groups[0]["lr"] = highest * warmup_cosine(step, steps)
        rows = torch.randint(len(x), (256,))  # (B,): which tokens
        loss = (layer(x[rows]) - y[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def trained_error(kind, seed=0):
    """Train one layer and test it on tokens that it has not seen"""
    (x, y), (test_x, test_y) = (tensors(part) for part in clustered_regression(seed=seed))  # (T, d) each
    torch.manual_seed(seed)
    layer = layers[kind]()
    train(layer, x, y)
    with torch.no_grad():
        return float((layer(test_x) - test_y).square().mean() / test_y.var(dim=0).mean())


live = {kind: trained_error(kind) for kind in ("dense, equal FLOPs", "dense, equal total")}
print({kind: round(error, 3) for kind, error in live.items()})

# %% [markdown]
# Nearly four times the FLOPs, a third of the error.
#
# **Predict.** And the sparse one? Give its error as a multiple of the *large* layer's: 1 is equal, below 1 is better.

# %% name="predict-sparse" tags=["predict"]
my_multiple = ...  # a number

# %% [markdown]
# One seed is no evidence. So we trained every layer with eight seeds, each with its own clusters and maps. Its learning
# rate is the best of five on two *other* seeds. The results ship with the course
# (`python -m moe_lessons.experiments.worth_it`). The last line is your own run.

# %% name="study"
study = worth_it.load_results()  # (task, steps) -> label -> runs
OWN, ONE_MAP, NO_CLUSTERS = worth_it.TASKS


def errors(label, task=OWN, steps=400):
    """Test errors of one layer (seeds,)"""
    return np.array([run.error for run in study[task, steps][label]])


multiple = errors("sparse, k = 2") / errors("dense, equal total")  # (seeds,)
assert (multiple < 1).all()
assert round(np.median(multiple), 2) == 0.85
assert round(np.median(errors("sparse, k = 2") / errors("dense, equal FLOPs")), 2) == 0.28
compare(my_multiple, np.median(multiple), within="10 %")
print(f"seed by seed: {multiple.round(2)}\n")
arms = [runs for label, runs in study[OWN, 400].items() if "first" not in label]
print(worth_it.summary(sorted(arms, key=lambda runs: runs[0].top_k)))
print("your run:", {kind: round(error, 3) for kind, error in (live | {"sparse": trained_error("sparse")}).items()})
assert 3.8 < study[OWN, 400]["dense, equal total"][0].flops / study[OWN, 400]["sparse, k = 2"][0].flops < 4
assert 0.3 < (errors("dense, equal total") / errors("dense, equal FLOPs")).mean() < 0.37

# %% [markdown]
# After 400 steps the sparse layer is ahead of the large dense one in all eight seeds, by about 15 %, at a quarter of
# its FLOPs. With the softmax first (form B) it is behind in seven of eight (*deeper*). (With k = 1 the weight is the
# probability.)
#
# Is it sparsity that wins? **k = 8 is a control**: all experts run, nothing is sparse, and parameters and FLOPs are
# those of the large dense layer. **Constant gates** are another: all eight experts run, each with the weight 1/8,
# without a router. And does it last?
#
# In the next table a row is a pair of layers. The first row says: after 400 steps `sparse, k = 2` had 0.28 of the error
# of `dense, equal FLOPs` (median of eight seeds, from 0.27 to 0.30), and less error in 8 of 8.


# %% name="pairs"
PAIRS = (
    ("sparse, k = 2", "dense, equal FLOPs"),
    ("sparse, k = 2", "dense, equal total"),
    ("sparse, k = 8", "dense, equal total"),
    ("constant gates", "dense, equal total"),
    ("sparse, k = 2", "constant gates"),
)


def multiples(mine, other, task, steps):
    """Errors of one layer as multiples of another's (seeds,)"""
    return errors(mine, task, steps) / errors(other, task, steps)


def show_pairs(task):
    """For each pair and length: the median over seeds, the range, and how often the first layer has less error"""
    print(f"{task:<37}", *(f"{f'after {steps:,} steps':<30}" for steps in worth_it.LENGTHS))
    for pair in PAIRS:
        r = [multiples(*pair, task, steps) for steps in worth_it.LENGTHS]  # (seeds,) each
        cells = [f"{np.median(m):.2f} ({m.min():.2f} to {m.max():.2f}) in {(m < 1).sum()} of {len(m)}" for m in r]
        print(f"{' / '.join(pair):<37}", *(f"{cell:<30}" for cell in cells))


show_pairs(OWN)
first = multiples(*PAIRS[0], OWN, 400)  # (seeds,)
assert (round(np.median(first), 2), round(first.min(), 2), round(first.max(), 2)) == (0.28, 0.27, 0.3)
for steps in worth_it.LENGTHS:
    assert (multiples(*PAIRS[0], OWN, steps) < 1 / 3).all()
    assert max(multiples(*pair, OWN, steps).max() for pair in PAIRS[1:4]) < 1
assert abs(np.median(multiples("sparse, k = 8", "constant gates", OWN, 400)) - 1) < 0.02
assert [round(np.median(multiples(*PAIRS[i], OWN, 1000)), 2) for i in (2, 3)] == [0.86, 0.93]
assert [round(np.median(multiples(*PAIRS[4], OWN, n)), 2) for n in worth_it.LENGTHS] == [0.97, 0.85]
assert [(multiples(*PAIRS[4], OWN, n) < 1).sum() for n in worth_it.LENGTHS] == [7, 8]

# %% [markdown]
# At equal FLOPs k = 2 has less than a third of the error, at both lengths. Against equal total parameters it is ahead
# too. But so is k = 8, where nothing is sparse, and so are constant gates, where nothing is chosen: after 400 steps by
# as much as k = 8, after 1,000 by half as much. So it takes neither sparsity nor a router to beat the large dense
# layer: eight experts with fixed weights are a dense layer, started and scaled in another way. Of *them* k = 2 is ahead
# by 3 % after 400 steps, in seven of eight seeds, and by 15 % after 1,000, for a quarter of the FLOPs.
#
# We chose the task. Now take away what we planted. **Control 1**: the same tokens in the same clusters, but **one map**
# for all: no cluster needs a treatment of its own. **Control 2**: no clusters either, one cloud of tokens and one map.
#
# **Predict.** With its own map in each cluster, k = 2 had 0.28 of the error of the dense layer with equal FLOPs. Which
# multiple is it in control 1, after 400 steps?

# %% name="predict-control" tags=["predict"]
my_control = ...  # a number; 1 is equal, below 1 the sparse layer is better

# %%
compare(my_control, np.median(multiples(*PAIRS[0], ONE_MAP, 400)), within="20 %")
for task in (ONE_MAP, NO_CLUSTERS):
    show_pairs(task)
linear = []  # errors of linear regression on the study's tasks with one map
for seed in worth_it.SEEDS:
    seen, unseen = (tensors(part) for part in clustered_regression(seed=seed, own_maps=False))  # (T, d) twice, each
    off = unseen[0] @ torch.linalg.lstsq(*seen).solution - unseen[1]  # (T, d)
    linear.append(float(off.square().mean() / unseen[1].var(dim=0).mean()))
won = (np.array(linear) < errors("dense, equal FLOPs", ONE_MAP)).sum()
few, many = (np.median(errors(name, ONE_MAP)) for name in ("dense, equal FLOPs", "sparse, k = 2"))
print(f"errors, one map, 400 steps: dense, equal FLOPs {few:.3f}, linear regression {np.median(linear):.3f} "
      f"(lower in {won} of 8), sparse, k = 2 {many:.3f}")  # fmt: skip
assert won == 6
for steps in worth_it.LENGTHS:
    by_flops, by_total = ({t: multiples(*PAIRS[i], t, steps) for t in worth_it.TASKS} for i in (0, 1))
    assert (by_flops[ONE_MAP] < 1).all()
    assert 0.3 < np.median(by_flops[ONE_MAP]) < 0.38
    assert 0.95 < np.median(by_total[ONE_MAP]) < 1.05
    assert max(multiples(*PAIRS[i], ONE_MAP, steps).max() for i in (2, 3)) < 1
    assert multiples(*PAIRS[4], ONE_MAP, steps).min() > 1
    assert (by_flops[NO_CLUSTERS] < 1).sum() <= 4
    assert np.median(by_total[NO_CLUSTERS]) > 2.5
assert (errors("dense, equal FLOPs", NO_CLUSTERS, 1000) > 0.1).sum() == 1

# %% [markdown]
# **With one map** k = 2 still has little more than a third of the error at equal FLOPs. But the rival is weak here: the
# map is nearly linear, SwiGLU has no linear part, and linear regression does better (last line). Against equal total
# parameters the lead is gone: level with the dense layer, and behind constant gates in every seed.
#
# **Without clusters** no gain at equal FLOPs holds, and with as many parameters the dense layer is far better. (One
# dense run of 1,000 steps went astray: hence medians.)
#
# So here sparsity's gain is sure only where tokens fell into **groups that needed different maps**.
#
# ## Paid in seconds
#
# Sorting and moving rows takes time that no FLOP counts. So time one training step: at this size
# and at one far larger. (Some seconds.)


# %% name="seconds"
def one_step(layer, x):
    """A forward and a backward pass, as a function without arguments"""

    def step():
        layer.zero_grad()
        layer(x).square().mean().backward()

    return step


for d, d_ff, T in ((256, 512, 1024), (32, 32, 256)):
    x = torch.randn(T, d)  # (T, d)
    timed = {f"sparse, k = {k}": one_step(worth_it.sparse(k, d, d_ff), x) for k in (1, 2, 4, 8)}
    timed |= {kind: one_step(make(), x) for kind, make in worth_it.contenders(2, d, d_ff).items() if kind != "sparse"}
    times = interleaved(timed, rounds=5)
    print(f"d = {d}, d_ff = {d_ff}, {T} tokens\n{timing_table(times, 'dense, equal FLOPs')}")
    assert d == 32 or np.median(times["sparse, k = 2"]) < np.median(times["dense, equal total"])

# %% [markdown]
# At the larger size seconds should follow the FLOPs: k = 2 close to the dense layer with equal FLOPs (1.00), and well
# below the one with equal total. At the small size they do not.
#
# **Question for the picture:** choose what you pay in. For each task: is any layer both cheaper and better than the
# sparse one with k = 2? Does the answer change with the coin?

# %% name="picture-worth-it"
shown = {
    task: [replace(run, seconds=np.median(times[label])) for label in study[task, 400] if label in times
           for run in study[task, 400][label]] for task in worth_it.TASKS
}  # fmt: skip
for label in times:
    assert errors(label).mean() >= errors("sparse, k = 2").mean()
assert errors("sparse, k = 8", ONE_MAP).mean() < errors("sparse, k = 2", ONE_MAP).mean()
assert errors("dense, equal total", ONE_MAP).mean() > errors("sparse, k = 2", ONE_MAP).mean()
assert errors("dense, equal FLOPs", NO_CLUSTERS).mean() < errors("sparse, k = 2", NO_CLUSTERS).mean()
Live(
    lambda task, pay, shown=shown: worth_it_svg(shown[task], pay),
    task=choice("task", list(shown)),
    pay=choice("pay in", list(COINS)),
)

# %% [markdown]
# You should see, with own maps: none, in any coin. Control 1: none in FLOPs; for the same parameters k = 8 is better.
# Control 2: `dense, equal FLOPs` is better for half a per cent more FLOPs, a quarter of the parameters and less time.
# So the answer changes with the task and with the coin.
#
# ## An honest answer
#
# > **Myth: "sparse is free: more parameters at the same cost."** The same FLOPs, yes. And the other coins?

# %%
many, few = price["sparse"][0], price["dense, equal FLOPs"][0]
print(f"against equal FLOPs: {many / few:.1f} times the parameters, at this size "
      f"{np.median(times['sparse, k = 2']) / np.median(times['dense, equal FLOPs']):.1f} times the seconds of a step")  # fmt: skip
print(f"tokens a batch needs until an expert sees 64 on average: {64 * 8 // 2}, the dense layer 64")
tokens_a_second = {"OLMoE": 23.6, "dense": 37.5}  # thousands on each GPU, as published
assert round(3 * tokens_a_second["OLMoE"] / tokens_a_second["dense"]) == 2

# %% [markdown]
# Right is: the same FLOPs, but more memory, more bytes for a batch, more time at small sizes. In return
# our toy got about what a dense layer of all those parameters reached, **where tokens came in clusters**.
#
# What did people measure on real models?
#
# - Switch (Fedus et al. 2021, arXiv:2101.03961): pre-training up to 7 times faster than T5's "with the same
#   computational resources". *From its abstract; "up to" is the best case.*
# - OLMoE (arXiv:2409.02060): the quality of a dense model with equal active parameters, for about 3 times fewer FLOPs,
#   but only about 2 times less time, because each token takes longer. *At second hand.*
#
# ## Recap
#
# 1. Stored: $N \cdot 3\,d\,d_{\text{ff}} + dN$. Active: k in place of the first N. Only the FFNs are multiplied, so
#    8x7B is 46.7 billion.
# 2. k/N and N/k compare with running all experts. Against one FFN of expert size, k experts cost k times as much. Every
#    saving needs a baseline.
# 3. With uniform, independent choices a batch of B touches $1 - (1 - k/N)^B$ of the experts. Sleeping experts must be
#    stored, and trained with all their gradients.
# 4. Finer experts multiply the choices. They pay with a larger router, smaller products and more rows to move.
# 5. After 400 and after 1,000 steps the sparse layer won at equal FLOPs where clusters had their own maps; with one map
#    for all against a weak rival; not without clusters. At equal total parameters it was ahead, level and behind. Where
#    it was ahead, so were layers that choose nothing, at four times its FLOPs. Of two sizes, only the larger turned
#    fewer FLOPs into less time.
#
# **What this lesson cannot tell you:** whether a sparse *language model* is worth it for you. One tiny layer on
# invented tasks, with clusters far apart, shows what sparsity can do, not how often text is like that.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:06).
# - The code you used: [](module:accounting) counts;
#   [](module:experiments/worth_it) trains.
# - Lesson 07: [what a router can learn](lesson:07) from its gradients.

# %% [markdown] name="deeper-conventions" tags=["deeper"]
# ## Deeper: whose count of active parameters?
#
# Five released models: their authors' numbers, and ours, counted from the sizes.

# %% name="deeper-conventions-cell" tags=["deeper"]
head = f"{'':<14} {'published':>14}   {'counted':>14}   stored/active   router/experts"
print(head, "(billions: total, active)", sep="   ")
for name, model in PUBLISHED.items():
    total, active = model.counted()
    c = model.config
    ratio = accounting.parameters(c) / accounting.active_parameters(c)  # one convention for all
    share = layer_counts(c.d_model, c.d_ff, c.num_experts, c.top_k).router_share
    row = f"{name:<14} {model.total:>6} {model.active:>7}   {total:>6} {active:>7}   {ratio:13.1f}   {share:14.2%}"
    print(row, model.convention, sep="   ")
    assert (total, active) == (model.total, model.active)
    assert ratio < 20 or name == "gpt-oss-120b"
    assert share < 0.01

# %% [markdown] name="deeper-conventions-read" tags=["deeper"]
# All agree, because we chose for each the convention that fits. Two of the five leave the input embedding out of
# "active": a token only looks up one row of it. For gpt-oss that is 5.1 against 5.7 billion. By the ratio, which counts
# all embeddings, gpt-oss stores the most for what it uses. The percentage is the router's FLOPs against those of the k
# experts.

# %% [markdown] name="deeper-bills" tags=["deeper"]
# ## Deeper: three more bills
#
# Training keeps a gradient and Adam's two numbers for each weight, *of all N experts*. On several devices, tokens
# travel to their experts and back (**all-to-all**). And a model that writes reads, for each new token, the cached keys
# and values of all tokens before it:

# %% name="deeper-bills-cell" tags=["deeper"]
per_token = 2 * mixtral.top_k * mixtral.d_model * mixtral.layers  # numbers, there and back
a = mixtral.attention
cache = 2 * a.kv_heads * a.head_size * mixtral.layers  # numbers for each earlier token
stored, read = (2 * count / 1e9 for count in (accounting.parameters(mixtral), accounting.parameters_read(mixtral, 1)))
print(f"training, 16 bytes a weight: {8 * stored:.0f} GB, where 16-bit weights alone take {stored:.0f}")
print(f"all-to-all, forward: 2·k·d numbers a layer, {2 * per_token / 1e6:.1f} MB for each token")
print(f"cache after 32,000 tokens: {32_000 * 2 * cache / 1e9:.1f} GB to read, beside {read:.1f} GB of weights")
for N, total, part in ((8, 1.7, 0.75), (64, 13.0, 0.969)):
    heads = accounting.Attention(heads=16, kv_heads=16, head_size=64)
    own = replace(mixtral, num_experts=N, d_model=1024, d_ff=4096, layers=16, attention=heads)
    assert round(accounting.parameters(own) / 1e9, 1) == total
    assert round(layer_counts(1024, 4096, N, 2).saved_against_all_experts, 3) == part
assert f"{read / stored:.1%}" == "27.3%"

# %% [markdown] name="deeper-uneven" tags=["deeper"]
# ## Deeper: an uneven router touches fewer
#
# We give each expert a fixed head start, drawn once and multiplied by `skew`.

# %% name="deeper-uneven-cell" tags=["deeper"]
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
print(f"4 tokens that share out 8 experts: {touched(in_turn, 2, 4):.0%}, the formula {experts_touched(8, 2, 4):.0%}")
assert touched(in_turn, 2, 4) == 1

# %% [markdown] name="deeper-uneven-read" tags=["deeper"]
# Uneven but independent choices touch fewer experts. It is no gain: the others are
# stored and hardly used. Choices that are balanced *within* a batch are not independent, and can touch more.

# %% [markdown] name="deeper-finer" tags=["deeper"]
# ## Deeper: what finer experts cost in time
#
# A forward and a backward pass with nearly equal work (some seconds).

# %% name="deeper-finer-cell" tags=["deeper"]
x = torch.randn(512, 256)  # (T, d)
finer = {m: MoELayer(256, 512 // m, 16 * m, 2 * m, activation="swiglu") for m in (1, 2, 4, 8)}
steps = {f"m = {m}": one_step(layer, x) for m, layer in finer.items()}
print(timing_table(interleaved(steps, rounds=5, progress=tqdm), "m = 1"))
print(f"FLOPs at m = 8: {worth_it.flops(finer[8]) / worth_it.flops(finer[1]):.2f} times those at m = 1")

# %% [markdown] name="deeper-finer-read" tags=["deeper"]
# If m = 8 takes much longer, a few per cent of extra FLOPs do not explain it. Smaller products may, or rows to
# sort and move: each token goes to 16 experts, not 2.

# %% [markdown] name="deeper-choices" tags=["deeper"]
# ## Deeper: was it the learning rate, or the gate?
#
# Every rate that was tried, with its mean error on the two seeds that chose. The last lines are k = 2 with the softmax
# first: over all logits, its probabilities kept as they are (lesson 04).

# %% name="deeper-choices-cell" tags=["deeper"]
print("rates", worth_it.RATES)
for part in worth_it.read_results()["studies"]:
    if part["task"] == OWN:
        print(f"{part['runs'][0]['steps']:>5,} steps  {part['label']:<19}", *(f"{e:.3f}" for e in part["tried"]))
for steps in worth_it.LENGTHS:
    for other in ("sparse, k = 2", "dense, equal total", "dense, equal FLOPs"):
        r = errors("sparse, softmax first", steps=steps) / errors(other, steps=steps)  # (seeds,)
        print(
            f"softmax first against {other}, {steps:>5,} steps: {np.median(r):.2f} of its error, lower in {(r < 1).sum()} of {len(r)}"
        )
        assert (steps, other) != (400, "dense, equal total") or ((r < 1).sum(), len(r)) == (1, 8)

# %% [markdown] name="deeper-choices-read" tags=["deeper"]
# With 0.16 all fail, so the range is wide enough above. Where the lowest rate was best, as for k = 1, a lower one might
# do better still. With the softmax first the sparse layer is *behind* the dense one with equal total after 400 steps,
# and about level after 1,000: a detail of the gate can decide such a comparison.
